/* Warnings: each where it belongs, and not elsewhere. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/util.h>

#define RULE(id, rest) "  - {id: " id ", " rest "}\n"

static const struct lint_case {
	const char *name;
	const char *rules;
	const char *code; /* NULL: no warning of any kind */
	const char *words;
} cases[] = {
	{ "clean", RULE("a", "when: '(title=x)', grant: {roles: [ops]}"), NULL, NULL },
	{ "title only", RULE("a", "when: '(|(title=x)(title=y*))', grant: {personas: [lead]}"),
	  "title-only-persona", "'a'" },
	{ "title and another", RULE("a", "when: '(&(title=x)(l=y))', grant: {personas: [lead]}"),
	  NULL, NULL },
	{ "title and a group",
	  RULE("a", "groups: 'cn=x', when: '(title=x)', grant: {personas: [lead]}"), NULL, NULL },
	{ "title for a role", RULE("a", "when: '(title=x)', grant: {roles: [ops]}"), NULL, NULL },
	{ "profile behind the same condition",
	  RULE("a", "when: '(&(l=1)(title=x))', grant: {profile: staff}")
		  RULE("b", "when: '(&(TITLE=X)(l=1))', grant: {profile: admin}"),
	  "unreachable-rule", "rule 'b' never gives profile 'admin': rule 'a'" },
	{ "profile behind one of its parts",
	  RULE("a", "groups: 'cn=g', grant: {profile: staff}")
		  RULE("b", "groups: 'CN=G', when: '(title=x)', grant: {profile: admin}"),
	  "unreachable-rule", "'b'" },
	{ "profile behind a nested part",
	  RULE("a", "when: '(title=x)', grant: {profile: staff}") RULE(
		  "b", "groups: 'cn=g', when: '(&(l=1)(&(title=x)))', grant: {profile: admin}"),
	  "unreachable-rule", "'b'" },
	{ "narrower first",
	  RULE("a", "when: '(&(title=x)(l=1))', grant: {profile: staff}")
		  RULE("b", "when: '(title=x)', grant: {profile: admin}"),
	  NULL, NULL },
	{ "behind a trial",
	  RULE("a", "when: '(title=x)', grant: {profile: staff}, trial: true")
		  RULE("b", "when: '(title=x)', grant: {profile: admin}"),
	  NULL, NULL },
	{ "behind one that ends",
	  RULE("a", "when: '(title=x)', grant: {profile: staff}, expires: 2030-01-01")
		  RULE("b", "when: '(title=x)', grant: {profile: admin}"),
	  NULL, NULL },
	{ "behind one that may be denied",
	  RULE("a", "when: '(title=x)', grant: {profile: staff}")
		  RULE("b", "when: '(title=x)', grant: {profile: admin}")
			  RULE("c", "when: '(l=x)', deny: {profile: staff}"),
	  NULL, NULL },
	{ "roles are never out of reach",
	  RULE("a", "when: '(title=x)', grant: {profile: staff}")
		  RULE("b", "when: '(title=x)', grant: {roles: [ops]}"),
	  NULL, NULL },
	{ "everybody", RULE("a", "when: '(&)', grant: {roles: [ops]}"), "matches-everybody",
	  "'a'" },
	{ "everybody, by either-or",
	  RULE("a", "when: '(|(l=1)(!(l=1))(l=2))', deny: {roles: [ops]}"), "matches-everybody",
	  "'a'" },
	{ "nobody", RULE("a", "when: '(|)', grant: {roles: [ops]}"), "matches-nobody", "'a'" },
	{ "nobody, by a contradiction",
	  RULE("a", "when: '(&(l=1)(title=x)(!(L= 1 )))', deny: {roles: [ops]}"), "matches-nobody",
	  "'a'" },
	{ "nobody, deep", RULE("a", "when: '(&(l=1)(!(&(|(title=x)(&)))))', deny: {roles: [ops]}"),
	  "matches-nobody", "'a'" },
	{ "negation", RULE("a", "when: '(!(employeeType=contractor))', grant: {roles: [ops]}"),
	  "grant-by-negation", "no 'employeeType' at all" },
	{ "negation inside",
	  RULE("a", "groups: 'cn=g', when: '(!(|(l=1)(l=2)))', grant: {roles: [ops]}"),
	  "grant-by-negation", "'l'" },
	{ "double negation", RULE("a", "when: '(!(!(l=1)))', grant: {roles: [ops]}"), NULL, NULL },
	{ "negation, presence asked",
	  RULE("a",
	       "when: '(&(employeeType=*)(!(employeeType=contractor)))', grant: {roles: [ops]}"),
	  NULL, NULL },
	{ "negation, absence declared unknown",
	  RULE("a", "when: '(!(clearance=none))', grant: {roles: [ops]}"), NULL, NULL },
	{ "negation that denies", RULE("a", "when: '(!(l=1))', deny: {roles: [ops]}"), NULL, NULL },
	{ "negated group",
	  RULE("a", "when: '(!(memberOf:1.2.840.113556.1.4.1941:=cn=g))', grant: {roles: [ops]}"),
	  NULL, NULL },
	{ "twice", RULE("a", "when: '(l=1)', grant: {roles: [ops, sales, ops]}"), "duplicate-grant",
	  "role 'ops' twice" },
	{ "without effect", RULE("a", "when: '(l=1)'"), "rule-without-effect", "'a'" },
};

static void check_lint(const struct lint_case *given)
{
	AUTO(strbuf) struct strbuf yaml = STRBUF(1 << 16);
	const struct diagnostic *found;
	struct support_rules made;

	strbuf_printf(&yaml, "%srules:\n%s", CATALOGUE, given->rules);
	support_rules_init(&made, strbuf_text(&yaml));
	assert_int_equal(diagnostics_errors(made.list), 0);
	assert_non_null(made.rules);
	if (diagnostics_warnings(made.list) != (given->code != NULL)) {
		support_print(made.list);
		fail_msg("%s: %zu warnings", given->name, diagnostics_warnings(made.list));
	}
	if (given->code != NULL) {
		found = support_find(made.list, given->code);
		if (found == NULL || strstr(found->message, given->words) == NULL)
			fail_msg("%s: %s", given->name, diagnostics_get(made.list, 0)->message);
	}
	support_rules_finish(&made);
}

static void test_lint(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_lint(&cases[i]);
}

static void test_personas(void **state)
{
	struct support_rules made;
	const struct diagnostic *found;

	(void)state;
	support_rules_init(&made, "personas:\n"
				  "  - {name: a, primary: true}\n"
				  "  - {name: b, primary: true}\n"
				  "  - {name: c, primary: true}\n"
				  "  - {name: d}\n"
				  "  - {name: e, primary: true}\n"
				  "  - {name: f, primary: true}\n"
				  "  - {name: g, primary: true}\n");
	assert_non_null(made.rules);
	assert_int_equal(diagnostics_warnings(made.list), 1);
	found = support_find(made.list, "persona-proliferation");
	assert_non_null(found);
	assert_int_equal(found->at.line, 7);
	support_rules_finish(&made);
}

#define WHOLE \
	"title: P, objectives: [a], frustrations: [b], watering_holes: [c], " \
	"technical_sophistication: low"

/* A file may leave out what the API asks for, and is told. */
static void test_incomplete(void **state)
{
	static const struct {
		const char *persona, *words; /* NULL: nothing is missing */
	} personas[] = {
		{ "{name: p, " WHOLE "}", NULL },
		{ "{name: p}", "title, objectives, frustrations, watering_holes, technical" },
		{ "{name: p, title: '', objectives: [a], frustrations: [b], watering_holes: [c], "
		  "technical_sophistication: low}",
		  "say: title" },
		{ "{name: p, title: P, objectives: [], frustrations: [b], watering_holes: [c], "
		  "technical_sophistication: low}",
		  "say: objectives" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(personas); i++) {
		AUTO(strbuf) struct strbuf yaml = STRBUF(4096);
		const struct diagnostic *found;
		struct support_rules made;

		strbuf_printf(&yaml, "personas: [%s]\n", personas[i].persona);
		support_rules_init(&made, strbuf_text(&yaml));
		assert_non_null(made.rules);
		ruleset_lint(&made.settings, NULL, 1782691200, made.list);
		found = support_find(made.list, "persona-incomplete");
		assert_int_equal(found != NULL, personas[i].words != NULL);
		if (found && !strstr(found->message, personas[i].words))
			fail_msg("%s", found->message);
		support_rules_finish(&made);
	}
}

/* What the store knows of them. */
static void test_known(void **state)
{
	static const char yaml[] =
		"personas:\n"
		"  - {name: few, primary: true, " WHOLE "}\n"
		"  - {name: many, primary: true, review_due: 2020-01-01, " WHOLE "}\n"
		"  - {name: second, " WHOLE "}\n";
	struct persona_facts facts[] = {
		{ .name = "few", .noted_s = 1750000000, .counts = { [PERSONA_INTERVIEWS] = 11 } },
		{ .name = "many",
		  .noted_s = 1750000000,
		  .reviewed_s = 1782691200,
		  .next_due_s = 1814227200,
		  .counts = { [PERSONA_INTERVIEWS] = 12 } },
	};
	struct persona_knowledge known = { facts, ARRAY_LEN(facts), true };
	const struct diagnostic *found;
	struct support_rules made;

	(void)state;
	support_rules_init(&made, yaml);
	ruleset_lint(&made.settings, &known, 1780000000, made.list);
	assert_int_equal(diagnostics_warnings(made.list), 1);
	found = support_find(made.list, "insufficient-research");
	assert_non_null(found);
	assert_int_equal(found->at.line, 2);
	assert_non_null(strstr(found->message, "'few' rests on 11"));
	/* A year after it was first seen. */
	ruleset_lint(&made.settings, &known, 1782000000, made.list);
	found = support_find(made.list, "persona-review-overdue");
	assert_non_null(found);
	assert_int_equal(found->at.line, 2);
	support_rules_finish(&made);

	/* What nobody could be asked for is not said to be missing. */
	known.asked = false;
	known.count = 0;
	support_rules_init(&made, yaml);
	ruleset_lint(&made.settings, &known, 1780000000, made.list);
	assert_null(support_find(made.list, "insufficient-research"));
	found = support_find(made.list, "persona-review-overdue");
	assert_int_equal(found->at.line, 3);
	support_rules_finish(&made);
}

static void test_days(void **state)
{
	static const char yaml[] = "personas: [{name: p, review_due: 2026-06-30, " WHOLE "}]\n"
				   "rules:\n"
				   "  - {id: r, when: '(l=1)', grant: {personas: [p]},"
				   " expires: 2026-06-29}\n";
	/* 2026-06-30, first second, last second, then the next day. */
	static const struct {
		int64_t now_s;
		size_t warnings;
	} days[] = { { 1782691200, 0 },
		     { 1782777599, 0 },
		     { 1782777600, 1 },
		     { 1782863999, 1 },
		     { 1782864000, 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		struct support_rules made;

		support_rules_init(&made, yaml);
		assert_non_null(made.rules);
		assert_int_equal(diagnostics_count(made.list), 0);
		ruleset_lint(&made.settings, NULL, days[i].now_s, made.list);
		assert_int_equal(diagnostics_warnings(made.list), days[i].warnings);
		if (days[i].warnings > 0)
			assert_non_null(support_find(made.list, "expired-rule"));
		if (days[i].warnings > 1)
			assert_non_null(support_find(made.list, "persona-review-overdue"));
		support_rules_finish(&made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lint),
					    cmocka_unit_test(test_personas),
					    cmocka_unit_test(test_incomplete),
					    cmocka_unit_test(test_known),
					    cmocka_unit_test(test_days) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
