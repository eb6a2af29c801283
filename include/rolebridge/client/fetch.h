/*
 * One request to another server (metadata, gateways; many of them: poster.h): https only, or http where
 * told; no redirects, no proxy variables; the name is resolved first, every address is checked against
 * what is allowed and the connection pinned to it, so that a name cannot answer otherwise the second time.
 * Private, loopback and link-local addresses are refused unless within an allowed network.
 */
#ifndef ROLEBRIDGE_CLIENT_FETCH_H
#define ROLEBRIDGE_CLIENT_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

struct fetch_request {
	const char *url;
	const char *etag;		     /* sent as If-None-Match; NULL: none */
	const char *ca_file;		     /* NULL: the system's */
	const char *const *allowed_networks; /* CIDR */
	size_t allowed_network_count;
	bool allow_http; /* only within allowed networks */
	/* What is sent; NULL: nothing, it is a GET, else a POST. */
	const void *body;
	size_t body_size;
	const char *content_type;
	const char *authorization; /* that header's value, a secret; NULL: none */
	int64_t timeout_ms;	   /* for all of it */
	size_t size_max;
	/* Asked about once a second; true: give up, ERR_CANCELLED. May be NULL. */
	bool (*cancelled)(void *context);
	void *context;
};
struct fetch_response {
	int status;	  /* 200, 304, … : any status is success here */
	const char *etag; /* arena; "" */
};
/*
 * The answer's body is appended to out. ERR_INVALID: url, or a header that cannot be one. ERR_DENIED "address-refused". ERR_UNAVAILABLE: not
 * reached, TLS, timeout. ERR_CANCELLED. ERR_TOO_LARGE: over size_max (also after decompression; none is asked for).
 */
int fetch(const struct fetch_request *request, struct arena *arena,
	  struct fetch_response *ret_response, struct strbuf *out, struct err *err);

#endif
