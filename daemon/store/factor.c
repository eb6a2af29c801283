/*
 * Second factors as rows, and how many there are. Enters: rows, questions about them. Leaves: the same, texts and bytes
 * in the caller's arena. Fails as the store does; a row that is not there is ERR_NOT_FOUND and spoils nothing.
 */
#include <rolebridge/store/factor.h>

#include <string.h>

#include "db.h"

#define COLUMNS \
	"id, uuid, user, method, name, version, confirmed_s, session, until_s, sealed, key, hint, " \
	"counter, credential, public_key, model, user_verified, backed_up, created_s, used_s"

/* --- writing --- */

/* Nothing is NULL, and not an empty blob. */
static void bind_bytes(struct query *query, const void *data, size_t size)
{
	if (size > 0)
		query_blob(query, data, size);
	else
		query_text(query, NULL);
}

static void bind_row(struct query *query, const struct factor_row *row)
{
	bool is_key = row->method == FACTOR_WEBAUTHN;

	query_blob(query, row->uuid.byte, sizeof(row->uuid.byte));
	query_int(query, row->user_id);
	query_int(query, row->method);
	query_text(query, row->name);
	query_int(query, row->version);
	query_int(query, row->confirmed_s);
	query_int(query, row->session_id);
	query_int(query, row->until_s);
	bind_bytes(query, row->sealed, row->sealed_size);
	query_int(query, row->key_id);
	query_text(query, row->hint ? row->hint : "");
	query_int(query, row->counter);
	bind_bytes(query, row->credential, row->credential_size);
	bind_bytes(query, row->public_key, row->public_key_size);
	bind_bytes(query, row->model.byte, is_key ? sizeof(row->model.byte) : 0);
	query_int(query, row->user_verified);
	query_int(query, row->backed_up);
	query_int(query, row->created_s);
	query_int(query, row->used_s);
}

/* 1 taken, 0, -1 */
static int credential_taken(struct store *store, const struct factor_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT 1 FROM factor WHERE credential = ?1");

	if (row->credential_size == 0)
		return 0;
	query_blob(&query, row->credential, row->credential_size);
	return query_row(&query, err);
}

static int insert(struct store *store, struct factor_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT INTO factor (uuid, user, method, name, version, confirmed_s, session, "
		"until_s, sealed, key, hint, counter, credential, public_key, model, "
		"user_verified, backed_up, created_s, used_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, "
		"?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)");

	bind_row(&query, row);
	if (query_run(&query, err) < 0)
		return -1;
	row->id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_factor_insert(struct store *store, struct factor_row *row, struct err *err)
{
	int taken;

	if (store_may_write(store, err) < 0 || store_check_user(store, row->user_id, err) < 0)
		return err_wrap(err, "cannot store a factor");
	taken = credential_taken(store, row, err);
	if (taken > 0)
		return err_refuse(err, ERR_CONFLICT, "credential-taken",
				  "this security key is enrolled already");
	if (taken < 0 || insert(store, row, err) < 0)
		return err_wrap(err, "cannot store a factor");
	return 0;
}

int store_factor_update(struct store *store, const struct factor_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE factor SET name = ?2, version = ?3, confirmed_s = ?4, session = ?5, "
		       "until_s = ?6, sealed = ?7, key = ?8, counter = ?9, used_s = ?10 "
		       "WHERE id = ?1");
	int changed;

	query_int(&query, row->id);
	query_text(&query, row->name);
	query_int(&query, row->version);
	query_int(&query, row->confirmed_s);
	query_int(&query, row->session_id);
	query_int(&query, row->until_s);
	bind_bytes(&query, row->sealed, row->sealed_size);
	query_int(&query, row->key_id);
	query_int(&query, row->counter);
	query_int(&query, row->used_s);
	changed = query_run(&query, err);
	if (changed == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	return changed < 0 ? err_wrap(err, "cannot change a factor") : 0;
}

int store_factor_reseal(struct store *store, int64_t id, const void *before, size_t before_size,
			const void *after, size_t after_size, int64_t key_id, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE factor SET sealed = ?3, key = ?4 WHERE id = ?1 AND sealed = ?2");
	int changed;

	query_int(&query, id);
	query_blob(&query, before, before_size);
	query_blob(&query, after, after_size);
	query_int(&query, key_id);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot seal a factor anew") : changed > 0;
}

int store_factor_delete(struct store *store, int64_t id, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(store, "DELETE FROM factor WHERE id = ?1");
	int changed;

	query_int(&query, id);
	changed = query_run(&query, err);
	if (changed == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	return changed < 0 ? err_wrap(err, "cannot remove a factor") : 0;
}

static int delete_of(struct store *store, const char *sql, int64_t number, int64_t limit,
		     struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, sql);

	query_int(&query, number);
	query_int(&query, limit);
	return query_run(&query, err);
}

int store_factors_drop(struct store *store, int64_t user_id, struct err *err)
{
	if (store_may_write(store, err) < 0 ||
	    delete_of(store, "DELETE FROM factor WHERE user = ?1 AND ?2 >= 0", user_id, 0, err) <
		    0 ||
	    delete_of(store, "DELETE FROM recovery_code WHERE user = ?1 AND ?2 >= 0", user_id, 0,
		      err) < 0)
		return err_wrap(err, "cannot remove factors");
	return 0;
}

int store_factor_prune(struct store *store, int64_t now_s, size_t limit, struct err *err)
{
	static const char *const statements[] = {
		"DELETE FROM factor WHERE id IN (SELECT id FROM factor WHERE confirmed_s = 0 AND "
		"until_s <= ?1 LIMIT ?2)",
		"DELETE FROM recovery_code WHERE id IN (SELECT id FROM recovery_code WHERE "
		"until_s <> 0 AND until_s <= ?1 LIMIT ?2)",
		"DELETE FROM challenge_used WHERE id IN (SELECT id FROM challenge_used WHERE "
		"until_s < ?1 LIMIT ?2)",
		"DELETE FROM challenge WHERE (factor, session) IN (SELECT factor, session FROM "
		"challenge WHERE sent_s <= ?1 - 86400 LIMIT ?2)",
		/* Letters about factors that nobody could send: after a week they are no news. */
		"DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE kind = 'factor' AND "
		"created_s < ?1 - 604800 LIMIT ?2)",
	};
	int gone = 0;

	if (store_may_write(store, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		int changed = delete_of(store, statements[i], now_s, (int64_t)limit, err);

		if (changed < 0)
			return err_wrap(err, "cannot remove old factors");
		gone += changed;
	}
	return gone;
}

/* --- reading --- */

static const void *copy_bytes(struct query *query, int column, struct arena *arena,
			      size_t *ret_size)
{
	const void *data = column_blob(query, column, ret_size);

	return *ret_size > 0 ? arena_memdup(arena, data, *ret_size) : NULL;
}

static int copy_uuid(struct query *query, int column, struct uuid *ret_uuid, struct err *err)
{
	size_t size;
	const void *data = column_blob(query, column, &size);

	if (size != sizeof(ret_uuid->byte))
		return err_set(err, ERR_IO, "a factor is damaged");
	memcpy(ret_uuid->byte, data, size);
	return 0;
}

static int from_row(struct query *query, struct arena *arena, struct factor_row *ret_row,
		    struct err *err)
{
	struct factor_row row = {
		.id = column_int(query, 0),
		.user_id = column_int(query, 2),
		.method = (enum factor_method)column_int(query, 3),
		.name = column_copy(query, 4, arena),
		.version = column_int(query, 5),
		.confirmed_s = column_int(query, 6),
		.session_id = column_int(query, 7),
		.until_s = column_int(query, 8),
		.key_id = column_int(query, 10),
		.hint = column_copy(query, 11, arena),
		.counter = column_int(query, 12),
		.user_verified = column_int(query, 16) != 0,
		.backed_up = column_int(query, 17) != 0,
		.created_s = column_int(query, 18),
		.used_s = column_int(query, 19),
	};

	row.sealed = copy_bytes(query, 9, arena, &row.sealed_size);
	row.credential = copy_bytes(query, 13, arena, &row.credential_size);
	row.public_key = copy_bytes(query, 14, arena, &row.public_key_size);
	if (copy_uuid(query, 1, &row.uuid, err) < 0 ||
	    (row.method == FACTOR_WEBAUTHN && copy_uuid(query, 15, &row.model, err) < 0))
		return -1;
	*ret_row = row;
	return arena_check(arena, err);
}

static int read_one(struct query *query, struct arena *arena, struct factor_row *ret_row,
		    struct err *err)
{
	struct factor_row read;
	int row = query_row(query, err);

	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	if (row < 0 || from_row(query, arena, &read, err) < 0)
		return err_wrap(err, "cannot read a factor");
	*ret_row = read;
	return 0;
}

int store_factor_get(struct store *store, const struct uuid *uuid, struct arena *arena,
		     struct factor_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM factor WHERE uuid = ?1");

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	return read_one(&query, arena, ret_row, err);
}

int store_factor_by_credential(struct store *store, const void *credential, size_t size,
			       struct arena *arena, struct factor_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM factor "
						  "WHERE credential = ?1 AND confirmed_s <> 0");

	query_blob(&query, credential, size);
	return read_one(&query, arena, ret_row, err);
}

static int read_all(struct query *query, struct arena *arena, struct factor_row **ret_rows,
		    size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct factor_row);
	int row;

	while ((row = query_row(query, err)) > 0) {
		struct factor_row *factor = rows_add(&rows);

		if (!factor)
			break;
		if (from_row(query, arena, factor, err) < 0)
			return err_wrap(err, "cannot list factors");
	}
	if (row < 0)
		return err_wrap(err, "cannot list factors");
	return rows_finish(&rows, arena, ret_rows, ret_count, err);
}

int store_factor_list(struct store *store, int64_t user_id, bool unconfirmed, struct arena *arena,
		      struct factor_row **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " COLUMNS
		       " FROM factor WHERE user = ?1 AND (?2 OR confirmed_s <> 0) ORDER BY id");

	query_int(&query, user_id);
	query_int(&query, unconfirmed);
	return read_all(&query, arena, ret_rows, ret_count, err);
}

int store_factor_sealed_otherwise(struct store *store, int64_t key_id, int64_t after_id,
				  size_t limit, struct arena *arena, struct factor_row **ret_rows,
				  size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " COLUMNS " FROM factor WHERE key <> 0 AND key <> ?1 AND id > ?2 "
		       "ORDER BY id LIMIT ?3");

	query_int(&query, key_id);
	query_int(&query, after_id);
	query_int(&query, (int64_t)limit);
	return read_all(&query, arena, ret_rows, ret_count, err);
}

/* --- who has what --- */

static int add_methods(struct store *store, enum statement_id what, int64_t user_id,
		       unsigned *methods, struct err *err)
{
	AUTO(query) struct query query = query_open(store, what);
	int row;

	query_int(&query, user_id);
	while ((row = query_row(&query, err)) > 0)
		*methods |= FACTOR_BIT(column_int(&query, 0) & 31);
	return row;
}

/* Each sign-in asks: of most people there is nothing, which one look says. */
int store_factor_methods(struct store *store, int64_t user_id, unsigned *ret_methods,
			 struct err *err)
{
	unsigned methods = 0;

	if (add_methods(store, STATEMENT_FACTOR_METHODS, user_id, &methods, err) < 0 ||
	    (methods && add_methods(store, STATEMENT_RECOVERY_LEFT, user_id, &methods, err) < 0))
		return err_wrap(err, "cannot read factors");
	*ret_methods = methods;
	return 0;
}

int store_factor_holders(struct store *store, int64_t after_user, size_t limit, struct arena *arena,
			 struct factor_holder **ret_holders, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT user, sum(bit) FROM (SELECT DISTINCT user, 1 << method AS bit FROM "
		       "factor WHERE user > ?1 AND confirmed_s <> 0 UNION ALL SELECT DISTINCT "
		       "user, 1 << 5 FROM recovery_code WHERE user > ?1 AND slot < 10 AND "
		       "used_s = 0) GROUP BY user ORDER BY user LIMIT ?2");
	AUTO(rows) struct rows rows = ROWS(struct factor_holder);
	int row;

	query_int(&query, after_user);
	query_int(&query, (int64_t)limit);
	while ((row = query_row(&query, err)) > 0) {
		struct factor_holder *holder = rows_add(&rows);

		if (!holder)
			break;
		holder->user_id = column_int(&query, 0);
		holder->methods = (unsigned)column_int(&query, 1);
	}
	if (row < 0)
		return err_wrap(err, "cannot read factors");
	return rows_finish(&rows, arena, ret_holders, ret_count, err);
}

int store_factor_counts(struct store *store, int64_t now_s, struct factor_counts *ret_counts,
			struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT method, count(*) FROM factor WHERE confirmed_s <> 0 GROUP BY method "
		       "UNION ALL SELECT 5, count(DISTINCT user) FROM recovery_code WHERE "
		       "slot < 10 AND used_s = 0 UNION ALL SELECT 0, count(*) FROM recovery_code "
		       "WHERE slot = 10 AND used_s = 0 AND until_s > ?1");
	struct factor_counts counts = { 0 };
	int row;

	query_int(&query, now_s);
	while ((row = query_row(&query, err)) > 0) {
		int64_t method = column_int(&query, 0), count = column_int(&query, 1);

		if (method > 0 && method < FACTOR_METHODS)
			counts.by_method[method] = count;
		else
			counts.issued = count;
	}
	if (row < 0)
		return err_wrap(err, "cannot count factors");
	*ret_counts = counts;
	return 0;
}

int store_factor_totals(struct store *store, int64_t ret_counts[static FACTOR_METHODS],
			struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT method, count(*) FROM factor INDEXED BY factor_method "
				     "WHERE confirmed_s <> 0 GROUP BY method");
	int64_t counts[FACTOR_METHODS] = { 0 };
	int row;

	while ((row = query_row(&query, err)) > 0) {
		int64_t method = column_int(&query, 0);

		if (method > 0 && method < FACTOR_METHODS)
			counts[method] = column_int(&query, 1);
	}
	if (row < 0)
		return err_wrap(err, "cannot count factors");
	memcpy(ret_counts, counts, sizeof(counts));
	return 0;
}

int store_factor_keys(struct store *store, struct arena *arena, struct sealed_count **ret_counts,
		      size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT key, count(*) FROM factor WHERE key <> 0 GROUP BY key ORDER BY key");
	AUTO(rows) struct rows rows = ROWS(struct sealed_count);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct sealed_count *count = rows_add(&rows);

		if (!count)
			break;
		count->key_id = column_int(&query, 0);
		count->rows = column_int(&query, 1);
	}
	if (row < 0)
		return err_wrap(err, "cannot count what is sealed");
	return rows_finish(&rows, arena, ret_counts, ret_count, err);
}
