/*
 * Who must prove a second factor, per organization: what the file says (second_factor, organizations[].second_factor), or
 * where it says nothing, what an administrator set here. Before it is set one sees who would be locked out.
 */
#ifndef ROLEBRIDGE_CHANGE_ENFORCE_H
#define ROLEBRIDGE_CHANGE_ENFORCE_H

#include <rolebridge/change/changer.h>
#include <rolebridge/policy/factor.h>

enum enforce_from { ENFORCE_DEFAULT, ENFORCE_FILE, ENFORCE_STORE };
/* Before anybody set one; the first that is set has the next. */
#define ENFORCE_VERSION_DEFAULT 1
struct enforce_state {
	const char *organization;
	struct factor_policy policy;
	enum enforce_from from;
	int64_t version; /* ETag; 0 of ENFORCE_FILE */
	int64_t set_s;	 /* 0: unknown */
};
/* ERR_NOT_FOUND: no such organization. Any handle; texts live in the arena. */
int change_enforce_get(const struct setup *setup, struct store *store, const char *organization,
		       struct arena *arena, struct enforce_state *ret_state, struct err *err);

/* Who is meant by name must be there to be meant: errors as of a grant. change_enforce_set asks it, too. */
int change_enforce_check(const struct setup *setup, const char *organization,
			 const struct factor_policy *policy, struct err *err);

/*
 * Active people of the organization of whom this policy requires a factor and who have none that counts. Not locked out
 * though listed, with idp, is who has an identity of a source whose second factor counts: it may prove one. Grace is
 * not looked at: these are locked out at its end.
 */
struct enforce_person {
	int64_t user_id;
	struct uuid uuid;
	const char *username, *display_name;
	bool is_administrator;
	unsigned enrolled; /* methods they have, which do not count */
	bool idp;	   /* may be proven there */
};
struct enforce_preview {
	int64_t required; /* active people of whom one is required */
	int64_t ready;	  /* of these, who have a method that counts */
	int64_t idp;	  /* of the others, whose identity provider may prove one */
	int64_t locked_out, locked_out_administrators;
	struct enforce_person *people; /* who is not ready, in order of user_id, after `after` */
	size_t count;
	int64_t next; /* user_id to go on after; 0: that was all */
};
/* Any handle. after 0: from the first; limit 1 to 1,000: of the list, counts are of all. */
int change_enforce_preview(const struct setup *setup, struct store *store, const char *organization,
			   const struct factor_policy *policy, int64_t after, size_t limit,
			   struct arena *arena, struct enforce_preview *ret_preview,
			   struct err *err);

/*
 * Set it. version: the one that the caller saw (If-Match), 0: whichever. ERR_CONFLICT "managed-by-config", "stale-version",
 * "self-lockout": the actor, of whom a factor would be required, has no method that counts (an administrator on the
 * control socket is nobody's and may); ERR_DENIED "not-allowed"; ERR_NOT_FOUND. Audited "second-factor.set".
 */
struct enforce_change {
	const char *organization;
	struct factor_policy policy;
	int64_t version;
};
int change_enforce_set(struct changer *changer, const struct actor *actor,
		       const struct enforce_change *change, struct arena *arena,
		       struct enforce_state *ret_state, struct err *err);

/*
 * What their full sessions must have been proven by, as factor_demand. Any handle. ERR_NOT_FOUND.
 */
int change_factor_demand(const struct setup *setup, struct store *store, int64_t user_id,
			 int64_t now_s, struct arena *arena, unsigned *ret_demand,
			 int64_t *ret_until_s, struct err *err);
/*
 * A full session that was proven by less than that, since policy became stricter or its person somebody else: it goes back
 * to the stage in which it asks for what is lacking, keeps its tokens, and is good for nothing else until then. Audited
 * "session.ask". Nothing when it is in order after all, or gone; then too the observer is told.
 */
int change_session_judge(struct changer *changer, int64_t session_id, struct err *err);

/* Permissions that take a fresh proof: whether this one does, and how fresh. Of the file. */
bool change_step_up_max_age(const struct setup *setup, const char *permission,
			    int64_t *ret_max_age_s);
/* The same of whatever these include: of what is to have them all. */
bool change_step_up_within(const struct setup *setup, const char *const *permissions, size_t count,
			   int64_t *ret_max_age_s);

#endif
