/*
 * What applications tell of their things. Enters: keys in paths, wishes in bodies. Leaves: rows as stored, lists page
 * by page, per-row results. Every change goes through change/, which checks and audits.
 */
#include <rolebridge/auth/decisions.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/change/ownership.h>
#include <rolebridge/store/ownership.h>

#include "access.h"
#include "reader.h"

#define OWNER_MAX_BYTES 320 /* an e-mail address, or more than any name */
#define BULK_MAX 10000

/* --- reading --- */

/* What the caller may see: of which organization and application; NULL: any. */
struct sight {
	const char *organization, *application;
};

static struct sight sight_of(const struct http_request *request)
{
	return (struct sight){ api_organization(request), api_actor(request).application };
}

static bool sees(const struct sight *sight, const char *organization, const char *application)
{
	return (!sight->organization || strcmp(sight->organization, organization) == 0) &&
	       (!sight->application || strcmp(sight->application, application) == 0);
}

static void show_key(struct json *json, const char *name, const char *type, const char *id)
{
	if (id[0] == '\0') {
		json_null(json, name);
		return;
	}
	json_object_key(json, name);
	json_string(json, "type", type);
	json_string(json, "id", id);
	json_end(json);
}

static void show_person(struct json *json, const char *name, int64_t user, const struct uuid *uuid,
			const char *username)
{
	char text[UUID_TEXT_SIZE];

	if (user == 0) {
		json_null(json, name);
		return;
	}
	uuid_format(uuid, text);
	json_object_key(json, name);
	json_string(json, "id", text);
	json_string(json, "username", username);
	json_end(json);
}

static void show_resource(struct json *json, const struct resource *resource)
{
	json_object(json);
	json_string(json, "application", resource->key.application);
	json_string(json, "type", resource->key.type);
	json_string(json, "id", resource->key.id);
	show_key(json, "parent", resource->parent_type, resource->parent_id);
	show_person(json, "owner", resource->owner, &resource->owner_uuid, resource->owner_name);
	json_string(json, "organization", resource->organization);
	json_string(json, "title", resource->title);
	json_int(json, "version", resource->version);
	json_time(json, "created", resource->created_s);
	json_time(json, "updated", resource->updated_s);
	json_end(json);
}

static struct resource_key key_of(const struct http_request *request)
{
	return (struct resource_key){ http_parameter(request, "application"),
				      http_parameter(request, "type"),
				      http_parameter(request, "id") };
}

static void tag(struct http_request *request, struct http_response *response, int64_t version)
{
	http_response_header(response, "ETag",
			     arena_printf(request->arena, "\"%lld\"", (long long)version));
}

static int no_resource(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such resource");
}

static int find_visible(const struct reading_view *view, const struct sight *sight,
			const struct resource_key *key, struct resource *ret_resource,
			struct err *err)
{
	if (store_resource_find(view->store, key, view->arena, ret_resource, err) < 0)
		return -1;
	return sees(sight, ret_resource->organization, key->application) ? 0 : no_resource(err);
}

/* --- who may read not all, but what decisions let them --- */

/* Who asks, as decisions know them. "": nobody, a service. */
static int own_name(const struct http_request *request, const struct reading_view *view,
		    char ret_uuid[static UUID_TEXT_SIZE], struct err *err)
{
	int64_t id = api_caller(request)->actor.user_id;
	struct user user;

	ret_uuid[0] = 0;
	if (id == 0)
		return 0;
	if (store_user_get(view->store, id, view->arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, ret_uuid);
	return 0;
}

static int fill_question(const struct http_request *request, const struct reading_view *view,
			 const struct resource_key *key, struct question *ret_question,
			 struct err *err)
{
	char uuid[UUID_TEXT_SIZE];

	if (own_name(request, view, uuid, err) < 0)
		return -1;
	*ret_question = (struct question){
		.user = arena_strdup(view->arena, uuid),
		.permission = arena_printf(view->arena, "%s:read", key->type),
		.resource = *key,
		.application = api_actor(request).application,
		.organization = api_organization(request),
	};
	if (!ret_question->user || !ret_question->permission)
		return err_set(err, ERR_MEMORY, "out of memory");
	return 0;
}

/* What is below an account that they may not read is not there. */
static int check_readable(const struct http_request *request, const struct reading_view *view,
			  const struct resource_key *key, struct err *err)
{
	struct api *api = request->context;
	struct question question;
	struct verdict verdict;

	if (api_caller(request)->sees_all)
		return 0;
	if (fill_question(request, view, key, &question, err) < 0)
		return -1;
	if (decisions_ask(api->settings.decisions, &question, false, clock_now_s(), &verdict, err) <
	    0)
		/* A type that is none. */
		return err->code == ERR_INVALID ? no_resource(err) : -1;
	return verdict.allowed ? 0 : no_resource(err);
}

/* Ids as they are listed: what they stand for is read when nobody waits for the list any more. */
struct readable {
	struct arena *arena;
	const char **ids;
	size_t count;
};

static void note_readable(void *context, const char *type, const char *id)
{
	struct readable *readable = context;

	(void)type;
	readable->ids[readable->count++] = arena_strdup(readable->arena, id);
}

static int show_readable(const struct reading_view *view, const struct resource_query *query,
			 const struct readable *readable, struct json *json, struct err *err)
{
	for (size_t i = 0; i < readable->count; i++) {
		const struct resource_key key = { query->application, query->type,
						  readable->ids[i] };
		struct resource resource;
		struct err gone = { 0 };

		if (!key.id)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (store_resource_find(view->store, &key, view->arena, &resource, &gone) == 0) {
			if ((!query->owner || resource.owner == query->owner) &&
			    !(query->unassigned && resource.owner))
				show_resource(json, &resource);
		} else if (gone.code != ERR_NOT_FOUND) {
			/* Registered since the view was opened is no failure, all else is. */
			*err = gone;
			return -1;
		}
	}
	return 0;
}

static int answer_readable(struct http_request *request, struct http_response *response,
			   const struct reading_view *view, const struct resource_query *query,
			   const struct resource *parent, struct err *err)
{
	struct api *api = request->context;
	struct json json = api_json(response);
	struct readable readable = { .arena = view->arena };
	const struct resource_key key = { query->application, query->type, NULL };
	struct listing_question question = { .after = query->after, .limit = query->limit };
	int64_t next;

	if (!query->application || !query->type) {
		request->error_field = query->application ? "type" : "application";
		return err_set(err, ERR_INVALID,
			       "say which application and type: only those with "
			       "resources:read@all list all");
	}
	readable.ids = arena_alloc_array(view->arena, query->limit, sizeof(*readable.ids));
	if (!readable.ids)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (fill_question(request, view, &key, &question.question, err) < 0)
		return -1;
	if (parent) {
		question.parent_type = parent->key.type;
		question.parent_id = parent->key.id;
	}
	if (decisions_list(api->settings.decisions, &question, clock_now_s(), note_readable,
			   &readable, &next, err) < 0) {
		if (err->code == ERR_INVALID)
			request->error_field = "type";
		return -1;
	}
	json_object(&json);
	json_array_key(&json, "resources");
	if (show_readable(view, query, &readable, &json, err) < 0)
		return -1;
	json_end(&json);
	show_next(&json, next);
	json_end(&json);
	return 0;
}

static int answer_resource(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct resource_key key = key_of(request);
	struct json json = api_json(response);
	struct resource resource;
	struct sight sight = sight_of(request);

	if (view_open(request, &view, err) < 0 ||
	    find_visible(&view, &sight, &key, &resource, err) < 0)
		return -1;
	tag(request, response, resource.version);
	show_resource(&json, &resource);
	return 0;
}

static int check_get(struct http_request *request, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct resource_key key = key_of(request);

	if (api_caller(request)->sees_all)
		return 0;
	return view_open(request, &view, err) < 0 ? -1 : check_readable(request, &view, &key, err);
}

int resource_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };

	if (http_query_allow(request, names, err) < 0 || check_get(request, err) < 0)
		return -1;
	return answer_resource(request, response, err);
}

/* --- lists --- */

static void query_text_field(struct http_request *request, const char *name, const char **ret_value)
{
	const char *value = http_query(request, name);

	if (value && value[0])
		*ret_value = value;
}

/* A user who is not there, or not to be seen, is a filter that nothing matches: -1 with the field. */
static int query_user(struct http_request *request, const struct reading_view *view,
		      const char *field, int64_t *ret_user, struct err *err)
{
	const char *name = http_query(request, field);
	struct user user;

	*ret_user = 0;
	if (!name || !name[0])
		return 0;
	if (view_find_user(request, view, name, &user, err) < 0) {
		request->error_field = field;
		return -1;
	}
	*ret_user = user.id;
	return 0;
}

static int answer_whole_list(const struct reading_view *view, struct http_response *response,
			     const struct sight *sight, struct resource_query *query,
			     struct err *err)
{
	struct json json = api_json(response);
	struct resource *resources;
	size_t count;

	query->organization = sight->organization;
	if (sight->application) {
		if (query->application && strcmp(query->application, sight->application) != 0)
			query->after = INT64_MAX;
		query->application = sight->application;
	}
	if (store_resource_list(view->store, query, view->arena, &resources, &count, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "resources");
	for (size_t i = 0; i < count; i++)
		show_resource(&json, &resources[i]);
	json_end(&json);
	show_next(&json, count == query->limit ? resources[count - 1].row : 0);
	json_end(&json);
	return 0;
}

int resources_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "application", "type",  "owner", "unassigned",
					     "after",	    "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct resource_query query = { 0 };
	struct sight sight = sight_of(request);

	if (http_query_allow(request, names, err) < 0 ||
	    query_page(request, 10000, 100, &query.after, &query.limit, err) < 0 ||
	    http_query_bool(request, "unassigned", false, &query.unassigned, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    query_user(request, &view, "owner", &query.owner, err) < 0)
		return -1;
	query_text_field(request, "application", &query.application);
	query_text_field(request, "type", &query.type);
	if (!api_caller(request)->sees_all)
		return answer_readable(request, response, &view, &query, NULL, err);
	return answer_whole_list(&view, response, &sight, &query, err);
}

int resource_children_get(struct http_request *request, struct http_response *response,
			  struct err *err)
{
	static const char *const names[] = { "type", "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct resource_key key = key_of(request);
	struct resource_query query = { .application = key.application };
	struct resource parent;
	struct sight sight = sight_of(request);

	if (http_query_allow(request, names, err) < 0 ||
	    query_page(request, 10000, 100, &query.after, &query.limit, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    find_visible(&view, &sight, &key, &parent, err) < 0 ||
	    check_readable(request, &view, &key, err) < 0)
		return -1;
	query_text_field(request, "type", &query.type);
	query.parent = parent.row;
	if (!api_caller(request)->sees_all)
		return answer_readable(request, response, &view, &query, &parent, err);
	return answer_whole_list(&view, response, &sight, &query, err);
}

/* --- changes --- */

static const struct field key_fields[] = {
	{ "type", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_wish, parent_type), 64, NULL,
	  0 },
	{ "id", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_wish, parent_id),
	  RESOURCE_ID_MAX, NULL, 0 },
	{ .name = NULL },
};

static const struct field put_fields[] = {
	{ "parent", FIELD_OBJECT, 0, 0, 0, key_fields, 0 },
	{ "owner", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct resource_wish, owner),
	  OWNER_MAX_BYTES, NULL, 0 },
	{ "title", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct resource_wish, title),
	  RESOURCE_TITLE_MAX, NULL, 0 },
	{ "organization", FIELD_TEXT, FIELD_NULL_REMOVES,
	  offsetof(struct resource_wish, organization), 64, NULL, 0 },
};

int resource_put(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	const struct resource_key key = key_of(request);
	struct actor actor = api_actor(request);
	struct resource_wish wish = { .type = key.type, .id = key.id };
	enum ownership_outcome outcome;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    request_read(request, put_fields, ARRAY_LEN(put_fields), &wish, err) < 0 ||
	    change_resource_put(api->settings.changer, &actor, key.application, &wish, version,
				&outcome, &request->error_field, err) < 0)
		return -1;
	if (outcome == OWNERSHIP_CREATED)
		response->status = 201;
	return answer_resource(request, response, err);
}

int resource_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "recursive", NULL };
	struct api *api = request->context;
	const struct resource_key key = key_of(request);
	struct actor actor = api_actor(request);
	struct json json = api_json(response);
	int64_t version;
	bool recursive;
	size_t removed;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "recursive", false, &recursive, err) < 0 ||
	    if_match_read(request, &version, err) < 0 ||
	    change_resource_remove(api->settings.changer, &actor, &key, version, recursive,
				   &removed, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "removed", (int64_t)removed);
	json_end(&json);
	return 0;
}

static const struct field bulk_item_fields[] = {
	{ "type", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_wish, type), 64, NULL, 0 },
	{ "id", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct resource_wish, id), RESOURCE_ID_MAX,
	  NULL, 0 },
	{ "parent", FIELD_OBJECT, 0, 0, 0, key_fields, 0 },
	{ "owner", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct resource_wish, owner),
	  OWNER_MAX_BYTES, NULL, 0 },
	{ "title", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct resource_wish, title),
	  RESOURCE_TITLE_MAX, NULL, 0 },
	{ "organization", FIELD_TEXT, FIELD_NULL_REMOVES,
	  offsetof(struct resource_wish, organization), 64, NULL, 0 },
	{ .name = NULL },
};

struct bulk_body {
	struct field_list resources;
};

static const struct field bulk_fields[] = {
	{ "resources", FIELD_LIST, FIELD_REQUIRED, offsetof(struct bulk_body, resources), BULK_MAX,
	  bulk_item_fields, sizeof(struct resource_wish) },
};

static void show_result(struct json *json, const struct resource_wish *wish,
			const struct resource_result *result)
{
	json_object(json);
	json_string(json, "type", wish->type);
	json_string(json, "id", wish->id);
	json_string(json, "outcome",
		    result->code ? "refused" : ownership_outcome_names[result->outcome]);
	if (result->code) {
		json_string(json, "code", result->code);
		json_string(json, "message", result->message);
		json_string(json, "field", result->field);
	}
	json_end(json);
}

static void show_results(struct json *json, const struct resource_wish *wishes,
			 const struct resource_result *results, size_t count)
{
	int64_t totals[3] = { 0 }, refused = 0;

	json_object(json);
	json_array_key(json, "results");
	for (size_t i = 0; i < count; i++) {
		show_result(json, &wishes[i], &results[i]);
		if (results[i].code)
			refused++;
		else
			totals[results[i].outcome]++;
	}
	json_end(json);
	for (size_t i = 0; i < ARRAY_LEN(totals); i++)
		json_int(json, ownership_outcome_names[i], totals[i]);
	json_int(json, "refused", refused);
	json_end(json);
}

int resources_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct json json = api_json(response);
	struct bulk_body body = { 0 };
	struct resource_result *results;
	const struct resource_wish *wishes;

	if (request_read(request, bulk_fields, ARRAY_LEN(bulk_fields), &body, err) < 0)
		return -1;
	wishes = body.resources.items;
	results = arena_alloc_array(request->arena, body.resources.count + 1, sizeof(*results));
	if (!results)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (change_resources_put(api->settings.changer, &actor,
				 http_parameter(request, "application"), wishes,
				 body.resources.count, request->arena, results, err) < 0)
		return -1;
	show_results(&json, wishes, results, body.resources.count);
	return 0;
}

/* --- references --- */

static void show_reference(struct json *json, const struct reference *reference)
{
	json_object(json);
	json_string(json, "application", reference->application);
	json_string(json, "kind", reference->kind);
	if (reference->type[0])
		json_string(json, "type", reference->type);
	json_string(json, "id", reference->id);
	json_string(json, "label", reference->label);
	show_person(json, "user", reference->user, &reference->user_uuid, reference->user_name);
	json_bool(json, "orphaned", (reference->user_disabled & DISABLED_ANY) != 0);
	json_int(json, "version", reference->version);
	json_time(json, "created", reference->created_s);
	json_time(json, "updated", reference->updated_s);
	json_end(json);
}

static struct reference reference_key(const struct http_request *request)
{
	return (struct reference){ .application = http_parameter(request, "application"),
				   .kind = http_parameter(request, "kind"),
				   .id = http_parameter(request, "id") };
}

static int answer_reference(struct http_request *request, struct http_response *response,
			    struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct reference key = reference_key(request);
	struct json json = api_json(response);
	struct reference reference;
	struct sight sight = sight_of(request);
	struct user user;

	if (view_open(request, &view, err) < 0 ||
	    store_reference_find(view.store, &key, view.arena, &reference, err) < 0 ||
	    store_user_get(view.store, reference.user, view.arena, &user, err) < 0)
		return -1;
	if (!sees(&sight, user.organization, key.application))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such reference");
	tag(request, response, reference.version);
	show_reference(&json, &reference);
	return 0;
}

int reference_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };

	return http_query_allow(request, names, err) < 0 ? -1
							 : answer_reference(request, response, err);
}

static int show_references(const struct reading_view *view, struct json *json,
			   const struct reference_query *query, struct err *err)
{
	struct reference *references;
	size_t count;

	if (store_reference_list(view->store, query, view->arena, &references, &count, err) < 0)
		return -1;
	json_array_key(json, "references");
	for (size_t i = 0; i < count; i++)
		show_reference(json, &references[i]);
	json_end(json);
	show_next(json, count == query->limit ? references[count - 1].cursor : 0);
	return 0;
}

int references_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "application", "kind",  "user", "orphaned",
					     "after",	    "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct reference_query query = { 0 };
	struct sight sight = sight_of(request);

	if (http_query_allow(request, names, err) < 0 ||
	    query_page(request, 10000, 100, &query.after, &query.limit, err) < 0 ||
	    http_query_bool(request, "orphaned", false, &query.orphaned, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    query_user(request, &view, "user", &query.user, err) < 0)
		return -1;
	query_text_field(request, "application", &query.application);
	query_text_field(request, "kind", &query.kind);
	query.organization = sight.organization;
	if (sight.application) {
		if (query.application && strcmp(query.application, sight.application) != 0)
			query.after = INT64_MAX;
		query.application = sight.application;
	}
	json_object(&json);
	if (show_references(&view, &json, &query, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

static const struct field reference_fields[] = {
	{ "user", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct reference_wish, user),
	  OWNER_MAX_BYTES, NULL, 0 },
	{ "label", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct reference_wish, label),
	  RESOURCE_TITLE_MAX, NULL, 0 },
};

int reference_put(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	const struct reference key = reference_key(request);
	struct reference_wish wish = { .application = key.application,
				       .kind = key.kind,
				       .id = key.id };
	struct actor actor = api_actor(request);
	enum ownership_outcome outcome;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    request_read(request, reference_fields, ARRAY_LEN(reference_fields), &wish, err) < 0 ||
	    change_reference_put(api->settings.changer, &actor, &wish, version, &outcome,
				 &request->error_field, err) < 0)
		return -1;
	if (outcome == OWNERSHIP_CREATED)
		response->status = 201;
	return answer_reference(request, response, err);
}

int reference_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	const struct reference key = reference_key(request);
	struct actor actor = api_actor(request);
	struct json json = api_json(response);
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    change_reference_remove(api->settings.changer, &actor, key.application, key.kind,
				    key.id, version, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "removed", 1);
	json_end(&json);
	return 0;
}

struct reassign_body {
	const char *to, *application;
};

static const struct field reassign_fields[] = {
	{ "to", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct reassign_body, to), OWNER_MAX_BYTES,
	  NULL, 0 },
	{ "application", FIELD_TEXT, 0, offsetof(struct reassign_body, application), 64, NULL, 0 },
};

int user_reassign(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct json json = api_json(response);
	struct reassign_body body = { 0 };
	int64_t moved;

	if (request_read(request, reassign_fields, ARRAY_LEN(reassign_fields), &body, err) < 0 ||
	    change_reassign(api->settings.changer, &actor, http_parameter(request, "user"), body.to,
			    body.application, &moved, &request->error_field, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "moved", moved);
	json_end(&json);
	return 0;
}

/* --- what stands in the way of a disabling --- */

#define DETAILS_MAX 20

void references_explain(struct http_request *request, const char *user, const struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(strbuf) struct strbuf out = STRBUF((size_t)1 << 20);
	struct reference_query query = { .limit = DETAILS_MAX };
	struct json json = JSON(&out);
	struct user found;
	int64_t total;

	if (!err->reason || strcmp(err->reason, "user-has-references") != 0 ||
	    view_open(request, &view, NULL) < 0 ||
	    user_resolve(view.store, user, view.arena, &found, NULL) < 0)
		return;
	query.user = found.id;
	/* A token of one application learns of this one's alone. */
	query.application = api_actor(request).application;
	json_object(&json);
	if (store_reference_count(view.store, found.id, query.application, &total, NULL) < 0 ||
	    show_references(&view, &json, &query, NULL) < 0)
		return;
	json_int(&json, "total", total);
	json_end(&json);
	if (!strbuf_failed(&out))
		request->error_details = arena_strdup(request->arena, strbuf_text(&out));
}
