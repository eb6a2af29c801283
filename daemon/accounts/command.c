/*
 * Running programs. Enters: words of ours. Leaves: whether it went well, and the first line of what was
 * said on the way. A program past its time is ended.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#define SAID_MAX 400
#define LOCK_FD 3

/* Messages in English, since they are looked at; programs find their helpers (gzip, nscd). */
static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
					   "TZ=UTC0", NULL };

static int lock_fd = -1;

void command_set_lock(int fd)
{
	lock_fd = fd;
}

void command_add(struct command *command, const char *word)
{
	if (command->count < COMMAND_ARGS_MAX)
		command->words[command->count] = word;
	command->count++;
}

/* What it says goes into said; -1: to nobody. */
static int prepare_files(posix_spawn_file_actions_t *files, int said)
{
	int problem = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDWR, 0);

	if (!problem && said < 0)
		problem = posix_spawn_file_actions_adddup2(files, 0, 1);
	else if (!problem)
		problem = posix_spawn_file_actions_adddup2(files, said, 1);
	if (!problem)
		problem = posix_spawn_file_actions_adddup2(files, 1, 2);
	if (!problem && lock_fd >= 0)
		problem = posix_spawn_file_actions_adddup2(files, lock_fd, LOCK_FD);
	if (!problem)
		problem = posix_spawn_file_actions_addclosefrom_np(files, LOCK_FD + (lock_fd >= 0));
	return problem;
}

static int prepare_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
	/* A group of its own: a signal from our terminal must not cut it in the middle. */
	return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							    POSIX_SPAWN_SETPGROUP);
}

static int spawn(const struct command *command, int said, pid_t *ret_pid, struct err *err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int problem;

	if (command->count == 0 || command->count > COMMAND_ARGS_MAX)
		return err_refuse(err, ERR_TOO_LARGE, "command-failed", "a command of %zu words",
				  command->count);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	problem = prepare_files(&files, said);
	if (!problem)
		problem = prepare_signals(&attributes);
	if (!problem)
		problem = posix_spawn(ret_pid, command->words[0], &files, &attributes,
				      (char *const *)command->words, (char *const *)environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (!problem)
		return 0;
	err_set_errno(err, ERR_IO, problem, "cannot run %s", command->words[0]);
	if (err)
		err->reason = "command-failed";
	return -1;
}

static int wait_until(int pidfd, int64_t deadline_us)
{
	struct pollfd poll_for = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		int64_t left_ms = (deadline_us - clock_monotonic_us()) / 1000;
		int ready = left_ms > 0 ? poll(&poll_for, 1, (int)left_ms) : 0;

		if (ready > 0)
			return 0;
		if (ready == 0 || errno != EINTR)
			return -1;
	}
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

/* The first line that is no warning, without bytes that are no text. */
static void first_line(int said, char ret_line[static SAID_MAX])
{
	char text[4096];
	ssize_t size = pread(said, text, sizeof(text) - 1, 0);
	char *line = text;

	text[size > 0 ? size : 0] = 0;
	while (*line) {
		char *end = line + strcspn(line, "\n");
		bool last = !*end;

		*end = 0;
		if (*line && !strstr(line, "warning:"))
			break;
		line = last ? end : end + 1;
	}
	line[strnlen(line, SAID_MAX - 1)] = 0;
	memcpy(ret_line, line, strlen(line) + 1);
	for (char *at = ret_line; *at; at++)
		if (*at < 0x20 || *at == 0x7f)
			*at = '?';
}

static int failed(const char *name, int status, const char *line, struct err *err)
{
	/* "cannot lock FILE", "lock FILE already used by PID n", "existing lock file FILE" */
	const char *reason = strstr(line, " lock ") ? "busy"
			     : strstr(line, "No space left") || strstr(line, "quota exceeded")
				     ? "disk-full"
				     : "command-failed";

	return err_refuse(err, ERR_IO, reason, "%s failed (%s %d)%s%s", name,
			  WIFSIGNALED(status) ? "signal" : "exit",
			  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			  *line ? ": " : "", line);
}

int command_run(const struct command *command, int64_t timeout_s, struct err *err)
{
	char line[SAID_MAX];
	AUTO(fd) int said = memfd_create("said", MFD_CLOEXEC);
	AUTO(fd) int pidfd = -1;
	pid_t pid;
	int status;

	if (said < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot keep what a command says");
	if (spawn(command, said, &pid, err) < 0)
		return -1;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* Without a descriptor there is no time limit, but the end is still waited for. */
	if (pidfd >= 0 && wait_until(pidfd, clock_monotonic_us() + timeout_s * 1000000) < 0) {
		kill(pid, SIGKILL);
		reap(pid);
		return err_refuse(err, ERR_IO, "command-failed", "%s took longer than %lld s",
				  command->words[0], (long long)timeout_s);
	}
	status = reap(pid);
	if (status == 0)
		return 0;
	first_line(said, line);
	return failed(command->words[0], status, line, err);
}

int command_start(const struct command *command, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	pid_t pid;
	int pidfd;

	if (spawn(command, -1, &pid, err) < 0)
		return -1;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		int problem = errno;

		kill(pid, SIGKILL);
		reap(pid);
		return err_set_errno(err, ERR_IO, problem, "cannot watch %s", command->words[0]);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

int command_finish(pid_t pid, int pidfd, const char *name, struct err *err)
{
	int status = reap(pid);

	close(pidfd);
	return status == 0 ? 0 : failed(name, status, "", err);
}

void command_kill(pid_t pid, int pidfd)
{
	kill(pid, SIGKILL);
	reap(pid);
	close(pidfd);
}
