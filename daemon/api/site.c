/*
 * The frame of the web side: options in force, cookies, routes. Enters: configurations, requests of
 * browsers and proxies. Leaves: handlers' answers. Without public_url all but health is refused.
 */
#include "site.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <rolebridge/auth/webauthn.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/http/limit.h>
#include <rolebridge/store/session.h>

/* 256 KiB of message as base64, percent-encoded, and the form around it. */
#include "signin/step.h"
#include "signin/webauthn.h"

#define MESSAGE_BODY_MAX ((size_t)512 * 1024)
/* A password, an address to return to and more, percent-encoded. */
#define FORM_BODY_MAX ((size_t)16 * 1024)
/* Per address: many people of one company may stand behind one. */
#define LOGINS_PER_MINUTE 600
#define LOGINS_BURST 1200
/* A message that costs a worker its life counts as so many. */
#define DEATH_COST 200
#define ADDRESSES_MAX 16384
#define INVITES_PER_MINUTE 60
#define INVITES_BURST 120
/* Escaped: twice in a header of a proxy with 4 KiB, and once in a ticket. */
#define RETURN_MAX 1024

static const struct http_route routes[] = {
	{ "GET", "/auth", forward_auth, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET | HTTP_ROUTE_BARE, 0,
	  NULL },
	{ "GET", "/", start_page, HTTP_ROUTE_NO_BODY, 0, NULL },
	/* Where proxies hand them on to us from every host. */
	{ "GET", "/.rolebridge/{asset}", asset_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0,
	  NULL },
	{ "GET", "/login", login_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/login", login_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "GET", "/password/forgot", password_forgot_get, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "POST", "/password/forgot", password_forgot_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "GET", "/password/reset/{token}", password_reset_get,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW | HTTP_ROUTE_SECRET_PATH, 0, NULL },
	{ "POST", "/password/reset/{token}", password_reset_post,
	  HTTP_ROUTE_SLOW | HTTP_ROUTE_SECRET_PATH, FORM_BODY_MAX, NULL },
	{ "GET", "/login/factor", factor_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/login/factor", factor_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "POST", "/login/factor/send", factor_send_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	/* Where a refused key leaves the browser, whose address may be asked for again. */
	{ "GET", "/login/factor/webauthn", factor_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0,
	  NULL },
	{ "GET", "/step-up/webauthn", step_up_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/security/webauthn", security_webauthn_get, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "POST", "/login/factor/webauthn", factor_webauthn_post, HTTP_ROUTE_SLOW,
	  WEBAUTHN_BODY_MAX, NULL },
	{ "POST", "/login/factor/cancel", factor_cancel_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX,
	  NULL },
	{ "GET", "/login/enrol", enrol_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/login/enrol/later", enrol_later_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "GET", "/step-up", step_up_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/step-up", factor_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "POST", "/step-up/send", factor_send_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "POST", "/step-up/webauthn", step_up_webauthn_post, HTTP_ROUTE_SLOW, WEBAUTHN_BODY_MAX,
	  NULL },
	{ "GET", "/security", security_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "GET", "/security/add/{method}", factor_add_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0,
	  NULL },
	{ "POST", "/security/add/{method}", factor_add_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "GET", "/security/confirm/{factor}", factor_confirm_get,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/security/confirm/{factor}", factor_confirm_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX,
	  NULL },
	{ "POST", "/security/confirm/{factor}/send", factor_confirm_send_post, HTTP_ROUTE_SLOW,
	  FORM_BODY_MAX, NULL },
	{ "POST", "/security/webauthn", security_webauthn_post, HTTP_ROUTE_SLOW, WEBAUTHN_BODY_MAX,
	  NULL },
	{ "GET", "/security/factors/{factor}", own_factor_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW,
	  0, NULL },
	{ "POST", "/security/factors/{factor}/rename", factor_rename_post, HTTP_ROUTE_SLOW,
	  FORM_BODY_MAX, NULL },
	{ "POST", "/security/factors/{factor}/remove", factor_remove_post, HTTP_ROUTE_SLOW,
	  FORM_BODY_MAX, NULL },
	{ "GET", "/security/recovery-codes", recovery_codes_get,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/security/recovery-codes", recovery_codes_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX,
	  NULL },
	{ "POST", "/security/devices/forget", device_forget_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX,
	  NULL },
	{ "POST", "/security/devices/{device}/forget", device_forget_post, HTTP_ROUTE_SLOW,
	  FORM_BODY_MAX, NULL },
	{ "POST", "/security/sessions/end", session_end_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX,
	  NULL },
	{ "POST", "/security/sessions/{session}/end", session_end_post, HTTP_ROUTE_SLOW,
	  FORM_BODY_MAX, NULL },
	{ "GET", "/security/password", own_password_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0,
	  NULL },
	{ "POST", "/security/password", own_password_post, HTTP_ROUTE_SLOW, FORM_BODY_MAX, NULL },
	{ "GET", "/logout", logout_get, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "POST", "/logout", logout_post, HTTP_ROUTE_SLOW, 4096, NULL },
	{ "GET", "/saml/{source}/metadata", saml_metadata, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0,
	  NULL },
	{ "GET", "/saml/{source}/login", saml_login, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0,
	  NULL },
	{ "GET", "/saml/{source}/test", saml_test, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0, NULL },
	{ "POST", "/saml/{source}/acs", saml_acs, HTTP_ROUTE_SLOW | HTTP_ROUTE_STAGED,
	  MESSAGE_BODY_MAX, NULL },
	/* What was signed is the query as it came; what is smuggled into it is refused there, and told. */
	{ "GET", "/saml/{source}/slo", slo_get,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW | HTTP_ROUTE_RAW_QUERY, 0, NULL },
	{ "POST", "/saml/{source}/slo", slo_post, HTTP_ROUTE_SLOW, MESSAGE_BODY_MAX, NULL },
	{ "GET", "/.rolebridge/start", handoff_start, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "GET", "/.rolebridge/finish", handoff_finish, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW, 0,
	  NULL },
	{ "GET", "/invite/{token}", invitation_get,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW | HTTP_ROUTE_SECRET_PATH, 0, NULL },
	{ "POST", "/invite/{token}", invitation_post, HTTP_ROUTE_SLOW | HTTP_ROUTE_SECRET_PATH,
	  FORM_BODY_MAX, NULL },
	{ "POST", "/api/v1/invites/accept", invitation_accept_post, HTTP_ROUTE_SLOW, 4096, NULL },
	{ "GET", "/login/link/{token}", login_link_get,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_SLOW | HTTP_ROUTE_SECRET_PATH, 0, NULL },
	{ "POST", "/login/link/{token}", login_link_post, HTTP_ROUTE_SLOW | HTTP_ROUTE_SECRET_PATH,
	  4096, NULL },
	{ "GET", "/healthz", health_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/readyz", ready_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/metrics", metrics_get, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUIET, 0, NULL },
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
	struct web_settings own = *options;
	const char *url;

	if (!site)
		return err_set(err, ERR_MEMORY, "out of memory");
	atomic_init(&site->references, 1);
	site->setup = setup_acquire(setup);
	site->options = options;
	/* Pages behind a door lead back to themselves there. */
	if (web->door_url)
		own.public_url.text = web->door_url;
	site->applications = applications_create(&own, catalogue, err);
	url = own.public_url.text;
	if (site->applications && url) {
		site->url = without_slash(url);
		site->secure = strncmp(url, "https:", 6) == 0;
		if (!site->url)
			err_set(err, ERR_MEMORY, "out of memory");
	}
	if (!site->applications || (url && !site->url)) {
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
		web->door_url = settings->door_url ? strdup(settings->door_url) : NULL;
		pthread_rwlock_init(&web->lock, NULL);
		pthread_mutex_init(&web->lost_lock, NULL);
		web->pool = store_pool_create(changer_store_path(settings->changer));
		web->login_limit =
			http_limit_create(LOGINS_PER_MINUTE, LOGINS_BURST, ADDRESSES_MAX);
		web->awaited_limit =
			http_limit_create(LOGINS_PER_MINUTE, LOGINS_BURST, ADDRESSES_MAX);
		web->answer_limit =
			http_limit_create(LOGINS_PER_MINUTE, LOGINS_BURST, ADDRESSES_MAX);
		web->invite_limit =
			http_limit_create(INVITES_PER_MINUTE, INVITES_BURST, ADDRESSES_MAX);
	}
	if (web && web->pool && !web->door_url == !settings->door_url && web->login_limit &&
	    web->awaited_limit && web->answer_limit && web->invite_limit)
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
	http_limit_destroy(web->awaited_limit);
	http_limit_destroy(web->answer_limit);
	http_limit_destroy(web->invite_limit);
	store_pool_destroy(web->pool);
	pthread_mutex_destroy(&web->lost_lock);
	pthread_rwlock_destroy(&web->lock);
	free(web->door_routes);
	free(web->door_url);
	free(web);
}

/*
 * What is for proxies, IdPs and machines, and other ways to sign in, are not behind a door. Where pages lead who has to sign
 * in, it is said how.
 */
static bool is_behind_door(const struct http_route *route)
{
	static const char *const not_there[] = { "/auth",
						 "/healthz",
						 "/invite/",
						 "/login",
						 "/metrics",
						 "/password/",
						 "/readyz",
						 "/saml/",
						 "/.rolebridge/start",
						 "/api/",
						 "/.rolebridge/finish" };

	if (strncmp(route->pattern, "/login/", strlen("/login/")) == 0 ||
	    (strcmp(route->pattern, "/login") == 0 && strcmp(route->method, "GET") == 0))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(not_there); i++)
		if (strncmp(route->pattern, not_there[i], strlen(not_there[i])) == 0)
			return false;
	return true;
}

static int add_door_routes(struct web *web, struct http_router *router, struct err *err)
{
	size_t count = 0;

	if (!web->door_routes)
		web->door_routes = alloc_zeroed(ARRAY_LEN(routes), sizeof(*web->door_routes));
	if (!web->door_routes)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (is_behind_door(&routes[i]))
			web->door_routes[count++] = routes[i];
	return http_router_add(router, web->door_routes, count, web, NULL, err);
}

int web_add_routes(struct web *web, struct http_router *router, struct err *err)
{
	return web->door_url ? add_door_routes(web, router, err)
			     : http_router_add(router, routes, ARRAY_LEN(routes), web, NULL, err);
}

bool web_is_door(const struct web *web)
{
	return web->door_url != NULL;
}

void web_door_used(struct web *web, int64_t session_id, int64_t until_s)
{
	if (!web->door_url)
		return;
	pthread_rwlock_wrlock(&web->lock);
	web->door_sessions[web->door_session_next++ % DOOR_SESSIONS] = session_id;
	if (web->door_until_s < until_s)
		web->door_until_s = until_s;
	pthread_rwlock_unlock(&web->lock);
}

/* What cannot be read now may be there. */
static bool any_session(struct web *web, const int64_t ids[static DOOR_SESSIONS])
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	struct store *store = arena ? store_pool_take(web->pool, NULL) : NULL;
	bool any = !store;

	for (size_t i = 0; !any && i < DOOR_SESSIONS; i++) {
		struct err err = { 0 };
		struct session session;

		any = ids[i] != 0 &&
		      (store_session_get(store, ids[i], arena, &session, &err) == 0 ||
		       err.code != ERR_NOT_FOUND);
	}
	store_pool_give(web->pool, store);
	return any;
}

bool web_door_is_idle(struct web *web, int64_t now_s)
{
	int64_t ids[DOOR_SESSIONS], until_s;

	pthread_rwlock_rdlock(&web->lock);
	memcpy(ids, web->door_sessions, sizeof(ids));
	until_s = web->door_until_s;
	pthread_rwlock_unlock(&web->lock);
	return now_s >= until_s || !any_session(web, ids);
}

const struct saml_ports *web_saml(const struct web *web)
{
	return &web->settings.saml;
}

struct sessions *web_sessions(const struct web *web)
{
	return web->settings.sessions;
}

struct tickets *web_tickets(const struct web *web)
{
	return web->settings.tickets;
}

struct factor_parts web_factor_parts(const struct web *web)
{
	const struct web_settings_in *in = &web->settings;

	return (struct factor_parts){ .changer = in->changer,
				      .seal = in->seal,
				      .tickets = in->tickets,
				      .hasher = in->hasher,
				      .throttle = in->throttle,
				      .courier = in->courier };
}

/* Also where there is no public_url. */
void web_token_lifetimes(struct web *web, int64_t *ret_default_s, int64_t *ret_max_s)
{
	pthread_rwlock_rdlock(&web->lock);
	*ret_default_s = web->site->options->tokens.lifetime_s;
	*ret_max_s = web->site->options->tokens.max_lifetime_s;
	pthread_rwlock_unlock(&web->lock);
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
	[COOKIE_FORM] = { "__Host-rolebridge-form", HTTP_SAME_SITE_LAX },
	[COOKIE_DEVICE] = { "__Host-rolebridge-device", HTTP_SAME_SITE_NONE },
};

/* Cookies know no ports: those of a door have its port in their name. */
static const char *cookie_name(const struct http_request *request, bool secure, enum cookie cookie,
			       const char *suffix)
{
	const char *name = cookies[cookie].name + (secure ? 0 : strlen("__Host-"));
	const struct web *web = request->listener_context;

	if (web && web->door_url)
		return arena_printf(request->arena, "%s-door%s%s", name,
				    strrchr(web->door_url, ':') + 1, suffix);
	return suffix[0] ? arena_printf(request->arena, "%s%s", name, suffix) : name;
}

const char *cookie_get(const struct http_request *request, bool secure, enum cookie cookie,
		       const char *suffix)
{
	const char *name = cookie_name(request, secure, cookie, suffix);

	return name ? http_cookie(request, name) : NULL;
}

int cookie_set(struct http_request *request, struct http_response *response, bool secure,
	       enum cookie cookie, const char *suffix, const char *value, int64_t max_age_s,
	       struct err *err)
{
	const struct http_set_cookie set = {
		.name = cookie_name(request, secure, cookie, suffix),
		.value = value,
		.max_age_s = max_age_s,
		.insecure = !secure,
		/* None asks for Secure; on http everything is one site: loopback. */
		.same_site = secure ? cookies[cookie].same_site : HTTP_SAME_SITE_LAX,
	};

	if (!set.name)
		return err_set(err, ERR_MEMORY, "out of memory");
	return http_response_cookie(response, request->arena, &set, err);
}

int cookie_remove(struct http_request *request, struct http_response *response, bool secure,
		  enum cookie cookie, const char *suffix, struct err *err)
{
	return cookie_set(request, response, secure, cookie, suffix, "", 0, err);
}

/* Those in one header, behind what is there already. */
static size_t suffixes_in(const char *header, const char *prefix, struct arena *arena,
			  const char **ret_suffixes, size_t count, size_t max)
{
	size_t prefix_size = strlen(prefix);

	while (*header && count < max) {
		size_t size;

		header += strspn(header, " \t;");
		size = strcspn(header, ";");
		if (size > prefix_size && memcmp(header, prefix, prefix_size) == 0) {
			const char *suffix = header + prefix_size;

			ret_suffixes[count] = arena_strndup(arena, suffix, strcspn(suffix, "=;"));
			count += ret_suffixes[count] != NULL;
		}
		header += size;
	}
	return count;
}

size_t cookie_suffixes(const struct http_request *request, bool secure, enum cookie cookie,
		       const char **ret_suffixes, size_t max)
{
	const char *prefix = cookie_name(request, secure, cookie, "");
	size_t count = 0;

	for (size_t i = 0; prefix && i < request->header_count; i++) {
		if (strcasecmp(request->headers[i].name, "Cookie") == 0)
			count = suffixes_in(request->headers[i].value, prefix, request->arena,
					    ret_suffixes, count, max);
	}
	return count;
}

/* ------------------------------------------------------------------ sessions -- */

static int session_by(struct http_request *request, const struct site *site,
		      int (*find)(struct sessions *sessions, const char *token, const char *host,
				  int64_t now_s, struct session_view *ret_view, struct err *err),
		      struct session_view *ret_view, struct err *err)
{
	const struct web *web = request->context;
	const char *token = cookie_get(request, site->secure, COOKIE_SESSION, "");
	struct err nobody = { 0 };

	if (!token)
		return 0;
	if (find(web->settings.sessions, token, "", clock_now_s(), ret_view, &nobody) == 0)
		return 1;
	if (nobody.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = nobody;
	return -1;
}

int site_session(struct http_request *request, const struct site *site,
		 struct session_view *ret_view, struct err *err)
{
	return session_by(request, site, sessions_find, ret_view, err);
}

int site_session_any(struct http_request *request, const struct site *site,
		     struct session_view *ret_view, struct err *err)
{
	return session_by(request, site, sessions_find_any, ret_view, err);
}

bool session_lost(struct web *web, int64_t session_id)
{
	bool known = false, fits;

	pthread_mutex_lock(&web->lost_lock);
	for (size_t i = 0; !known && i < web->lost_count; i++)
		known = web->lost[i] == session_id;
	fits = !known && web->lost_count < LOST_MAX;
	if (fits)
		web->lost[web->lost_count++] = session_id;
	pthread_mutex_unlock(&web->lost_lock);
	return fits;
}

int web_tick(struct web *web, struct err *err)
{
	const struct actor actor = { .name = "forward-auth", .request = "" };
	int64_t lost[LOST_MAX];
	size_t count;

	pthread_mutex_lock(&web->lost_lock);
	count = web->lost_count;
	memcpy(lost, web->lost, count * sizeof(lost[0]));
	web->lost_count = 0;
	pthread_mutex_unlock(&web->lost_lock);
	/* What fails comes again with the next request. */
	return count == 0 ? 0
			  : change_sessions_end(web->settings.changer, &actor, lost, count,
						"access-lost", NULL, err);
}

/* ------------------------------------------------------------------------ IdPs -- */

struct actor source_actor(const struct http_request *request, const char *source)
{
	const char *name = arena_printf(request->arena, "saml:%s", source);

	return (struct actor){ .name = name ? name : "saml", .request = request->id };
}

bool worker_was_lost(struct http_request *request, struct http_limit *limit, const struct err *err)
{
	const char *reason = err_reason(err);

	if (strcmp(reason, "worker-died") != 0 && strcmp(reason, "worker-timeout") != 0)
		return false;
	http_limit_charge(limit, request, DEATH_COST - 1);
	return true;
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

static bool travels(const struct site *site, const char *url)
{
	size_t size = 0;

	/* As http_url_escape writes it. */
	for (const char *at = url; *at && size <= RETURN_MAX; at++)
		size += strchr(":/?#[]@!$&'()*+,;=%", *at) ? 3 : 1;
	return size <= RETURN_MAX && applications_allow_return(site->applications, url);
}

const char *return_shorten(struct arena *arena, const struct site *site, const char *url)
{
	const char *host = strstr(url, "://");
	const char *shorter;

	if (travels(site, url))
		return url;
	shorter = arena_strndup(arena, url, strcspn(url, "?#"));
	if (!shorter || !host || travels(site, shorter))
		return host ? shorter : NULL;
	host += strlen("://");
	shorter = arena_strndup(arena, url, (size_t)(host - url) + strcspn(host, "/?#"));
	shorter = shorter ? arena_printf(arena, "%s/", shorter) : NULL;
	return shorter && travels(site, shorter) ? shorter : NULL;
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
