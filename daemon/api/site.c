/*
 * The frame of the web side: options in force, cookies, routes. Enters: configurations, requests of
 * browsers and proxies. Leaves: handlers' answers. Without public_url all but health is refused.
 */
#include "site.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/http/limit.h>

/* 256 KiB of message as base64, percent-encoded, and the form around it. */
#define MESSAGE_BODY_MAX ((size_t)512 * 1024)
/* Per address: many people of one company may stand behind one. */
#define LOGINS_PER_MINUTE 600
#define LOGINS_BURST 1200
/* Messages that cost a worker its life. */
#define DEATHS_PER_MINUTE 6
#define ADDRESSES_MAX 16384

static const struct http_route routes[] = {
	{ "GET", "/auth", forward_auth, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET | HTTP_ROUTE_BARE,
	  0 },
	{ "GET", "/", start_page, HTTP_ROUTE_NO_BODY, 0 },
	{ "GET", "/assets/style.css", asset_style, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0 },
	{ "GET", "/assets/post.js", asset_post, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0 },
	{ "GET", "/login", login_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0 },
	{ "GET", "/logout", logout_get, HTTP_ROUTE_NO_BODY, 0 },
	{ "POST", "/logout", logout_post, HTTP_ROUTE_SLOW, 4096 },
	{ "GET", "/saml/{source}/metadata", saml_metadata, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW,
	  0 },
	{ "GET", "/saml/{source}/login", saml_login, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0 },
	{ "GET", "/saml/{source}/test", saml_test, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0 },
	{ "POST", "/saml/{source}/acs", saml_acs, HTTP_ROUTE_SLOW, MESSAGE_BODY_MAX },
	{ "GET", "/saml/{source}/slo", slo_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0 },
	{ "POST", "/saml/{source}/slo", slo_post, HTTP_ROUTE_SLOW, MESSAGE_BODY_MAX },
	{ "GET", "/.rolebridge/start", handoff_start, HTTP_ROUTE_NO_BODY, 0 },
	{ "GET", "/.rolebridge/finish", handoff_finish, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0 },
	{ "GET", "/healthz", health_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0 },
	{ "GET", "/readyz", ready_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0 },
	{ "GET", "/metrics", metrics_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0 },
};

/* ---------------------------------------------------------- options in force -- */

struct site *site_take(struct web *web, struct err *err)
{
	struct site *site;

	pthread_rwlock_rdlock(&web->lock);
	site = web->site;
	if (site && site->url)
		atomic_fetch_add_explicit(&site->references, 1, memory_order_relaxed);
	else
		site = NULL;
	pthread_rwlock_unlock(&web->lock);
	if (!site)
		err_set(err, ERR_UNAVAILABLE, "no public_url is configured");
	return site;
}

void site_give(struct site *site)
{
	if (!site || atomic_fetch_sub(&site->references, 1) != 1)
		return;
	applications_destroy(site->applications);
	setup_release(site->setup);
	free((char *)(uintptr_t)site->url);
	free(site);
}

static char *without_slash(const char *url)
{
	size_t size = strlen(url);

	while (size > 0 && url[size - 1] == '/')
		size--;
	return strndup(url, size);
}

int web_configure(struct web *web, struct setup *setup, const struct web_settings *options,
		  const struct catalogue_settings *catalogue, struct err *err)
{
	struct site *site = alloc_zeroed(1, sizeof(*site)), *old;

	if (!site)
		return err_set(err, ERR_MEMORY, "out of memory");
	atomic_init(&site->references, 1);
	site->setup = setup_acquire(setup);
	site->options = options;
	site->applications = applications_create(options, catalogue, err);
	if (site->applications && options->public_url.text) {
		site->url = without_slash(options->public_url.text);
		site->secure = strncmp(options->public_url.text, "https:", 6) == 0;
		if (!site->url)
			err_set(err, ERR_MEMORY, "out of memory");
	}
	if (!site->applications || (options->public_url.text && !site->url)) {
		site_give(site);
		return -1;
	}
	pthread_rwlock_wrlock(&web->lock);
	old = web->site;
	web->site = site;
	pthread_rwlock_unlock(&web->lock);
	site_give(old);
	return 0;
}

struct web *web_create(const struct web_settings_in *settings, struct err *err)
{
	struct web *web = alloc_zeroed(1, sizeof(*web));

	if (web) {
		web->settings = *settings;
		pthread_rwlock_init(&web->lock, NULL);
		web->pool = store_pool_create(changer_store_path(settings->changer));
		web->login_limit =
			http_limit_create(LOGINS_PER_MINUTE, LOGINS_BURST, ADDRESSES_MAX);
		web->answer_limit =
			http_limit_create(LOGINS_PER_MINUTE, LOGINS_BURST, ADDRESSES_MAX);
		web->death_limit =
			http_limit_create(DEATHS_PER_MINUTE, DEATHS_PER_MINUTE, ADDRESSES_MAX);
	}
	if (web && web->pool && web->login_limit && web->answer_limit && web->death_limit)
		return web;
	web_destroy(web);
	err_set(err, ERR_MEMORY, "out of memory");
	return NULL;
}

void web_destroy(struct web *web)
{
	if (!web)
		return;
	site_give(web->site);
	http_limit_destroy(web->login_limit);
	http_limit_destroy(web->answer_limit);
	http_limit_destroy(web->death_limit);
	store_pool_destroy(web->pool);
	pthread_rwlock_destroy(&web->lock);
	free(web);
}

int web_add_routes(struct web *web, struct http_router *router, struct err *err)
{
	return http_router_add(router, routes, ARRAY_LEN(routes), web, NULL, err);
}

const struct saml_ports *web_saml(const struct web *web)
{
	return &web->settings.saml;
}

struct sessions *web_sessions(const struct web *web)
{
	return web->settings.sessions;
}

bool web_url(struct web *web, const char *path, struct strbuf *out)
{
	AUTO(site) struct site *site = site_take(web, NULL);

	if (site)
		strbuf_printf(out, "%s%s", site->url, path);
	return site != NULL;
}

/* ------------------------------------------------------------------ cookies -- */

static const struct {
	const char *name; /* with the prefix that secure ones have */
	enum http_same_site same_site;
} cookies[] = {
	[COOKIE_SESSION] = { "__Host-rolebridge", HTTP_SAME_SITE_LAX },
	[COOKIE_APPLICATION] = { "__Host-rolebridge-app", HTTP_SAME_SITE_LAX },
	/* The IdP answers by a POST from its own site. */
	[COOKIE_LOGIN] = { "__Host-rolebridge-login-", HTTP_SAME_SITE_NONE },
	[COOKIE_LOGOUT] = { "__Host-rolebridge-logout", HTTP_SAME_SITE_NONE },
	[COOKIE_NONCE] = { "__Host-rolebridge-nonce", HTTP_SAME_SITE_LAX },
};

static const char *cookie_name(struct arena *arena, bool secure, enum cookie cookie,
			       const char *suffix)
{
	const char *name = cookies[cookie].name + (secure ? 0 : strlen("__Host-"));

	return suffix[0] ? arena_printf(arena, "%s%s", name, suffix) : name;
}

const char *cookie_get(const struct http_request *request, bool secure, enum cookie cookie,
		       const char *suffix)
{
	const char *name = cookie_name(request->arena, secure, cookie, suffix);

	return name ? http_cookie(request, name) : NULL;
}

int cookie_set(struct http_request *request, struct http_response *response, bool secure,
	       enum cookie cookie, const char *suffix, const char *value, int64_t max_age_s,
	       struct err *err)
{
	const struct http_set_cookie set = {
		.name = cookie_name(request->arena, secure, cookie, suffix),
		.value = value ? value : "",
		.max_age_s = value ? max_age_s : 0,
		.insecure = !secure,
		/* None asks for Secure; on http everything is one site: loopback. */
		.same_site = secure ? cookies[cookie].same_site : HTTP_SAME_SITE_LAX,
	};

	if (!set.name)
		return err_set(err, ERR_MEMORY, "out of memory");
	return http_response_cookie(response, request->arena, &set, err);
}

int site_session(struct http_request *request, const struct site *site,
		 struct session_view *ret_view, struct err *err)
{
	const struct web *web = request->context;
	const char *token = cookie_get(request, site->secure, COOKIE_SESSION, "");

	if (!token)
		return err_set(err, ERR_NOT_FOUND, "nobody is signed in");
	return sessions_find(web->settings.sessions, token, "", clock_now_s(), ret_view, err);
}

/* ---------------------------------------------------------------- addresses -- */

void request_id_make(char ret_id[static REQUEST_ID_SIZE])
{
	unsigned char bytes[16];

	randombytes_buf(bytes, sizeof(bytes));
	ret_id[0] = '_';
	sodium_bin2hex(ret_id + 1, REQUEST_ID_SIZE - 1, bytes, sizeof(bytes));
}

void request_name(const char *id, char ret_name[static REQUEST_NAME_SIZE])
{
	snprintf(ret_name, REQUEST_NAME_SIZE, "%s", id + 1);
}

const char *url_with(struct arena *arena, const char *base, const struct http_pair *pairs,
		     size_t count)
{
	AUTO(strbuf) struct strbuf out = STRBUF(256 * 1024);
	char separator = '?';

	strbuf_puts(&out, base);
	for (size_t i = 0; i < count; i++) {
		if (!pairs[i].value || !pairs[i].value[0])
			continue;
		strbuf_putc(&out, separator);
		strbuf_puts(&out, pairs[i].name);
		strbuf_putc(&out, '=');
		http_url_escape(&out, pairs[i].value);
		separator = '&';
	}
	return strbuf_failed(&out) ? NULL : arena_strdup(arena, strbuf_text(&out));
}

/* --------------------------------------------------------------------- errors -- */

bool web_error_page(struct http_request *request, const struct err *err,
		    struct http_response *response)
{
	int status = response->status;

	if (err->code == ERR_NOT_FOUND)
		page_refused(request, response, status, "Not found",
			     "There is nothing at this address.");
	else if (status == 429)
		page_refused(request, response, status, "Too many attempts",
			     "Please wait a moment, then try again.");
	else if (err->code == ERR_UNAVAILABLE)
		page_refused(request, response, status, "Not available at the moment",
			     "Please try again in a moment.");
	else if (status < 500)
		page_refused(request, response, status, "This did not work", err->text);
	else
		page_refused(request, response, status, "This did not work",
			     "Something went wrong on our side.");
	return true;
}
