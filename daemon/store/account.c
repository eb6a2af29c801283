/*
 * Who belongs to which account. Enters: rows of resources, numbers of users. Leaves: ties, in the order of either.
 * Fails as the store does.
 */
#include <rolebridge/store/account.h>

#include "db.h"

#define LIST_MAX 10000

static int check_limit(size_t limit, struct err *err)
{
	if (limit == 0 || limit > LIST_MAX)
		return err_set(err, ERR_INVALID, "a list has 1 to %d rows", LIST_MAX);
	return 0;
}

int store_account_find(struct store *store, const char *application, const char *id,
		       struct arena *arena, int64_t *ret_row, const char **ret_organization,
		       struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACCOUNT_FIND);
	const char *organization = "";
	int64_t names[2], row = 0;
	int found = names_find(store, NAMES_GENERAL, application, &names[0], err);

	if (found > 0)
		found = names_find(store, NAMES_GENERAL, RESOURCE_ACCOUNTS, &names[1], err);
	if (found > 0) {
		query_int(&query, names[0]);
		query_int(&query, names[1]);
		query_text(&query, id);
		found = query_row(&query, err);
	}
	if (found > 0) {
		row = column_int(&query, 0);
		organization =
			names_copy(store, NAMES_ORGANIZATION, column_int(&query, 1), arena, err);
	}
	if (found < 0 || !organization)
		return err_wrap(err, "cannot find account '%.80s'", id);
	*ret_row = row;
	*ret_organization = organization;
	return 0;
}

/* --- ties --- */

int store_account_tie(struct store *store, int64_t account, int64_t user_id, int64_t now_s,
		      struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACCOUNT_TIE);
	int changed;

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, account);
	query_int(&query, user_id);
	query_int(&query, now_s);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot tie a user to an account") : changed;
}

int store_account_untie(struct store *store, int64_t account, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACCOUNT_UNTIE);
	int changed;

	query_int(&query, account);
	query_int(&query, user_id);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot untie a user from an account") : changed;
}

int store_accounts_drop(struct store *store, int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACCOUNTS_DROP);
	int changed;

	query_int(&query, user_id);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot untie a user") : changed;
}

/* --- of a user --- */

static int read_accounts(struct query *query, struct arena *arena, struct rows *rows,
			 struct err *err)
{
	int row;

	while ((row = query_row(query, err)) > 0) {
		struct account_row *account = rows_add(rows);

		if (!account)
			return 0;
		*account = (struct account_row){
			.row = column_int(query, 0),
			.application = names_copy(query->store, NAMES_GENERAL, column_int(query, 1),
						  arena, err),
			.id = column_copy(query, 2, arena),
			.title = column_copy(query, 3, arena),
			.since_s = column_int(query, 4),
		};
		if (!account->application || arena_check(arena, err) < 0)
			return -1;
	}
	return row;
}

int store_accounts_of(struct store *store, int64_t user_id, const char *application, int64_t after,
		      size_t limit, struct arena *arena, struct account_row **ret_rows,
		      size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACCOUNTS_OF);
	AUTO(rows) struct rows rows = ROWS(struct account_row);
	int64_t number = 0;
	int found = check_limit(limit, err) < 0 ? -1 : 1;

	if (found > 0 && application)
		found = names_find(store, NAMES_GENERAL, application, &number, err);
	if (found > 0) {
		query_int(&query, user_id);
		query_int(&query, after);
		query_int(&query, (int64_t)limit);
		query_int(&query, number);
		found = read_accounts(&query, arena, &rows, err);
	}
	if (found < 0 || rows_finish(&rows, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list a user's accounts");
	return 0;
}

int store_account_count(struct store *store, int64_t user_id, int64_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_ACCOUNT_COUNT);

	query_int(&query, user_id);
	return query_number(&query, ret_count, err);
}

/* --- of an account --- */

int store_account_people(struct store *store, int64_t account, int64_t after, size_t limit,
			 struct arena *arena, struct user **ret_users, size_t *ret_count,
			 struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " USER_COLUMNS " FROM account_user a CROSS JOIN user u "
		       "ON u.id = a.user WHERE a.account = ?1 AND a.user > ?2 AND "
		       "(u.disabled & 32) = 0 ORDER BY a.user LIMIT ?3");
	AUTO(rows) struct rows rows = ROWS(struct user);
	int row = check_limit(limit, err);

	query_int(&query, account);
	query_int(&query, after);
	query_int(&query, (int64_t)limit);
	while (row == 0 && (row = query_row(&query, err)) > 0) {
		struct user *user = rows_add(&rows);

		row = user ? user_from_row(&query, arena, user, err) : 0;
		if (!user)
			break;
	}
	if (row < 0 || rows_finish(&rows, arena, ret_users, ret_count, err) < 0)
		return err_wrap(err, "cannot list an account's people");
	return 0;
}

int store_account_people_count(struct store *store, int64_t account, int64_t *ret_count,
			       struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT count(*) FROM account_user WHERE account = ?1");

	query_int(&query, account);
	return query_number(&query, ret_count, err);
}

/* --- the end of one --- */

static int remove_people(struct store *store, int64_t account, size_t limit, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM account_user WHERE account = ?1 AND user IN (SELECT user FROM "
		       "account_user WHERE account = ?1 ORDER BY user LIMIT ?2)");

	query_int(&query, account);
	query_int(&query, (int64_t)limit);
	return query_run(&query, err);
}

int store_account_clear(struct store *store, int64_t account, size_t limit, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "INSERT INTO account_removed (account) "
						  "SELECT ?1 WHERE EXISTS (SELECT 1 FROM "
						  "account_user WHERE account = ?1)");
	int left;

	if (remove_people(store, account, limit, err) < 0)
		return err_wrap(err, "cannot untie an account's people");
	query_int(&query, account);
	left = query_run(&query, err);
	return left < 0 ? err_wrap(err, "cannot untie an account's people") : left;
}

int store_accounts_left(struct store *store, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT 1 FROM account_removed LIMIT 1");

	return query_row(&query, err);
}

int store_accounts_prune(struct store *store, size_t limit, struct err *err)
{
	AUTO(query)
	struct query first = query_prepare(store, "SELECT account FROM account_removed LIMIT 1");
	AUTO(query)
	struct query forget =
		query_prepare(store, "DELETE FROM account_removed WHERE account = ?1");
	int row = query_row(&first, err), removed;

	if (row <= 0)
		return row;
	removed = remove_people(store, column_int(&first, 0), limit, err);
	query_int(&forget, column_int(&first, 0));
	if (removed < 0 || ((size_t)removed < limit && query_run(&forget, err) < 0))
		return err_wrap(err, "cannot untie an account's people");
	return 1;
}
