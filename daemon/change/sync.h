/* A sync run in progress. Inside change/ only. */
#ifndef CHANGE_SYNC_PRIVATE_H
#define CHANGE_SYNC_PRIVATE_H

#include "internal.h"
#include "link.h"

/* Why nobody of a whole read counts as missing. */
#define NAMELESS "an entry without key and name could not be processed: nobody counts as missing"

struct seen_group {
	uint32_t id;
	bool found;
	int64_t members;
};

struct changes;

struct sync {
	struct changer *changer;
	enum sync_kind kind;
	struct changes *changes; /* of a run of changes */
	struct live_setup *setup;
	const struct source_settings *settings;
	uint16_t number;
	const char *source, *cause;
	struct actor actor;
	bool dry_run, force_all, force_noted, first_noted;
	int64_t now_s, started_us;
	struct store *store;
	struct arena *texts; /* as long as the run */
	struct arena *arena; /* one person */
	struct source_slot *slot;
	struct linker *linker;
	struct source_state state;
	struct held_users own, others;
	/* Of who is looked at, when it is known already; see struct evaluation. */
	const struct identity_row *given_rows;
	size_t given_row_count;
	const struct groups_given *given_groups;
	struct seen_group *groups;
	size_t group_count, group_capacity;
	struct quarantine_row *quarantined;
	size_t quarantined_count, quarantined_capacity, quarantine_at;
	/* Normal names of entries that could not be processed and have no key. */
	struct hash_table *frozen_names;
	bool nameless; /* an entry had neither: it may be anybody's */
	uint64_t canaries_seen;
	struct run_report report;
	struct run run;	    /* as read */
	struct run again;   /* gone through once more, when something was known only at the end */
	struct run *active; /* which of them counts */
	bool run_ready;
	/* At the end. */
	bool complete, ready;
	const char *problem, *server;
	struct coverage coverage_after;
	struct group_registry_row *rows; /* to be written */
	size_t row_count;
	uint32_t *vanished; /* in this run, ascending */
	size_t vanished_count;
	struct live_setup *frozen; /* the setup with these unknown; NULL when none */
	bool force_next;
};

int sync_evaluate(struct sync *sync, const struct live_setup *setup, int64_t user_id,
		  const struct identity_change *identity, struct person_change *ret_change,
		  enum evaluated *ret_outcome, const char **ret_problem, struct err *err);
/* sync_identity.c: somebody new or changed, as a whole or in groups alone, into the draft. */
int sync_look_at(struct sync *sync, struct known_entry *entry,
		 const struct identity_change *identity, struct err *err);
/*
 * Nothing new is known of a person, or nothing that can be used: what waits for them in the held plan
 * waits on, and nothing else happens.
 */
int sync_keep_waiting(struct sync *sync, int64_t user_id, struct err *err);
/* sync_missing.c: at the end of a whole read. */
int sync_miss_unseen(struct sync *sync, struct err *err);
/* sync_quarantine.c */
int sync_quarantine_listed(struct sync *sync, const struct quarantined *entry, struct err *err);
/* Those of the store that cannot be processed, from sync->quarantine_at on, at most so many. */
int sync_store_quarantined(struct changer *changer, struct sync *sync, size_t most,
			   struct err *err);
/* sync_identity.c: which of the source's canaries is this? Into sync->canaries_seen. */
void sync_watch_canaries(struct sync *sync, const void *record, size_t size, const char *key,
			 size_t key_size);
/* sync.c */
int sync_find_source(struct sync *sync, const char *name, struct err *err);
/* changes.c */
int changes_begin(struct sync *sync, const struct actor *actor, struct err *err);
/* sync.c: for changes_due, beside one that follows the source. */
struct sync *sync_begin_due(struct changer *changer, const char *source, const struct actor *actor,
			    struct err *err);
/* changes_gather.c */
int changes_identity(struct sync *sync, const void *record, size_t size, struct err *err);
/* Look at these users: the time has come at which the source disables them. A run of its own. */
int changes_due(struct sync *sync, const int64_t *ids, size_t count, struct err *err);
int changes_quarantine(struct sync *sync, const struct quarantined *entry, struct err *err);
/* changes.c */
int changes_finish(struct sync *sync, const char *server, struct err *err);
void changes_destroy(struct changes *changes);
/*
 * rewrite.c: what the groups mean, the draft once more where that or an incomplete
 * read asks for it, and what READY has to write about the source. Sets sync->active.
 */
int sync_prepare(struct sync *sync, struct err *err);

#endif
