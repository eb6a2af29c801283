/*
 * The states of a slot. Enters: what callers and the keeper found out about its worker. Leaves: a slot that
 * is in exactly one hand. Fails with ERR_UNAVAILABLE "busy", "worker-died" or "worker-timeout".
 */
#include "pool.h"

#include <stdio.h>
#include <time.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define BACKOFF_FIRST_US (SECOND_US / 10)
#define BACKOFF_MAX_US (5 * SECOND_US)
#define WAITING_PER_WORKER 64

/* --- what happens to it; with the lock --- */

static int64_t backoff_us(unsigned failures)
{
	int64_t delay_us = BACKOFF_FIRST_US;

	if (failures < 2)
		return 0;
	for (unsigned i = 2; i < failures && delay_us < BACKOFF_MAX_US; i++)
		delay_us *= 2;
	return delay_us < BACKOFF_MAX_US ? delay_us : BACKOFF_MAX_US;
}

/* With the lock: the slot has no worker any more. */
static void slot_down(struct saml_pool *pool, struct slot *slot)
{
	slot->state = SLOT_DOWN;
	slot->grown = false;
	slot->failures++;
	slot->start_at_us = clock_monotonic_us() + backoff_us(slot->failures);
	pool_wake_keeper(pool);
}

static void count_death(struct saml_pool *pool, const char *end)
{
	pool->counts.deaths++;
	snprintf(pool->counts.last_death, sizeof(pool->counts.last_death), "%s", end);
}

/* A worker that ended while nobody asked it anything. */
void slot_died_idle(struct saml_pool *pool, struct slot *slot)
{
	char end[128];

	runner_tell_end(&slot->now, DEATH_GRACE_MS, end, sizeof(end));
	count_death(pool, end);
	slot_down(pool, slot);
}

/* With the lock: the replacement takes over; the keeper stops the old one. */
static void slot_swap(struct saml_pool *pool, struct slot *slot)
{
	slot->old = slot->now;
	slot->now = slot->next;
	slot->next = (struct runner){ 0 };
	slot->grown = false;
	pool->counts.replaced++;
	pool_wake_keeper(pool);
}

/* With the lock: what was started goes to its place. */
void slot_place(struct saml_pool *pool, struct slot *slot, struct runner *runner)
{
	if (slot->state == SLOT_DOWN) {
		slot->now = *runner;
		slot->state = SLOT_IDLE;
		slot->grown = false;
		pthread_cond_broadcast(&pool->changed);
		return;
	}
	slot->next = *runner;
	if (slot->state == SLOT_IDLE && !slot->old.stream)
		slot_swap(pool, slot);
}

void slot_start_failed(struct saml_pool *pool, struct slot *slot, const struct err *err)
{
	slot->failures++;
	slot->start_at_us = clock_monotonic_us() + backoff_us(slot->failures + 1);
	snprintf(pool->counts.last_death, sizeof(pool->counts.last_death), "%.127s", err->text);
	if (!pool->started)
		pool->start_err = *err;
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

/* With the lock: none runs, and none will be tried for a while, because the last ones all failed. */
static bool is_hopeless(const struct saml_pool *pool)
{
	int64_t soon_us = clock_monotonic_us() + SECOND_US;

	for (size_t i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].state != SLOT_DOWN || pool->slots[i].start_at_us <= soon_us)
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

int slot_take(struct saml_pool *pool, int64_t deadline_us, struct slot **ret_slot, struct err *err)
{
	int status;

	pthread_mutex_lock(&pool->lock);
	status = wait_idle(pool, deadline_us, ret_slot, err);
	pthread_mutex_unlock(&pool->lock);
	return status;
}

void slot_give_back(struct saml_pool *pool, struct slot *slot, bool grown)
{
	pthread_mutex_lock(&pool->lock);
	pool->counts.jobs++;
	slot->failures = 0;
	slot->state = SLOT_IDLE;
	if (slot->next.stream && !slot->old.stream) {
		slot_swap(pool, slot);
	} else if (grown && !slot->grown) {
		slot->grown = true;
		slot->start_at_us = 0;
		pool_wake_keeper(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	/* Who wakes finds the lock free. */
	pthread_cond_signal(&pool->changed);
}

/*
 * The worker of a slot in our hands is no good any more. It is reaped here, so that
 * the error can say how it ended.
 */
int slot_lose(struct saml_pool *pool, struct slot *slot, struct err *err)
{
	bool overrun = err->code == ERR_UNAVAILABLE && !err->reason;
	char cause[256], end[128];

	snprintf(cause, sizeof(cause), "%.255s", err->text);
	runner_tell_end(&slot->now, overrun ? 0 : DEATH_GRACE_MS, end, sizeof(end));
	pthread_mutex_lock(&pool->lock);
	pool->counts.jobs++;
	if (overrun)
		pool->counts.timeouts++;
	else
		count_death(pool, end);
	/* A replacement that is ready serves at once. */
	slot_down(pool, slot);
	if (slot->next.stream) {
		struct runner next = slot->next;
		slot->next = (struct runner){ 0 };
		slot_place(pool, slot, &next);
	}
	pthread_mutex_unlock(&pool->lock);
	if (overrun)
		return err_refuse(err, ERR_UNAVAILABLE, "worker-timeout",
				  "the saml worker did not answer in time and was killed");
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died", "the saml worker ended with %s: %s",
			  end, cause);
}
