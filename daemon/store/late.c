/*
 * Names of the latest users. Enters: names. Leaves: who has one. Fails as the
 * store does, and without memory.
 */
#include "late.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/hash.h>

#include "db.h"

#define SLOTS_MIN 256
#define OFFSET_MAX UINT32_MAX
#define HASH_OF_SOURCE 0x9e3779b1u

/* A name of some kind; of kind UUID the 16 bytes, of kind KEY as it is stored. */
struct name {
	int kind;
	const void *data;
	size_t size;
	const char *text; /* of kind KEY */
	int64_t source;
};
#define UUID 0
#define KEY 3

static struct name name_of(enum login_kind kind, const char *text)
{
	return (struct name){ .kind = (int)kind, .data = text, .size = strlen(text) };
}

static struct name name_of_uuid(const void *uuid)
{
	return (struct name){ .kind = UUID, .data = uuid, .size = sizeof(struct uuid) };
}

static struct name name_of_key(int64_t source, const char *key, unsigned char buffer[16])
{
	bool is_uuid = compact_uuid(key, buffer);

	return (struct name){ .kind = KEY,
			      .data = is_uuid ? (const void *)buffer : key,
			      .size = is_uuid ? 16 : strlen(key),
			      .text = key,
			      .source = source };
}

/* Of the bytes alone. */
static uint32_t bytes_hash(struct late *late, const struct name *name)
{
	struct late_memo *memo = &late->memo[name->kind];
	struct hash128 hash;

	if (name->size && name->size == memo->size &&
	    memcmp(memo->bytes, name->data, name->size) == 0)
		return memo->hash;
	hash = fingerprint128(name->data, name->size);
	memo->size = name->size <= sizeof(memo->bytes) ? name->size : 0;
	memcpy(memo->bytes, name->data, memo->size);
	memo->hash = (uint32_t)(hash.word[0] >> (name->kind == LOGIN_EMAIL ? 32 : 0));
	return memo->hash;
}

static uint32_t name_hash(struct late *late, const struct name *name)
{
	uint32_t hash = bytes_hash(late, name);

	return name->kind == KEY ? hash + (uint32_t)((uint64_t)name->source * HASH_OF_SOURCE)
				 : hash;
}

static size_t home_slot(uint32_t hash, size_t capacity)
{
	return (size_t)((uint64_t)hash * capacity >> 32);
}

static size_t next_slot(const struct late *late, size_t slot)
{
	return slot + 1 == late->capacity ? 0 : slot + 1;
}

/* Returns how many it made more. */
static size_t put(uint64_t *slots, size_t capacity, uint64_t entry)
{
	size_t slot = home_slot((uint32_t)(entry >> 32), capacity);

	while (slots[slot] && slots[slot] != entry)
		slot = slot + 1 == capacity ? 0 : slot + 1;
	if (slots[slot])
		return 0;
	slots[slot] = entry;
	return 1;
}

#define NAMES_MAX 3

/* Room for all names of one more user, or a key; one slot in eight stays free. */
static int make_room(struct late *late, struct err *err)
{
	size_t capacity = late->capacity + late->capacity / 2;
	uint64_t *slots = NULL;

	if (late->count + NAMES_MAX <= late->capacity - late->capacity / 8)
		return 0;
	if (capacity < SLOTS_MIN)
		capacity = SLOTS_MIN;
	if (capacity < UINT32_MAX)
		slots = alloc_zeroed(capacity, sizeof(*slots));
	if (!slots)
		return err_set(err, ERR_MEMORY, "no memory left for names of new users");
	for (size_t i = 0; i < late->capacity; i++)
		if (late->slots[i])
			put(slots, capacity, late->slots[i]);
	free(late->slots);
	late->slots = slots;
	late->capacity = capacity;
	return 0;
}

static void add_name(struct late *late, struct name name, uint64_t offset)
{
	late->count +=
		put(late->slots, late->capacity, (uint64_t)name_hash(late, &name) << 32 | offset);
}

static int add_names(struct late *late, const char *username, const char *email, const void *uuid,
		     int64_t user_id, struct err *err)
{
	uint64_t offset = (uint64_t)(user_id - late->base);

	if (offset > OFFSET_MAX)
		return err_set(err, ERR_TOO_LARGE, "too many new users wait for their index");
	if (make_room(late, err) < 0)
		return -1;
	add_name(late, name_of_uuid(uuid), offset);
	add_name(late, name_of(LOGIN_USERNAME, username), offset);
	if (*email)
		add_name(late, name_of(LOGIN_EMAIL, email), offset);
	return 0;
}

static int add_key(struct late *late, int64_t source, const char *key, int64_t user_id,
		   struct err *err)
{
	unsigned char buffer[16];
	uint64_t offset = (uint64_t)(user_id - late->base);

	if (offset > OFFSET_MAX)
		return err_set(err, ERR_TOO_LARGE, "too many new users wait for their index");
	if (make_room(late, err) < 0)
		return -1;
	add_name(late, name_of_key(source, key, buffer), offset);
	return 0;
}

static int load_names(struct store *store, int64_t after, int64_t to, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_NAMES);
	int row;

	query_int(&query, after);
	query_int(&query, to);
	while ((row = query_row(&query, err)) > 0) {
		struct uuid uuid = { { 0 } };
		size_t size;
		const void *data = column_blob(&query, 3, &size);

		if (size == sizeof(uuid))
			memcpy(&uuid, data, size);
		if (add_names(&store->late, column_text(&query, 1), column_text(&query, 2), &uuid,
			      column_int(&query, 0), err) < 0)
			return -1;
	}
	return row;
}

static int load_keys(struct store *store, int64_t after, int64_t to, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_KEYS);
	struct compact buffer;
	int row;

	query_int(&query, after);
	query_int(&query, to);
	while ((row = query_row(&query, err)) > 0)
		if (add_key(&store->late, column_int(&query, 1), column_compact(&query, 2, &buffer),
			    identity_user(column_int(&query, 0)), err) < 0)
			return -1;
	return row;
}

void late_forget(struct store *store)
{
	free(store->late.slots);
	store->late = (struct late){ 0 };
}

/* Everybody after 'named-user' in this snapshot is in it. */
static int catch_up(struct store *store, const struct horizon *horizon, struct err *err)
{
	struct late *late = &store->late;

	if (late->capacity && late->last >= horizon->last)
		return 0;
	if (!late->capacity || late->last < horizon->named || horizon->named < late->base) {
		late_forget(store);
		late->base = late->last = late->settled = horizon->named;
	}
	if (load_names(store, late->last, horizon->last, err) < 0 ||
	    load_keys(store, late->last, horizon->last, err) < 0) {
		late_forget(store);
		return -1;
	}
	late->last = horizon->last;
	if (!store->in_transaction || store->mode != STORE_WRITE)
		late->settled = late->last;
	return 0;
}

/* 1 and the user, of a key the identity; 0, -1. */
static int has_name(struct store *store, const struct name *name, int64_t user_id, int64_t *ret_id,
		    struct err *err)
{
	static const enum statement_id ids[] = { [UUID] = STATEMENT_HAS_UUID,
						 [LOGIN_USERNAME] = STATEMENT_HAS_USERNAME,
						 [LOGIN_EMAIL] = STATEMENT_HAS_EMAIL,
						 [KEY] = STATEMENT_HAS_KEY };
	AUTO(query) struct query query = query_open(store, ids[name->kind]);
	struct compact buffer;
	int row;

	query_int(&query, user_id);
	if (name->kind == KEY) {
		query_int(&query, name->source);
		query_compact(&query, name->text, &buffer);
	} else if (name->kind == UUID) {
		query_blob(&query, name->data, name->size);
	} else {
		query_text(&query, name->data);
	}
	row = query_row(&query, err);
	if (row > 0)
		*ret_id = column_int(&query, 0);
	return row;
}

static int find_late(struct store *store, const struct horizon *horizon, struct name name,
		     int64_t *ret_id, struct err *err)
{
	struct late *late = &store->late;
	uint32_t hash = name_hash(late, &name);

	if (catch_up(store, horizon, err) < 0)
		return -1;
	if (!late->capacity)
		return 0;
	for (size_t slot = home_slot(hash, late->capacity); late->slots[slot];
	     slot = next_slot(late, slot)) {
		int64_t user_id = late->base + (uint32_t)late->slots[slot];
		int has;

		if (late->slots[slot] >> 32 != hash)
			continue;
		has = has_name(store, &name, user_id, ret_id, err);
		if (has)
			return has;
	}
	return 0;
}

/* In login or identity_key. */
static int find_indexed(struct store *store, const struct name *name, int64_t *ret_id,
			struct err *err)
{
	AUTO(query)
	struct query query =
		query_open(store, name->kind == KEY ? STATEMENT_KEY_OWNER : STATEMENT_LOGIN_OWNER);
	struct compact buffer;
	int row;

	if (name->kind == KEY) {
		query_int(&query, name->source);
		query_compact(&query, name->text, &buffer);
	} else {
		query_text(&query, name->data);
		query_int(&query, name->kind);
	}
	row = query_row(&query, err);
	if (row > 0)
		*ret_id = column_int(&query, 0);
	return row;
}

static int find_owner(struct store *store, const struct name *name, int64_t *ret_id,
		      struct err *err)
{
	const struct horizon *horizon = store_horizon(store, err);
	int found = 0;

	if (!horizon)
		return -1;
	if (name->kind == KEY ? horizon->has_keys : horizon->has_logins)
		found = find_indexed(store, name, ret_id, err);
	if (found == 0 && horizon->last > horizon->named)
		found = find_late(store, horizon, *name, ret_id, err);
	else if (found == 0)
		late_forget(store);
	return found;
}

/* Outside a transaction a name that is indexed is answered from there; else both must be of one snapshot. */
static int find_name(struct store *store, const struct name *name, int64_t *ret_id, struct err *err)
{
	bool alone = sqlite3_get_autocommit(store->db) != 0;
	int found;

	if (!alone)
		return find_owner(store, name, ret_id, err);
	found = find_indexed(store, name, ret_id, err);
	if (found)
		return found;
	if (store_snapshot_begin(store, err) < 0)
		return -1;
	found = find_owner(store, name, ret_id, err);
	store_snapshot_end(store);
	return found;
}

int late_owner(struct store *store, enum login_kind kind, const char *text, int64_t *ret_user,
	       struct err *err)
{
	struct name name = name_of(kind, text);

	return *text ? find_name(store, &name, ret_user, err) : 0;
}

int late_key_owner(struct store *store, int64_t source, const char *key, int64_t *ret_id,
		   struct err *err)
{
	unsigned char buffer[16];
	struct name name = name_of_key(source, key, buffer);

	return find_name(store, &name, ret_id, err);
}

int late_has_uuid(struct store *store, const struct uuid *uuid, struct err *err)
{
	const struct horizon *horizon = store_horizon(store, err);
	int64_t user_id;
	int found = horizon ? 0 : -1;

	if (found == 0 && horizon->last > horizon->named)
		found = find_late(store, horizon, name_of_uuid(uuid), &user_id, err);
	if (found || horizon->named == 0)
		return found;

	AUTO(query) struct query query = query_open(store, STATEMENT_UUID_OWNER);

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	return query_row(&query, err);
}

int late_add(struct store *store, const struct user *user, int64_t user_id, struct err *err)
{
	struct late *late = &store->late;
	const struct horizon *horizon = store_horizon(store, err);
	bool has_email = !(user->disabled & DISABLED_DELETED);

	if (!horizon || catch_up(store, horizon, err) < 0)
		return -1;
	return add_names(late, user->username, has_email ? user->email : "", user->uuid.byte,
			 user_id, err);
}

int late_add_key(struct store *store, int64_t source, const char *key, int64_t user_id,
		 struct err *err)
{
	const struct horizon *horizon = store_horizon(store, err);

	if (!horizon || catch_up(store, horizon, err) < 0)
		return -1;
	return add_key(&store->late, source, key, user_id, err);
}

void late_settle(struct store *store, bool undone)
{
	struct late *late = &store->late;

	if (undone && late->last > late->settled)
		late->last = late->settled;
	else if (!undone)
		late->settled = late->last;
}
