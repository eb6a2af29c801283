/* Links that root makes for administrators. As store.h: a write needs a transaction. */
#ifndef ROLEBRIDGE_STORE_LOGIN_LINK_H
#define ROLEBRIDGE_STORE_LOGIN_LINK_H

#include <rolebridge/store/store.h>

struct login_link_row {
	struct uuid uuid;
	int64_t user_id;
	int64_t until_s;
};

/* In place of the one that the user has. ERR_NOT_FOUND: no such user. */
int store_login_link_put(struct store *store, const struct login_link_row *row, struct err *err);
/* ERR_NOT_FOUND: used, replaced, or never there. */
int store_login_link_get(struct store *store, const struct uuid *uuid,
			 struct login_link_row *ret_row, struct err *err);
/* Of a user, if there is one. */
int store_login_link_delete(struct store *store, int64_t user_id, struct err *err);
/* Those that were good until before_s, all of them. */
int store_login_link_prune(struct store *store, int64_t before_s, struct err *err);

#endif
