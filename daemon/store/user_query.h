/* What lists and searches of users share (user_list.c, user_search.c): a query in numbers, and its conditions. */
#ifndef STORE_USER_QUERY_H
#define STORE_USER_QUERY_H

#include "db.h"

/* Beyond the limits of a page: how many rows one call looks at before it says where to go on. */
#define SCAN_MAX 10000
#define SEARCH_MAX 2000

/* Numbers for the names of a query; texts with the prefix: from <= text < to. */
struct user_filter {
	const struct user_query *query;
	int64_t organization, profile, grant_name, indexed_user, named_user;
	struct strbuf from, to;
	struct strbuf beginning; /* of the grant, in the text of a user's grants */
};
#define USER_FILTER(asked) \
	((struct user_filter){ .query = (asked), \
			       .from = STRBUF(4096), \
			       .to = STRBUF(4096), \
			       .beginning = STRBUF(64) })

/* 1; 0: a name nobody knows, so nobody is found; -1. */
int user_filter_read(struct store *store, struct user_filter *filter, struct err *err);
void user_filter_finish(struct user_filter *filter);
/*
 * The condition on user u, but for the prefix, as an expression without parentheses around it. Parameters: ?1 after, ?2
 * limit, ?3 organization, ?4 profile, ?5 kind and ?6 name of the grant, ?7 from, ?8 to, ?9 indexed, ?10 beginning.
 */
void user_filter_condition(const struct user_filter *filter, struct strbuf *sql);
void user_filter_bind(const struct user_filter *filter, int64_t after, int64_t limit,
		      struct query *query);
/* Does the text begin so? */
bool user_filter_begins(const struct user_filter *filter, const char *text);
/* The user of this number, added to the rows: 1; 0: out of memory, which rows_finish says; -1. */
int user_add(struct store *store, int64_t id, struct rows *rows, struct arena *arena,
	     struct err *err);

#endif
