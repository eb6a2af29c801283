/* What the parts of a run of changes share (changes*.c), and urgent.c. */
#ifndef CHANGE_PENDING_H
#define CHANGE_PENDING_H

#include "sync.h"

enum pending_what {
	PENDING_NOTHING, /* frozen: as it was, to be looked at when it can be processed again */
	PENDING_RECORD,
	PENDING_GROUPS,
	PENDING_GONE,
	PENDING_DUE, /* the time has come at which the source disables them; by user_id, without key */
};

struct pending {
	enum pending_what what;
	struct hash128 print; /* of the key */
	const char *key;
	const void *record;
	size_t record_size;
	struct hash128 digest;
	const uint32_t *groups;
	size_t group_count;
	bool groups_complete;
	bool judged; /* whether they have to be out before all else */
	int64_t user_id;
};

struct changes {
	struct pending *items;
	size_t count, capacity;
	struct hash_table *places; /* of items, by print */
	/* Of whom something waits in the source's held plan: looked at, and then what waits now. */
	struct hash_table *looked;
	struct hash256 *waiting_now; /* by place in looked; zero: nothing any more */
	int64_t *waiting_users;	     /* 0: outside */
	size_t waiting_count, waiting_capacity;
	bool held_differs;
	struct strbuf record; /* of the one who is looked at */
	bool due;	      /* a run of those whose time has come, and of nobody else */
};

/* As many keys at most as a run looks at. */
#define KEYS_MAX 100000000u

static inline int changes_no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a run of changes");
}

/* Somebody's: a user came of it. */
static inline bool changes_is_known(const struct known_entry *entry)
{
	return entry && known_user(entry) != 0;
}

/* changes.c: can what is gathered be answered at all, under sync->setup? */
int changes_check_source(struct sync *sync, struct err *err);
/* changes_look.c: at all of them, into the draft. */
int changes_look_at_all(struct sync *sync, struct err *err);
/* Of somebody gone; ret_change is of nobody (id 0) when that is known already. */
int changes_evaluate_gone(struct sync *sync, const char *key, int64_t user_id,
			  struct person_change *ret_change, struct err *err);
const struct identity_row *changes_find_row(const struct sync *sync, const struct pending *item,
					    const struct identity_row *rows, size_t count);

/*
 * changes_wait.c: something waits of a user (0: of a key that waits outside), to be compared with what waits
 * of them afterwards.
 */
int changes_note_looked(struct sync *sync, int64_t user_id, struct hash128 key, struct err *err);
/* What is to wait, into the run; or the plan that waits stands as it is. */
int changes_judge_held(struct sync *sync, struct err *err);

/*
 * urgent.c: another plan is being applied, or about to be. Who of this run is disabled by the source, or
 * gone, may not sign in from now on; the limits count them, and hold them, as ever. All else waits.
 */
int urgent_disable(struct sync *sync, struct err *err);

#endif
