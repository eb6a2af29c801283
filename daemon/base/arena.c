/*
 * Arena. Enters: sizes. Leaves: zeroed memory that lives until reset or
 * destroy. Fails (NULL) past the cap or out of memory, and remembers it.
 *
 * Blocks are chained, the newest first; a reset keeps one, the current one if it is small: who takes
 * about as much each time then allocates nothing any more.
 * Blocks double from 4 KiB to 1 MiB; what is larger than a quarter of the next
 * block gets a block of its own, behind the current one, so that the current
 * one's rest is not lost. Text is packed without alignment: directory data is
 * mostly text.
 */
#include <rolebridge/base/arena.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>

#define FIRST_BLOCK 4096
#define LARGEST_BLOCK (1024 * 1024)
#define KEPT_BLOCK (64 * 1024)

struct block {
	struct block *next;
	size_t size; /* of data */
	size_t used;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct block *current; /* the chain's head: small pieces come from here */
	struct block *first;   /* kept by a reset unless the current one is */
	size_t max;
	size_t used;
	bool failed;
};

static struct block *block_create(size_t size)
{
	if (size > SIZE_MAX - sizeof(struct block))
		return NULL;

	struct block *block = alloc_zeroed(1, sizeof(struct block) + size);

	if (block)
		block->size = size;
	return block;
}

struct arena *arena_create(size_t max_bytes)
{
	struct arena *arena = alloc_zeroed(1, sizeof(*arena));

	if (!arena)
		return NULL;
	arena->first = arena->current =
		block_create(max_bytes < FIRST_BLOCK ? max_bytes : FIRST_BLOCK);
	if (!arena->first) {
		free(arena);
		return NULL;
	}
	arena->max = max_bytes;
	return arena;
}

static void arena_drop_blocks(struct arena *arena, const struct block *keep)
{
	struct block *next;

	for (struct block *block = arena->current; block; block = next) {
		next = block->next;
		if (block != keep)
			free(block);
	}
}

void arena_destroy(struct arena *arena)
{
	if (!arena)
		return;
	arena_drop_blocks(arena, NULL);
	free(arena);
}

void arena_reset(struct arena *arena)
{
	struct block *current = arena->current;
	bool keep_current = current->size <= KEPT_BLOCK && current->size <= arena->max;

	arena_drop_blocks(arena, keep_current ? current : arena->first);
	if (keep_current)
		arena->first = current;
	memset(arena->first->data, 0, arena->first->used);
	arena->first->used = 0;
	arena->first->next = NULL;
	arena->current = arena->first;
	arena->used = 0;
	arena->failed = false;
}

static void *arena_fail(struct arena *arena)
{
	arena->failed = true;
	return NULL;
}

/* A new block with size bytes taken from its start. */
static void *arena_from_new_block(struct arena *arena, size_t size)
{
	struct block *current = arena->current;
	size_t block_size = current->size >= LARGEST_BLOCK / 2 ? LARGEST_BLOCK : current->size * 2;

	if (block_size < FIRST_BLOCK)
		block_size = FIRST_BLOCK;

	bool own = size > block_size / 4;
	struct block *block = block_create(own ? size : block_size);

	if (!block)
		return arena_fail(arena);
	block->used = size;
	if (own) {
		block->next = current->next;
		current->next = block;
	} else {
		block->next = current;
		arena->current = block;
	}
	arena->used += size;
	return block->data;
}

static inline void *arena_take(struct arena *arena, size_t size, size_t alignment)
{
	struct block *block = arena->current;
	size_t padding = (alignment - block->used % alignment) % alignment;

	if (size > arena->max - arena->used)
		return arena_fail(arena);
	if (padding > block->size - block->used || size > block->size - block->used - padding)
		return arena_from_new_block(arena, size);
	/* Padding is of the block, not of the cap: a cap of n holds n bytes. */
	void *memory = block->data + block->used + padding;

	block->used += padding + size;
	arena->used += size;
	return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return arena_take(arena, size, _Alignof(max_align_t));
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return arena_fail(arena);
	return arena_alloc(arena, total);
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_strndup(struct arena *arena, const char *text, size_t size)
{
	if (size == SIZE_MAX)
		return arena_fail(arena);

	/* The byte behind is zero already. */
	char *copy = arena_take(arena, size + 1, 1);

	if (copy && size)
		memcpy(copy, text, size);
	return copy;
}

void *arena_memdup(struct arena *arena, const void *data, size_t size)
{
	void *copy = arena_alloc(arena, size);

	if (copy && size)
		memcpy(copy, data, size);
	return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);

	int length = vsnprintf(NULL, 0, format, again);
	char *text = length < 0 ? arena_fail(arena) : arena_take(arena, (size_t)length + 1, 1);

	if (text)
		vsnprintf(text, (size_t)length + 1, format, args);
	va_end(again);
	va_end(args);
	return text;
}

bool arena_failed(const struct arena *arena)
{
	return arena->failed;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
