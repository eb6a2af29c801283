/* Steps of the clock, and what ends by itself. */
#include "../../../daemon/change/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/activity.h>
#include <rolebridge/store/activity.h>

#include "support.h"

#define HOUR 3600
#define DAY 86400
#define GRACE "policy: {default_profile: staff, missing_runs: 1, missing_grace: 24h}\n"
#define ALL "k1 anna\nk2 ben @sales\nk3 cleo\n"
#define LESS "k1 anna\nk3 cleo\n"

static int set_up(void **state)
{
	change_test_clock = (struct change_test_clock){ .boot = "boot-1" };
	return world_set_up(state);
}

static int tear_down(void **state)
{
	change_test_clock = (struct change_test_clock){ 0 };
	return world_tear_down(state);
}

static void read_less(struct world *w)
{
	world_sync(w, "corp", LESS, 0, NULL);
}

/* --- steps of the clock --- */

/* What happens between two reads of a source that ben is missing from, and whether he has been long enough. */
static const struct step_case {
	const char *name;
	int64_t passed_s, step_s;
	const char *boot; /* NULL: the daemon runs on; else it starts again, perhaps in this boot */
	bool gone;
	int64_t alarms;
} step_cases[] = {
	{ "nothing", 0, 0, NULL, false, 0 },
	{ "not long enough", 23 * HOUR, 0, NULL, false, 0 },
	{ "long enough", 25 * HOUR, 0, NULL, true, 0 },
	{ "set forward by two days", 0, 2 * DAY, NULL, false, 1 },
	{ "set back by two days", 0, -2 * DAY, NULL, false, 1 },
	{ "set right by minutes", 25 * HOUR, -240, NULL, true, 0 },
	{ "set right by six minutes", 25 * HOUR, -360, NULL, true, 1 },
	{ "set forward, and long enough", 25 * HOUR, 2 * DAY, NULL, true, 1 },
	{ "set back, and long enough", 25 * HOUR, -2 * DAY, NULL, true, 1 },
	{ "started again", 25 * HOUR, 0, "boot-1", true, 0 },
	{ "set forward while down", HOUR, 2 * DAY, "boot-1", false, 1 },
	{ "set back while down, long enough", 25 * HOUR, -2 * DAY, "boot-1", true, 1 },
	{ "another boot after an hour", HOUR, 0, "boot-2", false, 0 },
	{ "another boot after days", 2 * DAY, 0, "boot-2", true, 0 },
	{ "another boot in the past", 2 * DAY, -30 * DAY, "boot-2", false, 1 },
	{ "a boot without a name", 2 * DAY, -30 * DAY, "", false, 1 },
};

static void test_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(step_cases); i++) {
		const struct step_case *c = &step_cases[i];
		void *inner = NULL;
		struct world *world;
		const char *wanted =
			c->gone ? "staff disabled(missing) sales:rule" : "staff active sales:rule";

		set_up(&inner);
		world = inner;
		world_open(world, RULES GRACE SOURCES);
		world_sync(world, "corp", ALL, 0, NULL);
		read_less(world);
		change_test_clock.passed_s += c->passed_s;
		change_test_clock.step_s += c->step_s;
		if (c->boot) {
			world_close(world);
			change_test_clock.boot = c->boot;
			world_open(world, RULES GRACE SOURCES);
		}
		read_less(world);
		if (strcmp(world_user(world, "ben"), wanted) != 0)
			fail_msg("%s: %s", c->name, world_user(world, "ben"));
		if (world_alarms(world, "clock-step") != c->alarms)
			fail_msg("%s: %d alarms", c->name, (int)world_alarms(world, "clock-step"));
		world_check_audit(world);
		tear_down(&inner);
	}
}

/* Grace goes on from where it was, in whatever time the clock says. */
static void test_grace_goes_on(void **state)
{
	struct world *w = *state;

	world_open(w, RULES GRACE SOURCES);
	world_sync(w, "corp", ALL, 0, NULL);
	read_less(w);
	change_test_clock.passed_s += 20 * HOUR;
	change_test_clock.step_s += 100 * DAY;
	ok(w, changer_watch_clock(w->changer, &w->err));
	assert_int_equal(world_alarms(w, "clock-step"), 1);
	change_test_clock.passed_s += 3 * HOUR;
	read_less(w);
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	/* Set right again, and a restart on top. */
	change_test_clock.step_s -= 100 * DAY;
	world_close(w);
	world_open(w, RULES GRACE SOURCES);
	read_less(w);
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	change_test_clock.passed_s += 2 * HOUR;
	read_less(w);
	assert_string_equal(world_user(w, "ben"), "staff disabled(missing) sales:rule");
}

/* Seen by a reload and by `why` too, not only by the read that found it. */
static void test_everybody_knows(void **state)
{
	struct world *w = *state;
	struct setup *setup;

	world_open(w, RULES GRACE SOURCES);
	world_sync(w, "corp", ALL, 0, NULL);
	read_less(w);
	change_test_clock.step_s += 2 * DAY;
	ok(w, changer_watch_clock(w->changer, &w->err));
	world_reload(w, RULES GRACE SOURCES, NULL);
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	setup = changer_setup(w->changer);
	assert_true(setup->clock_shift_s >= 2 * DAY - 1 && setup->clock_shift_s <= 2 * DAY + 1);
	setup_release(setup);
}

/* What was done in the last 24 hours still counts, though the clock says it is long ago. */
static void test_limits_remember(void **state)
{
	struct world *w = *state;
	struct run_report report;
	AUTO(strbuf) struct strbuf lines = STRBUF(65536);

	w->members = 100;
	world_open(w, RULES POLICY SOURCES);
	for (int kept = 100; kept >= 89; kept = kept == 100 ? 92 : kept - 3) {
		strbuf_clear(&lines);
		for (int i = 0; i < 100; i++)
			strbuf_printf(&lines, "k%d u%d %s\n", i, i, i < kept ? "@sales" : "");
		world_sync(w, "corp", strbuf_text(&lines), 0, &report);
		assert_int_equal(report.held, kept == 89 ? 3 : 0);
		run_report_finish(&report);
		if (kept == 92)
			change_test_clock.step_s += 3 * DAY;
	}
}

/* --- what ends by itself --- */

static const char *with_expiry(char *text, size_t size, const char *deny)
{
	char day[CLOCK_TEXT_SIZE];

	clock_format(clock_now_s() + DAY, day);
	snprintf(text, size,
		 RULES
		 "  - {id: pause, when: '(title=ops*)', deny: {%s}, expires: %.10s}\n" WIDE SOURCES,
		 deny, day);
	return text;
}

static size_t plan_count(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct plan_row *plans;
	size_t count;

	ok(w, store_plan_list(store, 0, w->arena, &plans, &count, &w->err));
	return count;
}

static void clear_alarms(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct alarm_row *rows;
	size_t count;

	ok(w, store_alarm_list(store, true, w->arena, &rows, &count, &w->err));
	for (size_t i = 0; i < count; i++)
		ok(w, change_alarm_clear(w->changer, &test_person, rows[i].id, &w->err));
}

/* What an expired rule denied comes back by the timer alone, once, and after a restart too. */
static void test_deny_expires(void **state)
{
	struct world *w = *state;
	char yaml[8192];
	size_t plans;

	with_expiry(yaml, sizeof(yaml), "roles: [ops], profile: manager");
	for (int again = 0; again < 2; again++) {
		world_open(w, yaml);
		if (!again)
			world_sync(w, "corp", "k1 anna @managers title=ops\nk2 ben @managers\n", 0,
				   NULL);
		else
			world_reload(w, yaml, NULL);
		assert_string_equal(world_user(w, "anna"), "staff active");
		ok(w, change_expire(w->changer, change_now_s(), &w->err));
		assert_string_equal(world_user(w, "anna"), "staff active");
		change_test_clock.passed_s += 2 * DAY;
		if (again) {
			world_close(w);
			world_open(w, yaml);
		}
		ok(w, change_expire(w->changer, change_now_s(), &w->err));
		assert_string_equal(world_user(w, "anna"), "manager active ops:rule");
		plans = plan_count(w);
		ok(w, change_expire(w->changer, change_now_s(), &w->err));
		assert_int_equal(plan_count(w), plans);
		world_check_audit(w);
		change_test_clock.passed_s = 0;
		world_close(w);
	}
}

/* The last administrator's profile expired: kept, and said once, however often the timer looks. */
static void test_last_administrator_once(void **state)
{
	struct world *w = *state;
	int64_t end_s = change_now_s() + DAY;
	size_t plans;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna\nk2 ben @managers\n", 0, NULL);
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_PROFILE, "administrator",
			       end_s, &w->err));
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "night", end_s + DAY,
			       &w->err));
	change_test_clock.passed_s += DAY + 1;
	ok(w, change_expire(w->changer, change_now_s(), &w->err));
	assert_string_equal(world_user(w, "ben"), "administrator active night:hand");
	assert_int_equal(world_alarms(w, "last-administrator"), 1);
	clear_alarms(w);
	plans = plan_count(w);
	for (int i = 0; i < 3; i++) {
		ok(w, change_expire(w->changer, change_now_s(), &w->err));
		assert_int_equal(plan_count(w), plans);
		assert_int_equal(world_alarms(w, "last-administrator"), 0);
		if (i == 1)
			world_open(w, RULES WIDE SOURCES);
	}
	/* What else expires goes, and only that. */
	change_test_clock.passed_s += DAY;
	ok(w, change_expire(w->changer, change_now_s(), &w->err));
	assert_string_equal(world_user(w, "ben"), "administrator active");
	assert_int_equal(world_alarms(w, "last-administrator"), 0);
	/* As soon as somebody else is one, it ends. */
	ok(w, change_grant_add(w->changer, &test_person, "anna", GRANT_PROFILE, "administrator", 0,
			       &w->err));
	ok(w, change_expire(w->changer, change_now_s(), &w->err));
	assert_string_equal(world_user(w, "ben"), "manager active");
	world_check_audit(w);
}

/* --- main --- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* What people did goes when it is old, not when the clock is set. */
static void test_days_stay(void **state)
{
	static const struct {
		const char *name;
		int64_t passed_s, step_s;
		size_t left;
	} cases[] = {
		{ "set ahead", 0, 1000 * DAY, 1 },
		{ "set back", 0, -2000 * DAY, 1 },
		{ "time passed", 3 * DAY, 0, 0 },
	};
	struct world *w = *state;
	const int64_t tomorrow = change_now_s() / DAY + 1;
	int64_t user_id, feature;
	struct store *store;

	world_open(w, RULES GRACE SOURCES);
	world_sync(w, "corp", ALL, 0, NULL);
	user_id = world_find(w, "ben").id;
	world_close(w);
	store = store_open(w->path, STORE_WRITE, &w->err);
	assert_non_null(store);
	ok(w, store_begin(store, &w->err));
	ok(w, store_feature_ensure(store, "crm", "export", 10, &feature, &w->err));
	ok(w, store_feature_use_add(store, user_id, tomorrow, feature, 1, &w->err));
	ok(w, store_commit(store, &w->err));
	store_close(store);
	world_open(w, RULES GRACE SOURCES);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct feature_day *days;
		struct feature_use *use;
		size_t count;

		change_test_clock.passed_s += cases[i].passed_s;
		change_test_clock.step_s += cases[i].step_s;
		ok(w, changer_watch_clock(w->changer, &w->err));
		ok(w, change_activity_prune(w->changer, change_now_s(), &w->err));
		store = world_read(w);
		use = store_feature_use_open(store, &w->err);
		assert_non_null(use);
		ok(w, store_feature_use_of(use, user_id, 0, INT64_MAX, &days, &count, &w->err));
		if (count != cases[i].left)
			fail_msg("%s: %zu days are left", cases[i].name, count);
		store_feature_use_close(use);
		store_close(store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps), TEST(test_grace_goes_on),
		TEST(test_everybody_knows),   TEST(test_limits_remember),
		TEST(test_deny_expires),      TEST(test_last_administrator_once),
		TEST(test_days_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
