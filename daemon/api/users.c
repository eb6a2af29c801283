/*
 * Handlers about people. Reads come from one snapshot of the store; every
 * change goes through change/, which asks policy and audits. The answer to a change is
 * the user as stored.
 */
#include <rolebridge/base/clock.h>

#include "access.h"
#include "reader.h"
#include "select.h"

#define NAME_MAX_BYTES 320 /* an e-mail address, or more than any name */

static void query_field(struct http_request *request, const char *name, const char **ret_value)
{
	const char *value = http_query(request, name);

	if (value && value[0])
		*ret_value = value;
}

/* "active", "disabled" or "any". */
static int query_state(struct http_request *request, int *ret_active, struct err *err)
{
	const char *state = http_query(request, "state");

	if (!state || strcmp(state, "any") == 0) {
		*ret_active = -1;
	} else if (strcmp(state, "active") == 0) {
		*ret_active = 1;
	} else if (strcmp(state, "disabled") == 0) {
		*ret_active = 0;
	} else {
		request->error_field = "state";
		return err_set(err, ERR_INVALID, "'state' must be active, disabled or any");
	}
	return 0;
}

/* "role:sales" */
static int query_grant(struct http_request *request, struct user_query *query, struct err *err)
{
	const char *text = http_query(request, "grant");
	const char *colon = text ? strchr(text, ':') : NULL;
	const char *kind;

	if (!text)
		return 0;
	if (!colon || !colon[1]) {
		request->error_field = "grant";
		return err_set(err, ERR_INVALID, "'grant' must be like role:sales");
	}
	kind = arena_strndup(request->arena, text, (size_t)(colon - text));
	if (!kind)
		return err_set(err, ERR_MEMORY, "out of memory");
	query->grant_name = colon + 1;
	return grant_kind_parse(request, "grant", kind, &query->grant_kind, err);
}

static int query_read(struct http_request *request, struct user_query *ret_query, struct err *err)
{
	static const char *const names[] = { "q",     "organization", "profile", "grant",   "state",
					     "after", "limit",	      "filter",	 "segment", NULL };
	struct user_query query = { .active = -1 };
	int64_t limit;

	if (http_query_allow(request, names, err) < 0 ||
	    query_state(request, &query.active, err) < 0 || query_grant(request, &query, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, 10000, 100, &limit, err) < 0)
		return -1;
	query_field(request, "q", &query.prefix);
	query_field(request, "organization", &query.organization);
	query_field(request, "profile", &query.profile);
	query.limit = (size_t)limit;
	*ret_query = query;
	return 0;
}

/* `@all` ends at the organization; another one, asked for by name, is not there. */
static int see_own(const struct http_request *request, struct user_query *query, struct err *err)
{
	const char *organization = api_organization(request);

	if (organization && query->organization && strcmp(organization, query->organization) != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no organization '%s'",
				  query->organization);
	if (organization)
		query->organization = organization;
	return 0;
}

int users_get(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(selection) struct selection *selection = NULL;
	struct json json = api_json(response);
	struct user_query query;

	if (query_read(request, &query, err) < 0 || see_own(request, &query, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    query_selection(request, &view, &selection, err) < 0)
		return -1;
	return show_users(&view, &json, &query, selection, err);
}

static int show_grants(const struct reading_view *view, struct json *json, const struct user *user,
		       struct err *err)
{
	struct grant *grants;
	size_t count;

	if (store_grants_of(view->store, user->id, view->arena, &grants, &count, err) < 0)
		return -1;
	json_array_key(json, "grants");
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		show_grant_members(json, &grants[i]);
		json_end(json);
	}
	json_end(json);
	return 0;
}

/* By hand, and not read so far. */
static int show_links(const struct reading_view *view, struct json *json, const struct user *user,
		      struct err *err)
{
	struct link_row *rows;
	size_t count;

	if (store_links_of(view->store, user->id, view->arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "source", rows[i].source);
		json_string(json, "key", rows[i].key);
		json_null(json, "read");
		json_null(json, "missing");
		json_end(json);
	}
	return 0;
}

static int show_identities(const struct reading_view *view, struct json *json,
			   const struct user *user, struct err *err)
{
	struct identity_row *rows;
	size_t count;

	if (store_identities_of(view->store, user->id, view->arena, &rows, &count, err) < 0)
		return -1;
	json_array_key(json, "identities");
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "source", rows[i].source);
		json_string(json, "key", rows[i].key);
		json_time(json, "read", rows[i].read_s);
		json_time(json, "missing", rows[i].missing_s);
		json_end(json);
	}
	if (show_links(view, json, user, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

static int user_answer(struct http_request *request, struct http_response *response,
		       const char *name, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct user user;

	if (view_open(request, &view, err) < 0 ||
	    view_find_user(request, &view, name, &user, err) < 0)
		return -1;
	http_response_header(response, "ETag",
			     arena_printf(request->arena, "\"%lld\"", (long long)user.version));
	json_object(&json);
	show_user_members(&json, &user);
	if (show_grants(&view, &json, &user, err) < 0 ||
	    show_identities(&view, &json, &user, err) < 0 ||
	    show_accounts(request, &view, &json, &user, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

int user_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };

	if (http_query_allow(request, names, err) < 0)
		return -1;
	return user_answer(request, response, http_parameter(request, "user"), err);
}

int user_why(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "grant", "sensitive", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct why_options options = { .now_s = clock_now_s() };
	struct user user;
	struct json json = api_json(response);
	const char *colon;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "sensitive", false, &options.show_sensitive, err) < 0)
		return -1;
	options.grant = http_query(request, "grant");
	colon = options.grant ? strchr(options.grant, ':') : NULL;
	if (colon) {
		enum grant_kind kind;

		options.kind = arena_strndup(request->arena, options.grant,
					     (size_t)(colon - options.grant));
		if (!options.kind)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (grant_kind_parse(request, "grant", options.kind, &kind, err) < 0)
			return -1;
		options.grant = colon + 1;
	}
	if (view_open(request, &view, err) < 0 ||
	    view_find_user(request, &view, http_parameter(request, "user"), &user, err) < 0 ||
	    (options.show_sensitive &&
	     (api_require(request, &view, "attributes:read@all", err) < 0 ||
	      api_step_up(request, "attributes:read@all", err) < 0)))
		return -1;
	return why_json(&view, http_parameter(request, "user"), &options, &json, err);
}

/* --------------------------------------------------------------- changes -- */

static const struct field create_fields[] = {
	{ "username", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct new_user, username),
	  NAME_MAX_BYTES, NULL, 0 },
	{ "email", FIELD_TEXT, 0, offsetof(struct new_user, email), NAME_MAX_BYTES, NULL, 0 },
	{ "display_name", FIELD_TEXT, 0, offsetof(struct new_user, display_name), 1024, NULL, 0 },
	{ "organization", FIELD_TEXT, 0, offsetof(struct new_user, organization), 64, NULL, 0 },
	{ "profile", FIELD_TEXT, 0, offsetof(struct new_user, profile), 64, NULL, 0 },
};

int users_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	const char *own = api_organization(request);
	struct new_user body = { .organization = own ? own : "default" };
	struct actor actor = api_actor(request);
	char *name = arena_alloc(request->arena, UUID_TEXT_SIZE);
	struct uuid uuid;

	if (!name)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (request_read(request, create_fields, ARRAY_LEN(create_fields), &body, err) < 0)
		return -1;
	if (change_user_create(api->settings.changer, &actor, &body, &uuid, err) < 0) {
		if (strcmp(err_reason(err), "profile-required") == 0)
			request->error_field = "profile";
		return -1;
	}
	uuid_format(&uuid, name);
	response->status = 201;
	http_response_header(response, "Location",
			     arena_printf(request->arena, "/api/v1/users/%s", name));
	return user_answer(request, response, name, err);
}

/* RFC 9110 13.1.1 */
int if_match_read(const struct http_request *request, int64_t *ret_version, struct err *err)
{
	const char *text = http_header(request, "If-Match");
	size_t size = text ? strlen(text) : 0;
	int64_t version = 0;

	*ret_version = 0;
	if (!text || strcmp(text, "*") == 0)
		return 0;
	if (http_header_count(request, "If-Match") > 1 || size < 2 || text[size - 1] != '"' ||
	    (text[0] != '"' && strncmp(text, "W/\"", 3) != 0) || strchr(text, ','))
		return err_set(err, ERR_INVALID,
			       "If-Match must be one entity tag, like \"7\", or *");
	*ret_version = -1;
	/* Weak tags never match here, and what we never gave does not either. */
	for (size_t i = 1; i + 1 < size; i++) {
		if (text[i] < '0' || text[i] > '9' || version > INT64_MAX / 10 - 1)
			return 0;
		version = version * 10 + (text[i] - '0');
	}
	if (text[0] == '"' && size > 2 && version > 0)
		*ret_version = version;
	return 0;
}

static int changed_answer(struct http_request *request, struct http_response *response,
			  const struct uuid *uuid, struct err *err)
{
	char *name = arena_alloc(request->arena, UUID_TEXT_SIZE);

	if (!name)
		return err_set(err, ERR_MEMORY, "out of memory");
	uuid_format(uuid, name);
	return user_answer(request, response, name, err);
}

static const struct field set_fields[] = {
	{ "username", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct user_fields, username),
	  NAME_MAX_BYTES, NULL, 0 },
	{ "email", FIELD_TEXT, FIELD_NULL_REMOVES, offsetof(struct user_fields, email),
	  NAME_MAX_BYTES, NULL, 0 },
	{ "display_name", FIELD_TEXT, FIELD_NULL_REMOVES,
	  offsetof(struct user_fields, display_name), 1024, NULL, 0 },
};

int user_patch(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct user_fields body = { 0 };
	struct actor actor = api_actor(request);
	struct uuid uuid;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    request_read(request, set_fields, ARRAY_LEN(set_fields), &body, err) < 0 ||
	    change_user_set(api->settings.changer, &actor, http_parameter(request, "user"), version,
			    &body, &uuid, &request->error_field, err) < 0)
		return -1;
	/* The name it was asked for by may be gone. */
	return changed_answer(request, response, &uuid, err);
}

int user_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct uuid uuid;
	int64_t version;

	if (if_match_read(request, &version, err) < 0)
		return -1;
	if (change_user_delete(api->settings.changer, &actor, http_parameter(request, "user"),
			       version, &uuid, err) < 0) {
		references_explain(request, http_parameter(request, "user"), err);
		return -1;
	}
	return changed_answer(request, response, &uuid, err);
}

int user_link(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct uuid uuid;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    change_user_link(api->settings.changer, &actor, http_parameter(request, "user"),
			     version, http_parameter(request, "source"),
			     http_parameter(request, "key"), &uuid, &request->error_field, err) < 0)
		return -1;
	return changed_answer(request, response, &uuid, err);
}

int user_unlink(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct uuid uuid;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    change_user_unlink(api->settings.changer, &actor, http_parameter(request, "user"),
			       version, http_parameter(request, "source"),
			       http_parameter(request, "key"), &uuid, err) < 0)
		return -1;
	return changed_answer(request, response, &uuid, err);
}

struct disable_body {
	const char *reason;
};

static const struct field disable_fields[] = {
	{ "reason", FIELD_TEXT, 0, offsetof(struct disable_body, reason), 1000, NULL, 0 },
};

int user_disable(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct disable_body body = { "" };
	struct actor actor = api_actor(request);
	const char *user = http_parameter(request, "user");
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    request_read(request, disable_fields, ARRAY_LEN(disable_fields), &body, err) < 0)
		return -1;
	if (change_user_disable_if(api->settings.changer, &actor, user, version, body.reason, err) <
	    0) {
		references_explain(request, user, err);
		return -1;
	}
	return user_answer(request, response, user, err);
}

int user_enable(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	const char *user = http_parameter(request, "user");
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    change_user_enable_if(api->settings.changer, &actor, user, version, err) < 0)
		return -1;
	return user_answer(request, response, user, err);
}

struct grant_body {
	const char *kind, *name;
	int64_t expires_s;
};

static const struct field grant_fields[] = {
	{ "kind", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct grant_body, kind), 16, NULL, 0 },
	{ "name", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct grant_body, name), 64, NULL, 0 },
	{ "expires", FIELD_DATE, 0, offsetof(struct grant_body, expires_s), 0, NULL, 0 },
};

int user_grant(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct grant_body body = { 0 };
	struct actor actor = api_actor(request);
	const char *user = http_parameter(request, "user");
	enum grant_kind kind;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    request_read(request, grant_fields, ARRAY_LEN(grant_fields), &body, err) < 0 ||
	    grant_kind_parse(request, "kind", body.kind, &kind, err) < 0)
		return -1;
	if (body.expires_s != 0 && body.expires_s <= clock_now_s()) {
		request->error_field = "expires";
		return err_set(err, ERR_INVALID, "'expires' is in the past");
	}
	if (change_grant_add_if(api->settings.changer, &actor, user, version, kind, body.name,
				body.expires_s, err) < 0)
		return -1;
	return user_answer(request, response, user, err);
}

int user_revoke(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	const char *user = http_parameter(request, "user");
	enum grant_kind kind;
	int64_t version;

	if (if_match_read(request, &version, err) < 0 ||
	    grant_kind_parse(request, "kind", http_parameter(request, "kind"), &kind, err) < 0 ||
	    change_grant_remove_if(api->settings.changer, &actor, user, version, kind,
				   http_parameter(request, "name"), err) < 0)
		return -1;
	return user_answer(request, response, user, err);
}
