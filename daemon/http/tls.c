/*
 * Certificates of a listener. Enters: paths of a PEM chain and a PEM key. Leaves: a checked pair for each
 * handshake. A pair that is replaced may be in use by a handshake that has begun: it is kept until no
 * such handshake can be left (the server ends them by its deadline) or the listener ends.
 */
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>

#include "internal.h"

#define FILE_MAX ((size_t)256 * 1024)
#define CHAIN_MAX 16
#define RETIRED_US ((int64_t)3600 * 1000000)

const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";

struct tls_pair {
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned chain_size;
	gnutls_privkey_t key;
	struct tls_pair *next; /* older */
	int64_t retired_us;
};

struct tls {
	pthread_mutex_t lock;
	struct tls_pair *current; /* the older ones follow */
};

static void pair_destroy(struct tls_pair *pair)
{
	if (!pair)
		return;
	for (unsigned i = 0; i < pair->chain_size; i++)
		gnutls_pcert_deinit(&pair->chain[i]);
	if (pair->key)
		gnutls_privkey_deinit(pair->key);
	free(pair);
}

static int chain_parse(struct tls_pair *pair, const char *path, const gnutls_datum_t *data,
		       struct err *err)
{
	unsigned size = CHAIN_MAX;
	int result = gnutls_pcert_list_import_x509_raw(
		pair->chain, &size, data, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);

	if (result < 0)
		return err_set(err, ERR_INVALID, "'%s' is no chain of certificates in PEM: %s",
			       path, gnutls_strerror(result));
	pair->chain_size = size;
	return 0;
}

static int key_parse(struct tls_pair *pair, const char *path, const gnutls_datum_t *data,
		     struct err *err)
{
	int result = gnutls_privkey_init(&pair->key);

	if (result >= 0)
		result = gnutls_privkey_import_x509_raw(pair->key, data, GNUTLS_X509_FMT_PEM, NULL,
							0);
	if (result < 0)
		return err_set(err, ERR_INVALID, "'%s' is no unencrypted private key in PEM: %s",
			       path, gnutls_strerror(result));
	return 0;
}

/* The file is wiped from memory: a key passes here, too. */
static int pem_read(struct tls_pair *pair, const char *path,
		    int (*parse)(struct tls_pair *pair, const char *path,
				 const gnutls_datum_t *data, struct err *err),
		    struct err *err)
{
	struct strbuf text = STRBUF(FILE_MAX + 1);
	int result = -1;

	/* Room for all of it at once, so that growing leaves no copy behind. */
	if (!strbuf_reserve(&text, FILE_MAX)) {
		err_set(err, ERR_MEMORY, "out of memory");
	} else if (file_read(path, FILE_MAX, &text, err) == 0) {
		gnutls_datum_t data = { (unsigned char *)text.data, (unsigned)text.size };

		result = parse(pair, path, &data, err);
	}
	if (text.data)
		sodium_memzero(text.data, text.capacity);
	strbuf_finish(&text);
	return result;
}

#define KEY_ID_MAX 64

static bool key_id(gnutls_pubkey_t public, unsigned char *id, size_t *size)
{
	*size = KEY_ID_MAX;
	return gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, id, size) == 0;
}

static int pair_check(const struct tls_pair *pair, const char *certificate_path,
		      const char *key_path, struct err *err)
{
	unsigned char ours[KEY_ID_MAX], theirs[KEY_ID_MAX];
	size_t ours_size, theirs_size;
	gnutls_pubkey_t public = NULL;
	bool equal = gnutls_pubkey_init(&public) == 0 &&
		     gnutls_pubkey_import_privkey(public, pair->key, 0, 0) == 0 &&
		     key_id(public, ours, &ours_size) &&
		     key_id(pair->chain[0].pubkey, theirs, &theirs_size) &&
		     ours_size == theirs_size && memcmp(ours, theirs, ours_size) == 0;

	if (public)
		gnutls_pubkey_deinit(public);
	if (!equal)
		return err_set(err, ERR_INVALID, "the key in '%s' is not that of certificate '%s'",
			       key_path, certificate_path);
	return 0;
}

static struct tls_pair *pair_read(const char *certificate_path, const char *key_path,
				  struct err *err)
{
	struct tls_pair *pair = alloc_zeroed(1, sizeof(*pair));

	if (!pair) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (pem_read(pair, certificate_path, chain_parse, err) < 0 ||
	    pem_read(pair, key_path, key_parse, err) < 0 ||
	    pair_check(pair, certificate_path, key_path, err) < 0) {
		pair_destroy(pair);
		return NULL;
	}
	return pair;
}

struct tls *tls_create(const char *certificate_path, const char *key_path, struct err *err)
{
	struct tls *tls = alloc_zeroed(1, sizeof(*tls));

	if (!tls) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	tls->current = pair_read(certificate_path, key_path, err);
	if (!tls->current) {
		free(tls);
		return NULL;
	}
	pthread_mutex_init(&tls->lock, NULL);
	return tls;
}

/* Under the lock. */
static void tls_drop_old(struct tls *tls, int64_t now_us)
{
	struct tls_pair **at = &tls->current->next;

	while (*at) {
		struct tls_pair *pair = *at;

		if (now_us - pair->retired_us < RETIRED_US) {
			at = &pair->next;
			continue;
		}
		*at = pair->next;
		pair_destroy(pair);
	}
}

int tls_reload(struct tls *tls, const char *certificate_path, const char *key_path, struct err *err)
{
	struct tls_pair *pair = pair_read(certificate_path, key_path, err);
	int64_t now_us = clock_monotonic_us();

	if (!pair)
		return -1;
	pthread_mutex_lock(&tls->lock);
	tls->current->retired_us = now_us;
	pair->next = tls->current;
	tls->current = pair;
	tls_drop_old(tls, now_us);
	pthread_mutex_unlock(&tls->lock);
	return 0;
}

void tls_destroy(struct tls *tls)
{
	if (!tls)
		return;
	for (struct tls_pair *pair = tls->current, *next; pair; pair = next) {
		next = pair->next;
		pair_destroy(pair);
	}
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

const struct tls_pair *tls_current(struct tls *tls)
{
	pthread_mutex_lock(&tls->lock);

	const struct tls_pair *pair = tls->current;

	pthread_mutex_unlock(&tls->lock);
	return pair;
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *authorities,
		    int authority_count, const gnutls_pk_algorithm_t *algorithms,
		    int algorithm_count, gnutls_pcert_st **ret_chain, unsigned *ret_size,
		    gnutls_privkey_t *ret_key)
{
	/* The library keeps its connection there. */
	struct tls *tls = link_tls(gnutls_session_get_ptr(session));

	(void)authorities;
	(void)authority_count;
	(void)algorithms;
	(void)algorithm_count;
	if (!tls)
		return -1;

	const struct tls_pair *pair = tls_current(tls);

	*ret_chain = (gnutls_pcert_st *)(uintptr_t)pair->chain;
	*ret_size = pair->chain_size;
	*ret_key = pair->key;
	return 0;
}

void *tls_callback(void)
{
	return (void *)(uintptr_t)retrieve;
}

int http_tls_check(const char *certificate_path, const char *key_path, struct err *err)
{
	struct tls_pair *pair = pair_read(certificate_path, key_path, err);

	pair_destroy(pair);
	return pair ? 0 : -1;
}
