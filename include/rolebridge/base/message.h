/*
 * Typed, length-prefixed messages between the core and a worker, over a
 * socketpair; the same encoding serves for stored blobs.
 *
 * Wire: u32 length of what follows, u16 type, payload. Little endian. Strings
 * are varint length + bytes. A reader that runs past the end, or meets a
 * length over what is left, fails and stays failed; ask reader_done at the
 * end: it is true only when nothing failed and not a byte is left.
 */
#ifndef ROLEBRIDGE_BASE_MESSAGE_H
#define ROLEBRIDGE_BASE_MESSAGE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

/* --- encoding: onto any strbuf; failure sticks there --- */
static inline void put_u8(struct strbuf *out, uint8_t value)
{
	strbuf_append(out, &value, 1);
}

static inline void put_u16(struct strbuf *out, uint16_t value)
{
	uint16_t wire = htole16(value);

	strbuf_append(out, &wire, sizeof(wire));
}

static inline void put_u32(struct strbuf *out, uint32_t value)
{
	uint32_t wire = htole32(value);

	strbuf_append(out, &wire, sizeof(wire));
}

static inline void put_u64(struct strbuf *out, uint64_t value)
{
	uint64_t wire = htole64(value);

	strbuf_append(out, &wire, sizeof(wire));
}

static inline void put_i64(struct strbuf *out, int64_t value)
{
	put_u64(out, (uint64_t)value);
}

#define VARINT_SIZE_MAX 10

/* LEB128, at most VARINT_SIZE_MAX bytes, always the shortest form. */
static inline void put_varint(struct strbuf *out, uint64_t value)
{
	unsigned char wire[VARINT_SIZE_MAX];
	bool in_place = !out->failed && sizeof(wire) < out->capacity - out->size;
	unsigned char *to = in_place ? (unsigned char *)out->data + out->size : wire;
	size_t size = 0;

	while (value >= 0x80) {
		to[size++] = (unsigned char)(value | 0x80);
		value >>= 7;
	}
	to[size++] = (unsigned char)value;
	if (in_place)
		strbuf_advance(out, size);
	else
		strbuf_append(out, wire, size);
}

/* varint length + bytes */
static inline void put_bytes(struct strbuf *out, const void *data, size_t size)
{
	/* Nearly all are short and have room already. */
	if (size < 0x80 && !out->failed && size + 1 < out->capacity - out->size) {
		out->data[out->size] = (char)size;
		if (size)
			memcpy(out->data + out->size + 1, data, size);
		strbuf_advance(out, size + 1);
		return;
	}
	put_varint(out, size);
	strbuf_append(out, data, size);
}

/* NULL is written as empty */
static inline void put_text(struct strbuf *out, const char *text)
{
	put_bytes(out, text, text ? strlen(text) : 0);
}

/* --- decoding: after a failure everything is 0, empty or "" --- */
struct reader {
	const unsigned char *at, *end;
	bool failed;
};

static inline struct reader reader_init(const void *data, size_t size)
{
	const unsigned char *at = size ? data : (const unsigned char *)"";

	return (struct reader){ .at = at, .end = at + size };
}

static inline size_t reader_left(const struct reader *in)
{
	return (size_t)(in->end - in->at);
}

/* Failed for good: nothing more can be read. */
static inline void reader_fail(struct reader *in)
{
	in->failed = true;
	in->at = in->end;
}

static inline void reader_copy(struct reader *in, void *ret_data, size_t size)
{
	if (reader_left(in) < size) {
		reader_fail(in);
		return;
	}
	memcpy(ret_data, in->at, size);
	in->at += size;
}

static inline uint8_t get_u8(struct reader *in)
{
	uint8_t value = 0;

	reader_copy(in, &value, sizeof(value));
	return value;
}

static inline uint16_t get_u16(struct reader *in)
{
	uint16_t wire = 0;

	reader_copy(in, &wire, sizeof(wire));
	return le16toh(wire);
}

static inline uint32_t get_u32(struct reader *in)
{
	uint32_t wire = 0;

	reader_copy(in, &wire, sizeof(wire));
	return le32toh(wire);
}

static inline uint64_t get_u64(struct reader *in)
{
	uint64_t wire = 0;

	reader_copy(in, &wire, sizeof(wire));
	return le64toh(wire);
}

static inline int64_t get_i64(struct reader *in)
{
	return (int64_t)get_u64(in);
}

/* Slow path: more than one byte. Refuses overlong forms and more than 64 bits. */
uint64_t reader_long_varint(struct reader *in);

static inline uint64_t get_varint(struct reader *in)
{
	if (in->at < in->end && *in->at < 0x80)
		return *in->at++;
	return reader_long_varint(in);
}

/* A varint that must be at most max; fails the reader otherwise. For counts, before allocating. */
uint64_t get_count(struct reader *in, uint64_t max);
/* Borrowed bytes inside the message; never NULL on success. */
const void *get_bytes(struct reader *in, size_t *ret_size);
/* NUL-terminated copy in the arena; refuses embedded NUL. "" on failure. */
const char *get_text(struct reader *in, struct arena *arena);
/* Same; invalid UTF-8 fails the reader too. */
const char *get_utf8(struct reader *in, struct arena *arena);

/* True only when nothing failed and not a byte is left. */
static inline bool reader_done(const struct reader *in)
{
	return !in->failed && in->at == in->end;
}

/* --- framing over a socket --- */
struct message {
	uint16_t type;
	struct reader body; /* borrowed until the next receive */
};

#define MESSAGE_HEADER_SIZE 6
#define MESSAGE_TYPE_MAX 0x7fff
/* Set on the wire only: a descriptor came with this frame, so that it cannot be taken for another's. */
#define MESSAGE_TYPE_HAS_FD 0x8000

/* Begin a frame in out; message_end fills the length. Several frames may be gathered and sent as one write. */
size_t message_begin(struct strbuf *out, uint16_t type);
void message_end(struct strbuf *out, size_t begin);
/*
 * Write everything (loops over short writes, EINTR). Blocking socket. A dead peer is
 * ERR_UNAVAILABLE, never SIGPIPE. fd_to_pass goes with the first frame; -1: none (SCM_RIGHTS).
 */
int message_send(int socket, const struct strbuf *frames, int fd_to_pass, struct err *err);

/* Buffered receiving side. */
struct message_stream;
struct message_stream *message_stream_create(int socket, size_t max_message); /* borrows socket */
void message_stream_destroy(struct message_stream *stream);
/*
 * From here on each message with a deadline is an answer that has to be waited for: look for it when there is something, not
 * before.
 */
void message_stream_expect_waits(struct message_stream *stream);
/*
 * Next message. Returns 1, 0 at a clean end of stream, -1 with ERR_PROTOCOL
 * (cut, over max), ERR_UNAVAILABLE (deadline_us of clock_monotonic_us passed; 0: none) or ERR_IO.
 * A passed descriptor, if one came, is stored in *ret_fd (else -1; may be NULL: then refused).
 */
int message_receive(struct message_stream *stream, int64_t deadline_us, struct message *ret_message,
		    int *ret_fd, struct err *err);
/* Is there one that message_receive gives without reading from the socket? */
bool message_pending(const struct message_stream *stream);

static inline void message_stream_auto(struct message_stream **stream)
{
	message_stream_destroy(*stream);
}

#endif
