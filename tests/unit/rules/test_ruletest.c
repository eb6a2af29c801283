/* Rule tests: what holds passes, what does not is told with its reason. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/rules/ruletest.h>

static const char rules[] =
	"rules:\n"
	"  - {id: managers, groups: ['cn=m,dc=x'], when: '(!(employeeType=contractor))',\n"
	"     grant: {profile: staff, roles: [sales], personas: [lead], groups: [wheel]}}\n"
	"  - {id: cleared, when: '(clearance=secret)', grant: {profile: admin}}\n"
	"  - {id: corp-sales, when: '(department;x-corp=sales)', grant: {roles: [ops]}}\n"
	"  - {id: no-ops, when: '(l=paris)', deny: {roles: [ops], profile: basic}}\n"
	"  - {id: secret-ops, groups: ['corp:cn=s'], grant: {roles: [ops]}}\n"
	"  - {id: trial, when: '(&)', grant: {roles: [ops]}, trial: true}\n"
	"  - {id: old, when: '(&)', grant: {roles: [ops]}, expires: 2020-01-01}\n";

static const struct test_case {
	const char *name, *identity, *expect;
	const char *words[3]; /* of the findings, in order; NULL: it passes */
} cases[] = {
	{ "manager",
	  "groups: ['CN=M, DC=X'], clearance: none",
	  "profile: staff, roles: [sales], personas: lead, groups: wheel",
	  { NULL } },
	{ "contractor",
	  "groups: ['cn=m,dc=x'], employeeType: Contractor, clearance: none",
	  "profile: basic, roles: [], personas: [], groups: []",
	  { NULL } },
	{ "wrong profile",
	  "groups: ['cn=m,dc=x'], clearance: none",
	  "profile: admin",
	  { "profile is 'staff' (rule 'managers'), expected 'admin'" } },
	{ "wrong default",
	  "clearance: none",
	  "profile: staff",
	  { "profile is 'basic' (the default), expected 'staff'" } },
	{ "missing and unexpected roles",
	  "groups: ['cn=m,dc=x']",
	  "roles: [ops]",
	  { "role 'sales' is given by rule 'managers'", "role 'ops' is expected" } },
	{ "unnamed is not compared", "groups: ['cn=m,dc=x']", "personas: [lead]", { NULL } },
	{ "of one source", "department;x-corp: Sales", "roles: [ops]", { NULL } },
	{ "of the other source",
	  "department;x-hr: Sales",
	  "roles: [ops]",
	  { "'ops' is expected" } },
	{ "group of one source", "groups: 'corp:cn=s'", "roles: ops", { NULL } },
	{ "denied", "department;x-corp: sales, l: paris", "roles: [], profile: none", { NULL } },
	{ "unknown before", "l: x", "profile: basic", { NULL } },
	{ "known", "clearance: secret", "profile: admin", { NULL } },
	{ "incomplete groups give nothing",
	  "groups: [], groups_complete: false, clearance: none",
	  "profile: basic, roles: []",
	  { NULL } },
	{ "incomplete, member",
	  "groups: ['cn=m,dc=x'], groups_complete: false",
	  "profile: staff",
	  { NULL } },
	{ "unknown attribute",
	  "departement: x",
	  "profile: basic",
	  { "unknown attribute 'departement'" } },
	{ "unknown source", "department;x-crop: x", "profile: basic", { "unknown source" } },
	{ "unknown expectation", "l: x", "profil: basic", { "unknown expectation 'profil'" } },
	{ "unused group",
	  "groups: 'cn=zzz', clearance: x",
	  "profile: basic",
	  { "no rule names group 'cn=zzz'" } },
	{ "bad group", "groups: 'zzz', clearance: x", "profile: basic", { "zzz" } },
	{ "bad flag", "groups_complete: maybe", "profile: basic", { "true or false" } },
	{ "given twice", "l: x, L: y", "profile: basic", { "given twice" } },
};

static void check_case(const struct test_case *given)
{
	AUTO(strbuf) struct strbuf yaml = STRBUF(1 << 16);
	struct support_rules made;
	size_t before, count = 0;

	strbuf_printf(&yaml, "%s%stests:\n  - name: %s\n    identity: {%s}\n    expect: {%s}\n",
		      CATALOGUE, rules, given->name, given->identity, given->expect);
	support_rules_init(&made, strbuf_text(&yaml));
	assert_non_null(made.rules);
	while (count < 3 && given->words[count] != NULL)
		count++;
	before = diagnostics_count(made.list);
	assert_int_equal(rule_tests_run(&made.settings, made.rules, made.schema, made.registry,
					"basic", 1790000000, made.list),
			 1);
	if (diagnostics_count(made.list) - before != count) {
		support_print(made.list);
		fail_msg("%s: %zu findings", given->name, diagnostics_count(made.list) - before);
	}
	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (size_t k = 0; k < diagnostics_count(made.list); k++)
			found |= strstr(diagnostics_get(made.list, k)->message, given->words[i]) !=
				 NULL;
		if (!found) {
			support_print(made.list);
			fail_msg("%s: not said: %s", given->name, given->words[i]);
		}
	}
	support_rules_finish(&made);
}

/* The first source is a list of people: what is said about groups is said by the directory. */
static void test_first_source_is_no_directory(void **state)
{
	static const struct test_case rows[] = {
		{ "member", "groups: ['cn=m,dc=x'], clearance: none", "profile: staff", { NULL } },
		{ "incomplete groups give nothing",
		  "groups: [], groups_complete: false, employeeType: x, clearance: secret",
		  "profile: admin",
		  { "profile is 'basic'" } },
	};

	(void)state;
	support_hr_type = "csv";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_case(&rows[i]);
	support_hr_type = "ldif";
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_case(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases),
					    cmocka_unit_test(test_first_source_is_no_directory) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
