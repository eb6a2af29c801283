/* Runs of changes: what a followed directory tells, one batch after the other. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rolebridge/store/session.h>

#define PEOPLE \
	"k1 anna @admins\n" \
	"k2 ben @managers @sales\n" \
	"k3 cleo title=ops_lead\n" \
	"k4 dora @sales\n" \
	"k5 eve @admins\n"

static int64_t plans(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct plan_row *rows;
	size_t count;

	ok(w, store_plan_list(store, 0, w->arena, &rows, &count, &w->err));
	return (int64_t)count;
}

static int64_t wal_size(struct world *w)
{
	char path[128];
	struct stat info;

	snprintf(path, sizeof(path), "%s-wal", w->path);
	return stat(path, &info) == 0 ? info.st_size : 0;
}

/* A whole read of this finds nothing to write for anybody. */
static void nothing_left(struct world *w, const char *source, const char *lines)
{
	int64_t before = plans(w);
	struct run_report report;

	world_sync(w, source, lines, 0, &report);
	assert_int_equal(report.created + report.updated + report.disabled + report.enabled, 0);
	assert_int_equal(plans(w), before);
	run_report_finish(&report);
}

static void test_all_kinds(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_changes(w, "corp",
		      "k6 finn @sales\n"
		      "k3 cleo title=lead\n"
		      "~k2 @sales\n"
		      "~k4 @managers @sales\n"
		      "k5 eve @admins\n",
		      &report);
	assert_int_equal(report.entries, 5);
	assert_int_equal(report.created, 1);
	assert_int_equal(report.updated, 3);
	assert_int_equal(report.unchanged, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "finn"), "staff active sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active lead:rule");
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	assert_string_equal(world_user(w, "dora"), "manager active sales:rule");
	nothing_left(w, "corp",
		     "k1 anna @admins\nk2 ben @sales\nk3 cleo title=lead\n"
		     "k4 dora @managers @sales\nk5 eve @admins\nk6 finn @sales\n");
	world_check_audit(w);
	world_check_sane(w, true);
}

static void test_last_word_counts(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_changes(w, "corp",
		      "k2 ben title=ops @managers\n"
		      "~k2 @sales\n"
		      "-k3\nk3 cleo\n"
		      "~k4\n~k4 @managers\n"
		      "k6 finn\n-k6\n"
		      "k7 gina\nk7 gina @sales\n"
		      "~k5\nk5 eve @admins\n",
		      NULL);
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	assert_string_equal(world_user(w, "dora"), "manager active");
	assert_string_equal(world_user(w, "finn"), "");
	assert_string_equal(world_user(w, "gina"), "staff active sales:rule");
	assert_string_equal(world_user(w, "eve"), "administrator active");
	nothing_left(w, "corp",
		     "k1 anna @admins\nk2 ben title=ops @sales\nk3 cleo\nk4 dora @managers\n"
		     "k5 eve @admins\nk7 gina @sales\n");
}

/* What a read left for idle time would be written in the middle of what comes after it. */
static void do_what_is_left(struct world *w)
{
	AUTO(store) struct store *store = NULL;
	int left;

	world_close(w);
	store = store_open(w->path, STORE_WRITE, &w->err);
	assert_non_null(store);
	do
		ok(w, left = store_tidy(store, &w->err));
	while (left > 0);
}

static void test_nothing_is_written(void **state)
{
	struct world *w = *state;
	static const char *const batches[] = {
		"",
		PEOPLE,
		"~k2 @managers @sales\n~k4 @sales\n",
		"-nobody\n",
		"k2 ben @managers\nk2 ben @managers @sales\n",
	};

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	do_what_is_left(w);
	world_open(w, RULES WIDE SOURCES);
	for (size_t i = 0; i < ARRAY_LEN(batches); i++) {
		int64_t rows = plans(w), size = wal_size(w);
		struct sync *aborted = world_begin_changes(w, "corp");

		ok(w, world_feed(w, aborted, "corp", "k2 ben\n-k3\n~k4\n"));
		sync_abort(aborted);
		world_changes(w, "corp", batches[i], NULL);
		if (plans(w) != rows || wal_size(w) != size)
			fail_msg("batch %zu wrote something", i);
	}
	nothing_left(w, "corp", PEOPLE);
}

static void test_not_known(void **state)
{
	struct world *w = *state;
	struct run_report report;
	struct sync *sync;

	world_open(w, RULES SOURCES); /* no default profile: who has no rule stays out */
	sync = world_begin_changes(w, "corp");
	ok(w, world_feed(w, sync, "corp", "k1 anna\n"));
	run_report_init(&report);
	refused(w, sync_finish(sync, true, "", "", &report, &w->err), "not-read");
	run_report_finish(&report);
	run_report_init(&report);
	world_sync(w, "corp", "k1 anna @managers\nk2 ben\n", 0, NULL);
	sync = world_begin_changes(w, "corp");
	refused(w, world_feed(w, sync, "corp", "~k9 @sales\n"), "not-found");
	/* He is nobody here as yet: whether he becomes somebody his whole record says. */
	refused(w, world_feed(w, sync, "corp", "~k2 @managers\n"), "record-wanted");
	ok(w, world_feed(w, sync, "corp", "-k1\n"));
	refused(w, world_feed(w, sync, "corp", "~k1 @managers\n"), "record-wanted");
	err_clear(&w->err);
	/* And the run goes on. */
	ok(w, world_feed(w, sync, "corp", "k1 anna @managers @sales\nk2 ben @managers\n"));
	ok(w, sync_finish(sync, true, "", "", &report, &w->err));
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "manager active sales:rule");
	assert_string_equal(world_user(w, "ben"), "manager active");
	/* A reload names a group that nobody was asked for: what is told says nothing of it. */
	world_reload(w,
		     "profiles: [{name: administrator}, {name: manager}]\n"
		     "rules:\n"
		     "  - {id: m, groups: ['cn=managers,dc=x'], grant: {profile: manager}}\n"
		     "  - {id: n, groups: ['cn=new,dc=x'], grant: {profile: manager}}\n" SOURCES,
		     NULL);
	sync = world_begin_changes(w, "corp");
	ok(w, world_feed(w, sync, "corp", "k1 anna\n"));
	run_report_init(&report);
	refused(w, sync_finish(sync, true, "", "", &report, &w->err), "groups-unread");
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "manager active");
}

static void test_gone(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES "policy: {default_profile: staff, missing_runs: 2, missing_grace: 0s, "
			    "limits: {first_sync_administrators: true}}\n" SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_changes(w, "corp", "-k4\n", &report);
	assert_int_equal(report.disabled, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule");
	/* Told twice, it is so once. */
	world_changes(w, "corp", "-k4\n", &report);
	assert_int_equal(report.disabled + report.updated, 0);
	run_report_finish(&report);
	/* Somebody's edit, or a reload, lifts nothing. */
	ok(w, change_grant_add(w->changer, &test_person, "dora", GRANT_ROLE, "night", 0, &w->err));
	ok(w, change_user_enable(w->changer, &test_person, "dora", &w->err));
	world_reload(w,
		     RULES "policy: {default_profile: staff, missing_runs: 2, missing_grace: 0s, "
			   "limits: {first_sync_administrators: true}}\n" SOURCES,
		     NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) night:hand sales:rule");
	/* Back, with the very same record. */
	world_changes(w, "corp", "k4 dora @sales\n", &report);
	assert_int_equal(report.enabled, 1);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "dora"), "staff active night:hand sales:rule");
	nothing_left(w, "corp", PEOPLE);
	/* And gone for good, by whole reads. */
	world_changes(w, "corp", "-k4\n", NULL);
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben @managers @sales\nk3 cleo title=ops_lead\n"
		   "k5 eve @admins\n",
		   0, NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) night:hand sales:rule");
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben @managers @sales\nk3 cleo title=ops_lead\n"
		   "k5 eve @admins\n",
		   0, NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(missing) night:hand sales:rule");
	world_changes(w, "corp", "-k4\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(missing) night:hand sales:rule");
	world_changes(w, "corp", "k4 dora\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff active night:hand");
	world_check_audit(w);
}

/* A whole read sees whom the stream said to be gone: they are there. */
static void test_gone_and_read(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_changes(w, "corp", "-k4\n-k2\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule");
	world_sync(w, "corp", PEOPLE, 0, NULL);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	assert_string_equal(world_user(w, "ben"), "manager active sales:rule");
}

/* Whom another directory has is still here. */
static void test_gone_from_one(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_sync(w, "hr", "h4 dora title=lead\n", 0, NULL);
	world_changes(w, "corp", "-k4\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule lead:rule");
	world_changes(w, "hr", "-h4\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule lead:rule");
	world_changes(w, "hr", "h4 dora title=lead\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule lead:rule");
}

static void test_sessions_end(void **state)
{
	struct world *w = *state;
	static const char yaml[] = RULES WIDE
		"sources: [{name: corp, type: ldif}, "
		"{name: idp, type: saml, link: {attribute: uid, source: corp, other: uid}}]\n";
	struct session_query query = { .limit = 10 };
	struct login_outcome outcome;
	struct session *sessions;
	struct sent sent;
	size_t count;

	world_open(w, yaml);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_send(w, &sent, "n4 dora", "_1");
	sent.login.assertion = &sent.assertion;
	ok(w, change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome, &w->err));
	assert_string_equal(outcome.refused, "");
	world_changes(w, "corp", "-k4\n", NULL);
	AUTO(store) struct store *store = world_read(w);

	ok(w, store_session_list(store, &query, w->arena, &sessions, &count, &w->err));
	assert_int_equal(count, 0);
	strbuf_finish(&sent.record);
	/* Signing in again does not bring them back. */
	world_send(w, &sent, "n4 dora title=x", "_2");
	sent.login.assertion = &sent.assertion;
	ok(w, change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome, &w->err));
	assert_string_not_equal(outcome.refused, "");
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule");
	strbuf_finish(&sent.record);
}

static void test_last_administrator(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\nk3 cleo\n", 0, NULL);
	world_changes(w, "corp", "-k1\n", NULL);
	assert_string_equal(world_user(w, "anna"), "administrator active");
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, &report, &w->err));
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "administrator active");
	assert_int_equal(world_alarms(w, "last-administrator"), 1);
	world_changes(w, "corp", "~k2 @admins\n", NULL);
	/* Now that there is another one, she may go. */
	world_sync(w, "corp", "k2 ben @admins\nk3 cleo\n", 0, NULL);
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, &report, &w->err));
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "administrator disabled(missing)");
	world_changes(w, "corp", "~k2\n", NULL);
	assert_string_equal(world_user(w, "ben"), "administrator active");
	world_check_sane(w, true);
}

static const char *many(struct world *w, const char *format, int from, int to)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 22);

	for (int i = from; i < to; i++) {
		strbuf_printf(&out, format, i, i);
		strbuf_putc(&out, '\n');
	}
	return arena_strdup(w->arena, strbuf_text(&out));
}

static int64_t count_active(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct user_counts counts;

	ok(w, store_user_counts(store, NULL, &counts, &w->err));
	return counts.active;
}

#define TIGHT "policy: {default_profile: staff, limits: {first_sync_administrators: true}}\n"

/* Sixty of a hundred go: one by one, and all at once. */
static void test_many_gone(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES TIGHT SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d @sales", 0, 100), 0, NULL);
	for (int i = 0; i < 60; i++) {
		char line[40];

		snprintf(line, sizeof(line), "-k%d\n", i);
		world_changes(w, "corp", line, &report);
		assert_int_equal(report.disabled, i < 5 ? 1 : 0);
		run_report_finish(&report);
	}
	assert_int_equal(count_active(w), 95);
	assert_int_equal(world_alarms(w, "plan-held"), 1);
	/* All of them wait in one plan. */
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, &report, &w->err));
	assert_int_equal(report.disabled, 55);
	run_report_finish(&report);
	assert_int_equal(count_active(w), 40);
	assert_int_equal(world_alarms(w, "plan-held"), 0);
}

static void test_many_gone_at_once(void **state)
{
	struct world *w = *state;
	struct run_report report;
	const char *id;

	world_open(w, RULES TIGHT SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d @sales", 0, 1000), 0, NULL);
	world_changes(w, "corp", many(w, "-k%d", 0, 600), &report);
	assert_int_equal(report.disabled, 0);
	assert_int_equal(report.held, 600);
	run_report_finish(&report);
	id = world_held(w);
	/* Nothing new of those who wait: they wait on. */
	world_changes(w, "corp", "-k3\n#k4\n~k700 @sales\n", &report);
	run_report_finish(&report);
	assert_string_equal(world_held(w), id);
	/* Others go on, and the plan stands as it is. */
	world_changes(w, "corp", many(w, "~k%d @managers", 900, 905), &report);
	assert_int_equal(report.updated, 5);
	assert_int_equal(report.held, 0);
	run_report_finish(&report);
	assert_string_equal(world_held(w), id);
	/* Half of them are there after all. */
	world_changes(w, "corp", many(w, "k%d u%d @sales", 0, 300), &report);
	run_report_finish(&report);
	assert_string_not_equal(world_held(w), id);
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, &report, &w->err));
	assert_int_equal(report.disabled, 300);
	run_report_finish(&report);
	assert_int_equal(count_active(w), 700);
	world_check_audit(w);
}

/* The whole read that comes next holds exactly what the stream held. */
static void test_held_as_a_whole_read(void **state)
{
	struct world *w = *state;
	const char *id;

	world_open(w, RULES TIGHT SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d @sales", 0, 40), 0, NULL);
	world_changes(w, "corp", many(w, "~k%d", 0, 20), NULL);
	id = world_held(w);
	assert_string_equal(world_user(w, "u3"), "staff active sales:rule");
	world_changes(w, "corp", "k50 u50\n", NULL);
	assert_string_equal(world_held(w), id);
	world_open(w, RULES TIGHT SOURCES);
	{
		AUTO(strbuf) struct strbuf all = STRBUF(1 << 20);

		strbuf_puts(&all, many(w, "k%d u%d", 0, 20));
		strbuf_puts(&all, many(w, "k%d u%d @sales", 20, 40));
		strbuf_puts(&all, "k50 u50\n");
		world_sync(w, "corp", strbuf_text(&all), 0, NULL);
	}
	assert_string_equal(world_held(w), id);
	/* The last one of them is back: nothing waits. */
	world_changes(w, "corp", many(w, "~k%d @sales", 0, 19), NULL);
	assert_int_equal(world_alarms(w, "plan-held"), 1);
	world_changes(w, "corp", "~k19 @sales\n", NULL);
	assert_int_equal(world_alarms(w, "plan-held"), 0);
}

/* Administrators of the first sync wait, inside or outside; a stream neither loses them nor lets them in. */
static void test_first_sync_waits(void **state)
{
	struct world *w = *state;
	struct run_report report;
	const char *id;

	world_open(w, RULES SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @managers\nk3 cleo @admins\n", 0, NULL);
	id = world_held(w);
	world_changes(w, "corp", "~k2 @managers @sales\nk4 dora @managers\n", NULL);
	assert_string_equal(world_held(w), id);
	/* One more waits with them; one changes and waits; one is gone. */
	world_changes(w, "corp", "k5 eve @admins\n", NULL);
	world_changes(w, "corp", "-k3\n", NULL);
	assert_string_equal(world_user(w, "eve"), "");
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, &report, &w->err));
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "administrator active");
	assert_string_equal(world_user(w, "eve"), "administrator active");
	assert_string_equal(world_user(w, "cleo"), "");
}

/* A group of twenty that members leave one by one: six may, the seventh waits. */
static void test_leaving_one_by_one(void **state)
{
	struct world *w = *state;

	world_open(w, RULES
		   "policy: {default_profile: staff, limits: {removals_min: 1000}}\n" SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d @sales", 0, 20), 0, NULL);
	for (int i = 0; i < 10; i++) {
		struct sync *sync = world_begin_changes(w, "corp");
		struct setup *setup = changer_setup(w->changer);
		const struct group *sales = group_registry_find(setup->registry, "cn=sales,dc=x");
		struct run_report report;
		char line[40];

		run_report_init(&report);
		snprintf(line, sizeof(line), "~k%d\n", i);
		ok(w, world_feed(w, sync, "corp", line));
		ok(w, sync_group(sync, sales->id, true, (uint64_t)(19 - i), &w->err));
		setup_release(setup);
		ok(w, sync_finish(sync, true, "", "", &report, &w->err));
		if (report.revoked != (i < 6) || report.held == (i < 6))
			fail_msg("member %d: %d revoked, %d held", i, (int)report.revoked,
				 (int)report.held);
		run_report_finish(&report);
	}
	assert_string_equal(world_user(w, "u5"), "staff active");
	assert_string_equal(world_user(w, "u6"), "staff active sales:rule");
}

static void test_group_vanishes(void **state)
{
	struct world *w = *state;
	struct run_report report;
	struct sync *sync;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	sync = world_begin_changes(w, "corp");
	ok(w, world_feed(w, sync, "corp", "~k4\n"));
	world_groups(w, sync, "corp", "cn=sales");
	run_report_init(&report);
	refused(w, sync_finish(sync, true, "", "", &report, &w->err), "group-vanished");
	run_report_finish(&report);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
}

static int64_t quarantined(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct quarantine_query query = { .source = "corp" };
	struct quarantine_row *rows;
	size_t count;
	int64_t total;

	ok(w, store_quarantine_list(store, &query, w->arena, &rows, &count, &total, &w->err));
	return total;
}

static void test_quarantine(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_changes(w, "corp", "#k4\n~k4\n#k9\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	assert_int_equal(quarantined(w), 2);
	/* Well again, with what was known of her: she is not listed any more. */
	world_changes(w, "corp", "k4 dora @sales\n", NULL);
	assert_int_equal(quarantined(w), 1);
	world_changes(w, "corp", "k4 dora\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff active");
	/* Somebody takes a name that somebody has. */
	world_changes(w, "corp", "k8 ben\n", NULL);
	assert_int_equal(quarantined(w), 2);
	assert_string_equal(world_user(w, "ben"), "manager active sales:rule");
	/* Created again under the same name: another person, who waits until the name is free. */
	world_changes(w, "corp", "-k2\nk8 ben\n", NULL);
	assert_string_equal(world_user(w, "ben"), "manager disabled(gone) sales:rule");
	assert_int_equal(quarantined(w), 2);
}

static void test_canary_and_empty(void **state)
{
	struct world *w = *state;
	static const char yaml[] =
		RULES WIDE "sources: [{name: corp, type: ldif, canaries: ['uid=k2,dc=x', k3]}]\n";
	struct run_report report;

	world_open(w, yaml);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	for (int i = 0; i < 2; i++) {
		struct sync *sync = world_begin_changes(w, "corp");

		ok(w, world_feed(w, sync, "corp", i ? "-k4\n-k3\n" : "-k2\n~k4\n"));
		run_report_init(&report);
		refused(w, sync_finish(sync, true, "", "", &report, &w->err), "canary-gone");
		run_report_finish(&report);
	}
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	world_changes(w, "corp", "-k4\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff disabled(gone) sales:rule");
	/* Nobody at all is no answer, with or without canaries. */
	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "", 0, &report);
	assert_false(report.complete);
	assert_string_equal(report.problem, "empty-result");
	assert_int_equal(report.disabled, 0);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), "administrator active");
}

/* Three new administrators in a day, whatever told of them; the fourth waits. */
static void test_new_administrators(void **state)
{
	struct world *w = *state;

	world_open(w, RULES TIGHT SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d", 0, 10), 0, NULL);
	for (int i = 0; i < 5; i++) {
		char line[40], user[16];

		snprintf(line, sizeof(line), "~k%d @admins\n", i);
		snprintf(user, sizeof(user), "u%d", i);
		world_changes(w, "corp", line, NULL);
		assert_string_equal(world_user(w, user),
				    i < 3 ? "administrator active" : "staff active");
	}
	assert_int_equal(world_alarms(w, "plan-held"), 1);
}

/* Roles taken from one after the other: ten are within the limit, the eleventh waits. */
static void test_removals_one_by_one(void **state)
{
	struct world *w = *state;

	world_open(w, RULES
		   "policy: {default_profile: staff, limits: {group_size_min: 1000}}\n" SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d @sales", 0, 50), 0, NULL);
	for (int i = 0; i < 12; i++) {
		char line[40], user[16];

		snprintf(line, sizeof(line), "~k%d\n", i);
		snprintf(user, sizeof(user), "u%d", i);
		world_changes(w, "corp", line, NULL);
		assert_string_equal(world_user(w, user),
				    i < 10 ? "staff active" : "staff active sales:rule");
	}
}

/* A source's explicit disables in a stream: at once, as long as they are few. */
static void test_disabled_one_by_one(void **state)
{
	struct world *w = *state;

	world_open(w, RULES TIGHT SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d", 0, 40), 0, NULL);
	for (int i = 0; i < 5; i++) {
		char line[40], user[16];

		snprintf(line, sizeof(line), "k%d u%d !\n", i, i);
		snprintf(user, sizeof(user), "u%d", i);
		world_changes(w, "corp", line, NULL);
		assert_string_equal(world_user(w, user),
				    i < 3 ? "staff disabled(source)" : "staff active");
	}
	/* What is said to be gone is counted with them. */
	world_changes(w, "corp", "-k30\n", NULL);
	assert_string_equal(world_user(w, "u30"), "staff active");
}

/* More than one transaction holds. */
static void test_large(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", many(w, "k%d u%d", 0, 1300), 0, NULL);
	world_changes(w, "corp", many(w, "~k%d @sales", 0, 1300), &report);
	assert_int_equal(report.updated, 1300);
	assert_int_equal(report.granted, 1300);
	run_report_finish(&report);
	assert_string_equal(world_user(w, "u1299"), "staff active sales:rule");
	nothing_left(w, "corp", many(w, "k%d u%d @sales", 0, 1300));
	world_check_audit(w);
}

/* A record that was read incompletely is stored with the groups from before; whole ones replace them. */
static void test_incomplete_groups(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	world_changes(w, "corp", "~k4 @managers ?\n", NULL);
	assert_string_equal(world_user(w, "dora"), "staff active sales:rule");
	world_changes(w, "corp", "~k4 @managers\n", NULL);
	assert_string_equal(world_user(w, "dora"), "manager active");
	nothing_left(w, "corp",
		     "k1 anna @admins\nk2 ben @managers @sales\nk3 cleo title=ops_lead\n"
		     "k4 dora @managers\nk5 eve @admins\n");
}

static void test_one_at_a_time(void **state)
{
	struct world *w = *state;
	struct sync *sync;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", PEOPLE, 0, NULL);
	sync = world_begin_changes(w, "corp");
	assert_null(sync_begin_changes(w->changer, "corp", &test_sync, &w->err));
	assert_string_equal(err_reason(&w->err), "sync-running");
	assert_null(sync_begin(w->changer, NULL, "corp", &test_sync, false, &w->err));
	/* A reload in between: what comes is looked at by the new rules. */
	ok(w, world_feed(w, sync, "corp", "k4 dora title=lead @sales\n"));
	world_reload(w,
		     "profiles: [{name: administrator}, {name: staff}]\n"
		     "rules:\n"
		     "  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: "
		     "administrator}}\n" WIDE SOURCES,
		     NULL);
	{
		struct run_report report;

		run_report_init(&report);
		ok(w, sync_finish(sync, true, "", "", &report, &w->err));
		run_report_finish(&report);
	}
	assert_string_equal(world_user(w, "dora"), "staff active");
}

/* --- accounts that expire --- */

#define LATER INT64_C(4102444800)

static void test_expires(void **state)
{
	struct world *w = *state;
	static const char people[] = "k1 anna @admins\nk2 ben ^4102444800 @sales\n"
				     "k3 cleo ^4102445000\nk4 dora ! ^4102444800\n";

	world_open(w, RULES WIDE SOURCES);
	assert_int_equal(change_next_due(w->changer), 0);
	world_sync(w, "corp", people, 0, NULL);
	assert_int_equal(change_next_due(w->changer), LATER);
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	ok(w, change_expire(w->changer, LATER - 1, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	/* Also after a start. */
	world_open(w, RULES WIDE SOURCES);
	assert_int_equal(change_next_due(w->changer), LATER);
	ok(w, change_expire(w->changer, LATER, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(source) sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	assert_int_equal(change_next_due(w->changer), LATER + 200);
	/* Extended: back at once, and the old time means nothing. */
	world_changes(w, "corp", "k2 ben ^4102446000 @sales\nk3 cleo ^4102447000\n", NULL);
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	ok(w, change_expire(w->changer, LATER + 200, &w->err));
	assert_string_equal(world_user(w, "cleo"), "staff active");
	assert_int_equal(change_next_due(w->changer), LATER + 1200);
	ok(w, change_expire(w->changer, LATER + 1300, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(source) sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	/* Of a source that is gone: nobody is left to be asked. */
	world_open(w, RULES WIDE);
	ok(w, change_expire(w->changer, LATER + 5000, &w->err));
	assert_int_equal(change_next_due(w->changer), 0);
	world_check_audit(w);
}

/* Passed already when it is read: disabled with the read. Groups that change do not forget the time. */
static void test_expired(void **state)
{
	struct world *w = *state;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben ^1000 @sales\nk3 cleo ^4102444800\n", 0,
		   NULL);
	assert_string_equal(world_user(w, "ben"), "staff disabled(source) sales:rule");
	world_changes(w, "corp", "~k3 @sales\n~k2\n", NULL);
	assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
	ok(w, change_expire(w->changer, LATER, &w->err));
	assert_string_equal(world_user(w, "cleo"), "staff disabled(source) sales:rule");
}

/* A directory that lets sixty of a hundred expire at once is asked about it, as for any disable. */
static void test_many_expire(void **state)
{
	struct world *w = *state;
	AUTO(strbuf) struct strbuf all = STRBUF(1 << 20);
	struct run_report report;
	const char *id;

	strbuf_puts(&all, many(w, "k%d u%d ^4102444800", 0, 60));
	strbuf_puts(&all, many(w, "k%d u%d ^4102444900", 60, 64));
	strbuf_puts(&all, many(w, "k%d u%d @sales", 64, 100));
	world_open(w, RULES TIGHT SOURCES);
	world_sync(w, "corp", strbuf_text(&all), 0, NULL);
	ok(w, change_expire(w->changer, LATER, &w->err));
	assert_int_equal(count_active(w), 100);
	id = world_held(w);
	/* Whoever is within the limit goes, and what waits stands. */
	ok(w, change_expire(w->changer, LATER + 100, &w->err));
	assert_int_equal(count_active(w), 96);
	assert_string_equal(world_held(w), id);
	assert_int_equal(change_next_due(w->changer), 0);
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, id, "u3", &report, &w->err));
	run_report_finish(&report);
	/* Applied by today's date: nobody has expired yet. */
	assert_int_equal(count_active(w), 96);
}

static void test_due_waits_for_a_read(void **state)
{
	struct world *w = *state;
	struct sync *sync;

	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben ^4102444800\n", 0, NULL);
	sync = world_begin(w, "corp", false);
	ok(w, change_expire(w->changer, LATER, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff active");
	assert_int_equal(change_next_due(w->changer), LATER);
	sync_abort(sync);
	ok(w, change_expire(w->changer, LATER, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(source)");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_kinds),
		TEST(test_last_word_counts),
		TEST(test_nothing_is_written),
		TEST(test_not_known),
		TEST(test_gone),
		TEST(test_gone_and_read),
		TEST(test_gone_from_one),
		TEST(test_sessions_end),
		TEST(test_last_administrator),
		TEST(test_many_gone),
		TEST(test_many_gone_at_once),
		TEST(test_held_as_a_whole_read),
		TEST(test_first_sync_waits),
		TEST(test_leaving_one_by_one),
		TEST(test_group_vanishes),
		TEST(test_quarantine),
		TEST(test_canary_and_empty),
		TEST(test_new_administrators),
		TEST(test_removals_one_by_one),
		TEST(test_disabled_one_by_one),
		TEST(test_large),
		TEST(test_incomplete_groups),
		TEST(test_one_at_a_time),
		TEST(test_expires),
		TEST(test_expired),
		TEST(test_many_expire),
		TEST(test_due_waits_for_a_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
