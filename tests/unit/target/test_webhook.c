/* Webhooks: signatures against the published example, events and filters, and what each answer of a receiver comes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/target/webhook.h"
#include "../client/gateway.h"

#define TEXT(value) ((struct located){ .text = (value) })
#define SECRET "0123456789abcdef0123456789abcdef"
#define DETAIL \
	"{\"cause\":\"unix:root\",\"user\":{\"id\":\"01890000-0000-7000-8000-000000000001\",\"username\":\"ada\"," \
	"\"email\":\"\",\"display_name\":\"Ada\",\"organization\":\"north\",\"active\":true,\"profile\":\"viewer\"," \
	"\"roles\":[\"sales\"],\"personas\":[],\"groups\":[]},\"changed\":{\"profile\":[\"manager\",\"viewer\"]," \
	"\"organization\":[\"south\",\"north\"]}}"

/* --- signatures --- */

static char folder[] = "/tmp/rolebridge-webhook-XXXXXX";

static const char *secret_write(const char *name, const char *content)
{
	static char path[4][256];
	static unsigned turn;
	char *at = path[turn++ % 4];

	snprintf(at, sizeof(path[0]), "%s/%s", folder, name);
	assert_int_equal(0, file_write_atomic(at, content, strlen(content), 0600, NULL));
	return at;
}

static void test_signature(void **state)
{
	/* The example of the Standard Webhooks specification. */
	const struct located example =
		TEXT(secret_write("example", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"));
	const struct located both[] = { TEXT(secret_write("new", SECRET "\n")), example };
	const char *const body = "{\"test\": 2432232314}";
	AUTO(webhook_secrets) struct webhook_secrets one = { 0 };
	AUTO(webhook_secrets) struct webhook_secrets two = { 0 };
	char text[WEBHOOK_SIGNATURES_SIZE];

	(void)state;
	assert_int_equal(0,
			 webhook_secrets_read(&(struct located_list){ 1, &example }, &one, NULL));
	webhook_sign(&one, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body), text);
	assert_string_equal(text, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	assert_int_equal(0, webhook_secrets_read(&(struct located_list){ 2, both }, &two, NULL));
	webhook_sign(&two, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body), text);
	assert_int_equal(strlen(text), 2 * strlen("v1,") + 2 * 44 + 1);
	assert_non_null(strstr(text, "= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
}

static void test_bad_secrets(void **state)
{
	static const struct {
		const char *content;
		const char *problem;
	} cases[] = {
		{ "0123456789abcdef0123456", "shorter than" },
		{ "whsec_c2hvcnQ=", "shorter than" },
		{ "whsec_!!!!", "no base64" },
		{ "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS\xf7", "no base64" },
		{ "whsec_=", "no base64" },
		{ "whsec_", "shorter than" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct located file = TEXT(secret_write("bad", cases[i].content));
		AUTO(webhook_secrets) struct webhook_secrets secrets = { 0 };
		struct err err = { 0 };

		assert_int_equal(-1, webhook_secrets_read(&(struct located_list){ 1, &file },
							  &secrets, &err));
		if (!strstr(err.text, cases[i].problem) || strstr(err.text, cases[i].content))
			fail_msg("'%s': %s", cases[i].content, err.text);
	}
}

/* --- events --- */

static struct delivery_row row_of(enum delivery_event event, const char *detail)
{
	return (struct delivery_row){ .id = 7,
				      /* 2026-01-01T00:00:00Z, in milliseconds */
				      .uuid = { .byte = { 0x01, 0x9b, 0x76, 0xda, 0xa8, 0x00, 0x70,
							  1, 0x80, 2 } },
				      .target = "hook",
				      .user_id = 1,
				      .event = event,
				      .detail = detail,
				      .created_s = 1800000000 };
}

static void test_event(void **state)
{
	const struct webhook_settings settings = { 0 };
	const struct delivery_row row = row_of(DELIVERY_GRANTS, DETAIL);
	AUTO(strbuf) struct strbuf out = STRBUF(65536);

	(void)state;
	assert_int_equal(1, webhook_event_make(&settings, &row, &out, NULL));
	assert_string_equal(
		strbuf_text(&out),
		"{\"type\":\"grants.changed\",\"id\":\"019b76da-a800-7001-8002-000000000000\","
		"\"timestamp\":\"2026-01-01T00:00:00Z\",\"sequence\":7,\"data\":" DETAIL "}");
}

static void test_filters(void **state)
{
	static const struct {
		const char *name;
		enum delivery_event event;
		const char *events, *organizations, *profiles; /* NULL: no filter */
		int wanted;
	} cases[] = {
		{ "none", DELIVERY_UPDATED, NULL, NULL, NULL, 1 },
		{ "event", DELIVERY_UPDATED, "user.updated", NULL, NULL, 1 },
		{ "another event", DELIVERY_DISABLED, "user.updated", NULL, NULL, 0 },
		{ "organization", DELIVERY_UPDATED, NULL, "north", NULL, 1 },
		{ "organization before", DELIVERY_UPDATED, NULL, "south", NULL, 1 },
		{ "another organization", DELIVERY_UPDATED, NULL, "default", NULL, 0 },
		{ "profile", DELIVERY_GRANTS, NULL, NULL, "viewer", 1 },
		{ "profile before", DELIVERY_GRANTS, NULL, NULL, "manager", 1 },
		{ "another profile", DELIVERY_GRANTS, NULL, NULL, "administrator", 0 },
		{ "all fit", DELIVERY_GRANTS, "grants.changed", "north", "viewer", 1 },
		{ "one does not", DELIVERY_GRANTS, "grants.changed", "north", "none", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct located words[] = { TEXT(cases[i].events),
						 TEXT(cases[i].organizations),
						 TEXT(cases[i].profiles) };
		const struct webhook_settings settings = {
			.events = { words[0].text != NULL, &words[0] },
			.organizations = { words[1].text != NULL, &words[1] },
			.profiles = { words[2].text != NULL, &words[2] },
		};
		const struct delivery_row row = row_of(cases[i].event, DETAIL);
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		int made = webhook_event_make(&settings, &row, &out, NULL);

		if (made != cases[i].wanted || (out.size > 0) != (made > 0))
			fail_msg("%s: %d, %zu bytes", cases[i].name, made, out.size);
	}
}

static void test_damaged(void **state)
{
	static const char *const details[] = {
		"", "{", "[]", "{}", "{\"user\":1}", "{\"user\":{},\"user\":{}}", "{\"user\":{}} x"
	};
	const struct webhook_settings settings = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(details); i++) {
		const struct delivery_row row = row_of(DELIVERY_UPDATED, details[i]);
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct err err = { 0 };

		assert_int_equal(-1, webhook_event_make(&settings, &row, &out, &err));
		assert_string_equal(err.reason, "event-damaged");
		assert_int_equal(0, out.size);
	}
}

static void test_too_large(void **state)
{
	const struct webhook_settings settings = { 0 };
	char *detail = calloc(1, WEBHOOK_DETAIL_MAX + 2);
	const struct delivery_row row = row_of(DELIVERY_UPDATED, detail);
	AUTO(strbuf) struct strbuf out = STRBUF(65536);
	struct err err = { 0 };

	(void)state;
	assert_non_null(detail);
	memset(detail, ' ', WEBHOOK_DETAIL_MAX + 1);
	assert_int_equal(-1, webhook_event_make(&settings, &row, &out, &err));
	assert_string_equal(err.reason, "event-too-large");
	free(detail);
}

/* --- the kind, with a receiver --- */

struct hook {
	struct gateway *gateway;
	struct webhook_settings settings;
	char url[64];
	struct located secret, network;
	struct located_list networks;
	struct arena *arena;
	struct target_call call;
	void *instance;
	bool cancelled;
};

static bool is_cancelled(void *context)
{
	return ((struct hook *)context)->cancelled;
}

static void hook_open(struct hook *hook, const char *answer)
{
	*hook = (struct hook){ .secret = TEXT(secret_write("secret", SECRET)),
			       .network = TEXT("127.0.0.0/8") };
	hook->gateway = gateway_start(answer);
	snprintf(hook->url, sizeof(hook->url), "http://127.0.0.1:%u/hook",
		 gateway_port(hook->gateway));
	hook->networks = (struct located_list){ 1, &hook->network };
	hook->settings =
		(struct webhook_settings){ .url = TEXT(hook->url),
					   .secret_files = { 1, &hook->secret },
					   .timeout_s = 600, /* nothing here waits for it */
					   .concurrency = 3,
					   .allowed_networks = &hook->networks };
	hook->arena = arena_create(65536);
	hook->call = (struct target_call){ .settings = &hook->settings.target,
					   .arena = hook->arena,
					   .cancelled = is_cancelled,
					   .context = hook };
	assert_int_equal(0, webhook_kind.open(&hook->call, &hook->instance, NULL));
}

static void hook_close(struct hook *hook)
{
	webhook_kind.close(hook->instance);
	gateway_stop(hook->gateway);
	arena_destroy(hook->arena);
}

#define ANSWER(status) "HTTP/1.1 " status "\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret"

static void test_answers(void **state)
{
	static const struct {
		const char *answer;
		enum delivery_outcome outcome;
		int64_t after_s;
		const char *reason,
			*problem; /* of the target as a whole, of the event; NULL: none */
		bool failed;	  /* the target as a whole */
	} cases[] = {
		{ ANSWER("200 OK"), DELIVERY_SENT, 0, NULL, NULL, false },
		{ ANSWER("202 Accepted"), DELIVERY_SENT, 0, NULL, NULL, false },
		{ "HTTP/1.1 204 No Content\r\n\r\n", DELIVERY_SENT, 0, NULL, NULL, false },
		{ ANSWER("301 Moved\r\nLocation: /other"), DELIVERY_RETRY, 0, NULL, "status 301",
		  false },
		{ ANSWER("304 Not Modified"), DELIVERY_RETRY, 0, NULL, "status 304", false },
		{ ANSWER("400 Bad Request"), DELIVERY_RETRY, 0, NULL, "status 400", false },
		{ ANSWER("500 Oh No"), DELIVERY_RETRY, 0, NULL, "status 500", false },
		/* As a whole, and it needs a person; the event is none the worse for it. */
		{ ANSWER("410 Gone"), DELIVERY_RETRY, 0, "webhook-gone", NULL, true },
		{ ANSWER("503 Busy\r\nRetry-After: 120"), DELIVERY_RETRY, 120, NULL, "status 503",
		  false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", DELIVERY_RETRY, 0, NULL,
		  "", false },
		{ "SSH-2.0-x\r\n", DELIVERY_RETRY, 0, NULL, "", false },
		{ "\r\n", DELIVERY_RETRY, 0, NULL, "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct delivery_row row = row_of(DELIVERY_UPDATED, DETAIL);
		struct delivery_result result = { .outcome = DELIVERY_RETRY };
		struct err err = { 0 };
		struct hook hook;
		int status;

		hook_open(&hook, cases[i].answer);
		status = webhook_kind.deliver(hook.instance, &hook.call, &row, 1, &result, &err);
		if ((status < 0) != cases[i].failed || result.outcome != cases[i].outcome ||
		    result.after_s != cases[i].after_s || result.code ||
		    (!err.reason) != (!cases[i].reason) ||
		    (cases[i].reason && strcmp(err.reason, cases[i].reason) != 0) ||
		    (!result.problem) != (!cases[i].problem) ||
		    (result.problem && !strstr(result.problem, cases[i].problem)) ||
		    (result.problem && strstr(result.problem, "secret")) ||
		    strstr(err.text, "secret"))
			fail_msg("'%.30s': %d, %d '%s' '%s', %s", cases[i].answer, status,
				 (int)result.outcome, result.code ? result.code : "",
				 result.problem ? result.problem : "", err.text);
		assert_int_equal(1, gateway_count(hook.gateway));
		hook_close(&hook);
	}
}

static void test_headers(void **state)
{
	const struct delivery_row row = row_of(DELIVERY_UPDATED, DETAIL);
	struct delivery_result result = { .outcome = DELIVERY_RETRY };
	struct hook hook;
	const char *request;

	(void)state;
	hook_open(&hook, ANSWER("200 OK"));
	assert_int_equal(0,
			 webhook_kind.deliver(hook.instance, &hook.call, &row, 1, &result, NULL));
	request = gateway_request(hook.gateway);
	assert_ptr_equal(request, strstr(request, "POST /hook HTTP/1.1\r\n"));
	assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(
		strstr(request, "\r\nwebhook-id: 019b76da-a800-7001-8002-000000000000\r\n"));
	assert_non_null(strstr(request, "\r\nwebhook-timestamp: "));
	assert_non_null(strstr(request, "\r\nwebhook-signature: v1,"));
	assert_non_null(strstr(request, "\r\n\r\n{\"type\":\"user.updated\","));
	assert_null(strstr(request, "Expect:"));
	hook_close(&hook);
}

/* One that fails is nothing; when all that were under way fail, no more are begun. */
static void test_stops_asking(void **state)
{
	struct delivery_row rows[20];
	struct delivery_result results[20] = { 0 };
	struct err err = { 0 };
	struct hook hook;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		rows[i] = row_of(DELIVERY_UPDATED, DETAIL);
		results[i].outcome = DELIVERY_RETRY;
	}
	hook_open(&hook, ANSWER("500 Oh No"));
	/* The target as a whole: that is no fault of those that were not asked about. */
	assert_int_equal(-1,
			 webhook_kind.deliver(hook.instance, &hook.call, rows, 20, results, &err));
	assert_non_null(strstr(err.text, "status 500"));
	assert_in_range(gateway_count(hook.gateway), 3, 6);
	hook_close(&hook);
}

static void test_cancel(void **state)
{
	const struct delivery_row row = row_of(DELIVERY_UPDATED, DETAIL);
	struct delivery_result result = { .outcome = DELIVERY_RETRY };
	struct err err = { 0 };
	struct hook hook;

	(void)state;
	hook_open(&hook, NULL);
	hook.cancelled = true;
	assert_int_equal(-1,
			 webhook_kind.deliver(hook.instance, &hook.call, &row, 1, &result, &err));
	assert_int_equal(ERR_CANCELLED, err.code);
	assert_int_equal(DELIVERY_RETRY, result.outcome);
	hook_close(&hook);
}

static void test_not_allowed(void **state)
{
	const struct delivery_row row = row_of(DELIVERY_UPDATED, DETAIL);
	struct delivery_result result = { .outcome = DELIVERY_RETRY };
	struct err err = { 0 };
	struct hook hook;

	(void)state;
	hook_open(&hook, ANSWER("200 OK"));
	webhook_kind.close(hook.instance);
	hook.settings.allowed_networks = NULL;
	assert_int_equal(0, webhook_kind.open(&hook.call, &hook.instance, NULL));
	assert_int_equal(-1,
			 webhook_kind.deliver(hook.instance, &hook.call, &row, 1, &result, &err));
	assert_string_equal("address-refused", err_reason(&err));
	assert_int_equal(0, gateway_count(hook.gateway));
	hook_close(&hook);
}

static void test_no_memory(void **state)
{
	const struct delivery_row row = row_of(DELIVERY_UPDATED, DETAIL);
	long left = -1;

	(void)state;
	for (long n = 0; left < 0 && n < 200; n++) {
		struct delivery_result result = { .outcome = DELIVERY_RETRY };
		struct err err = { 0 };
		struct hook hook;
		int status;

		hook_open(&hook, ANSWER("200 OK"));
		alloc_fail_after(n);
		status = webhook_kind.deliver(hook.instance, &hook.call, &row, 1, &result, &err);
		left = alloc_fail_after(-1);
		if (status == 0 ? result.outcome != DELIVERY_SENT : err.code == ERR_NONE)
			fail_msg("%ld: %d, %s", n, (int)result.outcome, err.text);
		hook_close(&hook);
	}
	assert_true(left >= 0);
}

static int folder_make(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	static const char *const names[] = { "example", "new", "bad", "secret" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature),    cmocka_unit_test(test_bad_secrets),
		cmocka_unit_test(test_event),	     cmocka_unit_test(test_filters),
		cmocka_unit_test(test_damaged),	     cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_answers),	     cmocka_unit_test(test_headers),
		cmocka_unit_test(test_stops_asking), cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_not_allowed),  cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
