/* Whole files, with bounds. */
#ifndef ROLEBRIDGE_BASE_FILE_H
#define ROLEBRIDGE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>

struct stat;

/* Open an existing regular file for reading. Returns the descriptor, or -1. Never waits (pipes). */
int file_open(const char *path, struct stat *ret_stat, struct err *err);

/*
 * Append the whole file to out; ERR_NOT_FOUND, ERR_TOO_LARGE (over max bytes), ERR_IO.
 * Refuses directories, pipes and devices (ERR_INVALID). On failure out holds what it held before.
 */
int file_read(const char *path, size_t max, struct strbuf *out, struct err *err);

/* All of it, whatever interrupts; -1 with errno. */
int file_write_all(int fd, const void *data, size_t size);

/* All that is still to be read, behind what was written. ERR_IO, ERR_MEMORY; ERR_CANCELLED when go_on says so. */
struct file_progress {
	bool (*go_on)(void *context, uint64_t done_bytes);
	void *context;
};
int file_copy(int from, int to, const struct file_progress *progress /* may be NULL */,
	      struct err *err);

/* Write beside, fsync, rename: the old or the new content, never a part. mode: permission bits. */
int file_write_atomic(const char *path, const void *data, size_t size, unsigned mode,
		      struct err *err);

/*
 * The same for what is written piece by piece:
 *
 *	file_new_open → write(2) to new.fd … → file_new_commit; file_new_drop in any case, which removes what was not
 *	committed
 *
 * A path that names anything but a regular file is refused (ERR_INVALID); a link is not followed, but replaced. Whoever is
 * killed leaves nothing, except on file systems without O_TMPFILE (such as NFS): path.XXXXXX.
 */
struct new_file {
	int fd;
	char *path;
	char *temporary; /* NULL: it has no name yet, or got its path's */
};
int file_new_open(struct new_file *ret_new, const char *path, unsigned mode, struct err *err);
/* All of it; ERR_IO. */
int file_new_write(const struct new_file *new_file, const void *data, size_t size, struct err *err);
int file_new_commit(struct new_file *new_file, struct err *err);
void file_new_drop(struct new_file *new_file);

/* What was written to a file, and that it is there, survives a power loss from now on. */
int file_sync(const char *path, struct err *err);

/*
 * Hold a lock file, made with mode 0600 when it is not there, for as long as *ret_fd is open
 * (flock(2): a process that dies lets go). ERR_CONFLICT "in-use" when another process holds it. close-on-exec.
 */
int file_lock(const char *path, int *ret_fd, struct err *err);

/* digest256 of all that the file holds; where it is read from stays. */
int file_digest(int fd, struct hash256 *ret_hash, struct err *err);

/* AUTO(fd) int fd = -1; closes at scope end. Keeps errno. */
void fd_auto(int *fd);

#endif
