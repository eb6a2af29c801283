/*
 * What a worker that follows says. Enters: its messages; it is not trusted. Leaves: changes, through telling.h; what became of
 * the connection. Fails: our own side; a message that is wrong or out of place, and the worker's end, mean a full read by another.
 */
#include "follower_state.h"

#include <poll.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

/* A frame of which the beginning is here: the rest is under way. */
#define FRAME_US 50000
/* A refused bind counts as several failures: each one is a step to the account's lock-out. */
#define REFUSED_FAILURES 4

static int take_begin(struct follower *f, const struct message *message, struct err *err)
{
	if (f->link == LINK_LOST)
		return telling_out_of_place(message->type, err);
	return telling_begin(&f->telling, message, err);
}

static int take_commit(struct follower *f, struct message *message, struct err *err)
{
	if (telling_commit(&f->telling, message, err) < 0)
		return -1;
	if (f->telling.found)
		f->fetch = FETCH_NOBODY;
	if (f->telling.found)
		f->telling.sought = NULL;
	f->telling.found = false;
	f->wanted_sent = false;
	if (f->link == LINK_RESUMING)
		follower_note_resumed(f);
	return 0;
}

static int take_trouble(struct follower *f, struct message *message, const char **ret_reason,
			const char **ret_detail, struct err *err)
{
	arena_reset(f->client->attempt.scratch);
	if (trouble_decode(&message->body, f->client->attempt.scratch, ret_reason, ret_detail,
			   err) < 0)
		return -1;
	telling_drop(&f->telling);
	return telling_try_end(&f->telling, err);
}

static int take_lost(struct follower *f, struct message *message, struct err *err)
{
	const char *reason, *detail;
	bool again = f->link == LINK_RESUMING;

	if (f->link == LINK_LOST)
		return telling_out_of_place(message->type, err);
	if (take_trouble(f, message, &reason, &detail, err) < 0)
		return -1;
	if (f->source->bind.method == LDAP_SOURCE_BIND_GSSAPI) {
		/* A worker that has locked itself up reaches no KDC: it cannot sign in a second time. */
		follower_read_anew(f, false, reason, detail);
		return 0;
	}
	if (again) {
		f->lost_in_a_row += strcmp(reason, "bind-refused") == 0 ? REFUSED_FAILURES : 1;
		f->next_server++;
	} else if (follower_note_lost(f, err) < 0) {
		return -1;
	}
	f->link = LINK_LOST;
	follower_fetch_again(f);
	follower_note_problem(f, "%s: %s: %s", f->client->server.url, reason, detail);
	follower_retry_later(f);
	return 0;
}

static int take_restart(struct follower *f, struct message *message, struct err *err)
{
	const char *reason, *detail;

	if (take_trouble(f, message, &reason, &detail, err) < 0)
		return -1;
	follower_read_anew(f, false, reason, detail);
	return 0;
}

static int take_pulse(struct follower *f, const struct message *message, struct err *err)
{
	if (f->link == LINK_LOST)
		return telling_out_of_place(message->type, err);
	return empty_decode(&message->body, err);
}

static int take_mode(struct follower *f, struct message *message, struct err *err)
{
	if (f->telling.batch.open || f->link != LINK_RESUMING)
		return telling_out_of_place(message->type, err);
	return attempt_take_mode(&f->client->attempt, message, err);
}

static int take_phase(struct follower *f, struct message *message, struct err *err)
{
	if (f->link != LINK_RESUMING)
		return telling_out_of_place(message->type, err);
	return phase_decode(&message->body, &f->client->attempt.phase, err);
}

static int take_progress(const struct follower *f, struct message *message, struct err *err)
{
	uint64_t entries;

	if (f->link == LINK_LOST)
		return telling_out_of_place(message->type, err);
	return progress_decode(&message->body, &entries, err);
}

static int take(struct follower *f, struct message *message, struct err *err)
{
	if (f->link == LINK_UP)
		follower_note_contact(f);
	arena_reset(f->client->attempt.scratch);
	switch (message->type) {
	case PROTOCOL_BEGIN: return take_begin(f, message, err);
	case PROTOCOL_IDENTITY:
	case PROTOCOL_GROUPS:
	case PROTOCOL_GONE:
	case PROTOCOL_QUARANTINE:
	case PROTOCOL_GROUP: return telling_change(&f->telling, message, err);
	case PROTOCOL_COMMIT: return take_commit(f, message, err);
	case PROTOCOL_PULSE: return take_pulse(f, message, err);
	case PROTOCOL_LOST: return take_lost(f, message, err);
	case PROTOCOL_RESTART: return take_restart(f, message, err);
	case PROTOCOL_MODE: return take_mode(f, message, err);
	case PROTOCOL_PHASE: return take_phase(f, message, err);
	case PROTOCOL_PROGRESS: return take_progress(f, message, err);
	default: return telling_out_of_place(message->type, err);
	}
}

/* --- waiting --- */

bool follower_wait_readable(const struct follower *f, int socket, int timeout_ms)
{
	struct pollfd ready[] = { { .fd = socket, .events = POLLIN },
				  { .fd = f->out->wake_fd, .events = POLLIN } };

	/* Wishes wait for the end of what is open. */
	if (f->telling.run_open || f->telling.batch.open)
		ready[1].fd = -1;
	/* An interrupted wait is one that found nothing. */
	return poll(ready, ARRAY_LEN(ready), timeout_ms) > 0 && ready[0].revents != 0;
}

bool follower_message_waits(const struct follower *f, int timeout_ms)
{
	const struct attempt *attempt = &f->client->attempt;

	return message_pending(attempt->stream) ||
	       follower_wait_readable(f, attempt->worker.socket, timeout_ms);
}

void follower_worker_is_gone(struct follower *f, const char *cause)
{
	char text[128], detail[256] = "";

	attempt_worker_status(&f->client->attempt, text, sizeof(text));
	append_text(detail, sizeof(detail), "the worker ended with %s%s%s", text,
		    cause[0] ? ": " : "", cause);
	telling_drop(&f->telling);
	follower_read_anew(f, false, "worker-died", detail);
}

/* What the worker did wrong is its end and no failure of ours. */
static int judge(struct follower *f, struct err *err)
{
	char detail[256] = "";

	if (err->code != ERR_PROTOCOL)
		return -1;
	append_text(detail, sizeof(detail), "%s", err->text);
	err_clear(err);
	/* Its batch may have got half into the run: a full read brings all of it. */
	telling_drop(&f->telling);
	telling_abort(&f->telling);
	follower_read_anew(f, false, "protocol-error", detail);
	return 0;
}

int follower_receive_one(struct follower *f, struct err *err)
{
	struct message message;
	int received = message_receive(f->client->attempt.stream, clock_monotonic_us() + FRAME_US,
				       &message, NULL, err);

	if (received < 0 && err->code == ERR_UNAVAILABLE) {
		err_clear(err);
		return 0;
	}
	if (received < 0 && err->code == ERR_MEMORY)
		return -1;
	if (received <= 0) {
		follower_worker_is_gone(f, received < 0 ? err->text : "");
		err_clear(err);
		return 0;
	}
	if (take(f, &message, err) < 0)
		return judge(f, err);
	f->heard_us = clock_monotonic_us();
	return 0;
}
