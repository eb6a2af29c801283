/*
 * HTTP server on libmicrohttpd: one daemon per listener, any number of
 * listeners per process, on unix sockets, TCP, with or without TLS.
 *
 * Requests with ambiguous framing (two Content-Lengths, Content-Length with
 * Transfer-Encoding, two Hosts, no Host, header names that are no names) are answered with 400 and the
 * connection ends. A request must have arrived whole within request_deadline_ms, however
 * slowly it drips. With HTTP_THREAD_PER_CONNECTION handlers may block. With HTTP_POOL they run in the
 * epoll threads and must be fast, those of routes with HTTP_ROUTE_SLOW in threads of their own.
 *
 *	http_listen_… → http_server_start → … → http_server_stop
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
/* May people of this group connect to the socket at path? false also when either is not there. */
bool http_unix_is_open_to(const char *path, const char *group);
/* Remove the socket file when it is still the one fd listens on. Before http_server_stop. */
void http_unlisten_unix(const char *path, int fd);

/*
 * A listening TCP socket: "127.0.0.1:8080", "[::]:443" (IPv4, too), port 0 for any free one. Numeric addresses only.
 * ERR_CONFLICT: in use. ERR_DENIED: the port may not be had.
 */
int http_listen_tcp(const char *address, int *ret_fd, struct err *err);
/* Port of a listening TCP socket; 0 for others. */
unsigned http_listen_port(int fd);

enum http_threading {
	HTTP_THREAD_PER_CONNECTION, /* few clients, slow handlers: the control socket */
	HTTP_POOL,		    /* epoll pool: many clients, fast handlers */
};

/*
 * The page of an error for people: fill body and content_type ("text/html; charset=utf-8"); status is set already.
 * request->id is the reference to show. false: the small built-in page is sent. Not called for paths
 * below /api/ and /scim/, which answer JSON. Runs in any thread.
 */
typedef bool (*http_error_page)(struct http_request *request, const struct err *err,
				struct http_response *response);

struct http_settings {
	const char *name; /* of the listener, in logs: "control"; static */
	int listen_fd; /* listening stream socket, own or inherited; taken over, also on failure */
	enum http_threading threading;
	unsigned threads;	     /* of the pool; default 4 */
	unsigned connections_max;    /* default 128 */
	int64_t request_deadline_ms; /* for a whole request to arrive; default 30 s */
	int64_t idle_deadline_ms;    /* between two requests; default: as request_deadline_ms */
	const struct http_router *router; /* must outlive the server */
	void *listener_context;

	/* PEM; both or none */
	const char *certificate_path, *key_path;

	/* Browsers are at the other end, maybe behind proxies: their headers, pages for errors. */
	bool web;
	bool hsts;		    /* public_url is https: Strict-Transport-Security */
	http_error_page error_page; /* NULL: built-in */
	const struct cidr *trusted; /* whose X-Forwarded-* counts, besides unix sockets; copied */
	size_t trusted_count;

	/* HTTP_ROUTE_SLOW on pools */
	unsigned slow_threads;	  /* default 8; started when the first is needed */
	unsigned slow_starts_max; /* HTTP_ROUTE_STAGED: at work at once; default: cores and one */
	unsigned slow_queue_max;  /* waiting besides those running; default 256 */
	int64_t slow_deadline_ms; /* waiting and running; default 30 s */
};

struct http_server;

struct http_server *http_server_start(const struct http_settings *settings, struct err *err);
/*
 * Take another certificate and key for connections from now on. The pair is checked first; on failure the old
 * one stays. ERR_INVALID: not PEM, not a pair. ERR_CONFLICT: a listener without TLS.
 */
int http_server_reload_tls(struct http_server *server, const char *certificate_path,
			   const char *key_path, struct err *err);
/* Can this pair be served? For the check of a configuration. */
int http_tls_check(const char *certificate_path, const char *key_path, struct err *err);

struct http_counts {
	uint64_t connections;		    /* open now */
	uint64_t requests;		    /* answered since the start */
	uint64_t slow_queued, slow_running; /* now */
	uint64_t slow_refused, slow_late;   /* 503 since the start */
};
void http_server_counts(struct http_server *server, struct http_counts *ret_counts);

struct strbuf;
/* Lines of /metrics: requests of all servers. */
void http_metrics(struct strbuf *out);
/*
 * Has each loop of each pool turned since this was asked last? They turn ten times a second and more, but for one whose handler
 * does not return. By one thread, with a second and more in between.
 */
bool http_loops_turn(void);

/*
 * Stop accepting, let running requests end for at most drain_ms, cut what is left.
 * NULL is fine. A handler that does not return is waited for: jobs must be cancelled first.
 */
void http_server_stop(struct http_server *server, int64_t drain_ms);

#endif
