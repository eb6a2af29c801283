/*
 * Signing in with a password of our own, and how people come to have one: by an invite, by a link that is mailed
 * to them, or from within their session. Nobody else ever knows it: administrators send links.
 *
 * Hashes are made and compared outside (auth/hasher.h), for that takes long; what was verified is told by its
 * version, which is read again in the transaction that acts on it.
 *
 * Who signs in elsewhere has no password here ("managed-by-idp"): one of their identities, unless it is missing for
 * good, is of an IdP, of a directory, or of a source that some IdP's people are linked to. Enabled or not: an IdP
 * that is switched off for an hour opens no other door.
 */
#ifndef ROLEBRIDGE_CHANGE_PASSWORD_H
#define ROLEBRIDGE_CHANGE_PASSWORD_H

#include <rolebridge/change/login.h>
#include <rolebridge/store/credential.h>

#define PASSWORD_RESET_LIFETIME_S 3600
/* Kind of the outbox's rows: subject the reset's uuid, number its generation. */
#define OUTBOX_RESET "password-reset"

/* *ret_source: which source says so; NULL: they are ours. Any handle. */
int change_user_managed(struct changer *changer, struct store *store, int64_t user_id,
			struct arena *arena, const char **ret_source, struct err *err);

/* --- signing in --- */

/*
 * Whose name was typed (username or e-mail address, however it is written) and what to verify: hash NULL when
 * nobody has that name, they have no password, or sign in elsewhere; verify all the same, against a decoy, so that
 * these look alike. Who may not sign in is told by change_login_local, to whoever knows the password.
 */
struct password_candidate {
	int64_t user_id;	   /* 0: nobody */
	char uuid[UUID_TEXT_SIZE]; /* for the throttle; "" */
	const char *hash;	   /* NULL: a decoy */
	int64_t version;
	/* Of the first directory, in the configuration's order, that takes their password; NULL: none does. */
	const char *source, *key;
};
int change_password_find(struct changer *changer, struct store *store, const char *name,
			 struct arena *arena, struct password_candidate *ret_candidate,
			 struct err *err);
/* The same of somebody who is known: their own page asks for the present password. */
int change_password_of(struct changer *changer, struct store *store, int64_t user_id,
		       struct arena *arena, struct password_candidate *ret_candidate,
		       struct err *err);

struct local_login {
	int64_t user_id;
	/* The directory that took the password, and the key of the identity there; NULL: ours. */
	const char *source, *key;
	int64_t version;      /* of our password that was verified */
	const char *rehash;   /* of the same password, with today's parameters; NULL: stays */
	struct hash256 token; /* of the session to open, for the daemon's own pages */
	const char *address, *agent;
	struct uuid device; /* as struct login */
	int64_t until_s;    /* absolute end of the session at the latest */
	int64_t now_s;
};
/*
 * The password was right: rules are evaluated anew, the session is opened with its stage, one audit row "login". 0
 * also when refused (outcome->refused, audited as "login.refused"): those of change_login that can be, and
 * "managed-by-idp", "password-changed" (meanwhile), "source-disabled", "unlinked" (the identity of the
 * directory is not theirs any more). -1: store, memory; nothing is written.
 */
int change_login_local(struct changer *changer, const struct actor *actor,
		       const struct local_login *login, struct arena *arena,
		       struct login_outcome *ret_outcome, struct err *err);
/*
 * It was wrong, or throttled: "login.refused" on the user, or on "local" when there is nobody (what was typed is
 * told to nobody: it may be a password). The caller bounds how many are told.
 */
int change_login_local_refused(struct changer *changer, const struct actor *actor, int64_t user_id,
			       const char *reason, const char *address, struct err *err);

/* --- setting one --- */

/* From within their session. */
struct password_change {
	int64_t user_id;
	int64_t session_id; /* FULL, and stays; all others of theirs end */
	int64_t version;    /* the present password was verified; 0: they have none */
	const char *hash;
};
/*
 * No browser of theirs is remembered any more. ERR_CONFLICT "stale-version" (changed meanwhile), "managed-by-idp",
 * "user-disabled". ERR_NOT_FOUND: the session has ended. actor: the person.
 */
int change_password_set(struct changer *changer, const struct actor *actor,
			const struct password_change *change, size_t *ret_ended, struct err *err);

/* --- by mail --- */

/*
 * Whoever forgot it, by the name they typed: a link goes to their address. 0 whether or not there is such a person,
 * and both cost one commit: who is unknown, signs in elsewhere, may not sign in or has no address is an audit row
 * alone.
 */
int change_password_forgotten(struct changer *changer, const char *request, const char *name,
			      const char *address, struct err *err);
/*
 * By an administrator: users:reset@all, and whom they may touch. user: uuid, username or e-mail. ERR_CONFLICT
 * "managed-by-idp", "user-disabled", "no-email". The links before are void. *ret_row (texts in the arena) is what is
 * on its way.
 */
int change_password_reset_send(struct changer *changer, const struct actor *actor, const char *user,
			       struct arena *arena, struct reset_row *ret_row, struct err *err);
/*
 * Is this link still good, and whose is it? Any handle; texts live in the arena. ERR_NOT_FOUND; ERR_CONFLICT
 * "reset-used", "reset-superseded", "reset-expired", "managed-by-idp", "user-disabled".
 */
int change_password_reset_check(struct changer *changer, struct store *store,
				const struct uuid *uuid, int64_t generation, int64_t now_s,
				struct arena *arena, struct user *ret_user, struct err *err);
/*
 * Use it up: the password is set, all sessions end, no browser is remembered any more. Errors as above. No session is
 * opened: people sign in.
 */
int change_password_reset_use(struct changer *changer, const char *request, const struct uuid *uuid,
			      int64_t generation, const char *hash, struct err *err);

#endif
