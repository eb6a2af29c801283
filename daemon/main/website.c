/*
 * Wiring of the web side. Enters: configurations. Leaves: sessions, sign-in, routes, and where they are served. Fails at start
 * when something but a listener cannot be had; later, what was there before stays.
 */
#include "website.h"

#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/api/api.h>
#include <rolebridge/auth/bearers.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "directory.h"
#include "door.h"
#include "listeners.h"
#include "saml.h"
#include "sealing.h"

#define TICK_S 5

struct website {
	struct changer *changer;
	struct tickets *tickets;
	struct sessions *sessions;
	struct bearers *bearers;
	struct hasher *hasher;
	struct throttle *throttle;
	struct password_policy *policy;
	struct courier *courier;
	struct seal *seal;
	struct saml_service *saml;
	struct directory_service *directory;
	struct web *web;
	struct web_settings_in web_settings;
	struct door *door;
	struct http_router *router;
	struct listeners *listeners;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stopping; /* by lock */
};

struct web *website_web(struct website *website)
{
	return website->web;
}

struct tickets *website_tickets(struct website *website)
{
	return website->tickets;
}

struct bearers *website_bearers(struct website *website)
{
	return website->bearers;
}

struct sessions *website_sessions(struct website *website)
{
	return website->sessions;
}

int website_add_api(struct website *website, struct api *api, struct err *err)
{
	return api_add_web_routes(api, website->router, err);
}

int website_add_door(struct website *website, const struct api_settings *settings, struct err *err)
{
	website->door = door_create(&website->web_settings, settings);
	return website->door ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

int website_open_door(struct website *website, struct configuration *config, const char *address,
		      int64_t until_s, struct strbuf *url, struct err *err)
{
	return door_open(website->door, config, address, until_s, url, err);
}

bool website_is_served(struct website *website)
{
	return listeners_any(website->listeners);
}

/* --- begin and end --- */

/* Beside the store: whoever has the one has the other. */
static struct tickets *open_tickets(const char *store_path, struct err *err)
{
	char *copy = strdup(store_path), *path = NULL;
	struct tickets *tickets = NULL;

	if (!copy || asprintf(&path, "%s/web.key", dirname(copy)) < 0) {
		path = NULL;
		err_set(err, ERR_MEMORY, "out of memory");
	} else {
		tickets = tickets_create(path, err);
	}
	free(copy);
	free(path);
	return tickets;
}

/* What judges passwords and codes. */
static int make_guards(struct website *website, const struct web_settings *settings,
		       struct err *err)
{
	website->hasher = hasher_create(&settings->passwords, err);
	if (website->hasher)
		website->throttle = throttle_create(&settings->throttle, err);
	if (website->throttle)
		website->policy = password_policy_create(&settings->passwords, err);
	if (website->policy)
		website->courier = courier_create(err);
	return website->courier ? 0 : -1;
}

static int make_parts(struct website *website, struct configuration *config,
		      bool (*ready)(void *context),
		      void (*metrics)(void *context, struct strbuf *out), void *context,
		      struct err *err)
{
	struct web_settings_in in = {
		.changer = website->changer, .ready = ready, .metrics = metrics, .context = context
	};

	website->seal = sealing_open(website->changer, config, err);
	if (!website->seal)
		return -1;
	website->tickets = open_tickets(changer_store_path(website->changer), err);
	if (!website->tickets)
		return -1;
	website->sessions = sessions_create(website->changer, &config->settings.web.sessions, err);
	if (website->sessions)
		website->bearers = bearers_create(website->changer, website->sessions, err);
	if (website->bearers)
		website->directory = directory_service_create(website->changer, err);
	website->saml = website->directory ? saml_service_create(website->changer, err) : NULL;
	if (!website->saml || saml_service_configure(website->saml, config, err) < 0)
		return -1;
	if (make_guards(website, &config->settings.web, err) < 0)
		return -1;
	courier_configure(website->courier, &config->setup, &config->settings.web);
	in.hasher = website->hasher;
	in.throttle = website->throttle;
	in.policy = website->policy;
	in.courier = website->courier;
	in.seal = website->seal;
	in.tickets = website->tickets;
	in.sessions = website->sessions;
	in.saml = saml_service_ports(website->saml);
	in.directory = directory_service_ports(website->directory);
	website->web_settings = in;
	website->web = web_create(&in, err);
	website->router = website->web ? http_router_create() : NULL;
	if (!website->router)
		return website->web ? err_set(err, ERR_MEMORY, "out of memory") : -1;
	website->listeners = listeners_create(website->changer, website->web, website->router);
	if (!website->listeners)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (web_add_routes(website->web, website->router, err) < 0)
		return -1;
	return web_configure(website->web, &config->setup, &config->settings.web,
			     &config->settings.catalogue, err);
}

struct website *website_create(struct changer *changer, struct configuration *config,
			       bool (*ready)(void *context),
			       void (*metrics)(void *context, struct strbuf *out), void *context,
			       struct err *err)
{
	struct website *website = calloc(1, sizeof(*website));
	pthread_condattr_t attributes;

	if (!website) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	website->changer = changer;
	pthread_mutex_init(&website->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&website->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (make_parts(website, config, ready, metrics, context, err) == 0)
		return website;
	website_destroy(website);
	return NULL;
}

void website_destroy(struct website *website)
{
	if (!website)
		return;
	website_stop(website, 0);
	door_destroy(website->door);
	listeners_destroy(website->listeners);
	web_destroy(website->web);
	http_router_destroy(website->router);
	saml_service_destroy(website->saml);
	directory_service_destroy(website->directory);
	bearers_destroy(website->bearers);
	sessions_destroy(website->sessions);
	courier_destroy(website->courier);
	seal_destroy(website->seal);
	password_policy_destroy(website->policy);
	throttle_destroy(website->throttle);
	hasher_destroy(website->hasher);
	tickets_destroy(website->tickets);
	pthread_cond_destroy(&website->wake);
	pthread_mutex_destroy(&website->lock);
	free(website);
}

/* --- upkeep --- */

static void upkeep(struct website *website)
{
	struct err err = { 0 };

	if (sessions_tick(website->sessions, clock_now_s(), &err) < 0)
		log_error("sessions.upkeep", F_ERR(&err));
	err_clear(&err);
	if (bearers_tick(website->bearers, clock_now_s(), &err) < 0)
		log_error("tokens.upkeep", F_ERR(&err));
	err_clear(&err);
	if (web_tick(website->web, &err) < 0)
		log_error("sessions.access-lost", F_ERR(&err));
	if (website->door)
		door_tick(website->door, clock_now_s());
	listeners_tick(website->listeners);
}

static void *upkeep_thread(void *context)
{
	struct website *website = context;
	struct timespec until;

	pthread_mutex_lock(&website->lock);
	while (!website->stopping) {
		pthread_mutex_unlock(&website->lock);
		upkeep(website);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += TICK_S;
		pthread_mutex_lock(&website->lock);
		if (!website->stopping)
			pthread_cond_timedwait(&website->wake, &website->lock, &until);
	}
	pthread_mutex_unlock(&website->lock);
	return NULL;
}

int website_start(struct website *website, struct configuration *config, struct err *err)
{
	int failed;

	if (saml_service_start(website->saml, err) < 0)
		return -1;
	failed = pthread_create(&website->thread, NULL, upkeep_thread, website);
	if (failed)
		return err_set_errno(err, ERR_IO, failed, "cannot start a thread");
	website->started = true;
	return listeners_start(website->listeners, config, err);
}

void website_configure(struct website *website, struct configuration *config)
{
	struct err err = { 0 };

	if (saml_service_configure(website->saml, config, &err) < 0)
		log_error("reload.saml", F_ERR(&err));
	err_clear(&err);
	sessions_configure(website->sessions, &config->settings.web.sessions);
	hasher_configure(website->hasher, &config->settings.web.passwords);
	throttle_configure(website->throttle, &config->settings.web.throttle);
	courier_configure(website->courier, &config->setup, &config->settings.web);
	sealing_configure(website->seal, website->changer, config);
	if (password_policy_configure(website->policy, &config->settings.web.passwords, &err) < 0)
		log_error("reload.passwords", F_ERR(&err));
	err_clear(&err);
	if (web_configure(website->web, &config->setup, &config->settings.web,
			  &config->settings.catalogue, &err) < 0)
		log_error("reload.web", F_ERR(&err));
	if (website->door)
		door_configure(website->door, config);
	listeners_configure(website->listeners, config);
}

void website_stop(struct website *website, int64_t drain_ms)
{
	if (!website)
		return;
	/* First, as they may be waiting for a server far away. Sign-ins that have begun need the workers alone. */
	if (website->courier)
		courier_stop(website->courier);
	saml_service_stop(website->saml);
	door_close(website->door, drain_ms);
	if (website->listeners)
		listeners_stop(website->listeners, drain_ms);
	if (!website->started)
		return;
	pthread_mutex_lock(&website->lock);
	website->stopping = true;
	pthread_cond_signal(&website->wake);
	pthread_mutex_unlock(&website->lock);
	pthread_join(website->thread, NULL);
	website->started = false;
}
