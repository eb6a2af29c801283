/*
 * The metadata of one IdP: where it comes from, the last good copy, what it says.
 */
#ifndef ROLEBRIDGE_MAIN_IDP_H
#define ROLEBRIDGE_MAIN_IDP_H

#include <rolebridge/auth/settings.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/source/saml.h>

struct idp {
	char *source;	     /* name */
	char *kept_path;     /* last good copy; a name of its own for each place it may come from */
	struct arena *arena; /* of facts; NULL while there are none */
	struct saml_idp facts;
	struct hash128 digest; /* of the document the facts come from */
	char *etag;
	bool kept;	     /* what is in force is in the kept copy */
	bool stored;	     /* the document is in the store: no copy is needed */
	bool lapsed;	     /* that it has expired was said */
	int64_t refreshed_s; /* last time the document was had and good, changed or not */
	int64_t next_s;
	unsigned failures;
	char problem[512]; /* of the last look; "" */
	bool settled;	   /* that there is no problem is known in the store */
	bool quiet; /* the source is switched off: problems are shown, but need nobody at once */
};

struct idp *idp_create(const struct saml_source *settings, const char *store_path);
void idp_destroy(struct idp *idp);

/* Are there facts that hold now? */
bool idp_is_ready(const struct idp *idp, int64_t now_s);

/* A document as it was had; made without any lock, put in force by idp_accept. */
struct idp_document {
	struct strbuf bytes;
	struct hash128 digest;
	bool unchanged; /* HTTP 304 */
	char *etag;
	struct arena *arena; /* of facts */
	struct saml_idp facts;
};
void idp_document_finish(struct idp_document *document);

/* Where to look, and for how long. */
struct idp_look {
	const struct saml_source *settings;
	const struct outgoing_settings *outgoing;
	const char *store_path; /* where what administrators handed over is */
	const char *etag;	/* NULL: whatever it is */
	int64_t now_s;
	bool (*cancelled)(void *context); /* NULL: never */
	void *context;
};
/*
 * Have the document and understand it. ERR_UNAVAILABLE: not reached; ERR_CANCELLED; ERR_INVALID with
 * the reasons of saml_metadata_read, or "metadata-empty".
 */
int idp_load(const struct idp_look *look, struct idp_document *ret_document, struct err *err);
/* The kept copy. ERR_NOT_FOUND: none. */
int idp_load_kept(const struct idp *idp, const struct saml_source *settings, int64_t now_s,
		  struct idp_document *ret_document, struct err *err);

/*
 * Metadata that is about to be handed over: is it good? signer: PEM, or NULL. Reasons as above. *ret_idp
 * from the arena.
 */
int idp_judge(const struct saml_blob *xml, const char *entity_id, const char *signer, int64_t now_s,
	      struct arena *arena, struct saml_idp *ret_idp, struct err *err);
#define IDP_FINGERPRINT_SIZE 72
/* "sha256:…" */
void idp_fingerprint(const void *xml, size_t size, char ret_text[static IDP_FINGERPRINT_SIZE]);

/*
 * Put a document in force; its bytes stay for idp_keep. ERR_INVALID "metadata-shrunk": it lost more
 * than half of its entities. *ret_changed: the facts are other ones.
 */
int idp_accept(struct idp *idp, struct idp_document *document, bool *ret_changed, struct err *err);
/* Write the copy of what is in force, unless it is there. */
int idp_keep(struct idp *idp, const struct idp_document *document, struct err *err);

/* When to look again, and is it time? A clock that was set back does not put it off. */
void idp_schedule(struct idp *idp, const struct saml_source *settings, bool good, int64_t now_s);
bool idp_is_due(const struct idp *idp, const struct saml_source *settings, int64_t now_s);

#endif
