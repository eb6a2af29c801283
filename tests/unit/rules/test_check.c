/* Refusals of the catalogue and of rules: all at once, each at its place. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/util.h>

static const char yaml[] =
	"profiles:\n"					       /* 1 */
	"  - {name: basic, permissions: ['a:b@all', 'a:b']}\n" /* 2 */
	"  - {name: basic}\n"				       /* 3 */
	"  - {name: 'Bad Name'}\n"			       /* 4 */
	"segments: [Core]\n"				       /* 5 */
	"local_groups: [staff]\n"			       /* 6 */
	"roles:\n"					       /* 7 */
	"  - {name: sales, segments: [Core]}\n"		       /* 8 */
	"  - {name: ops, classifications: [Suport], segments: [Cor]}\n"
	"  - {name: empty, classifications: [Sales]}\n" /* 10 */
	"personas: [{name: lead, technical_sophistication: little}]\n"
	"rules:\n"							  /* 12 */
	"  - {id: a, when: '(title=x)', grant: {profile: basc}}\n"	  /* 13 */
	"  - {id: a, when: '(title=x)', grant: {roles: [slaes]}}\n"	  /* 14 */
	"  - {id: b, when: '(title=x)', deny: {personas: [leed]}}\n"	  /* 15 */
	"  - {id: c, when: '(title=x)', grant: {groups: [stuff]}}\n"	  /* 16 */
	"  - {id: d, grant: {roles: [ops]}}\n"				  /* 17 */
	"  - {id: e, groups: [nonsense], grant: {roles: [ops]}}\n"	  /* 18 */
	"  - {id: f, groups: ['crop:x'], grant: {roles: [ops]}}\n"	  /* 19 */
	"  - {id: g, when: '(titel=x)', grant: {roles: [ops]}}\n"	  /* 20 */
	"  - {id: h, when: '(&(title=x)(l=y)', grant: {roles: [ops]}}\n"; /* 21 */

static const struct {
	unsigned line, column;
	const char *code, *words;
} expected[] = {
	{ 2, 45, "bad-permission", "'a:b'" },
	{ 3, 12, "duplicate-name", "profile 'basic'" },
	{ 4, 13, "invalid-name", "'Bad Name'" },
	{ 8, 5, "classification-required", "'sales'" },
	{ 9, 35, "unknown-classification", "Did you mean 'Support'?" },
	{ 9, 55, "segment-not-enabled", "Did you mean 'Core'?" },
	{ 10, 5, "segment-required", "'empty'" },
	{ 11, 51, "bad-value", "'little'" },
	{ 13, 49, "unknown-profile", "Did you mean 'basic'?" },
	{ 14, 10, "duplicate-name", "rule 'a'" },
	{ 14, 48, "unknown-role", "Did you mean 'sales'?" },
	{ 15, 50, "unknown-persona", "Did you mean 'lead'?" },
	{ 16, 49, "unknown-local-group", "Did you mean 'staff'?" },
	{ 17, 5, "rule-without-condition", "when: \"(&)\"" },
	{ 18, 22, "bad-group", "nonsense" },
	{ 19, 23, "bad-group", "crop" },
	{ 20, 21, "unknown-attribute", "Did you mean 'title'?" },
	{ 21, 20, "filter-syntax", "never closed" },
};

static void test_findings(void **state)
{
	struct support_rules made;

	(void)state;
	support_rules_init(&made, yaml);
	assert_null(made.rules);
	if (diagnostics_count(made.list) != ARRAY_LEN(expected))
		support_print(made.list);
	assert_int_equal(diagnostics_count(made.list), ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct diagnostic *found = diagnostics_get(made.list, i);

		if (found->at.line != expected[i].line || found->at.column != expected[i].column ||
		    strcmp(found->code, expected[i].code) != 0 ||
		    (strstr(found->message, expected[i].words) == NULL &&
		     (found->hint == NULL || strstr(found->hint, expected[i].words) == NULL)))
			fail_msg("%u:%u %s, found %u:%u %s: %s (%s)", expected[i].line,
				 expected[i].column, expected[i].code, found->at.line,
				 found->at.column, found->code, found->message,
				 found->hint ? found->hint : "");
	}
	support_rules_finish(&made);
}

static void test_default_profile(void **state)
{
	struct support_rules made;
	struct ruleset *rules;

	(void)state;
	support_rules_init(&made, CATALOGUE);
	assert_non_null(made.rules);
	rules = ruleset_compile(&made.settings, made.schema, "", made.registry, made.list);
	assert_non_null(rules);
	ruleset_destroy(rules);
	rules = ruleset_compile(&made.settings, made.schema, "staf", made.registry, made.list);
	assert_null(rules);
	assert_string_equal(support_find(made.list, "unknown-profile")->hint,
			    "Did you mean 'staff'?");
	support_rules_finish(&made);
}

/* What reading leaves behind after errors: names missing, rules half there. */
static void test_after_errors(void **state)
{
	struct support_rules made;

	(void)state;
	support_rules_init(&made, "profiles: [{}]\nroles: [{permissions: [x]}]\npersonas: [{}]\n"
				  "rules: [{}, {id: x, when: }, {grant: {profile: }}]\n"
				  "tests: [{}]\n");
	assert_null(made.rules);
	assert_true(diagnostics_errors(made.list) > 0);
	support_rules_finish(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_findings),
					    cmocka_unit_test(test_default_profile),
					    cmocka_unit_test(test_after_errors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
