/*
 * The daemon's life: what begins in which order, what it waits for, what ends in which order.
 *
 * Order of start-up: configuration → store (rolls forward what a crash left)
 * → control socket → ready → schedule. Nothing is answered before the store is whole. Drain is
 * the reverse: runs are cancelled, the socket ends, accepted changes are committed.
 */
#include "service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <rolebridge/auth/decisions.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/version.h>
#include <rolebridge/http/server.h>

#include "authorized_keys.h"
#include "figures.h"
#include "follow.h"
#include "mailer.h"
#include "retention.h"
#include "schedule.h"
#include "service_parts.h"
#include "sources.h"
#include "targets.h"
#include "website.h"

#define DRAIN_MS 10000

/* --- signals --- */

/* Blocked in every thread from the start; read from a descriptor by the first. */
static int open_signals(struct err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	/* Whoever started us may have ignored it, and workers are waited for. */
	signal(SIGCHLD, SIG_DFL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot open signalfd");
	return fd;
}

/* How often the watchdog is fed: three times in what it waits, so that one look that was too early decides nothing. */
static int64_t watchdog_pause_us(void)
{
	uint64_t watchdog_us = 0;

	return sd_watchdog_enabled(0, &watchdog_us) > 0 ? (int64_t)(watchdog_us / 3) + 1 : 0;
}

/* Only while web requests are taken up, too. A store that is slow is no reason: it would be no faster after a restart. */
static void feed_watchdog(void)
{
	if (http_loops_turn())
		sd_notify(0, "WATCHDOG=1");
	else
		log_error("watchdog.stuck", F_STR("thread", "http"));
}

/* Until SIGTERM or SIGINT. */
static void wait_for_end(struct service *service, int signals)
{
	int64_t pause_us = watchdog_pause_us(), next_us = 0;
	struct signalfd_siginfo info;

	for (;;) {
		struct pollfd ready = { .fd = signals, .events = POLLIN };
		int64_t now_us = clock_monotonic_us();

		if (pause_us > 0 && now_us >= next_us) {
			feed_watchdog();
			next_us = now_us + pause_us;
		}
		if (poll(&ready, 1, pause_us > 0 ? (int)((next_us - now_us) / 1000 + 1) : -1) <= 0)
			continue;
		if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP)
			return;
		service_start_reload(service);
	}
}

/* --- begin --- */

static bool is_ready(void *context)
{
	struct service *service = context;

	return atomic_load(&service->ready);
}

/* Rules that changed while the daemon was down: everybody is looked at again, under the same limits. */
static int reevaluate_if_due(struct service *service, struct configuration *config, struct err *err)
{
	const struct actor actor = { .name = "start", .request = "" };
	struct run_report report;
	bool due;
	int result;

	if (changer_reload_due(service->changer, &due, err) < 0)
		return -1;
	if (!due)
		return 0;
	run_report_init(&report);
	result = changer_reload(service->changer, &config->setup, &actor, &report, err);
	if (result == 0)
		source_log_run("rules", &report);
	run_report_finish(&report);
	return result;
}

static void write_metrics(void *context, struct strbuf *out)
{
	struct service *service = context;

	figures_write(service->changer, service->started_s, out);
	follow_metrics(service->follow, out);
	if (service->mailer)
		mailer_metrics(service->mailer, out);
	targets_write_metrics(service->targets, service->changer, out);
	authorized_keys_metrics(service->authorized_keys, out);
}

static int start_authorized_keys(struct service *service, struct configuration *config,
				 struct err *err)
{
	service->authorized_keys =
		authorized_keys_create(service->changer, website_sessions(service->website));
	if (!service->authorized_keys)
		return err_set(err, ERR_MEMORY, "out of memory");
	authorized_keys_configure(service->authorized_keys, config);
	return 0;
}

static int start(struct service *service, struct err *err)
{
	struct configuration *config = startup_load(service->config_path, &service->lock_fd, err);
	char *control_path;
	int result = -1;

	if (!config)
		return -1;
	log_set_level((enum log_level)config->settings.log_level);
	control_path = strdup(config->settings.control_socket.text);
	service->control_path.text = control_path;
	service->changer = changer_open(config->settings.store.text, &config->setup, err);
	service->runs = runs_create();
	if (!service->changer || reevaluate_if_due(service, config, err) < 0)
		goto out;
	service_alarm_definitions(service, config->definitions.lenient, "start");
	service->schedule = schedule_create(service->changer, service->runs, service_sync, service);
	service->follow = follow_create(service->changer);
	if (!control_path || !service->runs || !service->schedule || !service->follow) {
		err_set(err, ERR_MEMORY, "out of memory");
		goto out;
	}
	service->website =
		website_create(service->changer, config, is_ready, write_metrics, service, err);
	if (!service->website)
		goto out;
	service->decisions = decisions_create(service->changer, &config->settings.web, err);
	if (!service->decisions || start_authorized_keys(service, config, err) < 0)
		goto out;
	service->targets = targets_begin(service->changer, err);
	if (!service->targets)
		goto out;
	result = control_open(service, &config->settings, err);
	if (result == 0)
		result = schedule_start(service->schedule, err);
	if (result == 0)
		follow_configure(service->follow, config);
	if (result == 0) {
		service->mailer =
			mailer_start(service->changer, website_tickets(service->website), err);
		result = service->mailer ? 0 : -1;
	}
	if (result == 0) {
		service->retainer = retainer_start(service->changer, err);
		result = service->retainer ? 0 : -1;
	}
	if (result == 0)
		result = website_start(service->website, config, err);
	if (result == 0)
		atomic_store(&service->ready, true);
out:
	setup_release(&config->setup);
	return result;
}

/* A reload that is asked for before all is there waits for it: what it says would else be undone by what start was given. */
static int begin(struct service *service, struct err *err)
{
	int result;

	pthread_mutex_lock(&service->reload_lock);
	result = start(service, err);
	if (result == 0) {
		log_info("start.ready", F_STR("version", ROLEBRIDGE_VERSION),
			 F_STR("socket", service->control_path.text));
		sd_notify(0, "READY=1\nSTATUS=Running");
	}
	pthread_mutex_unlock(&service->reload_lock);
	return result;
}

/* --- end --- */

static void stop(struct service *service)
{
	atomic_store(&service->ready, false);
	changer_stop(service->changer);
	schedule_stop(service->schedule);
	follow_stop(service->follow);
	mailer_stop(service->mailer);
	targets_stop(service->targets);
	retainer_stop(service->retainer);
	authorized_keys_stop(service->authorized_keys);
	/* First: whoever waits for a run to end is waited for. */
	if (service->runs)
		runs_cancel(service->runs);
	website_stop(service->website, DRAIN_MS);
	sd_notify(0, "WATCHDOG=1");
	control_close(service, DRAIN_MS);
	sd_notify(0, "WATCHDOG=1");
	runs_destroy(service->runs);
	api_destroy(service->api);
	http_router_destroy(service->router);
	schedule_destroy(service->schedule);
	follow_destroy(service->follow);
	mailer_destroy(service->mailer);
	retainer_destroy(service->retainer);
	authorized_keys_destroy(service->authorized_keys);
	website_destroy(service->website);
	decisions_destroy(service->decisions);
	changer_close(service->changer);
	/* Told of what is queued until then. */
	targets_destroy(service->targets);
	free((char *)(uintptr_t)service->control_path.text);
	pthread_mutex_destroy(&service->reload_lock);
	if (service->lock_fd >= 0)
		close(service->lock_fd);
}

int service_run(const char *config_path)
{
	struct service service = {
		.config_path = config_path,
		.started_s = clock_now_s(),
		.control_fd = -1,
		.lock_fd = -1,
		.reload_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct err err = { 0 };
	AUTO(fd) int signals = open_signals(&err);
	int status = 1;

	if (signals < 0 || begin(&service, &err) < 0) {
		log_error("start.failed", F_ERR(&err));
	} else {
		wait_for_end(&service, signals);
		log_info("stop.draining");
		sd_notify(0, "STOPPING=1\nWATCHDOG=1\nSTATUS=Finishing what was accepted");
		status = 0;
	}
	stop(&service);
	if (status == 0)
		log_info("stop.done");
	return status;
}
