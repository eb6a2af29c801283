/*
 * What RFC 4533 puts into controls and intermediate messages, taken apart: bytes of a directory, any
 * length, any content. Strict: what is not exactly of the RFC's form is refused. Texts are borrowed.
 */
#ifndef SOURCE_LDAP_SYNC_MESSAGE_H
#define SOURCE_LDAP_SYNC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include <lber.h>

#include <rolebridge/base/strbuf.h>

#define SYNC_UUID_SIZE 16
/* Longer than any server makes them; what is longer is refused. */
#define SYNC_COOKIE_MAX (64u * 1024)

struct sync_cookie {
	bool given;
	struct berval value;
};

enum sync_state_kind { SYNC_PRESENT, SYNC_ADD, SYNC_MODIFY, SYNC_DELETE };

/* With every entry (2.3). */
struct sync_state {
	enum sync_state_kind kind;
	const unsigned char *uuid; /* SYNC_UUID_SIZE bytes */
	struct sync_cookie cookie;
};
int sync_state_parse(const struct berval *value, struct sync_state *ret_state);

/* With the end of a search (2.4). */
struct sync_done {
	struct sync_cookie cookie;
	bool deletes; /* the refresh had a delete phase and no present phase */
};
int sync_done_parse(const struct berval *value, struct sync_done *ret_done);

/* Between entries (2.5). */
enum sync_info_kind { SYNC_NEW_COOKIE, SYNC_REFRESH_DELETE, SYNC_REFRESH_PRESENT, SYNC_ID_SET };

struct sync_info {
	enum sync_info_kind kind;
	struct sync_cookie cookie;
	bool refresh_done; /* of the two phases */
	bool deletes;	   /* of a set: these are gone; else these are present */
	const unsigned char *at, *end;
	size_t count; /* of all UUIDs in the set */
};
int sync_info_parse(const struct berval *value, struct sync_info *ret_info);
/* The next UUID of the set; NULL at its end. */
const unsigned char *sync_info_next(struct sync_info *info);

/* The value of the request's control (2.2). cookie NULL: everything. */
void sync_request_encode(const struct berval *cookie, struct strbuf *out);

#endif
