/*
 * A sync run: identities of one source come in, a plan is stored, limits hold
 * what is over them, the rest is applied in batches.
 *
 *	sync_begin → sync_identity/quarantine/group … (one thread) → sync_finish
 *
 * A dry run does all but write: it reads through a read-only connection.
 */
#ifndef ROLEBRIDGE_CHANGE_SYNC_H
#define ROLEBRIDGE_CHANGE_SYNC_H

#include <rolebridge/change/changer.h>

#define PLAN_LISTED_MAX 10000

/* One line of a plan for people. Owned by the report's arena. */
struct report_change {
	const char *username, *display_name;
	struct uuid uuid;
	const char *
		what; /* "create", "disable", "enable", "grant", "revoke", "profile", "update"; dry run: "conflict" */
	const char *kind; /* grant kind, or "" */
	const char *before, *after;
	const char *why; /* rule id, reason */
	bool held;
};

struct report_hold {
	const char *kind, *subject, *text;
	int64_t count;
};

struct run_report {
	struct arena *arena; /* owned: run_report_finish */
	/*
	 * Whose people it lists, set before the run; NULL: all. What it counts is about everybody until
	 * run_report_narrow, which leaves what is about these.
	 */
	const char *organization;
	struct {
		int64_t created, updated, disabled, enabled, granted, revoked, held;
	} listed;
	bool dry_run;
	bool complete; /* the read was whole */
	const char *problem;
	const char *server;
	int64_t entries, unchanged, quarantined;
	int64_t created, updated, disabled, enabled, granted, revoked; /* applied (or would be) */
	int64_t missing;     /* identities not seen, waiting for grace */
	int64_t held;	     /* changes held */
	const char *plan_id; /* of the held plan; "" when nothing is held */
	struct report_hold *holds;
	size_t hold_count;
	struct report_change *changes; /* at most PLAN_LISTED_MAX, ordered by username */
	size_t change_count;
	int64_t changes_total;
	int64_t started_s, duration_ms;
	/* Told now and then while a plan is applied, by the thread that waits for it; may be NULL. */
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *progress_context;
};
void run_report_init(struct run_report *report);
void run_report_finish(struct run_report *report);
/* Lines of one person's change: all are counted, PLAN_LISTED_MAX are kept. run_report_sort when all are in. */
int run_report_person(struct run_report *report, const struct person_change *change, bool held,
		      struct err *err);
void run_report_sort(struct run_report *report);
void run_report_narrow(struct run_report *report);

struct sync;

enum sync_kind {
	SYNC_FULL,    /* everything comes: who does not come is missing */
	SYNC_CHANGES, /* only what changed: who does not come is as before; costs nothing for them */
};
/*
 * A run of changes (never a dry run). The calls below are as for a full one, and sync_finish with complete
 * true (with false, nothing of it counts). Nothing is looked at before sync_finish: of each key the last
 * word counts, and sync_abort costs nothing. sync_group tells how many members a group has now.
 * sync_finish refuses with ERR_CONFLICT what only a full read can answer: "not-read" (there was none),
 * "groups-unread" (rules name groups that the last one was not asked for), "group-vanished"
 * (sync_group with found false), "canary-gone" (of somebody who must be there). "sync-running" while the
 * source is being read as a whole.
 */
struct sync *sync_begin_changes(struct changer *changer, const char *source,
				const struct actor *actor, struct err *err);
/*
 * Only of a run of changes: would sync_finish begin at once? While another plan is being applied it waits for
 * that; meanwhile the run may go on. Those who came until now and are disabled by the source or
 * gone have lost their sign-in when this returns, unless a limit holds it.
 */
int sync_is_free(struct sync *sync, bool *ret_free, struct err *err);
/*
 * Only in a run of changes. Somebody's effective groups are these now, the record stays otherwise;
 * a key that nobody is known by: ERR_NOT_FOUND, and the run goes on. Reason "record-wanted": an entry that is
 * known but that is nobody's user so far, or was missing. With other groups it may be one: its whole
 * record has to come, by sync_identity.
 */
int sync_groups(void *context, const char *key, size_t key_size, const uint32_t *ids, size_t count,
		bool complete, struct err *err);
/*
 * Only in a run of changes. Deleted, or outside of what is searched: sign-in is suspended at once, counted in
 * the limits; full reads decide what becomes of it. A key that is not known does nothing.
 */
int sync_gone(void *context, const char *key, size_t key_size, struct err *err);

/*
 * setup: NULL for the one in force; another one previews changed rules
 * (dry_run only). One run per source at a time, and one dry run beside it: ERR_CONFLICT "sync-running".
 */
struct sync *sync_begin(struct changer *changer, struct setup *setup, const char *source,
			const struct actor *actor, bool dry_run, struct err *err);
/* Signatures as in source/source.h's intake. context: struct sync *. */
int sync_identity(void *context, const void *record, size_t size, struct err *err);
int sync_quarantine(void *context, const struct quarantined *entry, struct err *err);
int sync_group(void *context, uint32_t group_id, bool found, uint64_t members, struct err *err);
/*
 * End: complete says whether anything may be taken away. problem, server: for status.
 * ret_report must be initialised. Destroys the sync also on failure.
 */
int sync_finish(struct sync *sync, bool complete, const char *problem, const char *server,
		struct run_report *ret_report, struct err *err);
void sync_abort(struct sync *sync); /* nothing of the run stays */

/*
 * Apply a held plan: re-evaluates each person, drops what is no longer wanted,
 * never adds. only_user NULL: all. id: hash or unique prefix of ≥8 digits.
 * ERR_NOT_FOUND; ERR_CONFLICT "plan-superseded"; ERR_DENIED "not-allowed": something in it is beyond a limited
 * actor, then nothing is applied.
 */
int plan_apply(struct changer *changer, const struct actor *actor, const char *id,
	       const char *only_user, struct run_report *ret_report, struct err *err);
/* Would it be refused to this actor? As it is in the snapshot of this store. user_id 0: all of it. */
int plan_apply_ask(struct store *store, const struct setup *setup, const struct plan_row *plan,
		   const struct actor *actor, int64_t user_id, struct arena *arena,
		   struct err *err);

#endif
