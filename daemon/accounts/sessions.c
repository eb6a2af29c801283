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
/* So often is looked for what is not held still yet. The first look is the slow one: they leave the machine little. */
#define HOLD_LOOKS 16
/* With many groups, which come before the threads. */
#define STATUS_MAX ((size_t)16 * 1024)

/* --- processes --- */

/* Whom a process is looked at for. */
struct suspect {
	uint32_t uid;
	int signal; /* 0: none */
	size_t found;
	size_t awake; /* of those: neither stopped nor waiting in the kernel; such can start another process */
};

static int compare_uid(const void *uid, const void *suspect)
{
	uint32_t left = *(const uint32_t *)uid, right = ((const struct suspect *)suspect)->uid;

	return (left > right) - (left < right);
}

/* Waits to be reaped and runs no more. A process of which the first thread alone has ended says so too, and runs on. */
static bool is_dead(const char *status)
{
	const char *threads = strstr(status, "\nThreads:");

	return strstr(status, "\nState:\tZ") && threads &&
	       strtol(threads + strlen("\nThreads:"), NULL, 10) <= 1;
}

static bool is_awake(const char *status)
{
	const char *state = strstr(status, "\nState:\t");

	return !state || !strchr("TtD", state[strlen("\nState:\t")]);
}

/* Any of the real, effective, saved and file system uid. NULL: none of the suspects'. */
static struct suspect *whose(pid_t pid, struct suspect *suspects, size_t count, bool *ret_awake)
{
	char path[64], text[STATUS_MAX];
	unsigned uid[4];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);

	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (size <= 0)
		return NULL;
	text[size] = 0;

	const char *line = strstr(text, "\nUid:");

	if (!line || is_dead(text) ||
	    sscanf(line + 5, "%u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) != 4)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(uid); i++) {
		struct suspect *found =
			bsearch(&uid[i], suspects, count, sizeof(*suspects), compare_uid);

		if (!found)
			continue;
		*ret_awake = is_awake(text);
		return found;
	}
	return NULL;
}

static void look_at(pid_t pid, struct suspect *suspects, size_t count)
{
	bool awake = false;
	struct suspect *suspect = whose(pid, suspects, count, &awake);

	if (!suspect)
		return;

	AUTO(fd) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0 || whose(pid, suspects, count, &awake) != suspect)
		return;
	if (suspect->signal)
		syscall(SYS_pidfd_send_signal, pidfd, suspect->signal, NULL, 0);
	suspect->found++;
	suspect->awake += awake;
}

/*
 * One look at all processes for all suspects, who are ascending. -1: not all are shown. Where /proc hides those of others
 * (hidepid), it hides the first one too from a root without CAP_SYS_PTRACE.
 */
static int look_at_all(struct suspect *suspects, size_t count)
{
	DIR *folder = access("/proc/1/status", R_OK) == 0 ? opendir("/proc") : NULL;
	const struct dirent *entry;

	if (!folder)
		return -1;
	while ((entry = readdir(folder))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (*end == 0 && pid > 1 && pid <= INT32_MAX)
			look_at((pid_t)pid, suspects, count);
	}
	closedir(folder);
	return 0;
}

/*
 * Who starts processes faster than one look ends them: all are held still first, which no process can refuse, and what is
 * held starts nothing. As long as new ones are found, within bounds; then they are ended. suspects: signal SIGKILL, or 0 for
 * those that are only looked for. found: how often one was, in the last look at what is held and that which ends.
 */
static int end_all_of(struct suspect *suspects, size_t count)
{
	size_t awake, found, looks = 0;

	do {
		awake = found = 0;
		for (size_t i = 0; i < count; i++) {
			suspects[i].found = suspects[i].awake = 0;
			if (suspects[i].signal)
				suspects[i].signal = SIGSTOP;
		}
		if (look_at_all(suspects, count) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			found += suspects[i].signal ? suspects[i].found : 0;
			awake += suspects[i].signal ? suspects[i].awake : 0;
		}
	} while (awake && ++looks < HOLD_LOOKS);
	if (!found)
		return 0;
	for (size_t i = 0; i < count; i++)
		suspects[i].signal = suspects[i].signal ? SIGKILL : 0;
	return look_at_all(suspects, count);
}

int processes_end(uint32_t uid)
{
	struct suspect suspect = { .uid = uid, .signal = SIGKILL };

	return end_all_of(&suspect, 1) < 0 ? -1 : (int)suspect.found;
}

int processes_signal(uint32_t uid, int signal)
{
	struct suspect suspect = { .uid = uid, .signal = signal };

	return look_at_all(&suspect, 1) < 0 ? -1 : (int)suspect.found;
}

/* --- logins --- */

/*
 * terminate-user: logind forgets the session, ends its scope and the user's manager. kill-user: systemd ends all that its
 * cgroups hold, also what has a subordinate uid. It may not be there.
 */
static void tell_logind(uint32_t uid, const char *what)
{
	struct command command = { 0 };
	char text[16];

	if (access(LOGIND, F_OK) < 0 || access(LOGINCTL, X_OK) < 0)
		return;
	snprintf(text, sizeof(text), "%u", uid);
	command_add(&command, LOGINCTL);
	command_add(&command, what);
	if (strcmp(what, "kill-user") == 0)
		command_add(&command, "--signal=SIGKILL");
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
	tell_logind(uid, "terminate-user");
	/* A shell ignores SIGTERM; it ends with its terminal. */
	if (processes_signal(uid, SIGTERM) > 0)
		processes_signal(uid, SIGHUP);

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

static int compare_endings(const void *a, const void *b)
{
	return compare_uid(&((const struct ending *)a)->uid,
			   &(struct suspect){ .uid = ((const struct ending *)b)->uid });
}

/*
 * suspects: as endings->items. Keeps those of whom something runs, for as long as there is hope; and all for a moment:
 * a login that was let in before the account was closed may have no process yet.
 */
static size_t judge(struct endings *endings, const struct suspect *suspects, int64_t now_us,
		    uint32_t *ret_stuck)
{
	size_t kept = 0, stuck = 0;

	for (size_t i = 0; i < endings->count; i++) {
		int64_t age_us = now_us - endings->items[i].since_us;

		if (suspects[i].found == 0 && age_us >= END_PATIENCE_US)
			continue;
		if (age_us < END_LIMIT_US)
			endings->items[kept++] = endings->items[i];
		else
			ret_stuck[stuck++] = endings->items[i].uid;
	}
	endings->count = kept;
	return stuck;
}

/* Once for each of whom something is left that was asked to end. */
static void force_logins(struct endings *endings, const struct suspect *suspects)
{
	for (size_t i = 0; i < endings->count; i++) {
		if (!suspects[i].signal || !suspects[i].found || endings->items[i].forced)
			continue;
		endings->items[i].forced = true;
		tell_logind(endings->items[i].uid, "kill-user");
	}
}

size_t endings_tick(struct endings *endings, uint32_t *ret_stuck)
{
	int64_t now_us = clock_monotonic_us();
	size_t stuck = 0;

	if (endings->count == 0 || now_us < endings->next_us)
		return 0;

	struct suspect *suspects = alloc_zeroed(endings->count, sizeof(*suspects));

	if (suspects) {
		qsort(endings->items, endings->count, sizeof(*endings->items), compare_endings);
		for (size_t i = 0; i < endings->count; i++) {
			bool patient = now_us - endings->items[i].since_us < END_PATIENCE_US;

			suspects[i].uid = endings->items[i].uid;
			suspects[i].signal = patient ? 0 : SIGKILL;
		}
		if (end_all_of(suspects, endings->count) < 0)
			/* Nobody can say that they have ended. */
			for (size_t i = 0; i < endings->count; i++)
				suspects[i].found = 1;
		force_logins(endings, suspects);
		stuck = judge(endings, suspects, now_us, ret_stuck);
		free(suspects);
	}
	endings->next_us = clock_monotonic_us() + TICK_US;
	return stuck;
}

int endings_add_running(struct endings *endings, const uint32_t *uids, size_t count,
			struct err *err)
{
	struct suspect *suspects = alloc_zeroed(count + 1, sizeof(*suspects));
	int result = suspects ? 0 : err_set(err, ERR_MEMORY, "no room to look for processes");

	for (size_t i = 0; suspects && i < count; i++)
		suspects[i].uid = uids[i];
	if (suspects && count)
		look_at_all(suspects, count);
	for (size_t i = 0; suspects && i < count && result == 0; i++)
		if (suspects[i].found)
			result = endings_add(endings, uids[i], err);
	free(suspects);
	return result;
}

void endings_finish(struct endings *endings)
{
	free(endings->items);
	*endings = (struct endings){ 0 };
}
