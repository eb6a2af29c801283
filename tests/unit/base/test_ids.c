/* UUIDs: form, order, refusal of what is nearly one. */
#include <rolebridge/base/ids.h>

#include <string.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_version_7(void **state)
{
	struct uuid a = uuid_create(0x0123456789ab), b = uuid_create(0x0123456789ab);
	struct uuid later = uuid_create(0x0123456789ac);
	char text[UUID_TEXT_SIZE];

	(void)state;
	uuid_format(&a, text);
	assert_memory_equal(text, "01234567-89ab-7", 15);
	assert_non_null(strchr("89ab", text[19]));
	assert_int_equal(strlen(text), 36);
	assert_memory_not_equal(&a, &b, sizeof(a));
	assert_true(memcmp(&a, &later, sizeof(a)) < 0);
}

static void test_parsing(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "01234567-89ab-7def-8123-456789abcdef", true },
		{ "01234567-89AB-7DEF-8123-456789ABCDEF", true },
		{ "00000000-0000-0000-0000-000000000000", true },
		{ "01234567-89ab-7def-8123-456789abcde", false },
		{ "01234567-89ab-7def-8123-456789abcdef0", false },
		{ "01234567-89ab-7def-8123-456789abcdeg", false },
		{ "0123456789-ab-7def-8123-456789abcdef", false },
		{ "{1234567-89ab-7def-8123-456789abcde}", false },
		{ "01234567x89ab-7def-8123-456789abcdef", false },
		{ "0123456789ab7def8123456789abcdef", false },
		{ "-1234567-89ab-7def-8123-456789abcdef", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct uuid uuid, untouched;
		char text[UUID_TEXT_SIZE];

		memset(&uuid, 0x5a, sizeof(uuid));
		untouched = uuid;
		assert_int_equal(uuid_parse(cases[i].text, &uuid), cases[i].good);
		if (!cases[i].good) {
			assert_memory_equal(&uuid, &untouched, sizeof(uuid));
			continue;
		}
		uuid_format(&uuid, text);
		assert_int_equal(strcasecmp(text, cases[i].text), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_7),
		cmocka_unit_test(test_parsing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
