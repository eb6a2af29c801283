/*
 * Identities: a small head by (source, key), and the record beside the other
 * records of its user. Enters: rows and digests. Leaves: the same.
 */
#include "db.h"

#include <string.h>

#define USER_ID_MAX (INT64_MAX / IDENTITIES_OF_USER - 1)

/* The number after the user's last one. */
static int id_free(struct store *store, int64_t user_id, int64_t *ret_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_LAST);

	query_int(&query, user_id);
	if (query_row(&query, err) < 0)
		return -1;

	bool none = sqlite3_column_type(query.statement, 0) == SQLITE_NULL;
	int64_t id = none ? user_id * IDENTITIES_OF_USER : column_int(&query, 0) + 1;

	if (identity_user(id) != user_id)
		return err_set(err, ERR_TOO_LARGE, "a user has no more than %lld identities",
			       (long long)IDENTITIES_OF_USER);
	*ret_id = id;
	return 0;
}

static int head_add(struct store *store, bool is_first, int64_t id, int64_t source,
		    const struct identity_row *row, const struct hash128 *digest, struct err *err)
{
	AUTO(query)
	struct query query =
		query_open(store, is_first ? STATEMENT_IDENTITY_FIRST : STATEMENT_IDENTITY_ADD);
	struct compact buffer;

	query_int(&query, id);
	query_int(&query, source);
	query_compact(&query, row->key, &buffer);
	query_blob(&query, digest, sizeof(*digest));
	query_int(&query, row->read_s);
	return query_run(&query, err);
}

static int record_put(struct store *store, enum statement_id statement, int64_t id,
		      const struct identity_row *row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, statement);

	query_int(&query, id);
	query_blob(&query, row->record, row->record_size);
	return query_run(&query, err);
}

static int drop_by_id(struct store *store, enum statement_id statement, int64_t id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, statement);

	query_int(&query, id);
	return query_run(&query, err);
}

static int key_set(struct store *store, int64_t source, const char *key, int64_t id,
		   struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_KEY_SET);
	struct compact buffer;

	query_int(&query, source);
	query_compact(&query, key, &buffer);
	query_int(&query, id);
	if (query_run(&query, err) < 0)
		return -1;
	store->horizon.has_keys = true;
	return 0;
}

/* Who shall have it by a person's word has it, or somebody else: nothing is left to be wanted. */
static int link_done(struct store *store, int64_t source, const char *key, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LINK_DONE);
	struct compact buffer;

	query_int(&query, source);
	query_compact(&query, key, &buffer);
	return query_run(&query, err) < 0 ? -1 : 0;
}

static int key_drop(struct store *store, int64_t source, const char *key, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_KEY_DROP);
	struct compact buffer;

	query_int(&query, source);
	query_compact(&query, key, &buffer);
	return query_run(&query, err);
}

/* Head and record under a free number of the user. The first one of somebody new needs no look. */
static int identity_add(struct store *store, int64_t source, const struct identity_row *row,
			const struct hash128 *digest, int64_t *ret_id, struct err *err)
{
	bool is_first = is_fresh(store, row->user_id, store->fresh_placed);
	int64_t id = row->user_id * IDENTITIES_OF_USER;

	if (!is_first && id_free(store, row->user_id, &id, err) < 0)
		return -1;
	if (row->user_id > store->fresh_placed)
		store->fresh_placed = row->user_id;
	if (head_add(store, is_first, id, source, row, digest, err) < 0)
		return -1;
	*ret_id = id;
	return record_put(store, is_first ? STATEMENT_RECORD_FIRST : STATEMENT_RECORD_ADD, id, row,
			  err);
}

static int identity_drop(struct store *store, int64_t id, struct err *err)
{
	store->renamed++;
	if (drop_by_id(store, STATEMENT_IDENTITY_DELETE, id, err) < 0)
		return -1;
	return drop_by_id(store, STATEMENT_RECORD_DELETE, id, err);
}

static int identity_replace(struct store *store, int64_t id, const struct identity_row *row,
			    const struct hash128 *digest, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_SET);

	query_int(&query, id);
	query_blob(&query, digest, sizeof(*digest));
	query_int(&query, row->read_s);
	if (query_run(&query, err) < 0)
		return -1;
	return record_put(store, STATEMENT_RECORD_SET, id, row, err) < 0 ? -1 : 0;
}

/* The key of who is new with their user waits for idle time (late.h). */
static int identity_put(struct store *store, int64_t source, const struct identity_row *row,
			const struct hash128 *digest, struct err *err)
{
	int64_t old, id;
	int found = late_key_owner(store, source, row->key, &old, err);

	if (found < 0)
		return -1;
	if (found && identity_user(old) == row->user_id)
		return identity_replace(store, old, row, digest, err);
	if (found && identity_drop(store, old, err) < 0)
		return -1;
	if (identity_add(store, source, row, digest, &id, err) < 0)
		return -1;
	if (!found && is_fresh(store, row->user_id, 0))
		return late_add_key(store, source, row->key, row->user_id, err);
	if (key_set(store, source, row->key, id, err) < 0)
		return -1;
	return link_done(store, source, row->key, err);
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

/* The id of an identity that is to be changed. */
static int find_for_change(struct store *store, const char *source, const char *key,
			   int64_t *ret_source, int64_t *ret_id, struct err *err)
{
	int found;

	if (store_may_write(store, err) < 0 || names_source(store, source, ret_source, err) < 0)
		return -1;
	found = late_key_owner(store, *ret_source, key, ret_id, err);
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no identity '%s' of '%s'", key, source);
	return found < 0 ? -1 : 0;
}

int store_identity_set_missing(struct store *store, const char *source, const char *key,
			       int64_t missing_s, uint32_t missing_runs, struct err *err)
{
	int64_t source_id, id;

	if (find_for_change(store, source, key, &source_id, &id, err) < 0)
		return -1;

	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_MISSING);

	query_int(&query, id);
	query_int(&query, missing_s);
	query_int(&query, missing_runs);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot mark identity '%s' of '%s'", key, source);
	return 0;
}

int store_identity_confirm(struct store *store, const char *source, const char *key, int64_t read_s,
			   struct err *err)
{
	int64_t source_id, id;

	if (find_for_change(store, source, key, &source_id, &id, err) < 0)
		return -1;

	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_CONFIRM);

	query_int(&query, id);
	query_int(&query, read_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot confirm identity '%s' of '%s'", key, source);
	return 0;
}

int store_identity_delete(struct store *store, const char *source, const char *key, struct err *err)
{
	int64_t source_id, id;

	if (find_for_change(store, source, key, &source_id, &id, err) < 0)
		return -1;
	if (identity_drop(store, id, err) < 0 || key_drop(store, source_id, key, err) < 0)
		return err_wrap(err, "cannot delete identity '%s' of '%s'", key, source);
	return 0;
}

static int identity_from_row(const struct query *query, struct arena *arena,
			     struct identity_row *ret_row, struct err *err)
{
	struct compact buffer;
	size_t size;
	const void *record = column_blob(query, 3, &size);
	const char *source = names_text(query->store, NAMES_SOURCE, column_int(query, 1), err);

	if (!source)
		return -1;

	struct identity_row row = {
		.source = arena_strdup(arena, source),
		.key = arena_strdup(arena, column_compact(query, 2, &buffer)),
		.user_id = identity_user(column_int(query, 0)),
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

/* 1 and the row, 0, -1; within one snapshot. */
static int identity_get(struct store *store, int64_t source, const char *key, struct arena *arena,
			struct identity_row *ret_row, struct err *err)
{
	int64_t id;
	int found = late_key_owner(store, source, key, &id, err);

	if (found <= 0)
		return found;

	AUTO(query) struct query query = query_open(store, STATEMENT_IDENTITY_GET);

	query_int(&query, id);
	found = query_row(&query, err);
	if (found == 0)
		return err_refuse(err, ERR_IO, "store-damaged",
				  "store '%s': identity %lld is missing", store->path,
				  (long long)id);
	return found < 0 || identity_from_row(&query, arena, ret_row, err) < 0 ? -1 : 1;
}

int store_identity_get(struct store *store, const char *source, const char *key,
		       struct arena *arena, struct identity_row *ret_row, struct err *err)
{
	bool alone = sqlite3_get_autocommit(store->db) != 0;
	int64_t source_id;
	int found;

	if (alone && store_snapshot_begin(store, err) < 0)
		return err_wrap(err, "cannot read identity '%s' of '%s'", key, source);
	found = names_find(store, NAMES_SOURCE, source, &source_id, err);
	if (found > 0)
		found = identity_get(store, source_id, key, arena, ret_row, err);
	if (alone)
		store_snapshot_end(store);
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no identity '%s' of '%s'", key, source);
	return found < 0 ? err_wrap(err, "cannot read identity '%s' of '%s'", key, source) : 0;
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
