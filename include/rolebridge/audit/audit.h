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

struct audit_verdict {
	bool intact;
	int64_t rows;	     /* verified */
	int64_t broken_seq;  /* first row that does not fit; 0 when intact */
	struct hash256 head; /* of the last good row */
	char problem[160];   /* for people; "" when intact */
};

/*
 * Verify from `start_hash` (all zero for the first row ever). head_hex, when
 * not NULL, must be start_hash or the hash of some row met on the way (a head noted earlier); else not intact.
 * Returns 0 with the verdict also for a broken chain; -1 when rows cannot be read, or head_hex is no hash.
 */
int audit_verify(const struct audit_iterator *rows, const struct hash256 *start_hash,
		 const char *head_hex, struct audit_verdict *ret_verdict, struct err *err);

enum audit_format { AUDIT_JSON_LINES, AUDIT_CSV };
/*
 * One row as a line, newline included; CSV cells are guarded against formula injection: an apostrophe
 * stands before a text that would begin one, so verify from the store or from JSON. In JSON, detail
 * is an object as it was written, or a text when it is not JSON.
 */
void audit_format_row(const struct audit_row *row, enum audit_format format, struct strbuf *out);
const char *audit_csv_header(void);

#endif
