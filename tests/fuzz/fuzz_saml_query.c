/*
 * The redirect query and the encodings of the bindings. What base64 decodes to encodes to the same text, the signed text
 * has every value that counts, and inflating stays within its bound.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#include "../../daemon/source/saml/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES 4096

static bool is_break(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void check_base64(const uint8_t *data, size_t size, struct arena *arena)
{
	struct saml_refusal refusal;
	struct bytes_view bytes;
	char *plain = arena_alloc(arena, size + 1), *again;
	size_t plain_size = 0;

	if (base64_decode((const char *)data, size, MAX_BYTES, arena, &bytes, &refusal) != 0)
		return;
	if (bytes.size == 0 || bytes.size > MAX_BYTES)
		abort();
	for (size_t i = 0; i < size; i++)
		if (!is_break(data[i]))
			plain[plain_size++] = (char)data[i];
	again = arena_alloc(arena, sodium_base64_encoded_len(bytes.size, 1));
	sodium_bin2base64(again, sodium_base64_encoded_len(bytes.size, 1),
			  (const unsigned char *)bytes.data, bytes.size,
			  sodium_base64_VARIANT_ORIGINAL);
	if (strlen(again) != plain_size || memcmp(again, plain, plain_size) != 0)
		abort();
}

static void check_query(const uint8_t *data, size_t size, struct arena *arena)
{
	struct redirect_query query;
	struct saml_refusal refusal;
	const char *text;

	if (redirect_query_parse((const char *)data, size, arena, &query, &refusal) != 0)
		return;
	/* Nothing but the signature, its name and one '&' is missing. */
	if (query.signed_text.size + query.signature.size + strlen("&Signature=") != size)
		abort();
	if (percent_decode(query.message, arena, &text, &refusal) == 0)
		check_base64((const uint8_t *)text, strlen(text), arena);
	if (percent_decode(query.relay_state, arena, &text, &refusal) == 0 &&
	    !text_is_utf8(text, strlen(text)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(64u * 1024 * 1024);
	struct saml_refusal refusal;
	struct bytes_view bytes;

	if (!arena)
		return 0;
	check_query(data, size, arena);
	check_base64(data, size, arena);
	if (inflate_bounded((struct bytes_view){ (const char *)data, size }, MAX_BYTES, arena,
			    &bytes, &refusal) == 0 &&
	    (bytes.size == 0 || bytes.size > MAX_BYTES))
		abort();
	return 0;
}
