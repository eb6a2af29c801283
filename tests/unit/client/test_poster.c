/* Many requests at once: how many are begun, what their answers come to, and that nothing is begun that must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/poster.h>

#include "gateway.h"

#define ANSWER(status) "HTTP/1.1 " status "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
#define POSTS_MAX 40

struct job {
	struct gateway *gateway;
	char url[64];
	struct poster *poster;
	size_t wanted, begun, ended, under_way, most_under_way, cancelled;
	size_t cancel_after; /* requests that have arrived; 0: never */
	const char *header;
	struct post_answer last;
};

static int next_post(void *context, struct post *ret_post)
{
	struct job *job = context;

	if (job->begun == job->wanted)
		return 0;
	job->begun++;
	job->under_way++;
	if (job->under_way > job->most_under_way)
		job->most_under_way = job->under_way;
	*ret_post = (struct post){ .context = job,
				   .body = "hello",
				   .body_size = 5,
				   .headers = { job->header ? job->header : "X-Number: 1" } };
	return 1;
}

static void post_ended(void *context, const struct post *post, const struct post_answer *answer)
{
	struct job *job = context;

	assert_ptr_equal(job, post->context);
	job->ended++;
	job->under_way--;
	job->cancelled += answer->cancelled;
	job->last = *answer;
	job->last.problem = answer->problem ? "problem" : NULL;
}

static bool is_cancelled(void *context)
{
	const struct job *job = context;

	return job->cancel_after > 0 && gateway_count(job->gateway) >= job->cancel_after;
}

static struct poster_ports ports_of(struct job *job)
{
	return (struct poster_ports){
		.context = job, .next = next_post, .ended = post_ended, .cancelled = is_cancelled
	};
}

static int run(struct job *job, struct err *err)
{
	const struct poster_ports ports = ports_of(job);

	return poster_run(job->poster, &ports, err);
}

static void begin(struct job *job, const char *answer, size_t wanted, size_t concurrency)
{
	static const char *const networks[] = { "127.0.0.0/8" };

	*job = (struct job){ .gateway = gateway_start(answer), .wanted = wanted };
	snprintf(job->url, sizeof(job->url), "http://127.0.0.1:%u/", gateway_port(job->gateway));

	const struct poster_settings settings = { .url = job->url,
						  .allowed_networks = networks,
						  .allowed_network_count = 1,
						  .allow_http = true,
						  .timeout_ms =
							  600000, /* nothing here waits for it */
						  .concurrency = concurrency };
	job->poster = poster_create(&settings, NULL);
	assert_non_null(job->poster);
}

static void finish(struct job *job)
{
	poster_destroy(job->poster);
	gateway_stop(job->gateway);
	assert_int_equal(job->begun, job->ended);
	assert_int_equal(0, job->under_way);
}

static void test_many(void **state)
{
	static const size_t concurrencies[] = { 1, 2, 7, POSTER_CONCURRENCY_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(concurrencies); i++) {
		struct job job;

		begin(&job, ANSWER("200 OK"), POSTS_MAX, concurrencies[i]);
		assert_int_equal(0, run(&job, NULL));
		assert_int_equal(POSTS_MAX, job.ended);
		assert_int_equal(POSTS_MAX, gateway_count(job.gateway));
		assert_in_range(job.most_under_way, 1, concurrencies[i]);
		assert_int_equal(200, job.last.status);
		assert_non_null(strstr(gateway_request(job.gateway), "\r\n\r\nhello"));
		assert_non_null(strstr(gateway_request(job.gateway), "\r\nX-Number: 1\r\n"));
		finish(&job);
	}
}

static void test_answers(void **state)
{
	static char large[70000] = "HTTP/1.1 200 OK\r\n\r\n";
	static const struct {
		const char *name, *answer;
		int status;
		int64_t retry_after_s;
	} cases[] = {
		{ "not found", ANSWER("404 Not Found"), 404, 0 },
		{ "redirect", ANSWER("302 Found\r\nLocation: http://127.0.0.1:1/"), 302, 0 },
		{ "wait", ANSWER("503 Busy\r\nRetry-After: 120"), 503, 120 },
		{ "wait for ever", ANSWER("503 Busy\r\nRetry-After: 999999999"), 503, 86400 },
		{ "wait for nothing", ANSWER("503 Busy\r\nRetry-After: -5"), 503, 0 },
		{ "wait for what", ANSWER("503 Busy\r\nRetry-After: soon"), 503, 0 },
		{ "until long ago",
		  ANSWER("503 Busy\r\nRetry-After: Thu, 01 Jan 1998 00:00:00 GMT"), 503, 0 },
		{ "larger than anybody reads", large, 200, 0 },
		{ "cut", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe", 0, 0 },
		{ "none", "", 0, 0 },
		{ "no HTTP", "220 mail.example.com ESMTP\r\n", 0, 0 },
	};

	(void)state;
	memset(large + strlen(large), 'x', sizeof(large) - strlen(large) - 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct job job;

		begin(&job, cases[i].answer, 1, 1);
		assert_int_equal(0, run(&job, NULL));
		if (job.last.status != cases[i].status ||
		    job.last.retry_after_s != cases[i].retry_after_s ||
		    (job.last.status == 0) != (job.last.problem != NULL))
			fail_msg("%s: %d after %lld, %s", cases[i].name, job.last.status,
				 (long long)job.last.retry_after_s, job.last.problem);
		finish(&job);
	}
}

/* A poster that failed goes on as if nothing had been. */
static void test_cancelled(void **state)
{
	struct err err = { 0 };
	struct job job;

	(void)state;
	begin(&job, NULL, 10, 3);
	job.cancel_after = 3;
	assert_int_equal(-1, run(&job, &err));
	assert_int_equal(ERR_CANCELLED, err.code);
	assert_int_equal(3, job.cancelled);
	assert_int_equal(3, job.begun);
	job.cancel_after = 6;
	assert_int_equal(-1, run(&job, &err));
	assert_int_equal(6, job.cancelled);
	finish(&job);
}

static void test_bad_header(void **state)
{
	struct job job;

	(void)state;
	begin(&job, ANSWER("200 OK"), 2, 1);
	job.header = "X-Evil: a\r\nX-More: b";
	assert_int_equal(0, run(&job, NULL));
	assert_int_equal(2, job.ended);
	assert_int_equal(0, job.last.status);
	assert_int_equal(0, gateway_count(job.gateway));
	finish(&job);
}

static void test_not_allowed(void **state)
{
	static const struct {
		const char *url;
		enum err_code code; /* of creating it, or of the run */
		bool created;
	} cases[] = {
		{ "https://127.0.0.1/", ERR_DENIED, true },
		{ "https://[::1]/", ERR_DENIED, true },
		{ "https://169.254.169.254/latest", ERR_DENIED, true },
		{ "http://8.8.8.8/", ERR_DENIED, true },
		{ "ftp://8.8.8.8/", ERR_INVALID, false },
		{ "https://user:secret@8.8.8.8/", ERR_INVALID, false },
		{ "https:///", ERR_INVALID, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct poster_settings settings = { .url = cases[i].url,
							  .allow_http = true,
							  .timeout_ms = 600000,
							  .concurrency = 2 };
		struct job job = { .wanted = 3 };
		struct err err = { 0 };

		job.poster = poster_create(&settings, &err);
		assert_int_equal(cases[i].created, job.poster != NULL);
		assert_int_equal(cases[i].created, poster_check_url(cases[i].url, NULL) == 0);
		if (job.poster)
			assert_int_equal(-1, run(&job, &err));
		if (err.code != cases[i].code || job.begun != 0)
			fail_msg("%s: %s, %zu begun", cases[i].url, err.text, job.begun);
		assert_null(strstr(err.text, "secret"));
		poster_destroy(job.poster);
	}
}

static void test_no_memory(void **state)
{
	const char *const networks[] = { "10.0.0.0/8" };
	const struct poster_settings settings = { .url = "https://127.0.0.1/",
						  .ca_file = "/nowhere",
						  .allowed_networks = networks,
						  .allowed_network_count = 1,
						  .timeout_ms = 600000,
						  .concurrency = 2 };
	long left = -1;

	(void)state;
	for (long n = 0; left < 0 && n < 100; n++) {
		struct job job = { .wanted = 1 };
		struct err err = { 0 };

		alloc_fail_after(n);
		job.poster = poster_create(&settings, &err);
		if (job.poster)
			assert_int_equal(-1, run(&job, &err));
		left = alloc_fail_after(-1);
		if (err.code != ERR_DENIED && (left >= 0 || err.code != ERR_MEMORY))
			fail_msg("%ld: %s", n, err.text);
		poster_destroy(job.poster);
	}
	assert_true(left >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),	    cmocka_unit_test(test_answers),
		cmocka_unit_test(test_cancelled),   cmocka_unit_test(test_bad_header),
		cmocka_unit_test(test_not_allowed), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
