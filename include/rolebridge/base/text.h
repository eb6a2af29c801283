/*
 * Text as directories mean it. All functions take and give valid UTF-8
 * without NUL unless they say otherwise.
 */
#ifndef ROLEBRIDGE_BASE_TEXT_H
#define ROLEBRIDGE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/strbuf.h>

/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms) and no NUL byte. */
bool text_is_utf8(const void *data, size_t size);

/*
 * Bytes of the valid UTF-8 character at the start of data (1 to 4), or 0 when
 * there is none; *ret_char (may be NULL) is its code point. NUL counts as one byte.
 */
size_t text_next_char(const void *data, size_t size, uint32_t *ret_char);

/*
 * The value as caseIgnoreMatch compares it (RFC 4518): Unicode case folding
 * and NFKC through libunistring, control characters mapped to nothing, white
 * space of any kind to single spaces, none at the ends. ASCII takes a fast path.
 * Appends to out; invalid UTF-8 or no memory makes out fail.
 */
void text_fold(struct strbuf *out, const char *text, size_t size);
/* The same without case folding: caseExactMatch. */
void text_prepare(struct strbuf *out, const char *text, size_t size);

/* Compare as caseIgnoreMatch does; no allocation when both are plain ASCII. Out of memory: unequal. */
bool text_equal_caseless(const char *a, const char *b);

/* The value of a hexadecimal digit of either case, -1 for any other byte. */
int text_hex_digit(unsigned char c);

/* ASCII only, for protocol words and option names. */
bool text_ascii_equal_caseless(const char *a, const char *b);

/*
 * The candidate nearest to word by edit distance (at most a third of its
 * length, at least 1), for "Did you mean"; NULL when none is near.
 */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* Items with the separator between them, for messages. */
void text_join(struct strbuf *out, const char *const *items, size_t count, const char *separator);

#endif
