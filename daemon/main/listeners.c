/*
 * Listeners of the web side. Enters: configurations. Leaves: sockets that answer, an alarm for each that does not.
 * What fails: memory alone; all else is tried again.
 *
 * Their number, their addresses and whom they believe are fixed when they begin; what a reload says of certificates counts at
 * once, also for one that could not be had so far.
 */
#include "listeners.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/http/server.h>

#include "inherited.h"

#define UNIX_PREFIX "unix:"
#define SYSTEMD_PREFIX "systemd:"
#define ALARM_LISTENER "listener"
#define ALARMS_MAX ((size_t)64 << 20)

struct listener {
	struct http_server *server; /* NULL: not there yet */
	char *address;
	char *unix_path; /* NULL: not ours to remove */
	int fd;
	bool tls;
	char *problem; /* that the alarm tells; NULL: none */
};

struct listeners {
	struct changer *changer;
	struct web *web;
	const struct http_router *router;
	pthread_mutex_t lock;
	/* By lock. */
	struct listener *items;
	size_t count;
	bool stopped;
	char *trusted; /* networks that the listeners trust, joined */
};

struct listeners *listeners_create(struct changer *changer, struct web *web,
				   const struct http_router *router)
{
	struct listeners *listeners = alloc_zeroed(1, sizeof(*listeners));

	if (!listeners)
		return NULL;
	*listeners = (struct listeners){ .changer = changer, .web = web, .router = router };
	pthread_mutex_init(&listeners->lock, NULL);
	return listeners;
}

void listeners_destroy(struct listeners *listeners)
{
	if (!listeners)
		return;
	listeners_stop(listeners, 0);
	free(listeners->trusted);
	pthread_mutex_destroy(&listeners->lock);
	free(listeners);
}

/* --- sockets --- */

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int open_socket(const struct listener_settings *settings, struct listener *listener,
		       struct err *err)
{
	const char *address = settings->address.text;

	if (begins(address, SYSTEMD_PREFIX))
		return inherited_open(address + strlen(SYSTEMD_PREFIX), &listener->fd, err);
	return listener->unix_path ? http_listen_unix(listener->unix_path, settings->group.text,
						      &listener->fd, err)
				   : http_listen_tcp(address, &listener->fd, err);
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

static int start_server(struct listeners *listeners, struct listener *listener,
			const struct web_settings *web, const struct listener_settings *settings,
			struct err *err)
{
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
		.router = listeners->router,
		.listener_context = listeners->web,
		.certificate_path = settings->certificate.text,
		.key_path = settings->private_key.text,
		.web = true,
		.hsts = web->public_url.text && begins(web->public_url.text, "https:"),
		.error_page = web_error_page,
		.trusted_count = web->trusted_proxies.count,
	};

	if (read_networks(&web->trusted_proxies, &networks, err) < 0)
		return -1;
	if (open_socket(settings, listener, err) < 0) {
		free(networks);
		return -1;
	}
	http.trusted = networks;
	http.listen_fd = listener->fd;
	listener->tls = settings->certificate.text != NULL;
	listener->server = http_server_start(&http, err);
	free(networks);
	if (!listener->server)
		return -1;
	if (listener->unix_path && settings->group.text &&
	    !http_unix_is_open_to(listener->unix_path, settings->group.text))
		log_warning("listen.socket-private", F_STR("socket", listener->unix_path),
			    F_STR("group", settings->group.text));
	log_info("listen", F_STR("address", listener->address),
		 F_INT("port", http_listen_port(listener->fd)));
	return 0;
}

/* --- alarms --- */

/* Once for each cause: it is tried again every few seconds. */
static void tell_problem(struct listeners *listeners, struct listener *listener,
			 const struct err *cause)
{
	struct err err = { 0 };

	if (listener->problem && strcmp(listener->problem, cause->text) == 0)
		return;
	log_error("listen.failed", F_STR("address", listener->address), F_ERR(cause));
	free(listener->problem);
	listener->problem = strdup(cause->text);
	if (change_alarm_raise(listeners->changer, ALARM_LISTENER, listener->address, cause->text,
			       &err) < 0)
		log_error("listen.alarm", F_STR("address", listener->address), F_ERR(&err));
}

/* Also one of the process before us. */
static void end_problem(struct listeners *listeners, struct listener *listener)
{
	struct err err = { 0 };

	free(listener->problem);
	listener->problem = NULL;
	if (change_alarm_end(listeners->changer, ALARM_LISTENER, listener->address, "listening",
			     &err) < 0)
		log_error("listen.alarm", F_STR("address", listener->address), F_ERR(&err));
}

static void try_listener(struct listeners *listeners, struct listener *listener,
			 const struct web_settings *web, const struct listener_settings *settings)
{
	struct err err = { 0 };

	if (start_server(listeners, listener, web, settings, &err) == 0)
		end_problem(listeners, listener);
	else
		tell_problem(listeners, listener, &err);
}

static bool is_configured(const struct listeners *listeners, const char *address)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (strcmp(listeners->items[i].address, address) == 0)
			return true;
	return false;
}

/* Of addresses that the process before us could not have, and nobody wants any more. */
static void end_others(struct listeners *listeners)
{
	AUTO(arena) struct arena *arena = arena_create(ALARMS_MAX);
	AUTO(store) struct store *store = NULL;
	struct alarm_row *rows = NULL;
	struct err err = { 0 };
	size_t count = 0;
	int result = -1;

	if (arena)
		store = store_open(changer_store_path(listeners->changer), STORE_READ, &err);
	if (store)
		result = store_alarm_list(store, true, arena, &rows, &count, &err);
	for (size_t i = 0; result == 0 && i < count; i++)
		if (strcmp(rows[i].kind, ALARM_LISTENER) == 0 &&
		    !is_configured(listeners, rows[i].subject))
			result = change_alarm_end(listeners->changer, ALARM_LISTENER,
						  rows[i].subject, "not-configured", &err);
	if (result < 0)
		log_error("listen.alarm", F_ERR(&err));
}

/* --- begin --- */

static int add_listener(struct listeners *listeners, const struct listener_settings *settings,
			struct err *err)
{
	struct listener *listener = &listeners->items[listeners->count++];
	const char *address = settings->address.text;

	listener->fd = -1;
	listener->address = strdup(address);
	if (begins(address, UNIX_PREFIX))
		listener->unix_path = strdup(address + strlen(UNIX_PREFIX));
	if (listener->address && (listener->unix_path || !begins(address, UNIX_PREFIX)))
		return 0;
	return err_set(err, ERR_MEMORY, "out of memory");
}

static bool is_served(const void *context, const char *name)
{
	const struct listeners *listeners = context;

	for (size_t i = 0; i < listeners->count; i++)
		if (begins(listeners->items[i].address, SYSTEMD_PREFIX) &&
		    strcmp(listeners->items[i].address + strlen(SYSTEMD_PREFIX), name) == 0)
			return true;
	return false;
}

static int start_all(struct listeners *listeners, const struct web_settings *web, struct err *err)
{
	const struct listener_settings *settings = web->listeners.items;

	listeners->trusted = join(&web->trusted_proxies);
	listeners->items = calloc(web->listeners.count + 1, sizeof(*listeners->items));
	if (!listeners->items || !listeners->trusted)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < web->listeners.count; i++) {
		if (add_listener(listeners, &settings[i], err) < 0)
			return -1;
		try_listener(listeners, &listeners->items[i], web, &settings[i]);
	}
	end_others(listeners);
	inherited_warn_unused(is_served, listeners);
	return 0;
}

int listeners_start(struct listeners *listeners, struct configuration *config, struct err *err)
{
	int result;

	pthread_mutex_lock(&listeners->lock);
	result = start_all(listeners, &config->settings.web, err);
	pthread_mutex_unlock(&listeners->lock);
	return result;
}

/* --- later; callers hold the lock --- */

static const struct listener_settings *settings_of(const struct web_settings *web,
						   const struct listener *listener)
{
	const struct listener_settings *settings = web->listeners.items;

	for (size_t i = 0; i < web->listeners.count; i++)
		if (strcmp(settings[i].address.text, listener->address) == 0)
			return &settings[i];
	return NULL;
}

static void try_again(struct listeners *listeners, const struct web_settings *web)
{
	for (size_t i = 0; !listeners->stopped && i < listeners->count; i++) {
		struct listener *listener = &listeners->items[i];
		const struct listener_settings *settings = settings_of(web, listener);

		if (!listener->server && settings)
			try_listener(listeners, listener, web, settings);
	}
}

static void reload_certificates(struct listeners *listeners, const struct web_settings *web)
{
	for (size_t i = 0; i < listeners->count; i++) {
		struct listener *listener = &listeners->items[i];
		const struct listener_settings *settings = settings_of(web, listener);
		struct err err = { 0 };

		if (!settings ||
		    (listener->server && listener->tls != (settings->certificate.text != NULL)))
			log_warning("reload.needs-restart", F_STR("option", "listeners"));
		else if (listener->server && listener->tls &&
			 http_server_reload_tls(listener->server, settings->certificate.text,
						settings->private_key.text, &err) < 0)
			log_error("reload.certificate", F_STR("address", listener->address),
				  F_ERR(&err));
	}
	if (web->listeners.count > listeners->count)
		log_warning("reload.needs-restart", F_STR("option", "listeners"));
}

/* Whom a listener believes is fixed when it begins: a proxy that is trusted no more must not be so in silence. */
static void warn_of_fixed(const struct listeners *listeners, const struct web_settings *web)
{
	char *trusted = join(&web->trusted_proxies);

	if (!trusted || !listeners->trusted || strcmp(trusted, listeners->trusted) != 0)
		log_warning("reload.needs-restart", F_STR("option", "trusted_proxies"));
	free(trusted);
}

void listeners_configure(struct listeners *listeners, struct configuration *config)
{
	const struct web_settings *web = &config->settings.web;

	pthread_mutex_lock(&listeners->lock);
	reload_certificates(listeners, web);
	warn_of_fixed(listeners, web);
	try_again(listeners, web);
	pthread_mutex_unlock(&listeners->lock);
}

void listeners_tick(struct listeners *listeners)
{
	struct setup *setup = changer_setup(listeners->changer);

	pthread_mutex_lock(&listeners->lock);
	try_again(listeners, &configuration_of(setup)->settings.web);
	pthread_mutex_unlock(&listeners->lock);
	setup_release(setup);
}

void listeners_stop(struct listeners *listeners, int64_t drain_ms)
{
	pthread_mutex_lock(&listeners->lock);
	listeners->stopped = true;
	for (size_t i = 0; i < listeners->count; i++) {
		struct listener *listener = &listeners->items[i];

		if (listener->unix_path && listener->server)
			http_unlisten_unix(listener->unix_path, listener->fd);
		http_server_stop(listener->server, drain_ms);
		free(listener->address);
		free(listener->unix_path);
		free(listener->problem);
	}
	free(listeners->items);
	listeners->items = NULL;
	listeners->count = 0;
	pthread_mutex_unlock(&listeners->lock);
}

bool listeners_any(struct listeners *listeners)
{
	bool any;

	pthread_mutex_lock(&listeners->lock);
	any = !listeners->items && !listeners->stopped;
	for (size_t i = 0; i < listeners->count; i++)
		any |= listeners->items[i].server != NULL;
	pthread_mutex_unlock(&listeners->lock);
	return any;
}
