/* Handlers about plans, rules, alarms, quarantine and status: all read, but for clearing an alarm. */
#include <errno.h>
#include <stdlib.h>

#include <rolebridge/base/clock.h>

#include "internal.h"

/* ----------------------------------------------------------------- plans -- */

static const struct {
	enum plan_state state;
	const char *name;
} plan_states[] = {
	{ PLAN_HELD, "held" },	     { PLAN_READY, "applying" },
	{ PLAN_APPLIED, "applied" }, { PLAN_SUPERSEDED, "superseded" },
	{ PLAN_DRAFT, "draft" },     { PLAN_DAMAGED, "damaged" },
};

static const char *plan_state_name(enum plan_state state)
{
	for (size_t i = 0; i < ARRAY_LEN(plan_states); i++) {
		if (plan_states[i].state == state)
			return plan_states[i].name;
	}
	return "unknown";
}

void show_plan_members(struct json *json, const struct plan_row *plan)
{
	json_string(json, "id", plan->id);
	json_string(json, "state", plan_state_name(plan->state));
	json_string(json, "source", plan->source);
	json_string(json, "actor", plan->actor);
	json_time(json, "created", plan->created_s);
	json_time(json, "finished", plan->finished_s);
	json_int(json, "batches", plan->batches);
	json_int(json, "batches_done", plan->batches_done);
	if (plan->summary && plan->summary[0])
		json_raw(json, "summary", plan->summary);
	else
		json_null(json, "summary");
}

int plans_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "state", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const char *state = http_query(request, "state");
	struct json json = api_json(response);
	struct plan_row *plans;
	size_t count, i = 0;

	if (http_query_allow(request, names, err) < 0)
		return -1;
	while (i < ARRAY_LEN(plan_states) &&
	       strcmp(plan_states[i].name, state ? state : "held") != 0)
		i++;
	if (i == ARRAY_LEN(plan_states)) {
		request->error_field = "state";
		return err_set(err, ERR_INVALID, "'%s' is no state of a plan", state);
	}
	if (view_open(request, &view, err) < 0 ||
	    store_plan_list(view.store, plan_states[i].state, view.arena, &plans, &count, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "plans");
	for (i = 0; i < count; i++) {
		json_object(&json);
		show_plan_members(&json, &plans[i]);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
	return 0;
}

int plan_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct plan_row plan;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    store_plan_get(view.store, http_parameter(request, "id"), view.arena, &plan, err) < 0)
		return -1;
	json_object(&json);
	show_plan_members(&json, &plan);
	if (show_plan_changes(&view, &json, &plan, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

/* ----------------------------------------------------------------- rules -- */

static void show_rule_grants(struct json *json, const char *key, const struct rule_grant *grants,
			     size_t count)
{
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "kind", grant_kind_name(grants[i].kind));
		json_string(json, "name", grants[i].name);
		json_end(json);
	}
	json_end(json);
}

/* What the store knows of the groups that rules name, ascending by id. */
struct known_groups {
	struct group_registry_row *rows;
	size_t count;
};

static int load_known_groups(const struct reading_view *view, struct known_groups *ret_known,
			     struct err *err)
{
	uint32_t next_id;

	return store_groups_load(view->store, view->arena, &ret_known->rows, &ret_known->count,
				 &next_id, err);
}

static int compare_group_id(const void *id, const void *row)
{
	uint32_t left = *(const uint32_t *)id, right = ((const struct group_registry_row *)row)->id;

	return left < right ? -1 : left > right;
}

static const char *group_state(const struct group_registry_row *group)
{
	if (group->released)
		return "released";
	if (group->vanished)
		return "vanished";
	return group->found ? "found" : "unread";
}

/* Groups the rule names, and whether one that vanished freezes it. */
static int show_rule_groups(const struct reading_view *view, struct json *json,
			    const struct rule *rule, const struct known_groups *known,
			    struct err *err)
{
	const uint32_t *ids;
	bool frozen = false;
	size_t count;

	if (rule_groups(view->setup->decision.rules, rule, view->arena, &ids, &count, err) < 0)
		return -1;
	json_array_key(json, "groups");
	for (size_t i = 0; i < count; i++) {
		const struct group_registry_row *row =
			bsearch(&ids[i], known->rows, known->count, sizeof(*row), compare_group_id);
		const struct group *named = group_registry_get(view->setup->registry, ids[i]);

		json_object(json);
		json_string(json, "name", named ? named->name : "");
		json_string(json, "state", row ? group_state(row) : "unread");
		json_end(json);
		frozen = frozen || (row && row->vanished && !row->released);
	}
	json_end(json);
	json_bool(json, "frozen", frozen);
	return 0;
}

static int show_rule_members(const struct reading_view *view, struct json *json,
			     const struct rule *rule, const struct known_groups *known,
			     struct err *err)
{
	int64_t now_s = clock_now_s();

	json_string(json, "id", rule->id);
	json_string(json, "description", rule->description);
	json_int(json, "order", rule->order);
	json_string(json, "when", rule->when);
	show_rule_grants(json, "grants", rule->grants, rule->grant_count);
	show_rule_grants(json, "denies", rule->denies, rule->deny_count);
	json_bool(json, "trial", rule->trial);
	json_time(json, "expires", rule->expires_s);
	json_bool(json, "expired", rule->expires_s != 0 && rule->expires_s <= now_s);
	show_position_members(view->api, json, rule->at);
	return show_rule_groups(view, json, rule, known, err);
}

int rules_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	const struct ruleset *rules;
	struct known_groups known;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    load_known_groups(&view, &known, err) < 0)
		return -1;
	rules = view.setup->decision.rules;
	json_object(&json);
	json_array_key(&json, "rules");
	for (size_t i = 0; i < ruleset_count(rules); i++) {
		json_object(&json);
		if (show_rule_members(&view, &json, ruleset_rule(rules, i), &known, err) < 0)
			return -1;
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
	return 0;
}

int rule_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	const char *id = http_parameter(request, "id");
	const struct rule *rule;
	struct known_groups known;
	int64_t *holders;
	size_t count;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    load_known_groups(&view, &known, err) < 0)
		return -1;
	rule = ruleset_find(view.setup->decision.rules, id);
	if (!rule)
		return err_set(err, ERR_NOT_FOUND, "there is no rule '%s'", id);
	if (store_users_with_rule(view.store, id, 0, 10000, view.arena, &holders, &count, err) < 0)
		return -1;
	json_object(&json);
	if (show_rule_members(&view, &json, rule, &known, err) < 0)
		return -1;
	json_int(&json, "holders", (int64_t)count);
	json_bool(&json, "holders_more", count == 10000);
	json_end(&json);
	return 0;
}

/* ---------------------------------------------------------------- alarms -- */

static void show_alarm_members(struct json *json, const struct alarm_row *alarm)
{
	json_int(json, "id", alarm->id);
	json_string(json, "kind", alarm->kind);
	json_string(json, "subject", alarm->subject);
	json_string(json, "text", alarm->text);
	json_time(json, "since", alarm->since_s);
	json_time(json, "cleared", alarm->cleared_s);
	json_string(json, "cleared_by", alarm->cleared_by);
}

static int show_alarms(const struct reading_view *view, struct json *json, bool open_only,
		       struct err *err)
{
	struct alarm_row *alarms;
	size_t count;

	if (store_alarm_list(view->store, open_only, view->arena, &alarms, &count, err) < 0)
		return -1;
	json_array_key(json, "alarms");
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		show_alarm_members(json, &alarms[i]);
		json_end(json);
	}
	json_end(json);
	return 0;
}

int alarms_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "all", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	bool all;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "all", false, &all, err) < 0 ||
	    view_open(request, &view, err) < 0)
		return -1;
	json_object(&json);
	if (show_alarms(&view, &json, !all, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}

int alarm_clear(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct actor actor = api_actor(request);
	const char *text = http_parameter(request, "id");
	char *end;

	errno = 0;

	long long id = strtoll(text, &end, 10);

	if (errno != 0 || *end || end == text || id <= 0)
		return err_set(err, ERR_NOT_FOUND, "there is no alarm '%s'", text);
	if (change_alarm_clear(api->settings.changer, &actor, id, err) < 0)
		return -1;
	strbuf_puts(&response->body, "{}");
	return 0;
}

/* ------------------------------------------------------------ quarantine -- */

int quarantine_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "source", "limit", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	struct quarantine_row *rows;
	int64_t limit, total;
	size_t count;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "limit", 1, 10000, 100, &limit, err) < 0 ||
	    view_open(request, &view, err) < 0 ||
	    store_quarantine_list(view.store, http_query(request, "source"), (size_t)limit,
				  view.arena, &rows, &count, &total, err) < 0)
		return -1;
	json_object(&json);
	json_int(&json, "total", total);
	json_array_key(&json, "entries");
	for (size_t i = 0; i < count; i++) {
		json_object(&json);
		json_string(&json, "source", rows[i].source);
		json_string(&json, "locator", rows[i].locator);
		json_string(&json, "key", rows[i].key);
		json_string(&json, "reason", rows[i].reason);
		json_string(&json, "detail", rows[i].detail);
		json_time(&json, "since", rows[i].since_s);
		json_time(&json, "seen", rows[i].seen_s);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
	return 0;
}

/* ---------------------------------------------------------------- status -- */

static int show_source(const struct reading_view *view, struct json *json,
		       const struct source_settings *source, struct err *err)
{
	const struct ports *ports = &view->api->settings.ports;
	const char *name = source->name.text;
	struct source_state state = { .last_problem = "", .server = "" };
	int64_t active = 0;

	/* One that was never read has no row yet. */
	if (store_source_get(view->store, name, view->arena, &state, err) < 0 &&
	    err->code != ERR_NOT_FOUND)
		return -1;
	if (state.last_read_s != 0 && store_active_of_source(view->store, name, &active, err) < 0)
		return -1;
	json_object(json);
	json_string(json, "name", name);
	json_string(json, "type", source->type.text);
	json_bool(json, "enabled", source->enabled);
	json_int(json, "interval_s", source->interval_s);
	json_time(json, "last_read", state.last_read_s);
	json_time(json, "last_complete", state.last_complete_s);
	json_int(json, "entries", state.entries);
	json_int(json, "active_users", active);
	json_string(json, "problem", state.last_problem ? state.last_problem : "");
	json_string(json, "server", state.server ? state.server : "");
	if (ports->source_status)
		ports->source_status(ports->context, name, json);
	json_end(json);
	return 0;
}

static int show_counts(const struct reading_view *view, struct json *json, struct err *err)
{
	struct user_counts counts;
	struct quarantine_row *rows;
	int64_t quarantined, seq;
	struct hash256 head;
	char hex[65];
	size_t count;

	if (store_user_counts(view->store, NULL, &counts, err) < 0 ||
	    store_quarantine_list(view->store, NULL, 1, view->arena, &rows, &count, &quarantined,
				  err) < 0 ||
	    store_audit_head(view->store, &seq, &head, err) < 0)
		return -1;
	json_object_key(json, "users");
	json_int(json, "total", counts.total);
	json_int(json, "active", counts.active);
	json_int(json, "disabled", counts.disabled);
	json_end(json);
	json_int(json, "quarantined", quarantined);
	hash256_hex(&head, hex);
	json_object_key(json, "audit");
	json_int(json, "rows", seq);
	json_string(json, "head", hex);
	json_end(json);
	return 0;
}

static int show_held_plans(const struct reading_view *view, struct json *json, struct err *err)
{
	struct plan_row *plans;
	size_t count;

	if (store_plan_list(view->store, PLAN_HELD, view->arena, &plans, &count, err) < 0)
		return -1;
	json_array_key(json, "held_plans");
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "id", plans[i].id);
		json_string(json, "source", plans[i].source);
		json_time(json, "created", plans[i].created_s);
		json_end(json);
	}
	json_end(json);
	return 0;
}

int status_show(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	const struct ports *ports;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	ports = &view.api->settings.ports;
	json_object(&json);
	if (ports->status)
		ports->status(ports->context, &json);
	if (show_counts(&view, &json, err) < 0)
		return -1;
	json_array_key(&json, "sources");
	for (size_t i = 0; i < view.setup->source_count; i++) {
		if (show_source(&view, &json, view.setup->sources[i], err) < 0)
			return -1;
	}
	json_end(&json);
	if (show_held_plans(&view, &json, err) < 0 || show_alarms(&view, &json, true, err) < 0)
		return -1;
	json_end(&json);
	return 0;
}
