/*
 * Forward-auth: a reverse proxy asks about every request. Enters: what the proxy says of it
 * (X-Forwarded-*, from trusted proxies alone) and the browser's cookies. Leaves: 200 with Remote-* headers, 401 with
 * where to sign in, 403. Whatever cannot be judged is 403.
 */
#include "site.h"

#include <strings.h>

#include <rolebridge/base/log.h>

/* Proxies keep what they are told in buffers; the snippets make room for this much. */
#define HEADERS_MAX ((size_t)24 * 1024)

static int answer(struct http_response *response, int status)
{
	response->status = status;
	response->content_type = "text/plain; charset=utf-8";
	return 0;
}

static int deny(struct http_request *request, struct http_response *response, const char *why,
		const char *application)
{
	log_debug("auth.denied", F_STR("application", application), F_STR("why", why),
		  F_STR("request", request->id));
	return answer(response, 403);
}

/* Where the browser has to go; nginx takes it from the header, others pass the redirect on. */
static int ask_to_sign_in(struct http_request *request, struct http_response *response,
			  const struct site *site, const struct application *application,
			  const char *scheme, const char *uri)
{
	/* Its configured name, whatever spelling it was asked for by. */
	const char *origin = arena_printf(request->arena, "%s://%s",
					  strcasecmp(scheme, "https") == 0 ? "https" : "http",
					  application_host(application));
	const char *original = origin ? arena_printf(request->arena, "%s%s", origin, uri) : NULL;
	const char *start =
		origin ? arena_printf(request->arena, "%s/.rolebridge/start", origin) : NULL;
	const char *back = original ? return_shorten(request->arena, site, original) : NULL;
	const struct http_pair pairs[] = { { "return", back } };
	const char *url = back && start ? url_with(request->arena, start, pairs, 1) : NULL;
	const char *redirect = http_query(request, "redirect");

	if (!url)
		return answer(response, 403);
	http_response_header(response, "Location", url);
	http_response_header(response, "Cache-Control", "no-store");
	return answer(response, redirect && strcmp(redirect, "1") == 0 ? 302 : 401);
}

/* As the application wants it. NULL: it cannot be said. */
static const char *header_value(struct http_request *request, const struct application *application,
				const char *value)
{
	AUTO(strbuf) struct strbuf text = STRBUF(64 * 1024);
	enum header_encoding encoding =
		(enum header_encoding)application_settings(application)->headers;
	struct err err = { 0 };
	bool plain = true;

	for (const char *c = value; *c && plain; c++)
		plain = *c >= ' ' && *c < 0x7f;
	if (plain)
		return value;
	if (forward_header_value(value, encoding, &text, &err) < 0)
		return NULL;
	return arena_strdup(request->arena, strbuf_text(&text));
}

static void log_too_large(const struct http_request *request, const struct application *application,
			  const struct principal *principal, size_t size)
{
	log_warning("auth.headers-too-large", F_STR("application", application_name(application)),
		    F_STR("user", principal->username), F_INT("bytes", (int64_t)size),
		    F_STR("request", request->id));
}

/* NULL: it cannot be said who they are. */
static struct http_prepared *prepare(struct http_request *request,
				     const struct application *application,
				     const struct principal *principal)
{
	struct http_response response = { .body = STRBUF(0) };
	struct http_pair headers[] = {
		{ "Remote-Id", principal->uuid },
		{ "Remote-User", principal->username },
		{ "Remote-Email", principal->email },
		{ "Remote-Name", principal->display_name },
		{ "Remote-Profile", principal->profile },
		{ "Remote-Roles", principal->roles_text },
		{ "Remote-Personas", principal->personas_text },
		{ "Remote-Groups", principal->groups_text },
	};
	struct err err = { 0 };
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		const char *value = header_value(request, application, headers[i].value);

		/* All or nothing: a role less is another person. */
		if (!value || !http_response_header(&response, headers[i].name, value)) {
			log_too_large(request, application, principal, size);
			return NULL;
		}
		size += strlen(headers[i].name) + strlen(value) + strlen(": \r\n");
	}
	if (size > HEADERS_MAX) {
		log_too_large(request, application, principal, size);
		return NULL;
	}
	return http_prepared_create(&response, &err);
}

static void forget(void *prepared)
{
	http_prepared_release(prepared);
}

/* The answer is the same for all their requests until something about them changes: it is made once. */
static int allow(struct http_request *request, struct http_response *response,
		 const struct application *application, const struct principal *principal)
{
	enum header_encoding encoding =
		(enum header_encoding)application_settings(application)->headers;
	struct http_prepared *prepared = principal_kept(principal, encoding);

	_Static_assert(HEADER_UTF8 < PRINCIPAL_SLOTS && HEADER_RFC8187 < PRINCIPAL_SLOTS,
		       "a slot for each encoding");
	if (!prepared) {
		prepared = prepare(request, application, principal);
		if (!prepared)
			return answer(response, 403);
		prepared = principal_keep(principal, encoding, prepared, forget);
	}
	/* The principal may be gone when this is sent. */
	response->prepared = http_prepared_acquire(prepared);
	return 0;
}

/* Does any other application of this host still let them in with the token they have? */
static bool host_is_open(struct arena *arena, const struct site *site,
			 const struct application *asked, const struct session_view *view,
			 int64_t now_s)
{
	const struct application_settings *all = site->options->applications.items;
	const char *lacking;

	for (size_t i = 0; i < site->options->applications.count; i++) {
		for (size_t j = 0; j < all[i].urls.count; j++) {
			const struct application *other =
				application_at(arena, site, all[i].urls.items[j].text);

			if (other &&
			    strcmp(application_host(other), application_host(asked)) == 0 &&
			    application_judge(other, view, now_s, &lacking) != FORWARD_DENIED)
				return true;
		}
	}
	return false;
}

/*
 * Whoever has a token for this host was let in before: when nothing of the host is open to them any more, what it
 * asks for was lost, and their session ends.
 */
static int refuse(struct http_request *request, struct http_response *response,
		  const struct site *site, const struct application *application,
		  const struct session_view *view, int64_t now_s, const char *lacking)
{
	if (!application_settings(application)->keep_on_loss &&
	    !host_is_open(request->arena, site, application, view, now_s) &&
	    session_lost(request->context, view->session_id))
		log_info("auth.access-lost", F_STR("application", application_name(application)),
			 F_STR("user", view->principal->username), F_STR("lacking", lacking),
			 F_STR("request", request->id));
	return deny(request, response, lacking, application_name(application));
}

int forward_auth(struct http_request *request, struct http_response *response, struct err *err)
{
	struct web *web = request->context;
	AUTO(site) struct site *site = site_take(web, err);
	const char *scheme = http_forwarded(request, "X-Forwarded-Proto");
	const char *host = http_forwarded(request, "X-Forwarded-Host");
	const char *uri = http_forwarded(request, "X-Forwarded-Uri");
	const struct application *application;
	struct session_view view;
	struct err nobody = { 0 };
	const char *token, *lacking = "";
	int64_t now_s = clock_now_s();
	int result;

	if (!site)
		return -1;
	if (!scheme || !host || !uri || uri[0] != '/')
		return deny(request, response, "not asked by a trusted proxy", "");
	application = applications_find(site->applications, scheme, host, uri);
	if (!application)
		return deny(request, response, "no such application", host);
	token = cookie_get(request, strcmp(scheme, "https") == 0, COOKIE_APPLICATION, "");
	if (!token || sessions_find(web->settings.sessions, token, application_host(application),
				    now_s, &view, &nobody) < 0) {
		/* Nobody knows whether they may: not a reason to sign in again. */
		if (nobody.code != ERR_NONE && nobody.code != ERR_NOT_FOUND)
			return answer(response, 503);
		return ask_to_sign_in(request, response, site, application, scheme, uri);
	}
	switch (application_judge(application, &view, now_s, &lacking)) {
	case FORWARD_ALLOWED: result = allow(request, response, application, view.principal); break;
	case FORWARD_SECOND_FACTOR:
		/* They can make up for it: the sign-in page tells them how. */
		result = ask_to_sign_in(request, response, site, application, scheme, uri);
		break;
	case FORWARD_DENIED:
	default:
		result = refuse(request, response, site, application, &view, now_s, lacking);
		break;
	}
	session_view_release(&view);
	return result;
}
