/* Addresses of a host, with a resolver that is silent for as long as the test likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/resolve.h>
#include <rolebridge/base/util.h>

#define WAIT_US (INT64_C(60) * 1000000)

/* --- the resolver of this program --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t spoken = PTHREAD_COND_INITIALIZER;
static bool silent;
static atomic_int asked, lists, given_back;

static int make_list(struct addrinfo **ret_list)
{
	struct addrinfo *list = calloc(1, sizeof(*list) + sizeof(struct sockaddr_in));
	struct sockaddr_in *address;

	if (!list)
		return EAI_MEMORY;
	address = (struct sockaddr_in *)(void *)(list + 1);
	*address = (struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	list->ai_family = AF_INET;
	list->ai_addr = (struct sockaddr *)address;
	list->ai_addrlen = sizeof(*address);
	atomic_fetch_add(&lists, 1);
	*ret_list = list;
	return 0;
}

int getaddrinfo(const char *host, const char *port UNUSED, const struct addrinfo *hints,
		struct addrinfo **ret_list)
{
	bool numeric = strcmp(host, "127.0.0.1") == 0;

	if (hints->ai_flags & AI_NUMERICHOST)
		return numeric ? make_list(ret_list) : EAI_NONAME;
	atomic_fetch_add(&asked, 1);
	if (strcmp(host, "unknown.test") == 0)
		return EAI_NONAME;
	if (strcmp(host, "known.test") == 0)
		return make_list(ret_list);
	pthread_mutex_lock(&lock);
	while (silent)
		pthread_cond_wait(&spoken, &lock);
	pthread_mutex_unlock(&lock);
	return make_list(ret_list);
}

void freeaddrinfo(struct addrinfo *list)
{
	free(list);
	atomic_fetch_sub(&lists, 1);
	atomic_fetch_add(&given_back, 1);
}

static void set_silent(bool value)
{
	pthread_mutex_lock(&lock);
	silent = value;
	pthread_cond_broadcast(&spoken);
	pthread_mutex_unlock(&lock);
}

/* --- tests --- */

static bool is_set(void *context)
{
	return atomic_load((atomic_bool *)context);
}

static void test_answers(void **state UNUSED)
{
	static const struct {
		const char *name, *host;
		int asked, result;
	} cases[] = {
		{ "an address is looked up by nobody", "127.0.0.1", 0, 0 },
		{ "a name", "known.test", 1, 0 },
		{ "no such name", "unknown.test", 1, -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addrinfo *list = NULL;
		struct err err = { 0 };
		int result;

		atomic_store(&asked, 0);
		result = resolve_host(cases[i].host, "443", NULL, NULL, &list, &err);
		if (result != cases[i].result || atomic_load(&asked) != cases[i].asked)
			fail_msg("%s: %d, %s", cases[i].name, result, err.text);
		if (result == 0)
			freeaddrinfo(list);
		else
			assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(atomic_load(&lists), 0);
	}
}

struct waiting {
	atomic_bool cancelled, ended;
	int result;
	struct err err;
};

static void *wait_in_vain(void *context)
{
	struct waiting *waiting = context;
	struct addrinfo *list = NULL;

	waiting->result = resolve_host("silent.test", NULL, is_set, &waiting->cancelled, &list,
				       &waiting->err);
	atomic_store(&waiting->ended, true);
	return NULL;
}

/* While the resolver says nothing; what it says later is given back by itself. */
static void test_whoever_is_told_to_stop_stops(void **state UNUSED)
{
	struct waiting waiting = { 0 };
	int64_t end_us = clock_monotonic_us() + WAIT_US;
	pthread_t thread;

	atomic_store(&asked, 0);
	atomic_store(&given_back, 0);
	set_silent(true);
	assert_int_equal(pthread_create(&thread, NULL, wait_in_vain, &waiting), 0);
	while (atomic_load(&asked) == 0 && clock_monotonic_us() < end_us)
		usleep(1000);
	assert_false(atomic_load(&waiting.ended));
	atomic_store(&waiting.cancelled, true);
	pthread_join(thread, NULL);
	assert_int_equal(waiting.result, -1);
	assert_int_equal(waiting.err.code, ERR_CANCELLED);
	set_silent(false);
	while (atomic_load(&given_back) == 0 && clock_monotonic_us() < end_us)
		usleep(1000);
	assert_int_equal(atomic_load(&given_back), 1);
	assert_int_equal(atomic_load(&lists), 0);
}

static bool at_once(void *context UNUSED)
{
	return true;
}

/* Those left behind by a name that nobody answers for are few, and take no other name's place. */
static void test_silence_is_about_one_name(void **state UNUSED)
{
	int64_t end_us = clock_monotonic_us() + WAIT_US;
	struct addrinfo *list = NULL;
	struct err err;

	atomic_store(&given_back, 0);
	set_silent(true);
	for (int i = 0; i < 300; i++) {
		err_clear(&err);
		assert_int_equal(resolve_host("silent.test", NULL, at_once, NULL, &list, &err), -1);
		assert_int_equal(err.code, i < 8 ? ERR_CANCELLED : ERR_UNAVAILABLE);
	}
	assert_non_null(strstr(err.text, "'silent.test': no name server has answered"));
	if (resolve_host("known.test", NULL, NULL, NULL, &list, &err) < 0)
		fail_msg("%s", err.text);
	freeaddrinfo(list);
	/* Once it speaks it is asked again. */
	set_silent(false);
	while (atomic_load(&given_back) < 1 + 8 && clock_monotonic_us() < end_us)
		usleep(1000);
	assert_int_equal(atomic_load(&given_back), 1 + 8);
	if (resolve_host("silent.test", NULL, NULL, NULL, &list, &err) < 0)
		fail_msg("%s", err.text);
	freeaddrinfo(list);
	assert_int_equal(atomic_load(&lists), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_whoever_is_told_to_stop_stops),
		cmocka_unit_test(test_silence_is_about_one_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
