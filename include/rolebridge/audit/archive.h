/*
 * Rows of the audit log as JSON lines (audit_format_row), read again, and folders of such files:
 *
 *	FROM-TO-BEFORE-HASH.jsonl	rows FROM to TO; BEFORE is the hash of the row before them, HASH of the last
 *
 * so that the files of a folder are one chain, which goes on with the rows of the store.
 */
#ifndef ROLEBRIDGE_AUDIT_ARCHIVE_H
#define ROLEBRIDGE_AUDIT_ARCHIVE_H

#include <rolebridge/audit/audit.h>

#define AUDIT_ARCHIVE_FILE_MAX ((size_t)64 * 1024 * 1024)
#define AUDIT_ARCHIVE_NAME_SIZE 192

/* Rows out of memory. Texts of a row are valid until the next. */
struct audit_lines {
	const char *data;
	size_t size, at, line;
	struct strbuf texts, again;
};
#define AUDIT_LINES(bytes, length) \
	((struct audit_lines){ .data = (bytes), \
			       .size = (length), \
			       .texts = STRBUF(AUDIT_ARCHIVE_FILE_MAX), \
			       .again = STRBUF(AUDIT_ARCHIVE_FILE_MAX) })
/* ERR_PROTOCOL: a line that audit_format_row would not have written so. */
struct audit_iterator audit_lines_iterator(struct audit_lines *lines);
void audit_lines_auto(struct audit_lines *lines);

struct audit_archive_file {
	int64_t from, to;
	struct hash256 before, hash;
};
void audit_archive_name(const struct audit_archive_file *file,
			char ret_name[static AUDIT_ARCHIVE_NAME_SIZE]);

/* By from; other names are left out. ERR_NOT_FOUND: no such folder. free() the list. */
int audit_archive_list(const char *folder, struct audit_archive_file **ret_files, size_t *ret_count,
		       struct err *err);
/* Does it hold what its name says, to the last row? ERR_PROTOCOL "archive-differs". */
int audit_archive_check(const char *folder, const struct audit_archive_file *file, struct err *err);
/* Written whole and on disk, or not there. */
int audit_archive_write(const char *folder, const struct audit_archive_file *file,
			const struct strbuf *text, struct err *err);

struct audit_archive;
/* ERR_NOT_FOUND: there is no such file in the folder. NULL on failure. */
struct audit_archive *audit_archive_open(const char *folder, struct err *err);
/* What the first row follows, and the last file. */
struct audit_anchor audit_archive_begin(const struct audit_archive *archive);
struct audit_archive_file audit_archive_last(const struct audit_archive *archive);
size_t audit_archive_count(const struct audit_archive *archive);
/* ERR_PROTOCOL: files that do not follow each other, or do not hold what their names say. */
struct audit_iterator audit_archive_iterator(struct audit_archive *archive);
void audit_archive_close(struct audit_archive *archive);

#endif
