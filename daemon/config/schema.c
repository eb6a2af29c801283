/*
 * JSON Schema 2020-12 out of option tables. Enters: tables. Leaves: a schema
 * that accepts whatever the parser accepts (a plain number where a text is
 * asked for, nothing behind a colon where that means the default) and refuses
 * what editors can see to be wrong. Fails only with its buffer.
 */
#include <inttypes.h>
#include <string.h>

#include <rolebridge/base/json.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "table.h"
#include "tree.h"
#include "values.h"

static void schema_table(struct json *json, const char *key, const struct chain *chain,
			 const char *type_name, bool nullable, const struct option *extra);

static void schema_types(struct json *json, const char *const *names, size_t count, bool nullable)
{
	if (count == 1 && !nullable) {
		json_string(json, "type", names[0]);
		return;
	}
	json_array_key(json, "type");
	for (size_t i = 0; i < count; i++)
		json_string(json, NULL, names[i]);
	if (nullable)
		json_string(json, NULL, "null");
	json_end(json);
}

#define SCHEMA_TYPES(json, nullable, ...) \
	schema_types(json, (const char *const[]){ __VA_ARGS__ }, \
		     ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })), nullable)

static void schema_bound(struct json *json, const char *key, int64_t value)
{
	if (value != INT64_MIN && value != INT64_MAX)
		json_int(json, key, value);
}

static void schema_number(struct json *json, const struct option *option, bool nullable)
{
	const struct value_form *form = value_form(option->type);
	int64_t min, max;

	if (option->type == OPTION_DATE) {
		SCHEMA_TYPES(json, nullable, "string");
	} else {
		option_range(option, &min, &max);
		if (form->pattern)
			SCHEMA_TYPES(json, nullable, "integer", "string");
		else
			SCHEMA_TYPES(json, nullable, "integer");
		schema_bound(json, "minimum", min);
		schema_bound(json, "maximum", max);
	}
	if (form->pattern)
		json_string(json, "pattern", form->pattern);
}

/* Lengths are bytes here, characters there: a bound that refuses nothing good. */
static void schema_text(struct json *json, const struct option *option, bool nullable)
{
	bool not_empty = (option->flags & OPTION_NOT_EMPTY) || option->type == OPTION_PATH;
	int64_t min = (option->min + 3) / 4;

	SCHEMA_TYPES(json, nullable, "string", "number", "boolean");
	if (min == 0 && not_empty)
		min = 1;
	if (min > 0)
		json_int(json, "minLength", min);
	if (option->max > 0)
		json_int(json, "maxLength", option->max);
}

static void schema_enum(struct json *json, const struct option *option, bool nullable)
{
	json_array_key(json, "enum");
	for (size_t i = 0; i < option_choices(option); i++)
		json_string(json, NULL, option->choices[i]);
	if (nullable)
		json_null(json, NULL);
	json_end(json);
}

static void schema_plain_text(struct json *json, const char *key)
{
	if (key)
		json_object_key(json, key);
	else
		json_object(json);
	SCHEMA_TYPES(json, false, "string", "number", "boolean");
	json_end(json);
}

static void schema_count(struct json *json, const struct option *option)
{
	int64_t min = option->min;

	if (min == 0 && (option->flags & OPTION_NOT_EMPTY))
		min = 1;
	if (min > 0)
		json_int(json, "minItems", min);
	if (option->max > 0)
		json_int(json, "maxItems", option->max);
}

/* One text stands for a list of one. */
static void schema_strings(struct json *json, const struct option *option, bool nullable)
{
	if (option->min > 1)
		SCHEMA_TYPES(json, nullable, "array");
	else
		SCHEMA_TYPES(json, nullable, "array", "string", "number", "boolean");
	schema_plain_text(json, "items");
	schema_count(json, option);
}

static void schema_pairs(struct json *json, const struct option *option, bool nullable)
{
	SCHEMA_TYPES(json, nullable, "object");
	if (option->min > 0 || (option->flags & OPTION_NOT_EMPTY))
		json_int(json, "minProperties", option->min > 0 ? option->min : 1);
	if (option->max > 0)
		json_int(json, "maxProperties", option->max);
	json_object_key(json, "additionalProperties");
	SCHEMA_TYPES(json, true, "array", "string", "number", "boolean");
	schema_plain_text(json, "items");
	json_end(json);
}

static void schema_variants(struct json *json, const struct option_table *table)
{
	json_object_key(json, "items");
	json_array_key(json, "oneOf");
	for (size_t i = 0; table->variants[i]; i++) {
		struct chain chain = chain_of(table->variants[i], table);

		schema_table(json, NULL, &chain, table->variants[i]->name, false, NULL);
	}
	json_end(json);
	json_end(json);
}

static void schema_list(struct json *json, const struct option *option, bool nullable)
{
	const struct option_table *table = option->table;
	struct chain chain = chain_of(table, NULL);

	SCHEMA_TYPES(json, nullable, "array");
	schema_count(json, option);
	if (table->variants) {
		schema_variants(json, table);
	} else if (table->shorthand) {
		json_object_key(json, "items");
		json_array_key(json, "anyOf");
		schema_plain_text(json, NULL);
		schema_table(json, NULL, &chain, NULL, false, NULL);
		json_end(json);
		json_end(json);
	} else {
		schema_table(json, "items", &chain, NULL, false, NULL);
	}
}

static void schema_default_node(struct json *json, const char *key, const struct node *node)
{
	switch (node->type) {
	case NODE_SCALAR: json_string(json, key, node->text); break;
	case NODE_SEQUENCE:
		if (key)
			json_array_key(json, key);
		else
			json_array(json);
		for (uint32_t i = 0; i < node->count; i++)
			schema_default_node(json, NULL, &node->items[i]);
		json_end(json);
		break;
	case NODE_MAPPING:
		if (key)
			json_object_key(json, key);
		else
			json_object(json);
		for (uint32_t i = 0; i < node->count; i++)
			schema_default_node(json, node->items[2 * (size_t)i].text,
					    &node->items[2 * (size_t)i + 1]);
		json_end(json);
		break;
	default: json_null(json, key); break;
	}
}

/* As JSON: numbers and booleans as such, what is in flow style as lists and objects. */
static void schema_default(struct json *json, const struct option *option)
{
	const char *text = option->default_text;

	if (!text)
		return;
	if (*text == '[' || *text == '{') {
		AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		struct source_file file = { .path = "", .text = text, .size = strlen(text) };
		struct node node = { .type = NODE_NULL };
		size_t nodes = 0;

		if (arena && list)
			source_parse(&file, arena, &nodes, list, &node);
		schema_default_node(json, "default", &node);
	} else if (option->type == OPTION_BOOL || option->type == OPTION_INT) {
		json_raw(json, "default", text);
	} else {
		json_string(json, "default", text);
	}
}

/* Rows that must be given make an empty mapping wrong. */
static bool has_required(const struct chain *chain)
{
	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			if (o->flags & OPTION_REQUIRED)
				return true;
	return false;
}

static bool is_nullable(const struct option *option)
{
	struct chain chain;

	switch (option->type) {
	case OPTION_STRINGS:
	case OPTION_LIST:
	case OPTION_PAIRS: return !(option->flags & OPTION_NOT_EMPTY) && option->min <= 0;
	case OPTION_TABLE:
		chain = chain_of(option->table, NULL);
		return !(option->flags & OPTION_NOT_EMPTY) && !has_required(&chain);
	default: return !(option->flags & OPTION_REQUIRED);
	}
}

static void schema_option(struct json *json, const struct option *option)
{
	bool nullable = is_nullable(option);
	struct chain chain;

	if (option->type == OPTION_TABLE) {
		chain = chain_of(option->table, NULL);
		schema_table(json, option->name, &chain, NULL, nullable, option);
		return;
	}
	json_object_key(json, option->name);
	if (option->help)
		json_string(json, "description", option->help);
	switch (option->type) {
	case OPTION_BOOL: SCHEMA_TYPES(json, nullable, "boolean"); break;
	case OPTION_ENUM: schema_enum(json, option, nullable); break;
	case OPTION_STRING:
	case OPTION_PATH: schema_text(json, option, nullable); break;
	case OPTION_STRINGS: schema_strings(json, option, nullable); break;
	case OPTION_PAIRS: schema_pairs(json, option, nullable); break;
	case OPTION_LIST: schema_list(json, option, nullable); break;
	default: schema_number(json, option, nullable); break;
	}
	schema_default(json, option);
	json_end(json);
}

static void schema_required(struct json *json, const struct chain *chain, const char *type_name)
{
	if (!type_name && !has_required(chain))
		return;
	json_array_key(json, "required");
	if (type_name)
		json_string(json, NULL, "type");
	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			if ((o->flags & OPTION_REQUIRED) &&
			    !(type_name && strcmp(o->name, "type") == 0))
				json_string(json, NULL, o->name);
	json_end(json);
}

static void schema_properties(struct json *json, const struct chain *chain, const char *type_name)
{
	json_object_key(json, "properties");
	if (type_name) {
		json_object_key(json, "type");
		json_string(json, "const", type_name);
		json_end(json);
	}
	for (size_t i = 0; i < chain->count; i++)
		for (const struct option *o = chain->tables[i]->options; o && o->name; o++)
			if (!(type_name && strcmp(o->name, "type") == 0))
				schema_option(json, o);
}

/* The words of an object: open by the caller, closed here. */
static void schema_object(struct json *json, const struct chain *chain, const char *type_name,
			  bool nullable, const struct option *extra)
{
	SCHEMA_TYPES(json, nullable, "object");
	schema_required(json, chain, type_name);
	if (extra && extra->type == OPTION_TABLE && (extra->flags & OPTION_NOT_EMPTY))
		json_int(json, "minProperties", 1);
	schema_properties(json, chain, type_name);
	if (extra && extra->type != OPTION_TABLE && !chain_find(chain, extra->name))
		schema_option(json, extra);
	json_end(json);
	json_bool(json, "additionalProperties", false);
	json_end(json);
}

/*
 * type_name: the variant's value of `type`, or NULL. extra: the row that holds
 * the table; or, at the root, a further row.
 */
static void schema_table(struct json *json, const char *key, const struct chain *chain,
			 const char *type_name, bool nullable, const struct option *extra)
{
	const char *help = extra && extra->help ? extra->help : chain->tables[0]->help;

	if (key)
		json_object_key(json, key);
	else
		json_object(json);
	if (help)
		json_string(json, "description", help);
	schema_object(json, chain, type_name, nullable, extra);
}

#define INLINE_BYTES_MAX 72

/* Bytes of the string, quotes included, that begins at text. */
static size_t json_string_size(const char *text)
{
	size_t size = 1;

	while (text[size] != '"')
		size += text[size] == '\\' ? 2 : 1;
	return size + 1;
}

/* Bytes of a short list of plain values, or of an empty list or object; else 0. */
static size_t json_inline_size(const char *text)
{
	size_t size = 1;

	if ((text[0] == '[' || text[0] == '{') && (text[1] == ']' || text[1] == '}'))
		return 2;
	if (text[0] != '[')
		return 0;
	while (text[size] != ']' && size < INLINE_BYTES_MAX) {
		if (text[size] == '[' || text[size] == '{')
			return 0;
		size += text[size] == '"' ? json_string_size(text + size) : 1;
	}
	return size < INLINE_BYTES_MAX ? size + 1 : 0;
}

/* Copy what stays on one line, with a space behind each comma. */
static void copy_inline(const char *text, size_t size, struct strbuf *out)
{
	for (size_t i = 0; i < size;) {
		size_t part = text[i] == '"' ? json_string_size(text + i) : 1;

		strbuf_append(out, text + i, part);
		if (text[i] == ',' && size > 1)
			strbuf_putc(out, ' ');
		i += part;
	}
}

static void indent_line(struct strbuf *out, unsigned depth)
{
	strbuf_printf(out, "\n%*s", (int)(2 * depth), "");
}

/* One line of JSON, as our writer makes it, as indented lines. */
static void indent_json(const char *text, struct strbuf *out)
{
	unsigned depth = 0;

	while (*text) {
		size_t size = json_inline_size(text);

		if (size == 0)
			size = *text == '"' ? json_string_size(text) : 1;
		if (*text == '}' || *text == ']')
			indent_line(out, --depth);
		copy_inline(text, size, out);
		if (size == 1 && (*text == '{' || *text == '['))
			indent_line(out, ++depth);
		else if (*text == ',')
			indent_line(out, depth);
		else if (*text == ':')
			strbuf_putc(out, ' ');
		text += size;
	}
	strbuf_putc(out, '\n');
}

void options_print_schema(const struct option_table *root, struct strbuf *out)
{
	AUTO(strbuf) struct strbuf text = STRBUF(16 * 1024 * 1024);
	struct json json = JSON(&text);
	struct chain chain = chain_of(root, NULL);

	json_object(&json);
	json_string(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_string(&json, "title", root->name);
	if (root->help)
		json_string(&json, "description", root->help);
	/* An empty file is an empty mapping. */
	schema_object(&json, &chain, NULL, !has_required(&chain), &include_option);
	if (strbuf_failed(&text))
		out->failed = true;
	else
		indent_json(strbuf_text(&text), out);
}
