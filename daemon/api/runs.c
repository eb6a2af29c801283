/*
 * Runs. Enters: work to be done in a thread. Leaves: progress and reports as
 * JSON, kept for a while. One lock for all: what it guards is small, and progress
 * is told now and then only. A report becomes JSON outside the lock, then is appended.
 */
#include <rolebridge/api/runs.h>

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/json.h>
#include <rolebridge/base/log.h>
#include <rolebridge/http/request.h>

#include "internal.h"

#define REPORTS_MAX ((size_t)48 * 1024 * 1024) /* below what one answer may hold */
#define DIAGNOSTICS_MAX ((size_t)4 * 1024 * 1024)

enum run_state { RUN_RUNNING, RUN_DONE, RUN_FAILED, RUN_CANCELLED };
static const char *const state_names[] = { "running", "done", "failed", "cancelled" };

struct run {
	struct runs *runs;
	struct run *next; /* older */
	pthread_t thread;
	char id[UUID_TEXT_SIZE];
	const char *kind;
	char *subject, *actor;
	run_work work;
	void *context;
	void (*finish)(void *context);
	atomic_bool cancelled;
	unsigned waiting; /* readers inside runs_json */
	enum run_state state;
	const char *phase;
	uint64_t done, total;
	int64_t started_s, finished_s;
	struct strbuf reports; /* JSON objects with commas between */
	struct strbuf diagnostics;
	struct strbuf result; /* a JSON object; empty: none */
	struct err err;
};

struct runs {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a run ended, or stopping */
	struct run *newest;
	unsigned active;
	bool stopping;
};

struct runs *runs_create(void)
{
	struct runs *runs = alloc_zeroed(1, sizeof(*runs));
	pthread_condattr_t attributes;

	if (!runs)
		return NULL;
	pthread_mutex_init(&runs->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&runs->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return runs;
}

static void run_free(struct run *run)
{
	strbuf_finish(&run->reports);
	strbuf_finish(&run->diagnostics);
	strbuf_finish(&run->result);
	free(run->subject);
	free(run->actor);
	free(run);
}

void runs_cancel(struct runs *runs)
{
	pthread_mutex_lock(&runs->lock);
	runs->stopping = true;
	for (struct run *run = runs->newest; run; run = run->next)
		run->cancelled = true;
	pthread_cond_broadcast(&runs->changed);
	pthread_mutex_unlock(&runs->lock);
}

void runs_destroy(struct runs *runs)
{
	if (!runs)
		return;
	runs_cancel(runs);
	while (runs->newest) {
		struct run *run = runs->newest;

		/* No lock: nothing is added any more, and readers were waited for by the server's end. */
		pthread_join(run->thread, NULL);
		runs->newest = run->next;
		run_free(run);
	}
	pthread_cond_destroy(&runs->changed);
	pthread_mutex_destroy(&runs->lock);
	free(runs);
}

/* Under the lock: forget the oldest finished ones past count or bytes. */
static void runs_prune(struct runs *runs)
{
	size_t kept = 0, bytes = 0;
	struct run **at = &runs->newest;

	while (*at) {
		struct run *run = *at;
		bool ended = run->state != RUN_RUNNING;

		if (ended) {
			kept++;
			bytes += run->reports.size + run->diagnostics.size + run->result.size;
		}
		/* The newest finished one stays whatever its size: somebody waits for it. */
		if (ended && run->waiting == 0 && kept > 1 &&
		    (kept > RUNS_KEPT || bytes > RUNS_KEPT_BYTES)) {
			*at = run->next;
			pthread_join(run->thread, NULL);
			run_free(run);
			continue;
		}
		at = &run->next;
	}
}

static void *run_main(void *argument)
{
	struct run *run = argument;
	struct runs *runs = run->runs;
	struct err err = { 0 };
	int result;

	pthread_setname_np(pthread_self(), run->kind);
	result = run->work(run, run->context, &err);
	if (run->finish)
		run->finish(run->context);
	if (result < 0)
		log_warning("run.failed", F_STR("run", run->id), F_STR("kind", run->kind),
			    F_STR("subject", run->subject), F_STR("actor", run->actor),
			    F_ERR(&err));
	pthread_mutex_lock(&runs->lock);
	run->err = err;
	run->state = result == 0		 ? RUN_DONE
		     : err.code == ERR_CANCELLED ? RUN_CANCELLED
						 : RUN_FAILED;
	run->finished_s = clock_now_s();
	runs->active--;
	pthread_cond_broadcast(&runs->changed);
	pthread_mutex_unlock(&runs->lock);
	/* The work of many people is freed in pieces, which the heap would keep. */
	malloc_trim(0);
	return NULL;
}

/* Under the lock. */
static int run_launch(struct runs *runs, struct run *run, struct err *err)
{
	int failed;

	if (runs->stopping)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
	if (runs->active >= RUNS_ACTIVE_MAX)
		return err_refuse(err, ERR_UNAVAILABLE, "busy", "%u runs are under way already",
				  runs->active);
	runs_prune(runs);
	failed = pthread_create(&run->thread, NULL, run_main, run);
	if (failed)
		return err_set_errno(err, ERR_UNAVAILABLE, failed, "cannot start a thread");
	runs->active++;
	run->next = runs->newest;
	runs->newest = run;
	return 0;
}

static struct run *run_create(const char *kind, const char *subject, const char *actor)
{
	struct run *run = alloc_zeroed(1, sizeof(*run));
	struct uuid id = uuid_create(clock_now_s() * 1000);

	if (!run)
		return NULL;
	run->subject = strdup(subject);
	run->actor = strdup(actor);
	if (!run->subject || !run->actor) {
		run_free(run);
		return NULL;
	}
	uuid_format(&id, run->id);
	run->kind = kind;
	run->phase = "";
	run->reports = STRBUF(REPORTS_MAX);
	run->diagnostics = STRBUF(DIAGNOSTICS_MAX);
	run->started_s = clock_now_s();
	return run;
}

int runs_start(struct runs *runs, const char *kind, const char *subject, const char *actor,
	       run_work work, void *context, void (*finish)(void *context),
	       char ret_id[static UUID_TEXT_SIZE], struct err *err)
{
	struct run *run = run_create(kind, subject, actor);
	char id[UUID_TEXT_SIZE];
	int result;

	if (run) {
		run->runs = runs;
		run->work = work;
		run->context = context;
		run->finish = finish;
		memcpy(id, run->id, sizeof(id));
		pthread_mutex_lock(&runs->lock);
		result = run_launch(runs, run, err);
		pthread_mutex_unlock(&runs->lock);
		if (result == 0) {
			memcpy(ret_id, id, sizeof(id));
			return 0;
		}
		run_free(run);
	} else {
		err_set(err, ERR_MEMORY, "out of memory");
	}
	if (finish)
		finish(context);
	return -1;
}

const char *run_id(const struct run *run)
{
	return run->id;
}

const char *run_actor(const struct run *run)
{
	return run->actor;
}

bool run_cancelled(const struct run *run)
{
	return run->cancelled;
}

void run_progress(struct run *run, const char *phase, uint64_t done, uint64_t total)
{
	pthread_mutex_lock(&run->runs->lock);
	run->phase = phase;
	run->done = done;
	run->total = total;
	pthread_mutex_unlock(&run->runs->lock);
}

static void applying(void *context, uint64_t done, uint64_t total)
{
	run_progress(context, "applying", done, total);
}

void run_watch_applying(struct run *run, struct run_report *report)
{
	report->progress = applying;
	report->progress_context = run;
}

int run_add_report(struct run *run, const char *subject, const struct run_report *report,
		   struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(REPORTS_MAX);
	bool failed;

	run_report_json(subject, report, &text);
	if (strbuf_failed(&text))
		return err_set(err, ERR_TOO_LARGE, "the report of '%s' is too long", subject);
	pthread_mutex_lock(&run->runs->lock);
	if (run->reports.size > 0)
		strbuf_putc(&run->reports, ',');
	strbuf_append(&run->reports, text.data, text.size);
	failed = strbuf_failed(&run->reports);
	pthread_mutex_unlock(&run->runs->lock);
	return failed ? err_set(err, ERR_TOO_LARGE, "the reports are too long") : 0;
}

void run_set_diagnostics(struct run *run, const char *json_array)
{
	pthread_mutex_lock(&run->runs->lock);
	strbuf_clear(&run->diagnostics);
	strbuf_puts(&run->diagnostics, json_array);
	pthread_mutex_unlock(&run->runs->lock);
}

int run_set_result(struct run *run, struct strbuf *json, struct err *err)
{
	struct strbuf before;

	if (strbuf_failed(json))
		return err_set(err, ERR_TOO_LARGE, "the result is too long");
	pthread_mutex_lock(&run->runs->lock);
	before = run->result;
	run->result = *json;
	pthread_mutex_unlock(&run->runs->lock);
	*json = (struct strbuf){ .max = json->max };
	strbuf_finish(&before);
	return 0;
}

/* ------------------------------------------------------------------- JSON -- */

static void run_members(struct json *json, const struct run *run)
{
	json_string(json, "id", run->id);
	json_string(json, "kind", run->kind);
	json_string(json, "subject", run->subject);
	json_string(json, "actor", run->actor);
	json_string(json, "state", state_names[run->state]);
	json_string(json, "phase", run->phase);
	json_int(json, "done", (int64_t)run->done);
	json_int(json, "total", (int64_t)run->total);
	json_time(json, "started", run->started_s);
	json_time(json, "finished", run->finished_s);
	if (run->state == RUN_RUNNING || run->state == RUN_DONE)
		return;
	json_object_key(json, "error");
	json_string(json, "code", http_error_code(&run->err));
	json_string(json, "message", run->err.text);
	json_end(json);
}

static void run_json(const struct run *run, struct strbuf *out)
{
	struct json json = JSON(out);

	json_object(&json);
	run_members(&json, run);
	if (run->diagnostics.size > 0 && !strbuf_failed(&run->diagnostics))
		json_raw(&json, "diagnostics", strbuf_text(&run->diagnostics));
	if (run->result.size > 0)
		json_raw(&json, "result", strbuf_text(&run->result));
	/* A report that did not fit failed the run; what there is, is shown. */
	json_array_key(&json, "reports");
	if (run->reports.size > 0 && !strbuf_failed(&run->reports))
		json_raw(&json, NULL, strbuf_text(&run->reports));
	json_end(&json);
	json_end(&json);
}

static struct run *run_find(const struct runs *runs, const char *id)
{
	for (struct run *run = runs->newest; run; run = run->next) {
		if (strcmp(run->id, id) == 0)
			return run;
	}
	return NULL;
}

/* Under the lock. */
static void run_wait(struct runs *runs, struct run *run, int64_t wait_ms)
{
	int64_t until_us = clock_monotonic_us() + wait_ms * 1000;
	struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
				  .tv_nsec = (long)(until_us % 1000000) * 1000 };

	run->waiting++;
	while (wait_ms > 0 && run->state == RUN_RUNNING && !runs->stopping) {
		if (pthread_cond_timedwait(&runs->changed, &runs->lock, &until) != 0)
			break;
	}
	run->waiting--;
}

int runs_json(struct runs *runs, const char *id, int64_t wait_ms, struct strbuf *out,
	      struct err *err)
{
	struct run *run;

	pthread_mutex_lock(&runs->lock);
	run = run_find(runs, id);
	if (run) {
		run_wait(runs, run, wait_ms);
		run_json(run, out);
	}
	pthread_mutex_unlock(&runs->lock);
	return run ? 0 : err_set(err, ERR_NOT_FOUND, "there is no run '%s'", id);
}

bool runs_is_of(struct runs *runs, const char *id, const char *actor)
{
	const struct run *run;
	bool is;

	pthread_mutex_lock(&runs->lock);
	run = run_find(runs, id);
	is = run && strcmp(run->actor, actor) == 0;
	pthread_mutex_unlock(&runs->lock);
	return is;
}

bool runs_is_kind(struct runs *runs, const char *id, const char *kind)
{
	const struct run *run;
	bool is;

	pthread_mutex_lock(&runs->lock);
	run = run_find(runs, id);
	is = run && strcmp(run->kind, kind) == 0;
	pthread_mutex_unlock(&runs->lock);
	return is;
}

void runs_list_json(struct runs *runs, struct strbuf *out)
{
	struct json json = JSON(out);

	json_array(&json);
	pthread_mutex_lock(&runs->lock);
	for (const struct run *run = runs->newest; run; run = run->next) {
		json_object(&json);
		run_members(&json, run);
		json_end(&json);
	}
	pthread_mutex_unlock(&runs->lock);
	json_end(&json);
}

/* ---------------------------------------------------------------- reports -- */

void report_change_json(struct json *json, const struct report_change *change)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&change->uuid, uuid);
	json_object(json);
	json_string(json, "user", change->username);
	json_string(json, "id", uuid);
	json_string(json, "display_name", change->display_name);
	json_string(json, "what", change->what);
	json_string(json, "kind", change->kind);
	json_string(json, "before", change->before);
	json_string(json, "after", change->after);
	json_string(json, "why", change->why);
	json_bool(json, "held", change->held);
	json_end(json);
}

static void report_holds_json(struct json *json, const struct run_report *report)
{
	json_array_key(json, "holds");
	for (size_t i = 0; i < report->hold_count; i++) {
		json_object(json);
		json_string(json, "kind", report->holds[i].kind);
		json_string(json, "subject", report->holds[i].subject);
		json_string(json, "text", report->holds[i].text);
		json_int(json, "count", report->holds[i].count);
		json_end(json);
	}
	json_end(json);
}

void run_report_json(const char *subject, const struct run_report *report, struct strbuf *out)
{
	const struct {
		const char *name;
		int64_t value;
	} counts[] = {
		{ "entries", report->entries },
		{ "unchanged", report->unchanged },
		{ "quarantined", report->quarantined },
		{ "created", report->created },
		{ "updated", report->updated },
		{ "disabled", report->disabled },
		{ "enabled", report->enabled },
		{ "granted", report->granted },
		{ "revoked", report->revoked },
		{ "missing", report->missing },
		{ "held", report->held },
		{ "changes_total", report->changes_total },
		{ "duration_ms", report->duration_ms },
	};
	struct json json = JSON(out);

	json_object(&json);
	json_string(&json, "subject", subject);
	json_bool(&json, "dry_run", report->dry_run);
	json_bool(&json, "complete", report->complete);
	json_string(&json, "problem", report->problem ? report->problem : "");
	json_string(&json, "server", report->server ? report->server : "");
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		json_int(&json, counts[i].name, counts[i].value);
	json_string(&json, "plan", report->plan_id ? report->plan_id : "");
	json_time(&json, "started", report->started_s);
	report_holds_json(&json, report);
	json_array_key(&json, "changes");
	for (size_t i = 0; i < report->change_count; i++)
		report_change_json(&json, &report->changes[i]);
	json_end(&json);
	json_end(&json);
}
