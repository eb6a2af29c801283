/*
 * Asks a daemon over a unix socket as lightly as that goes, so that what is measured is the daemon.
 *
 *	ask_unix SOCKET CONNECTIONS SECONDS < requests
 *
 * The input: whole requests, each after a line with its size. They are sent in turn, over and over, on keep-alive
 * connections, one at a time on each. Every answer must be 200. Prints requests a second, and the microseconds of
 * processor time that asking took for each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 65536
#define INPUT_MAX ((size_t)256 << 20)

struct text {
	const char *data;
	size_t size;
};

struct client {
	int fd;
	const struct text *request;
	size_t sent, got;
	char answer[ANSWER_MAX];
};

static struct text *requests;
static size_t request_count, next_request, answered;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "ask_unix: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void read_requests(void)
{
	char *input = malloc(INPUT_MAX), *at, *end;
	size_t size, capacity = 0;

	if (!input)
		die("memory");
	size = fread(input, 1, INPUT_MAX, stdin);
	for (at = input; at < input + size; at += requests[request_count++].size) {
		if (request_count == capacity) {
			capacity = capacity ? capacity * 2 : 1024;
			requests = realloc(requests, capacity * sizeof(*requests));
			if (!requests)
				die("memory");
		}
		requests[request_count].size = strtoul(at, &end, 10);
		at = end + 1;
		requests[request_count].data = at;
	}
	if (request_count == 0)
		die("no requests");
}

static int open_connection(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("socket");
	return fd;
}

static void send_next(struct client *client)
{
	client->request = &requests[next_request];
	next_request = (next_request + 1) % request_count;
	client->sent = client->got = 0;
	while (client->sent < client->request->size) {
		ssize_t sent = send(client->fd, client->request->data + client->sent,
				    client->request->size - client->sent, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			die("send");
		client->sent += sent > 0 ? (size_t)sent : 0;
	}
}

/* All of an answer? */
static bool is_whole(struct client *client)
{
	const char *end, *length;

	client->answer[client->got] = 0;
	end = strstr(client->answer, "\r\n\r\n");
	if (!end)
		return false;
	if (strncmp(client->answer, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "ask_unix: %.600s\n", client->answer);
		exit(1);
	}
	length = strcasestr(client->answer, "\r\nContent-Length:");
	if (!length || length > end)
		return true;
	return client->got >= (size_t)(end + 4 - client->answer) + strtoul(length + 17, NULL, 10);
}

static void read_more(struct client *client)
{
	ssize_t got = recv(client->fd, client->answer + client->got,
			   sizeof(client->answer) - 1 - client->got, 0);

	if (got == 0 || (got < 0 && errno != EAGAIN))
		die("the daemon hung up");
	client->got += got > 0 ? (size_t)got : 0;
	if (!is_whole(client))
		return;
	answered++;
	send_next(client);
}

static double now_s(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	int count = argc == 4 ? (int)strtol(argv[2], NULL, 10) : 0, poll;
	double seconds, begin, cpu;
	struct client *clients;

	if (count < 1 || count > 256) {
		fprintf(stderr, "usage: ask_unix SOCKET CONNECTIONS SECONDS < requests\n");
		return 2;
	}
	read_requests();
	seconds = strtod(argv[3], NULL);
	clients = calloc((size_t)count, sizeof(*clients));
	poll = epoll_create1(EPOLL_CLOEXEC);
	if (!clients || poll < 0)
		die("memory");
	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &clients[i] };

		clients[i].fd = open_connection(argv[1]);
		if (epoll_ctl(poll, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
			die("epoll");
		send_next(&clients[i]);
	}
	begin = now_s(CLOCK_MONOTONIC);
	cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
	while (seconds > 0 ? now_s(CLOCK_MONOTONIC) - begin < seconds : answered < request_count) {
		int ready = epoll_wait(poll, events, 256, 1000);

		for (int i = 0; i < ready; i++)
			read_more(events[i].data.ptr);
	}
	seconds = now_s(CLOCK_MONOTONIC) - begin;
	printf("%.0f %.2f\n", (double)answered / seconds,
	       (now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)answered);
	return 0;
}
