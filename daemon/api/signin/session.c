/*
 * What happens to a browser around its session. Enters: addresses that people come from and want to go to, sessions
 * that were just opened. Leaves: redirects, and the cookie.
 */
#include <rolebridge/base/log.h>

#include "signin.h"

#define AGENT_MAX 200
#define WAIT_SHOWN_MAX 120

int landing_read(struct http_request *request, const struct site *site, const char *return_url,
		 const char *nonce, struct landing *ret_landing, struct err *err)
{
	struct landing landing = { .nonce = nonce && nonce[0] ? nonce : NULL };

	if (return_url && !return_url[0])
		return_url = NULL;
	if (return_url && applications_allow_return(site->applications, return_url))
		landing.return_url = return_shorten(request->arena, site, return_url);
	if (return_url && !landing.return_url)
		return err_refuse(err, ERR_INVALID, "return-not-allowed",
				  "the address to return to belongs to no application");
	*ret_landing = landing;
	return 0;
}

void landing_hidden(struct http_response *response, const struct landing *landing)
{
	if (landing->return_url)
		page_hidden(response, "return", landing->return_url);
	if (landing->nonce)
		page_hidden(response, "nonce", landing->nonce);
}

const char *landing_path(struct arena *arena, const char *path, const struct landing *landing)
{
	const struct http_pair pairs[] = { { "return", landing->return_url },
					   { "nonce", landing->nonce } };

	return url_with(arena, path, pairs, ARRAY_LEN(pairs));
}

int landing_go(struct http_request *request, struct http_response *response, struct site *site,
	       const struct session_view *view, const struct landing *landing, struct err *err)
{
	int sent;

	if (!landing->return_url)
		return http_redirect(response, 302, "/", err);
	sent = handoff_send(request, response, site, view, landing->return_url, landing->nonce,
			    err);
	if (sent != 0)
		return sent < 0 ? -1 : 0;
	return http_redirect(response, 302, landing->return_url, err);
}

const char *agent_of(const struct http_request *request)
{
	const char *agent = http_header(request, "User-Agent");

	agent = agent ? arena_strndup(request->arena, agent, strnlen(agent, AGENT_MAX)) : "";
	return agent ? agent : "";
}

const char *stage_page(enum session_stage stage)
{
	switch (stage) {
	case SESSION_FACTOR: return "/login/factor";
	case SESSION_ENROL: return "/login/enrol";
	case SESSION_FULL: break;
	}
	return NULL;
}

/* The page of its stage, with the way on that it would have gone: as landing_path has it, for that is what those read. */
static const char *stage_url(struct arena *arena, const struct site *site, enum session_stage stage,
			     const char *url)
{
	const char *page = stage_page(stage);
	struct landing landing = { .return_url = url };
	size_t own = strlen(site->url);

	if (strcmp(url, "/") == 0)
		return page;
	if (url[0] == '/')
		landing.return_url = arena_printf(arena, "%s%s", site->url, url);
	else if (strncmp(url, site->url, own) == 0 && strncmp(url + own, "/login?", 7) == 0)
		return arena_printf(arena, "%s%s", page, url + own + strlen("/login"));
	return landing.return_url ? landing_path(arena, page, &landing) : NULL;
}

int64_t session_before(struct http_request *request, const struct site *site)
{
	struct session_view view;
	int64_t id;

	if (site_session_any(request, site, &view, NULL) <= 0)
		return 0;
	id = view.session_id;
	session_view_release(&view);
	return id;
}

/* Nobody has its token any more, when the cookie is another one; what cannot be ended now ends by time. */
static void end_before(struct http_request *request, const struct session *session, int64_t before)
{
	const struct web *web = request->context;
	const struct actor actor = { .name = "sign-in", .request = request->id };
	struct err why = { 0 };

	if (before != 0 && before != session->id &&
	    change_sessions_end(web->settings.changer, &actor, &before, 1, "signed-in-anew", NULL,
				&why) < 0)
		log_warning("session.end", F_ERR(&why), F_STR("request", request->id));
}

static int keep_session(struct http_request *request, struct http_response *response,
			const struct site *site, const struct session *session,
			const struct hash256 *hash, const char *token, int64_t before,
			struct err *err)
{
	const struct web *web = request->context;

	if (before == 0)
		before = session_before(request, site);
	if (sessions_add(web->settings.sessions, session, hash, err) < 0 ||
	    cookie_set(request, response, site->secure, COOKIE_SESSION, "", token, -1, err) < 0)
		return -1;
	end_before(request, session, before);
	return 0;
}

int session_give(struct http_request *request, struct http_response *response,
		 const struct site *site, const struct session *session, const struct hash256 *hash,
		 const char *token, int64_t before, const char *url, struct err *err)
{
	if (session->stage != SESSION_FULL)
		url = stage_url(request->arena, site, session->stage, url);
	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (keep_session(request, response, site, session, hash, token, before, err) < 0)
		return -1;
	return http_redirect(response, 303, url, err);
}

int session_give_landing(struct http_request *request, struct http_response *response,
			 const struct site *site, const struct session *session,
			 const struct hash256 *hash, const char *token,
			 const struct landing *landing, struct err *err)
{
	const char *page = stage_page(session->stage);
	const char *url = landing_path(request->arena, page ? page : "/login", landing);

	if (!url)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (keep_session(request, response, site, session, hash, token, 0, err) < 0)
		return -1;
	if (page || !landing->return_url)
		return http_redirect(response, 303, page ? url : "/", err);
	/* Which hands them on, maybe to another site. */
	page_go_on(response, url);
	return 0;
}

const char *wait_shown(struct http_request *request, struct http_response *response,
		       const char *what, unsigned wait_s)
{
	http_response_header(response, "Retry-After", arena_printf(request->arena, "%u", wait_s));
	return wait_s <= WAIT_SHOWN_MAX
		       ? arena_printf(request->arena, "%s Please try again in %u second%s.", what,
				      wait_s, wait_s == 1 ? "" : "s")
		       : arena_printf(request->arena, "%s Please try again in %u minutes.", what,
				      (wait_s + 59) / 60);
}

static const struct {
	const char *reason, *title, *text;
} refusals[] = {
	{ "2fa-not-configured", "A second factor is required",
	  "You have to prove a second factor to sign in, and none is set up for you. Your administrator can give "
	  "you a code with which you set one up." },
	{ "disabled", "No access", "This account is disabled." },
	{ "suspended", "No access", "This account is suspended." },
};

void login_no_access(struct http_request *request, struct http_response *response,
		     const char *reason)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (strcmp(reason, refusals[i].reason) == 0) {
			page_refused(request, response, 403, refusals[i].title, refusals[i].text);
			return;
		}
	}
	page_refused(request, response, 403, "No access",
		     "You are known, but nothing here is open to you.");
}
