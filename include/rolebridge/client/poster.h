/*
 * Many POST requests to one URL, several under way at once, over connections that are kept; where they may go is as fetch.h
 * has it, and the host is resolved and checked anew at a run, when that is 30 s ago. Of an answer the status counts, and when it asks to be
 * left alone; its body is read to its end, at most 64 KiB of it, and thrown away.
 *
 *	poster_create → poster_run, as often as there is something to send → poster_destroy, all by one thread at a time
 */
#ifndef ROLEBRIDGE_CLIENT_POSTER_H
#define ROLEBRIDGE_CLIENT_POSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>

#define POSTER_CONCURRENCY_MAX 64
#define POST_HEADERS_MAX 8

/* Nothing of it is needed after poster_create. */
struct poster_settings {
	const char *url;
	const char *ca_file;		     /* NULL: the system's */
	const char *const *allowed_networks; /* CIDR */
	size_t allowed_network_count;
	bool allow_http;    /* only within allowed networks */
	int64_t timeout_ms; /* of one request, from connecting to the answer's last byte */
	size_t concurrency; /* requests under way at once, 1 to POSTER_CONCURRENCY_MAX */
};

struct post {
	void *context; /* the caller's */
	const void *body;
	size_t body_size;
	const char *headers[POST_HEADERS_MAX]; /* "Name: value", printable; NULL behind the last */
};

struct post_answer {
	int status;	       /* 0: there was no whole answer */
	int64_t retry_after_s; /* as the answer asks for, from now; 0: it does not */
	const char *problem;   /* of status 0: why; never what the other side said */
	bool cancelled;	       /* of status 0 */
};

struct poster_ports {
	void *context;
	/* What is to be sent next: 1; 0: nothing any more. What post points at stays until it has ended. */
	int (*next)(void *context, struct post *ret_post);
	/* Each that was begun ends once. */
	void (*ended)(void *context, const struct post *post, const struct post_answer *answer);
	/* Asked several times a second; true: give up. May be NULL. */
	bool (*cancelled)(void *context);
};

/* What it says of itself, without asking anybody. ERR_INVALID. */
int poster_check_url(const char *url, struct err *err);

struct poster;

/* NULL: ERR_INVALID (URL, network), ERR_MEMORY. */
struct poster *poster_create(const struct poster_settings *settings, struct err *err);
void poster_destroy(struct poster *poster);

/*
 * Until next has nothing more and all have ended. -1: nothing (more) was begun; all that was has ended. ERR_DENIED
 * "address-refused", ERR_UNAVAILABLE: its host cannot be resolved. ERR_CANCELLED.
 */
int poster_run(struct poster *poster, const struct poster_ports *ports, struct err *err);

static inline void poster_auto(struct poster **poster)
{
	poster_destroy(*poster);
}

#endif
