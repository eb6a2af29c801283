/*
 * CSV (RFC 4180) out of memory, row by row, and cells into CSV. Bytes are taken as they are: whether they are
 * UTF-8 is for the caller to ask.
 *
 *	AUTO(csv) struct csv *csv = csv_open(data, size, ',');
 *	while ((more = csv_next(csv, &row)) > 0) …
 *
 * A row that is malformed is told as such, with its line. A quote that is never closed swallows rows: of a malformed row
 * of several lines only the first is given up, and reading goes on at the second. Empty lines are left out.
 */
#ifndef ROLEBRIDGE_BASE_CSV_H
#define ROLEBRIDGE_BASE_CSV_H

#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/strbuf.h>

#define CSV_CELLS_MAX 10000
#define CSV_ROW_MAX ((size_t)1024 * 1024)

struct csv;

struct csv_cell {
	const char *text; /* NUL-terminated, and may hold NUL */
	size_t size;
};

struct csv_row {
	uint64_t line; /* of its first byte, from 1 */
	const struct csv_cell *cells;
	size_t count;
	const char *problem; /* NULL: well-formed; else why not, and there are no cells */
};

/* Borrows data; a byte order mark is skipped. NULL: out of memory. */
struct csv *csv_open(const char *data, size_t size, char delimiter);
void csv_close(struct csv *csv);
static inline void csv_auto(struct csv **csv)
{
	csv_close(*csv);
}
/* 1 and a row, valid until the next; 0 at the end; -1 out of memory. */
int csv_next(struct csv *csv, struct csv_row *ret_row);
/* How many bytes were read. */
size_t csv_offset(const struct csv *csv);

/* Append a cell, quoted where it must be. */
void csv_put_cell(struct strbuf *out, const char *text, char delimiter);
/*
 * The same for what strangers may have written: programs for tables take a cell that begins with '=', '+', '-', '@', a tab
 * or a carriage return for a formula; an apostrophe before it makes it text. A cell that begins with apostrophes and
 * then so gets another, so that csv_text gives back what was put.
 */
void csv_put_text(struct strbuf *out, const char *text, char delimiter);
/* Without that apostrophe. */
const char *csv_text(const char *cell);

#endif
