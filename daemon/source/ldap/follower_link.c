/*
 * The follower's connection: the worker cannot connect, so it is handed one. Enters: that one was lost, and when the next try
 * is due. Leaves: RESUME with a connection, at the worker; the pause before the next. Fails: our own side; a server that does
 * not answer is a problem to be told and the next one's turn.
 */
#include "follower_state.h"

#include <sodium.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "follower.h"

/* Between connections. */
#define RECONNECT_FIRST_US 100000
/* A connection that lasted for so long was a good one. Of others so many have the same pause before the next. */
#define STEADY_US (10 * US_PER_S)
#define SHORT_LIVED_WIDTH 10

int follower_send(struct follower *f, const struct strbuf *frame, int fd, struct err *err)
{
	if (message_send(f->client->attempt.worker.socket, frame, fd, err) == 0)
		return 0;
	if (err->code != ERR_UNAVAILABLE)
		return -1;
	follower_worker_is_gone(f, "");
	err_clear(err);
	return 0;
}

void follower_note_resumed(struct follower *f)
{
	f->state.reconnects++;
	server_list_finish(&f->servers);
	follower_note_connected(f);
}

/* Where in the list the server is that was lost; it is tried first. */
static int list_servers(struct follower *f, struct err *err)
{
	server_list_finish(&f->servers);
	f->next_server = 0;
	if (server_list(&f->source->servers, &f->servers, err) < 0)
		return -1;
	for (size_t i = 0; i < f->servers.count; i++)
		if (strcmp(f->servers.items[i].url, f->client->server.url) == 0)
			f->next_server = i;
	return 0;
}

static int64_t pause_us(unsigned failures, size_t width)
{
	return backoff_us(failures, width, RECONNECT_FIRST_US, RECONNECT_MOST_US,
			  randombytes_random());
}

void follower_retry_later(struct follower *f)
{
	int64_t failed_us = pause_us(f->lost_in_a_row, f->servers.count);
	int64_t short_us = pause_us(f->short_lived, SHORT_LIVED_WIDTH);

	f->retry_us = clock_monotonic_us() + (failed_us > short_us ? failed_us : short_us);
}

int follower_note_lost(struct follower *f, struct err *err)
{
	bool steady = clock_monotonic_us() - f->up_us >= STEADY_US;

	f->short_lived = steady ? 0 : f->short_lived + 1;
	return list_servers(f, err);
}

static int resume_on(struct follower *f, int fd, struct err *err)
{
	const struct protocol_resume resume = { f->client->job.transport, f->client->job.url };
	AUTO(strbuf) struct strbuf frame = STRBUF(PROTOCOL_JOB_MAX);

	resume_encode(&resume, &frame);
	f->link = LINK_RESUMING;
	f->client->attempt.phase = PHASE_SETUP;
	f->resumed_us = f->heard_us = clock_monotonic_us();
	return follower_send(f, &frame, fd, err);
}

int follower_reconnect(struct follower *f, struct err *err)
{
	AUTO(fd) int fd = -1;

	/* The names behind a domain may be others by now. */
	if (f->next_server >= f->servers.count) {
		if (list_servers(f, err) < 0)
			return -1;
		f->next_server = 0;
	}
	if (f->servers.count == 0) {
		f->lost_in_a_row++;
		follower_note_problem(f, "connect-failed: %s", f->servers.problem);
		follower_retry_later(f);
		return 0;
	}
	f->client->server = f->servers.items[f->next_server];
	f->client->job.url = f->client->server.url;
	f->client->job.transport = client_transport(f->source, &f->client->server);
	follower_note_server(f);
	if (attempt_connect(&f->client->attempt, &f->client->server, &fd, err) == 0)
		return resume_on(f, fd, err);
	if (err->code == ERR_CANCELLED)
		return -1;
	f->lost_in_a_row++;
	f->next_server++;
	follower_note_problem(f, "%s: connect-failed: %s", f->client->server.url, err->text);
	err_clear(err);
	follower_retry_later(f);
	return 0;
}
