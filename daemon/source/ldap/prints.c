/* Files of a job, by what stat(2) says (see prints.h). One that is not there is told from one that is. */
#include "prints.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol.h"

/* As secrets are looked up: a bare name is a credential of the service. */
static bool secret_path(const char *name, char *ret_path, size_t size)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	int written;

	if (strchr(name, '/'))
		written = snprintf(ret_path, size, "%s", name);
	else
		written = snprintf(ret_path, size, "%s/%s", folder ? folder : "", name);
	return written > 0 && (size_t)written < size;
}

static struct print print_of(const char *path)
{
	struct print print = { 0 };
	struct stat status;

	if (path[0] == '\0' || stat(path, &status) < 0)
		return print;
	print.device = status.st_dev;
	print.node = status.st_ino;
	print.size = status.st_size;
	print.changed = status.st_mtim;
	return print;
}

void prints_take(const struct job *job, struct prints *ret_prints)
{
	char path[PATH_MAX];

	ret_prints->files[0] = print_of(job->ca);
	ret_prints->files[1] = print_of(job->certificate);
	ret_prints->files[2] = print_of(job->private_key);
	ret_prints->files[3] = print_of(job->keytab);
	ret_prints->files[4] = print_of(job->kerberos_config);
	ret_prints->files[5] = print_of(
		job->password_file[0] && secret_path(job->password_file, path, sizeof(path)) ? path
											     : "");
}

bool prints_differ(const struct job *job, const struct prints *before)
{
	struct prints now;

	prints_take(job, &now);
	for (size_t i = 0; i < PRINTS_FILES; i++) {
		const struct print *is = &now.files[i], *was = &before->files[i];
		if (is->device != was->device || is->node != was->node || is->size != was->size ||
		    is->changed.tv_sec != was->changed.tv_sec ||
		    is->changed.tv_nsec != was->changed.tv_nsec)
			return true;
	}
	return false;
}
