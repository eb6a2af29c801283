/*
 * What a following worker tells becomes runs at the intake (see telling.h). Enters: messages of a
 * worker that is not trusted. Leaves: calls of the intake. Fails with ERR_PROTOCOL for what may
 * not be said, else as the intake does; a run that was open then is for the caller to abort.
 */
#include "telling.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>

#include "protocol.h"

/* Batches that wait together are one run, up to this. */
#define RUN_US 100000
#define RUN_CHANGES 2000
/* While the intake is not ready. */
#define POSTPONED_CHANGES 100000
#define HELD_MAX (1024u * 1024)

int telling_out_of_place(uint16_t type, struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "the worker sent a message of type %u out of place",
		       (unsigned)type);
}

/* --- runs at the intake --- */

int telling_open(struct telling *t, bool full, struct err *err)
{
	if (t->run_open)
		return 0;
	if (t->out->begin(t->out->context, full, err) < 0)
		return -1;
	t->run_open = true;
	t->run_changes = 0;
	t->postponed_us = 0;
	t->run_begin_us = clock_monotonic_us();
	return 0;
}

void telling_abort(struct telling *t)
{
	if (t->run_open)
		t->out->abort(t->out->context);
	t->run_open = false;
}

int telling_end(struct telling *t, struct err *err)
{
	int64_t end_us;

	if (!t->run_open)
		return 0;
	t->run_open = false;
	if (t->out->end(t->out->context, NULL, err) < 0)
		return -1;
	end_us = clock_monotonic_us();
	t->state->batches++;
	t->state->changes += t->run_changes;
	t->state->change_s = clock_now_s();
	t->state->lag_us = end_us - t->run_begin_us;
	if (t->out->state)
		t->out->state(t->out->context, t->state);
	return 0;
}

int telling_try_end(struct telling *t, struct err *err)
{
	int ready = 1;

	if (t->run_open && t->out->ready && t->run_changes < POSTPONED_CHANGES)
		ready = t->out->ready(t->out->context, err);
	if (ready > 0)
		return telling_end(t, err);
	t->postponed_us = clock_monotonic_us();
	return ready;
}

int telling_end_full(struct telling *t, const struct read_result *result, struct err *err)
{
	if (telling_open(t, true, err) < 0)
		return -1;
	t->run_open = false;
	return t->out->end(t->out->context, result, err);
}

/* --- what is in a batch --- */

static bool is_wanted(const struct telling *t, uint32_t id)
{
	size_t low = 0, high = t->wanted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->wanted[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->wanted_count && t->wanted[low] == id;
}

static void note_told(struct telling *t, const char *key, size_t size)
{
	if (!t->sought || t->found || strlen(t->sought) != size ||
	    memcmp(t->sought, key, size) != 0)
		return;
	t->found = true;
	if (t->out->fetched)
		t->out->fetched(t->out->context);
}

static int give_identity(struct telling *t, struct reader *body, struct err *err)
{
	size_t size = reader_left(body), key_size;
	const char *key;

	if (record_key(body->at, size, &key, &key_size, err) < 0)
		return -1;
	note_told(t, key, key_size);
	return t->out->identity(t->out->context, body->at, size, err);
}

static int give_quarantine(struct telling *t, struct reader *body, struct err *err)
{
	struct quarantined entry;

	if (quarantine_decode(body, t->scratch, &entry, err) < 0)
		return -1;
	note_told(t, entry.key, strlen(entry.key));
	return t->out->quarantine(t->out->context, &entry, err);
}

static int give_group(struct telling *t, struct reader *body, struct err *err)
{
	struct protocol_group group;

	if (group_decode(body, &group, err) < 0)
		return -1;
	/* A wanted group that vanished is for a full read to say. */
	if (!group.found || !is_wanted(t, group.id))
		return err_set(err, ERR_PROTOCOL, "the worker told of group %u unasked",
			       (unsigned)group.id);
	return t->out->group(t->out->context, group.id, true, group.members, err);
}

static int give_groups(struct telling *t, struct reader *body, struct err *err)
{
	struct protocol_groups groups;

	if (groups_decode(body, t->scratch, &groups, err) < 0)
		return -1;
	for (size_t i = 0; i < groups.count; i++)
		if (!is_wanted(t, groups.ids[i]))
			return err_set(err, ERR_PROTOCOL, "the worker told of group %u unasked",
				       (unsigned)groups.ids[i]);
	note_told(t, groups.key, groups.key_size);
	return t->out->groups(t->out->context, groups.key, groups.key_size, groups.ids,
			      groups.count, groups.complete, err);
}

static int give_gone(struct telling *t, struct reader *body, struct err *err)
{
	const char *key;
	size_t size;

	if (key_decode(body, &key, &size, err) < 0)
		return -1;
	note_told(t, key, size);
	return t->out->gone(t->out->context, key, size, err);
}

static int give(struct telling *t, uint16_t type, struct reader body, struct err *err)
{
	arena_reset(t->scratch);
	switch (type) {
	case PROTOCOL_IDENTITY: return give_identity(t, &body, err);
	case PROTOCOL_QUARANTINE: return give_quarantine(t, &body, err);
	case PROTOCOL_GROUP: return give_group(t, &body, err);
	case PROTOCOL_GROUPS: return give_groups(t, &body, err);
	default: return give_gone(t, &body, err);
	}
}

/* Into the run, what was held back. */
static int give_held(struct telling *t, struct err *err)
{
	struct strbuf *held = &t->batch.held;
	struct reader in = reader_init(held->data, held->size);

	while (reader_left(&in) > 0) {
		size_t size = get_u32(&in);
		uint16_t type = get_u16(&in);
		if (give(t, type, reader_init(in.at, size), err) < 0)
			return -1;
		in.at += size;
	}
	strbuf_clear(held);
	return 0;
}

/* Larger than what is held back: what was committed before is finished, this one gets its own run. */
static int stream_batch(struct telling *t, struct err *err)
{
	if (telling_end(t, err) < 0 || telling_open(t, false, err) < 0)
		return -1;
	t->run_begin_us = t->batch.begin_us;
	t->batch.streamed = true;
	return give_held(t, err);
}

void telling_drop(struct telling *t)
{
	if (t->batch.streamed)
		telling_abort(t);
	t->batch.open = t->batch.streamed = false;
	strbuf_clear(&t->batch.held);
	t->found = false;
}

/* --- batches --- */

int telling_begin(struct telling *t, const struct message *message, struct err *err)
{
	if (t->batch.open)
		return telling_out_of_place(message->type, err);
	if (empty_decode(&message->body, err) < 0)
		return -1;
	t->batch.open = true;
	t->batch.streamed = false;
	t->batch.changes = 0;
	t->batch.begin_us = clock_monotonic_us();
	strbuf_clear(&t->batch.held);
	return 0;
}

int telling_change(struct telling *t, const struct message *message, struct err *err)
{
	struct batch *batch = &t->batch;
	size_t size = reader_left(&message->body);

	if (!batch->open)
		return telling_out_of_place(message->type, err);
	if (message->type == PROTOCOL_IDENTITY || message->type == PROTOCOL_GROUPS ||
	    message->type == PROTOCOL_GONE)
		batch->changes++;
	if (!batch->streamed && batch->held.size + size + MESSAGE_HEADER_SIZE > HELD_MAX &&
	    stream_batch(t, err) < 0)
		return -1;
	if (batch->streamed)
		return give(t, message->type, message->body, err);
	put_u32(&batch->held, (uint32_t)size);
	put_u16(&batch->held, message->type);
	strbuf_append(&batch->held, message->body.at, size);
	return strbuf_failed(&batch->held) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

int telling_commit(struct telling *t, struct message *message, struct err *err)
{
	struct batch *batch = &t->batch;
	uint64_t changes;

	if (!batch->open)
		return telling_out_of_place(message->type, err);
	if (commit_decode(&message->body, &changes, err) < 0)
		return -1;
	if (changes != batch->changes)
		return err_set(err, ERR_PROTOCOL, "the worker's counts do not add up");
	if (!batch->streamed && (batch->held.size > 0 || t->sought)) {
		bool nobody = batch->held.size == 0;
		bool first = !t->run_open;
		if (telling_open(t, false, err) < 0)
			return -1;
		if (first)
			t->run_begin_us = batch->begin_us;
		if (nobody)
			note_told(t, t->sought, strlen(t->sought));
		else if (give_held(t, err) < 0)
			return -1;
	}
	t->run_changes += changes;
	batch->open = false;
	if (!batch->streamed && t->run_changes < RUN_CHANGES)
		return 0;
	if (!batch->streamed)
		return telling_is_due(t) || t->postponed_us == 0 ? telling_try_end(t, err) : 0;
	batch->streamed = false;
	return telling_end(t, err);
}

bool telling_is_due(const struct telling *t)
{
	int64_t since_us = t->postponed_us ? t->postponed_us : t->run_begin_us;

	return t->run_open && !t->batch.streamed && clock_monotonic_us() - since_us >= RUN_US;
}

/* --- begin and end --- */

static int compare_ids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int telling_init(struct telling *t, const struct follow_intake *out, struct follow_state *state,
		 struct arena *scratch, const struct wanted_group *groups, size_t count,
		 struct err *err)
{
	*t = (struct telling){ .out = out,
			       .state = state,
			       .scratch = scratch,
			       .wanted = alloc_zeroed(count + 1, sizeof(*t->wanted)),
			       .wanted_count = count,
			       .batch.held = STRBUF(HELD_MAX + MESSAGE_HEADER_SIZE) };
	if (!t->wanted)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++)
		t->wanted[i] = groups[i].id;
	qsort(t->wanted, count, sizeof(*t->wanted), compare_ids);
	return 0;
}

void telling_finish(struct telling *t)
{
	strbuf_finish(&t->batch.held);
	free(t->wanted);
}
