/*
 * People out of a file, many at once: made, or changed, with grants of origin "import". Each row is by itself: what is
 * wrong with one stops no other. The same file again changes nothing.
 *
 * Whom a row is about: the first of user id, external id and user name that is given and names somebody; the e-mail
 * address only where none of them is given. Nobody: somebody new.
 *
 *	import_begin → import_rows, at most IMPORT_BATCH at a time → … → import_finish → import_destroy
 *
 * A dry run reads, and foresees what would be refused; it writes nothing.
 */
#ifndef ROLEBRIDGE_CHANGE_IMPORT_H
#define ROLEBRIDGE_CHANGE_IMPORT_H

#include <rolebridge/change/changer.h>

#define IMPORT_BATCH 500

/* A text NULL or "": the file says nothing of it. */
struct import_row {
	uint64_t number;     /* of the row or line, for messages */
	const char *user_id; /* UUID; unknown: somebody new gets it */
	const char *external_id;
	const char *username; /* of somebody new "": the e-mail address */
	const char *email, *display_name;
	const char *organization; /* of somebody new "": the actor's */
	const char *state;	  /* "active", "disabled"; "": as it is */
	const char *profile;	  /* "": as it is, of somebody new the default one */
	/* Of roles, personas and groups: given, also empty, is all that the file gives. */
	struct import_names {
		bool given;
		const char *const *names;
		size_t count;
	} names[GRANT_KINDS];
	/* "APPLICATION/ID" of accounts; given is all to which they belong. */
	struct import_names accounts;
};

enum import_status {
	IMPORT_CREATED,
	IMPORT_UPDATED,
	IMPORT_UNCHANGED,
	IMPORT_FAILED,
	IMPORT_STATUSES,
};
const char *import_status_name(enum import_status status);

struct import_result {
	enum import_status status;
	bool has_user;
	struct uuid user;
	const char *code, *field; /* static; field NULL: none */
	const char *message;	  /* the arena's */
};

struct import;

/* Borrows changer and actor. */
struct import *import_begin(struct changer *changer, const struct actor *actor, bool dry_run,
			    struct err *err);
void import_destroy(struct import *import);
static inline void import_auto(struct import **import)
{
	import_destroy(*import);
}
/*
 * One transaction. -1: our own side failed (store, memory), and nothing of these rows was done. Messages live in
 * the arena. Rows that are failed already (status IMPORT_FAILED with a code) are passed over.
 */
int import_rows(struct import *import, const struct import_row *rows, size_t count,
		struct arena *arena, struct import_result *results, struct err *err);
/* All that was done is on disk, whatever becomes of the power; one row of the audit log sums it up. */
int import_finish(struct import *import, struct err *err);

#endif
