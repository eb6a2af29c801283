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

#define KEYS_MAX 100000000u

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

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a run of changes");
}

/* --- gathering --- */

int changes_begin(struct sync *sync, const struct actor *actor, struct err *err)
{
	struct source_slot *slot = sync->slot;

	sync->changes = calloc(1, sizeof(*sync->changes));
	if (!sync->changes)
		return no_memory(err);
	sync->changes->record = STRBUF(RECORD_MAX);
	sync->changes->due = slot->use == SLOT_DUE;
	sync->source = arena_strdup(sync->texts, slot->name);
	sync->cause = arena_printf(sync->texts, "sync %s", slot->name);
	if (actor_keep(sync->texts, actor, &sync->actor, err) < 0)
		return -1;
	if (!sync->source || !sync->cause)
		return no_memory(err);
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

static struct pending *find_item(const struct changes *changes, struct hash128 print)
{
	uint32_t at;

	return changes->places && hash_table_get(changes->places, print, &at) ? &changes->items[at]
									      : NULL;
}

static struct pending *add_item(struct changes *changes, struct err *err)
{
	if (changes->count == changes->capacity) {
		size_t capacity = changes->capacity ? changes->capacity * 2 : 16;
		struct pending *grown = reallocarray(changes->items, capacity, sizeof(*grown));

		if (!grown) {
			no_memory(err);
			return NULL;
		}
		changes->items = grown;
		changes->capacity = capacity;
	}
	changes->items[changes->count] = (struct pending){ 0 };
	return &changes->items[changes->count++];
}

/* The item of a key; what it was about before is forgotten. */
static struct pending *take_item(struct sync *sync, struct hash128 print, const char *key,
				 size_t key_size, struct err *err)
{
	struct changes *changes = sync->changes;
	struct pending *item = find_item(changes, print);
	const char *kept;
	uint32_t *place;

	if (item) {
		*item = (struct pending){ .print = print, .key = item->key };
		return item;
	}
	kept = arena_strndup(sync->texts, key, key_size);
	if (!changes->places)
		changes->places = hash_table_create(16, KEYS_MAX);
	if (!kept || !changes->places || hash_table_put(changes->places, print, &place) < 0) {
		no_memory(err);
		return NULL;
	}
	*place = (uint32_t)changes->count;
	item = add_item(changes, err);
	if (!item)
		return NULL;
	item->print = print;
	item->key = kept;
	return item;
}

static bool is_known(const struct known_entry *entry)
{
	return entry && known_user(entry) != 0;
}

int changes_identity(struct sync *sync, const void *record, size_t size, struct err *err)
{
	struct hash128 digest = digest128(record, size), print;
	const struct known_entry *entry;
	struct pending *item;
	const char *key;
	size_t key_size;

	if (record_key(record, size, &key, &key_size, err) < 0)
		return err_wrap(err, "source '%s'", sync->source);
	sync->report.entries++;
	print = fingerprint128(key, key_size);
	entry = known_find(sync->slot->table, print);
	if (!find_item(sync->changes, print) && entry && hash128_equal(entry->digest, digest) &&
	    !known_flag(entry, TABLE_MISSING) &&
	    (known_user(entry) != 0 || known_flag(entry, TABLE_OUT))) {
		sync->report.unchanged++;
		return 0;
	}
	item = take_item(sync, print, key, key_size, err);
	if (!item)
		return -1;
	item->what = PENDING_RECORD;
	item->digest = digest;
	item->record_size = size;
	item->record = arena_memdup(sync->texts, record, size);
	return item->record ? 0 : no_memory(err);
}

static int check_groups(const uint32_t *ids, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == 0 || (i > 0 && ids[i] <= ids[i - 1]))
			return err_set(err, ERR_PROTOCOL, "groups out of order");
	return 0;
}

/* Somebody's whole record came earlier in this run. */
static int replace_in_item(struct sync *sync, struct pending *item, const uint32_t *ids,
			   size_t count, bool complete, struct err *err)
{
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);

	if (record_replace_groups(item->record, item->record_size, ids, count, complete, &record,
				  err) < 0)
		return -1;
	item->digest = digest128(record.data, record.size);
	item->record_size = record.size;
	item->record = arena_memdup(sync->texts, record.data, record.size);
	return item->record ? 0 : no_memory(err);
}

int sync_groups(void *context, const char *key, size_t key_size, const uint32_t *ids, size_t count,
		bool complete, struct err *err)
{
	struct sync *sync = context;
	struct hash128 print = fingerprint128(key, key_size);
	const struct known_entry *entry;
	struct pending *item;

	if (sync->kind != SYNC_CHANGES)
		return err_set(err, ERR_INTERNAL, "groups alone come only in a run of changes");
	if (check_groups(ids, count, err) < 0)
		return -1;
	sync->report.entries++;
	item = find_item(sync->changes, print);
	if (item && item->what == PENDING_RECORD)
		return replace_in_item(sync, item, ids, count, complete, err);
	entry = known_find(sync->slot->table, print);
	/* What is frozen stays as it is. */
	if (item && item->what == PENDING_NOTHING)
		return 0;
	if (!is_known(entry) || known_flag(entry, TABLE_MISSING) ||
	    (item && item->what == PENDING_GONE))
		return err_refuse(err, ERR_NOT_FOUND, entry ? "record-wanted" : "not-found",
				  "source '%s' has no known identity '%.*s'", sync->source,
				  (int)(key_size < 200 ? key_size : 200), key);
	item = take_item(sync, print, key, key_size, err);
	if (!item)
		return -1;
	item->what = PENDING_GROUPS;
	item->group_count = count;
	item->groups_complete = complete;
	item->groups = arena_memdup(sync->texts, count ? ids : (const uint32_t[]){ 0 },
				    (count ? count : 1) * sizeof(*ids));
	return item->groups ? 0 : no_memory(err);
}

int sync_gone(void *context, const char *key, size_t key_size, struct err *err)
{
	struct sync *sync = context;
	struct hash128 print = fingerprint128(key, key_size);
	struct pending *item;

	if (sync->kind != SYNC_CHANGES)
		return err_set(err, ERR_INTERNAL, "who is gone is told only in a run of changes");
	sync->report.entries++;
	if (!find_item(sync->changes, print) && !known_find(sync->slot->table, print))
		return 0;
	item = take_item(sync, print, key, key_size, err);
	if (!item)
		return -1;
	item->what = PENDING_GONE;
	return 0;
}

int changes_quarantine(struct sync *sync, const struct quarantined *entry, struct err *err)
{
	size_t size = strlen(entry->key);
	struct hash128 print = fingerprint128(entry->key, size);
	struct pending *item;

	if (size > 0 && (find_item(sync->changes, print) || known_find(sync->slot->table, print))) {
		item = take_item(sync, print, entry->key, size, err);
		if (!item)
			return -1;
		item->what = PENDING_NOTHING;
	}
	return sync_quarantine_listed(sync, entry, err);
}

int changes_due(struct sync *sync, const int64_t *ids, size_t count, struct err *err)
{
	sync->cause = "due";
	for (size_t i = 0; i < count; i++) {
		struct pending *item = add_item(sync->changes, err);

		if (!item)
			return -1;
		item->what = PENDING_DUE;
		item->key = "";
		item->user_id = ids[i];
	}
	return 0;
}

/* --- looking at them --- */

/* Something of them waits: to be compared with what waits afterwards. */
static int note_looked(struct sync *sync, int64_t user_id, struct hash128 key, struct err *err)
{
	struct changes *changes = sync->changes;
	struct hash128 print = user_id ? fingerprint128(&user_id, sizeof(user_id)) : key;
	uint32_t *place;
	int fresh;

	if (!changes->looked)
		changes->looked = hash_table_create(16, KEYS_MAX);
	fresh = changes->looked ? hash_table_put(changes->looked, print, &place) : -1;
	if (fresh < 0)
		return no_memory(err);
	if (fresh == 0)
		return 0;
	if (changes->waiting_count == changes->waiting_capacity) {
		size_t capacity = changes->waiting_capacity ? changes->waiting_capacity * 2 : 16;
		struct hash256 *now = reallocarray(changes->waiting_now, capacity, sizeof(*now));
		int64_t *users;

		if (!now)
			return no_memory(err);
		changes->waiting_now = now;
		users = reallocarray(changes->waiting_users, capacity, sizeof(*users));
		if (!users)
			return no_memory(err);
		changes->waiting_users = users;
		changes->waiting_capacity = capacity;
	}
	*place = (uint32_t)changes->waiting_count;
	changes->waiting_users[changes->waiting_count] = user_id;
	changes->waiting_now[changes->waiting_count++] = (struct hash256){ { 0 } };
	return 0;
}

static int note_if_waiting(struct sync *sync, const struct pending *item, struct err *err)
{
	if (item->user_id != 0)
		return sync->own.count > 0 && held_users_find(&sync->own, item->user_id)
			       ? note_looked(sync, item->user_id, item->print, err)
			       : 0;
	return held_users_outside(&sync->own, item->print) ? note_looked(sync, 0, item->print, err)
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
		return no_memory(err);
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

	if (!is_known(entry))
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

static int look_at_all(struct sync *sync, struct err *err)
{
	order_items(sync);
	for (size_t i = 0; i < sync->changes->count; i++)
		if (look_at_item(sync, &sync->changes->items[i], err) < 0)
			return -1;
	return 0;
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
		return no_memory(err);
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

/* --- what waits --- */

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
		return no_memory(err);
	for (const struct held_category *category = sync->own.categories; category;
	     category = category->next)
		if (plan_totals_hold(draft->totals, category->kind, category->subject, err) < 0)
			return -1;
	return 0;
}

static int judge_held(struct sync *sync, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct holding holding = { sync, arena };
	struct run *run = &sync->run;

	if (!arena)
		return no_memory(err);
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

	if (judge_held(sync, err) < 0)
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
	return sync->linker ? 0 : no_memory(err);
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
		result = look_at_all(sync, err);
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
