/*
 * Absolute http(s) URLs taken apart and brought to one form, and paths as servers
 * may read them. Enters: text of the configuration or of a browser. Leaves: a struct url
 * that borrows nothing. Fails with ERR_INVALID and what is wrong.
 */
#ifndef ROLEBRIDGE_AUTH_URL_H
#define ROLEBRIDGE_AUTH_URL_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/err.h>

#define URL_HOST_MAX 272 /* 253 of a name, ":", a number, NUL */
#define URL_TEXT_MAX 2048

struct url {
	bool is_https;
	char host[URL_HOST_MAX]; /* lower case, default port left out; IPv6 in brackets */
	const char *path;	 /* as it was written, from its '/'; "" when there is none */
	size_t path_size;	 /* to the '?', '#' or end */
	bool has_query;		 /* '?' or '#' follows */
};

/* text must outlive *ret_url: path points into it. No user, no blanks, no control or non-ASCII characters. */
int url_parse(const char *text, struct url *ret_url, struct err *err);
/* "Host" of a request or "host[:port]" of a URL, of at most size bytes, to the form of struct url. */
int url_host_normalise(bool is_https, const char *host, size_t size, char ret_host[URL_HOST_MAX],
		       struct err *err);
/* localhost, *.localhost, 127.0.0.0/8, [::1], with any port. */
bool url_host_is_loopback(const char *host);
/* Length of the host without its port. */
size_t url_host_name_size(const char *host);

#endif
