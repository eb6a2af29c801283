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

/* --- what people use: features of applications, counted by person and day --- */
struct feature {
	int64_t id;
	const char *application, *name;
};
/* Adds it unless the application has max of them: ERR_CONFLICT "too-many-features", which spoils nothing. */
int store_feature_ensure(struct store *store, const char *application, const char *name,
			 int64_t max, int64_t *ret_id, struct err *err);
/* Of an application, of a name; NULL: any. In order of id. */
int store_feature_list(struct store *store, const char *application, const char *name,
		       struct arena *arena, struct feature **ret_features, size_t *ret_count,
		       struct err *err);
int store_feature_use_add(struct store *store, int64_t user_id, int64_t day, int64_t feature_id,
			  int64_t count, struct err *err);

struct feature_day {
	int64_t day, feature, count;
};
struct feature_use;
/* As store_sign_ins_open; nothing is held. */
struct feature_use *store_feature_use_open(struct store *store, struct err *err);
void store_feature_use_close(struct feature_use *all);
/* In order of day and feature; valid until the next call. */
int store_feature_use_of(struct feature_use *all, int64_t user_id, int64_t from_day, int64_t to_day,
			 const struct feature_day **ret_days, size_t *ret_count, struct err *err);

/* A request that has a name comes once, or again: how much of it was looked at. */
struct event_batch {
	int64_t row; /* 0: a new one */
	struct hash128 content;
	int64_t done;
};
int store_event_batch_find(struct store *store, const char *application, const char *id,
			   struct event_batch *ret_batch, struct err *err);
/* Of a new one sets row, and forgets the oldest but for kept of them. */
int store_event_batch_put(struct store *store, const char *application, const char *id,
			  int64_t now_s, int64_t kept, struct event_batch *batch, struct err *err);
int store_event_batch_prune(struct store *store, int64_t before_s, struct err *err);

/* Since the first start. */
struct activity_totals {
	int64_t sign_ins, events, refused;
};
int store_events_count(struct store *store, int64_t events, int64_t refused, struct err *err);
int store_activity_totals(struct store *store, struct activity_totals *ret_totals, struct err *err);

/*
 * Users after after_id, limit of them, or fewer when there is much: their days before before_day are
 * forgotten, but for the last day on which each signed in. *ret_after_id: the last user looked at, 0 when there
 * is none after.
 */
int store_activity_prune(struct store *store, int64_t before_day, int64_t after_id, size_t limit,
			 int64_t *ret_after_id, struct err *err);

#endif
