/*
 * The stages of signing in, inside a transaction of the writer: what policy makes of a first factor, and how a session
 * gets on from there. Used by all ways of signing in, and by what proves and enrols factors.
 */
#ifndef CHANGE_STAGE_H
#define CHANGE_STAGE_H

#include <rolebridge/model/session.h>
#include <rolebridge/policy/factor.h>

#include "internal.h"

struct stage_sign_in {
	struct changer *changer;
	const struct live_setup *setup;
	const struct user *user; /* as they are stored now */
	int64_t idp_s;		 /* the IdP proved a second factor at; 0: no */
	bool idp_asked;		 /* it was asked to */
	struct uuid device;	 /* the browser is remembered as; all zero: it is not */
	struct arena *arena;
	int64_t now_s;
};
/*
 * Before the session is inserted, whose until_s is what a full one would have: sets stage, factor, second_factor_s,
 * until_s, full_until_s. Counts the sign-in against grace. *ret_refused NULL, or "2fa-not-configured": open none.
 */
int stage_judge(const struct stage_sign_in *sign_in, struct session *session,
		const char **ret_refused, struct err *err);

/* A factor was proven, or enrolled. */
struct stage_step {
	int64_t session_id;
	enum factor_method
		method;	      /* FACTOR_ISSUED: leads to SESSION_ENROL, all else to SESSION_FULL */
	struct hash256 token; /* the only one of the session from now on; not used before */
	int64_t now_s;
};
/*
 * From SESSION_FACTOR; from SESSION_ENROL when a method was enrolled; from SESSION_FULL as a step-up. Sets
 * second_factor_s, factor, stage and token, and tells of it after the commit. The caller has verified the proof and
 * used it up, and writes the audit row. What was enrolled and does not count leaves SESSION_ENROL as it is, with the new
 * token. ERR_NOT_FOUND "sign-in-ended". ERR_DENIED "not-allowed": the user may not sign in any more, or a code of an
 * administrator from another stage than SESSION_FACTOR; "factor-not-allowed": by policy. Texts of *ret_session live in
 * the arena.
 */
int stage_complete(struct changer *changer, const struct stage_step *step, struct arena *arena,
		   struct session *ret_session, struct err *err);

/*
 * What policy says of somebody now: which methods would count for them, whether one is required of them. For
 * enrolling and removing: not the last one that counts while it is required.
 */
int stage_ask(struct changer *changer, const struct live_setup *setup, const struct user *user,
	      int64_t now_s, struct arena *arena, struct factor_answer *ret_answer,
	      struct err *err);

/* From SESSION_ENROL without a method, while grace lasts: counted. ERR_DENIED "2fa-not-configured". */
int stage_later(struct changer *changer, const struct stage_step *step, struct arena *arena,
		struct session *ret_session, struct user *ret_user, struct err *err);

/* No browser of theirs is remembered any more: their factors were reset, their password is another one. */
int stage_forget_devices(struct changer *changer, int64_t user_id, struct err *err);

#endif
