/* How many wrong passwords are passed on: no more than the limit in any window, whoever else guesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/source/guesses.h>

#define WINDOW 100

static struct hash128 person(uint64_t number)
{
	return digest128(&number, sizeof(number));
}

static void test_window(void **state)
{
	static const struct {
		int64_t at_s;
		bool passed;
	} steps[] = {
		{ 1, true },	{ 2, true },   { 3, true },    { 4, false },
		{ 100, false }, { 101, true }, { 101, false }, { 102, true },
		{ 102, false }, { 200, true }, { 201, true },  { 201, false },
	};
	struct guesses *guesses = guesses_create();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (guesses_take(guesses, person(1), 3, WINDOW, steps[i].at_s) != steps[i].passed)
			fail_msg("step %zu at %lld", i, (long long)steps[i].at_s);
	/* Of somebody else nothing was counted. */
	assert_true(guesses_take(guesses, person(2), 3, WINDOW, 201));
	guesses_destroy(guesses);
}

/* Never more than the limit in any window, whatever the times. */
static void test_any_window(void **state)
{
	struct guesses *guesses = guesses_create();
	int64_t passed[2000], now_s = 1;
	size_t count = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 2000; i++, now_s += rand() % 20)
		if (guesses_take(guesses, person(1), 5, WINDOW, now_s))
			passed[count++] = now_s;
	assert_true(count > 50);
	for (size_t i = 5; i < count; i++)
		assert_true(passed[i] - passed[i - 5] >= WINDOW);
	guesses_destroy(guesses);
}

static void test_right_and_return(void **state)
{
	struct guesses *guesses = guesses_create();

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_true(guesses_take(guesses, person(1), 2, WINDOW, 5));
	assert_false(guesses_take(guesses, person(1), 2, WINDOW, 6));
	guesses_return(guesses, person(1), 5);
	assert_true(guesses_take(guesses, person(1), 2, WINDOW, 6));
	assert_false(guesses_take(guesses, person(1), 2, WINDOW, 6));
	guesses_return(guesses, person(1), 99);
	assert_false(guesses_take(guesses, person(1), 2, WINDOW, 6));
	guesses_right(guesses, person(1));
	assert_true(guesses_take(guesses, person(1), 2, WINDOW, 6));
	/* Who is not known. */
	guesses_right(guesses, person(9));
	guesses_return(guesses, person(9), 1);
	guesses_destroy(guesses);
}

/* More people than there is room for: whoever was counted stays counted, whoever comes new waits; later there is room. */
static void test_full(void **state)
{
	struct guesses *guesses = guesses_create();

	(void)state;
	for (uint64_t i = 0; i < GUESSES_PEOPLE_MAX; i++)
		assert_true(guesses_take(guesses, person(i), 1, WINDOW, 1 + (int64_t)(i % 2)));
	assert_false(guesses_take(guesses, person(UINT64_MAX), 1, WINDOW, 50));
	assert_false(guesses_take(guesses, person(0), 1, WINDOW, 50));
	assert_true(guesses_take(guesses, person(UINT64_MAX), 1, WINDOW, 101));
	assert_false(guesses_take(guesses, person(1), 1, WINDOW, 101));
	assert_true(guesses_take(guesses, person(0), 1, WINDOW, 101));
	guesses_destroy(guesses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_any_window),
		cmocka_unit_test(test_right_and_return),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
