/*
 * Whole files. Enters: a path. Leaves: bytes, or a file that is complete on
 * disk. Fails with the path and the system's reason.
 */
#include <rolebridge/base/file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include <rolebridge/base/util.h>

#define READ_CHUNK (16 * 1024)
#define COPY_CHUNK ((size_t)1024 * 1024)

void fd_auto(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static enum err_code code_of_errno(int errno_value)
{
	return errno_value == ENOENT || errno_value == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
}

int file_open(const char *path, struct stat *ret_stat, struct err *err)
{
	/* O_NONBLOCK: a pipe put in the file's place must not make us wait for its writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set_errno(err, code_of_errno(errno), errno, "cannot open '%s'", path);
	if (fstat(fd, ret_stat) < 0)
		err_set_errno(err, ERR_IO, errno, "cannot examine '%s'", path);
	else if (!S_ISREG(ret_stat->st_mode))
		err_set(err, ERR_INVALID, "'%s' is not a regular file", path);
	else
		return fd;
	close(fd);
	return -1;
}

static int read_to_end(int fd, const char *path, size_t max, struct strbuf *out, struct err *err)
{
	char chunk[READ_CHUNK];
	size_t left = max;

	for (;;) {
		ssize_t size = read(fd, chunk, sizeof(chunk));

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return err_set_errno(err, ERR_IO, errno, "cannot read '%s'", path);
		if (size == 0)
			return 0;
		if ((size_t)size > left)
			return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path,
				       max);
		left -= (size_t)size;
		strbuf_append(out, chunk, (size_t)size);
		if (strbuf_failed(out))
			return err_set(err, ERR_MEMORY, "no room for the content of '%s'", path);
	}
}

int file_read(const char *path, size_t max, struct strbuf *out, struct err *err)
{
	struct stat status;
	AUTO(fd) int fd = file_open(path, &status, err);
	size_t before = out->size;

	if (fd < 0)
		return -1;
	if (strbuf_failed(out))
		return err_set(err, ERR_TOO_LARGE, "no room to read '%s'", path);
	if (status.st_size > 0 && (uintmax_t)status.st_size > max)
		return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path, max);
	if (read_to_end(fd, path, max, out, err) < 0) {
		out->failed = false;
		strbuf_truncate(out, before);
		return -1;
	}
	return 0;
}

int file_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t written = write(fd, at, size);

		if (written < 0 && errno != EINTR)
			return -1;
		if (written > 0) {
			at += written;
			size -= (size_t)written;
		}
	}
	return 0;
}

int file_copy(int from, int to, const struct file_progress *progress, struct err *err)
{
	char *chunk = malloc(COPY_CHUNK);
	uint64_t done = 0;
	ssize_t size = 1;
	int result = chunk ? 0 : err_set(err, ERR_MEMORY, "out of memory");

	while (size > 0 && result == 0) {
		if (progress && !progress->go_on(progress->context, done))
			result = err_set(err, ERR_CANCELLED, "asked to stop");
		else if ((size = read(from, chunk, COPY_CHUNK)) < 0 && errno == EINTR)
			size = 1;
		else if (size < 0)
			result = err_set_errno(err, ERR_IO, errno, "cannot read what is copied");
		else if (size > 0 && file_write_all(to, chunk, (size_t)size) < 0)
			result = err_set_errno(err, ERR_IO, errno, "cannot write the copy");
		else
			done += (uint64_t)size;
	}
	free(chunk);
	return result;
}

static int open_folder_of(const char *path, int flags)
{
	const char *slash = strrchr(path, '/');
	char *folder =
		slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd = folder ? open(folder, flags | O_DIRECTORY | O_CLOEXEC, 0600) : -1;

	free(folder);
	return fd;
}

/* The rename itself must survive a power loss: that is the folder's content. */
static int sync_folder_of(const char *path)
{
	AUTO(fd) int fd = open_folder_of(path, O_RDONLY);

	return fd < 0 ? -1 : fsync(fd);
}

static int write_and_rename(int fd, const char *temporary, const char *path, const void *data,
			    size_t size, unsigned mode)
{
	if (fchmod(fd, (mode_t)mode) < 0 || file_write_all(fd, data, size) < 0 || fsync(fd) < 0)
		return -1;
	return rename(temporary, path);
}

int file_write_atomic(const char *path, const void *data, size_t size, unsigned mode,
		      struct err *err)
{
	AUTO(strbuf) struct strbuf temporary = STRBUF(4096);

	strbuf_printf(&temporary, "%s.XXXXXX", path);
	if (strbuf_failed(&temporary))
		return err_set(err, ERR_TOO_LARGE, "path too long");

	AUTO(fd) int fd = mkostemp(temporary.data, O_CLOEXEC);

	if (fd < 0)
		return err_set_errno(err, code_of_errno(errno), errno, "cannot write '%s'", path);
	if (write_and_rename(fd, temporary.data, path, data, size, mode) < 0) {
		err_set_errno(err, ERR_IO, errno, "cannot write '%s'", path);
		unlink(temporary.data);
		return -1;
	}
	if (sync_folder_of(path) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make '%s' durable", path);
	return 0;
}

/* --- piece by piece --- */

/*
 * A file without a name is gone with whoever writes it, however they end. It gets a name of its own when it is whole, a moment
 * before it takes the path's: link(2) replaces nothing. Where the file system bears no such file, or /proc is not there to name
 * it by, it has that name from the beginning.
 */
#define OWN_NAME_TRIES 100

static void print_descriptor(int fd, char ret_path[static 32])
{
	snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
}

static int open_unnamed(const char *path)
{
	int fd = open_folder_of(path, O_TMPFILE | O_RDWR);
	char descriptor[32];

	print_descriptor(fd, descriptor);
	if (fd >= 0 && access(descriptor, F_OK) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static char *own_name(const char *path, const char *end)
{
	char *name;

	return asprintf(&name, "%s.%s", path, end) < 0 ? NULL : name;
}

static int name_unnamed(struct new_file *new_file)
{
	char descriptor[32], end[16];

	print_descriptor(new_file->fd, descriptor);
	for (int i = 0; i < OWN_NAME_TRIES; i++) {
		char *name;

		snprintf(end, sizeof(end), "%08x", randombytes_random());
		name = own_name(new_file->path, end);
		if (!name)
			return -1;
		if (linkat(AT_FDCWD, descriptor, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
			new_file->temporary = name;
			return 0;
		}
		free(name);
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

static int open_named(struct new_file *new_file)
{
	new_file->temporary = own_name(new_file->path, "XXXXXX");
	if (!new_file->temporary)
		return -1;
	new_file->fd = mkostemp(new_file->temporary, O_CLOEXEC);
	return new_file->fd;
}

int file_new_open(struct new_file *ret_new, const char *path, unsigned mode, struct err *err)
{
	struct new_file new_file = { .fd = -1, .path = strdup(path) };
	struct stat status;

	*ret_new = (struct new_file){ .fd = -1 };
	if (!new_file.path)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		err_set(err, ERR_INVALID, "'%s' is not a regular file", path);
	else if ((new_file.fd = open_unnamed(path)) < 0 && open_named(&new_file) < 0)
		err_set_errno(err, code_of_errno(errno), errno, "cannot write '%s'", path);
	else if (fchmod(new_file.fd, (mode_t)mode) < 0)
		err_set_errno(err, ERR_IO, errno, "cannot write '%s'", path);
	else {
		*ret_new = new_file;
		return 0;
	}
	file_new_drop(&new_file);
	return -1;
}

int file_new_write(const struct new_file *new_file, const void *data, size_t size, struct err *err)
{
	return file_write_all(new_file->fd, data, size) < 0
		       ? err_set_errno(err, ERR_IO, errno, "cannot write '%s'", new_file->path)
		       : 0;
}

int file_new_commit(struct new_file *new_file, struct err *err)
{
	if (fsync(new_file->fd) < 0 || (!new_file->temporary && name_unnamed(new_file) < 0) ||
	    rename(new_file->temporary, new_file->path) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot write '%s'", new_file->path);
	free(new_file->temporary);
	new_file->temporary = NULL;
	if (sync_folder_of(new_file->path) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make '%s' durable",
				     new_file->path);
	return 0;
}

void file_new_drop(struct new_file *new_file)
{
	if (new_file->fd >= 0) {
		close(new_file->fd);
		if (new_file->temporary)
			unlink(new_file->temporary);
	}
	free(new_file->temporary);
	free(new_file->path);
	*new_file = (struct new_file){ .fd = -1 };
}

int file_sync(const char *path, struct err *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fsync(fd) < 0 || sync_folder_of(path) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot make '%s' durable", path);
	return 0;
}

int file_digest(int fd, struct hash256 *ret_hash, struct err *err)
{
	crypto_generichash_state state;
	unsigned char chunk[READ_CHUNK];
	ssize_t size = 1;
	off_t at = 0;

	hash_prepare();
	crypto_generichash_init(&state, NULL, 0, sizeof(ret_hash->byte));
	while (size > 0) {
		size = pread(fd, chunk, sizeof(chunk), at);
		if (size > 0) {
			crypto_generichash_update(&state, chunk, (unsigned long long)size);
			at += size;
		} else if (size < 0 && errno == EINTR) {
			size = 1;
		}
	}
	if (size < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot read a file");
	crypto_generichash_final(&state, ret_hash->byte, sizeof(ret_hash->byte));
	return 0;
}

int file_lock(const char *path, int *ret_fd, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot open lock file '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int problem = errno;

		close(fd);
		if (problem == EWOULDBLOCK)
			return err_refuse(err, ERR_CONFLICT, "in-use", "another process holds '%s'",
					  path);
		return err_set_errno(err, ERR_IO, problem, "cannot lock '%s'", path);
	}
	*ret_fd = fd;
	return 0;
}
