/*
 * Deadlines of connections. libmicrohttpd's own timeout counts from the last
 * byte, so that a client who drips one byte a second stays for ever, and it cuts a
 * connection whose handler took longer; so its timeout is off and this
 * thread shuts sockets down when their time is over. The server's threads then
 * see an end of file and clean up themselves.
 *
 * An item is removed before its descriptor is closed (the library's promise for the
 * CLOSED notice), so shutdown under the lock never meets a descriptor used anew.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>

#include "internal.h"

struct watch {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct watched items; /* head of a ring */
	bool stopping;
};

/* Cuts what is due; the earliest deadline left, 0 for none. */
static int64_t watch_sweep(struct watch *watch)
{
	int64_t now_us = clock_monotonic_us(), earliest_us = 0;

	for (struct watched *item = watch->items.next; item != &watch->items; item = item->next) {
		if (item->deadline_us == 0)
			continue;
		if (item->deadline_us <= now_us) {
			shutdown(item->fd, SHUT_RDWR);
			item->deadline_us = 0;
		} else if (earliest_us == 0 || item->deadline_us < earliest_us) {
			earliest_us = item->deadline_us;
		}
	}
	return earliest_us;
}

static void *watch_main(void *context)
{
	struct watch *watch = context;

	pthread_setname_np(pthread_self(), "deadlines");
	pthread_mutex_lock(&watch->lock);
	while (!watch->stopping) {
		int64_t until_us = watch_sweep(watch);
		struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
					  .tv_nsec = (long)(until_us % 1000000) * 1000 };

		if (until_us == 0)
			pthread_cond_wait(&watch->changed, &watch->lock);
		else
			pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
	}
	pthread_mutex_unlock(&watch->lock);
	return NULL;
}

struct watch *watch_create(struct err *err)
{
	struct watch *watch = alloc_zeroed(1, sizeof(*watch));
	pthread_condattr_t attributes;

	if (!watch) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	watch->items.next = watch->items.previous = &watch->items;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->changed, &attributes);
	pthread_condattr_destroy(&attributes);

	int failed = pthread_create(&watch->thread, NULL, watch_main, watch);

	if (failed) {
		err_set_errno(err, ERR_UNAVAILABLE, failed, "cannot start a thread");
		pthread_cond_destroy(&watch->changed);
		pthread_mutex_destroy(&watch->lock);
		free(watch);
		return NULL;
	}
	return watch;
}

void watch_destroy(struct watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	watch->stopping = true;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
	pthread_join(watch->thread, NULL);
	pthread_cond_destroy(&watch->changed);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

static int64_t deadline_from(int64_t timeout_ms)
{
	return timeout_ms == 0 ? 0 : clock_monotonic_us() + timeout_ms * 1000;
}

void watch_add(struct watch *watch, struct watched *item, int fd, int64_t timeout_ms)
{
	pthread_mutex_lock(&watch->lock);
	item->fd = fd;
	item->deadline_us = deadline_from(timeout_ms);
	item->next = &watch->items;
	item->previous = watch->items.previous;
	item->previous->next = item->next->previous = item;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
}

void watch_remove(struct watch *watch, struct watched *item)
{
	pthread_mutex_lock(&watch->lock);
	item->previous->next = item->next;
	item->next->previous = item->previous;
	pthread_mutex_unlock(&watch->lock);
}

void watch_set(struct watch *watch, struct watched *item, int64_t timeout_ms)
{
	pthread_mutex_lock(&watch->lock);

	int64_t before_us = item->deadline_us;

	item->deadline_us = deadline_from(timeout_ms);
	/* The thread need not wake for a deadline that moved away: it looks again when it was due. */
	if (item->deadline_us != 0 && (before_us == 0 || item->deadline_us < before_us))
		pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
}

void watch_cut(struct watch *watch, bool all)
{
	pthread_mutex_lock(&watch->lock);
	for (struct watched *item = watch->items.next; item != &watch->items; item = item->next) {
		if (all || item->deadline_us != 0)
			shutdown(item->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&watch->lock);
}
