/* Sessions, their tokens, what may be used once; and the way to them from a store of version 1. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <rolebridge/store/session.h>

static const char first_schema[] =
#include "sql/0001-first.sql.h"
	;

static const char second_schema[] =
#include "sql/0002-sessions.sql.h"
	;

#define NOW 1700000000

static void begin(struct fixture *f)
{
	ok(f, store_begin(f->store, &f->err));
}

static void commit(struct fixture *f)
{
	ok(f, store_commit(f->store, &f->err));
}

static struct session make_session(int64_t user_id, const char *source, const char *name_id,
				   const char *index)
{
	static int64_t now_ms = 1700000000000;

	return (struct session){
		.uuid = uuid_create(now_ms++),
		.user_id = user_id,
		.source = source,
		.name_id = name_id,
		.name_id_format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		.session_index = index,
		.address = "192.0.2.7",
		.agent = "agent/1",
		.created_s = NOW,
		.seen_s = NOW,
		.until_s = NOW + 3600,
		.second_factor_s = NOW - 5,
	};
}

static int64_t add_session(struct fixture *f, int64_t user_id, const char *source,
			   const char *name_id, const char *index)
{
	struct session session = make_session(user_id, source, name_id, index);

	ok(f, store_session_insert(f->store, &session, &f->err));
	return session.id;
}

static struct session_token make_token(int64_t session_id, const char *text, const char *host)
{
	return (struct session_token){ .hash = digest256(text, strlen(text)),
				       .session_id = session_id,
				       .host = host,
				       .created_s = NOW };
}

/* What was appended is brought to its indexes, two rows at a time. In a transaction before and after. */
static void tidy(struct fixture *f)
{
	int more = 1;

	commit(f);
	store_set_tidy_piece(f->store, 2);
	while (more > 0)
		more = store_tidy(f->store, &f->err);
	ok(f, more);
	begin(f);
}

/* Rows may be in their indexes or not: the answers are the same. */
enum { INDEXED_NONE, INDEXED_SOME, INDEXED_ALL };

/* Users 1 (anna) and 2 (ben), source idp; a transaction is open. */
static void prepare(struct fixture *f)
{
	begin(f);
	ok(f, store_source_ensure(f->store, "idp", &f->err));
	ok(f, store_source_ensure(f->store, "other", &f->err));
	add_user(f, "anna");
	add_user(f, "ben");
}

static int64_t number(const char *path, const char *sql)
{
	sqlite3_stmt *statement;
	sqlite3 *db;
	int64_t value;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct session session, found;

	prepare(f);
	session = make_session(1, "idp", "name-1", "index-1");
	ok(f, store_session_insert(f->store, &session, &f->err));
	assert_true(session.id > 0);
	commit(f);
	reopen(f);
	ok(f, store_session_get(f->store, session.id, f->arena, &found, &f->err));
	assert_memory_equal(&found.uuid, &session.uuid, sizeof(found.uuid));
	assert_int_equal(found.user_id, 1);
	assert_string_equal(found.source, "idp");
	assert_string_equal(found.name_id, "name-1");
	assert_string_equal(found.name_id_format, session.name_id_format);
	assert_string_equal(found.session_index, "index-1");
	assert_string_equal(found.address, "192.0.2.7");
	assert_string_equal(found.agent, "agent/1");
	assert_int_equal(found.created_s, NOW);
	assert_int_equal(found.seen_s, NOW);
	assert_int_equal(found.until_s, NOW + 3600);
	assert_int_equal(found.second_factor_s, NOW - 5);
	ok(f, store_session_find(f->store, &session.uuid, f->arena, &found, &f->err));
	assert_int_equal(found.id, session.id);
	assert_int_equal(found.stage, SESSION_FULL);
	assert_int_equal(found.factor, FACTOR_NONE);
	assert_int_equal(session_signed_in_s(&found), NOW);
	session.until_s = NOW + 20;
	session.second_factor_s = 0;
	begin(f);
	ok(f, store_session_update(f->store, &session, &f->err));
	ok(f, store_session_seen(f->store, session.id, NOW + 10, &f->err));
	commit(f);
	ok(f, store_session_get(f->store, session.id, f->arena, &found, &f->err));
	assert_int_equal(found.seen_s, NOW + 10);
	assert_int_equal(found.until_s, NOW + 20);
	assert_int_equal(found.second_factor_s, 0);
}

static void test_stages(void **state)
{
	struct fixture *f = *state;
	struct session session, found;

	prepare(f);
	session = make_session(1, "idp", "name-1", "");
	session.stage = SESSION_FACTOR;
	session.factor = FACTOR_TOTP;
	session.full_until_s = NOW + 36000;
	session.signed_in_s = NOW - 7;
	ok(f, store_session_insert(f->store, &session, &f->err));
	commit(f);
	reopen(f);
	ok(f, store_session_get(f->store, session.id, f->arena, &found, &f->err));
	assert_int_equal(found.stage, SESSION_FACTOR);
	assert_int_equal(found.factor, FACTOR_TOTP);
	assert_int_equal(found.full_until_s, NOW + 36000);
	assert_int_equal(session_signed_in_s(&found), NOW - 7);
	found.stage = SESSION_FULL;
	found.factor = FACTOR_WEBAUTHN;
	found.full_until_s = 0;
	found.signed_in_s = NOW;
	begin(f);
	ok(f, store_session_update(f->store, &found, &f->err));
	commit(f);
	ok(f, store_session_get(f->store, session.id, f->arena, &session, &f->err));
	assert_int_equal(session.stage, SESSION_FULL);
	assert_int_equal(session.factor, FACTOR_WEBAUTHN);
	assert_int_equal(session.full_until_s, 0);
	assert_int_equal(session.signed_in_s, NOW);
}

/* Seeing one writes nothing else: another hand may have changed it since. */
static void test_seen_alone(void **state)
{
	struct fixture *f = *state;
	struct session session, found;

	prepare(f);
	session = make_session(1, "idp", "name-1", "");
	ok(f, store_session_insert(f->store, &session, &f->err));
	ok(f, store_session_seen(f->store, session.id, NOW + 99, &f->err));
	commit(f);
	ok(f, store_session_get(f->store, session.id, f->arena, &found, &f->err));
	assert_int_equal(found.seen_s, NOW + 99);
	assert_int_equal(found.second_factor_s, session.second_factor_s);
	assert_int_equal(found.until_s, session.until_s);
	assert_int_equal(number(f->path, "SELECT count(*) FROM session WHERE stage <> 0"), 0);
}

static void add_token_of(struct fixture *f, int64_t session_id, unsigned char number,
			 const char *host)
{
	struct session_token token = {
		.hash = { { number } }, .session_id = session_id, .host = host, .created_s = NOW
	};

	ok(f, store_session_token_add(f->store, &token, &f->err));
}

static void test_tokens_drop(void **state)
{
	struct fixture *f = *state;
	struct session session, other;

	prepare(f);
	session = make_session(1, "idp", "name-1", "");
	other = make_session(2, "idp", "name-2", "");
	ok(f, store_session_insert(f->store, &session, &f->err));
	add_token_of(f, session.id, 1, "");
	add_token_of(f, session.id, 2, "app.example");
	ok(f, store_session_insert(f->store, &other, &f->err));
	add_token_of(f, other.id, 3, "");
	ok(f, store_session_tokens_drop(f->store, session.id, &f->err));
	add_token_of(f, session.id, 4, "");
	commit(f);
	assert_int_equal(number(f->path, "SELECT count(*) FROM session_token"), 2);
	assert_int_equal(number(f->path, "SELECT count(*) FROM session_token WHERE session = 1 "
					 "AND host = ''"),
			 1);
}

/* What is not full is no sign-in: it is counted once it is, and once, whenever its indexes were filled. */
static void check_counted_once(struct fixture *f, bool index_before, bool index_after, bool ends)
{
	struct session session;

	prepare(f);
	session = make_session(1, "idp", "name-1", "");
	session.stage = SESSION_FACTOR;
	ok(f, store_session_insert(f->store, &session, &f->err));
	commit(f);
	store_set_tidy_piece(f->store, 1);
	while (index_before && store_tidy(f->store, &f->err) > 0)
		;
	assert_int_equal(number(f->path, "SELECT count(*) FROM sign_in"), 0);
	begin(f);
	session.stage = SESSION_FULL;
	ok(f, store_session_update(f->store, &session, &f->err));
	/* A step-up. */
	ok(f, store_session_update(f->store, &session, &f->err));
	commit(f);
	while (index_after && store_tidy(f->store, &f->err) > 0)
		;
	if (ends) {
		begin(f);
		ok(f, store_session_delete(f->store, session.id, &f->err));
		commit(f);
	}
	assert_int_equal(number(f->path, "SELECT coalesce(sum(n), 0) FROM sign_in"), 1);
}

static void test_counted_after_indexes(void **state)
{
	check_counted_once(*state, true, true, true);
}

static void test_counted_by_indexes(void **state)
{
	check_counted_once(*state, false, true, true);
}

static void test_counted_at_end(void **state)
{
	check_counted_once(*state, false, false, true);
}

static void test_never_full_is_not_counted(void **state)
{
	struct fixture *f = *state;
	struct session session;

	prepare(f);
	session = make_session(1, "idp", "name-1", "");
	session.stage = SESSION_ENROL;
	ok(f, store_session_insert(f->store, &session, &f->err));
	ok(f, store_session_delete(f->store, session.id, &f->err));
	commit(f);
	assert_int_equal(number(f->path, "SELECT count(*) FROM sign_in"), 0);
}

/* Codes and forms speak of a session by its number: a later one must not inherit it. */
static void test_numbers_are_not_used_again(void **state)
{
	struct fixture *f = *state;
	int64_t first, second;

	prepare(f);
	first = add_session(f, 1, "", "", "");
	ok(f, store_session_delete(f->store, first, &f->err));
	commit(f);
	reopen(f);
	begin(f);
	second = add_session(f, 1, "", "", "");
	assert_true(second > first);
	refused(f, store_session_delete(f->store, first, &f->err), ERR_NOT_FOUND, "not-found");
	commit(f);
}

static void test_not_there(void **state)
{
	struct fixture *f = *state;
	struct session session = make_session(77, "", "", ""), found;
	struct uuid uuid = uuid_create(1);

	prepare(f);
	refused(f, store_session_get(f->store, 9, f->arena, &found, &f->err), ERR_NOT_FOUND,
		"not-found");
	refused(f, store_session_find(f->store, &uuid, f->arena, &found, &f->err), ERR_NOT_FOUND,
		"not-found");
	session.id = 9;
	refused(f, store_session_update(f->store, &session, &f->err), ERR_NOT_FOUND, "not-found");
	ok(f, store_savepoint(f->store, &f->err));
	refused(f, store_session_insert(f->store, &session, &f->err), ERR_NOT_FOUND, "not-found");
	store_rollback_to(f->store);
	session = make_session(1, "nowhere", "", "");
	refused(f, store_session_insert(f->store, &session, &f->err), ERR_NOT_FOUND, "not-found");
	commit(f);
	refused(f, store_session_insert(f->store, &session, &f->err), ERR_INTERNAL, "internal");
}

struct counted {
	size_t count;
	int64_t session;
	char hosts[1024];
	int stop_at;
};

static int count_token(void *context, const struct session_token *token)
{
	struct counted *counted = context;

	assert_true(token->session_id >= counted->session);
	counted->session = token->session_id;
	counted->count++;
	snprintf(counted->hosts + strlen(counted->hosts),
		 sizeof(counted->hosts) - strlen(counted->hosts), "%s;", token->host);
	return counted->stop_at && (int)counted->count == counted->stop_at ? -1 : 0;
}

static void test_tokens(void **state)
{
	struct fixture *f = *state;
	struct counted counted = { 0 };
	struct session_token token;
	int64_t first, second;

	prepare(f);
	first = add_session(f, 1, "idp", "n", "");
	second = add_session(f, 2, "idp", "n", "");
	token = make_token(second, "b", "");
	ok(f, store_session_token_add(f->store, &token, &f->err));
	token = make_token(first, "a", "");
	ok(f, store_session_token_add(f->store, &token, &f->err));
	/* Not twice, whether it came with the session or later. */
	refused(f, store_session_token_add(f->store, &token, &f->err), ERR_CONFLICT, "conflict");
	token = make_token(second, "b", "");
	refused(f, store_session_token_add(f->store, &token, &f->err), ERR_CONFLICT, "conflict");
	token = make_token(99, "c", "");
	refused(f, store_session_token_add(f->store, &token, &f->err), ERR_NOT_FOUND, "not-found");
	token = make_token(first, "d", "app.example");
	ok(f, store_session_token_add(f->store, &token, &f->err));
	commit(f);
	ok(f, store_session_tokens_each(f->store, count_token, &counted, &f->err));
	assert_int_equal(counted.count, 3);
	counted = (struct counted){ .stop_at = 1 };
	refused(f, store_session_tokens_each(f->store, count_token, &counted, &f->err),
		ERR_CANCELLED, "cancelled");
	/* They end with their session. */
	begin(f);
	ok(f, store_session_delete(f->store, first, &f->err));
	commit(f);
	counted = (struct counted){ 0 };
	ok(f, store_session_tokens_each(f->store, count_token, &counted, &f->err));
	assert_int_equal(counted.count, 1);
	assert_string_equal(counted.hosts, ";");
}

static size_t list(struct fixture *f, const struct session_query *query, int64_t *ret_first)
{
	struct session *sessions;
	size_t count;

	ok(f, store_session_list(f->store, query, f->arena, &sessions, &count, &f->err));
	for (size_t i = 1; i < count; i++)
		assert_true(sessions[i - 1].id < sessions[i].id);
	if (ret_first)
		*ret_first = count ? sessions[0].id : 0;
	return count;
}

static void check_lists(struct fixture *f, int indexed)
{
	struct session *sessions;
	int64_t first;
	size_t count;

	prepare(f);
	for (int i = 0; i < 3; i++) {
		add_session(f, 1, "idp", "anna-n", i == 0 ? "x" : "y");
		add_session(f, 2, "idp", "ben-n", "x");
		add_session(f, 1, "", "", "");
		add_session(f, 2, "other", "anna-n", "x");
		if ((indexed == INDEXED_SOME && i == 1) || (indexed == INDEXED_ALL && i == 2))
			tidy(f);
	}
	const struct {
		const char *name;
		struct session_query query;
		size_t expected;
	} cases[] = {
		{ "all", { .limit = 100 }, 12 },
		{ "a page", { .limit = 5 }, 5 },
		{ "the next", { .limit = 10, .after_id = 5 }, 7 },
		{ "of a user", { .user_id = 1, .limit = 100 }, 6 },
		{ "of a user, page", { .user_id = 1, .limit = 100, .after_id = 5 }, 3 },
		{ "of a user at a source", { .user_id = 1, .source = "idp", .limit = 100 }, 3 },
		{ "local ones of a user", { .user_id = 1, .source = "", .limit = 100 }, 3 },
		{ "local ones", { .source = "", .limit = 100 }, 3 },
		{ "of a source", { .source = "idp", .limit = 100 }, 6 },
		{ "of nowhere", { .source = "nowhere", .limit = 100 }, 0 },
		{ "of a name", { .source = "idp", .name_id = "anna-n", .limit = 100 }, 3 },
		{ "of a name elsewhere",
		  { .source = "other", .name_id = "anna-n", .limit = 100 },
		  3 },
		{ "of a name and index",
		  { .source = "idp", .name_id = "anna-n", .session_index = "y", .limit = 100 },
		  2 },
		{ "of another's name",
		  { .user_id = 2, .source = "idp", .name_id = "anna-n", .limit = 100 },
		  0 },
		{ "the empty name", { .source = "idp", .name_id = "", .limit = 100 }, 0 },
		{ "nobody", { .user_id = 7, .limit = 100 }, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (list(f, &cases[i].query, &first) != cases[i].expected)
			fail_msg("%s: %zu", cases[i].name, list(f, &cases[i].query, NULL));
	refused(f,
		store_session_list(f->store, &(struct session_query){ .limit = 0 }, f->arena,
				   &sessions, &count, &f->err),
		ERR_INVALID, "invalid");
	refused(f,
		store_session_list(f->store, &(struct session_query){ .limit = 1, .name_id = "x" },
				   f->arena, &sessions, &count, &f->err),
		ERR_INVALID, "invalid");
	commit(f);
}

static void test_lists(void **state)
{
	check_lists(*state, INDEXED_NONE);
}

static void test_lists_of_some_in_indexes(void **state)
{
	check_lists(*state, INDEXED_SOME);
}

static void test_lists_by_indexes(void **state)
{
	check_lists(*state, INDEXED_ALL);
}

static void check_prune(struct fixture *f, int indexed)
{
	int64_t *ids;
	size_t count;

	prepare(f);
	for (int i = 0; i < 10; i++) {
		struct session session = make_session(1, "", "", "");

		session.until_s = NOW + i;
		session.seen_s = NOW - i;
		ok(f, store_session_insert(f->store, &session, &f->err));
		if ((indexed == INDEXED_SOME && i == 2) || (indexed == INDEXED_ALL && i == 9))
			tidy(f);
	}
	/* until 0 to 3 have ended; unseen since before -7: 8 and 9. */
	ok(f, store_session_prune(f->store, NOW + 3, NOW - 7, 3, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 3);
	ok(f,
	   store_session_prune(f->store, NOW + 3, NOW - 7, 100, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 3);
	ok(f,
	   store_session_prune(f->store, NOW + 3, NOW - 7, 100, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 0);
	assert_int_equal(list(f, &(struct session_query){ .limit = 100 }, NULL), 4);
	commit(f);
}

static void test_prune(void **state)
{
	check_prune(*state, INDEXED_NONE);
}

static void test_prune_of_some_in_indexes(void **state)
{
	check_prune(*state, INDEXED_SOME);
}

static void test_prune_by_indexes(void **state)
{
	check_prune(*state, INDEXED_ALL);
}

static void check_used_once(struct fixture *f, int indexed)
{
	char *huge = malloc(100001);

	memset(huge, 'a', 100000);
	huge[100000] = '\0';
	prepare(f);
	ok(f, store_used_add(f->store, "assertion", "idp", "_1", NOW, &f->err));
	refused(f, store_used_add(f->store, "assertion", "idp", "_1", NOW + 9, &f->err),
		ERR_CONFLICT, "replayed");
	/* Another kind, source or id is another one; the transaction goes on. */
	ok(f, store_used_add(f->store, "request", "idp", "_1", NOW, &f->err));
	ok(f, store_used_add(f->store, "logout", "idp", "_1", NOW + 5, &f->err));
	ok(f, store_used_add(f->store, "assertion", "other", "_1", NOW, &f->err));
	ok(f, store_used_add(f->store, "assertion", "idp", huge, NOW + 5, &f->err));
	refused(f, store_used_add(f->store, "assertion", "nowhere", "_1", NOW, &f->err),
		ERR_NOT_FOUND, "not-found");
	refused(f, store_used_add(f->store, "else", "idp", "_1", NOW, &f->err), ERR_INTERNAL,
		"internal");
	if (indexed == INDEXED_SOME)
		tidy(f);
	commit(f);
	reopen(f);
	begin(f);
	if (indexed == INDEXED_ALL)
		tidy(f);
	refused(f, store_used_add(f->store, "assertion", "idp", "_1", NOW + 9, &f->err),
		ERR_CONFLICT, "replayed");
	refused(f, store_used_add(f->store, "assertion", "idp", huge, NOW, &f->err), ERR_CONFLICT,
		"replayed");
	/* Three are void at NOW + 1. */
	assert_int_equal(store_used_prune(f->store, NOW, 100, &f->err), 0);
	assert_int_equal(store_used_prune(f->store, NOW + 1, 2, &f->err), 2);
	assert_int_equal(store_used_prune(f->store, NOW + 1, 100, &f->err), 1);
	refused(f, store_used_add(f->store, "logout", "idp", "_1", NOW, &f->err), ERR_CONFLICT,
		"replayed");
	ok(f, store_used_add(f->store, "request", "idp", "_1", NOW, &f->err));
	commit(f);
	free(huge);
}

static void test_used_once(void **state)
{
	check_used_once(*state, INDEXED_NONE);
}

static void test_used_once_by_index(void **state)
{
	check_used_once(*state, INDEXED_ALL);
}

static void test_used_once_after_a_start(void **state)
{
	check_used_once(*state, INDEXED_SOME);
}

/* Many, of requests that are undone and not, in transactions that are undone and not. */
static void test_used_up_as_written(void **state)
{
	struct fixture *f = *state;
	bool used[64] = { false };
	char id[16];

	prepare(f);
	commit(f);
	srandom(7);
	for (int round = 0; round < 200; round++) {
		bool before[64], undone = random() % 4 == 0;

		memcpy(before, used, sizeof(used));
		begin(f);
		for (int i = 0; i < 8; i++) {
			int number = (int)(random() % 64);
			bool back = random() % 3 == 0, was = used[number];

			snprintf(id, sizeof(id), "_%d", number);
			ok(f, store_savepoint(f->store, &f->err));
			if (random() % 4 == 0)
				ok(f, store_meta_set(f->store, "x", id, &f->err));
			err_clear(&f->err);
			assert_int_equal(
				store_used_add(f->store, "assertion", "idp", id, NOW, &f->err),
				was ? -1 : 0);
			used[number] = true;
			if (back) {
				store_rollback_to(f->store);
				used[number] = was;
			} else {
				ok(f, store_release(f->store, &f->err));
			}
		}
		if (undone) {
			store_rollback(f->store);
			memcpy(used, before, sizeof(used));
		} else {
			commit(f);
		}
		if (random() % 16 == 0)
			reopen(f);
		begin(f);
		if (random() % 16 == 0)
			tidy(f);
		if (random() % 16 == 0) {
			ok(f, store_used_prune(f->store, NOW + 1, 100, &f->err));
			memset(used, 0, sizeof(used));
		}
		commit(f);
	}
}

/* Another process that writes is seen. */
static void test_used_up_by_another(void **state)
{
	struct fixture *f = *state;
	struct store *other;

	prepare(f);
	ok(f, store_used_add(f->store, "assertion", "idp", "_1", NOW, &f->err));
	commit(f);
	other = store_open(f->path, STORE_WRITE, &f->err);
	assert_non_null(other);
	ok(f, store_begin(other, &f->err));
	assert_int_equal(store_used_add(other, "assertion", "idp", "_1", NOW, &f->err), -1);
	ok(f, store_used_add(other, "assertion", "idp", "_2", NOW, &f->err));
	ok(f, store_commit(other, &f->err));
	begin(f);
	assert_int_equal(store_used_add(f->store, "assertion", "idp", "_2", NOW, &f->err), -1);
	ok(f, store_used_prune(f->store, NOW + 1, 100, &f->err));
	commit(f);
	ok(f, store_begin(other, &f->err));
	ok(f, store_used_add(other, "assertion", "idp", "_1", NOW, &f->err));
	ok(f, store_commit(other, &f->err));
	store_close(other);
}

/* A request that is undone takes its own rows with it, however the others were written. */
static void test_requests_are_undone_alone(void **state)
{
	struct fixture *f = *state;
	struct session_token token;
	struct counted counted = { 0 };
	char host[16];

	prepare(f);
	commit(f);
	for (int mix = 0; mix < 16; mix++) {
		begin(f);
		for (int i = 0; i < 4; i++) {
			int64_t id;

			ok(f, store_savepoint(f->store, &f->err));
			/* Something that is written at once, before or after what waits. */
			if (mix & 1)
				ok(f, store_meta_set(f->store, "x", i & 1 ? "a" : "b", &f->err));
			id = add_session(f, 1, "idp", "n", "");
			snprintf(host, sizeof(host), "%d-%d", mix, i);
			token = make_token(id, host, host);
			ok(f, store_session_token_add(f->store, &token, &f->err));
			assert_int_equal(append_audit(f, "user.update", "user:x"), 0);
			if (mix & 2)
				ok(f, store_meta_set(f->store, "y", host, &f->err));
			if (i & 1 && mix & 4)
				store_rollback_to(f->store);
			else
				ok(f, store_release(f->store, &f->err));
		}
		if (mix & 8)
			tidy(f);
		commit(f);
	}
	/* Four a mix, and half of them where every second one was undone. */
	assert_int_equal(list(f, &(struct session_query){ .limit = 100 }, NULL), 48);
	ok(f, store_session_tokens_each(f->store, count_token, &counted, &f->err));
	assert_int_equal(counted.count, 48);
	assert_audit_intact(f, 48);
}

static void test_survives_an_undone_request(void **state)
{
	struct fixture *f = *state;

	prepare(f);
	ok(f, store_savepoint(f->store, &f->err));
	ok(f, store_used_add(f->store, "assertion", "idp", "_1", NOW, &f->err));
	add_session(f, 1, "idp", "n", "");
	store_rollback_to(f->store);
	ok(f, store_used_add(f->store, "assertion", "idp", "_1", NOW, &f->err));
	assert_int_equal(list(f, &(struct session_query){ .limit = 9 }, NULL), 0);
	commit(f);
}

static void test_identity_is_confirmed(void **state)
{
	struct fixture *f = *state;
	struct identity_row row;

	prepare(f);
	ok(f, store_source_ensure(f->store, "corp", &f->err));
	ok(f, put_identity(f, "k", 1, "record"));
	ok(f, store_identity_confirm(f->store, "corp", "k", NOW + 77, &f->err));
	refused(f, store_identity_confirm(f->store, "corp", "l", NOW, &f->err), ERR_NOT_FOUND,
		"not-found");
	commit(f);
	ok(f, store_identity_get(f->store, "corp", "k", f->arena, &row, &f->err));
	assert_int_equal(row.read_s, NOW + 77);
	assert_int_equal(row.record_size, 6);
}

static int64_t read_s_of(struct fixture *f, const char *key)
{
	struct identity_row row;

	ok(f, store_identity_get(f->store, "corp", key, f->arena, &row, &f->err));
	return row.read_s;
}

/* What a session stands for is told to its identity when it is indexed, or ends before. */
static void test_sessions_confirm_identities(void **state)
{
	struct fixture *f = *state;
	struct session session;
	int64_t before;

	prepare(f);
	ok(f, store_source_ensure(f->store, "corp", &f->err));
	ok(f, put_identity(f, "k", 1, "record"));
	ok(f, put_identity(f, "l", 2, "record"));
	before = read_s_of(f, "k");
	for (int i = 0; i < 3; i++) {
		session = make_session(1, "corp", "", "");
		session.created_s = before + (i == 1 ? 90 : 50);
		ok(f, store_session_insert_confirming(f->store, &session, "k", &f->err));
	}
	session = make_session(1, "corp", "", "");
	ok(f, store_session_insert_confirming(f->store, &session, "nobody", &f->err));
	assert_int_equal(read_s_of(f, "k"), before);
	tidy(f);
	assert_int_equal(read_s_of(f, "k"), before + 90);
	assert_int_equal(read_s_of(f, "l"), before);
	session = make_session(1, "corp", "", "");
	session.created_s = before + 200;
	ok(f, store_session_insert_confirming(f->store, &session, "k", &f->err));
	ok(f, store_session_delete(f->store, session.id, &f->err));
	assert_int_equal(read_s_of(f, "k"), before + 200);
	/* Never back. */
	session = make_session(1, "corp", "", "");
	session.created_s = before + 100;
	ok(f, store_session_insert_confirming(f->store, &session, "k", &f->err));
	tidy(f);
	assert_int_equal(read_s_of(f, "k"), before + 200);
	commit(f);
}

static size_t audit_about(struct fixture *f, const struct audit_query *query, int64_t *ret_first)
{
	struct store_audit_cursor *cursor = store_audit_open(f->store, query, &f->err);
	struct audit_iterator iterator;
	struct audit_row row;
	int64_t last = 0;
	size_t count = 0;

	assert_non_null(cursor);
	iterator = store_audit_iterator(cursor);
	while (iterator.next(iterator.context, &row, &f->err) > 0) {
		if (count++ == 0 && ret_first)
			*ret_first = row.seq;
		assert_true(last == 0 || (query->newest_first ? row.seq < last : row.seq > last));
		last = row.seq;
		if (query->object)
			assert_string_equal(row.object, query->object);
		if (query->request)
			assert_string_equal(row.request, query->request);
	}
	store_audit_close(cursor);
	return count;
}

#define REQUEST "01890a5d-ac96-774b-bcce-b302099a8057"

static void check_audit(struct fixture *f, int indexed)
{
	static const char user[] = "user:01890a5d-ac96-774b-bcce-b302099a8058";
	int64_t first;

	begin(f);
	for (int i = 0; i < 10; i++) {
		struct audit_row row = { .at_s = NOW + i,
					 .actor = "unix:anna",
					 .action = i < 5 ? "login" : "session.end",
					 .object = i & 1 ? user : "source:idp",
					 .request = i % 3 == 0	 ? REQUEST
						    : i % 3 == 1 ? ""
								 : "r",
					 .detail = "{}" };

		ok(f, store_audit_append(f->store, &row, &f->err));
		if ((indexed == INDEXED_SOME && i == 4) || (indexed == INDEXED_ALL && i == 9))
			tidy(f);
	}
	commit(f);

	const struct {
		const char *name;
		struct audit_query query;
		size_t expected;
		int64_t first;
	} cases[] = {
		{ "about a user", { .object = user }, 5, 2 },
		{ "about a source", { .object = "source:idp" }, 5, 1 },
		{ "newest first", { .object = user, .newest_first = true }, 5, 10 },
		{ "a page", { .object = user, .limit = 2, .after_seq = 4 }, 2, 6 },
		{ "with all else",
		  { .object = user, .action = "login", .from_s = NOW + 2, .to_s = NOW + 9 },
		  1,
		  4 },
		{ "of a request", { .request = REQUEST }, 4, 1 },
		{ "of a request and object", { .request = REQUEST, .object = user }, 2, 4 },
		{ "of a request by name", { .request = "r" }, 3, 3 },
		{ "of none", { .request = "" }, 3, 2 },
		{ "of an unknown one",
		  { .request = "01890a5d-ac96-774b-bcce-b302099a8000" },
		  0,
		  0 },
		{ "about nobody", { .object = "user:x" }, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		first = 0;
		if (audit_about(f, &cases[i].query, &first) != cases[i].expected ||
		    first != cases[i].first)
			fail_msg("%s: %zu, %lld", cases[i].name,
				 audit_about(f, &cases[i].query, NULL), (long long)first);
	}
	assert_audit_intact(f, 10);
}

static void test_audit_by_object(void **state)
{
	check_audit(*state, INDEXED_NONE);
}

static void test_audit_by_object_of_some_in_index(void **state)
{
	check_audit(*state, INDEXED_SOME);
}

static void test_audit_by_object_by_index(void **state)
{
	check_audit(*state, INDEXED_ALL);
}

static void test_users_unread(void **state)
{
	struct fixture *f = *state;
	struct user user;
	int64_t *ids;
	size_t count;

	prepare(f);
	ok(f, store_source_ensure(f->store, "corp", &f->err));
	ok(f, put_identity(f, "a", 1, "record"));
	ok(f, put_identity(f, "b", 2, "record"));
	ok(f, put_identity(f, "c", 2, "record"));
	ok(f, store_users_unread(f->store, "corp", NOW, 0, 9, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_users_unread(f->store, "corp", NOW + 1, 0, 9, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 2);
	ok(f, store_users_unread(f->store, "corp", NOW + 1, 1, 9, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 2);
	ok(f, store_users_unread(f->store, "idp", NOW + 1, 0, 9, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_user_get(f->store, 2, f->arena, &user, &f->err));
	user.version++;
	user.disabled = DISABLED_BY_HAND;
	ok(f, store_user_update(f->store, &user, &f->err));
	ok(f, store_users_unread(f->store, "corp", NOW + 1, 0, 9, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 1);
	commit(f);
}

static void test_quarantine_by_key(void **state)
{
	struct fixture *f = *state;
	struct quarantine_row row = { "idp", "cn=a", "key-1", "invalid-utf8", "", NOW, NOW };

	prepare(f);
	ok(f, store_quarantine_put(f->store, &row, &f->err));
	assert_int_equal(store_quarantine_has_key(f->store, "idp", "key-1", &f->err), 1);
	assert_int_equal(store_quarantine_has_key(f->store, "idp", "cn=a", &f->err), 0);
	assert_int_equal(store_quarantine_has_key(f->store, "other", "key-1", &f->err), 0);
	assert_int_equal(store_quarantine_has_key(f->store, "nowhere", "key-1", &f->err), 0);
	commit(f);
}

/* --- the way from version 1 --- */

static void raw(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
}

static void make_version_1(const char *path)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	raw(db, "PRAGMA page_size = 2048; PRAGMA journal_mode = WAL");
	raw(db, first_schema);
	raw(db, "PRAGMA application_id = 1382826610; PRAGMA user_version = 1");
	raw(db, "INSERT INTO meta (name, value) VALUES ('kept', 'yes');"
		"INSERT INTO source (name) VALUES ('corp')");
	sqlite3_close(db);
}

static void test_migrates_from_version_1(void **state)
{
	struct fixture *f = *state;
	const char *value;

	store_close(f->store);
	snprintf(f->path, sizeof(f->path), "%s/old.db", f->folder);
	make_version_1(f->path);
	/* Who only reads does not migrate. */
	f->store = store_open(f->path, STORE_READ, &f->err);
	assert_null(f->store);
	assert_string_equal(err_reason(&f->err), "store-not-ready");
	assert_int_equal(number(f->path, "PRAGMA user_version"), 1);
	reopen(f);
	assert_int_equal(number(f->path, "PRAGMA user_version"), TEST_SCHEMA_VERSION);
	ok(f, store_meta_get(f->store, "kept", f->arena, &value, &f->err));
	assert_string_equal(value, "yes");
	prepare(f);
	add_session(f, 1, "corp", "n", "");
	ok(f, store_used_add(f->store, "assertion", "corp", "_1", NOW, &f->err));
	commit(f);
	reopen(f);
	assert_int_equal(list(f, &(struct session_query){ .limit = 9 }, NULL), 1);
}

/* Sessions, what was used up and the audit log are found as before. */
static void test_migrates_from_version_2(void **state)
{
	struct fixture *f = *state;
	struct counted counted = { 0 };
	sqlite3 *db;

	store_close(f->store);
	f->store = NULL;
	snprintf(f->path, sizeof(f->path), "%s/older.db", f->folder);
	make_version_1(f->path);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	raw(db, second_schema);
	raw(db, "PRAGMA user_version = 2;"
		"INSERT INTO user (uuid, organization, username, email, display_name, "
		"display_folded, profile, disabled, is_protected, version, created_s, updated_s) "
		"VALUES (randomblob(16), 1, 'anna', '', '', '', 0, 0, 0, 1, 1, 1);"
		"INSERT INTO session (uuid, user, source, name_id, name_id_format, session_index, "
		"address, agent, created_s, seen_s, until_s, second_factor_s) "
		"VALUES (randomblob(16), 1, 1, 'n', 0, '', '', '', 1, 1, 2, 0);"
		"INSERT INTO session_token VALUES (1, randomblob(32), '', 1);"
		"INSERT INTO audit VALUES (1, 1, 0, 0, 'source:corp', 0, '{}', randomblob(32))");
	sqlite3_close(db);
	reopen(f);
	assert_int_equal(number(f->path, "PRAGMA user_version"), TEST_SCHEMA_VERSION);
	begin(f);
	add_session(f, 1, "corp", "n", "");
	commit(f);
	assert_int_equal(list(f, &(struct session_query){ .user_id = 1, .limit = 9 }, NULL), 2);
	assert_int_equal(
		list(f, &(struct session_query){ .source = "corp", .name_id = "n", .limit = 9 },
		     NULL),
		2);
	ok(f, store_session_tokens_each(f->store, count_token, &counted, &f->err));
	assert_int_equal(counted.count, 1);
	assert_int_equal(audit_about(f, &(struct audit_query){ .object = "source:corp" }, NULL), 1);
}

/* What is in the way is said, and nothing of the step stays. */
static void test_migration_is_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	store_close(f->store);
	snprintf(f->path, sizeof(f->path), "%s/odd.db", f->folder);
	make_version_1(f->path);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	raw(db, "CREATE TABLE used_once (x)");
	sqlite3_close(db);
	f->store = store_open(f->path, STORE_WRITE, &f->err);
	assert_null(f->store);
	assert_non_null(strstr(f->err.text, "version 2"));
	assert_int_equal(number(f->path, "PRAGMA user_version"), 1);
	assert_int_equal(number(f->path, "SELECT count(*) FROM sqlite_schema "
					 "WHERE name = 'session'"),
			 0);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	raw(db, "DROP TABLE used_once");
	sqlite3_close(db);
	reopen(f);
	assert_int_equal(number(f->path, "PRAGMA user_version"), TEST_SCHEMA_VERSION);
}

/* Each question has its index: with very many sessions nothing is looked through. */
static void test_plans_use_indexes(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *sql, *index;
	} cases[] = {
		{ "void identifiers", "SELECT id FROM used_once WHERE until_s < ?1",
		  "used_once_until" },
		{ "by name",
		  "SELECT id FROM session WHERE source = ?1 AND name_id = ?2 AND name_id <> '' "
		  "AND indexed = 1",
		  "session_name" },
		{ "by user", "SELECT id FROM session WHERE user = ?1 AND indexed = 1",
		  "session_user" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char sql[256];
		sqlite3_stmt *statement;
		sqlite3 *db;

		snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", cases[i].sql);
		assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
		if (!strstr((const char *)sqlite3_column_text(statement, 3), cases[i].index))
			fail_msg("%s: %s", cases[i].name, sqlite3_column_text(statement, 3));
		sqlite3_finalize(statement);
		sqlite3_close(db);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_stages),
		TEST(test_seen_alone),
		TEST(test_tokens_drop),
		TEST(test_counted_after_indexes),
		TEST(test_counted_by_indexes),
		TEST(test_counted_at_end),
		TEST(test_never_full_is_not_counted),
		TEST(test_numbers_are_not_used_again),
		TEST(test_not_there),
		TEST(test_tokens),
		TEST(test_lists),
		TEST(test_lists_of_some_in_indexes),
		TEST(test_lists_by_indexes),
		TEST(test_prune),
		TEST(test_prune_of_some_in_indexes),
		TEST(test_prune_by_indexes),
		TEST(test_used_once),
		TEST(test_used_once_by_index),
		TEST(test_used_once_after_a_start),
		TEST(test_used_up_as_written),
		TEST(test_used_up_by_another),
		TEST(test_requests_are_undone_alone),
		TEST(test_sessions_confirm_identities),
		TEST(test_audit_by_object),
		TEST(test_audit_by_object_of_some_in_index),
		TEST(test_audit_by_object_by_index),
		TEST(test_survives_an_undone_request),
		TEST(test_identity_is_confirmed),
		TEST(test_users_unread),
		TEST(test_quarantine_by_key),
		TEST(test_migrates_from_version_1),
		TEST(test_migrates_from_version_2),
		TEST(test_migration_is_whole_or_not_at_all),
		TEST(test_plans_use_indexes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
