/* Rulesets: evaluation with groups, support, outcome, denial, expiry, explanation, digest. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define NOW 1790000000 /* 2026-09-21 */

static const char yaml[] = CATALOGUE
	"rules:\n"
	"  - {id: g, groups: ['cn=a,dc=x', 'corp:cn=b,dc=x'], grant: {roles: [sales]}}\n"
	"  - {id: gw, groups: 'CN=A, DC=X', when: '(title=lead)', grant: {profile: staff}}\n"
	"  - {id: neg, when: '(!(employeeType=contractor))', grant: {roles: [ops]}}\n"
	"  - {id: or, when: '(|(title=lead)(department=sales))', grant: {personas: [lead]}}\n"
	"  - {id: all, when: '(&)', grant: {groups: [everyone]}}\n"
	"  - {id: chain, when: '(memberOf;x-corp:1.2.840.113556.1.4.1941:=cn=b,dc=x)',\n"
	"     grant: {roles: [ops]}}\n"
	"  - {id: not-in, when: '(!(memberOf:1.2.840.113556.1.4.1941:=cn=a,dc=x))',\n"
	"     grant: {roles: [ops]}}\n"
	"  - {id: clear, when: '(clearance=secret)', grant: {profile: admin}}\n"
	"  - {id: ended, when: '(&)', grant: {roles: [ops]}, expires: 2026-09-20}\n"
	"  - {id: last-day, when: '(&)', grant: {roles: [ops]}, expires: 2026-09-21}\n"
	"  - {id: none, when: '(|)', grant: {roles: [ops]}}\n";

#define HR 1
#define CORP 2

struct expected {
	const char *rule;
	enum match match;
	source_mask support;
};

static const struct evaluation_case {
	const char *name, *person;
	const char *frozen; /* canonical group */
	struct expected expected[12];
} cases[] = {
	{ "member in one source",
	  "hr group=cn=a,dc=x\nhr clearance=no",
	  NULL,
	  { { "g", MATCH_YES, HR },
	    { "neg", MATCH_YES, HR },
	    { "all", MATCH_YES, HR },
	    { "last-day", MATCH_YES, HR } } },
	{ "member in both, lead by corp",
	  "hr group=cn=a,dc=x\nhr clearance=no\ncorp group=cn=a,dc=x\ncorp title=Lead",
	  NULL,
	  { { "g", MATCH_YES, HR | CORP },
	    { "gw", MATCH_YES, HR | CORP },
	    { "neg", MATCH_YES, HR | CORP },
	    { "or", MATCH_YES, CORP },
	    { "all", MATCH_YES, HR | CORP },
	    { "last-day", MATCH_YES, HR | CORP } } },
	{ "or: both parts carry",
	  "hr title=lead\nhr clearance=secret\ncorp department=sales\ncorp employeeType=contractor",
	  NULL,
	  { { "or", MATCH_YES, HR | CORP },
	    { "all", MATCH_YES, HR | CORP },
	    { "not-in", MATCH_YES, HR | CORP },
	    { "clear", MATCH_YES, HR },
	    { "last-day", MATCH_YES, HR | CORP } } },
	{ "a group of one source",
	  "corp group=corp:cn=b,dc=x",
	  NULL,
	  { { "g", MATCH_YES, CORP },
	    { "neg", MATCH_YES, CORP },
	    { "all", MATCH_YES, CORP },
	    { "chain", MATCH_YES, CORP },
	    { "not-in", MATCH_YES, CORP },
	    { "last-day", MATCH_YES, CORP } } },
	{ "groups of hr incomplete: corp's group is still no",
	  "hr incomplete=1\nhr title=lead\nhr employeeType=contractor\nhr clearance=no\ncorp uid=x",
	  NULL,
	  { { "g", MATCH_UNKNOWN, HR },
	    { "gw", MATCH_UNKNOWN, HR },
	    { "or", MATCH_YES, HR },
	    { "all", MATCH_YES, HR | CORP },
	    { "not-in", MATCH_UNKNOWN, HR },
	    { "last-day", MATCH_YES, HR | CORP } } },
	{ "groups incomplete, member all the same",
	  "hr incomplete=1\nhr group=cn=a,dc=x\nhr employeeType=contractor\nhr clearance=no",
	  NULL,
	  { { "g", MATCH_YES, HR }, { "all", MATCH_YES, HR }, { "last-day", MATCH_YES, HR } } },
	{ "frozen group",
	  "hr employeeType=contractor\nhr clearance=no",
	  "cn=a,dc=x",
	  { { "g", MATCH_UNKNOWN, HR },
	    { "all", MATCH_YES, HR },
	    { "not-in", MATCH_UNKNOWN, HR },
	    { "last-day", MATCH_YES, HR } } },
	{ "clearance owed by hr",
	  "hr employeeType=contractor",
	  NULL,
	  { { "all", MATCH_YES, HR },
	    { "not-in", MATCH_YES, HR },
	    { "clear", MATCH_UNKNOWN, HR },
	    { "last-day", MATCH_YES, HR } } },
};

static size_t count_expected(const struct expected *expected)
{
	size_t count = 0;

	while (count < 12 && expected[count].rule != NULL)
		count++;
	return count;
}

static void check_matches(const struct evaluation_case *given, const struct rule_match *matches,
			  size_t count)
{
	for (size_t i = 0; i < count && i < count_expected(given->expected); i++) {
		const struct expected *expected = &given->expected[i];

		if (strcmp(matches[i].rule->id, expected->rule) != 0 ||
		    matches[i].match != expected->match || matches[i].support != expected->support)
			fail_msg("%s: %s is %d by %llx, expected %s %d by %llx", given->name,
				 matches[i].rule->id, matches[i].match,
				 (unsigned long long)matches[i].support, expected->rule,
				 expected->match, (unsigned long long)expected->support);
	}
	if (count != count_expected(given->expected))
		fail_msg("%s: %zu matches, expected %zu", given->name, count,
			 count_expected(given->expected));
}

/* What a source that is no directory does not know of its groups says nothing about a DN. */
static void test_groups_of_directories(void **state)
{
	static const struct {
		const char *groups, *person;
		int match; /* -1: NO */
		source_mask support;
	} rows[] = {
		{ "cn=a,dc=x", "hr incomplete=1\ncorp uid=x", -1, 0 },
		{ "cn=a,dc=x", "corp incomplete=1\nhr title=x", MATCH_UNKNOWN, CORP },
		{ "cn=a,dc=x", "corp group=cn=a,dc=x\nhr incomplete=1", MATCH_YES, CORP },
		{ "hr:a", "hr incomplete=1\ncorp uid=x", MATCH_UNKNOWN, HR },
		{ "hr:a", "corp incomplete=1\nhr title=x", -1, 0 },
	};

	(void)state;
	support_hr_type = "csv";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		AUTO(strbuf) struct strbuf text = STRBUF(4096);
		const struct rule_match *matches;
		struct support_rules made;
		struct person person;
		size_t count;

		strbuf_printf(&text,
			      CATALOGUE "rules: [{id: g, groups: ['%s'], grant: {roles: [ops]}}]\n",
			      rows[i].groups);
		support_rules_init(&made, strbuf_text(&text));
		assert_non_null(made.rules);
		support_person(made.schema, made.registry, rows[i].person, arena, &person);
		assert_int_equal(ruleset_evaluate(made.rules, &person, &made.states, 0, arena,
						  &matches, &count, NULL),
				 0);
		if (count != (rows[i].match >= 0) ||
		    (count == 1 && ((int)matches[0].match != rows[i].match ||
				    matches[0].support != rows[i].support)))
			fail_msg("%zu: %zu matches", i, count);
		support_rules_finish(&made);
	}
	support_hr_type = "ldif";
}

static void test_evaluate(void **state)
{
	struct support_rules made;

	(void)state;
	support_rules_init(&made, yaml);
	support_print(made.list);
	assert_non_null(made.rules);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct rule_match *matches;
		struct person person;
		struct err err;
		size_t count;
		const struct group *frozen =
			cases[i].frozen ? group_registry_find(made.registry, cases[i].frozen)
					: NULL;

		if (frozen != NULL)
			made.unknown[frozen->id] = 1;
		support_person(made.schema, made.registry, cases[i].person, made.arena, &person);
		assert_int_equal(ruleset_evaluate(made.rules, &person, &made.states, NOW,
						  made.arena, &matches, &count, &err),
				 0);
		check_matches(&cases[i], matches, count);
		if (frozen != NULL)
			made.unknown[frozen->id] = 0;
	}
	support_rules_finish(&made);
}

static void test_lookup(void **state)
{
	struct support_rules made;
	size_t count;

	(void)state;
	support_rules_init(&made, yaml);
	assert_int_equal(ruleset_count(made.rules), 11);
	assert_ptr_equal(ruleset_find(made.rules, "gw"), ruleset_rule(made.rules, 1));
	assert_null(ruleset_find(made.rules, "nobody"));
	assert_null(ruleset_rule(made.rules, 11));
	assert_int_equal(ruleset_find(made.rules, "gw")->at.line, 9);
	ruleset_groups(made.rules, &count);
	assert_int_equal(count, 2);
	assert_true(ruleset_reads(made.rules, (uint16_t)schema_find(made.schema, "title", 5)));
	assert_false(ruleset_reads(made.rules, (uint16_t)schema_find(made.schema, "mail", 4)));
	assert_false(ruleset_reads(made.rules, (uint16_t)schema_find(made.schema, "memberOf", 8)));
	/* The first second after 2026-09-20, then after the 21st, then none. */
	assert_int_equal(ruleset_next_expiry(made.rules, 0), 1789948800);
	assert_int_equal(ruleset_next_expiry(made.rules, 1789948800), 1790035200);
	assert_int_equal(ruleset_next_expiry(made.rules, 1790035200), 0);
	support_rules_finish(&made);
}

static struct hash128 digest_of(const char *text)
{
	struct support_rules made;
	struct hash128 digest;

	support_rules_init(&made, text);
	support_print(made.list);
	assert_non_null(made.rules);
	digest = ruleset_digest(made.rules);
	support_rules_finish(&made);
	return digest;
}

static void test_digest(void **state)
{
	static const char first[] =
		CATALOGUE "rules: [{id: a, when: '(title=x)', grant: {roles: [ops]}}]\n";
	static const char *const same[] = {
		CATALOGUE
		"rules: [{id: a, description: d, when: '(TITLE= X )', grant: {roles: [ops]}}]\n",
	};
	static const char *const other[] = {
		CATALOGUE "rules: [{id: b, when: '(title=x)', grant: {roles: [ops]}}]\n",
		CATALOGUE "rules: [{id: a, when: '(title=y)', grant: {roles: [ops]}}]\n",
		CATALOGUE "rules: [{id: a, when: '(title=x*)', grant: {roles: [ops]}}]\n",
		CATALOGUE "rules: [{id: a, when: '(title;x-hr=x)', grant: {roles: [ops]}}]\n",
		CATALOGUE "rules: [{id: a, when: '(title=x)', grant: {roles: [sales]}}]\n",
		CATALOGUE "rules: [{id: a, when: '(title=x)', deny: {roles: [ops]}}]\n",
		CATALOGUE
		"rules: [{id: a, when: '(title=x)', grant: {roles: [ops]}, trial: true}]\n",
		CATALOGUE
		"rules: [{id: a, when: '(title=x)', grant: {roles: [ops]}, expires: 2027-01-01}]\n",
		CATALOGUE
		"rules: [{id: a, groups: 'cn=x', when: '(title=x)', grant: {roles: [ops]}}]\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		assert_true(hash128_equal(digest_of(first), digest_of(same[i])));
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		if (hash128_equal(digest_of(first), digest_of(other[i])))
			fail_msg("%s", other[i]);
}

/* --- outcome --- */

static const struct outcome_case {
	const char *name, *person;
	const char *profile; /* rule that gives it; NULL: none */
	bool unknown_before;
	enum match ops_denied;
} outcomes[] = {
	{ "first match in file order", "hr title=a\nhr department=b\nhr clearance=no", "p1", false,
	  MATCH_NO },
	{ "second", "hr department=b\nhr clearance=no", "p2", false, MATCH_NO },
	{ "trial does not count", "hr title=t\nhr clearance=no", NULL, false, MATCH_NO },
	{ "unknown before", "hr department=b", "p2", true, MATCH_UNKNOWN },
	{ "unknown behind", "hr title=a", "p1", false, MATCH_UNKNOWN },
	{ "denied profile gives way", "hr title=a\nhr department=b\nhr clearance=no\nhr l=no", "p2",
	  false, MATCH_YES },
	{ "unknown denial of the first",
	  "hr title=a\nhr department=b\nhr clearance=no\n"
	  "hr incomplete=1",
	  "p2", true, MATCH_NO },
};

static const char outcome_yaml[] =
	CATALOGUE "rules:\n"
		  "  - {id: t, when: '(title=t)', grant: {profile: admin}, trial: true}\n"
		  "  - {id: p1, when: '(title=a)', grant: {profile: staff, roles: [ops]}}\n"
		  "  - {id: pc, when: '(clearance=secret)', grant: {profile: admin}}\n"
		  "  - {id: p2, when: '(department=b)', grant: {profile: basic}}\n"
		  "  - {id: d1, when: '(l=no)', deny: {profile: staff, roles: [ops]}}\n"
		  "  - {id: d2, groups: 'cn=d', deny: {profile: staff}}\n"
		  "  - {id: d3, when: '(clearance=secret)', deny: {roles: [ops]}}\n"
		  "  - {id: d4, when: '(&)', deny: {roles: [ops]}, trial: true}\n";

static void test_outcome(void **state)
{
	struct support_rules made;

	(void)state;
	support_rules_init(&made, outcome_yaml);
	assert_non_null(made.rules);
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		const struct outcome_case *given = &outcomes[i];
		const struct rule_match *matches;
		struct rule_outcome outcome;
		struct person person;
		size_t count;

		support_person(made.schema, made.registry, given->person, made.arena, &person);
		assert_int_equal(ruleset_evaluate(made.rules, &person, &made.states, NOW,
						  made.arena, &matches, &count, NULL),
				 0);
		rule_outcome(matches, count, &outcome);
		if ((outcome.profile == NULL) != (given->profile == NULL) ||
		    (given->profile && strcmp(outcome.profile->rule->id, given->profile) != 0) ||
		    outcome.profile_unknown_before != given->unknown_before ||
		    rule_denied(matches, count, GRANT_ROLE, "ops") != given->ops_denied)
			fail_msg("%s: %s %d %d", given->name,
				 outcome.profile ? outcome.profile->rule->id : "none",
				 outcome.profile_unknown_before,
				 rule_denied(matches, count, GRANT_ROLE, "ops"));
	}
	support_rules_finish(&made);
}

/* --- explanation --- */

static char *explain(struct support_rules *made, const char *rule, const char *lines,
		     bool show_sensitive)
{
	static const char *const words[] = { "no", "yes", "unknown" };
	struct strbuf text = STRBUF(1 << 20);
	const struct trace_node *nodes;
	struct person person;
	enum match match;
	struct err err;
	size_t count;

	support_person(made->schema, made->registry, lines, made->arena, &person);
	assert_int_equal(rule_explain(made->rules, ruleset_find(made->rules, rule), &person,
				      &made->states, NOW, show_sensitive, made->arena, &match,
				      &nodes, &count, &err),
			 0);
	strbuf_printf(&text, "%s\n", words[match]);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&text, "%u %s %s [%s]\n", nodes[i].depth, words[nodes[i].match],
			      nodes[i].text, nodes[i].because);
	return strbuf_take(&text);
}

static const struct {
	const char *rule, *person;
	bool show_sensitive;
	const char *expected;
} explanations[] = {
	{ "x", "hr group=cn=a\nhr title=Intern\nhr ssn=123\ncorp uid=u", false,
	  "unknown\n"
	  "0 unknown & []\n"
	  "1 yes | []\n"
	  "2 yes groups: cn=a [member (source hr)]\n"
	  "2 no groups: cn=b [not a member]\n"
	  "1 unknown & []\n"
	  "2 yes (title=*intern*) [title is 'Intern' (source hr)]\n"
	  "2 yes ! []\n"
	  "3 no (ssn (hidden)) [ssn is (hidden) (source hr)]\n"
	  "2 unknown (clearance=s) [not delivered by hr]\n" },
	{ "x", "hr incomplete=1\nhr title=a\nhr title=b\nhr ssn=9\nhr clearance=s", true,
	  "no\n"
	  "0 no & []\n"
	  "1 unknown | []\n"
	  "2 unknown groups: cn=a [groups not completely delivered by hr]\n"
	  "2 unknown groups: cn=b [groups not completely delivered by hr]\n"
	  "1 no & []\n"
	  "2 no (title=*intern*) [title is 'a', 'b' (source hr)]\n"
	  "2 no ! []\n"
	  "3 yes (ssn=9) [ssn is '9' (source hr)]\n"
	  "2 yes (clearance=s) [clearance is 's' (source hr)]\n" },
	{ "old", "corp dn=ou=Night\\, shift,dc=x", false,
	  "no\n"
	  "0 no expires: 2026-01-31 [the rule has expired]\n"
	  "0 yes & []\n"
	  "1 yes (ou:dn:=night, shift) [named so by the entry's DN (source corp)]\n"
	  "1 yes ! []\n"
	  "2 no (title=x) [title is absent]\n" },
};

static void test_explain(void **state)
{
	struct support_rules made;

	(void)state;
	support_rules_init(
		&made, CATALOGUE
		"rules:\n"
		"  - {id: x, groups: [cn=a, cn=b], when: '(&(title=*intern*)(!(ssn=9))(clearance=s))',"
		" grant: {roles: [ops]}}\n"
		"  - {id: old, when: '(&(ou:dn:=night, shift)(!(title=x)))', expires: 2026-01-31,"
		" grant: {roles: [ops]}}\n");
	support_print(made.list);
	assert_non_null(made.rules);
	for (size_t i = 0; i < ARRAY_LEN(explanations); i++) {
		char *text = explain(&made, explanations[i].rule, explanations[i].person,
				     explanations[i].show_sensitive);

		assert_string_equal(text, explanations[i].expected);
		free(text);
	}
	support_rules_finish(&made);
}

static void test_states(void **state)
{
	static const struct group groups[] = {
		{ 2, "cn=found", "", "cn=found", true, false, false },
		{ 3, "cn=new", "", "cn=new", false, false, false },
		{ 5, "cn=gone", "", "cn=gone", true, true, false },
		{ 6, "cn=released", "", "cn=released", true, true, true },
	};
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct group_registry *registry = group_registry_create();
	static const uint8_t unknown[] = { 1, 1, 0, 1, 1, 1, 0 };
	struct group_states states;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		assert_int_equal(group_registry_load(registry, &groups[i], &err), 0);
	assert_int_equal(group_states_build(registry, arena, &states, &err), 0);
	assert_int_equal(states.count, 7);
	assert_memory_equal(states.unknown, unknown, 7);
	assert_true(states.listed);
	assert_int_equal(states.unknown_id_count, 5);
	group_registry_destroy(registry);
}

static void test_out_of_memory(void **state)
{
	long n = 0;

	(void)state;
	for (bool failed = true; failed; n++) {
		struct support_rules made;
		const struct rule_match *matches;
		const struct trace_node *nodes;
		struct person person;
		struct err err;
		size_t count;
		enum match match;
		struct ruleset *rules;

		support_rules_init(&made, yaml);
		support_person(made.schema, made.registry, "hr sn=Müßig\nhr title=ä", made.arena,
			       &person);
		alloc_fail_after(n);
		rules = ruleset_compile(&made.settings, made.schema, "basic", made.registry,
					made.list);
		if (rules != NULL && ruleset_evaluate(rules, &person, &made.states, NOW, made.arena,
						      &matches, &count, &err) == 0)
			rule_explain(rules, ruleset_rule(rules, 3), &person, &made.states, NOW,
				     true, made.arena, &match, &nodes, &count, &err);
		failed = alloc_fail_after(-1) < 0;
		assert_true(rules != NULL || diagnostics_errors(made.list) > 0);
		ruleset_destroy(rules);
		support_rules_finish(&made);
	}
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evaluate), cmocka_unit_test(test_groups_of_directories),
		cmocka_unit_test(test_lookup),	 cmocka_unit_test(test_digest),
		cmocka_unit_test(test_outcome),	 cmocka_unit_test(test_explain),
		cmocka_unit_test(test_states),	 cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
