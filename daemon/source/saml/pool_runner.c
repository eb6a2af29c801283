/*
 * One saml worker process as the core sees it. Enters: its set-up. Leaves: a worker that
 * said that it is ready, or what ended it, in words. Fails when the system refuses, or with what the
 * worker says; ERR_UNAVAILABLE "worker-died", "worker-timeout".
 */
#include "pool.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define START_DEADLINE_US (30 * SECOND_US)

void saml_runner_stop(struct runner *runner, int grace_ms, int *ret_status)
{
	if (!runner->stream)
		return;
	message_stream_destroy(runner->stream);
	runner->stream = NULL;
	worker_stop(&runner->worker, grace_ms, ret_status);
}

int saml_runner_start(struct runner *ret_runner, struct err *err)
{
	const struct timeval limit = { .tv_sec = JOB_DEADLINE_US / SECOND_US };
	struct runner runner = { .deadline_us = clock_monotonic_us() + START_DEADLINE_US };

	if (worker_start("saml", &runner.worker, err) < 0)
		return -1;
	runner.stream = message_stream_create(runner.worker.socket, SAML_ANSWER_MAX);
	if (!runner.stream) {
		worker_stop(&runner.worker, 0, NULL);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	message_stream_expect_waits(runner.stream);
	/* A worker that reads nothing must not hold the writer for ever. */
	if (setsockopt(runner.worker.socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0) {
		err_set_errno(err, ERR_IO, errno, "cannot limit the time of writing");
		saml_runner_stop(&runner, 0, NULL);
		return err_wrap(err, "cannot start a saml worker");
	}
	*ret_runner = runner;
	return 0;
}

int saml_runner_take_failure(struct message *message, struct err *err)
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
void saml_runner_tell_end(struct runner *runner, int grace_ms, char *ret_text, size_t size)
{
	int status = 0;

	saml_runner_stop(runner, grace_ms, &status);
	worker_status_text(status, ret_text, size);
}

/* --- until it is ready --- */

struct pollfd saml_runner_awaits(const struct runner *runner, const struct strbuf *setup)
{
	return (struct pollfd){ .fd = runner->worker.socket,
				.events = runner->told < setup->size ? POLLOUT : POLLIN };
}

/* 1: all of it; 0: the rest later; -1: it does not listen any more. */
static int tell_setup(struct runner *runner, const struct strbuf *setup)
{
	while (runner->told < setup->size) {
		ssize_t size = send(runner->worker.socket, setup->data + runner->told,
				    setup->size - runner->told, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (size < 0 && errno != EINTR)
			return -1;
		if (size > 0)
			runner->told += (size_t)size;
	}
	return 1;
}

static int not_ready(struct runner *runner, struct err *err)
{
	char end[128];

	saml_runner_tell_end(runner, DEATH_GRACE_MS, end, sizeof(end));
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died",
			  "a saml worker ended with %s before it was ready", end);
}

/* It has said something, or has ended. */
static int take_ready(struct runner *runner, struct err *err)
{
	struct message message;
	/* So small a frame comes in one piece. */
	int64_t deadline_us = clock_monotonic_us() + DEATH_GRACE_MS * 1000;
	int received = message_receive(runner->stream, deadline_us, &message, NULL, err);

	if (received == 1 && message.type == SAML_FRAME_READY && reader_done(&message.body))
		return 1;
	if (received == 1 && message.type == SAML_FRAME_FAILED) {
		saml_runner_take_failure(&message, err);
		saml_runner_stop(runner, DEATH_GRACE_MS, NULL);
		return -1;
	}
	return not_ready(runner, err);
}

int saml_runner_get_ready(struct runner *runner, const struct strbuf *setup, struct err *err)
{
	struct pollfd said = { .fd = runner->worker.socket, .events = POLLIN };

	if (tell_setup(runner, setup) < 0)
		return not_ready(runner, err);
	if (poll(&said, 1, 0) > 0)
		return take_ready(runner, err);
	if (clock_monotonic_us() < runner->deadline_us)
		return 0;
	saml_runner_stop(runner, 0, NULL);
	return err_refuse(err, ERR_UNAVAILABLE, "worker-timeout",
			  "a saml worker was not ready in time and was killed");
}
