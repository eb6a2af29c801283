/* Writing a password, inside the transaction of whatever sets it (password.c). */
#ifndef CHANGE_PASSWORD_H
#define CHANGE_PASSWORD_H

#include <rolebridge/change/password.h>

#include "internal.h"

enum password_by { PASSWORD_BY_SELF, PASSWORD_BY_RESET, PASSWORD_BY_INVITE };

/*
 * The user's password from now on: links that were mailed are void, but one that is being used up; an audit row
 * "password.set". Sessions are the caller's to end.
 */
int password_write(struct changer *changer, const struct actor *actor, const struct user *user,
		   const char *hash, enum password_by by, struct arena *arena, struct err *err);
/*
 * Whether somebody signs in elsewhere, by the setup given. 0; *ret_source NULL: they do not.
 */
int password_managed(const struct setup *setup, struct store *store, int64_t user_id,
		     struct arena *arena, const char **ret_source, struct err *err);

#endif
