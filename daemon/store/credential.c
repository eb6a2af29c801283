/*
 * Passwords and reset links. Enters: rows. Leaves: the same, texts in the caller's arena. Fails as the store does; a
 * row that is not there is ERR_NOT_FOUND and spoils nothing.
 */
#include <rolebridge/store/credential.h>

#include <string.h>

#include "db.h"

/* --- passwords --- */

int store_password_get(struct store *store, int64_t user_id, struct arena *arena,
		       struct password_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT hash, version, by_mail, set_s FROM password WHERE user = ?1");
	const char *hash;
	int row;

	query_int(&query, user_id);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot read a password");
	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no password");
	hash = column_text(&query, 0);
	*ret_row = (struct password_row){ .user_id = user_id,
					  .hash = arena_strdup(arena, hash),
					  .version = column_int(&query, 1),
					  .by_mail = column_int(&query, 2) != 0,
					  .set_s = column_int(&query, 3) };
	return arena_check(arena, err);
}

static int put_password(struct store *store, const struct password_row *row, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "INSERT INTO password (user, hash, version, by_mail, set_s) "
				     "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (user) DO UPDATE SET "
				     "hash = excluded.hash, version = excluded.version, "
				     "by_mail = excluded.by_mail, set_s = excluded.set_s");

	query_int(&query, row->user_id);
	query_text(&query, row->hash);
	query_int(&query, row->version);
	query_int(&query, row->by_mail);
	query_int(&query, row->set_s);
	return query_run(&query, err) < 0 ? -1 : 0;
}

int store_password_put(struct store *store, const struct password_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0 || store_check_user(store, row->user_id, err) < 0 ||
	    put_password(store, row, err) < 0)
		return err_wrap(err, "cannot store a password");
	return 0;
}

int store_password_rehash(struct store *store, int64_t user_id, int64_t version, const char *hash,
			  struct err *err)
{
	if (store_may_write(store, err) < 0)
		return err_wrap(err, "cannot store a password");

	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE password SET hash = ?3 WHERE user = ?1 AND version = ?2");
	int changed;

	query_int(&query, user_id);
	query_int(&query, version);
	query_text(&query, hash);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot store a password") : changed > 0;
}

int store_password_proven(struct store *store, int64_t user_id, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return err_wrap(err, "cannot note a proof");

	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE password SET by_mail = 0 WHERE user = ?1 AND by_mail <> 0");

	query_int(&query, user_id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note a proof") : 0;
}

/* --- resets --- */

#define RESET_COLUMNS \
	"user, uuid, generation, email, sent_s, expires_s, mailed_s, mail_problem, ended, ended_s"

static int read_reset(struct query *query, struct arena *arena, struct reset_row *ret_row,
		      struct err *err)
{
	struct reset_row reset;
	const void *uuid;
	size_t size;
	int row = query_row(query, err);

	if (row < 0)
		return err_wrap(err, "cannot read a reset");
	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no such reset");
	reset = (struct reset_row){ .user_id = column_int(query, 0),
				    .generation = column_int(query, 2),
				    .email = column_copy(query, 3, arena),
				    .sent_s = column_int(query, 4),
				    .expires_s = column_int(query, 5),
				    .mailed_s = column_int(query, 6),
				    .mail_problem = column_copy(query, 7, arena),
				    .ended = (enum reset_end)column_int(query, 8),
				    .ended_s = column_int(query, 9) };
	uuid = column_blob(query, 1, &size);
	if (size != sizeof(reset.uuid.byte))
		return err_set(err, ERR_IO, "a reset's uuid has %zu bytes", size);
	memcpy(reset.uuid.byte, uuid, size);
	if (arena_check(arena, err) < 0)
		return -1;
	*ret_row = reset;
	return 0;
}

int store_reset_get(struct store *store, const struct uuid *uuid, struct arena *arena,
		    struct reset_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " RESET_COLUMNS
						  " FROM password_reset WHERE uuid = ?1");

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	return read_reset(&query, arena, ret_row, err);
}

int store_reset_of(struct store *store, int64_t user_id, struct arena *arena,
		   struct reset_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " RESET_COLUMNS
						  " FROM password_reset WHERE user = ?1");

	query_int(&query, user_id);
	return read_reset(&query, arena, ret_row, err);
}

static int put_reset(struct store *store, const struct reset_row *row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT INTO password_reset (" RESET_COLUMNS
		       ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
		       "ON CONFLICT (user) DO UPDATE SET uuid = excluded.uuid, "
		       "generation = excluded.generation, email = excluded.email, "
		       "sent_s = excluded.sent_s, expires_s = excluded.expires_s, "
		       "mailed_s = excluded.mailed_s, mail_problem = excluded.mail_problem, "
		       "ended = excluded.ended, ended_s = excluded.ended_s");

	query_int(&query, row->user_id);
	query_blob(&query, row->uuid.byte, sizeof(row->uuid.byte));
	query_int(&query, row->generation);
	query_text(&query, row->email);
	query_int(&query, row->sent_s);
	query_int(&query, row->expires_s);
	query_int(&query, row->mailed_s);
	query_text(&query, row->mail_problem);
	query_int(&query, row->ended);
	query_int(&query, row->ended_s);
	return query_run(&query, err) < 0 ? -1 : 0;
}

int store_reset_put(struct store *store, const struct reset_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0 || store_check_user(store, row->user_id, err) < 0 ||
	    put_reset(store, row, err) < 0)
		return err_wrap(err, "cannot store a reset");
	return 0;
}

/* --- the end of both --- */

static int drop(struct store *store, const char *sql, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, sql);

	query_int(&query, user_id);
	return query_run(&query, err) < 0 ? -1 : 0;
}

int store_credentials_drop(struct store *store, int64_t user_id, struct err *err)
{
	if (store_may_write(store, err) < 0 ||
	    drop(store, "DELETE FROM password WHERE user = ?1", user_id, err) < 0 ||
	    drop(store, "DELETE FROM password_reset WHERE user = ?1", user_id, err) < 0)
		return err_wrap(err, "cannot drop a password");
	return 0;
}
