/* Tokens of the API, and whom services made. */
#include "support.h"

#include <string.h>

#include <rolebridge/store/token.h>

static const char *const scope[] = { "users:read@all", "roles:*@own" };

/* number tells them apart; a service's when user is 0. */
static struct token_row make_token(unsigned char number, const char *name, int64_t user)
{
	struct token_row row = { .name = name,
				 .user_id = user,
				 .service = user ? "" : "crm-sync",
				 .organization = "default",
				 .application = user ? "" : "crm",
				 .scope = scope,
				 .scope_count = 2,
				 .created_s = 100,
				 .created_by = "unix:root",
				 .expires_s = 1000 + number };

	memset(row.uuid.byte, number, sizeof(row.uuid.byte));
	memset(row.hash.byte, number, sizeof(row.hash.byte));
	return row;
}

static int insert(struct fixture *f, struct token_row row, int64_t *ret_id)
{
	int result = store_token_insert(f->store, &row, &f->err);

	*ret_id = row.id;
	return result;
}

static struct token_row find(struct fixture *f, unsigned char number)
{
	struct token_row row;
	struct uuid uuid;

	memset(uuid.byte, number, sizeof(uuid.byte));
	ok(f, store_token_find(f->store, &uuid, f->arena, &row, &f->err));
	return row;
}

static size_t list(struct fixture *f, struct token_query query, struct token_row **ret_rows)
{
	size_t count;

	if (query.limit == 0)
		query.limit = 100;
	ok(f, store_token_list(f->store, &query, f->arena, ret_rows, &count, &f->err));
	return count;
}

static void test_rows(void **state)
{
	struct fixture *f = *state;
	struct token_row all, row;
	struct uuid nobody = { { 0 } };
	int64_t anna, id, other;

	ok(f, store_begin(f->store, &f->err));
	anna = add_user(f, "anna");
	ok(f, insert(f, make_token(1, "ci", anna), &id));
	ok(f, insert(f, make_token(2, "ci", 0), &other));
	assert_true(other > id && id > 0);
	all = make_token(3, "everything", anna);
	all.scope = NULL;
	all.scope_count = 0;
	ok(f, insert(f, all, &other));
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	row = find(f, 1);
	assert_int_equal(row.id, id);
	assert_string_equal(row.name, "ci");
	assert_int_equal(row.user_id, anna);
	assert_string_equal(row.service, "");
	assert_string_equal(row.application, "");
	assert_int_equal(row.scope_count, 2);
	assert_string_equal(row.scope[0], scope[0]);
	assert_string_equal(row.scope[1], scope[1]);
	assert_string_equal(row.created_by, "unix:root");
	assert_int_equal(row.created_s, 100);
	assert_int_equal(row.expires_s, 1001);
	assert_int_equal(row.used_s, 0);
	assert_int_equal(row.revoked_s, 0);
	assert_int_equal(row.hash.byte[31], 1);
	row = find(f, 2);
	assert_int_equal(row.user_id, 0);
	assert_string_equal(row.service, "crm-sync");
	assert_string_equal(row.application, "crm");
	assert_null(find(f, 3).scope);
	refused(f, store_token_find(f->store, &nobody, f->arena, &row, &f->err), ERR_NOT_FOUND,
		"not-found");
}

/* One name for each owner, and free again once it is revoked. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	int64_t anna, ben, id, other;

	ok(f, store_begin(f->store, &f->err));
	anna = add_user(f, "anna");
	ben = add_user(f, "ben");
	ok(f, insert(f, make_token(1, "ci", anna), &id));
	refused(f, insert(f, make_token(2, "ci", anna), &other), ERR_CONFLICT, "name-taken");
	ok(f, insert(f, make_token(3, "ci", ben), &other));
	ok(f, insert(f, make_token(4, "ci", 0), &other));
	ok(f, store_token_revoke(f->store, id, 500, &f->err));
	refused(f, store_token_revoke(f->store, id, 501, &f->err), ERR_NOT_FOUND, "not-found");
	ok(f, insert(f, make_token(5, "ci", anna), &other));
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(find(f, 1).revoked_s, 500);
	ok(f, store_begin(f->store, &f->err));
	refused(f, insert(f, make_token(6, "ci", 4711), &other), ERR_NOT_FOUND, "not-found");
	store_rollback(f->store);
}

static void test_lists(void **state)
{
	struct fixture *f = *state;
	struct token_row *rows, far = make_token(9, "far", 0);
	int64_t anna, id;

	far.organization = "other";
	ok(f, store_begin(f->store, &f->err));
	anna = add_user(f, "anna");
	for (unsigned char i = 1; i <= 4; i++) {
		const char *names[] = { "", "a", "b", "c", "d" };

		ok(f, insert(f, make_token(i, names[i], i % 2 ? anna : 0), &id));
	}
	ok(f, insert(f, far, &id));
	ok(f, store_token_revoke(f->store, find(f, 1).id, 500, &f->err));
	ok(f, store_token_used(f->store, find(f, 3).id, 600, &f->err));
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(list(f, (struct token_query){ .all = true }, &rows), 5);
	assert_string_equal(rows[0].name, "a");
	assert_int_equal(rows[2].used_s, 600);
	assert_int_equal(list(f, (struct token_query){ .now_s = 700 }, &rows), 4);
	/* b has expired */
	assert_int_equal(list(f, (struct token_query){ .now_s = 1002 }, &rows), 3);
	assert_int_equal(list(f, (struct token_query){ .user_id = anna, .all = true }, &rows), 2);
	assert_int_equal(list(f, (struct token_query){ .service = "crm-sync" }, &rows), 3);
	assert_int_equal(list(f, (struct token_query){ .service = "unheard-of" }, &rows), 0);
	assert_int_equal(list(f, (struct token_query){ .organization = "other" }, &rows), 1);
	assert_int_equal(list(f, (struct token_query){ .organization = "none" }, &rows), 0);
	assert_int_equal(list(f, (struct token_query){ .all = true, .limit = 2 }, &rows), 2);
	assert_int_equal(
		list(f, (struct token_query){ .all = true, .after_id = rows[1].id }, &rows), 3);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;
	struct token_row *rows;
	int64_t id;

	ok(f, store_begin(f->store, &f->err));
	ok(f, insert(f, make_token(1, "a", 0), &id));
	ok(f, insert(f, make_token(2, "b", 0), &id));
	ok(f, insert(f, make_token(200, "c", 0), &id));
	ok(f, store_token_revoke(f->store, find(f, 200).id, 500, &f->err));
	assert_int_equal(store_token_prune(f->store, 500, 10, &f->err), 0);
	assert_int_equal(store_token_prune(f->store, 501, 10, &f->err), 1);
	assert_int_equal(store_token_prune(f->store, 1100, 1, &f->err), 1);
	assert_int_equal(store_token_prune(f->store, 1100, 10, &f->err), 1);
	assert_int_equal(store_token_prune(f->store, 1100, 10, &f->err), 0);
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(list(f, (struct token_query){ .all = true }, &rows), 0);
}

static void test_services(void **state)
{
	struct fixture *f = *state;
	const char *service;
	int64_t anna, ben;

	ok(f, store_begin(f->store, &f->err));
	anna = add_user(f, "anna");
	ben = add_user(f, "ben");
	ok(f, store_service_made(f->store, anna, "crm-sync", &f->err));
	refused(f, store_service_made(f->store, 4711, "crm-sync", &f->err), ERR_NOT_FOUND,
		"not-found");
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_service_of(f->store, anna, f->arena, &service, &f->err));
	assert_string_equal(service, "crm-sync");
	ok(f, store_service_of(f->store, ben, f->arena, &service, &f->err));
	assert_string_equal(service, "");
	assert_int_equal(store_service_made(f->store, ben, "crm-sync", &f->err), -1);
	assert_int_equal(store_token_revoke(f->store, 1, 1, &f->err), -1);
	assert_int_equal(store_token_prune(f->store, 1, 1, &f->err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows),  TEST(test_names),    TEST(test_lists),
		TEST(test_prune), TEST(test_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
