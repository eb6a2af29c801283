/*
 * The keys of an account, for sshd. Enters: a name and a uid, from a local process that may ask. Leaves: keys of the
 * person whose account it is, one a line. Fails: closed, with no keys; nothing says why but the log.
 *
 * A few threads, each with a handle to the store, take one connection after the other: a question is answered in about a
 * millisecond, and who does not ask in time is hung up on.
 */
#include <rolebridge/target/keys.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/keys/protocol.h>

#include "accounts_internal.h"

#define THREADS 4
#define QUESTION_US INT64_C(2000000)
#define ANSWER_S 2
/* sshd's command waits for little longer. */
#define HELPER_MS 8000
#define REFUSAL_PAUSE_US INT64_C(1000000)
#define ARENA_MAX ((size_t)64 * 1024 * 1024)

struct keys_server {
	struct changer *changer;
	struct keys_ports ports;
	int listen_fd, stop_fd;
	uid_t *uids;
	size_t uid_count;
	pthread_t threads[THREADS];
	size_t thread_count;
	atomic_bool stopping;
	atomic_uint_fast64_t answered, empty, failed, refused;
	atomic_int_fast64_t refusal_us; /* when one was logged; 0: none was */
};

/* What one thread answers with. */
struct desk {
	struct keys_server *server;
	struct store *store; /* NULL: not opened yet, or it failed */
	struct arena *arena;
};

struct answer {
	const char *const *keys;
	size_t count;
};

/* --- one question --- */

static int find_user(struct desk *desk, const struct owned_account *owned, struct user *ret_user,
		     struct err *err)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&owned->user, uuid);
	return store_user_find(desk->store, USER_BY_UUID, uuid, desk->arena, ret_user, err);
}

static bool is_stopping(void *context)
{
	struct keys_server *server = context;

	return atomic_load(&server->stopping);
}

/* 1: ours, with this uid; 0: not; -1: nobody can say. */
static int find_owner(struct keys_server *server, const struct accounts_target *target,
		      const char *account, uint32_t uid, struct owned_account *ret_owned,
		      struct err *err)
{
	const struct helper_patience patience = { .answer_ms = HELPER_MS,
						  .cancelled = is_stopping,
						  .context = server };

	if (!accounts_name_is_valid(account))
		return 0;
	if (!book_find(target->socket.text, account, ret_owned)) {
		if (book_read(target->socket.text, &patience, err) < 0)
			return -1;
		if (!book_find(target->socket.text, account, ret_owned))
			return 0;
	}
	return ret_owned->uid == uid ? 1 : 0;
}

/* What the rules of the store and the memory of who was disabled this instant both allow. */
static int keys_of(struct desk *desk, const struct accounts_target *target, struct setup *setup,
		   const struct owned_account *owned, struct answer *answer, struct err *err)
{
	struct keys_server *server = desk->server;
	struct accounts_subject subject;
	struct user user;
	size_t refused = 0;
	int64_t now_s = clock_now_s();

	if (find_user(desk, owned, &user, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	if (accounts_subject_load(target, setup, desk->store, user.id, now_s, desk->arena, &subject,
				  err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	if (!accounts_is_wanted(target, &subject, now_s) ||
	    !server->ports.may_sign_in(server->ports.context, user.id))
		return 0;
	if (accounts_keys_of(target, &subject, desk->arena, &answer->keys, &answer->count, &refused,
			     err) < 0)
		return -1;
	if (refused > 0)
		log_warning("keys.unusable", F_STR("user", subject.user.username),
			    F_INT("values", refused));
	return 0;
}

static int look_up(struct desk *desk, const char *account, uint32_t uid, struct answer *answer,
		   struct err *err)
{
	struct keys_server *server = desk->server;
	const struct accounts_target *target;
	struct owned_account owned;
	struct setup *setup;
	int result;

	if (!desk->store) {
		desk->store = store_open(changer_store_path(server->changer), STORE_READ, err);
		if (!desk->store)
			return -1;
	}
	if (!server->ports.target(server->ports.context, &target, &setup))
		return 0;
	result = find_owner(server, target, account, uid, &owned, err);
	if (result > 0)
		result = keys_of(desk, target, setup, &owned, answer, err);
	setup_release(setup);
	return result;
}

/* --- one connection --- */

/* Anybody may connect, as often as they like: the log is not theirs to fill. */
static void log_refusal(struct keys_server *server, const struct ucred *peer)
{
	int_fast64_t last_us = atomic_load(&server->refusal_us);
	int64_t now_us = clock_monotonic_us();

	if ((last_us == 0 || now_us - last_us >= REFUSAL_PAUSE_US) &&
	    atomic_compare_exchange_strong(&server->refusal_us, &last_us, now_us))
		log_warning("keys.refused", F_INT("uid", peer->uid), F_INT("pid", peer->pid));
}

static bool may_ask(struct keys_server *server, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	for (size_t i = 0; i < server->uid_count; i++)
		if (server->uids[i] == peer.uid)
			return true;
	log_refusal(server, &peer);
	return false;
}

static int read_question(int fd, struct arena *arena, const char **ret_account, uint32_t *ret_uid,
			 struct err *err)
{
	AUTO(message_stream)
	struct message_stream *stream = message_stream_create(fd, KEYS_QUESTION_MAX);
	struct message message;
	uint8_t version;
	int got;

	if (!stream)
		return err_set(err, ERR_MEMORY, "out of memory");
	got = message_receive(stream, clock_monotonic_us() + QUESTION_US, &message, NULL, err);
	if (got < 0)
		return -1;
	if (got == 0)
		return err_set(err, ERR_PROTOCOL, "nothing was asked");
	version = get_u8(&message.body);
	*ret_account = get_text(&message.body, arena);
	*ret_uid = get_u32(&message.body);
	if (message.type != KEYS_QUESTION || version != KEYS_VERSION ||
	    !reader_done(&message.body) || arena_failed(arena))
		return err_set(err, ERR_PROTOCOL, "not a question for keys");
	return 0;
}

static int send_answer(int fd, const struct answer *answer, struct err *err)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(KEYS_ANSWER_MAX);
	size_t begin = message_begin(&frame, KEYS_ANSWER);

	put_u8(&frame, KEYS_VERSION);
	put_varint(&frame, answer->count);
	for (size_t i = 0; i < answer->count; i++)
		put_text(&frame, answer->keys[i]);
	message_end(&frame, begin);
	if (strbuf_failed(&frame))
		return err_set(err, ERR_MEMORY, "no memory for an answer");
	return message_send(fd, &frame, -1, err);
}

static int answer_one(struct desk *desk, int fd, struct err *err)
{
	struct keys_server *server = desk->server;
	struct answer answer = { 0 };
	const char *account = "";
	uint32_t uid = 0;

	if (read_question(fd, desk->arena, &account, &uid, err) < 0 ||
	    look_up(desk, account, uid, &answer, err) < 0)
		return -1;
	log_debug("keys.answered", F_STR("account", account), F_INT("keys", answer.count));
	atomic_fetch_add(answer.count ? &server->answered : &server->empty, 1);
	return send_answer(fd, &answer, err);
}

/* Without an answer, on any failure: sshd then has no key from here. */
static void serve(struct desk *desk, int fd)
{
	struct timeval patience = { .tv_sec = ANSWER_S };
	struct err err = { 0 };

	if (!may_ask(desk->server, fd)) {
		atomic_fetch_add(&desk->server->refused, 1);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (answer_one(desk, fd, &err) < 0) {
		atomic_fetch_add(&desk->server->failed, 1);
		log_error("keys.failed", F_ERR(&err));
		/* A handle that failed is opened anew. */
		store_close(desk->store);
		desk->store = NULL;
	}
}

/* --- threads --- */

static void *desk_main(void *context)
{
	struct keys_server *server = context;
	struct desk desk = { .server = server, .arena = arena_create(ARENA_MAX) };
	struct pollfd wait[] = { { .fd = server->listen_fd, .events = POLLIN },
				 { .fd = server->stop_fd, .events = POLLIN } };

	pthread_setname_np(pthread_self(), "keys");
	while (desk.arena) {
		AUTO(fd) int fd = -1;

		if (poll(wait, ARRAY_LEN(wait), -1) < 0 && errno != EINTR)
			break;
		if (wait[1].revents)
			break;
		/* Another thread may have been first: the socket does not block. */
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			/* Out of descriptors: who waits stays there, and so would we, at full speed. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
				poll(&wait[1], 1, 100);
			continue;
		}
		serve(&desk, fd);
		arena_reset(desk.arena);
	}
	store_close(desk.store);
	arena_destroy(desk.arena);
	return NULL;
}

static void server_destroy(struct keys_server *server)
{
	close(server->listen_fd);
	if (server->stop_fd >= 0)
		close(server->stop_fd);
	free(server->uids);
	free(server);
}

/* Several threads wake for one connection, and systemd's sockets block: all but one would wait for the next. */
static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static struct keys_server *server_create(struct changer *changer, int listen_fd, const uid_t *uids,
					 size_t uid_count, const struct keys_ports *ports,
					 struct err *err)
{
	struct keys_server *server = calloc(1, sizeof(*server));

	if (!server) {
		close(listen_fd);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	server->changer = changer;
	server->ports = *ports;
	server->listen_fd = listen_fd;
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->uids = calloc(uid_count + 1, sizeof(*uids));
	if (server->stop_fd < 0 || !server->uids || set_nonblocking(listen_fd) < 0) {
		err_set(err, ERR_MEMORY, "no memory for the answers to sshd");
		server_destroy(server);
		return NULL;
	}
	memcpy(server->uids, uids, uid_count * sizeof(*uids));
	server->uid_count = uid_count;
	return server;
}

struct keys_server *keys_server_start(struct changer *changer, int listen_fd, const uid_t *uids,
				      size_t uid_count, const struct keys_ports *ports,
				      struct err *err)
{
	struct keys_server *server = server_create(changer, listen_fd, uids, uid_count, ports, err);

	for (size_t i = 0; server && i < THREADS; i++) {
		int failed = pthread_create(&server->threads[i], NULL, desk_main, server);

		if (failed) {
			err_set_errno(err, ERR_IO, failed, "cannot start the answers to sshd");
			keys_server_stop(server);
			return NULL;
		}
		server->thread_count++;
	}
	return server;
}

void keys_server_stop(struct keys_server *server)
{
	uint64_t one = 1;

	if (!server)
		return;
	atomic_store(&server->stopping, true);
	/* Nobody reads it: all see it. */
	while (write(server->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < server->thread_count; i++)
		pthread_join(server->threads[i], NULL);
	server_destroy(server);
}

void keys_server_metrics(struct keys_server *server, struct strbuf *out)
{
	if (!server)
		return;
	strbuf_printf(out,
		      "# HELP rolebridge_keys_questions_total Questions of sshd for the keys of an "
		      "account.\n# TYPE rolebridge_keys_questions_total counter\n"
		      "rolebridge_keys_questions_total{outcome=\"keys\"} %llu\n"
		      "rolebridge_keys_questions_total{outcome=\"none\"} %llu\n"
		      "rolebridge_keys_questions_total{outcome=\"failed\"} %llu\n"
		      "rolebridge_keys_questions_total{outcome=\"refused\"} %llu\n",
		      (unsigned long long)atomic_load(&server->answered),
		      (unsigned long long)atomic_load(&server->empty),
		      (unsigned long long)atomic_load(&server->failed),
		      (unsigned long long)atomic_load(&server->refused));
}
