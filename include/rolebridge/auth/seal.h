/*
 * Secrets at rest: sealed with a key that lies outside of the store, by authenticated encryption (libsodium,
 * XChaCha20-Poly1305). What is sealed is bound to what it is for and whose it is: moved to another row it
 * opens no more.
 *
 * The key file holds one key a line, 32 bytes in base64; lines that begin with '#' and empty ones do not count. The
 * first one seals; all of them open. So a new key is put in front, everything is sealed anew, and then the old
 * one may go. A key is known by a number that is derived from it and says nothing of it.
 */
#ifndef ROLEBRIDGE_AUTH_SEAL_H
#define ROLEBRIDGE_AUTH_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/secret.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/change/changer.h>

#define SEAL_KEYS_MAX 16
#define SEAL_OVERHEAD 49 /* version, key id, nonce and tag */

struct seal;

/*
 * path: a file; without '/' a credential of the service ($CREDENTIALS_DIRECTORY). own: the daemon's own file, made with
 * mode 0600 when it is missing; else ERR_NOT_FOUND. ERR_INVALID: not a key file, or open to others.
 */
struct seal *seal_create(const char *path, bool own, struct err *err);
void seal_destroy(struct seal *seal); /* NULL is fine */
/* The file again, or another one. On failure the keys stay as they are. Any thread. */
int seal_reload(struct seal *seal, const char *path, bool own, struct err *err);
/* --- the daemon's own file; of any other: ERR_CONFLICT "sealing-key-not-ours" --- */
/* A new key in front of the others. ERR_TOO_LARGE: SEAL_KEYS_MAX of them; forget some. */
int seal_rotate(struct seal *seal, struct changer *changer, const struct actor *actor,
		int64_t *ret_key_id, struct err *err);
/* Keys that nothing is sealed under go, but for the first one. Copies of the store that are older need them. */
int seal_forget_unused(struct seal *seal, struct changer *changer, const struct actor *actor,
		       size_t *ret_forgotten, struct err *err);

struct seal_key {
	int64_t id;
	bool seals; /* the first one */
};
/* How people name it: 16 hex digits. */
#define SEAL_KEY_NAME 17
void seal_key_name(int64_t id, char ret_name[static SEAL_KEY_NAME]);
size_t seal_keys(struct seal *seal, struct seal_key ret_keys[static SEAL_KEYS_MAX]);
bool seal_is_own(struct seal *seal);	/* the daemon's own file: seal_rotate works */
int64_t seal_key_id(struct seal *seal); /* that seals now */

/*
 * purpose: "totp", "email" … and uuid: of the row; both must be the same when it is opened. Sealed bytes are the
 * arena's.
 */
int seal_close(struct seal *seal, const char *purpose, const struct uuid *uuid, const void *data,
	       size_t size, struct arena *arena, const void **ret_sealed, size_t *ret_size,
	       int64_t *ret_key_id, struct err *err);
/*
 * ERR_UNAVAILABLE "sealing-key-missing": sealed under a key that is not there. ERR_INVALID "sealed-damaged": changed,
 * or of something else. Finish the secret after use.
 */
int seal_open(struct seal *seal, const char *purpose, const struct uuid *uuid, const void *sealed,
	      size_t size, struct secret *ret_secret, struct err *err);

/*
 * Everything that is sealed under another key is sealed under the first one, in batches, each one transaction with
 * its audit row. What cannot be opened stays as it is. May be asked for again after it was cut off. Returns -1 when
 * the store fails.
 */
struct reseal_progress {
	/* After each batch, without a lock: so many are sealed anew. */
	void (*resealed)(void *context, size_t resealed);
	void *context;
};
struct reseal_outcome {
	size_t resealed;
	size_t unreadable; /* their key is not there, or they are damaged */
	int64_t key_id;	   /* the key that seals, at the end */
};
/* progress: NULL is fine. */
int seal_reseal(struct seal *seal, struct changer *changer, const struct actor *actor,
		const struct reseal_progress *progress, struct reseal_outcome *ret_outcome,
		struct err *err);

#endif
