/*
 * The door. Enters: an address on loopback, a time. Leaves: a listener with routes, cookies and an origin of its own, which
 * needs nothing of the web side's options. Fails when the address is not ours to have, or without memory; what was
 * open then stays.
 */
#include "door.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/address.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/http/server.h>

#define ANY_ADDRESS "127.0.0.1:0"
#define CONNECTIONS_MAX 64
#define CLOSE_DRAIN_MS 2000

/* Closed: all zero but for lock and settings. */
struct door {
	struct web_settings_in web_settings;
	struct api_settings api_settings;
	pthread_mutex_t lock;
	bool stopped;  /* not to be opened any more */
	char *address; /* as it was asked for */
	char *url;
	int64_t until_s;
	struct web *web;
	struct api *api;
	struct http_router *router;
	struct http_server *server;
};

struct door *door_create(const struct web_settings_in *web, const struct api_settings *api)
{
	struct door *door = alloc_zeroed(1, sizeof(*door));

	if (!door)
		return NULL;
	door->web_settings = *web;
	door->api_settings = *api;
	pthread_mutex_init(&door->lock, NULL);
	return door;
}

/* --- close; callers hold the lock --- */

static void shut(struct door *door, int64_t drain_ms)
{
	if (door->server)
		log_info("door.close", F_STR("url", door->url));
	http_server_stop(door->server, drain_ms);
	http_router_destroy(door->router);
	api_destroy(door->api);
	web_destroy(door->web);
	free(door->address);
	free(door->url);
	door->server = NULL;
	door->router = NULL;
	door->api = NULL;
	door->web = NULL;
	door->address = door->url = NULL;
	door->until_s = 0;
}

/* --- open; callers hold the lock --- */

static int check_loopback(const char *text, struct err *err)
{
	struct address address;
	uint16_t port;

	if (address_parse_port(text, &address, &port, err) < 0)
		return -1;
	if (address_is_loopback(&address))
		return 0;
	return err_refuse(err, ERR_INVALID, "not-loopback",
			  "'%s' is not on loopback: what is said there is not encrypted", text);
}

static char *url_of(const char *address, int fd)
{
	const char *port = strrchr(address, ':');
	char *url;

	return asprintf(&url, "http://%.*s:%u", (int)(port - address), address,
			http_listen_port(fd)) < 0
		       ? NULL
		       : url;
}

static int make_parts(struct door *door, struct configuration *config, struct err *err)
{
	struct web_settings_in web = door->web_settings;
	struct api_settings api = door->api_settings;

	web.door_url = door->url;
	door->web = web_create(&web, err);
	if (!door->web || web_configure(door->web, &config->setup, &config->settings.web,
					&config->settings.catalogue, err) < 0)
		return -1;
	api.web = door->web;
	door->api = api_create(&api, err);
	door->router = door->api ? http_router_create() : NULL;
	if (!door->router)
		return door->api ? err_set(err, ERR_MEMORY, "out of memory") : -1;
	return web_add_routes(door->web, door->router, err) < 0 ||
			       api_add_web_routes(door->api, door->router, err) < 0
		       ? -1
		       : 0;
}

static int start(struct door *door, struct configuration *config, const char *address, int fd,
		 struct err *err)
{
	struct http_settings http = {
		.name = "door",
		.threading = HTTP_POOL,
		.threads = 1,
		.connections_max = CONNECTIONS_MAX,
		.listen_fd = fd,
		.web = true,
		.error_page = web_error_page,
	};

	door->address = strdup(address);
	door->url = url_of(address, fd);
	if (!door->address || !door->url || make_parts(door, config, err) < 0) {
		close(fd);
		return door->web ? -1 : err_set(err, ERR_MEMORY, "out of memory");
	}
	http.router = door->router;
	http.listener_context = door->web;
	door->server = http_server_start(&http, err);
	if (!door->server)
		return -1;
	log_info("door.open", F_STR("url", door->url));
	return 0;
}

static int open_at(struct door *door, struct configuration *config, const char *address,
		   struct err *err)
{
	int fd;

	if (check_loopback(address, err) < 0 || http_listen_tcp(address, &fd, err) < 0)
		return -1;
	/* Now that the new one is ours. */
	shut(door, CLOSE_DRAIN_MS);
	if (start(door, config, address, fd, err) == 0)
		return 0;
	shut(door, 0);
	return -1;
}

static int open_locked(struct door *door, struct configuration *config, const char *address,
		       int64_t until_s, struct strbuf *url, struct err *err)
{
	bool stays = door->server && (!address || strcmp(address, door->address) == 0);

	if (door->stopped)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is about to end");
	if (!stays && open_at(door, config, address ? address : ANY_ADDRESS, err) < 0)
		return err_wrap(err, "cannot open a door");
	if (door->until_s < until_s)
		door->until_s = until_s;
	strbuf_puts(url, door->url);
	return 0;
}

int door_open(struct door *door, struct configuration *config, const char *address, int64_t until_s,
	      struct strbuf *url, struct err *err)
{
	int result;

	pthread_mutex_lock(&door->lock);
	result = open_locked(door, config, address, until_s, url, err);
	pthread_mutex_unlock(&door->lock);
	return result;
}

/* --- later --- */

void door_configure(struct door *door, struct configuration *config)
{
	struct err err = { 0 };

	pthread_mutex_lock(&door->lock);
	if (door->web && web_configure(door->web, &config->setup, &config->settings.web,
				       &config->settings.catalogue, &err) < 0)
		log_error("reload.door", F_ERR(&err));
	pthread_mutex_unlock(&door->lock);
}

void door_tick(struct door *door, int64_t now_s)
{
	pthread_mutex_lock(&door->lock);
	if (door->server && now_s >= door->until_s && web_door_is_idle(door->web, now_s))
		shut(door, CLOSE_DRAIN_MS);
	pthread_mutex_unlock(&door->lock);
}

void door_close(struct door *door, int64_t drain_ms)
{
	if (!door)
		return;
	pthread_mutex_lock(&door->lock);
	door->stopped = true;
	shut(door, drain_ms);
	pthread_mutex_unlock(&door->lock);
}

void door_destroy(struct door *door)
{
	if (!door)
		return;
	door_close(door, 0);
	pthread_mutex_destroy(&door->lock);
	free(door);
}
