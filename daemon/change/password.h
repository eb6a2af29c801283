/* Passwords and resets inside the transactions of whatever concerns them (password.c, reset.c). */
#ifndef CHANGE_PASSWORD_H
#define CHANGE_PASSWORD_H

#include <rolebridge/change/password.h>
#include <rolebridge/store/invite.h>

#include "internal.h"

enum password_by { PASSWORD_BY_SELF, PASSWORD_BY_RESET, PASSWORD_BY_INVITE };

/*
 * The user's password from now on: links that were mailed are void, and the one that sets it used up; an audit row
 * "password.set". Sessions are the caller's to end.
 */
int password_write(struct changer *changer, const struct actor *actor, const struct user *user,
		   const char *hash, enum password_by by, struct arena *arena, struct err *err);
/* Whether somebody signs in elsewhere. 0; *ret_source NULL: they do not. */
int password_managed(const struct setup *setup, struct store *store, int64_t user_id,
		     struct arena *arena, const char **ret_source, struct err *err);
/* ERR_CONFLICT "user-disabled", "managed-by-idp". */
int password_check_ours(const struct setup *setup, struct store *store, const struct user *user,
			struct arena *arena, struct err *err);
/* One row on the user. */
int password_audit(struct changer *changer, const struct actor *actor, const char *action,
		   const struct user *user, const struct strbuf *detail, struct err *err);

/* The link on its way, if it is still open, and the letter that waits. */
int reset_close(struct changer *changer, int64_t user_id, enum reset_end how, struct arena *arena,
		struct err *err);
/* How its delivery went: outbox.c. Another generation by now: nothing. */
int reset_note(struct changer *changer, const struct outbox_row *row, int64_t mailed_s,
	       const char *problem, struct arena *arena, struct err *err);

#endif
