/* Keys, signatures over exactly one element, detached signatures, decryption. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/params.h>
#include <xmlsec/nodeset.h>

#include "../../../daemon/source/saml/verify.h"
#include "saml_support.h"

static struct saml_pair idp, other, sp;
static struct verify_key *idp_key, *other_key;

static struct saml_make make_response(unsigned signatures)
{
	return (struct saml_make){ .idp = &idp,
				   .idp_entity_id = IDP_ENTITY,
				   .sp_entity_id = SP_ENTITY,
				   .acs_url = SP_ACS,
				   .request_id = "_request",
				   .name_id = "person",
				   .now_s = NOW_S,
				   .number = 1,
				   .groups = 2,
				   .signatures = signatures };
}

static struct gated open_gate(const struct saml_make *make)
{
	struct gate_rules rules = { .allow_sha1 = false };
	struct saml_refusal refusal;
	struct gated gated;
	size_t size;
	char *xml = saml_make_xml(make, &size);

	if (gate_parse(GATE_RESPONSE, &rules, xml, size, &gated, &refusal) != 0)
		fail_msg("%s: %s", refusal.reason, refusal.detail);
	free(xml);
	return gated;
}

static int verify(const struct gated *gated, const struct verify_key *const *keys, size_t count,
		  struct saml_refusal *refusal)
{
	return verify_signature(gated->doc, gated->assertion, gated->assertion_id,
				gated->assertion_signature, keys, count, false, refusal);
}

/* What OpenSSL says through parameters of any size. NULL: it has none. */
static BIGNUM *number_of(const EVP_PKEY *key, const char *name)
{
	unsigned char bytes[2048];
	OSSL_PARAM parameters[] = { OSSL_PARAM_construct_BN(name, bytes, sizeof(bytes)),
				    OSSL_PARAM_construct_end() };
	BIGNUM *number = NULL;

	if (EVP_PKEY_get_params(key, parameters) == 1 && OSSL_PARAM_modified(&parameters[0]))
		OSSL_PARAM_get_BN(&parameters[0], &number);
	return number;
}

/* Ours stands in for OpenSSL's: the same numbers, also those longer than a signature, and none where there is none. */
static void reads_numbers_of_keys(void **state)
{
	static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N,   OSSL_PKEY_PARAM_RSA_E,
					     OSSL_PKEY_PARAM_RSA_D,   OSSL_PKEY_PARAM_EC_PUB_X,
					     OSSL_PKEY_PARAM_FFC_P,   OSSL_PKEY_PARAM_EC_P,
					     OSSL_PKEY_PARAM_PRIV_KEY };
	const unsigned char *der = idp.der;
	X509 *certificate = d2i_X509(NULL, &der, (long)idp.der_size);
	EVP_PKEY *keys[] = { idp.key, X509_get_pubkey(certificate), EVP_EC_gen("P-256") };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(keys); k++)
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			BIGNUM *right = number_of(keys[k], names[i]), *number = NULL;
			int found = EVP_PKEY_get_bn_param(keys[k], names[i], &number);

			if ((found == 1) != (right != NULL) ||
			    (right && BN_cmp(right, number) != 0))
				fail_msg("key %zu, %s: %d", k, names[i], found);
			BN_free(right);
			BN_free(number);
		}
	assert_int_equal(EVP_PKEY_get_bn_param(NULL, names[0], NULL), 0);
	X509_free(certificate);
	EVP_PKEY_free(keys[1]);
	EVP_PKEY_free(keys[2]);
}

static void any_of_the_keys_will_do(void **state)
{
	const struct verify_key *good[] = { idp_key }, *bad[] = { other_key };
	const struct verify_key *second[] = { other_key, idp_key };
	struct saml_make make = make_response(SAML_MAKE_ASSERTION);
	AUTO(gated) struct gated gated = open_gate(&make);
	struct saml_refusal refusal;

	(void)state;
	assert_int_equal(verify(&gated, good, 1, &refusal), 0);
	assert_int_equal(verify(&gated, second, 2, &refusal), 0);
	/* The keys were lent: all of it once more. */
	assert_int_equal(verify(&gated, second, 2, &refusal), 0);
	assert_int_equal(verify(&gated, bad, 1, &refusal), 1);
	assert_string_equal(refusal.reason, "signature-invalid");
	assert_int_equal(verify(&gated, NULL, 0, &refusal), 1);
}

static xmlNode *descend(xmlNode *node, const char *const *names)
{
	for (; *names && node; names++)
		node = saml_make_child(node, *names);
	assert_non_null(node);
	return node;
}

static void does_not_need_the_certificate_shown(void **state)
{
	const struct verify_key *second[] = { other_key, idp_key };
	struct saml_make make = make_response(SAML_MAKE_ASSERTION);
	AUTO(gated) struct gated gated = open_gate(&make);
	xmlNode *info = saml_make_child(gated.assertion_signature, "KeyInfo");
	struct saml_refusal refusal;

	(void)state;
	xmlUnlinkNode(info);
	xmlFreeNode(info);
	assert_int_equal(verify(&gated, second, 2, &refusal), 0);
}

static void shown_certificates_are_not_believed(void **state)
{
	const struct verify_key *both[] = { other_key, idp_key };
	static const char *const path[] = { "KeyInfo", "X509Data", "X509Certificate", NULL };
	struct saml_make make = make_response(SAML_MAKE_ASSERTION);
	struct saml_refusal refusal;

	(void)state;
	/* Signed by the IdP, showing another: believed for what it is. */
	AUTO(gated) struct gated gated = open_gate(&make);
	xmlNodeSetContent(descend(gated.assertion_signature, path), BAD_CAST other.text);
	assert_int_equal(verify(&gated, both, 2, &refusal), 0);
	/* Signed by another, showing the IdP's. */
	make.idp = &other;
	AUTO(gated) struct gated forged = open_gate(&make);
	xmlNodeSetContent(descend(forged.assertion_signature, path), BAD_CAST idp.text);
	assert_int_equal(
		verify(&forged, (const struct verify_key *const[]){ idp_key }, 1, &refusal), 1);
}

static void content_counts(void **state)
{
	const struct verify_key *keys[] = { idp_key };
	static const char *const path[] = { "Subject", "NameID", NULL };
	struct saml_make make = make_response(SAML_MAKE_ASSERTION);
	AUTO(gated) struct gated gated = open_gate(&make);
	struct saml_refusal refusal;

	(void)state;
	xmlNodeSetContent(descend(gated.assertion, path), BAD_CAST "admin");
	assert_int_equal(verify(&gated, keys, 1, &refusal), 1);
	xmlNodeSetContent(descend(gated.assertion, path), BAD_CAST "person");
	assert_int_equal(verify(&gated, keys, 1, &refusal), 0);
	/* Outside the assertion nothing is signed. */
	xmlSetProp(gated.root, BAD_CAST "Destination", BAD_CAST "elsewhere");
	assert_int_equal(verify(&gated, keys, 1, &refusal), 0);
}

static void the_element_counts(void **state)
{
	const struct verify_key *keys[] = { idp_key };
	struct saml_make make = make_response(SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE);
	AUTO(gated) struct gated gated = open_gate(&make);
	struct saml_refusal refusal;

	(void)state;
	assert_int_equal(verify(&gated, keys, 1, &refusal), 0);
	assert_int_equal(verify_signature(gated.doc, gated.root, gated.id, gated.root_signature,
					  keys, 1, false, &refusal),
			 0);
	/* A good signature, but of the other element. */
	assert_int_equal(verify_signature(gated.doc, gated.root, gated.id,
					  gated.assertion_signature, keys, 1, false, &refusal),
			 1);
	assert_int_equal(verify_signature(gated.doc, gated.assertion, gated.assertion_id,
					  gated.root_signature, keys, 1, false, &refusal),
			 1);
	assert_int_equal(verify_signature(gated.doc, gated.root, gated.assertion_id,
					  gated.assertion_signature, keys, 1, false, &refusal),
			 1);
	assert_int_equal(verify_signature(gated.doc, gated.assertion, "_nowhere",
					  gated.assertion_signature, keys, 1, false, &refusal),
			 1);
}

static void large_messages_are_verified_as_well(void **state)
{
	const struct verify_key *keys[] = { idp_key }, *bad[] = { other_key };
	struct saml_make make = make_response(SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE);
	struct saml_refusal refusal;

	(void)state;
	make.groups = 1000;
	AUTO(gated) struct gated gated = open_gate(&make);
	assert_int_equal(verify(&gated, keys, 1, &refusal), 0);
	assert_int_equal(verify_signature(gated.doc, gated.root, gated.id, gated.root_signature,
					  keys, 1, false, &refusal),
			 0);
	assert_int_equal(verify(&gated, bad, 1, &refusal), 1);
}

static EVP_PKEY *make_ec(const char *curve)
{
	return EVP_EC_gen(curve);
}

static void weak_and_unknown_keys_are_refused(void **state)
{
	static const struct key_row {
		const char *name, *curve;
		unsigned bits;
		bool good;
	} rows[] = {
		{ "RSA 2048", NULL, 2048, true },
		{ "RSA 1024", NULL, 1024, false },
		{ "P-256", "P-256", 0, true },
		{ "P-224", "P-224", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EVP_PKEY *pkey = rows[i].curve ? make_ec(rows[i].curve) : EVP_RSA_gen(rows[i].bits);
		unsigned char *der = NULL;
		int size = i2d_PUBKEY(pkey, &der);
		struct err err;
		struct verify_key *key = verify_key_create(der, (size_t)size, &err);

		if (!key != !rows[i].good)
			fail_msg("%s", rows[i].name);
		verify_key_destroy(key);
		/* One byte behind, or missing: not that key any more. */
		assert_null(verify_key_create(der, (size_t)size - 1, &err));
		OPENSSL_free(der);
		EVP_PKEY_free(pkey);
	}
	struct err err;
	assert_null(verify_key_create("", 0, &err));
	assert_null(verify_key_create("nonsense", 8, &err));
	assert_null(verify_private_key_create("nonsense", 8, &err));
}

static void detached_signatures(void **state)
{
	static const char algorithm[] = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
	const struct verify_key *keys[] = { other_key, idp_key };
	struct bytes_view text = { "SAMLRequest=x&SigAlg=y", 22 };
	unsigned char bytes[512];
	size_t size = sizeof(bytes);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	struct saml_refusal refusal;

	(void)state;
	EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, idp.key);
	assert_int_equal(
		EVP_DigestSign(context, bytes, &size, (const unsigned char *)text.data, text.size),
		1);
	EVP_MD_CTX_free(context);

	struct bytes_view signature = { (const char *)bytes, size };
	assert_int_equal(verify_detached(text, algorithm, signature, keys, 2, false, &refusal), 0);
	assert_int_equal(verify_detached(text, algorithm, signature, keys, 1, false, &refusal), 1);
	assert_string_equal(refusal.reason, "signature-invalid");
	text.size--;
	assert_int_equal(verify_detached(text, algorithm, signature, keys, 2, false, &refusal), 1);
	text.size++;
	signature.size--;
	assert_int_equal(verify_detached(text, algorithm, signature, keys, 2, false, &refusal), 1);
	signature.size = 0;
	assert_int_equal(verify_detached(text, algorithm, signature, keys, 2, false, &refusal), 1);
	assert_int_equal(verify_detached(text, "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
					 signature, keys, 2, false, &refusal),
			 1);
	assert_string_equal(refusal.reason, "signature-algorithm");
}

static struct verify_key *private_of(const struct saml_pair *pair)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct verify_key *key;
	struct err err;
	char *pem;
	long size;

	PEM_write_bio_PrivateKey(bio, pair->key, NULL, NULL, 0, NULL, NULL);
	size = BIO_get_mem_data(bio, &pem);
	key = verify_private_key_create(pem, (size_t)size, &err);
	BIO_free(bio);
	if (!key)
		fail_msg("%s", err.text);
	return key;
}

static void decrypts_with_any_key(void **state)
{
	struct saml_make make = make_response(SAML_MAKE_ASSERTION);
	struct verify_key *right = private_of(&sp), *wrong = private_of(&other);
	const struct verify_key *keys[] = { wrong, right };
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	struct gate_rules rules = { .allow_sha1 = false };
	struct saml_refusal refusal;
	struct bytes_view xml;
	struct gated inner;

	(void)state;
	make.encrypt_to = &sp;
	for (int cbc = 0; cbc < 2; cbc++) {
		make.cbc = cbc;
		AUTO(gated) struct gated gated = open_gate(&make);
		assert_int_equal(gated.cipher, cbc ? GATE_CIPHER_CBC : GATE_CIPHER_GCM);
		assert_null(gated.assertion);
		assert_int_equal(verify_decrypt(&gated, keys, 2, arena, &xml, &refusal), 0);
		assert_int_equal(
			gate_parse(GATE_ASSERTION, &rules, xml.data, xml.size, &inner, &refusal),
			0);
		assert_int_equal(
			verify(&inner, (const struct verify_key *const[]){ idp_key }, 1, &refusal),
			0);
		gated_finish(&inner);
		assert_int_equal(verify_decrypt(&gated, keys, 1, arena, &xml, &refusal), 1);
		assert_string_equal(refusal.reason, "decryption-failed");
	}
	verify_key_destroy(right);
	verify_key_destroy(wrong);
}

static int set_up(void **state)
{
	struct err err;

	(void)state;
	if (verify_prepare(&err) < 0 || verify_prepare(&err) < 0)
		return -1;
	saml_make_init();
	idp = saml_pair_create(2048, "idp");
	other = saml_pair_create(2048, "other");
	sp = saml_pair_create(2048, "sp");
	idp_key = verify_key_create(idp.der, idp.der_size, &err);
	other_key = verify_key_create(other.der, other.der_size, &err);
	return idp_key && other_key ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	verify_key_destroy(idp_key);
	verify_key_destroy(other_key);
	saml_pair_destroy(&idp);
	saml_pair_destroy(&other);
	saml_pair_destroy(&sp);
	return 0;
}

/* --- what a signature covers --- */

typedef int contains_fn(xmlSecNodeSet *set, xmlNode *node, xmlNode *parent);

/* xmlsec1's own, in whose place ours stands. */
static contains_fn *own_contains(void)
{
	void *library = dlopen("libxmlsec1.so.1", RTLD_NOW | RTLD_NOLOAD);
	void *found = library ? dlsym(library, "xmlSecNodeSetContains") : NULL;
	contains_fn *contains;

	assert_non_null(found);
	memcpy(&contains, &found, sizeof(contains));
	assert_true(contains != xmlSecNodeSetContains);
	dlclose(library);
	return contains;
}

struct counted {
	size_t all, inside;
};

static void compare(contains_fn *own, xmlSecNodeSet *set, xmlNode *node, xmlNode *parent,
		    const char *name, struct counted *counted)
{
	int expected = own(set, node, parent), is = xmlSecNodeSetContains(set, node, parent);

	if (is != expected)
		fail_msg("%s: node '%s' below '%s': %d, not %d", name,
			 node->type == XML_NAMESPACE_DECL ? "xmlns" : (const char *)node->name,
			 parent && parent->name ? (const char *)parent->name : "", is, expected);
	counted->all++;
	counted->inside += expected != 0;
}

/* All nodes, attributes and namespaces in scope, as canonicalisation asks for them. */
static void compare_all(contains_fn *own, xmlSecNodeSet *set, xmlNode *node, const char *name,
			struct counted *counted)
{
	compare(own, set, node, node->parent, name, counted);
	if (node->type != XML_ELEMENT_NODE)
		return;
	for (xmlAttr *a = node->properties; a; a = a->next)
		compare(own, set, (xmlNode *)a, node, name, counted);
	for (xmlNode *n = node; n && n->type == XML_ELEMENT_NODE; n = n->parent)
		for (xmlNs *ns = n->nsDef; ns; ns = ns->next)
			compare(own, set, (xmlNode *)ns, node, name, counted);
	for (xmlNode *child = node->children; child; child = child->next)
		compare_all(own, set, child, name, counted);
}

enum nodes { NO_NODE, ROOT, ELEMENT, SIGNATURE, INFO, ALL_OF_DOCUMENT };

struct part {
	enum nodes node;
	bool with_comments, inverted;
	xmlSecNodeSetOp op;
};

#define OF(which) \
	{ \
		.node = which \
	}
#define ALL_OF(which) \
	{ \
		.node = which, .with_comments = true \
	}
#define WITHOUT(which) \
	{ \
		.node = which, .with_comments = true, .inverted = true \
	}
#define AS(operation, which) \
	{ \
		.node = which, .op = xmlSecNodeSet##operation \
	}

/* Sets as transforms make them, and such as they do not. */
static void covers_what_xmlsec1_says(void **state UNUSED)
{
	static const struct {
		const char *name;
		struct part parts[3];
		bool some; /* neither nothing nor everything */
	} cases[] = {
		{ "the document", { OF(ROOT) }, false },
		{ "an element", { OF(ELEMENT) }, true },
		{ "SignedInfo", { ALL_OF(INFO) }, true },
		{ "without the signature", { WITHOUT(SIGNATURE) }, true },
		{ "an element without its signature", { OF(ELEMENT), WITHOUT(SIGNATURE) }, true },
		{ "the same with comments", { ALL_OF(ELEMENT), WITHOUT(SIGNATURE) }, true },
		{ "nothing", { OF(ELEMENT), WITHOUT(SIGNATURE), OF(INFO) }, false },
		{ "an element in another", { OF(ELEMENT), OF(SIGNATURE) }, true },
		{ "less an element", { OF(ELEMENT), AS(Subtraction, SIGNATURE) }, true },
		{ "and an element", { OF(SIGNATURE), AS(Union, ELEMENT) }, true },
		{ "children of the document", { OF(ALL_OF_DOCUMENT) }, false },
	};
	struct saml_make make = make_response(SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE);
	struct gated gated = open_gate(&make);
	contains_fn *own = own_contains();
	xmlNode *nodes[] = { [ROOT] = gated.root,
			     [ELEMENT] = gated.assertion,
			     [SIGNATURE] = gated.assertion_signature,
			     [INFO] = saml_make_child(gated.assertion_signature, "SignedInfo"),
			     [ALL_OF_DOCUMENT] = NULL };

	xmlAddChild(gated.assertion, xmlNewDocComment(gated.doc, (const xmlChar *)"inside"));
	xmlAddChild(gated.root, xmlNewDocComment(gated.doc, (const xmlChar *)"outside"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct counted counted = { 0 };
		xmlSecNodeSet *set = NULL;

		for (size_t j = 0; j < 3 && cases[i].parts[j].node != NO_NODE; j++) {
			const struct part *part = &cases[i].parts[j];

			set = xmlSecNodeSetAdd(
				set,
				xmlSecNodeSetGetChildren(gated.doc, nodes[part->node],
							 part->with_comments, part->inverted),
				part->op);
		}
		compare_all(own, set, gated.root, cases[i].name, &counted);
		assert_true(counted.all > 200);
		if (cases[i].some)
			assert_true(counted.inside > 0 && counted.inside < counted.all);
		xmlSecNodeSetDestroy(set);
	}
	assert_int_equal(xmlSecNodeSetContains(NULL, gated.root, NULL), 1);
	gated_finish(&gated);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_numbers_of_keys),
		cmocka_unit_test(any_of_the_keys_will_do),
		cmocka_unit_test(does_not_need_the_certificate_shown),
		cmocka_unit_test(shown_certificates_are_not_believed),
		cmocka_unit_test(content_counts),
		cmocka_unit_test(the_element_counts),
		cmocka_unit_test(large_messages_are_verified_as_well),
		cmocka_unit_test(weak_and_unknown_keys_are_refused),
		cmocka_unit_test(detached_signatures),
		cmocka_unit_test(decrypts_with_any_key),
		cmocka_unit_test(covers_what_xmlsec1_says),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
