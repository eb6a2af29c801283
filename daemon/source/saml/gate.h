/*
 * The gate: hostile bytes in, a document whose shape is known out.
 *
 * Nothing but this parses XML from outside. What comes through has exactly the expected root, all that later
 * steps take for granted, at most one assertion, signatures only where they may be and only of an
 * allowed kind, and costs no more than its size. It says nothing about truth: not one signature has
 * been checked. Functions return 0, 1 (refused, *ret_refusal says why) or -1 (out of memory).
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_GATE_H
#define ROLEBRIDGE_SOURCE_SAML_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include <libxml/tree.h>

#include <rolebridge/model/saml.h>

#define GATE_MESSAGE_MAX ((size_t)256 * 1024)
#define GATE_ID_MAX 256
#define GATE_CIPHER_KEYS_MAX 4
#define GATE_SESSION_INDEXES_MAX 64

enum gate_kind {
	GATE_RESPONSE,
	GATE_ASSERTION, /* what was inside an EncryptedAssertion */
	GATE_LOGOUT_REQUEST,
	GATE_LOGOUT_RESPONSE,
	GATE_LOGOUT, /* a request or a response: gated.kind tells */
	GATE_METADATA, /* EntityDescriptor or EntitiesDescriptor; comments and instructions are allowed */
};

enum gate_cipher { GATE_CIPHER_NONE, GATE_CIPHER_GCM, GATE_CIPHER_CBC };

/* A document and the places in it that count. Everything but doc is borrowed from doc. */
struct gated {
	enum gate_kind kind;
	xmlDoc *doc;
	xmlNode *root;
	const char *id; /* of the root, registered; metadata: NULL when it has none */
	/* ds:Signature of the root, NULL: none. The root of GATE_ASSERTION is the assertion. */
	xmlNode *root_signature;
	xmlNode *
		assertion; /* of a Response, or the root of GATE_ASSERTION; NULL: encrypted or none */
	const char *assertion_id;
	xmlNode *assertion_signature;
	xmlNode *encrypted; /* EncryptedAssertion */
	xmlNode *encrypted_data;
	xmlNode *encrypted_keys[GATE_CIPHER_KEYS_MAX];
	size_t encrypted_key_count;
	enum gate_cipher cipher;
};

struct gate_rules {
	bool allow_sha1;
};

/*
 * Bytes as they came out of base64 (or of a file, for metadata; at most size bytes are the caller's concern).
 * *ret_gated is to be finished after 0 only.
 */
int gate_parse(enum gate_kind kind, const struct gate_rules *rules, const void *data, size_t size,
	       struct gated *ret_gated, struct saml_refusal *ret_refusal);
void gated_finish(struct gated *gated);

static inline void gated_auto(struct gated *gated)
{
	gated_finish(gated);
}

#endif
