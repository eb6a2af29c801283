/*
 * Public keys and what they signed. Enters: COSE keys that passed the gate, stored keys, signatures. Leaves: nothing but that
 * they are good. The only user of libfido2, which needs no device for this. Fails with "webauthn-algorithm",
 * "webauthn-attestation", "webauthn-signature".
 */
#include "webauthn_parts.h"

#include <string.h>

#include <cbor.h>
#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>

#include <rolebridge/base/util.h>

#define STORED_VERSION 1
#define STORED_HEAD 2 /* version, algorithm */

/* RFC 9053, 7.1 and 2.2; RFC 8812, 2. */
enum cose_label { COSE_KIND = 1, COSE_ALGORITHM = 3 };
#define COSE_OKP 1
#define COSE_EC2 2
#define COSE_RSA 3
#define COSE_P256 1
#define COSE_ED25519 6

#define P256_SIZE 32
#define ED25519_SIZE 32
#define RSA_SIZE 256
static const unsigned char rsa_exponent[] = { 1, 0, 1 };

static int wrong_key(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "webauthn-algorithm",
			  "a key of a kind that was not asked for");
}

/* --------------------------------------------------------------- reading COSE */

static cbor_item_t *label_get(cbor_item_t *map, int label)
{
	for (size_t i = 0; i < cbor_map_size(map); i++) {
		const struct cbor_pair *pair = &cbor_map_handle(map)[i];
		bool negative = cbor_isa_negint(pair->key);

		if ((negative || cbor_isa_uint(pair->key)) &&
		    cbor_get_int(pair->key) == (uint64_t)(negative ? -1 - label : label) &&
		    negative == (label < 0))
			return pair->value;
	}
	return NULL;
}

/* The number of a label is this one. */
static bool label_is(cbor_item_t *map, int label, int wanted)
{
	const cbor_item_t *value = label_get(map, label);

	return value && (wanted < 0 ? cbor_isa_negint(value) : cbor_isa_uint(value)) &&
	       cbor_get_int(value) == (uint64_t)(wanted < 0 ? -1 - wanted : wanted);
}

/* The bytes of a label, exactly so many, put at room. */
static bool label_bytes(cbor_item_t *map, int label, unsigned char *room, size_t size)
{
	const cbor_item_t *value = label_get(map, label);

	if (!value || !cbor_isa_bytestring(value) || cbor_bytestring_length(value) != size)
		return false;
	memcpy(room, cbor_bytestring_handle(value), size);
	return true;
}

static bool read_es256(cbor_item_t *map, unsigned char *room)
{
	return label_is(map, COSE_KIND, COSE_EC2) && label_is(map, -1, COSE_P256) &&
	       label_bytes(map, -2, room, P256_SIZE) &&
	       label_bytes(map, -3, room + P256_SIZE, P256_SIZE) && cbor_map_size(map) == 5;
}

static bool read_eddsa(cbor_item_t *map, unsigned char *room)
{
	return label_is(map, COSE_KIND, COSE_OKP) && label_is(map, -1, COSE_ED25519) &&
	       label_bytes(map, -2, room, ED25519_SIZE) && cbor_map_size(map) == 4;
}

/* Of 2048 bits and the usual exponent: what libfido2 takes, and all that authenticators make. */
static bool read_rs256(cbor_item_t *map, unsigned char *room)
{
	return label_is(map, COSE_KIND, COSE_RSA) && label_bytes(map, -1, room, RSA_SIZE) &&
	       (room[0] & 0x80) && label_bytes(map, -2, room + RSA_SIZE, sizeof(rsa_exponent)) &&
	       memcmp(room + RSA_SIZE, rsa_exponent, sizeof(rsa_exponent)) == 0 &&
	       cbor_map_size(map) == 4;
}

/* ------------------------------------------------------------------- the kinds */

/* A key of libfido2, by its kind. */
union fido_key {
	es256_pk_t *es256;
	eddsa_pk_t *eddsa;
	rs256_pk_t *rs256;
	const void *any;
};

static const struct kind {
	int algorithm;
	size_t size;
	bool (*read)(cbor_item_t *map, unsigned char *room);
} kinds[] = {
	{ COSE_ES256, 2 * P256_SIZE, read_es256 },
	{ COSE_EDDSA, ED25519_SIZE, read_eddsa },
	{ COSE_RS256, RSA_SIZE + sizeof(rsa_exponent), read_rs256 },
};
static_assert(STORED_HEAD + RSA_SIZE + sizeof(rsa_exponent) <= WEBAUTHN_KEY_MAX, "the longest");

static const struct kind *kind_of(int64_t algorithm)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].algorithm == algorithm)
			return &kinds[i];
	return NULL;
}

static void fido_key_free(const struct webauthn_key *key, union fido_key *fido)
{
	if (key->algorithm == COSE_ES256)
		es256_pk_free(&fido->es256);
	else if (key->algorithm == COSE_EDDSA)
		eddsa_pk_free(&fido->eddsa);
	else
		rs256_pk_free(&fido->rs256);
}

/* false: out of memory, or no such key. */
static bool fido_key_make(const struct webauthn_key *key, union fido_key *ret_fido)
{
	union fido_key fido = { .any = NULL };
	int status = FIDO_ERR_INTERNAL;

	switch (key->algorithm) {
	case COSE_ES256:
		fido.es256 = es256_pk_new();
		if (fido.es256)
			status = es256_pk_from_ptr(fido.es256, key->data, key->size);
		break;
	case COSE_EDDSA:
		fido.eddsa = eddsa_pk_new();
		if (fido.eddsa)
			status = eddsa_pk_from_ptr(fido.eddsa, key->data, key->size);
		break;
	default:
		fido.rs256 = rs256_pk_new();
		if (fido.rs256)
			status = rs256_pk_from_ptr(fido.rs256, key->data, key->size);
	}
	if (status != FIDO_OK) {
		fido_key_free(key, &fido);
		return false;
	}
	*ret_fido = fido;
	return true;
}

/* A point on its curve: OpenSSL makes no key of another. */
static bool is_good(const struct webauthn_key *key)
{
	union fido_key fido;
	EVP_PKEY *made;

	if (!fido_key_make(key, &fido))
		return false;
	if (key->algorithm == COSE_ES256)
		made = es256_pk_to_EVP_PKEY(fido.es256);
	else if (key->algorithm == COSE_EDDSA)
		made = eddsa_pk_to_EVP_PKEY(fido.eddsa);
	else
		made = rs256_pk_to_EVP_PKEY(fido.rs256);
	fido_key_free(key, &fido);
	EVP_PKEY_free(made);
	return made != NULL;
}

static const struct kind *read_map(cbor_item_t *map, unsigned char *room)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (label_is(map, COSE_ALGORITHM, kinds[i].algorithm))
			return kinds[i].read(map, room) ? &kinds[i] : NULL;
	return NULL;
}

int webauthn_key_read(struct webauthn_bytes cose, unsigned char room[static WEBAUTHN_KEY_MAX],
		      struct webauthn_key *ret_key, struct err *err)
{
	struct cbor_load_result result;
	cbor_item_t *map = cbor_load(cose.data, cose.size, &result);
	const struct kind *kind = map && cbor_isa_map(map) ? read_map(map, room) : NULL;
	struct webauthn_key key;

	if (map)
		cbor_decref(&map);
	if (!kind)
		return wrong_key(err);
	key = (struct webauthn_key){ kind->algorithm, room, kind->size };
	if (!is_good(&key))
		return wrong_key(err);
	*ret_key = key;
	return 0;
}

/* ------------------------------------------------------------- our stored form */

int webauthn_key_pack(const struct webauthn_key *key, struct arena *arena,
		      struct webauthn_bytes *ret_stored, struct err *err)
{
	unsigned char *stored = arena_alloc(arena, STORED_HEAD + key->size);

	if (!stored)
		return err_set(err, ERR_MEMORY, "out of memory");
	stored[0] = STORED_VERSION;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].algorithm == key->algorithm)
			stored[1] = (unsigned char)(i + 1);
	memcpy(stored + STORED_HEAD, key->data, key->size);
	*ret_stored = (struct webauthn_bytes){ stored, STORED_HEAD + key->size };
	return 0;
}

int webauthn_key_unpack(struct webauthn_bytes stored, struct webauthn_key *ret_key, struct err *err)
{
	if (stored.size <= STORED_HEAD || stored.data[0] != STORED_VERSION || stored.data[1] == 0 ||
	    stored.data[1] > ARRAY_LEN(kinds) ||
	    stored.size != STORED_HEAD + kinds[stored.data[1] - 1].size)
		return err_set(err, ERR_INTERNAL, "a stored key is not in a form that is known");
	*ret_key = (struct webauthn_key){ kinds[stored.data[1] - 1].algorithm,
					  stored.data + STORED_HEAD, stored.size - STORED_HEAD };
	return 0;
}

/* ------------------------------------------------------------------- signatures */

static bool attestation_holds(fido_cred_t *cred, const struct webauthn_signed *what,
			      const struct webauthn_statement *statement,
			      const struct webauthn_key *key)
{
	return fido_cred_set_type(cred, key->algorithm) == FIDO_OK &&
	       fido_cred_set_rp(cred, what->site->id, NULL) == FIDO_OK &&
	       fido_cred_set_clientdata_hash(cred, what->client_hash, sizeof(what->client_hash)) ==
		       FIDO_OK &&
	       fido_cred_set_authdata_raw(cred, what->data.data, what->data.size) == FIDO_OK &&
	       fido_cred_set_fmt(cred, "packed") == FIDO_OK &&
	       fido_cred_set_attstmt(cred, statement->raw.data, statement->raw.size) == FIDO_OK &&
	       (statement->certified ? fido_cred_verify(cred) : fido_cred_verify_self(cred)) ==
		       FIDO_OK;
}

int webauthn_attestation_verify(const struct webauthn_signed *what,
				const struct webauthn_statement *statement,
				const struct webauthn_key *key, struct err *err)
{
	fido_cred_t *cred;
	bool good;

	if (statement->format == WEBAUTHN_NONE)
		return 0;
	cred = fido_cred_new();
	if (!cred)
		return err_set(err, ERR_MEMORY, "out of memory");
	/* 8.2: what signs for itself does so by its own algorithm. */
	good = kind_of(statement->algorithm) &&
	       (statement->certified || statement->algorithm == key->algorithm) &&
	       attestation_holds(cred, what, statement, key);
	fido_cred_free(&cred);
	return good ? 0
		    : err_refuse(err, ERR_DENIED, "webauthn-attestation",
				 "the attestation does not hold");
}

static bool signature_holds(fido_assert_t *assertion, const struct webauthn_signed *what,
			    const struct webauthn_key *key, const union fido_key *fido,
			    struct webauthn_bytes signature)
{
	return fido_assert_set_count(assertion, 1) == FIDO_OK &&
	       fido_assert_set_rp(assertion, what->site->id) == FIDO_OK &&
	       fido_assert_set_up(assertion, FIDO_OPT_TRUE) == FIDO_OK &&
	       fido_assert_set_clientdata_hash(assertion, what->client_hash,
					       sizeof(what->client_hash)) == FIDO_OK &&
	       fido_assert_set_authdata_raw(assertion, 0, what->data.data, what->data.size) ==
		       FIDO_OK &&
	       fido_assert_set_sig(assertion, 0, signature.data, signature.size) == FIDO_OK &&
	       fido_assert_verify(assertion, 0, key->algorithm, fido->any) == FIDO_OK;
}

int webauthn_signature_verify(const struct webauthn_signed *what, const struct webauthn_key *key,
			      struct webauthn_bytes signature, struct err *err)
{
	fido_assert_t *assertion = fido_assert_new();
	union fido_key fido;
	bool good;

	if (!assertion || !fido_key_make(key, &fido)) {
		fido_assert_free(&assertion);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	good = signature_holds(assertion, what, key, &fido, signature);
	fido_key_free(key, &fido);
	fido_assert_free(&assertion);
	return good ? 0
		    : err_refuse(err, ERR_DENIED, "webauthn-signature",
				 "the signature is not good");
}
