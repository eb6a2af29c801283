/*
 * Arena: many small allocations that end together (a request, a snapshot).
 *
 * Born with a cap in bytes; past the cap, or out of memory, allocation returns
 * NULL and the arena remembers it (arena_failed). Memory is zeroed and aligned
 * for any type. Not thread-safe: one arena, one thread at a time.
 */
#ifndef ROLEBRIDGE_BASE_ARENA_H
#define ROLEBRIDGE_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

struct arena *arena_create(size_t max_bytes); /* NULL when out of memory */
void arena_destroy(struct arena *arena);      /* NULL is fine */
void arena_reset(struct arena *arena);	      /* forget all, keep the first block for reuse */

void *arena_alloc(struct arena *arena, size_t size);
/* count * size without overflow. */
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t size);
void *arena_memdup(struct arena *arena, const void *data, size_t size);
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

bool arena_failed(const struct arena *arena);
size_t arena_used(const struct arena *arena); /* bytes handed out */

static inline void arena_auto(struct arena **arena)
{
	arena_destroy(*arena);
}

#endif
