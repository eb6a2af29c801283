/*
 * Rows of the audit log that are older than the retention. Enters: the retention, the folder of the archive. Leaves:
 * rows in the archive, on disk; then, piece by piece, gone from the store, each piece with a row audit.prune in
 * the transaction that removes it. Fails: store, memory, the archive, rows that do not verify.
 *
 * Cut anywhere, it goes on: a file of the archive that begins before the store does, or with it, was
 * written before, and rows go up to its end before another file is begun. A file holds whole pieces only by chance; what
 * went is known by the anchor alone.
 *
 * Old is what was written before by the clock that goes on evenly (steps.c): a clock that was set a year ahead
 * removes nothing. Of one that was set back the wall clock counts, for what is written since bears its times: it would
 * be old at once by the other. What a log is to prove is verified before it goes, or whoever changed a row would only have
 * to wait.
 */
#include <rolebridge/change/retention.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/audit/archive.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/audit.h>

#include "internal.h"

/* What one transaction removes: some 10 ms. */
#define PIECE_ROWS 1000
#define FILE_ROWS 20000
#define FILE_BYTES ((size_t)32 * 1024 * 1024)
/* So few wait, until the first has waited for so long: each piece adds a row itself. */
#define WORTH_ROWS PIECE_ROWS
#define WAIT_S 86400

struct letting_go {
	struct changer *changer;
	const struct retention *retention;
	struct store *read;
	struct audit_anchor anchor;
	struct audit_archive_file file; /* or what would be in one */
};

/* --- verifying, and lines for the archive --- */

struct passing {
	struct audit_iterator rows;
	struct strbuf *lines; /* NULL: not wanted */
};

static int pass_row(void *context, struct audit_row *ret_row, struct err *err)
{
	struct passing *passing = context;
	int more;

	if (passing->lines && passing->lines->size >= FILE_BYTES)
		return 0;
	more = passing->rows.next(passing->rows.context, ret_row, err);
	if (more > 0 && passing->lines)
		audit_format_row(ret_row, AUDIT_JSON_LINES, passing->lines);
	return more;
}

static int refuse_broken(const struct audit_verdict *verdict, struct err *err)
{
	return err_refuse(err, ERR_PROTOCOL, "audit-broken",
			  "old rows of the audit log stay, for they do not verify: %s",
			  verdict->problem);
}

/* Rows after the anchor up to row to, or as many as go into a file. */
static int verify_rows(struct letting_go *letting, int64_t to, struct strbuf *lines,
		       struct err *err)
{
	const struct audit_query query = { .after_seq = letting->anchor.seq, .before_seq = to + 1 };
	struct audit_check check = { .anchor = letting->anchor, .is_archive = true };
	struct store_audit_cursor *cursor = store_audit_open(letting->read, &query, err);
	struct passing passing = { .lines = lines };
	struct audit_iterator rows = { .next = pass_row, .context = &passing };
	struct audit_verdict verdict;
	int result;

	if (!cursor)
		return -1;
	passing.rows = store_audit_iterator(cursor);
	result = audit_verify(&rows, &check, &verdict, err);
	store_audit_close(cursor);
	if (result < 0)
		return -1;
	if (!verdict.intact)
		return refuse_broken(&verdict, err);
	letting->file = (struct audit_archive_file){ .from = letting->anchor.seq + 1,
						     .to = verdict.last_seq,
						     .before = letting->anchor.hash,
						     .hash = verdict.head };
	return lines && strbuf_failed(lines)
		       ? err_set(err, ERR_MEMORY, "no memory for a file of the archive")
		       : 0;
}

/* What is written can be read again, and is the same chain. */
static int check_lines(const struct letting_go *letting, const struct strbuf *lines,
		       struct err *err)
{
	struct audit_lines again = AUDIT_LINES(lines->data, lines->size);
	struct audit_iterator rows = audit_lines_iterator(&again);
	struct audit_check check = { .anchor = letting->anchor, .is_archive = true };
	struct audit_verdict verdict;
	int result = audit_verify(&rows, &check, &verdict, err);

	audit_lines_auto(&again);
	if (result < 0)
		return -1;
	if (!verdict.intact || verdict.last_seq != letting->file.to)
		return err_refuse(
			err, ERR_PROTOCOL, "audit-broken",
			"row %lld of the audit log cannot be archived so that it verifies",
			(long long)verdict.last_seq + 1);
	return 0;
}

/* --- the archive --- */

/* A file that was written before, and whose rows did not all go: 1, 0, -1. */
static int find_file(struct letting_go *letting, struct err *err)
{
	struct audit_archive_file *files;
	size_t count;
	int64_t next = letting->anchor.seq + 1;
	int found = 0;

	if (audit_archive_list(letting->retention->archive, &files, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count && !found; i++)
		if (files[i].from <= next && files[i].to >= next) {
			letting->file = files[i];
			found = 1;
		}
	free(files);
	return found;
}

static int write_file(struct letting_go *letting, int64_t to, struct err *err)
{
	AUTO(strbuf) struct strbuf lines = STRBUF(AUDIT_ARCHIVE_FILE_MAX);

	if (verify_rows(letting, to, &lines, err) < 0 || check_lines(letting, &lines, err) < 0)
		return -1;
	change_step("archive");
	if (audit_archive_write(letting->retention->archive, &letting->file, &lines, err) < 0)
		return -1;
	change_step("archived");
	return 0;
}

/* The rows of the file are those of the store, and it holds them. */
static int check_file(struct letting_go *letting, const struct audit_archive_file *file,
		      struct err *err)
{
	if (verify_rows(letting, file->to, NULL, err) < 0)
		return -1;
	if (letting->file.to == file->to &&
	    memcmp(&letting->file.hash, &file->hash, sizeof(file->hash)) == 0)
		return audit_archive_check(letting->retention->archive, file, err);
	return err_refuse(err, ERR_CONFLICT, "archive-differs",
			  "the archive's file of rows %lld to %lld is not of this log",
			  (long long)file->from, (long long)file->to);
}

static int archive_rows(struct letting_go *letting, int64_t to, struct err *err)
{
	int found = find_file(letting, err);
	struct audit_archive_file file = letting->file;

	if (found < 0)
		return -1;
	if (!found)
		return write_file(letting, to, err);
	if (check_file(letting, &file, err) < 0)
		return -1;
	/* Rows may have been due when it was written, under another retention, and not be now. */
	if (letting->file.to > to)
		letting->file.to = to;
	return 0;
}

/* --- rows go --- */

struct piece {
	const struct actor *actor;
	int64_t from, to;
};

static int read_hash(struct store *store, int64_t seq, struct hash256 *ret_hash, struct err *err)
{
	const struct audit_query query = { .after_seq = seq - 1, .before_seq = seq + 1 };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, err);
	struct audit_iterator rows;
	struct audit_row row;
	int more;

	if (!cursor)
		return -1;
	rows = store_audit_iterator(cursor);
	more = rows.next(rows.context, &row, err);
	if (more > 0)
		*ret_hash = row.hash;
	store_audit_close(cursor);
	return more == 0 ? err_refuse(err, ERR_IO, "store-damaged",
				      "row %lld of the audit log is missing", (long long)seq)
			 : more;
}

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct piece *piece = job->context;
	AUTO(strbuf) struct strbuf detail = STRBUF(1024);
	struct audit_pruning pruning = { .from = piece->from, .to = piece->to };
	struct audit_anchor anchor;

	if (store_audit_anchor(changer->store, &anchor, err) < 0)
		return -1;
	if (anchor.seq + 1 != piece->from)
		return err_set(err, ERR_CONFLICT, "rows of the audit log went meanwhile");
	pruning.before = anchor.hash;
	if (read_hash(changer->store, piece->to, &pruning.hash, err) < 0)
		return -1;
	audit_pruning_write(&pruning, &detail);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	change_step("prune");
	if (audit_write(changer->store, change_now_s(), piece->actor, AUDIT_ACTION_PRUNE, "audit",
			strbuf_text(&detail), err) < 0)
		return -1;
	return store_audit_prune(changer->store, piece->from, piece->to, change_now_s(), err);
}

static int prune_rows(struct letting_go *letting, struct err *err)
{
	const struct actor timer = { .name = "timer", .request = "" };
	int64_t from = letting->file.from, end = letting->file.to;

	/* Of a file that was begun before, some may have gone. */
	if (from <= letting->anchor.seq)
		from = letting->anchor.seq + 1;
	while (from <= end) {
		struct piece piece = { .actor = &timer, .from = from };

		piece.to = end - from >= PIECE_ROWS ? from + PIECE_ROWS - 1 : end;
		if (writer_bulk(letting->changer, prune_job, &piece, err) < 0)
			return -1;
		from = piece.to + 1;
	}
	return 0;
}

/* --- one piece of it --- */

static int find_due(struct letting_go *letting, struct audit_due *ret_due, struct err *err)
{
	struct setup *setup = changer_setup(letting->changer);
	struct audit_age age = { .now_s = change_now_s() };
	int64_t count;

	if (setup->clock_shift_s > 0)
		age.now_s -= setup->clock_shift_s;
	setup_release(setup);
	age.before_s = age.now_s - letting->retention->keep_s;
	if (store_audit_anchor(letting->read, &letting->anchor, err) < 0 ||
	    store_audit_due(letting->read, &age, letting->anchor.seq, FILE_ROWS, ret_due, err) < 0)
		return -1;
	count = ret_due->to - letting->anchor.seq;
	if (count < WORTH_ROWS && ret_due->first_s > age.before_s - WAIT_S)
		ret_due->to = letting->anchor.seq;
	return 0;
}

static int let_go(struct letting_go *letting, struct err *err)
{
	struct audit_due due;
	int result;

	if (find_due(letting, &due, err) < 0)
		return -1;
	if (due.to == letting->anchor.seq)
		return 0;
	result = letting->retention->archive ? archive_rows(letting, due.to, err)
					     : verify_rows(letting, due.to, NULL, err);
	return result < 0 ? -1 : prune_rows(letting, err);
}

int change_audit_retain(struct changer *changer, const struct retention *retention,
			int64_t *ret_gone, struct err *err)
{
	AUTO(store) struct store *read = store_open(changer->path, STORE_READ, err);
	struct letting_go letting = { .changer = changer, .retention = retention, .read = read };
	struct audit_anchor before, after;

	/* A clock that was set just now has not been looked at yet. */
	if (!read || changer_watch_clock(changer, err) < 0 ||
	    store_audit_anchor(read, &before, err) < 0 || let_go(&letting, err) < 0 ||
	    store_audit_anchor(read, &after, err) < 0)
		return err_wrap(err, "cannot let old rows of the audit log go");
	*ret_gone = after.seq - before.seq;
	return 0;
}
