/* Remembered browsers, grace and policies of organizations, as rows. */
#include "support.h"

#include <string.h>

#include <rolebridge/store/device.h>

#define NOW 1700000000

static struct device_row make_device(int64_t user_id, unsigned char number)
{
	return (struct device_row){ .uuid = { { number } },
				    .user_id = user_id,
				    .method = FACTOR_TOTP,
				    .proven_s = NOW - 3,
				    .agent = "agent/1",
				    .address = "192.0.2.7",
				    .created_s = NOW,
				    .seen_s = NOW,
				    .until_s = NOW + 100 * number };
}

/* ada has devices 1 and 2, bob 3. */
static void prepare(struct fixture *f)
{
	ok(f, store_begin(f->store, &f->err));
	add_user(f, "ada");
	add_user(f, "bob");
	for (unsigned char i = 1; i <= 3; i++) {
		struct device_row row = make_device(i < 3 ? 1 : 2, i);

		ok(f, store_device_insert(f->store, &row, &f->err));
		assert_int_equal(row.id, i);
	}
}

static size_t count_of(struct fixture *f, int64_t user_id)
{
	struct device_row *rows;
	size_t count;

	ok(f, store_device_list(f->store, user_id, f->arena, &rows, &count, &f->err));
	return count;
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	const struct uuid second = { { 2 } }, nobody = { { 9 } };
	struct device_row row;

	prepare(f);
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_device_find(f->store, &second, f->arena, &row, &f->err));
	assert_int_equal(row.id, 2);
	assert_int_equal(row.user_id, 1);
	assert_int_equal(row.method, FACTOR_TOTP);
	assert_int_equal(row.proven_s, NOW - 3);
	assert_string_equal(row.agent, "agent/1");
	assert_string_equal(row.address, "192.0.2.7");
	assert_int_equal(row.until_s, NOW + 200);
	refused(f, store_device_find(f->store, &nobody, f->arena, &row, &f->err), ERR_NOT_FOUND,
		"not-found");
	assert_int_equal(count_of(f, 1), 2);
	assert_int_equal(count_of(f, 2), 1);
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_device_seen(f->store, 2, NOW + 5, &f->err));
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_device_find(f->store, &second, f->arena, &row, &f->err));
	assert_int_equal(row.seen_s, NOW + 5);
}

static void test_forgotten(void **state)
{
	struct fixture *f = *state;

	prepare(f);
	ok(f, store_device_delete(f->store, 1, &f->err));
	refused(f, store_device_delete(f->store, 1, &f->err), ERR_NOT_FOUND, "not-found");
	assert_int_equal(count_of(f, 1), 1);
	assert_int_equal(store_devices_drop(f->store, 1, &f->err), 1);
	assert_int_equal(count_of(f, 1), 0);
	assert_int_equal(count_of(f, 2), 1);
	assert_int_equal(store_device_prune(f->store, NOW + 299, 10, &f->err), 0);
	assert_int_equal(store_device_prune(f->store, NOW + 300, 10, &f->err), 1);
	ok(f, store_commit(f->store, &f->err));
}

static void test_nobodys(void **state)
{
	struct fixture *f = *state;
	struct device_row row = make_device(77, 1);

	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(store_device_insert(f->store, &row, &f->err), -1);
	store_rollback(f->store);
}

static int64_t grace(struct fixture *f, int64_t user_id, int64_t since_s)
{
	int64_t sign_ins = -1;

	ok(f, store_grace_get(f->store, user_id, since_s, &sign_ins, &f->err));
	return sign_ins;
}

static void test_grace(void **state)
{
	struct fixture *f = *state;

	prepare(f);
	assert_int_equal(grace(f, 1, NOW), 0);
	ok(f, store_grace_put(f->store, 1, NOW, 2, &f->err));
	assert_int_equal(grace(f, 1, NOW), 2);
	assert_int_equal(grace(f, 2, NOW), 0);
	/* Of another policy nothing was counted. */
	assert_int_equal(grace(f, 1, NOW + 1), 0);
	ok(f, store_grace_put(f->store, 1, NOW + 1, 1, &f->err));
	assert_int_equal(grace(f, 1, NOW + 1), 1);
	assert_int_equal(grace(f, 1, NOW), 0);
	ok(f, store_grace_drop(f->store, 1, &f->err));
	assert_int_equal(grace(f, 1, NOW + 1), 0);
	ok(f, store_commit(f->store, &f->err));
}

static void test_policy(void **state)
{
	struct fixture *f = *state;
	struct factor_policy_row row = {
		.organization = "default", .body = "{}", .version = 1, .set_s = NOW
	};

	refused(f, store_factor_policy_get(f->store, "default", f->arena, &row, &f->err),
		ERR_NOT_FOUND, "not-found");
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_factor_policy_put(f->store, &row, &f->err));
	row = (struct factor_policy_row){
		.organization = "default", .body = "{\"a\":1}", .version = 2, .set_s = NOW + 1
	};
	ok(f, store_factor_policy_put(f->store, &row, &f->err));
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_factor_policy_get(f->store, "default", f->arena, &row, &f->err));
	assert_string_equal(row.body, "{\"a\":1}");
	assert_string_equal(row.organization, "default");
	assert_int_equal(row.version, 2);
	assert_int_equal(row.set_s, NOW + 1);
	refused(f, store_factor_policy_get(f->store, "other", f->arena, &row, &f->err),
		ERR_NOT_FOUND, "not-found");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip), TEST(test_forgotten), TEST(test_nobodys),
		TEST(test_grace),      TEST(test_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
