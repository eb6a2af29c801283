/*
 * Runs: long work (sync, plan, apply, reload, release) in a thread of its own,
 * with progress that can be polled and a report that can be fetched afterwards. The
 * timer's runs go here too, so that people see them.
 *
 * At most RUNS_ACTIVE_MAX at once (ERR_UNAVAILABLE "busy"); the last RUNS_KEPT finished ones stay readable,
 * within RUNS_KEPT_BYTES of reports.
 */
#ifndef ROLEBRIDGE_API_RUNS_H
#define ROLEBRIDGE_API_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/change/sync.h>

#define RUNS_ACTIVE_MAX 16
#define RUNS_KEPT 50
#define RUNS_KEPT_BYTES ((size_t)128 * 1024 * 1024)

struct run;
struct runs;

struct runs *runs_create(void);
/* Cancels all, waits for them to end. NULL is fine. */
void runs_destroy(struct runs *runs);
/* Ask all to end (shutdown); new ones are refused from now on. */
void runs_cancel(struct runs *runs);

/* The work. run's functions below may be called from it and its helpers, in any thread. */
typedef int (*run_work)(struct run *run, void *context, struct err *err);

/*
 * kind: "sync", "plan", "apply", "reload", "release", "test" (static). subject: source, plan id; "" for all.
 * context is given to finish (may be NULL) when the run ended, or at once on failure to start.
 */
int runs_start(struct runs *runs, const char *kind, const char *subject, const char *actor,
	       run_work work, void *context, void (*finish)(void *context),
	       char ret_id[static UUID_TEXT_SIZE], struct err *err);

/* --- called by the work --- */
const char *run_id(const struct run *run);
const char *run_actor(const struct run *run);
bool run_cancelled(const struct run *run);
/* total 0: not known. phase: "reading", "applying" … static. */
void run_progress(struct run *run, const char *phase, uint64_t done, uint64_t total);
/* Have the work that fills this report tell the run how far it has applied. */
void run_watch_applying(struct run *run, struct run_report *report);
/* One finished report (subject: source name); copied. Its arena stays the caller's. */
int run_add_report(struct run *run, const char *subject, const struct run_report *report,
		   struct err *err);
/* Findings about a configuration (diagnostics_json's array text); copied. */
void run_set_diagnostics(struct run *run, const char *json_array);
/* What the work leaves besides: a JSON object, shown as "result". Takes the text over. */
int run_set_result(struct run *run, struct strbuf *json, struct err *err);

/* --- for the API --- */
/*
 * Append the run as JSON. wait_ms > 0: first wait that long for it to end. ERR_NOT_FOUND.
 */
int runs_json(struct runs *runs, const char *id, int64_t wait_ms, struct strbuf *out,
	      struct err *err);
/* Is there such a run, begun by this actor? */
bool runs_is_of(struct runs *runs, const char *id, const char *actor);
/* Is it of this kind? */
bool runs_is_kind(struct runs *runs, const char *id, const char *kind);
/* All that are kept, newest first, without reports. */
void runs_list_json(struct runs *runs, struct strbuf *out);

/* A report as the API shows it: an object appended to out. */
void run_report_json(const char *subject, const struct run_report *report, struct strbuf *out);

#endif
