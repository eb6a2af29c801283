/*
 * Shapes of ds:Signature and of what XML Encryption puts around an assertion (see shape.h). Enters: nodes of a
 * document as libxml2 parsed it. Algorithms are allowed by name; everything else is refused.
 *
 * Sources: XML Signature 1.0 and 1.1, XML Encryption 1.0 and 1.1, SAML 2.0 Core 5.4.
 */
#include "shape.h"

#include <string.h>

#include <rolebridge/base/util.h>

#include "refusal.h"
#include "xml.h"

#define PREFIX_LIST_MAX 256
#define PREFIXES_MAX 8
#define DIGEST_TEXT_MAX 256
#define SIGNATURE_TEXT_MAX 4096
#define CIPHER_KEY_TEXT_MAX 4096

static const char *const canonicalizations[] = {
	"http://www.w3.org/2001/10/xml-exc-c14n#",
	"http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
};

struct algorithm {
	const char *uri;
	bool sha1;
};

static const struct algorithm signature_methods[] = {
	{ "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", false },
	{ "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", false },
	{ "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", false },
	{ "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", false },
	{ "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", false },
	{ "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", false },
	{ "http://www.w3.org/2000/09/xmldsig#rsa-sha1", true },
};

static const struct algorithm digest_methods[] = {
	{ "http://www.w3.org/2001/04/xmlenc#sha256", false },
	{ "http://www.w3.org/2001/04/xmldsig-more#sha384", false },
	{ "http://www.w3.org/2001/04/xmlenc#sha512", false },
	{ "http://www.w3.org/2000/09/xmldsig#sha1", true },
};

static const char enveloped[] = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

static const struct cipher {
	const char *uri;
	enum gate_cipher cipher;
} ciphers[] = {
	{ "http://www.w3.org/2009/xmlenc11#aes128-gcm", GATE_CIPHER_GCM },
	{ "http://www.w3.org/2009/xmlenc11#aes192-gcm", GATE_CIPHER_GCM },
	{ "http://www.w3.org/2009/xmlenc11#aes256-gcm", GATE_CIPHER_GCM },
	{ "http://www.w3.org/2001/04/xmlenc#aes128-cbc", GATE_CIPHER_CBC },
	{ "http://www.w3.org/2001/04/xmlenc#aes192-cbc", GATE_CIPHER_CBC },
	{ "http://www.w3.org/2001/04/xmlenc#aes256-cbc", GATE_CIPHER_CBC },
};

static const char key_transport[] = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
static const char key_transport_digest[] = "http://www.w3.org/2000/09/xmldsig#sha1";
static const char encrypted_element[] = "http://www.w3.org/2001/04/xmlenc#Element";

/* --- children --- */

static bool is_blank(const xmlNode *text)
{
	const char *c = text->content ? (const char *)text->content : "";

	return c[strspn(c, " \t\r\n")] == '\0';
}

static const char *prefix_of(const xmlNode *node)
{
	return node->ns && node->ns->prefix ? (const char *)node->ns->prefix : "";
}

static int take_child(xmlNode *child, const struct child_rule *rules, size_t count,
		      unsigned *counts, xmlNode **found)
{
	for (size_t i = 0; i < count; i++) {
		if (!xml_is(child, rules[i].namespace_uri, rules[i].name))
			continue;
		if (counts[i]++ == 0)
			found[i] = child;
		return counts[i] <= rules[i].max ? 0 : 1;
	}
	return 1;
}

int shape_children(const xmlNode *node, const struct child_rule *rules, size_t count,
		   const char *reason, xmlNode **ret_found, struct saml_refusal *ret_refusal)
{
	unsigned counts[SHAPE_RULES_MAX] = { 0 };

	if (!reason)
		reason = "shape-malformed";
	for (size_t i = 0; i < count; i++)
		ret_found[i] = NULL;
	for (xmlNode *child = node->children; child; child = child->next) {
		if (child->type != XML_ELEMENT_NODE && is_blank(child))
			continue;
		if (child->type != XML_ELEMENT_NODE)
			return refuse(ret_refusal, reason, "text directly in '%s'", node->name);
		if (take_child(child, rules, count, counts, ret_found) != 0)
			return refuse(ret_refusal, reason,
				      "'%s:%s' may not be in '%s', or not again", prefix_of(child),
				      child->name, node->name);
	}
	for (size_t i = 0; i < count; i++)
		if (counts[i] < rules[i].min)
			return refuse(ret_refusal, reason, "'%s' has no '%s'", node->name,
				      rules[i].name);
	return 0;
}

bool shape_has_text(const xmlNode *node, size_t max)
{
	const xmlNode *text = node->children;

	return text && !text->next && text->type == XML_TEXT_NODE && text->content &&
	       !is_blank(text) && strlen((const char *)text->content) <= max;
}

/* --- signature --- */

static const char *algorithm_of(const xmlNode *method)
{
	const char *uri = xml_attribute(method, "Algorithm");

	return uri ? uri : "";
}

/* No parameters inside. */
static bool is_bare(const xmlNode *node)
{
	return !xml_first(node);
}

static int check_algorithm(const xmlNode *method, const struct algorithm *allowed, size_t count,
			   const struct gate_rules *rules, struct saml_refusal *ret_refusal)
{
	const char *uri = algorithm_of(method);

	for (size_t i = 0; i < count; i++)
		if (strcmp(uri, allowed[i].uri) == 0 && (!allowed[i].sha1 || rules->allow_sha1) &&
		    is_bare(method))
			return 0;
	return refuse(ret_refusal, "signature-algorithm", "%s '%s'", method->name, uri);
}

/* Each prefix costs a look-up for each element. */
static bool is_short_list(const char *prefixes)
{
	size_t count = 0;

	if (!prefixes || strlen(prefixes) > PREFIX_LIST_MAX)
		return false;
	while (*(prefixes += strspn(prefixes, " \t\r\n"))) {
		count++;
		prefixes += strcspn(prefixes, " \t\r\n");
	}
	return count <= PREFIXES_MAX;
}

static bool is_canonicalization(const char *uri)
{
	for (size_t i = 0; i < ARRAY_LEN(canonicalizations); i++)
		if (strcmp(uri, canonicalizations[i]) == 0)
			return true;
	return false;
}

/* CanonicalizationMethod, or a Transform that is one. */
static int check_canonicalization(const xmlNode *method, const char *reason,
				  struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_EXC_C14N, "InclusiveNamespaces", 0,
							1 } };
	const char *uri = algorithm_of(method);
	xmlNode *list;

	if (!is_canonicalization(uri))
		return refuse(ret_refusal, reason, "%s '%s'", method->name, uri);
	if (shape_children(method, children, 1, reason, &list, ret_refusal) != 0)
		return 1;
	if (!list)
		return 0;
	if (strcmp(uri, canonicalizations[0]) != 0 || !is_bare(list) ||
	    !is_short_list(xml_attribute(list, "PrefixList")))
		return refuse(ret_refusal, reason, "InclusiveNamespaces out of place or too long");
	return 0;
}

static int check_transforms(const xmlNode *transforms, struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_DS, "Transform", 1, 2 } };
	const char *reason = "signature-transform";
	xmlNode *first, *second;

	if (shape_children(transforms, children, 1, reason, &first, ret_refusal) != 0)
		return 1;
	if (strcmp(algorithm_of(first), enveloped) != 0 || !is_bare(first))
		return refuse(ret_refusal, reason, "the first transform is '%s'",
			      algorithm_of(first));
	second = xml_next(first);
	return second ? check_canonicalization(second, reason, ret_refusal) : 0;
}

static int check_reference(const xmlNode *reference, const char *id, const struct gate_rules *rules,
			   struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_DS, "Transforms", 1, 1 },
						      { NS_DS, "DigestMethod", 1, 1 },
						      { NS_DS, "DigestValue", 1, 1 } };
	const char *uri = xml_attribute(reference, "URI");
	xmlNode *found[ARRAY_LEN(children)];

	if (!uri || uri[0] != '#' || strcmp(uri + 1, id) != 0)
		return refuse(ret_refusal, "signature-reference", "refers to '%s', not to '#%s'",
			      uri ? uri : "", id);
	if (xml_attribute(reference, "Type"))
		return refuse(ret_refusal, "signature-reference", "a Reference with a Type");
	if (shape_children(reference, children, ARRAY_LEN(children), "signature-malformed", found,
			   ret_refusal) != 0 ||
	    check_transforms(found[0], ret_refusal) != 0 ||
	    check_algorithm(found[1], digest_methods, ARRAY_LEN(digest_methods), rules,
			    ret_refusal) != 0)
		return 1;
	if (!shape_has_text(found[2], DIGEST_TEXT_MAX))
		return refuse(ret_refusal, "signature-malformed", "no proper DigestValue");
	return 0;
}

static int check_signed_info(const xmlNode *info, const char *id, const struct gate_rules *rules,
			     struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_DS, "CanonicalizationMethod", 1, 1 },
						      { NS_DS, "SignatureMethod", 1, 1 },
						      { NS_DS, "Reference", 1, 1 } };
	xmlNode *found[ARRAY_LEN(children)];

	if (shape_children(info, children, ARRAY_LEN(children), "signature-malformed", found,
			   ret_refusal) != 0 ||
	    check_canonicalization(found[0], "signature-algorithm", ret_refusal) != 0 ||
	    check_algorithm(found[1], signature_methods, ARRAY_LEN(signature_methods), rules,
			    ret_refusal) != 0)
		return 1;
	return check_reference(found[2], id, rules, ret_refusal);
}

int shape_signature(const xmlNode *signature, const char *id, const struct gate_rules *rules,
		    struct saml_refusal *ret_refusal)
{
	/* No Object: nothing but the element itself can be signed. */
	static const struct child_rule children[] = { { NS_DS, "SignedInfo", 1, 1 },
						      { NS_DS, "SignatureValue", 1, 1 },
						      { NS_DS, "KeyInfo", 0, 1 } };
	xmlNode *found[ARRAY_LEN(children)];

	if (shape_children(signature, children, ARRAY_LEN(children), "signature-malformed", found,
			   ret_refusal) != 0 ||
	    check_signed_info(found[0], id, rules, ret_refusal) != 0)
		return 1;
	if (!shape_has_text(found[1], SIGNATURE_TEXT_MAX))
		return refuse(ret_refusal, "signature-malformed", "no proper SignatureValue");
	return 0;
}

/* --- encryption --- */

static const char encryption_malformed[] = "encryption-malformed";

/* CipherValue, never CipherReference. */
static int check_cipher_data(const xmlNode *data, size_t max, struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_XENC, "CipherValue", 1, 1 } };
	xmlNode *value;

	if (shape_children(data, children, 1, encryption_malformed, &value, ret_refusal) != 0)
		return 1;
	if (!shape_has_text(value, max))
		return refuse(ret_refusal, encryption_malformed, "no proper CipherValue");
	return 0;
}

static int check_key_method(const xmlNode *method, struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_DS, "DigestMethod", 0, 1 } };
	xmlNode *digest;

	if (strcmp(algorithm_of(method), key_transport) != 0)
		return refuse(ret_refusal, "encryption-algorithm", "key transport '%s'",
			      algorithm_of(method));
	if (shape_children(method, children, 1, encryption_malformed, &digest, ret_refusal) != 0)
		return 1;
	if (digest && (strcmp(algorithm_of(digest), key_transport_digest) != 0 || !is_bare(digest)))
		return refuse(ret_refusal, "encryption-algorithm",
			      "digest '%s' of the key transport", algorithm_of(digest));
	return 0;
}

static int add_key(xmlNode *key, struct gated *gated, struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = {
		{ NS_XENC, "EncryptionMethod", 1, 1 }, { NS_DS, "KeyInfo", 0, 1 },
		{ NS_XENC, "CipherData", 1, 1 },       { NS_XENC, "ReferenceList", 0, 1 },
		{ NS_XENC, "CarriedKeyName", 0, 1 },
	};
	xmlNode *found[ARRAY_LEN(children)];

	if (gated->encrypted_key_count == GATE_CIPHER_KEYS_MAX)
		return refuse(ret_refusal, encryption_malformed, "more than %d EncryptedKeys",
			      GATE_CIPHER_KEYS_MAX);
	if (shape_children(key, children, ARRAY_LEN(children), encryption_malformed, found,
			   ret_refusal) != 0 ||
	    check_key_method(found[0], ret_refusal) != 0 ||
	    check_cipher_data(found[2], CIPHER_KEY_TEXT_MAX, ret_refusal) != 0)
		return 1;
	gated->encrypted_keys[gated->encrypted_key_count++] = key;
	return 0;
}

static int add_keys(const xmlNode *parent, struct gated *gated, struct saml_refusal *ret_refusal)
{
	for (xmlNode *key = xml_child(parent, NS_XENC, "EncryptedKey"); key;
	     key = xml_again(key, NS_XENC, "EncryptedKey"))
		if (add_key(key, gated, ret_refusal) != 0)
			return 1;
	return 0;
}

static int check_data_method(const xmlNode *method, struct gated *gated,
			     struct saml_refusal *ret_refusal)
{
	const char *uri = algorithm_of(method);

	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
		if (strcmp(uri, ciphers[i].uri) == 0 && is_bare(method)) {
			gated->cipher = ciphers[i].cipher;
			return 0;
		}
	return refuse(ret_refusal, "encryption-algorithm", "'%s'", uri);
}

static int check_data(const xmlNode *data, struct gated *gated, struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = { { NS_XENC, "EncryptionMethod", 1, 1 },
						      { NS_DS, "KeyInfo", 0, 1 },
						      { NS_XENC, "CipherData", 1, 1 } };
	const char *type = xml_attribute(data, "Type");
	xmlNode *found[ARRAY_LEN(children)];

	if (type && strcmp(type, encrypted_element) != 0)
		return refuse(ret_refusal, encryption_malformed, "EncryptedData of type '%s'",
			      type);
	if (shape_children(data, children, ARRAY_LEN(children), encryption_malformed, found,
			   ret_refusal) != 0 ||
	    check_data_method(found[0], gated, ret_refusal) != 0 ||
	    check_cipher_data(found[2], GATE_MESSAGE_MAX, ret_refusal) != 0)
		return 1;
	return found[1] ? add_keys(found[1], gated, ret_refusal) : 0;
}

int shape_encrypted(xmlNode *encrypted, struct gated *gated, struct saml_refusal *ret_refusal)
{
	static const struct child_rule children[] = {
		{ NS_XENC, "EncryptedData", 1, 1 },
		{ NS_XENC, "EncryptedKey", 0, GATE_CIPHER_KEYS_MAX },
	};
	xmlNode *found[ARRAY_LEN(children)];

	if (shape_children(encrypted, children, ARRAY_LEN(children), encryption_malformed, found,
			   ret_refusal) != 0 ||
	    check_data(found[0], gated, ret_refusal) != 0 ||
	    add_keys(encrypted, gated, ret_refusal) != 0)
		return 1;
	if (gated->encrypted_key_count == 0)
		return refuse(ret_refusal, encryption_malformed, "no EncryptedKey");
	gated->encrypted = encrypted;
	gated->encrypted_data = found[0];
	return 0;
}
