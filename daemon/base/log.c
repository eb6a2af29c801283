/*
 * Log lines. Enters: an event and fields, whose values may come from an
 * attacker. Leaves: one line on standard error, or one journal entry. A line
 * that cannot be written is lost: logging never makes a caller fail.
 */
#include <rolebridge/base/log.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define LINE_MAX_BYTES (32 * 1024)
#define VALUE_MAX_BYTES 2048
#define FIELDS_MAX 32

static const struct {
	const char *name, *colour;
	int priority; /* syslog(3)'s, as the journal has them */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", "\033[31m", 3 },
	[LOG_LEVEL_WARNING] = { "warning", "\033[33m", 4 },
	[LOG_LEVEL_INFO] = { "info", "", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", "\033[2m", 7 },
};

static atomic_int highest_level = LOG_LEVEL_INFO;
static bool to_journal, in_colour;
static char identifier_field[128];
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level)
{
	atomic_store(&highest_level, (int)level);
}

/* systemd names the device and inode of the stream it gave us: sd-daemon's own rule. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

void log_init(const char *identifier)
{
	snprintf(identifier_field, sizeof(identifier_field), "SYSLOG_IDENTIFIER=%s", identifier);
	to_journal = stderr_is_journal();
	in_colour = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
}

/* Control characters, and those that reorder or break lines in a terminal or viewer. */
static bool char_is_harmless(uint32_t c)
{
	return c >= 0x20 && (c < 0x7f || c > 0x9f) && c != 0xad && c != 0x61c &&
	       !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2060 && c <= 0x206f) && c != 0xfeff && !(c >= 0xfff9 && c <= 0xfffb);
}

static size_t write_escaped_char(struct strbuf *out, const unsigned char *at, size_t left)
{
	uint32_t c = 0;
	size_t size = text_next_char(at, left, &c);

	if (size == 0)
		strbuf_printf(out, "\\x%02x", *at);
	else if (c == '\n')
		strbuf_puts(out, "\\n");
	else if (c == '"' || c == '\\')
		strbuf_printf(out, "\\%c", (char)c);
	else if (char_is_harmless(c))
		strbuf_append(out, at, size);
	else
		strbuf_printf(out, c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
	return size ? size : 1;
}

static void write_escaped(struct strbuf *out, const char *value)
{
	const unsigned char *at = (const unsigned char *)value;
	size_t left = strlen(value);

	for (size_t start = out->size; left > 0;) {
		if (out->size - start >= VALUE_MAX_BYTES) {
			strbuf_printf(out, "... (%zu bytes more)", left);
			return;
		}

		size_t size = write_escaped_char(out, at, left);

		at += size;
		left -= size;
	}
}

static bool value_needs_quotes(const char *value)
{
	for (const char *c = value; *c; c++)
		if (*c == ' ' || *c == '=' || *c == '"')
			return true;
	return !*value;
}

static void write_value(struct strbuf *out, const struct log_field *field)
{
	const char *quote = field->text && value_needs_quotes(field->text) ? "\"" : "";

	if (!field->text) {
		strbuf_printf(out, "%lld", (long long)field->number);
		return;
	}
	strbuf_puts(out, quote);
	write_escaped(out, field->text);
	strbuf_puts(out, quote);
}

/* "event key=value key=value" */
static void write_message(struct strbuf *out, const char *event, const struct log_field *fields)
{
	strbuf_puts(out, event);
	for (; fields->name; fields++) {
		/* A field too many costs itself, not the line. */
		size_t before = out->size;

		strbuf_printf(out, " %s=", fields->name);
		write_value(out, fields);
		if (strbuf_failed(out)) {
			out->failed = false;
			strbuf_truncate(out, before);
			return;
		}
	}
}

static void log_to_stderr(enum log_level level, const char *event, const struct log_field *fields)
{
	AUTO(strbuf) struct strbuf line = STRBUF(LINE_MAX_BYTES);
	char now[CLOCK_TEXT_SIZE];

	clock_format(clock_now_s(), now);
	strbuf_printf(&line, "%s %s%-7s%s ", now, in_colour ? levels[level].colour : "",
		      levels[level].name, in_colour ? "\033[0m" : "");
	write_message(&line, event, fields);
	line.max++;
	strbuf_putc(&line, '\n');

	/* One write for one line; what a full pipe refuses is dropped. */
	pthread_mutex_lock(&write_lock);

	ssize_t written = write(STDERR_FILENO, strbuf_text(&line), line.size);

	(void)written;
	pthread_mutex_unlock(&write_lock);
}

static void write_journal_name(struct strbuf *out, const char *name)
{
	strbuf_puts(out, "ROLEBRIDGE_");
	for (; *name; name++) {
		char c = *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;

		strbuf_putc(out, (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_');
	}
	strbuf_putc(out, '=');
}

static void log_to_journal(enum log_level level, const char *event, const struct log_field *fields)
{
	struct strbuf parts[FIELDS_MAX];
	struct iovec vector[FIELDS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < FIELDS_MAX; i++)
		parts[i] = STRBUF(LINE_MAX_BYTES);
	strbuf_puts(&parts[count], "MESSAGE=");
	write_message(&parts[count++], event, fields);
	strbuf_printf(&parts[count++], "PRIORITY=%d", levels[level].priority);
	strbuf_puts(&parts[count++], identifier_field);
	strbuf_printf(&parts[count++], "ROLEBRIDGE_EVENT=%s", event);
	for (; fields->name && count < FIELDS_MAX; fields++, count++) {
		write_journal_name(&parts[count], fields->name);
		if (fields->text)
			write_escaped(&parts[count], fields->text);
		else
			strbuf_printf(&parts[count], "%lld", (long long)fields->number);
	}

	int sent = 0;

	for (size_t i = 0; i < count; i++)
		if (!strbuf_failed(&parts[i]) && parts[i].size)
			vector[sent++] = (struct iovec){ parts[i].data, parts[i].size };
	sd_journal_sendv(vector, sent);
	for (size_t i = 0; i < count; i++)
		strbuf_finish(&parts[i]);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields)
{
	if ((int)level > atomic_load_explicit(&highest_level, memory_order_relaxed))
		return;
	if (to_journal)
		log_to_journal(level, event, fields);
	else
		log_to_stderr(level, event, fields);
}
