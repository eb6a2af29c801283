/*
 * Security keys and passkeys on the pages and in the API. Enters: whoever has begun to sign in, or is signed in, and what
 * their browser answered. Leaves: forms that ask, sessions that went on, keys that are theirs. A browser that is refused
 * is told what to do, not what was wrong with the answer: that is in the audit log.
 */
#include "webauthn.h"

#include <sodium.h>

#include <rolebridge/auth/webauthn_factor.h>

#include "../access.h"
#include "../reader.h"
#include "signin.h"

#define OPTIONS_MAX ((size_t)64 * 1024)
#define FIELD_TEXT_MAX 24000

/* Whoever asks, and what their keys stand on. */
struct keyholder {
	struct factor_parts parts;
	struct actor actor;
	struct factor_asker asker;
	struct webauthn_site site;
	char token[SESSION_TOKEN_TEXT]; /* of the session, when it goes on */
};

/* Borrowed: wipe keyholder->token at the end. */
static int keyholder_make(struct http_request *request, struct web *web, const struct site *site,
			  const struct actor *actor, int64_t user_id, int64_t session_id,
			  struct keyholder *ret_keyholder, struct err *err)
{
	struct keyholder *keyholder = ret_keyholder;

	if (webauthn_site_make(site->url, request->arena, &keyholder->site, err) < 0)
		return -1;
	keyholder->parts = web_factor_parts(web);
	keyholder->actor = *actor;
	keyholder->asker = (struct factor_asker){
		.actor = &keyholder->actor,
		.user_id = user_id,
		.session_id = session_id,
		.address = http_client_text(request),
		.now_s = clock_now_s(),
	};
	session_token_make(keyholder->token, &keyholder->asker.token);
	return 0;
}

static int keyholder_of_view(struct http_request *request, const struct site *site,
			     const struct session_view *view, struct keyholder *ret_keyholder,
			     struct err *err)
{
	const struct actor actor = {
		.name = arena_printf(request->arena, "user:%s", view->principal->uuid),
		.request = request->id,
		.is_person = true,
	};

	if (!actor.name)
		return err_set(err, ERR_MEMORY, "out of memory");
	return keyholder_make(request, request->context, site, &actor, view->principal->user_id,
			      view->session_id, ret_keyholder, err);
}

bool webauthn_usable(struct http_request *request, const struct site *site)
{
	struct webauthn_site ignored;

	return webauthn_site_make(site->url, request->arena, &ignored, NULL) == 0;
}

/* --------------------------------------------------------------------- forms -- */

/* What the script fills in, by the kind of the form. */
static const char *const created[] = { "id", "client_data", "attestation" };
static const char *const proven[] = { "id", "client_data", "authenticator_data", "signature",
				      "user_handle" };

/* kind: "create" or "get". Hidden until the script runs. */
static void form_begin(struct http_response *response, const char *kind, const char *action,
		       const char *csrf, const struct strbuf *options)
{
	strbuf_printf(&response->body, "<div data-webauthn=\"%s\" hidden>\n", kind);
	page_form_begin(response, action, csrf);
	page_hidden(response, "options", strbuf_text(options));
}

static void form_end(struct http_response *response, const char *const *answers, size_t count,
		     const char *label)
{
	for (size_t i = 0; i < count; i++)
		page_hidden(response, answers[i], "");
	page_submit(response, label);
	page_form_end(response);
	strbuf_puts(&response->body,
		    "<p role=\"status\"></p>\n</div>\n"
		    "<p hidden>Your browser knows no security keys.</p>\n"
		    "<noscript><p>Security keys need JavaScript.</p></noscript>\n");
}

int webauthn_prove_form(struct http_request *request, struct http_response *response,
			const struct site *site, const struct session_view *view, const char *csrf,
			const struct http_pair *fields, size_t count, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	AUTO(strbuf) struct strbuf options = STRBUF(OPTIONS_MAX);
	struct err problem = { 0 };
	struct keyholder keyholder;

	if (keyholder_of_view(request, site, view, &keyholder, &problem) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, &problem) <
		    0 ||
	    factor_ask_webauthn(&keyholder.parts, &keyholder.asker, &keyholder.site, reading.store,
				request->arena, &options, &problem) < 0) {
		if (problem.code == ERR_NOT_FOUND ||
		    strcmp(err_reason(&problem), "webauthn-unavailable") == 0)
			return 0;
		*err = problem;
		return -1;
	}
	form_begin(response, "get", "/login/factor/webauthn", csrf, &options);
	for (size_t i = 0; i < count; i++)
		if (fields[i].value)
			page_hidden(response, fields[i].name, fields[i].value);
	form_end(response, proven, ARRAY_LEN(proven), "Use a security key or passkey");
	return 1;
}

int webauthn_enrol_form(struct http_request *request, struct http_response *response,
			const struct site *site, const struct session_view *view, const char *csrf,
			const struct http_pair *fields, size_t count, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	AUTO(strbuf) struct strbuf options = STRBUF(OPTIONS_MAX);
	struct keyholder keyholder;

	if (!webauthn_usable(request, site))
		return 0;
	if (keyholder_of_view(request, site, view, &keyholder, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, err) < 0 ||
	    factor_offer_webauthn(&keyholder.parts, &keyholder.asker, &keyholder.site,
				  reading.store, request->arena, &options, err) < 0)
		return -1;
	form_begin(response, "create", "/security/webauthn", csrf, &options);
	for (size_t i = 0; i < count; i++)
		if (fields[i].value)
			page_hidden(response, fields[i].name, fields[i].value);
	page_field(response, &(struct page_field){ .name = "name",
						   .id = "webauthn-name",
						   .label = "Name of the security key or passkey",
						   .hint = "Such as \"blue key\" or \"phone\".",
						   .autocomplete = "off",
						   .max = FACTOR_NAME_MAX });
	form_end(response, created, ARRAY_LEN(created), "Set up a security key or passkey");
	return 1;
}

/* ------------------------------------------------------------------ what they post -- */

static const struct refusal {
	const char *reason, *title, *text;
} refusals[] = {
	{ "rate-limited", "Please wait a moment",
	  "There were too many attempts. Please wait a moment, then try again." },
	{ "csrf", "Please try again", FORM_TOO_OLD },
	{ "webauthn-challenge", "Please try again", "That took too long. Please try again." },
	{ "webauthn-counter", "This security key cannot be used",
	  "It may have been copied. Please use another way, and tell your administrator." },
	{ "webauthn-algorithm", "This security key cannot be used",
	  "It is of a kind that is not supported here." },
	{ "method-not-allowed", "This is not enough here",
	  "Your organization asks for another way to prove that it is you." },
	{ "fresh-sign-in-required", "Please sign in again",
	  "Your sign-in is too long ago for this. Sign out and in again, then try once more." },
	{ "factor-limit", "There are too many already", "Remove one that you no longer use." },
	{ "name-taken", "Another name, please", "You call another one so already." },
	{ "credential-taken", "This security key is known already",
	  "It is set up already. Please use another one." },
	{ "invalid-request", "Another name, please", "This cannot be a name." },
};

/* 0 with a page where people can do something about it; else -1. back: the page of the form. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct err *problem, const char *back, struct err *err)
{
	const int status = http_error_status(problem, false);

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strcmp(err_reason(problem), refusals[i].reason) != 0)
			continue;
		page_refused_with(request, response, status, refusals[i].title, refusals[i].text,
				  back, "Go back");
		return 0;
	}
	if (problem->code != ERR_DENIED && problem->code != ERR_CONFLICT) {
		*err = *problem;
		return -1;
	}
	page_refused_with(request, response, status, "That did not work",
			  "Your security key could not be verified. Please try again.", back,
			  "Go back");
	return 0;
}

static struct webauthn_answer answer_of(const struct http_form *form)
{
	return (struct webauthn_answer){
		.id = http_form_value(form, "id"),
		.client_data = http_form_value(form, "client_data"),
		.attestation = http_form_value(form, "attestation"),
		.authenticator_data = http_form_value(form, "authenticator_data"),
		.signature = http_form_value(form, "signature"),
		.user_handle = http_form_value(form, "user_handle"),
	};
}

/* A form of somebody whose sign-in has begun. */
struct posted {
	struct session_view view; /* release it when found */
	struct http_form form;
	struct landing landing;
};

/* 1: release posted->view; 0: nobody is there, and the browser is on its way; -1. */
static int take_post(struct http_request *request, struct http_response *response,
		     const struct site *site, struct posted *posted, struct err *err)
{
	const char *url;
	int found;

	if (http_form_read(request, &posted->form, err) < 0 ||
	    landing_read(request, site, http_form_value(&posted->form, "return"),
			 http_form_value(&posted->form, "nonce"), &posted->landing, err) < 0)
		return -1;
	found = site_session_any(request, site, &posted->view, err);
	if (found < 0)
		return -1;
	if (found > 0)
		return 1;
	url = landing_path(request->arena, "/login", &posted->landing);
	return url ? http_redirect(response, 303, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

static int check_csrf(const struct web *web, const struct posted *posted, struct err *err)
{
	const char *csrf = http_form_value(&posted->form, "csrf");

	if (csrf && ticket_csrf_check(web->settings.tickets, posted->view.session_id, csrf))
		return 0;
	return err_refuse(err, ERR_DENIED, "csrf", "this form is too old; please try again");
}

/* The session has another token: to the browser with it, and on to where they wanted to go. */
static int go_on(struct http_request *request, struct http_response *response,
		 const struct site *site, const struct session *session, const char *token,
		 const struct landing *landing, struct err *err)
{
	const char *page = session->stage == SESSION_FACTOR  ? "/login/factor"
			   : session->stage == SESSION_ENROL ? "/login/enrol"
			   : landing->return_url	     ? "/login"
							     : "/";
	const char *url = landing_path(request->arena, page, landing);

	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (cookie_set(request, response, site->secure, COOKIE_SESSION, "", token, -1, err) < 0)
		return -1;
	return http_redirect(response, 303, url, err);
}

static int prove(struct http_request *request, const struct site *site, const struct posted *posted,
		 struct keyholder *keyholder, struct session *ret_session, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	const struct webauthn_answer answer = answer_of(&posted->form);
	int64_t wait_s = 0;
	int status;

	if (check_csrf(web, posted, err) < 0 ||
	    keyholder_of_view(request, site, &posted->view, keyholder, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, err) < 0)
		return -1;
	status = factor_prove_webauthn(&keyholder->parts, &keyholder->asker, &keyholder->site,
				       reading.store, &answer, request->arena, ret_session, &wait_s,
				       err);
	request->retry_after_s = (unsigned)wait_s;
	return status;
}

static int prove_post(struct http_request *request, struct http_response *response,
		      const struct site *site, const struct posted *posted, struct err *err)
{
	struct keyholder keyholder = { .token = "" };
	struct err problem = { 0 };
	struct session session;
	int status;

	status = prove(request, site, posted, &keyholder, &session, &problem);
	if (status == 0)
		status = go_on(request, response, site, &session, keyholder.token, &posted->landing,
			       err);
	else
		status = refuse(request, response, &problem,
				landing_path(request->arena,
					     posted->view.stage == SESSION_FULL ? "/step-up"
										: "/login/factor",
					     &posted->landing),
				err);
	sodium_memzero(keyholder.token, sizeof(keyholder.token));
	return status;
}

int factor_webauthn_post(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct posted posted;
	int found = site ? take_post(request, response, site, &posted, err) : -1;

	if (found <= 0)
		return found;
	found = prove_post(request, response, site, &posted, err);
	session_view_release(&posted.view);
	return found;
}

static int enrol(struct http_request *request, const struct site *site, const struct posted *posted,
		 struct keyholder *keyholder, struct session *ret_session, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	const struct webauthn_answer answer = answer_of(&posted->form);
	const char *name = http_form_value(&posted->form, "name");
	struct uuid uuid;
	int64_t wait_s = 0;
	int status;

	if (check_csrf(web, posted, err) < 0 ||
	    keyholder_of_view(request, site, &posted->view, keyholder, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, err) < 0)
		return -1;
	status = factor_enrol_webauthn(&keyholder->parts, &keyholder->asker, &keyholder->site,
				       reading.store, name ? name : "", &answer, request->arena,
				       &uuid, ret_session, &wait_s, err);
	request->retry_after_s = (unsigned)wait_s;
	return status;
}

static int enrol_post(struct http_request *request, struct http_response *response,
		      const struct site *site, const struct posted *posted, struct err *err)
{
	const bool was_full = posted->view.stage == SESSION_FULL;
	struct keyholder keyholder = { .token = "" };
	struct err problem = { 0 };
	struct session session;
	int status;

	if (enrol(request, site, posted, &keyholder, &session, &problem) < 0)
		status = refuse(
			request, response, &problem,
			was_full ? "/security"
				 : landing_path(request->arena, "/login/enrol", &posted->landing),
			err);
	else if (was_full)
		status = http_redirect(response, 303, "/security", err);
	else
		status = go_on(request, response, site, &session, keyholder.token, &posted->landing,
			       err);
	sodium_memzero(keyholder.token, sizeof(keyholder.token));
	return status;
}

int security_webauthn_post(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct posted posted;
	int found = site ? take_post(request, response, site, &posted, err) : -1;

	if (found <= 0)
		return found;
	found = enrol_post(request, response, site, &posted, err);
	session_view_release(&posted.view);
	return found;
}

/* ----------------------------------------------------------------------- JSON -- */

/* Of a session: a token has no keys. */
static int keyholder_of_caller(struct http_request *request, const struct site *site,
			       struct keyholder *ret_keyholder, struct err *err)
{
	const struct api *api = request->context;
	const struct caller *caller = api_caller(request);
	const struct actor actor = api_actor(request);

	if (!caller || !caller->by_session)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "security keys are set up in a session of the browser");
	return keyholder_make(request, api->settings.web, site, &actor, actor.user_id,
			      caller->session_id, ret_keyholder, err);
}

int me_webauthn_options_post(struct http_request *request, struct http_response *response,
			     struct err *err)
{
	const struct api *api = request->context;
	AUTO(site) struct site *site = site_take(api->settings.web, err);
	AUTO(reading_view) struct reading_view reading = { 0 };
	struct keyholder keyholder;

	if (!site || keyholder_of_caller(request, site, &keyholder, err) < 0 ||
	    view_open(request, &reading, err) < 0)
		return -1;
	return factor_offer_webauthn(&keyholder.parts, &keyholder.asker, &keyholder.site,
				     reading.store, request->arena, &response->body, err);
}

struct key_body {
	const char *name, *id, *client_data, *attestation;
};

static const struct field key_fields[] = {
	{ "name", FIELD_TEXT, 0, offsetof(struct key_body, name), FACTOR_NAME_MAX, NULL, 0 },
	{ "id", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct key_body, id), FIELD_TEXT_MAX, NULL,
	  0 },
	{ "client_data", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct key_body, client_data),
	  FIELD_TEXT_MAX, NULL, 0 },
	{ "attestation", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct key_body, attestation),
	  FIELD_TEXT_MAX, NULL, 0 },
};

int me_webauthn_post(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct api *api = request->context;
	AUTO(site) struct site *site = site_take(api->settings.web, err);
	AUTO(reading_view) struct reading_view reading = { 0 };
	struct key_body body = { 0 };
	struct keyholder keyholder;
	struct json json = api_json(response);
	char id[UUID_TEXT_SIZE];
	struct session session;
	struct uuid uuid;
	int64_t wait_s = 0;

	if (!site || request_read(request, key_fields, ARRAY_LEN(key_fields), &body, err) < 0 ||
	    keyholder_of_caller(request, site, &keyholder, err) < 0 ||
	    view_open(request, &reading, err) < 0)
		return -1;
	if (factor_enrol_webauthn(&keyholder.parts, &keyholder.asker, &keyholder.site,
				  reading.store, body.name ? body.name : "",
				  &(struct webauthn_answer){ .id = body.id,
							     .client_data = body.client_data,
							     .attestation = body.attestation },
				  request->arena, &uuid, &session, &wait_s, err) < 0) {
		request->retry_after_s = (unsigned)wait_s;
		return -1;
	}
	uuid_format(&uuid, id);
	response->status = 201;
	json_object(&json);
	json_string(&json, "id", id);
	json_end(&json);
	return 0;
}
