/* Files of a job, by what stat(2) says (see prints.h). One that is not there is told from one that is. */
#include "prints.h"

#include <limits.h>
#include <sys/stat.h>

#include <rolebridge/base/secret.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "protocol.h"

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

/* As it is looked up when it is read. */
static struct print print_of_secret(const char *name)
{
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);

	if (name[0] == '\0' || secret_resolve(name, &path, NULL) < 0)
		return (struct print){ 0 };
	return print_of(strbuf_text(&path));
}

void prints_take(const struct job *job, struct prints *ret_prints)
{
	ret_prints->files[0] = print_of(job->ca);
	ret_prints->files[1] = print_of(job->certificate);
	ret_prints->files[2] = print_of(job->private_key);
	ret_prints->files[3] = print_of(job->keytab);
	ret_prints->files[4] = print_of(job->kerberos_config);
	ret_prints->files[5] = print_of_secret(job->password_file);
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
