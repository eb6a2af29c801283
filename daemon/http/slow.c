/*
 * Handlers that wait. Enters: a request whose connection is suspended here. Leaves: the connection resumed,
 * exactly once, with the handler's answer (SLOW_DONE) or without (SLOW_LATE). Fails only by having no room.
 *
 *	epoll thread          slow thread             deadlines, stop
 *	suspend → QUEUED ───▶ RUNNING ───▶ DONE, resume
 *	                │         └──────────────────▶ LATE, resume (the handler goes on; its answer is dropped)
 *	                └────────────────────────────▶ LATE, resume (the handler never runs)
 *
 * Each arrow is taken under one lock, so that whoever takes the one out of RUNNING or QUEUED also resumes, and
 * nobody else touches the connection. An exchange has two references: the connection's and the list's.
 * The library aborts when it is stopped with a suspended connection: slow_abort comes before.
 */
#include <microhttpd.h>
#include <stdlib.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>

#include "internal.h"

/* A ring; the first to come is next. */
struct list {
	struct exchange *first;
	unsigned count;
};

_Thread_local struct wake *loop_wake;

struct slow {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list queued, running;
	pthread_t *threads;
	unsigned thread_count, threads_max, queue_max;
	unsigned idle;
	int64_t deadline_us;
	uint64_t refused, late;
	bool stopping;
};

static void list_append(struct list *list, struct exchange *exchange)
{
	if (list->count++ == 0) {
		list->first = exchange->next = exchange->previous = exchange;
		return;
	}
	exchange->next = list->first;
	exchange->previous = list->first->previous;
	exchange->previous->next = exchange->next->previous = exchange;
}

static void list_remove(struct list *list, struct exchange *exchange)
{
	exchange->previous->next = exchange->next;
	exchange->next->previous = exchange->previous;
	if (list->first == exchange)
		list->first = exchange->next;
	if (--list->count == 0)
		list->first = NULL;
}

/* Under the lock. From here on the connection's threads have it again. */
static void slow_resume(struct exchange *exchange, enum slow_state state)
{
	struct MHD_Connection *connection = exchange->connection;
	struct wake *wake = exchange->wake;
	const uint64_t one = 1;

	atomic_store(&exchange->slow, state);
	MHD_resume_connection(connection);
	/* Only a full counter refuses: awake it is. Then, since a loop that counts nobody looks for the resumed itself: */
	(void)!write(wake->fd, &one, sizeof(one));
	atomic_fetch_sub(&wake->suspended, 1);
}

static void slow_give_up(struct slow *slow, struct exchange *exchange)
{
	slow->late++;
	slow_resume(exchange, SLOW_LATE);
}

static void slow_run(struct slow *slow)
{
	struct exchange *exchange = slow->queued.first;

	list_remove(&slow->queued, exchange);
	list_append(&slow->running, exchange);
	atomic_store(&exchange->slow, SLOW_RUNNING);
	pthread_mutex_unlock(&slow->lock);

	exchange->result = exchange->request.route->handler(&exchange->request, &exchange->response,
							    &exchange->err);

	pthread_mutex_lock(&slow->lock);
	list_remove(&slow->running, exchange);
	if (atomic_load(&exchange->slow) == SLOW_RUNNING)
		slow_resume(exchange, SLOW_DONE);
	pthread_mutex_unlock(&slow->lock);
	exchange_unref(exchange);
	pthread_mutex_lock(&slow->lock);
}

static void *slow_main(void *context)
{
	struct slow *slow = context;

	pthread_setname_np(pthread_self(), "http-slow");
	pthread_mutex_lock(&slow->lock);
	while (!slow->stopping) {
		if (slow->queued.count > 0) {
			slow_run(slow);
			continue;
		}
		slow->idle++;
		pthread_cond_wait(&slow->work, &slow->lock);
		slow->idle--;
	}
	pthread_mutex_unlock(&slow->lock);
	return NULL;
}

struct slow *slow_create(unsigned threads_max, unsigned queue_max, int64_t deadline_ms,
			 struct err *err)
{
	struct slow *slow = alloc_zeroed(1, sizeof(*slow));

	if (slow)
		slow->threads = alloc_zeroed(threads_max, sizeof(*slow->threads));
	if (!slow || !slow->threads) {
		free(slow);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	slow->threads_max = threads_max;
	slow->queue_max = queue_max;
	slow->deadline_us = deadline_ms * 1000;
	pthread_mutex_init(&slow->lock, NULL);
	pthread_cond_init(&slow->work, NULL);
	return slow;
}

/* Under the lock. More threads as long as all of them are busy. */
static bool slow_have_thread(struct slow *slow)
{
	if (slow->idle > slow->queued.count || slow->thread_count == slow->threads_max)
		return true;
	if (pthread_create(&slow->threads[slow->thread_count], NULL, slow_main, slow) == 0)
		slow->thread_count++;
	return slow->thread_count > 0;
}

bool slow_submit(struct slow *slow, struct exchange *exchange, struct MHD_Connection *connection)
{
	pthread_mutex_lock(&slow->lock);

	bool room = !slow->stopping && slow->queued.count < slow->queue_max + slow->idle &&
		    slow_have_thread(slow);

	if (room) {
		/* Before anybody may resume it. */
		MHD_suspend_connection(connection);
		exchange->connection = connection;
		exchange->wake = loop_wake;
		atomic_fetch_add(&loop_wake->suspended, 1);
		exchange->slow_until_us = clock_monotonic_us() + slow->deadline_us;
		atomic_fetch_add(&exchange->references, 1);
		atomic_store(&exchange->slow, SLOW_QUEUED);
		list_append(&slow->queued, exchange);
		pthread_cond_signal(&slow->work);
	} else {
		slow->refused++;
	}
	pthread_mutex_unlock(&slow->lock);
	return room;
}

/* Under the lock. now_us 0: all of them. */
static void slow_end_queued(struct slow *slow, int64_t now_us)
{
	while (slow->queued.count > 0) {
		struct exchange *exchange = slow->queued.first;

		if (now_us != 0 && exchange->slow_until_us > now_us)
			return; /* the others came later */
		list_remove(&slow->queued, exchange);
		slow_give_up(slow, exchange);
		exchange_unref(exchange);
	}
}

static void slow_end_running(struct slow *slow, int64_t now_us)
{
	struct exchange *exchange = slow->running.first;

	for (unsigned i = slow->running.count; i > 0; i--, exchange = exchange->next) {
		if (atomic_load(&exchange->slow) == SLOW_RUNNING &&
		    (now_us == 0 || exchange->slow_until_us <= now_us))
			slow_give_up(slow, exchange);
	}
}

void slow_sweep(struct slow *slow, int64_t now_us)
{
	pthread_mutex_lock(&slow->lock);
	slow_end_queued(slow, now_us);
	slow_end_running(slow, now_us);
	pthread_mutex_unlock(&slow->lock);
}

void slow_abort(struct slow *slow)
{
	if (!slow)
		return;
	pthread_mutex_lock(&slow->lock);
	slow->stopping = true;
	slow_end_queued(slow, 0);
	slow_end_running(slow, 0);
	pthread_cond_broadcast(&slow->work);
	pthread_mutex_unlock(&slow->lock);
}

void slow_destroy(struct slow *slow)
{
	if (!slow)
		return;
	slow_abort(slow);
	for (unsigned i = 0; i < slow->thread_count; i++)
		pthread_join(slow->threads[i], NULL);
	pthread_cond_destroy(&slow->work);
	pthread_mutex_destroy(&slow->lock);
	free(slow->threads);
	free(slow);
}

void slow_counts(struct slow *slow, struct http_counts *counts)
{
	if (!slow)
		return;
	pthread_mutex_lock(&slow->lock);
	counts->slow_queued = slow->queued.count;
	counts->slow_running = slow->running.count;
	counts->slow_refused = slow->refused;
	counts->slow_late = slow->late;
	pthread_mutex_unlock(&slow->lock);
}
