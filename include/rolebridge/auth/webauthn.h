/*
 * Security keys and passkeys (W3C Web Authentication, level 2), as a second factor.
 *
 *	webauthn_site_make            whose credentials these are, from public_url
 *	webauthn_options_create/_get  what the browser is asked, as JSON, with a challenge of ours
 *	webauthn_register/_prove      what it answered, looked at; no store, no network
 *
 * A challenge is good for one session, for one purpose and for some minutes; nothing of it is stored before its answer
 * comes. That it is used once is for the transaction that acts on the answer: it uses up the challenge's name until
 * its end (store_used_add). There, too, the counter and the credential are looked at again.
 *
 * What is refused comes as ERR_DENIED with a stable reason, for the audit log as well as for programs:
 *
 *	webauthn-malformed           not what a browser sends
 *	webauthn-type                the answer to another kind of question
 *	webauthn-challenge           not ours, not this session's, or too old
 *	webauthn-origin              made at another site, or within another site's frame
 *	webauthn-rp                  made for another relying party
 *	webauthn-not-present         nobody touched the key
 *	webauthn-algorithm           a key of a kind that was not asked for, or no good one
 *	webauthn-attestation         an attestation that does not hold, or of a format that was not asked for
 *	webauthn-credential          a credential of somebody else, or of nobody
 *	webauthn-signature           the signature is not good
 *	webauthn-counter             the counter did not grow: the key may have been copied
 *
 * None of them may tell a person at the sign-in page more than that it did not work.
 */
#ifndef ROLEBRIDGE_AUTH_WEBAUTHN_H
#define ROLEBRIDGE_AUTH_WEBAUTHN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/auth/ticket.h>
#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/strbuf.h>

/* Section 4, "Credential ID". */
#define WEBAUTHN_ID_MAX 1023
/* Our form of a public key: a version, the algorithm and the bare key. The longest is of RS256. */
#define WEBAUTHN_KEY_MAX 272
/* An answer as it comes: base64url of each part, and what surrounds them. */
#define WEBAUTHN_BODY_MAX ((size_t)40 * 1024)
#define WEBAUTHN_CREDENTIALS_MAX 64 /* that one person may be asked for */

/* Whose credentials these are. Borrowed from the arena that it was made in. */
struct webauthn_site {
	const char *origin; /* "https://login.example.com" */
	const char *id;	    /* "login.example.com": the relying party's id */
	const char *name;   /* what people read; the id where there is none */
};
/*
 * ERR_UNAVAILABLE "webauthn-unavailable": browsers give no credentials to it: an address instead of a name,
 * or http other than to localhost.
 */
int webauthn_site_make(const char *public_url, struct arena *arena, struct webauthn_site *ret_site,
		       struct err *err);

/* Bytes that somebody else keeps. */
struct webauthn_bytes {
	const unsigned char *data;
	size_t size;
};

/* Who is asked, and when. */
struct webauthn_asking {
	const struct webauthn_site *site;
	struct tickets *tickets;
	int64_t session_id; /* the challenge is bound to it */
	int64_t now_s;
};

/* For whom a credential is made. */
struct webauthn_person {
	struct uuid uuid; /* the user handle: says nothing of the person */
	const char *username, *display_name;
};

/*
 * PublicKeyCredentialCreationOptionsJSON and PublicKeyCredentialRequestOptionsJSON (level 3, 5.1.8 and 5.1.9), appended.
 * known: credential ids of the person, kept from being enrolled twice, or asked for. ERR_NOT_FOUND: nothing to ask for.
 */
int webauthn_options_create(const struct webauthn_asking *asking,
			    const struct webauthn_person *person,
			    const struct webauthn_bytes *known, size_t count, struct strbuf *out,
			    struct err *err);
int webauthn_options_get(const struct webauthn_asking *asking, const struct webauthn_bytes *known,
			 size_t count, struct strbuf *out, struct err *err);

/* An answer of the browser: each is base64url without padding, as it came. NULL: not given. */
struct webauthn_answer {
	const char *id;		 /* the credential's */
	const char *client_data; /* clientDataJSON */
	/* registration */
	const char *attestation; /* attestationObject */
	/* assertion */
	const char *authenticator_data, *signature;
	const char *user_handle; /* may be missing */
};

/* The challenge that was answered: to be used up with kind "challenge". */
struct webauthn_used {
	char name[TICKET_CHALLENGE_TEXT];
	int64_t until_s;
};

/* A credential to be stored: id and key are the arena's. */
struct webauthn_credential {
	struct webauthn_bytes id;  /* unique among all people's */
	struct webauthn_bytes key; /* opaque; public */
	uint32_t counter;
	bool user_verified; /* by PIN, finger or face, when it was made */
	bool backed_up;	    /* may live on several devices */
	struct uuid model;  /* AAGUID; all zero where it is not told */
	struct webauthn_used used;
};

int webauthn_register(const struct webauthn_asking *asking, const struct webauthn_answer *answer,
		      struct arena *arena, struct webauthn_credential *ret_credential,
		      struct err *err);

/* The credential id of an answer, to look its row up by; the arena's. */
int webauthn_answer_id(const struct webauthn_answer *answer, struct arena *arena,
		       struct webauthn_bytes *ret_id, struct err *err);

struct webauthn_proof {
	uint32_t counter; /* the new one */
	bool user_verified;
	struct webauthn_used used;
};

/*
 * stored: as it stands in the store, of the person with this uuid. A counter that stands still at 0 is one of a key
 * that does not count.
 */
int webauthn_prove(const struct webauthn_asking *asking, const struct webauthn_answer *answer,
		   const struct uuid *user, const struct webauthn_credential *stored,
		   struct arena *arena, struct webauthn_proof *ret_proof, struct err *err);

#endif
