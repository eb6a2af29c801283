/*
 * Who asks, and whether they may. Enters: requests whose body was not read yet. Leaves: request->caller and
 * request->actor, or a refusal: 401 "not-signed-in", 403 "csrf-required", 403 "not-allowed", 429.
 *
 * A cookie is sent by browsers whoever made them ask. So what changes anything, asked with a cookie, needs three
 * things that other sites cannot give: the header X-CSRF-Token with a keyed hash of the session, an Origin that is
 * ours, Sec-Fetch-Site: same-origin; the latter two where the browser sends them. A token in Authorization is sent by
 * nobody but who means it; beside a cookie it alone counts.
 *
 * What concerns the daemon as a whole, and not one organization, is for the organization "default", whose
 * people run it, and for the control socket.
 */
#include "access.h"

#include <strings.h>
#include <unistd.h>

#include <rolebridge/change/enforce.h>

#include "permit.h"
#include "site.h"

#define STEP_UP_MAX 4096 /* what is told of where to prove it */

static int not_signed_in(struct http_request *request, struct err *err)
{
	const struct api *api = request->context;

	/* Whoever tries tokens has the pace of those who try to sign in. */
	if (http_limit_take(api->refused_limit, request, err) < 0)
		return -1;
	return err_refuse(err, ERR_DENIED, "not-signed-in",
			  "sign in, or send a valid token as 'Authorization: Bearer …'");
}

static struct caller *caller_make(struct http_request *request, struct err *err)
{
	struct caller *caller = arena_alloc(request->arena, sizeof(*caller));

	if (!caller) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	*caller = (struct caller){ .actor = { .is_person = true, .limited = true } };
	return caller;
}

/* --- what the route needs --- */

/* What concerns the daemon as a whole. Rules do, but an organization has its own; those of files are released. */
static bool is_whole(const char *permission)
{
	static const char *const parts[] = {
		"alarms:",	  "audit:",	  "config:",  "plans:",	 "restored:",
		"rules:release@", "sealing-key:", "sources:", "status:", "targets:"
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strncmp(permission, parts[i], strlen(parts[i])) == 0)
			return true;
	return false;
}

static int allows(const struct http_request *request, const struct caller *caller,
		  const struct principal *principal, const char *permission, struct err *err)
{
	const struct api *api = request->context;
	const struct actor *actor = &caller->actor;
	const struct authority service = { .permissions = actor->scope,
					   .permission_count = actor->scope_count };
	struct setup *setup;
	int answer;

	if (is_whole(permission) && strcmp(actor->organization, "default") != 0)
		return 0;
	if (!principal)
		return authority_allows(&service, permission);
	setup = changer_setup(api->settings.changer);
	answer = permits_ask(api->permits, setup, principal, actor->scope, actor->scope_count,
			     permission, err);
	setup_release(setup);
	return answer;
}

/* Whoever has a session is told where to prove a newer one. */
static int refuse_old_factor(struct http_request *request, int64_t max_age_s, struct err *err)
{
	const struct api *api = request->context;
	AUTO(site) struct site *site = site_take(api->settings.web, err);
	AUTO(strbuf) struct strbuf details = STRBUF(STEP_UP_MAX);
	struct json json = JSON(&details);

	if (!site)
		return -1;
	json_object(&json);
	json_string(&json, "step_up", arena_printf(request->arena, "%s/step-up", site->url));
	json_int(&json, "max_age", max_age_s);
	json_end(&json);
	request->error_details = strbuf_failed(&details)
					 ? NULL
					 : arena_strdup(request->arena, strbuf_text(&details));
	return err_refuse(err, ERR_DENIED, "second-factor-required",
			  "this needs a second factor that was proven within %lld seconds",
			  (long long)max_age_s);
}

static bool is_fresh(const struct caller *caller, int64_t max_age_s)
{
	return factor_is_fresh(caller->second_factor_s, max_age_s, clock_now_s());
}

int api_step_up(struct http_request *request, const char *permission, struct err *err)
{
	const struct api *api = request->context;
	const struct caller *caller = api_caller(request);
	struct setup *setup;
	int64_t max_age_s = 0;
	bool asked;

	if (!caller || !caller->by_session)
		return 0;
	setup = changer_setup(api->settings.changer);
	asked = change_step_up_max_age(setup, permission, &max_age_s);
	setup_release(setup);
	return asked && !is_fresh(caller, max_age_s) ? refuse_old_factor(request, max_age_s, err)
						     : 0;
}

int api_step_up_within(struct http_request *request, const char *const *permissions, size_t count,
		       struct err *err)
{
	const struct api *api = request->context;
	const struct caller *caller = api_caller(request);
	struct setup *setup;
	int64_t max_age_s = 0;
	bool asked;

	if (!caller || !caller->by_session)
		return 0;
	setup = changer_setup(api->settings.changer);
	asked = change_step_up_within(setup, permissions, count, &max_age_s);
	setup_release(setup);
	return asked && !is_fresh(caller, max_age_s) ? refuse_old_factor(request, max_age_s, err)
						     : 0;
}

/* "?dry_run=true" where there is no dry run must not be carried out. Handlers that read a query know their own. */
static int check_query(struct http_request *request, struct err *err)
{
	static const char *const none[] = { NULL };

	if (strcmp(request->route->method, "GET") == 0 || request->route->flags & HTTP_ROUTE_QUERY)
		return 0;
	return http_query_allow(request, none, err);
}

/* Of a limited caller. principal NULL: a service. */
static int let_in(struct http_request *request, struct caller *caller,
		  const struct principal *principal, struct err *err)
{
	const char *permission = request->route->permission;
	int answer;

	caller->actor.permission = permission;
	request->caller = caller;
	request->actor = caller->actor.name;
	answer = permission ? allows(request, caller, principal, permission, err) : 1;
	if (answer > 0 && permission && strcmp(permission, "decide:ask@all") == 0)
		caller->explains =
			allows(request, caller, principal, "decide:explain@all", err) > 0;
	if (answer > 0 && permission && strcmp(permission, "resources:read@own") == 0)
		caller->sees_all =
			allows(request, caller, principal, "resources:read@all", err) > 0;
	if (answer == 0)
		return err_refuse(err, ERR_DENIED, "not-allowed", "this needs the permission '%s'",
				  permission);
	if (answer > 0 && permission && api_step_up(request, permission, err) < 0)
		return -1;
	return answer < 0 ? -1 : check_query(request, err);
}

/* --- tokens --- */

/* The text behind "Bearer"; NULL: none was sent. Basic and the like are for whoever stands before us. */
static const char *bearer_text(const struct http_request *request)
{
	static const char scheme[] = "Bearer";
	const char *header = http_header(request, "Authorization");
	size_t size = sizeof(scheme) - 1;

	if (!header || strncasecmp(header, scheme, size) != 0 ||
	    (header[size] != ' ' && header[size] != '\0'))
		return NULL;
	header += size;
	return header + strspn(header, " ");
}

static int copy_scope(struct arena *arena, const struct bearer_view *view, struct actor *actor,
		      struct err *err)
{
	const char **scope;

	if (!view->scope)
		return 0;
	scope = arena_alloc_array(arena, view->scope_count + 1, sizeof(*scope));
	for (size_t i = 0; scope && i < view->scope_count; i++)
		scope[i] = arena_strdup(arena, view->scope[i]);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	actor->scope = scope;
	actor->scope_count = view->scope_count;
	return 0;
}

static int fill_bearer(struct arena *arena, const struct bearer_view *view, struct caller *caller,
		       struct err *err)
{
	const struct principal *principal = view->principal;
	struct actor *actor = &caller->actor;

	caller->expires_s = view->expires_s;
	caller->token = actor->token = arena_strdup(arena, view->name);
	actor->user_id = principal ? principal->user_id : 0;
	actor->organization =
		arena_strdup(arena, principal ? principal->organization : view->organization);
	actor->application = view->application[0] ? arena_strdup(arena, view->application) : NULL;
	if (principal) {
		actor->name = arena_printf(arena, "user:%s/%s", principal->uuid, view->name);
	} else {
		actor->name = arena_printf(arena, "service:%s", view->service);
		caller->service = arena_strdup(arena, view->service);
	}
	return copy_scope(arena, view, actor, err);
}

static int by_bearer(struct http_request *request, const char *text, struct err *err)
{
	const struct api *api = request->context;
	struct caller *caller = caller_make(request, err);
	struct bearer_view view;
	struct err nobody = { 0 };
	int result;

	if (!caller)
		return -1;
	if (http_header_count(request, "Authorization") > 1)
		return not_signed_in(request, err);
	if (bearers_find(api->settings.bearers, text, clock_now_s(), &view, &nobody) < 0) {
		if (nobody.code == ERR_NOT_FOUND)
			return not_signed_in(request, err);
		if (err)
			*err = nobody;
		return -1;
	}
	result = fill_bearer(request->arena, &view, caller, err);
	if (result == 0 && arena_failed(request->arena))
		result = err_set(err, ERR_MEMORY, "out of memory");
	if (result == 0)
		result = let_in(request, caller, view.principal, err);
	bearer_view_release(&view);
	return result;
}

/* --- the control socket --- */

int control_before(struct http_request *request, struct err *err)
{
	const struct api *api = request->context;
	const struct http_peer *peer = &request->peer;
	const char *group = api->settings.admin_group, *text = bearer_text(request), *name, *actor;
	struct caller *caller;

	/* Whoever sends one wants to be no more than it lets them. */
	if (text)
		return by_bearer(request, text, err);
	if (!peer->known)
		return err_refuse(err, ERR_DENIED, "not-allowed", "who is asking is not known");
	name = http_peer_name(peer, request->arena);
	actor = name ? arena_printf(request->arena, "unix:%s", name) : NULL;
	if (!actor)
		return err_set(err, ERR_MEMORY, "out of memory");
	request->actor = actor;
	if (peer->uid != 0 && peer->uid != geteuid() && !http_peer_in_group(peer, group))
		return err_refuse(err, ERR_DENIED, "not-allowed", "user '%s' is not in group '%s'",
				  name, group ? group : "");
	caller = caller_make(request, err);
	if (!caller)
		return -1;
	caller->actor.limited = false;
	caller->explains = caller->sees_all = true;
	caller->actor.name = actor;
	request->caller = caller;
	return check_query(request, err);
}

/* --- sessions of the daemon's own pages --- */

/* Where the host of an origin begins; its default port is left out of *ret_size. */
static const char *host_of(const char *origin, bool secure, size_t *ret_size)
{
	const char *port = secure ? ":443" : ":80", *host = strstr(origin, "://");
	size_t size;

	host = host ? host + strlen("://") : origin;
	size = strlen(host);
	if (size > strlen(port) && strcmp(host + size - strlen(port), port) == 0)
		size -= strlen(port);
	*ret_size = size;
	return host;
}

static bool same_host(const struct site *site, const char *text)
{
	size_t own_size, size;
	const char *own = host_of(site->url, site->secure, &own_size);
	const char *other = host_of(text, site->secure, &size);

	return own_size == size && strncasecmp(own, other, size) == 0;
}

/* Is it our own host that was asked? Cookies do not know ports, and on loopback everything is one host. */
static bool asks_own_host(const struct http_request *request, const struct site *site)
{
	const char *forwarded = http_forwarded(request, "X-Forwarded-Host");
	const char *host = forwarded ? forwarded : http_header(request, "Host");

	return host && !strstr(host, "://") && same_host(site, host);
}

static bool changes_nothing(const struct http_request *request)
{
	return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

static bool comes_from_us(const struct http_request *request, const struct site *site)
{
	const char *fetched = http_header(request, "Sec-Fetch-Site");
	const char *origin = http_header(request, "Origin");
	const char *scheme = site->secure ? "https://" : "http://";

	if (http_header_count(request, "Sec-Fetch-Site") > 1 ||
	    http_header_count(request, "Origin") > 1 ||
	    (fetched && strcmp(fetched, "same-origin") != 0))
		return false;
	return !origin ||
	       (strncasecmp(origin, scheme, strlen(scheme)) == 0 && same_host(site, origin));
}

static int check_csrf(const struct http_request *request, const struct site *site,
		      int64_t session_id, struct err *err)
{
	const struct api *api = request->context;
	const char *text = http_header(request, "X-CSRF-Token");

	if (changes_nothing(request))
		return 0;
	if (comes_from_us(request, site) && text &&
	    http_header_count(request, "X-CSRF-Token") == 1 &&
	    ticket_csrf_check(web_tickets(api->settings.web), session_id, text))
		return 0;
	return err_refuse(err, ERR_DENIED, "csrf-required",
			  "send what GET /api/v1/me says as header X-CSRF-Token, from a page of "
			  "the same origin");
}

void caller_csrf(const struct http_request *request, char ret_text[static CSRF_TEXT])
{
	const struct api *api = request->context;

	ticket_csrf(web_tickets(api->settings.web), api_caller(request)->session_id, ret_text);
}

static int enter(struct http_request *request, const struct site *site,
		 const struct session_view *view, struct err *err)
{
	const struct principal *principal = view->principal;
	struct caller *caller = caller_make(request, err);

	if (!caller)
		return -1;
	caller->by_session = true;
	caller->session_id = view->session_id;
	caller->signed_in_s = view->signed_in_s;
	caller->second_factor_s = view->second_factor_s;
	caller->expires_s = view->until_s;
	caller->actor.user_id = principal->user_id;
	caller->actor.by_link = view->by_link;
	caller->actor.name = arena_printf(request->arena, "user:%s", principal->uuid);
	caller->actor.organization = arena_strdup(request->arena, principal->organization);
	if (arena_failed(request->arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	request->actor = caller->actor.name;
	if (check_csrf(request, site, view->session_id, err) < 0)
		return -1;
	return let_in(request, caller, principal, err);
}

static int by_session(struct http_request *request, struct err *err)
{
	const struct api *api = request->context;
	AUTO(site) struct site *site = site_take(api->settings.web, err);
	struct session_view view;
	struct err nobody = { 0 };
	const char *token;
	int result;

	if (!site)
		return -1;
	token = asks_own_host(request, site) ? cookie_get(request, site->secure, COOKIE_SESSION, "")
					     : NULL;
	if (!token)
		return not_signed_in(request, err);
	if (sessions_find(web_sessions(api->settings.web), token, "", clock_now_s(), &view,
			  &nobody) < 0) {
		if (nobody.code == ERR_NOT_FOUND)
			return not_signed_in(request, err);
		if (err)
			*err = nobody;
		return -1;
	}
	result = enter(request, site, &view, err);
	session_view_release(&view);
	return result;
}

int web_before(struct http_request *request, struct err *err)
{
	const char *text = bearer_text(request);

	return text ? by_bearer(request, text, err) : by_session(request, err);
}

/* --- for handlers --- */

struct actor api_actor(const struct http_request *request)
{
	const struct caller *caller = api_caller(request);
	/* Whoever came past before() is known: this is nobody, and may nothing. */
	struct actor actor = { .name = "", .limited = true, .is_person = true };

	if (caller)
		actor = caller->actor;
	actor.request = request->id;
	return actor;
}

int api_authority(const struct http_request *request, const struct reading_view *view,
		  struct authority *ret_authority, struct err *err)
{
	const struct actor actor = api_actor(request);

	return authority_of_actor(view->store, view->setup, &actor, clock_now_s(), view->arena,
				  ret_authority, err);
}

int api_require(const struct http_request *request, const struct reading_view *view,
		const char *permission, struct err *err)
{
	struct authority authority;

	return api_authority(request, view, &authority, err) < 0
		       ? -1
		       : authority_require(&authority, permission, err);
}

int view_find_user(const struct http_request *request, const struct reading_view *view,
		   const char *name, struct user *ret_user, struct err *err)
{
	const char *organization = api_organization(request);
	struct user user;

	if (user_resolve(view->store, name, view->arena, &user, err) < 0)
		return -1;
	if (organization && strcmp(organization, user.organization) != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such user");
	*ret_user = user;
	return 0;
}

const char *api_organization(const struct http_request *request)
{
	const struct caller *caller = api_caller(request);

	return caller && !caller->actor.limited ? NULL : caller ? caller->actor.organization : "";
}
