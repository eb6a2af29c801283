/*
 * One HTTP request as a handler sees it, and the response it fills. Texts live
 * in the request's arena, until the response is sent. Everything here is
 * checked already: framing, path (percent-decoded segment by segment, UTF-8, no
 * NUL, no dot segments), query (the same), header names and body size.
 */
#ifndef ROLEBRIDGE_HTTP_REQUEST_H
#define ROLEBRIDGE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/strbuf.h>

#define HTTP_PARAMETERS_MAX 8
#define HTTP_QUERY_MAX 32
#define HTTP_HEADERS_MAX 100
#define HTTP_FORM_MAX 64

/* Who is at the other end of a unix socket, as the kernel says (SO_PEERCRED, SO_PEERGROUPS). */
struct http_peer {
	bool known; /* false on TCP */
	pid_t pid;
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t group_count;
};

/* The user's name, or its number where it has none. NULL: out of memory. */
const char *http_peer_name(const struct http_peer *peer, struct arena *arena);
/* Is the peer in this local group? false for a group that does not exist. */
bool http_peer_in_group(const struct http_peer *peer, const char *name);

struct http_pair {
	const char *name, *value;
};

struct http_route;
struct slow;

struct http_request {
	char id[UUID_TEXT_SIZE]; /* in the response, the log and the audit row */
	const char *method;
	const char *path;      /* raw, without the query */
	const char *query_raw; /* as it came, without the '?'; signatures are over it; "" */
	const struct http_route *route;
	void *context;		/* of the route table */
	void *listener_context; /* of the server, e.g. what kind of listener */
	struct http_peer peer;
	bool peer_has_address; /* TCP */
	struct address peer_address;
	/* A unix socket of a web listener, or a peer within the trusted networks: X-Forwarded-* counts. */
	bool peer_trusted;
	const struct cidr *trusted; /* those networks */
	size_t trusted_count;
	bool tls;	    /* this connection */
	const char *actor;  /* set by the table's before(): "unix:root"; "" */
	const void *caller; /* the same: what its handlers know of who asks; NULL */
	struct arena *arena;
	const char *body; /* NUL-terminated; "" when there is none */
	size_t body_size;
	const char *error_field; /* set with an error: the field of the request it is about */
	const char
		*error_details; /* the same: what a program can act on, as JSON; member "details" */
	unsigned retry_after_s; /* set with an error: Retry-After; 0: none */
	struct http_pair parameters[HTTP_PARAMETERS_MAX];
	size_t parameter_count;
	struct http_pair query[HTTP_QUERY_MAX];
	size_t query_count;
	const struct http_pair *headers; /* as sent; values never NULL */
	size_t header_count;
	struct slow *stage; /* the server's own: see http_request_waits */
};

/*
 * The handler of a route with HTTP_ROUTE_STAGED has done its work and now waits for others: the next one may begin. Once or
 * never; elsewhere nothing happens.
 */
void http_request_waits(struct http_request *request);

/* Of the route's pattern; never NULL for a name that stands there. */
const char *http_parameter(const struct http_request *request, const char *name);
/* NULL: not given. A name given twice was refused before. */
const char *http_query(const struct http_request *request, const char *name);
/* NULL: not sent. Caseless. The first of several. */
const char *http_header(const struct http_request *request, const char *name);
/* How many headers of that name: a second X-Forwarded-Host is somebody's forgery. */
size_t http_header_count(const struct http_request *request, const char *name);
/* A header that only a proxy may set: NULL unless peer_trusted and sent exactly once. */
const char *http_forwarded(const struct http_request *request, const char *name);
/*
 * Who asks, as far as known: the peer, or what a trusted proxy's X-Forwarded-For says: the last
 * address in it that is no trusted proxy. false: a unix socket without such a header.
 */
bool http_client_address(const struct http_request *request, struct address *ret_address);
/* The same as text in the arena, for logs and session lists; "" when not known. */
const char *http_client_text(const struct http_request *request);
/*
 * A cookie (RFC 6265 4.2.1: token=octets, no quotes kept). NULL: not sent, malformed,
 * or sent more than once: a second one is not ours.
 */
const char *http_cookie(const struct http_request *request, const char *name);

/*
 * Refuse query names outside the list (NULL-terminated): ERR_INVALID, error_field set.
 */
int http_query_allow(struct http_request *request, const char *const *names, struct err *err);
/* A whole number min..max; fallback when not given. */
int http_query_int(struct http_request *request, const char *name, int64_t min, int64_t max,
		   int64_t fallback, int64_t *ret_value, struct err *err);
/* "true" or "false"; fallback when not given. */
int http_query_bool(struct http_request *request, const char *name, bool fallback, bool *ret_value,
		    struct err *err);

/* An application/x-www-form-urlencoded body, decoded once. */
struct http_form {
	struct http_pair fields[HTTP_FORM_MAX];
	size_t count;
};
/*
 * ERR_INVALID: another or no Content-Type ("unsupported-media-type"), malformed or not UTF-8, NUL, a name twice, more
 * than HTTP_FORM_MAX fields. Values are as long as the body may be.
 */
int http_form_read(struct http_request *request, struct http_form *ret_form, struct err *err);
/* NULL: not given. */
const char *http_form_value(const struct http_form *form, const char *name);

/* A body that is produced while it is sent. */
struct http_stream {
	/* Append the next part to out (empty: end). -1 cuts the connection: the peer sees it broken off. */
	int (*next)(void *context, struct strbuf *out, struct err *err);
	void (*close)(void *context); /* always called once; may be NULL */
	void *context;
};

#define HTTP_RESPONSE_MAX ((size_t)64 * 1024 * 1024)
#define HTTP_RESPONSE_HEADERS_MAX 32

struct http_response {
	int status;		   /* 200 unless set */
	const char *content_type;  /* "application/json" unless set; static or arena */
	struct strbuf body;	   /* cap HTTP_RESPONSE_MAX */
	struct http_stream stream; /* used when next is set; body is ignored then */
	struct http_prepared
		*prepared; /* when set, all of the answer; a reference that is taken over */
	struct http_pair headers[HTTP_RESPONSE_HEADERS_MAX];
	size_t header_count;
	bool failed; /* a header did not fit: 500 instead of this response */
	/* Web listeners' Content-Security-Policy; a header of that name set above replaces all of it. */
	/*
	 * An origin that forms may go to besides 'self', and from there by redirects to any https address: browsers
	 * hold redirects to the policy, too, and IdPs send people on to others. NULL: none.
	 */
	const char *form_action;
	bool framed; /* may be shown in frames of other sites: logout at the IdP's wish */
};

/*
 * Texts are borrowed. Past HTTP_RESPONSE_HEADERS_MAX, and for a value with a line break or another control
 * character or a NULL, the response as a whole fails (500) and false is returned. Several
 * of one name are sent as several. One with an empty value is not sent.
 */
bool http_response_header(struct http_response *response, const char *name, const char *value);

/*
 * An answer that is made once, counted, and sent many times, from any thread: what is the same for all
 * requests. Only for routes with HTTP_ROUTE_BARE: others have headers of their own for each request.
 */
struct http_prepared;
/*
 * Status, headers, content type and body of response, which stays the caller's. ERR_INTERNAL: it failed, or has a
 * stream or a prepared answer itself.
 */
struct http_prepared *http_prepared_create(const struct http_response *response, struct err *err);
struct http_prepared *http_prepared_acquire(struct http_prepared *prepared);
void http_prepared_release(struct http_prepared *prepared); /* NULL is fine */

enum http_same_site { HTTP_SAME_SITE_LAX, HTTP_SAME_SITE_STRICT, HTTP_SAME_SITE_NONE };

struct http_set_cookie {
	const char *name, *value;
	const char *path;  /* NULL: "/" */
	int64_t max_age_s; /* -1: until the browser ends; 0: remove it */
	bool insecure; /* without Secure: http on loopback only; refused for __Host-, __Secure- and None */
	bool script_visible; /* without HttpOnly */
	enum http_same_site same_site;
};
/* ERR_INTERNAL: name or value hold what a cookie may not; fails the response, too. */
int http_response_cookie(struct http_response *response, struct arena *arena,
			 const struct http_set_cookie *cookie, struct err *err);
/* 302 or 303 to location (borrowed, printable ASCII: else ERR_INTERNAL), empty body. */
int http_redirect(struct http_response *response, int status, const char *location,
		  struct err *err);
/* Append text with & < > " ' escaped. */
void http_html_escape(struct strbuf *out, const char *text);
/* Append text percent-encoded (RFC 3986 unreserved stays). */
void http_url_escape(struct strbuf *out, const char *text);

/* --- errors --- */
struct http_error_kind {
	enum err_code code;
	int status;
	const char *name; /* the stable code when the err has no reason */
};
/* The status of an error; reasons that have a status of their own first ("method-not-allowed" 405 …). */
int http_error_status(const struct err *err, bool has_field);
/* The stable code word of an error. */
const char *http_error_code(const struct err *err);
/* {"code","message","field"?,"details"?,"request_id"}; details is JSON already. NULL: none. */
void http_error_json(const struct err *err, const char *field, const char *details,
		     const char *request_id, struct strbuf *out);

#endif
