/*
 * Worker processes. Enters: a name, a list of system calls. Leaves: a child
 * with one socket, locked up by its own call. Fails when the system refuses;
 * a worker whose lock failed must end at once.
 */
#include <rolebridge/base/worker.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <seccomp.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define EXIT_NOT_STARTED 127

/* --- start and stop, in the core --- */

struct launch {
	char *arguments[4];
	char *environment[8]; /* more than TZ, the allocator's and kept_variables */
	int socket;	      /* above WORKER_SOCKET */
	pid_t parent;
};

/* Between fork and exec, of a process with threads: only what signal-safety(7) allows. */
static void child_run(const struct launch *launch) __attribute__((noreturn));

static void child_run(const struct launch *launch)
{
	sigset_t none;
	int null;

	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != launch->parent)
		_exit(EXIT_NOT_STARTED);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(launch->socket, WORKER_SOCKET) < 0 || close_range(WORKER_SOCKET + 1, ~0U, 0) < 0)
		_exit(EXIT_NOT_STARTED);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve("/proc/self/exe", launch->arguments, launch->environment);
	_exit(EXIT_NOT_STARTED);
}

static int launch_fork(struct launch *launch, pid_t *ret_pid, struct err *err)
{
	launch->parent = getpid();

	pid_t pid = fork();

	if (pid < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "cannot start a process");
	if (pid == 0)
		child_run(launch);
	*ret_pid = pid;
	return 0;
}

/* Variables that a worker gets from us, when they are set. */
static const char *const kept_variables[] = {
	"CREDENTIALS_DIRECTORY",
#ifdef RB_SANITIZE
	"ASAN_OPTIONS",
	"UBSAN_OPTIONS",
#endif
};

#define KEPT_COUNT ARRAY_LEN(kept_variables)

static int launch_with_environment(struct launch *launch, struct strbuf texts[static KEPT_COUNT],
				   pid_t *ret_pid, struct err *err)
{
	static char zone[] = "TZ=UTC0";
	/*
	 * Each message is a tree of hundreds of small pieces, made and freed at once: kept by size they need no
	 * merging and splitting, a sixth of what a sign-in costs. Two verifiers need more than a few hundred of
	 * some of the 64 sizes; at 500 of each that is bounded.
	 */
	static char allocator[] = "GLIBC_TUNABLES=glibc.malloc.tcache_count=500";
	size_t count = 0;

	launch->environment[count++] = zone;
	launch->environment[count++] = allocator;
	for (size_t i = 0; i < KEPT_COUNT; i++) {
		const char *value = getenv(kept_variables[i]);

		if (!value)
			continue;
		strbuf_printf(&texts[i], "%s=%s", kept_variables[i], value);
		if (strbuf_failed(&texts[i]))
			return err_set(err, ERR_INVALID, "%s is too long", kept_variables[i]);
		launch->environment[count++] = texts[i].data;
	}
	return launch_fork(launch, ret_pid, err);
}

static int launch_with_socket(const char *name, int socket, pid_t *ret_pid, struct err *err)
{
	static char self[] = "rolebridged", option[] = "--worker";
	struct strbuf texts[KEPT_COUNT];
	AUTO(strbuf) struct strbuf own_name = STRBUF(256);
	struct launch launch = { .socket = socket };

	strbuf_puts(&own_name, name);
	if (strbuf_failed(&own_name))
		return err_set(err, ERR_INVALID, "the name is too long");
	launch.arguments[0] = self;
	launch.arguments[1] = option;
	launch.arguments[2] = own_name.data;
	for (size_t i = 0; i < KEPT_COUNT; i++)
		texts[i] = STRBUF(PATH_MAX + 64);

	int result = launch_with_environment(&launch, texts, ret_pid, err);

	for (size_t i = 0; i < KEPT_COUNT; i++)
		strbuf_finish(&texts[i]);
	return result;
}

int worker_start(const char *name, struct worker *ret_worker, struct err *err)
{
	int pair[2];
	pid_t pid = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "cannot start worker '%s'", name);

	AUTO(fd) int ours = pair[0];
	AUTO(fd) int theirs = pair[1];
	/* Out of the way of the descriptors that the child puts in place. */
	AUTO(fd) int moved = fcntl(theirs, F_DUPFD_CLOEXEC, WORKER_SOCKET + 1);

	if (moved < 0) {
		err_set_errno(err, ERR_UNAVAILABLE, errno, "no descriptor");
		return err_wrap(err, "cannot start worker '%s'", name);
	}
	if (launch_with_socket(name, moved, &pid, err) < 0)
		return err_wrap(err, "cannot start worker '%s'", name);
	*ret_worker = (struct worker){ .pid = pid, .socket = ours };
	ours = -1;
	return 0;
}

/* Until the process has ended, or grace_ms are over. */
static void wait_for_end(pid_t pid, int grace_ms)
{
	AUTO(fd) int process = pidfd_open(pid, 0);
	struct pollfd ended = { .fd = process, .events = POLLIN };

	if (process >= 0)
		while (poll(&ended, 1, grace_ms) < 0 && errno == EINTR)
			;
}

void worker_stop(struct worker *worker, int grace_ms, int *ret_status)
{
	int status = 0;
	pid_t reaped = 0;

	if (worker->socket >= 0)
		close(worker->socket);
	worker->socket = -1;
	if (worker->pid <= 0)
		return;
	wait_for_end(worker->pid, grace_ms);
	reaped = waitpid(worker->pid, &status, WNOHANG);
	if (reaped == 0) {
		kill(worker->pid, SIGKILL);
		do
			reaped = waitpid(worker->pid, &status, 0);
		while (reaped < 0 && errno == EINTR);
	}
	worker->pid = 0;
	if (ret_status)
		*ret_status = status;
}

void worker_status_text(int status, char *ret_text, size_t size)
{
	char name[64];

	if (WIFSIGNALED(status)) {
		const char *description = sigdescr_np(WTERMSIG(status));

		snprintf(name, sizeof(name), "%s", description ? description : "unknown");
		if (name[0] >= 'A' && name[0] <= 'Z')
			name[0] = (char)(name[0] | 0x20);
		snprintf(ret_text, size, "signal %d (%s)", WTERMSIG(status), name);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_STARTED) {
		snprintf(ret_text, size, "exit %d (it could not be started)", EXIT_NOT_STARTED);
	} else {
		snprintf(ret_text, size, "exit %d", WEXITSTATUS(status));
	}
}

/* --- the lock, in the worker --- */

static int limit_resources(size_t max_memory, struct err *err)
{
	const struct {
		__rlimit_resource_t resource;
		rlim_t value;
		const char *name;
		bool wanted;
	} limits[] = {
		{ RLIMIT_CORE, 0, "core dumps", true },
		/* poll(2) fails with more entries than this, so not 0; the filter stops new files. */
		{ RLIMIT_NOFILE, 64, "open files", true },
		{ RLIMIT_NPROC, 0, "processes", true },
		{ RLIMIT_AS, max_memory, "memory", max_memory > 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit limit = { limits[i].value, limits[i].value };

		if (limits[i].wanted && setrlimit(limits[i].resource, &limit) < 0)
			return err_set_errno(err, ERR_IO, errno, "cannot limit %s", limits[i].name);
	}
	return 0;
}

#ifdef RB_SANITIZE

/* The sanitizers map, read and write what they like: refuse only what a worker of ours must never do. */
static int fill_filter(scmp_filter_ctx filter, const int *syscalls, size_t count)
{
	static const int refused[] = { SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(execve),
				       SCMP_SYS(openat), SCMP_SYS(newfstatat) };

	(void)syscalls;
	(void)count;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused[i], 0) < 0)
			return -1;
	return 0;
}

static int fill_wide_filter(scmp_filter_ctx filter, const int *syscalls, size_t count)
{
	(void)syscalls;
	(void)count;
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(execve), 0);
}

#define FILTER_DEFAULT SCMP_ACT_ALLOW
#define WIDE_FILTER_DEFAULT SCMP_ACT_ALLOW

#else

static int allow_syscall(scmp_filter_ctx filter, int syscall)
{
	/* Memory that can be written now and run later is how a broken worker would get code in. */
	if (syscall == SCMP_SYS(mmap) || syscall == SCMP_SYS(mprotect))
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, syscall, 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, syscall, 0);
}

/* openat, newfstatat: OpenSSL, glibc and Lasso try files and live without them; killing would end every worker. */
static int fill_filter(scmp_filter_ctx filter, const int *syscalls, size_t count)
{
	static const int refused[] = { SCMP_SYS(openat), SCMP_SYS(newfstatat) };

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused[i], 0) < 0)
			return -1;
	for (size_t i = 0; i < count; i++)
		if (allow_syscall(filter, syscalls[i]) < 0)
			return -1;
	return 0;
}

/* Code comes into memory only by being mapped from a file, as libraries are: nothing becomes code later. */
static int fill_wide_filter(scmp_filter_ctx filter, const int *syscalls, size_t count)
{
	const uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;

	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY)) < 0 ||
	    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 0) < 0 ||
	    allow_syscall(filter, SCMP_SYS(mprotect)) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, syscalls[i], 0) < 0)
			return -1;
	return 0;
}

#define FILTER_DEFAULT SCMP_ACT_KILL_PROCESS
#define WIDE_FILTER_DEFAULT SCMP_ACT_ERRNO(EPERM)

#endif

typedef int fill_fn(scmp_filter_ctx filter, const int *syscalls, size_t count);

static int load_filter(uint32_t otherwise, fill_fn *fill, const int *syscalls, size_t count,
		       struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	int result = -1;

	if (!filter)
		return err_set(err, ERR_MEMORY, "no memory for the system call filter");
	/* All threads, and no way around by another calling convention. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
	    seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
	    fill(filter, syscalls, count) == 0 && seccomp_load(filter) == 0)
		result = 0;
	/* free() of the filter stays within brk, munmap, madvise: the caller's list has them. */
	seccomp_release(filter);
	return result < 0 ? err_set(err, ERR_IO, "cannot load the system call filter") : 0;
}

static int give_up_privileges(size_t max_memory, struct err *err)
{
#ifdef RB_SANITIZE
	/* AddressSanitizer reserves terabytes of address space. */
	max_memory = 0;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot give up privileges");
	return limit_resources(max_memory, err);
}

int worker_lock(const int *syscalls, size_t count, size_t max_memory, struct err *err)
{
	if (give_up_privileges(max_memory, err) < 0)
		return -1;
	return load_filter(FILTER_DEFAULT, fill_filter, syscalls, count, err);
}

int worker_lock_wide(const int *syscalls, size_t count, size_t max_memory, struct err *err)
{
	if (give_up_privileges(max_memory, err) < 0)
		return -1;
	return load_filter(WIDE_FILTER_DEFAULT, fill_wide_filter, syscalls, count, err);
}
