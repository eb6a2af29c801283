/*
 * What the files of change/ share.
 *
 * Threads: the writer thread alone uses the write handle (writer.c). Whoever plans (a
 * sync, a reload, the applying of a held plan) does so in its own thread with its own read
 * handle and hands finished pieces to the writer. `bulk` is held from asking the limits until
 * the last batch is applied, so that two plans never count past each other and a
 * reload never lands between a plan and its batches. Requests of people do not
 * need it: they see each batch whole, and a batch sees their changes by the user's version.
 */
#ifndef CHANGE_INTERNAL_H
#define CHANGE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/json.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/change/login.h>
#include <rolebridge/change/sync.h>
#include <rolebridge/change/targets.h>
#include <rolebridge/identity/record.h>

#define BATCH_PEOPLE 500
/* People in a batch; smaller only in tests, which want many batches of few people. */
extern size_t change_batch_people;
#define BATCH_BYTES (4u * 1024 * 1024)
#define PLAN_BYTES_MAX (1u << 30)
#define PERSON_BYTES_MAX (256u * 1024 * 1024) /* arena of one person or one request */

/* Called with the name of each step of a write, in the writer thread. Tests kill the process there. */
extern void (*change_test_hook)(const char *step);
static inline void change_step(const char *step)
{
	if (__builtin_expect(change_test_hook != NULL, 0))
		change_test_hook(step);
}

/* --- steps.c: steps of the wall clock --- */
/* Tests set the clock, let time pass, and boot. */
extern struct change_test_clock {
	int64_t step_s, passed_s;
	const char *boot;
} change_test_clock;
/* The wall clock, everywhere in change/. */
static inline int64_t change_now_s(void)
{
	return clock_now_s() + change_test_clock.step_s + change_test_clock.passed_s;
}
/* The same without steps: for marks of missing identities, windows of limits and what goes by its age, and nothing else. */
static inline int64_t setup_steady_s(const struct setup *setup, int64_t now_s)
{
	return now_s - setup->clock_shift_s;
}
#define BOOT_SIZE 40
struct clock_note {
	int64_t wall_s, boot_s, shift_s;
	char boot[BOOT_SIZE];
};
/* At the start, inside a transaction. */
int clock_begin(struct changer *changer, struct err *err);
int clock_shift_load(struct store *store, int64_t *ret_shift_s, struct err *err);

/* --- setup.c: a setup with the present states of groups --- */
struct live_setup {
	struct setup setup; /* decision.groups points below */
	struct setup *origin;
	struct group_states states;
	uint8_t *unknown;
	uint32_t *unknown_ids;
	/* Sources whose last whole read did not ask for some group that they could know. */
	source_mask groups_stale;
	/*
	 * Sources that speak at sign-in alone and are never read: nobody is missing there. What they said up
	 * to groups_since_s, they said without having been asked for some group that rules name now.
	 */
	source_mask sign_in;
	int64_t groups_since_s[SOURCES_MAX];
};
/* After a change of unknown: the list of those that are. Only before the setup is shared. */
int live_setup_list_unknown(struct live_setup *live, struct err *err);
/* Another group than those of rules counts: lists of sources that were not asked for it may lack it. Likewise. */
int live_setup_note_group(struct live_setup *live, struct store *store, uint32_t id,
			  struct err *err);
/* NULL on failure. One reference. */
struct live_setup *live_setup_create(struct setup *origin, struct store *store, struct err *err);
/* Which groups a source can know: its own, and for a directory those of any directory. */
bool source_knows_group(const struct source_settings *source, const struct group *group);

/* What the last whole read of a source said about each group, kept in the store's meta values. */
struct coverage {
	uint32_t *ids; /* ascending */
	bool *found;
	size_t count;
};
int coverage_load(struct store *store, const char *source, struct arena *arena,
		  struct coverage *ret_coverage, struct err *err);
int coverage_store(struct store *store, const char *source, const struct coverage *coverage,
		   struct err *err);
/* 1 found, 0 asked and not found, -1 not asked. */
int coverage_get(const struct coverage *coverage, uint32_t id);
/* Store the registry of a setup: new groups, those no rule names any more, the next number. */
int registry_store(struct store *store, const struct group_registry *registry, struct err *err);
/* The new ones alone, for a setup that may not come. */
int registry_store_new(struct store *store, const struct group_registry *registry, struct err *err);
/* Digest over all of a setup that can change a decision, and how many of its rules have expired. */
int setup_digest(const struct setup *setup, int64_t now_s, char ret_hex[65], struct err *err);

/* --- copier.c --- */
struct copier;
struct copier *copier_start(const char *path, struct err *err);
void copier_stop(struct copier *copier); /* NULL is fine */
/* Copy what there is. */
void copier_wake(struct copier *copier);
/* After each commit of the writer: once enough was written, copy. */
void copier_follow(struct copier *copier, const struct store *written);

/* --- writer.c --- */
struct job;
typedef int job_run(struct changer *changer, struct job *job, struct err *err);
struct job {
	struct job *next;
	job_run *run; /* inside a transaction */
	void *context;
	bool redoable; /* a stored plan or nothing at all makes up for it after a power cut */
	/* After the commit (result 0) or the failure, in the writer thread; may free the job. May be NULL. */
	void (*finished)(struct changer *changer, struct job *job);
	int result;
	struct err err;
	sem_t answered; /* of who waits for it */
};
int writer_start(struct changer *changer, struct err *err);
void writer_stop(struct changer *changer); /* finishes what waits */
/* Run and wait: requests of people go first and share a commit, bulk has one of its own. */
int writer_request(struct changer *changer, job_run *run, void *context, struct err *err);
int writer_bulk(struct changer *changer, job_run *run, void *context, struct err *err);
/* The same for what a later durable commit makes lasting, or somebody does again. */
int writer_bulk_redoable(struct changer *changer, job_run *run, void *context, struct err *err);
/* In the writer, inside a transaction: one job in a savepoint; its result tells. -1: all of the transaction is spoilt. */
int writer_run_nested(struct changer *changer, struct job *job, struct err *err);
/* Hand over and go on; job->finished is always called. */
void writer_submit(struct changer *changer, struct job *job);

/* --- observe.c: who is told after the commit --- */
struct notice_list {
	int64_t *ids;
	size_t count, capacity;
};
struct noted_resource;
struct rotation;
struct notices {
	struct notice_list changed, ended; /* users; sessions */
	struct rotation *rotations;
	size_t rotation_count, rotation_capacity;
	struct noted_resource *resources, **resources_end;
	size_t resource_count;
	bool any_resource; /* one could not be noted */
	bool anybody;
	bool links;		    /* identities that others may link to were written */
	bool queued, queued_urgent; /* something for targets */
};
struct notice_mark {
	size_t changed, ended, rotations, resources;
};
/* Before the commit. */
void notice_disabling(struct changer *changer, int64_t user_id);
struct token_row;
void notice_token(struct changer *changer, const struct token_row *row);
void notice_token_ended(struct changer *changer, int64_t token_id);
/* Inside the transaction; told after its commit. */
void notice_changed(struct changer *changer, int64_t user_id);
int notice_ended(struct changer *changer, int64_t session_id, struct err *err);
/* As the session is stored now, without its texts; token is its only one, NULL: those that it has stay. */
int notice_rotated(struct changer *changer, const struct session *session,
		   const struct hash256 *token, struct err *err);
/* It was written so, or removed. */
void notice_resource(struct changer *changer, const struct resource *resource, bool removed);
/* For the writer: what a savepoint, or a transaction, that is undone has noted goes too. */
struct notice_mark notices_mark(const struct changer *changer);
void notices_undo(struct changer *changer, struct notice_mark mark);
void notices_tell(struct changer *changer);
/* Another setup is in force. Any thread. */
void notices_setup(struct changer *changer);
void notices_finish(struct changer *changer);

/* --- known.c: digests of what is known of a source's identities --- */
struct known;
enum known_flag {
	TABLE_SEEN = 1,	   /* in this run */
	TABLE_MISSING = 2, /* marked missing in the store */
	TABLE_OUT = 4,	   /* known not to be provisioned under the present setup */
};
struct known_entry {
	struct hash128 digest; /* zero: to be looked at again */
	uint64_t user_flags;   /* user id, and flags in the lowest byte */
};
static inline int64_t known_user(const struct known_entry *entry)
{
	return (int64_t)(entry->user_flags >> 8);
}
static inline bool known_flag(const struct known_entry *entry, uint64_t flag)
{
	return (entry->user_flags & flag) != 0;
}
static inline void known_set(struct known_entry *entry, struct hash128 digest, int64_t user_id,
			     uint64_t flags)
{
	entry->digest = digest;
	entry->user_flags = (uint64_t)user_id << 8 | flags;
}
struct known *known_create(size_t expected);
void known_destroy(struct known *table);
/* 1 new (all zero), 0 present, -1 out of memory. Valid until the next put. */
int known_put(struct known *table, struct hash128 key, struct known_entry **ret_entry);
struct known_entry *known_find(struct known *table, struct hash128 key);
void known_clear_flags(struct known *table, uint64_t flags);
size_t known_count(const struct known *table);
/* From the store. */
int known_load(struct store *store, const char *source, struct known **ret_table, struct err *err);

/*
 * What is done with a source, each by one at a time: it is read, as a whole or what changed. Beside that a
 * dry run, which only looks; and the disabling of those whose time has come, beside runs of changes.
 */
enum slot_use { SLOT_CHANGES, SLOT_WHOLE, SLOT_DRY_RUN, SLOT_DUE };
struct source_slot {
	struct source_slot *next;
	char *name;
	enum slot_use use;
	struct known *table; /* NULL: to be loaded */
	bool busy;
	bool forget; /* when it is released */
	/*
	 * What runs of changes keep from one to the next, for each of them would pay for everybody else:
	 * a handle to read with, who waits in held plans, how many there were of what is counted.
	 */
	struct store *reader;
	struct held_cache *held;
	struct population *populations;
	size_t population_count, population_capacity;
	uint64_t named_generation; /* the setup whose names are stored; 0: none */
};
/* How many there were before what the window holds: until a minute is over. */
struct population {
	unsigned kind; /* enum limit_kind */
	char *subject;
	int64_t count, until_us;
};
void populations_forget(struct source_slot *slot);

/* --- the changer --- */
struct changer {
	char *path;
	struct store *store; /* writer thread only */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct job *requests, **requests_end;
	struct job *bulks, **bulks_end;
	bool stopping, started;
	bool waits; /* the writer, for a job */
	pthread_t thread;
	struct copier *copier;
	struct live_setup *setup;   /* by mutex */
	uint64_t generation;	    /* grows with each change of setup; by mutex */
	struct source_slot *slots;  /* by mutex */
	pthread_mutex_t clock_lock; /* before bulk */
	struct clock_note clock, clock_stored;
	bool clock_stale; /* the setup in force does not know the last step */
	/* A reload's, from READY on: its batches are under way, and sign-in follows it already; by mutex. */
	struct live_setup *coming;
	struct change_observer observers[OBSERVERS];
	bool observed; /* by anybody */
	struct delivery_observer delivery_observer;
	struct notices notices; /* writer thread only */
	/* Grows when identities that others may link to are written; atomic. */
	uint64_t identity_version;
	struct link_index *link_indexes; /* by link_lock */
	pthread_mutex_t link_lock;
	/* Users who wait in held plans, ascending; writer thread only. */
	int64_t *waiting_ids;
	size_t waiting_count;
	bool waiting_known;
	struct policies *policies; /* on second factors, of one setup; writer thread only */
	bool policies_changed;	   /* in what is committed next */
	pthread_mutex_t bulk;
	pthread_mutex_t urgent; /* before nothing; see urgent.c */
	uint64_t held_version;	/* atomic: grows when held plans change */
	uint64_t tree_changes;	/* atomic: grows when a resource comes below another one */
	bool tree_changed;	/* in what is committed next; writer thread only */
	int64_t next_due_s; /* atomic: the next time at which some source disables somebody; 0: none */
	bool leaving;	    /* atomic: begin nothing long any more */
	unsigned restore_holds;	   /* atomic: enum restore_hold */
	int64_t restored_s;	   /* atomic: when the store was restored; 0: never */
	bool backup_runs;	   /* atomic */
	uint64_t sign_ins_refused; /* atomic: since the start */
	bool unfinished;	   /* a READY plan could not be applied to its end; by bulk */
};
struct live_setup *changer_live_setup(struct changer *changer, uint64_t *ret_generation);
/* The one a reload brings, if one is under way, else the one in force. generation may be NULL. */
struct live_setup *changer_coming_setup(struct changer *changer, uint64_t *ret_generation);
/* NULL: it does not come. Takes a reference of its own. */
void changer_set_coming(struct changer *changer, struct live_setup *setup);
/* Takes over the reference. */
void changer_put_setup(struct changer *changer, struct live_setup *setup);
/* -1 with ERR_CANCELLED after changer_stop. */
int changer_check_leaving(struct changer *changer, struct err *err);
/* Roll forward what is READY; what cannot be read is set aside. bulk is held. */
int changer_roll_forward(struct changer *changer, struct err *err);
/* Take bulk, and first bring to its end what could not be applied before. */
int changer_bulk_begin(struct changer *changer, struct err *err);
/* The same without waiting for another plan: taken or not. */
int changer_bulk_try(struct changer *changer, bool *ret_taken, struct err *err);
void changer_bulk_end(struct changer *changer);
/* Rows for the sources and organizations of a setup. */
int names_store(struct store *store, const struct setup *setup, struct err *err);
/* ERR_CONFLICT "sync-running" when busy. */
struct source_slot *slot_take(struct changer *changer, const char *source, enum slot_use use,
			      struct err *err);
void slot_release(struct changer *changer, struct source_slot *slot);
/* Tables are wrong or the setup has another meaning: all are loaded again when needed. */
void slots_forget(struct changer *changer);

/* --- evaluate.c --- */
/* What a file of people says of somebody: of each kind that it speaks of, all that it gives. */
struct import_edit {
	bool given[GRANT_KINDS];
	const struct grant *wanted; /* of origin import */
	size_t count;
};
struct edit {
	const struct import_edit *import; /* NULL: none */
	struct grant *add; /* NULL: none; replaces the same, a profile all hand-given ones */
	const struct grant *remove; /* kind, name; of hand origin */
	uint32_t disable_set, disable_clear;
};
struct evaluation {
	const struct live_setup *setup;
	struct store *store;
	struct arena *arena;
	int64_t now_s;
	const char *cause;
	const struct edit *edit; /* NULL: sources and rules speak */
	/* The stored identities of the user when they were read already; NULL. */
	const struct identity_row *rows;
	size_t row_count;
	/* The identity given is the stored one but for these groups; NULL. */
	const struct groups_given {
		const uint32_t *ids;
		size_t count;
		bool complete;
	} * groups;
	bool unprotected; /* protection of users does not count: what was given for a time ends */
};
enum evaluated {
	EVALUATED,
	EVALUATED_OUT,	    /* no profile and not a user yet */
	EVALUATED_UNUSABLE, /* someone new without a usable username */
};
/*
 * The whole difference between what should be and what is for a user, with `identity` (may
 * be NULL) as it will be. user_id 0: someone new, identity must be given.
 */
int evaluate_user(const struct evaluation *e, int64_t user_id,
		  const struct identity_change *identity, struct person_change *ret_change,
		  enum evaluated *ret_outcome, const char **ret_problem, struct err *err);

/* The same with `identity` as it will be; user_id 0: someone new. */
int evaluate_person_as(const struct evaluation *e, int64_t user_id,
		       const struct identity_change *identity, struct person *ret_person,
		       struct err *err);
/* A user's identities as rules see them. */
int evaluate_person(const struct evaluation *e, int64_t user_id, struct person *ret_person,
		    struct err *err);
/* The same with one more identity, of a source that the store does not have. */
int evaluate_identities(const struct evaluation *e, int64_t user_id, const struct identity *more,
			struct person *ret_person, struct err *err);

/* --- draft.c: changes become a plan --- */
struct claims;
struct held_users;
struct draft {
	struct changer *changer;
	const struct live_setup *setup;
	struct store *store; /* of the planning thread */
	bool dry_run;
	bool by_person;	  /* nothing is held or counted */
	bool forget_held; /* an incomplete read */
	bool first_sync;
	const char *source; /* or "rules" */
	const char *actor, *request;
	int64_t now_s;
	struct source_slot *slot; /* of a run of changes: populations are kept there; else NULL */
	struct strbuf batch;
	size_t batch_people;
	int64_t row; /* 0: none yet */
	int64_t batches;
	struct strbuf *kept; /* dry run: the batches */
	size_t kept_capacity;
	struct plan_totals *totals;
	/* Who waits in the plans that this one answers anew, and what of that still waits. */
	const struct held_users *waiting;
	struct plan_totals *still_waiting;
	int64_t *waiting_ids;
	size_t waiting_count, waiting_capacity;
	struct arena *scratch;
	struct hash_table *claims;
	uint32_t people;
	struct hash128 *conflicts;
	size_t conflict_count, conflict_capacity;
	/* Batches on their way to the writer. */
	pthread_mutex_t mutex;
	pthread_cond_t drained;
	unsigned in_flight;
	bool failed;
	struct err failure;
};
void draft_init(struct draft *draft);
/* Discards what is stored unless it became a plan. */
void draft_finish(struct draft *draft);
int draft_add(struct draft *draft, const struct person_change *change, struct err *err);
/* The last batch is on its way; waits until all are stored. */
int draft_flush(struct draft *draft, struct err *err);
/* Walk the changes, also those that are not stored yet; arena is reset before each person. */
typedef int draft_each_fn(void *context, const struct person_change *change, struct err *err);
int draft_each(struct draft *draft, struct arena *arena, draft_each_fn *each, void *context,
	       struct err *err);
int batch_each(const void *data, size_t size, struct arena *arena, draft_each_fn *each,
	       void *context, struct err *err);

/* --- limits.c: what of a draft is held --- */
int limits_ask(struct draft *draft, struct run_report *report, struct plan_holds **ret_holds,
	       struct strbuf *holds_bytes, struct err *err);
/* What a held draft is called, filled while changes are added to it. */
struct held_digests {
	struct hash256 *items;
	size_t count, capacity;
};
int held_digests_add(struct held_digests *digests, const struct person_change *held,
		     struct err *err);
void held_digests_id(struct held_digests *digests, char ret_id[65]); /* orders them */

/* --- held.c: plans that wait --- */
struct held_user {
	int64_t user_id;
	const struct person_change *change; /* in the arena */
};
struct held_category {
	enum limit_kind kind;
	const char *subject;
	struct held_category *next;
};
struct held_users {
	struct held_category *categories; /* over whose limit they were when they were held */
	struct held_user *items; /* ordered by user_id; a user may stand in several plans */
	size_t count;
	unsigned flags; /* enum plan_flag of the plans together */
	/* Who waits outside, without a user: keys of their identities, ordered. */
	struct hash128 *outside;
	size_t outside_count;
};
bool held_users_outside(const struct held_users *users, struct hash128 key);
/* Own and others' of a source, loaded again only when held plans have changed. */
struct held_cache {
	struct arena *arena;
	uint64_t version;
	struct held_users own, others;
};
int held_cache_get(struct changer *changer, struct source_slot *slot, struct store *store,
		   const struct held_cache **ret_cache, struct err *err);
void held_cache_destroy(struct held_cache *cache);
/* Each held change of a source; the arena is reset before. */
int held_each(struct store *store, const char *source, struct arena *arena, draft_each_fn *each,
	      void *context, struct err *err);
/*
 * Administrators of a source's first sync waited in a plan that a reload superseded. Who of them has
 * no user yet waits in no plan until that source is read again, which then counts as its first.
 */
int first_sync_get(struct store *store, const char *source, struct arena *arena, bool *ret_noted,
		   struct err *err);
int first_sync_note(struct store *store, const char *source, bool noted, struct err *err);
/* of one source (own true), or of all others. */
int held_users_load(struct store *store, const char *source, bool own, struct arena *arena,
		    struct held_users *ret_users, struct err *err);
/* Someone provisioned by the run that held the rest of them: their row came later. Sets the ids. */
int held_find_row(struct store *store, struct person_change *held, struct arena *arena,
		  struct err *err);
/* Can it be read? */
int held_plan_check(struct store *store, const struct plan_row *plan, struct err *err);
/* The ids alone, of all plans; the caller frees. A person may stand there twice. */
int held_ids_load(struct store *store, int64_t **ret_ids, size_t *ret_count, struct err *err);
/* Was this category held? Disables are counted for the source, or the rules, that make the plan. */
bool held_users_category(const struct held_users *users, enum limit_kind kind, const char *subject);
const struct held_user *held_users_find(const struct held_users *users, int64_t user_id);
/* Without what waits in other plans. */
int held_users_subtract(const struct held_users *users, struct person_change *change,
			struct arena *arena, struct err *err);

/* --- run.c: from a draft to an applied plan, shared by syncs, reloads and held plans --- */
struct run {
	struct draft draft; /* all changes of the run */
	struct draft held;  /* what waits */
	struct held_digests digests;
	struct plan_holds *holds;
	struct strbuf holds_bytes;
	struct strbuf held_bytes; /* the same for what waits */
	char id[65], held_id[65];
	bool supersede_all;   /* rules changed: plans of every source */
	const char *replaces; /* a held plan that this one carries out, by id; "": none at all */
	bool partly;	      /* … and what is in `held` of it waits on */
	bool keep_held;	      /* held plans stand as they are */
	struct run_report *report;
	struct source_slot *slot; /* its table follows what is committed; NULL */
	/* More to write when the plan becomes READY, in the same transaction; may be NULL. */
	int (*on_ready)(struct changer *changer, struct run *run, void *context, struct err *err);
	void *context;
	uint64_t generation;	   /* of the setup it was planned under; 0: do not compare */
	const struct actor *actor; /* borrowed */
	/* What the plan was held against: it must be the same when it becomes READY; NULL. */
	const struct authority *authority;
	bool urgent; /* a small one that goes by the road of people's requests, without bulk */
};
void run_init(struct run *run, struct changer *changer, const struct live_setup *setup,
	      struct store *store, const char *source, const struct actor *actor, bool dry_run,
	      int64_t now_s, struct run_report *report);
void run_finish(struct run *run);
/* A change that waits, beside those the limits hold. */
int run_hold(struct run *run, const struct person_change *held, struct err *err);
/* Nothing waits after all. */
void run_drop_held(struct run *run);
/* Limits, READY, apply, or the listing of a dry run. bulk is held (not for a dry run). */
int run_carry_out(struct run *run, struct err *err);
/* The same in pieces, for runs of changes: limits are asked, what waits was given to run_hold. */
int run_carry_out_rest(struct run *run, struct err *err);
/*
 * All at once: what is in the draft, at most one batch of which nothing was sent, on_ready and the plan's
 * row in one transaction. Held plans stand as they are.
 */
int run_carry_out_small(struct run *run, struct err *err);

/* --- define.c: may they answer for this rule? present: and for what comes through where it gives no more --- */
int define_require_rule(const struct authority *authority, const struct setup *setup,
			const char *id, bool present, struct arena *arena, struct err *err);

/* --- reload.c: a reload with what belongs to it --- */
struct reload_more {
	bool dry_run;	  /* nothing is written, and the setup stays */
	const char *plan; /* what must come out, else ERR_CONFLICT "plan-superseded"; NULL */
	/* What the changes are for: a part of the plan's id. */
	const void *reason;
	size_t reason_size;
	/* In the transaction that makes the plan READY. */
	int (*on_ready)(struct changer *changer, void *context, struct err *err);
	void *context;
	char id[65]; /* filled: all that changes, held or not */
	int64_t people;
};
int reload_with(struct changer *changer, struct setup *setup, const struct actor *actor,
		struct reload_more *more, struct run_report *ret_report, struct err *err);

/* --- apply.c: one person --- */
struct applied {
	int64_t created, updated, disabled, enabled, granted, revoked, quarantined;
};
/* The JSON of an audit row. */
struct change_detail {
	const char *text;
	struct hash256 digest; /* digest256 of it */
};
/* One person, inside the writer's transaction. Also for requests of people. */
struct apply_context {
	struct changer *changer;
	const struct live_setup *setup;
	struct arena *arena;
	const struct actor *actor;
	const char *source; /* whose window counts disables, whose quarantine */
	const struct plan_holds *holds;
	bool refuse; /* a person waits for the answer: the last administrator is refused, not kept */
	bool sign_in; /* someone new signs in: a name that is taken is a refusal, not quarantine */
	struct plan_totals *windows; /* NULL: not counted */
	int64_t now_s;
	struct applied *applied;
	bool written;	 /* by the last person: something that people see */
	int64_t user_id; /* of the last person; 0: they were left out */
	struct known *table;
	/* Identities written, to be known in the table after the commit. */
	struct touched {
		struct hash128 key, digest;
		int64_t user_id;
		bool missing;
	} * touched;
	size_t touched_count, touched_capacity;
};
/* detail: the audit row's JSON when it was made before; NULL. */
int apply_person(struct apply_context *context, const struct person_change *change,
		 const struct change_detail *detail, struct err *err);
void apply_count(struct applied *applied, const struct person_change *change);

/* --- batch.c: the people of a plan --- */
struct apply_plan {
	struct changer *changer;
	const struct live_setup *setup;
	int64_t row, batches, batches_done;
	const char *id, *source, *actor;
	const struct plan_holds *holds;
	struct known *table;	   /* may be NULL */
	struct run_report *report; /* lines; may be NULL */
	struct applied applied;
	bool urgent;	/* apply_batch: before batches that wait */
	size_t visible; /* apply_batch: people of whom anybody sees something, known at its begin */
};
int apply_plan(struct apply_plan *plan, struct store *read, struct err *err);
/* One batch that was never stored: `begin` inside the transaction first, then the people. */
int apply_batch(struct apply_plan *plan, const void *data, size_t size, job_run *begin,
		void *context, struct err *err);
/* In the planning thread: what of a stored change applies now. Empty: nothing. */
int apply_split(const struct live_setup *setup, const char *source, const struct plan_holds *holds,
		const struct person_change *change, struct arena *arena,
		struct person_change *ret_now, struct person_change *ret_held, struct err *err);
/* What was counted, into the sliding windows. */
int apply_windows(struct changer *changer, struct plan_totals *windows, int64_t now_s,
		  struct err *err);

/* --- person.c --- */
/* ERR_NOT_FOUND, in the same words whether they are elsewhere, deleted, or were never there. Returns -1. */
static inline int no_such_user(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such user");
}
/* Is there something of this name to be given in this organization (NULL: in any)? ERR_NOT_FOUND, ERR_INVALID. */
int change_check_grant(const struct setup *setup, enum grant_kind kind, const char *name,
		       const char *organization, struct err *err);
/* The same of all that a change adds: asked of each change by a person; rules' decisions leave it out anyway. */
int change_check_given(const struct setup *setup, const struct person_change *change,
		       struct err *err);
int change_check_organization(const struct setup *setup, const char *name, struct err *err);
/* The same for who asks: to a limited one any other than their own is not there, before anything of it is asked. */
int change_check_own_organization(const struct setup *setup, const struct actor *actor,
				  const char *name, struct err *err);

/* --- session.c --- */
/* May they sign in, and stay signed in? */
static inline bool user_may_sign_in(const struct user *user)
{
	return (user->disabled & (DISABLED_ANY | (uint32_t)SUSPENDED_SIGN_IN)) == 0;
}
/* The same of a session that is there: root's link lets in also whose sign-in is suspended, and nobody else does. */
static inline bool user_may_stay(const struct user *user, bool by_link)
{
	return user_may_sign_in(user) || (by_link && user_is_active(user));
}
/* Somebody who was there goes to another organization. */
static inline bool person_change_moves(const struct person_change *change)
{
	return change->before.id != 0 &&
	       strcmp(change->before.organization, change->after.organization) != 0;
}
/*
 * Inside the transaction of a person's change: who may not sign in any more has no sessions either, nor has who is of
 * another organization now.
 */
int sessions_follow(struct apply_context *context, const struct person_change *change,
		    struct err *err);
/* Inside a transaction: all of a user's but one (0: all), one audit row for many. ret_ended may be NULL. */
int sessions_end_of(struct changer *changer, const struct actor *actor, const struct user *user,
		    int64_t except_id, const char *why, struct arena *arena, size_t *ret_ended,
		    struct err *err);

/* --- targets.c --- */
/* Inside the transaction of a person's change, after it was written: what targets are to be told of it. */
int targets_follow(struct apply_context *context, const struct person_change *change,
		   struct err *err);
/* The same where nothing changed but what sources say: for those that read it. */
int targets_follow_records(struct apply_context *context, const struct person_change *change,
			   struct err *err);

/* --- responsible.c --- */
/* Inside the same transaction: whoever is responsible for anything is not disabled, deleted or moved by hand. */
int orphaning_check(struct apply_context *context, const struct person_change *change,
		    struct err *err);
/* Inside the same transaction: what somebody leaves who is disabled, or has again. */
int orphaning_follow(struct apply_context *context, const struct person_change *change,
		     struct err *err);

/* --- token.c --- */
/* Inside the transaction: all of a user's tokens are revoked. */
int tokens_end_of(struct changer *changer, const struct actor *actor, const struct user *user,
		  struct arena *arena, int64_t *ret_count, struct err *err);
int tokens_count_of(struct changer *changer, const struct user *user, struct arena *arena,
		    int64_t *ret_count, struct err *err);

/* --- stale.c --- */
/* Inside the transaction that lifts the reason: the user's sign-ins count from now on. */
int stale_refresh(struct apply_context *context, int64_t user_id, struct err *err);

/* --- due.c: whom a source disables at a time --- */
/* In the writer thread: at this time somebody is. */
void due_note(struct changer *changer, int64_t at_s);
/* In the writer thread, inside a transaction: from the store. */
int due_load(struct changer *changer, struct err *err);
/* Those whose time has come. bulk is not held, and not waited for. */
int due_disable(struct changer *changer, int64_t now_s, struct err *err);

/* --- detail.c --- */
void detail_write(const struct person_change *change, struct strbuf *out);
const char *detail_action(const struct person_change *change);
int audit_write_detail(struct store *store, int64_t now_s, const struct actor *actor,
		       const char *action, const char *object, const struct change_detail *detail,
		       struct err *err);
int audit_write(struct store *store, int64_t now_s, const struct actor *actor, const char *action,
		const char *object, const char *detail, struct err *err);

/* --- report.c --- */
int report_hold(struct run_report *report, const char *kind, const char *subject, const char *text,
		int64_t count, struct err *err);
/* A name that somebody else has or claims: before stays, after is not given. kind: "username", "email". */
int report_conflict(struct run_report *report, const struct person_change *change, const char *kind,
		    const char *before, const char *after, const char *why, struct err *err);
/* Who watches the one, watches the other; from may be NULL. */
void report_watch(struct run_report *report, const struct run_report *from);
/* The end of a run that ended so: to who asked (or NULL), when it went well; freed otherwise. Returns result. */
int report_give(struct run_report *report, int result, struct run_report *ret_report);

#endif
