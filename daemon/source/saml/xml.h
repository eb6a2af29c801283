/*
 * Reading a libxml2 tree that came through the gate: elements, attributes without namespace, text. Texts
 * are borrowed from the document where they can be.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_XML_H
#define ROLEBRIDGE_SOURCE_SAML_XML_H

#include <stdbool.h>

#include <libxml/tree.h>

#include <rolebridge/base/arena.h>

#define NS_SAML "urn:oasis:names:tc:SAML:2.0:assertion"
#define NS_SAMLP "urn:oasis:names:tc:SAML:2.0:protocol"
#define NS_METADATA "urn:oasis:names:tc:SAML:2.0:metadata"
#define NS_DS "http://www.w3.org/2000/09/xmldsig#"
#define NS_XENC "http://www.w3.org/2001/04/xmlenc#"
#define NS_XENC11 "http://www.w3.org/2009/xmlenc11#"
#define NS_EXC_C14N "http://www.w3.org/2001/10/xml-exc-c14n#"
#define NS_XSI "http://www.w3.org/2001/XMLSchema-instance"

bool xml_is(const xmlNode *node, const char *namespace_uri, const char *name);
/* First child element, next sibling element; NULL: none. */
xmlNode *xml_first(const xmlNode *node);
xmlNode *xml_next(const xmlNode *node);
xmlNode *xml_child(const xmlNode *node, const char *namespace_uri, const char *name);
/* The next sibling of the same kind. */
xmlNode *xml_again(const xmlNode *node, const char *namespace_uri, const char *name);
/* An attribute in no namespace. NULL: absent. */
const char *xml_attribute(const xmlNode *node, const char *name);
/* The text of an attribute node; "" when empty; NULL when it is more than one text. */
const char *xml_value(const xmlAttr *attribute);
/* Joined text nodes, exactly as they are. NULL: there are elements inside, or no memory (ask the arena). */
const char *xml_text(const xmlNode *node, struct arena *arena);
/* The same without white space around it: to compare with what is known, never for names of people. */
const char *xml_trimmed_text(const xmlNode *node, struct arena *arena);

#endif
