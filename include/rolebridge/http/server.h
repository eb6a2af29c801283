/*
 * HTTP server on libmicrohttpd: one daemon per listener, any number of
 * listeners per process.
 *
 * Requests with ambiguous framing (two Content-Lengths, Content-Length with
 * Transfer-Encoding, two Hosts, no Host) are answered with 400 and the connection
 * ends. A request must have arrived whole within request_deadline_ms, however
 * slowly it drips. Handlers run in a thread of the server and may block; what takes
 * longer than a request runs as a job elsewhere.
 *
 *	listen_unix → server_start → … → server_stop
 */
#ifndef ROLEBRIDGE_HTTP_SERVER_H
#define ROLEBRIDGE_HTTP_SERVER_H

#include <stdbool.h>

#include <rolebridge/base/err.h>
#include <rolebridge/http/router.h>

/*
 * A listening unix socket at path: mode 0660 for group (NULL or unknown: 0600, own user only).
 * A socket file on which nobody answers is replaced; one that is answered on, or a file
 * that is no socket, is ERR_CONFLICT. Changes the umask for a moment: call at start-up.
 * The descriptor is close-on-exec.
 */
int http_listen_unix(const char *path, const char *group, int *ret_fd, struct err *err);
/* Remove the socket file when it is still the one fd listens on. Before http_server_stop. */
void http_unlisten_unix(const char *path, int fd);

enum http_threading {
	HTTP_THREAD_PER_CONNECTION, /* few clients, slow handlers: the control socket */
	HTTP_POOL,		    /* epoll pool: many clients, fast handlers */
};

struct http_settings {
	const char *name; /* of the listener, in logs: "control"; static */
	int listen_fd;	  /* taken over, also on failure */
	enum http_threading threading;
	unsigned threads;	  /* of the pool; default 4 */
	unsigned connections_max; /* default 128 */
	int64_t request_deadline_ms; /* for a whole request to arrive, and idle between two; default 30 s */
	const struct http_router *router; /* must outlive the server */
	void *listener_context;
};

struct http_server;

struct http_server *http_server_start(const struct http_settings *settings, struct err *err);
/*
 * Stop accepting, let running requests end for at most drain_ms, cut what is left.
 * NULL is fine. A handler that does not return is waited for: jobs must be cancelled first.
 */
void http_server_stop(struct http_server *server, int64_t drain_ms);

#endif
