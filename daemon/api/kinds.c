/*
 * Profiles, roles, personas and segments as they are in force: what they are made of, and how they are shown.
 *
 * Enters: requests that read. Leaves: definitions, those that the caller's organization has or shares. Fails as
 * the store does.
 */
#include "kinds.h"

#include <string.h>

#include "personas.h"
#include "select.h"

#define LIST_MAX 1000

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

const struct definition_type *const profile_type = &types[0];
const struct definition_type *const role_type = &types[1];
const struct definition_type *const persona_type = &types[2];
const struct definition_type *const segment_type = &types[3];

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

const char *definition_owner(const struct definition_type *type, const void *item)
{
	return *(const char *const *)(const void *)((const char *)item + type->organization);
}

/* Its place in the list; SIZE_MAX: absent, also for people of another organization than its own. */
static size_t find_item(const struct http_request *request, const struct definition_type *type,
			const struct struct_list *items, const char *name)
{
	for (size_t i = 0; i < items->count; i++)
		if (strcmp(item_name(type, item_at(type, items, i)), name) == 0)
			return catalogue_is_for(definition_owner(type, item_at(type, items, i)),
						api_organization(request))
				       ? i
				       : SIZE_MAX;
	return SIZE_MAX;
}

const void *definition_find(const struct http_request *request, const struct reading_view *view,
			    const struct definition_type *type, const char *name)
{
	const struct struct_list *items = items_of(view, type);
	size_t i = find_item(request, type, items, name);

	return i == SIZE_MAX ? NULL : item_at(type, items, i);
}

int definition_show(const struct http_request *request, const struct reading_view *view,
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
	return catalogue_is_for(definition_owner(type, item), api_organization(request));
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
		if (definition_show(request, view, json, type, item, &version, err) < 0)
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
	const void *item;
	int64_t version;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	item = definition_find(request, &view, type, name);
	if (!item)
		return err_set(err, ERR_NOT_FOUND, "there is no %s '%s'", type->kind, name);
	json_object(&json);
	if (definition_show(request, &view, &json, type, item, &version, err) < 0)
		return -1;
	json_end(&json);
	etag_set(request, response, version);
	return 0;
}

DEFINITION_HANDLER(profiles_get, list_get, profile_type)
DEFINITION_HANDLER(profile_get, item_get, profile_type)
DEFINITION_HANDLER(roles_get, list_get, role_type)
DEFINITION_HANDLER(role_get, item_get, role_type)
DEFINITION_HANDLER(personas_get, list_get, persona_type)
DEFINITION_HANDLER(persona_get, item_get, persona_type)
DEFINITION_HANDLER(segments_get, list_get, segment_type)
DEFINITION_HANDLER(segment_get, item_get, segment_type)
