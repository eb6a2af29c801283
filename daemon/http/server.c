/*
 * The server. Enters: a listening socket and a router. Leaves: answers.
 *
 * Life of a request (struct exchange): the library calls exchange_begin with the
 * raw target, server_access once when the header is there, once for each piece of body, once at
 * the end, exchange_end when the answer is out or the connection died.
 *
 * What goes wrong before the end of the body is remembered and answered at the end, since the library takes
 * no answer in mid-upload; only ambiguous framing and bodies too long to be worth
 * discarding are answered at once, and end the connection.
 */
#include <rolebridge/http/server.h>

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define ARENA_MAX ((size_t)64 * 1024 * 1024)
#define DISCARD_MAX ((size_t)1024 * 1024)
#define CONNECTION_MEMORY 32768
#define STREAM_BLOCK ((size_t)32 * 1024)
/* One audit row may have 64 MiB, and more as JSON. A part is as large as its maker needs. */
#define STREAM_PART_MAX ((size_t)256 * 1024 * 1024)
/* To take an answer: a minute, and more for large ones (at 64 KiB/s). */
#define SEND_DEADLINE_MS 60000
#define SEND_BYTES_PER_MS 64

struct http_server {
	struct MHD_Daemon *daemon;
	struct http_settings settings;
	struct watch *watch;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned active; /* handlers running or answers being sent */
};

struct link {
	struct watched watched;
	struct http_server *server;
	struct http_peer peer;
	bool refused; /* the peer could not be read */
};

struct exchange {
	struct http_request request;
	struct http_response response;
	struct http_pair headers[HTTP_HEADERS_MAX];
	struct http_server *server;
	struct link *link;
	struct strbuf body;
	struct err err;
	const char *allow; /* of a 405 */
	size_t body_max, received;
	int64_t started_us;
	int status;
	bool begun;  /* header seen */
	bool failed; /* err is the answer */
	bool counted;
};

/* ---------------------------------------------------------- connections -- */

static void link_open(struct http_server *server, struct MHD_Connection *connection,
		      void **socket_context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct link *link = alloc_zeroed(1, sizeof(*link));

	*socket_context = link;
	if (!link || !info) {
		free(link);
		*socket_context = NULL;
		return;
	}
	link->server = server;
	link->refused = http_peer_read(info->connect_fd, &link->peer, NULL) < 0;
	watch_add(server->watch, &link->watched, info->connect_fd,
		  server->settings.request_deadline_ms);
}

static void link_close(struct link *link)
{
	if (!link)
		return;
	watch_remove(link->server->watch, &link->watched);
	free((void *)link->peer.groups);
	free(link);
}

static void server_connection(void *context, struct MHD_Connection *connection,
			      void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		link_open(context, connection, socket_context);
	else
		link_close(*socket_context);
}

/* ------------------------------------------------------------- requests -- */

/* The raw target, before the library decodes anything. NULL ends the connection. */
static void *exchange_begin(void *context, const char *target, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct exchange *exchange = alloc_zeroed(1, sizeof(*exchange));
	struct http_request *request;

	if (!exchange)
		return NULL;
	request = &exchange->request;
	request->arena = arena_create(ARENA_MAX);
	exchange->server = context;
	exchange->link = info ? info->socket_context : NULL;
	exchange->started_us = clock_monotonic_us();
	if (!request->arena || !exchange->link || exchange->link->refused) {
		arena_destroy(request->arena);
		free(exchange);
		return NULL;
	}

	struct uuid id = uuid_create(clock_now_s() * 1000);

	uuid_format(&id, request->id);
	request->listener_context = exchange->server->settings.listener_context;
	request->peer = exchange->link->peer;
	request->actor = request->method = request->path = request->body = "";
	request->query_raw = "";
	request->headers = exchange->headers;
	exchange->response.body = STRBUF(HTTP_RESPONSE_MAX);
	exchange->failed = http_target_parse(request, target, &exchange->err) < 0;
	return exchange;
}

static void exchange_log(const struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;
	bool quiet = request->route && (request->route->flags & HTTP_ROUTE_QUIET);
	bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
	enum log_level level = exchange->status >= 500 ? LOG_LEVEL_ERROR
			       : quiet || reads	       ? LOG_LEVEL_DEBUG
						       : LOG_LEVEL_INFO;

	LOG_EVENT_(level, "http.request", F_STR("listener", exchange->server->settings.name),
		   F_STR("method", request->method), F_STR("path", request->path),
		   F_INT("status", exchange->status), F_STR("actor", request->actor),
		   F_STR("request", request->id),
		   F_INT("ms", (clock_monotonic_us() - exchange->started_us) / 1000),
		   F_STR("error", exchange->failed ? exchange->err.text : ""), { NULL, NULL, 0 });
}

static void server_leave(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->active--;
	pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
}

static void exchange_end(void *context, struct MHD_Connection *connection, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *con_cls;

	(void)context;
	(void)connection;
	(void)code;
	if (!exchange)
		return;
	*con_cls = NULL;
	if (exchange->status)
		exchange_log(exchange);
	watch_set(exchange->server->watch, &exchange->link->watched,
		  exchange->server->settings.request_deadline_ms);
	if (exchange->counted)
		server_leave(exchange->server);
	strbuf_finish(&exchange->body);
	strbuf_finish(&exchange->response.body);
	arena_destroy(exchange->request.arena);
	free(exchange);
}

/* -------------------------------------------------------------- framing -- */

struct framing {
	struct exchange *exchange;
	bool bad_name, too_many;
	unsigned hosts, lengths, encodings;
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

static enum MHD_Result framing_header(void *context, enum MHD_ValueKind kind, const char *name,
				      const char *value)
{
	struct framing *framing = context;
	struct http_request *request = &framing->exchange->request;

	(void)kind;
	value = value ? value : "";
	if (!http_token_valid(name))
		framing->bad_name = true;
	if (request->header_count == HTTP_HEADERS_MAX)
		framing->too_many = true;
	else
		framing->exchange->headers[request->header_count++] =
			(struct http_pair){ name, value };
	if (strcasecmp(name, "Host") == 0) {
		framing->hosts++;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		framing->lengths++;
		framing_length(framing, value);
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
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

/* ------------------------------------------------------------- answers -- */

static void response_headers(struct MHD_Response *response, struct exchange *exchange, bool last)
{
	static const struct http_pair standard[] = {
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
		{ "Referrer-Policy", "no-referrer" },
	};
	const struct http_response *ours = &exchange->response;

	for (size_t i = 0; i < ours->header_count; i++)
		MHD_add_response_header(response, ours->headers[i].name, ours->headers[i].value);
	for (size_t i = 0; i < ARRAY_LEN(standard); i++) {
		if (!MHD_get_response_header(response, standard[i].name))
			MHD_add_response_header(response, standard[i].name, standard[i].value);
	}
	MHD_add_response_header(response, "Content-Type",
				ours->content_type ? ours->content_type : "application/json");
	MHD_add_response_header(response, "X-Request-Id", exchange->request.id);
	if (exchange->allow)
		MHD_add_response_header(response, "Allow", exchange->allow);
	if (last)
		MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result answer_queue(struct MHD_Connection *connection, struct exchange *exchange,
				    struct MHD_Response *response, bool last)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	response_headers(response, exchange, last);
	exchange->status = exchange->response.status ? exchange->response.status : 200;
	result = MHD_queue_response(connection, (unsigned)exchange->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_body(struct MHD_Connection *connection, struct exchange *exchange,
				   bool last)
{
	struct strbuf *body = &exchange->response.body;
	size_t size = body->size;
	char *data = strbuf_take(body);

	watch_set(exchange->server->watch, &exchange->link->watched,
		  SEND_DEADLINE_MS + (int64_t)(size / SEND_BYTES_PER_MS));
	if (!data)
		return MHD_NO;
	return answer_queue(connection, exchange,
			    MHD_create_response_from_buffer(size, data, MHD_RESPMEM_MUST_FREE),
			    last);
}

static enum MHD_Result answer_error(struct MHD_Connection *connection, struct exchange *exchange,
				    bool last)
{
	struct http_request *request = &exchange->request;
	struct http_response *response = &exchange->response;

	exchange->failed = true;
	strbuf_clear(&response->body);
	http_error_json(&exchange->err, request->error_field, request->id, &response->body);
	response->status = http_error_status(&exchange->err, request->error_field != NULL);
	response->content_type = NULL;
	response->header_count = 0;
	return answer_body(connection, exchange, last);
}

struct sending {
	struct http_stream stream;
	struct strbuf part;
	size_t sent; /* of part */
	struct watch *watch;
	struct watched *watched;
};

static ssize_t sending_read(void *context, uint64_t position, char *buffer, size_t max)
{
	struct sending *sending = context;
	struct err err;

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
	watch_set(sending->watch, sending->watched, SEND_DEADLINE_MS);

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

static enum MHD_Result answer_stream(struct MHD_Connection *connection, struct exchange *exchange)
{
	struct sending *sending = alloc_zeroed(1, sizeof(*sending));
	struct MHD_Response *response;

	if (!sending) {
		if (exchange->response.stream.close)
			exchange->response.stream.close(exchange->response.stream.context);
		return MHD_NO;
	}
	sending->stream = exchange->response.stream;
	sending->part = STRBUF(STREAM_PART_MAX);
	sending->watch = exchange->server->watch;
	sending->watched = &exchange->link->watched;
	watch_set(sending->watch, sending->watched, SEND_DEADLINE_MS);
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, sending_read,
						     sending, sending_free);
	if (!response)
		sending_free(sending);
	return answer_queue(connection, exchange, response, false);
}

/* ------------------------------------------------------------- handling -- */

static void exchange_fail(struct exchange *exchange, int result)
{
	if (result < 0)
		exchange->failed = true;
}

/* Route and permission are decided on the header, before any body is kept. */
static void exchange_route(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;
	int (*before)(struct http_request * request, struct err * err) = NULL;

	if (exchange->failed)
		return;
	exchange_fail(exchange, http_router_find(exchange->server->settings.router, request,
						 &before, &exchange->allow, &exchange->err));
	if (!exchange->failed && before)
		exchange_fail(exchange, before(request, &exchange->err));
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

static enum MHD_Result exchange_header(struct MHD_Connection *connection, const char *method,
				       struct exchange *exchange)
{
	struct framing framing = { .exchange = exchange };
	size_t discard_max = exchange->body_max;

	exchange->begun = true;
	exchange->request.method = arena_strdup(exchange->request.arena, method);
	if (!exchange->request.method)
		return MHD_NO;
	MHD_get_connection_values(connection, MHD_HEADER_KIND, framing_header, &framing);
	if (framing_check(&framing, &exchange->err) < 0)
		return answer_error(connection, exchange, true);
	exchange_route(exchange);
	if (!exchange->failed && framing.length > exchange->body_max)
		body_refuse(exchange);
	discard_max = exchange->body_max > DISCARD_MAX ? exchange->body_max : DISCARD_MAX;
	if (exchange->failed && framing.length > discard_max)
		return answer_error(connection, exchange, true);
	return MHD_YES;
}

static enum MHD_Result exchange_body(struct exchange *exchange, const char *data, size_t size)
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

static enum MHD_Result exchange_answer(struct MHD_Connection *connection, struct exchange *exchange)
{
	struct http_request *request = &exchange->request;
	struct http_response *response = &exchange->response;
	struct http_server *server = exchange->server;

	if (exchange->failed)
		return answer_error(connection, exchange, false);
	watch_set(server->watch, &exchange->link->watched, 0);
	pthread_mutex_lock(&server->lock);
	server->active++;
	exchange->counted = true;
	pthread_mutex_unlock(&server->lock);

	request->body = strbuf_text(&exchange->body);
	request->body_size = exchange->body.size;
	if (request->route->handler(request, response, &exchange->err) < 0)
		return answer_error(connection, exchange, false);
	if (response->stream.next)
		return answer_stream(connection, exchange);
	if (response->failed) {
		err_set(&exchange->err, ERR_INTERNAL, "a header of the answer does not fit");
		return answer_error(connection, exchange, false);
	}
	if (strbuf_failed(&response->body)) {
		err_set(&exchange->err, ERR_TOO_LARGE, "answer is longer than %zu bytes",
			response->body.max);
		return answer_error(connection, exchange, false);
	}
	return answer_body(connection, exchange, false);
}

static enum MHD_Result server_access(void *context, struct MHD_Connection *connection,
				     const char *url, const char *method, const char *version,
				     const char *upload_data, size_t *upload_data_size,
				     void **con_cls)
{
	struct exchange *exchange = *con_cls;
	size_t size = *upload_data_size;

	(void)context;
	(void)url;
	(void)version;
	if (!exchange)
		return MHD_NO;
	if (!exchange->begun)
		return exchange_header(connection, method, exchange);
	if (size > 0) {
		*upload_data_size = 0;
		return exchange_body(exchange, upload_data, size);
	}
	return exchange_answer(connection, exchange);
}

/* ------------------------------------------------------------ start, stop -- */

/* The library's own messages are about peers' mistakes; requests are logged by us. */
static void quiet_logger(void *context, const char *format, va_list args)
{
	(void)context;
	(void)format;
	(void)args;
}

/* We read the raw target ourselves: leave what the library shows untouched. */
static size_t no_unescape(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strlen(text);
}

static void settings_default(struct http_settings *settings)
{
	if (settings->threads == 0)
		settings->threads = 4;
	if (settings->connections_max == 0)
		settings->connections_max = 128;
	if (settings->request_deadline_ms == 0)
		settings->request_deadline_ms = 30000;
	if (!settings->name)
		settings->name = "";
}

static struct MHD_Daemon *daemon_start(struct http_server *server)
{
	const struct http_settings *settings = &server->settings;
	bool pool = settings->threading == HTTP_POOL;
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem pool_size[] = {
		{ MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)settings->threads, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };

	flags |= pool ? MHD_USE_EPOLL : MHD_USE_POLL | MHD_USE_THREAD_PER_CONNECTION;
	/* The logger comes first, so that it also takes what is said while starting. */
	return MHD_start_daemon(
		flags, 0, NULL, NULL, server_access, server, MHD_OPTION_EXTERNAL_LOGGER,
		quiet_logger, NULL, MHD_OPTION_LISTEN_SOCKET, settings->listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, settings->connections_max,
		MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		exchange_begin, server, MHD_OPTION_NOTIFY_COMPLETED, exchange_end, server,
		MHD_OPTION_NOTIFY_CONNECTION, server_connection, server, MHD_OPTION_ARRAY,
		pool ? pool_size : none, MHD_OPTION_END);
}

static void server_free(struct http_server *server)
{
	if (!server)
		return;
	watch_destroy(server->watch);
	pthread_cond_destroy(&server->idle);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

struct http_server *http_server_start(const struct http_settings *settings, struct err *err)
{
	struct http_server *server = alloc_zeroed(1, sizeof(*server));
	pthread_condattr_t attributes;

	if (!server) {
		close(settings->listen_fd);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	server->settings = *settings;
	settings_default(&server->settings);
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&server->idle, &attributes);
	pthread_condattr_destroy(&attributes);
	server->watch = watch_create(err);
	if (server->watch)
		server->daemon = daemon_start(server);
	if (server->daemon)
		return server;
	if (server->watch)
		err_set(err, ERR_IO, "cannot start the HTTP listener '%s'", server->settings.name);
	close(settings->listen_fd);
	server_free(server);
	return NULL;
}

static void server_drain(struct http_server *server, int64_t drain_ms)
{
	int64_t until_us = clock_monotonic_us() + drain_ms * 1000;
	struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
				  .tv_nsec = (long)(until_us % 1000000) * 1000 };

	pthread_mutex_lock(&server->lock);
	while (server->active > 0) {
		if (pthread_cond_timedwait(&server->idle, &server->lock, &until) != 0)
			break;
	}
	pthread_mutex_unlock(&server->lock);
}

void http_server_stop(struct http_server *server, int64_t drain_ms)
{
	if (!server)
		return;

	MHD_socket listen_fd = MHD_quiesce_daemon(server->daemon);

	server_drain(server, drain_ms);
	watch_cut(server->watch, true);
	MHD_stop_daemon(server->daemon);
	if (listen_fd >= 0)
		close(listen_fd);
	server_free(server);
}
