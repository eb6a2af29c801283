#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

struct located support_located(const char *text)
{
	return (struct located){ .text = text,
				 .at = { 1, 1, 1, (unsigned)strlen(text) },
				 .verbatim = true };
}

const char *support_hr_type = "ldif";

static struct attribute_settings declared(const char *name, int syntax)
{
	return (struct attribute_settings){ .name = support_located(name),
					    .from = support_located(name),
					    .syntax = syntax };
}

struct schema *support_schema(void)
{
	struct attribute_settings hr_attributes[] = {
		declared("code", SYNTAX_STRING_EXACT), declared("level", SYNTAX_INTEGER),
		declared("active", SYNTAX_BOOLEAN),    declared("boss", SYNTAX_DN),
		declared("hired", SYNTAX_TIME),	       declared("ssn", SYNTAX_STRING),
		declared("clearance", SYNTAX_STRING),
	};
	struct identity_settings identity = { .username = support_located("uid"),
					      .email = support_located("mail") };
	struct source_settings hr = { .name = support_located("hr"),
				      .type = support_located(support_hr_type),
				      .organization = support_located("default"),
				      .enabled = true,
				      .attributes = { ARRAY_LEN(hr_attributes), hr_attributes } };
	struct source_settings corp = { .name = support_located("corp"),
					.type = support_located("ldif"),
					.organization = support_located("default"),
					.enabled = true };
	const struct source_settings *sources[] = { &hr, &corp };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct schema *schema;

	hr_attributes[5].sensitive = true;
	hr_attributes[6].absent = 1;
	schema = schema_create(&identity, sources, 2, list);
	assert_non_null(schema);
	support_print(list);
	assert_int_equal(diagnostics_errors(list), 0);
	return schema;
}

/* --- persons --- */

struct draft {
	bool used;
	struct attribute attributes[32];
	const char *values[32][8];
	size_t attribute_count;
	uint32_t groups[64];
	size_t group_count;
	const char *dn;
	bool incomplete;
};

static void draft_value(struct draft *draft, int id, const char *value)
{
	size_t at = 0;

	assert_true(id >= 0);
	while (at < draft->attribute_count && draft->attributes[at].id != id)
		at++;
	assert_true(at < ARRAY_LEN(draft->attributes));
	if (at == draft->attribute_count)
		draft->attributes[draft->attribute_count++] =
			(struct attribute){ .id = (uint16_t)id };
	assert_true(draft->attributes[at].count < ARRAY_LEN(draft->values[at]));
	draft->values[at][draft->attributes[at].count++] = value;
}

static void draft_group(struct draft *draft, const struct group_registry *registry,
			const char *name)
{
	const struct group *group = group_registry_find(registry, name);

	assert_true(draft->group_count < ARRAY_LEN(draft->groups));
	if (group != NULL)
		draft->groups[draft->group_count++] = group->id;
}

static void draft_line(struct draft *draft, const struct schema *schema,
		       const struct group_registry *registry, const char *name, const char *value)
{
	draft->used = true;
	if (strcmp(name, "group") == 0)
		draft_group(draft, registry, value);
	else if (strcmp(name, "dn") == 0)
		draft->dn = value;
	else if (strcmp(name, "incomplete") == 0)
		draft->incomplete = true;
	else if (strcmp(name, "nothing") != 0)
		draft_value(draft, schema_find(schema, name, strlen(name)), value);
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

static struct identity draft_identity(struct draft *draft, uint16_t source, struct arena *arena)
{
	for (size_t i = 0; i < draft->attribute_count; i++)
		draft->attributes[i].values = arena_memdup(
			arena, draft->values[i], draft->attributes[i].count * sizeof(char *));
	qsort(draft->attributes, draft->attribute_count, sizeof(struct attribute),
	      compare_attributes);
	qsort(draft->groups, draft->group_count, sizeof(uint32_t), compare_groups);
	return (struct identity){
		.source = source,
		.key = "key",
		.dn = draft->dn ? draft->dn : "",
		.attributes = arena_memdup(arena, draft->attributes,
					   draft->attribute_count * sizeof(struct attribute)),
		.attribute_count = draft->attribute_count,
		.groups = arena_memdup(arena, draft->groups, draft->group_count * sizeof(uint32_t)),
		.group_count = draft->group_count,
		.groups_complete = !draft->incomplete,
		.disabled_by = "",
	};
}

void support_person(const struct schema *schema, const struct group_registry *registry,
		    const char *lines, struct arena *arena, struct person *ret_person)
{
	struct draft *drafts = calloc(2, sizeof(*drafts));
	struct identity *identities = arena_alloc_array(arena, 2, sizeof(*identities));
	char *text = arena_strdup(arena, lines), *line, *rest = text;
	size_t count = 0;
	struct err err = { 0 };

	assert_non_null(drafts);
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *name = strchr(line, ' '), *value = name ? strchr(name, '=') : NULL;
		int source;

		if (line[0] == '\0')
			continue;
		assert_non_null(value);
		*value = '\0';
		source = schema_find_source(schema, line, (size_t)(name - line));
		assert_true(source >= 0);
		draft_line(&drafts[source], schema, registry, name + 1, value + 1);
	}
	for (uint16_t i = 0; i < 2; i++)
		if (drafts[i].used)
			identities[count++] = draft_identity(&drafts[i], i, arena);
	free(drafts);
	assert_int_equal(person_merge(schema, identities, count, arena, ret_person, &err), 0);
}

/* --- rules --- */

void support_rules_init(struct support_rules *ret, const char *yaml)
{
	struct document_file file = { "rules.yaml", yaml, strlen(yaml) };
	const char *basic = strstr(yaml, "name: basic") ? "basic" : "";

	*ret = (struct support_rules){ .arena = arena_create(64 << 20),
				       .list = diagnostics_create(),
				       .schema = support_schema(),
				       .registry = group_registry_create() };
	ret->document = document_load_files(&file, 1, ret->list);
	assert_non_null(ret->document);
	options_parse(&catalogue_table, ret->document, ret->arena, &ret->settings, ret->list);
	ret->rules = ruleset_compile(&ret->settings, ret->schema, basic, ret->registry, ret->list);
	ret->unknown = calloc(group_registry_next_id(ret->registry), 1);
	ret->states = (struct group_states){ .unknown = ret->unknown,
					     .count = group_registry_next_id(ret->registry) };
}

void support_rules_finish(struct support_rules *rules)
{
	ruleset_destroy(rules->rules);
	group_registry_destroy(rules->registry);
	schema_destroy(rules->schema);
	document_destroy(rules->document);
	diagnostics_destroy(rules->list);
	arena_destroy(rules->arena);
	free(rules->unknown);
}

const struct diagnostic *support_find(const struct diagnostics *list, const char *code)
{
	for (size_t i = 0; i < diagnostics_count(list); i++)
		if (strcmp(diagnostics_get(list, i)->code, code) == 0)
			return diagnostics_get(list, i);
	return NULL;
}

void support_print(const struct diagnostics *list)
{
	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *found = diagnostics_get(list, i);

		print_message("%u:%u: %s: %s\n", found->at.line, found->at.column, found->code,
			      found->message);
	}
}
