/* Second factors, codes that were sent for them, and recovery codes, as rows. */
#include "support.h"

#include <string.h>

#include <rolebridge/store/factor.h>

#define BIT(method) (1u << (method))

static int64_t person(struct fixture *fixture, const char *username)
{
	int64_t id;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	id = add_user(fixture, username);
	ok(fixture, store_commit(fixture->store, &fixture->err));
	return id;
}

static struct factor_row make_totp(unsigned char number, int64_t user_id, const char *name)
{
	return (struct factor_row){ .uuid = { { number } },
				    .user_id = user_id,
				    .method = FACTOR_TOTP,
				    .name = name,
				    .version = 1,
				    .confirmed_s = 10,
				    .sealed = "sealed\0bytes",
				    .sealed_size = 12,
				    .key_id = 77,
				    .created_s = 9 };
}

static struct factor_row make_key(unsigned char number, int64_t user_id, const char *credential)
{
	return (struct factor_row){ .uuid = { { number } },
				    .user_id = user_id,
				    .method = FACTOR_WEBAUTHN,
				    .name = "key",
				    .version = 1,
				    .confirmed_s = 10,
				    .credential = credential,
				    .credential_size = strlen(credential),
				    .public_key = "public",
				    .public_key_size = 6,
				    .model = { { 5, 6 } },
				    .user_verified = true,
				    .counter = 3,
				    .created_s = 9 };
}

static void insert(struct fixture *fixture, struct factor_row *row)
{
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_factor_insert(fixture->store, row, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static struct factor_row get(struct fixture *fixture, unsigned char number)
{
	const struct uuid uuid = { { number } };
	struct factor_row row;

	ok(fixture, store_factor_get(fixture->store, &uuid, fixture->arena, &row, &fixture->err));
	return row;
}

static unsigned methods(struct fixture *fixture, int64_t user_id)
{
	unsigned found = 99;

	ok(fixture, store_factor_methods(fixture->store, user_id, &found, &fixture->err));
	return found;
}

static void test_round_trip(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada");
	struct factor_row totp = make_totp(1, ada, "phone"), key = make_key(2, ada, "cred"), read;
	const struct uuid nobody = { { 99 } };

	insert(fixture, &totp);
	insert(fixture, &key);
	reopen(fixture);
	read = get(fixture, 1);
	assert_int_equal(read.id, totp.id);
	assert_int_equal(read.method, FACTOR_TOTP);
	assert_string_equal(read.name, "phone");
	assert_int_equal(read.sealed_size, 12);
	assert_memory_equal(read.sealed, "sealed\0bytes", 12);
	assert_int_equal(read.key_id, 77);
	assert_null(read.credential);
	read = get(fixture, 2);
	assert_int_equal(read.credential_size, 4);
	assert_memory_equal(read.public_key, "public", 6);
	assert_int_equal(read.model.byte[1], 6);
	assert_true(read.user_verified);
	assert_false(read.backed_up);
	assert_int_equal(read.counter, 3);
	assert_null(read.sealed);
	refused(fixture,
		store_factor_get(fixture->store, &nobody, fixture->arena, &read, &fixture->err),
		ERR_NOT_FOUND, "not-found");
	ok(fixture, store_factor_by_credential(fixture->store, "cred", 4, fixture->arena, &read,
					       &fixture->err));
	assert_int_equal(read.id, key.id);
	refused(fixture,
		store_factor_by_credential(fixture->store, "cre", 3, fixture->arena, &read,
					   &fixture->err),
		ERR_NOT_FOUND, "not-found");
}

static void test_credential_is_one_persons(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada"), bob = person(fixture, "bob");
	struct factor_row first = make_key(1, ada, "same"), second = make_key(2, bob, "same");

	insert(fixture, &first);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	refused(fixture, store_factor_insert(fixture->store, &second, &fixture->err), ERR_CONFLICT,
		"credential-taken");
	/* Nothing is spoilt. */
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(methods(fixture, bob), 0);
}

static void test_update_and_delete(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada");
	struct factor_row row = make_totp(1, ada, "phone"), read;
	struct challenge_row challenge = { .session_id = 4, .generation = 1 }, sent;

	insert(fixture, &row);
	row.name = "tablet";
	row.version = 2;
	row.counter = 55;
	row.sealed = "other";
	row.sealed_size = 5;
	row.key_id = 78;
	row.used_s = 66;
	challenge.factor_id = row.id;
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_factor_update(fixture->store, &row, &fixture->err));
	ok(fixture, store_challenge_put(fixture->store, &challenge, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	read = get(fixture, 1);
	assert_string_equal(read.name, "tablet");
	assert_int_equal(read.version, 2);
	assert_int_equal(read.counter, 55);
	assert_int_equal(read.used_s, 66);
	assert_int_equal(read.sealed_size, 5);
	assert_int_equal(read.key_id, 78);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_factor_delete(fixture->store, row.id, &fixture->err));
	refused(fixture, store_factor_delete(fixture->store, row.id, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	refused(fixture, store_factor_update(fixture->store, &row, &fixture->err), ERR_NOT_FOUND,
		"not-found");
	ok(fixture, store_commit(fixture->store, &fixture->err));
	refused(fixture, store_challenge_get(fixture->store, row.id, 4, &sent, &fixture->err),
		ERR_NOT_FOUND, "no-code-sent");
}

static void test_methods(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada"), bob = person(fixture, "bob"),
		eve = person(fixture, "eve");
	struct factor_row first = make_totp(1, ada, "a"), second = make_totp(2, ada, "b"),
			  key = make_key(3, ada, "k"), waiting = make_totp(4, bob, "c"), *rows;
	struct recovery_row code = { .user_id = ada, .hash = "h", .issuer = "" },
			    issued = { .user_id = eve,
				       .slot = RECOVERY_SLOT_ISSUED,
				       .hash = "h",
				       .until_s = 100,
				       .issuer = "user:bob" };
	struct factor_holder *holders;
	struct factor_counts counts;
	size_t count;

	waiting.confirmed_s = 0;
	waiting.until_s = 50;
	insert(fixture, &first);
	insert(fixture, &second);
	insert(fixture, &key);
	insert(fixture, &waiting);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_recovery_put(fixture->store, &code, &fixture->err));
	ok(fixture, store_recovery_put(fixture->store, &issued, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(methods(fixture, ada),
			 BIT(FACTOR_TOTP) | BIT(FACTOR_WEBAUTHN) | BIT(FACTOR_RECOVERY));
	assert_int_equal(methods(fixture, bob), 0);
	assert_int_equal(methods(fixture, eve), 0);
	ok(fixture, store_factor_holders(fixture->store, 0, 10, fixture->arena, &holders, &count,
					 &fixture->err));
	assert_int_equal(count, 1);
	assert_int_equal(holders[0].user_id, ada);
	assert_int_equal(holders[0].methods, methods(fixture, ada));
	ok(fixture, store_factor_counts(fixture->store, 99, &counts, &fixture->err));
	assert_int_equal(counts.by_method[FACTOR_TOTP], 2);
	assert_int_equal(counts.by_method[FACTOR_WEBAUTHN], 1);
	assert_int_equal(counts.by_method[FACTOR_RECOVERY], 1);
	assert_int_equal(counts.issued, 1);
	ok(fixture, store_factor_counts(fixture->store, 100, &counts, &fixture->err));
	assert_int_equal(counts.issued, 0);
	ok(fixture, store_factor_list(fixture->store, bob, false, fixture->arena, &rows, &count,
				      &fixture->err));
	assert_int_equal(count, 0);
	ok(fixture, store_factor_list(fixture->store, bob, true, fixture->arena, &rows, &count,
				      &fixture->err));
	assert_int_equal(count, 1);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	assert_int_equal(store_recovery_use(fixture->store, code.id, 12, &fixture->err), 1);
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(methods(fixture, ada), BIT(FACTOR_TOTP) | BIT(FACTOR_WEBAUTHN));
}

static void test_keys(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada");
	struct factor_row old = make_totp(1, ada, "a"), other = make_totp(2, ada, "b"),
			  none = make_key(3, ada, "k"), *rows;
	struct sealed_count *keys;
	size_t count;

	other.key_id = 78;
	insert(fixture, &old);
	insert(fixture, &other);
	insert(fixture, &none);
	ok(fixture,
	   store_factor_keys(fixture->store, fixture->arena, &keys, &count, &fixture->err));
	assert_int_equal(count, 2);
	assert_int_equal(keys[0].key_id, 77);
	assert_int_equal(keys[0].rows, 1);
	assert_int_equal(keys[1].key_id, 78);
	ok(fixture, store_factor_sealed_otherwise(fixture->store, 78, 0, 10, fixture->arena, &rows,
						  &count, &fixture->err));
	assert_int_equal(count, 1);
	assert_int_equal(rows[0].id, old.id);
	ok(fixture, store_factor_sealed_otherwise(fixture->store, 78, old.id, 10, fixture->arena,
						  &rows, &count, &fixture->err));
	assert_int_equal(count, 0);
}

static void test_challenge(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada");
	struct factor_row row = make_totp(1, ada, "a");
	struct challenge_row challenge = { .session_id = 4,
					   .generation = 1,
					   .sent_s = 5,
					   .until_s = 6,
					   .tries = 2,
					   .sends = 3 },
			     read;

	insert(fixture, &row);
	challenge.factor_id = row.id;
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_challenge_put(fixture->store, &challenge, &fixture->err));
	challenge.generation = 2;
	challenge.used = true;
	ok(fixture, store_challenge_put(fixture->store, &challenge, &fixture->err));
	/* Of another session: another one. */
	challenge.session_id = 5;
	challenge.generation = 1;
	challenge.sent_s = 100000;
	ok(fixture, store_challenge_put(fixture->store, &challenge, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	refused(fixture, store_challenge_get(fixture->store, row.id, 6, &read, &fixture->err),
		ERR_NOT_FOUND, "no-code-sent");
	ok(fixture, store_challenge_get(fixture->store, row.id, 5, &read, &fixture->err));
	assert_int_equal(read.generation, 1);
	ok(fixture, store_challenge_get(fixture->store, row.id, 4, &read, &fixture->err));
	assert_int_equal(read.session_id, 4);
	assert_int_equal(read.generation, 2);
	assert_int_equal(read.sent_s, 5);
	assert_int_equal(read.until_s, 6);
	assert_int_equal(read.tries, 2);
	assert_int_equal(read.sends, 3);
	assert_true(read.used);
	/* They go after a day. */
	ok(fixture, store_begin(fixture->store, &fixture->err));
	assert_int_equal(store_factor_prune(fixture->store, 100000, 10, &fixture->err), 1);
	ok(fixture, store_commit(fixture->store, &fixture->err));
	refused(fixture, store_challenge_get(fixture->store, row.id, 4, &read, &fixture->err),
		ERR_NOT_FOUND, "no-code-sent");
	ok(fixture, store_challenge_get(fixture->store, row.id, 5, &read, &fixture->err));
}

static void test_challenge_once(void **state)
{
	struct fixture *fixture = *state;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_challenge_use(fixture->store, "one", 50, &fixture->err));
	ok(fixture, store_challenge_use(fixture->store, "two", 60, &fixture->err));
	refused(fixture, store_challenge_use(fixture->store, "one", 50, &fixture->err),
		ERR_CONFLICT, "replayed");
	/* Until its end, and at it. */
	assert_int_equal(store_factor_prune(fixture->store, 50, 10, &fixture->err), 0);
	assert_int_equal(store_factor_prune(fixture->store, 51, 10, &fixture->err), 1);
	refused(fixture, store_challenge_use(fixture->store, "two", 60, &fixture->err),
		ERR_CONFLICT, "replayed");
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void test_recovery(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada");
	struct recovery_row code = { .user_id = ada, .slot = 3, .hash = "one", .issuer = "" },
			    again = { .user_id = ada, .slot = 3, .hash = "two", .issuer = "x" },
			    read, *rows;
	size_t count;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_recovery_put(fixture->store, &code, &fixture->err));
	ok(fixture, store_recovery_put(fixture->store, &again, &fixture->err));
	/* What was replaced is used by nobody any more, and its number is nobody else's. */
	assert_int_not_equal(code.id, again.id);
	assert_int_equal(store_recovery_use(fixture->store, code.id, 9, &fixture->err), 0);
	ok(fixture,
	   store_recovery_get(fixture->store, ada, 3, fixture->arena, &read, &fixture->err));
	assert_string_equal(read.hash, "two");
	assert_string_equal(read.issuer, "x");
	assert_int_equal(store_recovery_use(fixture->store, again.id, 9, &fixture->err), 1);
	assert_int_equal(store_recovery_use(fixture->store, again.id, 9, &fixture->err), 0);
	ok(fixture,
	   store_recovery_get(fixture->store, ada, 3, fixture->arena, &read, &fixture->err));
	assert_string_equal(read.hash, "");
	assert_int_equal(read.used_s, 9);
	ok(fixture,
	   store_recovery_list(fixture->store, ada, fixture->arena, &rows, &count, &fixture->err));
	assert_int_equal(count, 1);
	ok(fixture, store_recovery_drop(fixture->store, ada, 4, 10, &fixture->err));
	ok(fixture, store_recovery_drop(fixture->store, ada, 0, 3, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	refused(fixture,
		store_recovery_get(fixture->store, ada, 3, fixture->arena, &read, &fixture->err),
		ERR_NOT_FOUND, "not-found");
}

static void test_prune_and_drop(void **state)
{
	struct fixture *fixture = *state;
	int64_t ada = person(fixture, "ada"), bob = person(fixture, "bob");
	struct factor_row waiting = make_totp(1, ada, "a"), good = make_totp(2, ada, "b"),
			  his = make_totp(3, bob, "c"), *rows;
	struct recovery_row issued = { .user_id = bob,
				       .slot = RECOVERY_SLOT_ISSUED,
				       .hash = "h",
				       .until_s = 60,
				       .issuer = "user:bob" },
			    printed = { .user_id = bob, .hash = "h", .issuer = "" };
	size_t count;

	waiting.confirmed_s = 0;
	waiting.until_s = 50;
	insert(fixture, &waiting);
	insert(fixture, &good);
	insert(fixture, &his);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_recovery_put(fixture->store, &issued, &fixture->err));
	ok(fixture, store_recovery_put(fixture->store, &printed, &fixture->err));
	assert_int_equal(store_factor_prune(fixture->store, 49, 10, &fixture->err), 0);
	assert_int_equal(store_factor_prune(fixture->store, 60, 10, &fixture->err), 2);
	ok(fixture, store_factors_drop(fixture->store, bob, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_int_equal(methods(fixture, ada), BIT(FACTOR_TOTP));
	assert_int_equal(methods(fixture, bob), 0);
	ok(fixture, store_factor_list(fixture->store, ada, true, fixture->arena, &rows, &count,
				      &fixture->err));
	assert_int_equal(count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_credential_is_one_persons),
		TEST(test_update_and_delete),
		TEST(test_methods),
		TEST(test_keys),
		TEST(test_challenge),
		TEST(test_challenge_once),
		TEST(test_recovery),
		TEST(test_prune_and_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
