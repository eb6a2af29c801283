/* Requests to other servers as far as they go without one; tests/integration has the servers. */
#include <rolebridge/client/fetch.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

/* A refusal leaves the outputs alone. */
static void test_refused(void **state)
{
	static const struct {
		const char *url;
		enum err_code code;
	} cases[] = {
		{ "https://127.0.0.1/", ERR_DENIED },
		{ "https://[::1]/", ERR_DENIED },
		{ "https://0x7f.1:8443/", ERR_DENIED },
		{ "http://8.8.8.8/", ERR_INVALID },
		{ "file:///etc/passwd", ERR_INVALID },
		{ "https://user:secret@8.8.8.8/", ERR_INVALID },
	};
	AUTO(arena) struct arena *arena = arena_create(4096);
	AUTO(strbuf) struct strbuf out = STRBUF(4096);

	(void)state;
	strbuf_puts(&out, "before");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct fetch_request request = { .url = cases[i].url, .size_max = 1000 };
		struct fetch_response response = { .status = -7 };
		struct err err = { 0 };

		assert_int_equal(-1, fetch(&request, arena, &response, &out, &err));
		if (err.code != cases[i].code)
			fail_msg("%s: %s", cases[i].url, err.text);
		assert_null(strstr(err.text, "secret"));
		assert_int_equal(-7, response.status);
		assert_string_equal("before", strbuf_text(&out));
	}
}

static void test_no_memory(void **state)
{
	const char *const networks[] = { "10.0.0.0/8" };
	const struct fetch_request request = { .url = "https://127.0.0.1/",
					       .allowed_networks = networks,
					       .allowed_network_count = 1,
					       .size_max = 1000 };
	AUTO(arena) struct arena *arena = arena_create(4096);
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct fetch_response response;
	struct err err = { 0 };
	long left = -1;

	(void)state;
	for (long n = 0; left < 0 && n < 100; n++) {
		alloc_fail_after(n);
		assert_int_equal(-1, fetch(&request, arena, &response, &out, &err));
		left = alloc_fail_after(-1);
		/* Out of memory or not, an address inside is never asked. */
		if (err.code != ERR_DENIED && (left >= 0 || err.code != ERR_MEMORY))
			fail_msg("%ld: %s", n, err.text);
	}
	assert_true(left >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
