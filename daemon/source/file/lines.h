/* Logical lines of LDIF (RFC 2849): unfolded, without line break, comments left out. */
#ifndef SOURCE_FILE_LINES_H
#define SOURCE_FILE_LINES_H

#include "bytes.h"

struct line {
	char *text; /* not NUL-terminated; valid until the next line */
	size_t size;
	uint64_t number; /* of its first physical line, from 1 */
	bool too_long;	 /* over FILE_LINE_MAX: text is empty */
	bool unended;	 /* the file ends without a line break */
};

struct lines {
	struct bytes *bytes;
	uint64_t number; /* of the next physical line */
};

/* From the start of the file; a byte order mark is skipped. -1 as lines_next. */
int lines_start(struct lines *lines, struct bytes *bytes, struct err *err);
/* 1 a line (an empty one separates records), 0 at the end, -1 failed. */
int lines_next(struct lines *lines, struct line *ret_line, struct err *err);

#endif
