/*
 * Signatures and decryption: xmlsec1 behind its own allow-lists, with keys lent for each call. The only
 * question asked is "did one of these keys sign exactly this element"; nothing in the document
 * can bring a key, an algorithm or another reference.
 *
 * Thread-safe after verify_prepare, which is called once per process, after lasso_init where Lasso is used.
 * Functions with a refusal return 0, 1 (refused) or -1 (out of memory).
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_VERIFY_H
#define ROLEBRIDGE_SOURCE_SAML_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

#include "encoding.h"
#include "gate.h"

#define VERIFY_KEYS_MAX 8
#define VERIFY_RSA_BITS_MIN 2048

/* libxml2 and xmlsec1, whose error reports (an attacker's text) go nowhere. */
int verify_prepare(struct err *err);

/* One key, made once, only lent. */
struct verify_key;

/* DER: certificate or SubjectPublicKeyInfo; RSA of at least VERIFY_RSA_BITS_MIN bits, or a NIST curve. */
struct verify_key *verify_key_create(const void *der, size_t size, struct err *err);
/* PEM private key without passphrase, RSA. */
struct verify_key *verify_private_key_create(const void *pem, size_t size, struct err *err);
void verify_key_destroy(struct verify_key *key);

/*
 * The enveloped signature of element, whose ID is id, both as gate_parse found them in doc. Reasons:
 * signature-invalid, signature-algorithm. What is larger than a usual login must show a valid signature of
 * its SignedInfo before the element is digested, so that nobody without a key can make that costly.
 */
int verify_signature(xmlDoc *doc, xmlNode *element, const char *id, xmlNode *signature,
		     const struct verify_key *const *keys, size_t count, bool allow_sha1,
		     struct saml_refusal *ret_refusal);

/* A signature beside its text: the redirect binding. algorithm: URI. Same reasons. */
int verify_detached(struct bytes_view text, const char *algorithm, struct bytes_view signature,
		    const struct verify_key *const *keys, size_t count, bool allow_sha1,
		    struct saml_refusal *ret_refusal);

/*
 * The bytes inside gated->encrypted, in the arena, made to stand alone: namespaces in scope there are declared
 * on the element. Reason: decryption-failed, whatever went wrong (one word for all, so that nobody
 * can ask questions with it). They are hostile as any: gate_parse(GATE_ASSERTION) comes next.
 */
int verify_decrypt(const struct gated *gated, const struct verify_key *const *keys, size_t count,
		   struct arena *arena, struct bytes_view *ret_xml,
		   struct saml_refusal *ret_refusal);

#endif
