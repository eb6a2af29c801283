/*
 * Statements and rows. Enters: statement ids and values. Leaves: rows.
 * Fails as SQLite does; every result code becomes an err here and nowhere else.
 */
#include "db.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

/* --- errors --- */

struct cause {
	int rc; /* primary or extended; the first row that fits counts */
	enum err_code code;
	const char *reason;
	const char *text;
};

static const struct cause causes[] = {
	{ SQLITE_IOERR_NOMEM, ERR_MEMORY, NULL, "out of memory" },
	{ SQLITE_NOMEM, ERR_MEMORY, NULL, "out of memory" },
	{ SQLITE_FULL, ERR_IO, "store-full", "disk is full; the change was refused as a whole" },
	{ SQLITE_IOERR, ERR_IO, "store-io",
	  "disk cannot be read or written; the change was refused as a whole" },
	{ SQLITE_BUSY, ERR_UNAVAILABLE, "store-busy", "another process is writing to the store" },
	{ SQLITE_LOCKED, ERR_UNAVAILABLE, "store-busy", "the store is in use" },
	{ SQLITE_CORRUPT, ERR_IO, "store-damaged", "the store is damaged" },
	{ SQLITE_NOTADB, ERR_IO, "store-damaged", "the file is no store, or damaged" },
	{ SQLITE_CANTOPEN, ERR_IO, "store-io", "file cannot be opened" },
	{ SQLITE_PERM, ERR_IO, "store-io", "no permission" },
	{ SQLITE_READONLY_DBMOVED, ERR_IO, "store-io", "the file was moved or removed" },
	{ SQLITE_READONLY, ERR_DENIED, "store-readonly", "this handle only reads" },
	{ SQLITE_INTERRUPT, ERR_CANCELLED, NULL, "asked to stop" },
	{ SQLITE_TOOBIG, ERR_TOO_LARGE, NULL, "value is too large for the store" },
	{ SQLITE_CONSTRAINT_FOREIGNKEY, ERR_NOT_FOUND, NULL,
	  "what the row belongs to is not there" },
	{ SQLITE_CONSTRAINT_UNIQUE, ERR_CONFLICT, NULL, "the row is there already" },
	{ SQLITE_CONSTRAINT_PRIMARYKEY, ERR_CONFLICT, NULL, "the row is there already" },
	{ SQLITE_CONSTRAINT_ROWID, ERR_CONFLICT, NULL, "the row is there already" },
};

int store_error(const struct store *store, int rc, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		const struct cause *cause = &causes[i];

		if (cause->rc != rc && cause->rc != (rc & 0xff))
			continue;
		if (cause->reason)
			return err_refuse(err, cause->code, cause->reason, "store '%s': %s",
					  store->path, cause->text);
		return err_set(err, cause->code, "store '%s': %s", store->path, cause->text);
	}
	return err_set(err, ERR_INTERNAL, "store '%s': %s (%d)", store->path,
		       store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc), rc);
}

int store_spoil(struct store *store, const struct err *err)
{
	if (!store->in_transaction || store->mode != STORE_WRITE)
		return -1;
	if (!store->failed && err)
		store->failure = *err;
	else if (!store->failed)
		err_set(&store->failure, ERR_INTERNAL, "a write failed");
	store->failed = true;
	return -1;
}

int store_may_write(struct store *store, struct err *err)
{
	if (store->mode != STORE_WRITE)
		return err_refuse(err, ERR_DENIED, "store-readonly",
				  "store '%s': this handle only reads", store->path);
	if (!store->in_transaction)
		return err_set(err, ERR_INTERNAL, "store '%s': write outside a transaction",
			       store->path);
	return 0;
}

/* --- statements --- */

int store_prepare(struct store *store, enum statement_id id)
{
	return sqlite3_prepare_v3(store->db, statement_texts[id], -1, SQLITE_PREPARE_PERSISTENT,
				  &store->statements[id], NULL);
}

struct query query_open(struct store *store, enum statement_id id)
{
	struct query query = { .store = store, .rc = SQLITE_OK, .batch = batch_of(store, id) };

	if (query.batch)
		return query;
	if (store->has_waiting && statement_needs_flush(id, store->has_people_waiting))
		query.flush_failed = batch_flush(store, NULL) < 0;
	if (!store->statements[id])
		query.rc = store_prepare(store, id);
	query.statement = store->statements[id];
	return query;
}

struct query query_prepare(struct store *store, const char *sql)
{
	struct query query = { .store = store, .owned = true };

	if (store->has_waiting)
		query.flush_failed = batch_flush(store, NULL) < 0;
	query.rc = sqlite3_prepare_v3(store->db, sql, -1, 0, &query.statement, NULL);
	return query;
}

void query_auto(struct query *query)
{
	if (query->owned && query->statement)
		query->store->steps +=
			sqlite3_stmt_status(query->statement, SQLITE_STMTSTATUS_VM_STEP, 1);
	if (query->owned)
		sqlite3_finalize(query->statement);
	else if (query->statement)
		sqlite3_reset(query->statement);
}

void query_again(struct query *query)
{
	sqlite3_reset(query->statement);
	query->bound = 0;
	if (query->rc == SQLITE_ROW || query->rc == SQLITE_DONE)
		query->rc = SQLITE_OK;
}

static void query_bound(struct query *query, int rc)
{
	if (query->rc == SQLITE_OK)
		query->rc = rc;
}

/* A statement made at run time may not name all parameters it is given. */
static bool query_takes(struct query *query)
{
	query->bound++;
	return query->rc == SQLITE_OK &&
	       (!query->owned || query->bound <= sqlite3_bind_parameter_count(query->statement));
}

void query_int(struct query *query, int64_t value)
{
	if (query->batch)
		batch_integer(query->batch, value);
	else if (query_takes(query))
		query_bound(query, sqlite3_bind_int64(query->statement, query->bound, value));
}

void query_text(struct query *query, const char *text)
{
	if (query->batch)
		batch_bytes(query->batch, text ? SQLITE_TEXT : SQLITE_NULL, text,
			    text ? strlen(text) : 0);
	else if (query_takes(query))
		query_bound(query, sqlite3_bind_text(query->statement, query->bound, text, -1,
						     SQLITE_STATIC));
}

void query_blob(struct query *query, const void *data, size_t size)
{
	/* An empty blob by a null pointer would be NULL. */
	if (query->batch)
		batch_bytes(query->batch, SQLITE_BLOB, data, size);
	else if (query_takes(query))
		query_bound(query, sqlite3_bind_blob64(query->statement, query->bound,
						       data ? data : "", size, SQLITE_STATIC));
}

void query_bytes(struct query *query, const char *text, size_t size)
{
	if (query->batch)
		batch_bytes(query->batch, SQLITE_TEXT, text, size);
	else if (query_takes(query))
		query_bound(query, sqlite3_bind_text64(query->statement, query->bound, text, size,
						       SQLITE_STATIC, SQLITE_UTF8));
}

static int query_step(struct query *query, struct err *err)
{
	if (query->flush_failed) {
		if (err)
			*err = query->store->failure;
		return -1;
	}
	if (query->store->failed)
		return err_set(err, ERR_INTERNAL, "store '%s': only rollback is possible after: %s",
			       query->store->path, query->store->failure.text);
	if (query->rc == SQLITE_OK)
		query->rc = sqlite3_step(query->statement);
	return 0;
}

int query_row(struct query *query, struct err *err)
{
	if (query_step(query, err) < 0)
		return -1;
	if (query->rc == SQLITE_ROW) {
		query->rc = SQLITE_OK;
		return 1;
	}
	if (query->rc == SQLITE_DONE)
		return 0;

	struct err cause = { 0 };

	store_error(query->store, query->rc, &cause);
	/* SQLite may have given up the whole transaction for it (memory, disk). */
	if (query->store->in_transaction && sqlite3_get_autocommit(query->store->db))
		store_spoil(query->store, &cause);
	if (err)
		*err = cause;
	return -1;
}

/* The row waits with others. */
static int query_wait(struct query *query, struct err *err)
{
	struct store *store = query->store;
	struct err cause = { 0 };

	if (store->failed)
		return query_step(query, err);
	query->rc = batch_end_row(query->batch);
	if (query->rc != SQLITE_OK) {
		store_error(store, query->rc, &cause);
		if (err)
			*err = cause;
		return store_spoil(store, &cause);
	}
	store->has_waiting = true;
	store->has_people_waiting |= batch_is_of_people(store, query->batch);
	return batch_is_full(query->batch) && batch_flush(store, err) < 0 ? -1 : 1;
}

static int query_write(struct query *query, bool trying, struct err *err)
{
	struct err cause = { 0 };

	if (store_may_write(query->store, err) < 0)
		return -1;
	if (query->batch)
		return query_wait(query, err);
	if (store_enter_savepoint(query->store, err) < 0 || query_step(query, err) < 0)
		return -1;
	if (query->rc == SQLITE_DONE) {
		query->rc = SQLITE_OK;
		return sqlite3_changes(query->store->db);
	}
	if (trying && (query->rc & 0xff) == SQLITE_CONSTRAINT &&
	    !sqlite3_get_autocommit(query->store->db))
		return -2;
	store_error(query->store, query->rc, &cause);
	if (err)
		*err = cause;
	return store_spoil(query->store, &cause);
}

int query_run(struct query *query, struct err *err)
{
	return query_write(query, false, err);
}

int query_try(struct query *query, struct err *err)
{
	return query_write(query, true, err);
}

int query_number(struct query *query, int64_t *ret_value, struct err *err)
{
	int row = query_row(query, err);

	if (row < 0)
		return -1;
	if (row == 0)
		return err_set(err, ERR_INTERNAL, "store '%s': a count gave no row",
			       query->store->path);
	*ret_value = column_int(query, 0);
	return 0;
}

int64_t column_int(const struct query *query, int column)
{
	return sqlite3_column_int64(query->statement, column);
}

const char *column_text(const struct query *query, int column)
{
	const unsigned char *text = sqlite3_column_text(query->statement, column);

	return text ? (const char *)text : "";
}

const char *column_copy(const struct query *query, int column, struct arena *arena)
{
	const char *text = column_text(query, column);

	return arena_strndup(arena, text, strlen(text));
}

const void *column_blob(const struct query *query, int column, size_t *ret_size)
{
	const void *data = sqlite3_column_blob(query->statement, column);

	*ret_size = (size_t)sqlite3_column_bytes(query->statement, column);
	return data ? data : "";
}

/* --- UUIDs in columns of type ANY --- */

/* Values of lower-case hex digits plus one, so that all else is 0. */
static const unsigned char digits[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

bool compact_uuid(const char *text, unsigned char ret_uuid[16])
{
	static const unsigned char places[16] = { 0,  2,  4,  6,  9,  11, 14, 16,
						  19, 21, 24, 26, 28, 30, 32, 34 };
	const unsigned char *from = (const unsigned char *)text;
	unsigned char uuid[16];
	bool fine = true;

	if (strnlen(text, UUID_TEXT_SIZE) != UUID_TEXT_SIZE - 1 || text[8] != '-' ||
	    text[13] != '-' || text[18] != '-' || text[23] != '-')
		return false;
	for (size_t i = 0; i < 16; i++) {
		unsigned high = digits[from[places[i]]], low = digits[from[places[i] + 1]];

		fine &= high && low;
		uuid[i] = (unsigned char)((high - 1) << 4 | ((low - 1) & 15));
	}
	if (fine)
		memcpy(ret_uuid, uuid, sizeof(uuid));
	return fine;
}

void query_compact(struct query *query, const char *text, struct compact *buffer)
{
	if (compact_uuid(text, buffer->uuid))
		query_blob(query, buffer->uuid, sizeof(buffer->uuid));
	else
		query_text(query, text);
}

const char *column_compact(const struct query *query, int column, struct compact *buffer)
{
	struct uuid uuid;

	if (sqlite3_column_type(query->statement, column) != SQLITE_BLOB)
		return column_text(query, column);
	if (sqlite3_column_bytes(query->statement, column) != sizeof(uuid))
		return "";
	memcpy(&uuid, sqlite3_column_blob(query->statement, column), sizeof(uuid));
	uuid_format(&uuid, buffer->text);
	return buffer->text;
}

/* --- results --- */

int arena_check(const struct arena *arena, struct err *err)
{
	if (!arena_failed(arena))
		return 0;
	return err_set(err, ERR_MEMORY, "no memory left for the answer of the store");
}

void *rows_add(struct rows *rows)
{
	if (rows->failed)
		return NULL;
	if (rows->count == rows->capacity) {
		size_t capacity = rows->capacity ? rows->capacity * 2 : 16, bytes;
		char *data = NULL;

		if (!__builtin_mul_overflow(capacity, rows->size, &bytes))
			data = alloc_resize(rows->data, bytes);
		if (!data) {
			rows->failed = true;
			return NULL;
		}
		rows->data = data;
		rows->capacity = capacity;
	}

	void *row = rows->data + rows->count++ * rows->size;

	memset(row, 0, rows->size);
	return row;
}

int rows_finish(struct rows *rows, struct arena *arena, void *ret_rows, size_t *ret_count,
		struct err *err)
{
	void *copy;

	if (rows->failed)
		return err_set(err, ERR_MEMORY, "no memory left for the answer of the store");
	copy = arena_memdup(arena, rows->data, rows->count * rows->size);
	if (arena_check(arena, err) < 0)
		return -1;
	memcpy(ret_rows, &copy, sizeof(copy));
	*ret_count = rows->count;
	return 0;
}

void rows_auto(struct rows *rows)
{
	free(rows->data);
	rows->data = NULL;
}
