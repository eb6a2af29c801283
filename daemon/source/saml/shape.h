/*
 * The shape of elements: which children may stand in them, how often. One table per element; what is
 * not in the table is refused.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_SHAPE_H
#define ROLEBRIDGE_SOURCE_SAML_SHAPE_H

#include <stdbool.h>

#include <libxml/tree.h>

#include "gate.h"

struct child_rule {
	const char *namespace_uri, *name;
	unsigned min, max;
};

#define SHAPE_RULES_MAX 12

/*
 * ret_found[i]: the first child of rules[i], NULL when there is none. Text between children must be
 * white space. Reason: `reason`, or shape-malformed when NULL.
 */
int shape_children(const xmlNode *node, const struct child_rule *rules, size_t count,
		   const char *reason, xmlNode **ret_found, struct saml_refusal *ret_refusal);

/*
 * A ds:Signature that covers the element with this id and nothing else. Reasons: signature-malformed,
 * signature-reference, signature-transform, signature-algorithm.
 */
int shape_signature(const xmlNode *signature, const char *id, const struct gate_rules *rules,
		    struct saml_refusal *ret_refusal);

/*
 * EncryptedAssertion: one EncryptedData and its keys, which are stored into gated. Reasons:
 * encryption-malformed, encryption-algorithm.
 */
int shape_encrypted(xmlNode *encrypted, struct gated *gated, struct saml_refusal *ret_refusal);

/* Is the element's only content text, not empty and of at most max bytes? */
bool shape_has_text(const xmlNode *node, size_t max);

#endif
