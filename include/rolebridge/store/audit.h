/*
 * What goes of the audit log's beginning (0012-audit.sql). Fails as the store does.
 */
#ifndef ROLEBRIDGE_STORE_AUDIT_H
#define ROLEBRIDGE_STORE_AUDIT_H

#include <rolebridge/audit/audit.h>
#include <rolebridge/store/store.h>

/* All zero as long as nothing went. */
int store_audit_anchor(struct store *store, struct audit_anchor *ret_anchor, struct err *err);

struct audit_age {
	int64_t before_s; /* older rows may go */
	int64_t now_s;	  /* a later time than this is none */
};
struct audit_due {
	int64_t to;	 /* rows up to this one may go; after_seq: none */
	int64_t first_s; /* the time of the first of them */
};
/*
 * Of the limit rows after after_seq: those before the first that is too young. A row from the future, which a clock that was
 * set wrong made, goes with those after it.
 */
int store_audit_due(struct store *store, const struct audit_age *age, int64_t after_seq,
		    int64_t limit, struct audit_due *ret_due, struct err *err);
/*
 * Moves the anchor to row to, and removes the rows from (the one behind the anchor) to that one. Who calls tells so
 * in the log, in the same transaction. A row that is missing is damage: the transaction is spoilt.
 */
int store_audit_prune(struct store *store, int64_t from, int64_t to, int64_t now_s,
		      struct err *err);

#endif
