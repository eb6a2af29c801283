/* The other end: sockets that say raw bytes and hear what comes. */
#ifndef TESTS_HTTP_PEER_H
#define TESTS_HTTP_PEER_H

#include <rolebridge/base/strbuf.h>

/* -1: nobody listens there. */
int peer_dial_tcp(unsigned port);
int peer_dial_unix(const char *path);
/* All of it, unless the other side hangs up. */
void peer_say(int fd, const char *text);
void peer_say_bytes(int fd, const void *data, size_t size);
/* All until the end of the connection. */
void peer_hear(int fd, struct strbuf *out);

#endif
