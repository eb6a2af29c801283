/*
 * The audit log: append, head, and what goes of its beginning. Enters: a row without seq and hash.
 * Leaves: a sealed row; the anchor. Fails as the store does.
 */
#include <rolebridge/store/audit.h>

#include <string.h>

#include "about.h"
#include "db.h"

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

/* --- what went --- */

int store_audit_anchor(struct store *store, struct audit_anchor *ret_anchor, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_AUDIT_ANCHOR);
	struct audit_anchor anchor = { 0 };
	const void *hash;
	size_t size;
	int row = query_row(&query, err);

	if (row < 0)
		return err_wrap(err, "cannot read the anchor of the audit log");
	hash = row ? column_blob(&query, 1, &size) : NULL;
	if (!hash || size != sizeof(anchor.hash.byte))
		return err_refuse(err, ERR_IO, "store-damaged",
				  "store '%s': the anchor of the audit log is missing",
				  store->path);
	anchor.seq = column_int(&query, 0);
	memcpy(anchor.hash.byte, hash, size);
	anchor.at_s = column_int(&query, 2);
	anchor.moved_s = column_int(&query, 3);
	*ret_anchor = anchor;
	return 0;
}

int store_audit_due(struct store *store, const struct audit_age *age, int64_t after_seq,
		    int64_t limit, struct audit_due *ret_due, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_AUDIT_TIMES);
	struct audit_due due = { .to = after_seq };
	int64_t first_s = 0;
	int row;

	query_int(&query, after_seq);
	query_int(&query, limit);
	while ((row = query_row(&query, err)) > 0) {
		int64_t at_s = column_int(&query, 1);

		/* Written while the clock was wrong: as old as what was written after it. */
		if (at_s > age->now_s)
			continue;
		if (at_s >= age->before_s)
			break;
		if (first_s == 0)
			first_s = at_s;
		due = (struct audit_due){ .to = column_int(&query, 0), .first_s = first_s };
	}
	if (row < 0)
		return err_wrap(err, "cannot look for old rows of the audit log");
	*ret_due = due;
	return 0;
}

static int run_between(struct store *store, enum statement_id id, int64_t a, int64_t b,
		       struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, a);
	query_int(&query, b);
	return query_run(&query, err);
}

static int bind_column(struct query *to, const struct query *from, int column)
{
	return to->rc == SQLITE_OK
		       ? sqlite3_bind_value(to->statement, column + 1,
					    sqlite3_column_value(from->statement, column))
		       : to->rc;
}

/* Key by key: of a condition over all of them SQLite would look through the whole index. */
static int unindex(struct store *store, int64_t after, int64_t to, struct err *err)
{
	AUTO(query) struct query keys = query_open(store, STATEMENT_AUDIT_KEYS);
	AUTO(query) struct query drop = query_open(store, STATEMENT_AUDIT_UNINDEX);
	int row;

	query_int(&keys, after);
	query_int(&keys, to);
	while ((row = query_row(&keys, err)) > 0) {
		query_again(&drop);
		drop.rc = bind_column(&drop, &keys, 0);
		drop.rc = bind_column(&drop, &keys, 1);
		if (query_run(&drop, err) < 0)
			return -1;
	}
	return row;
}

/* The transaction is of no use any more. */
static int spoil_prune(struct store *store, int64_t from, int64_t to, struct err *err)
{
	struct err cause = { 0 };

	err_refuse(&cause, ERR_IO, "store-damaged",
		   "store '%s': rows %lld to %lld of the audit log are not the first, or not all "
		   "there",
		   store->path, (long long)from, (long long)to);
	if (err)
		*err = cause;
	return store_spoil(store, &cause);
}

int store_audit_prune(struct store *store, int64_t from, int64_t to, int64_t now_s, struct err *err)
{
	struct audit_anchor anchor;
	int gone;

	if (store_may_write(store, err) < 0 || store_audit_anchor(store, &anchor, err) < 0)
		return -1;
	if (from != anchor.seq + 1 || to < from)
		return spoil_prune(store, from, to, err);
	/* The anchor first: no row behind it may go. */
	if (run_between(store, STATEMENT_AUDIT_ANCHOR_SET, to, now_s, err) < 0 ||
	    unindex(store, from - 1, to, err) < 0 ||
	    (gone = run_between(store, STATEMENT_AUDIT_PRUNE, from - 1, to, err)) < 0)
		return err_wrap(err, "cannot remove old rows of the audit log");
	return gone == to - from + 1 ? 0 : spoil_prune(store, from, to, err);
}
