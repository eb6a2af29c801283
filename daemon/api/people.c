/*
 * Files of people. Enters: CSV with a header line, or JSON: {"users": [{…}, …]}; anybody's bytes. Leaves: rows for
 * change/, each with what is wrong with it by its form alone. Fails on what makes the file as a whole something else:
 * a column that nobody knows would be lost in silence otherwise.
 *
 * Of JSON one element at a time is in memory, of a row's size at most: a tree takes many times what its text does.
 */
#include "people.h"

#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/csv.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "elements.h"

#define CELL_MAX ((size_t)4096)
#define LIST_MAX 1000
/* As many accounts as a user can have, each as long as it can be and written with %XX. */
#define LIST_BYTES_MAX ((size_t)1024 * 1024)
#define ELEMENT_MAX ((size_t)1024 * 1024)

#define TEXT(member) offsetof(struct import_row, member), false, GRANT_KINDS
#define LIST(member, kind) offsetof(struct import_row, member), true, kind

static const struct {
	const char *name, *alias;
	size_t offset; /* in struct import_row: of a text, or of struct import_names */
	bool is_list;
	enum grant_kind kind; /* GRANT_KINDS: no grants */
} columns[PEOPLE_COLUMNS] = {
	[PEOPLE_USER_ID] = { "user_id", "id", TEXT(user_id) },
	[PEOPLE_EXTERNAL_ID] = { "external_id", NULL, TEXT(external_id) },
	[PEOPLE_USERNAME] = { "username", NULL, TEXT(username) },
	[PEOPLE_EMAIL] = { "email", NULL, TEXT(email) },
	[PEOPLE_DISPLAY_NAME] = { "display_name", "name", TEXT(display_name) },
	[PEOPLE_ORGANIZATION] = { "organization", NULL, TEXT(organization) },
	[PEOPLE_PROFILE] = { "profile", NULL, TEXT(profile) },
	[PEOPLE_ROLES] = { "roles", "role", LIST(names[GRANT_ROLE], GRANT_ROLE) },
	[PEOPLE_PERSONAS] = { "personas", "persona", LIST(names[GRANT_PERSONA], GRANT_PERSONA) },
	[PEOPLE_GROUPS] = { "groups", "group", LIST(names[GRANT_GROUP], GRANT_GROUP) },
	[PEOPLE_ACCOUNTS] = { "accounts", "account_id", LIST(accounts, GRANT_KINDS) },
	[PEOPLE_STATE] = { "state", NULL, TEXT(state) },
};

struct people_reader {
	enum people_format format;
	struct csv *csv;
	enum people_column *header;
	size_t header_count;
	struct elements json;
	uint64_t number; /* of JSON */
	bool ended;
};

const char *people_column_name(enum people_column column)
{
	return columns[column].name;
}

enum grant_kind people_column_kind(enum people_column column)
{
	return columns[column].kind;
}

void people_csv_header(struct strbuf *out)
{
	for (int i = 0; i < PEOPLE_COLUMNS; i++)
		strbuf_printf(out, "%s%s", i ? "," : "", columns[i].name);
	strbuf_puts(out, "\r\n");
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "out of memory");
}

/* PEOPLE_COLUMNS: none of that name. */
static enum people_column find_column(const char *name)
{
	int i = 0;

	while (i < PEOPLE_COLUMNS && !text_ascii_equal_caseless(columns[i].name, name) &&
	       !(columns[i].alias && text_ascii_equal_caseless(columns[i].alias, name)))
		i++;
	return (enum people_column)i;
}

/* --- what is wrong with one row --- */

static int fail_row(struct import_result *result, struct arena *arena, const char *code,
		    const char *field, const char *message, struct err *err)
{
	result->status = IMPORT_FAILED;
	result->code = code;
	result->field = field;
	result->message = message ? arena_strdup(arena, message) : NULL;
	return result->message ? 1 : no_memory(err);
}

static char *trim(struct arena *arena, const char *text, size_t size)
{
	while (size > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		size--;
	}
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	return arena_strndup(arena, text, size);
}

static struct import_names *list_of(struct import_row *row, enum people_column column)
{
	return (struct import_names *)(void *)((char *)row + columns[column].offset);
}

static void set_text(struct import_row *row, enum people_column column, const char *text)
{
	*(const char **)(void *)((char *)row + columns[column].offset) = text;
}

/* 0, or what fail_row returned. */
static int check_text(const char *text, size_t size, enum people_column column,
		      struct import_result *result, struct arena *arena, struct err *err)
{
	size_t max = columns[column].is_list ? LIST_BYTES_MAX : CELL_MAX;
	const char *name = columns[column].name;

	if (size > max)
		return fail_row(result, arena, "too-large", name,
				arena_printf(arena, "%s is longer than %zu bytes", name, max), err);
	if (!text_is_utf8(text, size))
		return fail_row(result, arena, "invalid-request", name,
				arena_printf(arena, "%s is not UTF-8", name), err);
	return 0;
}

/* --- CSV --- */

static int read_header(struct people_reader *reader, struct arena *arena, const char **ret_field,
		       struct err *err)
{
	unsigned seen = 0;
	struct csv_row row;
	int more = csv_next(reader->csv, &row);

	if (more < 0)
		return no_memory(err);
	if (more == 0 || row.problem)
		return err_set(err, ERR_INVALID, "the file has no header line");
	reader->header = alloc_zeroed(row.count, sizeof(*reader->header));
	if (!reader->header)
		return no_memory(err);
	for (size_t i = 0; i < row.count; i++) {
		const char *name = trim(arena, row.cells[i].text, row.cells[i].size);
		enum people_column column = name ? find_column(name) : PEOPLE_COLUMNS;

		if (!name)
			return no_memory(err);
		*ret_field = name;
		if (column == PEOPLE_COLUMNS)
			return err_refuse(err, ERR_INVALID, "unknown-column",
					  "column %zu has a name that is not known", i + 1);
		if (seen & 1u << column)
			return err_refuse(err, ERR_INVALID, "duplicate-column",
					  "column '%s' is there twice", columns[column].name);
		seen |= 1u << column;
		reader->header[i] = column;
	}
	reader->header_count = row.count;
	*ret_field = NULL;
	if (seen & (1u << PEOPLE_USER_ID | 1u << PEOPLE_EXTERNAL_ID | 1u << PEOPLE_USERNAME |
		    1u << PEOPLE_EMAIL))
		return 0;
	*ret_field = columns[PEOPLE_USERNAME].name;
	return err_refuse(err, ERR_INVALID, "missing-column",
			  "one of user_id, external_id, username and email must be there");
}

void people_put_item(struct strbuf *out, const char *text, bool first)
{
	size_t size = strlen(text);

	if (!first)
		strbuf_putc(out, PEOPLE_LIST_SEPARATOR);
	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		bool outer = (i == 0 || i == size - 1) && c == ' ';

		if (c == PEOPLE_LIST_SEPARATOR || c == '%' || outer)
			strbuf_printf(out, "%%%02X", (unsigned)c);
		else
			strbuf_putc(out, c);
	}
}

/* In place: any other '%' is one. */
static void unescape(char *text)
{
	static const struct {
		const char *code;
		char c;
	} codes[] = { { "%25", '%' }, { "%3B", PEOPLE_LIST_SEPARATOR }, { "%20", ' ' } };
	char *to = text;

	for (const char *at = text; *at; at++) {
		size_t i = 0;

		while (i < ARRAY_LEN(codes) && strncmp(at, codes[i].code, 3) != 0)
			i++;
		*to++ = i < ARRAY_LEN(codes) ? codes[i].c : *at;
		at += i < ARRAY_LEN(codes) ? 2 : 0;
	}
	*to = '\0';
}

/* "a; b" as a list. 0, or what fail_row returned. */
static int split_list(const char *text, enum people_column column, struct import_row *row,
		      struct import_result *result, struct arena *arena, struct err *err)
{
	struct import_names *names = list_of(row, column);
	size_t count = 1;
	const char **items;

	for (const char *at = text; *at; at++)
		count += *at == PEOPLE_LIST_SEPARATOR;
	if (count > LIST_MAX)
		return fail_row(result, arena, "too-large", columns[column].name,
				"the list has more than 1000 items", err);
	items = arena_alloc_array(arena, count, sizeof(*items));
	if (!items)
		return no_memory(err);
	*names = (struct import_names){ .given = true, .names = items };
	for (const char *at = text;; at++) {
		size_t size = strcspn(at, (char[]){ PEOPLE_LIST_SEPARATOR, '\0' });
		char *item = trim(arena, at, size);

		if (!item)
			return no_memory(err);
		unescape(item);
		if (item[0])
			items[names->count++] = item;
		at += size;
		if (*at == '\0')
			break;
	}
	return 0;
}

static int take_cell(const struct csv_cell *cell, enum people_column column, struct import_row *row,
		     struct import_result *result, struct arena *arena, struct err *err)
{
	int checked = check_text(cell->text, cell->size, column, result, arena, err);
	const char *text;

	if (checked != 0)
		return checked;
	text = trim(arena, cell->text, cell->size);
	if (!text)
		return no_memory(err);
	if (columns[column].is_list)
		return split_list(text, column, row, result, arena, err);
	set_text(row, column, csv_text(text));
	return 0;
}

static int next_csv(struct people_reader *reader, struct arena *arena, struct import_row *row,
		    struct import_result *result, struct err *err)
{
	struct csv_row cells;
	int more = csv_next(reader->csv, &cells);

	if (more <= 0)
		return more < 0 ? no_memory(err) : 0;
	row->number = cells.line;
	if (cells.problem)
		return fail_row(result, arena, "malformed-row", NULL, cells.problem, err);
	if (cells.count != reader->header_count)
		return fail_row(result, arena, "malformed-row", NULL,
				arena_printf(arena, "%zu cells under %zu columns", cells.count,
					     reader->header_count),
				err);
	for (size_t i = 0; i < cells.count; i++) {
		int taken = take_cell(&cells.cells[i], reader->header[i], row, result, arena, err);

		if (taken != 0)
			return taken;
	}
	return 1;
}

/* --- JSON --- */

static int not_ours(struct err *err)
{
	return err_set(err, ERR_INVALID, "the body must be {\"users\": [{…}, …]} and nothing else");
}

static int begin_json(struct people_reader *reader, struct err *err)
{
	if (!elements_skip(&reader->json, "{") || !elements_skip(&reader->json, "\"users\"") ||
	    !elements_skip(&reader->json, ":") || !elements_skip(&reader->json, "["))
		return not_ours(err);
	if (elements_skip(&reader->json, "]"))
		reader->ended = true;
	return reader->ended && !elements_skip(&reader->json, "}") ? not_ours(err) : 0;
}

/* Behind an element. */
static int end_element(struct people_reader *reader, struct err *err)
{
	if (elements_skip(&reader->json, ","))
		return 0;
	if (!elements_skip(&reader->json, "]") || !elements_skip(&reader->json, "}"))
		return not_ours(err);
	reader->ended = true;
	return elements_ended(&reader->json) ? 0 : not_ours(err);
}

static int take_list(json_t *value, enum people_column column, struct import_row *row,
		     struct import_result *result, struct arena *arena, struct err *err)
{
	const char *name = columns[column].name;
	struct import_names *names = list_of(row, column);
	size_t count = json_array_size(value);
	const char **items;

	if (!json_is_array(value))
		return fail_row(result, arena, "invalid-request", name,
				arena_printf(arena, "%s must be a list", name), err);
	if (count > LIST_MAX)
		return fail_row(result, arena, "too-large", name,
				"the list has more than 1000 items", err);
	items = arena_alloc_array(arena, count ? count : 1, sizeof(*items));
	if (!items)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (!text)
			return fail_row(result, arena, "invalid-request", name,
					arena_printf(arena, "%s must be a list of strings", name),
					err);
		items[i] = arena_strdup(arena, text);
		if (!items[i])
			return no_memory(err);
	}
	*names = (struct import_names){ .given = true, .names = items, .count = count };
	return 0;
}

static int take_member(const char *key, json_t *value, struct import_row *row,
		       struct import_result *result, struct arena *arena, struct err *err)
{
	enum people_column column = find_column(key);
	const char *text = json_string_value(value), *copy;
	int checked;

	if (column == PEOPLE_COLUMNS)
		return fail_row(result, arena, "invalid-request", NULL,
				arena_printf(arena, "field '%.100s' is not known", key), err);
	/* As leaving it out. */
	if (json_is_null(value))
		return 0;
	if (columns[column].is_list)
		return take_list(value, column, row, result, arena, err);
	if (!text)
		return fail_row(result, arena, "invalid-request", columns[column].name,
				arena_printf(arena, "%s must be a string", columns[column].name),
				err);
	checked = check_text(text, json_string_length(value), column, result, arena, err);
	if (checked != 0)
		return checked;
	copy = arena_strdup(arena, text);
	if (!copy)
		return no_memory(err);
	set_text(row, column, copy);
	return 0;
}

static int take_object(json_t *object, struct import_row *row, struct import_result *result,
		       struct arena *arena, struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return fail_row(result, arena, "malformed-row", NULL,
				"a user must be a JSON object", err);
	json_object_foreach(object, key, value) {
		int taken = take_member(key, value, row, result, arena, err);

		if (taken != 0)
			return taken;
	}
	return 1;
}

static int next_json(struct people_reader *reader, struct arena *arena, struct import_row *row,
		     struct import_result *result, struct err *err)
{
	bool is_long = false;
	json_t *object;
	int taken;

	if (reader->ended)
		return 0;
	row->number = ++reader->number;
	object = elements_value(&reader->json, ELEMENT_MAX, &is_long, err);
	if (!object && is_long)
		return err_set(err, ERR_INVALID, "user %llu is longer than 1 MiB",
			       (unsigned long long)reader->number);
	if (!object)
		return err_wrap(err, "user %llu", (unsigned long long)reader->number);
	taken = take_object(object, row, result, arena, err);
	json_decref(object);
	return taken > 0 && end_element(reader, err) < 0 ? -1 : taken;
}

/* --- both --- */

struct people_reader *people_open(enum people_format format, const char *body, size_t size,
				  struct arena *arena, const char **ret_field, struct err *err)
{
	struct people_reader *reader = alloc_zeroed(1, sizeof(*reader));
	int result;

	*ret_field = NULL;
	if (reader && format == PEOPLE_CSV)
		reader->csv = csv_open(body, size, ',');
	if (!reader || (format == PEOPLE_CSV && !reader->csv)) {
		people_close(reader);
		no_memory(err);
		return NULL;
	}
	reader->format = format;
	reader->json = (struct elements){ .body = body, .size = size };
	result = format == PEOPLE_CSV ? read_header(reader, arena, ret_field, err)
				      : begin_json(reader, err);
	if (result == 0)
		return reader;
	people_close(reader);
	return NULL;
}

void people_close(struct people_reader *reader)
{
	if (!reader)
		return;
	csv_close(reader->csv);
	free(reader->header);
	free(reader);
}

int people_next(struct people_reader *reader, struct arena *arena, struct import_row *ret_row,
		struct import_result *ret_result, struct err *err)
{
	*ret_row = (struct import_row){ 0 };
	*ret_result = (struct import_result){ 0 };
	return reader->format == PEOPLE_CSV ? next_csv(reader, arena, ret_row, ret_result, err)
					    : next_json(reader, arena, ret_row, ret_result, err);
}

size_t people_offset(const struct people_reader *reader)
{
	return reader->format == PEOPLE_CSV ? csv_offset(reader->csv) : reader->json.at;
}
