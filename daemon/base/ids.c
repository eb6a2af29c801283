/* UUIDs. Enters: milliseconds since the epoch, or text. Leaves: 16 bytes. Cannot fail but by bad text. */
#include <rolebridge/base/ids.h>

#include <string.h>

#include <sodium.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>

/* RFC 9562 5.7: 48 bits of milliseconds, version 7, 12 random bits, variant 10, 62 random bits. */
struct uuid uuid_create(int64_t now_ms)
{
	struct uuid uuid;
	uint64_t time = (uint64_t)now_ms;

	hash_prepare();
	for (size_t i = 0; i < 6; i++)
		uuid.byte[i] = (unsigned char)(time >> (40 - 8 * i));
	randombytes_buf(uuid.byte + 6, sizeof(uuid.byte) - 6);
	uuid.byte[6] = (unsigned char)(0x70 | (uuid.byte[6] & 0x0f));
	uuid.byte[8] = (unsigned char)(0x80 | (uuid.byte[8] & 0x3f));
	return uuid;
}

static size_t uuid_is_dash(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

void uuid_format(const struct uuid *uuid, char ret_text[static UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(uuid->byte); i++) {
		if (uuid_is_dash(at))
			ret_text[at++] = '-';
		ret_text[at++] = digits[uuid->byte[i] >> 4];
		ret_text[at++] = digits[uuid->byte[i] & 15];
	}
	ret_text[at] = 0;
}

bool uuid_parse(const char *text, struct uuid *ret_uuid)
{
	struct uuid uuid;
	size_t at = 0;

	if (strnlen(text, UUID_TEXT_SIZE) != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < sizeof(uuid.byte); i++) {
		if (uuid_is_dash(at) && text[at++] != '-')
			return false;

		int high = text_hex_digit((unsigned char)text[at++]),
		    low = text_hex_digit((unsigned char)text[at++]);

		if (high < 0 || low < 0)
			return false;
		uuid.byte[i] = (unsigned char)(high << 4 | low);
	}
	*ret_uuid = uuid;
	return true;
}
