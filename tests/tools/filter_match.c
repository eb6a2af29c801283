/*
 * Evaluates filters over entries, for comparison with a directory server.
 *
 *	filter_match ATTRIBUTES ENTRIES FILTERS
 *
 * ATTRIBUTES: name:syntax,... (syntaxes as in sources[].attributes[].syntax).
 * ENTRIES: a file of lines "key K", which begins an entry, "dn D" and "NAME VALUE".
 * FILTERS: a file with one filter a line. Prints one line for each: the keys of the entries that
 * match, each with '?' before it where the answer is unknown; or "refused CODE MESSAGE".
 * Exit 0, or 2 when the input is not understood.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/rules/ruleset.h>

#define FILE_MAX ((size_t)64 * 1024 * 1024)
#define ATTRIBUTES_MAX 64
#define VALUES_MAX 256

struct entry {
	const char *key;
	struct identity identity;
	struct person person;
};

/* An entry while its lines are read. */
struct draft {
	const char *key, *dn;
	const char *values[ATTRIBUTES_MAX][VALUES_MAX];
	uint16_t ids[ATTRIBUTES_MAX];
	uint32_t counts[ATTRIBUTES_MAX];
	size_t count;
};

struct tool {
	struct arena *arena;
	struct schema *schema;
	struct entry *entries;
	size_t count, capacity;
	struct draft draft;
};

static int fail(const char *what, const char *which)
{
	fprintf(stderr, "filter_match: %s '%s'\n", what, which);
	return 2;
}

static struct located located(const char *text)
{
	return (struct located){ .text = text,
				 .at = { 1, 1, 1, (unsigned)strlen(text) },
				 .verbatim = true };
}

static int syntax_of(const char *name)
{
	for (int i = 0; i < SYNTAX_AUTO; i++)
		if (strcmp(attribute_syntax_name((enum attribute_syntax)i), name) == 0)
			return i;
	return -1;
}

/* "name:syntax,..." to a schema with one source. */
static struct schema *read_schema(char *text)
{
	static struct attribute_settings attributes[ATTRIBUTES_MAX];
	struct identity_settings identity = { .username = located("uid"),
					      .email = located("mail") };
	struct source_settings source = { .name = located("one"),
					  .type = located("ldif"),
					  .organization = located("default"),
					  .enabled = true,
					  .attributes = { 0, attributes } };
	const struct source_settings *sources[] = { &source };
	struct diagnostics *list = diagnostics_create();
	struct schema *schema = NULL;
	char *word;

	while ((word = strsep(&text, ",")) != NULL && source.attributes.count < ATTRIBUTES_MAX) {
		char *name = strsep(&word, ":");
		int syntax = word ? syntax_of(word) : -1;

		if (syntax < 0)
			goto out;
		attributes[source.attributes.count++] = (struct attribute_settings){
			.name = located(name), .from = located(name), .syntax = syntax
		};
	}
	schema = schema_create(&identity, sources, 1, list);
	if (schema != NULL && diagnostics_errors(list) > 0) {
		fprintf(stderr, "%s\n", diagnostics_get(list, 0)->message);
		schema_destroy(schema);
		schema = NULL;
	}
out:
	diagnostics_destroy(list);
	return schema;
}

static int compare_attributes(const void *left, const void *right)
{
	const struct attribute *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

static struct entry *next_entry(struct tool *tool)
{
	if (tool->count == tool->capacity) {
		size_t capacity = tool->capacity ? tool->capacity * 2 : 256;
		struct entry *entries = reallocarray(tool->entries, capacity, sizeof(*entries));

		if (entries == NULL)
			return NULL;
		tool->entries = entries;
		tool->capacity = capacity;
	}
	return &tool->entries[tool->count++];
}

static int finish_entry(struct tool *tool)
{
	struct draft *draft = &tool->draft;
	struct attribute *attributes =
		arena_alloc_array(tool->arena, ATTRIBUTES_MAX, sizeof(*attributes));
	struct entry *entry;

	if (draft->key == NULL)
		return 0;
	entry = next_entry(tool);
	if (entry == NULL || attributes == NULL)
		return -1;
	for (size_t i = 0; i < draft->count; i++)
		attributes[i] =
			(struct attribute){ draft->ids[i], draft->counts[i],
					    arena_memdup(tool->arena, draft->values[i],
							 draft->counts[i] * sizeof(char *)) };
	qsort(attributes, draft->count, sizeof(*attributes), compare_attributes);
	*entry = (struct entry){ .key = draft->key,
				 .identity = { .key = draft->key,
					       .dn = draft->dn ? draft->dn : "",
					       .attributes = attributes,
					       .attribute_count = draft->count,
					       .groups_complete = true,
					       .disabled_by = "" } };
	memset(draft, 0, sizeof(*draft));
	return 0;
}

static int add_value(struct tool *tool, const char *name, const char *value)
{
	struct draft *draft = &tool->draft;
	int id = schema_find(tool->schema, name, strlen(name));
	size_t at = 0;

	if (id < 0)
		return -1;
	while (at < draft->count && draft->ids[at] != id)
		at++;
	if (at == ATTRIBUTES_MAX || draft->counts[at] == VALUES_MAX)
		return -1;
	if (at == draft->count)
		draft->ids[draft->count++] = (uint16_t)id;
	draft->values[at][draft->counts[at]++] = value;
	return 0;
}

static int read_line(struct tool *tool, char *line)
{
	char *name = strsep(&line, " ");

	if (line == NULL)
		return name[0] == '\0' ? 0 : -1;
	if (strcmp(name, "key") == 0) {
		if (finish_entry(tool) < 0)
			return -1;
		tool->draft.key = line;
		return 0;
	}
	if (strcmp(name, "dn") == 0) {
		tool->draft.dn = line;
		return 0;
	}
	return add_value(tool, name, line);
}

static int read_entries(struct tool *tool, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL)
		if (read_line(tool, line) < 0)
			return fail("cannot use line", line);
	if (finish_entry(tool) < 0)
		return fail("out of memory at", "the last entry");
	for (size_t i = 0; i < tool->count; i++)
		if (person_merge(tool->schema, &tool->entries[i].identity, 1, tool->arena,
				 &tool->entries[i].person, NULL) < 0)
			return fail("cannot use entry", tool->entries[i].key);
	return 0;
}

static void match_filter(const struct tool *tool, const char *text)
{
	struct located filter_text = located(text);
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct filter *filter = filter_compile(&filter_text, tool->schema, list);
	const char *separator = "";

	if (filter == NULL) {
		const struct diagnostic *found = diagnostics_get(list, 0);

		printf("refused %s %s\n", found->code, found->message);
		return;
	}
	for (size_t i = 0; i < tool->count; i++) {
		enum match match = filter_match(filter, &tool->entries[i].person);

		if (match == MATCH_NO)
			continue;
		printf("%s%s%s", separator, match == MATCH_UNKNOWN ? "?" : "",
		       tool->entries[i].key);
		separator = " ";
	}
	printf("\n");
	filter_destroy(filter);
}

static int run(struct tool *tool, char **arguments)
{
	AUTO(strbuf) struct strbuf entries = STRBUF(FILE_MAX);
	AUTO(strbuf) struct strbuf filters = STRBUF(FILE_MAX);
	struct err err;
	char *rest, *line;

	tool->schema = read_schema(arguments[1]);
	tool->arena = arena_create(FILE_MAX);
	if (tool->schema == NULL || tool->arena == NULL)
		return fail("cannot use attributes", arguments[1]);
	if (file_read(arguments[2], FILE_MAX, &entries, &err) < 0 ||
	    file_read(arguments[3], FILE_MAX, &filters, &err) < 0)
		return fail("cannot read", err.text);
	if (read_entries(tool, entries.data) != 0)
		return 2;
	rest = filters.data;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			match_filter(tool, line);
	return 0;
}

int main(int argc, char **argv)
{
	static struct tool tool;
	int status;

	if (argc != 4)
		return fail("usage:", "filter_match ATTRIBUTES ENTRIES FILTERS");
	status = run(&tool, argv);
	schema_destroy(tool.schema);
	arena_destroy(tool.arena);
	free(tool.entries);
	return status;
}
