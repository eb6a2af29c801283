/* Guesses: delays that grow and end, accounts and addresses, who is familiar, floods of names, what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/auth/throttle.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define S ((int64_t)1000000)
#define START (1000 * S)
#define ATTEMPTS 5
#define DELAY_MAX 900

static const struct throttle_settings settings = {
	.attempts = ATTEMPTS, .delay_s = 1, .delay_max_s = DELAY_MAX, .address_attempts = 20
};

static struct throttle *make_throttle(void)
{
	struct err err = { 0 };
	struct throttle *throttle = throttle_create(&settings, &err);

	if (!throttle)
		fail_msg("%s", err.text);
	return throttle;
}

static struct address address_of(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address, NULL), 0);
	return address;
}

/* Seconds to wait; 0: it counted. */
static unsigned guess(struct throttle *throttle, const char *account, const char *from,
		      int64_t now_us)
{
	struct address address = address_of(from ? from : "::");
	struct throttle_attempt attempt = { .kind = THROTTLE_PASSWORD,
					    .account = account,
					    .address = from ? &address : NULL };
	struct throttle_refusal refusal = { 0 };
	struct err err = { 0 };

	if (throttle_take(throttle, &attempt, now_us, &refusal, &err) == 0)
		return 0;
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.reason, "rate-limited");
	assert_true(refusal.retry_after_s > 0);
	return refusal.retry_after_s;
}

static void right(struct throttle *throttle, const char *account, const char *from, int64_t now_us)
{
	struct address address = address_of(from);
	struct throttle_attempt attempt = { .kind = THROTTLE_PASSWORD,
					    .account = account,
					    .address = &address };

	throttle_right(throttle, &attempt, now_us);
}

/* Addresses of their own, so that only the account counts. */
static const char *elsewhere(unsigned i)
{
	static _Thread_local char text[32];

	snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
	return text;
}

static void test_grows_and_ends(void **state)
{
	static const unsigned delays[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900 };
	AUTO(throttle) struct throttle *throttle = make_throttle();
	int64_t now_us = START;
	unsigned i = 0;

	(void)state;
	for (; i < ATTEMPTS; i++)
		assert_int_equal(guess(throttle, "anna", elsewhere(i), now_us), 0);
	for (size_t d = 0; d < ARRAY_LEN(delays); d++) {
		/* Refused as long as it lasts, and however often it is tried, it is no longer for that. */
		assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), delays[d]);
		assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), delays[d]);
		now_us += delays[d] * S - 1;
		assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 1);
		now_us += 1;
		assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 0);
	}
	/* Then nobody tries for long: it begins as at first. */
	now_us += 20 * DELAY_MAX * S;
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 0);
	assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 1);
}

static void test_forgets_one_by_one(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	int64_t now_us = START;
	unsigned i = 0;

	(void)state;
	for (; i < ATTEMPTS - 1; i++)
		assert_int_equal(guess(throttle, "anna", elsewhere(i), now_us), 0);
	now_us += DELAY_MAX * S;
	assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 0);
	assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 0);
	assert_int_equal(guess(throttle, "anna", elsewhere(i++), now_us), 1);
}

static void test_right_begins_afresh(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	int64_t now_us = START;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned n = 0; n < ATTEMPTS; n++)
			assert_int_equal(guess(throttle, "Anna", elsewhere(round), now_us), 0);
		assert_int_equal(guess(throttle, " anna ", elsewhere(round), now_us), 1);
		now_us += S;
		assert_int_equal(guess(throttle, "ANNA", elsewhere(round), now_us), 0);
		right(throttle, "anna", elsewhere(round), now_us);
	}
}

static void test_kinds_are_apart(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address address = address_of("192.0.2.1");
	struct throttle_refusal refusal;

	(void)state;
	for (int kind = 0; kind < THROTTLE_KINDS; kind++) {
		struct throttle_attempt attempt = { .kind = (enum throttle_kind)kind,
						    .account = "anna",
						    .address = &address,
						    .account_only = kind == THROTTLE_ACCOUNT ||
								    kind == THROTTLE_PRINT };

		for (unsigned n = 0; n < ATTEMPTS; n++)
			assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL),
					 0);
		/* The first three have no delay of the address yet, which all make together. */
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), -1);
		assert_false(refusal.by_address);
	}
	/* 20 from this address: now others must wait there, too. */
	assert_int_equal(guess(throttle, "bob", "192.0.2.1", START), 1);
	assert_int_equal(guess(throttle, "bob", "192.0.2.2", START), 0);
}

/* The address counted it already; who is familiar there is so all the same. */
static void test_account_only(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address address = address_of("192.0.2.1"), other = address_of("192.0.2.2");
	struct throttle_attempt attempt = { .kind = THROTTLE_ACCOUNT,
					    .account = "anna",
					    .address = &address,
					    .account_only = true };
	struct throttle_refusal refusal;
	struct throttle_counts counts;

	(void)state;
	throttle_right(throttle, &attempt, START);
	attempt.address = &other;
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
	assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), -1);
	attempt.address = &address;
	assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
	for (unsigned n = 0; n < 100; n++) {
		attempt.account = elsewhere(n);
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
		throttle_return(throttle, &attempt, START);
	}
	throttle_counts(throttle, &counts);
	assert_int_equal(counts.attempts, 0);
	assert_int_equal(guess(throttle, "bob", "192.0.2.1", START), 0);
}

/* What was sent to somebody came back from there: they do not wait for what others have sent. */
static void test_met(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address home = address_of("192.0.2.1"), other = address_of("192.0.2.2");
	struct throttle_attempt attempt = { .kind = THROTTLE_SEND,
					    .account = "anna",
					    .address = &home };
	struct throttle_refusal refusal;

	(void)state;
	throttle_met(throttle, &attempt, START);
	attempt.address = &other;
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
	assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), -1);
	attempt.address = &home;
	assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
	/* The others' wait goes on. */
	throttle_met(throttle, &attempt, START);
	attempt.address = &other;
	assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), -1);
}

/* A right password does not buy guesses at codes. */
static void test_right_is_of_its_kind(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address address = address_of("192.0.2.1");
	struct throttle_attempt code = { .kind = THROTTLE_CODE,
					 .account = "anna",
					 .address = &address };
	struct throttle_refusal refusal;

	(void)state;
	for (unsigned n = 0; n < ATTEMPTS; n++) {
		assert_int_equal(guess(throttle, "anna", "192.0.2.1", START), 0);
		right(throttle, "anna", "192.0.2.1", START);
		assert_int_equal(throttle_take(throttle, &code, START, &refusal, NULL), 0);
	}
	assert_int_equal(throttle_take(throttle, &code, START, &refusal, NULL), -1);
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", START), 0);
}

static void test_address(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	int64_t now_us = START;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		assert_int_equal(guess(throttle, name, "2001:db8::1", now_us), 0);
	}
	/* IPv6 counts by /64. */
	assert_int_equal(guess(throttle, "another", "2001:db8::2", now_us), 1);
	assert_int_equal(guess(throttle, "another", "2001:db8:0:1::2", now_us), 0);
	/* It is never longer than a minute. */
	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "next%u", i);

		unsigned wait_s = guess(throttle, name, "2001:db8::1", now_us);

		assert_in_range(wait_s, 1, 60);
		now_us += wait_s * S;
		assert_int_equal(guess(throttle, name, "2001:db8::1", now_us), 0);
	}
}

/* Those whose address nobody tells are at one address. */
static void test_no_address(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		assert_int_equal(guess(throttle, name, NULL, START), 0);
	}
	assert_int_equal(guess(throttle, "another", NULL, START), 1);
	assert_int_equal(guess(throttle, NULL, NULL, START), 1);
	assert_int_equal(guess(throttle, NULL, "192.0.2.1", START), 0);
}

/* Right ones give back what they took: an office that signs in does not run into the address's limit. */
static void test_address_of_many(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		assert_int_equal(guess(throttle, name, "192.0.2.1", START), 0);
		right(throttle, name, "192.0.2.1", START);
	}
}

/* Who was right there lately gets in while others guess: at the account from elsewhere, or from the same address. */
static void test_familiar(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	int64_t now_us = START;
	char name[32];

	(void)state;
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", now_us), 0);
	right(throttle, "anna", "192.0.2.1", now_us);
	for (unsigned i = 0; i < 100; i++)
		guess(throttle, "anna", elsewhere(i), now_us);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		guess(throttle, name, "192.0.2.1", now_us);
	}
	assert_true(guess(throttle, "anna", elsewhere(1000), now_us) > 0);
	assert_true(guess(throttle, "bob", "192.0.2.1", now_us) > 0);
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(guess(throttle, "anna", "192.0.2.1", now_us), 0);
	/* But they are not let guess without end either, … */
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", now_us), 1);
	now_us += S;
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", now_us), 0);
	right(throttle, "anna", "192.0.2.1", now_us);
	/* … and their being right ends neither the delay of the others nor the address's. */
	assert_true(guess(throttle, "bob", "192.0.2.1", now_us - S) > 0);
	for (unsigned n = 0; n < 3; n++)
		guess(throttle, "anna", elsewhere(2000), now_us);
	assert_true(guess(throttle, "anna", elsewhere(2000), now_us) > 0);
}

/* With an account of one's own one cannot pay for guesses at others'. */
static void test_own_account_buys_nothing(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	unsigned passed = 0;
	char name[32];

	(void)state;
	assert_int_equal(guess(throttle, "mallory", "192.0.2.1", START), 0);
	right(throttle, "mallory", "192.0.2.1", START);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "victim%u", i);
		passed += guess(throttle, name, "192.0.2.1", START) == 0;
		assert_int_equal(guess(throttle, "mallory", "192.0.2.1", START), 0);
		right(throttle, "mallory", "192.0.2.1", START);
	}
	assert_int_equal(passed, 20);
}

/* Many names at once push one another out, not the one that is guessed at. */
static void test_flood(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	char name[32];

	(void)state;
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(guess(throttle, "anna", elsewhere(n), START), 0);
	for (unsigned i = 0; i < 300000; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		guess(throttle, name, elsewhere(100 + i), START + 1);
	}
	assert_int_equal(guess(throttle, "anna", elsewhere(7), START + 2), 1);
}

static void test_returned(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address address = address_of("192.0.2.1");
	struct throttle_attempt attempt = { .kind = THROTTLE_PASSWORD,
					    .account = "anna",
					    .address = &address };
	struct throttle_refusal refusal;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
		throttle_return(throttle, &attempt, START);
	}
	throttle_right(throttle, &attempt, START);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
		throttle_return(throttle, &attempt, START);
	}
	/* Twice is not more than once. */
	throttle_return(throttle, &attempt, START);
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), 0);
	assert_int_equal(throttle_take(throttle, &attempt, START, &refusal, NULL), -1);
}

/* 10,000 guesses: few pass, few are told, and afterwards the right one does. */
static void test_ten_thousand(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address address = address_of("192.0.2.1");
	struct throttle_attempt attempt = { .kind = THROTTLE_PASSWORD,
					    .account = "anna",
					    .address = &address };
	struct throttle_counts counts;
	unsigned passed = 0, told = 0;
	uint64_t untold = 0;
	int64_t now_us = START;

	(void)state;
	for (unsigned i = 0; i < 10000; i++, now_us += S / 10) {
		struct throttle_refusal refusal = { 0 };

		passed += throttle_take(throttle, &attempt, now_us, &refusal, NULL) == 0;
		told += refusal.tell;
		untold += refusal.untold;
	}
	/* 1000 s: five at once, then after 1, 3, 7 … 511 s. */
	assert_int_equal(passed, ATTEMPTS + 9);
	assert_int_equal(told, 10);
	assert_in_range(untold, 1, 10000);
	throttle_counts(throttle, &counts);
	assert_int_equal(counts.attempts, passed);
	assert_int_equal(counts.refused_account, 10000 - passed);
	now_us += DELAY_MAX * S;
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", now_us), 0);
	right(throttle, "anna", "192.0.2.1", now_us);
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", now_us), 0);
}

/* However many accounts are attacked, the audit log is not flooded. */
static void test_told_is_bounded(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	unsigned told = 0;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "name%u", i % 500);

		struct address address = address_of(elsewhere(i));
		struct throttle_attempt attempt = { .kind = THROTTLE_PASSWORD,
						    .account = name,
						    .address = &address };
		struct throttle_refusal refusal = { 0 };

		throttle_take(throttle, &attempt, START, &refusal, NULL);
		told += refusal.tell;
	}
	assert_int_equal(told, 60);
}

struct crowd {
	struct throttle *throttle;
	atomic_uint passed;
};

static void *crowd_member(void *context)
{
	struct crowd *crowd = context;

	for (unsigned i = 0; i < 2000; i++) {
		if (guess(crowd->throttle, "anna", "192.0.2.1", START) == 0)
			atomic_fetch_add(&crowd->passed, 1);
	}
	return NULL;
}

static void test_at_the_same_moment(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct crowd crowd = { .throttle = throttle };
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &crowd), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&crowd.passed), ATTEMPTS);
}

/* Of two at the same moment one asked the clock first and comes second. */
static void test_older_now(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct address address = address_of("192.0.2.1");
	struct throttle_attempt attempt = { .kind = THROTTLE_PASSWORD,
					    .account = "anna",
					    .address = &address };
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 15; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		assert_int_equal(guess(throttle, name, "192.0.2.1", START - i), 0);
		if (i % 2)
			right(throttle, name, "192.0.2.1", START - i);
	}
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(guess(throttle, "anna", "192.0.2.1", START - 100 - n), 0);
	throttle_return(throttle, &attempt, START);
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", START - 200), 0);
	throttle_right(throttle, &attempt, START);
	assert_int_equal(guess(throttle, "anna", "192.0.2.1", START - 200), 0);
}

/* Longest names, broken ones, none. */
static void test_odd_names(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	char *huge = malloc(100001);
	const char *names[] = { "", "\xff\xfe", "ﬃﬃ", huge };

	(void)state;
	assert_non_null(huge);
	memset(huge, 'x', 100000);
	huge[100000] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (unsigned n = 0; n < ATTEMPTS; n++)
			assert_int_equal(guess(throttle, names[i], elsewhere(n), START), 0);
		assert_int_equal(guess(throttle, names[i], elsewhere(9), START), 1);
	}
	free(huge);
}

static void test_configure(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	struct throttle_settings changed = settings;

	(void)state;
	for (unsigned n = 0; n < ATTEMPTS; n++)
		assert_int_equal(guess(throttle, "anna", elsewhere(n), START), 0);
	changed.attempts = 10;
	throttle_configure(throttle, &changed);
	/* The delay that runs stays; then the new limit holds. */
	assert_int_equal(guess(throttle, "anna", elsewhere(9), START), 1);
	for (unsigned n = 0; n < 5; n++)
		assert_int_equal(guess(throttle, "anna", elsewhere(n), START + S), 0);
	assert_int_equal(guess(throttle, "anna", elsewhere(9), START + S), 1);
}

static void test_no_memory(void **state)
{
	(void)state;
	for (long n = 0; n < 3; n++) {
		struct err err = { 0 };

		alloc_fail_after(n);
		assert_null(throttle_create(&settings, &err));
		assert_true(alloc_fail_after(-1) < 0);
		assert_int_equal(err.code, ERR_MEMORY);
	}
}

static void test_metrics(void **state)
{
	AUTO(throttle) struct throttle *throttle = make_throttle();
	AUTO(strbuf) struct strbuf out = STRBUF(4096);

	(void)state;
	for (unsigned n = 0; n < ATTEMPTS + 3; n++)
		guess(throttle, "anna", "192.0.2.1", START);
	throttle_metrics(throttle, &out);
	assert_non_null(strstr(strbuf_text(&out), "rolebridge_throttle_attempts_total 5\n"));
	assert_non_null(
		strstr(strbuf_text(&out), "rolebridge_throttle_refused_total{by=\"account\"} 3\n"));
	assert_non_null(
		strstr(strbuf_text(&out), "rolebridge_throttle_refused_total{by=\"address\"} 0\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_and_ends),
		cmocka_unit_test(test_forgets_one_by_one),
		cmocka_unit_test(test_right_begins_afresh),
		cmocka_unit_test(test_kinds_are_apart),
		cmocka_unit_test(test_right_is_of_its_kind),
		cmocka_unit_test(test_account_only),
		cmocka_unit_test(test_met),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_address_of_many),
		cmocka_unit_test(test_familiar),
		cmocka_unit_test(test_own_account_buys_nothing),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_returned),
		cmocka_unit_test(test_ten_thousand),
		cmocka_unit_test(test_told_is_bounded),
		cmocka_unit_test(test_at_the_same_moment),
		cmocka_unit_test(test_older_now),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_configure),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
