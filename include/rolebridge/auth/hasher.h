/*
 * Argon2id, in threads of its own behind a bounded queue: however many people sign in at once, no other request
 * waits for a hash, and no more memory is taken than workers times memory. The functions block until the hash is
 * made: for handlers in slow threads. Safe from any thread.
 *
 * Whoever is not there costs what everybody costs: hash NULL makes one hash that matches nothing. Texts that differ
 * only in how accents are composed are one secret (RFC 8265).
 */
#ifndef ROLEBRIDGE_AUTH_HASHER_H
#define ROLEBRIDGE_AUTH_HASHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/auth/settings.h>
#include <rolebridge/base/err.h>
#include <rolebridge/base/strbuf.h>

#define HASH_TEXT 128	       /* with NUL; "$argon2id$v=19$m=65536,t=3,p=1$…" */
#define HASHER_SECRET_MAX 1024 /* bytes; what is longer is nobody's secret */
#define HASHER_RETRY_S 2       /* Retry-After of "busy" */

struct hasher;

/* Starts the threads. */
struct hasher *hasher_create(const struct passwords_settings *settings, struct err *err);
/* When nobody waits for a hash any more. NULL is fine. */
void hasher_destroy(struct hasher *hasher);
/* After a reload: what begins from now on. */
void hasher_configure(struct hasher *hasher, const struct passwords_settings *settings);

/*
 * Is this the secret of that hash? *ret_rehash (may be NULL): it is, and the hash was made with other parameters
 * than those in force: make it anew. hash NULL: nobody's, same cost, *ret_good false.
 * ERR_UNAVAILABLE "busy" (503, Retry-After HASHER_RETRY_S): the queue is full, or there is no memory; nothing was
 * judged. ERR_INTERNAL: no hash of ours.
 */
int hasher_verify(struct hasher *hasher, const char *hash, const void *secret, size_t size,
		  bool *ret_good, bool *ret_rehash, struct err *err);
/* ERR_UNAVAILABLE as above; ERR_TOO_LARGE: over HASHER_SECRET_MAX. */
int hasher_make(struct hasher *hasher, const void *secret, size_t size,
		char ret_hash[static HASH_TEXT], struct err *err);

struct hasher_counts {
	uint64_t hashes;  /* computed, whatever for */
	uint64_t refused; /* "busy" */
	uint64_t spent_us;
	unsigned waiting, running;
};
void hasher_counts(struct hasher *hasher, struct hasher_counts *ret_counts);
/* Lines of /metrics. */
void hasher_metrics(struct hasher *hasher, struct strbuf *out);

/* Tests only: jobs that wait are not begun. */
void hasher_pause(struct hasher *hasher, bool paused);

static inline void hasher_auto(struct hasher **hasher)
{
	hasher_destroy(*hasher);
}

#endif
