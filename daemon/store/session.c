/*
 * Sessions, their tokens, and what may be used once. Enters: rows, identifiers of the other side.
 * Leaves: the same. Fails as the store does; an identifier used before is a conflict that
 * spoils nothing, so that the refusal itself can be written.
 *
 * Identifiers are kept as digests: the other side chooses them, and two with one digest would only
 * be refused.
 */
#include <rolebridge/store/session.h>

#include <string.h>

#include "db.h"

#define LIST_MAX 10000

/* --- sessions --- */

static int source_number(struct store *store, const char *source, int64_t *ret_id, struct err *err)
{
	*ret_id = 0;
	return source[0] == '\0' ? 0 : names_source(store, source, ret_id, err);
}

static void bind_session(struct query *query, const struct session *session, int64_t source,
			 int64_t format, int64_t identity)
{
	query_int(query, session->id);
	query_blob(query, session->uuid.byte, sizeof(session->uuid.byte));
	query_int(query, session->user_id);
	query_int(query, source);
	query_text(query, session->name_id);
	query_int(query, format);
	query_text(query, session->session_index);
	query_text(query, session->address);
	query_text(query, session->agent);
	query_int(query, session->created_s);
	query_int(query, session->seen_s);
	query_int(query, session->until_s);
	query_int(query, session->second_factor_s);
	query_int(query, identity);
	query_int(query, session->stage);
	query_int(query, session->factor);
	query_int(query, session->full_until_s);
	query_int(query, session->signed_in_s);
}

/* The number after the last one that was ever given. */
static int session_number(struct store *store, int64_t *ret_id, struct err *err)
{
	if (store_know_last(store, err) < 0)
		return -1;
	if (!store->session_known) {
		AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_LAST);

		if (query_number(&query, &store->last_session, err) < 0)
			return -1;
		store->session_known = true;
	}
	*ret_id = store->last_session + 1;
	return 0;
}

/* 0 when there is no such identity: then nothing is confirmed. */
static int confirmed_identity(struct store *store, int64_t source, const char *key, int64_t *ret_id,
			      struct err *err)
{
	*ret_id = 0;
	if (!key)
		return 0;
	return late_key_owner(store, source, key, ret_id, err) < 0 ? -1 : 0;
}

static int run_for(struct store *store, enum statement_id what, int64_t id, struct err *err)
{
	AUTO(query) struct query query = query_open(store, what);

	query_int(&query, id);
	return query_run(&query, err);
}

/* One in many has any of these: the others are not to carry columns more. */
static int write_rare(struct store *store, const struct session *session, struct err *err)
{
	if (!session->by_link && session->device_by == FACTOR_NONE && !session->idp_asked)
		return 0;

	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_RARE);

	query_int(&query, session->id);
	query_int(&query, session->by_link);
	query_int(&query, session->device_by);
	query_int(&query, session->idp_asked);
	return query_run(&query, err) < 0 ? -1 : 0;
}

static int session_insert(struct store *store, struct session *session, const char *key,
			  struct err *err)
{
	struct session numbered = *session;
	int64_t source, format, identity;

	if (store_may_write(store, err) < 0 ||
	    source_number(store, session->source, &source, err) < 0 ||
	    names_ensure(store, NAMES_GENERAL, session->name_id_format, &format, err) < 0 ||
	    store_check_user(store, session->user_id, err) < 0 ||
	    confirmed_identity(store, source, key, &identity, err) < 0 ||
	    session_number(store, &numbered.id, err) < 0)
		return -1;

	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_INSERT);

	bind_session(&query, &numbered, source, format, identity);
	if (query_run(&query, err) < 0)
		return -1;
	store->last_session = store->bare_session = session->id = numbered.id;
	store->late_rows++;
	return write_rare(store, session, err);
}

static int insert_or_say(struct store *store, struct session *session, const char *key,
			 struct err *err)
{
	return session_insert(store, session, key, err) < 0
		       ? err_wrap(err, "cannot store a session of user %lld",
				  (long long)session->user_id)
		       : 0;
}

int store_session_insert(struct store *store, struct session *session, struct err *err)
{
	return insert_or_say(store, session, NULL, err);
}

int store_session_insert_confirming(struct store *store, struct session *session, const char *key,
				    struct err *err)
{
	return insert_or_say(store, session, key, err);
}

static int session_changed(int changed, int64_t id, struct err *err)
{
	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "no session %lld", (long long)id);
	return changed < 0 ? err_wrap(err, "cannot write session %lld", (long long)id) : 0;
}

/* A sign-in is counted once its session is full, whether or not its indexes were filled before. */
int store_session_update(struct store *store, const struct session *session, struct err *err)
{
	if (session->stage == SESSION_FULL &&
	    run_for(store, STATEMENT_SIGN_IN_COUNT_LATE, session->id, err) < 0)
		return err_wrap(err, "cannot write session %lld", (long long)session->id);

	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_UPDATE);

	query_int(&query, session->id);
	query_int(&query, session->until_s);
	query_int(&query, session->second_factor_s);
	query_int(&query, session->stage);
	query_int(&query, session->factor);
	query_int(&query, session->full_until_s);
	query_int(&query, session->signed_in_s);
	return session_changed(query_run(&query, err), session->id, err);
}

int store_session_put_back(struct store *store, const struct session *session, struct err *err)
{
	if (run_for(store, STATEMENT_SIGN_IN_COUNT, session->id, err) < 0 ||
	    run_for(store, STATEMENT_SESSION_COUNTED, session->id, err) < 0)
		return err_wrap(err, "cannot write session %lld", (long long)session->id);
	return store_session_update(store, session, err);
}

int store_session_seen(struct store *store, int64_t id, int64_t seen_s, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_SEEN);

	query_int(&query, id);
	query_int(&query, seen_s);
	return session_changed(query_run(&query, err), id, err);
}

/* What would be done with it in idle time is done now. */
int store_session_delete(struct store *store, int64_t id, struct err *err)
{
	if (run_for(store, STATEMENT_SESSION_CONFIRM, id, err) < 0 ||
	    run_for(store, STATEMENT_SIGN_IN_COUNT, id, err) < 0)
		return err_wrap(err, "cannot end session %lld", (long long)id);

	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_DELETE);

	query_int(&query, id);
	return session_changed(query_run(&query, err), id, err);
}

static const char *source_copy(struct store *store, int64_t id, struct arena *arena,
			       struct err *err)
{
	return id == 0 ? "" : names_copy(store, NAMES_SOURCE, id, arena, err);
}

static int session_from_row(const struct query *query, struct arena *arena,
			    struct session *ret_session, struct err *err)
{
	size_t size;
	const void *uuid = column_blob(query, 1, &size);
	struct session session = {
		.id = column_int(query, 0),
		.user_id = column_int(query, 2),
		.source = source_copy(query->store, column_int(query, 3), arena, err),
		.name_id = column_copy(query, 4, arena),
		.name_id_format =
			names_copy(query->store, NAMES_GENERAL, column_int(query, 5), arena, err),
		.session_index = column_copy(query, 6, arena),
		.address = column_copy(query, 7, arena),
		.agent = column_copy(query, 8, arena),
		.created_s = column_int(query, 9),
		.seen_s = column_int(query, 10),
		.until_s = column_int(query, 11),
		.second_factor_s = column_int(query, 12),
		.stage = (enum session_stage)column_int(query, 13),
		.factor = (enum factor_method)column_int(query, 14),
		.full_until_s = column_int(query, 15),
		.signed_in_s = column_int(query, 16),
		.by_link = column_int(query, 17) != 0,
		.device_by = (enum factor_method)column_int(query, 18),
		.idp_asked = column_int(query, 19) != 0,
	};

	if (!session.source || !session.name_id_format)
		return -1;
	if (size != sizeof(session.uuid.byte))
		return err_refuse(err, ERR_IO, "store-damaged", "a session has no uuid");
	memcpy(session.uuid.byte, uuid, size);
	if (arena_check(arena, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

static int session_one(struct query *query, struct arena *arena, struct session *ret_session,
		       struct err *err)
{
	int row = query_row(query, err);

	if (row == 0)
		return err_set(err, ERR_NOT_FOUND, "no such session");
	if (row < 0 || session_from_row(query, arena, ret_session, err) < 0)
		return err_wrap(err, "cannot read a session");
	return 0;
}

int store_session_get(struct store *store, int64_t id, struct arena *arena,
		      struct session *ret_session, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_GET);

	query_int(&query, id);
	return session_one(&query, arena, ret_session, err);
}

int store_session_find(struct store *store, const struct uuid *uuid, struct arena *arena,
		       struct session *ret_session, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_SESSION_FIND);

	query_blob(&query, uuid->byte, sizeof(uuid->byte));
	return session_one(&query, arena, ret_session, err);
}

static enum statement_id list_statement(const struct session_query *query)
{
	if (query->user_id != 0)
		return STATEMENT_SESSION_LIST_USER;
	return query->source && query->name_id && query->name_id[0] ? STATEMENT_SESSION_LIST_NAME
								    : STATEMENT_SESSION_LIST;
}

static void bind_optional(struct query *query, bool given, int64_t value)
{
	if (given)
		query_int(query, value);
	else
		query_text(query, NULL);
}

static int session_rows(struct store *store, const struct session_query *wanted, int64_t source,
			struct arena *arena, struct rows *rows, struct err *err)
{
	AUTO(query) struct query query = query_open(store, list_statement(wanted));
	int row;

	query_int(&query, wanted->user_id);
	bind_optional(&query, wanted->source != NULL, source);
	query_text(&query, wanted->name_id);
	query_text(&query, wanted->session_index);
	query_int(&query, wanted->after_id);
	query_int(&query, (int64_t)wanted->limit);
	while ((row = query_row(&query, err)) > 0) {
		struct session *session = rows_add(rows);

		if (!session)
			return 0;
		if (session_from_row(&query, arena, session, err) < 0)
			return -1;
	}
	return row;
}

int store_session_list(struct store *store, const struct session_query *query, struct arena *arena,
		       struct session **ret_sessions, size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(struct session);
	int64_t source = 0;
	int found = 1;

	if (query->limit == 0 || query->limit > LIST_MAX)
		return err_set(err, ERR_INVALID, "a list has 1 to %d sessions", LIST_MAX);
	if (query->name_id && !query->source)
		return err_set(err, ERR_INVALID, "a name needs its source");
	if (query->source && query->source[0])
		found = names_find(store, NAMES_SOURCE, query->source, &source, err);
	/* Names are asked for at their source; the empty one is nobody's. */
	if (found > 0 && query->name_id && !query->name_id[0])
		found = 0;
	if (found > 0 && session_rows(store, query, source, arena, &rows, err) < 0)
		found = -1;
	if (found < 0 || rows_finish(&rows, arena, ret_sessions, ret_count, err) < 0)
		return err_wrap(err, "cannot list sessions");
	return 0;
}

/* --- tokens --- */

static void bind_token(struct query *query, const struct session_token *token)
{
	query_int(query, token->session_id);
	query_blob(query, token->hash.byte, sizeof(token->hash.byte));
	query_text(query, token->host);
	query_int(query, token->created_s);
}

/* Of a session that was just inserted: nothing of it can be missing, or there already. */
static int token_first(struct store *store, const struct session_token *token, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_TOKEN_FIRST);

	bind_token(&query, token);
	store->bare_session = 0;
	return query_run(&query, err);
}

static int token_add(struct store *store, const struct session_token *token, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_TOKEN_ADD);
	int added;

	bind_token(&query, token);
	added = query_try(&query, err);
	if (added == -2 && query.rc == SQLITE_CONSTRAINT_FOREIGNKEY)
		return err_set(err, ERR_NOT_FOUND, "no session %lld", (long long)token->session_id);
	if (added == -2)
		return err_set(err, ERR_CONFLICT, "the token is there already");
	return added;
}

int store_session_token_add(struct store *store, const struct session_token *token, struct err *err)
{
	bool first = token->session_id != 0 && token->session_id == store->bare_session;
	int added = first ? token_first(store, token, err) : token_add(store, token, err);

	return added < 0 ? err_wrap(err, "cannot store a token") : 0;
}

int store_session_tokens_drop(struct store *store, int64_t session_id, struct err *err)
{
	return run_for(store, STATEMENT_TOKENS_DROP, session_id, err) < 0
		       ? err_wrap(err, "cannot end the tokens of session %lld",
				  (long long)session_id)
		       : 0;
}

static int token_from_row(const struct query *query, struct session_token *ret_token,
			  struct err *err)
{
	size_t size;
	const void *hash = column_blob(query, 1, &size);

	*ret_token = (struct session_token){ .session_id = column_int(query, 0),
					     .host = column_text(query, 2),
					     .created_s = column_int(query, 3) };
	if (size != sizeof(ret_token->hash.byte))
		return err_refuse(err, ERR_IO, "store-damaged", "a token has no hash");
	memcpy(ret_token->hash.byte, hash, size);
	return 0;
}

int store_session_tokens_each(struct store *store,
			      int (*each)(void *context, const struct session_token *token),
			      void *context, struct err *err)
{
	AUTO(query) struct query query = query_open(store, STATEMENT_TOKEN_EACH);
	int row;

	while ((row = query_row(&query, err)) > 0) {
		struct session_token token;

		if (token_from_row(&query, &token, err) < 0)
			return -1;
		if (each(context, &token) < 0)
			return err_set(err, ERR_CANCELLED, "stopped by the reader");
	}
	return row < 0 ? err_wrap(err, "cannot read the tokens of sessions") : 0;
}

/* --- the end of sessions --- */

static int ids_read(struct store *store, enum statement_id id, int64_t before_s, size_t limit,
		    struct rows *rows, struct err *err)
{
	AUTO(query) struct query query = query_open(store, id);
	int row;

	query_int(&query, before_s);
	query_int(&query, (int64_t)limit);
	while ((row = query_row(&query, err)) > 0) {
		int64_t *session = rows_add(rows);

		if (!session)
			return 0;
		*session = column_int(&query, 0);
	}
	return row;
}

static int prune_by(struct store *store, enum statement_id id, int64_t before_s, size_t limit,
		    struct rows *rows, struct err *err)
{
	size_t at = rows->count;

	if (ids_read(store, id, before_s, limit - at, rows, err) < 0)
		return -1;
	for (; !rows->failed && at < rows->count; at++)
		if (store_session_delete(store, ((const int64_t *)(void *)rows->data)[at], err) < 0)
			return -1;
	return 0;
}

int store_session_prune(struct store *store, int64_t now_s, int64_t idle_before_s, size_t limit,
			struct arena *arena, int64_t **ret_ids, size_t *ret_count, struct err *err)
{
	AUTO(rows) struct rows rows = ROWS(int64_t);

	if (limit == 0 || limit > LIST_MAX)
		return err_set(err, ERR_INVALID, "1 to %d sessions end at once", LIST_MAX);
	if (store_may_write(store, err) < 0 ||
	    prune_by(store, STATEMENT_SESSION_EXPIRED, now_s, limit, &rows, err) < 0 ||
	    prune_by(store, STATEMENT_SESSION_IDLE, idle_before_s, limit, &rows, err) < 0 ||
	    rows_finish(&rows, arena, ret_ids, ret_count, err) < 0)
		return err_wrap(err, "cannot end expired sessions");
	return 0;
}

/* --- what may be used once --- */

/* Stored as their place here: never renumber. */
static const char *const used_kinds[] = { NULL, "assertion", "request", "logout" };

static int used_kind(const char *kind, int64_t *ret_kind, struct err *err)
{
	for (size_t i = 1; i < ARRAY_LEN(used_kinds); i++)
		if (strcmp(used_kinds[i], kind) == 0) {
			*ret_kind = (int64_t)i;
			return 0;
		}
	return err_set(err, ERR_INTERNAL, "'%s' is nothing that is used once", kind);
}

/* Earlier than what is in memory: 1, 0, -1. */
static int is_used(struct store *store, int64_t kind, int64_t source, const struct hash128 *digest,
		   struct err *err)
{
	int found = used_has(store, used_key(kind, source, *digest), err);

	if (found)
		return found;

	AUTO(query) struct query query = query_open(store, STATEMENT_USED_HAS);

	query_int(&query, kind);
	query_int(&query, source);
	query_blob(&query, digest, sizeof(*digest));
	return query_row(&query, err);
}

/* The row may not be added without what finds it again. */
static int use_up(struct store *store, int64_t kind, int64_t source, const struct hash128 *digest,
		  int64_t until_s, struct err *err)
{
	struct err cause = { 0 };

	if (used_put(store, used_key(kind, source, *digest), &cause) < 0) {
		if (err)
			*err = cause;
		return store_spoil(store, &cause);
	}

	AUTO(query) struct query query = query_open(store, STATEMENT_USED_ADD);

	query_int(&query, kind);
	query_int(&query, source);
	query_blob(&query, digest, sizeof(*digest));
	query_int(&query, until_s);
	store->late_rows++;
	return query_run(&query, err);
}

int store_used_add(struct store *store, const char *kind, const char *source, const char *id,
		   int64_t until_s, struct err *err)
{
	struct hash128 digest = digest128(id, strlen(id));
	int64_t kind_number = 0, source_id;
	int used;

	if (used_kind(kind, &kind_number, err) < 0 || store_may_write(store, err) < 0 ||
	    names_source(store, source, &source_id, err) < 0)
		return err_wrap(err, "cannot use up %s '%s'", kind, id);
	used = is_used(store, kind_number, source_id, &digest, err);
	if (used > 0)
		return err_refuse(err, ERR_CONFLICT, "replayed", "%s '%s' of '%s' was used before",
				  kind, id, source);
	if (used == 0)
		used = use_up(store, kind_number, source_id, &digest, until_s, err);
	return used < 0 ? err_wrap(err, "cannot use up %s '%s'", kind, id) : 0;
}

int store_used_prune(struct store *store, int64_t before_s, size_t limit, struct err *err)
{
	int gone = store_may_write(store, err);

	if (gone == 0)
		gone = used_move(store, err);
	if (gone == 0) {
		AUTO(query) struct query query = query_open(store, STATEMENT_USED_PRUNE);

		query_int(&query, before_s);
		query_int(&query, limit > INT32_MAX ? INT32_MAX : (int64_t)limit);
		gone = query_run(&query, err);
	}
	return gone < 0 ? err_wrap(err, "cannot forget what was used") : gone;
}
