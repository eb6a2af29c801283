/*
 * Inherited sockets. Enters: names. Leaves: descriptors. Fails when systemd handed over none of that name, or another one
 * than the configuration says.
 *
 * Workers are given nothing of them: they close what they do not know, and their environment is their own.
 */
#include "inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#define CONTROL_NAME "control"
#define KEYS_NAME "keys" /* says so itself */

/* The first descriptor of this name, or -1. Each call sets close-on-exec on all of them. */
static int find(const char *name)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names), found = -1;

	for (int i = 0; i < count; i++) {
		if (found < 0 && strcmp(names[i], name) == 0)
			found = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	return found;
}

bool inherited_has(const char *name)
{
	return find(name) >= 0;
}

int inherited_open(const char *name, int *ret_fd, struct err *err)
{
	int found = find(name), copy;

	if (found < 0)
		return err_set(
			err, ERR_NOT_FOUND,
			"systemd passed no socket named '%s': enable the socket unit with that "
			"FileDescriptorName (rolebridged-web.socket has 'web') and restart",
			name);
	copy = fcntl(found, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot use socket '%s'", name);
	*ret_fd = copy;
	return 0;
}

/* "" for what is no unix socket with a path. */
static void read_path(int fd, char ret_path[static sizeof(((struct sockaddr_un *)0)->sun_path) + 1])
{
	struct sockaddr_un bound = { 0 };
	socklen_t size = sizeof(bound);
	size_t length = 0;

	if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0 && bound.sun_family == AF_UNIX &&
	    size > offsetof(struct sockaddr_un, sun_path))
		length = strnlen(bound.sun_path, size - offsetof(struct sockaddr_un, sun_path));
	memcpy(ret_path, bound.sun_path, length);
	ret_path[length] = 0;
}

int inherited_open_unix(const char *name, const char *path, int *ret_fd, struct err *err)
{
	char bound[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	AUTO(fd) int fd = -1;

	if (inherited_open(name, &fd, err) < 0)
		return -1;
	read_path(fd, bound);
	if (strcmp(bound, path) != 0)
		return err_set(
			err, ERR_CONFLICT,
			"systemd listens for us at '%s', and the configuration says '%s': ListenStream= of the "
			"socket unit (systemctl edit rolebridged.socket) must say the same",
			bound, path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

void inherited_warn_unused(bool (*is_used)(const void *context, const char *name),
			   const void *context)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names);

	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], CONTROL_NAME) != 0 && strcmp(names[i], KEYS_NAME) != 0 &&
		    !is_used(context, names[i]))
			log_warning("listen.unused", F_STR("socket", names[i]));
		free(names[i]);
	}
	free(names);
}
