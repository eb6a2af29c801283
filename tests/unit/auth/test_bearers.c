/* Tokens of the API in memory: who stands behind them, and when nobody does any more. */
#include <rolebridge/auth/bearers.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/token.h>

#include "world.h"

#define DAY_S INT64_C(86400)

struct bench {
	struct world *world;
	struct bearers *bearers;
	int64_t now_s;
};

static struct bench open_bench(void **state)
{
	struct bench bench = { .world = *state, .now_s = time(NULL) };

	bench.bearers =
		bearers_create(bench.world->changer, bench.world->sessions, &bench.world->err);
	if (!bench.bearers)
		fail_msg("%s", bench.world->err.text);
	return bench;
}

static void reopen(struct bench *bench)
{
	bearers_destroy(bench->bearers);
	world_restart(bench->world);
	bench->bearers =
		bearers_create(bench->world->changer, bench->world->sessions, &bench->world->err);
	assert_non_null(bench->bearers);
}

static struct uuid make(struct bench *bench, const char *user, const char *name, char *ret_text)
{
	static const char *const scope[] = { "users:read@all", "notes:read@own" };
	struct new_token wanted = { .name = name, .expires_s = bench->now_s + DAY_S };
	const char *field;
	struct uuid uuid;

	if (user) {
		wanted.user = user;
	} else {
		wanted.service = "feed";
		wanted.scope = scope;
		wanted.scope_count = ARRAY_LEN(scope);
	}
	bearer_make(ret_text, &wanted.hash);
	ok(bench->world, change_token_create(bench->world->changer, &test_person, &wanted, &uuid,
					     &field, &bench->world->err));
	return uuid;
}

/* "bob ci", "service feed ci", or the reason why nobody. */
static const char *find(struct bench *bench, const char *text, int64_t now_s)
{
	struct bearer_view view;
	const char *found;

	err_clear(&bench->world->err);
	if (bearers_find(bench->bearers, text, now_s, &view, &bench->world->err) < 0)
		return err_reason(&bench->world->err);
	found = arena_printf(bench->world->arena, "%s %s",
			     view.principal ? view.principal->username : view.service, view.name);
	bearer_view_release(&view);
	return found;
}

#define assert_found(bench, text, wanted) \
	assert_string_equal(find(bench, text, (bench)->now_s), wanted)

static void test_texts(void **state)
{
	char first[BEARER_TEXT], second[BEARER_TEXT];
	struct hash256 hash, other;

	(void)state;
	bearer_make(first, &hash);
	bearer_make(second, &other);
	assert_int_equal(strlen(first), BEARER_TEXT - 1);
	assert_memory_equal(first, BEARER_PREFIX, strlen(BEARER_PREFIX));
	assert_string_not_equal(first, second);
	assert_memory_not_equal(hash.byte, other.byte, sizeof(hash.byte));
}

static void test_find(void **state)
{
	struct bench bench = open_bench(state);
	char person[BEARER_TEXT], service[BEARER_TEXT], wrong[BEARER_TEXT + 8];
	struct bearer_view view;

	make(&bench, "bob", "ci", person);
	make(&bench, NULL, "ci", service);
	assert_int_equal(bearers_count(bench.bearers), 2);
	for (int round = 0; round < 2; round++) {
		assert_found(&bench, person, "bob ci");
		assert_found(&bench, service, "feed ci");
		reopen(&bench);
	}
	ok(bench.world,
	   bearers_find(bench.bearers, service, bench.now_s, &view, &bench.world->err));
	assert_null(view.principal);
	assert_string_equal(view.organization, "default");
	assert_int_equal(view.scope_count, 2);
	assert_string_equal(view.scope[1], "notes:read@own");
	bearer_view_release(&view);
	/* What is no token of ours, by a byte. */
	for (size_t i = 0; i < BEARER_TEXT - 1; i++) {
		memcpy(wrong, person, BEARER_TEXT);
		wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
		assert_found(&bench, wrong, "not-found");
		memcpy(wrong, person, i);
		wrong[i] = '\0';
		assert_found(&bench, wrong, "not-found");
	}
	snprintf(wrong, sizeof(wrong), "%sx", person);
	assert_found(&bench, wrong, "not-found");
	assert_found(&bench, "", "not-found");
	assert_found(&bench, "rolebridge_", "not-found");
	bearers_destroy(bench.bearers);
}

static void test_end(void **state)
{
	struct bench bench = open_bench(state);
	char text[BEARER_TEXT];

	make(&bench, "bob", "ci", text);
	assert_string_equal(find(&bench, text, bench.now_s + DAY_S - 1), "bob ci");
	assert_string_equal(find(&bench, text, bench.now_s + DAY_S), "not-found");
	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + DAY_S + 1000, &bench.world->err));
	/* Once it was noted when it was used, it goes. */
	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + DAY_S + 2000, &bench.world->err));
	assert_int_equal(bearers_count(bench.bearers), 0);
	bearers_destroy(bench.bearers);
}

static void test_revoke(void **state)
{
	struct bench bench = open_bench(state);
	char first[BEARER_TEXT], second[BEARER_TEXT];
	struct uuid uuid = make(&bench, "bob", "first", first);
	struct bearer_view view;

	make(&bench, "bob", "second", second);
	ok(bench.world, bearers_find(bench.bearers, first, bench.now_s, &view, &bench.world->err));
	ok(bench.world,
	   change_token_revoke(bench.world->changer, &test_person, &uuid, &bench.world->err));
	assert_found(&bench, first, "not-found");
	assert_found(&bench, second, "bob second");
	/* Who is being answered has what they began with. */
	assert_string_equal(view.name, "first");
	bearer_view_release(&view);
	reopen(&bench);
	assert_found(&bench, first, "not-found");
	assert_found(&bench, second, "bob second");
	bearers_destroy(bench.bearers);
}

/* The disk is full: what was to be refused is refused all the same, and what was to be made is nobody's. */
static void test_full_disk(void **state)
{
	struct bench bench = open_bench(state);
	struct world *world = bench.world;
	struct new_token wanted = { .name = "new",
				    .user = "bob",
				    .expires_s = bench.now_s + DAY_S };
	char revoked[BEARER_TEXT], owned[BEARER_TEXT], made[BEARER_TEXT];
	struct uuid uuid = make(&bench, "anna", "revoked", revoked), ignored;
	const char *field;

	signal(SIGXFSZ, SIG_IGN);
	make(&bench, "bob", "owned", owned);
	assert_found(&bench, owned, "bob owned");
	bearer_make(made, &wanted.hash);
	/* None at all: the log could begin anew, with room in its file. */
	test_limit_files(0);
	assert_int_equal(change_token_revoke(world->changer, &test_person, &uuid, &world->err), -1);
	assert_int_equal(change_user_disable(world->changer, &test_person, "bob", "", &world->err),
			 -1);
	assert_int_equal(change_token_create(world->changer, &test_person, &wanted, &ignored,
					     &field, &world->err),
			 -1);
	test_limit_files(RLIM_INFINITY);
	assert_found(&bench, revoked, "not-found");
	assert_found(&bench, owned, "not-found");
	/* Nobody was told its text; and its number is given to the next one, which is another. */
	uuid = make(&bench, "anna", "next", made);
	assert_found(&bench, made, "anna next");
	ok(world, change_token_revoke(world->changer, &test_person, &uuid, &world->err));
	assert_found(&bench, made, "not-found");
	ok(world, change_user_enable(world->changer, &test_person, "bob", &world->err));
	assert_found(&bench, owned, "bob owned");
	bearers_destroy(bench.bearers);
}

/* Disabled: none of theirs. Enabled: all of theirs but those revoked meanwhile. */
static void test_disable(void **state)
{
	struct bench bench = open_bench(state);
	struct world *world = bench.world;
	char kept[BEARER_TEXT], gone[BEARER_TEXT], other[BEARER_TEXT];
	struct uuid uuid;

	make(&bench, "bob", "kept", kept);
	uuid = make(&bench, "bob", "gone", gone);
	make(&bench, "anna", "other", other);
	assert_found(&bench, kept, "bob kept");
	ok(world, change_user_disable(world->changer, &test_person, "bob", "", &world->err));
	assert_found(&bench, kept, "not-found");
	assert_found(&bench, gone, "not-found");
	assert_found(&bench, other, "anna other");
	ok(world, change_token_revoke(world->changer, &test_person, &uuid, &world->err));
	reopen(&bench);
	assert_found(&bench, kept, "not-found");
	ok(world, change_user_enable(world->changer, &test_person, "bob", &world->err));
	assert_found(&bench, kept, "bob kept");
	assert_found(&bench, gone, "not-found");
	bearers_destroy(bench.bearers);
}

static int64_t stored_use(struct bench *bench, const struct uuid *uuid)
{
	struct token_row row;

	ok(bench->world, store_token_find(bench->world->store, uuid, bench->world->arena, &row,
					  &bench->world->err));
	return row.used_s;
}

static void test_use_is_written(void **state)
{
	struct bench bench = open_bench(state);
	char text[BEARER_TEXT];
	struct uuid uuid = make(&bench, "bob", "ci", text);

	ok(bench.world, bearers_tick(bench.bearers, bench.now_s, &bench.world->err));
	assert_int_equal(stored_use(&bench, &uuid), 0);
	assert_string_equal(find(&bench, text, bench.now_s + 5), "bob ci");
	/* Not before some minutes have passed. */
	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + 10, &bench.world->err));
	assert_int_equal(stored_use(&bench, &uuid), 0);
	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + 301, &bench.world->err));
	assert_int_equal(stored_use(&bench, &uuid), bench.now_s + 5);
	bearers_destroy(bench.bearers);
}

/* What ended long ago is nowhere any more. */
static void test_prune(void **state)
{
	struct bench bench = open_bench(state);
	char text[BEARER_TEXT];
	struct uuid uuid = make(&bench, "bob", "ci", text);
	struct token_row row;

	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + 60 * DAY_S, &bench.world->err));
	assert_int_equal(bearers_count(bench.bearers), 0);
	assert_int_equal(stored_use(&bench, &uuid), 0);
	/* As long as what it sent may be good. */
	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + 365 * DAY_S, &bench.world->err));
	assert_int_equal(stored_use(&bench, &uuid), 0);
	ok(bench.world, bearers_tick(bench.bearers, bench.now_s + 500 * DAY_S, &bench.world->err));
	assert_int_equal(store_token_find(bench.world->store, &uuid, bench.world->arena, &row,
					  &bench.world->err),
			 -1);
	bearers_destroy(bench.bearers);
}

/* --- many at once --- */

struct crowd {
	struct bench *bench;
	const char *steady;
	_Atomic uint64_t found, wrong;
	atomic_bool stop;
};

static void *ask_on(void *context)
{
	struct crowd *crowd = context;

	while (!atomic_load(&crowd->stop)) {
		struct bearer_view view;
		struct err err = { 0 };

		if (bearers_find(crowd->bench->bearers, crowd->steady, crowd->bench->now_s, &view,
				 &err) < 0 ||
		    strcmp(view.name, "steady") != 0 ||
		    strcmp(view.principal->username, "bob") != 0) {
			atomic_fetch_add(&crowd->wrong, 1);
			continue;
		}
		atomic_fetch_add(&crowd->found, 1);
		bearer_view_release(&view);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct bench bench = open_bench(state);
	char steady[BEARER_TEXT], text[BEARER_TEXT];
	struct crowd crowd = { .bench = &bench, .steady = steady };
	pthread_t threads[4];

	make(&bench, "bob", "steady", steady);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &crowd), 0);
	for (int i = 0; i < 200; i++) {
		struct uuid uuid = make(&bench, "bob", "passing", text);

		assert_found(&bench, text, "bob passing");
		ok(bench.world, change_token_revoke(bench.world->changer, &test_person, &uuid,
						    &bench.world->err));
		assert_found(&bench, text, "not-found");
		ok(bench.world,
		   bearers_tick(bench.bearers, bench.now_s + i * 301, &bench.world->err));
	}
	atomic_store(&crowd.stop, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&crowd.wrong), 0);
	assert_true(atomic_load(&crowd.found) > 0);
	bearers_destroy(bench.bearers);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		TEST(test_find),
		TEST(test_end),
		TEST(test_revoke),
		TEST(test_full_disk),
		TEST(test_disable),
		TEST(test_use_is_written),
		TEST(test_prune),
		TEST(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
