/*
 * Our own keys (keys.h). Enters: paths. Leaves: certificates, signatures, keys to
 * lend. Fails where a file is unreadable, a key has a passphrase, is not RSA, is too short or
 * does not belong to its certificate.
 *
 * Signatures are made here with OpenSSL and xmlsec1: Lasso would hand the PEM of the
 * key to open(2) as if it were a path, and signs with SHA-1 unless told otherwise.
 */
#include "keys.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libxml/parser.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <xmlsec/crypto.h>
#include <xmlsec/openssl/app.h>
#include <xmlsec/openssl/crypto.h>
#include <xmlsec/templates.h>
#include <xmlsec/xmldsig.h>
#include <xmlsec/xmlsec.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/secret.h>
#include <rolebridge/base/util.h>

#include "xml.h"

#define CERTIFICATE_FILE_MAX ((size_t)256 * 1024)
/* The present one, the decryption keys and the announced ones: each list at most 8 and one. */
#define CERTIFICATES_MAX 16

struct keys {
	EVP_PKEY *signing;
	xmlSecKey *signing_xml;
	struct arena *arena;
	const char *signing_certificates[CERTIFICATES_MAX];
	size_t signing_certificate_count;
	const char *encryption_certificates[CERTIFICATES_MAX];
	size_t encryption_certificate_count;
	struct verify_key *decryption[VERIFY_KEYS_MAX];
	struct secret decryption_pem[VERIFY_KEYS_MAX];
	size_t decryption_count;
};

/* A key with a passphrase would make OpenSSL ask on a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static X509 *read_certificate(const char *path, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(CERTIFICATE_FILE_MAX);
	X509 *certificate = NULL;
	BIO *bio;

	if (file_read(path, CERTIFICATE_FILE_MAX, &text, err) < 0)
		return NULL;
	bio = BIO_new_mem_buf(strbuf_text(&text), (int)text.size);
	if (bio)
		certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!certificate)
		err_set(err, ERR_INVALID, "'%s' holds no certificate (PEM)", path);
	return certificate;
}

static EVP_PKEY *parse_private(const struct secret *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static EVP_PKEY *read_private(const char *path, struct secret *ret_pem, struct err *err)
{
	EVP_PKEY *key;

	if (secret_read_file(path, ret_pem, err) < 0)
		return NULL;
	key = parse_private(ret_pem);
	if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
	    EVP_PKEY_get_bits(key) >= VERIFY_RSA_BITS_MIN)
		return key;
	EVP_PKEY_free(key);
	err_set(err, ERR_INVALID,
		"'%s' holds no private RSA key (PEM, no passphrase, at least %d bits)", path,
		VERIFY_RSA_BITS_MIN);
	return NULL;
}

/* Base64 of the DER, as it stands in X509Certificate. */
static const char *certificate_text(X509 *certificate, struct arena *arena)
{
	unsigned char *der = NULL;
	int size = i2d_X509(certificate, &der);
	char *text = NULL;

	if (size > 0)
		text = arena_alloc_array(arena, ((size_t)size + 2) / 3 + 1, 4);
	if (text)
		EVP_EncodeBlock((unsigned char *)text, der, size);
	OPENSSL_free(der);
	return text;
}

static int announce(struct keys *keys, X509 *certificate, const char **list, size_t *count,
		    struct err *err)
{
	const char *text = certificate_text(certificate, keys->arena);

	if (!text)
		return err_set(err, ERR_MEMORY, "out of memory for certificates");
	if (*count == CERTIFICATES_MAX)
		return err_set(err, ERR_INVALID, "too many certificates");
	list[(*count)++] = text;
	return 0;
}

static int add_decryption(struct keys *keys, const struct secret *pem, struct err *err)
{
	if (keys->decryption_count == VERIFY_KEYS_MAX)
		return err_set(err, ERR_INVALID, "more than %d keys that decrypt", VERIFY_KEYS_MAX);

	struct verify_key *key = verify_private_key_create(pem->data, pem->size, err);

	if (!key)
		return -1;
	keys->decryption[keys->decryption_count] = key;
	keys->decryption_pem[keys->decryption_count++] = *pem;
	return 0;
}

/* One key pair: it decrypts, its certificate is announced. *ret_key is the caller's. */
static int load_pair(struct keys *keys, const struct located *certificate_path,
		     const struct located *key_path, X509 **ret_certificate, EVP_PKEY **ret_key,
		     struct err *err)
{
	AUTO(secret) struct secret pem = { 0 };
	X509 *certificate;
	EVP_PKEY *key;

	if (!certificate_path->text || !key_path->text)
		return err_set(err, ERR_INVALID, "certificate and private key must be given");
	certificate = read_certificate(certificate_path->text, err);
	key = certificate ? read_private(key_path->text, &pem, err) : NULL;
	if (key && X509_check_private_key(certificate, key) != 1)
		err_set(err, ERR_INVALID, "private key '%s' does not belong to certificate '%s'",
			key_path->text, certificate_path->text);
	else if (key &&
		 announce(keys, certificate, keys->encryption_certificates,
			  &keys->encryption_certificate_count, err) == 0 &&
		 add_decryption(keys, &pem, err) == 0) {
		/* Now they belong to keys. */
		pem = (struct secret){ 0 };
		*ret_certificate = certificate;
		*ret_key = key;
		return 0;
	}
	EVP_PKEY_free(key);
	X509_free(certificate);
	return -1;
}

static int load_signing(struct keys *keys, const struct saml_settings *settings, struct err *err)
{
	X509 *certificate = NULL;
	int status;

	if (load_pair(keys, &settings->certificate, &settings->private_key, &certificate,
		      &keys->signing, err) < 0)
		return -1;
	status = announce(keys, certificate, keys->signing_certificates,
			  &keys->signing_certificate_count, err);
	X509_free(certificate);
	if (status < 0)
		return -1;
	keys->signing_xml = xmlSecOpenSSLAppKeyLoadMemory(
		(const xmlSecByte *)keys->decryption_pem[0].data,
		(xmlSecSize)keys->decryption_pem[0].size, xmlSecKeyDataFormatPem, NULL, NULL, NULL);
	if (!keys->signing_xml)
		return err_set(err, ERR_INVALID, "the private key cannot be used for signatures");
	return 0;
}

static int load_others(struct keys *keys, const struct saml_settings *settings, struct err *err)
{
	const struct saml_key_settings *pairs = settings->decryption_keys.items;

	for (size_t i = 0; i < settings->decryption_keys.count; i++) {
		X509 *certificate = NULL;
		EVP_PKEY *key = NULL;
		if (load_pair(keys, &pairs[i].certificate, &pairs[i].private_key, &certificate,
			      &key, err) < 0)
			return -1;
		X509_free(certificate);
		EVP_PKEY_free(key);
	}
	for (size_t i = 0; i < settings->next_certificates.count; i++) {
		X509 *certificate =
			read_certificate(settings->next_certificates.items[i].text, err);
		int status = certificate ? announce(keys, certificate, keys->signing_certificates,
						    &keys->signing_certificate_count, err)
					 : -1;
		X509_free(certificate);
		if (status < 0)
			return -1;
	}
	return 0;
}

struct keys *keys_load(const struct saml_settings *settings, struct err *err)
{
	struct keys *keys = alloc_zeroed(1, sizeof(*keys));

	if (keys)
		keys->arena = arena_create(CERTIFICATES_MAX * 2 * CERTIFICATE_FILE_MAX);
	if (!keys || !keys->arena) {
		free(keys);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (load_signing(keys, settings, err) == 0 && load_others(keys, settings, err) == 0)
		return keys;
	keys_destroy(keys);
	return NULL;
}

void keys_destroy(struct keys *keys)
{
	if (!keys)
		return;
	EVP_PKEY_free(keys->signing);
	if (keys->signing_xml)
		xmlSecKeyDestroy(keys->signing_xml);
	for (size_t i = 0; i < keys->decryption_count; i++) {
		verify_key_destroy(keys->decryption[i]);
		secret_finish(&keys->decryption_pem[i]);
	}
	arena_destroy(keys->arena);
	free(keys);
}

static void print_file(const char *path, struct strbuf *out)
{
	struct stat status;

	if (!path || stat(path, &status) < 0) {
		strbuf_puts(out, "none\n");
		return;
	}
	/* A copy may keep the time of the original, but not the time at which it was put there. */
	strbuf_printf(out, "%ju %ju %jd %jd.%09ld %jd.%09ld\n", (uintmax_t)status.st_dev,
		      (uintmax_t)status.st_ino, (intmax_t)status.st_size,
		      (intmax_t)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
		      (intmax_t)status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
}

static void print_pair(const struct located *certificate, const struct located *key,
		       struct strbuf *out)
{
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);
	bool is_found = key->text && secret_resolve(key->text, &path, NULL) == 0;

	print_file(certificate->text, out);
	print_file(is_found ? strbuf_text(&path) : NULL, out);
}

void keys_print_files(const struct saml_settings *settings, struct strbuf *out)
{
	const struct saml_key_settings *pairs = settings->decryption_keys.items;

	print_pair(&settings->certificate, &settings->private_key, out);
	for (size_t i = 0; i < settings->decryption_keys.count; i++)
		print_pair(&pairs[i].certificate, &pairs[i].private_key, out);
	for (size_t i = 0; i < settings->next_certificates.count; i++)
		print_file(settings->next_certificates.items[i].text, out);
}

size_t keys_signing_certificates(const struct keys *keys, const char *const **ret_certificates)
{
	*ret_certificates = keys->signing_certificates;
	return keys->signing_certificate_count;
}

size_t keys_encryption_certificates(const struct keys *keys, const char *const **ret_certificates)
{
	*ret_certificates = keys->encryption_certificates;
	return keys->encryption_certificate_count;
}

size_t keys_decryption(const struct keys *keys, const struct verify_key *const **ret_keys)
{
	*ret_keys = (const struct verify_key *const *)keys->decryption;
	return keys->decryption_count;
}

const char *keys_decryption_pem(const struct keys *keys, size_t index)
{
	return keys->decryption_pem[index].data;
}

/* --- signatures --- */

const char *keys_sign(const struct keys *keys, const void *data, size_t size, struct arena *arena)
{
	unsigned char signature[1024]; /* RSA of up to 8,192 bits */
	size_t length = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	char *text = NULL;

	if (context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, keys->signing) == 1 &&
	    EVP_DigestSign(context, signature, &length, data, size) == 1)
		text = arena_alloc_array(arena, (length + 2) / 3 + 1, 4);
	if (text)
		EVP_EncodeBlock((unsigned char *)text, signature, (int)length);
	EVP_MD_CTX_free(context);
	return text;
}

/* The template of the signature, in place; NULL: out of memory. */
static xmlNode *add_template(const struct keys *keys, xmlDoc *doc, xmlNode *root, const char *id)
{
	xmlChar *uri = xmlStrncatNew((const xmlChar *)"#", (const xmlChar *)id, -1);
	xmlNode *issuer = xml_first(root);
	xmlNode *signature = xmlSecTmplSignatureCreateNsPref(doc, xmlSecTransformExclC14NId,
							     xmlSecOpenSSLTransformRsaSha256Id,
							     NULL, (const xmlChar *)"ds");
	xmlNode *reference = NULL, *info = NULL, *data = NULL;
	bool done = false;

	if (signature && issuer)
		xmlAddNextSibling(issuer, signature);
	if (signature && issuer && uri)
		reference = xmlSecTmplSignatureAddReference(
			signature, xmlSecOpenSSLTransformSha256Id, NULL, uri, NULL);
	if (reference && xmlSecTmplReferenceAddTransform(reference, xmlSecTransformEnvelopedId) &&
	    xmlSecTmplReferenceAddTransform(reference, xmlSecTransformExclC14NId))
		info = xmlSecTmplSignatureEnsureKeyInfo(signature, NULL);
	if (info)
		data = xmlSecTmplKeyInfoAddX509Data(info);
	if (data)
		done = xmlNewTextChild(data, data->ns, (const xmlChar *)"X509Certificate",
				       (const xmlChar *)keys->signing_certificates[0]) != NULL;
	xmlFree(uri);
	if (!done && signature && !issuer)
		xmlFreeNode(signature);
	return done ? signature : NULL;
}

static bool sign_node(const struct keys *keys, xmlNode *signature)
{
	xmlSecDSigCtx *context = xmlSecDSigCtxCreate(NULL);
	bool good = false;

	if (context) {
		context->signKey = xmlSecKeyDuplicate(keys->signing_xml);
		good = context->signKey && xmlSecDSigCtxSign(context, signature) == 0 &&
		       context->status == xmlSecDSigStatusSucceeded;
		xmlSecDSigCtxDestroy(context);
	}
	return good;
}

static const char *write_root(xmlDoc *doc, xmlNode *root, struct arena *arena)
{
	xmlBuffer *buffer = xmlBufferCreate();
	const char *text = NULL;

	if (buffer && xmlNodeDump(buffer, doc, root, 0, 0) > 0)
		text = arena_strdup(arena, (const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return text;
}

const char *keys_sign_document(const struct keys *keys, const char *xml, size_t size,
			       struct arena *arena)
{
	xmlDoc *doc = xmlReadMemory(xml, (int)size, NULL, "UTF-8",
				    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlAttr *id = root ? xmlHasProp(root, (const xmlChar *)"ID") : NULL;
	const char *value = id ? xml_value(id) : NULL;
	const char *text = NULL;
	xmlNode *signature;

	if (value && xmlAddID(NULL, doc, (const xmlChar *)value, id)) {
		signature = add_template(keys, doc, root, value);
		if (signature && sign_node(keys, signature))
			text = write_root(doc, root, arena);
	}
	xmlFreeDoc(doc);
	return text;
}

/* --- trying --- */

#define TRIED "<x:r xmlns:x=\"urn:x\" ID=\"_1\"><x:i/></x:r>"

static struct verify_key *own_public_key(const struct keys *keys)
{
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(keys->signing, &der);
	struct verify_key *key = size > 0 ? verify_key_create(der, (size_t)size, NULL) : NULL;

	OPENSSL_free(der);
	return key;
}

static int try_signature(const struct keys *keys, struct arena *arena)
{
	const char *signed_text = keys_sign_document(keys, TRIED, strlen(TRIED), arena);
	struct verify_key *key = own_public_key(keys);
	struct saml_refusal refusal;
	xmlNode *root, *signature;
	xmlDoc *doc = NULL;
	int status = -1;

	if (signed_text && key)
		doc = xmlReadMemory(signed_text, (int)strlen(signed_text), NULL, "UTF-8",
				    XML_PARSE_NONET);
	root = doc ? xmlDocGetRootElement(doc) : NULL;
	signature = root ? xml_child(root, NS_DS, "Signature") : NULL;
	if (signature &&
	    xmlAddID(NULL, doc, (const xmlChar *)"_1", xmlHasProp(root, (const xmlChar *)"ID")))
		status = verify_signature(doc, root, "_1", signature,
					  (const struct verify_key *const[]){ key }, 1, false,
					  &refusal);
	xmlFreeDoc(doc);
	verify_key_destroy(key);
	return status == 0 ? 0 : -1;
}

/* RSA-OAEP there and back, and the ciphers that assertions come in. */
static int try_decryption(const struct keys *keys)
{
	unsigned char secret[1024], plain[1024];
	size_t secret_size = sizeof(secret), plain_size = sizeof(plain);
	EVP_PKEY_CTX *there = EVP_PKEY_CTX_new_from_pkey(NULL, keys->signing, NULL);
	EVP_PKEY_CTX *back = EVP_PKEY_CTX_new_from_pkey(NULL, keys->signing, NULL);
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int status = -1;

	if (there && back && cipher && EVP_PKEY_encrypt_init(there) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(there, RSA_PKCS1_OAEP_PADDING) > 0 &&
	    EVP_PKEY_encrypt(there, secret, &secret_size, (const unsigned char *)"try", 3) > 0 &&
	    EVP_PKEY_decrypt_init(back) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(back, RSA_PKCS1_OAEP_PADDING) > 0 &&
	    EVP_PKEY_decrypt(back, plain, &plain_size, secret, secret_size) > 0 &&
	    plain_size == 3 && memcmp(plain, "try", 3) == 0 &&
	    EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, secret, secret) == 1 &&
	    EVP_DecryptInit_ex(cipher, EVP_aes_128_cbc(), NULL, secret, secret) == 1)
		status = 0;
	EVP_PKEY_CTX_free(there);
	EVP_PKEY_CTX_free(back);
	EVP_CIPHER_CTX_free(cipher);
	return status;
}

int keys_try(const struct keys *keys, struct arena *arena)
{
	return try_signature(keys, arena) == 0 ? try_decryption(keys) : -1;
}
