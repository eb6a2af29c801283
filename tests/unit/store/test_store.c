/* The store as a whole: opening, versions, transactions, savepoints, handles, users. */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

static void raw(const char *path, const char *sql)
{
	char *message = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", sql, message);
	sqlite3_close(db);
}

static int64_t raw_number(const char *path, const char *sql)
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

static int64_t total_users(struct fixture *fixture)
{
	struct user_counts counts;

	ok(fixture, store_user_counts(fixture->store, NULL, &counts, &fixture->err));
	return counts.total;
}

/* --- opening --- */

static void test_migrates_an_empty_file(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(raw_number(fixture->path, "PRAGMA user_version"), TEST_SCHEMA_VERSION);
	assert_int_equal(raw_number(fixture->path, "SELECT count(*) FROM organization "
						   "WHERE name = 'default'"),
			 1);
	reopen(fixture);
}

static void test_refuses_a_newer_schema(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	raw(fixture->path, "PRAGMA user_version = 99");
	fixture->store = store_open(fixture->path, STORE_WRITE, &fixture->err);
	assert_null(fixture->store);
	assert_int_equal(fixture->err.code, ERR_CONFLICT);
	assert_string_equal(err_reason(&fixture->err), "schema-newer");
	assert_non_null(strstr(fixture->err.text, "99"));
	assert_null(store_open(fixture->path, STORE_READ, &fixture->err));
	assert_int_equal(raw_number(fixture->path, "PRAGMA user_version"), 99);
}

static void test_refuses_the_database_of_another_program(void **state)
{
	struct fixture *fixture = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/other.db", fixture->folder);
	raw(path, "CREATE TABLE theirs (x)");
	assert_null(store_open(path, STORE_WRITE, &fixture->err));
	assert_int_equal(fixture->err.code, ERR_INVALID);
	assert_int_equal(raw_number(path, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void test_refuses_what_is_no_store(void **state)
{
	struct fixture *fixture = *state;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/text.db", fixture->folder);
	file = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", file);
	fclose(file);
	assert_null(store_open(path, STORE_WRITE, &fixture->err));
	assert_int_equal(fixture->err.code, ERR_IO);
	assert_string_equal(err_reason(&fixture->err), "store-damaged");

	assert_null(store_open(fixture->folder, STORE_WRITE, &fixture->err));
	assert_int_equal(fixture->err.code, ERR_INVALID);
	snprintf(path, sizeof(path), "%s/absent/store.db", fixture->folder);
	assert_null(store_open(path, STORE_WRITE, &fixture->err));
	assert_int_equal(fixture->err.code, ERR_IO);
	snprintf(path, sizeof(path), "%s/absent.db", fixture->folder);
	assert_null(store_open(path, STORE_READ, &fixture->err));
	assert_int_equal(fixture->err.code, ERR_IO);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_a_reader_waits_for_the_set_up(void **state)
{
	struct fixture *fixture = *state;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/empty.db", fixture->folder);
	file = fopen(path, "w");
	fclose(file);
	assert_null(store_open(path, STORE_READ, &fixture->err));
	assert_int_equal(fixture->err.code, ERR_UNAVAILABLE);
	assert_string_equal(err_reason(&fixture->err), "store-not-ready");
}

static mode_t mode_of(struct fixture *fixture, const char *suffix)
{
	struct stat status;
	char path[128];

	snprintf(path, sizeof(path), "%s%s", fixture->path, suffix);
	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 0777;
}

static void test_files_are_private(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "anna");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(mode_of(fixture, ""), 0600);
	assert_int_equal(mode_of(fixture, "-wal"), 0600);
	assert_int_equal(mode_of(fixture, "-shm"), 0600);
	assert_int_equal(chmod(fixture->path, 0644), 0);
	reopen(fixture);
	assert_int_equal(mode_of(fixture, ""), 0600);
}

/* Overwrites a page in the middle, where rows lie. */
static void test_a_damaged_file_is_an_io_error(void **state)
{
	struct fixture *fixture = *state;
	char garbage[4096];
	struct user user;
	FILE *file;
	int result = 0;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user-%d", i);
		add_user(fixture, name);
	}
	ok(fixture, store_commit(fixture->store, &fixture->err));
	store_close(fixture->store);
	memset(garbage, 0x5a, sizeof(garbage));
	file = fopen(fixture->path, "r+");
	for (long page = 2; page < 60; page++) {
		fseek(file, page * 4096, SEEK_SET);
		fwrite(garbage, 1, sizeof(garbage), file);
	}
	fclose(file);
	fixture->store = store_open(fixture->path, STORE_WRITE, &fixture->err);
	if (fixture->store)
		result = store_user_find(fixture->store, USER_BY_USERNAME, "user-250",
					 fixture->arena, &user, &fixture->err);
	assert_true(!fixture->store || result < 0);
	assert_int_equal(fixture->err.code, ERR_IO);
	assert_string_equal(err_reason(&fixture->err), "store-damaged");
}

/* --- transactions --- */

static void test_rollback_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct hash256 before = content_digest(fixture->path), after;
	struct grant grant = make_grant(GRANT_ROLE, "sales", "rule-1");

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	ok(fixture, store_organization_ensure(fixture->store, "acme", &fixture->err));

	int64_t id = add_user(fixture, "anna");

	ok(fixture, put_identity(fixture, "key-1", id, "record"));
	ok(fixture, store_grant_add(fixture->store, id, &grant, &fixture->err));
	ok(fixture, append_audit(fixture, "user.create", "user:x"));
	store_rollback(fixture->store);
	after = content_digest(fixture->path);
	assert_memory_equal(&before, &after, sizeof(before));

	/* What was cached of the names that are gone must be gone too: their numbers are given anew. */
	struct user user = make_user("bela", "");
	struct grant *grants;
	size_t count;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	user.organization = "acme";
	refused(fixture, store_user_insert(fixture->store, &user, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	id = add_user(fixture, "chidi");
	ok(fixture, append_audit(fixture, "login", "user:x"));
	ok(fixture, store_grant_add(fixture->store, id, &grant, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	reopen(fixture);
	ok(fixture,
	   store_grants_of(fixture->store, id, fixture->arena, &grants, &count, &fixture->err));
	assert_int_equal(count, 1);
	assert_true(grant_same(&grants[0], &grant));
	assert_audit_intact(fixture, 1);
}

static void test_writes_need_a_transaction(void **state)
{
	struct fixture *fixture = *state;
	struct user user = make_user("anna", "");

	refused(fixture, store_user_insert(fixture->store, &user, &fixture->err), ERR_INTERNAL,
		"internal");
	assert_int_equal(user.id, 0);
	refused(fixture, store_commit(fixture->store, &fixture->err), ERR_INTERNAL, "internal");
	refused(fixture, store_savepoint(fixture->store, &fixture->err), ERR_INTERNAL, "internal");
	refused(fixture, store_meta_set(fixture->store, "a", "b", &fixture->err), ERR_INTERNAL,
		"internal");
	ok(fixture, store_begin(fixture->store, &fixture->err));
	refused(fixture, store_begin(fixture->store, &fixture->err), ERR_INTERNAL, "internal");
	refused(fixture, store_release(fixture->store, &fixture->err), ERR_INTERNAL, "internal");
	store_rollback_to(fixture->store);
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void test_savepoint_undoes_one_request(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_savepoint(fixture->store, &fixture->err));
	add_user(fixture, "anna");
	ok(fixture, append_audit(fixture, "user.create", "user:anna"));
	ok(fixture, store_release(fixture->store, &fixture->err));

	ok(fixture, store_savepoint(fixture->store, &fixture->err));
	refused(fixture, store_savepoint(fixture->store, &fixture->err), ERR_INTERNAL, "internal");
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	add_user(fixture, "bela");
	ok(fixture, append_audit(fixture, "user.create", "user:bela"));
	store_rollback_to(fixture->store);

	ok(fixture, store_savepoint(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "other", &fixture->err));
	add_user(fixture, "chidi");
	ok(fixture, append_audit(fixture, "user.create", "user:chidi"));
	ok(fixture, store_release(fixture->store, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(total_users(fixture), 2);
	assert_audit_intact(fixture, 2);
}

static void test_savepoint_forgives_a_failed_write(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	add_user(fixture, "anna");
	ok(fixture, store_savepoint(fixture->store, &fixture->err));
	add_user(fixture, "bela");
	assert_int_equal(put_identity(fixture, "k", 4711, "no such user"), -1);
	assert_int_equal(fixture->err.code, ERR_NOT_FOUND);
	/* Nothing but rollback now. */
	refused(fixture, store_release(fixture->store, &fixture->err), ERR_INTERNAL, "internal");
	refused(fixture, store_meta_set(fixture->store, "a", "b", &fixture->err), ERR_INTERNAL,
		"internal");
	store_rollback_to(fixture->store);
	add_user(fixture, "chidi");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(total_users(fixture), 2);
}

static void test_commit_after_a_failed_write_is_refused(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	add_user(fixture, "anna");
	assert_int_equal(put_identity(fixture, "k", 4711, "no such user"), -1);
	refused(fixture, store_commit(fixture->store, &fixture->err), ERR_NOT_FOUND, "not-found");
	assert_int_equal(total_users(fixture), 0);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "bela");
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void test_two_writers(void **state)
{
	struct fixture *fixture = *state;
	struct store *other = store_open(fixture->path, STORE_WRITE, &fixture->err);

	assert_non_null(other);
	store_set_busy_timeout(other, 20);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	refused(fixture, store_begin(other, &fixture->err), ERR_UNAVAILABLE, "store-busy");
	add_user(fixture, "anna");
	ok(fixture, append_audit(fixture, "user.create", "user:anna"));
	ok(fixture, store_commit(fixture->store, &fixture->err));

	/* The chain goes on from where the other left it. */
	struct store *first = fixture->store;

	fixture->store = other;
	ok(fixture, store_begin(other, &fixture->err));
	ok(fixture, append_audit(fixture, "user.create", "user:bela"));
	ok(fixture, store_commit(other, &fixture->err));
	fixture->store = first;
	ok(fixture, store_begin(first, &fixture->err));
	ok(fixture, append_audit(fixture, "user.create", "user:chidi"));
	ok(fixture, store_commit(first, &fixture->err));
	assert_audit_intact(fixture, 3);
	store_close(other);
}

/* --- readers --- */

static void test_a_reader_cannot_write(void **state)
{
	struct fixture *fixture = *state;
	struct store *reader = store_open(fixture->path, STORE_READ, &fixture->err);
	struct user user = make_user("anna", "");

	assert_non_null(reader);
	refused(fixture, store_user_insert(reader, &user, &fixture->err), ERR_DENIED,
		"store-readonly");
	ok(fixture, store_begin(reader, &fixture->err));
	refused(fixture, store_user_insert(reader, &user, &fixture->err), ERR_DENIED,
		"store-readonly");
	refused(fixture, store_source_ensure(reader, "corp", &fixture->err), ERR_DENIED,
		"store-readonly");
	refused(fixture, store_savepoint(reader, &fixture->err), ERR_DENIED, "store-readonly");
	refused(fixture, store_window_prune(reader, 1, &fixture->err), ERR_DENIED,
		"store-readonly");
	ok(fixture, store_commit(reader, &fixture->err));
	store_close(reader);
}

static void test_a_reader_keeps_its_snapshot(void **state)
{
	struct fixture *fixture = *state;
	struct store *reader = store_open(fixture->path, STORE_READ, &fixture->err);
	struct user user;

	assert_non_null(reader);
	ok(fixture, store_begin(reader, &fixture->err));
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "anna");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	refused(fixture,
		store_user_find(reader, USER_BY_USERNAME, "anna", fixture->arena, &user,
				&fixture->err),
		ERR_NOT_FOUND, "not-found");
	ok(fixture, store_commit(reader, &fixture->err));
	ok(fixture,
	   store_user_find(reader, USER_BY_USERNAME, "anna", fixture->arena, &user, &fixture->err));
	store_close(reader);
}

static int stop_at_once(void *context, const char *key, struct hash128 digest, int64_t user_id,
			int64_t missing_s, uint32_t missing_runs)
{
	(void)key, (void)digest, (void)user_id, (void)missing_s, (void)missing_runs;
	store_interrupt(context);
	return 0;
}

static void test_interrupt(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));

	int64_t id = add_user(fixture, "anna");

	for (int i = 0; i < 100; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key-%d", i);
		ok(fixture, put_identity(fixture, key, id, "record"));
	}
	ok(fixture, store_commit(fixture->store, &fixture->err));
	refused(fixture,
		store_identity_each(fixture->store, "corp", stop_at_once, fixture->store,
				    &fixture->err),
		ERR_CANCELLED, "cancelled");
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void test_checkpoint_and_tidy_between_transactions(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_checkpoint(fixture->store, &fixture->err));
	assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "anna");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	ok(fixture, store_checkpoint(fixture->store, &fixture->err));
	assert_int_equal(total_users(fixture), 1);
}

/* In the middle of another handle's transaction: what is committed is copied, and nothing else. */
static void test_another_handle_copies_the_wal(void **state)
{
	struct fixture *fixture = *state;
	struct store *copier = store_open(fixture->path, STORE_COPY, &fixture->err);
	size_t pages;

	assert_non_null(copier);
	refused(fixture, store_meta_set(copier, "name", "value", &fixture->err), ERR_DENIED,
		"store-readonly");
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "anna");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	pages = store_wal_pages(fixture->store);
	assert_true(pages > 0);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "bela");
	ok(fixture, store_checkpoint(copier, &fixture->err));
	store_rollback(fixture->store);
	/* All was copied, so that the WAL begins again. */
	ok(fixture, store_begin(fixture->store, &fixture->err));
	add_user(fixture, "chidi");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_true(store_wal_pages(fixture->store) < pages);
	store_close(copier);
	reopen(fixture);
	assert_int_equal(total_users(fixture), 2);
}

/* Bytes of the heap in use; what replaces the allocator (sanitizers, valgrind) says 0. */
static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

static void test_the_cache_of_an_import_is_given_back(void **state)
{
	struct fixture *fixture = *state;
	static const char data[65536];
	size_t before = heap_in_use(), full;
	int64_t row;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_plan_create(fixture->store, "corp", "timer", 1, &row, &fixture->err));
	for (int64_t i = 0; i < 256; i++)
		ok(fixture,
		   store_plan_add_batch(fixture->store, row, i, data, sizeof(data), &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	full = heap_in_use();
	store_give_back(fixture->store);
	if (full > before + 4 * 1024 * 1024)
		assert_true(heap_in_use() < before + (full - before) / 4);
}

/* --- users --- */

static void assert_same_user(const struct user *a, const struct user *b)
{
	assert_int_equal(a->id, b->id);
	assert_memory_equal(&a->uuid, &b->uuid, sizeof(a->uuid));
	assert_string_equal(a->organization, b->organization);
	assert_string_equal(a->username, b->username);
	assert_string_equal(a->email, b->email);
	assert_string_equal(a->display_name, b->display_name);
	assert_string_equal(a->profile, b->profile);
	assert_int_equal(a->disabled, b->disabled);
	assert_int_equal(a->is_protected, b->is_protected);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->created_s, b->created_s);
	assert_int_equal(a->updated_s, b->updated_s);
}

static void test_user_round_trip(void **state)
{
	struct fixture *fixture = *state;
	struct user user = make_user("jörg", "jörg@acme.example"), read;
	char uuid[UUID_TEXT_SIZE];

	user.display_name = "Jörg  \"O'Neil\" Åström";
	user.profile = "";
	user.disabled = DISABLED_NO_PROFILE | SUSPENDED_SIGN_IN;
	user.is_protected = true;
	user.version = 7;
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_user_insert(fixture->store, &user, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	reopen(fixture);
	ok(fixture, store_user_get(fixture->store, user.id, fixture->arena, &read, &fixture->err));
	assert_same_user(&read, &user);
	uuid_format(&user.uuid, uuid);
	ok(fixture, store_user_find(fixture->store, USER_BY_UUID, uuid, fixture->arena, &read,
				    &fixture->err));
	assert_same_user(&read, &user);
	ok(fixture, store_user_find(fixture->store, USER_BY_EMAIL, "jörg@acme.example",
				    fixture->arena, &read, &fixture->err));
	assert_same_user(&read, &user);

	user.username = "joerg";
	user.email = "";
	user.display_name = "J";
	user.profile = "analyst";
	user.disabled = 0;
	user.is_protected = false;
	user.version = 8;
	user.updated_s++;
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_user_update(fixture->store, &user, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	ok(fixture, store_user_find(fixture->store, USER_BY_USERNAME, "joerg", fixture->arena,
				    &read, &fixture->err));
	assert_same_user(&read, &user);
	refused(fixture,
		store_user_find(fixture->store, USER_BY_EMAIL, "", fixture->arena, &read,
				&fixture->err),
		ERR_NOT_FOUND, "not-found");
	refused(fixture,
		store_user_find(fixture->store, USER_BY_UUID, "no uuid", fixture->arena, &read,
				&fixture->err),
		ERR_NOT_FOUND, "not-found");
	refused(fixture, store_user_get(fixture->store, 4711, fixture->arena, &read, &fixture->err),
		ERR_NOT_FOUND, "not-found");
}

static void test_user_conflicts(void **state)
{
	struct fixture *fixture = *state;
	struct user anna = make_user("anna", "anna@acme.example"),
		    gone = make_user("gone", "g@x.y");
	struct user taken = make_user("other", "other@acme.example");
	static const struct {
		const char *name, *username, *email, *organization, *reason;
	} cases[] = {
		{ "user name", "anna", "", "default", "username-taken" },
		{ "user name, elsewhere", "anna", "", "acme", "username-taken" },
		{ "e-mail", "bela", "anna@acme.example", "default", "email-taken" },
		{ "e-mail elsewhere", "bela", "anna@acme.example", "acme",
		  "email-in-other-organization" },
		{ "name of a tombstone", "gone", "", "default", "name-reserved" },
	};

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_organization_ensure(fixture->store, "acme", &fixture->err));
	ok(fixture, store_user_insert(fixture->store, &anna, &fixture->err));
	ok(fixture, store_user_insert(fixture->store, &taken, &fixture->err));
	gone.disabled = DISABLED_BY_HAND | DISABLED_DELETED;
	ok(fixture, store_user_insert(fixture->store, &gone, &fixture->err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct user user = make_user(cases[i].username, cases[i].email);

		user.organization = cases[i].organization;
		print_message("%s\n", cases[i].name);
		refused(fixture, store_user_insert(fixture->store, &user, &fixture->err),
			ERR_CONFLICT, cases[i].reason);
		assert_int_equal(user.id, 0);
		user = taken;
		user.username = cases[i].username;
		user.email = cases[i].email;
		user.organization = cases[i].organization;
		user.version++;
		refused(fixture, store_user_update(fixture->store, &user, &fixture->err),
			ERR_CONFLICT, cases[i].reason);
	}
	/* The address of a tombstone is free, and no address at all is no conflict. */
	struct user heir = make_user("heir", "g@x.y"), none = make_user("none", ""),
		    none2 = make_user("none2", "");

	ok(fixture, store_user_insert(fixture->store, &heir, &fixture->err));
	ok(fixture, store_user_insert(fixture->store, &none, &fixture->err));
	ok(fixture, store_user_insert(fixture->store, &none2, &fixture->err));
	struct user twin = make_user("twin", "");

	twin.uuid = anna.uuid;
	refused(fixture, store_user_insert(fixture->store, &twin, &fixture->err), ERR_CONFLICT,
		"uuid-taken");
	twin = make_user("", "");
	refused(fixture, store_user_insert(fixture->store, &twin, &fixture->err), ERR_INVALID,
		"invalid");
	twin = make_user("twin", "");
	twin.organization = "nowhere";
	refused(fixture, store_user_insert(fixture->store, &twin, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	/* After all these refusals the transaction goes on. */
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(total_users(fixture), 5);
}

static void test_stale_version(void **state)
{
	struct fixture *fixture = *state;
	struct user user = make_user("anna", "");

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_user_insert(fixture->store, &user, &fixture->err));
	refused(fixture, store_user_update(fixture->store, &user, &fixture->err), ERR_CONFLICT,
		"stale-version");
	user.version = 3;
	refused(fixture, store_user_update(fixture->store, &user, &fixture->err), ERR_CONFLICT,
		"stale-version");
	user.version = 2;
	ok(fixture, store_user_update(fixture->store, &user, &fixture->err));
	user.id = 4711;
	user.username = "bela";
	user.uuid.byte[0] ^= 1;
	user.version = 3;
	refused(fixture, store_user_update(fixture->store, &user, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void test_counts(void **state)
{
	struct fixture *fixture = *state;
	struct user_counts counts;
	int64_t count;
	static const struct {
		const char *username, *organization, *profile;
		uint32_t disabled;
	} people[] = {
		{ "a", "default", "administrator", 0 },
		{ "b", "default", "administrator", SUSPENDED_SIGN_IN },
		{ "c", "default", "administrator", DISABLED_BY_HAND },
		{ "d", "default", "analyst", 0 },
		{ "e", "acme", "administrator", 0 },
		{ "f", "acme", "administrator", DISABLED_BY_HAND | DISABLED_DELETED },
	};
	int64_t ids[ARRAY_LEN(people)];

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_organization_ensure(fixture->store, "acme", &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	for (size_t i = 0; i < ARRAY_LEN(people); i++) {
		struct user user = make_user(people[i].username, "");
		char key[8];

		user.organization = people[i].organization;
		user.profile = people[i].profile;
		user.disabled = people[i].disabled;
		ok(fixture, store_user_insert(fixture->store, &user, &fixture->err));
		ids[i] = user.id;
		snprintf(key, sizeof(key), "k%zu", i);
		ok(fixture, put_identity(fixture, key, user.id, "r"));
	}
	ok(fixture, put_identity(fixture, "second-of-a", ids[0], "r"));
	ok(fixture, store_identity_set_missing(fixture->store, "corp", "k3", 5, 1, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));

	ok(fixture, store_user_counts(fixture->store, NULL, &counts, &fixture->err));
	assert_int_equal(counts.total, 5);
	assert_int_equal(counts.active, 4);
	assert_int_equal(counts.disabled, 1);
	ok(fixture, store_user_counts(fixture->store, "acme", &counts, &fixture->err));
	assert_int_equal(counts.total, 1);
	ok(fixture, store_user_counts(fixture->store, "nowhere", &counts, &fixture->err));
	assert_int_equal(counts.total, 0);
	ok(fixture, store_active_with_profile(fixture->store, "default", "administrator", 0, &count,
					      &fixture->err));
	assert_int_equal(count, 2);
	ok(fixture, store_active_with_profile(fixture->store, "default", "administrator", ids[0],
					      &count, &fixture->err));
	assert_int_equal(count, 1);
	ok(fixture,
	   store_active_with_profile(fixture->store, "acme", "unknown", 0, &count, &fixture->err));
	assert_int_equal(count, 0);
	/* a (twice), b, e; c and f are disabled, d is missing. */
	ok(fixture, store_active_of_source(fixture->store, "corp", &count, &fixture->err));
	assert_int_equal(count, 3);
	ok(fixture, store_active_of_source(fixture->store, "none", &count, &fixture->err));
	assert_int_equal(count, 0);
}

/* --- lists --- */

/* "a,b,c" of the user names found, page by page of the size given. */
static void list_all(struct fixture *fixture, struct user_query query, struct strbuf *out)
{
	struct user *users;
	size_t count;

	do {
		ok(fixture, store_user_list(fixture->store, &query, fixture->arena, &users, &count,
					    &fixture->err));
		assert_true(count <= query.limit);
		for (size_t i = 0; i < count; i++) {
			assert_true(users[i].id > query.after_id);
			query.after_id = users[i].id;
			strbuf_printf(out, "%s%s", out->size ? "," : "", users[i].username);
		}
	} while (count == query.limit);
}

static void set_up_list(struct fixture *fixture)
{
	static const struct {
		const char *username, *email, *display, *organization, *profile, *role;
		uint32_t disabled;
	} people[] = {
		{ "anna", "a.adler@acme.example", "Anna Adler", "default", "analyst", "sales", 0 },
		{ "bela", "bela@acme.example", "Béla Braun", "default", "analyst", "sales", 1 },
		{ "chidi", "", "ÉCLAIR Costa", "acme", "manager", "support", 0 },
		{ "dora", "anna2@acme.example", "Dora Dumas", "acme", "analyst", "sales", 0 },
		{ "emeka", "e@acme.example", "Annabel Evans", "default", "manager", "sales", 0 },
		{ "tomb", "", "Anna Tomb", "default", "analyst", "sales",
		  DISABLED_DELETED | DISABLED_BY_HAND },
	};

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_organization_ensure(fixture->store, "acme", &fixture->err));
	for (size_t i = 0; i < ARRAY_LEN(people); i++) {
		struct user user = make_user(people[i].username, people[i].email);
		struct grant grant = make_grant(GRANT_ROLE, people[i].role, "rule-1");

		user.display_name = people[i].display;
		user.organization = people[i].organization;
		user.profile = people[i].profile;
		user.disabled = people[i].disabled;
		ok(fixture, store_user_insert(fixture->store, &user, &fixture->err));
		ok(fixture, store_grant_add(fixture->store, user.id, &grant, &fixture->err));
		grant.origin_id = "rule-2"; /* the same role twice is one holder */
		ok(fixture, store_grant_add(fixture->store, user.id, &grant, &fixture->err));
	}
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static const struct {
	const char *name;
	struct user_query query;
	const char *expected;
} list_cases[] = {
	{ "all", { .active = -1 }, "anna,bela,chidi,dora,emeka" },
	{ "active", { .active = 1 }, "anna,chidi,dora,emeka" },
	{ "disabled", { .active = 0 }, "bela" },
	{ "organization", { .active = -1, .organization = "acme" }, "chidi,dora" },
	{ "unknown organization", { .active = -1, .organization = "none" }, "" },
	{ "profile", { .active = -1, .profile = "manager" }, "chidi,emeka" },
	{ "prefix of user name, e-mail or display name",
	  { .active = -1, .prefix = "anna" },
	  "anna,dora,emeka" },
	{ "prefix is folded", { .active = -1, .prefix = " éClAiR" }, "chidi" },
	{ "prefix, accent", { .active = -1, .prefix = "bé" }, "bela" },
	{ "prefix of nobody", { .active = -1, .prefix = "zzz" }, "" },
	{ "empty prefix", { .active = -1, .prefix = "" }, "anna,bela,chidi,dora,emeka" },
	{ "no wildcard", { .active = -1, .prefix = "%" }, "" },
	{ "holders",
	  { .active = -1, .grant_kind = GRANT_ROLE, .grant_name = "sales" },
	  "anna,bela,dora,emeka" },
	{ "holders, other kind",
	  { .active = -1, .grant_kind = GRANT_GROUP, .grant_name = "sales" },
	  "" },
	{ "active holders",
	  { .active = 1, .grant_kind = GRANT_ROLE, .grant_name = "sales" },
	  "anna,dora,emeka" },
	{ "disabled holders",
	  { .active = 0, .grant_kind = GRANT_ROLE, .grant_name = "sales" },
	  "bela" },
	{ "holders with prefix",
	  { .active = -1, .grant_kind = GRANT_ROLE, .grant_name = "sales", .prefix = "anna" },
	  "anna,dora,emeka" },
	{ "everything",
	  { .active = 1,
	    .grant_kind = GRANT_ROLE,
	    .grant_name = "sales",
	    .prefix = "a",
	    .organization = "default",
	    .profile = "analyst" },
	  "anna" },
	{ "unknown role", { .active = -1, .grant_kind = GRANT_ROLE, .grant_name = "none" }, "" },
};

static void check_lists(struct fixture *fixture)
{
	for (size_t i = 0; i < ARRAY_LEN(list_cases); i++) {
		for (size_t limit = 1; limit <= 6; limit++) {
			AUTO(strbuf) struct strbuf names = STRBUF(4096);
			struct user_query query = list_cases[i].query;

			query.limit = limit;
			list_all(fixture, query, &names);
			if (strcmp(strbuf_text(&names), list_cases[i].expected) != 0)
				fail_msg("%s, pages of %zu: '%s', not '%s'", list_cases[i].name,
					 limit, strbuf_text(&names), list_cases[i].expected);
		}
	}
}

static void test_lists(void **state)
{
	struct fixture *fixture = *state;
	struct user_query query = { .active = -1, .limit = 0 };
	struct user *users;
	size_t count;

	set_up_list(fixture);
	check_lists(fixture); /* nothing in the idle indexes yet */
	assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	check_lists(fixture); /* all in them */
	refused(fixture,
		store_user_list(fixture->store, &query, fixture->arena, &users, &count,
				&fixture->err),
		ERR_INVALID, "invalid");
	query.limit = 10001;
	refused(fixture,
		store_user_list(fixture->store, &query, fixture->arena, &users, &count,
				&fixture->err),
		ERR_INVALID, "invalid");
}

/* Some users in the idle indexes, some not, some changed after: lists and counts see all alike. */
static void test_lists_across_the_indexed_user(void **state)
{
	struct fixture *fixture = *state;
	struct user_query query = {
		.active = -1, .limit = 2, .grant_kind = GRANT_ROLE, .grant_name = "sales"
	};
	struct grant grant = make_grant(GRANT_ROLE, "sales", "rule-1");
	struct user user;
	int64_t ids[6], count;

	for (int i = 0; i < 6; i++) {
		char name[2] = { (char)('a' + i), 0 };

		ok(fixture, store_begin(fixture->store, &fixture->err));
		ids[i] = add_user(fixture, name);
		ok(fixture, store_grant_add(fixture->store, ids[i], &grant, &fixture->err));
		ok(fixture, store_commit(fixture->store, &fixture->err));
		if (i == 2)
			assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	}
	grant.name = "late";
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_grant_add(fixture->store, ids[1], &grant, &fixture->err));
	ok(fixture, store_grant_add(fixture->store, ids[4], &grant, &fixture->err));
	grant.name = "sales";
	ok(fixture, store_grant_remove(fixture->store, ids[2], &grant, &fixture->err));
	ok(fixture, store_user_get(fixture->store, ids[0], fixture->arena, &user, &fixture->err));
	user.display_name = "Zoe";
	user.version++;
	ok(fixture, store_user_update(fixture->store, &user, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	for (int round = 0; round < 2; round++) {
		AUTO(strbuf) struct strbuf sales = STRBUF(4096);
		AUTO(strbuf) struct strbuf late = STRBUF(4096);
		AUTO(strbuf) struct strbuf zoe = STRBUF(4096);
		struct user_query by_prefix = { .active = -1, .limit = 2, .prefix = "zo" };

		query.grant_name = "sales";
		list_all(fixture, query, &sales);
		assert_string_equal(strbuf_text(&sales), "a,b,d,e,f");
		query.grant_name = "late";
		list_all(fixture, query, &late);
		assert_string_equal(strbuf_text(&late), "b,e");
		list_all(fixture, by_prefix, &zoe);
		assert_string_equal(strbuf_text(&zoe), "a");
		ok(fixture,
		   store_grant_holders(fixture->store, GRANT_ROLE, "sales", &count, &fixture->err));
		assert_int_equal(count, 5);
		assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	}
}

/* More than the indexes are asked for: the list walks instead. */
static void test_frequent_prefix(void **state)
{
	struct fixture *fixture = *state;
	struct user_query query = { .active = -1, .limit = 1000, .prefix = "common" };
	AUTO(strbuf) struct strbuf names = STRBUF(1024 * 1024);
	size_t commas, pieces = 0;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	for (int i = 0; i < 4500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s-%d", i % 2 ? "common" : "rare", i);
		add_user(fixture, name);
	}
	ok(fixture, store_commit(fixture->store, &fixture->err));
	for (int more = 1; more > 0; pieces++) {
		ok(fixture, more = store_tidy(fixture->store, &fixture->err));
		strbuf_clear(&names);
		commas = 0;
		list_all(fixture, query, &names);
		for (size_t i = 0; i < names.size; i++)
			commas += names.data[i] == ',';
		assert_int_equal(commas + 1, 2250);
	}
	assert_true(pieces > 2);
}

static void test_small_arena(void **state)
{
	struct fixture *fixture = *state;
	AUTO(arena) struct arena *arena = arena_create(64);
	struct user_query query = { .active = -1, .limit = 100 };
	struct user *users = NULL;
	size_t count = 0;

	set_up_list(fixture);
	refused(fixture,
		store_user_list(fixture->store, &query, arena, &users, &count, &fixture->err),
		ERR_MEMORY, "memory");
	assert_null(users);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_migrates_an_empty_file),
		TEST(test_refuses_a_newer_schema),
		TEST(test_refuses_the_database_of_another_program),
		TEST(test_refuses_what_is_no_store),
		TEST(test_a_reader_waits_for_the_set_up),
		TEST(test_files_are_private),
		TEST(test_a_damaged_file_is_an_io_error),
		TEST(test_rollback_leaves_nothing),
		TEST(test_writes_need_a_transaction),
		TEST(test_savepoint_undoes_one_request),
		TEST(test_savepoint_forgives_a_failed_write),
		TEST(test_commit_after_a_failed_write_is_refused),
		TEST(test_two_writers),
		TEST(test_a_reader_cannot_write),
		TEST(test_a_reader_keeps_its_snapshot),
		TEST(test_interrupt),
		TEST(test_checkpoint_and_tidy_between_transactions),
		TEST(test_another_handle_copies_the_wal),
		TEST(test_the_cache_of_an_import_is_given_back),
		TEST(test_user_round_trip),
		TEST(test_user_conflicts),
		TEST(test_stale_version),
		TEST(test_counts),
		TEST(test_lists),
		TEST(test_lists_across_the_indexed_user),
		TEST(test_frequent_prefix),
		TEST(test_small_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
