/* Fixtures of the store's tests. */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

int fixture_set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/rolebridge-store-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/store.db", fixture->folder);
	fixture->arena = arena_create(64 * 1024 * 1024);
	assert_non_null(fixture->arena);
	fixture->store = store_open(fixture->path, STORE_WRITE, &fixture->err);
	if (!fixture->store)
		fail_msg("%s", fixture->err.text);
	*state = fixture;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status, (void)type, (void)ftw;
	return remove(path);
}

int fixture_tear_down(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	arena_destroy(fixture->arena);
	nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

void reopen(struct fixture *fixture)
{
	store_close(fixture->store);
	fixture->store = store_open(fixture->path, STORE_WRITE, &fixture->err);
	if (!fixture->store)
		fail_msg("%s", fixture->err.text);
}

struct user make_user(const char *username, const char *email)
{
	static int64_t now_ms = 1700000000000;

	return (struct user){
		.uuid = uuid_create(now_ms++),
		.organization = "default",
		.username = username,
		.email = email,
		.display_name = username,
		.profile = "analyst",
		.version = 1,
		.created_s = 1700000000,
		.updated_s = 1700000000,
	};
}

int64_t add_user(struct fixture *fixture, const char *username)
{
	char email[160];
	struct user user;

	snprintf(email, sizeof(email), "%s@acme.example", username);
	user = make_user(username, email);
	ok(fixture, store_user_insert(fixture->store, &user, &fixture->err));
	assert_true(user.id > 0);
	return user.id;
}

int put_identity(struct fixture *fixture, const char *key, int64_t user_id, const char *record)
{
	struct hash128 digest = digest128(record, strlen(record));
	struct identity_row row = {
		.source = "corp",
		.key = key,
		.user_id = user_id,
		.record = record,
		.record_size = strlen(record),
		.read_s = 1700000000,
	};

	return store_identity_put(fixture->store, &row, &digest, &fixture->err);
}

struct grant make_grant(enum grant_kind kind, const char *name, const char *rule)
{
	return (struct grant){
		.kind = kind,
		.name = name,
		.origin = ORIGIN_RULE,
		.origin_id = rule,
		.origin_source = "corp",
		.given_s = 1700000000,
	};
}

int append_audit(struct fixture *fixture, const char *action, const char *object)
{
	struct audit_row row = {
		.at_s = 1700000000,
		.actor = "sync:corp",
		.action = action,
		.object = object,
		.request = "run-1",
		.detail = "{\"why\":\"a test\"}",
	};

	return store_audit_append(fixture->store, &row, &fixture->err);
}

void assert_audit_intact(struct fixture *fixture, int64_t rows)
{
	struct store_audit_cursor *cursor = store_audit_open(fixture->store, NULL, &fixture->err);
	struct audit_iterator iterator;
	struct audit_verdict verdict;

	assert_non_null(cursor);
	iterator = store_audit_iterator(cursor);
	ok(fixture, audit_verify(&iterator, &(struct audit_check){ 0 }, &verdict, &fixture->err));
	store_audit_close(cursor);
	if (!verdict.intact)
		fail_msg("%s", verdict.problem);
	assert_int_equal(verdict.rows, rows);
}

/* --- content --- */

static void hash_query(sqlite3 *db, const char *sql, struct strbuf *out)
{
	sqlite3_stmt *statement;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			int type = sqlite3_column_type(statement, i);
			const void *data = sqlite3_column_blob(statement, i);
			int size = sqlite3_column_bytes(statement, i);

			strbuf_printf(out, "%d:%d:", type, size);
			strbuf_append(out, data, (size_t)size);
		}
		strbuf_putc(out, '\n');
	}
	assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
}

static void assert_answer(sqlite3 *db, const char *sql, const char *expected)
{
	AUTO(strbuf) struct strbuf answer = STRBUF(1024 * 1024);

	hash_query(db, sql, &answer);
	assert_string_equal(strbuf_text(&answer), expected);
}

struct hash256 content_digest(const char *path)
{
	AUTO(strbuf) struct strbuf content = STRBUF(64 * 1024 * 1024);
	sqlite3_stmt *tables;
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_answer(db, "PRAGMA integrity_check", "3:2:ok\n");
	assert_answer(db, "PRAGMA foreign_key_check", "");
	assert_int_equal(sqlite3_prepare_v2(db,
					    "SELECT 'SELECT * FROM ' || name || ' ORDER BY 1' || "
					    "iif((SELECT count(*) FROM pragma_table_info(name)) > "
					    "1, ', 2', '') "
					    "FROM sqlite_schema WHERE type = 'table' ORDER BY name",
					    -1, &tables, NULL),
			 SQLITE_OK);
	while (sqlite3_step(tables) == SQLITE_ROW) {
		const char *sql = (const char *)sqlite3_column_text(tables, 0);

		strbuf_printf(&content, "%s\n", sql);
		hash_query(db, sql, &content);
	}
	sqlite3_finalize(tables);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_false(strbuf_failed(&content));
	return digest256(strbuf_text(&content), content.size);
}
