/*
 * Messages. Enters: typed values, or bytes of a peer that may be hostile.
 * Leaves: frames on a socket, or values. A reader fails for good at the first
 * byte that is not as it must be; a stream refuses frames over its cap before
 * it has room for them.
 *
 * A descriptor travels with the frame whose type carries MESSAGE_TYPE_HAS_FD:
 * the kernel ties it to bytes, not to frames, and may hand it out together with
 * the end of an earlier one.
 */
#include <rolebridge/base/message.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>

#define FIRST_BUFFER (64 * 1024)

/* --- decoding --- */

uint64_t reader_long_varint(struct reader *in)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < VARINT_SIZE_MAX && in->at < in->end; i++) {
		uint64_t byte = *in->at++;

		/* The tenth byte holds the 64th bit only; a last byte of 0 says nothing: one form per value. */
		if (i == VARINT_SIZE_MAX - 1 && byte > 1)
			break;
		value |= (byte & 0x7f) << (7 * i);
		if (byte >= 0x80)
			continue;
		if (byte == 0 && i > 0)
			break;
		return value;
	}
	reader_fail(in);
	return 0;
}

uint64_t get_count(struct reader *in, uint64_t max)
{
	uint64_t count = get_varint(in);

	if (count <= max)
		return count;
	reader_fail(in);
	return 0;
}

const void *get_bytes(struct reader *in, size_t *ret_size)
{
	uint64_t size = get_varint(in);

	if (size > reader_left(in)) {
		reader_fail(in);
		size = 0;
	}

	const void *data = in->at;

	in->at += size;
	*ret_size = (size_t)size;
	return in->failed ? NULL : data;
}

const char *get_text(struct reader *in, struct arena *arena)
{
	size_t size;
	const char *bytes = get_bytes(in, &size);

	if (!bytes)
		return "";

	char *text = memchr(bytes, 0, size) ? NULL : arena_strndup(arena, bytes, size);

	if (text)
		return text;
	reader_fail(in);
	return "";
}

const char *get_utf8(struct reader *in, struct arena *arena)
{
	size_t size;
	const char *bytes = get_bytes(in, &size);

	if (!bytes || size == 0)
		return "";

	/* A NUL is no text either. */
	char *text = text_is_utf8(bytes, size) ? arena_strndup(arena, bytes, size) : NULL;

	if (text)
		return text;
	reader_fail(in);
	return "";
}

/* --- frames --- */

size_t message_begin(struct strbuf *out, uint16_t type)
{
	size_t begin = out->size;

	if (type > MESSAGE_TYPE_MAX)
		strbuf_fail(out);
	put_u32(out, 0);
	put_u16(out, type);
	return begin;
}

void message_end(struct strbuf *out, size_t begin)
{
	if (strbuf_failed(out))
		return;

	size_t size = out->size - begin - sizeof(uint32_t);
	uint32_t wire = htole32((uint32_t)size);

	if (size > UINT32_MAX)
		strbuf_fail(out);
	else
		memcpy(out->data + begin, &wire, sizeof(wire));
}

static int send_failed(struct err *err)
{
	if (errno == EPIPE || errno == ECONNRESET)
		return err_set(err, ERR_UNAVAILABLE, "the other side has closed the connection");
	return err_set_errno(err, ERR_IO, errno, "cannot send");
}

/* The first header with its flag, then the rest, in one call that carries the descriptor. */
static ssize_t send_with_fd(int socket, const struct strbuf *frames, int fd)
{
	char header[MESSAGE_HEADER_SIZE];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec parts[] = { { header, sizeof(header) },
				 { frames->data + sizeof(header), frames->size - sizeof(header) } };
	struct msghdr message = { .msg_iov = parts,
				  .msg_iovlen = 2,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	ssize_t sent;

	memcpy(header, frames->data, sizeof(header));
	header[MESSAGE_HEADER_SIZE - 1] |= (char)(MESSAGE_TYPE_HAS_FD >> 8);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent;
}

int message_send(int socket, const struct strbuf *frames, int fd_to_pass, struct err *err)
{
	size_t sent = 0;

	if (strbuf_failed(frames))
		return err_set(err, ERR_TOO_LARGE, "message larger than %zu bytes", frames->max);
	if (fd_to_pass >= 0) {
		if (frames->size < MESSAGE_HEADER_SIZE)
			return err_set(err, ERR_INTERNAL, "a descriptor needs a message");

		ssize_t size = send_with_fd(socket, frames, fd_to_pass);

		if (size < 0)
			return send_failed(err);
		sent = (size_t)size;
	}
	/* A header cut in its flagged byte cannot happen: a stream socket takes 6 bytes or none. */
	while (sent < frames->size) {
		ssize_t size = send(socket, frames->data + sent, frames->size - sent, MSG_NOSIGNAL);

		if (size < 0 && errno != EINTR)
			return send_failed(err);
		if (size > 0)
			sent += (size_t)size;
	}
	return 0;
}

/* --- receiving --- */

struct message_stream {
	int socket;
	int pending_fd; /* came, and waits for its frame */
	bool waits;	/* see message_stream_expect_waits */
	size_t max;
	unsigned char *data;
	size_t capacity;
	size_t start, end; /* what is received and not yet given out */
};

struct message_stream *message_stream_create(int socket, size_t max_message)
{
	struct message_stream *stream = alloc_zeroed(1, sizeof(*stream));

	if (!stream || max_message > UINT32_MAX) {
		free(stream);
		return NULL;
	}
	stream->socket = socket;
	stream->pending_fd = -1;
	stream->max = max_message;
	stream->capacity = FIRST_BUFFER;
	stream->data = alloc_resize(NULL, stream->capacity);
	if (!stream->data) {
		free(stream);
		return NULL;
	}
	return stream;
}

void message_stream_destroy(struct message_stream *stream)
{
	if (!stream)
		return;
	if (stream->pending_fd >= 0)
		close(stream->pending_fd);
	free(stream->data);
	free(stream);
}

void message_stream_expect_waits(struct message_stream *stream)
{
	stream->waits = true;
}

static int wait_until(int socket, int64_t deadline_us, struct err *err)
{
	for (;;) {
		struct pollfd ready = { .fd = socket, .events = POLLIN };
		int timeout_ms = -1;

		if (deadline_us) {
			int64_t left_us = deadline_us - clock_monotonic_us();

			if (left_us <= 0)
				left_us = 0;
			timeout_ms =
				left_us / 1000 >= INT_MAX ? INT_MAX : (int)((left_us + 999) / 1000);
		}

		int count = poll(&ready, 1, timeout_ms);

		if (count > 0)
			return 0;
		if (count < 0 && errno != EINTR)
			return err_set_errno(err, ERR_IO, errno, "cannot wait for a message");
		if (deadline_us && clock_monotonic_us() >= deadline_us)
			return err_set(err, ERR_UNAVAILABLE, "no answer in time");
	}
}

/* Close all descriptors that came in excess; true when there were any, or a second one. */
static bool keep_one_fd(struct message_stream *stream, struct msghdr *message)
{
	bool excess = message->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (stream->pending_fd < 0) {
				stream->pending_fd = fd;
			} else {
				close(fd);
				excess = true;
			}
		}
	}
	return excess;
}

/* Returns the bytes received, 0 at the end, -1. */
static ssize_t receive_some(struct message_stream *stream, int64_t deadline_us, struct err *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	bool waits = stream->waits && deadline_us && stream->start == stream->end;

	for (;;) {
		struct iovec room = { stream->data + stream->end, stream->capacity - stream->end };
		struct msghdr message = { .msg_iov = &room,
					  .msg_iovlen = 1,
					  .msg_control = control.bytes,
					  .msg_controllen = sizeof(control.bytes) };

		if (waits && wait_until(stream->socket, deadline_us, err) < 0)
			return -1;

		ssize_t size = recvmsg(stream->socket, &message,
				       MSG_CMSG_CLOEXEC | (deadline_us ? MSG_DONTWAIT : 0));

		if (size >= 0 && keep_one_fd(stream, &message))
			return err_set(err, ERR_PROTOCOL,
				       "the other side sent too many descriptors");
		if (size >= 0)
			return size;
		waits = errno == EAGAIN || errno == EWOULDBLOCK;
		if (!waits && errno != EINTR)
			return err_set_errno(err, ERR_IO, errno, "cannot receive");
	}
}

/* Room for needed bytes; what was received of the frame moves to the front. */
static int make_room(struct message_stream *stream, size_t needed, struct err *err)
{
	if (stream->start > 0) {
		memmove(stream->data, stream->data + stream->start, stream->end - stream->start);
		stream->end -= stream->start;
		stream->start = 0;
	}
	if (stream->capacity >= needed)
		return 0;

	unsigned char *data = alloc_resize(stream->data, needed);

	if (!data)
		return err_set(err, ERR_MEMORY, "no memory for a message of %zu bytes", needed);
	stream->data = data;
	stream->capacity = needed;
	return 0;
}

/* 1 with the size of the frame that is complete at start, 0 at a clean end, -1. */
static int fill_frame(struct message_stream *stream, int64_t deadline_us, size_t *ret_size,
		      struct err *err)
{
	size_t needed = MESSAGE_HEADER_SIZE;

	for (;;) {
		size_t present = stream->end - stream->start;

		if (present >= MESSAGE_HEADER_SIZE) {
			struct reader header = reader_init(stream->data + stream->start, present);
			size_t length = get_u32(&header);

			if (length < sizeof(uint16_t) || length > stream->max)
				return err_set(err, ERR_PROTOCOL,
					       "the other side sent a message of %zu bytes",
					       length);
			needed = sizeof(uint32_t) + length;
		}
		if (present >= needed && present >= MESSAGE_HEADER_SIZE) {
			*ret_size = needed;
			return 1;
		}
		if (make_room(stream, needed, err) < 0)
			return -1;

		ssize_t size = receive_some(stream, deadline_us, err);

		if (size < 0)
			return -1;
		if (size == 0 && present == 0)
			return 0;
		if (size == 0)
			return err_set(err, ERR_PROTOCOL,
				       "the other side stopped inside a message");
		stream->end += (size_t)size;
	}
}

static int take_fd(struct message_stream *stream, bool promised, int *ret_fd, struct err *err)
{
	if (promised && (stream->pending_fd < 0 || !ret_fd))
		return err_set(err, ERR_PROTOCOL,
			       stream->pending_fd < 0 ? "a promised descriptor did not come"
						      : "the other side sent a descriptor");
	if (ret_fd) {
		*ret_fd = promised ? stream->pending_fd : -1;
		if (promised)
			stream->pending_fd = -1;
	}
	return 0;
}

int message_receive(struct message_stream *stream, int64_t deadline_us, struct message *ret_message,
		    int *ret_fd, struct err *err)
{
	size_t size = 0;
	int result = fill_frame(stream, deadline_us, &size, err);

	if (result <= 0)
		return result;

	struct reader frame = reader_init(stream->data + stream->start, size);

	get_u32(&frame);

	uint16_t type = get_u16(&frame);

	if (take_fd(stream, type & MESSAGE_TYPE_HAS_FD, ret_fd, err) < 0)
		return -1;
	stream->start += size;
	ret_message->type = type & MESSAGE_TYPE_MAX;
	ret_message->body = frame;
	return 1;
}

bool message_pending(const struct message_stream *stream)
{
	size_t present = stream->end - stream->start;
	struct reader header = reader_init(stream->data + stream->start, present);

	return present >= MESSAGE_HEADER_SIZE && get_u32(&header) <= present - sizeof(uint32_t);
}
