/*
 * Connections of the core. Enters: bytes of a peer that has the right uid and may be compromised all the
 * same. Leaves: one answer for each message, in order. A message that is not of the protocol ends its
 * connection; whoever sends half a message, or does not read, is not waited for.
 */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "grace.h"
#include "purge.h"

#define CONNECTIONS_MAX 8
#define MESSAGE_PATIENCE_US 10000000
#define SEND_TIMEOUT_S 10
#define ARENA_MAX (16u << 20)
#define OUT_MAX (ACCOUNTS_ANSWER_MAX + 4096)

struct connection {
	int fd; /* -1: free */
	struct message_stream *stream;
	bool greeted;
	int64_t half_since_us; /* since when a part of a message lies here; 0: none does */
};

struct loop {
	const struct service *service;
	struct connection connections[CONNECTIONS_MAX];
	struct purge purge;
	int signals;
	int64_t idle_since_us;
	bool ending;
};

/* --- answers --- */

static const char *const done_events[][2] = {
	{ "created", "account.created" },   { "changed", "account.changed" },
	{ "disabled", "account.disabled" }, { "enabled", "account.enabled" },
	{ "deleted", "account.deleted" },
};

static void log_done(const struct uuid *user, const struct done *done)
{
	char id[UUID_TEXT_SIZE];

	uuid_text(user, id);
	for (size_t i = 0; i < ARRAY_LEN(done_events); i++)
		if (strcmp(done_events[i][0], done->what) == 0)
			log_info(done_events[i][1], F_STR("user", id), F_STR("name", done->name),
				 F_INT("uid", done->uid));
}

static void log_failure(const struct uuid *user, const char *code, const struct err *err)
{
	char id[UUID_TEXT_SIZE];

	uuid_text(user, id);
	log_warning("account.refused", F_STR("user", id), F_STR("code", code), F_ERR(err));
}

static void put_failure(struct strbuf *out, const struct uuid *user, const struct done *done,
			const struct err *err)
{
	const struct accounts_code *row =
		err->reason ? accounts_code_find(err->reason) : accounts_code_find("internal");
	struct accounts_result result = {
		.status = row ? row->status : ACCOUNTS_AGAIN,
		.uid = done->uid,
		.code = row ? row->code : "internal",
		.detail = err->text,
	};

	log_failure(user, result.code, err);
	accounts_put_result(out, &result);
}

static void put_done(struct strbuf *out, const struct uuid *user, const struct done *done)
{
	struct accounts_result result = {
		.status = ACCOUNTS_DONE,
		.changed = done->what != NULL,
		.uid = done->uid,
		.code = "",
		.detail = "",
	};

	if (done->what)
		log_done(user, done);
	accounts_put_result(out, &result);
}

/* --- requests: -1 only for what is malformed --- */

static int answer_hello(struct helper *helper, const struct message *message, struct arena *arena,
			struct strbuf *out, struct err *err)
{
	struct accounts_welcome welcome = {
		.version = ACCOUNTS_VERSION,
		.uid_min = (uint32_t)helper->settings->uid_min,
		.uid_max = (uint32_t)helper->settings->uid_max,
		.owned = (uint32_t)ledger_owned(helper->ledger),
	};
	uint32_t version;

	(void)arena;
	if (accounts_get_hello(message, &version, err) < 0)
		return -1;
	accounts_put_welcome(out, &welcome);
	if (version != ACCOUNTS_VERSION)
		return err_set(err, ERR_PROTOCOL, "version %u is not spoken here", version);
	return 0;
}

static int answer_ensure(struct helper *helper, const struct message *message, struct arena *arena,
			 struct strbuf *out, struct err *err)
{
	struct accounts_ensure wanted;
	struct done done = { .name = "" };
	struct err problem = { 0 };

	if (accounts_get_ensure(message, arena, &wanted, err) < 0)
		return -1;
	if (account_ensure(helper, arena, &wanted, &done, &problem) < 0)
		put_failure(out, &wanted.user, &done, &problem);
	else
		put_done(out, &wanted.user, &done);
	return 0;
}

static int answer_user(struct helper *helper, const struct message *message, struct arena *arena,
		       struct strbuf *out, struct err *err)
{
	struct uuid user;
	const struct clocks now = grace_clocks();
	struct done done = { .name = "" };
	struct err problem = { 0 };
	int result;

	if (accounts_get_user(message, &user, err) < 0)
		return -1;
	if (message->type == ACCOUNTS_DISABLE)
		result = account_disable(helper, arena, &user, &done, &problem);
	else if (message->type == ACCOUNTS_ENABLE)
		result = account_enable(helper, arena, &user, &done, &problem);
	else
		result = account_delete(helper, arena, &user, &now, &done, &problem);
	if (result < 0)
		put_failure(out, &user, &done, &problem);
	else
		put_done(out, &user, &done);
	return 0;
}

static int answer_list(struct helper *helper, const struct message *message, struct arena *arena,
		       struct strbuf *out, struct err *err)
{
	struct accounts_list list;
	struct accounts_page page;
	struct done done = { .name = "" };
	struct err problem = { 0 };

	if (accounts_get_list(message, &list, err) < 0)
		return -1;
	if (account_list(helper, arena, &list, &page, &problem) < 0)
		put_failure(out, &list.after, &done, &problem);
	else
		accounts_put_page(out, &page);
	return 0;
}

static const struct request {
	enum accounts_message type;
	int (*answer)(struct helper *helper, const struct message *message, struct arena *arena,
		      struct strbuf *out, struct err *err);
} requests[] = {
	{ ACCOUNTS_HELLO, answer_hello },  { ACCOUNTS_ENSURE, answer_ensure },
	{ ACCOUNTS_DISABLE, answer_user }, { ACCOUNTS_ENABLE, answer_user },
	{ ACCOUNTS_DELETE, answer_user },  { ACCOUNTS_LIST, answer_list },
};

static int answer(struct helper *helper, struct connection *connection,
		  const struct message *message, struct strbuf *out, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);

	if (!arena)
		return err_set(err, ERR_MEMORY, "no room for a request");
	/* HELLO first, and once. */
	if (connection->greeted == (message->type == ACCOUNTS_HELLO))
		return err_set(err, ERR_PROTOCOL, "message of type %u out of its turn",
			       message->type);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		if (requests[i].type != message->type)
			continue;
		if (requests[i].answer(helper, message, arena, out, err) < 0)
			return -1;
		connection->greeted = true;
		return 0;
	}
	return err_set(err, ERR_PROTOCOL, "message of unknown type %u", message->type);
}

/* --- connections --- */

static void hang_up(struct connection *connection)
{
	message_stream_destroy(connection->stream);
	if (connection->fd >= 0)
		close(connection->fd);
	*connection = (struct connection){ .fd = -1 };
}

static int send_answer(const struct connection *connection, const struct strbuf *out,
		       struct err *err)
{
	if (strbuf_failed(out))
		return err_set(err, ERR_MEMORY, "no room for an answer");
	return message_send(connection->fd, out, -1, err);
}

static void refuse_message(struct connection *connection, struct strbuf *out, const struct err *err)
{
	struct accounts_result result = { .status = ACCOUNTS_REFUSED,
					  .code = "malformed",
					  .detail = err->text };

	log_warning("accounts.message_refused", F_ERR(err));
	accounts_put_result(out, &result);
	send_answer(connection, out, NULL);
	hang_up(connection);
}

/* Half a message, or none: others go first. Not for ever. */
static bool waits_for_more(struct connection *connection, const struct err *err)
{
	int64_t now_us = clock_monotonic_us();

	if (err->code != ERR_UNAVAILABLE)
		return false;
	if (!connection->half_since_us)
		connection->half_since_us = now_us;
	return now_us - connection->half_since_us < MESSAGE_PATIENCE_US;
}

static void receive_one(struct loop *loop, struct connection *connection)
{
	AUTO(strbuf) struct strbuf out = STRBUF(OUT_MAX);
	struct message message;
	struct err err = { 0 };
	int got = message_receive(connection->stream, clock_monotonic_us(), &message, NULL, &err);

	if (got < 0 && waits_for_more(connection, &err))
		return;
	if (got < 0 && err.code == ERR_PROTOCOL) {
		refuse_message(connection, &out, &err);
		return;
	}
	connection->half_since_us = 0;
	if (got > 0 && answer(loop->service->helper, connection, &message, &out, &err) < 0) {
		refuse_message(connection, &out, &err);
		return;
	}
	if (got > 0 && send_answer(connection, &out, &err) == 0)
		return;
	if (got != 0)
		log_warning("accounts.connection_lost", F_ERR(&err));
	hang_up(connection);
}

static struct connection *free_place(struct loop *loop)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (loop->connections[i].fd < 0)
			return &loop->connections[i];
	return NULL;
}

static bool is_core(const struct service *service, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    peer.uid != service->core) {
		log_warning("accounts.peer_refused", F_INT("uid", peer.uid),
			    F_INT("pid", peer.pid));
		return false;
	}
	return true;
}

static void accept_one(struct loop *loop)
{
	const struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
	struct connection *connection = free_place(loop);
	int fd = accept4(loop->service->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!connection || !is_core(loop->service, fd) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0) {
		close(fd);
		return;
	}
	connection->stream = message_stream_create(fd, ACCOUNTS_REQUEST_MAX);
	connection->fd = fd;
	if (!connection->stream)
		hang_up(connection);
}

static size_t count_connections(const struct loop *loop)
{
	size_t count = 0;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		count += loop->connections[i].fd >= 0;
	return count;
}

/* --- what runs beside --- */

static void look_after_endings(struct loop *loop)
{
	struct endings *endings = &loop->service->helper->endings;
	uint32_t *stuck = endings->count ? calloc(endings->count, sizeof(*stuck)) : NULL;
	size_t count = stuck ? endings_tick(endings, stuck) : 0;

	for (size_t i = 0; i < count; i++)
		log_warning("account.processes_left", F_INT("uid", stuck[i]));
	free(stuck);
}

static void look_after_removals(struct loop *loop)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct helper *helper = loop->service->helper;
	const struct clocks now = grace_clocks();
	const char *name = NULL;
	struct err err = { 0 };

	if (!arena)
		return;
	if (purge_tick(&loop->purge, helper, arena, &now, &name, &err) < 0)
		log_error("account.removal_failed", F_ERR(&err));
	else if (name)
		log_info("account.removed", F_STR("name", name));
	if (helper->shift_s)
		log_warning("accounts.clock_set", F_INT("deletions_later_s", helper->shift_s));
	helper->shift_s = 0;
}

/* --- the loop --- */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds until something wants to be looked at; -1: nothing does. */
static int patience_ms(struct loop *loop)
{
	const struct helper *helper = loop->service->helper;
	int64_t now_us = clock_monotonic_us(), wait_us = INT64_MAX, next_s;

	if (helper->endings.count)
		wait_us = helper->endings.next_us - now_us;
	if (loop->purge.step == PURGE_IDLE && purge_waits(loop->service->helper, &next_s)) {
		const struct clocks now = grace_clocks();
		int64_t wait_s = next_s - now.real_s,
			pause_s = loop->purge.pause_until_s - now.boot_s;

		/* The clock may be set: look at least once a minute. */
		wait_us = least(wait_us, least(wait_s > pause_s ? wait_s : pause_s, 60) * 1000000);
	}
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (loop->connections[i].half_since_us)
			wait_us = least(wait_us, loop->connections[i].half_since_us +
							 MESSAGE_PATIENCE_US - now_us);
	if (loop->service->idle_exit_s && count_connections(loop) == 0)
		wait_us = least(wait_us, loop->idle_since_us +
						 loop->service->idle_exit_s * 1000000 - now_us);
	if (wait_us == INT64_MAX)
		return -1;
	return wait_us <= 0 ? 0 : (int)least(wait_us / 1000 + 1, 60000);
}

static bool is_idle_for_long(struct loop *loop)
{
	int64_t now_us = clock_monotonic_us(), next_s;

	if (count_connections(loop) > 0 || loop->service->helper->endings.count ||
	    loop->purge.step != PURGE_IDLE || purge_waits(loop->service->helper, &next_s)) {
		loop->idle_since_us = now_us;
		return false;
	}
	return loop->service->idle_exit_s &&
	       now_us - loop->idle_since_us >= loop->service->idle_exit_s * 1000000;
}

enum { WATCH_SIGNALS, WATCH_LISTENER, WATCH_PURGE, WATCH_CONNECTIONS };

static void fill_watches(struct loop *loop, struct pollfd *watches)
{
	watches[WATCH_SIGNALS].fd = loop->signals;
	watches[WATCH_LISTENER].fd = free_place(loop) ? loop->service->listener : -1;
	watches[WATCH_PURGE].fd = loop->purge.pidfd;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		watches[WATCH_CONNECTIONS + i].fd = loop->connections[i].fd;
	for (size_t i = 0; i < WATCH_CONNECTIONS + CONNECTIONS_MAX; i++) {
		watches[i].events = POLLIN;
		watches[i].revents = 0;
	}
}

static bool is_half_for_long(const struct connection *connection)
{
	return connection->half_since_us &&
	       clock_monotonic_us() - connection->half_since_us >= MESSAGE_PATIENCE_US;
}

static bool is_pending(const struct loop *loop)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (loop->connections[i].fd >= 0 && message_pending(loop->connections[i].stream))
			return true;
	return false;
}

/* Each connection one message in turn, so that none is starved by another. */
static int turn(struct loop *loop, struct err *err)
{
	struct pollfd watches[WATCH_CONNECTIONS + CONNECTIONS_MAX];

	fill_watches(loop, watches);
	if (poll(watches, ARRAY_LEN(watches), is_pending(loop) ? 0 : patience_ms(loop)) < 0 &&
	    errno != EINTR)
		return err_set_errno(err, ERR_IO, errno, "cannot wait");
	if (watches[WATCH_SIGNALS].revents) {
		loop->ending = true;
		return 0;
	}
	look_after_endings(loop);
	if (watches[WATCH_PURGE].revents || loop->purge.step == PURGE_IDLE)
		look_after_removals(loop);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &loop->connections[i];

		if (connection->fd >= 0 &&
		    (watches[WATCH_CONNECTIONS + i].revents ||
		     message_pending(connection->stream) || is_half_for_long(connection)))
			receive_one(loop, connection);
	}
	if (watches[WATCH_LISTENER].revents)
		accept_one(loop);
	loop->ending = is_idle_for_long(loop);
	return 0;
}

int serve(const struct service *service, struct err *err)
{
	struct loop loop = { .service = service,
			     .purge = PURGE_INIT,
			     .idle_since_us = clock_monotonic_us() };
	sigset_t set;
	int result = 0;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		loop.connections[i].fd = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	loop.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop.signals < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot watch for signals");
	while (result == 0 && !loop.ending)
		result = turn(&loop, err);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		hang_up(&loop.connections[i]);
	purge_stop(&loop.purge);
	close(loop.signals);
	return result;
}
