/*
 * What is known only at the end of a read.
 *
 * Enters: a run's draft, the groups a source reported, whether the read was whole. Leaves: the draft to
 * carry out, and what the store has to know about groups and source. Fails: store, memory.
 *
 * A group that was there and is not any more is frozen: whoever would lose something by it is evaluated
 * again with the group unknown. A group counts as there while any source that could know it had it in
 * its last whole read.
 *
 * An incomplete read adds at most: changes that take anything away are left for the next whole
 * read, which looks at these people again because their record stays the old one. What
 * remains of them is an explicit disable, which is a statement and no absence: it is written
 * into the stored record, with a digest that fits nothing.
 */
#include "sync.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define ARENA_MAX ((size_t)1 << 30)

/* --- groups --- */

static int compare_groups(const void *a, const void *b)
{
	const struct seen_group *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

/* Twice reported: found once is found. */
static void order_groups(struct sync *sync)
{
	size_t kept = 0;

	if (sync->group_count > 1)
		qsort(sync->groups, sync->group_count, sizeof(*sync->groups), compare_groups);
	for (size_t i = 0; i < sync->group_count; i++) {
		if (kept > 0 && sync->groups[kept - 1].id == sync->groups[i].id) {
			sync->groups[kept - 1].found |= sync->groups[i].found;
			if (sync->groups[i].members > sync->groups[kept - 1].members)
				sync->groups[kept - 1].members = sync->groups[i].members;
			continue;
		}
		sync->groups[kept++] = sync->groups[i];
	}
	sync->group_count = kept;
}

static int note_coverage(struct sync *sync, struct err *err)
{
	struct coverage *after = &sync->coverage_after;

	after->ids = arena_alloc_array(sync->texts, sync->group_count + 1, sizeof(*after->ids));
	after->found = arena_alloc_array(sync->texts, sync->group_count + 1, sizeof(*after->found));
	if (!after->ids || !after->found)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	for (size_t i = 0; i < sync->group_count; i++) {
		after->ids[i] = sync->groups[i].id;
		after->found[i] = sync->groups[i].found;
	}
	after->count = sync->group_count;
	return 0;
}

/* The last whole reads of the other sources. */
static int load_others(struct sync *sync, struct coverage **ret_others, struct err *err)
{
	const struct setup *setup = &sync->setup->setup;
	struct coverage *others =
		arena_alloc_array(sync->texts, setup->source_count + 1, sizeof(*others));

	if (!others)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	for (size_t i = 0; i < setup->source_count; i++)
		if (strcmp(setup->sources[i]->name.text, sync->source) != 0 &&
		    coverage_load(sync->store, setup->sources[i]->name.text, sync->texts,
				  &others[i], err) < 0)
			return -1;
	*ret_others = others;
	return 0;
}

static bool found_elsewhere(const struct sync *sync, const struct coverage *others, uint32_t id)
{
	for (size_t i = 0; i < sync->setup->setup.source_count; i++)
		if (coverage_get(&others[i], id) == 1)
			return true;
	return false;
}

static void judge_group(struct sync *sync, const struct seen_group *group,
			const struct coverage *others, struct group_registry_row *row)
{
	if (group->found) {
		/* Whoever is in it again gains by it only when they are looked at. */
		if (row->vanished)
			sync->force_next = true;
		row->found = true;
		row->vanished = row->released = false;
		row->vanished_s = 0;
		row->members = group->members;
	} else if (found_elsewhere(sync, others, group->id)) {
		return;
	} else if (row->found && !row->vanished) {
		row->vanished = true;
		row->vanished_s = sync->now_s;
		sync->vanished[sync->vanished_count++] = group->id;
	} else if (!row->found) {
		row->members = 0;
	}
}

static int judge_groups(struct sync *sync, struct err *err)
{
	struct group_registry_row *rows;
	struct coverage *others = NULL;
	size_t count, at = 0;
	uint32_t next;

	if (store_groups_load(sync->store, sync->texts, &rows, &count, &next, err) < 0 ||
	    load_others(sync, &others, err) < 0)
		return -1;
	sync->vanished =
		arena_alloc_array(sync->texts, sync->group_count + 1, sizeof(*sync->vanished));
	sync->rows = arena_alloc_array(sync->texts, sync->group_count + 1, sizeof(*sync->rows));
	if (!sync->vanished || !sync->rows)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	for (size_t i = 0; i < sync->group_count; i++) {
		while (at < count && rows[at].id < sync->groups[i].id)
			at++;
		if (at == count || rows[at].id != sync->groups[i].id)
			continue; /* of a preview, or no longer named by a rule */
		sync->rows[sync->row_count] = rows[at];
		judge_group(sync, &sync->groups[i], others, &sync->rows[sync->row_count++]);
	}
	return 0;
}

static int freeze(struct sync *sync, struct err *err)
{
	if (sync->vanished_count == 0)
		return 0;
	sync->frozen = live_setup_create(sync->setup->origin, sync->store, err);
	if (!sync->frozen)
		return -1;
	for (size_t i = 0; i < sync->vanished_count; i++)
		if (sync->vanished[i] < sync->frozen->states.count)
			sync->frozen->unknown[sync->vanished[i]] = 1;
	return live_setup_list_unknown(sync->frozen, err);
}

/* --- the draft once more --- */

static bool has_vanished(const struct sync *sync, const struct person_change *change)
{
	for (size_t i = 0; i < change->groups_lost_count; i++)
		for (size_t j = 0; j < sync->vanished_count; j++)
			if (change->groups_lost[i] == sync->vanished[j])
				return true;
	return false;
}

/* The stored record, disabled as the new one is. */
static int disable_in_record(struct sync *sync, const struct identity_change *delivered,
			     struct identity_change *ret_identity, bool *ret_known, struct err *err)
{
	const struct schema *schema = sync->setup->setup.decision.schema;
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);
	struct identity before, after;
	struct identity_row row;
	struct err missing;

	*ret_known = false;
	err_clear(&missing);
	if (store_identity_get(sync->store, delivered->source, delivered->key, sync->arena, &row,
			       &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = missing;
		return -1;
	}
	if (record_decode(row.record, row.record_size, schema, sync->number, sync->arena, &before,
			  err) < 0 ||
	    record_decode(delivered->record, delivered->record_size, schema, sync->number,
			  sync->arena, &after, err) < 0)
		return -1;
	before.disabled = after.disabled;
	before.disabled_from_s = after.disabled_from_s;
	before.disabled_by = after.disabled_by;
	record_encode(&before, schema, &record);
	*ret_identity = *delivered;
	ret_identity->digest = (struct hash128){ { 0 } };
	ret_identity->record_size = record.size;
	ret_identity->record =
		strbuf_failed(&record) ? NULL : arena_memdup(sync->arena, record.data, record.size);
	if (!ret_identity->record)
		return err_set(err, ERR_MEMORY, "no memory for an identity");
	*ret_known = true;
	return 0;
}

static int add_disable_only(struct sync *sync, const struct person_change *change, struct err *err)
{
	struct person_change only = { .before = change->before,
				      .after = change->before,
				      .cause = change->cause };
	struct identity_change identity;
	bool known;

	if (!(change->after.disabled & ~change->before.disabled & DISABLED_BY_SOURCE) ||
	    change->identity_count == 0 || !change->identities[0].record)
		return 0;
	if (disable_in_record(sync, &change->identities[0], &identity, &known, err) < 0)
		return -1;
	if (!known)
		return 0;
	only.after.disabled |= DISABLED_BY_SOURCE;
	only.after.version = change->after.version;
	only.after.updated_s = change->after.updated_s;
	only.identities = &identity;
	only.identity_count = 1;
	return draft_add(&sync->again.draft, &only, err);
}

static int rewrite_person(void *context, const struct person_change *stored, struct err *err)
{
	struct sync *sync = context;
	struct person_change change = *stored;
	const char *problem;
	enum evaluated outcome;

	if (stored->before.id != 0 && has_vanished(sync, stored)) {
		if (sync_evaluate(sync, sync->frozen, stored->before.id,
				  stored->identity_count ? &stored->identities[0] : NULL, &change,
				  &outcome, &problem, err) < 0)
			return -1;
		if (outcome != EVALUATED || person_change_is_empty(&change))
			return 0;
	}
	if (!sync->complete && person_change_takes_away(&change))
		return add_disable_only(sync, &change, err);
	return draft_add(&sync->again.draft, &change, err);
}

static int rewrite(struct sync *sync, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	const struct live_setup *setup = sync->frozen ? sync->frozen : sync->setup;
	int result;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	run_init(&sync->again, sync->changer, setup, sync->store, sync->source, &sync->actor,
		 sync->dry_run, sync->now_s, &sync->report);
	sync->again.generation = sync->run.generation;
	sync->again.slot = sync->slot;
	sync->again.draft.first_sync = sync->run.draft.first_sync;
	sync->again.draft.waiting = sync->run.draft.waiting;
	sync->again.draft.forget_held = !sync->complete;
	sync->active = &sync->again;
	if (draft_flush(&sync->run.draft, err) < 0)
		return -1;
	result = draft_each(&sync->run.draft, arena, rewrite_person, sync, err);
	return result;
}

/* --- what READY writes about the source --- */

static bool group_is_held(const struct sync *sync, uint32_t id)
{
	struct plan_totals *totals = sync->active->draft.totals;

	for (size_t i = 0; totals && i < plan_totals_size(totals); i++) {
		const struct plan_total *total = plan_totals_at(totals, i);

		if (total->kind == LIMIT_GROUP && total->held &&
		    strtoul(total->subject, NULL, 10) == id)
			return true;
	}
	return false;
}

static int write_groups(struct changer *changer, struct sync *sync, struct err *err)
{
	struct store *store = changer->store;
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct group_registry_row *rows;
	size_t count, at = 0;
	uint32_t next;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	if (store_groups_load(store, arena, &rows, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < sync->row_count; i++) {
		struct group_registry_row row = sync->rows[i];
		int raised;

		while (at < count && rows[at].id < row.id)
			at++;
		if (at == count || rows[at].id != row.id)
			continue;
		/* A loss that is held is measured against the size before it. */
		if (group_is_held(sync, row.id))
			row.members = rows[at].members;
		raised = row.vanished && !row.released
				 ? store_alarm_raise(store, "group-vanished", row.name,
						     "the group is gone; its rules are frozen",
						     sync->now_s, err)
				 : store_alarm_clear(store, "group-vanished", row.name,
						     sync->actor.name, sync->now_s, err);
		if (raised < 0 || store_group_put(store, &row, err) < 0)
			return -1;
	}
	return coverage_store(store, sync->source, &sync->coverage_after, err);
}

static int write_force(struct changer *changer, struct sync *sync, struct err *err)
{
	AUTO(strbuf) struct strbuf name = STRBUF(256);

	if (!sync->force_next && !sync->force_noted)
		return 0;
	strbuf_printf(&name, "force:%s", sync->source);
	return store_meta_set(changer->store, strbuf_text(&name), sync->force_next ? "1" : "0",
			      err);
}

static int on_ready(struct changer *changer, struct run *run UNUSED, void *context, struct err *err)
{
	struct sync *sync = context;
	struct source_state state = sync->state;

	state.name = sync->source;
	state.last_read_s = sync->now_s;
	state.server = sync->server;
	/* A whole read has one only when an entry may be anybody's. */
	state.last_problem = sync->problem;
	if (sync->complete) {
		if ((sync->nameless
			     ? store_alarm_raise(changer->store, "nobody-missing", sync->source,
						 NAMELESS, sync->now_s, err)
			     : store_alarm_clear(changer->store, "nobody-missing", sync->source,
						 sync->actor.name, sync->now_s, err)) < 0)
			return -1;
		state.last_complete_s = sync->now_s;
		state.entries = sync->report.entries;
		if (sync->first_noted &&
		    first_sync_note(changer->store, sync->source, false, err) < 0)
			return -1;
		if (write_groups(changer, sync, err) < 0 || write_force(changer, sync, err) < 0)
			return -1;
	}
	sync->ready = true;
	return store_source_set(changer->store, &state, err);
}

int sync_prepare(struct sync *sync, struct err *err)
{
	if (sync->complete) {
		order_groups(sync);
		if (note_coverage(sync, err) < 0 || judge_groups(sync, err) < 0 ||
		    freeze(sync, err) < 0)
			return -1;
	}
	if ((!sync->complete || sync->frozen) && rewrite(sync, err) < 0)
		return -1;
	sync->active->on_ready = on_ready;
	sync->active->context = sync;
	return 0;
}
