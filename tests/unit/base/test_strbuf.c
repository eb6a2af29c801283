/* Capped buffer: cap, sticky failure, nth allocation failing. */
#include <rolebridge/base/strbuf.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_the_cap_is_exact(void **state)
{
	(void)state;
	for (size_t max = 0; max < 300; max++) {
		AUTO(strbuf) struct strbuf buf = STRBUF(max);

		for (size_t i = 0; i < max; i++)
			strbuf_putc(&buf, 'x');
		assert_false(strbuf_failed(&buf));
		assert_int_equal(strlen(strbuf_text(&buf)), max);
		strbuf_putc(&buf, 'x');
		assert_true(strbuf_failed(&buf));
		assert_int_equal(strlen(strbuf_text(&buf)), max);
		strbuf_clear(&buf);
		assert_string_equal(strbuf_text(&buf), "");
		assert_false(strbuf_failed(&buf));
	}
}

static void test_failure_sticks_and_keeps_what_was(void **state)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(10);

	(void)state;
	strbuf_puts(&buf, "12345678");
	strbuf_printf(&buf, "%s", "901");
	assert_true(strbuf_failed(&buf));
	strbuf_putc(&buf, '9');
	assert_string_equal(strbuf_text(&buf), "12345678");
	assert_null(strbuf_reserve(&buf, 0));
	assert_null(strbuf_take(&buf));
	assert_false(strbuf_failed(&buf));
	strbuf_puts(&buf, "again");
	assert_string_equal(strbuf_text(&buf), "again");
}

static void test_sizes_do_not_overflow(void **state)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO(strbuf) struct strbuf small = STRBUF(100);
		AUTO(strbuf) struct strbuf unbounded = STRBUF(SIZE_MAX);

		strbuf_puts(&small, "ab");
		assert_null(strbuf_reserve(&small, sizes[i]));
		assert_true(strbuf_failed(&small));
		strbuf_puts(&unbounded, "ab");
		if (sizes[i] > SIZE_MAX / 2 + 1)
			assert_null(strbuf_reserve(&unbounded, sizes[i]));
	}
}

static void test_content(void **state)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(1 << 20);

	(void)state;
	assert_string_equal(strbuf_text(&buf), "");
	strbuf_append(&buf, NULL, 0);
	strbuf_append(&buf, "a\0b", 3);
	assert_int_equal(buf.size, 3);
	assert_memory_equal(strbuf_text(&buf), "a\0b", 4);
	strbuf_truncate(&buf, 5);
	strbuf_truncate(&buf, 1);
	strbuf_printf(&buf, "-%05d-%s", 42, "text");
	assert_string_equal(strbuf_text(&buf), "a-00042-text");
	memcpy(strbuf_reserve(&buf, 100), "!!", 2);
	strbuf_advance(&buf, 2);
	assert_string_equal(strbuf_text(&buf), "a-00042-text!!");

	char *taken = strbuf_take(&buf);

	assert_string_equal(taken, "a-00042-text!!");
	free(taken);
	assert_int_equal(buf.size, 0);
	taken = strbuf_take(&buf);
	assert_string_equal(taken, "");
	free(taken);
}

static void test_each_allocation_may_fail(void **state)
{
	long n = 0;

	(void)state;
	for (bool failed = true; failed; n++) {
		AUTO(strbuf) struct strbuf buf = STRBUF(1 << 20);

		alloc_fail_after(n);
		for (int i = 0; i < 5000; i++)
			strbuf_printf(&buf, "%d,", i % 10);
		failed = alloc_fail_after(-1) < 0;
		assert_int_equal(failed, strbuf_failed(&buf));
		assert_int_equal(strlen(strbuf_text(&buf)), buf.size);
	}
	assert_in_range(n, 5, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_cap_is_exact),
		cmocka_unit_test(test_failure_sticks_and_keeps_what_was),
		cmocka_unit_test(test_sizes_do_not_overflow),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
