/*
 * Why has a user what they have? Enters: a snapshot of store and setup, a
 * user. Leaves: JSON. The person, the decision and the condition trees come from the code that
 * decides (change_person_load, decide, rule_explain); nothing is worked out a second time here.
 *
 * Beside what the user holds and should hold, a question about one grant is answered with every
 * rule that could give or deny it, so that "why not" has an answer too.
 */
#include <stdlib.h>

#include <rolebridge/identity/record.h>

#include "internal.h"

struct why {
	const struct reading_view *view;
	const struct why_options *options;
	struct json *json;
	struct user user;
	struct identity_row *rows;
	size_t row_count;
	struct identity *identities; /* decoded; row_of[i]: its row */
	const struct identity_row **row_of;
	size_t identity_count;
	struct person person;
	struct grant *held;
	size_t held_count;
	struct decision decision;
};

/* ---------------------------------------------------------------- gather -- */

/* Gone for longer than the grace. */
static bool is_gone(const struct why *why, const struct identity_row *row)
{
	return row->missing_s != 0 &&
	       policy_missing_disables(why->view->setup->policy, row->missing_runs, row->missing_s,
				       why->options->now_s - why->view->setup->clock_shift_s);
}

/* Identities of sources that the configuration no longer has say nothing any more. */
static int decode_identities(struct why *why, struct err *err)
{
	struct arena *arena = why->view->arena;
	const struct schema *schema = why->view->setup->decision.schema;

	why->identities = arena_alloc_array(arena, why->row_count + 1, sizeof(*why->identities));
	why->row_of = arena_alloc_array(arena, why->row_count + 1, sizeof(*why->row_of));
	if (!why->identities || !why->row_of)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < why->row_count; i++) {
		const struct identity_row *row = &why->rows[i];
		int source = schema_find_source(schema, row->source, strlen(row->source));

		if (source < 0)
			continue;
		if (record_decode(row->record, row->record_size, schema, (uint16_t)source, arena,
				  &why->identities[why->identity_count], err) < 0)
			return err_wrap(err, "identity '%s' of source '%s'", row->key, row->source);
		why->row_of[why->identity_count++] = row;
	}
	return 0;
}

/* Every identity that is read gone for longer than the grace: what decide() calls missing. */
static bool is_missing(const struct why *why)
{
	size_t read = 0;

	for (size_t i = 0; i < why->identity_count; i++) {
		if (source_signs_in(why->view->setup->sources[why->identities[i].source]))
			continue;
		if (!is_gone(why, why->row_of[i]))
			return false;
		read++;
	}
	return read > 0;
}

/* Every one of them is missing, and of one its source said so as it happened. */
static bool is_told_gone(const struct why *why)
{
	bool told = false;

	for (size_t i = 0; i < why->identity_count; i++) {
		if (source_signs_in(why->view->setup->sources[why->identities[i].source]))
			continue;
		if (why->row_of[i]->missing_s == 0)
			return false;
		told |= (why->row_of[i]->missing_runs & MISSING_TOLD) != 0;
	}
	return told;
}

static int gather(struct why *why, const char *name, struct err *err)
{
	const struct reading_view *view = why->view;
	const struct decision_setup *setup = &view->setup->decision;

	if (user_resolve(view->store, name, view->arena, &why->user, err) < 0 ||
	    store_identities_of(view->store, why->user.id, view->arena, &why->rows, &why->row_count,
				err) < 0 ||
	    decode_identities(why, err) < 0 ||
	    store_grants_of(view->store, why->user.id, view->arena, &why->held, &why->held_count,
			    err) < 0 ||
	    change_person_load(view->setup, view->store, why->user.id, why->options->now_s,
			       view->arena, &why->person, err) < 0)
		return -1;

	const struct decide_input input = {
		.person = &why->person,
		.user = &why->user,
		.grants = why->held,
		.grant_count = why->held_count,
		.now_s = why->options->now_s,
		.missing = is_missing(why),
		.gone = is_told_gone(why),
	};

	return decide(setup, &input, view->arena, &why->decision, err);
}

/* ------------------------------------------------------------ identities -- */

static void show_attribute(const struct why *why, const struct attribute *attribute)
{
	const struct schema_attribute *known =
		schema_get(why->view->setup->decision.schema, attribute->id);
	struct json *json = why->json;

	json_object(json);
	json_string(json, "name", known->name);
	json_array_key(json, "values");
	if (known->sensitive && !why->options->show_sensitive)
		json_string(json, NULL, "(hidden)");
	else
		for (uint32_t i = 0; i < attribute->count; i++)
			json_string(json, NULL, attribute->values[i]);
	json_end(json);
	json_end(json);
}

static void show_identity(const struct why *why, size_t i)
{
	const struct identity *identity = &why->identities[i];
	const struct identity_row *row = why->row_of[i];
	struct json *json = why->json;

	json_object(json);
	json_string(json, "source", row->source);
	json_string(json, "key", identity->key);
	json_string(json, "dn", identity->dn);
	json_time(json, "read", row->read_s);
	json_time(json, "missing", row->missing_s);
	json_bool(json, "disabled", identity_is_disabled(identity, why->options->now_s));
	json_string(json, "disabled_by", identity->disabled_by);
	json_bool(json, "groups_complete", identity->groups_complete);
	json_array_key(json, "groups");
	for (size_t g = 0; g < identity->group_count; g++) {
		const struct group *group =
			group_registry_get(why->view->setup->registry, identity->groups[g]);

		if (group)
			json_string(json, NULL, group->name);
	}
	json_end(json);
	json_array_key(json, "attributes");
	for (size_t a = 0; a < identity->attribute_count; a++)
		show_attribute(why, &identity->attributes[a]);
	json_end(json);
	json_end(json);
}

/* ----------------------------------------------------------------- rules -- */

static const char *match_name(enum match match)
{
	return match == MATCH_YES ? "yes" : match == MATCH_NO ? "no" : "unknown";
}

/* The rule's text stays out: beside the truth it would tell hidden values. The tree says it. */
static int show_rule(const struct why *why, const char *key, const struct rule *rule,
		     struct err *err)
{
	const struct decision_setup *setup = &why->view->setup->decision;
	const struct trace_node *nodes;
	struct json *json = why->json;
	enum match match;
	size_t count;

	if (rule_explain(setup->rules, rule, &why->person, setup->groups, why->options->now_s,
			 why->options->show_sensitive, why->view->arena, &match, &nodes, &count,
			 err) < 0)
		return -1;
	if (key)
		json_object_key(json, key);
	else
		json_object(json);
	json_string(json, "id", rule->id);
	json_string(json, "description", rule->description);
	json_bool(json, "trial", rule->trial);
	json_time(json, "expires", rule->expires_s);
	show_position_members(why->view->api, json, rule->at);
	json_string(json, "match", match_name(match));
	json_array_key(json, "condition");
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_int(json, "depth", nodes[i].depth);
		json_string(json, "match", match_name(nodes[i].match));
		json_string(json, "text", nodes[i].text);
		json_string(json, "because", nodes[i].because ? nodes[i].because : "");
		json_end(json);
	}
	json_end(json);
	return 0; /* the caller may add members, and ends the object */
}

/* ---------------------------------------------------------------- grants -- */

static bool is_asked(const struct why *why, enum grant_kind kind, const char *name)
{
	const struct why_options *options = why->options;

	return (!options->kind || strcmp(options->kind, grant_kind_name(kind)) == 0) &&
	       (!options->grant || strcmp(options->grant, name) == 0);
}

static bool grants_hold(const struct grant *grants, size_t count, const struct grant *one)
{
	for (size_t i = 0; i < count; i++) {
		if (grant_same(&grants[i], one))
			return true;
	}
	return false;
}

static int show_grant(const struct why *why, const struct grant *grant, const char *state,
		      size_t *shown, struct err *err)
{
	const struct ruleset *rules = why->view->setup->decision.rules;
	struct json *json = why->json;
	const struct rule *rule = NULL;

	if (!is_asked(why, grant->kind, grant->name))
		return 0;
	++*shown;
	json_object(json);
	show_grant_members(json, grant);
	json_string(json, "state", state);
	if (grant->kind == GRANT_PROFILE)
		json_bool(json, "effective", strcmp(grant->name, why->decision.profile) == 0);
	if (grant->origin == ORIGIN_RULE)
		rule = ruleset_find(rules, grant->origin_id);
	if (rule) {
		if (show_rule(why, "rule", rule, err) < 0)
			return -1;
		json_end(json);
	}
	json_end(json);
	return 0;
}

/* held: stays; pending: the next sync gives it; leaving: the next sync takes it, or a plan waits with it. */
static int show_grants(const struct why *why, size_t *shown, struct err *err)
{
	const struct decision *decision = &why->decision;

	json_array_key(why->json, "grants");
	for (size_t i = 0; i < decision->grant_count; i++) {
		const struct grant *grant = &decision->grants[i];
		bool held = grants_hold(why->held, why->held_count, grant);

		if (show_grant(why, grant, held ? "held" : "pending", shown, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < why->held_count; i++) {
		if (!grants_hold(decision->grants, decision->grant_count, &why->held[i]) &&
		    show_grant(why, &why->held[i], "leaving", shown, err) < 0)
			return -1;
	}
	json_end(why->json);
	return 0;
}

static bool rule_names(const struct why *why, const struct rule_grant *grants, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_asked(why, grants[i].kind, grants[i].name))
			return true;
	}
	return false;
}

/* Asked for one grant: each rule that could give or deny it, whatever its truth. */
static int show_candidates(const struct why *why, size_t *shown, struct err *err)
{
	const struct ruleset *rules = why->view->setup->decision.rules;
	struct json *json = why->json;

	json_array_key(json, "candidates");
	for (size_t i = 0; why->options->grant && i < ruleset_count(rules); i++) {
		const struct rule *rule = ruleset_rule(rules, i);
		bool gives = rule_names(why, rule->grants, rule->grant_count);
		bool denies = rule_names(why, rule->denies, rule->deny_count);

		if ((!gives && !denies) || !rule_concerns(rule, why->user.organization))
			continue;
		++*shown;
		if (show_rule(why, NULL, rule, err) < 0)
			return -1;
		json_bool(json, "gives", gives);
		json_bool(json, "denies", denies);
		json_end(json);
	}
	json_end(json);
	return 0;
}

static void show_notes(const struct why *why)
{
	const struct decision *decision = &why->decision;
	struct json *json = why->json;

	json_array_key(json, "notes");
	for (size_t i = 0; i < decision->note_count; i++) {
		const struct decision_note *note = &decision->notes[i];

		if (!is_asked(why, note->kind, note->name))
			continue;
		json_object(json);
		json_string(json, "code", note->code);
		json_string(json, "kind", grant_kind_name(note->kind));
		json_string(json, "name", note->name);
		json_string(json, "rule", note->rule ? note->rule->id : "");
		json_end(json);
	}
	json_end(json);
}

int why_json(const struct reading_view *view, const char *user, const struct why_options *options,
	     struct json *json, struct err *err)
{
	struct why why = { .view = view, .options = options, .json = json };
	size_t shown = 0;

	if (gather(&why, user, err) < 0)
		return -1;
	/* Whatever rules would say of what is left of somebody deleted, nothing comes of it. */
	if (why.user.disabled & DISABLED_DELETED)
		why.decision = (struct decision){ .profile = "" };
	json_object(json);
	json_object_key(json, "user");
	show_user_members(json, &why.user);
	json_end(json);
	json_time(json, "now", options->now_s);
	json_bool(json, "provisioned", why.decision.provisioned);
	json_string(json, "profile", why.decision.profile);
	json_array_key(json, "identities");
	for (size_t i = 0; i < why.identity_count; i++)
		show_identity(&why, i);
	json_end(json);
	if (show_grants(&why, &shown, err) < 0 || show_candidates(&why, &shown, err) < 0)
		return -1;
	show_notes(&why);
	json_end(json);
	if (options->grant && shown == 0)
		return err_set(err, ERR_NOT_FOUND,
			       "'%s' does not hold '%s', and no rule gives or denies it",
			       why.user.username, options->grant);
	return 0;
}
