/*
 * The states of a slot. Enters: what callers and the keeper found out about its worker. Leaves: a slot that
 * is in exactly one hand. Fails with ERR_UNAVAILABLE "busy", "worker-died" or "worker-timeout".
 */
#include "pool.h"

#include <stdio.h>
#include <time.h>

#include <rolebridge/base/backoff.h>
#include <rolebridge/base/clock.h>

#define BACKOFF_FIRST_US (SECOND_US / 10)
#define BACKOFF_MAX_US (5 * SECOND_US)
#define LONG_LIFE_US (60 * SECOND_US)
#define WAITING_PER_WORKER 64

/* --- what happens to it; with the lock --- */

/* The first one costs nothing: a worker may die of one message. */
static int64_t pause_us(unsigned failures)
{
	return backoff_most((int64_t)failures - 1, BACKOFF_FIRST_US, BACKOFF_MAX_US);
}

/* `next` becomes `now`; whose place it is has been taken care of. */
static void next_serves(struct slot *slot)
{
	slot->now = slot->next;
	slot->next = (struct runner){ 0 };
	slot->next_state = NEXT_NONE;
	slot->hung_up = false;
	slot->grown = false;
	slot->serves_since_us = clock_monotonic_us();
}

/* The replacement takes over; the keeper stops the old one. */
static void slot_swap(struct saml_pool *pool, struct slot *slot)
{
	slot->old = slot->now;
	next_serves(slot);
	pool->counts.replaced++;
	saml_pool_wake_keeper(pool);
}

static void slot_rise(struct saml_pool *pool, struct slot *slot)
{
	next_serves(slot);
	slot->state = SLOT_IDLE;
	pthread_cond_broadcast(&pool->changed);
}

/* The slot has no worker any more. */
static void slot_down(struct saml_pool *pool, struct slot *slot)
{
	int64_t now_us = clock_monotonic_us();

	/* What went well for long is no worker that cannot live, even when it was never asked. */
	if (now_us - slot->serves_since_us >= LONG_LIFE_US)
		slot->failures = 0;
	slot->state = SLOT_DOWN;
	slot->grown = false;
	slot->failures++;
	slot->start_at_us = now_us + pause_us(slot->failures);
	/* A replacement that is ready serves at once. */
	if (slot->next_state == NEXT_READY)
		slot_rise(pool, slot);
	saml_pool_wake_keeper(pool);
}

void saml_pool_count_death(struct saml_pool *pool, const char *end)
{
	pool->counts.deaths++;
	snprintf(pool->counts.last_death, sizeof(pool->counts.last_death), "%s", end);
}

bool saml_slot_is_wanted(const struct slot *slot)
{
	return (slot->state == SLOT_DOWN || slot->grown) && slot->next_state == NEXT_NONE;
}

void saml_slot_starting(struct slot *slot, const struct runner *runner)
{
	slot->next = *runner;
	slot->next_state = NEXT_STARTING;
}

void saml_slot_ready(struct saml_pool *pool, struct slot *slot)
{
	slot->next_state = NEXT_READY;
	if (slot->state == SLOT_DOWN)
		slot_rise(pool, slot);
	else if (slot->state == SLOT_IDLE && !slot->old.stream)
		slot_swap(pool, slot);
}

void saml_slot_start_failed(struct saml_pool *pool, struct slot *slot, const struct err *err)
{
	slot->next = (struct runner){ 0 };
	slot->next_state = NEXT_NONE;
	slot->failures++;
	slot->start_at_us = clock_monotonic_us() + pause_us(slot->failures + 1);
	snprintf(pool->counts.last_death, sizeof(pool->counts.last_death), "%.127s", err->text);
	if (!pool->started)
		pool->start_err = *err;
}

struct runner saml_slot_end_idle(struct saml_pool *pool, struct slot *slot)
{
	struct runner ended = slot->now;

	slot->now = (struct runner){ 0 };
	slot_down(pool, slot);
	return ended;
}

struct runner saml_slot_take_old(struct saml_pool *pool, struct slot *slot)
{
	struct runner old = slot->old;

	slot->old = (struct runner){ 0 };
	/* One that had to wait for this place. */
	if (slot->next_state == NEXT_READY && slot->state == SLOT_IDLE)
		slot_swap(pool, slot);
	return old;
}

/* --- in a caller's hands --- */

static int busy(struct err *err)
{
	return err_refuse(err, ERR_UNAVAILABLE, "busy", "all saml workers are busy");
}

static struct slot *find_idle(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].state == SLOT_IDLE)
			return &pool->slots[i];
	return NULL;
}

static bool slot_is_off(const struct slot *slot, int64_t until_us)
{
	return slot->state == SLOT_DOWN && slot->next_state == NEXT_NONE &&
	       slot->start_at_us > until_us;
}

/* With the lock: none runs or is on its way, and none will be tried for a while, because the last ones all failed. */
static bool is_hopeless(const struct saml_pool *pool)
{
	int64_t soon_us = clock_monotonic_us() + SECOND_US;

	for (size_t i = 0; i < pool->slot_count; i++)
		if (!slot_is_off(&pool->slots[i], soon_us))
			return false;
	return true;
}

/* With the lock. -1: the queue is full, or nobody became idle in time. */
static int wait_idle(struct saml_pool *pool, int64_t deadline_us, struct slot **ret_slot,
		     struct err *err)
{
	const struct timespec deadline = { .tv_sec = deadline_us / SECOND_US,
					   .tv_nsec = deadline_us % SECOND_US * 1000 };
	struct slot *slot = find_idle(pool);

	if (!slot && is_hopeless(pool))
		return err_refuse(err, ERR_UNAVAILABLE, "worker-died", "no saml worker runs: %s",
				  pool->counts.last_death);
	if (!slot && pool->waiting >= pool->slot_count * WAITING_PER_WORKER)
		return busy(err);
	pool->waiting++;
	while (!slot && clock_monotonic_us() < deadline_us) {
		pthread_cond_timedwait(&pool->changed, &pool->lock, &deadline);
		slot = find_idle(pool);
	}
	pool->waiting--;
	if (!slot)
		return busy(err);
	slot->state = SLOT_BUSY;
	*ret_slot = slot;
	return 0;
}

int saml_slot_take(struct saml_pool *pool, int64_t deadline_us, struct slot **ret_slot,
		   struct err *err)
{
	int status;

	pthread_mutex_lock(&pool->lock);
	status = wait_idle(pool, deadline_us, ret_slot, err);
	pthread_mutex_unlock(&pool->lock);
	return status;
}

void saml_slot_give_back(struct saml_pool *pool, struct slot *slot, bool grown)
{
	pthread_mutex_lock(&pool->lock);
	pool->counts.jobs++;
	slot->failures = 0;
	slot->state = SLOT_IDLE;
	if (slot->next_state == NEXT_READY && !slot->old.stream) {
		slot_swap(pool, slot);
	} else if (grown && !slot->grown) {
		slot->grown = true;
		slot->start_at_us = 0;
		saml_pool_wake_keeper(pool);
	} else if (slot->hung_up) {
		/* It answered, and then ended: nobody else will look. */
		saml_pool_wake_keeper(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	/* Who wakes finds the lock free. */
	pthread_cond_signal(&pool->changed);
}

int saml_slot_lose(struct saml_pool *pool, struct slot *slot, struct err *err)
{
	bool overrun = err->code == ERR_UNAVAILABLE && !err->reason;
	char cause[256], end[128];
	struct runner lost;

	snprintf(cause, sizeof(cause), "%.255s", err->text);
	pthread_mutex_lock(&pool->lock);
	lost = slot->now;
	slot->now = (struct runner){ 0 };
	pthread_mutex_unlock(&pool->lock);
	saml_runner_tell_end(&lost, overrun ? 0 : DEATH_GRACE_MS, end, sizeof(end));
	pthread_mutex_lock(&pool->lock);
	pool->counts.jobs++;
	if (overrun)
		pool->counts.timeouts++;
	else
		saml_pool_count_death(pool, end);
	slot_down(pool, slot);
	pthread_mutex_unlock(&pool->lock);
	if (overrun)
		return err_refuse(err, ERR_UNAVAILABLE, "worker-timeout",
				  "the saml worker did not answer in time and was killed");
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died", "the saml worker ended with %s: %s",
			  end, cause);
}
