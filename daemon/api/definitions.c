/*
 * Profiles, roles and personas: shown as they are in force, changed in the store.
 *
 * Enters: bodies by tables of fields. Leaves: definitions, and what a change does to whom. What the
 * configuration's checks refuse comes back with their codes; the rest of the refusals are change's.
 */
#include "definitions.h"

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>

#include "merge.h"
#include "personas.h"
#include "select.h"

#define BODY_MAX ((size_t)220 * 1024) /* below what a line of a configuration may be */
#define WARNINGS_MAX ((size_t)1024 * 1024)
#define LIST_MAX 1000
#define BULK_MAX 1000

/* One body for the three kinds; each has its table. */
struct definition_body {
	const char *name, *title, *description;
	const char *organization; /* "*": everybody's */
	bool primary;
	struct field_list permissions, classifications, segments;
	struct field_list objectives, frustrations, watering_holes;
	const char *technical_sophistication, *review_due;
	const char *filter;
};

#define PLACE(member) offsetof(struct definition_body, member)
/* Last of each table, for it is no part of what is stored: what is there keeps its organization. */
#define OWNER \
	{ \
		"organization", FIELD_TEXT, 0, PLACE(organization), 64, NULL, 0 \
	}

static const struct field profile_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, PLACE(name), 64, NULL, 0 },
	{ "description", FIELD_TEXT, 0, PLACE(description), 4096, NULL, 0 },
	{ "permissions", FIELD_TEXTS, FIELD_REQUIRED, PLACE(permissions), 1000, NULL, 200 },
	OWNER,
};

static const struct field role_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, PLACE(name), 64, NULL, 0 },
	{ "description", FIELD_TEXT, 0, PLACE(description), 4096, NULL, 0 },
	{ "classifications", FIELD_TEXTS, 0, PLACE(classifications), 50, NULL, 128 },
	{ "segments", FIELD_TEXTS, 0, PLACE(segments), 100, NULL, 128 },
	{ "permissions", FIELD_TEXTS, FIELD_REQUIRED, PLACE(permissions), 900, NULL, 200 },
	OWNER,
};

static const struct field persona_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, PLACE(name), 64, NULL, 0 },
	{ "title", FIELD_TEXT, FIELD_REQUIRED, PLACE(title), 256, NULL, 0 },
	{ "primary", FIELD_BOOL, 0, PLACE(primary), 0, NULL, 0 },
	{ "objectives", FIELD_TEXTS, FIELD_REQUIRED, PLACE(objectives), 50, NULL, 1000 },
	{ "frustrations", FIELD_TEXTS, FIELD_REQUIRED, PLACE(frustrations), 50, NULL, 1000 },
	{ "watering_holes", FIELD_TEXTS, FIELD_REQUIRED, PLACE(watering_holes), 50, NULL, 1000 },
	{ "technical_sophistication", FIELD_TEXT, FIELD_REQUIRED, PLACE(technical_sophistication),
	  16, NULL, 0 },
	{ "review_due", FIELD_TEXT, 0, PLACE(review_due), 10, NULL, 0 },
	OWNER,
};

static const struct field segment_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, PLACE(name), 64, NULL, 0 },
	{ "description", FIELD_TEXT, 0, PLACE(description), 4096, NULL, 0 },
	{ "filter", FIELD_TEXT, FIELD_REQUIRED, PLACE(filter), 65536, NULL, 0 },
	OWNER,
};

struct definition_type {
	const char *kind, *plural;
	enum grant_kind grant; /* GRANT_KINDS: nobody holds it */
	const struct field *fields;
	size_t field_count;			     /* without the last */
	bool is_described;			     /* every required field says something */
	size_t items, item_size, name, organization; /* in the catalogue */
	int (*show)(const struct reading_view *view, struct json *json, const void *item,
		    struct err *err);
	/* Of lists: `overdue`; NULL: there is no such thing. */
	int (*is_overdue)(const struct reading_view *view, const void *item, bool *ret_overdue,
			  struct err *err);
};

/* ------------------------------------------------------------------ showing */

static void show_texts(struct json *json, const char *key, const struct located_list *texts)
{
	json_array_key(json, key);
	for (size_t i = 0; i < texts->count; i++)
		json_string(json, NULL, texts->items[i].text);
	json_end(json);
}

static const char *text_or_empty(const struct located *text)
{
	return text->text ? text->text : "";
}

static int show_profile(const struct reading_view *view, struct json *json, const void *item,
			struct err *err)
{
	const struct profile_settings *profile = item;

	(void)view;
	(void)err;
	json_string(json, "description", text_or_empty(&profile->description));
	show_texts(json, "permissions", &profile->permissions);
	return 0;
}

static int show_role(const struct reading_view *view, struct json *json, const void *item,
		     struct err *err)
{
	const struct role_settings *role = item;

	(void)view;
	(void)err;
	json_string(json, "description", text_or_empty(&role->description));
	show_texts(json, "classifications", &role->classifications);
	show_texts(json, "segments", &role->segments);
	show_texts(json, "permissions", &role->permissions);
	return 0;
}

#define TYPE(kind, plural, list, type, grant, described, is_overdue) \
	{ \
#kind, plural, grant, kind##_fields, ARRAY_LEN(kind##_fields) - 1, described, \
			offsetof(struct catalogue_settings, list), sizeof(struct type), \
			offsetof(struct type, name), offsetof(struct type, organization), \
			show_##kind, is_overdue \
	}

static const struct definition_type types[] = {
	TYPE(profile, "profiles", profiles, profile_settings, GRANT_PROFILE, false, NULL),
	TYPE(role, "roles", roles, role_settings, GRANT_ROLE, false, NULL),
	TYPE(persona, "personas", personas, persona_settings, GRANT_PERSONA, true, persona_overdue),
	TYPE(segment, "segments", segment_filters, segment_settings, GRANT_KINDS, true, NULL),
};

static const struct definition_type *const profile_type = &types[0];
static const struct definition_type *const role_type = &types[1];
static const struct definition_type *const persona_type = &types[2];
static const struct definition_type *const segment_type = &types[3];

/* What concerns the daemon's files and those who run it is not for people of other organizations. */
static bool is_outsider(const struct http_request *request)
{
	const char *organization = api_organization(request);

	return organization && strcmp(organization, "default") != 0;
}

void show_origin_members(const struct http_request *request, const struct reading_view *view,
			 struct json *json, struct position at, const struct definition *row)
{
	bool stored = catalogue_is_stored(view->setup->catalogue, at);
	bool outsider = is_outsider(request);

	json_string(json, "origin", stored ? "store" : "file");
	if (!stored || !row) {
		if (!outsider)
			show_position_members(view->api, json, at);
		return;
	}
	json_int(json, "version", row->version);
	json_string(json, "organization", row->organization);
	json_time(json, "created", row->created_s);
	json_time(json, "updated", row->updated_s);
	json_string(json, "actor", outsider && !row->organization ? "" : row->actor);
}

static const struct struct_list *items_of(const struct reading_view *view,
					  const struct definition_type *type)
{
	const char *catalogue = (const char *)view->setup->catalogue;

	return (const void *)(catalogue + type->items);
}

static const void *item_at(const struct definition_type *type, const struct struct_list *items,
			   size_t i)
{
	return (const char *)items->items + i * type->item_size;
}

static const char *item_name(const struct definition_type *type, const void *item)
{
	return ((const struct located *)(const void *)((const char *)item + type->name))->text;
}

static const char *item_owner(const struct definition_type *type, const void *item)
{
	return *(const char *const *)(const void *)((const char *)item + type->organization);
}

/* Its place in the list; SIZE_MAX: absent, also for people of another organization than its own. */
static size_t find_item(const struct http_request *request, const struct definition_type *type,
			const struct struct_list *items, const char *name)
{
	for (size_t i = 0; i < items->count; i++)
		if (strcmp(item_name(type, item_at(type, items, i)), name) == 0)
			return catalogue_is_for(item_owner(type, item_at(type, items, i)),
						api_organization(request))
				       ? i
				       : SIZE_MAX;
	return SIZE_MAX;
}

static int show_item(const struct http_request *request, const struct reading_view *view,
		     struct json *json, const struct definition_type *type, const void *item,
		     int64_t *ret_version, struct err *err)
{
	const struct position *at = item;
	const char *name = item_name(type, item);
	struct definition row = { 0 };
	int64_t holders;
	int found = 0;

	if (type->grant != GRANT_KINDS &&
	    store_grant_holders_of(view->store, api_organization(request), type->grant, name,
				   &holders, err) < 0)
		return -1;
	if (catalogue_is_stored(view->setup->catalogue, *at))
		found = store_definition_get(view->store, type->kind, name, false, view->arena,
					     &row, err);
	if (found < 0)
		return -1;
	json_string(json, "name", name);
	if (type->show(view, json, item, err) < 0)
		return -1;
	if (type->grant != GRANT_KINDS)
		json_int(json, "holders", holders);
	show_origin_members(request, view, json, *at, found ? &row : NULL);
	*ret_version = found ? row.version : 0;
	return 0;
}

static bool is_seen(const struct http_request *request, const struct definition_type *type,
		    const void *item)
{
	return catalogue_is_for(item_owner(type, item), api_organization(request));
}

/* The rest of a page, from *at on; *at is where the next one would begin, *ret_last the last one shown. */
static int show_items(const struct http_request *request, const struct reading_view *view,
		      struct json *json, const struct definition_type *type, size_t limit,
		      bool overdue_only, size_t *at, const char **ret_last, struct err *err)
{
	const struct struct_list *items = items_of(view, type);
	size_t shown = 0;
	int64_t version;

	for (; *at < items->count; (*at)++) {
		const void *item = item_at(type, items, *at);
		bool wanted = is_seen(request, type, item);

		if (wanted && overdue_only && type->is_overdue(view, item, &wanted, err) < 0)
			return -1;
		if (!wanted)
			continue;
		if (shown == limit)
			break;
		json_object(json);
		if (show_item(request, view, json, type, item, &version, err) < 0)
			return -1;
		json_end(json);
		*ret_last = item_name(type, item);
		shown++;
	}
	return 0;
}

static int list_get(struct http_request *request, struct http_response *response,
		    const struct definition_type *type, struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	static const char *const more[] = { "after", "limit", "overdue", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *after = http_query(request, "after");
	struct json json = api_json(response);
	const struct struct_list *items;
	const char *last = NULL;
	bool overdue = false;
	int64_t limit;
	size_t i = 0;

	if (http_query_allow(request, type->is_overdue ? more : names, err) < 0 ||
	    http_query_int(request, "limit", 1, LIST_MAX, 100, &limit, err) < 0 ||
	    http_query_bool(request, "overdue", false, &overdue, err) < 0 ||
	    view_open(request, &view, err) < 0)
		return -1;
	items = items_of(&view, type);
	if (after) {
		i = find_item(request, type, items, after);
		request->error_field = i == SIZE_MAX ? "after" : NULL;
		if (i == SIZE_MAX)
			return err_set(err, ERR_INVALID, "there is no %s '%s'", type->kind, after);
		i++;
	}
	json_object(&json);
	json_array_key(&json, type->plural);
	if (show_items(request, &view, &json, type, (size_t)limit, overdue, &i, &last, err) < 0)
		return -1;
	json_end(&json);
	json_string(&json, "next", i < items->count ? last : NULL);
	json_end(&json);
	return 0;
}

void etag_set(struct http_request *request, struct http_response *response, int64_t version)
{
	if (version > 0)
		http_response_header(response, "ETag",
				     arena_printf(request->arena, "\"%lld\"", (long long)version));
}

static int item_get(struct http_request *request, struct http_response *response,
		    const struct definition_type *type, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *name = http_parameter(request, "name");
	struct json json = api_json(response);
	const struct struct_list *items;
	int64_t version;
	size_t i;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	items = items_of(&view, type);
	i = find_item(request, type, items, name);
	if (i == SIZE_MAX)
		return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", type->kind, name);
	json_object(&json);
	if (show_item(request, &view, &json, type, item_at(type, items, i), &version, err) < 0)
		return -1;
	json_end(&json);
	etag_set(request, response, version);
	return 0;
}

/* ------------------------------------------------------------------ reading */

static bool is_given(const struct field *field, const void *body)
{
	const void *place = (const char *)body + field->offset;

	if (field->type == FIELD_TEXTS)
		return ((const struct field_list *)place)->items != NULL;
	return field->type == FIELD_TEXT && *(const char *const *)place != NULL;
}

/* Left out when nothing of it was given. */
static void object_write(struct json *json, const struct field *field, const void *body)
{
	size_t count = 0;
	bool given = false;

	for (; field->items[count].name; count++)
		given = given || is_given(&field->items[count], body);
	if (!given)
		return;
	json_object_key(json, field->name);
	fields_write(json, field->items, count, body);
	json_end(json);
}

void fields_write(struct json *json, const struct field *fields, size_t count, const void *body)
{
	for (size_t i = 0; i < count; i++) {
		const void *place = (const char *)body + fields[i].offset;
		const char *text;
		const struct field_list *list;

		switch (fields[i].type) {
		case FIELD_TEXT:
		case FIELD_BLOB:
			text = *(const char *const *)place;
			if (text)
				json_string(json, fields[i].name, text);
			break;
		case FIELD_BOOL: json_bool(json, fields[i].name, *(const bool *)place); break;
		case FIELD_TEXTS:
			list = place;
			if (!list->items)
				break;
			json_array_key(json, fields[i].name);
			for (size_t k = 0; k < list->count; k++)
				json_string(json, NULL, ((const char *const *)list->items)[k]);
			json_end(json);
			break;
		case FIELD_DATE:
		case FIELD_INT:
		case FIELD_LIST: break;
		case FIELD_OBJECT: object_write(json, &fields[i], place); break;
		}
	}
}

static int refuse_empty(struct http_request *request, const char *field, struct err *err)
{
	request->error_field = field;
	return err_set(err, ERR_INVALID, "field '%s' must not be empty", field);
}

static bool says_nothing(const char *text)
{
	return text[strspn(text, " ")] == '\0';
}

/* Each of the texts. */
static int check_texts(struct http_request *request, const char *field,
		       const struct field_list *texts, struct err *err)
{
	const char *const *items = texts->items;

	for (size_t i = 0; i < texts->count; i++)
		if (says_nothing(items[i])) {
			field = arena_printf(request->arena, "%s[%zu]", field, i);
			return refuse_empty(request, field, err);
		}
	return texts->count == 0 ? refuse_empty(request, field, err) : 0;
}

static int check_described(struct http_request *request, const struct definition_type *type,
			   const struct definition_body *body, struct err *err)
{
	for (size_t i = 0; i < type->field_count; i++) {
		const struct field *field = &type->fields[i];
		const void *place = (const char *)body + field->offset;

		if (!(field->flags & FIELD_REQUIRED) || !type->is_described)
			continue;
		if (field->type == FIELD_TEXT && says_nothing(*(const char *const *)place))
			return refuse_empty(request, field->name, err);
		if (field->type == FIELD_TEXTS && check_texts(request, field->name, place, err) < 0)
			return -1;
	}
	return 0;
}

/* One line of JSON for the store. */
static const char *write_body(struct http_request *request, const struct definition_type *type,
			      const struct definition_body *body, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(BODY_MAX);
	struct json json = JSON(&text);
	const char *copy;

	json_object(&json);
	fields_write(&json, type->fields, type->field_count, body);
	json_end(&json);
	if (strbuf_failed(&text)) {
		err_set(err, ERR_TOO_LARGE, "a %s may not have more than 220 KiB", type->kind);
		return NULL;
	}
	copy = arena_strdup(request->arena, strbuf_text(&text));
	if (!copy)
		err_set(err, ERR_MEMORY, "out of memory");
	return copy;
}

static int read_body(struct http_request *request, const struct definition_type *type,
		     struct definition_body *ret_body, const char **ret_text, struct err *err)
{
	struct definition_body body = { 0 };

	if (request_read(request, type->fields, type->field_count + 1, &body, err) < 0 ||
	    check_described(request, type, &body, err) < 0 ||
	    (body.filter && segment_check(request, body.filter, err) < 0))
		return -1;
	*ret_text = write_body(request, type, &body, err);
	*ret_body = body;
	return *ret_text ? 0 : -1;
}

/* ------------------------------------------------------------------ changing */

int query_dry_run(struct http_request *request, bool *ret_dry_run, struct err *err)
{
	static const char *const names[] = { "dry_run", NULL };

	if (http_query_allow(request, names, err) < 0)
		return -1;
	return http_query_bool(request, "dry_run", false, ret_dry_run, err);
}

int definitions_change(struct http_request *request, const struct definition_change *changes,
		       size_t count, bool dry_run, const char *plan,
		       struct define_result *ret_result, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	const struct define_request asked = { .changes = changes,
					      .count = count,
					      .dry_run = dry_run,
					      .plan = plan,
					      .arena = request->arena };

	if (api->settings.ports.define(api->settings.ports.context, &asked, &actor, ret_result,
				       err) == 0)
		return 0;
	if (ret_result->field && ret_result->field[0])
		request->error_field = ret_result->field;
	return -1;
}

void show_define_members(struct json *json, const struct define_result *result, bool dry_run)
{
	AUTO(strbuf) struct strbuf report = STRBUF((size_t)48 * 1024 * 1024);

	json_bool(json, "dry_run", dry_run);
	json_int(json, "people", result->people);
	json_string(json, "plan", result->plan);
	json_array_key(json, "warnings");
	if (result->warnings->size > 0)
		json_raw(json, NULL, strbuf_text(result->warnings));
	json_end(json);
	if (result->evaluated)
		run_report_json("rules", &result->report, &report);
	if (result->evaluated && !strbuf_failed(&report))
		json_raw(json, "report", strbuf_text(&report));
	else
		json_null(json, "report");
}

/* The definition as it is now, or null. */
static int show_present(struct http_request *request, struct http_response *response,
			struct json *json, const struct definition_type *type, const char *name,
			struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct struct_list *items;
	int64_t version;
	size_t i;

	if (view_open(request, &view, err) < 0)
		return -1;
	items = items_of(&view, type);
	i = find_item(request, type, items, name);
	if (i == SIZE_MAX) {
		json_null(json, "definition");
		return 0;
	}
	json_object_key(json, "definition");
	if (show_item(request, &view, json, type, item_at(type, items, i), &version, err) < 0)
		return -1;
	json_end(json);
	etag_set(request, response, version);
	return 0;
}

/* Among the people of whom it belongs to, or would. */
static int count_segment(struct http_request *request, struct json *json,
			 const struct definition_change *change, const char *filter,
			 struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *own = api_organization(request), *owner = change->organization;
	const struct struct_list *items;
	size_t i;

	if (view_open(request, &view, err) < 0)
		return -1;
	items = items_of(&view, segment_type);
	i = find_item(request, segment_type, items, change->name);
	if (i != SIZE_MAX)
		owner = item_owner(segment_type, item_at(segment_type, items, i));
	else if (!owner)
		owner = own ? own : "default";
	else if (strcmp(owner, DEFINITION_SHARED) == 0)
		owner = NULL;
	return show_filter_count(request, &view, json, filter, own ? own : owner, err);
}

static int change_one(struct http_request *request, struct http_response *response,
		      const struct definition_type *type, const struct definition_change *change,
		      const char *filter, struct err *err)
{
	AUTO(strbuf) struct strbuf warnings = STRBUF(WARNINGS_MAX);
	struct define_result result = { .warnings = &warnings };
	struct json json = api_json(response);
	int done = -1;
	bool dry_run;

	run_report_init(&result.report);
	if (query_dry_run(request, &dry_run, err) == 0 &&
	    definitions_change(request, change, 1, dry_run, NULL, &result, err) == 0) {
		json_object(&json);
		done = show_present(request, response, &json, type, change->name, err);
		if (filter && done == 0)
			done = count_segment(request, &json, change, filter, err);
		else if (type == segment_type)
			json_null(&json, "count");
		show_define_members(&json, &result, dry_run);
		json_end(&json);
		if (change->verb == DEFINITION_CREATE && !dry_run && done == 0) {
			response->status = 201;
			http_response_header(response, "Location",
					     arena_printf(request->arena, "/api/v1/%s/%s",
							  type->plural, change->name));
		}
	}
	run_report_finish(&result.report);
	return done;
}

static int item_post(struct http_request *request, struct http_response *response,
		     const struct definition_type *type, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_CREATE, .kind = type->kind };
	struct definition_body body;

	if (read_body(request, type, &body, &change.body, err) < 0)
		return -1;
	change.name = body.name;
	change.organization = body.organization;
	return change_one(request, response, type, &change, body.filter, err);
}

/* A definition has one name for good: rules, grants and the audit log know it by that. */
static int check_same_name(struct http_request *request, const char *given, struct err *err)
{
	if (strcmp(given, http_parameter(request, "name")) == 0)
		return 0;
	request->error_field = "name";
	return err_set(err, ERR_INVALID, "a name cannot be changed: copy it and delete this one");
}

static int replace(struct http_request *request, struct http_response *response,
		   const struct definition_type *type, int64_t version, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_REPLACE,
					    .kind = type->kind,
					    .version = version };
	struct definition_body body;

	if (read_body(request, type, &body, &change.body, err) < 0 ||
	    check_same_name(request, body.name, err) < 0)
		return -1;
	change.name = body.name;
	change.organization = body.organization;
	return change_one(request, response, type, &change, body.filter, err);
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "out of memory");
}

/* What is not given stays as it is, null takes it away; what comes of it is read as a whole. */
static int merge_body(struct http_request *request, const char *present, struct err *err)
{
	const char *text;

	if (merge_patch(present, request->body, request->body_size, request->arena, &text, err) < 0)
		return -1;
	if (!text)
		return 0; /* the reader says what is wrong */
	request->body = text;
	request->body_size = strlen(text);
	return 0;
}

static int refuse_absent(const struct http_request *request, const struct reading_view *view,
			 const struct definition_type *type, const char *name, struct err *err)
{
	if (find_item(request, type, items_of(view, type), name) != SIZE_MAX)
		return err_refuse(err, ERR_CONFLICT, "managed-by-config",
				  "%s '%s' is declared in the configuration's files", type->kind,
				  name);
	return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", type->kind, name);
}

static int load_present(struct http_request *request, const struct definition_type *type,
			const char *name, struct definition *ret_row, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	int found;

	if (view_open(request, &view, err) < 0)
		return -1;
	found = store_definition_get(view.store, type->kind, name, false, request->arena, ret_row,
				     err);
	if (found < 0)
		return -1;
	return found && catalogue_is_for(ret_row->organization, api_organization(request))
		       ? 0
		       : refuse_absent(request, &view, type, name, err);
}

static int item_put(struct http_request *request, struct http_response *response,
		    const struct definition_type *type, struct err *err)
{
	int64_t version;

	if (if_match_read(request, &version, err) < 0)
		return -1;
	return replace(request, response, type, version, err);
}

static int item_patch(struct http_request *request, struct http_response *response,
		      const struct definition_type *type, struct err *err)
{
	struct definition row;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    load_present(request, type, http_parameter(request, "name"), &row, err) < 0 ||
	    merge_body(request, row.body, err) < 0)
		return -1;
	/* What was merged with must still be there. */
	return replace(request, response, type, version ? version : row.version, err);
}

static int item_delete(struct http_request *request, struct http_response *response,
		       const struct definition_type *type, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_DELETE,
					    .kind = type->kind,
					    .name = http_parameter(request, "name") };

	if (if_match_read(request, &change.version, err) < 0)
		return -1;
	return change_one(request, response, type, &change, NULL, err);
}

/* ---------------------------------------------------------------- of roles */

struct copy_body {
	const char *name, *description, *organization;
};

static const struct field copy_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct copy_body, name), 64, NULL, 0 },
	{ "description", FIELD_TEXT, 0, offsetof(struct copy_body, description), 4096, NULL, 0 },
	{ "organization", FIELD_TEXT, 0, offsetof(struct copy_body, organization), 64, NULL, 0 },
};

static int copy_texts(const struct located_list *from, struct arena *arena,
		      struct field_list *ret_list, struct err *err)
{
	const char **texts = arena_alloc_array(arena, from->count + 1, sizeof(*texts));

	if (!texts)
		return no_memory(err);
	for (size_t i = 0; i < from->count; i++)
		texts[i] = arena_strdup(arena, from->items[i].text);
	*ret_list = (struct field_list){ from->count, texts };
	return 0;
}

/* As it is in force, wherever it stands. */
static int role_as_body(struct http_request *request, const char *name,
			struct definition_body *ret_body, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct definition_body body = { 0 };
	const struct role_settings *role;
	size_t i;

	if (view_open(request, &view, err) < 0)
		return -1;
	i = find_item(request, role_type, items_of(&view, role_type), name);
	if (i == SIZE_MAX)
		return err_set(err, ERR_NOT_FOUND, "there is no role '%s'", name);
	role = item_at(role_type, items_of(&view, role_type), i);
	body.description = arena_strdup(request->arena, text_or_empty(&role->description));
	if (copy_texts(&role->classifications, request->arena, &body.classifications, err) < 0 ||
	    copy_texts(&role->segments, request->arena, &body.segments, err) < 0 ||
	    copy_texts(&role->permissions, request->arena, &body.permissions, err) < 0)
		return -1;
	*ret_body = body;
	return 0;
}

int role_copy_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_CREATE, .kind = "role" };
	struct definition_body body;
	struct copy_body asked = { 0 };

	if (request_read(request, copy_fields, ARRAY_LEN(copy_fields), &asked, err) < 0 ||
	    role_as_body(request, http_parameter(request, "name"), &body, err) < 0)
		return -1;
	body.name = asked.name;
	change.organization = asked.organization;
	if (asked.description)
		body.description = asked.description;
	change.name = body.name;
	change.body = write_body(request, role_type, &body, err);
	if (!change.body)
		return -1;
	return change_one(request, response, role_type, &change, NULL, err);
}

struct bulk_item {
	const char *role;
	struct field_list classifications, segments;
};

struct bulk_body {
	struct field_list roles;
};

static const struct field bulk_item_fields[] = {
	{ "role", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct bulk_item, role), 64, NULL, 0 },
	{ "classifications", FIELD_TEXTS, 0, offsetof(struct bulk_item, classifications), 50, NULL,
	  128 },
	{ "segments", FIELD_TEXTS, 0, offsetof(struct bulk_item, segments), 100, NULL, 128 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};

static const struct field bulk_fields[] = {
	{ "roles", FIELD_LIST, FIELD_REQUIRED, offsetof(struct bulk_body, roles), BULK_MAX,
	  bulk_item_fields, sizeof(struct bulk_item) },
};

static const char *bulk_field(struct http_request *request, size_t i, const char *field)
{
	return arena_printf(request->arena, "roles[%zu].%s", i, field);
}

/* The stored body with other labels. */
static int relabel(struct http_request *request, const char *present, const struct bulk_item *item,
		   const char **ret_body, struct err *err)
{
	AUTO(strbuf) struct strbuf patch = STRBUF(BODY_MAX);
	struct json json = JSON(&patch);

	json_object(&json);
	/* All but the first field, which says which role. */
	fields_write(&json, bulk_item_fields + 1, 2, item);
	json_end(&json);
	if (strbuf_failed(&patch))
		return no_memory(err);
	return merge_patch(present, patch.data, patch.size, request->arena, ret_body, err);
}

static int bulk_change(struct http_request *request, const struct bulk_item *items, size_t i,
		       struct definition_change *ret_change, struct err *err)
{
	struct definition row;

	request->error_field = bulk_field(request, i, "role");
	for (size_t k = 0; k < i; k++)
		if (strcmp(items[k].role, items[i].role) == 0)
			return err_set(err, ERR_INVALID, "role '%s' is listed twice",
				       items[i].role);
	if (load_present(request, role_type, items[i].role, &row, err) < 0)
		return -1;
	request->error_field = NULL;
	*ret_change = (struct definition_change){ .verb = DEFINITION_REPLACE,
						  .kind = "role",
						  .name = items[i].role,
						  .version = row.version };
	return relabel(request, row.body, &items[i], &ret_change->body, err);
}

/* A finding about one of them names its place in the list. */
static void place_field(struct http_request *request, const struct bulk_item *items, size_t count,
			const struct define_result *result)
{
	for (size_t i = 0; result->about && i < count; i++)
		if (strcmp(items[i].role, result->about) == 0)
			request->error_field = bulk_field(
				request, i,
				result->field && result->field[0] ? result->field : "role");
}

static int bulk_answer(struct http_request *request, struct http_response *response,
		       const struct bulk_body *body, struct definition_change *changes,
		       bool dry_run, struct err *err)
{
	AUTO(strbuf) struct strbuf warnings = STRBUF(WARNINGS_MAX);
	struct define_result result = { .warnings = &warnings };
	struct json json = api_json(response);
	size_t count = body->roles.count;
	int done;

	run_report_init(&result.report);
	done = definitions_change(request, changes, count, dry_run, NULL, &result, err);
	if (done == 0) {
		json_object(&json);
		json_array_key(&json, "roles");
		for (size_t i = 0; i < count; i++)
			json_string(&json, NULL, changes[i].name);
		json_end(&json);
		show_define_members(&json, &result, dry_run);
		json_end(&json);
	} else {
		place_field(request, body->roles.items, count, &result);
	}
	run_report_finish(&result.report);
	return done;
}

int roles_bulk_update_post(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	struct bulk_body body = { 0 };
	struct definition_change *changes;
	bool dry_run;

	if (query_dry_run(request, &dry_run, err) < 0 ||
	    request_read(request, bulk_fields, ARRAY_LEN(bulk_fields), &body, err) < 0)
		return -1;
	if (body.roles.count == 0)
		return refuse_empty(request, "roles", err);
	changes = arena_alloc_array(request->arena, body.roles.count, sizeof(*changes));
	if (!changes)
		return no_memory(err);
	for (size_t i = 0; i < body.roles.count; i++)
		if (bulk_change(request, body.roles.items, i, &changes[i], err) < 0)
			return -1;
	return bulk_answer(request, response, &body, changes, dry_run, err);
}

/* ------------------------------------------------------------------ handlers */

#define HANDLER(name, work, type) \
	int name(struct http_request *request, struct http_response *response, struct err *err) \
	{ \
		return work(request, response, type, err); \
	}

HANDLER(profiles_get, list_get, profile_type)
HANDLER(profiles_post, item_post, profile_type)
HANDLER(profile_get, item_get, profile_type)
HANDLER(profile_put, item_put, profile_type)
HANDLER(profile_patch, item_patch, profile_type)
HANDLER(profile_delete, item_delete, profile_type)
HANDLER(roles_get, list_get, role_type)
HANDLER(roles_post, item_post, role_type)
HANDLER(role_get, item_get, role_type)
HANDLER(role_put, item_put, role_type)
HANDLER(role_patch, item_patch, role_type)
HANDLER(role_delete, item_delete, role_type)
HANDLER(personas_get, list_get, persona_type)
HANDLER(personas_post, item_post, persona_type)
HANDLER(persona_get, item_get, persona_type)
HANDLER(persona_put, item_put, persona_type)
HANDLER(persona_patch, item_patch, persona_type)
HANDLER(persona_delete, item_delete, persona_type)
HANDLER(segments_get, list_get, segment_type)
HANDLER(segments_post, item_post, segment_type)
HANDLER(segment_get, item_get, segment_type)
HANDLER(segment_put, item_put, segment_type)
HANDLER(segment_patch, item_patch, segment_type)
HANDLER(segment_delete, item_delete, segment_type)
