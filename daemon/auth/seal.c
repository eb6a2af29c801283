/*
 * Sealing. Enters: a key file, secrets, what was sealed. Leaves: sealed bytes, secrets in guarded memory. Fails: no
 * file, not a key file, a key that is not there, bytes that are not what was sealed.
 *
 *	sealed = version (1) || key's number (8, big-endian) || nonce (24) || ciphertext || tag (16)
 *
 * All but the ciphertext is authenticated too, with the purpose and the uuid.
 */
#include <rolebridge/auth/seal.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/base64.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/factor.h>

#define VERSION 1
#define KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define NUMBER_BYTES 8
#define HEAD_BYTES (1 + NUMBER_BYTES + NONCE_BYTES)
#define PLAIN_MAX 4096
#define PURPOSE_MAX 32
#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define KEY_TEXT sodium_base64_ENCODED_LEN(KEY_BYTES, BASE64) /* with NUL */
#define RESEAL_AT_ONCE 200
#define RESEAL_BYTES (4u * 1024 * 1024)

_Static_assert(HEAD_BYTES + TAG_BYTES == SEAL_OVERHEAD, "the overhead is told in the header");

struct key {
	int64_t id;
	unsigned char bytes[KEY_BYTES];
};
/* In guarded memory. */
struct keys {
	size_t count;
	struct key key[SEAL_KEYS_MAX];
};

struct seal {
	pthread_mutex_t lock; /* of the fields below */
	struct keys *keys;
	char *path;
	bool own;
	pthread_mutex_t writing; /* of the file; before lock */
};

/* --- the key file --- */

/* Positive, so that it is the same in all texts; says nothing of a key of 256 random bits. */
static int64_t number_of(const unsigned char key[static KEY_BYTES])
{
	static const unsigned char context[] = "rolebridge sealing key";
	unsigned char hash[crypto_generichash_BYTES_MIN];
	uint64_t number = 0;

	crypto_generichash(hash, sizeof(hash), key, KEY_BYTES, context, sizeof(context) - 1);
	for (size_t i = 0; i < NUMBER_BYTES; i++)
		number = number << 8 | hash[i];
	number &= INT64_MAX;
	return number ? (int64_t)number : 1;
}

static int add_key(struct keys *keys, const char *text, size_t size, struct err *err)
{
	struct key *key = &keys->key[keys->count];
	size_t got = 0;

	if (keys->count == SEAL_KEYS_MAX)
		return err_set(err, ERR_INVALID, "more than %d keys", SEAL_KEYS_MAX);
	if (base64_to_bytes(BASE64_PADDED, text, size, NULL, key->bytes, KEY_BYTES, &got) < 0 ||
	    got != KEY_BYTES)
		return err_set(err, ERR_INVALID, "a key is %d bytes in base64", (int)KEY_BYTES);
	key->id = number_of(key->bytes);
	for (size_t i = 0; i < keys->count; i++)
		if (keys->key[i].id == key->id)
			return err_set(err, ERR_INVALID, "a key stands there twice");
	keys->count++;
	return 0;
}

static int parse_keys(const struct secret *text, struct keys *keys, struct err *err)
{
	const char *at = text->data, *end = text->data + text->size;
	int line = 1;

	keys->count = 0;
	for (; at < end; line++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t size = (size_t)((stop ? stop : end) - at);

		while (size > 0 && (at[size - 1] == '\r' || at[size - 1] == ' '))
			size--;
		if (size > 0 && at[0] != '#' && add_key(keys, at, size, err) < 0)
			return err_wrap(err, "line %d", line);
		at = stop ? stop + 1 : end;
	}
	return keys->count > 0 ? 0 : err_set(err, ERR_INVALID, "there is no key in it");
}

/* The whole file anew: the old keys or the new ones, never a part. */
static int write_keys(const char *path, const struct keys *keys, struct err *err)
{
	char *text = sodium_malloc(keys->count * KEY_TEXT);
	size_t at = 0;
	int result;

	if (!text)
		return err_set(err, ERR_MEMORY, "no locked memory for keys");
	for (size_t i = 0; i < keys->count; i++) {
		sodium_bin2base64(text + at, KEY_TEXT, keys->key[i].bytes, KEY_BYTES, BASE64);
		at += KEY_TEXT;
		text[at - 1] = '\n';
	}
	result = file_write_atomic(path, text, at, 0600, err);
	sodium_free(text);
	return result;
}

static int make_keys(const char *path, struct keys *keys, struct err *err)
{
	keys->count = 1;
	randombytes_buf(keys->key[0].bytes, KEY_BYTES);
	keys->key[0].id = number_of(keys->key[0].bytes);
	return write_keys(path, keys, err);
}

static int load_keys(const char *path, bool own, struct keys **ret_keys, struct err *err)
{
	struct keys *keys = sodium_malloc(sizeof(*keys));
	struct secret text = { 0 };
	struct err cause = { 0 };
	int result;

	if (!keys)
		return err_set(err, ERR_MEMORY, "no locked memory for keys");
	if (secret_read_file(path, &text, &cause) == 0)
		result = parse_keys(&text, keys, &cause);
	else
		result = own && cause.code == ERR_NOT_FOUND ? make_keys(path, keys, &cause) : -1;
	secret_finish(&text);
	if (result < 0) {
		sodium_free(keys);
		if (err)
			*err = cause;
		return err_wrap(err, "sealing key '%s'", path);
	}
	*ret_keys = keys;
	return 0;
}

/* --- begin and end --- */

struct seal *seal_create(const char *path, bool own, struct err *err)
{
	struct seal *seal = alloc_zeroed(1, sizeof(*seal));

	if (!seal) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	hash_prepare();
	pthread_mutex_init(&seal->lock, NULL);
	pthread_mutex_init(&seal->writing, NULL);
	if (seal_reload(seal, path, own, err) == 0)
		return seal;
	seal_destroy(seal);
	return NULL;
}

void seal_destroy(struct seal *seal)
{
	if (!seal)
		return;
	sodium_free(seal->keys);
	free(seal->path);
	pthread_mutex_destroy(&seal->writing);
	pthread_mutex_destroy(&seal->lock);
	free(seal);
}

/* Takes keys over. */
static void swap_keys(struct seal *seal, struct keys *keys)
{
	struct keys *old;

	sodium_mprotect_readonly(keys);
	pthread_mutex_lock(&seal->lock);
	old = seal->keys;
	seal->keys = keys;
	pthread_mutex_unlock(&seal->lock);
	sodium_free(old);
}

int seal_reload(struct seal *seal, const char *path, bool own, struct err *err)
{
	char *copy = strdup(path), *old;
	struct keys *keys;
	int result;

	if (!copy)
		return err_set(err, ERR_MEMORY, "out of memory");
	pthread_mutex_lock(&seal->writing);
	result = load_keys(path, own, &keys, err);
	if (result == 0) {
		swap_keys(seal, keys);
		pthread_mutex_lock(&seal->lock);
		old = seal->path;
		seal->path = copy;
		seal->own = own;
		pthread_mutex_unlock(&seal->lock);
		copy = old;
	}
	pthread_mutex_unlock(&seal->writing);
	free(copy);
	return result;
}

/* --- which keys there are --- */

void seal_key_name(int64_t id, char ret_name[static SEAL_KEY_NAME])
{
	unsigned char bytes[NUMBER_BYTES];

	for (size_t i = 0; i < NUMBER_BYTES; i++)
		bytes[i] = (unsigned char)((uint64_t)id >> (56 - 8 * i));
	sodium_bin2hex(ret_name, SEAL_KEY_NAME, bytes, sizeof(bytes));
}

size_t seal_keys(struct seal *seal, struct seal_key ret_keys[static SEAL_KEYS_MAX])
{
	size_t count;

	pthread_mutex_lock(&seal->lock);
	count = seal->keys->count;
	for (size_t i = 0; i < count; i++)
		ret_keys[i] = (struct seal_key){ .id = seal->keys->key[i].id, .seals = i == 0 };
	pthread_mutex_unlock(&seal->lock);
	return count;
}

bool seal_is_own(struct seal *seal)
{
	bool own;

	pthread_mutex_lock(&seal->lock);
	own = seal->own;
	pthread_mutex_unlock(&seal->lock);
	return own;
}

int64_t seal_key_id(struct seal *seal)
{
	int64_t id;

	pthread_mutex_lock(&seal->lock);
	id = seal->keys->key[0].id;
	pthread_mutex_unlock(&seal->lock);
	return id;
}

/* id 0: the one that seals. Wipe the copy after use. */
static bool copy_key(struct seal *seal, int64_t id, struct key *ret_key)
{
	bool found = false;

	pthread_mutex_lock(&seal->lock);
	for (size_t i = 0; i < seal->keys->count && !found; i++) {
		found = id == 0 || seal->keys->key[i].id == id;
		if (found)
			*ret_key = seal->keys->key[i];
	}
	pthread_mutex_unlock(&seal->lock);
	return found;
}

/* --- sealing and opening --- */

/* What is authenticated beside the secret. */
struct context {
	unsigned char bytes[1 + NUMBER_BYTES + 16 + PURPOSE_MAX];
	size_t size;
};

static void make_context(const unsigned char *sealed, const char *purpose, const struct uuid *uuid,
			 struct context *ret_context)
{
	size_t size = strnlen(purpose, PURPOSE_MAX);

	memcpy(ret_context->bytes, sealed, 1 + NUMBER_BYTES);
	memcpy(ret_context->bytes + 1 + NUMBER_BYTES, uuid->byte, 16);
	memcpy(ret_context->bytes + 1 + NUMBER_BYTES + 16, purpose, size);
	ret_context->size = 1 + NUMBER_BYTES + 16 + size;
}

static void put_number(int64_t number, unsigned char *out)
{
	for (size_t i = 0; i < NUMBER_BYTES; i++)
		out[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
}

static int64_t get_number(const unsigned char *in)
{
	uint64_t number = 0;

	for (size_t i = 0; i < NUMBER_BYTES; i++)
		number = number << 8 | in[i];
	return (int64_t)(number & INT64_MAX);
}

int seal_close(struct seal *seal, const char *purpose, const struct uuid *uuid, const void *data,
	       size_t size, struct arena *arena, const void **ret_sealed, size_t *ret_size,
	       int64_t *ret_key_id, struct err *err)
{
	unsigned char *sealed;
	struct context context;
	struct key key;

	if (size == 0 || size > PLAIN_MAX)
		return err_set(err, ERR_INVALID, "%zu bytes cannot be sealed", size);
	sealed = arena_alloc(arena, size + SEAL_OVERHEAD);
	if (!sealed)
		return err_set(err, ERR_MEMORY, "no memory to seal a secret");
	copy_key(seal, 0, &key);
	sealed[0] = VERSION;
	put_number(key.id, sealed + 1);
	randombytes_buf(sealed + 1 + NUMBER_BYTES, NONCE_BYTES);
	make_context(sealed, purpose, uuid, &context);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + HEAD_BYTES, NULL, data, size,
						   context.bytes, context.size, NULL,
						   sealed + 1 + NUMBER_BYTES, key.bytes);
	*ret_sealed = sealed;
	*ret_size = size + SEAL_OVERHEAD;
	*ret_key_id = key.id;
	sodium_memzero(&key, sizeof(key));
	return 0;
}

static int damaged(struct err *err)
{
	return err_refuse(err, ERR_INVALID, "sealed-damaged",
			  "what was sealed is damaged, or is of something else");
}

int seal_open(struct seal *seal, const char *purpose, const struct uuid *uuid, const void *data,
	      size_t size, struct secret *ret_secret, struct err *err)
{
	const unsigned char *sealed = data;
	unsigned char plain[PLAIN_MAX];
	unsigned long long got = 0;
	struct context context;
	struct key key;
	int result;

	if (size <= SEAL_OVERHEAD || size > PLAIN_MAX + SEAL_OVERHEAD || sealed[0] != VERSION)
		return damaged(err);
	if (get_number(sealed + 1) == 0)
		return damaged(err);
	if (!copy_key(seal, get_number(sealed + 1), &key)) {
		char name[SEAL_KEY_NAME];

		seal_key_name(get_number(sealed + 1), name);
		return err_refuse(err, ERR_UNAVAILABLE, "sealing-key-missing",
				  "sealing key %s is not there", name);
	}
	make_context(sealed, purpose, uuid, &context);
	result = crypto_aead_xchacha20poly1305_ietf_decrypt(
		plain, &got, NULL, sealed + HEAD_BYTES, size - HEAD_BYTES, context.bytes,
		context.size, sealed + 1 + NUMBER_BYTES, key.bytes);
	sodium_memzero(&key, sizeof(key));
	result = result == 0 ? secret_copy(plain, (size_t)got, ret_secret, err) : damaged(err);
	sodium_memzero(plain, sizeof(plain));
	return result;
}

/* --- other keys --- */

/* A copy to be changed; NULL when the file is not ours, or there is no memory. writing is held. */
static struct keys *own_keys(struct seal *seal, struct err *err)
{
	struct keys *keys;

	if (!seal_is_own(seal)) {
		err_refuse(err, ERR_CONFLICT, "sealing-key-not-ours",
			   "the key is not the daemon's own: put a new one in front of it, then "
			   "reload, or restart where systemd hands it over");
		return NULL;
	}
	keys = sodium_malloc(sizeof(*keys));
	if (!keys) {
		err_set(err, ERR_MEMORY, "no locked memory for keys");
		return NULL;
	}
	pthread_mutex_lock(&seal->lock);
	*keys = *seal->keys;
	pthread_mutex_unlock(&seal->lock);
	return keys;
}

/* Takes keys over. On disk first: what is sealed can be opened after a restart. */
static int put_keys(struct seal *seal, struct keys *keys, struct err *err)
{
	if (write_keys(seal->path, keys, err) < 0) {
		sodium_free(keys);
		return err_wrap(err, "cannot write sealing keys");
	}
	swap_keys(seal, keys);
	return 0;
}

static int rotate(struct seal *seal, int64_t *ret_id, size_t *ret_count, struct err *err)
{
	struct keys *keys = own_keys(seal, err);

	if (!keys)
		return -1;
	if (keys->count == SEAL_KEYS_MAX) {
		sodium_free(keys);
		return err_set(err, ERR_TOO_LARGE, "there are %d keys: forget those unused first",
			       SEAL_KEYS_MAX);
	}
	memmove(&keys->key[1], &keys->key[0], keys->count * sizeof(keys->key[0]));
	randombytes_buf(keys->key[0].bytes, KEY_BYTES);
	keys->key[0].id = number_of(keys->key[0].bytes);
	keys->count++;
	*ret_id = keys->key[0].id;
	*ret_count = keys->count;
	return put_keys(seal, keys, err);
}

int seal_rotate(struct seal *seal, struct changer *changer, const struct actor *actor,
		int64_t *ret_key_id, struct err *err)
{
	size_t count = 0;
	int64_t id = 0;
	int result;

	pthread_mutex_lock(&seal->writing);
	/* Before: who may not, changes no file. A row too many is better than one too few. */
	result = change_sealing_key_note(changer, actor, "sealing-key.rotate", seal_key_id(seal),
					 seal->keys->count, err);
	if (result == 0)
		result = rotate(seal, &id, &count, err);
	pthread_mutex_unlock(&seal->writing);
	if (result == 0)
		*ret_key_id = id;
	return result;
}

static int read_used(struct changer *changer, struct arena *arena, struct sealed_count **ret_counts,
		     size_t *ret_count, struct err *err)
{
	struct store *store = store_open(changer_store_path(changer), STORE_READ, err);
	int result;

	if (!store)
		return -1;
	result = store_factor_keys(store, arena, ret_counts, ret_count, err);
	store_close(store);
	return result;
}

static bool is_used(const struct sealed_count *counts, size_t count, int64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (counts[i].key_id == id)
			return true;
	return false;
}

static int forget(struct seal *seal, const struct sealed_count *used, size_t used_count,
		  size_t *ret_forgotten, struct err *err)
{
	struct keys *keys = own_keys(seal, err);
	size_t kept = 1, before;

	if (!keys)
		return -1;
	before = keys->count;
	for (size_t i = 1; i < before; i++)
		if (is_used(used, used_count, keys->key[i].id))
			keys->key[kept++] = keys->key[i];
	sodium_memzero(&keys->key[kept], (before - kept) * sizeof(keys->key[0]));
	keys->count = kept;
	*ret_forgotten = before - kept;
	if (kept == before) {
		sodium_free(keys);
		return 0;
	}
	return put_keys(seal, keys, err);
}

int seal_forget_unused(struct seal *seal, struct changer *changer, const struct actor *actor,
		       size_t *ret_forgotten, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(RESEAL_BYTES);
	struct sealed_count *used = NULL;
	size_t count = 0, forgotten = 0;
	int result;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	pthread_mutex_lock(&seal->writing);
	result = change_sealing_key_note(changer, actor, "sealing-key.forget", seal_key_id(seal),
					 seal->keys->count, err);
	if (result == 0)
		result = read_used(changer, arena, &used, &count, err);
	if (result == 0)
		result = forget(seal, used, count, &forgotten, err);
	pthread_mutex_unlock(&seal->writing);
	if (result == 0)
		*ret_forgotten = forgotten;
	return result;
}

/* --- everything under the first key --- */

struct resealing {
	struct seal *seal;
	struct changer *changer;
	const struct actor *actor;
	struct store *store;
	struct arena *arena;
	int64_t after_id;
	size_t last; /* rows in the last batch */
	struct reseal_outcome outcome;
};

/* 1 sealed anew, 0 cannot be opened, -1 */
static int reseal_row(struct resealing *work, const struct factor_row *row,
		      struct resealed *ret_resealed, struct err *err)
{
	const char *purpose = factor_method_name(row->method);
	struct secret secret = { 0 };
	struct err cause = { 0 };
	int64_t key_id;
	int result;

	if (seal_open(work->seal, purpose, &row->uuid, row->sealed, row->sealed_size, &secret,
		      &cause) < 0) {
		if (cause.code == ERR_UNAVAILABLE || cause.code == ERR_INVALID)
			return 0;
		if (err)
			*err = cause;
		return -1;
	}
	*ret_resealed = (struct resealed){ .id = row->id,
					   .before = row->sealed,
					   .before_size = row->sealed_size };
	result = seal_close(work->seal, purpose, &row->uuid, secret.data, secret.size, work->arena,
			    &ret_resealed->after, &ret_resealed->after_size, &key_id, err);
	secret_finish(&secret);
	return result < 0 ? -1 : 1;
}

/* Another key came in front between two batches: then everything is sealed under that one, from the first row on. */
static void follow_key(struct resealing *work)
{
	int64_t key_id = seal_key_id(work->seal);

	if (key_id == work->outcome.key_id)
		return;
	work->outcome.key_id = key_id;
	work->outcome.unreadable = 0;
	work->after_id = 0;
}

static int reseal_batch(struct resealing *work, struct err *err)
{
	struct resealed resealed[RESEAL_AT_ONCE];
	struct factor_row *rows;
	size_t count = 0, done;

	arena_reset(work->arena);
	follow_key(work);
	if (store_factor_sealed_otherwise(work->store, work->outcome.key_id, work->after_id,
					  RESEAL_AT_ONCE, work->arena, &rows, &work->last, err) < 0)
		return -1;
	for (size_t i = 0; i < work->last; i++) {
		int result = reseal_row(work, &rows[i], &resealed[count], err);

		if (result < 0)
			return -1;
		count += (size_t)result;
		work->outcome.unreadable += result == 0;
		work->after_id = rows[i].id;
	}
	if (count == 0)
		return 0;
	if (change_factor_reseal(work->changer, work->actor, work->outcome.key_id, resealed, count,
				 &done, err) < 0)
		return -1;
	work->outcome.resealed += done;
	return 0;
}

int seal_reseal(struct seal *seal, struct changer *changer, const struct actor *actor,
		const struct reseal_progress *progress, struct reseal_outcome *ret_outcome,
		struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(RESEAL_BYTES);
	struct resealing work = { .seal = seal,
				  .changer = changer,
				  .actor = actor,
				  .arena = arena,
				  .last = RESEAL_AT_ONCE,
				  .outcome = { .key_id = seal_key_id(seal) } };
	int result = arena ? 0 : err_set(err, ERR_MEMORY, "out of memory");

	if (result == 0) {
		work.store = store_open(changer_store_path(changer), STORE_READ, err);
		result = work.store ? 0 : -1;
	}
	/* Also when there is nothing to do: who may not is told so. */
	if (result == 0)
		result = change_sealing_key_note(changer, actor, "sealing-key.reseal",
						 work.outcome.key_id, 0, err);
	while (result == 0 && work.last == RESEAL_AT_ONCE) {
		/* No key comes, and none is forgotten, between what is sealed under it and its commit. */
		pthread_mutex_lock(&seal->writing);
		result = reseal_batch(&work, err);
		pthread_mutex_unlock(&seal->writing);
		if (result == 0 && progress)
			progress->resealed(progress->context, work.outcome.resealed);
	}
	store_close(work.store);
	if (result == 0)
		*ret_outcome = work.outcome;
	return result;
}
