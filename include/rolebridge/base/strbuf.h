/*
 * A growing byte buffer, born with its cap. Failure (cap reached, out of
 * memory) sticks and empties nothing: append as often as you like and ask
 * strbuf_failed once at the end. The data is always NUL-terminated.
 *
 *	AUTO(strbuf) struct strbuf text = STRBUF(64 * 1024);
 */
#ifndef ROLEBRIDGE_BASE_STRBUF_H
#define ROLEBRIDGE_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct strbuf {
	char *data;
	size_t size; /* without the NUL */
	size_t capacity;
	size_t max;
	bool failed;
};

#define STRBUF(max_bytes) ((struct strbuf){ .max = (max_bytes) })

/*
 * Invariant: capacity is 0, or size < capacity <= max + 1, so that one comparison
 * decides the fast path and the NUL always fits.
 */

/* Slow path of strbuf_reserve: grows, or fails for good. */
void *strbuf_grow(struct strbuf *buf, size_t size);

/* Room for size more bytes at the end, to be filled by the caller; NULL on failure. */
static inline void *strbuf_reserve(struct strbuf *buf, size_t size)
{
	if (!buf->failed && size < buf->capacity - buf->size)
		return buf->data + buf->size;
	return strbuf_grow(buf, size);
}

/* Count size bytes, written after strbuf_reserve, as present. */
static inline void strbuf_advance(struct strbuf *buf, size_t size)
{
	buf->size += size;
	buf->data[buf->size] = 0;
}

static inline void strbuf_append(struct strbuf *buf, const void *data, size_t size)
{
	if (size == 0)
		return;

	void *room = strbuf_reserve(buf, size);

	if (room) {
		memcpy(room, data, size);
		strbuf_advance(buf, size);
	}
}

static inline void strbuf_puts(struct strbuf *buf, const char *text)
{
	strbuf_append(buf, text, strlen(text));
}

static inline void strbuf_putc(struct strbuf *buf, char c)
{
	strbuf_append(buf, &c, 1);
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *buf, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Fail it from outside, as when an input of the text was no good. */
static inline void strbuf_fail(struct strbuf *buf)
{
	buf->failed = true;
}

static inline bool strbuf_failed(const struct strbuf *buf)
{
	return buf->failed;
}

/* Never NULL: "" when empty. */
static inline const char *strbuf_text(const struct strbuf *buf)
{
	return buf->data ? buf->data : "";
}

/* Size 0, failure forgotten, memory kept. */
void strbuf_clear(struct strbuf *buf);
/* Keep the first size bytes; nothing happens when there are fewer. */
void strbuf_truncate(struct strbuf *buf, size_t size);
/* Free; the buffer is empty and usable again. */
void strbuf_finish(struct strbuf *buf);
/* The text as a heap string owned by the caller (free); NULL when failed. Empties buf. */
char *strbuf_take(struct strbuf *buf);

static inline void strbuf_auto(struct strbuf *buf)
{
	strbuf_finish(buf);
}

#endif
