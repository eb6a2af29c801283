/*
 * The thread of one target: takes what is due, has the kind deliver it, notes what became of it.
 *
 * Enters: heads of the queue. Leaves: outcomes, by change/; alarms; counters. Fails: store, memory: then the round is
 * tried again a second later. Nobody waits for this thread.
 *
 * A target that fails as a whole, as the kind says, is paused, for longer each time, and then probed with one delivery at
 * a time until one comes through: a target that is down costs next to nothing, and its rows are none the worse for it.
 * A row that fails by itself waits by itself, for longer each time; where nothing of a round came through the next is
 * probed after the shortest pause.
 *
 * Whoever dies between the target's yes and the note delivers again. While the store cannot be told what became of the
 * last round nothing else is delivered: nobody gets the same again and again.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/backoff.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/restore.h>

#define ROUND_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define SECOND_US INT64_C(1000000)
/* Without a word from anybody: the clock says what is due. */
#define LOOK_US SECOND_US
/* However urgent: a target that fails is not asked more often. */
#define URGENT_PAUSE_US SECOND_US
#define WATCH_US (10 * SECOND_US)
/* Failures that a row has behind it, beside its age, before it is given up. */
#define GIVE_UP_ATTEMPTS 8
#define RETRY_AFTER_MAX_S 3600

/* A round, in an arena of its own: the rows, and what became of them. */
struct outcomes {
	struct arena *arena;
	struct delivery_row *rows;
	struct delivery_result *results;
	struct delivery_note *notes;
	size_t count, note_count;
};

static bool is_stopping(void *context)
{
	struct target *target = context;

	return atomic_load(&target->stopping);
}

static struct target_call call_of(struct target *target, struct arena *arena)
{
	return (struct target_call){ .setup = target->setup,
				     .settings = target->settings,
				     .store = target->store,
				     .arena = arena,
				     .cancelled = is_stopping,
				     .context = target };
}

static void close_instance(struct target *target)
{
	if (!target->setup)
		return;
	if (target->kind->close)
		target->kind->close(target->instance);
	target->instance = NULL;
	target->settings = NULL;
	setup_release(target->setup);
	target->setup = NULL;
}

/* --- how it does --- */

static void note_well(struct target *target)
{
	bool failed;

	pthread_mutex_lock(&target->lock);
	failed = target->failing;
	target->failing = false;
	target->failures = target->retry_us = target->failing_since_s = 0;
	target->delivered_s = clock_now_s();
	free(target->problem);
	target->problem = NULL;
	pthread_mutex_unlock(&target->lock);
	if (failed)
		log_info("target.recovered", F_STR("target", target->name));
}

/*
 * whole: the target itself failed, and it is left alone for longer each time. Else only rows did, which wait by
 * themselves: what comes of other people must not wait for them.
 */
static void note_failure(struct target *target, bool whole, const char *problem, int64_t at_least_s)
{
	int64_t pause_s, first;

	pthread_mutex_lock(&target->lock);
	first = !target->failing;
	if (first)
		target->failing_since_s = clock_now_s();
	target->failing = true;
	target->failures = whole ? target->failures + 1 : 1;
	pause_s = backoff_after(target->failures, target->settings->retry_min_s,
				target->settings->retry_max_s, randombytes_random());
	if (pause_s < at_least_s)
		pause_s = at_least_s;
	target->retry_us = clock_monotonic_us() + pause_s * SECOND_US;
	free(target->problem);
	target->problem = strdup(problem);
	pthread_mutex_unlock(&target->lock);
	if (first)
		log_warning("target.failing", F_STR("target", target->name),
			    F_STR("error", problem), F_INT("pause", pause_s));
}

/* The alarm does not wait for what waits to grow old, nor for the next look. */
static void note_need(struct target *target, bool needs_person)
{
	if (needs_person != target->needs_person)
		target->watched_us = 0;
	target->needs_person = needs_person;
}

/* --- an instance for each configuration --- */

/* 1: ready to deliver; 0: not now: it is about to be ended, or what it needs is not there. */
static int open_instance(struct target *target, struct arena *arena)
{
	const struct target_kind *kind;
	struct err problem = { 0 };
	struct target_call call;

	target->generation = changer_generation(target->all->changer);
	target->setup = changer_setup(target->all->changer);
	target->settings = targets_find(target->all, target->setup, target->name, &kind);
	call = call_of(target, arena);
	if (target->settings && kind == target->kind && target->settings->enabled) {
		if (!kind->open || kind->open(&call, &target->instance, &problem) == 0)
			return 1;
		note_failure(target, true, problem.text, 0);
	}
	target->settings = NULL;
	setup_release(target->setup);
	target->setup = NULL;
	return 0;
}

static int follow_setup(struct target *target, struct arena *arena)
{
	if (target->setup && target->generation == changer_generation(target->all->changer))
		return 1;
	close_instance(target);
	return open_instance(target, arena);
}

/* --- what became of a round --- */

static void outcomes_forget(struct target *target)
{
	if (target->unnoted)
		arena_destroy(target->unnoted->arena);
	target->unnoted = NULL;
}

static int note_unnoted(struct target *target, struct err *err)
{
	const struct outcomes *round = target->unnoted;

	if (!round)
		return 0;
	if (round->note_count > 0 &&
	    change_deliveries_note(target->all->changer, round->notes, round->note_count, err) < 0)
		return -1;
	outcomes_forget(target);
	return 0;
}

static int64_t bounded_after(int64_t after_s)
{
	return after_s < RETRY_AFTER_MAX_S ? after_s : RETRY_AFTER_MAX_S;
}

/* No row is put off for longer; what is due later still was put off by another clock. */
static int64_t longest_pause_s(const struct target *target)
{
	int64_t max_s = target->settings->retry_max_s;

	return 1 + (max_s > RETRY_AFTER_MAX_S ? max_s : RETRY_AFTER_MAX_S);
}

static bool is_given_up(const struct target *target, const struct delivery_row *row, int64_t now_s)
{
	return target->settings->give_up_s > 0 && row->attempts + 1 >= GIVE_UP_ATTEMPTS &&
	       now_s - row->created_s >= target->settings->give_up_s;
}

/* By itself: how long this row waits. */
static int64_t row_retry_s(const struct target *target, const struct delivery_row *row,
			   const struct delivery_result *result, int64_t now_s)
{
	int64_t pause_s = backoff_after(row->attempts + 1, target->settings->retry_min_s,
					target->settings->retry_max_s, randombytes_random());
	int64_t after_s = bounded_after(result->after_s);

	/* A second is begun already: not before. */
	return now_s + 1 + (pause_s > after_s ? pause_s : after_s);
}

static void add_note(struct target *target, struct outcomes *round, size_t i, int64_t now_s)
{
	const struct delivery_row *row = &round->rows[i];
	const struct delivery_result *result = &round->results[i];
	struct delivery_note *note = &round->notes[round->note_count++];

	*note = (struct delivery_note){ .row = row,
					.outcome = result->outcome,
					.code = result->code,
					.problem = result->problem };
	switch (result->outcome) {
	case DELIVERY_SENT: atomic_fetch_add(&target->sent, !result->unasked); return;
	case DELIVERY_LATER:
		atomic_fetch_add(&target->put_off, 1);
		note->next_s = now_s + (result->after_s > 0 ? bounded_after(result->after_s) : 1);
		return;
	case DELIVERY_RETRY:
		atomic_fetch_add(&target->failed, 1);
		note->next_s = row_retry_s(target, row, result, now_s);
		if (!is_given_up(target, row, now_s))
			return;
		note->outcome = DELIVERY_REFUSED;
		note->code = "given-up";
		break;
	case DELIVERY_REFUSED: break;
	}
	atomic_fetch_add(&target->refused, 1);
	log_error("target.refused", F_STR("target", target->name),
		  F_STR("event", delivery_event_name(row->event)), F_INT("user", row->user_id),
		  F_STR("code", note->code), F_STR("error", note->problem));
}

struct tally {
	size_t sent, unasked, later, retry, refused;
	int64_t after_s; /* the longest that was asked for */
	const char *problem;
};

static struct tally tally_of(const struct outcomes *round)
{
	struct tally tally = { 0 };

	for (size_t i = 0; i < round->count; i++) {
		const struct delivery_result *result = &round->results[i];

		tally.sent += result->outcome == DELIVERY_SENT && !result->unasked;
		tally.unasked += result->outcome == DELIVERY_SENT && result->unasked;
		tally.later += result->outcome == DELIVERY_LATER;
		tally.refused += result->outcome == DELIVERY_REFUSED;
		if (result->outcome != DELIVERY_RETRY)
			continue;
		tally.retry++;
		if (result->problem)
			tally.problem = result->problem;
		if (bounded_after(result->after_s) > tally.after_s)
			tally.after_s = bounded_after(result->after_s);
	}
	return tally;
}

/* failed: the target as a whole, which is no fault of the rows that it was not asked about. */
static void take_stock(struct target *target, struct outcomes *round, bool failed,
		       const struct err *problem)
{
	struct tally tally = tally_of(round);
	int64_t now_s = clock_now_s();

	for (size_t i = 0; i < round->count; i++)
		if (!failed || round->results[i].outcome != DELIVERY_RETRY)
			add_note(target, round, i, now_s);
	if (failed && problem->code == ERR_CANCELLED)
		return;
	note_need(target, failed && problem->reason);
	if (failed)
		note_failure(target, true, problem->text, tally.after_s);
	else if (tally.retry > 0 && tally.sent + tally.later + tally.refused == 0)
		note_failure(target, false, tally.problem ? tally.problem : "it failed",
			     tally.after_s);
	else if (tally.unasked < round->count)
		note_well(target);
	log_debug("target.round", F_STR("target", target->name), F_INT("sent", tally.sent),
		  F_INT("later", tally.later), F_INT("retry", tally.retry),
		  F_INT("refused", tally.refused));
}

/* --- a round --- */

static struct outcomes *make_round(struct arena *arena, size_t count)
{
	struct outcomes *round = arena_alloc(arena, sizeof(*round));

	if (!round)
		return NULL;
	round->arena = arena;
	round->count = count;
	round->results = arena_alloc_array(arena, count, sizeof(*round->results));
	round->notes = arena_alloc_array(arena, count, sizeof(*round->notes));
	for (size_t i = 0; round->results && i < count; i++)
		round->results[i].outcome = DELIVERY_RETRY;
	return arena_failed(arena) ? NULL : round;
}

static int deliver(struct target *target, struct delivery_row *rows, size_t count,
		   struct arena *arena, struct err *err)
{
	struct target_call call = call_of(target, arena);
	struct outcomes *round = make_round(arena, count);
	struct err problem = { 0 };
	bool failed;

	if (!round) {
		arena_destroy(arena);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	round->rows = rows;
	failed = target->kind->deliver(target->instance, &call, rows, count, round->results,
				       &problem) < 0;
	take_stock(target, round, failed, &problem);
	target->unnoted = round;
	return note_unnoted(target, err) < 0 ? -1 : 1;
}

static size_t batch_size(struct target *target)
{
	bool failing;

	pthread_mutex_lock(&target->lock);
	failing = target->failing;
	target->tried_us = clock_monotonic_us();
	pthread_mutex_unlock(&target->lock);
	return failing || target->kind->batch_max == 0 ? 1 : target->kind->batch_max;
}

/* With an arena, which is the round's afterwards, or given back. 1: there was something; 0; -1. */
static int deliver_due(struct target *target, struct arena *arena, struct err *err)
{
	struct delivery_row *rows;
	size_t count;
	int64_t now_s = clock_now_s();
	int ready = follow_setup(target, arena);

	if (ready > 0 &&
	    store_delivery_due(target->store, target->name, now_s, now_s + longest_pause_s(target),
			       batch_size(target), arena, &rows, &count, err) < 0)
		ready = -1;
	if (ready <= 0 || count == 0) {
		arena_destroy(arena);
		return ready < 0 ? -1 : 0;
	}
	return deliver(target, rows, count, arena, err);
}

static bool is_held(struct target *target)
{
	bool held = change_restore_holds(target->all->changer) & RESTORE_HOLDS_DELIVERY;

	pthread_mutex_lock(&target->lock);
	target->held = held;
	pthread_mutex_unlock(&target->lock);
	return held;
}

static int run_round(struct target *target, struct err *err)
{
	struct arena *arena;

	if (!target->store) {
		target->store =
			store_open(changer_store_path(target->all->changer), STORE_READ, err);
		if (!target->store)
			return -1;
	}
	if (note_unnoted(target, err) < 0)
		return -1;
	if (is_held(target))
		return 0;
	arena = arena_create(ROUND_BYTES_MAX);
	return arena ? deliver_due(target, arena, err) : err_set(err, ERR_MEMORY, "out of memory");
}

/* --- is it behind? --- */

static int tell_behind(struct target *target, bool behind, const struct delivery_counts *counts,
		       int64_t now_s, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024);
	int result;

	if (target->alarm_known && behind == target->behind)
		return 0;
	strbuf_printf(&text, "%lld deliveries wait, the oldest for %lld minutes%s%s",
		      (long long)counts->waiting, (long long)(now_s - counts->oldest_s) / 60,
		      target->problem ? ": " : "", target->problem ? target->problem : "");
	result = behind ? change_alarm_raise(target->all->changer, TARGET_ALARM_BEHIND,
					     target->name, strbuf_text(&text), err)
			: change_alarm_end(target->all->changer, TARGET_ALARM_BEHIND, target->name,
					   "delivered", err);
	target->alarm_known = result == 0;
	target->behind = behind;
	return result;
}

static int watch(struct target *target, struct err *err)
{
	int64_t now_us = clock_monotonic_us(), now_s = clock_now_s();
	struct delivery_counts counts;

	if (!target->store || !target->settings ||
	    (target->watched_us != 0 && now_us - target->watched_us < WATCH_US))
		return 0;
	target->watched_us = now_us;
	if (store_delivery_counts(target->store, target->name, now_s, &counts, err) < 0)
		return -1;
	return tell_behind(target,
			   counts.oldest_s > 0 &&
				   (target->needs_person ||
				    now_s - counts.oldest_s >= target->settings->alarm_after_s),
			   &counts, now_s, err);
}

/* --- the thread --- */

/* Until its pause is over; whoever is urgent shortens it. */
static bool is_paused(struct target *target)
{
	bool paused;

	pthread_mutex_lock(&target->lock);
	if (target->urgent && target->retry_us > target->tried_us + URGENT_PAUSE_US)
		target->retry_us = target->tried_us + URGENT_PAUSE_US;
	target->urgent = false;
	paused = target->retry_us > clock_monotonic_us();
	pthread_mutex_unlock(&target->lock);
	return paused;
}

/* With the lock; once, for whoever calls in between is a reason to look. */
static void wait_for_more(struct target *target, int more)
{
	int64_t now_us = clock_monotonic_us(), until_us = now_us + LOOK_US;
	bool paused = target->retry_us > now_us;
	struct timespec until;

	if (atomic_load(&target->stopping) || target->urgent ||
	    (!paused && (more > 0 || (more == 0 && target->woken))))
		return;
	if (paused)
		until_us =
			target->retry_us < now_us + WATCH_US ? target->retry_us : now_us + WATCH_US;
	until = (struct timespec){ .tv_sec = (time_t)(until_us / SECOND_US),
				   .tv_nsec = (long)(until_us % SECOND_US * 1000) };
	pthread_cond_timedwait(&target->wake, &target->lock, &until);
}

static void run_once(struct target *target, int *ret_more)
{
	struct err err = { 0 };

	*ret_more = is_paused(target) ? 0 : run_round(target, &err);
	if (*ret_more < 0)
		log_error("target.failed", F_STR("target", target->name), F_ERR(&err));
	err_clear(&err);
	if (watch(target, &err) < 0)
		log_error("target.failed", F_STR("target", target->name), F_ERR(&err));
}

static void *target_main(void *context)
{
	struct target *target = context;
	int more;

	pthread_setname_np(pthread_self(), "target");
	pthread_mutex_lock(&target->lock);
	while (!atomic_load(&target->stopping)) {
		target->woken = false;
		pthread_mutex_unlock(&target->lock);
		run_once(target, &more);
		pthread_mutex_lock(&target->lock);
		wait_for_more(target, more);
	}
	pthread_mutex_unlock(&target->lock);
	close_instance(target);
	return NULL;
}

/* --- from outside --- */

struct target *target_create(struct targets *all, const char *name, const struct target_kind *kind)
{
	struct target *target = alloc_zeroed(1, sizeof(*target));
	pthread_condattr_t attributes;

	if (!target)
		return NULL;
	target->all = all;
	target->kind = kind;
	target->name = strdup(name);
	if (!target->name) {
		free(target);
		return NULL;
	}
	pthread_mutex_init(&target->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&target->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	return target;
}

int target_start(struct target *target, struct err *err)
{
	int failed = pthread_create(&target->thread, NULL, target_main, target);

	target->started = failed == 0;
	return failed ? err_set_errno(err, ERR_IO, failed, "cannot start target '%s'", target->name)
		      : 0;
}

void target_wake(struct target *target, bool urgent)
{
	pthread_mutex_lock(&target->lock);
	target->woken = true;
	target->urgent |= urgent;
	pthread_cond_signal(&target->wake);
	pthread_mutex_unlock(&target->lock);
}

void target_ask_to_stop(struct target *target)
{
	pthread_mutex_lock(&target->lock);
	atomic_store(&target->stopping, true);
	pthread_cond_signal(&target->wake);
	pthread_mutex_unlock(&target->lock);
}

/* What a round that was cut short had delivered by then is noted, if the store takes it. */
void target_destroy(struct target *target)
{
	struct err err = { 0 };

	if (!target)
		return;
	target_ask_to_stop(target);
	if (target->started)
		pthread_join(target->thread, NULL);
	if (note_unnoted(target, &err) < 0)
		log_error("target.failed", F_STR("target", target->name), F_ERR(&err));
	outcomes_forget(target);
	store_close(target->store);
	pthread_cond_destroy(&target->wake);
	pthread_mutex_destroy(&target->lock);
	free(target->problem);
	free(target->name);
	free(target);
}
