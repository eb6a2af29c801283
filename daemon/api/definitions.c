/*
 * Profiles, roles, personas and segments as they change in the store.
 *
 * Enters: bodies by tables of fields. Leaves: definitions, and what a change does to whom. What the
 * configuration's checks refuse comes back with their codes; the rest of the refusals are change's.
 */
#include "definitions.h"

#include <string.h>

#include "kinds.h"
#include "merge.h"
#include "select.h"

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

int refuse_empty_field(struct http_request *request, const char *field, struct err *err)
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
			return refuse_empty_field(request, field, err);
		}
	return texts->count == 0 ? refuse_empty_field(request, field, err) : 0;
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
			return refuse_empty_field(request, field->name, err);
		if (field->type == FIELD_TEXTS && check_texts(request, field->name, place, err) < 0)
			return -1;
	}
	return 0;
}

/* One line of JSON for the store. */
const char *definition_body_write(struct http_request *request, const struct definition_type *type,
				  const struct definition_body *body, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DEFINITION_BODY_BYTES);
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
	*ret_text = definition_body_write(request, type, &body, err);
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
	const void *item;
	int64_t version;

	if (view_open(request, &view, err) < 0)
		return -1;
	item = definition_find(request, &view, type, name);
	if (!item) {
		json_null(json, "definition");
		return 0;
	}
	json_object_key(json, "definition");
	if (definition_show(request, &view, json, type, item, &version, err) < 0)
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
	const void *item;

	if (view_open(request, &view, err) < 0)
		return -1;
	item = definition_find(request, &view, segment_type, change->name);
	if (item)
		owner = definition_owner(segment_type, item);
	else if (!owner)
		owner = own ? own : "default";
	else if (strcmp(owner, DEFINITION_SHARED) == 0)
		owner = NULL;
	return show_filter_count(request, &view, json, filter, own ? own : owner, err);
}

int definition_carry_out(struct http_request *request, struct http_response *response,
			 const struct definition_change *change,
			 const struct definition_answer *answer, struct err *err)
{
	AUTO(strbuf) struct strbuf warnings = STRBUF(DEFINITION_WARNINGS_BYTES);
	struct define_result result = { .warnings = &warnings };
	struct json json = api_json(response);
	int done = -1;
	bool dry_run;

	run_report_init(&result.report);
	if (query_dry_run(request, &dry_run, err) == 0 &&
	    definitions_change(request, change, 1, dry_run, NULL, &result, err) == 0) {
		json_object(&json);
		done = answer->show(request, response, &json, change, answer->context, err);
		show_define_members(&json, &result, dry_run);
		json_end(&json);
		if (change->verb == DEFINITION_CREATE && !dry_run && done == 0) {
			response->status = 201;
			http_response_header(response, "Location",
					     arena_printf(request->arena, "/api/v1/%s/%s",
							  answer->plural, change->name));
		}
	}
	run_report_finish(&result.report);
	return done;
}

struct changed {
	const struct definition_type *type;
	const char *filter;
};

static int show_changed(struct http_request *request, struct http_response *response,
			struct json *json, const struct definition_change *change,
			const void *context, struct err *err)
{
	const struct changed *changed = context;

	if (show_present(request, response, json, changed->type, change->name, err) < 0)
		return -1;
	if (changed->filter)
		return count_segment(request, json, change, changed->filter, err);
	if (changed->type == segment_type)
		json_null(json, "count");
	return 0;
}

int definition_change_one(struct http_request *request, struct http_response *response,
			  const struct definition_type *type,
			  const struct definition_change *change, const char *filter,
			  struct err *err)
{
	const struct changed changed = { type, filter };
	const struct definition_answer answer = { type->plural, show_changed, &changed };

	return definition_carry_out(request, response, change, &answer, err);
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
	return definition_change_one(request, response, type, &change, body.filter, err);
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
	return definition_change_one(request, response, type, &change, body.filter, err);
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
	if (definition_find(request, view, type, name))
		return err_refuse(err, ERR_CONFLICT, "managed-by-config",
				  "%s '%s' is declared in the configuration's files", type->kind,
				  name);
	return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", type->kind, name);
}

int definition_load(struct http_request *request, const struct definition_type *type,
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
	const char *name = http_parameter(request, "name");
	struct definition row;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    definition_load(request, type, name, &row, err) < 0 ||
	    (type == segment_type && segment_require_shown(request, name, err) < 0) ||
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
	return definition_change_one(request, response, type, &change, NULL, err);
}

/* ------------------------------------------------------------------ handlers */

DEFINITION_HANDLER(profiles_post, item_post, profile_type)
DEFINITION_HANDLER(profile_put, item_put, profile_type)
DEFINITION_HANDLER(profile_patch, item_patch, profile_type)
DEFINITION_HANDLER(profile_delete, item_delete, profile_type)
DEFINITION_HANDLER(roles_post, item_post, role_type)
DEFINITION_HANDLER(role_put, item_put, role_type)
DEFINITION_HANDLER(role_patch, item_patch, role_type)
DEFINITION_HANDLER(role_delete, item_delete, role_type)
DEFINITION_HANDLER(personas_post, item_post, persona_type)
DEFINITION_HANDLER(persona_put, item_put, persona_type)
DEFINITION_HANDLER(persona_patch, item_patch, persona_type)
DEFINITION_HANDLER(persona_delete, item_delete, persona_type)
DEFINITION_HANDLER(segments_post, item_post, segment_type)
DEFINITION_HANDLER(segment_put, item_put, segment_type)
DEFINITION_HANDLER(segment_patch, item_patch, segment_type)
DEFINITION_HANDLER(segment_delete, item_delete, segment_type)
