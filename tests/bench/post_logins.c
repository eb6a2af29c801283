/*
 * Posts sign-ins to a daemon, as lightly as that goes, so that what is measured is the daemon.
 *
 *	post_logins PORT CONNECTIONS < bodies
 *
 * A line of the input is the body of one request. Keep-alive connections; each request comes from an
 * address of its own, as a proxy would say it. Every answer must be 303. Prints the seconds it took, and
 * those of processor time that went into posting.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 65536

struct body {
	char *text;
	size_t size;
};

struct client {
	int fd;
	char head[512];
	size_t head_size, sent;
	const struct body *body;
	char answer[ANSWER_MAX];
	size_t got;
};

static struct body *bodies;
static size_t body_count, next_body, answered;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "post_logins: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void read_bodies(void)
{
	char *line = NULL;
	size_t room = 0, capacity = 0;
	ssize_t size;

	while ((size = getline(&line, &room, stdin)) > 0) {
		if (line[size - 1] == '\n')
			size--;
		if (body_count == capacity) {
			capacity = capacity ? capacity * 2 : 1024;
			bodies = realloc(bodies, capacity * sizeof(*bodies));
			if (!bodies)
				die("memory");
		}
		bodies[body_count].text = strndup(line, (size_t)size);
		bodies[body_count].size = (size_t)size;
		if (!bodies[body_count++].text)
			die("memory");
	}
	free(line);
}

static int open_connection(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("socket");
	return fd;
}

/* False when there is none left. */
static bool take_next(struct client *client)
{
	size_t number = next_body;
	int size;

	if (number == body_count)
		return false;
	next_body++;
	client->body = &bodies[number];
	size = snprintf(client->head, sizeof(client->head),
			"POST /saml/idp/acs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
			"Content-Type: application/x-www-form-urlencoded\r\n"
			"X-Forwarded-For: 198.%zu.%zu.%zu\r\nContent-Length: %zu\r\n\r\n",
			18 + (number >> 16 & 1), number >> 8 & 255, number & 255,
			client->body->size);
	client->head_size = (size_t)size;
	client->sent = client->got = 0;
	return true;
}

static void send_more(struct client *client)
{
	size_t total = client->head_size + client->body->size;

	while (client->sent < total) {
		size_t in_body =
			client->sent > client->head_size ? client->sent - client->head_size : 0;
		size_t in_head =
			client->sent < client->head_size ? client->sent : client->head_size;
		struct iovec parts[] = {
			{ client->head + in_head, client->head_size - in_head },
			{ client->body->text + in_body, client->body->size - in_body },
		};
		ssize_t sent = writev(client->fd, parts, 2);

		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			die("write");
		client->sent += (size_t)sent;
	}
}

/* The size of the whole answer when it is there, 0. */
static size_t whole_answer(struct client *client)
{
	const char *end, *length;
	size_t size;

	client->answer[client->got] = '\0';
	end = strstr(client->answer, "\r\n\r\n");
	if (!end)
		return 0;
	length = strcasestr(client->answer, "\r\nContent-Length:");
	size = (size_t)(end + 4 - client->answer);
	if (length && length < end)
		size += strtoul(length + 17, NULL, 10);
	return client->got >= size ? size : 0;
}

/* False when there is nothing to be read now. */
static bool read_more(struct client *client)
{
	ssize_t got = read(client->fd, client->answer + client->got,
			   sizeof(client->answer) - 1 - client->got);

	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0)
		die("read");
	client->got += (size_t)got;
	if (whole_answer(client) == 0)
		return true;
	if (strncmp(client->answer, "HTTP/1.1 303", 12) != 0) {
		fprintf(stderr, "post_logins: refused: %.600s\n", client->answer);
		exit(1);
	}
	answered++;
	if (!take_next(client))
		return false;
	send_more(client);
	return true;
}

static void post_all(uint16_t port, size_t count)
{
	struct client *clients = calloc(count, sizeof(*clients));
	struct epoll_event events[64];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (!clients || epoll < 0)
		die("clients");
	for (size_t i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
					     .data.ptr = &clients[i] };

		clients[i].fd = open_connection(port);
		if (!take_next(&clients[i]))
			break;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
			die("epoll");
		send_more(&clients[i]);
	}
	while (answered < body_count) {
		int ready = epoll_wait(epoll, events, 64, 60000);

		if (ready <= 0)
			die("no answer");
		for (int i = 0; i < ready; i++) {
			struct client *client = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				send_more(client);
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				while (read_more(client))
					;
		}
	}
	free(clients);
	close(epoll);
}

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double wall, cpu;

	if (argc != 3)
		return 2;
	read_bodies();
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	post_all((uint16_t)strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
	printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - wall,
	       seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
