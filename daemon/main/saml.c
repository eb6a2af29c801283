/*
 * Metadata, kept fresh, and when a new pool is made of it. Enters: configurations, documents. Leaves: what is
 * in force, alarms. Fails closed: a source without valid metadata answers nothing.
 *
 * Locks: `building` is held while metadata is taken over, told of and a pool is made, never while a server is
 * asked; `lock` guards the pointer to the present state for as long as it takes to count a reference, and may be
 * taken inside of `building`, never around it.
 */
#include "saml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "saml_state.h"

#define ALARM_METADATA "saml-metadata"
#define ALARM_WORKERS "saml-workers"
/* Which alarm of that kind. */
#define ALARM_START "start"
#define ALARM_DEATHS ""
#define LOOK_S 5
/* A pool that could not be made is tried again, by itself, as long as that is. */
#define BUILD_RETRY_S 60
/* So many workers lost between two looks, or since the last quiet hour, need a person. */
#define DEATHS_ALARM 5
#define DEATHS_QUIET_S 3600

/*
 * building is held: tell, when it has changed, whether there is a pool of what the IdPs say now. Without one
 * nobody signs in, or only with what was known before.
 */
static void note_build(struct saml_service *service, const struct err *cause)
{
	struct err err = { 0 };

	if (!cause && service->settled)
		return;
	snprintf(service->problem, sizeof(service->problem), "%.500s", cause ? cause->text : "");
	if (cause) {
		log_error("saml.workers", F_ERR(cause));
		change_alarm_raise(service->changer, ALARM_WORKERS, ALARM_START, cause->text, &err);
	} else {
		change_alarm_end(service->changer, ALARM_WORKERS, ALARM_START, "started", &err);
	}
	service->settled = !cause && err.code == ERR_NONE;
	if (err.code != ERR_NONE)
		log_error("saml.alarm", F_ERR(&err));
}

/* building is held: one without a pool signs nobody in, so that another configuration's takes its place all the same. */
static bool is_worth_keeping(const struct saml_state *state, const struct configuration *config)
{
	return state && (state->pool || state->setup == &config->setup);
}

/*
 * building is held: a pool for what the IdPs say now. -1: it cannot be had, what was in force stays; 1: where
 * nothing was that works, the sources are there and answer that they are not available.
 */
static int build(struct saml_service *service, struct configuration *config, struct idp **idps,
		 struct err *err)
{
	struct saml_state *state = saml_state_create(config);
	bool whole = saml_state_is_whole(state);
	int result = whole ? saml_state_make_pool(config, state, service->state, idps, err)
			   : err_set(err, ERR_MEMORY, "out of memory");

	service->retry_us = clock_monotonic_us() + (int64_t)BUILD_RETRY_S * 1000000;
	if (result == 0) {
		service->stale = false;
	} else if (whole && !is_worth_keeping(service->state, config)) {
		for (size_t i = 0; i < state->count; i++)
			state->views[i].ready = false;
		service->stale = true;
		result = 1;
	} else {
		saml_state_give(service, state);
		return -1;
	}
	saml_state_replace(service, state);
	return result;
}

/* --- metadata --- */

/* building is held. Says what has changed, and repeats what is wrong: the text may be another one. */
static void note_problem(struct saml_service *service, struct idp *idp, const struct err *cause)
{
	struct err err = { 0 };

	if (!cause && idp->settled)
		return;
	snprintf(idp->problem, sizeof(idp->problem), "%.500s", cause ? cause->text : "");
	if (cause)
		log_warning("saml.metadata", F_STR("source", idp->source), F_ERR(cause));
	if (cause && !idp->quiet) {
		change_alarm_raise(service->changer, ALARM_METADATA, idp->source, cause->text,
				   &err);
	} else {
		change_alarm_end(service->changer, ALARM_METADATA, idp->source, "refresh", &err);
	}
	idp->settled = !cause && err.code == ERR_NONE;
	if (err.code != ERR_NONE)
		log_error("saml.alarm", F_STR("source", idp->source), F_ERR(&err));
}

/* building is held. A copy that cannot be written is a problem, but no reason to trust keys that are no more. */
static void take_over(struct saml_service *service, const struct saml_source *source,
		      struct idp *idp, struct idp_document *document, int64_t now_s)
{
	struct err err = { 0 };
	bool changed = false;
	int result = idp_accept(idp, document, &changed, &err);

	if (changed) {
		service->stale = true;
		service->retry_us = 0;
		log_info("saml.metadata", F_STR("source", idp->source),
			 F_STR("idp", idp->facts.entity_id),
			 F_INT("keys", idp->facts.signing_key_count));
	}
	if (result == 0) {
		idp->refreshed_s = now_s;
		result = idp_keep(idp, document, &err);
	}
	idp_document_finish(document);
	note_problem(service, idp, result < 0 ? &err : NULL);
	idp_schedule(idp, source, result == 0, now_s);
}

/* building is held. A document that ends without another one in its place: nobody can sign in any more. */
static void watch_validity(struct saml_service *service, struct saml_state *state, size_t i,
			   int64_t now_s)
{
	struct idp *idp = service->idps[i];
	bool ready = idp_is_ready(idp, now_s);
	struct err err = { 0 };
	char until[CLOCK_TEXT_SIZE];

	if (state->pool && state->views[i].ready != ready)
		service->stale = true;
	if (!idp->arena || ready || idp->lapsed)
		return;
	idp->lapsed = true;
	idp->next_s = now_s;
	service->retry_us = 0;
	clock_format(idp->facts.valid_until_s, until);
	err_set(&err, ERR_INVALID, "the metadata in force was valid until %s; nobody can sign in",
		until);
	note_problem(service, idp, &err);
}

static void failed_to_load(struct saml_service *service, const struct saml_source *source,
			   struct idp *idp, const struct err *err, int64_t now_s)
{
	note_problem(service, idp, err);
	idp_schedule(idp, source, false, now_s);
}

/* At a configuration's start: what was kept, then what there is now. URLs that have a kept copy are asked later. */
static void first_load(struct saml_service *service, struct configuration *config,
		       const struct saml_source *source, struct idp *idp)
{
	struct idp_document document;
	struct err err = { 0 };
	int64_t now_s = clock_now_s();
	const struct idp_look look = { .settings = source,
				       .outgoing = &config->settings.web.outgoing,
				       .store_path = config->settings.store.text,
				       .now_s = now_s };
	bool changed;

	if (!idp->arena && !idp->stored &&
	    idp_load_kept(idp, source, now_s, &document, &err) == 0) {
		idp->kept = idp_accept(idp, &document, &changed, &err) == 0;
		idp_document_finish(&document);
	}
	/* What was handed over is what it was. */
	if (idp->stored && idp->arena && idp->settled)
		return;
	idp->next_s = now_s;
	if (source->idp.metadata_url.text)
		return;
	err_clear(&err);
	if (idp_load(&look, &document, &err) == 0)
		take_over(service, source, idp, &document, now_s);
	else
		failed_to_load(service, source, idp, &err, now_s);
}

static bool is_among(const struct idp *idp, struct idp **idps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (idps[i] == idp)
			return true;
	}
	return false;
}

/* But for those that others still need. */
static void destroy_idps(struct idp **idps, size_t count, struct idp **others, size_t other_count)
{
	for (size_t i = 0; idps && i < count; i++) {
		if (!is_among(idps[i], others, other_count))
			idp_destroy(idps[i]);
	}
	free(idps);
}

/*
 * What is known of this source from before: the same name and place. Somebody who removes the kept copy wants it
 * forgotten.
 */
static struct idp *find_known(struct saml_service *service, const struct idp *fresh)
{
	for (size_t i = 0; i < service->idp_count; i++) {
		struct idp *idp = service->idps[i];

		if (strcmp(idp->kept_path, fresh->kept_path) == 0)
			return idp->kept && access(idp->kept_path, F_OK) < 0 ? NULL : idp;
	}
	return NULL;
}

static struct idp *make_idp(struct saml_service *service, struct configuration *config,
			    const struct saml_source *source)
{
	struct idp *idp = idp_create(source, config->settings.store.text);
	struct idp *known = idp ? find_known(service, idp) : NULL;

	if (known) {
		idp_destroy(idp);
		idp = known;
	}
	if (idp) {
		idp->quiet = !source->common.enabled;
		first_load(service, config, source, idp);
	}
	return idp;
}

/* The IdPs of a configuration; those that stay the same are the present ones. */
static struct idp **load_idps(struct saml_service *service, struct configuration *config,
			      size_t *ret_count, struct err *err)
{
	struct saml_state *state = saml_state_create(config);
	struct idp **idps =
		saml_state_is_whole(state) ? calloc(state->count + 1, sizeof(*idps)) : NULL;
	bool whole = idps != NULL;

	for (size_t i = 0; whole && i < state->count; i++) {
		idps[i] = make_idp(service, config, state->sources[i]);
		whole = idps[i] != NULL;
	}
	*ret_count = state ? state->count : 0;
	if (!whole) {
		destroy_idps(idps, *ret_count, service->idps, service->idp_count);
		idps = NULL;
		err_set(err, ERR_MEMORY, "out of memory");
	}
	saml_state_give(service, state);
	return idps;
}

/* building is held: an alarm about a source that is no more has lost its cause. */
static void end_alarms(struct saml_service *service, struct idp **idps, size_t count)
{
	for (size_t i = 0; i < service->idp_count; i++) {
		const struct idp *old = service->idps[i];
		struct err err = { 0 };
		bool stays = old->settled;

		for (size_t j = 0; !stays && j < count; j++)
			stays = strcmp(idps[j]->source, old->source) == 0;
		if (!stays && change_alarm_end(service->changer, ALARM_METADATA, old->source,
					       "removed", &err) < 0)
			log_error("saml.alarm", F_STR("source", old->source), F_ERR(&err));
	}
}

/* building is held. A configuration that no pool can be made of now waits, in force is the one before. */
static void wait_with(struct saml_service *service, struct setup *setup)
{
	struct setup *before = service->waiting;

	service->waiting = setup ? setup_acquire(setup) : NULL;
	if (before)
		setup_release(before);
}

/* building is held. */
static int configure(struct saml_service *service, struct configuration *config, struct err *err)
{
	size_t count;
	struct idp **idps = load_idps(service, config, &count, err);
	int result = idps ? build(service, config, idps, err) : -1;

	wait_with(service, result < 0 ? &config->setup : NULL);
	note_build(service, result != 0 ? err : NULL);
	if (result >= 0) {
		end_alarms(service, idps, count);
		destroy_idps(service->idps, service->idp_count, idps, count);
		service->idps = idps;
		service->idp_count = count;
	} else {
		destroy_idps(idps, count, service->idps, service->idp_count);
	}
	return result;
}

int saml_service_configure(struct saml_service *service, struct configuration *config,
			   struct err *err)
{
	int result;

	pthread_mutex_lock(&service->building);
	result = configure(service, config, err);
	pthread_mutex_unlock(&service->building);
	pthread_mutex_lock(&service->lock);
	pthread_cond_signal(&service->wake);
	pthread_mutex_unlock(&service->lock);
	return result < 0 ? -1 : 0;
}

static bool is_stopping(void *context)
{
	struct saml_service *service = context;
	bool stopping;

	pthread_mutex_lock(&service->lock);
	stopping = service->stopping;
	pthread_mutex_unlock(&service->lock);
	return stopping;
}

/* One look at one IdP, without any lock while its server is asked. */
static void refresh_one(struct saml_service *service, struct saml_state *state, size_t i,
			const char *etag)
{
	struct configuration *config = configuration_of(state->setup);
	const struct idp_look look = { .settings = state->sources[i],
				       .outgoing = &config->settings.web.outgoing,
				       .store_path = config->settings.store.text,
				       .etag = etag,
				       .now_s = clock_now_s(),
				       .cancelled = is_stopping,
				       .context = service };
	struct idp_document document;
	struct err err = { 0 };
	int loaded = idp_load(&look, &document, &err);

	pthread_mutex_lock(&service->building);
	if (service->state != state || err.code == ERR_CANCELLED) {
		/* Another configuration has come into force meanwhile, or the end. */
		if (loaded == 0)
			idp_document_finish(&document);
	} else if (loaded == 0) {
		take_over(service, look.settings, service->idps[i], &document, look.now_s);
	} else {
		failed_to_load(service, look.settings, service->idps[i], &err, look.now_s);
	}
	pthread_mutex_unlock(&service->building);
}

/* Is it time, and what did its server call the document last? false: not yet. */
static bool is_due(struct saml_service *service, struct saml_state *state, size_t i,
		   char **ret_etag)
{
	int64_t now_s = clock_now_s();
	bool due = false;

	pthread_mutex_lock(&service->building);
	if (service->state == state) {
		const struct idp *idp = service->idps[i];
		bool known = idp->etag && idp->kept && idp_is_ready(idp, now_s);

		due = idp_is_due(idp, state->sources[i], now_s);
		*ret_etag = due && known ? strdup(idp->etag) : NULL;
	}
	pthread_mutex_unlock(&service->building);
	return due;
}

/* By building. That it fails again puts off nothing of what is in force. */
static void try_waiting(struct saml_service *service)
{
	int64_t now_us = clock_monotonic_us(), retry_us = service->retry_us;
	struct err err = { 0 };

	if (!service->waiting || now_us < service->wait_retry_us)
		return;
	service->wait_retry_us = now_us + (int64_t)BUILD_RETRY_S * 1000000;
	configure(service, configuration_of(service->waiting), &err);
	service->retry_us = retry_us;
}

/* What has ended comes out of force without asking anybody; what has changed comes into force. */
static void keep_in_force(struct saml_service *service)
{
	struct saml_state *state;
	struct err err = { 0 };

	pthread_mutex_lock(&service->building);
	try_waiting(service);
	state = service->state;
	for (size_t i = 0; state && i < state->count; i++)
		watch_validity(service, state, i, clock_now_s());
	if (state && service->stale && clock_monotonic_us() >= service->retry_us) {
		if (build(service, configuration_of(state->setup), service->idps, &err) != 0)
			note_build(service, &err);
		else if (!service->waiting)
			note_build(service, NULL);
	}
	pthread_mutex_unlock(&service->building);
}

/* Somebody sends what kills workers, or one of them is broken: a few are a log line, many an alarm. */
static void watch_deaths(struct saml_service *service, struct saml_state *state)
{
	struct saml_pool_counts counts = { 0 };
	int64_t now_s = clock_monotonic_us() / 1000000;
	struct err err = { 0 };
	uint64_t lost;

	if (!state->pool)
		return;
	saml_pool_counts(state->pool, &counts);
	lost = counts.deaths + counts.timeouts;
	/* Another one, maybe at the same address. */
	if (service->deaths_of != state->pool || lost < service->deaths_seen)
		service->deaths_seen = 0;
	service->deaths_of = state->pool;
	if (lost > service->deaths_seen) {
		log_warning("saml.worker-lost", F_INT("deaths", (int64_t)counts.deaths),
			    F_INT("timeouts", (int64_t)counts.timeouts));
		service->deaths_lately += lost - service->deaths_seen;
		service->deaths_seen = lost;
		service->death_s = now_s;
	} else if (now_s - service->death_s > DEATHS_QUIET_S) {
		service->deaths_lately = 0;
		if (service->alarm_may_stand && change_alarm_end(service->changer, ALARM_WORKERS,
								 ALARM_DEATHS, "quiet", &err) == 0)
			service->alarm_may_stand = service->deaths_alarmed = false;
	}
	if (service->deaths_lately >= DEATHS_ALARM && !service->deaths_alarmed) {
		service->alarm_may_stand = true;
		service->deaths_alarmed =
			change_alarm_raise(service->changer, ALARM_WORKERS, ALARM_DEATHS,
					   "SAML workers die again and again; see "
					   "saml.worker-lost and login.refused in log and audit",
					   &err) == 0;
	}
	if (err.code != ERR_NONE)
		log_error("saml.alarm", F_ERR(&err));
}

static void look_at_all(struct saml_service *service)
{
	struct saml_state *state = saml_state_take(service);

	keep_in_force(service);
	for (size_t i = 0; state && i < state->count && !is_stopping(service); i++) {
		char *etag = NULL;

		if (!is_due(service, state, i, &etag))
			continue;
		refresh_one(service, state, i, etag);
		free(etag);
		keep_in_force(service);
	}
	if (state)
		watch_deaths(service, state);
	saml_state_give(service, state);
}

static void *refresh_thread(void *context)
{
	struct saml_service *service = context;
	struct timespec until;

	pthread_mutex_lock(&service->lock);
	while (!service->stopping) {
		pthread_mutex_unlock(&service->lock);
		look_at_all(service);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_S;
		pthread_mutex_lock(&service->lock);
		if (!service->stopping)
			pthread_cond_timedwait(&service->wake, &service->lock, &until);
	}
	pthread_mutex_unlock(&service->lock);
	return NULL;
}

/* --- begin and end --- */

struct saml_service *saml_service_create(struct changer *changer, struct err *err)
{
	struct saml_service *service = calloc(1, sizeof(*service));
	pthread_condattr_t attributes;

	if (!service) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	service->changer = changer;
	service->alarm_may_stand = true;
	service->death_s = clock_monotonic_us() / 1000000;
	pthread_mutex_init(&service->building, NULL);
	pthread_mutex_init(&service->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&service->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	return service;
}

int saml_service_start(struct saml_service *service, struct err *err)
{
	int failed = pthread_create(&service->thread, NULL, refresh_thread, service);

	if (failed)
		return err_set_errno(err, ERR_IO, failed, "cannot start a thread");
	service->started = true;
	return 0;
}

void saml_service_stop(struct saml_service *service)
{
	if (!service || !service->started)
		return;
	pthread_mutex_lock(&service->lock);
	service->stopping = true;
	pthread_cond_signal(&service->wake);
	pthread_mutex_unlock(&service->lock);
	pthread_join(service->thread, NULL);
	service->started = false;
}

void saml_service_destroy(struct saml_service *service)
{
	if (!service)
		return;
	saml_service_stop(service);
	saml_state_replace(service, NULL);
	wait_with(service, NULL);
	destroy_idps(service->idps, service->idp_count, NULL, 0);
	pthread_cond_destroy(&service->wake);
	pthread_mutex_destroy(&service->lock);
	pthread_mutex_destroy(&service->building);
	free(service);
}
