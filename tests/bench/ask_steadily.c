/*
 * Asks a daemon over a unix socket so many times a second, whatever the answers take, and says how long they took: from
 * the moment at which each was to be asked, so that a daemon that stands still for a while is not asked less.
 *
 *	ask_steadily SOCKET RATE SECONDS < request
 *
 * Every answer must be 200. Prints p50, p90, p99, p99.9 and the longest, in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 64
#define TEXT_MAX 65536

struct client {
	int fd;
	int64_t due_ns; /* 0: nothing was asked */
	size_t got;
	char answer[TEXT_MAX];
};

static struct client clients[CONNECTIONS];
static char request[TEXT_MAX];
static size_t request_size, sample_count, sample_max;
static int64_t *samples;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "ask_steadily: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void open_connection(struct client *client, const char *path, int poll)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (client->fd < 0 ||
	    connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fcntl(client->fd, F_SETFL, O_NONBLOCK) < 0 ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, client->fd, &event) < 0)
		die("connect");
}

/* false: all of them wait for an answer; it is asked as soon as one does not. */
static int ask(int64_t due_ns)
{
	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct client *client = &clients[i];

		if (client->due_ns)
			continue;
		client->due_ns = due_ns;
		client->got = 0;
		if (send(client->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
			die("send");
		return 1;
	}
	return 0;
}

static void take(struct client *client)
{
	ssize_t got = recv(client->fd, client->answer + client->got,
			   sizeof(client->answer) - 1 - client->got, 0);
	const char *end, *length;

	if (got == 0 || (got < 0 && errno != EAGAIN))
		die("the daemon hung up");
	client->got += got > 0 ? (size_t)got : 0;
	client->answer[client->got] = 0;
	end = strstr(client->answer, "\r\n\r\n");
	if (!end)
		return;
	if (strncmp(client->answer, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "ask_steadily: %.600s\n", client->answer);
		exit(1);
	}
	length = strcasestr(client->answer, "\r\nContent-Length:");
	if (length && length < end &&
	    client->got < (size_t)(end + 4 - client->answer) + strtoul(length + 17, NULL, 10))
		return;
	if (sample_count < sample_max)
		samples[sample_count++] = now_ns() - client->due_ns;
	client->due_ns = 0;
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static double percentile(double part)
{
	return (double)samples[(size_t)((double)(sample_count - 1) * part)] / 1e3;
}

static void run(int poll, int timer, int64_t rate, size_t total)
{
	struct epoll_event events[CONNECTIONS + 1];
	int64_t start_ns = now_ns(), period_ns = 1000000000 / rate;
	struct itimerspec every = { .it_interval.tv_nsec = period_ns,
				    .it_value.tv_nsec = period_ns };
	size_t asked = 0;

	if (timerfd_settime(timer, 0, &every, NULL) < 0)
		die("timer");
	while (sample_count < total) {
		int ready = epoll_wait(poll, events, CONNECTIONS + 1, 1000);
		uint64_t ticks;

		for (int i = 0; i < ready; i++) {
			if (events[i].data.ptr)
				take(events[i].data.ptr);
			else if (read(timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
				die("timer");
		}
		while (asked < total && start_ns + (int64_t)asked * period_ns <= now_ns() &&
		       ask(start_ns + (int64_t)asked * period_ns))
			asked++;
	}
}

int main(int argc, char **argv)
{
	int64_t rate = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
	int poll = epoll_create1(EPOLL_CLOEXEC);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct epoll_event event = { .events = EPOLLIN };

	if (rate < 1 || rate > 1000000) {
		fprintf(stderr, "usage: ask_steadily SOCKET RATE SECONDS < request\n");
		return 2;
	}
	request_size = fread(request, 1, sizeof(request), stdin);
	sample_max = (size_t)((double)rate * strtod(argv[3], NULL));
	samples = calloc(sample_max + 1, sizeof(*samples));
	if (poll < 0 || timer < 0 || !samples || sample_max == 0 ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event) < 0)
		die("start");
	for (size_t i = 0; i < CONNECTIONS; i++)
		open_connection(&clients[i], argv[1], poll);
	run(poll, timer, rate, sample_max);
	qsort(samples, sample_count, sizeof(*samples), compare);
	printf("%.0f %.0f %.0f %.0f %.0f\n", percentile(0.5), percentile(0.9), percentile(0.99),
	       percentile(0.999), percentile(1));
	return 0;
}
