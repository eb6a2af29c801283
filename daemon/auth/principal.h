/*
 * Principals: made from the store's rows, one block of memory each, counted. In: a reading handle
 * of the store. Fails as the store does; a person who may not sign in is no failure but NULL.
 */
#ifndef ROLEBRIDGE_AUTH_PRINCIPAL_H
#define ROLEBRIDGE_AUTH_PRINCIPAL_H

#include <rolebridge/auth/sessions.h>
#include <rolebridge/store/store.h>

/*
 * *ret_principal NULL: nobody of that id, disabled, or without a profile. *ret_suspended: their sign-in is; only a session
 * of root's link lets them in. Where it is NULL that is as good as disabled. *ret_until_s: when the first of its grants expires, INT64_MAX for never. The
 * arena is for scratch.
 */
int principal_load(struct store *store, int64_t user_id, const char *administrator_profile,
		   int64_t now_s, struct arena *arena, const struct principal **ret_principal,
		   bool *ret_suspended, int64_t *ret_until_s, struct err *err);

#endif
