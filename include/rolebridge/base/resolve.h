/* Addresses of a host, asked for by somebody who may be told to stop. */
#ifndef ROLEBRIDGE_BASE_RESOLVE_H
#define ROLEBRIDGE_BASE_RESOLVE_H

#include <netdb.h>
#include <stdbool.h>

#include <rolebridge/base/err.h>

/*
 * All addresses for streams; port NULL or a number. freeaddrinfo the list. cancelled: asked five times a second, may be
 * NULL. ERR_UNAVAILABLE, ERR_MEMORY; ERR_CANCELLED at once, whatever the name server does.
 */
int resolve_host(const char *host, const char *port, bool (*cancelled)(void *context),
		 void *context, struct addrinfo **ret_list, struct err *err);

#endif
