/* The parts of what authenticators and browsers say, each looked at in a file of its own. */
#ifndef ROLEBRIDGE_AUTH_WEBAUTHN_PARTS_H
#define ROLEBRIDGE_AUTH_WEBAUTHN_PARTS_H

#include <rolebridge/auth/webauthn.h>

#define WEBAUTHN_DATA_MAX ((size_t)16 * 1024)
#define WEBAUTHN_CLIENT_MAX ((size_t)8 * 1024)
#define WEBAUTHN_SIGNATURE_MAX ((size_t)1024)
#define WEBAUTHN_SHA256 32

/* --- client data (webauthn_client.c; Web Authentication, 5.8.1) --- */

/*
 * Type, challenge, origin, and that nobody framed us. raw: the JSON text. The challenge's name and end are left in *ret_used.
 */
int webauthn_client_check(const struct webauthn_asking *asking, enum challenge_purpose purpose,
			  struct webauthn_bytes raw, struct webauthn_used *ret_used,
			  struct err *err);

/* --- authenticator data (webauthn_data.c; 6.1) --- */
enum webauthn_flag {
	WEBAUTHN_PRESENT = 0x01,
	WEBAUTHN_VERIFIED = 0x04,
	WEBAUTHN_BACKUP_ELIGIBLE = 0x08,
	WEBAUTHN_BACKED_UP = 0x10,
	WEBAUTHN_ATTESTED = 0x40,
	WEBAUTHN_EXTENDED = 0x80,
};

/* All borrowed from the bytes. */
struct webauthn_data {
	const unsigned char *site_hash; /* WEBAUTHN_SHA256 bytes */
	unsigned flags;
	uint32_t counter;
	/* With WEBAUTHN_ATTESTED: */
	const unsigned char *model; /* 16 bytes */
	struct webauthn_bytes id;
	struct webauthn_bytes cose; /* the public key as the authenticator has it */
};

int webauthn_data_read(struct webauthn_bytes raw, struct webauthn_data *ret_data, struct err *err);
/* Made for this site, and somebody was there. */
int webauthn_data_check(const struct webauthn_data *data, const struct webauthn_site *site,
			struct err *err);

/* --- attestation objects (webauthn_data.c; 6.5.4) --- */
enum webauthn_format { WEBAUTHN_NONE, WEBAUTHN_PACKED };

struct webauthn_statement {
	enum webauthn_format format;
	struct webauthn_bytes raw; /* the statement, CBOR */
	int64_t algorithm;	   /* of WEBAUTHN_PACKED */
	bool certified;		   /* signed by a certificate's key, not by its own */
};

/* *ret_data: the authenticator data's bytes, borrowed as all. */
int webauthn_attestation_read(struct webauthn_bytes raw, struct webauthn_statement *ret_statement,
			      struct webauthn_bytes *ret_data, struct err *err);

/* --- keys and signatures (webauthn_key.c) --- */

/* A public key: its algorithm's number of COSE, and the bare key as libfido2 has it. */
struct webauthn_key {
	int algorithm;
	const unsigned char *data;
	size_t size;
};

/* A COSE_Key (RFC 9053), of a kind we ask for and on its curve. Bytes are put into room. */
int webauthn_key_read(struct webauthn_bytes cose, unsigned char room[static WEBAUTHN_KEY_MAX],
		      struct webauthn_key *ret_key, struct err *err);
/* Our stored form. */
int webauthn_key_pack(const struct webauthn_key *key, struct arena *arena,
		      struct webauthn_bytes *ret_stored, struct err *err);
int webauthn_key_unpack(struct webauthn_bytes stored, struct webauthn_key *ret_key,
			struct err *err);

/* What was signed, and by what. */
struct webauthn_signed {
	const struct webauthn_site *site;
	struct webauthn_bytes data;		    /* authenticator data */
	unsigned char client_hash[WEBAUTHN_SHA256]; /* SHA-256 of the client data */
};
/* "webauthn-attestation": it does not hold. */
int webauthn_attestation_verify(const struct webauthn_signed *what,
				const struct webauthn_statement *statement,
				const struct webauthn_key *key, struct err *err);
int webauthn_signature_verify(const struct webauthn_signed *what, const struct webauthn_key *key,
			      struct webauthn_bytes signature, struct err *err);

#endif
