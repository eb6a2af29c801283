/*
 * Capped growing buffer. Enters: bytes. Leaves: NUL-terminated text. Fails at
 * the cap or out of memory, and stays failed with what it held before.
 */
#include <rolebridge/base/strbuf.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>

#define FIRST_CAPACITY 64

void *strbuf_grow(struct strbuf *buf, size_t size)
{
	size_t limit = buf->max < SIZE_MAX ? buf->max + 1 : SIZE_MAX;

	if (buf->failed || size >= limit || buf->size >= limit - size) {
		buf->failed = true;
		return NULL;
	}

	size_t needed = buf->size + size + 1;
	size_t capacity = buf->capacity > limit / 2 ? limit : buf->capacity * 2;

	if (capacity < FIRST_CAPACITY)
		capacity = limit < FIRST_CAPACITY ? limit : FIRST_CAPACITY;
	if (capacity < needed)
		capacity = needed;

	char *data = alloc_resize(buf->data, capacity);

	if (!data) {
		buf->failed = true;
		return NULL;
	}
	buf->data = data;
	buf->capacity = capacity;
	buf->data[buf->size] = 0;
	return buf->data + buf->size;
}

void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);

	/* The size is measured first: writing and then growing costs the same and is less plain. */
	int length = vsnprintf(NULL, 0, format, again);

	va_end(again);
	if (length < 0) {
		buf->failed = true;
		return;
	}

	char *room = strbuf_reserve(buf, (size_t)length);

	if (room) {
		vsnprintf(room, (size_t)length + 1, format, args);
		strbuf_advance(buf, (size_t)length);
	}
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strbuf_vprintf(buf, format, args);
	va_end(args);
}

void strbuf_clear(struct strbuf *buf)
{
	buf->failed = false;
	strbuf_truncate(buf, 0);
}

void strbuf_truncate(struct strbuf *buf, size_t size)
{
	if (size >= buf->size)
		return;
	buf->size = size;
	buf->data[size] = 0;
}

void strbuf_finish(struct strbuf *buf)
{
	free(buf->data);
	*buf = STRBUF(buf->max);
}

char *strbuf_take(struct strbuf *buf)
{
	/* An empty text is a text too. */
	if (!strbuf_reserve(buf, 0)) {
		strbuf_finish(buf);
		return NULL;
	}

	char *text = buf->data;

	*buf = STRBUF(buf->max);
	return text;
}
