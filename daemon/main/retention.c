/*
 * Old rows of the audit log, once a minute. Enters: the configuration in force. Leaves: log lines, an alarm while
 * rows cannot go. Whoever writes the store could write the whole chain anew: the head goes to the journal, too.
 */
#include "retention.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/retention.h>

#include "configuration.h"

#define LOOK_S 60
#define ALARM_KIND "audit-retention"
#define ALARM_SUBJECT "audit"

struct retainer {
	struct changer *changer;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	bool alarm_known, alarm; /* the thread's: is it raised? */
	int64_t head_seq;	 /* told last */
};

/* --- the head --- */

static int tell_head(struct retainer *retainer, struct err *err)
{
	AUTO(store)
	struct store *store = store_open(changer_store_path(retainer->changer), STORE_READ, err);
	struct hash256 hash;
	int64_t seq;
	char hex[65];

	if (!store || store_audit_head(store, &seq, &hash, err) < 0)
		return -1;
	if (seq == retainer->head_seq)
		return 0;
	hash256_hex(&hash, hex);
	log_info("audit.head", F_INT("seq", seq), F_STR("hash", hex));
	retainer->head_seq = seq;
	return 0;
}

/* --- rows that go --- */

/* The archive's folder, copied; false: rows are kept for ever. */
static bool read_settings(struct retainer *retainer, int64_t *ret_keep_s, char **ret_archive)
{
	struct setup *setup = changer_setup(retainer->changer);
	const struct audit_settings *settings = &configuration_of(setup)->settings.audit;
	const char *archive = settings->archive.text;

	*ret_keep_s = settings->retention_s;
	*ret_archive = *ret_keep_s > 0 && archive ? strdup(archive) : NULL;
	/* Without memory for its name nothing goes: a row that is not archived is lost. */
	if (archive && !*ret_archive)
		*ret_keep_s = 0;
	setup_release(setup);
	return *ret_keep_s > 0;
}

static void set_alarm(struct retainer *retainer, const struct err *problem)
{
	struct err err = { 0 };
	int result = 0;

	if (problem)
		result = change_alarm_raise(retainer->changer, ALARM_KIND, ALARM_SUBJECT,
					    problem->text, &err);
	else if (!retainer->alarm_known || retainer->alarm)
		result = change_alarm_end(retainer->changer, ALARM_KIND, ALARM_SUBJECT, "timer",
					  &err);
	if (result < 0) {
		log_error("alarm.failed", F_STR("kind", ALARM_KIND), F_ERR(&err));
		return;
	}
	retainer->alarm_known = true;
	retainer->alarm = problem != NULL;
}

static void let_go(struct retainer *retainer)
{
	struct retention retention;
	char *archive;
	struct err err = { 0 };
	int64_t gone = 1, all = 0;
	int result = 0;

	if (!read_settings(retainer, &retention.keep_s, &archive)) {
		free(archive);
		set_alarm(retainer, NULL);
		return;
	}
	retention.archive = archive;
	while (result == 0 && gone > 0 && !atomic_load(&retainer->stopping)) {
		result = change_audit_retain(retainer->changer, &retention, &gone, &err);
		all += result == 0 ? gone : 0;
	}
	free(archive);
	if (all > 0)
		log_info("audit.pruned", F_INT("rows", all));
	if (atomic_load(&retainer->stopping))
		return;
	if (result < 0)
		log_error("audit.retention.failed", F_ERR(&err));
	set_alarm(retainer, result < 0 ? &err : NULL);
}

/* --- the thread --- */

static void wait_for_look(struct retainer *retainer)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOOK_S;
	pthread_mutex_lock(&retainer->lock);
	while (!atomic_load(&retainer->stopping) &&
	       pthread_cond_timedwait(&retainer->wake, &retainer->lock, &until) == 0)
		;
	pthread_mutex_unlock(&retainer->lock);
}

static void *retainer_main(void *context)
{
	struct retainer *retainer = context;

	pthread_setname_np(pthread_self(), "retention");
	while (!atomic_load(&retainer->stopping)) {
		struct err err = { 0 };

		let_go(retainer);
		if (tell_head(retainer, &err) < 0)
			log_error("audit.head.failed", F_ERR(&err));
		wait_for_look(retainer);
	}
	return NULL;
}

struct retainer *retainer_start(struct changer *changer, struct err *err)
{
	struct retainer *retainer = calloc(1, sizeof(*retainer));
	pthread_condattr_t attributes;
	int failed;

	if (!retainer) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	retainer->changer = changer;
	pthread_mutex_init(&retainer->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&retainer->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	failed = pthread_create(&retainer->thread, NULL, retainer_main, retainer);
	retainer->started = failed == 0;
	if (!failed)
		return retainer;
	err_set_errno(err, ERR_IO, failed, "cannot start the thread of the audit log");
	retainer_destroy(retainer);
	return NULL;
}

void retainer_stop(struct retainer *retainer)
{
	if (!retainer)
		return;
	pthread_mutex_lock(&retainer->lock);
	atomic_store(&retainer->stopping, true);
	pthread_cond_signal(&retainer->wake);
	pthread_mutex_unlock(&retainer->lock);
	if (retainer->started)
		pthread_join(retainer->thread, NULL);
	retainer->started = false;
}

void retainer_destroy(struct retainer *retainer)
{
	if (!retainer)
		return;
	retainer_stop(retainer);
	pthread_cond_destroy(&retainer->wake);
	pthread_mutex_destroy(&retainer->lock);
	free(retainer);
}
