/*
 * Homes: whether one is whole, whose it is, its removal. Enters: paths directly below home_base, a folder of
 * root's. Links are never followed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "account.h"
#include "command.h"

#define DEPTH_MAX 16
#define RM "/bin/rm"

bool home_is_there(const char *home)
{
	struct stat status;

	return lstat(home, &status) == 0;
}

bool home_belongs_to(const char *home, uint32_t uid)
{
	struct stat status;

	return lstat(home, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == uid;
}

static bool holds_all_of(int skeleton, int home, uint32_t uid, unsigned depth);

static bool holds(int skeleton, int home, const char *name, uint32_t uid, unsigned depth)
{
	struct stat from, to;

	if (fstatat(skeleton, name, &from, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(home, name, &to, AT_SYMLINK_NOFOLLOW) < 0 || to.st_uid != uid ||
	    (from.st_mode & S_IFMT) != (to.st_mode & S_IFMT))
		return false;
	if (S_ISREG(from.st_mode))
		return from.st_size == to.st_size;
	if (!S_ISDIR(from.st_mode))
		return true;

	int inner_skeleton =
		openat(skeleton, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(fd)
	int inner_home = openat(home, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return holds_all_of(inner_skeleton, inner_home, uid, depth + 1);
}

/* Closes skeleton. */
static bool holds_all_of(int skeleton, int home, uint32_t uid, unsigned depth)
{
	DIR *folder = skeleton < 0 ? NULL : fdopendir(skeleton);
	const struct dirent *entry;
	bool whole = folder && home >= 0 && depth <= DEPTH_MAX;

	if (!folder) {
		if (skeleton >= 0)
			close(skeleton);
		return false;
	}
	while (whole && (entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			whole = holds(dirfd(folder), home, entry->d_name, uid, depth);
	closedir(folder);
	return whole;
}

bool home_is_whole(const char *home, const char *skeleton, uint32_t uid)
{
	if (!home_belongs_to(home, uid))
		return false;

	int from = open(skeleton, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd) int to = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	/* Without a skeleton useradd makes an empty home. */
	return from < 0 ? to >= 0 : holds_all_of(from, to, uid, 0);
}

int home_remove(const struct settings *settings, const char *home, struct err *err)
{
	struct command command = { 0 };

	command_add(&command, RM);
	command_add(&command, "--recursive");
	command_add(&command, "--force");
	command_add(&command, "--one-file-system");
	command_add(&command, "--");
	command_add(&command, home);
	return command_run(&command, settings->command_timeout_s, err);
}
