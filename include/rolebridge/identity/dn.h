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
 * Append the normal form to out. A plain ASCII name without escapes takes a
 * single pass. Empty text is the empty DN and valid. -1 with ERR_INVALID and
 * the byte offset in the text on malformed input; out is then restored.
 */
int dn_normalize(const char *text, size_t size, struct strbuf *out, struct err *err);
/* fingerprint128 of the normal form, without keeping it. scratch is cleared and reused. */
int dn_fingerprint(const char *text, size_t size, struct strbuf *scratch, struct hash128 *ret_hash,
		   struct err *err);
/* Both in normal form: is `dn` equal to or below `base`? */
bool dn_is_within(const char *dn, const char *base);
/* Cheap guess for messages: does this text look like a DN ("type=…")? */
bool dn_looks_like(const char *text);

#endif
