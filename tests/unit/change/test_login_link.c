/* Links by which root lets an administrator in: good once, for a time, for administrators; cut at any point. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/change/login_link.h>
#include <rolebridge/store/session.h>

#include "support.h"

#define CONFIG RULES WIDE SOURCES
#define THREADS 4
#define ROUNDS 20

static struct login_link_row make_link(struct world *w, const char *name)
{
	struct login_link_row link;
	struct user user;

	ok(w,
	   change_login_link_make(w->changer, &test_person, name, w->arena, &link, &user, &w->err));
	assert_string_equal(user.username, name);
	return link;
}

static struct login_link_use use_of(const struct login_link_row *link, unsigned char token)
{
	int64_t now_s = link->until_s - LOGIN_LINK_LIFETIME_S;

	return (struct login_link_use){ .link = link->uuid,
					.token = { { token } },
					.address = "127.0.0.1",
					.agent = "browser",
					.until_s = now_s + 3600,
					.now_s = now_s };
}

/* "" when it let somebody in. */
static const char *use_at(struct world *w, const struct login_link_row *link, unsigned char token,
			  int64_t later_s, struct login_outcome *ret_outcome)
{
	struct login_link_use use = use_of(link, token);

	use.now_s += later_s;
	ok(w, change_login_link_use(w->changer, "request", &use, w->arena, ret_outcome, &w->err));
	return ret_outcome->refused;
}

static size_t sessions_of(struct world *w, const char *name)
{
	struct session_query query = { .user_id = world_find(w, name).id, .limit = 100 };
	struct store *store = world_read(w);
	struct session *rows;
	size_t count;

	ok(w, store_session_list(store, &query, w->arena, &rows, &count, &w->err));
	for (size_t i = 0; i < count; i++)
		assert_true(rows[i].by_link);
	store_close(store);
	return count;
}

/* --- once --- */

struct comer {
	struct changer *changer;
	struct login_link_use use;
	struct arena *arena;
	pthread_barrier_t *barrier;
	struct login_outcome outcome;
	int result;
	struct err err;
};

static void *come(void *context)
{
	struct comer *comer = context;

	pthread_barrier_wait(comer->barrier);
	comer->result = change_login_link_use(comer->changer, "request", &comer->use, comer->arena,
					      &comer->outcome, &comer->err);
	return NULL;
}

static void test_one_of_many(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	world_create(w, "anna", "administrator");
	for (int round = 0; round < ROUNDS; round++) {
		struct login_link_row link = make_link(w, "anna");
		struct comer comers[THREADS];
		pthread_t threads[THREADS];
		pthread_barrier_t barrier;
		int won = 0;

		pthread_barrier_init(&barrier, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			unsigned char token = (unsigned char)(1 + round * THREADS + i);

			comers[i] = (struct comer){ .changer = w->changer,
						    .use = use_of(&link, token),
						    .arena = arena_create(1u << 20),
						    .barrier = &barrier };
			assert_non_null(comers[i].arena);
			assert_int_equal(pthread_create(&threads[i], NULL, come, &comers[i]), 0);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(comers[i].result, 0);
			won += comers[i].outcome.refused[0] == '\0';
			if (comers[i].outcome.refused[0])
				assert_string_equal(comers[i].outcome.refused, "link-void");
			arena_destroy(comers[i].arena);
		}
		pthread_barrier_destroy(&barrier);
		assert_int_equal(won, 1);
		assert_int_equal(sessions_of(w, "anna"), round + 1);
	}
	world_check_audit(w);
}

/* --- how long --- */

static const struct {
	const char *name;
	int64_t later_s;
	const char *refused;
} times[] = {
	{ "at once", 0, "" },
	{ "in its last second", LOGIN_LINK_LIFETIME_S - 1, "" },
	{ "at its end", LOGIN_LINK_LIFETIME_S, "link-void" },
	{ "long after", 86400, "link-void" },
	/* What was good for minutes is not good for hours since the clock was set back. */
	{ "the clock was set back", -3600, "link-void" },
};

static void test_times(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	world_create(w, "anna", "administrator");
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct login_link_row link = make_link(w, "anna");
		struct login_outcome outcome;
		const char *refused =
			use_at(w, &link, (unsigned char)(i + 1), times[i].later_s, &outcome);

		if (strcmp(refused, times[i].refused) != 0)
			fail_msg("%s: '%s'", times[i].name, refused);
	}
	assert_int_equal(sessions_of(w, "anna"), 2);
}

/* --- for whom --- */

static void test_for_whom(void **state)
{
	const struct actor limited = { .name = "user:x", .limited = true, .is_person = true };
	struct world *w = *state;
	struct login_link_row link;
	struct login_outcome outcome;
	struct user user;

	world_open(w, CONFIG);
	world_create(w, "anna", "administrator");
	world_create(w, "carl", "administrator");
	world_create(w, "ben", "staff");
	refused(w,
		change_login_link_make(w->changer, &test_person, "ben", w->arena, &link, &user,
				       &w->err),
		"administrators-only");
	refused(w,
		change_login_link_make(w->changer, &test_person, "nobody", w->arena, &link, &user,
				       &w->err),
		"not-found");
	refused(w,
		change_login_link_make(w->changer, &limited, "anna", w->arena, &link, &user,
				       &w->err),
		"not-allowed");
	/* As they are when it is used. */
	link = make_link(w, "carl");
	ok(w, change_user_disable(w->changer, &test_person, "carl", "gone", &w->err));
	assert_string_equal(use_at(w, &link, 1, 0, &outcome), "user-disabled");
	assert_int_equal(sessions_of(w, "carl"), 0);
	refused(w,
		change_login_link_make(w->changer, &test_person, "carl", w->arena, &link, &user,
				       &w->err),
		"user-disabled");
	world_check_audit(w);
}

static void test_newer_one(void **state)
{
	struct world *w = *state;
	struct login_link_row first, second;
	struct login_outcome outcome;

	world_open(w, CONFIG);
	world_create(w, "anna", "administrator");
	world_create(w, "carl", "administrator");
	first = make_link(w, "anna");
	second = make_link(w, "anna");
	make_link(w, "carl");
	assert_string_equal(use_at(w, &first, 1, 0, &outcome), "link-void");
	assert_string_equal(use_at(w, &second, 2, 0, &outcome), "");
	assert_int_equal(outcome.session.stage, SESSION_FULL);
	assert_true(outcome.session.by_link);
	assert_string_equal(use_at(w, &second, 3, 0, &outcome), "link-void");
}

/* --- cut off --- */

/* Either nothing, and the link is good for another time, or all of it. */
static void test_no_memory(void **state)
{
	struct world *w = *state;
	bool done = false;

	world_open(w, CONFIG);
	world_create(w, "anna", "administrator");

	struct login_link_row link = make_link(w, "anna");

	for (long n = 0; !done; n++) {
		struct login_link_use use = use_of(&link, (unsigned char)(n + 1));
		struct login_outcome outcome;
		int result;

		err_clear(&w->err);
		alloc_fail_after(n);
		result = change_login_link_use(w->changer, "request", &use, w->arena, &outcome,
					       &w->err);
		done = alloc_fail_after(-1) >= 0;
		if (result == 0) {
			assert_string_equal(outcome.refused, "");
			break;
		}
		assert_int_equal(sessions_of(w, "anna"), 0);
	}
	assert_int_equal(sessions_of(w, "anna"), 1);
	world_check_audit(w);
}

/* --- the last administrator, whom the source disabled --- */

static void test_suspended(void **state)
{
	struct world *w = *state;
	struct login_link_row link;
	struct login_outcome outcome;

	world_open(w, CONFIG);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\n", 0, NULL);
	link = make_link(w, "anna");
	assert_string_equal(use_at(w, &link, 1, 0, &outcome), "");
	assert_int_equal(world_alarms(w, "login-link"), 0);
	world_sync(w, "corp", "k1 anna @admins !\nk2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "administrator disabled(sign-in-suspended)");
	assert_int_equal(sessions_of(w, "anna"), 0);
	link = make_link(w, "anna");
	assert_string_equal(use_at(w, &link, 2, 0, &outcome), "");
	assert_int_equal(world_alarms(w, "login-link"), 1);
	/* Another read of the same, and one that changes something else, end nothing. */
	world_sync(w, "corp", "k1 anna @admins !\nk2 ben\n", 0, NULL);
	world_sync(w, "corp", "k1 anna title=ops @admins !\nk2 ben\n", 0, NULL);
	assert_int_equal(sessions_of(w, "anna"), 1);
	/* With another administrator they are disabled like anybody. */
	world_create(w, "carl", "administrator");
	world_sync(w, "corp", "k1 anna title=dev @admins !\nk2 ben\n", 0, NULL);
	assert_int_equal(sessions_of(w, "anna"), 0);
	assert_string_equal(use_at(w, &link, 3, 0, &outcome), "link-void");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_one_of_many), TEST(test_times),     TEST(test_for_whom),
		TEST(test_newer_one),	TEST(test_no_memory), TEST(test_suspended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
