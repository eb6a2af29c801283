/*
 * Old rows of the audit log go, and the log says so.
 */
#ifndef ROLEBRIDGE_CHANGE_RETENTION_H
#define ROLEBRIDGE_CHANGE_RETENTION_H

#include <rolebridge/change/changer.h>

struct retention {
	int64_t keep_s;	     /* rows younger than this never go */
	const char *archive; /* the folder that gets them first; NULL: none */
};

/*
 * A piece of it, some 10,000 rows at most; nothing where few are due and none by a day. Rows are verified before they go:
 * ERR_PROTOCOL "audit-broken". ERR_IO …: the archive cannot be written; no row went. Once at a time.
 * *ret_gone: how many went; more may be due unless it is 0.
 */
int change_audit_retain(struct changer *changer, const struct retention *retention,
			int64_t *ret_gone, struct err *err);

#endif
