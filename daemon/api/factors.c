/*
 * One's own second factors: seen, enrolled, confirmed, named, removed; one's own recovery codes. Enters: requests of
 * somebody in a session of theirs, for a token is no proof of who holds it. Leaves: JSON; a secret, and codes, once, in the
 * answer to their making. Security keys are asked for in signin/webauthn.c.
 */
#include "factors.h"

#include <sodium.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/change/device.h>
#include <rolebridge/policy/factor.h>

#include "signin/signin.h"

#define ADDRESS_MAX_BYTES 320
#define ISSUER "rolebridge"

/* --------------------------------------------------------------------- who asks -- */

struct factor_parts factor_parts_of(const struct web *web)
{
	const struct web_settings_in *settings = &web->settings;

	return (struct factor_parts){ .changer = settings->changer,
				      .seal = settings->seal,
				      .tickets = settings->tickets,
				      .hasher = settings->hasher,
				      .throttle = settings->throttle,
				      .courier = settings->courier };
}

static int session_required(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "session-required",
			  "this is for people who are signed in, about themselves");
}

int own_begin(struct http_request *request, struct own *ret_own, struct err *err)
{
	const struct api *api = request->context;
	const struct caller *caller = api_caller(request);
	struct own own = { .caller = caller, .actor = api_actor(request) };

	*ret_own = own;
	if (!caller || !caller->by_session)
		return session_required(err);
	own.site = site_take(api->settings.web, err);
	if (!own.site)
		return -1;
	own.parts = factor_parts_of(api->settings.web);
	own.asker = (struct factor_asker){ .user_id = own.actor.user_id,
					   .session_id = caller->session_id,
					   .address = http_client_text(request),
					   .now_s = clock_now_s() };
	session_token_make(own.token, &own.asker.token);
	*ret_own = own;
	ret_own->asker.actor = &ret_own->actor;
	return 0;
}

void own_finish(struct own *own)
{
	sodium_memzero(own->token, sizeof(own->token));
	site_give(own->site);
}

int own_rotate(struct http_request *request, struct http_response *response, const struct own *own,
	       struct err *err)
{
	return cookie_set(request, response, own->site->secure, COOKIE_SESSION, "", own->token, -1,
			  err);
}

int own_user(const struct http_request *request, int64_t *ret_user_id, struct err *err)
{
	const struct caller *caller = api_caller(request);

	if (!caller || !caller->actor.limited || caller->actor.user_id == 0)
		return session_required(err);
	*ret_user_id = caller->actor.user_id;
	return 0;
}

int factor_parameter(const struct http_request *request, struct uuid *ret_factor, struct err *err)
{
	return uuid_parse(http_parameter(request, "factor"), ret_factor)
		       ? 0
		       : err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
}

void factor_wait(struct http_request *request, int64_t wait_s)
{
	if (wait_s > 0)
		request->retry_after_s = wait_s > UINT16_MAX ? UINT16_MAX : (unsigned)wait_s;
}

/* ---------------------------------------------------------------------- showing -- */

void show_methods(struct json *json, const char *key, unsigned methods)
{
	json_array_key(json, key);
	for (enum factor_method method = FACTOR_TOTP; method <= FACTOR_ISSUED; method++)
		if (methods & FACTOR_BIT(method))
			json_string(json, NULL, factor_method_name(method));
	json_end(json);
}

static void show_factor(struct json *json, const char *key, const struct factor_row *row)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&row->uuid, uuid);
	if (key)
		json_object_key(json, key);
	else
		json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "method", factor_method_name(row->method));
	json_string(json, "name", row->name);
	json_string(json, "address", row->hint[0] ? row->hint : NULL);
	json_time(json, "created", row->created_s);
	json_time(json, "confirmed", row->confirmed_s);
	json_time(json, "used", row->used_s);
	json_end(json);
}

/* How many printed ones are left, and when an administrator's ends. */
static int show_codes(const struct reading_view *view, struct json *json, int64_t user_id,
		      struct err *err)
{
	struct recovery_row *rows;
	int64_t issued_s = 0, made_s = 0, left = 0;
	size_t count;

	if (store_recovery_list(view->store, user_id, view->arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		bool good = rows[i].used_s == 0 &&
			    (rows[i].until_s == 0 || clock_now_s() < rows[i].until_s);

		if (rows[i].slot == RECOVERY_SLOT_ISSUED) {
			issued_s = good ? rows[i].until_s : 0;
			continue;
		}
		left += good;
		made_s = rows[i].created_s;
	}
	json_object_key(json, "recovery_codes");
	json_int(json, "left", left);
	json_time(json, "made", made_s);
	json_end(json);
	json_time(json, "issued_code_expires", issued_s);
	return 0;
}

int show_factors(const struct reading_view *view, struct json *json, int64_t user_id,
		 struct err *err)
{
	struct factor_row *rows;
	size_t count;

	if (store_factor_list(view->store, user_id, false, view->arena, &rows, &count, err) < 0)
		return -1;
	json_array_key(json, "factors");
	for (size_t i = 0; i < count; i++)
		show_factor(json, NULL, &rows[i]);
	json_end(json);
	return show_codes(view, json, user_id, err);
}

int show_own_factor(struct http_request *request, struct json *json, const struct uuid *factor,
		    struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct factor_row row;

	if (view_open(request, &view, err) < 0 ||
	    store_factor_get(view.store, factor, view.arena, &row, err) < 0)
		return -1;
	show_factor(json, "factor", &row);
	return 0;
}

/* What policy says of them. */
static int show_policy(struct http_request *request, const struct reading_view *view,
		       struct json *json, int64_t user_id, struct err *err)
{
	const struct api *api = request->context;
	struct factor_answer answer;
	unsigned enrolled;

	if (change_stage_read(api->settings.changer, view->store, user_id, 0, clock_now_s(),
			      view->arena, &answer, &enrolled, err) < 0)
		return -1;
	json_bool(json, "required", answer.required);
	show_methods(json, "methods", answer.methods);
	return 0;
}

int me_factors_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	int64_t user_id = 0;

	if (http_query_allow(request, names, err) < 0 || own_user(request, &user_id, err) < 0 ||
	    view_open(request, &view, err) < 0)
		return -1;
	http_response_header(response, "Cache-Control", "no-store");
	json_object(&json);
	if (show_policy(request, &view, &json, user_id, err) < 0 ||
	    show_factors(&view, &json, user_id, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

/* -------------------------------------------------------------------- enrolling -- */

struct enrol_body {
	const char *method, *name, *address;
};

static const struct field enrol_fields[] = {
	{ "method", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct enrol_body, method),
	  METHOD_MAX_BYTES, NULL, 0 },
	{ "name", FIELD_TEXT, 0, offsetof(struct enrol_body, name), FACTOR_NAME_MAX, NULL, 0 },
	{ "address", FIELD_TEXT, 0, offsetof(struct enrol_body, address), ADDRESS_MAX_BYTES, NULL,
	  0 },
};

static int enrol_totp(struct http_request *request, struct http_response *response,
		      const struct own *own, const struct enrol_body *body, struct err *err)
{
	struct json json = api_json(response);
	AUTO(reading_view) struct reading_view view = { 0 };
	struct totp_enrolment enrolment;
	char uuid[UUID_TEXT_SIZE];
	struct user user;

	if (view_open(request, &view, err) < 0 ||
	    store_user_get(view.store, own->asker.user_id, view.arena, &user, err) < 0 ||
	    factor_enrol_totp(&own->parts, &own->asker, body->name ? body->name : "", ISSUER,
			      user.username, request->arena, &enrolment, err) < 0)
		return -1;
	uuid_format(&enrolment.uuid, uuid);
	json_object(&json);
	json_string(&json, "id", uuid);
	json_string(&json, "method", factor_method_name(FACTOR_TOTP));
	json_time(&json, "expires", enrolment.until_s);
	json_string(&json, "secret", enrolment.secret);
	json_string(&json, "uri", enrolment.uri);
	json_string(&json, "qr", enrolment.svg);
	json_end(&json);
	text_wipe(enrolment.secret);
	text_wipe(enrolment.uri);
	text_wipe(enrolment.svg);
	return 0;
}

static int enrol_address(struct http_request *request, struct http_response *response,
			 const struct own *own, enum factor_method method,
			 const struct enrol_body *body, struct err *err)
{
	struct json json = api_json(response);
	AUTO(reading_view) struct reading_view view = { 0 };
	char text[UUID_TEXT_SIZE];
	int64_t until_s, wait_s = 0;
	struct uuid uuid;

	request->error_field = "address";
	if (!body->address)
		return err_set(err, ERR_INVALID, "field 'address' is missing");
	if (view_open(request, &view, err) < 0)
		return -1;
	if (factor_enrol_address(&own->parts, &own->asker, view.store, method,
				 body->name ? body->name : "", body->address, &uuid, &until_s,
				 &wait_s, err) < 0) {
		request->error_field = err->code == ERR_INVALID ? "address" : NULL;
		factor_wait(request, wait_s);
		return -1;
	}
	uuid_format(&uuid, text);
	json_object(&json);
	json_string(&json, "id", text);
	json_string(&json, "method", factor_method_name(method));
	json_time(&json, "expires", until_s);
	json_end(&json);
	return 0;
}

static int enrol(struct http_request *request, struct http_response *response,
		 const struct own *own, struct err *err)
{
	struct enrol_body body = { 0 };
	enum factor_method method;

	if (request_read(request, enrol_fields, ARRAY_LEN(enrol_fields), &body, err) < 0)
		return -1;
	method = factor_method_find(body.method);
	response->status = 201;
	http_response_header(response, "Cache-Control", "no-store");
	if (method == FACTOR_TOTP)
		return enrol_totp(request, response, own, &body, err);
	if (method == FACTOR_EMAIL || method == FACTOR_SMS)
		return enrol_address(request, response, own, method, &body, err);
	request->error_field = "method";
	return err_set(err, ERR_INVALID, "'method' is totp, email or sms");
}

int me_factors_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = enrol(request, response, &own, err);
	own_finish(&own);
	return result;
}

/* ------------------------------------------------------------------- confirming -- */

struct code_body {
	const char *code;
};

static const struct field code_fields[] = {
	{ "code", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct code_body, code), CODE_MAX_BYTES,
	  NULL, 0 },
};

static int confirm(struct http_request *request, struct http_response *response,
		   const struct own *own, struct err *err)
{
	struct json json = api_json(response);
	struct code_body body = { 0 };
	struct session session;
	struct uuid factor;
	int64_t wait_s = 0;
	int result;

	if (factor_parameter(request, &factor, err) < 0 ||
	    request_read(request, code_fields, ARRAY_LEN(code_fields), &body, err) < 0)
		return -1;

	AUTO(reading_view) struct reading_view view = { 0 };

	if (view_open(request, &view, err) < 0)
		return -1;
	result = factor_confirm(&own->parts, &own->asker, view.store, &factor, body.code,
				request->arena, &session, &wait_s, err);
	text_wipe(body.code);
	body_wipe(request);
	if (result < 0) {
		factor_wait(request, wait_s);
		return -1;
	}
	json_object(&json);
	/* The first one that they have gives the session another token. */
	if ((session.id != 0 && own_rotate(request, response, own, err) < 0) ||
	    show_own_factor(request, &json, &factor, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

int me_factor_confirm_post(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = confirm(request, response, &own, err);
	own_finish(&own);
	return result;
}

/* Another code, to the address of one that is enrolled or waits to be confirmed. */
static int send_code(struct http_request *request, struct http_response *response,
		     const struct own *own, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	int64_t until_s, wait_s = 0;
	struct uuid factor;

	if (factor_parameter(request, &factor, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	if (factor_send(&own->parts, &own->asker, view.store, &factor, &until_s, &wait_s, err) <
	    0) {
		factor_wait(request, wait_s);
		return -1;
	}
	json_object(&json);
	json_time(&json, "expires", until_s);
	json_end(&json);
	return 0;
}

int me_factor_send_post(struct http_request *request, struct http_response *response,
			struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = send_code(request, response, &own, err);
	own_finish(&own);
	return result;
}

/* ----------------------------------------------------------- looking after them -- */

struct name_body {
	const char *name;
};

static const struct field name_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct name_body, name), FACTOR_NAME_MAX,
	  NULL, 0 },
};

static int rename_one(struct http_request *request, struct http_response *response,
		      const struct own *own, struct err *err)
{
	struct json json = api_json(response);
	struct name_body body = { 0 };
	struct uuid factor;

	if (factor_parameter(request, &factor, err) < 0 ||
	    request_read(request, name_fields, ARRAY_LEN(name_fields), &body, err) < 0)
		return -1;
	if (change_factor_rename(own->parts.changer, &own->actor, own->asker.user_id, &factor,
				 body.name, err) < 0) {
		request->error_field = err->code == ERR_INVALID ? "name" : NULL;
		return -1;
	}
	json_object(&json);
	if (show_own_factor(request, &json, &factor, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

int me_factor_patch(struct http_request *request, struct http_response *response, struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = rename_one(request, response, &own, err);
	own_finish(&own);
	return result;
}

static int remove_one(struct http_request *request, struct http_response *response,
		      const struct own *own, struct err *err)
{
	struct json json = api_json(response);
	struct uuid factor;

	if (factor_parameter(request, &factor, err) < 0 ||
	    change_factor_remove(own->parts.changer, &own->actor, own->asker.user_id,
				 own->asker.session_id, &factor, err) < 0)
		return -1;
	json_object(&json);
	json_string(&json, "removed", http_parameter(request, "factor"));
	json_end(&json);
	return 0;
}

int me_factor_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = remove_one(request, response, &own, err);
	own_finish(&own);
	return result;
}

/* --------------------------------------------------------------- recovery codes -- */

static int make_codes(struct http_request *request, struct http_response *response,
		      const struct own *own, struct err *err)
{
	struct json json = api_json(response);
	struct recovery_codes codes;
	int64_t wait_s = 0;

	if (factor_make_codes(&own->parts, &own->asker, &codes, &wait_s, err) < 0) {
		factor_wait(request, wait_s);
		if (strcmp(err_reason(err), "busy") == 0)
			request->retry_after_s = HASHER_RETRY_S;
		return -1;
	}
	response->status = 201;
	http_response_header(response, "Cache-Control", "no-store");
	json_object(&json);
	json_array_key(&json, "codes");
	for (size_t i = 0; i < ARRAY_LEN(codes.text); i++)
		json_string(&json, NULL, codes.text[i]);
	json_end(&json);
	json_end(&json);
	sodium_memzero(&codes, sizeof(codes));
	return 0;
}

int me_recovery_codes_post(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	struct own own;
	int result = own_begin(request, &own, err);

	if (result == 0)
		result = make_codes(request, response, &own, err);
	own_finish(&own);
	return result;
}
