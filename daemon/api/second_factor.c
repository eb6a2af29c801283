/*
 * Who must prove a second factor, per organization. Enters: who asks, and a policy. Leaves: the policy in force and where
 * it stands; before it is set (?dry_run=true), and of the one in force, who would be locked out. What a file says is
 * read-only here. Whoever belongs to one organization is told of no other.
 */
#include <rolebridge/change/enforce.h>

#include "access.h"
#include "definitions.h"

#define POLICY_TEXT_MAX ((size_t)256 * 1024)
#define NAMES_MAX 1000
#define NAME_MAX_BYTES 64
#define DAY_MAX_BYTES 10
#define NUMBER_MAX (10 * (int64_t)366 * 86400)
#define PEOPLE_MAX 1000
#define PEOPLE_USUAL 100

static const char *const from_names[] = {
	[ENFORCE_DEFAULT] = "default", [ENFORCE_FILE] = "file", [ENFORCE_STORE] = "store"
};

/* The {organization} of the path, where the caller may see it. ERR_NOT_FOUND as of one that is not there. */
static int find_organization(const struct http_request *request, const struct setup *setup,
			     const char **ret_name, struct err *err)
{
	const char *name = http_parameter(request, "organization");
	const char *own = api_organization(request);

	if ((own && strcmp(own, name) != 0) || !change_organization_exists(setup, name))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such organization");
	*ret_name = name;
	return 0;
}

static int show_state(struct http_request *request, struct http_response *response,
		      const struct enforce_state *state)
{
	struct json json = api_json(response);

	if (state->from != ENFORCE_FILE)
		etag_set(request, response, state->version);
	json_object(&json);
	json_string(&json, "organization", state->organization);
	json_string(&json, "from", from_names[state->from]);
	json_int(&json, "version", state->version);
	json_time(&json, "set", state->set_s);
	json_object_key(&json, "policy");
	factor_policy_write(&state->policy, &json);
	json_end(&json);
	json_end(&json);
	return 0;
}

int second_factor_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct enforce_state state;
	const char *organization;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    find_organization(request, view.setup, &organization, err) < 0 ||
	    change_enforce_get(view.setup, view.store, organization, view.arena, &state, err) < 0)
		return -1;
	return show_state(request, response, &state);
}

/* ----------------------------------------------------------- who is locked out -- */

static void show_person(struct json *json, const struct enforce_person *person)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&person->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "username", person->username);
	json_string(json, "display_name", person->display_name);
	json_bool(json, "administrator", person->is_administrator);
	json_bool(json, "idp", person->idp);
	json_array_key(json, "enrolled");
	for (enum factor_method method = FACTOR_TOTP; method < FACTOR_METHODS; method++)
		if (person->enrolled & FACTOR_BIT(method))
			json_string(json, NULL, factor_method_name(method));
	json_end(json);
	json_end(json);
}

static void show_preview(struct json *json, const struct enforce_preview *preview)
{
	json_int(json, "required", preview->required);
	json_int(json, "ready", preview->ready);
	json_int(json, "idp", preview->idp);
	json_int(json, "locked_out", preview->locked_out);
	json_int(json, "locked_out_administrators", preview->locked_out_administrators);
	json_array_key(json, "people");
	for (size_t i = 0; i < preview->count; i++)
		show_person(json, &preview->people[i]);
	json_end(json);
	show_next(json, preview->next);
}

static int preview(struct http_request *request, struct http_response *response,
		   const struct reading_view *view, const char *organization,
		   const struct factor_policy *policy, bool dry_run, struct err *err)
{
	struct json json = api_json(response);
	struct enforce_preview found;
	int64_t after;
	size_t limit;

	if (query_page(request, PEOPLE_MAX, PEOPLE_USUAL, &after, &limit, err) < 0 ||
	    change_enforce_preview(view->setup, view->store, organization, policy, after, limit,
				   view->arena, &found, err) < 0)
		return -1;
	json_object(&json);
	json_bool(&json, "dry_run", dry_run);
	json_string(&json, "organization", organization);
	show_preview(&json, &found);
	json_end(&json);
	return 0;
}

int second_factor_locked_out_get(struct http_request *request, struct http_response *response,
				 struct err *err)
{
	static const char *const names[] = { "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct enforce_state state;
	const char *organization;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    find_organization(request, view.setup, &organization, err) < 0 ||
	    change_enforce_get(view.setup, view.store, organization, view.arena, &state, err) < 0)
		return -1;
	return preview(request, response, &view, organization, &state.policy, false, err);
}

/* ------------------------------------------------------------------------- set -- */

struct policy_body {
	const char *required;
	struct field_list profiles, roles, groups, methods, administrator_methods;
	struct {
		const char *until;
		int64_t sign_ins;
	} grace;
	struct {
		int64_t time_s, devices;
	} remember;
};

#define BODY_TEXTS(name, member) \
	{ \
		name, FIELD_TEXTS, 0, offsetof(struct policy_body, member), NAMES_MAX, NULL, \
			NAME_MAX_BYTES \
	}
#define GRACE(member) \
	(offsetof(struct policy_body, grace.member) - offsetof(struct policy_body, grace))
#define REMEMBER(member) \
	(offsetof(struct policy_body, remember.member) - offsetof(struct policy_body, remember))

static const struct field grace_fields[] = {
	{ "until", FIELD_TEXT, 0, GRACE(until), DAY_MAX_BYTES, NULL, 0 },
	{ "sign_ins", FIELD_INT, 0, GRACE(sign_ins), NUMBER_MAX, NULL, 0 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};
static const struct field remember_fields[] = {
	{ "time", FIELD_INT, 0, REMEMBER(time_s), NUMBER_MAX, NULL, 0 },
	{ "devices", FIELD_INT, 0, REMEMBER(devices), NUMBER_MAX, NULL, 0 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};
static const struct field policy_fields[] = {
	{ "required", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct policy_body, required),
	  NAME_MAX_BYTES, NULL, 0 },
	BODY_TEXTS("profiles", profiles),
	BODY_TEXTS("roles", roles),
	BODY_TEXTS("groups", groups),
	BODY_TEXTS("methods", methods),
	BODY_TEXTS("administrator_methods", administrator_methods),
	{ "grace", FIELD_OBJECT, 0, offsetof(struct policy_body, grace), 0, grace_fields, 0 },
	{ "remember", FIELD_OBJECT, 0, offsetof(struct policy_body, remember), 0, remember_fields,
	  0 },
};

static void write_texts(struct json *json, const char *key, const struct field_list *list)
{
	const char *const *items = list->items;

	if (list->count == 0)
		return;
	json_array_key(json, key);
	for (size_t i = 0; i < list->count; i++)
		json_string(json, NULL, items[i]);
	json_end(json);
}

static void write_number(struct json *json, const char *key, int64_t number)
{
	if (number != 0)
		json_int(json, key, number);
}

/* As files and store have it: one reader judges all three. */
static void write_policy(struct json *json, const struct policy_body *body)
{
	json_object(json);
	json_string(json, "required", body->required);
	write_texts(json, "profiles", &body->profiles);
	write_texts(json, "roles", &body->roles);
	write_texts(json, "groups", &body->groups);
	write_texts(json, "methods", &body->methods);
	write_texts(json, "administrator_methods", &body->administrator_methods);
	json_object_key(json, "grace");
	if (body->grace.until)
		json_string(json, "until", body->grace.until);
	write_number(json, "sign_ins", body->grace.sign_ins);
	json_end(json);
	json_object_key(json, "remember");
	/* Also 0: where no time is said, files mean the usual one. */
	json_int(json, "time", body->remember.time_s);
	write_number(json, "devices", body->remember.devices);
	json_end(json);
	json_end(json);
}

static int read_policy(struct http_request *request, struct factor_policy *ret_policy,
		       struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(POLICY_TEXT_MAX);
	struct policy_body body = { 0 };
	struct json json = JSON(&text);

	if (request_read(request, policy_fields, ARRAY_LEN(policy_fields), &body, err) < 0)
		return -1;
	write_policy(&json, &body);
	if (strbuf_failed(&text))
		return err_set(err, ERR_TOO_LARGE, "a policy is not that long");
	return factor_policy_read(strbuf_text(&text), text.size, request->arena, ret_policy, err);
}

static int set(struct http_request *request, struct http_response *response,
	       const char *organization, const struct factor_policy *policy, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct enforce_change change = { .organization = organization, .policy = *policy };
	struct enforce_state state;

	if (if_match_read(request, &change.version, err) < 0 ||
	    change_enforce_set(api->settings.changer, &actor, &change, request->arena, &state,
			       err) < 0)
		return -1;
	return show_state(request, response, &state);
}

int second_factor_put(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "dry_run", "after", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct factor_policy policy;
	const char *organization;
	bool dry_run;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "dry_run", false, &dry_run, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    find_organization(request, view.setup, &organization, err) < 0 ||
	    read_policy(request, &policy, err) < 0 ||
	    change_enforce_check(view.setup, organization, &policy, err) < 0)
		return -1;
	return dry_run ? preview(request, response, &view, organization, &policy, true, err)
		       : set(request, response, organization, &policy, err);
}
