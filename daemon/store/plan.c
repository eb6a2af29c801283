/*
 * Plans and their batches. A batch is added once, in order, and done once, in
 * order: whoever tries to do one twice gets ERR_CONFLICT instead of a second
 * application.
 */
#include "db.h"

#include <string.h>

#define ID_PREFIX_MIN 8
#define ID_SIZE 64

int store_plan_create(struct store *store, const char *source, const char *actor, int64_t now_s,
		      int64_t *ret_row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_CREATE);

	query_text(&query, source);
	query_text(&query, actor);
	query_int(&query, now_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot create a plan of '%s'", source);
	*ret_row = sqlite3_last_insert_rowid(store->db);
	return 0;
}

/* One of the statements that take a plan and a batch. Rows changed, or -1. */
static int run_batch(struct store *store, enum statement_id id, int64_t plan_row, int64_t seq,
		     struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, plan_row);
	query_int(&query, seq);
	return query_run(&query, err);
}

int store_plan_add_batch(struct store *store, int64_t plan_row, int64_t seq, const void *data,
			 size_t size, struct err *err)
{
	int changed = run_batch(store, STATEMENT_PLAN_COUNT_BATCH, plan_row, seq, err);

	if (changed == 0)
		return err_refuse(err, ERR_CONFLICT, "batch-out-of-order",
				  "plan %lld does not wait for batch %lld", (long long)plan_row,
				  (long long)seq);
	if (changed > 0) {
		AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_ADD_BATCH);

		query_int(&query, plan_row);
		query_int(&query, seq);
		query_blob(&query, data, size);
		changed = query_run(&query, err);
	}
	if (changed < 0)
		return err_wrap(err, "cannot store batch %lld of plan %lld", (long long)seq,
				(long long)plan_row);
	return 0;
}

int store_plan_get_batch(struct store *store, int64_t plan_row, int64_t seq, struct arena *arena,
			 const void **ret_data, size_t *ret_size, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_GET_BATCH);
	const void *data = NULL;
	size_t size = 0;

	query_int(&query, plan_row);
	query_int(&query, seq);

	int row = query_row(&query, err);

	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "plan %lld has no batch %lld",
			       (long long)plan_row, (long long)seq);
	if (row > 0) {
		const void *blob = column_blob(&query, 0, &size);

		data = arena_memdup(arena, blob, size);
		row = arena_check(arena, err);
	}
	if (row < 0)
		return err_wrap(err, "cannot read batch %lld of plan %lld", (long long)seq,
				(long long)plan_row);
	*ret_data = data;
	*ret_size = size;
	return 0;
}

int store_plan_batch_done(struct store *store, int64_t plan_row, int64_t seq, struct err *err)
{
	int changed = run_batch(store, STATEMENT_PLAN_BATCH_DONE, plan_row, seq, err);

	if (changed == 0)
		return err_refuse(err, ERR_CONFLICT, "batch-out-of-order",
				  "batch %lld of plan %lld is done already, or not the next",
				  (long long)seq, (long long)plan_row);
	if (changed < 0 || run_batch(store, STATEMENT_PLAN_DROP_BATCH, plan_row, seq, err) < 0)
		return err_wrap(err, "cannot finish batch %lld of plan %lld", (long long)seq,
				(long long)plan_row);
	return 0;
}

/* SQL NULL leaves the stored value. */
static void query_int_or_null(struct query *query, int64_t value)
{
	if (value)
		query_int(query, value);
	else
		query_text(query, NULL);
}

int store_plan_update(struct store *store, const struct plan_row *plan, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_UPDATE);

	query_int(&query, plan->row);
	query_text(&query, plan->id);
	query_int_or_null(&query, plan->state);
	query_int_or_null(&query, plan->finished_s);
	query_text(&query, plan->summary);
	if (plan->holds)
		query_blob(&query, plan->holds, plan->holds_size);
	else
		query_text(&query, NULL);

	int changed = query_run(&query, err);

	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no plan %lld", (long long)plan->row);
	return changed < 0 ? err_wrap(err, "cannot change plan %lld", (long long)plan->row) : 0;
}

static void plan_from_row(const struct query *query, struct arena *arena, struct plan_row *ret_plan)
{
	size_t size;
	const void *holds = column_blob(query, 10, &size);

	*ret_plan = (struct plan_row){
		.row = column_int(query, 0),
		.id = column_copy(query, 1, arena),
		.state = (enum plan_state)column_int(query, 2),
		.source = column_copy(query, 3, arena),
		.actor = column_copy(query, 4, arena),
		.created_s = column_int(query, 5),
		.finished_s = column_int(query, 6),
		.batches = column_int(query, 7),
		.batches_done = column_int(query, 8),
		.summary = column_copy(query, 9, arena),
		.holds = arena_memdup(arena, holds, size),
		.holds_size = size,
	};
}

/* The prefix in lower case, and the least text after all that begin with it. */
static bool prefix_bounds(const char *id, char from[ID_SIZE + 1], char to[ID_SIZE + 1])
{
	size_t size = strnlen(id, ID_SIZE + 1);

	if (size < ID_PREFIX_MIN || size > ID_SIZE)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = id[i] >= 'A' && id[i] <= 'F' ? (char)(id[i] | 0x20) : id[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		from[i] = to[i] = c;
	}
	from[size] = to[size] = 0;
	to[size - 1]++;
	return true;
}

int store_plan_get(struct store *store, const char *id, struct arena *arena,
		   struct plan_row *ret_plan, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_BY_PREFIX);
	char from[ID_SIZE + 1], to[ID_SIZE + 1];
	struct plan_row plan;
	int row = 0;

	if (prefix_bounds(id, from, to)) {
		query_text(&query, from);
		query_text(&query, to);
		row = query_row(&query, err);
	}
	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no plan '%s'", id);
	if (row > 0) {
		plan_from_row(&query, arena, &plan);
		row = arena_check(arena, err);
	}
	/* Rows of the same id follow each other: the last row says whether there is another id. */
	while (row >= 0 && (row = query_row(&query, err)) > 0)
		if (strcmp(column_text(&query, 1), plan.id) != 0)
			return err_refuse(err, ERR_CONFLICT, "ambiguous-id",
					  "more than one plan begins with '%s'", id);
	if (row < 0)
		return err_wrap(err, "cannot read plan '%s'", id);
	*ret_plan = plan;
	return 0;
}

int store_plan_list(struct store *store, enum plan_state state, struct arena *arena,
		    struct plan_row **ret_plans, size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_LIST);
	AUTO(rows) struct rows rows = ROWS(struct plan_row);
	int row;

	query_int(&query, state);
	while ((row = query_row(&query, err)) > 0) {
		struct plan_row *plan = rows_add(&rows);

		if (!plan)
			break;
		plan_from_row(&query, arena, plan);
	}
	if (row < 0 || rows_finish(&rows, arena, ret_plans, ret_count, err) < 0)
		return err_wrap(err, "cannot list plans");
	return 0;
}

static int run_on_plan(struct store *store, enum statement_id id, int64_t plan_row, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, plan_row);
	return query_run(&query, err);
}

static int plan_state_of(struct store *store, int64_t plan_row, int64_t *ret_state, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_PLAN_STATE);

	query_int(&query, plan_row);

	int row = query_row(&query, err);

	if (row > 0)
		*ret_state = column_int(&query, 0);
	return row;
}

int store_plan_discard(struct store *store, int64_t plan_row, struct err *err)
{
	int64_t state = 0;
	int found = plan_state_of(store, plan_row, &state, err);

	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no plan %lld", (long long)plan_row);
	if (found > 0 && state != PLAN_DRAFT && state != PLAN_SUPERSEDED)
		return err_refuse(err, ERR_CONFLICT, "plan-in-use",
				  "plan %lld is neither a draft nor superseded",
				  (long long)plan_row);
	if (found < 0 || run_on_plan(store, STATEMENT_PLAN_DROP_BATCHES, plan_row, err) < 0 ||
	    (state == PLAN_DRAFT && run_on_plan(store, STATEMENT_PLAN_DELETE, plan_row, err) < 0))
		return err_wrap(err, "cannot discard plan %lld", (long long)plan_row);
	return 0;
}

int store_plan_prune(struct store *store, int64_t before_s, struct err *err)
{
	return run_on_plan(store, STATEMENT_PLAN_PRUNE, before_s, err) < 0
		       ? err_wrap(err, "cannot remove old plans")
		       : 0;
}
