/*
 * Texts that repeat, as numbers: one table per name space and a cache of it in
 * the handle. Rows of these tables never change and never go, so a cached pair
 * stays true, except those added by a transaction that is undone.
 */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>

struct store;

enum name_space { NAMES_ORGANIZATION, NAMES_SOURCE, NAMES_GENERAL, NAME_SPACES };

#define NAMES_RECENT 1024

struct name_entry;
struct names {
	/* Places in entries plus one of names asked for lately, by a cheap hash of the text. */
	uint32_t recent[NAMES_RECENT];
	struct hash_table *by_text; /* fingerprint128 of the text → place in entries */
	struct hash_table *by_id;
	struct name_entry *entries;
	size_t count, capacity;
	bool added; /* rows were added since the transaction began */
};

/* 1 and the number, 0 when there is no such text, -1. */
int names_find(struct store *store, enum name_space space, const char *text, int64_t *ret_id,
	       struct err *err);
/* The number, added when new. "" in NAMES_GENERAL is 0. */
int names_ensure(struct store *store, enum name_space space, const char *text, int64_t *ret_id,
		 struct err *err);
/* The same for what is not asked for again: it is not kept in memory. */
int names_ensure_once(struct store *store, enum name_space space, const char *text, int64_t *ret_id,
		      struct err *err);
/* The text, valid until the next call with this store. NULL on failure. */
const char *names_text(struct store *store, enum name_space space, int64_t id, struct err *err);

/* The same, copied. */
const char *names_copy(struct store *store, enum name_space space, int64_t id, struct arena *arena,
		       struct err *err);
/* The number of a source; ERR_NOT_FOUND when there is none. */
int names_source(struct store *store, const char *source, int64_t *ret_id, struct err *err);

/* The transaction ended; undone: what it added is not there. */
void names_settle(struct store *store, bool undone);
void names_finish(struct names *names);

#endif
