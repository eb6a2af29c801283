/*
 * Bodies of SAML sources. What a source may say is the configuration's to judge, by its own table of options; here
 * is looked at what the API itself has to know: name, type, whether it is enabled, metadata that was handed over.
 */
#ifndef API_SOURCE_BODY_H
#define API_SOURCE_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>

/* Bytes of a document that is handed over. */
#define SOURCE_METADATA_MAX ((size_t)1024 * 1024)

struct source_body;

/* Borrowed from the body; NULL: not given. */
struct source_parts {
	const char *name;
	const char *metadata; /* XML, or the fingerprint of what is there */
	size_t metadata_size;
	const char *entity_id, *signer;
	bool enabled_given, enabled;
};

/*
 * given: an object. stored: what it is merged into (RFC 7396); NULL: it is all there is. On failure
 * *ret_field (from the arena) is the member it is about, or NULL. ERR_INVALID, ERR_CONFLICT "managed-by-config" for what only files
 * may declare.
 */
int source_body_read(const char *stored, const char *given, size_t given_size, struct arena *arena,
		     struct source_body **ret_body, struct source_parts *ret_parts,
		     const char **ret_field, struct err *err);
void source_body_destroy(struct source_body *body);
static inline void source_body_auto(struct source_body **body)
{
	source_body_destroy(*body);
}

/* The document is named by its fingerprint from now on, and which entity of it is meant. */
int source_body_name_metadata(struct source_body *body, const char *fingerprint,
			      const char *entity_id, struct err *err);
int source_body_enable(struct source_body *body, bool enabled, struct err *err);
/* One line of JSON for the store; from the arena. */
int source_body_write(const struct source_body *body, struct arena *arena, const char **ret_text,
		      struct err *err);

#endif
