/*
 * What was used up lately: the rows of used_late, which stand in no order that they could be found by.
 *
 * Held in memory as a set, by the writer alone, and read from the rows again after a start or when
 * another handle wrote. Some thousands at most: then tidy.c brings them to used_once. Undoing is exact: entries
 * go in the opposite order of their coming.
 */
#ifndef STORE_USED_H
#define STORE_USED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>

struct store;

struct used {
	struct hash128 *keys; /* in order of their coming */
	uint32_t *slots;      /* places in keys plus one */
	size_t count, capacity;
	size_t settled, marked; /* committed; there before the savepoint */
	bool loaded;
};

/* 1 when it was used up, 0, -1. Inside a write transaction. */
int used_has(struct store *store, struct hash128 key, struct err *err);
/* It was not, and is now; its row is added by the caller. */
int used_put(struct store *store, struct hash128 key, struct err *err);
/* Brings all to used_once, inside a write transaction. */
int used_move(struct store *store, struct err *err);
struct hash128 used_key(int64_t kind, int64_t source, struct hash128 digest);

void used_mark(struct used *used);
void used_undo(struct used *used);
/* The transaction ended. */
void used_settle(struct used *used, bool undone);
void used_forget(struct used *used);

#endif
