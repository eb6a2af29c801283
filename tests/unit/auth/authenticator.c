#include "authenticator.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <sodium.h>

#define MAX 8192

/* ------------------------------------------------------------------------ keys */

static EVP_PKEY *make_key(int algorithm)
{
	EVP_PKEY *key = algorithm == -7	  ? EVP_EC_gen("P-256")
			: algorithm == -8 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					  : EVP_RSA_gen(2048);

	assert_non_null(key);
	return key;
}

void authenticator_init(struct authenticator *authenticator, int algorithm)
{
	*authenticator = (struct authenticator){ .algorithm = algorithm, .id_size = 32 };
	authenticator->key = make_key(algorithm);
	randombytes_buf(authenticator->id, authenticator->id_size);
}

void authenticator_finish(struct authenticator *authenticator)
{
	EVP_PKEY_free(authenticator->key);
}

static size_t sign(EVP_PKEY *key, const void *data, size_t size, unsigned char *ret_signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t length = MAX;
	const EVP_MD *hash = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();

	assert_int_equal(EVP_DigestSignInit(context, NULL, hash, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, ret_signature, &length, data, size), 1);
	EVP_MD_CTX_free(context);
	return length;
}

/* ------------------------------------------------------------------------ CBOR */

static void put_head(struct strbuf *out, unsigned major, size_t number)
{
	if (number < 24) {
		strbuf_putc(out, (char)(major << 5 | number));
	} else if (number < 256) {
		strbuf_putc(out, (char)(major << 5 | 24));
		strbuf_putc(out, (char)number);
	} else {
		strbuf_putc(out, (char)(major << 5 | 25));
		strbuf_putc(out, (char)(number >> 8));
		strbuf_putc(out, (char)number);
	}
}

static void put_number(struct strbuf *out, int number)
{
	put_head(out, number < 0, (size_t)(number < 0 ? -1 - number : number));
}

static void put_string(struct strbuf *out, unsigned major, const void *data, size_t size)
{
	put_head(out, major, size);
	strbuf_append(out, data, size);
}

static void put_word(struct strbuf *out, const char *text)
{
	put_string(out, 3, text, strlen(text));
}

static void put_pair(struct strbuf *out, int label, int value)
{
	put_number(out, label);
	put_number(out, value);
}

static void put_big(struct strbuf *out, int label, EVP_PKEY *key, const char *name, int size)
{
	unsigned char bytes[256];
	BIGNUM *number = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
	assert_int_equal(BN_bn2binpad(number, bytes, size), size);
	BN_free(number);
	put_number(out, label);
	put_string(out, 2, bytes, (size_t)size);
}

static void put_cose(struct strbuf *out, const struct authenticator *authenticator)
{
	EVP_PKEY *key = authenticator->key;
	unsigned char raw[32];
	size_t size = sizeof(raw);

	put_head(out, 5, authenticator->algorithm == -7 ? 5 : 4);
	put_pair(out, 1,
		 authenticator->algorithm == -7	  ? 2
		 : authenticator->algorithm == -8 ? 1
						  : 3);
	put_pair(out, 3, authenticator->algorithm);
	if (authenticator->algorithm == -7) {
		put_pair(out, -1, 1);
		put_big(out, -2, key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
		put_big(out, -3, key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
	} else if (authenticator->algorithm == -8) {
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &size), 1);
		put_pair(out, -1, 6);
		put_number(out, -2);
		put_string(out, 2, raw, size);
	} else {
		put_big(out, -1, key, OSSL_PKEY_PARAM_RSA_N, 256);
		put_big(out, -2, key, OSSL_PKEY_PARAM_RSA_E, 3);
	}
}

/* ----------------------------------------------------------------- what is said */

static void put_data(struct strbuf *out, struct authenticator *authenticator,
		     const struct webauthn_site *site, const struct saying *saying, bool created)
{
	const char *rp_id = saying->rp_id ? saying->rp_id : site->id;
	unsigned char hash[32];
	uint32_t counter = authenticator->counter;
	unsigned flags = created ? 0x40 : 0;

	flags |= saying->flags & SAY_NO_UP ? 0u : 0x01u;
	flags |= saying->flags & SAY_UV ? 0x04u : 0;
	flags |= saying->flags & SAY_EXTENSIONS ? 0x80u : 0;
	flags |= saying->flags & SAY_BACKED_UP ? 0x10u : 0;
	SHA256((const unsigned char *)rp_id, strlen(rp_id), hash);
	strbuf_append(out, hash, sizeof(hash));
	strbuf_putc(out, (char)flags);
	for (int shift = 24; shift >= 0; shift -= 8)
		strbuf_putc(out, (char)(counter >> shift));
	if (created) {
		strbuf_append(out, "0123456789abcdef", 16);
		strbuf_putc(out, (char)(authenticator->id_size >> 8));
		strbuf_putc(out, (char)authenticator->id_size);
		strbuf_append(out, authenticator->id, authenticator->id_size);
		if (saying->cose)
			strbuf_append(out, saying->cose, saying->cose_size);
		else
			put_cose(out, authenticator);
	}
	if (saying->flags & SAY_EXTENSIONS) {
		put_head(out, 5, 1);
		put_word(out, "credProtect");
		put_number(out, 2);
	}
	if (saying->flags & SAY_LEFTOVER)
		strbuf_putc(out, 0);
}

static const char *encoded(struct arena *arena, const void *data, size_t size)
{
	size_t room = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	char *text = arena_alloc(arena, room);

	return sodium_bin2base64(text, room, data, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static const char *client_data(const struct webauthn_site *site, const struct saying *saying,
			       const char *type, struct arena *arena)
{
	if (saying->client)
		return saying->client;
	return arena_printf(arena, "{\"type\":\"%s\",\"challenge\":\"%s\",\"origin\":\"%s\"%s}",
			    saying->type ? saying->type : type, saying->challenge,
			    saying->origin ? saying->origin : site->origin,
			    saying->more ? saying->more : ",\"crossOrigin\":false");
}

/* What both answers begin with; what is signed in *signed_text. */
static void begin(struct authenticator *authenticator, const struct webauthn_site *site,
		  const struct saying *saying, bool created, struct arena *arena,
		  struct strbuf *data, struct strbuf *signed_text, struct webauthn_answer *answer)
{
	const char *client =
		client_data(site, saying, created ? "webauthn.create" : "webauthn.get", arena);
	unsigned char hash[32];

	put_data(data, authenticator, site, saying, created);
	SHA256((const unsigned char *)client, strlen(client), hash);
	strbuf_append(signed_text, data->data, data->size);
	strbuf_append(signed_text, hash, sizeof(hash));
	if (saying->flags & SAY_LATE_EDIT)
		client = arena_printf(arena, "%s ", client);
	answer->client_data = encoded(arena, client, strlen(client));
	answer->id = encoded(arena, authenticator->id, authenticator->id_size);
}

/* A certificate of a key of its own, signed by itself. */
static void put_certificate(struct strbuf *out, EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	unsigned char der[2048], *at = der;
	int size;

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
				   (const unsigned char *)"Test", -1, -1, 0);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	size = i2d_X509(certificate, &at);
	assert_true(size > 0 && (size_t)size <= sizeof(der));
	X509_free(certificate);
	put_word(out, "x5c");
	put_head(out, 4, 1);
	put_string(out, 2, der, (size_t)size);
}

static void put_packed(struct strbuf *out, const struct authenticator *authenticator,
		       const struct saying *saying, const struct strbuf *signed_text)
{
	bool certified = saying->flags & SAY_CERTIFIED;
	EVP_PKEY *key = certified ? make_key(-7) : authenticator->key;
	int algorithm = certified ? -7 : authenticator->algorithm;
	unsigned char signature[MAX];
	size_t size = sign(key, signed_text->data, signed_text->size, signature);

	if (saying->flags & SAY_BAD_SIGN)
		signature[size - 1] ^= 1;
	put_head(out, 5, certified ? 3 : 2);
	put_word(out, "alg");
	put_number(out, saying->statement_algorithm ? saying->statement_algorithm : algorithm);
	put_word(out, "sig");
	put_string(out, 2, signature, size);
	if (certified) {
		put_certificate(out, key);
		EVP_PKEY_free(key);
	}
}

void authenticator_create(struct authenticator *authenticator, const struct webauthn_site *site,
			  const struct saying *saying, struct arena *arena,
			  struct webauthn_answer *ret_answer)
{
	AUTO(strbuf) struct strbuf data = STRBUF(MAX), text = STRBUF(MAX), object = STRBUF(MAX);
	bool packed = saying->flags & (SAY_PACKED | SAY_CERTIFIED);

	*ret_answer = (struct webauthn_answer){ .id = NULL };
	begin(authenticator, site, saying, true, arena, &data, &text, ret_answer);
	put_head(&object, 5, 3);
	put_word(&object, "fmt");
	put_word(&object, saying->format ? saying->format : packed ? "packed" : "none");
	put_word(&object, "attStmt");
	if (packed)
		put_packed(&object, authenticator, saying, &text);
	else
		put_head(&object, 5, 0);
	put_word(&object, "authData");
	put_string(&object, 2, data.data, data.size);
	assert_false(strbuf_failed(&object));
	ret_answer->attestation = encoded(arena, object.data, object.size);
}

void authenticator_get(struct authenticator *authenticator, const struct webauthn_site *site,
		       const struct saying *saying, struct arena *arena,
		       struct webauthn_answer *ret_answer)
{
	AUTO(strbuf) struct strbuf data = STRBUF(MAX), text = STRBUF(MAX);
	unsigned char signature[MAX];
	size_t size;

	*ret_answer = (struct webauthn_answer){ .id = NULL };
	begin(authenticator, site, saying, false, arena, &data, &text, ret_answer);
	size = sign(authenticator->key, text.data, text.size, signature);
	if (saying->flags & SAY_BAD_SIGN)
		signature[size - 1] ^= 1;
	ret_answer->authenticator_data = encoded(arena, data.data, data.size);
	ret_answer->signature = encoded(arena, signature, size);
	if (saying->handle)
		ret_answer->user_handle = encoded(arena, saying->handle, strlen(saying->handle));
}

const char *challenge_of(const char *options, struct arena *arena)
{
	const char *at = strstr(options, "\"challenge\":\"");

	assert_non_null(at);
	at += strlen("\"challenge\":\"");
	return arena_strndup(arena, at, strcspn(at, "\""));
}
