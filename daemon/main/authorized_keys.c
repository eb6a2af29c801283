/*
 * Wiring of the answers to sshd. Enters: configurations. Leaves: listening sockets and who answers at them. Fails:
 * closed, with a line in the log and an alarm.
 *
 * Anybody can connect, and the server asks the kernel who it is: the daemon may not give the file to another
 * user's group.
 */
#include "authorized_keys.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/restore.h>
#include <rolebridge/http/server.h>
#include <rolebridge/target/keys.h>

#include "inherited.h"

#define ALARM_KEYS "keys-socket"
#define NAME_BUFFER ((size_t)16 * 1024)

/* One socket. */
struct counter {
	struct counter *next;
	struct authorized_keys *keys;
	char *target, *path;
	uid_t *uids;
	size_t uid_count;
	bool inherited, wanted;
	int listen_fd; /* the server's; -1: none */
	struct keys_server *server;
};

struct authorized_keys {
	struct changer *changer;
	struct sessions *sessions;
	pthread_mutex_t lock; /* of the list: configure and metrics */
	struct counter *counters;
};

struct authorized_keys *authorized_keys_create(struct changer *changer, struct sessions *sessions)
{
	struct authorized_keys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		return NULL;
	keys->changer = changer;
	keys->sessions = sessions;
	pthread_mutex_init(&keys->lock, NULL);
	return keys;
}

/* --- what the server asks --- */

static const struct accounts_target *find_target(const struct configuration *config,
						 const char *name)
{
	const struct target_settings *const *targets = settings_targets(&config->settings);

	for (size_t i = 0; i < config->settings.targets.count; i++)
		if (targets[i]->enabled &&
		    strcmp(targets[i]->type.text, accounts_target_kind.name) == 0 &&
		    strcmp(targets[i]->name.text, name) == 0)
			return (const struct accounts_target *)(const void *)targets[i];
	return NULL;
}

static bool port_target(void *context, const struct accounts_target **ret_target,
			struct setup **ret_setup)
{
	struct counter *counter = context;
	struct setup *setup = changer_setup(counter->keys->changer);
	const struct accounts_target *target =
		find_target(configuration_of(setup), counter->target);

	if (!target || target->keys.at.file == 0) {
		setup_release(setup);
		return false;
	}
	*ret_target = target;
	*ret_setup = setup;
	return true;
}

/* A store that was just restored may not know yet who left since. */
static bool port_may_sign_in(void *context, int64_t user_id)
{
	struct counter *counter = context;
	const struct principal *principal;
	struct err unheard = { 0 };

	if (change_restore_check_sign_in(counter->keys->changer, &unheard) < 0 ||
	    sessions_principal(counter->keys->sessions, user_id, clock_now_s(), &principal,
			       &unheard) < 0)
		return false;
	principal_release(principal);
	return true;
}

/* --- opening and closing --- */

static void close_counter(struct counter *counter)
{
	if (counter->server && !counter->inherited)
		http_unlisten_unix(counter->path, counter->listen_fd);
	keys_server_stop(counter->server);
	counter->server = NULL;
	counter->listen_fd = -1;
}

static void counter_destroy(struct counter *counter)
{
	close_counter(counter);
	free(counter->target);
	free(counter->path);
	free(counter->uids);
	free(counter);
}

static int listen_at(struct counter *counter, struct err *err)
{
	if (inherited_has(AUTHORIZED_KEYS_SOCKET)) {
		counter->inherited = true;
		return inherited_open_unix(AUTHORIZED_KEYS_SOCKET, counter->path,
					   &counter->listen_fd, err);
	}
	if (http_listen_unix(counter->path, NULL, &counter->listen_fd, err) < 0)
		return -1;
	if (chmod(counter->path, 0666) == 0)
		return 0;
	err_set_errno(err, ERR_IO, errno, "cannot open '%s' for who asks", counter->path);
	close(counter->listen_fd);
	counter->listen_fd = -1;
	return -1;
}

static void open_counter(struct counter *counter)
{
	const struct keys_ports ports = { .context = counter,
					  .target = port_target,
					  .may_sign_in = port_may_sign_in };
	struct changer *changer = counter->keys->changer;
	struct err err = { 0 }, unheard = { 0 };

	if (listen_at(counter, &err) == 0)
		counter->server = keys_server_start(changer, counter->listen_fd, counter->uids,
						    counter->uid_count, &ports, &err);
	if (counter->server) {
		log_info("keys.listening", F_STR("target", counter->target),
			 F_STR("socket", counter->path));
		if (change_alarm_end(changer, ALARM_KEYS, counter->path, "served", &unheard) < 0)
			log_error("keys.alarm", F_ERR(&unheard));
		return;
	}
	counter->listen_fd = -1;
	log_error("keys.not-served", F_STR("target", counter->target),
		  F_STR("socket", counter->path), F_ERR(&err));
	if (change_alarm_raise(changer, ALARM_KEYS, counter->path, err.text, &unheard) < 0)
		log_error("keys.alarm", F_ERR(&unheard));
}

/* --- from the configuration --- */

/* Local users that do not exist may not ask, which is said. */
static int fill_uids(struct counter *counter, const struct located_list *users)
{
	counter->uids = calloc(users->count + 1, sizeof(*counter->uids));
	if (!counter->uids)
		return -1;
	for (size_t i = 0; i < users->count; i++) {
		struct passwd entry, *found = NULL;
		char buffer[NAME_BUFFER];

		if (getpwnam_r(users->items[i].text, &entry, buffer, sizeof(buffer), &found) == 0 &&
		    found)
			counter->uids[counter->uid_count++] = found->pw_uid;
		else
			log_warning("keys.no-such-user", F_STR("user", users->items[i].text));
	}
	return 0;
}

static struct counter *counter_create(struct authorized_keys *keys,
				      const struct accounts_target *target)
{
	struct counter *counter = calloc(1, sizeof(*counter));

	if (!counter)
		return NULL;
	counter->keys = keys;
	counter->listen_fd = -1;
	counter->wanted = true;
	counter->target = strdup(target->target.name.text);
	counter->path = strdup(target->keys.socket.text);
	if (counter->target && counter->path && fill_uids(counter, &target->keys.users) == 0)
		return counter;
	counter_destroy(counter);
	return NULL;
}

static bool is_same(const struct counter *a, const struct counter *b)
{
	return strcmp(a->target, b->target) == 0 && strcmp(a->path, b->path) == 0 &&
	       a->uid_count == b->uid_count &&
	       memcmp(a->uids, b->uids, a->uid_count * sizeof(*a->uids)) == 0;
}

/* Was there, and answers: it goes on. */
static bool keep(struct authorized_keys *keys, const struct counter *counter)
{
	for (struct counter *old = keys->counters; old; old = old->next)
		if (old->server && !old->wanted && is_same(old, counter)) {
			old->wanted = true;
			return true;
		}
	return false;
}

/* Who is not wanted any more; before others take its path. */
static void close_others(struct authorized_keys *keys)
{
	struct counter **at = &keys->counters;
	struct err unheard = { 0 };

	while (*at) {
		struct counter *counter = *at;

		if (counter->wanted) {
			at = &counter->next;
			continue;
		}
		*at = counter->next;
		if (!counter->server && change_alarm_end(keys->changer, ALARM_KEYS, counter->path,
							 "not configured", &unheard) < 0)
			log_error("keys.alarm", F_ERR(&unheard));
		counter_destroy(counter);
	}
}

static struct counter *new_counters(struct authorized_keys *keys, struct configuration *config)
{
	const struct target_settings *const *targets = settings_targets(&config->settings);
	struct counter *fresh = NULL;

	for (size_t i = 0; i < config->settings.targets.count; i++) {
		const struct accounts_target *target = find_target(config, targets[i]->name.text);
		struct counter *counter;

		if (!target || target->keys.at.file == 0)
			continue;
		counter = counter_create(keys, target);
		if (!counter) {
			log_error("keys.not-served", F_STR("target", targets[i]->name.text),
				  F_STR("error", "out of memory"));
		} else if (keep(keys, counter)) {
			counter_destroy(counter);
		} else {
			counter->next = fresh;
			fresh = counter;
		}
	}
	return fresh;
}

void authorized_keys_configure(struct authorized_keys *keys, struct configuration *config)
{
	struct counter *fresh;

	pthread_mutex_lock(&keys->lock);
	for (struct counter *counter = keys->counters; counter; counter = counter->next)
		counter->wanted = false;
	fresh = new_counters(keys, config);
	close_others(keys);
	while (fresh) {
		struct counter *counter = fresh;

		fresh = counter->next;
		counter->next = keys->counters;
		keys->counters = counter;
		open_counter(counter);
	}
	if (!keys->counters && inherited_has(AUTHORIZED_KEYS_SOCKET))
		log_warning("listen.unused", F_STR("socket", AUTHORIZED_KEYS_SOCKET));
	pthread_mutex_unlock(&keys->lock);
}

void authorized_keys_stop(struct authorized_keys *keys)
{
	if (!keys)
		return;
	pthread_mutex_lock(&keys->lock);
	for (struct counter *counter = keys->counters; counter; counter = counter->next)
		close_counter(counter);
	pthread_mutex_unlock(&keys->lock);
}

void authorized_keys_destroy(struct authorized_keys *keys)
{
	if (!keys)
		return;
	while (keys->counters) {
		struct counter *counter = keys->counters;

		keys->counters = counter->next;
		counter_destroy(counter);
	}
	pthread_mutex_destroy(&keys->lock);
	free(keys);
}

void authorized_keys_metrics(struct authorized_keys *keys, struct strbuf *out)
{
	if (!keys)
		return;
	pthread_mutex_lock(&keys->lock);
	/* They are of one machine: one set of figures. */
	if (keys->counters)
		keys_server_metrics(keys->counters->server, out);
	pthread_mutex_unlock(&keys->lock);
}
