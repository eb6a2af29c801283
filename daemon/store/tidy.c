/*
 * Work for idle time: filling the indexes that new users are not in, and letting the cache of an
 * import go; and copying the WAL into the database.
 *
 * In a first import each new user meets these indexes at random places: a batch of 500 people would
 * rewrite as many pages of each, which costs more than all its other pages together. So they
 * wait until the writer has time. A call is one piece of the work, some milliseconds long, for a person's
 * change may come.
 *
 * Names (login) and keys (identity_key), called names here: of an eighth of all users at once, so that
 * a page of the index is written by a few pieces and not by each. First they are collected in
 * sorted runs; then these are merged, and the names written in nearly their order. Once anybody
 * was renamed, or the file was written by somebody else, what was collected may be old: each name
 * is then looked at again. Only when all of a range are there does counter 'named-user' pass them: a
 * range that was cut is done again, and meets its own rows. A name that somebody else has in
 * the index is damage.
 *
 * Display names and holders of grants: a piece is all of a few users next to each other.
 *
 * What sign-ins appended (0003-appended.sql): sessions, which are counted on the way, objects of audit rows and
 * what was used up, some thousands at a time, so that a page of an index is written once for many of them. A few are left
 * where they are: who looks for one looks through them. When too many wait, this does not wait for idle time.
 */
#include "db.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define RANGE_MIN (INT64_C(1) << 15)
#define PIECE 4000
#define TEXTS_MAX ((size_t)1 << 30)
#define CACHE_KEPT (1024 * 1024)

enum { KIND_KEY = LOGIN_EMAIL + 1 };

struct entry {
	uint64_t begins; /* of the name, the first byte highest */
	int64_t id;	 /* the user, of a key the identity */
	int64_t source;	 /* of a key */
	uint32_t at, size;
	uint8_t kind;
	bool is_blob; /* a key that is a UUID */
};

struct run {
	size_t at, end;
};

struct tidy {
	int64_t after, collected, to; /* users */
	uint64_t renamed;	      /* when it began: store->renamed … */
	int64_t version;	      /* … and what others wrote */
	struct rows entries, runs, taken;
	struct strbuf texts;
};

void tidy_forget(struct store *store)
{
	if (!store->tidy)
		return;
	rows_auto(&store->tidy->entries);
	rows_auto(&store->tidy->runs);
	rows_auto(&store->tidy->taken);
	strbuf_finish(&store->tidy->texts);
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

static int64_t range_size(const struct horizon *horizon)
{
	return horizon->last / 8 > RANGE_MIN ? horizon->last / 8 : RANGE_MIN;
}

static int data_version(struct store *store, int64_t *ret_version, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_DATA_VERSION);

	return query_number(&query, ret_version, err);
}

static int tidy_start(struct store *store, const struct horizon *horizon, struct err *err)
{
	int64_t version;

	if (store->tidy && store->tidy->after == horizon->named)
		return 0;
	tidy_forget(store);
	if (data_version(store, &version, err) < 0)
		return -1;
	store->tidy = alloc_zeroed(1, sizeof(*store->tidy));
	if (!store->tidy)
		return no_memory(err);
	*store->tidy = (struct tidy){
		.after = horizon->named,
		.collected = horizon->named,
		.to = up_to(horizon->named, range_size(horizon), horizon->last),
		.renamed = store->renamed,
		.version = version,
		.entries = ROWS(struct entry),
		.runs = ROWS(struct run),
		.taken = ROWS(size_t),
		.texts = STRBUF(TEXTS_MAX),
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

static void collect(struct tidy *tidy, struct entry entry, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	struct entry *added = size ? rows_add(&tidy->entries) : NULL;

	if (!added)
		return;
	/* TEXTS_MAX is less than 4 GiB; a text that does not fit shows there. */
	entry.at = (uint32_t)tidy->texts.size;
	entry.size = (uint32_t)size;
	for (size_t i = 0; i < sizeof(entry.begins); i++)
		entry.begins = entry.begins << 8 | (i < size ? bytes[i] : 0);
	*added = entry;
	strbuf_append(&tidy->texts, data, size);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begins != y->begins)
		return x->begins < y->begins ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int collect_names(struct store *store, int64_t to, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_NAMES);
	struct tidy *tidy = store->tidy;
	int row;

	query_int(&query, tidy->collected);
	query_int(&query, to);
	while ((row = query_row(&query, err)) > 0) {
		const char *username = column_text(&query, 1), *email = column_text(&query, 2);
		struct entry entry = { .id = column_int(&query, 0), .kind = LOGIN_USERNAME };

		collect(tidy, entry, username, strlen(username));
		/* The address of a tombstone is free. */
		entry.kind = LOGIN_EMAIL;
		collect(tidy, entry, email, column_int(&query, 4) ? 0 : strlen(email));
	}
	return row;
}

static int collect_keys(struct store *store, int64_t to, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_KEYS);
	struct tidy *tidy = store->tidy;
	int row;

	query_int(&query, tidy->collected);
	query_int(&query, to);
	while ((row = query_row(&query, err)) > 0) {
		bool is_blob = sqlite3_column_type(query.statement, 2) == SQLITE_BLOB;
		struct entry entry = { .id = column_int(&query, 0),
				       .source = column_int(&query, 1),
				       .kind = KIND_KEY,
				       .is_blob = is_blob };
		size_t size;
		const void *key = column_blob(&query, 2, &size);

		collect(tidy, entry, key, size);
	}
	return row;
}

static int collect_run(struct store *store, struct err *err)
{
	struct tidy *tidy = store->tidy;
	size_t begin = tidy->entries.count;
	int64_t to = up_to(tidy->collected, piece_size(store), tidy->to);
	struct run *run = rows_add(&tidy->runs);

	if (collect_names(store, to, err) < 0 || collect_keys(store, to, err) < 0)
		return -1;
	if (!run || tidy->entries.failed || strbuf_failed(&tidy->texts))
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

/* A name stands in the index already: 0 when it is that of the entry. */
static int check_owner(struct store *store, const struct entry *entry, const char *text,
		       struct query *query, struct err *err)
{
	int row = query_row(query, err);

	if (row < 0 || (row > 0 && column_int(query, 0) == entry->id))
		return row < 0 ? -1 : 0;
	return err_refuse(err, ERR_IO, "store-damaged",
			  "store '%s': %s %lld and %lld both have the %s '%s'", store->path,
			  entry->kind == KIND_KEY ? "identities" : "users",
			  (long long)(row ? column_int(query, 0) : 0), (long long)entry->id,
			  entry->kind == KIND_KEY ? "key" : "name", text);
}

static int fill_login(struct store *store, const struct entry *entry, const char *text,
		      struct err *err)
{
	AUTO(query) struct query fill = query_open(store, STATEMENT_LOGIN_FILL);
	AUTO(query) struct query owner = query_open(store, STATEMENT_LOGIN_OWNER);
	int filled;

	query_text(&fill, text);
	query_int(&fill, entry->kind);
	query_int(&fill, entry->id);
	filled = query_run(&fill, err);
	query_text(&owner, text);
	query_int(&owner, entry->kind);
	return filled == 0 ? check_owner(store, entry, text, &owner, err) : filled;
}

/* The name as the user has it now. */
static int fill_name(struct store *store, const struct entry *entry, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_NAME);

	query_int(&query, entry->id);

	int row = query_row(&query, err);

	if (row == 0)
		return err_refuse(err, ERR_IO, "store-damaged", "store '%s': no user %lld",
				  store->path, (long long)entry->id);
	if (row < 0)
		return -1;

	const char *text = column_text(&query, entry->kind == LOGIN_USERNAME ? 0 : 1);

	if (!*text || (entry->kind == LOGIN_EMAIL && column_int(&query, 2)))
		return 0;
	return fill_login(store, entry, text, err);
}

/* The key, unless the identity is not there any more. */
static int fill_key(struct store *store, const struct entry *entry, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_KEY);
	struct compact buffer, bytes;

	query_int(&query, entry->id);

	int row = query_row(&query, err);

	if (row <= 0)
		return row;

	const char *key = column_compact(&query, 1, &buffer);
	AUTO(query) struct query fill = query_open(store, STATEMENT_KEY_FILL);
	AUTO(query) struct query owner = query_open(store, STATEMENT_KEY_OWNER);

	query_int(&fill, column_int(&query, 0));
	query_compact(&fill, key, &bytes);
	query_int(&fill, entry->id);
	row = query_run(&fill, err);
	query_int(&owner, column_int(&query, 0));
	query_compact(&owner, key, &bytes);
	return row == 0 ? check_owner(store, entry, key, &owner, err) : row;
}

/* One after the other, each looked at again. */
static int fill_slowly(struct store *store, struct err *err)
{
	const struct tidy *tidy = store->tidy;
	const size_t *taken = (const size_t *)(void *)tidy->taken.data;

	for (size_t i = 0; i < tidy->taken.count; i++) {
		const struct entry *entry = entry_at(tidy, taken[i]);

		if ((entry->kind == KIND_KEY ? fill_key(store, entry, err)
					     : fill_name(store, entry, err)) < 0)
			return -1;
	}
	return 0;
}

static int wait_for_flush(struct store *store, const struct entry *entry, struct err *err)
{
	const char *text = store->tidy->texts.data + entry->at;
	bool is_key = entry->kind == KIND_KEY;
	AUTO(query)
	struct query query =
		query_open(store, is_key ? STATEMENT_KEYS_FILL : STATEMENT_LOGINS_FILL);

	if (is_key)
		query_int(&query, entry->source);
	if (entry->is_blob)
		query_blob(&query, text, entry->size);
	else
		query_bytes(&query, text, entry->size);
	if (!is_key)
		query_int(&query, entry->kind);
	query_int(&query, entry->id);
	return query_run(&query, err);
}

/* All together. 1 when all are there now, 0 when some were there before, of whom nobody knows. */
static int fill_together(struct store *store, struct err *err)
{
	const struct tidy *tidy = store->tidy;
	const size_t *taken = (const size_t *)(void *)tidy->taken.data;
	int64_t before = sqlite3_total_changes64(store->db);

	for (size_t i = 0; i < tidy->taken.count; i++)
		if (wait_for_flush(store, entry_at(tidy, taken[i]), err) < 0)
			return -1;
	if (batch_flush(store, err) < 0)
		return -1;
	return (size_t)(sqlite3_total_changes64(store->db) - before) == tidy->taken.count;
}

static int fill_taken(struct store *store, struct err *err)
{
	const struct tidy *tidy = store->tidy;
	int64_t version;
	int filled = 0;

	if (data_version(store, &version, err) < 0)
		return -1;
	if (store->renamed == tidy->renamed && version == tidy->version)
		filled = fill_together(store, err);
	return filled ? filled : fill_slowly(store, err);
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

	tidy->taken.count = 0;
	for (int64_t done = 0; done < piece_size(store); done++) {
		size_t *taken;

		run = least_run(tidy);
		taken = run ? rows_add(&tidy->taken) : NULL;
		if (!taken)
			break;
		*taken = run->at++;
	}
	if (tidy->taken.failed)
		return no_memory(err);
	if (tidy->taken.count && fill_taken(store, err) < 0)
		return -1;
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

/* --- what sign-ins left --- */

/* So few are looked through faster than they are brought anywhere. */
#define LATE_MIN STORE_LATE_MIN
/* Of so many some are brought to their indexes after each commit, whether there is time or not. */
#define LATE_MAX 24000

struct late_rows {
	int64_t session, last_session; /* in indexes up to; there are up to */
	int64_t audit, last_audit;
	int64_t used;
};

static int count_late(struct store *store, struct late_rows *ret_rows, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LATE_ROWS);
	int row = query_row(&query, err);

	if (row == 0)
		return err_refuse(err, ERR_IO, "store-damaged", "store '%s': a counter is missing",
				  store->path);
	if (row < 0)
		return -1;
	*ret_rows = (struct late_rows){ .session = column_int(&query, 0),
					.last_session = column_int(&query, 1),
					.audit = column_int(&query, 2),
					.last_audit = column_int(&query, 3),
					.used = column_int(&query, 4) };
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

static int index_sessions(struct store *store, const struct late_rows *late, struct err *err)
{
	int64_t to = up_to(late->session, piece_size(store) / 2 + 1, late->last_session);

	if (run_range(store, STATEMENT_SESSIONS_CONFIRM, late->session, to, err) < 0 ||
	    run_range(store, STATEMENT_SIGN_INS_COUNT, late->session, to, err) < 0 ||
	    run_range(store, STATEMENT_SESSIONS_INDEX, late->session, to, err) < 0)
		return -1;
	return set_counter(store, STATEMENT_INDEXED_SESSION_SET, to, err);
}

static int index_audit(struct store *store, const struct late_rows *late, struct err *err)
{
	int64_t to = up_to(late->audit, piece_size(store), late->last_audit);

	if (run_range(store, STATEMENT_AUDIT_INDEX, late->audit, to, err) < 0)
		return -1;
	return set_counter(store, STATEMENT_INDEXED_AUDIT_SET, to, err);
}

/* The one that is furthest behind. 1 when something was done, 0 when all is near its end. */
static int tidy_late(struct store *store, const struct late_rows *late, struct err *err)
{
	int64_t sessions = late->last_session - late->session;
	int64_t rows = late->last_audit - late->audit;
	int64_t least = store->tidy_piece ? 1 : LATE_MIN;

	if (sessions >= least && sessions >= rows && sessions >= late->used)
		return index_sessions(store, late, err) < 0 ? -1 : 1;
	if (rows >= least && rows >= late->used)
		return index_audit(store, late, err) < 0 ? -1 : 1;
	if (late->used >= least)
		return used_move(store, err) < 0 ? -1 : 1;
	return 0;
}

static int tidy_appended(struct store *store, struct err *err)
{
	struct late_rows late = { 0 };
	int done;

	if (store->late_rows < LATE_MIN && !store->tidy_piece)
		return 0;
	if (store_begin(store, err) < 0)
		return -1;
	done = count_late(store, &late, err);
	if (done == 0)
		done = tidy_late(store, &late, err);
	if (done == 0)
		store->late_rows = 0;
	if (done <= 0) {
		store_rollback(store);
		return done;
	}
	return store_commit(store, err) < 0 ? -1 : 1;
}

bool store_is_behind(const struct store *store)
{
	return store->late_rows >= LATE_MAX;
}

int store_tidy_behind(struct store *store, struct err *err)
{
	return tidy_appended(store, err) < 0 ? err_wrap(err, "cannot tidy the store") : 0;
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
	int done;

	if (!now)
		return err_wrap(err, "cannot tidy the store");
	horizon = *now;
	if (horizon.named < horizon.last && tidy_names(store, &horizon, &more, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	if (more)
		return 1;
	if (horizon.indexed < horizon.last && tidy_indexes(store, &horizon, &more, err) < 0)
		return err_wrap(err, "cannot tidy the store");
	if (more)
		return 1;
	done = tidy_appended(store, err);
	return done < 0 ? err_wrap(err, "cannot tidy the store") : done;
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

void store_give_back(struct store *store)
{
	tidy_forget(store);
	cache_shrink(store);
}

int store_checkpoint(struct store *store, struct err *err)
{
	int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_error(store, rc, err);
}
