/* JSON writer: exact output, escapes, misuse. */
#include <rolebridge/base/json.h>

#include <string.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_a_document(void **state)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(4096);
	struct json json = JSON(&buf);

	(void)state;
	json_object(&json);
	json_string(&json, "user", "anna");
	json_string(&json, "none", NULL);
	json_array_key(&json, "roles");
	json_string(&json, NULL, "sales");
	json_array(&json);
	json_end(&json);
	json_object(&json);
	json_int(&json, "min", INT64_MIN);
	json_end(&json);
	json_int(&json, NULL, 7);
	json_end(&json);
	json_object_key(&json, "o");
	json_bool(&json, "t", true);
	json_bool(&json, "f", false);
	json_null(&json, "n");
	json_raw(&json, "r", "[1,2]");
	json_time(&json, "at", 1767225600);
	json_time(&json, "never", 0);
	json_end(&json);
	json_end(&json);
	assert_false(strbuf_failed(&buf));
	assert_string_equal(
		strbuf_text(&buf),
		"{\"user\":\"anna\",\"none\":null,\"roles\":[\"sales\",[],{\"min\":-9223372036854775808},"
		"7],\"o\":{\"t\":true,\"f\":false,\"n\":null,\"r\":[1,2],"
		"\"at\":\"2026-01-01T00:00:00Z\",\"never\":null}}");
}

static void test_escapes(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "", "\"\"" },
		{ "plain", "\"plain\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"" },
		{ "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
		  "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"" },
		{ "x\xffy", "\"x\xef\xbf\xbdy\"" },
		{ "\xc3", "\"\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80!", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf buf = STRBUF(4096);
		struct json json = JSON(&buf);

		json_string(&json, NULL, cases[i].text);
		assert_string_equal(strbuf_text(&buf), cases[i].json);
	}
}

/* Texts are looked at by words: every length, with something to escape at every place. */
static void test_escapes_at_every_place(void **state)
{
	static const struct {
		char c;
		const char *json;
	} cases[] = { { '"', "\\\"" },
		      { '\\', "\\\\" },
		      { '\n', "\\n" },
		      { '\x1f', "\\u001f" },
		      { ' ', " " },
		      { '!', "!" },
		      { '#', "#" },
		      { '[', "[" },
		      { '\x7f', "\x7f" },
		      { '\xff', "\xef\xbf\xbd" },
		      { '\x80', "\xef\xbf\xbd" } };
	char text[32], wanted[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t size = 1; size < 28; size++)
			for (size_t at = 0; at < size; at++) {
				AUTO(strbuf) struct strbuf buf = STRBUF(4096);
				struct json json = JSON(&buf);

				memset(text, 'x', size);
				text[size] = '\0';
				text[at] = cases[i].c;
				snprintf(wanted, sizeof(wanted), "\"%.*s%s%s\"", (int)at, text,
					 cases[i].json, text + at + 1);
				json_string(&json, NULL, text);
				assert_string_equal(strbuf_text(&buf), wanted);
			}
}

static void misuse_key_in_array(struct json *json)
{
	json_array(json);
	json_int(json, "k", 1);
}

static void misuse_no_key_in_object(struct json *json)
{
	json_object(json);
	json_int(json, NULL, 1);
}

static void misuse_key_at_root(struct json *json)
{
	json_object_key(json, "k");
}

static void misuse_end_too_many(struct json *json)
{
	json_object(json);
	json_end(json);
	json_end(json);
}

static void misuse_too_deep(struct json *json)
{
	for (int i = 0; i < 33; i++)
		json_array(json);
}

static void test_misuse_fails(void **state)
{
	static void (*const cases[])(struct json *) = {
		misuse_key_in_array, misuse_no_key_in_object, misuse_key_at_root,
		misuse_end_too_many, misuse_too_deep,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf buf = STRBUF(4096);
		struct json json = JSON(&buf);

		cases[i](&json);
		if (!strbuf_failed(&buf))
			fail_msg("case %zu: %s", i, strbuf_text(&buf));
	}
}

static void test_depth_32_is_allowed(void **state)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(4096);
	struct json json = JSON(&buf);

	(void)state;
	json_array(&json);
	for (int i = 0; i < 31; i++)
		i % 2 ? json_array_key(&json, "a") : json_object(&json);
	for (int i = 0; i < 32; i++)
		json_end(&json);
	assert_false(strbuf_failed(&buf));
	assert_memory_equal(buf.data, "[{\"a\":[{", 8);
	assert_string_equal(buf.data + buf.size - 4, "}]}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_document),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_escapes_at_every_place),
		cmocka_unit_test(test_misuse_fails),
		cmocka_unit_test(test_depth_32_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
