/*
 * What following a directory asks of the store beside the rest: one group, one key. Enters: names.
 * Leaves: numbers. Fails as the store does.
 */
#include "db.h"

int store_group_members(struct store *store, uint32_t id, int64_t *ret_members, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT members FROM group_registry WHERE id = ?1");
	int row;

	query_int(&query, id);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot read group %u", id);
	*ret_members = row ? column_int(&query, 0) : -1;
	return 0;
}

int store_quarantine_forget(struct store *store, const char *source, const char *key,
			    struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM quarantine WHERE source = ?1 AND key = ?2 AND key <> ''");
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, id);
	query_text(&query, key);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot take '%s' out of the quarantine of '%s'", key, source);
	return 0;
}

int store_quarantine_any(struct store *store, const char *source, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT 1 FROM quarantine WHERE source = ?1 LIMIT 1");
	int64_t id;
	int found = names_find(store, NAMES_SOURCE, source, &id, err);

	if (found > 0) {
		query_int(&query, id);
		found = query_row(&query, err);
	}
	return found < 0 ? err_wrap(err, "cannot look into the quarantine of '%s'", source) : found;
}
