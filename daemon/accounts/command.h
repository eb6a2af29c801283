/*
 * Programs of the system, run one at a time: fixed path, no shell, a fixed environment, no descriptor of
 * ours but the lock (so that a helper that starts anew waits for what the one before began).
 */
#ifndef ROLEBRIDGE_ACCOUNTS_COMMAND_H
#define ROLEBRIDGE_ACCOUNTS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rolebridge/base/err.h>

#define COMMAND_ARGS_MAX 48

/* Words of one command line; none are copied. */
struct command {
	const char *words[COMMAND_ARGS_MAX + 1];
	size_t count; /* past COMMAND_ARGS_MAX: running it fails */
};

void command_add(struct command *command, const char *word);

/*
 * Run to the end. 0: it ended with 0. -1: ERR_IO "PROGRAM failed (3): first line of what it said", reason
 * "busy" when it could not lock the databases, "disk-full" when it said so, "command-failed" else.
 */
int command_run(const struct command *command, int64_t timeout_s, struct err *err);

/* Begin; *ret_pidfd becomes readable when it has ended. */
int command_start(const struct command *command, pid_t *ret_pid, int *ret_pidfd, struct err *err);
/* It has ended: 0 when well. */
int command_finish(pid_t pid, int pidfd, const char *name, struct err *err);
/* Ends it at once and waits for that. */
void command_kill(pid_t pid, int pidfd);

/* The descriptor that every command inherits; -1: none. */
void command_set_lock(int fd);

#endif
