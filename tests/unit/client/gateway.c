#include "gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define CONNECTIONS_MAX 64

struct connection {
	struct gateway *gateway;
	pthread_t thread;
	int fd;
};

struct gateway {
	const char *answer;
	int listen_fd;
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	unsigned count;
	char request[REQUEST_MAX];
	struct connection connections[CONNECTIONS_MAX];
	unsigned connection_count;
};

static bool is_whole(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");

	if (!end)
		return false;
	return !length || strlen(end + 4) >= strtoul(length + strlen("Content-Length: "), NULL, 10);
}

static void *serve(void *context)
{
	struct connection *connection = context;
	struct gateway *gateway = connection->gateway;
	char *text = calloc(1, REQUEST_MAX), byte;
	size_t size = 0;
	ssize_t got = 1;

	while (got > 0 && !is_whole(text)) {
		got = recv(connection->fd, text + size, REQUEST_MAX - 1 - size, 0);
		size += got > 0 ? (size_t)got : 0;
	}
	if (got > 0) {
		pthread_mutex_lock(&gateway->lock);
		memcpy(gateway->request, text, REQUEST_MAX);
		gateway->count++;
		pthread_cond_broadcast(&gateway->arrived);
		pthread_mutex_unlock(&gateway->lock);
		if (gateway->answer)
			(void)!send(connection->fd, gateway->answer, strlen(gateway->answer),
				    MSG_NOSIGNAL);
		else
			(void)!recv(connection->fd, &byte, 1, 0);
		shutdown(connection->fd, SHUT_RDWR);
	}
	free(text);
	return NULL;
}

static void *listen_for(void *context)
{
	struct gateway *gateway = context;
	int fd;

	while ((fd = accept4(gateway->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = &gateway->connections[gateway->connection_count];

		*connection = (struct connection){ .gateway = gateway, .fd = fd };
		pthread_create(&connection->thread, NULL, serve, connection);
		gateway->connection_count++;
		if (gateway->connection_count == CONNECTIONS_MAX)
			break;
	}
	return NULL;
}

struct gateway *gateway_start(const char *answer)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	assert_non_null(gateway);
	gateway->answer = answer;
	pthread_mutex_init(&gateway->lock, NULL);
	pthread_cond_init(&gateway->arrived, NULL);
	gateway->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(gateway->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(gateway->listen_fd, CONNECTIONS_MAX), 0);
	assert_int_equal(getsockname(gateway->listen_fd, (struct sockaddr *)&address, &size), 0);
	gateway->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&gateway->thread, NULL, listen_for, gateway), 0);
	return gateway;
}

void gateway_stop(struct gateway *gateway)
{
	shutdown(gateway->listen_fd, SHUT_RDWR);
	pthread_join(gateway->thread, NULL);
	for (unsigned i = 0; i < gateway->connection_count; i++) {
		shutdown(gateway->connections[i].fd, SHUT_RDWR);
		pthread_join(gateway->connections[i].thread, NULL);
		close(gateway->connections[i].fd);
	}
	close(gateway->listen_fd);
	pthread_cond_destroy(&gateway->arrived);
	pthread_mutex_destroy(&gateway->lock);
	free(gateway);
}

uint16_t gateway_port(const struct gateway *gateway)
{
	return gateway->port;
}

void gateway_wait(struct gateway *gateway, unsigned count)
{
	pthread_mutex_lock(&gateway->lock);
	while (gateway->count < count)
		pthread_cond_wait(&gateway->arrived, &gateway->lock);
	pthread_mutex_unlock(&gateway->lock);
}

unsigned gateway_count(struct gateway *gateway)
{
	unsigned count;

	pthread_mutex_lock(&gateway->lock);
	count = gateway->count;
	pthread_mutex_unlock(&gateway->lock);
	return count;
}

const char *gateway_request(struct gateway *gateway)
{
	return gateway->request;
}
