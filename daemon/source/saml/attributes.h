/*
 * The attributes of a verified assertion: read as text, found under any of their usual names, mapped to what rules
 * call them, and made into an identity record.
 *
 * An attribute is found by its Name, by another name of the same attribute (`mail` is urn:oid:0.9.2342…3 and a
 * claim of Microsoft's), and only when no Name fits by its FriendlyName, which an IdP may choose freely.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_ATTRIBUTES_H
#define ROLEBRIDGE_SOURCE_SAML_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>

#include <libxml/tree.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/model/saml.h>

#include "judge.h"

/* As received, one for each Attribute element; values without empty ones. */
struct received {
	const char *name, *friendly; /* friendly: "" when not given */
	const char *usual;	     /* the usual short name of `name`, else `name` itself */
	bool is_known;		     /* `name` has a usual one */
	const char **values;
	size_t count;
};

struct received_list {
	struct received *items;
	size_t count;
};

/*
 * Texts are joined text nodes, exactly as they are; an AttributeValue with elements in it is refused
 * (attribute-malformed), but for a single NameID, whose text it is.
 */
int attributes_read(const xmlNode *assertion, struct arena *arena, struct received_list *ret_list,
		    struct saml_refusal *ret_refusal);

/* Usual name of a Name on the wire; NULL: not known. */
const char *attribute_usual_name(const char *name);

/* The next item from *at on that is `from`; NULL: no more. *at: 0 to begin. */
const struct received *attributes_find(const struct received_list *list, const char *from,
				       size_t *at);
/* Its values behind '@' are scopes. */
bool attribute_is_scoped(const struct received *item);
/* Has the attribute `from` any of these values? */
bool attributes_have_value(const struct received_list *list, const char *from,
			   struct text_list values);

/*
 * The immutable key. Reasons: key-missing, key-ambiguous, key-malformed, name-id-transient.
 */
int attributes_key(const struct judge_provider *provider, const struct received_list *list,
		   const char *name_id, const char *name_id_format, const char **ret_key,
		   struct saml_refusal *ret_refusal);
/* The identity record. -1: out of memory. */
int attributes_record(const struct judge_provider *provider, const struct received_list *list,
		      const char *key, struct arena *arena, struct saml_assertion *ret_assertion);
/* For a test login: what was received and what it became. -1: out of memory. */
int attributes_explain(const struct judge_provider *provider, const struct received_list *list,
		       struct arena *arena, struct saml_assertion *ret_assertion);

#endif
