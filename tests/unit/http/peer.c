#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int dial(const struct sockaddr *address, socklen_t size)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, address, size) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

int peer_dial_tcp(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return dial((struct sockaddr *)&address, sizeof(address));
}

int peer_dial_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return dial((struct sockaddr *)&address, sizeof(address));
}

void peer_say_bytes(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the server may hang up early; the answer tells */
		at += sent;
		size -= (size_t)sent;
	}
}

void peer_say(int fd, const char *text)
{
	peer_say_bytes(fd, text, strlen(text));
}

void peer_hear(int fd, struct strbuf *out)
{
	char buffer[65536];
	ssize_t size;

	while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		strbuf_append(out, buffer, (size_t)size);
}
