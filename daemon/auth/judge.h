/*
 * The decision itself: pure over a resource in its tree and what somebody holds. Cannot fail.
 */
#ifndef ROLEBRIDGE_AUTH_JUDGE_H
#define ROLEBRIDGE_AUTH_JUDGE_H

#include <rolebridge/auth/decisions.h>

#include "permset.h"
#include "tree.h"

struct holder {
	int64_t user; /* 0: nobody owns anything */
	const char *organization;
	const struct permset *permissions;
};

/* What was decisive; only filled for explaining. */
struct ground {
	const struct permset_item *item;
	unsigned scope;
};

/* ground may be NULL. */
enum decision_reason judge_resource(const struct holder *holder, const struct asked *asked,
				    const struct tree_node *node, struct ground *ground);
/* About no resource. */
enum decision_reason judge_general(const struct holder *holder, const struct asked *asked,
				   struct ground *ground);

#endif
