/* Allocation with nth-failure for tests. Enters: sizes. Leaves: memory or NULL. */
#include <rolebridge/base/alloc.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static atomic_long fail_countdown = -1;

static bool alloc_shall_fail(void)
{
	if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0)
		return false;
	return atomic_fetch_sub(&fail_countdown, 1) == 0;
}

void *alloc_zeroed(size_t count, size_t size)
{
	return alloc_shall_fail() ? NULL : calloc(count, size);
}

void *alloc_resize(void *memory, size_t size)
{
	return alloc_shall_fail() ? NULL : realloc(memory, size);
}

long alloc_fail_after(long n)
{
	return atomic_exchange(&fail_countdown, n < 0 ? -1 : n);
}
