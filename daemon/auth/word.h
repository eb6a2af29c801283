/* A piece of a text with its hash: halves of permissions, types of resources. */
#ifndef ROLEBRIDGE_AUTH_WORD_H
#define ROLEBRIDGE_AUTH_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct word {
	const char *text; /* not NUL-terminated */
	size_t size;
	uint64_t hash;
};

/* FNV-1a: these words come from administrators and are compared in the end. */
static inline struct word word_make(const char *text, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return (struct word){ text, size, hash };
}

static inline bool word_same(struct word a, struct word b)
{
	return a.hash == b.hash && a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

#endif
