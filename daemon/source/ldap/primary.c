/* Names for primary groups (see primary.h). Enters: bytes of a directory. Pure; nothing is kept. */
#include "primary.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/util.h>

/* SID: u8 revision, u8 count, 48 bits of authority, then `count` times 32 bits little-endian. */
#define SID_REVISION 1
#define SID_HEAD 8
#define SID_PART 4
#define SID_PARTS_MAX 15
#define SID_MAX (SID_HEAD + SID_PARTS_MAX * SID_PART)

/* No DN in normal form begins with a NUL byte, nor does a login name's name begin so. */
static const char prefix[] = "\0sid";

bool primary_is_asked(const char *key_attribute)
{
	static const char *const of_others[] = { "entryUUID", "nsUniqueId" };

	for (size_t i = 0; i < ARRAY_LEN(of_others); i++) {
		if (strcasecmp(key_attribute, of_others[i]) == 0)
			return false;
	}
	return true;
}

/* The last part is the number within the domain: without it there is no domain. */
static bool sid_is_valid(const struct berval *sid)
{
	const unsigned char *bytes = (const unsigned char *)sid->bv_val;

	return sid->bv_len > SID_HEAD && bytes[0] == SID_REVISION && bytes[1] >= 1 &&
	       bytes[1] <= SID_PARTS_MAX && sid->bv_len == SID_HEAD + (size_t)bytes[1] * SID_PART;
}

static struct hash128 name_of(const void *sid, size_t size)
{
	char text[sizeof(prefix) + SID_MAX];

	memcpy(text, prefix, sizeof(prefix));
	memcpy(text + sizeof(prefix), sid, size);
	return fingerprint128(text, sizeof(prefix) + size);
}

bool primary_group_name(const struct berval *sid, struct hash128 *ret_name)
{
	if (!sid_is_valid(sid))
		return false;
	*ret_name = name_of(sid->bv_val, sid->bv_len);
	return true;
}

/* Digits, 32 bits; as a directory writes an integer. */
static bool parse_number(const struct berval *text, uint32_t *ret_number)
{
	uint64_t number = 0;

	if (text->bv_len == 0 || text->bv_len > 10)
		return false;
	for (size_t i = 0; i < text->bv_len; i++) {
		if (text->bv_val[i] < '0' || text->bv_val[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(text->bv_val[i] - '0');
	}
	*ret_number = (uint32_t)number;
	return number <= UINT32_MAX;
}

bool primary_person_name(const struct berval *sid, const struct berval *number,
			 struct hash128 *ret_name)
{
	unsigned char group[SID_MAX];
	uint32_t last;

	if (!sid_is_valid(sid) || !parse_number(number, &last))
		return false;
	memcpy(group, sid->bv_val, sid->bv_len);
	for (size_t i = 0; i < SID_PART; i++)
		group[sid->bv_len - SID_PART + i] = (unsigned char)(last >> (8 * i));
	*ret_name = name_of(group, sid->bv_len);
	return true;
}
