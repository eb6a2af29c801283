/*
 * What targets are still to be told, as rows. As store.h says of handles, errors and arenas: a write needs a
 * transaction; returned texts live in the arena.
 *
 * A row is about one person and one target. Of the rows of a person that wait for the same target only the first, the
 * head, is ever due; the others wait behind it, until it is delivered or dead. A target that keeps a state has one row of
 * a person at most: what comes later is folded into it, and its version grows, so that who delivered what it was before
 * does not take it away.
 */
#ifndef ROLEBRIDGE_STORE_DELIVERY_H
#define ROLEBRIDGE_STORE_DELIVERY_H

#include <rolebridge/store/store.h>

/* What happened to the person. Stored: never renumber. */
enum delivery_event {
	DELIVERY_PROVISIONED = 1, /* they are new */
	DELIVERY_UPDATED = 2,	  /* names, address, organization */
	DELIVERY_DISABLED = 3,
	DELIVERY_ENABLED = 4,
	DELIVERY_DELETED = 5,
	DELIVERY_GRANTS = 6,	/* profile, roles, personas, local groups */
	DELIVERY_RECONCILE = 7, /* nothing: the target is told what holds */
};
#define DELIVERY_EVENTS 7
/* "user.provisioned", "user.updated", "user.disabled", "user.enabled", "user.deleted", "grants.changed", "user.state" */
const char *delivery_event_name(enum delivery_event event);
/* false: there is none of that name. */
bool delivery_event_parse(const char *name, enum delivery_event *ret_event);

struct delivery_row {
	int64_t id;	  /* grows: the order of a person's rows */
	struct uuid uuid; /* the same at each attempt: receivers know a repetition by it */
	const char *target;
	int64_t user_id;
	enum delivery_event event;
	/* JSON of what happened (change/targets.h); "" for a target that keeps a state. */
	const char *detail;
	int64_t version; /* grows when something is folded into the row */
	int64_t created_s;
	int64_t attempts; /* that failed */
	int64_t next_s;	  /* due from then on; 0: before all others; -1: waits behind another one */
	int64_t dead_s;	  /* given up then; 0: it waits */
	const char *code; /* of the refusal, stable; "" */
	const char *problem; /* of the last attempt; "" */
};

/*
 * One row more, behind those of the person that wait; sets row->id. Only uuid, target, user_id, event, detail,
 * created_s and next_s of it are looked at.
 */
int store_delivery_add(struct store *store, struct delivery_row *row, struct err *err);
/*
 * The same for a target that keeps a state: into the row that there is, which is due at next_s again (or before), as if
 * never tried; also a dead one.
 */
int store_delivery_fold(struct store *store, struct delivery_row *row, struct err *err);

/*
 * Heads that are due at now_s, in the order of their times; of each person one at most. limit: 1 to 1,000. Last those
 * that are due after far_s only: nobody puts anything off for so long, the clock was set back since.
 */
int store_delivery_due(struct store *store, const char *target, int64_t now_s, int64_t far_s,
		       size_t limit, struct arena *arena, struct delivery_row **ret_rows,
		       size_t *ret_count, struct err *err);
/* When the next head is due: 0 now or before all others, -1 there is none. */
int store_delivery_next(struct store *store, const char *target, int64_t *ret_next_s,
			struct err *err);
/* 1, 0 when it is gone, -1. */
int store_delivery_get(struct store *store, int64_t id, struct arena *arena,
		       struct delivery_row *ret_row, struct err *err);
int store_delivery_find(struct store *store, const struct uuid *uuid, struct arena *arena,
			struct delivery_row *ret_row, struct err *err);

/* It is gone, and the person's next one is due at now_s. */
int store_delivery_remove(struct store *store, const struct delivery_row *row, int64_t now_s,
			  struct err *err);
/* attempts, next_s, code, problem of a head. */
int store_delivery_put_off(struct store *store, const struct delivery_row *row, struct err *err);
/* dead_s, attempts, code, problem; the person's next one is due at dead_s. */
int store_delivery_bury(struct store *store, const struct delivery_row *row, struct err *err);
/* A dead one, or one that was put off, is due at now_s again, as if never tried. A dead one waits behind living ones of lower id. */
int store_delivery_revive(struct store *store, const struct delivery_row *row, int64_t now_s,
			  struct err *err);

enum delivery_state { DELIVERY_ANY, DELIVERY_WAITING, DELIVERY_FAILING, DELIVERY_DEAD };
struct delivery_query {
	const char *target;	   /* NULL: any */
	const char *organization;  /* of the people; NULL: any */
	int64_t user_id;	   /* 0: anybody's */
	enum delivery_state state; /* waiting: not dead; failing: waiting, and tried before */
	int64_t after_id;
	size_t limit; /* 1 to 1,000 */
};
/* In order of id. */
int store_delivery_list(struct store *store, const struct delivery_query *query,
			struct arena *arena, struct delivery_row **ret_rows, size_t *ret_count,
			struct err *err);
struct delivery_counts {
	int64_t waiting, failing, dead; /* failing: of the waiting ones */
	/* When the oldest waiting one came; 0: there is none. Those for which all is well until later do not count. */
	int64_t oldest_s;
};
/* Costs nothing, however much waits; likewise the next two. */
int store_delivery_counts(struct store *store, const char *target, int64_t now_s,
			  struct delivery_counts *ret_counts, struct err *err);
/* Is there any dead one? 1, 0, -1. */
int store_delivery_any_dead(struct store *store, const char *target, struct err *err);
/* Of all that have rows, configured or not. */
int store_delivery_targets(struct store *store, struct arena *arena, const char *const **ret_names,
			   size_t *ret_count, struct err *err);
/* All of a target, or its dead ones alone, at most limit: how many are gone, -1. Only for targets that are not told of. */
int store_delivery_drop(struct store *store, const char *target, bool dead, size_t limit,
			struct err *err);

#endif
