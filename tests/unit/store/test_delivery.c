/* The queue of deliveries: order per person, folding, what is due, dead ones. */
#include "support.h"

#include <sqlite3.h>
#include <string.h>

#include <rolebridge/store/delivery.h>

#define NOW INT64_C(1000)

static struct delivery_row add_at(struct fixture *f, const char *target, int64_t user,
				  enum delivery_event event, int64_t next_s)
{
	struct delivery_row row = { .uuid = uuid_create(NOW * 1000),
				    .target = target,
				    .user_id = user,
				    .event = event,
				    .detail = "{}",
				    .version = 1,
				    .created_s = NOW,
				    .next_s = next_s,
				    .code = "",
				    .problem = "" };

	ok(f, store_delivery_add(f->store, &row, &f->err));
	return row;
}

static struct delivery_row add(struct fixture *f, const char *target, int64_t user)
{
	return add_at(f, target, user, DELIVERY_UPDATED, NOW);
}

static void fold(struct fixture *f, int64_t user, enum delivery_event event, int64_t now_s,
		 int64_t next_s)
{
	struct delivery_row row = { .uuid = uuid_create(now_s * 1000),
				    .target = "state",
				    .user_id = user,
				    .event = event,
				    .detail = "",
				    .created_s = now_s,
				    .next_s = next_s };

	ok(f, store_delivery_fold(f->store, &row, &f->err));
}

static size_t due(struct fixture *f, const char *target, int64_t now_s,
		  struct delivery_row **ret_rows)
{
	size_t count;

	ok(f, store_delivery_due(f->store, target, now_s, INT64_MAX, 1000, f->arena, ret_rows,
				 &count, &f->err));
	return count;
}

static struct delivery_row only(struct fixture *f, const char *target, int64_t now_s)
{
	struct delivery_row *rows;

	assert_int_equal(due(f, target, now_s, &rows), 1);
	return rows[0];
}

static int64_t seen(struct fixture *f, const char *target, enum delivery_state state)
{
	const struct delivery_query query = { .target = target, .state = state, .limit = 1000 };
	struct delivery_row *rows;
	size_t count;

	ok(f, store_delivery_list(f->store, &query, f->arena, &rows, &count, &f->err));
	return (int64_t)count;
}

/* They are kept beside the rows, and must be what the rows say. */
static struct delivery_counts counts(struct fixture *f, const char *target)
{
	struct delivery_counts counts;

	ok(f, store_delivery_counts(f->store, target, NOW, &counts, &f->err));
	assert_int_equal(counts.waiting, seen(f, target, DELIVERY_WAITING));
	assert_int_equal(counts.failing, seen(f, target, DELIVERY_FAILING));
	assert_int_equal(counts.dead, seen(f, target, DELIVERY_DEAD));
	return counts;
}

static void test_order_of_a_person(void **state)
{
	struct fixture *f = *state;
	struct delivery_row first, second, *rows;

	ok(f, store_begin(f->store, &f->err));
	first = add(f, "hook", 7);
	second = add(f, "hook", 7);
	add(f, "hook", 8);
	add(f, "other", 7);
	assert_int_equal(due(f, "hook", NOW, &rows), 2);
	assert_int_equal(rows[0].id, first.id);
	assert_int_equal(rows[0].user_id, 7);
	assert_int_equal(rows[1].user_id, 8);
	/* The first fails: the second waits on, the other person does not. */
	first = rows[0];
	first.attempts = 1;
	first.next_s = NOW + 60;
	first.problem = "500";
	ok(f, store_delivery_put_off(f->store, &first, &f->err));
	assert_int_equal(only(f, "hook", NOW).user_id, 8);
	assert_int_equal(counts(f, "hook").failing, 1);
	assert_int_equal(counts(f, "hook").waiting, 3);
	/* It comes through: the second is due at once. */
	assert_int_equal(due(f, "hook", NOW + 60, &rows), 2);
	assert_string_equal(rows[1].problem, "500");
	ok(f, store_delivery_remove(f->store, &rows[1], NOW + 61, &f->err));
	assert_int_equal(due(f, "hook", NOW + 61, &rows), 2);
	assert_int_equal(rows[1].id, second.id);
	assert_int_equal(rows[1].next_s, NOW + 61);
	ok(f, store_commit(f->store, &f->err));
}

static void test_urgent_goes_first(void **state)
{
	struct fixture *f = *state;
	struct delivery_row *rows;
	int64_t next_s;

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_delivery_next(f->store, "hook", &next_s, &f->err));
	assert_int_equal(next_s, -1);
	add(f, "hook", 1);
	ok(f, store_delivery_next(f->store, "hook", &next_s, &f->err));
	assert_int_equal(next_s, NOW);
	add_at(f, "hook", 2, DELIVERY_DISABLED, 0);
	ok(f, store_delivery_next(f->store, "hook", &next_s, &f->err));
	assert_int_equal(next_s, 0);
	assert_int_equal(due(f, "hook", NOW, &rows), 2);
	assert_int_equal(rows[0].user_id, 2);
	ok(f, store_commit(f->store, &f->err));
}

static void test_dead_ones_let_the_next_pass(void **state)
{
	struct fixture *f = *state;
	struct delivery_row first, second;

	ok(f, store_begin(f->store, &f->err));
	add(f, "hook", 7);
	second = add(f, "hook", 7);
	first = only(f, "hook", NOW);
	first.dead_s = NOW + 5;
	first.attempts = 1;
	first.code = "gone";
	first.problem = "410";
	ok(f, store_delivery_bury(f->store, &first, &f->err));
	assert_int_equal(only(f, "hook", NOW + 5).id, second.id);
	assert_int_equal(counts(f, "hook").dead, 1);
	assert_int_equal(counts(f, "hook").waiting, 1);
	assert_int_equal(store_delivery_any_dead(f->store, "hook", &f->err), 1);
	assert_int_equal(store_delivery_any_dead(f->store, "other", &f->err), 0);
	/* Tried again it goes before the one that came after it. */
	ok(f, store_delivery_find(f->store, &first.uuid, f->arena, &first, &f->err));
	assert_string_equal(first.code, "gone");
	ok(f, store_delivery_revive(f->store, &first, NOW + 9, &f->err));
	first = only(f, "hook", NOW + 9);
	assert_int_equal(first.id, second.id - 1);
	assert_int_equal(first.attempts, 0);
	ok(f, store_delivery_remove(f->store, &first, NOW + 9, &f->err));
	assert_int_equal(only(f, "hook", NOW + 9).id, second.id);
	ok(f, store_commit(f->store, &f->err));
}

static void test_states_are_folded(void **state)
{
	struct fixture *f = *state;
	struct delivery_row taken, again;

	ok(f, store_begin(f->store, &f->err));
	fold(f, 7, DELIVERY_PROVISIONED, NOW, NOW);
	fold(f, 7, DELIVERY_GRANTS, NOW + 1, NOW + 1);
	taken = only(f, "state", NOW + 1);
	assert_int_equal(taken.version, 2);
	assert_int_equal(taken.event, DELIVERY_GRANTS);
	assert_int_equal(taken.created_s, NOW);
	assert_int_equal(taken.next_s, NOW);
	/* Something happens while it is on its way: what was delivered is not all. */
	fold(f, 7, DELIVERY_DISABLED, NOW + 2, 0);
	ok(f, store_delivery_remove(f->store, &taken, NOW + 3, &f->err));
	again = only(f, "state", NOW + 3);
	assert_int_equal(again.id, taken.id);
	assert_int_equal(again.version, 3);
	assert_int_equal(again.next_s, 0);
	/* Nor does its failure put off, or bury, what came after it. */
	taken.next_s = NOW + 1000;
	ok(f, store_delivery_put_off(f->store, &taken, &f->err));
	taken.dead_s = NOW + 3;
	ok(f, store_delivery_bury(f->store, &taken, &f->err));
	assert_int_equal(only(f, "state", NOW + 3).version, 3);
	/* A dead one lives again by the next change. */
	again.dead_s = NOW + 4;
	again.code = "name-taken";
	ok(f, store_delivery_bury(f->store, &again, &f->err));
	assert_int_equal(due(f, "state", NOW + 5, &(struct delivery_row *){ NULL }), 0);
	fold(f, 7, DELIVERY_UPDATED, NOW + 6, NOW + 6);
	again = only(f, "state", NOW + 6);
	assert_int_equal(again.created_s, NOW + 6);
	assert_string_equal(again.code, "");
	assert_int_equal(counts(f, "state").dead, 0);
	ok(f, store_commit(f->store, &f->err));
}

static void test_failing_state_that_is_folded_is_as_new(void **state)
{
	struct fixture *f = *state;
	struct delivery_row row;

	ok(f, store_begin(f->store, &f->err));
	fold(f, 7, DELIVERY_UPDATED, NOW, NOW);
	row = only(f, "state", NOW);
	row.attempts = 9;
	row.next_s = NOW + 600;
	row.problem = "no";
	ok(f, store_delivery_put_off(f->store, &row, &f->err));
	fold(f, 7, DELIVERY_UPDATED, NOW + 1, NOW + 1);
	row = only(f, "state", NOW + 1);
	assert_int_equal(row.attempts, 0);
	assert_int_equal(row.next_s, NOW + 1);
	assert_int_equal(row.created_s, NOW + 1);
	ok(f, store_commit(f->store, &f->err));
}

static size_t listed(struct fixture *f, struct delivery_query query)
{
	struct delivery_row *rows;
	size_t count;

	query.limit = 1000;
	ok(f, store_delivery_list(f->store, &query, f->arena, &rows, &count, &f->err));
	return count;
}

static void test_lists(void **state)
{
	struct fixture *f = *state;
	struct delivery_row row;
	const char *const *names;
	int64_t user;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	user = add_user(f, "ada");
	row = add(f, "hook", user);
	add(f, "hook", user);
	add(f, "other", 999);
	row.dead_s = NOW;
	row.code = row.problem = "x";
	ok(f, store_delivery_bury(f->store, &row, &f->err));
	assert_int_equal(listed(f, (struct delivery_query){ 0 }), 3);
	assert_int_equal(listed(f, (struct delivery_query){ .target = "hook" }), 2);
	assert_int_equal(listed(f, (struct delivery_query){ .target = "never" }), 0);
	assert_int_equal(listed(f, (struct delivery_query){ .state = DELIVERY_DEAD }), 1);
	assert_int_equal(listed(f, (struct delivery_query){ .state = DELIVERY_WAITING }), 2);
	assert_int_equal(listed(f, (struct delivery_query){ .state = DELIVERY_FAILING }), 0);
	assert_int_equal(listed(f, (struct delivery_query){ .user_id = user }), 2);
	assert_int_equal(listed(f, (struct delivery_query){ .organization = "default" }), 2);
	assert_int_equal(listed(f, (struct delivery_query){ .organization = "nowhere" }), 0);
	assert_int_equal(listed(f, (struct delivery_query){ .after_id = row.id }), 2);
	ok(f, store_delivery_targets(f->store, f->arena, &names, &count, &f->err));
	assert_int_equal(count, 2);
	assert_int_equal(store_delivery_drop(f->store, "hook", true, 10, &f->err), 1);
	assert_int_equal(store_delivery_drop(f->store, "hook", false, 10, &f->err), 1);
	assert_int_equal(store_delivery_drop(f->store, "hook", false, 10, &f->err), 0);
	assert_int_equal(listed(f, (struct delivery_query){ 0 }), 1);
	ok(f, store_commit(f->store, &f->err));
}

/* All is well until it is time: nothing is behind by that. What failed, or waits behind it, is. */
static void test_oldest(void **state)
{
	struct fixture *f = *state;
	struct delivery_row row;

	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(counts(f, "hook").oldest_s, 0);
	add(f, "hook", 7);
	assert_int_equal(counts(f, "hook").oldest_s, NOW);
	row = only(f, "hook", NOW);
	row.next_s = NOW + 86400;
	ok(f, store_delivery_put_off(f->store, &row, &f->err));
	assert_int_equal(counts(f, "hook").waiting, 1);
	assert_int_equal(counts(f, "hook").oldest_s, 0);
	add(f, "hook", 7);
	assert_int_equal(counts(f, "hook").oldest_s, NOW);
	row.attempts = 1;
	ok(f, store_delivery_put_off(f->store, &row, &f->err));
	assert_int_equal(counts(f, "hook").oldest_s, NOW);
	ok(f, store_commit(f->store, &f->err));
}

/* In pieces, and cut between two: what is left of a person goes on. */
static void test_drop_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct delivery_row first;

	ok(f, store_begin(f->store, &f->err));
	first = add(f, "hook", 7);
	add(f, "hook", 7);
	add(f, "hook", 7);
	assert_int_equal(store_delivery_drop(f->store, "hook", false, 2, &f->err), 2);
	assert_int_equal(only(f, "hook", NOW).id, first.id);
	ok(f, store_commit(f->store, &f->err));
}

static void test_names_of_events(void **state UNUSED)
{
	for (int i = 1; i <= DELIVERY_EVENTS; i++) {
		const char *name = delivery_event_name((enum delivery_event)i);
		enum delivery_event event;

		assert_string_not_equal(name, "");
		assert_true(delivery_event_parse(name, &event));
		assert_int_equal(event, i);
	}
	assert_false(delivery_event_parse("user.eaten", &(enum delivery_event){ 0 }));
	assert_string_equal(delivery_event_name(99), "");
}

/* Who is due in a time that nobody can have meant is due; who waits between costs nothing. */
static void test_far_ones_are_due(void **state)
{
	struct fixture *f = *state;
	struct delivery_row *rows;
	int64_t before;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	add_at(f, "hook", 1, DELIVERY_UPDATED, NOW + 3601);
	for (int64_t i = 0; i < 1000; i++)
		add_at(f, "hook", 10 + i, DELIVERY_UPDATED, NOW + 3600);
	add_at(f, "hook", 2, DELIVERY_UPDATED, NOW);
	add_at(f, "other", 3, DELIVERY_UPDATED, NOW + 9999);
	before = store_steps(f->store);
	ok(f, store_delivery_due(f->store, "hook", NOW, NOW + 3600, 1000, f->arena, &rows, &count,
				 &f->err));
	assert_int_equal(count, 2);
	assert_int_equal(rows[0].user_id, 2);
	assert_int_equal(rows[1].user_id, 1);
	assert_in_range(store_steps(f->store) - before, 0, 499);
	ok(f, store_delivery_due(f->store, "hook", NOW, NOW + 3600, 1, f->arena, &rows, &count,
				 &f->err));
	assert_int_equal(count, 1);
	assert_int_equal(rows[0].user_id, 2);
	ok(f, store_commit(f->store, &f->err));
}

/* However much waits behind heads: what is due is found in the index. */
static void test_costs(void **state)
{
	struct fixture *f = *state;
	struct delivery_row *rows;
	int64_t before;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	for (int64_t i = 0; i < 3000; i++)
		add(f, "hook", 1 + i % 3);
	before = store_steps(f->store);
	ok(f, store_delivery_due(f->store, "hook", NOW, NOW + 60, 500, f->arena, &rows, &count,
				 &f->err));
	assert_int_equal(count, 3);
	assert_true(store_steps(f->store) - before < 1000);
	ok(f, store_commit(f->store, &f->err));
}

/* They are asked for at every look at metrics and status. */
static void test_counts_cost_nothing(void **state)
{
	struct fixture *f = *state;
	const char *const *names;
	struct delivery_counts counts;
	struct delivery_row row;
	int64_t before;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	for (int64_t i = 0; i < 3000; i++) {
		row = add(f, "hook", 1 + i);
		row.attempts = 1;
		row.dead_s = NOW;
		if (i % 3 != 0)
			ok(f, i % 3 == 1 ? store_delivery_bury(f->store, &row, &f->err)
					 : store_delivery_put_off(f->store, &row, &f->err));
	}
	before = store_steps(f->store);
	ok(f, store_delivery_counts(f->store, "hook", NOW, &counts, &f->err));
	assert_int_equal(counts.waiting, 2000);
	assert_int_equal(counts.failing, 1000);
	assert_int_equal(counts.dead, 1000);
	assert_int_equal(counts.oldest_s, NOW);
	ok(f, store_delivery_targets(f->store, f->arena, &names, &count, &f->err));
	assert_int_equal(count, 1);
	assert_string_equal(names[0], "hook");
	assert_true(store_steps(f->store) - before < 300);
	while (counts.waiting + counts.dead > 0) {
		ok(f, store_delivery_drop(f->store, "hook", false, 1000, &f->err));
		ok(f, store_delivery_counts(f->store, "hook", NOW, &counts, &f->err));
	}
	assert_int_equal(counts.failing, 0);
	ok(f, store_delivery_targets(f->store, f->arena, &names, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_commit(f->store, &f->err));
}

/* What waited before there were counts is counted. */
static void test_counts_of_an_older_store(void **state)
{
	struct fixture *f = *state;
	struct delivery_row row;
	sqlite3 *db;

	ok(f, store_begin(f->store, &f->err));
	row = add(f, "other", 1);
	row.dead_s = NOW;
	ok(f, store_delivery_bury(f->store, &row, &f->err));
	row = add(f, "hook", 2);
	row.attempts = 3;
	row.next_s = NOW;
	ok(f, store_delivery_put_off(f->store, &row, &f->err));
	add(f, "hook", 1);
	add(f, "hook", 1);
	ok(f, store_commit(f->store, &f->err));
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db,
			     "DROP TRIGGER delivery_counted; DROP TRIGGER delivery_recounted; "
			     "DROP TRIGGER delivery_uncounted; DROP TABLE delivery_count; "
			     "DROP INDEX delivery_age; PRAGMA user_version = 22",
			     NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	reopen(f);
	assert_int_equal(counts(f, "hook").waiting, 3);
	assert_int_equal(counts(f, "hook").failing, 1);
	assert_int_equal(counts(f, "other").waiting, 0);
	assert_int_equal(counts(f, "other").dead, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order_of_a_person),
		TEST(test_urgent_goes_first),
		TEST(test_dead_ones_let_the_next_pass),
		TEST(test_states_are_folded),
		TEST(test_failing_state_that_is_folded_is_as_new),
		TEST(test_lists),
		TEST(test_oldest),
		TEST(test_drop_in_pieces),
		TEST(test_names_of_events),
		TEST(test_far_ones_are_due),
		TEST(test_costs),
		TEST(test_counts_cost_nothing),
		TEST(test_counts_of_an_older_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
