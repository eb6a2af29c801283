/*
 * The polling feeds (see follow.h): Active Directory by uSNChanged, others by modifyTimestamp. What is
 * looked at, and how, is in look.c.
 *
 * - uSNChanged: the cursor is highestCommittedUSN as it was before the searches (what changed meanwhile comes
 *   again). It is good for one invocation of one server.
 * - modifyTimestamp: the cursor is the newest one met, less an overlap for what was being written, or
 *   is on its way between servers, with an earlier one. The server's clock counts; by ours only times that are
 *   still to come are left out. What comes again because of the overlap is known by its content (told.h).
 */
#include "follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>

#include "look.h"

/* How often all is read anew where the server shows no times. */
#define BLIND_POLL_US (300 * INT64_C(1000000))
#define SETS_MAX (1u << 24)

/* --- the feeds --- */

static int64_t poll_due_us(const struct follow *follow)
{
	const struct poll *poll = follow->feed;

	return poll->due_us;
}

/* Nothing tells when anything changed. */
static bool is_blind(const struct poll *poll)
{
	return !poll->by_usn && !poll->shows_times;
}

static void poll_set_due(struct follow *follow)
{
	struct poll *poll = follow->feed;
	int64_t pause_us = (int64_t)follow->job->poll_ms * 1000;

	if (is_blind(poll) && pause_us < BLIND_POLL_US)
		pause_us = BLIND_POLL_US;
	poll->due_us = clock_monotonic_us() + pause_us;
}

static void poll_committed(struct follow *follow)
{
	struct poll *poll = follow->feed;

	poll->usn = poll->next_usn;
	poll->newest_s = poll->next_newest_s;
}

static void poll_destroy(void *feed)
{
	struct poll *poll = feed;

	if (!poll)
		return;
	hash_table_destroy(poll->containers);
	hash_table_destroy(poll->container_names);
	dn_parents_destroy(poll->parents);
	strbuf_finish(&poll->scratch);
	free(poll);
}

static const char *usn_identity_attribute(const struct root *root)
{
	(void)root;
	return "objectGUID";
}

static const char *timestamp_identity_attribute(const struct root *root)
{
	switch (root->vendor) {
	case VENDOR_389DS: return "nsUniqueId";
	case VENDOR_ACTIVE_DIRECTORY: return "objectGUID";
	default: return "entryUUID";
	}
}

static int poll_create(struct follow *follow)
{
	struct poll *poll = alloc_zeroed(1, sizeof(*poll));

	follow->feed = poll;
	if (poll) {
		poll->containers = hash_table_create(64, SETS_MAX);
		poll->container_names = hash_table_create(64, SETS_MAX);
		poll->parents = dn_parents_create();
		poll->scratch = STRBUF(32 * DN_MAX);
		poll->by_usn = follow->ops->mode == FOLLOW_USN;
		poll->id_attribute = follow->ops->identity_attribute(&follow->root);
		snprintf(poll->identity, sizeof(poll->identity), "%s", follow->root.identity);
	}
	if (poll && poll->containers && poll->container_names && poll->parents)
		return 0;
	outcome_note(follow->session->outcome, "out-of-memory", "no memory to look for changes");
	return -1;
}

static int usn_start(struct follow *follow)
{
	struct poll *poll;

	if (poll_create(follow) < 0)
		return -1;
	poll = follow->feed;
	if (!follow->root.has_usn) {
		outcome_note(follow->session->outcome, "invalid-settings",
			     "server does not tell its highestCommittedUSN");
		return -1;
	}
	poll->usn = poll->next_usn = follow->root.highest_usn;
	return look_learn_containers(follow);
}

static int timestamp_start(struct follow *follow)
{
	if (poll_create(follow) < 0 || look_find_newest(follow) < 0)
		return -1;
	return look_learn_containers(follow);
}

/* --- on and on --- */

static int poll_begin(struct follow *follow)
{
	poll_set_due(follow);
	return 0;
}

static int read_usn(struct follow *follow, uint64_t *ret_usn)
{
	struct outcome outcome = { 0 };
	struct outcome *kept = follow->session->outcome;
	int status;

	follow->session->outcome = &outcome;
	status = root_read_usn(follow->session, ret_usn);
	follow->session->outcome = kept;
	return status < 0 ? follow_lost(follow, outcome.reason, "%s", outcome.detail) : 0;
}

/* The core waits for a batch after a lost connection, also for one with nothing in it. */
static int catch_up(struct follow *follow)
{
	struct poll *poll = follow->feed;

	if (!poll->catching_up)
		return 0;
	poll->catching_up = false;
	output_begin_batch(follow->out);
	return follow_commit(follow);
}

static int usn_tick(struct follow *follow)
{
	struct poll *poll = follow->feed;
	uint64_t highest;
	int status;

	if (read_usn(follow, &highest) < 0)
		return -1;
	if (highest < poll->usn)
		return follow_restart(follow, "server-changed",
				      "highestCommittedUSN went back from %" PRIu64 " to %" PRIu64,
				      poll->usn, highest);
	follow_pulse(follow);
	poll->next_usn = highest;
	status = highest == poll->usn ? 0 : look_at_changes(follow);
	poll_set_due(follow);
	return status < 0 ? -1 : catch_up(follow);
}

static int timestamp_tick(struct follow *follow)
{
	struct poll *poll = follow->feed;
	int status;

	if (is_blind(poll))
		return follow_restart(follow, "no-timestamps",
				      "the server shows no " TIME_ATTRIBUTE
				      " to this account, so all is read anew");
	status = look_at_changes(follow);
	if (status == 0)
		follow_pulse(follow);
	poll_set_due(follow);
	return status < 0 ? -1 : catch_up(follow);
}

static int poll_resume(struct follow *follow)
{
	struct poll *poll = follow->feed;

	if (strcmp(poll->identity, follow->root.identity) != 0)
		return follow_restart(follow, "server-changed",
				      "another server, or another invocation of it, answers");
	poll->next_usn = poll->usn;
	poll->next_newest_s = poll->newest_s;
	poll->due_us = 0;
	poll->catching_up = true;
	return 0;
}

const struct feed_ops usn_feed = {
	.mode = FOLLOW_USN,
	.identity_attribute = usn_identity_attribute,
	.start = usn_start,
	.begin = poll_begin,
	.due_us = poll_due_us,
	.tick = usn_tick,
	.resume = poll_resume,
	.committed = poll_committed,
	.destroy = poll_destroy,
};

const struct feed_ops timestamp_feed = {
	.mode = FOLLOW_TIMESTAMP,
	.by_time = true,
	.identity_attribute = timestamp_identity_attribute,
	.start = timestamp_start,
	.begin = poll_begin,
	.due_us = poll_due_us,
	.tick = timestamp_tick,
	.resume = poll_resume,
	.committed = poll_committed,
	.destroy = poll_destroy,
};
