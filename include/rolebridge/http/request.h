/*
 * One HTTP request as a handler sees it, and the response it fills. Texts live
 * in the request's arena, until the response is sent. Everything here is
 * checked already: framing, path (percent-decoded segment by segment, UTF-8, no
 * NUL, no dot segments), query (the same) and body size.
 */
#ifndef ROLEBRIDGE_HTTP_REQUEST_H
#define ROLEBRIDGE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/strbuf.h>

#define HTTP_PARAMETERS_MAX 8
#define HTTP_QUERY_MAX 32

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
struct http_header_source;

struct http_request {
	char id[UUID_TEXT_SIZE]; /* in the response, the log and the audit row */
	const char *method;
	const char *path; /* raw, without the query */
	const struct http_route *route;
	void *context;		/* of the route table */
	void *listener_context; /* of the server, e.g. what kind of listener */
	struct http_peer peer;
	const char *actor; /* set by the table's before(): "unix:root"; "" */
	struct arena *arena;
	const char *body; /* NUL-terminated; "" when there is none */
	size_t body_size;
	const char *error_field; /* set with an error: the field of the request it is about */
	struct http_pair parameters[HTTP_PARAMETERS_MAX];
	size_t parameter_count;
	struct http_pair query[HTTP_QUERY_MAX];
	size_t query_count;
	const struct http_header_source *headers; /* the server's */
};

/* Of the route's pattern; never NULL for a name that stands there. */
const char *http_parameter(const struct http_request *request, const char *name);
/* NULL: not given. A name given twice was refused before. */
const char *http_query(const struct http_request *request, const char *name);
/* NULL: not sent. Caseless. The first of several. */
const char *http_header(const struct http_request *request, const char *name);

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

/* A body that is produced while it is sent. */
struct http_stream {
	/* Append the next part to out (empty: end). -1 cuts the connection: the peer sees it broken off. */
	int (*next)(void *context, struct strbuf *out, struct err *err);
	void (*close)(void *context); /* always called once; may be NULL */
	void *context;
};

#define HTTP_RESPONSE_MAX ((size_t)64 * 1024 * 1024)
#define HTTP_RESPONSE_HEADERS_MAX 16

struct http_response {
	int status;		   /* 200 unless set */
	const char *content_type;  /* "application/json" unless set; static or arena */
	struct strbuf body;	   /* cap HTTP_RESPONSE_MAX */
	struct http_stream stream; /* used when next is set; body is ignored then */
	struct http_pair headers[HTTP_RESPONSE_HEADERS_MAX];
	size_t header_count;
};

/* Texts are borrowed. Past HTTP_RESPONSE_HEADERS_MAX the header is dropped and false returned. */
bool http_response_header(struct http_response *response, const char *name, const char *value);

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
/* {"code","message","field"?,"request_id"} */
void http_error_json(const struct err *err, const char *field, const char *request_id,
		     struct strbuf *out);

#endif
