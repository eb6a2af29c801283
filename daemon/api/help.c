/*
 * Administrators help whoever is locked out: see and reset factors, issue a recovery code, send a link that sets a new
 * password. Enters: who asks, and about whom. Leaves: JSON; the code once, in this answer. None of them is ever told a
 * secret of anybody.
 */
#include <sodium.h>

#include <rolebridge/change/password.h>

#include "factors.h"

/* ---------------------------------------------------------------------- factors -- */

int user_factors_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct user user;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    view_find_user(request, &view, http_parameter(request, "user"), &user, err) < 0)
		return -1;
	json_object(&json);
	if (show_factors(&view, &json, user.id, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

static int reset(struct http_request *request, struct http_response *response,
		 const struct uuid *factor, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	struct json json = api_json(response);
	char text[UUID_TEXT_SIZE];
	struct uuid user;
	size_t count;

	if (change_factor_reset(api->settings.changer, &actor, http_parameter(request, "user"),
				factor, &user, &count, err) < 0)
		return -1;
	uuid_format(&user, text);
	json_object(&json);
	json_string(&json, "user", text);
	json_int(&json, "reset", (int64_t)count);
	json_end(&json);
	return 0;
}

int user_factors_delete(struct http_request *request, struct http_response *response,
			struct err *err)
{
	return reset(request, response, NULL, err);
}

int user_factor_delete(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	struct uuid factor;

	return factor_parameter(request, &factor, err) < 0 ? -1
							   : reset(request, response, &factor, err);
}

/* ---------------------------------------------------------------- recovery code -- */

struct issue_body {
	int64_t lifetime_s;
};

static const struct field issue_fields[] = {
	{ "lifetime", FIELD_INT, FIELD_POSITIVE, offsetof(struct issue_body, lifetime_s),
	  RECOVERY_MAX_S, NULL, 0 },
};

static int issue(struct http_request *request, struct http_response *response,
		 const struct issue_body *body, struct err *err)
{
	const struct api *api = request->context;
	const struct factor_parts parts = factor_parts_of(api->settings.web);
	const struct actor actor = api_actor(request);
	AUTO(reading_view) struct reading_view view = { 0 };
	char code[RECOVERY_TEXT], text[UUID_TEXT_SIZE];
	struct json json = api_json(response);
	struct uuid user;
	int64_t until_s;

	if (view_open(request, &view, err) < 0)
		return -1;
	if (factor_issue_code(&parts, &actor, view.store, http_parameter(request, "user"),
			      body->lifetime_s, code, &user, &until_s, err) < 0) {
		if (strcmp(err_reason(err), "busy") == 0)
			request->retry_after_s = HASHER_RETRY_S;
		return -1;
	}
	uuid_format(&user, text);
	response->status = 201;
	http_response_header(response, "Cache-Control", "no-store");
	json_object(&json);
	json_string(&json, "user", text);
	json_string(&json, "code", code);
	json_time(&json, "expires", until_s);
	json_end(&json);
	sodium_memzero(code, sizeof(code));
	return 0;
}

int user_recovery_code_post(struct http_request *request, struct http_response *response,
			    struct err *err)
{
	struct issue_body body = { 0 };

	if (request_read(request, issue_fields, ARRAY_LEN(issue_fields), &body, err) < 0)
		return -1;
	if (body.lifetime_s != 0 && body.lifetime_s < RECOVERY_MIN_S) {
		request->error_field = "lifetime";
		return err_set(err, ERR_INVALID, "'lifetime' is %d seconds at least",
			       RECOVERY_MIN_S);
	}
	return issue(request, response, &body, err);
}

/* --------------------------------------------------------------- password reset -- */

int user_password_reset_post(struct http_request *request, struct http_response *response,
			     struct err *err)
{
	const struct api *api = request->context;
	struct web *web = api->settings.web;
	AUTO(site) struct site *site = site_take(web, err);
	const struct actor actor = api_actor(request);
	struct json json = api_json(response);
	struct reset_row row;

	if (!site)
		return -1;
	if (!site->options->passwords.enabled)
		return err_refuse(err, ERR_CONFLICT, "passwords-off", "no passwords are kept here");
	if (!site->options->mail.url.text)
		return err_refuse(err, ERR_CONFLICT, "mail-not-configured",
				  "no mail server is configured");
	if (change_password_reset_send(api->settings.changer, &actor,
				       http_parameter(request, "user"), request->arena, &row,
				       err) < 0)
		return -1;
	response->status = 202;
	json_object(&json);
	json_string(&json, "email", row.email);
	json_time(&json, "expires", row.expires_s);
	json_end(&json);
	return 0;
}
