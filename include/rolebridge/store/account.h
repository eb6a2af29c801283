/*
 * Ties of users to accounts: who belongs to a customer's account, which is a resource of type "accounts". They give
 * nothing and own nothing. Writes happen inside a transaction; what they mean is change/'s to say. Texts live in the
 * given arena.
 */
#ifndef ROLEBRIDGE_STORE_ACCOUNT_H
#define ROLEBRIDGE_STORE_ACCOUNT_H

#include <rolebridge/model/resource.h>
#include <rolebridge/store/store.h>

/* Its row and organization; *ret_row 0: there is none. */
int store_account_find(struct store *store, const char *application, const char *id,
		       struct arena *arena, int64_t *ret_row, const char **ret_organization,
		       struct err *err);

/* 1 when it was not so before, 0, -1. */
int store_account_tie(struct store *store, int64_t account, int64_t user_id, int64_t now_s,
		      struct err *err);
int store_account_untie(struct store *store, int64_t account, int64_t user_id, struct err *err);

struct account_row {
	int64_t row;
	const char *application, *id, *title;
	int64_t since_s; /* tied */
};
/* Accounts of a user, in order of row, after one; application NULL: of any. */
int store_accounts_of(struct store *store, int64_t user_id, const char *application, int64_t after,
		      size_t limit, struct arena *arena, struct account_row **ret_rows,
		      size_t *ret_count, struct err *err);
int store_account_count(struct store *store, int64_t user_id, int64_t *ret_count, struct err *err);
/* All ties of a user. Returns how many, or -1. */
int store_accounts_drop(struct store *store, int64_t user_id, struct err *err);

/* People of an account, in order of id, after one; deleted ones are none. */
int store_account_people(struct store *store, int64_t account, int64_t after, size_t limit,
			 struct arena *arena, struct user **ret_users, size_t *ret_count,
			 struct err *err);
int store_account_people_count(struct store *store, int64_t account, int64_t *ret_count,
			       struct err *err);

/*
 * The resource is being removed: so many ties go with it. 1: there are more, which store_accounts_prune removes, so
 * many at a time: 1 as long as any are left, 0, -1.
 */
int store_account_clear(struct store *store, int64_t account, size_t limit, struct err *err);
int store_accounts_prune(struct store *store, size_t limit, struct err *err);
/* Is there anything for it to do? 1, 0, -1. */
int store_accounts_left(struct store *store, struct err *err);

#endif
