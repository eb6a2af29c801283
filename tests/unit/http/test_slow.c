/*
 * Slow handlers: suspended connections are answered exactly once, whatever comes first: the handler's end, the
 * deadline, the client's going, the server's stop. Handlers here wait until the test lets them go.
 */
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
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "peer.h"

#define HEAD " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
#define PATIENCE_US ((int64_t)60 * 1000000)

struct fixture {
	struct http_router *router;
	struct http_server *server;
	int fd;
	unsigned port;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open, first_open;
	atomic_uint staged, waiting; /* handlers that began, and that said they wait */
	atomic_uint entered, left, closed;
};

static void gate_open(struct fixture *fixture)
{
	pthread_mutex_lock(&fixture->lock);
	fixture->open = true;
	pthread_cond_broadcast(&fixture->changed);
	pthread_mutex_unlock(&fixture->lock);
}

/* Waits at the gate, then reads all it was given. */
static int gated(struct http_request *request, struct http_response *response, struct err *err)
{
	struct fixture *fixture = request->context;

	(void)err;
	atomic_fetch_add(&fixture->entered, 1);
	pthread_mutex_lock(&fixture->lock);
	while (!fixture->open)
		pthread_cond_wait(&fixture->changed, &fixture->lock);
	pthread_mutex_unlock(&fixture->lock);
	request->actor = "somebody";

	const char *header = http_header(request, "X-Test"), *cookie = http_cookie(request, "c");

	strbuf_printf(&response->body, "{\"body\":\"%s\",\"header\":\"%s\",\"cookie\":\"%s\"}",
		      request->body, header ? header : "", cookie ? cookie : "");
	http_response_header(response, "X-Answer",
			     arena_printf(request->arena, "%zu", request->body_size));
	atomic_fetch_add(&fixture->left, 1);
	return 0;
}

static int direct(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)err;
	strbuf_puts(&response->body, "{\"direct\":true}");
	return 0;
}

/* Two gates: the first keeps others out, the second is waited at together. */
static int staged(struct http_request *request, struct http_response *response, struct err *err)
{
	struct fixture *fixture = request->context;

	atomic_fetch_add(&fixture->staged, 1);
	pthread_mutex_lock(&fixture->lock);
	while (!fixture->first_open)
		pthread_cond_wait(&fixture->changed, &fixture->lock);
	pthread_mutex_unlock(&fixture->lock);
	if (http_header(request, "X-Leave"))
		return direct(request, response, err);
	http_request_waits(request);
	http_request_waits(request); /* a second time says nothing */
	atomic_fetch_add(&fixture->waiting, 1);
	return gated(request, response, err);
}

static int refuse(struct http_request *request, struct http_response *response, struct err *err)
{
	(void)request;
	(void)response;
	return err_refuse(err, ERR_DENIED, "not-allowed", "not you");
}

static int stream_next(void *context, struct strbuf *out, struct err *err)
{
	(void)context;
	(void)out;
	(void)err;
	return 0;
}

static void stream_close(void *context)
{
	struct fixture *fixture = context;

	atomic_fetch_add(&fixture->closed, 1);
}

static int gated_stream(struct http_request *request, struct http_response *response,
			struct err *err)
{
	response->stream = (struct http_stream){ stream_next, stream_close, request->context };
	return gated(request, response, err);
}

static const struct http_route routes[] = {
	{ "GET", "/stuck", gated, 0, 0, NULL },
	{ "GET", "/auth", direct, HTTP_ROUTE_BARE, 0, NULL },
	{ "POST", "/gated", gated, HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/gated", gated, HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/stream", gated_stream, HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/staged", staged, HTTP_ROUTE_SLOW | HTTP_ROUTE_STAGED, 0, NULL },
	{ "GET", "/refuse", refuse, HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/direct", direct, 0, 0, NULL },
};

static struct fixture *begin(struct http_settings settings)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct err err = { 0 };

	assert_non_null(fixture);
	log_set_level(LOG_LEVEL_ERROR);
	pthread_mutex_init(&fixture->lock, NULL);
	pthread_cond_init(&fixture->changed, NULL);
	fixture->router = http_router_create();
	assert_int_equal(0, http_router_add(fixture->router, routes, ARRAY_LEN(routes), fixture,
					    NULL, &err));
	if (http_listen_tcp("127.0.0.1:0", &fixture->fd, &err) < 0)
		fail_msg("%s", err.text);
	fixture->port = http_listen_port(fixture->fd);
	settings.name = "test";
	settings.listen_fd = fixture->fd;
	settings.threading = HTTP_POOL;
	settings.threads = 2;
	settings.router = fixture->router;
	fixture->server = http_server_start(&settings, &err);
	if (!fixture->server)
		fail_msg("%s", err.text);
	return fixture;
}

static void finish(struct fixture *fixture)
{
	gate_open(fixture);
	http_server_stop(fixture->server, 5000);
	http_router_destroy(fixture->router);
	pthread_cond_destroy(&fixture->changed);
	pthread_mutex_destroy(&fixture->lock);
	free(fixture);
}

static void wait_for(atomic_uint *count, unsigned value)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	while (atomic_load(count) < value && clock_monotonic_us() < until_us)
		usleep(1000);
	assert_true(atomic_load(count) >= value);
}

static void wait_queued(struct fixture *fixture, uint64_t value)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	struct http_counts counts;

	do {
		usleep(1000);
		http_server_counts(fixture->server, &counts);
	} while (counts.slow_queued < value && clock_monotonic_us() < until_us);
	assert_int_equal(value, counts.slow_queued);
}

static void expect(int fd, const char *status, const char *holds)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);

	peer_hear(fd, &answer);
	close(fd);
	if (strncmp(strbuf_text(&answer), status, strlen(status)) != 0 ||
	    !strstr(strbuf_text(&answer), holds))
		fail_msg("expected '%s' with '%s', got: %s", status, holds, strbuf_text(&answer));
}

static int ask(struct fixture *fixture, const char *request)
{
	int fd = peer_dial_tcp(fixture->port);

	assert_true(fd >= 0);
	peer_say(fd, request);
	return fd;
}

/* ------------------------------------------------------------------- tests -- */

static void test_answer(void **state)
{
	struct fixture *fixture = begin((struct http_settings){ .slow_threads = 1 });
	int fd = ask(fixture, "POST /gated" HEAD "X-Test: yes\r\nCookie: c=1\r\n"
			      "Content-Length: 5\r\n\r\nhello");

	(void)state;
	wait_for(&fixture->entered, 1);
	/* Others are served meanwhile. */
	for (int i = 0; i < 8; i++)
		expect(ask(fixture, "GET /direct" HEAD "\r\n"), "HTTP/1.1 200", "direct");
	gate_open(fixture);
	expect(fd, "HTTP/1.1 200", "{\"body\":\"hello\",\"header\":\"yes\",\"cookie\":\"1\"}");
	expect(ask(fixture, "GET /refuse" HEAD "\r\n"), "HTTP/1.1 403", "not you");
	finish(fixture);
}

static void test_keep_alive(void **state)
{
	static const char first[] = "GET /gated HTTP/1.1\r\nHost: x\r\nX-Test: one\r\n\r\n";
	struct fixture *fixture = begin((struct http_settings){ .slow_threads = 1 });
	AUTO(strbuf) struct strbuf answer = STRBUF(65536);
	int fd = ask(fixture, first);

	(void)state;
	/* The second stands in the buffer while the first is suspended. */
	peer_say(fd, "GET /gated" HEAD "X-Test: two\r\n\r\n");
	wait_for(&fixture->entered, 1);
	gate_open(fixture);
	peer_hear(fd, &answer);
	close(fd);

	const char *one = strstr(strbuf_text(&answer), "one");

	assert_non_null(one);
	assert_non_null(strstr(one, "two"));
	finish(fixture);
}

static void open_first(struct fixture *fixture)
{
	pthread_mutex_lock(&fixture->lock);
	fixture->first_open = true;
	pthread_cond_broadcast(&fixture->changed);
	pthread_mutex_unlock(&fixture->lock);
}

/* One at a time until it says that it waits; then all wait together. Others are not held up by them. */
static void test_staged(void **state)
{
	struct fixture *fixture =
		begin((struct http_settings){ .slow_threads = 4, .slow_starts_max = 1 });
	int staged_fds[3], other;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(staged_fds); i++)
		staged_fds[i] = ask(fixture, "GET /staged" HEAD "\r\n");
	wait_for(&fixture->staged, 1);
	wait_queued(fixture, 2);
	other = ask(fixture, "GET /gated" HEAD "\r\n");
	wait_for(&fixture->entered, 1);
	assert_int_equal(1, atomic_load(&fixture->staged));
	open_first(fixture);
	wait_for(&fixture->waiting, 3);
	wait_for(&fixture->entered, 4);
	gate_open(fixture);
	for (size_t i = 0; i < ARRAY_LEN(staged_fds); i++)
		expect(staged_fds[i], "HTTP/1.1 200", "body");
	expect(other, "HTTP/1.1 200", "body");
	finish(fixture);
}

/* Whoever ends without waiting makes room as well, and what is never begun has a deadline. */
static void test_staged_ends(void **state)
{
	struct fixture *fixture = begin((struct http_settings){
		.slow_threads = 4, .slow_starts_max = 1, .slow_deadline_ms = 2000 });
	int first = ask(fixture, "GET /staged" HEAD "X-Leave: 1\r\n\r\n"), second;

	(void)state;
	wait_for(&fixture->staged, 1);
	second = ask(fixture, "GET /staged" HEAD "X-Leave: 1\r\n\r\n");
	expect(second, "HTTP/1.1 503", "took too long");
	expect(first, "HTTP/1.1 503", "took too long");
	assert_int_equal(1, atomic_load(&fixture->staged));
	open_first(fixture);
	for (unsigned i = 0; i < 8; i++)
		expect(ask(fixture, "GET /staged" HEAD "X-Leave: 1\r\n\r\n"), "HTTP/1.1 200",
		       "direct");
	finish(fixture);
}

static void test_queue_full(void **state)
{
	struct fixture *fixture =
		begin((struct http_settings){ .slow_threads = 1, .slow_queue_max = 2 });
	struct http_counts counts;
	int fds[3];

	(void)state;
	fds[0] = ask(fixture, "GET /gated" HEAD "\r\n");
	wait_for(&fixture->entered, 1);
	fds[1] = ask(fixture, "GET /gated" HEAD "\r\n");
	fds[2] = ask(fixture, "GET /gated" HEAD "\r\n");
	wait_queued(fixture, 2);
	expect(ask(fixture, "GET /gated" HEAD "\r\n"), "HTTP/1.1 503", "Retry-After: 2");
	http_server_counts(fixture->server, &counts);
	assert_int_equal(1, counts.slow_refused);
	gate_open(fixture);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		expect(fds[i], "HTTP/1.1 200", "body");
	finish(fixture);
}

static void test_deadline(void **state)
{
	struct fixture *fixture =
		begin((struct http_settings){ .slow_threads = 1, .slow_deadline_ms = 2000 });
	int running = ask(fixture, "POST /gated" HEAD "Content-Length: 5\r\n\r\nhello");

	(void)state;
	wait_for(&fixture->entered, 1);

	int queued = ask(fixture, "GET /gated" HEAD "\r\n");

	expect(running, "HTTP/1.1 503", "Retry-After: 5");
	expect(queued, "HTTP/1.1 503", "\"timeout\"");
	/* The one that ran ends without anybody listening, the other never began; the thread is free again. */
	gate_open(fixture);
	wait_for(&fixture->left, 1);
	expect(ask(fixture, "GET /gated" HEAD "\r\n"), "HTTP/1.1 200", "body");
	assert_int_equal(2, atomic_load(&fixture->entered));
	finish(fixture);
}

static void test_late_stream_is_closed(void **state)
{
	struct fixture *fixture =
		begin((struct http_settings){ .slow_threads = 1, .slow_deadline_ms = 2000 });
	int fd = ask(fixture, "GET /stream" HEAD "\r\n");

	(void)state;
	expect(fd, "HTTP/1.1 503", "timeout");
	assert_int_equal(0, atomic_load(&fixture->closed));
	gate_open(fixture);
	wait_for(&fixture->closed, 1);
	fd = ask(fixture, "GET /stream" HEAD "\r\n");
	expect(fd, "HTTP/1.1 200", "");
	wait_for(&fixture->closed, 2);
	finish(fixture);
}

static void test_client_gone(void **state)
{
	struct fixture *fixture = begin((struct http_settings){ .slow_threads = 2 });

	(void)state;
	for (int i = 0; i < 6; i++)
		close(ask(fixture, "GET /gated" HEAD "\r\n"));
	wait_for(&fixture->entered, 2);
	gate_open(fixture);
	wait_for(&fixture->left, 6);
	expect(ask(fixture, "GET /gated" HEAD "\r\n"), "HTTP/1.1 200", "body");
	finish(fixture);
}

static void *open_later(void *context)
{
	struct fixture *fixture = context;

	usleep(100 * 1000);
	gate_open(fixture);
	return NULL;
}

/* One runs, others wait, one is idle, one is half sent: none may be suspended when the library stops. */
static void test_stop(void **state)
{
	struct fixture *fixture =
		begin((struct http_settings){ .slow_threads = 1, .slow_queue_max = 16 });
	int idle = peer_dial_tcp(fixture->port), half = ask(fixture, "POST /gated HTTP/1.1\r\n");
	int fds[4];
	pthread_t thread;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = ask(fixture, "GET /gated" HEAD "\r\n");
	wait_for(&fixture->entered, 1);
	wait_queued(fixture, 3);
	assert_int_equal(0, pthread_create(&thread, NULL, open_later, fixture));
	http_server_stop(fixture->server, 0); /* gives up at once, waits for the handler */
	pthread_join(thread, NULL);
	assert_int_equal(1, atomic_load(&fixture->left));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		expect(fds[i], "HTTP/1.1 503", "Connection: close");
	assert_true(peer_dial_tcp(fixture->port) < 0);
	close(idle);
	close(half);
	fixture->server = NULL;
	finish(fixture);
}

static void test_drain(void **state)
{
	struct fixture *fixture = begin((struct http_settings){ .slow_threads = 1 });
	int fd = ask(fixture, "GET /gated" HEAD "\r\n");
	pthread_t thread;

	(void)state;
	wait_for(&fixture->entered, 1);
	assert_int_equal(0, pthread_create(&thread, NULL, open_later, fixture));
	http_server_stop(fixture->server, 10000);
	pthread_join(thread, NULL);
	expect(fd, "HTTP/1.1 200", "body");
	fixture->server = NULL;
	finish(fixture);
}

/* Whatever allocation of a request fails, it is answered with an error or cut, and the next one is served. */
static void test_no_memory(void **state)
{
	static const char *const requests[] = {
		"GET /direct" HEAD "X-Test: a\r\n\r\n",
		"POST /gated" HEAD "Cookie: c=1\r\nContent-Length: 5\r\n\r\nhello",
		"GET /stream" HEAD "\r\n",
	};
	struct fixture *fixture = begin((struct http_settings){ .slow_threads = 1, .web = true });
	unsigned failures = 0;

	(void)state;
	gate_open(fixture);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		long left = -1;

		for (long n = 0; left < 0 && n < 1000; n++) {
			AUTO(strbuf) struct strbuf answer = STRBUF(65536);
			int fd = peer_dial_tcp(fixture->port);

			assert_true(strbuf_reserve(&answer, 60000) != NULL);
			alloc_fail_after(n);
			peer_say(fd, requests[i]);
			peer_hear(fd, &answer);
			left = alloc_fail_after(-1);
			failures += left < 0;
			close(fd);
			if (left >= 0 || n % 4 == 0)
				expect(ask(fixture, requests[i]), "HTTP/1.1 200", "");
		}
		assert_true(left >= 0);
	}
	assert_true(failures > 6);
	finish(fixture);
}

/* ------------------------------------------------------------------ crowd -- */

struct crowd {
	struct fixture *fixture;
	unsigned seed, good, busy, cut;
};

static void *crowd_member(void *context)
{
	struct crowd *crowd = context;

	for (int i = 0; i < 150; i++) {
		AUTO(strbuf) struct strbuf answer = STRBUF(65536);
		int fd = peer_dial_tcp(crowd->fixture->port);

		if (fd < 0)
			break;
		peer_say(fd, rand_r(&crowd->seed) % 4 == 0 ? "GET /direct" HEAD "\r\n"
							   : "POST /gated" HEAD
							     "Content-Length: 5\r\n\r\nhello");
		if (rand_r(&crowd->seed) % 5 > 0)
			peer_hear(fd, &answer);
		close(fd);
		crowd->good += strncmp(strbuf_text(&answer), "HTTP/1.1 200", 12) == 0;
		crowd->busy += strncmp(strbuf_text(&answer), "HTTP/1.1 503", 12) == 0;
		crowd->cut += answer.size == 0;
	}
	return NULL;
}

static void crowd_run(struct fixture *fixture, int64_t stop_after_us, unsigned *ret_good)
{
	struct crowd crowd[8] = { 0 };
	pthread_t threads[ARRAY_LEN(crowd)];

	*ret_good = 0;
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		crowd[i] = (struct crowd){ .fixture = fixture, .seed = (unsigned)i };
		assert_int_equal(0, pthread_create(&threads[i], NULL, crowd_member, &crowd[i]));
	}
	if (stop_after_us >= 0) {
		usleep((useconds_t)stop_after_us);
		http_server_stop(fixture->server, 0);
		fixture->server = NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		pthread_join(threads[i], NULL);
		*ret_good += crowd[i].good;
	}
}

static void test_crowd(void **state)
{
	struct fixture *fixture = begin((struct http_settings){
		.slow_threads = 3, .slow_queue_max = 4, .connections_max = 64 });
	unsigned good;

	(void)state;
	gate_open(fixture);
	crowd_run(fixture, -1, &good);
	assert_true(good > 100);
	finish(fixture);
}

static void test_stop_in_a_crowd(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct fixture *fixture = begin((struct http_settings){
			.slow_threads = 3, .slow_queue_max = 4, .slow_deadline_ms = 50 });
		unsigned good;

		gate_open(fixture);
		crowd_run(fixture, i * 2000, &good);
		finish(fixture);
	}
}

/* --- what is told of them --- */

static bool wait_turning(void)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	/* The first may be of a turn long ago. */
	http_loops_turn();
	do
		usleep(200000);
	while (!http_loops_turn() && clock_monotonic_us() < until_us);
	return clock_monotonic_us() < until_us;
}

/* Slow handlers keep no loop from turning; one in a loop's own thread does, and is noticed. */
static void test_loops_turn(void **state)
{
	struct fixture *fixture = begin((struct http_settings){ 0 });
	int slow = peer_dial_tcp(fixture->port), stuck;

	(void)state;
	peer_say(slow, "GET /gated" HEAD "\r\n");
	wait_for(&fixture->entered, 1);
	assert_true(wait_turning());
	stuck = peer_dial_tcp(fixture->port);
	peer_say(stuck, "GET /stuck" HEAD "\r\n");
	wait_for(&fixture->entered, 2);
	http_loops_turn();
	/* The other loop would have turned by then. */
	usleep(500000);
	assert_false(http_loops_turn());
	gate_open(fixture);
	expect(slow, "HTTP/1.1 200", "header");
	expect(stuck, "HTTP/1.1 200", "header");
	assert_true(wait_turning());
	finish(fixture);
	/* Of loops that ended nothing is expected. */
	assert_true(http_loops_turn());
	assert_true(http_loops_turn());
}

static unsigned long long figure(const char *line)
{
	AUTO(strbuf) struct strbuf out = STRBUF(65536);
	const char *found;

	http_metrics(&out);
	found = strstr(strbuf_text(&out), line);
	assert_non_null(found);
	return strtoull(found + strlen(line), NULL, 10);
}

#define TOOK "rolebridge_http_request_duration_seconds_"

/* By kind, in the bucket of its duration and all above, from whichever loop; the count says when it was noted. */
static void test_durations(void **state)
{
	struct fixture *fixture = begin((struct http_settings){ .web = true });
	unsigned long long auth = figure(TOOK "count{kind=\"auth\"} ");
	unsigned long long slow = figure(TOOK "count{kind=\"slow\"} ");
	unsigned long long quick = figure(TOOK "bucket{kind=\"slow\",le=\"0.1\"} ");
	unsigned long long all = figure(TOOK "bucket{kind=\"slow\",le=\"+Inf\"} ");
	unsigned long long good = figure("requests_total{listener=\"web\",code=\"2xx\"} ");
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	int waits = peer_dial_tcp(fixture->port);

	(void)state;
	peer_say(waits, "GET /gated" HEAD "\r\n");
	wait_for(&fixture->entered, 1);
	for (int i = 0; i < 8; i++) {
		int fd = peer_dial_tcp(fixture->port);

		peer_say(fd, "GET /auth" HEAD "\r\n");
		expect(fd, "HTTP/1.1 200", "direct");
	}
	usleep(150000);
	gate_open(fixture);
	expect(waits, "HTTP/1.1 200", "header");
	while ((figure(TOOK "count{kind=\"auth\"} ") < auth + 8 ||
		figure(TOOK "count{kind=\"slow\"} ") < slow + 1) &&
	       clock_monotonic_us() < until_us)
		usleep(1000);
	assert_int_equal(auth + 8, figure(TOOK "count{kind=\"auth\"} "));
	assert_int_equal(auth + 8, figure(TOOK "bucket{kind=\"auth\",le=\"+Inf\"} "));
	assert_int_equal(slow + 1, figure(TOOK "count{kind=\"slow\"} "));
	assert_int_equal(quick, figure(TOOK "bucket{kind=\"slow\",le=\"0.1\"} "));
	assert_int_equal(all + 1, figure(TOOK "bucket{kind=\"slow\",le=\"+Inf\"} "));
	assert_int_equal(good + 9, figure("requests_total{listener=\"web\",code=\"2xx\"} "));
	finish(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_staged),
		cmocka_unit_test(test_staged_ends),
		cmocka_unit_test(test_queue_full),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_late_stream_is_closed),
		cmocka_unit_test(test_client_gone),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_stop_in_a_crowd),
		cmocka_unit_test(test_loops_turn),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
