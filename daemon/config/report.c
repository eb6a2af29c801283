/*
 * Findings for people and for tools. Enters: findings and the texts they point
 * into, both possibly hostile. Leaves: lines of
 *
 *	rules.yaml:12:13: error: unknown attribute 'departement'
 *	   12 |     when: "(departement=Sales)"
 *	      |             ^~~~~~~~~~~
 *	      hint: Did you mean 'department'?
 *
 * The caret line repeats the source line's tabs and gives each character its
 * width on a terminal, so that the caret stands right whatever stands before.
 * Of long lines a window around the finding is shown. Control and direction
 * characters become '?': a file cannot steer the terminal.
 */
#include "tree.h"

#include <string.h>

#include <uniwidth.h>

#include <rolebridge/base/json.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define WINDOW_BYTES 100 /* shown of a long line */
#define WINDOW_BEFORE 40 /* of these before the finding */

static bool is_unprintable(uint32_t c)
{
	return (c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* One character: how many bytes, and whether they may be printed as they are. */
static size_t next_shown(const char *text, size_t left, bool *ret_as_is, int *ret_columns)
{
	uint32_t c = 0;
	size_t width = text_next_char(text, left, &c);

	*ret_as_is = width && !is_unprintable(c);
	*ret_columns = *ret_as_is ? uc_width(c, "UTF-8") : 1;
	if (*ret_columns < 0)
		*ret_columns = 1;
	return width ? width : 1;
}

static void print_safe(const char *text, size_t size, FILE *out)
{
	for (size_t i = 0; i < size;) {
		bool as_is;
		int columns;
		size_t width = next_shown(text + i, size - i, &as_is, &columns);

		if (as_is)
			fwrite(text + i, 1, width, out);
		else
			fputc('?', out);
		i += width;
	}
}

/* What stands under the text up to the caret: tabs as tabs, the rest as spaces. */
static void print_blank(const char *text, size_t size, FILE *out)
{
	for (size_t i = 0; i < size;) {
		bool as_is;
		int columns;
		size_t width = next_shown(text + i, size - i, &as_is, &columns);

		if (text[i] == '\t')
			fputc('\t', out);
		else
			fprintf(out, "%*s", columns, "");
		i += width;
	}
}

static void print_caret(const char *text, size_t size, FILE *out)
{
	int total = 0;

	for (size_t i = 0; i < size;) {
		bool as_is;
		int columns;

		i += next_shown(text + i, size - i, &as_is, &columns);
		total += columns;
	}
	fputc('^', out);
	while (--total > 0)
		fputc('~', out);
	fputc('\n', out);
}

static bool is_inside_character(const char *text, size_t offset, size_t size)
{
	return offset < size && ((unsigned char)text[offset] & 0xc0) == 0x80;
}

/* The part [*start, *end) of a line of size bytes to show around offset. */
static void choose_window(const char *line, size_t size, size_t offset, size_t *ret_start,
			  size_t *ret_end)
{
	size_t start = 0, end = size;

	if (size > WINDOW_BYTES) {
		start = offset > WINDOW_BEFORE ? offset - WINDOW_BEFORE : 0;
		if (start + WINDOW_BYTES < size)
			end = start + WINDOW_BYTES;
		else
			start = size - WINDOW_BYTES;
	}
	while (is_inside_character(line, start, size))
		start++;
	while (is_inside_character(line, end, size))
		end++;
	*ret_start = start;
	*ret_end = end;
}

static void print_source_line(const struct line_cursor *cursor, const struct position *at,
			      FILE *out)
{
	const char *line = cursor->text + cursor->start;
	size_t offset = at->column ? at->column - 1 : 0;
	size_t start, end, width = at->width;
	bool cut;

	if (offset > cursor->width)
		offset = cursor->width;
	choose_window(line, cursor->width, offset, &start, &end);
	if (offset < start)
		offset = start;
	if (width > end - offset)
		width = end - offset;
	cut = start > 0;
	fprintf(out, "%5u | %s", at->line, cut ? "..." : "");
	print_safe(line + start, end - start, out);
	fprintf(out, "%s\n      | %s", end < cursor->width ? "..." : "", cut ? "   " : "");
	print_blank(line + start, offset - start, out);
	print_caret(line + offset, width, out);
}

/* Where the last finding's line was: findings come in order, so that each file is walked once. */
struct walk {
	unsigned file;
	struct line_cursor cursor;
};

static void print_position(const struct diagnostic *item, const struct document *document,
			   FILE *out)
{
	const char *path = document ? document_file_path(document, item->at.file) : NULL;

	if (!path)
		return;
	print_safe(path, strlen(path), out);
	fprintf(out, ":%u:%u: ", item->at.line, item->at.column);
}

static void print_source(const struct diagnostic *item, const struct document *document,
			 struct walk *walk, FILE *out)
{
	if (!document || item->at.file < 1 || item->at.file > document->file_count)
		return;
	if (walk->file != item->at.file) {
		walk->file = item->at.file;
		walk->cursor = line_cursor_start(document->files[item->at.file - 1]);
	}
	if (line_cursor_find(&walk->cursor, item->at.line))
		print_source_line(&walk->cursor, &item->at, out);
}

static const char *severity_word(enum severity severity)
{
	return severity == SEVERITY_ERROR ? "error" : "warning";
}

void diagnostics_print(const struct diagnostics *list, const struct document *document, FILE *out)
{
	struct walk walk = { 0 };

	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *item = diagnostics_get(list, i);

		print_position(item, document, out);
		fprintf(out, "%s: ", severity_word(item->severity));
		print_safe(item->message, strlen(item->message), out);
		fputc('\n', out);
		print_source(item, document, &walk, out);
		if (item->hint) {
			fputs("      hint: ", out);
			print_safe(item->hint, strlen(item->hint), out);
			fputc('\n', out);
		}
	}
}

void diagnostics_json(const struct diagnostics *list, const struct document *document,
		      struct strbuf *out)
{
	struct json json = JSON(out);

	json_array(&json);
	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *item = diagnostics_get(list, i);
		const char *path = document ? document_file_path(document, item->at.file) : NULL;

		json_object(&json);
		json_string(&json, "severity", severity_word(item->severity));
		json_string(&json, "code", item->code);
		json_string(&json, "message", item->message);
		if (item->hint)
			json_string(&json, "hint", item->hint);
		if (path) {
			json_string(&json, "file", path);
			json_int(&json, "line", item->at.line);
			json_int(&json, "column", item->at.column);
			json_int(&json, "width", item->at.width);
		}
		json_end(&json);
	}
	json_end(&json);
}
