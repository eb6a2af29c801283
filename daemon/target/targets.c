/*
 * All targets: a thread for each that is configured and enabled, how they do, their figures.
 *
 * Enters: configurations, calls that something was queued. Leaves: threads that come and go. Fails: memory, threads.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

static const struct target_kind *find_kind(const struct targets *targets, const char *name)
{
	for (const struct target_kind *const *kind = targets->ports.kinds; *kind; kind++)
		if (strcmp((*kind)->name, name) == 0)
			return *kind;
	return NULL;
}

const struct target_settings *targets_find(const struct targets *targets, struct setup *setup,
					   const char *name, const struct target_kind **ret_kind)
{
	const struct target_settings *const *settings;
	size_t count;

	*ret_kind = NULL;
	targets->ports.settings(targets->ports.context, setup, &settings, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(settings[i]->name.text, name) != 0)
			continue;
		*ret_kind = find_kind(targets, settings[i]->type.text);
		return *ret_kind ? settings[i] : NULL;
	}
	return NULL;
}

/* --- threads --- */

/* In the writer thread, after a commit. */
static void on_queued(void *context, bool urgent)
{
	struct targets *targets = context;

	pthread_mutex_lock(&targets->lock);
	for (struct target *target = targets->first; target; target = target->next)
		target_wake(target, urgent);
	pthread_mutex_unlock(&targets->lock);
}

struct targets *targets_create(struct changer *changer, const struct targets_ports *ports)
{
	struct targets *targets = alloc_zeroed(1, sizeof(*targets));
	struct delivery_observer observer = { .context = targets, .queued = on_queued };

	if (!targets)
		return NULL;
	targets->changer = changer;
	targets->ports = *ports;
	pthread_mutex_init(&targets->lock, NULL);
	changer_observe_deliveries(changer, &observer);
	return targets;
}

/* With the lock. */
static struct target *find(struct targets *targets, const char *name)
{
	struct target *target = targets->first;

	while (target && strcmp(target->name, name) != 0)
		target = target->next;
	return target;
}

/* With the lock: those that are not configured so any more, taken out of the list. */
static struct target *take_gone(struct targets *targets, struct setup *setup)
{
	struct target *gone = NULL, **at = &targets->first, *target;

	while ((target = *at) != NULL) {
		const struct target_kind *kind;
		const struct target_settings *settings =
			targets_find(targets, setup, target->name, &kind);

		if (settings && settings->enabled && kind == target->kind) {
			at = &target->next;
			continue;
		}
		*at = target->next;
		target->next = gone;
		gone = target;
	}
	return gone;
}

/* All at once: each may take as long as its target lets it wait. */
static void end(struct target *gone)
{
	for (struct target *target = gone; target; target = target->next)
		target_ask_to_stop(target);
	while (gone) {
		struct target *next = gone->next;

		target_destroy(gone);
		gone = next;
	}
}

static int begin(struct targets *targets, const struct target_settings *settings, struct err *err)
{
	const struct target_kind *kind = find_kind(targets, settings->type.text);
	struct target *target;
	bool present, stopped;

	if (!kind || !settings->enabled)
		return 0;
	pthread_mutex_lock(&targets->lock);
	present = find(targets, settings->name.text) != NULL;
	stopped = targets->stopped;
	pthread_mutex_unlock(&targets->lock);
	if (present || stopped)
		return 0;
	target = target_create(targets, settings->name.text, kind);
	if (!target)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (target_start(target, err) < 0) {
		target_destroy(target);
		return -1;
	}
	pthread_mutex_lock(&targets->lock);
	stopped = targets->stopped;
	if (!stopped) {
		target->next = targets->first;
		targets->first = target;
	}
	pthread_mutex_unlock(&targets->lock);
	if (stopped)
		target_destroy(target);
	return 0;
}

static bool is_told(const struct targets *targets, struct setup *setup, const char *name)
{
	const struct target_kind *kind;
	const struct target_settings *settings = targets_find(targets, setup, name, &kind);

	return settings && settings->enabled;
}

/* Also those that went while no daemon ran: nobody else would end their alarms. */
static int end_alarms(struct targets *targets, struct setup *setup, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)64 * 1024 * 1024);
	AUTO(store)
	struct store *store = store_open(changer_store_path(targets->changer), STORE_READ, err);
	struct alarm_row *alarms;
	size_t count;

	if (!store)
		return -1;
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (store_alarm_list(store, true, arena, &alarms, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (strcmp(alarms[i].kind, TARGET_ALARM_BEHIND) == 0 &&
		    !is_told(targets, setup, alarms[i].subject) &&
		    change_alarm_end(targets->changer, TARGET_ALARM_BEHIND, alarms[i].subject,
				     "not configured any more", err) < 0)
			return -1;
	return 0;
}

int targets_reload(struct targets *targets, struct err *err)
{
	struct setup *setup = changer_setup(targets->changer);
	const struct target_settings *const *settings;
	struct err unended = { 0 };
	struct target *gone;
	int result = 0;
	size_t count;

	pthread_mutex_lock(&targets->lock);
	gone = take_gone(targets, setup);
	pthread_mutex_unlock(&targets->lock);
	end(gone);
	targets->ports.settings(targets->ports.context, setup, &settings, &count);
	for (size_t i = 0; i < count && result == 0; i++)
		result = begin(targets, settings[i], err);
	if (end_alarms(targets, setup, &unended) < 0)
		log_error("targets.failed", F_ERR(&unended));
	setup_release(setup);
	targets_wake(targets, NULL);
	return result;
}

int targets_start(struct targets *targets, struct err *err)
{
	return targets_reload(targets, err);
}

void targets_wake(struct targets *targets, const char *name)
{
	pthread_mutex_lock(&targets->lock);
	for (struct target *target = targets->first; target; target = target->next)
		if (!name || strcmp(target->name, name) == 0)
			target_wake(target, true);
	pthread_mutex_unlock(&targets->lock);
}

void targets_stop(struct targets *targets)
{
	struct target *all;

	if (!targets)
		return;
	pthread_mutex_lock(&targets->lock);
	targets->stopped = true;
	all = targets->first;
	targets->first = NULL;
	pthread_mutex_unlock(&targets->lock);
	end(all);
}

void targets_destroy(struct targets *targets)
{
	if (!targets)
		return;
	targets_stop(targets);
	pthread_mutex_destroy(&targets->lock);
	free(targets);
}

/* --- how they do --- */

static int fill_running(struct targets *targets, struct arena *arena, struct target_state *state)
{
	struct target *target;

	pthread_mutex_lock(&targets->lock);
	target = find(targets, state->name);
	if (target) {
		int64_t left_us;

		pthread_mutex_lock(&target->lock);
		left_us = target->retry_us - clock_monotonic_us();
		state->failing = target->failing;
		state->held = target->held;
		state->problem = arena_strdup(arena, target->problem ? target->problem : "");
		state->failing_since_s = target->failing_since_s;
		state->delivered_s = target->delivered_s;
		if (target->failing)
			state->next_try_s = clock_now_s() + (left_us > 0 ? left_us / 1000000 : 0);
		pthread_mutex_unlock(&target->lock);
	}
	pthread_mutex_unlock(&targets->lock);
	return 0;
}

static int fill(struct targets *targets, struct setup *setup, struct store *store,
		struct arena *arena, const char *name, struct target_state *state, struct err *err)
{
	const struct target_kind *kind;
	const struct target_settings *settings = targets_find(targets, setup, name, &kind);

	*state = (struct target_state){ .name = arena_strdup(arena, name),
					.kind = "",
					.problem = "" };
	if (settings) {
		state->kind = kind->name;
		state->enabled = settings->enabled;
		state->keeps_state = kind->keeps_state;
		state->can_compare = kind->has != NULL;
	}
	if (change_target_reconciled(store, name, &state->reconciled_s, err) < 0)
		return -1;
	if (!state->name ||
	    store_delivery_counts(store, name, clock_now_s(), &state->counts, err) < 0)
		return -1;
	return fill_running(targets, arena, state);
}

static bool is_listed(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Those that are configured, then those that only have rows. */
static int list_names(struct targets *targets, struct setup *setup, struct store *store,
		      struct arena *arena, const char ***ret_names, size_t *ret_count,
		      struct err *err)
{
	const struct target_settings *const *settings;
	const char *const *stored, **names;
	size_t configured, rows, count = 0;

	targets->ports.settings(targets->ports.context, setup, &settings, &configured);
	if (store_delivery_targets(store, arena, &stored, &rows, err) < 0)
		return -1;
	names = arena_alloc_array(arena, configured + rows + 1, sizeof(*names));
	if (!names)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < configured; i++)
		names[count++] = settings[i]->name.text;
	for (size_t i = 0; i < rows; i++)
		if (!is_listed(names, count, stored[i]))
			names[count++] = stored[i];
	*ret_names = names;
	*ret_count = count;
	return 0;
}

static int list_states(struct targets *targets, struct setup *setup, struct store *store,
		       struct arena *arena, struct target_state **ret_states, size_t *ret_count,
		       struct err *err)
{
	struct target_state *states;
	const char **names = NULL;
	size_t count = 0;

	if (list_names(targets, setup, store, arena, &names, &count, err) < 0)
		return -1;
	states = arena_alloc_array(arena, count + 1, sizeof(*states));
	if (!states)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		if (fill(targets, setup, store, arena, names[i], &states[i], err) < 0)
			return -1;
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	*ret_states = states;
	*ret_count = count;
	return 0;
}

int targets_list(struct targets *targets, struct store *store, struct arena *arena,
		 struct target_state **ret_states, size_t *ret_count, struct err *err)
{
	struct setup *setup = changer_setup(targets->changer);
	int result = list_states(targets, setup, store, arena, ret_states, ret_count, err);

	setup_release(setup);
	return result;
}

/* --- figures --- */

static void head(struct strbuf *out, const char *name, const char *type, const char *help)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metrics_outcomes(struct targets *targets, struct strbuf *out)
{
	static const char name[] = "rolebridge_target_deliveries_total";

	head(out, name, "counter", "Attempts to deliver, by what became of them.");
	pthread_mutex_lock(&targets->lock);
	for (struct target *target = targets->first; target; target = target->next) {
		const struct {
			const char *word;
			uint64_t value;
		} values[] = {
			{ "delivered", atomic_load(&target->sent) },
			{ "later", atomic_load(&target->put_off) },
			{ "failed", atomic_load(&target->failed) },
			{ "refused", atomic_load(&target->refused) },
		};

		for (size_t i = 0; i < ARRAY_LEN(values); i++)
			strbuf_printf(out, "%s{target=\"%s\",outcome=\"%s\"} %llu\n", name,
				      target->name, values[i].word,
				      (unsigned long long)values[i].value);
	}
	pthread_mutex_unlock(&targets->lock);
}

static void metrics_states(const struct target_state *states, size_t count, struct strbuf *out)
{
	static const char queue[] = "rolebridge_target_queue";
	static const char oldest[] = "rolebridge_target_oldest_seconds";
	static const char up[] = "rolebridge_target_up";
	int64_t now_s = clock_now_s();

	head(out, queue, "gauge",
	     "Deliveries: not tried yet, failed before and to be tried again, dead letters.");
	for (size_t i = 0; i < count; i++)
		strbuf_printf(out,
			      "%s{target=\"%s\",state=\"waiting\"} %lld\n"
			      "%s{target=\"%s\",state=\"failing\"} %lld\n"
			      "%s{target=\"%s\",state=\"dead\"} %lld\n",
			      queue, states[i].name,
			      (long long)(states[i].counts.waiting - states[i].counts.failing),
			      queue, states[i].name, (long long)states[i].counts.failing, queue,
			      states[i].name, (long long)states[i].counts.dead);
	head(out, oldest, "gauge", "Age of the oldest delivery that waits.");
	for (size_t i = 0; i < count; i++)
		strbuf_printf(out, "%s{target=\"%s\"} %lld\n", oldest, states[i].name,
			      states[i].counts.oldest_s
				      ? (long long)(now_s - states[i].counts.oldest_s)
				      : 0LL);
	head(out, up, "gauge", "1 while the last attempt to deliver did not fail.");
	for (size_t i = 0; i < count; i++)
		if (states[i].enabled)
			strbuf_printf(out, "%s{target=\"%s\"} %d\n", up, states[i].name,
				      !states[i].failing);
}

void targets_metrics(struct targets *targets, struct store *store, struct strbuf *out)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)16 * 1024 * 1024);
	struct target_state *states;
	struct err err = { 0 };
	size_t count;

	metrics_outcomes(targets, out);
	if (store && arena && targets_list(targets, store, arena, &states, &count, &err) == 0)
		metrics_states(states, count, out);
	for (const struct target_kind *const *kind = targets->ports.kinds; *kind; kind++)
		if ((*kind)->metrics)
			(*kind)->metrics(out);
}
