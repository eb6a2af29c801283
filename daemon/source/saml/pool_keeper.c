/*
 * The keeper: one thread that starts and replaces the workers of a pool, because a worker dies with the thread that
 * started it. Enters: slots that are DOWN or have grown. Leaves: workers that are ready. A start that
 * failed is tried again, after a while.
 */
#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

void pool_wake_keeper(struct saml_pool *pool)
{
	const uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(pool->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return;
}

/* With the lock: a worker that ended while nobody asked it anything. */
static void look_at_idle(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		struct pollfd peer = { .fd = slot->now.worker.socket, .events = POLLIN };
		/* Readable without a question: the end, or something it may not say. */
		if (slot->state == SLOT_IDLE && poll(&peer, 1, 0) > 0)
			slot_died_idle(pool, slot);
	}
}

/* With the lock: slots that have to be started now, and those that have grown. */
static size_t collect_due(struct saml_pool *pool, struct slot **ret_slots, int64_t *ret_next_us)
{
	int64_t now_us = clock_monotonic_us();
	size_t count = 0;

	*ret_next_us = 0;
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		bool wanted = slot->state == SLOT_DOWN || (slot->grown && !slot->next.stream);
		if (wanted && slot->start_at_us <= now_us)
			ret_slots[count++] = slot;
		else if (wanted && (*ret_next_us == 0 || slot->start_at_us < *ret_next_us))
			*ret_next_us = slot->start_at_us;
	}
	return count;
}

/* Without the lock: all at once, then wait for each. */
static void start_due(struct saml_pool *pool, struct slot **slots, size_t count)
{
	struct runner runners[WORKERS_MAX] = { { .stream = NULL } };
	struct err errs[WORKERS_MAX];

	for (size_t i = 0; i < count; i++) {
		err_clear(&errs[i]);
		if (runner_start(&runners[i], SAML_ANSWER_MAX, &pool->setup, &errs[i]) < 0)
			runners[i].stream = NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (runners[i].stream && runner_wait_ready(&runners[i], &errs[i]) < 0)
			runners[i].stream = NULL;
		pthread_mutex_lock(&pool->lock);
		if (runners[i].stream)
			slot_place(pool, slots[i], &runners[i]);
		else
			slot_start_failed(pool, slots[i], &errs[i]);
		pthread_mutex_unlock(&pool->lock);
	}
}

/* With the lock: workers that were replaced end, and a place is free for the next replacement. */
static void stop_old(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		struct runner old = slot->old;
		if (!old.stream)
			continue;
		slot->old = (struct runner){ 0 };
		pthread_mutex_unlock(&pool->lock);
		runner_stop(&old, EXIT_GRACE_MS, NULL);
		pthread_mutex_lock(&pool->lock);
	}
}

/* Until somebody calls, an idle worker ends, or a start is due. */
static void keeper_wait(struct saml_pool *pool, int64_t next_us)
{
	struct pollfd files[WORKERS_MAX + 1] = { { .fd = pool->wake, .events = POLLIN } };
	nfds_t count = 1;
	uint64_t drained;
	int timeout_ms = -1;

	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].state == SLOT_IDLE)
			/* A busy one is watched by its caller; hang-ups are told unasked. */
			files[count++] = (struct pollfd){ .fd = pool->slots[i].now.worker.socket };
	pthread_mutex_unlock(&pool->lock);
	if (next_us) {
		int64_t left_us = next_us - clock_monotonic_us();
		timeout_ms = left_us > 0 ? (int)(left_us / 1000 + 1) : 0;
	}
	if (poll(files, count, timeout_ms) > 0 && (files[0].revents & POLLIN) &&
	    read(pool->wake, &drained, sizeof(drained)) < 0)
		return;
}

static void stop_all(struct saml_pool *pool)
{
	/* All hear it before any is waited for. */
	for (size_t i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].now.stream)
			shutdown(pool->slots[i].now.worker.socket, SHUT_RDWR);
	for (size_t i = 0; i < pool->slot_count; i++) {
		runner_stop(&pool->slots[i].now, EXIT_GRACE_MS, NULL);
		runner_stop(&pool->slots[i].next, EXIT_GRACE_MS, NULL);
		runner_stop(&pool->slots[i].old, EXIT_GRACE_MS, NULL);
	}
}

void *pool_keep(void *context)
{
	struct saml_pool *pool = context;
	struct slot *due[WORKERS_MAX];

	for (;;) {
		int64_t next_us = 0;
		size_t count;
		bool stopping;
		pthread_mutex_lock(&pool->lock);
		look_at_idle(pool);
		stop_old(pool);
		stopping = pool->stopping;
		count = collect_due(pool, due, &next_us);
		pthread_mutex_unlock(&pool->lock);
		if (stopping)
			break;
		if (count > 0)
			start_due(pool, due, count);
		else
			keeper_wait(pool, next_us);
		pthread_mutex_lock(&pool->lock);
		if (!pool->started) {
			pool->started = true;
			pthread_cond_broadcast(&pool->changed);
		}
		pthread_mutex_unlock(&pool->lock);
	}
	stop_all(pool);
	return NULL;
}
