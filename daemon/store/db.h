/*
 * What the files of this folder share: the handle, prepared statements, rows.
 *
 * Calling sequence of a statement:
 *
 *	AUTO(query) struct query query = query_open(store, STATEMENT_USER_BY_ID);
 *	query_int(&query, id);                  (parameters in order)
 *	int row = query_row(&query, err);       (1 row, 0 none, -1 failed)
 *
 * Texts and blobs are bound by reference: they must live until the last step.
 * A failure while binding or preparing shows at the first step.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <sqlite3.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/store.h>

#include "batch.h"
#include "late.h"
#include "names.h"
#include "statements.h"
#include "used.h"

/* Fewer appended rows than these stay out of their indexes (tidy.c). */
#define STORE_LATE_MIN 500

/* Users are numbered from 1 without gaps, for none is ever removed. */
struct horizon {
	int64_t last;	 /* the last user */
	int64_t indexed; /* users up to this one are in the indexes filled in idle time (tidy.c) */
	int64_t named;	 /* users up to this one are in login and identity_key (late.h) */
	bool has_logins; /* login is not empty */
	bool has_keys;	 /* neither is identity_key */
};

struct store {
	sqlite3 *db;
	enum store_mode mode;
	char *path;
	sqlite3_stmt *statements[STATEMENTS];
	bool in_transaction;
	bool hasty; /* commits are not waited for on disk: store_set_durable */
	bool in_savepoint;
	bool savepoint_waits; /* nothing was written inside of it yet: SQLite knows nothing of it */
	bool failed;	      /* a write failed: nothing but rollback */
	int wal_pages;	      /* after the last commit */
	uint64_t renamed; /* how often somebody's name, or the place of an identity, was changed */
	struct err failure;
	struct names names[NAME_SPACES];
	struct late late;
	struct batch batches[BATCHES];
	bool has_waiting;	 /* rows in them */
	bool has_people_waiting; /* and not only of BATCH_AUDIT, _SESSION, _TOKEN, _USED */
	/* Known while a transaction or a snapshot is open. */
	bool horizon_known;
	struct horizon horizon;
	/*
	 * The first user that this transaction, or savepoint, added (0: none), and the last of them who got
	 * grants, and a record. Those after have none, and nobody needs to look.
	 */
	int64_t fresh_user, fresh_granted, fresh_placed;
	int64_t tidy_piece; /* 0: as tidy.c says */
	struct tidy *tidy;  /* what the filling of indexes remembers between its steps */
	/*
	 * The last sealed audit row, and the number of the last session; known as long as no other handle
	 * writes, which is looked at once in each transaction (store_know_last).
	 */
	bool last_checked;
	int64_t last_version;
	bool head_known, session_known;
	int64_t last_session;
	int64_t bare_session; /* the last one, when it has no token yet */
	/* The request of that row, in the same transaction: most come once, and stay out of the cache of names. */
	char request[80];
	int64_t request_id; /* 0: not known */
	int64_t head_seq;
	struct hash256 head_hash;
	struct used used;
	int64_t steps; /* store_steps */
	/* Rows appended since tidy.c found nothing to do; at first it has to look. */
	int64_t late_rows;
};

/* Fill err from an SQLite result code. Returns -1. */
int store_error(const struct store *store, int rc, struct err *err);
/* The transaction is spoilt: only rollback is left. Keeps the first reason. Returns -1. */
int store_spoil(struct store *store, const struct err *err);
/*
 * In a write transaction: forgets what is known of the last rows, and of what was used up, when another
 * handle has written since.
 */
int store_know_last(struct store *store, struct err *err);
/* Before the first write inside of a savepoint: SQLite is told of it. On failure the transaction is spoilt. */
int store_enter_savepoint(struct store *store, struct err *err);
/* -1 with ERR_INTERNAL unless a write may happen now. */
int store_may_write(struct store *store, struct err *err);

struct query {
	struct store *store;
	sqlite3_stmt *statement;
	int bound;
	int rc;
	bool owned;	     /* finalize instead of reset */
	bool flush_failed;   /* what waited could not be inserted; the store knows why */
	struct batch *batch; /* the row will wait there; no statement */
};

/* Prepares a fixed statement for good. Returns an SQLite result code. */
int store_prepare(struct store *store, enum statement_id id);
struct query query_open(struct store *store, enum statement_id id);
/* Text made at run time from fixed pieces; prepared once, for this use. */
struct query query_prepare(struct store *store, const char *sql);
void query_auto(struct query *query);
/* Ready for the same statement with other parameters. */
void query_again(struct query *query);

void query_int(struct query *query, int64_t value);
void query_text(struct query *query, const char *text); /* NULL: SQL NULL */
void query_blob(struct query *query, const void *data, size_t size);
/* Text of so many bytes. */
void query_bytes(struct query *query, const char *text, size_t size);

/* Next row: 1, 0 at the end, -1. */
int query_row(struct query *query, struct err *err);
/*
 * Run a statement that writes. A failure spoils the transaction. Returns the
 * number of rows changed, or -1.
 */
int query_run(struct query *query, struct err *err);
/* The same, but a broken constraint returns -2, leaves err alone and spoils nothing. */
int query_try(struct query *query, struct err *err);
/* Run a query of one row and one number. */
int query_number(struct query *query, int64_t *ret_value, struct err *err);

int64_t column_int(const struct query *query, int column);
/* "" for NULL; valid until the next step. */
const char *column_text(const struct query *query, int column);
const char *column_copy(const struct query *query, int column, struct arena *arena);
const void *column_blob(const struct query *query, int column, size_t *ret_size);

/* UUID text as 16 bytes, other text as it is: for columns of type ANY. */
struct compact {
	unsigned char uuid[16];
	char text[UUID_TEXT_SIZE];
};
void query_compact(struct query *query, const char *text, struct compact *buffer);
/* buffer holds the text when it was 16 bytes. Valid until the next step. */
const char *column_compact(const struct query *query, int column, struct compact *buffer);
/* Identities of a user are numbered from user * 65536. */
#define IDENTITIES_OF_USER INT64_C(65536)
static inline int64_t identity_user(int64_t id)
{
	return id / IDENTITIES_OF_USER;
}

/* The 16 bytes of a canonical lower-case UUID text of 36 characters. */
bool compact_uuid(const char *text, unsigned char ret_uuid[16]);

/* ERR_MEMORY or, when the cap was hit, ERR_TOO_LARGE. Returns 0 when the arena is well. */
int arena_check(const struct arena *arena, struct err *err);

/* A growing array of rows on the heap, then one copy in the arena. */
struct rows {
	char *data;
	size_t size, count, capacity; /* size of one row */
	bool failed;
};
#define ROWS(type) ((struct rows){ .size = sizeof(type) })
void *rows_add(struct rows *rows); /* zeroed; NULL when out of memory, remembered */
/* Moves the rows into the arena. */
int rows_finish(struct rows *rows, struct arena *arena, void *ret_rows /* T ** */,
		size_t *ret_count, struct err *err);
void rows_auto(struct rows *rows);

static inline bool is_fresh(const struct store *store, int64_t user_id, int64_t last_done)
{
	return store->fresh_user != 0 && user_id >= store->fresh_user && user_id > last_done;
}
/* Valid until the transaction ends; outside of one until the next call. NULL on failure. */
const struct horizon *store_horizon(struct store *store, struct err *err);
/* -1 with ERR_NOT_FOUND unless there is such a user. */
int store_check_user(struct store *store, int64_t user_id, struct err *err);
/* One snapshot for several reads of a handle that has no transaction open. */
int store_snapshot_begin(struct store *store, struct err *err);
void store_snapshot_end(struct store *store);
void tidy_forget(struct store *store);
/* Adds the holdings of users after one and up to another to the index (grant.c). */
int grants_index(struct store *store, int64_t after, int64_t to, struct err *err);
/* How a grant of it begins in the text of a user's grants, and nothing else does. */
void grant_beginning(enum grant_kind kind, int64_t name, struct strbuf *out);

/* Schema (migrate.c). */
int store_migrate(struct store *store, struct err *err);
int store_check_version(struct store *store, struct err *err);

/* The columns of USER_COLUMNS into a user. */
int user_from_row(const struct query *query, struct arena *arena, struct user *ret_user,
		  struct err *err);

#endif
