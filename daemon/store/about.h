/*
 * Whom a row of the audit log is about besides its object (0012-audit.sql): people it names as user, owner or
 * to, and the one its object is a part of. Known to SQL, which fills audit_about, as
 *
 *	user_of(text)				the UUID of 'user:UUID' and 'user:UUID/…', else NULL
 *	user_mention(detail, object, n)		the nth of them, else NULL
 */
#ifndef STORE_ABOUT_H
#define STORE_ABOUT_H

#include <sqlite3.h>
#include <stdbool.h>

#include <rolebridge/base/err.h>

#define OBJECT_USER "user:"

struct store;

/* The functions of a new connection. */
int about_register(struct store *store, struct err *err);
/* "user:UUID", or with a slash and more behind it. */
bool about_user_of(const char *text, unsigned char ret_uuid[16]);
/* Does user_mention tell the UUID at any place? */
bool about_mentions(const char *detail, const char *object, const unsigned char uuid[16]);

#endif
