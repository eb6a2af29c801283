/*
 * The gate (see gate.h). Enters: anything at all. Leaves: a tree of which the following holds, or a refusal:
 *
 *	one root of the expected kind, Version 2.0, an ID that is registered, no other ID registered;
 *	no two equal IDs; elements and text only (metadata: comments and instructions as well);
 *	one Assertion or EncryptedAssertion in the whole document, as a child of the Response;
 *	Signatures only as direct children of Response, Assertion or logout message, each with one
 *	Reference to its parent; algorithms from the allow-lists.
 *
 * Three steps: the bytes (scan.c), libxml2 with everything dangerous off, one walk over the tree.
 */
#include "gate.h"

#include <string.h>

#include <libxml/parser.h>
#include <libxml/valid.h>

#include <rolebridge/base/util.h>

#include "refusal.h"
#include "scan.h"
#include "shape.h"
#include "xml.h"

#define IDS_MAX 64
#define IDENTIFIER_MAX 4096 /* Issuer, NameID: the standard says 1024 and 256 */

static const struct scan_limits message_limits = {
	.depth = 16,
	.elements = 5000,
	.attributes = 10000,
	.attributes_each = 24,
	.namespaces_in_scope = 20,
	.references = 8192,
};

static const struct scan_limits metadata_limits = {
	.depth = 48,
	.elements = 4 * 1000 * 1000,
	.attributes = 16 * 1000 * 1000,
	.attributes_each = 64,
	.namespaces_in_scope = 128,
	.references = 16 * 1000 * 1000,
	.lax = true,
};

static const struct kind {
	const char *namespace_uri, *root;
	const char *other_root; /* in the same namespace */
} kinds[] = {
	[GATE_RESPONSE] = { NS_SAMLP, "Response", NULL },
	[GATE_ASSERTION] = { NS_SAML, "Assertion", NULL },
	[GATE_LOGOUT_REQUEST] = { NS_SAMLP, "LogoutRequest", NULL },
	[GATE_LOGOUT_RESPONSE] = { NS_SAMLP, "LogoutResponse", NULL },
	[GATE_LOGOUT] = { NS_SAMLP, "LogoutRequest", "LogoutResponse" },
	[GATE_METADATA] = { NS_METADATA, "EntityDescriptor", "EntitiesDescriptor" },
};

struct gate {
	struct gated *gated;
	const struct gate_rules *rules;
	struct saml_refusal *refusal;
	size_t elements, assertions, signatures;
	const char *ids[IDS_MAX];
	size_t id_count;
};

/* --- parsing --- */

/* The first complaint, even a warning, is the last: complaints cost more than elements do. */
static void stop_at_error(void *context, xmlError *error)
{
	xmlParserCtxt *parser = error->ctxt ? error->ctxt : context;

	if (parser)
		xmlStopParser(parser);
}

/* Metadata may warn: relative namespaces, unknown languages. */
static void stop_unless_warning(void *context, xmlError *error)
{
	if (error->level != XML_ERR_WARNING)
		stop_at_error(context, error);
}

static xmlParserInput *load_nothing(const char *url UNUSED, const char *id UNUSED,
				    xmlParserCtxt *parser UNUSED)
{
	return NULL;
}

static int refuse_parse(const xmlParserCtxt *parser, struct saml_refusal *refusal)
{
	if (parser->lastError.code == XML_ERR_NO_MEMORY)
		return -1;
	return refuse(refusal, "xml-malformed", "line %d, code %d", parser->lastError.line,
		      parser->lastError.code);
}

static int parse(enum gate_kind kind, const struct scanned *scanned, xmlDoc **ret_doc,
		 struct saml_refusal *refusal)
{
	const int options = XML_PARSE_NONET | XML_PARSE_NOWARNING | XML_PARSE_NOERROR |
			    XML_PARSE_COMPACT | XML_PARSE_NOBASEFIX;
	xmlParserCtxt *parser = xmlNewParserCtxt();
	xmlDoc *doc;
	int result = 0;

	if (!parser)
		return -1;
	parser->sax->serror = kind == GATE_METADATA ? stop_unless_warning : stop_at_error;
	parser->sax->resolveEntity = NULL;
	parser->sax->getEntity = NULL;
	xmlSetExternalEntityLoader(load_nothing);
	doc = xmlCtxtReadMemory(parser, scanned->data, (int)scanned->size, NULL, NULL, options);
	if (!doc || !parser->wellFormed || !parser->nsWellFormed || parser->disableSAX ||
	    (parser->lastError.code != XML_ERR_OK && kind != GATE_METADATA)) {
		result = refuse_parse(parser, refusal);
		xmlFreeDoc(doc);
	} else {
		*ret_doc = doc;
	}
	xmlFreeParserCtxt(parser);
	return result;
}

/* --- the walk over everything --- */

static int refuse_shape(struct gate *gate, const xmlNode *node, const char *what)
{
	return refuse(gate->refusal, "shape-malformed", "'%s': %s", node->name, what);
}

static int take_id(struct gate *gate, const char *id)
{
	for (size_t i = 0; i < gate->id_count; i++)
		if (strcmp(gate->ids[i], id) == 0)
			return refuse(gate->refusal, "id-duplicate", "ID '%.200s'", id);
	if (gate->id_count == IDS_MAX)
		return refuse(gate->refusal, "xml-too-complex", "more than %d IDs", IDS_MAX);
	gate->ids[gate->id_count++] = id;
	return 0;
}

static bool is_id_name(const char *name)
{
	return (name[0] == 'I' || name[0] == 'i') && (name[1] == 'D' || name[1] == 'd') &&
	       name[2] == '\0';
}

static int walk_attributes(struct gate *gate, const xmlNode *node)
{
	for (const xmlAttr *a = node->properties; a; a = a->next) {
		const char *name = (const char *)a->name, *value = xml_value(a);

		if (!value)
			return refuse_shape(gate, node, "an attribute that is not one text");
		/* libxml2 registers xml:id by itself; xml:base changes what references mean. */
		if (a->ns &&
		    strcmp((const char *)a->ns->href, (const char *)XML_XML_NAMESPACE) == 0 &&
		    strcmp(name, "lang") != 0 && strcmp(name, "space") != 0)
			return refuse_shape(gate, node,
					    "an attribute 'xml:' that has no place here");
		if (is_id_name(name) && take_id(gate, value) != 0)
			return 1;
	}
	return 0;
}

/* Elements that count wherever they hide, in whatever namespace. */
static int walk_name(struct gate *gate, const xmlNode *node)
{
	const char *name = (const char *)node->name;

	if (strcmp(name, "Assertion") == 0 || strcmp(name, "EncryptedAssertion") == 0) {
		if (++gate->assertions > 1)
			return refuse(gate->refusal, "assertion-several",
				      "more than one assertion");
	} else if (strcmp(name, "Signature") == 0) {
		gate->signatures++;
	} else if (strcmp(name, "EncryptedID") == 0 || strcmp(name, "NewEncryptedID") == 0 ||
		   strcmp(name, "EncryptedAttribute") == 0) {
		return refuse(gate->refusal, "encryption-unsupported", "an %s", name);
	} else if (node->ns &&
		   strcmp((const char *)node->ns->href, "http://www.w3.org/2001/XInclude") == 0) {
		return refuse(gate->refusal, "xml-xinclude", "an element of XInclude");
	}
	return 0;
}

/* As deep as scan_document let through. */
static int walk(struct gate *gate, const xmlNode *node)
{
	gate->elements++;
	if (walk_name(gate, node) != 0 || walk_attributes(gate, node) != 0)
		return 1;
	for (const xmlNode *child = node->children; child; child = child->next) {
		if (child->type == XML_TEXT_NODE)
			continue;
		if (child->type != XML_ELEMENT_NODE)
			return refuse_shape(gate, node, "neither element nor text inside");
		if (walk(gate, child) != 0)
			return 1;
	}
	return 0;
}

/* --- identifiers --- */

/* Characters that mean nothing inside an XPointer; IDs of every known product are of these. */
static bool is_plain_id(const char *id)
{
	size_t size = id ? strlen(id) : 0;

	return size > 0 && size <= GATE_ID_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:") ==
		       size;
}

/* Make the ID known to references: the only way in. */
static int register_id(struct gate *gate, xmlNode *node, const char **ret_id)
{
	for (xmlAttr *a = node->properties; a; a = a->next) {
		if (a->ns || strcmp((const char *)a->name, "ID") != 0)
			continue;
		if (!is_plain_id(xml_value(a)))
			break;
		if (!xmlAddID(NULL, gate->gated->doc, (const xmlChar *)xml_value(a), a))
			return refuse(gate->refusal, "id-duplicate", "ID '%.200s'", xml_value(a));
		*ret_id = xml_value(a);
		return 0;
	}
	return refuse(gate->refusal, "id-malformed", "'%s' has no proper ID", node->name);
}

static int check_message_head(struct gate *gate, xmlNode *node, const char **ret_id)
{
	const char *version = xml_attribute(node, "Version");

	if (!version || strcmp(version, "2.0") != 0)
		return refuse(gate->refusal, "version-unsupported", "'%s' of Version '%.32s'",
			      node->name, version ? version : "");
	if (!xml_attribute(node, "IssueInstant"))
		return refuse_shape(gate, node, "no IssueInstant");
	return register_id(gate, node, ret_id);
}

static int check_identifier(struct gate *gate, const xmlNode *node)
{
	if (node && !shape_has_text(node, IDENTIFIER_MAX))
		return refuse(gate->refusal, "identifier-malformed",
			      "'%s' is empty, too long or more than text", node->name);
	return 0;
}

/* --- messages --- */

static int check_status(struct gate *gate, const xmlNode *status)
{
	static const struct child_rule children[] = { { NS_SAMLP, "StatusCode", 1, 1 },
						      { NS_SAMLP, "StatusMessage", 0, 1 },
						      { NS_SAMLP, "StatusDetail", 0, 1 } };
	static const struct child_rule second[] = { { NS_SAMLP, "StatusCode", 0, 1 } };
	xmlNode *found[ARRAY_LEN(children)], *inner;

	if (shape_children(status, children, ARRAY_LEN(children), NULL, found, gate->refusal) !=
		    0 ||
	    shape_children(found[0], second, 1, NULL, &inner, gate->refusal) != 0)
		return 1;
	if (!xml_attribute(found[0], "Value") || (inner && !xml_attribute(inner, "Value")))
		return refuse_shape(gate, found[0], "no Value");
	return 0;
}

static int check_subject(struct gate *gate, const xmlNode *subject)
{
	static const struct child_rule children[] = { { NS_SAML, "NameID", 0, 1 },
						      { NS_SAML, "SubjectConfirmation", 0, 4 } };
	static const struct child_rule inside[] = { { NS_SAML, "NameID", 0, 1 },
						    { NS_SAML, "SubjectConfirmationData", 0, 1 } };
	xmlNode *found[ARRAY_LEN(children)], *parts[ARRAY_LEN(inside)];

	if (shape_children(subject, children, ARRAY_LEN(children), NULL, found, gate->refusal) != 0)
		return 1;
	/* An empty NameID is for the checks to refuse, with their own reason. */
	if (found[0] && xml_first(found[0]))
		return refuse(gate->refusal, "identifier-malformed", "elements inside NameID");
	for (const xmlNode *c = found[1]; c; c = xml_again(c, NS_SAML, "SubjectConfirmation"))
		if (shape_children(c, inside, ARRAY_LEN(inside), NULL, parts, gate->refusal) != 0)
			return 1;
	return 0;
}

static int check_authn_statement(struct gate *gate, const xmlNode *statement)
{
	static const struct child_rule children[] = { { NS_SAML, "SubjectLocality", 0, 1 },
						      { NS_SAML, "AuthnContext", 1, 1 } };
	static const struct child_rule context[] = { { NS_SAML, "AuthnContextClassRef", 0, 1 },
						     { NS_SAML, "AuthnContextDecl", 0, 1 },
						     { NS_SAML, "AuthnContextDeclRef", 0, 1 },
						     { NS_SAML, "AuthenticatingAuthority", 0,
						       16 } };
	xmlNode *found[ARRAY_LEN(children)], *parts[ARRAY_LEN(context)];

	if (shape_children(statement, children, ARRAY_LEN(children), NULL, found, gate->refusal) !=
		    0 ||
	    shape_children(found[1], context, ARRAY_LEN(context), NULL, parts, gate->refusal) != 0)
		return 1;
	return check_identifier(gate, parts[0]);
}

static int check_attribute_statements(struct gate *gate, const xmlNode *first)
{
	static const struct child_rule children[] = { { NS_SAML, "Attribute", 0, 5000 } };
	static const struct child_rule values[] = { { NS_SAML, "AttributeValue", 0, 5000 } };

	for (const xmlNode *s = first; s; s = xml_again(s, NS_SAML, "AttributeStatement")) {
		xmlNode *attribute, *value;

		if (shape_children(s, children, 1, NULL, &attribute, gate->refusal) != 0)
			return 1;
		for (; attribute; attribute = xml_next(attribute)) {
			const char *name = xml_attribute(attribute, "Name");

			if (!name || !*name)
				return refuse_shape(gate, attribute, "no Name");
			if (shape_children(attribute, values, 1, NULL, &value, gate->refusal) != 0)
				return 1;
		}
	}
	return 0;
}

static int check_signature(struct gate *gate, const xmlNode *signature, const char *id)
{
	if (!signature)
		return 0;
	gate->signatures--;
	return shape_signature(signature, id, gate->rules, gate->refusal);
}

static int check_assertion(struct gate *gate, xmlNode *assertion)
{
	enum { ISSUER, SIGNATURE, SUBJECT, CONDITIONS, ADVICE, AUTHN, DECISION, ATTRIBUTES, PARTS };
	static const struct child_rule children[PARTS] = {
		[ISSUER] = { NS_SAML, "Issuer", 1, 1 },
		[SIGNATURE] = { NS_DS, "Signature", 0, 1 },
		[SUBJECT] = { NS_SAML, "Subject", 1, 1 },
		[CONDITIONS] = { NS_SAML, "Conditions", 0, 1 },
		[ADVICE] = { NS_SAML, "Advice", 0, 1 },
		[AUTHN] = { NS_SAML, "AuthnStatement", 0, 4 },
		[DECISION] = { NS_SAML, "AuthzDecisionStatement", 0, 16 },
		[ATTRIBUTES] = { NS_SAML, "AttributeStatement", 0, 16 },
	};
	struct gated *gated = gate->gated;
	xmlNode *found[PARTS];

	if (check_message_head(gate, assertion, &gated->assertion_id) != 0 ||
	    shape_children(assertion, children, PARTS, NULL, found, gate->refusal) != 0 ||
	    check_identifier(gate, found[ISSUER]) != 0 ||
	    check_signature(gate, found[SIGNATURE], gated->assertion_id) != 0 ||
	    check_subject(gate, found[SUBJECT]) != 0)
		return 1;
	for (const xmlNode *s = found[AUTHN]; s; s = xml_again(s, NS_SAML, "AuthnStatement"))
		if (check_authn_statement(gate, s) != 0)
			return 1;
	gated->assertion = assertion;
	gated->assertion_signature = found[SIGNATURE];
	return check_attribute_statements(gate, found[ATTRIBUTES]);
}

static int check_response(struct gate *gate, xmlNode *root)
{
	enum { ISSUER, SIGNATURE, EXTENSIONS, STATUS, ASSERTION, ENCRYPTED, PARTS };
	static const struct child_rule children[PARTS] = {
		[ISSUER] = { NS_SAML, "Issuer", 0, 1 },
		[SIGNATURE] = { NS_DS, "Signature", 0, 1 },
		[EXTENSIONS] = { NS_SAMLP, "Extensions", 0, 1 },
		[STATUS] = { NS_SAMLP, "Status", 1, 1 },
		[ASSERTION] = { NS_SAML, "Assertion", 0, 1 },
		[ENCRYPTED] = { NS_SAML, "EncryptedAssertion", 0, 1 },
	};
	struct gated *gated = gate->gated;
	xmlNode *found[PARTS];

	if (shape_children(root, children, PARTS, NULL, found, gate->refusal) != 0 ||
	    check_identifier(gate, found[ISSUER]) != 0 || check_status(gate, found[STATUS]) != 0 ||
	    check_signature(gate, found[SIGNATURE], gated->id) != 0)
		return 1;
	gated->root_signature = found[SIGNATURE];
	if (found[ASSERTION])
		return check_assertion(gate, found[ASSERTION]);
	if (found[ENCRYPTED])
		return shape_encrypted(found[ENCRYPTED], gated, gate->refusal);
	/* One that says "failed" has none; the checks tell which. */
	return gate->assertions == 0 ? 0
				     : refuse(gate->refusal, "assertion-misplaced",
					      "an assertion that is no child of the Response");
}

static int check_logout_request(struct gate *gate, xmlNode *root)
{
	enum { ISSUER, SIGNATURE, EXTENSIONS, NAME_ID, SESSION_INDEX, PARTS };
	static const struct child_rule children[PARTS] = {
		[ISSUER] = { NS_SAML, "Issuer", 1, 1 },
		[SIGNATURE] = { NS_DS, "Signature", 0, 1 },
		[EXTENSIONS] = { NS_SAMLP, "Extensions", 0, 1 },
		[NAME_ID] = { NS_SAML, "NameID", 1, 1 },
		[SESSION_INDEX] = { NS_SAMLP, "SessionIndex", 0, GATE_SESSION_INDEXES_MAX },
	};
	xmlNode *found[PARTS];

	if (shape_children(root, children, PARTS, NULL, found, gate->refusal) != 0 ||
	    check_identifier(gate, found[ISSUER]) != 0 ||
	    check_identifier(gate, found[NAME_ID]) != 0 ||
	    check_signature(gate, found[SIGNATURE], gate->gated->id) != 0)
		return 1;
	for (const xmlNode *i = found[SESSION_INDEX]; i; i = xml_again(i, NS_SAMLP, "SessionIndex"))
		if (check_identifier(gate, i) != 0)
			return 1;
	gate->gated->root_signature = found[SIGNATURE];
	return 0;
}

static int check_logout_response(struct gate *gate, xmlNode *root)
{
	enum { ISSUER, SIGNATURE, EXTENSIONS, STATUS, PARTS };
	static const struct child_rule children[PARTS] = {
		[ISSUER] = { NS_SAML, "Issuer", 1, 1 },
		[SIGNATURE] = { NS_DS, "Signature", 0, 1 },
		[EXTENSIONS] = { NS_SAMLP, "Extensions", 0, 1 },
		[STATUS] = { NS_SAMLP, "Status", 1, 1 },
	};
	xmlNode *found[PARTS];

	if (shape_children(root, children, PARTS, NULL, found, gate->refusal) != 0 ||
	    check_identifier(gate, found[ISSUER]) != 0 || check_status(gate, found[STATUS]) != 0 ||
	    check_signature(gate, found[SIGNATURE], gate->gated->id) != 0)
		return 1;
	gate->gated->root_signature = found[SIGNATURE];
	return 0;
}

/* What came in as a logout message has no business with assertions. */
static int check_no_assertion(struct gate *gate)
{
	return gate->assertions == 0 ? 0
				     : refuse(gate->refusal, "assertion-misplaced",
					      "an assertion in a logout message");
}

static int check_message(struct gate *gate)
{
	struct gated *gated = gate->gated;
	int result = 0;

	if (walk(gate, gated->root) != 0)
		return 1;
	if (gated->kind != GATE_ASSERTION && check_message_head(gate, gated->root, &gated->id) != 0)
		return 1;
	switch (gated->kind) {
	case GATE_RESPONSE: result = check_response(gate, gated->root); break;
	case GATE_ASSERTION:
		result = check_assertion(gate, gated->root);
		gated->id = gated->assertion_id;
		gated->root_signature = gated->assertion_signature;
		break;
	case GATE_LOGOUT_REQUEST:
		result = check_no_assertion(gate) || check_logout_request(gate, gated->root);
		break;
	case GATE_LOGOUT_RESPONSE:
		result = check_no_assertion(gate) || check_logout_response(gate, gated->root);
		break;
	case GATE_LOGOUT:
	case GATE_METADATA: break;
	}
	if (result == 0 && gate->signatures != 0)
		return refuse(gate->refusal, "signature-misplaced",
			      "a Signature where nothing is signed");
	return result;
}

/* --- metadata --- */

/* No other element may claim the ID that the signature refers to. */
static bool has_other_id(const xmlNode *node, const xmlNode *root, const char *id)
{
	for (const xmlAttr *a = node->properties; a && node != root; a = a->next)
		if (is_id_name((const char *)a->name) && strcmp(xml_value(a), id) == 0)
			return true;
	for (const xmlNode *child = xml_first(node); child; child = xml_next(child))
		if (has_other_id(child, root, id))
			return true;
	return false;
}

static bool has_plain_attributes(const xmlNode *node)
{
	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (!xml_value(a) ||
		    (a->ns &&
		     strcmp((const char *)a->ns->href, (const char *)XML_XML_NAMESPACE) == 0 &&
		     strcmp((const char *)a->name, "id") == 0))
			return false;
	for (const xmlNode *child = xml_first(node); child; child = xml_next(child))
		if (!has_plain_attributes(child))
			return false;
	return true;
}

/* Only the document's own signature counts; those deeper down are nobody's business. */
static int check_metadata(struct gate *gate)
{
	struct gated *gated = gate->gated;
	xmlNode *signature = xml_child(gated->root, NS_DS, "Signature");

	if (!has_plain_attributes(gated->root))
		return refuse_shape(gate, gated->root, "an attribute that has no place here");
	if (!signature)
		return 0;
	if (xml_again(signature, NS_DS, "Signature"))
		return refuse(gate->refusal, "signature-malformed", "two Signatures");
	if (register_id(gate, gated->root, &gated->id) != 0)
		return 1;
	if (has_other_id(gated->root, gated->root, gated->id))
		return refuse(gate->refusal, "id-duplicate", "ID '%.200s'", gated->id);
	gated->root_signature = signature;
	return shape_signature(signature, gated->id, gate->rules, gate->refusal);
}

/* --- all together --- */

static int check_root(struct gate *gate)
{
	const struct kind *kind = &kinds[gate->gated->kind];
	const xmlNode *root = gate->gated->root;
	bool first = xml_is(root, kind->namespace_uri, kind->root);

	if (gate->gated->kind == GATE_LOGOUT)
		gate->gated->kind = first ? GATE_LOGOUT_REQUEST : GATE_LOGOUT_RESPONSE;
	if (first || (kind->other_root && xml_is(root, kind->namespace_uri, kind->other_root)))
		return 0;
	return refuse(gate->refusal, "root-unexpected", "'%.100s', not '%s'",
		      root ? (const char *)root->name : "nothing", kind->root);
}

int gate_parse(enum gate_kind kind, const struct gate_rules *rules, const void *data, size_t size,
	       struct gated *ret_gated, struct saml_refusal *ret_refusal)
{
	const struct scan_limits *limits =
		kind == GATE_METADATA ? &metadata_limits : &message_limits;
	size_t max = kind == GATE_METADATA ? SIZE_MAX >> 33 : GATE_MESSAGE_MAX;
	struct gated gated = { .kind = kind };
	struct gate gate = { .gated = &gated, .rules = rules, .refusal = ret_refusal };
	struct scanned scanned;
	int result;

	if (size > max)
		return refuse(ret_refusal, "message-too-large", "%zu bytes, at most %zu", size,
			      max);
	if (scan_document(data, size, limits, &scanned, ret_refusal) != 0)
		return 1;
	result = parse(kind, &scanned, &gated.doc, ret_refusal);
	if (result != 0)
		return result;
	gated.root = xmlDocGetRootElement(gated.doc);
	result = check_root(&gate);
	if (result == 0)
		result = kind == GATE_METADATA ? check_metadata(&gate) : check_message(&gate);
	/* Two readers that count differently did not read the same. */
	if (result == 0 && kind != GATE_METADATA && gate.elements != scanned.elements)
		result = refuse(ret_refusal, "xml-malformed", "elements that do not add up");
	if (result != 0)
		gated_finish(&gated);
	else
		*ret_gated = gated;
	return result;
}

void gated_finish(struct gated *gated)
{
	xmlFreeDoc(gated->doc);
	*gated = (struct gated){ 0 };
}
