/* Syncs, held plans, hand changes, reloads: through a real store, real rules, real identities. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEOPLE \
	"k1 anna @admins\n" \
	"k2 ben @managers @sales\n" \
	"k3 cleo title=ops_lead\n" \
	"k4 dora @sales\n"

static void test_first_sync(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", PEOPLE, 0, &report);
	assert_int_equal(report.created, 4);
	assert_int_equal(report.held, 1);
	assert_string_not_equal(report.plan_id, "");
	run_report_finish(&report);
	/* The administrator of a first sync waits; she works with the default profile meanwhile. */
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_string_equal(world_user(w, "ben"), "manager active sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active ops:rule lead:rule");
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	assert_int_equal(world_alarms(w, "plan-held"), 1);
	world_check_audit(w);
	world_check_sane(w, false);
}

static void test_second_sync_is_empty(void **state)
{
	struct world *w = *state;
	struct run_report first, second;
	const char *before;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", PEOPLE, 0, &first);
	before = world_dump(w);
	for (int i = 0; i < 3; i++) {
		world_sync(w, "corp", PEOPLE, 0, &second);
		assert_int_equal(second.created + second.updated + second.disabled +
					 second.granted + second.revoked,
				 0);
		assert_int_equal(second.unchanged, 3);
		assert_int_equal(second.changes_total, 1);
		/* What waits keeps its id. */
		assert_string_equal(second.plan_id, first.plan_id);
		run_report_finish(&second);
		assert_string_equal(world_dump(w), before);
		if (i == 1)
			world_open(w, RULES POLICY SOURCES);
	}
	run_report_finish(&first);
}

static void test_order_does_not_matter(void **state)
{
	struct world *w = *state;
	static const char *const orders[] = {
		PEOPLE,
		"k4 dora @sales\nk3 cleo title=ops_lead\nk2 ben @managers @sales\nk1 anna @admins\n",
		"k2 ben @managers @sales\nk4 dora @sales\nk1 anna @admins\nk3 cleo title=ops_lead\n",
	};
	char *id = NULL, *dump = NULL;

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		struct run_report report;
		void *other = NULL;
		struct world *fresh;

		world_set_up(&other);
		fresh = other;
		world_open(fresh, RULES POLICY SOURCES);
		world_sync(fresh, "corp", orders[i], 0, &report);
		if (i == 0) {
			id = strdup(report.plan_id);
			dump = strdup(world_dump(fresh));
		}
		assert_string_equal(report.plan_id, id);
		assert_string_equal(world_dump(fresh), dump);
		run_report_finish(&report);
		world_tear_down(&other);
	}
	free(id);
	free(dump);
	(void)w;
}

static void test_apply_held(void **state)
{
	struct world *w = *state;
	struct run_report report, applied;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", PEOPLE, 0, &report);
	run_report_init(&applied);
	refused(w,
		plan_apply(w->changer, &test_person, "0123456789abcdef", NULL, &applied, &w->err),
		"not-found");
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, &applied, &w->err));
	assert_string_equal(world_user(w, "anna"), "administrator active");
	assert_int_equal(world_alarms(w, "plan-held"), 0);
	refused(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, &applied, &w->err),
		"plan-applied");
	run_report_finish(&applied);
	run_report_finish(&report);
	world_sync(w, "corp", PEOPLE, 0, &report);
	assert_int_equal(report.held, 0);
	assert_string_equal(report.plan_id, "");
	run_report_finish(&report);
	world_check_audit(w);
}

static void test_apply_one_of_held(void **state)
{
	struct world *w = *state;
	struct run_report report, applied;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @admins\nk3 cleo\n", 0, &report);
	assert_int_equal(report.held, 2);
	run_report_init(&applied);
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, "anna", &applied, &w->err));
	assert_string_equal(world_user(w, "anna"), "administrator active");
	assert_string_equal(world_user(w, "ben"), "staff active");
	assert_string_not_equal(applied.plan_id, report.plan_id);
	refused(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err),
		"plan-superseded");
	refused(w, plan_apply(w->changer, &test_person, applied.plan_id, "cleo", NULL, &w->err),
		"not-found");
	ok(w, plan_apply(w->changer, &test_person, applied.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "ben"), "administrator active");
	assert_int_equal(world_alarms(w, "plan-held"), 0);
	run_report_finish(&applied);
	run_report_finish(&report);
}

/* Without a default profile a newcomer who would be administrator waits outside. */
static void test_outside(void **state)
{
	struct world *w = *state;
	struct run_report report, again;

	world_open(w, RULES SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @managers\nk3 cleo\n", 0, &report);
	assert_string_equal(world_user(w, "anna"), "");
	assert_string_equal(world_user(w, "ben"), "manager active");
	assert_string_equal(world_user(w, "cleo"), "");
	assert_int_equal(report.held, 1);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @managers\nk3 cleo\n", DRY, &again);
	assert_string_equal(again.plan_id, report.plan_id);
	run_report_finish(&again);
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "anna"), "administrator active");
	run_report_finish(&report);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @managers\nk3 cleo @sales\n", 0, &again);
	assert_int_equal(again.held, 0);
	assert_int_equal(again.created, 0);
	run_report_finish(&again);
}

static void test_own_origin_only(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "night", 0, &w->err));
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "sales", 0, &w->err));
	assert_string_equal(world_user(w, "ben"),
			    "manager active night:hand sales:hand sales:rule");
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\nk3 cleo title=ops_lead\nk4 dora @sales\n",
		   0, NULL);
	assert_string_equal(world_user(w, "ben"), "staff active night:hand sales:hand");
	ok(w, change_grant_remove(w->changer, &test_person, "ben", GRANT_ROLE, "night", &w->err));
	refused(w,
		change_grant_remove(w->changer, &test_person, "ben", GRANT_ROLE, "night", &w->err),
		"not-found");
	refused(w,
		change_grant_remove(w->changer, &test_person, "dora", GRANT_ROLE, "sales", &w->err),
		"not-found");
	world_sync(w, "corp", PEOPLE, 0, NULL);
	assert_string_equal(world_user(w, "ben"), "manager active sales:hand sales:rule");
	world_check_sane(w, true);
}

static void test_hand_profile(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_PROFILE, "administrator", 0,
			       &w->err));
	assert_string_equal(world_user(w, "ben"), "administrator active sales:rule");
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @sales\nk3 cleo\nk4 dora\n", 0, NULL);
	assert_string_equal(world_user(w, "ben"), "administrator active sales:rule");
	ok(w, change_grant_remove(w->changer, &test_person, "ben", GRANT_PROFILE, "administrator",
				  &w->err));
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	refused(w,
		change_grant_add(w->changer, &test_person, "ben", GRANT_PROFILE, "king", 0,
				 &w->err),
		"not-found");
	refused(w,
		change_grant_add(w->changer, &test_person, "nobody", GRANT_PROFILE, "staff", 0,
				 &w->err),
		"not-found");
}

static void test_deny_by_rule(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @sales employeeType=external\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active night:rule");
	refused(w,
		change_grant_add(w->changer, &test_person, "anna", GRANT_ROLE, "sales", 0, &w->err),
		"not-allowed");
}

static void test_disable_reasons(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	ok(w,
	   change_user_disable(w->changer, &test_person, "dora@x.example", "left early", &w->err));
	assert_string_equal(world_user(w, "dora"), "staff disabled(hand) sales:rule");
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\nk3 cleo\nk4 dora @sales !\n", 0, NULL);
	assert_string_equal(world_user(w, "dora"),
			    "staff disabled(source) disabled(hand) sales:rule");
	ok(w, change_user_enable(w->changer, &test_person, "dora", &w->err));
	assert_string_equal(world_user(w, "dora"), "staff disabled(source) sales:rule");
	world_sync(w, "corp", PEOPLE, 0, NULL);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	world_check_audit(w);
}

static void test_missing(void **state)
{
	struct world *w = *state;
	struct run_report report;
	const char *before;

	world_open(w, RULES "policy: {default_profile: staff, missing_runs: 2, missing_grace: 0s, "
			    "limits: {first_sync_administrators: true}}\n" SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	before = world_user(w, "dora");
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @managers @sales\nk3 cleo title=ops_lead\n",
		   0, &report);
	assert_int_equal(report.missing, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "dora"), before);
	/* An incomplete read counts for nothing. */
	world_sync(w, "corp", "k1 anna @admins\n", PARTIAL, NULL);
	assert_string_equal(world_user(w, "dora"), before);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @managers @sales\nk3 cleo title=ops_lead\n",
		   0, &report);
	assert_int_equal(report.disabled, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "dora"), "staff disabled(missing) sales:rule");
	world_sync(w, "corp", PEOPLE, 0, &report);
	assert_int_equal(report.enabled, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "dora"), before);
}

static void test_incomplete_takes_nothing(void **state)
{
	struct world *w = *state;
	struct run_report report;
	const char *whole =
		"k1 anna @sales @managers title=ops\nk2 ben title=ops\nk3 cleo @sales\nk4 dora\n";

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", whole, 0, NULL);
	/* anna loses all, ben gains, cleo is cut short, dora is disabled explicitly, eve is new. */
	world_sync(w, "corp",
		   "k1 anna\nk2 ben title=ops @sales\nk3 cleo ?\nk4 dora !\nk5 eve @sales\n",
		   PARTIAL, &report);
	assert_false(report.complete);
	assert_string_equal(report.problem, "size-limit");
	assert_int_equal(report.revoked, 0);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "manager active ops:rule sales:rule");
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active sales:rule");
	assert_string_equal(world_user(w, "dora"), "staff disabled(source)");
	assert_string_equal(world_user(w, "eve"), "staff active sales:rule");
	/* The next whole read makes up for it, though nothing has changed since. */
	world_sync(w, "corp",
		   "k1 anna\nk2 ben title=ops @sales\nk3 cleo\nk4 dora !\nk5 eve @sales\n", 0,
		   NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	world_check_audit(w);
}

static void test_vanished_group(void **state)
{
	struct world *w = *state;
	struct run_report report;
	const char *without = "k1 anna\nk2 ben @sales\nk3 cleo\n";

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @managers\nk2 ben @managers @sales\nk3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "manager active");
	world_sync_lost(w, "corp", without, "cn=managers", &report);
	assert_int_equal(report.revoked, 0);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "manager active");
	assert_string_equal(world_user(w, "ben"), "manager active sales:rule");
	assert_int_equal(world_alarms(w, "group-vanished"), 1);
	world_open(w, RULES WIDE SOURCES);
	world_sync_lost(w, "corp", without, "cn=managers", NULL);
	assert_string_equal(world_user(w, "anna"), "manager active");
	refused(w, change_rule_release(w->changer, &test_person, "sales", NULL, &w->err),
		"conflict");
	ok(w, change_rule_release(w->changer, &test_person, "managers", NULL, &w->err));
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	assert_int_equal(world_alarms(w, "group-vanished"), 0);
}

static void test_group_comes_back(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @managers\nk2 ben\n", 0, NULL);
	world_sync_lost(w, "corp", "k1 anna\nk2 ben\n", "cn=managers", NULL);
	assert_string_equal(world_user(w, "anna"), "manager active");
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_int_equal(world_alarms(w, "group-vanished"), 0);
}

/* n people "kI uI" with what follows; those of [from, to) get `other` instead. */
static char *crowd(int n, const char *common, int from, int to, const char *other)
{
	char *text = malloc((size_t)n * 64 + 1), *at = text;

	*at = '\0';
	for (int i = 0; i < n; i++)
		at += snprintf(at, 64, "k%d u%d %s\n", i, i, i >= from && i < to ? other : common);
	return text;
}

static void test_removals_held(void **state)
{
	struct world *w = *state;
	char *all = crowd(100, "@sales", 0, 0, ""), *less = crowd(100, "@sales", 0, 29, "title=x");
	struct run_report report, again;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	/* 29 of 100 are over 5 % and 10, and all of them wait; the titles do not. */
	assert_int_equal(report.held, 29);
	assert_int_equal(report.revoked, 0);
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	world_sync(w, "corp", less, 0, &again);
	assert_string_equal(again.plan_id, report.plan_id);
	run_report_finish(&again);
	/* One comes back: what waits is another plan. */
	free(less);
	less = crowd(100, "@sales", 1, 29, "title=x");
	world_sync(w, "corp", less, 0, &again);
	assert_int_equal(again.held, 28);
	assert_string_not_equal(again.plan_id, report.plan_id);
	refused(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err),
		"plan-superseded");
	ok(w, plan_apply(w->changer, &test_person, again.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	assert_string_equal(world_user(w, "u1"), "staff active");
	run_report_finish(&again);
	run_report_finish(&report);
	free(all);
	free(less);
}

/* The same in slices under the limit: the window adds them up. */
static void test_window(void **state)
{
	struct world *w = *state;
	char *all = crowd(100, "@sales", 0, 0, ""), *less;
	struct run_report report;

	w->members = 100;
	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	free(all);
	less = crowd(100, "@sales", 0, 8, "");
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 0);
	assert_int_equal(report.revoked, 8);
	run_report_finish(&report);
	free(less);
	less = crowd(100, "@sales", 0, 11, "");
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 3);
	assert_int_equal(report.revoked, 0);
	run_report_finish(&report);
	free(less);
}

static void test_group_loss_held(void **state)
{
	struct world *w = *state;
	char *all = crowd(20, "@managers", 0, 0, ""), *less = crowd(20, "@managers", 0, 7, "");
	struct run_report report, again;

	/* Limits of removals are wide: the group's own one holds. */
	world_open(w, RULES
		   "policy: {default_profile: staff, limits: {removals_min: 1000}}\n" SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 7);
	assert_string_equal(world_user(w, "u0"), "manager active");
	for (int i = 0; i < 2; i++) {
		world_sync(w, "corp", less, 0, &again);
		assert_string_equal(again.plan_id, report.plan_id);
		run_report_finish(&again);
	}
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	run_report_finish(&report);
	free(all);
	free(less);
}

static void test_many_gone_held(void **state)
{
	struct world *w = *state;
	char *all = crowd(50, "@sales", 0, 0, ""), *less = crowd(20, "@sales", 0, 0, "");
	struct run_report report, again;
	struct user_counts counts;
	struct store *store;

	world_open(
		w, RULES
		"policy: {default_profile: staff, missing_runs: 1, missing_grace: 0s}\n" SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 30);
	assert_int_equal(report.disabled, 0);
	world_sync(w, "corp", less, 0, &again);
	assert_string_equal(again.plan_id, report.plan_id);
	run_report_finish(&again);
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	store = world_read(w);
	ok(w, store_user_counts(store, NULL, &counts, &w->err));
	store_close(store);
	assert_int_equal(counts.active, 20);
	run_report_finish(&report);
	world_check_audit(w);
	free(all);
	free(less);
}

/* What waits does not slip through by another road. */
static void test_held_stays_held(void **state)
{
	struct world *w = *state;
	char *all = crowd(40, "@sales", 0, 0, ""), *less = crowd(40, "@sales", 0, 20, "");
	struct run_report report;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 20);
	run_report_finish(&report);
	ok(w, change_grant_add(w->changer, &test_person, "u0", GRANT_PERSONA, "lead", 0, &w->err));
	ok(w, change_user_disable(w->changer, &test_person, "u1", "", &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule lead:hand");
	assert_string_equal(world_user(w, "u1"), "staff disabled(hand) sales:rule");
	world_sync(w, "hr", "h0 u0 title=ops\n", 0, NULL);
	assert_string_equal(world_user(w, "u0"), "staff active ops:rule sales:rule lead:hand");
	free(all);
	free(less);
}

/* Once over a limit, held until a person applies it: not until fewer are left or limits are wider. */
static void test_held_is_sticky(void **state)
{
	struct world *w = *state;
	char *all = crowd(40, "@sales", 0, 0, ""), *less = crowd(40, "@sales", 0, 12, "");
	char *some = crowd(40, "@sales", 0, 4, "");
	struct run_report report, again;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 12);
	run_report_finish(&report);
	for (int i = 0; i < 3; i++) {
		world_sync(w, "corp", some, 0, &report);
		assert_int_equal(report.held, 4);
		assert_int_equal(report.revoked, 0);
		if (i < 2)
			run_report_finish(&report);
		world_open(w, i == 0 ? RULES POLICY SOURCES : RULES WIDE SOURCES);
	}
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	world_reload(w, RULES WIDE SOURCES, &again);
	assert_int_equal(again.held, 4);
	run_report_finish(&again);
	world_sync(w, "corp", some, 0, NULL);
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	assert_int_equal(world_alarms(w, "plan-held"), 1);
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, "u0", &again, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	run_report_finish(&again);
	world_sync(w, "corp", some, 0, NULL);
	assert_string_equal(world_user(w, "u1"), "staff active sales:rule");
	/* When nobody of them is left the limits judge anew. */
	world_sync(w, "corp", all, 0, NULL);
	world_reload(w, RULES WIDE SOURCES, &again);
	assert_int_equal(again.held, 0);
	run_report_finish(&again);
	world_sync(w, "corp", some, 0, &again);
	assert_int_equal(again.held, 0);
	run_report_finish(&again);
	assert_string_equal(world_user(w, "u1"), "staff active");
	run_report_finish(&report);
	free(all);
	free(less);
	free(some);
}

/* They alone: who comes to it within the limit does not wait with them, also after a restart. */
static void test_held_is_theirs(void **state)
{
	struct world *w = *state;
	char *all = crowd(40, "@sales", 0, 0, ""), *less = crowd(40, "@sales", 0, 12, "");
	struct run_report report;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, NULL);
	free(less);
	less = crowd(40, "@sales", 9, 14, "");
	for (int run = 0; run < 2; run++) {
		world_sync(w, "corp", less, 0, &report);
		assert_int_equal(report.held, 3);
		assert_int_equal(report.revoked, run == 0 ? 2 : 0);
		assert_string_equal(world_user(w, "u9"), "staff active sales:rule");
		assert_string_equal(world_user(w, "u12"), "staff active");
		run_report_finish(&report);
		world_open(w, RULES POLICY SOURCES);
	}
	/* The reload's plan holds those, and those alone. */
	world_reload(w, RULES POLICY SOURCES, &report);
	assert_int_equal(report.held, 3);
	run_report_finish(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u9"), "staff active");
	free(all);
	free(less);
}

/* Administrators of a first sync are let in by a person, and not by a reload of the same rules. */
static void test_first_administrators_and_reload(void **state)
{
	static const char *const policies[] = { RULES POLICY SOURCES, RULES SOURCES };
	static const char *const outcomes[] = { "staff active", "" };
	struct world *w;

	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		struct run_report report;

		world_tear_down(state);
		world_set_up(state);
		w = *state;
		world_open(w, policies[i]);
		world_sync(w, "corp", PEOPLE, 0, NULL);
		assert_string_equal(world_user(w, "anna"), outcomes[i]);
		for (int run = 0; run < 3; run++) {
			world_reload(w, policies[i], NULL);
			assert_string_equal(world_user(w, "anna"), outcomes[i]);
			world_sync(w, "corp", PEOPLE, 0, NULL);
			assert_string_equal(world_user(w, "anna"), outcomes[i]);
			if (run == 1)
				world_open(w, policies[i]);
		}
		/* Back in the plan of the source, or of the rules. */
		world_reload(w, policies[i], NULL);
		world_sync(w, "corp", PEOPLE, 0, &report);
		assert_int_equal(world_alarms(w, "plan-held"), 1);
		run_report_finish(&report);
		ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, NULL, &w->err));
		assert_string_equal(world_user(w, "anna"), "administrator active");
		world_sync(w, "corp", PEOPLE "k9 zoe @admins\n", 0, &report);
		assert_int_equal(report.held, 0);
		run_report_finish(&report);
		assert_string_equal(world_user(w, "zoe"), "administrator active");
	}
}

/* A person releases one rule: what waits for somebody else's consent waits on. */
static void test_release_leaves_held(void **state)
{
	struct world *w = *state;
	char *all = crowd(40, "@sales @managers", 0, 0, ""), *less;
	struct run_report report;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	less = crowd(40, "@sales @managers", 0, 20, "@managers");
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 20);
	run_report_finish(&report);
	free(less);
	less = crowd(40, "@sales", 0, 20, "");
	world_sync_lost(w, "corp", less, "cn=managers", &report);
	assert_int_equal(report.held, 20);
	assert_string_equal(world_user(w, "u0"), "manager active sales:rule");
	run_report_finish(&report);
	ok(w, change_rule_release(w->changer, &test_person, "managers", NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	world_check_audit(w);
	free(all);
	free(less);
}

/* What expires goes in time; the profile that comes after it is not one that waits for consent. */
static void test_expiry_leaves_held(void **state)
{
	struct world *w = *state;

	world_open(w, RULES POLICY SOURCES);
	ok(w,
	   change_user_create(w->changer, &test_person,
			      &(struct new_user){ .username = "root", .profile = "administrator" },
			      NULL, &w->err));
	world_sync(w, "corp", "k1 anna @admins\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	ok(w, change_grant_add(w->changer, &test_person, "anna", GRANT_PROFILE, "manager",
			       4102444800, &w->err));
	assert_string_equal(world_user(w, "anna"), "manager active");
	ok(w, change_expire(w->changer, 4102444800, &w->err));
	assert_string_equal(world_user(w, "anna"), "staff active");
	world_sync(w, "corp", "k1 anna @admins\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "anna"), "administrator active");
}

#define ONLY_HR "sources: [{name: hr, type: ldif}]\n"

/* A source that is not configured any more, or renamed, enables nobody whom it disabled. */
static void test_source_removed(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(
		w, "corp",
		"k0 root @admins\nk1 anna @sales\nk2 ben !\nk3 cleo\nk4 dora !\nk5 eve @admins\n",
		0, NULL);
	world_sync(w, "hr", "h2 ben\n", 0, NULL);
	world_sync(w, "corp", "k0 root @admins\nk1 anna @sales\nk2 ben !\nk4 dora !\nk5 eve !\n", 0,
		   NULL);
	assert_string_equal(world_user(w, "cleo"), "staff disabled(missing)");
	ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
	for (int run = 0; run < 2; run++) {
		world_reload(w, RULES WIDE ONLY_HR, NULL);
		assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
		assert_string_equal(world_user(w, "cleo"), "staff disabled(missing)");
		assert_string_equal(world_user(w, "dora"), "staff disabled(source)");
		assert_string_equal(world_user(w, "root"), "administrator active");
		world_sync(w, "hr", "h2 ben title=ops\n", 0, NULL);
		assert_string_equal(world_user(w, "ben"), "staff disabled(source) ops:rule");
		world_sync(w, "hr", "h2 ben\n", 0, NULL);
	}
	/* It is there again, and says otherwise. */
	world_reload(w, RULES WIDE SOURCES, NULL);
	world_sync(w, "corp", "k0 root @admins\nk1 anna @sales\nk2 ben\nk3 cleo\nk4 dora\n", 0,
		   NULL);
	assert_string_equal(world_user(w, "ben"), "staff active");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	assert_string_equal(world_user(w, "dora"), "staff active");
	world_check_audit(w);
}

/* A source cannot rename somebody out of protection. */
static void test_protected_is_not_renamed(void **state)
{
	struct world *w = *state;

	world_open(w, RULES
		   "policy: {default_profile: staff, protected_users: [anna], missing_runs: 1, "
		   "missing_grace: 0s, limits: {disables_min: 100, removals_min: 100}}\n" SOURCES);
	world_sync(w, "corp", "k1 anna @managers\n", 0, NULL);
	world_sync(w, "corp", "k1 other @managers title=ops\n", 0, NULL);
	world_sync(w, "corp", "k1 other !\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "manager active ops:rule");
}

static void test_links(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @managers\nk2 ben\n", 0, NULL);
	world_sync(w, "hr", "h1 anna title=ops\nh2 zoe title=ops\nh3 anna title=lead\n", 0,
		   &report);
	assert_int_equal(report.created, 1);
	assert_int_equal(report.quarantined, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "manager active ops:rule");
	assert_string_equal(world_user(w, "zoe"), "staff active ops:rule");
	/* Gone from one source, still in the other: only what that one gave goes. */
	world_sync(w, "hr", "h2 zoe title=ops\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "manager active");
	world_sync(w, "corp", "k2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "manager disabled(missing) ops:rule");
}

static size_t listed(const struct run_report *report, const char *username)
{
	size_t count = 0;

	for (size_t i = 0; i < report->change_count; i++)
		count += strcmp(report->changes[i].username, username) == 0;
	return count;
}

static void test_name_conflicts(void **state)
{
	struct world *w = *state;
	struct run_report report;
	static const char *const orders[] = {
		"k1 anna\nk2 ben mail=same@x.example\nk3 cleo mail=same@x.example\n",
		"k3 cleo mail=same@x.example\nk2 ben mail=same@x.example\nk1 anna\n",
	};

	world_open(w, RULES WIDE SOURCES);
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		world_sync(w, "corp", orders[i], 0, &report);
		assert_int_equal(report.quarantined, 2);
		assert_int_equal(listed(&report, "anna"), i == 0 ? 2 : 0);
		assert_int_equal(listed(&report, "ben") + listed(&report, "cleo"), 0);
		run_report_finish(&report);
		assert_string_equal(world_user(w, "anna"), "staff active");
		assert_string_equal(world_user(w, "ben"), "");
		assert_string_equal(world_user(w, "cleo"), "");
	}
	/* An established name stays; a known user keeps the old one. */
	world_sync(w, "corp", "k1 anna\nk2 ben mail=anna@x.example\nk3 cleo\n", 0, &report);
	assert_int_equal(report.quarantined, 1);
	assert_int_equal(report.created, 1);
	assert_int_equal(listed(&report, "ben"), 0);
	assert_int_equal(listed(&report, "cleo"), 2);
	run_report_finish(&report);
	world_sync(w, "corp", "k1 anna\nk3 cleo mail=anna@x.example title=ops\n", 0, &report);
	assert_int_equal(report.quarantined, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "cleo"), "staff active ops:rule");
	/* And gets the new one as soon as it is free, though nothing else changes. */
	world_sync(w, "corp",
		   "k1 anna mail=free@x.example\nk3 cleo mail=anna@x.example title=ops\n", 0, NULL);
	world_sync(w, "corp",
		   "k1 anna mail=free@x.example\nk3 cleo mail=anna@x.example title=ops\n", 0, NULL);
	assert_non_null(strstr(world_dump(w), "cleo <anna@x.example>"));
}

static void test_bad_entries(void **state)
{
	struct world *w = *state;
	struct sync *sync;
	struct run_report report;
	static const char garbage[] = { 1, 1, 2, 'k', '9', 0, 0, 1, 9 };
	struct quarantined entry = {
		.locator = "file:3", .key = "", .reason = "invalid-utf8", .detail = "not UTF-8"
	};
	struct quarantine_row *rows;
	size_t count;
	int64_t total;
	struct store *store;

	world_open(w, RULES WIDE SOURCES);
	sync = world_begin(w, "corp", false);
	ok(w, world_feed(w, sync, "corp", "k1 anna\nk1 other\nk2 -\n"));
	ok(w, sync_identity(sync, garbage, sizeof(garbage), &w->err));
	ok(w, sync_quarantine(sync, &entry, &w->err));
	world_groups(w, sync, "corp", NULL);
	run_report_init(&report);
	ok(w, sync_finish(sync, true, "", "", &report, &w->err));
	assert_int_equal(report.created, 1);
	assert_int_equal(report.quarantined, 4);
	run_report_finish(&report);
	store = world_read(w);
	ok(w, store_quarantine_list(store,
				    &(struct quarantine_query){ .source = "corp", .limit = 100 },
				    w->arena, &rows, &count, &total, &w->err));
	assert_int_equal(total, 4);
	store_close(store);
}

/* A read of `lines` and one entry that cannot be processed, by what is known of it. */
static void sync_with_bad(struct world *w, const char *lines, const struct quarantined *bad,
			  struct run_report *ret_report)
{
	struct sync *sync = world_begin(w, "corp", false);

	ok(w, world_feed(w, sync, "corp", lines));
	if (bad)
		ok(w, sync_quarantine(sync, bad, &w->err));
	world_groups(w, sync, "corp", NULL);
	run_report_init(ret_report);
	ok(w, sync_finish(sync, true, "", "", ret_report, &w->err));
}

#define BAD .locator = "f:1", .reason = "invalid-utf8", .detail = "not UTF-8"

/* Quarantine freezes, it never disables. */
static void test_quarantine_freezes(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *name;
		struct quarantined entry;
		bool other_missing; /* does somebody else still count as missing? */
	} cases[] = {
		{ "key", { BAD, .key = "k2", .dn = "" }, true },
		{ "key and name", { BAD, .key = "k2", .dn = "uid=other,dc=x" }, true },
		{ "name", { BAD, .key = "", .dn = "UID=K2 , DC=X" }, true },
		{ "neither", { BAD, .key = "", .dn = "" }, false },
		{ "a name that is none", { BAD, .key = "", .dn = "=,," }, false },
	};
	struct run_report report;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		world_tear_down(state);
		world_set_up(state);
		w = *state;
		world_open(w, RULES WIDE SOURCES);
		world_sync(w, "corp", "k1 anna\nk2 ben @managers @sales\nk3 cleo\n", 0, NULL);
		for (int run = 0; run < 3; run++) {
			sync_with_bad(w, "k1 anna\n", &cases[i].entry, &report);
			assert_int_equal(report.quarantined, 1);
			if (strcmp(world_user(w, "ben"), "manager active sales:rule") != 0)
				fail_msg("%s: %s", cases[i].name, world_user(w, "ben"));
			assert_string_equal(world_user(w, "cleo"),
					    cases[i].other_missing ? "staff disabled(missing)"
								   : "staff active");
			assert_int_equal(world_alarms(w, "nobody-missing"),
					 !cases[i].other_missing);
			assert_int_equal(strstr(report.problem, "nobody counts as missing") != NULL,
					 !cases[i].other_missing);
			run_report_finish(&report);
			if (run == 1)
				world_open(w, RULES WIDE SOURCES);
		}
		sync_with_bad(w, "k1 anna\nk2 ben @managers\n", NULL, &report);
		assert_int_equal(report.quarantined, 0);
		assert_int_equal(world_alarms(w, "nobody-missing"), 0);
		run_report_finish(&report);
		assert_string_equal(world_user(w, "ben"), "manager active");
		sync_with_bad(w, "k1 anna\n", NULL, &report);
		run_report_finish(&report);
		assert_string_equal(world_user(w, "ben"), "manager disabled(missing)");
		assert_string_equal(world_user(w, "cleo"), "staff disabled(missing)");
	}
}

/* What waits for somebody waits on while their entry is in quarantine. */
static void test_quarantine_keeps_held(void **state)
{
	struct world *w = *state;
	char *all = crowd(40, "@sales", 0, 0, ""), *less = crowd(40, "@sales", 0, 20, "");
	char *bad = crowd(40, "@sales", 0, 20, "");
	const struct quarantined entries[] = {
		{ BAD, .key = "k0", .dn = "" },
		{ BAD, .key = "", .dn = "uid=k0,dc=x" },
		{ BAD, .key = "", .dn = "" },
	};
	struct run_report report, again;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 20);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		sync_with_bad(w, strchr(bad, '\n') + 1, &entries[i], &again);
		assert_string_equal(again.plan_id, report.plan_id);
		run_report_finish(&again);
	}
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	run_report_finish(&report);
	free(all);
	free(less);
	free(bad);
}

static void test_dry_run_writes_nothing(void **state)
{
	struct world *w = *state;
	struct run_report report, real;
	const char *before;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", PEOPLE, DRY, &report);
	assert_true(report.dry_run);
	assert_int_equal(report.created, 4);
	assert_string_equal(world_dump(w), "");
	world_sync(w, "corp", PEOPLE, 0, &real);
	assert_string_equal(real.plan_id, report.plan_id);
	assert_int_equal(real.created, report.created);
	assert_int_equal(real.granted, report.granted);
	assert_int_equal(real.changes_total, report.changes_total);
	assert_int_equal(real.change_count, report.change_count);
	for (size_t i = 0; i < real.change_count; i++) {
		assert_string_equal(real.changes[i].username, report.changes[i].username);
		assert_string_equal(real.changes[i].what, report.changes[i].what);
		assert_string_equal(real.changes[i].after, report.changes[i].after);
	}
	run_report_finish(&report);
	run_report_finish(&real);
	before = world_dump(w);
	world_sync(w, "corp", "k1 anna\n", DRY, &report);
	assert_string_equal(world_dump(w), before);
	run_report_finish(&report);
}

/* A dry run says which names somebody else has, and counts as the real run does. */
static void test_dry_run_foresees_names(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *name, *lines, *user, *kind, *before, *after, *why;
		int64_t created, quarantined;
	} cases[] = {
		{ "somebody new, e-mail taken", "k1 anna\nk2 ben\nk3 cleo mail=anna@x.example\n",
		  "cleo", "email", "", "anna@x.example", "email-taken", 0, 1 },
		{ "somebody new, username taken", "k1 anna\nk2 ben\nk3 ben mail=c@x.example\n",
		  "ben", "username", "", "ben", "username-taken", 0, 1 },
		{ "somebody known, e-mail taken", "k1 anna\nk2 ben mail=anna@x.example\n", "ben",
		  "email", "ben@x.example", "anna@x.example", "email-taken", 0, 1 },
		{ "two who are new claim one",
		  "k1 anna\nk2 ben\nk3 c mail=z@x.example\n"
		  "k4 d mail=z@x.example\n",
		  "c", "email", "", "z@x.example", "email-conflict", 0, 2 },
		{ "by the one who leaves it",
		  "k1 anna mail=new@x.example\nk2 ben mail=anna@x.example\n", "ben", "email",
		  "ben@x.example", "anna@x.example", "email-conflict", 0, 1 },
		{ "nobody", "k1 anna\nk2 ben\nk3 cleo\n", NULL, "", "", "", "", 1, 0 },
	};

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run_report report, real;
		size_t conflicts = 0;

		print_message("%s\n", cases[i].name);
		world_sync(w, "corp", cases[i].lines, DRY, &report);
		assert_int_equal(report.created, cases[i].created);
		assert_int_equal(report.quarantined, cases[i].quarantined);
		for (size_t j = 0; j < report.change_count; j++) {
			const struct report_change *change = &report.changes[j];

			if (strcmp(change->what, "conflict") != 0 || !cases[i].user ||
			    strcmp(change->username, cases[i].user) != 0)
				continue;
			conflicts++;
			assert_string_equal(change->kind, cases[i].kind);
			assert_string_equal(change->before, cases[i].before);
			assert_string_equal(change->after, cases[i].after);
			assert_string_equal(change->why, cases[i].why);
		}
		assert_int_equal(conflicts, cases[i].user ? 1 : 0);
		world_sync(w, "corp", cases[i].lines, 0, &real);
		assert_int_equal(report.created, real.created);
		assert_int_equal(report.updated, real.updated);
		assert_int_equal(report.quarantined, real.quarantined);
		run_report_finish(&report);
		run_report_finish(&real);
		world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
		world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	}
}

static void test_abort_and_running(void **state)
{
	struct world *w = *state;
	struct sync *sync;

	world_open(w, RULES POLICY SOURCES);
	sync = world_begin(w, "corp", false);
	assert_null(sync_begin(w->changer, NULL, "corp", &test_sync, false, &w->err));
	assert_string_equal(err_reason(&w->err), "sync-running");
	assert_null(sync_begin(w->changer, NULL, "nowhere", &test_sync, true, &w->err));
	ok(w, world_feed(w, sync, "corp", PEOPLE));
	sync_abort(sync);
	assert_string_equal(world_dump(w), "");
	world_sync(w, "corp", PEOPLE, 0, NULL);
	assert_string_equal(world_user(w, "ben"), "manager active sales:rule");
}

static void test_reload(void **state)
{
	struct world *w = *state;
	struct run_report report;
	char *all = crowd(40, "@sales", 0, 0, "");
	bool due;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	ok(w, changer_reload_due(w->changer, &due, &w->err));
	assert_false(due);
	/* The rule is gone: what it gave goes, under the limits. */
	world_reload(w,
		     "profiles: [{name: administrator}, {name: staff}]\n"
		     "segments: [Core]\n"
		     "roles: [{name: sales, classifications: [Sales], segments: [Core]}]\n" POLICY
			     SOURCES,
		     &report);
	assert_int_equal(report.held, 40);
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	/* A sync of a source leaves alone what waits there, also for who has changed. */
	free(all);
	all = crowd(40, "@sales", 0, 5, "title=x");
	world_sync(w, "corp", all, 0, NULL);
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	run_report_finish(&report);
	/* And back: the group has a new number, nobody is known to be in it before the next read. */
	world_reload(w, RULES POLICY SOURCES, &report);
	assert_int_equal(report.granted, 0);
	run_report_finish(&report);
	world_sync(w, "corp", all, 0, NULL);
	assert_string_equal(world_user(w, "u7"), "staff active sales:rule");
	assert_string_equal(world_user(w, "u0"), "staff active");
	world_check_audit(w);
	world_check_sane(w, false);
	free(all);
}

static void test_reload_supersedes(void **state)
{
	struct world *w = *state;
	char *all = crowd(40, "@sales", 0, 0, ""), *less = crowd(40, "@sales", 0, 20, "");
	struct run_report report, reloaded;

	world_open(w, RULES POLICY SOURCES);
	world_sync(w, "corp", all, 0, NULL);
	world_sync(w, "corp", less, 0, &report);
	assert_int_equal(report.held, 20);
	world_reload(w, RULES POLICY SOURCES, &reloaded);
	assert_int_equal(reloaded.held, 20);
	assert_string_equal(world_user(w, "u0"), "staff active sales:rule");
	/* One plan waits, now that of the rules; the same content has the same id. */
	assert_string_equal(reloaded.plan_id, report.plan_id);
	assert_int_equal(world_alarms(w, "plan-held"), 1);
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	assert_int_equal(world_alarms(w, "plan-held"), 0);
	run_report_finish(&report);
	run_report_finish(&reloaded);
	free(all);
	free(less);
}

static void test_user_create(void **state)
{
	struct world *w = *state;
	struct new_user user = { "Root", "Root@X.example", "The Root", NULL, "administrator" };
	struct uuid uuid;

	world_open(w, RULES POLICY SOURCES);
	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
	assert_string_equal(world_user(w, "root"), "administrator active");
	refused(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err),
		"username-taken");
	refused(w, change_user_disable(w->changer, &test_person, "root", "", &w->err),
		"last-administrator");
	refused(w,
		change_grant_remove(w->changer, &test_person, "root", GRANT_PROFILE,
				    "administrator", &w->err),
		"last-administrator");
	user.profile = "emperor";
	user.username = "second";
	refused(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err),
		"not-found");
	/* Without one the default, which is nobody's gift: what rules give comes before it. */
	user.profile = NULL;
	user.email = "";
	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
	assert_string_equal(world_user(w, "second"), "staff active");
	world_open(w, RULES "policy: {administrator_profile: administrator}\n" SOURCES);
	user.profile = "";
	user.username = "third";
	refused(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err),
		"profile-required");
	world_open(w, RULES POLICY SOURCES);
	user.profile = "staff";
	user.email = "root@x.example";
	refused(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err),
		"email-taken");
	user.email = "";
	user.organization = "elsewhere";
	refused(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err),
		"not-found");
	world_check_audit(w);
}

static void test_last_administrator_by_source(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @admins\nk3 cleo\n", 0, NULL);
	/* One loss applies while another remains. */
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @admins !\nk3 cleo\n", 0, &report);
	assert_int_equal(report.disabled, 1);
	run_report_finish(&report);
	assert_int_equal(world_alarms(w, "administrator-lost"), 1);
	/* The last one stays on record and cannot sign in. */
	world_sync(w, "corp", "k1 anna @admins !\nk2 ben @admins !\nk3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "administrator disabled(sign-in-suspended)");
	assert_int_equal(world_alarms(w, "last-administrator"), 1);
	world_sync(w, "corp", "k1 anna @admins !\nk2 ben @admins !\nk3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "administrator disabled(sign-in-suspended)");
	world_check_sane(w, true);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @admins !\nk3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "administrator active");
	assert_int_equal(world_alarms(w, "last-administrator"), 0);
	/* Lost by a group: held when fewer than two would remain. */
	world_sync(w, "corp", "k1 anna\nk2 ben @admins !\nk3 cleo\n", 0, &report);
	assert_int_equal(report.held, 1);
	assert_string_equal(world_user(w, "anna"), "administrator active");
	/* A person's consent does not take the last one either. */
	ok(w, plan_apply(w->changer, &test_person, report.plan_id, NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "anna"), "administrator active");
	run_report_finish(&report);
}

struct removal {
	struct world *world;
	const char *user;
	int result;
	struct err err;
};

static void *remove_administrator(void *context)
{
	struct removal *removal = context;

	removal->result = change_user_disable(removal->world->changer, &test_person, removal->user,
					      "", &removal->err);
	return NULL;
}

static void test_two_removals_at_once(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @admins\n", 0, NULL);
	for (int i = 0; i < 200; i++) {
		struct removal removals[2] = { { .world = w, .user = "anna" },
					       { .world = w, .user = "ben" } };
		pthread_t threads[2];

		for (int j = 0; j < 2; j++)
			assert_int_equal(pthread_create(&threads[j], NULL, remove_administrator,
							&removals[j]),
					 0);
		for (int j = 0; j < 2; j++)
			pthread_join(threads[j], NULL);
		assert_int_equal(removals[0].result + removals[1].result, -1);
		for (int j = 0; j < 2; j++) {
			if (removals[j].result < 0)
				assert_string_equal(err_reason(&removals[j].err),
						    "last-administrator");
			else
				ok(w, change_user_enable(w->changer, &test_person, removals[j].user,
							 &w->err));
		}
	}
	world_check_sane(w, true);
	world_check_audit(w);
}

static void test_protected(void **state)
{
	struct world *w = *state;

	world_open(w, RULES
		   "policy: {default_profile: staff, protected_users: [anna], missing_runs: 1, "
		   "missing_grace: 0s, limits: {disables_min: 100, removals_min: 100}}\n" SOURCES);
	world_sync(w, "corp", "k1 anna @managers @sales\nk2 ben @managers @sales\n", 0, NULL);
	world_sync(w, "corp", "k1 anna !\nk2 ben !\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "manager active sales:rule");
	assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
	world_sync(w, "corp", "k3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "manager active sales:rule");
}

static void test_expiry(void **state)
{
	struct world *w = *state;
	struct store *store;
	int64_t next;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @sales\nk2 ben @managers\n", 0, NULL);
	ok(w, change_grant_add(w->changer, &test_person, "anna", GRANT_ROLE, "night", 4102444800,
			       &w->err));
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_PROFILE, "administrator",
			       4102444800, &w->err));
	refused(w,
		change_grant_add(w->changer, &test_person, "anna", GRANT_ROLE, "ops", 1000,
				 &w->err),
		"invalid-request");
	store = world_read(w);
	ok(w, store_next_expiry(store, &next, &w->err));
	store_close(store);
	assert_int_equal(next, 4102444800);
	ok(w, change_expire(w->changer, 4102444799, &w->err));
	assert_string_equal(world_user(w, "anna"), "staff active night:hand sales:rule");
	/* The last administrator stays, whatever time it is. */
	ok(w, change_expire(w->changer, 4102444800, &w->err));
	assert_string_equal(world_user(w, "anna"), "staff active sales:rule");
	assert_string_equal(world_user(w, "ben"), "administrator active");
	ok(w, change_grant_add(w->changer, &test_person, "anna", GRANT_PROFILE, "administrator", 0,
			       &w->err));
	ok(w, change_expire(w->changer, 4102444800, &w->err));
	assert_string_equal(world_user(w, "ben"), "manager active");
	world_check_audit(w);
}

/* A hand change while a plan is being made: the plan does not undo it. */
static void test_change_in_between(void **state)
{
	struct world *w = *state;
	struct sync *sync;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna\nk2 ben @sales\n", 0, NULL);
	sync = world_begin(w, "corp", false);
	ok(w, world_feed(w, sync, "corp", "k1 anna @sales\nk2 ben\n"));
	ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "ops", 0, &w->err));
	world_groups(w, sync, "corp", NULL);
	run_report_init(&report);
	ok(w, sync_finish(sync, true, "", "", &report, &w->err));
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "staff disabled(hand) sales:rule");
	assert_string_equal(world_user(w, "ben"), "staff active ops:hand");
}

static void test_reload_during_run(void **state)
{
	struct world *w = *state;
	struct sync *sync;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	sync = world_begin(w, "corp", false);
	ok(w, world_feed(w, sync, "corp", PEOPLE));
	world_reload(w, RULES WIDE SOURCES, NULL);
	run_report_init(&report);
	refused(w, sync_finish(sync, true, "", "", &report, &w->err), "setup-changed");
	run_report_finish(&report);
	assert_string_equal(world_dump(w), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_sync),
		TEST(test_second_sync_is_empty),
		TEST(test_order_does_not_matter),
		TEST(test_apply_held),
		TEST(test_apply_one_of_held),
		TEST(test_outside),
		TEST(test_own_origin_only),
		TEST(test_hand_profile),
		TEST(test_deny_by_rule),
		TEST(test_disable_reasons),
		TEST(test_missing),
		TEST(test_incomplete_takes_nothing),
		TEST(test_vanished_group),
		TEST(test_group_comes_back),
		TEST(test_removals_held),
		TEST(test_window),
		TEST(test_group_loss_held),
		TEST(test_many_gone_held),
		TEST(test_held_stays_held),
		TEST(test_held_is_sticky),
		TEST(test_held_is_theirs),
		TEST(test_first_administrators_and_reload),
		TEST(test_release_leaves_held),
		TEST(test_expiry_leaves_held),
		TEST(test_source_removed),
		TEST(test_protected_is_not_renamed),
		TEST(test_links),
		TEST(test_name_conflicts),
		TEST(test_bad_entries),
		TEST(test_quarantine_freezes),
		TEST(test_quarantine_keeps_held),
		TEST(test_dry_run_writes_nothing),
		TEST(test_dry_run_foresees_names),
		TEST(test_abort_and_running),
		TEST(test_reload),
		TEST(test_reload_supersedes),
		TEST(test_user_create),
		TEST(test_last_administrator_by_source),
		TEST(test_two_removals_at_once),
		TEST(test_protected),
		TEST(test_expiry),
		TEST(test_change_in_between),
		TEST(test_reload_during_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
