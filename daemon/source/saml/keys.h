/*
 * Our own keys. Read from their files before the worker locks itself up; the
 * only place where the private key exists, and it never leaves it.
 */
#ifndef SOURCE_SAML_KEYS_H
#define SOURCE_SAML_KEYS_H

#include <rolebridge/source/saml.h>

#include "encoding.h"
#include "verify.h"

struct keys;

/* ERR_INVALID: a file cannot be used, or key and certificate do not belong together. */
struct keys *keys_load(const struct saml_settings *settings, struct err *err);
void keys_destroy(struct keys *keys);
/*
 * What the files that would be read look like now, by stat(2): another text once another file stands in the
 * place of one. Read none of them: this is for the core.
 */
void keys_print_files(const struct saml_settings *settings, struct strbuf *out);

/* Certificates in base64 without line breaks, the one in use first. */
size_t keys_signing_certificates(const struct keys *keys, const char *const **ret_certificates);
size_t keys_encryption_certificates(const struct keys *keys, const char *const **ret_certificates);
/* What may decrypt, the key in use first. */
size_t keys_decryption(const struct keys *keys, const struct verify_key *const **ret_keys);
/* The key in use as PEM, for the second verifier; lives as long as keys. */
const char *keys_decryption_pem(const struct keys *keys, size_t index);

/* RSA-SHA256 over size bytes, base64, in the arena. NULL: failed. */
const char *keys_sign(const struct keys *keys, const void *data, size_t size, struct arena *arena);
/*
 * Sign the root element, which has the attribute ID, enveloped: exclusive C14N, RSA-SHA256, our
 * certificate in KeyInfo, placed behind the first child element (Issuer). NULL: failed.
 */
const char *keys_sign_document(const struct keys *keys, const char *xml, size_t size,
			       struct arena *arena);

/* One signature, its verification, one decryption: everything they need is loaded after it. 0, or -1: it failed. */
int keys_try(const struct keys *keys, struct arena *arena);

static inline void keys_auto(struct keys **keys)
{
	keys_destroy(*keys);
}

#endif
