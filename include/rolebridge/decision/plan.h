/*
 * Plan: the difference between decisions and the present state, person by
 * person, with counts by category; which categories are over a limit is
 * policy's word; splitting a person's change into what applies now and what is held is done here.
 */
#ifndef ROLEBRIDGE_DECISION_PLAN_H
#define ROLEBRIDGE_DECISION_PLAN_H

#include <rolebridge/base/hash.h>
#include <rolebridge/base/message.h>
#include <rolebridge/decision/decide.h>

/* A changed identity of the person: to be written with the change. */
struct identity_change {
	const char *source, *key;
	const void *record; /* NULL: only missing marks change */
	size_t record_size;
	struct hash128 digest;
	int64_t read_s;
	int64_t missing_s;
	uint32_t missing_runs;
};

/* Everything that changes for one person, in one transaction or not at all. */
struct person_change {
	struct user before; /* id 0: new user; then only uuid, organization are set */
	struct user after;  /* version = before.version + 1 */
	/*
	 * Each begins with those that matter to the person: kinds and names they did not have before
	 * (gained), do not have afterwards (lost). The others only change origin or times.
	 */
	const struct grant *added, *removed;
	size_t added_count, removed_count;
	size_t gained_count, lost_count;
	const struct identity_change *identities;
	size_t identity_count;
	const uint32_t *groups_lost; /* registry ids, for the per-group limit */
	size_t groups_lost_count;
	const char *cause; /* "sync corp", "rules", "hand" … */
};

/* Does anything a person would notice change (not only identity bookkeeping)? */
bool person_change_is_visible(const struct person_change *change);
bool person_change_is_empty(const struct person_change *change);
/* Does it take anything away: a grant, the profile, the active state? */
bool person_change_takes_away(const struct person_change *change);

/*
 * Compute one. input as given to decide (input->user NULL: new), fields from
 * person_fields, identities as they will be. uuid and ids of new users are set by the caller in after->uuid.
 */
int plan_person(const struct decision_setup *setup, const struct decide_input *input,
		const struct decision *decision, const struct person_fields *fields,
		const struct identity_change *identities, size_t identity_count,
		const char *organization, const char *cause, struct arena *arena,
		struct person_change *ret_change, struct err *err);

/* Stored bytes of a change (message.h encoding); strict to the last byte on the way back. */
void person_change_encode(const struct person_change *change, struct strbuf *out);
int person_change_decode(struct reader *in, struct arena *arena, struct person_change *ret_change,
			 struct err *err);

/* --- what limits count --- */
enum limit_kind {
	LIMIT_DISABLES,		   /* subject: source */
	LIMIT_REMOVALS,		   /* subject: "kind:name" of the grant */
	LIMIT_GROUP,		   /* subject: group registry id as text */
	LIMIT_ADMINISTRATORS_NEW,  /* subject: organization */
	LIMIT_ADMINISTRATORS_LOST, /* subject: organization */
	LIMIT_KINDS,
};
const char *limit_kind_name(enum limit_kind kind); /* "disables" … : window kind and plan text */

/* Counts per (kind, subject) over the changes of one run. */
struct plan_totals;
struct plan_totals *plan_totals_create(void);
void plan_totals_destroy(struct plan_totals *totals);
int plan_totals_count(struct plan_totals *totals, const struct decision_setup *setup,
		      const char *source, const struct person_change *change, struct err *err);
struct plan_total {
	enum limit_kind kind;
	const char *subject;
	int64_t count;
	int64_t explicit_count; /* LIMIT_ADMINISTRATORS_LOST: of those, disabled explicitly by a source */
	bool held;		/* set by the caller after asking policy */
	/* Held, though not over the limit now: only for those who waited before. */
	bool waiting_only;
};
size_t plan_totals_size(const struct plan_totals *totals);
struct plan_total *plan_totals_at(struct plan_totals *totals, size_t index);
/* 0 when nothing was counted there. */
int64_t plan_totals_get(struct plan_totals *totals, enum limit_kind kind, const char *subject);
/* Held for other reasons than what was counted here. */
int plan_totals_hold(struct plan_totals *totals, enum limit_kind kind, const char *subject,
		     struct err *err);
/* Order by kind and subject: the same whatever came first. */
void plan_totals_sort(struct plan_totals *totals);

enum plan_flag {
	PLAN_BY_PERSON = 1, /* a person applied it: nothing is held or counted */
	/* An incomplete read: what is held is dropped, and looked at again in the next read. */
	PLAN_FORGET_HELD = 2,
	/* Held: administrators of a source's first sync wait here, and later runs do not let them in. */
	PLAN_FIRST_SYNC = 4,
	PLAN_FLAGS = 7,
};

/* Who waited before in a category that is held: user ids, in any order. */
struct plan_waiting {
	const int64_t *ids;
	size_t count;
};

/*
 * The held categories, who waited there before, and the names (digests, ascending) that several people of
 * the run claim, as stored with the plan.
 */
void plan_holds_encode(const struct plan_totals *totals, struct plan_waiting waiting,
		       const struct hash128 *conflicts, size_t conflict_count, unsigned flags,
		       struct strbuf *out);
struct plan_holds;
int plan_holds_decode(const void *data, size_t size, struct plan_holds **ret_holds,
		      struct err *err);
void plan_holds_destroy(struct plan_holds *holds);
/* The held categories, ordered; lent. false: no more. */
bool plan_holds_at(const struct plan_holds *holds, size_t index, enum limit_kind *ret_kind,
		   const char **ret_subject);
bool plan_holds_any(const struct plan_holds *holds); /* any category held */
unsigned plan_holds_flags(const struct plan_holds *holds);
bool plan_holds_conflicts(const struct plan_holds *holds); /* any name in conflict */
bool plan_holds_conflict(const struct plan_holds *holds, struct hash128 name);
/* The digest of a claimed name: 'u' for a username, 'e' for an e-mail address. */
struct hash128 plan_name_digest(char what, const char *name);

/*
 * Split: *ret_now is what applies at once, *ret_held what waits (both may be
 * empty). The held part starts where now ends, so that it is the same when it is computed again.
 * A profile replacement is held as a whole. Identity changes always go with now. Someone new who would
 * be administrator comes in with the default profile, or waits outside when there is none.
 * Disable bits of an explicit source disable of non-administrators count in LIMIT_DISABLES like
 * all others.
 */
int plan_split(const struct decision_setup *setup, const char *source,
	       const struct person_change *change, const struct plan_holds *holds,
	       struct arena *arena, struct person_change *ret_now, struct person_change *ret_held,
	       struct err *err);

/*
 * What of `fresh` (computed from the present state) the plan had: takes away, gives and
 * replaces nothing that `planned` did not. Fields and identities are fresh's.
 */
int plan_intersect(const struct person_change *planned, const struct person_change *fresh,
		   struct arena *arena, struct person_change *ret_change, struct err *err);
/* The change without what waits in `held` (another plan's): the other half of plan_intersect. */
int plan_subtract(const struct person_change *change, const struct person_change *held,
		  struct arena *arena, struct person_change *ret_change, struct err *err);
/* Additions at most: no loss, no new disable, no replaced profile. For protected users. */
int plan_keep_additions(const struct person_change *change, struct arena *arena,
			struct person_change *ret_change, struct err *err);

/*
 * Digest contribution of a held change: whose, before-state, what would go or come; no times. The
 * plan id is the digest over these, in their own order: independent of entry order. The
 * username stands for the person: it is unique, and known before a uuid is.
 */
int person_change_digest(const struct person_change *held, struct hash256 *ret_digest,
			 struct err *err);

#endif
