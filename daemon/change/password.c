/*
 * Passwords and the links that set them. Enters: who asks, whom for, hashes that were made elsewhere. Leaves: the
 * password, what is to be mailed, sessions ended, audit rows. Refused: whoever signs in elsewhere. Fails: store, memory.
 */
#include <rolebridge/change/password.h>

#include <rolebridge/base/util.h>

#include "internal.h"
#include "password.h"

static int not_yet(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "passwords are not there yet");
}

int change_user_managed(struct changer *changer, struct store *store, int64_t user_id,
			struct arena *arena, const char **ret_source, struct err *err)
{
	(void)changer, (void)store, (void)user_id, (void)arena, (void)ret_source;
	return not_yet(err);
}

int change_password_find(struct changer *changer, struct store *store, const char *name,
			 struct arena *arena, struct password_candidate *ret_candidate,
			 struct err *err)
{
	(void)changer, (void)store, (void)name, (void)arena, (void)ret_candidate;
	return not_yet(err);
}

int change_password_of(struct changer *changer, struct store *store, int64_t user_id,
		       struct arena *arena, struct password_candidate *ret_candidate,
		       struct err *err)
{
	(void)changer, (void)store, (void)user_id, (void)arena, (void)ret_candidate;
	return not_yet(err);
}

int change_login_local(struct changer *changer, const struct actor *actor,
		       const struct local_login *login, struct arena *arena,
		       struct login_outcome *ret_outcome, struct err *err)
{
	(void)changer, (void)actor, (void)login, (void)arena, (void)ret_outcome;
	return not_yet(err);
}

int change_login_local_refused(struct changer *changer, const struct actor *actor, int64_t user_id,
			       const char *reason, const char *address, struct err *err)
{
	(void)changer, (void)actor, (void)user_id, (void)reason, (void)address;
	return not_yet(err);
}

int change_password_set(struct changer *changer, const struct actor *actor,
			const struct password_change *change, size_t *ret_ended, struct err *err)
{
	(void)changer, (void)actor, (void)change, (void)ret_ended;
	return not_yet(err);
}

int change_password_forgotten(struct changer *changer, const char *request, const char *name,
			      const char *address, struct err *err)
{
	(void)changer, (void)request, (void)name, (void)address;
	return not_yet(err);
}

int change_password_reset_send(struct changer *changer, const struct actor *actor, const char *user,
			       struct arena *arena, struct reset_row *ret_row, struct err *err)
{
	(void)changer, (void)actor, (void)user, (void)arena, (void)ret_row;
	return not_yet(err);
}

int change_password_reset_check(struct changer *changer, struct store *store,
				const struct uuid *uuid, int64_t generation, int64_t now_s,
				struct arena *arena, struct user *ret_user, struct err *err)
{
	(void)changer, (void)store, (void)uuid, (void)generation, (void)now_s;
	(void)arena, (void)ret_user;
	return not_yet(err);
}

int change_password_reset_use(struct changer *changer, const char *request, const struct uuid *uuid,
			      int64_t generation, const char *hash, struct err *err)
{
	(void)changer, (void)request, (void)uuid, (void)generation, (void)hash;
	return not_yet(err);
}

int password_write(struct changer *changer, const struct actor *actor, const struct user *user,
		   const char *hash, enum password_by by, struct arena *arena, struct err *err)
{
	(void)changer, (void)actor, (void)user, (void)hash, (void)by, (void)arena;
	return not_yet(err);
}
