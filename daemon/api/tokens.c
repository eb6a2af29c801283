/*
 * Tokens of the API, and who one is. Enters: requests. Leaves: JSON; the text of a new token once, in the answer to
 * its making, and nowhere else. Everybody sees and revokes their own; others' need tokens:read@all and
 * tokens:revoke@all, and end at the organization.
 */
#include <sodium.h>

#include <rolebridge/auth/bearers.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/change/token.h>

#include "access.h"
#include "reader.h"

#define NAME_MAX_BYTES 320 /* an e-mail address, or more than any name */
#define PERMISSIONS_MAX 256
#define PERMISSION_MAX_BYTES 160

/* -------------------------------------------------------------------- showing -- */

static void show_user_line(struct json *json, const struct user *user)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	json_object_key(json, "user");
	json_string(json, "id", uuid);
	json_string(json, "username", user->username);
	json_end(json);
}

static void show_texts(struct json *json, const char *key, const char *const *texts, size_t count)
{
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++)
		json_string(json, NULL, texts[i]);
	json_end(json);
}

static int show_owner(const struct reading_view *view, struct json *json,
		      const struct token_row *row, struct err *err)
{
	struct user user;

	if (row->user_id == 0) {
		json_null(json, "user");
		json_string(json, "service", row->service);
		return 0;
	}
	if (store_user_get(view->store, row->user_id, view->arena, &user, err) < 0)
		return -1;
	show_user_line(json, &user);
	json_null(json, "service");
	return 0;
}

static int show_token(const struct reading_view *view, struct json *json,
		      const struct token_row *row, const char *text, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&row->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "name", row->name);
	if (show_owner(view, json, row, err) < 0)
		return -1;
	json_string(json, "organization", row->organization);
	json_string(json, "application", row->application[0] ? row->application : NULL);
	if (row->scope)
		show_texts(json, "scope", row->scope, row->scope_count);
	else
		json_null(json, "scope");
	json_time(json, "created", row->created_s);
	json_string(json, "created_by", row->created_by);
	json_time(json, "expires", row->expires_s);
	json_time(json, "used", row->used_s);
	json_time(json, "revoked", row->revoked_s);
	if (text)
		json_string(json, "token", text);
	json_end(json);
	return 0;
}

/* --------------------------------------------------------------------- reading -- */

/* Their own alone; a service has none. Whether somebody else is there at all is not told. */
static int read_own(struct http_request *request, const struct reading_view *view,
		    const struct authority *authority, struct token_query *query, struct err *err)
{
	const char *name = http_query(request, "user");
	struct actor actor = api_actor(request);
	struct user user = { .id = actor.user_id };
	struct err missing = { 0 };

	if (name && view_find_user(request, view, name, &user, &missing) < 0) {
		if (missing.code != ERR_NOT_FOUND) {
			*err = missing;
			return -1;
		}
		user.id = 0;
	}
	if (actor.user_id == 0 || query->service || user.id != actor.user_id)
		return authority_require(authority, "tokens:read@all", err);
	query->user_id = actor.user_id;
	return 0;
}

/* Whose tokens are asked for, and may be seen. */
static int read_query(struct http_request *request, const struct reading_view *view,
		      struct token_query *query, struct err *err)
{
	const char *name = http_query(request, "user");
	struct authority authority;
	struct user user;

	if (api_authority(request, view, &authority, err) < 0)
		return -1;
	query->organization = api_organization(request);
	query->service = http_query(request, "service");
	if (!authority_allows(&authority, "tokens:read@all"))
		return read_own(request, view, &authority, query, err);
	if (!name)
		return 0;
	if (view_find_user(request, view, name, &user, err) < 0) {
		request->error_field = "user";
		return -1;
	}
	query->user_id = user.id;
	return 0;
}

int tokens_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "user", "service", "all", "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct token_query query = { .now_s = clock_now_s() };
	struct json json = api_json(response);
	struct token_row *rows;
	int64_t limit;
	size_t count;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "all", false, &query.all, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, 1000, 100, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 || read_query(request, &view, &query, err) < 0)
		return -1;
	query.limit = (size_t)limit;
	if (store_token_list(view.store, &query, view.arena, &rows, &count, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "tokens");
	for (size_t i = 0; i < count; i++)
		if (show_token(&view, &json, &rows[i], NULL, err) < 0)
			return -1;
	json_end(&json);
	show_next(&json, count == query.limit ? rows[count - 1].id : 0);
	json_end(&json);
	return 0;
}

/* ---------------------------------------------------------------------- making -- */

struct token_body {
	struct new_token token;
	struct field_list scope;
};

static const struct field token_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct token_body, token.name), 64, NULL,
	  0 },
	{ "user", FIELD_TEXT, 0, offsetof(struct token_body, token.user), NAME_MAX_BYTES, NULL, 0 },
	{ "service", FIELD_TEXT, 0, offsetof(struct token_body, token.service), 64, NULL, 0 },
	{ "organization", FIELD_TEXT, 0, offsetof(struct token_body, token.organization), 64, NULL,
	  0 },
	{ "application", FIELD_TEXT, 0, offsetof(struct token_body, token.application), 64, NULL,
	  0 },
	{ "scope", FIELD_TEXTS, 0, offsetof(struct token_body, scope), PERMISSIONS_MAX, NULL,
	  PERMISSION_MAX_BYTES },
	{ "expires", FIELD_DATE, 0, offsetof(struct token_body, token.expires_s), 0, NULL, 0 },
};

/* A token that is made with another one does not outlive it: a leak would never end. */
static int check_expiry(struct http_request *request, struct new_token *token, struct err *err)
{
	const struct api *api = request->context;
	const struct caller *caller = api_caller(request);
	int64_t now_s = clock_now_s(), default_s, max_s;

	web_token_lifetimes(api->settings.web, &default_s, &max_s);
	if (caller->token && caller->expires_s - now_s < max_s)
		max_s = caller->expires_s - now_s;
	if (token->expires_s == 0)
		token->expires_s = now_s + (default_s < max_s ? default_s : max_s);
	if (token->expires_s > now_s && token->expires_s - now_s <= max_s)
		return 0;
	request->error_field = "expires";
	return err_set(err, ERR_INVALID, "'expires' must lie ahead, at most %lld days",
		       (long long)(max_s / 86400));
}

/*
 * Tokens are not asked for a second factor: whoever has a session makes none that may do what the session itself may only
 * do with a fresh one.
 */
static int check_step_up(struct http_request *request, const struct token_body *body,
			 struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct authority authority;

	if (!api_caller(request)->by_session)
		return 0;
	if (api_step_up(request, "tokens:create@own", err) < 0)
		return -1;
	if (body->scope.items)
		return api_step_up_within(request, body->scope.items, body->scope.count, err);
	return view_open(request, &view, err) < 0 ||
			       api_authority(request, &view, &authority, err) < 0
		       ? -1
		       : api_step_up_within(request, authority.permissions,
					    authority.permission_count, err);
}

static int answer_made(struct http_request *request, struct http_response *response,
		       const struct uuid *uuid, const char *text, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	char id[UUID_TEXT_SIZE];
	struct token_row row;

	uuid_format(uuid, id);
	response->status = 201;
	http_response_header(response, "Location",
			     arena_printf(request->arena, "/api/v1/tokens/%s", id));
	http_response_header(response, "Cache-Control", "no-store");
	if (view_open(request, &view, err) < 0 ||
	    store_token_find(view.store, uuid, view.arena, &row, err) < 0)
		return -1;
	return show_token(&view, &json, &row, text, err);
}

int tokens_post(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct token_body body = { 0 };
	char text[BEARER_TEXT];
	struct uuid uuid;
	int result;

	if (request_read(request, token_fields, ARRAY_LEN(token_fields), &body, err) < 0 ||
	    check_expiry(request, &body.token, err) < 0 || check_step_up(request, &body, err) < 0)
		return -1;
	body.token.scope = body.scope.items;
	body.token.scope_count = body.scope.count;
	bearer_make(text, &body.token.hash);
	result = change_token_create(api->settings.changer, &actor, &body.token, &uuid,
				     &request->error_field, err);
	if (result == 0)
		result = answer_made(request, response, &uuid, text, err);
	sodium_memzero(text, sizeof(text));
	return result;
}

int token_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	const char *text = http_parameter(request, "id");
	struct json json = api_json(response);
	struct uuid uuid;

	if (!uuid_parse(text, &uuid))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such token");
	if (change_token_revoke(api->settings.changer, &actor, &uuid, err) < 0)
		return -1;
	json_object(&json);
	json_string(&json, "revoked", text);
	json_end(&json);
	return 0;
}

/* ------------------------------------------------------------------ who one is -- */

static int show_self(const struct reading_view *view, struct json *json, int64_t user_id,
		     struct err *err)
{
	struct user user;

	if (user_id == 0) {
		json_null(json, "user");
		return 0;
	}
	if (store_user_get(view->store, user_id, view->arena, &user, err) < 0)
		return -1;
	json_object_key(json, "user");
	show_user_members(json, &user);
	json_end(json);
	return 0;
}

static void show_permissions(struct json *json, const struct authority *authority)
{
	static const char *const everything[] = { "*:*@all" };

	json_bool(json, "administrator", authority->is_administrator);
	if (authority->unlimited)
		show_texts(json, "permissions", everything, 1);
	else
		show_texts(json, "permissions", authority->permissions,
			   authority->permission_count);
	if (authority->scope)
		show_texts(json, "scope", authority->scope, authority->scope_count);
	else
		json_null(json, "scope");
}

int me_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct caller *caller = api_caller(request);
	struct json json = api_json(response);
	struct authority authority;
	char csrf[CSRF_TEXT];

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    api_authority(request, &view, &authority, err) < 0)
		return -1;
	http_response_header(response, "Cache-Control", "no-store");
	json_object(&json);
	json_string(&json, "actor", caller->actor.name);
	json_string(&json, "service", caller->service);
	json_string(&json, "token", caller->token);
	json_string(&json, "organization", api_organization(request));
	json_string(&json, "application", caller->actor.application);
	json_time(&json, "expires", caller->expires_s);
	show_permissions(&json, &authority);
	if (show_self(&view, &json, caller->actor.user_id, err) < 0)
		return -1;
	if (caller->by_session) {
		caller_csrf(request, csrf);
		json_string(&json, "csrf_token", csrf);
	}
	json_end(&json);
	return 0;
}
