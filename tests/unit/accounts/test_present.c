/* The account databases: ordinary ones, and whatever else may stand in them. */
#include "../../../daemon/accounts/present.h"

#include <string.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/accounts/ledger.h"
#include "../base/cmocka_all.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "anna:x:70000:70000:Anna, A:/home/anna:/bin/sh\n"
			     "+nis::::::\n"
			     "\n"
			     "bea:x:70001:100::/home/bea:\n"
			     "anna:x:5:5:second:/:/bin/false\n"
			     "carl:x:x:1:::\n"
			     "carl:x:99999999999:1:::\n"
			     "dora:x:1:2:too:few\n"
			     "last:x:70009:70009:::/bin/sh";
static const char shadow[] = "anna:!$6$x:19000:0:99999:7::1:\n"
			     "bea:!:19000:0:99999:7:::\n"
			     "last::1:2:3:4:5:77:\n";
static const char group[] = "root:x:0:\n"
			    "users:x:100:anna,last\n"
			    "anna:x:70000:\n"
			    "sudo:x:27:anna,bea,annabel,\n"
			    "sudo2:x:28:anna,anna\n"
			    "again:x:70000:\n"
			    "cut:x:29\n"
			    "many:x:30:,,last,bea";

static void test_found(void **state)
{
	static const char *const names[] = { "anna", "bea", "carl", "dora", "last", "zoe" };
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct present *p;

	(void)state;
	assert_int_equal(
		present_parse(passwd, shadow, group, names, ARRAY_LEN(names), arena, &p, NULL), 0);
	assert_true(p[0].in_passwd && p[0].in_shadow && p[0].locked && p[0].has_password);
	assert_int_equal(p[0].uid, 70000);
	assert_string_equal(p[0].gecos, "Anna, A");
	assert_string_equal(p[0].home, "/home/anna");
	assert_string_equal(p[0].shell, "/bin/sh");
	assert_int_equal(p[0].expire_days, 1);
	assert_string_equal(p[0].primary, "anna");
	assert_true(p[0].own_group && p[0].own_gid == 70000);
	assert_int_equal(p[0].group_count, 3);
	assert_string_equal(p[0].groups[0], "users");
	assert_string_equal(p[0].groups[1], "sudo");
	assert_string_equal(p[0].groups[2], "sudo2");
	assert_true(p[1].locked && !p[1].has_password && !p[1].own_group);
	assert_int_equal(p[1].expire_days, EXPIRE_NONE);
	assert_string_equal(p[1].primary, "users");
	assert_string_equal(p[1].shell, "");
	assert_int_equal(p[1].group_count, 2);
	assert_false(p[2].in_passwd || p[3].in_passwd || p[5].in_passwd || p[5].in_shadow);
	assert_true(p[4].in_passwd && !p[4].locked && !p[4].has_password);
	assert_int_equal(p[4].expire_days, 77);
	assert_string_equal(p[4].primary, "");
	assert_string_equal(p[4].groups[1], "many");
}

static void test_empty(void **state)
{
	static const char *const names[] = { "anna" };
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct present *p;

	(void)state;
	assert_int_equal(present_parse("", "", "", names, 1, arena, &p, NULL), 0);
	assert_false(p[0].in_passwd);
	assert_string_equal(p[0].primary, "");
	assert_int_equal(present_parse(passwd, shadow, group, names, 0, arena, &p, NULL), 0);
}

static void test_no_room(void **state)
{
	static const char *const names[] = { "anna" };
	AUTO(arena) struct arena *arena = arena_create(64);
	struct present *p;

	(void)state;
	assert_int_equal(present_parse(passwd, shadow, group, names, 1, arena, &p, NULL), -1);
}

static const struct {
	const char *name, *subuid;
	uint32_t from, to, first;
} ranges[] = {
	{ "none", "", 5, 10, 5 },
	{ "before", "a:1:4\n", 5, 10, 5 },
	{ "at", "a:5:1\n", 5, 10, 6 },
	{ "chain in reverse", "a:8:2\nb:6:2\nc:5:1\n", 5, 10, 10 },
	{ "all", "a:1:100000\n", 5, 10, 0 },
	{ "to the last", "a:5:6", 5, 10, 0 },
	{ "but the last", "a:5:5", 5, 10, 10 },
	{ "at the end of numbers", "a:4294967290:4294967295\n", 4294967290u, 4294967294u, 0 },
	{ "nonsense", "a:5\nb:x:1\nc:5:x\nd:5:0\n:::\n", 5, 10, 5 },
};

static void test_subordinates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (subordinate_skip(ranges[i].subuid, ranges[i].from, ranges[i].to) !=
		    ranges[i].first)
			fail_msg("%s", ranges[i].name);
}

static void test_name_service(void **state)
{
	uint32_t gid = 7;

	(void)state;
	assert_int_equal(name_service_has_user("root", NULL), 1);
	assert_int_equal(name_service_has_uid(0, NULL), 1);
	assert_int_equal(name_service_has_group("root", &gid, NULL), 1);
	assert_int_equal(gid, 0);
	assert_int_equal(name_service_has_gid(0, NULL), 1);
	assert_int_equal(name_service_has_user("nobody-of-that-name", NULL), 0);
	assert_int_equal(name_service_has_uid(3999999999u, NULL), 0);
	assert_int_equal(name_service_has_group("nobody-of-that-name", NULL, NULL), 0);
	assert_int_equal(name_service_has_gid(3999999999u, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),	     cmocka_unit_test(test_empty),
		cmocka_unit_test(test_no_room),	     cmocka_unit_test(test_subordinates),
		cmocka_unit_test(test_name_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
