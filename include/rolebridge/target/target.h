/*
 * Targets: where decisions are carried out outside of the store. Each has a name and a kind; the queue of what it is to
 * be told is in the store (store/delivery.h), written by change/ with the change itself.
 *
 * A target has a thread of its own, which takes what is due, hands it to the kind and notes what became of it: at least
 * once, in order for each person. A target that is down holds up nobody else. What fails is tried again after pauses that
 * grow, with jitter; what is refused for good, or failed for too long, is a dead letter, with an alarm, until a person
 * retries or drops it.
 *
 *	targets_create → targets_start → targets_reload … → targets_stop → targets_destroy
 *
 * A kind lives in files of its own, exports its struct target_kind and its option table (struct target_settings first,
 * base: target_base_table), and is listed in main.
 */
#ifndef ROLEBRIDGE_TARGET_TARGET_H
#define ROLEBRIDGE_TARGET_TARGET_H

#include <rolebridge/change/targets.h>
#include <rolebridge/config/options.h>

#define TARGETS_MAX 64

/* targets[]: what all have, first in each kind's own struct. */
struct target_settings {
	struct position at;
	struct located name;		  /* slug: [a-z0-9-]{1,32} */
	struct located type;		  /* the kind's name */
	bool enabled;			  /* false: nothing is queued, and what waits stays */
	int64_t retry_min_s, retry_max_s; /* pauses */
	int64_t give_up_s;		  /* what failed for so long is a dead letter; 0: never */
	int64_t alarm_after_s; /* what waits for so long raises the alarm target-behind */
};
extern const struct option_table target_base_table;
/* For the check of the list: names are unique. */
void targets_settings_check(const struct target_settings *const *targets, size_t count,
			    struct diagnostics *list);

/* What a kind may use while it is called. */
struct target_call {
	struct setup *setup;
	const struct target_settings *settings; /* the kind's own struct begins with it */
	struct store *store;			/* to read; no transaction is open */
	struct arena *arena;			/* lives as long as the answer is needed */
	bool (*cancelled)(void *context);	/* the daemon ends: give up with ERR_CANCELLED */
	void *context;
};

struct delivery_result {
	enum delivery_outcome outcome;
	/* DELIVERY_SENT: of no concern to the target, which was not asked; so it says nothing of how the target does. */
	bool unasked;
	/*
	 * Seconds, an hour at most. DELIVERY_LATER: when to come again, at least 1. DELIVERY_RETRY: not before
	 * (Retry-After), beside the growing pauses; 0: by these alone.
	 */
	int64_t after_s;
	const char *code; /* stable; of a refusal always: "invalid-name". Static, or the arena's. */
	const char *problem; /* for people; never a secret. Likewise. */
};

struct target_field {
	const char *name, *value;
};
/* What a target has of a person, or should have: both are compared field by field. */
struct target_item {
	struct uuid user;
	const char *name;		   /* there, for people */
	bool active;			   /* to make it inactive, or gone, takes something away */
	const struct target_field *fields; /* by name, ascending; without name and active */
	size_t field_count;
	const char *code, *problem; /* why it cannot be there as it should; NULL */
};

struct target_kind {
	const char *name; /* the word behind `type:` */
	/* It is told what holds (and finds it out itself when it delivers), not what happened. */
	bool keeps_state;
	/* What it is told depends on attributes of sources, too: also their changes are deliveries (DELIVERY_UPDATED). */
	bool follows_records;
	size_t batch_max; /* deliveries at once, 1 to 1,000 */
	/*
	 * Connections and the like, for one configuration: the setup outlives it. Must not block. *ret_instance may be
	 * NULL. Each instance is used by one thread at a time. May be NULL.
	 */
	int (*open)(const struct target_call *call, void **ret_instance, struct err *err);
	void (*close)(void *instance); /* NULL: nothing to do */
	/*
	 * Rows of as many different people, in any order or all at once; blocks. Results are all DELIVERY_RETRY at first.
	 * -1: the target itself failed, all of it; whatever is DELIVERY_SENT, DELIVERY_LATER or DELIVERY_REFUSED by then
	 * is noted all the same. An error with a reason needs a person: the alarm target-behind is raised at once.
	 */
	int (*deliver)(void *instance, const struct target_call *call,
		       const struct delivery_row *rows, size_t count,
		       struct delivery_result *results, struct err *err);
	/* What it should have of a user: 1, 0 nothing, -1. Not for kinds without `has`. */
	int (*want)(void *instance, const struct target_call *call, const struct user *user,
		    struct target_item *ret_item, struct err *err);
	/*
	 * What it really has that is ours, page by page, in any order. cursor: "" first, then as told; *ret_cursor
	 * NULL: that was all. NULL: it cannot say.
	 */
	int (*has)(void *instance, const struct target_call *call, const char *cursor,
		   const struct target_item **ret_items, size_t *ret_count, const char **ret_cursor,
		   struct err *err);
	/* Lines of /metrics of its own, after the common ones; may be NULL. Any thread. */
	void (*metrics)(struct strbuf *out);
};

/* --- all of them --- */

struct targets_ports {
	void *context;
	/* The settings of all that are configured in this setup; borrowed from it. */
	void (*settings)(void *context, struct setup *setup,
			 const struct target_settings *const **ret_targets, size_t *ret_count);
	const struct target_kind *const *kinds; /* NULL-terminated */
};

struct targets;
/*
 * Borrows changer and ports->kinds. Observes the deliveries of the changer, so that it is destroyed after it, and stopped
 * before. NULL: out of memory.
 */
struct targets *targets_create(struct changer *changer, const struct targets_ports *ports);
/* Threads for what is configured now. */
int targets_start(struct targets *targets, struct err *err);
/* Another configuration is in force: threads come and go. */
int targets_reload(struct targets *targets, struct err *err);
/* Something may be due: look now, also at targets that are paused because they fail. name NULL: at all. */
void targets_wake(struct targets *targets, const char *name);
/* Gives up what is under way: it is delivered again. A reload that comes after it begins nothing. NULL is fine, also for the next. */
void targets_stop(struct targets *targets);
void targets_destroy(struct targets *targets);
/* Lines of /metrics. store: a handle to read, or NULL for those that cost nothing. */
void targets_metrics(struct targets *targets, struct store *store, struct strbuf *out);

/* How a target does, for `targets list` and status. Texts live in the arena. */
struct target_state {
	const char *name, *kind; /* kind "": it is not configured any more */
	bool enabled, keeps_state, can_compare, held;
	bool failing;			     /* the last attempt failed */
	const char *problem;		     /* why; "" */
	int64_t failing_since_s, next_try_s; /* 0 */
	int64_t delivered_s;		     /* the last success since the start; 0: none yet */
	int64_t reconciled_s;		     /* 0: never, so that it may not know of everybody */
	struct delivery_counts counts;
};
int targets_list(struct targets *targets, struct store *store, struct arena *arena,
		 struct target_state **ret_states, size_t *ret_count, struct err *err);

/* --- drift: what the target has against what was decided --- */
enum drift_kind {
	DRIFT_MISSING,	 /* should be there, and is not */
	DRIFT_DIFFERING, /* is there, but otherwise */
	DRIFT_EXTRA,	 /* is there, ours, and should not be */
	DRIFT_UNKNOWN,	 /* there for somebody who is nobody here: left alone */
	DRIFT_REFUSED,	 /* cannot be there as it should (code, problem) */
	DRIFT_KINDS,
};
const char *drift_kind_name(enum drift_kind kind); /* "missing" … */
struct drift {
	enum drift_kind kind;
	int64_t user_id; /* 0: nobody here */
	struct uuid user;
	const char *name;
	bool takes_away;
	/* Of a differing one: what is otherwise, ordered by name; have and want of the same index. */
	const struct target_field *have, *want;
	size_t field_count;
	const char *code, *problem;
};
struct target_plan {
	char id[65]; /* the hash of its content: the same drift has the same id */
	const char *target;
	bool comparable;	    /* false: the target cannot say; everybody would be told */
	const struct drift *drifts; /* by name */
	size_t drift_count;
	int64_t counts[DRIFT_KINDS];
	int64_t takes_away,
		active; /* how many would be disabled or removed there, of how many that are active there */
	int64_t people; /* would be told */
	int64_t limit;	/* more than so many are only taken away by this very plan's id */
};
/* Reads both sides; may take as long as the target takes. ERR_NOT_FOUND: no such target. Texts live in the arena. */
int targets_plan(struct targets *targets, const char *name, struct store *store,
		 struct arena *arena, struct target_plan *ret_plan, struct err *err);
/*
 * Compares, and queues what repairs it. plan: the id that somebody saw and means, or NULL. ERR_CONFLICT
 * "target-limit": more would be taken away than the limit, and no plan is given; "plan-superseded": it is another one
 * now. Nothing that is not ours is touched.
 */
int targets_reconcile(struct targets *targets, const char *name, const char *plan,
		      const struct actor *actor, struct store *store, struct arena *arena,
		      struct target_plan *ret_plan, struct err *err);

#endif
