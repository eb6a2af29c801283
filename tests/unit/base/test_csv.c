/* CSV out of memory: what is a row, what is malformed, and where reading goes on. */
#include <rolebridge/base/csv.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

/* Rows as "LINE:cell|cell" or "LINE!", each with a line break. */
static void print(const char *data, size_t size, struct strbuf *out)
{
	struct csv *csv = csv_open(data, size, ',');
	struct csv_row row;
	int more;

	assert_non_null(csv);
	while ((more = csv_next(csv, &row)) > 0) {
		strbuf_printf(out, "%llu%s", (unsigned long long)row.line, row.problem ? "!" : ":");
		for (size_t i = 0; i < row.count; i++) {
			assert_int_equal(row.cells[i].text[row.cells[i].size], 0);
			strbuf_puts(out, i ? "|" : "");
			strbuf_append(out, row.cells[i].text, row.cells[i].size);
		}
		strbuf_putc(out, '\n');
	}
	assert_int_equal(more, 0);
	assert_int_equal(csv_offset(csv), size);
	csv_close(csv);
}

static void test_rows(void **state)
{
	static const struct {
		const char *name, *text, *rows;
	} cases[] = {
		{ "nothing", "", "" },
		{ "one row", "a,b\n", "1:a|b\n" },
		{ "no line break at the end", "a,b", "1:a|b\n" },
		{ "line breaks of both kinds", "a\r\nb\nc", "1:a\n2:b\n3:c\n" },
		{ "a carriage return alone is a byte", "a\rb\n", "1:a\rb\n" },
		{ "empty cells", ",\n,,\n", "1:|\n2:||\n" },
		{ "empty lines are left out", "\n\na\n\r\n\nb\n", "3:a\n6:b\n" },
		{ "quotes", "\"a,\"\"b\"\"\",c\n", "1:a,\"b\"|c\n" },
		{ "a line break in quotes", "\"a\nb\",c\nd\n", "1:a\nb|c\n3:d\n" },
		{ "empty quotes", "\"\",\"\"\n", "1:|\n" },
		{ "a delimiter at the end of the file", "a,", "1:a|\n" },
		{ "a byte order mark",
		  "\xef\xbb\xbf"
		  "a\n",
		  "1:a\n" },
		{ "a quote inside", "a\"b\nc\n", "1!\n2:c\n" },
		{ "text behind a quote", "\"a\"b\nc\n", "1!\n2:c\n" },
		{ "never closed: its first line alone is lost", "\"a\nb\nc\n", "1!\n2:b\n3:c\n" },
		{ "never closed, at the end", "a\n\"", "1:a\n2!\n" },
		{ "quoted to the end", "\"a\"", "1:a\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(4096);

		print(cases[i].text, strlen(cases[i].text), &out);
		if (strcmp(strbuf_text(&out), cases[i].rows) != 0)
			fail_msg("%s: %s", cases[i].name, strbuf_text(&out));
	}
}

static void test_bounds(void **state)
{
	size_t size = CSV_ROW_MAX + 10;
	char *data = malloc(size + 2);
	AUTO(strbuf) struct strbuf out = STRBUF(64);

	(void)state;
	assert_non_null(data);
	memset(data, 'a', size);
	memcpy(data + size, "\nb", 2);
	print(data, size + 2, &out);
	assert_string_equal(strbuf_text(&out), "1!\n2:b\n");
	/* As many cells as there may be, and one more. */
	strbuf_clear(&out);
	memset(data, ',', CSV_CELLS_MAX);
	memcpy(data + CSV_CELLS_MAX, "\nb", 2);
	print(data, CSV_CELLS_MAX + 2, &out);
	assert_string_equal(strbuf_text(&out), "1!\n2:b\n");
	free(data);
}

static void test_what_is_written_is_read(void **state)
{
	static const char *const cells[] = { "",       "a",  "a,b", "\"", "a\nb",
					     "a\r\nb", " a", "a ",  "\r", "ä" };
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct csv_row row;
	struct csv *csv;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		strbuf_puts(&out, i ? "," : "");
		csv_put_cell(&out, cells[i], ',');
	}
	strbuf_puts(&out, "\r\n");
	csv = csv_open(out.data, out.size, ',');
	assert_int_equal(csv_next(csv, &row), 1);
	assert_int_equal(row.count, ARRAY_LEN(cells));
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		assert_string_equal(row.cells[i].text, cells[i]);
	csv_close(csv);
}

/* Programs for tables find no formula in it, and it is read back as it was. */
static void test_texts_are_no_formulas(void **state)
{
	static const struct {
		const char *text, *cell;
	} cases[] = {
		{ "", "" },
		{ "anna", "anna" },
		{ "'anna", "'anna" },
		{ "=1+1", "'=1+1" },
		{ "+1", "'+1" },
		{ "-1", "'-1" },
		{ "@a", "'@a" },
		{ "\tx", "'\tx" },
		{ "\rx", "\"'\rx\"" },
		{ "'=1", "''=1" },
		{ "''+1", "'"
			  "''+1" },
		{ "a=1", "a=1" },
		{ "=a,b", "\"'=a,b\"" },
		{ "=\"x\"", "\"'=\"\"x\"\"\"" },
		{ " =1", "\" =1\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(4096);
		struct csv_row row;
		struct csv *csv;

		csv_put_text(&out, cases[i].text, ',');
		assert_string_equal(strbuf_text(&out), cases[i].cell);
		strbuf_puts(&out, ",x\r\n");
		csv = csv_open(out.data, out.size, ',');
		assert_int_equal(csv_next(csv, &row), 1);
		assert_string_equal(csv_text(row.cells[0].text), cases[i].text);
		csv_close(csv);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_texts_are_no_formulas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
