/* The request reader against bodies that nobody should send. */
#include "../../../daemon/api/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

struct item {
	const char *path;
};

struct target {
	const char *text, *blob;
	bool flag;
	int64_t day_s;
	struct field_list list;
	int64_t number;
	struct item inner;
};

static const struct field item_fields[] = {
	{ "path", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct item, path), 10, NULL, 0 },
	{ NULL, FIELD_TEXT, 0, 0, 0, NULL, 0 },
};

static const struct field fields[] = {
	{ "text", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct target, text), 5, NULL, 0 },
	{ "blob", FIELD_BLOB, 0, offsetof(struct target, blob), 5, NULL, 0 },
	{ "flag", FIELD_BOOL, 0, offsetof(struct target, flag), 0, NULL, 0 },
	{ "day", FIELD_DATE, 0, offsetof(struct target, day_s), 0, NULL, 0 },
	{ "list", FIELD_LIST, 0, offsetof(struct target, list), 2, item_fields,
	  sizeof(struct item) },
	{ "number", FIELD_INT, 0, offsetof(struct target, number), 100, NULL, 0 },
	{ "inner", FIELD_OBJECT, 0, offsetof(struct target, inner), 0, item_fields, 0 },
};

static const struct {
	const char *name, *body;
	const char *field; /* NULL: the whole body */
	const char *says;
} bad[] = {
	{ "no object", "[]", NULL, "JSON object" },
	{ "not JSON", "{", NULL, "not JSON" },
	{ "two values", "{\"text\":\"a\"}{}", NULL, "not JSON" },
	{ "key twice", "{\"text\":\"a\",\"text\":\"b\"}", NULL, "duplicate" },
	{ "not UTF-8", "{\"text\":\"\xff\"}", NULL, "not JSON" },
	{ "lone surrogate", "{\"text\":\"\\ud800\"}", NULL, "not JSON" },
	{ "nul", "{\"text\":\"a\\u0000b\"}", NULL, "not JSON" },
	{ "unknown", "{\"text\":\"a\",\"evil\":1}", "evil", "not known" },
	{ "near", "{\"txt\":\"a\"}", "txt", "did you mean 'text'?" },
	{ "missing", "{}", "text", "missing" },
	{ "null is missing", "{\"text\":null}", "text", "missing" },
	{ "number for text", "{\"text\":1}", "text", "string" },
	{ "object for text", "{\"text\":{}}", "text", "string" },
	{ "too long", "{\"text\":\"123456\"}", "text", "longer than 5" },
	{ "control character", "{\"text\":\"a\\nb\"}", "text", "control" },
	{ "negative", "{\"text\":\"a\",\"number\":-1}", "number", "from 0 to 100" },
	{ "too large", "{\"text\":\"a\",\"number\":101}", "number", "from 0 to 100" },
	{ "a fraction", "{\"text\":\"a\",\"number\":1.5}", "number", "whole number" },
	{ "text for number", "{\"text\":\"a\",\"number\":\"1\"}", "number", "whole number" },
	{ "text for object", "{\"text\":\"a\",\"inner\":\"x\"}", "inner", "object" },
	{ "missing within", "{\"text\":\"a\",\"inner\":{}}", "inner.path", "missing" },
	{ "unknown within", "{\"text\":\"a\",\"inner\":{\"path\":\"x\",\"y\":1}}", "inner.y",
	  "not known" },
	{ "text for flag", "{\"text\":\"a\",\"flag\":\"true\"}", "flag", "true or false" },
	{ "number for flag", "{\"text\":\"a\",\"flag\":1}", "flag", "true or false" },
	{ "no such day", "{\"text\":\"a\",\"day\":\"2026-02-30\"}", "day", "date" },
	{ "the day before time", "{\"text\":\"a\",\"day\":\"1969-12-31\"}", "day", "date" },
	{ "time zero", "{\"text\":\"a\",\"day\":\"1970-01-01T00:00:00Z\"}", "day", "date" },
	{ "long ago", "{\"text\":\"a\",\"day\":\"1013-01-31\"}", "day", "date" },
	{ "not a day", "{\"text\":\"a\",\"day\":20260230}", "day", "string" },
	{ "object for list", "{\"text\":\"a\",\"list\":{}}", "list", "list" },
	{ "long list", "{\"text\":\"a\",\"list\":[{\"path\":\"x\"},{\"path\":\"x\"},{}]}", "list",
	  "more than 2" },
	{ "list cut", "{\"text\":\"a\",\"list\":[{\"path\":\"x\"}", NULL, "']' expected" },
	{ "list without comma", "{\"list\":[{\"path\":\"x\"}{\"path\":\"x\"}]}", NULL,
	  "']' expected" },
	{ "comma at the end", "{\"list\":[{\"path\":\"x\"},]}", NULL, "JSON" },
	{ "twice, one a list", "{\"text\":\"a\",\"list\":[],\"list\":[]}", NULL, "duplicate" },
	{ "more behind", "{\"text\":\"a\"}\n\n  {}", NULL, "line 3, column 2: end of file" },
	{ "a key that is none", "{text:1}", NULL, "string" },
	{ "no colon", "{\"text\" 1}", NULL, "':' expected" },
	{ "key with NUL", "{\"te\\u0000xt\":1}", NULL, "JSON" },
	{ "an array", "[1]", NULL, "JSON object" },
	{ "a text", "\"x\"", NULL, "JSON object" },
	{ "not closed", "{\"text\":\"a\"", NULL, "'}' expected" },
	{ "nothing behind a brace", "{", NULL, "expected" },
	{ "no object in list", "{\"text\":\"a\",\"list\":[1]}", "list[0]", "JSON object" },
	{ "missing in list", "{\"text\":\"a\",\"list\":[{\"path\":\"x\"},{}]}", "list[1].path",
	  "missing" },
	{ "unknown in list", "{\"text\":\"a\",\"list\":[{\"path\":\"x\",\"y\":1}]}", "list[0].y",
	  "not known" },
};

static int read_body(struct http_request *request, const char *body, size_t size,
		     struct target *target, struct err *err)
{
	request->error_field = NULL;
	request->body = body;
	request->body_size = size;
	memset(target, 0, sizeof(*target));
	return request_read(request, fields, ARRAY_LEN(fields), target, err);
}

static const struct http_pair json_header = { "Content-Type", "application/json" };

static void test_bad(void **state)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	struct http_request request = { .arena = arena,
					.headers = &json_header,
					.header_count = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = { 0 };
		struct target target;

		if (read_body(&request, bad[i].body, strlen(bad[i].body), &target, &err) != -1)
			fail_msg("%s was taken", bad[i].name);
		if (err.code != ERR_INVALID || !strstr(err.text, bad[i].says) ||
		    (bad[i].field == NULL) != (request.error_field == NULL) ||
		    (bad[i].field && strcmp(bad[i].field, request.error_field) != 0))
			fail_msg("%s: %s (%s)", bad[i].name, err.text,
				 request.error_field ? request.error_field : "");
	}
}

static void test_good(void **state)
{
	static const char body[] =
		"{\"text\":\"\xc3\xa4\",\"blob\":\"a\\nb\",\"flag\":true,"
		"\"day\":\"1970-01-01\",\"list\":[{\"path\":\"x\"},{\"path\":\"y\"}],"
		"\"number\":100,\"inner\":{\"path\":\"z\"}}";
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	struct http_request request = { .arena = arena,
					.headers = &json_header,
					.header_count = 1 };
	struct err err = { 0 };
	struct target target;
	const struct item *items;

	(void)state;
	assert_int_equal(0, read_body(&request, body, sizeof(body) - 1, &target, &err));
	assert_string_equal("\xc3\xa4", target.text);
	assert_string_equal("a\nb", target.blob);
	assert_true(target.flag);
	assert_int_equal(86400, target.day_s); /* the day itself still counts */
	assert_int_equal(2, target.list.count);
	items = target.list.items;
	assert_string_equal("x", items[0].path);
	assert_string_equal("y", items[1].path);
	assert_int_equal(100, target.number);
	assert_string_equal("z", target.inner.path);
}

static void test_empty_body(void **state)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	struct http_request request = { .arena = arena };
	struct err err = { 0 };
	struct target target;

	(void)state;
	assert_int_equal(-1, read_body(&request, "", 0, &target, &err));
	assert_string_equal("text", request.error_field);
	/* Without a field that must be there it is an empty object. */
	assert_int_equal(0,
			 request_read(&request, fields + 1, ARRAY_LEN(fields) - 1, &target, &err));
}

/* Depth and sheer size end in an error, not in the stack's. */
static void test_deep(void **state)
{
	enum { DEPTH = 200000 };
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	struct http_request request = { .arena = arena };
	char *body = malloc(DEPTH + 1);
	struct err err = { 0 };
	struct target target;

	(void)state;
	memset(body, '[', DEPTH);
	body[DEPTH] = 0;
	assert_int_equal(-1, read_body(&request, body, DEPTH, &target, &err));
	assert_int_equal(ERR_INVALID, err.code);
	free(body);
}

static void test_content_type(void **state)
{
	static const struct {
		const char *type;
		bool good;
	} types[] = {
		{ NULL, false },
		{ "application/json", true },
		{ "Application/JSON; charset=utf-8", true },
		{ "application/jsonp", false },
		{ "text/plain", false },
		{ "application/x-www-form-urlencoded", false },
		{ "", false },
	};
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct http_pair header = { "Content-Type", types[i].type };
		struct http_request request = { .arena = arena,
						.headers = &header,
						.header_count = types[i].type ? 1 : 0 };
		struct err err = { 0 };
		struct target target;
		int result = read_body(&request, "{\"text\":\"a\"}", 12, &target, &err);

		assert_int_equal(types[i].good ? 0 : -1, result);
		if (!types[i].good)
			assert_string_equal("unsupported-media-type", err.reason);
	}
}

/* --- items that stand for themselves --- */

struct row {
	struct field_refusal refusal;
	const char *name;
	int64_t count;
};

static const struct field row_fields[] = {
	{ "name", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct row, name), 5, NULL, 0 },
	{ "count", FIELD_INT, FIELD_POSITIVE, offsetof(struct row, count), 9, NULL, 0 },
	{ .name = NULL },
};

static const struct field rows_fields[] = {
	{ "rows", FIELD_LIST, FIELD_EACH, 0, 9, row_fields, sizeof(struct row) },
};

static void test_each_by_itself(void **state)
{
	static const struct {
		const char *row, *field, *says; /* says NULL: well */
	} cases[] = {
		{ "{\"name\":\"a\",\"count\":1}", NULL, NULL },
		{ "{\"name\":\"a\"}", NULL, NULL },
		{ "{\"name\":\"a\",\"count\":0}", "count", "from 1 to 9" },
		{ "{\"name\":\"a\",\"count\":10}", "count", "from 1 to 9" },
		{ "{\"name\":\"abcdef\",\"count\":1}", "name", "longer than 5" },
		{ "{\"count\":1}", "name", "missing" },
		{ "{\"name\":\"a\",\"x\":1}", "x", "not known" },
		{ "7", NULL, "JSON object" },
		{ "null", NULL, "JSON object" },
		{ "[]", NULL, "JSON object" },
	};
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_request request = { .arena = arena,
						.headers = &json_header,
						.header_count = 1 };
		struct field_list list = { 0 };
		struct err err = { 0 };
		const struct row *row;

		request.body =
			arena_printf(arena, "{\"rows\":[%s,{\"name\":\"good\"}]}", cases[i].row);
		request.body_size = strlen(request.body);
		if (request_read(&request, rows_fields, 1, &list, &err) < 0)
			fail_msg("%s: %s", cases[i].row, err.text);
		assert_int_equal(list.count, 2);
		assert_null(request.error_field);
		row = list.items;
		if (!cases[i].says != !row->refusal.message ||
		    (cases[i].says && !strstr(row->refusal.message, cases[i].says)))
			fail_msg("%s: %s", cases[i].row, row->refusal.message);
		if (cases[i].says) {
			assert_true(!row->name && row->count == 0);
			assert_true(!cases[i].field == !row->refusal.field);
			if (cases[i].field)
				assert_string_equal(row->refusal.field, cases[i].field);
		}
		assert_string_equal(row[1].name, "good");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),	     cmocka_unit_test(test_good),
		cmocka_unit_test(test_empty_body),   cmocka_unit_test(test_deep),
		cmocka_unit_test(test_content_type), cmocka_unit_test(test_each_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
