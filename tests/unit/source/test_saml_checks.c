/* Times as SAML writes them; the table of checks as a whole. What each check refuses is shown by tests/attack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/checks.h"

static const struct time_row {
	const char *text;
	int64_t time_s; /* -1: refused */
} time_rows[] = {
	{ "1970-01-01T00:00:00Z", 0 },
	{ "2030-03-17T17:46:40Z", 1900000000 },
	{ "2030-03-17T17:46:40.999Z", 1900000000 },
	{ "2030-03-17T17:46:40.123456789012Z", 1900000000 },
	{ "2028-02-29T00:00:00Z", 1835395200 },
	{ "2030-02-29T00:00:00Z", -1 },
	{ "2030-13-01T00:00:00Z", -1 },
	{ "2030-00-01T00:00:00Z", -1 },
	{ "2030-01-01T25:00:00Z", -1 },
	{ "2030-01-01T00:60:00Z", -1 },
	{ "2030-01-01T00:00:61Z", -1 },
	{ "2030-03-17T17:46:40", -1 },
	{ "2030-03-17T17:46:40+00:00", -1 },
	{ "2030-03-17T17:46:40z", -1 },
	{ "2030-03-17t17:46:40Z", -1 },
	{ "2030-03-17 17:46:40Z", -1 },
	{ "2030-03-17T17:46:40.Z", -1 },
	{ "2030-03-17T17:46:40,5Z", -1 },
	{ "2030-03-17T17:46Z", -1 },
	{ "2030-03-17", -1 },
	{ " 2030-03-17T17:46:40Z", -1 },
	{ "2030-03-17T17:46:40Z ", -1 },
	{ "12030-03-17T17:46:40Z", -1 },
	{ "-2030-03-17T17:46:40Z", -1 },
	{ "2030-3-17T17:46:40Z", -1 },
	{ "2030-03-17T17:46:40.00000000000000000000000000000000000000Z", -1 },
	{ "", -1 },
	{ NULL, -1 },
};

static void reads_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(time_rows); i++) {
		int64_t time_s = -1;
		bool good = saml_time_parse(time_rows[i].text, &time_s);

		if (good != (time_rows[i].time_s >= 0) || time_s != time_rows[i].time_s)
			fail_msg("'%s': %lld", time_rows[i].text, (long long)time_s);
	}
}

static void names_are_unique(void **state)
{
	const char *const *names = checks_names();

	(void)state;
	for (size_t i = 0; names[i]; i++) {
		assert_true(i < CHECKS_MAX);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(names[i], names[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_times),
		cmocka_unit_test(names_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
