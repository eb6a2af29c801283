/*
 * Tokens of the API, and whom services made. Enters: rows, hashes. Leaves: the same. Fails as the store
 * does; a name that is taken is a conflict that spoils nothing.
 */
#include <rolebridge/store/token.h>

#include <string.h>

#include "db.h"

#define LIST_MAX 1000
#define SCOPE_BYTES_MAX ((size_t)256 * 1024)
#define COLUMNS \
	"id, uuid, hash, name, user, service, organization, application, scope, created_s, " \
	"created_by, expires_s, used_s, revoked_s"

/* --- scopes: texts with spaces between them --- */

static int scope_join(const struct token_row *row, struct strbuf *out, struct err *err)
{
	strbuf_puts(out, "");
	for (size_t i = 0; i < row->scope_count; i++)
		strbuf_printf(out, "%s%s", i ? " " : "", row->scope[i]);
	return strbuf_failed(out)
		       ? err_set(err, ERR_TOO_LARGE, "a token's scope is longer than %zu bytes",
				 SCOPE_BYTES_MAX)
		       : 0;
}

static int scope_split(const char *text, struct arena *arena, struct token_row *row,
		       struct err *err)
{
	size_t count = 1;
	const char **items;
	char *copy;

	row->scope = NULL;
	row->scope_count = 0;
	if (text[0] == '\0')
		return 0;
	for (const char *at = text; *at; at++)
		count += *at == ' ';
	items = arena_alloc_array(arena, count, sizeof(*items));
	copy = arena_strdup(arena, text);
	if (!items || !copy)
		return arena_check(arena, err);
	for (size_t i = 0; i < count; i++) {
		items[i] = copy;
		copy += strcspn(copy, " ");
		if (*copy)
			*copy++ = '\0';
	}
	row->scope = items;
	row->scope_count = count;
	return 0;
}

/* --- rows --- */

struct numbers {
	int64_t service, organization, application, created_by;
};

static int find_numbers(struct store *store, const struct token_row *row, struct numbers *numbers,
			struct err *err)
{
	if (names_ensure(store, NAMES_GENERAL, row->service, &numbers->service, err) < 0 ||
	    names_ensure(store, NAMES_ORGANIZATION, row->organization, &numbers->organization,
			 err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, row->application, &numbers->application, err) < 0)
		return -1;
	return names_ensure(store, NAMES_GENERAL, row->created_by, &numbers->created_by, err);
}

static int insert(struct store *store, const struct token_row *row, const struct numbers *numbers,
		  struct err *err)
{
	AUTO(strbuf) struct strbuf scope = STRBUF(SCOPE_BYTES_MAX);

	if (scope_join(row, &scope, err) < 0)
		return -1;

	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT INTO token (uuid, hash, name, user, service, organization, "
		       "application, scope, created_s, created_by, expires_s, used_s, revoked_s) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0)");

	query_blob(&query, row->uuid.byte, sizeof(row->uuid.byte));
	query_blob(&query, row->hash.byte, sizeof(row->hash.byte));
	query_text(&query, row->name);
	query_int(&query, row->user_id);
	query_int(&query, numbers->service);
	query_int(&query, numbers->organization);
	query_int(&query, numbers->application);
	query_text(&query, strbuf_text(&scope));
	query_int(&query, row->created_s);
	query_int(&query, numbers->created_by);
	query_int(&query, row->expires_s);
	return query_try(&query, err);
}

int store_token_insert(struct store *store, struct token_row *row, struct err *err)
{
	struct numbers numbers;
	int written;

	if (store_may_write(store, err) < 0 ||
	    (row->user_id != 0 && store_check_user(store, row->user_id, err) < 0) ||
	    find_numbers(store, row, &numbers, err) < 0)
		return err_wrap(err, "cannot store token '%s'", row->name);
	written = insert(store, row, &numbers, err);
	if (written == -2)
		return err_refuse(err, ERR_CONFLICT, "name-taken", "there is a token '%s' already",
				  row->name);
	if (written < 0)
		return err_wrap(err, "cannot store token '%s'", row->name);
	row->id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_token_living(struct store *store, const struct token_row *row, int64_t now_s,
		       int64_t *ret_count, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT count(*) FROM token WHERE user = ?1 AND service = ?2 AND "
		       "(user <> 0 OR organization = ?3) AND revoked_s = 0 AND expires_s > ?4");
	int64_t service = 0, organization = 0;

	if (names_find(store, NAMES_GENERAL, row->service, &service, err) < 0 ||
	    names_find(store, NAMES_ORGANIZATION, row->organization, &organization, err) < 0)
		return -1;
	query_int(&query, row->user_id);
	query_int(&query, service);
	query_int(&query, organization);
	query_int(&query, now_s);
	return query_number(&query, ret_count, err);
}

int store_token_revoke(struct store *store, int64_t id, int64_t now_s, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE token SET revoked_s = ?2 WHERE id = ?1 AND revoked_s = 0");
	int changed;

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, id);
	query_int(&query, now_s);
	changed = query_run(&query, err);
	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no such token");
	return changed < 0 ? err_wrap(err, "cannot revoke a token") : 0;
}

int store_token_used(struct store *store, int64_t id, int64_t used_s, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "UPDATE token SET used_s = ?2 WHERE id = ?1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, id);
	query_int(&query, used_s);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note when a token was used") : 0;
}

static const char *name_of(const struct query *query, int column, struct arena *arena,
			   struct err *err)
{
	int64_t id = column_int(query, column);

	return id == 0 ? "" : names_copy(query->store, NAMES_GENERAL, id, arena, err);
}

static int bytes_of(const struct query *query, int column, void *ret_bytes, size_t wanted,
		    struct err *err)
{
	size_t size;
	const void *bytes = column_blob(query, column, &size);

	if (size != wanted)
		return err_refuse(err, ERR_IO, "store-damaged", "a token has no hash or uuid");
	memcpy(ret_bytes, bytes, size);
	return 0;
}

static int row_from_query(const struct query *query, struct arena *arena, struct token_row *ret_row,
			  struct err *err)
{
	struct token_row row = {
		.id = column_int(query, 0),
		.name = column_copy(query, 3, arena),
		.user_id = column_int(query, 4),
		.service = name_of(query, 5, arena, err),
		.organization = names_copy(query->store, NAMES_ORGANIZATION, column_int(query, 6),
					   arena, err),
		.application = name_of(query, 7, arena, err),
		.created_s = column_int(query, 9),
		.created_by = name_of(query, 10, arena, err),
		.expires_s = column_int(query, 11),
		.used_s = column_int(query, 12),
		.revoked_s = column_int(query, 13),
	};

	if (!row.service || !row.organization || !row.application || !row.created_by ||
	    bytes_of(query, 1, row.uuid.byte, sizeof(row.uuid.byte), err) < 0 ||
	    bytes_of(query, 2, row.hash.byte, sizeof(row.hash.byte), err) < 0 ||
	    scope_split(column_text(query, 8), arena, &row, err) < 0 || arena_check(arena, err) < 0)
		return -1;
	*ret_row = row;
	return 0;
}

int store_token_find(struct store *store, const struct uuid *uuid, struct arena *arena,
		     struct token_row *ret_row, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM token WHERE uuid = ?1");
	int row;

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	row = query_row(&query, err);
	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such token");
	if (row < 0 || row_from_query(&query, arena, ret_row, err) < 0)
		return err_wrap(err, "cannot read a token");
	return 0;
}

/* --- lists --- */

/* A number that stands for "any", or for a text that was never stored. */
static int filter_number(struct store *store, enum name_space space, const char *text,
			 int64_t *ret_id, struct err *err)
{
	int found;

	*ret_id = -1;
	if (!text)
		return 0;
	*ret_id = -2;
	found = names_find(store, space, text, ret_id, err);
	return found < 0 ? -1 : 0;
}

static int list_rows(struct query *query, struct arena *arena, struct token_row **ret_rows,
		     size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct token_row);
	int row;

	while ((row = query_row(query, err)) > 0) {
		struct token_row *token = rows_add(&rows);

		if (!token)
			break;
		if (row_from_query(query, arena, token, err) < 0)
			return -1;
	}
	return row < 0 ? -1 : rows_finish(&rows, arena, ret_rows, ret_count, err);
}

int store_token_list(struct store *store, const struct token_query *asked, struct arena *arena,
		     struct token_row **ret_rows, size_t *ret_count, struct err *err)
{
	int64_t organization, service;
	size_t limit = asked->limit < LIST_MAX ? asked->limit : LIST_MAX;

	if (filter_number(store, NAMES_ORGANIZATION, asked->organization, &organization, err) < 0 ||
	    filter_number(store, NAMES_GENERAL, asked->service, &service, err) < 0)
		return err_wrap(err, "cannot list tokens");

	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT " COLUMNS " FROM token WHERE id > ?1 AND (?2 = -1 OR "
		       "organization = ?2) AND (?3 = 0 OR user = ?3) AND (?4 = -1 OR service = ?4) "
		       "AND (?5 OR (revoked_s = 0 AND expires_s > ?6)) ORDER BY id LIMIT ?7");

	query_int(&query, asked->after_id);
	query_int(&query, organization);
	query_int(&query, asked->user_id);
	query_int(&query, service);
	query_int(&query, asked->all);
	query_int(&query, asked->now_s);
	query_int(&query, (int64_t)limit);
	if (list_rows(&query, arena, ret_rows, ret_count, err) < 0)
		return err_wrap(err, "cannot list tokens");
	return 0;
}

int store_token_prune(struct store *store, int64_t before_s, size_t limit, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "DELETE FROM token WHERE id IN (SELECT id FROM token WHERE expires_s < ?1 "
		       "OR (revoked_s <> 0 AND revoked_s < ?1) LIMIT ?2)");
	int changed;

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, before_s);
	query_int(&query, (int64_t)limit);
	changed = query_run(&query, err);
	return changed < 0 ? err_wrap(err, "cannot remove old tokens") : changed;
}

int store_token_was_revoked(struct store *store, const struct token_row *token, int64_t at_s,
			    struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT 1 FROM token WHERE user = ?1 AND name = ?2 AND created_s <= ?3 "
		       "AND revoked_s <> 0 AND revoked_s >= ?3 AND service = ?4 "
		       "AND (user <> 0 OR organization = ?5) LIMIT 1");
	int64_t service = 0, organization = 0;
	int row;

	if (names_find(store, NAMES_GENERAL, token->service, &service, err) < 0 ||
	    names_find(store, NAMES_ORGANIZATION, token->organization, &organization, err) < 0)
		return -1;
	query_int(&query, token->user_id);
	query_text(&query, token->name);
	query_int(&query, at_s);
	query_int(&query, service);
	query_int(&query, organization);
	row = query_row(&query, err);
	return row < 0 ? err_wrap(err, "cannot look for token '%s'", token->name) : row;
}

/* --- whom services made --- */

int store_service_made(struct store *store, int64_t user_id, const char *service, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "INSERT OR REPLACE INTO service_user (user, service) VALUES (?1, ?2)");
	int64_t id;

	if (store_may_write(store, err) < 0 || store_check_user(store, user_id, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, service, &id, err) < 0)
		return -1;
	query_int(&query, user_id);
	query_int(&query, id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note who made a user") : 0;
}

int store_service_forget(struct store *store, int64_t user_id, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "DELETE FROM service_user WHERE user = ?1");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, user_id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot forget who made a user") : 0;
}

int store_service_of(struct store *store, int64_t user_id, struct arena *arena,
		     const char **ret_service, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT service FROM service_user WHERE user = ?1");
	int row;

	query_int(&query, user_id);
	row = query_row(&query, err);
	if (row < 0)
		return err_wrap(err, "cannot read who made a user");
	*ret_service =
		row ? names_copy(store, NAMES_GENERAL, column_int(&query, 0), arena, err) : "";
	return *ret_service ? 0 : -1;
}
