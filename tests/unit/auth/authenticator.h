/*
 * An authenticator and the browser before it, in a few functions: keys of OpenSSL, bytes put together by hand, so that what
 * the daemon reads was written by nobody who knows how it reads. Every part can be spoilt.
 */
#ifndef TESTS_AUTHENTICATOR_H
#define TESTS_AUTHENTICATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/auth/webauthn.h>
#include <rolebridge/base/util.h>

struct authenticator {
	int algorithm; /* -7, -8, -257 */
	void *key;     /* EVP_PKEY */
	unsigned char id[64];
	size_t id_size;
	uint32_t counter;
};

void authenticator_init(struct authenticator *authenticator, int algorithm);
void authenticator_finish(struct authenticator *authenticator);

#define SAY_NO_UP 0x01 /* nobody there */
#define SAY_UV 0x02
#define SAY_EXTENSIONS 0x04
#define SAY_LEFTOVER 0x08   /* a byte too many behind the authenticator data */
#define SAY_PACKED 0x10	    /* attested by its own key */
#define SAY_BAD_SIGN 0x20   /* one bit of the signature */
#define SAY_LATE_EDIT 0x40  /* the client data is changed after it was signed */
#define SAY_BACKED_UP 0x80  /* without being eligible */
#define SAY_CERTIFIED 0x100 /* packed, by a certificate of a key of its own */

/* What is said; NULL: what is right. */
struct saying {
	const char *type, *challenge, *origin, *rp_id;
	const char *more;	   /* members of the client data, such as ",\"crossOrigin\":true" */
	const char *client;	   /* the client data as a whole */
	const char *format;	   /* of the statement */
	const char *handle;	   /* user handle, raw text */
	const unsigned char *cose; /* instead of its own */
	size_t cose_size;
	unsigned flags;
	int statement_algorithm; /* 0: the key's */
};

/* An answer: texts in the arena. origin and rp_id of saying are filled in from the site when NULL. */
void authenticator_create(struct authenticator *authenticator, const struct webauthn_site *site,
			  const struct saying *saying, struct arena *arena,
			  struct webauthn_answer *ret_answer);
void authenticator_get(struct authenticator *authenticator, const struct webauthn_site *site,
		       const struct saying *saying, struct arena *arena,
		       struct webauthn_answer *ret_answer);

/* The value of "challenge" in options. */
const char *challenge_of(const char *options, struct arena *arena);

#endif
