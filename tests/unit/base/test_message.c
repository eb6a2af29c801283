/* Messages: every value, every cut, hostile lengths, descriptors, deadlines. */
#include <rolebridge/base/message.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

#define MAX_MESSAGE 1000

static const uint64_t varints[] = {
	0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0xffffffff, UINT64_C(1) << 63, UINT64_MAX,
};

static void put_samples(struct strbuf *out)
{
	put_u8(out, 0xab);
	put_u16(out, 0x1234);
	put_u32(out, 0xdeadbeef);
	put_u64(out, UINT64_C(0x0123456789abcdef));
	put_i64(out, -5);
	for (size_t i = 0; i < ARRAY_LEN(varints); i++)
		put_varint(out, varints[i]);
	put_bytes(out, "\0x", 2);
	put_text(out, "text");
	put_text(out, NULL);
	put_text(out, "gr\xc3\xbc\xc3\x9f");
}

/* Reads what put_samples wrote; the values are compared only when nothing is missing. */
static bool get_samples(struct reader *in, struct arena *arena)
{
	size_t size;
	bool same = get_u8(in) == 0xab;

	same &= get_u16(in) == 0x1234;
	same &= get_u32(in) == 0xdeadbeef;
	same &= get_u64(in) == UINT64_C(0x0123456789abcdef);
	same &= get_i64(in) == -5;
	for (size_t i = 0; i < ARRAY_LEN(varints); i++)
		same &= get_varint(in) == varints[i];

	const void *bytes = get_bytes(in, &size);

	same &= bytes && size == 2 && memcmp(bytes, "\0x", 2) == 0;
	same &= strcmp(get_text(in, arena), "text") == 0;
	same &= strcmp(get_text(in, arena), "") == 0;
	same &= strcmp(get_utf8(in, arena), "gr\xc3\xbc\xc3\x9f") == 0;
	return same && reader_done(in);
}

static void test_values_and_every_cut(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	AUTO(strbuf) struct strbuf out = STRBUF(4096);

	(void)state;
	put_samples(&out);
	assert_memory_equal(out.data, "\xab\x34\x12\xef\xbe\xad\xde", 7);
	for (size_t size = 0; size < out.size; size++) {
		struct reader in = reader_init(out.data, size);

		assert_false(get_samples(&in, arena));
		assert_true(in.failed);
		/* Failed for good, and harmless. */
		assert_int_equal(get_u64(&in), 0);
		assert_string_equal(get_text(&in, arena), "");
		assert_false(reader_done(&in));
	}

	struct reader whole = reader_init(out.data, out.size);

	assert_true(get_samples(&whole, arena));
	strbuf_putc(&out, 'x');
	whole = reader_init(out.data, out.size);
	assert_false(get_samples(&whole, arena));
	assert_false(whole.failed);
}

static void test_hostile_varints(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t size;
	} cases[] = {
		{ "overlong 0", "\x80\x00", 2 },
		{ "overlong 1", "\x81\x80\x00", 3 },
		{ "65 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 },
		{ "eleven bytes", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11 },
		{ "endless", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 12 },
		{ "cut", "\xff", 1 },
		{ "nothing", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reader in = reader_init(cases[i].bytes, cases[i].size);

		if (get_varint(&in) != 0 || !in.failed)
			fail_msg("%s", cases[i].name);
	}
}

static void test_hostile_contents(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	AUTO(arena) struct arena *tiny = arena_create(3);
	struct reader in;
	size_t size;

	(void)state;
	/* A length beyond all memory. */
	in = reader_init("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xyz", 13);
	assert_null(get_bytes(&in, &size));
	assert_int_equal(size, 0);
	assert_true(in.failed);
	in = reader_init("\x03"
			 "a\0b",
			 4);
	assert_string_equal(get_text(&in, arena), "");
	assert_true(in.failed);
	in = reader_init("\x02"
			 "a\xff",
			 3);
	assert_string_equal(get_utf8(&in, arena), "");
	assert_true(in.failed);
	in = reader_init("\x03"
			 "abc",
			 4);
	assert_string_equal(get_text(&in, tiny), "");
	assert_true(in.failed);
	in = reader_init("\x05\x06", 2);
	assert_int_equal(get_count(&in, 5), 5);
	assert_int_equal(get_count(&in, 5), 0);
	assert_true(in.failed);
	in = reader_init("\0", 1);
	assert_non_null(get_bytes(&in, &size));
	assert_true(reader_done(&in));
	in = reader_init(NULL, 0);
	assert_true(reader_done(&in));
}

/* --- streams --- */

struct link {
	int near, far;
	struct message_stream *stream; /* reads far */
};

static struct link link_open(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	return (struct link){ pair[0], pair[1], message_stream_create(pair[1], MAX_MESSAGE) };
}

static void link_close_near(struct link *link)
{
	if (link->near >= 0)
		close(link->near);
	link->near = -1;
}

static void link_close(struct link *link)
{
	link_close_near(link);
	message_stream_destroy(link->stream);
	close(link->far);
}

static void put_frame(struct strbuf *out, uint16_t type, const char *text)
{
	size_t begin = message_begin(out, type);

	put_text(out, text);
	message_end(out, begin);
}

static void expect_frame(struct link *link, uint16_t type, const char *text)
{
	AUTO(arena) struct arena *arena = arena_create(4096);
	struct err err = { 0 };
	struct message message;

	if (message_receive(link->stream, 0, &message, NULL, &err) != 1)
		fail_msg("no message: %s", err.text);
	assert_int_equal(message.type, type);
	assert_string_equal(get_text(&message.body, arena), text);
	assert_true(reader_done(&message.body));
}

static void test_frames_cut_at_every_byte(void **state)
{
	AUTO(strbuf) struct strbuf frames = STRBUF(4096);

	(void)state;
	put_frame(&frames, 7, "hello");
	put_frame(&frames, MESSAGE_TYPE_MAX, "");
	for (size_t cut = 0; cut <= frames.size; cut++) {
		struct link link = link_open();
		struct message message;
		struct err err = { 0 };
		size_t first = 6 + 6;
		int good = 0, result;

		assert_int_equal(write(link.near, frames.data, cut), cut);
		link_close_near(&link);
		while ((result = message_receive(link.stream, 0, &message, NULL, &err)) == 1)
			good++;
		assert_int_equal(good, (cut >= first) + (cut == frames.size));
		if (cut == 0 || cut == first || cut == frames.size) {
			assert_int_equal(result, 0);
		} else {
			assert_int_equal(result, -1);
			assert_int_equal(err.code, ERR_PROTOCOL);
		}
		link_close(&link);
	}
}

static void test_frames_in_single_bytes_and_together(void **state)
{
	AUTO(strbuf) struct strbuf frames = STRBUF(4096);
	struct link link = link_open();
	struct message message;

	(void)state;
	put_frame(&frames, 1, "one");
	put_frame(&frames, 2, "two");
	for (size_t i = 0; i < frames.size; i++) {
		assert_int_equal(write(link.near, frames.data + i, 1), 1);
		if (i == 9)
			expect_frame(&link, 1, "one");
	}
	expect_frame(&link, 2, "two");
	assert_int_equal(message_send(link.near, &frames, -1, NULL), 0);
	link_close_near(&link);
	expect_frame(&link, 1, "one");
	expect_frame(&link, 2, "two");
	assert_int_equal(message_receive(link.stream, 0, &message, NULL, NULL), 0);
	link_close(&link);
}

static void test_refused_frames(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t size;
	} cases[] = {
		{ "length 0", "\0\0\0\0xx", 6 },
		{ "length 1", "\1\0\0\0xx", 6 },
		{ "over max", "\xe9\x03\0\0xx", 6 },
		{ "4 GiB", "\xff\xff\xff\xff\1\0", 6 },
		{ "promised descriptor missing", "\2\0\0\0\1\x80", 6 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct link link = link_open();
		struct message message;
		struct err err = { 0 };
		int fd;

		assert_int_equal(write(link.near, cases[i].bytes, cases[i].size), cases[i].size);
		if (message_receive(link.stream, 0, &message, &fd, &err) != -1 ||
		    err.code != ERR_PROTOCOL)
			fail_msg("%s: %s", cases[i].name, err.text);
		link_close(&link);
	}
	assert_null(message_stream_create(0, SIZE_MAX));
}

static void test_sending(void **state)
{
	AUTO(strbuf) struct strbuf frames = STRBUF(16);
	AUTO(strbuf) struct strbuf wrong = STRBUF(100);
	struct link link = link_open();
	struct err err;

	(void)state;
	put_frame(&frames, 1, "longer than sixteen bytes");
	assert_int_equal(message_send(link.near, &frames, -1, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	message_begin(&wrong, MESSAGE_TYPE_MAX + 1);
	assert_true(strbuf_failed(&wrong));
	strbuf_clear(&frames);
	put_frame(&frames, 1, "");
	close(link.far);
	/* No SIGPIPE: the test would end here. */
	assert_int_equal(message_send(link.near, &frames, -1, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	link.far = -1;
	link_close(&link);
}

static void *send_large(void *argument)
{
	static char text[900];
	AUTO(strbuf) struct strbuf frames = STRBUF(8 << 20);
	const int *socket = argument;

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 5000; i++)
		put_frame(&frames, (uint16_t)(i % 1000), text);
	return message_send(*socket, &frames, -1, NULL) == 0 ? argument : NULL;
}

static void test_more_than_the_socket_holds(void **state)
{
	struct link link = link_open();
	struct message message;
	pthread_t sender;
	void *sent;

	(void)state;
	assert_int_equal(pthread_create(&sender, NULL, send_large, &link.near), 0);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(message_receive(link.stream, 0, &message, NULL, NULL), 1);
		assert_int_equal(message.type, i % 1000);
		assert_int_equal(reader_left(&message.body), 901);
	}
	pthread_join(sender, &sent);
	assert_non_null(sent);
	link_close(&link);
}

static void check_deadline(bool expects_waits)
{
	struct link link = link_open();
	struct message message;
	struct err err;
	int64_t before = clock_monotonic_us();

	if (expects_waits)
		message_stream_expect_waits(link.stream);
	assert_int_equal(message_receive(link.stream, before + 20000, &message, NULL, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_true(clock_monotonic_us() >= before + 20000);
	assert_int_equal(message_receive(link.stream, 1, &message, NULL, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	/* Half a message does not prolong it; the other half is still welcome later. */
	assert_int_equal(write(link.near, "\2\0\0", 3), 3);
	assert_int_equal(
		message_receive(link.stream, clock_monotonic_us() + 1000, &message, NULL, &err),
		-1);
	assert_int_equal(write(link.near, "\0\5\0", 3), 3);
	assert_int_equal(
		message_receive(link.stream, clock_monotonic_us() + 10000000, &message, NULL, &err),
		1);
	assert_int_equal(message.type, 5);
	/* The end is no message that is late. */
	link_close_near(&link);
	assert_int_equal(
		message_receive(link.stream, clock_monotonic_us() + 10000000, &message, NULL, &err),
		0);
	link_close(&link);
}

static void test_deadline(void **state)
{
	(void)state;
	check_deadline(false);
	check_deadline(true);
}

/* --- descriptors --- */

static int open_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void test_descriptor_comes_with_its_own_frame(void **state)
{
	AUTO(strbuf) struct strbuf plain = STRBUF(100);
	AUTO(strbuf) struct strbuf with_fd = STRBUF(100);
	AUTO(fd) int null = open_null();
	struct link link = link_open();
	struct message message;
	int fd = 99;

	(void)state;
	put_frame(&plain, 1, "plain");
	put_frame(&with_fd, 2, "with");
	/* Received in one go: the first half of the plain frame is there before. */
	assert_int_equal(write(link.near, plain.data, 3), 3);
	assert_int_equal(write(link.near, plain.data + 3, plain.size - 3), plain.size - 3);
	assert_int_equal(message_send(link.near, &with_fd, null, NULL), 0);
	assert_int_equal(message_receive(link.stream, 0, &message, &fd, NULL), 1);
	assert_int_equal(message.type, 1);
	assert_int_equal(fd, -1);
	assert_int_equal(message_receive(link.stream, 0, &message, &fd, NULL), 1);
	assert_int_equal(message.type, 2);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	link_close(&link);
}

static void test_unwanted_descriptors(void **state)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(100);
	AUTO(fd) int null = open_null();
	int next = open_null();
	struct message message;
	struct err err;

	(void)state;
	close(next);
	put_frame(&frame, 1, "x");

	struct link link = link_open();

	assert_int_equal(message_send(link.near, &frame, null, NULL), 0);
	assert_int_equal(message_receive(link.stream, 0, &message, NULL, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	link_close(&link);
	link = link_open();
	/* Descriptors that no frame promises: the second is one too many. */
	for (int i = 0; i < 2; i++) {
		char bytes[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec part = { frame.data, frame.size };
		struct msghdr header = { .msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = bytes,
					 .msg_controllen = sizeof(bytes) };
		struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(rights), &null, sizeof(int));
		assert_int_equal(sendmsg(link.near, &header, 0), frame.size);
	}
	assert_int_equal(message_receive(link.stream, 0, &message, NULL, &err), 1);
	assert_int_equal(message_receive(link.stream, 0, &message, NULL, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	link_close(&link);
	/* None was leaked. */
	AUTO(fd) int after = open_null();

	assert_int_equal(after, next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_every_cut),
		cmocka_unit_test(test_hostile_varints),
		cmocka_unit_test(test_hostile_contents),
		cmocka_unit_test(test_frames_cut_at_every_byte),
		cmocka_unit_test(test_frames_in_single_bytes_and_together),
		cmocka_unit_test(test_refused_frames),
		cmocka_unit_test(test_sending),
		cmocka_unit_test(test_more_than_the_socket_holds),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_descriptor_comes_with_its_own_frame),
		cmocka_unit_test(test_unwanted_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
