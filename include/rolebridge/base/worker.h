/*
 * Worker processes: the same binary re-executed with one socket, then locked up.
 *
 * The child is started as "/proc/self/exe --worker NAME" with the socket on
 * descriptor 3, standard error kept, everything else closed, an empty
 * environment but TZ=UTC0 (and CREDENTIALS_DIRECTORY), and dies with its parent
 * (PR_SET_PDEATHSIG). Only the core starts workers.
 */
#ifndef ROLEBRIDGE_BASE_WORKER_H
#define ROLEBRIDGE_BASE_WORKER_H

#include <stddef.h>
#include <sys/types.h>

#include <rolebridge/base/err.h>

#define WORKER_SOCKET 3

struct worker {
	pid_t pid;
	int socket; /* the core's end */
};

int worker_start(const char *name, struct worker *ret_worker, struct err *err);
/*
 * Close the socket, wait up to grace_ms, then SIGKILL; always reaps. *ret_status
 * is waitpid's (may be NULL). A worker that died by a signal is told in words by worker_status_text.
 */
void worker_stop(struct worker *worker, int grace_ms, int *ret_status);
/* "exit 1", "signal 31 (bad system call)". */
void worker_status_text(int status, char *text, size_t size);

/*
 * Inside the worker: no_new_privs, rlimits (no core dumps, no new files or
 * processes, address space; 0: not limited, as sanitizers need) and a
 * seccomp filter of exactly the named system calls. openat, newfstatat answer
 * EACCES; anything else outside the list kills the process. Sanitizer builds
 * (RB_SANITIZE) add what the sanitizers need. Irreversible.
 */
int worker_lock(const int *syscalls, size_t count, size_t max_memory, struct err *err);

#endif
