/*
 * Hashes (libsodium) and a table keyed by them.
 *
 * digest128/256: BLAKE2b, unkeyed, stable across restarts: for content,
 * audit chain and plan ids. fingerprint128: SipHash-2-4 with 128-bit output
 * and a key drawn once per process: for in-memory tables over names an
 * attacker may choose; never stored or sent.
 */
#ifndef ROLEBRIDGE_BASE_HASH_H
#define ROLEBRIDGE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash128 {
	uint64_t word[2];
};

struct hash256 {
	unsigned char byte[32];
};

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.word[0] == b.word[0] && a.word[1] == b.word[1];
}

/*
 * Start libsodium and draw the process key; done by itself at the first use, from
 * any thread. A worker calls it before it locks itself up.
 */
void hash_prepare(void);

struct hash128 digest128(const void *data, size_t size);
struct hash256 digest256(const void *data, size_t size);
/* BLAKE2b-256 over the concatenation first || second. */
struct hash256 digest256_pair(const void *first, size_t first_size, const void *second,
			      size_t second_size);
struct hash128 fingerprint128(const void *data, size_t size);

/*
 * The same for many names that begin alike: finish after start equals fingerprint128 over the prefix,
 * one to eight zeros up to a multiple of 8, and data. Where prefixes have no NUL, another prefix or
 * other data are another text.
 */
struct fingerprint_prefix {
	uint64_t state[4];
	uint64_t size; /* with the zeros */
};

void fingerprint_start(const void *prefix, size_t size, struct fingerprint_prefix *ret_prefix);
struct hash128 fingerprint_finish(const struct fingerprint_prefix *prefix, const void *data,
				  size_t size);

/* 64 lower-case hex digits and NUL. */
void hash256_hex(const struct hash256 *hash, char ret_hex[65]);

/*
 * Open-addressing table from hash128 to a 32-bit value. Grows up to max
 * entries. No removal: tables are rebuilt, not edited (ypldap's habit).
 */
struct hash_table;

struct hash_table *hash_table_create(size_t expected, size_t max); /* NULL: out of memory */
void hash_table_destroy(struct hash_table *table);
/* Returns false when absent; ret_value may be NULL. */
bool hash_table_get(const struct hash_table *table, struct hash128 key, uint32_t *ret_value);
/*
 * Insert or find: *ret_slot points at the value (valid until the next put).
 * Returns 1 when new (value 0), 0 when present, -1 when full or out of memory.
 */
int hash_table_put(struct hash_table *table, struct hash128 key, uint32_t **ret_slot);
/* Have the memory of a key's place brought near, some 100 ns before it is looked up. */
void hash_table_prefetch(const struct hash_table *table, struct hash128 key);
size_t hash_table_count(const struct hash_table *table);

static inline void hash_table_auto(struct hash_table **table)
{
	hash_table_destroy(*table);
}

#endif
