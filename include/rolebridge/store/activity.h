/*
 * Who signed in when, and what they used. Days are days of UTC since 1970 (seconds / 86400).
 *
 * Sign-ins are counted by the store itself: each session that is inserted is one, once, whenever it ends.
 * Of many users:
 *
 *	store_begin(store, err);                     (all from one snapshot)
 *	struct sign_ins *all = store_sign_ins_open(store, err);
 *	store_sign_ins_of(all, user_id, today - 29, today + 1, &sign_ins, err);
 *	store_sign_ins_close(all);                   (before the transaction ends)
 */
#ifndef ROLEBRIDGE_STORE_ACTIVITY_H
#define ROLEBRIDGE_STORE_ACTIVITY_H

#include <rolebridge/store/store.h>

#define DAY_S INT64_C(86400)

struct day_count {
	int64_t day, count;
};

struct sign_ins_of {
	int64_t last_s; /* the last of all; 0: never */
	int64_t count;	/* of the days asked for … */
	/* … and day by day, the last first, none twice. Valid until the next call. */
	const struct day_count *days;
	size_t day_count;
};

struct sign_ins;
/* Holds what is in no index yet: some 24 bytes for each of a few ten thousand sign-ins at most. */
struct sign_ins *store_sign_ins_open(struct store *store, struct err *err);
void store_sign_ins_close(struct sign_ins *all);
static inline void sign_ins_auto(struct sign_ins **all)
{
	store_sign_ins_close(*all);
}
/* from_day <= day < to_day; in any order of users. Who is not there never signed in. */
int store_sign_ins_of(struct sign_ins *all, int64_t user_id, int64_t from_day, int64_t to_day,
		      struct sign_ins_of *ret_sign_ins, struct err *err);

/*
 * Users after after_id, limit of them: their days before before_day are forgotten, but for the last day on
 * which each signed in. *ret_after_id: the last user looked at, 0 when there is none after.
 */
int store_activity_prune(struct store *store, int64_t before_day, int64_t after_id, size_t limit,
			 int64_t *ret_after_id, struct err *err);

#endif
