/*
 * SAML messages after they were judged: plain data that travels from the
 * source to whoever answers the browser. Texts are UTF-8 without NUL; who made
 * the record owns the memory (an arena). Times are seconds since 1970, UTC.
 */
#ifndef ROLEBRIDGE_MODEL_SAML_H
#define ROLEBRIDGE_MODEL_SAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum saml_binding { SAML_REDIRECT, SAML_POST };

/* As the browser sent it; the bytes are not looked at before the worker does. */
struct saml_message {
	enum saml_binding binding;
	/* SAML_POST: the field SAMLResponse or SAMLRequest, percent-decoded, still base64. */
	const char *encoded;
	size_t encoded_size;
	/* SAML_REDIRECT: the raw query, without '?': what was signed is what is processed. */
	const char *query;
	size_t query_size;
};

/* Why a message was refused. reason: stable word for audit log and metrics; detail: for administrators. */
struct saml_refusal {
	char reason[48];
	char detail[512];
};

/* One line of a test login. */
struct saml_check {
	const char *name; /* "destination", "audience" … */
	bool passed;
	bool skipped; /* an earlier one failed, or not configured */
	const char *detail;
};

/* As received; name: as rules call it, "" when nothing maps it. */
struct saml_attribute {
	const char *received, *friendly, *name;
	const char *const *values;
	size_t count;
};

/* What a verified response says. Everything comes from the verified element. */
struct saml_assertion {
	const char *response_id, *assertion_id;
	const char *in_response_to; /* one of the requests that were told; "": unsolicited */
	const char *issuer;
	const char *name_id, *name_id_format; /* "" where there is none */
	const char *session_index;	      /* "" */
	int64_t authn_instant_s;
	int64_t session_until_s; /* SessionNotOnOrAfter; 0: none */
	int64_t replay_until_s;	 /* the assertion is void after this, skew included */
	const char *authn_context;
	/* The IdP proved a second factor, at this time; 0: no. */
	int64_t second_factor_s;
	bool second_factor_asked; /* it was asked to prove one, whether or not it did */
	const void *record;	  /* identity record (identity/record.h) */
	size_t record_size;
	/* For test logins only. */
	const struct saml_attribute *attributes;
	size_t attribute_count;
	const struct saml_check *checks;
	size_t check_count;
};

/* A message to send: by redirect (url is everything), or by a form that posts itself. */
struct saml_outgoing {
	enum saml_binding binding;
	const char *url; /* SAML_REDIRECT: with query and signature; SAML_POST: the form's action */
	const char *field; /* SAML_POST: "SAMLRequest" or "SAMLResponse"; else "" */
	const char *value; /* SAML_POST: base64 */
	const char *relay_state;
};

/* A verified logout message. */
struct saml_logout {
	bool is_request;	    /* else a response */
	const char *id;		    /* of a request: for the answer */
	const char *in_response_to; /* of a response */
	bool success;		    /* of a response: top-level status */
	const char *name_id, *name_id_format;
	const char *const *session_indexes; /* none: every session of the name */
	size_t session_index_count;
	int64_t replay_until_s;
	const char *relay_state; /* as received; opaque */
};

#endif
