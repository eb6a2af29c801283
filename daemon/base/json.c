/*
 * JSON writer. Enters: keys and values. Leaves: compact JSON in a strbuf.
 * Misuse (a key in an array, none in an object, too deep, an end too many)
 * fails the strbuf, so that nothing malformed is ever sent.
 */
#include <rolebridge/base/json.h>

#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>

#define DEPTH_MAX 32

/* What must stand as an escape; the rest up to the next such byte is copied at once. */
static bool byte_is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void json_write_escape(struct strbuf *out, unsigned char c)
{
	static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *form = short_forms; *form; form += 2) {
		if ((unsigned char)form[0] == c) {
			strbuf_putc(out, '\\');
			strbuf_putc(out, form[1]);
			return;
		}
	}
	strbuf_printf(out, "\\u%04x", c);
}

static void json_write_text(struct strbuf *out, const char *text)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);

	strbuf_putc(out, '"');
	while (at < end) {
		const unsigned char *start = at;

		while (at < end && byte_is_plain(*at))
			at++;
		strbuf_append(out, start, (size_t)(at - start));
		if (at == end)
			break;
		if (*at < 0x80) {
			json_write_escape(out, *at++);
			continue;
		}

		size_t size = text_next_char(at, (size_t)(end - at), NULL);

		if (size)
			strbuf_append(out, at, size);
		else
			strbuf_puts(out, "\xef\xbf\xbd");
		at += size ? size : 1;
	}
	strbuf_putc(out, '"');
}

/* Comma and key before a value at this place. */
static void json_before(struct json *json, const char *key)
{
	if (json->depth == 0) {
		if (key)
			strbuf_fail(json->out);
		return;
	}

	uint32_t bit = UINT32_C(1) << (json->depth - 1);
	bool in_array = json->array_bits & bit;

	if (in_array == (key != NULL)) {
		strbuf_fail(json->out);
		return;
	}
	if (json->comma_bits & bit)
		strbuf_putc(json->out, ',');
	json->comma_bits |= bit;
	if (key) {
		json_write_text(json->out, key);
		strbuf_putc(json->out, ':');
	}
}

static void json_begin(struct json *json, const char *key, bool is_array)
{
	json_before(json, key);
	if (json->depth == DEPTH_MAX) {
		strbuf_fail(json->out);
		return;
	}

	uint32_t bit = UINT32_C(1) << json->depth++;

	json->comma_bits &= ~bit;
	json->array_bits = is_array ? json->array_bits | bit : json->array_bits & ~bit;
	strbuf_putc(json->out, is_array ? '[' : '{');
}

void json_object(struct json *json)
{
	json_begin(json, NULL, false);
}

void json_object_key(struct json *json, const char *key)
{
	json_begin(json, key, false);
}

void json_array(struct json *json)
{
	json_begin(json, NULL, true);
}

void json_array_key(struct json *json, const char *key)
{
	json_begin(json, key, true);
}

void json_end(struct json *json)
{
	if (json->depth == 0) {
		strbuf_fail(json->out);
		return;
	}
	json->depth--;
	strbuf_putc(json->out, json->array_bits & (UINT32_C(1) << json->depth) ? ']' : '}');
}

void json_string(struct json *json, const char *key, const char *value)
{
	json_before(json, key);
	if (value)
		json_write_text(json->out, value);
	else
		strbuf_puts(json->out, "null");
}

void json_int(struct json *json, const char *key, int64_t value)
{
	json_before(json, key);
	strbuf_printf(json->out, "%lld", (long long)value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	json_raw(json, key, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
	json_raw(json, key, "null");
}

void json_raw(struct json *json, const char *key, const char *value)
{
	json_before(json, key);
	strbuf_puts(json->out, value);
}

void json_time(struct json *json, const char *key, int64_t time_s)
{
	char text[CLOCK_TEXT_SIZE];

	if (time_s)
		clock_format(time_s, text);
	json_string(json, key, time_s ? text : NULL);
}
