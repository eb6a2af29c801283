/*
 * Signing in through an IdP. Enters: a browser that wants in, the IdP's answer. Leaves: a session
 * and its cookie, or a page with a reference id; either way one row in the audit log.
 *
 * A login that waits lives sealed in a cookie named after its request; RelayState only says which cookie
 * that is. What is believed is the verified answer's InResponseTo alone, and it can be used once.
 */
#include "signin/signin.h"

#include <stdio.h>

#include <sodium.h>

#include <rolebridge/base/log.h>

/* People read mails and look for their phone meanwhile. */
#define LOGIN_WAITS_S 900
#define PATH_MAX_BYTES 1024
/* Logins of one browser that wait; more cookies than proxies take (8 KiB) would lock it out. */
#define WAITING_MAX 6
#define WAITING_SEEN_MAX 64
#define FORGOTTEN_MAX 4 /* at a time: proxies have room for so many headers */

/* ------------------------------------------------------------------- login -- */

/* Tabs that were left at the IdP: the oldest make room. What cannot be opened is over. */
static int forget_oldest(struct http_request *request, struct http_response *response,
			 const struct site *site, struct err *err)
{
	struct web *web = request->context;
	const char *names[WAITING_SEEN_MAX];
	int64_t created_s[WAITING_SEEN_MAX];
	size_t count =
		cookie_suffixes(request, site->secure, COOKIE_LOGIN, names, WAITING_SEEN_MAX);

	for (size_t i = 0; i < count; i++) {
		const char *sealed = cookie_get(request, site->secure, COOKIE_LOGIN, names[i]);
		struct pending_login pending;

		created_s[i] =
			sealed && ticket_open_login(web->settings.tickets, sealed, clock_now_s(),
						    request->arena, &pending, NULL) == 0
				? pending.created_s
				: 0;
	}
	for (size_t removed = 0; removed < FORGOTTEN_MAX; removed++) {
		size_t oldest = 0;

		for (size_t i = 1; i < count; i++)
			oldest = created_s[i] < created_s[oldest] ? i : oldest;
		if (count == 0 || (count < WAITING_MAX && created_s[oldest] != 0))
			return 0;
		if (cookie_remove(request, response, site->secure, COOKIE_LOGIN, names[oldest],
				  err) < 0)
			return -1;
		count--;
		names[oldest] = names[count];
		created_s[oldest] = created_s[count];
	}
	return 0;
}

int saml_source_find(const struct saml_ports *saml, const char *name, struct arena *arena,
		     struct saml_source_view *ret_view, struct err *err)
{
	for (size_t i = 0; saml->source(saml->context, i, arena, ret_view); i++)
		if (strcmp(ret_view->name, name) == 0)
			return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no SAML source '%s'", name);
}

/* Whoever asks the administrator has the reason and the reference. */
static void show_switched_off(struct http_request *request, struct http_response *response,
			      const char *source)
{
	const char *text =
		arena_printf(request->arena,
			     "Signing in through '%s' is switched off (source-disabled).", source);

	log_warning("login.refused", F_STR("source", source), F_STR("reason", "source-disabled"),
		    F_STR("request", request->id), F_STR("address", http_client_text(request)));
	page_refused_with(request, response, 403, "Signing in is switched off",
			  text ? text : "Signing in is switched off.", "/login", "Sign in");
}

/* Begin a login at an IdP: seal what waits, send the browser there. force: the IdP is to ask anew. */
static int begin_login(struct http_request *request, struct http_response *response,
		       const struct site *site, const struct pending_login *wanted, bool force,
		       struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	AUTO(strbuf) struct strbuf sealed = STRBUF(8192);
	struct pending_login pending = *wanted;
	struct saml_source_view view;
	struct saml_outgoing outgoing;
	char id[REQUEST_ID_SIZE], name[REQUEST_NAME_SIZE];

	if (http_limit_take(web->login_limit, request, err) < 0 ||
	    saml_source_find(saml, pending.source, request->arena, &view, err) < 0)
		return -1;
	if (!view.enabled && !pending.test) {
		show_switched_off(request, response, view.name);
		return 0;
	}
	request_id_make(id);
	request_name(id, name);
	pending.request_id = id;
	pending.session_id = session_before(request, site);
	pending.created_s = clock_now_s();
	pending.until_s = pending.created_s + LOGIN_WAITS_S;
	if (ticket_seal_login(web->settings.tickets, &pending, &sealed, err) < 0 ||
	    saml->login(saml->context, pending.source, id, name, force, request->arena, &outgoing,
			err) < 0 ||
	    forget_oldest(request, response, site, err) < 0 ||
	    cookie_set(request, response, site->secure, COOKIE_LOGIN, name, strbuf_text(&sealed),
		       LOGIN_WAITS_S, err) < 0)
		return -1;
	return page_send(request, response, &outgoing, err);
}

/* /login with the same return: where the browser comes back to when it has a session. */
static const char *come_back(struct http_request *request, const struct site *site,
			     const struct landing *landing)
{
	const char *path;

	if (!landing->return_url)
		return "";
	path = landing_path(request->arena, "/login", landing);
	return path ? arena_printf(request->arena, "%s%s", site->url, path) : NULL;
}

static int begin_landing(struct http_request *request, struct http_response *response,
			 const struct site *site, const char *source, const struct landing *landing,
			 bool force, struct err *err)
{
	struct pending_login pending = { .source = source };

	pending.return_url = come_back(request, site, landing);
	if (!pending.return_url)
		return err_set(err, ERR_MEMORY, "out of memory");
	return begin_login(request, response, site, &pending, force, err);
}

int idp_begin(struct http_request *request, struct http_response *response, const struct site *site,
	      const char *source, const struct landing *landing, struct err *err)
{
	return begin_landing(request, response, site, source, landing, false, err);
}

const char *sign_in_anew(struct http_request *request, const char *source, const char *return_url)
{
	const char *path = arena_printf(request->arena, "/saml/%s/login", source);
	const struct http_pair pairs[] = { { "return", return_url }, { "fresh", "1" } };

	return path ? url_with(request->arena, path, pairs, ARRAY_LEN(pairs)) : NULL;
}

int saml_login(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", "fresh", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	struct landing landing;

	if (!site || http_query_allow(request, names, err) < 0 ||
	    landing_read(request, site, http_query(request, "return"), NULL, &landing, err) < 0)
		return -1;
	return begin_landing(request, response, site, http_parameter(request, "source"), &landing,
			     http_query(request, "fresh") != NULL, err);
}

int saml_metadata(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct saml_ports *saml = web_saml(request->context);
	const char *xml;

	if (saml->metadata(saml->context, http_parameter(request, "source"), request->arena, &xml,
			   err) < 0)
		return -1;
	response->content_type = "application/samlmetadata+xml";
	strbuf_puts(&response->body, xml);
	return 0;
}

/* And back here. */
static int sign_in_to_test(struct http_request *request, struct http_response *response,
			   const struct site *site, struct err *err)
{
	const char *here = arena_printf(request->arena, "%s/saml/%s/test", site->url,
					http_parameter(request, "source"));
	const struct http_pair pairs[] = { { "return", here } };
	const char *url = here ? url_with(request->arena, "/login", pairs, 1) : NULL;

	return url ? http_redirect(response, 302, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

int saml_test(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct pending_login pending = { .source = http_parameter(request, "source"),
					 .return_url = "",
					 .test = true };
	struct session_view view;
	int found = site ? site_session(request, site, &view, err) : -1;
	bool allowed;

	if (found < 0)
		return -1;
	if (found == 0)
		return sign_in_to_test(request, response, site, err);
	allowed = view.principal->is_administrator;
	pending.test_session_id = view.session_id;
	session_view_release(&view);
	if (!allowed)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "only administrators may test a login");
	return begin_login(request, response, site, &pending, true, err);
}

/* --------------------------------------------------------------------- acs -- */

struct answer {
	struct site *site;
	const char *source;
	const char *relay_state;
	struct saml_source_view view;
	struct saml_message message;
	bool again; /* a test login's form, posted from here */
	bool waits; /* pending is a login of this browser */
	struct pending_login pending;
	struct saml_assertion assertion;
	struct saml_refusal refusal;
	struct setup *setup; /* that the record was made under; released by saml_acs */
};

/* One audit row, one log line and a page that says no more than the reference. */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct answer *answer, int status, struct err *err)
{
	const struct web *web = request->context;
	const struct actor actor = source_actor(request, answer->source);
	const char *reason = answer->refusal.reason;

	log_warning("login.refused", F_STR("source", answer->source), F_STR("reason", reason),
		    F_STR("detail", answer->refusal.detail), F_STR("request", request->id),
		    F_STR("address", http_client_text(request)));
	http_request_waits(request);
	if (change_login_refused(web->settings.changer, &actor, answer->source, reason,
				 answer->refusal.detail, http_client_text(request), err) < 0)
		return -1;
	page_refused_with(request, response, status,
			  status == 503 ? "Not available at the moment"
					: "You could not be signed in",
			  status == 503 ? "Please try again in a moment."
					: "The answer of your identity provider was not accepted.",
			  "/login", "Try again");
	return 0;
}

/* The login that this browser began and RelayState names, if it is one of ours. */
static void find_pending(struct http_request *request, struct answer *answer)
{
	const struct web *web = request->context;
	size_t size = answer->relay_state ? strlen(answer->relay_state) : 0;
	struct err err = { 0 };
	const char *sealed;

	if (size != REQUEST_NAME_SIZE - 1 ||
	    strspn(answer->relay_state, "0123456789abcdef") != size)
		return;
	sealed = cookie_get(request, answer->site->secure, COOKIE_LOGIN, answer->relay_state);
	answer->waits = sealed &&
			ticket_open_login(web->settings.tickets, sealed, clock_now_s(),
					  request->arena, &answer->pending, &err) == 0 &&
			strcmp(answer->pending.source, answer->source) == 0;
}

static int read_answer(struct http_request *request, struct answer *answer, struct err *err)
{
	struct http_form form;
	const char *encoded;

	answer->source = http_parameter(request, "source");
	if (saml_source_find(web_saml(request->context), answer->source, request->arena,
			     &answer->view, err) < 0 ||
	    http_form_read(request, &form, err) < 0)
		return -1;
	encoded = http_form_value(&form, "SAMLResponse");
	answer->relay_state = http_form_value(&form, "RelayState");
	answer->again = http_form_value(&form, "again") != NULL;
	answer->message = (struct saml_message){ .binding = SAML_POST,
						 .encoded = encoded ? encoded : "",
						 .encoded_size = encoded ? strlen(encoded) : 0 };
	find_pending(request, answer);
	return 0;
}

/* A path of ours, and nothing that a browser could take for another host's. */
static bool is_own_path(const char *url)
{
	if (url[0] != '/' || url[1] == '/' || strlen(url) > PATH_MAX_BYTES)
		return false;
	for (const char *at = url; *at; at++) {
		if (*at <= ' ' || *at >= 0x7f || *at == '\\')
			return false;
	}
	return true;
}

/* Where to go: as the login was begun; unsolicited: where RelayState says, if that is ours. */
static const char *landing(const struct answer *answer)
{
	const char *url = answer->waits ? answer->pending.return_url : answer->relay_state;

	if (!url || !url[0])
		return "/";
	if (answer->waits || is_own_path(url) ||
	    applications_allow_return(answer->site->applications, url))
		return url;
	return "/";
}

/* The IdP said who it is; what is decided here said no. */
static void show_no_access(struct http_request *request, struct http_response *response,
			   const struct answer *answer, const struct login_outcome *outcome)
{
	bool used = strcmp(outcome->refused, "replayed") == 0 ||
		    strcmp(outcome->refused, "request-used") == 0;

	log_warning("login.refused", F_STR("source", answer->source),
		    F_STR("reason", outcome->refused), F_STR("detail", outcome->detail),
		    F_STR("request", request->id), F_STR("address", http_client_text(request)));
	if (used)
		page_refused_with(request, response, 403, "You could not be signed in",
				  "This answer of your identity provider was used before.",
				  "/login", "Sign in");
	else
		login_no_access(request, response, outcome->refused);
}

/* Everything that is decided by the store: one transaction. A session that nobody gets is ended again. */
static int sign_in(struct http_request *request, struct http_response *response,
		   struct answer *answer, struct err *err)
{
	const struct web *web = request->context;
	const struct actor actor = source_actor(request, answer->source);
	const struct sessions_settings *limits = &answer->site->options->sessions;
	struct login_outcome outcome;
	char token[SESSION_TOKEN_TEXT], name[REQUEST_NAME_SIZE];
	struct login login = {
		.source = answer->source,
		.assertion = &answer->assertion,
		.just_in_time = answer->view.just_in_time,
		.request_id = answer->waits ? answer->pending.request_id : "",
		.request_until_s = answer->waits ? answer->pending.until_s : 0,
		.address = http_client_text(request),
		.agent = agent_of(request),
		.device = browser_device(request, answer->site),
		.now_s = clock_now_s(),
		.setup = answer->setup,
	};
	int result;

	if (answer->waits) {
		request_name(answer->pending.request_id, name);
		if (cookie_remove(request, response, answer->site->secure, COOKIE_LOGIN, name,
				  err) < 0)
			return -1;
	}
	login.until_s = login.now_s + limits->absolute_s;
	session_token_make(token, &login.token);
	http_request_waits(request);
	result = change_login(web->settings.changer, &actor, &login, request->arena, &outcome, err);
	if (result == 0 && strcmp(outcome.refused, "source-disabled") == 0) {
		show_switched_off(request, response, answer->source);
	} else if (result == 0 && outcome.refused[0]) {
		show_no_access(request, response, answer, &outcome);
	} else if (result == 0) {
		result = session_give(
			request, response, answer->site, &outcome.session, &login.token, token,
			answer->waits ? answer->pending.session_id : 0, landing(answer), err);
		if (result < 0)
			change_sessions_end(web->settings.changer, &actor, &outcome.session.id, 1,
					    "not-delivered", NULL, NULL);
	}
	sodium_memzero(token, sizeof(token));
	return result;
}

/* The worker did not answer: this one request is lost. Who kills workers again and again has to wait. */
static int worker_lost(struct http_request *request, struct http_response *response,
		       struct answer *answer, struct http_limit *limit, struct err *err)
{
	if (!worker_was_lost(request, limit, err))
		return -1;
	snprintf(answer->refusal.reason, sizeof(answer->refusal.reason), "%s", err_reason(err));
	snprintf(answer->refusal.detail, sizeof(answer->refusal.detail), "%.500s", err->text);
	err_clear(err);
	return refuse(request, response, answer, 503, err);
}

static int show_test(struct http_request *request, struct http_response *response,
		     struct answer *answer, bool refused, struct err *err)
{
	const struct test_answer test = {
		.source = answer->source,
		.relay_state = answer->relay_state,
		.just_in_time = answer->view.just_in_time,
		.again = answer->again,
		.message = &answer->message,
		.pending = &answer->pending,
		.assertion = &answer->assertion,
		.refusal = refused ? &answer->refusal : NULL,
		.setup = answer->setup,
	};

	return testlogin_show(request, response, answer->site, &test, err);
}

static int judge(struct http_request *request, struct http_response *response,
		 struct answer *answer, struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	/* Whoever floods us with answers to nothing must not keep those out who have begun. */
	struct http_limit *limit = answer->waits ? web->awaited_limit : web->answer_limit;
	int verified;

	if (http_limit_take(limit, request, err) < 0)
		return -1;
	verified =
		saml->verify(saml->context, answer->source, answer->waits ? &answer->pending : NULL,
			     &answer->message, request->arena, &answer->assertion, &answer->refusal,
			     &answer->setup, err);
	if (verified < 0)
		return worker_lost(request, response, answer, limit, err);
	/* An answer to nothing, where some login waits, is nobody's test. */
	if (answer->waits && verified == 0 && answer->assertion.in_response_to[0] == '\0')
		answer->waits = false;
	if (answer->waits && answer->pending.test) {
		http_request_waits(request);
		return show_test(request, response, answer, verified != 0, err);
	}
	if (verified == 0)
		return sign_in(request, response, answer, err);
	return refuse(request, response, answer,
		      strcmp(answer->refusal.reason, "idp-unavailable") == 0 ? 503 : 403, err);
}

int saml_acs(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct answer answer = { .site = site };
	int result = site && read_answer(request, &answer, err) == 0
			     ? judge(request, response, &answer, err)
			     : -1;

	if (answer.setup)
		setup_release(answer.setup);
	return result;
}
