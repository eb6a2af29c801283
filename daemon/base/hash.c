/*
 * Hashes and the table keyed by them. Enters: bytes. Leaves: digests,
 * 32-bit values. The table fails (-1) at its cap or out of memory.
 *
 * Keys and values lie in two arrays: a probe reads keys only, and a slot costs
 * 20 bytes. A slot is free when its key is zero; the one real key that is zero
 * has a place of its own. The home slot is taken from the high bits of a
 * product, so that any capacity will do and no slot is given away to a power of two.
 */
#include <rolebridge/base/hash.h>

#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>

#define SLOTS_MIN 16

static pthread_once_t prepare_once = PTHREAD_ONCE_INIT;
static unsigned char process_key[crypto_shorthash_siphashx24_KEYBYTES];

static void prepare(void)
{
	/* Without its random source nothing that follows could be trusted. */
	if (sodium_init() < 0)
		abort();
	randombytes_buf(process_key, sizeof(process_key));
}

void hash_prepare(void)
{
	pthread_once(&prepare_once, prepare);
}

struct hash128 digest128(const void *data, size_t size)
{
	struct hash128 hash;

	hash_prepare();
	crypto_generichash((unsigned char *)&hash, sizeof(hash), data, size, NULL, 0);
	return hash;
}

struct hash256 digest256(const void *data, size_t size)
{
	return digest256_pair(data, size, NULL, 0);
}

struct hash256 digest256_pair(const void *first, size_t first_size, const void *second,
			      size_t second_size)
{
	struct hash256 hash;
	crypto_generichash_state state;

	hash_prepare();
	crypto_generichash_init(&state, NULL, 0, sizeof(hash.byte));
	crypto_generichash_update(&state, first, first_size);
	crypto_generichash_update(&state, second, second_size);
	crypto_generichash_final(&state, hash.byte, sizeof(hash.byte));
	return hash;
}

struct hash128 fingerprint128(const void *data, size_t size)
{
	struct hash128 hash;

	hash_prepare();
	crypto_shorthash_siphashx24((unsigned char *)&hash, data, size, process_key);
	return hash;
}

/* --- SipHash-2-4 with 128-bit output, in two steps (libsodium has it in one only) --- */

static inline uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static inline void sip_rounds(uint64_t v[4], unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

/* One block of 8 bytes; the last one has fewer and the size of the whole. */
static inline void sip_block(uint64_t v[4], uint64_t block)
{
	v[3] ^= block;
	sip_rounds(v, 2);
	v[0] ^= block;
}

static inline uint64_t load_block(const unsigned char *at)
{
	uint64_t wire;

	memcpy(&wire, at, sizeof(wire));
	return le64toh(wire);
}

static inline uint64_t load_part(const unsigned char *at, size_t size)
{
	uint64_t block = 0;

	for (size_t i = 0; i < size; i++)
		block |= (uint64_t)at[i] << (8 * i);
	return block;
}

void fingerprint_start(const void *prefix, size_t size, struct fingerprint_prefix *ret_prefix)
{
	const unsigned char *at = prefix;
	uint64_t key[2], *v = ret_prefix->state;

	hash_prepare();
	key[0] = load_block(process_key);
	key[1] = load_block(process_key + 8);
	v[0] = key[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee;
	v[2] = key[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = key[1] ^ UINT64_C(0x7465646279746573);
	ret_prefix->size = (size / 8 + 1) * 8;
	for (; size >= 8; size -= 8, at += 8)
		sip_block(v, load_block(at));
	sip_block(v, load_part(at, size));
}

struct hash128 fingerprint_finish(const struct fingerprint_prefix *prefix, const void *data,
				  size_t size)
{
	uint64_t v[4] = { prefix->state[0], prefix->state[1], prefix->state[2], prefix->state[3] };
	const unsigned char *at = data;
	uint64_t total = prefix->size + size;
	struct hash128 hash;

	for (; size >= 8; size -= 8, at += 8)
		sip_block(v, load_block(at));
	sip_block(v, load_part(at, size) | total << 56);
	v[2] ^= 0xee;
	sip_rounds(v, 4);
	hash.word[0] = htole64(v[0] ^ v[1] ^ v[2] ^ v[3]);
	v[1] ^= 0xdd;
	sip_rounds(v, 4);
	hash.word[1] = htole64(v[0] ^ v[1] ^ v[2] ^ v[3]);
	return hash;
}

void hash256_hex(const struct hash256 *hash, char ret_hex[65])
{
	sodium_bin2hex(ret_hex, 65, hash->byte, sizeof(hash->byte));
}

/* --- table --- */

struct hash_table {
	struct hash128 *keys;
	uint32_t *values;
	size_t slots;
	size_t count; /* with the zero key */
	size_t max;
	bool has_zero;
	uint32_t zero_value;
};

static bool table_allocate(size_t slots, struct hash128 **ret_keys, uint32_t **ret_values)
{
	struct hash128 *keys = alloc_zeroed(slots, sizeof(*keys));
	uint32_t *values = keys ? alloc_zeroed(slots, sizeof(*values)) : NULL;

	if (!values) {
		free(keys);
		return false;
	}
	*ret_keys = keys;
	*ret_values = values;
	return true;
}

struct hash_table *hash_table_create(size_t expected, size_t max)
{
	struct hash_table *table = alloc_zeroed(1, sizeof(*table));

	if (expected > max)
		expected = max;
	if (!table || expected > SIZE_MAX / 64) {
		free(table);
		return NULL;
	}
	table->max = max;
	table->slots = expected + expected / 4 + SLOTS_MIN;
	if (!table_allocate(table->slots, &table->keys, &table->values)) {
		free(table);
		return NULL;
	}
	return table;
}

void hash_table_destroy(struct hash_table *table)
{
	if (!table)
		return;
	free(table->keys);
	free(table->values);
	free(table);
}

static bool key_is_zero(struct hash128 key)
{
	return (key.word[0] | key.word[1]) == 0;
}

static inline size_t home_slot(struct hash128 key, size_t slots)
{
	/* Keys need not be even (an identifier as it is): the multiplication spreads them. */
	uint64_t mixed = (key.word[0] ^ (key.word[1] << 32 | key.word[1] >> 32)) *
			 UINT64_C(0x9e3779b97f4a7c15);

	mixed ^= mixed >> 29;
	mixed *= UINT64_C(0xbf58476d1ce4e5b9);
	return (size_t)((unsigned __int128)mixed * slots >> 64);
}

/* The slot that holds key, or the free one where it belongs. */
static inline size_t find_slot(const struct hash128 *keys, size_t slots, struct hash128 key)
{
	size_t slot = home_slot(key, slots);

	while (!key_is_zero(keys[slot]) && !hash128_equal(keys[slot], key))
		slot = slot + 1 == slots ? 0 : slot + 1;
	return slot;
}

bool hash_table_get(const struct hash_table *table, struct hash128 key, uint32_t *ret_value)
{
	const uint32_t *value = NULL;

	if (key_is_zero(key)) {
		value = table->has_zero ? &table->zero_value : NULL;
	} else {
		size_t slot = find_slot(table->keys, table->slots, key);

		if (!key_is_zero(table->keys[slot]))
			value = &table->values[slot];
	}
	if (value && ret_value)
		*ret_value = *value;
	return value;
}

void hash_table_prefetch(const struct hash_table *table, struct hash128 key)
{
	size_t slot = home_slot(key, table->slots);

	__builtin_prefetch(&table->keys[slot]);
	__builtin_prefetch(&table->values[slot]);
}

static bool table_grow(struct hash_table *table)
{
	size_t slots = table->slots + table->slots / 2;
	struct hash128 *keys;
	uint32_t *values;

	if (slots < table->slots || !table_allocate(slots, &keys, &values))
		return false;
	for (size_t i = 0; i < table->slots; i++) {
		if (key_is_zero(table->keys[i]))
			continue;

		size_t slot = find_slot(keys, slots, table->keys[i]);

		keys[slot] = table->keys[i];
		values[slot] = table->values[i];
	}
	free(table->keys);
	free(table->values);
	table->keys = keys;
	table->values = values;
	table->slots = slots;
	return true;
}

static int table_put_zero(struct hash_table *table, uint32_t **ret_slot)
{
	int added = !table->has_zero;

	if (added && table->count >= table->max)
		return -1;
	if (added)
		table->count++;
	table->has_zero = true;
	*ret_slot = &table->zero_value;
	return added;
}

int hash_table_put(struct hash_table *table, struct hash128 key, uint32_t **ret_slot)
{
	if (key_is_zero(key))
		return table_put_zero(table, ret_slot);

	size_t slot = find_slot(table->keys, table->slots, key);

	if (!key_is_zero(table->keys[slot])) {
		*ret_slot = &table->values[slot];
		return 0;
	}
	if (table->count >= table->max)
		return -1;
	/* One slot in seven stays free: probes stay short and always end. */
	if (table->count >= table->slots - table->slots / 7 - 1) {
		if (!table_grow(table))
			return -1;
		slot = find_slot(table->keys, table->slots, key);
	}
	table->keys[slot] = key;
	table->count++;
	*ret_slot = &table->values[slot];
	return 1;
}

size_t hash_table_count(const struct hash_table *table)
{
	return table->count;
}
