/*
 * The gate and what stands behind it. What the gate lets through keeps its promises, and then goes through
 * signature check, decryption, attributes and all named checks; nobody has the key, so nothing is ever accepted.
 * The first byte chooses the kind of document.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <rolebridge/base/util.h>

#include "../../daemon/source/saml/attributes.h"
#include "../../daemon/source/saml/checks.h"
#include "../../daemon/source/saml/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct verify_key *public_key, *private_key;

/* Keys of nobody. */
static void make_keys(void)
{
	EVP_PKEY *pkey = EVP_RSA_gen(2048);
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	char *pem;
	long pem_size;
	int der_size;
	struct err err;

	if (!pkey || !bio || verify_prepare(&err) < 0)
		abort();
	der_size = i2d_PUBKEY(pkey, &der);
	PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
	pem_size = BIO_get_mem_data(bio, &pem);
	public_key = verify_key_create(der, (size_t)der_size, &err);
	private_key = verify_private_key_create(pem, (size_t)pem_size, &err);
	if (!public_key || !private_key)
		abort();
	OPENSSL_free(der);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
}

static struct wanted_attribute attributes[] = { { "mail", "mail" }, { "uid", "urn:custom:uid" } };
static struct wanted_group groups[] = { { 1, "sales" }, { 2, "r&d" } };

static struct judge_provider provider(void)
{
	static const char *const domains[] = { "corp.example" };
	static const struct verify_key *keys[1];

	keys[0] = public_key;
	return (struct judge_provider){
		.idp_entity_id = "https://idp.example/metadata",
		.sp_entity_id = "https://sp.example/saml/corp/metadata",
		.acs_url = "https://sp.example/saml/corp/acs",
		.slo_url = "https://sp.example/saml/corp/slo",
		.signing_keys = keys,
		.signing_key_count = 1,
		.idp_initiated = true,
		.allowed_domains = { domains, 1 },
		.allowed_scopes = { domains, 1 },
		.key = "name-id",
		.attributes = attributes,
		.attribute_count = ARRAY_LEN(attributes),
		.groups = groups,
		.group_count = ARRAY_LEN(groups),
	};
}

static void check_promises(const struct gated *gated)
{
	bool message = gated->kind != GATE_METADATA;

	if (message && (!gated->id || !xmlGetID(gated->doc, (const xmlChar *)gated->id)))
		abort();
	if (gated->root_signature && gated->root_signature->parent != gated->root)
		abort();
	if (gated->assertion && gated->encrypted)
		abort();
	if (gated->assertion_signature && gated->assertion_signature->parent != gated->assertion)
		abort();
	if (gated->kind == GATE_LOGOUT)
		abort();
}

/* As if it were verified, so that all of the checks see it. */
static void run_checks(const struct gated *gated, const struct judge *judge,
		       const struct judge_provider *p, struct arena *arena)
{
	struct saml_question question = { .now_s = 1900000000, .explain = true };
	struct saml_assertion facts = { "", "", "", "",	  "", "",   "", 0,    0,
					0,  "", 0,  NULL, 0,  NULL, 0,	NULL, 0 };
	struct received_list received;
	struct saml_refusal refusal;
	struct saml_check lines[CHECKS_MAX];
	size_t count;
	struct checked checked = { .judge = judge,
				   .provider = p,
				   .question = &question,
				   .response = gated->root,
				   .assertion = gated->assertion,
				   .attributes = &received,
				   .arena = arena,
				   .assertion_facts = &facts };

	if (attributes_read(gated->assertion, arena, &received, &refusal) != 0)
		return;
	checks_run(&checked, lines, &count, &refusal);
	attributes_record(p, &received, checked.key ? checked.key : "x", arena, &facts);
	attributes_explain(p, &received, arena, &facts);
}

static void go_on(const struct gated *gated, struct arena *arena)
{
	struct judge_provider p = provider();
	const struct verify_key *keys[] = { private_key };
	struct judge judge = { .skew_s = 180, .decryption_keys = keys, .decryption_key_count = 1 };
	struct saml_refusal refusal;
	struct bytes_view xml;

	judge_provider_prepare(&p);
	check_promises(gated);
	if (gated->root_signature &&
	    verify_signature(gated->doc, gated->root, gated->id, gated->root_signature,
			     p.signing_keys, 1, true, &refusal) == 0)
		abort();
	if (gated->assertion_signature &&
	    verify_signature(gated->doc, gated->assertion, gated->assertion_id,
			     gated->assertion_signature, p.signing_keys, 1, false, &refusal) == 0)
		abort();
	if (gated->encrypted)
		verify_decrypt(gated, keys, 1, arena, &xml, &refusal);
	if (gated->kind == GATE_RESPONSE && gated->assertion)
		run_checks(gated, &judge, &p, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum gate_kind kinds[] = { GATE_RESPONSE,	     GATE_ASSERTION,
						GATE_LOGOUT_REQUEST, GATE_LOGOUT_RESPONSE,
						GATE_LOGOUT,	     GATE_METADATA };
	AUTO(arena) struct arena *arena = arena_create(64u * 1024 * 1024);
	struct gate_rules rules = { .allow_sha1 = true };
	struct saml_refusal refusal = { "", "" };
	struct gated gated;

	if (!public_key)
		make_keys();
	if (size == 0 || !arena)
		return 0;
	switch (gate_parse(kinds[data[0] % ARRAY_LEN(kinds)], &rules, data + 1, size - 1, &gated,
			   &refusal)) {
	case 0:
		go_on(&gated, arena);
		gated_finish(&gated);
		break;
	case 1:
		if (!refusal.reason[0])
			abort();
		break;
	default: break;
	}
	return 0;
}
