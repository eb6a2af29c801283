/*
 * Who signed in when, and what they used. Enters: users and days. Leaves: counts. Fails as the store does.
 *
 * Sign-ins are written elsewhere: where sessions are brought to their indexes (tidy.c), and where one
 * ends before that (session.c).
 */
#include <rolebridge/store/activity.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#include "db.h"

/* Rows: a piece of pruning ends with who reaches it. */
#define FORGOTTEN_AT_ONCE 2000

/* --- sign-ins --- */

struct late_sign_in {
	int64_t user_id, at_s;
};

struct sign_ins {
	struct store *store;
	struct query query;
	struct rows late; /* by user and time */
	struct rows days; /* of the user asked for last */
};

static int late_read(struct sign_ins *all, struct err *err)
{
	AUTO(query) struct query query = query_open(all->store, STATEMENT_SIGN_INS_LATE);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct late_sign_in *late = rows_add(&all->late);

		if (!late)
			return err_set(err, ERR_MEMORY, "no memory to read sign-ins");
		*late = (struct late_sign_in){ column_int(&query, 0), column_int(&query, 1) };
	}
	return row;
}

struct sign_ins *store_sign_ins_open(struct store *store, struct err *err)
{
	struct sign_ins *all = alloc_zeroed(1, sizeof(*all));

	if (!all) {
		err_set(err, ERR_MEMORY, "no memory to read sign-ins");
		return NULL;
	}
	all->store = store;
	all->late = ROWS(struct late_sign_in);
	all->days = ROWS(struct day_count);
	if (late_read(all, err) < 0) {
		store_sign_ins_close(all);
		err_wrap(err, "cannot read sign-ins");
		return NULL;
	}
	all->query = query_prepare(store, statement_texts[STATEMENT_SIGN_INS_OF]);
	return all;
}

void store_sign_ins_close(struct sign_ins *all)
{
	if (!all)
		return;
	query_auto(&all->query);
	rows_auto(&all->late);
	rows_auto(&all->days);
	free(all);
}

static const struct late_sign_in *late_at(const struct sign_ins *all, size_t i)
{
	return (const struct late_sign_in *)(const void *)all->late.data + i;
}

/* The first one of the user, or of who comes after. */
static size_t late_first(const struct sign_ins *all, int64_t user_id)
{
	size_t low = 0, high = all->late.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (late_at(all, middle)->user_id < user_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_day(struct sign_ins *all, int64_t day, int64_t count, struct err *err)
{
	struct day_count *added = rows_add(&all->days);

	if (!added)
		return err_set(err, ERR_MEMORY, "no memory to read sign-ins");
	*added = (struct day_count){ day, count };
	return 0;
}

/* Those in the table, the last day first, so that one look says when somebody was there last. */
static int days_read(struct sign_ins *all, int64_t user_id, int64_t from_day, int64_t to_day,
		     int64_t *ret_last_s, struct err *err)
{
	struct query *query = &all->query;
	int64_t last_s = 0;
	int row;

	query_again(query);
	query_int(query, user_id);
	while ((row = query_row(query, err)) > 0) {
		int64_t day = column_int(query, 0);

		if (last_s == 0)
			last_s = column_int(query, 2);
		if (day < from_day)
			break;
		if (day < to_day && add_day(all, day, column_int(query, 1), err) < 0)
			return -1;
	}
	*ret_last_s = last_s;
	return row < 0 ? -1 : 0;
}

static int compare_days(const void *a, const void *b)
{
	const struct day_count *x = a, *y = b;

	return (x->day < y->day) - (x->day > y->day);
}

/* Later ones may be of days that are there, of any of them: clocks are set back. */
static void days_join(struct rows *days)
{
	struct day_count *all = (struct day_count *)(void *)days->data;
	size_t kept = 0;

	qsort(all, days->count, sizeof(*all), compare_days);
	for (size_t i = 1; i < days->count; i++) {
		if (all[i].day == all[kept].day)
			all[kept].count += all[i].count;
		else
			all[++kept] = all[i];
	}
	days->count = kept + 1;
}

static int late_add_days(struct sign_ins *all, int64_t user_id, int64_t from_day, int64_t to_day,
			 int64_t *last_s, struct err *err)
{
	size_t before = all->days.count;

	for (size_t i = late_first(all, user_id);
	     i < all->late.count && late_at(all, i)->user_id == user_id; i++) {
		int64_t at_s = late_at(all, i)->at_s, day = at_s / DAY_S;

		if (at_s > *last_s)
			*last_s = at_s;
		if (day >= from_day && day < to_day && add_day(all, day, 1, err) < 0)
			return -1;
	}
	if (all->days.count > before)
		days_join(&all->days);
	return 0;
}

int store_sign_ins_of(struct sign_ins *all, int64_t user_id, int64_t from_day, int64_t to_day,
		      struct sign_ins_of *ret_sign_ins, struct err *err)
{
	struct sign_ins_of found = { 0 };

	all->days.count = 0;
	if (days_read(all, user_id, from_day, to_day, &found.last_s, err) < 0 ||
	    late_add_days(all, user_id, from_day, to_day, &found.last_s, err) < 0)
		return err_wrap(err, "cannot read sign-ins of user %lld", (long long)user_id);
	found.days = (const struct day_count *)(const void *)all->days.data;
	found.day_count = all->days.count;
	for (size_t i = 0; i < found.day_count; i++)
		found.count += found.days[i].count;
	*ret_sign_ins = found;
	return 0;
}

/* --- features --- */

static int feature_find(struct store *store, int64_t application, const char *name, int64_t *ret_id,
			struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_FEATURE_FIND);
	int row;

	query_int(&query, application);
	query_text(&query, name);
	row = query_row(&query, err);
	*ret_id = row > 0 ? column_int(&query, 0) : 0;
	return row;
}

static int feature_add(struct store *store, int64_t application, const char *name, int64_t max,
		       int64_t *ret_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_FEATURE_ADD);
	int added;

	query_int(&query, application);
	query_text(&query, name);
	query_int(&query, max);
	added = query_run(&query, err);
	if (added == 0)
		return err_refuse(err, ERR_CONFLICT, "too-many-features",
				  "the application has %lld features already", (long long)max);
	*ret_id = sqlite3_last_insert_rowid(store->db);
	return added < 0 ? -1 : 0;
}

int store_feature_ensure(struct store *store, const char *application, const char *name,
			 int64_t max, int64_t *ret_id, struct err *err)
{
	int64_t number;
	int found;

	if (store_may_write(store, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, application, &number, err) < 0)
		return -1;
	found = feature_find(store, number, name, ret_id, err);
	if (found == 0)
		found = feature_add(store, number, name, max, ret_id, err);
	return found < 0 ? err_wrap(err, "cannot store feature '%.80s'", name) : 0;
}

static int feature_rows(struct store *store, int64_t application, const char *name,
			struct arena *arena, struct rows *rows, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_FEATURE_LIST);
	int row;

	query_int(&query, application);
	query_text(&query, name);
	while ((row = query_row(&query, err)) > 0) {
		struct feature *feature = rows_add(rows);

		if (!feature)
			return 0;
		feature->id = column_int(&query, 0);
		feature->application =
			names_copy(store, NAMES_GENERAL, column_int(&query, 1), arena, err);
		feature->name = column_copy(&query, 2, arena);
		if (!feature->application)
			return -1;
	}
	return row;
}

int store_feature_list(struct store *store, const char *application, const char *name,
		       struct arena *arena, struct feature **ret_features, size_t *ret_count,
		       struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct feature);
	int64_t number = 0;
	int found = 1;

	if (application)
		found = names_find(store, NAMES_GENERAL, application, &number, err);
	if (found > 0)
		found = feature_rows(store, number, name, arena, &rows, err);
	if (found < 0 || rows_finish(&rows, arena, ret_features, ret_count, err) < 0)
		return err_wrap(err, "cannot list features");
	return 0;
}

int store_feature_use_add(struct store *store, int64_t user_id, int64_t day, int64_t feature_id,
			  int64_t count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_FEATURE_USE_ADD);

	query_int(&query, user_id);
	query_int(&query, day);
	query_int(&query, feature_id);
	query_int(&query, count);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot count an event") : 0;
}

struct feature_use {
	struct query query;
	struct rows days;
};

struct feature_use *store_feature_use_open(struct store *store, struct err *err)
{
	struct feature_use *all = alloc_zeroed(1, sizeof(*all));

	if (!all) {
		err_set(err, ERR_MEMORY, "no memory to read what was used");
		return NULL;
	}
	all->days = ROWS(struct feature_day);
	all->query = query_prepare(store, statement_texts[STATEMENT_FEATURE_USE_OF]);
	return all;
}

void store_feature_use_close(struct feature_use *all)
{
	if (!all)
		return;
	query_auto(&all->query);
	rows_auto(&all->days);
	free(all);
}

int store_feature_use_of(struct feature_use *all, int64_t user_id, int64_t from_day, int64_t to_day,
			 const struct feature_day **ret_days, size_t *ret_count, struct err *err)
{
	struct query *query = &all->query;
	int row;

	all->days.count = 0;
	query_again(query);
	query_int(query, user_id);
	query_int(query, from_day);
	query_int(query, to_day);
	while ((row = query_row(query, err)) > 0) {
		struct feature_day *day = rows_add(&all->days);

		if (!day)
			return err_set(err, ERR_MEMORY, "no memory to read what was used");
		*day = (struct feature_day){ column_int(query, 0), column_int(query, 1),
					     column_int(query, 2) };
	}
	if (row < 0)
		return err_wrap(err, "cannot read what user %lld used", (long long)user_id);
	*ret_days = (const struct feature_day *)(const void *)all->days.data;
	*ret_count = all->days.count;
	return 0;
}

/* --- requests with a name --- */

int store_event_batch_find(struct store *store, const char *application, const char *id,
			   struct event_batch *ret_batch, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_EVENT_BATCH_FIND);
	struct hash128 digest = digest128(id, strlen(id));
	int64_t number;
	int row = names_find(store, NAMES_GENERAL, application, &number, err);

	*ret_batch = (struct event_batch){ .row = 0 };
	if (row > 0) {
		query_int(&query, number);
		query_blob(&query, &digest, sizeof(digest));
		row = query_row(&query, err);
	}
	if (row > 0) {
		size_t size;
		const void *content = column_blob(&query, 1, &size);

		if (size != sizeof(ret_batch->content))
			return err_refuse(err, ERR_IO, "store-damaged", "a batch has no digest");
		memcpy(&ret_batch->content, content, size);
		ret_batch->row = column_int(&query, 0);
		ret_batch->done = column_int(&query, 2);
	}
	return row < 0 ? err_wrap(err, "cannot look for a batch of events") : 0;
}

static int batch_insert(struct store *store, const char *application, const char *id, int64_t now_s,
			struct event_batch *batch, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_EVENT_BATCH_ADD);
	struct hash128 digest = digest128(id, strlen(id));
	int64_t number;

	if (names_ensure(store, NAMES_GENERAL, application, &number, err) < 0)
		return -1;
	query_int(&query, number);
	query_blob(&query, &digest, sizeof(digest));
	query_blob(&query, &batch->content, sizeof(batch->content));
	query_int(&query, now_s);
	query_int(&query, batch->done);
	if (query_run(&query, err) < 0)
		return -1;
	batch->row = sqlite3_last_insert_rowid(store->db);
	return 0;
}

static int run_pair(struct store *store, enum statement_id id, int64_t first, int64_t second,
		    struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, first);
	query_int(&query, second);
	return query_run(&query, err);
}

int store_event_batch_put(struct store *store, const char *application, const char *id,
			  int64_t now_s, int64_t kept, struct event_batch *batch, struct err *err)
{
	int result = store_may_write(store, err);

	if (result == 0 && batch->row)
		result = run_pair(store, STATEMENT_EVENT_BATCH_SET, batch->row, batch->done, err);
	else if (result == 0 &&
		 (result = batch_insert(store, application, id, now_s, batch, err)) == 0)
		result = run_pair(store, STATEMENT_EVENT_BATCH_FORGET, batch->row - kept, INT64_MAX,
				  err);
	return result < 0 ? err_wrap(err, "cannot note a batch of events") : 0;
}

int store_event_batch_prune(struct store *store, int64_t before_s, struct err *err)
{
	int result = store_may_write(store, err);

	if (result == 0)
		result = run_pair(store, STATEMENT_EVENT_BATCH_FORGET, INT64_MAX, before_s, err);
	return result < 0 ? err_wrap(err, "cannot forget batches of events") : result;
}

int store_events_count(struct store *store, int64_t events, int64_t refused, struct err *err)
{
	return run_pair(store, STATEMENT_EVENTS_COUNT, events, refused, err) < 0
		       ? err_wrap(err, "cannot count events")
		       : 0;
}

int store_activity_totals(struct store *store, struct activity_totals *ret_totals, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACTIVITY_TOTALS);
	int row = query_row(&query, err);

	if (row == 0)
		err_refuse(err, ERR_IO, "store-damaged", "a counter is missing");
	if (row <= 0)
		return err_wrap(err, "cannot read totals");
	*ret_totals = (struct activity_totals){ column_int(&query, 0), column_int(&query, 1),
						column_int(&query, 2) };
	return 0;
}

/* --- the end of days --- */

/* How many were forgotten; -1. */
static int64_t forget_days(struct store *store, int64_t user_id, int64_t before_day,
			   struct err *err)
{
	int days = run_pair(store, STATEMENT_SIGN_INS_FORGET, user_id, before_day, err);
	int uses =
		days < 0 ? -1
			 : run_pair(store, STATEMENT_FEATURE_USE_FORGET, user_id, before_day, err);

	return uses < 0 ? -1 : (int64_t)days + uses;
}

int store_activity_prune(struct store *store, int64_t before_day, int64_t after_id, size_t limit,
			 int64_t *ret_after_id, struct err *err)
{
	const struct horizon *horizon = store_horizon(store, err);
	int64_t user_id = after_id, forgotten = 0;

	if (!horizon || store_may_write(store, err) < 0)
		return err_wrap(err, "cannot forget what people did");
	for (; limit > 0 && forgotten < FORGOTTEN_AT_ONCE && user_id < horizon->last; limit--) {
		int64_t rows = forget_days(store, ++user_id, before_day, err);

		if (rows < 0)
			return err_wrap(err, "cannot forget what people did");
		forgotten += rows;
	}
	*ret_after_id = user_id < horizon->last ? user_id : 0;
	return 0;
}
