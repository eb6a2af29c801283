/* Hashes: right and wrong, other parameters, nobody's, a full queue, no memory, reload while people wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <sodium.h>

#include <rolebridge/auth/hasher.h>
#include <rolebridge/base/util.h>

#define MIB ((int64_t)1024 * 1024)

static const struct passwords_settings cheap = {
	.memory = 8 * MIB, .operations = 1, .workers = 1, .waiting = 2
};

static struct hasher *make_hasher(const struct passwords_settings *settings)
{
	struct err err = { 0 };
	struct hasher *hasher = hasher_create(settings, &err);

	if (!hasher)
		fail_msg("%s", err.text);
	return hasher;
}

static uint64_t hashes_of(struct hasher *hasher)
{
	struct hasher_counts counts;

	hasher_counts(hasher, &counts);
	return counts.hashes;
}

static bool verify(struct hasher *hasher, const char *hash, const char *secret)
{
	struct err err = { 0 };
	bool good = false, rehash = false;

	if (hasher_verify(hasher, hash, secret, strlen(secret), &good, &rehash, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(rehash);
	return good;
}

static void make(struct hasher *hasher, const char *secret, char hash[static HASH_TEXT])
{
	struct err err = { 0 };

	if (hasher_make(hasher, secret, strlen(secret), hash, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_right_and_wrong(void **state)
{
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	char hash[HASH_TEXT], other[HASH_TEXT];

	(void)state;
	make(hasher, "kJ8#mQ2$vL5w", hash);
	make(hasher, "kJ8#mQ2$vL5w", other);
	assert_string_not_equal(hash, other);
	assert_memory_equal(hash, "$argon2id$v=19$m=8192,t=1,p=1$", 30);
	assert_true(verify(hasher, hash, "kJ8#mQ2$vL5w"));
	assert_true(verify(hasher, other, "kJ8#mQ2$vL5w"));
	assert_false(verify(hasher, hash, "kJ8#mQ2$vL5W"));
	assert_false(verify(hasher, hash, "kJ8#mQ2$vL5"));
	assert_false(verify(hasher, hash, ""));
	/* libsodium itself agrees. */
	assert_int_equal(crypto_pwhash_str_verify(hash, "kJ8#mQ2$vL5w", 12), 0);
}

/* Who is not there costs one hash, as everybody does, whatever is asked. */
static void test_nobody(void **state)
{
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	char hash[HASH_TEXT], longer[HASHER_SECRET_MAX + 2];
	struct err err = { 0 };
	bool good = true, rehash = true;

	(void)state;
	make(hasher, "kJ8#mQ2$vL5w", hash);

	const char *const hashes[] = { NULL, hash };
	uint64_t before = hashes_of(hasher);

	memset(longer, 'x', sizeof(longer));
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		assert_false(verify(hasher, hashes[i], "wrong"));
		assert_int_equal(hashes_of(hasher), ++before);
		assert_false(verify(hasher, hashes[i], ""));
		assert_int_equal(hashes_of(hasher), ++before);
		good = rehash = true;
		assert_int_equal(hasher_verify(hasher, hashes[i], longer, HASHER_SECRET_MAX, &good,
					       &rehash, &err),
				 0);
		assert_false(good || rehash);
		assert_int_equal(hashes_of(hasher), ++before);
		good = rehash = true;
		assert_int_equal(hasher_verify(hasher, hashes[i], longer, HASHER_SECRET_MAX + 1,
					       &good, &rehash, &err),
				 0);
		assert_false(good || rehash);
		assert_int_equal(hashes_of(hasher), before);
	}
	assert_int_equal(hasher_make(hasher, longer, HASHER_SECRET_MAX + 1, hash, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
}

static void test_composed(void **state)
{
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	char hash[HASH_TEXT], bytes[HASH_TEXT];

	(void)state;
	make(hasher, "Zw\xc3\xb6lf Boxer", hash);
	assert_true(verify(hasher, hash, "Zwo\xcc\x88lf Boxer"));
	assert_false(verify(hasher, hash, "Zwolf Boxer"));
	make(hasher, "Zw\xf6lf Boxer", bytes);
	assert_true(verify(hasher, bytes, "Zw\xf6lf Boxer"));
	assert_false(verify(hasher, bytes, "Zw\xc3\xb6lf Boxer"));
}

static void test_rehash(void **state)
{
	struct passwords_settings dear = cheap;
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	char hash[HASH_TEXT];
	struct err err = { 0 };
	bool good = false, rehash = false;

	(void)state;
	make(hasher, "secret", hash);
	dear.operations = 2;
	hasher_configure(hasher, &dear);
	assert_int_equal(hasher_verify(hasher, hash, "secret", 6, &good, &rehash, &err), 0);
	assert_true(good && rehash);
	/* A wrong one says nothing of the hash. */
	assert_int_equal(hasher_verify(hasher, hash, "wrong", 5, &good, &rehash, &err), 0);
	assert_false(good || rehash);
	assert_int_equal(hasher_verify(hasher, hash, "secret", 6, &good, NULL, &err), 0);
	assert_true(good);
	make(hasher, "secret", hash);
	assert_memory_equal(hash, "$argon2id$v=19$m=8192,t=2,p=1$", 30);
	assert_true(verify(hasher, hash, "secret"));
	dear.memory = 9 * MIB;
	hasher_configure(hasher, &dear);
	assert_int_equal(hasher_verify(hasher, hash, "secret", 6, &good, &rehash, &err), 0);
	assert_true(good && rehash);
}

static void test_no_hash(void **state)
{
	static const char *const texts[] = { "", "x", "$argon2id$",
					     "$argon2id$v=19$m=8192,t=1,p=1$",
					     "$2b$12$abcdefghijklmnopqrstuv" };
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err err = { 0 };
		bool good = false;

		/* Refused or failed, never right. */
		if (hasher_verify(hasher, texts[i], "secret", 6, &good, NULL, &err) < 0)
			assert_int_equal(err.code, ERR_INTERNAL);
		assert_false(good);
	}
}

struct asker {
	struct hasher *hasher;
	pthread_t thread;
	int status;
	bool good;
	struct err err;
};

static void *ask(void *context)
{
	struct asker *asker = context;

	asker->status =
		hasher_verify(asker->hasher, NULL, "secret", 6, &asker->good, NULL, &asker->err);
	return NULL;
}

static void start(struct hasher *hasher, struct asker *askers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		askers[i] = (struct asker){ .hasher = hasher, .good = true, .status = 1 };
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
}

static void wait_until_waiting(struct hasher *hasher, unsigned count)
{
	struct hasher_counts counts;

	do {
		sched_yield();
		hasher_counts(hasher, &counts);
	} while (counts.waiting < count);
}

static void test_full(void **state)
{
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	struct asker askers[3];
	struct err err = { 0 };
	bool good = true, rehash = true;
	char hash[HASH_TEXT] = "as it was";

	(void)state;
	hasher_pause(hasher, true);
	/* One that a worker would have, and two that may wait. */
	start(hasher, askers, ARRAY_LEN(askers));
	wait_until_waiting(hasher, ARRAY_LEN(askers));
	assert_int_equal(hasher_verify(hasher, NULL, "secret", 6, &good, &rehash, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.reason, "busy");
	assert_true(good && rehash);
	err_clear(&err);
	assert_int_equal(hasher_make(hasher, "secret", 6, hash, &err), -1);
	assert_string_equal(err.reason, "busy");
	assert_string_equal(hash, "as it was");
	hasher_metrics(hasher, &out);
	assert_non_null(strstr(strbuf_text(&out), "rolebridge_password_hashes_refused_total 2\n"));
	assert_non_null(strstr(strbuf_text(&out), "rolebridge_password_hashes_waiting 3\n"));
	hasher_pause(hasher, false);
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].status, 0);
		assert_false(askers[i].good);
	}
	assert_int_equal(hashes_of(hasher), 3);
	/* And it goes on as before. */
	assert_false(verify(hasher, NULL, "secret"));
}

/* More workers, then fewer, while people wait: everybody is answered. */
static void test_configure_while_waiting(void **state)
{
	struct passwords_settings changed = cheap;
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	struct asker askers[24];

	(void)state;
	changed.waiting = 24;
	hasher_configure(hasher, &changed);
	start(hasher, askers, ARRAY_LEN(askers));
	for (int64_t workers = 4; workers >= 0; workers--) {
		changed.workers = workers;
		changed.waiting = 24 - workers;
		hasher_configure(hasher, &changed);
	}
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].status, 0);
	}
	assert_int_equal(hashes_of(hasher), ARRAY_LEN(askers));
}

/* More memory than there is: nothing is judged, nobody is let in. */
static void ask_for_too_much(void)
{
	struct passwords_settings huge = cheap;
	AUTO(hasher) struct hasher *hasher = make_hasher(&cheap);
	struct rlimit limit, less;
	char hash[HASH_TEXT], before[HASH_TEXT];
	struct err err = { 0 };
	bool good = true;

	make(hasher, "secret", hash);
	memcpy(before, hash, sizeof(hash));
	huge.memory = 4096 * MIB;
	hasher_configure(hasher, &huge);
	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	less = limit;
	less.rlim_cur = (rlim_t)(2048 * MIB);
	assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
	assert_int_equal(hasher_verify(hasher, NULL, "secret", 6, &good, NULL, &err), -1);
	assert_string_equal(err.reason, "busy");
	assert_true(good);
	assert_int_equal(hasher_make(hasher, "secret", 6, hash, &err), -1);
	assert_string_equal(err.reason, "busy");
	assert_memory_equal(before, hash, sizeof(hash));
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	/* One that is kept costs what it cost when it was made. */
	assert_int_equal(hasher_verify(hasher, hash, "secret", 6, &good, NULL, &err), 0);
	assert_true(good);
}

static void test_no_memory(void **state)
{
	(void)state;
	/* Shadow memory does not live under the limit. */
#ifdef RB_SANITIZE
	skip();
#endif
	if (getenv("ROLEBRIDGE_VALGRIND"))
		skip();
	ask_for_too_much();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right_and_wrong),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_composed),
		cmocka_unit_test(test_rehash),
		cmocka_unit_test(test_no_hash),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_configure_while_waiting),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
