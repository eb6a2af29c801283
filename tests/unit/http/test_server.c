/*
 * The server as a peer meets it: a real one on a unix socket in a temporary
 * folder, requests as raw bytes.
 */
#include <rolebridge/http/server.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#define DEADLINE_MS 5000

struct fixture {
	char folder[64], path[96];
	struct http_router *router;
	struct http_server *server;
	int fd;
	bool deny;
	unsigned handled;
	uid_t seen_uid;
	char seen_body[64];
};

/* ---------------------------------------------------------------- handlers -- */

static int echo(struct http_request *request, struct http_response *response, struct err *err)
{
	struct fixture *fixture = request->context;

	(void)err;
	fixture->handled++;
	fixture->seen_uid = request->peer.uid;
	snprintf(fixture->seen_body, sizeof(fixture->seen_body), "%s", request->body);
	strbuf_printf(&response->body, "{\"size\":%zu,\"name\":\"%s\"}", request->body_size,
		      http_parameter(request, "name"));
	return 0;
}

static int refuse(struct http_request *request, struct http_response *response, struct err *err)
{
	strbuf_puts(&response->body, "half an answer");
	request->error_field = "color";
	return err_refuse(err, ERR_CONFLICT, "last-administrator", "no \"more\"\n");
}

static int slow(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	/* Longer than the deadline for a request to arrive: that one must not cut the answer. */
	usleep((DEADLINE_MS + 200) * 1000);
	strbuf_puts(&response->body, "{}");
	return 0;
}

static int stream_next(void *context, struct strbuf *out, struct err *err)
{
	int *left = context;

	if (*left < 0)
		return err_set(err, ERR_IO, "broken on purpose");
	for (int i = 0; i < 10000 && *left > 0; i++, (*left)--)
		strbuf_puts(out, "0123456789abcdef");
	return 0;
}

static int stream(struct http_request *request, struct http_response *response, struct err *err)
{
	int *left = malloc(sizeof(*left));
	int64_t lines;

	if (!left || http_query_int(request, "lines", -1, 100000, 1, &lines, err) < 0) {
		free(left);
		return -1;
	}
	*left = (int)lines;
	response->stream = (struct http_stream){ stream_next, free, left };
	response->content_type = "text/plain";
	return 0;
}

static const struct http_route routes[] = {
	{ "GET", "/echo/{name}", echo, 0, 0, NULL },
	{ "POST", "/echo", echo, 0, 1000, NULL },
	{ "POST", "/none", echo, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "GET", "/fail", refuse, 0, 0, NULL },
	{ "GET", "/slow", slow, 0, 0, NULL },
	{ "GET", "/stream", stream, 0, 0, NULL },
};

static struct fixture *current; /* before() has no context but the request's */

static int before(struct http_request *request, struct err *err)
{
	request->actor = "unix:test";
	return current->deny ? err_set(err, ERR_DENIED, "not for you") : 0;
}

/* ----------------------------------------------------------------- fixture -- */

static int start(void **state, enum http_threading threading)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct err err;
	int fd;

	assert_non_null(fixture);
	log_set_level(LOG_LEVEL_ERROR);
	current = fixture;
	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/rolebridge-http-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/control.sock", fixture->folder);
	fixture->router = http_router_create();
	assert_int_equal(0, http_router_add(fixture->router, routes, ARRAY_LEN(routes), fixture,
					    before, &err));
	assert_int_equal(0, http_listen_unix(fixture->path, NULL, &fd, &err));

	struct http_settings settings = { .name = "test",
					  .listen_fd = fd,
					  .threading = threading,
					  .request_deadline_ms = DEADLINE_MS,
					  .router = fixture->router };

	fixture->fd = fd;
	fixture->server = http_server_start(&settings, &err);
	assert_non_null(fixture->server);
	*state = fixture;
	return 0;
}

static int start_threads(void **state)
{
	return start(state, HTTP_THREAD_PER_CONNECTION);
}

static int start_pool(void **state)
{
	return start(state, HTTP_POOL);
}

static int stop(void **state)
{
	struct fixture *fixture = *state;

	http_unlisten_unix(fixture->path, fixture->fd);
	http_server_stop(fixture->server, 1000);
	http_router_destroy(fixture->router);
	assert_int_equal(0, rmdir(fixture->folder));
	free(fixture);
	return 0;
}

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void say(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the server may hang up early; the answer tells */
		text += sent;
		size -= (size_t)sent;
	}
}

/* All until the end of the connection. */
static void hear(int fd, struct strbuf *out)
{
	char buffer[65536];
	ssize_t size;

	while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		strbuf_append(out, buffer, (size_t)size);
}

static void exchange(const struct fixture *fixture, const char *request, struct strbuf *out)
{
	int fd = dial(fixture->path);

	assert_true(fd >= 0);
	strbuf_clear(out);
	say(fd, request, strlen(request));
	/* Nothing more comes from us: a server that still waits for a body ends by its deadline. */
	hear(fd, out);
	close(fd);
}

/* ------------------------------------------------------------------- tests -- */

#define HEAD " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

static const struct {
	const char *name, *request;
	const char *status; /* "" : no answer, the connection ends */
	const char *holds;
} cases[] = {
	{ "plain", "GET /echo/a" HEAD "\r\n", "200", "\"name\":\"a\"" },
	{ "decoded once", "GET /echo/a%2Fb%2541" HEAD "\r\n", "200", "\"name\":\"a/b%41\"" },
	{ "head", "HEAD /echo/a" HEAD "\r\n", "200", "application/json" },
	{ "request id", "GET /echo/a" HEAD "\r\n", "200", "X-Request-Id: 0" },
	{ "not cached", "GET /echo/a" HEAD "\r\n", "200", "Cache-Control: no-store" },
	{ "not sniffed", "GET /echo/a" HEAD "\r\n", "200", "X-Content-Type-Options: nosniff" },
	{ "unknown route", "GET /nothing" HEAD "\r\n", "404", "\"code\":\"not-found\"" },
	{ "empty segment", "GET /echo/" HEAD "\r\n", "404", "not-found" },
	{ "deeper", "GET /echo/a/b" HEAD "\r\n", "404", "not-found" },
	{ "dot segment", "GET /echo/%2e%2e" HEAD "\r\n", "400", "dot segment" },
	{ "nul", "GET /echo/a%00b" HEAD "\r\n", "400", "invalid-request" },
	{ "not utf-8", "GET /echo/%ff" HEAD "\r\n", "400", "UTF-8" },
	{ "bad escape", "GET /echo/%4" HEAD "\r\n", "400", "percent" },
	{ "absolute form", "GET http://x/echo/a" HEAD "\r\n", "400", "invalid-request" },
	{ "wrong method", "DELETE /echo/a" HEAD "\r\n", "405", "Allow: GET" },
	{ "query twice", "GET /stream?lines=1&lines=2" HEAD "\r\n", "422", "twice" },
	{ "query not a number", "GET /stream?lines=x" HEAD "\r\n", "422", "\"field\":\"lines\"" },
	{ "handler's error", "GET /fail" HEAD "\r\n", "409", "\"code\":\"last-administrator\"" },
	{ "error text escaped", "GET /fail" HEAD "\r\n", "409", "no \\\"more\\\"\\n" },
	{ "error names the field", "GET /fail" HEAD "\r\n", "409", "\"field\":\"color\"" },
	{ "body", "POST /echo" HEAD "Content-Length: 5\r\n\r\nhello", "200", "\"size\":5" },
	{ "chunked", "POST /echo" HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	  "200", "\"size\":5" },
	{ "no body taken", "POST /none" HEAD "Content-Length: 5\r\n\r\nhello", "400",
	  "takes no body" },
	{ "two lengths", "POST /echo" HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	  "400", "ambiguous" },
	{ "two equal lengths",
	  "POST /echo" HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400",
	  "ambiguous" },
	{ "length and encoding",
	  "POST /echo" HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "0\r\n\r\nGET /echo/smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
	  "400", "Transfer-Encoding" },
	{ "encoding not chunked",
	  "POST /echo" HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400", "400" },
	{ "two hosts", "GET /echo/a" HEAD "Host: evil\r\n\r\n", "400", "2 Host headers" },
	{ "no host", "GET /echo/a HTTP/1.0\r\n\r\n", "400", "0 Host headers" },
	{ "signed length", "POST /echo" HEAD "Content-Length: +5\r\n\r\nhello", "400", "400" },
	{ "length overflows", "POST /echo" HEAD "Content-Length: 18446744073709551621\r\n\r\nhello",
	  "4", "HTTP/1.1 4" },
	{ "declared too long", "POST /echo" HEAD "Content-Length: 99999999999\r\n\r\nhello", "413",
	  "too-large" },
};

static void test_cases(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(1024 * 1024);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char expect[32];

		snprintf(expect, sizeof(expect), "HTTP/1.1 %s", cases[i].status);
		exchange(fixture, cases[i].request, &answer);
		if (strncmp(strbuf_text(&answer), expect, strlen(expect)) != 0 ||
		    !strstr(strbuf_text(&answer), cases[i].holds))
			fail_msg("%s: %s", cases[i].name, strbuf_text(&answer));
		if (strstr(strbuf_text(&answer), "smuggled"))
			fail_msg("%s: a second request was read", cases[i].name);
	}
}

static void test_peer(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	fixture->seen_uid = 12345;
	exchange(fixture, "GET /echo/a" HEAD "\r\n", &answer);
	assert_int_equal(getuid(), fixture->seen_uid);
}

static void test_denied_before_the_body(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	fixture->deny = true;
	exchange(fixture, "POST /echo" HEAD "Content-Length: 5\r\n\r\nhello", &answer);
	assert_non_null(strstr(strbuf_text(&answer), "HTTP/1.1 403"));
	assert_non_null(strstr(strbuf_text(&answer), "\"code\":\"not-allowed\""));
	assert_int_equal(0, fixture->handled);
}

static void post_of_size(struct fixture *fixture, size_t size, bool chunked, struct strbuf *answer)
{
	AUTO(strbuf) struct strbuf request = STRBUF(16 * 1024 * 1024);

	strbuf_puts(&request, "POST /echo" HEAD);
	if (chunked)
		strbuf_printf(&request, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", size);
	else
		strbuf_printf(&request, "Content-Length: %zu\r\n\r\n", size);
	for (size_t i = 0; i < size; i++)
		strbuf_putc(&request, 'x');
	if (chunked)
		strbuf_puts(&request, "\r\n0\r\n\r\n");
	exchange(fixture, strbuf_text(&request), answer);
}

static void test_body_cap(void **state)
{
	static const struct {
		const char *name;
		size_t size;
		bool chunked;
		const char *answer; /* "": the connection just ends */
	} sizes[] = {
		{ "at the cap", 1000, false, "HTTP/1.1 200" },
		{ "over the cap", 1001, false, "HTTP/1.1 413" },
		{ "far over the cap", 3000000, false, "HTTP/1.1 413" },
		{ "chunked at the cap", 1000, true, "HTTP/1.1 200" },
		{ "chunked over the cap", 1001, true, "HTTP/1.1 413" },
		{ "chunked without end", 3000000, true, "" },
	};
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		post_of_size(fixture, sizes[i].size, sizes[i].chunked, &answer);
		if (strncmp(strbuf_text(&answer), sizes[i].answer, strlen(sizes[i].answer)) != 0 ||
		    (!sizes[i].answer[0] && answer.size > 0))
			fail_msg("%s: %s", sizes[i].name, strbuf_text(&answer));
	}
}

static void test_keep_alive(void **state)
{
	static const char first[] =
		"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	int fd = dial(fixture->path);

	/* An error whose body was discarded leaves the connection in step. */
	say(fd, first, strlen(first));
	say(fd, "GET /echo/two" HEAD "\r\n", strlen("GET /echo/two" HEAD "\r\n"));
	hear(fd, &answer);
	close(fd);
	assert_non_null(strstr(strbuf_text(&answer), "HTTP/1.1 400"));
	assert_non_null(strstr(strbuf_text(&answer), "\"name\":\"two\""));
}

/* A byte now and then does not keep a connection alive: the whole request has one deadline. */
static void test_dripping(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	int64_t start_us = clock_monotonic_us();
	int fd = dial(fixture->path);
	bool ended = false;

	say(fd, "GET /echo/a HTTP/1.1\r\nX-", strlen("GET /echo/a HTTP/1.1\r\nX-"));
	while (!ended && clock_monotonic_us() - start_us < 60000000) {
		usleep(DEADLINE_MS * 1000 / 10);
		ended = send(fd, "a", 1, MSG_NOSIGNAL) < 0;
	}
	assert_true(ended);
	hear(fd, &answer);
	close(fd);
	assert_int_equal(0, answer.size);
	assert_int_equal(0, fixture->handled);
}

static void test_idle_ends(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	int fd = dial(fixture->path);

	hear(fd, &answer); /* would hang if nobody cut it */
	close(fd);
	assert_int_equal(0, answer.size);
}

static void test_slow_handler_is_not_cut(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	exchange(fixture, "GET /slow" HEAD "\r\n", &answer);
	assert_non_null(strstr(strbuf_text(&answer), "HTTP/1.1 200"));
}

static void test_stream(void **state)
{
	struct fixture *fixture = *state;
	AUTO(strbuf) struct strbuf answer = STRBUF(16 * 1024 * 1024);

	exchange(fixture, "GET /stream?lines=50000 HTTP/1.0\r\nHost: x\r\n\r\n", &answer);
	assert_non_null(strstr(strbuf_text(&answer), "HTTP/1."));

	const char *body = strstr(strbuf_text(&answer), "\r\n\r\n");

	assert_non_null(body);
	assert_int_equal(50000 * 16, strlen(body + 4));
	/* One that breaks ends without the last chunk, so that nobody takes a part for the whole. */
	exchange(fixture, "GET /stream?lines=-1" HEAD "\r\n", &answer);
	assert_null(strstr(strbuf_text(&answer), "\r\n0\r\n"));
}

static void test_stop_with_open_connections(void **state)
{
	struct fixture *fixture = *state;
	int idle = dial(fixture->path), half = dial(fixture->path);

	char path[96];

	snprintf(path, sizeof(path), "%s", fixture->path);
	say(half, "POST /echo HTTP/1.1\r\n", strlen("POST /echo HTTP/1.1\r\n"));
	stop(state); /* would hang or abort */
	assert_true(dial(path) < 0);
	close(idle);
	close(half);
}

/* ------------------------------------------------------------ the socket file -- */

static void test_socket_file(void **state)
{
	struct fixture *fixture = *state;
	struct err err;
	struct stat st;
	char path[128];
	int fd;

	assert_int_equal(0, stat(fixture->path, &st));
	assert_int_equal(0600, st.st_mode & 0777);
	/* One that answers is not taken away. */
	assert_int_equal(-1, http_listen_unix(fixture->path, NULL, &fd, &err));
	assert_int_equal(ERR_CONFLICT, err.code);
	/* A dead one is. */
	snprintf(path, sizeof(path), "%s/dead.sock", fixture->folder);
	assert_int_equal(0, http_listen_unix(path, NULL, &fd, &err));
	close(fd);
	assert_int_equal(0, http_listen_unix(path, NULL, &fd, &err));
	http_unlisten_unix(path, fixture->fd); /* not that one's */
	assert_int_equal(0, stat(path, &st));
	http_unlisten_unix(path, fd);
	assert_int_equal(-1, stat(path, &st));
	close(fd);
	/* What is no socket stays. */
	snprintf(path, sizeof(path), "%s/file", fixture->folder);

	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fclose(file);
	assert_int_equal(-1, http_listen_unix(path, NULL, &fd, &err));
	assert_int_equal(ERR_CONFLICT, err.code);
	http_unlisten_unix(path, fixture->fd);
	assert_int_equal(0, unlink(path));
}

static void test_socket_path_too_long(void **state)
{
	char path[300];
	struct err err;
	int fd;

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	assert_int_equal(-1, http_listen_unix(path, NULL, &fd, &err));
	assert_int_equal(ERR_TOO_LARGE, err.code);
}

#define BOTH(test) \
	{ #test " threads", test, start_threads, stop, NULL }, \
	{ \
#test " pool", test, start_pool, stop, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_cases),
		BOTH(test_peer),
		BOTH(test_denied_before_the_body),
		BOTH(test_body_cap),
		BOTH(test_keep_alive),
		BOTH(test_dripping),
		BOTH(test_idle_ends),
		BOTH(test_slow_handler_is_not_cut),
		BOTH(test_stream),
		BOTH(test_socket_file),
		{ "stop with open connections, threads", test_stop_with_open_connections,
		  start_threads, NULL, NULL },
		{ "stop with open connections, pool", test_stop_with_open_connections, start_pool,
		  NULL, NULL },
		cmocka_unit_test(test_socket_path_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
