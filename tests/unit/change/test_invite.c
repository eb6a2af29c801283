/* Invites and imports where two come at once, and where the disk or somebody's authority ends in their middle. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/import.h>
#include <rolebridge/change/invite.h>
#include <rolebridge/change/token.h>

#include "support.h"

#define CONFIG RULES POLICY SOURCES
#define THREADS 4
#define ROUNDS 50

static struct uuid invite(struct world *w, const char *email, const char *profile)
{
	const struct new_invite asked = { .email = email, .profile = profile, .lifetime_s = 1000 };
	const char *field;
	struct uuid uuid;

	ok(w, change_invite_create(w->changer, &test_person, &asked, &uuid, &field, &w->err));
	return uuid;
}

/* --- once --- */

struct comer {
	struct changer *changer;
	struct uuid invite;
	pthread_barrier_t *barrier;
	int result;
	struct err err;
};

static void *come(void *context)
{
	struct comer *comer = context;
	struct uuid user;

	pthread_barrier_wait(comer->barrier);
	comer->result = change_invite_accept(comer->changer, "request", &comer->invite, 1, NULL,
					     &user, &comer->err);
	return NULL;
}

/* Whoever comes with the same link at the same moment: one of them, and one user. */
static void test_one_of_many(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	for (int round = 0; round < ROUNDS; round++) {
		struct comer comers[THREADS] = { 0 };
		pthread_t threads[THREADS];
		pthread_barrier_t barrier;
		char email[64];
		int won = 0;

		snprintf(email, sizeof(email), "p%d@x.example", round);
		pthread_barrier_init(&barrier, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			comers[i] = (struct comer){ .changer = w->changer, .barrier = &barrier };
			comers[i].invite = i ? comers[0].invite : invite(w, email, "staff");
		}
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, come, &comers[i]), 0);
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			won += comers[i].result == 0;
			if (comers[i].result < 0)
				assert_string_equal(err_reason(&comers[i].err), "invite-used");
		}
		pthread_barrier_destroy(&barrier);
		assert_int_equal(won, 1);
		assert_string_equal(world_user(w, email), "staff active");
	}
	world_check_audit(w);
}

/* --- steps --- */

static void test_steps(void **state)
{
	struct world *w = *state;
	struct uuid first, user;

	world_open(w, CONFIG);
	first = invite(w, "ada@x.example", "manager");
	refused(w, change_invite_accept(w->changer, "", &first, 2, NULL, &user, &w->err),
		"invite-superseded");
	ok(w, change_invite_resend(w->changer, &test_person, &first, 1000, &w->err));
	refused(w, change_invite_accept(w->changer, "", &first, 1, NULL, &user, &w->err),
		"invite-superseded");
	ok(w, change_invite_resend(w->changer, &test_person, &first, -1, &w->err));
	refused(w, change_invite_accept(w->changer, "", &first, 3, NULL, &user, &w->err),
		"invite-expired");
	ok(w, change_invite_resend(w->changer, &test_person, &first, 1000, &w->err));
	ok(w, change_invite_accept(w->changer, "", &first, 4, NULL, &user, &w->err));
	assert_string_equal(world_user(w, "ada@x.example"), "manager active");
	refused(w, change_invite_revoke(w->changer, &test_person, &first, &w->err), "invite-used");
	world_check_audit(w);
}

/* What it gives is gone meanwhile: nobody comes by it, whoever sent it. */
static void test_a_profile_that_is_gone(void **state)
{
	struct world *w = *state;
	struct run_report report;
	struct uuid first, user;

	world_open(w, "profiles: [{name: administrator}, {name: staff}, {name: brief}]\n" POLICY);
	first = invite(w, "ada@x.example", "brief");
	world_reload(w, "profiles: [{name: administrator}, {name: staff}]\n" POLICY, &report);
	run_report_finish(&report);
	refused(w, change_invite_accept(w->changer, "", &first, 1, NULL, &user, &w->err),
		"invite-not-allowed");
	assert_string_equal(world_user(w, "ada@x.example"), "");
}

/* --- who may not --- */

#define DESK \
	"profiles:\n" \
	"  - {name: administrator}\n" \
	"  - {name: desk, permissions: ['users:*@all']}\n" \
	"  - {name: staff}\n" \
	"policy: {default_profile: staff, protected_users: [rescue]}\n" \
	"sources: [{name: far, type: ldif, organization: other}]\n"

/* Somebody who may do anything to users, but is no administrator. */
static struct actor open_desk(struct world *w)
{
	const struct new_user desk = { .username = "desk", .profile = "desk" };
	struct actor actor = {
		.name = "user:desk", .request = "", .is_person = true, .limited = true
	};
	struct store *store;
	struct uuid uuid;
	struct user user;

	world_open(w, DESK);
	ok(w, change_user_create(w->changer, &test_person, &desk, &uuid, &w->err));
	store = world_read(w);
	ok(w, store_user_find(store, USER_BY_USERNAME, "desk", w->arena, &user, &w->err));
	store_close(store);
	actor.user_id = user.id;
	return actor;
}

/* Reads never disable whoever is protected: only administrators invite somebody of such a name. */
static void test_a_protected_name(void **state)
{
	struct world *w = *state;
	const struct actor desk = open_desk(w);
	const struct new_invite asked = {
		.email = "r@x.example", .username = "rescue", .profile = "staff", .lifetime_s = 1000
	};
	const char *field;
	struct uuid uuid;

	refused(w, change_invite_create(w->changer, &desk, &asked, &uuid, &field, &w->err),
		"not-allowed");
	ok(w, change_invite_create(w->changer, &test_person, &asked, &uuid, &field, &w->err));
	refused(w, change_invite_resend(w->changer, &desk, &uuid, 1000, &w->err), "not-allowed");
}

/* A service vouches for nothing when its last token is revoked. */
static void test_a_service_that_is_gone(void **state)
{
	static const char *const scope[] = { "users:invite@all" };
	struct world *w = *state;
	const struct actor service = { .name = "service:feed",
				       .request = "",
				       .is_person = true,
				       .limited = true,
				       .organization = "default",
				       .scope = scope,
				       .scope_count = 1 };
	const struct new_token token = { .name = "t",
					 .service = "feed",
					 .scope = scope,
					 .scope_count = 1,
					 .expires_s = TEST_NOW };
	const struct new_invite first = { .email = "a@x.example",
					  .profile = "staff",
					  .lifetime_s = 1000 };
	const struct new_invite second = { .email = "b@x.example",
					   .profile = "staff",
					   .lifetime_s = 1000 };
	struct uuid made, invites[2], user;
	const char *field;

	open_desk(w);
	ok(w, change_token_create(w->changer, &test_person, &token, &made, &field, &w->err));
	ok(w, change_invite_create(w->changer, &service, &first, &invites[0], &field, &w->err));
	ok(w, change_invite_create(w->changer, &service, &second, &invites[1], &field, &w->err));
	ok(w, change_invite_accept(w->changer, "", &invites[0], 1, NULL, &user, &w->err));
	ok(w, change_token_revoke(w->changer, &test_person, &made, &w->err));
	refused(w, change_invite_accept(w->changer, "", &invites[1], 1, NULL, &user, &w->err),
		"invite-not-allowed");
}

/* Of a service's token that was revoked nothing is good, though another one of the service is. */
static void test_tokens_of_a_service(void **state)
{
	static const char *const scope[] = { "users:invite@all" };
	static const struct {
		const char *email, *token;
		bool is_good;
	} cases[] = {
		{ "a@x.example", "old", false },
		{ "b@x.example", "other", true },
		{ "c@x.example", NULL, true }, /* sent before it was noted which */
	};
	struct world *w = *state;
	struct new_token token = {
		.service = "feed", .scope = scope, .scope_count = 1, .expires_s = TEST_NOW
	};
	struct uuid made, other, invites[ARRAY_LEN(cases)], user;
	const char *field;

	open_desk(w);
	token.name = "old";
	ok(w, change_token_create(w->changer, &test_person, &token, &made, &field, &w->err));
	token.name = "other";
	token.hash.byte[0] = 1;
	ok(w, change_token_create(w->changer, &test_person, &token, &other, &field, &w->err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct actor service = { .name = "service:feed",
					       .request = "",
					       .is_person = true,
					       .limited = true,
					       .organization = "default",
					       .token = cases[i].token,
					       .scope = scope,
					       .scope_count = 1 };
		const struct new_invite asked = { .email = cases[i].email,
						  .profile = "staff",
						  .lifetime_s = 1000 };

		ok(w, change_invite_create(w->changer, &service, &asked, &invites[i], &field,
					   &w->err));
		/* Sent anew by the same. */
		ok(w, change_invite_resend(w->changer, &service, &invites[i], 1000, &w->err));
	}
	ok(w, change_token_revoke(w->changer, &test_person, &made, &w->err));
	/* Another one of its name vouches for what it sends itself. */
	token.name = "old";
	token.hash.byte[0] = 2;
	ok(w, change_token_create(w->changer, &test_person, &token, &made, &field, &w->err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (cases[i].is_good)
			ok(w, change_invite_accept(w->changer, "", &invites[i], 2, NULL, &user,
						   &w->err));
		else
			refused(w,
				change_invite_accept(w->changer, "", &invites[i], 2, NULL, &user,
						     &w->err),
				"invite-not-allowed");
	}
}

/* --- imports --- */

static void import_as(struct world *w, const struct actor *actor, const struct import_row *rows,
		      size_t count, bool dry_run, struct import_result *results)
{
	struct import *import = import_begin(w->changer, actor, dry_run, &w->err);

	assert_non_null(import);
	memset(results, 0, count * sizeof(*results));
	ok(w, import_rows(import, rows, count, w->arena, results, &w->err));
	ok(w, import_finish(import, &w->err));
	import_destroy(import);
}

static void import(struct world *w, const struct import_row *rows, size_t count, bool dry_run,
		   struct import_result *results)
{
	import_as(w, &test_person, rows, count, dry_run, results);
}

/* Of somebody in another organization nothing is told, in a dry run neither. */
static void test_somebody_elsewhere(void **state)
{
	struct world *w = *state;
	const struct actor desk = open_desk(w);
	const struct new_user far = { .username = "far",
				      .email = "away@x.example",
				      .display_name = "Far Away",
				      .organization = "other" };
	const struct import_row rows[] = {
		{ .username = "far", .display_name = "Far Away" },
		{ .username = "far", .display_name = "Nobody" },
		{ .username = "far", .state = "active" },
		{ .email = "away@x.example", .organization = "default" },
	};
	struct import_result results[ARRAY_LEN(rows)];
	struct uuid uuid;

	ok(w, change_user_create(w->changer, &test_person, &far, &uuid, &w->err));
	for (int dry = 1; dry >= 0; dry--) {
		import_as(w, &desk, rows, ARRAY_LEN(rows), dry, results);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			assert_int_equal(results[i].status, IMPORT_FAILED);
			assert_string_equal(results[i].code, "not-found");
			assert_false(results[i].has_user);
			assert_null(strstr(results[i].message, "far"));
		}
	}
}

static const char *const no_names[] = { NULL };
static const char *const sales_names[] = { "sales", "sales" };

#define ROLES(list, number) \
	{ \
		[GRANT_ROLE] = {.given = true, .names = (list), .count = (number) } \
	}

static void test_grants_of_a_file(void **state)
{
	struct world *w = *state;
	struct import_row row = { .username = "anna", .names = ROLES(sales_names, 2) };
	const struct import_row without = { .username = "anna", .profile = "manager" };
	struct import_result result;

	world_open(w, CONFIG);
	world_sync(w, "corp", "1 anna @sales\n2 ben\n", 0, NULL);
	/* A rule gives it: the file adds nothing. */
	import(w, &row, 1, false, &result);
	assert_int_equal(result.status, IMPORT_UNCHANGED);
	import(w, &without, 1, false, &result);
	assert_int_equal(result.status, IMPORT_UPDATED);
	assert_string_equal(world_user(w, "anna"), "manager active sales:rule");
	/* What the rule gives is not the file's to take. */
	row.names[GRANT_ROLE].names = no_names;
	row.names[GRANT_ROLE].count = 0;
	import(w, &row, 1, false, &result);
	assert_int_equal(result.status, IMPORT_UNCHANGED);
	row.username = "ben";
	row.names[GRANT_ROLE].names = sales_names;
	row.names[GRANT_ROLE].count = 2;
	import(w, &row, 1, false, &result);
	assert_string_equal(world_user(w, "ben"), "staff active sales:import");
	/* A sync leaves it alone, and the file takes it back. */
	world_sync(w, "corp", "1 anna @sales\n2 ben title=x\n", 0, NULL);
	assert_string_equal(world_user(w, "ben"), "staff active sales:import");
	row.names[GRANT_ROLE].count = 0;
	import(w, &row, 1, true, &result);
	assert_int_equal(result.status, IMPORT_UPDATED);
	import(w, &row, 1, false, &result);
	assert_string_equal(world_user(w, "ben"), "staff active");
	world_check_audit(w);
}

/* Whom a source disabled no file enables, and whom a file disabled a file enables. */
static void test_states(void **state)
{
	struct world *w = *state;
	const struct import_row off = { .username = "anna", .state = "disabled" };
	const struct import_row on = { .username = "anna", .state = "active" };
	const struct import_row gone = { .username = "ben", .state = "active" };
	const struct import_row stays = { .username = "ben", .state = "disabled" };
	struct import_result result;

	world_open(w, CONFIG);
	world_sync(w, "corp", "1 anna\n2 ben !disabled\n", 0, NULL);
	import(w, &off, 1, false, &result);
	assert_string_equal(world_user(w, "anna"), "staff disabled(hand)");
	import(w, &on, 1, false, &result);
	assert_string_equal(world_user(w, "anna"), "staff active");
	for (int dry = 1; dry >= 0; dry--) {
		import(w, &gone, 1, dry, &result);
		assert_string_equal(result.code, "managed-by-idp");
		assert_string_equal(result.field, "state");
		import(w, &stays, 1, dry, &result);
		assert_int_equal(result.status, IMPORT_UNCHANGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_of_many, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_steps, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_a_profile_that_is_gone, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_a_protected_name, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_tokens_of_a_service, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_a_service_that_is_gone, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_somebody_elsewhere, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_grants_of_a_file, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_states, world_set_up, world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
