/* The period of a text: as its definition has it, and in as many steps as the text is long, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/auth/period.h"

static bool repeats(const uint32_t *at, size_t count, size_t period)
{
	for (size_t i = period; i < count; i++)
		if (at[i] != at[i - period])
			return false;
	return true;
}

/* Twice at least; the last time it may be cut. */
static size_t by_definition(const uint32_t *at, size_t count)
{
	for (size_t period = 1; 2 * period <= count; period++)
		if (repeats(at, count, period))
			return period;
	return count;
}

static void check(const uint32_t *at, size_t count)
{
	size_t compared = SIZE_MAX, period = period_find(at, count, &compared);

	if (period != by_definition(at, count))
		fail_msg("%zu characters: %zu", count, period);
	if (compared > 2 * count)
		fail_msg("%zu characters: %zu looks", count, compared);
}

static void test_all_short_texts(void **state)
{
	(void)state;
	for (size_t count = 1; count <= 12; count++) {
		for (unsigned bits = 0; bits < 1u << count; bits++) {
			uint32_t at[12];

			for (size_t i = 0; i < count; i++)
				at[i] = bits >> i & 1;
			check(at, count);
		}
	}
}

static uint32_t same(size_t i)
{
	(void)i;
	return 7;
}

static uint32_t other_last(size_t i)
{
	return i == PERIOD_TEXT_MAX - 1;
}

static uint32_t other_in_the_middle(size_t i)
{
	return i == PERIOD_TEXT_MAX / 2;
}

static uint32_t twice_but_for_the_last(size_t i)
{
	return i % (PERIOD_TEXT_MAX / 2) == PERIOD_TEXT_MAX / 2 - 1 && i < PERIOD_TEXT_MAX / 2;
}

static uint32_t now_and_then(size_t i)
{
	return i % 97 == 96;
}

static uint32_t all_different(size_t i)
{
	return (uint32_t)i;
}

/* Of which many beginnings are ends, too: each letter is how often its place can be halved, odd or even. */
static uint32_t doubled(size_t i)
{
	return (uint32_t)__builtin_ctzl(i + 1) & 1;
}

static void test_long_texts(void **state)
{
	static uint32_t (*const texts[])(size_t i) = {
		same,
		other_last,
		other_in_the_middle,
		twice_but_for_the_last,
		now_and_then,
		all_different,
		doubled,
	};
	static uint32_t at[PERIOD_TEXT_MAX];

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(texts); n++) {
		for (size_t i = 0; i < PERIOD_TEXT_MAX; i++)
			at[i] = texts[n](i);
		check(at, PERIOD_TEXT_MAX);
		check(at, PERIOD_TEXT_MAX - 1);
	}
	assert_int_equal(period_find(at, 0, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_short_texts),
		cmocka_unit_test(test_long_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
