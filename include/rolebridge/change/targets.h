/*
 * What targets are to be told of: queued in the transaction of the change itself (change/ does so by itself wherever a
 * person changes), and what becomes of it afterwards.
 */
#ifndef ROLEBRIDGE_CHANGE_TARGETS_H
#define ROLEBRIDGE_CHANGE_TARGETS_H

#include <rolebridge/change/changer.h>
#include <rolebridge/store/delivery.h>

#define TARGET_NAME_MAX 32

/* A target, as far as queueing needs it: struct setup has a list of them. */
struct target_setup {
	const char *name;
	bool keeps_state; /* it is told what holds, not what happened: rows of a person are folded into one */
	bool follows_records; /* keeps a state that depends on what sources say of the person, too */
	bool is_off;	      /* configured, and nothing is queued for it: what waits stays */
};

/*
 * The detail of a row for a target that is told what happened, made at the time of the change:
 *
 *	{"cause": "sync corp",
 *	 "user": {"id": "…", "username": "…", "email": "…", "display_name": "…", "organization": "…",
 *		  "active": true, "profile": "…", "roles": ["…"], "personas": ["…"], "groups": ["…"]},
 *	 "changed": {"email": ["before", "after"], "profile": ["before", "after"]},
 *	 "gained": [{"kind": "role", "name": "sales"}], "lost": […], "disabled": ["hand"]}
 *
 * user: after the change. Nothing of it is an attribute of a source. "changed", "gained" and "lost" are left out when
 * empty, "disabled" (the reasons) while the person is active.
 */

/* --- outcomes of attempts, by the target's thread --- */
enum delivery_outcome {
	DELIVERY_SENT,	  /* or of no concern to the target */
	DELIVERY_LATER,	  /* so far so good; there is more to do at next_s */
	DELIVERY_RETRY,	  /* again at next_s */
	DELIVERY_REFUSED, /* never: a dead letter */
};
struct delivery_note {
	const struct delivery_row *row; /* as it was when it was taken */
	enum delivery_outcome outcome;
	int64_t next_s;
	const char *code, *problem; /* of the last two; NULL: none */
};
/* All in one transaction. Rows that are gone, or that something was folded into meanwhile, are not spoilt by it. */
int change_deliveries_note(struct changer *changer, const struct delivery_note *notes, size_t count,
			   struct err *err);

/* --- by people --- */
/*
 * Again, now, as if never tried: one delivery (its uuid), or all dead ones of a target and whatever was put off (uuid
 * NULL). ERR_NOT_FOUND. *ret_count: how many. An audit row.
 */
int change_deliveries_retry(struct changer *changer, const struct actor *actor, const char *target,
			    const struct uuid *uuid, int64_t *ret_count, struct err *err);
/*
 * Never: one dead delivery, or all dead ones of a target (uuid NULL); also what waits, when the target is not configured
 * any more at that moment: what a target was not told it does not know. ERR_NOT_FOUND, ERR_CONFLICT "delivery-waiting". An
 * audit row.
 */
int change_deliveries_drop(struct changer *changer, const struct actor *actor, const char *target,
			   const struct uuid *uuid, int64_t *ret_count, struct err *err);
/* When it was last told of everybody, or of all that differed; 0: never. */
int change_target_reconciled(struct store *store, const char *target, int64_t *ret_at_s,
			     struct err *err);
/*
 * What holds of these people is told to the target. Audit rows, one for each transaction. plan: what it repairs, for the
 * audit log.
 */
int change_deliveries_reconcile(struct changer *changer, const struct actor *actor,
				const char *target, const char *plan, const int64_t *user_ids,
				size_t count, struct err *err);

/* Called in the writer thread, after a commit that queued something; urgent: somebody was disabled. */
struct delivery_observer {
	void *context;
	void (*queued)(void *context, bool urgent);
};
/* Set it before other threads use the changer. */
void changer_observe_deliveries(struct changer *changer, const struct delivery_observer *observer);

#endif
