/*
 * Security keys and passkeys on the pages. Enters: whoever has begun to sign in, or is signed in, and what their browser
 * answered. Leaves: forms that ask, sessions that went on, keys that are theirs. A browser that is refused
 * is told what to do, not what was wrong with the answer: that is in the audit log.
 */
#include "webauthn.h"

#include <rolebridge/auth/webauthn_factor.h>

#include "step.h"

#define OPTIONS_MAX ((size_t)64 * 1024)

/* Whoever asks, and what their keys stand on. */
struct keyholder {
	struct factor_parts parts;
	struct factor_asker asker;
	struct webauthn_site site;
};

/* To ask for a key changes nothing: no actor, no other token. */
static int keyholder_make(struct http_request *request, const struct site *site,
			  const struct session_view *view, struct keyholder *ret_keyholder,
			  struct err *err)
{
	struct keyholder keyholder = {
		.parts = web_factor_parts(request->context),
		.asker = { .user_id = view->principal->user_id,
			   .session_id = view->session_id,
			   .address = http_client_text(request),
			   .now_s = clock_now_s() },
	};

	if (webauthn_site_make(site->url, request->arena, &keyholder.site, err) < 0)
		return -1;
	*ret_keyholder = keyholder;
	return 0;
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
			const struct http_pair *fields, size_t count, bool remember,
			struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	AUTO(strbuf) struct strbuf options = STRBUF(OPTIONS_MAX);
	struct err problem = { 0 };
	struct keyholder keyholder;

	if (keyholder_make(request, site, view, &keyholder, &problem) < 0 ||
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
	form_begin(response, "get",
		   view->stage == SESSION_FULL ? "/step-up/webauthn" : "/login/factor/webauthn",
		   csrf, &options);
	for (size_t i = 0; i < count; i++)
		if (fields[i].value)
			page_hidden(response, fields[i].name, fields[i].value);
	page_hidden(response, "method", factor_method_name(FACTOR_WEBAUTHN));
	if (remember)
		page_check(response, "remember", "1", REMEMBER_LABEL, false);
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
	if (keyholder_make(request, site, view, &keyholder, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, err) < 0 ||
	    factor_offer_webauthn(&keyholder.parts, &keyholder.asker, &keyholder.site,
				  reading.store, request->arena, &options, err) < 0)
		return -1;
	form_begin(response, "create", "/security/webauthn", csrf, &options);
	for (size_t i = 0; i < count; i++)
		if (fields[i].value)
			page_hidden(response, fields[i].name, fields[i].value);
	page_field(
		response,
		&(struct page_field){
			.name = "name",
			.label = "Name",
			.autocomplete = "off",
			.max = FACTOR_NAME_MAX,
			.optional = true,
			.focus = true,
			.hint = "By which you know it again, such as \"Blue key\". May stay empty." });
	form_end(response, created, ARRAY_LEN(created), "Set up a security key or passkey");
	return 1;
}

/* ------------------------------------------------------------------ what they post -- */

static const struct {
	const char *reason, *text;
} problems[] = {
	{ "replayed", "This was sent already. Please try again." },
	{ "webauthn-challenge", "That took too long. Please try again." },
	{ "webauthn-counter",
	  "This security key may have been copied, so it cannot be used. Please "
	  "use another method, and tell your administrator." },
	{ "webauthn-algorithm", "This security key is of a kind that is not supported here." },
	{ "credential-taken", "This security key is set up already. Please use another one." },
	{ "invalid-request", "This cannot be a name. Please choose another one." },
};

/* What a person is told; NULL: it goes the way of all errors. */
static const char *problem_text(struct http_request *request, struct http_response *response,
				const struct err *problem, int64_t wait_s)
{
	const char *text = step_problem(request, response, problem, wait_s);

	for (size_t i = 0; !text && i < ARRAY_LEN(problems); i++)
		if (strcmp(err_reason(problem), problems[i].reason) == 0)
			text = problems[i].text;
	if (!text && (problem->code == ERR_DENIED || problem->code == ERR_CONFLICT))
		text = "Your security key could not be verified. Please try again.";
	return text;
}

/* 1: *ret_text is for the page of the form, which is shown again; 0: told otherwise; -1. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct step *step, const struct err *problem, int64_t wait_s,
		  const char **ret_text, struct err *err)
{
	if (strcmp(err_reason(problem), "sign-in-ended") == 0)
		return step_ended(request, response, step, err);
	if (step_wants_more(problem))
		return step_not_fresh(request, response, step, "/security/add/webauthn", err);
	*ret_text = problem_text(request, response, problem, wait_s);
	if (!*ret_text) {
		*err = *problem;
		return -1;
	}
	response->status = http_error_status(problem, false);
	return 1;
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

static int prove(struct http_request *request, const struct step *step, struct session *ret_session,
		 int64_t *ret_wait_s, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	const struct webauthn_answer answer = answer_of(&step->form);
	struct webauthn_site site;

	if (webauthn_site_make(step->site->url, request->arena, &site, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, err) < 0)
		return -1;
	return factor_prove_webauthn(&step->parts, &step->asker, &site, reading.store, &answer,
				     request->arena, ret_session, ret_wait_s, err);
}

static int post_proof(struct http_request *request, struct http_response *response,
		      struct step *step, struct err *err)
{
	struct err problem = { 0 };
	struct session session;
	const char *text;
	int64_t wait_s = 0;
	int result;

	if (prove(request, step, &session, &wait_s, &problem) < 0) {
		result = refuse(request, response, step, &problem, wait_s, &text, err);
		return result > 0 ? factor_show(request, response, step, text, err) : result;
	}
	return factor_proven(request, response, step, err);
}

static int take_proof(struct http_request *request, struct http_response *response,
		      enum session_stage stage, struct err *err)
{
	struct step step;
	int result = step_begin(request, response, STAGE_BIT(stage), &step, err);

	if (result > 0)
		result = post_proof(request, response, &step, err);
	step_finish(request, &step);
	return result;
}

int factor_webauthn_post(struct http_request *request, struct http_response *response,
			 struct err *err)
{
	return take_proof(request, response, SESSION_FACTOR, err);
}

int step_up_webauthn_post(struct http_request *request, struct http_response *response,
			  struct err *err)
{
	return take_proof(request, response, SESSION_FULL, err);
}

static int enrol(struct http_request *request, const struct step *step, struct session *ret_session,
		 int64_t *ret_wait_s, struct err *err)
{
	struct web *web = request->context;
	AUTO(reading_view) struct reading_view reading = { 0 };
	const struct webauthn_answer answer = answer_of(&step->form);
	const char *name = http_form_value(&step->form, "name");
	struct webauthn_site site;
	struct uuid uuid;

	if (webauthn_site_make(step->site->url, request->arena, &site, err) < 0 ||
	    store_view_open(web->settings.changer, web->pool, request->arena, &reading, err) < 0)
		return -1;
	return factor_enrol_webauthn(&step->parts, &step->asker, &site, reading.store,
				     name ? name : "", &answer, request->arena, &uuid, ret_session,
				     ret_wait_s, err);
}

static int post_key(struct http_request *request, struct http_response *response, struct step *step,
		    struct err *err)
{
	struct err problem = { 0 };
	struct session session;
	const char *text;
	int64_t wait_s = 0;
	int result;

	if (enrol(request, step, &session, &wait_s, &problem) < 0) {
		result = refuse(request, response, step, &problem, wait_s, &text, err);
		return result > 0 ? factor_add_show(request, response, step, FACTOR_WEBAUTHN, text,
						    err)
				  : result;
	}
	if (step_rotate(request, response, step, err) < 0)
		return -1;
	return enrol_done(request, response, step, err);
}

/* The address that a refused key leaves the browser at: the page's own. */
int security_webauthn_get(struct http_request *request, struct http_response *response,
			  struct err *err)
{
	(void)request;
	return http_redirect(response, 303, "/security/add/webauthn", err);
}

int security_webauthn_post(struct http_request *request, struct http_response *response,
			   struct err *err)
{
	struct step step;
	int result = step_begin(request, response,
				STAGE_BIT(SESSION_FULL) | STAGE_BIT(SESSION_ENROL), &step, err);

	if (result > 0)
		result = post_key(request, response, &step, err);
	step_finish(request, &step);
	return result;
}
