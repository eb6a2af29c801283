/*
 * Transactions, one level of savepoints, checkpoints. A failed write leaves
 * only rollback; inside a savepoint, rollback to it, as long as SQLite has not
 * given up the whole transaction (it does when the disk is full).
 */
#include "db.h"

static int run_statement(struct store *store, enum statement_id id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	if (query.flush_failed) {
		if (err)
			*err = store->failure;
		return -1;
	}
	if (query.rc == SQLITE_OK)
		query.rc = sqlite3_step(query.statement);
	if (query.rc == SQLITE_DONE || query.rc == SQLITE_ROW)
		return 0;
	return store_error(store, query.rc, err);
}

int store_begin(struct store *store, struct err *err)
{
	bool write = store->mode == STORE_WRITE;

	if (store->in_transaction)
		return err_set(err, ERR_INTERNAL, "store '%s': a transaction is open already",
			       store->path);
	if (run_statement(store, write ? STATEMENT_BEGIN_WRITE : STATEMENT_BEGIN_READ, err) < 0)
		return -1;
	store->in_transaction = true;
	if (!write && run_statement(store, STATEMENT_PIN, err) < 0) {
		store_rollback(store);
		return -1;
	}
	return 0;
}

static void transaction_ended(struct store *store, bool undone)
{
	store->in_transaction = false;
	store->in_savepoint = store->savepoint_waits = false;
	store->failed = false;
	if (undone)
		store->head_known = store->session_known = false;
	store->last_checked = false;
	store->bare_session = 0;
	used_settle(&store->used, undone);
	store->request_id = 0;
	store->horizon_known = false;
	store->fresh_user = store->fresh_granted = store->fresh_placed = 0;
	late_settle(store, undone);
	names_settle(store, undone);
}

int store_know_last(struct store *store, struct err *err)
{
	AUTO(query) struct query query = { .store = store };
	int64_t version;

	if (store->last_checked)
		return 0;
	query = query_open(store, STATEMENT_DATA_VERSION);
	if (query_number(&query, &version, err) < 0)
		return -1;
	if (version != store->last_version) {
		store->head_known = store->session_known = false;
		used_forget(&store->used);
	}
	store->last_version = version;
	store->last_checked = true;
	return 0;
}

int store_snapshot_begin(struct store *store, struct err *err)
{
	if (run_statement(store, STATEMENT_BEGIN_READ, err) < 0)
		return -1;
	store->horizon_known = false;
	return 0;
}

void store_snapshot_end(struct store *store)
{
	store->horizon_known = false;
	/* Nothing was written: whether its end succeeds changes nothing but the lock it holds. */
	if (run_statement(store, STATEMENT_COMMIT, NULL) < 0)
		run_statement(store, STATEMENT_ROLLBACK, NULL);
}

const struct horizon *store_horizon(struct store *store, struct err *err)
{
	if (store->horizon_known)
		return &store->horizon;

	AUTO(query) struct query query = query_open(store, STATEMENT_HORIZON);
	int row = query_row(&query, err);

	if (row == 0)
		err_refuse(err, ERR_IO, "store-damaged", "store '%s': a counter is missing",
			   store->path);
	if (row <= 0)
		return NULL;
	store->horizon = (struct horizon){ .indexed = column_int(&query, 0),
					   .named = column_int(&query, 1),
					   .last = column_int(&query, 2),
					   .has_logins = column_int(&query, 3) != 0,
					   .has_keys = column_int(&query, 4) != 0 };
	store->horizon_known = !sqlite3_get_autocommit(store->db);
	return &store->horizon;
}

int store_check_user(struct store *store, int64_t user_id, struct err *err)
{
	const struct horizon *horizon = store_horizon(store, err);

	if (!horizon)
		return -1;
	if (user_id < 1 || user_id > horizon->last)
		return err_set(err, ERR_NOT_FOUND, "no user %lld", (long long)user_id);
	return 0;
}

int store_commit(struct store *store, struct err *err)
{
	if (!store->in_transaction)
		return err_set(err, ERR_INTERNAL, "store '%s': no transaction to commit",
			       store->path);
	if (store->failed) {
		if (err)
			*err = store->failure;
		store_rollback(store);
		return err_wrap(err, "cannot commit after a failed write");
	}
	if (run_statement(store, STATEMENT_COMMIT, err) < 0) {
		store_rollback(store);
		return err_wrap(err, "cannot commit");
	}
	transaction_ended(store, false);
	return 0;
}

void store_rollback(struct store *store)
{
	if (!store->in_transaction)
		return;
	batch_drop(store);
	if (!sqlite3_get_autocommit(store->db))
		run_statement(store, STATEMENT_ROLLBACK, NULL);
	transaction_ended(store, true);
}

int store_savepoint(struct store *store, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;
	if (store->in_savepoint || store->failed)
		return err_set(err, ERR_INTERNAL, "store '%s': no savepoint is possible here",
			       store->path);
	batch_mark(store);
	used_mark(&store->used);
	store->in_savepoint = store->savepoint_waits = true;
	return 0;
}

/* Rows that came before the savepoint are inserted before it is set. */
int store_enter_savepoint(struct store *store, struct err *err)
{
	struct err cause = { 0 };

	if (!store->savepoint_waits)
		return 0;
	store->savepoint_waits = false;
	if (batch_flush_marked(store, &cause) == 0 &&
	    run_statement(store, STATEMENT_SAVEPOINT, &cause) == 0)
		return 0;
	/* Not of this request alone: rolling back to it must not forgive that. */
	store->in_savepoint = false;
	if (err)
		*err = cause;
	return store_spoil(store, &cause);
}

int store_release(struct store *store, struct err *err)
{
	if (!store->in_savepoint || store->failed)
		return err_set(err, ERR_INTERNAL, "store '%s': no savepoint to release",
			       store->path);
	if (!store->savepoint_waits && run_statement(store, STATEMENT_RELEASE, err) < 0)
		return store_spoil(store, err);
	store->in_savepoint = store->savepoint_waits = false;
	return 0;
}

void store_rollback_to(struct store *store)
{
	struct err err = { 0 };

	if (!store->in_savepoint)
		return;
	if (store->savepoint_waits)
		batch_drop_unmarked(store);
	else
		batch_drop(store);
	store->head_known = store->session_known = false;
	store->bare_session = 0;
	used_undo(&store->used);
	store->request_id = 0;
	store->horizon_known = false;
	store->fresh_user = store->fresh_granted = store->fresh_placed = 0;
	late_settle(store, true);
	names_settle(store, true);
	store->in_savepoint = false;
	if (sqlite3_get_autocommit(store->db)) {
		store->savepoint_waits = false;
		store_spoil(store, NULL);
		return;
	}
	store->failed = false;
	if (store->savepoint_waits)
		store->savepoint_waits = false;
	else if (run_statement(store, STATEMENT_ROLLBACK_TO, &err) < 0 ||
		 run_statement(store, STATEMENT_RELEASE, &err) < 0)
		store_spoil(store, &err);
}
