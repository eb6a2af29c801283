/* Rules, what they give and segments of one organization: for its people alone, and declared nowhere else. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

static const char yaml[] = CATALOGUE
	"rules:\n"
	"  - {id: all, when: '(&)', grant: {roles: [sales]}}\n"
	"  - {id: theirs, when: '(&)', grant: {roles: [sales]}}\n"
	"  - {id: gives, when: '(&)', grant: {roles: [ops], personas: [lead], profile: staff}}\n";

/* The same once more, with these owners of rule "theirs", role "ops", persona "lead". */
static struct ruleset *compile(struct support_rules *made, const char *rule, const char *role,
			       const char *persona)
{
	struct rule_settings *rules = made->settings.rules.items;
	struct role_settings *roles = made->settings.roles.items;
	struct persona_settings *personas = made->settings.personas.items;

	rules[1].organization = rule;
	roles[1].organization = role;
	personas[0].organization = persona;
	return ruleset_compile(&made->settings, made->schema, "basic", made->registry, made->list);
}

static void test_evaluate(void **state)
{
	static const struct {
		const char *name, *organization;
		size_t count;
	} cases[] = {
		{ "of it", "partners", 3 },
		{ "of another one", "default", 2 },
		{ "of one that begins so", "partners2", 2 },
		{ "of none", NULL, 2 },
	};
	struct support_rules made;
	struct ruleset *rules;

	(void)state;
	support_rules_init(&made, yaml);
	rules = compile(&made, "partners", NULL, NULL);
	assert_non_null(rules);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct rule *rule = ruleset_find(rules, "theirs");
		const struct rule_match *matches;
		const struct trace_node *nodes;
		struct person person;
		enum match match;
		size_t count, node_count;

		support_person(made.schema, made.registry, "hr title=x\n", made.arena, &person);
		person.organization = cases[i].organization;
		assert_int_equal(ruleset_evaluate(rules, &person, &made.states, 0, made.arena,
						  &matches, &count, NULL),
				 0);
		if (count != cases[i].count)
			fail_msg("%s: %zu rules", cases[i].name, count);
		assert_int_equal(rule_explain(rules, rule, &person, &made.states, 0, false,
					      made.arena, &match, &nodes, &node_count, NULL),
				 0);
		assert_int_equal(match, cases[i].count == 3 ? MATCH_YES : MATCH_NO);
		/* Whose the rule is, is not told. */
		for (size_t k = 0; k < node_count; k++)
			assert_null(strstr(nodes[k].because, "partners"));
	}
	assert_true(rule_concerns(ruleset_find(rules, "theirs"), "partners"));
	assert_false(rule_concerns(ruleset_find(rules, "theirs"), "default"));
	assert_true(rule_concerns(ruleset_find(rules, "theirs"), NULL));
	assert_true(rule_concerns(ruleset_find(rules, "all"), "default"));
	ruleset_destroy(rules);
	support_rules_finish(&made);
}

static void test_owners(void **state)
{
	struct support_rules made;
	struct ruleset *rules;
	const struct rule *rule;

	(void)state;
	support_rules_init(&made, yaml);
	rules = compile(&made, NULL, "partners", "others");
	assert_non_null(rules);
	rule = ruleset_find(rules, "gives");
	assert_int_equal(rule->grant_count, 3);
	for (size_t i = 0; i < rule->grant_count; i++) {
		const struct rule_grant *grant = &rule->grants[i];

		if (grant->kind == GRANT_PROFILE)
			assert_null(grant->organization);
		else
			assert_string_equal(grant->organization,
					    grant->kind == GRANT_ROLE ? "partners" : "others");
	}
	ruleset_destroy(rules);
	support_rules_finish(&made);
}

/* Everybody's decisions are made anew when whose something is changes, and only then. */
static void test_digest(void **state)
{
	static const struct {
		const char *rule, *role, *persona;
	} cases[] = {
		{ NULL, NULL, NULL }, { "a", NULL, NULL }, { "b", NULL, NULL },
		{ NULL, "a", NULL },  { NULL, NULL, "a" }, { "a", "a", NULL },
		{ NULL, "ab", NULL },
	};
	struct hash128 digests[ARRAY_LEN(cases)];
	struct support_rules made;

	(void)state;
	support_rules_init(&made, yaml);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ruleset *rules =
			compile(&made, cases[i].rule, cases[i].role, cases[i].persona);

		assert_non_null(rules);
		digests[i] = ruleset_digest(rules);
		for (size_t k = 0; k < i; k++)
			assert_false(hash128_equal(digests[i], digests[k]));
		ruleset_destroy(rules);
	}
	assert_true(hash128_equal(digests[0], ruleset_digest(made.rules)));
	support_rules_finish(&made);
}

static void test_declared(void **state)
{
	static const struct {
		const char *name, *rule, *role;
		bool fine;
	} cases[] = {
		{ "of the same", "a", "a", true },
		{ "shared", "a", NULL, true },
		{ "of another one", "a", "b", false },
		{ "for all, of one", NULL, "b", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct support_rules made;
		struct rule_settings *items;
		struct role_settings *roles;
		const struct diagnostic *finding;
		struct ruleset *rules;

		support_rules_init(&made, yaml);
		items = made.settings.rules.items;
		roles = made.settings.roles.items;
		items[2].organization = cases[i].rule;
		roles[1].organization = cases[i].role;
		rules = ruleset_compile(&made.settings, made.schema, "basic", made.registry,
					made.list);
		finding = support_find(made.list, "unknown-role");
		if ((rules != NULL) != cases[i].fine || (finding == NULL) != cases[i].fine)
			fail_msg("%s", cases[i].name);
		if (finding) {
			assert_null(finding->hint);
			assert_string_equal(finding->message, "role 'ops' is not declared");
		}
		ruleset_destroy(rules);
		support_rules_finish(&made);
	}
}

static void test_segments(void **state)
{
	static const struct {
		const char *name, *organization, *segment, *filter_of;
		bool fine;
	} cases[] = {
		{ "everybody's", NULL, "Core", NULL, true },
		{ "everybody's, of one without a list", "b", "Core", NULL, true },
		{ "not of its list", "a", "Core", NULL, false },
		{ "of its list", "a", "Own", NULL, true },
		{ "of another one's list", "b", "Own", NULL, false },
		{ "of a list, for all", NULL, "Own", NULL, false },
		{ "a filter of its own", "a", "saved", "a", true },
		{ "a filter of another one", "b", "saved", "a", false },
		{ "a filter of one, for all", NULL, "saved", "a", false },
		{ "a filter of all", "a", "saved", NULL, true },
		{ "none at all", "a", "None", NULL, false },
	};
	static const char text[] =
		"profiles: [{name: basic}]\nsegments: [Core]\n"
		"segment_filters: [{name: saved, filter: '(title=x)'}]\n"
		"roles: [{name: sales, classifications: [Sales], segments: [Core]}]\n";
	struct located own = support_located("Own");
	const struct organization_settings organizations[] = {
		{ .name = support_located("a"), .segments = { 1, &own } },
		{ .name = support_located("b") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct support_rules made;
		struct role_settings *roles;
		struct segment_settings *filters;
		struct located segment;
		struct ruleset *rules;

		support_rules_init(&made, text);
		assert_non_null(made.rules);
		roles = made.settings.roles.items;
		filters = made.settings.segment_filters.items;
		filters[0].organization = cases[i].filter_of;
		roles[0].organization = cases[i].organization;
		segment = support_located(cases[i].segment);
		roles[0].segments = (struct located_list){ 1, &segment };
		made.settings.organizations = organizations;
		made.settings.organization_count = ARRAY_LEN(organizations);
		rules = ruleset_compile(&made.settings, made.schema, "basic", made.registry,
					made.list);
		if ((rules != NULL) != cases[i].fine ||
		    (support_find(made.list, "segment-not-enabled") == NULL) != cases[i].fine)
			fail_msg("%s", cases[i].name);
		ruleset_destroy(rules);
		support_rules_finish(&made);
	}
}

/* What one calls a filter of its own takes nothing away from those whose list has the name. */
static void test_segment_names(void **state)
{
	static const struct {
		const char *name, *organization;
	} cases[] = {
		{ "everybody's", NULL },
		{ "whose filter it is", "a" },
		{ "another one's", "b" },
	};
	static const char text[] =
		"profiles: [{name: basic}]\nsegments: [Core, gold]\n"
		"segment_filters: [{name: gold, filter: '(title=x)'}]\n"
		"roles: [{name: sales, classifications: [Sales], segments: [gold]}]\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct support_rules made;
		struct role_settings *roles;
		struct segment_settings *filters;
		struct ruleset *rules;

		support_rules_init(&made, text);
		roles = made.settings.roles.items;
		filters = made.settings.segment_filters.items;
		filters[0].organization = "a";
		roles[0].organization = cases[i].organization;
		rules = ruleset_compile(&made.settings, made.schema, "basic", made.registry,
					made.list);
		if (!rules)
			fail_msg("%s", cases[i].name);
		ruleset_destroy(rules);
		support_rules_finish(&made);
	}
}

static void test_default_profile(void **state)
{
	struct support_rules made;
	struct profile_settings *profiles;

	(void)state;
	support_rules_init(&made, yaml);
	profiles = made.settings.profiles.items;
	profiles[0].organization = "a";
	assert_null(
		ruleset_compile(&made.settings, made.schema, "basic", made.registry, made.list));
	assert_non_null(support_find(made.list, "unknown-profile"));
	support_rules_finish(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evaluate),	cmocka_unit_test(test_owners),
		cmocka_unit_test(test_digest),		cmocka_unit_test(test_declared),
		cmocka_unit_test(test_segments),	cmocka_unit_test(test_segment_names),
		cmocka_unit_test(test_default_profile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
