/*
 * JSON lines back to rows. Enters: bytes. Leaves: rows. Fails on a line that format_json would not have
 * written so to the last byte, and without memory.
 *
 * Strict for the sake of the chain: a line is taken apart, written again and compared, so that there is one
 * spelling of a row.
 */
#include <rolebridge/audit/archive.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

static bool take(const char **at, const char *word)
{
	size_t size = strlen(word);

	if (strncmp(*at, word, size) != 0)
		return false;
	*at += size;
	return true;
}

static bool take_number(const char **at, int64_t *ret_number)
{
	char *end;
	long long number;

	if (**at < '0' || **at > '9')
		return false;
	number = strtoll(*at, &end, 10);
	*at = end;
	*ret_number = number;
	return true;
}

static const char *unescape(const char *at, struct strbuf *out)
{
	static const char forms[] = "\"\"\\\\b\bf\fn\nr\rt\t";
	int64_t code = 0;

	for (const char *form = forms; *form; form += 2)
		if (form[0] == *at) {
			strbuf_putc(out, form[1]);
			return at + 1;
		}
	if (*at != 'u' || strspn(at + 1, "0123456789abcdef") < 4)
		return NULL;
	for (int i = 1; i <= 4; i++)
		code = code * 16 + (at[i] <= '9' ? at[i] - '0' : at[i] - 'a' + 10);
	/* Nothing else is written so; NUL would end the text. */
	if (code == 0 || code >= 0x20)
		return NULL;
	strbuf_putc(out, (char)code);
	return at + 5;
}

/* A text in quotes, appended with its NUL. */
static bool take_text(const char **at, struct strbuf *out, size_t *ret_offset)
{
	const char *from = *at;

	if (*from++ != '"')
		return false;
	*ret_offset = out->size;
	while (from && *from && *from != '"') {
		size_t plain = strcspn(from, "\"\\");

		strbuf_append(out, from, plain);
		from += plain;
		if (*from == '\\')
			from = unescape(from + 1, out);
	}
	if (!from || *from != '"')
		return false;
	strbuf_putc(out, '\0');
	*at = from + 1;
	return true;
}

static bool take_time(const char **at, int64_t *ret_time_s)
{
	char text[CLOCK_TEXT_SIZE];

	if (take(at, "null")) {
		*ret_time_s = 0;
		return true;
	}
	if (!take(at, "\"") || strnlen(*at, CLOCK_TEXT_SIZE) < CLOCK_TEXT_SIZE)
		return false;
	memcpy(text, *at, CLOCK_TEXT_SIZE - 1);
	text[CLOCK_TEXT_SIZE - 1] = '\0';
	*at += CLOCK_TEXT_SIZE - 1;
	return clock_parse(text, ret_time_s, NULL) == 0 && take(at, "\"");
}

#define HASH_MEMBER ",\"hash\":\""
#define END_SIZE (sizeof(HASH_MEMBER) - 1 + 64 + 2) /* with "} */

static bool take_end(const char *at, struct hash256 *ret_hash)
{
	struct err err = { 0 };
	char hex[65];
	int64_t seq;

	if (!take(&at, HASH_MEMBER))
		return false;
	memcpy(hex, at, 64);
	hex[64] = '\0';
	return audit_head_parse(hex, &seq, ret_hash, &err) == 0 && strcmp(at + 64, "\"}") == 0;
}

static bool take_detail(const char *at, const char *end, struct strbuf *out, size_t *ret_offset)
{
	if (*at == '"')
		return take_text(&at, out, ret_offset) && at == end;
	*ret_offset = out->size;
	strbuf_append(out, at, (size_t)(end - at));
	strbuf_putc(out, '\0');
	return true;
}

struct places {
	size_t actor, action, object, request, detail;
};

static bool take_row(const char *line, size_t size, struct strbuf *out, struct audit_row *row,
		     struct places *places)
{
	const char *at = line, *end = line + size - END_SIZE;

	return size > END_SIZE && take(&at, "{\"seq\":") && take_number(&at, &row->seq) &&
	       take(&at, ",\"at\":") && take_time(&at, &row->at_s) && take(&at, ",\"actor\":") &&
	       take_text(&at, out, &places->actor) && take(&at, ",\"action\":") &&
	       take_text(&at, out, &places->action) && take(&at, ",\"object\":") &&
	       take_text(&at, out, &places->object) && take(&at, ",\"request\":") &&
	       take_text(&at, out, &places->request) && take(&at, ",\"detail\":") && at < end &&
	       take_end(end, &row->hash) && take_detail(at, end, out, &places->detail);
}

/* line ends in NUL. */
static int parse(struct audit_lines *lines, const char *line, size_t size,
		 struct audit_row *ret_row, struct err *err)
{
	struct audit_row row = { 0 };
	struct places places;
	bool taken = take_row(line, size, &lines->texts, &row, &places);

	if (strbuf_failed(&lines->texts))
		return err_set(err, ERR_MEMORY, "no memory for a row of the audit log");
	if (taken) {
		row.actor = lines->texts.data + places.actor;
		row.action = lines->texts.data + places.action;
		row.object = lines->texts.data + places.object;
		row.request = lines->texts.data + places.request;
		row.detail = lines->texts.data + places.detail;
		strbuf_clear(&lines->again);
		audit_format_row(&row, AUDIT_JSON_LINES, &lines->again);
		if (strbuf_failed(&lines->again))
			return err_set(err, ERR_MEMORY, "no memory for a row of the audit log");
		taken = lines->again.size == size + 1 && memcmp(lines->again.data, line, size) == 0;
	}
	if (!taken)
		return err_set(err, ERR_PROTOCOL, "line %zu is not as a row is written",
			       lines->line);
	*ret_row = row;
	return 0;
}

static int lines_next(void *context, struct audit_row *ret_row, struct err *err)
{
	struct audit_lines *lines = context;
	const char *line = lines->data + lines->at;
	const char *end =
		lines->at < lines->size ? memchr(line, '\n', lines->size - lines->at) : NULL;
	size_t size, copy;

	if (lines->at == lines->size)
		return 0;
	lines->line++;
	if (!end)
		return err_set(err, ERR_PROTOCOL, "line %zu is cut off", lines->line);
	size = (size_t)(end - line);
	lines->at += size + 1;
	if (memchr(line, '\0', size))
		return err_set(err, ERR_PROTOCOL, "line %zu holds a NUL", lines->line);
	/* The line with its NUL, and behind it the texts, which are no longer than it is. */
	strbuf_clear(&lines->texts);
	if (!strbuf_reserve(&lines->texts, 2 * size + 16))
		return err_set(err, ERR_MEMORY, "no memory for a row of the audit log");
	copy = lines->texts.size;
	strbuf_append(&lines->texts, line, size);
	strbuf_putc(&lines->texts, '\0');
	return parse(lines, lines->texts.data + copy, size, ret_row, err) < 0 ? -1 : 1;
}

struct audit_iterator audit_lines_iterator(struct audit_lines *lines)
{
	return (struct audit_iterator){ .next = lines_next, .context = lines };
}

void audit_lines_auto(struct audit_lines *lines)
{
	strbuf_finish(&lines->texts);
	strbuf_finish(&lines->again);
}
