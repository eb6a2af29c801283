/*
 * The core's side of a directory that is followed.
 *
 * A full read by a new worker; when it is complete the worker stays and tells batches of changes.
 * Enters: messages of that worker, which is not trusted. Leaves: runs at the intake, each a full
 * read or changes. What ends it, or interrupts:
 *
 *	its time, a wish	another worker reads; when that fails the one that follows goes on,
 *			also one that waits for another connection
 *	connection lost	the same worker gets another connection, at once, then later and
 *			later, by the list of servers; what it had not committed does not count
 *	worker gone, restart, protocol error, a failed callback, a file that changed
 *			a new worker and a full read, at once when it is nobody's fault,
 *			then later and later
 *	cancelled	the end
 */
#include "follower.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/backoff.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "follower_state.h"

/* How long one wait is before it is asked whether to go on. */
#define SLICE_MS 100
#define WOKEN_SLICE_MS 500 /* where that wakes us anyway */
#define OPEN_SLICE_MS 20   /* while a run waits for its end */
/* Between full reads that became necessary. */
#define READ_FIRST_US US_PER_S
#define READ_MOST_US (900 * US_PER_S)
/* A worker that followed for so long has forgiven what was before. */
#define GOOD_US (60 * US_PER_S)
/* People asked for in one go: less than the socket takes while the worker is busy. */
#define WANTED_AT_ONCE (32u * 1024)

int64_t backoff_us(unsigned failures, size_t width, int64_t first_us, int64_t most_us,
		   uint32_t chance)
{
	size_t rounds = failures ? (failures - 1) / (width ? width : 1) + 1 : 0;
	int64_t most = backoff_most((int64_t)rounds, first_us, most_us);

	return most / 2 + (int64_t)((double)(most / 2) * ((double)chance / UINT32_MAX));
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
	return follower_send(f, &frame, -1, err);
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
	return follower_send(f, &frames, -1, err);
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
		follower_read_anew(f, false, "worker-silent",
				   "the worker did not say a word in time");
	else if (f->link == LINK_RESUMING &&
		 now_us - f->resumed_us >= f->source->timeouts.total_s * US_PER_S)
		follower_read_anew(f, false, "timeout", "catching up took too long");
}

static int look_around(struct follower *f, struct err *err)
{
	if (follower_cancelled(f, err) < 0)
		return -1;
	/* What is committed by the worker is so by us before anything else happens. */
	if (f->telling.run_open && !f->telling.batch.streamed &&
	    (telling_is_due(&f->telling) || !follower_message_waits(f, 0))) {
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
		follower_read_anew(f, true, "files-changed",
				   "the password or a certificate was replaced");
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
		if (follower_message_waits(f, slice_ms(f))) {
			if (follower_receive_one(f, err) < 0)
				return -1;
		} else if (f->link == LINK_LOST && clock_monotonic_us() >= f->retry_us) {
			if (follower_reconnect(f, err) < 0)
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
		if (follower_cancelled(f, err) < 0)
			return -1;
		if (look_at_wishes(f, err) < 0)
			return -1;
		if (left_ms <= 0 || f->full_wished || prints_differ(&f->client->job, &f->files))
			return 0;
		follower_wait_readable(f, -1, left_ms < SLICE_MS ? (int)left_ms : SLICE_MS);
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
	status = follower_read_full(f, &complete, err);
	f->beside = false;
	if (status == 0 && complete) {
		f->failed_reads = 0;
		attempt_stop(&follows->attempt);
		return 0;
	}
	attempt_stop(&f->client->attempt);
	f->heard_us = f->resumed_us = clock_monotonic_us();
	f->full_due_us = f->heard_us + read_pause_us(f, ++f->failed_reads);
	f->client = follows;
	return status;
}

/* Can this worker go on when another one's read has failed? Without a connection only by the files it knows. */
static bool may_be_kept(const struct follower *f)
{
	return f->polite && (f->link == LINK_UP || !prints_differ(&f->client->job, &f->files));
}

/* As follow_on, through full reads that have their time. */
static int follow_through(struct follower *f, struct err *err)
{
	int status;

	while ((status = follow_on(f, err)) == 0 && may_be_kept(f))
		if (read_beside(f, err) < 0)
			return -1;
	return status;
}

/* A full read, and what follows from it. ret_delay_us: before the next one. */
static int one_round(struct follower *f, int64_t *ret_delay_us, struct err *err)
{
	int64_t begin_us = 0;
	bool complete = false;
	int result = follower_read_full(f, &complete, err);

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
		follower_note_problem(f, "%s", err->text);
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
	};
	int status = 0;

	if (!err)
		err = &own_err;
	f.state = (struct follow_state){
		.mode = "", .vendor = "", .identity = "", .server = f.server, .problem = f.problem
	};
	f.intake = follower_intake(&f);
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
