/* Links that root makes for administrators: one for each user at most. Fails as the store does. */
#include <rolebridge/store/login_link.h>

#include <string.h>

#include "db.h"

int store_login_link_put(struct store *store, const struct login_link_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0 || store_check_user(store, row->user_id, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT OR REPLACE INTO login_link (user, uuid, until_s) VALUES (?1, ?2, ?3)");

	query_int(&query, row->user_id);
	query_blob(&query, row->uuid.byte, sizeof(row->uuid.byte));
	query_int(&query, row->until_s);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot store a link") : 0;
}

int store_login_link_get(struct store *store, const struct uuid *uuid,
			 struct login_link_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT user, until_s FROM login_link WHERE uuid = ?1");
	int row;

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	row = query_row(&query, err);
	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such link");
	if (row < 0)
		return err_wrap(err, "cannot read a link");
	*ret_row = (struct login_link_row){ .uuid = *uuid,
					    .user_id = column_int(&query, 0),
					    .until_s = column_int(&query, 1) };
	return 0;
}

static int delete_by(struct store *store, const char *sql, int64_t number, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query) struct query query = query_prepare(store, sql);

	query_int(&query, number);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot remove a link") : 0;
}

int store_login_link_delete(struct store *store, int64_t user_id, struct err *err)
{
	return delete_by(store, "DELETE FROM login_link WHERE user = ?1", user_id, err);
}

int store_login_link_prune(struct store *store, int64_t before_s, struct err *err)
{
	return delete_by(store, "DELETE FROM login_link WHERE until_s <= ?1", before_s, err);
}
