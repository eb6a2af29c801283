/*
 * Searches of users by the beginning of a name, in pages in the order of the names: first all whose user name or e-mail
 * address begins so, then all whose display name alone does. The indexes of names give them in that order, so that a
 * page costs what it holds, however many there are; those not in the indexes yet are looked through and sorted in.
 *
 * Each user comes once: at the user name where it matches, else at the address, else at the display name. A cursor is four
 * times the number of the user last looked at, and which name of theirs it was. What it stands for is read from the
 * user: whoever was renamed meanwhile is no place to go on from, ERR_CONFLICT "stale-cursor". It may stand for somebody
 * whom the search does not find, and is sealed for this search: others do not learn by it how a name begins.
 */
#include "user_query.h"

#include <string.h>

#include <rolebridge/base/hash.h>

/* What is guessed is one of some millions, and numbers up to half a thousand million users stay below 2^53. */
#define SEAL_BITS 22

/* Places in USER_COLUMNS, and behind them. */
enum { USERNAME = 3, EMAIL = 4, CONDITION = 12 };

enum name { NAME_NONE, NAME_USERNAME, NAME_EMAIL, NAME_DISPLAY };

/* ?1, ?2: the text and the number after which to go on; ?7 to ?9 as in user_query.h, ?11 named. */
static const char login_sql[] =
	"SELECT user, kind, text FROM login WHERE text >= max(?7, ?1) AND text < ?8 AND "
	"(text > ?1 OR kind > ?2) UNION ALL "
	"SELECT id, 1, username FROM user NOT INDEXED WHERE id > ?9 AND username >= ?7 AND "
	"username < ?8 AND (username > ?1 OR (username = ?1 AND 1 > ?2)) UNION ALL "
	"SELECT id, 2, email FROM user NOT INDEXED WHERE id > ?9 AND email >= ?7 AND email < ?8 AND "
	"(email > ?1 OR (email = ?1 AND 2 > ?2)) AND (disabled & 32) = 0 ORDER BY 3, 2";
static const char display_sql[] =
	"SELECT id, 3, display_folded FROM user INDEXED BY user_display WHERE indexed = 1 AND "
	"display_folded >= max(?7, ?1) AND display_folded < ?8 AND "
	"(display_folded > ?1 OR id > ?2) UNION ALL "
	"SELECT id, 3, display_folded FROM user NOT INDEXED WHERE id > ?9 AND "
	"display_folded >= ?7 AND display_folded < ?8 AND "
	"(display_folded > ?1 OR (display_folded = ?1 AND id > ?2)) ORDER BY 3, 1";

struct search {
	const struct user_filter *filter;
	struct rows rows;
	size_t left;		 /* names that may be looked at */
	enum name at;		 /* of the name last looked at, */
	int64_t user;		 /* whose, */
	struct strbuf text;	 /* and what */
	struct query conditions; /* of one user */
	bool ended;
};

/* --- where to go on --- */

static int stale(struct err *err)
{
	return err_refuse(err, ERR_CONFLICT, "stale-cursor",
			  "the name where the page before ended is gone: begin again");
}

static int64_t seal(const struct search *search, int64_t place)
{
	const struct user_filter *filter = search->filter;
	const int64_t sealed[] = { filter->organization, place };
	struct fingerprint_prefix prefix;

	fingerprint_start(strbuf_text(&filter->from), filter->from.size, &prefix);
	return (int64_t)(fingerprint_finish(&prefix, sealed, sizeof(sealed)).word[0] >>
			 (64 - SEAL_BITS));
}

static int64_t make_cursor(const struct search *search)
{
	int64_t place = search->user * 4 + (int64_t)search->at;

	return place << SEAL_BITS | seal(search, place);
}

static int read_cursor(struct store *store, struct search *search, int64_t cursor, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT username, email, display_folded FROM user WHERE id = ?1");
	int64_t place = cursor >> SEAL_BITS;
	int row;

	if (cursor == 0)
		return 0;
	if ((cursor & ((INT64_C(1) << SEAL_BITS) - 1)) != seal(search, place))
		return stale(err);
	search->at = (enum name)(place % 4);
	search->user = place / 4;
	query_int(&query, search->user);
	row = search->at == NAME_NONE ? 0 : query_row(&query, err);
	if (row < 0)
		return -1;
	if (row > 0)
		strbuf_puts(&search->text, column_text(&query, (int)search->at - 1));
	return row > 0 && user_filter_begins(search->filter, strbuf_text(&search->text))
		       ? 0
		       : stale(err);
}

/* --- one by one --- */

/* Is it at another name that they come? */
static bool comes_elsewhere(const struct search *search, const char *username, const char *email)
{
	return (search->at > NAME_USERNAME && user_filter_begins(search->filter, username)) ||
	       (search->at > NAME_EMAIL && user_filter_begins(search->filter, email));
}

static int look_at(struct search *search, struct arena *arena, struct err *err)
{
	struct query *query = &search->conditions;
	struct user *user;
	int row;

	query_again(query);
	user_filter_bind(search->filter, search->user, 0, query);
	row = query_row(query, err);
	if (row <= 0 || !column_int(query, CONDITION) ||
	    comes_elsewhere(search, column_text(query, USERNAME), column_text(query, EMAIL)))
		return row < 0 ? -1 : 0;
	user = rows_add(&search->rows);
	return user ? user_from_row(query, arena, user, err) : 0;
}

/* after: the number that goes with the text. */
static int walk(struct store *store, struct search *search, const char *sql, int64_t after,
		int64_t late, struct arena *arena, struct err *err)
{
	const struct user_filter *filter = search->filter;
	AUTO(strbuf) struct strbuf from = STRBUF(4096);
	AUTO(query) struct query query = query_prepare(store, sql);
	int row = 1;

	strbuf_puts(&from, strbuf_text(&search->text));
	query_text(&query, strbuf_text(&from));
	query_int(&query, after);
	for (int i = 3; i < 7; i++)
		query_int(&query, 0);
	query_text(&query, strbuf_text(&filter->from));
	query_text(&query, strbuf_text(&filter->to));
	query_int(&query, late);
	while (search->rows.count < filter->query->limit && search->left > 0 &&
	       (row = query_row(&query, err)) > 0) {
		search->left--;
		search->user = column_int(&query, 0);
		search->at = (enum name)column_int(&query, 1);
		if (look_at(search, arena, err) < 0)
			return -1;
	}
	search->ended = row == 0;
	return row < 0 ? -1 : 0;
}

static int run_search(struct store *store, struct search *search, struct arena *arena,
		      struct err *err)
{
	const struct user_filter *filter = search->filter;

	if (search->at != NAME_DISPLAY) {
		if (walk(store, search, login_sql, search->at, filter->named_user, arena, err) < 0)
			return -1;
		if (!search->ended)
			return 0;
		strbuf_clear(&search->text);
		search->user = 0;
	}
	return walk(store, search, display_sql, search->user, filter->indexed_user, arena, err);
}

static int prepare(struct store *store, struct search *search, struct err *err)
{
	AUTO(strbuf) struct strbuf sql = STRBUF(8192);

	strbuf_puts(&sql, "SELECT " USER_COLUMNS ", ");
	user_filter_condition(search->filter, &sql);
	strbuf_puts(&sql, " FROM user u WHERE u.id = ?1");
	if (strbuf_failed(&sql))
		return err_set(err, ERR_MEMORY, "out of memory");
	search->conditions = query_prepare(store, strbuf_text(&sql));
	return 0;
}

static int search_users(struct store *store, struct search *search, int64_t cursor,
			struct arena *arena, struct err *err)
{
	int result;

	if (read_cursor(store, search, cursor, err) < 0 || prepare(store, search, err) < 0)
		return -1;
	result = run_search(store, search, arena, err);
	query_auto(&search->conditions);
	return result;
}

int store_user_search(struct store *store, const struct user_query *query, struct arena *arena,
		      struct user **ret_users, size_t *ret_count, int64_t *ret_next,
		      struct err *err)
{
	struct user_filter filter = USER_FILTER(query);
	struct search search = { .filter = &filter,
				 .rows = ROWS(struct user),
				 .left = SEARCH_MAX,
				 .text = STRBUF(4096),
				 .ended = true };
	int result = user_filter_read(store, &filter, err);

	if (result > 0 && filter.from.size == 0)
		result = err_set(err, ERR_INVALID, "there is nothing to search for");
	if (result > 0)
		result = search_users(store, &search, query->after_id, arena, err);
	if (result == 0)
		result = rows_finish(&search.rows, arena, ret_users, ret_count, err);
	if (result == 0)
		*ret_next = search.ended ? 0 : make_cursor(&search);
	rows_auto(&search.rows);
	strbuf_finish(&search.text);
	user_filter_finish(&filter);
	return result < 0 ? err_wrap(err, "cannot search for users") : 0;
}
