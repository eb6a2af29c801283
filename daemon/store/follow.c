/*
 * What following a directory asks of the store beside the rest: one group, one key, users of whom
 * nothing but grants changes. Enters: names and numbers. Leaves: the same. Fails as the store does.
 */
#include "db.h"

int store_user_touch(struct store *store, const struct user *user, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_TOUCH);
	int changed;

	query_int(&query, user->id);
	query_int(&query, user->version);
	query_int(&query, user->updated_s);
	if (store_may_write(store, err) < 0)
		return -1;
	changed = query_run(&query, err);
	if (changed == 0)
		return err_refuse(err, ERR_CONFLICT, "stale-version",
				  "user '%s' was changed meanwhile", user->username);
	return changed < 0 ? err_wrap(err, "cannot change user '%s'", user->username) : 0;
}

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
