/*
 * Links by which root lets an administrator in: the first one, and whoever cannot sign in otherwise. Good once, for a few
 * minutes, and for whom they were made for as long as they are an administrator. A newer link makes the one before void.
 * What a link stands for is the first factor alone. It lets in, with an alarm, also the last administrator, whom the
 * source disabled; whoever else is disabled stays out.
 */
#ifndef ROLEBRIDGE_CHANGE_LOGIN_LINK_H
#define ROLEBRIDGE_CHANGE_LOGIN_LINK_H

#include <rolebridge/change/changer.h>
#include <rolebridge/change/login.h>
#include <rolebridge/store/login_link.h>

#define LOGIN_LINK_LIFETIME_S 600

/*
 * user: uuid, user name or address. That root asks is for the caller to know. ERR_NOT_FOUND; ERR_DENIED
 * "administrators-only"; ERR_CONFLICT "user-disabled". *ret_user in the arena.
 */
int change_login_link_make(struct changer *changer, const struct actor *actor, const char *user,
			   struct arena *arena, struct login_link_row *ret_link,
			   struct user *ret_user, struct err *err);

/*
 * Whom it lets in, for a page that asks before it is used. ERR_NOT_FOUND: used, replaced, or too old; ERR_DENIED
 * "administrators-only"; ERR_CONFLICT "user-disabled".
 */
int change_login_link_read(struct store *store, const struct setup *setup, const struct uuid *link,
			   int64_t now_s, struct arena *arena, struct user *ret_user,
			   struct err *err);

struct login_link_use {
	struct uuid link;
	struct hash256 token; /* of the session to open */
	const char *address, *agent;
	int64_t until_s; /* absolute end of the session at the latest */
	int64_t now_s;
};
/* As change_login: 0 also when refused; outcome->refused is then one of the reasons above, or "link-void". */
int change_login_link_use(struct changer *changer, const char *request,
			  const struct login_link_use *use, struct arena *arena,
			  struct login_outcome *ret_outcome, struct err *err);

#endif
