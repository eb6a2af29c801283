/*
 * Plan: the difference between decisions and the present state, person by
 * person, with counts by category; which categories are over a limit is
 * policy's word; splitting a person's change into what applies now and what is held is done here.
 */
#ifndef ROLEBRIDGE_DECISION_PLAN_H
#define ROLEBRIDGE_DECISION_PLAN_H

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
	const struct grant *added, *removed;
	size_t added_count, removed_count;
	const struct identity_change *identities;
	size_t identity_count;
	const uint32_t *groups_lost; /* registry ids, for the per-group limit */
	size_t groups_lost_count;
	const char *cause; /* "sync corp", "rules", "hand" … */
};

/* Does anything a person would notice change (not only identity bookkeeping)? */
bool person_change_is_visible(const struct person_change *change);
bool person_change_is_empty(const struct person_change *change);

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
	LIMIT_DISABLES,	   /* subject: source */
	LIMIT_REMOVALS,	   /* subject: "kind:name" of the grant */
	LIMIT_GROUP,	   /* subject: group registry id as text */
	LIMIT_ADMINISTRATORS_NEW, /* subject: organization */
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
	bool held; /* set by the caller after asking policy */
};
size_t plan_totals_size(const struct plan_totals *totals);
struct plan_total *plan_totals_at(struct plan_totals *totals, size_t index);

/* The held categories, as stored with the plan. */
void plan_holds_encode(const struct plan_totals *totals, struct strbuf *out);
struct plan_holds;
int plan_holds_decode(const void *data, size_t size, struct plan_holds **ret_holds,
		      struct err *err);
void plan_holds_destroy(struct plan_holds *holds);

/*
 * Split: *ret_now is what applies at once, *ret_held what waits (both may be
 * empty). A profile replacement is held as a whole. Identity changes always go with now.
 * Disable bits of an explicit source disable of non-administrators count in LIMIT_DISABLES like all others.
 */
int plan_split(const struct decision_setup *setup, const char *source,
	       const struct person_change *change, const struct plan_holds *holds,
	       struct arena *arena, struct person_change *ret_now, struct person_change *ret_held,
	       struct err *err);

/*
 * Digest contribution of a held change: uuid, before-state, what would go or come.
 * The plan id is the digest over these, in order of uuid: independent of entry order.
 */
struct hash256 person_change_digest(const struct person_change *held);

#endif
