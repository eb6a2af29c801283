/* What the handlers share. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include <stdatomic.h>

#include <rolebridge/api/api.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/util.h>
#include <rolebridge/http/request.h>
#include <rolebridge/store/store.h>

struct backups;
struct api {
	struct api_settings settings;
	struct store_pool *pool;
	struct http_prepared *decisions[2]; /* deny, allow: without a reason */
	atomic_bool importing;		    /* people: one file at a time */
	atomic_int reporting;		    /* reports that are being made */
	struct permits *permits;
	struct backups *backups;	  /* the copy of the store that waits to be fetched */
	struct http_limit *refused_limit; /* by address: whom nobody knows */
	struct http_route *web_routes;	  /* the same, each in a thread where it may wait */
};

struct store_pool;

/* --- reading: one snapshot of the store and the setup in force --- */
struct reading_view {
	struct api *api; /* NULL on the web side */
	struct store_pool *pool;
	struct store *store; /* read-only, in a transaction */
	struct setup *setup;
	struct arena *arena;		    /* the request's */
	const struct http_request *request; /* NULL on the web side */
};
int view_open(struct http_request *request, struct reading_view *ret_view, struct err *err);
/* The same for handlers of the web side. */
int store_view_open(struct changer *changer, struct store_pool *pool, struct arena *arena,
		    struct reading_view *ret_view, struct err *err);
void reading_view_auto(struct reading_view *view);
/* By uuid, username or e-mail, of those whom the caller may see. ERR_NOT_FOUND: also of another organization. */
int view_find_user(const struct http_request *request, const struct reading_view *view,
		   const char *name, struct user *ret_user, struct err *err);
/* What lists are cut to: the caller's organization; NULL: everything. What is elsewhere is as if it were not there. */
const char *api_organization(const struct http_request *request);
/* For what only a part of the requests of a route needs. ERR_DENIED "not-allowed". */
int api_require(const struct http_request *request, const struct reading_view *view,
		const char *permission, struct err *err);

struct store_pool *store_pool_create(const char *path); /* NULL: out of memory */
void store_pool_destroy(struct store_pool *pool);
struct store *store_pool_take(struct store_pool *pool, struct err *err);
void store_pool_give(struct store_pool *pool, struct store *store);

/* The caller as change/ knows them. */
struct actor api_actor(const struct http_request *request);

/* The response as JSON, to be filled and ended by the handler. */
struct json api_json(struct http_response *response);

/* "role" … ; -1 with err and error_field. */
int grant_kind_parse(struct http_request *request, const char *field, const char *text,
		     enum grant_kind *ret_kind, struct err *err);

/* Query fields "after" and "limit" of a page. */
int query_page(struct http_request *request, int64_t most, int64_t usual, int64_t *ret_after,
	       size_t *ret_limit, struct err *err);
/* Member "next" of a page: where the one behind it begins; 0: it was the last. */
void show_next(struct json *json, int64_t cursor);
/* Members of a user, without the braces. */
void show_user_members(struct json *json, const struct user *user);
void show_grant_members(struct json *json, const struct grant *grant);
void show_disabled(struct json *json, uint32_t disabled);
void show_plan_members(struct json *json, const struct plan_row *plan);
/* Members "changes_total" and "changes": what is still to be done of a plan. */
int show_plan_changes(const struct reading_view *view, struct json *json,
		      const struct plan_row *plan, struct err *err);
/* runs.c: one line of a report */
void report_change_json(struct json *json, const struct report_change *change);
/* Members "file", "line", "column" of a position, where known. */
void show_position_members(struct api *api, struct json *json, struct position at);

/* notices.c: member "alarms". */
int show_alarms(const struct reading_view *view, struct json *json, bool open_only,
		struct err *err);

/* status.c: what the members of sources are taken from, read once. */
struct overview {
	const struct reading_view *view;
	struct quarantine_count *quarantined; /* by source and reason */
	size_t quarantined_count;
	struct plan_row *held;
	size_t held_count;
};
int overview_read(const struct reading_view *view, struct overview *ret_overview, struct err *err);
/* How a source is: members "name", "type", "enabled", "problem" and so on. */
int show_source_members(const struct overview *overview, struct json *json,
			const struct source_settings *source, struct err *err);

/* status.c: figures of users, sources, plans and alarms in Prometheus' text format. */
int status_metrics(const struct reading_view *view, struct strbuf *out, struct err *err);
/* reports.c: totals of sign-ins and events. */
int activity_metrics(const struct reading_view *view, struct strbuf *out, struct err *err);
/* health.c */
void metric_gauge(struct strbuf *out, const char *name, const char *help, int64_t value);

/*
 * The version that a client saw, from If-Match: one entity tag as ETag has it, or "*".
 * *ret_version 0: whichever; -1: none that ever was.
 */
int if_match_read(const struct http_request *request, int64_t *ret_version, struct err *err);
/* resources.c: with an error "user-has-references", what it is about: the error's details. */
void references_explain(struct http_request *request, const char *user, const struct err *err);

/* decide.c: the answer to whoever may not know why. NULL: out of memory. */
struct http_prepared *decide_prepare(bool allowed, struct err *err);

/* signin.c: the view of a source of type saml, enabled or not. ERR_NOT_FOUND. */
int saml_source_find(const struct saml_ports *saml, const char *name, struct arena *arena,
		     struct saml_source_view *ret_view, struct err *err);

/* {"run": id} with status 202. */
int answer_run(struct http_response *response, const char *id, struct err *err);

/* why.c */
struct why_options {
	const char *kind;  /* NULL: every kind */
	const char *grant; /* NULL: everything */
	bool show_sensitive;
	int64_t now_s;
};
int why_json(const struct reading_view *view, const char *user, const struct why_options *options,
	     struct json *json, struct err *err);

/* accounts.c: member "accounts" of a user. */
int show_accounts(const struct http_request *request, const struct reading_view *view,
		  struct json *json, const struct user *user, struct err *err);

/* Handlers, by file. */
int status_show(struct http_request *, struct http_response *, struct err *);
int check_post(struct http_request *, struct http_response *, struct err *);
int reload_post(struct http_request *, struct http_response *, struct err *);
int source_test_post(struct http_request *, struct http_response *, struct err *);
int sync_post(struct http_request *, struct http_response *, struct err *);
int plan_post(struct http_request *, struct http_response *, struct err *);
int runs_get(struct http_request *, struct http_response *, struct err *);
int run_get(struct http_request *, struct http_response *, struct err *);
int plans_get(struct http_request *, struct http_response *, struct err *);
int plan_get(struct http_request *, struct http_response *, struct err *);
int plan_apply_post(struct http_request *, struct http_response *, struct err *);
int users_get(struct http_request *, struct http_response *, struct err *);
int users_post(struct http_request *, struct http_response *, struct err *);
int users_bulk_post(struct http_request *, struct http_response *, struct err *);
int user_get(struct http_request *, struct http_response *, struct err *);
int user_patch(struct http_request *, struct http_response *, struct err *);
int user_move(struct http_request *, struct http_response *, struct err *);
int user_delete(struct http_request *, struct http_response *, struct err *);
int user_link(struct http_request *, struct http_response *, struct err *);
int user_unlink(struct http_request *, struct http_response *, struct err *);
int user_why(struct http_request *, struct http_response *, struct err *);
int user_disable(struct http_request *, struct http_response *, struct err *);
int user_enable(struct http_request *, struct http_response *, struct err *);
int user_grant(struct http_request *, struct http_response *, struct err *);
int user_revoke(struct http_request *, struct http_response *, struct err *);
int user_accounts_get(struct http_request *, struct http_response *, struct err *);
int user_account_put(struct http_request *, struct http_response *, struct err *);
int user_account_delete(struct http_request *, struct http_response *, struct err *);
int account_users_get(struct http_request *, struct http_response *, struct err *);
int account_personas_get(struct http_request *, struct http_response *, struct err *);
int invites_get(struct http_request *, struct http_response *, struct err *);
int invites_post(struct http_request *, struct http_response *, struct err *);
int invite_get(struct http_request *, struct http_response *, struct err *);
int invite_delete(struct http_request *, struct http_response *, struct err *);
int invite_resend_post(struct http_request *, struct http_response *, struct err *);
int invite_accept_post(struct http_request *, struct http_response *, struct err *);
int import_users_post(struct http_request *, struct http_response *, struct err *);
int import_sample_get(struct http_request *, struct http_response *, struct err *);
int export_users_csv(struct http_request *, struct http_response *, struct err *);
int export_users_json(struct http_request *, struct http_response *, struct err *);
int rules_get(struct http_request *, struct http_response *, struct err *);
int rule_get(struct http_request *, struct http_response *, struct err *);
int rules_post(struct http_request *, struct http_response *, struct err *);
int rules_order_post(struct http_request *, struct http_response *, struct err *);
int rule_put(struct http_request *, struct http_response *, struct err *);
int rule_delete(struct http_request *, struct http_response *, struct err *);
int rule_activate_post(struct http_request *, struct http_response *, struct err *);
int rule_release(struct http_request *, struct http_response *, struct err *);
int audit_get(struct http_request *, struct http_response *, struct err *);
int audit_export(struct http_request *, struct http_response *, struct err *);
int audit_verify_get(struct http_request *, struct http_response *, struct err *);
struct audit_anchor;
void audit_anchor_show(struct json *json, const struct audit_anchor *anchor);
int alarms_get(struct http_request *, struct http_response *, struct err *);
int alarm_clear(struct http_request *, struct http_response *, struct err *);
int me_get(struct http_request *, struct http_response *, struct err *);
int tokens_get(struct http_request *, struct http_response *, struct err *);
int tokens_post(struct http_request *, struct http_response *, struct err *);
int token_delete(struct http_request *, struct http_response *, struct err *);
int sessions_get(struct http_request *, struct http_response *, struct err *);
int session_delete(struct http_request *, struct http_response *, struct err *);
int user_sessions_delete(struct http_request *, struct http_response *, struct err *);
int me_factors_get(struct http_request *, struct http_response *, struct err *);
int me_factors_post(struct http_request *, struct http_response *, struct err *);
int me_factor_confirm_post(struct http_request *, struct http_response *, struct err *);
int me_factor_send_post(struct http_request *, struct http_response *, struct err *);
int me_factor_patch(struct http_request *, struct http_response *, struct err *);
int me_factor_delete(struct http_request *, struct http_response *, struct err *);
int me_webauthn_options_post(struct http_request *, struct http_response *, struct err *);
int me_webauthn_post(struct http_request *, struct http_response *, struct err *);
int me_recovery_codes_post(struct http_request *, struct http_response *, struct err *);
int me_password_put(struct http_request *, struct http_response *, struct err *);
int me_devices_get(struct http_request *, struct http_response *, struct err *);
int me_devices_delete(struct http_request *, struct http_response *, struct err *);
int me_device_delete(struct http_request *, struct http_response *, struct err *);
int user_factors_get(struct http_request *, struct http_response *, struct err *);
int user_factors_delete(struct http_request *, struct http_response *, struct err *);
int user_factor_delete(struct http_request *, struct http_response *, struct err *);
int user_recovery_code_post(struct http_request *, struct http_response *, struct err *);
int user_password_reset_post(struct http_request *, struct http_response *, struct err *);
int second_factor_get(struct http_request *, struct http_response *, struct err *);
int second_factor_put(struct http_request *, struct http_response *, struct err *);
int second_factor_locked_out_get(struct http_request *, struct http_response *, struct err *);
int sealing_key_get(struct http_request *, struct http_response *, struct err *);
int sealing_key_rotate_post(struct http_request *, struct http_response *, struct err *);
int sealing_key_reseal_post(struct http_request *, struct http_response *, struct err *);
int sealing_key_forget_post(struct http_request *, struct http_response *, struct err *);
int login_links_post(struct http_request *, struct http_response *, struct err *);
int backups_post(struct http_request *, struct http_response *, struct err *);
int backup_get(struct http_request *, struct http_response *, struct err *);
int restored_get(struct http_request *, struct http_response *, struct err *);
int restored_release_post(struct http_request *, struct http_response *, struct err *);
int sources_get(struct http_request *, struct http_response *, struct err *);
int sources_post(struct http_request *, struct http_response *, struct err *);
int source_get(struct http_request *, struct http_response *, struct err *);
int source_put(struct http_request *, struct http_response *, struct err *);
int source_patch(struct http_request *, struct http_response *, struct err *);
int source_delete(struct http_request *, struct http_response *, struct err *);
int source_enable_post(struct http_request *, struct http_response *, struct err *);
int source_disable_post(struct http_request *, struct http_response *, struct err *);
int source_metadata_get(struct http_request *, struct http_response *, struct err *);
int resources_get(struct http_request *, struct http_response *, struct err *);
int resources_post(struct http_request *, struct http_response *, struct err *);
int resource_get(struct http_request *, struct http_response *, struct err *);
int resource_put(struct http_request *, struct http_response *, struct err *);
int resource_delete(struct http_request *, struct http_response *, struct err *);
int resource_children_get(struct http_request *, struct http_response *, struct err *);
int references_get(struct http_request *, struct http_response *, struct err *);
int reference_get(struct http_request *, struct http_response *, struct err *);
int reference_put(struct http_request *, struct http_response *, struct err *);
int reference_delete(struct http_request *, struct http_response *, struct err *);
int decide_post(struct http_request *, struct http_response *, struct err *);
int decide_list_post(struct http_request *, struct http_response *, struct err *);
int user_reassign(struct http_request *, struct http_response *, struct err *);
int events_post(struct http_request *, struct http_response *, struct err *);
int report_sign_ins_get(struct http_request *, struct http_response *, struct err *);
int report_feature_use_get(struct http_request *, struct http_response *, struct err *);
int report_adoption_get(struct http_request *, struct http_response *, struct err *);
int report_unused_get(struct http_request *, struct http_response *, struct err *);
int report_inactive_get(struct http_request *, struct http_response *, struct err *);
int profiles_get(struct http_request *, struct http_response *, struct err *);
int profiles_post(struct http_request *, struct http_response *, struct err *);
int profile_get(struct http_request *, struct http_response *, struct err *);
int profile_put(struct http_request *, struct http_response *, struct err *);
int profile_patch(struct http_request *, struct http_response *, struct err *);
int profile_delete(struct http_request *, struct http_response *, struct err *);
int roles_get(struct http_request *, struct http_response *, struct err *);
int roles_post(struct http_request *, struct http_response *, struct err *);
int role_get(struct http_request *, struct http_response *, struct err *);
int role_put(struct http_request *, struct http_response *, struct err *);
int role_patch(struct http_request *, struct http_response *, struct err *);
int role_delete(struct http_request *, struct http_response *, struct err *);
int personas_get(struct http_request *, struct http_response *, struct err *);
int personas_post(struct http_request *, struct http_response *, struct err *);
int persona_get(struct http_request *, struct http_response *, struct err *);
int persona_put(struct http_request *, struct http_response *, struct err *);
int persona_patch(struct http_request *, struct http_response *, struct err *);
int persona_delete(struct http_request *, struct http_response *, struct err *);
int persona_research_get(struct http_request *, struct http_response *, struct err *);
int persona_research_post(struct http_request *, struct http_response *, struct err *);
int persona_research_delete(struct http_request *, struct http_response *, struct err *);
int persona_validations_get(struct http_request *, struct http_response *, struct err *);
int persona_validations_post(struct http_request *, struct http_response *, struct err *);
int persona_validation_delete(struct http_request *, struct http_response *, struct err *);
int persona_reviews_get(struct http_request *, struct http_response *, struct err *);
int persona_reviews_post(struct http_request *, struct http_response *, struct err *);
int persona_links_get(struct http_request *, struct http_response *, struct err *);
int persona_links_post(struct http_request *, struct http_response *, struct err *);
int persona_link_delete(struct http_request *, struct http_response *, struct err *);
int my_personas_get(struct http_request *, struct http_response *, struct err *);
int my_validation_put(struct http_request *, struct http_response *, struct err *);
int my_validation_delete(struct http_request *, struct http_response *, struct err *);
int segments_get(struct http_request *, struct http_response *, struct err *);
int segments_post(struct http_request *, struct http_response *, struct err *);
int segment_get(struct http_request *, struct http_response *, struct err *);
int segment_put(struct http_request *, struct http_response *, struct err *);
int segment_patch(struct http_request *, struct http_response *, struct err *);
int segment_delete(struct http_request *, struct http_response *, struct err *);
int segment_count_get(struct http_request *, struct http_response *, struct err *);
int segment_users_get(struct http_request *, struct http_response *, struct err *);
int role_copy_post(struct http_request *, struct http_response *, struct err *);
int roles_bulk_update_post(struct http_request *, struct http_response *, struct err *);
int targets_get(struct http_request *, struct http_response *, struct err *);
int target_get(struct http_request *, struct http_response *, struct err *);
int target_retry_post(struct http_request *, struct http_response *, struct err *);
int target_drop_post(struct http_request *, struct http_response *, struct err *);
int target_plan_post(struct http_request *, struct http_response *, struct err *);
int target_reconcile_post(struct http_request *, struct http_response *, struct err *);
int quarantine_get(struct http_request *, struct http_response *, struct err *);

#endif
