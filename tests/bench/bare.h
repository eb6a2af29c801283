/*
 * The yardstick of signing in: the least that anybody could do with the same libraries. Decode, parse with libxml2,
 * verify with xmlsec1 and a key that is lent, read the attributes, check nothing.
 */
#ifndef TESTS_BENCH_BARE_H
#define TESTS_BENCH_BARE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../saml_make.h"

#define BARE_NOW_S 1900000000

struct bare {
	const struct saml_pair *idp;
	xmlSecKeysMngr *manager; /* with our private key */
};

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void stop(const char *what, const char *which)
{
	fprintf(stderr, "bench: %s %s\n", what, which);
	exit(1);
}

static struct bare bare_create(const struct saml_pair *idp, const struct saml_pair *sp)
{
	struct bare bare = { .idp = idp, .manager = xmlSecKeysMngrCreate() };

	xmlSecOpenSSLAppDefaultKeysMngrInit(bare.manager);
	xmlSecOpenSSLAppDefaultKeysMngrAdoptKey(bare.manager, xmlSecKeyDuplicate(sp->xml));
	return bare;
}

static xmlNode *child(xmlNode *node, const char *name)
{
	xmlNode *found = saml_make_child(node, name);

	if (!found)
		stop("no", name);
	return found;
}

static size_t bare_verify(const struct bare *b, xmlDoc *doc, xmlNode *element)
{
	xmlSecDSigCtx *context = xmlSecDSigCtxCreate(NULL);
	xmlAttr *id = xmlHasProp(element, (const xmlChar *)"ID");
	bool good;

	xmlAddID(NULL, doc, id->children->content, id);
	context->signKey = b->idp->xml;
	good = xmlSecDSigCtxVerify(context, child(element, "Signature")) == 0 &&
	       context->status == xmlSecDSigStatusSucceeded;
	context->signKey = NULL;
	xmlSecDSigCtxDestroy(context);
	if (!good)
		stop("the yardstick", "refused");
	return 1;
}

static void bare_decrypt(const struct bare *b, xmlNode *holder)
{
	xmlSecEncCtx *context = xmlSecEncCtxCreate(b->manager);

	if (xmlSecEncCtxDecrypt(context, child(holder, "EncryptedData")) < 0)
		stop("the yardstick", "cannot decrypt");
	xmlSecEncCtxDestroy(context);
}

static size_t bare_attributes(xmlNode *assertion)
{
	size_t bytes = 0;

	for (xmlNode *a = child(assertion, "AttributeStatement")->children; a; a = a->next)
		for (xmlNode *v = a->children; v; v = v->next) {
			xmlChar *text = xmlNodeGetContent(v);

			bytes += (size_t)xmlStrlen(text);
			xmlFree(text);
		}
	return bytes;
}

static size_t bare_one(const struct bare *b, const char *encoded, size_t size)
{
	unsigned char *xml = malloc(size);
	size_t xml_size = 0, done = 0;
	xmlNode *root, *holder;
	xmlDoc *doc;

	xml_size = (size_t)EVP_DecodeBlock(xml, (const unsigned char *)encoded, (int)size);
	while (xml_size > 0 && xml[xml_size - 1] == '\0')
		xml_size--;
	doc = xmlReadMemory((const char *)xml, (int)xml_size, NULL, NULL, XML_PARSE_NONET);
	if (!doc)
		stop("the yardstick", "cannot parse");
	root = xmlDocGetRootElement(doc);
	holder = saml_make_child(root, "EncryptedAssertion");
	if (saml_make_child(root, "Signature"))
		done += bare_verify(b, doc, root);
	if (holder)
		bare_decrypt(b, holder);
	else
		holder = root;
	if (saml_make_child(child(holder, "Assertion"), "Signature"))
		done += bare_verify(b, doc, child(holder, "Assertion"));
	done += bare_attributes(child(holder, "Assertion"));
	xmlFreeDoc(doc);
	free(xml);
	return done;
}

/* What is measured: 20 groups, 8.2 kB. */
static struct saml_make bare_message(const struct saml_pair *idp)
{
	return (struct saml_make){ .idp = idp,
				   .idp_entity_id = "https://idp.example/metadata",
				   .sp_entity_id = "https://sp.example/saml/corp/metadata",
				   .acs_url = "https://sp.example/saml/corp/acs",
				   .request_id = "_request",
				   .name_id = "7d5a-ada",
				   .now_s = BARE_NOW_S,
				   .groups = 20,
				   .signatures = SAML_MAKE_ASSERTION };
}

#endif
