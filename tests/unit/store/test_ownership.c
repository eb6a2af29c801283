/* Rows of resources and references: keys, trees, pages, who left something behind. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/store/ownership.h>

static int64_t new_user(struct fixture *f, const char *name, uint32_t disabled)
{
	struct user user = { .uuid = uuid_create(1700000000000),
			     .organization = "default",
			     .username = name,
			     .email = "",
			     .display_name = name,
			     .profile = "staff",
			     .disabled = disabled,
			     .version = 1,
			     .created_s = 1700000000,
			     .updated_s = 1700000000 };

	ok(f, store_user_insert(f->store, &user, &f->err));
	return user.id;
}

static struct resource put(struct fixture *f, const char *application, const char *type,
			   const char *id, int64_t parent, int64_t owner)
{
	struct resource resource = { .key = { application, type, id },
				     .parent_row = parent,
				     .owner = owner,
				     .organization = "default",
				     .title = "T",
				     .version = 1,
				     .created_s = 5,
				     .updated_s = 5 };

	ok(f, store_resource_put(f->store, &resource, &f->err));
	return resource;
}

static void refer(struct fixture *f, const char *application, const char *kind, const char *id,
		  int64_t user)
{
	struct reference reference = { .application = application,
				       .kind = kind,
				       .id = id,
				       .label = "L",
				       .user = user,
				       .version = 1,
				       .created_s = 5,
				       .updated_s = 5 };

	ok(f, store_reference_put(f->store, &reference, &f->err));
}

static void test_resources(void **state)
{
	struct fixture *f = *state;
	struct resource root, child, found;
	int64_t anna, height, *rows, looked;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	anna = new_user(f, "anna", 0);
	root = put(f, "crm", "accounts", "a", 0, anna);
	child = put(f, "crm", "tasks", "t'\"%", root.row, 0);
	put(f, "crm", "tasks", "u", child.row, 0);
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_resource_find(f->store, &root.key, f->arena, &found, &f->err));
	assert_int_equal(found.owner, anna);
	assert_string_equal(found.owner_name, "anna");
	assert_string_equal(found.parent_id, "");
	ok(f, store_resource_find(f->store, &child.key, f->arena, &found, &f->err));
	assert_int_equal(found.parent_row, root.row);
	assert_string_equal(found.parent_type, "accounts");
	assert_int_equal(found.owner, 0);
	refused(f,
		store_resource_find(f->store, &(struct resource_key){ "crm", "tasks", "none" },
				    f->arena, &found, &f->err),
		ERR_NOT_FOUND, "not-found");
	refused(f,
		store_resource_find(f->store, &(struct resource_key){ "none", "tasks", "u" },
				    f->arena, &found, &f->err),
		ERR_NOT_FOUND, "not-found");
	assert_int_equal(store_resource_has_children(f->store, child.row, &f->err), 1);
	ok(f, store_resource_height(f->store, root.row, 32, -1, &height, &looked, &f->err));
	assert_int_equal(height, 2);
	ok(f, store_resource_height(f->store, root.row, 1, -1, &height, &looked, &f->err));
	assert_int_equal(height, 1);
	assert_int_equal(looked, 2);
	/* Cut: there may be more. */
	ok(f, store_resource_height(f->store, root.row, 32, 2, &height, &looked, &f->err));
	assert_int_equal(looked, 2);
	ok(f, store_resource_subtree(f->store, root.row, 10, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, 3);
	assert_int_equal(rows[0], root.row);
	assert_int_equal(rows[1], child.row);
	ok(f, store_resource_subtree(f->store, root.row, 1, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, 2);
	/* A number is never given twice. */
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_resource_remove(f->store, rows[1] + 1, &f->err));
	assert_true(put(f, "crm", "tasks", "v", 0, 0).row > child.row + 1);
	ok(f, store_commit(f->store, &f->err));
}

/* What still has children, or is there twice, spoils the transaction: change/ asks before. */
static void test_constraints(void **state)
{
	struct fixture *f = *state;
	struct resource root, again;

	ok(f, store_begin(f->store, &f->err));
	root = put(f, "crm", "accounts", "a", 0, 0);
	put(f, "crm", "tasks", "t", root.row, 0);
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(store_resource_remove(f->store, root.row, &f->err), -1);
	store_rollback(f->store);
	ok(f, store_begin(f->store, &f->err));
	again = root;
	again.row = 0;
	refused(f, store_resource_put(f->store, &again, &f->err), ERR_CONFLICT, "conflict");
	store_rollback(f->store);
	ok(f, store_begin(f->store, &f->err));
	again.key.id = "b";
	again.owner = 77;
	assert_int_equal(store_resource_put(f->store, &again, &f->err), -1);
	store_rollback(f->store);
}

static size_t count_pages(struct fixture *f, struct reference_query query, size_t *ret_pages)
{
	struct reference *rows;
	size_t count, total = 0;
	int64_t last = 0;

	*ret_pages = 0;
	do {
		ok(f, store_reference_list(f->store, &query, f->arena, &rows, &count, &f->err));
		for (size_t i = 0; i < count; i++) {
			/* What was registered first, then what is owned: each row once. */
			assert_true((rows[i].cursor % 2 == last % 2 && rows[i].cursor > last) ||
				    (rows[i].cursor % 2 == 1 && last % 2 == 0));
			last = query.after = rows[i].cursor;
		}
		total += count;
		++*ret_pages;
	} while (count == query.limit);
	return total;
}

static void test_references(void **state)
{
	struct fixture *f = *state;
	struct reference_query query = { .limit = 3 };
	struct orphaning_counts counts;
	int64_t anna, ben, number;
	size_t pages;
	char id[16];

	ok(f, store_begin(f->store, &f->err));
	anna = new_user(f, "anna", 0);
	ben = new_user(f, "ben", DISABLED_BY_SOURCE);
	assert_int_equal(store_reference_any(f->store, anna, &f->err), 0);
	for (int i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "%d", i);
		refer(f, i % 2 ? "crm" : "shop", "task", id, i % 3 ? anna : ben);
		put(f, i % 2 ? "crm" : "shop", "accounts", id, 0, i % 3 ? anna : ben);
	}
	assert_int_equal(store_reference_any(f->store, anna, &f->err), 1);
	assert_int_equal(store_orphaning_any(f->store, &f->err), 0);
	assert_int_equal(store_orphaning_set(f->store, ben, 7, &f->err), 1);
	assert_int_equal(store_orphaning_set(f->store, ben, 8, &f->err), 0);
	assert_int_equal(store_orphaning_any(f->store, &f->err), 1);
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(count_pages(f, query, &pages), 20);
	assert_int_equal(pages, 7);
	query.user = anna;
	assert_int_equal(count_pages(f, query, &pages), 12);
	query.application = "crm";
	assert_int_equal(count_pages(f, query, &pages), 6);
	query.kind = REFERENCE_OWNER;
	assert_int_equal(count_pages(f, query, &pages), 3);
	query = (struct reference_query){ .orphaned = true, .limit = 5 };
	assert_int_equal(count_pages(f, query, &pages), 8);
	query = (struct reference_query){ .kind = "none", .limit = 5 };
	assert_int_equal(count_pages(f, query, &pages), 0);
	query = (struct reference_query){ .organization = "none", .limit = 5 };
	assert_int_equal(count_pages(f, query, &pages), 0);
	ok(f, store_reference_count(f->store, ben, "shop", &number, &f->err));
	assert_int_equal(number, 4);
	ok(f, store_orphaning_counts(f->store, &counts, &f->err));
	assert_int_equal(counts.users, 1);
	assert_int_equal(counts.references, 8);
	ok(f, store_begin(f->store, &f->err));
	assert_int_equal(store_orphaning_clear(f->store, ben, &f->err), 1);
	assert_int_equal(store_orphaning_clear(f->store, ben, &f->err), 0);
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_orphaning_counts(f->store, &counts, &f->err));
	assert_int_equal(counts.users + counts.references, 0);
}

static void test_lists(void **state)
{
	struct fixture *f = *state;
	struct resource_query query = { .limit = 4 };
	struct resource *rows;
	size_t count, total = 0;
	struct resource root;
	int64_t anna;
	char id[16];

	ok(f, store_begin(f->store, &f->err));
	anna = new_user(f, "anna", 0);
	root = put(f, "crm", "accounts", "root", 0, anna);
	for (int i = 0; i < 9; i++) {
		snprintf(id, sizeof(id), "%d", i);
		put(f, "crm", i % 2 ? "tasks" : "notes", id, root.row, i % 3 ? 0 : anna);
	}
	ok(f, store_commit(f->store, &f->err));
	query.parent = root.row;
	do {
		ok(f, store_resource_list(f->store, &query, f->arena, &rows, &count, &f->err));
		total += count;
		if (count)
			query.after = rows[count - 1].row;
	} while (count == query.limit);
	assert_int_equal(total, 9);
	query = (struct resource_query){ .application = "crm", .type = "tasks", .limit = 100 };
	ok(f, store_resource_list(f->store, &query, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, 4);
	query = (struct resource_query){ .owner = anna, .limit = 100 };
	ok(f, store_resource_list(f->store, &query, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, 4);
	query = (struct resource_query){ .unassigned = true, .limit = 100 };
	ok(f, store_resource_list(f->store, &query, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, 6);
	query.limit = 0;
	refused(f, store_resource_list(f->store, &query, f->arena, &rows, &count, &f->err),
		ERR_INVALID, "invalid");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_resources),
		TEST(test_constraints),
		TEST(test_references),
		TEST(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
