/*
 * A copy becomes the store. Enters: an open file. Leaves: a file beside the store, then in its place; what was the
 * store under another name. Fails on a full disk, and leaves the store as it was then.
 *
 * From the renaming to path.restored on it is decided: whoever holds the lock next goes on where the last one was
 * cut off, before the store is opened. Until then nothing but names that nobody else reads has changed. What is
 * the store goes with its WAL, which is part of it, and the WAL goes first: as long as the database stands there, it is
 * known under which name both are to be kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/file.h>

#include "backup.h"
#include "db.h"

#define ASIDE_MAX 100

static char *join(const char *path, const char *suffix, struct err *err)
{
	char *name = NULL;

	if (asprintf(&name, "%s%s", path, suffix) >= 0)
		return name;
	err_set(err, ERR_MEMORY, "out of memory");
	return NULL;
}

static void free_text(char **text)
{
	free(*text);
}
#define AUTO_TEXT __attribute__((cleanup(free_text))) char *

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static int remove_one(const char *path, const char *suffix, struct err *err)
{
	AUTO_TEXT name = join(path, suffix, err);

	if (!name)
		return -1;
	if (unlink(name) == 0 || errno == ENOENT)
		return 0;
	return err_set_errno(err, ERR_IO, errno, "cannot remove '%s'", name);
}

/* A copy that was cut off, with what SQLite kept beside it. */
static int remove_copy(const char *path, const char *which, struct err *err)
{
	AUTO_TEXT name = join(path, which, err);

	if (!name)
		return -1;
	return remove_one(name, "-journal", err) < 0 || remove_one(name, "-wal", err) < 0 ||
			       remove_one(name, "-shm", err) < 0 || remove_one(name, "", err) < 0
		       ? -1
		       : 0;
}

/* --- taking one in --- */

struct taking {
	const struct store_progress *progress;
	uint64_t total;
};

static bool go_on(void *context, uint64_t done)
{
	const struct taking *taking = context;
	const struct store_progress *progress = taking->progress;

	return !progress || !progress->go_on ||
	       progress->go_on(progress->context, "reading", done, taking->total);
}

static int take_bytes(int from, int to, const char *name, const struct store_progress *progress,
		      struct err *err)
{
	struct stat status = { .st_size = 0 };
	struct taking taking = { .progress = progress };
	const struct file_progress copying = { go_on, &taking };

	fstat(from, &status);
	taking.total = (uint64_t)status.st_size;
	if (file_copy(from, to, &copying, err) < 0)
		return err_wrap(err, "cannot take the backup in as '%s'", name);
	if (fsync(to) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot write '%s'", name);
	return 0;
}

char *store_take_in(const char *path, int fd, const struct store_progress *progress,
		    struct err *err)
{
	char *name = join(path, ".restoring", err);
	int result = -1;

	if (name && remove_copy(path, ".restoring", err) == 0) {
		AUTO(fd)
		int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

		result = to < 0 ? err_set_errno(err, ERR_IO, errno, "cannot make '%s'", name)
				: take_bytes(fd, to, name, progress, err);
		if (result < 0 && to >= 0)
			unlink(name);
	}
	if (result == 0)
		return name;
	free(name);
	return NULL;
}

int store_drop_taken(const char *path, struct err *err)
{
	return remove_copy(path, ".restoring", err);
}

/* --- into its place --- */

int store_put_ready(const char *path, struct err *err)
{
	AUTO_TEXT from = join(path, ".restoring", err);
	AUTO_TEXT to = from ? join(path, ".restored", err) : NULL;
	AUTO_TEXT wal = to ? join(from, "-wal", err) : NULL;
	struct stat status;

	if (!wal)
		return -1;
	/* What is still in there would be lost. */
	if (stat(wal, &status) == 0 && status.st_size > 0)
		return err_set(err, ERR_IO, "'%s' could not be written whole", from);
	if (remove_one(from, "-wal", err) < 0 || remove_one(from, "-shm", err) < 0 ||
	    file_sync(from, err) < 0)
		return -1;
	if (rename(from, to) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot rename '%s'", from);
	return file_sync(to, err);
}

/* Free, and the same again after a cut: named after the time of what comes. */
static char *aside_name(const char *path, const char *coming, struct err *err)
{
	struct stat status;
	struct tm tm;
	char text[32], *name;

	if (stat(coming, &status) < 0 || !gmtime_r(&status.st_mtime, &tm)) {
		err_set_errno(err, ERR_IO, errno, "cannot examine '%s'", coming);
		return NULL;
	}
	strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm);
	for (int i = 1; i <= ASIDE_MAX; i++) {
		if (asprintf(&name, i == 1 ? "%s.before-%s" : "%s.before-%s-%d", path, text, i) <
		    0) {
			err_set(err, ERR_MEMORY, "out of memory");
			return NULL;
		}
		if (!exists(name))
			return name;
		free(name);
	}
	err_set(err, ERR_IO, "too many stores '%s.before-%s' are kept", path, text);
	return NULL;
}

static int move(const char *from, const char *to, const char *suffix, struct err *err)
{
	AUTO_TEXT old = join(from, suffix, err);
	AUTO_TEXT new = old ? join(to, suffix, err) : NULL;

	if (!new)
		return -1;
	if (rename(old, new) == 0 || errno == ENOENT)
		return 0;
	return err_set_errno(err, ERR_IO, errno, "cannot rename '%s'", old);
}

static int put_aside(const char *path, const char *coming, struct strbuf *aside, struct err *err)
{
	AUTO_TEXT name = aside_name(path, coming, err);

	if (!name)
		return -1;
	if (!exists(path))
		return remove_one(path, "-wal", err) < 0 ? -1 : remove_one(path, "-shm", err);
	if (aside)
		strbuf_puts(aside, name);
	return move(path, name, "-journal", err) < 0 || move(path, name, "-wal", err) < 0 ||
			       remove_one(path, "-shm", err) < 0 || move(path, name, "", err) < 0
		       ? -1
		       : 0;
}

int store_is_coming(const char *path, struct err *err)
{
	AUTO_TEXT coming = join(path, ".restored", err);

	return coming ? exists(coming) : -1;
}

int store_put_in_place(const char *path, struct strbuf *aside, struct err *err)
{
	AUTO_TEXT coming = join(path, ".restored", err);

	if (!coming || remove_copy(path, ".restoring", err) < 0 ||
	    remove_copy(path, ".copy", err) < 0)
		return -1;
	if (!exists(coming))
		return 0;
	if (put_aside(path, coming, aside, err) < 0)
		return err_wrap(err, "cannot put the restored store in place");
	if (rename(coming, path) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot put '%s' in place", coming);
	return file_sync(path, err) < 0 ? -1 : 1;
}

/* --- what waits since --- */

int store_restoration_get(struct store *store, struct restoration *ret_restoration, struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(
		store, "SELECT at_s, made_s, sign_in_open_s, delivery_open_s FROM restoration");
	int row = query_row(&query, err);

	if (row < 0)
		return err_wrap(err, "cannot read what waits since the restore");
	*ret_restoration = (struct restoration){ .at_s = 0 };
	if (row > 0)
		*ret_restoration = (struct restoration){ .at_s = column_int(&query, 0),
							 .made_s = column_int(&query, 1),
							 .sign_in_open_s = column_int(&query, 2),
							 .delivery_open_s = column_int(&query, 3) };
	return 0;
}

int store_restoration_set(struct store *store, const struct restoration *restoration,
			  struct err *err)
{
	AUTO(query)
	struct query query = query_prepare(store, "INSERT OR REPLACE INTO restoration (id, at_s, "
						  "made_s, sign_in_open_s, delivery_open_s) "
						  "VALUES (1, ?1, ?2, ?3, ?4)");

	if (store_may_write(store, err) < 0)
		return -1;
	query_int(&query, restoration->at_s);
	query_int(&query, restoration->made_s);
	query_int(&query, restoration->sign_in_open_s);
	query_int(&query, restoration->delivery_open_s);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note what waits") : 0;
}

int store_restoration_note_read(struct store *store, const char *source, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "INSERT OR IGNORE INTO restoration_read (source) VALUES (?1)");
	int64_t id;

	if (store_may_write(store, err) < 0 || names_source(store, source, &id, err) < 0)
		return -1;
	query_int(&query, id);
	return query_run(&query, err) < 0 ? err_wrap(err, "cannot note a read of '%s'", source) : 0;
}

int store_restoration_was_read(struct store *store, const char *source, struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT 1 FROM restoration_read WHERE source = ?1");
	int64_t id;
	int found = names_find(store, NAMES_SOURCE, source, &id, err);

	if (found > 0) {
		query_int(&query, id);
		found = query_row(&query, err);
	}
	return found;
}
