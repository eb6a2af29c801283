/*
 * What administrators define through API and CLI: one row per definition, its body as JSON.
 */
#ifndef ROLEBRIDGE_STORE_DEFINITION_H
#define ROLEBRIDGE_STORE_DEFINITION_H

#include <rolebridge/store/store.h>

struct definition {
	const char *kind; /* "profile", "role", "persona", "rule" */
	const char *name;
	bool draft;		  /* kept, not in force */
	int64_t version;	  /* never given twice */
	int64_t position;	  /* order of rules; else 0 */
	const char *organization; /* whose it is; NULL: all share it */
	const char *body;	  /* one line of JSON */
	int64_t created_s, updated_s;
	const char *actor; /* of the last change */
};

/* All, ordered by kind, position, name, drafts last. */
int store_definitions_load(struct store *store, struct arena *arena, struct definition **ret_rows,
			   size_t *ret_count, struct err *err);
/* 1, 0 when there is none, -1. */
int store_definition_get(struct store *store, const char *kind, const char *name, bool draft,
			 struct arena *arena, struct definition *ret_row, struct err *err);
/* Insert or replace; sets the version. created_s of the first time stays. */
int store_definition_put(struct store *store, struct definition *definition, struct err *err);
/* ERR_NOT_FOUND. */
int store_definition_delete(struct store *store, const char *kind, const char *name, bool draft,
			    struct err *err);
/* Invites that would still give it to whoever accepts. */
int store_definition_invites(struct store *store, enum grant_kind kind, const char *name,
			     int64_t now_s, int64_t *ret_count, struct err *err);

/*
 * Texts that definitions name by fingerprint: metadata of IdPs. The same one again changes nothing. get: 1, 0 when
 * there is none, -1. tidy: those that no definition names go.
 */
int store_document_put(struct store *store, const char *fingerprint, const char *body,
		       int64_t now_s, struct err *err);
int store_document_get(struct store *store, const char *fingerprint, struct arena *arena,
		       const char **ret_body, struct err *err);
int store_document_tidy(struct store *store, struct err *err);
/* People who are not deleted and have an identity of this source, read or by a person's word. Counts to 10,000. */
int store_source_people(struct store *store, const char *source, int64_t *ret_count,
			struct err *err);

#endif
