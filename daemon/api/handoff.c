/*
 * Hand-off: a person who is signed in here gets a token of their own for an application's host.
 *
 *	application host /.rolebridge/start   sets a nonce in that host's cookies, on to our /login
 *	our /login, with a session            a code, bound to host, nonce and session; 30 s, once
 *	application host /.rolebridge/finish  checks code and nonce, sets that host's cookie
 *
 * The token is good for /auth on that host and for nothing else, so what the application or its scripts
 * get hold of opens neither this daemon nor another application.
 */
#include "signin/signin.h"

#include <sodium.h>
#include <strings.h>

#include <rolebridge/base/log.h>

#define NONCE_S 3600
#define HANDOFF_S 30

/*
 * A nonce is shaped like a token. Its hash is what travels in URLs, where the nonce itself must not. NULL: no
 * nonce of ours, or out of memory.
 */
static const char *nonce_hash(struct arena *arena, const char *nonce)
{
	struct hash256 hash;
	char *text = arena_alloc_array(arena, 2 * sizeof(hash.byte) + 1, 1);

	if (!text || !nonce || !session_token_hash(nonce, &hash))
		return NULL;
	return sodium_bin2hex(text, 2 * sizeof(hash.byte) + 1, hash.byte, sizeof(hash.byte));
}

static bool is_hash(const char *text)
{
	return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Scheme, host and path of a URL that applications_allow_return has passed. */
struct parts {
	const char *scheme, *host, *path, *origin;
};

static bool split_url(struct arena *arena, const char *url, struct parts *ret_parts)
{
	const char *at = strstr(url, "://");
	size_t host;

	if (!at)
		return false;
	host = strcspn(at + 3, "/?#");
	ret_parts->scheme = arena_strndup(arena, url, (size_t)(at - url));
	ret_parts->host = arena_strndup(arena, at + 3, host);
	ret_parts->origin = arena_strndup(arena, url, (size_t)(at - url) + 3 + host);
	ret_parts->path = at[3 + host] == '/' ? arena_strndup(arena, at + 3 + host,
							      strcspn(at + 3 + host, "?#"))
					      : "/";
	return ret_parts->scheme && ret_parts->host && ret_parts->origin && ret_parts->path;
}

/* The application of this URL; NULL: none. */
static const struct application *application_of(struct arena *arena, const struct site *site,
						const char *url, struct parts *ret_parts)
{
	if (!split_url(arena, url, ret_parts))
		return NULL;
	return applications_find(site->applications, ret_parts->scheme, ret_parts->host,
				 ret_parts->path);
}

const struct application *application_at(struct arena *arena, const struct site *site,
					 const char *url)
{
	struct parts parts;

	return application_of(arena, site, url, &parts);
}

static bool origin_is_secure(const struct parts *parts)
{
	return strcasecmp(parts->scheme, "https") == 0;
}

/* ------------------------------------------------------------ at our own host -- */

static int send_code(struct http_request *request, struct http_response *response,
		     const struct parts *parts, const struct handoff *handoff, struct err *err)
{
	const struct web *web = request->context;
	AUTO(strbuf) struct strbuf code = STRBUF(16384);
	const char *finish = arena_printf(request->arena, "%s/.rolebridge/finish", parts->origin);

	if (ticket_seal_handoff(web->settings.tickets, handoff, &code, err) < 0)
		return -1;

	const struct http_pair pairs[] = { { "code", strbuf_text(&code) } };
	const char *url = finish ? url_with(request->arena, finish, pairs, 1) : NULL;

	return url ? http_redirect(response, 302, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

/* Signed in, and not let in. A second factor can be made up for, at a page that asks for it. */
static int deny(struct http_request *request, struct http_response *response,
		const struct application *application, const struct session_view *view,
		const struct landing *landing, enum forward_verdict verdict, const char *lacking,
		struct err *err)
{
	const char *url;

	log_info("application.denied", F_STR("application", application_name(application)),
		 F_STR("user", view->principal->username), F_STR("lacking", lacking),
		 F_STR("request", request->id));
	if (verdict != FORWARD_SECOND_FACTOR) {
		page_refused(request, response, 403, "No access",
			     "You are signed in, but this application is not open to you.");
		return 0;
	}
	url = landing_path(request->arena, "/step-up", landing);
	return url ? http_redirect(response, 302, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

int handoff_send(struct http_request *request, struct http_response *response, struct site *site,
		 const struct session_view *view, const char *return_url, const char *nonce,
		 struct err *err)
{
	struct parts parts;
	const struct application *application =
		application_of(request->arena, site, return_url, &parts);
	struct handoff handoff = { .session_id = view->session_id,
				   .return_url = return_url,
				   .nonce_hash = nonce,
				   .until_s = clock_now_s() + HANDOFF_S };
	const char *lacking = "";
	enum forward_verdict verdict;
	int result;

	if (!application)
		return 0;
	verdict = application_judge(application, view, clock_now_s(), &lacking);
	if (verdict != FORWARD_ALLOWED) {
		const struct landing landing = { .return_url = return_url, .nonce = nonce };

		result =
			deny(request, response, application, view, &landing, verdict, lacking, err);
		return result < 0 ? -1 : 1;
	}
	handoff.host = application_host(application);
	if (!is_hash(nonce)) {
		/* It has to begin at the application's host, where the nonce is kept. */
		const struct http_pair pairs[] = { { "return", return_url } };
		const char *start =
			arena_printf(request->arena, "%s/.rolebridge/start", parts.origin);
		const char *url = start ? url_with(request->arena, start, pairs, 1) : NULL;

		result = url ? http_redirect(response, 302, url, err)
			     : err_set(err, ERR_MEMORY, "out of memory");
	} else {
		result = send_code(request, response, &parts, &handoff, err);
	}
	return result < 0 ? -1 : 1;
}

/* --------------------------------------------------- at the application's host -- */

/* What the proxy says this request's own address is. */
static bool own_origin(struct http_request *request, struct parts *ret_parts)
{
	const char *scheme = http_forwarded(request, "X-Forwarded-Proto");
	const char *host = http_forwarded(request, "X-Forwarded-Host");

	if (!scheme || !host)
		return false;
	*ret_parts =
		(struct parts){ .scheme = scheme,
				.host = host,
				.path = "/",
				.origin = arena_printf(request->arena, "%s://%s", scheme, host) };
	return ret_parts->origin != NULL;
}

/*
 * The application of this URL, when it is at the origin that was asked: same scheme, host and port, however they
 * are spelled. NULL: it is elsewhere.
 */
static const struct application *application_here(struct arena *arena, const struct site *site,
						  const struct parts *own, const char *url)
{
	struct parts target;
	const struct application *application = application_of(arena, site, url, &target);

	/* Each origin has applications of its own. */
	return application && application == applications_find(site->applications, own->scheme,
							       own->host, target.path)
		       ? application
		       : NULL;
}

static int unknown_origin(struct err *err)
{
	return err_refuse(err, ERR_INVALID, "unknown-application",
			  "the proxy did not say which application this is for");
}

int handoff_start(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "return", NULL };
	AUTO(site) struct site *site = site_take(request->context, err);
	const char *return_url = http_query(request, "return");
	struct parts own;
	const char *short_url = NULL, *nonce, *hash, *url, *login;
	char fresh[SESSION_TOKEN_TEXT];
	struct hash256 ignored;
	bool secure;

	if (!site || http_query_allow(request, names, err) < 0)
		return -1;
	if (!own_origin(request, &own))
		return unknown_origin(err);
	/* Only to where we are: no bouncing between applications. */
	if (return_url && application_here(request->arena, site, &own, return_url) &&
	    applications_allow_return(site->applications, return_url))
		short_url = return_shorten(request->arena, site, return_url);
	if (!short_url)
		return err_refuse(err, ERR_INVALID, "return-not-allowed",
				  "the address to return to is not on this host");
	secure = origin_is_secure(&own);
	nonce = cookie_get(request, secure, COOKIE_NONCE, "");
	hash = nonce_hash(request->arena, nonce);
	if (!hash) {
		/* One that is there serves other tabs, too. */
		session_token_make(fresh, &ignored);
		nonce = arena_strdup(request->arena, fresh);
		hash = nonce_hash(request->arena, nonce);
		if (!hash)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (cookie_set(request, response, secure, COOKIE_NONCE, "", nonce, NONCE_S, err) <
		    0)
			return -1;
	}

	const struct http_pair pairs[] = { { "return", short_url }, { "nonce", hash } };

	login = arena_printf(request->arena, "%s/login", site->url);
	url = login ? url_with(request->arena, login, pairs, ARRAY_LEN(pairs)) : NULL;
	return url ? http_redirect(response, 302, url, err)
		   : err_set(err, ERR_MEMORY, "out of memory");
}

/* A code that is ours, for this host, of this browser. */
static int open_code(struct http_request *request, const struct parts *own,
		     struct handoff *ret_handoff, struct err *err)
{
	const struct web *web = request->context;
	const char *code = http_query(request, "code");
	const char *nonce = cookie_get(request, origin_is_secure(own), COOKIE_NONCE, "");
	const char *hash = nonce_hash(request->arena, nonce);

	if (!code || ticket_open_handoff(web->settings.tickets, code, clock_now_s(), request->arena,
					 ret_handoff, err) < 0)
		return err_refuse(err, ERR_DENIED, "handoff-invalid",
				  "this link was used before, or is too old");
	if (!hash || strlen(ret_handoff->nonce_hash) != strlen(hash) ||
	    sodium_memcmp(hash, ret_handoff->nonce_hash, strlen(hash)) != 0)
		return err_refuse(err, ERR_DENIED, "handoff-foreign",
				  "this link was not made for this browser");
	return 0;
}

int handoff_finish(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "code", NULL };
	struct web *web = request->context;
	AUTO(site) struct site *site = site_take(web, err);
	const struct application *application;
	struct parts own;
	struct handoff handoff;
	struct session_token token = { .created_s = clock_now_s() };
	char text[SESSION_TOKEN_TEXT];
	int result;

	if (!site || http_query_allow(request, names, err) < 0)
		return -1;
	if (!own_origin(request, &own))
		return unknown_origin(err);
	if (open_code(request, &own, &handoff, err) < 0)
		return -1;
	application = application_here(request->arena, site, &own, handoff.return_url);
	if (!application || strcmp(application_host(application), handoff.host) != 0)
		return err_refuse(err, ERR_DENIED, "handoff-foreign",
				  "this link was made for another host");
	session_token_make(text, &token.hash);
	token.session_id = handoff.session_id;
	token.host = handoff.host;
	result = change_session_token_add(web->settings.changer, &token, err);
	if (result == 0)
		result = sessions_add_token(web->settings.sessions, &token, err);
	if (result < 0 && err->code == ERR_NOT_FOUND)
		err_refuse(err, ERR_DENIED, "handoff-invalid",
			   "you were signed out meanwhile; please try again");
	if (result == 0)
		result = cookie_set(request, response, origin_is_secure(&own), COOKIE_APPLICATION,
				    "", text, -1, err);
	sodium_memzero(text, sizeof(text));
	return result < 0 ? -1 : http_redirect(response, 302, handoff.return_url, err);
}
