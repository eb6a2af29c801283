/*
 * rolebridge-authorized-keys: what sshd asks for the keys of an account (AuthorizedKeysCommand). Enters: the name
 * of an account and its uid, from sshd; keys, from the daemon. Leaves: one key a line, without options. Fails: closed;
 * without a whole answer nothing is printed and the exit status is 1, so that sshd takes no key from here.
 *
 * It runs as a user of its own that may do nothing but ask, and never for longer than a deadline: while the daemon
 * starts anew its socket is there, and who asks waits.
 *
 * sshd asks for every account, root's too. For one whose uid is not the accounts helper's to give, which root says and not
 * the daemon, nobody is asked: whoever took over the daemon would else sign in as root.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/accounts/range.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/local_socket.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/ssh_key.h>
#include <rolebridge/base/util.h>
#include <rolebridge/keys/protocol.h>

#define DEADLINE_S 10
#define NAME_BUFFER ((size_t)16 * 1024)
#define ARENA_MAX ((size_t)4 * 1024 * 1024)

struct question {
	const char *socket, *config;
	const char *account;
	uint32_t uid;
};

static int parse_uid(const char *text, uint32_t *ret_uid)
{
	uint64_t value = 0;

	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9' || value > UINT32_MAX)
			return -1;
		value = value * 10 + (uint64_t)(*at - '0');
	}
	if (text[0] == '\0' || value >= KEYS_NO_UID)
		return -1;
	*ret_uid = (uint32_t)value;
	return 0;
}

static int parse_arguments(int argc, char **argv, struct question *question)
{
	int at = 1;

	*question = (struct question){ .socket = KEYS_SOCKET_DEFAULT,
				       .config = ACCOUNTS_CONFIG,
				       .uid = KEYS_NO_UID };
	for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
		if (strcmp(argv[at], "--socket") == 0)
			question->socket = argv[at + 1];
		else if (strcmp(argv[at], "--config") == 0)
			question->config = argv[at + 1];
		else
			return -1;
	}
	if (at >= argc || argc - at > 2 || argv[at][0] == '-' || argv[at][0] == '\0')
		return -1;
	question->account = argv[at];
	return at + 1 < argc ? parse_uid(argv[at + 1], &question->uid) : 0;
}

/* By hand: what sshd would say. */
static int find_uid(struct question *question, struct err *err)
{
	struct passwd entry, *found = NULL;
	char buffer[NAME_BUFFER];

	if (getpwnam_r(question->account, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
		return err_set(err, ERR_NOT_FOUND, "this machine has no such account");
	question->uid = found->pw_uid;
	return 0;
}

/* 1: the helper may have made it; 0: it cannot have. */
static int may_be_ours(const struct question *question, struct err *err)
{
	uint32_t min, max;

	if (accounts_range_read(question->config, &min, &max, err) < 0)
		return -1;
	return question->uid >= min && question->uid <= max;
}

static int send_question(int fd, const struct question *question, struct err *err)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(KEYS_QUESTION_MAX);
	size_t begin = message_begin(&frame, KEYS_QUESTION);

	put_u8(&frame, KEYS_VERSION);
	put_text(&frame, question->account);
	put_u32(&frame, question->uid);
	message_end(&frame, begin);
	if (strbuf_failed(&frame))
		return err_set(err, ERR_TOO_LARGE, "the account's name is too long");
	return message_send(fd, &frame, -1, err);
}

/* What is printed is a key and nothing else, whoever answered. */
static int add_key(const char *line, struct strbuf *out, struct err *err)
{
	struct ssh_key key;

	if (ssh_key_parse(line, strlen(line), &key, err) < 0)
		return -1;
	ssh_key_write(&key, out);
	strbuf_putc(out, '\n');
	return 0;
}

static int read_answer(struct message *message, struct arena *arena, struct strbuf *out,
		       struct err *err)
{
	struct reader *in = &message->body;
	uint8_t version = get_u8(in);
	uint64_t count = get_count(in, KEYS_MAX);

	if (message->type != KEYS_ANSWER || version != KEYS_VERSION)
		return err_set(err, ERR_PROTOCOL, "the daemon's answer is of another version");
	for (uint64_t i = 0; i < count && !in->failed; i++) {
		const char *line = get_text(in, arena);

		if (!in->failed && add_key(line, out, err) < 0)
			return -1;
	}
	if (!reader_done(in) || arena_failed(arena) || strbuf_failed(out))
		return err_set(err, ERR_PROTOCOL, "the daemon's answer is malformed");
	return 0;
}

static int ask(const struct question *question, struct strbuf *out, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(message_stream) struct message_stream *stream = NULL;
	AUTO(fd) int fd = -1;
	struct message message;
	int got;

	if (local_socket_connect(question->socket, 0, &fd, err) < 0 ||
	    send_question(fd, question, err) < 0)
		return -1;
	stream = message_stream_create(fd, KEYS_ANSWER_MAX);
	if (!stream || !arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	got = message_receive(stream, clock_monotonic_us() + DEADLINE_S * INT64_C(1000000),
			      &message, NULL, err);
	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(err, ERR_UNAVAILABLE, "the daemon gave no answer");
	return read_answer(&message, arena, out, err);
}

static int print(const struct strbuf *keys)
{
	if (keys->size > 0 && fwrite(keys->data, keys->size, 1, stdout) != 1)
		return -1;
	return fflush(stdout) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	AUTO(strbuf) struct strbuf keys = STRBUF(KEYS_ANSWER_MAX);
	struct question question;
	struct err err = { 0 };
	int ours = -1;

	if (parse_arguments(argc, argv, &question) < 0) {
		fprintf(stderr,
			"usage: rolebridge-authorized-keys [--config FILE] [--socket PATH] ACCOUNT [UID]\n");
		return 2;
	}
	/* Whatever hangs, connecting too. */
	alarm(DEADLINE_S + 2);
	if (question.uid != KEYS_NO_UID || find_uid(&question, &err) == 0)
		ours = may_be_ours(&question, &err);
	if (ours < 0 || (ours && ask(&question, &keys, &err) < 0)) {
		fprintf(stderr, "rolebridge-authorized-keys: %s\n", err.text);
		return 1;
	}
	return print(&keys) == 0 ? 0 : 1;
}
