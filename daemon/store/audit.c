/*
 * The audit log: append, walk, head. Enters: a row without seq and hash.
 * Leaves: a sealed row. Fails as the store does.
 */
#include "db.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define OBJECT_USER "user:"

/* --- append --- */

static int read_head(struct store *store, int64_t *ret_seq, struct hash256 *ret_hash,
		     struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_AUDIT_HEAD);
	struct hash256 hash = { { 0 } };
	int64_t seq = 0;
	int row = query_row(&query, err);

	if (row > 0) {
		size_t size;
		const void *data = column_blob(&query, 1, &size);

		if (size != sizeof(hash.byte))
			return err_refuse(err, ERR_IO, "store-damaged",
					  "the last audit row has no hash");
		seq = column_int(&query, 0);
		memcpy(hash.byte, data, size);
	}
	if (row < 0)
		return -1;
	*ret_seq = seq;
	*ret_hash = hash;
	return 0;
}

int store_audit_head(struct store *store, int64_t *ret_seq, struct hash256 *ret_hash,
		     struct err *err)
{
	return read_head(store, ret_seq, ret_hash, err) < 0
		       ? err_wrap(err, "cannot read the head of the audit log")
		       : 0;
}

/* "user:UUID" is kept as the 16 bytes: most rows are about a user. */
static void bind_object(struct query *query, const char *object, unsigned char uuid[16])
{
	if (strncmp(object, OBJECT_USER, sizeof(OBJECT_USER) - 1) == 0 &&
	    compact_uuid(object + sizeof(OBJECT_USER) - 1, uuid))
		query_blob(query, uuid, 16);
	else
		query_text(query, object);
}

/* Rows of one request follow each other. */
static int request_number(struct store *store, const char *request, int64_t *ret_id,
			  struct err *err)
{
	size_t size = strlen(request);

	if (store->request_id != 0 && strcmp(store->request, request) == 0) {
		*ret_id = store->request_id;
		return 0;
	}
	if (names_ensure_once(store, NAMES_GENERAL, request, ret_id, err) < 0)
		return -1;
	store->request_id = size < sizeof(store->request) ? *ret_id : 0;
	if (store->request_id != 0)
		memcpy(store->request, request, size + 1);
	return 0;
}

static int append_row(struct store *store, const struct audit_row *row, struct err *err)
{
	int64_t actor, action, request = 0;
	unsigned char uuid[16], request_uuid[16];
	bool by_uuid = compact_uuid(row->request, request_uuid);

	if (names_ensure(store, NAMES_GENERAL, row->actor, &actor, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, row->action, &action, err) < 0 ||
	    (!by_uuid && request_number(store, row->request, &request, err) < 0))
		return -1;

	AUTO(query) struct query query = query_open(store, STATEMENT_AUDIT_APPEND);

	query_int(&query, row->seq);
	query_int(&query, row->at_s);
	query_int(&query, actor);
	query_int(&query, action);
	bind_object(&query, row->object, uuid);
	query_int(&query, request);
	if (by_uuid)
		query_blob(&query, request_uuid, sizeof(request_uuid));
	else
		query_text(&query, NULL);
	query_text(&query, row->detail);
	query_blob(&query, row->hash.byte, sizeof(row->hash.byte));
	store->late_rows++;
	return query_run(&query, err);
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static int seal_and_append(struct store *store, struct audit_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0 || store_know_last(store, err) < 0)
		return -1;
	if (!store->head_known && read_head(store, &store->head_seq, &store->head_hash, err) < 0)
		return -1;
	store->head_known = true;
	row->seq = store->head_seq + 1;
	if (audit_seal(row, &store->head_hash, err) < 0)
		return -1;
	if (append_row(store, row, err) < 0) {
		store->head_known = false;
		return -1;
	}
	store->head_seq = row->seq;
	store->head_hash = row->hash;
	return 0;
}

int store_audit_append(struct store *store, struct audit_row *row, struct err *err)
{
	struct audit_row sealed = {
		.at_s = row->at_s,
		.actor = text_or_empty(row->actor),
		.action = text_or_empty(row->action),
		.object = text_or_empty(row->object),
		.request = text_or_empty(row->request),
		.detail = text_or_empty(row->detail),
		.detail_digest = row->detail_digest,
	};
	struct err cause = { 0 };

	if (seal_and_append(store, &sealed, &cause) < 0) {
		/* A change without its audit row must not be committed. */
		store_spoil(store, &cause);
		if (err)
			*err = cause;
		return err_wrap(err, "cannot write audit row '%s'", sealed.action);
	}
	row->seq = sealed.seq;
	row->hash = sealed.hash;
	return 0;
}

/* --- walk --- */

struct store_audit_cursor {
	struct query query;
	struct strbuf texts; /* of the present row */
};

#define ROW_COLUMNS "a.seq, at_s, actor, action, a.object, request, detail, hash, request_uuid"

/* Pieces of the condition, one for each field that is asked for. */
static void write_filter(const struct audit_query *query, struct strbuf *sql)
{
	strbuf_puts(sql, " AND a.seq > ?1");
	if (query->from_s)
		strbuf_puts(sql, " AND at_s >= ?2");
	if (query->to_s)
		strbuf_puts(sql, " AND at_s < ?3");
	if (query->actor)
		strbuf_puts(sql, " AND actor = ?4");
	if (query->action)
		strbuf_puts(sql, " AND action = ?5");
	/* A UUID too may have a number: before version 3 it had. */
	if (query->request)
		strbuf_puts(sql, " AND (request = ?6 OR request_uuid = ?10) AND "
				 "(request <> 0 OR request_uuid IS ?10)");
}

/* What is about an object: by the index, and the latest rows by looking through them. */
static void write_by_object(const struct audit_query *query, const char *object, struct strbuf *sql)
{
	strbuf_printf(sql,
		      "SELECT " ROW_COLUMNS " FROM audit_about o CROSS JOIN audit a "
		      "ON a.seq = o.seq WHERE o.object = %s AND o.seq > ?1",
		      object);
	write_filter(query, sql);
	strbuf_printf(sql,
		      " UNION ALL SELECT " ROW_COLUMNS " FROM audit a WHERE "
		      "a.seq > " INDEXED_AUDIT " AND a.object = %s",
		      object);
	write_filter(query, sql);
}

static void write_sql(const struct audit_query *query, bool object_is_user, struct strbuf *sql)
{
	if (query->object) {
		write_by_object(query, object_is_user ? "?7" : "?8", sql);
	} else {
		strbuf_puts(sql, "SELECT " ROW_COLUMNS " FROM audit a WHERE true");
		write_filter(query, sql);
	}
	strbuf_puts(sql, query->newest_first ? " ORDER BY 1 DESC" : " ORDER BY 1");
	strbuf_puts(sql, " LIMIT ?9");
}

/* The number of a name asked for; one that nobody knows gets -1, which no row has. */
static int name_number(struct store *store, const char *name, int64_t *ret_id, struct err *err)
{
	int found = names_find(store, NAMES_GENERAL, name ? name : "", ret_id, err);

	if (found == 0)
		*ret_id = -1;
	return found;
}

static int cursor_prepare(struct store *store, const struct audit_query *query, const char *sql,
			  struct query *ret_query, struct err *err)
{
	int64_t actor, action, request;

	if (name_number(store, query->actor, &actor, err) < 0 ||
	    name_number(store, query->action, &action, err) < 0 ||
	    name_number(store, query->request, &request, err) < 0)
		return -1;

	struct query statement = query_prepare(store, sql);

	query_int(&statement, query->after_seq);
	query_int(&statement, query->from_s);
	query_int(&statement, query->to_s);
	query_int(&statement, actor);
	query_int(&statement, action);
	query_int(&statement, request);
	*ret_query = statement;
	return 0;
}

/* They outlive the call only as copies inside SQLite. */
static void cursor_bind_texts(struct query *query, const struct audit_query *wanted,
			      const unsigned char *uuid)
{
	sqlite3_stmt *statement = query->statement;

	unsigned char request[16];

	if (query->rc != SQLITE_OK)
		return;
	if (wanted->request && compact_uuid(wanted->request, request))
		query->rc = sqlite3_bind_blob(statement, 10, request, 16, SQLITE_TRANSIENT);
	if (query->rc != SQLITE_OK)
		return;
	if (wanted->object && uuid)
		query->rc = sqlite3_bind_blob(statement, 7, uuid, 16, SQLITE_TRANSIENT);
	else if (wanted->object)
		query->rc = sqlite3_bind_text(statement, 8, wanted->object, -1, SQLITE_TRANSIENT);
	if (query->rc == SQLITE_OK)
		query->rc = sqlite3_bind_int64(statement, 9,
					       wanted->limit == 0 || wanted->limit > INT32_MAX
						       ? -1
						       : (int64_t)wanted->limit);
}

struct store_audit_cursor *store_audit_open(struct store *store, const struct audit_query *query,
					    struct err *err)
{
	static const struct audit_query everything;
	AUTO(strbuf) struct strbuf sql = STRBUF(4096);
	struct store_audit_cursor *cursor = alloc_zeroed(1, sizeof(*cursor));
	const struct audit_query *wanted = query ? query : &everything;
	unsigned char uuid[16];
	bool is_user = wanted->object &&
		       strncmp(wanted->object, OBJECT_USER, sizeof(OBJECT_USER) - 1) == 0 &&
		       compact_uuid(wanted->object + sizeof(OBJECT_USER) - 1, uuid);

	write_sql(wanted, is_user, &sql);
	if (!cursor || strbuf_failed(&sql)) {
		free(cursor);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (cursor_prepare(store, wanted, strbuf_text(&sql), &cursor->query, err) < 0) {
		free(cursor);
		err_wrap(err, "cannot read the audit log");
		return NULL;
	}
	cursor_bind_texts(&cursor->query, wanted, is_user ? uuid : NULL);
	cursor->texts = STRBUF(1024 * 1024);
	return cursor;
}

/* Copies a name into the row's texts; the caller turns offsets into pointers at the end. */
static int copy_name(struct store_audit_cursor *cursor, int column, size_t *ret_offset,
		     struct err *err)
{
	const char *text = names_text(cursor->query.store, NAMES_GENERAL,
				      column_int(&cursor->query, column), err);

	if (!text)
		return -1;
	*ret_offset = cursor->texts.size;
	strbuf_append(&cursor->texts, text, strlen(text) + 1);
	return 0;
}

static int copy_request(struct store_audit_cursor *cursor, size_t *ret_offset, struct err *err)
{
	struct compact buffer;

	if (sqlite3_column_type(cursor->query.statement, 8) == SQLITE_NULL)
		return copy_name(cursor, 5, ret_offset, err);

	const char *request = column_compact(&cursor->query, 8, &buffer);

	*ret_offset = cursor->texts.size;
	strbuf_append(&cursor->texts, request, strlen(request) + 1);
	return 0;
}

static void copy_object(struct store_audit_cursor *cursor, size_t *ret_offset)
{
	struct compact buffer;
	const char *object = column_compact(&cursor->query, 4, &buffer);

	*ret_offset = cursor->texts.size;
	if (object == buffer.text)
		strbuf_puts(&cursor->texts, OBJECT_USER);
	strbuf_append(&cursor->texts, object, strlen(object) + 1);
}

static int cursor_row(struct store_audit_cursor *cursor, struct audit_row *ret_row, struct err *err)
{
	size_t actor, action, request, object, size;
	const void *hash = column_blob(&cursor->query, 7, &size);
	struct audit_row row = {
		.seq = column_int(&cursor->query, 0),
		.at_s = column_int(&cursor->query, 1),
		.detail = column_text(&cursor->query, 6),
	};

	/* Another size: left at zero, which does not verify. */
	if (size == sizeof(row.hash.byte))
		memcpy(row.hash.byte, hash, size);
	strbuf_clear(&cursor->texts);
	if (copy_name(cursor, 2, &actor, err) < 0 || copy_name(cursor, 3, &action, err) < 0 ||
	    copy_request(cursor, &request, err) < 0)
		return -1;
	copy_object(cursor, &object);
	if (strbuf_failed(&cursor->texts))
		return err_set(err, ERR_MEMORY, "out of memory");
	row.actor = cursor->texts.data + actor;
	row.action = cursor->texts.data + action;
	row.request = cursor->texts.data + request;
	row.object = cursor->texts.data + object;
	*ret_row = row;
	return 0;
}

static int cursor_next(void *context, struct audit_row *ret_row, struct err *err)
{
	struct store_audit_cursor *cursor = context;
	int row = query_row(&cursor->query, err);

	if (row > 0 && cursor_row(cursor, ret_row, err) < 0)
		row = -1;
	return row < 0 ? err_wrap(err, "cannot read the audit log") : row;
}

struct audit_iterator store_audit_iterator(struct store_audit_cursor *cursor)
{
	return (struct audit_iterator){ .next = cursor_next, .context = cursor };
}

void store_audit_close(struct store_audit_cursor *cursor)
{
	if (!cursor)
		return;
	query_auto(&cursor->query);
	strbuf_finish(&cursor->texts);
	free(cursor);
}
