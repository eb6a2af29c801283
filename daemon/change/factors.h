/* What the changes of second factors share (factor.c, factor_enrol.c, factor_reset.c, recovery.c). */
#ifndef CHANGE_FACTORS_H
#define CHANGE_FACTORS_H

#include <rolebridge/change/factor.h>

#include "stage.h"

#define FACTOR_ARENA_MAX (16u * 1024 * 1024)

/* A job about one person; what it reads of them is in the arena of the job. */
struct factoring {
	const struct actor *actor;
	const struct live_setup *setup;
	int64_t user_id, session_id;
	const struct uuid *factor; /* NULL: none yet, or all */
	/* What is asked for, and what came of it. */
	const struct new_factor *wanted;
	const struct factor_proof *proof;
	const char *text; /* a name, a hash, a user */
	const char *const *hashes;
	int64_t lifetime_s;
	struct challenge_row challenge;
	int64_t wait_s, until_s;
	struct uuid uuid;
	size_t count;
	struct session session;
	/* Of the job. */
	struct arena *arena; /* the caller's where something of it leaves; else the job's own */
	struct user user;
	struct session before;
	struct factor_row row;
	int64_t now_s;
};

/* Sets setup, runs the job in a transaction of its own. */
int factoring_send(struct changer *changer, struct factoring *work, job_run *run, struct err *err);
/* The same with a proof; *ret_session: what became of its session. */
int factoring_by_proof(struct changer *changer, const struct actor *actor,
		       const struct factor_proof *proof, job_run *run, struct arena *arena,
		       struct session *ret_session, struct err *err);

/* --- steps: each reads what the next ones need --- */
/* The person, active. ERR_CONFLICT "user-disabled". */
int factoring_user(struct changer *changer, struct factoring *work, struct err *err);
/* And their session: ERR_NOT_FOUND "sign-in-ended". */
int factoring_session(struct changer *changer, struct factoring *work, struct err *err);
/*
 * It may only enrol, or is complete and their first factor was given a moment ago: "fresh-sign-in-required"; and, of whoever
 * has one, the second, by something else than a browser that is remembered: "second-factor-required".
 */
int factoring_fresh(struct changer *changer, const struct factoring *work, struct err *err);
/* Complete, and fresh. */
int factoring_fresh_full(struct changer *changer, const struct factoring *work, struct err *err);
/* Their factor work->factor, confirmed or not: ERR_NOT_FOUND. */
int factoring_row(struct changer *changer, struct factoring *work, struct err *err);

/*
 * By an administrator: work->text says whom. Permission and ceiling; sets work->user and user_id. refused: the code for
 * whoever asks it for themselves.
 */
int factoring_other(struct changer *changer, struct factoring *work, const char *permission,
		    const char *refused, struct err *err);

/* --- what is proven --- */
/*
 * The proof is used up, of a factor that stands in work->row (not of recovery codes): step, sign count, challenge.
 * row is as it must be written.
 */
int factoring_use(struct changer *changer, struct factoring *work, struct err *err);
/* A code of a reset mail and a code by mail are one proof, not two: ERR_DENIED "email-after-reset". */
int factoring_check_mail(struct changer *changer, const struct factoring *work, struct err *err);
/* The session gets on, and its token is another one. */
int factoring_complete(struct changer *changer, struct factoring *work, enum factor_method method,
		       struct err *err);

/* --- audit and letters --- */
struct factor_audit {
	const char *action;
	const struct factor_row *row; /* NULL */
	enum factor_method method;    /* without a row; FACTOR_NONE: not told */
	const char *key, *text;	      /* one thing more; NULL */
	int64_t until_s, count;	      /* 0: not told */
};
int factoring_audit(struct changer *changer, const struct factoring *work,
		    const struct factor_audit *what, struct err *err);
/* A letter to the person; none without an address. */
int factor_letter_add(struct changer *changer, const struct user *user, enum factor_event event,
		      enum factor_method method, int64_t now_s, struct err *err);
int factoring_mail(struct changer *changer, const struct factoring *work, enum factor_event event,
		   enum factor_method method, struct err *err);

#endif
