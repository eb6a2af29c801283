/*
 * What a run of changes gathers, until its end.
 *
 * Enters: records that are new or changed, groups of people whose own entry is as it was, keys that are
 * gone, entries that cannot be processed any more, people who are due. Leaves: one item per key, with the
 * last word about it. Refused: groups alone of somebody who is not known. Fails: memory, records that
 * cannot be read.
 */
#include "pending.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

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
			changes_no_memory(err);
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
		changes_no_memory(err);
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
	return item->record ? 0 : changes_no_memory(err);
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
	return item->record ? 0 : changes_no_memory(err);
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
	if (!changes_is_known(entry) || known_flag(entry, TABLE_MISSING) ||
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
	return item->groups ? 0 : changes_no_memory(err);
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
