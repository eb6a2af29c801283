/* `tests:` of the configuration: run at every check and reload; a failing one refuses it. */
#ifndef ROLEBRIDGE_RULES_RULETEST_H
#define ROLEBRIDGE_RULES_RULETEST_H

#include <rolebridge/rules/ruleset.h>

/*
 * Run all. Each failure is an error in list at the test's position, naming what was
 * expected and what came, and which rule gave it. Returns the number of tests run, -1 on memory.
 * default_profile: "" when none.
 */
int rule_tests_run(const struct catalogue_settings *settings, const struct ruleset *rules,
		   const struct schema *schema, struct group_registry *registry,
		   const char *default_profile, int64_t now_s, struct diagnostics *list);

#endif
