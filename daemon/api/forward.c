/*
 * Forward-auth: a reverse proxy asks about every request. Enters: what the proxy says of it
 * (X-Forwarded-*, from trusted proxies alone) and the browser's cookies. Leaves: 200 with Remote-* headers, 401 with
 * where to sign in, 403. Whatever cannot be judged is 403.
 */
#include "site.h"

#include <rolebridge/base/log.h>

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
			  const char *scheme, const char *host, const char *uri)
{
	const char *original = arena_printf(request->arena, "%s://%s%s", scheme, host, uri);
	const char *start = arena_printf(request->arena, "%s://%s/.rolebridge/start", scheme, host);
	const struct http_pair pairs[] = { { "return", original } };
	const char *url = original && start ? url_with(request->arena, start, pairs, 1) : NULL;
	const char *redirect = http_query(request, "redirect");

	if (!url)
		return answer(response, 403);
	http_response_header(response, "Location", url);
	return answer(response, redirect && strcmp(redirect, "1") == 0 ? 302 : 401);
}

static bool add_header(struct http_request *request, struct http_response *response,
		       const struct application *application, const char *name, const char *value)
{
	AUTO(strbuf) struct strbuf text = STRBUF(64 * 1024);
	struct err err = { 0 };
	int encoding = application_settings(application)->headers;
	bool plain = true;

	for (const char *c = value; *c && plain; c++)
		plain = *c >= ' ' && *c < 0x7f;
	if (plain)
		return http_response_header(response, name, value);
	if (forward_header_value(value, (enum header_encoding)encoding, &text, &err) < 0)
		return false;
	value = arena_strdup(request->arena, strbuf_text(&text));
	return value && http_response_header(response, name, value);
}

static int allow(struct http_request *request, struct http_response *response,
		 const struct application *application, const struct principal *principal)
{
	const struct http_pair headers[] = {
		{ "Remote-Id", principal->uuid },
		{ "Remote-User", principal->username },
		{ "Remote-Email", principal->email },
		{ "Remote-Name", principal->display_name },
		{ "Remote-Profile", principal->profile },
		{ "Remote-Roles", principal->roles_text },
		{ "Remote-Personas", principal->personas_text },
		{ "Remote-Groups", principal->groups_text },
	};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		/* The texts are the principal's, which may be gone when this is sent. */
		const char *value = arena_strdup(request->arena, headers[i].value);

		if (!value || !add_header(request, response, application, headers[i].name, value))
			return deny(request, response, "header", application_name(application));
	}
	return answer(response, 200);
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
		return ask_to_sign_in(request, response, scheme, host, uri);
	}
	if (application_judge(application, &view, now_s, &lacking) == FORWARD_ALLOWED)
		result = allow(request, response, application, view.principal);
	else
		result = deny(request, response, lacking, application_name(application));
	session_view_release(&view);
	return result;
}
