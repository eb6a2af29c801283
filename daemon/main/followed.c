/*
 * One followed source (see followed.h). Enters: what the source tells, in its thread; requests, in
 * theirs. Leaves: runs of change/, log lines, an alarm when no server answers for long. A run that fails
 * is told to those who wait and makes the follower read anew.
 *
 * `lock` guards requests and the view, for moments. A request stays its waiting thread's: it is
 * on the list only while that thread waits.
 */
#include "followed.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/ldap.h>

#include "sources.h"
#include "wanted.h"

#define WANTED_MAX_BYTES (256u * 1024 * 1024)
/* After a failure of our own side. */
#define PAUSE_MS 10000
#define SLOT_MS 20
#define LOOK_MS 100
/* So long one waits for a person from a source that is not connected. */
#define PERSON_S 60

struct followed {
	struct changer *changer;
	struct setup *setup; /* owns source */
	const struct source_settings *source;
	struct hash256 id;
	struct arena *arena;
	struct wanted_attribute *attributes;
	struct wanted_group *groups;
	size_t attribute_count, group_count;
	char actor_name[sizeof("sync:") + 64];

	pthread_t thread;
	int wake_fd;
	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a request is done, or stop */
	struct follow_request *requests;
	struct follow_view view;
	int64_t begin_s; /* when following began */

	/* The thread's own. */
	struct sync *sync;
	bool full;
	bool fetched;	/* this run has the person who was asked for */
	bool alarm;	/* raised */
	bool met;	/* has been connected */
	char key[1025]; /* of the wish told last */
	/* Whose groups changed, and who is not known well enough for groups alone. */
	struct wanted_people wanted;
	bool wanted_all; /* too many of them: everybody */
	char request_id[UUID_TEXT_SIZE];
};

/* --- requests, with the lock --- */

static void answer(struct follow_request *request, int result, const struct err *err)
{
	request->done = true;
	request->result = result;
	if (result < 0 && err)
		request->err = *err;
}

typedef bool (*request_filter)(const struct follow_request *request);

static bool waits_for_all(const struct follow_request *request)
{
	return request->asked && !request->done && !request->key;
}

static bool waits_for_person(const struct follow_request *request)
{
	return request->asked && !request->done && request->key;
}

static bool waits(const struct follow_request *request)
{
	return !request->done;
}

/* Those waiting get the report, or the failure. */
static void answer_all(struct followed *followed, request_filter filter,
		       const struct run_report *report, int result, const struct err *err)
{
	const char *name = followed->source->name.text;

	pthread_mutex_lock(&followed->lock);
	for (struct follow_request *r = followed->requests; r; r = r->next) {
		struct err own = { 0 };

		if (!filter(r))
			continue;
		if (result == 0 && run_add_report(r->run, name, report, &own) < 0) {
			answer(r, -1, &own);
			continue;
		}
		r->incomplete = report && !report->complete;
		answer(r, result, err);
	}
	pthread_cond_broadcast(&followed->changed);
	pthread_mutex_unlock(&followed->lock);
}

static void tell_progress(struct followed *followed, const char *phase, uint64_t done,
			  uint64_t total)
{
	pthread_mutex_lock(&followed->lock);
	for (struct follow_request *r = followed->requests; r; r = r->next)
		if (waits_for_all(r))
			run_progress(r->run, phase, done, total);
	pthread_mutex_unlock(&followed->lock);
}

/* --- the intake: runs --- */

static bool is_cancelled(void *context)
{
	struct followed *followed = context;

	return atomic_load(&followed->stop);
}

/* With a run's id when somebody asked for it. */
static struct actor actor_of(struct followed *followed, bool full)
{
	struct actor actor = { .name = followed->actor_name, .request = "" };

	followed->request_id[0] = '\0';
	pthread_mutex_lock(&followed->lock);
	for (struct follow_request *r = followed->requests; r; r = r->next)
		if (full ? waits_for_all(r) : waits_for_person(r))
			memcpy(followed->request_id, run_id(r->run), UUID_TEXT_SIZE);
	pthread_mutex_unlock(&followed->lock);
	actor.request = followed->request_id;
	return actor;
}

static void wait_ms(struct followed *followed, int64_t milliseconds)
{
	int64_t until_us = clock_monotonic_us() + milliseconds * 1000;
	struct timespec until = { .tv_sec = until_us / 1000000,
				  .tv_nsec = until_us % 1000000 * 1000 };

	pthread_mutex_lock(&followed->lock);
	while (!atomic_load(&followed->stop) && clock_monotonic_us() < until_us)
		if (pthread_cond_timedwait(&followed->changed, &followed->lock, &until) ==
		    ETIMEDOUT)
			break;
	pthread_mutex_unlock(&followed->lock);
}

static int feed_begin(void *context, bool full, struct err *err)
{
	struct followed *followed = context;
	const struct actor actor = actor_of(followed, full);
	const char *name = followed->source->name.text;

	/* A read from before it was followed may have the source: what changed is not lost by waiting. */
	for (;;) {
		followed->sync =
			full ? sync_begin(followed->changer, NULL, name, &actor, false, err)
			     : sync_begin_changes(followed->changer, name, &actor, err);
		if (followed->sync)
			break;
		if (!err->reason || strcmp(err->reason, "sync-running") != 0 ||
		    is_cancelled(followed))
			break;
		err_clear(err);
		wait_ms(followed, SLOT_MS);
	}
	if (!followed->sync) {
		if (is_cancelled(followed))
			return err_set(err, ERR_CANCELLED, "following '%s' ended", name);
		answer_all(followed, full ? waits_for_all : waits_for_person, NULL, -1, err);
		return -1;
	}
	followed->full = full;
	followed->fetched = false;
	return 0;
}

static void feed_fetched(void *context)
{
	struct followed *followed = context;

	followed->fetched = true;
}

static int feed_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct followed *followed = context;
	const char *key;
	size_t key_size;

	if (followed->wanted.count > 0 && record_key(record, size, &key, &key_size, NULL) == 0)
		wanted_told(&followed->wanted, key, key_size);
	return sync_identity(followed->sync, record, size, err);
}

static int feed_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct followed *followed = context;

	wanted_told(&followed->wanted, entry->key, strlen(entry->key));
	return sync_quarantine(followed->sync, entry, err);
}

static int feed_group(void *context, uint32_t group_id, bool found, uint64_t members,
		      struct err *err)
{
	struct followed *followed = context;

	return sync_group(followed->sync, group_id, found, members, err);
}

static int feed_groups(void *context, const char *key, size_t key_size, const uint32_t *ids,
		       size_t count, bool complete, struct err *err)
{
	struct followed *followed = context;

	if (sync_groups(followed->sync, key, key_size, ids, count, complete, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return -1;
	/* Nobody's user so far, or in quarantine here: with other groups it may be one. */
	err_clear(err);
	if (!followed->wanted_all && wanted_add(&followed->wanted, key, key_size) < 0)
		followed->wanted_all = true;
	return 0;
}

static int feed_gone(void *context, const char *key, size_t key_size, struct err *err)
{
	struct followed *followed = context;

	wanted_told(&followed->wanted, key, key_size);
	return sync_gone(followed->sync, key, key_size, err);
}

static void log_changes(const struct followed *followed, const struct run_report *report)
{
	log_debug("follow.changes", F_STR("source", followed->source->name.text),
		  F_INT("entries", report->entries), F_INT("created", report->created),
		  F_INT("updated", report->updated), F_INT("disabled", report->disabled),
		  F_INT("granted", report->granted), F_INT("revoked", report->revoked),
		  F_INT("held", report->held), F_INT("ms", report->duration_ms));
}

static void applying(void *context, uint64_t done, uint64_t total)
{
	tell_progress(context, "applying", done, total);
}

static int finish_sync(struct followed *followed, const struct read_result *result,
		       struct run_report *report, struct err *err)
{
	struct sync *sync = followed->sync;

	followed->sync = NULL;
	report->progress = applying;
	report->progress_context = followed;
	if (!result)
		return sync_finish(sync, true, "", followed->view.server, report, err);
	tell_progress(followed, "applying", result->entries, result->entries);
	return sync_finish(sync, result->complete, result->complete ? "" : result->detail,
			   result->server, report, err);
}

static void note_read(struct followed *followed, bool whole)
{
	pthread_mutex_lock(&followed->lock);
	followed->view.failures = whole ? 0 : followed->view.failures + 1;
	pthread_mutex_unlock(&followed->lock);
}

/* A read of which we do not believe that it was whole must not be followed: nobody would read again for a day. */
static int judge_read(const struct read_result *result, const struct run_report *report,
		      struct err *err)
{
	return result->complete && !report->complete
		       ? err_set(err, ERR_CONFLICT, "%s", report->problem)
		       : 0;
}

static int feed_end(void *context, const struct read_result *result, struct err *err)
{
	struct followed *followed = context;
	const char *name = followed->source->name.text;
	struct run_report report;
	int outcome;

	run_report_init(&report);
	outcome = finish_sync(followed, result, &report, err);
	if (outcome < 0)
		log_error("sync.failed", F_STR("source", name), F_ERR(err));
	else if (result)
		source_log_run(name, &report);
	else
		log_changes(followed, &report);
	if (result)
		note_read(followed, outcome == 0 && report.complete);
	if (followed->full || followed->fetched || outcome < 0)
		answer_all(followed, followed->full ? waits_for_all : waits_for_person,
			   outcome == 0 ? &report : NULL, outcome, err);
	if (outcome == 0 && result)
		outcome = judge_read(result, &report, err);
	run_report_finish(&report);
	return outcome;
}

/* While another plan is being applied the directory is listened to; who is disabled is out at once. */
static int feed_ready(void *context, struct err *err)
{
	struct followed *followed = context;
	bool is_free;

	if (sync_is_free(followed->sync, &is_free, err) < 0)
		return -1;
	return is_free;
}

static void feed_abort(void *context)
{
	struct followed *followed = context;

	sync_abort(followed->sync);
	followed->sync = NULL;
}

static void feed_progress(void *context, uint64_t read, uint64_t total)
{
	tell_progress(context, "reading", read, total);
}

/* --- the intake: state --- */

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

static void keep_view(struct followed *followed, const struct follow_state *state)
{
	struct follow_view *view = &followed->view;

	pthread_mutex_lock(&followed->lock);
	copy_text(view->mode, sizeof(view->mode), state->mode);
	copy_text(view->vendor, sizeof(view->vendor), state->vendor);
	copy_text(view->server, sizeof(view->server), state->server);
	copy_text(view->identity, sizeof(view->identity), state->identity);
	copy_text(view->problem, sizeof(view->problem), state->problem);
	view->connected = state->connected;
	view->full_s = state->full_s;
	view->change_s = state->change_s;
	view->contact_s = state->contact_s;
	view->lag_us = state->lag_us;
	view->reconnects = state->reconnects;
	view->restarts = state->restarts;
	view->batches = state->batches;
	view->changes = state->changes;
	pthread_mutex_unlock(&followed->lock);
}

static void log_state(const struct followed *followed, const struct follow_view *before,
		      const struct follow_state *state)
{
	const char *name = followed->source->name.text;

	if (state->connected && !before->connected)
		log_info("follow.connected", F_STR("source", name), F_STR("server", state->server),
			 F_STR("mode", state->mode), F_STR("vendor", state->vendor));
	if (state->restarts > before->restarts)
		log_warning("follow.restart", F_STR("source", name),
			    F_STR("problem", before->problem));
	if (!state->connected && state->problem[0] &&
	    (before->connected || strcmp(state->problem, before->problem) != 0))
		log_warning("follow.lost", F_STR("source", name), F_STR("server", state->server),
			    F_STR("problem", state->problem));
}

/* Long out of reach: a person should know. Contact ends it, also one from before a restart. */
static void watch_reach(struct followed *followed, const struct follow_state *state)
{
	const char *name = followed->source->name.text;
	const struct ldap_source *settings =
		(const struct ldap_source *)(const void *)followed->source;
	int64_t since_s = state->contact_s ? state->contact_s : followed->begin_s;
	struct err err = { 0 };
	int result = 0;

	if (state->connected && (followed->alarm || !followed->met)) {
		result = change_alarm_end(followed->changer, "source-unreachable", name,
					  "a server answered", &err);
		followed->alarm = false;
		followed->met = true;
	} else if (!state->connected && !followed->alarm &&
		   clock_now_s() - since_s >= settings->follow.alarm_s) {
		result = change_alarm_raise(followed->changer, "source-unreachable", name,
					    state->problem, &err);
		followed->alarm = true;
	}
	if (result < 0)
		log_warning("follow.alarm-failed", F_STR("source", name), F_ERR(&err));
}

static void feed_state(void *context, const struct follow_state *state)
{
	struct followed *followed = context;
	struct follow_view before = followed->view; /* written by this thread only */

	keep_view(followed, state);
	if (!state->connected)
		wanted_again(&followed->wanted);
	log_state(followed, &before, state);
	watch_reach(followed, state);
}

/* --- the intake: wishes --- */

static enum follow_wish feed_wish(void *context, const char **ret_key)
{
	struct followed *followed = context;
	enum follow_wish wish = FOLLOW_ON;
	bool fetching = false;
	uint64_t count;

	(void)!read(followed->wake_fd, &count, sizeof(count));
	pthread_mutex_lock(&followed->lock);
	/* One person after the other. */
	for (struct follow_request *r = followed->requests; r; r = r->next)
		fetching |= waits_for_person(r);
	for (struct follow_request *r = followed->requests; r; r = r->next) {
		if (r->asked || r->done)
			continue;
		if (!r->key && wish != FOLLOW_FETCH) {
			r->asked = true;
			wish = FOLLOW_FULL;
		} else if (r->key && wish == FOLLOW_ON && !fetching) {
			r->asked = fetching = true;
			copy_text(followed->key, sizeof(followed->key), r->key);
			*ret_key = followed->key;
			wish = FOLLOW_FETCH;
		}
	}
	pthread_mutex_unlock(&followed->lock);
	if (wish == FOLLOW_ON && followed->wanted_all)
		wish = FOLLOW_FULL;
	/* Once begun, full reads go on until one is whole. */
	if (wish == FOLLOW_FULL) {
		wanted_clear(&followed->wanted);
		followed->wanted_all = false;
	}
	return wish;
}

static const char *feed_wanted(void *context)
{
	struct followed *followed = context;

	return wanted_next(&followed->wanted);
}

/* --- the thread --- */

static void *followed_main(void *context)
{
	struct followed *followed = context;
	const struct ldap_source *source =
		(const struct ldap_source *)(const void *)followed->source;
	const struct follow_intake intake = {
		.context = followed,
		.begin = feed_begin,
		.identity = feed_identity,
		.quarantine = feed_quarantine,
		.group = feed_group,
		.groups = feed_groups,
		.gone = feed_gone,
		.end = feed_end,
		.ready = feed_ready,
		.fetched = feed_fetched,
		.abort = feed_abort,
		.progress = feed_progress,
		.state = feed_state,
		.cancelled = is_cancelled,
		.wish = feed_wish,
		.wanted = feed_wanted,
		.wake_fd = followed->wake_fd,
	};

	pthread_setname_np(pthread_self(), "follow");
	while (!atomic_load(&followed->stop)) {
		struct err err = { 0 };

		if (ldap_source_follow(source, followed->attributes, followed->attribute_count,
				       followed->groups, followed->group_count, &intake, &err) == 0)
			continue;
		log_error("follow.failed", F_STR("source", followed->source->name.text),
			  F_ERR(&err));
		answer_all(followed, waits, NULL, -1, &err);
		wait_ms(followed, PAUSE_MS);
	}
	return NULL;
}

/* --- life --- */

/* Attributes and groups as this configuration wants them. */
static int find_wanted(struct followed *followed, struct configuration *config, struct err *err)
{
	const struct source_settings *source = followed->source;

	if (source_wanted_attributes(source, config->schema, config->needed, followed->arena,
				     &followed->attributes, &followed->attribute_count, err) < 0 ||
	    configuration_wanted_groups(config, source, followed->arena, &followed->groups,
					&followed->group_count, err) < 0)
		return -1;
	return ldap_source_follow_id((const struct ldap_source *)(const void *)source,
				     followed->attributes, followed->attribute_count,
				     followed->groups, followed->group_count, &followed->id, err);
}

static struct followed *followed_create(struct changer *changer, struct configuration *config,
					const struct source_settings *source, struct err *err)
{
	struct followed *followed = alloc_zeroed(1, sizeof(*followed));
	pthread_condattr_t attributes;

	if (!followed) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	followed->changer = changer;
	followed->setup = setup_acquire(&config->setup);
	followed->source = source;
	followed->begin_s = clock_now_s();
	followed->arena = arena_create(WANTED_MAX_BYTES);
	followed->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(followed->actor_name, sizeof(followed->actor_name), "sync:%s", source->name.text);
	pthread_mutex_init(&followed->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&followed->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (followed->wake_fd < 0)
		err_set_errno(err, ERR_IO, errno, "cannot make an event descriptor");
	else if (!followed->arena)
		err_set(err, ERR_MEMORY, "out of memory");
	else if (find_wanted(followed, config, err) == 0)
		return followed;
	followed_destroy(followed);
	return NULL;
}

struct followed *followed_start(struct changer *changer, struct configuration *config,
				const struct source_settings *source, struct err *err)
{
	struct followed *followed = followed_create(changer, config, source, err);
	int problem;

	if (!followed)
		return NULL;
	problem = pthread_create(&followed->thread, NULL, followed_main, followed);
	if (problem == 0)
		return followed;
	err_set_errno(err, ERR_IO, problem, "cannot start a thread");
	followed->thread = 0;
	followed_destroy(followed);
	return NULL;
}

static void wake(struct followed *followed)
{
	const uint64_t one = 1;

	/* Full: it is awake. */
	(void)!write(followed->wake_fd, &one, sizeof(one));
}

void followed_stop(struct followed *followed)
{
	atomic_store(&followed->stop, true);
	pthread_mutex_lock(&followed->lock);
	pthread_cond_broadcast(&followed->changed);
	pthread_mutex_unlock(&followed->lock);
	wake(followed);
}

void followed_destroy(struct followed *followed)
{
	if (!followed)
		return;
	followed_stop(followed);
	if (followed->thread)
		pthread_join(followed->thread, NULL);
	wanted_clear(&followed->wanted);
	setup_release(followed->setup);
	arena_destroy(followed->arena);
	if (followed->wake_fd >= 0)
		close(followed->wake_fd);
	pthread_cond_destroy(&followed->changed);
	pthread_mutex_destroy(&followed->lock);
	free(followed);
}

const char *followed_name(const struct followed *followed)
{
	return followed->source->name.text;
}

int followed_is_same(const struct followed *followed, struct configuration *config,
		     const struct source_settings *source, bool *ret_same, struct err *err)
{
	struct followed other = { .source = source, .arena = arena_create(WANTED_MAX_BYTES) };
	int result;

	if (!other.arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	result = find_wanted(&other, config, err);
	if (result == 0)
		*ret_same = memcmp(&other.id, &followed->id, sizeof(other.id)) == 0;
	arena_destroy(other.arena);
	return result;
}

void followed_view(struct followed *followed, struct follow_view *ret_view)
{
	pthread_mutex_lock(&followed->lock);
	*ret_view = followed->view;
	pthread_mutex_unlock(&followed->lock);
}

/* --- asking --- */

static void remove_request(struct followed *followed, const struct follow_request *request)
{
	struct follow_request **at = &followed->requests;

	while (*at && *at != request)
		at = &(*at)->next;
	if (*at)
		*at = request->next;
}

/* With the lock: why it is of no use to wait on; false: wait. */
static bool is_hopeless(const struct followed *followed, const struct follow_request *request,
			int64_t until_us, struct err *ret_err)
{
	if (atomic_load(&followed->stop))
		err_set(ret_err, ERR_CANCELLED, "following '%s' ended", followed_name(followed));
	else if (run_cancelled(request->run))
		err_set(ret_err, ERR_CANCELLED, "cancelled");
	else if (request->key && clock_monotonic_us() >= until_us)
		err_set(ret_err, ERR_UNAVAILABLE, "source '%s' does not answer%s%s",
			followed_name(followed), followed->view.problem[0] ? ": " : "",
			followed->view.problem);
	else
		return false;
	return true;
}

int followed_ask(struct followed *followed, struct follow_request *request, struct err *err)
{
	int64_t until_us = clock_monotonic_us() + (int64_t)PERSON_S * 1000000;
	struct err hopeless = { 0 };

	run_progress(request->run, "reading", 0, 0);
	pthread_mutex_lock(&followed->lock);
	request->next = followed->requests;
	followed->requests = request;
	wake(followed);
	while (!request->done) {
		int64_t look_us = clock_monotonic_us() + LOOK_MS * 1000;
		struct timespec until = { .tv_sec = look_us / 1000000,
					  .tv_nsec = look_us % 1000000 * 1000 };

		if (is_hopeless(followed, request, until_us, &hopeless)) {
			answer(request, -1, &hopeless);
			break;
		}
		pthread_cond_timedwait(&followed->changed, &followed->lock, &until);
	}
	remove_request(followed, request);
	pthread_mutex_unlock(&followed->lock);
	if (request->result < 0)
		*err = request->err;
	return request->result;
}
