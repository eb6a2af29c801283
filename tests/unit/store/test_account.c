/* Ties of users to accounts: both lists, page by page, and the end of an account that very many belong to. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/store/account.h>
#include <rolebridge/store/ownership.h>

static int64_t put(struct fixture *f, const char *application, const char *type, const char *id)
{
	struct resource resource = { .key = { application, type, id },
				     .organization = "default",
				     .title = id,
				     .version = 1,
				     .created_s = 5,
				     .updated_s = 5 };

	ok(f, store_resource_put(f->store, &resource, &f->err));
	return resource.row;
}

static int64_t find(struct fixture *f, const char *application, const char *id)
{
	const char *organization;
	int64_t row;

	ok(f,
	   store_account_find(f->store, application, id, f->arena, &row, &organization, &f->err));
	assert_string_equal(organization, row ? "default" : "");
	return row;
}

static void test_find(void **state)
{
	struct fixture *f = *state;
	int64_t account;

	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(find(f, "crm", "a"), 0);
	put(f, "crm", "tasks", "a");
	assert_int_equal(find(f, "crm", "a"), 0);
	account = put(f, "crm", "accounts", "a");
	put(f, "erp", "accounts", "b");
	assert_int_equal(find(f, "crm", "a"), account);
	assert_int_equal(find(f, "crm", "b"), 0);
	ok(f, store_commit(f->store, &f->err));
}

static void test_ties(void **state)
{
	struct fixture *f = *state;
	struct account_row *accounts;
	struct user *users;
	int64_t a, b, c, anna, ben, count;
	size_t found;

	ok(f, store_begin(f->store, &f->err));
	a = put(f, "crm", "accounts", "a");
	b = put(f, "erp", "accounts", "b");
	c = put(f, "crm", "accounts", "c");
	anna = add_user(f, "anna");
	ben = add_user(f, "ben");
	assert_int_equal(store_account_tie(f->store, a, anna, 10, &f->err), 1);
	assert_int_equal(store_account_tie(f->store, a, anna, 20, &f->err), 0);
	assert_int_equal(store_account_tie(f->store, c, anna, 11, &f->err), 1);
	assert_int_equal(store_account_tie(f->store, b, anna, 12, &f->err), 1);
	assert_int_equal(store_account_tie(f->store, a, ben, 13, &f->err), 1);
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_accounts_of(f->store, anna, NULL, 0, 10, f->arena, &accounts, &found, &f->err));
	assert_int_equal(found, 3);
	assert_int_equal(accounts[0].row, a);
	assert_int_equal(accounts[0].since_s, 10);
	assert_string_equal(accounts[1].application, "erp");
	ok(f,
	   store_accounts_of(f->store, anna, "crm", a, 10, f->arena, &accounts, &found, &f->err));
	assert_int_equal(found, 1);
	assert_string_equal(accounts[0].id, "c");
	ok(f,
	   store_accounts_of(f->store, anna, "never", 0, 10, f->arena, &accounts, &found, &f->err));
	assert_int_equal(found, 0);
	refused(f,
		store_accounts_of(f->store, anna, NULL, 0, 0, f->arena, &accounts, &found, &f->err),
		ERR_INVALID, "invalid");
	ok(f, store_account_count(f->store, anna, &count, &f->err));
	assert_int_equal(count, 3);
	ok(f, store_account_people(f->store, a, 0, 1, f->arena, &users, &found, &f->err));
	assert_int_equal(found, 1);
	assert_string_equal(users[0].username, "anna");
	ok(f, store_account_people(f->store, a, anna, 10, f->arena, &users, &found, &f->err));
	assert_int_equal(found, 1);
	assert_int_equal(users[0].id, ben);
	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(store_account_untie(f->store, a, anna, &f->err), 1);
	assert_int_equal(store_account_untie(f->store, a, anna, &f->err), 0);
	assert_int_equal(store_accounts_drop(f->store, anna, &f->err), 2);
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_account_people_count(f->store, a, &count, &f->err));
	assert_int_equal(count, 1);
}

/* Cut off anywhere, what is left is found again, and nobody sees it. */
static void test_the_end_of_an_account(void **state)
{
	struct fixture *f = *state;
	const size_t people = 25, piece = 10;
	struct account_row *accounts;
	int64_t account, users[25], count;
	size_t found;

	ok(f, store_begin(f->store, &f->err));
	account = put(f, "crm", "accounts", "a");
	for (size_t i = 0; i < people; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%zu", i);
		users[i] = add_user(f, name);
		ok(f, store_account_tie(f->store, account, users[i], 10, &f->err));
	}
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(store_accounts_left(f->store, &f->err), 0);
	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(store_account_clear(f->store, account, piece, &f->err), 1);
	ok(f, store_resource_remove(f->store, account, &f->err));
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_accounts_of(f->store, users[people - 1], NULL, 0, 10, f->arena, &accounts,
				&found, &f->err));
	assert_int_equal(found, 0);
	ok(f, store_account_people_count(f->store, account, &count, &f->err));
	assert_int_equal(count, people - piece);
	assert_int_equal(store_accounts_left(f->store, &f->err), 1);
	for (int64_t left = (int64_t)(people - piece); left >= 0; left -= (int64_t)piece) {
		ok(f, store_begin(f->store, &f->err));
		assert_int_equal(store_accounts_prune(f->store, piece, &f->err), 1);
		ok(f, store_commit(f->store, &f->err));
	}
	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(store_accounts_prune(f->store, piece, &f->err), 0);
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(store_accounts_left(f->store, &f->err), 0);
	ok(f, store_account_people_count(f->store, account, &count, &f->err));
	assert_int_equal(count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_find),
		TEST(test_ties),
		TEST(test_the_end_of_an_account),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
