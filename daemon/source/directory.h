/*
 * What directories put into descriptions and values, whether they come over LDAP or in a file.
 * Pure: bytes go in, any length, any content.
 */
#ifndef SOURCE_DIRECTORY_H
#define SOURCE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/ids.h>

/* Attributes whose value never changes for an entry; rules may name a group by it. */
struct directory_id {
	const char *name;
	bool guid; /* 16 bytes: directory_guid_text */
};
extern const struct directory_id directory_ids[];
extern const size_t directory_id_count;

/* "member;range=0-1499" (MS-ADTS 3.1.1.3.1.3.3): a part of the values. */
struct directory_range {
	size_t base_size;    /* of the name before ';' */
	unsigned long first; /* number of the first value, from 0 */
	unsigned long next;  /* where the next part begins; 0: not said */
	bool last;	     /* reaches the end ("*") */
};
/* false when the name has no range. One that cannot be read has neither next nor last. */
bool directory_name_range(const char *name, size_t size, struct directory_range *ret_range);
/* All values: nothing before, nothing behind. */
bool directory_range_is_whole(const struct directory_range *range);

/*
 * objectGUID to the text every tool of its vendor shows: the first three fields are stored
 * little-endian (MS-DTYP 2.3.4.2). false unless 16 bytes.
 */
bool directory_guid_text(const void *value, size_t size, char ret_text[static UUID_TEXT_SIZE]);

/* "S-1-5-21-…": revision, 48 bits and up to 15 times 32. */
#define SID_TEXT_SIZE 192
/*
 * objectSid to the text every tool of its vendor shows (MS-DTYP 2.4.2.1). false unless it is of the form
 * of 2.4.2.2.
 */
bool directory_sid_text(const void *value, size_t size, char ret_text[static SID_TEXT_SIZE]);

/* RFC 4517 3.3.21: the size of the DN in "DN#'0101'B"; the number is not part of the name. */
size_t directory_unique_name_size(const char *value, size_t size);

#endif
