/*
 * The list of followed sources (see follow.h). Enters: configurations, requests. Leaves: what
 * followed.h does, and words about it. A followed source is held while somebody asks it, so that a
 * reload never takes it away under them.
 */
#include "follow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/ldap.h>

#include "followed.h"

/* A reload that starts a follower anew takes less. */
#define RESTART_US 10000000

struct place {
	struct followed *followed; /* NULL: free */
	int64_t interval_s;
	unsigned users; /* within follow_sync */
	bool leaving;	/* nobody may begin to use it */
};

struct follow {
	struct changer *changer;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* users became 0 */
	struct place places[SOURCES_MAX];
	bool stopped;
};

bool source_is_followed(const struct source_settings *source)
{
	return source->enabled && strcmp(source->type.text, "ldap") == 0 &&
	       ldap_source_follows((const struct ldap_source *)(const void *)source);
}

struct follow *follow_create(struct changer *changer)
{
	struct follow *follow = alloc_zeroed(1, sizeof(*follow));

	if (!follow)
		return NULL;
	follow->changer = changer;
	pthread_mutex_init(&follow->lock, NULL);
	pthread_cond_init(&follow->idle, NULL);
	return follow;
}

/* With the lock. */
static struct place *find_place(struct follow *follow, const char *name)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct place *place = &follow->places[i];

		if (place->followed && !place->leaving &&
		    strcmp(followed_name(place->followed), name) == 0)
			return place;
	}
	return NULL;
}

/* --- configuration --- */

static bool stays(const struct place *place, struct configuration *config)
{
	const char *name = followed_name(place->followed);
	const struct source_settings *source = setup_find_source(&config->setup, name);
	struct err err = { 0 };
	bool same = false;

	if (!source || !source_is_followed(source))
		return false;
	if (followed_is_same(place->followed, config, source, &same, &err) < 0)
		log_error("follow.failed", F_STR("source", name), F_ERR(&err));
	return same;
}

/* Ends the followers of which `which` says so: all are asked before the first is waited for. */
static void end_places(struct follow *follow, struct configuration *config)
{
	pthread_mutex_lock(&follow->lock);
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct place *place = &follow->places[i];

		if (!place->followed || (config && stays(place, config)))
			continue;
		place->leaving = true;
		followed_stop(place->followed);
	}
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct place *place = &follow->places[i];
		struct followed *followed = place->followed;

		if (!place->leaving)
			continue;
		while (place->users > 0)
			pthread_cond_wait(&follow->idle, &follow->lock);
		*place = (struct place){ 0 };
		pthread_mutex_unlock(&follow->lock);
		followed_destroy(followed);
		pthread_mutex_lock(&follow->lock);
	}
	pthread_mutex_unlock(&follow->lock);
}

static void start_one(struct follow *follow, struct configuration *config,
		      const struct source_settings *source)
{
	struct err err = { 0 };
	struct followed *followed = followed_start(follow->changer, config, source, &err);
	struct place *place = follow->places;

	if (!followed) {
		log_error("follow.failed", F_STR("source", source->name.text), F_ERR(&err));
		return;
	}
	pthread_mutex_lock(&follow->lock);
	while (place->followed)
		place++;
	*place = (struct place){ .followed = followed, .interval_s = source->interval_s };
	pthread_mutex_unlock(&follow->lock);
}

void follow_configure(struct follow *follow, struct configuration *config)
{
	bool stopped;

	end_places(follow, config);
	for (size_t i = 0; i < config->setup.source_count; i++) {
		const struct source_settings *source = config->setup.sources[i];
		bool known;

		if (!source_is_followed(source))
			continue;
		pthread_mutex_lock(&follow->lock);
		known = find_place(follow, source->name.text) != NULL;
		stopped = follow->stopped;
		pthread_mutex_unlock(&follow->lock);
		if (!known && !stopped)
			start_one(follow, config, source);
	}
}

void follow_stop(struct follow *follow)
{
	if (!follow)
		return;
	pthread_mutex_lock(&follow->lock);
	follow->stopped = true;
	pthread_mutex_unlock(&follow->lock);
	end_places(follow, NULL);
}

void follow_destroy(struct follow *follow)
{
	if (!follow)
		return;
	follow_stop(follow);
	pthread_cond_destroy(&follow->idle);
	pthread_mutex_destroy(&follow->lock);
	free(follow);
}

/* --- asking --- */

/* Is it being started anew? Then another follower will answer. */
static bool ask_again(struct follow *follow, struct place *place, const struct run *run,
		      const struct err *err)
{
	bool again = err->code == ERR_CANCELLED && place->leaving && !follow->stopped &&
		     !run_cancelled(run);

	if (--place->users == 0)
		pthread_cond_broadcast(&follow->idle);
	return again;
}

/* With the lock: the place, in use; while a reload ends one and starts another, for a while. */
static struct place *use_place(struct follow *follow, const char *source, const struct run *run)
{
	int64_t until_us = clock_monotonic_us() + RESTART_US;
	struct place *place;

	while (!(place = find_place(follow, source))) {
		struct timespec soon = { .tv_nsec = 20 * 1000 * 1000 };

		if (clock_monotonic_us() >= until_us || follow->stopped || run_cancelled(run))
			return NULL;
		pthread_mutex_unlock(&follow->lock);
		nanosleep(&soon, NULL);
		pthread_mutex_lock(&follow->lock);
	}
	place->users++;
	return place;
}

int follow_sync(struct follow *follow, const char *source, const char *key, struct run *run,
		struct err *err)
{
	struct place *place;
	bool again = true;
	int result = -1;

	while (again) {
		struct follow_request request = { .run = run, .key = key };

		pthread_mutex_lock(&follow->lock);
		place = use_place(follow, source, run);
		pthread_mutex_unlock(&follow->lock);
		if (!place)
			return err_set(err, ERR_NOT_FOUND, "source '%s' is not followed", source);
		err_clear(err);
		result = followed_ask(place->followed, &request, err);
		pthread_mutex_lock(&follow->lock);
		again = ask_again(follow, place, run, err) && result < 0;
		pthread_mutex_unlock(&follow->lock);
	}
	return result;
}

/* --- words and figures --- */

/* 1 with its view and interval, 0 when it is not followed. */
static bool view_of(struct follow *follow, const char *source, struct follow_view *ret_view,
		    int64_t *ret_interval_s)
{
	struct place *place;

	pthread_mutex_lock(&follow->lock);
	place = find_place(follow, source);
	if (place) {
		followed_view(place->followed, ret_view);
		*ret_interval_s = place->interval_s;
	}
	pthread_mutex_unlock(&follow->lock);
	return place != NULL;
}

void follow_source_json(struct follow *follow, const char *source, struct json *json)
{
	struct follow_view view;
	int64_t interval_s = 0;

	if (!view_of(follow, source, &view, &interval_s))
		return;
	json_int(json, "failures", view.failures);
	json_time(json, "next", view.full_s && interval_s ? view.full_s + interval_s : 0);
	json_object_key(json, "follow");
	json_string(json, "mode", view.mode);
	json_string(json, "vendor", view.vendor);
	json_string(json, "server", view.server);
	json_bool(json, "connected", view.connected);
	json_string(json, "problem", view.problem);
	json_time(json, "full", view.full_s);
	json_time(json, "change", view.change_s);
	json_time(json, "contact", view.contact_s);
	json_int(json, "reconnects", (int64_t)view.reconnects);
	json_int(json, "restarts", (int64_t)view.restarts);
	json_int(json, "batches", (int64_t)view.batches);
	json_int(json, "changes", (int64_t)view.changes);
	json_int(json, "lag_ms", view.lag_us / 1000);
	json_end(json);
}

static int64_t figure_connected(const struct follow_view *view)
{
	return view->connected;
}

static int64_t figure_contact(const struct follow_view *view)
{
	return view->contact_s;
}

static int64_t figure_change(const struct follow_view *view)
{
	return view->change_s;
}

static int64_t figure_lag(const struct follow_view *view)
{
	return view->lag_us;
}

static int64_t figure_reconnects(const struct follow_view *view)
{
	return (int64_t)view->reconnects;
}

static int64_t figure_restarts(const struct follow_view *view)
{
	return (int64_t)view->restarts;
}

static int64_t figure_batches(const struct follow_view *view)
{
	return (int64_t)view->batches;
}

static int64_t figure_changes(const struct follow_view *view)
{
	return (int64_t)view->changes;
}

static const struct {
	const char *name, *type, *help;
	int64_t (*value)(const struct follow_view *view);
} figures[] = {
	{ "connected", "gauge", "1 while changes are being followed.", figure_connected },
	{ "contact_timestamp_seconds", "gauge", "Last sign of life of the directory.",
	  figure_contact },
	{ "change_timestamp_seconds", "gauge", "Last changes that were committed.", figure_change },
	{ "lag_seconds", "gauge", "From the last changes in the daemon to their commit.",
	  figure_lag },
	{ "reconnects_total", "counter", "Connections that took the place of a lost one.",
	  figure_reconnects },
	{ "restarts_total", "counter", "Full reads that following made necessary.",
	  figure_restarts },
	{ "batches_total", "counter", "Commits of changes.", figure_batches },
	{ "changes_total", "counter", "Changes of people told by directories.", figure_changes },
};

/* The one that is shorter than a second is told in microseconds, and shown in seconds as all others. */
static void put_value(struct strbuf *out, int64_t value, bool is_us)
{
	if (is_us)
		strbuf_printf(out, "%.6f\n", (double)value / 1e6);
	else
		strbuf_printf(out, "%lld\n", (long long)value);
}

void follow_metrics(struct follow *follow, struct strbuf *out)
{
	struct follow_view view;

	pthread_mutex_lock(&follow->lock);
	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		strbuf_printf(out,
			      "# HELP rolebridge_follow_%s %s\n# TYPE rolebridge_follow_%s %s\n",
			      figures[i].name, figures[i].help, figures[i].name, figures[i].type);
		for (size_t j = 0; j < SOURCES_MAX; j++) {
			const struct place *place = &follow->places[j];

			if (!place->followed || place->leaving)
				continue;
			followed_view(place->followed, &view);
			strbuf_printf(out, "rolebridge_follow_%s{source=\"%s\"} ", figures[i].name,
				      followed_name(place->followed));
			put_value(out, figures[i].value(&view), figures[i].value == figure_lag);
		}
	}
	pthread_mutex_unlock(&follow->lock);
}
