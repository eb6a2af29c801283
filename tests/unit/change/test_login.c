/* Signing in, and sessions: what is used up, who comes in and as what, what ends them, who is told. */
#include "support.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/change/import.h>
#include <rolebridge/change/login.h>
#include <rolebridge/change/ownership.h>
#include <rolebridge/store/ownership.h>
#include <rolebridge/store/session.h>

#define NOW TEST_NOW
#define DAY INT64_C(86400)

/* corp is a directory; idp links by its attribute uid to corp's. */
#define IDP "{name: idp, type: saml, link: {attribute: uid, source: corp, other: uid}}"
#define IDP_BY_KEY "{name: idp, type: saml, link: {attribute: employeeNumber, source: corp}}"
#define IDP_ALONE "{name: idp, type: saml}"
#define IDP_MAY \
	"{name: idp, type: saml, may_grant: {profiles: [manager, administrator], " \
	"roles: [sales, ops]}}"
#define WITH(idp) "sources: [{name: corp, type: ldif}, " idp "]\n"
#define SAML_RULES \
	"profiles: [{name: administrator}, {name: manager}, {name: staff}]\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: sales, classifications: [Sales], segments: [Core]}\n" \
	"  - {name: ops, classifications: [Support], segments: [Core]}\n" \
	"  - {name: night, classifications: [Support], segments: [Core]}\n" \
	"rules:\n" \
	"  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: administrator}}\n" \
	"  - {id: idp-admins, groups: ['idp:admins'], grant: {profile: administrator}}\n" \
	"  - {id: managers, groups: ['idp:managers'], grant: {profile: manager}}\n" \
	"  - {id: sales, groups: ['idp:sales'], grant: {roles: [sales]}}\n" \
	"  - {id: titles, when: '(title=ops*)', grant: {roles: [ops]}}\n"
#define NO_DEFAULT \
	"policy: {missing_runs: 1, missing_grace: 0s, limits: {disables_max: 100000, " \
	"disables_min: 100000, removals_min: 100000, group_size_min: 100000, " \
	"new_administrators: 100000, first_sync_administrators: true}}\n"

extern struct change_test_clock {
	int64_t step_s, passed_s;
	const char *boot;
} change_test_clock;

static int64_t change_now(void)
{
	return clock_now_s() + change_test_clock.passed_s;
}

extern size_t change_batch_people;

/* --- one login from a line of text --- */

static struct login_outcome send_it(struct world *w, struct sent *sent)
{
	struct login_outcome outcome;

	sent->login.assertion = &sent->assertion;
	ok(w, change_login(w->changer, &test_sync, &sent->login, w->arena, &outcome, &w->err));
	strbuf_finish(&sent->record);
	return outcome;
}

static unsigned next_id;

static struct login_outcome login(struct world *w, const char *line, bool just_in_time)
{
	struct sent sent;

	world_send(w, &sent, line, arena_printf(w->arena, "_a%u", ++next_id));
	sent.login.just_in_time = just_in_time;
	return send_it(w, &sent);
}

#define LOGIN_IN(w, line) assert_string_equal(login(w, line, false).refused, "")
#define LOGIN_JIT(w, line) assert_string_equal(login(w, line, true).refused, "")
#define LOGIN_OUT(w, line, jit, reason) assert_string_equal(login(w, line, jit).refused, reason)

/* --- who is told --- */

struct told {
	char text[4096];
};

static void tell(struct told *told, const char *what, int64_t id)
{
	size_t size = strlen(told->text);

	snprintf(told->text + size, sizeof(told->text) - size, "%s %lld;", what, (long long)id);
}

static void tell_disabling(void *context, int64_t id)
{
	tell(context, "disabling", id);
}

static void tell_changed(void *context, int64_t id)
{
	tell(context, "changed", id);
}

static void tell_ended(void *context, int64_t id)
{
	tell(context, "ended", id);
}

static void observe(struct world *w, struct told *told)
{
	struct change_observer observer = { .context = told,
					    .disabling = tell_disabling,
					    .changed = tell_changed,
					    .ended = tell_ended };

	told->text[0] = '\0';
	changer_observe(w->changer, &observer);
}

/* --- coming in --- */

static void test_links_and_opens_a_session(void **state)
{
	struct world *w = *state;
	struct login_outcome outcome;
	struct session found;
	AUTO(store) struct store *store = NULL;
	struct sent sent;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben title=ops\n", 0, NULL);
	world_send(w, &sent, "n1 ben @idp:sales", "_a");
	sent.assertion.session_until_s = NOW + 60;
	outcome = send_it(w, &sent);
	assert_string_equal(outcome.refused, "");
	assert_false(outcome.created);
	assert_string_equal(outcome.user.username, "ben");
	assert_string_equal(outcome.user.profile, "staff");
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule sales:rule");
	store = world_read(w);
	ok(w, store_session_get(store, outcome.session.id, w->arena, &found, &w->err));
	assert_int_equal(found.user_id, outcome.user.id);
	assert_string_equal(found.source, "idp");
	assert_string_equal(found.name_id, "name-1");
	assert_string_equal(found.name_id_format, "urn:persistent");
	assert_string_equal(found.session_index, "index-1");
	assert_string_equal(found.address, "192.0.2.1");
	assert_int_equal(found.until_s, NOW + 60);
	assert_int_equal(found.second_factor_s, NOW - 3);
	assert_true(world_audited(w, "login", "\"assertion\":\"_a\"") > 0);
	assert_true(world_audited(w, "login", "\"linked\":true") > 0);
	/* Known now, and the IdP takes a role away. */
	LOGIN_IN(w, "n1 ben");
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule");
	assert_null(strstr(strchr(world_audit(w, "login"), '\n'), "linked"));
	assert_int_equal(world_sessions(w), 2);
	world_check_audit(w);
}

static void test_who_comes_in(void **state)
{
	static const struct {
		const char *name, *yaml, *people, *line;
		bool jit;
		const char *refused, *user;
	} cases[] = {
		{ "unknown", SAML_RULES WIDE WITH(IDP), "k1 anna\n", "n ben", false,
		  "not-provisioned", "" },
		{ "just in time", SAML_RULES WIDE WITH(IDP), "k1 anna\n", "n ben", true, "",
		  "staff active" },
		{ "just in time, no trust", SAML_RULES WIDE WITH(IDP_ALONE), "k1 anna\n",
		  "n ben @idp:managers @idp:sales title=ops", true, "", "staff active" },
		{ "just in time, some trust", SAML_RULES WIDE WITH(IDP_MAY), "k1 anna\n",
		  "n ben @idp:managers @idp:sales", true, "", "manager active sales:rule" },
		{ "linked, no list", SAML_RULES WIDE WITH(IDP), "k1 ben\n",
		  "n ben @idp:managers @idp:sales", false, "", "manager active sales:rule" },
		{ "no default profile", SAML_RULES NO_DEFAULT WITH(IDP_MAY), "", "n ben", true,
		  "no-profile", "" },
		{ "profile by the IdP", SAML_RULES NO_DEFAULT WITH(IDP_MAY), "",
		  "n ben @idp:managers", true, "", "manager active" },
		{ "profile by the IdP, no trust", SAML_RULES NO_DEFAULT WITH(IDP_ALONE), "",
		  "n ben @idp:managers", true, "no-profile", "" },
		{ "name of somebody else", SAML_RULES WIDE WITH(IDP_ALONE), "k1 ben\n", "n ben",
		  true, "username-conflict", "staff active" },
		{ "address of somebody else", SAML_RULES WIDE WITH(IDP_ALONE), "k1 anna\n",
		  "n ben mail=anna@x.example", true, "email-conflict", "" },
		{ "no name", SAML_RULES WIDE WITH(IDP_ALONE), "", "n - title=x", true,
		  "no-username", "" },
		{ "ambiguous",
		  SAML_RULES WIDE WITH("{name: idp, type: saml, link: {attribute: uid, source: "
				       "corp, other: employeeType}}"),
		  "k1 anna employeeType=ben\nk2 cleo employeeType=ben\n", "n ben", true,
		  "ambiguous-link", "" },
		{ "disabled by the directory", SAML_RULES WIDE WITH(IDP), "k1 ben !\n", "n ben",
		  true, "disabled", "staff disabled(source)" },
		{ "by key", SAML_RULES WIDE WITH(IDP_BY_KEY), "k1 ben\n",
		  "n other mail=o@x.example employeeNumber=k1", false, "", "staff active" },
		{ "disabled by the IdP", SAML_RULES WIDE WITH(IDP), "k1 ben\n", "n ben !", true,
		  "disabled", "staff active" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		void *other;
		struct world *w;
		struct login_outcome outcome;

		world_set_up(&other);
		w = other;
		world_open(w, cases[i].yaml);
		world_sync(w, "corp", cases[i].people, 0, NULL);
		outcome = login(w, cases[i].line, cases[i].jit);
		if (strcmp(outcome.refused, cases[i].refused) != 0)
			fail_msg("%s: '%s' (%s)", cases[i].name, outcome.refused, outcome.detail);
		if (strcmp(world_user(w, "ben"), cases[i].user) != 0 &&
		    strcmp(cases[i].name, "by key") != 0)
			fail_msg("%s: '%s'", cases[i].name, world_user(w, "ben"));
		assert_int_equal(world_sessions(w), cases[i].refused[0] == '\0');
		assert_int_equal(world_audited(w, "login", ""), cases[i].refused[0] == '\0');
		assert_int_equal(world_audited(w, "login.refused", ""),
				 cases[i].refused[0] != '\0');
		world_check_audit(w);
		world_tear_down(&other);
	}
	(void)state;
}

static void test_refused_leaves_nothing(void **state)
{
	struct world *w = *state;
	const char *before;
	struct login_outcome outcome;

	world_open(w, SAML_RULES NO_DEFAULT WITH(IDP));
	world_sync(w, "corp", "k1 ben title=x @admins\nk2 anna @admins\n", 0, NULL);
	LOGIN_IN(w, "n1 ben @idp:sales");
	before = world_dump(w);
	ok(w, change_user_disable(w->changer, &test_person, "ben", "", &w->err));
	outcome = login(w, "n1 ben2", false);
	assert_string_equal(outcome.refused, "disabled");
	assert_string_equal(outcome.user.username, "ben");
	assert_int_equal(outcome.session.id, 0);
	ok(w, change_user_enable(w->changer, &test_person, "ben", &w->err));
	assert_string_equal(world_dump(w), before);
	world_check_audit(w);
}

static void test_nobody_comes_back(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 cleo\n", 0, NULL);
	LOGIN_IN(w, "n2 ben @idp:sales");
	/* ben leaves the directory: having signed in does not keep him, nor bring him back. */
	world_sync(w, "corp", "k1 anna\nk3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "ben"), "staff disabled(missing) sales:rule");
	assert_int_equal(world_sessions(w), 0);
	LOGIN_OUT(w, "n2 ben @idp:sales @idp:managers", true, "disabled");
	/* With another identity of the IdP: the link finds him, and he has one already. */
	LOGIN_OUT(w, "n9 ben", true, "duplicate-link");
	assert_string_equal(world_user(w, "ben"), "staff disabled(missing) sales:rule");
	/* cleo left before she ever signed in. */
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	LOGIN_OUT(w, "n3 cleo", true, "disabled");
	/* The directory alone brings them back, and what the IdP gave is there. */
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 cleo\n", 0, NULL);
	assert_string_equal(world_user(w, "ben"), "staff active sales:rule");
	LOGIN_IN(w, "n2 ben");
	assert_string_equal(world_user(w, "ben"), "staff active");
	world_check_audit(w);
}

static void test_quarantined_gets_no_second_user(void **state)
{
	struct world *w = *state;
	struct sync *sync;
	struct run_report report;
	struct quarantined entry = { "cn=ben", "k2", "invalid-utf8", "", "", false };

	run_report_init(&report);
	world_open(w, SAML_RULES WIDE WITH(IDP_BY_KEY));
	sync = world_begin(w, "corp", false);
	ok(w, world_feed(w, sync, "corp", "k1 anna\n"));
	ok(w, sync_quarantine(sync, &entry, &w->err));
	world_groups(w, sync, "corp", NULL);
	ok(w, sync_finish(sync, true, "", "", &report, &w->err));
	run_report_finish(&report);
	LOGIN_OUT(w, "n2 ben employeeNumber=k2", true, "quarantined");
	LOGIN_JIT(w, "n3 cleo employeeNumber=k3");
	assert_string_equal(world_user(w, "ben"), "");
}

static void test_suspended(void **state)
{
	struct world *w = *state;
	struct told told;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	LOGIN_IN(w, "n2 ben");
	observe(w, &told);
	/* The last administrator, disabled by the directory: on record, and out. */
	world_sync(w, "corp", "k1 anna @admins !\nk2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "administrator disabled(sign-in-suspended)");
	assert_string_equal(told.text, "disabling 1;ended 1;changed 1;");
	assert_int_equal(world_sessions(w), 1);
	LOGIN_OUT(w, "n1 anna", true, "suspended");
	assert_true(world_audited(w, "session.end", "\"why\":\"suspended\"") > 0);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
}

static void test_last_administrator(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 cleo\n", 0, NULL);
	LOGIN_IN(w, "n1 anna @idp:admins");
	assert_string_equal(world_user(w, "anna"), "administrator active");
	/* The only one: she signs in, and stays. */
	LOGIN_IN(w, "n1 anna");
	assert_string_equal(world_user(w, "anna"), "administrator active");
	world_check_sane(w, true);
	/* Two stay two without a person's consent; of three one may go. */
	LOGIN_IN(w, "n2 ben @idp:admins");
	LOGIN_IN(w, "n1 anna");
	assert_string_equal(world_user(w, "anna"), "administrator active");
	LOGIN_IN(w, "n3 cleo @idp:admins");
	LOGIN_IN(w, "n1 anna");
	assert_string_equal(world_user(w, "anna"), "staff active");
}

/* A name that somebody else has is left to them, listed, and forgotten in time. */
static void test_keeps_names(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct quarantine_row *rows;
	struct login_outcome outcome;
	int64_t total;
	size_t count;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	LOGIN_JIT(w, "n2 ben");
	outcome = login(w, "n2 anna mail=anna@x.example title=ops", false);
	assert_string_equal(outcome.refused, "");
	assert_string_equal(outcome.user.username, "ben");
	assert_string_equal(outcome.user.email, "ben@x.example");
	outcome = login(w, "n2 benjamin", false);
	assert_string_equal(outcome.user.username, "benjamin");
	assert_string_equal(outcome.user.email, "benjamin@x.example");
	store = world_read(w);
	ok(w, store_quarantine_list(store, &(struct quarantine_query){ .source = "idp" }, w->arena,
				    &rows, &count, &total, &w->err));
	assert_int_equal(count, 1);
	ok(w, change_sessions_prune(w->changer, NOW + 6 * DAY, 0, &w->err));
	ok(w, store_quarantine_list(store, &(struct quarantine_query){ .source = "idp" }, w->arena,
				    &rows, &count, &total, &w->err));
	assert_int_equal(count, 1);
	ok(w, change_sessions_prune(w->changer, NOW + 8 * DAY, 0, &w->err));
	ok(w, store_quarantine_list(store, &(struct quarantine_query){ .source = "idp" }, w->arena,
				    &rows, &count, &total, &w->err));
	assert_int_equal(count, 0);
	world_check_audit(w);
}

/* --- limits --- */

static void test_limits(void **state)
{
	struct world *w = *state;
	char line[64];

	world_open(w, SAML_RULES "policy: {default_profile: staff, limits: {removals_min: 2, "
				 "removals_percent: 0, new_administrators: 1}}\n" WITH(IDP));
	world_sync(w, "corp", "k1 u1\nk2 u2\nk3 u3\nk4 u4\n", 0, NULL);
	for (int i = 1; i <= 4; i++) {
		snprintf(line, sizeof(line), "n%d u%d @idp:sales", i, i);
		LOGIN_IN(w, line);
	}
	for (int i = 1; i <= 4; i++) {
		snprintf(line, sizeof(line), "n%d u%d", i, i);
		LOGIN_IN(w, line);
		snprintf(line, sizeof(line), "u%d", i);
		assert_string_equal(world_user(w, line),
				    i <= 2 ? "staff active" : "staff active sales:rule");
	}
	/* A new administrator, and no second one within the day; they sign in as they were. */
	LOGIN_IN(w, "n1 u1 @idp:admins");
	LOGIN_IN(w, "n2 u2 @idp:admins @idp:sales");
	assert_string_equal(world_user(w, "u1"), "administrator active");
	assert_string_equal(world_user(w, "u2"), "staff active sales:rule");
	world_check_audit(w);
}

static void test_held_waits_on(void **state)
{
	struct world *w = *state;

	world_open(w, RULES "policy: {default_profile: staff, limits: {removals_min: 0, "
			    "removals_percent: 0, first_sync_administrators: true}}\n" WITH(IDP));
	world_sync(w, "corp", "k1 anna @sales title=ops\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	world_held(w);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule sales:rule");
	/* Neither carried out nor undone by signing in; what is new comes. */
	LOGIN_IN(w, "n1 anna title=xlead");
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule sales:rule lead:rule");
	/* ben does not wait. */
	LOGIN_IN(w, "n2 ben title=ops");
	LOGIN_IN(w, "n2 ben title=lead");
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule lead:rule");
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, NULL, &w->err));
	assert_string_equal(world_user(w, "anna"), "staff active lead:rule");
	LOGIN_IN(w, "n1 anna title=xlead");
	world_check_audit(w);
}

/* --- once --- */

static void test_replay(void **state)
{
	struct world *w = *state;
	struct login_outcome outcome;
	struct sent sent;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	for (int i = 0; i < 3; i++) {
		world_send(w, &sent, "n1 anna", "_once");
		sent.login.token = digest256(&i, sizeof(i));
		outcome = send_it(w, &sent);
		assert_string_equal(outcome.refused, i == 0 ? "" : "replayed");
		/* Also by whoever comes after a restart. */
		if (i == 1)
			world_open(w, SAML_RULES WIDE WITH(IDP));
	}
	assert_int_equal(world_sessions(w), 1);
	/* Refused, and used up all the same. */
	world_send(w, &sent, "n2 nobody", "_other");
	assert_string_equal(send_it(w, &sent).refused, "not-provisioned");
	world_send(w, &sent, "n1 anna", "_other");
	assert_string_equal(send_it(w, &sent).refused, "replayed");
	assert_int_equal(world_audited(w, "login.refused", ""), 4);
}

static void test_request_used_twice(void **state)
{
	struct world *w = *state;
	struct sent sent;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	for (int i = 0; i < 2; i++) {
		world_send(w, &sent, "n1 anna", i ? "_b" : "_a");
		sent.login.request_id = "_request";
		sent.login.request_until_s = NOW + 300;
		assert_string_equal(send_it(w, &sent).refused, i ? "request-used" : "");
	}
	/* The second answer is good for nothing, also unsolicited. */
	world_send(w, &sent, "n1 anna", "_b");
	assert_string_equal(send_it(w, &sent).refused, "replayed");
	assert_int_equal(world_sessions(w), 1);
}

static void test_test_login(void **state)
{
	struct world *w = *state;
	const char *before;
	struct sent sent;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	before = world_dump(w);
	world_send(w, &sent, "n1 anna @idp:sales", "_t");
	sent.login.test = true;
	sent.login.just_in_time = true;
	assert_string_equal(send_it(w, &sent).refused, "");
	assert_string_equal(world_dump(w), before);
	assert_int_equal(world_sessions(w), 0);
	assert_int_equal(world_audited(w, "login.test", ""), 1);
	world_send(w, &sent, "n1 anna", "_t");
	assert_string_equal(send_it(w, &sent).refused, "replayed");
}

static void test_preview(void **state)
{
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct setup *setup;
	struct person person;
	const char *refused, *before;
	struct sent sent;
	int64_t user_id;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna title=ops\n", 0, NULL);
	before = world_dump(w);
	store = world_read(w);
	setup = changer_setup(w->changer);
	world_send(w, &sent, "n1 anna @idp:sales", "_p");
	sent.login.assertion = &sent.assertion;
	ok(w, change_login_preview(setup, store, &sent.login, w->arena, &user_id, &person, &refused,
				   &w->err));
	assert_string_equal(refused, "");
	assert_int_equal(user_id, 1);
	assert_int_equal(person.identity_count, 2);
	assert_int_equal(person.group_count, 1);
	strbuf_finish(&sent.record);
	world_send(w, &sent, "n2 ben", "_q");
	sent.login.assertion = &sent.assertion;
	ok(w, change_login_preview(setup, store, &sent.login, w->arena, &user_id, &person, &refused,
				   &w->err));
	assert_string_equal(refused, "not-provisioned");
	assert_int_equal(user_id, 0);
	assert_int_equal(person.identity_count, 1);
	strbuf_finish(&sent.record);
	setup_release(setup);
	assert_string_equal(world_dump(w), before);
}

/* --- rules and reads go on around it --- */

static void test_rules_change_between(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	LOGIN_IN(w, "n1 anna @idp:sales @idp:managers");
	assert_string_equal(world_user(w, "anna"), "manager active sales:rule");
	/* From what she said when she signed in; a group that nobody was asked for is unknown. */
	world_reload(
		w,
		SAML_RULES
		"  - {id: night, groups: ['idp:night'], grant: {roles: [night]}}\n"
		"  - {id: calm, when: '(objectClass=*)', grant: {roles: [ops]}}\n" WIDE WITH(IDP),
		NULL);
	assert_string_equal(world_user(w, "anna"), "manager active sales:rule");
	LOGIN_IN(w, "n1 anna @idp:night");
	assert_string_equal(world_user(w, "anna"), "staff active night:rule");
	/* A reload without change of rules takes nothing. */
	world_reload(w, SAML_RULES WIDE WITH(IDP), NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	world_check_audit(w);
}

/* What the IdP said stands beside what the directory says, until it says something else. */
static void test_reads_leave_it_alone(void **state)
{
	struct world *w = *state;
	const char *before;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna @idp:sales");
	LOGIN_JIT(w, "n3 cleo");
	before = world_dump(w);
	for (int i = 0; i < 3; i++)
		world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	assert_string_equal(world_dump(w), before);
	world_reload(w, SAML_RULES WIDE WITH(IDP), NULL);
	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna title=ops\nk2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule sales:rule");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	/* It cannot be read: everybody would be missing. */
	assert_null(sync_begin(w->changer, NULL, "idp", &test_sync, false, &w->err));
	assert_string_equal(err_reason(&w->err), "not-readable");
}

/* A deny over a group of the IdP must not be unknown for all who are not in it. */
static void test_absence_from_a_group_is_known(void **state)
{
	struct world *w = *state;
	const char *yaml = SAML_RULES
		"  - {id: barred, groups: ['idp:barred'], deny: {roles: [ops]}}\n" WIDE WITH(IDP);

	world_open(w, yaml);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	LOGIN_IN(w, "n2 ben @idp:barred");
	world_sync(w, "corp", "k1 anna title=ops\nk2 ben title=ops\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule");
	assert_string_equal(world_user(w, "ben"), "staff active");
	world_open(w, yaml);
	world_sync(w, "corp", "k1 anna title=ops\nk2 ben title=ops\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule");
}

/* The record was made before a reload brought a new group: its absence says nothing. */
static void test_record_of_an_older_configuration(void **state)
{
	struct world *w = *state;
	struct setup *old = world_setup(w, SAML_RULES WIDE WITH(IDP));
	struct sent sent;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	LOGIN_IN(w, "n1 anna @idp:sales");
	world_send(w, &sent, "n1 anna", "_old");
	sent.login.setup = old;
	assert_string_equal(send_it(w, &sent).refused, "");
	assert_string_equal(world_user(w, "anna"), "staff active sales:rule");
	LOGIN_IN(w, "n1 anna");
	assert_string_equal(world_user(w, "anna"), "staff active");
	setup_release(old);
}

/* The directory is gone from the configuration: having signed in does not bring anybody back. */
static void test_source_gone(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	world_sync(w, "corp", "k2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff disabled(missing)");
	world_reload(w, SAML_RULES WIDE "sources: [" IDP_ALONE "]\n", NULL);
	assert_string_equal(world_user(w, "anna"), "staff disabled(missing)");
	LOGIN_OUT(w, "n1 anna", true, "disabled");
	/* And the IdP: nobody signs in, and whoever did loses nothing but what it gave. */
	world_reload(w, RULES WIDE "sources: [{name: corp, type: ldif}]\n", NULL);
	assert_string_equal(world_user(w, "ben"), "staff active");
}

/* --- who does not come any more --- */

#define STALE \
	"policy: {default_profile: staff, stale_after: 30d, limits: {disables_min: 2, " \
	"disables_percent: 0}}\n"

static void test_stale(void **state)
{
	struct world *w = *state;
	struct sent sent;
	char line[32];

	world_open(w, SAML_RULES STALE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	LOGIN_JIT(w, "n2 ben");
	LOGIN_JIT(w, "n3 cleo");
	ok(w, change_stale(w->changer, NOW + 30 * DAY, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff active");
	/* cleo comes once more: the same as ever, and that counts. */
	world_send(w, &sent, "n3 cleo", "_again");
	sent.login.now_s = NOW + 20 * DAY;
	assert_string_equal(send_it(w, &sent).refused, "");
	ok(w, change_stale(w->changer, NOW + 30 * DAY + 1, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_int_equal(world_sessions(w), 3);
	/* Signing in brings nobody back; a person does, and it lasts. */
	LOGIN_OUT(w, "n2 ben", true, "disabled");
	ok(w, change_user_enable(w->changer, &test_person, "ben", &w->err));
	assert_string_equal(world_user(w, "ben"), "staff active");
	ok(w, change_stale(w->changer, change_now(), &w->err));
	assert_string_equal(world_user(w, "ben"), "staff active");
	/* Many at once wait for consent, as everywhere. */
	for (int i = 0; i < 4; i++) {
		snprintf(line, sizeof(line), "m%d u%d", i, i);
		LOGIN_JIT(w, line);
	}
	ok(w, change_stale(w->changer, NOW + 40 * DAY, &w->err));
	assert_string_equal(world_user(w, "u0"), "staff active");
	world_held(w);
	world_check_audit(w);
}

#define STALE_DESK \
	"profiles: [{name: administrator}, {name: desk, permissions: ['users:*@all', 'a:*@all']}, " \
	"{name: staff, permissions: ['a:read@all']}]\n" \
	"segments: [Core]\n" \
	"roles: [{name: ops, classifications: [Support], segments: [Core], permissions: ['b:*@all']}]\n" STALE

/* A file's row would bring somebody back, and is refused for what else it says: nobody has seen them. */
static void test_stale_refused(void **state)
{
	static const char *const ops[] = { "ops" };
	struct world *w = *state;
	struct actor desk = {
		.name = "user:desk", .request = "", .is_person = true, .limited = true
	};
	const struct new_user somebody = { .username = "desk", .profile = "desk" };
	const struct import_row rows[] = {
		{ .username = "ben", .state = "active", .names[GRANT_ROLE] = { true, ops, 1 } },
		{ .username = "cleo", .state = "active" },
	};
	struct import_result results[ARRAY_LEN(rows)] = { 0 };
	int64_t shift = NOW - change_now() + 31 * DAY;
	struct import *import;
	struct store *store;
	struct uuid uuid;
	struct user user;

	world_open(w, STALE_DESK WITH(IDP));
	ok(w, change_user_create(w->changer, &test_person, &somebody, &uuid, &w->err));
	store = world_read(w);
	ok(w, store_user_find(store, USER_BY_USERNAME, "desk", w->arena, &user, &w->err));
	store_close(store);
	desk.user_id = user.id;
	LOGIN_JIT(w, "n2 ben");
	LOGIN_JIT(w, "n3 cleo");
	change_test_clock.passed_s += shift;
	ok(w, change_stale(w->changer, change_now(), &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	import = import_begin(w->changer, &desk, false, &w->err);
	assert_non_null(import);
	ok(w, import_rows(import, rows, ARRAY_LEN(rows), w->arena, results, &w->err));
	import_destroy(import);
	assert_string_equal(results[0].code, "not-allowed");
	assert_null(results[1].code);
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	world_reload(w, STALE_DESK WITH(IDP) "personas: [{name: scout}]\n", NULL);
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	assert_string_equal(world_user(w, "cleo"), "staff active");
	change_test_clock.passed_s -= shift;
}

static struct orphaning_counts orphaned(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct orphaning_counts counts;

	ok(w, store_orphaning_counts(store, &counts, &w->err));
	return counts;
}

/* What somebody is responsible for hinders no IdP: it waits for somebody else, and is counted. */
static void test_stale_with_references(void **state)
{
	struct world *w = *state;
	const struct reference_wish wish = { "crm", "account-manager", "a1", "ben", "Manages" };
	enum ownership_outcome outcome;
	const char *field;

	world_open(w, SAML_RULES STALE WITH(IDP));
	LOGIN_JIT(w, "n2 ben");
	ok(w, change_reference_put(w->changer, &test_person, &wish, 0, &outcome, &field, &w->err));
	refused(w, change_user_disable(w->changer, &test_person, "ben", "", &w->err),
		"user-has-references");
	assert_int_equal(orphaned(w).users, 0);
	ok(w, change_stale(w->changer, NOW + 30 * DAY + 1, &w->err));
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	assert_int_equal(orphaned(w).users, 1);
	assert_int_equal(orphaned(w).references, 1);
	world_check_audit(w);
}

/* Switched off: nobody comes in, but for a test; what it gave stays, and nobody is called stale for it. */
static void test_source_off(void **state)
{
	struct world *w = *state;
	int64_t shift = NOW - change_now() + 31 * DAY;
	struct sent sent;

	world_open(w, SAML_RULES STALE WITH(IDP));
	LOGIN_JIT(w, "n2 ben");
	assert_string_equal(world_user(w, "ben"), "staff active");
	world_reload(w, SAML_RULES STALE WITH("{name: idp, type: saml, enabled: false}"), NULL);
	LOGIN_OUT(w, "n2 ben", true, "source-disabled");
	LOGIN_OUT(w, "n9 dora", true, "source-disabled");
	world_send(w, &sent, "n2 ben", "_test");
	sent.login.test = true;
	assert_string_equal(send_it(w, &sent).refused, "");
	assert_int_equal(world_sessions(w), 1);
	change_test_clock.passed_s += shift;
	ok(w, change_stale(w->changer, change_now(), &w->err));
	world_reload(w, SAML_RULES STALE WITH("{name: idp, type: saml, enabled: false}"), NULL);
	assert_string_equal(world_user(w, "ben"), "staff active");
	world_reload(w, SAML_RULES STALE WITH(IDP_ALONE), NULL);
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	change_test_clock.passed_s -= shift;
	world_check_audit(w);
}

/* A reload sees it the same way; a directory that knows them ends it. */
static void test_stale_ends(void **state)
{
	struct world *w = *state;
	int64_t shift = NOW - change_now() + 31 * DAY;

	world_open(w, SAML_RULES STALE WITH("{name: idp, type: saml, authoritative_domains: "
					    "[x.example]}"));
	LOGIN_JIT(w, "n2 ben");
	change_test_clock.passed_s += shift;
	world_reload(w, SAML_RULES STALE WITH(IDP_ALONE), NULL);
	assert_string_equal(world_user(w, "ben"), "staff disabled(stale)");
	world_reload(w,
		     SAML_RULES STALE
		     "sources: [{name: corp, type: ldif, link: {attribute: uid, source: idp, "
		     "other: uid}}, " IDP_ALONE "]\n",
		     NULL);
	world_sync(w, "corp", "k1 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "ben"), "staff active");
	change_test_clock.passed_s -= shift;
}

/* --- sessions --- */

static void test_disable_ends_sessions(void **state)
{
	struct world *w = *state;
	struct told told;
	int64_t id;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	id = login(w, "n1 anna", false).session.id;
	LOGIN_IN(w, "n1 anna");
	LOGIN_IN(w, "n2 ben");
	observe(w, &told);
	ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
	assert_string_equal(told.text, "disabling 1;ended 1;ended 2;changed 1;");
	assert_int_equal(world_sessions(w), 1);
	assert_int_equal(world_audited(w, "session.end", ""), 1);
	refused(w,
		change_session_token_add(w->changer,
					 &(struct session_token){ .session_id = id, .host = "h" },
					 &w->err),
		"not-found");
	LOGIN_OUT(w, "n1 anna", true, "disabled");
	/* By a read, by a reload, by what merely changes. */
	told.text[0] = '\0';
	world_sync(w, "corp", "k1 anna\nk2 ben !\n", 0, NULL);
	assert_string_equal(told.text, "disabling 2;ended 3;changed 2;");
	assert_int_equal(world_sessions(w), 0);
	told.text[0] = '\0';
	world_sync(w, "corp", "k1 anna\nk2 ben title=ops\n", 0, NULL);
	assert_string_equal(told.text, "changed 2;");
	told.text[0] = '\0';
	world_reload(w, "profiles: [{name: administrator}, {name: staff}]\n" WIDE WITH(IDP), NULL);
	assert_string_equal(told.text, "changed 2;");
	world_check_audit(w);
}

/* What is refused or fails tells of nothing. */
static void test_only_what_is_committed_is_told(void **state)
{
	struct world *w = *state;
	struct told told;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\n", 0, NULL);
	observe(w, &told);
	refused(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err),
		"last-administrator");
	refused(w, change_user_disable(w->changer, &test_person, "nobody", "", &w->err),
		"not-found");
	LOGIN_OUT(w, "n9 dora", false, "not-provisioned");
	assert_string_equal(told.text, "");
	LOGIN_IN(w, "n2 ben");
	assert_string_equal(told.text, "");
	LOGIN_IN(w, "n2 ben @idp:sales");
	assert_string_equal(told.text, "changed 2;");
}

static void test_sessions_end(void **state)
{
	struct world *w = *state;
	struct told told;
	int64_t ids[4] = { 0, 77, 0, 0 };
	struct session seen = { .seen_s = NOW + 5, .until_s = NOW + 50 };
	struct session found;
	AUTO(store) struct store *store = NULL;
	size_t ended;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	ids[0] = login(w, "n1 anna", false).session.id;
	ids[2] = login(w, "n1 anna", false).session.id;
	ids[3] = login(w, "n2 ben", false).session.id;
	observe(w, &told);
	/* Whatever has ended is passed over. */
	ok(w, change_sessions_end(w->changer, &test_person, ids, 3, "by-administrator", &ended,
				  &w->err));
	assert_int_equal(ended, 2);
	assert_string_equal(told.text, "ended 1;ended 2;");
	assert_int_equal(world_audited(w, "session.end", ""), 2);
	seen.id = 1;
	ok(w, change_sessions_seen(w->changer, &seen, 1, &w->err));
	seen.id = ids[3];
	ok(w, change_sessions_seen(w->changer, &seen, 1, &w->err));
	store = world_read(w);
	ok(w, store_session_get(store, ids[3], w->arena, &found, &w->err));
	assert_int_equal(found.seen_s, NOW + 5);
	/* Nothing else of it: what was gathered may be older than what a stage wrote. */
	assert_int_not_equal(found.until_s, NOW + 50);
	told.text[0] = '\0';
	ok(w, change_sessions_prune(w->changer, NOW + 49, NOW + 5, &w->err));
	assert_int_equal(world_sessions(w), 1);
	ok(w, change_sessions_prune(w->changer, NOW + 49, NOW + 6, &w->err));
	assert_int_equal(world_sessions(w), 0);
	assert_string_equal(told.text, "ended 3;");
	world_check_audit(w);
}

static void test_idp_ends_sessions(void **state)
{
	struct world *w = *state;
	const char *const indexes[] = { "i2", "i3" };
	struct saml_logout logout = { .is_request = true,
				      .id = "_l1",
				      .name_id = "name-2",
				      .session_indexes = indexes,
				      .session_index_count = 2,
				      .replay_until_s = NOW + 60 };
	struct sent sent;
	size_t ended = 9;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	for (int i = 1; i <= 4; i++) {
		world_send(w, &sent, "n2 ben", arena_printf(w->arena, "_x%d", i));
		sent.assertion.name_id = "name-2";
		sent.assertion.session_index = arena_printf(w->arena, "i%d", i);
		assert_string_equal(send_it(w, &sent).refused, "");
	}
	LOGIN_IN(w, "n1 anna");
	ok(w, change_sessions_end_by_idp(w->changer, &test_sync, "idp", &logout, &ended, &w->err));
	assert_int_equal(ended, 2);
	refused(w,
		change_sessions_end_by_idp(w->changer, &test_sync, "idp", &logout, &ended, &w->err),
		"replayed");
	logout.id = "_l2";
	logout.session_index_count = 0;
	ok(w, change_sessions_end_by_idp(w->changer, &test_sync, "idp", &logout, &ended, &w->err));
	assert_int_equal(ended, 2);
	assert_int_equal(world_sessions(w), 1);
	/* Somebody without a name is not everybody without one. */
	logout.id = "_l3";
	logout.name_id = "";
	refused(w,
		change_sessions_end_by_idp(w->changer, &test_sync, "idp", &logout, &ended, &w->err),
		"invalid-request");
	assert_int_equal(world_audited(w, "session.end", ""), 4);
}

static void test_used_up_is_pruned(void **state)
{
	struct world *w = *state;
	struct sent sent;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	world_send(w, &sent, "n1 anna", "_p");
	send_it(w, &sent);
	ok(w, change_sessions_prune(w->changer, NOW + 600, 0, &w->err));
	world_send(w, &sent, "n1 anna", "_p");
	assert_string_equal(send_it(w, &sent).refused, "replayed");
	ok(w, change_sessions_prune(w->changer, NOW + 601, 0, &w->err));
	world_send(w, &sent, "n1 anna", "_p");
	sent.login.token = digest256("z", 1);
	assert_string_equal(send_it(w, &sent).refused, "");
}

static void test_refused_before(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	ok(w, change_login_refused(w->changer, &test_sync, "idp", "signature", "no key fits",
				   "192.0.2.9", &w->err));
	assert_string_equal(world_audit(w, "login.refused"),
			    "sync source {\"reason\":\"signature\",\"detail\":\"no key fits\","
			    "\"address\":\"192.0.2.9\"}\n");
}

/* A message that ends nobody's session is no refused sign-in: whoever counts those is not misled. */
static void test_refused_logout(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	ok(w, change_logout_refused(w->changer, &test_sync, "idp", "replayed", NULL, "192.0.2.9",
				    &w->err));
	assert_string_equal(world_audit(w, "logout.refused"),
			    "sync source {\"reason\":\"replayed\",\"address\":\"192.0.2.9\"}\n");
	assert_string_equal(world_audit(w, "login.refused"), "");
}

/* --- many at once --- */

#define THREADS 8
#define EACH 40
#define PEOPLE 100

struct worker {
	struct world *w;
	struct setup *setup;
	int number;
	int in, replayed;
	bool own;
	int spread; /* over so many people, until it is told to stop; 0: anna alone */
	atomic_bool stop;
};

static void *work(void *context)
{
	struct worker *worker = context;
	AUTO(arena) struct arena *arena = arena_create(1 << 28);
	struct world mine = { .changer = worker->w->changer, .arena = arena };

	for (int i = 0; worker->spread ? !worker->stop : i < EACH; i++) {
		struct login_outcome outcome;
		struct sent sent;
		char line[64];

		snprintf(line, sizeof(line), "n1 anna %s", i & 1 ? "@idp:sales" : "");
		if (worker->own)
			snprintf(line, sizeof(line), "m%d-%d w%d-%d", worker->number, i,
				 worker->number, i);
		if (worker->spread)
			snprintf(line, sizeof(line), "n%d s%d title=ops", i % worker->spread,
				 i % worker->spread);
		world_send(&mine, &sent, line,
			   worker->own || worker->spread
				   ? arena_printf(arena, "_%d-%d", worker->number, i)
				   : arena_printf(arena, "_%d", i));
		sent.login.token = digest256_pair(&worker->number, sizeof(int), &i, sizeof(int));
		sent.login.just_in_time = worker->own;
		outcome = send_it(&mine, &sent);
		worker->in += outcome.refused[0] == '\0';
		worker->replayed += strcmp(outcome.refused, "replayed") == 0;
	}
	return NULL;
}

static void run_threads(struct world *w, bool own, int *ret_in, int *ret_replayed)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	*ret_in = *ret_replayed = 0;
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .w = w, .number = i, .own = own };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		*ret_in += workers[i].in;
		*ret_replayed += workers[i].replayed;
	}
}

/* Each assertion is good for one of the eight who bring it. */
static void test_one_person_from_many_threads(void **state)
{
	struct world *w = *state;
	int in, replayed;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	run_threads(w, false, &in, &replayed);
	assert_int_equal(in, EACH);
	assert_int_equal(replayed, (THREADS - 1) * EACH);
	assert_int_equal(world_sessions(w), EACH);
	world_check_audit(w);
	world_check_sane(w, false);
}

static void test_newcomers_from_many_threads(void **state)
{
	struct world *w = *state;
	int in, replayed;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	run_threads(w, true, &in, &replayed);
	assert_int_equal(in, THREADS * EACH);
	assert_int_equal(world_sessions(w), THREADS * EACH);
	world_check_audit(w);
	world_check_sane(w, false);
}

/* Whoever is disabled has no session from then on, whatever was under way. */
static void *disable_and_enable(void *context)
{
	struct worker *worker = context;
	AUTO(arena) struct arena *arena = arena_create(1 << 28);
	struct world mine = { .changer = worker->w->changer, .arena = arena };

	memcpy(mine.path, worker->w->path, sizeof(mine.path));
	for (int i = 0; i < EACH; i++) {
		ok(&mine, change_user_disable(mine.changer, &test_person, "anna", "", &mine.err));
		assert_int_equal(world_sessions(&mine), 0);
		ok(&mine, change_user_enable(mine.changer, &test_person, "anna", &mine.err));
	}
	return NULL;
}

static void test_disable_during_login(void **state)
{
	struct world *w = *state;
	struct worker worker = { .w = w }, other = { .w = w };
	pthread_t threads[2];

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	assert_int_equal(pthread_create(&threads[0], NULL, work, &worker), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, disable_and_enable, &other), 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	world_check_audit(w);
}

/* While a reload's batches are under way, nobody who signs in gets back what they took. */
static void test_login_during_reload(void **state)
{
	struct world *w = *state;
	AUTO(strbuf) struct strbuf people = STRBUF(1 << 20);
	struct worker workers[2] = { { .w = w, .spread = PEOPLE },
				     { .w = w, .number = 1, .spread = PEOPLE } };
	pthread_t threads[2];

	change_batch_people = 1;
	for (int i = 0; i < PEOPLE; i++)
		strbuf_printf(&people, "k%d s%d title=ops\n", i, i);
	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", strbuf_text(&people), 0, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	world_reload(
		w,
		"profiles: [{name: administrator}, {name: manager}, {name: staff}]\n" WIDE WITH(
			IDP),
		NULL);
	workers[0].stop = workers[1].stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	print_message("%d and %d meanwhile\n", workers[0].in, workers[1].in);
	for (int i = 0; i < PEOPLE; i++)
		assert_string_equal(world_user(w, arena_printf(w->arena, "s%d", i)),
				    "staff active");
	change_batch_people = 500;
	world_check_audit(w);
}

/* The index of link values is shared, and nobody is found by what is no longer so. */
static void test_links_follow_the_directory(void **state)
{
	struct world *w = *state;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	LOGIN_IN(w, "n1 anna");
	LOGIN_OUT(w, "n3 cleo", false, "not-provisioned");
	LOGIN_IN(w, "n2 ben");
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 cleo\nk4 dora\n", 0, NULL);
	LOGIN_IN(w, "n3 cleo");
	/* dora gets another name before she ever signed in; somebody else gets hers. */
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 cleo\nk4 dorothea\n", 0, NULL);
	LOGIN_OUT(w, "n4 dora", false, "not-provisioned");
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 cleo\nk4 dorothea\nk5 dora\n", 0, NULL);
	LOGIN_IN(w, "n4 dora");
	LOGIN_OUT(w, "n5 dora", false, "duplicate-link");
	LOGIN_IN(w, "n6 dorothea");
	ok(w, change_sessions_prune(w->changer, NOW, 0, &w->err));
	ok(w, change_sessions_prune(w->changer, NOW, 0, &w->err));
	LOGIN_OUT(w, "n7 gina", false, "not-provisioned");
	world_reload(w, SAML_RULES WIDE WITH(IDP_ALONE), NULL);
	LOGIN_OUT(w, "n8 anna", false, "not-provisioned");
}

/* Long names would be kept with each session. */
static void test_bounds(void **state)
{
	struct world *w = *state;
	struct login_outcome outcome;
	struct sent sent;
	char agent[400];
	char *huge = malloc(3001);

	memset(huge, 'x', 3000);
	huge[3000] = '\0';
	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	world_send(w, &sent, "n1 anna", "_1");
	sent.assertion.session_index = huge;
	assert_string_equal(send_it(w, &sent).refused, "invalid-record");
	world_send(w, &sent, "n1 anna", "_2");
	sent.assertion.record_size--;
	assert_string_equal(send_it(w, &sent).refused, "invalid-record");
	world_send(w, &sent, "n1 anna", "_3");
	sent.login.source = "corp";
	assert_string_equal(send_it(w, &sent).refused, "source-disabled");
	/* Cut between characters. */
	agent[0] = 'a';
	for (size_t i = 1; i < 397; i += 2)
		memcpy(agent + i, "\xc3\xa4", 3);
	world_send(w, &sent, "n1 anna", "_4");
	sent.login.agent = agent;
	outcome = send_it(w, &sent);
	assert_string_equal(outcome.refused, "");
	assert_int_equal(strlen(outcome.session.agent), 199);
	free(huge);
}

/* --- memory --- */

#define ROOM (512 * 1024)

static void many(struct world *w, int from, int to)
{
	struct arena *arena = w->arena;

	for (int i = from; i < to; i++) {
		struct login_outcome outcome;
		struct actor actor = test_person;
		struct sent sent;
		char id[16];

		w->arena = arena_create(1 << 24);
		snprintf(id, sizeof(id), "_m%d", i);
		actor.request = id;
		world_send(w, &sent, i & 1 ? "n1 anna @idp:sales" : "n1 anna", id);
		outcome = send_it(w, &sent);
		assert_string_equal(outcome.refused, "");
		ok(w, change_sessions_end(w->changer, &actor, &outcome.session.id, 1, "logout",
					  NULL, &w->err));
		arena_destroy(w->arena);
	}
	w->arena = arena;
}

/* The writer gives the store's memory back when it has time. */
static size_t settled(size_t wanted)
{
	size_t used = mallinfo2().uordblks;

	for (int i = 0; i < 500 && used > wanted; i++) {
		usleep(20000);
		used = mallinfo2().uordblks;
	}
	return used;
}

static void test_memory(void **state)
{
	struct world *w = *state;
	int count = getenv("ROLEBRIDGE_VALGRIND") ? 300 : 10000;
	struct told told;
	size_t before, after;

	world_open(w, SAML_RULES WIDE WITH(IDP));
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	observe(w, &told);
	many(w, 0, 500);
	before = mallinfo2().uordblks;
	many(w, 500, 500 + count);
	after = settled(before + ROOM);
	print_message("%zu bytes, then %zu\n", before, after);
#ifndef RB_SANITIZE
	assert_true(after <= before + ROOM);
#endif
	ok(w, change_sessions_prune(w->changer, NOW + 100000, 0, &w->err));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_links_and_opens_a_session),
		cmocka_unit_test(test_who_comes_in),
		TEST(test_refused_leaves_nothing),
		TEST(test_nobody_comes_back),
		TEST(test_quarantined_gets_no_second_user),
		TEST(test_suspended),
		TEST(test_last_administrator),
		TEST(test_keeps_names),
		TEST(test_limits),
		TEST(test_held_waits_on),
		TEST(test_replay),
		TEST(test_request_used_twice),
		TEST(test_test_login),
		TEST(test_preview),
		TEST(test_rules_change_between),
		TEST(test_reads_leave_it_alone),
		TEST(test_absence_from_a_group_is_known),
		TEST(test_record_of_an_older_configuration),
		TEST(test_source_gone),
		TEST(test_stale),
		TEST(test_stale_refused),
		TEST(test_stale_with_references),
		TEST(test_source_off),
		TEST(test_stale_ends),
		TEST(test_disable_ends_sessions),
		TEST(test_only_what_is_committed_is_told),
		TEST(test_sessions_end),
		TEST(test_idp_ends_sessions),
		TEST(test_used_up_is_pruned),
		TEST(test_refused_before),
		TEST(test_refused_logout),
		TEST(test_one_person_from_many_threads),
		TEST(test_newcomers_from_many_threads),
		TEST(test_disable_during_login),
		TEST(test_login_during_reload),
		TEST(test_links_follow_the_directory),
		TEST(test_bounds),
		TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
