/*
 * Names of the latest users: those after counter 'named-user', whose user names and addresses are
 * not in the table login yet, nor the keys of their identities in identity_key (tidy.c brings them there
 * in idle time). Their UUIDs as well: their rows may not be inserted yet (batch.h). All of these
 * are called names here.
 *
 * Held in memory as a set of (32 bits of a keyed hash of the name, user). It may say too much, never
 * too little: whoever asks compares with the user's rows, so that a name given up, or a
 * transaction undone, needs no removal here. Nothing of it is stored; it is read from the
 * rows again after a start.
 *
 * Invariant, in every snapshot: a name of a user stands in login, or its user comes after
 * 'named-user' and has borne it since being added, and is then found here. A later change of
 * name writes to login at once (a trigger of table user); and an identity that is not added in the
 * transaction that adds its user, to identity_key (identity.c).
 */
#ifndef STORE_LATE_H
#define STORE_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>

#include "statements.h"

struct store;
struct user;
struct uuid;

/* The hash of the name last asked for, of each kind: who adds a name has asked for it before. */
struct late_memo {
	unsigned char bytes[64];
	size_t size; /* 0: none */
	uint32_t hash;
};
#define LATE_KINDS 4

struct late {
	struct late_memo memo[LATE_KINDS];
	uint64_t *slots; /* hash << 32 | user - base; 0: free */
	size_t capacity, count;
	int64_t base; /* users up to this one are not in it */
	int64_t last; /* users up to this one are in it, with the identities they were added with */
	int64_t settled; /* and these were committed: what comes after may be undone */
};

/* 1 and the user who has the name in this snapshot, 0, -1. "" is nobody's. */
int late_owner(struct store *store, enum login_kind kind, const char *text, int64_t *ret_user,
	       struct err *err);
/* 1 and the id of the identity with this key in this snapshot, 0, -1. */
int late_key_owner(struct store *store, int64_t source, const char *key, int64_t *ret_id,
		   struct err *err);
/* An identity is added to a user whom this transaction added. */
int late_add_key(struct store *store, int64_t source, const char *key, int64_t user_id,
		 struct err *err);
/* 1 when another user has the UUID, 0, -1. */
int late_has_uuid(struct store *store, const struct uuid *uuid, struct err *err);
/*
 * A user is about to be added, with the number after the last one's. When it was, set last to it
 * (only then: another process might be the one to add that number).
 */
int late_add(struct store *store, const struct user *user, int64_t user_id, struct err *err);
/* The transaction, or the savepoint, ended. */
void late_settle(struct store *store, bool undone);
/* Gives the memory back. */
void late_forget(struct store *store);

#endif
