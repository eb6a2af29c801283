/*
 * What happens to a browser around its session. Enters: addresses that people come from and want to go to, sessions
 * that were just opened. Leaves: redirects, and the cookie.
 */
#include "signin.h"

#define AGENT_MAX 200

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

int session_give(struct http_request *request, struct http_response *response,
		 const struct site *site, const struct session *session, const struct hash256 *hash,
		 const char *token, const char *url, struct err *err)
{
	const struct web *web = request->context;

	if (sessions_add(web->settings.sessions, session, hash, err) < 0 ||
	    cookie_set(request, response, site->secure, COOKIE_SESSION, "", token, -1, err) < 0)
		return -1;
	return http_redirect(response, 303, url, err);
}
