/* Hashes: published values, keying; the table against a plain array, at its cap, without memory. */
#include <rolebridge/base/hash.h>

#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_digest_is_blake2b(void **state)
{
	struct hash256 hash = digest256("abc", 3);
	struct hash256 pair = digest256_pair("a", 1, "bc", 2);
	struct hash256 empty = digest256(NULL, 0);
	char hex[65];

	(void)state;
	hash256_hex(&hash, hex);
	assert_string_equal(hex,
			    "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	assert_memory_equal(&hash, &pair, sizeof(hash));
	hash256_hex(&empty, hex);
	assert_string_equal(hex,
			    "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");

	/* As "b2sum -l 128" has it. */
	struct hash128 short_hash = digest128("abc", 3);

	assert_memory_equal(&short_hash,
			    "\xcf\x4a\xb7\x91\xc6\x2b\x8d\x2b\x21\x09\xc9\x02\x75\x28\x78\x16", 16);
}

static void test_fingerprint(void **state)
{
	struct hash128 a = fingerprint128("a", 1);

	(void)state;
	assert_true(hash128_equal(a, fingerprint128("a", 1)));
	assert_false(hash128_equal(a, fingerprint128("b", 1)));
	assert_false(hash128_equal(a, digest128("a", 1)));
	assert_false(hash128_equal(fingerprint128("", 0), fingerprint128("\0", 1)));
}

static void test_fingerprint_in_two_steps(void **state)
{
	unsigned char whole[128];

	(void)state;
	/* Texts of every size around the blocks of eight, and bytes of every value. */
	for (size_t prefix_size = 0; prefix_size < 50; prefix_size++) {
		for (size_t size = 0; size < 50; size++) {
			size_t begin = (prefix_size / 8 + 1) * 8;
			struct fingerprint_prefix prefix;

			memset(whole, 0, sizeof(whole));
			for (size_t i = 0; i < prefix_size; i++)
				whole[i] = (unsigned char)(i * 37 + size + 1);
			for (size_t i = 0; i < size; i++)
				whole[begin + i] = (unsigned char)(i * 101 + prefix_size);
			fingerprint_start(whole, prefix_size, &prefix);
			for (int twice = 0; twice < 2; twice++)
				assert_true(hash128_equal(
					fingerprint_finish(&prefix, whole + begin, size),
					fingerprint128(whole, begin + size)));
		}
	}
}

/* Keys of three kinds: even, counting, and all in one half. */
static struct hash128 key_of_kind(int kind, uint64_t i)
{
	if (kind == 0)
		return digest128(&i, sizeof(i));
	return kind == 1 ? (struct hash128){ { i, 0 } } : (struct hash128){ { 0, i << 40 } };
}

static void test_table_holds_what_was_put(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		AUTO(hash_table) struct hash_table *table = hash_table_create(10, 50000);
		uint32_t *slot, value;

		for (uint32_t i = 0; i < 50000; i++) {
			assert_int_equal(hash_table_put(table, key_of_kind(kind, i), &slot), 1);
			assert_int_equal(*slot, 0);
			*slot = i + 1;
			assert_int_equal(hash_table_put(table, key_of_kind(kind, i / 2), &slot), 0);
			assert_int_equal(*slot, i / 2 + 1);
		}
		assert_int_equal(hash_table_count(table), 50000);
		for (uint32_t i = 0; i < 50000; i++) {
			assert_true(hash_table_get(table, key_of_kind(kind, i), &value));
			assert_int_equal(value, i + 1);
		}
		for (uint32_t i = 50000; i < 60000; i++)
			assert_false(hash_table_get(table, key_of_kind(kind, i), NULL));
	}
}

static void test_table_is_full_at_its_cap(void **state)
{
	(void)state;
	for (size_t max = 0; max < 70; max++) {
		AUTO(hash_table) struct hash_table *table = hash_table_create(max * 2, max);
		uint32_t *slot;

		for (uint64_t i = 0; i < max; i++)
			assert_int_equal(hash_table_put(table, (struct hash128){ { i, 0 } }, &slot),
					 1);
		assert_int_equal(hash_table_put(table, (struct hash128){ { 1000, 0 } }, &slot), -1);
		assert_int_equal(hash_table_count(table), max);
		if (max)
			assert_int_equal(hash_table_put(table, (struct hash128){ { 0, 0 } }, &slot),
					 0);
		else
			assert_int_equal(hash_table_put(table, (struct hash128){ { 0, 0 } }, &slot),
					 -1);
	}
	hash_table_destroy(NULL);
	assert_null(hash_table_create(SIZE_MAX / 2, SIZE_MAX));
}

static void test_each_allocation_may_fail(void **state)
{
	long n = 0;

	(void)state;
	for (bool failed = true; failed; n++) {
		uint32_t *slot, value, put = 0;

		alloc_fail_after(n);

		AUTO(hash_table) struct hash_table *table = hash_table_create(4, 1000);

		while (table && put < 1000 &&
		       hash_table_put(table, key_of_kind(0, put), &slot) == 1)
			*slot = put++;
		failed = alloc_fail_after(-1) < 0;
		assert_int_equal(failed, put < 1000);
		/* A growth that failed has lost nothing. */
		for (uint32_t i = 0; i < put; i++) {
			assert_true(hash_table_get(table, key_of_kind(0, i), &value));
			assert_int_equal(value, i);
		}
	}
	assert_in_range(n, 10, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest_is_blake2b),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_fingerprint_in_two_steps),
		cmocka_unit_test(test_table_holds_what_was_put),
		cmocka_unit_test(test_table_is_full_at_its_cap),
		cmocka_unit_test(test_each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
