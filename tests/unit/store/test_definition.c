/* Definitions: order, versions that are never given twice, drafts beside what is in force. */
#include "support.h"

#include <string.h>

#include <rolebridge/base/ids.h>
#include <rolebridge/store/definition.h>
#include <rolebridge/store/invite.h>

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

/* Whose it is; 0 in the table is everybody's. */
static void test_owner(void **state)
{
	static const char *const owners[] = { "default", NULL, "other" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
		struct definition read, row = { .kind = "role",
						.name = "one",
						.organization = owners[i],
						.body = "{}",
						.actor = "unix:root" };

		ok(f, store_begin(f->store, &f->err));
		ok(f, store_definition_put(f->store, &row, &f->err));
		ok(f, store_commit(f->store, &f->err));
		ok(f,
		   store_definition_get(f->store, "role", "one", false, f->arena, &read, &f->err));
		if (owners[i])
			assert_string_equal(read.organization, owners[i]);
		else
			assert_null(read.organization);
	}
}

static int64_t holders_of(struct fixture *f, const char *organization, enum grant_kind kind,
			  const char *name)
{
	int64_t count = -1;

	ok(f, store_grant_holders_of(f->store, organization, kind, name, &count, &f->err));
	return count;
}

/* Who holds it in one organization, and who holds two things: before their index is written, and after. */
static void test_holders(void **state)
{
	static const char *const organizations[] = { "default", "other", "other", "other" };
	static const char *const names[] = { "anna", "bela", "cora", "dora" };
	const struct grant role = make_grant(GRANT_ROLE, "sales", "r"),
			   profile = make_grant(GRANT_PROFILE, "sales", "r"),
			   second = make_grant(GRANT_PROFILE, "staff", "r");
	struct fixture *f = *state;

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_organization_ensure(f->store, "other", &f->err));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct user user = make_user(names[i], "");

		user.organization = organizations[i];
		user.disabled = i == 3 ? DISABLED_BY_HAND : 0;
		ok(f, store_user_insert(f->store, &user, &f->err));
		ok(f, store_grant_add(f->store, user.id, &role, &f->err));
		ok(f, store_grant_add(f->store, user.id, i == 2 ? &second : &profile, &f->err));
		if (i == 3)
			ok(f, store_grant_add(f->store, user.id, &second, &f->err));
	}
	ok(f, store_commit(f->store, &f->err));
	for (int tidied = 0; tidied < 2; tidied++) {
		assert_int_equal(holders_of(f, NULL, GRANT_ROLE, "sales"), 3);
		assert_int_equal(holders_of(f, "default", GRANT_ROLE, "sales"), 1);
		assert_int_equal(holders_of(f, "other", GRANT_ROLE, "sales"), 2);
		assert_int_equal(holders_of(f, "other", GRANT_PROFILE, "sales"), 1);
		assert_int_equal(holders_of(f, "nowhere", GRANT_ROLE, "sales"), 0);
		assert_int_equal(holders_of(f, "other", GRANT_ROLE, "nothing"), 0);
		/* Somebody who is disabled holds it, too. */
		assert_int_equal(
			store_grant_both(f->store, GRANT_PROFILE, "sales", "staff", &f->err), 1);
		assert_int_equal(store_grant_both(f->store, GRANT_ROLE, "sales", "staff", &f->err),
				 0);
		assert_int_equal(
			store_grant_both(f->store, GRANT_PROFILE, "sales", "none", &f->err), 0);
		for (int more = 1; more > 0;)
			ok(f, more = store_tidy(f->store, &f->err));
	}
}

/* What an invite that waits would give. */
static void test_invites(void **state)
{
	static const struct invite_grant grants[] = { { GRANT_PROFILE, "member" },
						      { GRANT_ROLE, "sales" } };
	static const struct {
		enum grant_kind kind;
		const char *name;
		int64_t now_s, count;
	} cases[] = {
		{ GRANT_ROLE, "sales", 99, 1 },	    { GRANT_ROLE, "sales", 100, 0 },
		{ GRANT_ROLE, "member", 99, 0 },    { GRANT_PROFILE, "member", 99, 1 },
		{ GRANT_PERSONA, "nobody", 99, 0 },
	};
	struct fixture *f = *state;
	struct invite_row invite = { .uuid = uuid_create(1000),
				     .organization = "default",
				     .email = "a@x.example",
				     .username = "a",
				     .display_name = "A",
				     .grants = grants,
				     .grant_count = ARRAY_LEN(grants),
				     .generation = 1,
				     .actor = "unix:root",
				     .created_s = 5,
				     .sent_s = 5,
				     .expires_s = 100,
				     .mail_problem = "" };
	int64_t count;

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_invite_insert(f->store, &invite, &f->err));
	ok(f, store_commit(f->store, &f->err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ok(f, store_definition_invites(f->store, cases[i].kind, cases[i].name,
					       cases[i].now_s, &count, &f->err));
		assert_int_equal(count, cases[i].count);
	}
	invite.ended = INVITE_REVOKED;
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_invite_update(f->store, &invite, &f->err));
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_definition_invites(f->store, GRANT_ROLE, "sales", 50, &count, &f->err));
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_owner, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_holders, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_undone, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_invites, fixture_set_up, fixture_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
