/*
 * Work for idle time: filling the indexes on display names and on holders of
 * grants, copying the WAL into the database, and letting the cache of an import go.
 *
 * In a first import each new user meets these indexes at random places: a
 * batch of 500 people would rewrite some 700 of their pages, which costs more
 * than all its other pages together. So rows wait outside (indexed = 0) until
 * the writer has time; INDEX_CHUNK users at once touch each page but once.
 * Readers look through the waiting rows, which are those of the latest users.
 */
#include "db.h"

#include <malloc.h>

/* Holds the writer for some 30 ms. */
#define INDEX_CHUNK 4000
#define CACHE_KEPT (4 * 1024 * 1024)

int store_indexed_user(struct store *store, int64_t *ret_user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_INDEXED_USER);

	if (!store->indexed_known) {
		if (query_number(&query, &store->indexed_user, err) < 0)
			return -1;
		store->indexed_known = store->in_transaction;
	}
	*ret_user_id = store->indexed_user;
	return 0;
}

int store_last_user(struct store *store, int64_t *ret_user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LAST_USER);

	if (!store->last_user_known) {
		if (query_number(&query, &store->last_user, err) < 0)
			return -1;
		store->last_user_known = store->in_transaction;
	}
	*ret_user_id = store->last_user;
	return 0;
}

static int run_range(struct store *store, enum statement_id id, int64_t after, int64_t to,
		     struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, after);
	query_int(&query, to);
	return query_run(&query, err);
}

static int set_indexed_user(struct store *store, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_INDEXED_USER_SET);

	query_int(&query, user_id);
	return query_run(&query, err);
}

static int index_chunk(struct store *store, bool *ret_more, struct err *err)
{
	int64_t indexed, last;

	if (store_indexed_user(store, &indexed, err) < 0 || store_last_user(store, &last, err) < 0)
		return -1;

	int64_t to = last - indexed > INDEX_CHUNK ? indexed + INDEX_CHUNK : last;

	if (run_range(store, STATEMENT_INDEX_USERS, indexed, to, err) < 0 ||
	    run_range(store, STATEMENT_INDEX_GRANTS, indexed, to, err) < 0 ||
	    set_indexed_user(store, to, err) < 0)
		return -1;
	*ret_more = to < last;
	return 0;
}

int store_tidy(struct store *store, struct err *err)
{
	int64_t indexed, last;
	bool more = false;

	if (store_indexed_user(store, &indexed, err) < 0 || store_last_user(store, &last, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	if (indexed >= last)
		return 0;
	if (store_begin(store, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	if (index_chunk(store, &more, err) < 0) {
		store_rollback(store);
		return err_wrap(err, "cannot tidy the store");
	}
	if (store_commit(store, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	return more;
}

/* Small changes keep their warm pages; what an import filled is not needed by what comes after it. */
static void cache_shrink(struct store *store)
{
	int used = 0, highest = 0;

	sqlite3_db_status(store->db, SQLITE_DBSTATUS_CACHE_USED, &used, &highest, 0);
	if (used <= CACHE_KEPT)
		return;
	sqlite3_db_release_memory(store->db);
	malloc_trim(0);
}

int store_checkpoint(struct store *store, struct err *err)
{
	int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	cache_shrink(store);
	return rc == SQLITE_OK ? 0 : store_error(store, rc, err);
}
