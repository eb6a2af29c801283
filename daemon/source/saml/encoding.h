/*
 * Encodings of the bindings: strict base64, bounded inflate, the query of a redirect. Pure. Bytes in,
 * bytes out; whatever is not exactly right is refused (1, with reason); -1: out of memory.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_ENCODING_H
#define ROLEBRIDGE_SOURCE_SAML_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/model/saml.h>

struct bytes_view {
	const char *data;
	size_t size;
};

/*
 * RFC 4648 section 4 with padding; line breaks, spaces and tabs are skipped. At most max bytes come out, in
 * the arena, with a NUL behind them. Reasons: base64-malformed, message-too-large, message-empty.
 */
int base64_decode(const char *text, size_t size, size_t max, struct arena *arena,
		  struct bytes_view *ret_bytes, struct saml_refusal *ret_refusal);
/* The same without anything to skip, into size / 4 * 3 bytes of the caller's; false: another text than that. */
bool base64_decode_plain(const char *text, size_t size, unsigned char *out, size_t *ret_size);
/* Percent-decoded into the arena; NUL, malformed escapes and invalid UTF-8 are refused: query-malformed. */
int percent_decode(struct bytes_view text, struct arena *arena, const char **ret_text,
		   struct saml_refusal *ret_refusal);
/* Raw deflate (RFC 1951), whole and nothing behind it. Reasons: deflate-malformed, message-too-large. */
int inflate_bounded(struct bytes_view compressed, size_t max, struct arena *arena,
		    struct bytes_view *ret_bytes, struct saml_refusal *ret_refusal);

/* A query by its canonical names, each at most once, values as received, still percent-encoded. */
struct redirect_query {
	bool is_request; /* SAMLRequest, else SAMLResponse */
	struct bytes_view message, relay_state, sig_alg, signature;
	bool has_relay_state;
	struct bytes_view signed_text; /* what the signature is over, made of the raw values */
};

/* Reasons: query-malformed, query-duplicate, query-unknown-parameter, signature-missing. */
int redirect_query_parse(const char *query, size_t size, struct arena *arena,
			 struct redirect_query *ret_query, struct saml_refusal *ret_refusal);

#endif
