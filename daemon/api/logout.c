/*
 * Signing out, from both sides. Enters: a click here, or an IdP's logout message through the browser, maybe
 * inside a frame and without cookies. Leaves: sessions ended in store and memory, a message for the IdP.
 *
 * The session is found by what the verified message says (NameID, SessionIndex), never by cookie. A message that
 * is not accepted ends nothing.
 */
#include "site.h"

#include <stdio.h>

#include <rolebridge/base/log.h>
#include <rolebridge/store/session.h>

#define LOGOUT_WAITS_S 300
/* The standard says 80 bytes; some IdPs put an address of their own there. */
#define RELAY_STATE_MAX 2048

static int signed_out(struct http_response *response)
{
	page_begin(response, "You are signed out");
	page_link_button(response, "/login", "Sign in again");
	page_end(response);
	return 0;
}

/* ------------------------------------------------------------------ from here -- */

int logout_get(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct web *web = request->context;
	AUTO(site) struct site *site = site_take(request->context, err);
	struct session_view view;
	int found = site ? site_session_any(request, site, &view, err) : -1;
	char csrf[44];

	if (found <= 0)
		return found < 0 ? -1 : signed_out(response);
	ticket_csrf(web->settings.tickets, view.session_id, csrf);
	page_begin(response, "Sign out?");
	page_button_form(response, "/logout", csrf, PAGE_BUTTON_MAIN, "Sign out", NULL);
	page_link(response, "/", "Stay signed in");
	page_end(response);
	session_view_release(&view);
	return 0;
}

static int load_session(struct web *web, int64_t id, struct arena *arena,
			struct session *ret_session, struct err *err)
{
	struct store *store = store_pool_take(web->pool, err);
	int result;

	if (!store)
		return -1;
	result = store_session_get(store, id, arena, ret_session, err);
	store_pool_give(web->pool, store);
	return result;
}

/* Tell the IdP; -1 with ERR_NOT_FOUND where it does not want to know. */
static int tell_idp(struct http_request *request, struct http_response *response,
		    const struct site *site, const struct session *session, struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	AUTO(strbuf) struct strbuf sealed = STRBUF(8192);
	char id[REQUEST_ID_SIZE];
	struct pending_logout pending = { .request_id = id,
					  .source = session->source,
					  .return_url = "",
					  .until_s = clock_now_s() + LOGOUT_WAITS_S };
	struct saml_outgoing outgoing;

	if (session->source[0] == '\0' || session->name_id[0] == '\0')
		return err_set(err, ERR_NOT_FOUND, "no IdP to tell");
	request_id_make(id);
	if (saml->logout_start(saml->context, session, id, request->arena, &outgoing, err) < 0 ||
	    ticket_seal_logout(web->settings.tickets, &pending, &sealed, err) < 0 ||
	    cookie_set(request, response, site->secure, COOKIE_LOGOUT, "", strbuf_text(&sealed),
		       LOGOUT_WAITS_S, err) < 0)
		return -1;
	return page_send_after_form(request, response, &outgoing, err);
}

int logout_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct web *web = request->context;
	AUTO(site) struct site *site = site_take(web, err);
	struct session_view view;
	struct session session;
	struct http_form form;
	struct err ignored = { 0 };
	const char *csrf;
	bool known;
	int found;

	if (!site || http_form_read(request, &form, err) < 0)
		return -1;
	/* Nobody is told they are signed out while that is not known. */
	found = site_session_any(request, site, &view, err);
	if (found <= 0)
		return found < 0 ? -1 : signed_out(response);

	int64_t id = view.session_id;
	const struct actor actor = {
		.name = arena_printf(request->arena, "user:%s", view.principal->uuid),
		.request = request->id,
		.is_person = true,
	};

	session_view_release(&view);
	csrf = http_form_value(&form, "csrf");
	if (!csrf || !ticket_csrf_check(web->settings.tickets, id, csrf))
		return err_refuse(err, ERR_DENIED, "csrf",
				  "this form is too old; please try again");
	known = load_session(web, id, request->arena, &session, &ignored) == 0;
	if (!actor.name)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (change_sessions_end(web->settings.changer, &actor, &id, 1, "logout", NULL, err) < 0 ||
	    cookie_remove(request, response, site->secure, COOKIE_SESSION, "", err) < 0)
		return -1;
	/* Here it is over, whatever the IdP answers. */
	if (known && tell_idp(request, response, site, &session, &ignored) == 0)
		return 0;
	return signed_out(response);
}

/* --------------------------------------------------------------- from the IdP -- */

struct slo {
	struct site *site;
	const char *source;
	struct saml_message message;
	const char *relay_state; /* of a POST, where it is no part of what was signed */
	bool waits;
	struct pending_logout pending;
};

static void find_pending(struct http_request *request, struct slo *slo)
{
	const struct web *web = request->context;
	const char *sealed = cookie_get(request, slo->site->secure, COOKIE_LOGOUT, "");
	struct err err = { 0 };

	slo->waits = sealed &&
		     ticket_open_logout(web->settings.tickets, sealed, clock_now_s(),
					request->arena, &slo->pending, &err) == 0 &&
		     strcmp(slo->pending.source, slo->source) == 0;
}

static int refuse(struct http_request *request, struct http_response *response,
		  const struct slo *slo, int status, const char *reason, const char *detail,
		  struct err *err)
{
	const struct web *web = request->context;
	const struct actor actor = source_actor(request, slo->source);

	log_warning("logout.refused", F_STR("source", slo->source), F_STR("reason", reason),
		    F_STR("detail", detail), F_STR("request", request->id),
		    F_STR("address", http_client_text(request)));
	if (change_logout_refused(web->settings.changer, &actor, slo->source, reason, detail,
				  http_client_text(request), err) < 0)
		return -1;
	page_refused(request, response, status, "This did not work",
		     "The message of your identity provider was not accepted.");
	return 0;
}

static int answer_request(struct http_request *request, struct http_response *response,
			  const struct slo *slo, const struct saml_logout *logout, struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	const struct actor actor = source_actor(request, slo->source);
	struct saml_outgoing outgoing;
	char id[REQUEST_ID_SIZE];
	size_t ended = 0;

	if (change_sessions_end_by_idp(web->settings.changer, &actor, slo->source, logout, &ended,
				       err) < 0) {
		if (strcmp(err_reason(err), "replayed") != 0)
			return -1;
		return refuse(request, response, slo, 403, "replayed",
			      "this logout request was used before", err);
	}
	log_info("logout.by-idp", F_STR("source", slo->source), F_INT("sessions", (int64_t)ended),
		 F_STR("request", request->id));
	request_id_make(id);
	if (saml->logout_answer(saml->context, slo->source, id, logout, true, request->arena,
				&outgoing, err) < 0) {
		/* It wants no answer, or cannot be told: the sessions are over all the same. */
		if (err->code != ERR_NOT_FOUND)
			return -1;
		return signed_out(response);
	}
	return page_send(request, response, &outgoing, err);
}

static int handle(struct http_request *request, struct http_response *response, struct slo *slo,
		  struct err *err)
{
	struct web *web = request->context;
	const struct saml_ports *saml = web_saml(web);
	struct saml_logout logout;
	struct saml_refusal refusal;
	int judged;

	/* IdPs show this in frames of their own page. */
	response->framed = true;
	find_pending(request, slo);
	judged = saml->logout_receive(saml->context, slo->source,
				      slo->waits ? &slo->pending.request_id : NULL, slo->waits,
				      &slo->message, request->arena, &logout, &refusal, err);
	if (judged < 0) {
		const struct err cause = *err;

		return worker_was_lost(request, web->answer_limit, err)
			       ? refuse(request, response, slo, 503, err_reason(&cause), cause.text,
					err)
			       : -1;
	}
	if (judged > 0)
		return refuse(request, response, slo, 403, refusal.reason, refusal.detail, err);
	/* Goes back as it came (Bindings, 3.5.3), or the IdP does not know what our answer is about. */
	if (slo->relay_state)
		logout.relay_state = slo->relay_state;
	if (logout.is_request)
		return answer_request(request, response, slo, &logout, err);
	if (!logout.success)
		log_warning("logout.idp-failed", F_STR("source", slo->source),
			    F_STR("request", request->id));
	if (cookie_remove(request, response, slo->site->secure, COOKIE_LOGOUT, "", err) < 0)
		return -1;
	return signed_out(response);
}

static int slo_begin(struct http_request *request, struct slo *slo, struct err *err)
{
	struct web *web = request->context;

	slo->site = site_take(web, err);
	slo->source = http_parameter(request, "source");
	return !slo->site || http_limit_take(web->answer_limit, request, err) < 0 ? -1 : 0;
}

int slo_get(struct http_request *request, struct http_response *response, struct err *err)
{
	struct slo slo = { 0 };
	int result = slo_begin(request, &slo, err);

	slo.message = (struct saml_message){ .binding = SAML_REDIRECT,
					     .query = request->query_raw,
					     .query_size = strlen(request->query_raw) };
	if (result == 0)
		result = handle(request, response, &slo, err);
	site_give(slo.site);
	return result;
}

int slo_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct slo slo = { 0 };
	struct http_form form;
	const char *asked = NULL, *answered = NULL;
	int result = slo_begin(request, &slo, err);

	if (result == 0)
		result = http_form_read(request, &form, err);
	if (result == 0) {
		asked = http_form_value(&form, "SAMLRequest");
		answered = http_form_value(&form, "SAMLResponse");
		if (!asked == !answered)
			result = err_set(err, ERR_INVALID,
					 "one SAMLRequest or SAMLResponse is needed");
	}
	if (result == 0) {
		const char *encoded = asked ? asked : answered;
		const char *relay_state = http_form_value(&form, "RelayState");

		if (relay_state && strlen(relay_state) <= RELAY_STATE_MAX)
			slo.relay_state = relay_state;
		slo.message = (struct saml_message){ .binding = SAML_POST,
						     .encoded = encoded,
						     .encoded_size = strlen(encoded) };
		result = handle(request, response, &slo, err);
	}
	site_give(slo.site);
	return result;
}
