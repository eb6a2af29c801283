/* What the files of http/ share and nobody else sees. */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>

#include <rolebridge/http/request.h>
#include <rolebridge/http/router.h>
#include <rolebridge/http/server.h>

#define HTTP_TARGET_MAX 8192

struct MHD_Connection;

/* Percent-decode strictly: UTF-8, no NUL. plus: '+' is a space (query). */
int http_decode(struct arena *arena, const char *text, size_t size, bool plus,
		const char **ret_text, struct err *err);
/* Split "/path?query" into request->path and request->query_raw. */
int http_target_parse(struct http_request *request, const char *target, struct err *err);
/* request->query_raw into request->query. */
int http_query_parse(struct http_request *request, struct err *err);

/* Peer of a connected unix socket; groups from the heap (free). known stays false on others. */
int http_peer_read(int fd, struct http_peer *ret_peer, struct err *err);
/* Is it a listening stream socket? Makes it close-on-exec and non-blocking. */
int http_listen_prepare(int fd, bool *ret_unix, struct err *err);

const char *http_pair_find(const struct http_pair *pairs, size_t count, const char *name);
/* Header names, caseless. Most differ in their first letters: no call for those. */
static inline bool http_name_equal(const char *a, const char *b)
{
	return ((a[0] ^ b[0]) & ~0x20) == 0 && strcasecmp(a, b) == 0;
}
/* RFC 9110 5.6.2 */
bool http_token_valid(const char *name);
/* Only what may stand in a cookie's value (RFC 6265 4.1.1). */
bool http_cookie_value_valid(const char *text, size_t size);

/* --- deadlines of connections (deadline.c) --- */
struct watch;
struct watched { /* embed one per connection */
	struct watched *previous, *next;
	int fd;
	_Atomic int64_t deadline_us; /* monotonic; 0: none */
};
/* What else is to be done at each look. */
typedef void (*watch_hook)(void *context, int64_t now_us);
/* Starts a thread that shuts down sockets whose deadline has passed; it looks every tick_ms. */
struct watch *watch_create(int64_t tick_ms, watch_hook hook, void *context, struct err *err);
void watch_destroy(struct watch *watch);
void watch_add(struct watch *watch, struct watched *item, int fd, int64_t timeout_ms);
void watch_remove(struct watch *watch, struct watched *item);
/* timeout_ms 0: no deadline. No lock: for each request. */
void watch_set(struct watched *item, int64_t timeout_ms);
/* The same, but never later than what stands. */
void watch_shorten(struct watched *item, int64_t timeout_ms);
/* Shut down all sockets. */
void watch_cut(struct watch *watch);

/* --- certificates (tls.c) --- */
struct tls;
struct tls *tls_create(const char *certificate_path, const char *key_path, struct err *err);
void tls_destroy(struct tls *tls);
int tls_reload(struct tls *tls, const char *certificate_path, const char *key_path,
	       struct err *err);
struct tls_pair;
/* The pair for a connection that begins now; valid until long after its handshake. */
const struct tls_pair *tls_current(struct tls *tls);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK: a gnutls_certificate_retrieve_function2. */
void *tls_callback(void);
/* TLS 1.2 and newer. */
extern const char tls_priorities[];
/* The certificates of the listener that a connection belongs to (server.c). */
struct tls *link_tls(struct MHD_Connection *connection);

/* --- connections and requests --- */
struct exchange;

struct link {
	struct watched watched;
	struct http_server *server;
	struct http_peer peer;
	struct address address;
	bool has_address, trusted;
	bool refused;		/* the peer could not be read */
	struct exchange *spare; /* of the last request, to be used again */
};

enum slow_state { SLOW_NOT, SLOW_QUEUED, SLOW_RUNNING, SLOW_DONE, SLOW_LATE };

struct exchange {
	struct http_request request;
	struct http_response response;
	struct http_pair headers[HTTP_HEADERS_MAX];
	struct http_server *server;
	struct link *link;
	struct strbuf body;
	struct err err;
	const char *allow; /* of a 405 */
	size_t body_max, received;
	int64_t started_us;
	/* The route's; when it let this request in. */
	int (*before)(struct http_request *request, struct err *err);
	int64_t entered_us;
	int status;
	bool begun;  /* header seen */
	bool failed; /* err is the answer */
	bool counted;

	/* Suspended requests: the connection holds one reference, the slow thread another. */
	atomic_uint references;
	_Atomic enum slow_state slow; /* changes under the lock of struct slow */
	struct MHD_Connection *connection;
	struct wake *wake; /* of the loop that suspended it */
	int64_t slow_until_us;
	int result;			  /* of the handler */
	struct exchange *next, *previous; /* in a list of struct slow */
};

void exchange_unref(struct exchange *exchange);
/* The handler, for whoever may still come in. */
int exchange_run(struct exchange *exchange);

/* --- slow handlers (slow.c) --- */
/*
 * How a resumed connection's loop hears of it at once: in a daemon whose epoll loop is run from outside, the
 * library has no such signal and would sleep on.
 */
struct wake {
	int fd;		  /* eventfd */
	atomic_bool rung; /* it was written to, and the loop has not looked yet */
	atomic_uint suspended;
};
/* The calling loop's own; set once by each loop. */
extern _Thread_local struct wake *loop_wake;

struct slow;
struct slow *slow_create(const struct http_settings *settings, struct err *err);
/* Suspends the connection and queues; false: no room, nothing happened. */
bool slow_submit(struct slow *slow, struct exchange *exchange, struct MHD_Connection *connection);
/* Give up what is past its deadline. */
void slow_sweep(struct slow *slow, int64_t now_us);
/* Take nothing more and give up all that is there: no connection stays suspended. */
void slow_abort(struct slow *slow);
/* Waits for running handlers; after slow_abort. */
void slow_destroy(struct slow *slow);
void slow_counts(struct slow *slow, struct http_counts *counts);

struct http_server {
	struct http_settings settings;
	struct cidr *trusted;
	bool listens_unix;
	struct tls *tls;
	struct watch *watch;
	struct slow *slow;	   /* pools only */
	struct MHD_Daemon *daemon; /* HTTP_THREAD_PER_CONNECTION */
	struct loop *loops;	   /* HTTP_POOL */
	unsigned loop_count;
	atomic_int phase;
	atomic_uint active; /* handlers running or answers being sent */
	atomic_uint connections;
	_Atomic uint64_t requests;
};

/* --- the library's callbacks (exchange.c) --- */
void *exchange_begin(struct http_server *server, struct link *link, const char *target);
int exchange_access(struct exchange **exchange, struct MHD_Connection *connection,
		    const char *method, const char *data, size_t *size);
void exchange_end(struct exchange *exchange);
/* The connection is gone. */
void exchange_drop_spare(struct link *link);

/* --- what was answered (figures.c) --- */
/* Once in each loop's thread. */
void figures_begin_loop(void);
/* It was answered: for http_metrics. No lock. */
void figures_note(const struct exchange *exchange);

/* --- do loops turn? (pulse.c) --- */
struct pulse { /* embed one per loop */
	struct pulse *previous, *next;
	atomic_uint turns;
	unsigned seen;
	bool looked_at;
};
/* In the loop's own thread: before its first turn, after its last one, and in each. */
void pulse_begin(struct pulse *pulse);
void pulse_end(struct pulse *pulse);
static inline void pulse_beat(struct pulse *pulse)
{
	atomic_fetch_add_explicit(&pulse->turns, 1, memory_order_relaxed);
}

/* --- answers (answer.c): queue the response; MHD_YES or MHD_NO. last: the connection ends with it --- */
int answer_filled(struct MHD_Connection *connection, struct exchange *exchange);
int answer_error(struct MHD_Connection *connection, struct exchange *exchange, bool last);
/* prepared.c: the same for an answer made before. */
int prepared_queue(const struct http_prepared *prepared, struct MHD_Connection *connection,
		   bool last, int *ret_status);

#endif
