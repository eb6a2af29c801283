/*
 * Server URLs and connections (see server.h). URLs come from the
 * configuration; addresses from the resolver. Nothing a server sends is read here.
 */
#include "server.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/resolve.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

/* How long one poll waits before it asks whether to go on. */
#define SLICE_MS 200
/* More addresses than this for one name are not tried. */
#define ADDRESSES_MAX 16

static const struct {
	const char *prefix;
	enum server_scheme scheme;
	uint16_t port;
	bool srv;
} schemes[] = {
	{ "ldap://", SERVER_LDAP, 389, false },	   { "ldaps://", SERVER_LDAPS, 636, false },
	{ "ldapi://", SERVER_LDAPI, 0, false },	   { "ldap+srv://", SERVER_LDAP, 0, true },
	{ "ldaps+srv://", SERVER_LDAPS, 0, true },
};

/*
 * A connection whose other end is gone without a word: an idle one is probed after
 * IDLE_S, and what was sent must be acknowledged within UNACKNOWLEDGED_MS. The worker's own
 * deadlines are shorter as a rule; these hold where it waits for nothing.
 */
#define IDLE_S 30
#define PROBE_S 10
#define PROBES 3
#define UNACKNOWLEDGED_MS 60000u

/* Where slapd of this system listens when `ldapi:///` names no path. */
#define LDAPI_DEFAULT_PATH "/run/slapd/ldapi"

/* Percent-decoding; false on a bad escape, a NUL or a result that does not fit. */
static bool percent_decode(const char *text, size_t size, char *out, size_t out_size)
{
	size_t used = 0;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		if (c == '%') {
			int high = i + 2 < size ? text_hex_digit((unsigned char)text[i + 1]) : -1;
			int low = i + 2 < size ? text_hex_digit((unsigned char)text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0' || used + 1 >= out_size)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;
}

static int parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port = 0;

	if (*text == '\0' || strlen(text) > 5)
		return -1;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -1;
		port = port * 10 + (unsigned long)(*c - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return -1;
	*ret_port = (uint16_t)port;
	return 0;
}

/* rest: what follows the scheme, without the final slash. */
static int parse_path(const char *rest, struct server *server, struct err *err)
{
	struct sockaddr_un address;

	if (!percent_decode(rest, strlen(rest), server->host, sizeof(server->host)))
		return err_set(err, ERR_INVALID, "bad percent escape in '%s'", server->url);
	if (server->host[0] == '\0')
		memcpy(server->host, LDAPI_DEFAULT_PATH, sizeof(LDAPI_DEFAULT_PATH));
	if (server->host[0] != '/')
		return err_set(err, ERR_INVALID, "'%s' names no absolute path", server->url);
	if (strlen(server->host) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID, "socket path '%s' too long", server->host);
	return 0;
}

static bool host_is_plausible(const char *host, bool bracketed)
{
	if (*host == '\0')
		return false;
	for (const char *c = host; *c; c++) {
		bool fits = isalnum((unsigned char)*c) || *c == '.' || *c == '-' || *c == '_';
		if (!fits && !(bracketed && (*c == ':' || *c == '%')))
			return false;
	}
	return true;
}

static int parse_host(const char *rest, struct server *server, struct err *err)
{
	bool bracketed = rest[0] == '[';
	const char *begin = rest + bracketed;
	const char *end = begin + strcspn(begin, bracketed ? "]" : ":");
	const char *port;

	memcpy(server->host, begin, (size_t)(end - begin));
	server->host[end - begin] = '\0';
	if (bracketed && *end != ']')
		return err_set(err, ERR_INVALID, "no ']' in '%s'", server->url);
	if (!host_is_plausible(server->host, bracketed) || (server->srv && bracketed))
		return err_set(err, ERR_INVALID, "'%s' names no host", server->url);
	port = end + bracketed;
	if (*port == '\0')
		return 0;
	if (server->srv)
		return err_set(err, ERR_INVALID, "'%s' names a port, which the domain's DNS does",
			       server->url);
	if (*port != ':' || parse_port(port + 1, &server->port) < 0)
		return err_set(err, ERR_INVALID, "bad port in '%s'", server->url);
	return 0;
}

int server_parse(const char *url, struct server *ret_server, struct err *err)
{
	struct server server = { 0 };
	size_t length = strlen(url);

	if (length > SERVER_URL_MAX)
		return err_set(err, ERR_INVALID, "server URL longer than %d bytes", SERVER_URL_MAX);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t prefix = strlen(schemes[i].prefix);
		if (strncasecmp(url, schemes[i].prefix, prefix) != 0)
			continue;
		memcpy(server.url, url, length + 1);
		server.scheme = schemes[i].scheme;
		server.port = schemes[i].port;
		server.srv = schemes[i].srv;
		if (length > prefix && server.url[length - 1] == '/')
			server.url[length - 1] = '\0';
		int status = server.scheme == SERVER_LDAPI
				     ? parse_path(server.url + prefix, &server, err)
				     : parse_host(server.url + prefix, &server, err);
		if (status == 0)
			*ret_server = server;
		return status;
	}
	return err_set(err, ERR_INVALID, "'%s' is no ldap://, ldaps:// or ldapi:// URL", url);
}

/* Wait until the pending connect is decided. */
static int await_connect(int fd, int timeout_ms, bool (*cancelled)(void *), void *context,
			 struct err *err)
{
	int64_t deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
	int cause = 0;
	socklen_t size = sizeof(cause);

	for (;;) {
		struct pollfd pending = { .fd = fd, .events = POLLOUT };
		int64_t left_ms = (deadline_us - clock_monotonic_us() + 999) / 1000;
		if (cancelled && cancelled(context))
			return err_set(err, ERR_CANCELLED, "cancelled");
		if (left_ms <= 0)
			return err_set(err, ERR_UNAVAILABLE, "no answer within %d s",
				       (timeout_ms + 999) / 1000);
		int ready = poll(&pending, 1, left_ms < SLICE_MS ? (int)left_ms : SLICE_MS);
		if (ready < 0 && errno != EINTR)
			return err_set_errno(err, ERR_IO, errno, "cannot poll");
		if (ready > 0)
			break;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &size) < 0)
		cause = errno;
	if (cause)
		return err_set(err, ERR_UNAVAILABLE, "%s", strerror(cause));
	return 0;
}

/* Requests are small and wait for answers. All are hints: a kernel without one of them does without. */
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, PROBE_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, PROBES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
				 sizeof(options[i].value));
}

static int connect_address(const struct sockaddr *address, socklen_t size, int timeout_ms,
			   bool (*cancelled)(void *), void *context, int *ret_fd, struct err *err)
{
	AUTO(fd) int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make a socket");
	if (connect(fd, address, size) < 0) {
		/* EAGAIN: a unix socket whose queue is full; poll would not tell. */
		if (errno != EINPROGRESS)
			return err_set(err, ERR_UNAVAILABLE, "%s", strerror(errno));
		if (await_connect(fd, timeout_ms, cancelled, context, err) < 0)
			return -1;
	}
	/* The worker reads and writes with blocking calls; the core keeps its deadline. */
	if (fcntl(fd, F_SETFL, 0) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make a socket blocking");
	if (address->sa_family != AF_UNIX)
		set_options(fd);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int connect_path(const struct server *server, int timeout_ms, bool (*cancelled)(void *),
			void *context, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, server->host, strlen(server->host) + 1);
	if (connect_address((const struct sockaddr *)&address, sizeof(address), timeout_ms,
			    cancelled, context, ret_fd, err) < 0)
		return err_wrap(err, "cannot connect to '%s'", server->host);
	return 0;
}

static int resolve(const struct server *server, bool (*cancelled)(void *), void *context,
		   struct addrinfo **ret_found, struct err *err)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)server->port);
	return resolve_host(server->host, port, cancelled, context, ret_found, err);
}

static void numeric_text(const struct addrinfo *address, char *ret_text, size_t size)
{
	if (getnameinfo(address->ai_addr, address->ai_addrlen, ret_text, (socklen_t)size, NULL, 0,
			NI_NUMERICHOST) != 0)
		ret_text[0] = '\0';
}

int server_resolve(const struct server *server, bool (*cancelled)(void *), void *context,
		   char *ret_text, size_t size, struct err *err)
{
	struct addrinfo *found = NULL;
	size_t used = 0, tried = 0;

	if (server->scheme == SERVER_LDAPI) {
		snprintf(ret_text, size, "%s", server->host);
		return 0;
	}
	if (resolve(server, cancelled, context, &found, err) < 0)
		return -1;
	ret_text[0] = '\0';
	for (struct addrinfo *a = found; a && tried < ADDRESSES_MAX; a = a->ai_next, tried++) {
		char numeric[64];
		int put;

		numeric_text(a, numeric, sizeof(numeric));
		put = snprintf(ret_text + used, size - used, "%s%s", tried ? ", " : "", numeric);
		if (put < 0 || (size_t)put >= size - used)
			break;
		used += (size_t)put;
	}
	freeaddrinfo(found);
	return 0;
}

int server_connect(const struct server *server, int timeout_ms, bool (*cancelled)(void *),
		   void *context, int *ret_fd, struct err *err)
{
	struct addrinfo *found = NULL;
	char numeric[64] = "";
	size_t tried = 0;
	int status = -1;

	if (server->scheme == SERVER_LDAPI)
		return connect_path(server, timeout_ms, cancelled, context, ret_fd, err);
	if (resolve(server, cancelled, context, &found, err) < 0)
		return -1;
	for (struct addrinfo *a = found; a && tried < ADDRESSES_MAX; a = a->ai_next, tried++) {
		numeric_text(a, numeric, sizeof(numeric));
		status = connect_address(a->ai_addr, a->ai_addrlen, timeout_ms, cancelled, context,
					 ret_fd, err);
		if (status == 0 || (err && err->code == ERR_CANCELLED))
			break;
	}
	freeaddrinfo(found);
	if (status < 0)
		return err_wrap(err, "cannot connect to %s port %u", numeric,
				(unsigned)server->port);
	return 0;
}
