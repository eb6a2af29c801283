/* What follows from what is known of a persona. */
#include <rolebridge/model/persona.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

static int64_t day(const char *text)
{
	struct err err = { 0 };
	int64_t time_s = 0;

	if (text && clock_parse_date(text, &time_s, &err) < 0)
		fail_msg("%s", err.text);
	return time_s;
}

static void test_years(void **state)
{
	static const struct {
		const char *from, *to;
	} years[] = {
		{ "2026-11-22", "2027-11-22" }, { "2027-02-28", "2028-02-28" },
		{ "2028-02-28", "2029-02-28" }, { "2028-02-29", "2029-03-01" },
		{ "2026-12-31", "2027-12-31" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(years); i++)
		for (int64_t within = 0; within < 86400; within += 86399)
			assert_int_equal(persona_year_after(day(years[i].from) + within),
					 day(years[i].to));
}

static void test_due(void **state)
{
	static const struct {
		const char *name, *declared, *noted, *reviewed, *next, *due;
	} cases[] = {
		{ "nothing", NULL, NULL, NULL, NULL, NULL },
		{ "new", NULL, "2026-01-01", NULL, NULL, "2027-01-01" },
		{ "declared", "2030-01-01", "2026-01-01", NULL, NULL, "2030-01-01" },
		{ "declared long ago", "2020-01-01", "2026-01-01", NULL, NULL, "2020-01-01" },
		{ "reviewed", NULL, "2026-01-01", "2026-05-05", "2027-05-05", "2027-05-05" },
		{ "reviewed, declared before", "2026-02-02", "2026-01-01", "2026-05-05",
		  "2027-05-05", "2027-05-05" },
		{ "reviewed, declared later", "2029-02-02", "2026-01-01", "2026-05-05",
		  "2027-05-05", "2029-02-02" },
		{ "reviewed, the day taken away", NULL, "2026-01-01", "2026-05-05", NULL,
		  "2027-05-05" },
		{ "noted again after a review", NULL, "2026-06-06", "2026-05-05", NULL,
		  "2027-06-06" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct persona_facts facts = { .noted_s = day(cases[i].noted),
						     .reviewed_s = day(cases[i].reviewed),
						     .next_due_s = day(cases[i].next) };
		int64_t due_s = persona_review_due(day(cases[i].declared), &facts);

		if (due_s != day(cases[i].due))
			fail_msg("%s: %lld", cases[i].name, (long long)due_s);
	}
	assert_int_equal(persona_review_due(77, NULL), 77);
	assert_false(persona_is_overdue(0, INT64_MAX));
	assert_false(persona_is_overdue(day("2026-01-01"), day("2026-01-02") - 1));
	assert_true(persona_is_overdue(day("2026-01-01"), day("2026-01-02")));
}

static void test_enough(void **state)
{
	struct persona_facts facts = { 0 };

	(void)state;
	assert_true(persona_lacks_research(true, NULL));
	assert_false(persona_lacks_research(false, NULL));
	assert_false(persona_is_validated(NULL));
	facts.counts[PERSONA_INTERVIEWS] = PERSONA_INTERVIEWS_NEEDED - 1;
	facts.counts[PERSONA_TICKETS] = facts.counts[PERSONA_PARTLY] = 100;
	facts.counts[PERSONA_YES] = PERSONA_YES_NEEDED - 1;
	assert_true(persona_lacks_research(true, &facts));
	assert_false(persona_lacks_research(false, &facts));
	assert_false(persona_is_validated(&facts));
	facts.counts[PERSONA_INTERVIEWS]++;
	facts.counts[PERSONA_YES]++;
	assert_false(persona_lacks_research(true, &facts));
	assert_true(persona_is_validated(&facts));
}

static void test_kinds(void **state)
{
	(void)state;
	for (int type = PERSONA_RESEARCH; type <= PERSONA_LINK; type++) {
		enum persona_record_type of = (enum persona_record_type)type;
		int count = persona_kind_count(of);

		assert_int_equal(count, type == PERSONA_RESEARCH ? 4
					: type == PERSONA_REVIEW ? 0
								 : 3);
		for (int kind = 1; kind <= count; kind++)
			assert_int_equal(persona_kind_find(of, persona_kind_name(of, kind)), kind);
		assert_int_equal(persona_kind_find(of, ""), 0);
		assert_int_equal(persona_kind_find(of, "none"), 0);
		assert_string_equal(persona_kind_name(of, 0), "");
		assert_string_equal(persona_kind_name(of, count + 1), "");
		assert_string_equal(persona_kind_name(of, -1), "");
		assert_string_equal(persona_kind_name(of, 1000), "");
	}
	assert_string_equal(persona_kind_name((enum persona_record_type)77, 1), "");
}

static void test_find(void **state)
{
	static const struct persona_facts facts[] = { { .name = "a" },
						      { .name = "b" },
						      { .name = "z" } };

	(void)state;
	assert_ptr_equal(persona_facts_find(facts, 3, "b"), &facts[1]);
	assert_ptr_equal(persona_facts_find(facts, 3, "z"), &facts[2]);
	assert_null(persona_facts_find(facts, 3, "c"));
	assert_null(persona_facts_find(facts, 2, "z"));
	assert_null(persona_facts_find(NULL, 0, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_years),  cmocka_unit_test(test_due),
		cmocka_unit_test(test_enough), cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
