/* Who is due, one group, one key of the quarantine, users of whom only grants change. */
#include "support.h"

#include <string.h>

static void test_due(void **state)
{
	struct fixture *f = *state;
	int64_t anna, ben, next, *ids;
	const char **sources;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_source_ensure(f->store, "corp", &f->err));
	ok(f, store_source_ensure(f->store, "hr", &f->err));
	anna = add_user(f, "anna");
	ben = add_user(f, "ben");
	ok(f, store_due_next(f->store, &next, &f->err));
	assert_int_equal(next, 0);
	ok(f, store_due_add(f->store, "corp", ben, 200, &f->err));
	ok(f, store_due_add(f->store, "corp", anna, 300, &f->err));
	ok(f, store_due_add(f->store, "corp", anna, 200, &f->err));
	ok(f, store_due_add(f->store, "corp", anna, 200, &f->err));
	ok(f, store_due_add(f->store, "hr", ben, 100, &f->err));
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_due_next(f->store, &next, &f->err));
	assert_int_equal(next, 100);
	ok(f, store_due_sources(f->store, 99, f->arena, &sources, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_due_sources(f->store, 200, f->arena, &sources, &count, &f->err));
	assert_int_equal(count, 2);
	assert_string_equal(sources[0], "corp");
	assert_string_equal(sources[1], "hr");
	ok(f, store_due_users(f->store, "corp", 200, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], anna);
	assert_int_equal(ids[1], ben);
	ok(f, store_due_users(f->store, "corp", 199, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_due_users(f->store, "nobody", 999, f->arena, &ids, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_due_remove(f->store, "corp", 200, &f->err));
	ok(f, store_due_remove(f->store, "hr", 200, &f->err));
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_due_next(f->store, &next, &f->err));
	assert_int_equal(next, 300);
}

static void test_outside_of_a_transaction(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store_due_add(f->store, "corp", 1, 1, &f->err), -1);
	assert_int_equal(store_due_remove(f->store, "corp", 1, &f->err), -1);
	assert_int_equal(store_quarantine_forget(f->store, "corp", "k", &f->err), -1);
}

#define UUID_KEY "0b7c1f2e-1111-4222-8333-444455556666"

static int64_t wanted(struct fixture *f, const char *source, const char *key)
{
	int64_t user;

	ok(f, store_link_wanted(f->store, source, key, &user, &f->err));
	return user;
}

/* Whose an identity is by hand: wanted until it is stored, and taken for good. */
static void test_links(void **state)
{
	struct fixture *f = *state;
	struct hash128 digest = { { 1, 2 } };
	struct identity_row row = {
		.source = "corp", .key = UUID_KEY, .record = "r", .record_size = 1, .read_s = 1
	};
	struct link_row *links;
	int64_t anna, ben;
	size_t count;

	assert_int_equal(store_link_put(f->store, "corp", "k", 1, true, &f->err), -1);
	assert_int_equal(store_link_remove(f->store, "corp", "k", 1, &f->err), -1);
	assert_int_equal(store_links_drop(f->store, 1, &f->err), -1);
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_source_ensure(f->store, "corp", &f->err));
	anna = add_user(f, "anna");
	ben = add_user(f, "ben");
	assert_int_equal(store_link_put(f->store, "nix", "k", anna, true, &f->err), -1);
	assert_int_equal(wanted(f, "nix", "k"), 0);
	assert_int_equal(store_link_any(f->store, "nix", &f->err), 0);
	assert_int_equal(store_link_any(f->store, "corp", &f->err), 0);
	ok(f, store_link_put(f->store, "corp", UUID_KEY, anna, true, &f->err));
	ok(f, store_link_put(f->store, "corp", "k", anna, true, &f->err));
	ok(f, store_link_put(f->store, "corp", "other", ben, false, &f->err));
	assert_int_equal(store_link_any(f->store, "corp", &f->err), 1);
	assert_int_equal(wanted(f, "corp", UUID_KEY), anna);
	assert_int_equal(wanted(f, "corp", "other"), 0);
	assert_int_equal(store_link_refused(f->store, "corp", "other", ben, &f->err), 1);
	assert_int_equal(store_link_refused(f->store, "corp", "other", anna, &f->err), 0);
	assert_int_equal(store_link_refused(f->store, "corp", "k", anna, &f->err), 0);
	ok(f, store_links_of(f->store, anna, f->arena, &links, &count, &f->err));
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(links[i].source, "corp");
		assert_true(strcmp(links[i].key, "k") == 0 || strcmp(links[i].key, UUID_KEY) == 0);
	}
	ok(f, store_commit(f->store, &f->err));
	/* Stored: nothing is wanted any more. What was taken stays so. */
	ok(f, store_begin(f->store, &f->err));
	row.user_id = anna;
	ok(f, store_identity_put(f->store, &row, &digest, &f->err));
	assert_int_equal(wanted(f, "corp", UUID_KEY), 0);
	assert_int_equal(wanted(f, "corp", "k"), anna);
	row.key = "other";
	ok(f, store_identity_put(f->store, &row, &digest, &f->err));
	assert_int_equal(store_link_refused(f->store, "corp", "other", ben, &f->err), 1);
	/* The later word counts; nobody wants the tombstone's. */
	ok(f, store_link_put(f->store, "corp", "k", anna, false, &f->err));
	assert_int_equal(wanted(f, "corp", "k"), 0);
	assert_int_equal(store_link_any(f->store, "corp", &f->err), 0);
	ok(f, store_link_put(f->store, "corp", "k", anna, true, &f->err));
	ok(f, store_link_put(f->store, "corp", "x", anna, false, &f->err));
	ok(f, store_links_drop(f->store, anna, &f->err));
	assert_int_equal(wanted(f, "corp", "k"), 0);
	assert_int_equal(store_link_refused(f->store, "corp", "x", anna, &f->err), 1);
	ok(f, store_link_remove(f->store, "corp", "x", anna, &f->err));
	assert_int_equal(store_link_refused(f->store, "corp", "x", anna, &f->err), 0);
	ok(f, store_commit(f->store, &f->err));
}

static void test_touch(void **state)
{
	struct fixture *f = *state;
	struct user user, stored;

	ok(f, store_begin(f->store, &f->err));
	add_user(f, "anna");
	ok(f, store_user_find(f->store, USER_BY_USERNAME, "anna", f->arena, &user, &f->err));
	user.version++;
	user.updated_s = 4711;
	ok(f, store_user_touch(f->store, &user, &f->err));
	ok(f, store_user_get(f->store, user.id, f->arena, &stored, &f->err));
	assert_int_equal(stored.version, user.version);
	assert_int_equal(stored.updated_s, 4711);
	assert_string_equal(stored.username, "anna");
	/* Once; nothing is spoilt by the second time. */
	refused(f, store_user_touch(f->store, &user, &f->err), ERR_CONFLICT, "stale-version");
	ok(f, store_commit(f->store, &f->err));
}

static void test_group_members(void **state)
{
	struct fixture *f = *state;
	struct group_registry_row row = { .id = 7, .name = "cn=sales", .members = 12 };
	int64_t members;

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_group_put(f->store, &row, &f->err));
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_group_members(f->store, 7, &members, &f->err));
	assert_int_equal(members, 12);
	ok(f, store_group_members(f->store, 8, &members, &f->err));
	assert_int_equal(members, -1);
}

static void test_quarantine(void **state)
{
	struct fixture *f = *state;
	struct quarantine_row row = {
		.source = "corp", .locator = "uid=a", .key = "k1", .reason = "r", .detail = ""
	};

	assert_int_equal(store_quarantine_any(f->store, "corp", &f->err), 0);
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_source_ensure(f->store, "corp", &f->err));
	ok(f, store_source_ensure(f->store, "hr", &f->err));
	ok(f, store_quarantine_put(f->store, &row, &f->err));
	row.locator = "line 3";
	row.key = "";
	ok(f, store_quarantine_put(f->store, &row, &f->err));
	/* Another's, nobody's, and those without a key stay. */
	ok(f, store_quarantine_forget(f->store, "hr", "k1", &f->err));
	ok(f, store_quarantine_forget(f->store, "corp", "k2", &f->err));
	ok(f, store_quarantine_forget(f->store, "corp", "", &f->err));
	assert_int_equal(store_quarantine_has_key(f->store, "corp", "k1", &f->err), 1);
	ok(f, store_quarantine_forget(f->store, "corp", "k1", &f->err));
	assert_int_equal(store_quarantine_has_key(f->store, "corp", "k1", &f->err), 0);
	assert_int_equal(store_quarantine_any(f->store, "corp", &f->err), 1);
	assert_int_equal(store_quarantine_any(f->store, "hr", &f->err), 0);
	ok(f, store_commit(f->store, &f->err));
}

/* One state among many plans, and all of them, in order. */
static void test_plans_of_a_state(void **state)
{
	struct fixture *f = *state;
	struct plan_row *plans;
	size_t count;
	int64_t row;

	ok(f, store_begin(f->store, &f->err));
	for (int i = 0; i < 30; i++) {
		struct plan_row update = { .state = i % 10 == 0 ? PLAN_HELD : PLAN_APPLIED };

		ok(f, store_plan_create(f->store, "corp", "test", i, &row, &f->err));
		update.row = row;
		ok(f, store_plan_update(f->store, &update, &f->err));
	}
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_plan_list(f->store, PLAN_HELD, f->arena, &plans, &count, &f->err));
	assert_int_equal(count, 3);
	assert_int_equal(plans[1].created_s, 10);
	ok(f, store_plan_list(f->store, 0, f->arena, &plans, &count, &f->err));
	assert_int_equal(count, 30);
	for (size_t i = 1; i < count; i++)
		assert_true(plans[i - 1].row < plans[i].row);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_due),	       TEST(test_outside_of_a_transaction),
		TEST(test_touch),      TEST(test_group_members),
		TEST(test_quarantine), TEST(test_plans_of_a_state),
		TEST(test_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
