/*
 * Worker processes: the same binary re-executed with one socket, then locked up.
 *
 * The child is started as "/proc/self/exe --worker NAME" with the socket on
 * descriptor 3, standard error kept, everything else closed, an empty
 * environment but TZ=UTC0 and the allocator's tuning (and CREDENTIALS_DIRECTORY), and dies with its parent
 * (PR_SET_PDEATHSIG: strictly with the thread that started it, so that thread
 * must outlive it). Only the core starts workers.
 */
#ifndef ROLEBRIDGE_BASE_WORKER_H
#define ROLEBRIDGE_BASE_WORKER_H

#include <stddef.h>
#include <sys/types.h>

#include <rolebridge/base/err.h>

#define WORKER_SOCKET 3

/*
 * What every worker needs: memory, message_send, message_receive, log lines to
 * standard error, the end. For an initializer of a syscall list; needs <sys/syscall.h>.
 */
#define WORKER_COMMON_SYSCALLS \
	__NR_read, __NR_write, __NR_sendto, __NR_sendmsg, __NR_recvmsg, __NR_poll, __NR_close, \
		__NR_brk, __NR_mmap, __NR_munmap, __NR_mremap, __NR_madvise, __NR_futex, \
		__NR_getrandom, __NR_getpid, __NR_clock_gettime, __NR_restart_syscall, \
		__NR_rt_sigreturn, __NR_exit, __NR_exit_group

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
void worker_status_text(int status, char *ret_text, size_t size);

/*
 * Inside the worker: no_new_privs, rlimits (no core dumps, no new files or
 * processes, address space; 0: not limited, as sanitizers need) and a
 * seccomp filter of exactly the named system calls, mmap and mprotect without
 * PROT_EXEC. openat, newfstatat answer EACCES; anything else outside the list
 * kills the process. Call hash_prepare first. Sanitizer builds (RB_SANITIZE)
 * refuse only new sockets, files and programs, by EACCES. Irreversible.
 */
int worker_lock(const int *syscalls, size_t count, size_t max_memory, struct err *err);
/*
 * A first lock for what needs more for a while: as above, but files may be opened for reading and libraries loaded,
 * and what is not listed fails with EPERM. The list must have prctl, seccomp and prlimit64, for worker_lock
 * to be called afterwards.
 */
int worker_lock_wide(const int *syscalls, size_t count, size_t max_memory, struct err *err);

#endif
