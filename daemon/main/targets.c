/*
 * Targets: the kinds there are, what is configured of them, and how they do as JSON for the API.
 *
 * Enters: the configuration in force; questions of the API. Leaves: struct target_setup for change/, threads, JSON. Fails
 * as target/ does.
 */
#include "targets.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/target/accounts.h>
#include <rolebridge/target/webhook.h>

#define COMPARE_BYTES_MAX ((size_t)1024 * 1024 * 1024)
/* Of what differs; the counts are of all. */
#define DRIFTS_SHOWN_MAX 1000

const struct target_kind *const target_kinds[] = {
	&accounts_target_kind,
	&webhook_kind,
	NULL,
};

static const struct target_kind *find_kind(const char *name)
{
	for (const struct target_kind *const *kind = target_kinds; *kind; kind++)
		if (strcmp((*kind)->name, name) == 0)
			return *kind;
	return NULL;
}

int targets_configure(struct configuration *config, struct diagnostics *list)
{
	const struct target_settings *const *settings = settings_targets(&config->settings);
	size_t count = config->settings.targets.count;
	struct target_setup *targets =
		arena_alloc_array(config->arena, count + 1, sizeof(*targets));

	if (!targets) {
		diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", (struct position){ 0 }, NULL,
				"out of memory");
		return -1;
	}
	config->setup.targets = targets;
	config->setup.target_count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct target_kind *kind = find_kind(settings[i]->type.text);

		if (kind == &webhook_kind)
			webhook_check((const void *)settings[i], &config->setup, list);
		if (kind)
			targets[config->setup.target_count++] = (struct target_setup){
				.name = settings[i]->name.text,
				.keeps_state = kind->keeps_state,
				.follows_records = kind->keeps_state && kind->follows_records,
				.is_off = !settings[i]->enabled,
			};
	}
	return 0;
}

static void find_settings(void *context UNUSED, struct setup *setup,
			  const struct target_settings *const **ret_targets, size_t *ret_count)
{
	const struct settings *settings = &configuration_of(setup)->settings;

	*ret_targets = settings_targets(settings);
	*ret_count = settings->targets.count;
}

struct targets *targets_begin(struct changer *changer, struct err *err)
{
	const struct targets_ports ports = { .settings = find_settings, .kinds = target_kinds };
	struct targets *targets = targets_create(changer, &ports);

	if (!targets) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (targets_start(targets, err) == 0)
		return targets;
	targets_destroy(targets);
	return NULL;
}

void targets_write_metrics(struct targets *targets, struct changer *changer, struct strbuf *out)
{
	struct err err = { 0 };
	AUTO(store) struct store *store = store_open(changer_store_path(changer), STORE_READ, &err);

	targets_metrics(targets, store, out);
}

/* --- how they do --- */

static const char *state_word(const struct target_state *state)
{
	if (state->kind[0] == '\0')
		return "removed";
	if (!state->enabled)
		return "disabled";
	if (state->held)
		return "held";
	return state->failing ? "failing" : "ok";
}

static void show_state(struct json *json, const struct target_state *state)
{
	json_string(json, "name", state->name);
	json_string(json, "type", state->kind[0] ? state->kind : NULL);
	json_string(json, "state", state_word(state));
	json_bool(json, "comparable", state->can_compare);
	json_string(json, "problem", state->problem[0] ? state->problem : NULL);
	json_time(json, "failing_since", state->failing_since_s);
	json_time(json, "next_try", state->next_try_s);
	json_time(json, "delivered", state->delivered_s);
	json_time(json, "reconciled", state->reconciled_s);
	json_int(json, "waiting", state->counts.waiting);
	json_int(json, "failing", state->counts.failing);
	json_int(json, "dead", state->counts.dead);
	json_time(json, "oldest", state->counts.oldest_s);
}

int targets_show(struct targets *targets, struct store *store, const char *name, bool *ret_found,
		 struct json *json, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)16 * 1024 * 1024);
	struct target_state *states;
	size_t count;

	*ret_found = false;
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (targets_list(targets, store, arena, &states, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (name && strcmp(states[i].name, name) != 0)
			continue;
		*ret_found = true;
		if (!name)
			json_object(json);
		show_state(json, &states[i]);
		if (!name)
			json_end(json);
	}
	return 0;
}

/* --- drift --- */

static void show_differences(struct json *json, const struct drift *drift)
{
	if (drift->field_count == 0)
		return;
	json_object_key(json, "fields");
	for (size_t i = 0; i < drift->field_count; i++) {
		const char *name = drift->want[i].name ? drift->want[i].name : drift->have[i].name;

		json_array_key(json, name);
		json_string(json, NULL, drift->have[i].value);
		json_string(json, NULL, drift->want[i].value);
		json_end(json);
	}
	json_end(json);
}

static void show_drift(struct json *json, const struct drift *drift)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&drift->user, uuid);
	json_object(json);
	json_string(json, "kind", drift_kind_name(drift->kind));
	json_string(json, "user", uuid);
	json_string(json, "name", drift->name);
	json_bool(json, "takes_away", drift->takes_away);
	if (drift->code)
		json_string(json, "code", drift->code);
	if (drift->problem)
		json_string(json, "problem", drift->problem);
	show_differences(json, drift);
	json_end(json);
}

static int show_plan(const struct target_plan *plan, bool carried_out, struct strbuf *out,
		     struct err *err)
{
	struct json json = JSON(out);

	json_object(&json);
	json_string(&json, "plan", plan->id);
	json_string(&json, "target", plan->target);
	json_bool(&json, "comparable", plan->comparable);
	json_bool(&json, "carried_out", carried_out);
	json_int(&json, "people", plan->people);
	json_int(&json, "takes_away", plan->takes_away);
	json_int(&json, "active", plan->active);
	json_int(&json, "limit", plan->limit);
	json_object_key(&json, "counts");
	for (int i = 0; i < DRIFT_KINDS; i++)
		json_int(&json, drift_kind_name((enum drift_kind)i), plan->counts[i]);
	json_end(&json);
	json_array_key(&json, "drift");
	for (size_t i = 0; i < plan->drift_count && i < DRIFTS_SHOWN_MAX; i++)
		show_drift(&json, &plan->drifts[i]);
	json_end(&json);
	json_bool(&json, "complete", plan->drift_count <= DRIFTS_SHOWN_MAX);
	json_end(&json);
	return strbuf_failed(out) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

int targets_compare(struct targets *targets, struct changer *changer, struct run *run,
		    const struct target_request *request, const struct actor *actor,
		    struct strbuf *result, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(COMPARE_BYTES_MAX);
	AUTO(store) struct store *store = store_open(changer_store_path(changer), STORE_READ, err);
	struct target_plan plan;
	int done;

	if (!store)
		return -1;
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	run_progress(run, "comparing", 0, 0);
	done = request->carry_out
		       ? targets_reconcile(targets, request->target, request->plan, actor, store,
					   arena, &plan, err)
		       : targets_plan(targets, request->target, store, arena, &plan, err);
	return done < 0 ? -1 : show_plan(&plan, request->carry_out, result, err);
}
