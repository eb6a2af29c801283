/*
 * What waits of the people of a run of changes.
 *
 * Enters: those looked at of whom something waits, the run's draft and limits, the plan held before.
 * Leaves: the held plan as it stands, when of all of them the same waits as before; else what is to wait
 * anew, with everybody else as they were. Fails: store, memory.
 */
#include "pending.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

int changes_note_looked(struct sync *sync, int64_t user_id, struct hash128 key, struct err *err)
{
	struct changes *changes = sync->changes;
	struct hash128 print = user_id ? fingerprint128(&user_id, sizeof(user_id)) : key;
	uint32_t *place;
	int fresh;

	if (!changes->looked)
		changes->looked = hash_table_create(16, KEYS_MAX);
	fresh = changes->looked ? hash_table_put(changes->looked, print, &place) : -1;
	if (fresh < 0)
		return changes_no_memory(err);
	if (fresh == 0)
		return 0;
	if (changes->waiting_count == changes->waiting_capacity) {
		size_t capacity = changes->waiting_capacity ? changes->waiting_capacity * 2 : 16;
		struct hash256 *now = reallocarray(changes->waiting_now, capacity, sizeof(*now));
		int64_t *users;

		if (!now)
			return changes_no_memory(err);
		changes->waiting_now = now;
		users = reallocarray(changes->waiting_users, capacity, sizeof(*users));
		if (!users)
			return changes_no_memory(err);
		changes->waiting_users = users;
		changes->waiting_capacity = capacity;
	}
	*place = (uint32_t)changes->waiting_count;
	changes->waiting_users[changes->waiting_count] = user_id;
	changes->waiting_now[changes->waiting_count++] = (struct hash256){ { 0 } };
	return 0;
}

static struct hash256 *find_looked(const struct sync *sync, int64_t user_id, struct hash128 key)
{
	const struct changes *changes = sync->changes;
	struct hash128 print = user_id ? fingerprint128(&user_id, sizeof(user_id)) : key;
	uint32_t at;

	return changes->looked && hash_table_get(changes->looked, print, &at)
		       ? &changes->waiting_now[at]
		       : NULL;
}

static struct hash128 key_of(const struct person_change *change)
{
	const char *key = change->identity_count ? change->identities[0].key : "";

	return fingerprint128(key, strlen(key));
}

struct holding {
	struct sync *sync;
	struct arena *arena;
};

/* Of this run: what waits of each. */
static int hold_one(void *context, const struct person_change *change, struct err *err)
{
	struct holding *holding = context;
	struct sync *sync = holding->sync;
	struct run *run = &sync->run;
	struct person_change now, held;
	struct hash256 *looked;

	if (apply_split(run->draft.setup, run->draft.source, run->holds, change, holding->arena,
			&now, &held, err) < 0)
		return -1;
	if (person_change_is_empty(&held))
		return 0;
	looked = find_looked(sync, change->before.id, key_of(change));
	if (!looked)
		sync->changes->held_differs = true;
	else if (person_change_digest(&held, looked, err) < 0)
		return -1;
	return run_hold(run, &held, err);
}

/* Of the plan that waits: is it still so of those who were looked at? */
static int compare_one(void *context, const struct person_change *stored, struct err *err)
{
	struct holding *holding = context;
	struct person_change held = *stored;
	const struct hash256 *now;
	struct hash256 before;

	if (held_find_row(holding->sync->store, &held, holding->arena, err) < 0)
		return -1;
	now = find_looked(holding->sync, held.after.id, key_of(&held));
	if (!now)
		return 0;
	if (person_change_digest(stored, &before, err) < 0)
		return -1;
	holding->sync->changes->held_differs |= memcmp(now, &before, sizeof(before)) != 0;
	return 0;
}

static int keep_one(void *context, const struct person_change *stored, struct err *err)
{
	struct holding *holding = context;
	struct person_change held = *stored;

	if (held_find_row(holding->sync->store, &held, holding->arena, err) < 0)
		return -1;
	if (find_looked(holding->sync, held.after.id, key_of(&held)))
		return 0;
	return run_hold(&holding->sync->run, stored, err);
}

static int compare_looked(struct holding *holding, struct err *err)
{
	struct sync *sync = holding->sync;
	struct changes *changes = sync->changes;

	for (size_t i = 0; i < changes->waiting_count && !changes->held_differs; i++) {
		const struct held_user *held =
			changes->waiting_users[i] == 0
				? NULL
				: held_users_find(&sync->own, changes->waiting_users[i]);
		struct hash256 before;

		/* Outside, or in two plans: the plans themselves say. */
		if (!held)
			return held_each(sync->store, sync->source, holding->arena, compare_one,
					 holding, err);
		if (person_change_digest(held->change, &before, err) < 0)
			return -1;
		changes->held_differs |=
			memcmp(&changes->waiting_now[i], &before, sizeof(before)) != 0;
	}
	return 0;
}

/* The categories of the plan before hold on for those who stay in it. */
static int keep_categories(struct sync *sync, struct err *err)
{
	struct draft *draft = &sync->run.draft;

	if (!draft->totals)
		draft->totals = plan_totals_create();
	if (!draft->totals)
		return changes_no_memory(err);
	for (const struct held_category *category = sync->own.categories; category;
	     category = category->next)
		if (plan_totals_hold(draft->totals, category->kind, category->subject, err) < 0)
			return -1;
	return 0;
}

int changes_judge_held(struct sync *sync, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct holding holding = { sync, arena };
	struct run *run = &sync->run;

	if (!arena)
		return changes_no_memory(err);
	if (run->draft.batches > 0 && draft_flush(&run->draft, err) < 0)
		return -1;
	if (plan_holds_any(run->holds) &&
	    draft_each(&run->draft, arena, hold_one, &holding, err) < 0)
		return -1;
	if (sync->changes->waiting_count > 0 && compare_looked(&holding, err) < 0)
		return -1;
	if (!sync->changes->held_differs) {
		run->keep_held = true;
		run_drop_held(run);
		return 0;
	}
	if (held_each(sync->store, sync->source, arena, keep_one, &holding, err) < 0)
		return -1;
	return keep_categories(sync, err);
}
