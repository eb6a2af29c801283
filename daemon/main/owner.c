/*
 * Root becomes who owns the store's folder. Enters: the store's path. Leaves: a process with their rights, for good. Fails when
 * there is no such folder. An ordinary user stays who they are.
 */
#include "owner.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int owner_of(const char *store_path, struct stat *ret_status, struct err *err)
{
	char *copy = strdup(store_path);
	const char *folder = copy ? dirname(copy) : NULL;
	int result = folder ? stat(folder, ret_status) : err_set(err, ERR_MEMORY, "out of memory");

	if (folder && result < 0)
		err_set_errno(err, ERR_IO, errno, "cannot use folder '%s'", folder);
	free(copy);
	return result;
}

int owner_become(const char *store_path, struct err *err)
{
	struct stat status;

	umask(077);
	if (geteuid() != 0)
		return 0;
	if (owner_of(store_path, &status, err) < 0)
		return -1;
	if (status.st_uid == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(status.st_gid, status.st_gid, status.st_gid) < 0 ||
	    setresuid(status.st_uid, status.st_uid, status.st_uid) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot become the store's owner");
	return 0;
}
