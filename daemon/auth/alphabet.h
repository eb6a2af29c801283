/*
 * The characters of base64url (RFC 4648, 5). libsodium's decoder takes bytes over 0x7f for some of them,
 * so that one value would have several spellings: texts from outside are looked at before.
 */
#ifndef ROLEBRIDGE_AUTH_ALPHABET_H
#define ROLEBRIDGE_AUTH_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>

static inline bool alphabet_only(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return true;
}

#endif
