/*
 * Signatures and decryption by xmlsec1 (see verify.h). Enters: nodes whose shape the gate has checked, and keys
 * from metadata or from our own files. Leaves: yes or no, or decrypted bytes.
 *
 * xmlsec1 by itself would take keys from the document, accept SHA-1 and MD5 and follow references anywhere. So
 * each context gets its key here (lent: it is taken back before the context is destroyed, since
 * copying it costs as much as the verification), references stay inside the document, and every
 * transform that is not named below is off.
 */
#include "verify.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/c14n.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <xmlsec/buffer.h>
#include <xmlsec/crypto.h>
#include <xmlsec/errors.h>
#include <xmlsec/nodeset.h>
#include <xmlsec/openssl/evp.h>
#include <xmlsec/xmldsig.h>
#include <xmlsec/xmlenc.h>
#include <xmlsec/xmlsec.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "refusal.h"
#include "xml.h"

#define SIGNATURE_BYTES_MAX 2048
#define CERTIFICATE_MAX ((size_t)64 * 1024)

struct verify_key {
	EVP_PKEY *pkey;
	xmlSecKey *key;
	int type; /* EVP_PKEY_RSA or EVP_PKEY_EC */
	void *der;
	size_t der_size;
};

/* --- what costs more than it has to --- */

/*
 * In place of OpenSSL's own, by which xmlsec1 asks twice for each signature whether the lent key is a private one: that fills
 * 2,048 bytes for each number, one at a time, a twentieth of a verification. No number of a key is
 * longer than what the key makes or takes; where one is, there is room for 2,048 as before. Programs' symbols come
 * before those of libraries; where they should not, it only takes longer.
 */
int EVP_PKEY_get_bn_param(const EVP_PKEY *pkey, const char *name, BIGNUM **ret_number)
{
	unsigned char buffer[2048] = { 0 };
	int size = pkey ? EVP_PKEY_get_size(pkey) : 0;
	OSSL_PARAM parameters[] = { OSSL_PARAM_END, OSSL_PARAM_END };
	int good = 0;

	if (!name || !ret_number)
		return 0;
	if (size > 0 && (size_t)size < sizeof(buffer)) {
		parameters[0] = OSSL_PARAM_construct_BN(name, buffer, (size_t)size);
		good = EVP_PKEY_get_params(pkey, parameters);
	}
	if (!good) {
		parameters[0] = OSSL_PARAM_construct_BN(name, buffer, sizeof(buffer));
		good = EVP_PKEY_get_params(pkey, parameters);
	}
	good = good && OSSL_PARAM_modified(&parameters[0]) &&
	       OSSL_PARAM_get_BN(&parameters[0], ret_number);
	OPENSSL_cleanse(buffer, sizeof(buffer));
	return good;
}

typedef int contains_fn(xmlSecNodeSet *set, xmlNode *node, xmlNode *parent);

/* xmlsec1's own; NULL: it has none. Found by verify_prepare, or by who uses xmlsec1 without it. */
static contains_fn *own_contains(void)
{
	static contains_fn *_Atomic own;
	contains_fn *contains = own;

	if (!contains) {
		void *found = dlsym(RTLD_NEXT, "xmlSecNodeSetContains");

		memcpy(&contains, &found, sizeof(contains));
		own = contains;
	}
	return contains;
}

/* One element with all that is in it, or all but that. */
static bool is_tree(const xmlSecNodeSet *set)
{
	return (set->type == xmlSecNodeSetTree || set->type == xmlSecNodeSetTreeInvert ||
		set->type == xmlSecNodeSetTreeWithoutComments ||
		set->type == xmlSecNodeSetTreeWithoutCommentsInvert) &&
	       set->nodes && set->nodes->nodeNr == 1 &&
	       set->nodes->nodeTab[0]->type == XML_ELEMENT_NODE;
}

static bool is_inverted(const xmlSecNodeSet *set)
{
	return set->type == xmlSecNodeSetTreeInvert ||
	       set->type == xmlSecNodeSetTreeWithoutCommentsInvert;
}

/* Of one tree, or of one that intersects another? */
static bool is_usual(const xmlSecNodeSet *set)
{
	const xmlSecNodeSet *next = set->next;

	return set->op == xmlSecNodeSetIntersection && is_tree(set) &&
	       (next == set ||
		(next->next == set && next->op == xmlSecNodeSetIntersection && is_tree(next)));
}

/* A namespace has no parent of its own: it is where it is asked for. */
static bool usual_contains(const xmlSecNodeSet *set, const xmlNode *node, const xmlNode *parent)
{
	const xmlNode *first = set->nodes->nodeTab[0], *second = set->next->nodes->nodeTab[0];
	bool in_first = node == first, in_second = node == second;

	for (; parent && parent->type == XML_ELEMENT_NODE; parent = parent->parent) {
		in_first = in_first || parent == first;
		in_second = in_second || parent == second;
	}
	return in_first != is_inverted(set) && in_second != is_inverted(set->next);
}

/*
 * In place of xmlsec1's own as well. What a signature covers is the tree of one element without that of the
 * signature; xmlsec1 looks for each node and all its ancestors in lists of one, an eighth of a verification. Any
 * other set, and comments, which the gate lets nobody bring, are for xmlsec1.
 */
int xmlSecNodeSetContains(xmlSecNodeSet *set, xmlNode *node, xmlNode *parent)
{
	contains_fn *own;

	if (set && node && node->type != XML_COMMENT_NODE && is_usual(set))
		return usual_contains(set, node, parent);
	own = own_contains();
	return own ? own(set, node, parent) : -1;
}

/* --- preparation --- */

static void ignore_error(void *context UNUSED, const char *message UNUSED, ...)
{
}

int verify_prepare(struct err *err)
{
	if (!own_contains())
		return err_set(err, ERR_INTERNAL, "xmlsec1 has no sets of nodes");
	xmlInitParser();
	xmlSetGenericErrorFunc(NULL, ignore_error);
	xmlSecErrorsSetCallback(NULL);
	/* Lasso may have been here before; a second initialisation would list every transform twice. */
	if (xmlSecPtrListGetSize(xmlSecTransformIdsGet()) == 0 &&
	    (xmlSecInit() < 0 || xmlSecCryptoAppInit(NULL) < 0 || xmlSecCryptoInit() < 0))
		return err_set(err, ERR_INTERNAL, "cannot start xmlsec1");
	/* The initialisation sets its own. */
	xmlSecErrorsSetCallback(NULL);
	return 0;
}

/* --- keys --- */

void verify_key_destroy(struct verify_key *key)
{
	if (!key)
		return;
	if (key->key)
		xmlSecKeyDestroy(key->key);
	EVP_PKEY_free(key->pkey);
	free(key->der);
	free(key);
}

/* Takes the reference to pkey, also on failure. */
static struct verify_key *make_key(EVP_PKEY *pkey, struct err *err)
{
	struct verify_key *key = alloc_zeroed(1, sizeof(*key));
	xmlSecKeyData *value;

	if (!key) {
		EVP_PKEY_free(pkey);
		err_set(err, ERR_MEMORY, "no memory for a key");
		return NULL;
	}
	key->pkey = pkey;
	key->type = EVP_PKEY_base_id(pkey);
	key->key = xmlSecKeyCreate();
	EVP_PKEY_up_ref(pkey);
	value = key->key ? xmlSecOpenSSLEvpKeyAdopt(pkey) : NULL;
	if (!value)
		EVP_PKEY_free(pkey);
	if (!value || xmlSecKeySetValue(key->key, value) < 0) {
		if (value)
			xmlSecKeyDataDestroy(value);
		verify_key_destroy(key);
		err_set(err, ERR_MEMORY, "no memory for a key");
		return NULL;
	}
	return key;
}

static int check_strength(const EVP_PKEY *pkey, struct err *err)
{
	int type = EVP_PKEY_base_id(pkey);

	if (type == EVP_PKEY_RSA && EVP_PKEY_bits(pkey) < VERIFY_RSA_BITS_MIN)
		return err_set(err, ERR_INVALID, "RSA key of %d bits, at least %d are needed",
			       EVP_PKEY_bits(pkey), VERIFY_RSA_BITS_MIN);
	if (type == EVP_PKEY_EC && EVP_PKEY_bits(pkey) < 256)
		return err_set(err, ERR_INVALID, "EC key of %d bits", EVP_PKEY_bits(pkey));
	if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC)
		return err_set(err, ERR_INVALID, "a key that is neither RSA nor EC");
	return 0;
}

static EVP_PKEY *read_public(const unsigned char *der, size_t size)
{
	const unsigned char *at = der;
	X509 *certificate = d2i_X509(NULL, &at, (long)size);
	EVP_PKEY *pkey;

	if (certificate) {
		pkey = at == der + size ? X509_get_pubkey(certificate) : NULL;
		X509_free(certificate);
		return pkey;
	}
	at = der;
	pkey = d2i_PUBKEY(NULL, &at, (long)size);
	if (pkey && at != der + size) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return pkey;
}

struct verify_key *verify_key_create(const void *der, size_t size, struct err *err)
{
	EVP_PKEY *pkey = size <= CERTIFICATE_MAX ? read_public(der, size) : NULL;
	struct verify_key *key;

	ERR_clear_error();
	if (!pkey) {
		err_set(err, ERR_INVALID, "neither a certificate nor a public key");
		return NULL;
	}
	if (check_strength(pkey, err) < 0) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	key = make_key(pkey, err);
	if (!key)
		return NULL;
	key->der = malloc(size);
	if (!key->der) {
		verify_key_destroy(key);
		err_set(err, ERR_MEMORY, "no memory for a key");
		return NULL;
	}
	memcpy(key->der, der, size);
	key->der_size = size;
	return key;
}

/* Nobody is there to be asked. */
static int no_passphrase(char *buffer UNUSED, int size UNUSED, int writing UNUSED,
			 void *context UNUSED)
{
	return -1;
}

struct verify_key *verify_private_key_create(const void *pem, size_t size, struct err *err)
{
	BIO *bio = size <= CERTIFICATE_MAX ? BIO_new_mem_buf(pem, (int)size) : NULL;
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (!pkey) {
		err_set(err, ERR_INVALID, "no private key in PEM without passphrase");
		return NULL;
	}
	if (check_strength(pkey, err) < 0 || EVP_PKEY_base_id(pkey) != EVP_PKEY_RSA) {
		if (EVP_PKEY_base_id(pkey) != EVP_PKEY_RSA)
			err_set(err, ERR_INVALID, "not an RSA key");
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return make_key(pkey, err);
}

/* --- one signature over bytes --- */

static const struct method {
	const char *uri;
	int type;
	const EVP_MD *(*digest)(void);
} methods[] = {
	{ "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", EVP_PKEY_RSA, EVP_sha256 },
	{ "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", EVP_PKEY_RSA, EVP_sha384 },
	{ "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", EVP_PKEY_RSA, EVP_sha512 },
	{ "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", EVP_PKEY_EC, EVP_sha256 },
	{ "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", EVP_PKEY_EC, EVP_sha384 },
	{ "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", EVP_PKEY_EC, EVP_sha512 },
	{ "http://www.w3.org/2000/09/xmldsig#rsa-sha1", EVP_PKEY_RSA, EVP_sha1 },
};

static const struct method *find_method(const char *uri, bool allow_sha1)
{
	for (size_t i = 0; uri && i < ARRAY_LEN(methods); i++)
		if (strcmp(uri, methods[i].uri) == 0 &&
		    (allow_sha1 || methods[i].digest != EVP_sha1))
			return &methods[i];
	return NULL;
}

/* XML Signature writes r and s side by side; OpenSSL wants them in DER. Size, or 0. */
static size_t ecdsa_to_der(const unsigned char *raw, size_t size, unsigned char *out, size_t max)
{
	BIGNUM *r = BN_bin2bn(raw, (int)(size / 2), NULL);
	BIGNUM *s = BN_bin2bn(raw + size / 2, (int)(size / 2), NULL);
	ECDSA_SIG *pair = ECDSA_SIG_new();
	int length = 0;

	if (size % 2 == 0 && r && s && pair && ECDSA_SIG_set0(pair, r, s)) {
		r = s = NULL;
		length = i2d_ECDSA_SIG(pair, NULL);
		if (length > 0 && (size_t)length <= max)
			length = i2d_ECDSA_SIG(pair, &out);
		else
			length = 0;
	}
	ECDSA_SIG_free(pair);
	BN_free(r);
	BN_free(s);
	return length > 0 ? (size_t)length : 0;
}

static bool bytes_are_signed(const struct verify_key *key, const struct method *method,
			     struct bytes_view text, const unsigned char *signature, size_t size)
{
	unsigned char der[SIGNATURE_BYTES_MAX];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && key->type == method->type;

	if (good && method->type == EVP_PKEY_EC) {
		size = ecdsa_to_der(signature, size, der, sizeof(der));
		signature = der;
	}
	good = good && size > 0 &&
	       EVP_DigestVerifyInit(context, NULL, method->digest(), NULL, key->pkey) == 1 &&
	       EVP_DigestVerify(context, signature, size, (const unsigned char *)text.data,
				text.size) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

int verify_detached(struct bytes_view text, const char *algorithm, struct bytes_view signature,
		    const struct verify_key *const *keys, size_t count, bool allow_sha1,
		    struct saml_refusal *ret_refusal)
{
	const struct method *method = find_method(algorithm, allow_sha1);

	if (!method)
		return refuse(ret_refusal, "signature-algorithm", "'%s'", algorithm);
	for (size_t i = 0; i < count && signature.size <= SIGNATURE_BYTES_MAX; i++)
		if (bytes_are_signed(keys[i], method, text, (const unsigned char *)signature.data,
				     signature.size))
			return 0;
	return refuse(ret_refusal, "signature-invalid", "none of %zu keys fits", count);
}

/* --- enveloped signatures --- */

static bool enable(xmlSecPtrList *list, xmlSecTransformId id)
{
	return id != xmlSecTransformIdUnknown && xmlSecPtrListAdd(list, (void *)(uintptr_t)id) >= 0;
}

static bool enable_canonicalizations(xmlSecPtrList *list)
{
	return enable(list, xmlSecTransformInclC14NId) && enable(list, xmlSecTransformExclC14NId);
}

static bool allow_only(xmlSecDSigCtx *context, bool allow_sha1)
{
	xmlSecPtrList *references = xmlSecPtrListCreate(xmlSecTransformIdListId);
	xmlSecPtrList *signatures = &context->transformCtx.enabledTransforms;

	context->enabledReferenceTransforms = references;
	context->enabledReferenceUris = xmlSecTransformUriTypeSameDocument;
	context->keyInfoReadCtx.enabledKeyData.use = 0;
	return references && enable(references, xmlSecTransformEnvelopedId) &&
	       enable_canonicalizations(references) &&
	       enable(references, xmlSecTransformSha256Id) &&
	       enable(references, xmlSecTransformSha384Id) &&
	       enable(references, xmlSecTransformSha512Id) &&
	       (!allow_sha1 || enable(references, xmlSecTransformSha1Id)) &&
	       enable_canonicalizations(signatures) &&
	       enable(signatures, xmlSecTransformRsaSha256Id) &&
	       enable(signatures, xmlSecTransformRsaSha384Id) &&
	       enable(signatures, xmlSecTransformRsaSha512Id) &&
	       enable(signatures, xmlSecTransformEcdsaSha256Id) &&
	       enable(signatures, xmlSecTransformEcdsaSha384Id) &&
	       enable(signatures, xmlSecTransformEcdsaSha512Id) &&
	       (!allow_sha1 || enable(signatures, xmlSecTransformRsaSha1Id));
}

/* Exactly one Reference, and it was the one to this element that succeeded. */
static bool covers(xmlSecDSigCtx *context, const char *id)
{
	xmlSecDSigReferenceCtx *reference;

	if (xmlSecPtrListGetSize(&context->signedInfoReferences) != 1 ||
	    xmlSecPtrListGetSize(&context->manifestReferences) != 0)
		return false;
	reference = xmlSecPtrListGetItem(&context->signedInfoReferences, 0);
	return reference && reference->status == xmlSecDSigStatusSucceeded && reference->uri &&
	       reference->uri[0] == '#' && strcmp((const char *)reference->uri + 1, id) == 0;
}

/* -1: no memory. */
static int attempt_key(xmlNode *signature, const char *id, const struct verify_key *key,
		       bool allow_sha1, bool *ret_good)
{
	xmlSecDSigCtx *context = xmlSecDSigCtxCreate(NULL);

	if (!context)
		return -1;
	if (!allow_only(context, allow_sha1)) {
		xmlSecDSigCtxDestroy(context);
		return -1;
	}
	/* The ID is looked up in the table that the gate filled; no XPointer is evaluated. */
	context->flags |= XMLSEC_DSIG_FLAGS_USE_VISA3D_HACK;
	context->signKey = key->key;
	*ret_good = xmlSecDSigCtxVerify(context, signature) == 0 &&
		    context->status == xmlSecDSigStatusSucceeded &&
		    /* Lent, and still the same. */
		    context->signKey == key->key && covers(context, id);
	context->signKey = NULL;
	xmlSecDSigCtxDestroy(context);
	return 0;
}

/* --- which key, and is it worth while --- */

/* Inclusive canonicalisation hands xml:lang and its like down to what it begins with. */
static void inherit_attributes(xmlNode *node, const xmlNode *ancestor)
{
	xmlNs *ns = xmlSearchNsByHref(node->doc, node, XML_XML_NAMESPACE);

	for (const xmlAttr *a = ancestor->properties; a && ns; a = a->next)
		if (a->ns && xmlStrEqual(a->ns->href, XML_XML_NAMESPACE) &&
		    !xmlHasNsProp(node, a->name, XML_XML_NAMESPACE))
			xmlNewNsProp(node, ns, a->name, (const xmlChar *)xml_value(a));
}

/* SignedInfo in a document of its own, with what was in scope. NULL: out of memory. */
static xmlDoc *isolate(const xmlNode *info, bool exclusive)
{
	xmlDoc *doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNode *copy = doc ? xmlDocCopyNode((xmlNode *)(uintptr_t)info, doc, 1) : NULL;

	if (!copy) {
		xmlFreeDoc(doc);
		return NULL;
	}
	xmlDocSetRootElement(doc, copy);
	/* Nearest first: xmlNewNs adds no prefix that is there already. */
	for (const xmlNode *n = info->parent; n && n->type == XML_ELEMENT_NODE; n = n->parent) {
		for (const xmlNs *ns = n->nsDef; ns; ns = ns->next)
			xmlNewNs(copy, ns->href, ns->prefix);
		if (!exclusive)
			inherit_attributes(copy, n);
	}
	return doc;
}

#define PREFIXES_MAX 16

/* PrefixList of a CanonicalizationMethod, cut in place into words; the gate has bounded it. */
static xmlChar **split_prefixes(char *list, xmlChar *ret_words[PREFIXES_MAX + 1])
{
	size_t count = 0;

	while (*(list += strspn(list, " \t\r\n")) && count < PREFIXES_MAX) {
		ret_words[count++] = (xmlChar *)list;
		list += strcspn(list, " \t\r\n");
		if (*list)
			*list++ = '\0';
	}
	ret_words[count] = NULL;
	return count ? ret_words : NULL;
}

/* What the SignatureValue is over. */
static int canonicalize_info(const xmlNode *info, struct arena *arena, struct bytes_view *ret_text)
{
	const xmlNode *method = xml_child(info, NS_DS, "CanonicalizationMethod");
	const char *uri = method ? xml_attribute(method, "Algorithm") : NULL;
	const xmlNode *inside =
		method ? xml_child(method, NS_EXC_C14N, "InclusiveNamespaces") : NULL;
	const char *list = inside ? xml_attribute(inside, "PrefixList") : NULL;
	bool exclusive = uri && strcmp(uri, NS_EXC_C14N) == 0;
	char *copy = arena_strdup(arena, list ? list : "");
	xmlChar *words[PREFIXES_MAX + 1], *out = NULL;
	xmlDoc *doc = isolate(info, exclusive);
	int size = -1;

	if (doc && copy)
		size = xmlC14NDocDumpMemory(doc, NULL,
					    exclusive ? XML_C14N_EXCLUSIVE_1_0 : XML_C14N_1_0,
					    split_prefixes(copy, words), 0, &out);
	xmlFreeDoc(doc);
	if (size < 0 || !out)
		return -1;
	*ret_text = (struct bytes_view){ arena_memdup(arena, out, (size_t)size), (size_t)size };
	xmlFree(out);
	return ret_text->data ? 0 : -1;
}

/* Where is the key that signed this SignedInfo? count: nowhere. -1: no memory. */
static int find_key(const xmlNode *signature, const struct method *method,
		    const struct verify_key *const *keys, size_t count, struct arena *arena,
		    size_t *ret_index)
{
	const xmlNode *value = xml_child(signature, NS_DS, "SignatureValue");
	const char *text = value ? xml_text(value, arena) : NULL;
	struct bytes_view bytes, canonical;
	struct saml_refusal ignored;

	*ret_index = count;
	if (!text ||
	    base64_decode(text, strlen(text), SIGNATURE_BYTES_MAX, arena, &bytes, &ignored) != 0)
		return arena_failed(arena) ? -1 : 0;
	if (canonicalize_info(xml_child(signature, NS_DS, "SignedInfo"), arena, &canonical) < 0)
		return -1;
	for (size_t i = 0; i < count && *ret_index == count; i++)
		if (bytes_are_signed(keys[i], method, canonical, (const unsigned char *)bytes.data,
				     bytes.size))
			*ret_index = i;
	return 0;
}

/* The key whose certificate the message shows; count: none. Where to begin, nothing more. */
static size_t guess_key(const xmlNode *signature, const struct verify_key *const *keys,
			size_t count, struct arena *arena)
{
	const xmlNode *info = xml_child(signature, NS_DS, "KeyInfo");
	const xmlNode *data = info ? xml_child(info, NS_DS, "X509Data") : NULL;
	const xmlNode *shown = data ? xml_child(data, NS_DS, "X509Certificate") : NULL;
	const char *text = shown ? xml_text(shown, arena) : NULL;
	struct saml_refusal ignored;
	struct bytes_view der;

	if (!text || base64_decode(text, strlen(text), CERTIFICATE_MAX, arena, &der, &ignored) != 0)
		return count;
	for (size_t i = 0; i < count; i++)
		if (keys[i]->der_size == der.size && memcmp(keys[i]->der, der.data, der.size) == 0)
			return i;
	return count;
}

/* Keys that could have made it. */
static size_t choose_keys(const struct verify_key *const *keys, size_t count, int type,
			  const struct verify_key **ret_fitting)
{
	size_t fitting = 0;

	for (size_t i = 0; i < count && fitting < VERIFY_KEYS_MAX; i++)
		if (keys[i]->type == type)
			ret_fitting[fitting++] = keys[i];
	return fitting;
}

/* Elements and attributes beyond those of a usual login, to whom digesting costs about as much as 10 of them. */
#define USUAL_ELEMENTS 300
#define USUAL_ATTRIBUTES 1000

static bool is_costly(const xmlNode *root)
{
	size_t elements = 0, attributes = 0;
	const xmlNode *n = root;

	while (n && elements <= USUAL_ELEMENTS && attributes <= USUAL_ATTRIBUTES) {
		if (n->type == XML_ELEMENT_NODE) {
			elements++;
			for (const xmlAttr *a = n->properties; a; a = a->next)
				attributes++;
		}
		if (n->type == XML_ELEMENT_NODE && n->children) {
			n = n->children;
			continue;
		}
		while (n != root && !n->next)
			n = n->parent;
		n = n == root ? NULL : n->next;
	}
	return n != NULL;
}

/*
 * Digesting a large element, with namespaces by the dozen, costs many times as much as a login. Who has no key of the
 * IdP does not get that far: SignedInfo is small, and its signature is looked at first. That also tells
 * several keys apart. Usual documents with one key that may fit go straight to the whole verification.
 */
static int attempt_keys(xmlDoc *doc, xmlNode *signature, const char *id,
			const struct method *method, const struct verify_key *const *keys,
			size_t count, bool allow_sha1, bool *ret_good)
{
	AUTO(arena) struct arena *arena = arena_create(8 * CERTIFICATE_MAX);
	bool costly = is_costly(xmlDocGetRootElement(doc));
	size_t guess = count == 1 ? 0 : count;

	*ret_good = false;
	if (!arena)
		return -1;
	if (count > 1 && !costly)
		guess = guess_key(signature, keys, count, arena);
	if (!costly && guess < count) {
		if (attempt_key(signature, id, keys[guess], allow_sha1, ret_good) < 0)
			return -1;
		if (*ret_good || count == 1)
			return 0;
	}
	if (find_key(signature, method, keys, count, arena, &guess) < 0)
		return -1;
	return guess < count ? attempt_key(signature, id, keys[guess], allow_sha1, ret_good) : 0;
}

static const char *method_of(const xmlNode *signature)
{
	const xmlNode *info = xml_child(signature, NS_DS, "SignedInfo");
	const xmlNode *method = info ? xml_child(info, NS_DS, "SignatureMethod") : NULL;

	return method ? xml_attribute(method, "Algorithm") : NULL;
}

int verify_signature(xmlDoc *doc, xmlNode *element, const char *id, xmlNode *signature,
		     const struct verify_key *const *keys, size_t count, bool allow_sha1,
		     struct saml_refusal *ret_refusal)
{
	const struct method *method = find_method(method_of(signature), allow_sha1);
	const struct verify_key *fitting[VERIFY_KEYS_MAX];
	const xmlAttr *registered = xmlGetID(doc, (const xmlChar *)id);
	size_t fitting_count;
	bool good = false;

	if (!method)
		return refuse(ret_refusal, "signature-algorithm",
			      "an algorithm that is not allowed");
	if (!registered || registered->parent != element || signature->parent != element)
		return refuse(ret_refusal, "signature-invalid",
			      "the signature is not one of this element");
	fitting_count = choose_keys(keys, count, method->type, fitting);
	if (fitting_count > 0 &&
	    attempt_keys(doc, signature, id, method, fitting, fitting_count, allow_sha1, &good) < 0)
		return -1;
	if (good)
		return 0;
	ERR_clear_error();
	return refuse(ret_refusal, "signature-invalid", "'%s' is not signed by the IdP's %zu keys",
		      element->name, count);
}

/* --- decryption --- */

struct cipher {
	const char *uri;
	xmlSecSize key_bytes;
	xmlSecTransformId (*transform)(void);
};

static const struct cipher ciphers[] = {
	{ "http://www.w3.org/2009/xmlenc11#aes128-gcm", 16,
	  xmlSecOpenSSLTransformAes128GcmGetKlass },
	{ "http://www.w3.org/2009/xmlenc11#aes192-gcm", 24,
	  xmlSecOpenSSLTransformAes192GcmGetKlass },
	{ "http://www.w3.org/2009/xmlenc11#aes256-gcm", 32,
	  xmlSecOpenSSLTransformAes256GcmGetKlass },
	{ "http://www.w3.org/2001/04/xmlenc#aes128-cbc", 16,
	  xmlSecOpenSSLTransformAes128CbcGetKlass },
	{ "http://www.w3.org/2001/04/xmlenc#aes192-cbc", 24,
	  xmlSecOpenSSLTransformAes192CbcGetKlass },
	{ "http://www.w3.org/2001/04/xmlenc#aes256-cbc", 32,
	  xmlSecOpenSSLTransformAes256CbcGetKlass },
};

static const struct cipher *find_cipher(const xmlNode *encrypted_data)
{
	const xmlNode *method = xml_child(encrypted_data, NS_XENC, "EncryptionMethod");
	const char *uri = method ? xml_attribute(method, "Algorithm") : NULL;

	for (size_t i = 0; uri && i < ARRAY_LEN(ciphers); i++)
		if (strcmp(uri, ciphers[i].uri) == 0)
			return &ciphers[i];
	return NULL;
}

/* NULL: wrong key, or damaged. key is lent. The context owns what comes out. */
static const xmlSecBuffer *decrypt_with(xmlSecEncCtx *context, xmlNode *node, xmlSecKey *key,
					xmlSecTransformId transform)
{
	const xmlSecBuffer *out = NULL;

	context->encKey = key;
	if (enable(&context->transformCtx.enabledTransforms, transform))
		out = xmlSecEncCtxDecryptToBuffer(context, node);
	context->encKey = NULL;
	return out;
}

/* The symmetric key inside an EncryptedKey; NULL: not for this private key. */
static xmlSecKey *unwrap_key(xmlNode *encrypted_key, const struct verify_key *private_key,
			     xmlSecSize key_bytes)
{
	xmlSecEncCtx *context = xmlSecEncCtxCreate(NULL);
	const xmlSecBuffer *bytes;
	xmlSecKey *key = NULL;

	if (!context)
		return NULL;
	context->mode = xmlEncCtxModeEncryptedKey;
	bytes = decrypt_with(context, encrypted_key, private_key->key, xmlSecTransformRsaOaepId);
	if (bytes && bytes->size == key_bytes)
		key = xmlSecKeyReadMemory(xmlSecKeyDataAesId, bytes->data, bytes->size);
	xmlSecEncCtxDestroy(context);
	return key;
}

static bool decrypt_data(xmlNode *data, xmlSecKey *key, const struct cipher *cipher,
			 struct strbuf *out)
{
	xmlSecEncCtx *context = xmlSecEncCtxCreate(NULL);
	const xmlSecBuffer *bytes;

	if (!context)
		return false;
	bytes = decrypt_with(context, data, key, cipher->transform());
	if (bytes)
		strbuf_append(out, bytes->data, bytes->size);
	xmlSecEncCtxDestroy(context);
	return bytes != NULL;
}

static bool decrypt_by(const struct gated *gated, const struct verify_key *private_key,
		       const struct cipher *cipher, struct strbuf *out)
{
	for (size_t i = 0; i < gated->encrypted_key_count; i++) {
		xmlSecKey *key =
			unwrap_key(gated->encrypted_keys[i], private_key, cipher->key_bytes);
		bool good = key && decrypt_data(gated->encrypted_data, key, cipher, out);

		if (key)
			xmlSecKeyDestroy(key);
		if (good)
			return true;
	}
	return false;
}

/* --- a fragment made to stand alone --- */

/* Does this start tag (without '<' and '>') declare the prefix itself? Values are skipped as a whole. */
static bool declares(const char *tag, size_t size, const char *prefix)
{
	const char *end = tag + size;
	size_t length = strlen(prefix);

	while (tag < end) {
		const char *quote = tag + strcspn(tag, "\"'");
		const char *name = quote, *close;

		if (quote >= end)
			return false;
		while (name > tag && strchr(" \t\r\n=", name[-1]))
			name--;
		while (name > tag && !strchr(" \t\r\n", name[-1]))
			name--;
		if (strncmp(name, "xmlns", 5) == 0 &&
		    (length == 0 ? !!strchr(" \t\r\n=", name[5])
				 : name[5] == ':' && strncmp(name + 6, prefix, length) == 0 &&
					   strchr(" \t\r\n=", name[6 + length])))
			return true;
		close = strchr(quote + 1, *quote);
		if (!close || close >= end)
			return false;
		tag = close + 1;
	}
	return false;
}

static void put_declaration(struct strbuf *out, const xmlNs *ns)
{
	strbuf_puts(out, ns->prefix ? " xmlns:" : " xmlns");
	strbuf_puts(out, ns->prefix ? (const char *)ns->prefix : "");
	strbuf_puts(out, "=\"");
	for (const char *c = ns->href ? (const char *)ns->href : ""; *c; c++)
		if (*c == '&' || *c == '<' || *c == '"')
			strbuf_printf(out, "&#%d;", *c);
		else
			strbuf_putc(out, *c);
	strbuf_putc(out, '"');
}

static bool is_shadowed(const xmlNode *from, const xmlNode *until, const xmlNs *ns)
{
	for (const xmlNode *n = from; n != until; n = n->parent)
		for (const xmlNs *d = n->nsDef; d; d = d->next)
			if (xmlStrEqual(d->prefix, ns->prefix))
				return true;
	return false;
}

static const char *end_of_tag(const char *text, const char *end)
{
	for (char quote = 0; text < end; text++) {
		if (quote && *text == quote)
			quote = 0;
		else if (!quote && (*text == '"' || *text == '\''))
			quote = *text;
		else if (!quote && *text == '>')
			return text;
	}
	return NULL;
}

/*
 * XML Encryption 4.2: what is decrypted stands in the context of where it was. So it gets the namespaces
 * in scope there, except those that it declares itself. Text that is no element stays what it is.
 */
static void put_alone(struct strbuf *out, const char *text, size_t size, const xmlNode *context)
{
	const char *end = text + size, *begin = text, *name_end, *tag_end;

	while (begin < end && strchr(" \t\r\n", *begin) && *begin)
		begin++;
	tag_end = begin < end && begin[0] == '<' ? end_of_tag(begin, end) : NULL;
	if (!tag_end || strchr("?!/", begin[1])) {
		strbuf_append(out, text, size);
		return;
	}
	name_end = begin + strcspn(begin, " \t\r\n/>");
	strbuf_append(out, begin, (size_t)(name_end - begin));
	for (const xmlNode *n = context; n && n->type == XML_ELEMENT_NODE; n = n->parent)
		for (const xmlNs *ns = n->nsDef; ns; ns = ns->next)
			if (!is_shadowed(context, n, ns) &&
			    !declares(name_end, (size_t)(tag_end - name_end),
				      ns->prefix ? (const char *)ns->prefix : ""))
				put_declaration(out, ns);
	strbuf_append(out, name_end, (size_t)(end - name_end));
}

int verify_decrypt(const struct gated *gated, const struct verify_key *const *keys, size_t count,
		   struct arena *arena, struct bytes_view *ret_xml,
		   struct saml_refusal *ret_refusal)
{
	const struct cipher *cipher = find_cipher(gated->encrypted_data);
	AUTO(strbuf) struct strbuf plain = STRBUF(GATE_MESSAGE_MAX);
	AUTO(strbuf) struct strbuf alone = STRBUF(2 * GATE_MESSAGE_MAX);
	bool good = false;
	char *xml;

	for (size_t i = 0; cipher && i < count && !good; i++)
		good = decrypt_by(gated, keys[i], cipher, &plain);
	ERR_clear_error();
	if (!good || plain.size == 0 || strlen(plain.data) != plain.size)
		return refuse(ret_refusal, "decryption-failed", "no key fits, or it is damaged");
	put_alone(&alone, plain.data, plain.size, gated->encrypted);
	if (strbuf_failed(&plain) || strbuf_failed(&alone))
		return -1;
	xml = arena_strndup(arena, strbuf_text(&alone), alone.size);
	if (!xml)
		return -1;
	*ret_xml = (struct bytes_view){ xml, alone.size };
	return 0;
}
