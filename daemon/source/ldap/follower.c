/*
 * The core's side of a directory that is followed.
 *
 * A full read by a new worker; when it is complete the worker stays and tells batches of changes.
 * Enters: messages of that worker, which is not trusted. Leaves: runs at the intake, each a full
 * read or changes. What ends it, or interrupts:
 *
 *	its time	another worker reads; when that fails the one that follows goes on
 *	connection lost	the same worker gets another connection, at once, then later and
 *			later, by the list of servers; what it had not committed does not count
 *	worker gone, restart, protocol error, a failed callback, a file that changed
 *			a new worker and a full read, at once when it is nobody's fault,
 *			then later and later
 *	cancelled	the end
 */
#include "follower.h"

#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/backoff.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "client.h"
#include "prints.h"
#include "telling.h"

#define US_PER_S INT64_C(1000000)
/* How long one wait is before it is asked whether to go on. */
#define SLICE_MS 100
#define WOKEN_SLICE_MS 500 /* where that wakes us anyway */
#define OPEN_SLICE_MS 20   /* while a run waits for its end */
/* A frame of which the beginning is here: the rest is under way. */
#define FRAME_US 50000
/* Between connections. */
#define RECONNECT_FIRST_US 100000
#define RECONNECT_MOST_US (60 * US_PER_S)
/* A connection that lasted for so long was a good one. Of others so many have the same pause before the next. */
#define STEADY_US (10 * US_PER_S)
#define SHORT_LIVED_WIDTH 10
/* Between full reads that became necessary. */
#define READ_FIRST_US US_PER_S
#define READ_MOST_US (900 * US_PER_S)
/* A worker that followed for so long has forgiven what was before. */
#define GOOD_US (60 * US_PER_S)
/* A refused bind counts as several failures: each one is a step to the account's lock-out. */
#define REFUSED_FAILURES 4
/* People asked for in one go: less than the socket takes while the worker is busy. */
#define WANTED_AT_ONCE (32u * 1024)

enum link { LINK_LOST, LINK_RESUMING, LINK_UP };

struct follower {
	const struct ldap_source *source;
	const struct follow_intake *out;
	struct intake intake;	  /* of full reads */
	struct client clients[2]; /* one follows, and while it does the other may read in full */
	struct client *client;	  /* the one at hand */
	struct follow_state state;
	char server[SERVER_URL_MAX + 1], problem[512];
	struct prints files; /* as the worker at hand has read them */
	struct telling telling;
	/* The connection. */
	enum link link;
	bool beside; /* the worker at hand reads while the other one is kept */
	struct server_list servers;
	size_t next_server;
	unsigned lost_in_a_row;
	unsigned short_lived; /* good ones in a row that were lost at once */
	int64_t retry_us, resumed_us, heard_us, up_us;
	/* Full reads. */
	int64_t full_due_us; /* 0: not by itself */
	unsigned failed_reads;
	bool told; /* the intake knows that no server answers */
	bool full_wished;
	bool anew;   /* this worker has done its duty */
	bool polite; /* and that is nobody's fault */
	enum { FETCH_NOBODY, FETCH_WAITS, FETCH_SENT } fetch;
	char fetch_key[PROTOCOL_KEY_MAX + 1];
	bool wanted_sent; /* others are asked for, and no batch was committed since */
};

int64_t backoff_us(unsigned failures, size_t width, int64_t first_us, int64_t most_us,
		   uint32_t chance)
{
	size_t rounds = failures ? (failures - 1) / (width ? width : 1) + 1 : 0;
	int64_t most = backoff_most((int64_t)rounds, first_us, most_us);

	return most / 2 + (int64_t)((double)(most / 2) * ((double)chance / UINT32_MAX));
}

/* --- state --- */

static void tell_state(struct follower *f)
{
	if (f->out->state)
		f->out->state(f->out->context, &f->state);
}

static void note_problem(struct follower *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void note_problem(struct follower *f, const char *format, ...)
{
	char text[sizeof(f->problem)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	f->problem[0] = '\0';
	append_text(f->problem, sizeof(f->problem), "%s", text);
	f->state.connected = f->beside;
	tell_state(f);
}

static const char *mode_name(uint8_t mode)
{
	static const char *const names[] = {
		[FOLLOW_SYNC] = "sync", [FOLLOW_USN] = "usn", [FOLLOW_TIMESTAMP] = "timestamp"
	};

	return mode >= FOLLOW_SYNC && mode < ARRAY_LEN(names) ? names[mode] : "";
}

static void note_server(struct follower *f)
{
	snprintf(f->server, sizeof(f->server), "%s", f->client->server.url);
	f->state.mode = mode_name(f->client->attempt.mode);
}

static void note_connected(struct follower *f)
{
	note_server(f);
	f->link = LINK_UP;
	f->state.connected = true;
	f->state.contact_s = clock_now_s();
	f->problem[0] = '\0';
	f->lost_in_a_row = 0;
	f->up_us = clock_monotonic_us();
	tell_state(f);
}

/* A sign of life of the directory. */
static void note_contact(struct follower *f)
{
	int64_t now_s = clock_now_s();

	if (f->state.contact_s == now_s)
		return;
	f->state.contact_s = now_s;
	tell_state(f);
}

/* This worker is of no use any more. polite: a full read may follow at once. */
static void read_anew(struct follower *f, bool polite, const char *reason, const char *detail)
{
	f->anew = true;
	f->polite = polite;
	note_problem(f, "%s%s%s", reason, detail[0] ? ": " : "", detail);
}

static int cancelled(struct follower *f, struct err *err)
{
	if (!f->out->cancelled || !f->out->cancelled(f->out->context))
		return 0;
	return err_set(err, ERR_CANCELLED, "following '%s' ended",
		       f->source->common.name.text ? f->source->common.name.text : "");
}

/* Of whom a connection or worker that is gone was asked, the next one is. */
static void fetch_again(struct follower *f)
{
	if (f->fetch == FETCH_SENT)
		f->fetch = FETCH_WAITS;
	f->telling.sought = NULL;
	f->telling.found = false;
	f->wanted_sent = false;
}

/* --- the full read --- */

static int read_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct follower *f = context;

	if (telling_open(&f->telling, true, err) < 0)
		return -1;
	return f->out->identity(f->out->context, record, size, err);
}

static int read_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct follower *f = context;

	if (telling_open(&f->telling, true, err) < 0)
		return -1;
	return f->out->quarantine(f->out->context, entry, err);
}

static int read_group(void *context, uint32_t group_id, bool found, uint64_t members,
		      struct err *err)
{
	struct follower *f = context;

	if (telling_open(&f->telling, true, err) < 0)
		return -1;
	return f->out->group(f->out->context, group_id, found, members, err);
}

static void read_progress(void *context, uint64_t read, uint64_t total)
{
	struct follower *f = context;

	if (f->out->progress)
		f->out->progress(f->out->context, read, total);
}

static bool read_cancelled(void *context)
{
	struct follower *f = context;

	return f->out->cancelled && f->out->cancelled(f->out->context);
}

static void note_full(struct follower *f, const struct read_result *result)
{
	int64_t interval_us = f->source->common.interval_s * US_PER_S;

	f->heard_us = clock_monotonic_us();
	f->full_due_us = 0;
	/* Up to a tenth later: many daemons do not read one directory at the same moment. */
	if (interval_us > 0)
		f->full_due_us = f->heard_us + interval_us +
				 (int64_t)((double)interval_us / 10 *
					   ((double)randombytes_random() / UINT32_MAX));
	f->told = false;
	f->state.full_s = clock_now_s();
	f->state.vendor = f->client->attempt.vendor;
	f->state.identity = f->client->attempt.identity;
	f->short_lived = 0;
	note_connected(f);
	(void)result;
}

/* Does the intake hear of a read of which nothing came? Once, and whoever asked for it. */
static bool worth_telling(const struct follower *f, const struct read_result *result)
{
	return result->complete || f->client->attempt.delivered || f->full_wished || !f->told;
}

static int full_read(struct follower *f, bool *ret_complete, struct err *err)
{
	struct read_result result = { 0 };
	struct prints files;

	prints_take(&f->client->job, &files);
	f->client->job.follow = (uint8_t)f->source->follow.mode;
	f->anew = f->polite = false;
	if (!f->beside) {
		f->files = files;
		fetch_again(f);
	}
	if (client_read(f->client, &result, err) < 0)
		return -1;
	if (f->client->attempt.phase > PHASE_BIND)
		f->state.contact_s = clock_now_s();
	if (worth_telling(f, &result)) {
		f->full_wished = false;
		f->told = true;
		if (telling_end_full(&f->telling, &result, err) < 0)
			return -1;
	}
	if (result.complete) {
		f->files = files;
		fetch_again(f);
		note_full(f, &result);
	} else {
		if (!f->beside)
			note_server(f);
		note_problem(f, "%s%s%s", result.reason, result.detail[0] ? ": " : "",
			     result.detail);
	}
	*ret_complete = result.complete;
	return 0;
}

/* --- messages --- */

static int take_begin(struct follower *f, const struct message *message, struct err *err)
{
	if (f->link == LINK_LOST)
		return telling_out_of_place(message->type, err);
	return telling_begin(&f->telling, message, err);
}

/* The connection that the worker got is good. */
static void note_resumed(struct follower *f)
{
	f->state.reconnects++;
	server_list_finish(&f->servers);
	note_connected(f);
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
		note_resumed(f);
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

/* A server that ends each search as soon as it has answered must not be asked without pause. */
static void retry_later(struct follower *f)
{
	int64_t failed_us = pause_us(f->lost_in_a_row, f->servers.count);
	int64_t short_us = pause_us(f->short_lived, SHORT_LIVED_WIDTH);

	f->retry_us = clock_monotonic_us() + (failed_us > short_us ? failed_us : short_us);
}

static int note_lost(struct follower *f, struct err *err)
{
	bool steady = clock_monotonic_us() - f->up_us >= STEADY_US;

	f->short_lived = steady ? 0 : f->short_lived + 1;
	return list_servers(f, err);
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
		read_anew(f, false, reason, detail);
		return 0;
	}
	if (again) {
		f->lost_in_a_row += strcmp(reason, "bind-refused") == 0 ? REFUSED_FAILURES : 1;
		f->next_server++;
	} else if (note_lost(f, err) < 0) {
		return -1;
	}
	f->link = LINK_LOST;
	fetch_again(f);
	note_problem(f, "%s: %s: %s", f->client->server.url, reason, detail);
	retry_later(f);
	return 0;
}

static int take_restart(struct follower *f, struct message *message, struct err *err)
{
	const char *reason, *detail;

	if (take_trouble(f, message, &reason, &detail, err) < 0)
		return -1;
	read_anew(f, false, reason, detail);
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
		note_contact(f);
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

/* Is something there to be received at once? socket -1: wait for the wake only. */
static bool wait_readable(const struct follower *f, int socket, int timeout_ms)
{
	struct pollfd ready[] = { { .fd = socket, .events = POLLIN },
				  { .fd = f->out->wake_fd, .events = POLLIN } };

	/* Wishes wait for the end of what is open. */
	if (f->telling.run_open || f->telling.batch.open)
		ready[1].fd = -1;
	/* An interrupted wait is one that found nothing. */
	return poll(ready, ARRAY_LEN(ready), timeout_ms) > 0 && ready[0].revents != 0;
}

static bool message_waits(const struct follower *f, int timeout_ms)
{
	const struct attempt *attempt = &f->client->attempt;

	return message_pending(attempt->stream) ||
	       wait_readable(f, attempt->worker.socket, timeout_ms);
}

static void worker_is_gone(struct follower *f, const char *cause)
{
	char text[128], detail[256] = "";

	attempt_worker_status(&f->client->attempt, text, sizeof(text));
	append_text(detail, sizeof(detail), "the worker ended with %s%s%s", text,
		    cause[0] ? ": " : "", cause);
	telling_drop(&f->telling);
	read_anew(f, false, "worker-died", detail);
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
	read_anew(f, false, "protocol-error", detail);
	return 0;
}

static int receive_one(struct follower *f, struct err *err)
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
		worker_is_gone(f, received < 0 ? err->text : "");
		err_clear(err);
		return 0;
	}
	if (take(f, &message, err) < 0)
		return judge(f, err);
	f->heard_us = clock_monotonic_us();
	return 0;
}

/* --- the connection --- */

static int send_to_worker(struct follower *f, const struct strbuf *frame, int fd, struct err *err)
{
	if (message_send(f->client->attempt.worker.socket, frame, fd, err) == 0)
		return 0;
	if (err->code != ERR_UNAVAILABLE)
		return -1;
	worker_is_gone(f, "");
	err_clear(err);
	return 0;
}

static int resume_on(struct follower *f, int fd, struct err *err)
{
	const struct protocol_resume resume = { f->client->job.transport, f->client->job.url };
	AUTO(strbuf) struct strbuf frame = STRBUF(PROTOCOL_JOB_MAX);

	resume_encode(&resume, &frame);
	f->link = LINK_RESUMING;
	f->client->attempt.phase = PHASE_SETUP;
	f->resumed_us = f->heard_us = clock_monotonic_us();
	return send_to_worker(f, &frame, fd, err);
}

static int reconnect(struct follower *f, struct err *err)
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
		note_problem(f, "connect-failed: %s", f->servers.problem);
		retry_later(f);
		return 0;
	}
	f->client->server = f->servers.items[f->next_server];
	f->client->job.url = f->client->server.url;
	f->client->job.transport = client_transport(f->source, &f->client->server);
	note_server(f);
	if (attempt_connect(&f->client->attempt, &f->client->server, &fd, err) == 0)
		return resume_on(f, fd, err);
	if (err->code == ERR_CANCELLED)
		return -1;
	f->lost_in_a_row++;
	f->next_server++;
	note_problem(f, "%s: connect-failed: %s", f->client->server.url, err->text);
	err_clear(err);
	retry_later(f);
	return 0;
}

/* --- between messages --- */

static int send_fetch(struct follower *f, struct err *err)
{
	AUTO(strbuf) struct strbuf frame = STRBUF(PROTOCOL_KEY_MAX + 64);

	/* An empty answer must be to this and nothing else. */
	if (f->link != LINK_UP || f->fetch != FETCH_WAITS || f->wanted_sent)
		return 0;
	key_encode(PROTOCOL_FETCH, f->fetch_key, strlen(f->fetch_key), &frame);
	f->fetch = FETCH_SENT;
	f->telling.sought = f->fetch_key;
	return send_to_worker(f, &frame, -1, err);
}

/* The rest when these have been told. */
static int send_wanted(struct follower *f, struct err *err)
{
	AUTO(strbuf) struct strbuf frames = STRBUF(WANTED_AT_ONCE + PROTOCOL_KEY_MAX + 64);
	const char *key;

	if (!f->out->wanted || f->link != LINK_UP || f->wanted_sent || f->fetch != FETCH_NOBODY)
		return 0;
	while (frames.size < WANTED_AT_ONCE && (key = f->out->wanted(f->out->context)) != NULL)
		if (key[0] != '\0' && strlen(key) <= PROTOCOL_KEY_MAX)
			key_encode(PROTOCOL_FETCH, key, strlen(key), &frames);
	if (frames.size == 0)
		return 0;
	f->wanted_sent = true;
	return send_to_worker(f, &frames, -1, err);
}

static int look_at_wishes(struct follower *f, struct err *err)
{
	const char *key = "";

	if (!f->out->wish)
		return 0;
	switch (f->out->wish(f->out->context, &key)) {
	case FOLLOW_FULL:
		f->full_wished = true;
		f->anew = f->polite = true;
		return 0;
	case FOLLOW_FETCH:
		if (key[0] != '\0' && strlen(key) <= PROTOCOL_KEY_MAX) {
			memcpy(f->fetch_key, key, strlen(key) + 1);
			f->fetch = FETCH_WAITS;
		}
		break;
	case FOLLOW_ON:
	default: break;
	}
	return send_fetch(f, err) < 0 ? -1 : send_wanted(f, err);
}

static void look_at_deadlines(struct follower *f)
{
	const struct job *job = &f->client->job;
	int64_t now_us = clock_monotonic_us();
	int64_t quiet_us = (int64_t)job->answer_ms * 1000 + ATTEMPT_MARGIN_US;

	/* What waits for its end is followed on until then. */
	if (f->full_due_us && now_us >= f->full_due_us && !f->telling.run_open &&
	    !f->telling.batch.open) {
		f->anew = f->polite = true;
		return;
	}
	if (f->link == LINK_LOST)
		return;
	if (f->link == LINK_UP && !f->telling.batch.open)
		quiet_us += (int64_t)job->keepalive_ms * 1000;
	if (now_us - f->heard_us >= quiet_us)
		read_anew(f, false, "worker-silent", "the worker did not say a word in time");
	else if (f->link == LINK_RESUMING &&
		 now_us - f->resumed_us >= f->source->timeouts.total_s * US_PER_S)
		read_anew(f, false, "timeout", "catching up took too long");
}

static int look_around(struct follower *f, struct err *err)
{
	if (cancelled(f, err) < 0)
		return -1;
	/* What is committed by the worker is so by us before anything else happens. */
	if (f->telling.run_open && !f->telling.batch.streamed &&
	    (telling_is_due(&f->telling) || !message_waits(f, 0))) {
		if (telling_try_end(&f->telling, err) < 0)
			return -1;
		/* Whatever waited meanwhile waited for us. */
		if (!f->telling.run_open)
			f->heard_us = clock_monotonic_us();
	}
	if (!f->telling.run_open && !f->telling.batch.open && look_at_wishes(f, err) < 0)
		return -1;
	/* A worker has read them before it locked itself up: another one must. */
	if (f->link == LINK_LOST && prints_differ(&f->client->job, &f->files))
		read_anew(f, true, "files-changed", "the password or a certificate was replaced");
	if (!f->anew)
		look_at_deadlines(f);
	return 0;
}

static int slice_ms(const struct follower *f)
{
	int most_ms = f->out->wake_fd >= 0 && !f->telling.batch.open ? WOKEN_SLICE_MS : SLICE_MS;
	int64_t left_ms;

	if (f->telling.run_open)
		most_ms = OPEN_SLICE_MS;

	if (f->link != LINK_LOST)
		return most_ms;
	left_ms = (f->retry_us - clock_monotonic_us() + 999) / 1000;
	if (left_ms < 0)
		return 0;
	return left_ms < most_ms ? (int)left_ms : most_ms;
}

/* 0: a full read is due; -1: our own side, or cancelled. */
static int follow_on(struct follower *f, struct err *err)
{
	while (!f->anew) {
		if (look_around(f, err) < 0)
			return -1;
		if (f->anew)
			break;
		if (message_waits(f, slice_ms(f))) {
			if (receive_one(f, err) < 0)
				return -1;
		} else if (f->link == LINK_LOST && clock_monotonic_us() >= f->retry_us) {
			if (reconnect(f, err) < 0)
				return -1;
		}
	}
	telling_drop(&f->telling);
	return telling_end(&f->telling, err);
}

/* --- from one full read to the next --- */

static int pause_until(struct follower *f, int64_t until_us, struct err *err)
{
	for (;;) {
		int64_t left_ms = (until_us - clock_monotonic_us() + 999) / 1000;
		if (cancelled(f, err) < 0)
			return -1;
		if (look_at_wishes(f, err) < 0)
			return -1;
		if (left_ms <= 0 || f->full_wished || prints_differ(&f->client->job, &f->files))
			return 0;
		wait_readable(f, -1, left_ms < SLICE_MS ? (int)left_ms : SLICE_MS);
	}
}

/* How long after a full read that failed the next one may be. */
static int64_t read_pause_us(const struct follower *f, unsigned failures)
{
	/* For the directory, or as a step to the account's lock-out. */
	bool costly = f->client->attempt.delivered ||
		      strcmp(f->client->attempt.result.reason, "bind-refused") == 0;

	return backoff_us(failures, 1, READ_FIRST_US, costly ? READ_MOST_US : RECONNECT_MOST_US,
			  randombytes_random());
}

/*
 * A full read by the other worker. The one that follows is kept until it is complete: what it tells meanwhile waits, and
 * is heard when the read has failed; else the new one tells it.
 */
static int read_beside(struct follower *f, struct err *err)
{
	struct client *follows = f->client;
	bool complete = false;
	int status;

	f->client = follows == &f->clients[0] ? &f->clients[1] : &f->clients[0];
	f->beside = true;
	status = full_read(f, &complete, err);
	f->beside = false;
	if (status == 0 && complete) {
		f->failed_reads = 0;
		attempt_stop(&follows->attempt);
		return 0;
	}
	attempt_stop(&f->client->attempt);
	f->heard_us = clock_monotonic_us();
	f->full_due_us = f->heard_us + read_pause_us(f, ++f->failed_reads);
	f->client = follows;
	return status;
}

/* As follow_on, through full reads that have their time. */
static int follow_through(struct follower *f, struct err *err)
{
	int status;

	while ((status = follow_on(f, err)) == 0 && f->polite && f->link == LINK_UP)
		if (read_beside(f, err) < 0)
			return -1;
	return status;
}

/* A full read, and what follows from it. ret_delay_us: before the next one. */
static int one_round(struct follower *f, int64_t *ret_delay_us, struct err *err)
{
	int64_t begin_us = 0;
	bool complete = false;
	int result = full_read(f, &complete, err);

	if (result == 0 && complete) {
		begin_us = clock_monotonic_us();
		result = follow_through(f, err);
	}
	telling_drop(&f->telling);
	telling_abort(&f->telling);
	attempt_stop(&f->client->attempt);
	f->link = LINK_LOST;
	if (result < 0 && err->code == ERR_CANCELLED)
		return -1;
	if (result < 0) {
		note_problem(f, "%s", err->text);
		err_clear(err);
	}
	*ret_delay_us = 0;
	if (begin_us && clock_monotonic_us() - begin_us >= GOOD_US)
		f->failed_reads = 0;
	if (result == 0 && complete && f->polite)
		return 0;
	f->state.restarts += begin_us != 0;
	/* After one that had begun to follow the first time may be chance. */
	*ret_delay_us = read_pause_us(f, f->failed_reads + (begin_us == 0));
	f->failed_reads++;
	return 0;
}

static int follow(struct follower *f, struct err *err)
{
	int64_t delay_us = 0;

	for (;;) {
		if (pause_until(f, clock_monotonic_us() + delay_us, err) < 0 ||
		    one_round(f, &delay_us, err) < 0)
			return err->code == ERR_CANCELLED ? 0 : -1;
	}
}

int ldap_source_follow(const struct ldap_source *source, const struct wanted_attribute *attributes,
		       size_t attribute_count, const struct wanted_group *groups,
		       size_t group_count, const struct follow_intake *intake, struct err *err)
{
	struct err own_err = { 0 };
	struct follower f = {
		.source = source,
		.out = intake,
		.intake = { .context = &f,
			    .identity = read_identity,
			    .quarantine = read_quarantine,
			    .group = read_group,
			    .progress = read_progress,
			    .cancelled = read_cancelled },
	};
	int status = 0;

	if (!err)
		err = &own_err;
	f.state = (struct follow_state){
		.mode = "", .vendor = "", .identity = "", .server = f.server, .problem = f.problem
	};
	f.client = &f.clients[0];
	for (size_t i = 0; i < ARRAY_LEN(f.clients); i++)
		if (client_init(&f.clients[i], source, attributes, attribute_count, groups,
				group_count, &f.intake, err) < 0)
			status = -1;
	if (status == 0)
		status = telling_init(&f.telling, intake, &f.state, f.client->attempt.scratch,
				      groups, group_count, err);
	if (status == 0)
		status = follow(&f, err);
	for (size_t i = 0; i < ARRAY_LEN(f.clients); i++)
		client_finish(&f.clients[i]);
	server_list_finish(&f.servers);
	telling_finish(&f.telling);
	return status;
}

/* What is in a job, and what only the core knows. */
static void put_identity(const struct ldap_source *source, struct job *job, struct strbuf *out)
{
	job->now_s = 0;
	job->url = "";
	job->follow = (uint8_t)source->follow.mode;
	job_encode(job, out);
	put_u8(out, (uint8_t)source->tls);
	put_u8(out, source->allow_cleartext);
	put_i64(out, source->common.interval_s);
	put_i64(out, source->follow.alarm_s);
	put_i64(out, source->timeouts.connect_s);
	put_i64(out, source->timeouts.total_s);
	for (size_t i = 0; i < source->servers.count; i++)
		put_text(out, source->servers.items[i].text);
}

int ldap_source_follow_id(const struct ldap_source *source,
			  const struct wanted_attribute *attributes, size_t attribute_count,
			  const struct wanted_group *groups, size_t group_count,
			  struct hash256 *ret_id, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(PROTOCOL_JOB_MAX);
	const struct intake none = { 0 };
	struct client client;
	int status = client_init(&client, source, attributes, attribute_count, groups, group_count,
				 &none, err);

	if (status == 0)
		put_identity(source, &client.job, &text);
	client_finish(&client);
	if (status == 0 && strbuf_failed(&text))
		return err_set(err, ERR_TOO_LARGE, "a job larger than %u bytes", PROTOCOL_JOB_MAX);
	if (status == 0)
		*ret_id = digest256(text.data, text.size);
	return status;
}
