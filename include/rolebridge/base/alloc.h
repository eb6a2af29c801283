/*
 * The allocator of base (strbuf, arena, hash table, streams): malloc, with one
 * test hook. Memory is given back by free().
 */
#ifndef ROLEBRIDGE_BASE_ALLOC_H
#define ROLEBRIDGE_BASE_ALLOC_H

#include <stddef.h>

/* Zeroed; NULL when out of memory. count * size is checked. */
void *alloc_zeroed(size_t count, size_t size);
/* realloc; on NULL the old memory stays. */
void *alloc_resize(void *memory, size_t size);

/*
 * Tests only: after n more successful calls (of any thread) one fails, the
 * later ones succeed. Negative: never, the default. Returns what was left of
 * the count before: 0 or more when no failure happened yet.
 */
long alloc_fail_after(long n);

#endif
