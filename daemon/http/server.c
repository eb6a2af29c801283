/*
 * The server. Enters: a listening socket and a router. Leaves: answers.
 *
 * HTTP_THREAD_PER_CONNECTION is one daemon of the library with threads of its own. HTTP_POOL is one daemon of the
 * library for each of our threads, all on the same socket, and each thread runs its daemon's epoll loop:
 * the library's own pool aborts now and then when it is told to accept no more (MHD_quiesce_daemon takes
 * the socket out of the epoll set from another thread while the loop does the same), and without being told so it
 * shuts the listening socket down, which is not ours alone when it was inherited.
 */
#include <rolebridge/http/server.h>

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define CONNECTION_MEMORY ((size_t)32768)
/* How soon a loop sees that it shall end when nobody asks for anything. */
#define LOOP_WAIT_MS 100
#define TICKS_PER_DEADLINE 8
#define TICK_MIN_MS 10
#define TICK_MAX_MS 250
/* For what was given up to be said before the connections are cut. */
#define LAST_WORDS_MS 1000
#define OPTIONS_MAX 24

enum phase { PHASE_RUN, PHASE_DRAIN, PHASE_END };

struct loop {
	struct http_server *server;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	bool started;
	struct wake wake;
	struct pulse pulse;
};

/* ---------------------------------------------------------- connections -- */

static void link_address(struct link *link, int fd)
{
	const struct http_server *server = link->server;
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);

	if (server->listens_unix) {
		link->trusted = server->settings.web;
		return;
	}
	link->has_address = getpeername(fd, (struct sockaddr *)&name, &size) == 0 &&
			    address_from_socket((struct sockaddr *)&name, &link->address);
	for (size_t i = 0; link->has_address && i < server->settings.trusted_count; i++)
		link->trusted = link->trusted || cidr_contains(&server->trusted[i], &link->address);
}

static void link_open(struct http_server *server, struct MHD_Connection *connection,
		      void **socket_context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct link *link = info ? alloc_zeroed(1, sizeof(*link)) : NULL;

	*socket_context = link;
	if (!link)
		return;

	int fd = info->connect_fd;

	link->server = server;
	link->refused = http_peer_read(fd, &link->peer, NULL) < 0;
	link_address(link, fd);
	atomic_fetch_add(&server->connections, 1);
	watch_add(server->watch, &link->watched, fd, server->settings.request_deadline_ms);
}

static void link_close(struct link *link)
{
	if (!link)
		return;
	watch_remove(link->server->watch, &link->watched);
	atomic_fetch_sub(&link->server->connections, 1);
	exchange_drop_spare(link);
	free((void *)(uintptr_t)link->peer.groups);
	free(link);
}

static struct link *link_find(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

struct tls *link_tls(struct MHD_Connection *connection)
{
	struct link *link = connection ? link_find(connection) : NULL;

	return link ? link->server->tls : NULL;
}

/* ------------------------------------------------------------ callbacks -- */

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		link_open(context, connection, socket_context);
	else
		link_close(*socket_context);
}

/* The raw target, before the library decodes anything. NULL ends the connection. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
	return exchange_begin(context, link_find(connection), target);
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
				 const char *method, const char *version, const char *data,
				 size_t *size, void **con_cls)
{
	struct exchange *exchange = *con_cls;
	int result;

	(void)context;
	(void)url;
	(void)version;
	if (!exchange)
		return MHD_NO;
	result = exchange_access(&exchange, connection, method, data, size);
	*con_cls = exchange;
	return result == MHD_YES ? MHD_YES : MHD_NO;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	(void)context;
	(void)connection;
	(void)code;
	if (*con_cls)
		exchange_end(*con_cls);
	*con_cls = NULL;
}

/* The library's own messages are about peers' mistakes; requests are logged by us. */
static void on_message(void *context, const char *format, va_list args)
{
	(void)context;
	(void)format;
	(void)args;
}

/* We read the raw target ourselves: leave what the library shows untouched. */
static size_t on_unescape(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strlen(text);
}

static void on_tick(void *context, int64_t now_us)
{
	struct http_server *server = context;

	if (server->slow)
		slow_sweep(server->slow, now_us);
}

/* ---------------------------------------------------------------- start -- */

/* One for each core's worker, and one whose turn is next. */
static unsigned default_starts(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores > 0 ? (unsigned)cores + 1 : 2;
}

static void settings_default(struct http_settings *settings)
{
	if (settings->threads == 0)
		settings->threads = 4;
	if (settings->connections_max == 0)
		settings->connections_max = 128;
	if (settings->request_deadline_ms == 0)
		settings->request_deadline_ms = 30000;
	if (settings->idle_deadline_ms == 0)
		settings->idle_deadline_ms = settings->request_deadline_ms;
	if (settings->slow_threads == 0)
		settings->slow_threads = 8;
	if (settings->slow_starts_max == 0)
		settings->slow_starts_max = default_starts();
	if (settings->slow_queue_max == 0)
		settings->slow_queue_max = 256;
	if (settings->slow_deadline_ms == 0)
		settings->slow_deadline_ms = 30000;
	if (!settings->name)
		settings->name = "";
}

static void options_tls(struct MHD_OptionItem *options)
{
	options[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls_callback() };
	options[1] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0,
					      (void *)(uintptr_t)tls_priorities };
	options[2] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
}

static struct MHD_Daemon *daemon_start(struct http_server *server, unsigned flags,
				       unsigned connections_max)
{
	struct MHD_OptionItem tls[3] = { { MHD_OPTION_END, 0, NULL } };

	flags |= MHD_USE_ITC | MHD_USE_ERROR_LOG;
	if (server->tls) {
		flags |= MHD_USE_TLS;
		options_tls(tls);
	}
	/* The logger comes first, so that it also takes what is said while starting. */
	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_message,
		NULL, MHD_OPTION_LISTEN_SOCKET, server->settings.listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, connections_max, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT,
		1, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_ARRAY, tls,
		MHD_OPTION_END);
}

/* One turn that also ends when a suspended connection is resumed. */
static void loop_turn_awake(struct loop *loop)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd ready[] = { { .fd = info->epoll_fd, .events = POLLIN },
				  { .fd = loop->wake.fd, .events = POLLIN } };
	MHD_UNSIGNED_LONG_LONG wait_ms;
	uint64_t count;

	if (MHD_get_timeout(loop->daemon, &wait_ms) != MHD_YES || wait_ms > LOOP_WAIT_MS)
		wait_ms = LOOP_WAIT_MS;
	if (poll(ready, ARRAY_LEN(ready), (int)wait_ms) > 0 && (ready[1].revents & POLLIN)) {
		(void)!read(loop->wake.fd, &count, sizeof(count));
		/* Before the look: who is resumed from here on rings again. */
		atomic_store(&loop->wake.rung, false);
	}
	MHD_run(loop->daemon);
}

static void *loop_main(void *context)
{
	struct loop *loop = context;
	bool accepts = true;

	loop_wake = &loop->wake;
	figures_begin_loop();
	pulse_begin(&loop->pulse);
	pthread_setname_np(pthread_self(), "http");
	for (;;) {
		int phase = atomic_load(&loop->server->phase);

		if (accepts && phase != PHASE_RUN) {
			MHD_quiesce_daemon(loop->daemon);
			accepts = false;
		}
		/* Once more after the end was seen: what was suspended is taken back then. */
		if (phase != PHASE_END && atomic_load(&loop->wake.suspended) > 0)
			loop_turn_awake(loop);
		else
			MHD_run_wait(loop->daemon, phase == PHASE_END ? 0 : LOOP_WAIT_MS);
		pulse_beat(&loop->pulse);
		if (phase == PHASE_END)
			break;
	}
	pulse_end(&loop->pulse);
	return NULL;
}

static int loops_start(struct http_server *server, struct err *err)
{
	const struct http_settings *settings = &server->settings;
	unsigned each = (settings->connections_max + settings->threads - 1) / settings->threads;

	server->loops = alloc_zeroed(settings->threads, sizeof(*server->loops));
	if (!server->loops)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (unsigned i = 0; i < settings->threads; i++)
		server->loops[i].wake.fd = -1;
	for (server->loop_count = 0; server->loop_count < settings->threads; server->loop_count++) {
		struct loop *loop = &server->loops[server->loop_count];

		loop->server = server;
		loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (loop->wake.fd < 0)
			return err_set_errno(err, ERR_IO, errno, "cannot open eventfd");
		loop->daemon = daemon_start(server, MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, each);
		if (!loop->daemon)
			return err_set(err, ERR_IO, "cannot start the HTTP listener '%s'",
				       settings->name);
	}
	for (unsigned i = 0; i < server->loop_count; i++) {
		int failed = pthread_create(&server->loops[i].thread, NULL, loop_main,
					    &server->loops[i]);

		if (failed)
			return err_set_errno(err, ERR_UNAVAILABLE, failed, "cannot start a thread");
		server->loops[i].started = true;
	}
	return 0;
}

static int threads_start(struct http_server *server, struct err *err)
{
	server->daemon = daemon_start(server,
				      MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
					      MHD_USE_THREAD_PER_CONNECTION,
				      server->settings.connections_max);
	if (!server->daemon)
		return err_set(err, ERR_IO, "cannot start the HTTP listener '%s'",
			       server->settings.name);
	return 0;
}

static int64_t tick_ms(const struct http_settings *settings)
{
	int64_t shortest = settings->request_deadline_ms < settings->slow_deadline_ms
				   ? settings->request_deadline_ms
				   : settings->slow_deadline_ms;
	int64_t tick = shortest / TICKS_PER_DEADLINE;

	return tick < TICK_MIN_MS ? TICK_MIN_MS : tick > TICK_MAX_MS ? TICK_MAX_MS : tick;
}

static int trusted_copy(struct http_server *server, struct err *err)
{
	size_t count = server->settings.trusted_count;

	server->trusted = alloc_zeroed(count ? count : 1, sizeof(*server->trusted));
	if (!server->trusted)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		server->trusted[i] = server->settings.trusted[i];
	return 0;
}

static int server_prepare(struct http_server *server, struct err *err)
{
	struct http_settings *settings = &server->settings;

	settings_default(settings);
	if (!settings->certificate_path != !settings->key_path)
		return err_set(err, ERR_INVALID,
			       "a certificate needs its key, and a key its certificate");
	if (http_listen_prepare(settings->listen_fd, &server->listens_unix, err) < 0 ||
	    trusted_copy(server, err) < 0)
		return -1;
	if (settings->certificate_path) {
		server->tls = tls_create(settings->certificate_path, settings->key_path, err);
		if (!server->tls)
			return -1;
	}
	if (settings->threading == HTTP_POOL) {
		server->slow = slow_create(settings, err);
		if (!server->slow)
			return -1;
	}
	server->watch = watch_create(tick_ms(settings), on_tick, server, err);
	return server->watch ? 0 : -1;
}

/* ----------------------------------------------------------------- stop -- */

static void wait_idle(struct http_server *server, int64_t wait_ms)
{
	int64_t until_us = clock_monotonic_us() + wait_ms * 1000;
	const struct timespec pause = { .tv_nsec = 2000000 };

	while (atomic_load(&server->active) > 0 && clock_monotonic_us() < until_us)
		nanosleep(&pause, NULL);
}

/* The library ends what is left of its connections here. */
static void loops_stop(struct http_server *server)
{
	atomic_store(&server->phase, PHASE_END);
	for (unsigned i = 0; server->loops && i < server->settings.threads; i++) {
		struct loop *loop = &server->loops[i];

		if (loop->started)
			pthread_join(loop->thread, NULL);
		else if (loop->daemon)
			MHD_quiesce_daemon(loop->daemon); /* or it closes the socket */
		if (loop->daemon)
			MHD_stop_daemon(loop->daemon);
		if (loop->wake.fd >= 0)
			close(loop->wake.fd);
	}
	free(server->loops);
}

/* Also one that was started in part. */
static void server_destroy(struct http_server *server)
{
	if (server->loops)
		loops_stop(server);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	watch_destroy(server->watch); /* it looks after the slow ones */
	slow_destroy(server->slow);
	tls_destroy(server->tls);
	if (server->settings.listen_fd >= 0)
		close(server->settings.listen_fd);
	free(server->trusted);
	free(server);
}

struct http_server *http_server_start(const struct http_settings *settings, struct err *err)
{
	struct http_server *server = alloc_zeroed(1, sizeof(*server));

	if (!server) {
		close(settings->listen_fd);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	server->settings = *settings;
	if (server_prepare(server, err) < 0 ||
	    (settings->threading == HTTP_POOL ? loops_start(server, err)
					      : threads_start(server, err)) < 0) {
		server_destroy(server);
		return NULL;
	}
	return server;
}

int http_server_reload_tls(struct http_server *server, const char *certificate_path,
			   const char *key_path, struct err *err)
{
	if (!server->tls)
		return err_set(err, ERR_CONFLICT, "listener '%s' has no TLS",
			       server->settings.name);
	return tls_reload(server->tls, certificate_path, key_path, err);
}

void http_server_counts(struct http_server *server, struct http_counts *ret_counts)
{
	struct http_counts counts = { .connections = atomic_load(&server->connections),
				      .requests = atomic_load(&server->requests) };

	slow_counts(server->slow, &counts);
	*ret_counts = counts;
}

void http_server_stop(struct http_server *server, int64_t drain_ms)
{
	if (!server)
		return;
	atomic_store(&server->phase, PHASE_DRAIN);
	if (server->daemon)
		MHD_quiesce_daemon(server->daemon);
	wait_idle(server, drain_ms);
	slow_abort(server->slow);
	if (server->slow)
		wait_idle(server, LAST_WORDS_MS);
	watch_cut(server->watch);
	server_destroy(server);
}
