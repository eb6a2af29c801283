/* What a plan holds back, decoded. Inside decision/ only. */
#ifndef ROLEBRIDGE_DECISION_HOLDS_PRIVATE_H
#define ROLEBRIDGE_DECISION_HOLDS_PRIVATE_H

#include <rolebridge/decision/plan.h>

struct hold_item {
	enum limit_kind kind;
	const char *subject;
	bool waiting_only; /* holds only those who waited before */
};

struct plan_holds {
	struct arena *arena;
	struct hold_item *items; /* ordered by kind and subject */
	size_t count;
	unsigned kinds;		   /* bit per kind that occurs */
	struct hash128 *conflicts; /* ordered */
	size_t conflict_count;
	int64_t *waiting; /* user ids, ordered */
	size_t waiting_count;
	unsigned flags; /* enum plan_flag */
	bool waits;	/* is this asked for one of them? Set by plan_split in a copy of its own */
};

bool plan_holds_waits(const struct plan_holds *holds, int64_t user_id);
bool plan_holds_has(const struct plan_holds *holds, enum limit_kind kind, const char *subject);

#endif
