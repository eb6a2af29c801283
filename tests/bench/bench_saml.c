/*
 * What judging a SAML response costs, against the least that anybody could do with the same libraries: decode,
 * parse with libxml2, verify with xmlsec1 and a key that is lent, read the attributes, check nothing.
 *
 * Distinct responses of 8.2 kB (9 single attributes, 20 groups), RSA-2048, SHA-256. CPU time of one core, both in
 * turn, best of several rounds. Goals are ratios; the judge is one part of a login (1.5 in all, 1.3 encrypted).
 * The same allocator and the same functions that stand in place of libraries' own (verify.c) serve both here: what
 * the libraries take by themselves is told by bare_saml.
 * Exit 0 always: a noisy machine fails nothing.
 */
#include <string.h>

#include "bare.h"

#include "../../daemon/source/saml/judge.h"
#include "../../daemon/source/saml/memory.h"

#define RESPONSES 200
#define ROUNDS 15
#define GROUPS 1000

struct bench {
	struct saml_pair idp, sp;
	struct verify_key *key, *private_key;
	struct bare bare;
	struct judge_provider provider;
	struct judge judge;
	struct arena *arena;
	char *encoded[RESPONSES];
	size_t sizes[RESPONSES];
};

/* --- the judge --- */

static size_t judge_one(const struct bench *b, const char *encoded, size_t size)
{
	static const char *const requests[] = { "_request" };
	struct saml_question question = { .now_s = BARE_NOW_S,
					  .request_ids = requests,
					  .request_count = 1 };
	struct saml_message message = { .binding = SAML_POST,
					.encoded = encoded,
					.encoded_size = size };
	struct saml_assertion assertion;
	struct saml_refusal refusal = { "", "" };

	arena_reset(b->arena);
	if (judge_response(&b->judge, &b->provider, &question, &message, b->arena, &assertion,
			   &refusal) != 0)
		stop(refusal.reason, refusal.detail);
	return assertion.record_size;
}

/* --- all together --- */

static struct wanted_attribute wanted[] = {
	{ "cn", "cn" },
	{ "displayName", "displayName" },
	{ "employeeNumber", "employeeNumber" },
	{ "givenName", "givenName" },
	{ "mail", "mail" },
	{ "ou", "ou" },
	{ "sn", "sn" },
	{ "title", "title" },
	{ "uid", "uid" },
};
static struct wanted_group groups[GROUPS];
static char group_names[GROUPS][80];

static void prepare(struct bench *b)
{
	const struct saml_make message = bare_message(&b->idp);
	static const struct verify_key *keys[1], *private_keys[1];
	BIO *bio = BIO_new(BIO_s_mem());
	struct err err;
	long size;
	char *pem;

	PEM_write_bio_PrivateKey(bio, b->sp.key, NULL, NULL, 0, NULL, NULL);
	size = BIO_get_mem_data(bio, &pem);
	b->private_key = verify_private_key_create(pem, (size_t)size, &err);
	BIO_free(bio);
	b->key = verify_key_create(b->idp.der, b->idp.der_size, &err);
	if (!b->key || !b->private_key)
		stop("no key", err.text);
	keys[0] = b->key;
	private_keys[0] = b->private_key;
	for (unsigned i = 0; i < GROUPS; i++) {
		snprintf(group_names[i], sizeof(group_names[i]),
			 "cn=group-%04u,ou=services,ou=groups,dc=acme,dc=example", i);
		groups[i] = (struct wanted_group){ i + 1, group_names[i] };
	}
	b->judge = (struct judge){ .skew_s = 180,
				   .decryption_keys = private_keys,
				   .decryption_key_count = 1 };
	b->provider = (struct judge_provider){
		.idp_entity_id = message.idp_entity_id,
		.sp_entity_id = message.sp_entity_id,
		.acs_url = message.acs_url,
		.slo_url = "",
		.signing_keys = keys,
		.signing_key_count = 1,
		.key = "name-id",
		.attributes = wanted,
		.attribute_count = ARRAY_LEN(wanted),
		.groups = groups,
		.group_count = GROUPS,
	};
	judge_provider_prepare(&b->provider);
	b->bare = bare_create(&b->idp, &b->sp);
	b->arena = arena_create(64u * 1024 * 1024);
}

static double judge_all(const struct bench *b, double best)
{
	double begin = cpu_s(), us;

	for (size_t i = 0; i < RESPONSES; i++)
		if (judge_one(b, b->encoded[i], b->sizes[i]) == 0)
			stop("nothing", "was done");
	us = (cpu_s() - begin) * 1e6 / RESPONSES;
	return us < best ? us : best;
}

static double bare_all(const struct bench *b, double best)
{
	double begin = cpu_s(), us;

	for (size_t i = 0; i < RESPONSES; i++)
		bare_one(&b->bare, b->encoded[i], b->sizes[i]);
	us = (cpu_s() - begin) * 1e6 / RESPONSES;
	return us < best ? us : best;
}

static void measure(struct bench *b, const char *name, struct saml_make make)
{
	double bare = 1e9, judged = 1e9;

	for (size_t i = 0; i < RESPONSES; i++) {
		make.number = i + 1;
		b->encoded[i] = saml_make_encoded(&make);
		b->sizes[i] = strlen(b->encoded[i]);
	}
	for (int i = 0; i < ROUNDS; i++) {
		bare = bare_all(b, bare);
		judged = judge_all(b, judged);
	}
	printf("  %-28s %6zu bytes   bare %7.1f us   judge %7.1f us   ratio %.2f\n", name,
	       b->sizes[0] / 4 * 3, bare, judged, judged / bare);
	for (size_t i = 0; i < RESPONSES; i++)
		free(b->encoded[i]);
}

static void finish(struct bench *b)
{
	verify_key_destroy(b->key);
	verify_key_destroy(b->private_key);
	xmlSecKeysMngrDestroy(b->bare.manager);
	arena_destroy(b->arena);
	saml_pair_destroy(&b->idp);
	saml_pair_destroy(&b->sp);
}

int main(void)
{
	struct bench b = { .arena = NULL };
	struct saml_make make;
	struct err err;

	if (memory_prepare(&err) < 0)
		stop("cannot start:", err.text);
	saml_make_init();
	if (verify_prepare(&err) < 0)
		stop("cannot start:", err.text);
	b.idp = saml_pair_create(2048, "idp");
	b.sp = saml_pair_create(2048, "sp");
	prepare(&b);
	make = bare_message(&b.idp);
	printf("judging a SAML response (verification: fast), CPU of one core\n");
	measure(&b, "assertion signed", make);
	make.signatures = SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE;
	measure(&b, "both signed", make);
	make.signatures = SAML_MAKE_ASSERTION;
	make.encrypt_to = &b.sp;
	measure(&b, "assertion signed, GCM", make);
	make.cbc = true;
	make.signatures = SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE;
	measure(&b, "both signed, CBC", make);
	finish(&b);
	return 0;
}
