/*
 * An identity provider for tests and benchmarks: key pairs, metadata, signed and
 * encrypted responses, made with xmlsec1 and OpenSSL. It shares nothing with the code under test.
 * Call saml_make_init once; failures end the program.
 */
#ifndef ROLEBRIDGE_TESTS_SAML_MAKE_H
#define ROLEBRIDGE_TESTS_SAML_MAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <xmlsec/crypto.h>
#include <xmlsec/keysdata.h>
#include <xmlsec/list.h>
#include <xmlsec/openssl/app.h>
#include <xmlsec/openssl/crypto.h>
#include <xmlsec/openssl/evp.h>
#include <xmlsec/templates.h>
#include <xmlsec/xmldsig.h>
#include <xmlsec/xmlenc.h>
#include <xmlsec/xmlsec.h>
#include <xmlsec/xmltree.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define SAML_MAKE_MAX ((size_t)4 * 1024 * 1024)

static inline void saml_make_check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "saml_make: %s failed\n", what);
	abort();
}

static inline void saml_make_init(void)
{
	/* Done before by somebody else in this program. */
	if (xmlSecKeyDataIdsGet()->id)
		return;
	saml_make_check(xmlSecInit() >= 0 && xmlSecOpenSSLAppInit(NULL) >= 0 &&
				xmlSecOpenSSLInit() >= 0,
			"xmlsec");
}

/* --- keys --- */

struct saml_pair {
	EVP_PKEY *key;
	X509 *certificate;
	xmlSecKey *xml;
	char *text; /* certificate, base64 of DER, one line */
	unsigned char *der;
	size_t der_size;
};

static inline X509 *saml_make_certificate(EVP_PKEY *key, const char *name)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * 3650);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
				   0);
	X509_set_issuer_name(certificate, subject);
	saml_make_check(X509_sign(certificate, key, EVP_sha256()) > 0, "certificate");
	return certificate;
}

static inline char *saml_make_base64(const void *data, size_t size)
{
	char *text = calloc((size + 2) / 3 + 1, 4);

	saml_make_check(text != NULL, "memory");
	EVP_EncodeBlock((unsigned char *)text, data, (int)size);
	return text;
}

static inline struct saml_pair saml_pair_of(EVP_PKEY *key, const char *name)
{
	struct saml_pair pair = { .key = key };
	int size;

	saml_make_check(key != NULL, "key");
	pair.certificate = saml_make_certificate(key, name);
	size = i2d_X509(pair.certificate, &pair.der);
	pair.der_size = (size_t)size;
	pair.text = saml_make_base64(pair.der, pair.der_size);
	EVP_PKEY_up_ref(key);
	pair.xml = xmlSecKeyCreate();
	saml_make_check(xmlSecKeySetValue(pair.xml, xmlSecOpenSSLEvpKeyAdopt(key)) >= 0, "xml key");
	return pair;
}

static inline struct saml_pair saml_pair_create(unsigned bits, const char *name)
{
	return saml_pair_of(EVP_RSA_gen(bits), name);
}

/* The same pair in another process: both files in PEM. */
static inline struct saml_pair saml_pair_read(const char *key_path)
{
	FILE *file = fopen(key_path, "re");
	EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;

	if (file)
		fclose(file);
	return saml_pair_of(key, "idp");
}

static inline void saml_pair_destroy(struct saml_pair *pair)
{
	xmlSecKeyDestroy(pair->xml);
	X509_free(pair->certificate);
	EVP_PKEY_free(pair->key);
	OPENSSL_free(pair->der);
	free(pair->text);
}

/* Into files that exist already; NULL: not that one. */
static inline void saml_pair_write(const struct saml_pair *pair, const char *certificate_path,
				   const char *key_path)
{
	FILE *file = certificate_path ? fopen(certificate_path, "we") : NULL;

	if (certificate_path)
		saml_make_check(file && PEM_write_X509(file, pair->certificate) &&
					fclose(file) == 0,
				"writing a certificate");
	file = key_path ? fopen(key_path, "we") : NULL;
	if (key_path)
		saml_make_check(
			file && PEM_write_PrivateKey(file, pair->key, NULL, NULL, 0, NULL, NULL) &&
				fclose(file) == 0,
			"writing a key");
}

/* --- responses --- */

enum saml_make_signed { SAML_MAKE_ASSERTION = 1, SAML_MAKE_RESPONSE = 2 };

struct saml_make {
	const struct saml_pair *idp;
	const char *idp_entity_id, *sp_entity_id, *acs_url;
	const char *request_id; /* NULL: unsolicited */
	const char *name_id;
	int64_t now_s;
	uint64_t number; /* makes IDs unique, and the person */
	uint64_t people; /* 0: each has an own; else so many take turns */
	unsigned
		groups; /* values of isMemberOf; 20 with 300 bytes of padding each: 8.2 kB in all */
	unsigned signatures;		    /* enum saml_make_signed */
	const struct saml_pair *encrypt_to; /* NULL: plain */
	bool cbc;
};

static inline void saml_make_time(struct strbuf *out, const char *name, int64_t time_s)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(time_s, text);
	strbuf_printf(out, " %s=\"%s\"", name, text);
}

static inline void saml_make_attribute(struct strbuf *out, const char *name, const char *friendly,
				       const char *value)
{
	strbuf_printf(out,
		      "<saml:Attribute Name=\"%s\" FriendlyName=\"%s\" NameFormat=\""
		      "urn:oasis:names:tc:SAML:2.0:attrname-format:uri\"><saml:AttributeValue "
		      "xsi:type=\"xs:string\">%s</saml:AttributeValue></saml:Attribute>",
		      name, friendly, value);
}

static inline void saml_make_attributes(struct strbuf *out, const struct saml_make *make)
{
	unsigned long long person = make->people ? make->number % make->people : make->number;
	char text[128];
	const char *const fixed[][3] = {
		{ "urn:oid:2.5.4.42", "givenName", "Ada" },
		{ "urn:oid:2.5.4.4", "sn", "Lovelace" },
		{ "urn:oid:2.5.4.3", "cn", "Ada Lovelace" },
		{ "urn:oid:2.16.840.1.113730.3.1.241", "displayName", "Ada Lovelace" },
		{ "urn:oid:2.5.4.12", "title", "Head of R&amp;D" },
		{ "urn:oid:2.5.4.11", "ou", "R&amp;D" },
		{ "urn:oid:2.16.840.1.113730.3.1.3", "employeeNumber", "4711" },
	};

	strbuf_puts(out, "<saml:AttributeStatement>");
	snprintf(text, sizeof(text), "ada%llu", person);
	saml_make_attribute(out, "urn:oid:0.9.2342.19200300.100.1.1", "uid", text);
	snprintf(text, sizeof(text), "ada%llu@acme.example", person);
	saml_make_attribute(out, "urn:oid:0.9.2342.19200300.100.1.3", "mail", text);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		saml_make_attribute(out, fixed[i][0], fixed[i][1], fixed[i][2]);
	if (make->groups > 0)
		strbuf_puts(out, "<saml:Attribute Name=\"urn:oid:1.3.6.1.4.1.5923.1.5.1.1\" "
				 "FriendlyName=\"isMemberOf\" NameFormat=\"urn:oasis:names:tc:"
				 "SAML:2.0:attrname-format:uri\">");
	for (unsigned i = 0; i < make->groups; i++)
		strbuf_printf(out,
			      "<saml:AttributeValue xsi:type=\"xs:string\">cn=group-%04u,"
			      "ou=services,ou=groups,dc=acme,dc=example</saml:AttributeValue>",
			      i);
	if (make->groups > 0)
		strbuf_puts(out, "</saml:Attribute>");
	strbuf_puts(out, "</saml:AttributeStatement>");
}

static inline void saml_make_assertion(struct strbuf *out, const struct saml_make *make)
{
	strbuf_printf(out,
		      "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" "
		      "xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\""
		      "http://www.w3.org/2001/XMLSchema-instance\" ID=\"_a%030llx\" "
		      "Version=\"2.0\"",
		      (unsigned long long)make->number);
	saml_make_time(out, "IssueInstant", make->now_s);
	strbuf_printf(out,
		      "><saml:Issuer>%s</saml:Issuer><saml:Subject><saml:NameID Format=\"urn:"
		      "oasis:names:tc:SAML:2.0:nameid-format:persistent\">%s</saml:NameID>"
		      "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">"
		      "<saml:SubjectConfirmationData Recipient=\"%s\"",
		      make->idp_entity_id, make->name_id, make->acs_url);
	saml_make_time(out, "NotOnOrAfter", make->now_s + 300);
	if (make->request_id)
		strbuf_printf(out, " InResponseTo=\"%s\"", make->request_id);
	strbuf_puts(out, "/></saml:SubjectConfirmation></saml:Subject><saml:Conditions");
	saml_make_time(out, "NotBefore", make->now_s - 30);
	saml_make_time(out, "NotOnOrAfter", make->now_s + 300);
	strbuf_printf(out,
		      "><saml:AudienceRestriction><saml:Audience>%s</saml:Audience>"
		      "</saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement",
		      make->sp_entity_id);
	saml_make_time(out, "AuthnInstant", make->now_s - 5);
	saml_make_time(out, "SessionNotOnOrAfter", make->now_s + 28800);
	strbuf_printf(out,
		      " SessionIndex=\"_s%030llx\"><saml:AuthnContext><saml:AuthnContextClassRef>"
		      "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
		      "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>",
		      (unsigned long long)make->number);
	saml_make_attributes(out, make);
	strbuf_puts(out, "</saml:Assertion>");
}

static inline void saml_make_unsigned(struct strbuf *out, const struct saml_make *make)
{
	strbuf_printf(out,
		      "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" "
		      "xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r%030llx\" "
		      "Version=\"2.0\" Destination=\"%s\"",
		      (unsigned long long)make->number, make->acs_url);
	saml_make_time(out, "IssueInstant", make->now_s);
	if (make->request_id)
		strbuf_printf(out, " InResponseTo=\"%s\"", make->request_id);
	strbuf_printf(out,
		      "><saml:Issuer>%s</saml:Issuer><samlp:Status><samlp:StatusCode Value=\"urn:"
		      "oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>",
		      make->idp_entity_id);
	saml_make_assertion(out, make);
	strbuf_puts(out, "</samlp:Response>");
}

static inline xmlNode *saml_make_child(xmlNode *node, const char *name)
{
	for (xmlNode *child = node->children; child; child = child->next)
		if (child->type == XML_ELEMENT_NODE && strcmp((const char *)child->name, name) == 0)
			return child;
	return NULL;
}

/* The signature behind the named child; the certificate in KeyInfo, as IdPs send it. */
static inline void saml_make_sign_behind(xmlNode *element, const char *child,
					 const struct saml_pair *pair)
{
	xmlAttr *id = xmlHasProp(element, (const xmlChar *)"ID");
	xmlChar *value = xmlGetProp(element, (const xmlChar *)"ID");
	xmlChar uri[300];
	xmlNode *signature, *reference, *data;
	xmlSecDSigCtx *context = xmlSecDSigCtxCreate(NULL);

	xmlStrPrintf(uri, sizeof(uri), "#%s", value);
	xmlAddID(NULL, element->doc, value, id);
	signature = xmlSecTmplSignatureCreateNsPref(element->doc, xmlSecTransformExclC14NId,
						    xmlSecOpenSSLTransformRsaSha256Id, NULL,
						    (const xmlChar *)"ds");
	xmlAddNextSibling(saml_make_child(element, child), signature);
	reference = xmlSecTmplSignatureAddReference(signature, xmlSecOpenSSLTransformSha256Id, NULL,
						    uri, NULL);
	xmlSecTmplReferenceAddTransform(reference, xmlSecTransformEnvelopedId);
	xmlSecTmplReferenceAddTransform(reference, xmlSecTransformExclC14NId);
	data = xmlSecTmplKeyInfoAddX509Data(xmlSecTmplSignatureEnsureKeyInfo(signature, NULL));
	xmlNewTextChild(data, data->ns, (const xmlChar *)"X509Certificate",
			(const xmlChar *)pair->text);
	context->signKey = xmlSecKeyDuplicate(pair->xml);
	saml_make_check(xmlSecDSigCtxSign(context, signature) >= 0, "signing");
	xmlSecDSigCtxDestroy(context);
	xmlFree(value);
}

static inline void saml_make_sign(xmlNode *element, const struct saml_pair *pair)
{
	saml_make_sign_behind(element, "Issuer", pair);
}

/* The assertion becomes an EncryptedAssertion: AES-256, its key by RSA-OAEP. */
static inline void saml_make_encrypt(xmlNode *assertion, const struct saml_make *make)
{
	xmlNode *holder = xmlNewNode(assertion->ns, (const xmlChar *)"EncryptedAssertion");
	xmlNode *data, *info, *key;
	xmlSecEncCtx *context;
	xmlSecKeysMngr *manager = xmlSecKeysMngrCreate();
	xmlSecKey *public_key = xmlSecKeyCreate();

	/* The assertion alone, with its own declaration of the prefix: it stands so after decryption. */
	xmlReplaceNode(assertion, holder);
	xmlSetNs(holder,
		 holder->parent->ns->next ? holder->parent->ns->next : holder->parent->nsDef->next);
	xmlAddChild(holder, assertion);
	EVP_PKEY_up_ref(make->encrypt_to->key);
	xmlSecKeySetValue(public_key, xmlSecOpenSSLEvpKeyAdopt(make->encrypt_to->key));
	xmlSecOpenSSLAppDefaultKeysMngrInit(manager);
	xmlSecOpenSSLAppDefaultKeysMngrAdoptKey(manager, public_key);
	context = xmlSecEncCtxCreate(manager);
	data = xmlSecTmplEncDataCreate(assertion->doc,
				       make->cbc ? xmlSecOpenSSLTransformAes256CbcId
						 : xmlSecOpenSSLTransformAes256GcmId,
				       NULL, xmlSecTypeEncElement, NULL, NULL);
	xmlSecTmplEncDataEnsureCipherValue(data);
	info = xmlSecTmplEncDataEnsureKeyInfo(data, NULL);
	key = xmlSecTmplKeyInfoAddEncryptedKey(info, xmlSecOpenSSLTransformRsaOaepId, NULL, NULL,
					       NULL);
	xmlSecTmplEncDataEnsureCipherValue(key);
	context->encKey =
		xmlSecKeyGenerateByName((const xmlChar *)"aes", 256, xmlSecKeyDataTypeSession);
	saml_make_check(context->encKey && xmlSecEncCtxXmlEncrypt(context, data, assertion) >= 0,
			"encrypting");
	xmlSecEncCtxDestroy(context);
	xmlSecKeysMngrDestroy(manager);
}

/* The whole response as XML; free. *ret_size without the NUL. */
static inline char *saml_make_xml(const struct saml_make *make, size_t *ret_size)
{
	struct strbuf text = STRBUF(SAML_MAKE_MAX);
	xmlNode *root, *assertion;
	xmlChar *bytes = NULL;
	char *copy;
	xmlDoc *doc;
	int size = 0;

	saml_make_unsigned(&text, make);
	saml_make_check(!strbuf_failed(&text), "writing");
	doc = xmlReadMemory(strbuf_text(&text), (int)text.size, NULL, NULL, XML_PARSE_NONET);
	saml_make_check(doc != NULL, "parsing");
	root = xmlDocGetRootElement(doc);
	assertion = saml_make_child(root, "Assertion");
	if (make->signatures & SAML_MAKE_ASSERTION)
		saml_make_sign(assertion, make->idp);
	if (make->encrypt_to)
		saml_make_encrypt(assertion, make);
	if (make->signatures & SAML_MAKE_RESPONSE)
		saml_make_sign(root, make->idp);
	xmlDocDumpMemory(doc, &bytes, &size);
	saml_make_check(bytes != NULL, "dumping");
	copy = calloc((size_t)size + 1, 1);
	saml_make_check(copy != NULL, "memory");
	memcpy(copy, bytes, (size_t)size);
	*ret_size = (size_t)size;
	xmlFree(bytes);
	xmlFreeDoc(doc);
	strbuf_finish(&text);
	return copy;
}

/* The same in base64, as the POST binding has it; free. */
static inline char *saml_make_encoded(const struct saml_make *make)
{
	size_t size;
	char *xml = saml_make_xml(make, &size), *text = saml_make_base64(xml, size);

	free(xml);
	return text;
}

/* --- metadata --- */

/* With wrapped certificates, as many publish them. sso_post NULL: redirect only. */
static inline void saml_make_metadata(struct strbuf *out, const char *entity_id,
				      const struct saml_pair *const *pairs, size_t count,
				      const char *sso, const char *slo)
{
	strbuf_printf(out,
		      "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" "
		      "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" entityID=\"%s\">\n"
		      "<md:IDPSSODescriptor protocolSupportEnumeration=\""
		      "urn:oasis:names:tc:SAML:2.0:protocol\">\n",
		      entity_id);
	for (size_t i = 0; i < count; i++) {
		strbuf_puts(out, "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data>\n"
				 "<ds:X509Certificate>\n");
		for (size_t at = 0; at < strlen(pairs[i]->text); at += 64)
			strbuf_printf(out, "  %.64s\r\n", pairs[i]->text + at);
		strbuf_puts(out, "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
				 "</md:KeyDescriptor>\n");
	}
	if (slo)
		strbuf_printf(out,
			      "<md:SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:"
			      "bindings:HTTP-Redirect\" Location=\"%s\"/>\n",
			      slo);
	strbuf_printf(out,
		      "<md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:"
		      "HTTP-Redirect\" Location=\"%s\"/>\n"
		      "<md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:"
		      "HTTP-POST\" Location=\"%s\"/>\n"
		      "</md:IDPSSODescriptor></md:EntityDescriptor>\n",
		      sso, sso);
}

#endif
