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
 *
 * Threads are many, since they wait, and used as few as possible: the last to become idle is the first to be called,
 * with its stack and memory still in the cache. Of staged requests only so many are at work as can have what
 * they need first (a worker); the others wait here, where it costs nothing, until one says that it now
 * waits for something else (http_request_waits) or ends. Whoever is called finds something to do: no more are
 * called than there is to take.
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

/* A thread. */
struct seat {
	struct slow *slow;
	pthread_t thread;
	pthread_cond_t call;
	bool called;
	struct seat *below; /* among the idle ones: became idle before */
};

struct slow {
	pthread_mutex_t lock;
	struct list queued, staged, running; /* staged: queued as well, and limited by starts_max */
	struct seat *seats, *idle_top;
	unsigned thread_count, threads_max, queue_max;
	unsigned idle, called; /* called: idle ones that are about to look */
	unsigned starts, starts_max;
	unsigned reserved; /* places in the queue that are about to be taken */
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
	/* Once for all who are resumed before it looks. Only a full counter refuses: awake it is. */
	if (!atomic_exchange(&wake->rung, true))
		(void)!write(wake->fd, &one, sizeof(one));
	/* Then, since a loop that counts nobody looks for the resumed itself: */
	atomic_fetch_sub(&wake->suspended, 1);
}

static void slow_give_up(struct slow *slow, struct exchange *exchange)
{
	slow->late++;
	slow_resume(exchange, SLOW_LATE);
}

/* How many could be taken now. */
static unsigned slow_ready(const struct slow *slow)
{
	unsigned room = slow->starts_max - slow->starts;

	return slow->queued.count + (slow->staged.count < room ? slow->staged.count : room);
}

static void *slow_main(void *context);

/* Under the lock. Another thread, when there is more to take than threads come for; to be woken by seat_wake. */
static struct seat *slow_call(struct slow *slow)
{
	struct seat *seat = slow->idle_top;

	if (slow_ready(slow) <= slow->called)
		return NULL;
	if (seat) {
		slow->idle_top = seat->below;
		seat->called = true;
		slow->called++;
		return seat;
	}
	if (slow->thread_count == slow->threads_max)
		return NULL;
	seat = &slow->seats[slow->thread_count];
	seat->slow = slow;
	if (pthread_create(&seat->thread, NULL, slow_main, seat) == 0) {
		slow->thread_count++;
		slow->called++;
		slow->idle++;
		seat->called = true;
	}
	return NULL;
}

/* Without the lock, so that who wakes does not find it taken. */
static void seat_wake(struct seat *seat)
{
	if (seat)
		pthread_cond_signal(&seat->call);
}

/* Under the lock. NULL: nothing that may begin. */
static struct exchange *slow_take(struct slow *slow)
{
	struct list *list = slow->queued.count > 0 ? &slow->queued : &slow->staged;
	struct exchange *exchange = list->first;

	if (slow_ready(slow) == 0)
		return NULL;
	list_remove(list, exchange);
	if (list == &slow->staged) {
		slow->starts++;
		exchange->request.stage = slow;
	}
	list_append(&slow->running, exchange);
	atomic_store(&exchange->slow, SLOW_RUNNING);
	return exchange;
}

/* With the lock, which is let go meanwhile. */
static void slow_run(struct slow *slow, struct exchange *exchange)
{
	struct seat *seat = slow_call(slow);

	pthread_mutex_unlock(&slow->lock);
	seat_wake(seat);
	exchange->result = exchange_run(exchange);

	pthread_mutex_lock(&slow->lock);
	if (exchange->request.stage)
		slow->starts--;
	list_remove(&slow->running, exchange);
	if (atomic_load(&exchange->slow) == SLOW_RUNNING) {
		/* The connection still has its own, and finds itself alone when it goes on. */
		atomic_fetch_sub(&exchange->references, 1);
		slow_resume(exchange, SLOW_DONE);
		return;
	}
	pthread_mutex_unlock(&slow->lock);
	exchange_unref(exchange);
	pthread_mutex_lock(&slow->lock);
}

void http_request_waits(struct http_request *request)
{
	struct slow *slow = request->stage;
	struct seat *seat;

	if (!slow)
		return;
	request->stage = NULL;
	pthread_mutex_lock(&slow->lock);
	slow->starts--;
	seat = slow_call(slow);
	pthread_mutex_unlock(&slow->lock);
	seat_wake(seat);
}

/* With the lock. */
static void seat_wait(struct slow *slow, struct seat *seat)
{
	while (!seat->called && !slow->stopping)
		pthread_cond_wait(&seat->call, &slow->lock);
	slow->idle--;
	if (seat->called)
		slow->called--;
	seat->called = false;
}

static void *slow_main(void *context)
{
	struct seat *seat = context;
	struct slow *slow = seat->slow;

	pthread_setname_np(pthread_self(), "http-slow");
	pthread_mutex_lock(&slow->lock);
	seat_wait(slow, seat); /* called when it was made */
	while (!slow->stopping) {
		struct exchange *exchange = slow_take(slow);

		if (exchange) {
			slow_run(slow, exchange);
			continue;
		}
		seat->below = slow->idle_top;
		slow->idle_top = seat;
		slow->idle++;
		seat_wait(slow, seat);
	}
	pthread_mutex_unlock(&slow->lock);
	return NULL;
}

struct slow *slow_create(const struct http_settings *settings, struct err *err)
{
	struct slow *slow = alloc_zeroed(1, sizeof(*slow));

	if (slow)
		slow->seats = alloc_zeroed(settings->slow_threads, sizeof(*slow->seats));
	if (!slow || !slow->seats) {
		free(slow);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	slow->threads_max = settings->slow_threads;
	slow->queue_max = settings->slow_queue_max;
	slow->starts_max = settings->slow_starts_max;
	slow->deadline_us = settings->slow_deadline_ms * 1000;
	pthread_mutex_init(&slow->lock, NULL);
	for (unsigned i = 0; i < slow->threads_max; i++)
		pthread_cond_init(&slow->seats[i].call, NULL);
	return slow;
}

/* Under the lock. now_us 0: all of them. */
static void slow_end_queued(struct slow *slow, struct list *list, int64_t now_us)
{
	while (list->count > 0) {
		struct exchange *exchange = list->first;

		if (now_us != 0 && exchange->slow_until_us > now_us)
			return; /* the others came later */
		list_remove(list, exchange);
		slow_give_up(slow, exchange);
		exchange_unref(exchange);
	}
}

/* A place in the queue, to be filled: what is done meanwhile needs no lock. */
static bool slow_reserve(struct slow *slow)
{
	bool room;

	pthread_mutex_lock(&slow->lock);
	room = !slow->stopping && slow->queued.count + slow->staged.count + slow->reserved <
					  slow->queue_max + slow->idle;
	if (room)
		slow->reserved++;
	else
		slow->refused++;
	pthread_mutex_unlock(&slow->lock);
	return room;
}

bool slow_submit(struct slow *slow, struct exchange *exchange, struct MHD_Connection *connection)
{
	bool staged = exchange->request.route->flags & HTTP_ROUTE_STAGED;
	struct list *list = staged ? &slow->staged : &slow->queued;
	struct seat *seat = NULL;

	if (!slow_reserve(slow))
		return false;
	/* Before anybody may resume it. */
	MHD_suspend_connection(connection);
	exchange->connection = connection;
	exchange->wake = loop_wake;
	atomic_fetch_add(&loop_wake->suspended, 1);
	exchange->slow_until_us = clock_monotonic_us() + slow->deadline_us;
	atomic_fetch_add(&exchange->references, 1);
	atomic_store(&exchange->slow, SLOW_QUEUED);

	pthread_mutex_lock(&slow->lock);
	slow->reserved--;
	list_append(list, exchange);
	/* The end may have come meanwhile. */
	if (slow->stopping)
		slow_end_queued(slow, list, 0);
	else
		seat = slow_call(slow);
	pthread_mutex_unlock(&slow->lock);
	seat_wake(seat);
	return true;
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
	slow_end_queued(slow, &slow->queued, now_us);
	slow_end_queued(slow, &slow->staged, now_us);
	slow_end_running(slow, now_us);
	pthread_mutex_unlock(&slow->lock);
}

void slow_abort(struct slow *slow)
{
	if (!slow)
		return;
	pthread_mutex_lock(&slow->lock);
	slow->stopping = true;
	slow_end_queued(slow, &slow->queued, 0);
	slow_end_queued(slow, &slow->staged, 0);
	slow_end_running(slow, 0);
	for (unsigned i = 0; i < slow->thread_count; i++)
		pthread_cond_signal(&slow->seats[i].call);
	pthread_mutex_unlock(&slow->lock);
}

void slow_destroy(struct slow *slow)
{
	if (!slow)
		return;
	slow_abort(slow);
	for (unsigned i = 0; i < slow->thread_count; i++)
		pthread_join(slow->seats[i].thread, NULL);
	for (unsigned i = 0; i < slow->threads_max; i++)
		pthread_cond_destroy(&slow->seats[i].call);
	pthread_mutex_destroy(&slow->lock);
	free(slow->seats);
	free(slow);
}

void slow_counts(struct slow *slow, struct http_counts *counts)
{
	if (!slow)
		return;
	pthread_mutex_lock(&slow->lock);
	counts->slow_queued = slow->queued.count + slow->staged.count;
	counts->slow_running = slow->running.count;
	counts->slow_refused = slow->refused;
	counts->slow_late = slow->late;
	pthread_mutex_unlock(&slow->lock);
}
