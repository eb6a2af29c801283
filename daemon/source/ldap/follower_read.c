/*
 * The follower's full read, by the worker at hand. Enters: what client_read hears from it. Leaves: a full run at the intake,
 * and when the next one is due. Fails: our own side; what the directory or the worker did wrong is a read that is not complete.
 */
#include "follower_state.h"

#include <sodium.h>
#include <string.h>

#include <rolebridge/base/clock.h>

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

struct intake follower_intake(struct follower *f)
{
	return (struct intake){ .context = f,
				.identity = read_identity,
				.quarantine = read_quarantine,
				.group = read_group,
				.progress = read_progress,
				.cancelled = read_cancelled };
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
	follower_note_connected(f);
	(void)result;
}

/* Does the intake hear of a read of which nothing came? Once, and whoever asked for it. */
static bool worth_telling(const struct follower *f, const struct read_result *result)
{
	return result->complete || f->client->attempt.delivered || f->full_wished || !f->told;
}

int follower_read_full(struct follower *f, bool *ret_complete, struct err *err)
{
	struct read_result result = { 0 };
	struct prints files;

	prints_take(&f->client->job, &files);
	f->client->job.follow = (uint8_t)f->source->follow.mode;
	f->anew = f->polite = false;
	if (!f->beside) {
		f->files = files;
		follower_fetch_again(f);
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
		follower_fetch_again(f);
		note_full(f, &result);
	} else {
		if (!f->beside)
			follower_note_server(f);
		follower_note_problem(f, "%s%s%s", result.reason, result.detail[0] ? ": " : "",
				      result.detail);
	}
	*ret_complete = result.complete;
	return 0;
}
