/*
 * Distinguished names (RFC 4514), normalised so that equal names are equal
 * bytes: attribute types lower case (OIDs of RFC 4519 types become their short
 * names), values unescaped, prepared and folded as caseIgnoreMatch (text_fold),
 * re-escaped in one way, AVAs of a multi-valued RDN sorted, no optional
 * spaces. Hex strings (#04…) holding a BER string (UTF8String, PrintableString,
 * IA5String, OCTET STRING of valid UTF-8) are decoded; others stay as lower-case hex.
 * Limits: 8 KiB, 128 RDNs, 16 AVAs in an RDN.
 */
#ifndef ROLEBRIDGE_IDENTITY_DN_H
#define ROLEBRIDGE_IDENTITY_DN_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>

#define DN_MAX 8192

/*
 * Append the normal form to out. An ASCII name takes a single pass as a rule. Empty text is the empty DN and valid. -1 with ERR_INVALID and
 * the byte offset in the text on malformed input; out is then restored.
 */
int dn_normalize(const char *text, size_t size, struct strbuf *out, struct err *err);

/*
 * Fingerprints: keyed as fingerprint128, equal exactly when the normal forms are (but for chance),
 * and of another name space than fingerprint128 of the same text.
 *
 * The members of a group have few parents. `parents` keeps those met lately, so that only the first
 * RDN of the next name below one is normalised and hashed; NULL: keep none. One thread each.
 */
struct dn_parents;

struct dn_parents *dn_parents_create(void); /* NULL: out of memory */
void dn_parents_destroy(struct dn_parents *parents);

/* Fails as dn_normalize does. scratch is cleared and reused. */
int dn_fingerprint(struct dn_parents *parents, const char *text, size_t size,
		   struct strbuf *scratch, struct hash128 *ret_hash, struct err *err);
/* Of a name that is in normal form. */
struct hash128 dn_fingerprint_normal(const char *normal, size_t size);

/* Both in normal form: is `dn` equal to or below `base`? */
bool dn_is_within(const char *dn, const char *base);
/* Cheap guess for messages: does this text look like a DN ("type=…")? */
bool dn_looks_like(const char *text);

#endif
