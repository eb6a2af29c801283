/*
 * Disable means now: those of a run of changes who must not wait for a plan that is being applied.
 *
 * Enters: a run of changes that waits for bulk. Leaves: whoever of it is disabled by their source, or gone,
 * may not sign in any more, by the road of people's requests, which goes before the batches of a plan.
 * Fails: as a run of changes does, and what only a full read can answer is refused here too.
 *
 * Nothing but that is done. Everything else about the same people waits: their stored record is that of
 * the source with the groups of before, so that a group's losses are still counted, and its digest is
 * zero, so that they are looked at once more even if the process ends in between.
 *
 * Limits are asked as ever. A disable counts for its own source, of which no other run is under way; the
 * losses of administrators are those that are committed, and that one remains is seen to in the transaction. More
 * people than one batch has wait: that is no everyday change. `urgent` is held from asking the limits
 * until the commit, so that two runs do not count past each other.
 */
#include "pending.h"

#include <string.h>

#include <rolebridge/base/util.h>

#define OUT (DISABLED_BY_SOURCE | DISABLED_GONE | (uint32_t)SUSPENDED_SIGN_IN)

static bool is_new(const struct pending *item)
{
	return !item->judged && (item->what == PENDING_RECORD || item->what == PENDING_GONE ||
				 item->what == PENDING_DUE);
}

static bool is_any(const struct changes *changes)
{
	size_t count = 0;

	for (size_t i = 0; i < changes->count; i++)
		count += is_new(&changes->items[i]);
	return count > 0 && count <= change_batch_people;
}

/* Nothing but that they are out, and what is known of their identity. */
static void only_out(struct person_change *change)
{
	uint32_t out = change->after.disabled & ~change->before.disabled & OUT;
	int64_t version = change->after.version, updated_s = change->after.updated_s;

	*change = (struct person_change){ .before = change->before,
					  .after = change->before,
					  .identities = change->identities,
					  .identity_count = change->identity_count,
					  .cause = change->cause };
	change->after.disabled |= out;
	change->after.version = version;
	change->after.updated_s = updated_s;
}

/* The new record with the groups of the stored one. */
static int with_old_groups(struct sync *sync, const struct pending *item,
			   const struct identity_row *row, struct err *err)
{
	struct strbuf *record = &sync->changes->record;
	const struct schema *schema = sync->setup->setup.decision.schema;
	struct identity before;

	strbuf_clear(record);
	if (record_decode(row->record, row->record_size, schema, sync->number, sync->arena, &before,
			  err) < 0)
		return -1;
	return record_replace_groups(item->record, item->record_size, before.groups,
				     before.group_count, before.groups_complete, record, err);
}

static int evaluate_record(struct sync *sync, const struct pending *item,
			   struct person_change *ret_change, struct err *err)
{
	struct identity_change identity = { .source = sync->source,
					    .key = item->key,
					    .read_s = sync->now_s };
	const struct schema *schema = sync->setup->setup.decision.schema;
	const struct identity_row *row;
	struct identity_row *rows;
	struct identity now;
	enum evaluated outcome;
	const char *problem;
	size_t count;

	if (record_decode(item->record, item->record_size, schema, sync->number, sync->arena, &now,
			  err) < 0)
		return -1;
	if (!identity_is_disabled(&now, sync->now_s))
		return 0;
	if (store_identities_of(sync->store, item->user_id, sync->arena, &rows, &count, err) < 0)
		return -1;
	row = changes_find_row(sync, item, rows, count);
	if (!row)
		return 0;
	if (with_old_groups(sync, item, row, err) < 0)
		return -1;
	identity.record = sync->changes->record.data;
	identity.record_size = sync->changes->record.size;
	return sync_evaluate(sync, sync->setup, item->user_id, &identity, ret_change, &outcome,
			     &problem, err);
}

static int evaluate(struct sync *sync, const struct pending *item, struct person_change *ret_change,
		    struct err *err)
{
	enum evaluated outcome;
	const char *problem;

	switch (item->what) {
	case PENDING_RECORD: return evaluate_record(sync, item, ret_change, err);
	case PENDING_GONE:
		return changes_evaluate_gone(sync, item->key, item->user_id, ret_change, err);
	case PENDING_DUE:
		return sync_evaluate(sync, sync->setup, item->user_id, NULL, ret_change, &outcome,
				     &problem, err);
	case PENDING_NOTHING:
	case PENDING_GROUPS: break;
	}
	return 0;
}

static int judge_one(struct sync *sync, struct draft *draft, struct pending *item, struct err *err)
{
	struct person_change change = { 0 };
	const struct known_entry *entry;
	struct err problem;

	item->judged = true;
	if (item->what != PENDING_DUE) {
		entry = known_find(sync->slot->table, item->print);
		item->user_id = entry ? known_user(entry) : 0;
	}
	if (item->user_id == 0)
		return 0;
	arena_reset(sync->arena);
	err_clear(&problem);
	if (evaluate(sync, item, &change, &problem) < 0) {
		/* A bad entry is for the run itself to put aside. */
		if (problem.code == ERR_PROTOCOL || problem.code == ERR_INVALID)
			return 0;
		if (err)
			*err = problem;
		return -1;
	}
	if (change.before.id == 0 || !user_may_sign_in(&change.before) ||
	    (change.after.disabled & ~change.before.disabled & OUT) == 0)
		return 0;
	only_out(&change);
	return draft_add(draft, &change, err);
}

static int judge_all(struct sync *sync, struct run *run, struct err *err)
{
	struct changes *changes = sync->changes;

	for (size_t i = 0; i < changes->count; i++)
		if (is_new(&changes->items[i]) &&
		    judge_one(sync, &run->draft, &changes->items[i], err) < 0)
			return -1;
	return limits_ask(&run->draft, run->report, &run->holds, &run->holds_bytes, err);
}

static int load_waiting(struct sync *sync, struct arena *arena, struct err *err)
{
	if (held_users_load(sync->store, sync->source, true, arena, &sync->own, err) < 0)
		return -1;
	return held_users_load(sync->store, sync->source, false, arena, &sync->others, err);
}

/* In one snapshot; not with what is kept for runs that hold bulk. */
static int plan_out(struct sync *sync, struct run *run, struct arena *arena, struct err *err)
{
	int result;

	if (store_begin(sync->store, err) < 0)
		return -1;
	result = changes_check_source(sync, err);
	if (result == 0)
		result = load_waiting(sync, arena, err);
	if (result == 0)
		result = judge_all(sync, run, err);
	store_rollback(sync->store);
	return result;
}

/* --- who is held stays as they are, to the last mark: the run itself holds them, and says so --- */

struct sifting {
	struct run *run;
	struct arena *arena;
	struct strbuf kept;
	uint32_t people;
};

static int sift_one(void *context, const struct person_change *change, struct err *err)
{
	struct sifting *sifting = context;
	const struct run *run = sifting->run;
	struct person_change now, held;

	if (apply_split(run->draft.setup, run->draft.source, run->holds, change, sifting->arena,
			&now, &held, err) < 0)
		return -1;
	if (!person_change_is_empty(&held))
		return 0;
	person_change_encode(change, &sifting->kept);
	sifting->people++;
	return 0;
}

static int sift(struct run *run, struct arena *arena, struct err *err)
{
	struct sifting sifting = { .run = run, .arena = arena, .kept = STRBUF(PLAN_BYTES_MAX) };
	int result = 0;

	if (!plan_holds_any(run->holds))
		return 0;
	result = draft_each(&run->draft, arena, sift_one, &sifting, err);
	if (result == 0 && strbuf_failed(&sifting.kept))
		result = err_set(err, ERR_MEMORY, "no memory for a run of changes");
	strbuf_finish(&run->draft.batch);
	run->draft.batch = sifting.kept;
	run->draft.people = sifting.people;
	return result;
}

static void count_out(struct run_report *report, const struct run_report *out)
{
	report->updated += out->updated;
	report->disabled += out->disabled;
}

static int carry_out(struct sync *sync, struct run_report *report, struct arena *arena,
		     struct err *err)
{
	struct run run;
	int result;

	run_init(&run, sync->changer, sync->setup, sync->store, sync->source, &sync->actor, false,
		 sync->now_s, report);
	run.slot = sync->slot;
	run.draft.waiting = &sync->own;
	run.urgent = true;
	result = plan_out(sync, &run, arena, err);
	if (result == 0)
		result = sift(&run, sync->arena, err);
	if (result == 0 && run.draft.people > 0)
		result = run_carry_out_small(&run, err);
	run_finish(&run);
	return result;
}

static int with_setup(struct sync *sync, struct run_report *report, struct arena *arena,
		      struct err *err)
{
	int result;

	sync->setup = changer_live_setup(sync->changer, NULL);
	result = sync_find_source(sync, sync->source, err);
	if (result == 0)
		result = carry_out(sync, report, arena, err);
	/* The run itself begins with the setup of its end. */
	setup_release(&sync->setup->setup);
	sync->setup = NULL;
	sync->settings = NULL;
	sync->own = sync->others = (struct held_users){ 0 };
	return result;
}

int urgent_disable(struct sync *sync, struct err *err)
{
	AUTO(arena) struct arena *arena = NULL;
	struct run_report report;
	int result;

	if (!is_any(sync->changes))
		return 0;
	arena = arena_create(PLAN_BYTES_MAX);
	run_report_init(&report);
	if (!arena || !report.arena) {
		run_report_finish(&report);
		return err_set(err, ERR_MEMORY, "no memory for a run of changes");
	}
	pthread_mutex_lock(&sync->changer->urgent);
	result = with_setup(sync, &report, arena, err);
	pthread_mutex_unlock(&sync->changer->urgent);
	if (result == 0)
		count_out(&sync->report, &report);
	run_report_finish(&report);
	return result;
}
