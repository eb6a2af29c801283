/*
 * HTTP over a unix socket: how rolebridgectl speaks to the daemon. No proxy,
 * no redirects, no environment; every answer has a cap. One client, one thread.
 */
#ifndef ROLEBRIDGE_CLIENT_CLIENT_H
#define ROLEBRIDGE_CLIENT_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

#define CLIENT_RESPONSE_MAX ((size_t)256 * 1024 * 1024)

struct client;

struct client_settings {
	const char *socket_path;
	int64_t connect_timeout_ms; /* 0: 5 s */
	int64_t idle_timeout_ms;    /* without a byte in either direction; 0: 120 s */
	size_t response_max;	    /* 0: CLIENT_RESPONSE_MAX */
};

struct client *client_create(const struct client_settings *settings, struct err *err);
void client_destroy(struct client *client);

/*
 * One exchange. body NULL: none; else JSON. Any HTTP status is success here: *ret_status says which.
 * The answer is appended to out. ERR_UNAVAILABLE: no daemon at the socket, or it
 * broke off; ERR_DENIED: the socket may not be opened; ERR_TOO_LARGE: answer over the cap.
 */
int client_request(struct client *client, const char *method, const char *path, const char *body,
		   int *ret_status, struct strbuf *out, struct err *err);

/* The next exchange is for this version of what it changes alone (If-Match); 0: whichever. */
void client_expect_version(struct client *client, int64_t version);

/* The next exchange's body is of this type and so long, and not JSON text. Borrows the type. */
void client_body_is(struct client *client, const char *content_type, size_t size);

/*
 * GET whose answer of status 200 is handed on piece by piece (write returns -1 to stop); any other
 * status is collected in out instead, at most 1 MiB.
 */
int client_stream(struct client *client, const char *path,
		  int (*write)(void *context, const void *data, size_t size), void *context,
		  int *ret_status, struct strbuf *out, struct err *err);

/* Append text percent-encoded as one path segment or query value. */
void client_escape(struct strbuf *out, const char *text);

static inline void client_auto(struct client **client)
{
	client_destroy(*client);
}

#endif
