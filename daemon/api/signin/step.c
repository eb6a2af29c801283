/*
 * One request to the pages of second factors. Enters: a browser with a session in some stage, or without one; forms.
 * Leaves: who it is and what they sent, or the way to where they belong. What is changed is for change/, which reads
 * session and stage anew: nothing here decides that somebody may do something.
 */
#include "step.h"

#include <stdio.h>
#include <time.h>

#include <sodium.h>

#include <rolebridge/http/request.h>

#define WAIT_MAX_S 86400

/* ------------------------------------------------------------------ where to go -- */

const char *step_value(const struct http_request *request, const struct step *step,
		       const char *name)
{
	return step->posted ? http_form_value(&step->form, name) : http_query(request, name);
}

const char *step_path(const struct http_request *request, const struct step *step, const char *path)
{
	const char *query = strchr(path, '?');
	const char *with = landing_path(request->arena, query ? "" : path, &step->landing);

	if (!query || !with)
		return with;
	/* What the path asks for itself comes first. */
	return with[0] ? arena_printf(request->arena, "%s&%s", path, with + 1) : path;
}

int step_to(const struct http_request *request, struct http_response *response,
	    const struct step *step, const char *path, struct err *err)
{
	const char *url = path ? step_path(request, step, path) : NULL;

	return url ? http_redirect(response, 303, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

int step_leave(struct http_request *request, struct http_response *response, struct step *step,
	       struct err *err)
{
	const char *url;

	if (!step->landing.return_url)
		return http_redirect(response, 303, "/", err);
	if (!step->posted && step->view.stage == SESSION_FULL)
		return landing_go(request, response, step->site, &step->view, &step->landing, err);
	url = landing_path(request->arena, "/login", &step->landing);
	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory");
	page_go_on(response, url);
	return 0;
}

int step_elsewhere(struct http_request *request, struct http_response *response, struct step *step,
		   struct err *err)
{
	const char *page = stage_page(step->view.stage);

	return page ? step_to(request, response, step, page, err)
		    : step_leave(request, response, step, err);
}

int step_rotate(struct http_request *request, struct http_response *response, struct step *step,
		struct err *err)
{
	const struct web *web = request->context;
	struct err unknown = { 0 };
	struct session_view now;

	if (sessions_find_any(web->settings.sessions, step->token, "", clock_now_s(), &now,
			      &unknown) < 0) {
		/* It has the one that it had. */
		if (unknown.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = unknown;
		return -1;
	}
	session_view_release(&step->view);
	step->view = now;
	return cookie_set(request, response, step->site->secure, COOKIE_SESSION, "", step->token,
			  -1, err);
}

/* -------------------------------------------------------------------- refusals -- */

/*
 * Whoever asked for a page of their own account comes back to it: its address stands for where they want to go. Pages
 * on the way in are of no use to whoever has to begin.
 */
static int come_back(const struct http_request *request, struct step *step, struct err *err)
{
	if (step->posted || step->landing.return_url ||
	    strncmp(request->path, "/security", strlen("/security")) != 0)
		return 0;
	step->landing.return_url =
		arena_printf(request->arena, "%s%s", step->site->url, request->path);
	return step->landing.return_url ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

int step_ended(struct http_request *request, struct http_response *response,
	       const struct step *step, struct err *err)
{
	const char *url = landing_path(request->arena, "/login", &step->landing);

	(void)err;
	page_refused_with(request, response, 403, "Please sign in again",
			  "You were signed out meanwhile, or it took too long.",
			  url ? url : "/login", "Sign in");
	return 0;
}

bool step_by_idp(struct http_request *request, const struct step *step)
{
	struct saml_source_view source;

	return saml_source_find(web_saml(request->context), step->view.source, request->arena,
				&source, NULL) == 0;
}

const char *step_again_url(struct http_request *request, const struct step *step,
			   const struct landing *landing)
{
	const struct http_pair pairs[] = { { "again", "1" },
					   { "return", landing->return_url },
					   { "nonce", landing->nonce } };

	/* Through their IdP, which is told to ask anew; a directory's people type their password here. */
	return step_by_idp(request, step)
		       ? sign_in_anew(request, step->view.source, landing->return_url)
		       : url_with(request->arena, "/login", pairs, ARRAY_LEN(pairs));
}

bool step_wants_more(const struct err *problem)
{
	const char *reason = err_reason(problem);

	return strcmp(reason, "fresh-sign-in-required") == 0 ||
	       strcmp(reason, "second-factor-required") == 0;
}

/* Signed in a moment ago all the same: then it is their second factor that was not proven just now. */
static bool lacks_factor(const struct step *step)
{
	return step->asker.now_s - step->view.signed_in_s <= SESSION_FRESH_S;
}

int step_not_fresh(struct http_request *request, struct http_response *response,
		   const struct step *step, const char *path, struct err *err)
{
	const char *here = step_path(request, step, path), *url = NULL;
	bool prove = lacks_factor(step);
	const struct landing landing = {
		.return_url =
			here ? arena_printf(request->arena, "%s%s", step->site->url, here) : NULL,
	};

	if (landing.return_url)
		url = prove ? landing_path(request->arena, "/step-up", &landing)
			    : step_again_url(request, step, &landing);
	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (prove)
		page_refused_with(request, response, 403, "Please confirm that it is you",
				  "You were not asked for your second factor just now. For your "
				  "safety this takes it.",
				  url, "Confirm");
	else
		page_refused_with(request, response, 403, "Please sign in again",
				  "For your safety this can only be done within five minutes "
				  "after you signed in.",
				  url, "Sign in again");
	return 0;
}

static const struct {
	const char *reason, *text;
} problems[] = {
	{ "code-wrong", "This code is not right. Please look again, and enter the newest one." },
	{ "code-used", "This code was used already. Please wait for the next one." },
	{ "code-expired", "This code is too old. Please have a new one sent." },
	{ "code-superseded", "A newer code was sent. Please enter that one." },
	{ "code-tries", "This code was tried too often. Please have a new one sent." },
	{ "no-code-sent", "No code was sent yet. Please have one sent." },
	{ "email-after-reset",
	  "Your password was set by a link in an e-mail, so a code by e-mail would prove nothing "
	  "more. Please use another method, or ask your administrator for a code." },
	{ "factor-not-allowed", "This method does not count here. Please use another one." },
	{ "factor-changed", "This method was changed or removed meanwhile." },
	{ "sealing-key-missing",
	  "This method cannot be used at the moment. Please use another one, "
	  "or ask your administrator." },
	{ "mail-unavailable",
	  "No e-mail could be sent at the moment. Please use another method, or "
	  "try again later." },
	{ "sms-unavailable", "No text message could be sent at the moment. Please use another "
			     "method, or try again later." },
	{ "name-taken", "You have a method of this name already. Please choose another name." },
	{ "factor-limit", "You have as many methods as there can be. Please remove one first." },
	{ "last-factor", "You need this method to sign in: it is the last one that counts. Please "
			 "add another one first." },
	{ "no-factor",
	  "Please add a method first: recovery codes take its place when it is lost." },
};

const char *step_problem(struct http_request *request, struct http_response *response,
			 const struct err *problem, int64_t wait_s)
{
	const char *reason = err_reason(problem);

	if (strcmp(reason, "rate-limited") == 0)
		return wait_shown(request, response, "Too many attempts.",
				  wait_s > 0 && wait_s < WAIT_MAX_S ? (unsigned)wait_s : 1);
	if (strcmp(reason, "busy") == 0)
		return wait_shown(request, response, "There is too much to do at the moment.",
				  HASHER_RETRY_S);
	for (size_t i = 0; i < ARRAY_LEN(problems); i++)
		if (strcmp(reason, problems[i].reason) == 0)
			return problems[i].text;
	return NULL;
}

int step_status(const struct err *problem)
{
	/* The page is there. */
	return problem->code == ERR_NOT_FOUND
		       ? 403
		       : http_error_status(problem, problem->code == ERR_INVALID);
}

/* ------------------------------------------------------------------ the request -- */

static int read_landing(struct http_request *request, struct step *step, struct err *err)
{
	return landing_read(request, step->site, step_value(request, step, "return"),
			    step_value(request, step, "nonce"), &step->landing, err);
}

/* Nobody is signed in: a page leads to the beginning and back to itself, a form says why it went nowhere. */
static int nobody(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err)
{
	const char *url;

	if (step->posted)
		return step_ended(request, response, step, err);
	if (come_back(request, step, err) < 0)
		return -1;
	url = landing_path(request->arena, "/login", &step->landing);
	return url ? http_redirect(response, 303, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

static int misplaced(struct http_request *request, struct http_response *response,
		     struct step *step, struct err *err)
{
	if (step->view.stage != SESSION_FULL && come_back(request, step, err) < 0)
		return -1;
	return step_elsewhere(request, response, step, err);
}

static int make_actor(const struct http_request *request, struct step *step, struct err *err)
{
	const char *name = arena_printf(request->arena, "user:%s", step->view.principal->uuid);

	if (!name)
		return err_set(err, ERR_MEMORY, "out of memory");
	step->actor = (struct actor){ .name = name, .request = request->id, .is_person = true };
	step->asker = (struct factor_asker){ .actor = &step->actor,
					     .user_id = step->view.principal->user_id,
					     .session_id = step->view.session_id,
					     .address = http_client_text(request),
					     .now_s = clock_now_s() };
	session_token_make(step->token, &step->asker.token);
	return 0;
}

/* Was it sent from a page of theirs? 1; 0: told. */
static int check_form(struct http_request *request, struct http_response *response,
		      const struct step *step, struct err *err)
{
	const struct web *web = request->context;
	const char *csrf = http_form_value(&step->form, "csrf");
	const char *page = stage_page(step->view.stage);
	struct err problem = { 0 };
	const char *url;

	if (form_is_own(request, step->site, &problem) == 0 && csrf &&
	    ticket_csrf_check(web->settings.tickets, step->view.session_id, csrf))
		return 1;
	url = step_path(request, step, page ? page : "/security");
	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory");
	page_refused_with(request, response, 403, "This form is too old",
			  "It was not sent from a page that you were just shown.", url,
			  "Start again");
	return 0;
}

static int find_session(struct http_request *request, struct http_response *response,
			struct step *step, struct err *err)
{
	int found = site_session_any(request, step->site, &step->view, err);

	step->found = found > 0;
	if (found == 0)
		return nobody(request, response, step, err) < 0 ? -1 : 0;
	return found;
}

int step_begin(struct http_request *request, struct http_response *response, unsigned stages,
	       struct step *step, struct err *err)
{
	const struct web *web = request->context;
	int found;

	*step = (struct step){ .posted = strcmp(request->method, "POST") == 0,
			       .parts = web_factor_parts(web) };
	step->site = site_take(request->context, err);
	if (!step->site || (step->posted && http_form_read(request, &step->form, err) < 0) ||
	    read_landing(request, step, err) < 0)
		return -1;
	found = find_session(request, response, step, err);
	if (found <= 0)
		return found;
	/* Before the token: what was sent by a tab that another one has overtaken goes on, too. */
	if (!(stages & STAGE_BIT(step->view.stage)))
		return misplaced(request, response, step, err) < 0 ? -1 : 0;
	if (make_actor(request, step, err) < 0)
		return -1;
	if (step->posted) {
		found = check_form(request, response, step, err);
		if (found <= 0)
			return found;
	}
	ticket_csrf(web->settings.tickets, step->view.session_id, step->csrf);
	return 1;
}

const char *step_name(const struct http_request *request, const struct step *step)
{
	const char *name = http_form_value(&step->form, "name");
	size_t size;

	if (!name)
		return "";
	name += strspn(name, " \t");
	size = strlen(name);
	while (size > 0 && (name[size - 1] == ' ' || name[size - 1] == '\t'))
		size--;
	name = arena_strndup(request->arena, name, size);
	return name ? name : "";
}

struct store *step_store(const struct http_request *request, struct step *step, struct err *err)
{
	struct web *web = request->context;

	if (!step->store)
		step->store = store_pool_take(web->pool, err);
	return step->store;
}

void step_finish(struct http_request *request, struct step *step)
{
	struct web *web = request->context;

	if (step->store)
		store_pool_give(web->pool, step->store);
	if (step->found)
		session_view_release(&step->view);
	if (step->posted)
		form_wipe(request, &step->form, "code");
	sodium_memzero(step->token, sizeof(step->token));
	site_give(step->site);
}

size_t step_fields(const struct step *step, struct http_pair ret_fields[static STEP_FIELDS])
{
	size_t count = 0;

	if (step->landing.return_url)
		ret_fields[count++] = (struct http_pair){ "return", step->landing.return_url };
	if (step->landing.nonce)
		ret_fields[count++] = (struct http_pair){ "nonce", step->landing.nonce };
	return count;
}

void step_form_begin(struct http_response *response, const struct step *step, const char *action)
{
	page_form_begin(response, action, step->csrf);
	landing_hidden(response, &step->landing);
}

/* ------------------------------------------------------------------------ words -- */

const char *time_shown(struct arena *arena, int64_t time_s)
{
	static const char *const months[] = { "January",   "February", "March",	   "April",
					      "May",	   "June",     "July",	   "August",
					      "September", "October",  "November", "December" };
	const time_t time = (time_t)time_s;
	struct tm at;

	if (!gmtime_r(&time, &at))
		return NULL;
	return arena_printf(arena, "%d %s %d, %02d:%02d UTC", at.tm_mday, months[at.tm_mon],
			    at.tm_year + 1900, at.tm_hour, at.tm_min);
}

const char *step_person(const struct step *step)
{
	const struct principal *principal = step->view.principal;

	return principal->display_name[0] ? principal->display_name : principal->username;
}

const char *method_shown(enum factor_method method)
{
	switch (method) {
	case FACTOR_TOTP: return "authenticator app";
	case FACTOR_WEBAUTHN: return "security key or passkey";
	case FACTOR_EMAIL: return "code by e-mail";
	case FACTOR_SMS: return "code by text message";
	case FACTOR_RECOVERY: return "recovery code";
	default: return "second factor";
	}
}
