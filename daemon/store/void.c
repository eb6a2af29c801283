/*
 * What a restored store must not bring back to life. Enters: a handle in a transaction. Leaves: rows gone or ended, and
 * how many there were. Fails as the store does.
 *
 * Each of it was good for once, or for one person's browser, and may have been used, ended or stolen since the backup
 * was made. Hashes of passwords and confirmed factors stay: nobody could sign in otherwise.
 */
#include <rolebridge/store/session.h>
#include <rolebridge/store/token.h>

#include "backup.h"
#include "db.h"

#define TOKENS_AT_ONCE 500

static int run(struct store *store, const char *sql, const int64_t *number, int64_t *count,
	       struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, sql);
	int changed;

	if (number)
		query_int(&query, *number);
	changed = query_run(&query, err);
	if (changed < 0)
		return -1;
	if (count)
		*count += changed;
	return 0;
}

/* 1, 0 there is none, -1. */
static int next_session(struct store *store, int64_t *ret_id, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, "SELECT id FROM session LIMIT 1");
	int row = query_row(&query, err);

	if (row > 0)
		*ret_id = column_int(&query, 0);
	return row;
}

/* One by one: what of them was not counted as a sign-in yet is counted then. */
static int void_sessions(struct store *store, int64_t *count, struct err *err)
{
	int64_t id;
	int row;

	while ((row = next_session(store, &id, err)) > 0) {
		if (store_session_delete(store, id, err) < 0)
			return -1;
		(*count)++;
	}
	return row;
}

struct keeper {
	int (*keeps)(void *context, const struct uuid *token, struct err *err);
	void *context;
	int64_t now_s;
};

static int void_tokens(struct store *store, const struct keeper *keeper, int64_t *count,
		       struct err *err)
{
	struct token_query query = { .now_s = keeper->now_s, .limit = TOKENS_AT_ONCE };
	size_t found = TOKENS_AT_ONCE;

	while (found == TOKENS_AT_ONCE) {
		AUTO(arena) struct arena *arena = arena_create((size_t)64 * 1024 * 1024);
		struct token_row *rows;

		if (!arena)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (store_token_list(store, &query, arena, &rows, &found, err) < 0)
			return -1;
		for (size_t i = 0; i < found; i++) {
			int kept = keeper->keeps(keeper->context, &rows[i].uuid, err);

			if (kept < 0 || (kept == 0 && store_token_revoke(store, rows[i].id,
									 keeper->now_s, err) < 0))
				return -1;
			*count += kept == 0;
			query.after_id = rows[i].id;
		}
	}
	return 0;
}

int store_restore_void(struct store *store, int64_t now_s,
		       int (*keeps)(void *context, const struct uuid *token, struct err *err),
		       void *context, struct restore_void *ret_void, struct err *err)
{
	const struct keeper keeper = { keeps, context, now_s };
	struct restore_void ended = { .sessions = 0 };
	const struct {
		const char *sql;
		const int64_t *number;
		int64_t *count;
	} steps[] = {
		{ "DELETE FROM device", NULL, &ended.devices },
		{ "DELETE FROM challenge", NULL, NULL },
		{ "DELETE FROM recovery_code", NULL, &ended.recovery_codes },
		{ "DELETE FROM factor WHERE confirmed_s = 0", NULL, &ended.factors },
		{ "UPDATE password_reset SET ended = 2, ended_s = ?1 WHERE ended = 0", &now_s,
		  &ended.resets },
		{ "UPDATE invite SET ended = 2, ended_s = ?1 WHERE ended = 0", &now_s,
		  &ended.invites },
		{ "DELETE FROM login_link", NULL, &ended.login_links },
		{ "DELETE FROM meta WHERE name = 'backup'", NULL, NULL },
		{ "DELETE FROM restoration_read", NULL, NULL },
		/* Letters about links that ended. */
		{ "DELETE FROM outbox WHERE kind IN ('invite', 'password-reset')", NULL, NULL },
	};

	if (store_may_write(store, err) < 0 || void_sessions(store, &ended.sessions, err) < 0)
		return err_wrap(err, "cannot end sessions");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (run(store, steps[i].sql, steps[i].number, steps[i].count, err) < 0)
			return err_wrap(err, "cannot end what was good before the restore");
	if (void_tokens(store, &keeper, &ended.tokens, err) < 0)
		return err_wrap(err, "cannot end tokens");
	*ret_void = ended;
	return 0;
}
