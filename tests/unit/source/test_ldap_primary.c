/* Primary groups of Active Directory: the name a group and its people meet under. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/source/ldap/primary.h"

#define DOMAIN "\x01\x05\0\0\0\0\0\x05\x15\0\0\0\x13\x34\xbd\x0a\x1b\x21\x31\x8c\x60\xff\x0f\x09"
#define OTHER_DOMAIN \
	"\x01\x05\0\0\0\0\0\x05\x15\0\0\0\x14\x34\xbd\x0a\x1b\x21\x31\x8c\x60\xff\x0f\x09"
#define USER DOMAIN "\xf4\x01\0\0"	   /* 500 */
#define DOMAIN_USERS DOMAIN "\x01\x02\0\0" /* 513 */
#define HIGHEST DOMAIN "\xff\xff\xff\xff"
#define BYTES(literal) ((struct berval){ sizeof(literal) - 1, (char *)(literal) })

static void test_meets(void **state)
{
	static const struct {
		const char *name;
		struct berval person, number, group;
		bool meets;
	} cases[] = {
		{ "its group",
		  { 28, (char *)USER },
		  { 3, (char *)"513" },
		  { 28, (char *)DOMAIN_USERS },
		  true },
		{ "another number",
		  { 28, (char *)USER },
		  { 3, (char *)"514" },
		  { 28, (char *)DOMAIN_USERS },
		  false },
		{ "another domain",
		  { 28, (char *)OTHER_DOMAIN "\xf4\x01\0\0" },
		  { 3, (char *)"513" },
		  { 28, (char *)DOMAIN_USERS },
		  false },
		{ "all 32 bits",
		  { 28, (char *)USER },
		  { 10, (char *)"4294967295" },
		  { 28, (char *)HIGHEST },
		  true },
		{ "leading zeros",
		  { 28, (char *)USER },
		  { 5, (char *)"00513" },
		  { 28, (char *)DOMAIN_USERS },
		  true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct hash128 person, group;
		assert_true(primary_person_name(&cases[i].person, &cases[i].number, &person));
		assert_true(primary_group_name(&cases[i].group, &group));
		if ((memcmp(&person, &group, sizeof(group)) == 0) != cases[i].meets)
			fail_msg("%s", cases[i].name);
	}
}

static void test_unreadable(void **state)
{
	static const struct {
		const char *name;
		struct berval sid, number;
	} cases[] = {
		{ "no SID", { 0, (char *)"" }, { 3, (char *)"513" } },
		{ "cut", { 27, (char *)USER }, { 3, (char *)"513" } },
		{ "a byte more", { 29, (char *)USER "x" }, { 3, (char *)"513" } },
		{ "no parts", { 8, (char *)"\x01\x00\0\0\0\0\0\x05" }, { 3, (char *)"513" } },
		{ "another revision",
		  { 12, (char *)"\x02\x01\0\0\0\0\0\x05\x01\0\0\0" },
		  { 3, (char *)"513" } },
		{ "sixteen parts",
		  { 72, (char *)"\x01\x10\0\0\0\0\0\x05" USER USER USER },
		  { 3, (char *)"513" } },
		{ "as text", { 12, (char *)"S-1-5-21-513" }, { 3, (char *)"513" } },
		{ "no number", { 28, (char *)USER }, { 0, (char *)"" } },
		{ "negative", { 28, (char *)USER }, { 4, (char *)"-513" } },
		{ "33 bits", { 28, (char *)USER }, { 10, (char *)"4294967296" } },
		{ "eleven digits", { 28, (char *)USER }, { 11, (char *)"00000000513" } },
		{ "space", { 28, (char *)USER }, { 4, (char *)"513 " } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct hash128 name;
		if (primary_person_name(&cases[i].sid, &cases[i].number, &name))
			fail_msg("%s", cases[i].name);
	}
	assert_false(primary_group_name(&BYTES(DOMAIN), &(struct hash128){ 0 }));
}

static void test_asked(void **state)
{
	(void)state;
	assert_true(primary_is_asked("objectGUID"));
	assert_true(primary_is_asked("sAMAccountName"));
	assert_false(primary_is_asked("entryUUID"));
	assert_false(primary_is_asked("NSUNIQUEID"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meets),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
