/*
 * Work for idle time: filling the indexes that new users are not in, copying the WAL into the
 * database, and letting the cache of an import go.
 *
 * In a first import each new user meets these indexes at random places: a batch of 500 people would
 * rewrite as many pages of each, which costs more than all its other pages together. So they
 * wait until the writer has time. A call is one piece of the work, some milliseconds long, for a person's
 * change may come.
 *
 * Names (login): of up to RANGE users at once, so that a page of login is written by one or
 * two pieces and not by each. First their numbers are collected with the beginnings of their names, in
 * sorted runs; then these are merged, and the names, as the users' rows have them now, are
 * written in nearly their order. Only when all of a range are in login does counter
 * 'named-user' pass them: a range that was cut is done again, and meets its own rows. A name that
 * somebody else has in login is damage.
 *
 * Display names and holders of grants: a piece is all of a few users next to each other.
 */
#include "db.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define RANGE (INT64_C(1) << 20)
#define PIECE 4000
#define CACHE_KEPT (4 * 1024 * 1024)

struct entry {
	uint64_t begins; /* of the name, the first byte highest */
	int64_t user;
	enum login_kind kind;
};

struct run {
	size_t at, end;
};

struct tidy {
	int64_t after, collected, to; /* users */
	struct rows entries, runs;
};

void tidy_forget(struct store *store)
{
	if (!store->tidy)
		return;
	rows_auto(&store->tidy->entries);
	rows_auto(&store->tidy->runs);
	free(store->tidy);
	store->tidy = NULL;
}

/* --- names --- */

static int64_t piece_size(const struct store *store)
{
	return store->tidy_piece ? store->tidy_piece : PIECE;
}

static int64_t up_to(int64_t after, int64_t count, int64_t last)
{
	return last - after > count ? after + count : last;
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory left to fill indexes");
}

static int tidy_start(struct store *store, const struct horizon *horizon, struct err *err)
{
	if (store->tidy && store->tidy->after == horizon->named)
		return 0;
	tidy_forget(store);
	store->tidy = alloc_zeroed(1, sizeof(*store->tidy));
	if (!store->tidy)
		return no_memory(err);
	*store->tidy = (struct tidy){
		.after = horizon->named,
		.collected = horizon->named,
		.to = up_to(horizon->named, RANGE, horizon->last),
		.entries = ROWS(struct entry),
		.runs = ROWS(struct run),
	};
	return 0;
}

static struct entry *entry_at(const struct tidy *tidy, size_t i)
{
	return (struct entry *)(void *)tidy->entries.data + i;
}

static struct run *run_at(const struct tidy *tidy, size_t i)
{
	return (struct run *)(void *)tidy->runs.data + i;
}

static void collect_name(struct tidy *tidy, enum login_kind kind, const char *text, int64_t user)
{
	struct entry *entry = *text ? rows_add(&tidy->entries) : NULL;

	if (!entry)
		return;
	*entry = (struct entry){ .user = user, .kind = kind };
	for (size_t i = 0; i < sizeof(entry->begins); i++) {
		entry->begins = entry->begins << 8 | (unsigned char)*text;
		text += *text != 0;
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begins != y->begins)
		return x->begins < y->begins ? -1 : 1;
	return (x->user > y->user) - (x->user < y->user);
}

static int collect_run(struct store *store, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_NAMES);
	struct tidy *tidy = store->tidy;
	size_t begin = tidy->entries.count;
	int64_t to = up_to(tidy->collected, piece_size(store), tidy->to);
	struct run *run = rows_add(&tidy->runs);
	int row;

	query_int(&query, tidy->collected);
	query_int(&query, to);
	while ((row = query_row(&query, err)) > 0) {
		collect_name(tidy, LOGIN_USERNAME, column_text(&query, 1), column_int(&query, 0));
		collect_name(tidy, LOGIN_EMAIL, column_text(&query, 2), column_int(&query, 0));
	}
	if (row < 0)
		return -1;
	if (!run || tidy->entries.failed)
		return no_memory(err);
	*run = (struct run){ begin, tidy->entries.count };
	if (begin < tidy->entries.count)
		qsort(entry_at(tidy, begin), tidy->entries.count - begin, sizeof(struct entry),
		      compare_entries);
	tidy->collected = to;
	return 0;
}

/* The run with the least entry; NULL when all are empty. */
static struct run *least_run(const struct tidy *tidy)
{
	struct run *least = NULL;

	for (size_t i = 0; i < tidy->runs.count; i++) {
		struct run *run = run_at(tidy, i);

		if (run->at < run->end &&
		    (!least ||
		     compare_entries(entry_at(tidy, run->at), entry_at(tidy, least->at)) < 0))
			least = run;
	}
	return least;
}

static int check_owner(struct store *store, const char *text, const struct entry *entry,
		       struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LOGIN_OWNER);

	query_text(&query, text);
	query_int(&query, entry->kind);

	int row = query_row(&query, err);

	if (row < 0 || (row > 0 && column_int(&query, 0) == entry->user))
		return row < 0 ? -1 : 0;
	return err_refuse(err, ERR_IO, "store-damaged",
			  "store '%s': users %lld and %lld both have the name '%s'", store->path,
			  (long long)(row ? column_int(&query, 0) : 0), (long long)entry->user,
			  text);
}

/* The name as the user has it now: it may have changed since it was collected. */
static int fill_name(struct store *store, const struct entry *entry, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_NAME);

	query_int(&query, entry->user);

	int row = query_row(&query, err);

	if (row == 0)
		return err_refuse(err, ERR_IO, "store-damaged", "store '%s': no user %lld",
				  store->path, (long long)entry->user);
	if (row < 0)
		return -1;

	const char *text = column_text(&query, entry->kind == LOGIN_USERNAME ? 0 : 1);

	if (!*text || (entry->kind == LOGIN_EMAIL && column_int(&query, 2)))
		return 0;

	AUTO(query) struct query fill = query_open(store, STATEMENT_LOGIN_FILL);

	query_text(&fill, text);
	query_int(&fill, entry->kind);
	query_int(&fill, entry->user);
	row = query_run(&fill, err);
	return row == 0 ? check_owner(store, text, entry, err) : row;
}

static int set_counter(struct store *store, enum statement_id id, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, user_id);
	return query_run(&query, err);
}

static int fill_some(struct store *store, bool *ret_all, struct err *err)
{
	struct tidy *tidy = store->tidy;
	struct run *run = NULL;

	for (int64_t done = 0; done < piece_size(store); done++) {
		run = least_run(tidy);
		if (!run)
			break;
		if (fill_name(store, entry_at(tidy, run->at), err) < 0)
			return -1;
		run->at++;
	}
	*ret_all = !run;
	return *ret_all ? set_counter(store, STATEMENT_NAMED_USER_SET, tidy->to, err) : 0;
}

/* What was taken from the runs is not written when this fails: the range begins again. */
static int fill_names(struct store *store, bool *ret_more, struct err *err)
{
	bool all = false;
	int64_t to = store->tidy->to;

	if (store_begin(store, err) < 0)
		return -1;
	if (fill_some(store, &all, err) < 0) {
		store_rollback(store);
		tidy_forget(store);
		return -1;
	}
	if (store_commit(store, err) < 0) {
		tidy_forget(store);
		return -1;
	}
	if (all)
		tidy_forget(store);
	*ret_more = !all;
	if (all && store->late.last <= to)
		late_forget(store);
	return 0;
}

static int tidy_names(struct store *store, const struct horizon *horizon, bool *ret_more,
		      struct err *err)
{
	if (tidy_start(store, horizon, err) < 0)
		return -1;
	if (store->tidy->collected < store->tidy->to) {
		if (collect_run(store, err) < 0) {
			tidy_forget(store);
			return -1;
		}
		if (store->tidy->collected < store->tidy->to) {
			*ret_more = true;
			return 0;
		}
	}
	return fill_names(store, ret_more, err);
}

/* --- display names and holders --- */

static int index_range(struct store *store, int64_t after, int64_t to, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_INDEX_USERS);

	query_int(&query, after);
	query_int(&query, to);
	if (query_run(&query, err) < 0 || grants_index(store, after, to, err) < 0)
		return -1;
	return set_counter(store, STATEMENT_INDEXED_USER_SET, to, err);
}

static int tidy_indexes(struct store *store, const struct horizon *horizon, bool *ret_more,
			struct err *err)
{
	int64_t after = horizon->indexed, last = horizon->last;
	int64_t to = up_to(after, piece_size(store) / 2 + 1, last);

	if (store_begin(store, err) < 0)
		return -1;
	if (index_range(store, after, to, err) < 0) {
		store_rollback(store);
		return -1;
	}
	*ret_more = to < last;
	return store_commit(store, err);
}

void store_set_tidy_piece(struct store *store, int64_t users)
{
	store->tidy_piece = users;
}

int store_tidy(struct store *store, struct err *err)
{
	const struct horizon *now = store_horizon(store, err);
	struct horizon horizon;
	bool more = false;

	if (!now)
		return err_wrap(err, "cannot tidy the store");
	horizon = *now;
	if (horizon.named < horizon.last && tidy_names(store, &horizon, &more, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	if (more)
		return 1;
	if (horizon.indexed < horizon.last && tidy_indexes(store, &horizon, &more, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	return more;
}

/* --- the WAL and the cache --- */

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
