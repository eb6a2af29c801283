/*
 * Grants with their origins. Enters: grants of a user. Leaves: the same, in
 * the order of grant_compare. Fails as the store does.
 *
 * All grants of a user are one text, as the schema says: [[kind,name,origin,id,source,given,expires],…].
 * It is read strictly; what the store would not write is damage. That a grant begins with '[' and
 * nothing else does lets SQL find holders in the text: '[1,57,' is role number 57.
 */
#include "db.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>

/* Some 400,000 grants. */
#define TEXT_MAX (16 * 1024 * 1024)

/* A grant as it is stored: numbers, in the order of the text. */
enum {
	FIELD_KIND,
	FIELD_NAME,
	FIELD_ORIGIN,
	FIELD_ID,
	FIELD_SOURCE,
	FIELD_GIVEN,
	FIELD_EXPIRES,
	FIELDS
};
#define KEY_FIELDS FIELD_GIVEN

struct packed {
	int64_t field[FIELDS];
};

static int compare_first(const struct packed *a, const struct packed *b, size_t fields)
{
	for (size_t i = 0; i < fields; i++)
		if (a->field[i] != b->field[i])
			return a->field[i] < b->field[i] ? -1 : 1;
	return 0;
}

static int compare_packed(const void *a, const void *b)
{
	return compare_first(a, b, FIELDS);
}

static struct packed *packed_at(const struct rows *rows, size_t i)
{
	return (struct packed *)(void *)rows->data + i;
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory left for grants");
}

/* --- the text --- */

/* Digits with an optional sign, as a number is written: moves *at behind it. */
static bool read_number(const char **at, int64_t *ret_number)
{
	const char *digit = *at;
	bool negative = *digit == '-';
	int64_t number = 0;

	digit += negative;
	if (*digit < '0' || *digit > '9' ||
	    (*digit == '0' && (negative || (digit[1] >= '0' && digit[1] <= '9'))))
		return false;
	for (; *digit >= '0' && *digit <= '9'; digit++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_sub_overflow(number, *digit - '0', &number))
			return false;
	if (!negative && __builtin_sub_overflow(0, number, &number))
		return false;
	*at = digit;
	*ret_number = number;
	return true;
}

static bool read_grant(const char **at, struct packed *ret_grant)
{
	struct packed grant;

	for (size_t i = 0; i < FIELDS; i++) {
		if (*(*at)++ != (i ? ',' : '['))
			return false;
		if (!read_number(at, &grant.field[i]))
			return false;
	}
	*ret_grant = grant;
	return *(*at)++ == ']';
}

/* Each grant after the one before; the whole text, and at least one. */
static bool read_text(const char *text, struct rows *rows)
{
	if (*text++ != '[')
		return false;
	do {
		struct packed grant, *added;

		if (!read_grant(&text, &grant))
			return false;
		if (rows->count &&
		    compare_first(packed_at(rows, rows->count - 1), &grant, KEY_FIELDS) >= 0)
			return false;
		added = rows_add(rows);
		if (!added)
			return false;
		*added = grant;
	} while (*text++ == ',');
	return text[-1] == ']' && !*text;
}

static int damaged(const struct store *store, int64_t user_id, struct err *err)
{
	return err_refuse(err, ERR_IO, "store-damaged",
			  "store '%s': the grants of user %lld cannot be read", store->path,
			  (long long)user_id);
}

static int parse_text(const struct query *query, struct rows *rows, struct err *err)
{
	const char *text = column_text(query, 1);

	rows->count = 0;
	/* No grants are an empty array: the row stays. */
	if (strcmp(text, "[]") == 0 || read_text(text, rows))
		return 0;
	return rows->failed ? no_memory(err) : damaged(query->store, column_int(query, 0), err);
}

static char *write_number(char *at, int64_t number)
{
	char digits[24], *first = digits + sizeof(digits);
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

	do {
		*--first = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (number < 0)
		*--first = '-';
	memcpy(at, first, (size_t)(digits + sizeof(digits) - first));
	return at + (digits + sizeof(digits) - first);
}

static void write_text(const struct rows *rows, struct strbuf *out)
{
	char grant[FIELDS * 24], *at;

	for (size_t i = 0; i < rows->count; i++) {
		at = grant;
		*at++ = i ? ',' : '[';
		for (size_t field = 0; field < FIELDS; field++) {
			*at++ = field ? ',' : '[';
			at = write_number(at, packed_at(rows, i)->field[field]);
		}
		*at++ = ']';
		strbuf_append(out, grant, (size_t)(at - grant));
	}
	strbuf_puts(out, rows->count ? "]" : "[]");
}

/* How a grant begins. */
static void write_beginning(enum grant_kind kind, int64_t name, char ret_text[static 64])
{
	snprintf(ret_text, 64, "[%d,%lld,", (int)kind, (long long)name);
}

void grant_beginning(enum grant_kind kind, int64_t name, struct strbuf *out)
{
	char text[64];

	write_beginning(kind, name, text);
	strbuf_puts(out, text);
}

/* --- reading --- */

/* The user's grants into rows: 1 when there is a row, 0, -1. */
static int read_packed(struct store *store, int64_t user_id, struct rows *rows, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GRANTS_OF);
	int row;

	query_int(&query, user_id);
	row = query_row(&query, err);
	if (row > 0 && parse_text(&query, rows, err) < 0)
		return -1;
	return row;
}

static int unpack(struct store *store, const struct packed *packed, struct arena *arena,
		  struct grant *ret_grant, struct err *err)
{
	const int64_t *field = packed->field;
	struct grant grant = {
		.kind = (enum grant_kind)field[FIELD_KIND],
		.origin = (enum origin_kind)field[FIELD_ORIGIN],
		.given_s = field[FIELD_GIVEN],
		.expires_s = field[FIELD_EXPIRES],
	};

	if (!(grant.name = names_copy(store, NAMES_GENERAL, field[FIELD_NAME], arena, err)) ||
	    !(grant.origin_id = names_copy(store, NAMES_GENERAL, field[FIELD_ID], arena, err)) ||
	    !(grant.origin_source =
		      names_copy(store, NAMES_GENERAL, field[FIELD_SOURCE], arena, err)))
		return -1;
	*ret_grant = grant;
	return 0;
}

static int compare_grants(const void *a, const void *b)
{
	return grant_compare(a, b);
}

static int grants_of(struct store *store, int64_t user_id, struct rows *grants, struct arena *arena,
		     struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct packed);

	if (read_packed(store, user_id, &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < rows.count; i++) {
		struct grant *grant = rows_add(grants);

		if (grant && unpack(store, packed_at(&rows, i), arena, grant, err) < 0)
			return -1;
	}
	if (grants->count && !grants->failed)
		qsort(grants->data, grants->count, grants->size, compare_grants);
	return 0;
}

int store_grants_of(struct store *store, int64_t user_id, struct arena *arena,
		    struct grant **ret_grants, size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows grants = ROWS(struct grant);

	if (grants_of(store, user_id, &grants, arena, err) < 0 ||
	    rows_finish(&grants, arena, ret_grants, ret_count, err) < 0)
		return err_wrap(err, "cannot read the grants of user %lld", (long long)user_id);
	return 0;
}

/* --- indexes: holders of users up to 'indexed-user', times of all --- */

static int holder_run(struct store *store, enum statement_id id, const struct packed *packed,
		      int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, packed->field[FIELD_KIND]);
	query_int(&query, packed->field[FIELD_NAME]);
	query_int(&query, user_id);
	return query_run(&query, err);
}

static int expiry_run(struct store *store, enum statement_id id, const struct packed *time,
		      int64_t user_id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);

	query_int(&query, time->field[0]);
	query_int(&query, user_id);
	return query_run(&query, err);
}

/* The first that is not before, by so many fields; in rows sorted so. */
static size_t lower_bound(const struct rows *rows, const struct packed *packed, size_t fields)
{
	size_t low = 0, high = rows->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_first(packed_at(rows, middle), packed, fields) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_like(const struct rows *rows, const struct packed *packed, size_t fields)
{
	size_t place = lower_bound(rows, packed, fields);

	return place < rows->count && compare_first(packed_at(rows, place), packed, fields) == 0;
}

#define HOLDER_FIELDS FIELD_ORIGIN

/* For each holding of `of` that `other` has no like of. */
static int holder_difference(struct store *store, const struct rows *of, const struct rows *other,
			     enum statement_id id, int64_t user_id, struct err *err)
{
	for (size_t i = 0; i < of->count; i++)
		if (!has_like(other, packed_at(of, i), HOLDER_FIELDS) &&
		    holder_run(store, id, packed_at(of, i), user_id, err) < 0)
			return -1;
	return 0;
}

/* Times of expiry as rows of which only the first field counts, sorted. */
static int collect_times(const struct rows *rows, struct rows *times, struct err *err)
{
	for (size_t i = 0; i < rows->count; i++) {
		int64_t expires_s = packed_at(rows, i)->field[FIELD_EXPIRES];
		struct packed *time = expires_s > 0 ? rows_add(times) : NULL;

		if (time)
			time->field[0] = expires_s;
	}
	if (times->failed)
		return no_memory(err);
	if (times->count)
		qsort(times->data, times->count, times->size, compare_packed);
	return 0;
}

static int time_difference(struct store *store, const struct rows *of, const struct rows *other,
			   enum statement_id id, int64_t user_id, struct err *err)
{
	for (size_t i = 0; i < of->count; i++)
		if (!has_like(other, packed_at(of, i), 1) &&
		    expiry_run(store, id, packed_at(of, i), user_id, err) < 0)
			return -1;
	return 0;
}

static int index_times(struct store *store, int64_t user_id, const struct rows *before,
		       const struct rows *after, struct err *err)
{
	AUTO(rows) struct rows old = ROWS(struct packed);
	AUTO(rows) struct rows new = ROWS(struct packed);

	if (collect_times(before, &old, err) < 0 || collect_times(after, &new, err) < 0 ||
	    time_difference(store, &old, &new, STATEMENT_EXPIRY_DROP, user_id, err) < 0)
		return -1;
	return time_difference(store, &new, &old, STATEMENT_EXPIRY_ADD, user_id, err);
}

static int index_holders(struct store *store, int64_t user_id, const struct rows *before,
			 const struct rows *after, struct err *err)
{
	if (holder_difference(store, before, after, STATEMENT_HOLDER_DROP, user_id, err) < 0)
		return -1;
	return holder_difference(store, after, before, STATEMENT_HOLDER_ADD, user_id, err);
}

static int collect_holders(struct store *store, int64_t after, int64_t to, struct rows *holders,
			   struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_GRANTS_BETWEEN);
	AUTO(rows) struct rows rows = ROWS(struct packed);
	int row;

	query_int(&query, after);
	query_int(&query, to);
	while ((row = query_row(&query, err)) > 0) {
		if (parse_text(&query, &rows, err) < 0)
			return -1;
		for (size_t i = 0; i < rows.count; i++) {
			const int64_t *field = packed_at(&rows, i)->field;
			struct packed *holder = rows_add(holders);

			if (holder)
				*holder = (struct packed){ { field[FIELD_KIND], field[FIELD_NAME],
							     column_int(&query, 0) } };
		}
	}
	return holders->failed ? no_memory(err) : row;
}

int grants_index(struct store *store, int64_t after, int64_t to, struct err *err)
{
	AUTO(rows) struct rows holders = ROWS(struct packed);

	if (collect_holders(store, after, to, &holders, err) < 0)
		return -1;
	if (holders.count)
		qsort(holders.data, holders.count, holders.size, compare_packed);
	for (size_t i = 0; i < holders.count; i++)
		if (holder_run(store, STATEMENT_HOLDERS_FILL, packed_at(&holders, i),
			       packed_at(&holders, i)->field[2], err) < 0)
			return -1;
	return batch_flush(store, err);
}

/* --- writing --- */

typedef int names_lookup(struct store *store, enum name_space space, const char *text,
			 int64_t *ret_id, struct err *err);

/* As the lookup: a name that is not known gives 0 from names_find. */
static int pack(struct store *store, const struct grant *grant, names_lookup *lookup, int fine,
		struct packed *ret_packed, struct err *err)
{
	const char *const texts[] = { grant->name, grant->origin_id, grant->origin_source };
	const size_t fields[] = { FIELD_NAME, FIELD_ID, FIELD_SOURCE };
	struct packed packed = { { 0 } };

	packed.field[FIELD_KIND] = grant->kind;
	packed.field[FIELD_ORIGIN] = grant->origin;
	packed.field[FIELD_GIVEN] = grant->given_s;
	packed.field[FIELD_EXPIRES] = grant->expires_s;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int found = lookup(store, NAMES_GENERAL, texts[i], &packed.field[fields[i]], err);

		if (found != fine)
			return found;
	}
	*ret_packed = packed;
	return fine;
}

static int take_out(struct store *store, struct rows *rows, const struct grant *grant,
		    struct err *err)
{
	struct packed packed;
	size_t place;
	int known = pack(store, grant, names_find, 1, &packed, err);

	if (known < 0)
		return -1;
	if (known == 0 || !has_like(rows, &packed, KEY_FIELDS))
		return err_set(err, ERR_NOT_FOUND, "no such grant");
	place = lower_bound(rows, &packed, KEY_FIELDS);
	rows->count--;
	memmove(packed_at(rows, place), packed_at(rows, place + 1),
		(rows->count - place) * sizeof(packed));
	return 0;
}

static int put_in(struct store *store, struct rows *rows, const struct grant *grant,
		  struct err *err)
{
	struct packed packed;
	size_t place;

	if (pack(store, grant, names_ensure, 0, &packed, err) < 0)
		return -1;
	place = lower_bound(rows, &packed, KEY_FIELDS);
	if (!has_like(rows, &packed, KEY_FIELDS)) {
		if (!rows_add(rows))
			return no_memory(err);
		memmove(packed_at(rows, place + 1), packed_at(rows, place),
			(rows->count - 1 - place) * sizeof(packed));
	}
	*packed_at(rows, place) = packed;
	return 0;
}

static int write_row(struct store *store, int64_t user_id, bool is_there, const struct rows *rows,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(TEXT_MAX);
	AUTO(query)
	struct query query =
		query_open(store, is_there ? STATEMENT_GRANTS_SET : STATEMENT_GRANTS_ADD);

	write_text(rows, &text);
	if (strbuf_failed(&text))
		return rows->count > TEXT_MAX / (FIELDS * 24)
			       ? err_set(err, ERR_TOO_LARGE, "too many grants")
			       : no_memory(err);
	query_int(&query, user_id);
	query_text(&query, strbuf_text(&text));
	return query_run(&query, err) < 0 ? -1 : 0;
}

static int write_grants(struct store *store, int64_t user_id, bool is_there,
			const struct rows *before, const struct rows *after, struct err *err)
{
	const struct horizon *horizon = store_horizon(store, err);

	if (!horizon || write_row(store, user_id, is_there, after, err) < 0)
		return -1;
	/* The text is written: from here on all or nothing. */
	if (user_id > store->fresh_granted)
		store->fresh_granted = user_id;
	if (index_times(store, user_id, before, after, err) < 0 ||
	    (user_id <= horizon->indexed && index_holders(store, user_id, before, after, err) < 0))
		return store_spoil(store, err);
	return 0;
}

static int copy_rows(const struct rows *from, struct rows *to, struct err *err)
{
	for (size_t i = 0; i < from->count; i++) {
		struct packed *copy = rows_add(to);

		if (!copy)
			return no_memory(err);
		*copy = *packed_at(from, i);
	}
	return 0;
}

static int change_grants(struct store *store, int64_t user_id, const struct grant *removed,
			 size_t removed_count, const struct grant *added, size_t added_count,
			 struct err *err)
{
	AUTO(rows) struct rows before = ROWS(struct packed);
	AUTO(rows) struct rows after = ROWS(struct packed);
	struct err cause = { 0 };
	int is_there;

	if (store_may_write(store, err) < 0)
		return -1;
	/* As of any write: what a row belongs to must be there. */
	if (added_count && store_check_user(store, user_id, &cause) < 0) {
		if (err)
			*err = cause;
		return store_spoil(store, &cause);
	}
	is_there = is_fresh(store, user_id, store->fresh_granted)
			   ? 0
			   : read_packed(store, user_id, &before, err);
	if (is_there < 0 || copy_rows(&before, &after, err) < 0)
		return -1;
	for (size_t i = 0; i < removed_count; i++)
		if (take_out(store, &after, &removed[i], err) < 0)
			return err_wrap(err, "cannot remove grant '%s'", removed[i].name);
	for (size_t i = 0; i < added_count; i++)
		if (put_in(store, &after, &added[i], err) < 0)
			return err_wrap(err, "cannot add grant '%s'", added[i].name);
	return write_grants(store, user_id, is_there > 0, &before, &after, err);
}

int store_grants_change(struct store *store, int64_t user_id, const struct grant *removed,
			size_t removed_count, const struct grant *added, size_t added_count,
			struct err *err)
{
	if (removed_count + added_count == 0)
		return 0;
	if (change_grants(store, user_id, removed, removed_count, added, added_count, err) < 0)
		return err_wrap(err, "cannot change the grants of user %lld", (long long)user_id);
	return 0;
}

int store_grant_add(struct store *store, int64_t user_id, const struct grant *grant,
		    struct err *err)
{
	return store_grants_change(store, user_id, NULL, 0, grant, 1, err);
}

int store_grant_remove(struct store *store, int64_t user_id, const struct grant *grant,
		       struct err *err)
{
	return store_grants_change(store, user_id, grant, 1, NULL, 0, err);
}

/* --- who holds --- */

int store_grant_holders(struct store *store, enum grant_kind kind, const char *name,
			int64_t *ret_count, struct err *err)
{
	return store_grant_holders_of(store, NULL, kind, name, ret_count, err);
}

int store_grant_holders_of(struct store *store, const char *organization, enum grant_kind kind,
			   const char *name, int64_t *ret_count, struct err *err)
{
	int64_t id, number, count = 0;
	int found = names_find(store, NAMES_GENERAL, name, &id, err);

	if (found > 0 && organization)
		found = names_find(store, NAMES_ORGANIZATION, organization, &number, err);
	if (found > 0) {
		AUTO(query)
		struct query query = query_open(store, organization ? STATEMENT_GRANT_HOLDERS_OF
								    : STATEMENT_GRANT_HOLDERS);
		char beginning[64];

		write_beginning(kind, id, beginning);
		query_int(&query, kind);
		query_int(&query, id);
		query_text(&query, beginning);
		if (organization)
			query_int(&query, number);
		found = query_number(&query, &count, err);
	}
	if (found < 0)
		return err_wrap(err, "cannot count the holders of '%s'", name);
	*ret_count = count;
	return 0;
}

int store_grant_both(struct store *store, enum grant_kind kind, const char *name, const char *other,
		     struct err *err)
{
	const char *const names[] = { name, other };
	char beginnings[2][64];
	int64_t ids[2];
	int found = 1;

	for (size_t i = 0; found > 0 && i < ARRAY_LEN(names); i++) {
		found = names_find(store, NAMES_GENERAL, names[i], &ids[i], err);
		if (found > 0)
			write_beginning(kind, ids[i], beginnings[i]);
	}
	if (found > 0) {
		AUTO(query) struct query query = query_open(store, STATEMENT_GRANT_BOTH);

		query_int(&query, kind);
		query_int(&query, ids[0]);
		query_int(&query, ids[1]);
		query_text(&query, beginnings[0]);
		query_text(&query, beginnings[1]);
		found = query_row(&query, err);
	}
	return found < 0 ? err_wrap(err, "cannot look for holders of '%s'", name) : found;
}

static bool has_rule(const struct rows *rows, int64_t rule)
{
	for (size_t i = 0; i < rows->count; i++)
		if (packed_at(rows, i)->field[FIELD_ORIGIN] == ORIGIN_RULE &&
		    packed_at(rows, i)->field[FIELD_ID] == rule)
			return true;
	return false;
}

/* Rows of (user, grants), or of users alone when no rule is asked for. */
static int read_ids(struct query *query, const int64_t *rule, size_t limit, struct arena *arena,
		    int64_t **ret_ids, size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(int64_t);
	AUTO(rows) struct rows grants = ROWS(struct packed);
	int row = 0;

	while (rows.count < limit && (row = query_row(query, err)) > 0) {
		int64_t *id;

		if (rule && parse_text(query, &grants, err) < 0)
			return -1;
		if (rule && !has_rule(&grants, *rule))
			continue;
		id = rows_add(&rows);
		if (!id)
			break;
		*id = column_int(query, 0);
	}
	return row < 0 ? -1 : rows_finish(&rows, arena, ret_ids, ret_count, err);
}

int store_users_with_rule(struct store *store, const char *rule_id, int64_t after_id, size_t limit,
			  struct arena *arena, int64_t **ret_ids, size_t *ret_count,
			  struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USERS_WITH_RULE);
	char origin[64];
	int64_t id;
	int found = names_find(store, NAMES_GENERAL, rule_id, &id, err);

	if (found == 0) {
		*ret_ids = NULL;
		*ret_count = 0;
		return 0;
	}
	if (found > 0) {
		snprintf(origin, sizeof(origin), ",%d,%lld,", ORIGIN_RULE, (long long)id);
		query_text(&query, origin);
		query_int(&query, after_id);
		found = read_ids(&query, &id, limit, arena, ret_ids, ret_count, err);
	}
	return found < 0 ? err_wrap(err, "cannot find users of rule '%s'", rule_id) : 0;
}

int store_users_expiring(struct store *store, int64_t until_s, int64_t after_id, size_t limit,
			 struct arena *arena, int64_t **ret_ids, size_t *ret_count, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_USERS_EXPIRING);

	query_int(&query, until_s);
	query_int(&query, after_id);
	query_int(&query, limit > INT32_MAX ? INT32_MAX : (int64_t)limit);
	if (read_ids(&query, NULL, limit, arena, ret_ids, ret_count, err) < 0)
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
