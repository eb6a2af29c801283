/* What changes of one user by a person's hand share (edit.c, adopt.c). */
#ifndef CHANGE_EDIT_H
#define CHANGE_EDIT_H

#include "internal.h"

struct editing {
	const struct actor *actor;
	const char *user;
	int64_t version; /* 0: whichever */
	void *context;
	const struct live_setup *setup;
	struct uuid uuid; /* whom it was */
};
/* ERR_CONFLICT "stale-version". version 0: whichever. */
int edit_check_version(const struct user *user, int64_t version, struct err *err);
/* In the writer: refuses who is unknown, deleted or beyond the actor, and versions that are not the present one. */
int edit_find_subject(struct changer *changer, struct editing *editing, struct arena *arena,
		      struct user *ret_user, struct err *err);
/* The next version of the user, by apply_person. *ret_written (may be NULL): anything that people see. */
int edit_apply(struct changer *changer, const struct editing *editing, struct person_change *change,
	       struct arena *arena, bool *ret_written, struct err *err);
/* The job's context is the struct editing. */
int edit_send(struct changer *changer, struct editing *editing, job_run *run, struct uuid *ret_uuid,
	      struct err *err);

/* The end of somebody: the job's context is the struct editing. What it makes of them; refuses who is active. */
int edit_delete_job(struct changer *changer, struct job *job, struct err *err);
int edit_deletion(struct store *store, struct arena *arena, const struct user *user,
		  struct person_change *ret_change, struct err *err);

/* User name, e-mail address, display name, in this order. */
#define EDIT_FIELDS 3
/* Those that changed: does a source say any of them? ERR_CONFLICT "managed-by-idp", and which. */
int edit_check_owners(const struct evaluation *evaluation, const struct user *user,
		      const bool changed[static EDIT_FIELDS], const char **ret_refused,
		      struct err *err);
/* The field that a name conflict of the store is about; NULL: none. */
const char *edit_refused_name(const struct err *err);

#endif
