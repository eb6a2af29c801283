/* Definitions: order, versions that are never given twice, drafts beside what is in force. */
#include "support.h"

#include <string.h>

#include <rolebridge/store/definition.h>

static int64_t put(struct fixture *f, const char *kind, const char *name, bool draft,
		   int64_t position, const char *body)
{
	struct definition row = { .kind = kind,
				  .name = name,
				  .draft = draft,
				  .position = position,
				  .organization = "default",
				  .body = body,
				  .created_s = 10,
				  .updated_s = 20,
				  .actor = "unix:root" };

	ok(f, store_definition_put(f->store, &row, &f->err));
	return row.version;
}

static void test_rows(void **state)
{
	static const char *const order[] = { "one", "zed", "two", "two", "a" };
	struct fixture *f = *state;
	struct definition *rows, row;
	int64_t first, second;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	put(f, "rule", "two", true, 2, "{\"draft\":1}");
	put(f, "rule", "two", false, 2, "{}");
	put(f, "rule", "a", false, 3, "{}");
	put(f, "rule", "zed", false, 1, "{}");
	first = put(f, "role", "one", false, 0, "{\"x\":\"\xc3\xa9\"}");
	second = put(f, "role", "one", false, 0, "{\"x\":2}");
	assert_true(second > first);
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_definitions_load(f->store, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, ARRAY_LEN(order));
	for (size_t i = 0; i < count; i++)
		assert_string_equal(rows[i].name, order[i]);
	assert_false(rows[2].draft);
	assert_true(rows[3].draft);
	assert_int_equal(
		store_definition_get(f->store, "role", "one", false, f->arena, &row, &f->err), 1);
	assert_int_equal(row.version, second);
	assert_string_equal(row.body, "{\"x\":2}");
	assert_string_equal(row.actor, "unix:root");
	assert_string_equal(row.organization, "default");
	assert_int_equal(
		store_definition_get(f->store, "role", "one", true, f->arena, &row, &f->err), 0);

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_definition_delete(f->store, "role", "one", false, &f->err));
	assert_true(put(f, "role", "one", false, 0, "{}") > second);
	refused(f, store_definition_delete(f->store, "role", "none", false, &f->err), ERR_NOT_FOUND,
		"not-found");
	ok(f, store_commit(f->store, &f->err));
}

static void test_undone(void **state)
{
	struct fixture *f = *state;
	struct definition *rows;
	int64_t version;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	version = put(f, "role", "one", false, 0, "{}");
	store_rollback(f->store);
	ok(f, store_definitions_load(f->store, f->arena, &rows, &count, &f->err));
	assert_int_equal(count, 0);
	ok(f, store_begin(f->store, &f->err));
	/* Nobody has seen it. */
	assert_int_equal(put(f, "role", "one", false, 0, "{}"), version);
	ok(f, store_commit(f->store, &f->err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_undone, fixture_set_up, fixture_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
