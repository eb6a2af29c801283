/*
 * The queue of deliveries. Enters: rows, what became of attempts. Leaves: what is due, and in which order. Fails as the
 * store does.
 *
 * Only heads have a time at which they are due, so that what is due is found in an index however much waits behind them,
 * and whoever takes a head away makes the next one due in the same transaction.
 */
#include <rolebridge/store/delivery.h>

#include <string.h>

#include "db.h"

#define LIST_MAX 1000
#define COLUMNS \
	"id, uuid, target, user, event, detail, version, created_s, attempts, next_s, dead_s, " \
	"code, problem"

/* In the order of enum delivery_event. */
static const char *const event_names[] = {
	NULL,		"user.provisioned", "user.updated",   "user.disabled",
	"user.enabled", "user.deleted",	    "grants.changed", "user.state",
};
_Static_assert(ARRAY_LEN(event_names) == DELIVERY_EVENTS + 1, "each event has a name");

const char *delivery_event_name(enum delivery_event event)
{
	return event >= 1 && event <= DELIVERY_EVENTS ? event_names[event] : "";
}

bool delivery_event_parse(const char *name, enum delivery_event *ret_event)
{
	for (int i = 1; i <= DELIVERY_EVENTS; i++)
		if (strcmp(event_names[i], name) == 0) {
			*ret_event = (enum delivery_event)i;
			return true;
		}
	return false;
}

/* --- into the queue --- */

static int add(struct store *store, enum statement_id statement, int64_t target,
	       const struct delivery_row *row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, statement);

	query_blob(&query, row->uuid.byte, sizeof(row->uuid.byte));
	query_int(&query, target);
	query_int(&query, row->user_id);
	query_int(&query, row->event);
	query_text(&query, row->detail);
	query_int(&query, row->created_s);
	query_int(&query, row->next_s);
	return query_run(&query, err);
}

static int ensure_target(struct store *store, const char *name, int64_t *ret_target,
			 struct err *err)
{
	return store_may_write(store, err) < 0 ||
			       names_ensure(store, NAMES_GENERAL, name, ret_target, err) < 0
		       ? -1
		       : 0;
}

int store_delivery_add(struct store *store, struct delivery_row *row, struct err *err)
{
	int64_t target;

	if (ensure_target(store, row->target, &target, err) < 0 ||
	    add(store, STATEMENT_DELIVERY_ADD, target, row, err) < 0)
		return err_wrap(err, "cannot queue what target '%s' is to be told", row->target);
	row->id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

static int fold(struct store *store, int64_t target, const struct delivery_row *row,
		struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_DELIVERY_FOLD);

	query_int(&query, target);
	query_int(&query, row->user_id);
	query_int(&query, row->event);
	query_int(&query, row->created_s);
	query_int(&query, row->next_s);
	return query_run(&query, err);
}

int store_delivery_fold(struct store *store, struct delivery_row *row, struct err *err)
{
	int64_t target;
	int folded = -1;

	if (ensure_target(store, row->target, &target, err) == 0)
		folded = fold(store, target, row, err);
	if (folded == 0)
		folded = add(store, STATEMENT_DELIVERY_ADD, target, row, err);
	return folded < 0
		       ? err_wrap(err, "cannot queue what target '%s' is to be told", row->target)
		       : 0;
}

/* --- out of it --- */

static int from_row(const struct query *query, struct arena *arena, struct delivery_row *ret_row,
		    struct err *err)
{
	size_t size;
	const void *uuid = column_blob(query, 1, &size);
	struct delivery_row row = {
		.id = column_int(query, 0),
		.user_id = column_int(query, 3),
		.event = (enum delivery_event)column_int(query, 4),
		.detail = column_copy(query, 5, arena),
		.version = column_int(query, 6),
		.created_s = column_int(query, 7),
		.attempts = column_int(query, 8),
		.next_s = column_int(query, 9),
		.dead_s = column_int(query, 10),
		.code = column_copy(query, 11, arena),
		.problem = column_copy(query, 12, arena),
	};

	if (size != sizeof(row.uuid.byte))
		return err_refuse(err, ERR_IO, "store-damaged", "a delivery has no uuid");
	memcpy(row.uuid.byte, uuid, size);
	row.target = names_copy(query->store, NAMES_GENERAL, column_int(query, 2), arena, err);
	if (!row.target || arena_check(arena, err) < 0)
		return -1;
	*ret_row = row;
	return 0;
}

static int list(struct query *query, struct arena *arena, struct delivery_row **ret_rows,
		size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct delivery_row);
	int more;

	while ((more = query_row(query, err)) > 0) {
		struct delivery_row *row = rows_add(&rows);

		if (!row)
			break;
		if (from_row(query, arena, row, err) < 0)
			return -1;
	}
	return more < 0 ? -1 : rows_finish(&rows, arena, ret_rows, ret_count, err);
}

static size_t bounded(size_t limit)
{
	return limit < LIST_MAX ? limit : LIST_MAX;
}

/* Of a target that was never heard of there is nothing. */
static int bind_target(struct query *query, const char *target, struct err *err)
{
	int64_t number = -1;

	if (names_find(query->store, NAMES_GENERAL, target, &number, err) < 0)
		return -1;
	query_int(query, number);
	return 0;
}

/* The first row of a query whose first parameter is the target: 1, 0, -1. */
static int target_row(struct query *query, const char *target, struct err *err)
{
	int row = bind_target(query, target, err) < 0 ? -1 : query_row(query, err);

	return row < 0 ? err_wrap(err, "cannot read what waits for target '%s'", target) : row;
}

/* The bound first: of two lower ones SQLite begins at the first. */
#define HEADS_OF_TARGET(bound) \
	"SELECT * FROM (SELECT " COLUMNS " FROM delivery INDEXED BY delivery_due WHERE " bound \
	" AND target = ?1 AND dead_s = 0 AND next_s >= 0 ORDER BY next_s, id LIMIT ?4)"

int store_delivery_due(struct store *store, const char *target, int64_t now_s, int64_t far_s,
		       size_t limit, struct arena *arena, struct delivery_row **ret_rows,
		       size_t *ret_count, struct err *err)
{
	/* Two pieces of the index: who waits in between is not looked at. */
	AUTO(query)
	struct query query =
		query_prepare(store, HEADS_OF_TARGET("next_s <= ?2") " UNION ALL " HEADS_OF_TARGET(
					     "next_s > ?3") " LIMIT ?4");

	if (bind_target(&query, target, err) < 0)
		return -1;
	query_int(&query, now_s);
	query_int(&query, far_s);
	query_int(&query, (int64_t)bounded(limit));
	if (list(&query, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot read what target '%s' is to be told", target);
	return 0;
}

int store_delivery_next(struct store *store, const char *target, int64_t *ret_next_s,
			struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT next_s FROM delivery INDEXED BY delivery_due WHERE dead_s = 0 AND "
		       "next_s >= 0 AND target = ?1 ORDER BY next_s, id LIMIT 1");
	int row = target_row(&query, target, err);

	if (row < 0)
		return -1;
	*ret_next_s = row ? column_int(&query, 0) : -1;
	return 0;
}

static int read_one(struct query *query, struct arena *arena, struct delivery_row *ret_row,
		    struct err *err)
{
	int row = query_row(query, err);

	if (row > 0 && from_row(query, arena, ret_row, err) < 0)
		row = -1;
	return row < 0 ? err_wrap(err, "cannot read a delivery") : row;
}

int store_delivery_get(struct store *store, int64_t id, struct arena *arena,
		       struct delivery_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM delivery WHERE id = ?1");

	query_int(&query, id);
	return read_one(&query, arena, ret_row, err);
}

int store_delivery_find(struct store *store, const struct uuid *uuid, struct arena *arena,
			struct delivery_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT " COLUMNS " FROM delivery WHERE uuid = ?1");

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	return read_one(&query, arena, ret_row, err);
}

/* --- what became of it --- */

/* The first of a person that waits is due. */
static int promote(struct store *store, int64_t target, int64_t user_id, int64_t now_s,
		   struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_DELIVERY_PROMOTE);

	query_int(&query, target);
	query_int(&query, user_id);
	query_int(&query, now_s);
	return query_run(&query, err);
}

static int remove_row(struct store *store, const struct delivery_row *row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_DELIVERY_REMOVE);

	query_int(&query, row->id);
	query_int(&query, row->version);
	return query_run(&query, err);
}

int store_delivery_remove(struct store *store, const struct delivery_row *row, int64_t now_s,
			  struct err *err)
{
	int64_t target;
	int removed = -1;

	if (ensure_target(store, row->target, &target, err) == 0)
		removed = remove_row(store, row, err);
	if (removed > 0 && promote(store, target, row->user_id, now_s, err) < 0)
		removed = -1;
	return removed < 0 ? err_wrap(err, "cannot note a delivery") : 0;
}

int store_delivery_put_off(struct store *store, const struct delivery_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE delivery SET attempts = ?3, next_s = ?4, code = ?5, problem = ?6 "
		       "WHERE id = ?1 AND version = ?2 AND dead_s = 0 AND next_s >= 0");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, row->id);
	query_int(&query, row->version);
	query_int(&query, row->attempts);
	query_int(&query, row->next_s);
	query_text(&query, row->code);
	query_text(&query, row->problem);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot put a delivery off") : 0;
}

static int bury(struct store *store, const struct delivery_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE delivery SET attempts = ?3, dead_s = ?4, code = ?5, problem = ?6, "
		       "next_s = -1 WHERE id = ?1 AND version = ?2 AND dead_s = 0");

	query_int(&query, row->id);
	query_int(&query, row->version);
	query_int(&query, row->attempts);
	query_int(&query, row->dead_s);
	query_text(&query, row->code);
	query_text(&query, row->problem);
	return query_run(&query, err);
}

int store_delivery_bury(struct store *store, const struct delivery_row *row, struct err *err)
{
	int64_t target;
	int buried = -1;

	if (ensure_target(store, row->target, &target, err) == 0)
		buried = bury(store, row, err);
	if (buried > 0 && promote(store, target, row->user_id, row->dead_s, err) < 0)
		buried = -1;
	return buried < 0 ? err_wrap(err, "cannot give a delivery up") : 0;
}

/* Those after it wait behind it again. */
static int demote(struct store *store, int64_t target, const struct delivery_row *row,
		  struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE delivery SET next_s = -1 WHERE target = ?1 AND user = ?2 AND "
		       "dead_s = 0 AND id > ?3 AND next_s >= 0");

	query_int(&query, target);
	query_int(&query, row->user_id);
	query_int(&query, row->id);
	return query_run(&query, err);
}

static int wake(struct store *store, const struct delivery_row *row, int64_t now_s, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE delivery SET attempts = 0, dead_s = 0, version = version + 1, "
		       "next_s = -1, created_s = ?2 WHERE id = ?1");

	query_int(&query, row->id);
	query_int(&query, now_s);
	return query_run(&query, err);
}

int store_delivery_revive(struct store *store, const struct delivery_row *row, int64_t now_s,
			  struct err *err)
{
	int64_t target;
	int result = -1;

	if (ensure_target(store, row->target, &target, err) == 0)
		result = wake(store, row, now_s, err);
	if (result > 0)
		result = demote(store, target, row, err);
	if (result >= 0)
		result = promote(store, target, row->user_id, now_s, err);
	return result < 0 ? err_wrap(err, "cannot try a delivery again") : 0;
}

/* --- lists, counts --- */

/* A number that stands for "any" (-1), or for a text that was never stored (-2). */
static int filter_number(struct store *store, enum name_space space, const char *text,
			 int64_t *ret_id, struct err *err)
{
	int64_t id = -2;

	if (text && names_find(store, space, text, &id, err) < 0)
		return -1;
	*ret_id = text ? id : -1;
	return 0;
}

int store_delivery_list(struct store *store, const struct delivery_query *asked,
			struct arena *arena, struct delivery_row **ret_rows, size_t *ret_count,
			struct err *err)
{
	int64_t target, organization;

	if (filter_number(store, NAMES_GENERAL, asked->target, &target, err) < 0 ||
	    filter_number(store, NAMES_ORGANIZATION, asked->organization, &organization, err) < 0)
		return err_wrap(err, "cannot list deliveries");

	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " COLUMNS " FROM delivery AS d WHERE id > ?1 AND "
		       "(?2 = -1 OR target = ?2) AND (?3 = 0 OR user = ?3) AND "
		       "(?4 = 0 OR (?4 = 3) = (dead_s <> 0)) AND (?4 <> 2 OR attempts > 0) AND "
		       "(?5 = -1 OR (SELECT organization FROM user WHERE id = d.user) = ?5) "
		       "ORDER BY id LIMIT ?6");

	query_int(&query, asked->after_id);
	query_int(&query, target);
	query_int(&query, asked->user_id);
	query_int(&query, asked->state);
	query_int(&query, organization);
	query_int(&query, (int64_t)bounded(asked->limit));
	if (list(&query, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list deliveries");
	return 0;
}

int store_delivery_counts(struct store *store, const char *target, int64_t now_s,
			  struct delivery_counts *ret_counts, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store,
		"SELECT waiting, failing, dead, (SELECT created_s FROM delivery INDEXED BY "
		"delivery_age WHERE dead_s = 0 AND target = ?1 AND (attempts > 0 OR next_s <= ?2) "
		"ORDER BY created_s LIMIT 1) FROM delivery_count WHERE target = ?1");
	struct delivery_counts counts = { 0 };
	int row;

	if (bind_target(&query, target, err) < 0)
		return -1;
	query_int(&query, now_s);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot count deliveries");
	if (row > 0)
		counts = (struct delivery_counts){ .waiting = column_int(&query, 0),
						   .failing = column_int(&query, 1),
						   .dead = column_int(&query, 2),
						   .oldest_s = column_int(&query, 3) };
	*ret_counts = counts;
	return 0;
}

int store_delivery_any_dead(struct store *store, const char *target, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT 1 FROM delivery INDEXED BY delivery_dead WHERE dead_s <> 0 AND "
		       "target = ?1 LIMIT 1");

	return target_row(&query, target, err);
}

int store_delivery_targets(struct store *store, struct arena *arena, const char *const **ret_names,
			   size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT target FROM delivery_count WHERE waiting > 0 OR dead > 0");
	AUTO(rows) struct rows rows = ROWS(const char *);
	int more;

	while ((more = query_row(&query, err)) > 0) {
		const char **name = rows_add(&rows);

		if (!name)
			break;
		*name = names_copy(store, NAMES_GENERAL, column_int(&query, 0), arena, err);
		if (!*name)
			return -1;
	}
	return more < 0 ? err_wrap(err, "cannot list targets")
			: rows_finish(&rows, arena, ret_names, ret_count, err);
}

/* From the end: of what is left each person's first stays due. */
int store_delivery_drop(struct store *store, const char *target, bool dead, size_t limit,
			struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE "
		       "target = ?1 AND (NOT ?2 OR dead_s <> 0) "
		       "ORDER BY user DESC, dead_s DESC, id DESC LIMIT ?3)");
	int64_t number;
	int dropped;

	if (ensure_target(store, target, &number, err) < 0)
		return -1;
	query_int(&query, number);
	query_int(&query, dead);
	query_int(&query, (int64_t)bounded(limit));
	dropped = query_run(&query, err);
	return dropped < 0 ? err_wrap(err, "cannot drop deliveries") : dropped;
}
