/*
 * Filters of any text over a person with any values: the first line is the
 * filter, the others are values that every attribute has. A filter that
 * compiles must be the opposite of its negation and the same as itself alone
 * in an "and"; one that does not must say why. Over people, where it may say more, what it says as a rule is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/rules/ruleset.h>

#define VALUES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "cn", "code", "level", "active", "boss", "hired" };

static void check(bool holds)
{
	if (!holds)
		abort();
}

static struct located located(const char *text)
{
	return (struct located){ .text = text,
				 .at = { 1, 1, 1, (unsigned)strlen(text) },
				 .verbatim = true };
}

static const struct schema *the_schema(void)
{
	static struct schema *schema;
	struct attribute_settings attributes[ARRAY_LEN(names)];
	struct identity_settings identity = { .username = located("uid"),
					      .email = located("mail") };
	struct source_settings one = { .name = located("one"),
				       .type = located("ldif"),
				       .organization = located("default"),
				       .enabled = true,
				       .attributes = { ARRAY_LEN(names), attributes } };
	struct source_settings two = { .name = located("two"),
				       .type = located("ldif"),
				       .organization = located("default"),
				       .enabled = true };
	const struct source_settings *sources[] = { &one, &two };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();

	if (schema != NULL)
		return schema;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		attributes[i] = (struct attribute_settings){ .name = located(names[i]),
							     .from = located(names[i]),
							     .syntax = (int)i };
	attributes[2].absent = 1;
	schema = schema_create(&identity, sources, 2, list);
	check(schema != NULL && diagnostics_errors(list) == 0);
	return schema;
}

static int compare_attributes(const void *left, const void *right)
{
	const struct attribute *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

/* The same with what the store says. */
static const struct schema *people_schema(void)
{
	static const struct schema_fact facts[] = { { "role", SYNTAX_STRING, false },
						    { "since", SYNTAX_TIME, false },
						    { "times", SYNTAX_INTEGER, false },
						    { "mail", SYNTAX_STRING, true } };
	static struct schema *schema;

	if (schema == NULL)
		schema = schema_extend(the_schema(), "(store)", facts, ARRAY_LEN(facts), true);
	check(schema != NULL);
	return schema;
}

/* Lines of text become the values of all attributes; no lines: none has any. */
static void make_person(const struct schema *schema, char *text, struct arena *arena,
			struct person *ret)
{
	const char **values = arena_alloc_array(arena, VALUES_MAX, sizeof(*values));
	struct attribute *attributes =
		arena_alloc_array(arena, ARRAY_LEN(names), sizeof(*attributes));
	struct identity *identity = arena_alloc(arena, sizeof(*identity));
	uint32_t count = 0;
	char *line;

	while (count < VALUES_MAX && (line = strsep(&text, "\n")) != NULL)
		if (text_is_utf8(line, strlen(line)))
			values[count++] = line;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		attributes[i] = (struct attribute){
			(uint16_t)schema_find(schema, names[i], strlen(names[i])), count, values
		};
	qsort(attributes, ARRAY_LEN(names), sizeof(*attributes), compare_attributes);
	*identity = (struct identity){ .source = 0,
				       .key = "key",
				       .dn = count > 0 ? values[0] : "",
				       .attributes = attributes,
				       .attribute_count = count > 0 ? ARRAY_LEN(names) : 0,
				       .groups_complete = true,
				       .disabled_by = "" };
	check(person_merge(schema, identity, 1, arena, ret, NULL) == 0);
}

/* registry NULL: as a rule. */
static struct filter *compile_as(const char *text, struct group_registry *registry)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct located filter_text = located(text);
	struct filter *filter =
		registry == NULL
			? filter_compile(&filter_text, the_schema(), list)
			: filter_compile_people(&filter_text, people_schema(), registry, 1, list);

	check((filter == NULL) == (diagnostics_errors(list) > 0));
	for (size_t i = 0; i < diagnostics_count(list); i++)
		check(diagnostics_get(list, i)->at.column >= 1 &&
		      diagnostics_get(list, i)->at.column <= strlen(text) + 1);
	return filter;
}

static struct filter *compile(const char *text)
{
	return compile_as(text, NULL);
}

/* The same filter inside another; -1 where a limit is in the way. */
static int match_within(const char *before, const char *text, const char *after,
			const struct person *person)
{
	AUTO(strbuf) struct strbuf whole = STRBUF(1 << 20);
	struct filter *filter;
	int match = -1;

	strbuf_printf(&whole, "%s%s%s", before, text, after);
	filter = compile(strbuf_text(&whole));
	if (filter != NULL)
		match = (int)filter_match(filter, person);
	filter_destroy(filter);
	return match;
}

static void check_filter(const char *text, const struct person *person)
{
	struct filter *filter = compile(text);
	enum match match;
	int same, opposite;

	if (filter == NULL)
		return;
	match = filter_match(filter, person);
	filter_destroy(filter);
	same = match_within("(&", text, ")", person);
	opposite = match_within("(!", text, ")", person);
	check(same < 0 || same == (int)match);
	if (opposite >= 0)
		check(match == MATCH_UNKNOWN ? opposite == MATCH_UNKNOWN
					     : (opposite == MATCH_YES) == (match == MATCH_NO));
}

static void check_over_people(const char *text, const struct person *person,
			      const struct person *known)
{
	static const struct group_states states = { .unknown = (const uint8_t *)"" };
	struct group_registry *registry = group_registry_create();
	struct filter *people, *rule;
	uint32_t group;
	size_t at = 0;

	check(registry != NULL);
	people = compile_as(text, registry);
	rule = compile(text);
	check(rule == NULL || people != NULL);
	if (rule != NULL)
		check(filter_match(rule, person) == filter_match_people(people, known, &states));
	if (people != NULL)
		filter_match_people(people, known, &states);
	while (people != NULL && filter_next_group(people, &at, &group))
		check(group_registry_get(registry, group) != NULL);
	filter_destroy(people);
	filter_destroy(rule);
	group_registry_destroy(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(64 << 20);
	struct person person, known;
	char *text, *rest, *again;

	check(arena != NULL);
	text = arena_strndup(arena, (const char *)data, size);
	check(text != NULL);
	rest = text;
	strsep(&rest, "\n");
	again = rest ? arena_strdup(arena, rest) : NULL;
	make_person(the_schema(), rest, arena, &person);
	make_person(people_schema(), again, arena, &known);
	check_filter(text, &person);
	check_over_people(text, &person, &known);
	return 0;
}
