/*
 * Backups, and the time after one was put in the store's place.
 *
 * A restored store knows nothing of what happened since its backup was made: who left, what was revoked. So sessions,
 * codes, links, invites and remembered browsers end with the restore, nobody signs in until each source was read whole
 * (or a person says so), and nothing is delivered (mail, targets) until a person has looked. Service tokens, and those of
 * people once signing in is open, go on if they still were alive in the store that was replaced.
 */
#ifndef ROLEBRIDGE_CHANGE_RESTORE_H
#define ROLEBRIDGE_CHANGE_RESTORE_H

#include <rolebridge/change/changer.h>
#include <rolebridge/store/backup.h>

/* --- since a restore --- */
enum restore_hold {
	RESTORE_HOLDS_SIGN_IN = 1,  /* nobody signs in, but by root's link */
	RESTORE_HOLDS_DELIVERY = 2, /* mail and targets wait: ask before each round */
};
/* What waits now; 0: nothing. From any thread, costs nothing. */
unsigned change_restore_holds(const struct changer *changer);
/* ERR_UNAVAILABLE "restored" while signing in is closed. */
int change_restore_check_sign_in(const struct changer *changer, struct err *err);
/* A person lets go of what waits; audited. Of what does not wait nothing happens. */
int change_restore_release(struct changer *changer, const struct actor *actor, unsigned holds,
			   struct err *err);
/*
 * Opens signing in when every enabled source that is read was read whole since: at the start, after a reload; a
 * read does it by itself.
 */
int change_restore_look(struct changer *changer, struct err *err);

struct restore_state {
	struct restoration restoration;
	const char **waits_for; /* sources that signing in waits for */
	size_t waits_count;
};
/* Of a handle that reads. Names live in the arena. */
int change_restore_state(struct store *store, const struct setup *setup, struct arena *arena,
			 struct restore_state *ret_state, struct err *err);

/* --- a backup of the store of a running daemon --- */
struct backup_result {
	struct store_about about;
	int fd; /* of a file that has no name any more: close it */
};
/*
 * Audited first, so that the copy tells of itself; examined when it is made. One at a time: ERR_CONFLICT
 * "backup-running".
 */
int change_backup(struct changer *changer, const struct actor *actor,
		  const struct store_progress *progress, struct backup_result *ret_result,
		  struct err *err);

/* When the last one was made and examined; 0: never. Of a handle that reads. */
int change_backup_last(struct store *store, struct arena *arena, int64_t *ret_made_s,
		       struct err *err);

/* --- without a daemon, under the store's lock --- */
struct restore_request {
	const char *store_path;
	int fd;		   /* of the backup */
	const char *actor; /* "unix:root" */
	const char *head;  /* "SEQ:HASH" noted earlier, which the backup must hold; NULL */
	bool keep_tokens;  /* also those of which the store that is replaced says nothing */
	bool dry_run;	   /* examine it, and change nothing */
	const struct store_progress *progress;
};
struct restore_outcome {
	struct store_about about;
	struct restore_void ended;
	int64_t tokens_kept;
	bool old_readable; /* the store that is replaced */
};
/*
 * Examines the backup and makes of it, beside the store, what will take its place with store_put_in_place.
 * ERR_INVALID, ERR_CONFLICT as store_examine; the store is as it was, then as on each other failure.
 */
int change_restore(const struct restore_request *request, struct restore_outcome *ret_outcome,
		   struct err *err);

#endif
