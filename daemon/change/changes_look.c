/*
 * Looking at what a run of changes has gathered.
 *
 * Enters: the items, the table of what is known, the store. Leaves: changes in the run's draft, and a note of
 * those looked at of whom something waits (changes_wait.c). Refused: a canary that is gone. Fails: store,
 * memory.
 */
#include "pending.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

static int note_if_waiting(struct sync *sync, const struct pending *item, struct err *err)
{
	if (item->user_id != 0)
		return sync->own.count > 0 && held_users_find(&sync->own, item->user_id)
			       ? changes_note_looked(sync, item->user_id, item->print, err)
			       : 0;
	return held_users_outside(&sync->own, item->print)
		       ? changes_note_looked(sync, 0, item->print, err)
		       : 0;
}

static int look_at_record(struct sync *sync, const struct pending *item, struct err *err)
{
	struct identity_change identity = { .source = sync->source,
					    .key = item->key,
					    .record = item->record,
					    .record_size = item->record_size,
					    .digest = item->digest,
					    .read_s = sync->now_s };
	struct known_entry *entry;

	if (known_put(sync->slot->table, item->print, &entry) < 0)
		return changes_no_memory(err);
	return sync_look_at(sync, entry, &identity, err);
}

/* Of the user's stored identities, that of the key. */
const struct identity_row *changes_find_row(const struct sync *sync, const struct pending *item,
					    const struct identity_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].key, item->key) == 0 &&
		    strcmp(rows[i].source, sync->source) == 0)
			return &rows[i];
	return NULL;
}

/* The stored record with other groups: what a whole read would deliver. */
static int look_at_groups(struct sync *sync, const struct pending *item, struct err *err)
{
	struct strbuf *record = &sync->changes->record;
	struct known_entry *entry = known_find(sync->slot->table, item->print);
	struct groups_given groups = { item->groups, item->group_count, item->groups_complete };
	struct identity_change identity = { .source = sync->source,
					    .key = item->key,
					    .read_s = sync->now_s };
	const struct identity_row *row;
	struct identity_row *rows;
	size_t count;
	int result;

	if (!changes_is_known(entry))
		return err_set(err, ERR_INTERNAL, "identity '%s' was known", item->key);
	if (store_identities_of(sync->store, item->user_id, sync->arena, &rows, &count, err) < 0)
		return -1;
	row = changes_find_row(sync, item, rows, count);
	if (!row)
		return err_set(err, ERR_INTERNAL, "identity '%s' was another user's", item->key);
	strbuf_clear(record);
	if (record_replace_groups(row->record, row->record_size, item->groups, item->group_count,
				  item->groups_complete, record, err) < 0)
		return -1;
	identity.record = record->data;
	identity.record_size = record->size;
	identity.digest = digest128(record->data, record->size);
	if (hash128_equal(identity.digest, entry->digest)) {
		sync->report.unchanged++;
		return 0;
	}
	/* What was to be looked at again still is: its attributes may be older than the source's. */
	if (hash128_equal(entry->digest, (struct hash128){ { 0 } }))
		identity.digest = (struct hash128){ { 0 } };
	if (note_if_waiting(sync, item, err) < 0)
		return -1;
	sync->given_rows = rows;
	sync->given_row_count = count;
	sync->given_groups = &groups;
	result = sync_look_at(sync, entry, &identity, err);
	sync->given_rows = NULL;
	sync->given_groups = NULL;
	return result;
}

/* An entry that must be there: the directory, or what it shows, is not what it should be. */
static int check_canary(struct sync *sync, const char *key, const struct identity_row *row,
			struct err *err)
{
	if (sync->settings->canaries.count == 0)
		return 0;
	sync->canaries_seen = 0;
	sync_watch_canaries(sync, row->record, row->record_size, key, strlen(key));
	if (sync->canaries_seen == 0)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "canary-gone",
			  "source '%s' says that '%s' is gone, which must be there: it has to be "
			  "read as a whole",
			  sync->source, key);
}

int changes_evaluate_gone(struct sync *sync, const char *key, int64_t user_id,
			  struct person_change *ret_change, struct err *err)
{
	const struct policy_settings *policy = sync->setup->setup.policy;
	int64_t now_s = setup_steady_s(&sync->setup->setup, sync->now_s);
	struct identity_change marks = { .source = sync->source, .key = key };
	struct identity_row row;
	enum evaluated outcome;
	const char *problem;

	*ret_change = (struct person_change){ 0 };
	if (store_identity_get(sync->store, sync->source, key, sync->arena, &row, err) < 0 ||
	    check_canary(sync, key, &row, err) < 0)
		return -1;
	/* Known already, or nothing is left to be counted. */
	if (row.missing_runs & MISSING_TOLD ||
	    policy_missing_disables(policy, row.missing_runs, row.missing_s, now_s))
		return 0;
	marks.missing_s = row.missing_s ? row.missing_s : now_s;
	marks.missing_runs = row.missing_runs | MISSING_TOLD;
	return sync_evaluate(sync, sync->setup, user_id, &marks, ret_change, &outcome, &problem,
			     err);
}

static int look_at_gone(struct sync *sync, const struct pending *item, struct err *err)
{
	struct person_change change;

	/* Whoever waits outside does so no more. */
	if (item->user_id == 0)
		return note_if_waiting(sync, item, err);
	if (changes_evaluate_gone(sync, item->key, item->user_id, &change, err) < 0)
		return -1;
	if (change.before.id == 0)
		return 0;
	if (note_if_waiting(sync, item, err) < 0)
		return -1;
	return person_change_is_empty(&change) ? 0 : draft_add(&sync->run.draft, &change, err);
}

/* Nothing but that the source disables them. */
static void only_disable(struct person_change *change)
{
	uint32_t set = change->after.disabled & ~change->before.disabled & DISABLED_BY_SOURCE;
	int64_t version = change->after.version, updated_s = change->after.updated_s;

	*change = (struct person_change){ .before = change->before,
					  .after = change->before,
					  .cause = change->cause };
	change->after.disabled |= set;
	change->after.version = version;
	change->after.updated_s = updated_s;
}

static int look_at_due(struct sync *sync, const struct pending *item, struct err *err)
{
	struct person_change change;
	enum evaluated outcome;
	const char *problem;

	if (sync_evaluate(sync, sync->setup, item->user_id, NULL, &change, &outcome, &problem,
			  err) < 0)
		return -1;
	/* Whoever waits with something is evaluated as a whole. */
	if (sync->own.count == 0 || !held_users_find(&sync->own, item->user_id))
		only_disable(&change);
	return person_change_is_visible(&change) ? draft_add(&sync->run.draft, &change, err) : 0;
}

static int look_at_item(struct sync *sync, const struct pending *item, struct err *err)
{
	struct known_entry *entry;

	arena_reset(sync->arena);
	/* Of whom nothing new is said, what waits waits on. */
	switch (item->what) {
	case PENDING_RECORD:
		return note_if_waiting(sync, item, err) < 0 ? -1 : look_at_record(sync, item, err);
	case PENDING_GROUPS: return look_at_groups(sync, item, err);
	case PENDING_GONE: return look_at_gone(sync, item, err);
	case PENDING_DUE:
		return note_if_waiting(sync, item, err) < 0 ? -1 : look_at_due(sync, item, err);
	case PENDING_NOTHING: break;
	}
	entry = known_find(sync->slot->table, item->print);
	if (entry)
		entry->digest = (struct hash128){ { 0 } };
	return 0;
}

static int compare_items(const void *a, const void *b)
{
	const struct pending *left = a, *right = b;

	if (left->user_id != right->user_id)
		return left->user_id < right->user_id ? -1 : 1;
	return strcmp(left->key, right->key);
}

/* Records lie by user: in their order each page is read once. */
static void order_items(struct sync *sync)
{
	struct changes *changes = sync->changes;

	for (size_t i = 0; i < changes->count; i++) {
		const struct known_entry *entry;

		if (changes->items[i].what == PENDING_DUE)
			continue;
		entry = known_find(sync->slot->table, changes->items[i].print);
		changes->items[i].user_id = entry ? known_user(entry) : 0;
	}
	hash_table_destroy(changes->places);
	changes->places = NULL;
	if (changes->count > 1)
		qsort(changes->items, changes->count, sizeof(*changes->items), compare_items);
}

int changes_look_at_all(struct sync *sync, struct err *err)
{
	order_items(sync);
	for (size_t i = 0; i < sync->changes->count; i++)
		if (look_at_item(sync, &sync->changes->items[i], err) < 0)
			return -1;
	return 0;
}
