/* Pauses that grow: bounded whatever the number of failures, and never all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/base/backoff.h>
#include <rolebridge/base/util.h>

static void test_table(void **state UNUSED)
{
	static const struct {
		const char *name;
		int64_t failures, first, most, least_expected, most_expected;
	} cases[] = {
		{ "none", 0, 5, 600, 0, 0 },
		{ "negative", -1, 5, 600, 0, 0 },
		{ "first", 1, 8, 600, 6, 8 },
		{ "second", 2, 8, 600, 12, 16 },
		{ "fourth", 4, 8, 600, 48, 64 },
		{ "bounded", 9, 8, 600, 450, 600 },
		{ "very many", INT64_MAX, 8, 600, 450, 600 },
		{ "no overflow", 100, INT64_MAX / 3, INT64_MAX, INT64_MAX / 4 * 3, INT64_MAX },
		{ "one stays one", 1, 1, 600, 1, 1 },
		{ "first beyond the bound", 1, 900, 600, 450, 600 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t least = backoff_after(cases[i].failures, cases[i].first, cases[i].most, 0);
		int64_t most =
			backoff_after(cases[i].failures, cases[i].first, cases[i].most, UINT32_MAX);

		if (least < cases[i].least_expected || most > cases[i].most_expected ||
		    least > most)
			fail_msg("%s: %lld to %lld", cases[i].name, (long long)least,
				 (long long)most);
	}
}

/* What is waited at most is what the longest chance gives. */
static void test_most(void **state UNUSED)
{
	static const int64_t expected[] = { 0, 0, 8, 16, 32, 64, 100, 100 };

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_int_equal(backoff_most((int64_t)i - 1, 8, 100), expected[i]);
		assert_int_equal(backoff_after((int64_t)i - 1, 8, 100, UINT32_MAX), expected[i]);
	}
}

static void test_chance(void **state UNUSED)
{
	assert_true(backoff_after(3, 1000, 100000, 0) <
		    backoff_after(3, 1000, 100000, UINT32_MAX / 2));
	assert_true(backoff_after(3, 1000, 100000, UINT32_MAX / 2) <
		    backoff_after(3, 1000, 100000, UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
