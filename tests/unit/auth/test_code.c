/* Codes that are sent: the same of the same, another of all else, and what people type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/auth/code.h>
#include <rolebridge/base/util.h>

struct world {
	char folder[64], path[80], other_path[80];
	struct tickets *tickets, *others;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct err err = { 0 };

	assert_non_null(world);
	snprintf(world->folder, sizeof(world->folder), "/tmp/rolebridge-code-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/key", world->folder);
	snprintf(world->other_path, sizeof(world->other_path), "%s/other", world->folder);
	world->tickets = tickets_create(world->path, &err);
	world->others = tickets_create(world->other_path, &err);
	assert_true(world->tickets && world->others);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	tickets_destroy(world->tickets);
	tickets_destroy(world->others);
	unlink(world->path);
	unlink(world->other_path);
	rmdir(world->folder);
	free(world);
	return 0;
}

static const struct code_subject subject = {
	.session_id = 7, .factor = { { 1, 2, 3 } }, .generation = 5, .until_s = 1800000000
};

static void test_bound(void **state)
{
	struct world *world = *state;
	struct code_subject others[] = { subject, subject, subject, subject };
	char code[CODE_TEXT], again[CODE_TEXT], other[CODE_TEXT];
	struct tickets *restarted;

	code_make(world->tickets, &subject, code);
	assert_int_equal(strspn(code, "0123456789"), CODE_DIGITS);
	assert_int_equal(strlen(code), CODE_DIGITS);
	assert_true(code_check(world->tickets, &subject, code));
	others[0].session_id++;
	others[1].factor.byte[15]++;
	others[2].generation++;
	others[3].until_s++;
	/* Each of these is equal by chance once in a million: not all of ten in a row. */
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		unsigned same = 0;

		for (int n = 0; n < 10; n++) {
			struct code_subject one = subject, two = others[i];

			one.generation += 100 * n;
			two.generation += 100 * n;
			code_make(world->tickets, &one, code);
			code_make(world->tickets, &two, other);
			same += strcmp(code, other) == 0;
		}
		assert_true(same < 3);
	}
	code_make(world->tickets, &subject, code);
	code_make(world->others, &subject, other);
	others[0] = subject;
	for (int n = 0; n < 3 && strcmp(code, other) == 0; n++) {
		others[0].generation++;
		code_make(world->tickets, &others[0], code);
		code_make(world->others, &others[0], other);
	}
	assert_string_not_equal(code, other);
	/* It outlives a restart. */
	code_make(world->tickets, &subject, code);
	restarted = tickets_create(world->path, NULL);
	assert_non_null(restarted);
	code_make(restarted, &subject, again);
	assert_string_equal(code, again);
	tickets_destroy(restarted);
}

static void test_typed(void **state)
{
	struct world *world = *state;
	char code[CODE_TEXT], text[64];

	code_make(world->tickets, &subject, code);
	snprintf(text, sizeof(text), "  %.3s %s ", code, code + 3);
	assert_true(code_check(world->tickets, &subject, text));
	snprintf(text, sizeof(text), "%.3s-%s", code, code + 3);
	assert_true(code_check(world->tickets, &subject, text));
	for (size_t i = 0; i < CODE_DIGITS; i++) {
		snprintf(text, sizeof(text), "%s", code);
		text[i] = text[i] == '9' ? '0' : (char)(text[i] + 1);
		assert_false(code_check(world->tickets, &subject, text));
	}
	snprintf(text, sizeof(text), "%s0", code);
	assert_false(code_check(world->tickets, &subject, text));
	snprintf(text, sizeof(text), "%.5s", code);
	assert_false(code_check(world->tickets, &subject, text));
	snprintf(text, sizeof(text), "%sx", code);
	assert_false(code_check(world->tickets, &subject, text));
	assert_false(code_check(world->tickets, &subject, ""));
	assert_false(code_check(world->tickets, &subject, "\xff\xff\xff\xff\xff\xff"));
}

/* All digits at all places about as often. */
static void test_spread(void **state)
{
	struct world *world = *state;
	unsigned counts[CODE_DIGITS][10] = { 0 };
	struct code_subject one = subject;
	char code[CODE_TEXT];

	for (int n = 0; n < 20000; n++) {
		one.generation = n;
		code_make(world->tickets, &one, code);
		for (size_t i = 0; i < CODE_DIGITS; i++)
			counts[i][code[i] - '0']++;
	}
	/* 2000 each; 9 standard deviations are 380. */
	for (size_t i = 0; i < CODE_DIGITS; i++)
		for (size_t digit = 0; digit < 10; digit++)
			assert_in_range(counts[i][digit], 1620, 2380);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_typed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_spread, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
