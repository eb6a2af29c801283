/* What the files of signing in share: one attempt, and its steps, each of which may refuse it. */
#ifndef CHANGE_LOGIN_H
#define CHANGE_LOGIN_H

#include <rolebridge/change/login.h>

#include "internal.h"
#include "link.h"

struct local_login;

struct attempt {
	const struct login *login;
	/* A password was given here, or to a directory, instead of an assertion: what is known stands. NULL. */
	const struct local_login *local;
	const struct actor *actor;
	struct login_outcome *outcome; /* texts in the arena of who asked */
	struct arena *answer;
	struct link_index *index;
	bool fallback; /* the index is made here, whatever it costs */
	bool lacking;  /* to be done again with an index that holds now */
	/* In the writer. */
	struct changer *changer;
	struct live_setup *setup;
	uint64_t generation;
	const struct source_settings *source;
	struct arena *arena;
	struct identity identity;
	struct identity_change stored; /* what will be stored of it */
	int64_t user_id;	       /* 0: someone new */
	bool known, unchanged, linked, written;
	bool confirms;	/* the session stands for having read the identity again */
	int64_t read_s; /* when it was read before */
};

static inline int login_no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory to sign somebody in");
}

static inline bool attempt_is_refused(const struct attempt *attempt)
{
	return attempt->outcome->refused[0] != '\0';
}

/* Whose limits and windows count what it takes away. */
static inline const char *attempt_counts_as(const struct attempt *attempt)
{
	return attempt->login->source[0] ? attempt->login->source : "rules";
}

/* 0: the attempt goes no further, and says why. */
int attempt_refuse(struct attempt *attempt, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Of the attempt, as it is in force; refused: it signs nobody in. */
int attempt_find_source(struct attempt *attempt);

/* login_who.c: the identity from the assertion; the user it belongs to. */
int attempt_decode(struct attempt *attempt, struct err *err);
int attempt_find_user(struct attempt *attempt, struct err *err);

/* login_may.c: refused when whoever is known may not sign in; the change that comes of it. */
int attempt_judge(struct attempt *attempt, struct err *err);
int attempt_evaluate(struct attempt *attempt, struct person_change *ret_change, struct err *err);

/*
 * From a user (or somebody new, with an identity) on: what they should have is written, the session opened, the row
 * written; or refused.
 */
int attempt_enter(struct attempt *attempt, struct err *err);
/* What is told outlives the writer's memory: in attempt->answer. */
int attempt_keep_answer(struct attempt *attempt, struct err *err);

/* login_audit.c: its row. */
int attempt_audit(const struct attempt *attempt, struct err *err);
int attempt_audit_refusal(const struct attempt *attempt, struct err *err);
int attempt_audit_test(const struct attempt *attempt, struct err *err);
/* Counts it. */
void login_note_refused(struct changer *changer);

#endif
