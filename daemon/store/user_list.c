/*
 * Lists of users, in pages ordered by id. The SQL is put together from fixed
 * pieces; values are always bound. What drives it, so that the cost of a page
 * does not grow with the store:
 *
 *	holders of a grant      index (kind, name, user), already in order of id; then
 *	                        the grants of the latest users, not in that index yet
 *	disabled only           the index of the disabled, who are few
 *	a prefix few users have the indexes of names give the ids, and a look at the latest users
 *	all else                walk by id and filter; a frequent prefix fills a page soon
 */
#include "db.h"

#include <string.h>

#include <rolebridge/base/text.h>

#define LIMIT_MAX 10000
/* Up to here a prefix is looked up in the indexes, beyond it is filtered. */
#define PREFIX_FEW 2000

/* The numbers of the parameters below. */
struct list_values {
	int64_t after_id, limit, organization, profile, grant_kind, grant_name;
	int64_t indexed_user;
	struct strbuf from, to;	 /* texts with the prefix: from <= text < to */
	struct strbuf beginning; /* of a grant, in the text of a user's grants */
};

#define PREFIX_IDS \
	" AND u.id IN (SELECT user FROM login WHERE text >= ?7 AND text < ?8 UNION " \
	"SELECT id FROM user INDEXED BY user_display WHERE display_folded >= ?7 AND " \
	"display_folded < ?8 AND indexed = 1 UNION SELECT id FROM user NOT INDEXED WHERE " \
	"id > " INDEXED_USER " AND display_folded >= ?7 AND display_folded < ?8 UNION " \
	"SELECT id FROM user NOT INDEXED WHERE id > " NAMED_USER " AND ((username >= ?7 AND " \
	"username < ?8) OR (email >= ?7 AND email < ?8)))"
#define PREFIX_FILTER \
	" AND ((+u.username >= ?7 AND +u.username < ?8) OR (+u.email >= ?7 AND +u.email < ?8) " \
	"OR (+u.display_folded >= ?7 AND +u.display_folded < ?8))"

enum prefix_mode { PREFIX_NONE, PREFIX_BY_INDEX, PREFIX_BY_WALK };

/* Numbers for the names of the query; 0: a name nobody knows, so nobody is found. */
static int resolve_names(struct store *store, const struct user_query *query,
			 struct list_values *values, struct err *err)
{
	int found = 1;

	if (query->organization)
		found = names_find(store, NAMES_ORGANIZATION, query->organization,
				   &values->organization, err);
	if (found > 0 && query->profile)
		found = names_find(store, NAMES_GENERAL, query->profile, &values->profile, err);
	if (found > 0 && query->grant_name)
		found = names_find(store, NAMES_GENERAL, query->grant_name, &values->grant_name,
				   err);
	if (found > 0)
		grant_beginning(query->grant_kind, values->grant_name, &values->beginning);
	return found;
}

/* The least text after all that begin with the prefix: its last byte, never 0xff in UTF-8, plus 1. */
static int fold_prefix(const char *prefix, struct list_values *values, struct err *err)
{
	text_fold(&values->from, prefix, strlen(prefix));
	strbuf_append(&values->to, strbuf_text(&values->from), values->from.size);
	if (strbuf_failed(&values->from) || strbuf_failed(&values->to))
		return err_set(err, ERR_INVALID, "search text is not valid");
	if (values->to.size)
		values->to.data[values->to.size - 1]++;
	return 0;
}

static int choose_prefix_mode(struct store *store, const struct list_values *values,
			      enum prefix_mode *ret_mode, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USER_PREFIX_COUNT);
	int64_t count;

	if (values->from.size == 0) {
		*ret_mode = PREFIX_NONE;
		return 0;
	}
	query_text(&query, strbuf_text(&values->from));
	query_text(&query, strbuf_text(&values->to));
	query_int(&query, PREFIX_FEW + 1);
	if (query_number(&query, &count, err) < 0)
		return -1;
	*ret_mode = count <= PREFIX_FEW ? PREFIX_BY_INDEX : PREFIX_BY_WALK;
	return 0;
}

enum driver { DRIVE_USERS, DRIVE_INACTIVE, DRIVE_HOLDERS, DRIVE_LATE_HOLDERS };

#define HOLDERS_FROM \
	"grant_holder g CROSS JOIN user u ON u.id = g.user WHERE " \
	"g.kind = ?5 AND g.name = ?6 AND g.user > ?1 AND g.user <= ?9"
#define LATE_HOLDERS_FROM \
	"user_grant g CROSS JOIN user u ON u.id = g.user WHERE g.user > max(?1, ?9) AND " \
	"instr(g.grants, ?10) > 0"

static const char *const driver_texts[] = {
	[DRIVE_USERS] = "user u NOT INDEXED WHERE u.id > ?1",
	[DRIVE_INACTIVE] = "user u INDEXED BY user_inactive WHERE u.id > ?1",
	[DRIVE_HOLDERS] = HOLDERS_FROM,
	[DRIVE_LATE_HOLDERS] = LATE_HOLDERS_FROM,
};

static enum driver choose_driver(const struct user_query *query, enum prefix_mode mode)
{
	if (mode == PREFIX_BY_INDEX)
		return DRIVE_USERS;
	if (query->grant_name)
		return DRIVE_HOLDERS;
	return query->active == 0 ? DRIVE_INACTIVE : DRIVE_USERS;
}

static void write_sql(const struct user_query *query, enum prefix_mode mode, enum driver driver,
		      struct strbuf *sql)
{
	bool holders = driver == DRIVE_HOLDERS || driver == DRIVE_LATE_HOLDERS;

	strbuf_puts(sql, "SELECT " USER_COLUMNS " FROM ");
	strbuf_puts(sql, driver_texts[driver]);
	if (query->grant_name && !holders)
		strbuf_puts(sql, " AND EXISTS (SELECT 1 FROM user_grant g WHERE g.user = u.id AND "
				 "instr(g.grants, ?10) > 0)");
	strbuf_puts(sql, " AND (u.disabled & 32) = 0");
	if (query->active >= 0)
		strbuf_puts(sql, query->active ? " AND (u.disabled & 255) = 0"
					       : " AND (u.disabled & 255) <> 0");
	if (query->organization)
		strbuf_puts(sql, " AND u.organization = ?3");
	if (query->profile)
		strbuf_puts(sql, " AND u.profile = ?4");
	if (mode != PREFIX_NONE)
		strbuf_puts(sql, mode == PREFIX_BY_INDEX ? PREFIX_IDS : PREFIX_FILTER);
	strbuf_puts(sql, holders ? " ORDER BY g.user LIMIT ?2" : " ORDER BY u.id LIMIT ?2");
}

static void bind_values(struct query *query, const struct list_values *values)
{
	query_int(query, values->after_id);
	query_int(query, values->limit);
	query_int(query, values->organization);
	query_int(query, values->profile);
	query_int(query, values->grant_kind);
	query_int(query, values->grant_name);
	query_text(query, strbuf_text(&values->from));
	query_text(query, strbuf_text(&values->to));
	query_int(query, values->indexed_user);
	query_text(query, strbuf_text(&values->beginning));
}

/* Adds users to rows, up to the limit. */
static int read_users(struct store *store, const struct user_query *query, enum prefix_mode mode,
		      enum driver driver, struct list_values *values, struct rows *rows,
		      struct arena *arena, struct err *err)
{
	AUTO(strbuf) struct strbuf sql = STRBUF(8192);

	write_sql(query, mode, driver, &sql);
	if (strbuf_failed(&sql))
		return err_set(err, ERR_MEMORY, "out of memory");

	AUTO(query) struct query statement = query_prepare(store, strbuf_text(&sql));
	int row;

	values->limit = (int64_t)(query->limit - rows->count);
	bind_values(&statement, values);
	while ((row = query_row(&statement, err)) > 0) {
		struct user *user = rows_add(rows);

		if (!user)
			return 0;
		if (user_from_row(&statement, arena, user, err) < 0)
			return -1;
	}
	return row;
}

static int list_users(struct store *store, const struct user_query *query,
		      struct list_values *values, struct rows *rows, struct arena *arena,
		      struct err *err)
{
	const struct horizon *horizon;
	enum prefix_mode mode;
	int found = resolve_names(store, query, values, err);

	if (found <= 0)
		return found;
	if (query->prefix && fold_prefix(query->prefix, values, err) < 0)
		return -1;
	horizon = store_horizon(store, err);
	if (!horizon || choose_prefix_mode(store, values, &mode, err) < 0)
		return -1;
	values->indexed_user = horizon->indexed;

	enum driver driver = choose_driver(query, mode);

	if (read_users(store, query, mode, driver, values, rows, arena, err) < 0)
		return -1;
	if (driver == DRIVE_HOLDERS && rows->count < query->limit && !rows->failed)
		return read_users(store, query, mode, DRIVE_LATE_HOLDERS, values, rows, arena, err);
	return 0;
}

int store_user_list(struct store *store, const struct user_query *query, struct arena *arena,
		    struct user **ret_users, size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct user);
	struct list_values values = {
		.after_id = query->after_id,
		.grant_kind = query->grant_kind,
		.from = STRBUF(4096),
		.to = STRBUF(4096),
		.beginning = STRBUF(64),
	};
	int result;

	if (query->limit < 1 || query->limit > LIMIT_MAX)
		return err_set(err, ERR_INVALID, "a page of users has 1 to %d rows", LIMIT_MAX);
	result = list_users(store, query, &values, &rows, arena, err);
	if (result == 0)
		result = rows_finish(&rows, arena, ret_users, ret_count, err);
	strbuf_finish(&values.from);
	strbuf_finish(&values.to);
	strbuf_finish(&values.beginning);
	return result < 0 ? err_wrap(err, "cannot list users") : 0;
}
