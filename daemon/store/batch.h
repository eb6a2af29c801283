/*
 * Rows that wait to be inserted together.
 *
 * A statement of its own for each row opens its tables, finds the end of each index from the root and
 * closes all again, which is half of what an insert at the end costs. So rows that
 * nothing in the same transaction needs to see yet are kept, and one statement
 *
 *	INSERT INTO audit (…) SELECT … FROM waiting_audit
 *
 * takes them from memory, through a virtual table that is known to this handle alone. They
 * are bound as parameters of the statement are, in their order. Every statement but those that
 * say so in statements.c inserts what waits before it runs, and so does the commit: nobody can
 * see the difference, but for the place where an error shows.
 *
 * A savepoint is set in SQLite only before something is written inside of it. What waited before is
 * inserted first; so requests that only add rows of these kinds need none, and share their statements.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>

#include "statements.h"

struct store;

enum batch_table {
	BATCH_USER,
	BATCH_IDENTITY,
	BATCH_RECORD,
	BATCH_GRANTS,
	BATCH_AUDIT,
	BATCH_LOGIN,
	BATCH_KEY,
	BATCH_HOLDER,
	BATCH_SESSION, /* after BATCH_USER */
	BATCH_TOKEN,   /* after BATCH_SESSION */
	BATCH_USED,
	BATCHES
};

struct batch_value {
	int64_t number; /* or where the bytes begin */
	uint32_t size;
	unsigned char type; /* SQLITE_INTEGER … SQLITE_NULL */
};

struct batch {
	struct batch_value *values;
	size_t count, capacity; /* values */
	unsigned columns;
	char *bytes;
	size_t size, room;
	size_t visible; /* values that are inserted now */
	/* Values and bytes when the savepoint was set. */
	size_t marked, marked_size;
	bool failed; /* out of memory: the row cannot be added */
};

/* The virtual tables of a new connection. */
int batch_register(struct store *store, struct err *err);
void batch_integer(struct batch *batch, int64_t value);
void batch_bytes(struct batch *batch, unsigned char type, const void *data, size_t size);
/* The values added since are a row. Returns an SQLite result code. */
int batch_end_row(struct batch *batch);
bool batch_is_full(const struct batch *batch);
/* Not of what is only appended at a sign-in. */
bool batch_is_of_people(const struct store *store, const struct batch *batch);
/* A savepoint is set here. */
void batch_mark(struct store *store);
/* Insert what waited when the savepoint was set; on failure the transaction is spoilt. */
int batch_flush_marked(struct store *store, struct err *err);
/* Forget what came after the savepoint was set. */
void batch_drop_unmarked(struct store *store);
/* The batch of a statement that inserts into one; NULL. */
struct batch *batch_of(struct store *store, enum statement_id id);
/* Insert what waits; on failure the transaction is spoilt. */
int batch_flush(struct store *store, struct err *err);
/* Forget what waits: the transaction is undone. */
void batch_drop(struct store *store);
void batch_finish(struct store *store);

#endif
