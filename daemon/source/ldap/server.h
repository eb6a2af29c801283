/*
 * One server of an ldap source: its URL (RFC 4516, only the part that names a
 * server) taken apart, and the connection to it. Used by the core alone: the
 * worker gets a connected socket.
 */
#ifndef SOURCE_LDAP_SERVER_H
#define SOURCE_LDAP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>

#define SERVER_URL_MAX 255

enum server_scheme { SERVER_LDAP, SERVER_LDAPS, SERVER_LDAPI };

struct server {
	enum server_scheme scheme;
	bool srv;		      /* host is a domain, whose DNS names the servers: see srv.h */
	char url[SERVER_URL_MAX + 1]; /* scheme://host:port, as messages show it */
	char host[SERVER_URL_MAX + 1]; /* without brackets; for ldapi the path of the socket */
	uint16_t port;
};

/*
 * ldap://HOST[:PORT][/], ldaps://HOST[:PORT][/], ldapi://[PERCENT-ENCODED-PATH][/],
 * ldap+srv://DOMAIN[/], ldaps+srv://DOMAIN[/].
 * -1 with ERR_INVALID on anything else: a base, filter or user in the URL has its own option.
 */
int server_parse(const char *url, struct server *ret_server, struct err *err);

/*
 * Its addresses as text, with commas between, for people. -1 with ERR_UNAVAILABLE or ERR_CANCELLED: cancelled as below.
 */
int server_resolve(const struct server *server, bool (*cancelled)(void *), void *context,
		   char *ret_text, size_t size, struct err *err);

/*
 * A connected, blocking stream socket. Every address is tried, at most
 * timeout_ms each; cancelled (may be NULL) is asked several times a second.
 * -1 with ERR_UNAVAILABLE and the last address's cause, or ERR_CANCELLED.
 */
int server_connect(const struct server *server, int timeout_ms, bool (*cancelled)(void *),
		   void *context, int *ret_fd, struct err *err);

#endif
