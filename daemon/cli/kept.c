/*
 * A folder of backups, of which some stay. Enters: a folder. Leaves: the name of the next one, which tells its time; without
 * those that are too old. Fails where the folder cannot be read, or one of them not be removed.
 *
 * Sorted by name they are sorted by time. Nothing else that lies there is touched.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "cli.h"

/* Each 0 stands for a digit. */
static const char pattern[] = "rolebridge-00000000T000000Z.db";

static bool is_backup(const char *name)
{
	size_t i = 0;

	for (; pattern[i] && name[i]; i++)
		if (pattern[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != pattern[i])
			return false;
	return pattern[i] == name[i];
}

bool kept_count(const char *text, size_t *ret_count)
{
	char *end = NULL;
	long count = strtol(text, &end, 10);

	if (*end || text[0] < '0' || text[0] > '9' || count < 1 || count > 10000) {
		complain("--keep must be a number from 1 to 10000");
		return false;
	}
	*ret_count = (size_t)count;
	return true;
}

const char *kept_next(struct cli *cli, const char *folder, struct err *err)
{
	time_t now = (time_t)clock_now_s();
	struct stat status;
	char name[sizeof(pattern)];
	const char *path;
	struct tm utc;

	if (stat(folder, &status) == 0 && !S_ISDIR(status.st_mode))
		errno = ENOTDIR;
	else if (gmtime_r(&now, &utc)) {
		strftime(name, sizeof(name), "rolebridge-%Y%m%dT%H%M%SZ.db", &utc);
		path = arena_printf(cli->arena, "%s/%s", folder, name);
		if (path)
			return path;
		errno = ENOMEM;
	}
	err_set_errno(err, ERR_IO, errno, "cannot use folder '%s'", folder);
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct names {
	char **items;
	size_t count;
};

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}

static bool names_add(struct names *names, const char *name)
{
	char **items = reallocarray(names->items, names->count + 1, sizeof(*items));

	if (!items)
		return false;
	names->items = items;
	items[names->count] = strdup(name);
	if (!items[names->count])
		return false;
	names->count++;
	return true;
}

static int list_others(DIR *list, const char *newest, struct names *names)
{
	const struct dirent *entry;

	while (errno = 0, (entry = readdir(list)) != NULL)
		if (is_backup(entry->d_name) && strcmp(entry->d_name, newest) != 0 &&
		    !names_add(names, entry->d_name))
			return -1;
	return errno == 0 ? 0 : -1;
}

/* Another one may do the same. One that cannot be removed keeps no other; the first such one is told. */
static int remove_oldest(int folder_fd, const struct names *names, size_t count, struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < count; i++)
		if (unlinkat(folder_fd, names->items[i], 0) < 0 && errno != ENOENT && result == 0)
			result = err_set_errno(err, ERR_IO, errno, "cannot remove '%s'",
					       names->items[i]);
	return result;
}

int kept_prune(const char *folder, const char *newest, size_t keep, size_t *ret_removed,
	       struct err *err)
{
	const char *slash = strrchr(newest, '/');
	struct names names = { .count = 0 };
	DIR *list = opendir(folder);
	size_t removed = 0;
	int result;

	if (!list || list_others(list, slash ? slash + 1 : newest, &names) < 0) {
		result = err_set_errno(err, ERR_IO, errno, "cannot read folder '%s'", folder);
	} else {
		/* What was just made stays, whatever the clock said to the others. */
		removed = names.count + 1 > keep ? names.count + 1 - keep : 0;
		if (names.count > 0)
			qsort(names.items, names.count, sizeof(*names.items), by_name);
		result = remove_oldest(dirfd(list), &names, removed, err);
	}
	names_free(&names);
	if (list)
		closedir(list);
	if (result == 0)
		*ret_removed = removed;
	return result;
}
