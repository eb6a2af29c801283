/*
 * A run of changes: what happened in a directory since it was last looked at.
 *
 * Enters: records that are new or changed, effective groups of people whose own entry is as it was, keys
 * that are gone, entries that cannot be processed any more. Leaves: an applied plan, a held one, a
 * report. Fails: our own side (store, memory), a source that was not read as a whole before; nothing of
 * the run stays then.
 *
 * Nothing is looked at before the end: the last word about a key counts, and a run that is aborted cost
 * nothing. The setup is that of the end, so that no reload comes between.
 *
 * The cost is that of the people who changed. What is known of the others is kept with the source's
 * slot: the table of digests, who waits in held plans, how many there are of what the limits count.
 *
 * What waits in the source's held plan waits on. Whoever waits there and is changed is evaluated as a
 * whole; as long as what waits of them is the same, and nothing else has to wait, the plan stands as it
 * is. Else it is made anew: those of this run, and all others as they were.
 *
 * At most 500 people of whom nothing else waits than before are one transaction, with the plan's row and
 * one wait for the disk. More are stored as a plan first, as a full read's are (run.c).
 */
#include "pending.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

void changes_destroy(struct changes *changes)
{
	if (!changes)
		return;
	free(changes->items);
	free(changes->waiting_now);
	free(changes->waiting_users);
	hash_table_destroy(changes->places);
	hash_table_destroy(changes->looked);
	strbuf_finish(&changes->record);
	free(changes);
}

int changes_begin(struct sync *sync, const struct actor *actor, struct err *err)
{
	struct source_slot *slot = sync->slot;

	sync->changes = calloc(1, sizeof(*sync->changes));
	if (!sync->changes)
		return changes_no_memory(err);
	sync->changes->record = STRBUF(RECORD_MAX);
	sync->changes->due = slot->use == SLOT_DUE;
	sync->source = arena_strdup(sync->texts, slot->name);
	sync->cause = arena_printf(sync->texts, "sync %s", slot->name);
	if (actor_keep(sync->texts, actor, &sync->actor, err) < 0)
		return -1;
	if (!sync->source || !sync->cause)
		return changes_no_memory(err);
	if (!slot->reader)
		slot->reader = store_open(sync->changer->path, STORE_READ, err);
	if (!slot->reader)
		return -1;
	sync->store = slot->reader;
	/* Who is due is known by user, and their identities stay as they are. */
	if (slot->table || sync->changes->due)
		return 0;
	return known_load(slot->reader, slot->name, &slot->table, err);
}

/* --- groups that are larger or smaller now --- */

static int compare_rows(const void *a, const void *b)
{
	const struct group_registry_row *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

/* Of a group told twice the last word counts. */
static bool is_told_again(const struct sync *sync, size_t at)
{
	for (size_t i = at + 1; i < sync->group_count; i++)
		if (sync->groups[i].id == sync->groups[at].id)
			return true;
	return false;
}

static int note_groups(struct sync *sync, struct err *err)
{
	struct group_registry_row *rows;
	size_t count;
	uint32_t next;

	if (sync->group_count == 0)
		return 0;
	sync->rows = arena_alloc_array(sync->texts, sync->group_count, sizeof(*sync->rows));
	if (!sync->rows)
		return changes_no_memory(err);
	if (store_groups_load(sync->store, sync->texts, &rows, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < sync->group_count; i++) {
		const struct group_registry_row wanted = { .id = sync->groups[i].id };
		const struct group_registry_row *row =
			count ? bsearch(&wanted, rows, count, sizeof(*rows), compare_rows) : NULL;

		/* Not there: no rule names it any more. */
		if (!row || is_told_again(sync, i) || row->members == sync->groups[i].members)
			continue;
		sync->rows[sync->row_count] = *row;
		sync->rows[sync->row_count++].members = sync->groups[i].members;
	}
	return 0;
}

static bool group_is_held(const struct sync *sync, uint32_t id)
{
	const struct plan_totals *totals = sync->run.draft.totals;
	char text[16];

	snprintf(text, sizeof(text), "%u", id);
	if (held_users_category(&sync->own, LIMIT_GROUP, text))
		return true;
	for (size_t i = 0; totals && i < plan_totals_size(totals); i++) {
		const struct plan_total *total = plan_totals_at((struct plan_totals *)totals, i);

		if (total->kind == LIMIT_GROUP && total->held && strcmp(total->subject, text) == 0)
			return true;
	}
	return false;
}

static int write_groups(struct changer *changer, const struct sync *sync, struct err *err)
{
	/* A loss that is held is measured against the size before it. */
	for (size_t i = 0; i < sync->row_count; i++)
		if (!group_is_held(sync, sync->rows[i].id) &&
		    store_group_put(changer->store, &sync->rows[i], err) < 0)
			return -1;
	return 0;
}

/* --- the end --- */

static int write_source(struct changer *changer, const struct sync *sync, struct err *err)
{
	struct source_state state = sync->state;

	state.name = sync->source;
	state.last_read_s = sync->now_s;
	if (sync->server[0])
		state.server = sync->server;
	return store_source_set(changer->store, &state, err);
}

/* Whoever is processed again is no longer listed as one who cannot be. */
static int forget_quarantined(struct changer *changer, const struct sync *sync, struct err *err)
{
	int any = store_quarantine_any(changer->store, sync->source, err);

	for (size_t i = 0; any > 0 && i < sync->changes->count; i++) {
		const struct pending *item = &sync->changes->items[i];

		if ((item->what == PENDING_RECORD || item->what == PENDING_GONE) &&
		    store_quarantine_forget(changer->store, sync->source, item->key, err) < 0)
			return -1;
	}
	return any < 0 ? -1 : 0;
}

static int on_ready(struct changer *changer, struct run *run UNUSED, void *context, struct err *err)
{
	struct sync *sync = context;

	if (sync->changes->due)
		return store_due_remove(changer->store, sync->source, sync->now_s, err) < 0
			       ? -1
			       : due_load(changer, err);
	/* First: who is not well in this very run is put there again. */
	if (forget_quarantined(changer, sync, err) < 0 || write_groups(changer, sync, err) < 0 ||
	    write_source(changer, sync, err) < 0)
		return -1;
	sync->quarantine_at = 0;
	if (sync_store_quarantined(changer, sync, BATCH_PEOPLE, err) < 0)
		return -1;
	change_step("source");
	return 0;
}

static int more_quarantined(struct changer *changer, struct job *job, struct err *err)
{
	return sync_store_quarantined(changer, job->context, BATCH_PEOPLE, err);
}

static bool is_small(const struct sync *sync)
{
	return sync->run.draft.batches == 0 && sync->run.keep_held;
}

static bool is_nothing(const struct sync *sync)
{
	return sync->run.draft.people == 0 && sync->run.keep_held && sync->row_count == 0 &&
	       sync->quarantined_count == 0 && !sync->changes->due;
}

static int carry_out(struct sync *sync, struct err *err)
{
	struct run *run = &sync->run;

	if (changes_judge_held(sync, err) < 0)
		return -1;
	if (is_nothing(sync))
		return 0;
	if ((is_small(sync) ? run_carry_out_small(run, err) : run_carry_out_rest(run, err)) < 0)
		return -1;
	for (sync->quarantine_at = BATCH_PEOPLE; sync->quarantine_at < sync->quarantined_count;
	     sync->quarantine_at += BATCH_PEOPLE)
		if (writer_bulk(sync->changer, more_quarantined, sync, err) < 0)
			return -1;
	return 0;
}

/* Only what was read as a whole can be followed; and only for the groups it was asked for. */
int changes_check_source(struct sync *sync, struct err *err)
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
	if (sync->changes->due)
		return 0;
	if (sync->state.last_complete_s == 0)
		return err_refuse(err, ERR_CONFLICT, "not-read",
				  "source '%s' was never read as a whole", sync->source);
	if (sync->setup->groups_stale & (source_mask)1 << sync->number)
		return err_refuse(err, ERR_CONFLICT, "groups-unread",
				  "source '%s' was not yet asked for all groups that rules name",
				  sync->source);
	for (size_t i = 0; i < sync->group_count; i++)
		if (!sync->groups[i].found)
			return err_refuse(err, ERR_CONFLICT, "group-vanished",
					  "a group of source '%s' is not there any more: it has to "
					  "be read as a whole",
					  sync->source);
	return 0;
}

static int open_run(struct sync *sync, struct err *err)
{
	const struct held_cache *held;
	struct run *run = &sync->run;
	uint64_t generation;

	sync->setup = changer_live_setup(sync->changer, &generation);
	if (sync_find_source(sync, sync->source, err) < 0 || changes_check_source(sync, err) < 0 ||
	    held_cache_get(sync->changer, sync->slot, sync->store, &held, err) < 0)
		return -1;
	sync->own = held->own;
	sync->others = held->others;
	run_init(run, sync->changer, sync->setup, sync->store, sync->source, &sync->actor, false,
		 sync->now_s, &sync->report);
	sync->run_ready = true;
	run->generation = generation;
	run->slot = sync->slot;
	run->draft.slot = sync->slot;
	run->draft.waiting = &sync->own;
	run->on_ready = on_ready;
	run->context = sync;
	if (first_sync_get(sync->store, sync->source, sync->texts, &sync->first_noted, err) < 0)
		return -1;
	run->draft.first_sync = sync->own.flags & PLAN_FIRST_SYNC || sync->first_noted;
	sync->linker = linker_create(sync->setup, sync->settings, sync->store);
	return sync->linker ? 0 : changes_no_memory(err);
}

/* One snapshot for all that is looked at: nobody waits for it, and each read is cheaper. */
static int look_and_judge(struct sync *sync, struct err *err)
{
	struct run *run = &sync->run;
	int result;

	if (store_begin(sync->store, err) < 0)
		return -1;
	result = open_run(sync, err);
	if (result == 0)
		result = changes_look_at_all(sync, err);
	if (result == 0)
		result = note_groups(sync, err);
	if (result == 0)
		result = limits_ask(&run->draft, run->report, &run->holds, &run->holds_bytes, err);
	store_rollback(sync->store);
	return result;
}

static int ensure_names(struct changer *changer, struct job *job, struct err *err)
{
	const struct sync *sync = job->context;

	return names_store(changer->store, &sync->setup->setup, err);
}

static int finish_with_bulk(struct sync *sync, struct err *err)
{
	struct source_slot *slot = sync->slot;

	if (look_and_judge(sync, err) < 0)
		return -1;
	/* Whoever is new needs the names of source and organization. */
	if (sync->run.draft.people > 0 && slot->named_generation != sync->run.generation) {
		if (writer_bulk(sync->changer, ensure_names, sync, err) < 0)
			return -1;
		slot->named_generation = sync->run.generation;
	}
	return carry_out(sync, err);
}

/* While another plan is being applied nobody waits for it who has to be out now. */
static int begin_bulk(struct sync *sync, bool *ret_taken, struct err *err)
{
	if (changer_bulk_try(sync->changer, ret_taken, err) < 0)
		return -1;
	if (*ret_taken)
		return 0;
	if (urgent_disable(sync, err) < 0)
		return -1;
	/* Who is due stays on the list until there is time for the rest. */
	if (sync->changes->due)
		return 0;
	*ret_taken = true;
	return changer_bulk_begin(sync->changer, err);
}

int changes_finish(struct sync *sync, const char *server, struct err *err)
{
	bool taken = false;
	int result;

	sync->server = server ? server : "";
	/* What is not whole says nothing. */
	if (!sync->complete ||
	    (sync->changes->count == 0 && sync->group_count == 0 && sync->quarantined_count == 0))
		return 0;
	if (changer_watch_clock(sync->changer, err) < 0 || begin_bulk(sync, &taken, err) < 0)
		return -1;
	if (!taken)
		return 0;
	result = finish_with_bulk(sync, err);
	changer_bulk_end(sync->changer);
	return result;
}

int sync_is_free(struct sync *sync, bool *ret_free, struct err *err)
{
	bool is_free = pthread_mutex_trylock(&sync->changer->bulk) == 0;

	if (is_free)
		changer_bulk_end(sync->changer);
	else if (urgent_disable(sync, err) < 0)
		return -1;
	*ret_free = is_free;
	return 0;
}
