/*
 * Rule tests: made-up people against the compiled rules.
 *
 * In: tests of the configuration. Out: one diagnostic for each expectation
 * that does not hold. The person is built as a source would deliver it, then
 * merged, evaluated and judged by the code that decides. What may fail: a test
 * that names what is not declared (diagnostic), memory (-1).
 *
 * A key with ";x-SOURCE", or a group "SOURCE:name", is said by that source; a group by DN
 * or id by the first directory; all else by the first source. The person has identities from the sources that say
 * something.
 */
#include <rolebridge/rules/ruletest.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define TEST_ARENA_MAX ((size_t)64 * 1024 * 1024)

struct runner {
	const struct catalogue_settings *settings;
	const struct ruleset *rules;
	const struct schema *schema;
	struct group_registry *registry;
	const char *default_profile;
	int64_t now_s;
	struct diagnostics *list;
	struct group_states states;
	const char **sources;
};

/* One identity under construction. */
struct draft {
	bool used, groups_incomplete;
	const char *key, *dn;
	struct attribute *attributes;
	size_t attribute_count, attribute_capacity;
	uint32_t *groups;
	size_t group_count, group_capacity;
};

struct case_context {
	const struct runner *run;
	const struct rule_test_settings *test;
	struct arena *arena;
	struct draft drafts[SOURCES_MAX];
	bool groups_incomplete;
	bool failed, no_memory;
};

static const char *test_name(const struct rule_test_settings *test)
{
	return test->name.text ? test->name.text : "";
}

static void case_error(struct case_context *c, const struct located *where, const char *code,
		       const char *hint, const char *problem)
{
	c->failed = true;
	diagnostics_add(c->run->list, SEVERITY_ERROR, code, where->at, hint, "%s '%s'", problem,
			where->text);
}

/* Room for one more in an arena array; NULL without memory. */
static void *grow(struct case_context *c, void *items, size_t count, size_t *capacity, size_t size)
{
	size_t wanted = *capacity ? *capacity * 2 : 8;
	void *copy;

	if (count < *capacity)
		return items;
	copy = arena_alloc_array(c->arena, wanted, size);
	if (copy == NULL) {
		c->no_memory = true;
		return NULL;
	}
	if (count > 0)
		memcpy(copy, items, count * size);
	*capacity = wanted;
	return copy;
}

/* --- the person --- */

static struct draft *draft_of(struct case_context *c, int source)
{
	struct draft *draft = &c->drafts[source < 0 ? 0 : source];

	draft->used = true;
	return draft;
}

static void add_attribute(struct case_context *c, const struct pair *pair, int id, int source)
{
	struct draft *draft = draft_of(c, source);
	const char **values = arena_alloc_array(c->arena, pair->values.count + 1, sizeof(*values));
	struct attribute *attributes = grow(c, draft->attributes, draft->attribute_count,
					    &draft->attribute_capacity, sizeof(*attributes));

	if (values == NULL || attributes == NULL) {
		c->no_memory = true;
		return;
	}
	for (size_t i = 0; i < pair->values.count; i++)
		values[i] = pair->values.items[i].text;
	draft->attributes = attributes;
	for (size_t i = 0; i < draft->attribute_count; i++)
		if (attributes[i].id == id) {
			case_error(c, &pair->name, "rule-test", NULL, "given twice:");
			return;
		}
	/* No values: the source delivers the attribute not at all. */
	if (pair->values.count > 0)
		attributes[draft->attribute_count++] =
			(struct attribute){ (uint16_t)id, (uint32_t)pair->values.count, values };
}

/* What is said about groups without a source is said by the first directory. */
static struct draft *directory_draft(struct case_context *c)
{
	const struct schema *schema = c->run->schema;

	for (uint16_t i = 0; i < schema_source_count(schema); i++)
		if (schema_source_is_directory(schema, i))
			return draft_of(c, i);
	return draft_of(c, -1);
}

static void add_group(struct case_context *c, const struct located *name)
{
	const struct runner *run = c->run;
	AUTO(strbuf) struct strbuf canonical = STRBUF(64 * 1024);
	struct err err = { 0 };
	const struct group *group;
	struct draft *draft;
	uint32_t *groups;

	if (group_name_normalize(name->text, run->sources, schema_source_count(run->schema),
				 &canonical, &err) < 0 ||
	    strbuf_failed(&canonical)) {
		c->failed = true;
		diagnostics_add(run->list, SEVERITY_ERROR, "bad-group", name->at, NULL, "%s",
				err.text);
		return;
	}
	group = group_registry_find(run->registry, strbuf_text(&canonical));
	if (group == NULL) {
		diagnostics_add(run->list, SEVERITY_WARNING, "unused-group", name->at, NULL,
				"no rule names group '%s'", name->text);
		directory_draft(c);
		return;
	}
	draft = group->source[0] ? draft_of(c, schema_find_source(run->schema, group->source,
								  strlen(group->source)))
				 : directory_draft(c);
	groups =
		grow(c, draft->groups, draft->group_count, &draft->group_capacity, sizeof(*groups));
	if (groups == NULL)
		return;
	draft->groups = groups;
	groups[draft->group_count++] = group->id;
}

static void add_groups(struct case_context *c, const struct pair *pair)
{
	directory_draft(c);
	for (size_t i = 0; i < pair->values.count; i++)
		add_group(c, &pair->values.items[i]);
}

static void set_groups_complete(struct case_context *c, const struct pair *pair)
{
	const char *value = pair->values.count == 1 ? pair->values.items[0].text : "";

	directory_draft(c);
	if (strcmp(value, "false") == 0)
		c->groups_incomplete = true;
	else if (strcmp(value, "true") != 0)
		case_error(c, &pair->name, "rule-test", NULL, "true or false expected for");
}

static const char *single_value(struct case_context *c, const struct pair *pair)
{
	draft_of(c, -1);
	if (pair->values.count == 1)
		return pair->values.items[0].text;
	case_error(c, &pair->name, "rule-test", NULL, "one value expected for");
	return "";
}

static void add_named(struct case_context *c, const struct pair *pair)
{
	const struct schema *schema = c->run->schema;
	const char *name = pair->name.text, *option = strchr(name, ';'), *nearest;
	size_t size = option ? (size_t)(option - name) : strlen(name);
	int id = schema_find(schema, name, size), source = -1;
	char hint[256];

	if (id < 0) {
		nearest = option ? NULL : schema_nearest(schema, name);
		snprintf(hint, sizeof(hint), "%s%.128s%s", nearest ? "Did you mean '" : "",
			 nearest ? nearest : "Attributes are declared in sources[].attributes.",
			 nearest ? "'?" : "");
		case_error(c, &pair->name, "unknown-attribute", hint, "unknown attribute");
		return;
	}
	if (option != NULL) {
		if (strncasecmp(option, ";x-", 3) == 0)
			source = schema_find_source(schema, option + 3, strlen(option + 3));
		if (source < 0) {
			case_error(c, &pair->name, "unknown-source", "Write attribute;x-SOURCE.",
				   "unknown source in");
			return;
		}
	}
	add_attribute(c, pair, id, source);
}

static void build_drafts(struct case_context *c)
{
	const struct pair_list *identity = &c->test->identity;

	for (size_t i = 0; i < identity->count && !c->no_memory; i++) {
		const struct pair *pair = &identity->items[i];

		if (strcmp(pair->name.text, "groups") == 0)
			add_groups(c, pair);
		else if (strcmp(pair->name.text, "groups_complete") == 0)
			set_groups_complete(c, pair);
		else if (strcmp(pair->name.text, "dn") == 0)
			c->drafts[0].dn = single_value(c, pair);
		else if (strcmp(pair->name.text, "key") == 0)
			c->drafts[0].key = single_value(c, pair);
		else
			add_named(c, pair);
	}
	if (identity->count == 0)
		draft_of(c, -1);
}

static int compare_attributes(const void *left, const void *right)
{
	const struct attribute *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

static int compare_groups(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static void finish_draft(struct case_context *c, struct draft *draft, uint16_t source,
			 struct identity *ret)
{
	size_t kept = 0;

	if (draft->attribute_count > 0)
		qsort(draft->attributes, draft->attribute_count, sizeof(*draft->attributes),
		      compare_attributes);
	if (draft->group_count > 0)
		qsort(draft->groups, draft->group_count, sizeof(*draft->groups), compare_groups);
	for (size_t i = 0; i < draft->group_count; i++)
		if (i == 0 || draft->groups[i] != draft->groups[i - 1])
			draft->groups[kept++] = draft->groups[i];
	*ret = (struct identity){ .source = source,
				  .key = draft->key ? draft->key : "rule-test",
				  .dn = draft->dn ? draft->dn : "",
				  .attributes = draft->attributes,
				  .attribute_count = draft->attribute_count,
				  .groups = draft->groups,
				  .group_count = kept,
				  .groups_complete = !c->groups_incomplete,
				  .disabled_by = "" };
}

static int build_person(struct case_context *c, struct person *ret)
{
	size_t sources = schema_source_count(c->run->schema), count = 0;
	struct identity *identities = arena_alloc_array(c->arena, SOURCES_MAX, sizeof(*identities));

	build_drafts(c);
	if (identities == NULL || c->no_memory)
		return -1;
	for (size_t i = 0; i < sources && i < SOURCES_MAX; i++)
		if (c->drafts[i].used)
			finish_draft(c, &c->drafts[i], (uint16_t)i, &identities[count++]);
	if (person_merge(c->run->schema, identities, count, c->arena, ret, NULL) < 0)
		return -1;
	/* What an organization makes of its own people is no test's of the files. */
	ret->organization = "default";
	return 0;
}

/* --- expectations --- */

static const char *profile_granted(const struct rule *rule)
{
	for (size_t i = 0; i < rule->grant_count; i++)
		if (rule->grants[i].kind == GRANT_PROFILE)
			return rule->grants[i].name;
	return NULL;
}

static void expect_profile(struct case_context *c, const struct pair *pair,
			   const struct rule_outcome *outcome)
{
	const char *wanted = pair->values.count == 1 ? pair->values.items[0].text : "none";
	const char *given = c->run->default_profile, *from = "the default";
	char rule[128];

	if (outcome->profile != NULL && !outcome->profile_unknown_before) {
		given = profile_granted(outcome->profile->rule);
		snprintf(rule, sizeof(rule), "rule '%.100s'", outcome->profile->rule->id);
		from = rule;
	} else if (given[0] == '\0' || rule_denied(outcome->matches, outcome->match_count,
						   GRANT_PROFILE, given) != MATCH_NO) {
		given = "none";
		from = "no rule gives one";
	}
	if (strcmp(wanted, given) != 0)
		diagnostics_add(c->run->list, SEVERITY_ERROR, "rule-test-failed", pair->name.at,
				outcome->profile_unknown_before
					? "A rule before it is unknown for this person."
					: NULL,
				"test '%s': profile is '%s' (%s), expected '%s'",
				test_name(c->test), given, from, wanted);
}

/* The rule that gives it for sure; NULL: nobody does. */
static const struct rule *giver_of(const struct rule_outcome *outcome, enum grant_kind kind,
				   const char *name)
{
	if (rule_denied(outcome->matches, outcome->match_count, kind, name) != MATCH_NO)
		return NULL;
	for (size_t i = 0; i < outcome->match_count; i++) {
		const struct rule *rule = outcome->matches[i].rule;

		if (outcome->matches[i].match != MATCH_YES || rule->trial)
			continue;
		for (size_t k = 0; k < rule->grant_count; k++)
			if (rule->grants[k].kind == kind && strcmp(rule->grants[k].name, name) == 0)
				return rule;
	}
	return NULL;
}

static bool is_listed(const struct located_list *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i].text, name) == 0)
			return true;
	return false;
}

static void expect_nothing_else(struct case_context *c, const struct pair *pair,
				enum grant_kind kind, const struct rule_outcome *outcome)
{
	for (size_t i = 0; i < outcome->match_count; i++) {
		const struct rule *rule = outcome->matches[i].rule;

		for (size_t k = 0; k < rule->grant_count; k++) {
			const struct rule_grant *grant = &rule->grants[k];

			if (grant->kind == kind && !is_listed(&pair->values, grant->name) &&
			    giver_of(outcome, kind, grant->name) == rule)
				diagnostics_add(
					c->run->list, SEVERITY_ERROR, "rule-test-failed",
					pair->name.at, NULL,
					"test '%s': %s '%s' is given by rule '%s', not expected",
					test_name(c->test), grant_kind_name(kind), grant->name,
					rule->id);
		}
	}
}

static void expect_set(struct case_context *c, const struct pair *pair, enum grant_kind kind,
		       const struct rule_outcome *outcome)
{
	for (size_t i = 0; i < pair->values.count; i++) {
		const char *name = pair->values.items[i].text;

		if (giver_of(outcome, kind, name) == NULL)
			diagnostics_add(c->run->list, SEVERITY_ERROR, "rule-test-failed",
					pair->values.items[i].at, NULL,
					"test '%s': %s '%s' is expected, no rule gives it",
					test_name(c->test), grant_kind_name(kind), name);
	}
	expect_nothing_else(c, pair, kind, outcome);
}

static void compare_outcome(struct case_context *c, const struct rule_outcome *outcome)
{
	static const struct {
		const char *key;
		enum grant_kind kind;
	} sets[] = { { "roles", GRANT_ROLE },
		     { "personas", GRANT_PERSONA },
		     { "groups", GRANT_GROUP } };

	for (size_t i = 0; i < c->test->expect.count; i++) {
		const struct pair *pair = &c->test->expect.items[i];
		bool found = strcmp(pair->name.text, "profile") == 0;

		if (found)
			expect_profile(c, pair, outcome);
		for (size_t k = 0; k < ARRAY_LEN(sets); k++)
			if (strcmp(pair->name.text, sets[k].key) == 0) {
				expect_set(c, pair, sets[k].kind, outcome);
				found = true;
			}
		if (!found)
			case_error(c, &pair->name, "unknown-key",
				   "Known are profile, roles, personas and groups.",
				   "unknown expectation");
	}
}

static int run_case(const struct runner *run, const struct rule_test_settings *test)
{
	AUTO(arena) struct arena *arena = arena_create(TEST_ARENA_MAX);
	struct case_context c = { .run = run, .test = test, .arena = arena };
	const struct rule_match *matches;
	struct rule_outcome outcome;
	struct person person;
	size_t count;

	if (arena == NULL || build_person(&c, &person) < 0)
		return -1;
	if (c.failed)
		return 0;
	if (ruleset_evaluate(run->rules, &person, &run->states, run->now_s, arena, &matches, &count,
			     NULL) < 0)
		return -1;
	rule_outcome(matches, count, &outcome);
	compare_outcome(&c, &outcome);
	return 0;
}

int rule_tests_run(const struct catalogue_settings *settings, const struct ruleset *rules,
		   const struct schema *schema, struct group_registry *registry,
		   const char *default_profile, int64_t now_s, struct diagnostics *list)
{
	const struct rule_test_settings *tests = settings->tests.items;
	size_t sources = schema_source_count(schema);
	struct runner run = { settings, rules, schema, registry, default_profile,
			      now_s,	list,  { 0 },  NULL };
	uint32_t groups = group_registry_next_id(registry);
	uint8_t *unknown = alloc_zeroed(groups + (size_t)1, 1);
	int count = 0;

	run.sources = alloc_zeroed(sources + 1, sizeof(*run.sources));
	if (run.sources == NULL || unknown == NULL)
		count = -1;
	for (size_t i = 0; count == 0 && i < sources; i++)
		run.sources[i] = schema_source_name(schema, (uint16_t)i);
	/* In a test every group has been read. */
	run.states = (struct group_states){ .unknown = unknown, .count = groups, .listed = true };
	for (size_t i = 0; count >= 0 && i < settings->tests.count; i++)
		count = run_case(&run, &tests[i]) < 0 ? -1 : count + 1;
	free(run.sources);
	free(unknown);
	return count;
}
