/*
 * Encodings of the bindings (see encoding.h). Strictness is the point: two readers of the same
 * message must not be able to see two messages.
 */
#include "encoding.h"

#include <string.h>

#include <zlib.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "refusal.h"

/* --- base64 --- */

/*
 * Not base's decoder: that one is libsodium's, which takes the same time whatever a secret holds, sixteen times as long as
 * this one. What is decoded here is no secret, comes from anybody, up to 256 KiB of it, and twice for each sign-in.
 */

#define NOT_BASE64 ((uint32_t)1 << 31)

/* What a character is worth as the first to fourth of its quantum. */
static uint32_t base64_values[4][256];

__attribute__((constructor)) static void fill_base64_values(void)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (unsigned place = 0; place < 4; place++) {
		for (unsigned c = 0; c < 256; c++)
			base64_values[place][c] = NOT_BASE64;
		for (uint32_t i = 0; i < 64; i++)
			base64_values[place][(unsigned char)alphabet[i]] = i << (18 - 6 * place);
	}
}

static bool is_break(char c)
{
	return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

struct base64 {
	unsigned char *out;
	size_t size;
	uint32_t bits; /* of the quantum that is not complete */
	unsigned count, padding;
};

static void take_whole(struct base64 *b, uint32_t quantum)
{
	b->out[b->size] = (unsigned char)(quantum >> 16);
	b->out[b->size + 1] = (unsigned char)(quantum >> 8);
	b->out[b->size + 2] = (unsigned char)quantum;
	b->size += 3;
}

/* As many whole quanta as lie together. Returns the place of the first byte not taken. */
static size_t take_run(struct base64 *b, const unsigned char *text, size_t at, size_t size)
{
	/* Of its own, since bytes that are written could be anything of what b points to. */
	unsigned char *out = b->out + b->size;

	for (; at + 4 <= size; at += 4, out += 3) {
		uint32_t quantum = base64_values[0][text[at]] | base64_values[1][text[at + 1]] |
				   base64_values[2][text[at + 2]] | base64_values[3][text[at + 3]];

		if (quantum & NOT_BASE64)
			break;
		out[0] = (unsigned char)(quantum >> 16);
		out[1] = (unsigned char)(quantum >> 8);
		out[2] = (unsigned char)quantum;
	}
	b->size = (size_t)(out - b->out);
	return at;
}

/* One character that is no break. False: malformed. */
static bool take_one(struct base64 *b, unsigned char c)
{
	uint32_t value = base64_values[3][c];

	if (c == '=') {
		b->padding++;
		return b->count >= 2 && b->count + b->padding <= 4;
	}
	if (value == NOT_BASE64 || b->padding > 0)
		return false;
	b->bits = b->bits << 6 | value;
	if (++b->count == 4) {
		take_whole(b, b->bits);
		b->bits = 0;
		b->count = 0;
	}
	return true;
}

/* The last quantum: complete, and without bits that say nothing. */
static bool take_end(struct base64 *b)
{
	if (b->count == 0)
		return b->padding == 0;
	if (b->count + b->padding != 4)
		return false;
	if (b->bits & (b->count == 2 ? 0xfu : 0x3u))
		return false;
	b->bits <<= 6 * b->padding;
	b->out[b->size++] = (unsigned char)(b->bits >> 16);
	if (b->count == 3)
		b->out[b->size++] = (unsigned char)(b->bits >> 8);
	return true;
}

int base64_decode(const char *text, size_t size, size_t max, struct arena *arena,
		  struct bytes_view *ret_bytes, struct saml_refusal *ret_refusal)
{
	struct base64 b = { 0 };

	/* Wrapped at the usual 64 or 76 columns with CR LF is 4 % more; leave room for indentation. */
	if (size > max * 2 + 64)
		return refuse(ret_refusal, "message-too-large", "%zu bytes of base64", size);
	b.out = arena_alloc(arena, size / 4 * 3 + 4);
	if (!b.out)
		return -1;
	for (size_t at = 0; at < size;) {
		if (b.count == 0 && b.padding == 0)
			at = take_run(&b, (const unsigned char *)text, at, size);
		if (at == size)
			break;
		if (!is_break(text[at]) && !take_one(&b, (unsigned char)text[at]))
			return refuse(ret_refusal, "base64-malformed",
				      "byte %zu is not where base64 may have it", at);
		at++;
	}
	if (!take_end(&b))
		return refuse(ret_refusal, "base64-malformed", "the end is cut or not canonical");
	if (b.size > max)
		return refuse(ret_refusal, "message-too-large", "%zu bytes, at most %zu", b.size,
			      max);
	if (b.size == 0)
		return refuse(ret_refusal, "message-empty", "there is no message");
	b.out[b.size] = '\0';
	*ret_bytes = (struct bytes_view){ (const char *)b.out, b.size };
	return 0;
}

bool base64_decode_plain(const char *text, size_t size, unsigned char *out, size_t *ret_size)
{
	struct base64 b = { .out = out };
	size_t at = take_run(&b, (const unsigned char *)text, 0, size);

	for (; at < size; at++)
		if (!take_one(&b, (unsigned char)text[at]))
			return false;
	if (size % 4 != 0 || !take_end(&b))
		return false;
	*ret_size = b.size;
	return true;
}

/* --- percent-encoding --- */

int percent_decode(struct bytes_view text, struct arena *arena, const char **ret_text,
		   struct saml_refusal *ret_refusal)
{
	char *out = arena_alloc(arena, text.size + 1);
	size_t size = 0;

	if (!out)
		return -1;
	for (size_t i = 0; i < text.size; i++) {
		int high, low;

		if (text.data[i] != '%') {
			out[size++] = text.data[i] == '+' ? ' ' : text.data[i];
			continue;
		}
		if (text.size - i < 3)
			return refuse(ret_refusal, "query-malformed", "an escape is cut");
		high = text_hex_digit((unsigned char)text.data[i + 1]);
		low = text_hex_digit((unsigned char)text.data[i + 2]);
		if (high < 0 || low < 0)
			return refuse(ret_refusal, "query-malformed",
				      "an escape is not two digits");
		out[size++] = (char)(high << 4 | low);
		i += 2;
	}
	if (!text_is_utf8(out, size))
		return refuse(ret_refusal, "query-malformed", "a value is not UTF-8 or has a NUL");
	out[size] = '\0';
	*ret_text = out;
	return 0;
}

/* --- deflate --- */

/* zlib's own memory comes from malloc and ends here, on every road. */
static int inflate_into(struct bytes_view compressed, unsigned char *out, size_t max,
			size_t *ret_size)
{
	z_stream stream = { .next_in = (z_const Bytef *)(uintptr_t)compressed.data,
			    .avail_in = (uInt)compressed.size,
			    .next_out = out,
			    .avail_out = (uInt)max };
	int result;

	if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
		return Z_MEM_ERROR;
	result = inflate(&stream, Z_FINISH);
	*ret_size = max - stream.avail_out;
	if (result == Z_STREAM_END && stream.avail_in != 0)
		result = Z_DATA_ERROR;
	else if (result != Z_STREAM_END && result != Z_MEM_ERROR && stream.avail_out == 0)
		result = Z_BUF_ERROR;
	else if (result == Z_BUF_ERROR || result == Z_OK)
		result = Z_DATA_ERROR;
	inflateEnd(&stream);
	return result;
}

int inflate_bounded(struct bytes_view compressed, size_t max, struct arena *arena,
		    struct bytes_view *ret_bytes, struct saml_refusal *ret_refusal)
{
	unsigned char *out;
	size_t size = 0;

	if (compressed.size > max)
		return refuse(ret_refusal, "message-too-large", "%zu bytes compressed",
			      compressed.size);
	out = arena_alloc(arena, max + 2);
	if (!out)
		return -1;
	/* One byte more than may be, so that "exactly max" and "more" differ. */
	switch (inflate_into(compressed, out, max + 1, &size)) {
	case Z_STREAM_END: break;
	case Z_MEM_ERROR: return -1;
	case Z_BUF_ERROR:
		return refuse(ret_refusal, "message-too-large", "inflates to more than %zu bytes",
			      max);
	default: return refuse(ret_refusal, "deflate-malformed", "not one whole deflate stream");
	}
	if (size > max)
		return refuse(ret_refusal, "message-too-large", "inflates to more than %zu bytes",
			      max);
	if (size == 0)
		return refuse(ret_refusal, "message-empty", "there is no message");
	out[size] = '\0';
	*ret_bytes = (struct bytes_view){ (const char *)out, size };
	return 0;
}

/* --- the query of a redirect --- */

enum parameter { REQUEST, RESPONSE, RELAY_STATE, SIG_ALG, SIGNATURE, PARAMETERS };

static const char *const parameter_names[PARAMETERS] = { "SAMLRequest", "SAMLResponse",
							 "RelayState", "SigAlg", "Signature" };

/* Unreserved, escapes and the sub-delimiters that browsers leave alone; no bytes that change in transit. */
static bool is_query_text(struct bytes_view text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c <= 0x20 || c >= 0x7f || c == '"' || c == '#' || c == '<' || c == '>')
			return false;
	}
	return true;
}

static int take_parameter(struct bytes_view piece, struct bytes_view *values, bool *present,
			  struct saml_refusal *ret_refusal)
{
	const char *equals = memchr(piece.data, '=', piece.size);
	size_t name_size = equals ? (size_t)(equals - piece.data) : piece.size;

	for (size_t i = 0; i < PARAMETERS; i++) {
		if (strlen(parameter_names[i]) != name_size ||
		    memcmp(piece.data, parameter_names[i], name_size) != 0)
			continue;
		if (!equals)
			return refuse(ret_refusal, "query-malformed", "'%s' has no value",
				      parameter_names[i]);
		if (present[i])
			return refuse(ret_refusal, "query-duplicate", "'%s' stands there twice",
				      parameter_names[i]);
		present[i] = true;
		values[i] = (struct bytes_view){ equals + 1, piece.size - name_size - 1 };
		return 0;
	}
	return refuse(ret_refusal, "query-unknown-parameter", "parameter '%.*s'",
		      name_size > 64 ? 64 : (int)name_size, piece.data);
}

static int split_query(struct bytes_view query, struct bytes_view *values, bool *present,
		       struct saml_refusal *ret_refusal)
{
	const char *at = query.data, *end = query.data + query.size;

	for (;;) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		struct bytes_view piece = { at, (size_t)((stop ? stop : end) - at) };
		int result = take_parameter(piece, values, present, ret_refusal);

		if (result != 0 || !stop)
			return result;
		at = stop + 1;
	}
}

/* SAML 2.0 Bindings, 3.4.4.1: in this order, as received. */
static bool join_signed(struct arena *arena, const struct redirect_query *query,
			struct bytes_view *ret_text)
{
	char *text = arena_printf(
		arena, "%s=%.*s%s%.*s&SigAlg=%.*s",
		query->is_request ? "SAMLRequest" : "SAMLResponse", (int)query->message.size,
		query->message.data, query->has_relay_state ? "&RelayState=" : "",
		(int)query->relay_state.size, query->has_relay_state ? query->relay_state.data : "",
		(int)query->sig_alg.size, query->sig_alg.data);

	if (!text)
		return false;
	*ret_text = (struct bytes_view){ text, strlen(text) };
	return true;
}

#define QUERY_MAX ((size_t)512 * 1024)

int redirect_query_parse(const char *query, size_t size, struct arena *arena,
			 struct redirect_query *ret_query, struct saml_refusal *ret_refusal)
{
	struct bytes_view values[PARAMETERS] = { 0 };
	bool present[PARAMETERS] = { false };
	struct redirect_query parsed;
	int result;

	if (size > QUERY_MAX)
		return refuse(ret_refusal, "message-too-large", "a query of %zu bytes", size);
	if (!is_query_text((struct bytes_view){ query, size }))
		return refuse(ret_refusal, "query-malformed", "a byte that no query has");
	result = split_query((struct bytes_view){ query, size }, values, present, ret_refusal);
	if (result != 0)
		return result;
	if (present[REQUEST] == present[RESPONSE])
		return refuse(ret_refusal, "query-malformed", "%s",
			      present[REQUEST] ? "a request and a response" : "no SAML message");
	if (!present[SIG_ALG] || !present[SIGNATURE])
		return refuse(ret_refusal, "signature-missing", "no %s",
			      present[SIG_ALG] ? "Signature" : "SigAlg");
	parsed = (struct redirect_query){
		.is_request = present[REQUEST],
		.message = values[present[REQUEST] ? REQUEST : RESPONSE],
		.relay_state = values[RELAY_STATE],
		.sig_alg = values[SIG_ALG],
		.signature = values[SIGNATURE],
		.has_relay_state = present[RELAY_STATE],
	};
	if (!join_signed(arena, &parsed, &parsed.signed_text))
		return -1;
	*ret_query = parsed;
	return 0;
}
