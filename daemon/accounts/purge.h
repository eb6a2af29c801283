/*
 * Removing deleted accounts when their grace is over, one after the other, without holding up requests:
 * archive the home, note that → userdel → remove the home → note it as gone. Begun anew after a crash; once an archive is
 * noted none is made from what is left of a home, and none is ever overwritten.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_PURGE_H
#define ROLEBRIDGE_ACCOUNTS_PURGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"

enum purge_step { PURGE_IDLE, PURGE_ARCHIVING, PURGE_REMOVING };

struct purge {
	enum purge_step step;
	pid_t pid;
	int pidfd;	       /* to be watched unless idle */
	int64_t pause_until_s; /* since the machine started: after a failure */
	struct uuid
		last; /* begun before: the next one comes behind it, so that none holds up the others */
};

#define PURGE_INIT ((struct purge){ .pidfd = -1 })

/*
 * Go on with what has ended, or begin what is due. 0, or -1: this account failed and is tried again
 * after PURGE_PAUSE. ret_name (NULL when nothing ended): who is gone, the arena's.
 */
int purge_tick(struct purge *purge, struct helper *helper, struct arena *arena,
	       const struct clocks *now, const char **ret_name, struct err *err);
/* Is a deletion outstanding? *ret_next_s: the earliest time. */
bool purge_waits(struct helper *helper, int64_t *ret_next_s);
/* At the end: what runs is ended; it begins anew with the next start. */
void purge_stop(struct purge *purge);

#define PURGE_PAUSE_S 30

#endif
