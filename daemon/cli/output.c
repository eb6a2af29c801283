/*
 * What people see. Enters: texts of the daemon, which come from directories
 * and so from strangers. Leaves: lines on the terminal in which nothing of
 * theirs moves the cursor, colours, hides or turns around.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unictype.h>
#include <uniwidth.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define SHOWN_MAX ((size_t)64 * 1024 * 1024)
#define COLUMNS_MAX 12
#define COLUMN_MIN 8

/* ---------------------------------------------------------------- escaping -- */

/* Controls, format characters (bidi, zero width), line and paragraph separators, private use. */
static bool is_unsafe(uint32_t c)
{
	return uc_is_general_category_withtable(
		c, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cf | UC_CATEGORY_MASK_Zl |
			   UC_CATEGORY_MASK_Zp | UC_CATEGORY_MASK_Co | UC_CATEGORY_MASK_Cn);
}

const char *shown(const struct cli *cli, const char *text)
{
	AUTO(strbuf) struct strbuf out = STRBUF(SHOWN_MAX);
	size_t left = text ? strlen(text) : 0;

	while (left > 0) {
		uint32_t c = 0;
		size_t size = text_next_char(text, left, &c);

		if (size == 0)
			strbuf_printf(&out, "\\x%02x", (unsigned char)*text);
		else if (is_unsafe(c))
			strbuf_printf(&out, "\\u{%x}", c);
		else
			strbuf_append(&out, text, size);
		text += size ? size : 1;
		left -= size ? size : 1;
	}

	const char *result = arena_strdup(cli->arena, strbuf_text(&out));

	return result && !strbuf_failed(&out) ? result : "(too long)";
}

/* ----------------------------------------------------------------- colours -- */

static const char *const colour_codes[] = {
	[PLAIN] = "",	      [BOLD] = "\033[1m",    [RED] = "\033[31m",
	[GREEN] = "\033[32m", [YELLOW] = "\033[33m", [DIM] = "\033[2m",
};

static void colour_begin(const struct cli *cli, enum colour colour)
{
	if (cli->colour)
		fputs(colour_codes[colour], cli->out);
}

static void colour_end(const struct cli *cli, enum colour colour)
{
	if (cli->colour && colour != PLAIN)
		fputs("\033[0m", cli->out);
}

void put(const struct cli *cli, enum colour colour, const char *format, ...)
{
	va_list args;

	colour_begin(cli, colour);
	va_start(args, format);
	vfprintf(cli->out, format, args);
	va_end(args);
	colour_end(cli, colour);
}

/* ------------------------------------------------------------------ tables -- */

struct cell {
	const char *text;
	enum colour colour;
};

struct table {
	struct cli *cli;
	const char *headers[COLUMNS_MAX];
	bool flexible[COLUMNS_MAX];
	size_t columns;
	struct cell *cells; /* row by row */
	size_t count, capacity;
	size_t filled; /* of the present row */
	bool failed;
};

size_t text_width(const char *text)
{
	int width = u8_strwidth((const uint8_t *)text, "UTF-8");

	return width > 0 ? (size_t)width : 0;
}

struct table *table_create(struct cli *cli, const char *const *headers)
{
	struct table *table = arena_alloc(cli->arena, sizeof(*table));

	if (!table) {
		complain("out of memory");
		exit(CLI_FAILED);
	}
	table->cli = cli;
	for (; headers[table->columns] && table->columns < COLUMNS_MAX; table->columns++) {
		const char *header = headers[table->columns];

		table->flexible[table->columns] = header[0] == '<';
		table->headers[table->columns] = header + (header[0] == '<');
	}
	table->filled = table->columns;
	return table;
}

static void table_add(struct table *table, struct cell cell)
{
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 256;
		struct cell *cells =
			capacity > SIZE_MAX / sizeof(*cells)
				? NULL
				: alloc_resize(table->cells, capacity * sizeof(*cells));

		if (!cells) {
			table->failed = true;
			return;
		}
		table->cells = cells;
		table->capacity = capacity;
	}
	table->cells[table->count++] = cell;
}

void table_row(struct table *table)
{
	while (table->filled < table->columns)
		table_cell(table, PLAIN, "");
	table->filled = 0;
}

void table_cell(struct table *table, enum colour colour, const char *text)
{
	if (table->filled == table->columns)
		return;
	table->filled++;
	table_add(table, (struct cell){ shown(table->cli, text), colour });
}

void table_number(struct table *table, json_int_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	table_cell(table, PLAIN, text);
}

static size_t widths_total(const struct table *table, const size_t *widths)
{
	size_t total = 2 * (table->columns - 1);

	for (size_t i = 0; i < table->columns; i++)
		total += widths[i];
	return total;
}

/* Narrow the widest column that may be cut, until all fits or nothing more gives way. */
static void widths_fit(const struct table *table, size_t *widths, size_t room)
{
	while (room > 0 && widths_total(table, widths) > room) {
		size_t widest = table->columns;

		for (size_t i = 0; i < table->columns; i++) {
			if (table->flexible[i] && widths[i] > COLUMN_MIN &&
			    (widest == table->columns || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == table->columns)
			return;
		widths[widest]--;
	}
}

/* The part of text that takes at most width columns, in bytes. */
static size_t text_cut(const char *text, size_t width)
{
	size_t used = 0, left = strlen(text);
	const char *at = text;

	while (left > 0) {
		uint32_t c = 0;
		size_t size = text_next_char(at, left, &c);
		int columns = uc_width(c, "UTF-8");

		used += columns > 0 ? (size_t)columns : 0;
		if (size == 0 || used > width)
			break;
		at += size;
		left -= size;
	}
	return (size_t)(at - text);
}

static void cell_print(const struct table *table, const struct cell *cell, size_t width, bool last)
{
	FILE *out = table->cli->out;
	const char *more = table->cli->utf8 ? "…" : "~";
	size_t have = text_width(cell->text), printed = have;

	colour_begin(table->cli, cell->colour);
	if (have > width && table->cli->width > 0) {
		fprintf(out, "%.*s%s", (int)text_cut(cell->text, width - 1), cell->text, more);
		printed = width;
	} else {
		fputs(cell->text, out);
	}
	colour_end(table->cli, cell->colour);
	if (!last)
		fprintf(out, "%*s", (int)(width - (printed < width ? printed : width)) + 2, "");
}

/* Nothing is padded behind the last cell that says something. */
static void row_print(const struct table *table, const struct cell *cells, const size_t *widths)
{
	size_t count = table->columns;

	while (count > 0 && !cells[count - 1].text[0])
		count--;
	for (size_t i = 0; i < count; i++)
		cell_print(table, &cells[i], widths[i], i + 1 == count);
	fputc('\n', table->cli->out);
}

void table_print(struct table *table)
{
	struct cell headers[COLUMNS_MAX] = { 0 };
	size_t widths[COLUMNS_MAX] = { 0 };
	size_t rows;

	table_row(table);
	rows = table->count / table->columns;
	for (size_t i = 0; i < table->columns; i++)
		widths[i] = text_width(table->headers[i]);
	for (size_t i = 0; i < table->count; i++) {
		size_t width = text_width(table->cells[i].text);

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	widths_fit(table, widths, table->cli->width);
	for (size_t i = 0; i < table->columns; i++)
		headers[i] = (struct cell){ table->headers[i], BOLD };
	if (rows > 0)
		row_print(table, headers, widths);
	for (size_t row = 0; row < rows; row++)
		row_print(table, &table->cells[row * table->columns], widths);
	if (table->failed)
		complain("out of memory: the table is not whole");
	free(table->cells);
	table->cells = NULL;
	table->count = table->capacity = 0;
	table->filled = table->columns;
}
