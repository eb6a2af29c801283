/*
 * Reads a file through one growing window. Not mapped: a file that is cut while it is mapped
 * kills the process, a file that is cut while it is read is an answer.
 */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>

#define WINDOW_FIRST (256u * 1024)

int bytes_open(struct bytes *bytes, const char *path, struct err *err)
{
	*bytes = (struct bytes){ 0 };
	bytes->fd = file_open(path, &bytes->first, err);
	return bytes->fd < 0 ? -1 : 0;
}

void bytes_close(struct bytes *bytes)
{
	if (bytes->fd >= 0)
		close(bytes->fd);
	bytes->fd = -1;
	free(bytes->data);
	bytes->data = NULL;
}

void bytes_seek(struct bytes *bytes, uint64_t offset)
{
	bytes->at = bytes->end = 0;
	bytes->offset = offset;
	bytes->eof = false;
}

uint64_t bytes_tell(const struct bytes *bytes)
{
	return bytes->offset - (bytes->end - bytes->at);
}

static int make_room(struct bytes *bytes, size_t keep, size_t *ret_shift, struct err *err)
{
	size_t capacity = bytes->capacity ? bytes->capacity * 2 : WINDOW_FIRST;
	char *data;

	if (bytes->end < bytes->capacity)
		return 0;
	/* Moving is worth it when at least half of the window comes free. */
	if (keep > 0 && keep >= bytes->capacity / 2) {
		memmove(bytes->data, bytes->data + keep, bytes->end - keep);
		bytes->at = bytes->at > keep ? bytes->at - keep : 0;
		bytes->end -= keep;
		*ret_shift = keep;
		return 0;
	}
	data = alloc_resize(bytes->data, capacity);
	if (!data) {
		bytes->out_of_memory = true;
		return err_set(err, ERR_MEMORY, "no memory to read on");
	}
	bytes->data = data;
	bytes->capacity = capacity;
	return 0;
}

int bytes_fill(struct bytes *bytes, size_t keep, size_t *ret_shift, struct err *err)
{
	ssize_t count;

	*ret_shift = 0;
	if (bytes->eof)
		return 0;
	if (make_room(bytes, keep, ret_shift, err) < 0)
		return -1;
	do
		count = pread(bytes->fd, bytes->data + bytes->end, bytes->capacity - bytes->end,
			      (off_t)bytes->offset);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot read on at byte %llu",
				     (unsigned long long)bytes->offset);
	if (count == 0) {
		bytes->eof = true;
		return 0;
	}
	bytes->end += (size_t)count;
	bytes->offset += (uint64_t)count;
	return 1;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

int bytes_check_unchanged(const struct bytes *bytes, struct err *err)
{
	struct stat now;

	if (fstat(bytes->fd, &now) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot ask for the state of the file");
	if (now.st_size != bytes->first.st_size || !same_time(now.st_mtim, bytes->first.st_mtim))
		return err_set(err, ERR_CONFLICT, "the file was changed while it was read");
	return 0;
}
