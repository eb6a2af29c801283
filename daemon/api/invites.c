/*
 * Handlers of invites: make, list, show, send anew, revoke. Enters: whom and what for. Leaves: invites as people see
 * them, never their links. Refused without a mail server or an address of ours to send people to.
 */
#include <rolebridge/base/clock.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/change/invite.h>
#include <rolebridge/client/mail.h>
#include <rolebridge/identity/names.h>

#include "internal.h"
#include "reader.h"

#define ADDRESS_MAX 320
#define NAME_MAX_BYTES 64
#define GRANTS_MAX 200

/* ------------------------------------------------------------------- showing -- */

static void show_names(struct json *json, const char *key, const struct invite_row *invite,
		       enum grant_kind kind)
{
	json_array_key(json, key);
	for (size_t i = 0; i < invite->grant_count; i++)
		if (invite->grants[i].kind == kind)
			json_string(json, NULL, invite->grants[i].name);
	json_end(json);
}

static const char *profile_of(const struct invite_row *invite)
{
	for (size_t i = 0; i < invite->grant_count; i++)
		if (invite->grants[i].kind == GRANT_PROFILE)
			return invite->grants[i].name;
	return "";
}

/* Who came of it; null: nobody. */
static int show_user(const struct reading_view *view, struct json *json,
		     const struct invite_row *invite, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct user user;

	if (invite->user_id == 0) {
		json_null(json, "user");
		return 0;
	}
	if (store_user_get(view->store, invite->user_id, view->arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, uuid);
	json_string(json, "user", uuid);
	return 0;
}

static int show_invite(const struct reading_view *view, struct json *json,
		       const struct invite_row *invite, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&invite->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "state", invite_state_name(invite_state_of(invite, clock_now_s())));
	json_string(json, "email", invite->email);
	json_string(json, "username", invite->username);
	json_string(json, "display_name", invite->display_name);
	json_string(json, "organization", invite->organization);
	json_string(json, "profile", profile_of(invite));
	show_names(json, "roles", invite, GRANT_ROLE);
	show_names(json, "personas", invite, GRANT_PERSONA);
	show_names(json, "groups", invite, GRANT_GROUP);
	json_string(json, "invited_by", invite->actor);
	json_time(json, "created", invite->created_s);
	json_time(json, "sent", invite->sent_s);
	json_time(json, "expires", invite->expires_s);
	json_int(json, "sendings", invite->generation);
	json_time(json, "mailed", invite->mailed_s);
	json_string(json, "mail_problem", invite->mail_problem);
	json_time(json, "ended", invite->ended_s);
	if (show_user(view, json, invite, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

/* ------------------------------------------------------------------- reading -- */

/* The organization that the caller sees; NULL: all of them. */
static int seen_organization(struct http_request *request, const struct reading_view *view,
			     const char **ret_organization, struct err *err)
{
	struct actor actor = api_actor(request);
	struct authority authority;

	if (authority_of_actor(view->store, view->setup, &actor, clock_now_s(), view->arena,
			       &authority, err) < 0)
		return -1;
	*ret_organization = authority.unlimited ? NULL : authority.organization;
	return 0;
}

static int find_invite(struct http_request *request, const struct reading_view *view,
		       const struct uuid *uuid, struct invite_row *ret_invite, struct err *err)
{
	const char *organization;

	if (seen_organization(request, view, &organization, err) < 0 ||
	    store_invite_get(view->store, uuid, view->arena, ret_invite, err) < 0)
		return -1;
	if (organization && strcmp(organization, ret_invite->organization) != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such invite");
	return 0;
}

static int answer(struct http_request *request, struct http_response *response,
		  const struct uuid *uuid, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct invite_row invite;

	if (view_open(request, &view, err) < 0 ||
	    find_invite(request, &view, uuid, &invite, err) < 0)
		return -1;
	return show_invite(&view, &json, &invite, err);
}

static int read_id(const struct http_request *request, struct uuid *ret_uuid, struct err *err)
{
	if (uuid_parse(http_parameter(request, "id"), ret_uuid))
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such invite");
}

static int read_state(struct http_request *request, int *ret_state, struct err *err)
{
	const char *text = http_query(request, "state");

	*ret_state = -1;
	if (!text || strcmp(text, "any") == 0)
		return 0;
	for (int state = 0; state < INVITE_STATES; state++)
		if (strcmp(text, invite_state_name((enum invite_state)state)) == 0) {
			*ret_state = state;
			return 0;
		}
	request->error_field = "state";
	return err_set(err, ERR_INVALID,
		       "'state' must be pending, expired, accepted, revoked or any");
}

/* Not an address: nobody was invited there. */
static int read_email(struct http_request *request, const char **ret_email, struct err *err)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(4096);
	const char *text = http_query(request, "email");

	*ret_email = NULL;
	if (!text)
		return 0;
	if (email_normalize(text, &normal, err) < 0) {
		request->error_field = "email";
		return -1;
	}
	*ret_email = arena_strdup(request->arena, strbuf_text(&normal));
	return *ret_email ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

/* Of a limited caller: their own organization, whichever is asked for. */
static int read_query(struct http_request *request, const struct reading_view *view,
		      struct invite_query *ret_query, bool *ret_nothing, struct err *err)
{
	static const char *const names[] = { "state", "email", "organization",
					     "after", "limit", NULL };
	const char *asked = http_query(request, "organization"), *seen;
	struct invite_query query = { .now_s = clock_now_s() };
	int64_t limit;

	if (http_query_allow(request, names, err) < 0 ||
	    read_state(request, &query.state, err) < 0 ||
	    read_email(request, &query.email, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &query.after_id, err) < 0 ||
	    http_query_int(request, "limit", 1, 1000, 100, &limit, err) < 0 ||
	    seen_organization(request, view, &seen, err) < 0)
		return -1;
	query.organization = asked && asked[0] ? asked : seen;
	*ret_nothing = seen && query.organization && strcmp(seen, query.organization) != 0;
	query.limit = (size_t)limit;
	*ret_query = query;
	return 0;
}

int invites_get(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct invite_row *invites = NULL;
	struct invite_query query;
	size_t count = 0;
	bool nothing;

	if (view_open(request, &view, err) < 0 ||
	    read_query(request, &view, &query, &nothing, err) < 0 ||
	    (!nothing &&
	     store_invite_list(view.store, &query, view.arena, &invites, &count, err) < 0))
		return -1;
	json_object(&json);
	json_array_key(&json, "invites");
	for (size_t i = 0; i < count; i++)
		if (show_invite(&view, &json, &invites[i], err) < 0)
			return -1;
	json_end(&json);
	show_next(&json, count == query.limit ? invites[count - 1].id : 0);
	json_end(&json);
	return 0;
}

int invite_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	struct uuid uuid;

	if (http_query_allow(request, names, err) < 0 || read_id(request, &uuid, err) < 0)
		return -1;
	return answer(request, response, &uuid, err);
}

/* ------------------------------------------------------------------- changes -- */

struct invite_body {
	const char *email, *username, *display_name, *organization, *profile;
	struct field_list grants[GRANT_KINDS]; /* by kind; none for the profile */
};

#define NAMES_FIELD(name, kind) \
	{ \
		name, FIELD_TEXTS, 0, offsetof(struct invite_body, grants[kind]), GRANTS_MAX, \
			NULL, NAME_MAX_BYTES \
	}

static const struct field invite_fields[] = {
	{ "email", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct invite_body, email), ADDRESS_MAX,
	  NULL, 0 },
	{ "username", FIELD_TEXT, 0, offsetof(struct invite_body, username), ADDRESS_MAX, NULL, 0 },
	{ "display_name", FIELD_TEXT, 0, offsetof(struct invite_body, display_name), 512, NULL, 0 },
	{ "organization", FIELD_TEXT, 0, offsetof(struct invite_body, organization), NAME_MAX_BYTES,
	  NULL, 0 },
	{ "profile", FIELD_TEXT, 0, offsetof(struct invite_body, profile), NAME_MAX_BYTES, NULL,
	  0 },
	NAMES_FIELD("roles", GRANT_ROLE),
	NAMES_FIELD("personas", GRANT_PERSONA),
	NAMES_FIELD("groups", GRANT_GROUP),
};

static int gather(struct http_request *request, const struct invite_body *body,
		  struct new_invite *invite, struct err *err)
{
	size_t count = 0, room = 1;
	struct invite_grant *grants;

	for (int kind = 0; kind < GRANT_KINDS; kind++)
		room += body->grants[kind].count;
	grants = arena_alloc_array(request->arena, room, sizeof(*grants));
	if (!grants)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (int kind = 0; kind < GRANT_KINDS; kind++) {
		const char **names = body->grants[kind].items;

		for (size_t i = 0; i < body->grants[kind].count; i++)
			grants[count++] = (struct invite_grant){ (enum grant_kind)kind, names[i] };
	}
	invite->grants = grants;
	invite->grant_count = count;
	return 0;
}

static int lifetime(const struct api *api, int64_t *ret_lifetime_s, struct err *err)
{
	if (web_invites(api->settings.web, ret_lifetime_s))
		return 0;
	return err_refuse(err, ERR_CONFLICT, "mail-not-configured",
			  "invites need 'mail' and 'public_url' in the configuration");
}

/* What an address may be is one thing, what mail can be sent to another. */
static int check_address(struct http_request *request, const char *email, struct err *err)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(4096);

	if (email_normalize(email, &normal, err) == 0 &&
	    mail_check_address(strbuf_text(&normal), err) == 0)
		return 0;
	request->error_field = "email";
	return -1;
}

int invites_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct invite_body body = { 0 };
	struct actor actor = api_actor(request);
	struct new_invite invite;
	struct uuid uuid;
	char id[UUID_TEXT_SIZE];

	if (request_read(request, invite_fields, ARRAY_LEN(invite_fields), &body, err) < 0 ||
	    check_address(request, body.email, err) < 0)
		return -1;
	invite = (struct new_invite){ .email = body.email,
				      .username = body.username,
				      .display_name = body.display_name,
				      .organization = body.organization,
				      .profile = body.profile };
	if (lifetime(api, &invite.lifetime_s, err) < 0 ||
	    gather(request, &body, &invite, err) < 0 ||
	    change_invite_create(api->settings.changer, &actor, &invite, &uuid,
				 &request->error_field, err) < 0)
		return -1;
	uuid_format(&uuid, id);
	response->status = 201;
	http_response_header(response, "Location",
			     arena_printf(request->arena, "/api/v1/invites/%s", id));
	return answer(request, response, &uuid, err);
}

int invite_resend_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	int64_t lifetime_s;
	struct uuid uuid;

	if (read_id(request, &uuid, err) < 0 || lifetime(api, &lifetime_s, err) < 0 ||
	    change_invite_resend(api->settings.changer, &actor, &uuid, lifetime_s, err) < 0)
		return -1;
	return answer(request, response, &uuid, err);
}

int invite_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	struct uuid uuid;

	if (read_id(request, &uuid, err) < 0 ||
	    change_invite_revoke(api->settings.changer, &actor, &uuid, err) < 0)
		return -1;
	return answer(request, response, &uuid, err);
}
