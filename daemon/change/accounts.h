/* What changes of people, of resources, and files of people share about accounts (account.c). */
#ifndef CHANGE_ACCOUNTS_H
#define CHANGE_ACCOUNTS_H

#include <rolebridge/change/account.h>
#include <rolebridge/store/account.h>

#include "internal.h"

/* Ties that one transaction removes. */
#define ACCOUNT_TIES_AT_ONCE 1000

/*
 * The account's row: one that is there, of this organization, and of the application that the actor is bound to. ERR_NOT_FOUND, in
 * the same words for all else.
 */
int account_find(struct store *store, const struct actor *actor, const char *organization,
		 const char *application, const char *id, struct arena *arena, int64_t *ret_row,
		 struct err *err);
/* An audit row "user.tie" or "user.untie": "APPLICATION/ID" of each. */
int account_audit(struct changer *changer, const struct actor *actor, const char *action,
		  const struct uuid *user, const struct account_row *accounts, size_t count,
		  int64_t now_s, struct err *err);
/* Inside the transaction of a person's change: whoever is deleted, or moved, belongs to none any more. */
int accounts_follow(struct apply_context *context, const struct person_change *change,
		    struct err *err);

#endif
