/*
 * One job. Enters: a frame. Leaves: an answer that was checked to be of the form and for the question that was
 * asked. Fails with what the worker says, or ERR_UNAVAILABLE "busy", "worker-died" or "worker-timeout".
 *
 * A caller takes an idle worker, writes one frame, reads one frame and gives the worker
 * back: the job runs in the caller's thread, there is no hand-over.
 */
#include "pool.h"

#include <rolebridge/base/clock.h>

/* 1: an answer. 0: the worker had ended before it heard of the job. -1. */
static int exchange(struct slot *slot, const struct strbuf *frame, struct message *ret_message,
		    struct err *err)
{
	int received;

	if (message_send(slot->now.worker.socket, frame, -1, err) < 0)
		/* Gone; or SO_SNDTIMEO is over, since it reads nothing. */
		return err->code == ERR_UNAVAILABLE
			       ? 0
			       : err_set(err, ERR_UNAVAILABLE, "it takes no message");
	received = message_receive(slot->now.stream, clock_monotonic_us() + JOB_DEADLINE_US,
				   ret_message, NULL, err);
	if (received == 0)
		return err_set(err, ERR_PROTOCOL, "it closed the connection");
	return received;
}

static int take_answer(struct saml_pool *pool, struct task *task, struct message *message,
		       bool *ret_grown, struct err *err)
{
	struct wire wire = { .in = &message->body, .arena = task->arena };

	if (message->type != task->answer)
		return err_set(err, ERR_PROTOCOL, "it answered something else");
	task->decode(&wire, task);
	wire_bool(&wire, ret_grown);
	if (wire_done(&wire, "its answer is", err) < 0)
		return -1;
	if (task->believable && !task->believable(pool, task))
		return err_set(err, ERR_PROTOCOL, "its answer is not one to the question");
	return 0;
}

/* The worker says that it could not: it is well, the job failed. 0 with *err filled; -1: malformed. */
static int take_refused_job(struct message *message, bool *ret_grown, struct arena *arena,
			    struct err *err)
{
	struct wire wire = { .in = &message->body, .arena = arena };
	struct saml_failure failure = { 0 };

	wire_failure(&wire, &failure);
	wire_bool(&wire, ret_grown);
	if (wire_done(&wire, "its failure is", err) < 0)
		return -1;
	saml_failure_raise(&failure, err);
	return 0;
}

/* With a slot in hand. 1: done; 0: to be tried with another worker; -1. */
static int run_in(struct saml_pool *pool, struct slot *slot, struct task *task, struct err *err)
{
	struct message message;
	bool grown = false;
	int status = exchange(slot, &task->frame, &message, err);

	if (status == 0) {
		err_set(err, ERR_PROTOCOL, "it had ended before");
		saml_slot_lose(pool, slot, err);
		return 0;
	}
	if (status < 0)
		return saml_slot_lose(pool, slot, err);
	if (message.type == SAML_FRAME_FAILED) {
		if (take_refused_job(&message, &grown, task->arena, err) < 0)
			return saml_slot_lose(pool, slot, err);
		saml_slot_give_back(pool, slot, grown);
		return -1;
	}
	if (take_answer(pool, task, &message, &grown, err) < 0) {
		/* Our own lack of memory is not the worker's fault. */
		if (err->code != ERR_MEMORY)
			return saml_slot_lose(pool, slot, err);
		saml_slot_give_back(pool, slot, grown);
		return -1;
	}
	saml_slot_give_back(pool, slot, grown);
	return 1;
}

int saml_pool_run(struct saml_pool *pool, struct task *task, struct err *err)
{
	int64_t deadline_us = clock_monotonic_us() + JOB_DEADLINE_US;
	struct err own_err = { 0 };

	if (!err)
		err = &own_err;
	if (strbuf_failed(&task->frame))
		return err_set(err, ERR_TOO_LARGE, "the message is too large");
	for (;;) {
		struct slot *slot = NULL;
		int status;
		if (saml_slot_take(pool, deadline_us, &slot, err) < 0)
			return -1;
		err_clear(err);
		status = run_in(pool, slot, task, err);
		if (status != 0)
			return status < 0 ? -1 : 0;
	}
}
