/*
 * The set of what was used up lately. Enters: keys. Leaves: whether they are there. Fails as the store
 * does, and without memory.
 */
#include "used.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#include "db.h"

#define CAPACITY_MIN 256

/* Two with one key would only be refused. */
struct hash128 used_key(int64_t kind, int64_t source, struct hash128 digest)
{
	digest.word[0] ^= ((uint64_t)source * 4 + (uint64_t)kind) * 0x9e3779b97f4a7c15u;
	return digest;
}

/* The digest is one: its words are as good as any hash of them. */
static size_t find_slot(const struct used *used, struct hash128 key)
{
	size_t slot = (size_t)key.word[1] & (used->capacity - 1);

	while (used->slots[slot] && !hash128_equal(used->keys[used->slots[slot] - 1], key))
		slot = (slot + 1) & (used->capacity - 1);
	return slot;
}

void used_forget(struct used *used)
{
	free(used->keys);
	free(used->slots);
	*used = (struct used){ .loaded = false };
}

/* One slot in four stays free. */
static int make_room(struct used *used, struct err *err)
{
	size_t capacity = used->capacity ? used->capacity * 2 : CAPACITY_MIN;
	struct hash128 *keys;
	uint32_t *slots;

	if (used->count < used->capacity / 4 * 3)
		return 0;
	keys = capacity < UINT32_MAX ? alloc_resize(used->keys, capacity * sizeof(*keys)) : NULL;
	if (keys)
		used->keys = keys;
	slots = keys ? alloc_zeroed(capacity, sizeof(*slots)) : NULL;
	if (!slots)
		return err_set(err, ERR_MEMORY, "no memory left for what was used up");
	free(used->slots);
	used->slots = slots;
	used->capacity = capacity;
	for (size_t i = 0; i < used->count; i++)
		slots[find_slot(used, keys[i])] = (uint32_t)i + 1;
	return 0;
}

static int add(struct used *used, struct hash128 key, struct err *err)
{
	size_t slot;

	if (make_room(used, err) < 0)
		return -1;
	slot = find_slot(used, key);
	if (used->slots[slot])
		return 0;
	used->keys[used->count++] = key;
	used->slots[slot] = (uint32_t)used->count;
	return 0;
}

static void drop_after(struct used *used, size_t count)
{
	while (used->count > count) {
		size_t slot = find_slot(used, used->keys[used->count - 1]);

		used->slots[slot] = 0;
		used->count--;
	}
}

static int load(struct store *store, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USED_LATE);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct hash128 digest = { { 0, 0 } };
		size_t size;
		const void *data = column_blob(&query, 2, &size);

		if (size == sizeof(digest))
			memcpy(&digest, data, size);
		if (add(&store->used,
			used_key(column_int(&query, 0), column_int(&query, 1), digest), err) < 0)
			return -1;
	}
	return row;
}

static int load_all(struct store *store, struct err *err)
{
	struct used *used = &store->used;

	used_forget(used);
	if (load(store, err) < 0) {
		used_forget(used);
		return -1;
	}
	used->settled = used->marked = used->count;
	used->loaded = true;
	return 0;
}

int used_has(struct store *store, struct hash128 key, struct err *err)
{
	const struct used *used = &store->used;

	if (store_know_last(store, err) < 0 || (!used->loaded && load_all(store, err) < 0))
		return -1;
	return used->capacity && used->slots[find_slot(used, key)] != 0;
}

int used_put(struct store *store, struct hash128 key, struct err *err)
{
	return add(&store->used, key, err);
}

static int run(struct store *store, enum statement_id id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	return query_run(&query, err);
}

int used_move(struct store *store, struct err *err)
{
	/* What is undone of this is read from the rows again. */
	used_forget(&store->used);
	return run(store, STATEMENT_USED_MOVE, err) < 0 || run(store, STATEMENT_USED_CLEAR, err) < 0
		       ? -1
		       : 0;
}

void used_mark(struct used *used)
{
	used->marked = used->count;
}

void used_undo(struct used *used)
{
	drop_after(used, used->marked);
}

void used_settle(struct used *used, bool undone)
{
	if (undone)
		drop_after(used, used->settled);
	used->settled = used->marked = used->count;
}
