/*
 * Ending the logins and processes of accounts that were disabled: asked at once (logind, SIGTERM), forced
 * after END_PATIENCE. Runs from the helper's loop, so that nobody waits for it.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_SESSIONS_H
#define ROLEBRIDGE_ACCOUNTS_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>

#define END_PATIENCE_US 2000000
/* What still runs then cannot be ended (it waits in the kernel), or cannot be seen: said in the log. */
#define END_LIMIT_US 60000000

struct ending {
	uint32_t uid;
	int64_t since_us;
	bool forced; /* logind was told to end all at once */
};

struct endings {
	struct ending *items;
	size_t count, capacity;
	int64_t next_us; /* of the monotonic clock; when endings_tick wants to be called */
};

/* Ask everything of uid to end, and see to it. */
int endings_add(struct endings *endings, uint32_t uid, struct err *err);
/* Enabled again: what runs from now on is wanted. */
void endings_forget(struct endings *endings, uint32_t uid);
/* Look again. ret_stuck: uids given up, in an array of at least endings->count; returns how many. */
size_t endings_tick(struct endings *endings, uint32_t *ret_stuck);
void endings_finish(struct endings *endings);

/* The same for those of the uids (ascending, each once) of whom something runs: one look for all. */
int endings_add_running(struct endings *endings, const uint32_t *uids, size_t count,
			struct err *err);

/* End every process of uid at once, also of one who starts them fast. How many there were; -1: as below. */
int processes_end(uint32_t uid);
/* Send signal (0: none) to every process of uid. How many there are; -1: /proc is missing or hides those of others. */
int processes_signal(uint32_t uid, int signal);

#endif
