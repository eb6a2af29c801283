/* Whole files, with bounds. */
#ifndef ROLEBRIDGE_BASE_FILE_H
#define ROLEBRIDGE_BASE_FILE_H

#include <stddef.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

struct stat;

/* Open an existing regular file for reading. Returns the descriptor, or -1. Never waits (pipes). */
int file_open(const char *path, struct stat *ret_stat, struct err *err);

/*
 * Append the whole file to out; ERR_NOT_FOUND, ERR_TOO_LARGE (over max bytes), ERR_IO.
 * Refuses directories, pipes and devices (ERR_INVALID). On failure out holds what it held before.
 */
int file_read(const char *path, size_t max, struct strbuf *out, struct err *err);

/* Write beside, fsync, rename: the old or the new content, never a part. mode: permission bits. */
int file_write_atomic(const char *path, const void *data, size_t size, unsigned mode,
		      struct err *err);

/* What was written to a file, and that it is there, survives a power loss from now on. */
int file_sync(const char *path, struct err *err);

/*
 * Hold a lock file, made with mode 0600 when it is not there, for as long as *ret_fd is open
 * (flock(2): a process that dies lets go). ERR_CONFLICT "in-use" when another process holds it. close-on-exec.
 */
int file_lock(const char *path, int *ret_fd, struct err *err);

/* AUTO(fd) int fd = -1; closes at scope end. Keeps errno. */
void fd_auto(int *fd);

#endif
