/*
 * Copies of the store, and what is found out about one. Enters: paths. Leaves: a file that is on disk, or none; a
 * verdict. Fails on a full disk, on what is damaged, and on what is not ours.
 *
 * SQLite copies page by page out of one snapshot, which the reading handle pins: writers go on, and nothing of what
 * they do is in the copy. What somebody hands us as a copy may have been made to harm: its schema is compared with
 * ours before anything of it is run.
 */
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/store/audit.h>

#include "db.h"

#define PAGES_AT_ONCE 256
#define STEPS_BETWEEN 100000
#define NOTE_NAME "backup"
#define NOTE_MAX 160

static bool goes_on(const struct store_progress *progress, const char *phase, uint64_t done,
		    uint64_t total)
{
	return !progress || !progress->go_on ||
	       progress->go_on(progress->context, phase, done, total);
}

static int cancelled(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "asked to stop");
}

/* --- making one --- */

static int create_empty(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set_errno(err, errno == EEXIST ? ERR_CONFLICT : ERR_IO, errno,
				     "cannot make '%s'", path);
	close(fd);
	return 0;
}

static void remove_file(const char *path, const char *suffix)
{
	char *name;

	if (asprintf(&name, "%s%s", path, suffix) < 0)
		return;
	unlink(name);
	free(name);
}

static void remove_all(const char *path)
{
	static const char *const suffixes[] = { "", "-journal", "-wal", "-shm" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		remove_file(path, suffixes[i]);
}

/* What an error of the other end says is about its file. */
static int copy_error(const char *to, sqlite3 *db, int rc, struct err *err)
{
	const struct store at = { .path = (char *)(uintptr_t)to, .db = db };

	return store_error(&at, rc, err);
}

static int copy_pages(struct store *from, sqlite3 *db, const char *to,
		      const struct store_progress *progress, struct err *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(db, "main", from->db, "main");
	int rc = backup ? SQLITE_OK : sqlite3_errcode(db);
	bool wanted = true;

	while (rc == SQLITE_OK && wanted) {
		rc = sqlite3_backup_step(backup, PAGES_AT_ONCE);
		wanted = goes_on(progress, "copying",
				 (uint64_t)(sqlite3_backup_pagecount(backup) -
					    sqlite3_backup_remaining(backup)),
				 (uint64_t)sqlite3_backup_pagecount(backup));
	}
	sqlite3_backup_finish(backup);
	if (rc == SQLITE_DONE)
		return 0;
	return rc == SQLITE_OK ? cancelled(err) : copy_error(to, db, rc, err);
}

/* When it was made, and the head that its audit log had. */
static int make_note(struct store *from, int64_t now_s, char note[static NOTE_MAX], struct err *err)
{
	struct hash256 hash;
	int64_t seq;
	char hex[65];

	if (store_audit_head(from, &seq, &hash, err) < 0)
		return -1;
	hash256_hex(&hash, hex);
	snprintf(note, NOTE_MAX, "%lld %lld:%s", (long long)now_s, (long long)seq, hex);
	return 0;
}

static int write_note(sqlite3 *db, const char *note)
{
	sqlite3_stmt *statement = NULL;
	/* One file, whoever opens it: what it came from is in WAL mode. */
	int rc = sqlite3_exec(db, "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL", NULL,
			      NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db,
					"INSERT INTO meta (name, value) VALUES ('" NOTE_NAME
					"', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
					-1, &statement, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(statement, 1, note, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int fill(struct store *from, const char *to, int64_t now_s,
		const struct store_progress *progress, struct err *err)
{
	sqlite3 *db = NULL;
	char note[NOTE_MAX];
	int result = -1, rc;

	rc = sqlite3_open_v2(to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", NULL,
				  NULL, NULL);
	if (rc != SQLITE_OK)
		copy_error(to, db, rc, err);
	else if (make_note(from, now_s, note, err) == 0 &&
		 copy_pages(from, db, to, progress, err) == 0) {
		rc = write_note(db, note);
		result = rc == SQLITE_OK ? 0 : copy_error(to, db, rc, err);
	}
	rc = sqlite3_close(db);
	if (result == 0 && rc != SQLITE_OK)
		result = copy_error(to, NULL, rc, err);
	return result;
}

int store_copy(const char *path, const char *to, int64_t now_s,
	       const struct store_progress *progress, struct err *err)
{
	int64_t version;
	AUTO(store) struct store *from = store_open_as_is(path, &version, err);
	int result = -1;

	if (!from)
		return -1;
	if (version == 0)
		return err_refuse(err, ERR_INVALID, "store-empty",
				  "store '%s': there is nothing in it", path);
	if (create_empty(to, err) < 0)
		return -1;
	if (store_snapshot_begin(from, err) == 0) {
		result = fill(from, to, now_s, progress, err);
		store_snapshot_end(from);
	}
	if (result == 0)
		result = file_sync(to, err);
	if (result == 0)
		return 0;
	remove_all(to);
	return err_wrap(err, "cannot copy the store");
}

/* --- examining one --- */

static int damaged(struct err *err, const char *path, const char *how)
{
	return err_refuse(err, ERR_INVALID, "backup-damaged", "'%s' is damaged: %s", path, how);
}

/* Not for want of memory, or because it was told to stop. */
static int as_damage(const char *path, struct err *err)
{
	struct err cause = *err;

	if (cause.code != ERR_INTERNAL && cause.code != ERR_PROTOCOL &&
	    strcmp(err_reason(&cause), "store-damaged") != 0)
		return -1;
	return damaged(err, path, cause.text);
}

static int check_size(struct store *store, int64_t *ret_size, struct err *err)
{
	AUTO(query) struct query pages = query_prepare(store, "PRAGMA page_count");
	AUTO(query) struct query size = query_prepare(store, "PRAGMA page_size");
	int64_t page_count, page_size;
	struct stat status;

	if (query_number(&pages, &page_count, err) < 0 || query_number(&size, &page_size, err) < 0)
		return -1;
	if (stat(store->path, &status) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot examine '%s'", store->path);
	if (status.st_size != page_count * page_size)
		return damaged(err, store->path, "it was cut off, or something was added to it");
	*ret_size = status.st_size;
	return 0;
}

#define SCHEMA_TEXT \
	"SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name"

static bool same_row(struct query *one, struct query *other)
{
	for (int column = 0; column < 4; column++)
		if (strcmp(column_text(one, column), column_text(other, column)) != 0)
			return false;
	return true;
}

static int check_schema(struct store *store, int64_t version, struct err *err)
{
	AUTO(store) struct store *reference = store_open_reference(version, err);
	AUTO(query)
	struct query theirs = query_prepare(store, SCHEMA_TEXT);
	AUTO(query)
	struct query ours = { .store = NULL };
	int found, expected;

	if (!reference)
		return -1;
	ours = query_prepare(reference, SCHEMA_TEXT);
	do {
		found = query_row(&theirs, err);
		expected = found < 0 ? -1 : query_row(&ours, err);
		if (found < 0 || expected < 0)
			break;
		if (found != expected || (found && !same_row(&theirs, &ours)))
			return err_refuse(err, ERR_INVALID, "store-foreign",
					  "'%s' has not the tables and triggers of a store of "
					  "version %lld (at '%s')",
					  store->path, (long long)version,
					  column_text(found ? &theirs : &ours, 1));
	} while (found);
	return found < 0 || expected < 0 ? -1 : 0;
}

static int check_pages(struct store *store, struct err *err)
{
	AUTO(query) struct query query = query_prepare(store, "PRAGMA integrity_check(1)");
	AUTO(query) struct query keys = query_prepare(store, "PRAGMA foreign_key_check");
	int row = query_row(&query, err);

	if (row < 0)
		return -1;
	/* Told as a finding, and none about the file. */
	if (row > 0 && strstr(column_text(&query, 0), "error code=7"))
		return err_set(err, ERR_MEMORY, "out of memory");
	if (row == 0 || strcmp(column_text(&query, 0), "ok") != 0)
		return damaged(err, store->path, row ? column_text(&query, 0) : "nothing in it");
	row = query_row(&keys, err);
	if (row > 0)
		return damaged(err, store->path, "rows lack what they belong to");
	return row;
}

/* "MADE SEQ:HASH"; 0 and nothing when there is none. */
static int read_note(struct store *store, int64_t *ret_made_s, char ret_head[static NOTE_MAX],
		     struct err *err)
{
	AUTO(query)
	struct query query =
		query_prepare(store, "SELECT value FROM meta WHERE name = '" NOTE_NAME "'");
	int row = query_row(&query, err);
	long long made_s = 0;
	int head_at = 0;

	*ret_made_s = 0;
	ret_head[0] = '\0';
	if (row <= 0)
		return row;
	if (sscanf(column_text(&query, 0), "%18lld %n", &made_s, &head_at) != 1 || head_at == 0 ||
	    made_s <= 0 || strlen(column_text(&query, 0) + head_at) >= NOTE_MAX)
		return damaged(err, store->path, "its note of when it was made");
	*ret_made_s = made_s;
	snprintf(ret_head, NOTE_MAX, "%s", column_text(&query, 0) + head_at);
	return 0;
}

struct counted {
	struct audit_iterator rows;
	const struct store_progress *progress;
	uint64_t done, total;
};

static int next_counted(void *context, struct audit_row *ret_row, struct err *err)
{
	struct counted *counted = context;

	if (counted->done++ % 10000 == 0 &&
	    !goes_on(counted->progress, "verifying", counted->done - 1, counted->total))
		return cancelled(err);
	return counted->rows.next(counted->rows.context, ret_row, err);
}

static int verify_chain(struct store *store, const char *head,
			const struct store_progress *progress, struct audit_verdict *ret_verdict,
			struct err *err)
{
	const struct audit_query query = { .limit = 0 };
	struct audit_check check = { .head = head };
	struct counted counted = { .progress = progress };
	struct audit_iterator rows = { next_counted, &counted };
	struct store_audit_cursor *cursor;
	struct hash256 hash;
	int64_t last;
	int result;

	if (store_audit_anchor(store, &check.anchor, err) < 0 ||
	    store_audit_head(store, &last, &hash, err) < 0)
		return -1;
	counted.total = last > check.anchor.seq ? (uint64_t)(last - check.anchor.seq) : 0;
	cursor = store_audit_open(store, &query, err);
	if (!cursor)
		return -1;
	counted.rows = store_audit_iterator(cursor);
	result = audit_verify(&rows, &check, ret_verdict, err);
	store_audit_close(cursor);
	if (result < 0)
		return -1;
	if (!ret_verdict->intact || ret_verdict->head_state == AUDIT_HEAD_UNKNOWN)
		return err_refuse(err, ERR_INVALID, "audit-broken",
				  "the audit log in '%s' does not verify: %s", store->path,
				  ret_verdict->problem);
	return 0;
}

/* The one noted when it was made, then the one that is asked for. */
static int check_audit(struct store *store, const char *noted, const char *head,
		       const struct store_progress *progress, struct audit_verdict *ret_verdict,
		       struct err *err)
{
	if (noted[0] && verify_chain(store, noted, progress, ret_verdict, err) < 0)
		return -1;
	return noted[0] && !head ? 0 : verify_chain(store, head, progress, ret_verdict, err);
}

static int on_steps(void *context)
{
	return !goes_on(context, "checking", 0, 0);
}

static int examine(struct store *store, int64_t version, const char *head,
		   const struct store_progress *progress, struct store_about *about,
		   struct err *err)
{
	AUTO(query) struct query users = { .store = NULL };
	char noted[NOTE_MAX];

	about->schema = version;
	if (version == 0)
		return damaged(err, store->path, "there is nothing in it");
	if (check_size(store, &about->size, err) < 0 || check_schema(store, version, err) < 0 ||
	    check_pages(store, err) < 0 || read_note(store, &about->made_s, noted, err) < 0)
		return -1;
	users = query_prepare(store, "SELECT count(*) FROM user");
	if (query_number(&users, &about->users, err) < 0)
		return -1;
	/* How the log of an older schema is walked this program does not know. */
	if (version != store_schema_version())
		return 0;
	return check_audit(store, noted, head, progress, &about->audit, err);
}

int store_examine(const char *path, const char *head, const struct store_progress *progress,
		  struct store_about *ret_about, struct err *err)
{
	struct store_about about = { .made_s = 0 };
	struct err cause = { 0 };
	int64_t version;
	AUTO(store) struct store *store = store_open_as_is(path, &version, &cause);
	int result;

	if (store) {
		sqlite3_progress_handler(store->db, STEPS_BETWEEN, on_steps,
					 (void *)(uintptr_t)progress);
		result = examine(store, version, head, progress, &about, &cause);
		sqlite3_progress_handler(store->db, 0, NULL, NULL);
	} else {
		result = -1;
	}
	if (result == 0) {
		*ret_about = about;
		return 0;
	}
	as_damage(path, &cause);
	if (err)
		*err = cause;
	return -1;
}
