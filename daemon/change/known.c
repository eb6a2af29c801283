/*
 * The unchanged table: what is known of each identity of a source, by the fingerprint of its
 * key, so that an identity that has not changed costs one digest and one look-up.
 *
 * About 70 bytes each. Kept between runs; follows what is committed; forgotten when
 * a run failed, since then it may say more than the store. One thread at a time: the run that
 * took the source's slot, or the writer on its behalf while that run waits.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define ENTRIES_MAX 100000000u

struct known {
	struct hash_table *index;
	struct known_entry *entries;
	size_t count, capacity;
};

struct known *known_create(size_t expected)
{
	struct known *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->index = hash_table_create(expected, ENTRIES_MAX);
	if (!table->index) {
		free(table);
		return NULL;
	}
	return table;
}

void known_destroy(struct known *table)
{
	if (!table)
		return;
	hash_table_destroy(table->index);
	free(table->entries);
	free(table);
}

size_t known_count(const struct known *table)
{
	return table->count;
}

static bool grow(struct known *table)
{
	/* By half: at a million identities doubling would cost more than it saves. */
	size_t capacity = table->capacity ? table->capacity + table->capacity / 2 : 256;
	struct known_entry *entries = reallocarray(table->entries, capacity, sizeof(*entries));

	if (!entries)
		return false;
	table->entries = entries;
	table->capacity = capacity;
	return true;
}

int known_put(struct known *table, struct hash128 key, struct known_entry **ret_entry)
{
	uint32_t *slot;
	int fresh;

	if (table->count == table->capacity && !grow(table))
		return -1;
	fresh = hash_table_put(table->index, key, &slot);
	if (fresh < 0)
		return -1;
	if (fresh == 1) {
		*slot = (uint32_t)table->count;
		table->entries[table->count++] = (struct known_entry){ 0 };
	}
	*ret_entry = &table->entries[*slot];
	return fresh;
}

struct known_entry *known_find(struct known *table, struct hash128 key)
{
	uint32_t at;

	return hash_table_get(table->index, key, &at) ? &table->entries[at] : NULL;
}

void known_clear_flags(struct known *table, uint64_t flags)
{
	for (size_t i = 0; i < table->count; i++)
		table->entries[i].user_flags &= ~flags;
}

static int load_one(void *context, const char *key, struct hash128 digest, int64_t user_id,
		    int64_t missing_s, uint32_t missing_runs UNUSED)
{
	struct known_entry *entry;

	if (known_put(context, fingerprint128(key, strlen(key)), &entry) < 0)
		return -1;
	known_set(entry, digest, user_id, missing_s ? TABLE_MISSING : 0);
	return 0;
}

int known_load(struct store *store, const char *source, struct known **ret_table, struct err *err)
{
	struct known *table = known_create(1024);

	if (!table)
		return err_set(err, ERR_MEMORY, "no memory for the known identities");
	if (store_identity_each(store, source, load_one, table, err) < 0) {
		known_destroy(table);
		if (err && err->code == ERR_CANCELLED)
			err_set(err, ERR_MEMORY, "no memory for the known identities");
		return -1;
	}
	*ret_table = table;
	return 0;
}
