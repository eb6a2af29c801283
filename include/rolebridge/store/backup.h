/*
 * Copies of the store: made while it is in use, examined before one is trusted, put in its place.
 *
 * A copy is one SQLite file of its own (no WAL), mode 0600, on disk before its function returns. It holds all that the
 * store holds and nothing else: sealing key, web.key and archives of the audit log lie elsewhere.
 *
 *	making		store_copy → store_examine (of the copy)
 *	restoring	store_take_in → store_examine → a handle of the copy (STORE_WRITE), closed → store_put_ready →
 *			store_put_in_place, which a start finishes that was cut off
 *
 * Files lie beside the store, under its own name and: ".copy", while one is made; ".restoring", what is not examined
 * yet; ".restored", what will be the store; ".before-TIME", what was. Who calls any of it but store_copy holds the
 * store's lock.
 */
#ifndef ROLEBRIDGE_STORE_BACKUP_H
#define ROLEBRIDGE_STORE_BACKUP_H

#include <rolebridge/audit/audit.h>
#include <rolebridge/store/store.h>

/* Called between pieces: false ends the work with ERR_CANCELLED. NULL members are left out. */
struct store_progress {
	bool (*go_on)(void *context, const char *phase, uint64_t done, uint64_t total);
	void *context;
};

/*
 * A snapshot of the store at path, of this schema or an older one, into a file that is not there yet; now_s is noted in it,
 * with the head of its audit log. The store may be written to meanwhile. On failure nothing is left of the copy.
 * ERR_IO: disk full, damaged; ERR_CONFLICT "schema-newer".
 */
int store_copy(const char *path, const char *to, int64_t now_s,
	       const struct store_progress *progress, struct err *err);

struct store_about {
	int64_t made_s; /* when the copy was made; 0: it was not by store_copy */
	int64_t schema; /* as it is in the file */
	int64_t size;
	int64_t users;
	struct audit_verdict audit;
};
/*
 * Is the file whole and ours: SQLite's own checks, the schema to the letter as our migrations make it (a trigger that
 * somebody put in would run with our rights), foreign keys, the chain of the audit log, the head that was noted
 * when it was made, and head ("SEQ:HASH", or NULL). Reads only, and trusts nothing of it.
 * ERR_INVALID "backup-damaged", "store-foreign", "audit-broken"; ERR_CONFLICT "schema-newer".
 */
int store_examine(const char *path, const char *head, const struct store_progress *progress,
		  struct store_about *ret_about, struct err *err);

/* Copies an open file into path.restoring, which is returned: free() it. NULL on failure, and nothing is left of it. */
char *store_take_in(const char *path, int fd, const struct store_progress *progress,
		    struct err *err);
/* It is not wanted. */
int store_drop_taken(const char *path, struct err *err);
/* path.restoring, closed and in one file, becomes path.restored: from here on it will be the store. */
int store_put_ready(const char *path, struct err *err);
/* Is there one that will be the store: 1, 0, -1. */
int store_is_coming(const char *path, struct err *err);
/*
 * Finishes what store_put_ready began, if it did: what is the store goes aside, path.restored takes its place, and so
 * on each call until it is done. aside (or NULL) gets the name of what went, "" when there was nothing.
 * Also removes what a cut left of copies. 1 done, 0 nothing was to be done, -1.
 */
int store_put_in_place(const char *path, struct strbuf *aside, struct err *err);

/* --- what waits since a restore (0021-restore.sql) --- */
struct restoration {
	int64_t at_s;		 /* 0: never restored */
	int64_t made_s;		 /* of the copy it came from; 0: unknown */
	int64_t sign_in_open_s;	 /* 0: not yet */
	int64_t delivery_open_s; /* 0: not yet */
};
int store_restoration_get(struct store *store, struct restoration *ret_restoration,
			  struct err *err);
int store_restoration_set(struct store *store, const struct restoration *restoration,
			  struct err *err);
/* A source was read whole since. */
int store_restoration_note_read(struct store *store, const char *source, struct err *err);
/* 1: it was, 0: not yet, -1. */
int store_restoration_was_read(struct store *store, const char *source, struct err *err);

struct restore_void {
	int64_t sessions, devices, recovery_codes, resets, invites, login_links, factors, tokens;
};
/*
 * What must not come back to life: sessions, remembered browsers, recovery codes and codes that were sent, links,
 * invites, factors that were not confirmed. keeps decides on each living token: 1 keep, 0 end, -1.
 */
int store_restore_void(struct store *store, int64_t now_s,
		       int (*keeps)(void *context, const struct uuid *token, struct err *err),
		       void *context, struct restore_void *ret_void, struct err *err);

#endif
