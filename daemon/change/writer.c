/*
 * The writer thread: the only user of the write handle.
 *
 * Two queues. Requests of people go first; those that wait together share one transaction,
 * each in a savepoint of its own, and are answered after the commit. Where several came together
 * others follow, and a commit waits a millisecond for them: that is less than the disk takes,
 * and what a commit costs is shared by more. Who comes alone waits for nobody. A bulk job is
 * one transaction, at most a few hundred people long, so that a request waits for one of
 * them and not for a plan. While requests keep coming, a bulk job has every fifth turn.
 *
 * Enters: jobs. Leaves: their results. What fails inside a job is rolled back and said to
 * whoever asked; a commit that fails is said to all who shared it.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/util.h>

#define GROUP_COMMIT_MAX 64
/* After so many in one group a commit waits for others, so long, unless there are so many already. */
#define CROWD_MIN 3
#define CROWD_ENOUGH 24
#define CROWD_WAIT_NS 1000000
#define IDLE_NS 50000000
/* Groups of requests that go before a bulk job that waits. */
#define PASSED_MAX 4

static void enqueue(struct job ***end, struct job *job)
{
	job->next = NULL;
	**end = job;
	*end = &job->next;
}

/* With the mutex. */
static void wake_writer(struct changer *changer)
{
	if (changer->waits)
		pthread_cond_signal(&changer->wake);
	changer->waits = false;
}

static struct job *dequeue(struct job **head, struct job ***end)
{
	struct job *job = *head;

	if (job) {
		*head = job->next;
		if (!*head)
			*end = head;
	}
	return job;
}

static void answer(struct changer *changer, struct job *job)
{
	if (job->finished) {
		job->finished(changer, job);
		return;
	}
	/* Whoever waits may be gone, with the job, as soon as this is told. */
	sem_post(&job->answered);
}

static void run_bulk(struct changer *changer, struct job *job)
{
	change_step("begin");
	job->result = store_set_durable(changer->store, !job->redoable, &job->err);
	if (job->result == 0)
		job->result = store_begin(changer->store, &job->err);
	if (job->result == 0) {
		change_step("began");
		job->result = job->run(changer, job, &job->err);
		change_step("commit");
		if (job->result == 0)
			job->result = store_commit(changer->store, &job->err);
		if (job->result < 0) {
			store_rollback(changer->store);
			notices_undo(changer, (struct notice_mark){ 0 });
		} else {
			notices_tell(changer);
			copier_follow(changer->copier, changer->store);
		}
	}
	change_step("committed");
	answer(changer, job);
}

int writer_run_nested(struct changer *changer, struct job *job, struct err *err)
{
	struct notice_mark mark = notices_mark(changer);

	if (store_savepoint(changer->store, err) < 0)
		return -1;
	job->result = job->run(changer, job, &job->err);
	if (job->result < 0) {
		store_rollback_to(changer->store);
		notices_undo(changer, mark);
		return 0;
	}
	return store_release(changer->store, err);
}

static void fail_all(struct job *jobs, const struct err *err)
{
	for (struct job *job = jobs; job; job = job->next)
		if (job->result == 0) {
			job->result = -1;
			job->err = *err;
		}
}

static void answer_all(struct changer *changer, struct job *jobs)
{
	while (jobs) {
		struct job *next = jobs->next;

		answer(changer, jobs);
		jobs = next;
	}
}

/* A failure is left for the next time, as in idle time. */
static void tidy_behind(struct changer *changer)
{
	if (store_set_durable(changer->store, false, NULL) == 0)
		store_tidy_behind(changer->store, NULL);
	copier_follow(changer->copier, changer->store);
}

static void run_requests(struct changer *changer, struct job *jobs)
{
	struct err err;

	err_clear(&err);
	change_step("begin");
	if (store_set_durable(changer->store, true, &err) < 0 ||
	    store_begin(changer->store, &err) < 0) {
		fail_all(jobs, &err);
		answer_all(changer, jobs);
		return;
	}
	for (struct job *job = jobs; job; job = job->next)
		if (writer_run_nested(changer, job, &err) < 0) {
			/* Shared fate: those done before are undone with it and told so. */
			store_rollback(changer->store);
			notices_undo(changer, (struct notice_mark){ 0 });
			fail_all(jobs, &err);
			answer_all(changer, jobs);
			return;
		}
	change_step("commit");
	if (store_commit(changer->store, &err) < 0) {
		store_rollback(changer->store);
		notices_undo(changer, (struct notice_mark){ 0 });
		fail_all(jobs, &err);
	} else {
		notices_tell(changer);
		copier_follow(changer->copier, changer->store);
	}
	change_step("committed");
	answer_all(changer, jobs);
	if (store_is_behind(changer->store))
		tidy_behind(changer);
}

/* All requests waiting now, as a list of their own. */
static struct job *take_requests(struct changer *changer, unsigned *ret_count)
{
	struct job *first = NULL, **end = &first, *job;
	unsigned count = 0;

	while (count < GROUP_COMMIT_MAX &&
	       (job = dequeue(&changer->requests, &changer->requests_end)) != NULL) {
		job->next = NULL;
		*end = job;
		end = &job->next;
		count++;
	}
	*ret_count = count;
	return first;
}

static bool are_enough(const struct changer *changer)
{
	unsigned count = 0;

	for (const struct job *job = changer->requests; job && count < CROWD_ENOUGH;
	     job = job->next)
		count++;
	return count == 0 || count == CROWD_ENOUGH;
}

/* With the mutex. last: of how many the group before was. */
static void wait_for_crowd(struct changer *changer, unsigned last)
{
	const struct timespec pause = { .tv_nsec = CROWD_WAIT_NS };

	if (last < CROWD_MIN || changer->bulks || changer->stopping || are_enough(changer))
		return;
	pthread_mutex_unlock(&changer->mutex);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	pthread_mutex_lock(&changer->mutex);
}

/* What the store left for idle time: is done, waits for a pause, is under way. */
enum idle { IDLE_DONE, IDLE_WAITS, IDLE_WORKS };

/* With the mutex: did so long nobody come? */
static bool is_pause(struct changer *changer)
{
	struct timespec until;
	bool pause;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += IDLE_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	changer->waits = true;
	pause = pthread_cond_timedwait(&changer->wake, &changer->mutex, &until) == ETIMEDOUT;
	changer->waits = false;
	return pause;
}

/* Two users of one name, or a row that is gone: no later time will mend that. */
static void report_damage(struct changer *changer, const struct err *problem)
{
	struct err err;

	if (strcmp(err_reason(problem), "store-damaged") != 0)
		return;
	err_clear(&err);
	if (store_begin(changer->store, &err) < 0)
		return;
	if (store_alarm_raise(changer->store, "store-damaged", "indexes", problem->text,
			      change_now_s(), &err) < 0 ||
	    store_commit(changer->store, &err) < 0)
		store_rollback(changer->store);
}

/*
 * Nobody waits: after a while do what the store left for idle time, a piece at a time. Called with
 * the mutex. Nothing depends on it but speed, so that a failure is left for the next time, and
 * damage is made known.
 */
static void wait_for_jobs(struct changer *changer, enum idle *idle)
{
	struct err err;
	int left;

	if (*idle == IDLE_DONE) {
		changer->waits = true;
		pthread_cond_wait(&changer->wake, &changer->mutex);
		changer->waits = false;
		return;
	}
	if (*idle == IDLE_WAITS && !is_pause(changer))
		return;
	pthread_mutex_unlock(&changer->mutex);
	/* What an import filled is not needed by what comes after it. */
	if (*idle == IDLE_WAITS)
		store_give_back(changer->store);
	*idle = IDLE_WORKS;
	err_clear(&err);
	/* What a power cut undoes of this is done again. */
	left = store_set_durable(changer->store, false, &err);
	if (left == 0)
		left = store_tidy(changer->store, &err);
	copier_follow(changer->copier, changer->store);
	if (left < 0)
		report_damage(changer, &err);
	if (left <= 0) {
		store_give_back(changer->store);
		copier_wake(changer->copier);
		*idle = IDLE_DONE;
	}
	pthread_mutex_lock(&changer->mutex);
}

static void *writer_main(void *context)
{
	struct changer *changer = context;
	enum idle idle = IDLE_WAITS;
	unsigned passed = 0, last = 0;

	pthread_setname_np(pthread_self(), "writer");
	pthread_mutex_lock(&changer->mutex);
	for (;;) {
		struct job *jobs;

		while (!changer->requests && !changer->bulks && !changer->stopping)
			wait_for_jobs(changer, &idle);
		if (idle != IDLE_WAITS)
			last = 0;
		idle = IDLE_WAITS;
		wait_for_crowd(changer, last);
		/* Many who sign in at once must not keep a disable of a sync waiting for ever. */
		jobs = changer->bulks && passed == PASSED_MAX ? NULL
							      : take_requests(changer, &last);
		passed = jobs && changer->bulks ? passed + 1 : 0;
		if (jobs) {
			pthread_mutex_unlock(&changer->mutex);
			run_requests(changer, jobs);
			pthread_mutex_lock(&changer->mutex);
			continue;
		}
		jobs = dequeue(&changer->bulks, &changer->bulks_end);
		if (!jobs)
			break; /* stopping, and all is done */
		pthread_mutex_unlock(&changer->mutex);
		run_bulk(changer, jobs);
		pthread_mutex_lock(&changer->mutex);
	}
	pthread_mutex_unlock(&changer->mutex);
	return NULL;
}

int writer_start(struct changer *changer, struct err *err)
{
	int failed;

	changer->requests_end = &changer->requests;
	changer->bulks_end = &changer->bulks;
	changer->copier = copier_start(changer->path, err);
	if (!changer->copier)
		return -1;
	failed = pthread_create(&changer->thread, NULL, writer_main, changer);
	if (failed)
		return err_set_errno(err, ERR_UNAVAILABLE, failed,
				     "cannot start the writer thread");
	changer->started = true;
	return 0;
}

static void stop_thread(struct changer *changer)
{
	pthread_mutex_lock(&changer->mutex);
	changer->stopping = true;
	pthread_cond_broadcast(&changer->wake);
	pthread_mutex_unlock(&changer->mutex);
	pthread_join(changer->thread, NULL);
	changer->started = false;
}

void writer_stop(struct changer *changer)
{
	if (changer->started)
		stop_thread(changer);
	copier_stop(changer->copier);
	changer->copier = NULL;
}

static int run_and_wait(struct changer *changer, struct job ***end, job_run *run, void *context,
			bool redoable, struct err *err)
{
	struct job job = { .run = run, .context = context, .redoable = redoable };

	sem_init(&job.answered, 0, 0);
	pthread_mutex_lock(&changer->mutex);
	if (changer->stopping) {
		pthread_mutex_unlock(&changer->mutex);
		sem_destroy(&job.answered);
		return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
	}
	enqueue(end, &job);
	wake_writer(changer);
	pthread_mutex_unlock(&changer->mutex);
	while (sem_wait(&job.answered) < 0)
		;
	sem_destroy(&job.answered);
	if (job.result < 0 && err)
		*err = job.err;
	return job.result;
}

int writer_request(struct changer *changer, job_run *run, void *context, struct err *err)
{
	return run_and_wait(changer, &changer->requests_end, run, context, false, err);
}

int writer_bulk(struct changer *changer, job_run *run, void *context, struct err *err)
{
	return run_and_wait(changer, &changer->bulks_end, run, context, false, err);
}

int writer_bulk_redoable(struct changer *changer, job_run *run, void *context, struct err *err)
{
	return run_and_wait(changer, &changer->bulks_end, run, context, true, err);
}

void writer_submit(struct changer *changer, struct job *job)
{
	job->result = 0;
	err_clear(&job->err);
	pthread_mutex_lock(&changer->mutex);
	if (!changer->stopping) {
		enqueue(&changer->bulks_end, job);
		wake_writer(changer);
		pthread_mutex_unlock(&changer->mutex);
		return;
	}
	pthread_mutex_unlock(&changer->mutex);
	job->result = err_set(&job->err, ERR_UNAVAILABLE, "the daemon is stopping");
	job->finished(changer, job);
}
