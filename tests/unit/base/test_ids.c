/* UUIDs: form, order, refusal of what is nearly one. */
#include <rolebridge/base/ids.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int compare_uuids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

/* Random bytes are fetched in bulk: no two are the same, in a thread or in a forked child. */
static void test_unique(void **state)
{
	enum { MANY = 1000 };
	static struct uuid all[2 * MANY];
	int ends[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	all[0] = uuid_create(1);
	child = fork();
	assert_true(child >= 0);
	for (size_t i = 1; i < MANY; i++)
		all[i] = uuid_create(1);
	if (child == 0) {
		all[0] = uuid_create(1);
		_exit(write(ends[1], all, sizeof(all) / 2) != sizeof(all) / 2);
	}
	close(ends[1]);
	for (size_t at = sizeof(all) / 2; at < sizeof(all);) {
		ssize_t size = read(ends[0], (char *)all + at, sizeof(all) - at);

		assert_true(size > 0);
		at += (size_t)size;
	}
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	qsort(all, 2 * (size_t)MANY, sizeof(*all), compare_uuids);
	for (size_t i = 1; i < 2 * (size_t)MANY; i++)
		assert_memory_not_equal(&all[i - 1], &all[i], sizeof(*all));
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
		cmocka_unit_test(test_unique),
		cmocka_unit_test(test_parsing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
