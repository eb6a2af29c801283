/* Names, order and sameness of the records that travel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/model/grant.h>
#include <rolebridge/model/user.h>

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(grant_kind_name(GRANT_PROFILE), "profile");
	assert_string_equal(grant_kind_name(GRANT_ROLE), "role");
	assert_string_equal(grant_kind_name(GRANT_PERSONA), "persona");
	assert_string_equal(grant_kind_name(GRANT_GROUP), "group");
	assert_string_equal(grant_kind_name(GRANT_KINDS), "unknown");
	assert_string_equal(origin_kind_name(ORIGIN_HAND), "hand");
	assert_string_equal(origin_kind_name(ORIGIN_SCIM), "scim");
	assert_string_equal(origin_kind_name(ORIGIN_IMPORT), "import");
	assert_string_equal(origin_kind_name(ORIGIN_INVITE), "invite");
	assert_string_equal(origin_kind_name(ORIGIN_RULE), "rule");
	assert_string_equal(origin_kind_name(ORIGIN_DEFAULT), "default");
	assert_string_equal(origin_kind_name((enum origin_kind)0), "unknown");
	assert_string_equal(origin_kind_name((enum origin_kind)7), "unknown");
	assert_string_equal(disable_reason_name(DISABLED_BY_SOURCE), "source");
	assert_string_equal(disable_reason_name(DISABLED_MISSING), "missing");
	assert_string_equal(disable_reason_name(DISABLED_BY_HAND), "hand");
	assert_string_equal(disable_reason_name(DISABLED_STALE), "stale");
	assert_string_equal(disable_reason_name(DISABLED_NO_PROFILE), "no-profile");
	assert_string_equal(disable_reason_name(DISABLED_DELETED), "deleted");
	assert_string_equal(disable_reason_name(DISABLED_GONE), "gone");
	assert_string_equal(disable_reason_name(SUSPENDED_SIGN_IN), "sign-in-suspended");
	assert_string_equal(disable_reason_name(0), "unknown");
	assert_string_equal(disable_reason_name(3), "unknown");
}

static void test_grant_order(void **state)
{
	/* Ascending; each differs from the next in one part. */
	static const struct grant sorted[] = {
		{ GRANT_PROFILE, "a", ORIGIN_HAND, "x", "s", 0, 0 },
		{ GRANT_PROFILE, "b", ORIGIN_HAND, "x", "s", 0, 0 },
		{ GRANT_ROLE, "a", ORIGIN_HAND, "x", "s", 0, 0 },
		{ GRANT_ROLE, "a", ORIGIN_RULE, "x", "s", 0, 0 },
		{ GRANT_ROLE, "a", ORIGIN_RULE, "y", "s", 0, 0 },
		{ GRANT_ROLE, "a", ORIGIN_RULE, "y", "t", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
		for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
			int order = grant_compare(&sorted[i], &sorted[j]);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
			assert_int_equal(grant_same(&sorted[i], &sorted[j]), i == j);
		}
}

static void test_times_do_not_count(void **state)
{
	struct grant a = { GRANT_ROLE, "sales", ORIGIN_RULE, "r", "hr", 1, 2 };
	struct grant b = { GRANT_ROLE, "sales", ORIGIN_RULE, "r", "hr", 3, 0 };

	(void)state;
	assert_true(grant_same(&a, &b));
}

static void test_active(void **state)
{
	struct user user = { .disabled = 0 };

	(void)state;
	assert_true(user_is_active(&user));
	user.disabled = SUSPENDED_SIGN_IN;
	assert_true(user_is_active(&user));
	user.disabled = DISABLED_DELETED;
	assert_false(user_is_active(&user));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_grant_order),
		cmocka_unit_test(test_times_do_not_count),
		cmocka_unit_test(test_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
