/*
 * A list of sources with the time of their next read, and one thread that
 * waits for the earliest. The clock is monotonic, so that a step of the wall
 * clock neither floods the directory nor silences the reads.
 *
 * Accounts that expire by what their source said are another thread's, on the wall clock: they end to the
 * second, and the other one may wait for a plan that is being applied.
 */
#include "schedule.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/backoff.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/activity.h>
#include <rolebridge/change/login.h>
#include <rolebridge/change/persona.h>
#include <rolebridge/change/restore.h>
#include <rolebridge/identity/settings.h>

#include "follow.h"
#include "sources.h"

#define US_PER_S 1000000
#define FIRST_RETRY_S 15
#define STALE_CHECK_S 3600
#define LOOK_S 60
/* The next time at which an account expires is asked for this often: it follows each commit. */
#define DUE_US US_PER_S
#define SAY_AGAIN_US (60 * (int64_t)US_PER_S)

struct entry {
	char *name;
	int64_t interval_s;
	int64_t next_us;   /* monotonic; 0: never by itself */
	unsigned failures; /* in a row */
	bool running;
};

struct schedule {
	struct changer *changer;
	struct runs *runs;
	schedule_sync sync;
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_cond_t due_wake; /* stop */
	pthread_t thread, due_thread;
	bool started, due_started, stop;
	int64_t said_us;  /* why nobody could be disabled; the due thread's */
	int64_t look_us;  /* next look at the clock and at what expires */
	int64_t stale_us; /* next look for people who have not signed in for long */
	struct entry entries[SOURCES_MAX];
	size_t count;
};

static struct entry *find_entry(struct schedule *schedule, const char *name)
{
	for (size_t i = 0; i < schedule->count; i++)
		if (strcmp(schedule->entries[i].name, name) == 0)
			return &schedule->entries[i];
	return NULL;
}

/* Up to a tenth later, so that many daemons do not ask one directory at the same moment. */
static int64_t with_jitter(int64_t seconds)
{
	unsigned short state[3] = { (unsigned short)clock_monotonic_us(), 0x330e,
				    (unsigned short)(clock_monotonic_us() >> 16) };

	return seconds * US_PER_S + (int64_t)(erand48(state) * (double)(seconds * US_PER_S) / 10);
}

/* Doubles from FIRST_RETRY_S; never later than the ordinary interval. */
static int64_t delay_us(const struct entry *entry)
{
	return with_jitter(entry->failures == 0 ? entry->interval_s
						: backoff_most(entry->failures, FIRST_RETRY_S,
							       entry->interval_s));
}

/* With the lock held: entries as the configuration in force has them; known ones keep their times. */
static void list_sources(struct schedule *schedule, int64_t first_us)
{
	struct setup *setup = changer_setup(schedule->changer);
	struct entry old[SOURCES_MAX];
	size_t old_count = schedule->count;

	memcpy(old, schedule->entries, sizeof(old));
	schedule->count = 0;
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct source_settings *source = setup->sources[i];
		struct entry *entry = &schedule->entries[schedule->count];

		/* What is followed decides by itself when it is read. */
		if (!source->enabled || !source_is_read(source) || source_is_followed(source))
			continue;
		*entry = (struct entry){ .name = strdup(source->name.text) };
		if (!entry->name)
			continue;
		schedule->count++;
		for (size_t j = 0; j < old_count; j++) {
			if (strcmp(old[j].name, entry->name) != 0)
				continue;
			entry->failures = old[j].failures;
			entry->running = old[j].running;
		}
		entry->interval_s = source->interval_s;
		entry->next_us = source->interval_s > 0 ? first_us : 0;
	}
	for (size_t j = 0; j < old_count; j++)
		free(old[j].name);
	setup_release(setup);
}

struct schedule *schedule_create(struct changer *changer, struct runs *runs, schedule_sync sync,
				 void *context)
{
	struct schedule *schedule = calloc(1, sizeof(*schedule));
	pthread_condattr_t attributes;

	if (!schedule)
		return NULL;
	schedule->changer = changer;
	schedule->runs = runs;
	schedule->sync = sync;
	schedule->context = context;
	pthread_mutex_init(&schedule->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&schedule->wake, &attributes);
	pthread_cond_init(&schedule->due_wake, &attributes);
	pthread_condattr_destroy(&attributes);
	list_sources(schedule, clock_monotonic_us());
	return schedule;
}

/* --- one scheduled read as a run --- */

struct job {
	struct schedule *schedule;
	char *source;
};

static int job_work(struct run *run, void *context, struct err *err)
{
	struct job *job = context;
	const struct sync_request request = { .source = job->source };
	char name[sizeof("sync:") + 64];
	struct actor actor = { .name = name, .request = run_id(run) };
	struct strbuf text = STRBUF(sizeof(name) - 1);

	strbuf_printf(&text, "sync:%s", job->source);
	memcpy(name, strbuf_text(&text), text.size + 1);
	strbuf_finish(&text);
	return job->schedule->sync(job->schedule->context, run, &request, &actor, err);
}

static void read_ended(struct schedule *schedule, const char *source)
{
	struct entry *entry;

	pthread_mutex_lock(&schedule->lock);
	entry = find_entry(schedule, source);
	if (entry)
		entry->running = false;
	pthread_mutex_unlock(&schedule->lock);
}

static void job_finish(void *context)
{
	struct job *job = context;

	read_ended(job->schedule, job->source);
	free(job->source);
	free(job);
}

/* Called without the lock. */
static void start_read(struct schedule *schedule, const char *source)
{
	struct job *job = calloc(1, sizeof(*job));
	char id[UUID_TEXT_SIZE];
	struct err err = { 0 };

	if (!job || !(job->source = strdup(source))) {
		free(job);
		read_ended(schedule, source);
		log_error("schedule.failed", F_STR("source", source),
			  F_STR("error", "out of memory"));
		return;
	}
	job->schedule = schedule;
	if (runs_start(schedule->runs, "sync", source, "timer", job_work, job, job_finish, id,
		       &err) < 0)
		log_error("schedule.failed", F_STR("source", source), F_ERR(&err));
}

static void look_at_time(struct schedule *schedule)
{
	struct err err = { 0 };

	if (changer_watch_clock(schedule->changer, &err) < 0)
		log_error("clock.failed", F_ERR(&err));
	if (change_expire(schedule->changer, clock_now_s(), &err) < 0)
		log_error("expire.failed", F_ERR(&err));
	err_clear(&err);
	if (change_activity_prune(schedule->changer, clock_now_s(), &err) < 0)
		log_error("activity.failed", F_ERR(&err));
	err_clear(&err);
	if (change_personas_upkeep(schedule->changer, &err) < 0)
		log_error("personas.failed", F_ERR(&err));
	err_clear(&err);
	if (change_restore_look(schedule->changer, &err) < 0)
		log_error("restore.failed", F_ERR(&err));
	if (clock_monotonic_us() < schedule->stale_us)
		return;
	schedule->stale_us = clock_monotonic_us() + (int64_t)STALE_CHECK_S * US_PER_S;
	err_clear(&err);
	if (change_stale(schedule->changer, clock_now_s(), &err) < 0)
		log_error("stale.failed", F_ERR(&err));
}

/* With the lock held: the next thing due, or NULL and the time until it is. */
static char *take_due(struct schedule *schedule, int64_t now_us, int64_t *ret_wake_us)
{
	int64_t wake_us = schedule->look_us;

	for (size_t i = 0; i < schedule->count; i++) {
		struct entry *entry = &schedule->entries[i];

		if (entry->next_us == 0 || entry->running)
			continue;
		if (entry->next_us <= now_us) {
			char *name = strdup(entry->name);

			entry->next_us = now_us + delay_us(entry);
			entry->running = name != NULL;
			if (name)
				return name;
		}
		if (entry->next_us < wake_us)
			wake_us = entry->next_us;
	}
	*ret_wake_us = wake_us;
	return NULL;
}

static void wait_until(struct schedule *schedule, pthread_cond_t *wake, int64_t wake_us)
{
	struct timespec until = { .tv_sec = wake_us / US_PER_S,
				  .tv_nsec = wake_us % US_PER_S * 1000 };

	pthread_cond_timedwait(wake, &schedule->lock, &until);
}

static void *schedule_main(void *context)
{
	struct schedule *schedule = context;
	int64_t wake_us = 0;

	pthread_setname_np(pthread_self(), "schedule");
	pthread_mutex_lock(&schedule->lock);
	while (!schedule->stop) {
		int64_t now_us = clock_monotonic_us();
		bool look = schedule->look_us <= now_us;
		char *due;

		if (look)
			schedule->look_us = now_us + (int64_t)LOOK_S * US_PER_S;
		due = take_due(schedule, now_us, &wake_us);
		if (!look && !due) {
			wait_until(schedule, &schedule->wake, wake_us);
			continue;
		}
		pthread_mutex_unlock(&schedule->lock);
		if (look)
			look_at_time(schedule);
		if (due)
			start_read(schedule, due);
		free(due);
		pthread_mutex_lock(&schedule->lock);
	}
	pthread_mutex_unlock(&schedule->lock);
	return NULL;
}

/* --- accounts that expire --- */

static void look_at_due(struct schedule *schedule)
{
	struct err err = { 0 };

	if (change_disable_due(schedule->changer, clock_now_s(), &err) == 0)
		return;
	if (schedule->said_us != 0 && clock_monotonic_us() - schedule->said_us < SAY_AGAIN_US)
		return;
	schedule->said_us = clock_monotonic_us();
	log_error("expire.failed", F_ERR(&err));
}

/* Until the time comes, but not longer than DUE_US: an earlier one may be told, or the clock be set. */
static int64_t due_pause_us(int64_t next_s)
{
	struct timespec now;
	int64_t left_us;

	clock_gettime(CLOCK_REALTIME, &now);
	left_us = (next_s - now.tv_sec) * US_PER_S - now.tv_nsec / 1000;
	return next_s != 0 && left_us > 0 && left_us < DUE_US ? left_us : DUE_US;
}

static void *due_main(void *context)
{
	struct schedule *schedule = context;

	pthread_setname_np(pthread_self(), "due");
	pthread_mutex_lock(&schedule->lock);
	while (!schedule->stop) {
		int64_t next_s = change_next_due(schedule->changer);
		int64_t now_us = clock_monotonic_us();

		if (next_s != 0 && next_s <= clock_now_s()) {
			pthread_mutex_unlock(&schedule->lock);
			look_at_due(schedule);
			pthread_mutex_lock(&schedule->lock);
			next_s = change_next_due(schedule->changer);
		}
		if (!schedule->stop)
			wait_until(schedule, &schedule->due_wake, now_us + due_pause_us(next_s));
	}
	pthread_mutex_unlock(&schedule->lock);
	return NULL;
}

/* --- begin and end --- */

int schedule_start(struct schedule *schedule, struct err *err)
{
	int problem = pthread_create(&schedule->thread, NULL, schedule_main, schedule);

	schedule->started = problem == 0;
	if (problem == 0)
		problem = pthread_create(&schedule->due_thread, NULL, due_main, schedule);
	schedule->due_started = problem == 0;
	return problem == 0 ? 0 : err_set_errno(err, ERR_IO, problem, "cannot start the schedule");
}

void schedule_stop(struct schedule *schedule)
{
	if (!schedule)
		return;
	pthread_mutex_lock(&schedule->lock);
	schedule->stop = true;
	pthread_cond_signal(&schedule->wake);
	pthread_cond_signal(&schedule->due_wake);
	pthread_mutex_unlock(&schedule->lock);
	if (schedule->started)
		pthread_join(schedule->thread, NULL);
	if (schedule->due_started)
		pthread_join(schedule->due_thread, NULL);
	schedule->started = schedule->due_started = false;
}

void schedule_destroy(struct schedule *schedule)
{
	if (!schedule)
		return;
	for (size_t i = 0; i < schedule->count; i++)
		free(schedule->entries[i].name);
	pthread_cond_destroy(&schedule->due_wake);
	pthread_cond_destroy(&schedule->wake);
	pthread_mutex_destroy(&schedule->lock);
	free(schedule);
}

void schedule_note(struct schedule *schedule, const char *source, bool complete)
{
	struct entry *entry;

	pthread_mutex_lock(&schedule->lock);
	entry = find_entry(schedule, source);
	if (entry) {
		entry->failures = complete ? 0 : entry->failures + 1;
		if (entry->next_us != 0)
			entry->next_us = clock_monotonic_us() + delay_us(entry);
	}
	pthread_cond_signal(&schedule->wake);
	pthread_mutex_unlock(&schedule->lock);
}

void schedule_reload(struct schedule *schedule)
{
	pthread_mutex_lock(&schedule->lock);
	list_sources(schedule, clock_monotonic_us());
	schedule->look_us = 0; /* personas that are new are noted */
	pthread_cond_signal(&schedule->wake);
	pthread_mutex_unlock(&schedule->lock);
}

void schedule_source_json(struct schedule *schedule, const char *source, struct json *json)
{
	const struct entry *entry;
	int64_t now_us = clock_monotonic_us();

	pthread_mutex_lock(&schedule->lock);
	entry = find_entry(schedule, source);
	if (entry) {
		json_int(json, "failures", entry->failures);
		json_time(json, "next",
			  entry->next_us == 0
				  ? 0
				  : clock_now_s() + (entry->next_us - now_us) / US_PER_S);
	}
	pthread_mutex_unlock(&schedule->lock);
}
