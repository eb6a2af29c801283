/*
 * Deadlines of connections. libmicrohttpd's own timeout counts from the last
 * byte, so that a client who drips one byte a second stays for ever, and it cuts a
 * connection whose handler took longer; so its timeout is off and this
 * thread shuts sockets down when their time is over. The server's threads then
 * see an end of file and clean up themselves.
 *
 * A deadline is set twice or more for each request, so that setting it is one store; the
 * thread looks at all of them every tick while there is a connection, and sleeps while there is none.
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

#include "internal.h"

struct watch {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct watched items; /* head of a ring */
	int64_t tick_ms;
	watch_hook hook;
	void *context;
	bool stopping;
};

/* Some milliseconds late at most, for a fraction of the price. */
static int64_t coarse_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void watch_sweep(struct watch *watch, int64_t now_us)
{
	for (struct watched *item = watch->items.next; item != &watch->items; item = item->next) {
		int64_t deadline_us = atomic_load(&item->deadline_us);

		/* Whoever sets another deadline in this moment wins. */
		if (deadline_us != 0 && deadline_us <= now_us &&
		    atomic_compare_exchange_strong(&item->deadline_us, &deadline_us, 0))
			shutdown(item->fd, SHUT_RDWR);
	}
}

static void watch_wait(struct watch *watch)
{
	struct timespec until;

	if (watch->items.next == &watch->items) {
		pthread_cond_wait(&watch->changed, &watch->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(watch->tick_ms % 1000) * 1000000;
	until.tv_sec += (time_t)(watch->tick_ms / 1000) + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
}

static void *watch_main(void *context)
{
	struct watch *watch = context;

	pthread_setname_np(pthread_self(), "deadlines");
	pthread_mutex_lock(&watch->lock);
	while (!watch->stopping) {
		int64_t now_us = coarse_now_us();

		watch_sweep(watch, now_us);
		if (watch->hook) {
			/* It takes locks of its own. */
			pthread_mutex_unlock(&watch->lock);
			watch->hook(watch->context, now_us);
			pthread_mutex_lock(&watch->lock);
			if (watch->stopping)
				break;
		}
		watch_wait(watch);
	}
	pthread_mutex_unlock(&watch->lock);
	return NULL;
}

struct watch *watch_create(int64_t tick_ms, watch_hook hook, void *context, struct err *err)
{
	struct watch *watch = alloc_zeroed(1, sizeof(*watch));
	pthread_condattr_t attributes;

	if (!watch) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	watch->items.next = watch->items.previous = &watch->items;
	watch->tick_ms = tick_ms;
	watch->hook = hook;
	watch->context = context;
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
	return timeout_ms == 0 ? 0 : coarse_now_us() + timeout_ms * 1000;
}

void watch_add(struct watch *watch, struct watched *item, int fd, int64_t timeout_ms)
{
	pthread_mutex_lock(&watch->lock);

	bool first = watch->items.next == &watch->items;

	item->fd = fd;
	atomic_store(&item->deadline_us, deadline_from(timeout_ms));
	item->next = &watch->items;
	item->previous = watch->items.previous;
	item->previous->next = item->next->previous = item;
	if (first)
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

void watch_set(struct watched *item, int64_t timeout_ms)
{
	atomic_store_explicit(&item->deadline_us, deadline_from(timeout_ms), memory_order_relaxed);
}

void watch_shorten(struct watched *item, int64_t timeout_ms)
{
	int64_t before_us = atomic_load_explicit(&item->deadline_us, memory_order_relaxed);
	int64_t until_us = deadline_from(timeout_ms);

	if (before_us == 0 || before_us > until_us)
		atomic_store_explicit(&item->deadline_us, until_us, memory_order_relaxed);
}

void watch_cut(struct watch *watch)
{
	pthread_mutex_lock(&watch->lock);
	for (struct watched *item = watch->items.next; item != &watch->items; item = item->next)
		shutdown(item->fd, SHUT_RDWR);
	pthread_mutex_unlock(&watch->lock);
}
