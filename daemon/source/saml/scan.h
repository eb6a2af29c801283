/*
 * A look at the bytes before libxml2 sees them: UTF-8, no DOCTYPE, and nothing whose cost grows faster than its
 * size. libxml2 compares each attribute of an element with each other, and looks names up
 * through every namespace in scope; so both are counted here, where counting is linear.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_SCAN_H
#define ROLEBRIDGE_SOURCE_SAML_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/model/saml.h>

#define SCAN_DEPTH_MAX 64

struct scan_limits {
	size_t depth; /* at most SCAN_DEPTH_MAX */
	size_t elements, attributes;
	size_t attributes_each, namespaces_in_scope;
	size_t references; /* "&…;" */
	bool lax;	   /* comments, instructions and CDATA are allowed */
};

/* What is left to parse: without byte order mark and XML declaration. */
struct scanned {
	const char *data;
	size_t size;
	size_t elements;
};

/*
 * 0, or 1. Reasons: xml-encoding, xml-doctype, xml-comment, xml-cdata, xml-instruction, xml-too-complex,
 * xml-malformed (as far as it shows here).
 */
int scan_document(const void *data, size_t size, const struct scan_limits *limits,
		  struct scanned *ret_scanned, struct saml_refusal *ret_refusal);

#endif
