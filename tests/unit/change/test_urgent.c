/*
 * Disable means now: while the plan of another source is being applied, whoever a run of changes has lost is
 * out at once, and all else of the run comes when that plan is done.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATER INT64_C(4102444800)
#define PEOPLE \
	"k1 anna @admins\n" \
	"k2 ben @managers @sales\n" \
	"k3 cleo title=ops_lead\n" \
	"k4 dora @sales\n" \
	"k5 eve @admins\n"
#define STRANGERS "h1 h1\nh2 h2\nh3 h3\n"
#define APART \
	"sources: [{name: corp, type: ldif}, {name: hr, type: ldif}, {name: old, type: ldif}]\n"

extern size_t change_batch_people;

/* What is done while the other plan is under way. */
struct during {
	struct world *w;
	void (*act)(struct during *during);
	struct sync *sync;
	const char *lines;
	unsigned calls;
};

static void applying(void *context, uint64_t done, uint64_t total)
{
	struct during *during = context;

	(void)done;
	(void)total;
	if (during->calls++ > 0)
		return;
	change_batch_people = 500;
	during->act(during);
}

/* The plan of hr, in several batches; act is called when bulk is held and before the first of them. */
static void apply_other(struct world *w, struct during *during)
{
	struct sync *sync = world_begin(w, "hr", false);
	struct run_report report;

	change_batch_people = 1;
	during->w = w;
	run_report_init(&report);
	report.progress = applying;
	report.progress_context = during;
	ok(w, world_feed(w, sync, "hr", STRANGERS));
	world_groups(w, sync, "hr", NULL);
	ok(w, sync_finish(sync, true, "", "", &report, &w->err));
	assert_int_equal(report.created, 3);
	run_report_finish(&report);
	assert_true(during->calls > 1);
	change_batch_people = 500;
}

static void begin_and_ask(struct during *during)
{
	struct world *w = during->w;
	bool is_free = true;

	during->sync = world_begin_changes(w, "corp");
	ok(w, world_feed(w, during->sync, "corp", during->lines));
	ok(w, sync_is_free(during->sync, &is_free, &w->err));
	assert_false(is_free);
}

static void finish(struct during *during, struct run_report *ret_report)
{
	struct world *w = during->w;
	bool is_free = false;

	ok(w, sync_is_free(during->sync, &is_free, &w->err));
	assert_true(is_free);
	run_report_init(ret_report);
	ok(w, sync_finish(during->sync, true, "", "", ret_report, &w->err));
	world_check_audit(w);
}

static void nothing_left(struct world *w, const char *lines)
{
	struct run_report report;

	world_sync(w, "corp", lines, 0, &report);
	assert_int_equal(report.created + report.updated + report.disabled + report.enabled, 0);
	run_report_finish(&report);
}

/* --- disabled, gone, and all else --- */

static void all_kinds(struct during *during)
{
	struct world *w = during->w;
	bool is_free;

	begin_and_ask(during);
	/* Disabled, with other groups and another title: only the one is done. */
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) sales:rule");
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active ops:rule lead:rule");
	assert_string_equal(world_user(w, "finn"), "");
	/* The run goes on: who comes later is out as well. */
	ok(w, world_feed(w, during->sync, "corp", "k3 cleo ! title=lead\n"));
	ok(w, sync_is_free(during->sync, &is_free, &w->err));
	assert_false(is_free);
	assert_string_equal(world_user(w, "cleo"), "staff disabled(source) ops:rule lead:rule");
	/* Nobody undoes it meanwhile. */
	assert_int_equal(
		change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "night", 0, &w->err),
		0);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) night:hand sales:rule");
}

static void test_all_kinds(void **state)
{
	struct world *w = *state;
	struct during during = { .act = all_kinds,
				 .lines = "k2 ben ! title=ops @managers\n"
					  "k6 finn @sales\n"
					  "k3 cleo title=lead\n"
					  "-k4\n" };
	struct run_report report;

	world_open(w, RULES WIDE APART);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	apply_other(w, &during);
	finish(&during, &report);
	assert_int_equal(report.disabled, 3);
	assert_int_equal(report.created, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) night:hand ops:rule");
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff disabled(source) lead:rule");
	assert_string_equal(world_user(w, "finn"), "staff active sales:rule");
	assert_string_equal(world_user(w, "h3"), "staff active");
	world_changes(w, "corp", "k4 dora @sales\n", NULL);
	nothing_left(w, "k1 anna @admins\nk2 ben ! title=ops @managers\nk3 cleo ! title=lead\n"
			"k4 dora @sales\nk5 eve @admins\nk6 finn @sales\n");
}

/* The process, or the run, ends before the rest: a full read finds what is left to do. */
static void test_rest_is_lost(void **state)
{
	struct world *w = *state;
	struct during during = { .act = begin_and_ask,
				 .lines = "k2 ben ! title=ops @managers\n-k4\n" };

	world_open(w, RULES WIDE APART);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	apply_other(w, &during);
	sync_abort(during.sync);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) sales:rule");
	/* What may be given by the record as it is now is given; what it takes is for the read. */
	world_reload(w, RULES WIDE APART, NULL);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) ops:rule sales:rule");
	world_open(w, RULES WIDE APART);
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben ! title=ops @managers\nk3 cleo title=ops_lead\n"
		   "k4 dora @sales\nk5 eve @admins\n",
		   0, NULL);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) ops:rule");
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	world_check_audit(w);
}

/* --- limits and administrators --- */

static void over_the_limit(struct during *during)
{
	begin_and_ask(during);
	assert_string_equal(world_user(during->w, "u0"), "staff active");
	assert_string_equal(world_user(during->w, "u3"), "staff active");
}

/* Four of sixty are too many: they wait, as from any run; three are not. */
static void test_limits(void **state)
{
	struct world *w = *state;
	struct during during = { .act = over_the_limit, .lines = "k0 u0 !\nk1 u1 !\n-k2\n-k3\n" };
	struct during within = { .act = begin_and_ask, .lines = "k0 u0 !\nk1 u1 !\n-k2\n" };
	AUTO(strbuf) struct strbuf all = STRBUF(1 << 16);
	struct run_report report;

	for (int i = 0; i < 60; i++)
		strbuf_printf(&all, "k%d u%d\n", i, i);
	world_open(w, RULES POLICY APART);
	world_sync(w, "corp", strbuf_text(&all), 0, NULL);
	apply_other(w, &during);
	finish(&during, &report);
	assert_int_equal(report.held, 4);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "u0"), "staff active");
	/* Back, and three of them again: counted once, and the next one is one too many. */
	world_changes(w, "corp", "k0 u0\nk1 u1\nk2 u2\nk3 u3\n", NULL);
	world_sync(w, "hr", "", 0, NULL);
	world_close(w);
	world_open(w, RULES POLICY APART);
	within.w = w;
	within.act = begin_and_ask;
	{
		struct sync *sync = world_begin(w, "old", false);

		change_batch_people = 1;
		run_report_init(&report);
		report.progress = applying;
		report.progress_context = &within;
		ok(w, world_feed(w, sync, "old", "o1 o1\no2 o2\n"));
		world_groups(w, sync, "old", NULL);
		ok(w, sync_finish(sync, true, "", "", &report, &w->err));
		run_report_finish(&report);
		change_batch_people = 500;
	}
	assert_string_equal(world_user(w, "u0"), "staff disabled(source)");
	assert_string_equal(world_user(w, "u2"), "staff disabled(gone)");
	finish(&within, &report);
	assert_int_equal(report.disabled, 3);
	assert_int_equal(report.held, 0);
	run_report_finish(&report);
	world_changes(w, "corp", "k4 u4 !\n", &report);
	assert_int_equal(report.held, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "u4"), "staff active");
	world_check_audit(w);
}

static void the_last_one(struct during *during)
{
	begin_and_ask(during);
	/* On record, but out. */
	assert_string_equal(world_user(during->w, "anna"),
			    "administrator disabled(sign-in-suspended)");
}

static void test_last_administrator(void **state)
{
	struct world *w = *state;
	struct during during = { .act = the_last_one, .lines = "k1 anna ! @admins\n" };
	struct run_report report;

	world_open(w, RULES WIDE APART);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\n", 0, NULL);
	apply_other(w, &during);
	finish(&during, &report);
	run_report_finish(&report);
	assert_int_equal(world_alarms(w, "last-administrator"), 1);
	world_check_sane(w, true);
}

/* --- beside a run that waits --- */

static void time_comes(struct during *during)
{
	struct world *w = during->w;

	begin_and_ask(during);
	ok(w, change_disable_due(w->changer, LATER, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
	/* There is more to do for them, later. */
	assert_int_equal(change_next_due(w->changer), LATER);
	ok(w, change_disable_due(w->changer, LATER, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
}

static void test_expires(void **state)
{
	struct world *w = *state;
	struct during during = { .act = time_comes, .lines = "k3 cleo title=ops\n" };
	struct run_report report;

	world_open(w, RULES WIDE APART);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben ^4102444800\nk3 cleo\n", 0, NULL);
	apply_other(w, &during);
	ok(w, change_disable_due(w->changer, LATER, &w->err));
	assert_int_equal(change_next_due(w->changer), 0);
	assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
	finish(&during, &report);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "cleo"), "staff active ops:rule");
}

/* What only a full read can answer is refused here as well. */
static void gone_canary(struct during *during)
{
	struct world *w = during->w;
	bool is_free;

	during->sync = world_begin_changes(w, "corp");
	ok(w, world_feed(w, during->sync, "corp", during->lines));
	refused(w, sync_is_free(during->sync, &is_free, &w->err), "canary-gone");
	sync_abort(during->sync);
}

static void test_canary(void **state)
{
	struct world *w = *state;
	struct during during = { .act = gone_canary, .lines = "-k2\n-k4\n" };

	world_open(w, RULES WIDE "sources: [{name: corp, type: ldif, canaries: [k4]}, "
				 "{name: hr, type: ldif}]\n");
	world_sync(w, "corp", PEOPLE, 0, NULL);
	apply_other(w, &during);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	assert_string_equal(world_user(w, "ben"), "manager active sales:rule");
}

/* A dry run only looks: changes go on beside it, and it sees what they did or what was before. */
static void test_dry_run_beside(void **state)
{
	struct world *w = *state;
	struct run_report report;
	struct sync *dry;

	world_open(w, RULES WIDE APART);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	dry = world_begin(w, "corp", true);
	ok(w, world_feed(w, dry, "corp", "k1 anna @admins\nk2 ben @managers @sales\n"));
	refused(w, sync_begin(w->changer, NULL, "corp", &test_sync, true, &w->err) ? 0 : -1,
		"sync-running");
	world_changes(w, "corp", "k2 ben ! @managers @sales\n-k4\n", NULL);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) sales:rule");
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben ! @managers @sales\nk4 dora @sales\n"
		   "k3 cleo title=ops_lead\nk5 eve @admins\n",
		   0, NULL);
	run_report_init(&report);
	ok(w, sync_finish(dry, true, "", "", &report, &w->err));
	assert_true(report.dry_run);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "ben"), "manager disabled(source) sales:rule");
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	/* It left nothing behind that the next read would believe. */
	nothing_left(w, "k1 anna @admins\nk2 ben ! @managers @sales\nk3 cleo title=ops_lead\n"
			"k4 dora @sales\nk5 eve @admins\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_kinds),	       TEST(test_rest_is_lost), TEST(test_limits),
		TEST(test_last_administrator), TEST(test_expires),	TEST(test_canary),
		TEST(test_dry_run_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
