/* Arena: cap, alignment, zeroing, reuse, nth allocation failing. */
#include <rolebridge/base/arena.h>

#include <stdint.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_memory_is_aligned_zeroed_and_apart(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(64 << 20);
	unsigned char *pieces[200];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
			size_t size = i * i;

			/* Unaligned text between the aligned pieces. */
			assert_string_equal(arena_strdup(arena, "abc"), "abc");
			pieces[i] = arena_alloc(arena, size);
			assert_non_null(pieces[i]);
			assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
			for (size_t k = 0; k < size; k++)
				assert_int_equal(pieces[i][k], 0);
			memset(pieces[i], (int)i + 1, size);
		}
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
			for (size_t k = 0; k < i * i; k++)
				assert_int_equal(pieces[i][k], (unsigned char)(i + 1));
		arena_reset(arena);
		assert_int_equal(arena_used(arena), 0);
	}
}

static void test_the_cap_is_exact_and_remembered(void **state)
{
	static const size_t caps[] = { 0, 1, 16, 100, 4095, 4096, 4097, 100000, 3 << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		AUTO(arena) struct arena *arena = arena_create(caps[i]);

		if (caps[i])
			assert_non_null(arena_alloc(arena, caps[i]));
		assert_int_equal(arena_used(arena), caps[i]);
		assert_false(arena_failed(arena));
		assert_null(arena_alloc(arena, 1));
		assert_true(arena_failed(arena));
		arena_reset(arena);
		assert_false(arena_failed(arena));
		assert_null(arena_alloc(arena, caps[i] + 1));
		/* What still fits is given, but the failure is not forgotten. */
		assert_int_equal(arena_strdup(arena, "abc") != NULL, caps[i] >= 4);
		assert_true(arena_failed(arena));
	}
}

static void test_sizes_do_not_overflow(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(SIZE_MAX);

	(void)state;
	assert_null(arena_alloc_array(arena, SIZE_MAX / 2, 3));
	assert_true(arena_failed(arena));
	arena_reset(arena);
	assert_null(arena_alloc(arena, SIZE_MAX));
	assert_null(arena_alloc(arena, SIZE_MAX - 8));
	assert_null(arena_strndup(arena, "x", SIZE_MAX));
	assert_non_null(arena_alloc_array(arena, 3, 5));
	assert_true(arena_failed(arena));
}

static void test_copies(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	char text[] = "hello";

	(void)state;
	assert_string_equal(arena_strdup(arena, ""), "");
	assert_string_equal(arena_strndup(arena, text, 4), "hell");
	assert_memory_equal(arena_memdup(arena, text, 6), text, 6);
	assert_non_null(arena_memdup(arena, NULL, 0));
	assert_string_equal(arena_printf(arena, "%s-%d", text, 7), "hello-7");
	/* Longer than a block. */
	assert_int_equal(strlen(arena_printf(arena, "%90000d", 1)), 90000);
	assert_string_equal(arena_strdup(arena, "after"), "after");
	arena_destroy(NULL);
}

static void test_each_allocation_may_fail(void **state)
{
	long n = 0;

	(void)state;
	for (bool failed = true; failed; n++) {
		alloc_fail_after(n);

		AUTO(arena) struct arena *arena = arena_create(1 << 20);

		for (size_t i = 0; arena && i < 200; i++)
			arena_alloc(arena, i * 10);
		failed = alloc_fail_after(-1) < 0;
		if (arena)
			assert_int_equal(failed, arena_failed(arena));
		else
			assert_true(failed);
	}
	assert_in_range(n, 5, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_aligned_zeroed_and_apart),
		cmocka_unit_test(test_the_cap_is_exact_and_remembered),
		cmocka_unit_test(test_sizes_do_not_overflow),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
