/*
 * CSV (RFC 4180) with a header line, UTF-8.
 *
 * Enters: a file, which may hold anything. Leaves: one record for each good row; bad rows in quarantine
 * with their line. Fails only for our own reasons.
 *
 * A quote that is never closed swallows rows. So when a row of several lines turns out to
 * be wrong, only its first line is given up and reading goes on at the second.
 */
#include <rolebridge/source/file.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/groups.h>

#include "bytes.h"
#include "delivery.h"

#define COLUMNS_MAX 10000
#define PAUSE_MASK 511u

enum column_use { COLUMN_VALUE = 1, COLUMN_KEY = 2, COLUMN_GROUPS = 4, COLUMN_MANY = 8 };

struct column {
	uint32_t field; /* FIELD_NONE: not asked for */
	unsigned use;
};

struct cell {
	size_t at, size; /* in row */
};

struct csv {
	const struct csv_source *source;
	struct delivery d;
	struct bytes bytes;
	char delimiter;
	uint32_t key, groups;

	struct column *columns;
	size_t column_count;
	bool has_groups;

	uint64_t line; /* of the next physical line */
	uint64_t rows;

	/* the present row */
	struct strbuf row;
	struct cell *cells;
	size_t cell_count, cell_capacity;
	size_t begin; /* of the present cell, in row */
	uint64_t row_line;
	uint64_t second_line; /* offset behind the first physical line; 0: there is one only */
	bool unended;	      /* the file ended before a line break */
	const char *reason;   /* NULL: well-formed */
	const char *detail;

	uint32_t *ids; /* of the groups of the row */
	size_t *hits;  /* their places in d.groups, in another order */
	size_t id_count, id_capacity;
	uint64_t *members; /* parallel to d.groups */
	uint64_t *stamps;  /* the last row that had the group */
	struct strbuf key_text, name;
};

enum { AT_END = -1, BROKEN = -2 };

/* The next byte, AT_END, or BROKEN with cause. */
static int peek(struct csv *csv, struct err *cause)
{
	size_t shift;
	int more;

	if (csv->bytes.at < csv->bytes.end)
		return (unsigned char)csv->bytes.data[csv->bytes.at];
	more = bytes_fill(&csv->bytes, csv->bytes.at, &shift, cause);
	if (more > 0)
		return (unsigned char)csv->bytes.data[csv->bytes.at];
	return more == 0 ? AT_END : BROKEN;
}

/* --- one row --- */

static int end_cell(struct csv *csv, struct err *err)
{
	if (csv->cell_count == csv->cell_capacity) {
		size_t capacity = csv->cell_capacity ? csv->cell_capacity * 2 : 64;
		struct cell *cells = alloc_resize(csv->cells, capacity * sizeof(*cells));

		if (!cells)
			return err_set(err, ERR_MEMORY, "no memory to read '%s'", csv->d.path);
		csv->cells = cells;
		csv->cell_capacity = capacity;
	}
	csv->cells[csv->cell_count++] = (struct cell){ csv->begin, csv->row.size - csv->begin };
	strbuf_putc(&csv->row, '\0');
	csv->begin = csv->row.size;
	return 0;
}

static void spoil(struct csv *csv, const char *reason, const char *detail)
{
	csv->reason = reason;
	csv->detail = detail;
}

static void begin_row(struct csv *csv)
{
	strbuf_clear(&csv->row);
	csv->cell_count = 0;
	csv->begin = 0;
	csv->row_line = csv->line;
	csv->second_line = 0;
	csv->unended = false;
	csv->reason = NULL;
}

/* A line break was consumed. */
static void count_line(struct csv *csv)
{
	csv->line++;
	if (csv->second_line == 0)
		csv->second_line = bytes_tell(&csv->bytes);
}

/* Go on behind the first line of a spoiled row. BROKEN, or 0. */
static int recover(struct csv *csv, struct err *cause)
{
	if (csv->second_line != 0) {
		bytes_seek(&csv->bytes, csv->second_line);
		csv->line = csv->row_line + 1;
		return 0;
	}
	for (;;) {
		int c = peek(csv, cause);

		if (c < 0)
			return c == AT_END ? 0 : BROKEN;
		csv->bytes.at++;
		if (c != '\n')
			continue;
		csv->line++;
		return 0;
	}
}

/* Did the row reach beyond its first physical line? */
static bool is_folded(const struct csv *csv)
{
	return csv->second_line != 0 && bytes_tell(&csv->bytes) != csv->second_line;
}

enum state { CELL_START, CELL_PLAIN, CELL_QUOTED, CELL_QUOTE };

enum step { STEP_ON, STEP_CELL, STEP_ROW, STEP_SPOILED };

/* One byte outside line breaks. */
static enum step take(struct csv *csv, enum state *state, char c)
{
	if (*state == CELL_QUOTED) {
		if (c == '"')
			*state = CELL_QUOTE;
		else
			strbuf_putc(&csv->row, c);
		return STEP_ON;
	}
	if (c == csv->delimiter) {
		*state = CELL_START;
		return STEP_CELL;
	}
	if (*state == CELL_QUOTE && c == '"') {
		strbuf_putc(&csv->row, '"');
		*state = CELL_QUOTED;
		return STEP_ON;
	}
	if (*state == CELL_START && c == '"') {
		*state = CELL_QUOTED;
		return STEP_ON;
	}
	if (*state == CELL_QUOTE || c == '"') {
		spoil(csv, "malformed-row", "a quote inside a field, or text behind one");
		return STEP_SPOILED;
	}
	*state = CELL_PLAIN;
	strbuf_putc(&csv->row, c);
	return STEP_ON;
}

/* A line break, "\n" or "\r\n", is at hand: consume it. BROKEN, 0 no, 1 yes. */
static int take_break(struct csv *csv, int c, struct err *cause)
{
	if (c == '\r') {
		csv->bytes.at++;
		c = peek(csv, cause);
		if (c == BROKEN)
			return BROKEN;
		if (c != '\n') {
			/* Not followed by a line feed: a byte like others. */
			strbuf_putc(&csv->row, '\r');
			return 0;
		}
	}
	csv->bytes.at++;
	count_line(csv);
	return 1;
}

static enum step end_of_file(struct csv *csv, enum state state)
{
	csv->unended = true;
	if (state != CELL_QUOTED)
		return STEP_ROW;
	/* A stray quote in a file that ends as files do, or a file that ends in mid-field. */
	csv->unended = csv->row.size == 0 || csv->row.data[csv->row.size - 1] != '\n';
	spoil(csv, "malformed-row", "a quote is not closed");
	return STEP_SPOILED;
}

/* 1 a row, good or spoiled; 0 at the end; BROKEN with cause; -1 failed. */
static int read_row(struct csv *csv, struct err *cause, struct err *err)
{
	enum state state = CELL_START;
	enum step step = STEP_ON;
	bool any = false;

	begin_row(csv);
	while (step != STEP_ROW && step != STEP_SPOILED) {
		int c = peek(csv, cause);

		if (c == BROKEN)
			return BROKEN;
		if (c == AT_END && !any)
			return 0;
		any = true;
		if (c == AT_END) {
			step = end_of_file(csv, state);
		} else if (c == '\n' || c == '\r') {
			int taken = take_break(csv, c, cause);

			if (taken == BROKEN)
				return BROKEN;
			step = taken && state != CELL_QUOTED ? STEP_ROW : STEP_ON;
			if (taken && state == CELL_QUOTED)
				strbuf_putc(&csv->row, '\n');
		} else {
			csv->bytes.at++;
			step = take(csv, &state, (char)c);
		}
		if ((step == STEP_CELL || step == STEP_ROW) && end_cell(csv, err) < 0)
			return -1;
		if (csv->row.size > FILE_LINE_MAX || csv->cell_count > COLUMNS_MAX) {
			spoil(csv, "line-too-long", "a row is longer than 8 MiB or 10,000 fields");
			/* Its last line break may be consumed already. */
			if (step == STEP_ROW && !is_folded(csv))
				return 1;
			step = STEP_SPOILED;
		}
	}
	if (step == STEP_SPOILED && recover(csv, cause) == BROKEN)
		return BROKEN;
	return 1;
}

/* --- header --- */

static bool is_named(const char *cell, const char *name)
{
	return name && text_ascii_equal_caseless(cell, name);
}

static const char *trimmed(struct strbuf *out, const char *text, size_t size)
{
	while (size > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		size--;
	}
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	strbuf_clear(out);
	strbuf_append(out, text, size);
	return strbuf_text(out);
}

static bool is_multivalued(const struct csv *csv, const char *name)
{
	for (size_t i = 0; i < csv->source->multivalued.count; i++)
		if (is_named(name, csv->source->multivalued.items[i].text))
			return true;
	return false;
}

/* What a column is for, by its name; what is wrong with it, or NULL. */
static const char *set_column(struct csv *csv, size_t index)
{
	const struct cell *cell = &csv->cells[index];
	const char *name = trimmed(&csv->name, strbuf_text(&csv->row) + cell->at, cell->size);
	struct column *column = &csv->columns[index];

	column->field = delivery_find_field(&csv->d, name, csv->name.size);
	if (column->field == FIELD_NONE)
		return NULL;
	for (size_t i = 0; i < index; i++)
		if (csv->columns[i].field == column->field)
			return "two columns have the same name";
	column->use = COLUMN_VALUE;
	if (column->field == csv->key)
		column->use |= COLUMN_KEY;
	if (column->field == csv->groups) {
		column->use |= COLUMN_GROUPS;
		csv->has_groups = true;
	}
	if (is_multivalued(csv, name))
		column->use |= COLUMN_MANY;
	return NULL;
}

/* The columns from the first row; what is wrong with it, or NULL. *ret_failed: out of memory. */
static const char *set_columns(struct csv *csv, bool *ret_failed)
{
	bool key = false;

	if (!text_is_utf8(strbuf_text(&csv->row), csv->cells[0].size))
		return "the first line is not UTF-8";
	csv->columns = alloc_zeroed(csv->cell_count, sizeof(*csv->columns));
	if (!csv->columns) {
		*ret_failed = true;
		return NULL;
	}
	csv->column_count = csv->cell_count;
	for (size_t i = 0; i < csv->cell_count; i++) {
		const char *problem = set_column(csv, i);

		if (problem)
			return problem;
		key = key || (csv->columns[i].use & COLUMN_KEY);
	}
	return key ? NULL : "there is no column for the key";
}

/* 1 goes on, 0 the file is no good, -1 failed. */
static int read_header(struct csv *csv, struct err *err)
{
	struct err cause;
	const char *problem = NULL;
	bool failed = false;
	int result = read_row(csv, &cause, err);

	if (result == -1)
		return -1;
	if (result == BROKEN)
		return delivery_broken(&csv->d, &csv->bytes, &cause, err);
	if (result == 0)
		problem = "the file is empty";
	else if (csv->reason)
		problem = csv->detail;
	else
		problem = set_columns(csv, &failed);
	if (failed)
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", csv->d.path);
	if (!problem)
		return 1;
	delivery_incomplete(&csv->d, "bad-header", "%s (key '%s')", problem, csv->source->key.text);
	return 0;
}

/* --- rows --- */

static int compare_numbers(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static int reserve_id(struct csv *csv, struct err *err)
{
	size_t capacity = csv->id_capacity ? csv->id_capacity * 2 : 64;
	uint32_t *ids;
	size_t *hits;

	if (csv->id_count < csv->id_capacity)
		return 0;
	ids = alloc_resize(csv->ids, capacity * sizeof(*ids));
	if (ids)
		csv->ids = ids;
	hits = ids ? alloc_resize(csv->hits, capacity * sizeof(*hits)) : NULL;
	if (!hits)
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", csv->d.path);
	csv->hits = hits;
	csv->id_capacity = capacity;
	return 0;
}

/* The ids of one group's name; each counts once in a row. */
static int add_group(struct csv *csv, const char *text, size_t size, struct err *err)
{
	const struct wanted_group *wanted;
	struct err ignored;
	size_t count;

	strbuf_clear(&csv->name);
	/* What is no name of a group cannot be one that rules ask for. */
	if (group_local_normalize(text, size, &csv->name, &ignored) < 0)
		return 0;
	wanted = delivery_find_groups(&csv->d, strbuf_text(&csv->name), &count);
	for (size_t i = 0; i < count; i++) {
		size_t index = (size_t)(&wanted[i] - csv->d.groups);

		if (csv->stamps[index] == csv->rows)
			continue;
		if (reserve_id(csv, err) < 0)
			return -1;
		csv->stamps[index] = csv->rows;
		csv->hits[csv->id_count] = index;
		csv->ids[csv->id_count++] = wanted[i].id;
	}
	return 0;
}

static int add_piece(struct csv *csv, const struct column *column, const char *text, size_t size,
		     struct err *err)
{
	while (size > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		size--;
	}
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	if (size == 0)
		return 0;
	if ((column->use & COLUMN_GROUPS) && add_group(csv, text, size, err) < 0)
		return -1;
	return delivery_add_value(&csv->d, column->field, text, size, err);
}

static int add_cell(struct csv *csv, const struct column *column, const char *text, size_t size,
		    struct err *err)
{
	const char *separator = csv->source->separator.text;
	const char *end;

	if (column->field == FIELD_NONE)
		return 0;
	if (!(column->use & (COLUMN_GROUPS | COLUMN_MANY)))
		return add_piece(csv, column, text, size, err);
	while ((end = strstr(text, separator))) {
		if (add_piece(csv, column, text, (size_t)(end - text), err) < 0)
			return -1;
		text = end + strlen(separator);
	}
	return add_piece(csv, column, text, strlen(text), err);
}

static const char *key_of(struct csv *csv)
{
	for (size_t i = 0; i < csv->cell_count && i < csv->column_count; i++) {
		const struct cell *cell = &csv->cells[i];

		if (!(csv->columns[i].use & COLUMN_KEY))
			continue;
		if (!text_is_utf8(strbuf_text(&csv->row) + cell->at, cell->size))
			return "";
		return trimmed(&csv->key_text, strbuf_text(&csv->row) + cell->at, cell->size);
	}
	return "";
}

static int deliver_row(struct csv *csv, struct err *err)
{
	struct delivered given = { .dn = "", .line = csv->row_line };

	delivery_begin(&csv->d);
	csv->id_count = 0;
	for (size_t i = 0; i < csv->cell_count; i++)
		if (add_cell(csv, &csv->columns[i], strbuf_text(&csv->row) + csv->cells[i].at,
			     csv->cells[i].size, err) < 0)
			return -1;
	if (csv->id_count > 1)
		qsort(csv->ids, csv->id_count, sizeof(*csv->ids), compare_numbers);
	given.key = key_of(csv);
	if (given.key[0] == '\0')
		return delivery_quarantine(&csv->d, csv->row_line, "", "missing-key", err,
					   "no value in column '%s'", csv->source->key.text);
	given.disabled = delivery_disabled(&csv->d);
	given.groups = csv->ids;
	given.group_count = csv->id_count;
	/* Without the column nothing is known about groups; the last field of a file may be cut. */
	given.groups_complete = csv->d.group_count == 0 || (csv->has_groups && !csv->unended);
	return delivery_identity(&csv->d, &given, err);
}

static bool is_blank(const struct csv *csv)
{
	return csv->cell_count == 1 && csv->cells[0].size == 0;
}

/* What is wrong with the text of a row; NULL: nothing. */
static const char *check_cells(const struct csv *csv)
{
	for (size_t i = 0; i < csv->cell_count; i++) {
		const char *text = strbuf_text(&csv->row) + csv->cells[i].at;

		if (memchr(text, '\0', csv->cells[i].size))
			return "nul-byte";
		if (!text_is_utf8(text, csv->cells[i].size))
			return "invalid-utf8";
	}
	return NULL;
}

static int quarantine_row(struct csv *csv, const char *reason, const char *detail, struct err *err)
{
	return delivery_quarantine(&csv->d, csv->row_line, key_of(csv), reason, err, "%s", detail);
}

static int finish_row(struct csv *csv, struct err *cause, struct err *err)
{
	const char *reason;

	if (csv->row.failed)
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", csv->d.path);
	if (!csv->reason && is_blank(csv))
		return 0;
	if (!csv->reason && csv->cell_count != csv->column_count) {
		spoil(csv, "wrong-columns", "the row has not as many fields as the first line");
		if (is_folded(csv) && recover(csv, cause) == BROKEN)
			return BROKEN;
	}
	if (csv->reason && csv->unended)
		delivery_incomplete(&csv->d, "cut-short", "line %llu: %s, and the file ends there",
				    (unsigned long long)csv->row_line, csv->detail);
	if (csv->reason)
		return quarantine_row(csv, csv->reason, csv->detail, err);
	reason = check_cells(csv);
	if (reason)
		return quarantine_row(csv, reason, "the row is not UTF-8 text", err);
	return deliver_row(csv, err);
}

/* The row was delivered: its person is a member. */
static void count_members(struct csv *csv)
{
	for (size_t i = 0; i < csv->id_count; i++)
		csv->members[csv->hits[i]]++;
}

static int read_rows(struct csv *csv, struct err *err)
{
	struct err cause;

	for (;;) {
		uint64_t before = csv->d.delivered;
		int result = read_row(csv, &cause, err);

		if (result == 0)
			return 0;
		csv->rows++;
		if (result == 1)
			result = finish_row(csv, &cause, err);
		if (result == BROKEN)
			return delivery_broken(&csv->d, &csv->bytes, &cause, err);
		if (result < 0)
			return -1;
		if (csv->d.delivered > before)
			count_members(csv);
		if ((csv->rows & PAUSE_MASK) == 0 && delivery_pause(&csv->d, err) < 0)
			return -1;
	}
}

/* --- life --- */

static int tell_groups(struct csv *csv, struct err *err)
{
	const struct delivery *d = &csv->d;

	for (size_t i = 0; i < d->group_count; i++)
		if (d->intake->group(d->intake->context, d->groups[i].id, csv->members[i] > 0,
				     csv->members[i], err) < 0)
			return -1;
	return 0;
}

static int csv_init(struct csv *csv, struct err *err)
{
	const struct csv_source *source = csv->source;

	csv->delimiter = source->delimiter.text[0];
	csv->key = delivery_field(&csv->d, source->key.text);
	csv->groups = delivery_field(&csv->d, source->groups.text);
	if (source->disabled.count > 0 &&
	    delivery_set_disabled(&csv->d, &source->disabled, err) < 0)
		return -1;
	csv->members = alloc_zeroed(csv->d.group_count + 1, sizeof(*csv->members));
	csv->stamps = alloc_zeroed(csv->d.group_count + 1, sizeof(*csv->stamps));
	if (csv->key == FIELD_NONE || csv->groups == FIELD_NONE || !csv->members || !csv->stamps)
		return err_set(err, ERR_MEMORY, "no memory to read '%s'", source->path.text);
	return delivery_index_fields(&csv->d, err);
}

static void csv_finish(struct csv *csv)
{
	bytes_close(&csv->bytes);
	free(csv->columns);
	free(csv->cells);
	free(csv->ids);
	free(csv->hits);
	free(csv->members);
	free(csv->stamps);
	strbuf_finish(&csv->row);
	strbuf_finish(&csv->key_text);
	strbuf_finish(&csv->name);
}

static int skip_mark(struct csv *csv, struct err *cause)
{
	size_t shift;

	while (csv->bytes.end < 3) {
		int more = bytes_fill(&csv->bytes, 0, &shift, cause);

		if (more <= 0)
			return more;
	}
	if (memcmp(csv->bytes.data, "\xef\xbb\xbf", 3) == 0)
		csv->bytes.at = 3;
	return 0;
}

static int read_file(struct csv *csv, struct err *err)
{
	struct err cause;
	int result;

	if (bytes_open(&csv->bytes, csv->d.path, &cause) < 0 || skip_mark(csv, &cause) < 0)
		return delivery_broken(&csv->d, &csv->bytes, &cause, err);
	result = read_header(csv, err);
	if (result > 0)
		result = read_rows(csv, err);
	if (result < 0 || tell_groups(csv, err) < 0)
		return -1;
	delivery_conclude(&csv->d, &csv->bytes);
	return 0;
}

int csv_read(const struct csv_source *source, const struct wanted_attribute *attributes,
	     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
	     const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	struct csv csv = {
		.source = source,
		.bytes = { .fd = -1 },
		.line = 1,
		.row = STRBUF((size_t)FILE_LINE_MAX * 2),
		.key_text = STRBUF(FILE_LINE_MAX),
		.name = STRBUF((size_t)FILE_LINE_MAX * 16),
	};
	struct read_result result;
	int status = delivery_init(&csv.d, &source->common, source->path.text, attributes,
				   attribute_count, groups, group_count, intake, &result, err);

	if (status == 0)
		status = csv_init(&csv, err);
	if (status == 0)
		status = read_file(&csv, err);
	csv_finish(&csv);
	delivery_finish(&csv.d);
	if (status == 0)
		*ret_result = result;
	return status;
}
