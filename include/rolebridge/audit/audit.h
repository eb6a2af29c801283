/*
 * Audit rows and their hash chain. Each row's hash is BLAKE2b-256 over the
 * previous row's hash and the row's canonical bytes (message.h encoding of all
 * its fields, with BLAKE2b-256 of the detail in place of the detail), so that a row cannot be changed,
 * removed or put in between without breaking every later hash. Rows are sealed one after the other; the
 * detail, which is most of a row, may be hashed before, elsewhere. audit computes and verifies; the
 * store keeps.
 */
#ifndef ROLEBRIDGE_AUDIT_AUDIT_H
#define ROLEBRIDGE_AUDIT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>

struct audit_row {
	int64_t seq; /* from 1, without gaps */
	int64_t at_s;
	const char *actor; /* "unix:root", "sync:corp", "timer", "user:UUID" */
	const char *
		action; /* "user.create", "grant.add", "user.disable", "plan.apply", "login.refused" … */
	const char *object;  /* "user:UUID", "plan:ID", "rule:ID", "config" */
	const char *request; /* plan, run or request id; "" */
	const char *detail;  /* compact JSON: before, after, why */
	struct hash256 hash; /* filled by audit_seal */
	/* digest256 of the detail, when who writes the row knows it; else NULL. Verifying never asks. */
	const struct hash256 *detail_digest;
};

/* row->hash = H(previous || canonical(row)). Fails only without memory. A NULL text counts as "". */
int audit_seal(struct audit_row *row, const struct hash256 *previous, struct err *err);

/* Walks rows in order of seq. next: 1 row, 0 end, -1 error. */
struct audit_iterator {
	int (*next)(void *context, struct audit_row *ret_row, struct err *err);
	void *context;
};

/* Rows up to seq went; the next one follows hash. All zero: none did. */
struct audit_anchor {
	int64_t seq;
	struct hash256 hash;
	int64_t at_s;	 /* of row seq; not verified */
	int64_t moved_s; /* not verified */
};

/* Of the head that was asked for. */
enum audit_head_state {
	AUDIT_HEAD_NOT_ASKED,
	AUDIT_HEAD_MET,
	AUDIT_HEAD_GONE,    /* a row before the first that is kept */
	AUDIT_HEAD_UNKNOWN, /* not met, and it may be of a row that went: its number was not told */
	AUDIT_HEAD_MISSING, /* cut off or replaced: not intact */
};
const char *audit_head_state_name(enum audit_head_state state); /* "not-asked" … */

struct audit_verdict {
	bool intact;
	int64_t rows;	     /* verified */
	int64_t last_seq;    /* of the last good row; the anchor's when there is none */
	int64_t broken_seq;  /* first row that does not fit; 0 when intact */
	struct hash256 head; /* of the last good row */
	enum audit_head_state head_state;
	char problem[200]; /* for people; "" when intact and the head was met */
};

struct audit_check {
	struct audit_anchor anchor; /* where the rows begin */
	const char *
		head; /* "HASH" or "SEQ:HASH", noted earlier: must be the anchor's or a row's; NULL */
	/* Of an archive, whose rows tell of pruning that happened to them later: the anchor is not held against them. */
	bool is_archive;
};
/*
 * Rows audit.prune must follow each other, and the last one must tell the anchor.
 * Returns 0 with the verdict also for a broken chain; -1 when rows cannot be read, or head is none (ERR_INVALID).
 */
int audit_verify(const struct audit_iterator *rows, const struct audit_check *check,
		 struct audit_verdict *ret_verdict, struct err *err);
/* "SEQ:HASH", or "HASH" with *ret_seq -1. ERR_INVALID. */
int audit_head_parse(const char *text, int64_t *ret_seq, struct hash256 *ret_hash, struct err *err);

/* --- rows that go --- */
#define AUDIT_ACTION_PRUNE "audit.prune"
/* What such a row tells: rows from … to went; before and hash are those of row from - 1 and of row to. */
struct audit_pruning {
	int64_t from, to;
	struct hash256 before, hash;
};
/* Its detail. */
void audit_pruning_write(const struct audit_pruning *pruning, struct strbuf *out);
bool audit_pruning_parse(const char *detail, struct audit_pruning *ret_pruning);

enum audit_format { AUDIT_JSON_LINES, AUDIT_CSV };
/*
 * One row as a line, newline included; CSV cells are guarded against formula injection: an apostrophe
 * stands before a text that would begin one, so verify from the store or from JSON. In JSON, detail
 * is an object or a list as it was written, or a text when it is neither.
 */
void audit_format_row(const struct audit_row *row, enum audit_format format, struct strbuf *out);
const char *audit_csv_header(void);

#endif
