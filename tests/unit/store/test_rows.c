/* Every kind of row the store keeps, beside users. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#define UUID_A "0190a0b0-1111-7000-8000-00000000000a"

static void begin(struct fixture *fixture)
{
	ok(fixture, store_begin(fixture->store, &fixture->err));
}

static void commit(struct fixture *fixture)
{
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

/* --- sources --- */

static void test_sources(void **state)
{
	struct fixture *fixture = *state;
	struct source_state source = {
		.name = "corp",
		.last_read_s = 20,
		.last_complete_s = 10,
		.entries = 5,
		.last_problem = "server 'ldap1' closed the connection",
		.server = "ldap1",
	};
	struct source_state read;

	begin(fixture);
	refused(fixture, store_source_set(fixture->store, &source, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	refused(fixture, store_source_ensure(fixture->store, "", &fixture->err), ERR_INVALID,
		"invalid");
	refused(fixture, store_organization_ensure(fixture->store, "", &fixture->err), ERR_INVALID,
		"invalid");
	ok(fixture, store_source_get(fixture->store, "corp", fixture->arena, &read, &fixture->err));
	assert_int_equal(read.last_complete_s, 0);
	assert_string_equal(read.last_problem, "");
	ok(fixture, store_source_set(fixture->store, &source, &fixture->err));
	commit(fixture);
	reopen(fixture);
	ok(fixture, store_source_get(fixture->store, "corp", fixture->arena, &read, &fixture->err));
	assert_string_equal(read.name, "corp");
	assert_int_equal(read.last_read_s, 20);
	assert_int_equal(read.last_complete_s, 10);
	assert_int_equal(read.entries, 5);
	assert_string_equal(read.last_problem, source.last_problem);
	assert_string_equal(read.server, "ldap1");
	refused(fixture,
		store_source_get(fixture->store, "none", fixture->arena, &read, &fixture->err),
		ERR_NOT_FOUND, "not-found");
}

/* --- identities --- */

static void assert_identity(struct fixture *fixture, const char *key, int64_t user_id,
			    const char *record)
{
	struct identity_row row;

	ok(fixture,
	   store_identity_get(fixture->store, "corp", key, fixture->arena, &row, &fixture->err));
	assert_string_equal(row.source, "corp");
	assert_string_equal(row.key, key);
	assert_int_equal(row.user_id, user_id);
	assert_int_equal(row.record_size, strlen(record));
	assert_memory_equal(row.record, record, row.record_size);
	assert_int_equal(row.read_s, 1700000000);
	assert_int_equal(row.missing_s, 0);
}

static size_t identities_of(struct fixture *fixture, int64_t user_id)
{
	struct identity_row *rows;
	size_t count;

	ok(fixture, store_identities_of(fixture->store, user_id, fixture->arena, &rows, &count,
					&fixture->err));
	return count;
}

/* Keys of all shapes: only the canonical UUID is kept in another form. */
static void test_identity_keys(void **state)
{
	struct fixture *fixture = *state;
	static const char *const keys[] = {
		UUID_A,
		"0190A0B0-1111-7000-8000-00000000000A", /* another key: case matters */
		"0190a0b011117000800000000000000a",
		"0190a0b0-1111-7000-8000-00000000000",
		"0190a0b0-1111-7000-8000-00000000000a ",
		"{0190a0b0-1111-7000-8000-00000000000a}",
		"\x01\x90 raw",
		"",
		"x",
		"uid=jörg,dc=acme",
		"1700000000",
	};

	begin(fixture);
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));

	int64_t id = add_user(fixture, "anna");

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		ok(fixture, put_identity(fixture, keys[i], id, keys[i]));
	commit(fixture);
	reopen(fixture);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_identity(fixture, keys[i], id, keys[i]);
	assert_int_equal(identities_of(fixture, id), ARRAY_LEN(keys));
}

static void test_identity_lifecycle(void **state)
{
	struct fixture *fixture = *state;
	struct identity_row row;
	struct hash128 digest = { { 0 } };

	begin(fixture);
	refused(fixture, put_identity(fixture, "k1", 1, "r"), ERR_NOT_FOUND, "not-found");
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));

	int64_t anna = add_user(fixture, "anna"), bela = add_user(fixture, "bela");

	ok(fixture, put_identity(fixture, "k1", anna, "one"));
	ok(fixture, put_identity(fixture, "k2", anna, "two"));
	ok(fixture, put_identity(fixture, "k3", anna, "three"));
	ok(fixture, put_identity(fixture, "k1", anna, "one, but longer than before"));
	assert_identity(fixture, "k1", anna, "one, but longer than before");
	assert_int_equal(identities_of(fixture, anna), 3);

	/* To another user, and back, and an empty record. */
	ok(fixture, put_identity(fixture, "k2", bela, "two"));
	assert_identity(fixture, "k2", bela, "two");
	assert_int_equal(identities_of(fixture, anna), 2);
	assert_int_equal(identities_of(fixture, bela), 1);
	ok(fixture, put_identity(fixture, "k2", anna, ""));
	assert_identity(fixture, "k2", anna, "");
	assert_int_equal(identities_of(fixture, bela), 0);

	ok(fixture, store_identity_set_missing(fixture->store, "corp", "k3", 77, 2, &fixture->err));
	ok(fixture,
	   store_identity_get(fixture->store, "corp", "k3", fixture->arena, &row, &fixture->err));
	assert_int_equal(row.missing_s, 77);
	assert_int_equal(row.missing_runs, 2);
	ok(fixture, put_identity(fixture, "k3", anna, "back"));
	assert_identity(fixture, "k3", anna, "back");

	ok(fixture, store_identity_delete(fixture->store, "corp", "k1", &fixture->err));
	assert_int_equal(identities_of(fixture, anna), 2);
	refused(fixture, store_identity_delete(fixture->store, "corp", "k1", &fixture->err),
		ERR_NOT_FOUND, "not-found");
	refused(fixture,
		store_identity_set_missing(fixture->store, "corp", "k1", 1, 1, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	refused(fixture,
		store_identity_get(fixture->store, "corp", "k1", fixture->arena, &row,
				   &fixture->err),
		ERR_NOT_FOUND, "not-found");
	refused(fixture,
		store_identity_get(fixture->store, "none", "k1", fixture->arena, &row,
				   &fixture->err),
		ERR_NOT_FOUND, "not-found");
	commit(fixture);

	begin(fixture);
	row = (struct identity_row){ .source = "corp", .key = "k9", .user_id = 0 };
	refused(fixture, store_identity_put(fixture->store, &row, &digest, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	row.user_id = INT64_MAX;
	refused(fixture, store_identity_put(fixture->store, &row, &digest, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	row.user_id = 4711;
	refused(fixture, store_identity_put(fixture->store, &row, &digest, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	store_rollback(fixture->store);
	assert_int_equal(identities_of(fixture, anna), 2);
}

struct heads {
	size_t count, stop_at;
	char keys[8][40];
	struct hash128 digests[8];
	int64_t users[8], missing_s[8];
	uint32_t missing_runs[8];
};

static int collect_head(void *context, const char *key, struct hash128 digest, int64_t user_id,
			int64_t missing_s, uint32_t missing_runs)
{
	struct heads *heads = context;
	size_t i = heads->count++;

	snprintf(heads->keys[i], sizeof(heads->keys[i]), "%s", key);
	heads->digests[i] = digest;
	heads->users[i] = user_id;
	heads->missing_s[i] = missing_s;
	heads->missing_runs[i] = missing_runs;
	return heads->count == heads->stop_at ? -1 : 0;
}

static void test_identity_heads(void **state)
{
	struct fixture *fixture = *state;
	struct heads heads = { .stop_at = 0 };

	begin(fixture);
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "other", &fixture->err));

	int64_t anna = add_user(fixture, "anna");

	ok(fixture, put_identity(fixture, "zz", anna, "record of zz"));
	ok(fixture, put_identity(fixture, UUID_A, anna, "record of a"));
	ok(fixture, store_identity_set_missing(fixture->store, "corp", "zz", 9, 3, &fixture->err));
	commit(fixture);
	ok(fixture,
	   store_identity_each(fixture->store, "corp", collect_head, &heads, &fixture->err));
	assert_int_equal(heads.count, 2);
	assert_string_equal(heads.keys[0], "zz");
	assert_string_equal(heads.keys[1], UUID_A);
	assert_true(hash128_equal(heads.digests[0], digest128("record of zz", 12)));
	assert_int_equal(heads.users[1], anna);
	assert_int_equal(heads.missing_s[0], 9);
	assert_int_equal(heads.missing_runs[0], 3);
	assert_int_equal(heads.missing_s[1], 0);
	heads = (struct heads){ .stop_at = 1 };
	refused(fixture,
		store_identity_each(fixture->store, "corp", collect_head, &heads, &fixture->err),
		ERR_CANCELLED, "cancelled");
	assert_int_equal(heads.count, 1);
	heads = (struct heads){ 0 };
	ok(fixture,
	   store_identity_each(fixture->store, "other", collect_head, &heads, &fixture->err));
	ok(fixture,
	   store_identity_each(fixture->store, "none", collect_head, &heads, &fixture->err));
	assert_int_equal(heads.count, 0);
}

/* --- grants --- */

static void test_grants(void **state)
{
	struct fixture *fixture = *state;
	struct grant grants[] = {
		make_grant(GRANT_ROLE, "zeta", "rule-1"),
		make_grant(GRANT_ROLE, "alpha", "rule-1"),
		make_grant(GRANT_PROFILE, "analyst", "rule-2"),
		make_grant(GRANT_ROLE, "alpha", "rule-0"),
		make_grant(GRANT_ROLE, "alpha", "unix:anna"),
	};
	struct grant *read, absent = make_grant(GRANT_ROLE, "never", "rule-1");
	int64_t holders;
	size_t count;

	grants[4].origin = ORIGIN_HAND;
	grants[4].origin_source = "";
	begin(fixture);

	int64_t anna = add_user(fixture, "anna");

	for (size_t i = 0; i < ARRAY_LEN(grants); i++)
		ok(fixture, store_grant_add(fixture->store, anna, &grants[i], &fixture->err));
	/* The same again: only the times change. */
	grants[0].given_s = 5;
	grants[0].expires_s = 6;
	ok(fixture, store_grant_add(fixture->store, anna, &grants[0], &fixture->err));
	commit(fixture);
	reopen(fixture);
	ok(fixture,
	   store_grants_of(fixture->store, anna, fixture->arena, &read, &count, &fixture->err));
	assert_int_equal(count, ARRAY_LEN(grants));
	for (size_t i = 1; i < count; i++)
		assert_true(grant_compare(&read[i - 1], &read[i]) < 0);
	assert_string_equal(read[0].name, "analyst");
	assert_true(grant_same(&read[1], &grants[4]));
	assert_string_equal(read[1].origin_id, "unix:anna");
	assert_string_equal(read[1].origin_source, "");
	assert_int_equal(read[4].given_s, 5);
	assert_int_equal(read[4].expires_s, 6);

	begin(fixture);
	refused(fixture, store_grant_remove(fixture->store, anna, &absent, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	ok(fixture, store_grant_remove(fixture->store, anna, &grants[1], &fixture->err));
	refused(fixture, store_grant_remove(fixture->store, anna, &grants[1], &fixture->err),
		ERR_NOT_FOUND, "not-found");
	commit(fixture);
	ok(fixture,
	   store_grants_of(fixture->store, anna, fixture->arena, &read, &count, &fixture->err));
	assert_int_equal(count, 4);
	ok(fixture,
	   store_grant_holders(fixture->store, GRANT_ROLE, "alpha", &holders, &fixture->err));
	assert_int_equal(holders, 1);
	ok(fixture,
	   store_grant_holders(fixture->store, GRANT_PERSONA, "alpha", &holders, &fixture->err));
	assert_int_equal(holders, 0);
	ok(fixture,
	   store_grant_holders(fixture->store, GRANT_ROLE, "none", &holders, &fixture->err));
	assert_int_equal(holders, 0);
	begin(fixture);
	refused(fixture, store_grant_add(fixture->store, 4711, &absent, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	store_rollback(fixture->store);
}

/* Nothing that cannot be read grants or takes away anything. */
static void test_damaged_grants(void **state)
{
	static const char *const texts[] = {
		"",
		"[",
		"[]]",
		"[[1,1,1,1,1,1,1]",
		"[[1,1,1,1,1,1]]",
		"[[1,1,1,1,1,1,1,1]]",
		"[[1,1,1,1,1,1,x]]",
		"[[1,1,1,1,1,1,01]]",
		"[[1,1,1,1,1,1,-0]]",
		"[[1,1,1,1,1,1, 1]]",
		"[[1,1,1,1,1,1,99999999999999999999]]",
		"[[2,1,1,1,1,1,1],[1,1,1,1,1,1,1]]",
		"[[1,1,1,1,1,1,1],[1,1,1,1,1,2,2]]",
		"[[1,1,1,1,1,1,1],]",
		"[[1,1,1,1,1,1,1]] ",
		"[[1,999999,1,1,1,1,1]]",
	};
	struct fixture *fixture = *state;
	struct grant grant = make_grant(GRANT_ROLE, "sales", "rule-1"), *read;
	int64_t anna;
	size_t count;
	sqlite3 *db;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	anna = add_user(fixture, "anna");
	ok(fixture, store_grant_add(fixture->store, anna, &grant, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *sql = sqlite3_mprintf("UPDATE user_grant SET grants = %Q", texts[i]);
		bool is_name = i == ARRAY_LEN(texts) - 1;

		print_message("%s\n", texts[i]);
		assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
		sqlite3_free(sql);
		refused(fixture,
			store_grants_of(fixture->store, anna, fixture->arena, &read, &count,
					&fixture->err),
			ERR_IO, "store-damaged");
		assert_non_null(strstr(fixture->err.text, "grants of user 1"));
		/* A number that is no name is damage to who reads it, not to who writes beside it. */
		if (is_name)
			continue;
		ok(fixture, store_begin(fixture->store, &fixture->err));
		refused(fixture, store_grant_remove(fixture->store, anna, &grant, &fixture->err),
			ERR_IO, "store-damaged");
		refused(fixture, store_grant_add(fixture->store, anna, &grant, &fixture->err),
			ERR_IO, "store-damaged");
		store_rollback(fixture->store);
		refused(fixture, store_tidy(fixture->store, &fixture->err), ERR_IO,
			"store-damaged");
	}
	sqlite3_close(db);
}

#define MANY 5000

static void many_name(size_t i, char ret_name[static 16])
{
	snprintf(ret_name, 16, "role-%zu", i * 7919 % MANY);
}

/* Somebody with very many grants: written at once, read in order, changed one by one, found as a holder. */
static void test_many_grants_of_one(void **state)
{
	struct fixture *fixture = *state;
	struct grant *grants = calloc(MANY, sizeof(*grants)), *read;
	char(*names)[16] = calloc(MANY, sizeof(*names));
	int64_t anna, holders;
	size_t count;

	assert_true(grants && names);
	for (size_t i = 0; i < MANY; i++) {
		many_name(i, names[i]);
		grants[i] = make_grant(GRANT_ROLE, names[i], "rule-1");
	}
	ok(fixture, store_begin(fixture->store, &fixture->err));
	anna = add_user(fixture, "anna");
	ok(fixture,
	   store_grants_change(fixture->store, anna, NULL, 0, grants, MANY, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	for (int tidied = 0; tidied < 2; tidied++) {
		ok(fixture, store_grants_of(fixture->store, anna, fixture->arena, &read, &count,
					    &fixture->err));
		assert_int_equal(count, MANY - (size_t)tidied);
		for (size_t i = 1; i < count; i++)
			assert_true(grant_compare(&read[i - 1], &read[i]) < 0);
		ok(fixture, store_grant_holders(fixture->store, GRANT_ROLE, names[MANY - 1],
						&holders, &fixture->err));
		assert_int_equal(holders, 1);
		ok(fixture, store_begin(fixture->store, &fixture->err));
		ok(fixture,
		   store_grant_remove(fixture->store, anna, &grants[tidied], &fixture->err));
		ok(fixture, store_commit(fixture->store, &fixture->err));
		ok(fixture, store_grant_holders(fixture->store, GRANT_ROLE, names[tidied], &holders,
						&fixture->err));
		assert_int_equal(holders, 0);
		for (int more = 1; more > 0;)
			ok(fixture, more = store_tidy(fixture->store, &fixture->err));
	}
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture,
	   store_grants_change(fixture->store, anna, &grants[2], MANY - 2, NULL, 0, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	ok(fixture,
	   store_grants_of(fixture->store, anna, fixture->arena, &read, &count, &fixture->err));
	assert_int_equal(count, 0);
	free(grants);
	free(names);
}

static void test_holders_are_active(void **state)
{
	struct fixture *fixture = *state;
	struct grant grant = make_grant(GRANT_ROLE, "sales", "rule-1");
	struct user user;
	int64_t holders;

	begin(fixture);

	int64_t anna = add_user(fixture, "anna"), bela = add_user(fixture, "bela");

	ok(fixture, store_grant_add(fixture->store, anna, &grant, &fixture->err));
	ok(fixture, store_grant_add(fixture->store, bela, &grant, &fixture->err));
	commit(fixture);
	for (int round = 0; round < 2; round++) {
		begin(fixture);
		ok(fixture,
		   store_user_get(fixture->store, anna, fixture->arena, &user, &fixture->err));
		user.disabled = DISABLED_BY_HAND;
		user.version++;
		ok(fixture, store_user_update(fixture->store, &user, &fixture->err));
		ok(fixture, store_grant_holders(fixture->store, GRANT_ROLE, "sales", &holders,
						&fixture->err));
		assert_int_equal(holders, 1);
		store_rollback(fixture->store);
		ok(fixture, store_grant_holders(fixture->store, GRANT_ROLE, "sales", &holders,
						&fixture->err));
		assert_int_equal(holders, 2);
		assert_int_equal(store_tidy(fixture->store, &fixture->err), 0);
	}
}

static void test_rules_and_expiry(void **state)
{
	struct fixture *fixture = *state;
	struct grant grant = make_grant(GRANT_ROLE, "sales", "rule-1");
	int64_t users[4], *ids, next;
	size_t count;

	ok(fixture, store_next_expiry(fixture->store, &next, &fixture->err));
	assert_int_equal(next, 0);
	begin(fixture);
	for (int i = 0; i < 4; i++) {
		char name[2] = { (char)('a' + i), 0 };

		users[i] = add_user(fixture, name);
		grant.name = "sales";
		grant.origin_id = i == 2 ? "rule-2" : "rule-1";
		grant.expires_s = i ? 100 * i : 0;
		ok(fixture, store_grant_add(fixture->store, users[i], &grant, &fixture->err));
		grant.name = "support"; /* twice by the same rule: one user */
		ok(fixture, store_grant_add(fixture->store, users[i], &grant, &fixture->err));
	}
	/* A person's hand called like the rule. */
	grant.origin = ORIGIN_HAND;
	grant.expires_s = 0;
	grant.origin_id = "rule-1";
	ok(fixture, store_grant_add(fixture->store, users[2], &grant, &fixture->err));
	commit(fixture);
	ok(fixture, store_users_with_rule(fixture->store, "rule-1", 0, 2, fixture->arena, &ids,
					  &count, &fixture->err));
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], users[0]);
	assert_int_equal(ids[1], users[1]);
	ok(fixture, store_users_with_rule(fixture->store, "rule-1", ids[1], 2, fixture->arena, &ids,
					  &count, &fixture->err));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], users[3]);
	ok(fixture, store_users_with_rule(fixture->store, "none", 0, 2, fixture->arena, &ids,
					  &count, &fixture->err));
	assert_int_equal(count, 0);

	ok(fixture, store_next_expiry(fixture->store, &next, &fixture->err));
	assert_int_equal(next, 100);
	ok(fixture, store_users_expiring(fixture->store, 99, 0, 10, fixture->arena, &ids, &count,
					 &fixture->err));
	assert_int_equal(count, 0);
	ok(fixture, store_users_expiring(fixture->store, 200, 0, 10, fixture->arena, &ids, &count,
					 &fixture->err));
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], users[1]);
	assert_int_equal(ids[1], users[2]);
	ok(fixture, store_users_expiring(fixture->store, 1000, users[1], 1, fixture->arena, &ids,
					 &count, &fixture->err));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], users[2]);
}

/* --- groups --- */

static void test_groups(void **state)
{
	struct fixture *fixture = *state;
	struct group_registry_row group = { .id = 5, .name = "cn=sales", .members = -1 }, *rows;
	uint32_t next;
	size_t count;

	ok(fixture,
	   store_groups_load(fixture->store, fixture->arena, &rows, &count, &next, &fixture->err));
	assert_int_equal(count, 0);
	assert_int_equal(next, 1);
	begin(fixture);
	ok(fixture, store_group_put(fixture->store, &group, &fixture->err));
	group.found = group.vanished = group.released = true;
	group.members = 70;
	group.vanished_s = 9;
	ok(fixture, store_group_put(fixture->store, &group, &fixture->err));
	group = (struct group_registry_row){ .id = 2, .name = "corp:cn=ops" };
	ok(fixture, store_group_put(fixture->store, &group, &fixture->err));
	commit(fixture);
	ok(fixture,
	   store_groups_load(fixture->store, fixture->arena, &rows, &count, &next, &fixture->err));
	assert_int_equal(count, 2);
	assert_int_equal(rows[0].id, 2);
	assert_false(rows[0].found);
	assert_string_equal(rows[1].name, "cn=sales");
	assert_true(rows[1].found && rows[1].vanished && rows[1].released);
	assert_int_equal(rows[1].members, 70);
	assert_int_equal(rows[1].vanished_s, 9);
	assert_int_equal(next, 6);

	begin(fixture);
	ok(fixture, store_group_remove(fixture->store, 5, &fixture->err));
	refused(fixture, store_group_remove(fixture->store, 5, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	ok(fixture, store_group_next_id_set(fixture->store, 3, &fixture->err));
	ok(fixture,
	   store_groups_load(fixture->store, fixture->arena, &rows, &count, &next, &fixture->err));
	assert_int_equal(next, 6); /* a number never comes back */
	ok(fixture, store_group_next_id_set(fixture->store, 42, &fixture->err));
	commit(fixture);
	ok(fixture,
	   store_groups_load(fixture->store, fixture->arena, &rows, &count, &next, &fixture->err));
	assert_int_equal(next, 42);
	begin(fixture);
	group = (struct group_registry_row){ .id = 50, .name = "corp:cn=ops" };
	refused(fixture, store_group_put(fixture->store, &group, &fixture->err), ERR_CONFLICT,
		"conflict");
	store_rollback(fixture->store);
}

/* --- plans --- */

#define PLAN_ID_A "aaaaaaaa11111111aaaaaaaa11111111aaaaaaaa11111111aaaaaaaa11111111"
#define PLAN_ID_B "aaaaaaaa22222222aaaaaaaa22222222aaaaaaaa22222222aaaaaaaa22222222"

static void test_plan_lifecycle(void **state)
{
	struct fixture *fixture = *state;
	struct plan_row plan = { 0 }, read;
	const void *data;
	size_t size;
	int64_t row;

	begin(fixture);
	ok(fixture,
	   store_plan_create(fixture->store, "corp", "sync:corp", 100, &row, &fixture->err));
	refused(fixture, store_plan_add_batch(fixture->store, row, 1, "x", 1, &fixture->err),
		ERR_CONFLICT, "batch-out-of-order");
	ok(fixture, store_plan_add_batch(fixture->store, row, 0, "first", 5, &fixture->err));
	refused(fixture, store_plan_add_batch(fixture->store, row, 0, "again", 5, &fixture->err),
		ERR_CONFLICT, "batch-out-of-order");
	ok(fixture, store_plan_add_batch(fixture->store, row, 1, "", 0, &fixture->err));
	refused(fixture, store_plan_add_batch(fixture->store, 4711, 0, "x", 1, &fixture->err),
		ERR_CONFLICT, "batch-out-of-order");
	plan.row = row;
	plan.state = PLAN_READY;
	plan.id = PLAN_ID_A;
	plan.summary = "{\"created\":2}";
	plan.holds = "holds";
	plan.holds_size = 5;
	ok(fixture, store_plan_update(fixture->store, &plan, &fixture->err));
	commit(fixture);
	reopen(fixture);

	ok(fixture,
	   store_plan_get(fixture->store, "AAAAAAAA1", fixture->arena, &read, &fixture->err));
	assert_int_equal(read.row, row);
	assert_string_equal(read.id, PLAN_ID_A);
	assert_int_equal(read.state, PLAN_READY);
	assert_string_equal(read.source, "corp");
	assert_string_equal(read.actor, "sync:corp");
	assert_int_equal(read.created_s, 100);
	assert_int_equal(read.finished_s, 0);
	assert_int_equal(read.batches, 2);
	assert_int_equal(read.batches_done, 0);
	assert_string_equal(read.summary, "{\"created\":2}");
	assert_int_equal(read.holds_size, 5);
	assert_memory_equal(read.holds, "holds", 5);

	ok(fixture, store_plan_get_batch(fixture->store, row, 0, fixture->arena, &data, &size,
					 &fixture->err));
	assert_int_equal(size, 5);
	assert_memory_equal(data, "first", 5);
	ok(fixture, store_plan_get_batch(fixture->store, row, 1, fixture->arena, &data, &size,
					 &fixture->err));
	assert_int_equal(size, 0);

	begin(fixture);
	refused(fixture, store_plan_batch_done(fixture->store, row, 1, &fixture->err), ERR_CONFLICT,
		"batch-out-of-order");
	ok(fixture, store_plan_batch_done(fixture->store, row, 0, &fixture->err));
	refused(fixture, store_plan_batch_done(fixture->store, row, 0, &fixture->err), ERR_CONFLICT,
		"batch-out-of-order");
	refused(fixture,
		store_plan_get_batch(fixture->store, row, 0, fixture->arena, &data, &size,
				     &fixture->err),
		ERR_NOT_FOUND, "not-found");
	ok(fixture, store_plan_batch_done(fixture->store, row, 1, &fixture->err));
	refused(fixture, store_plan_batch_done(fixture->store, row, 2, &fixture->err), ERR_CONFLICT,
		"batch-out-of-order");
	refused(fixture, store_plan_discard(fixture->store, row, &fixture->err), ERR_CONFLICT,
		"plan-in-use");
	plan = (struct plan_row){ .row = row, .state = PLAN_APPLIED, .finished_s = 200 };
	ok(fixture, store_plan_update(fixture->store, &plan, &fixture->err));
	commit(fixture);
	ok(fixture,
	   store_plan_get(fixture->store, PLAN_ID_A, fixture->arena, &read, &fixture->err));
	assert_int_equal(read.state, PLAN_APPLIED);
	assert_int_equal(read.finished_s, 200);
	assert_int_equal(read.batches_done, 2);
	assert_string_equal(read.summary, "{\"created\":2}"); /* not given: not changed */
	assert_int_equal(read.holds_size, 5);
	plan.row = 4711;
	begin(fixture);
	refused(fixture, store_plan_update(fixture->store, &plan, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	commit(fixture);
}

static int64_t make_plan(struct fixture *fixture, const char *id, enum plan_state plan_state)
{
	struct plan_row plan = { .id = id, .state = plan_state, .finished_s = 50 };

	ok(fixture,
	   store_plan_create(fixture->store, "corp", "sync:corp", 10, &plan.row, &fixture->err));
	ok(fixture, store_plan_add_batch(fixture->store, plan.row, 0, "data", 4, &fixture->err));
	ok(fixture, store_plan_update(fixture->store, &plan, &fixture->err));
	return plan.row;
}

static size_t count_plans(struct fixture *fixture, enum plan_state plan_state)
{
	struct plan_row *plans;
	size_t count;

	ok(fixture, store_plan_list(fixture->store, plan_state, fixture->arena, &plans, &count,
				    &fixture->err));
	for (size_t i = 0; i < count; i++) {
		assert_true(!plan_state || plans[i].state == plan_state);
		assert_true(i == 0 || plans[i - 1].row < plans[i].row);
	}
	return count;
}

static void test_plan_lists(void **state)
{
	struct fixture *fixture = *state;
	struct plan_row read;
	const void *data;
	size_t size;

	begin(fixture);

	int64_t held = make_plan(fixture, PLAN_ID_A, PLAN_HELD);
	int64_t superseded = make_plan(fixture, PLAN_ID_A, PLAN_SUPERSEDED);
	int64_t other = make_plan(fixture, PLAN_ID_B, PLAN_APPLIED);
	int64_t draft = make_plan(fixture, "", PLAN_DRAFT);

	commit(fixture);
	/* Of two with one id, the held one; of two ids with one prefix, none. */
	ok(fixture,
	   store_plan_get(fixture->store, "aaaaaaaa1", fixture->arena, &read, &fixture->err));
	assert_int_equal(read.row, held);
	ok(fixture,
	   store_plan_get(fixture->store, PLAN_ID_B, fixture->arena, &read, &fixture->err));
	assert_int_equal(read.row, other);
	refused(fixture,
		store_plan_get(fixture->store, "aaaaaaaa", fixture->arena, &read, &fixture->err),
		ERR_CONFLICT, "ambiguous-id");
	static const char *const absent[] = { "",	   "aaaaaaa",  "bbbbbbbb",
					      "aaaaaaaag", "%%%%%%%%", PLAN_ID_A "a" };

	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		refused(fixture,
			store_plan_get(fixture->store, absent[i], fixture->arena, &read,
				       &fixture->err),
			ERR_NOT_FOUND, "not-found");
	assert_int_equal(count_plans(fixture, (enum plan_state)0), 4);
	assert_int_equal(count_plans(fixture, PLAN_HELD), 1);
	assert_int_equal(count_plans(fixture, PLAN_READY), 0);

	begin(fixture);
	ok(fixture, store_plan_discard(fixture->store, draft, &fixture->err));
	refused(fixture, store_plan_discard(fixture->store, draft, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	ok(fixture, store_plan_discard(fixture->store, superseded, &fixture->err));
	refused(fixture, store_plan_discard(fixture->store, held, &fixture->err), ERR_CONFLICT,
		"plan-in-use");
	commit(fixture);
	assert_int_equal(count_plans(fixture, (enum plan_state)0), 3);
	refused(fixture,
		store_plan_get_batch(fixture->store, superseded, 0, fixture->arena, &data, &size,
				     &fixture->err),
		ERR_NOT_FOUND, "not-found");
	begin(fixture);
	ok(fixture, store_plan_prune(fixture->store, 50, &fixture->err));
	assert_int_equal(count_plans(fixture, (enum plan_state)0), 3);
	ok(fixture, store_plan_prune(fixture->store, 51, &fixture->err));
	assert_int_equal(count_plans(fixture, (enum plan_state)0), 1);
	assert_int_equal(count_plans(fixture, PLAN_HELD), 1);
	/* The number of a plan that is gone is not given again. */
	assert_true(make_plan(fixture, "", PLAN_DRAFT) > draft);
	commit(fixture);
}

/* --- windows --- */

static void test_windows(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *name, *kind, *subject;
		int64_t since_s, expected;
	} cases[] = {
		{ "all", "disables", "corp", 0, 17 },
		{ "edge: at the time itself", "disables", "corp", 100, 17 },
		{ "edge: one second later", "disables", "corp", 101, 12 },
		{ "last event", "disables", "corp", 200, 10 },
		{ "after all", "disables", "corp", 201, 0 },
		{ "other subject", "disables", "hr", 0, 1 },
		{ "other kind", "removals", "corp", 0, 0 },
	};
	int64_t sum;

	begin(fixture);
	ok(fixture, store_window_add(fixture->store, "disables", "corp", 100, 5, &fixture->err));
	ok(fixture, store_window_add(fixture->store, "disables", "corp", 150, 2, &fixture->err));
	ok(fixture, store_window_add(fixture->store, "disables", "corp", 200, 3, &fixture->err));
	ok(fixture, store_window_add(fixture->store, "disables", "corp", 200, 7, &fixture->err));
	ok(fixture, store_window_add(fixture->store, "disables", "hr", 100, 1, &fixture->err));
	commit(fixture);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ok(fixture, store_window_sum(fixture->store, cases[i].kind, cases[i].subject,
					     cases[i].since_s, &sum, &fixture->err));
		if (sum != cases[i].expected)
			fail_msg("%s: %lld", cases[i].name, (long long)sum);
	}
	begin(fixture);
	ok(fixture, store_window_prune(fixture->store, 150, &fixture->err));
	commit(fixture);
	ok(fixture, store_window_sum(fixture->store, "disables", "corp", 0, &sum, &fixture->err));
	assert_int_equal(sum, 12);
}

/* --- quarantine --- */

static void put_quarantine(struct fixture *fixture, const char *source, const char *locator,
			   const char *reason, int64_t now_s)
{
	struct quarantine_row row = {
		.source = source,
		.locator = locator,
		.key = "",
		.reason = reason,
		.detail = "byte 3",
		.since_s = now_s,
		.seen_s = now_s,
	};

	ok(fixture, store_quarantine_put(fixture->store, &row, &fixture->err));
}

static void test_quarantine(void **state)
{
	struct fixture *fixture = *state;
	struct quarantine_row *rows, stranger = { .source = "none", .locator = "x" };
	int64_t total;
	size_t count;

	begin(fixture);
	ok(fixture, store_source_ensure(fixture->store, "corp", &fixture->err));
	ok(fixture, store_source_ensure(fixture->store, "hr", &fixture->err));
	put_quarantine(fixture, "corp", "cn=a", "invalid-utf8", 10);
	put_quarantine(fixture, "corp", "cn=b", "invalid-utf8", 10);
	put_quarantine(fixture, "hr", "file.csv:3", "no-key", 10);
	put_quarantine(fixture, "corp", "cn=b", "duplicate-key", 20);
	refused(fixture, store_quarantine_put(fixture->store, &stranger, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	commit(fixture);
	ok(fixture,
	   store_quarantine_list(fixture->store,
				 &(struct quarantine_query){ .source = "corp", .limit = 0 },
				 fixture->arena, &rows, &count, &total, &fixture->err));
	assert_int_equal(total, 2);
	assert_int_equal(count, 2);
	assert_string_equal(rows[1].locator, "cn=b");
	assert_string_equal(rows[1].reason, "duplicate-key");
	assert_string_equal(rows[1].detail, "byte 3");
	assert_int_equal(rows[1].since_s, 10);
	assert_int_equal(rows[1].seen_s, 20);
	ok(fixture, store_quarantine_list(fixture->store,
					  &(struct quarantine_query){ .source = NULL, .limit = 2 },
					  fixture->arena, &rows, &count, &total, &fixture->err));
	assert_int_equal(total, 3);
	assert_int_equal(count, 2);
	ok(fixture,
	   store_quarantine_list(fixture->store,
				 &(struct quarantine_query){ .source = "none", .limit = 0 },
				 fixture->arena, &rows, &count, &total, &fixture->err));
	assert_int_equal(total, 0);
	assert_int_equal(count, 0);

	begin(fixture);
	ok(fixture, store_quarantine_prune(fixture->store, "corp", 10, &fixture->err));
	ok(fixture,
	   store_quarantine_list(fixture->store,
				 &(struct quarantine_query){ .source = "corp", .limit = 0 },
				 fixture->arena, &rows, &count, &total, &fixture->err));
	assert_int_equal(total, 2);
	ok(fixture, store_quarantine_prune(fixture->store, "corp", 20, &fixture->err));
	commit(fixture);
	ok(fixture, store_quarantine_list(fixture->store,
					  &(struct quarantine_query){ .source = NULL, .limit = 0 },
					  fixture->arena, &rows, &count, &total, &fixture->err));
	assert_int_equal(total, 2);
	assert_string_equal(rows[0].locator, "cn=b");
	assert_string_equal(rows[1].source, "hr");

	/* Seen in second 20, in which the next read begins and sees nothing. */
	begin(fixture);
	ok(fixture, store_quarantine_age(fixture->store, "corp", 20, &fixture->err));
	ok(fixture, store_quarantine_prune(fixture->store, "corp", 20, &fixture->err));
	commit(fixture);
	ok(fixture, store_quarantine_list(fixture->store,
					  &(struct quarantine_query){ .source = NULL, .limit = 0 },
					  fixture->arena, &rows, &count, &total, &fixture->err));
	assert_int_equal(total, 1);
	assert_string_equal(rows[0].source, "hr");
}

/* --- alarms --- */

static void test_alarms(void **state)
{
	struct fixture *fixture = *state;
	struct alarm_row *alarms;
	size_t count;

	begin(fixture);
	assert_int_equal(store_alarm_raise(fixture->store, "group-vanished", "g1", "first", 10,
					   &fixture->err),
			 1);
	assert_int_equal(store_alarm_raise(fixture->store, "group-vanished", "g1", "second", 20,
					   &fixture->err),
			 0);
	assert_int_equal(store_alarm_raise(fixture->store, "group-vanished", "g2", "other", 30,
					   &fixture->err),
			 1);
	ok(fixture,
	   store_alarm_list(fixture->store, true, fixture->arena, &alarms, &count, &fixture->err));
	assert_int_equal(count, 2);
	assert_string_equal(alarms[0].text, "second");
	assert_int_equal(alarms[0].since_s, 10);
	assert_int_equal(alarms[0].cleared_s, 0);
	assert_int_equal(store_alarm_clear(fixture->store, "group-vanished", "g1", "unix:root", 40,
					   &fixture->err),
			 1);
	assert_int_equal(store_alarm_clear(fixture->store, "group-vanished", "g1", "unix:root", 40,
					   &fixture->err),
			 0);
	assert_int_equal(store_alarm_raise(fixture->store, "group-vanished", "g1", "again", 50,
					   &fixture->err),
			 1);
	commit(fixture);
	ok(fixture,
	   store_alarm_list(fixture->store, true, fixture->arena, &alarms, &count, &fixture->err));
	assert_int_equal(count, 2);
	ok(fixture,
	   store_alarm_list(fixture->store, false, fixture->arena, &alarms, &count, &fixture->err));
	assert_int_equal(count, 3);
	assert_int_equal(alarms[0].cleared_s, 40);
	assert_string_equal(alarms[0].cleared_by, "unix:root");
	begin(fixture);
	ok(fixture, store_alarm_prune(fixture->store, 40, &fixture->err));
	ok(fixture,
	   store_alarm_list(fixture->store, false, fixture->arena, &alarms, &count, &fixture->err));
	assert_int_equal(count, 3);
	ok(fixture, store_alarm_prune(fixture->store, 41, &fixture->err));
	commit(fixture);
	ok(fixture,
	   store_alarm_list(fixture->store, false, fixture->arena, &alarms, &count, &fixture->err));
	assert_int_equal(count, 2);
}

/* --- small values --- */

static void test_meta(void **state)
{
	struct fixture *fixture = *state;
	const char *value = "untouched";

	ok(fixture, store_meta_get(fixture->store, "rules", fixture->arena, &value, &fixture->err));
	assert_null(value);
	begin(fixture);
	ok(fixture, store_meta_set(fixture->store, "rules", "1", &fixture->err));
	ok(fixture, store_meta_set(fixture->store, "rules", "", &fixture->err));
	commit(fixture);
	ok(fixture, store_meta_get(fixture->store, "rules", fixture->arena, &value, &fixture->err));
	assert_string_equal(value, "");
}

/* --- audit --- */

static void append(struct fixture *fixture, int64_t at_s, const char *actor, const char *action,
		   const char *object, const char *request)
{
	struct audit_row row = {
		.at_s = at_s,
		.actor = actor,
		.action = action,
		.object = object,
		.request = request,
		.detail = "{}",
	};

	ok(fixture, store_audit_append(fixture->store, &row, &fixture->err));
}

static void set_up_audit(struct fixture *fixture)
{
	begin(fixture);
	append(fixture, 10, "sync:corp", "user.create", "user:" UUID_A, "run-1");
	append(fixture, 20, "unix:root", "user.disable", "user:" UUID_A, "");
	append(fixture, 30, "sync:corp", "grant.add", "plan:x", "run-2");
	commit(fixture);
	begin(fixture);
	append(fixture, 40, "timer", "user.disable", "user:0190A0B0-1111-7000-8000-00000000000A",
	       "run-2");
	append(fixture, 50, NULL, "config", "config", NULL);
	commit(fixture);
}

static void test_audit_queries(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *name;
		struct audit_query query;
		const char *expected;
	} cases[] = {
		{ "all", { 0 }, "12345" },
		{ "newest first", { .newest_first = true }, "54321" },
		{ "limit", { .limit = 2 }, "12" },
		{ "newest two", { .newest_first = true, .limit = 2 }, "54" },
		{ "after", { .after_seq = 3 }, "45" },
		{ "from", { .from_s = 20 }, "2345" },
		{ "to", { .to_s = 20 }, "1" },
		{ "between", { .from_s = 20, .to_s = 40 }, "23" },
		{ "actor", { .actor = "sync:corp" }, "13" },
		{ "nobody", { .actor = "none" }, "" },
		{ "no actor", { .actor = "" }, "5" },
		{ "action", { .action = "user.disable" }, "24" },
		{ "user", { .object = "user:" UUID_A }, "12" },
		{ "user spelt in another way",
		  { .object = "user:0190A0B0-1111-7000-8000-00000000000A" },
		  "4" },
		{ "object", { .object = "plan:x" }, "3" },
		{ "request", { .request = "run-2" }, "34" },
		{ "several", { .request = "run-2", .action = "user.disable" }, "4" },
	};

	set_up_audit(fixture);
	reopen(fixture);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct store_audit_cursor *cursor =
			store_audit_open(fixture->store, &cases[i].query, &fixture->err);
		struct audit_iterator rows;
		struct audit_row row;
		char seen[16] = "";
		size_t n = 0;
		int more;

		assert_non_null(cursor);
		rows = store_audit_iterator(cursor);
		while ((more = rows.next(rows.context, &row, &fixture->err)) > 0)
			seen[n++] = (char)('0' + row.seq);
		seen[n] = 0;
		assert_int_equal(more, 0);
		store_audit_close(cursor);
		if (strcmp(seen, cases[i].expected) != 0)
			fail_msg("%s: %s, not %s", cases[i].name, seen, cases[i].expected);
	}
	assert_audit_intact(fixture, 5);
}

static void test_audit_head(void **state)
{
	struct fixture *fixture = *state;
	static const struct hash256 zero;
	struct hash256 head = { { 1 } };
	int64_t seq = 9;

	ok(fixture, store_audit_head(fixture->store, &seq, &head, &fixture->err));
	assert_int_equal(seq, 0);
	assert_memory_equal(&head, &zero, sizeof(head));
	set_up_audit(fixture);
	ok(fixture, store_audit_head(fixture->store, &seq, &head, &fixture->err));
	assert_int_equal(seq, 5);
	assert_memory_not_equal(&head, &zero, sizeof(head));
}

/* Whoever changes the file itself, without the triggers, breaks the chain. */
static void test_audit_notices_tampering(void **state)
{
	struct fixture *fixture = *state;
	static const char *const attacks[] = {
		"UPDATE audit SET detail = '{\"x\":1}' WHERE seq = 2",
		"UPDATE audit SET at_s = at_s + 1 WHERE seq = 2",
		"UPDATE audit SET actor = 0 WHERE seq = 2",
		"UPDATE audit SET request = action WHERE seq = 2",
		"UPDATE audit SET object = 'user:other' WHERE seq = 2",
		"UPDATE audit SET hash = zeroblob(32) WHERE seq = 2",
		"DELETE FROM audit WHERE seq = 2",
		"UPDATE name SET text = 'innocent' WHERE text = 'unix:root'",
	};

	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		struct store_audit_cursor *cursor;
		struct audit_iterator rows;
		struct audit_verdict verdict;
		char *message = NULL;
		sqlite3 *db;

		fixture_tear_down(state);
		fixture_set_up(state);
		fixture = *state;
		set_up_audit(fixture);
		assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
		assert_int_not_equal(sqlite3_exec(db, attacks[i], NULL, NULL, &message), SQLITE_OK);
		sqlite3_free(message);
		assert_int_equal(sqlite3_exec(db,
					      "DROP TRIGGER audit_no_update;"
					      "DROP TRIGGER audit_no_delete;"
					      "DROP TRIGGER name_no_update",
					      NULL, NULL, NULL),
				 SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, attacks[i], NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
		reopen(fixture);
		cursor = store_audit_open(fixture->store, NULL, &fixture->err);
		rows = store_audit_iterator(cursor);
		ok(fixture,
		   audit_verify(&rows, &(struct audit_check){ 0 }, &verdict, &fixture->err));
		store_audit_close(cursor);
		if (verdict.intact)
			fail_msg("not noticed: %s", attacks[i]);
		assert_true(verdict.broken_seq == 2 || verdict.broken_seq == 3);
	}
}

static void test_audit_rolls_back_with_its_change(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture);
	append(fixture, 10, "a", "b", "c", "d");
	store_rollback(fixture->store);
	begin(fixture);
	append(fixture, 10, "a", "b", "c", "d");
	commit(fixture);
	assert_audit_intact(fixture, 1);

	struct audit_row row = { .at_s = 1, .actor = "a" };

	refused(fixture, store_audit_append(fixture->store, &row, &fixture->err), ERR_INTERNAL,
		"internal");
}

/* More names than the cache of a handle keeps. */
static void test_many_names(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture);
	for (int i = 0; i < 40000; i++) {
		char request[32];

		snprintf(request, sizeof(request), "request-%d", i);
		append(fixture, 10, "unix:root", "user.show", "config", request);
	}
	commit(fixture);
	assert_audit_intact(fixture, 40000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_sources),
		TEST(test_identity_keys),
		TEST(test_identity_lifecycle),
		TEST(test_identity_heads),
		TEST(test_grants),
		TEST(test_damaged_grants),
		TEST(test_many_grants_of_one),
		TEST(test_holders_are_active),
		TEST(test_rules_and_expiry),
		TEST(test_groups),
		TEST(test_plan_lifecycle),
		TEST(test_plan_lists),
		TEST(test_windows),
		TEST(test_quarantine),
		TEST(test_alarms),
		TEST(test_meta),
		TEST(test_audit_queries),
		TEST(test_audit_head),
		TEST(test_audit_notices_tampering),
		TEST(test_audit_rolls_back_with_its_change),
		TEST(test_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
