/*
 * Sign-ins are counted once each: whether their sessions are in their indexes, ended before, or were there
 * before anybody counted; through undone transactions, other starts and a kill.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <rolebridge/store/activity.h>
#include <rolebridge/store/session.h>

#define TODAY INT64_C(20000)
#define USERS 5
#define DAYS 4

static const char *const first_schemas[] = {
#include "sql/0001-first.sql.h"
	,
#include "sql/0002-sessions.sql.h"
	,
#include "sql/0003-appended.sql.h"
	,
#include "sql/0004-due.sql.h"
	,
#include "sql/0005-links.sql.h"
	,
#include "sql/0006-tokens.sql.h"
	,
#include "sql/0007-definitions.sql.h"
	,
#include "sql/0008-ownership.sql.h"
	,
#include "sql/0009-invites.sql.h"
};

static void begin(struct fixture *f)
{
	ok(f, store_begin(f->store, &f->err));
}

static void commit(struct fixture *f)
{
	ok(f, store_commit(f->store, &f->err));
}

static void add_users(struct fixture *f)
{
	static const char *const names[USERS] = { "anna", "ben", "cleo", "dora", "emil" };

	begin(f);
	for (size_t i = 0; i < USERS; i++)
		add_user(f, names[i]);
	commit(f);
}

static int64_t sign_in(struct fixture *f, int64_t user_id, int64_t at_s)
{
	static int64_t now_ms = 1700000000000;
	struct session session = {
		.uuid = uuid_create(now_ms++),
		.user_id = user_id,
		.source = "",
		.name_id = "",
		.name_id_format = "",
		.session_index = "",
		.address = "",
		.agent = "",
		.created_s = at_s,
		.seen_s = at_s,
		.until_s = at_s + 3600,
	};

	ok(f, store_session_insert(f->store, &session, &f->err));
	return session.id;
}

/* count of the days asked for, and the last of all */
static int64_t count_by(struct fixture *f, struct sign_ins *all, int64_t user_id, int64_t from_day,
			int64_t to_day, int64_t *ret_last_s)
{
	struct sign_ins_of found;
	int64_t sum = 0;

	ok(f, store_sign_ins_of(all, user_id, from_day, to_day, &found, &f->err));
	for (size_t i = 0; i < found.day_count; i++) {
		assert_true(found.days[i].day >= from_day && found.days[i].day < to_day);
		assert_true(i == 0 || found.days[i].day < found.days[i - 1].day);
		sum += found.days[i].count;
	}
	assert_int_equal(sum, found.count);
	if (ret_last_s)
		*ret_last_s = found.last_s;
	return sum;
}

static int64_t count_of(struct fixture *f, int64_t user_id, int64_t from_day, int64_t to_day,
			int64_t *ret_last_s)
{
	struct sign_ins *all = store_sign_ins_open(f->store, &f->err);
	int64_t sum;

	assert_non_null(all);
	sum = count_by(f, all, user_id, from_day, to_day, ret_last_s);
	store_sign_ins_close(all);
	return sum;
}

/* --- against what was done --- */

struct known {
	int64_t counts[USERS][DAYS];
	int64_t last_s[USERS];
};

static void assert_known(struct fixture *f, const struct known *known)
{
	struct sign_ins *all;

	begin(f);
	all = store_sign_ins_open(f->store, &f->err);
	assert_non_null(all);
	for (int64_t user = 0; user < USERS; user++) {
		int64_t last_s, from = rand() % DAYS, to = rand() % (DAYS + 1), expected = 0;

		for (int64_t day = from; day < to; day++)
			expected += known->counts[user][day];
		assert_int_equal(count_by(f, all, user + 1, TODAY + from, TODAY + to, &last_s),
				 expected);
		assert_int_equal(last_s, known->last_s[user]);
	}
	store_sign_ins_close(all);
	commit(f);
}

static void random_sign_in(struct fixture *f, struct known *known)
{
	int64_t user = rand() % USERS, day = rand() % DAYS;
	int64_t at_s = (TODAY + day) * DAY_S + rand() % DAY_S;

	sign_in(f, user + 1, at_s);
	known->counts[user][day]++;
	if (at_s > known->last_s[user])
		known->last_s[user] = at_s;
}

static void random_end(struct fixture *f, int64_t last)
{
	int64_t id = last ? 1 + rand() % last : 1;

	if (store_session_delete(f->store, id, &f->err) < 0)
		assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

/* One that was full goes back, or one that went back is full again: the sign-in stays one. */
static void random_stage(struct fixture *f, int64_t last)
{
	struct session session;
	bool was_full;

	if (store_session_get(f->store, last ? 1 + rand() % last : 1, f->arena, &session, &f->err) <
	    0) {
		assert_int_equal(f->err.code, ERR_NOT_FOUND);
		return;
	}
	was_full = session.stage == SESSION_FULL;
	session.stage = was_full ? SESSION_FACTOR : SESSION_FULL;
	ok(f, was_full ? store_session_put_back(f->store, &session, &f->err)
		       : store_session_update(f->store, &session, &f->err));
}

static void random_prune(struct fixture *f)
{
	int64_t *ids;
	size_t count;

	ok(f, store_session_prune(f->store, TODAY * DAY_S + rand() % (DAYS * DAY_S), 0, 3, f->arena,
				  &ids, &count, &f->err));
}

static void random_transaction(struct fixture *f, struct known *known, int64_t *last)
{
	struct known changed = *known;
	bool nested = rand() % 2, undo;
	int64_t added = 0;

	begin(f);
	if (nested)
		ok(f, store_savepoint(f->store, &f->err));
	for (int i = rand() % 4; i >= 0; i--) {
		switch (rand() % 5) {
		case 0: random_end(f, *last); break;
		case 1: random_prune(f); break;
		case 2: random_stage(f, *last); break;
		default: random_sign_in(f, &changed), added++;
		}
	}
	undo = rand() % 4 == 0;
	if (nested && undo)
		store_rollback_to(f->store);
	else if (nested)
		ok(f, store_release(f->store, &f->err));
	if (undo && !nested) {
		store_rollback(f->store);
		return;
	}
	commit(f);
	if (undo)
		return;
	*known = changed;
	*last += added;
}

static void test_each_once(void **state)
{
	struct fixture *f = *state;
	struct known known = { 0 };
	int64_t last = 0;

	srand(7);
	add_users(f);
	for (int i = 0; i < 3000; i++) {
		store_set_tidy_piece(f->store, 1 + rand() % 5);
		switch (rand() % 8) {
		case 0: ok(f, store_tidy(f->store, &f->err)); break;
		case 1: ok(f, store_tidy_behind(f->store, &f->err)); break;
		case 2: assert_known(f, &known); break;
		default: random_transaction(f, &known, &last);
		}
		if (rand() % 300 == 0)
			reopen(f);
	}
	assert_true(last > 1000);
	assert_known(f, &known);
}

/* --- a kill --- */

static void child_signs_in(const char *path, int out)
{
	struct fixture f = { .arena = arena_create(1 << 20) };

	f.store = store_open(path, STORE_WRITE, &f.err);
	for (int64_t i = 1; f.store; i++) {
		int64_t id;

		store_set_tidy_piece(f.store, 3);
		begin(&f);
		id = sign_in(&f, 1 + i % USERS, TODAY * DAY_S + i);
		if (i % 3 == 0)
			ok(&f, store_session_delete(f.store, id - i % 2, &f.err));
		commit(&f);
		if (write(out, "", 1) != 1)
			break;
		if (i % 4 == 0)
			ok(&f, store_tidy(f.store, &f.err));
	}
	_exit(1);
}

static int64_t count_all(struct fixture *f)
{
	int64_t count = 0;

	for (int64_t user = 1; user <= USERS; user++)
		count += count_of(f, user, 0, TODAY * 2, NULL);
	return count;
}

static void test_after_a_kill(void **state)
{
	struct fixture *f = *state;
	int64_t told = 0, killed = 0;

	add_users(f);
	store_close(f->store);
	for (int64_t round = 0; round < 20; round++) {
		int ends[2];
		char byte;
		pid_t child;

		assert_int_equal(pipe(ends), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			child_signs_in(f->path, ends[1]);
		close(ends[1]);
		for (int64_t i = 0; i < 5 + round; i++) {
			assert_int_equal(read(ends[0], &byte, 1), 1);
			told++;
		}
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		while (read(ends[0], &byte, 1) == 1)
			told++;
		close(ends[0]);
		f->store = store_open(f->path, STORE_WRITE, &f->err);
		assert_non_null(f->store);
		/* One may have been committed and not told. */
		killed++;
		begin(f);
		assert_true(count_all(f) >= told && count_all(f) <= told + killed);
		told = count_all(f);
		killed = 0;
		commit(f);
		store_close(f->store);
	}
	f->store = store_open(f->path, STORE_WRITE, &f->err);
	assert_non_null(f->store);
}

/* --- sessions that were there before --- */

static void raw(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
}

static void test_sessions_from_before(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;
	int64_t last_s;

	store_close(f->store);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(first_schemas); i++)
		raw(db, first_schemas[i]);
	raw(db, "PRAGMA application_id = 1382826610; PRAGMA user_version = 9;"
		"INSERT INTO name (text) VALUES ('analyst');"
		"INSERT INTO user (uuid, organization, username, email, display_name, "
		"display_folded, profile, disabled, is_protected, version, created_s, updated_s) "
		"VALUES (randomblob(16), 1, 'anna', '', '', '', 1, 0, 0, 1, 1, 1);"
		"WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "
		"INSERT INTO session (id, uuid, user, source, name_id, name_id_format, "
		"session_index, address, agent, created_s, seen_s, until_s, second_factor_s, "
		"indexed) SELECT i, randomblob(16), 1, 0, '', 0, '', '', '', "
		"20000 * 86400 + i * 8000, 1, 1, 0, i <= 20 FROM n;"
		"UPDATE counter SET value = 20 WHERE name = 'indexed-session'");
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	f->store = store_open(f->path, STORE_WRITE, &f->err);
	if (!f->store)
		fail_msg("%s", f->err.text);
	begin(f);
	/* 86400 / 8000: ten a day, then eleven, then nine. */
	assert_int_equal(count_of(f, 1, TODAY, TODAY + 1, &last_s), 10);
	assert_int_equal(last_s, TODAY * DAY_S + 240000);
	assert_int_equal(count_of(f, 1, TODAY, TODAY + 10, NULL), 30);
	ok(f, store_session_delete(f->store, 7, &f->err));
	ok(f, store_session_delete(f->store, 27, &f->err));
	commit(f);
	store_set_tidy_piece(f->store, 4);
	while (store_tidy(f->store, &f->err) > 0)
		;
	begin(f);
	assert_int_equal(count_of(f, 1, TODAY, TODAY + 10, NULL), 30);
	assert_int_equal(count_of(f, 1, TODAY, TODAY + 1, NULL), 10);
	commit(f);
}

/* --- the end of days --- */

static void test_the_last_day_stays(void **state)
{
	struct fixture *f = *state;
	int64_t last_s, after = 0, pieces = 0;

	add_users(f);
	begin(f);
	for (int64_t day = 0; day < 10; day++) {
		sign_in(f, 1, (TODAY + day) * DAY_S);
		if (day < 3)
			sign_in(f, 2, (TODAY + day) * DAY_S + 5);
	}
	commit(f);
	store_set_tidy_piece(f->store, 100);
	while (store_tidy(f->store, &f->err) > 0)
		;
	begin(f);
	do {
		ok(f, store_activity_prune(f->store, TODAY + 6, after, 2, &after, &f->err));
		pieces++;
	} while (after);
	assert_int_equal(pieces, (USERS + 1) / 2);
	assert_int_equal(count_of(f, 1, 0, TODAY * 2, NULL), 4);
	assert_int_equal(count_of(f, 2, 0, TODAY * 2, &last_s), 1);
	assert_int_equal(last_s, (TODAY + 2) * DAY_S + 5);
	assert_int_equal(count_of(f, 3, 0, TODAY * 2, &last_s), 0);
	assert_int_equal(last_s, 0);
	commit(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_once),
		TEST(test_after_a_kill),
		TEST(test_sessions_from_before),
		TEST(test_the_last_day_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
