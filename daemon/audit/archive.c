/*
 * Folders of rows that left the store. Enters: a folder. Leaves: its files as one sequence of rows. Fails when a file cannot
 * be read, or does not hold what its name says, or does not follow the one before it.
 */
#include <rolebridge/audit/archive.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#define SUFFIX ".jsonl"
#define NUMBER_SIZE 19 /* digits of the largest row */
#define PATH_SIZE 4352

void audit_archive_name(const struct audit_archive_file *file,
			char ret_name[static AUDIT_ARCHIVE_NAME_SIZE])
{
	char before[65], hash[65];

	hash256_hex(&file->before, before);
	hash256_hex(&file->hash, hash);
	snprintf(ret_name, AUDIT_ARCHIVE_NAME_SIZE, "%019" PRId64 "-%019" PRId64 "-%s-%s" SUFFIX,
		 file->from, file->to, before, hash);
}

static bool take_hash(const char *hex, struct hash256 *ret_hash)
{
	struct err err = { 0 };
	char text[65];
	int64_t seq;

	memcpy(text, hex, 64);
	text[64] = '\0';
	return audit_head_parse(text, &seq, ret_hash, &err) == 0;
}

static bool parse_name(const char *name, struct audit_archive_file *ret_file)
{
	struct audit_archive_file file;
	char again[AUDIT_ARCHIVE_NAME_SIZE];
	const char *before = name + 2 * (NUMBER_SIZE + 1);

	if (strlen(name) != 2 * (NUMBER_SIZE + 1) + 2 * 64 + 1 + sizeof(SUFFIX) - 1 ||
	    !take_hash(before, &file.before) || !take_hash(before + 65, &file.hash))
		return false;
	file.from = strtoll(name, NULL, 10);
	file.to = strtoll(name + NUMBER_SIZE + 1, NULL, 10);
	audit_archive_name(&file, again);
	if (strcmp(again, name) != 0 || file.from < 1 || file.to < file.from)
		return false;
	*ret_file = file;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct audit_archive_file *left = a, *right = b;

	if (left->from != right->from)
		return left->from < right->from ? -1 : 1;
	return left->to < right->to ? -1 : left->to > right->to;
}

static int read_names(DIR *folder, struct audit_archive_file **files, size_t *count,
		      struct err *err)
{
	size_t capacity = 0;
	struct dirent *entry;

	while ((entry = readdir(folder)) != NULL) {
		struct audit_archive_file file;

		if (!parse_name(entry->d_name, &file))
			continue;
		if (*count == capacity) {
			size_t wanted = capacity ? capacity * 2 : 64;
			void *larger = alloc_resize(*files, wanted * sizeof(**files));

			if (!larger)
				return err_set(err, ERR_MEMORY, "out of memory");
			*files = larger;
			capacity = wanted;
		}
		(*files)[(*count)++] = file;
	}
	return 0;
}

int audit_archive_list(const char *folder, struct audit_archive_file **ret_files, size_t *ret_count,
		       struct err *err)
{
	struct audit_archive_file *files = NULL;
	DIR *handle = opendir(folder);
	size_t count = 0;
	int result;

	if (!handle)
		return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
				     "cannot read the archive '%s'", folder);
	result = read_names(handle, &files, &count, err);
	closedir(handle);
	if (result < 0) {
		free(files);
		return -1;
	}
	if (count > 0)
		qsort(files, count, sizeof(*files), compare);
	*ret_files = files;
	*ret_count = count;
	return 0;
}

static int make_path(const char *folder, const struct audit_archive_file *file,
		     char path[static PATH_SIZE], struct err *err)
{
	char name[AUDIT_ARCHIVE_NAME_SIZE];

	audit_archive_name(file, name);
	if (snprintf(path, PATH_SIZE, "%s/%s", folder, name) >= PATH_SIZE)
		return err_set(err, ERR_INVALID, "the archive's path is too long");
	return 0;
}

int audit_archive_write(const char *folder, const struct audit_archive_file *file,
			const struct strbuf *text, struct err *err)
{
	char path[PATH_SIZE];

	if (make_path(folder, file, path, err) < 0)
		return -1;
	return file_write_atomic(path, text->data, text->size, 0600, err);
}

/* --- reading --- */

static bool hash_equal(const struct hash256 *a, const struct hash256 *b)
{
	return memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

/* 1, 0, -1: it cannot be known. */
static int holds(const struct strbuf *text, const struct audit_archive_file *file, struct err *err)
{
	struct audit_lines lines = AUDIT_LINES(text->data ? text->data : "", text->size);
	const struct audit_iterator rows = audit_lines_iterator(&lines);
	const struct audit_check check = {
		.anchor = { .seq = file->from - 1, .hash = file->before },
		.is_archive = true,
	};
	struct audit_verdict verdict;
	struct err problem = { 0 };
	int result = audit_verify(&rows, &check, &verdict, &problem);

	audit_lines_auto(&lines);
	if (result < 0 && problem.code == ERR_PROTOCOL)
		return 0;
	if (result < 0) {
		if (err)
			*err = problem;
		return -1;
	}
	return verdict.intact && verdict.last_seq == file->to &&
	       hash_equal(&verdict.head, &file->hash);
}

int audit_archive_check(const char *folder, const struct audit_archive_file *file, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(AUDIT_ARCHIVE_FILE_MAX);
	char path[PATH_SIZE];
	int result;

	if (make_path(folder, file, path, err) < 0 ||
	    file_read(path, AUDIT_ARCHIVE_FILE_MAX, &text, err) < 0)
		return -1;
	result = holds(&text, file, err);
	if (result != 0)
		return result < 0 ? -1 : 0;
	return err_refuse(err, ERR_PROTOCOL, "archive-differs",
			  "the archive's file of rows %lld to %lld does not hold them: it is cut "
			  "off, or was changed",
			  (long long)file->from, (long long)file->to);
}

struct audit_archive {
	char *folder;
	struct audit_archive_file *files;
	size_t count, at;
	struct strbuf text; /* of the present file */
	struct audit_lines lines;
	bool open;
	int64_t last_seq;
	struct hash256 last_hash;
};

struct audit_archive *audit_archive_open(const char *folder, struct err *err)
{
	struct audit_archive *archive = alloc_zeroed(1, sizeof(*archive));

	if (!archive || !(archive->folder = strdup(folder))) {
		free(archive);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (audit_archive_list(folder, &archive->files, &archive->count, err) < 0 ||
	    (archive->count == 0 &&
	     err_set(err, ERR_NOT_FOUND, "the folder '%s' holds no rows of an audit log", folder) <
		     0)) {
		audit_archive_close(archive);
		return NULL;
	}
	archive->last_seq = archive->files[0].from - 1;
	archive->last_hash = archive->files[0].before;
	archive->text = STRBUF(AUDIT_ARCHIVE_FILE_MAX);
	archive->lines = AUDIT_LINES("", 0);
	return archive;
}

void audit_archive_close(struct audit_archive *archive)
{
	if (!archive)
		return;
	audit_lines_auto(&archive->lines);
	strbuf_finish(&archive->text);
	free(archive->files);
	free(archive->folder);
	free(archive);
}

struct audit_anchor audit_archive_begin(const struct audit_archive *archive)
{
	return (struct audit_anchor){ .seq = archive->files[0].from - 1,
				      .hash = archive->files[0].before };
}

struct audit_archive_file audit_archive_last(const struct audit_archive *archive)
{
	return archive->files[archive->count - 1];
}

size_t audit_archive_count(const struct audit_archive *archive)
{
	return archive->count;
}

static int open_file(struct audit_archive *archive, struct err *err)
{
	const struct audit_archive_file *file = &archive->files[archive->at];
	char path[PATH_SIZE];

	if (file->from != archive->last_seq + 1 || !hash_equal(&file->before, &archive->last_hash))
		return err_set(
			err, ERR_PROTOCOL,
			"the file of rows %lld to %lld does not follow row %lld, the last of "
			"the file before it",
			(long long)file->from, (long long)file->to, (long long)archive->last_seq);
	strbuf_clear(&archive->text);
	if (make_path(archive->folder, file, path, err) < 0 ||
	    file_read(path, AUDIT_ARCHIVE_FILE_MAX, &archive->text, err) < 0)
		return -1;
	audit_lines_auto(&archive->lines);
	archive->lines =
		AUDIT_LINES(archive->text.data ? archive->text.data : "", archive->text.size);
	archive->open = true;
	return 0;
}

static int close_file(struct audit_archive *archive, struct err *err)
{
	const struct audit_archive_file *file = &archive->files[archive->at];

	if (archive->last_seq != file->to || !hash_equal(&archive->last_hash, &file->hash))
		return err_set(err, ERR_PROTOCOL,
			       "the file of rows %lld to %lld does not end as its name says",
			       (long long)file->from, (long long)file->to);
	archive->open = false;
	archive->at++;
	return 0;
}

static int archive_next(void *context, struct audit_row *ret_row, struct err *err)
{
	struct audit_archive *archive = context;
	struct audit_iterator rows = audit_lines_iterator(&archive->lines);

	while (archive->open || archive->at < archive->count) {
		int more;

		if (!archive->open && open_file(archive, err) < 0)
			return -1;
		more = rows.next(rows.context, ret_row, err);
		if (more < 0)
			return err_wrap(err, "in the file of rows %lld to %lld",
					(long long)archive->files[archive->at].from,
					(long long)archive->files[archive->at].to);
		if (more > 0) {
			archive->last_seq = ret_row->seq;
			archive->last_hash = ret_row->hash;
			return 1;
		}
		if (close_file(archive, err) < 0)
			return -1;
	}
	return 0;
}

struct audit_iterator audit_archive_iterator(struct audit_archive *archive)
{
	return (struct audit_iterator){ .next = archive_next, .context = archive };
}
