/*
 * Source `saml`: SAML 2.0 identity providers.
 *
 * Core side. XML from outside is parsed only in workers: processes without network, store or
 * files, the only holders of the service provider's key. A pool is immutable: IdPs, keys and
 * settings are fixed when it is made; a change makes a new pool and the old one drains.
 *
 *	saml_metadata_read (each IdP) → saml_pool_create → saml_pool_verify … → saml_pool_release
 *
 * A message costs one job in one worker, with a deadline; a worker that dies or overruns is replaced
 * and its job fails with ERR_UNAVAILABLE "worker-died" or "worker-timeout". All functions block and may
 * be called from any thread; when all workers are busy and the queue is full they fail
 * at once with ERR_UNAVAILABLE "busy".
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_H
#define ROLEBRIDGE_SOURCE_SAML_H

#include <sys/types.h>

#include <rolebridge/identity/settings.h>
#include <rolebridge/model/saml.h>
#include <rolebridge/source/source.h>

/* --- settings --- */

enum saml_required_signature {
	SAML_SIGNED_ANY, /* the response or the assertion */
	SAML_SIGNED_ASSERTION,
	SAML_SIGNED_RESPONSE,
	SAML_SIGNED_BOTH,
};

enum saml_verification { SAML_VERIFY_AGREE, SAML_VERIFY_FAST };

struct saml_idp_settings {
	struct position at;
	struct located entity_id; /* default: the only IdP of the metadata */
	/* Exactly one; the last: handed over by an administrator, "sha256:…", of sources of the store. */
	struct located metadata_file, metadata_url, metadata;
	struct located metadata_certificate; /* file, PEM: the metadata must be signed with it */
	struct located metadata_signer;	     /* the same, the certificate itself */
	int64_t refresh_s; /* of metadata_url, and of looking at the file; default 1 h */
	struct located ca; /* of metadata_url; default: the system's */
};

/* What proves that the IdP asked for a second factor. */
struct saml_factor_settings {
	struct position at;
	struct located_list contexts; /* AuthnContextClassRef values */
	struct located attribute;     /* as received or friendly */
	struct located_list values;   /* any of these in the attribute */
	int64_t max_age_s;	      /* since AuthnInstant; default 12 h */
};

struct saml_source {
	struct source_settings common;
	struct saml_idp_settings idp;
	struct located entity_id; /* ours; default PUBLIC_URL/saml/NAME/metadata */
	struct located
		key; /* "name-id" (default) or an attribute, as declared, built in or received */
	struct located
		groups; /* attribute whose values are groups of this source; default: groups, isMemberOf, memberOf, the Microsoft claim */
	struct located_list allowed_domains; /* of the e-mail address; none given: any */
	struct located_list
		allowed_scopes; /* behind '@' of scoped attributes; none given: the metadata's shibmd:Scope, else any */
	bool idp_initiated; /* false */
	bool just_in_time;  /* false: only people that another source, or a link, knows */
	int require_signed; /* enum saml_required_signature */
	bool force_authn, is_passive;
	struct located_list authn_contexts; /* RequestedAuthnContext, exact; none by default */
	struct located name_id_format;	    /* NameIDPolicy; none by default */
	int request_binding; /* enum saml_binding; default redirect, where the IdP has it */
	bool sign_requests;  /* true */
	struct saml_factor_settings second_factor;
	bool trace; /* log what was received, without secrets */
	bool allow_sha1;
};
extern const struct option_table saml_source_table; /* variant "saml" of sources[] */

/* saml: one service provider for all sources of type saml. */
struct saml_settings {
	struct position at;
	struct located certificate, private_key; /* files, PEM */
	/* Further key pairs that may decrypt, for rollover: struct saml_key_settings. */
	struct struct_list decryption_keys;
	struct located_list next_certificates; /* announced beside the present one */
	int verification;		       /* enum saml_verification */
	int64_t workers;		       /* 0: one per core */
	int64_t skew_s;			       /* 180 */
	struct located organization_name, organization_url;
	struct located contact_name, contact_email;
};
struct saml_key_settings {
	struct position at;
	struct located certificate, private_key;
};
extern const struct option_table saml_table;

/* --- metadata of an IdP --- */

struct saml_blob {
	const void *data;
	size_t size;
};

struct saml_endpoint {
	enum saml_binding binding;
	const char *location, *response_location; /* the latter "" unless it differs */
};

struct saml_idp {
	const char *entity_id;
	int64_t valid_until_s;	  /* the earliest that applies; 0: none */
	int64_t cache_duration_s; /* 0: none */
	uint64_t entities;	  /* in the document: a shrunk one keeps the last good copy */
	const struct saml_blob *signing_keys; /* DER certificates or SubjectPublicKeyInfo */
	size_t signing_key_count;
	const struct saml_endpoint *sso, *slo;
	size_t sso_count, slo_count;
	bool wants_signed_requests;
	const char *const *
		scopes; /* shibmd:Scope, plain ones; a single "" when all are regular expressions: none fits */
	size_t scope_count;
};

#define SAML_METADATA_MAX ((size_t)64 * 1024 * 1024)

/*
 * Read the metadata of one IdP, in a worker of its own. entity_id NULL: the document's only IdP.
 * certificate (DER, NULL: none): the document must be signed with its key.
 * ERR_INVALID with a stable reason: metadata-malformed, metadata-expired, metadata-unsigned,
 * metadata-signature, entity-missing, entity-ambiguous, no-signing-key, no-sso-endpoint.
 */
int saml_metadata_read(const void *xml, size_t size, const char *entity_id,
		       const struct saml_blob *certificate, int64_t now_s, struct arena *arena,
		       struct saml_idp *ret_idp, struct err *err);

/* --- the pool --- */

/* One source as the pool knows it: number i of the array. Copied by saml_pool_create. */
struct saml_provider {
	const struct saml_source *settings;
	const struct saml_idp
		*idp; /* NULL: metadata is not there; everything is refused "idp-unavailable" */
	const char *sp_entity_id, *acs_url, *slo_url;
	const struct wanted_attribute *attributes;
	size_t attribute_count;
	const struct wanted_group *groups; /* names by group_local_normalize */
	size_t group_count;
	const char *
		email_attribute; /* the name in attributes that is the e-mail address; NULL: "mail" */
};

struct saml_pool;

/* Starts the workers. One reference. ERR_INVALID: key or certificate unusable. */
struct saml_pool *saml_pool_create(const struct saml_settings *settings,
				   const struct saml_provider *providers, size_t count,
				   struct err *err);
/*
 * The same; but when it would come out as `present` (NULL: none) is, in settings, providers and the files of
 * our keys, that one with another reference, and its workers go on.
 */
struct saml_pool *saml_pool_renew(struct saml_pool *present, const struct saml_settings *settings,
				  const struct saml_provider *providers, size_t count,
				  struct err *err);
struct saml_pool *saml_pool_acquire(struct saml_pool *pool);
/* The last reference stops the workers. */
void saml_pool_release(struct saml_pool *pool);

struct saml_pool_counts {
	uint64_t workers; /* ready or busy */
	uint64_t busy;
	uint64_t deaths;   /* not by us, in a job or without one; timeouts are counted apart */
	uint64_t timeouts; /* jobs past their deadline, whose worker was killed */
	uint64_t replaced; /* grown too large, replaced without a failed job */
	uint64_t jobs;
	char last_death[128]; /* "signal 11 (segmentation fault)"; "" when there was none */
};
void saml_pool_counts(struct saml_pool *pool, struct saml_pool_counts *ret_counts);
/* Process ids, for tests and status. Returns how many. */
size_t saml_pool_pids(struct saml_pool *pool, pid_t *ret_pids, size_t max);

/* What the core knows about a response that has come. */
struct saml_question {
	size_t provider;
	int64_t now_s;
	/* Requests of this browser that wait for an answer of this provider. */
	const char *const *request_ids;
	size_t request_count;
	/*
	 * Parallel to request_ids, or NULL. When a fresh sign-in was asked for by that request, the time it was
	 * made: AuthnInstant must not lie before it. 0: it was not asked for.
	 */
	const int64_t *forced_since_s;
	bool explain; /* a test login: go on past failures where that is safe, tell all checks */
};

/*
 * Judge a response. 0: verified. 1: refused, *ret_refusal says why (with question->explain *ret_assertion
 * has what could be read: checks, attributes; nothing of it may be believed). -1: our own side failed.
 */
int saml_pool_verify(struct saml_pool *pool, const struct saml_question *question,
		     const struct saml_message *message, struct arena *arena,
		     struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal,
		     struct err *err);

struct saml_login_request {
	size_t provider;
	int64_t now_s;
	const char *id; /* "_" and 32 or more hex digits, made by the core */
	const char *relay_state;
	bool force_authn; /* beside the source's own setting */
};
int saml_pool_login(struct saml_pool *pool, const struct saml_login_request *request,
		    struct arena *arena, struct saml_outgoing *ret_outgoing, struct err *err);

struct saml_logout_start {
	size_t provider;
	int64_t now_s;
	const char *id; /* of the new request */
	const char *name_id, *name_id_format, *session_index;
	const char *relay_state;
};
/* ERR_NOT_FOUND "no-logout-endpoint": the IdP has none. */
int saml_pool_logout_start(struct saml_pool *pool, const struct saml_logout_start *start,
			   struct arena *arena, struct saml_outgoing *ret_outgoing,
			   struct err *err);
/* Judge a logout request or response, as saml_pool_verify. question->request_ids: our logout requests. */
int saml_pool_logout_receive(struct saml_pool *pool, const struct saml_question *question,
			     const struct saml_message *message, struct arena *arena,
			     struct saml_logout *ret_logout, struct saml_refusal *ret_refusal,
			     struct err *err);
/* The answer to a verified logout request. */
int saml_pool_logout_answer(struct saml_pool *pool, size_t provider, int64_t now_s, const char *id,
			    const struct saml_logout *request, bool success, struct arena *arena,
			    struct saml_outgoing *ret_outgoing, struct err *err);

/* Our metadata for this provider, XML. */
int saml_pool_metadata(struct saml_pool *pool, size_t provider, struct arena *arena,
		       const char **ret_xml, struct err *err);

/* The worker's side: called by main for `--worker saml`. Ends the process by itself. */
int saml_worker_main(int socket);

#endif
