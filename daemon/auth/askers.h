/*
 * Decisions in memory as decisions.c and askers.c share them: resources, and people who were asked about.
 *
 * Lock: `lock` guards all of the tables. Who asks takes it shared; what change/ tells takes it alone, in the
 * writer's thread, and goes first. `reading` guards the store handle and is taken before it.
 */
#ifndef ROLEBRIDGE_AUTH_ASKERS_H
#define ROLEBRIDGE_AUTH_ASKERS_H

#include <pthread.h>
#include <stdatomic.h>

#include <rolebridge/auth/decisions.h>
#include <rolebridge/store/store.h>

#include "permset.h"
#include "tree.h"

#define TOLD 1024 /* a power of two */

enum asker_state { ASKER_KNOWN, ASKER_DISABLED, ASKER_REFUSED };

struct alias;
/* Somebody who was asked about. */
struct asker {
	struct map_link by_id;
	int64_t id;
	enum asker_state
		state; /* REFUSED: told by change/ before a commit; stays until it is told of again */
	const char *organization;    /* interned */
	struct permset *permissions; /* shared */
	struct alias *aliases;
	int64_t until_s; /* a grant expires */
};

/* A name that was asked for. */
struct alias {
	struct map_link by_text;
	struct asker *asker; /* NULL: nobody's */
	struct alias *next;  /* of the asker, or of nobody */
	char text[];
};

/* An application that wants a second factor. */
struct factor {
	char *application;
	int64_t max_age_s; /* 0: any */
};

struct decisions {
	struct changer *changer;
	pthread_rwlock_t lock;
	struct tree tree;
	bool tree_lost; /* what is in the tree is not what is in the store */
	uint64_t tree_told;
	struct map askers, aliases, permsets;
	struct alias *nobodies;
	size_t nobody_count;
	struct interned *names;
	uint64_t told[TOLD], told_nobody, epoch;
	_Atomic uint64_t generation; /* of the configuration that permissions are of */
	struct factor *factors;
	size_t factor_count;
	_Atomic bool steps_up; /* some permissions take a fresh second factor */

	pthread_mutex_t reading;
	struct store *store; /* NULL: to be opened */
	struct arena *arena;
};

/* NULL: not read so far. Callers hold the lock. */
const struct alias *askers_find(const struct decisions *decisions, const char *text);
/* Does what is known of this name hold now? Callers hold the lock. */
static inline bool askers_holds(const struct alias *alias, int64_t now_s)
{
	return alias && (!alias->asker || alias->asker->until_s > now_s);
}
/*
 * Who goes by this name, from the store: 1 known now, 0 something was told meanwhile, so again, -1. Callers hold
 * `reading`, and the store is open.
 */
int askers_read(struct decisions *decisions, const char *name, int64_t now_s, struct err *err);
/* Nothing that was read counts any more. Callers hold the lock alone. */
void askers_forget(struct decisions *decisions);
/* What change/ tells of. */
void askers_on_disabling(void *context, int64_t user_id);
void askers_on_changed(void *context, int64_t user_id);
void askers_finish(struct decisions *decisions);

#endif
