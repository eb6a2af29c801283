/*
 * The keeper: one thread that starts and replaces the workers of a pool, because a worker dies with the thread that
 * started it. Enters: slots that are DOWN or have grown. Leaves: workers that are ready. A start that
 * failed is tried again, after a while. It waits for all at once, and for one process only while that ends.
 */
#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>

void saml_pool_wake_keeper(struct saml_pool *pool)
{
	const uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(pool->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return;
}

/* --- its steps: with the lock, which they let go while they wait for a process --- */

/* Workers that ended while nobody asked them anything. */
static void reap_idle(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		struct pollfd peer = { .events = POLLIN };
		struct runner ended;
		char end[128];

		if (slot->state != SLOT_IDLE)
			continue;
		/* Readable without a question: the end, or something it may not say. */
		peer.fd = slot->now.worker.socket;
		if (poll(&peer, 1, 0) <= 0)
			continue;
		ended = saml_slot_end_idle(pool, slot);
		pthread_mutex_unlock(&pool->lock);
		saml_runner_tell_end(&ended, DEATH_GRACE_MS, end, sizeof(end));
		pthread_mutex_lock(&pool->lock);
		saml_pool_count_death(pool, end);
	}
}

static void stop_old(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct runner old;

		if (!pool->slots[i].old.stream)
			continue;
		old = saml_slot_take_old(pool, &pool->slots[i]);
		pthread_mutex_unlock(&pool->lock);
		saml_runner_stop(&old, EXIT_GRACE_MS, NULL);
		pthread_mutex_lock(&pool->lock);
	}
}

static void start_due(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		struct err err = { 0 };
		struct runner runner;
		int status;

		if (!saml_slot_is_wanted(slot) || slot->start_at_us > clock_monotonic_us())
			continue;
		pthread_mutex_unlock(&pool->lock);
		status = saml_runner_start(&runner, &err);
		pthread_mutex_lock(&pool->lock);
		if (status == 0)
			saml_slot_starting(slot, &runner);
		else
			saml_slot_start_failed(pool, slot, &err);
	}
}

/* One that hangs holds up nobody else. */
static void go_on_starting(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		struct err err = { 0 };
		int status;

		if (slot->next_state != NEXT_STARTING)
			continue;
		pthread_mutex_unlock(&pool->lock);
		status = saml_runner_get_ready(&slot->next, &pool->setup, &err);
		pthread_mutex_lock(&pool->lock);
		if (status > 0)
			saml_slot_ready(pool, slot);
		else if (status < 0)
			saml_slot_start_failed(pool, slot, &err);
	}
}

/* The first start is over when all workers are ready, or one is not going to be. */
static void tell_started(struct saml_pool *pool)
{
	bool over = true;

	if (pool->started)
		return;
	for (size_t i = 0; i < pool->slot_count; i++)
		over &= pool->slots[i].state != SLOT_DOWN;
	if (!over && pool->start_err.code == ERR_NONE)
		return;
	pool->started = true;
	pthread_cond_broadcast(&pool->changed);
}

/* --- waiting --- */

struct watch {
	struct pollfd files[1 + 2 * WORKERS_MAX];
	struct slot *slots[1 + 2 * WORKERS_MAX]; /* whose worker in use it is; or NULL */
	nfds_t count;
	int64_t until_us;
};

static void watch_add(struct watch *watch, struct pollfd file, struct slot *slot)
{
	watch->files[watch->count] = file;
	watch->slots[watch->count++] = slot;
}

static void watch_until(struct watch *watch, int64_t time_us)
{
	if (time_us < watch->until_us)
		watch->until_us = time_us;
}

/* With the lock: all that leads a slot out of its state, but for its callers. */
static void watch_all(struct saml_pool *pool, struct watch *ret_watch)
{
	ret_watch->count = 0;
	ret_watch->until_us = INT64_MAX;
	watch_add(ret_watch, (struct pollfd){ .fd = pool->wake, .events = POLLIN }, NULL);
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		/* Hang-ups are told unasked. Of a busy one, too: it may be idle by then. */
		struct pollfd now = { .fd = slot->now.worker.socket };

		if (slot->now.stream && !slot->hung_up)
			watch_add(ret_watch, now, slot);
		if (saml_slot_is_wanted(slot))
			watch_until(ret_watch, slot->start_at_us);
		if (slot->next_state != NEXT_STARTING)
			continue;
		watch_add(ret_watch, saml_runner_awaits(&slot->next, &pool->setup), NULL);
		watch_until(ret_watch, slot->next.deadline_us);
	}
}

/* With the lock: its caller hears of it, too; watched any longer it would keep us awake until then. */
static void note_hang_ups(const struct watch *watch)
{
	for (nfds_t i = 0; i < watch->count; i++) {
		struct slot *slot = watch->slots[i];

		if (slot && watch->files[i].revents && slot->state == SLOT_BUSY &&
		    slot->now.worker.socket == watch->files[i].fd)
			slot->hung_up = true;
	}
}

static void keeper_wait(struct saml_pool *pool, struct watch *watch)
{
	int64_t left_us = watch->until_us - clock_monotonic_us();
	int timeout_ms = left_us > 0 ? (int)(left_us / 1000 + 1) : 0;
	uint64_t drained;

	if (poll(watch->files, watch->count, watch->until_us == INT64_MAX ? -1 : timeout_ms) <= 0)
		return;
	if ((watch->files[0].revents & POLLIN) && read(pool->wake, &drained, sizeof(drained)) < 0 &&
	    errno != EAGAIN)
		return;
	pthread_mutex_lock(&pool->lock);
	note_hang_ups(watch);
	pthread_mutex_unlock(&pool->lock);
}

/* --- its life --- */

static void stop_all(struct saml_pool *pool)
{
	/* All hear it before any is waited for. */
	for (size_t i = 0; i < pool->slot_count; i++) {
		if (pool->slots[i].now.stream)
			shutdown(pool->slots[i].now.worker.socket, SHUT_RDWR);
		if (pool->slots[i].next.stream)
			shutdown(pool->slots[i].next.worker.socket, SHUT_RDWR);
	}
	for (size_t i = 0; i < pool->slot_count; i++) {
		saml_runner_stop(&pool->slots[i].now, EXIT_GRACE_MS, NULL);
		saml_runner_stop(&pool->slots[i].next, EXIT_GRACE_MS, NULL);
		saml_runner_stop(&pool->slots[i].old, EXIT_GRACE_MS, NULL);
	}
}

void *saml_pool_keep(void *context)
{
	struct saml_pool *pool = context;
	struct watch watch;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stopping) {
		reap_idle(pool);
		stop_old(pool);
		start_due(pool);
		go_on_starting(pool);
		tell_started(pool);
		watch_all(pool, &watch);
		pthread_mutex_unlock(&pool->lock);
		keeper_wait(pool, &watch);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	stop_all(pool);
	return NULL;
}
