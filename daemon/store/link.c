/*
 * What persons said about whose an identity is. Enters: identities by source and key, users. Leaves:
 * whom an identity shall belong to, whom it was taken from. Fails as the store does.
 */
#include "db.h"

int store_link_put(struct store *store, const char *source, const char *key, int64_t user_id,
		   bool wanted, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT INTO link_by_hand (source, key, user, wanted) VALUES (?1, ?2, ?3, ?4) "
		"ON CONFLICT (source, key, user) DO UPDATE SET wanted = excluded.wanted");
	struct compact buffer;
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, id);
	query_compact(&query, key, &buffer);
	query_int(&query, user_id);
	query_int(&query, wanted);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note a link of '%s'", key) : 0;
}

int store_link_remove(struct store *store, const char *source, const char *key, int64_t user_id,
		      struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM link_by_hand WHERE source = ?1 AND key = ?2 AND user = ?3");
	struct compact buffer;
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, id);
	query_compact(&query, key, &buffer);
	query_int(&query, user_id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot strike out a link of '%s'", key)
					  : 0;
}

int store_links_drop(struct store *store, int64_t user_id, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "DELETE FROM link_by_hand WHERE user = ?1 AND wanted = 1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, user_id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot strike out a user's links") : 0;
}

/* One row of a statement about source and key, and perhaps a user: 1, 0, -1. */
static int find(struct query *query, const char *source, const char *key, int64_t user_id,
		struct err *err)
{
	struct compact buffer;
	int64_t id;
	int found = names_find(query->store, NAMES_SOURCE, source, &id, err);

	if (found <= 0)
		return found;
	query_int(query, id);
	query_compact(query, key, &buffer);
	if (user_id != 0)
		query_int(query, user_id);
	return query_row(query, err);
}

int store_link_wanted(struct store *store, const char *source, const char *key, int64_t *ret_user,
		      struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LINK_WANTED);
	int found = find(&query, source, key, 0, err);

	if (found < 0)
		return err_wrap(err, "cannot find a link of '%s'", key);
	*ret_user = found ? column_int(&query, 0) : 0;
	return 0;
}

int store_link_refused(struct store *store, const char *source, const char *key, int64_t user_id,
		       struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LINK_REFUSED);
	int found = find(&query, source, key, user_id, err);

	return found < 0 ? err_wrap(err, "cannot find a link of '%s'", key) : found;
}

int store_link_any(struct store *store, const char *source, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_LINK_ANY);
	int64_t id;
	int found = names_find(store, NAMES_SOURCE, source, &id, err);

	if (found > 0) {
		query_int(&query, id);
		found = query_row(&query, err);
	}
	return found < 0 ? err_wrap(err, "cannot find links of source '%s'", source) : found;
}

int store_links_of(struct store *store, int64_t user_id, struct arena *arena,
		   struct link_row **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT source, key FROM link_by_hand WHERE user = ?1 AND "
				     "wanted = 1 ORDER BY source, key");
	AUTO(rows) struct rows rows = ROWS(struct link_row);
	struct compact buffer;
	int row;

	query_int(&query, user_id);
	while ((row = query_row(&query, err)) > 0) {
		struct link_row *link = rows_add(&rows);

		if (!link)
			break;
		link->source = names_copy(store, NAMES_SOURCE, column_int(&query, 0), arena, err);
		link->key = arena_strdup(arena, column_compact(&query, 1, &buffer));
		if (!link->source) {
			row = -1;
			break;
		}
	}
	if (row < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list a user's links");
	return 0;
}
