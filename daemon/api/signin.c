/*
 * Signing in through an IdP. Enters: a browser that wants in, the IdP's answer. Leaves: a session
 * and its cookie, or a page with a reference id; either way one row in the audit log.
 *
 * A login that waits lives sealed in a cookie named after its request; RelayState only says which cookie
 * that is. What is believed is the verified answer's InResponseTo alone, and it can be used once.
 */
#include "site.h"

#include <stdio.h>

#include <sodium.h>

#include <rolebridge/base/log.h>

/* People read mails and look for their phone meanwhile. */
#define LOGIN_WAITS_S 900
#define AGENT_MAX 200

/* ------------------------------------------------------------------- login -- */

/* More than one IdP, and none was named: the person knows. */
static int choose_source(struct http_request *request, struct http_response *response,
			 const char *return_url, const char *nonce)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view view;

	page_begin(response, "Sign in");
	for (size_t i = 0; saml->source(saml->context, i, request->arena, &view); i++) {
		const struct http_pair pairs[] = { { "source", view.name },
						   { "return", return_url },
						   { "nonce", nonce } };
		const char *url = url_with(request->arena, "/login", pairs, ARRAY_LEN(pairs));

		strbuf_puts(&response->body, "<p><a class=\"button\" href=\"");
		http_html_escape(&response->body, url ? url : "/login");
		strbuf_puts(&response->body, "\">");
		http_html_escape(&response->body, view.name);
		strbuf_puts(&response->body, "</a></p>\n");
	}
	page_end(response);
	return 0;
}

/* Begin a login at an IdP: seal what waits, send the browser there. */
static int begin_login(struct http_request *request, struct http_response *response,
		       const struct site *site, const struct pending_login *wanted, struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	AUTO(strbuf) struct strbuf sealed = STRBUF(8192);
	struct pending_login pending = *wanted;
	struct saml_outgoing outgoing;
	char id[REQUEST_ID_SIZE], name[REQUEST_NAME_SIZE];

	if (http_limit_take(web->login_limit, request, err) < 0)
		return -1;
	request_id_make(id);
	request_name(id, name);
	pending.request_id = id;
	pending.created_s = clock_now_s();
	pending.until_s = pending.created_s + LOGIN_WAITS_S;
	if (ticket_seal_login(web->settings.tickets, &pending, &sealed, err) < 0 ||
	    saml->login(saml->context, pending.source, id, name, pending.test, request->arena,
			&outgoing, err) < 0 ||
	    cookie_set(request, response, site->secure, COOKIE_LOGIN, name,
		       arena_strdup(request->arena, strbuf_text(&sealed)), LOGIN_WAITS_S, err) < 0)
		return -1;
	return page_send(request, response, &outgoing, err);
}

/* The only source there is, or the one that was named. NULL: more than one, or none. */
static const char *one_source(struct http_request *request, const char *named)
{
	const struct saml_ports *saml = web_saml(request->context);
	struct saml_source_view first, second;

	if (named)
		return named;
	if (!saml->source(saml->context, 0, request->arena, &first) ||
	    saml->source(saml->context, 1, request->arena, &second))
		return NULL;
	return first.name;
}

/* /login with the same return: where the browser comes back to when it has a session. */
static const char *come_back(struct http_request *request, const struct site *site,
			     const char *return_url, const char *nonce)
{
	const struct http_pair pairs[] = { { "return", return_url }, { "nonce", nonce } };
	const char *path;

	if (!return_url)
		return "";
	path = url_with(request->arena, "/login", pairs, ARRAY_LEN(pairs));
	return path ? arena_printf(request->arena, "%s%s", site->url, path) : NULL;
}

/* Signed in already: on to where they wanted to go. */
static int go_on(struct http_request *request, struct http_response *response, struct site *site,
		 const struct session_view *view, const char *return_url, const char *nonce,
		 struct err *err)
{
	if (!return_url)
		return http_redirect(response, 302, "/", err);

	int sent = handoff_send(request, response, site, view, return_url, nonce, err);

	if (sent != 0)
		return sent < 0 ? -1 : 0;
	return http_redirect(response, 302, return_url, err);
}

static int check_return(const struct site *site, const char *return_url, struct err *err)
{
	if (!return_url || applications_allow_return(site->applications, return_url))
		return 0;
	return err_refuse(err, ERR_INVALID, "return-not-allowed",
			  "the address to return to belongs to no application");
}

int login_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", "source", "nonce", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	const char *return_url = http_query(request, "return");
	const char *nonce = http_query(request, "nonce");
	struct pending_login pending = { 0 };
	struct session_view view;
	struct err nobody = { 0 };

	if (!site || http_query_allow(request, names, err) < 0 ||
	    check_return(site, return_url, err) < 0)
		return -1;
	if (site_session(request, site, &view, &nobody) == 0) {
		int result = go_on(request, response, site, &view, return_url, nonce, err);

		session_view_release(&view);
		return result;
	}
	pending.source = one_source(request, http_query(request, "source"));
	if (!pending.source)
		return choose_source(request, response, return_url, nonce);
	pending.return_url = come_back(request, site, return_url, nonce);
	if (!pending.return_url)
		return err_set(err, ERR_MEMORY, "out of memory");
	return begin_login(request, response, site, &pending, err);
}

int saml_login(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	const char *return_url = http_query(request, "return");
	struct pending_login pending = { .source = http_parameter(request, "source") };

	if (!site || http_query_allow(request, names, err) < 0 ||
	    check_return(site, return_url, err) < 0)
		return -1;
	pending.return_url = come_back(request, site, return_url, NULL);
	if (!pending.return_url)
		return err_set(err, ERR_MEMORY, "out of memory");
	return begin_login(request, response, site, &pending, err);
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

int saml_test(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct pending_login pending = { .source = http_parameter(request, "source"),
					 .return_url = "",
					 .test = true };
	struct session_view view;
	bool allowed;

	if (!site)
		return -1;
	if (site_session(request, site, &view, err) < 0)
		return http_redirect(response, 302, "/login", err);
	allowed = view.principal->is_administrator;
	pending.test_session_id = view.session_id;
	session_view_release(&view);
	if (!allowed)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "only administrators may test a login");
	return begin_login(request, response, site, &pending, err);
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
};

static struct actor source_actor(const struct http_request *request, const char *source)
{
	const char *name = arena_printf(request->arena, "saml:%s", source);

	return (struct actor){ .name = name ? name : "saml", .request = request->id };
}

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
	if (change_login_refused(web->settings.changer, &actor, answer->source, reason,
				 answer->refusal.detail, http_client_text(request), err) < 0)
		return -1;
	page_refused(request, response, status,
		     status == 503 ? "Not available at the moment" : "You could not be signed in",
		     status == 503 ? "Please try again in a moment."
				   : "The answer of your identity provider was not accepted.");
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

static int find_source(struct http_request *request, struct answer *answer, struct err *err)
{
	const struct saml_ports *saml = web_saml(request->context);

	for (size_t i = 0; saml->source(saml->context, i, request->arena, &answer->view); i++) {
		if (strcmp(answer->view.name, answer->source) == 0)
			return 0;
	}
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such source");
}

static int read_answer(struct http_request *request, struct answer *answer, struct err *err)
{
	struct http_form form;
	const char *encoded;

	answer->source = http_parameter(request, "source");
	if (find_source(request, answer, err) < 0 || http_form_read(request, &form, err) < 0)
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

/* Where to go: as the login was begun; unsolicited: where RelayState says, if that is ours. */
static const char *landing(const struct answer *answer)
{
	const char *url = answer->waits ? answer->pending.return_url : answer->relay_state;

	if (!url || !url[0])
		return "/";
	if (answer->waits ||
	    (url[0] == '/' && url[1] != '/' && url[1] != '\\' && strpbrk(url, "\\\r\n\t") == NULL))
		return url;
	return applications_allow_return(answer->site->applications, url) ? url : "/";
}

static const char *agent_of(const struct http_request *request)
{
	const char *agent = http_header(request, "User-Agent");

	return agent ? arena_strndup(request->arena, agent, strnlen(agent, AGENT_MAX)) : "";
}

/* Everything that is decided by the store: one transaction. */
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
		.now_s = clock_now_s(),
	};
	int result;

	login.until_s = login.now_s + limits->absolute_s;
	session_token_make(token, &login.token);
	result = change_login(web->settings.changer, &actor, &login, request->arena, &outcome, err);
	if (result == 0 && outcome.refused[0]) {
		log_warning("login.refused", F_STR("source", answer->source),
			    F_STR("reason", outcome.refused), F_STR("detail", outcome.detail),
			    F_STR("request", request->id));
		page_refused(request, response, 403, "No access",
			     "You are known, but nothing here is open to you.");
	} else if (result == 0) {
		result = sessions_add(web->settings.sessions, &outcome.session, &login.token, err);
		if (result == 0)
			result = cookie_set(request, response, answer->site->secure, COOKIE_SESSION,
					    "", arena_strdup(request->arena, token), -1, err);
		if (result == 0)
			result = http_redirect(response, 303, landing(answer), err);
	}
	sodium_memzero(token, sizeof(token));
	if (result == 0 && answer->waits) {
		request_name(answer->pending.request_id, name);
		result = cookie_set(request, response, answer->site->secure, COOKIE_LOGIN, name,
				    NULL, 0, err);
	}
	return result;
}

/* The worker did not answer: this one request is lost. Who kills workers again and again has to wait. */
static int worker_lost(struct http_request *request, struct http_response *response,
		       struct answer *answer, struct err *err)
{
	const struct web *web = request->context;
	const char *reason = err_reason(err);
	bool died = strcmp(reason, "worker-died") == 0 || strcmp(reason, "worker-timeout") == 0;

	if (!died)
		return -1;
	if (http_limit_take(web->death_limit, request, err) < 0)
		return -1;
	snprintf(answer->refusal.reason, sizeof(answer->refusal.reason), "%s", reason);
	snprintf(answer->refusal.detail, sizeof(answer->refusal.detail), "%.500s", err->text);
	err_clear(err);
	return refuse(request, response, answer, 503, err);
}

int saml_acs(struct http_request *request, struct http_response *response, struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	AUTO(site) struct site *site = site_take(web, err);
	struct answer answer = { .site = site };
	int verified;

	if (!site || http_limit_take(web->answer_limit, request, err) < 0 ||
	    read_answer(request, &answer, err) < 0)
		return -1;
	verified = saml->verify(saml->context, answer.source,
				answer.waits ? &answer.pending.request_id : NULL, answer.waits,
				answer.waits && answer.pending.test, &answer.message,
				request->arena, &answer.assertion, &answer.refusal, err);
	if (verified < 0)
		return worker_lost(request, response, &answer, err);
	/* An answer to nothing, where some login waits, is nobody's test. */
	if (answer.waits && verified == 0 && answer.assertion.in_response_to[0] == '\0')
		answer.waits = false;
	if (answer.waits && answer.pending.test) {
		const struct test_answer test = {
			.source = answer.source,
			.relay_state = answer.relay_state,
			.just_in_time = answer.view.just_in_time,
			.again = answer.again,
			.message = &answer.message,
			.pending = &answer.pending,
			.assertion = &answer.assertion,
			.refusal = verified == 0 ? NULL : &answer.refusal,
		};

		return testlogin_show(request, response, site, &test, err);
	}
	if (verified != 0)
		return refuse(request, response, &answer, 403, err);
	return sign_in(request, response, &answer, err);
}
