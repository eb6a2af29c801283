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

#define EVERY_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Bytes of the word that may be less than n (or follow one that is), as high bits; n up to 0x80. */
static inline uint64_t bytes_below(uint64_t word, uint64_t n)
{
	return (word - EVERY_BYTE * n) & ~word & HIGH_BITS;
}

static inline bool word_is_plain(uint64_t word)
{
	return ((word & HIGH_BITS) | bytes_below(word, 0x20) |
		bytes_below(word ^ EVERY_BYTE * '"', 1) |
		bytes_below(word ^ EVERY_BYTE * '\\', 1)) == 0;
}

static inline uint32_t load_u32(const unsigned char *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* All of at most 8 bytes as a word; some of them twice. Keys are as short as that. */
static inline uint64_t load_short(const unsigned char *at, size_t size)
{
	if (size >= 4)
		return load_u32(at) | (uint64_t)load_u32(at + size - 4) << 32;
	if (size == 0)
		return EVERY_BYTE * 'a';
	return (EVERY_BYTE * 'a' & ~UINT64_C(0xffffff)) | at[0] | (uint64_t)at[size / 2] << 8 |
	       (uint64_t)at[size - 1] << 16;
}

/* How many bytes from the start need no escape: by words while they are certain, then by bytes. */
static inline size_t plain_run(const unsigned char *at, size_t size)
{
	size_t run = 0;

	while (size - run > sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at + run, sizeof(word));
		if (!word_is_plain(word))
			break;
		run += sizeof(word);
	}
	if (size - run <= sizeof(uint64_t) && word_is_plain(load_short(at + run, size - run)))
		return size;
	while (run < size && byte_is_plain(at[run]))
		run++;
	return run;
}

static void json_write_text(struct strbuf *out, const char *text)
{
	size_t size = strlen(text), plain = plain_run((const unsigned char *)text, size);
	const unsigned char *at = (const unsigned char *)text, *end = at + size;
	char *room = strbuf_reserve(out, plain + 2);

	if (!room)
		return;
	room[0] = '"';
	memcpy(room + 1, text, plain);
	if (plain == size) {
		room[plain + 1] = '"';
		strbuf_advance(out, plain + 2);
		return;
	}
	strbuf_advance(out, plain + 1);
	at += plain;
	while (at < end) {
		plain = plain_run(at, (size_t)(end - at));
		strbuf_append(out, at, plain);
		at += plain;
		if (at == end)
			break;
		if (*at < 0x80) {
			json_write_escape(out, *at++);
			continue;
		}

		size_t length = text_next_char(at, (size_t)(end - at), NULL);

		if (length)
			strbuf_append(out, at, length);
		else
			strbuf_puts(out, "\xef\xbf\xbd");
		at += length ? length : 1;
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
