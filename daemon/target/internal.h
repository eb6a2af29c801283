/* What the files about the queue share: one target, its thread, and all of them. */
#ifndef TARGET_INTERNAL_H
#define TARGET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <rolebridge/target/target.h>

#define TARGET_ALARM_BEHIND "target-behind"

struct outcomes;

struct target {
	struct target *next;
	struct targets *all;
	char *name;
	const struct target_kind *kind;
	pthread_t thread;
	bool started;
	atomic_bool stopping;

	/* The thread's own. */
	struct store *store;
	struct setup
		*setup; /* the configuration that the instance is of; NULL: there is no instance */
	const struct target_settings *settings;
	void *instance;
	uint64_t generation;
	struct outcomes *unnoted; /* what the store could not be told yet */
	int64_t watched_us;	  /* when it was last looked whether it is behind */
	bool alarm_known, behind;
	bool needs_person; /* the last attempt said so */

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t wake;
	bool woken, urgent;
	bool failing, held; /* held: after a restore, until somebody lets it go on */
	char *problem;	    /* why; NULL */
	int64_t failures, failing_since_s, delivered_s;
	int64_t retry_us; /* monotonic: not before; 0: at once */
	int64_t tried_us;

	atomic_uint_fast64_t sent, put_off, failed, refused;
};

struct targets {
	struct changer *changer;
	struct targets_ports ports;
	pthread_mutex_t lock; /* the list */
	struct target *first;
	bool stopped; /* by lock: nothing begins any more */
};

/* --- settings.c --- */
/* Warns of profiles or roles that are not declared. */
void target_check_names(const struct catalogue_settings *catalogue, enum grant_kind kind,
			const struct located_list *names, struct diagnostics *list);

/* --- worker.c --- */
/* NULL: out of memory. */
struct target *target_create(struct targets *all, const char *name, const struct target_kind *kind);
int target_start(struct target *target, struct err *err);
/* Look now; urgent: also while it is paused because it fails. */
void target_wake(struct target *target, bool urgent);
/* Tell it to end, without waiting for it. */
void target_ask_to_stop(struct target *target);
void target_destroy(struct target *target); /* stops it */

/* --- targets.c --- */
/* The settings of that name in a setup; NULL: none, or of a kind that is not known. */
const struct target_settings *targets_find(const struct targets *targets, struct setup *setup,
					   const char *name, const struct target_kind **ret_kind);

#endif
