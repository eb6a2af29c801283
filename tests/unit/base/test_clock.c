/* Time: known moments, round trips over the whole range, what is no date. */
#include <rolebridge/base/clock.h>

#include <string.h>
#include <time.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

enum form { RFC3339, DATE, GENERALIZED };

static const struct {
	enum form form;
	const char *text;
	int64_t time_s; /* -1: refused */
} cases[] = {
	{ RFC3339, "1970-01-01T00:00:00Z", 0 },
	{ RFC3339, "2026-01-01T00:00:00Z", 1767225600 },
	{ RFC3339, "2026-01-01t00:00:00z", 1767225600 },
	{ RFC3339, "2026-01-01T00:00:00.999Z", 1767225600 },
	{ RFC3339, "2026-01-01T02:30:00+02:30", 1767225600 },
	{ RFC3339, "2025-12-31T19:00:00-05:00", 1767225600 },
	{ RFC3339, "2016-12-31T23:59:60Z", 1483228800 }, /* a leap second */
	{ RFC3339, "2000-02-29T00:00:00Z", 951782400 },
	{ RFC3339, "1900-02-29T00:00:00Z", -1 },
	{ RFC3339, "2026-02-29T00:00:00Z", -1 },
	{ RFC3339, "2026-13-01T00:00:00Z", -1 },
	{ RFC3339, "2026-00-01T00:00:00Z", -1 },
	{ RFC3339, "2026-04-31T00:00:00Z", -1 },
	{ RFC3339, "2026-01-00T00:00:00Z", -1 },
	{ RFC3339, "2026-01-01T24:00:00Z", -1 },
	{ RFC3339, "2026-01-01T00:60:00Z", -1 },
	{ RFC3339, "2026-01-01T00:00:61Z", -1 },
	{ RFC3339, "2026-01-01T00:00:00", -1 },
	{ RFC3339, "2026-01-01T00:00:00Zx", -1 },
	{ RFC3339, "2026-01-01T00:00:00.Z", -1 },
	{ RFC3339, "2026-01-01T00:00:00+24:00", -1 },
	{ RFC3339, "2026-01-01T00:00:00+02:60", -1 },
	{ RFC3339, "2026-01-01T00:00:00+0200", -1 },
	{ RFC3339, "2026-01-01T00:00:00+02", -1 },
	{ RFC3339, "2026-01-01 00:00:00Z", -1 },
	{ RFC3339, "2026-1-01T00:00:00Z", -1 },
	{ RFC3339, "+026-01-01T00:00:00Z", -1 },
	{ RFC3339, "0000-01-01T00:00:00+00:01", -1 },
	{ RFC3339, "9999-12-31T23:59:59-00:01", -1 },
	{ RFC3339, "", -1 },
	{ DATE, "2026-01-01", 1767225600 },
	{ DATE, "2024-02-29", 1709164800 },
	{ DATE, "2023-02-29", -1 },
	{ DATE, "2026-01-01T00:00:00Z", -1 },
	{ DATE, "2026-1-1", -1 },
	{ DATE, " 2026-01-01", -1 },
	{ DATE, "2026-01-32", -1 },
	{ GENERALIZED, "20260101000000Z", 1767225600 },
	{ GENERALIZED, "20260101000000.0Z", 1767225600 },
	{ GENERALIZED, "20260101000000,123456789012345678901Z", 1767225600 },
	{ GENERALIZED, "2026010100Z", 1767225600 },
	{ GENERALIZED, "2026010100.5Z", 1767227400 },
	{ GENERALIZED, "202601010000.25Z", 1767225615 },
	{ GENERALIZED, "2026010102+02", 1767225600 },
	{ GENERALIZED, "202601010230+0230", 1767225600 },
	{ GENERALIZED, "20251231190000-0500", 1767225600 },
	{ GENERALIZED, "20260101000000", -1 },
	{ GENERALIZED, "20260101000000z", -1 },
	{ GENERALIZED, "20260101000000.Z", -1 },
	{ GENERALIZED, "2026010100000Z", -1 },
	{ GENERALIZED, "202601010Z", -1 },
	{ GENERALIZED, "20260101Z", -1 },
	{ GENERALIZED, "20260101000000+02:00", -1 },
	{ GENERALIZED, "20260101000000+020", -1 },
	{ GENERALIZED, "20260230000000Z", -1 },
	{ GENERALIZED, "00000101000000Z0", -1 },
};

static int parse(enum form form, const char *text, int64_t *ret_time_s, struct err *err)
{
	switch (form) {
	case RFC3339: return clock_parse(text, ret_time_s, err);
	case DATE: return clock_parse_date(text, ret_time_s, err);
	default: return clock_parse_generalized(text, ret_time_s, err);
	}
}

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		int64_t time_s = -77;
		int result = parse(cases[i].form, cases[i].text, &time_s, &err);

		if (cases[i].time_s == -1) {
			if (result != -1 || time_s != -77 || err.code != ERR_INVALID)
				fail_msg("'%s' was not refused cleanly", cases[i].text);
			assert_non_null(strstr(err.text, cases[i].text));
		} else if (result != 0 || time_s != cases[i].time_s) {
			fail_msg("'%s': %lld, %s", cases[i].text, (long long)time_s, err.text);
		}
	}
}

static void test_round_trips_as_the_c_library(void **state)
{
	(void)state;
	/* Steps of 37 hours and some: each day of the year, each hour, over 10,000 years. */
	for (int64_t time_s = -62167219200; time_s <= 253402300799; time_s += 1337777) {
		char text[CLOCK_TEXT_SIZE], expected[64];
		struct tm tm;
		time_t t = time_s;
		int64_t back = 0;

		clock_format(time_s, text);
		gmtime_r(&t, &tm);
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02dZ",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec);
		assert_string_equal(text, expected);
		assert_int_equal(clock_parse(text, &back, NULL), 0);
		assert_int_equal(back, time_s);
	}
}

static void test_beyond_the_range_is_its_end(void **state)
{
	char text[CLOCK_TEXT_SIZE];

	(void)state;
	clock_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59Z");
	clock_format(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00Z");
}

static void test_clocks_run(void **state)
{
	int64_t before = clock_monotonic_us();

	(void)state;
	assert_true(clock_monotonic_us() >= before);
	assert_true(clock_now_s() > 1700000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_round_trips_as_the_c_library),
		cmocka_unit_test(test_beyond_the_range_is_its_end),
		cmocka_unit_test(test_clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
