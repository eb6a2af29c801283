/*
 * Codes that were sent for a factor, and recovery codes, as rows. Enters: rows. Leaves: the same, texts in the caller's
 * arena. Fails as the store does; a row that is not there is ERR_NOT_FOUND and spoils nothing.
 */
#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/store/factor.h>

#include "db.h"

/* --- codes by mail and SMS --- */

int store_challenge_get(struct store *store, int64_t factor_id, int64_t session_id,
			struct challenge_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT generation, sent_s, until_s, tries, sends, used "
				     "FROM challenge WHERE factor = ?1 AND session = ?2");
	int row;

	query_int(&query, factor_id);
	query_int(&query, session_id);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot read a code that was sent");
	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "no-code-sent", "no code was sent");
	*ret_row = (struct challenge_row){ .factor_id = factor_id,
					   .session_id = session_id,
					   .generation = column_int(&query, 0),
					   .sent_s = column_int(&query, 1),
					   .until_s = column_int(&query, 2),
					   .tries = column_int(&query, 3),
					   .sends = column_int(&query, 4),
					   .used = column_int(&query, 5) != 0 };
	return 0;
}

int store_challenge_put(struct store *store, const struct challenge_row *row, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT INTO challenge (factor, session, generation, sent_s, until_s, tries, "
		"sends, used) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (factor, "
		"session) DO UPDATE SET generation = excluded.generation, "
		"sent_s = excluded.sent_s, until_s = excluded.until_s, tries = excluded.tries, "
		"sends = excluded.sends, used = excluded.used");

	query_int(&query, row->factor_id);
	query_int(&query, row->session_id);
	query_int(&query, row->generation);
	query_int(&query, row->sent_s);
	query_int(&query, row->until_s);
	query_int(&query, row->tries);
	query_int(&query, row->sends);
	query_int(&query, row->used);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note a code to be sent") : 0;
}

int store_challenge_use(struct store *store, const char *name, int64_t until_s, struct err *err)
{
	struct hash128 digest = digest128(name, strlen(name));
	int added;

	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query =
		query_prepare(store, "INSERT INTO challenge_used (id, until_s) VALUES (?1, ?2) "
				     "ON CONFLICT DO NOTHING");

	query_blob(&query, &digest, sizeof(digest));
	query_int(&query, until_s);
	added = query_run(&query, err);
	if (added == 0)
		return err_refuse(err, ERR_CONFLICT, "replayed", "this challenge was used before");
	return added < 0 ? err_wrap(err, "cannot use up a challenge") : 0;
}

/* --- recovery codes --- */

#define COLUMNS "id, slot, hash, created_s, used_s, until_s, issuer"

static int from_row(struct query *query, int64_t user_id, struct arena *arena,
		    struct recovery_row *ret_row, struct err *err)
{
	struct recovery_row row = { .id = column_int(query, 0),
				    .user_id = user_id,
				    .slot = (int)column_int(query, 1),
				    .hash = column_copy(query, 2, arena),
				    .created_s = column_int(query, 3),
				    .used_s = column_int(query, 4),
				    .until_s = column_int(query, 5) };

	row.issuer = names_copy(query->store, NAMES_GENERAL, column_int(query, 6), arena, err);
	if (!row.issuer)
		return -1;
	*ret_row = row;
	return arena_check(arena, err);
}

int store_recovery_get(struct store *store, int64_t user_id, int slot, struct arena *arena,
		       struct recovery_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " COLUMNS " FROM recovery_code WHERE user = ?1 AND slot = ?2");
	struct recovery_row read;
	int row;

	query_int(&query, user_id);
	query_int(&query, slot);
	row = query_row(&query, err);
	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such recovery code");
	if (row < 0 || from_row(&query, user_id, arena, &read, err) < 0)
		return err_wrap(err, "cannot read a recovery code");
	*ret_row = read;
	return 0;
}

int store_recovery_list(struct store *store, int64_t user_id, struct arena *arena,
			struct recovery_row **ret_rows, size_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " COLUMNS " FROM recovery_code WHERE user = ?1 ORDER BY slot");
	AUTO(rows) struct rows rows = ROWS(struct recovery_row);
	int row;

	query_int(&query, user_id);
	while ((row = query_row(&query, err)) > 0) {
		struct recovery_row *code = rows_add(&rows);

		if (!code)
			break;
		if (from_row(&query, user_id, arena, code, err) < 0)
			return err_wrap(err, "cannot list recovery codes");
	}
	if (row < 0)
		return err_wrap(err, "cannot list recovery codes");
	return rows_finish(&rows, arena, ret_rows, ret_count, err);
}

static int insert(struct store *store, const struct recovery_row *row, int64_t issuer,
		  struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT OR REPLACE INTO recovery_code (user, slot, hash, created_s, used_s, "
		       "until_s, issuer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

	query_int(&query, row->user_id);
	query_int(&query, row->slot);
	query_text(&query, row->hash);
	query_int(&query, row->created_s);
	query_int(&query, row->used_s);
	query_int(&query, row->until_s);
	query_int(&query, issuer);
	return query_run(&query, err) < 0 ? -1 : 0;
}

int store_recovery_put(struct store *store, struct recovery_row *row, struct err *err)
{
	int64_t issuer;

	if (store_may_write(store, err) < 0 || store_check_user(store, row->user_id, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, row->issuer, &issuer, err) < 0 ||
	    insert(store, row, issuer, err) < 0)
		return err_wrap(err, "cannot store a recovery code");
	row->id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_recovery_use(struct store *store, int64_t id, int64_t now_s, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(store, "UPDATE recovery_code SET used_s = ?2, hash = '' "
						  "WHERE id = ?1 AND used_s = 0");
	int changed;

	query_int(&query, id);
	query_int(&query, now_s);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot use up a recovery code") : changed > 0;
}

int store_recovery_drop(struct store *store, int64_t user_id, int first, int last, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM recovery_code WHERE user = ?1 AND slot BETWEEN ?2 AND ?3");

	query_int(&query, user_id);
	query_int(&query, first);
	query_int(&query, last);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot remove recovery codes") : 0;
}
