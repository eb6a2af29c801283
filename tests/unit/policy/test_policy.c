/* Limits exactly at and one over each edge; the last administrator; grace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/policy/policy.h>

/* The defaults, through the option table that declares them. */
static struct policy_settings defaults(struct arena *arena)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct document_file file = { "x.yaml", "{}", 2 };
	AUTO(document) struct document *document = document_load_files(&file, 1, list);
	struct policy_settings settings;

	assert_non_null(document);
	options_parse(&policy_table, document, arena, &settings, list);
	assert_int_equal(diagnostics_errors(list), 0);
	return settings;
}

struct row {
	const char *name;
	enum limit_kind kind;
	int64_t count, explicit_count, in_window, population;
	bool first_sync, over;
};

static const struct row rows[] = {
	{ "3 of few", LIMIT_DISABLES, 3, 0, 0, 10, false, false },
	{ "4 of few", LIMIT_DISABLES, 4, 0, 0, 10, false, true },
	{ "none is never over", LIMIT_DISABLES, 0, 0, 100, 10, false, false },
	{ "5 % of 1000", LIMIT_DISABLES, 50, 0, 0, 1000, false, false },
	{ "one over 5 % of 1000", LIMIT_DISABLES, 51, 0, 0, 1000, false, true },
	{ "5 % of 1019 rounds down", LIMIT_DISABLES, 51, 0, 0, 1019, false, true },
	{ "500 of many", LIMIT_DISABLES, 500, 0, 0, 1000000, false, false },
	{ "501 of many", LIMIT_DISABLES, 501, 0, 0, 1000000, false, true },
	{ "the window fills it", LIMIT_DISABLES, 10, 0, 40, 1000, false, false },
	{ "the window overflows it", LIMIT_DISABLES, 10, 0, 41, 1000, false, true },
	{ "a sum that overflows", LIMIT_DISABLES, INT64_MAX, 0, INT64_MAX, 1000, false, true },
	{ "10 removals of few", LIMIT_REMOVALS, 10, 0, 0, 12, false, false },
	{ "11 removals of few", LIMIT_REMOVALS, 11, 0, 0, 12, false, true },
	{ "5 % of holders", LIMIT_REMOVALS, 25, 0, 0, 500, false, false },
	{ "one over 5 % of holders", LIMIT_REMOVALS, 26, 0, 0, 500, false, true },
	{ "no cap on removals", LIMIT_REMOVALS, 5000, 0, 0, 100000, false, false },
	{ "removals within the window", LIMIT_REMOVALS, 1, 0, 10, 12, false, true },
	{ "30 % of a group", LIMIT_GROUP, 3, 0, 0, 10, false, false },
	{ "40 % of a group", LIMIT_GROUP, 4, 0, 0, 10, false, true },
	{ "small groups have no limit", LIMIT_GROUP, 9, 0, 0, 9, false, false },
	{ "slices of a group", LIMIT_GROUP, 16, 0, 20, 100, false, true },
	{ "3 new administrators", LIMIT_ADMINISTRATORS_NEW, 3, 0, 0, 1, false, false },
	{ "4 new administrators", LIMIT_ADMINISTRATORS_NEW, 4, 0, 0, 1, false, true },
	{ "2 and 2 within the window", LIMIT_ADMINISTRATORS_NEW, 2, 0, 2, 1, false, true },
	{ "1 in a first sync", LIMIT_ADMINISTRATORS_NEW, 1, 0, 0, 0, true, true },
	{ "1 of 3 lost", LIMIT_ADMINISTRATORS_LOST, 1, 0, 0, 3, false, false },
	{ "1 of 2 lost", LIMIT_ADMINISTRATORS_LOST, 1, 0, 0, 2, false, true },
	{ "1 of 2 explicitly disabled", LIMIT_ADMINISTRATORS_LOST, 1, 1, 0, 2, false, false },
	{ "the last one explicitly: to the clamp", LIMIT_ADMINISTRATORS_LOST, 1, 1, 0, 1, false,
	  false },
	{ "the last one by rules", LIMIT_ADMINISTRATORS_LOST, 1, 0, 0, 1, false, true },
	{ "2 of 10 lost", LIMIT_ADMINISTRATORS_LOST, 2, 2, 0, 10, false, true },
	{ "a second within the window", LIMIT_ADMINISTRATORS_LOST, 1, 1, 1, 10, false, true },
};

static void test_limits(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct policy_settings policy = defaults(arena);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct limit_question question = {
			.kind = row->kind,
			.count = row->count,
			.explicit_count = row->explicit_count,
			.in_window = row->in_window,
			.population = row->population,
			.first_sync = row->first_sync,
		};
		AUTO(strbuf) struct strbuf text = STRBUF(4096);

		if (policy_over_limit(&policy.limits, &question) != row->over)
			fail_msg("%s", row->name);
		policy_limit_text(&policy.limits, &question, "subject", &text);
		assert_non_null(strstr(strbuf_text(&text), "subject"));
	}
}

static void test_last_administrator(void **state UNUSED)
{
	static const struct {
		const char *name;
		struct administrator_question question;
		int result;
		enum administrator_verdict verdict;
	} cases[] = {
		{ "was none", { false, false, 0, true }, 0, ADMINISTRATOR_ALLOWED },
		{ "stays one", { true, true, 0, true }, 0, ADMINISTRATOR_ALLOWED },
		{ "becomes one", { false, true, 0, true }, 0, ADMINISTRATOR_ALLOWED },
		{ "another remains", { true, false, 1, true }, 0, ADMINISTRATOR_ALLOWED },
		{ "last, by a person", { true, false, 0, true }, -1, ADMINISTRATOR_ALLOWED },
		{ "last, by a sync", { true, false, 0, false }, 0, ADMINISTRATOR_CLAMPED },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum administrator_verdict verdict = ADMINISTRATOR_ALLOWED;
		struct err err;

		err_clear(&err);
		if (policy_last_administrator(&cases[i].question, &verdict, &err) !=
			    cases[i].result ||
		    verdict != cases[i].verdict)
			fail_msg("%s", cases[i].name);
		if (cases[i].result < 0)
			assert_string_equal(err_reason(&err), "last-administrator");
	}
}

static void test_missing(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct policy_settings policy = defaults(arena);
	const int64_t day = 86400;

	assert_false(policy_missing_disables(&policy, 5, 0, 100 * day));
	assert_false(policy_missing_disables(&policy, 1, 1000, 1000 + 2 * day));
	assert_false(policy_missing_disables(&policy, 2, 1000, 1000 + day - 1));
	assert_true(policy_missing_disables(&policy, 2, 1000, 1000 + day));
}

static void test_protected(void **state UNUSED)
{
	const struct located names[] = { { .text = "Anna" }, { .text = "ben" } };
	struct policy_settings policy = { .protected_users = { 2, names } };

	assert_true(policy_is_protected(&policy, "anna"));
	assert_true(policy_is_protected(&policy, "ben"));
	assert_false(policy_is_protected(&policy, "annabel"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_last_administrator),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_protected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
