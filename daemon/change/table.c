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

struct table {
	struct hash_table *index;
	struct table_entry *entries;
	size_t count, capacity;
};

struct table *table_create(size_t expected)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->index = hash_table_create(expected, ENTRIES_MAX);
	if (!table->index) {
		free(table);
		return NULL;
	}
	return table;
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	hash_table_destroy(table->index);
	free(table->entries);
	free(table);
}

size_t table_count(const struct table *table)
{
	return table->count;
}

static bool grow(struct table *table)
{
	/* By half: at a million identities doubling would cost more than it saves. */
	size_t capacity = table->capacity ? table->capacity + table->capacity / 2 : 256;
	struct table_entry *entries = reallocarray(table->entries, capacity, sizeof(*entries));

	if (!entries)
		return false;
	table->entries = entries;
	table->capacity = capacity;
	return true;
}

int table_put(struct table *table, struct hash128 key, struct table_entry **ret_entry)
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
		table->entries[table->count++] = (struct table_entry){ 0 };
	}
	*ret_entry = &table->entries[*slot];
	return fresh;
}

struct table_entry *table_find(struct table *table, struct hash128 key)
{
	uint32_t at;

	return hash_table_get(table->index, key, &at) ? &table->entries[at] : NULL;
}

void table_clear_flags(struct table *table, uint64_t flags)
{
	for (size_t i = 0; i < table->count; i++)
		table->entries[i].user_flags &= ~flags;
}

static int load_one(void *context, const char *key, struct hash128 digest, int64_t user_id,
		    int64_t missing_s, uint32_t missing_runs UNUSED)
{
	struct table_entry *entry;

	if (table_put(context, fingerprint128(key, strlen(key)), &entry) < 0)
		return -1;
	table_set(entry, digest, user_id, missing_s ? TABLE_MISSING : 0);
	return 0;
}

int table_load(struct store *store, const char *source, struct table **ret_table, struct err *err)
{
	struct table *table = table_create(1024);

	if (!table)
		return err_set(err, ERR_MEMORY, "no memory for the known identities");
	if (store_identity_each(store, source, load_one, table, err) < 0) {
		table_destroy(table);
		if (err && err->code == ERR_CANCELLED)
			err_set(err, ERR_MEMORY, "no memory for the known identities");
		return -1;
	}
	*ret_table = table;
	return 0;
}
