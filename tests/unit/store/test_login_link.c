/* Links of root's as rows: one for each user, found by its uuid. */
#include "support.h"

#include <rolebridge/store/login_link.h>

static int64_t add(struct fixture *fixture, const char *username)
{
	int64_t id;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	id = add_user(fixture, username);
	ok(fixture, store_commit(fixture->store, &fixture->err));
	return id;
}

static struct login_link_row link_of(int64_t user_id, unsigned char number, int64_t until_s)
{
	return (struct login_link_row){ .uuid = { { number } },
					.user_id = user_id,
					.until_s = until_s };
}

static void put(struct fixture *fixture, const struct login_link_row *row)
{
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_login_link_put(fixture->store, row, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void assert_is(struct fixture *fixture, unsigned char number, int64_t user_id)
{
	const struct uuid uuid = { { number } };
	struct login_link_row row;

	if (user_id == 0) {
		refused(fixture, store_login_link_get(fixture->store, &uuid, &row, &fixture->err),
			ERR_NOT_FOUND, "not-found");
		return;
	}
	ok(fixture, store_login_link_get(fixture->store, &uuid, &row, &fixture->err));
	assert_int_equal(row.user_id, user_id);
}

static void test_one_for_each(void **state)
{
	struct fixture *fixture = *state;
	int64_t anna = add(fixture, "anna"), ben = add(fixture, "ben");
	struct login_link_row first = link_of(anna, 1, 100), second = link_of(anna, 2, 200),
			      other = link_of(ben, 3, 300);

	assert_is(fixture, 1, 0);
	put(fixture, &first);
	put(fixture, &other);
	assert_is(fixture, 1, anna);
	put(fixture, &second);
	assert_is(fixture, 1, 0);
	assert_is(fixture, 2, anna);
	assert_is(fixture, 3, ben);
	reopen(fixture);
	assert_is(fixture, 2, anna);
}

static void test_gone(void **state)
{
	struct fixture *fixture = *state;
	int64_t anna = add(fixture, "anna"), ben = add(fixture, "ben");
	struct login_link_row first = link_of(anna, 1, 100), other = link_of(ben, 3, 300);

	put(fixture, &first);
	put(fixture, &other);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_login_link_prune(fixture->store, 100, &fixture->err));
	ok(fixture, store_login_link_delete(fixture->store, 9999, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_is(fixture, 1, 0);
	assert_is(fixture, 3, ben);
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_login_link_delete(fixture->store, ben, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	assert_is(fixture, 3, 0);
}

static void test_nobodys(void **state)
{
	struct fixture *fixture = *state;
	struct login_link_row row = link_of(9999, 1, 100);

	ok(fixture, store_begin(fixture->store, &fixture->err));
	err_clear(&fixture->err);
	assert_int_equal(store_login_link_put(fixture->store, &row, &fixture->err), -1);
	assert_int_equal(fixture->err.code, ERR_NOT_FOUND);
	store_rollback(fixture->store);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_one_for_each),
		TEST(test_gone),
		TEST(test_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
