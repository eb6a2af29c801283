/*
 * JSON syntax. Enters: a text. Leaves: whether it can stand inside a JSON line
 * as it is. A row whose detail was tampered with must not break, or add to,
 * the lines of an export. Nothing is built, so nothing can fail.
 */
#include "syntax.h"

#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define DEPTH_MAX 64

static const char *skip_value(const char *at, unsigned depth);

static const char *skip_space(const char *at)
{
	while (*at == ' ')
		at++;
	return at;
}

static const char *skip_digits(const char *at)
{
	const char *start = at;

	while (*at >= '0' && *at <= '9')
		at++;
	return at == start ? NULL : at;
}

static const char *skip_number(const char *at)
{
	at += *at == '-';
	at = *at == '0' ? at + 1 : skip_digits(at);
	if (at && *at == '.')
		at = skip_digits(at + 1);
	if (at && (*at == 'e' || *at == 'E')) {
		at++;
		at = skip_digits(at + (*at == '+' || *at == '-'));
	}
	return at;
}

static const char *skip_escape(const char *at)
{
	if (*at != 'u')
		return *at && strchr("\"\\/bfnrt", *at) ? at + 1 : NULL;
	at++;
	return strspn(at, "0123456789abcdefABCDEF") >= 4 ? at + 4 : NULL;
}

static const char *skip_string(const char *at)
{
	if (*at++ != '"')
		return NULL;
	while (at && *at != '"') {
		if ((unsigned char)*at < 0x20)
			return NULL;
		at = *at == '\\' ? skip_escape(at + 1) : at + 1;
	}
	return at ? at + 1 : NULL;
}

static const char *skip_member(const char *at, bool object, unsigned depth)
{
	if (object) {
		at = skip_string(skip_space(at));
		if (!at || *(at = skip_space(at)) != ':')
			return NULL;
		at++;
	}
	at = skip_value(skip_space(at), depth);
	return at ? skip_space(at) : NULL;
}

static const char *skip_list(const char *at, bool object, unsigned depth)
{
	char end = object ? '}' : ']';

	at = skip_space(at + 1);
	if (*at == end)
		return at + 1;
	do {
		at = skip_member(at, object, depth);
	} while (at && *at == ',' && at++);
	return at && *at == end ? at + 1 : NULL;
}

static const char *skip_word(const char *at)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strncmp(at, words[i], strlen(words[i])) == 0)
			return at + strlen(words[i]);
	return NULL;
}

static const char *skip_value(const char *at, unsigned depth)
{
	if (depth == 0)
		return NULL;
	if (*at == '{' || *at == '[')
		return skip_list(at, *at == '{', depth - 1);
	if (*at == '"')
		return skip_string(at);
	if (*at == '-' || (*at >= '0' && *at <= '9'))
		return skip_number(at);
	return skip_word(at);
}

bool json_line_is_valid(const char *text)
{
	const char *end = skip_value(skip_space(text), DEPTH_MAX);

	return end && *skip_space(end) == 0 && text_is_utf8(text, strlen(text));
}
