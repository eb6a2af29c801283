/* Passwords and reset links, as rows. */
#include "support.h"

#include <string.h>

#include <rolebridge/store/credential.h>

static int64_t add(struct fixture *f, const char *name)
{
	int64_t id;

	ok(f, store_begin(f->store, &f->err));
	id = add_user(f, name);
	ok(f, store_commit(f->store, &f->err));
	return id;
}

static struct password_row get(struct fixture *f, int64_t user_id)
{
	struct password_row row;

	ok(f, store_password_get(f->store, user_id, f->arena, &row, &f->err));
	return row;
}

static void test_passwords(void **state)
{
	struct fixture *f = *state;
	int64_t ada = add(f, "ada"), ben = add(f, "ben");
	struct password_row row = { .user_id = ada, .hash = "$first", .version = 1, .set_s = 5 };

	refused(f, store_password_get(f->store, ada, f->arena, &row, &f->err), ERR_NOT_FOUND,
		"not-found");
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_password_put(f->store, &row, &f->err));
	row.user_id = 99;
	refused(f, store_password_put(f->store, &row, &f->err), ERR_NOT_FOUND, "not-found");
	row.user_id = ben;
	row.hash = "$other";
	ok(f, store_password_put(f->store, &row, &f->err));
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	assert_string_equal(get(f, ada).hash, "$first");
	assert_int_equal(get(f, ada).set_s, 5);
	assert_false(get(f, ada).by_mail);
	ok(f, store_begin(f->store, &f->err));
	row = (struct password_row){ .user_id = ada, .hash = "$second", .version = 2, .set_s = 6 };
	row.by_mail = true;
	ok(f, store_password_put(f->store, &row, &f->err));
	/* Another hash of the version that was verified, and of no other. */
	assert_int_equal(store_password_rehash(f->store, ada, 1, "$old", &f->err), 0);
	assert_int_equal(store_password_rehash(f->store, ada, 2, "$dearer", &f->err), 1);
	assert_int_equal(store_password_rehash(f->store, 99, 1, "$x", &f->err), 0);
	ok(f, store_commit(f->store, &f->err));
	assert_string_equal(get(f, ada).hash, "$dearer");
	assert_int_equal(get(f, ada).version, 2);
	assert_true(get(f, ada).by_mail);
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_password_proven(f->store, ada, &f->err));
	ok(f, store_password_proven(f->store, 99, &f->err));
	ok(f, store_commit(f->store, &f->err));
	assert_false(get(f, ada).by_mail);
	assert_int_equal(get(f, ada).version, 2);
	assert_string_equal(get(f, ben).hash, "$other");
}

static void test_resets(void **state)
{
	struct fixture *f = *state;
	int64_t ada = add(f, "ada");
	struct reset_row row = { .user_id = ada,
				 .uuid = { { 7 } },
				 .generation = INT64_C(0xffffffff),
				 .email = "ada@x.example",
				 .sent_s = 1,
				 .expires_s = 2,
				 .mail_problem = "" };
	struct reset_row read;
	const struct uuid other = { { 8 } };

	refused(f, store_reset_of(f->store, ada, f->arena, &read, &f->err), ERR_NOT_FOUND,
		"not-found");
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_reset_put(f->store, &row, &f->err));
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_reset_get(f->store, &row.uuid, f->arena, &read, &f->err));
	assert_int_equal(read.user_id, ada);
	assert_memory_equal(&read.uuid, &row.uuid, sizeof(row.uuid));
	assert_int_equal(read.generation, INT64_C(0xffffffff));
	assert_string_equal(read.email, "ada@x.example");
	assert_int_equal(read.sent_s, 1);
	assert_int_equal(read.expires_s, 2);
	assert_int_equal(read.ended, RESET_OPEN);
	refused(f, store_reset_get(f->store, &other, f->arena, &read, &f->err), ERR_NOT_FOUND,
		"not-found");
	row.uuid = other;
	row.mailed_s = 3;
	row.mail_problem = "no route";
	row.ended = RESET_VOID;
	row.ended_s = 4;
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_reset_put(f->store, &row, &f->err));
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_reset_of(f->store, ada, f->arena, &read, &f->err));
	assert_memory_equal(&read.uuid, &other, sizeof(other));
	assert_int_equal(read.mailed_s, 3);
	assert_string_equal(read.mail_problem, "no route");
	assert_int_equal(read.ended, RESET_VOID);
	assert_int_equal(read.ended_s, 4);
}

static void test_drop(void **state)
{
	struct fixture *f = *state;
	int64_t ada = add(f, "ada"), ben = add(f, "ben");
	struct password_row row = { .user_id = ada, .hash = "$a", .version = 1 };
	struct reset_row reset = { .user_id = ada,
				   .uuid = { { 7 } },
				   .generation = 1,
				   .email = "a@x",
				   .mail_problem = "" };

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_password_put(f->store, &row, &f->err));
	ok(f, store_reset_put(f->store, &reset, &f->err));
	row.user_id = ben;
	ok(f, store_password_put(f->store, &row, &f->err));
	ok(f, store_credentials_drop(f->store, ada, &f->err));
	ok(f, store_commit(f->store, &f->err));
	refused(f, store_password_get(f->store, ada, f->arena, &row, &f->err), ERR_NOT_FOUND,
		"not-found");
	refused(f, store_reset_of(f->store, ada, f->arena, &reset, &f->err), ERR_NOT_FOUND,
		"not-found");
	assert_string_equal(get(f, ben).hash, "$a");
}

/* Outside of a transaction nothing is written. */
static void test_needs_a_transaction(void **state)
{
	struct fixture *f = *state;
	int64_t ada = add(f, "ada");
	struct password_row row = { .user_id = ada, .hash = "$a", .version = 1 };

	refused(f, store_password_put(f->store, &row, &f->err), ERR_INTERNAL, "internal");
	refused(f, store_password_rehash(f->store, ada, 1, "$b", &f->err), ERR_INTERNAL,
		"internal");
	refused(f, store_password_proven(f->store, ada, &f->err), ERR_INTERNAL, "internal");
	refused(f, store_credentials_drop(f->store, ada, &f->err), ERR_INTERNAL, "internal");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_passwords),
		TEST(test_resets),
		TEST(test_drop),
		TEST(test_needs_a_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
