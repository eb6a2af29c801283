/*
 * The same change of many users: each stands for itself, as if a person had made it for them alone: same permission, ceiling,
 * and refusals. One that is refused stops no other.
 *
 *	bulk_begin → bulk_users, until all are done → bulk_end
 */
#ifndef ROLEBRIDGE_CHANGE_BULK_H
#define ROLEBRIDGE_CHANGE_BULK_H

#include <rolebridge/change/changer.h>

#define BULK_USERS_MAX 10000

enum bulk_action { BULK_DISABLE, BULK_ENABLE, BULK_GRANT, BULK_REVOKE, BULK_DELETE, BULK_ACTIONS };
const char *bulk_action_name(enum bulk_action action);
/* BULK_ACTIONS: none of that name. */
enum bulk_action bulk_action_find(const char *name);
/* What one alone would need. */
const char *bulk_action_permission(enum bulk_action action);

struct bulk_wish {
	enum bulk_action action;
	const char *reason;   /* of a disabling; NULL */
	enum grant_kind kind; /* of a grant, and of what is revoked */
	const char *name;
	int64_t expires_s; /* of a grant; 0: never */
	bool dry_run;	   /* say what would be done; reads alone */
};

enum bulk_status { BULK_DONE, BULK_UNCHANGED, BULK_FAILED, BULK_STATUSES };
const char *bulk_status_name(enum bulk_status status);
struct bulk_result {
	enum bulk_status status;
	const char *code;    /* static; NULL: not refused */
	const char *message; /* the arena's */
};

struct bulk;
/* Borrows all. ERR_NOT_FOUND, ERR_INVALID: what is to be given cannot be, for nobody. */
struct bulk *bulk_begin(struct changer *changer, const struct actor *actor,
			const struct bulk_wish *wish, struct err *err);
void bulk_end(struct bulk *bulk);
static inline void bulk_auto(struct bulk **bulk)
{
	bulk_end(*bulk);
}
/*
 * Some of them (uuid, username or e-mail), from the first on: at most 500, or as many as 20 ms were enough for, in one
 * transaction. -1: our own side failed, and nothing of these was done.
 */
int bulk_users(struct bulk *bulk, const char *const *users, size_t count, struct arena *arena,
	       struct bulk_result *results, size_t *ret_done, struct err *err);

#endif
