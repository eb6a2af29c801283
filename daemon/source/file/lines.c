/*
 * Unfolds lines in place, inside the window: a line that is not folded is never copied, a folded one
 * moves its continuations down. A line over the cap is read to its end and forgotten.
 */
#include "lines.h"

#include <string.h>

#include <rolebridge/source/file.h>

int lines_start(struct lines *lines, struct bytes *bytes, struct err *err)
{
	size_t shift;

	*lines = (struct lines){ bytes, 1 };
	bytes_seek(bytes, 0);
	while (bytes->end < 3) {
		int more = bytes_fill(bytes, 0, &shift, err);

		if (more < 0)
			return -1;
		if (more == 0)
			break;
	}
	if (bytes->end >= 3 && memcmp(bytes->data, "\xef\xbb\xbf", 3) == 0)
		bytes->at = 3;
	return 0;
}

/* A logical line in the making: indexes into the window. */
struct gathering {
	size_t begin; /* where the text stands */
	size_t size;
	size_t next; /* first byte not looked at */
	bool too_long;
};

static int fill(struct lines *lines, struct gathering *g, struct err *err)
{
	size_t shift;
	int more = bytes_fill(lines->bytes, g->begin, &shift, err);

	g->begin -= shift;
	g->next -= shift;
	return more;
}

/* Take size bytes at next as text. */
static void take(struct lines *lines, struct gathering *g, size_t size)
{
	char *data = lines->bytes->data;

	if (!g->too_long && g->size + size > FILE_LINE_MAX)
		g->too_long = true;
	if (g->too_long) {
		g->size = 0;
		g->begin = g->next + size;
		return;
	}
	if (g->begin + g->size != g->next)
		memmove(data + g->begin + g->size, data + g->next, size);
	g->size += size;
}

/* One physical line; *ret_ended: with a line break. 1, or 0 when there is nothing at all. */
static int gather_physical(struct lines *lines, struct gathering *g, bool *ret_ended,
			   struct err *err)
{
	size_t looked = 0;

	for (;;) {
		struct bytes *bytes = lines->bytes;
		char *from = bytes->data ? bytes->data + g->next + looked : NULL;
		char *stop = from ? memchr(from, '\n', bytes->end - g->next - looked) : NULL;
		int more;

		if (stop) {
			size_t size = (size_t)(stop - bytes->data) - g->next;
			size_t content = size > 0 && stop[-1] == '\r' ? size - 1 : size;

			take(lines, g, content);
			g->next += size + 1;
			if (g->too_long)
				g->begin = g->next;
			*ret_ended = true;
			lines->number++;
			return 1;
		}
		looked = bytes->end - g->next;
		if (g->size + looked > FILE_LINE_MAX) {
			take(lines, g, looked);
			g->next += looked;
			looked = 0;
		}
		more = fill(lines, g, err);
		if (more < 0)
			return -1;
		if (more > 0)
			continue;
		if (looked == 0 && g->size == 0 && !g->too_long)
			return 0;
		take(lines, g, looked);
		g->next += looked;
		*ret_ended = false;
		lines->number++;
		return 1;
	}
}

/* Does the next physical line continue this one? */
static int is_continued(struct lines *lines, struct gathering *g, struct err *err)
{
	if (g->next == lines->bytes->end) {
		int more = fill(lines, g, err);

		if (more <= 0)
			return more;
	}
	return lines->bytes->data[g->next] == ' ';
}

static int gather(struct lines *lines, struct line *line, struct err *err)
{
	struct gathering g = { lines->bytes->at, 0, lines->bytes->at, false };
	bool ended = false;
	int result = gather_physical(lines, &g, &ended, err);

	if (result <= 0)
		return result;
	while (ended) {
		result = is_continued(lines, &g, err);
		if (result < 0)
			return -1;
		if (result == 0)
			break;
		g.next++;
		/* A continuation may be nothing but its space, at the very end of the file. */
		result = gather_physical(lines, &g, &ended, err);
		if (result < 0)
			return -1;
		if (result == 0 || !ended) {
			ended = false;
			break;
		}
	}
	lines->bytes->at = g.next;
	line->text = lines->bytes->data + g.begin;
	line->size = g.too_long ? 0 : g.size;
	line->too_long = g.too_long;
	line->unended = !ended;
	return 1;
}

int lines_next(struct lines *lines, struct line *ret_line, struct err *err)
{
	for (;;) {
		struct line line = { .number = lines->number };
		int result = gather(lines, &line, err);

		if (result <= 0)
			return result;
		if (line.size > 0 && line.text[0] == '#' && !line.unended)
			continue;
		*ret_line = line;
		return 1;
	}
}
