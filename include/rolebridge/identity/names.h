/* E-mail addresses and user names, normalised. */
#ifndef ROLEBRIDGE_IDENTITY_NAMES_H
#define ROLEBRIDGE_IDENTITY_NAMES_H

#include <stdbool.h>

#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

/*
 * local@domain: surrounding space dropped, whole address case-folded (addresses are unique caseless), NFC,
 * at most 254 bytes (RFC 5321 4.5.3.1), exactly one @ outside quotes, no control or space,
 * domain of letters-digits-hyphens labels (U-labels allowed, RFC 6531). Quoted local parts are refused.
 * The local part is a dot-atom (RFC 5322 3.2.3). Invisible characters (zero width, bidi) are refused.
 */
int email_normalize(const char *text, struct strbuf *out, struct err *err);
/* Points at the domain inside a normalised address; "" when there is none. */
const char *email_domain(const char *normalized);

/*
 * User names: case-folded NFKC, 1 to 128 bytes, no control, space, ',', ':', '/', '"', '\', '<', '>' ;
 * first character a letter, digit or '_'. What is unsafe is refused, never rewritten.
 */
int username_normalize(const char *text, struct strbuf *out, struct err *err);

/*
 * Display names: as the source spells them, without control characters, spaces collapsed
 * and none at the ends. ERR_INVALID when nothing is left.
 */
int display_name_normalize(const char *text, struct strbuf *out, struct err *err);

/* Slugs for profiles, roles, personas, rules, sources: [a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])? */
bool slug_is_valid(const char *text);
/* Names of sources, which also stand in `attr;x-SOURCE` and `SOURCE:group`: [a-z0-9]([a-z0-9-]{0,30}[a-z0-9])? */
bool source_name_is_valid(const char *text);
/* Attribute names as rules may write them (RFC 4512): a letter, then letters, digits, '-' and '_'; or an OID. At most 128 bytes. */
bool attribute_name_is_valid(const char *text);

#endif
