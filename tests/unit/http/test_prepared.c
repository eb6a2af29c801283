/* Answers made once: sent many times, from several threads, after their maker let go, and at the server's end. */
#include <rolebridge/http/server.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "peer.h"

#define HEAD " HTTP/1.1\r\nHost: a\r\n"
#define CLOSE "Connection: close\r\n"

struct fixture {
	char folder[64], path[96];
	struct http_router *router;
	struct http_server *server;
	struct http_prepared *prepared;
	atomic_bool waits, waiting; /* for the end of the server */
};

static struct http_prepared *make(int status, const char *user)
{
	struct http_response response = { .status = status, .body = STRBUF(0) };
	struct err err = { 0 };

	assert_true(http_response_header(&response, "Remote-User", user));
	assert_true(http_response_header(&response, "Remote-Groups", ""));
	assert_true(http_response_header(&response, "X-Twice", "one"));
	assert_true(http_response_header(&response, "X-Twice", "two"));

	struct http_prepared *prepared = http_prepared_create(&response, &err);

	if (!prepared)
		fail_msg("%s", err.text);
	return prepared;
}

/* ---------------------------------------------------------------- handlers -- */

static int shared(struct http_request *request, struct http_response *response, struct err *err)
{
	struct fixture *fixture = request->context;

	(void)err;
	response->prepared = http_prepared_acquire(fixture->prepared);
	return 0;
}

/* Nobody else has it any more when it is sent. */
static int fleeting(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	response->prepared = make(403, "nobody");
	return 0;
}

static int telling(struct http_request *request, struct http_response *response, struct err *err)
{
	struct http_response whole = { .body = STRBUF(100) };

	(void)request;
	strbuf_puts(&whole.body, "{\"told\":true}");
	whole.content_type = "application/json";
	response->prepared = http_prepared_create(&whole, err);
	strbuf_finish(&whole.body);
	return response->prepared ? 0 : -1;
}

static int failing(struct http_request *request, struct http_response *response, struct err *err)
{
	shared(request, response, err);
	return err_set(err, ERR_NOT_FOUND, "no");
}

static int waiting(struct http_request *request, struct http_response *response, struct err *err)
{
	struct fixture *fixture = request->context;

	atomic_store(&fixture->waiting, true);
	while (atomic_load(&fixture->waits))
		usleep(1000);
	return shared(request, response, err);
}

static const struct http_route routes[] = {
	{ "GET", "/shared", shared, HTTP_ROUTE_BARE | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/fleeting", fleeting, HTTP_ROUTE_BARE | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/telling", telling, HTTP_ROUTE_BARE | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/failing", failing, HTTP_ROUTE_BARE | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/waiting", waiting, HTTP_ROUTE_BARE | HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/dressed", shared, HTTP_ROUTE_QUIET, 0, NULL },
};

/* ----------------------------------------------------------------- fixture -- */

static int set_up(void **state)
{
	struct fixture *fixture = alloc_zeroed(1, sizeof(*fixture));
	struct http_settings settings = {
		.name = "web", .threading = HTTP_POOL, .threads = 2, .web = true
	};
	struct err err = { 0 };

	assert_non_null(fixture);
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/rolebridge-prepared-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/web.sock", fixture->folder);
	fixture->router = http_router_create();
	fixture->prepared = make(0, "anna");
	atomic_store(&fixture->waits, true);
	settings.router = fixture->router;
	if (http_router_add(fixture->router, routes, ARRAY_LEN(routes), fixture, NULL, &err) < 0 ||
	    http_listen_unix(fixture->path, NULL, &settings.listen_fd, &err) < 0)
		fail_msg("%s", err.text);
	fixture->server = http_server_start(&settings, &err);
	if (!fixture->server)
		fail_msg("%s", err.text);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	http_server_stop(fixture->server, 1000);
	http_prepared_release(fixture->prepared);
	http_router_destroy(fixture->router);
	unlink(fixture->path);
	assert_int_equal(0, rmdir(fixture->folder));
	free(fixture);
	return 0;
}

static void exchange(const struct fixture *fixture, const char *request, struct strbuf *out)
{
	int fd = peer_dial_unix(fixture->path);

	assert_true(fd >= 0);
	strbuf_clear(out);
	peer_say(fd, request);
	peer_hear(fd, out);
	close(fd);
}

static unsigned count(const char *text, const char *what)
{
	unsigned found = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		found++;
	return found;
}

/* ------------------------------------------------------------------- tests -- */

static void test_sent_again(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	exchange(*state,
		 "GET /shared" HEAD "\r\nHEAD /shared" HEAD "\r\nGET /shared" HEAD CLOSE "\r\n",
		 &answer);

	const char *text = strbuf_text(&answer);

	assert_int_equal(count(text, "HTTP/1.1 200 OK\r\n"), 3);
	assert_int_equal(count(text, "\r\nRemote-User: anna\r\n"), 3);
	assert_int_equal(count(text, "\r\nX-Twice: one\r\nX-Twice: two\r\n"), 3);
	assert_int_equal(count(text, "\r\nContent-Length: 0\r\n"), 3);
	assert_int_equal(count(text, "\r\nConnection: close\r\n"), 1);
	assert_null(strstr(text, "Remote-Groups"));
	assert_null(strstr(text, "X-Request-Id"));
}

static void test_let_go(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	exchange(*state, "GET /fleeting" HEAD "\r\nGET /fleeting" HEAD CLOSE "\r\n", &answer);
	assert_int_equal(count(strbuf_text(&answer), "HTTP/1.1 403 Forbidden\r\n"), 2);
	assert_int_equal(count(strbuf_text(&answer), "\r\nRemote-User: nobody\r\n"), 2);
}

/* With a body, also where the connection ends with it. */
static void test_body(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	exchange(*state, "GET /telling" HEAD "\r\nGET /telling" HEAD CLOSE "\r\n", &answer);
	assert_int_equal(count(strbuf_text(&answer), "\r\nContent-Length: 13\r\n"), 2);
	assert_int_equal(count(strbuf_text(&answer), "\r\n\r\n{\"told\":true}"), 2);
}

/* An error is the whole answer. */
static void test_failed(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	exchange(*state, "GET /failing" HEAD CLOSE "\r\n", &answer);
	assert_int_equal(count(strbuf_text(&answer), "HTTP/1.1 404 "), 1);
	assert_null(strstr(strbuf_text(&answer), "Remote-User"));
}

static void test_only_bare(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	exchange(*state, "GET /dressed" HEAD CLOSE "\r\n", &answer);
	assert_int_equal(count(strbuf_text(&answer), "HTTP/1.1 500 "), 1);
	assert_int_equal(count(strbuf_text(&answer), "X-Frame-Options"), 1);
	assert_null(strstr(strbuf_text(&answer), "Remote-User"));
}

static void *ask_often(void *context)
{
	AUTO(strbuf) struct strbuf answer = STRBUF((size_t)1024 * 1024);
	static const char one[] = "GET /shared" HEAD "\r\n";
	AUTO(strbuf) struct strbuf all = STRBUF(65536);

	for (int i = 0; i < 200; i++)
		strbuf_puts(&all, one);
	strbuf_puts(&all, "GET /fleeting" HEAD CLOSE "\r\n");
	exchange(context, strbuf_text(&all), &answer);
	return (void *)(uintptr_t)count(strbuf_text(&answer), "\r\nRemote-User: anna\r\n");
}

static void test_threads(void **state)
{
	pthread_t threads[8];
	void *answers;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(0, pthread_create(&threads[i], NULL, ask_often, *state));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(0, pthread_join(threads[i], &answers));
		assert_int_equal((uintptr_t)answers, 200);
	}
}

static void *stop(void *context)
{
	struct fixture *fixture = context;

	http_server_stop(fixture->server, 10000);
	fixture->server = NULL;
	return NULL;
}

/* One answer without body. */
static void hear_one(int fd, struct strbuf *out)
{
	char piece[256];
	ssize_t size;

	strbuf_clear(out);
	while (!strstr(strbuf_text(out), "\r\n\r\n")) {
		size = read(fd, piece, sizeof(piece));
		assert_true(size > 0);
		strbuf_append(out, piece, (size_t)size);
	}
}

/* While the server ends, each answer says that its connection ends with it. */
static void test_draining(void **state)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	struct fixture *fixture = *state;
	int slow = peer_dial_unix(fixture->path), fast = peer_dial_unix(fixture->path);
	pthread_t thread;

	peer_say(slow, "GET /waiting" HEAD "\r\n");
	while (!atomic_load(&fixture->waiting))
		usleep(1000);
	peer_say(fast, "GET /shared" HEAD "\r\n");
	hear_one(fast, &answer);
	assert_null(strstr(strbuf_text(&answer), "Connection: close"));
	assert_int_equal(0, pthread_create(&thread, NULL, stop, fixture));
	while (!strstr(strbuf_text(&answer), "Connection: close")) {
		peer_say(fast, "GET /shared" HEAD "\r\n");
		hear_one(fast, &answer);
		assert_int_equal(count(strbuf_text(&answer), "\r\nRemote-User: anna\r\n"), 1);
	}
	close(fast);
	atomic_store(&fixture->waits, false);
	strbuf_clear(&answer);
	peer_hear(slow, &answer);
	close(slow);
	assert_int_equal(0, pthread_join(thread, NULL));

	const char *text = strbuf_text(&answer);

	assert_int_equal(count(text, "HTTP/1.1 200 OK\r\n"), 1);
	assert_int_equal(count(text, "\r\nRemote-User: anna\r\n"), 1);
	assert_int_equal(count(text, "\r\nX-Twice: one\r\nX-Twice: two\r\n"), 1);
	assert_int_equal(count(text, "\r\nConnection: close\r\n"), 1);
	assert_null(strstr(text, "Remote-Groups"));
}

static int no_part(void *context, struct strbuf *out, struct err *err)
{
	(void)context;
	(void)out;
	(void)err;
	return 0;
}

static void test_refused(void **state)
{
	struct fixture *fixture = *state;
	struct http_response responses[] = {
		{ .failed = true, .body = STRBUF(0) },
		{ .body = STRBUF(1) },
		{ .body = STRBUF(0), .stream.next = no_part },
		{ .body = STRBUF(0), .prepared = fixture->prepared },
	};
	struct err err;

	strbuf_puts(&responses[1].body, "more than it takes");
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		assert_null(http_prepared_create(&responses[i], &err));
		assert_int_equal(err.code, ERR_INTERNAL);
	}
	strbuf_finish(&responses[1].body);
	http_prepared_release(NULL);
}

static void test_without_memory(void **state)
{
	struct http_response response = { .body = STRBUF(0) };
	struct http_prepared *prepared = NULL;
	struct err err = { 0 };

	(void)state;
	for (long n = 0; !prepared; n++) {
		alloc_fail_after(n);
		prepared = http_prepared_create(&response, &err);
		if (alloc_fail_after(-1) < 0)
			assert_null(prepared);
		assert_true(prepared || err.code == ERR_MEMORY);
	}
	http_prepared_release(prepared);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sent_again), TEST(test_let_go),    TEST(test_body),
		TEST(test_failed),     TEST(test_only_bare), TEST(test_threads),
		TEST(test_draining),   TEST(test_refused),   TEST(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
