/*
 * Sockets that systemd opened for us and handed over (sd_listen_fds(3)), by their FileDescriptorName=. They stay systemd's:
 * their files are not ours to remove, and they outlive this process.
 */
#ifndef ROLEBRIDGE_MAIN_INHERITED_H
#define ROLEBRIDGE_MAIN_INHERITED_H

#include <stdbool.h>

#include <rolebridge/base/err.h>

/* Was one of this name handed over? */
bool inherited_has(const char *name);
/* A copy, close-on-exec: the next try needs it again. ERR_NOT_FOUND: none of this name. */
int inherited_open(const char *name, int *ret_fd, struct err *err);
/* The same, of a listening unix socket at this path; ERR_CONFLICT when it is elsewhere. */
int inherited_open_unix(const char *name, const char *path, int *ret_fd, struct err *err);
/* Say in the log which of them nobody will answer at: those that are neither "control" nor "keys" nor is_used(context, name). */
void inherited_warn_unused(bool (*is_used)(const void *context, const char *name),
			   const void *context);

#endif
