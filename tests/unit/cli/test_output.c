/* What reaches the terminal: escapes, widths, tables. */
#include "../../../daemon/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

static const struct {
	const char *name, *text, *shown;
} texts[] = {
	{ "plain", "Anna", "Anna" },
	{ "none", NULL, "" },
	{ "umlauts", "M\xc3\xbcller", "M\xc3\xbcller" },
	{ "cjk", "\xe5\xbc\xa0\xe4\xbc\x9f", "\xe5\xbc\xa0\xe4\xbc\x9f" },
	{ "escape sequence", "\033[2Jx", "\\u{1b}[2Jx" },
	{ "line break", "a\nb\r\tc", "a\\u{a}b\\u{d}\\u{9}c" },
	{ "c1 control",
	  "\xc2\x9b"
	  "2J",
	  "\\u{9b}2J" },
	{ "right to left override",
	  "a\xe2\x80\xae"
	  "b",
	  "a\\u{202e}b" },
	{ "zero width space",
	  "a\xe2\x80\x8b"
	  "b",
	  "a\\u{200b}b" },
	{ "line separator",
	  "a\xe2\x80\xa8"
	  "b",
	  "a\\u{2028}b" },
	{ "not utf-8",
	  "a\xff"
	  "b\xc3",
	  "a\\xffb\\xc3" },
	{ "delete", "a\x7f", "a\\u{7f}" },
};

static struct cli prepare(struct arena *arena, FILE *out)
{
	return (struct cli){ .arena = arena, .out = out, .utf8 = true };
}

static void test_shown(void **state)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	struct cli cli = prepare(arena, stdout);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *result = shown(&cli, texts[i].text);

		if (strcmp(result, texts[i].shown) != 0)
			fail_msg("%s: %s", texts[i].name, result);
	}
}

static void print_example(struct cli *cli)
{
	static const char *const headers[] = { "WHO", "<WHAT", NULL };
	struct table *table = table_create(cli, headers);

	table_row(table);
	table_cell(table, RED, "M\xc3\xbcller");
	table_cell(table, PLAIN, "grants role sales, and much more");
	table_row(table);
	table_cell(table, PLAIN, "\xe5\xbc\xa0\xe4\xbc\x9f");
	table_cell(table, PLAIN,
		   "\xe5\xbc\xa0\xe4\xbc\x9f\xe5\xbc\xa0\xe4\xbc\x9f\xe5\xbc\xa0\xe4\xbc\x9f");
	table_row(table);
	table_cell(table, PLAIN, "x"); /* the rest stays empty */
	table_print(table);
}

static char *example(unsigned width, bool colour)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct cli cli = prepare(arena, out);

	cli.width = width;
	cli.colour = colour;
	print_example(&cli);
	fclose(out);
	return text;
}

static void test_table(void **state)
{
	char *wide = example(0, false), *narrow = example(18, false), *colour = example(0, true);

	(void)state;
	assert_string_equal(
		"WHO     WHAT\n"
		"M\xc3\xbcller  grants role sales, and much more\n"
		"\xe5\xbc\xa0\xe4\xbc\x9f    "
		"\xe5\xbc\xa0\xe4\xbc\x9f\xe5\xbc\xa0\xe4\xbc\x9f\xe5\xbc\xa0\xe4\xbc\x9f\n"
		"x\n",
		wide);
	assert_null(strstr(wide, "\033"));
	assert_non_null(strstr(colour, "\033[31mM\xc3\xbcller\033[0m"));
	/* Cut by columns, not by bytes, and never in the middle of a character. */
	assert_string_equal("WHO     WHAT\n"
			    "M\xc3\xbcller  grants ro\xe2\x80\xa6\n"
			    "\xe5\xbc\xa0\xe4\xbc\x9f    "
			    "\xe5\xbc\xa0\xe4\xbc\x9f\xe5\xbc\xa0\xe4\xbc\x9f\xe2\x80\xa6\n"
			    "x\n",
			    narrow);
	free(wide);
	free(narrow);
	free(colour);
}

static void test_paths(void **state)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)1024 * 1024);
	struct cli cli = prepare(arena, stdout);
	const char *path = api_path(&cli, "/users/%s/grants/%s", "a/b?c", "..");

	(void)state;
	assert_string_equal("/api/v1/users/a%2Fb%3Fc/grants/..", path);
	path = path_query(&cli, path, "q", "x&y=z");
	assert_string_equal("/api/v1/users/a%2Fb%3Fc/grants/..?q=x%26y%3Dz", path);
	assert_string_equal("/a?b=c&d=e", path_query(&cli, "/a?b=c", "d", "e"));
	assert_string_equal("/a", path_query(&cli, "/a", "d", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
