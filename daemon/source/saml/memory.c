/*
 * Pieces of a region (see memory.h). Enters: sizes. Leaves: memory aligned as malloc's. Fails as malloc.
 *
 * The region has a fixed size and is never given back, so that whatever a message asks for, the process grows by what
 * the C library allocates alone, and what leaks is at most the region and then counted there. A piece
 * has its size and a mark before it; one that is given back twice, or overwritten from before, ends the process.
 */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlmemory.h>

#define REGION_BYTES ((size_t)1024 * 1024)
#define STEP ((size_t)16)
#define PIECE_MAX ((size_t)2048)
#define CLASSES (PIECE_MAX / STEP + 1)
#define TAKEN 0x7a1ce5edu
#define GIVEN 0x0ff5e7edu

struct piece {
	uint32_t class; /* room in steps */
	uint32_t mark;
	_Alignas(16) struct piece *next; /* while it is given back; else what is kept in it */
};

#define HEAD offsetof(struct piece, next)

static unsigned char *region, *unused, *end;
static struct piece *given[CLASSES];

bool memory_owns(const void *piece)
{
	return (uintptr_t)piece - (uintptr_t)region < (uintptr_t)(end - region);
}

static struct piece *piece_of(void *memory)
{
	struct piece *piece = (struct piece *)(void *)((unsigned char *)memory - HEAD);

	if (piece->mark != TAKEN || piece->class == 0 || piece->class >= CLASSES)
		abort();
	return piece;
}

void *memory_take(size_t size)
{
	size_t class = size == 0 ? 1 : (size - 1) / STEP + 1;
	struct piece *piece;

	if (class >= CLASSES)
		return malloc(size);
	piece = given[class];
	if (piece) {
		given[class] = piece->next;
	} else if ((size_t)(end - unused) >= HEAD + class * STEP) {
		piece = (struct piece *)(void *)unused;
		unused += HEAD + class * STEP;
		piece->class = (uint32_t) class;
	} else {
		return malloc(size);
	}
	piece->mark = TAKEN;
	return &piece->next;
}

void memory_give(void *memory)
{
	struct piece *piece;

	if (!memory_owns(memory)) {
		free(memory);
		return;
	}
	piece = piece_of(memory);
	piece->mark = GIVEN;
	piece->next = given[piece->class];
	given[piece->class] = piece;
}

void *memory_resize(void *memory, size_t size)
{
	size_t room;
	void *larger;

	if (!memory_owns(memory))
		return memory ? realloc(memory, size) : memory_take(size);
	room = piece_of(memory)->class * STEP;
	if (size <= room)
		return memory;
	larger = memory_take(size);
	if (!larger)
		return NULL;
	memcpy(larger, memory, room);
	memory_give(memory);
	return larger;
}

static char *copy_text(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory_take(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

int memory_prepare(struct err *err)
{
#ifdef RB_SANITIZE
	/* Each piece is to be watched. */
	(void)copy_text;
	(void)err;
	return 0;
#else
	if (!region) {
		region = aligned_alloc(STEP, REGION_BYTES);
		if (!region)
			return err_set(err, ERR_MEMORY, "out of memory for the worker's region");
		unused = region;
		end = region + REGION_BYTES;
	}
	if (xmlMemSetup(memory_give, memory_take, memory_resize, copy_text) != 0)
		return err_set(err, ERR_INTERNAL, "libxml2 takes no allocator");
	return 0;
#endif
}
