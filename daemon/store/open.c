/*
 * Opening and closing. Enters: a path and a mode. Leaves: a configured handle.
 * Fails on a file that cannot be opened or made, is damaged, or is not ours.
 *
 * POSIX locks belong to the process and end with any close() of the file, so
 * an existing store is never opened beside SQLite; only a file that did not
 * exist, and that nobody can have locked, is made by hand, for its mode.
 */
#include "about.h"
#include "backup.h"
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>

#define BUSY_TIMEOUT_MS 5000
/*
 * A commit copies the WAL into the database by itself only when it has grown
 * to 128 MiB: the copying belongs to another thread, or to idle time (store_checkpoint).
 */
#define CHECKPOINT_PAGES 32768

static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;

static const char pragmas_all[] = "PRAGMA temp_store = MEMORY;"
				  "PRAGMA mmap_size = 0;"
				  "PRAGMA cell_size_check = ON;"
				  "PRAGMA trusted_schema = OFF;"
				  "PRAGMA foreign_keys = ON;"
				  "PRAGMA recursive_triggers = ON;";

/*
 * Page size (of a new file): a commit writes each page it touched as a whole, by two calls. New users
 * append; over 100,000 of them 2,048 was slower by 5 % and wrote half as much again, and 8,192
 * gained nothing but writes more for a change at a random place.
 * Cache: new users append, and of what else a large one held little was met again.
 * Freed pages are not written again only to blank them; nothing secret lies here unsealed.
 * The limit is more than the WAL grows to: cutting the file made the next commit wait for 90 ms.
 */
static const char pragmas_write[] = "PRAGMA page_size = 4096;"
				    "PRAGMA cache_size = -8192;"
				    "PRAGMA secure_delete = FAST;"
				    "PRAGMA journal_mode = WAL;"
				    "PRAGMA synchronous = FULL;"
				    "PRAGMA journal_size_limit = 167772160;";

static const char pragmas_read[] = "PRAGMA cache_size = -4096;"
				   "PRAGMA query_only = ON;";

/* Mode 0600 for what is there: the WAL and its index take the mode of the main file. */
static int tighten_mode(const char *path, const char *suffix, struct err *err)
{
	char *name = NULL;
	struct stat status;
	int failed = 0;

	if (asprintf(&name, "%s%s", path, suffix) < 0)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (lstat(name, &status) < 0)
		failed = errno == ENOENT && *suffix ? 0 : errno;
	else if (!S_ISREG(status.st_mode))
		failed = EINVAL;
	else if ((status.st_mode & 077) && chmod(name, 0600) < 0)
		failed = errno;
	if (failed)
		err_set_errno(err, failed == EINVAL ? ERR_INVALID : ERR_IO, failed,
			      "cannot use store '%s'", name);
	free(name);
	return failed ? -1 : 0;
}

static int create_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return err_set_errno(err, ERR_IO, errno, "cannot create store '%s'", path);
	if (tighten_mode(path, "", err) < 0 || tighten_mode(path, "-wal", err) < 0 ||
	    tighten_mode(path, "-shm", err) < 0)
		return -1;
	return 0;
}

static int configure(struct store *store, const char *sql, struct err *err)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return store_error(store, sqlite3_extended_errcode(store->db), err);
}

static int check_journal_mode(struct store *store, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, "PRAGMA journal_mode");
	int row = query_row(&query, err);

	if (row < 0)
		return -1;
	if (row == 0 || strcmp(column_text(&query, 0), "wal") != 0)
		return err_set(err, ERR_IO, "store '%s': the file system allows no WAL",
			       store->path);
	return 0;
}

static void harden(sqlite3 *db)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
}

/*
 * SQLite counts its allocations under one lock for all threads, and Debian's is built without
 * lookaside, so that each small one takes it: 7 % of an import while another handle reads.
 */
static void configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* As SQLite's own: what is not copied now is copied later, and the commit is done all the same. */
static int after_commit(void *context, sqlite3 *db, const char *name, int pages)
{
	struct store *store = context;

	store->wal_pages = pages;
	if (pages >= CHECKPOINT_PAGES)
		sqlite3_wal_checkpoint(db, name);
	return SQLITE_OK;
}

static int store_set_up(struct store *store, struct err *err)
{
	bool write = store->mode == STORE_WRITE;
	int flags = SQLITE_OPEN_NOMUTEX |
		    (store->mode == STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	int rc = sqlite3_open_v2(store->path, &store->db, flags, NULL);

	if (!store->db)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (rc != SQLITE_OK)
		return store_error(store, rc, err);
	harden(store->db);
	if (configure(store, pragmas_all, err) < 0 ||
	    configure(store, write ? pragmas_write : pragmas_read, err) < 0)
		return -1;
	if (!write)
		return store_check_version(store, err);
	sqlite3_wal_hook(store->db, after_commit, store);
	if (check_journal_mode(store, err) < 0 || batch_register(store, err) < 0 ||
	    about_register(store, err) < 0)
		return -1;
	return store_migrate(store, err);
}

/* Not open yet. */
static struct store *make_handle(const char *path, enum store_mode mode, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct store *store = alloc_zeroed(1, sizeof(*store));

	pthread_once(&once, configure_library);
	if (!store || !(store->path = strdup(path))) {
		free(store);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	store->mode = mode;
	store->late_rows = STORE_LATE_MIN;
	return store;
}

struct store *store_open(const char *path, enum store_mode mode, struct err *err)
{
	struct store *store = make_handle(path, mode, err);
	int result = 0;

	if (!store)
		return NULL;
	pthread_mutex_lock(&create_lock);
	if (mode == STORE_WRITE)
		result = create_file(path, err);
	if (result == 0)
		result = store_set_up(store, err);
	pthread_mutex_unlock(&create_lock);
	if (result < 0) {
		err_wrap(err, "cannot open the store");
		store_close(store);
		return NULL;
	}
	return store;
}

static int open_database(struct store *store, const char *name, int flags, const char *pragmas,
			 struct err *err)
{
	int rc = sqlite3_open_v2(name, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL);

	if (!store->db)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (rc != SQLITE_OK)
		return store_error(store, rc, err);
	harden(store->db);
	return configure(store, pragmas_all, err) < 0 ? -1 : configure(store, pragmas, err);
}

struct store *store_open_as_is(const char *path, int64_t *ret_version, struct err *err)
{
	struct store *store = make_handle(path, STORE_READ, err);

	if (!store)
		return NULL;
	if (open_database(store, path, SQLITE_OPEN_READONLY, pragmas_read, err) == 0 &&
	    store_read_version(store, ret_version, err) == 0)
		return store;
	store_close(store);
	return NULL;
}

struct store *store_open_reference(int64_t version, struct err *err)
{
	struct store *store = make_handle("reference", STORE_WRITE, err);

	if (!store)
		return NULL;
	if (open_database(store, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
			  "PRAGMA cache_size = -4096;", err) == 0 &&
	    about_register(store, err) == 0 && store_migrate_to(store, version, err) == 0)
		return store;
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->in_transaction)
		store_rollback(store);
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	for (size_t i = 0; i < NAME_SPACES; i++)
		names_finish(&store->names[i]);
	late_forget(store);
	used_forget(&store->used);
	tidy_forget(store);
	sqlite3_close_v2(store->db);
	batch_finish(store);
	free(store->path);
	free(store);
}

size_t store_wal_pages(const struct store *store)
{
	return (size_t)store->wal_pages;
}

void store_set_busy_timeout(struct store *store, int timeout_ms)
{
	sqlite3_busy_timeout(store->db, timeout_ms);
}

int store_set_durable(struct store *store, bool durable, struct err *err)
{
	if (store->hasty == !durable)
		return 0;
	if (configure(store, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
		      err) < 0)
		return -1;
	store->hasty = !durable;
	return 0;
}

void store_interrupt(struct store *store)
{
	sqlite3_interrupt(store->db);
}

int64_t store_steps(const struct store *store)
{
	return store->steps;
}
