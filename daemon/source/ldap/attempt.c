/*
 * One server asked once (see attempt.h). Enters: messages of a worker that is not
 * trusted. Leaves: identities at the intake and how the read ended. A server fails softly
 * (reason), our own side fails hard (-1). Groups are handed over last, so that a
 * worker that dies while telling them tells nothing.
 */
#include "attempt.h"

#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define SLICE_US 100000
#define EXIT_GRACE_MS 2000

static const char *const phase_names[] = {
	[PHASE_SETUP] = "preparing the connection",
	[PHASE_TLS] = "setting up TLS",
	[PHASE_BIND] = "signing in",
	[PHASE_GROUPS] = "reading groups",
	[PHASE_USERS] = "reading users",
	[PHASE_LOGIN] = "asking about a password",
};

/* --- how an attempt ends --- */

void append_text(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
	for (used = strlen(text); !text_is_utf8(text, used); used--)
		text[used - 1] = '\0';
}

void attempt_end(struct attempt *attempt, const char *reason, const char *format, ...)
{
	struct read_result *result = &attempt->result;
	char detail[sizeof(result->detail)];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	result->complete = false;
	result->detail[0] = '\0';
	snprintf(result->reason, sizeof(result->reason), "%s", reason);
	append_text(result->detail, sizeof(result->detail), "%s", detail);
	attempt->ended = true;
}

static int own_failure(struct attempt *attempt)
{
	attempt->own_failure = true;
	return -1;
}

static bool is_cancelled(const struct intake *intake)
{
	return intake->cancelled && intake->cancelled(intake->context);
}

static int cancelled(struct attempt *attempt, struct err *err)
{
	err_set(err, ERR_CANCELLED, "read of '%s' cancelled", attempt->job->url);
	return own_failure(attempt);
}

/* --- messages --- */

static int take_identity(struct attempt *attempt, const struct message *message, struct err *err)
{
	const struct intake *intake = attempt->intake;
	size_t size = (size_t)(message->body.end - message->body.at);
	const char *key;
	size_t key_size;

	if (attempt->job->test == TEST_LOGIN)
		return err_set(err, ERR_PROTOCOL, "the worker sent an identity unasked");
	if (attempt->group_count > 0)
		return err_set(err, ERR_PROTOCOL, "the worker sent an identity after the groups");
	if (record_key(message->body.at, size, &key, &key_size, err) < 0)
		return -1;
	attempt->delivered = true;
	attempt->identities++;
	if (intake->identity(intake->context, message->body.at, size, err) < 0)
		return own_failure(attempt);
	return 0;
}

static int take_quarantine(struct attempt *attempt, struct message *message, struct err *err)
{
	const struct intake *intake = attempt->intake;
	struct quarantined entry;

	if (attempt->job->test == TEST_LOGIN)
		return err_set(err, ERR_PROTOCOL, "the worker sent an entry unasked");
	if (quarantine_decode(&message->body, attempt->scratch, &entry, err) < 0)
		return -1;
	attempt->delivered = true;
	attempt->quarantined++;
	if (intake->quarantine(intake->context, &entry, err) < 0)
		return own_failure(attempt);
	return 0;
}

/* They come in the order in which they were asked for. */
static int take_group(struct attempt *attempt, struct message *message, struct err *err)
{
	const struct job *job = attempt->job;
	struct protocol_group group;

	if (job->test != TEST_NONE)
		return err_set(err, ERR_PROTOCOL, "the worker told of groups unasked");
	if (group_decode(&message->body, &group, err) < 0)
		return -1;
	while (attempt->next_wanted < job->wanted_count &&
	       job->wanted[attempt->next_wanted].id != group.id)
		attempt->next_wanted++;
	if (attempt->next_wanted++ >= job->wanted_count)
		return err_set(err, ERR_PROTOCOL, "the worker told of group %u unasked",
			       (unsigned)group.id);
	attempt->groups[attempt->group_count++] = group;
	return 0;
}

static int take_progress(struct attempt *attempt, struct message *message, struct err *err)
{
	const struct intake *intake = attempt->intake;
	uint64_t entries;

	if (progress_decode(&message->body, &entries, err) < 0)
		return -1;
	if (intake->progress)
		intake->progress(intake->context, entries, 0);
	return 0;
}

static int take_end(struct attempt *attempt, struct message *message, struct err *err)
{
	struct protocol_end end;
	size_t groups = attempt->job->test == TEST_NONE ? attempt->job->wanted_count : 0;

	if (end_decode(&message->body, attempt->scratch, &end, err) < 0)
		return -1;
	if (end.complete &&
	    (end.entries != attempt->identities || end.quarantined != attempt->quarantined ||
	     attempt->group_count != groups || attempt->step_failed))
		return err_set(err, ERR_PROTOCOL, "the worker's counts do not add up");
	if (end.complete && attempt->verdict_told != (attempt->job->test == TEST_LOGIN))
		return err_set(err, ERR_PROTOCOL, "the worker gave no verdict");
	if (end.complete && attempt->job->follow != FOLLOW_OFF && !attempt->mode_told)
		return err_set(err, ERR_PROTOCOL, "the worker did not say how it follows");
	attempt->result.complete = end.complete;
	attempt->result.groups = end.groups;
	snprintf(attempt->result.reason, sizeof(attempt->result.reason), "%s", end.reason);
	append_text(attempt->result.detail, sizeof(attempt->result.detail), "%s", end.detail);
	attempt->ended = true;
	return 0;
}

int attempt_take_mode(struct attempt *attempt, struct message *message, struct err *err)
{
	struct protocol_mode mode;

	if (attempt->job->follow == FOLLOW_OFF)
		return err_set(err, ERR_PROTOCOL, "the worker follows unasked");
	if (mode_decode(&message->body, attempt->scratch, &mode, err) < 0)
		return -1;
	if (attempt->job->follow != FOLLOW_AUTO && mode.mode != attempt->job->follow)
		return err_set(err, ERR_PROTOCOL, "the worker follows in another mode than asked");
	attempt->mode = mode.mode;
	attempt->vendor[0] = attempt->identity[0] = '\0';
	append_text(attempt->vendor, sizeof(attempt->vendor), "%s", mode.vendor);
	append_text(attempt->identity, sizeof(attempt->identity), "%s", mode.identity);
	return 0;
}

/* Before END it comes once. */
static int take_mode(struct attempt *attempt, struct message *message, struct err *err)
{
	if (attempt->mode_told)
		return err_set(err, ERR_PROTOCOL, "the worker told its mode twice");
	attempt->mode_told = true;
	return attempt_take_mode(attempt, message, err);
}

static int take_step(struct attempt *attempt, struct message *message, struct err *err)
{
	struct protocol_step step;

	if (attempt->job->test == TEST_NONE || attempt->job->test == TEST_LOGIN)
		return err_set(err, ERR_PROTOCOL, "the worker tests unasked");
	if (step_decode(&message->body, attempt->scratch, &step, err) < 0)
		return -1;
	if ((int)step.kind <= attempt->last_step)
		return err_set(err, ERR_PROTOCOL, "the worker told a step out of order");
	attempt->last_step = (int)step.kind;
	attempt->step_failed |= !step.ok;
	if (attempt->step(attempt->step_context, &step, err) < 0)
		return own_failure(attempt);
	return 0;
}

static int take_verdict(struct attempt *attempt, struct message *message, struct err *err)
{
	if (attempt->job->test != TEST_LOGIN || attempt->verdict_told)
		return err_set(err, ERR_PROTOCOL, "the worker judges unasked");
	attempt->verdict_told = true;
	return verdict_decode(&message->body, &attempt->right, err);
}

static int take_phase(struct attempt *attempt, struct message *message, struct err *err)
{
	if (phase_decode(&message->body, &attempt->phase, err) < 0)
		return -1;
	attempt->asked += attempt->phase == PHASE_LOGIN;
	return 0;
}

static int take_message(struct attempt *attempt, struct message *message, struct err *err)
{
	arena_reset(attempt->scratch);
	switch (message->type) {
	case PROTOCOL_PHASE: return take_phase(attempt, message, err);
	case PROTOCOL_PROGRESS: return take_progress(attempt, message, err);
	case PROTOCOL_QUARANTINE: return take_quarantine(attempt, message, err);
	case PROTOCOL_IDENTITY: return take_identity(attempt, message, err);
	case PROTOCOL_GROUP: return take_group(attempt, message, err);
	case PROTOCOL_END: return take_end(attempt, message, err);
	case PROTOCOL_MODE: return take_mode(attempt, message, err);
	case PROTOCOL_STEP: return take_step(attempt, message, err);
	case PROTOCOL_VERDICT: return take_verdict(attempt, message, err);
	default:
		return err_set(err, ERR_PROTOCOL, "the worker sent a message of unknown type %u",
			       (unsigned)message->type);
	}
}

/* --- receiving, with deadlines --- */

/* 1 message, 0 end of stream, -1: err, or the attempt has ended. */
static int receive(struct attempt *attempt, struct message *ret_message, struct err *err)
{
	int64_t quiet_us =
		clock_monotonic_us() + (int64_t)attempt->job->answer_ms * 1000 + ATTEMPT_MARGIN_US;

	for (;;) {
		int64_t now_us = clock_monotonic_us();
		int64_t slice_us = now_us + SLICE_US;
		int received = message_receive(attempt->stream, slice_us, ret_message, NULL, err);
		if (received >= 0 || err->code != ERR_UNAVAILABLE)
			return received;
		if (is_cancelled(attempt->intake))
			return cancelled(attempt, err);
		now_us = clock_monotonic_us();
		if (now_us >= attempt->end_us || now_us >= quiet_us) {
			bool total = now_us >= attempt->end_us;
			attempt_end(attempt, "timeout", "%s while %s",
				    total ? "the whole read took too long" : "no answer",
				    phase_names[attempt->phase]);
			return -1;
		}
	}
}

void attempt_worker_status(struct attempt *attempt, char *ret_text, size_t size)
{
	int status = 0;

	worker_stop(&attempt->worker, EXIT_GRACE_MS, &status);
	worker_status_text(status, ret_text, size);
}

/* The stream ended or broke before END: the exit status knows more. */
static void worker_is_gone(struct attempt *attempt, const char *cause)
{
	char text[128];

	attempt_worker_status(attempt, text, sizeof(text));
	attempt_end(attempt, "worker-died", "the worker ended with %s while %s%s%s", text,
		    phase_names[attempt->phase], cause[0] ? ": " : "", cause);
}

static bool worker_stays(const struct attempt *attempt)
{
	return attempt->job->follow != FOLLOW_OFF && attempt->result.complete;
}

/* After END nothing may come but the end, and a clean exit. */
static void check_farewell(struct attempt *attempt, struct err *err)
{
	struct message message;
	int status = 0;
	int received = message_receive(attempt->stream,
				       clock_monotonic_us() + EXIT_GRACE_MS * (int64_t)1000,
				       &message, NULL, err);

	if (received != 0) {
		attempt_end(attempt, "worker-died", "the worker did not end when it had to");
		return;
	}
	worker_stop(&attempt->worker, EXIT_GRACE_MS, &status);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		char text[128];
		worker_status_text(status, text, sizeof(text));
		attempt_end(attempt, "worker-died", "the worker ended with %s after the read",
			    text);
	}
}

/* Between messages: a worker that sends without pause keeps us neither for ever nor from stopping. */
static int look_around(struct attempt *attempt, struct err *err)
{
	int64_t now_us = clock_monotonic_us();

	if (now_us >= attempt->end_us)
		attempt_end(attempt, "timeout", "the whole read took too long");
	if (now_us < attempt->next_look_us)
		return 0;
	attempt->next_look_us = now_us + SLICE_US;
	return is_cancelled(attempt->intake) ? cancelled(attempt, err) : 0;
}

static int take_all(struct attempt *attempt, struct err *err)
{
	struct message message;

	while (!attempt->ended) {
		int received = receive(attempt, &message, err);
		if (attempt->own_failure)
			return -1;
		if (attempt->ended)
			return 0;
		if (received <= 0) {
			if (err->code == ERR_MEMORY)
				return -1;
			worker_is_gone(attempt, received < 0 ? err->text : "");
			return 0;
		}
		if (take_message(attempt, &message, err) < 0) {
			if (attempt->own_failure || err->code == ERR_MEMORY)
				return -1;
			attempt_end(attempt, "protocol-error", "%s", err->text);
			return 0;
		}
		if (attempt->ended && !worker_stays(attempt))
			check_farewell(attempt, err);
		else if (look_around(attempt, err) < 0)
			return -1;
	}
	return 0;
}

static int deliver_groups(struct attempt *attempt, struct err *err)
{
	const struct intake *intake = attempt->intake;

	for (size_t i = 0; i < attempt->group_count; i++) {
		const struct protocol_group *group = &attempt->groups[i];
		if (!group->found && !attempt->result.complete)
			continue;
		if (intake->group(intake->context, group->id, group->found, group->members, err) <
		    0)
			return -1;
	}
	return 0;
}

/* --- one server --- */

static int send_job(struct attempt *attempt, int fd, struct err *err)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(PROTOCOL_JOB_MAX);

	job_encode(attempt->job, &frame);
	return message_send(attempt->worker.socket, &frame, fd, err);
}

/* A message of its own, so that it comes when the worker has locked itself up. */
static int send_login(struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(2 * PROTOCOL_PASSWORD_MAX);
	int status;

	if (attempt->job->test != TEST_LOGIN)
		return 0;
	login_encode(attempt->password, attempt->password_size, &frame);
	status = message_send(attempt->worker.socket, &frame, -1, err);
	explicit_bzero(frame.data, frame.capacity);
	return status;
}

static int run_worker(struct attempt *attempt, int fd, struct err *err)
{
	if (worker_start("ldap", &attempt->worker, err) < 0)
		return -1;
	attempt->stream = message_stream_create(attempt->worker.socket, PROTOCOL_FRAME_MAX);
	if (!attempt->stream)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (send_job(attempt, fd, err) < 0 || send_login(attempt, err) < 0) {
		if (err->code != ERR_UNAVAILABLE)
			return -1;
		worker_is_gone(attempt, err->text);
		return 0;
	}
	return take_all(attempt, err);
}

void attempt_stop(struct attempt *attempt)
{
	/* Still there after all: killed at once. */
	worker_stop(&attempt->worker, 0, NULL);
	message_stream_destroy(attempt->stream);
	attempt->stream = NULL;
}

void attempt_reset(struct attempt *attempt)
{
	attempt->result = (struct read_result){ 0 };
	attempt->worker = (struct worker){ .socket = -1 };
	attempt->stream = NULL;
	attempt->phase = PHASE_SETUP;
	attempt->ended = attempt->mode_told = false;
	attempt->verdict_told = attempt->right = false;
	attempt->group_count = attempt->next_wanted = 0;
	attempt->last_step = -1;
	attempt->step_failed = false;
}

int attempt_connect(const struct attempt *attempt, const struct server *server, int *ret_fd,
		    struct err *err)
{
	return server_connect(server, (int)(attempt->source->timeouts.connect_s * 1000),
			      attempt->intake->cancelled, attempt->intake->context, ret_fd, err);
}

int attempt_run(struct attempt *attempt, const struct server *server, struct err *err)
{
	AUTO(fd) int fd = -1;

	if (attempt_connect(attempt, server, &fd, err) < 0) {
		if (err->code == ERR_CANCELLED)
			return -1;
		attempt_end(attempt, "connect-failed", "%s", err->text);
		return 0;
	}
	return attempt_run_on(attempt, fd, err);
}

int attempt_run_on(struct attempt *attempt, int fd, struct err *err)
{
	int status = run_worker(attempt, fd, err);

	if (status < 0 || !worker_stays(attempt))
		attempt_stop(attempt);
	if (status == 0)
		status = deliver_groups(attempt, err);
	if (status < 0)
		attempt_stop(attempt);
	return status;
}
