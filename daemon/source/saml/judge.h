/*
 * The judge: one message in, a verdict out. Pure but for memory: no file, store, network or clock;
 * everything comes as arguments. Runs inside the locked worker.
 *
 *	gate → (decrypt → gate) → signatures → second verifier → named checks → attributes
 *
 * Functions return 0 (verified), 1 (refused, *ret_refusal says why) or -1 (out of memory).
 *
 * Reasons of refusals, stable:
 *	encoding	base64-malformed deflate-malformed message-empty message-too-large binding-unsupported
 *			query-malformed query-duplicate query-unknown-parameter
 *	gate		xml-encoding xml-doctype xml-comment xml-cdata xml-instruction xml-xinclude xml-malformed
 *			xml-too-complex root-unexpected version-unsupported shape-malformed identifier-malformed
 *			id-malformed id-duplicate assertion-several assertion-misplaced assertion-missing
 *			signature-malformed signature-reference signature-transform signature-algorithm
 *			signature-misplaced encryption-malformed encryption-algorithm encryption-unsupported
 *	signatures	signature-invalid signature-missing signature-unexpected encryption-unsigned
 *			decryption-failed verifiers-disagree verifier-unsupported
 *	checks		status-not-success issuer-mismatch destination-mismatch time-unparsable not-yet-valid
 *			expired conditions-missing condition-unknown audience-missing audience-mismatch
 *			confirmation-missing confirmation-not-before confirmation-endless recipient-mismatch
 *			in-response-to-missing in-response-to-mismatch in-response-to-unknown
 *			authn-statement-missing authn-statement-several authn-too-old authn-context-mismatch
 *			session-expired name-id-empty name-id-transient key-missing key-ambiguous key-malformed
 *			scope-not-allowed domain-not-allowed attribute-malformed
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_JUDGE_H
#define ROLEBRIDGE_SOURCE_SAML_JUDGE_H

#include <rolebridge/model/saml.h>
#include <rolebridge/source/saml.h>

#include "gate.h"
#include "verify.h"

struct text_list {
	const char *const *items;
	size_t count;
};

struct judge_factor {
	struct text_list contexts;
	const char *attribute; /* NULL: none */
	struct text_list values;
	int64_t max_age_s;
};

/* One source. Texts and arrays are borrowed for as long as it is used; none NULL unless said. */
struct judge_provider {
	const char *idp_entity_id, *sp_entity_id, *acs_url, *slo_url;
	const struct verify_key *const *signing_keys; /* at most VERIFY_KEYS_MAX */
	size_t signing_key_count;
	bool allow_sha1, idp_initiated, force_authn;
	enum saml_required_signature require_signed;
	struct text_list authn_contexts;  /* requested, exact; none: any will do */
	struct text_list allowed_domains; /* none: any */
	struct text_list allowed_scopes;  /* the settings', else those of the metadata; none: any */
	const char *key;		  /* "name-id", or an attribute */
	const char *groups_from;	  /* attribute with groups; NULL: the usual ones */
	const char *email_attribute;	  /* as rules call it; NULL: "mail" */
	struct judge_factor second_factor;
	const struct wanted_attribute *attributes; /* ascending by name (strcmp) */
	size_t attribute_count;
	struct wanted_group *groups; /* sorted by judge_provider_prepare: by name, then id */
	size_t group_count;
};

/* Brings the groups into the order that look-ups need. Call once, when all fields are set. */
void judge_provider_prepare(struct judge_provider *provider);

/* What the second verifier is shown, after the first one was satisfied. Borrowed for the call. */
struct judge_view {
	enum gate_kind kind; /* GATE_RESPONSE, or a logout message */
	const struct judge_provider *provider;
	const struct saml_message *message; /* as received */
	const char *xml;		    /* decoded (and inflated), as it passed the gate */
	size_t xml_size;
	/* What the first verifier read in the verified element; "" where there is none. */
	const char *response_id, *assertion_id, *issuer, *name_id;
	bool response_signed, assertion_signed, encrypted;
};

/*
 * The second verifier's verdict: 0 it agrees on element, issuer and name; 1 with reason "verifiers-disagree" or
 * "verifier-unsupported"; -1 our side failed. Shapes that Lasso cannot take (no NameID, ECDSA, several
 * SubjectConfirmations, a Response without Issuer) are refused before it is asked.
 */
typedef int judge_second_fn(void *context, const struct judge_view *view,
			    struct saml_refusal *ret_refusal);

/* What is the same for all sources of a worker. */
struct judge {
	int64_t skew_s;
	const struct verify_key *const *decryption_keys; /* private; at most VERIFY_KEYS_MAX */
	size_t decryption_key_count;
	judge_second_fn *second; /* NULL: `verification: fast` */
	void *second_context;
};

/* How long a forced sign-in may lie back when nobody says when it was asked for. */
#define JUDGE_FORCED_AGE_S 600
/* A message issued longer ago is void, whatever it says: replays are remembered for so long only. */
#define JUDGE_ASSERTION_AGE_S (24 * 3600)
#define JUDGE_LOGOUT_AGE_S 300

/* question->provider is not looked at. With question->explain *ret_assertion is filled after 1 as well. */
int judge_response(const struct judge *judge, const struct judge_provider *provider,
		   const struct saml_question *question, const struct saml_message *message,
		   struct arena *arena, struct saml_assertion *ret_assertion,
		   struct saml_refusal *ret_refusal);
int judge_logout(const struct judge *judge, const struct judge_provider *provider,
		 const struct saml_question *question, const struct saml_message *message,
		 struct arena *arena, struct saml_logout *ret_logout,
		 struct saml_refusal *ret_refusal);

#endif
