/*
 * One saml worker process as the core sees it. Enters: its first message. Leaves: a worker that
 * said that it is ready, or what ended it, in words. Fails when the system refuses, or with what the
 * worker says; ERR_UNAVAILABLE "worker-died".
 */
#include "pool.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define START_DEADLINE_US (30 * SECOND_US)

void runner_stop(struct runner *runner, int grace_ms, int *ret_status)
{
	if (!runner->stream)
		return;
	message_stream_destroy(runner->stream);
	runner->stream = NULL;
	worker_stop(&runner->worker, grace_ms, ret_status);
}

/* Started and told its first message; the answer is not waited for. */
int runner_start(struct runner *runner, size_t answer_max, const struct strbuf *first,
		 struct err *err)
{
	const struct timeval limit = { .tv_sec = JOB_DEADLINE_US / SECOND_US };
	struct worker worker;

	if (worker_start("saml", &worker, err) < 0)
		return -1;
	*runner = (struct runner){ .worker = worker,
				   .stream = message_stream_create(worker.socket, answer_max) };
	if (!runner->stream) {
		worker_stop(&runner->worker, 0, NULL);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	message_stream_expect_waits(runner->stream);
	/* A worker that reads nothing must not hold the writer for ever. */
	if (setsockopt(worker.socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		err_set_errno(err, ERR_IO, errno, "cannot limit the time of writing");
	else if (message_send(worker.socket, first, -1, err) == 0)
		return 0;
	runner_stop(runner, 0, NULL);
	return err_wrap(err, "cannot start a saml worker");
}

int runner_take_failure(struct message *message, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(65536);
	struct wire wire = { .in = &message->body, .arena = arena };
	struct saml_failure failure = { 0 };
	bool grown = false;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	wire_failure(&wire, &failure);
	wire_bool(&wire, &grown);
	if (wire_done(&wire, "failure", err) < 0)
		return -1;
	return saml_failure_raise(&failure, err);
}

/* Reaps it; what ended it, in words. */
void runner_tell_end(struct runner *runner, int grace_ms, char *ret_text, size_t size)
{
	int status = 0;

	runner_stop(runner, grace_ms, &status);
	worker_status_text(status, ret_text, size);
}

int runner_wait_ready(struct runner *runner, struct err *err)
{
	struct message message;
	char end[128];
	int received = message_receive(runner->stream, clock_monotonic_us() + START_DEADLINE_US,
				       &message, NULL, err);

	if (received == 1 && message.type == SAML_FRAME_READY && reader_done(&message.body))
		return 0;
	if (received == 1 && message.type == SAML_FRAME_FAILED) {
		runner_take_failure(&message, err);
		runner_stop(runner, DEATH_GRACE_MS, NULL);
		return -1;
	}
	runner_tell_end(runner, received == 0 ? DEATH_GRACE_MS : 0, end, sizeof(end));
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died",
			  "a saml worker ended with %s before it was ready", end);
}
