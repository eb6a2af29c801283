/*
 * Wiring of the web side. Enters: configurations. Leaves: listeners that answer. Fails at start when something
 * cannot be had; later, what was there before stays.
 */
#include "website.h"

#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/api/api.h>
#include <rolebridge/auth/bearers.h>
#include <rolebridge/base/address.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/http/server.h>

#include "directory.h"
#include "door.h"
#include "saml.h"
#include "sealing.h"

#define TICK_S 5
#define UNIX_PREFIX "unix:"
#define SYSTEMD_PREFIX "systemd:"

struct listener {
	struct http_server *server;
	char *address;
	char *unix_path; /* NULL: not ours to remove */
	int fd;
	bool tls;
};

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
	struct listener *listeners;
	size_t listener_count;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stopping; /* by lock */
	char *trusted;		/* networks that the listeners trust, joined */
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
	return website->listener_count > 0;
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
	free(website->trusted);
	pthread_cond_destroy(&website->wake);
	pthread_mutex_destroy(&website->lock);
	free(website);
}

/* --- listeners --- */

/* A socket that systemd opened for us (FileDescriptorName=). */
static int inherited(const char *name, int *ret_fd, struct err *err)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names), found = -1;

	for (int i = 0; i < count; i++) {
		if (found < 0 && strcmp(names[i], name) == 0)
			found = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	if (found < 0)
		return err_set(err, ERR_NOT_FOUND, "systemd passed no socket named '%s'", name);
	*ret_fd = found;
	return 0;
}

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int open_listener(const struct listener_settings *settings, struct listener *listener,
			 struct err *err)
{
	const char *address = settings->address.text;

	listener->fd = -1;
	listener->address = strdup(address);
	if (!listener->address)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (begins(address, SYSTEMD_PREFIX))
		return inherited(address + strlen(SYSTEMD_PREFIX), &listener->fd, err);
	if (!begins(address, UNIX_PREFIX))
		return http_listen_tcp(address, &listener->fd, err);
	listener->unix_path = strdup(address + strlen(UNIX_PREFIX));
	if (!listener->unix_path)
		return err_set(err, ERR_MEMORY, "out of memory");
	return http_listen_unix(listener->unix_path, settings->group.text, &listener->fd, err);
}

static int read_networks(const struct located_list *list, struct cidr **ret_networks,
			 struct err *err)
{
	struct cidr *networks = calloc(list->count + 1, sizeof(*networks));

	if (!networks)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < list->count; i++) {
		if (cidr_parse(list->items[i].text, &networks[i], err) == 0)
			continue;
		free(networks);
		return -1;
	}
	*ret_networks = networks;
	return 0;
}

/* To be compared. */
static char *join(const struct located_list *list)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1024 * 1024);

	strbuf_puts(&out, "");
	for (size_t i = 0; i < list->count; i++)
		strbuf_printf(&out, "%s ", list->items[i].text);
	return strbuf_failed(&out) ? NULL : strdup(strbuf_text(&out));
}

/*
 * The others are for the proxy that asks and for handlers that wait. With as many threads as cores each sleeps more
 * often and is woken from another core: /auth on two cores took a quarter more CPU with two than with one.
 */
static unsigned default_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 4 ? 1 : cores > 128 ? 64 : (unsigned)cores / 2;
}

static int start_listener(struct website *website, const struct web_settings *web,
			  const struct listener_settings *settings, struct err *err)
{
	struct listener *listener = &website->listeners[website->listener_count];
	struct cidr *networks = NULL;
	struct http_settings http = {
		.name = "web",
		.threading = HTTP_POOL,
		.threads = settings->threads ? (unsigned)settings->threads : default_threads(),
		.connections_max = (unsigned)settings->connections_max,
		/* Longer than nginx keeps one (60 s): the side that asks is the one to close. */
		.idle_deadline_ms = 75000,
		/* They wait more than they work, and logins that wait together share a commit. */
		.slow_threads = 48,
		.router = website->router,
		.listener_context = website->web,
		.certificate_path = settings->certificate.text,
		.key_path = settings->private_key.text,
		.web = true,
		.hsts = web->public_url.text && begins(web->public_url.text, "https:"),
		.error_page = web_error_page,
		.trusted_count = web->trusted_proxies.count,
	};

	/* From here on it is ended by website_stop, whatever there is of it. */
	website->listener_count++;
	if (read_networks(&web->trusted_proxies, &networks, err) < 0)
		return -1;
	if (open_listener(settings, listener, err) < 0) {
		free(networks);
		return err_wrap(err, "listener '%s'", settings->address.text);
	}
	http.trusted = networks;
	http.listen_fd = listener->fd;
	listener->tls = settings->certificate.text != NULL;
	listener->server = http_server_start(&http, err);
	free(networks);
	if (!listener->server)
		return err_wrap(err, "listener '%s'", settings->address.text);
	log_info("listen", F_STR("address", settings->address.text),
		 F_INT("port", http_listen_port(listener->fd)));
	return 0;
}

static int start_listeners(struct website *website, const struct web_settings *web, struct err *err)
{
	const struct listener_settings *settings = web->listeners.items;

	website->listeners = calloc(web->listeners.count + 1, sizeof(*website->listeners));
	if (!website->listeners)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < web->listeners.count; i++) {
		if (start_listener(website, web, &settings[i], err) < 0)
			return -1;
	}
	return 0;
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
	website->trusted = join(&config->settings.web.trusted_proxies);
	if (!website->trusted)
		return err_set(err, ERR_MEMORY, "out of memory");
	return start_listeners(website, &config->settings.web, err);
}

static void reload_certificates(struct website *website, const struct web_settings *web)
{
	const struct listener_settings *settings = web->listeners.items;

	for (size_t i = 0; i < website->listener_count; i++) {
		struct listener *listener = &website->listeners[i];
		struct err err = { 0 };
		bool found = false;

		for (size_t j = 0; !found && j < web->listeners.count; j++) {
			if (strcmp(settings[j].address.text, listener->address) != 0)
				continue;
			found = listener->tls == (settings[j].certificate.text != NULL);
			if (found && listener->tls &&
			    http_server_reload_tls(listener->server, settings[j].certificate.text,
						   settings[j].private_key.text, &err) < 0)
				log_error("reload.certificate", F_STR("address", listener->address),
					  F_ERR(&err));
		}
		if (!found)
			log_warning("reload.needs-restart", F_STR("option", "listeners"));
	}
	if (web->listeners.count > website->listener_count)
		log_warning("reload.needs-restart", F_STR("option", "listeners"));
}

/* Whom a listener believes is fixed when it begins: a proxy that is trusted no more must not be so in silence. */
static void warn_of_fixed(const struct website *website, const struct web_settings *web)
{
	char *trusted = join(&web->trusted_proxies);

	if (!trusted || !website->trusted || strcmp(trusted, website->trusted) != 0)
		log_warning("reload.needs-restart", F_STR("option", "trusted_proxies"));
	free(trusted);
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
	reload_certificates(website, &config->settings.web);
	warn_of_fixed(website, &config->settings.web);
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
	for (size_t i = 0; i < website->listener_count; i++) {
		struct listener *listener = &website->listeners[i];

		if (listener->unix_path && listener->server)
			http_unlisten_unix(listener->unix_path, listener->fd);
		http_server_stop(listener->server, drain_ms);
		free(listener->address);
		free(listener->unix_path);
	}
	free(website->listeners);
	website->listeners = NULL;
	website->listener_count = 0;
	if (!website->started)
		return;
	pthread_mutex_lock(&website->lock);
	website->stopping = true;
	pthread_cond_signal(&website->wake);
	pthread_mutex_unlock(&website->lock);
	pthread_join(website->thread, NULL);
	website->started = false;
}
