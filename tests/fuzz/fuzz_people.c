/*
 * Files of people: the first byte says CSV or JSON, the rest is the file. It ends, every text of a row is UTF-8, what is
 * wrong has a code and a message, and nothing is read twice.
 */
#include "../../daemon/api/people.h"

#include <stdint.h>
#include <stdlib.h>

#include <rolebridge/base/csv.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	if (text && !text_is_utf8(text, strlen(text)))
		abort();
}

static void check_row(const struct import_row *row, const struct import_result *result)
{
	if (result->code) {
		if (result->status != IMPORT_FAILED || !result->message)
			abort();
		return;
	}
	check_text(row->user_id);
	check_text(row->external_id);
	check_text(row->username);
	check_text(row->email);
	check_text(row->display_name);
	check_text(row->organization);
	check_text(row->profile);
	check_text(row->state);
	for (int kind = 0; kind < GRANT_KINDS; kind++)
		for (size_t i = 0; i < row->names[kind].count; i++)
			check_text(row->names[kind].names[i]);
}

/* What stands in a cell is the same when it was written and is read. */
static void check_cell(const char *data, size_t size)
{
	AUTO(strbuf) struct strbuf out = STRBUF(4 * 1024 * 1024);
	char *text = strndup(data, size);
	AUTO(csv) struct csv *csv = NULL;
	struct csv_row row;

	if (!text)
		abort();
	csv_put_cell(&out, text, ',');
	strbuf_puts(&out, ",x\r\n");
	csv = csv_open(strbuf_text(&out), out.size, ',');
	if (!csv || csv_next(csv, &row) != 1 || row.problem || row.count != 2 ||
	    strcmp(row.cells[0].text, text) != 0)
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create((size_t)256 * 1024 * 1024);
	struct people_reader *reader;
	struct import_result result;
	struct import_row row;
	struct err err = { 0 };
	const char *field;
	size_t offset = 0;
	char *body;

	if (size == 0 || !arena)
		return 0;
	body = malloc(size);
	if (!body)
		return 0;
	memcpy(body, data + 1, size - 1);
	body[size - 1] = 0;
	if (size > 3 && memcmp(body, "\xef\xbb\xbf", 3) != 0)
		check_cell(body, size - 1);
	reader = people_open(data[0] & 1 ? PEOPLE_JSON : PEOPLE_CSV, body, size - 1, arena, &field,
			     &err);
	while (reader && people_next(reader, arena, &row, &result, &err) > 0) {
		check_row(&row, &result);
		if (people_offset(reader) < offset || people_offset(reader) > size - 1)
			abort();
		offset = people_offset(reader);
	}
	people_close(reader);
	free(body);
	return 0;
}
