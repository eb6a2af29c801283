/* Limits by address, with the time given. */
#include <rolebridge/http/limit.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define SECOND ((int64_t)1000000)

static unsigned take(struct http_limit *limit, const char *text, int64_t now_us)
{
	struct address address;

	assert_int_equal(0, address_parse(text, &address, NULL));
	return http_limit_take_address(limit, &address, now_us);
}

static void test_burst_and_refill(void **state)
{
	AUTO(http_limit) struct http_limit *limit = http_limit_create(6, 3, 100);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(0, take(limit, "192.0.2.1", SECOND));
	assert_int_equal(10, take(limit, "192.0.2.1", SECOND));
	assert_int_equal(0, take(limit, "192.0.2.2", SECOND)); /* another one */
	assert_int_equal(1, take(limit, "192.0.2.1", 10 * SECOND));
	assert_int_equal(1, take(limit, "192.0.2.1", 11 * SECOND - 1)); /* refusals cost nothing */
	assert_int_equal(0, take(limit, "192.0.2.1", 11 * SECOND));
	assert_int_equal(10, take(limit, "192.0.2.1", 11 * SECOND));
	/* Never more than the burst is saved; a clock that stands still or steps back gives nothing. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(0, take(limit, "192.0.2.1", 1000 * SECOND));
	assert_int_equal(10, take(limit, "192.0.2.1", 1000 * SECOND));
	assert_int_equal(10, take(limit, "192.0.2.1", 5 * SECOND));
}

static void test_prefixes(void **state)
{
	AUTO(http_limit) struct http_limit *limit = http_limit_create(1, 1, 100);

	(void)state;
	assert_int_equal(0, take(limit, "2001:db8:0:1::1", 0));
	assert_int_equal(60, take(limit, "2001:db8:0:1:ffff::2", 0)); /* same /64 */
	assert_int_equal(0, take(limit, "2001:db8:0:2::1", 0));
	assert_int_equal(0, take(limit, "10.0.0.1", 0));
	assert_int_equal(60, take(limit, "::ffff:10.0.0.1", 0));
	assert_int_equal(0, http_limit_take_address(limit, NULL, 0));
	assert_int_equal(60, http_limit_take_address(limit, NULL, 0));
}

/* A full table forgets who was not seen for longest, and only those. */
static void test_full_table(void **state)
{
	AUTO(http_limit) struct http_limit *limit = http_limit_create(1, 1, 8);
	char text[32];

	(void)state;
	for (int i = 0; i < 8; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d", i);
		assert_int_equal(0, take(limit, text, 0));
	}
	assert_int_equal(60, take(limit, "10.0.0.0", 0)); /* seen again: 10.0.0.1 is oldest now */
	assert_int_equal(0, take(limit, "10.0.1.0", 0));
	assert_int_equal(60, take(limit, "10.0.0.0", 0));
	assert_int_equal(60, take(limit, "10.0.0.2", 0));
	assert_int_equal(0, take(limit, "10.0.0.1", 0)); /* forgotten */
	/* A flood of strangers passes through without harm. */
	for (int i = 0; i < 100000; i++) {
		snprintf(text, sizeof(text), "11.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
		assert_int_equal(0, take(limit, text, 0));
	}
	assert_int_equal(60, take(limit, text, 0));
}

static void test_one_place(void **state)
{
	AUTO(http_limit) struct http_limit *limit = http_limit_create(1, 1, 1);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(0, take(limit, "10.0.0.1", 0));
		assert_int_equal(60, take(limit, "10.0.0.1", 0));
		assert_int_equal(0, take(limit, "10.0.0.2", 0));
	}
}

static void test_request(void **state)
{
	AUTO(http_limit) struct http_limit *limit = http_limit_create(2, 1, 10);
	struct http_request request = { .peer_has_address = true,
					.peer_address = { .byte = { 10 } } };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(0, http_limit_take(limit, &request, &err));
	assert_int_equal(-1, http_limit_take(limit, &request, &err));
	assert_string_equal("rate-limited", err.reason);
	assert_int_equal(429, http_error_status(&err, false));
	assert_true(request.retry_after_s > 28 && request.retry_after_s <= 30);
}

static void test_charge(void **state)
{
	AUTO(http_limit) struct http_limit *limit = http_limit_create(60, 10, 10);
	const struct address dear = { .byte = { 10 } }, other = { .byte = { 11 } };

	(void)state;
	assert_int_equal(0, http_limit_take_address(limit, &dear, 0));
	http_limit_charge_address(limit, &dear, 4, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(0, http_limit_take_address(limit, &dear, 0));
	/* Into debt: a moment is not enough. */
	http_limit_charge_address(limit, &dear, 4, 0);
	assert_int_equal(5, http_limit_take_address(limit, &dear, 0));
	assert_int_equal(1, http_limit_take_address(limit, &dear, 4000000));
	assert_int_equal(0, http_limit_take_address(limit, &dear, 5000000));
	/* Not for ever. */
	http_limit_charge_address(limit, &dear, UINT_MAX, 5000000);
	http_limit_charge_address(limit, &dear, UINT_MAX, 5000000);
	assert_int_equal(11, http_limit_take_address(limit, &dear, 5000000));
	assert_int_equal(0, http_limit_take_address(limit, &dear, 16000000));
	assert_int_equal(0, http_limit_take_address(limit, &other, 0));
}

static void test_create(void **state)
{
	(void)state;
	assert_null(http_limit_create(0, 1, 1));
	assert_null(http_limit_create(1, 0, 1));
	assert_null(http_limit_create(1, 1, 0));
	for (long n = 0; n < 3; n++) {
		alloc_fail_after(n);
		assert_null(http_limit_create(1, 1, 10));
		alloc_fail_after(-1);
	}
	http_limit_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_refill), cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_full_table),	 cmocka_unit_test(test_one_place),
		cmocka_unit_test(test_request),		 cmocka_unit_test(test_create),
		cmocka_unit_test(test_charge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
