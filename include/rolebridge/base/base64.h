/*
 * base64 (RFC 4648), strictly. libsodium's decoder takes bytes above 0x7f for some of the letters: one value would have several
 * spellings, and what is damaged would be taken for something else.
 */
#ifndef ROLEBRIDGE_BASE_BASE64_H
#define ROLEBRIDGE_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

enum base64_kind {
	BASE64_PADDED, /* RFC 4648, 4 */
	BASE64_URL,    /* RFC 4648, 5, without padding */
};

/* Are all of them letters of its alphabet? Padding is none. */
bool base64_letters(enum base64_kind kind, const char *text, size_t size);

/*
 * All of the text, to the last bit; what stands in ignore (NULL: nothing) is passed over. -1: it is none, or more than max
 * bytes; of what is in ret_bytes then nothing counts.
 */
int base64_to_bytes(enum base64_kind kind, const char *text, size_t size, const char *ignore,
		    void *ret_bytes, size_t max, size_t *ret_size);

#endif
