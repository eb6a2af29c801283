/*
 * Second factors: enrolled, proven, removed, reset; recovery codes. What a code or a signature says was looked at
 * before, outside of a transaction (auth/factor.h, auth/webauthn.h); here all that it stood on is read again and
 * used up: the factor is still there and the same, its step or counter grows, the challenge was not used, the
 * session is still there, and the person may sign in.
 *
 * Whoever enrols one has given their first factor within FACTOR_FRESH_S, and the second one when they have any, or holds a
 * session that may only enrol. The person is mailed of each change (kind OUTBOX_FACTOR).
 */
#ifndef ROLEBRIDGE_CHANGE_FACTOR_H
#define ROLEBRIDGE_CHANGE_FACTOR_H

#include <rolebridge/change/changer.h>
#include <rolebridge/model/session.h>
#include <rolebridge/store/factor.h>

#define FACTOR_FRESH_S SESSION_FRESH_S
#define FACTOR_PENDING_S 600 /* to confirm one that was begun */
#define CHALLENGE_LIFE_S 600 /* a code by mail or SMS */
#define CHALLENGE_TRIES 5    /* of one such code */
#define RECOVERY_DEFAULT_S 3600
#define RECOVERY_MIN_S 600
#define RECOVERY_MAX_S (30 * (int64_t)86400)

#define PERMISSION_FACTORS_READ "factors:read@all"
#define PERMISSION_FACTORS_RESET "factors:reset@all"
#define PERMISSION_RECOVERY_ISSUE "recovery-codes:issue@all"
#define PERMISSION_SEALING_KEY "sealing-key:update@all"

/* --- enrolling: by the person, in their session --- */

struct new_factor {
	int64_t user_id, session_id;
	struct uuid uuid; /* of the row: what is sealed is bound to it */
	enum factor_method method;
	const char *name; /* "": as the method is called */
	/* TOTP, EMAIL, SMS. */
	const void *sealed;
	size_t sealed_size;
	int64_t key_id;
	const char *hint;
	/* WEBAUTHN: was proven by the very answer that brought it. */
	const void *credential;
	size_t credential_size;
	const void *public_key;
	size_t public_key_size;
	struct uuid model;
	bool user_verified, backed_up;
	int64_t counter;
	const char *challenge; /* its name, used up here with kind "challenge" */
	int64_t challenge_until_s;
	struct hash256 token; /* WEBAUTHN: as in struct factor_proof */
};
/*
 * TOTP, EMAIL, SMS: noted, and nobody's factor until change_factor_confirm; what was begun before with the same method
 * is forgotten. Errors of all that enrols:
 *	ERR_DENIED "fresh-sign-in-required", "second-factor-required" (they have one, and proved none just now)
 *	ERR_CONFLICT "factor-limit", "name-taken", "credential-taken", "user-disabled"
 *	ERR_NOT_FOUND "sign-in-ended": the session
 *	ERR_CONFLICT "replayed": the challenge was used
 *	ERR_INVALID: a name that cannot be one
 */
int change_factor_begin(struct changer *changer, const struct actor *actor,
			const struct new_factor *factor, struct err *err);
/*
 * WEBAUTHN: at once. A session that may only enrol, or one of somebody who had no factor yet, gets on by it, and has the
 * token that is given: *ret_session (texts in the arena) is how it is now. Its id is 0 when nothing of the session has
 * changed: then its token is the one it had.
 */
int change_factor_add(struct changer *changer, const struct actor *actor,
		      const struct new_factor *factor, struct arena *arena,
		      struct session *ret_session, struct err *err);

/* --- proving one --- */

struct factor_proof {
	enum factor_method method;
	int64_t user_id, session_id;
	struct uuid factor;    /* not of RECOVERY */
	int64_t version;       /* of the factor that was looked at */
	int64_t counter;       /* TOTP: the step; WEBAUTHN: the new sign count */
	int64_t generation;    /* EMAIL, SMS: of the code that was sent */
	const char *challenge; /* WEBAUTHN: its name, used up here with kind "challenge" */
	int64_t challenge_until_s;
	int64_t recovery_id;  /* RECOVERY: the row */
	struct hash256 token; /* the session's own pages' from now on; those before are void */
};
/*
 * Uses it up and completes the sign-in, or steps up one that is complete; an administrator's recovery code makes it
 * one that may only enrol. *ret_session: as it is now, texts in the arena; tell sessions of it.
 *	ERR_DENIED "code-used", "webauthn-counter", "email-after-reset", "factor-not-allowed" (by policy),
 *		"code-expired", "code-superseded"
 *	ERR_CONFLICT "factor-changed" (removed meanwhile), "replayed"
 *	ERR_NOT_FOUND "sign-in-ended"
 */
int change_factor_prove(struct changer *changer, const struct actor *actor,
			const struct factor_proof *proof, struct arena *arena,
			struct session *ret_session, struct err *err);
/*
 * The first code, or the first answer, of a factor that was begun: it is theirs from now on. Errors as of both. The
 * session as in change_factor_add.
 */
int change_factor_confirm(struct changer *changer, const struct actor *actor,
			  const struct factor_proof *proof, struct arena *arena,
			  struct session *ret_session, struct err *err);

/* A code, or an answer, that was no good: an audit row "factor.refused". The caller bounds how many are told. */
struct factor_refusal {
	int64_t user_id, session_id;
	enum factor_method method;
	const struct uuid *factor; /* NULL: not known which */
	const char *reason;	   /* a stable code */
	const char *address;	   /* of the browser; "" */
	int64_t count;		   /* so many since the last one that was told; 0 and 1 are one */
};
int change_factor_refused(struct changer *changer, const struct actor *actor,
			  const struct factor_refusal *refusal, struct err *err);

/* --- codes by mail and SMS --- */

/*
 * A new code is to be sent for this factor of theirs, in this session; those before in it are void. *ret_row says its number
 * and end; the code is made of that (auth/code.h). ERR_UNAVAILABLE "rate-limited": *ret_wait_s until the next one may
 * be sent. ERR_NOT_FOUND "sign-in-ended", "not-found": the factor. ERR_DENIED "email-after-reset".
 */
int change_challenge_send(struct changer *changer, const struct actor *actor, int64_t user_id,
			  int64_t session_id, const struct uuid *factor,
			  struct challenge_row *ret_row, int64_t *ret_wait_s, struct err *err);
/*
 * A try is counted before the code is looked at, so that many at once are as few as one after the other. ERR_DENIED
 * "code-expired", "code-used", "code-tries" (too many: another one must be sent); ERR_NOT_FOUND "no-code-sent".
 */
int change_challenge_try(struct changer *changer, int64_t session_id, const struct uuid *factor,
			 struct challenge_row *ret_row, struct err *err);

/* --- looking after one's own --- */

/* ERR_NOT_FOUND, ERR_CONFLICT "name-taken". */
int change_factor_rename(struct changer *changer, const struct actor *actor, int64_t user_id,
			 const struct uuid *factor, const char *name, struct err *err);
/*
 * Needs a fresh sign-in as enrolling does, and a session that is complete. ERR_CONFLICT "last-factor": policy wants one
 * of them, and this is the last that it takes.
 */
int change_factor_remove(struct changer *changer, const struct actor *actor, int64_t user_id,
			 int64_t session_id, const struct uuid *factor, struct err *err);
/*
 * Ten new codes, by their hashes; those before are void. Needs a fresh sign-in, and a session that is complete.
 * ERR_CONFLICT "no-factor": recovery codes replace a factor, and there is none.
 */
int change_recovery_put(struct changer *changer, const struct actor *actor, int64_t user_id,
			int64_t session_id, const char *const hashes[static RECOVERY_PRINTED],
			struct err *err);

/* May they at all? The same questions, before anything is hashed. */
int change_recovery_may_put(struct changer *changer, const struct actor *actor, int64_t user_id,
			    int64_t session_id, struct err *err);

/* --- by administrators --- */

/*
 * A code for somebody who is locked out, by its hash: replaces the one before. user: uuid, username or e-mail. Permission
 * PERMISSION_RECOVERY_ISSUE and the ceiling. ERR_CONFLICT "self-recovery" (not for oneself), "user-disabled";
 * ERR_INVALID "invalid-request": a lifetime out of bounds.
 */
int change_recovery_issue(struct changer *changer, const struct actor *actor, const char *user,
			  const char *hash, int64_t lifetime_s, struct uuid *ret_uuid,
			  int64_t *ret_until_s, struct err *err);
/* May the actor do so at all? The same questions, before anything is hashed. Any handle. */
int change_recovery_may_issue(struct changer *changer, struct store *store,
			      const struct actor *actor, const char *user, int64_t lifetime_s,
			      struct err *err);
/*
 * Factors of somebody are gone: this one, or all with the recovery codes (factor NULL). Ends no session and no token.
 * Permission PERMISSION_FACTORS_RESET and the ceiling. ERR_CONFLICT "self-reset": one's own are removed on one's own
 * page. *ret_count how many were.
 */
int change_factor_reset(struct changer *changer, const struct actor *actor, const char *user,
			const struct uuid *factor, struct uuid *ret_uuid, size_t *ret_count,
			struct err *err);

/* --- sealing anew --- */
struct resealed {
	int64_t id;
	const void *before; /* must still stand there */
	size_t before_size;
	const void *after;
	size_t after_size;
};
/* One transaction, an audit row "sealing-key.reseal". *ret_count: those that were still so. */
int change_factor_reseal(struct changer *changer, const struct actor *actor, int64_t key_id,
			 const struct resealed *rows, size_t count, size_t *ret_count,
			 struct err *err);

/* Keys came or went: an audit row with this action ("sealing-key.rotate" …) and how many there are. */
int change_sealing_key_note(struct changer *changer, const struct actor *actor, const char *action,
			    int64_t key_id, size_t keys, struct err *err);

/* --- letters --- */
#define OUTBOX_FACTOR "factor"
enum factor_event {
	FACTOR_ENROLLED = 1,
	FACTOR_REMOVED = 2,
	FACTOR_RESET = 3, /* by an administrator; method 0: all */
	FACTOR_CODES_MADE = 4,
	FACTOR_CODE_ISSUED = 5, /* by an administrator */
	FACTOR_CODE_USED = 6,
	FACTOR_PASSWORD_SET = 7, /* no factor of theirs; method 0 */
};
/* What a row of the outbox is about: its subject is the user's uuid, its number says event and method. */
static inline int64_t factor_event_number(enum factor_event event, int method)
{
	return (int64_t)event * 16 + method;
}
static inline enum factor_event factor_event_of(int64_t number, int *ret_method)
{
	*ret_method = (int)(number % 16);
	return (enum factor_event)(number / 16);
}

#endif
