/*
 * Second factors as pages and API ask for them: one call each, from what somebody typed to what was changed.
 * Throttling, the look at the code, its use and the audit of refusals are in here; WebAuthn is in webauthn.h.
 *
 * Each may take as long as a transaction takes, those with recovery codes as long as Argon2id, those that send as long
 * as the courier: from handlers that may wait alone.
 */
#ifndef ROLEBRIDGE_AUTH_FACTOR_H
#define ROLEBRIDGE_AUTH_FACTOR_H

#include <rolebridge/auth/recovery.h>
#include <rolebridge/auth/seal.h>
#include <rolebridge/auth/totp.h>
#include <rolebridge/change/factor.h>

struct courier;
struct hasher;
struct throttle;
struct tickets;

/* What they stand on; borrowed. */
struct factor_parts {
	struct changer *changer;
	struct seal *seal;
	struct tickets *tickets;
	struct hasher *hasher;
	struct throttle *throttle;
	struct courier *courier;
};

/* Who stands before us. */
struct factor_asker {
	const struct actor *actor; /* the person */
	int64_t user_id, session_id;
	const char *address;  /* of the browser, as text; "" */
	struct hash256 token; /* of the session from now on, when it changes (session_token_make) */
	int64_t now_s;
};

/*
 * All errors of change_factor_prove and change_factor_confirm, and
 *	ERR_DENIED "code-wrong", "code-tries", "no-code-sent"
 *	ERR_UNAVAILABLE "rate-limited" (*ret_wait_s says how long), "sealing-key-missing", "busy"
 * *ret_wait_s may be NULL; 0 where nothing is to be waited for.
 */

/* --- proving --- */
/* A code of any of their authenticator apps. store: any handle to read with. */
int factor_prove_totp(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct store *store, const char *code, struct arena *arena,
		      struct session *ret_session, int64_t *ret_wait_s, struct err *err);
/* A code that was sent by mail or SMS for this factor. */
int factor_prove_sent(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct store *store, const struct uuid *factor, const char *code,
		      struct arena *arena, struct session *ret_session, int64_t *ret_wait_s,
		      struct err *err);
/* A recovery code: one of ten, or an administrator's. */
int factor_prove_recovery(const struct factor_parts *parts, const struct factor_asker *asker,
			  struct store *store, const char *code, struct arena *arena,
			  struct session *ret_session, int64_t *ret_wait_s, struct err *err);
/*
 * Have a code sent, for proving or for confirming. *ret_until_s: it is good until. ERR_UNAVAILABLE "mail-unavailable",
 * "sms-unavailable": other methods may be there.
 */
int factor_send(const struct factor_parts *parts, const struct factor_asker *asker,
		struct store *store, const struct uuid *factor, int64_t *ret_until_s,
		int64_t *ret_wait_s, struct err *err);

/* --- enrolling --- */
/* Texts live in the arena, in clear: show them once, keep them nowhere. */
struct totp_enrolment {
	struct uuid uuid;
	const char *secret; /* base32, in groups of four */
	const char *uri;    /* otpauth: */
	const char *svg;    /* of that, as QR code */
	int64_t until_s;    /* to be confirmed until then */
};
/* issuer, account: what the app shows. */
int factor_enrol_totp(const struct factor_parts *parts, const struct factor_asker *asker,
		      const char *name, const char *issuer, const char *account,
		      struct arena *arena, struct totp_enrolment *ret_enrolment, struct err *err);
/* One that was begun in this session and waits, to be shown again. ERR_NOT_FOUND. */
int factor_pending_totp(const struct factor_parts *parts, const struct factor_asker *asker,
			struct store *store, const struct uuid *factor, const char *issuer,
			const char *account, struct arena *arena,
			struct totp_enrolment *ret_enrolment, struct err *err);
/*
 * EMAIL or SMS: an address ("a@b.example", "+49 170 1234567") that a code is sent to; factor_send sends another.
 * ERR_INVALID "invalid-request": not an address. Where sending failed, *ret_uuid is set all the same.
 */
int factor_enrol_address(const struct factor_parts *parts, const struct factor_asker *asker,
			 struct store *store, enum factor_method method, const char *name,
			 const char *address, struct uuid *ret_uuid, int64_t *ret_until_s,
			 int64_t *ret_wait_s, struct err *err);
/* The first code of one that was begun: TOTP, EMAIL, SMS. */
int factor_confirm(const struct factor_parts *parts, const struct factor_asker *asker,
		   struct store *store, const struct uuid *factor, const char *code,
		   struct arena *arena, struct session *ret_session, int64_t *ret_wait_s,
		   struct err *err);

/* --- recovery codes --- */
struct recovery_codes {
	char text[RECOVERY_PRINTED][RECOVERY_TEXT]; /* wipe after use */
};
/* Of somebody so many times in a while as throttle.attempts says, then "rate-limited". */
int factor_make_codes(const struct factor_parts *parts, const struct factor_asker *asker,
		      struct recovery_codes *ret_codes, int64_t *ret_wait_s, struct err *err);
/* An administrator's, for somebody else; lifetime_s 0: RECOVERY_DEFAULT_S. Shown once; wipe it after use. */
int factor_issue_code(const struct factor_parts *parts, const struct actor *actor,
		      struct store *store, const char *user, int64_t lifetime_s,
		      char ret_code[static RECOVERY_TEXT], struct uuid *ret_uuid,
		      int64_t *ret_until_s, struct err *err);

#endif
