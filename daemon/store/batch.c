/*
 * Rows that wait to be inserted together. Enters: values. Leaves: rows of the tables. Fails as the
 * store does, and without memory.
 */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#include "db.h"

/* Enough to make a statement cheap; what waits is memory, and held twice. */
#define ROWS_MAX 500
#define BYTES_MAX (256 * 1024)

static const struct {
	const char *name;
	enum statement_id insert;
	unsigned columns;
} tables[BATCHES] = {
	[BATCH_USER] = { "waiting_user", STATEMENT_USER_INSERT, 13 },
	[BATCH_IDENTITY] = { "waiting_identity", STATEMENT_IDENTITY_FIRST, 5 },
	[BATCH_RECORD] = { "waiting_record", STATEMENT_RECORD_FIRST, 2 },
	[BATCH_GRANTS] = { "waiting_grants", STATEMENT_GRANTS_ADD, 2 },
	[BATCH_LOGIN] = { "waiting_login", STATEMENT_LOGINS_FILL, 3 },
	[BATCH_KEY] = { "waiting_key", STATEMENT_KEYS_FILL, 3 },
	[BATCH_HOLDER] = { "waiting_holder", STATEMENT_HOLDERS_FILL, 3 },
	[BATCH_AUDIT] = { "waiting_audit", STATEMENT_AUDIT_APPEND, 9 },
	[BATCH_SESSION] = { "waiting_session", STATEMENT_SESSION_INSERT, 18 },
	[BATCH_TOKEN] = { "waiting_token", STATEMENT_TOKEN_FIRST, 4 },
	[BATCH_USED] = { "waiting_used", STATEMENT_USED_ADD, 4 },
};

/* --- the virtual tables --- */

struct table {
	sqlite3_vtab base;
	const struct batch *batch;
};

struct cursor {
	sqlite3_vtab_cursor base;
	const struct batch *batch;
	size_t row;
};

static int table_connect(sqlite3 *db, void *batch, int argc UNUSED, const char *const *argv UNUSED,
			 sqlite3_vtab **ret_table, char **error UNUSED)
{
	struct table *table;
	int rc = sqlite3_declare_vtab(
		db,
		"CREATE TABLE x(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, "
		"c15, c16, c17)");

	if (rc != SQLITE_OK)
		return rc;
	table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){ .batch = batch };
	*ret_table = &table->base;
	return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

static int table_best_index(sqlite3_vtab *table UNUSED, sqlite3_index_info *info)
{
	info->estimatedCost = ROWS_MAX;
	return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	*cursor = (struct cursor){ .batch = ((struct table *)base)->batch };
	*ret_cursor = &cursor->base;
	return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *cursor)
{
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static int cursor_filter(sqlite3_vtab_cursor *cursor, int number UNUSED, const char *text UNUSED,
			 int argc UNUSED, sqlite3_value **argv UNUSED)
{
	((struct cursor *)cursor)->row = 0;
	return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *cursor)
{
	((struct cursor *)cursor)->row++;
	return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	const struct cursor *cursor = (struct cursor *)base;

	return cursor->row * cursor->batch->columns >= cursor->batch->visible;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (struct cursor *)base;
	const struct batch *batch = cursor->batch;
	const struct batch_value *value =
		&batch->values[cursor->row * batch->columns + (size_t)column];

	if (value->type == SQLITE_INTEGER)
		sqlite3_result_int64(context, value->number);
	else if (value->type == SQLITE_NULL)
		sqlite3_result_null(context);
	else if (value->type == SQLITE_TEXT)
		sqlite3_result_text(context, batch->bytes + value->number, (int)value->size,
				    SQLITE_STATIC);
	else
		sqlite3_result_blob(context, batch->bytes + value->number, (int)value->size,
				    SQLITE_STATIC);
	return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *ret_row)
{
	*ret_row = (sqlite3_int64)((struct cursor *)cursor)->row;
	return SQLITE_OK;
}

/* No xCreate: the table is there by its name, and none can be made in a schema. */
static const sqlite3_module module = {
	.xConnect = table_connect,
	.xBestIndex = table_best_index,
	.xDisconnect = table_disconnect,
	.xOpen = cursor_open,
	.xClose = cursor_close,
	.xFilter = cursor_filter,
	.xNext = cursor_next,
	.xEof = cursor_eof,
	.xColumn = cursor_column,
	.xRowid = cursor_rowid,
};

int batch_register(struct store *store, struct err *err)
{
	for (size_t i = 0; i < BATCHES; i++) {
		int rc = sqlite3_create_module_v2(store->db, tables[i].name, &module,
						  &store->batches[i], NULL);

		if (rc != SQLITE_OK)
			return store_error(store, rc, err);
		store->batches[i].columns = tables[i].columns;
	}
	return 0;
}

/* --- rows --- */

static struct batch_value *add_value(struct batch *batch)
{
	if (batch->count == batch->capacity) {
		size_t capacity = batch->capacity ? batch->capacity * 2 : 64;
		struct batch_value *values =
			alloc_resize(batch->values, capacity * sizeof(*values));

		if (!values) {
			batch->failed = true;
			return NULL;
		}
		batch->values = values;
		batch->capacity = capacity;
	}
	return &batch->values[batch->count++];
}

void batch_integer(struct batch *batch, int64_t number)
{
	struct batch_value *value = add_value(batch);

	if (value)
		*value = (struct batch_value){ .number = number, .type = SQLITE_INTEGER };
}

static bool make_room(struct batch *batch, size_t size)
{
	size_t room = batch->room ? batch->room : 4096;
	char *bytes;

	if (size > INT32_MAX - batch->size)
		return false;
	while (room - batch->size < size)
		room *= 2;
	if (room == batch->room)
		return true;
	bytes = alloc_resize(batch->bytes, room);
	if (!bytes)
		return false;
	batch->bytes = bytes;
	batch->room = room;
	return true;
}

void batch_bytes(struct batch *batch, unsigned char type, const void *data, size_t size)
{
	struct batch_value *value;

	if (!make_room(batch, size)) {
		batch->failed = true;
		return;
	}
	value = add_value(batch);
	if (!value)
		return;
	*value = (struct batch_value){ (int64_t)batch->size, (uint32_t)size, type };
	if (size)
		memcpy(batch->bytes + batch->size, data, size);
	batch->size += size;
}

int batch_end_row(struct batch *batch)
{
	/* On failure the caller's transaction is spoilt, and what waits is dropped with it. */
	if (batch->failed)
		return SQLITE_NOMEM;
	return batch->count % batch->columns ? SQLITE_MISUSE : SQLITE_OK;
}

static void empty(struct batch *batch)
{
	batch->count = batch->size = batch->marked = batch->marked_size = 0;
	batch->failed = false;
	if (batch->room > 2 * BYTES_MAX) {
		free(batch->bytes);
		batch->bytes = NULL;
		batch->room = 0;
	}
}

struct batch *batch_of(struct store *store, enum statement_id id)
{
	static const unsigned char places[STATEMENTS] = {
		[STATEMENT_USER_INSERT] = BATCH_USER + 1,
		[STATEMENT_IDENTITY_FIRST] = BATCH_IDENTITY + 1,
		[STATEMENT_RECORD_FIRST] = BATCH_RECORD + 1,
		[STATEMENT_GRANTS_ADD] = BATCH_GRANTS + 1,
		[STATEMENT_LOGINS_FILL] = BATCH_LOGIN + 1,
		[STATEMENT_KEYS_FILL] = BATCH_KEY + 1,
		[STATEMENT_HOLDERS_FILL] = BATCH_HOLDER + 1,
		[STATEMENT_AUDIT_APPEND] = BATCH_AUDIT + 1,
		[STATEMENT_SESSION_INSERT] = BATCH_SESSION + 1,
		[STATEMENT_TOKEN_FIRST] = BATCH_TOKEN + 1,
		[STATEMENT_USED_ADD] = BATCH_USED + 1,
	};

	return places[id] ? &store->batches[places[id] - 1] : NULL;
}

/* The first values of a batch: all of them, or those of a savepoint's mark. */
static int insert_some(struct store *store, enum batch_table table, size_t values, struct err *err)
{
	struct batch *batch = &store->batches[table];
	int rc = SQLITE_OK;

	if (values == 0)
		return 0;
	if (!store->statements[tables[table].insert])
		rc = store_prepare(store, tables[table].insert);
	batch->visible = values;
	if (rc == SQLITE_OK) {
		sqlite3_stmt *statement = store->statements[tables[table].insert];

		rc = sqlite3_step(statement);
		sqlite3_reset(statement);
	}
	if (values == batch->count) {
		empty(batch);
	} else {
		batch->count -= values;
		batch->marked = 0;
		memmove(batch->values, batch->values + values,
			batch->count * sizeof(*batch->values));
	}
	return rc == SQLITE_DONE ? 0 : store_error(store, rc, err);
}

static int insert_all(struct store *store, bool marked, struct err *err)
{
	struct err cause = { 0 };

	for (int i = 0; i < BATCHES; i++) {
		const struct batch *batch = &store->batches[i];

		if (insert_some(store, (enum batch_table)i, marked ? batch->marked : batch->count,
				&cause) == 0)
			continue;
		batch_drop(store);
		store_spoil(store, &cause);
		if (err)
			*err = cause;
		return -1;
	}
	return 0;
}

int batch_flush(struct store *store, struct err *err)
{
	if (store_enter_savepoint(store, err) < 0)
		return -1;
	store->has_waiting = store->has_people_waiting = false;
	return insert_all(store, false, err);
}

void batch_mark(struct store *store)
{
	for (size_t i = 0; i < BATCHES; i++) {
		store->batches[i].marked = store->batches[i].count;
		store->batches[i].marked_size = store->batches[i].size;
	}
}

int batch_flush_marked(struct store *store, struct err *err)
{
	return insert_all(store, true, err);
}

void batch_drop_unmarked(struct store *store)
{
	for (size_t i = 0; i < BATCHES; i++) {
		store->batches[i].count = store->batches[i].marked;
		store->batches[i].size = store->batches[i].marked_size;
		store->batches[i].failed = false;
	}
}

bool batch_is_of_people(const struct store *store, const struct batch *batch)
{
	ptrdiff_t table = batch - store->batches;

	return table != BATCH_AUDIT && table < BATCH_SESSION;
}

bool batch_is_full(const struct batch *batch)
{
	return batch->count >= (size_t)ROWS_MAX * batch->columns || batch->size >= BYTES_MAX;
}

void batch_drop(struct store *store)
{
	for (size_t i = 0; i < BATCHES; i++)
		empty(&store->batches[i]);
	store->has_waiting = store->has_people_waiting = false;
}

void batch_finish(struct store *store)
{
	for (size_t i = 0; i < BATCHES; i++) {
		free(store->batches[i].values);
		free(store->batches[i].bytes);
	}
}
