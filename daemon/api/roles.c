/*
 * What there is of roles alone: copies, and other labels for many at once. Enters: requests. Leaves: changes of
 * definitions, all or none. Refused as every change of a definition is.
 */
#include <string.h>

#include "kinds.h"
#include "merge.h"

#define BULK_MAX 1000

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "out of memory");
}

/* ------------------------------------------------------------------ copies */

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

	if (view_open(request, &view, err) < 0)
		return -1;
	role = definition_find(request, &view, role_type, name);
	if (!role)
		return err_set(err, ERR_NOT_FOUND, "there is no role '%s'", name);
	body.description =
		arena_strdup(request->arena, role->description.text ? role->description.text : "");
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
	change.body = definition_body_write(request, role_type, &body, err);
	if (!change.body)
		return -1;
	return definition_change_one(request, response, role_type, &change, NULL, err);
}

/* ------------------------------------------------------------------ labels */

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
	AUTO(strbuf) struct strbuf patch = STRBUF(DEFINITION_BODY_BYTES);
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
	if (definition_load(request, role_type, items[i].role, &row, err) < 0)
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
	AUTO(strbuf) struct strbuf warnings = STRBUF(DEFINITION_WARNINGS_BYTES);
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
		return refuse_empty_field(request, "roles", err);
	changes = arena_alloc_array(request->arena, body.roles.count, sizeof(*changes));
	if (!changes)
		return no_memory(err);
	for (size_t i = 0; i < body.roles.count; i++)
		if (bulk_change(request, body.roles.items, i, &changes[i], err) < 0)
			return -1;
	return bulk_answer(request, response, &body, changes, dry_run, err);
}
