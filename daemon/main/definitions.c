/*
 * From rows of the store to texts of a configuration, and from places there back to rows.
 *
 * Enters: rows, a document of files, settings read from both. Leaves: texts behind the files, warnings
 * of what is left out. Fails: store, memory.
 */
#include "definitions.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/persona.h>

/* Well below what one file may hold, above what one definition may. */
#define TEXT_BYTES ((size_t)4 * 1024 * 1024)
#define DETAIL_MAX ((size_t)64 * 1024)
#define SEEDED "definitions-seeded"

#define KIND(kind, type, list, member) \
	{ \
		kind, #list, offsetof(struct settings, catalogue.list), \
			sizeof(struct type##_settings), offsetof(struct type##_settings, member), \
			offsetof(struct type##_settings, organization), false \
	}

static const struct definition_kind kinds[] = {
	KIND("profile", profile, profiles, name),
	KIND("role", role, roles, name),
	KIND("persona", persona, personas, name),
	KIND("rule", rule, rules, id),
	KIND("segment", segment, segment_filters, name),
	{ "source", "sources", offsetof(struct settings, sources), 0,
	  offsetof(struct source_settings, name), 0, true },
};

const struct definition_kind *definition_kind(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return &kinds[i];
	return NULL;
}

static struct struct_list *items_of(const struct definition_kind *kind, struct settings *settings)
{
	return (void *)((char *)settings + kind->items);
}

static char *item_at(const struct definition_kind *kind, const struct struct_list *items, size_t i)
{
	return kind->pointers ? ((char **)items->items)[i] : (char *)items->items + i * kind->size;
}

const void *definition_item(const struct definition_kind *kind, const struct settings *settings,
			    size_t i)
{
	const struct struct_list *items = (const void *)((const char *)settings + kind->items);

	return i < items->count ? item_at(kind, items, i) : NULL;
}

const char *definition_item_name(const struct definition_kind *kind, const void *item)
{
	return ((const struct located *)(const void *)((const char *)item + kind->name))->text;
}

/* ------------------------------------------------------------------- rows */

int definitions_of_rows(const struct definition *rows, size_t count, struct arena *arena,
			struct definition_list *ret_list, struct err *err)
{
	struct definition_list list = { .items = arena_alloc_array(arena, count + 1,
								   sizeof(*list.items)) };

	if (!list.items)
		return err_set(err, ERR_MEMORY, "no memory for %zu definitions", count);
	for (size_t i = 0; i < count; i++)
		if (!rows[i].draft)
			list.items[list.count++] = (struct placed_definition){
				.kind = rows[i].kind,
				.name = rows[i].name,
				.body = rows[i].body,
				.organization = rows[i].organization,
			};
	*ret_list = list;
	return 0;
}

int definitions_seeded(struct store *store, struct arena *arena, bool *ret_seeded, struct err *err)
{
	const char *value;

	if (store_meta_get(store, SEEDED, arena, &value, err) < 0)
		return -1;
	*ret_seeded = value != NULL;
	return 0;
}

int definitions_read(const char *store_path, struct arena *arena, struct definition **ret_rows,
		     size_t *ret_count, bool *ret_seeded, struct err *err)
{
	AUTO(store) struct store *store = NULL;
	struct err problem;

	err_clear(&problem);
	*ret_seeded = false;
	*ret_count = 0;
	if (access(store_path, F_OK) != 0)
		return 0;
	store = store_open(store_path, STORE_READ, &problem);
	if (!store && strcmp(err_reason(&problem), "store-not-ready") == 0)
		return 0;
	if (!store) {
		*err = problem;
		return -1;
	}
	if (definitions_seeded(store, arena, ret_seeded, err) < 0)
		return -1;
	return store_definitions_load(store, arena, ret_rows, ret_count, err);
}

int definitions_know_personas(const char *store_path, struct arena *arena,
			      struct definition_list *list, struct err *err)
{
	AUTO(store) struct store *store = store_open(store_path, STORE_READ, err);
	struct persona_facts *facts;

	if (!store || store_personas_load(store, arena, &facts, &list->personas.count, err) < 0)
		return -1;
	list->personas.facts = facts;
	list->personas.asked = true;
	return 0;
}

static int note_seeds(struct store *store, const struct definition_list *seeds, int64_t now_s,
		      struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	struct audit_row row = { .at_s = now_s,
				 .actor = "start",
				 .action = "definitions.seed",
				 .object = "",
				 .request = "" };

	json_object(&json);
	json_array_key(&json, "definitions");
	for (size_t i = 0; i < seeds->count; i++)
		json_raw(&json, NULL, seeds->items[i].body);
	json_end(&json);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for the shipped definitions");
	row.detail = strbuf_text(&detail);
	return store_audit_append(store, &row, err);
}

int definitions_seed(struct store *store, const struct definition_list *seeds, int64_t now_s,
		     struct err *err)
{
	for (size_t i = 0; i < seeds->count; i++) {
		struct definition row = { .kind = seeds->items[i].kind,
					  .name = seeds->items[i].name,
					  .body = seeds->items[i].body,
					  .created_s = now_s,
					  .updated_s = now_s,
					  .actor = "start" };

		if (seeds->items[i].shadowed)
			continue;
		if (store_definition_put(store, &row, err) < 0)
			return -1;
	}
	if (note_seeds(store, seeds, now_s, err) < 0)
		return -1;
	return store_meta_set(store, SEEDED, "1", err);
}

/* -------------------------------------------------------------- rendering */

struct rendering {
	struct arena *arena; /* NULL: only places are wanted */
	struct document_file files[DOCUMENT_APPENDED_MAX];
	size_t count;
	struct strbuf text; /* of the file that is being written */
	unsigned lines;
	const char *list; /* that its last lines belong to */
	unsigned first;	  /* number of the first file in the document */
};

static int end_file(struct rendering *rendering)
{
	const char *text;

	if (rendering->lines == 0)
		return 0;
	if (!rendering->arena) {
		rendering->count++;
		rendering->lines = 0;
		rendering->list = NULL;
		strbuf_clear(&rendering->text);
		return 0;
	}
	text = strbuf_failed(&rendering->text) || rendering->count == DOCUMENT_APPENDED_MAX
		       ? NULL
		       : arena_strndup(rendering->arena, rendering->text.data,
				       rendering->text.size);
	if (!text)
		return -1;
	rendering->files[rendering->count++] =
		(struct document_file){ DEFINITIONS_PATH, text, rendering->text.size };
	strbuf_clear(&rendering->text);
	rendering->lines = 0;
	rendering->list = NULL;
	return 0;
}

static int render_one(struct rendering *rendering, const char *list,
		      struct placed_definition *definition)
{
	if (rendering->text.size > TEXT_BYTES && end_file(rendering) < 0)
		return -1;
	if (rendering->list != list) {
		strbuf_printf(&rendering->text, "%s:\n", list);
		rendering->lines++;
		rendering->list = list;
	}
	strbuf_puts(&rendering->text, "- ");
	strbuf_puts(&rendering->text, definition->body);
	strbuf_putc(&rendering->text, '\n');
	rendering->lines++;
	definition->file = rendering->first + (unsigned)rendering->count;
	definition->line = rendering->lines;
	return 0;
}

static int render_all(struct rendering *rendering, struct definition_list *list)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (size_t i = 0; i < list->count; i++)
			if (strcmp(list->items[i].kind, kinds[k].kind) == 0 &&
			    render_one(rendering, kinds[k].list, &list->items[i]) < 0)
				return -1;
	return end_file(rendering);
}

int definitions_append(struct definition_list *list, struct document *document, struct arena *arena,
		       struct diagnostics *findings)
{
	struct rendering rendering = { .arena = arena,
				       .text = STRBUF(2 * TEXT_BYTES),
				       .first = document_own_files(document) + 1 };
	int result = render_all(&rendering, list);

	if (result < 0)
		diagnostics_add(findings, SEVERITY_ERROR, "too-large", (struct position){ 0 }, NULL,
				"not enough room for the definitions of the store");
	else
		result = document_append(document, rendering.files, rendering.count, findings);
	strbuf_finish(&rendering.text);
	return result;
}

void definitions_place(struct definition_list *list, const struct document *document)
{
	struct rendering rendering = { .text = STRBUF(2 * TEXT_BYTES),
				       .first = document_own_files(document) + 1 };

	render_all(&rendering, list);
	strbuf_finish(&rendering.text);
}

/* --------------------------------------------------------------- settling */

static bool is_stored(const struct document *document, struct position at)
{
	return at.file > document_own_files(document);
}

struct settling {
	struct definition_list *list;
	const struct document *document;
	struct diagnostics *findings;
};

static struct placed_definition *find_at(const struct definition_list *list, struct position at)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].file == at.file && list->items[i].line == at.line)
			return &list->items[i];
	return NULL;
}

static int remember_name(struct hash_table *names, const char *name)
{
	uint32_t *slot;

	return hash_table_put(names, fingerprint128(name, strlen(name)), &slot) < 0 ? -1 : 0;
}

static void leave_out(const struct settling *settling, const char *noun, const char *name,
		      struct position at)
{
	struct placed_definition *definition = find_at(settling->list, at);

	if (definition)
		definition->shadowed = true;
	diagnostics_add(settling->findings, SEVERITY_WARNING, "definition-shadowed", at,
			"Delete it there, or take it out of the file.",
			"%s '%s' of the store is left out: a file declares one of this name", noun,
			name);
}

/* Files stand first: what they declare wins. */
static int settle_list(const struct settling *settling, const struct definition_kind *kind,
		       struct struct_list *items)
{
	size_t size = kind->pointers ? sizeof(char *) : kind->size;
	AUTO(hash_table)
	struct hash_table *names = hash_table_create(items->count, items->count + 1);
	size_t kept = 0;

	if (!names)
		return -1;
	for (size_t i = 0; i < items->count; i++) {
		const char *item = item_at(kind, items, i);
		const struct position *at = (const void *)item;
		const char *name = definition_item_name(kind, item);
		bool stored = is_stored(settling->document, *at);

		if (stored && name &&
		    hash_table_get(names, fingerprint128(name, strlen(name)), NULL)) {
			leave_out(settling, kind->kind, name, *at);
			continue;
		}
		if (!stored && name && remember_name(names, name) < 0)
			return -1;
		if (kept != i)
			memcpy((char *)items->items + kept * size, (char *)items->items + i * size,
			       size);
		kept++;
	}
	items->count = kept;
	return 0;
}

static bool is_kept(const struct settling *settling, struct position at)
{
	const struct placed_definition *definition;

	if (!is_stored(settling->document, at))
		return false;
	definition = find_at(settling->list, at);
	return !definition || !definition->changing;
}

/* Whose each of them is; what files declare is everybody's. */
static void assign_list(const struct settling *settling, const struct definition_kind *kind,
			const struct struct_list *items)
{
	for (size_t i = 0; kind->organization && i < items->count; i++) {
		char *item = item_at(kind, items, i);
		const struct position *at = (const void *)item;
		const struct placed_definition *definition =
			is_stored(settling->document, *at) ? find_at(settling->list, *at) : NULL;

		*(const char **)(void *)(item + kind->organization) =
			definition ? definition->organization : NULL;
	}
}

/* Nobody signs in through it, and nothing of it is looked at; what it gave stays. */
static void break_source(struct source_settings *source)
{
	source->broken = true;
	source->enabled = false;
	source->link = (struct link_settings){ .at = { 0 } };
	source->organization = (struct located){ .text = "default" };
	source->authoritative_domains = (struct located_list){ .count = 0 };
}

/* How many more are broken now. */
static size_t break_sources(const struct settling *settling, const struct settings *settings,
			    const struct diagnostics *findings)
{
	const struct definition_kind *kind = definition_kind("source");
	size_t broken = 0;

	for (size_t i = 0; i < diagnostics_count(findings); i++) {
		const struct diagnostic *finding = diagnostics_get(findings, i);
		const void *item;

		if (finding->severity != SEVERITY_ERROR || !is_kept(settling, finding->at))
			continue;
		for (size_t k = 0; (item = definition_item(kind, settings, k)); k++) {
			struct source_settings *source = (void *)(uintptr_t)item;

			if (source->broken || source->at.file != finding->at.file ||
			    source->at.line != finding->at.line)
				continue;
			break_source(source);
			broken++;
		}
	}
	return broken;
}

/* One that is broken may have been what another one stood on. */
static void be_lenient_with_sources(const struct settling *settling,
				    const struct settings *settings)
{
	size_t broken = 1;

	while (broken > 0) {
		AUTO(diagnostics) struct diagnostics *findings = diagnostics_create();

		if (!findings)
			return;
		settings_check(settings, findings);
		broken = break_sources(settling, settings, findings);
	}
}

/* What was right when it was stored must not stop the daemon. */
static void be_lenient(const struct settling *settling, struct settings *settings)
{
	struct catalogue_settings *catalogue = &settings->catalogue;
	struct role_settings *roles = catalogue->roles.items;
	struct rule_settings *rules = catalogue->rules.items;
	struct segment_settings *segments = catalogue->segment_filters.items;

	for (size_t i = 0; i < catalogue->segment_filters.count; i++)
		segments[i].lenient = is_kept(settling, segments[i].at);
	for (size_t i = 0; i < catalogue->roles.count; i++)
		roles[i].lenient = is_kept(settling, roles[i].at);
	for (size_t i = 0; settling->list->lenient && i < catalogue->rules.count; i++)
		rules[i].lenient = is_kept(settling, rules[i].at);
	if (settling->list->lenient)
		be_lenient_with_sources(settling, settings);
}

int definitions_settle(struct definition_list *list, const struct document *document,
		       struct settings *settings, struct diagnostics *findings)
{
	const struct settling settling = { list, document, findings };

	settings->catalogue.store_file = document_own_files(document) + 1;
	if (list->count == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (settle_list(&settling, &kinds[i], items_of(&kinds[i], settings)) == 0)
			continue;
		diagnostics_add(findings, SEVERITY_ERROR, "out-of-memory", (struct position){ 0 },
				NULL, "out of memory for the definitions of the store");
		return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assign_list(&settling, &kinds[i], items_of(&kinds[i], settings));
	be_lenient(&settling, settings);
	return 0;
}

/* ------------------------------------------------------------ finding back */

const struct placed_definition *definitions_at(const struct definition_list *list,
					       struct position at)
{
	return at.file ? find_at(list, at) : NULL;
}

/* Walks a JSON object that we wrote ourselves: which member of it holds the place? */
struct walk {
	const char *text;
	size_t at, place;
	char path[512];
	size_t found; /* of path, when the place was passed */
	bool done;
};

static void walk_value(struct walk *walk, size_t length);

static void walk_string(struct walk *walk)
{
	for (walk->at++; walk->text[walk->at] && walk->text[walk->at] != '"'; walk->at++)
		if (walk->text[walk->at] == '\\' && walk->text[walk->at + 1])
			walk->at++;
	if (walk->text[walk->at])
		walk->at++;
}

static size_t put_step(struct walk *walk, size_t length, const char *text, size_t size,
		       const char *before, const char *after)
{
	size_t room = sizeof(walk->path) - length;
	int put = snprintf(walk->path + length, room, "%s%.*s%s", before, (int)size, text, after);

	return put < 0 || (size_t)put >= room ? length : length + (size_t)put;
}

static void walk_object(struct walk *walk, size_t length)
{
	while (walk->text[walk->at] && walk->text[walk->at] != '}') {
		size_t begin = ++walk->at, end, inner;

		if (walk->text[begin] != '"')
			break;
		walk_string(walk);
		end = walk->at - 1;
		walk->at++; /* the colon */
		inner = put_step(walk, length, walk->text + begin + 1, end - begin - 1,
				 length ? "." : "", "");
		walk_value(walk, inner);
		if (walk->done)
			return;
	}
	if (walk->text[walk->at])
		walk->at++;
}

static void walk_array(struct walk *walk, size_t length)
{
	for (unsigned i = 0; walk->text[walk->at] && walk->text[walk->at] != ']'; i++) {
		char number[16];
		int size = snprintf(number, sizeof(number), "%u", i);

		walk->at++;
		if (walk->text[walk->at] == ']')
			break;
		walk_value(walk, put_step(walk, length, number, (size_t)size, "[", "]"));
		if (walk->done)
			return;
	}
	if (walk->text[walk->at])
		walk->at++;
}

/* The innermost value that ends behind the place holds it, or is the next one. */
static void walk_value(struct walk *walk, size_t length)
{
	char first = walk->text[walk->at];
	size_t begin = walk->at;

	if (walk->place < begin && !walk->done) {
		walk->done = true;
		walk->found = length;
		return;
	}
	if (first == '{')
		walk_object(walk, length);
	else if (first == '[')
		walk_array(walk, length);
	else if (first == '"')
		walk_string(walk);
	else
		while (walk->text[walk->at] && !strchr(",]}", walk->text[walk->at]))
			walk->at++;
	if (!walk->done && walk->place < walk->at) {
		walk->done = true;
		walk->found = length;
	}
}

const char *definition_field(const struct placed_definition *definition, struct position at,
			     struct arena *arena)
{
	struct walk walk = { .text = definition->body };

	/* Behind "- ". */
	if (at.column <= 3)
		return "";
	walk.place = at.column - 3;
	walk_value(&walk, 0);
	return arena_strndup(arena, walk.path, walk.done ? walk.found : 0);
}
