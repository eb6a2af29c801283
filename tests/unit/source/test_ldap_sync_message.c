/* Controls and messages of RFC 4533, also those nobody should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/source/ldap/sync_message.h"

#define UUID "0123456789abcdef"
#define VALUE(text) \
	{ \
		sizeof(text) - 1, (char *)(text) \
	}

static void test_state(void **state)
{
	static const struct {
		const char *name;
		struct berval value;
		int kind; /* -1: refused */
		const char *cookie;
	} cases[] = {
		{ "add", VALUE("\x30\x15\x0a\x01\x01\x04\x10" UUID), SYNC_ADD, NULL },
		{ "delete with a cookie",
		  VALUE("\x30\x1a\x0a\x01\x03\x04\x10" UUID "\x04\x03"
			"c=1"),
		  SYNC_DELETE, "c=1" },
		{ "present, empty cookie", VALUE("\x30\x17\x0a\x01\x00\x04\x10" UUID "\x04\x00"),
		  SYNC_PRESENT, "" },
		{ "modify, long form of lengths",
		  VALUE("\x30\x84\x00\x00\x00\x16\x0a\x01\x02\x04\x81\x10" UUID), SYNC_MODIFY,
		  NULL },
		{ "unknown state", VALUE("\x30\x15\x0a\x01\x04\x04\x10" UUID), -1, NULL },
		{ "negative state", VALUE("\x30\x15\x0a\x01\xff\x04\x10" UUID), -1, NULL },
		{ "state of two bytes", VALUE("\x30\x16\x0a\x02\x00\x01\x04\x10" UUID), -1, NULL },
		{ "short UUID",
		  VALUE("\x30\x14\x0a\x01\x01\x04\x0f"
			"123456789abcdef"),
		  -1, NULL },
		{ "no UUID", VALUE("\x30\x03\x0a\x01\x01"), -1, NULL },
		{ "more behind", VALUE("\x30\x15\x0a\x01\x01\x04\x10" UUID "x"), -1, NULL },
		{ "more inside", VALUE("\x30\x17\x0a\x01\x01\x04\x10" UUID "\x05\x00"), -1, NULL },
		{ "longer than it is", VALUE("\x30\x16\x0a\x01\x01\x04\x10" UUID), -1, NULL },
		{ "huge length", VALUE("\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff\x0a"), -1, NULL },
		{ "indefinite length", VALUE("\x30\x80\x0a\x01\x01\x04\x10" UUID "\0\0"), -1,
		  NULL },
		{ "empty", VALUE(""), -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sync_state parsed;
		int status = sync_state_parse(&cases[i].value, &parsed);
		if (status != (cases[i].kind < 0 ? -1 : 0))
			fail_msg("%s: %d", cases[i].name, status);
		if (status < 0)
			continue;
		if ((int)parsed.kind != cases[i].kind ||
		    parsed.cookie.given != (cases[i].cookie != NULL))
			fail_msg("%s", cases[i].name);
		assert_memory_equal(parsed.uuid, UUID, SYNC_UUID_SIZE);
		if (cases[i].cookie) {
			assert_int_equal(parsed.cookie.value.bv_len, strlen(cases[i].cookie));
			assert_memory_equal(parsed.cookie.value.bv_val, cases[i].cookie,
					    strlen(cases[i].cookie));
		}
	}
}

static void test_done(void **state)
{
	static const struct {
		const char *name;
		struct berval value;
		int deletes; /* -1: refused */
		bool cookie;
	} cases[] = {
		{ "nothing said", VALUE("\x30\x00"), 0, false },
		{ "deletes", VALUE("\x30\x03\x01\x01\xff"), 1, false },
		{ "both",
		  VALUE("\x30\x06\x04\x01"
			"c"
			"\x01\x01\x00"),
		  0, true },
		{ "wrong order",
		  VALUE("\x30\x06\x01\x01\x00\x04\x01"
			"c"),
		  -1, false },
		{ "empty boolean", VALUE("\x30\x02\x01\x00"), -1, false },
		{ "not a sequence", VALUE("\x31\x00"), -1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sync_done done;
		int status = sync_done_parse(&cases[i].value, &done);
		if (status != (cases[i].deletes < 0 ? -1 : 0) ||
		    (status == 0 && (done.deletes != (cases[i].deletes == 1) ||
				     done.cookie.given != cases[i].cookie)))
			fail_msg("%s: %d", cases[i].name, status);
	}
}

static void test_info(void **state)
{
	static const struct {
		const char *name;
		struct berval value;
		int kind; /* -1: refused */
		bool cookie, refresh_done, deletes;
		size_t count;
	} cases[] = {
		{ "new cookie",
		  VALUE("\x80\x01"
			"c"),
		  SYNC_NEW_COOKIE, true, false, false, 0 },
		{ "end by deletes", VALUE("\xa1\x00"), SYNC_REFRESH_DELETE, false, true, false, 0 },
		{ "end of presents, deletes follow",
		  VALUE("\xa2\x06\x04\x01"
			"c"
			"\x01\x01\x00"),
		  SYNC_REFRESH_PRESENT, true, false, false, 0 },
		{ "set of present", VALUE("\xa3\x14\x31\x12\x04\x10" UUID), SYNC_ID_SET, false,
		  false, false, 1 },
		{ "set of deleted",
		  VALUE("\xa3\x29\x01\x01\xff\x31\x24\x04\x10" UUID "\x04\x10" UUID), SYNC_ID_SET,
		  false, false, true, 2 },
		{ "empty set", VALUE("\xa3\x02\x31\x00"), SYNC_ID_SET, false, false, false, 0 },
		{ "no set", VALUE("\xa3\x00"), -1, false, false, false, 0 },
		{ "short UUID in the set",
		  VALUE("\xa3\x13\x31\x11\x04\x0f"
			"123456789abcdef"),
		  -1, false, false, false, 0 },
		{ "cut UUID in the set",
		  VALUE("\xa3\x13\x31\x11\x04\x10"
			"123456789abcdef"),
		  -1, false, false, false, 0 },
		{ "more behind a cookie",
		  VALUE("\x80\x01"
			"cc"),
		  -1, false, false, false, 0 },
		{ "unknown choice", VALUE("\xa4\x00"), -1, false, false, false, 0 },
		{ "empty", VALUE(""), -1, false, false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sync_info info;
		size_t count = 0;
		int status = sync_info_parse(&cases[i].value, &info);
		if (status != (cases[i].kind < 0 ? -1 : 0))
			fail_msg("%s: %d", cases[i].name, status);
		if (status < 0)
			continue;
		if ((int)info.kind != cases[i].kind || info.cookie.given != cases[i].cookie ||
		    info.refresh_done != cases[i].refresh_done ||
		    info.deletes != cases[i].deletes || info.count != cases[i].count)
			fail_msg("%s", cases[i].name);
		for (const unsigned char *uuid; (uuid = sync_info_next(&info)); count++)
			assert_memory_equal(uuid, UUID, SYNC_UUID_SIZE);
		assert_int_equal(count, cases[i].count);
	}
}

/* Nothing is kept of a cookie that no server makes. */
static void test_cookie_too_long(void **state)
{
	size_t size = SYNC_COOKIE_MAX + 1;
	char *bytes = malloc(5 + size);
	struct berval value = { 5 + size, bytes };
	struct sync_info info;

	(void)state;
	memset(bytes, 'c', 5 + size);
	memcpy(bytes, "\x80\x83\x01\x00\x01", 5);
	assert_int_equal(sync_info_parse(&value, &info), -1);
	memcpy(bytes, "\x80\x83\x01\x00\x00", 5);
	value.bv_len--;
	assert_int_equal(sync_info_parse(&value, &info), 0);
	free(bytes);
}

static void test_request(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(SYNC_COOKIE_MAX + 64);
	struct berval cookie = VALUE("rid=1");
	char long_text[200];

	(void)state;
	sync_request_encode(NULL, &out);
	assert_int_equal(out.size, 5);
	assert_memory_equal(out.data, "\x30\x03\x0a\x01\x03", 5);
	strbuf_clear(&out);
	sync_request_encode(&cookie, &out);
	assert_int_equal(out.size, 12);
	assert_memory_equal(out.data, "\x30\x0a\x0a\x01\x03\x04\x05rid=1", 12);
	strbuf_clear(&out);
	memset(long_text, 'x', sizeof(long_text));
	cookie = (struct berval){ sizeof(long_text), long_text };
	sync_request_encode(&cookie, &out);
	assert_int_equal(out.size, 6 + 3 + 6 + 200);
	assert_memory_equal(out.data,
			    "\x30\x84\x00\x00\x00\xd1\x0a\x01\x03\x04\x84\x00\x00\x00\xc8x", 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state),	cmocka_unit_test(test_done),
		cmocka_unit_test(test_info),	cmocka_unit_test(test_cookie_too_long),
		cmocka_unit_test(test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
