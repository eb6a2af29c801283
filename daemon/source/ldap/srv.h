/*
 * Servers as a source names them, those behind a domain's SRV records (RFC 2782)
 * looked up. DNS is a hostile peer: what it says is bounded and checked, and the certificate
 * must name the host that it named.
 */
#ifndef SOURCE_LDAP_SRV_H
#define SOURCE_LDAP_SRV_H

#include <stddef.h>
#include <stdint.h>

#include <rolebridge/config/options.h>

#include "server.h"

#define SRV_TARGETS_MAX 32
#define SRV_HOST_MAX 253

struct srv_target {
	uint16_t priority, weight, port;
	char host[SRV_HOST_MAX + 1];
};

/*
 * The SRV records of an answer, as they came; those beyond SRV_TARGETS_MAX, of a port 0 or a host that
 * is none are left out. -1 with ERR_PROTOCOL when the answer does not parse.
 */
int srv_decode(const void *answer, size_t size,
	       struct srv_target ret_targets[static SRV_TARGETS_MAX], size_t *ret_count,
	       struct err *err);
/* In the order in which they are to be asked: by priority, within one by chance according to weight. */
void srv_order(struct srv_target *targets, size_t count, uint32_t (*chance)(uint32_t below));

struct server_list {
	struct server *items; /* owned: server_list_finish */
	size_t count;
	char problem[256]; /* of the last name that could not be looked up; "" */
};

/* All servers in order. -1 with ERR_INVALID for a URL that is none, or ERR_MEMORY. Blocks as resolvers do. */
int server_list(const struct located_list *urls, struct server_list *ret_list, struct err *err);
void server_list_finish(struct server_list *list);

#endif
