/*
 * The list of those whom a source disables at a time it has told. Enters: times. Leaves: who is to be
 * looked at. Fails as the store does.
 */
#include "db.h"

int store_due_add(struct store *store, const char *source, int64_t user_id, int64_t at_s,
		  struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_DUE_ADD);
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, at_s);
	query_int(&query, id);
	query_int(&query, user_id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note when a user is disabled")
					  : 0;
}

int store_due_next(struct store *store, int64_t *ret_time_s, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT at_s FROM disable_due ORDER BY at_s LIMIT 1");
	int row = query_row(&query, err);

	if (row < 0)
		return err_wrap(err, "cannot find who is disabled next");
	*ret_time_s = row ? column_int(&query, 0) : 0;
	return 0;
}

int store_due_sources(struct store *store, int64_t until_s, struct arena *arena,
		      const char ***ret_sources, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT DISTINCT source FROM disable_due WHERE at_s <= ?1 ORDER BY source");
	AUTO(rows) struct rows rows = ROWS(const char *);
	int row;

	query_int(&query, until_s);
	while ((row = query_row(&query, err)) > 0) {
		const char *name = names_text(store, NAMES_SOURCE, column_int(&query, 0), err);
		const char **source = name ? rows_add(&rows) : NULL;

		if (!source) {
			row = name ? 0 : -1;
			break;
		}
		*source = arena_strdup(arena, name);
	}
	if (row < 0 || rows_finish(&rows, arena, ret_sources, ret_count, err) < 0)
		return err_wrap(err, "cannot find who is disabled now");
	return 0;
}

int store_due_users(struct store *store, const char *source, int64_t until_s, struct arena *arena,
		    int64_t **ret_ids, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT DISTINCT user FROM disable_due WHERE "
						  "at_s <= ?1 AND source = ?2 ORDER BY user");
	AUTO(rows) struct rows rows = ROWS(int64_t);
	int64_t id;
	int row = names_find(store, NAMES_SOURCE, source, &id, err);

	if (row > 0) {
		query_int(&query, until_s);
		query_int(&query, id);
		while ((row = query_row(&query, err)) > 0) {
			int64_t *user = rows_add(&rows);

			if (!user)
				break;
			*user = column_int(&query, 0);
		}
	}
	if (row < 0 || rows_finish(&rows, arena, ret_ids, ret_count, err) < 0)
		return err_wrap(err, "cannot find who is disabled now");
	return 0;
}

int store_due_remove(struct store *store, const char *source, int64_t until_s, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "DELETE FROM disable_due WHERE at_s <= ?1 AND source = ?2");
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, until_s);
	query_int(&query, id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot strike out who was disabled") : 0;
}
