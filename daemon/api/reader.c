/*
 * Reader of request bodies. Enters: hostile bytes, at most the route's cap.
 * Leaves: a struct, or an error that names the field. jansson bounds the
 * depth (2,048) and refuses what is not UTF-8, NUL and keys given twice.
 *
 * The body's own members are read one by one, and of its lists each item by itself: never is more of it a tree
 * in memory than the longest item its fields allow.
 */
#include "reader.h"

#include <strings.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "elements.h"

#define FIELDS_MAX 32
/* Spaces, braces, and names that are not known. */
#define ITEM_MORE ((size_t)64 * 1024)
#define ITEM_MAX ((size_t)64 * 1024 * 1024)
#define LIST_FIRST 16
#define DAY_S 86400

struct reading {
	struct http_request *request;
	struct err *err;
	const char *where; /* "" or "files[2]." */
};

static int read_object(const struct reading *reading, json_t *object, const struct field *fields,
		       size_t count, char *target);

static void json_auto(json_t **json)
{
	json_decref(*json);
}

/* The field's full name, escaped for display by whoever shows it. */
static int refuse(const struct reading *reading, const char *name, const char *what)
{
	struct http_request *request = reading->request;
	const char *full = arena_printf(request->arena, "%s%s", reading->where, name);

	if (!full)
		return err_set(reading->err, ERR_MEMORY, "out of memory");
	request->error_field = full;
	return err_set(reading->err, ERR_INVALID, "field '%s' %s", full, what);
}

static int read_text(const struct reading *reading, const struct field *field, json_t *value,
		     const char **ret_text)
{
	const char *text = json_string_value(value);
	size_t size = json_string_length(value);

	if (!text)
		return refuse(reading, field->name, "must be a string");
	if (size > field->max)
		return refuse(reading, field->name,
			      arena_printf(reading->request->arena, "is longer than %zu bytes",
					   field->max));
	for (size_t i = 0; field->type == FIELD_TEXT && i < size; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return refuse(reading, field->name, "holds a control character");
	}

	char *copy = arena_strndup(reading->request->arena, text, size);

	if (!copy)
		return err_set(reading->err, ERR_MEMORY, "out of memory");
	*ret_text = copy;
	return 0;
}

/* A day counts until its end: grants given "until 31 January" hold that day. */
static int read_date(const struct reading *reading, const struct field *field, json_t *value,
		     int64_t *ret_time_s)
{
	const char *text = json_string_value(value);
	int64_t time_s;

	if (!text)
		return refuse(reading, field->name, "must be a string");
	if (clock_parse_date(text, &time_s, NULL) == 0)
		time_s += DAY_S;
	else if (clock_parse(text, &time_s, NULL) < 0)
		time_s = 0;
	/* 0 means "none" everywhere else: the end of 1969 must not become for ever. */
	if (time_s <= 0)
		return refuse(reading, field->name, "must be a date like 2026-01-31");
	*ret_time_s = time_s;
	return 0;
}

/* An item of a list alone is refused. */
static void note_refusal(const struct reading *inner, void *item, size_t size)
{
	struct http_request *request = inner->request;
	size_t where = strlen(inner->where);
	const char *field = request->error_field;
	struct field_refusal refusal = {
		.message = arena_strdup(request->arena, inner->err->text),
		/* Of an item that is no object it is the item itself. */
		.field = field && strncmp(field, inner->where, where) == 0 ? field + where : NULL,
	};

	memset(item, 0, size);
	*(struct field_refusal *)item = refusal;
	request->error_field = NULL;
	err_clear(inner->err);
}

static int read_list(const struct reading *reading, const struct field *field, json_t *value,
		     struct field_list *ret_list)
{
	struct arena *arena = reading->request->arena;
	struct reading inner = *reading;
	struct field_list list = { .count = json_array_size(value) };
	size_t fields = 0;

	if (!json_is_array(value))
		return refuse(reading, field->name, "must be a list");
	if (list.count > field->max)
		return refuse(reading, field->name,
			      arena_printf(arena, "has more than %zu items", field->max));
	while (field->items[fields].name)
		fields++;
	list.items = arena_alloc_array(arena, list.count ? list.count : 1, field->item_size);
	for (size_t i = 0; list.items && i < list.count; i++) {
		char *item = (char *)list.items + i * field->item_size;

		inner.where = arena_printf(arena, "%s%s[%zu].", reading->where, field->name, i);
		if (!inner.where)
			break;
		if (read_object(&inner, json_array_get(value, i), field->items, fields, item) == 0)
			continue;
		if (!(field->flags & FIELD_EACH) || reading->err->code != ERR_INVALID)
			return -1;
		note_refusal(&inner, item, field->item_size);
	}
	if (arena_failed(arena))
		return err_set(reading->err, ERR_MEMORY, "out of memory");
	*ret_list = list;
	return 0;
}

static int read_texts(const struct reading *reading, const struct field *field, json_t *value,
		      struct field_list *ret_list)
{
	struct arena *arena = reading->request->arena;
	struct field_list list = { .count = json_array_size(value) };
	const char **items;

	if (!json_is_array(value))
		return refuse(reading, field->name, "must be a list");
	if (list.count > field->max)
		return refuse(reading, field->name,
			      arena_printf(arena, "has more than %zu items", field->max));
	items = arena_alloc_array(arena, list.count ? list.count : 1, sizeof(*items));
	for (size_t i = 0; items && i < list.count; i++) {
		const struct field item = {
			.name = arena_printf(arena, "%s[%zu]", field->name, i),
			.type = FIELD_TEXT,
			.max = field->item_size,
		};

		if (!item.name)
			break;
		if (read_text(reading, &item, json_array_get(value, i), &items[i]) < 0)
			return -1;
	}
	if (arena_failed(arena))
		return err_set(reading->err, ERR_MEMORY, "out of memory");
	list.items = items;
	*ret_list = list;
	return 0;
}

static int read_int(const struct reading *reading, const struct field *field, json_t *value,
		    int64_t *ret_number)
{
	json_int_t number = json_integer_value(value);

	bool positive = field->flags & FIELD_POSITIVE;

	if (!json_is_integer(value) || number < positive || (uint64_t)number > field->max)
		return refuse(reading, field->name,
			      arena_printf(reading->request->arena,
					   "must be a whole number from %d to %zu", positive,
					   field->max));
	*ret_number = number;
	return 0;
}

static int read_inner(const struct reading *reading, const struct field *field, json_t *value,
		      char *place)
{
	struct reading inner = *reading;
	size_t fields = 0;

	if (!json_is_object(value))
		return refuse(reading, field->name, "must be an object");
	while (field->items[fields].name)
		fields++;
	inner.where = arena_printf(reading->request->arena, "%s%s.", reading->where, field->name);
	if (!inner.where)
		return err_set(reading->err, ERR_MEMORY, "out of memory");
	return read_object(&inner, value, field->items, fields, place);
}

static int read_field(const struct reading *reading, const struct field *field, json_t *value,
		      char *target)
{
	void *place = target + field->offset;

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_BLOB: return read_text(reading, field, value, place);
	case FIELD_DATE: return read_date(reading, field, value, place);
	case FIELD_LIST: return read_list(reading, field, value, place);
	case FIELD_INT: return read_int(reading, field, value, place);
	case FIELD_OBJECT: return read_inner(reading, field, value, place);
	case FIELD_TEXTS: return read_texts(reading, field, value, place);
	case FIELD_BOOL:
		if (!json_is_boolean(value))
			return refuse(reading, field->name, "must be true or false");
		*(bool *)place = json_is_true(value);
		return 0;
	}
	return err_set(reading->err, ERR_INTERNAL, "unknown field type");
}

static int refuse_unknown(const struct reading *reading, const struct field *fields, size_t count,
			  const char *name)
{
	const char *names[FIELDS_MAX];
	const char *near;

	for (size_t i = 0; i < count && i < FIELDS_MAX; i++)
		names[i] = fields[i].name;
	near = text_nearest(name, names, count < FIELDS_MAX ? count : FIELDS_MAX);
	return refuse(reading, name,
		      near ? arena_printf(reading->request->arena,
					  "is not known; did you mean '%s'?", near)
			   : "is not known");
}

/* What stands where an object must; `where` ends with a dot. */
static int refuse_shape(const struct reading *reading)
{
	size_t size = strlen(reading->where);
	char *field;

	if (size == 0)
		return err_set(reading->err, ERR_INVALID, "the body must be a JSON object");
	field = arena_strndup(reading->request->arena, reading->where, size - 1);
	reading->request->error_field = field;
	return err_set(reading->err, ERR_INVALID, "field '%s' must be a JSON object",
		       field ? field : "");
}

static int read_object(const struct reading *reading, json_t *object, const struct field *fields,
		       size_t count, char *target)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return refuse_shape(reading);
	json_object_foreach(object, name, value) {
		size_t i = 0;

		while (i < count && strcmp(fields[i].name, name) != 0)
			i++;
		if (i == count)
			return refuse_unknown(reading, fields, count, name);
		/* Elsewhere null is "not given": the same as leaving it out. */
		if (json_is_null(value) && (fields[i].flags & FIELD_NULL_REMOVES))
			*(const char **)(void *)(target + fields[i].offset) = "";
		else if (!json_is_null(value) && read_field(reading, &fields[i], value, target) < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		value = json_object_get(object, fields[i].name);
		if ((fields[i].flags & FIELD_REQUIRED) && (!value || json_is_null(value)))
			return refuse(reading, fields[i].name, "is missing");
	}
	return 0;
}

/* What a form on a web page can send without asking first is not JSON by its type. */
int request_require_json(const struct http_request *request, struct err *err)
{
	static const char json[] = "application/json";
	const char *type = http_header(request, "Content-Type");
	size_t size = sizeof(json) - 1;

	if (!type || strncasecmp(type, json, size) != 0 || !strchr("; \t", type[size]))
		return err_refuse(err, ERR_INVALID, "unsupported-media-type",
				  "the body must be application/json");
	return 0;
}

/* ------------------------------------------------ the body, member by member */

static size_t bounded(size_t count, size_t each)
{
	return each && count > ITEM_MAX / each ? ITEM_MAX : count * each;
}

static size_t longest_members(const struct field *fields);

/* At most so many bytes of JSON: each byte of a text may be written as six. */
static size_t longest(const struct field *field)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_BLOB: return bounded(field->max, 6) + 1024;
	case FIELD_LIST: return bounded(field->max, longest_members(field->items));
	case FIELD_OBJECT: return longest_members(field->items);
	case FIELD_TEXTS: return bounded(field->max, bounded(field->item_size, 6) + 64);
	case FIELD_BOOL:
	case FIELD_DATE:
	case FIELD_INT: break;
	}
	return 1024;
}

static size_t longest_members(const struct field *fields)
{
	size_t sum = ITEM_MORE;

	for (; fields->name && sum < ITEM_MAX; fields++)
		sum += longest(fields);
	return sum < ITEM_MAX ? sum : ITEM_MAX;
}

static size_t longest_item(const struct field *field)
{
	return field->type == FIELD_TEXTS ? bounded(field->item_size, 6) + 1024
					  : longest_members(field->items);
}

struct body {
	struct reading reading;
	struct elements elements;
};

static json_t *next_value(struct body *body, const struct field *field, size_t max)
{
	bool is_long = false;
	json_t *value = elements_value(&body->elements, max, &is_long, body->reading.err);

	if (!value && is_long)
		refuse(&body->reading, field->name, "is too long");
	return value;
}

/* Behind an item. 1: another one comes. */
static int next_item(struct body *body, char end)
{
	const char token[] = { end, '\0' };

	if (elements_skip(&body->elements, ","))
		return 1;
	if (elements_skip(&body->elements, token))
		return 0;
	return elements_refuse(&body->elements, end == ']' ? "']' expected" : "'}' expected",
			       body->reading.err);
}

/* Room for one more; those before are moved. */
static int grow_list(struct body *body, struct field_list *list, size_t item_size, size_t *capacity)
{
	struct arena *arena = body->reading.request->arena;
	size_t wanted = *capacity ? *capacity * 2 : LIST_FIRST;
	void *grown;

	if (list->count < *capacity)
		return 0;
	grown = arena_alloc_array(arena, wanted, item_size);
	if (!grown)
		return err_set(body->reading.err, ERR_MEMORY, "out of memory");
	if (list->count)
		memcpy(grown, list->items, list->count * item_size);
	list->items = grown;
	*capacity = wanted;
	return 0;
}

/* One item of a list, by the functions that read a list as a whole. */
static int read_item(struct body *body, const struct field *field, json_t *value, size_t at,
		     char *place)
{
	struct reading inner = body->reading;
	struct arena *arena = inner.request->arena;
	const struct field text = { .name = arena_printf(arena, "%s[%zu]", field->name, at),
				    .type = FIELD_TEXT,
				    .max = field->item_size };
	size_t fields = 0;

	if (!text.name)
		return err_set(inner.err, ERR_MEMORY, "out of memory");
	if (field->type == FIELD_TEXTS)
		return read_text(&inner, &text, value, (const char **)(void *)place);
	while (field->items[fields].name)
		fields++;
	inner.where = arena_printf(arena, "%s.", text.name);
	if (!inner.where)
		return err_set(inner.err, ERR_MEMORY, "out of memory");
	if (read_object(&inner, value, field->items, fields, place) == 0)
		return 0;
	if (!(field->flags & FIELD_EACH) || inner.err->code != ERR_INVALID)
		return -1;
	note_refusal(&inner, place, field->item_size);
	return 0;
}

/* Behind '['. */
static int read_items(struct body *body, const struct field *field, struct field_list *ret_list)
{
	size_t size = field->type == FIELD_TEXTS ? sizeof(const char *) : field->item_size;
	struct field_list list = { 0 };
	size_t capacity = 0;
	int more = !elements_skip(&body->elements, "]");

	while (more > 0) {
		AUTO(json) json_t *value = NULL;

		if (list.count == field->max)
			return refuse(&body->reading, field->name,
				      arena_printf(body->reading.request->arena,
						   "has more than %zu items", field->max));
		value = next_value(body, field, longest_item(field));
		if (!value || grow_list(body, &list, size, &capacity) < 0 ||
		    read_item(body, field, value, list.count,
			      (char *)list.items + list.count * size) < 0)
			return -1;
		list.count++;
		more = next_item(body, ']');
	}
	if (more < 0)
		return -1;
	/* Never NULL: a list that was given is told from one that was not. */
	if (!list.items && grow_list(body, &list, size, &capacity) < 0)
		return -1;
	*ret_list = list;
	return 0;
}

static int read_member(struct body *body, const struct field *field, bool *ret_null, char *target)
{
	bool is_list = field->type == FIELD_LIST || field->type == FIELD_TEXTS;
	AUTO(json) json_t *value = NULL;

	*ret_null = false;
	if (is_list && elements_skip(&body->elements, "["))
		return read_items(body, field,
				  (struct field_list *)(void *)(target + field->offset));
	value = next_value(body, field, is_list ? ITEM_MORE : longest(field) + ITEM_MORE);
	if (!value)
		return -1;
	*ret_null = json_is_null(value);
	/* Elsewhere null is "not given": the same as leaving it out. */
	if (*ret_null && (field->flags & FIELD_NULL_REMOVES))
		*(const char **)(void *)(target + field->offset) = "";
	return *ret_null ? 0 : read_field(&body->reading, field, value, target);
}

/* Its name, and the field of that name. */
static int find_member(struct body *body, const struct field *fields, size_t count,
		       size_t *ret_field)
{
	static const struct field name_field = { .name = "" };
	AUTO(json) json_t *name = NULL;
	const char *text;
	size_t i = 0;

	if (elements_peek(&body->elements) != '"')
		return elements_refuse(&body->elements, "string or '}' expected",
				       body->reading.err);
	name = next_value(body, &name_field, ITEM_MORE);
	if (!name)
		return -1;
	if (!elements_skip(&body->elements, ":"))
		return elements_refuse(&body->elements, "':' expected", body->reading.err);
	text = json_string_value(name);
	while (i < count && strcmp(fields[i].name, text) != 0)
		i++;
	if (i == count)
		return refuse_unknown(&body->reading, fields, count, text);
	*ret_field = i;
	return 0;
}

static int read_members(struct body *body, const struct field *fields, size_t count, char *target)
{
	enum { ABSENT, NOTHING, GIVEN } given[FIELDS_MAX] = { ABSENT };
	int more;

	if (count > FIELDS_MAX)
		return err_set(body->reading.err, ERR_INTERNAL, "more fields than can be read");
	if (!elements_skip(&body->elements, "{"))
		return -1;
	more = !elements_skip(&body->elements, "}");
	while (more > 0) {
		size_t at = 0;
		bool is_null;

		if (find_member(body, fields, count, &at) < 0)
			return -1;
		if (given[at] != ABSENT)
			return elements_refuse(&body->elements, "duplicate object key",
					       body->reading.err);
		if (read_member(body, &fields[at], &is_null, target) < 0)
			return -1;
		given[at] = is_null ? NOTHING : GIVEN;
		more = next_item(body, '}');
	}
	if (more < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if ((fields[i].flags & FIELD_REQUIRED) && given[i] != GIVEN)
			return refuse(&body->reading, fields[i].name, "is missing");
	return 0;
}

/* No object: JSON of another kind, or none at all. */
static int refuse_root(struct body *body)
{
	bool is_long = false;
	AUTO(json)
	json_t *value = elements_value(&body->elements, ITEM_MORE, &is_long, body->reading.err);

	if (!value && !is_long)
		return -1;
	return refuse_shape(&body->reading);
}

int request_read(struct http_request *request, const struct field *fields, size_t count,
		 void *target, struct err *err)
{
	struct body body = { .reading = { request, err, "" },
			     .elements = { .body = request->body, .size = request->body_size } };

	if (request->body_size == 0)
		body.elements = (struct elements){ .body = "{}", .size = 2 };
	else if (request_require_json(request, err) < 0)
		return -1;
	if (elements_peek(&body.elements) != '{')
		return refuse_root(&body);
	if (read_members(&body, fields, count, target) < 0)
		return -1;
	if (!elements_ended(&body.elements))
		return elements_refuse(&body.elements, "end of file expected", err);
	return 0;
}
