/*
 * A sync run.
 *
 * Enters: identities of one source, entries that cannot be processed, what became of the groups asked
 * for; at the end whether the read was whole. Leaves: an applied plan, a held one, a report. Fails: our
 * own side (store, memory, a run that is under way); nothing of the run stays then.
 *
 * What comes is looked at while the source goes on reading (sync_identity.c). Two things are known only at
 * the end: that the read was not whole, and that a group has vanished. Then the draft is gone through once
 * more (rewrite.c) before any limit is asked.
 */
#include "sync.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "restore.h"

/* What a run of changes holds in memory at most: who changes more than that is read as a whole. */
#define CHANGES_BYTES_MAX ((size_t)1 << 30)
/* Applied plans and cleared alarms are listed for so long; the audit log keeps what they did. */
#define HISTORY_S (90 * (int64_t)86400)

/* --- begin --- */

int sync_find_source(struct sync *sync, const char *name, struct err *err)
{
	sync->settings = setup_find_source(&sync->setup->setup, name);
	if (!sync->settings)
		return err_set(err, ERR_NOT_FOUND, "no source '%s' is configured", name);
	/* It would find everybody missing. */
	if (source_signs_in(sync->settings))
		return err_refuse(
			err, ERR_INVALID, "not-readable",
			"source '%s' speaks when somebody signs in: there is nothing to read",
			name);
	sync->number = (uint16_t)schema_find_source(sync->setup->setup.decision.schema, name,
						    strlen(name));
	return 0;
}

/* Is everybody to be looked at: groups known anew, or groups this source was never asked for? */
static int read_force(struct sync *sync, struct err *err)
{
	const char *name = arena_printf(sync->texts, "force:%s", sync->source);
	const char *value;

	if (!name)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	if (store_meta_get(sync->store, name, sync->texts, &value, err) < 0)
		return -1;
	sync->force_noted = value && strcmp(value, "1") == 0;
	if (sync->force_noted || sync->setup->groups_stale & (source_mask)1 << sync->number)
		sync->force_all = true;
	return 0;
}

static int load_known(struct sync *sync, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_source_get(sync->store, sync->source, sync->texts, &sync->state, &missing) < 0) {
		if (missing.code != ERR_NOT_FOUND) {
			if (err)
				*err = missing;
			return -1;
		}
		sync->state = (struct source_state){ .name = sync->source };
	}
	sync->run.draft.first_sync = sync->state.last_complete_s == 0;
	if (!sync->slot->table &&
	    known_load(sync->store, sync->source, &sync->slot->table, err) < 0)
		return -1;
	known_clear_flags(sync->slot->table, TABLE_SEEN);
	if (read_force(sync, err) < 0 ||
	    held_users_load(sync->store, sync->source, true, sync->texts, &sync->own, err) < 0 ||
	    held_users_load(sync->store, sync->source, false, sync->texts, &sync->others, err) < 0)
		return -1;
	if (first_sync_get(sync->store, sync->source, sync->texts, &sync->first_noted, err) < 0)
		return -1;
	if (sync->own.flags & PLAN_FIRST_SYNC || sync->first_noted)
		sync->run.draft.first_sync = true;
	sync->run.draft.waiting = &sync->own;
	return 0;
}

static int ensure_names(struct changer *changer, struct job *job, struct err *err)
{
	struct sync *sync = job->context;

	return names_store(changer->store, &sync->setup->setup, err);
}

static int open_sync(struct sync *sync, struct setup *preview, const char *source,
		     const struct actor *actor, struct err *err)
{
	struct changer *changer = sync->changer;

	sync->store = store_open(changer->path, STORE_READ, err);
	if (!sync->store)
		return -1;
	sync->setup = preview ? live_setup_create(preview, sync->store, err)
			      : changer_live_setup(changer, &sync->run.generation);
	if (!sync->setup || sync_find_source(sync, source, err) < 0)
		return -1;
	sync->source = sync->settings->name.text;
	sync->cause = arena_printf(sync->texts, "sync %s", source);
	if (actor_keep(sync->texts, actor, &sync->actor, err) < 0)
		return -1;
	if (!sync->cause)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	if (!sync->dry_run && writer_request(changer, ensure_names, sync, err) < 0)
		return -1;
	uint64_t generation = sync->run.generation;

	run_init(&sync->run, changer, sync->setup, sync->store, sync->source, &sync->actor,
		 sync->dry_run, sync->now_s, &sync->report);
	sync->run_ready = true;
	sync->run.generation = generation;
	sync->run.slot = sync->slot;
	sync->linker = linker_create(sync->setup, sync->settings, sync->store);
	if (!sync->linker)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	sync->force_all = preview != NULL;
	return load_known(sync, err);
}

static void destroy_sync(struct sync *sync, bool forget_table)
{
	linker_destroy(sync->linker);
	if (sync->run_ready)
		run_finish(&sync->run);
	if (sync->slot) {
		/* A dry run's is for itself: what is written meanwhile does not follow in it. */
		sync->slot->forget |= forget_table || sync->dry_run;
		slot_release(sync->changer, sync->slot);
	}
	if (sync->frozen)
		setup_release(&sync->frozen->setup);
	if (sync->setup)
		setup_release(&sync->setup->setup);
	/* A run of changes leaves its handle for the next one. */
	if (sync->kind == SYNC_FULL)
		store_close(sync->store);
	changes_destroy(sync->changes);
	run_report_finish(&sync->report);
	free(sync->groups);
	free(sync->quarantined);
	hash_table_destroy(sync->frozen_names);
	arena_destroy(sync->texts);
	arena_destroy(sync->arena);
	free(sync);
}

struct sync *sync_begin(struct changer *changer, struct setup *setup, const char *source,
			const struct actor *actor, bool dry_run, struct err *err)
{
	struct sync *sync = calloc(1, sizeof(*sync));

	if (!sync) {
		err_set(err, ERR_MEMORY, "no memory for a sync");
		return NULL;
	}
	/* A dry run writes nothing, and lives with a step that nobody has seen yet. */
	if (!dry_run && changer_watch_clock(changer, err) < 0) {
		free(sync);
		return NULL;
	}
	sync->changer = changer;
	sync->dry_run = dry_run;
	sync->now_s = change_now_s();
	sync->started_us = clock_monotonic_us();
	run_report_init(&sync->report);
	sync->texts = arena_create((size_t)4 << 30);
	sync->arena = arena_create(PERSON_BYTES_MAX);
	if (!sync->texts || !sync->arena || !sync->report.arena)
		err_set(err, ERR_MEMORY, "no memory for a sync");
	else if (setup && !dry_run)
		err_set(err, ERR_INVALID, "another configuration can only be previewed");
	else if ((sync->slot = slot_take(changer, source, dry_run ? SLOT_DRY_RUN : SLOT_WHOLE,
					 err)) != NULL &&
		 open_sync(sync, setup, source, actor, err) == 0)
		return sync;
	destroy_sync(sync, true);
	return NULL;
}

static struct sync *begin_changes(struct changer *changer, const char *source, enum slot_use use,
				  const struct actor *actor, struct err *err)
{
	struct sync *sync = calloc(1, sizeof(*sync));

	if (!sync) {
		err_set(err, ERR_MEMORY, "no memory for a sync");
		return NULL;
	}
	sync->changer = changer;
	sync->kind = SYNC_CHANGES;
	sync->now_s = change_now_s();
	sync->started_us = clock_monotonic_us();
	run_report_init(&sync->report);
	sync->texts = arena_create(CHANGES_BYTES_MAX);
	sync->arena = arena_create(PERSON_BYTES_MAX);
	if (!sync->texts || !sync->arena || !sync->report.arena)
		err_set(err, ERR_MEMORY, "no memory for a sync");
	else if ((sync->slot = slot_take(changer, source, use, err)) != NULL &&
		 changes_begin(sync, actor, err) == 0)
		return sync;
	destroy_sync(sync, true);
	return NULL;
}

struct sync *sync_begin_changes(struct changer *changer, const char *source,
				const struct actor *actor, struct err *err)
{
	return begin_changes(changer, source, SLOT_CHANGES, actor, err);
}

struct sync *sync_begin_due(struct changer *changer, const char *source, const struct actor *actor,
			    struct err *err)
{
	return begin_changes(changer, source, SLOT_DUE, actor, err);
}

void sync_abort(struct sync *sync)
{
	/* Nothing that a run of changes gathers is known before its end. */
	destroy_sync(sync, sync->kind == SYNC_FULL);
}

/* --- groups --- */

int sync_group(void *context, uint32_t group_id, bool found, uint64_t members, struct err *err)
{
	struct sync *sync = context;

	if (sync->group_count == sync->group_capacity) {
		size_t capacity = sync->group_capacity ? sync->group_capacity * 2 : 64;
		struct seen_group *grown = reallocarray(sync->groups, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for groups");
		sync->groups = grown;
		sync->group_capacity = capacity;
	}
	sync->groups[sync->group_count++] = (struct seen_group){
		.id = group_id,
		.found = found,
		.members = members > INT64_MAX ? INT64_MAX : (int64_t)members,
	};
	return 0;
}

/* --- the end --- */

/* Where there were people nobody is left: that is a mistake until somebody says otherwise. */
static void check_empty(struct sync *sync, bool *complete, const char **problem)
{
	if (!*complete || sync->report.entries > 0 || sync->state.entries == 0)
		return;
	*complete = false;
	*problem = "empty-result";
}

static void check_canaries(struct sync *sync, bool *complete, const char **problem)
{
	const struct located_list *canaries = &sync->settings->canaries;

	/* The ldap worker looks for them itself, also among groups. */
	if (!*complete || strcmp(sync->settings->type.text, "ldap") == 0)
		return;
	for (size_t i = 0; i < canaries->count && i < 64; i++)
		if (!(sync->canaries_seen & (uint64_t)1 << i)) {
			const char *text = arena_printf(sync->texts, "canary '%s' is not there",
							canaries->items[i].text);

			*complete = false;
			*problem = text ? text : "a canary is not there";
			return;
		}
}

static int quarantine_job(struct changer *changer, struct job *job, struct err *err)
{
	return sync_store_quarantined(changer, job->context, BATCH_PEOPLE, err);
}

static int age_job(struct changer *changer, struct job *job, struct err *err)
{
	struct sync *sync = job->context;

	return store_quarantine_age(changer->store, sync->source, sync->now_s, err);
}

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	struct sync *sync = job->context;
	const struct setup *setup = &sync->setup->setup;
	int64_t now_s = setup_steady_s(setup, sync->now_s);

	if (sync->complete &&
	    store_quarantine_prune(changer->store, sync->source, sync->now_s, err) < 0)
		return -1;
	if (sync->complete && restore_note_read(changer, sync->source, err) < 0)
		return -1;
	if (store_plan_prune(changer->store, now_s - HISTORY_S, err) < 0 ||
	    store_alarm_prune(changer->store, now_s - HISTORY_S, err) < 0)
		return -1;
	return store_window_prune(changer->store, now_s - setup->policy->limits.window_s, err);
}

static int store_quarantined(struct sync *sync, struct err *err)
{
	for (; sync->quarantine_at < sync->quarantined_count; sync->quarantine_at += BATCH_PEOPLE)
		if (writer_bulk(sync->changer, quarantine_job, sync, err) < 0)
			return -1;
	return writer_bulk(sync->changer, prune_job, sync, err);
}

static int finish_real(struct sync *sync, struct err *err)
{
	struct live_setup *states;
	int result;

	if (changer_bulk_begin(sync->changer, err) < 0)
		return -1;
	result = sync_prepare(sync, err);
	if (result == 0)
		result = writer_bulk(sync->changer, age_job, sync, err);
	if (result == 0)
		result = run_carry_out(sync->active, err);
	if (result == 0)
		result = store_quarantined(sync, err);
	/* Groups are known anew: the setup in force says so, with the same configuration. */
	if (sync->ready) {
		states = live_setup_create(sync->setup->origin, sync->store, NULL);
		if (states)
			changer_put_setup(sync->changer, states);
	}
	changer_bulk_end(sync->changer);
	return result == 0 ? change_restore_look(sync->changer, err) : result;
}

static int finish_dry(struct sync *sync, struct err *err)
{
	if (sync_prepare(sync, err) < 0)
		return -1;
	return run_carry_out(sync->active, err);
}

int sync_finish(struct sync *sync, bool complete, const char *problem, const char *server,
		struct run_report *ret_report, struct err *err)
{
	struct run_report *report = &sync->report;
	int result;

	if (sync->kind == SYNC_FULL) {
		check_canaries(sync, &complete, &problem);
		check_empty(sync, &complete, &problem);
	}
	sync->complete = complete;
	sync->problem = problem ? problem : "";
	if (complete && sync->nameless)
		sync->problem = NAMELESS;
	sync->server = server ? server : "";
	sync->active = &sync->run;
	report->dry_run = sync->dry_run;
	report->complete = complete;
	report->problem = arena_strdup(report->arena, sync->problem);
	report->server = arena_strdup(report->arena, sync->server);
	report->started_s = sync->now_s;
	report_watch(report, ret_report);
	result = report->problem && report->server
			 ? 0
			 : err_set(err, ERR_MEMORY, "no memory for the report");
	if (result == 0 && sync->kind == SYNC_CHANGES)
		result = changes_finish(sync, server, err);
	else if (result == 0 && complete)
		result = sync_miss_unseen(sync, err);
	if (result == 0 && sync->kind == SYNC_FULL)
		result = sync->dry_run ? finish_dry(sync, err) : finish_real(sync, err);
	if (result == 0) {
		report->duration_ms = (clock_monotonic_us() - sync->started_us) / 1000;
		run_report_finish(ret_report);
		*ret_report = *report;
		*report = (struct run_report){ 0 };
	}
	if (sync->active != &sync->run)
		run_finish(sync->active);
	destroy_sync(sync, result < 0);
	return result;
}
