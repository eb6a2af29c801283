/*
 * Sealed state that travels through the browser: a login that waits for its IdP, a logout that waits,
 * a hand-off to an application's host. Authenticated encryption (libsodium secretbox) under a key
 * of the daemon's state folder; each kind has a key of its own, so that one is never taken for another.
 * What may be used once is used up in the transaction that acts on it (store_used_add) or, for
 * hand-offs, in memory.
 */
#ifndef ROLEBRIDGE_AUTH_TICKET_H
#define ROLEBRIDGE_AUTH_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/strbuf.h>

struct tickets;

/* Key file: made with mode 0600 where it is missing; another size or owner is refused. */
struct tickets *tickets_create(const char *key_path, struct err *err);
void tickets_destroy(struct tickets *tickets);

/* A login that waits. Lives in a cookie named after the request's id. */
struct pending_login {
	const char *request_id; /* "_" and hex digits */
	const char *source;
	const char *return_url;	 /* absolute, checked before; "" : own start page */
	bool test;		 /* an administrator's test login … */
	int64_t test_session_id; /* … bound to their session */
	int64_t session_id; /* that this browser had when it set out; 0: none. The answer comes without its cookie */
	int64_t created_s, until_s;
};
/* base64url text, at most 3 KiB; ERR_TOO_LARGE otherwise. */
int ticket_seal_login(struct tickets *tickets, const struct pending_login *pending,
		      struct strbuf *out, struct err *err);
/* ERR_INVALID: not ours, changed, another kind. ERR_DENIED "expired". */
int ticket_open_login(struct tickets *tickets, const char *text, int64_t now_s, struct arena *arena,
		      struct pending_login *ret_pending, struct err *err);

/* A logout of ours that waits for the IdP's answer. */
struct pending_logout {
	const char *request_id, *source, *return_url;
	int64_t until_s;
};
int ticket_seal_logout(struct tickets *tickets, const struct pending_logout *pending,
		       struct strbuf *out, struct err *err);
int ticket_open_logout(struct tickets *tickets, const char *text, int64_t now_s,
		       struct arena *arena, struct pending_logout *ret_pending, struct err *err);

/*
 * Hand-off: a code for one application host, good for 30 s and once. It carries the session and
 * is bound to the browser by nonce, a value in a cookie of that host (the pending request).
 */
struct handoff {
	int64_t session_id;
	const char *host;
	const char *return_url;
	const char *nonce_hash; /* hex */
	int64_t until_s;
};
int ticket_seal_handoff(struct tickets *tickets, const struct handoff *handoff, struct strbuf *out,
			struct err *err);
/* Uses it up: ERR_CONFLICT "used" the second time. */
int ticket_open_handoff(struct tickets *tickets, const char *text, int64_t now_s,
			struct arena *arena, struct handoff *ret_handoff, struct err *err);

/*
 * The link of an invite: nothing of it is stored anywhere. It holds which invite and which sending of it, and a keyed hash
 * of both, so that only who has the key can make one.
 */
#define TICKET_INVITE_SIZE 60 /* with NUL */
void ticket_invite(struct tickets *tickets, const struct uuid *invite, int64_t generation,
		   char ret_text[static TICKET_INVITE_SIZE]);
/* false: not ours. */
bool ticket_invite_open(struct tickets *tickets, const char *text, struct uuid *ret_invite,
			int64_t *ret_generation);
/* The same for a link that root makes for an administrator. */
void ticket_login_link(struct tickets *tickets, const struct uuid *link,
		       char ret_text[static TICKET_INVITE_SIZE]);
bool ticket_login_link_open(struct tickets *tickets, const char *text, struct uuid *ret_link);
/* The same for the link of a mail that resets a password (change/password.h). */
void ticket_reset(struct tickets *tickets, const struct uuid *reset, int64_t generation,
		  char ret_text[static TICKET_INVITE_SIZE]);
bool ticket_reset_open(struct tickets *tickets, const char *text, struct uuid *ret_reset,
		       int64_t *ret_generation);
/* The same in a cookie, for a browser that is remembered (change/device.h). */
void ticket_device(struct tickets *tickets, const struct uuid *device,
		   char ret_text[static TICKET_INVITE_SIZE]);
bool ticket_device_open(struct tickets *tickets, const char *text, struct uuid *ret_device);

/*
 * A challenge for an authenticator to sign: for one purpose, one session and a time. Nothing of it is stored; its text is
 * its name, by which the transaction that acts on the answer uses it up.
 */
#define TICKET_CHALLENGE_TEXT 65 /* base64url of 48 bytes, with NUL */
enum challenge_purpose { CHALLENGE_ENROL = 1, CHALLENGE_PROVE = 2 };
void ticket_challenge(struct tickets *tickets, enum challenge_purpose purpose, int64_t session_id,
		      int64_t until_s, char ret_text[static TICKET_CHALLENGE_TEXT]);
/* ERR_INVALID: not ours, for something or somebody else. ERR_DENIED "expired". */
int ticket_challenge_open(struct tickets *tickets, const char *text, enum challenge_purpose purpose,
			  int64_t session_id, int64_t now_s, int64_t *ret_until_s, struct err *err);

/* What codes that are sent are made of (auth/code.h). Wipe it after use. */
struct hash256;
void ticket_code_hash(struct tickets *tickets, const void *data, size_t size,
		      struct hash256 *ret_hash);

/* CSRF token of a session for forms: keyed hash, compared in constant time. */
void ticket_csrf(struct tickets *tickets, int64_t session_id, char ret_text[static 44]);
bool ticket_csrf_check(struct tickets *tickets, int64_t session_id, const char *text);

#endif
