/* The small parts of the ldap source: server URLs, disabled markers, ranges, GUIDs, canaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>
#include <rolebridge/source/ldap.h>

#include "../../../daemon/source/directory.h"
#include "../../../daemon/source/disabled.h"
#include "../../../daemon/source/ldap/canary.h"
#include "../../../daemon/source/ldap/entry.h"
#include "../../../daemon/source/ldap/server.h"

static void test_urls(void **state)
{
	static const struct {
		const char *url;
		int scheme; /* -1: refused */
		const char *host;
		unsigned port;
	} cases[] = {
		{ "ldap://h", SERVER_LDAP, "h", 389 },
		{ "LDAPS://dc1.corp.example/", SERVER_LDAPS, "dc1.corp.example", 636 },
		{ "ldap://10.0.0.1:1389", SERVER_LDAP, "10.0.0.1", 1389 },
		{ "ldap://[::1]:65535/", SERVER_LDAP, "::1", 65535 },
		{ "ldaps://[fe80::1%eth0]", SERVER_LDAPS, "fe80::1%eth0", 636 },
		{ "ldapi:///", SERVER_LDAPI, "/run/slapd/ldapi", 0 },
		{ "ldapi://%2Fvar%2frun%2Fldapi", SERVER_LDAPI, "/var/run/ldapi", 0 },
		{ "ldapi://relative", -1, NULL, 0 },
		{ "ldapi://%2", -1, NULL, 0 },
		{ "ldapi://%2Fa%", -1, NULL, 0 },
		{ "ldapi://%2Fa%00b", -1, NULL, 0 },
		{ "ldapi://%zz", -1, NULL, 0 },
		{ "ldap+srv://example.org", SERVER_LDAP, "example.org", 0 },
		{ "LDAPS+SRV://example.org/", SERVER_LDAPS, "example.org", 0 },
		{ "ldap+srv://example.org:389", -1, NULL, 0 },
		{ "ldap+srv://[::1]", -1, NULL, 0 },
		{ "ldap+srv://", -1, NULL, 0 },
		{ "ldapi+srv://example.org", -1, NULL, 0 },
		{ "ldap://", -1, NULL, 0 },
		{ "ldap://:389", -1, NULL, 0 },
		{ "ldap://h:", -1, NULL, 0 },
		{ "ldap://h:0", -1, NULL, 0 },
		{ "ldap://h:65536", -1, NULL, 0 },
		{ "ldap://h:-1", -1, NULL, 0 },
		{ "ldap://h:3 8", -1, NULL, 0 },
		{ "ldap://[::1", -1, NULL, 0 },
		{ "ldap://[::1]x", -1, NULL, 0 },
		{ "ldap://user@h", -1, NULL, 0 },
		{ "ldap://h/dc=x", -1, NULL, 0 },
		{ "ldap://h?x", -1, NULL, 0 },
		{ "http://h", -1, NULL, 0 },
		{ "h:389", -1, NULL, 0 },
		{ "", -1, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct server server = { .port = 7 };
		int status = server_parse(cases[i].url, &server, NULL);
		if (status != (cases[i].scheme < 0 ? -1 : 0))
			fail_msg("'%s': %d", cases[i].url, status);
		if (status < 0) {
			assert_int_equal(server.port, 7);
			continue;
		}
		assert_int_equal(server.scheme, cases[i].scheme);
		assert_string_equal(server.host, cases[i].host);
		assert_int_equal(server.port, cases[i].port);
	}
}

static void test_url_too_long(void **state)
{
	char url[SERVER_URL_MAX + 2];
	struct server server;

	(void)state;
	memset(url, 'a', sizeof(url));
	memcpy(url, "ldap://", 7);
	url[sizeof(url) - 1] = '\0';
	assert_int_equal(server_parse(url, &server, NULL), -1);
	url[SERVER_URL_MAX] = '\0';
	assert_int_equal(server_parse(url, &server, NULL), 0);
}

static void test_disabled_markers(void **state)
{
	static const struct {
		const char *marker, *value;
		int64_t from_s;
	} cases[] = {
		{ "nsAccountLock", "TRUE", DISABLED_ALWAYS },
		{ "NSACCOUNTLOCK", "true", DISABLED_ALWAYS },
		{ "nsAccountLock", "FALSE", DISABLED_NEVER },
		{ "nsAccountLock", "TRUE ", DISABLED_NEVER },
		{ "userAccountControl", "514", DISABLED_ALWAYS },
		{ "userAccountControl", "2", DISABLED_ALWAYS },
		{ "userAccountControl", "512", DISABLED_NEVER },
		{ "userAccountControl", "-2147483646", DISABLED_ALWAYS },
		{ "userAccountControl", "2x", DISABLED_NEVER },
		{ "userAccountControl", " 2", DISABLED_NEVER },
		{ "userAccountControl", "", DISABLED_NEVER },
		{ "userAccountControl", "99999999999999999999999999999", DISABLED_NEVER },
		{ "pwdAccountLockedTime", "000001010000Z", DISABLED_ALWAYS },
		{ "pwdAccountLockedTime", "20010101000000Z", DISABLED_NEVER },
		{ "accountExpires", "0", DISABLED_NEVER },
		{ "accountExpires", "9223372036854775807", DISABLED_NEVER },
		{ "accountExpires", "126444736000000000", 1000000000 },
		{ "accountExpires", "126444736019999999", 1000000001 },
		{ "accountExpires", "1", 1 }, /* 1601 */
		{ "accountExpires", "9223372036854775806", 910692730085 },
		{ "shadowExpire", "11574", 11574 * 86400 },
		{ "shadowExpire", "-1", DISABLED_NEVER },
		{ "shadowExpire", "0", DISABLED_NEVER },
		{ "shadowExpire", "9223372036854775807", DISABLED_NEVER },
		{ "pwdEndTime", "20010909014640Z", 1000000000 },
		{ "krbPrincipalExpiration", "20010909024640+0100", 1000000000 },
		{ "krbPrincipalExpiration", "19691231235959Z", 1 },
		{ "krbPrincipalExpiration", "19700101000000Z", 1 },
		{ "krbPrincipalExpiration", "tomorrow", DISABLED_NEVER },
		{ "krbPrincipalExpiration", "", DISABLED_NEVER },
		{ "loginDisabled=TRUE", "true", DISABLED_ALWAYS },
		{ "loginDisabled=TRUE", "TRU", DISABLED_NEVER },
		{ "employeeStatus=left", "here", DISABLED_NEVER },
		{ "employeeStatus=left us", " Left  us", DISABLED_ALWAYS },
		{ "employeeStatus=geh\xc3\xb6rt", "GEH\xc3\x96RT", DISABLED_ALWAYS },
		{ "employeeStatus=left", "\xff", DISABLED_NEVER },
		{ "Leaving date=*", "2026-01-31", DISABLED_ALWAYS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct disabled_marker marker;
		const char *value = cases[i].value;
		assert_true(disabled_marker_parse(cases[i].marker, &marker));
		if (disabled_marker_from_s(&marker, value, strlen(value)) != cases[i].from_s)
			fail_msg("%s: '%s'", cases[i].marker, value);
	}
}

static void test_disabled_together(void **state)
{
	static const struct {
		const char *marker[3], *value[3];
		bool always;
		int64_t from_s;
		const char *by;
	} cases[] = {
		{ { "nsAccountLock" }, { "FALSE" }, false, 0, NULL },
		{ { "shadowExpire", "accountExpires" },
		  { "20000", "126444736000000000" },
		  false,
		  1000000000,
		  "accountExpires" },
		{ { "shadowExpire", "accountExpires" },
		  { "11000", "126444736000000000" },
		  false,
		  11000 * 86400,
		  "shadowExpire" },
		{ { "accountExpires", "nsAccountLock", "shadowExpire" },
		  { "126444736000000000", "TRUE", "11000" },
		  true,
		  0,
		  "nsAccountLock" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct disabled_state found = { 0 };
		for (size_t m = 0; m < 3 && cases[i].marker[m]; m++) {
			struct disabled_marker marker;
			const char *value = cases[i].value[m];
			assert_true(disabled_marker_parse(cases[i].marker[m], &marker));
			disabled_state_add(&found, &marker, value, strlen(value));
		}
		assert_int_equal(found.always, cases[i].always);
		assert_int_equal(found.from_s, cases[i].from_s);
		if (!cases[i].by)
			assert_null(found.by);
		else
			assert_string_equal(found.by, cases[i].by);
	}
}

static void test_markers_without_meaning(void **state)
{
	static const char *const cases[] = { "", "locked", "=x", "a=", " a=c", "(a=b" };
	const struct located_list usual = { 0 };
	struct disabled_marker marker;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_false(disabled_marker_parse(cases[i], &marker));
	for (size_t i = 0; i < disabled_count(&usual); i++)
		assert_true(disabled_marker_parse(disabled_text(&usual, i), &marker));
}

static void test_ranges(void **state)
{
	static const struct {
		const char *name;
		bool is_range, last;
		unsigned long first, next;
	} cases[] = {
		{ "member", false, false, 0, 0 },
		{ "member;lang-de", false, false, 0, 0 },
		{ "member;range=0-1499", true, false, 0, 1500 },
		{ "member;Range=1500-2999", true, false, 1500, 3000 },
		{ "member;range=3000-*", true, true, 3000, 0 },
		{ "member;range=0-*", true, true, 0, 0 },
		{ "member;range=5-4", true, false, 5, 0 },
		{ "member;range=5", true, false, 0, 0 },
		{ "member;range=5-", true, false, 0, 0 },
		{ "member;range=x-y", true, false, 0, 0 },
		{ "member;range=0-9x", true, false, 0, 0 },
		{ "member;range=99999999999999999999-*", true, false, 0, 0 },
		{ "member;range=", false, false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *name = cases[i].name;
		struct directory_range range = { 0 };
		if (directory_name_range(name, strlen(name), &range) != cases[i].is_range ||
		    range.last != cases[i].last || range.first != cases[i].first ||
		    range.next != cases[i].next)
			fail_msg("%s: last %d, first %lu, next %lu", name, range.last, range.first,
				 range.next);
		if (cases[i].is_range)
			assert_int_equal(range.base_size, strlen("member"));
	}
}

static void test_sid(void **state)
{
	static const struct {
		size_t size;
		const char *bytes, *text; /* NULL: refused */
	} cases[] = {
		{ 28,
		  "\x01\x05\0\0\0\0\0\x05\x15\0\0\0\x13\x34\xbd\x0a\x1b\x21\x31\x8c\x60\xff\x0f\x09\xf4\x01\0\0",
		  "S-1-5-21-180171795-2352029979-152043360-500" },
		{ 12, "\x01\x01\0\0\0\0\0\x01\0\0\0\0", "S-1-1-0" },
		{ 8, "\x01\x00\xff\xff\xff\xff\xff\xff", "S-1-281474976710655" },
		{ 12, "\x01\x01\0\0\0\0\0\x05\xff\xff\xff\xff", "S-1-5-4294967295" },
		{ 0, "", NULL },
		{ 11, "\x01\x01\0\0\0\0\0\x05\0\0\0", NULL },
		{ 13, "\x01\x01\0\0\0\0\0\x05\0\0\0\0\0", NULL },
		{ 12, "\x02\x01\0\0\0\0\0\x05\0\0\0\0", NULL },
		{ 12, "S-1-5-21-512", NULL },
	};
	char longest[8 + 15 * 4], text[SID_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool good = directory_sid_text(cases[i].bytes, cases[i].size, text);
		assert_int_equal(good, cases[i].text != NULL);
		if (good)
			assert_string_equal(text, cases[i].text);
	}
	memset(longest, 0xff, sizeof(longest));
	longest[0] = 1;
	longest[1] = 15;
	assert_true(directory_sid_text(longest, sizeof(longest), text));
	assert_int_equal(strlen(text), strlen("S-1-281474976710655") + 15 * strlen("-4294967295"));
}

static void test_guid(void **state)
{
	char bytes[] = "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
	char text[UUID_TEXT_SIZE];

	(void)state;
	assert_true(directory_guid_text(bytes, 16, text));
	assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
	assert_false(directory_guid_text(bytes, 15, text));
}

#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *name, *bytes;
	size_t size;
	const char *values; /* joined by '|'; NULL: does not decode */
} attributes[] = {
	{ "one value",
	  BYTES("\x04\x02"
		"cn\x31\x03\x04\x01"
		"a"),
	  "a" },
	{ "two values",
	  BYTES("\x04\x02"
		"cn\x31\x06\x04\x01"
		"a\x04\x01"
		"b"),
	  "a|b" },
	{ "an empty value",
	  BYTES("\x04\x02"
		"cn\x31\x05\x04\x00\x04\x01"
		"b"),
	  "|b" },
	{ "no values",
	  BYTES("\x04\x02"
		"cn\x31\x00"),
	  "" },
	{ "lengths of four octets",
	  BYTES("\x04\x84\x00\x00\x00\x02"
		"cn\x31\x84\x00\x00\x00\x07\x04\x84\x00\x00\x00\x01"
		"a"),
	  "a" },
	{ "nothing", BYTES(""), NULL },
	{ "no set",
	  BYTES("\x04\x02"
		"cn"),
	  NULL },
	{ "empty name", BYTES("\x04\x00\x31\x00"), NULL },
	{ "name of another type",
	  BYTES("\x0c\x02"
		"cn\x31\x00"),
	  NULL },
	{ "sequence instead of set",
	  BYTES("\x04\x02"
		"cn\x30\x00"),
	  NULL },
	{ "value of another type",
	  BYTES("\x04\x02"
		"cn\x31\x03\x02\x01"
		"a"),
	  NULL },
	{ "second value of another type",
	  BYTES("\x04\x02"
		"cn\x31\x06\x04\x01"
		"a\x24\x01"
		"b"),
	  NULL },
	{ "value beyond the set",
	  BYTES("\x04\x02"
		"cn\x31\x03\x04\x02"
		"a"),
	  NULL },
	{ "set beyond the end",
	  BYTES("\x04\x02"
		"cn\x31\x04\x04\x01"
		"a"),
	  NULL },
	{ "more after the set",
	  BYTES("\x04\x02"
		"cn\x31\x03\x04\x01"
		"a\x04"),
	  NULL },
	{ "half an element",
	  BYTES("\x04\x02"
		"cn\x31\x04\x04\x01"
		"a\x04"),
	  NULL },
	{ "indefinite length",
	  BYTES("\x04\x02"
		"cn\x31\x80\x04\x01"
		"a\x00\x00"),
	  NULL },
	{ "length cut",
	  BYTES("\x04\x02"
		"cn\x31\x82\x00"),
	  NULL },
	{ "length of nine octets",
	  BYTES("\x04\x89\0\0\0\0\0\0\0\0\x02"
		"cn\x31\x00"),
	  NULL },
	{ "length near the end of memory",
	  BYTES("\x04\x88\xff\xff\xff\xff\xff\xff\xff\xff"
		"cn\x31\x00"),
	  NULL },
};

static void test_attributes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		AUTO(strbuf) struct strbuf joined = STRBUF(256);
		/* A copy without a byte to spare. */
		char *copy = malloc(attributes[i].size + 1);
		struct attribute_values values;
		struct berval name, value;
		size_t count = 0;
		int result;

		assert_non_null(copy);
		memcpy(copy + 1, attributes[i].bytes, attributes[i].size);
		result = attribute_split(copy + 1, attributes[i].size, &name, &values);
		if (result != (attributes[i].values ? 0 : -1))
			fail_msg("%s: %d", attributes[i].name, result);
		while (result == 0 && attribute_next_value(&values, &value)) {
			strbuf_puts(&joined, count++ ? "|" : "");
			strbuf_append(&joined, value.bv_val, value.bv_len);
		}
		if (result == 0) {
			assert_int_equal(count, values.count);
			assert_memory_equal(name.bv_val, "cn", name.bv_len);
			assert_string_equal(strbuf_text(&joined), attributes[i].values);
		}
		free(copy);
	}
}

static void see(struct canaries *canaries, const char *name)
{
	canaries_see(canaries, strchr(name, '=') ? dn_fingerprint_normal(name, strlen(name))
						 : fingerprint128(name, strlen(name)));
}

static void test_canaries(void **state)
{
	static const char *texts[] = { "UID=a, OU=P", "6F1D2A34-1111-4A4B-8C8C-0123456789AB",
				       "plain-key", "uid=a,ou=p" };
	struct job job = { .users = { .base = "ou=p" },
			   .groups = { .base = "ou=g" },
			   .canaries = { ARRAY_LEN(texts), texts } };
	struct canaries canaries;

	(void)state;
	assert_int_equal(canaries_init(&canaries, &job, true, NULL), 0);
	see(&canaries, "plain-key");
	see(&canaries, "somebody else");
	assert_string_equal(canaries_missing(&canaries), texts[0]);
	see(&canaries, "uid=a,ou=p");
	assert_string_equal(canaries_missing(&canaries), texts[1]);
	see(&canaries, "6f1d2a34-1111-4a4b-8c8c-0123456789ab");
	assert_null(canaries_missing(&canaries));
	canaries_finish(&canaries);
}

static void test_group_canary(void **state)
{
	static const char *texts[] = { "cn=staff,ou=g" };
	struct job job = { .users = { .base = "ou=p" },
			   .groups = { .base = "ou=g" },
			   .canaries = { 1, texts } };
	struct canaries canaries;

	(void)state;
	assert_int_equal(canaries_init(&canaries, &job, true, NULL), 0);
	assert_non_null(canaries_missing(&canaries));
	canaries_finish(&canaries);
	assert_int_equal(canaries_init(&canaries, &job, false, NULL), 0);
	assert_null(canaries_missing(&canaries));
	canaries_finish(&canaries);
	job.groups.base = "ou=p";
	texts[0] = "uid=a,ou=p";
	assert_int_equal(canaries_init(&canaries, &job, false, NULL), 0);
	assert_non_null(canaries_missing(&canaries));
	canaries_finish(&canaries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_url_too_long),
		cmocka_unit_test(test_disabled_markers),
		cmocka_unit_test(test_disabled_together),
		cmocka_unit_test(test_markers_without_meaning),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_guid),
		cmocka_unit_test(test_sid),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_canaries),
		cmocka_unit_test(test_group_canary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
