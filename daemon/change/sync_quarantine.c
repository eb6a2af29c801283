/*
 * Entries of a source that cannot be processed.
 *
 * Enters: an entry, with its key, its name, or neither. Leaves: a row of the quarantine, written at the end
 * of the run; the mark that nobody is missing whose entry it is. Fails: store, memory.
 */
#include "sync.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#define FROZEN_MAX 100000000u
#define TEXT_BYTES_MAX (256u * 1024 * 1024)

int sync_quarantine_listed(struct sync *sync, const struct quarantined *entry, struct err *err)
{
	struct quarantine_row *row;

	sync->report.quarantined++;
	if (sync->dry_run || arena_used(sync->texts) > TEXT_BYTES_MAX)
		return 0; /* counted; what is listed has a bound */
	if (sync->quarantined_count == sync->quarantined_capacity) {
		size_t capacity = sync->quarantined_capacity ? sync->quarantined_capacity * 2 : 64;
		struct quarantine_row *grown =
			reallocarray(sync->quarantined, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for quarantined entries");
		sync->quarantined = grown;
		sync->quarantined_capacity = capacity;
	}
	row = &sync->quarantined[sync->quarantined_count];
	*row = (struct quarantine_row){
		.source = sync->source,
		.locator = arena_strdup(sync->texts, entry->locator),
		.key = arena_strdup(sync->texts, entry->key),
		.reason = arena_strdup(sync->texts, entry->reason),
		.detail = arena_strdup(sync->texts, entry->detail),
		.since_s = sync->now_s,
		.seen_s = sync->now_s,
	};
	if (!row->locator || !row->key || !row->reason || !row->detail)
		return err_set(err, ERR_MEMORY, "no memory for quarantined entries");
	sync->quarantined_count++;
	return 0;
}

static int freeze_key(struct sync *sync, const char *key, struct err *err)
{
	struct known_entry *entry;

	if (known_put(sync->slot->table, fingerprint128(key, strlen(key)), &entry) < 0)
		return err_set(err, ERR_MEMORY, "no memory for the known identities");
	if (known_flag(entry, TABLE_SEEN))
		return 0;
	/* To be looked at when it can be processed again. */
	entry->user_flags |= TABLE_SEEN;
	entry->digest = (struct hash128){ { 0 } };
	return sync_keep_waiting(sync, known_user(entry), err);
}

static int freeze_name(struct sync *sync, const char *dn, struct err *err)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(DN_MAX * 32);
	uint32_t *slot;

	if (dn[0] == '\0' || dn_normalize(dn, strlen(dn), &normal, NULL) < 0) {
		sync->nameless = true;
		return 0;
	}
	if (!sync->frozen_names)
		sync->frozen_names = hash_table_create(64, FROZEN_MAX);
	if (!sync->frozen_names ||
	    hash_table_put(sync->frozen_names, fingerprint128(normal.data, normal.size), &slot) < 0)
		return err_set(err, ERR_MEMORY, "no memory for quarantined entries");
	return 0;
}

/* Quarantine freezes, it never disables: whose entry it is does not count as missing. */
int sync_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct sync *sync = context;
	int frozen = 0;

	if (sync->kind == SYNC_CHANGES)
		return changes_quarantine(sync, entry, err);
	if (entry->key[0] != '\0')
		frozen = freeze_key(sync, entry->key, err);
	/* A repeated key is known, though it is not told again. */
	else if (!entry->is_group &&
		 (strcmp(entry->reason, "duplicate-key") != 0 || (entry->dn && entry->dn[0])))
		frozen = freeze_name(sync, entry->dn ? entry->dn : "", err);
	return frozen < 0 ? -1 : sync_quarantine_listed(sync, entry, err);
}

int sync_store_quarantined(struct changer *changer, struct sync *sync, size_t most, struct err *err)
{
	size_t end = sync->quarantine_at + most;

	for (size_t i = sync->quarantine_at; i < end && i < sync->quarantined_count; i++)
		if (store_quarantine_put(changer->store, &sync->quarantined[i], err) < 0)
			return -1;
	return 0;
}
