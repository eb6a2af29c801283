/* What reloads, releases of rules and expiry share (reload.c, release.c, expire.c). */
#ifndef CHANGE_RELOAD_H
#define CHANGE_RELOAD_H

#include "internal.h"

/* People who are read at once. */
#define RELOAD_PAGE 500

struct reload {
	struct changer *changer;
	struct live_setup *setup;
	struct store *store;
	struct arena *arena;
	struct run run;
	struct held_users held; /* of all plans */
	const char *cause;
	int64_t now_s;
	bool unprotected;
	struct arena *texts;
	/* Last administrators whose profile expired, to be noted. */
	struct kept {
		const char *name, *value;
		struct kept *next;
	} * kept;
	bool leave_held; /* what waits is not this run's business; else it answers it anew */
	struct reload_more *more; /* NULL: a plain reload */
};

/* setup: a new one, NULL: that in force. To be closed also when it fails. */
int reload_open(struct reload *reload, struct changer *changer, struct setup *setup,
		struct err *err);
void reload_close(struct reload *reload);
int reload_evaluate(struct reload *reload, int64_t user_id, struct person_change *ret_change,
		    struct err *err);
/* One person, with all that changes of them, into the draft. */
int reload_user(struct reload *reload, int64_t user_id, struct err *err);
void reload_start_report(struct run_report *report, int64_t now_s);

#endif
