/*
 * Names and their numbers. Enters: texts or numbers. Leaves: the other.
 * Fails as the store does; a number without a row means a damaged store.
 */
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#include "db.h"

/* Past this the cache is emptied: requests each bring a new name. */
#define CACHE_MAX 32768

struct name_entry {
	int64_t id;
	size_t size;
	char *text;
};

/* Names of one kind begin alike and end differently. */
static size_t recent_place(const char *text, size_t size)
{
	uint64_t end = 0;

	memcpy(&end, text + (size > sizeof(end) ? size - sizeof(end) : 0),
	       size < sizeof(end) ? size : sizeof(end));
	return (size_t)((end + size) * 0x9e3779b97f4a7c15u >> 48) % NAMES_RECENT;
}

static enum statement_id statement_of(enum statement_id first, enum name_space space)
{
	return (enum statement_id)((unsigned)first + (unsigned)space);
}

static const char *const space_words[NAME_SPACES] = {
	[NAMES_ORGANIZATION] = "organization",
	[NAMES_SOURCE] = "source",
	[NAMES_GENERAL] = "name",
};

void names_finish(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->entries[i].text);
	free(names->entries);
	hash_table_destroy(names->by_text);
	hash_table_destroy(names->by_id);
	*names = (struct names){ .added = names->added };
}

void names_settle(struct store *store, bool undone)
{
	for (size_t i = 0; i < NAME_SPACES; i++) {
		if (undone && store->names[i].added)
			names_finish(&store->names[i]);
		/* What was added before a savepoint may still be undone with the rest. */
		if (!undone || !store->in_savepoint)
			store->names[i].added = false;
	}
}

static struct hash128 id_key(int64_t id)
{
	return (struct hash128){ .word = { (uint64_t)id, 1 } };
}

static bool names_room(struct names *names)
{
	if (names->count >= CACHE_MAX)
		names_finish(names);
	if (!names->by_text)
		names->by_text = hash_table_create(64, CACHE_MAX);
	if (!names->by_id)
		names->by_id = hash_table_create(64, CACHE_MAX);
	if (!names->by_text || !names->by_id)
		return false;
	if (names->count < names->capacity)
		return true;

	size_t capacity = names->capacity ? names->capacity * 2 : 64;
	struct name_entry *entries = alloc_resize(names->entries, capacity * sizeof(*entries));

	if (!entries)
		return false;
	names->entries = entries;
	names->capacity = capacity;
	return true;
}

/* Returns the cached text, or NULL when out of memory: the cache is then emptied. */
static const char *names_remember(struct names *names, const char *text, int64_t id)
{
	uint32_t *slot;
	char *copy = names_room(names) ? alloc_zeroed(1, strlen(text) + 1) : NULL;

	if (!copy)
		return NULL;
	memcpy(copy, text, strlen(text));
	names->entries[names->count] =
		(struct name_entry){ .id = id, .size = strlen(copy), .text = copy };
	names->count++;
	if (hash_table_put(names->by_text, fingerprint128(copy, strlen(copy)), &slot) < 0)
		goto undo;
	*slot = (uint32_t)names->count - 1;
	if (hash_table_put(names->by_id, id_key(id), &slot) < 0)
		goto undo;
	*slot = (uint32_t)names->count - 1;
	return copy;
undo:
	names_finish(names);
	return NULL;
}

static int names_no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory left for names of the store");
}

static int names_look_up(struct store *store, enum name_space space, const char *text,
			 int64_t *ret_id, struct err *err)
{
	AUTO(query)
	struct query query = query_open(store, statement_of(STATEMENT_ORGANIZATION_FIND, space));

	query_text(&query, text);

	int row = query_row(&query, err);

	if (row <= 0)
		return row;
	*ret_id = column_int(&query, 0);
	return names_remember(&store->names[space], text, *ret_id) ? 1 : names_no_memory(err);
}

/* In the cache. */
static bool find_cached(struct names *names, const char *text, size_t size, int64_t *ret_id)
{
	uint32_t *recent = &names->recent[recent_place(text, size)];
	uint32_t place = *recent - 1;

	if (place >= names->count || names->entries[place].size != size ||
	    memcmp(names->entries[place].text, text, size) != 0) {
		if (!names->by_text ||
		    !hash_table_get(names->by_text, fingerprint128(text, size), &place))
			return false;
		*recent = place + 1;
	}
	*ret_id = names->entries[place].id;
	return true;
}

int names_find(struct store *store, enum name_space space, const char *text, int64_t *ret_id,
	       struct err *err)
{
	if (!*text) {
		*ret_id = 0;
		return space == NAMES_GENERAL;
	}
	if (find_cached(&store->names[space], text, strlen(text), ret_id))
		return 1;
	return names_look_up(store, space, text, ret_id, err);
}

int names_ensure(struct store *store, enum name_space space, const char *text, int64_t *ret_id,
		 struct err *err)
{
	int found = names_find(store, space, text, ret_id, err);

	if (found)
		return found < 0 ? -1 : 0;

	AUTO(query)
	struct query query = query_open(store, statement_of(STATEMENT_ORGANIZATION_ADD, space));

	query_text(&query, text);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot add %s '%s'", space_words[space], text);
	store->names[space].added = true;
	*ret_id = sqlite3_last_insert_rowid(store->db);
	if (!names_remember(&store->names[space], text, *ret_id)) {
		names_no_memory(err);
		return store_spoil(store, err);
	}
	return 0;
}

int names_ensure_once(struct store *store, enum name_space space, const char *text, int64_t *ret_id,
		      struct err *err)
{
	AUTO(query)
	struct query find = query_open(store, statement_of(STATEMENT_ORGANIZATION_FIND, space));
	int row;

	if (!*text) {
		*ret_id = 0;
		return 0;
	}
	query_text(&find, text);
	row = query_row(&find, err);
	if (row > 0)
		*ret_id = column_int(&find, 0);
	if (row != 0)
		return row < 0 ? -1 : 0;

	AUTO(query)
	struct query add = query_open(store, statement_of(STATEMENT_ORGANIZATION_ADD, space));

	query_text(&add, text);
	if (query_run(&add, err) < 0)
		return err_wrap(err, "cannot add %s '%s'", space_words[space], text);
	*ret_id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

const char *names_text(struct store *store, enum name_space space, int64_t id, struct err *err)
{
	const struct names *names = &store->names[space];
	uint32_t place;

	if (id == 0 && space == NAMES_GENERAL)
		return "";
	if (names->by_id && hash_table_get(names->by_id, id_key(id), &place))
		return names->entries[place].text;

	AUTO(query)
	struct query query = query_open(store, statement_of(STATEMENT_ORGANIZATION_TEXT, space));

	query_int(&query, id);

	int row = query_row(&query, err);

	if (row == 0)
		err_refuse(err, ERR_IO, "store-damaged", "store '%s': %s number %lld is missing",
			   store->path, space_words[space], (long long)id);
	if (row <= 0)
		return NULL;

	const char *text = names_remember(&store->names[space], column_text(&query, 0), id);

	if (!text)
		names_no_memory(err);
	return text;
}

const char *names_copy(struct store *store, enum name_space space, int64_t id, struct arena *arena,
		       struct err *err)
{
	const char *text = names_text(store, space, id, err);
	const char *copy = text ? arena_strdup(arena, text) : NULL;

	if (text && !copy)
		arena_check(arena, err);
	return copy;
}

int names_source(struct store *store, const char *source, int64_t *ret_id, struct err *err)
{
	int found = names_find(store, NAMES_SOURCE, source, ret_id, err);

	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no source '%s'", source);
	return found < 0 ? -1 : 0;
}
