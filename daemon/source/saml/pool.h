/*
 * The pool of saml workers, inside.
 *
 *	pool.c		made, shared, ended, counted
 *	pool_runner.c	one worker process: started, told its set-up, ended
 *	pool_slot.c	a slot's states and what leads from one to the other; who takes it, who gives it back
 *	pool_keeper.c	the thread that starts and replaces workers
 *	pool_task.c	one job: a frame to a worker, an answer that can be believed
 *	pool_ask.c	the questions of the public header as jobs
 *	pool_idp.c	metadata of an IdP, in a worker of its own
 *
 * A slot holds the worker in use (`now`), the one that will take over (`next`), and the one that was replaced
 * (`old`). What leads out of each state, so that none lasts because nobody asks:
 *
 *	DOWN		the keeper, at start_at_us, by a `next` that becomes ready
 *	IDLE		a caller takes it; the keeper hears the end of its worker
 *	BUSY		its caller, at the latest at the deadline of the job
 *	next STARTING	the keeper hears that it is ready, or its end, or its deadline is over
 *	next READY	serves at once when DOWN or IDLE, else when given back or lost
 *	old		the keeper, told by who put it there
 *
 * `now` belongs to the caller while BUSY, `next` to the keeper while STARTING; the lock guards the rest. Who finds a
 * worker dead takes it out of its slot, reaps it, and sets the slot DOWN.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_POOL_H
#define ROLEBRIDGE_SOURCE_SAML_POOL_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/message.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/source/saml.h>

#include "protocol.h"

#define SECOND_US ((int64_t)1000000)
#define JOB_DEADLINE_US (5 * SECOND_US)
#define EXIT_GRACE_MS 1000
#define DEATH_GRACE_MS 100
#define WORKERS_MAX 64

struct runner {
	struct worker worker;
	struct message_stream *stream; /* NULL: there is none */
	size_t told;		       /* bytes of its set-up */
	int64_t deadline_us;	       /* of being ready */
};

enum slot_state { SLOT_DOWN, SLOT_IDLE, SLOT_BUSY };
enum next_state { NEXT_NONE, NEXT_STARTING, NEXT_READY };

struct slot {
	enum slot_state state;
	enum next_state next_state;
	struct runner now, next, old;
	bool hung_up;	   /* the keeper has heard the end of a BUSY worker */
	bool grown;	   /* it asked to be replaced */
	unsigned failures; /* since the last answer, or a long life */
	int64_t serves_since_us;
	int64_t start_at_us; /* not earlier */
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

/* --- one worker process --- */

int saml_runner_start(struct runner *ret_runner, struct err *err);
/* Tells it its set-up, as far as it listens. 1: it is ready; 0: not yet; -1, and reaped. Waits for nothing. */
int saml_runner_get_ready(struct runner *runner, const struct strbuf *setup, struct err *err);
/* What poll(2) has to wait for until saml_runner_get_ready gets on. */
struct pollfd saml_runner_awaits(const struct runner *runner, const struct strbuf *setup);
/* A frame that says why the worker could not: always -1. */
int saml_runner_take_failure(struct message *message, struct err *err);
/* Reaps it; there may be none. */
void saml_runner_stop(struct runner *runner, int grace_ms, int *ret_status);
/* Reaps it; what ended it, in words. */
void saml_runner_tell_end(struct runner *runner, int grace_ms, char *ret_text, size_t size);

/* --- slots --- */

/* An idle one, now BUSY and in our hands. ERR_UNAVAILABLE: "busy", "worker-died". */
int saml_slot_take(struct saml_pool *pool, int64_t deadline_us, struct slot **ret_slot,
		   struct err *err);
void saml_slot_give_back(struct saml_pool *pool, struct slot *slot, bool grown);
/*
 * The worker of a slot in our hands is no good any more. It is reaped here, so that
 * the error can say how it ended. Always -1.
 */
int saml_slot_lose(struct saml_pool *pool, struct slot *slot, struct err *err);

/* The keeper's, with the lock. */
bool saml_slot_is_wanted(const struct slot *slot);
void saml_slot_starting(struct slot *slot, const struct runner *runner);
void saml_slot_ready(struct saml_pool *pool, struct slot *slot);
void saml_slot_start_failed(struct saml_pool *pool, struct slot *slot, const struct err *err);
/* An IDLE one's worker has ended: to be reaped, and told to saml_pool_count_death. */
struct runner saml_slot_end_idle(struct saml_pool *pool, struct slot *slot);
/* What was replaced, to be stopped; may be none. */
struct runner saml_slot_take_old(struct saml_pool *pool, struct slot *slot);
void saml_pool_count_death(struct saml_pool *pool, const char *end);

/* --- the keeper --- */

void *saml_pool_keep(void *context);
void saml_pool_wake_keeper(struct saml_pool *pool);

/* --- jobs --- */

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

int saml_pool_run(struct saml_pool *pool, struct task *task, struct err *err);

#endif
