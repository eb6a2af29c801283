/*
 * The core's side of an ldap read: connect, start a worker, hand over the
 * socket and the job, take in what the worker says, keep the deadlines.
 *
 * Enters: configuration, and messages of a worker that is not trusted. Leaves:
 * identities at the intake and how the read ended. A server fails softly (reason, next
 * server); our own side fails hard (-1). Groups are handed over last, so that a
 * worker that dies while telling them tells nothing.
 */
#include <rolebridge/source/ldap.h>

#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

#include "../disabled.h"
#include "protocol.h"
#include "server.h"

#define SLICE_US 200000
/* The worker notes a silent directory itself; past this the worker is what hangs. */
#define MARGIN_US 2000000
#define EXIT_GRACE_MS 2000
/* Decoded texts of one message from the worker. */
#define SCRATCH_MAX (64 * 1024)
#define SETTINGS_MEMORY_MAX (256 * 1024)

static const char *const phase_names[] = {
	[PHASE_SETUP] = "preparing the connection",
	[PHASE_TLS] = "setting up TLS",
	[PHASE_BIND] = "signing in",
	[PHASE_GROUPS] = "reading groups",
	[PHASE_USERS] = "reading users",
};

/* One server asked once. */
struct attempt {
	const struct ldap_source *source;
	const struct intake *intake;
	const struct job *job;
	struct worker worker;
	struct message_stream *stream;
	struct arena *scratch; /* of one message */
	int64_t end_us;	       /* of the whole read */
	int64_t next_look_us;  /* when to ask again whether to go on */
	enum protocol_phase phase;
	bool delivered; /* the intake has got something */
	bool ended;	/* END came */
	bool own_failure;
	struct protocol_group *groups; /* job->wanted_count of them */
	size_t group_count, next_wanted;
	uint64_t identities, quarantined;
	struct read_result result;
};

/* --- the job --- */

static const char *text_or_empty(const struct located *text)
{
	return text->text ? text->text : "";
}

static struct job_texts list_or_default(const struct located_list *list, const char *const *usual,
					size_t usual_count, struct arena *arena)
{
	struct job_texts texts = { .count = list->count ? list->count : usual_count };

	texts.items = arena_alloc_array(arena, texts.count + 1, sizeof(*texts.items));
	if (!texts.items)
		return (struct job_texts){ 0 };
	for (size_t i = 0; i < texts.count; i++)
		texts.items[i] = list->count ? text_or_empty(&list->items[i]) : usual[i];
	return texts;
}

static struct job_texts disabled_texts(const struct located_list *option, struct arena *arena)
{
	struct job_texts texts = { .count = disabled_count(option) };

	texts.items = arena_alloc_array(arena, texts.count + 1, sizeof(*texts.items));
	if (!texts.items)
		return (struct job_texts){ 0 };
	for (size_t i = 0; i < texts.count; i++)
		texts.items[i] = disabled_text(option, i);
	return texts;
}

static void fill_bind(const struct ldap_bind_settings *bind, struct job *job)
{
	job->bind_method = (uint8_t)bind->method;
	job->bind_dn = text_or_empty(&bind->dn);
	job->password_file = text_or_empty(&bind->password_file);
	job->certificate = text_or_empty(&bind->certificate);
	job->private_key = text_or_empty(&bind->private_key);
}

/* What is the same for every server. */
static int fill_job(const struct ldap_source *source, struct arena *arena, struct job *job,
		    struct err *err)
{
	static const char *const members[] = { "member", "uniqueMember", "memberUid" };
	const char *groups_base = text_or_empty(&source->groups.base);

	job->now_s = clock_now_s();
	job->ca = text_or_empty(&source->ca);
	fill_bind(&source->bind, job);
	job->users = (struct job_search){ text_or_empty(&source->users.base),
					  text_or_empty(&source->users.filter),
					  (uint8_t)source->users.scope };
	job->groups = (struct job_search){ groups_base[0] ? groups_base : job->users.base,
					   text_or_empty(&source->groups.filter),
					   (uint8_t)source->groups.scope };
	job->key = text_or_empty(&source->users.key);
	job->members = list_or_default(&source->groups.members, members, ARRAY_LEN(members), arena);
	job->disabled = disabled_texts(&source->users.disabled, arena);
	job->canaries = list_or_default(&source->common.canaries, NULL, 0, arena);
	job->page_size = (uint32_t)source->page_size;
	job->answer_ms = (uint32_t)(source->timeouts.answer_s * 1000);
	job->ignore_referrals = source->ignore_referrals;
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	return 0;
}

static uint8_t transport_of(const struct ldap_source *source, const struct server *server)
{
	if (server->scheme == SERVER_LDAPI)
		return TRANSPORT_LOCAL;
	if (server->scheme == SERVER_LDAPS)
		return TRANSPORT_LDAPS;
	/* A configuration that was not checked must not end in clear text. */
	if (source->tls == LDAP_SOURCE_CLEARTEXT && source->allow_cleartext)
		return TRANSPORT_CLEAR;
	return TRANSPORT_STARTTLS;
}

/* --- how an attempt ends --- */

/* Append to text of size bytes; what does not fit is cut between characters. */
static void append_text(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void append_text(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
	for (used = strlen(text); !text_is_utf8(text, used); used--)
		text[used - 1] = '\0';
}

static void end_attempt(struct attempt *attempt, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void end_attempt(struct attempt *attempt, const char *reason, const char *format, ...)
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

	if (end_decode(&message->body, attempt->scratch, &end, err) < 0)
		return -1;
	if (end.complete &&
	    (end.entries != attempt->identities || end.quarantined != attempt->quarantined ||
	     attempt->group_count != attempt->job->wanted_count))
		return err_set(err, ERR_PROTOCOL, "the worker's counts do not add up");
	attempt->result.complete = end.complete;
	attempt->result.groups = end.groups;
	snprintf(attempt->result.reason, sizeof(attempt->result.reason), "%s", end.reason);
	append_text(attempt->result.detail, sizeof(attempt->result.detail), "%s", end.detail);
	attempt->ended = true;
	return 0;
}

static int take_message(struct attempt *attempt, struct message *message, struct err *err)
{
	arena_reset(attempt->scratch);
	switch (message->type) {
	case PROTOCOL_PHASE: return phase_decode(&message->body, &attempt->phase, err);
	case PROTOCOL_PROGRESS: return take_progress(attempt, message, err);
	case PROTOCOL_QUARANTINE: return take_quarantine(attempt, message, err);
	case PROTOCOL_IDENTITY: return take_identity(attempt, message, err);
	case PROTOCOL_GROUP: return take_group(attempt, message, err);
	case PROTOCOL_END: return take_end(attempt, message, err);
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
		clock_monotonic_us() + (int64_t)attempt->job->answer_ms * 1000 + MARGIN_US;

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
			end_attempt(attempt, "timeout", "%s while %s",
				    total ? "the whole read took too long" : "no answer",
				    phase_names[attempt->phase]);
			return -1;
		}
	}
}

/* The stream ended or broke before END: the exit status knows more. */
static void worker_is_gone(struct attempt *attempt, const char *cause)
{
	char text[128];
	int status = 0;

	worker_stop(&attempt->worker, EXIT_GRACE_MS, &status);
	worker_status_text(status, text, sizeof(text));
	end_attempt(attempt, "worker-died", "the worker ended with %s while %s%s%s", text,
		    phase_names[attempt->phase], cause[0] ? ": " : "", cause);
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
		end_attempt(attempt, "worker-died", "the worker did not end when it had to");
		return;
	}
	worker_stop(&attempt->worker, EXIT_GRACE_MS, &status);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		char text[128];
		worker_status_text(status, text, sizeof(text));
		end_attempt(attempt, "worker-died", "the worker ended with %s after the read",
			    text);
	}
}

/* Between messages: a worker that sends without pause keeps us neither for ever nor from stopping. */
static int look_around(struct attempt *attempt, struct err *err)
{
	int64_t now_us = clock_monotonic_us();

	if (now_us >= attempt->end_us)
		end_attempt(attempt, "timeout", "the whole read took too long");
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
			end_attempt(attempt, "protocol-error", "%s", err->text);
			return 0;
		}
		if (attempt->ended)
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

static int run_worker(struct attempt *attempt, int fd, struct err *err)
{
	if (worker_start("ldap", &attempt->worker, err) < 0)
		return -1;
	attempt->stream = message_stream_create(attempt->worker.socket, PROTOCOL_FRAME_MAX);
	if (!attempt->stream)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (send_job(attempt, fd, err) < 0) {
		if (err->code != ERR_UNAVAILABLE)
			return -1;
		worker_is_gone(attempt, err->text);
		return 0;
	}
	return take_all(attempt, err);
}

/* 0: result says how it went; -1: our own side. */
static int run_attempt(struct attempt *attempt, const struct server *server, struct err *err)
{
	AUTO(fd) int fd = -1;
	int status;

	if (server_connect(server, (int)(attempt->source->timeouts.connect_s * 1000),
			   attempt->intake->cancelled, attempt->intake->context, &fd, err) < 0) {
		if (err->code == ERR_CANCELLED)
			return -1;
		end_attempt(attempt, "connect-failed", "%s", err->text);
		return 0;
	}
	status = run_worker(attempt, fd, err);
	/* Still there after all: killed at once. */
	worker_stop(&attempt->worker, 0, NULL);
	message_stream_destroy(attempt->stream);
	attempt->stream = NULL;
	if (status == 0)
		status = deliver_groups(attempt, err);
	return status;
}

/* --- all servers --- */

struct read {
	struct attempt attempt;
	char failures[512]; /* of the servers before the one that answered */
	size_t failed;
};

static void note_failure(struct read *read, const char *url)
{
	const struct read_result *result = &read->attempt.result;

	append_text(read->failures, sizeof(read->failures), "%s%s: %s: %s",
		    read->failed ? "; " : "", url, result->reason, result->detail);
	read->failed++;
}

static void finish_result(struct read *read, const char *url, bool answered,
			  struct read_result *ret_result)
{
	struct read_result result = read->attempt.result;

	if (answered) {
		snprintf(result.server, sizeof(result.server), "%s", url);
		if (read->failed)
			append_text(result.detail, sizeof(result.detail), "%sfailed before: %s",
				    result.detail[0] ? "; " : "", read->failures);
	} else {
		if (read->failed > 1)
			snprintf(result.reason, sizeof(result.reason), "all-servers-failed");
		result.detail[0] = '\0';
		append_text(result.detail, sizeof(result.detail), "%s", read->failures);
	}
	result.entries = read->attempt.identities;
	result.quarantined = read->attempt.quarantined;
	*ret_result = result;
}

static void reset_attempt(struct attempt *attempt)
{
	attempt->result = (struct read_result){ 0 };
	attempt->worker = (struct worker){ .socket = -1 };
	attempt->phase = PHASE_SETUP;
	attempt->ended = false;
	attempt->group_count = attempt->next_wanted = 0;
}

static int read_servers(struct read *read, struct job *job, struct read_result *ret_result,
			struct err *err)
{
	struct attempt *attempt = &read->attempt;
	const struct located_list *servers = &attempt->source->servers;
	struct server server = { 0 };

	for (size_t i = 0; i < servers->count; i++) {
		reset_attempt(attempt);
		if (server_parse(text_or_empty(&servers->items[i]), &server, err) < 0)
			return -1;
		job->url = server.url;
		job->transport = transport_of(attempt->source, &server);
		if (run_attempt(attempt, &server, err) < 0)
			return err_wrap(err, "source '%s'",
					text_or_empty(&attempt->source->common.name));
		if (attempt->result.complete || attempt->delivered) {
			finish_result(read, server.url, true, ret_result);
			return 0;
		}
		note_failure(read, server.url);
		if (clock_monotonic_us() >= attempt->end_us)
			break;
	}
	if (!read->failed)
		end_attempt(attempt, "invalid-settings", "no server is configured");
	finish_result(read, server.url, false, ret_result);
	return 0;
}

int ldap_source_read(const struct ldap_source *source, const struct wanted_attribute *attributes,
		     size_t attribute_count, const struct wanted_group *groups, size_t group_count,
		     const struct intake *intake, struct read_result *ret_result, struct err *err)
{
	struct err own_err = { 0 };
	struct arena *arena = arena_create(SETTINGS_MEMORY_MAX + 64 * group_count);
	struct job job = { .attributes = attributes,
			   .attribute_count = attribute_count,
			   .wanted = groups,
			   .wanted_count = group_count };
	struct read read = { .attempt = { .source = source, .intake = intake, .job = &job } };
	int status = -1;

	if (!err)
		err = &own_err;
	read.attempt.scratch = arena_create(SCRATCH_MAX);
	read.attempt.end_us = clock_monotonic_us() + source->timeouts.total_s * 1000000;
	if (arena)
		read.attempt.groups =
			arena_alloc_array(arena, group_count + 1, sizeof(*read.attempt.groups));
	if (!read.attempt.groups || !read.attempt.scratch)
		err_set(err, ERR_MEMORY, "out of memory");
	else if (fill_job(source, arena, &job, err) == 0)
		status = read_servers(&read, &job, ret_result, err);
	arena_destroy(read.attempt.scratch);
	arena_destroy(arena);
	return status;
}
