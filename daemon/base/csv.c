/*
 * CSV. Enters: bytes of anybody's. Leaves: rows of cells, well-formed or told as malformed; never more than a row's worth
 * of memory. Fails: out of memory.
 */
#include <rolebridge/base/csv.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

struct csv {
	const char *at, *begin, *end;
	char delimiter;
	uint64_t line; /* of at */
	struct strbuf text;
	size_t *starts; /* of cells, in text */
	struct csv_cell *cells;
	size_t count, capacity;
};

struct csv *csv_open(const char *data, size_t size, char delimiter)
{
	struct csv *csv = alloc_zeroed(1, sizeof(*csv));

	if (!csv)
		return NULL;
	csv->begin = csv->at = data;
	csv->end = data + size;
	csv->delimiter = delimiter;
	csv->line = 1;
	csv->text = STRBUF(2 * CSV_ROW_MAX);
	if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		csv->at += 3;
	return csv;
}

void csv_close(struct csv *csv)
{
	if (!csv)
		return;
	strbuf_finish(&csv->text);
	free(csv->starts);
	free(csv->cells);
	free(csv);
}

size_t csv_offset(const struct csv *csv)
{
	return (size_t)(csv->at - csv->begin);
}

static bool begin_cell(struct csv *csv)
{
	if (csv->count == csv->capacity) {
		size_t capacity = csv->capacity ? csv->capacity * 2 : 32;
		size_t *starts = reallocarray(csv->starts, capacity, sizeof(*starts));
		struct csv_cell *cells;

		if (!starts)
			return false;
		csv->starts = starts;
		cells = reallocarray(csv->cells, capacity, sizeof(*cells));
		if (!cells)
			return false;
		csv->cells = cells;
		csv->capacity = capacity;
	}
	csv->starts[csv->count++] = csv->text.size;
	return true;
}

/* "\n" or "\r\n" at `at`: its size, or 0. */
static size_t break_size(const struct csv *csv, const char *at)
{
	if (*at == '\n')
		return 1;
	return *at == '\r' && at + 1 < csv->end && at[1] == '\n' ? 2 : 0;
}

/* Up to a delimiter, a line break or the end. false: a quote where none may be. */
static bool read_plain(struct csv *csv)
{
	const char *from = csv->at;

	while (csv->at < csv->end && *csv->at != csv->delimiter && !break_size(csv, csv->at)) {
		if (*csv->at == '"')
			return false;
		csv->at++;
	}
	strbuf_append(&csv->text, from, (size_t)(csv->at - from));
	return true;
}

/* Behind the first quote. false: it is not closed, or text stands behind it. */
static bool read_quoted(struct csv *csv, uint64_t *breaks)
{
	for (;;) {
		const char *from = csv->at;
		const char *quote = memchr(from, '"', (size_t)(csv->end - from));

		if (!quote || (size_t)(quote - from) > CSV_ROW_MAX)
			return false;
		for (const char *at = from; (at = memchr(at, '\n', (size_t)(quote - at))); at++)
			++*breaks;
		strbuf_append(&csv->text, from, (size_t)(quote - from));
		csv->at = quote + 1;
		if (csv->at == csv->end || *csv->at != '"')
			break;
		strbuf_putc(&csv->text, '"');
		csv->at++;
		if (csv->text.size > CSV_ROW_MAX)
			return false;
	}
	return csv->at == csv->end || *csv->at == csv->delimiter || break_size(csv, csv->at);
}

/* Go on behind the first line of a malformed row. */
static void give_up_line(struct csv *csv, const char *from, struct csv_row *ret_row,
			 const char *problem)
{
	const char *newline = memchr(from, '\n', (size_t)(csv->end - from));

	csv->at = newline ? newline + 1 : csv->end;
	ret_row->line = csv->line++;
	ret_row->problem = problem;
	ret_row->cells = NULL;
	ret_row->count = 0;
}

static const char quote_problem[] = "a quote inside a cell, text behind one, or one never closed";

/* One row's cells; NULL, or what is wrong with it. *ret_memory: memory ran out. */
static const char *read_cells(struct csv *csv, uint64_t *breaks, bool *ret_memory)
{
	const char *from = csv->at;

	for (;;) {
		bool quoted = csv->at < csv->end && *csv->at == '"';

		if (!begin_cell(csv)) {
			*ret_memory = true;
			return NULL;
		}
		csv->at += quoted;
		if (!(quoted ? read_quoted(csv, breaks) : read_plain(csv)))
			return quote_problem;
		strbuf_putc(&csv->text, '\0');
		if ((size_t)(csv->at - from) > CSV_ROW_MAX || csv->count > CSV_CELLS_MAX)
			return "longer than 1 MiB or 10,000 cells";
		if (strbuf_failed(&csv->text)) {
			*ret_memory = true;
			return NULL;
		}
		if (csv->at == csv->end || *csv->at != csv->delimiter)
			return NULL;
		csv->at++;
	}
}

static void finish_row(struct csv *csv, struct csv_row *ret_row)
{
	for (size_t i = 0; i < csv->count; i++) {
		size_t next = i + 1 < csv->count ? csv->starts[i + 1] : csv->text.size;

		csv->cells[i] = (struct csv_cell){ csv->text.data + csv->starts[i],
						   next - 1 - csv->starts[i] };
	}
	*ret_row = (struct csv_row){ .line = csv->line, .cells = csv->cells, .count = csv->count };
}

int csv_next(struct csv *csv, struct csv_row *ret_row)
{
	const char *from, *problem;
	uint64_t breaks = 0;
	bool memory = false;

	while (csv->at < csv->end && break_size(csv, csv->at)) {
		csv->at += break_size(csv, csv->at);
		csv->line++;
	}
	if (csv->at == csv->end)
		return 0;
	from = csv->at;
	strbuf_clear(&csv->text);
	csv->count = 0;
	problem = read_cells(csv, &breaks, &memory);
	if (memory)
		return -1;
	if (problem) {
		give_up_line(csv, from, ret_row, problem);
		return 1;
	}
	finish_row(csv, ret_row);
	csv->line += breaks;
	if (csv->at < csv->end) {
		csv->at += break_size(csv, csv->at);
		csv->line++;
	}
	return 1;
}

void csv_put_cell(struct strbuf *out, const char *text, char delimiter)
{
	size_t size = strlen(text), plain = 0;

	while (plain < size && text[plain] != '"' && text[plain] != delimiter &&
	       text[plain] != '\n' && text[plain] != '\r')
		plain++;
	/* A space at either end would be lost in some programs. */
	if (plain == size && (size == 0 || (text[0] != ' ' && text[size - 1] != ' '))) {
		strbuf_append(out, text, size);
		return;
	}
	strbuf_putc(out, '"');
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"')
			strbuf_putc(out, '"');
		strbuf_putc(out, text[i]);
	}
	strbuf_putc(out, '"');
}

static bool is_formula(char c)
{
	return c == '=' || c == '+' || c == '-' || c == '@' || c == '\t' || c == '\r';
}

void csv_put_text(struct strbuf *out, const char *text, char delimiter)
{
	AUTO(strbuf) struct strbuf guarded = STRBUF(CSV_ROW_MAX);

	if (!is_formula(text[strspn(text, "'")])) {
		csv_put_cell(out, text, delimiter);
		return;
	}
	strbuf_printf(&guarded, "'%s", text);
	csv_put_cell(out, strbuf_text(&guarded), delimiter);
	if (strbuf_failed(&guarded))
		strbuf_fail(out);
}

const char *csv_text(const char *cell)
{
	return cell[0] == '\'' && is_formula(cell[strspn(cell, "'")]) ? cell + 1 : cell;
}
