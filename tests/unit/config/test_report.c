/* How findings look: carets under tabs and wide characters, windows, hostile bytes, JSON. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

static void test_shown(void **state)
{
	static const struct {
		const char *name, *text, *expected;
	} cases[] = {
		{ "the example", "titel: a\n",
		  "t.yaml:1:1: error: unknown key 'titel'\n"
		  "    1 | titel: a\n"
		  "      | ^~~~~\n"
		  "      hint: Did you mean 'title'?\n" },
		{ "tabs are repeated", "title:\t{\t*x\t: b}\n",
		  "t.yaml:1:8: error: 'title' must be a text, not a mapping\n"
		  "    1 | title:\t{\t*x\t: b}\n"
		  "      |       \t^\n"
		  "t.yaml:1:10: error: aliases are not supported\n"
		  "    1 | title:\t{\t*x\t: b}\n"
		  "      |       \t \t^~\n"
		  "      hint: Quote the text if it is meant to begin with '*'.\n" },
		{ "letters of two bytes, wide ones, combining ones",
		  "precedence: {\xc3\xa4: a, \xe4\xb8\xad: b, e\xcc\x81: *x}\n",
		  "t.yaml:1:34: error: aliases are not supported\n"
		  "    1 | precedence: {\xc3\xa4: a, \xe4\xb8\xad: b, e\xcc\x81: *x}\n"
		  "      |                              ^~\n"
		  "      hint: Quote the text if it is meant to begin with '*'.\n" },
		{ "the caret has the text's width", "level: \xe4\xb8\xad\xe4\xb8\xad\n",
		  "t.yaml:1:8: error: unknown value '\xe4\xb8\xad\xe4\xb8\xad' for 'level'\n"
		  "    1 | level: \xe4\xb8\xad\xe4\xb8\xad\n"
		  "      |        ^~~~\n"
		  "      hint: One of: low, medium, high.\n" },
		{ "control and direction characters",
		  "level: \"\\e[2Jx\" # \xc2\x9b \xe2\x80\xae \xef\xbb\xbf\n",
		  "t.yaml:1:9: error: unknown value '?[2Jx' for 'level'\n"
		  "    1 | level: \"\\e[2Jx\" # ? ? ?\n"
		  "      |         ^~~~~~\n"
		  "      hint: One of: low, medium, high.\n" },
		{ "CR LF leaves no trace", "level: x\r\n",
		  "t.yaml:1:8: error: unknown value 'x' for 'level'\n"
		  "    1 | level: x\n"
		  "      |        ^\n"
		  "      hint: One of: low, medium, high.\n" },
		{ "invalid UTF-8", "title: \xff\xfe\n",
		  "t.yaml:1:8: error: byte 0xff is not UTF-8\n"
		  "    1 | title: ??\n"
		  "      |        ^\n"
		  "      hint: Save the file as UTF-8.\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct loaded l;

		sample_load_text(&l, cases[i].text);
		if (strcmp(l.findings, cases[i].expected) != 0)
			fail_msg("%s: expected\n%s\ngot\n%s", cases[i].name, cases[i].expected,
				 l.findings);
		sample_free(&l);
	}
}

static void test_window(void **state)
{
	static const char expected[] = "t.yaml:1:1207: error: unknown value 'x' for 'level'\n"
				       "    1 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", level: x, x1: "
				       "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...\n"
				       "      |                                            ^\n"
				       "      hint: One of: low, medium, high.\n";
	struct strbuf text = STRBUF(64 * 1024);
	struct loaded l;
	char *shown;

	(void)state;
	strbuf_puts(&text, "{title: \"");
	for (int i = 0; i < 1187; i++)
		strbuf_putc(&text, 'a');
	strbuf_puts(&text, "\", level: x, x1: ");
	for (int i = 0; i < 1000; i++)
		strbuf_putc(&text, 'b');
	strbuf_puts(&text, "}\n");
	sample_load_text(&l, strbuf_text(&text));
	shown = strstr(l.findings, "t.yaml:1:1207");
	assert_non_null(shown);
	assert_int_equal(strncmp(shown, expected, sizeof(expected) - 1), 0);
	strbuf_finish(&text);
	sample_free(&l);
}

/* Cut in the middle of characters, at both ends, at any place. */
static void test_window_characters(void **state)
{
	(void)state;
	for (unsigned column = 1; column < 400; column++) {
		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		struct strbuf text = STRBUF(64 * 1024);
		char *out = NULL;
		size_t size;
		FILE *stream = open_memstream(&out, &size);

		strbuf_puts(&text, "#");
		for (int i = 0; i < 100; i++)
			strbuf_puts(&text, "\xe4\xb8\xad");

		struct document_file file = { "t", strbuf_text(&text), text.size };
		AUTO(document) struct document *document = document_load_files(&file, 1, list);

		diagnostics_add(list, SEVERITY_WARNING, "x", (struct position){ 1, 1, column, 7 },
				NULL, "x");
		diagnostics_print(list, document, stream);
		fclose(stream);
		assert_non_null(strstr(out, "\n      | "));
		/* as many '?' as there were broken characters: only where the caret is inside one */
		assert_null(strchr(out, '?'));
		free(out);
		strbuf_finish(&text);
	}
}

static void test_order_and_bounds(void **state)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	char *long_text = calloc(1, 5000);

	(void)state;
	memset(long_text, 'x', 4999);
	memcpy(long_text + 1019, "\xc3\xa4", 2);
	diagnostics_add(list, SEVERITY_ERROR, "c", (struct position){ 2, 1, 1, 1 }, NULL, "c");
	diagnostics_add(list, SEVERITY_ERROR, "b", (struct position){ 1, 2, 1, 1 }, NULL, "b");
	diagnostics_add(list, SEVERITY_WARNING, "a", (struct position){ 1, 1, 9, 1 }, long_text,
			"%s", long_text);
	diagnostics_add(list, SEVERITY_ERROR, "d", (struct position){ 2, 1, 1, 1 }, NULL, "d");
	diagnostics_add(list, SEVERITY_ERROR, "0", (struct position){ 0 }, NULL, "0");
	assert_int_equal(diagnostics_errors(list), 4);
	assert_int_equal(diagnostics_warnings(list), 1);
	assert_int_equal(diagnostics_count(list), 5);
	assert_string_equal(diagnostics_get(list, 0)->code, "0");
	assert_string_equal(diagnostics_get(list, 1)->code, "a");
	assert_string_equal(diagnostics_get(list, 2)->code, "b");
	assert_string_equal(diagnostics_get(list, 3)->code, "c");
	assert_string_equal(diagnostics_get(list, 4)->code, "d");
	assert_null(diagnostics_get(list, 5));
	assert_int_equal(strlen(diagnostics_get(list, 1)->message), 1022);
	assert_string_equal(diagnostics_get(list, 1)->message + 1018, "x...");
	assert_string_equal(diagnostics_get(list, 1)->hint + 1018, "x...");
	free(long_text);
}

static void test_without_document(void **state)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(strbuf) struct strbuf json = STRBUF(4096);
	char *out = NULL;
	size_t size;
	FILE *stream = open_memstream(&out, &size);

	(void)state;
	diagnostics_add(list, SEVERITY_WARNING, "w", (struct position){ 1, 2, 3, 4 }, NULL,
			"message");
	diagnostics_print(list, NULL, stream);
	fclose(stream);
	assert_string_equal(out, "warning: message\n");
	free(out);
	diagnostics_json(list, NULL, &json);
	assert_string_equal(strbuf_text(&json),
			    "[{\"severity\":\"warning\",\"code\":\"w\",\"message\":\"message\"}]");
}

static void test_json(void **state)
{
	AUTO(strbuf) struct strbuf json = STRBUF(4096);
	struct loaded l;

	(void)state;
	sample_load_text(&l, "titel: \"\n");
	diagnostics_json(l.list, l.document, &json);
	assert_string_equal(strbuf_text(&json),
			    "[{\"severity\":\"error\",\"code\":\"yaml-syntax\",\"message\":"
			    "\"double-quoted scalar without closing quote\",\"file\":\"t.yaml\","
			    "\"line\":1,\"column\":9,\"width\":1}]");
	sample_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_window_characters),
		cmocka_unit_test(test_order_and_bounds),
		cmocka_unit_test(test_without_document),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
