/*
 * The store: one interface, SQLite behind it (WAL, STRICT tables, foreign
 * keys, synchronous=FULL). No SQL leaves this folder.
 *
 * A handle is one connection and belongs to one thread at a time. Writers use
 * one handle opened STORE_WRITE inside store_begin … store_commit; a second
 * writer waits for at most 5 s (ERR_UNAVAILABLE "store-busy"). Readers open STORE_READ
 * and cannot write (query_only); store_begin on them pins one snapshot until store_commit.
 * Errors: ERR_NOT_FOUND, ERR_CONFLICT (with reason), ERR_UNAVAILABLE, ERR_IO (disk full, corrupt), ERR_MEMORY.
 * After a failed write inside a transaction only store_rollback is allowed, or store_rollback_to in a
 * savepoint; store_commit then rolls back and fails with the first cause. A disk error ends the whole
 * transaction, also around a savepoint. A commit that failed has rolled back.
 * Exceptions, after which the transaction goes on: name conflicts and stale versions of users, and
 * ERR_NOT_FOUND of updates and removals that met no row.
 * Returned texts live in the given arena.
 */
#ifndef ROLEBRIDGE_STORE_STORE_H
#define ROLEBRIDGE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/audit/audit.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/model/grant.h>
#include <rolebridge/model/user.h>

struct store;
/* STORE_COPY: reads, and may copy the WAL while another handle writes (store_checkpoint). */
enum store_mode { STORE_READ, STORE_WRITE, STORE_COPY };

/* path: file, created with mode 0600 by STORE_WRITE, which also migrates. A newer schema than ours is refused. */
struct store *store_open(const char *path, enum store_mode mode, struct err *err);
void store_close(struct store *store);
static inline void store_auto(struct store **store)
{
	store_close(*store);
}

int store_begin(struct store *store, struct err *err); /* BEGIN IMMEDIATE, or a read snapshot */
int store_commit(struct store *store, struct err *err);
/*
 * false: commits to come are whole and in order, but a power cut may undo the last ones (never
 * a crash of the process): for what can be done again. A durable commit makes all before it durable too.
 * Outside a transaction. Every handle begins durable.
 */
int store_set_durable(struct store *store, bool durable, struct err *err);
void store_rollback(struct store *store);
/* Nested: undo one request of a group commit without the others. */
int store_savepoint(struct store *store, struct err *err);
int store_release(struct store *store, struct err *err);
void store_rollback_to(struct store *store);
/*
 * Ask a call that runs on this handle, from another thread, to stop: it fails with ERR_CANCELLED; a
 * write transaction is then lost. The handle must stay open meanwhile.
 */
void store_interrupt(struct store *store);
/* How long to wait for another writer; 5 s unless told. */
void store_set_busy_timeout(struct store *store, int timeout_ms);
/*
 * Between transactions; nothing depends on these but speed and memory.
 * Copy the WAL into the database, while another handle may write to it; without this a commit does
 * it when the WAL has grown to 128 MiB.
 */
int store_checkpoint(struct store *store, struct err *err);
/* Pages of the WAL after the last commit of this handle: they grow, until all were copied. */
size_t store_wal_pages(const struct store *store);
/* Give back the memory of a large cache, and what store_tidy holds between its pieces. */
void store_give_back(struct store *store);
/*
 * For idle time. A piece of filling the indexes of names, search and holders for the users added since (some
 * 20 ms of the writer). Returns 1 when more is left, 0 when done, -1; reason "store-damaged": two users
 * have one name.
 */
int store_tidy(struct store *store, struct err *err);
/* So much was left for idle time by sign-ins that store_tidy_behind should do a piece of it now. */
bool store_is_behind(const struct store *store);
int store_tidy_behind(struct store *store, struct err *err);
/* How many users a piece is about, 1 or more; 4,000 unless told. */
void store_set_tidy_piece(struct store *store, int64_t users);

/* --- organizations and sources: names to rows, kept in a cache of the handle --- */
int store_organization_ensure(struct store *store, const char *name, struct err *err);

struct source_state {
	const char *name;
	int64_t last_read_s;	  /* last read that ended, whole or not */
	int64_t last_complete_s;  /* last whole one; 0: never, so the next is its first sync */
	int64_t entries;	  /* of the last whole one */
	const char *last_problem; /* why the last read was not whole; "" */
	const char *server;
};
int store_source_ensure(struct store *store, const char *name, struct err *err);
int store_source_get(struct store *store, const char *name, struct arena *arena,
		     struct source_state *ret_state, struct err *err);
int store_source_set(struct store *store, const struct source_state *state, struct err *err);

/* --- users --- */
/*
 * Insert; sets user->id. ERR_CONFLICT with reason "username-taken", "email-taken" or
 * "email-in-other-organization" (the address belongs to a user elsewhere), or "name-reserved" (tombstone); nothing was
 * written then and the transaction goes on.
 */
int store_user_insert(struct store *store, struct user *user, struct err *err);
/*
 * Write all fields; user->version must be the stored version + 1, else
 * ERR_CONFLICT "stale-version". Same name conflicts as insert.
 */
int store_user_update(struct store *store, const struct user *user, struct err *err);
/* The same when nothing but version and updated_s changed: their grants did. ERR_CONFLICT "stale-version". */
int store_user_touch(struct store *store, const struct user *user, struct err *err);
int store_user_get(struct store *store, int64_t id, struct arena *arena, struct user *ret_user,
		   struct err *err);
enum user_key { USER_BY_UUID, USER_BY_USERNAME, USER_BY_EMAIL };
int store_user_find(struct store *store, enum user_key key, const char *value, struct arena *arena,
		    struct user *ret_user, struct err *err);

struct user_query {
	const char *organization; /* NULL: any */
	const char *prefix;	  /* of username, e-mail or display name (folded); NULL: all */
	int active;		  /* 1 active, 0 disabled, -1 both */
	const char *profile;	  /* NULL: any */
	enum grant_kind grant_kind;
	const char *grant_name; /* holders of this grant; NULL: any */
	int64_t after_id;	/* page cursor: users with a larger row id; 0: from the start */
	size_t limit;		/* 1 to 10,000 */
};
/* In order of id: stable under changes. Tombstones are left out, here and in the counts. */
int store_user_list(struct store *store, const struct user_query *query, struct arena *arena,
		    struct user **ret_users, size_t *ret_count, struct err *err);
/*
 * The same, but no more than some thousand users are looked at: a page may hold fewer than limit, and *ret_next says
 * after which id to go on, whatever it holds; 0: nobody is left.
 */
int store_user_scan(struct store *store, const struct user_query *query, struct arena *arena,
		    struct user **ret_users, size_t *ret_count, int64_t *ret_next, struct err *err);
/*
 * By prefix, in order of the names that begin so: user names and addresses, then display names. after_id is what
 * *ret_next was; ERR_CONFLICT "stale-cursor" when that user was renamed. A page may hold fewer than limit.
 */
int store_user_search(struct store *store, const struct user_query *query, struct arena *arena,
		      struct user **ret_users, size_t *ret_count, int64_t *ret_next,
		      struct err *err);
/* What lists have cost so far on this handle: steps of SQLite's machine in statements that are made for one use. */
int64_t store_steps(const struct store *store);
struct user_counts {
	int64_t total, active, disabled;
};
int store_user_counts(struct store *store, const char *organization /* NULL: all */,
		      struct user_counts *ret_counts, struct err *err);

/* Active users with this profile in the organization other than except_id (0: none); partial index. */
int store_active_with_profile(struct store *store, const char *organization, const char *profile,
			      int64_t except_id, int64_t *ret_count, struct err *err);
/* Active users that have a present identity in the source. */
int store_active_of_source(struct store *store, const char *source, int64_t *ret_count,
			   struct err *err);

/* --- identities --- */
/* Insert or replace by (source, key); the source must be ensured, the user there (ERR_NOT_FOUND). digest: digest128 of the record. Clears missing. */
int store_identity_put(struct store *store, const struct identity_row *row,
		       const struct hash128 *digest, struct err *err);
int store_identity_get(struct store *store, const char *source, const char *key,
		       struct arena *arena, struct identity_row *ret_row, struct err *err);
int store_identity_set_missing(struct store *store, const char *source, const char *key,
			       int64_t missing_s, uint32_t missing_runs, struct err *err);
/* Its content was read again, the same: read_s, and nothing else. */
int store_identity_confirm(struct store *store, const char *source, const char *key, int64_t read_s,
			   struct err *err);
int store_identity_delete(struct store *store, const char *source, const char *key,
			  struct err *err);
int store_identities_of(struct store *store, int64_t user_id, struct arena *arena,
			struct identity_row **ret_rows, size_t *ret_count, struct err *err);
/* Heads of all identities of a source, for the unchanged table; callback returns -1 to stop: ERR_CANCELLED. */
int store_identity_each(struct store *store, const char *source,
			int (*each)(void *context, const char *key, struct hash128 digest,
				    int64_t user_id, int64_t missing_s, uint32_t missing_runs),
			void *context, struct err *err);

/* --- whose an identity is by a person's word --- */
/*
 * wanted: it is the user's from the next time it is read on, which store_identity_put strikes out again; one user for
 * each key. Else it was taken from them. Replaces what was said of both before.
 */
int store_link_put(struct store *store, const char *source, const char *key, int64_t user_id,
		   bool wanted, struct err *err);
int store_link_remove(struct store *store, const char *source, const char *key, int64_t user_id,
		      struct err *err);
/* All that a user still wants. */
int store_links_drop(struct store *store, int64_t user_id, struct err *err);
/* Who shall have it; 0: nobody said. */
int store_link_wanted(struct store *store, const char *source, const char *key, int64_t *ret_user,
		      struct err *err);
/* Was it taken from this user: 1, 0, -1. */
int store_link_refused(struct store *store, const char *source, const char *key, int64_t user_id,
		       struct err *err);
/* Is anything wanted of the source: 1, 0, -1. */
int store_link_any(struct store *store, const char *source, struct err *err);
struct link_row {
	const char *source, *key;
};
/* What a user still wants. */
int store_links_of(struct store *store, int64_t user_id, struct arena *arena,
		   struct link_row **ret_rows, size_t *ret_count, struct err *err);

/* --- whom a source disables at a time that it told: a reason to look, no more --- */
int store_due_add(struct store *store, const char *source, int64_t user_id, int64_t at_s,
		  struct err *err);
int store_due_next(struct store *store, int64_t *ret_time_s /* 0: none */, struct err *err);
/* Sources with anybody due at until_s or before; their users, ascending. */
int store_due_sources(struct store *store, int64_t until_s, struct arena *arena,
		      const char ***ret_sources, size_t *ret_count, struct err *err);
int store_due_users(struct store *store, const char *source, int64_t until_s, struct arena *arena,
		    int64_t **ret_ids, size_t *ret_count, struct err *err);
int store_due_remove(struct store *store, const char *source, int64_t until_s, struct err *err);

/* --- grants --- */
int store_grant_add(struct store *store, int64_t user_id, const struct grant *grant,
		    struct err *err); /* same grant again: replaced (times) */
int store_grant_remove(struct store *store, int64_t user_id, const struct grant *grant,
		       struct err *err);
/* Several at once, and cheaper so: removals, then additions. On failure none is done. */
int store_grants_change(struct store *store, int64_t user_id, const struct grant *removed,
			size_t removed_count, const struct grant *added, size_t added_count,
			struct err *err);
/* Ordered by grant_compare. */
int store_grants_of(struct store *store, int64_t user_id, struct arena *arena,
		    struct grant **ret_grants, size_t *ret_count, struct err *err);
/* Distinct active users who hold it, from any origin. */
int store_grant_holders(struct store *store, enum grant_kind kind, const char *name,
			int64_t *ret_count, struct err *err);
/* Does anybody, active or not, hold both? 1, 0, -1. */
int store_grant_both(struct store *store, enum grant_kind kind, const char *name, const char *other,
		     struct err *err);
/* The same among an organization's; NULL: of all. */
int store_grant_holders_of(struct store *store, const char *organization, enum grant_kind kind,
			   const char *name, int64_t *ret_count, struct err *err);
/* Users with a grant of this rule, or an expiring grant up to until_s: for timers. Ids ascending, limit rows after after_id. */
int store_users_with_rule(struct store *store, const char *rule_id, int64_t after_id, size_t limit,
			  struct arena *arena, int64_t **ret_ids, size_t *ret_count,
			  struct err *err);
int store_users_expiring(struct store *store, int64_t until_s, int64_t after_id, size_t limit,
			 struct arena *arena, int64_t **ret_ids, size_t *ret_count,
			 struct err *err);
/* Active users with an identity of the source that was last read before before_s: likewise. */
int store_users_unread(struct store *store, const char *source, int64_t before_s, int64_t after_id,
		       size_t limit, struct arena *arena, int64_t **ret_ids, size_t *ret_count,
		       struct err *err);
int store_next_expiry(struct store *store, int64_t *ret_time_s /* 0: none */, struct err *err);

/* --- group registry --- */
struct group_registry_row {
	uint32_t id;
	const char *name;
	bool found, vanished, released;
	int64_t members; /* effective, at the last whole read; -1: never read */
	int64_t vanished_s;
};
int store_groups_load(struct store *store, struct arena *arena,
		      struct group_registry_row **ret_rows, size_t *ret_count,
		      uint32_t *ret_next_id, struct err *err);
/* Its members as at the last read, -1 when never read or unknown. */
int store_group_members(struct store *store, uint32_t id, int64_t *ret_members, struct err *err);
int store_group_put(struct store *store, const struct group_registry_row *row, struct err *err);
int store_group_remove(struct store *store, uint32_t id, struct err *err);
/* Never lowers it; store_group_put raises it above the id. */
int store_group_next_id_set(struct store *store, uint32_t next_id, struct err *err);

/* --- plans --- */
enum plan_state {
	PLAN_DRAFT = 1, /* being computed; discarded at start-up */
	PLAN_READY = 2, /* stored whole; to be rolled forward */
	PLAN_APPLIED = 3,
	PLAN_HELD = 4, /* waits for a person */
	PLAN_SUPERSEDED = 5,
	PLAN_DAMAGED = 6, /* cannot be read; set aside until a person drops it */
};
struct plan_row {
	int64_t row;	/* internal number */
	const char *id; /* hash, 64 hex digits; "" while draft */
	enum plan_state state;
	const char *source; /* source name, or "rules", "timer" */
	const char *actor;
	int64_t created_s, finished_s;
	int64_t batches, batches_done; /* of PLAN_READY */
	const char *summary;	       /* JSON for people and API */
	const void *holds; /* opaque to the store: what is held back (decision/plan.h) */
	size_t holds_size;
};
int store_plan_create(struct store *store, const char *source, const char *actor, int64_t now_s,
		      int64_t *ret_row, struct err *err);
/* Append a batch (opaque bytes, at most 500 people); seq from 0, in order, else ERR_CONFLICT "batch-out-of-order". */
int store_plan_add_batch(struct store *store, int64_t plan_row, int64_t seq, const void *data,
			 size_t size, struct err *err);
int store_plan_get_batch(struct store *store, int64_t plan_row, int64_t seq, struct arena *arena,
			 const void **ret_data, size_t *ret_size, struct err *err);
/*
 * In the batch's own transaction: batches_done = seq + 1, the batch's bytes are dropped. Once and in
 * order: ERR_CONFLICT "batch-out-of-order" otherwise, and then the transaction must be rolled back.
 */
int store_plan_batch_done(struct store *store, int64_t plan_row, int64_t seq, struct err *err);
/* Set state, id, summary, holds, finished_s (those of the row that are not NULL or 0). */
int store_plan_update(struct store *store, const struct plan_row *plan, struct err *err);
int store_plan_get(struct store *store, const char *id, struct arena *arena,
		   struct plan_row *ret_plan, struct err *err); /* any unique prefix of ≥8 digits */
/* In order of row. state 0: all. */
int store_plan_list(struct store *store, enum plan_state state, struct arena *arena,
		    struct plan_row **ret_plans, size_t *ret_count, struct err *err);
/* Drop a draft, or the batches of a superseded plan; ERR_CONFLICT for others. */
int store_plan_discard(struct store *store, int64_t plan_row, struct err *err);
/* Applied and superseded plans that were created and finished before are gone. */
int store_plan_prune(struct store *store, int64_t before_s, struct err *err);

/* --- sliding windows for limits: n events of a kind on a subject; at_s >= since_s counts, at_s < before_s goes --- */
int store_window_add(struct store *store, const char *kind, const char *subject, int64_t at_s,
		     int64_t n, struct err *err);
int store_window_sum(struct store *store, const char *kind, const char *subject, int64_t since_s,
		     int64_t *ret_sum, struct err *err);
int store_window_prune(struct store *store, int64_t before_s, struct err *err);

/* --- quarantine: one row per (source, locator) --- */
struct quarantine_row {
	const char *source, *locator, *key, *reason, *detail;
	int64_t since_s, seen_s;
};
int store_quarantine_put(struct store *store, const struct quarantine_row *row, struct err *err);
/* since_s of the first time stays. After a whole read: rows of the source with seen_s < seen_before_s are gone. */
int store_quarantine_prune(struct store *store, const char *source, int64_t seen_before_s,
			   struct err *err);
/* Before the first put of a read: what earlier ones saw in this same second becomes older than it. */
int store_quarantine_age(struct store *store, const char *source, int64_t now_s, struct err *err);
/* 1: an entry with this key is there; 0; -1. */
int store_quarantine_has_key(struct store *store, const char *source, const char *key,
			     struct err *err);
struct quarantine_query {
	const char *source; /* NULL: all */
	const char *entry;  /* its locator or key; NULL: any */
	size_t limit;	    /* 0: all */
};
/* Is there any row of the source: 1, 0, -1. */
int store_quarantine_any(struct store *store, const char *source, struct err *err);
/* The entry with this key is well again. */
int store_quarantine_forget(struct store *store, const char *source, const char *key,
			    struct err *err);
int store_quarantine_list(struct store *store, const struct quarantine_query *query,
			  struct arena *arena, struct quarantine_row **ret_rows, size_t *ret_count,
			  int64_t *ret_total, struct err *err);
/* How many of each reason, by source, most first. */
struct quarantine_count {
	const char *source, *reason;
	int64_t count;
};
int store_quarantine_counts(struct store *store, struct arena *arena,
			    struct quarantine_count **ret_counts, size_t *ret_count,
			    struct err *err);

/* --- alarms: open ones are unique by (kind, subject) --- */
struct alarm_row {
	int64_t id;
	const char *kind, *subject, *text;
	int64_t since_s, cleared_s;
	const char *cleared_by;
};
/* Returns 1 when newly raised, 0 when it was open already (text refreshed), -1 on error. */
int store_alarm_raise(struct store *store, const char *kind, const char *subject, const char *text,
		      int64_t now_s, struct err *err);
/* 1 when it was open, 0 otherwise. */
int store_alarm_clear(struct store *store, const char *kind, const char *subject,
		      const char *cleared_by, int64_t now_s, struct err *err);
/* In order of id. */
int store_alarm_list(struct store *store, bool open_only, struct arena *arena,
		     struct alarm_row **ret_rows, size_t *ret_count, struct err *err);
/* Open or not, after_id < id <= to_id, in order of id, at most limit. */
int store_alarm_range(struct store *store, int64_t after_id, int64_t to_id, size_t limit,
		      struct arena *arena, struct alarm_row **ret_rows, size_t *ret_count,
		      struct err *err);
/* The last that was raised and is there; 0: none. */
int store_alarm_last(struct store *store, int64_t *ret_id, struct err *err);
/* Alarms cleared before are gone. */
int store_alarm_prune(struct store *store, int64_t before_s, struct err *err);

/* --- audit --- */
/* Seals and appends: sets row->seq and row->hash. Only inside a write transaction. */
int store_audit_append(struct store *store, struct audit_row *row, struct err *err);
struct audit_query {
	int64_t after_seq, before_seq; /* after_seq < seq < before_seq; 0: open */
	int64_t from_s, to_s;	       /* from_s <= at_s < to_s; 0: open */
	/* NULL: any; exact. Of the first three, with '*' at the end: what begins so. */
	const char *actor, *object, *action, *request;
	/* What they did, and what was done to them or is told of them in a detail; NULL: anybody. */
	const struct user *person;
	bool newest_first;
	size_t limit; /* rows; 0: all */
	size_t scan;  /* rows that are looked at; 0: all */
};
struct store_audit_cursor;
/*
 * An audit_iterator over the rows; texts of a row are valid until the next. Close it before the handle. An open
 * cursor holds its snapshot. Borrows the query.
 */
struct store_audit_cursor *store_audit_open(struct store *store, const struct audit_query *query,
					    struct err *err);
struct audit_iterator store_audit_iterator(struct store_audit_cursor *cursor);
/* After the iterator's end: the row it came to, from which another query goes on; 0: there are no more. */
int64_t store_audit_place(const struct store_audit_cursor *cursor);
void store_audit_close(struct store_audit_cursor *cursor);
int store_audit_head(struct store *store, int64_t *ret_seq, struct hash256 *ret_hash,
		     struct err *err);

/* --- small values (ruleset digest, last clock, …) --- */
int store_meta_get(struct store *store, const char *name, struct arena *arena,
		   const char **ret_value /* NULL: absent */, struct err *err);
int store_meta_set(struct store *store, const char *name, const char *value, struct err *err);

#endif
