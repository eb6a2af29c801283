/*
 * Identities: a small head by (source, key), and the record beside the other
 * records of its user. Enters: rows and digests. Leaves: the same.
 */
#include "db.h"

#include <string.h>

#define SLOTS INT64_C(65536)
#define USER_ID_MAX (INT64_MAX / SLOTS - 1)

struct head {
	int64_t user, slot;
};

/* 1 and the head, 0, -1. */
static int head_get(struct store *store, int64_t source, const char *key, struct head *ret_head,
		    struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_HEAD);
	struct compact buffer;

	query_int(&query, source);
	query_compact(&query, key, &buffer);

	int row = query_row(&query, err);

	if (row > 0)
		*ret_head = (struct head){ column_int(&query, 0), column_int(&query, 1) };
	return row;
}

/* The slot after the last one of the user. */
static int slot_free(struct store *store, int64_t user, int64_t *ret_slot, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RECORD_SLOT);

	query_int(&query, user);
	if (query_row(&query, err) < 0)
		return -1;

	bool none = sqlite3_column_type(query.statement, 0) == SQLITE_NULL;
	int64_t slot = none ? 0 : column_int(&query, 0) - user * SLOTS + 1;

	if (slot >= SLOTS)
		return err_set(err, ERR_TOO_LARGE, "a user has no more than %lld identities",
			       (long long)SLOTS);
	*ret_slot = slot;
	return 0;
}

/* As query_try: -2 when the slot is taken. */
static int record_add(struct store *store, int64_t source, const struct identity_row *row,
		      int64_t slot, struct err *err)
{
	bool is_first = slot == 0 && is_fresh(store, row->user_id, store->fresh_placed);
	AUTO(query)
	struct query query =
		query_open(store, is_first ? STATEMENT_RECORD_FIRST : STATEMENT_RECORD_ADD);
	struct compact buffer;

	if (row->user_id > store->fresh_placed)
		store->fresh_placed = row->user_id;
	query_int(&query, row->user_id * SLOTS + slot);
	query_int(&query, source);
	query_compact(&query, row->key, &buffer);
	query_blob(&query, row->record, row->record_size);
	return query_try(&query, err);
}

static int record_set(struct store *store, const struct head *head, const struct identity_row *row,
		      struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RECORD_SET);

	query_int(&query, head->user * SLOTS + head->slot);
	query_blob(&query, row->record, row->record_size);
	return query_run(&query, err);
}

static int record_delete(struct store *store, const struct head *head, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_RECORD_DELETE);

	query_int(&query, head->user * SLOTS + head->slot);
	return query_run(&query, err);
}

static int head_put(struct store *store, enum statement_id id, int64_t source, int64_t slot,
		    const struct identity_row *row, const struct hash128 *digest, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);
	struct compact buffer;

	query_int(&query, source);
	query_compact(&query, row->key, &buffer);
	query_int(&query, row->user_id);
	query_int(&query, slot);
	query_blob(&query, digest, sizeof(*digest));
	query_int(&query, row->read_s);
	return id == STATEMENT_IDENTITY_ADD ? query_try(&query, err) : query_run(&query, err);
}

/* The head is there: point it at a free slot of the user and put the record there. */
static int identity_place(struct store *store, int64_t source, const struct identity_row *row,
			  const struct hash128 *digest, struct err *err)
{
	int64_t slot = 0;

	if (slot_free(store, row->user_id, &slot, err) < 0 ||
	    head_put(store, STATEMENT_IDENTITY_SET, source, slot, row, digest, err) < 0)
		return -1;

	int added = record_add(store, source, row, slot, err);

	if (added == -2)
		return err_refuse(err, ERR_IO, "store-damaged",
				  "slot %lld of user %lld is not free", (long long)slot,
				  (long long)row->user_id);
	return added < 0 ? -1 : 0;
}

static int identity_replace(struct store *store, int64_t source, const struct identity_row *row,
			    const struct hash128 *digest, struct err *err)
{
	struct head head;
	int found = head_get(store, source, row->key, &head, err);

	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no user %lld", (long long)row->user_id);
	if (found < 0)
		return -1;
	if (head.user != row->user_id)
		return record_delete(store, &head, err) < 0
			       ? -1
			       : identity_place(store, source, row, digest, err);
	if (head_put(store, STATEMENT_IDENTITY_SET, source, head.slot, row, digest, err) < 0)
		return -1;
	return record_set(store, &head, row, err) < 0 ? -1 : 0;
}

/*
 * Try what is true for nearly all of a first import: a new identity, the first
 * of its user. Only when a constraint says otherwise are rows looked up.
 */
static int identity_put(struct store *store, int64_t source, const struct identity_row *row,
			const struct hash128 *digest, struct err *err)
{
	int added = head_put(store, STATEMENT_IDENTITY_ADD, source, 0, row, digest, err);

	if (added == -2)
		return identity_replace(store, source, row, digest, err);
	if (added < 0)
		return -1;
	added = record_add(store, source, row, 0, err);
	if (added == -2)
		return identity_place(store, source, row, digest, err);
	return added < 0 ? -1 : 0;
}

static int check_owner(struct store *store, int64_t user_id, struct err *err)
{
	if (user_id > USER_ID_MAX)
		return err_set(err, ERR_NOT_FOUND, "no user %lld", (long long)user_id);
	return store_check_user(store, user_id, err);
}

int store_identity_put(struct store *store, const struct identity_row *row,
		       const struct hash128 *digest, struct err *err)
{
	struct err cause = { 0 };
	int64_t source;
	int result = store_may_write(store, &cause);

	if (result == 0)
		result = names_source(store, row->source, &source, &cause);
	if (result == 0 && (check_owner(store, row->user_id, &cause) < 0 ||
			    identity_put(store, source, row, digest, &cause) < 0))
		result = store_spoil(store, &cause);
	if (result == 0)
		return 0;
	if (err)
		*err = cause;
	return err_wrap(err, "cannot store identity '%s' of '%s'", row->key, row->source);
}

int store_identity_set_missing(struct store *store, const char *source, const char *key,
			       int64_t missing_s, uint32_t missing_runs, struct err *err)
{
	struct compact buffer;
	int64_t source_id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &source_id, err) < 0)
		return -1;

	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_MISSING);

	query_int(&query, source_id);
	query_compact(&query, key, &buffer);
	query_int(&query, missing_s);
	query_int(&query, missing_runs);

	int changed = query_run(&query, err);

	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no identity '%s' of '%s'", key, source);
	return changed < 0 ? err_wrap(err, "cannot mark identity '%s' of '%s'", key, source) : 0;
}

int store_identity_confirm(struct store *store, const char *source, const char *key, int64_t read_s,
			   struct err *err)
{
	struct compact buffer;
	int64_t source_id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &source_id, err) < 0)
		return -1;

	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_CONFIRM);

	query_int(&query, source_id);
	query_compact(&query, key, &buffer);
	query_int(&query, read_s);

	int changed = query_run(&query, err);

	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no identity '%s' of '%s'", key, source);
	return changed < 0 ? err_wrap(err, "cannot confirm identity '%s' of '%s'", key, source) : 0;
}

static int identity_delete(struct store *store, int64_t source, const char *key, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_DELETE);
	struct compact buffer;

	query_int(&query, source);
	query_compact(&query, key, &buffer);
	return query_run(&query, err);
}

int store_identity_delete(struct store *store, const char *source, const char *key, struct err *err)
{
	struct head head;
	int64_t source_id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &source_id, err) < 0)
		return -1;

	int found = head_get(store, source_id, key, &head, err);

	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no identity '%s' of '%s'", key, source);
	if (found < 0 || record_delete(store, &head, err) < 0 ||
	    identity_delete(store, source_id, key, err) < 0)
		return err_wrap(err, "cannot delete identity '%s' of '%s'", key, source);
	return 0;
}

static int identity_from_row(const struct query *query, struct arena *arena,
			     struct identity_row *ret_row, struct err *err)
{
	struct compact buffer;
	size_t size;
	const void *record = column_blob(query, 3, &size);
	const char *source = names_text(query->store, NAMES_SOURCE, column_int(query, 0), err);

	if (!source)
		return -1;

	struct identity_row row = {
		.source = arena_strdup(arena, source),
		.key = arena_strdup(arena, column_compact(query, 1, &buffer)),
		.user_id = column_int(query, 2),
		.record = arena_memdup(arena, record, size),
		.record_size = size,
		.read_s = column_int(query, 4),
		.missing_s = column_int(query, 5),
		.missing_runs = (uint32_t)column_int(query, 6),
	};

	if (arena_check(arena, err) < 0)
		return -1;
	*ret_row = row;
	return 0;
}

int store_identity_get(struct store *store, const char *source, const char *key,
		       struct arena *arena, struct identity_row *ret_row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_GET);
	struct compact buffer;
	int64_t source_id;
	int found = names_find(store, NAMES_SOURCE, source, &source_id, err);

	if (found > 0) {
		query_int(&query, source_id);
		query_compact(&query, key, &buffer);
		found = query_row(&query, err);
	}
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no identity '%s' of '%s'", key, source);
	if (found < 0 || identity_from_row(&query, arena, ret_row, err) < 0)
		return err_wrap(err, "cannot read identity '%s' of '%s'", key, source);
	return 0;
}

int store_identities_of(struct store *store, int64_t user_id, struct arena *arena,
			struct identity_row **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITIES_OF);
	AUTO(rows) struct rows rows = ROWS(struct identity_row);
	int row;

	query_int(&query, user_id);
	while ((row = query_row(&query, err)) > 0) {
		struct identity_row *identity = rows_add(&rows);

		if (!identity)
			break;
		if ((row = identity_from_row(&query, arena, identity, err)) < 0)
			break;
	}
	if (row < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot read the identities of user %lld", (long long)user_id);
	return 0;
}

static int read_users(struct query *query, struct rows *rows, struct err *err)
{
	int row;

	while ((row = query_row(query, err)) > 0) {
		int64_t *id = rows_add(rows);

		if (!id)
			return 0;
		*id = column_int(query, 0);
	}
	return row;
}

int store_users_unread(struct store *store, const char *source, int64_t before_s, int64_t after_id,
		       size_t limit, struct arena *arena, int64_t **ret_ids, size_t *ret_count,
		       struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USERS_UNREAD);
	AUTO(rows) struct rows rows = ROWS(int64_t);
	int64_t source_id;
	int found = names_find(store, NAMES_SOURCE, source, &source_id, err);

	if (found > 0) {
		query_int(&query, source_id);
		query_int(&query, before_s);
		query_int(&query, after_id);
		query_int(&query, limit > INT32_MAX ? INT32_MAX : (int64_t)limit);
		found = read_users(&query, &rows, err);
	}
	if (found < 0 || rows_finish(&rows, arena, ret_ids, ret_count, err) < 0)
		return err_wrap(err, "cannot find users unread in '%s'", source);
	return 0;
}

static int give_head(const struct query *query,
		     int (*each)(void *context, const char *key, struct hash128 digest,
				 int64_t user_id, int64_t missing_s, uint32_t missing_runs),
		     void *context)
{
	struct compact buffer;
	struct hash128 digest = { { 0, 0 } };
	size_t size;
	const void *data = column_blob(query, 1, &size);

	if (size == sizeof(digest))
		memcpy(&digest, data, size);
	return each(context, column_compact(query, 0, &buffer), digest, column_int(query, 2),
		    column_int(query, 3), (uint32_t)column_int(query, 4));
}

int store_identity_each(struct store *store, const char *source,
			int (*each)(void *context, const char *key, struct hash128 digest,
				    int64_t user_id, int64_t missing_s, uint32_t missing_runs),
			void *context, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_EACH);
	int64_t source_id;
	int row = names_find(store, NAMES_SOURCE, source, &source_id, err);

	if (row > 0) {
		query_int(&query, source_id);
		while ((row = query_row(&query, err)) > 0)
			if (give_head(&query, each, context) < 0)
				return err_set(err, ERR_CANCELLED, "stopped by the reader");
	}
	return row < 0 ? err_wrap(err, "cannot read the identities of '%s'", source) : 0;
}
