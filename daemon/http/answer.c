/*
 * Answers. Enters: an exchange whose response is filled, or whose err says what went wrong. Leaves: a response
 * queued at the library, with the headers that the kind of listener asks for. Fails (MHD_NO) without memory:
 * the connection ends.
 */
#include <microhttpd.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define STREAM_BLOCK ((size_t)32 * 1024)
/* One audit row may have 64 MiB, and more as JSON. A part is as large as its maker needs. */
#define STREAM_PART_MAX ((size_t)256 * 1024 * 1024)
/* To take an answer: a minute, and more for large ones (at 64 KiB/s). */
#define SEND_DEADLINE_MS 60000
#define SEND_BYTES_PER_MS 64
#define POLICY_MAX 1024

/* -------------------------------------------------------------- headers -- */

static const struct http_pair plain_headers[] = {
	{ "Cache-Control", "no-store" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
	{ "Referrer-Policy", "no-referrer" },
};

/*
 * For browsers. The referrer stays within the site, not nowhere: with none at all browsers send
 * "Origin: null" with forms of our own pages.
 */
static const struct http_pair web_headers[] = {
	{ "Cache-Control", "no-store" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
};

static void header_default(struct MHD_Response *response, const char *name, const char *value)
{
	if (!MHD_get_response_header(response, name))
		MHD_add_response_header(response, name, value);
}

static bool origin_is_plain(const char *origin)
{
	return origin[strcspn(origin, " \t\r\n;,'\"")] == 0;
}

/* An origin that cannot stand in the policy is left out: then the form goes nowhere. */
static void policy_add(struct MHD_Response *response, const struct http_response *ours)
{
	const char *action =
		ours->form_action && origin_is_plain(ours->form_action) ? ours->form_action : "";
	char policy[POLICY_MAX];
	int size = snprintf(policy, sizeof(policy),
			    "default-src 'none'; script-src 'self'; style-src 'self'; "
			    "img-src 'self' data:; connect-src 'self'; form-action 'self'%s%s%s; "
			    "base-uri 'none'%s",
			    action[0] ? " " : "", action, action[0] ? " https:" : "",
			    ours->framed ? "" : "; frame-ancestors 'none'");

	if (size < 0 || (size_t)size >= sizeof(policy))
		header_default(response, "Content-Security-Policy",
			       "default-src 'none'; frame-ancestors 'none'");
	else
		header_default(response, "Content-Security-Policy", policy);
}

static void web_headers_add(struct MHD_Response *response, const struct exchange *exchange)
{
	for (size_t i = 0; i < ARRAY_LEN(web_headers); i++)
		header_default(response, web_headers[i].name, web_headers[i].value);
	policy_add(response, &exchange->response);
	if (!exchange->response.framed)
		header_default(response, "X-Frame-Options", "DENY");
	if (exchange->server->settings.hsts)
		header_default(response, "Strict-Transport-Security", "max-age=31536000");
}

static void headers_add(struct MHD_Response *response, const struct exchange *exchange, bool empty)
{
	const struct http_response *ours = &exchange->response;
	const struct http_route *route = exchange->request.route;

	for (size_t i = 0; i < ours->header_count; i++)
		MHD_add_response_header(response, ours->headers[i].name, ours->headers[i].value);
	if (ours->content_type || !empty)
		MHD_add_response_header(response, "Content-Type",
					ours->content_type ? ours->content_type
							   : "application/json");
	if (route && (route->flags & HTTP_ROUTE_BARE))
		return;
	if (exchange->server->settings.web) {
		web_headers_add(response, exchange);
	} else {
		for (size_t i = 0; i < ARRAY_LEN(plain_headers); i++)
			header_default(response, plain_headers[i].name, plain_headers[i].value);
	}
	MHD_add_response_header(response, "X-Request-Id", exchange->request.id);
}

static bool server_ends(const struct http_server *server)
{
	return atomic_load_explicit(&server->phase, memory_order_relaxed) != 0;
}

static int answer_queue(struct MHD_Connection *connection, struct exchange *exchange,
			struct MHD_Response *response, bool empty, bool last)
{
	enum MHD_Result result;
	char seconds[16];

	if (!response)
		return MHD_NO;
	headers_add(response, exchange, empty);
	if (exchange->allow)
		MHD_add_response_header(response, "Allow", exchange->allow);
	if (exchange->failed && exchange->request.retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%u", exchange->request.retry_after_s);
		MHD_add_response_header(response, "Retry-After", seconds);
	}
	if (last || server_ends(exchange->server))
		MHD_add_response_header(response, "Connection", "close");
	exchange->status = exchange->response.status ? exchange->response.status : 200;
	result = MHD_queue_response(connection, (unsigned)exchange->status, response);
	MHD_destroy_response(response);
	return result == MHD_YES ? MHD_YES : MHD_NO;
}

static int answer_body(struct MHD_Connection *connection, struct exchange *exchange, bool last)
{
	struct strbuf *body = &exchange->response.body;
	size_t size = body->size;
	char *data = size > 0 ? strbuf_take(body) : NULL;

	watch_set(&exchange->link->watched, SEND_DEADLINE_MS + (int64_t)(size / SEND_BYTES_PER_MS));
	if (size == 0)
		return answer_queue(connection, exchange,
				    MHD_create_response_from_buffer(0, (char *)(uintptr_t) "",
								    MHD_RESPMEM_PERSISTENT),
				    true, last);
	if (!data)
		return MHD_NO;
	return answer_queue(connection, exchange,
			    MHD_create_response_from_buffer(size, data, MHD_RESPMEM_MUST_FREE),
			    false, last);
}

/* --------------------------------------------------------------- errors -- */

static bool path_below(const char *path, const char *prefix)
{
	return strncmp(path, prefix, strlen(prefix)) == 0;
}

static void page_builtin(const struct exchange *exchange, struct strbuf *out)
{
	const struct http_response *response = &exchange->response;

	strbuf_printf(out,
		      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
		      "<title>%d</title>\n<h1>This did not work</h1>\n<p>",
		      response->status);
	/* What failed inside is for the log. */
	http_html_escape(out, response->status >= 500
				      ? "The server could not answer. Please try again."
				      : exchange->err.text);
	strbuf_printf(out, "</p>\n<p>Reference: %s</p>\n</html>\n", exchange->request.id);
}

static void error_fill(struct exchange *exchange)
{
	const struct http_settings *settings = &exchange->server->settings;
	struct http_request *request = &exchange->request;
	struct http_response *response = &exchange->response;
	bool page = settings->web && !path_below(request->path, "/api/") &&
		    !path_below(request->path, "/scim/");
	struct err hidden = exchange->err;

	if (page && settings->error_page && settings->error_page(request, &exchange->err, response))
		return;
	strbuf_clear(&response->body);
	response->header_count = 0;
	response->failed = false;
	if (page) {
		response->content_type = "text/html; charset=utf-8";
		page_builtin(exchange, &response->body);
		return;
	}
	response->content_type = NULL;
	if (settings->web && response->status == 500)
		err_set(&hidden, hidden.code, "the server could not answer");
	http_error_json(&hidden, request->error_field, request->error_details, request->id,
			&response->body);
	/* RFC 9110 11.6.1: 401 says how to come in. */
	if (response->status == 401)
		http_response_header(response, "WWW-Authenticate", "Bearer");
}

int answer_error(struct MHD_Connection *connection, struct exchange *exchange, bool last)
{
	struct http_response *response = &exchange->response;

	exchange->failed = true;
	strbuf_finish(&response->body);
	http_prepared_release(response->prepared);
	if (response->stream.next && response->stream.close)
		response->stream.close(response->stream.context);
	*response = (struct http_response){ .body = STRBUF(HTTP_RESPONSE_MAX) };
	response->status = http_error_status(&exchange->err, exchange->request.error_field != NULL);
	error_fill(exchange);
	if (response->failed || strbuf_failed(&response->body))
		return MHD_NO;
	return answer_body(connection, exchange, last);
}

/* -------------------------------------------------------------- streams -- */

struct sending {
	struct http_stream stream;
	struct strbuf part;
	size_t sent; /* of part */
	struct watched *watched;
};

static ssize_t sending_read(void *context, uint64_t position, char *buffer, size_t max)
{
	struct sending *sending = context;
	struct err err = { 0 };

	(void)position;
	if (sending->sent == sending->part.size) {
		/* What a large part needed is not kept for small ones. */
		strbuf_finish(&sending->part);
		sending->part = STRBUF(STREAM_PART_MAX);
		sending->sent = 0;
		if (sending->stream.next(sending->stream.context, &sending->part, &err) < 0 ||
		    strbuf_failed(&sending->part)) {
			log_error("http.stream.failed", F_ERR(&err));
			return MHD_CONTENT_READER_END_WITH_ERROR;
		}
		if (sending->part.size == 0)
			return MHD_CONTENT_READER_END_OF_STREAM;
	}
	/* A peer that takes something has another minute. */
	watch_set(sending->watched, SEND_DEADLINE_MS);

	size_t size = sending->part.size - sending->sent;

	size = size < max ? size : max;
	memcpy(buffer, sending->part.data + sending->sent, size);
	sending->sent += size;
	return (ssize_t)size;
}

static void sending_free(void *context)
{
	struct sending *sending = context;

	if (sending->stream.close)
		sending->stream.close(sending->stream.context);
	strbuf_finish(&sending->part);
	free(sending);
}

static int answer_stream(struct MHD_Connection *connection, struct exchange *exchange)
{
	struct sending *sending = alloc_zeroed(1, sizeof(*sending));
	struct MHD_Response *response;

	if (!sending)
		return MHD_NO;
	sending->stream = exchange->response.stream;
	exchange->response.stream.next = NULL; /* ours to close from here on */
	sending->part = STRBUF(STREAM_PART_MAX);
	sending->watched = &exchange->link->watched;
	watch_set(sending->watched, SEND_DEADLINE_MS);
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, sending_read,
						     sending, sending_free);
	if (!response)
		sending_free(sending);
	return answer_queue(connection, exchange, response, false, false);
}

static int answer_prepared(struct MHD_Connection *connection, struct exchange *exchange)
{
	const struct http_route *route = exchange->request.route;

	if (!(route->flags & HTTP_ROUTE_BARE)) {
		err_set(&exchange->err, ERR_INTERNAL, "a prepared answer is for bare routes only");
		return answer_error(connection, exchange, false);
	}
	watch_set(&exchange->link->watched, SEND_DEADLINE_MS);
	return prepared_queue(exchange->response.prepared, connection,
			      server_ends(exchange->server), &exchange->status);
}

int answer_filled(struct MHD_Connection *connection, struct exchange *exchange)
{
	if (exchange->response.prepared)
		return answer_prepared(connection, exchange);
	return exchange->response.stream.next ? answer_stream(connection, exchange)
					      : answer_body(connection, exchange, false);
}
