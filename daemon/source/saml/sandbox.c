/*
 * The system calls of a locked saml worker. Enters: how much memory. Leaves: a process that can
 * read and write its socket, allocate and end. Fails as worker_lock.
 */
#include "sandbox.h"

#include <sys/syscall.h>

#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

/* Beside the common ones: qsort asks how much memory there is. */
static const int syscalls[] = { WORKER_COMMON_SYSCALLS, SYS_sysinfo };

int sandbox_enter(size_t max_memory, struct err *err)
{
	return worker_lock(syscalls, ARRAY_LEN(syscalls), max_memory, err);
}
