/*
 * Rules of the store: drafts, their preview on the live data, activation by the preview's id, order, end.
 *
 * Enters: bodies of rules, plan ids. Leaves: drafts, which nobody is evaluated by; rules in force, with what they
 * changed and what waits. What lint, rule tests and the ceiling say comes back at the draft already.
 */
#include "definitions.h"
#include "select.h"

#include <string.h>

#define RULE_BODY_MAX ((size_t)220 * 1024)
#define WARNINGS_MAX ((size_t)1024 * 1024)
#define ORDER_MAX 10000
#define KIND "rule"

struct grant_part {
	const char *profile;
	struct field_list roles, personas, groups;
};

struct rule_body {
	const char *id, *description, *when, *expires;
	const char *organization; /* "*": everybody's; no part of what is stored */
	struct field_list groups;
	struct grant_part grant, deny;
	bool trial;
};

#define PART(member) offsetof(struct grant_part, member)
#define PLACE(member) offsetof(struct rule_body, member)

static const struct field grant_part_fields[] = {
	{ "profile", FIELD_TEXT, 0, PART(profile), 64, NULL, 0 },
	{ "roles", FIELD_TEXTS, 0, PART(roles), 100, NULL, 64 },
	{ "personas", FIELD_TEXTS, 0, PART(personas), 100, NULL, 64 },
	{ "groups", FIELD_TEXTS, 0, PART(groups), 100, NULL, 64 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};

static const struct field rule_fields[] = {
	{ "id", FIELD_TEXT, FIELD_REQUIRED, PLACE(id), 64, NULL, 0 },
	{ "description", FIELD_TEXT, 0, PLACE(description), 4096, NULL, 0 },
	{ "groups", FIELD_TEXTS, 0, PLACE(groups), 100, NULL, 1024 },
	{ "when", FIELD_TEXT, 0, PLACE(when), 65536, NULL, 0 },
	{ "grant", FIELD_OBJECT, 0, PLACE(grant), 0, grant_part_fields, 0 },
	{ "deny", FIELD_OBJECT, 0, PLACE(deny), 0, grant_part_fields, 0 },
	{ "expires", FIELD_TEXT, 0, PLACE(expires), 10, NULL, 0 },
	{ "trial", FIELD_BOOL, 0, PLACE(trial), 0, NULL, 0 },
	{ "organization", FIELD_TEXT, 0, PLACE(organization), 64, NULL, 0 },
};
#define STORED_FIELDS (ARRAY_LEN(rule_fields) - 1)

/* ------------------------------------------------------------------ showing */

bool rule_is_seen(const struct http_request *request, const char *owner)
{
	const char *organization = api_organization(request);

	if (!owner)
		return !organization || strcmp(organization, "default") == 0;
	return catalogue_is_for(owner, organization);
}

static int show_draft(const struct reading_view *view, struct json *json, const char *id,
		      int64_t *ret_version, struct err *err)
{
	struct definition draft;
	int found = store_definition_get(view->store, KIND, id, true, view->arena, &draft, err);

	if (found < 0)
		return -1;
	if (!found) {
		json_null(json, "draft");
		return 0;
	}
	*ret_version = draft.version;
	json_object_key(json, "draft");
	json_int(json, "version", draft.version);
	json_time(json, "updated", draft.updated_s);
	json_string(json, "actor", draft.actor);
	json_raw(json, "body", draft.body);
	json_end(json);
	return 0;
}

int show_rule_definition(const struct http_request *request, const struct reading_view *view,
			 struct json *json, const char *id, struct position at,
			 int64_t *ret_version, struct err *err)
{
	struct definition row;
	int found = 0;

	if (catalogue_is_stored(view->setup->catalogue, at))
		found = store_definition_get(view->store, KIND, id, false, view->arena, &row, err);
	if (found < 0)
		return -1;
	show_origin_members(request, view, json, at, found ? &row : NULL);
	if (found)
		json_raw(json, "body", row.body);
	else
		json_null(json, "body");
	*ret_version = found ? row.version : 0;
	return show_draft(view, json, id, ret_version, err);
}

int show_draft_alone(const struct http_request *request, const struct reading_view *view,
		     struct json *json, const char *id, int64_t *ret_version, struct err *err)
{
	struct definition draft;
	int found = store_definition_get(view->store, KIND, id, true, view->arena, &draft, err);

	if (found < 0)
		return -1;
	if (!found || !rule_is_seen(request, draft.organization))
		return err_set(err, ERR_NOT_FOUND, "there is no rule '%s'", id);
	json_object(json);
	json_string(json, "id", id);
	json_string(json, "organization", draft.organization);
	json_string(json, "state", "draft");
	if (show_draft(view, json, id, ret_version, err) < 0)
		return -1;
	json_end(json);
	return 0;
}

int show_drafts(const struct http_request *request, const struct reading_view *view,
		struct json *json, struct err *err)
{
	struct definition *rows;
	size_t count;

	if (store_definitions_load(view->store, view->arena, &rows, &count, err) < 0)
		return -1;
	json_array_key(json, "drafts");
	for (size_t i = 0; i < count; i++) {
		if (!rows[i].draft || strcmp(rows[i].kind, KIND) != 0 ||
		    !rule_is_seen(request, rows[i].organization))
			continue;
		json_object(json);
		json_string(json, "id", rows[i].name);
		json_string(json, "organization", rows[i].organization);
		json_int(json, "version", rows[i].version);
		json_time(json, "updated", rows[i].updated_s);
		json_string(json, "actor", rows[i].actor);
		json_raw(json, "body", rows[i].body);
		json_end(json);
	}
	json_end(json);
	return 0;
}

/* ------------------------------------------------------------------ reading */

static int read_rule(struct http_request *request, struct definition_change *ret_change,
		     const char **ret_when, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(RULE_BODY_MAX);
	struct rule_body body = { 0 };
	struct json json = JSON(&text);

	if (request_read(request, rule_fields, ARRAY_LEN(rule_fields), &body, err) < 0)
		return -1;
	json_object(&json);
	fields_write(&json, rule_fields, STORED_FIELDS, &body);
	json_end(&json);
	if (strbuf_failed(&text))
		return err_set(err, ERR_TOO_LARGE, "a rule may not have more than 220 KiB");
	ret_change->body = arena_strdup(request->arena, strbuf_text(&text));
	ret_change->name = body.id;
	ret_change->organization = body.organization;
	*ret_when = body.when;
	return ret_change->body ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

/* What there is of a rule for the caller; 0 is its absence. */
static int rule_versions(struct http_request *request, const char *id, int64_t *ret_active,
			 int64_t *ret_draft, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	struct definition active = { 0 }, draft = { 0 };

	if (view_open(request, &view, err) < 0 ||
	    store_definition_get(view.store, KIND, id, false, view.arena, &active, err) < 0 ||
	    store_definition_get(view.store, KIND, id, true, view.arena, &draft, err) < 0)
		return -1;
	*ret_active = rule_is_seen(request, active.organization) ? active.version : 0;
	*ret_draft = rule_is_seen(request, draft.organization) ? draft.version : 0;
	return 0;
}

/* ------------------------------------------------------------------ changing */

static int answer(struct http_request *request, struct http_response *response,
		  const struct definition_change *changes, size_t count, const char *plan,
		  bool dry_run, struct err *err)
{
	AUTO(strbuf) struct strbuf warnings = STRBUF(WARNINGS_MAX);
	struct define_result result = { .warnings = &warnings };
	struct json json = api_json(response);
	int done;

	run_report_init(&result.report);
	done = definitions_change(request, changes, count, dry_run, plan, &result, err);
	if (done == 0) {
		json_object(&json);
		json_string(&json, "id", changes[0].name);
		show_define_members(&json, &result, dry_run);
		json_end(&json);
	}
	run_report_finish(&result.report);
	return done;
}

/* A draft: what is wrong with its condition is told with its place. */
static int answer_draft(struct http_request *request, struct http_response *response,
			const struct definition_change *change, const char *when, bool dry_run,
			struct err *err)
{
	if (answer(request, response, change, 1, NULL, dry_run, err) == 0)
		return 0;
	if (when && request->error_field && strcmp(request->error_field, "when") == 0)
		filter_explain(request, when, err);
	return -1;
}

int rules_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_DRAFT, .kind = KIND };
	const char *when;
	int64_t active, draft;
	bool dry_run;

	if (query_dry_run(request, &dry_run, err) < 0 ||
	    read_rule(request, &change, &when, err) < 0 ||
	    rule_versions(request, change.name, &active, &draft, err) < 0)
		return -1;
	if (active || draft)
		return err_refuse(err, ERR_CONFLICT, "name-taken", "there is a rule '%s' already",
				  change.name);
	change.version = DRAFT_NEW;
	if (answer_draft(request, response, &change, when, dry_run, err) < 0)
		return -1;
	if (dry_run)
		return 0;
	response->status = 201;
	http_response_header(response, "Location",
			     arena_printf(request->arena, "/api/v1/rules/%s", change.name));
	return 0;
}

int rule_put(struct http_request *request, struct http_response *response, struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_DRAFT, .kind = KIND };
	const char *when;
	int64_t active, draft;
	bool dry_run;

	if (query_dry_run(request, &dry_run, err) < 0 ||
	    if_match_read(request, &change.version, err) < 0 ||
	    read_rule(request, &change, &when, err) < 0)
		return -1;
	if (strcmp(change.name, http_parameter(request, "id")) != 0) {
		request->error_field = "id";
		return err_set(err, ERR_INVALID, "a rule's id cannot be changed");
	}
	if (rule_versions(request, change.name, &active, &draft, err) < 0)
		return -1;
	/* What the caller saw is the draft where there is one, else what is in force. */
	if (change.version && change.version != (draft ? draft : active))
		return err_refuse(err, ERR_CONFLICT, "stale-version",
				  "rule '%s' was changed meanwhile", change.name);
	change.version = draft ? draft : DRAFT_NEW;
	change.must_exist = true;
	return answer_draft(request, response, &change, when, dry_run, err);
}

struct activate_body {
	const char *plan;
};

static const struct field activate_fields[] = {
	{ "plan", FIELD_TEXT, 0, offsetof(struct activate_body, plan), 64, NULL, 0 },
};

int rule_activate_post(struct http_request *request, struct http_response *response,
		       struct err *err)
{
	struct definition_change change = { .verb = DEFINITION_ACTIVATE,
					    .kind = KIND,
					    .name = http_parameter(request, "id") };
	struct activate_body body = { 0 };
	bool dry_run;

	if (query_dry_run(request, &dry_run, err) < 0 ||
	    if_match_read(request, &change.version, err) < 0 ||
	    request_read(request, activate_fields, ARRAY_LEN(activate_fields), &body, err) < 0)
		return -1;
	if (!dry_run && !body.plan) {
		request->error_field = "plan";
		return err_refuse(err, ERR_INVALID, "plan-required",
				  "say which preview it is: the plan that ?dry_run=true gives");
	}
	return answer(request, response, &change, 1, dry_run ? NULL : body.plan, dry_run, err);
}

int rule_delete(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "dry_run", "draft", NULL };
	const char *id = http_parameter(request, "id");
	struct definition_change changes[2];
	bool dry_run, only_draft;
	int64_t active, draft, version;
	size_t count = 0;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_bool(request, "dry_run", false, &dry_run, err) < 0 ||
	    http_query_bool(request, "draft", false, &only_draft, err) < 0 ||
	    if_match_read(request, &version, err) < 0 ||
	    rule_versions(request, id, &active, &draft, err) < 0)
		return -1;
	if (version && version != (draft ? draft : active))
		return err_refuse(err, ERR_CONFLICT, "stale-version",
				  "rule '%s' was changed meanwhile", id);
	if (draft || only_draft)
		changes[count++] = (struct definition_change){
			.verb = DEFINITION_DISCARD, .kind = KIND, .name = id, .version = draft
		};
	if (!only_draft && (active || !draft))
		changes[count++] = (struct definition_change){
			.verb = DEFINITION_DELETE, .kind = KIND, .name = id, .version = active
		};
	return answer(request, response, changes, count, NULL, dry_run, err);
}

struct order_body {
	struct field_list rules;
};

static const struct field order_fields[] = {
	{ "rules", FIELD_TEXTS, FIELD_REQUIRED, offsetof(struct order_body, rules), ORDER_MAX, NULL,
	  64 },
};

static bool is_ordered(const struct http_request *request, const struct reading_view *view,
		       const struct rule *rule)
{
	return rule && catalogue_is_stored(view->setup->catalogue, rule->at) &&
	       rule_is_seen(request, rule->organization);
}

static int refuse_order(struct http_request *request, struct err *err)
{
	request->error_field = "rules";
	return err_set(err, ERR_INVALID, "'rules' must name each rule of the store in force, once");
}

static int compare_positions(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

/* The places that they have, among them: what others have stays where it is. */
static int give_places(const struct reading_view *view, struct definition_change *changes,
		       size_t count, struct err *err)
{
	int64_t *places = arena_alloc_array(view->arena, count, sizeof(*places));
	struct definition row;

	if (!places)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (store_definition_get(view->store, KIND, changes[i].name, false, view->arena,
					 &row, err) <= 0)
			return -1;
		places[i] = row.position;
	}
	qsort(places, count, sizeof(*places), compare_positions);
	for (size_t i = 0; i < count; i++)
		changes[i].position = places[i];
	return 0;
}

/* A permutation of what is there. */
static int check_order(struct http_request *request, struct definition_change *changes,
		       size_t count, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(hash_table) struct hash_table *seen = hash_table_create(count, count + 1);
	const struct ruleset *rules;
	size_t all = 0;
	uint32_t *slot;

	if (!seen)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (view_open(request, &view, err) < 0)
		return -1;
	rules = view.setup->decision.rules;
	for (size_t i = 0; i < count; i++) {
		const char *id = changes[i].name;

		if (!is_ordered(request, &view, ruleset_find(rules, id)) ||
		    hash_table_put(seen, fingerprint128(id, strlen(id)), &slot) != 1)
			return refuse_order(request, err);
	}
	for (size_t i = 0; i < ruleset_count(rules); i++)
		all += is_ordered(request, &view, ruleset_rule(rules, i));
	if (count != all)
		return refuse_order(request, err);
	return api_organization(request) ? give_places(&view, changes, count, err) : 0;
}

int rules_order_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct order_body body = { 0 };
	struct definition_change *changes;
	bool dry_run;

	if (query_dry_run(request, &dry_run, err) < 0 ||
	    request_read(request, order_fields, ARRAY_LEN(order_fields), &body, err) < 0)
		return -1;
	if (body.rules.count == 0)
		return refuse_order(request, err);
	changes = arena_alloc_array(request->arena, body.rules.count, sizeof(*changes));
	if (!changes)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < body.rules.count; i++)
		changes[i] = (struct definition_change){
			.verb = DEFINITION_PLACE,
			.kind = KIND,
			.name = ((const char *const *)body.rules.items)[i],
			.position = (int64_t)i + 1,
		};
	if (check_order(request, changes, body.rules.count, err) < 0)
		return -1;
	return answer(request, response, changes, body.rules.count, NULL, dry_run, err);
}
