/* Permissions: form and inclusion. */
#include "support.h"

#include <rolebridge/base/util.h>
#include <rolebridge/rules/permission.h>

static const struct {
	const char *text;
	bool valid;
} forms[] = {
	{ "accounts:read@own", true },
	{ "*:*@all", true },
	{ "a-b.c_9:*@unassigned", true },
	{ "accounts:read", false },
	{ "accounts@all", false },
	{ "", false },
	{ ":read@all", false },
	{ "accounts:@all", false },
	{ "accounts:read@", false },
	{ "accounts:read@*", false },
	{ "accounts:read@ALL", false },
	{ "Accounts:read@all", false },
	{ "9a:read@all", false },
	{ "a:b:c@all", false },
	{ "a:b@all@all", false },
	{ "acc*:read@all", false },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:r@all", true },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:r@all", false },
};

static void test_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct err err = { 0 };

		if ((permission_check(forms[i].text, &err) == 0) != forms[i].valid)
			fail_msg("'%s'", forms[i].text);
		assert_int_equal(err.code, forms[i].valid ? ERR_NONE : ERR_INVALID);
	}
}

static const struct {
	const char *held, *asked;
	bool covers;
} pairs[] = {
	{ "accounts:read@own", "accounts:read@own", true },
	{ "accounts:read@all", "accounts:read@own", true },
	{ "accounts:read@all", "accounts:read@unassigned", true },
	{ "accounts:read@own", "accounts:read@all", false },
	{ "accounts:read@own", "accounts:read@unassigned", false },
	{ "accounts:*@own", "accounts:write@own", true },
	{ "*:*@all", "cases:*@all", true },
	{ "cases:*@all", "*:*@all", false },
	{ "accounts:read@all", "accounts:*@all", false },
	{ "*:read@all", "account:read@all", true },
	{ "account:read@all", "accounts:read@all", false },
	{ "accounts:read@all", "account:read@all", false },
};

static void test_cover(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (permission_covers(pairs[i].held, pairs[i].asked) != pairs[i].covers)
			fail_msg("%s, %s", pairs[i].held, pairs[i].asked);
}

static const struct {
	const char *one, *other;
	bool meet;
} meetings[] = {
	{ "accounts:read@own", "accounts:read@own", true },
	{ "accounts:read@all", "accounts:read@own", true },
	{ "accounts:read@own", "accounts:read@unassigned", false },
	{ "accounts:*@all", "*:read@own", true },
	{ "*:*@all", "cases:read@own", true },
	{ "accounts:*@all", "cases:*@all", false },
	{ "accounts:read@all", "accounts:write@all", false },
	{ "accounts:read@all", "nonsense", false },
};

static void test_meet(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(meetings); i++) {
		const char *one = meetings[i].one, *other = meetings[i].other;

		if (permission_meets(one, other) != meetings[i].meet ||
		    permission_meets(other, one) != meetings[i].meet)
			fail_msg("%s, %s", one, other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_form),
					    cmocka_unit_test(test_cover),
					    cmocka_unit_test(test_meet) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
