/*
 * The pool of saml workers, in the core. Enters: settings, jobs from any thread. Leaves:
 * answers that were checked to be of the form and for the question that was asked. Fails with
 * ERR_UNAVAILABLE "busy", "worker-died" or "worker-timeout".
 *
 * A caller takes an idle worker, writes one frame, reads one frame and gives the worker
 * back: the job runs in the caller's thread, there is no hand-over. One thread, the
 * keeper, starts and replaces workers, because a worker dies with the thread that started it.
 *
 * A slot holds the worker in use and, while it is being replaced because it has grown, the
 * next one. States: DOWN (the keeper has to start one), IDLE, BUSY (belongs to one caller). Who
 * finds a worker dead reaps it and sets the slot DOWN.
 */
#include <rolebridge/source/saml.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/identity/record.h>

#include "keys.h"
#include "protocol.h"

#define SECOND_US ((int64_t)1000000)
#define JOB_DEADLINE_US (5 * SECOND_US)
#define START_DEADLINE_US (30 * SECOND_US)
#define METADATA_DEADLINE_US (60 * SECOND_US)
#define EXIT_GRACE_MS 1000
#define DEATH_GRACE_MS 100
#define BACKOFF_FIRST_US (SECOND_US / 10)
#define BACKOFF_MAX_US (5 * SECOND_US)
#define WAITING_PER_WORKER 64
#define WORKERS_MAX 64
#define FILES_MAX ((size_t)64 * 1024)
/* What a message to be judged has around it, about. */
#define JOB_REST 1024

struct runner {
	struct worker worker;
	struct message_stream *stream; /* NULL: there is none */
};

enum slot_state { SLOT_DOWN, SLOT_IDLE, SLOT_BUSY };

struct slot {
	enum slot_state state;
	struct runner now;
	struct runner next; /* started to replace it */
	struct runner old;  /* replaced, to be stopped by the keeper */
	bool grown;	    /* it asked to be replaced */
	unsigned failures;  /* since the last answer */
	int64_t start_at_us;
};

struct saml_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a slot became idle, or the first start is over */
	pthread_t keeper;
	int wake; /* eventfd of the keeper */
	unsigned references;
	bool stopping;
	struct slot *slots;
	size_t slot_count;
	size_t waiting;
	bool started; /* the first start is over */
	struct err start_err;
	struct strbuf setup; /* the workers' first message */
	struct strbuf files; /* what the files that they read looked like before */
	struct arena *arena;
	const char **issuers; /* of each provider; "": metadata is not there */
	size_t provider_count;
	struct saml_pool_counts counts;
};

/* --- one worker --- */

static void runner_stop(struct runner *runner, int grace_ms, int *ret_status)
{
	if (!runner->stream)
		return;
	message_stream_destroy(runner->stream);
	runner->stream = NULL;
	worker_stop(&runner->worker, grace_ms, ret_status);
}

/* Started and told its first message; the answer is not waited for. */
static int runner_start(struct runner *runner, size_t answer_max, const struct strbuf *first,
			struct err *err)
{
	const struct timeval limit = { .tv_sec = JOB_DEADLINE_US / SECOND_US };
	struct worker worker;

	if (worker_start("saml", &worker, err) < 0)
		return -1;
	*runner = (struct runner){ .worker = worker,
				   .stream = message_stream_create(worker.socket, answer_max) };
	if (!runner->stream) {
		worker_stop(&runner->worker, 0, NULL);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	message_stream_expect_waits(runner->stream);
	/* A worker that reads nothing must not hold the writer for ever. */
	if (setsockopt(worker.socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		err_set_errno(err, ERR_IO, errno, "cannot limit the time of writing");
	else if (message_send(worker.socket, first, -1, err) == 0)
		return 0;
	runner_stop(runner, 0, NULL);
	return err_wrap(err, "cannot start a saml worker");
}

static int take_failure(struct message *message, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(65536);
	struct wire wire = { .in = &message->body, .arena = arena };
	struct saml_failure failure = { 0 };
	bool grown = false;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	wire_failure(&wire, &failure);
	wire_bool(&wire, &grown);
	if (wire_done(&wire, "failure", err) < 0)
		return -1;
	return saml_failure_raise(&failure, err);
}

/* Reaps it; what ended it, in words. */
static void tell_end(struct runner *runner, int grace_ms, char *ret_text, size_t size)
{
	int status = 0;

	runner_stop(runner, grace_ms, &status);
	worker_status_text(status, ret_text, size);
}

static int runner_wait_ready(struct runner *runner, struct err *err)
{
	struct message message;
	char end[128];
	int received = message_receive(runner->stream, clock_monotonic_us() + START_DEADLINE_US,
				       &message, NULL, err);

	if (received == 1 && message.type == SAML_FRAME_READY && reader_done(&message.body))
		return 0;
	if (received == 1 && message.type == SAML_FRAME_FAILED) {
		take_failure(&message, err);
		runner_stop(runner, DEATH_GRACE_MS, NULL);
		return -1;
	}
	tell_end(runner, received == 0 ? DEATH_GRACE_MS : 0, end, sizeof(end));
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died",
			  "a saml worker ended with %s before it was ready", end);
}

/* --- the keeper --- */

static void wake_keeper(struct saml_pool *pool)
{
	const uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(pool->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return;
}

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
	wake_keeper(pool);
}

static void count_death(struct saml_pool *pool, const char *end)
{
	pool->counts.deaths++;
	snprintf(pool->counts.last_death, sizeof(pool->counts.last_death), "%s", end);
}

/* With the lock: a worker that ended while nobody asked it anything. */
static void look_at_idle(struct saml_pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct slot *slot = &pool->slots[i];
		struct pollfd peer = { .fd = slot->now.worker.socket, .events = POLLIN };
		char end[128];
		/* Readable without a question: the end, or something it may not say. */
		if (slot->state != SLOT_IDLE || poll(&peer, 1, 0) <= 0)
			continue;
		tell_end(&slot->now, DEATH_GRACE_MS, end, sizeof(end));
		count_death(pool, end);
		slot_down(pool, slot);
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

/* With the lock: the replacement takes over; the keeper stops the old one. */
static void slot_swap(struct saml_pool *pool, struct slot *slot)
{
	slot->old = slot->now;
	slot->now = slot->next;
	slot->next = (struct runner){ 0 };
	slot->grown = false;
	pool->counts.replaced++;
	wake_keeper(pool);
}

/* With the lock: what was started goes to its place. */
static void place(struct saml_pool *pool, struct slot *slot, struct runner *runner)
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

static void start_failed(struct saml_pool *pool, struct slot *slot, const struct err *err)
{
	slot->failures++;
	slot->start_at_us = clock_monotonic_us() + backoff_us(slot->failures + 1);
	snprintf(pool->counts.last_death, sizeof(pool->counts.last_death), "%.127s", err->text);
	if (!pool->started)
		pool->start_err = *err;
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
			place(pool, slots[i], &runners[i]);
		else
			start_failed(pool, slots[i], &errs[i]);
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

static void *keeper_run(void *context)
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

/* --- making and ending a pool --- */

static size_t count_workers(const struct saml_settings *settings)
{
	cpu_set_t set;
	int64_t count = settings->workers;

	if (count <= 0 && sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	if (count <= 0)
		count = 1;
	return count < WORKERS_MAX ? (size_t)count : WORKERS_MAX;
}

static int fill_setup(struct saml_pool *pool, const struct saml_settings *settings,
		      const struct saml_provider *providers, size_t count, struct err *err)
{
	struct saml_setup setup = { .settings = *settings, .providers = providers, .count = count };
	struct wire wire = { .out = &pool->setup };
	size_t begin = message_begin(&pool->setup, SAML_FRAME_SETUP);

	wire_setup(&wire, &setup);
	message_end(&pool->setup, begin);
	keys_print_files(settings, &pool->files);
	if (count > SAML_PROVIDERS_MAX || strbuf_failed(&pool->setup) ||
	    strbuf_failed(&pool->files))
		return err_set(err, ERR_TOO_LARGE, "too many or too large SAML sources");
	pool->provider_count = count;
	pool->issuers = arena_alloc_array(pool->arena, count + 1, sizeof(*pool->issuers));
	for (size_t i = 0; pool->issuers && i < count; i++)
		pool->issuers[i] = arena_strdup(
			pool->arena, providers[i].idp ? providers[i].idp->entity_id : "");
	if (arena_failed(pool->arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	return 0;
}

static void pool_free(struct saml_pool *pool)
{
	if (pool->wake >= 0)
		close(pool->wake);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
	strbuf_finish(&pool->setup);
	strbuf_finish(&pool->files);
	arena_destroy(pool->arena);
	free(pool->slots);
	free(pool);
}

static struct saml_pool *pool_alloc(size_t workers, struct err *err)
{
	struct saml_pool *pool = alloc_zeroed(1, sizeof(*pool));
	pthread_condattr_t monotonic;

	if (!pool) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	pool->references = 1;
	pool->setup = STRBUF(SAML_SETUP_MAX);
	pool->files = STRBUF(FILES_MAX);
	pool->slot_count = workers;
	pool->slots = alloc_zeroed(workers, sizeof(*pool->slots));
	pool->arena = arena_create(SAML_SETUP_MAX);
	pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pool->slots && pool->arena && pool->wake >= 0)
		return pool;
	err_set(err, ERR_MEMORY, "no memory or descriptor for SAML workers");
	pool_free(pool);
	return NULL;
}

static int wait_started(struct saml_pool *pool, struct err *err)
{
	int status = 0;

	pthread_mutex_lock(&pool->lock);
	while (!pool->started)
		pthread_cond_wait(&pool->changed, &pool->lock);
	if (pool->start_err.code != ERR_NONE) {
		if (err)
			*err = pool->start_err;
		status = -1;
	}
	pthread_mutex_unlock(&pool->lock);
	return status;
}

/* Would its workers know the same, and be as many? */
static bool is_alike(const struct saml_pool *pool, const struct saml_pool *other)
{
	return pool->slot_count == other->slot_count && pool->setup.size == other->setup.size &&
	       memcmp(pool->setup.data, other->setup.data, pool->setup.size) == 0 &&
	       strcmp(strbuf_text(&pool->files), strbuf_text(&other->files)) == 0;
}

struct saml_pool *saml_pool_renew(struct saml_pool *present, const struct saml_settings *settings,
				  const struct saml_provider *providers, size_t count,
				  struct err *err)
{
	struct saml_pool *pool = pool_alloc(count_workers(settings), err);

	if (!pool)
		return NULL;
	if (fill_setup(pool, settings, providers, count, err) < 0) {
		pool_free(pool);
		return NULL;
	}
	if (present && is_alike(present, pool)) {
		pool_free(pool);
		return saml_pool_acquire(present);
	}
	if (pthread_create(&pool->keeper, NULL, keeper_run, pool) != 0) {
		err_set(err, ERR_UNAVAILABLE, "cannot start a thread");
		pool_free(pool);
		return NULL;
	}
	if (wait_started(pool, err) == 0)
		return pool;
	saml_pool_release(pool);
	return NULL;
}

struct saml_pool *saml_pool_create(const struct saml_settings *settings,
				   const struct saml_provider *providers, size_t count,
				   struct err *err)
{
	return saml_pool_renew(NULL, settings, providers, count, err);
}

struct saml_pool *saml_pool_acquire(struct saml_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->references++;
	pthread_mutex_unlock(&pool->lock);
	return pool;
}

void saml_pool_release(struct saml_pool *pool)
{
	bool last;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	last = --pool->references == 0;
	pool->stopping |= last;
	pthread_mutex_unlock(&pool->lock);
	if (!last)
		return;
	wake_keeper(pool);
	pthread_join(pool->keeper, NULL);
	pool_free(pool);
}

void saml_pool_counts(struct saml_pool *pool, struct saml_pool_counts *ret_counts)
{
	pthread_mutex_lock(&pool->lock);
	*ret_counts = pool->counts;
	for (size_t i = 0; i < pool->slot_count; i++) {
		ret_counts->workers += pool->slots[i].state != SLOT_DOWN;
		ret_counts->busy += pool->slots[i].state == SLOT_BUSY;
	}
	pthread_mutex_unlock(&pool->lock);
}

size_t saml_pool_pids(struct saml_pool *pool, pid_t *ret_pids, size_t max)
{
	size_t count = 0;

	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < pool->slot_count && count < max; i++)
		if (pool->slots[i].state != SLOT_DOWN)
			ret_pids[count++] = pool->slots[i].now.worker.pid;
	pthread_mutex_unlock(&pool->lock);
	return count;
}

/* --- one job --- */

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

static int take_slot(struct saml_pool *pool, int64_t deadline_us, struct slot **ret_slot,
		     struct err *err)
{
	int status;

	pthread_mutex_lock(&pool->lock);
	status = wait_idle(pool, deadline_us, ret_slot, err);
	pthread_mutex_unlock(&pool->lock);
	return status;
}

static void give_back(struct saml_pool *pool, struct slot *slot, bool grown)
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
		wake_keeper(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	/* Who wakes finds the lock free. */
	pthread_cond_signal(&pool->changed);
}

/*
 * The worker of a slot in our hands is no good any more. It is reaped here, so that
 * the error can say how it ended.
 */
static int worker_lost(struct saml_pool *pool, struct slot *slot, struct err *err)
{
	bool overrun = err->code == ERR_UNAVAILABLE && !err->reason;
	char cause[256], end[128];

	snprintf(cause, sizeof(cause), "%.255s", err->text);
	tell_end(&slot->now, overrun ? 0 : DEATH_GRACE_MS, end, sizeof(end));
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
		place(pool, slot, &next);
	}
	pthread_mutex_unlock(&pool->lock);
	if (overrun)
		return err_refuse(err, ERR_UNAVAILABLE, "worker-timeout",
				  "the saml worker did not answer in time and was killed");
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died", "the saml worker ended with %s: %s",
			  end, cause);
}

/* 1: an answer. 0: the worker had ended before it heard of the job. -1. */
static int exchange(struct slot *slot, const struct strbuf *frame, struct message *ret_message,
		    struct err *err)
{
	int received;

	if (message_send(slot->now.worker.socket, frame, -1, err) < 0)
		/* Gone; or SO_SNDTIMEO is over, since it reads nothing. */
		return err->code == ERR_UNAVAILABLE
			       ? 0
			       : err_set(err, ERR_UNAVAILABLE, "it takes no message");
	received = message_receive(slot->now.stream, clock_monotonic_us() + JOB_DEADLINE_US,
				   ret_message, NULL, err);
	if (received == 0)
		return err_set(err, ERR_PROTOCOL, "it closed the connection");
	return received;
}

/* A job: how to write it is the caller's; how to read and believe its answer is told here. */
struct task {
	struct strbuf frame;
	enum saml_frame answer;
	void (*decode)(struct wire *wire, struct task *task);
	/* Beyond form: is it an answer to the question? May be NULL. */
	bool (*believable)(const struct saml_pool *pool, const struct task *task);
	struct arena *arena;
	const struct saml_question *question;
	union {
		struct saml_verdict verdict;
		struct saml_logout_verdict logout;
		struct saml_outgoing outgoing;
		const char *xml;
	} result;
};

static int take_answer(struct saml_pool *pool, struct task *task, struct message *message,
		       bool *ret_grown, struct err *err)
{
	struct wire wire = { .in = &message->body, .arena = task->arena };

	if (message->type != task->answer)
		return err_set(err, ERR_PROTOCOL, "it answered something else");
	task->decode(&wire, task);
	wire_bool(&wire, ret_grown);
	if (wire_done(&wire, "its answer is", err) < 0)
		return -1;
	if (task->believable && !task->believable(pool, task))
		return err_set(err, ERR_PROTOCOL, "its answer is not one to the question");
	return 0;
}

/* The worker says that it could not: it is well, the job failed. 0 with *err filled; -1: malformed. */
static int take_refused_job(struct message *message, bool *ret_grown, struct arena *arena,
			    struct err *err)
{
	struct wire wire = { .in = &message->body, .arena = arena };
	struct saml_failure failure = { 0 };

	wire_failure(&wire, &failure);
	wire_bool(&wire, ret_grown);
	if (wire_done(&wire, "its failure is", err) < 0)
		return -1;
	saml_failure_raise(&failure, err);
	return 0;
}

/* With a slot in hand. 1: done; 0: to be tried with another worker; -1. */
static int run_in(struct saml_pool *pool, struct slot *slot, struct task *task, struct err *err)
{
	struct message message;
	bool grown = false;
	int status = exchange(slot, &task->frame, &message, err);

	if (status == 0) {
		err_set(err, ERR_PROTOCOL, "it had ended before");
		worker_lost(pool, slot, err);
		return 0;
	}
	if (status < 0)
		return worker_lost(pool, slot, err);
	if (message.type == SAML_FRAME_FAILED) {
		if (take_refused_job(&message, &grown, task->arena, err) < 0)
			return worker_lost(pool, slot, err);
		give_back(pool, slot, grown);
		return -1;
	}
	if (take_answer(pool, task, &message, &grown, err) < 0) {
		/* Our own lack of memory is not the worker's fault. */
		if (err->code != ERR_MEMORY)
			return worker_lost(pool, slot, err);
		give_back(pool, slot, grown);
		return -1;
	}
	give_back(pool, slot, grown);
	return 1;
}

static int pool_run(struct saml_pool *pool, struct task *task, struct err *err)
{
	int64_t deadline_us = clock_monotonic_us() + JOB_DEADLINE_US;
	struct err own_err = { 0 };

	if (!err)
		err = &own_err;
	if (strbuf_failed(&task->frame))
		return err_set(err, ERR_TOO_LARGE, "the message is too large");
	for (;;) {
		struct slot *slot = NULL;
		int status;
		if (take_slot(pool, deadline_us, &slot, err) < 0)
			return -1;
		err_clear(err);
		status = run_in(pool, slot, task, err);
		if (status != 0)
			return status < 0 ? -1 : 0;
	}
}

static int check_provider(const struct saml_pool *pool, size_t provider, struct err *err)
{
	if (provider < pool->provider_count)
		return 0;
	return err_set(err, ERR_INTERNAL, "there is no SAML provider %zu", provider);
}

/* --- verify --- */

static bool is_among(const char *text, const char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, items[i]) == 0)
			return true;
	return false;
}

static bool verdict_believable(const struct saml_pool *pool, const struct task *task)
{
	const struct saml_verdict *verdict = &task->result.verdict;
	const struct saml_assertion *assertion = &verdict->assertion;
	const struct saml_question *question = task->question;
	const char *key;
	size_t key_size;

	if (verdict->refused)
		return true;
	return assertion->assertion_id[0] != '\0' &&
	       strcmp(assertion->issuer, pool->issuers[question->provider]) == 0 &&
	       (assertion->in_response_to[0] == '\0' ||
		is_among(assertion->in_response_to, question->request_ids,
			 question->request_count)) &&
	       record_key(assertion->record, assertion->record_size, &key, &key_size, NULL) == 0;
}

static void decode_verdict(struct wire *wire, struct task *task)
{
	wire_verdict(wire, &task->result.verdict);
}

static size_t message_size(const struct saml_message *message)
{
	return message->binding == SAML_REDIRECT ? message->query_size : message->encoded_size;
}

static void write_receive_job(struct task *task, enum saml_frame type,
			      const struct saml_question *question,
			      const struct saml_message *message)
{
	struct saml_receive_job job = { .question = *question, .message = *message };
	struct wire wire = { .out = &task->frame };
	size_t begin;

	/* At once what growing by doubling would copy several times. */
	strbuf_reserve(&task->frame, message_size(message) + JOB_REST);
	begin = message_begin(&task->frame, (uint16_t)type);
	wire_receive_job(&wire, &job);
	message_end(&task->frame, begin);
}

/* What no worker needs to see. */
static bool is_oversize(const struct saml_message *message)
{
	return message_size(message) > SAML_MESSAGE_MAX;
}

static int oversize(struct saml_refusal *ret_refusal)
{
	*ret_refusal = (struct saml_refusal){ .reason = "message-too-large" };
	snprintf(ret_refusal->detail, sizeof(ret_refusal->detail),
		 "the message is larger than %zu bytes", SAML_MESSAGE_MAX);
	return 1;
}

int saml_pool_verify(struct saml_pool *pool, const struct saml_question *question,
		     const struct saml_message *message, struct arena *arena,
		     struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal,
		     struct err *err)
{
	struct task task = { .frame = STRBUF(SAML_JOB_MAX),
			     .answer = SAML_FRAME_VERDICT,
			     .decode = decode_verdict,
			     .believable = verdict_believable,
			     .arena = arena,
			     .question = question };
	int status;

	if (check_provider(pool, question->provider, err) < 0)
		return -1;
	if (is_oversize(message)) {
		*ret_assertion = (struct saml_assertion){ 0 };
		return oversize(ret_refusal);
	}
	write_receive_job(&task, SAML_FRAME_VERIFY, question, message);
	status = pool_run(pool, &task, err);
	strbuf_finish(&task.frame);
	if (status < 0)
		return -1;
	*ret_assertion = task.result.verdict.assertion;
	if (!task.result.verdict.refused)
		return 0;
	*ret_refusal = task.result.verdict.refusal;
	return 1;
}

/* --- logout --- */

static bool logout_believable(const struct saml_pool *pool, const struct task *task)
{
	const struct saml_logout_verdict *verdict = &task->result.logout;
	const struct saml_logout *logout = &verdict->logout;

	(void)pool;
	if (verdict->refused)
		return true;
	if (logout->is_request)
		return logout->id[0] != '\0' && logout->name_id[0] != '\0';
	return is_among(logout->in_response_to, task->question->request_ids,
			task->question->request_count);
}

static void decode_logout(struct wire *wire, struct task *task)
{
	wire_logout_verdict(wire, &task->result.logout);
}

int saml_pool_logout_receive(struct saml_pool *pool, const struct saml_question *question,
			     const struct saml_message *message, struct arena *arena,
			     struct saml_logout *ret_logout, struct saml_refusal *ret_refusal,
			     struct err *err)
{
	struct task task = { .frame = STRBUF(SAML_JOB_MAX),
			     .answer = SAML_FRAME_LOGOUT_VERDICT,
			     .decode = decode_logout,
			     .believable = logout_believable,
			     .arena = arena,
			     .question = question };
	int status;

	if (check_provider(pool, question->provider, err) < 0)
		return -1;
	if (is_oversize(message))
		return oversize(ret_refusal);
	write_receive_job(&task, SAML_FRAME_LOGOUT_RECEIVE, question, message);
	status = pool_run(pool, &task, err);
	strbuf_finish(&task.frame);
	if (status < 0)
		return -1;
	if (task.result.logout.refused) {
		*ret_refusal = task.result.logout.refusal;
		return 1;
	}
	*ret_logout = task.result.logout.logout;
	return 0;
}

/* --- messages of ours --- */

static void decode_outgoing(struct wire *wire, struct task *task)
{
	wire_outgoing(wire, &task->result.outgoing);
}

/* A browser is about to be sent there. */
static bool outgoing_believable(const struct saml_pool *pool, const struct task *task)
{
	const char *url = task->result.outgoing.url;

	(void)pool;
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
}

static struct task outgoing_task(struct arena *arena)
{
	return (struct task){ .frame = STRBUF(SAML_JOB_MAX),
			      .answer = SAML_FRAME_OUTGOING,
			      .decode = decode_outgoing,
			      .believable = outgoing_believable,
			      .arena = arena };
}

/*
 * What we ask for ourselves holds nothing from outside that could have killed the worker: it died of somebody
 * else's message, or was told to. Once more, then.
 */
static int pool_run_own(struct saml_pool *pool, struct task *task, struct err *err)
{
	struct err first = { 0 };

	if (pool_run(pool, task, &first) == 0)
		return 0;
	if (strcmp(err_reason(&first), "worker-died") == 0)
		return pool_run(pool, task, err);
	if (err)
		*err = first;
	return -1;
}

static int run_outgoing(struct saml_pool *pool, struct task *task, size_t begin,
			struct saml_outgoing *ret_outgoing, struct err *err)
{
	int status;

	message_end(&task->frame, begin);
	status = pool_run_own(pool, task, err);
	strbuf_finish(&task->frame);
	if (status == 0)
		*ret_outgoing = task->result.outgoing;
	return status;
}

int saml_pool_login(struct saml_pool *pool, const struct saml_login_request *request,
		    struct arena *arena, struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct task task = outgoing_task(arena);
	struct wire wire = { .out = &task.frame };
	struct saml_login_request copy = *request;
	size_t begin;

	if (check_provider(pool, request->provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_LOGIN);
	wire_login(&wire, &copy);
	return run_outgoing(pool, &task, begin, ret_outgoing, err);
}

int saml_pool_logout_start(struct saml_pool *pool, const struct saml_logout_start *start,
			   struct arena *arena, struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct task task = outgoing_task(arena);
	struct wire wire = { .out = &task.frame };
	struct saml_logout_start copy = *start;
	size_t begin;

	if (check_provider(pool, start->provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_LOGOUT_START);
	wire_logout_start(&wire, &copy);
	return run_outgoing(pool, &task, begin, ret_outgoing, err);
}

int saml_pool_logout_answer(struct saml_pool *pool, size_t provider, int64_t now_s, const char *id,
			    const struct saml_logout *request, bool success, struct arena *arena,
			    struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct task task = outgoing_task(arena);
	struct wire wire = { .out = &task.frame };
	struct saml_answer_job job = { .provider = provider,
				       .now_s = now_s,
				       .id = id,
				       .request = *request,
				       .success = success };
	size_t begin;

	if (check_provider(pool, provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_LOGOUT_ANSWER);
	wire_answer_job(&wire, &job);
	return run_outgoing(pool, &task, begin, ret_outgoing, err);
}

static void decode_xml(struct wire *wire, struct task *task)
{
	wire_xml(wire, &task->result.xml);
}

int saml_pool_metadata(struct saml_pool *pool, size_t provider, struct arena *arena,
		       const char **ret_xml, struct err *err)
{
	struct task task = { .frame = STRBUF(SAML_JOB_MAX),
			     .answer = SAML_FRAME_XML,
			     .decode = decode_xml,
			     .arena = arena };
	struct wire wire = { .out = &task.frame };
	size_t begin;
	int status;

	if (check_provider(pool, provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_DESCRIBE);
	wire_provider_number(&wire, &provider);
	message_end(&task.frame, begin);
	status = pool_run_own(pool, &task, err);
	strbuf_finish(&task.frame);
	if (status == 0)
		*ret_xml = task.result.xml;
	return status;
}

/* --- metadata of an IdP: a worker for this one message --- */

static int take_idp(struct runner *runner, struct arena *arena, struct saml_idp *ret_idp,
		    struct err *err)
{
	struct message message;
	struct wire wire = { .in = &message.body, .arena = arena };
	struct saml_idp idp = { 0 };
	bool grown = false;
	char end[128];
	int received = message_receive(runner->stream, clock_monotonic_us() + METADATA_DEADLINE_US,
				       &message, NULL, err);

	if (received == 1 && message.type == SAML_FRAME_FAILED)
		return take_failure(&message, err);
	if (received == 1 && message.type == SAML_FRAME_IDP) {
		wire_idp(&wire, &idp);
		wire_bool(&wire, &grown);
		if (wire_done(&wire, "metadata answer", err) < 0)
			return -1;
		*ret_idp = idp;
		return 0;
	}
	tell_end(runner, received == 0 ? DEATH_GRACE_MS : 0, end, sizeof(end));
	return err_refuse(err, ERR_UNAVAILABLE, "worker-died",
			  "the worker that read the metadata ended with %s", end);
}

int saml_metadata_read(const void *xml, size_t size, const char *entity_id,
		       const struct saml_blob *certificate, int64_t now_s, struct arena *arena,
		       struct saml_idp *ret_idp, struct err *err)
{
	struct saml_metadata_job job = {
		.xml = xml, .size = size, .entity_id = entity_id, .now_s = now_s
	};
	AUTO(strbuf) struct strbuf frame = STRBUF(SAML_METADATA_JOB_MAX);
	struct wire wire = { .out = &frame };
	struct runner runner = { 0 };
	struct err own_err = { 0 };
	size_t begin;
	int status;

	if (!err)
		err = &own_err;
	if (size > SAML_METADATA_MAX)
		return err_refuse(err, ERR_INVALID, "metadata-malformed",
				  "the metadata is larger than %zu MiB",
				  SAML_METADATA_MAX / (1024 * 1024));
	if (certificate)
		job.certificate = *certificate;
	begin = message_begin(&frame, SAML_FRAME_READ_METADATA);
	wire_metadata_job(&wire, &job);
	message_end(&frame, begin);
	if (runner_start(&runner, SAML_ANSWER_MAX, &frame, err) < 0)
		return -1;
	status = take_idp(&runner, arena, ret_idp, err);
	runner_stop(&runner, EXIT_GRACE_MS, NULL);
	return status;
}
