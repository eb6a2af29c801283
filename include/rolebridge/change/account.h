/*
 * Which accounts of applications a user belongs to. It is membership alone: it gives nothing, is no responsibility,
 * hinders no disabling, and no sync touches it. It ends with the account, with the user, and when the user moves to
 * another organization.
 */
#ifndef ROLEBRIDGE_CHANGE_ACCOUNT_H
#define ROLEBRIDGE_CHANGE_ACCOUNT_H

#include <rolebridge/change/changer.h>
#include <rolebridge/model/resource.h>

/* Of one user; as many as a file of people may name. */
#define ACCOUNTS_OF_USER_MAX 1000

/*
 * user: uuid, username or e-mail. Again is no failure. ERR_NOT_FOUND: no such user, or no such account where the
 * user is; ERR_CONFLICT "too-many-accounts". *ret_changed: it was not so before.
 */
int change_account_tie(struct changer *changer, const struct actor *actor, const char *user,
		       const char *application, const char *id, struct uuid *ret_uuid,
		       bool *ret_changed, struct err *err);
int change_account_untie(struct changer *changer, const struct actor *actor, const char *user,
			 const char *application, const char *id, struct uuid *ret_uuid,
			 bool *ret_changed, struct err *err);
/* Ties of accounts that are removed, where there were very many: some hundred at a time. */
int change_accounts_prune(struct changer *changer, struct err *err);

#endif
