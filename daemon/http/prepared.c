/*
 * Answers made once. Enters: a filled response. Leaves: a counted one of the library, which takes each as
 * often as it is queued, from any thread. Fails without memory, or when it is asked for what such an answer cannot have.
 */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "internal.h"

struct http_prepared {
	atomic_uint references;
	int status;
	struct MHD_Response *response; /* never changed again */
	size_t size;
	char body[];
};

/* With a copy of the body: the library may have it longer than we. */
static struct MHD_Response *response_of(const struct http_prepared *prepared)
{
	return MHD_create_response_from_buffer(prepared->size, (char *)(uintptr_t)prepared->body,
					       MHD_RESPMEM_MUST_COPY);
}

/* The library takes no empty values: as everywhere, such headers are left out. */
static bool response_fill(struct MHD_Response *response, const struct http_response *ours)
{
	for (size_t i = 0; i < ours->header_count; i++)
		if (ours->headers[i].value[0] &&
		    MHD_add_response_header(response, ours->headers[i].name,
					    ours->headers[i].value) != MHD_YES)
			return false;
	return !ours->content_type ||
	       MHD_add_response_header(response, "Content-Type", ours->content_type) == MHD_YES;
}

struct http_prepared *http_prepared_create(const struct http_response *response, struct err *err)
{
	struct http_prepared *prepared;

	if (response->failed || response->stream.next || response->prepared ||
	    strbuf_failed(&response->body)) {
		err_set(err, ERR_INTERNAL, "only headers and a text can be prepared");
		return NULL;
	}
	prepared = alloc_zeroed(1, sizeof(*prepared) + response->body.size);
	if (prepared) {
		prepared->size = response->body.size;
		if (prepared->size)
			memcpy(prepared->body, response->body.data, prepared->size);
		prepared->response = response_of(prepared);
	}
	if (!prepared || !prepared->response || !response_fill(prepared->response, response)) {
		if (prepared && prepared->response)
			MHD_destroy_response(prepared->response);
		free(prepared);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	atomic_init(&prepared->references, 1);
	prepared->status = response->status ? response->status : 200;
	return prepared;
}

struct http_prepared *http_prepared_acquire(struct http_prepared *prepared)
{
	atomic_fetch_add_explicit(&prepared->references, 1, memory_order_relaxed);
	return prepared;
}

void http_prepared_release(struct http_prepared *prepared)
{
	if (!prepared ||
	    atomic_fetch_sub_explicit(&prepared->references, 1, memory_order_acq_rel) != 1)
		return;
	/* The library has it until it is sent. */
	MHD_destroy_response(prepared->response);
	free(prepared);
}

/* MHD_NO ends the walk. */
static enum MHD_Result header_copy(void *context, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct MHD_Response **copy = context;

	(void)kind;
	if (MHD_add_response_header(*copy, name, value) == MHD_YES)
		return MHD_YES;
	MHD_destroy_response(*copy);
	*copy = NULL;
	return MHD_NO;
}

/* The same, and the connection ends with it. */
static int prepared_queue_last(const struct http_prepared *prepared,
			       struct MHD_Connection *connection)
{
	struct MHD_Response *copy = response_of(prepared);
	enum MHD_Result result;

	if (!copy)
		return MHD_NO;
	MHD_get_response_headers(prepared->response, header_copy, &copy);
	if (!copy)
		return MHD_NO;
	result = MHD_add_response_header(copy, "Connection", "close");
	if (result == MHD_YES)
		result = MHD_queue_response(connection, (unsigned)prepared->status, copy);
	MHD_destroy_response(copy);
	return result == MHD_YES ? MHD_YES : MHD_NO;
}

int prepared_queue(const struct http_prepared *prepared, struct MHD_Connection *connection,
		   bool last, int *ret_status)
{
	int result = last ? prepared_queue_last(prepared, connection)
			  : (int)MHD_queue_response(connection, (unsigned)prepared->status,
						    prepared->response);

	*ret_status = prepared->status;
	return result == MHD_YES ? MHD_YES : MHD_NO;
}
