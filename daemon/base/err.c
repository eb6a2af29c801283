/*
 * Errors. Enters: a code and a format. Leaves: one line of text in the
 * caller's struct. Nothing here allocates or fails; long text is cut.
 */
#include <rolebridge/base/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>

/* Text beyond the end was lost: say so with "...", on a character boundary. */
static void err_mark_cut(char *text)
{
	size_t at = ERR_TEXT_MAX - sizeof("...");

	while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	memcpy(text + at, "...", sizeof("..."));
}

/* Formats into a buffer of its own: the arguments may point into the old text. */
static void err_format(struct err *err, const char *suffix, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

static void err_format(struct err *err, const char *suffix, const char *format, va_list args)
{
	char text[ERR_TEXT_MAX];
	int length = vsnprintf(text, sizeof(text), format, args);
	size_t used = length < 0 ? 0 : (size_t)length;

	if (length < 0)
		text[0] = 0;
	if (used < sizeof(text) && suffix) {
		length = snprintf(text + used, sizeof(text) - used, ": %s", suffix);
		used += length < 0 ? 0 : (size_t)length;
	}
	if (used >= sizeof(text))
		err_mark_cut(text);
	memcpy(err->text, text, sizeof(text));
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	err_format(err, NULL, format, args);
	va_end(args);
	err->code = code;
	err->reason = NULL;
	return -1;
}

int err_refuse(struct err *err, enum err_code code, const char *reason, const char *format, ...)
{
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	err_format(err, NULL, format, args);
	va_end(args);
	err->code = code;
	err->reason = reason;
	return -1;
}

int err_set_errno(struct err *err, enum err_code code, int errno_value, const char *format, ...)
{
	char cause[128];
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	err_format(err, strerror_r(errno_value, cause, sizeof(cause)), format, args);
	va_end(args);
	err->code = code;
	err->reason = NULL;
	return -1;
}

int err_wrap(struct err *err, const char *format, ...)
{
	va_list args;

	if (!err)
		return -1;

	char inner[ERR_TEXT_MAX];

	memcpy(inner, err->text, sizeof(inner));
	va_start(args, format);
	err_format(err, inner, format, args);
	va_end(args);
	return -1;
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	err->code = ERR_NONE;
	err->reason = NULL;
	err->text[0] = 0;
}

const char *err_reason(const struct err *err)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",
		[ERR_INVALID] = "invalid",
		[ERR_TOO_LARGE] = "too-large",
		[ERR_PROTOCOL] = "protocol",
		[ERR_DENIED] = "denied",
		[ERR_NOT_FOUND] = "not-found",
		[ERR_CONFLICT] = "conflict",
		[ERR_UNAVAILABLE] = "unavailable",
		[ERR_IO] = "io",
		[ERR_MEMORY] = "memory",
		[ERR_CANCELLED] = "cancelled",
		[ERR_INTERNAL] = "internal",
	};

	if (!err)
		return "unknown";
	if (err->reason)
		return err->reason;
	return (size_t)err->code < ARRAY_LEN(names) ? names[err->code] : "unknown";
}
