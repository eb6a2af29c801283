/* Plans that are left in the middle: by the end of the daemon, and because they cannot be read. */
#include "../../../daemon/change/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "support.h"

#define PEOPLE \
	"k1 anna @admins\n" \
	"k2 ben @managers @sales\n" \
	"k3 cleo title=ops_lead\n" \
	"k4 dora @sales\n" \
	"k5 emil @sales\n" \
	"k6 fay title=ops\n"

static struct {
	struct changer *changer;
	const char *step;
	int left; /* steps of this name until the daemon is told to end; 0: never */
} ending;

static void end_in_time(const char *step)
{
	if (ending.left > 0 && strcmp(step, ending.step) == 0 && --ending.left == 0)
		changer_stop(ending.changer);
}

static int set_up(void **state)
{
	change_batch_people = 1;
	change_test_hook = end_in_time;
	return world_set_up(state);
}

static int tear_down(void **state)
{
	change_batch_people = BATCH_PEOPLE;
	change_test_hook = NULL;
	memset(&ending, 0, sizeof(ending));
	return world_tear_down(state);
}

static void end_at(struct world *w, const char *step, int left)
{
	ending.changer = w->changer;
	ending.step = step;
	ending.left = left;
}

/* A run that the end of the daemon cuts short. */
static void sync_until_end(struct world *w, const char *lines)
{
	struct sync *sync = world_begin(w, "corp", false);
	struct run_report report;

	ok(w, world_feed(w, sync, "corp", lines));
	world_groups(w, sync, "corp", NULL);
	run_report_init(&report);
	refused(w, sync_finish(sync, true, "", "", &report, &w->err), "cancelled");
	run_report_finish(&report);
}

static size_t people(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct user_counts counts;

	ok(w, store_user_counts(store, NULL, &counts, &w->err));
	return (size_t)counts.total;
}

static size_t plans_in(struct world *w, enum plan_state state, const char **ret_id)
{
	AUTO(store) struct store *store = world_read(w);
	struct plan_row *plans;
	size_t count;

	ok(w, store_plan_list(store, state, w->arena, &plans, &count, &w->err));
	if (ret_id)
		*ret_id = count ? plans[0].id : "";
	return count;
}

/* What a store is like that nobody cut short. */
static const char *whole(const char *yaml, const char *lines)
{
	void *state = NULL;
	struct world *w;
	char *dump;

	set_up(&state);
	w = state;
	world_open(w, yaml);
	world_sync(w, "corp", lines, 0, NULL);
	dump = strdup(world_dump(w));
	memset(&ending, 0, sizeof(ending));
	world_tear_down(&state);
	return dump;
}

/* The end comes after the batch under way, and the next start makes up for the rest. */
static void test_end_while_applying(void **state)
{
	struct world *w = *state;
	const char *wanted = whole(RULES WIDE SOURCES, PEOPLE);
	size_t done;

	world_open(w, RULES WIDE SOURCES);
	end_at(w, "batch-done", 2);
	sync_until_end(w, PEOPLE);
	/* Those under way: one more than was told, at most two. */
	done = people(w);
	assert_true(done >= 2 && done <= 4);
	assert_int_equal(plans_in(w, PLAN_READY, NULL), 1);
	/* Nothing long begins any more; people are still served. */
	refused(w, changer_reload(w->changer, NULL, &test_person, NULL, &w->err), "cancelled");
	ok(w, change_alarm_raise(w->changer, "test", "test", "still there", &w->err));
	world_open(w, RULES WIDE SOURCES);
	assert_int_equal(plans_in(w, PLAN_READY, NULL), 0);
	assert_string_equal(world_dump(w), wanted);
	world_check_audit(w);
	free((char *)(uintptr_t)wanted);
}

/* Before it is ready a plan leaves no trace. */
static void test_end_while_planning(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	end_at(w, "draft", 2);
	sync_until_end(w, PEOPLE);
	assert_int_equal(people(w), 0);
	assert_int_equal(plans_in(w, PLAN_READY, NULL) + plans_in(w, PLAN_DRAFT, NULL), 0);
	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	assert_int_equal(people(w), 6);
}

/* --- damage --- */

static void damage(struct world *w, const char *statement)
{
	sqlite3 *db;

	world_close(w);
	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, statement, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	assert_true(sqlite3_total_changes(db) > 0);
	sqlite3_close(db);
}

static const struct damage_case {
	const char *name, *statement;
} damage_cases[] = {
	{ "a batch cut",
	  "UPDATE plan_batch SET data = substr(data, 1, 20) WHERE seq = (SELECT max(seq) FROM plan_batch)" },
	{ "a batch of nonsense",
	  "UPDATE plan_batch SET data = zeroblob(90) WHERE seq = (SELECT min(seq) FROM plan_batch)" },
	{ "a batch lost", "DELETE FROM plan_batch WHERE seq = (SELECT max(seq) FROM plan_batch)" },
	{ "what it holds", "UPDATE plan SET holds = x'ffff' WHERE state = 2" },
};

static void clear_only_alarm(struct world *w, const char *kind)
{
	AUTO(store) struct store *store = world_read(w);
	struct alarm_row *rows;
	size_t count, i = 0;

	ok(w, store_alarm_list(store, true, w->arena, &rows, &count, &w->err));
	while (i < count && strcmp(rows[i].kind, kind) != 0)
		i++;
	assert_true(i < count);
	ok(w, change_alarm_clear(w->changer, &test_person, rows[i].id, &w->err));
}

/* Starts all the same, says so, loses nobody, and a person drops it. */
static void test_damaged_plan(void **state)
{
	const char *wanted = whole(RULES WIDE SOURCES, PEOPLE), *id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damage_cases); i++) {
		void *inner = NULL;
		struct world *w;

		print_message("%s\n", damage_cases[i].name);
		set_up(&inner);
		w = inner;
		world_open(w, RULES WIDE SOURCES);
		end_at(w, "batch-done", 2);
		sync_until_end(w, PEOPLE);
		damage(w, damage_cases[i].statement);
		world_open(w, RULES WIDE SOURCES);
		assert_int_equal(plans_in(w, PLAN_READY, NULL), 0);
		assert_int_equal(plans_in(w, PLAN_DAMAGED, &id), 1);
		assert_int_equal(world_alarms(w, "plan-damaged"), 1);
		assert_true(people(w) < 6);
		refused(w, plan_apply(w->changer, &test_person, id, NULL, NULL, &w->err),
			"plan-damaged");
		/* And again: it is not tried a second time. */
		world_open(w, RULES WIDE SOURCES);
		world_sync(w, "corp", PEOPLE, 0, NULL);
		assert_string_equal(world_dump(w), wanted);
		clear_only_alarm(w, "plan-damaged");
		assert_int_equal(plans_in(w, PLAN_DAMAGED, NULL), 0);
		world_check_audit(w);
		tear_down(&inner);
	}
	free((char *)(uintptr_t)wanted);
}

/* The same for changes of people who were known and whose records stay as they are. */
static void test_damaged_changes(void **state)
{
	struct world *w = *state;
	const char *after;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	after = whole(RULES WIDE SOURCES, "k1 anna @admins\nk2 ben @managers\nk3 cleo title=lead\n"
					  "k4 dora\nk5 emil @managers\nk6 fay title=ops\n");
	end_at(w, "batch-done", 1);
	change_test_hook = end_in_time;
	change_batch_people = 1;
	sync_until_end(w, "k1 anna @admins\nk2 ben @managers\nk3 cleo title=lead\n"
			  "k4 dora\nk5 emil @managers\nk6 fay title=ops\n");
	damage(w, damage_cases[1].statement);
	world_open(w, RULES WIDE SOURCES);
	assert_int_equal(world_alarms(w, "plan-damaged"), 1);
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben @managers\nk3 cleo title=lead\n"
		   "k4 dora\nk5 emil @managers\nk6 fay title=ops\n",
		   0, NULL);
	assert_string_equal(world_dump(w), after);
	free((char *)(uintptr_t)after);
}

/* Changed rules: the reload is due again. */
static void test_damaged_reload(void **state)
{
	struct world *w = *state;
	struct setup *setup;
	bool due;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	end_at(w, "batch-done", 1);
	setup = world_setup(
		w, RULES "  - {id: all, when: '(uid=*)', grant: {roles: [night]}}\n" WIDE SOURCES);
	refused(w, changer_reload(w->changer, setup, &test_person, NULL, &w->err), "cancelled");
	setup_release(setup);
	damage(w, damage_cases[0].statement);
	world_open(w,
		   RULES "  - {id: all, when: '(uid=*)', grant: {roles: [night]}}\n" WIDE SOURCES);
	ok(w, changer_reload_due(w->changer, &due, &w->err));
	assert_true(due);
	world_reload(w,
		     RULES "  - {id: all, when: '(uid=*)', grant: {roles: [night]}}\n" WIDE SOURCES,
		     NULL);
	assert_string_equal(world_user(w, "fay"), "staff active night:rule ops:rule");
	assert_string_equal(world_user(w, "dora"), "staff active night:rule sales:rule");
	ok(w, changer_reload_due(w->changer, &due, &w->err));
	assert_false(due);
}

/* What waits for a person, for a source or by a reload: every run reads it, so that none could go on. */
static void check_damaged_held(struct world *w, bool reloaded)
{
	const char *id;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	if (reloaded)
		world_reload(w, RULES POLICY SOURCES, NULL);
	id = world_held(w);
	damage(w, "UPDATE plan_batch SET data = zeroblob(90)");
	world_open(w, RULES POLICY SOURCES);
	assert_int_equal(plans_in(w, PLAN_HELD, NULL), 0);
	assert_int_equal(world_alarms(w, "plan-damaged"), 1);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	/* Everybody is looked at anew: the same waits again. */
	assert_string_equal(world_held(w), id);
	assert_string_equal(world_user(w, "anna"), "staff active");
	ok(w, plan_apply(w->changer, &test_person, id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "anna"), "administrator active");
}

static void test_damaged_held(void **state)
{
	check_damaged_held(*state, false);
}

static void test_damaged_held_by_reload(void **state)
{
	check_damaged_held(*state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_end_while_applying),	     TEST(test_end_while_planning),
		cmocka_unit_test(test_damaged_plan), TEST(test_damaged_changes),
		TEST(test_damaged_reload),	     TEST(test_damaged_held),
		TEST(test_damaged_held_by_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
