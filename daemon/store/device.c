/*
 * Remembered browsers, sign-ins that count against grace, and policies of organizations as rows. Enters: rows. Leaves: the
 * same. Fails as the store does.
 */
#include <rolebridge/store/device.h>

#include <string.h>

#include "db.h"

#define COLUMNS "id, uuid, user, method, proven_s, agent, address, created_s, seen_s, until_s"

/* --- remembered browsers --- */

int store_device_insert(struct store *store, struct device_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0 || store_check_user(store, row->user_id, err) < 0)
		return err_wrap(err, "cannot remember a device");

	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT INTO device (uuid, user, method, proven_s, agent, address, "
		       "created_s, seen_s, until_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");

	query_blob(&query, row->uuid.byte, sizeof(row->uuid.byte));
	query_int(&query, row->user_id);
	query_int(&query, row->method);
	query_int(&query, row->proven_s);
	query_text(&query, row->agent);
	query_text(&query, row->address);
	query_int(&query, row->created_s);
	query_int(&query, row->seen_s);
	query_int(&query, row->until_s);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot remember a device");
	row->id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

static int device_from_row(const struct query *query, struct arena *arena, struct device_row *row,
			   struct err *err)
{
	size_t size;
	const void *uuid = column_blob(query, 1, &size);

	*row = (struct device_row){ .id = column_int(query, 0),
				    .user_id = column_int(query, 2),
				    .method = (enum factor_method)column_int(query, 3),
				    .proven_s = column_int(query, 4),
				    .agent = column_copy(query, 5, arena),
				    .address = column_copy(query, 6, arena),
				    .created_s = column_int(query, 7),
				    .seen_s = column_int(query, 8),
				    .until_s = column_int(query, 9) };
	if (size != sizeof(row->uuid.byte))
		return err_refuse(err, ERR_IO, "store-damaged", "a device has no uuid");
	memcpy(row->uuid.byte, uuid, size);
	return arena_check(arena, err);
}

int store_device_find(struct store *store, const struct uuid *uuid, struct arena *arena,
		      struct device_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM device WHERE uuid = ?1");
	int row;

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	row = query_row(&query, err);
	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such device");
	if (row < 0 || device_from_row(&query, arena, ret_row, err) < 0)
		return err_wrap(err, "cannot read a device");
	return 0;
}

static int device_rows(struct store *store, int64_t user_id, struct arena *arena, struct rows *rows,
		       struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT " COLUMNS " FROM device WHERE user = ?1 ORDER BY id");
	int found;

	query_int(&query, user_id);
	while ((found = query_row(&query, err)) > 0) {
		struct device_row *row = rows_add(rows);

		if (!row)
			return 0;
		if (device_from_row(&query, arena, row, err) < 0)
			return -1;
	}
	return found;
}

int store_device_list(struct store *store, int64_t user_id, struct arena *arena,
		      struct device_row **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct device_row);

	if (device_rows(store, user_id, arena, &rows, err) < 0 ||
	    rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list devices");
	return 0;
}

/* A statement with one or two numbers: rows changed, -1. */
static int run_numbers(struct store *store, const char *sql, int64_t first, int64_t second,
		       bool has_second, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query) struct query query = query_prepare(store, sql);

	query_int(&query, first);
	if (has_second)
		query_int(&query, second);
	return query_run(&query, err);
}

int store_device_seen(struct store *store, int64_t id, int64_t seen_s, struct err *err)
{
	return run_numbers(store, "UPDATE device SET seen_s = ?2 WHERE id = ?1", id, seen_s, true,
			   err) < 0
		       ? err_wrap(err, "cannot note that a device was seen")
		       : 0;
}

int store_device_delete(struct store *store, int64_t id, struct err *err)
{
	int gone = run_numbers(store, "DELETE FROM device WHERE id = ?1", id, 0, false, err);

	if (gone == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such device");
	return gone < 0 ? err_wrap(err, "cannot forget a device") : 0;
}

int store_devices_drop(struct store *store, int64_t user_id, struct err *err)
{
	int gone = run_numbers(store, "DELETE FROM device WHERE user = ?1", user_id, 0, false, err);

	return gone < 0 ? err_wrap(err, "cannot forget devices") : gone;
}

int store_device_prune(struct store *store, int64_t now_s, size_t limit, struct err *err)
{
	int gone = run_numbers(store,
			       "DELETE FROM device WHERE id IN (SELECT id FROM device "
			       "WHERE until_s <= ?1 LIMIT ?2)",
			       now_s, (int64_t)limit, true, err);

	return gone < 0 ? err_wrap(err, "cannot forget old devices") : gone;
}

/* --- grace --- */

int store_grace_get(struct store *store, int64_t user_id, int64_t since_s, int64_t *ret_sign_ins,
		    struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT sign_ins FROM factor_grace WHERE user = ?1 AND since_s = ?2");
	int row;

	query_int(&query, user_id);
	query_int(&query, since_s);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot read how often somebody signed in");
	*ret_sign_ins = row ? column_int(&query, 0) : 0;
	return 0;
}

int store_grace_put(struct store *store, int64_t user_id, int64_t since_s, int64_t sign_ins,
		    struct err *err)
{
	if (store_may_write(store, err) < 0 || store_check_user(store, user_id, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT INTO factor_grace (user, since_s, sign_ins) VALUES (?1, ?2, ?3) "
		       "ON CONFLICT DO UPDATE SET since_s = excluded.since_s, "
		       "sign_ins = excluded.sign_ins");

	query_int(&query, user_id);
	query_int(&query, since_s);
	query_int(&query, sign_ins);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot count a sign-in") : 0;
}

int store_grace_drop(struct store *store, int64_t user_id, struct err *err)
{
	return run_numbers(store, "DELETE FROM factor_grace WHERE user = ?1", user_id, 0, false,
			   err) < 0
		       ? -1
		       : 0;
}

/* --- policies --- */

int store_factor_policy_get(struct store *store, const char *organization, struct arena *arena,
			    struct factor_policy_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT body, version, set_s FROM factor_policy "
						  "WHERE organization = ?1");
	struct factor_policy_row row;
	int found;

	query_text(&query, organization);
	found = query_row(&query, err);
	if (found == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "nothing is set for '%.64s'",
				  organization);
	if (found < 0)
		return err_wrap(err, "cannot read who must prove a second factor");
	row = (struct factor_policy_row){ .organization = arena_strdup(arena, organization),
					  .body = column_copy(&query, 0, arena),
					  .version = column_int(&query, 1),
					  .set_s = column_int(&query, 2) };
	if (arena_check(arena, err) < 0)
		return -1;
	*ret_row = row;
	return 0;
}

int store_factor_policy_put(struct store *store, const struct factor_policy_row *row,
			    struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT INTO factor_policy (organization, body, version, set_s) "
		       "VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET body = excluded.body, "
		       "version = excluded.version, set_s = excluded.set_s");

	query_text(&query, row->organization);
	query_text(&query, row->body);
	query_int(&query, row->version);
	query_int(&query, row->set_s);
	return query_run(&query, err) < 0
		       ? err_wrap(err, "cannot store who must prove a second factor")
		       : 0;
}
