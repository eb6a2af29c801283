/*
 * The request line taken apart. Enters: the raw target, hostile. Leaves:
 * path and query, decoded once and checked, in the request's arena. What is malformed or
 * ambiguous (a query name twice, %00, not UTF-8) is ERR_INVALID.
 */
#include <rolebridge/http/request.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define EACH_BYTE(c) ((uint64_t)0x0101010101010101 * (c))

/* Not zero: one of the eight bytes is a zero. */
static uint64_t has_zero(uint64_t word)
{
	return (word - EACH_BYTE(0x01)) & ~word & EACH_BYTE(0x80);
}

/* How much of the text stands for itself, in whole words: a form with a SAML answer has 12 kB of base64. */
static size_t copy_plain(char *out, const char *text, size_t size)
{
	size_t done = 0;
	uint64_t word;

	for (; size - done >= sizeof(word); done += sizeof(word)) {
		memcpy(&word, text + done, sizeof(word));
		if (has_zero(word ^ EACH_BYTE('%')) || has_zero(word ^ EACH_BYTE('+')))
			break;
		memcpy(out + done, &word, sizeof(word));
	}
	return done;
}

int http_decode(struct arena *arena, const char *text, size_t size, bool plus,
		const char **ret_text, struct err *err)
{
	char *decoded = arena_alloc(arena, size + 1);
	size_t used = 0;

	if (!decoded)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < size;) {
		size_t plain = copy_plain(decoded + used, text + i, size - i);

		used += plain;
		i += plain;
		/* What is left of the end, or up to what copy_plain stopped at. */
		for (; i < size && text[i] != '%'; i++)
			decoded[used++] = text[i] == '+' && plus ? ' ' : text[i];
		if (i == size)
			break;

		int high = i + 2 < size ? text_hex_digit((unsigned char)text[i + 1]) : -1;
		int low = i + 2 < size ? text_hex_digit((unsigned char)text[i + 2]) : -1;

		if (high < 0 || low < 0)
			return err_set(err, ERR_INVALID, "malformed percent-encoding");
		decoded[used++] = (char)(high * 16 + low);
		i += 3;
	}
	if (!text_is_utf8(decoded, used))
		return err_set(err, ERR_INVALID, "address is not valid UTF-8");
	decoded[used] = 0;
	*ret_text = decoded;
	return 0;
}

static int query_add(struct http_request *request, const char *text, size_t size, struct err *err)
{
	const char *equals = memchr(text, '=', size);
	size_t name_size = equals ? (size_t)(equals - text) : size;
	const char *value = equals ? equals + 1 : "";
	size_t value_size = equals ? size - name_size - 1 : 0;
	struct http_pair pair;

	if (request->query_count == HTTP_QUERY_MAX)
		return err_set(err, ERR_INVALID, "more than %d query parameters", HTTP_QUERY_MAX);
	if (http_decode(request->arena, text, name_size, true, &pair.name, err) < 0 ||
	    http_decode(request->arena, value, value_size, true, &pair.value, err) < 0)
		return -1;
	if (http_query(request, pair.name)) {
		request->error_field = pair.name;
		return err_set(err, ERR_INVALID, "query parameter '%s' is given twice", pair.name);
	}
	request->query[request->query_count++] = pair;
	return 0;
}

/* Of an address that is refused so much is known: programs are answered as such. */
static void keep_beginning(struct http_request *request, const char *target)
{
	static const char *const beginnings[] = { "/api/", "/scim/" };

	for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
		if (strncmp(target, beginnings[i], strlen(beginnings[i])) == 0)
			request->path = beginnings[i];
}

int http_target_parse(struct http_request *request, const char *target, struct err *err)
{
	size_t size = strlen(target);
	const char *mark = strchr(target, '?');

	keep_beginning(request, target);
	if (size > HTTP_TARGET_MAX)
		return err_set(err, ERR_INVALID, "address is longer than %d bytes",
			       HTTP_TARGET_MAX);
	if (target[0] != '/')
		return err_set(err, ERR_INVALID, "address does not begin with '/'");
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)target[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return err_set(err, ERR_INVALID, "address holds a character it may not");
	}
	request->path =
		arena_strndup(request->arena, target, mark ? (size_t)(mark - target) : size);
	request->query_raw = mark ? arena_strdup(request->arena, mark + 1) : "";
	if (!request->path || !request->query_raw)
		return err_set(err, ERR_MEMORY, "out of memory");
	return 0;
}

int http_query_parse(struct http_request *request, struct err *err)
{
	const char *start = request->query_raw;

	while (start) {
		const char *mark = strchr(start, '&');
		size_t length = mark ? (size_t)(mark - start) : strlen(start);

		if (length > 0 && query_add(request, start, length, err) < 0)
			return -1;
		start = mark ? mark + 1 : NULL;
	}
	return 0;
}

const char *http_pair_find(const struct http_pair *pairs, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(pairs[i].name, name) == 0)
			return pairs[i].value;
	}
	return NULL;
}

const char *http_parameter(const struct http_request *request, const char *name)
{
	const char *value = http_pair_find(request->parameters, request->parameter_count, name);

	return value ? value : "";
}

const char *http_query(const struct http_request *request, const char *name)
{
	return http_pair_find(request->query, request->query_count, name);
}

int http_query_allow(struct http_request *request, const char *const *names, struct err *err)
{
	for (size_t i = 0; i < request->query_count; i++) {
		const char *const *name = names;

		while (*name && strcmp(*name, request->query[i].name) != 0)
			name++;
		if (!*name) {
			request->error_field = request->query[i].name;
			return err_set(err, ERR_INVALID, "unknown query parameter '%s'",
				       request->query[i].name);
		}
	}
	return 0;
}

int http_query_int(struct http_request *request, const char *name, int64_t min, int64_t max,
		   int64_t fallback, int64_t *ret_value, struct err *err)
{
	const char *text = http_query(request, name);
	char *end;

	if (!text) {
		*ret_value = fallback;
		return 0;
	}
	errno = 0;

	long long value = strtoll(text, &end, 10);

	if (errno != 0 || end == text || *end || !strchr("-0123456789", text[0]) || value < min ||
	    value > max) {
		request->error_field = name;
		return err_set(err, ERR_INVALID, "'%s' must be a whole number from %lld to %lld",
			       name, (long long)min, (long long)max);
	}
	*ret_value = value;
	return 0;
}

int http_query_bool(struct http_request *request, const char *name, bool fallback, bool *ret_value,
		    struct err *err)
{
	const char *text = http_query(request, name);

	if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
		request->error_field = name;
		return err_set(err, ERR_INVALID, "'%s' must be true or false", name);
	}
	*ret_value = text ? strcmp(text, "true") == 0 : fallback;
	return 0;
}
