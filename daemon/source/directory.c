/* Descriptions and values of directories (see directory.h). Nothing fails but by answer. */
#include "directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <rolebridge/base/util.h>

const struct directory_id directory_ids[] = {
	{ "entryUUID", false },
	{ "objectGUID", true },
	{ "nsUniqueId", false },
};
const size_t directory_id_count = ARRAY_LEN(directory_ids);

/* Digits up to a size no group reaches; NULL otherwise. */
static const char *scan_number(const char *at, const char *end, unsigned long *ret_number)
{
	unsigned long number = 0;
	const char *begin = at;

	for (; at < end && *at >= '0' && *at <= '9' && at - begin < 10; at++)
		number = number * 10 + (unsigned long)(*at - '0');
	*ret_number = number;
	return at > begin ? at : NULL;
}

bool directory_name_range(const char *name, size_t size, struct directory_range *ret_range)
{
	static const char option[] = ";range=";
	const char *end = name + size;
	const char *semicolon = size ? memchr(name, ';', size) : NULL;
	const char *at;
	unsigned long last = 0;

	if (!semicolon || (size_t)(end - semicolon) < sizeof(option) ||
	    strncasecmp(semicolon, option, sizeof(option) - 1) != 0)
		return false;
	*ret_range = (struct directory_range){ .base_size = (size_t)(semicolon - name) };
	at = scan_number(semicolon + sizeof(option) - 1, end, &ret_range->first);
	if (!at || at + 1 >= end || *at != '-')
		ret_range->first = 0;
	else if (at + 2 == end && at[1] == '*')
		ret_range->last = true;
	else if (scan_number(at + 1, end, &last) == end && last >= ret_range->first)
		ret_range->next = last + 1;
	return true;
}

bool directory_range_is_whole(const struct directory_range *range)
{
	return range->last && range->first == 0;
}

bool directory_guid_text(const void *value, size_t size, char ret_text[static UUID_TEXT_SIZE])
{
	static const unsigned char order[] = {
		3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15
	};
	const unsigned char *bytes = value;
	struct uuid uuid;

	if (size != sizeof(uuid.byte))
		return false;
	for (size_t i = 0; i < sizeof(uuid.byte); i++)
		uuid.byte[i] = bytes[order[i]];
	uuid_format(&uuid, ret_text);
	return true;
}

/* u8 revision, u8 count, 48 bits of authority, big-endian, then `count` times 32, little-endian. */
bool directory_sid_text(const void *value, size_t size, char ret_text[static SID_TEXT_SIZE])
{
	const unsigned char *bytes = value;
	uint64_t authority = 0;
	int used;

	if (size < 8 || bytes[0] != 1 || bytes[1] > 15 || size != 8 + (size_t)bytes[1] * 4)
		return false;
	for (size_t i = 2; i < 8; i++)
		authority = authority << 8 | bytes[i];
	used = snprintf(ret_text, SID_TEXT_SIZE, "S-1-%" PRIu64, authority);
	for (size_t i = 8; i < size; i += 4) {
		uint32_t part = (uint32_t)bytes[i] | (uint32_t)bytes[i + 1] << 8 |
				(uint32_t)bytes[i + 2] << 16 | (uint32_t)bytes[i + 3] << 24;
		used += snprintf(ret_text + used, SID_TEXT_SIZE - (size_t)used, "-%" PRIu32, part);
	}
	return true;
}

size_t directory_unique_name_size(const char *value, size_t size)
{
	size_t at;

	if (size < 4 || value[size - 1] != 'B' || value[size - 2] != '\'')
		return size;
	for (at = size - 2; at > 0 && (value[at - 1] == '0' || value[at - 1] == '1'); at--)
		;
	return at >= 2 && value[at - 1] == '\'' && value[at - 2] == '#' ? at - 2 : size;
}
