/*
 * The API's frame: route table, store handles for reading. Enters: requests of the control
 * socket and of web listeners. Leaves: handlers' answers. Whoever may not do what a route needs gets no
 * further than before() (access.c).
 */
#include <rolebridge/api/api.h>

#include <pthread.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/http/limit.h>

#include "access.h"
#include "backups.h"
#include "permit.h"

#define PREVIEW_BODY_MAX ((size_t)16 * 1024 * 1024)
#define RESOURCES_BODY_MAX ((size_t)32 * 1024 * 1024)
#define EVENTS_BODY_MAX ((size_t)8 * 1024 * 1024)
#define IMPORT_BODY_MAX ((size_t)64 * 1024 * 1024)
#define DEFINITION_BODY_MAX ((size_t)512 * 1024)
/* Metadata of 1 MiB, every character of it escaped. */
#define SOURCE_BODY_MAX ((size_t)7 * 1024 * 1024)
#define SECURITY_KEY_BODY_MAX ((size_t)64 * 1024)
#define POOL_KEPT 4
/* Per address: many people of one company may stand behind one. */
#define REFUSED_PER_MINUTE 600
#define REFUSED_BURST 1200
#define ADDRESSES_MAX 16384

/* Every line stands in schemas/openapi.yaml too, held together by a test. */
static const struct http_route routes[] = {
	{ "GET", "/api/v1/status", status_show, 0, 0, "status:read@all" },
	{ "POST", "/api/v1/check", check_post, 0, PREVIEW_BODY_MAX, "config:check@all" },
	{ "POST", "/api/v1/reload", reload_post, HTTP_ROUTE_NO_BODY, 0, "config:reload@all" },
	{ "POST", "/api/v1/sync", sync_post, 0, 0, "sources:sync@all" },
	{ "POST", "/api/v1/plan", plan_post, 0, PREVIEW_BODY_MAX, "sources:sync@all" },
	{ "POST", "/api/v1/sources/{source}/test", source_test_post, 0, 0, "sources:test@all" },
	{ "GET", "/api/v1/runs", runs_get, 0, 0, "status:read@all" },
	/* Whoever began it, too: the handler asks. */
	{ "GET", "/api/v1/runs/{id}", run_get, HTTP_ROUTE_QUIET, 0, NULL },
	{ "GET", "/api/v1/plans", plans_get, 0, 0, "plans:read@all" },
	{ "GET", "/api/v1/plans/{id}", plan_get, 0, 0, "plans:read@all" },
	{ "POST", "/api/v1/plans/{id}/apply", plan_apply_post, 0, 0, "plans:apply@all" },
	{ "GET", "/api/v1/users", users_get, 0, 0, "users:read@all" },
	{ "POST", "/api/v1/users", users_post, 0, 0, "users:create@all" },
	/* What the action needs: the handler asks. */
	{ "POST", "/api/v1/users/bulk", users_bulk_post, 0, PREVIEW_BODY_MAX, NULL },
	{ "GET", "/api/v1/users/{user}", user_get, 0, 0, "users:read@all" },
	{ "PATCH", "/api/v1/users/{user}", user_patch, 0, 0, "users:update@all" },
	{ "DELETE", "/api/v1/users/{user}", user_delete, HTTP_ROUTE_NO_BODY, 0,
	  "users:delete@all" },
	{ "GET", "/api/v1/users/{user}/why", user_why, 0, 0, "users:read@all" },
	{ "POST", "/api/v1/users/{user}/move", user_move, HTTP_ROUTE_QUERY, 0, "users:move@all" },
	{ "POST", "/api/v1/users/{user}/disable", user_disable, 0, 0, "users:disable@all" },
	{ "POST", "/api/v1/users/{user}/enable", user_enable, HTTP_ROUTE_NO_BODY, 0,
	  "users:enable@all" },
	{ "POST", "/api/v1/users/{user}/grants", user_grant, 0, 0, "users:grant@all" },
	{ "DELETE", "/api/v1/users/{user}/grants/{kind}/{name}", user_revoke, HTTP_ROUTE_NO_BODY, 0,
	  "users:grant@all" },
	{ "PUT", "/api/v1/users/{user}/identities/{source}/{key}", user_link, HTTP_ROUTE_NO_BODY, 0,
	  "users:link@all" },
	{ "DELETE", "/api/v1/users/{user}/identities/{source}/{key}", user_unlink,
	  HTTP_ROUTE_NO_BODY, 0, "users:link@all" },
	{ "DELETE", "/api/v1/users/{user}/sessions", user_sessions_delete, HTTP_ROUTE_NO_BODY, 0,
	  "sessions:end@all" },
	{ "GET", "/api/v1/users/{user}/accounts", user_accounts_get, 0, 0, "users:read@all" },
	{ "PUT", "/api/v1/users/{user}/accounts/{application}/{id}", user_account_put,
	  HTTP_ROUTE_NO_BODY, 0, "users:update@all" },
	{ "DELETE", "/api/v1/users/{user}/accounts/{application}/{id}", user_account_delete,
	  HTTP_ROUTE_NO_BODY, 0, "users:update@all" },
	{ "GET", "/api/v1/users/{user}/factors", user_factors_get, 0, 0, "factors:read@all" },
	{ "DELETE", "/api/v1/users/{user}/factors", user_factors_delete, HTTP_ROUTE_NO_BODY, 0,
	  "factors:reset@all" },
	{ "DELETE", "/api/v1/users/{user}/factors/{factor}", user_factor_delete, HTTP_ROUTE_NO_BODY,
	  0, "factors:reset@all" },
	{ "POST", "/api/v1/users/{user}/recovery-code", user_recovery_code_post, 0, 0,
	  "recovery-codes:issue@all" },
	{ "POST", "/api/v1/users/{user}/password-reset", user_password_reset_post,
	  HTTP_ROUTE_NO_BODY, 0, "users:reset@all" },
	{ "GET", "/api/v1/invites", invites_get, 0, 0, "users:invite@all" },
	{ "POST", "/api/v1/invites", invites_post, 0, 0, "users:invite@all" },
	/* Whoever holds the link may: it is the permission. */
	{ "POST", "/api/v1/invites/accept", invite_accept_post, 0, 4096, NULL },
	{ "GET", "/api/v1/invites/{id}", invite_get, 0, 0, "users:invite@all" },
	{ "DELETE", "/api/v1/invites/{id}", invite_delete, HTTP_ROUTE_NO_BODY, 0,
	  "users:invite@all" },
	{ "POST", "/api/v1/invites/{id}/resend", invite_resend_post, HTTP_ROUTE_NO_BODY, 0,
	  "users:invite@all" },
	/* Whose they are decides: the handlers ask. */
	{ "GET", "/api/v1/me", me_get, 0, 0, NULL },
	/* Of a person alone, most of it in a session of theirs: the handlers ask. */
	{ "GET", "/api/v1/me/factors", me_factors_get, 0, 0, NULL },
	{ "POST", "/api/v1/me/factors", me_factors_post, 0, 0, NULL },
	{ "PATCH", "/api/v1/me/factors/{factor}", me_factor_patch, 0, 0, NULL },
	{ "DELETE", "/api/v1/me/factors/{factor}", me_factor_delete, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "POST", "/api/v1/me/factors/{factor}/confirm", me_factor_confirm_post, 0, 0, NULL },
	{ "POST", "/api/v1/me/factors/{factor}/send", me_factor_send_post, HTTP_ROUTE_NO_BODY, 0,
	  NULL },
	{ "POST", "/api/v1/me/security-keys/options", me_webauthn_options_post, HTTP_ROUTE_NO_BODY,
	  0, NULL },
	{ "POST", "/api/v1/me/security-keys", me_webauthn_post, 0, SECURITY_KEY_BODY_MAX, NULL },
	{ "POST", "/api/v1/me/recovery-codes", me_recovery_codes_post, HTTP_ROUTE_NO_BODY, 0,
	  NULL },
	{ "PUT", "/api/v1/me/password", me_password_put, 0, 0, NULL },
	{ "GET", "/api/v1/me/devices", me_devices_get, 0, 0, NULL },
	{ "DELETE", "/api/v1/me/devices", me_devices_delete, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "DELETE", "/api/v1/me/devices/{device}", me_device_delete, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "GET", "/api/v1/tokens", tokens_get, 0, 0, NULL },
	{ "POST", "/api/v1/tokens", tokens_post, 0, 0, NULL },
	{ "DELETE", "/api/v1/tokens/{id}", token_delete, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "POST", "/api/v1/import/users", import_users_post, HTTP_ROUTE_QUERY, IMPORT_BODY_MAX,
	  "users:import@all" },
	{ "GET", "/api/v1/import/users/sample.csv", import_sample_get, 0, 0, "users:import@all" },
	{ "GET", "/api/v1/export/users.csv", export_users_csv, 0, 0, "users:export@all" },
	{ "GET", "/api/v1/export/users.json", export_users_json, 0, 0, "users:export@all" },
	{ "GET", "/api/v1/sessions", sessions_get, 0, 0, "sessions:read@all" },
	{ "DELETE", "/api/v1/sessions/{id}", session_delete, HTTP_ROUTE_NO_BODY, 0,
	  "sessions:end@all" },
	/* For root alone: the handler asks. */
	{ "POST", "/api/v1/login-links", login_links_post, 0, 0, NULL },
	{ "POST", "/api/v1/backups", backups_post, HTTP_ROUTE_NO_BODY, 0, NULL },
	{ "GET", "/api/v1/backups/{id}", backup_get, 0, 0, NULL },
	{ "GET", "/api/v1/restored", restored_get, 0, 0, "restored:read@all" },
	{ "POST", "/api/v1/restored/release", restored_release_post, 0, 0, "restored:release@all" },
	{ "GET", "/api/v1/sources", sources_get, 0, 0, "sources:read@all" },
	{ "POST", "/api/v1/sources", sources_post, HTTP_ROUTE_QUERY, SOURCE_BODY_MAX,
	  "sources:create@all" },
	{ "GET", "/api/v1/sources/{source}", source_get, 0, 0, "sources:read@all" },
	{ "PUT", "/api/v1/sources/{source}", source_put, HTTP_ROUTE_QUERY, SOURCE_BODY_MAX,
	  "sources:update@all" },
	{ "PATCH", "/api/v1/sources/{source}", source_patch, HTTP_ROUTE_QUERY, SOURCE_BODY_MAX,
	  "sources:update@all" },
	{ "DELETE", "/api/v1/sources/{source}", source_delete,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "sources:delete@all" },
	{ "POST", "/api/v1/sources/{source}/enable", source_enable_post,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "sources:enable@all" },
	{ "POST", "/api/v1/sources/{source}/disable", source_disable_post,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "sources:disable@all" },
	{ "GET", "/api/v1/sources/{source}/metadata", source_metadata_get, 0, 0,
	  "sources:read@all" },
	{ "GET", "/api/v1/rules", rules_get, 0, 0, "rules:read@all" },
	{ "POST", "/api/v1/rules", rules_post, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "rules:create@all" },
	{ "POST", "/api/v1/rules/order", rules_order_post, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "rules:activate@all" },
	{ "PUT", "/api/v1/rules/{id}", rule_put, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "rules:update@all" },
	{ "DELETE", "/api/v1/rules/{id}", rule_delete, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0,
	  "rules:delete@all" },
	{ "POST", "/api/v1/rules/{id}/activate", rule_activate_post, HTTP_ROUTE_QUERY, 0,
	  "rules:activate@all" },
	{ "GET", "/api/v1/rules/{id}", rule_get, 0, 0, "rules:read@all" },
	{ "POST", "/api/v1/rules/{id}/release", rule_release, HTTP_ROUTE_NO_BODY, 0,
	  "rules:release@all" },
	{ "GET", "/api/v1/audit", audit_get, 0, 0, "audit:read@all" },
	{ "GET", "/api/v1/audit/export", audit_export, 0, 0, "audit:export@all" },
	{ "GET", "/api/v1/audit/verify", audit_verify_get, 0, 0, "audit:verify@all" },
	{ "GET", "/api/v1/alarms", alarms_get, 0, 0, "status:read@all" },
	{ "POST", "/api/v1/alarms/{id}/clear", alarm_clear, HTTP_ROUTE_NO_BODY, 0,
	  "alarms:clear@all" },
	{ "GET", "/api/v1/resources", resources_get, 0, 0, "resources:read@own" },
	{ "POST", "/api/v1/resources/{application}", resources_post, 0, RESOURCES_BODY_MAX,
	  "resources:write@all" },
	{ "GET", "/api/v1/resources/{application}/{type}/{id}", resource_get, 0, 0,
	  "resources:read@own" },
	{ "PUT", "/api/v1/resources/{application}/{type}/{id}", resource_put, 0, 0,
	  "resources:write@all" },
	{ "DELETE", "/api/v1/resources/{application}/{type}/{id}", resource_delete,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "resources:write@all" },
	{ "GET", "/api/v1/resources/{application}/{type}/{id}/children", resource_children_get, 0,
	  0, "resources:read@own" },
	{ "GET", "/api/v1/resources/{application}/accounts/{id}/users", account_users_get, 0, 0,
	  "users:read@all" },
	{ "GET", "/api/v1/resources/{application}/accounts/{id}/personas", account_personas_get, 0,
	  0, "users:read@all" },
	{ "GET", "/api/v1/references", references_get, 0, 0, "references:read@all" },
	{ "GET", "/api/v1/references/{application}/{kind}/{id}", reference_get, 0, 0,
	  "references:read@all" },
	{ "PUT", "/api/v1/references/{application}/{kind}/{id}", reference_put, 0, 0,
	  "references:write@all" },
	{ "DELETE", "/api/v1/references/{application}/{kind}/{id}", reference_delete,
	  HTTP_ROUTE_NO_BODY, 0, "references:write@all" },
	{ "POST", "/api/v1/decide", decide_post, HTTP_ROUTE_QUIET | HTTP_ROUTE_BARE, 0,
	  "decide:ask@all" },
	{ "POST", "/api/v1/decide/list", decide_list_post, HTTP_ROUTE_QUIET, 0, "decide:ask@all" },
	{ "POST", "/api/v1/users/{user}/reassign", user_reassign, 0, 0, "references:reassign@all" },
	{ "GET", "/api/v1/profiles", profiles_get, 0, 0, "profiles:read@all" },
	{ "POST", "/api/v1/profiles", profiles_post, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "profiles:create@all" },
	{ "GET", "/api/v1/profiles/{name}", profile_get, 0, 0, "profiles:read@all" },
	{ "PUT", "/api/v1/profiles/{name}", profile_put, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "profiles:update@all" },
	{ "PATCH", "/api/v1/profiles/{name}", profile_patch, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "profiles:update@all" },
	{ "DELETE", "/api/v1/profiles/{name}", profile_delete,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "profiles:delete@all" },
	{ "GET", "/api/v1/roles", roles_get, 0, 0, "roles:read@all" },
	{ "POST", "/api/v1/roles", roles_post, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "roles:create@all" },
	{ "POST", "/api/v1/roles/bulk-update", roles_bulk_update_post, HTTP_ROUTE_QUERY,
	  PREVIEW_BODY_MAX, "roles:bulk-update@all" },
	{ "GET", "/api/v1/roles/{name}", role_get, 0, 0, "roles:read@all" },
	{ "PUT", "/api/v1/roles/{name}", role_put, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "roles:update@all" },
	{ "PATCH", "/api/v1/roles/{name}", role_patch, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "roles:update@all" },
	{ "DELETE", "/api/v1/roles/{name}", role_delete, HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0,
	  "roles:delete@all" },
	{ "POST", "/api/v1/roles/{name}/copy", role_copy_post, HTTP_ROUTE_QUERY, 0,
	  "roles:create@all" },
	{ "GET", "/api/v1/personas", personas_get, 0, 0, "personas:read@all" },
	{ "POST", "/api/v1/personas", personas_post, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "personas:create@all" },
	{ "GET", "/api/v1/personas/{name}", persona_get, 0, 0, "personas:read@all" },
	{ "PUT", "/api/v1/personas/{name}", persona_put, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "personas:update@all" },
	{ "PATCH", "/api/v1/personas/{name}", persona_patch, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "personas:update@all" },
	{ "DELETE", "/api/v1/personas/{name}", persona_delete,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "personas:delete@all" },
	{ "POST", "/api/v1/events", events_post, 0, EVENTS_BODY_MAX, "events:create@all" },
	{ "GET", "/api/v1/reports/sign-ins", report_sign_ins_get, 0, 0, "reports:read@all" },
	{ "GET", "/api/v1/reports/feature-use", report_feature_use_get, 0, 0, "reports:read@all" },
	{ "GET", "/api/v1/reports/adoption", report_adoption_get, 0, 0, "reports:read@all" },
	{ "GET", "/api/v1/reports/unused", report_unused_get, 0, 0, "reports:read@all" },
	/* And users:read@all: the handler asks. */
	{ "GET", "/api/v1/reports/inactive", report_inactive_get, 0, 0, "reports:read@all" },
	{ "GET", "/api/v1/personas/{name}/research", persona_research_get, 0, 0,
	  "personas:read@all" },
	{ "POST", "/api/v1/personas/{name}/research", persona_research_post, 0, 0,
	  "personas:update@all" },
	{ "DELETE", "/api/v1/personas/{name}/research/{id}", persona_research_delete,
	  HTTP_ROUTE_NO_BODY, 0, "personas:update@all" },
	{ "GET", "/api/v1/personas/{name}/validations", persona_validations_get, 0, 0,
	  "personas:read@all" },
	{ "POST", "/api/v1/personas/{name}/validations", persona_validations_post, 0, 0,
	  "personas:update@all" },
	{ "DELETE", "/api/v1/personas/{name}/validations/{id}", persona_validation_delete,
	  HTTP_ROUTE_NO_BODY, 0, "personas:update@all" },
	{ "GET", "/api/v1/personas/{name}/reviews", persona_reviews_get, 0, 0,
	  "personas:read@all" },
	{ "POST", "/api/v1/personas/{name}/reviews", persona_reviews_post, 0, 0,
	  "personas:update@all" },
	{ "GET", "/api/v1/personas/{name}/links", persona_links_get, 0, 0, "personas:read@all" },
	{ "POST", "/api/v1/personas/{name}/links", persona_links_post, 0, 0,
	  "personas:update@all" },
	{ "DELETE", "/api/v1/personas/{name}/links/{id}", persona_link_delete, HTTP_ROUTE_NO_BODY,
	  0, "personas:update@all" },
	{ "GET", "/api/v1/me/personas", my_personas_get, 0, 0, "personas:validate@own" },
	{ "PUT", "/api/v1/me/personas/{name}/validation", my_validation_put, 0, 0,
	  "personas:validate@own" },
	{ "DELETE", "/api/v1/me/personas/{name}/validation", my_validation_delete,
	  HTTP_ROUTE_NO_BODY, 0, "personas:validate@own" },
	{ "GET", "/api/v1/segments", segments_get, 0, 0, "segments:read@all" },
	{ "POST", "/api/v1/segments", segments_post, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "segments:create@all" },
	{ "GET", "/api/v1/segments/{name}", segment_get, 0, 0, "segments:read@all" },
	{ "PUT", "/api/v1/segments/{name}", segment_put, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "segments:update@all" },
	{ "PATCH", "/api/v1/segments/{name}", segment_patch, HTTP_ROUTE_QUERY, DEFINITION_BODY_MAX,
	  "segments:update@all" },
	{ "DELETE", "/api/v1/segments/{name}", segment_delete,
	  HTTP_ROUTE_NO_BODY | HTTP_ROUTE_QUERY, 0, "segments:delete@all" },
	{ "GET", "/api/v1/segments/{name}/count", segment_count_get, 0, 0, "segments:read@all" },
	{ "GET", "/api/v1/segments/{name}/users", segment_users_get, 0, 0, "users:read@all" },
	{ "GET", "/api/v1/second-factor/{organization}", second_factor_get, 0, 0,
	  "second-factor:read@all" },
	{ "PUT", "/api/v1/second-factor/{organization}", second_factor_put, HTTP_ROUTE_QUERY,
	  DEFINITION_BODY_MAX, "second-factor:update@all" },
	{ "GET", "/api/v1/second-factor/{organization}/locked-out", second_factor_locked_out_get, 0,
	  0, "second-factor:read@all" },
	{ "GET", "/api/v1/sealing-key", sealing_key_get, 0, 0, "sealing-key:read@all" },
	{ "POST", "/api/v1/sealing-key/rotate", sealing_key_rotate_post, HTTP_ROUTE_NO_BODY, 0,
	  "sealing-key:update@all" },
	{ "POST", "/api/v1/sealing-key/reseal", sealing_key_reseal_post, HTTP_ROUTE_NO_BODY, 0,
	  "sealing-key:update@all" },
	{ "POST", "/api/v1/sealing-key/forget-unused", sealing_key_forget_post, HTTP_ROUTE_NO_BODY,
	  0, "sealing-key:update@all" },
	{ "GET", "/api/v1/targets", targets_get, 0, 0, "targets:read@all" },
	{ "GET", "/api/v1/targets/{target}", target_get, 0, 0, "targets:read@all" },
	{ "POST", "/api/v1/targets/{target}/retry", target_retry_post, 0, 0, "targets:update@all" },
	{ "POST", "/api/v1/targets/{target}/drop", target_drop_post, 0, 0, "targets:update@all" },
	{ "POST", "/api/v1/targets/{target}/plan", target_plan_post, HTTP_ROUTE_NO_BODY, 0,
	  "targets:read@all" },
	{ "POST", "/api/v1/targets/{target}/reconcile", target_reconcile_post, 0, 0,
	  "targets:update@all" },
	{ "GET", "/api/v1/quarantine", quarantine_get, 0, 0, "sources:read@all" },
};

const struct http_route *api_routes(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(routes);
	return routes;
}

/* ------------------------------------------------------------ store pool -- */

struct store_pool {
	pthread_mutex_t lock;
	struct store *idle[POOL_KEPT];
	size_t count;
	char *path;
};

struct store_pool *store_pool_create(const char *path)
{
	struct store_pool *pool = alloc_zeroed(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->path = strdup(path);
	if (!pool->path) {
		free(pool);
		return NULL;
	}
	pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

void store_pool_destroy(struct store_pool *pool)
{
	if (!pool)
		return;
	while (pool->count > 0)
		store_close(pool->idle[--pool->count]);
	pthread_mutex_destroy(&pool->lock);
	free(pool->path);
	free(pool);
}

struct store *store_pool_take(struct store_pool *pool, struct err *err)
{
	struct store *store = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->count > 0)
		store = pool->idle[--pool->count];
	pthread_mutex_unlock(&pool->lock);
	return store ? store : store_open(pool->path, STORE_READ, err);
}

void store_pool_give(struct store_pool *pool, struct store *store)
{
	if (!store)
		return;
	pthread_mutex_lock(&pool->lock);
	if (pool->count < POOL_KEPT) {
		pool->idle[pool->count++] = store;
		store = NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	store_close(store);
}

int store_view_open(struct changer *changer, struct store_pool *pool, struct arena *arena,
		    struct reading_view *ret_view, struct err *err)
{
	struct store *store = store_pool_take(pool, err);

	if (!store)
		return -1;
	if (store_begin(store, err) < 0) {
		store_close(store);
		return -1;
	}
	*ret_view = (struct reading_view){
		.pool = pool,
		.store = store,
		.setup = changer_setup(changer),
		.arena = arena,
	};
	return 0;
}

int view_open(struct http_request *request, struct reading_view *ret_view, struct err *err)
{
	struct api *api = request->context;

	if (store_view_open(api->settings.changer, api->pool, request->arena, ret_view, err) < 0)
		return -1;
	ret_view->api = api;
	ret_view->request = request;
	return 0;
}

void reading_view_auto(struct reading_view *view)
{
	if (!view->store)
		return;
	setup_release(view->setup);
	/* Nothing was written: this only ends the snapshot. */
	store_rollback(view->store);
	store_pool_give(view->pool, view->store);
}

/* --------------------------------------------------------------- the api -- */

struct api *api_create(const struct api_settings *settings, struct err *err)
{
	struct api *api = alloc_zeroed(1, sizeof(*api));

	if (api) {
		api->settings = *settings;
		api->settings.admin_group =
			strdup(settings->admin_group ? settings->admin_group : "");
		api->pool = store_pool_create(changer_store_path(settings->changer));
		api->permits = permits_create();
		api->backups = backups_create();
		api->refused_limit =
			http_limit_create(REFUSED_PER_MINUTE, REFUSED_BURST, ADDRESSES_MAX);
	}
	for (size_t i = 0; api && i < ARRAY_LEN(api->decisions); i++)
		api->decisions[i] = decide_prepare(i == 1, err);
	if (!api || !api->decisions[0] || !api->decisions[1] || !api->pool || !api->permits ||
	    !api->backups || !api->refused_limit || !api->settings.admin_group) {
		api_destroy(api);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	return api;
}

void api_destroy(struct api *api)
{
	if (!api)
		return;
	store_pool_destroy(api->pool);
	for (size_t i = 0; i < ARRAY_LEN(api->decisions); i++)
		http_prepared_release(api->decisions[i]);
	permits_destroy(api->permits);
	backups_destroy(api->backups);
	http_limit_destroy(api->refused_limit);
	free(api->web_routes);
	free((char *)(uintptr_t)api->settings.admin_group);
	free(api);
}

int api_add_control_routes(struct api *api, struct http_router *router, struct err *err)
{
	return http_router_add(router, routes, ARRAY_LEN(routes), api, control_before, err);
}

/* Answered from memory: another thread would cost more than the answer. */
static bool never_waits(const struct http_route *route)
{
	return strcmp(route->pattern, "/api/v1/decide") == 0;
}

int api_add_web_routes(struct api *api, struct http_router *router, struct err *err)
{
	if (!api->web_routes)
		api->web_routes = alloc_zeroed(ARRAY_LEN(routes), sizeof(*api->web_routes));
	if (!api->web_routes)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		api->web_routes[i] = routes[i];
		if (!never_waits(&routes[i]))
			api->web_routes[i].flags |= HTTP_ROUTE_SLOW;
	}
	return http_router_add(router, api->web_routes, ARRAY_LEN(routes), api, web_before, err);
}
