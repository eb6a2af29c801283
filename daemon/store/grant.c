/*
 * Grants with their origins. Enters: a grant of a user. Leaves: the same, in
 * the order of grant_compare. Fails as the store does.
 */
#include "db.h"

#include <stdlib.h>

struct grant_numbers {
	int64_t name, origin_id, origin_source;
};

static int grant_numbers(struct store *store, const struct grant *grant,
			 struct grant_numbers *ret_numbers, struct err *err)
{
	if (names_ensure(store, NAMES_GENERAL, grant->name, &ret_numbers->name, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, grant->origin_id, &ret_numbers->origin_id, err) < 0)
		return -1;
	return names_ensure(store, NAMES_GENERAL, grant->origin_source, &ret_numbers->origin_source,
			    err);
}

static void bind_grant(struct query *query, int64_t user_id, const struct grant *grant,
		       const struct grant_numbers *numbers)
{
	query_int(query, user_id);
	query_int(query, grant->kind);
	query_int(query, numbers->name);
	query_int(query, grant->origin);
	query_int(query, numbers->origin_id);
	query_int(query, numbers->origin_source);
}

int store_grant_add(struct store *store, int64_t user_id, const struct grant *grant,
		    struct err *err)
{
	struct grant_numbers numbers;
	int64_t indexed_user;

	if (store_may_write(store, err) < 0 || grant_numbers(store, grant, &numbers, err) < 0 ||
	    store_indexed_user(store, &indexed_user, err) < 0)
		return err_wrap(err, "cannot add grant '%s'", grant->name);

	AUTO(query) struct query query = query_open(store, STATEMENT_GRANT_ADD);

	bind_grant(&query, user_id, grant, &numbers);
	query_int(&query, grant->given_s);
	query_int(&query, grant->expires_s);
	query_int(&query, user_id <= indexed_user);
	if (query_run(&query, err) < 0)
		return err_wrap(err, "cannot add grant '%s' to user %lld", grant->name,
				(long long)user_id);
	return 0;
}

/* 1 when all names are known, 0 when one is not: then no such grant exists. */
static int grant_numbers_find(struct store *store, const struct grant *grant,
			      struct grant_numbers *ret_numbers, struct err *err)
{
	int found = names_find(store, NAMES_GENERAL, grant->name, &ret_numbers->name, err);

	if (found > 0)
		found = names_find(store, NAMES_GENERAL, grant->origin_id, &ret_numbers->origin_id,
				   err);
	if (found > 0)
		found = names_find(store, NAMES_GENERAL, grant->origin_source,
				   &ret_numbers->origin_source, err);
	return found;
}

int store_grant_remove(struct store *store, int64_t user_id, const struct grant *grant,
		       struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GRANT_REMOVE);
	struct grant_numbers numbers;
	int changed = store_may_write(store, err);

	if (changed == 0)
		changed = grant_numbers_find(store, grant, &numbers, err);
	if (changed > 0) {
		bind_grant(&query, user_id, grant, &numbers);
		changed = query_run(&query, err);
	}
	if (changed == 0)
		err_set(err, ERR_NOT_FOUND, "no such grant");
	if (changed <= 0)
		return err_wrap(err, "cannot remove grant '%s' from user %lld", grant->name,
				(long long)user_id);
	return 0;
}

static int grant_from_row(const struct query *query, struct arena *arena, struct grant *ret_grant,
			  struct err *err)
{
	struct store *store = query->store;
	int64_t name = column_int(query, 1);
	int64_t origin_id = column_int(query, 3), origin_source = column_int(query, 4);
	struct grant grant = {
		.kind = (enum grant_kind)column_int(query, 0),
		.origin = (enum origin_kind)column_int(query, 2),
		.given_s = column_int(query, 5),
		.expires_s = column_int(query, 6),
	};

	if (!(grant.name = names_copy(store, NAMES_GENERAL, name, arena, err)) ||
	    !(grant.origin_id = names_copy(store, NAMES_GENERAL, origin_id, arena, err)) ||
	    !(grant.origin_source = names_copy(store, NAMES_GENERAL, origin_source, arena, err)))
		return -1;
	*ret_grant = grant;
	return 0;
}

static int compare_grants(const void *a, const void *b)
{
	return grant_compare(a, b);
}

int store_grants_of(struct store *store, int64_t user_id, struct arena *arena,
		    struct grant **ret_grants, size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GRANTS_OF);
	AUTO(rows) struct rows rows = ROWS(struct grant);
	int row;

	query_int(&query, user_id);
	while ((row = query_row(&query, err)) > 0) {
		struct grant *grant = rows_add(&rows);

		if (!grant)
			break;
		if ((row = grant_from_row(&query, arena, grant, err)) < 0)
			break;
	}
	if (row >= 0 && rows.count)
		qsort(rows.data, rows.count, rows.size, compare_grants);
	if (row < 0 || rows_finish(&rows, arena, ret_grants, ret_count, err) < 0)
		return err_wrap(err, "cannot read the grants of user %lld", (long long)user_id);
	return 0;
}

int store_grant_holders(struct store *store, enum grant_kind kind, const char *name,
			int64_t *ret_count, struct err *err)
{
	int64_t id, count = 0;
	int found = names_find(store, NAMES_GENERAL, name, &id, err);

	if (found > 0) {
		AUTO(query) struct query query = query_open(store, STATEMENT_GRANT_HOLDERS);

		query_int(&query, kind);
		query_int(&query, id);
		found = query_number(&query, &count, err);
	}
	if (found < 0)
		return err_wrap(err, "cannot count the holders of '%s'", name);
	*ret_count = count;
	return 0;
}

static int read_ids(struct query *query, struct arena *arena, int64_t **ret_ids, size_t *ret_count,
		    struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(int64_t);
	int row;

	while ((row = query_row(query, err)) > 0) {
		int64_t *id = rows_add(&rows);

		if (!id)
			break;
		*id = column_int(query, 0);
	}
	return row < 0 ? -1 : rows_finish(&rows, arena, ret_ids, ret_count, err);
}

static int64_t row_limit(size_t limit)
{
	return limit > INT32_MAX ? INT32_MAX : (int64_t)limit;
}

int store_users_with_rule(struct store *store, const char *rule_id, int64_t after_id, size_t limit,
			  struct arena *arena, int64_t **ret_ids, size_t *ret_count,
			  struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USERS_WITH_RULE);
	int64_t id;
	int found = names_find(store, NAMES_GENERAL, rule_id, &id, err);

	if (found == 0) {
		*ret_ids = NULL;
		*ret_count = 0;
		return 0;
	}
	if (found > 0) {
		query_int(&query, id);
		query_int(&query, ORIGIN_RULE);
		query_int(&query, after_id);
		query_int(&query, row_limit(limit));
		found = read_ids(&query, arena, ret_ids, ret_count, err);
	}
	return found < 0 ? err_wrap(err, "cannot find users of rule '%s'", rule_id) : 0;
}

int store_users_expiring(struct store *store, int64_t until_s, int64_t after_id, size_t limit,
			 struct arena *arena, int64_t **ret_ids, size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USERS_EXPIRING);

	query_int(&query, until_s);
	query_int(&query, after_id);
	query_int(&query, row_limit(limit));
	if (read_ids(&query, arena, ret_ids, ret_count, err) < 0)
		return err_wrap(err, "cannot find expiring grants");
	return 0;
}

int store_next_expiry(struct store *store, int64_t *ret_time_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_NEXT_EXPIRY);
	int row = query_row(&query, err);

	if (row < 0)
		return err_wrap(err, "cannot find the next expiry");
	*ret_time_s = row ? column_int(&query, 0) : 0;
	return 0;
}
