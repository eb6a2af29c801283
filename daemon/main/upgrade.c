/*
 * Bringing a store to this version's schema. Enters: a path, under the store's lock. Leaves: a copy of what was, and the
 * store as this version wants it. Fails before anything is changed when no copy can be made (disk full).
 */
#include "upgrade.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/backup.h>

#include "configuration.h"
#include "restore.h"

/* Of an older version? What cannot be read for another reason is for those who open it to tell. */
static bool is_older(const char *path)
{
	struct err err = { 0 };
	AUTO(store) struct store *store = NULL;

	if (access(path, F_OK) != 0)
		return false;
	store = store_open(path, STORE_READ, &err);
	return !store && strcmp(err_reason(&err), "store-not-ready") == 0;
}

static int name_copy(const char *path, int64_t now_s, struct strbuf *begun, struct strbuf *done,
		     struct err *err)
{
	time_t now = (time_t)now_s;
	char stamp[32];
	struct tm utc;

	if (!gmtime_r(&now, &utc))
		return err_set(err, ERR_INVALID, "the clock cannot be read");
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
	strbuf_printf(begun, "%s.copy", path);
	strbuf_printf(done, "%s.before-upgrade-%s", path, stamp);
	if (strbuf_failed(begun) || strbuf_failed(done))
		return err_set(err, ERR_TOO_LARGE, "the store's path is too long");
	return 0;
}

/* Under its own name only when it is whole. */
static int copy(const char *path, struct strbuf *ret_copy, struct err *err)
{
	AUTO(strbuf) struct strbuf begun = STRBUF(PATH_MAX);
	AUTO(strbuf) struct strbuf done = STRBUF(PATH_MAX);
	int64_t now_s = clock_now_s();

	if (name_copy(path, now_s, &begun, &done, err) < 0)
		return -1;
	/* What a cut left: the lock is ours. */
	unlink(strbuf_text(&begun));
	if (store_copy(path, strbuf_text(&begun), now_s, NULL, err) < 0)
		return -1;
	if (rename(strbuf_text(&begun), strbuf_text(&done)) < 0) {
		err_set_errno(err, ERR_IO, errno, "cannot rename '%s'", strbuf_text(&begun));
		unlink(strbuf_text(&begun));
		return -1;
	}
	strbuf_puts(ret_copy, strbuf_text(&done));
	return file_sync(strbuf_text(&done), err);
}

int upgrade_store(const char *path, struct strbuf *ret_copy, struct err *err)
{
	struct store *store;

	if (!is_older(path))
		return 0;
	/* Nothing in it yet (cut off at its very beginning): nothing to keep. */
	if (copy(path, ret_copy, err) < 0 && strcmp(err_reason(err), "store-empty") != 0)
		return err_wrap(err, "the store is of an older version, and is left as it is until "
				     "it can be copied");
	store = store_open(path, STORE_WRITE, err);
	if (!store)
		return -1;
	store_close(store);
	return 1;
}

int upgrade_lock(const char *path, int *ret_fd, struct err *err)
{
	AUTO(strbuf) struct strbuf lock = STRBUF(PATH_MAX);

	strbuf_printf(&lock, "%s.lock", path);
	if (strbuf_failed(&lock))
		return err_set(err, ERR_TOO_LARGE, "the store's path is too long");
	return file_lock(strbuf_text(&lock), ret_fd, err);
}

int upgrade_configured(const char *config_path, struct arena *arena, const char **ret_store,
		       int *ret_lock_fd, struct strbuf *ret_copy, struct err *err)
{
	const char *path = configuration_store(config_path, arena);
	int coming;

	*ret_store = NULL;
	*ret_lock_fd = -1;
	/* A configuration that names none is refused when it is read, precisely. */
	if (!*path)
		return 0;
	coming = store_is_coming(path, err);
	if (coming < 0)
		return -1;
	if (!coming && access(path, F_OK) != 0)
		return 0;
	if (upgrade_lock(path, ret_lock_fd, err) < 0 || restore_finish(path, NULL, err) < 0)
		return -1;
	*ret_store = path;
	return upgrade_store(path, ret_copy, err);
}
