/*
 * From nodes to structs by option tables. Enters: a document that may hold
 * anything. Leaves: the struct, filled as far as the document allows, defaults
 * elsewhere, and all findings. May fail only for lack of memory, which is a
 * finding too.
 *
 * Readers of one value return true when the field was set from the node. On
 * false the default is set; the finding, if one is due, was already made.
 */
#include <rolebridge/config/options.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "table.h"
#include "tree.h"
#include "values.h"

#define STRING_BYTES_MAX (64 * 1024)
#define DEFAULTS_KEPT 64
#define NAMES_MAX 256	/* candidates for "Did you mean" */
#define NAMES_LISTED 12 /* up to here all known keys are listed */

struct parsed_default {
	const struct option *option;
	struct node node;
};

struct reader {
	const struct document *document;
	struct arena *arena;
	struct diagnostics *list;
	struct parsed_default defaults[DEFAULTS_KEPT]; /* those in flow style, parsed once */
	size_t default_count;
	const struct node *typed; /* the item whose `type` was looked at already */
};

static void read_mapping(struct reader *reader, const struct chain *chain, const struct node *node,
			 void *item);
static void set_defaults(struct reader *reader, const struct chain *chain, void *item);

/* ----------------------------------------------------------------- findings */

/* A value as messages show it: cut between characters when long. */
struct shown {
	char text[64];
};

static struct shown shown(const char *text)
{
	struct shown result = { "" };
	size_t size = strnlen(text, sizeof(result.text));

	if (size < sizeof(result.text)) {
		memcpy(result.text, text, size);
		return result;
	}
	size = sizeof(result.text) - sizeof("...");
	while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
		size--;
	memcpy(result.text, text, size);
	memcpy(result.text + size, "...", sizeof("..."));
	return result;
}

static void report(struct reader *reader, const struct node *node, const char *code,
		   const char *hint, const char *message)
{
	diagnostics_add(reader->list, SEVERITY_ERROR, code, node->at, hint, "%s", message);
}

/* A value that was refused as YAML, or cut off by what was. */
static bool was_reported(const struct node *node)
{
	return node->type == NODE_BAD || node->incomplete;
}

static bool wrong_type(struct reader *reader, const struct option *option, const struct node *node,
		       const char *wanted, const char *hint)
{
	if (!was_reported(node))
		diagnostics_add(reader->list, SEVERITY_ERROR, "wrong-type", node->at, hint,
				"'%s' must be %s, not %s", option->name, wanted, node_kind(node));
	return false;
}

/* Names of a mapping's keys, for hints. */
static size_t chain_names(const struct chain *chain, const char **names, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			if (count < max)
				names[count++] = o->name;
	return count;
}

/* "Did you mean 'x'?" or, when nothing is near, "One of: a, b, c." */
static void suggest(struct strbuf *hint, const char *word, const char *const *names, size_t count,
		    bool list_always)
{
	const char *near = text_nearest(word, names, count);

	if (near)
		strbuf_printf(hint, "Did you mean '%s'?", near);
	if ((near && !list_always) || count > NAMES_LISTED)
		return;
	strbuf_puts(hint, near ? " One of: " : "One of: ");
	text_join(hint, names, count, ", ");
	strbuf_puts(hint, ".");
}

static void report_unknown_key(struct reader *reader, const struct chain *chain,
			       const struct node *key, const char *extra)
{
	AUTO(strbuf) struct strbuf hint = STRBUF(4096);
	const char *names[NAMES_MAX + 1];
	size_t count = chain_names(chain, names, NAMES_MAX);

	if (extra && !chain_find(chain, extra))
		names[count++] = extra;
	suggest(&hint, key->text, names, count, false);
	diagnostics_add(reader->list, SEVERITY_ERROR, "unknown-key", key->at,
			hint.size ? strbuf_text(&hint) : NULL, "unknown key '%s'",
			shown(key->text).text);
}

static void report_missing_key(struct reader *reader, const struct node *mapping, const char *name,
			       const char *hint)
{
	diagnostics_add(reader->list, SEVERITY_ERROR, "missing-key", mapping->at, hint,
			"missing key '%s'", name);
}

/* ------------------------------------------------------------------ scalars */

static bool read_bool(struct reader *reader, const struct option *option, const struct node *node,
		      void *field)
{
	if (node->type != NODE_SCALAR)
		return wrong_type(reader, option, node, "true or false", NULL);
	if (node->plain && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)) {
		*(bool *)field = node->text[0] == 't';
		return true;
	}
	diagnostics_add(
		reader->list, SEVERITY_ERROR, "invalid-value", node->at,
		node->plain ? NULL : "Without quotes it is true or false, with quotes a text.",
		"'%s' must be true or false, not '%s'", option->name, shown(node->text).text);
	return false;
}

static bool check_range(struct reader *reader, const struct option *option, const struct node *node,
			int64_t value)
{
	const struct value_form *form = value_form(option->type);
	int64_t min, max;
	char low[32], high[32];

	option_range(option, &min, &max);
	if (value >= min && value <= max)
		return true;
	form->write(min, low);
	form->write(max, high);
	if (max == form->max && form->max == INT64_MAX)
		diagnostics_add(reader->list, SEVERITY_ERROR, "out-of-range", node->at, NULL,
				"'%s' must be at least %s, not '%s'", option->name, low,
				shown(node->text).text);
	else
		diagnostics_add(reader->list, SEVERITY_ERROR, "out-of-range", node->at, NULL,
				"'%s' must be between %s and %s, not '%s'", option->name, low, high,
				shown(node->text).text);
	return false;
}

static bool read_number(struct reader *reader, const struct option *option, const struct node *node,
			void *field)
{
	const struct value_form *form = value_form(option->type);
	int64_t value;

	if (node->type != NODE_SCALAR)
		return wrong_type(reader, option, node, form->name, NULL);
	if ((option->type == OPTION_INT && !node->plain) || !form->read(node->text, &value)) {
		diagnostics_add(reader->list, SEVERITY_ERROR, "invalid-value", node->at,
				option->type == OPTION_INT && !node->plain
					? "Without quotes it is a number, with quotes a text."
					: NULL,
				"'%s' must be %s such as %s, not '%s'", option->name, form->name,
				form->example, shown(node->text).text);
		return false;
	}
	if (!check_range(reader, option, node, value))
		return false;
	*(int64_t *)field = value;
	return true;
}

static bool read_enum(struct reader *reader, const struct option *option, const struct node *node,
		      void *field)
{
	AUTO(strbuf) struct strbuf hint = STRBUF(4096);
	size_t count = option_choices(option);

	if (node->type != NODE_SCALAR)
		return wrong_type(reader, option, node, "a word", NULL);
	for (size_t i = 0; i < count; i++)
		if (strcmp(option->choices[i], node->text) == 0) {
			*(int *)field = (int)i;
			return true;
		}
	suggest(&hint, node->text, option->choices, count, true);
	diagnostics_add(reader->list, SEVERITY_ERROR, "unknown-value", node->at,
			hint.size ? strbuf_text(&hint) : NULL, "unknown value '%s' for '%s'",
			shown(node->text).text, option->name);
	return false;
}

/* Borrow a default, copy what the document owns. */
static struct located located_from(struct reader *reader, const struct node *node)
{
	return (struct located){
		.text = node->at.file ? arena_strndup(reader->arena, node->text, node->count)
				      : node->text,
		.at = node->at,
		.verbatim = node->verbatim,
	};
}

static bool check_length(struct reader *reader, const struct option *option,
			 const struct node *node)
{
	int64_t max = option->max ? option->max : STRING_BYTES_MAX;
	bool not_empty = (option->flags & OPTION_NOT_EMPTY) || option->type == OPTION_PATH;

	if (not_empty && node->count == 0) {
		diagnostics_add(reader->list, SEVERITY_ERROR, "empty-value", node->at, NULL,
				"'%s' may not be empty", option->name);
		return false;
	}
	if (node->count >= option->min && node->count <= max)
		return true;
	diagnostics_add(reader->list, SEVERITY_ERROR, "out-of-range", node->at, NULL,
			node->count > max ? "'%s' may not be longer than %lld bytes"
					  : "'%s' must have at least %lld bytes",
			option->name, (long long)(node->count > max ? max : option->min));
	return false;
}

static bool read_string(struct reader *reader, const struct option *option, const struct node *node,
			void *field)
{
	if (node->type != NODE_SCALAR)
		return wrong_type(reader, option, node, "a text", NULL);
	if (!check_length(reader, option, node))
		return false;
	*(struct located *)field = located_from(reader, node);
	return true;
}

static bool read_path(struct reader *reader, const struct option *option, const struct node *node,
		      void *field)
{
	struct located *path = field;

	if (!read_string(reader, option, node, field))
		return false;
	if (node->text[0] == '/')
		return true;
	path->text = document_path(reader->document, node->at.file, node->text, reader->arena);
	path->verbatim = false;
	return true;
}

/* -------------------------------------------------------------------- lists */

static bool check_count(struct reader *reader, const struct option *option, const struct node *node,
			size_t count)
{
	if ((option->flags & OPTION_NOT_EMPTY) && count == 0) {
		diagnostics_add(reader->list, SEVERITY_ERROR, "empty-value", node->at, NULL,
				"'%s' may not be empty", option->name);
		return false;
	}
	if (option->max > 0 && count > (size_t)option->max)
		diagnostics_add(reader->list, SEVERITY_ERROR, "out-of-range", node->at, NULL,
				"'%s' may not have more than %lld items", option->name,
				(long long)option->max);
	else if (option->min > 0 && count < (size_t)option->min && !node->incomplete)
		diagnostics_add(reader->list, SEVERITY_ERROR, "out-of-range", node->at, NULL,
				"'%s' must have at least %lld items", option->name,
				(long long)option->min);
	return true;
}

/* The texts of a scalar, a list of scalars, or nothing. */
static bool read_texts(struct reader *reader, const char *name, const struct node *node,
		       struct located_list *ret_texts)
{
	const struct node *nodes = node->type == NODE_SEQUENCE ? node->items : node;
	uint32_t count = node->type == NODE_SEQUENCE ? node->count : node->type == NODE_SCALAR;
	struct located *items = arena_alloc_array(reader->arena, count ? count : 1, sizeof(*items));
	size_t filled = 0;

	if (!items)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (nodes[i].type == NODE_SCALAR && nodes[i].count <= STRING_BYTES_MAX)
			items[filled++] = located_from(reader, &nodes[i]);
		else if (nodes[i].type == NODE_SCALAR)
			report(reader, &nodes[i], "out-of-range", NULL,
			       "a text may not be longer than 64 KiB");
		else if (!was_reported(&nodes[i]))
			diagnostics_add(reader->list, SEVERITY_ERROR, "wrong-type", nodes[i].at,
					NULL, "each item of '%s' must be a text, not %s", name,
					node_kind(&nodes[i]));
	}
	*ret_texts = (struct located_list){ .count = filled, .items = items };
	return true;
}

static bool read_strings(struct reader *reader, const struct option *option,
			 const struct node *node, void *field)
{
	struct located_list texts;

	if (node->type == NODE_MAPPING || node->type == NODE_BAD)
		return wrong_type(reader, option, node, "a text or a list of texts", NULL);
	if (!read_texts(reader, option->name, node, &texts))
		return false;
	if (!check_count(reader, option, node,
			 node->type == NODE_SEQUENCE ? node->count : texts.count))
		return false;
	*(struct located_list *)field = texts;
	return true;
}

static bool read_pair(struct reader *reader, const struct node *nodes, struct pair *ret_pair)
{
	if (nodes[1].type == NODE_BAD || (nodes[1].type == NODE_MAPPING && nodes[1].incomplete))
		return false;
	if (nodes[1].type == NODE_MAPPING) {
		diagnostics_add(reader->list, SEVERITY_ERROR, "wrong-type", nodes[1].at, NULL,
				"'%s' must be a text or a list of texts, not a mapping",
				shown(nodes[0].text).text);
		return false;
	}
	ret_pair->name = located_from(reader, &nodes[0]);
	return read_texts(reader, shown(nodes[0].text).text, &nodes[1], &ret_pair->values);
}

static bool read_pairs(struct reader *reader, const struct option *option, const struct node *node,
		       void *field)
{
	if (node->type != NODE_MAPPING && node->type != NODE_NULL)
		return wrong_type(reader, option, node, "a mapping", NULL);

	uint32_t count = node->type == NODE_MAPPING ? node->count : 0;
	struct pair *items = arena_alloc_array(reader->arena, count ? count : 1, sizeof(*items));
	size_t filled = 0;

	if (!items || !check_count(reader, option, node, count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (read_pair(reader, &node->items[2 * (size_t)i], &items[filled]))
			filled++;
	*(struct pair_list *)field =
		(struct pair_list){ .at = node->at, .count = filled, .items = items };
	return true;
}

/* A scalar item as the mapping it stands for; storage: two nodes. */
static struct node expand_shorthand(const struct option_table *table, const struct node *item,
				    struct node storage[static 2])
{
	storage[0] = (struct node){ .type = NODE_SCALAR,
				    .at = item->at,
				    .count = (uint32_t)strlen(table->shorthand),
				    .text = table->shorthand };
	storage[1] = *item;
	return (struct node){ .type = NODE_MAPPING, .at = item->at, .count = 1, .items = storage };
}

static bool is_list_item(struct reader *reader, const struct option *option,
			 const struct node *item)
{
	if (item->type == NODE_MAPPING || (item->type == NODE_SCALAR && option->table->shorthand))
		return true;
	if (!was_reported(item))
		diagnostics_add(reader->list, SEVERITY_ERROR, "wrong-type", item->at, NULL,
				"each item of '%s' must be a mapping, not %s", option->name,
				node_kind(item));
	return false;
}

static size_t variant_names(const struct option_table *table, const char **names, size_t max)
{
	size_t count = 0;

	while (table->variants[count] && count < max) {
		names[count] = table->variants[count]->name;
		count++;
	}
	return count;
}

/* The variant an item names by its `type`; NULL when it names none, which is reported. */
static const struct option_table *choose_variant(struct reader *reader,
						 const struct option_table *table,
						 const struct node *item)
{
	AUTO(strbuf) struct strbuf hint = STRBUF(4096);
	const struct node *type = mapping_get(item, "type");
	const char *names[NAMES_MAX];
	size_t count = variant_names(table, names, NAMES_MAX);

	for (size_t i = 0; type && type->type == NODE_SCALAR && i < count; i++)
		if (strcmp(names[i], type->text) == 0)
			return table->variants[i];
	suggest(&hint, type && type->type == NODE_SCALAR ? type->text : "", names, count, true);
	if (!type || type->type == NODE_NULL) {
		if (!item->incomplete)
			report_missing_key(reader, item, "type", strbuf_text(&hint));
	} else if (type->type != NODE_BAD) {
		diagnostics_add(reader->list, SEVERITY_ERROR, "unknown-value", type->at,
				strbuf_text(&hint), "unknown value '%s' for 'type'",
				type->type == NODE_SCALAR ? shown(type->text).text
							  : node_kind(type));
	}
	return NULL;
}

static size_t largest_variant(const struct option_table *table)
{
	size_t size = table->struct_size;

	for (size_t i = 0; table->variants[i]; i++)
		if (table->variants[i]->struct_size > size)
			size = table->variants[i]->struct_size;
	return size;
}

static void check_keys(struct reader *reader, const struct chain *chain, const struct node *node,
		       const char *extra)
{
	for (uint32_t i = 0; i < node->count; i++) {
		const struct node *key = &node->items[2 * (size_t)i];

		if (!chain_find(chain, key->text) && !(extra && strcmp(key->text, extra) == 0))
			report_unknown_key(reader, chain, key, extra);
	}
}

static void *read_variant(struct reader *reader, const struct option_table *table,
			  const struct node *item)
{
	const struct option_table *variant = choose_variant(reader, table, item);
	struct chain chain = chain_of(variant ? variant : table, table);
	void *result =
		arena_alloc(reader->arena, variant ? variant->struct_size : largest_variant(table));

	if (!result)
		return NULL;
	/* Of an unknown type it is not known which keys it has. */
	if (variant)
		check_keys(reader, &chain, item, "type");
	reader->typed = item;
	read_mapping(reader, &chain, item, result);
	return result;
}

static bool read_item(struct reader *reader, const struct option_table *table,
		      const struct node *item, struct struct_list *list)
{
	if (table->variants) {
		void *result = read_variant(reader, table, item);

		if (result)
			((void **)list->items)[list->count++] = result;
		return result != NULL;
	}

	struct chain chain = chain_of(table, NULL);

	check_keys(reader, &chain, item, NULL);
	read_mapping(reader, &chain, item, (char *)list->items + list->count * table->struct_size);
	list->count++;
	return true;
}

static bool read_list(struct reader *reader, const struct option *option, const struct node *node,
		      void *field)
{
	const struct option_table *table = option->table;
	size_t size = table->variants ? sizeof(void *) : table->struct_size;
	uint32_t count = node->type == NODE_SEQUENCE ? node->count : 0;

	if (node->type != NODE_SEQUENCE && node->type != NODE_NULL)
		return wrong_type(reader, option, node, "a list", "Begin each item with '- '.");

	struct struct_list list = { .items = arena_alloc_array(reader->arena, count ? count : 1,
							       size) };

	if (!list.items || !check_count(reader, option, node, count))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct node *item = &node->items[i];
		struct node storage[2], expanded;

		if (!is_list_item(reader, option, item))
			continue;
		if (item->type == NODE_SCALAR) {
			expanded = expand_shorthand(table, item, storage);
			item = &expanded;
		}
		if (!read_item(reader, table, item, &list))
			return false;
	}
	*(struct struct_list *)field = list;
	return true;
}

/* ----------------------------------------------------------------- mappings */

static bool read_table(struct reader *reader, const struct option *option, const struct node *node,
		       void *field)
{
	struct chain chain = chain_of(option->table, NULL);
	struct node empty = { .type = NODE_MAPPING, .at = node->at };

	if (node->type != NODE_MAPPING && node->type != NODE_NULL)
		return wrong_type(reader, option, node, "a mapping", NULL);
	if (node->type == NODE_NULL)
		node = &empty;
	if ((option->flags & OPTION_NOT_EMPTY) && node->count == 0 && !node->incomplete)
		diagnostics_add(reader->list, SEVERITY_ERROR, "empty-value", node->at, NULL,
				"'%s' may not be empty", option->name);
	check_keys(reader, &chain, node, NULL);
	read_mapping(reader, &chain, node, field);
	return true;
}

typedef bool read_value_fn(struct reader *reader, const struct option *option,
			   const struct node *node, void *field);

static const struct {
	read_value_fn *read;
	bool null_is_empty; /* else a null value counts as not given */
} readers[] = {
	[OPTION_BOOL] = { read_bool, false },	   [OPTION_INT] = { read_number, false },
	[OPTION_SECONDS] = { read_number, false }, [OPTION_BYTES] = { read_number, false },
	[OPTION_PERCENT] = { read_number, false }, [OPTION_DATE] = { read_number, false },
	[OPTION_ENUM] = { read_enum, false },	   [OPTION_STRING] = { read_string, false },
	[OPTION_PATH] = { read_path, false },	   [OPTION_STRINGS] = { read_strings, true },
	[OPTION_TABLE] = { read_table, true },	   [OPTION_LIST] = { read_list, true },
	[OPTION_PAIRS] = { read_pairs, true },
};

/* A default in flow style as nodes, parsed once for all items. */
static struct node parse_default(struct reader *reader, const struct option *option)
{
	struct source_file file = { .path = "default",
				    .text = option->default_text,
				    .size = strlen(option->default_text) };
	struct node node;
	size_t nodes = 0;

	for (size_t i = 0; i < reader->default_count; i++)
		if (reader->defaults[i].option == option)
			return reader->defaults[i].node;
	source_parse(&file, reader->arena, &nodes, reader->list, &node);
	if (reader->default_count < DEFAULTS_KEPT)
		reader->defaults[reader->default_count++] = (struct parsed_default){ option, node };
	return node;
}

static struct node default_node(struct reader *reader, const struct option *option)
{
	char first = option->default_text[0];

	if (first == '[' || first == '{')
		return parse_default(reader, option);
	return (struct node){ .type = NODE_SCALAR,
			      .plain = true,
			      .count = (uint32_t)strlen(option->default_text),
			      .text = option->default_text };
}

static void set_default(struct reader *reader, const struct option *option, void *field)
{
	if (option->flags & OPTION_MARK_ABSENT) {
		*(int64_t *)field = -1;
	} else if (option->default_text) {
		struct node node = default_node(reader, option);

		readers[option->type].read(reader, option, &node, field);
	} else if (option->type == OPTION_TABLE) {
		struct chain chain = chain_of(option->table, NULL);

		set_defaults(reader, &chain, field);
	}
}

static void set_defaults(struct reader *reader, const struct chain *chain, void *item)
{
	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			set_default(reader, o, (char *)item + o->offset);
}

static void read_option(struct reader *reader, const struct option *option,
			const struct node *mapping, void *item)
{
	const struct node *node = mapping_get(mapping, option->name);
	void *field = (char *)item + option->offset;
	bool given = node && (node->type != NODE_NULL || readers[option->type].null_is_empty);

	if (!given && (option->flags & OPTION_REQUIRED) && !mapping->incomplete &&
	    !(mapping == reader->typed && strcmp(option->name, "type") == 0))
		report_missing_key(reader, mapping, option->name, option->help);
	if (!given || !readers[option->type].read(reader, option, node, field))
		set_default(reader, option, field);
}

/* All rows of a mapping; unknown keys are the caller's business. */
static void read_mapping(struct reader *reader, const struct chain *chain, const struct node *node,
			 void *item)
{
	*(struct position *)item = node->at;
	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			read_option(reader, o, node, item);
	for (size_t i = chain->count; i-- > 0 && !node->incomplete;)
		if (chain->tables[i]->check)
			chain->tables[i]->check(item, reader->list);
}

void options_parse(const struct option_table *root, const struct document *document,
		   struct arena *arena, void *ret_config, struct diagnostics *list)
{
	static const struct document nothing = { .root = { .type = NODE_MAPPING,
							   .incomplete = true } };
	struct reader reader = { .document = document ? document : &nothing,
				 .arena = arena,
				 .list = list };
	const struct node *node = &reader.document->root;
	struct chain chain = chain_of(root, NULL);

	memset(ret_config, 0, root->struct_size);
	check_keys(&reader, &chain, node, include_option.name);
	read_mapping(&reader, &chain, node, ret_config);
	if (arena_failed(arena))
		report(&reader, node, "too-large", NULL,
		       "not enough memory for this configuration");
}
