/* Slots without processes: what follows what, and when the next start may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/pool.h"

#define LIFE_US (60 * SECOND_US)

static struct slot slot;
static struct saml_pool pool;

/* With a worker whose stream is there, and nothing else of it. */
static struct runner a_runner(void)
{
	struct runner runner = { .stream = message_stream_create(-1, 64) };

	runner.worker = (struct worker){ .pid = 0, .socket = -1 };
	assert_non_null(runner.stream);
	return runner;
}

static void begin(enum slot_state state, enum next_state next_state)
{
	slot = (struct slot){ .state = state,
			      .next_state = next_state,
			      .serves_since_us = clock_monotonic_us() };
	if (state != SLOT_DOWN)
		slot.now = a_runner();
	if (next_state != NEXT_NONE)
		slot.next = a_runner();
	pool.slots = &slot;
	pool.slot_count = 1;
}

static void end(void)
{
	saml_runner_stop(&slot.now, 0, NULL);
	saml_runner_stop(&slot.next, 0, NULL);
	saml_runner_stop(&slot.old, 0, NULL);
}

static bool keeper_is_called(void)
{
	uint64_t calls = 0;

	return read(pool.wake, &calls, sizeof(calls)) == sizeof(calls);
}

/* --- what happens --- */

static void ends_idle(void)
{
	struct runner ended = saml_slot_end_idle(&pool, &slot);

	assert_non_null(ended.stream);
	saml_runner_stop(&ended, 0, NULL);
}

static void is_lost(void)
{
	struct err err = { 0 };

	err_set(&err, ERR_PROTOCOL, "lost");
	assert_int_equal(saml_slot_lose(&pool, &slot, &err), -1);
}

static void is_given_back(void)
{
	saml_slot_give_back(&pool, &slot, false);
}

static void is_given_back_grown(void)
{
	saml_slot_give_back(&pool, &slot, true);
}

static void is_given_back_ended(void)
{
	slot.hung_up = true;
	saml_slot_give_back(&pool, &slot, false);
}

static void next_is_ready(void)
{
	saml_slot_ready(&pool, &slot);
}

static void next_fails(void)
{
	struct err err = { 0 };

	saml_runner_stop(&slot.next, 0, NULL);
	err_set(&err, ERR_UNAVAILABLE, "failed");
	saml_slot_start_failed(&pool, &slot, &err);
}

/* Whatever it was: either there is a worker that serves, or one is wanted, or one is on its way. */
static const struct {
	const char *name;
	enum slot_state state;
	enum next_state next_state;
	void (*happens)(void);
	enum slot_state then;
	enum next_state next_then;
	bool wanted, old, called;
} steps[] = {
	{ "idle, ends", SLOT_IDLE, NEXT_NONE, ends_idle, SLOT_DOWN, NEXT_NONE, true, false, true },
	{ "idle, ends, one starts", SLOT_IDLE, NEXT_STARTING, ends_idle, SLOT_DOWN, NEXT_STARTING,
	  false, false, true },
	{ "idle, ends, one waits", SLOT_IDLE, NEXT_READY, ends_idle, SLOT_IDLE, NEXT_NONE, false,
	  false, true },
	{ "idle, one gets ready", SLOT_IDLE, NEXT_STARTING, next_is_ready, SLOT_IDLE, NEXT_NONE,
	  false, true, true },
	{ "busy, lost", SLOT_BUSY, NEXT_NONE, is_lost, SLOT_DOWN, NEXT_NONE, true, false, true },
	{ "busy, lost, one starts", SLOT_BUSY, NEXT_STARTING, is_lost, SLOT_DOWN, NEXT_STARTING,
	  false, false, true },
	{ "busy, lost, one waits", SLOT_BUSY, NEXT_READY, is_lost, SLOT_IDLE, NEXT_NONE, false,
	  false, true },
	{ "busy, given back", SLOT_BUSY, NEXT_NONE, is_given_back, SLOT_IDLE, NEXT_NONE, false,
	  false, false },
	{ "busy, given back grown", SLOT_BUSY, NEXT_NONE, is_given_back_grown, SLOT_IDLE, NEXT_NONE,
	  true, false, true },
	{ "busy, given back ended", SLOT_BUSY, NEXT_NONE, is_given_back_ended, SLOT_IDLE, NEXT_NONE,
	  false, false, true },
	{ "busy, given back, one waits", SLOT_BUSY, NEXT_READY, is_given_back, SLOT_IDLE, NEXT_NONE,
	  false, true, true },
	{ "busy, one gets ready", SLOT_BUSY, NEXT_STARTING, next_is_ready, SLOT_BUSY, NEXT_READY,
	  false, false, false },
	{ "down, one gets ready", SLOT_DOWN, NEXT_STARTING, next_is_ready, SLOT_IDLE, NEXT_NONE,
	  false, false, false },
	{ "down, one fails", SLOT_DOWN, NEXT_STARTING, next_fails, SLOT_DOWN, NEXT_NONE, true,
	  false, false },
};

static void test_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		begin(steps[i].state, steps[i].next_state);
		steps[i].happens();
		if (slot.state != steps[i].then || slot.next_state != steps[i].next_then ||
		    saml_slot_is_wanted(&slot) != steps[i].wanted ||
		    (slot.old.stream != NULL) != steps[i].old ||
		    (slot.now.stream != NULL) != (slot.state != SLOT_DOWN) ||
		    keeper_is_called() != steps[i].called)
			fail_msg("%s: state %d, next %d", steps[i].name, (int)slot.state,
				 (int)slot.next_state);
		end();
	}
}

/* One that had to wait because a worker before it was still being stopped. */
static void test_old_goes(void **state)
{
	struct runner old;

	(void)state;
	begin(SLOT_IDLE, NEXT_STARTING);
	slot.old = a_runner();
	saml_slot_ready(&pool, &slot);
	assert_int_equal(slot.next_state, NEXT_READY);
	old = saml_slot_take_old(&pool, &slot);
	saml_runner_stop(&old, 0, NULL);
	assert_int_equal(slot.next_state, NEXT_NONE);
	assert_non_null(slot.old.stream);
	assert_true(keeper_is_called());
	end();
}

/* Failures before a death, how long that worker had lived, and the pause that follows. */
static const struct {
	const char *name;
	unsigned failures;
	int64_t life_us, pause_us;
} pauses[] = {
	{ "the first", 0, 0, 0 },
	{ "the second", 1, 0, SECOND_US / 10 },
	{ "the third", 2, 0, SECOND_US / 5 },
	{ "many", 1000, 0, 5 * SECOND_US },
	{ "many, not long ago", 1000, LIFE_US / 2, 5 * SECOND_US },
	{ "many, long ago", 1000, LIFE_US, 0 },
};

static void test_pauses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
		int64_t before_us, after_us;
		begin(SLOT_IDLE, NEXT_NONE);
		slot.failures = pauses[i].failures;
		slot.serves_since_us -= pauses[i].life_us;
		before_us = clock_monotonic_us();
		ends_idle();
		after_us = clock_monotonic_us();
		if (slot.start_at_us < before_us + pauses[i].pause_us ||
		    slot.start_at_us > after_us + pauses[i].pause_us)
			fail_msg("%s: %lld us", pauses[i].name,
				 (long long)(slot.start_at_us - before_us));
		assert_true(keeper_is_called());
		end();
	}
}

/* Who comes is refused at once only when none is on its way. */
static void test_hopeless(void **state)
{
	static const struct {
		enum next_state next_state;
		int64_t pause_us;
		const char *reason;
	} cases[] = {
		{ NEXT_NONE, 5 * SECOND_US, "worker-died" },
		{ NEXT_NONE, 0, "busy" },
		{ NEXT_STARTING, 5 * SECOND_US, "busy" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slot *taken = NULL;
		struct err err = { 0 };

		begin(SLOT_DOWN, cases[i].next_state);
		slot.start_at_us = clock_monotonic_us() + cases[i].pause_us;
		/* The time to wait is over already. */
		assert_int_equal(saml_slot_take(&pool, 1, &taken, &err), -1);
		assert_string_equal(err_reason(&err), cases[i].reason);
		end();
	}
}

static int set_up(void **state)
{
	(void)state;
	pool.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(pthread_mutex_init(&pool.lock, NULL), 0);
	assert_int_equal(pthread_cond_init(&pool.changed, NULL), 0);
	return pool.wake < 0;
}

static int tear_down(void **state)
{
	(void)state;
	pthread_cond_destroy(&pool.changed);
	pthread_mutex_destroy(&pool.lock);
	return close(pool.wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_old_goes),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_hopeless),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
