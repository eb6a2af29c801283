/*
 * Invites. Enters: rows, questions about them. Leaves: rows with their grants. What a link looks like is not
 * known here. Fails as the store does.
 */
#include <rolebridge/store/invite.h>

#include <string.h>

#include "db.h"

#define COLUMNS \
	"id, uuid, organization, email, username, display_name, generation, actor, inviter, " \
	"limited, scoped, service, created_s, sent_s, expires_s, mailed_s, mail_problem, ended, " \
	"ended_s, user"

static const char *const state_names[INVITE_STATES] = { "pending", "expired", "accepted",
							"revoked" };

enum invite_state invite_state_of(const struct invite_row *invite, int64_t now_s)
{
	switch (invite->ended) {
	case INVITE_ACCEPTED: return STATE_ACCEPTED;
	case INVITE_REVOKED: return STATE_REVOKED;
	case INVITE_OPEN: break;
	}
	return now_s < invite->expires_s ? STATE_PENDING : STATE_EXPIRED;
}

const char *invite_state_name(enum invite_state state)
{
	return state_names[state];
}

/* --- writing --- */

static int add_grants(struct store *store, const struct invite_row *invite, struct err *err)
{
	for (size_t i = 0; i < invite->grant_count; i++) {
		AUTO(query)
		struct query query = query_prepare(
			store, "INSERT OR IGNORE INTO invite_grant (invite, kind, name) "
			       "VALUES (?1, ?2, ?3)");
		int64_t name;

		if (names_ensure(store, NAMES_GENERAL, invite->grants[i].name, &name, err) < 0)
			return -1;
		query_int(&query, invite->id);
		query_int(&query, invite->grants[i].kind);
		query_int(&query, name);
		if (query_run(&query, err) < 0)
			return -1;
	}
	return 0;
}

static int set_scope(struct store *store, const struct invite_row *invite, struct err *err)
{
	AUTO(query)
	struct query drop = query_prepare(store, "DELETE FROM invite_scope WHERE invite = ?1");

	query_int(&drop, invite->id);
	if (query_run(&drop, err) < 0)
		return -1;
	for (size_t i = 0; invite->scope && i < invite->scope_count; i++) {
		AUTO(query)
		struct query query = query_prepare(
			store, "INSERT OR IGNORE INTO invite_scope (invite, permission) "
			       "VALUES (?1, ?2)");
		int64_t name;

		if (names_ensure(store, NAMES_GENERAL, invite->scope[i], &name, err) < 0)
			return -1;
		query_int(&query, invite->id);
		query_int(&query, name);
		if (query_run(&query, err) < 0)
			return -1;
	}
	return 0;
}

struct numbers {
	int64_t organization, actor, service;
};

static int find_numbers(struct store *store, const struct invite_row *invite,
			struct numbers *ret_numbers, struct err *err)
{
	ret_numbers->service = 0;
	if (names_ensure(store, NAMES_ORGANIZATION, invite->organization,
			 &ret_numbers->organization, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, invite->actor, &ret_numbers->actor, err) < 0)
		return -1;
	return invite->service ? names_ensure(store, NAMES_ORGANIZATION, invite->service,
					      &ret_numbers->service, err)
			       : 0;
}

static int insert(struct store *store, struct invite_row *invite, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store,
		"INSERT INTO invite (uuid, organization, email, username, display_name, "
		"generation, actor, inviter, limited, scoped, service, created_s, sent_s, "
		"expires_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)");
	struct numbers numbers;

	if (find_numbers(store, invite, &numbers, err) < 0)
		return -1;
	query_blob(&query, invite->uuid.byte, sizeof(invite->uuid.byte));
	query_int(&query, numbers.organization);
	query_text(&query, invite->email);
	query_text(&query, invite->username);
	query_text(&query, invite->display_name);
	query_int(&query, invite->generation);
	query_int(&query, numbers.actor);
	query_int(&query, invite->inviter_id);
	query_int(&query, invite->limited);
	query_int(&query, invite->scope != NULL);
	query_int(&query, numbers.service);
	query_int(&query, invite->created_s);
	query_int(&query, invite->sent_s);
	query_int(&query, invite->expires_s);
	if (query_run(&query, err) < 0)
		return -1;
	invite->id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_invite_insert(struct store *store, struct invite_row *invite, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;
	if (insert(store, invite, err) < 0 || add_grants(store, invite, err) < 0 ||
	    set_scope(store, invite, err) < 0)
		return err_wrap(err, "cannot store an invite");
	return 0;
}

static int update(struct store *store, const struct invite_row *invite, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "UPDATE invite SET generation = ?2, actor = ?3, inviter = ?4, limited = ?5, "
		       "scoped = ?6, service = ?7, sent_s = ?8, expires_s = ?9, mailed_s = ?10, "
		       "mail_problem = ?11, ended = ?12, ended_s = ?13, user = ?14 WHERE id = ?1");
	struct numbers numbers;
	int changed;

	if (find_numbers(store, invite, &numbers, err) < 0)
		return -1;
	query_int(&query, invite->id);
	query_int(&query, invite->generation);
	query_int(&query, numbers.actor);
	query_int(&query, invite->inviter_id);
	query_int(&query, invite->limited);
	query_int(&query, invite->scope != NULL);
	query_int(&query, numbers.service);
	query_int(&query, invite->sent_s);
	query_int(&query, invite->expires_s);
	query_int(&query, invite->mailed_s);
	query_text(&query, invite->mail_problem);
	query_int(&query, invite->ended);
	query_int(&query, invite->ended_s);
	query_int(&query, invite->user_id);
	changed = query_run(&query, err);
	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no such invite");
	return changed < 0 ? -1 : set_scope(store, invite, err);
}

int store_invite_update(struct store *store, const struct invite_row *invite, struct err *err)
{
	if (store_may_write(store, err) < 0)
		return -1;
	return update(store, invite, err) < 0 ? err_wrap(err, "cannot change an invite") : 0;
}

/* --- reading --- */

static int from_row(struct query *query, struct arena *arena, struct invite_row *ret_invite,
		    struct err *err)
{
	struct store *store = query->store;
	struct invite_row row = {
		.id = column_int(query, 0),
		.email = column_copy(query, 3, arena),
		.username = column_copy(query, 4, arena),
		.display_name = column_copy(query, 5, arena),
		.generation = column_int(query, 6),
		.inviter_id = column_int(query, 8),
		.limited = column_int(query, 9) != 0,
		.created_s = column_int(query, 12),
		.sent_s = column_int(query, 13),
		.expires_s = column_int(query, 14),
		.mailed_s = column_int(query, 15),
		.mail_problem = column_copy(query, 16, arena),
		.ended = (enum invite_end)column_int(query, 17),
		.ended_s = column_int(query, 18),
		.user_id = column_int(query, 19),
	};
	/* Until they are read. */
	static const char *const nothing[1] = { NULL };
	int64_t service = column_int(query, 11);
	size_t size;
	const void *uuid = column_blob(query, 1, &size);

	if (size != sizeof(row.uuid.byte))
		return err_set(err, ERR_IO, "an invite is damaged");
	memcpy(row.uuid.byte, uuid, size);
	row.scope = column_int(query, 10) != 0 ? nothing : NULL;
	row.organization = names_copy(store, NAMES_ORGANIZATION, column_int(query, 2), arena, err);
	row.actor = row.organization
			    ? names_copy(store, NAMES_GENERAL, column_int(query, 7), arena, err)
			    : NULL;
	if (!row.actor)
		return -1;
	if (service != 0) {
		row.service = names_copy(store, NAMES_ORGANIZATION, service, arena, err);
		if (!row.service)
			return -1;
	}
	*ret_invite = row;
	return arena_check(arena, err);
}

static int read_grants(struct store *store, struct invite_row *invite, struct arena *arena,
		       struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT kind, name FROM invite_grant WHERE invite = ?1 ORDER BY kind, name");
	AUTO(rows) struct rows rows = ROWS(struct invite_grant);
	struct invite_grant *grants;
	int row;

	query_int(&query, invite->id);
	while ((row = query_row(&query, err)) > 0) {
		struct invite_grant *grant = rows_add(&rows);

		if (!grant)
			break;
		grant->kind = (enum grant_kind)column_int(&query, 0);
		grant->name = names_copy(store, NAMES_GENERAL, column_int(&query, 1), arena, err);
		if (!grant->name)
			return -1;
	}
	if (row < 0 || rows_finish(&rows, arena, &grants, &invite->grant_count, err) < 0)
		return -1;
	invite->grants = grants;
	return 0;
}

static int read_scope(struct store *store, struct invite_row *invite, struct arena *arena,
		      struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT permission FROM invite_scope WHERE invite = ?1");
	AUTO(rows) struct rows rows = ROWS(const char *);
	const char **scope;
	size_t count;
	int row;

	query_int(&query, invite->id);
	while ((row = query_row(&query, err)) > 0) {
		const char **permission = rows_add(&rows);

		if (!permission)
			break;
		*permission = names_copy(store, NAMES_GENERAL, column_int(&query, 0), arena, err);
		if (!*permission)
			return -1;
	}
	if (row < 0 || rows_finish(&rows, arena, &scope, &count, err) < 0)
		return -1;
	/* A scope without anything in it allows nothing. */
	if (count > 0)
		invite->scope = scope;
	invite->scope_count = count;
	return 0;
}

static int complete(struct store *store, struct invite_row *invite, struct arena *arena,
		    struct err *err)
{
	if (read_grants(store, invite, arena, err) < 0)
		return -1;
	return invite->scope ? read_scope(store, invite, arena, err) : 0;
}

int store_invite_get(struct store *store, const struct uuid *uuid, struct arena *arena,
		     struct invite_row *ret_invite, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "SELECT " COLUMNS " FROM invite WHERE uuid = ?1");
	struct invite_row invite;
	int row;

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	row = query_row(&query, err);
	if (row == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such invite");
	if (row < 0 || from_row(&query, arena, &invite, err) < 0 ||
	    complete(store, &invite, arena, err) < 0)
		return err_wrap(err, "cannot read an invite");
	*ret_invite = invite;
	return 0;
}

int store_invite_pending(struct store *store, const char *organization, const char *email,
			 int64_t now_s, int64_t except_id, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT 1 FROM invite WHERE ended = 0 AND email = ?1 AND organization = ?2 "
		       "AND expires_s > ?3 AND id <> ?4 LIMIT 1");
	int64_t number;
	int found = names_find(store, NAMES_ORGANIZATION, organization, &number, err);

	if (found > 0) {
		query_text(&query, email);
		query_int(&query, number);
		query_int(&query, now_s);
		query_int(&query, except_id);
		found = query_row(&query, err);
	}
	return found < 0 ? err_wrap(err, "cannot look for invites") : found;
}

int store_invite_proves(struct store *store, int64_t user_id, const char *email, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT 1 FROM invite WHERE user = ?1 AND user <> 0 AND email = ?2 LIMIT 1");
	int found;

	query_int(&query, user_id);
	query_text(&query, email);
	found = query_row(&query, err);
	return found < 0 ? err_wrap(err, "cannot look for invites") : found;
}

static const char *const state_conditions[INVITE_STATES] = {
	[STATE_PENDING] = " AND ended = 0 AND expires_s > ?2",
	[STATE_EXPIRED] = " AND ended = 0 AND expires_s <= ?2",
	[STATE_ACCEPTED] = " AND ended = 1",
	[STATE_REVOKED] = " AND ended = 2",
};

static int list(struct store *store, const struct invite_query *asked, const char *sql,
		int64_t organization, struct arena *arena, struct rows *rows, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, sql);
	int row;

	query_int(&query, asked->after_id);
	query_int(&query, asked->now_s);
	query_int(&query, (int64_t)asked->limit);
	query_int(&query, organization);
	query_text(&query, asked->email);
	while ((row = query_row(&query, err)) > 0) {
		struct invite_row *invite = rows_add(rows);

		if (!invite)
			break;
		if (from_row(&query, arena, invite, err) < 0)
			return -1;
	}
	return row < 0 ? -1 : 0;
}

int store_invite_list(struct store *store, const struct invite_query *query, struct arena *arena,
		      struct invite_row **ret_invites, size_t *ret_count, struct err *err)
{
	AUTO(strbuf) struct strbuf sql = STRBUF(4096);
	AUTO(rows) struct rows rows = ROWS(struct invite_row);
	int64_t organization = 0;
	int known = 1;

	if (query->organization)
		known = names_find(store, NAMES_ORGANIZATION, query->organization, &organization,
				   err);
	/* Every parameter stands there, whether it says anything or not. */
	strbuf_puts(&sql, "SELECT " COLUMNS " FROM invite WHERE id > ?1 AND ?2 >= 0");
	if (query->state >= 0)
		strbuf_puts(&sql, state_conditions[query->state]);
	strbuf_puts(&sql, query->organization ? " AND organization = ?4" : " AND ?4 >= 0");
	strbuf_puts(&sql, query->email ? " AND email = ?5" : " AND ?5 IS NULL");
	strbuf_puts(&sql, " ORDER BY id LIMIT ?3");
	if (strbuf_failed(&sql))
		return err_set(err, ERR_MEMORY, "no memory to list invites");
	if (known < 0 || (known > 0 && list(store, query, strbuf_text(&sql), organization, arena,
					    &rows, err) < 0))
		return err_wrap(err, "cannot list invites");
	if (rows_finish(&rows, arena, ret_invites, ret_count, err) < 0)
		return -1;
	for (size_t i = 0; i < *ret_count; i++)
		if (complete(store, &(*ret_invites)[i], arena, err) < 0)
			return err_wrap(err, "cannot list invites");
	return 0;
}
