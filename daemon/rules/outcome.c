/*
 * From matches to what they give: the same code for decisions and rule tests.
 * In: matches in rule order. Out: pointers into them. Cannot fail.
 */
#include <rolebridge/rules/ruleset.h>

#include <string.h>

static const char *granted_profile(const struct rule *rule)
{
	for (size_t i = 0; i < rule->grant_count; i++)
		if (rule->grants[i].kind == GRANT_PROFILE)
			return rule->grants[i].name;
	return NULL;
}

static bool denies(const struct rule *rule, enum grant_kind kind, const char *name)
{
	for (size_t i = 0; i < rule->deny_count; i++)
		if (rule->denies[i].kind == kind && strcmp(rule->denies[i].name, name) == 0)
			return true;
	return false;
}

enum match rule_denied(const struct rule_match *matches, size_t count, enum grant_kind kind,
		       const char *name)
{
	enum match denied = MATCH_NO;

	for (size_t i = 0; i < count; i++) {
		if (matches[i].rule->trial || !denies(matches[i].rule, kind, name))
			continue;
		if (matches[i].match == MATCH_YES)
			return MATCH_YES;
		if (matches[i].match == MATCH_UNKNOWN)
			denied = MATCH_UNKNOWN;
	}
	return denied;
}

void rule_outcome(const struct rule_match *matches, size_t count, struct rule_outcome *ret)
{
	*ret = (struct rule_outcome){ .matches = matches, .match_count = count };
	for (size_t i = 0; i < count; i++) {
		const char *profile = granted_profile(matches[i].rule);
		enum match denied;

		if (profile == NULL || matches[i].rule->trial)
			continue;
		denied = rule_denied(matches, count, GRANT_PROFILE, profile);
		if (denied == MATCH_YES)
			continue;
		if (matches[i].match == MATCH_UNKNOWN || denied == MATCH_UNKNOWN) {
			ret->profile_unknown_before = true;
		} else if (matches[i].match == MATCH_YES) {
			ret->profile = &matches[i];
			return;
		}
	}
}
