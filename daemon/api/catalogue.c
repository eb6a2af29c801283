/* Handlers that show plans and rules. */
#include <rolebridge/base/clock.h>

#include "definitions.h"

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

/* Among those that the caller sees: how many others have is not told. */
static int64_t rule_place(const struct http_request *request, const struct reading_view *view,
			  const struct rule *rule)
{
	const struct ruleset *rules = view->setup->decision.rules;
	int64_t place = 0;

	for (uint32_t i = 0; i < rule->order; i++)
		place += rule_is_seen(request, ruleset_rule(rules, i)->organization);
	return place;
}

/* place: see rule_place. */
static int show_rule_members(const struct http_request *request, const struct reading_view *view,
			     struct json *json, const struct rule *rule, int64_t place,
			     const struct known_groups *known, int64_t *ret_version,
			     struct err *err)
{
	int64_t now_s = clock_now_s();

	json_string(json, "id", rule->id);
	json_string(json, "description", rule->description);
	json_int(json, "order", place);
	json_string(json, "when", rule->when);
	show_rule_grants(json, "grants", rule->grants, rule->grant_count);
	show_rule_grants(json, "denies", rule->denies, rule->deny_count);
	json_bool(json, "trial", rule->trial);
	json_time(json, "expires", rule->expires_s);
	json_bool(json, "expired", rule->expires_s != 0 && rule->expires_s <= now_s);
	json_string(json, "state", "active");
	if (show_rule_groups(view, json, rule, known, err) < 0)
		return -1;
	return show_rule_definition(request, view, json, rule->id, rule->at, ret_version, err);
}

int rules_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct json json = api_json(response);
	const struct ruleset *rules;
	struct known_groups known;
	int64_t version, place = 0;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    load_known_groups(&view, &known, err) < 0)
		return -1;
	rules = view.setup->decision.rules;
	json_object(&json);
	json_array_key(&json, "rules");
	for (size_t i = 0; i < ruleset_count(rules); i++) {
		const struct rule *rule = ruleset_rule(rules, i);

		if (!rule_is_seen(request, rule->organization))
			continue;
		json_object(&json);
		if (show_rule_members(request, &view, &json, rule, place++, &known, &version, err) <
		    0)
			return -1;
		json_end(&json);
	}
	json_end(&json);
	if (show_drafts(request, &view, &json, err) < 0)
		return -1;
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
	int64_t *holders, version;
	size_t count;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0 ||
	    load_known_groups(&view, &known, err) < 0)
		return -1;
	rule = ruleset_find(view.setup->decision.rules, id);
	if (!rule || !rule_is_seen(request, rule->organization)) {
		if (show_draft_alone(request, &view, &json, id, &version, err) < 0)
			return -1;
		etag_set(request, response, version);
		return 0;
	}
	if (store_users_with_rule(view.store, id, 0, 10000, view.arena, &holders, &count, err) < 0)
		return -1;
	json_object(&json);
	if (show_rule_members(request, &view, &json, rule, rule_place(request, &view, rule), &known,
			      &version, err) < 0)
		return -1;
	etag_set(request, response, version);
	json_int(&json, "holders", (int64_t)count);
	json_bool(&json, "holders_more", count == 10000);
	json_end(&json);
	return 0;
}
