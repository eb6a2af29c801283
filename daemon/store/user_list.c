/*
 * Lists of users, in pages ordered by id. The SQL is put together from fixed
 * pieces; values are always bound. What drives it:
 *
 *	a prefix few users have the indexes of names give the ids, and a look at the latest users
 *	holders of a grant      index (kind, name, user); then the grants of the latest users, not in that index yet
 *	disabled only           indexes of the disabled
 *	a profile               index (profile), of active ones in one organization (organization, profile)
 *	an organization         index (organization)
 *	all else                walk by id
 *
 * Each gives ids in their order, one by one, with the answer to what else is asked for. So a page costs what it holds
 * and those that are looked at in vain, and after SCAN_MAX of them a call says where to go on: its cost does not grow
 * with the store, whatever is combined.
 */
#include "user_query.h"

#include <string.h>

#include <rolebridge/base/text.h>

#define LIMIT_MAX 10000
/* Up to here a prefix is looked up in the indexes, beyond it is filtered. */
#define PREFIX_FEW 2000

/* --- what is asked for --- */

/* The least text after all that begin with the prefix: its last byte, never 0xff in UTF-8, plus 1. */
static int fold_prefix(const char *prefix, struct user_filter *filter, struct err *err)
{
	text_fold(&filter->from, prefix, strlen(prefix));
	strbuf_append(&filter->to, strbuf_text(&filter->from), filter->from.size);
	if (strbuf_failed(&filter->from) || strbuf_failed(&filter->to))
		return err_set(err, ERR_INVALID, "search text is not valid");
	if (filter->to.size)
		filter->to.data[filter->to.size - 1]++;
	return 0;
}

int user_filter_read(struct store *store, struct user_filter *filter, struct err *err)
{
	const struct user_query *query = filter->query;
	const struct horizon *horizon;
	int found = 1;

	if (query->limit < 1 || query->limit > LIMIT_MAX)
		return err_set(err, ERR_INVALID, "a page of users has 1 to %d rows", LIMIT_MAX);
	if (query->organization)
		found = names_find(store, NAMES_ORGANIZATION, query->organization,
				   &filter->organization, err);
	if (found > 0 && query->profile)
		found = names_find(store, NAMES_GENERAL, query->profile, &filter->profile, err);
	if (found > 0 && query->grant_name)
		found = names_find(store, NAMES_GENERAL, query->grant_name, &filter->grant_name,
				   err);
	if (found <= 0)
		return found;
	grant_beginning(query->grant_kind, filter->grant_name, &filter->beginning);
	if (query->prefix && fold_prefix(query->prefix, filter, err) < 0)
		return -1;
	horizon = store_horizon(store, err);
	if (!horizon)
		return -1;
	filter->indexed_user = horizon->indexed;
	filter->named_user = horizon->named;
	return 1;
}

void user_filter_finish(struct user_filter *filter)
{
	strbuf_finish(&filter->from);
	strbuf_finish(&filter->to);
	strbuf_finish(&filter->beginning);
}

void user_filter_condition(const struct user_filter *filter, struct strbuf *sql)
{
	const struct user_query *query = filter->query;

	strbuf_puts(sql, "(u.disabled & 32) = 0");
	if (query->active >= 0)
		strbuf_puts(sql, query->active ? " AND (u.disabled & 255) = 0"
					       : " AND (u.disabled & 255) <> 0");
	if (query->organization)
		strbuf_puts(sql, " AND u.organization = ?3");
	if (query->profile)
		strbuf_puts(sql, " AND u.profile = ?4");
	if (query->grant_name)
		strbuf_puts(sql, " AND EXISTS (SELECT 1 FROM user_grant h WHERE h.user = u.id AND "
				 "instr(h.grants, ?10) > 0)");
}

void user_filter_bind(const struct user_filter *filter, int64_t after, int64_t limit,
		      struct query *query)
{
	query_int(query, after);
	query_int(query, limit);
	query_int(query, filter->organization);
	query_int(query, filter->profile);
	query_int(query, filter->query->grant_kind);
	query_int(query, filter->grant_name);
	query_text(query, strbuf_text(&filter->from));
	query_text(query, strbuf_text(&filter->to));
	query_int(query, filter->indexed_user);
	query_text(query, strbuf_text(&filter->beginning));
}

bool user_filter_begins(const struct user_filter *filter, const char *text)
{
	return strncmp(text, strbuf_text(&filter->from), filter->from.size) == 0;
}

int user_add(struct store *store, int64_t id, struct rows *rows, struct arena *arena,
	     struct err *err)
{
	struct user *user = rows_add(rows);

	if (!user)
		return 0;
	return store_user_get(store, id, arena, user, err) < 0 ? -1 : 1;
}

/* --- what drives it --- */

#define PREFIX_IDS \
	" AND u.id IN (SELECT user FROM login WHERE text >= ?7 AND text < ?8 UNION " \
	"SELECT id FROM user INDEXED BY user_display WHERE display_folded >= ?7 AND " \
	"display_folded < ?8 AND indexed = 1 UNION SELECT id FROM user NOT INDEXED WHERE " \
	"id > " INDEXED_USER " AND display_folded >= ?7 AND display_folded < ?8 UNION " \
	"SELECT id FROM user NOT INDEXED WHERE id > " NAMED_USER " AND ((username >= ?7 AND " \
	"username < ?8) OR (email >= ?7 AND email < ?8)))"
#define PREFIX_CONDITION \
	" AND ((u.username >= ?7 AND u.username < ?8) OR (u.email >= ?7 AND u.email < ?8) " \
	"OR (u.display_folded >= ?7 AND u.display_folded < ?8))"

enum driver {
	DRIVE_USERS,
	DRIVE_PREFIX,
	DRIVE_HOLDERS,
	DRIVE_LATE_HOLDERS,
	DRIVE_INACTIVE_IN,
	DRIVE_INACTIVE,
	DRIVE_ACTIVE_PROFILE,
	DRIVE_PROFILE,
	DRIVE_ORGANIZATION,
};

static const char *const driver_texts[] = {
	[DRIVE_USERS] = "user u NOT INDEXED WHERE u.id > ?1",
	[DRIVE_PREFIX] = "user u NOT INDEXED WHERE u.id > ?1" PREFIX_IDS,
	[DRIVE_HOLDERS] = "grant_holder g CROSS JOIN user u ON u.id = g.user WHERE g.kind = ?5 AND "
			  "g.name = ?6 AND g.user > ?1 AND g.user <= ?9",
	[DRIVE_LATE_HOLDERS] =
		"user_grant g CROSS JOIN user u ON u.id = g.user WHERE g.user > max(?1, ?9)",
	[DRIVE_INACTIVE_IN] = "user u INDEXED BY user_inactive WHERE u.organization = ?3 AND "
			      "u.id > ?1 AND (u.disabled & 255) <> 0",
	[DRIVE_INACTIVE] = "user u INDEXED BY user_inactive_id WHERE u.id > ?1 AND "
			   "(u.disabled & 255) <> 0",
	[DRIVE_ACTIVE_PROFILE] = "user u INDEXED BY user_active WHERE u.organization = ?3 AND "
				 "u.profile = ?4 AND u.id > ?1 AND (u.disabled & 255) = 0",
	[DRIVE_PROFILE] = "user u INDEXED BY user_profile WHERE u.profile = ?4 AND u.id > ?1",
	[DRIVE_ORGANIZATION] = "user u INDEXED BY user_organization WHERE u.organization = ?3 AND "
			       "u.id > ?1",
};

/* How many names have the prefix, up to a few. */
static int is_rare(struct store *store, const struct user_filter *filter, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_PREFIX_COUNT);
	int64_t count;

	if (filter->from.size == 0)
		return 0;
	query_text(&query, strbuf_text(&filter->from));
	query_text(&query, strbuf_text(&filter->to));
	query_int(&query, PREFIX_FEW + 1);
	return query_number(&query, &count, err) < 0 ? -1 : count <= PREFIX_FEW;
}

static int choose_driver(struct store *store, const struct user_filter *filter,
			 enum driver *ret_driver, struct err *err)
{
	const struct user_query *query = filter->query;
	int rare = is_rare(store, filter, err);

	if (rare < 0)
		return -1;
	if (rare)
		*ret_driver = DRIVE_PREFIX;
	else if (query->grant_name)
		*ret_driver = DRIVE_HOLDERS;
	else if (query->active == 0)
		*ret_driver = query->organization ? DRIVE_INACTIVE_IN : DRIVE_INACTIVE;
	else if (query->profile && query->organization && query->active > 0)
		*ret_driver = DRIVE_ACTIVE_PROFILE;
	else if (query->profile)
		*ret_driver = DRIVE_PROFILE;
	else
		*ret_driver = query->organization ? DRIVE_ORGANIZATION : DRIVE_USERS;
	return 0;
}

/* The id of each, and whether it is one of those who are asked for. */
static void write_sql(const struct user_filter *filter, enum driver driver, struct strbuf *sql)
{
	bool holders = driver == DRIVE_HOLDERS || driver == DRIVE_LATE_HOLDERS;

	strbuf_puts(sql, "SELECT u.id, ");
	user_filter_condition(filter, sql);
	if (filter->from.size > 0 && driver != DRIVE_PREFIX)
		strbuf_puts(sql, PREFIX_CONDITION);
	strbuf_printf(sql, " FROM %s ORDER BY %s", driver_texts[driver],
		      holders ? "g.user" : "u.id");
}

/* --- reading --- */

struct scan {
	const struct user_filter *filter;
	struct rows rows;
	size_t left;   /* rows that may be looked at */
	int64_t after; /* looked at, the last one */
	bool ended;
};

static int drive(struct store *store, struct scan *scan, enum driver driver, struct arena *arena,
		 struct err *err)
{
	AUTO(strbuf) struct strbuf sql = STRBUF(8192);
	size_t limit = scan->filter->query->limit;
	int row = 1;

	write_sql(scan->filter, driver, &sql);
	if (strbuf_failed(&sql))
		return err_set(err, ERR_MEMORY, "out of memory");

	AUTO(query) struct query query = query_prepare(store, strbuf_text(&sql));

	user_filter_bind(scan->filter, scan->after, 0, &query);
	while (scan->rows.count < limit && scan->left > 0 && (row = query_row(&query, err)) > 0) {
		scan->left--;
		scan->after = column_int(&query, 0);
		if (column_int(&query, 1) &&
		    user_add(store, scan->after, &scan->rows, arena, err) < 0)
			return -1;
	}
	scan->ended = row == 0;
	return row < 0 ? -1 : 0;
}

static int run_scan(struct store *store, struct scan *scan, struct arena *arena, struct err *err)
{
	enum driver driver;

	if (choose_driver(store, scan->filter, &driver, err) < 0 ||
	    drive(store, scan, driver, arena, err) < 0)
		return -1;
	if (driver == DRIVE_HOLDERS && scan->ended)
		return drive(store, scan, DRIVE_LATE_HOLDERS, arena, err);
	return 0;
}

static int list(struct store *store, const struct user_query *query, size_t most,
		struct arena *arena, struct user **ret_users, size_t *ret_count, int64_t *ret_next,
		struct err *err)
{
	struct user_filter filter = USER_FILTER(query);
	struct scan scan = { .filter = &filter,
			     .rows = ROWS(struct user),
			     .left = most,
			     .after = query->after_id,
			     .ended = true };
	int result = user_filter_read(store, &filter, err);

	if (result > 0)
		result = run_scan(store, &scan, arena, err);
	if (result == 0)
		result = rows_finish(&scan.rows, arena, ret_users, ret_count, err);
	if (result == 0)
		*ret_next = scan.ended ? 0 : scan.after;
	rows_auto(&scan.rows);
	user_filter_finish(&filter);
	return result < 0 ? err_wrap(err, "cannot list users") : 0;
}

int store_user_list(struct store *store, const struct user_query *query, struct arena *arena,
		    struct user **ret_users, size_t *ret_count, struct err *err)
{
	int64_t next;

	return list(store, query, SIZE_MAX, arena, ret_users, ret_count, &next, err);
}

int store_user_scan(struct store *store, const struct user_query *query, struct arena *arena,
		    struct user **ret_users, size_t *ret_count, int64_t *ret_next, struct err *err)
{
	return list(store, query, SCAN_MAX, arena, ret_users, ret_count, ret_next, err);
}
