/*
 * The bytes of a file that must not change while it is read: opened once, read in
 * order, again from the start for a second pass, and compared at the end with
 * what it was at the start.
 */
#ifndef SOURCE_FILE_BYTES_H
#define SOURCE_FILE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <rolebridge/base/err.h>

struct bytes {
	int fd;
	struct stat first;
	char *data; /* the window: data[at] to data[end] is not consumed yet */
	size_t at, end, capacity;
	uint64_t offset; /* in the file, of data[end] */
	bool eof;
	bool out_of_memory; /* the failure was ours, not the file's */
};

/* -1: cannot be opened, or is no regular file. */
int bytes_open(struct bytes *bytes, const char *path, struct err *err);
void bytes_close(struct bytes *bytes); /* also after a failed open */
/* To this offset, with an empty window. */
void bytes_seek(struct bytes *bytes, uint64_t offset);
/* Offset in the file of data[at]. */
uint64_t bytes_tell(const struct bytes *bytes);
/*
 * More bytes behind data[end]; what lies before `keep` (an index into data) may be dropped:
 * *ret_shift says by how much every index shrank. 1 more, 0 at the end, -1 failed.
 */
int bytes_fill(struct bytes *bytes, size_t keep, size_t *ret_shift, struct err *err);
/* -1 with ERR_CONFLICT when the file is not what it was when opened. */
int bytes_check_unchanged(const struct bytes *bytes, struct err *err);

#endif
