/* One change of one user by a person's hand, as requests and bulk changes carry it out (person.c). */
#ifndef CHANGE_PERSON_H
#define CHANGE_PERSON_H

#include "internal.h"

struct hand_change {
	const struct actor *actor;
	const char *user;
	struct edit edit;
	struct grant grant;
	const char *cause;
	const struct live_setup *setup;
	int64_t version; /* 0: whichever */
	bool changed;	 /* filled */
	bool ask_denied;
	bool enable;
};
/* Without whose it is, and the setup. Texts are borrowed. */
struct hand_change hand_disable(const struct actor *actor, const char *reason_text);
struct hand_change hand_enable(const struct actor *actor);
/* Refuses what is not there to be given, and what would have expired. edit.add is set by hand_begin. */
int hand_grant(const struct actor *actor, const struct setup *setup, enum grant_kind kind,
	       const char *name, int64_t expires_s, struct hand_change *ret_change,
	       struct err *err);
struct hand_change hand_revoke(const struct actor *actor, enum grant_kind kind, const char *name);
/* Whom it is about; edits point into the change itself, so that it does not move after this. */
void hand_begin(struct hand_change *change, const struct live_setup *setup, const char *user);

/* In the writer; the job's context is the change. */
int hand_job(struct changer *changer, struct job *job, struct err *err);
/* What would become of the user, or the refusal; any handle. */
int hand_evaluate(const struct hand_change *change, struct store *store, struct arena *arena,
		  const struct user *user, int64_t now_s, struct person_change *ret_change,
		  struct err *err);

#endif
