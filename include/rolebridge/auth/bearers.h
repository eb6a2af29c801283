/*
 * Tokens of the API in memory: who stands behind "Authorization: Bearer …". The store is the truth at
 * start-up; afterwards change/ tells of every token before its commit. The text is 256 random bits behind
 * a prefix by which scanners for leaked secrets know it; kept and compared is its hash. Safe from any thread.
 */
#ifndef ROLEBRIDGE_AUTH_BEARERS_H
#define ROLEBRIDGE_AUTH_BEARERS_H

#include <rolebridge/auth/sessions.h>

#define BEARER_PREFIX "rolebridge_"
#define BEARER_TEXT (sizeof(BEARER_PREFIX) + 43) /* with NUL */

/* A fresh token for whoever asked, and its hash for everybody else. Wipe the text after use. */
void bearer_make(char ret_text[static BEARER_TEXT], struct hash256 *ret_hash);

struct bearers;

/* Loads all tokens; watches the changer, before other threads use it. Borrows both, and is destroyed before them. */
struct bearers *bearers_create(struct changer *changer, struct sessions *sessions, struct err *err);
void bearers_destroy(struct bearers *bearers);

struct bearer_entry;
/* Texts live until bearer_view_release. */
struct bearer_view {
	struct bearer_entry *entry;
	const struct principal *principal; /* whose; NULL: a service's */
	int64_t token_id, expires_s;
	struct uuid uuid;
	const char *name;
	const char *service;	  /* "": a person's */
	const char *organization; /* of a service */
	const char *application;  /* "": no matter whose resources */
	const char *const *scope; /* NULL: all that the person may */
	size_t scope_count;
};

/*
 * Counts as being used. ERR_NOT_FOUND: unknown, revoked, expired, its person may not sign in; these look alike.
 * ERR_UNAVAILABLE: the person must be read anew, and the store does not answer.
 */
int bearers_find(struct bearers *bearers, const char *text, int64_t now_s,
		 struct bearer_view *ret_view, struct err *err);
void bearer_view_release(struct bearer_view *view);

/*
 * Timer, every few seconds; works once in some minutes: writes when tokens were used, drops those that ended, calls
 * change_tokens_prune.
 */
int bearers_tick(struct bearers *bearers, int64_t now_s, struct err *err);
size_t bearers_count(struct bearers *bearers);

#endif
