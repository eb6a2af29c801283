/*
 * One request and its answer. Enters: what the library calls us with. Leaves: an answer queued.
 *
 * The library calls exchange_begin with the raw target, exchange_access once when the header is there, once
 * for each piece of body, once at the end and once more when a suspended connection is resumed,
 * exchange_end when the answer is out or the connection died.
 *
 * What goes wrong before the end of the body is remembered and answered at the end, since the library takes
 * no answer in mid-upload; only ambiguous framing and bodies too long to be worth
 * discarding are answered at once, and end the connection.
 *
 * An exchange is kept with its arena for the connection's next request: /auth is asked once for each request that
 * the proxy has.
 */
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define ARENA_MAX ((size_t)64 * 1024 * 1024)
#define DISCARD_MAX ((size_t)1024 * 1024)
#define ENTERED_LATELY_US 100000
#define BODY_FIRST ((size_t)16 * 1024)

/* ------------------------------------------------------------- life time -- */

static struct exchange *exchange_create(void)
{
	struct exchange *exchange = alloc_zeroed(1, sizeof(*exchange));

	if (!exchange)
		return NULL;
	exchange->request.arena = arena_create(ARENA_MAX);
	if (!exchange->request.arena) {
		free(exchange);
		return NULL;
	}
	return exchange;
}

/* What the request held besides the arena. A stream that was never sent is closed here. */
static void exchange_release(struct exchange *exchange)
{
	struct http_stream *stream = &exchange->response.stream;

	if (stream->next && stream->close)
		stream->close(stream->context);
	stream->next = NULL;
	http_prepared_release(exchange->response.prepared);
	exchange->response.prepared = NULL;
	strbuf_finish(&exchange->body);
	strbuf_finish(&exchange->response.body);
}

static void exchange_destroy(struct exchange *exchange)
{
	exchange_release(exchange);
	arena_destroy(exchange->request.arena);
	free(exchange);
}

void exchange_unref(struct exchange *exchange)
{
	if (atomic_fetch_sub(&exchange->references, 1) == 1)
		exchange_destroy(exchange);
}

void exchange_drop_spare(struct link *link)
{
	if (link->spare)
		exchange_destroy(link->spare);
	link->spare = NULL;
}

/* As new, but for the arena. */
static void exchange_reset(struct exchange *exchange)
{
	struct arena *arena = exchange->request.arena;

	memset(&exchange->request, 0, sizeof(exchange->request));
	memset(&exchange->response, 0, sizeof(exchange->response));
	err_clear(&exchange->err);
	exchange->request.arena = arena;
	exchange->request.actor = exchange->request.method = "";
	exchange->request.path = exchange->request.query_raw = exchange->request.body = "";
	exchange->request.headers = exchange->headers;
	exchange->response.body = STRBUF(HTTP_RESPONSE_MAX);
	exchange->body = STRBUF(0);
	exchange->allow = NULL;
	exchange->body_max = exchange->received = 0;
	exchange->status = exchange->result = 0;
	exchange->begun = exchange->failed = exchange->counted = false;
	exchange->connection = NULL;
	exchange->before = NULL;
	atomic_store_explicit(&exchange->references, 1, memory_order_relaxed);
	atomic_store_explicit(&exchange->slow, SLOW_NOT, memory_order_relaxed);
}

/* Take it up for a request on this connection. */
static void exchange_attach(struct exchange *exchange, struct http_server *server,
			    struct link *link)
{
	struct http_request *request = &exchange->request;

	exchange_reset(exchange);
	exchange->server = server;
	exchange->link = link;
	request->listener_context = server->settings.listener_context;
	request->peer = link->peer;
	request->peer_has_address = link->has_address;
	request->peer_address = link->address;
	request->peer_trusted = link->trusted;
	request->trusted = server->trusted;
	request->trusted_count = server->settings.trusted_count;
	request->tls = server->tls != NULL;
}

void *exchange_begin(struct http_server *server, struct link *link, const char *target)
{
	struct exchange *exchange;

	if (!link || link->refused)
		return NULL;
	exchange = link->spare ? link->spare : exchange_create();
	link->spare = NULL;
	if (!exchange)
		return NULL;
	exchange_attach(exchange, server, link);
	exchange->started_us = clock_monotonic_us();
	watch_shorten(&link->watched, server->settings.request_deadline_ms);

	struct uuid id = uuid_create(clock_now_s() * 1000);

	uuid_format(&id, exchange->request.id);
	exchange->failed = http_target_parse(&exchange->request, target, &exchange->err) < 0;
	return exchange;
}

static void exchange_log(const struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;
	unsigned flags = request->route ? request->route->flags : 0;
	bool quiet = flags & HTTP_ROUTE_QUIET;
	const char *path = flags & HTTP_ROUTE_SECRET_PATH ? request->route->pattern : request->path;
	bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
	enum log_level level = exchange->status >= 500 ? LOG_LEVEL_ERROR
			       : reads		       ? LOG_LEVEL_DEBUG
						       : LOG_LEVEL_INFO;

	if (quiet && exchange->status < 500)
		return;
	LOG_EVENT_(level, "http.request", F_STR("listener", exchange->server->settings.name),
		   F_STR("method", request->method), F_STR("path", path),
		   F_INT("status", exchange->status), F_STR("actor", request->actor),
		   F_STR("request", request->id),
		   F_INT("ms", (clock_monotonic_us() - exchange->started_us) / 1000),
		   F_STR("error", exchange->failed ? exchange->err.text : ""), { NULL, NULL, 0 });
}

void exchange_end(struct exchange *exchange)
{
	struct http_server *server = exchange->server;
	struct link *link = exchange->link;

	if (exchange->status) {
		exchange_log(exchange);
		figures_note(exchange);
		atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
	}
	watch_set(&link->watched, server->settings.idle_deadline_ms);
	if (exchange->counted)
		atomic_fetch_sub(&server->active, 1);
	/* A slow handler may still be at work in it; then it is not ours alone. */
	if (atomic_load(&exchange->references) > 1 || link->spare) {
		exchange_unref(exchange);
		return;
	}
	exchange_release(exchange);
	arena_reset(exchange->request.arena);
	link->spare = exchange;
}

/* -------------------------------------------------------------- framing -- */

struct framing {
	struct exchange *exchange;
	unsigned hosts, lengths, encodings;
	bool bad_name, too_many;
	bool chunked;
	uint64_t length;
	bool length_bad;
};

static void framing_length(struct framing *framing, const char *value)
{
	char *end;

	errno = 0;
	framing->length = strtoull(value, &end, 10);
	framing->length_bad = errno != 0 || value[0] < '0' || value[0] > '9' || *end;
}

/* Also collects the headers: the library's own look-up gives the first of a name only. */
static enum MHD_Result framing_header(void *context, enum MHD_ValueKind kind, const char *name,
				      size_t name_size, const char *value, size_t value_size)
{
	struct framing *framing = context;
	struct http_request *request = &framing->exchange->request;

	(void)kind;
	(void)value_size; /* the library ends it at a NUL */
	value = value ? value : "";
	/* What is behind a NUL would be read by others and not by us. */
	if (!http_token_valid(name) || strlen(name) != name_size)
		framing->bad_name = true;
	if (request->header_count == HTTP_HEADERS_MAX)
		framing->too_many = true;
	else
		framing->exchange->headers[request->header_count++] =
			(struct http_pair){ name, value };
	/* Few have the size of one of these, and only those are compared. */
	if (name_size == strlen("Host") && http_name_equal(name, "Host")) {
		framing->hosts++;
	} else if (name_size == strlen("Content-Length") &&
		   http_name_equal(name, "Content-Length")) {
		framing->lengths++;
		framing_length(framing, value);
	} else if (name_size == strlen("Transfer-Encoding") &&
		   http_name_equal(name, "Transfer-Encoding")) {
		framing->encodings++;
		framing->chunked = strcasecmp(value, "chunked") == 0;
	}
	return MHD_YES;
}

/* What the library lets pass and a proxy before us may read otherwise (RFC 9112 6.3, 3.2). */
static int framing_check(const struct framing *framing, struct err *err)
{
	if (framing->bad_name)
		return err_set(err, ERR_INVALID, "a header's name is no name");
	if (framing->too_many)
		return err_set(err, ERR_INVALID, "more than %d headers", HTTP_HEADERS_MAX);
	if (framing->lengths > 1 || framing->length_bad)
		return err_set(err, ERR_INVALID, "Content-Length is ambiguous");
	if (framing->encodings > 1 || (framing->encodings && !framing->chunked))
		return err_set(err, ERR_INVALID, "Transfer-Encoding is not plainly 'chunked'");
	if (framing->encodings && framing->lengths)
		return err_set(err, ERR_INVALID, "both Content-Length and Transfer-Encoding");
	if (framing->hosts != 1)
		return err_set(err, ERR_INVALID, "%u Host headers", framing->hosts);
	return 0;
}

/* ------------------------------------------------------------- arriving -- */

static void exchange_fail(struct exchange *exchange, int result)
{
	if (result < 0)
		exchange->failed = true;
}

/* Route and permission are decided on the header, before any body is kept. */
static void exchange_route(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;

	if (exchange->failed)
		return;
	exchange_fail(exchange,
		      http_router_find(exchange->server->settings.router, request,
				       &exchange->before, &exchange->allow, &exchange->err));
	if (!exchange->failed && !(request->route->flags & HTTP_ROUTE_RAW_QUERY))
		exchange_fail(exchange, http_query_parse(request, &exchange->err));
	if (!exchange->failed && exchange->before) {
		exchange->entered_us = clock_monotonic_us();
		exchange_fail(exchange, exchange->before(request, &exchange->err));
	}
	if (exchange->failed)
		return;

	size_t max = request->route->body_max ? request->route->body_max : HTTP_BODY_MAX_DEFAULT;

	exchange->body_max = request->route->flags & HTTP_ROUTE_NO_BODY ? 0 : max;
	exchange->body = STRBUF(max);
}

static void body_refuse(struct exchange *exchange)
{
	if (exchange->failed)
		return;
	exchange->failed = true;
	if (exchange->body_max == 0)
		err_set(&exchange->err, ERR_INVALID, "this request takes no body");
	else
		err_set(&exchange->err, ERR_TOO_LARGE, "body is longer than %zu bytes",
			exchange->body_max);
}

static int exchange_header(struct exchange *exchange, struct MHD_Connection *connection,
			   const char *method)
{
	struct framing framing = { .exchange = exchange };
	size_t discard_max;

	exchange->begun = true;
	exchange->request.method = arena_strdup(exchange->request.arena, method);
	if (!exchange->request.method)
		return MHD_NO;
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, framing_header, &framing);
	if (framing_check(&framing, &exchange->err) < 0)
		return answer_error(connection, exchange, true);
	exchange_route(exchange);
	if (!exchange->failed && framing.length > exchange->body_max)
		body_refuse(exchange);
	discard_max = exchange->body_max > DISCARD_MAX ? exchange->body_max : DISCARD_MAX;
	if (exchange->failed && framing.length > discard_max)
		return answer_error(connection, exchange, true);
	/* Who says that much has not sent it yet. */
	if (!exchange->failed && framing.length > 0)
		strbuf_reserve(&exchange->body,
			       framing.length < BODY_FIRST ? framing.length : BODY_FIRST);
	return MHD_YES;
}

static int exchange_body(struct exchange *exchange, const char *data, size_t size)
{
	exchange->received += size;
	if (exchange->received > exchange->body_max)
		body_refuse(exchange);
	if (exchange->failed)
		return exchange->received > exchange->body_max + DISCARD_MAX ? MHD_NO : MHD_YES;
	strbuf_append(&exchange->body, data, size);
	if (strbuf_failed(&exchange->body)) {
		exchange->failed = true;
		err_set(&exchange->err, ERR_MEMORY, "out of memory");
	}
	return MHD_YES;
}

/* ------------------------------------------------------------- handling -- */

static int exchange_answer(struct exchange *exchange, struct MHD_Connection *connection)
{
	struct http_response *response = &exchange->response;

	if (exchange->result < 0)
		return answer_error(connection, exchange, false);
	if (response->failed) {
		err_set(&exchange->err, ERR_INTERNAL, "a header of the answer does not fit");
		return answer_error(connection, exchange, false);
	}
	if (!response->stream.next && strbuf_failed(&response->body)) {
		err_set(&exchange->err, ERR_TOO_LARGE, "answer is longer than %zu bytes",
			response->body.max);
		return answer_error(connection, exchange, false);
	}
	return answer_filled(connection, exchange);
}

/* What the request borrows from the connection, which may end before a slow handler does. */
static int exchange_detach(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;
	size_t groups_size = request->peer.group_count * sizeof(gid_t);

	for (size_t i = 0; i < request->header_count; i++) {
		struct http_pair *pair = &exchange->headers[i];

		pair->name = arena_strdup(request->arena, pair->name);
		pair->value = arena_strdup(request->arena, pair->value);
	}
	if (request->peer.groups)
		request->peer.groups =
			arena_memdup(request->arena, request->peer.groups, groups_size);
	if (!arena_failed(request->arena))
		return 0;
	request->header_count = 0; /* some are missing */
	request->peer.groups = NULL;
	request->peer.group_count = 0;
	return err_set(&exchange->err, ERR_MEMORY, "out of memory");
}

static int exchange_submit(struct exchange *exchange, struct MHD_Connection *connection)
{
	if (exchange_detach(exchange) < 0)
		return answer_error(connection, exchange, false);
	if (slow_submit(exchange->server->slow, exchange, connection))
		return MHD_YES;
	exchange->request.retry_after_s = 2;
	err_refuse(&exchange->err, ERR_UNAVAILABLE, "busy", "too many requests are waiting");
	return answer_error(connection, exchange, false);
}

/*
 * Whoever may come in now is kept by nothing from sending the body a byte at a time, or waiting in the queue, and
 * being somebody else by the time it is read. So who was let in some time ago is asked once more.
 */
int exchange_run(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;

	if (exchange->before && clock_monotonic_us() - exchange->entered_us > ENTERED_LATELY_US &&
	    exchange->before(request, &exchange->err) < 0)
		return -1;
	return request->route->handler(request, &exchange->response, &exchange->err);
}

static int exchange_handle(struct exchange *exchange, struct MHD_Connection *connection)
{
	struct http_request *request = &exchange->request;
	struct http_server *server = exchange->server;

	watch_set(&exchange->link->watched, 0);
	atomic_fetch_add(&server->active, 1);
	exchange->counted = true;
	if (exchange->failed)
		return answer_error(connection, exchange, false);
	request->body = strbuf_text(&exchange->body);
	request->body_size = exchange->body.size;
	if (server->slow && (request->route->flags & HTTP_ROUTE_SLOW))
		return exchange_submit(exchange, connection);
	exchange->result = exchange_run(exchange);
	return exchange_answer(exchange, connection);
}

/*
 * The deadline has passed while the handler still works in its exchange: the connection goes on with another
 * one. What is copied was set before the handler began.
 */
static int exchange_replace(struct exchange **exchange)
{
	struct exchange *late = *exchange, *own = exchange_create();

	if (!own)
		return -1;
	exchange_attach(own, late->server, late->link);
	own->started_us = late->started_us;
	own->begun = true;
	own->counted = late->counted;
	memcpy(own->request.id, late->request.id, sizeof(own->request.id));
	own->request.method = arena_strdup(own->request.arena, late->request.method);
	own->request.path = arena_strdup(own->request.arena, late->request.path);
	own->request.retry_after_s = 5;
	if (!own->request.method || !own->request.path) {
		exchange_destroy(own);
		return -1;
	}
	err_refuse(&own->err, ERR_UNAVAILABLE, "timeout", "the request took too long");
	*exchange = own;
	late->counted = false;
	exchange_unref(late);
	return 0;
}

int exchange_access(struct exchange **exchange, struct MHD_Connection *connection,
		    const char *method, const char *data, size_t *size)
{
	enum slow_state slow = atomic_load(&(*exchange)->slow);

	if (slow == SLOW_DONE)
		return exchange_answer(*exchange, connection);
	if (slow == SLOW_LATE)
		return exchange_replace(exchange) < 0 ? MHD_NO
						      : answer_error(connection, *exchange, false);
	if (!(*exchange)->begun)
		return exchange_header(*exchange, connection, method);
	if (*size > 0) {
		size_t piece = *size;

		*size = 0;
		return exchange_body(*exchange, data, piece);
	}
	return exchange_handle(*exchange, connection);
}
