/*
 * Metadata, pool and the questions of the web side. Enters: configurations, questions. Leaves: answers of
 * workers, alarms. Fails closed: a source without valid metadata answers nothing.
 *
 * Locks: `building` is held while metadata is taken over, told of and a pool is made, never while a server is
 * asked; `lock` guards the pointer to the present state for as long as it takes to count a reference, and may be
 * taken inside of `building`, never around it.
 */
#include "saml.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/saml.h>

#include "idp.h"
#include "trace.h"

#define WANTED_MAX ((size_t)64 * 1024 * 1024)
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

/* What is in force; immutable, counted. */
struct saml_state {
	unsigned references;	/* by lock */
	struct setup *setup;	/* keeps the settings alive */
	struct saml_pool *pool; /* NULL: there are no sources, or it could not be made */
	size_t count;
	const struct saml_source **sources;
	struct saml_source_view *views;
	int64_t *until_s; /* of what the pool has of each; 0: no end */
};

struct saml_service {
	struct changer *changer;
	pthread_mutex_t building;
	struct idp **idps; /* by building; parallel to the sources of the present state */
	size_t idp_count;
	bool stale;	   /* by building: the pool is not of what the IdPs say now */
	bool refused;	   /* by building: a configuration came that no pool can be made of */
	bool settled;	   /* by building: that all is well with the pool is known in the store */
	char problem[512]; /* by building: why not */
	int64_t retry_us;  /* by building: when a pool that could not be made is tried again */
	pthread_mutex_t lock;
	struct saml_state *state;
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stopping; /* by lock */
	/* Of the refresh thread: workers lost, in the present pool and lately in all. */
	uint64_t deaths_seen, deaths_lately;
	int64_t death_s;
	const struct saml_pool *deaths_of;
	bool deaths_alarmed, alarm_may_stand; /* the latter: from before a restart, too */
};

/* --- state --- */

static struct saml_state *state_take(struct saml_service *service)
{
	struct saml_state *state;

	pthread_mutex_lock(&service->lock);
	state = service->state;
	if (state)
		state->references++;
	pthread_mutex_unlock(&service->lock);
	return state;
}

static void state_give(struct saml_service *service, struct saml_state *state)
{
	bool last;

	if (!state)
		return;
	pthread_mutex_lock(&service->lock);
	last = --state->references == 0;
	pthread_mutex_unlock(&service->lock);
	if (!last)
		return;
	saml_pool_release(state->pool);
	setup_release(state->setup);
	free(state->sources);
	free(state->views);
	free(state->until_s);
	free(state);
}

static struct saml_state *state_create(struct configuration *config)
{
	struct saml_state *state = calloc(1, sizeof(*state));
	size_t most = config->setup.source_count;

	if (!state)
		return NULL;
	state->references = 1;
	state->setup = setup_acquire(&config->setup);
	state->sources = calloc(most + 1, sizeof(*state->sources));
	state->views = calloc(most + 1, sizeof(*state->views));
	state->until_s = calloc(most + 1, sizeof(*state->until_s));
	for (size_t i = 0; state->sources && i < most; i++) {
		const struct source_settings *source = config->setup.sources[i];

		if (source->enabled && strcmp(source->type.text, saml_source_table.name) == 0)
			state->sources[state->count++] = (const void *)source;
	}
	for (size_t i = 0; state->sources && state->views && i < state->count; i++)
		state->views[i] = (struct saml_source_view){
			.name = state->sources[i]->common.name.text,
			.idp_initiated = state->sources[i]->idp_initiated,
			.just_in_time = state->sources[i]->just_in_time,
		};
	return state;
}

static bool state_is_whole(const struct saml_state *state)
{
	return state && state->sources && state->views && state->until_s;
}

static void state_replace(struct saml_service *service, struct saml_state *state)
{
	struct saml_state *old;

	pthread_mutex_lock(&service->lock);
	old = service->state;
	service->state = state;
	pthread_mutex_unlock(&service->lock);
	state_give(service, old);
}

/* --- pool --- */

static const char *own_url(const struct configuration *config, const struct saml_source *source,
			   const char *what, struct arena *arena)
{
	const char *url =
		config->settings.web.public_url.text ? config->settings.web.public_url.text : "";
	size_t size = strlen(url);

	while (size > 0 && url[size - 1] == '/')
		size--;
	return arena_printf(arena, "%.*s/saml/%s/%s", (int)size, url, source->common.name.text,
			    what);
}

static int fill_provider(struct configuration *config, const struct saml_source *source,
			 const struct idp *idp, int64_t now_s, struct arena *arena,
			 struct saml_provider *ret_provider, struct err *err)
{
	struct wanted_attribute *attributes;
	struct wanted_group *groups;
	struct saml_provider provider = {
		.settings = source,
		.idp = idp_is_ready(idp, now_s) ? &idp->facts : NULL,
		.sp_entity_id = source->entity_id.text ? source->entity_id.text
						       : own_url(config, source, "metadata", arena),
		.acs_url = own_url(config, source, "acs", arena),
		.slo_url = own_url(config, source, "slo", arena),
	};
	int email = schema_email(config->schema);

	if (email >= 0)
		provider.email_attribute = schema_get(config->schema, (uint16_t)email)->name;
	if (source_wanted_attributes(&source->common, config->schema, config->needed, arena,
				     &attributes, &provider.attribute_count, err) < 0 ||
	    configuration_wanted_groups(config, &source->common, arena, &groups,
					&provider.group_count, err) < 0)
		return -1;
	if (!provider.sp_entity_id || !provider.acs_url || !provider.slo_url)
		return err_set(err, ERR_MEMORY, "out of memory");
	provider.attributes = attributes;
	provider.groups = groups;
	*ret_provider = provider;
	return 0;
}

static int make_pool(struct configuration *config, struct saml_state *state, struct idp **idps,
		     struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(WANTED_MAX);
	struct saml_provider *providers =
		arena ? arena_alloc_array(arena, state->count + 1, sizeof(*providers)) : NULL;
	int64_t now_s = clock_now_s();

	if (!providers)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < state->count; i++) {
		if (fill_provider(config, state->sources[i], idps[i], now_s, arena, &providers[i],
				  err) < 0)
			return -1;
		state->views[i].ready = providers[i].idp != NULL;
		state->until_s[i] = providers[i].idp ? providers[i].idp->valid_until_s : 0;
	}
	if (state->count == 0)
		return 0;
	state->pool = saml_pool_create(&config->settings.saml, providers, state->count, err);
	return state->pool ? 0 : -1;
}

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

/*
 * building is held: a pool for what the IdPs say now. -1: it cannot be had, what was in force stays; 1: where
 * nothing was, the sources are there and answer that they are not available.
 */
static int build(struct saml_service *service, struct configuration *config, struct idp **idps,
		 struct err *err)
{
	struct saml_state *state = state_create(config);
	bool whole = state_is_whole(state);
	int result = whole ? make_pool(config, state, idps, err)
			   : err_set(err, ERR_MEMORY, "out of memory");

	service->retry_us = clock_monotonic_us() + (int64_t)BUILD_RETRY_S * 1000000;
	if (result == 0) {
		service->stale = false;
	} else if (whole && !service->state) {
		for (size_t i = 0; i < state->count; i++)
			state->views[i].ready = false;
		service->stale = true;
		result = 1;
	} else {
		state_give(service, state);
		return -1;
	}
	state_replace(service, state);
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
	if (cause) {
		log_warning("saml.metadata", F_STR("source", idp->source), F_ERR(cause));
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
				       .now_s = now_s };
	bool changed;

	if (!idp->arena && idp_load_kept(idp, source, now_s, &document, &err) == 0) {
		idp->kept = idp_accept(idp, &document, &changed, &err) == 0;
		idp_document_finish(&document);
	}
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
	if (idp)
		first_load(service, config, source, idp);
	return idp;
}

/* The IdPs of a configuration; those that stay the same are the present ones. */
static struct idp **load_idps(struct saml_service *service, struct configuration *config,
			      size_t *ret_count, struct err *err)
{
	struct saml_state *state = state_create(config);
	struct idp **idps = state_is_whole(state) ? calloc(state->count + 1, sizeof(*idps)) : NULL;
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
	state_give(service, state);
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

int saml_service_configure(struct saml_service *service, struct configuration *config,
			   struct err *err)
{
	struct idp **idps;
	size_t count;
	int result;

	pthread_mutex_lock(&service->building);
	idps = load_idps(service, config, &count, err);
	result = idps ? build(service, config, idps, err) : -1;
	service->refused = result < 0;
	note_build(service, result != 0 ? err : NULL);
	if (result >= 0) {
		end_alarms(service, idps, count);
		destroy_idps(service->idps, service->idp_count, idps, count);
		service->idps = idps;
		service->idp_count = count;
	} else {
		destroy_idps(idps, count, service->idps, service->idp_count);
	}
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

/* What has ended comes out of force without asking anybody; what has changed comes into force. */
static void keep_in_force(struct saml_service *service)
{
	struct saml_state *state;
	struct err err = { 0 };

	pthread_mutex_lock(&service->building);
	state = service->state;
	for (size_t i = 0; state && i < state->count; i++)
		watch_validity(service, state, i, clock_now_s());
	if (state && service->stale && clock_monotonic_us() >= service->retry_us) {
		if (build(service, configuration_of(state->setup), service->idps, &err) != 0)
			note_build(service, &err);
		else if (!service->refused)
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
	struct saml_state *state = state_take(service);

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
	state_give(service, state);
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
	state_replace(service, NULL);
	destroy_idps(service->idps, service->idp_count, NULL, 0);
	pthread_cond_destroy(&service->wake);
	pthread_mutex_destroy(&service->lock);
	pthread_mutex_destroy(&service->building);
	free(service);
}

/* --- ports --- */

/* The present state and the number of a source in it. ERR_NOT_FOUND, ERR_UNAVAILABLE: there are no workers. */
static struct saml_state *find(struct saml_service *service, const char *source, size_t *ret_number,
			       struct err *err)
{
	struct saml_state *state = state_take(service);

	for (size_t i = 0; state && i < state->count; i++) {
		if (strcmp(state->views[i].name, source) != 0)
			continue;
		if (state->pool) {
			*ret_number = i;
			return state;
		}
		state_give(service, state);
		err_set(err, ERR_UNAVAILABLE,
			"there are no SAML workers: the service provider's key "
			"cannot be used");
		return NULL;
	}
	state_give(service, state);
	err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no SAML source '%s'", source);
	return NULL;
}

static bool has_expired(const struct saml_state *state, size_t i)
{
	return state->until_s[i] != 0 && clock_now_s() >= state->until_s[i];
}

/* As find, for what needs the IdP: at the very second, not only when workers are made anew. */
static struct saml_state *find_valid(struct saml_service *service, const char *source,
				     size_t *ret_number, struct err *err)
{
	struct saml_state *state = find(service, source, ret_number, err);

	if (!state || !has_expired(state, *ret_number))
		return state;
	state_give(service, state);
	err_refuse(err, ERR_UNAVAILABLE, "idp-unavailable", "the IdP's metadata has expired");
	return NULL;
}

static bool port_source(void *context, size_t i, struct arena *arena,
			struct saml_source_view *ret_view)
{
	struct saml_service *service = context;
	struct saml_state *state = state_take(service);
	bool found = state && i < state->count;

	if (found) {
		*ret_view = state->views[i];
		ret_view->name = arena_strdup(arena, state->views[i].name);
		found = ret_view->name != NULL;
	}
	state_give(service, state);
	return found;
}

static int refuse_expired(struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal)
{
	*ret_assertion = (struct saml_assertion){ 0 };
	*ret_refusal = (struct saml_refusal){ .reason = "idp-unavailable",
					      .detail = "the IdP's metadata has expired" };
	return 1;
}

static int port_verify(void *context, const char *source, const struct pending_login *waiting,
		       const struct saml_message *message, struct arena *arena,
		       struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal,
		       struct setup **ret_setup, struct err *err)
{
	struct saml_service *service = context;
	int64_t since_s = waiting ? waiting->created_s : 0;
	struct saml_question question = { .now_s = clock_now_s(),
					  .request_ids = waiting ? &waiting->request_id : NULL,
					  .request_count = waiting != NULL,
					  .explain = waiting && waiting->test };
	struct saml_state *state = find(service, source, &question.provider, err);
	const struct saml_source *settings;
	int result;

	if (!state)
		return -1;
	settings = state->sources[question.provider];
	question.explain |= settings->trace;
	if (waiting && (waiting->test || settings->force_authn))
		question.forced_since_s = &since_s;
	result = has_expired(state, question.provider)
			 ? refuse_expired(ret_assertion, ret_refusal)
			 : saml_pool_verify(state->pool, &question, message, arena, ret_assertion,
					    ret_refusal, err);
	if (result >= 0 && settings->trace)
		trace_response(configuration_of(state->setup)->schema, &settings->common,
			       ret_assertion, result == 0 ? NULL : ret_refusal);
	if (result >= 0)
		*ret_setup = setup_acquire(state->setup);
	state_give(service, state);
	return result;
}

static int port_login(void *context, const char *source, const char *id, const char *relay_state,
		      bool force, struct arena *arena, struct saml_outgoing *ret_outgoing,
		      struct err *err)
{
	struct saml_service *service = context;
	struct saml_login_request request = {
		.now_s = clock_now_s(), .id = id, .relay_state = relay_state, .force_authn = force
	};
	struct saml_state *state = find_valid(service, source, &request.provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_login(state->pool, &request, arena, ret_outgoing, err);
	state_give(service, state);
	return result;
}

static int port_logout_start(void *context, const struct session *session, const char *id,
			     struct arena *arena, struct saml_outgoing *ret_outgoing,
			     struct err *err)
{
	struct saml_service *service = context;
	struct saml_logout_start start = { .now_s = clock_now_s(),
					   .id = id,
					   .name_id = session->name_id,
					   .name_id_format = session->name_id_format,
					   .session_index = session->session_index,
					   .relay_state = "" };
	struct saml_state *state = find_valid(service, session->source, &start.provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_logout_start(state->pool, &start, arena, ret_outgoing, err);
	state_give(service, state);
	return result;
}

static int port_logout_receive(void *context, const char *source, const char *const *request_ids,
			       size_t request_count, const struct saml_message *message,
			       struct arena *arena, struct saml_logout *ret_logout,
			       struct saml_refusal *ret_refusal, struct err *err)
{
	struct saml_service *service = context;
	struct saml_question question = { .now_s = clock_now_s(),
					  .request_ids = request_ids,
					  .request_count = request_count };
	struct saml_state *state = find_valid(service, source, &question.provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_logout_receive(state->pool, &question, message, arena, ret_logout,
					  ret_refusal, err);
	state_give(service, state);
	return result;
}

static int port_logout_answer(void *context, const char *source, const char *id,
			      const struct saml_logout *request, bool success, struct arena *arena,
			      struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct saml_service *service = context;
	size_t provider;
	struct saml_state *state = find_valid(service, source, &provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_logout_answer(state->pool, provider, clock_now_s(), id, request, success,
					 arena, ret_outgoing, err);
	state_give(service, state);
	return result;
}

static int port_metadata(void *context, const char *source, struct arena *arena,
			 const char **ret_xml, struct err *err)
{
	struct saml_service *service = context;
	size_t provider;
	struct saml_state *state = find(service, source, &provider, err);
	int result;

	if (!state)
		return -1;
	result = saml_pool_metadata(state->pool, provider, arena, ret_xml, err);
	state_give(service, state);
	return result;
}

static void endpoints_json(const char *key, const struct saml_endpoint *endpoints, size_t count,
			   struct json *json)
{
	json_array_key(json, key);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		json_string(json, "binding",
			    endpoints[i].binding == SAML_POST ? "post" : "redirect");
		json_string(json, "location", endpoints[i].location);
		json_end(json);
	}
	json_end(json);
}

/* building is held: do the workers know valid metadata of this source? */
static bool is_in_force(const struct saml_service *service, const struct idp *idp)
{
	const struct saml_state *state = service->state;

	for (size_t i = 0; state && state->pool && i < state->count; i++) {
		if (strcmp(state->views[i].name, idp->source) == 0)
			return state->views[i].ready && idp_is_ready(idp, clock_now_s());
	}
	return false;
}

static void port_status(void *context, const char *source, struct json *json)
{
	struct saml_service *service = context;

	pthread_mutex_lock(&service->building);
	for (size_t i = 0; i < service->idp_count; i++) {
		const struct idp *idp = service->idps[i];

		if (strcmp(idp->source, source) != 0)
			continue;
		json_bool(json, "ready", is_in_force(service, idp));
		json_string(json, "problem", service->problem[0] ? service->problem : idp->problem);
		json_time(json, "refreshed", idp->refreshed_s);
		json_time(json, "next", idp->next_s);
		if (!idp->arena)
			continue;
		json_string(json, "idp", idp->facts.entity_id);
		json_int(json, "signing_keys", (int64_t)idp->facts.signing_key_count);
		json_time(json, "valid_until", idp->facts.valid_until_s);
		endpoints_json("sign_in", idp->facts.sso, idp->facts.sso_count, json);
		endpoints_json("logout", idp->facts.slo, idp->facts.slo_count, json);
	}
	pthread_mutex_unlock(&service->building);
}

static void port_metrics(void *context, struct strbuf *out)
{
	struct saml_service *service = context;
	struct saml_state *state = state_take(service);
	struct saml_pool_counts counts = { 0 };

	if (state && state->pool)
		saml_pool_counts(state->pool, &counts);
	strbuf_printf(out,
		      "# HELP rolebridge_saml_workers SAML worker processes.\n"
		      "# TYPE rolebridge_saml_workers gauge\n"
		      "rolebridge_saml_workers %llu\n"
		      "# HELP rolebridge_saml_worker_deaths_total Workers that died or overran.\n"
		      "# TYPE rolebridge_saml_worker_deaths_total counter\n"
		      "rolebridge_saml_worker_deaths_total %llu\n",
		      (unsigned long long)counts.workers,
		      (unsigned long long)(counts.deaths + counts.timeouts));
	for (size_t i = 0; state && i < state->count; i++)
		strbuf_printf(
			out, "%srolebridge_saml_source_ready{source=\"%s\"} %d\n",
			i == 0 ? "# HELP rolebridge_saml_source_ready Valid metadata is there.\n"
				 "# TYPE rolebridge_saml_source_ready gauge\n"
			       : "",
			state->views[i].name, state->views[i].ready);
	state_give(service, state);
}

struct saml_ports saml_service_ports(struct saml_service *service)
{
	return (struct saml_ports){
		.context = service,
		.source = port_source,
		.verify = port_verify,
		.login = port_login,
		.logout_start = port_logout_start,
		.logout_receive = port_logout_receive,
		.logout_answer = port_logout_answer,
		.metadata = port_metadata,
		.status = port_status,
		.metrics = port_metrics,
	};
}
