/* Who sets who must prove a second factor, what that would do, and what asks for a fresh one. */
#include "stages.h"

#include <string.h>

#include <rolebridge/change/enforce.h>

static struct enforce_state get(struct world *w, const char *organization)
{
	AUTO(store) struct store *store = world_read(w);
	struct setup *setup = changer_setup(w->changer);
	struct enforce_state state;
	int result = change_enforce_get(setup, store, organization, w->arena, &state, &w->err);

	setup_release(setup);
	ok(w, result);
	return state;
}

static int set(struct world *w, const struct actor *actor, const char *body, int64_t version,
	       struct enforce_state *ret_state)
{
	struct enforce_change change = { .organization = "default", .version = version };

	ok(w, factor_policy_read(body, strlen(body), w->arena, &change.policy, &w->err));
	return change_enforce_set(w->changer, actor, &change, w->arena, ret_state, &w->err);
}

static void test_set(void **state)
{
	struct world *w = *state;
	const struct actor root = { .name = "unix:root", .request = "", .is_person = true };
	const struct actor anna = { .name = "user:anna",
				    .request = "",
				    .is_person = true,
				    .limited = true,
				    .permission = "second-factor:update@all",
				    .user_id = 1 };
	const struct actor local = { .name = "unix:anna", .request = "", .is_person = true };
	const struct actor ben = { .name = "user:ben",
				   .request = "",
				   .is_person = true,
				   .limited = true,
				   .permission = "second-factor:update@all",
				   .user_id = 2 };
	struct enforce_state after;
	struct login_outcome in;

	people_open(w, BASE);
	assert_int_equal(get(w, "default").from, ENFORCE_DEFAULT);
	assert_int_equal(get(w, "default").version, ENFORCE_VERSION_DEFAULT);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
	refused(w, set(w, &ben, "{\"required\":\"nobody\"}", 0, &after), "not-allowed");
	refused(w, set(w, &anna, "{\"required\":\"all\"}", 0, &after), "self-lockout");
	refused(w, set(w, &local, "{\"required\":\"administrators\"}", 0, &after), "self-lockout");
	/* Also within grace: who sets it is ready. */
	refused(w, set(w, &anna, "{\"required\":\"all\",\"grace\":{\"sign_ins\":9}}", 0, &after),
		"self-lockout");
	ok(w, set(w, &anna, "{\"required\":\"chosen\",\"profiles\":[\"staff\"]}",
		  ENFORCE_VERSION_DEFAULT, &after));
	assert_int_equal(after.version, 2);
	/* Two who saw that nobody had set one yet: the second is told. */
	refused(w, set(w, &anna, "{\"required\":\"nobody\"}", ENFORCE_VERSION_DEFAULT, &after),
		"stale-version");
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	in = HERE(w, "n1 anna");
	assert_int_equal(in.session.stage, SESSION_FULL);
	assert_int_equal(get(w, "default").from, ENFORCE_STORE);
	assert_int_equal(get(w, "default").version, 2);
	assert_string_equal(get(w, "default").policy.profiles.items[0], "staff");
	refused(w, set(w, &anna, "{\"required\":\"nobody\"}", 3, &after), "stale-version");
	ok(w, set(w, &anna, "{\"required\":\"chosen\",\"roles\":[\"night\"]}", 2, &after));
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
	enrol(w, 1, FACTOR_TOTP);
	refused(w,
		set(w, &anna, "{\"required\":\"all\",\"administrator_methods\":[\"webauthn\"]}", 0,
		    &after),
		"self-lockout");
	ok(w, set(w, &anna, "{\"required\":\"all\"}", 3, &after));
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	ok(w, set(w, &root, "{\"required\":\"all\",\"methods\":[\"webauthn\"]}", 0, &after));
	assert_int_equal(world_audited(w, "second-factor.set", "before"), 4);
	/* As stored, after a start. */
	world_close(w);
	world_open(w, BASE);
	in = HERE(w, "n1 anna");
	assert_string_equal(in.refused, "2fa-not-configured");
	world_check_audit(w);
}

static void test_file_says(void **state)
{
	struct world *w = *state;
	struct enforce_change change = { .organization = "acme" };
	struct enforce_state after;

	world_open(w,
		   BASE "second_factor: {required: administrators}\n"
			"organizations: [{name: acme, second_factor: {required: all}}, other]\n");
	assert_int_equal(get(w, "acme").policy.required, FACTOR_FOR_ALL);
	assert_int_equal(get(w, "acme").from, ENFORCE_FILE);
	assert_int_equal(get(w, "other").policy.required, FACTOR_FOR_ADMINISTRATORS);
	assert_int_equal(get(w, "default").policy.required, FACTOR_FOR_ADMINISTRATORS);
	refused(w, change_enforce_set(w->changer, &test_person, &change, w->arena, &after, &w->err),
		"managed-by-config");
	change.organization = "nowhere";
	assert_int_equal(
		change_enforce_set(w->changer, &test_person, &change, w->arena, &after, &w->err),
		-1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
}

/* A reload puts another policy in force at once. */
static void test_reload(void **state)
{
	struct world *w = *state;
	struct login_outcome in;

	people_open(w, BASE);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
	world_reload(w, BASE ALL, NULL);
	in = HERE(w, "n2 ben");
	assert_string_equal(in.refused, "2fa-not-configured");
	world_reload(w, BASE, NULL);
	in = HERE(w, "n2 ben");
	assert_int_equal(in.session.stage, SESSION_FULL);
}

static struct enforce_preview preview(struct world *w, const char *body, int64_t after,
				      size_t limit)
{
	AUTO(store) struct store *store = world_read(w);
	struct setup *setup = changer_setup(w->changer);
	struct factor_policy policy;
	struct enforce_preview out = { .required = -1 };
	int result = factor_policy_read(body, strlen(body), w->arena, &policy, &w->err);

	if (result == 0)
		result = change_enforce_preview(setup, store, "default", &policy, after, limit,
						w->arena, &out, &w->err);
	setup_release(setup);
	ok(w, result);
	return out;
}

static void test_preview(void **state)
{
	struct world *w = *state;
	struct enforce_preview out;

	world_open(
		w, RULES WIDE
		"sources: [{name: corp, type: ldif}, {name: idp, type: saml, proves_factor: true, "
		"link: {attribute: uid, source: corp, other: uid}}]\n");
	world_sync(w, "corp",
		   "k1 anna @admins\nk2 ben @sales\nk3 cleo\nk4 dora\nk5 eve !disabled\n", 0, NULL);
	HERE(w, "n3 cleo");
	enrol(w, 4, FACTOR_SMS);
	out = preview(w, "{\"required\":\"all\"}", 0, 10);
	assert_int_equal(out.required, 4);
	assert_int_equal(out.ready, 1);
	assert_int_equal(out.idp, 1);
	assert_int_equal(out.locked_out, 2);
	assert_int_equal(out.locked_out_administrators, 1);
	assert_int_equal(out.count, 3);
	assert_int_equal(out.next, 0);
	assert_string_equal(out.people[0].username, "anna");
	assert_true(out.people[0].is_administrator);
	assert_string_equal(out.people[2].username, "cleo");
	assert_true(out.people[2].idp);
	out = preview(w, "{\"required\":\"all\",\"methods\":[\"totp\"]}", 0, 2);
	assert_int_equal(out.locked_out, 3);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.next, out.people[1].user_id);
	out = preview(w, "{\"required\":\"all\",\"methods\":[\"totp\"]}", out.next, 2);
	assert_int_equal(out.locked_out, 3);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.next, 0);
	assert_string_equal(out.people[1].username, "dora");
	assert_int_equal(out.people[1].enrolled, FACTOR_BIT(FACTOR_SMS));
	out = preview(w, "{\"required\":\"chosen\",\"roles\":[\"sales\"]}", 0, 10);
	assert_int_equal(out.required, 1);
	assert_string_equal(out.people[0].username, "ben");
	out = preview(w, "{\"required\":\"nobody\"}", 0, 10);
	assert_int_equal(out.required, 0);
}

static void test_step_up_of_permissions(void **state)
{
	struct world *w = *state;
	struct setup *setup;
	int64_t age = 0;

	world_open(w,
		   BASE "second_factor: {step_up: [{permissions: ['users:*@all'], max_age: 10m}, "
			"{permissions: ['users:delete@all', 'roles:update@all'], max_age: 2m}]}\n");
	setup = changer_setup(w->changer);
	assert_true(change_step_up_max_age(setup, "users:update@all", &age));
	assert_int_equal(age, 600);
	assert_true(change_step_up_max_age(setup, "users:delete@all", &age));
	assert_int_equal(age, 120);
	assert_true(change_step_up_max_age(setup, "roles:update@all", &age));
	assert_false(change_step_up_max_age(setup, "roles:read@all", &age));

	static const char *const wide[] = { "roles:read@all", "*:*@all" };
	static const char *const narrow[] = { "roles:read@all", "users:read@own" };

	assert_true(change_step_up_within(setup, wide, 2, &age));
	assert_int_equal(age, 120);
	assert_true(change_step_up_within(setup, narrow, 2, &age));
	assert_int_equal(age, 600);
	assert_false(change_step_up_within(setup, narrow, 1, &age));
	assert_false(change_step_up_within(setup, narrow, 0, &age));
	setup_release(setup);
	/* That alone does not say who must prove one. */
	assert_int_equal(get(w, "default").from, ENFORCE_DEFAULT);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_set),
		TEST(test_file_says),
		TEST(test_reload),
		TEST(test_preview),
		TEST(test_step_up_of_permissions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
