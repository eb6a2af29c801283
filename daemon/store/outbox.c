/*
 * The outbox, and the ids that files give people. Enters: what is to be delivered, ids. Leaves: what is due, users. Fails as the
 * store does.
 */
#include <rolebridge/store/invite.h>

#include <string.h>

#include "db.h"

#define COLUMNS "id, kind, subject, number, message_id, created_s, attempts, next_s, problem"

int store_outbox_add(struct store *store, const struct outbox_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT INTO outbox (kind, subject, number, message_id, created_s, next_s) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&query, row->kind);
	query_text(&query, row->subject);
	query_int(&query, row->number);
	query_text(&query, row->message_id);
	query_int(&query, row->created_s);
	query_int(&query, row->next_s);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note what is to be delivered")
					  : 0;
}

static int from_row(struct query *query, struct arena *arena, struct outbox_row *ret_row,
		    struct err *err)
{
	*ret_row = (struct outbox_row){
		.id = column_int(query, 0),
		.kind = column_copy(query, 1, arena),
		.subject = column_copy(query, 2, arena),
		.number = column_int(query, 3),
		.message_id = column_copy(query, 4, arena),
		.created_s = column_int(query, 5),
		.attempts = column_int(query, 6),
		.next_s = column_int(query, 7),
		.problem = column_copy(query, 8, arena),
	};
	return arena_check(arena, err);
}

static int read_one(struct query *query, struct arena *arena, struct outbox_row *ret_row,
		    struct err *err)
{
	int row = query_row(query, err);

	if (row > 0 && from_row(query, arena, ret_row, err) < 0)
		row = -1;
	return row < 0 ? err_wrap(err, "cannot read what is to be delivered") : row;
}

int store_outbox_next(struct store *store, int64_t now_s, struct arena *arena,
		      struct outbox_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM outbox WHERE next_s <= "
						  "?1 ORDER BY next_s, id LIMIT 1");

	query_int(&query, now_s);
	return read_one(&query, arena, ret_row, err);
}

int store_outbox_get(struct store *store, int64_t id, struct arena *arena,
		     struct outbox_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM outbox WHERE id = ?1");

	query_int(&query, id);
	return read_one(&query, arena, ret_row, err);
}

int store_outbox_update(struct store *store, const struct outbox_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE outbox SET attempts = ?2, next_s = ?3, problem = ?4 WHERE id = ?1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, row->id);
	query_int(&query, row->attempts);
	query_int(&query, row->next_s);
	query_text(&query, row->problem);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note an attempt to deliver") : 0;
}

int store_outbox_remove(struct store *store, int64_t id, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, "DELETE FROM outbox WHERE id = ?1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note what was delivered") : 0;
}

int store_outbox_drop(struct store *store, const char *kind, const char *subject, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "DELETE FROM outbox WHERE kind = ?1 AND subject = ?2");

	if (store_may_write(store, err) < 0)
		return -1;
	query_text(&query, kind);
	query_text(&query, subject);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot drop what is not to be delivered")
					  : 0;
}

int store_outbox_counts(struct store *store, struct outbox_counts *ret_counts, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT count(*), count(*) FILTER (WHERE attempts > 0) "
				     "FROM outbox");

	if (query_row(&query, err) <= 0)
		return err_wrap(err, "cannot count what is to be delivered");
	*ret_counts = (struct outbox_counts){ column_int(&query, 0), column_int(&query, 1) };
	return 0;
}

/* --- ids that files give --- */

int store_external_find(struct store *store, const char *organization, const char *id,
			int64_t *ret_user, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_EXTERNAL_FIND);
	int64_t number;
	int found = names_find(store, NAMES_ORGANIZATION, organization, &number, err);

	if (found > 0) {
		query_int(&query, number);
		query_text(&query, id);
		found = query_row(&query, err);
	}
	if (found < 0)
		return err_wrap(err, "cannot find external id '%s'", id);
	*ret_user = found ? column_int(&query, 0) : 0;
	return 0;
}

int store_external_of(struct store *store, int64_t user_id, struct arena *arena,
		      const char **ret_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_EXTERNAL_OF);
	int row;

	query_int(&query, user_id);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot find a user's external id");
	*ret_id = row ? column_copy(&query, 0, arena) : "";
	return arena_check(arena, err);
}

int store_external_put(struct store *store, const char *organization, const char *id,
		       int64_t user_id, struct err *err)
{
	AUTO(query) struct query drop = query_open(store, STATEMENT_EXTERNAL_DROP);
	AUTO(query) struct query add = query_open(store, STATEMENT_EXTERNAL_ADD);
	int64_t number, present;

	if (store_may_write(store, err) < 0 ||
	    store_external_find(store, organization, id, &present, err) < 0)
		return -1;
	if (present == user_id)
		return 0;
	if (present != 0)
		return err_refuse(err, ERR_CONFLICT, "external-id-taken",
				  "external id '%s' is somebody else's", id);
	if (names_ensure(store, NAMES_ORGANIZATION, organization, &number, err) < 0)
		return -1;
	query_int(&drop, user_id);
	query_int(&add, number);
	query_text(&add, id);
	query_int(&add, user_id);
	if (query_run(&drop, err) < 0 || query_run(&add, err) < 0)
		return err_wrap(err, "cannot store external id '%s'", id);
	return 0;
}
