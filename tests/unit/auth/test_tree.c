/* Trees of resources: in order whatever order they come in, and no step of theirs walks through all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/auth/tree.h"

/* Of a hundred thousand; twice the binary logarithm is usual. */
#define CHILDREN 100000
#define STEPS_MAX 120

static void put(struct tree *tree, int64_t row, const char *parent, int64_t parent_row)
{
	char id[32];
	const struct resource resource = {
		.row = row,
		.key = { "crm", "tasks", id },
		.parent_row = parent_row,
		.parent_type = "accounts",
		.parent_id = parent ? parent : "",
		.organization = "default",
	};

	snprintf(id, sizeof(id), "t%lld", (long long)row);
	assert_int_equal(tree_put(tree, &resource), 0);
}

static void put_account(struct tree *tree, int64_t row, const char *id)
{
	const struct resource resource = { .row = row,
					   .key = { "crm", "accounts", id },
					   .parent_type = "",
					   .parent_id = "",
					   .organization = "default" };

	assert_int_equal(tree_put(tree, &resource), 0);
}

static const struct tree_node *account(const struct tree *tree, const char *id)
{
	return tree_find(tree, &(struct resource_key){ "crm", "accounts", id });
}

/* How many there are, in order. */
static size_t count_children(const struct tree_node *parent)
{
	const struct tree_node *node = NULL;
	size_t count = 0;
	int64_t row = 0;

	while ((node = tree_child_after(parent, row, NULL)) != NULL) {
		assert_true(node->row > row);
		assert_ptr_equal(node->parent, parent);
		row = node->row;
		count++;
	}
	return count;
}

static uint64_t took(struct tree *tree, uint64_t *before)
{
	uint64_t steps = tree->steps - *before;

	*before = tree->steps;
	return steps;
}

/* Each number below CHILDREN once, in no order. */
static int64_t scattered(int64_t i)
{
	return (i * 48271 + 11) % CHILDREN;
}

static void test_many_children(void **state)
{
	struct tree tree = { 0 };
	uint64_t before = 0, most = 0, steps;

	(void)state;
	put_account(&tree, 1, "a");
	put_account(&tree, 2, "b");
	for (int64_t i = 0; i < CHILDREN; i++) {
		put(&tree, 10 + i, "a", 1);
		steps = took(&tree, &before);
		most = steps > most ? steps : most;
	}
	assert_int_equal(count_children(account(&tree, "a")), CHILDREN);
	/* The old ones go elsewhere, one after the other, and come back: each finds its place among very many. */
	for (int turn = 0; turn < 2; turn++) {
		for (int64_t i = 0; i < CHILDREN; i++) {
			put(&tree, 10 + scattered(i), turn ? "a" : "b", turn ? 1 : 2);
			steps = took(&tree, &before);
			most = steps > most ? steps : most;
		}
		assert_int_equal(count_children(account(&tree, "a")), turn ? CHILDREN : 0);
		assert_int_equal(count_children(account(&tree, "b")), turn ? 0 : CHILDREN);
	}
	for (int64_t row = 0; row < CHILDREN; row += 1000) {
		steps = 0;
		assert_int_equal(tree_child_after(account(&tree, "a"), 10 + row - 1, &steps)->row,
				 10 + row);
		most = steps > most ? steps : most;
	}
	if (most > STEPS_MAX)
		fail_msg("%llu steps", (unsigned long long)most);
	tree_finish(&tree);
}

/* Each row once, and no place that knows of what is gone. */
static void check_order(const struct tree *tree, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < tree->places; i++) {
		assert_true(i == 0 || tree->order[i].row > tree->order[i - 1].row);
		found += tree->order[i].node != NULL;
	}
	assert_int_equal(found, count);
	assert_int_equal(tree->count, count);
}

/* Against a list of who is whose. */
static void test_as_a_list(void **state)
{
	enum { NODES = 200, ROUNDS = 20000 };
	static const char *const accounts[] = { "a", "b", "c" };
	int owner[NODES] = { 0 }; /* 0: not there; else the account, from 1 */
	struct tree tree = { 0 };
	unsigned number = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++)
		put_account(&tree, (int64_t)i + 1, accounts[i]);
	for (int round = 0; round < ROUNDS; round++) {
		number = number * 1664525u + 1013904223u;

		int node = (int)((number >> 8) % NODES), to = (int)((number >> 20) % 4);
		char id[32];

		snprintf(id, sizeof(id), "t%d", node + 10);
		if (to == 0)
			tree_remove(&tree, &(struct resource_key){ "crm", "tasks", id });
		else
			put(&tree, node + 10, accounts[to - 1], to);
		owner[node] = to;
		if (round % 500)
			continue;
		size_t there = ARRAY_LEN(accounts);

		for (int i = 0; i < NODES; i++)
			there += owner[i] != 0;
		check_order(&tree, there);
		for (int a = 1; a <= 3; a++) {
			int64_t row = 0;
			const struct tree_node *parent = account(&tree, accounts[a - 1]);

			for (int i = 0; i < NODES; i++) {
				if (owner[i] != a)
					continue;
				assert_non_null(tree_child_after(parent, row, NULL));
				row = tree_child_after(parent, row, NULL)->row;
				assert_int_equal(row, i + 10);
			}
			assert_null(tree_child_after(parent, row, NULL));
		}
	}
	tree_finish(&tree);
}

/* A child may be told of before its parent, and outlive it. */
static void test_parents_later(void **state)
{
	struct tree tree = { 0 };

	(void)state;
	put(&tree, 10, "a", 1);
	put(&tree, 11, "a", 1);
	assert_null(account(&tree, "a"));
	put_account(&tree, 1, "a");
	assert_int_equal(count_children(account(&tree, "a")), 2);
	tree_remove(&tree, &(struct resource_key){ "crm", "accounts", "a" });
	assert_null(account(&tree, "a"));
	put_account(&tree, 12, "a");
	assert_int_equal(count_children(account(&tree, "a")), 2);
	tree_remove(&tree, &(struct resource_key){ "crm", "tasks", "t10" });
	tree_remove(&tree, &(struct resource_key){ "crm", "tasks", "t11" });
	assert_int_equal(count_children(account(&tree, "a")), 0);
	tree_finish(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_children),
		cmocka_unit_test(test_as_a_list),
		cmocka_unit_test(test_parents_later),
	};

	hash_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
