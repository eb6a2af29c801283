/*
 * Logins and processes of a uid. Enters: uids of accounts that are locked. Leaves: nothing of theirs that
 * runs. A process is taken by a descriptor before its uid is looked at again, so that a number given to
 * somebody else in between hits nobody.
 */
#include "sessions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "command.h"

#define LOGINCTL "/usr/bin/loginctl"
#define LOGIND "/run/systemd/seats" /* there while logind runs */
#define LOGINCTL_TIMEOUT_S 5
#define TICK_US 100000

/* --- processes --- */

static bool is_one_of(uint32_t uid, const uint32_t *uids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (uids[i] == uid)
			return true;
	return false;
}

/* Any of the real, effective, saved and file system uid. */
static bool belongs_to(pid_t pid, const uint32_t *uids, size_t count)
{
	char path[64], text[4096];
	unsigned uid[4];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);

	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (size <= 0)
		return false;
	text[size] = 0;

	const char *line = strstr(text, "\nUid:");

	/* What is dead and waits to be reaped runs no more. */
	if (!line || strstr(text, "\nState:\tZ") ||
	    sscanf(line + 5, "%u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) != 4)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(uid); i++)
		if (is_one_of(uid[i], uids, count))
			return true;
	return false;
}

static bool signal_process(pid_t pid, const uint32_t *uids, size_t count, int signal)
{
	if (!belongs_to(pid, uids, count))
		return false;

	AUTO(fd) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0 || !belongs_to(pid, uids, count))
		return false;
	if (signal)
		syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
	return true;
}

int processes_signal(const uint32_t *uids, size_t count, int signal)
{
	DIR *folder = opendir("/proc");
	const struct dirent *entry;
	int found = 0;

	if (!folder)
		return -1;
	while ((entry = readdir(folder))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (*end == 0 && pid > 1 && pid <= INT32_MAX)
			found += signal_process((pid_t)pid, uids, count, signal);
	}
	closedir(folder);
	return found;
}

/* --- logins --- */

/* logind forgets the session, ends its scope and the user's manager. It may not be there. */
static void terminate_logins(uint32_t uid)
{
	struct command command = { 0 };
	char text[16];

	if (access(LOGIND, F_OK) < 0 || access(LOGINCTL, X_OK) < 0)
		return;
	snprintf(text, sizeof(text), "%u", uid);
	command_add(&command, LOGINCTL);
	command_add(&command, "terminate-user");
	command_add(&command, text);
	command_run(&command, LOGINCTL_TIMEOUT_S, NULL);
}

int endings_add(struct endings *endings, uint32_t uid, struct err *err)
{
	if (endings->count == endings->capacity) {
		size_t capacity = endings->capacity ? endings->capacity * 2 : 16;
		struct ending *more = alloc_resize(endings->items, capacity * sizeof(*more));

		if (!more)
			return err_set(err, ERR_MEMORY, "no room to note whose processes end");
		endings->items = more;
		endings->capacity = capacity;
	}
	endings_forget(endings, uid);
	terminate_logins(uid);
	if (processes_signal(&uid, 1, SIGTERM) == 0)
		return 0;
	/* A shell ignores SIGTERM; it ends with its terminal. */
	processes_signal(&uid, 1, SIGHUP);

	int64_t now_us = clock_monotonic_us();

	if (endings->count == 0)
		endings->next_us = now_us + TICK_US;
	endings->items[endings->count++] = (struct ending){ .uid = uid, .since_us = now_us };
	return 0;
}

void endings_forget(struct endings *endings, uint32_t uid)
{
	size_t kept = 0;

	for (size_t i = 0; i < endings->count; i++)
		if (endings->items[i].uid != uid)
			endings->items[kept++] = endings->items[i];
	endings->count = kept;
}

/* -1: stuck, 0: ended, 1: look again */
static int look_after(const struct ending *ending, int64_t now_us)
{
	int64_t age_us = now_us - ending->since_us;
	int left = processes_signal(&ending->uid, 1, age_us < END_PATIENCE_US ? 0 : SIGKILL);

	if (left == 0)
		return 0;
	return age_us < END_LIMIT_US ? 1 : -1;
}

size_t endings_tick(struct endings *endings, uint32_t *ret_stuck)
{
	int64_t now_us = clock_monotonic_us();
	size_t kept = 0, stuck = 0;

	if (endings->count == 0 || now_us < endings->next_us)
		return 0;
	for (size_t i = 0; i < endings->count; i++) {
		int result = look_after(&endings->items[i], now_us);

		if (result < 0)
			ret_stuck[stuck++] = endings->items[i].uid;
		else if (result > 0)
			endings->items[kept++] = endings->items[i];
	}
	endings->count = kept;
	endings->next_us = clock_monotonic_us() + TICK_US;
	return stuck;
}

void endings_finish(struct endings *endings)
{
	free(endings->items);
	*endings = (struct endings){ 0 };
}
