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
 * A slot holds the worker in use and, while it is being replaced because it has grown, the
 * next one. States: DOWN (the keeper has to start one), IDLE, BUSY (belongs to one caller). Who
 * finds a worker dead reaps it and sets the slot DOWN.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_POOL_H
#define ROLEBRIDGE_SOURCE_SAML_POOL_H

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

/* --- one worker process --- */

/* Started and told its first message; the answer is not waited for. */
int runner_start(struct runner *ret_runner, size_t answer_max, const struct strbuf *first,
		 struct err *err);
/* Until it says that it is ready; on failure it is reaped. */
int runner_wait_ready(struct runner *runner, struct err *err);
/* A frame that says why the worker could not: always -1. */
int runner_take_failure(struct message *message, struct err *err);
/* Reaps it; there may be none. */
void runner_stop(struct runner *runner, int grace_ms, int *ret_status);
/* Reaps it; what ended it, in words. */
void runner_tell_end(struct runner *runner, int grace_ms, char *ret_text, size_t size);

/* --- slots --- */

/* An idle one, now BUSY and in our hands. ERR_UNAVAILABLE: "busy", "worker-died". */
int slot_take(struct saml_pool *pool, int64_t deadline_us, struct slot **ret_slot, struct err *err);
void slot_give_back(struct saml_pool *pool, struct slot *slot, bool grown);
/*
 * The worker of a slot in our hands is no good any more. It is reaped here, so that
 * the error can say how it ended. Always -1.
 */
int slot_lose(struct saml_pool *pool, struct slot *slot, struct err *err);

/* With the lock. */
void slot_died_idle(struct saml_pool *pool, struct slot *slot);
void slot_place(struct saml_pool *pool, struct slot *slot, struct runner *runner);
void slot_start_failed(struct saml_pool *pool, struct slot *slot, const struct err *err);

/* --- the keeper --- */

void *pool_keep(void *context);
void pool_wake_keeper(struct saml_pool *pool);

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

int pool_run(struct saml_pool *pool, struct task *task, struct err *err);

#endif
