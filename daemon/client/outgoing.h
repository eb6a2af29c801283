/*
 * What all requests to other servers have in common, whoever keeps the connection: the URL is read strictly, its host
 * is resolved here, each address is checked against what is allowed, and libcurl is left no way around.
 */
#ifndef ROLEBRIDGE_CLIENT_OUTGOING_INTERNAL_H
#define ROLEBRIDGE_CLIENT_OUTGOING_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/err.h>

/* Nothing of it is needed after outgoing_open. */
struct outgoing_rules {
	const char *url;
	const char *ca_file;		     /* NULL: the system's */
	const char *const *allowed_networks; /* CIDR */
	size_t allowed_network_count;
	bool allow_http; /* only within allowed networks */
};

struct outgoing {
	struct cidr *allowed;
	size_t allowed_count;
	char *url, *host, *port; /* libcurl's */
	char *ca_file;		 /* NULL: the system's */
	bool http;
	bool literal;		 /* the host is an address */
	struct curl_slist *pins; /* "host:port:address,address" of the last resolving */
	bool refused; /* libcurl was about to connect to an address that is not allowed */
};

/* Reads the rules and prepares libcurl. ERR_INVALID. What is there is to be finished, also after a failure. */
int outgoing_open(struct outgoing *outgoing, const struct outgoing_rules *rules, struct err *err);
void outgoing_finish(struct outgoing *outgoing);
/*
 * The host's addresses anew. ERR_DENIED "address-refused", ERR_UNAVAILABLE, ERR_CANCELLED; the pins are then as they were.
 * cancelled: as resolve_host has it.
 */
int outgoing_resolve(struct outgoing *outgoing, bool (*cancelled)(void *context), void *context,
		     struct err *err);
/* The error where refused is set. Returns -1. */
int outgoing_refuse(const struct outgoing *outgoing, struct err *err);
/* All but method, body, headers and what is done with the answer. outgoing must outlive the handle's use. */
void outgoing_configure(struct outgoing *outgoing, CURL *curl);

#endif
