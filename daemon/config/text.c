/*
 * The bytes of a file before any parser: lines, characters, and what is
 * refused outright. Enters: hostile bytes. Leaves: positions, or one finding.
 */
#include "tree.h"

#include <string.h>

#include <rolebridge/base/text.h>

/* Fill width and next from start. */
static void line_cursor_measure(struct line_cursor *cursor)
{
	const char *line = cursor->text + cursor->start;
	size_t left = cursor->size - cursor->start;
	const char *end = left ? memchr(line, '\n', left) : NULL;

	cursor->width = end ? (size_t)(end - line) : left;
	cursor->next = cursor->start + cursor->width + 1;
	if (end && cursor->width && line[cursor->width - 1] == '\r')
		cursor->width--;
}

static void line_cursor_rewind(struct line_cursor *cursor)
{
	cursor->start = 0;
	cursor->line = 1;
	line_cursor_measure(cursor);
}

/* Go to the next line; false at the last one. */
static bool line_cursor_next(struct line_cursor *cursor)
{
	if (cursor->next > cursor->size)
		return false;
	cursor->start = cursor->next;
	cursor->line++;
	line_cursor_measure(cursor);
	return true;
}

struct line_cursor line_cursor_start(const struct source_file *file)
{
	struct line_cursor cursor = { .text = file->text, .size = file->size };

	line_cursor_rewind(&cursor);
	return cursor;
}

void line_cursor_seek(struct line_cursor *cursor, size_t offset)
{
	if (offset < cursor->start)
		line_cursor_rewind(cursor);
	while (offset >= cursor->next && line_cursor_next(cursor))
		;
}

bool line_cursor_find(struct line_cursor *cursor, unsigned line)
{
	if (line < cursor->line)
		line_cursor_rewind(cursor);
	while (cursor->line < line)
		if (!line_cursor_next(cursor))
			return false;
	return true;
}

/*
 * No control character within a line but tab. A CR without LF too: libfyaml
 * begins a line there and editors do not, so that the eye sees another file.
 */
static bool is_refused_control(unsigned char c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Offset of the first byte that is refused, or size. */
static size_t find_bad_byte(const char *line, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t width = text_next_char(line + i, size - i, NULL);

		if (!width || is_refused_control((unsigned char)line[i]))
			return i;
		i += width;
	}
	return size;
}

static void report_bad_byte(const char *byte, struct position at, struct diagnostics *list)
{
	if (is_refused_control((unsigned char)*byte))
		diagnostics_add(list, SEVERITY_ERROR, "control-character", at,
				*byte ? NULL
				      : "A NUL byte often means UTF-16: save the file as UTF-8.",
				"control character U+%04X is not allowed", (unsigned char)*byte);
	else
		diagnostics_add(list, SEVERITY_ERROR, "invalid-utf8", at, "Save the file as UTF-8.",
				"byte 0x%02x is not UTF-8", (unsigned char)*byte);
}

/* --------------------------------------------------- a trap of the library */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The offset of the first ':' with a tab between it and a block indicator, or size. */
static size_t find_tabbed_indicator(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		size_t end = i + 1;
		bool tab = false;

		if (line[i] != ':')
			continue;
		for (; end < size && is_blank(line[end]); end++)
			tab = tab || line[end] == '\t';
		if (tab && end < size &&
		    (line[end] == '?' || line[end] == ':' || line[end] == '>' || line[end] == '|' ||
		     (line[end] == '-' && (end + 1 == size || is_blank(line[end + 1])))))
			return i;
	}
	return size;
}

/*
 * "? a:<tab>- b" makes libfyaml 0.7.12 free a key twice, "? a:<tab>>" as well. Before a dash it
 * is no YAML anyway; the piece is refused wherever it stands, in a comment excepted.
 */
static bool check_tabs(const char *line, size_t width, struct position at, struct diagnostics *list)
{
	size_t found = find_tabbed_indicator(line, width);
	size_t first = 0;

	while (first < width && is_blank(line[first]))
		first++;
	if (found == width || line[first] == '#')
		return true;
	at.column = (unsigned)found + 1;
	at.width = 1;
	diagnostics_add(list, SEVERITY_ERROR, "tab", at, "Use spaces.",
			"a tab may not stand between ':' and '-', '?' or ':'");
	return false;
}

/* ---------------------------------------------------------- one document */

/* Where in a file's frame a line stands. */
enum part {
	PART_HEAD, /* nothing but comments and directives so far */
	PART_BODY,
	PART_END, /* behind "..." */
};

/* "---" and "..." at the beginning of a line are markers wherever they stand (YAML 1.2, 9.1.2). */
static bool is_marker(const char *line, size_t width, const char *marker)
{
	return width >= 3 && memcmp(line, marker, 3) == 0 && (width == 3 || is_blank(line[3]));
}

static bool is_blank_or_comment(const char *line, size_t width)
{
	size_t i = 0;

	while (i < width && is_blank(line[i]))
		i++;
	return i == width || line[i] == '#';
}

/*
 * %TAG gives meaning to tags, %YAML 1.1 changes what plain words mean, and
 * libfyaml keeps one warning of 370 bytes for each unknown directive.
 */
static bool check_directive(const char *line, size_t width, struct position at,
			    struct diagnostics *list)
{
	static const char allowed[] = "%YAML 1.2";

	while (width > 0 && is_blank(line[width - 1]))
		width--;
	if (width == strlen(allowed) && memcmp(line, allowed, width) == 0)
		return true;
	diagnostics_add(list, SEVERITY_ERROR, "yaml-directive", at,
			"The only directive allowed is '%YAML 1.2'.",
			"directives are not supported");
	return false;
}

/*
 * Whether the line belongs to the one document. libfyaml would read on into
 * the next one, or skip an empty first one: what stands there would be lost,
 * or win, silently.
 */
static bool check_frame(const char *line, size_t width, struct position at, enum part *part,
			struct diagnostics *list)
{
	bool begin = is_marker(line, width, "---"), end = is_marker(line, width, "...");

	if (is_blank_or_comment(line, width))
		return true;
	if (*part == PART_END || (*part == PART_BODY && begin)) {
		at.width = (unsigned)width;
		diagnostics_add(list, SEVERITY_ERROR, "second-document", at,
				"Put each document into a file of its own.",
				"a second document is not allowed");
		return false;
	}
	*part = end ? PART_END : PART_BODY;
	return true;
}

/* One line's bytes, and its directive when it is one. */
static bool check_line(const char *line, size_t width, struct position at, enum part part,
		       struct diagnostics *list)
{
	size_t bad = 0;

	if (width > DOCUMENT_LINE_MAX) {
		diagnostics_add(list, SEVERITY_ERROR, "too-large", at, NULL,
				"line longer than 256 KiB");
		return false;
	}
	bad = find_bad_byte(line, width);
	if (bad < width) {
		at.column = (unsigned)bad + 1;
		report_bad_byte(line + bad, at, list);
		return false;
	}
	if (!check_tabs(line, width, at, list))
		return false;
	at.width = width ? (unsigned)width : 1;
	return part != PART_HEAD || !width || line[0] != '%' ||
	       check_directive(line, width, at, list);
}

size_t source_check(const struct source_file *file, struct diagnostics *list)
{
	struct line_cursor cursor = line_cursor_start(file);
	enum part part = PART_HEAD;

	do {
		const char *line = cursor.text + cursor.start;
		struct position at = { file->index, cursor.line, 1, 1 };

		if (!check_line(line, cursor.width, at, part, list))
			return 0;
		if (part == PART_HEAD && cursor.width && line[0] == '%')
			continue;
		if (!check_frame(line, cursor.width, at, &part, list))
			return cursor.start;
	} while (line_cursor_next(&cursor));
	return file->size;
}
