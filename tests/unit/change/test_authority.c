/* What somebody may do, and what is beyond them. */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/authority.h>

#include "support.h"

#define CONFIG \
	"profiles:\n" \
	"  - {name: administrator}\n" \
	"  - {name: desk, permissions: ['users:*@all', 'notes:read@own']}\n" \
	"  - {name: staff, permissions: ['notes:read@own']}\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: notes, classifications: [Sales], segments: [Core], permissions: " \
	"['notes:*@all']}\n" \
	"  - {name: money, classifications: [Sales], segments: [Core], permissions: " \
	"['money:read@all']}\n" \
	"personas: [{name: lead, title: Lena}]\n" \
	"policy: {default_profile: staff}\n" \
	"sources: [{name: corp, type: ldif}, {name: far, type: ldif, organization: other}]\n"

#define LIST(...) \
	(const char *const[]){ __VA_ARGS__ }, \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static void create(struct world *w, const char *name, const char *profile, const char *organization)
{
	struct new_user user = { .username = name,
				 .profile = profile,
				 .organization = organization };
	struct uuid uuid;

	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
}

static void give(struct world *w, const char *name, enum grant_kind kind, const char *what,
		 int64_t expires_s)
{
	ok(w, change_grant_add(w->changer, &test_person, name, kind, what, expires_s, &w->err));
}

static void fill(struct world *w)
{
	world_open(w, CONFIG);
	create(w, "ada", "administrator", NULL);
	create(w, "ben", "administrator", NULL);
	create(w, "desk", "desk", NULL);
	create(w, "noted", "staff", NULL);
	create(w, "rich", "staff", NULL);
	create(w, "plain", "staff", NULL);
	create(w, "out", "administrator", NULL);
	create(w, "far", "staff", "other");
	give(w, "noted", GRANT_ROLE, "notes", 0);
	give(w, "rich", GRANT_ROLE, "money", 0);
	give(w, "plain", GRANT_PERSONA, "lead", 0);
	give(w, "desk", GRANT_ROLE, "money", TEST_NOW);
	ok(w, change_user_disable(w->changer, &test_person, "out", "", &w->err));
}

struct looking {
	struct store *store;
	struct setup *setup;
};

static struct looking look(struct world *w)
{
	return (struct looking){ world_read(w), changer_setup(w->changer) };
}

static void look_away(struct looking *looking)
{
	store_close(looking->store);
	setup_release(looking->setup);
}

static struct user find(struct world *w, struct looking *at, const char *name)
{
	struct user user;

	ok(w, user_resolve(at->store, name, w->arena, &user, &w->err));
	return user;
}

static struct authority as(struct world *w, struct looking *at, const char *name,
			   const char *const *scope, size_t scope_count)
{
	struct authority authority;
	struct actor actor = { .name = "user",
			       .request = "",
			       .is_person = true,
			       .limited = true,
			       .scope = scope,
			       .scope_count = scope_count };

	actor.user_id = find(w, at, name).id;
	/* Before the time when the grant of the desk ends. */
	ok(w, authority_of_actor(at->store, at->setup, &actor, TEST_NOW - 1, w->arena, &authority,
				 &w->err));
	return authority;
}

/* --- what one may --- */

static const struct {
	const char *name, *user;
	const char *const *scope;
	size_t scope_count;
	const char *permission;
	bool allowed;
} may_cases[] = {
	{ "an administrator may all", "ada", NULL, 0, "users:create@all", true },
	{ "by profile", "desk", NULL, 0, "users:create@all", true },
	{ "by role", "noted", NULL, 0, "notes:write@all", true },
	{ "not what nothing gives", "desk", NULL, 0, "roles:create@all", false },
	{ "own is not all", "plain", NULL, 0, "notes:read@all", false },
	{ "own is own", "plain", NULL, 0, "notes:read@own", true },
	{ "own is not unassigned", "plain", NULL, 0, "notes:read@unassigned", false },
	{ "all is own", "noted", NULL, 0, "notes:read@own", true },
	{ "within the scope", "desk", LIST("users:read@all"), "users:read@all", true },
	{ "outside of the scope", "desk", LIST("users:read@all"), "users:create@all", false },
	{ "a scope gives nothing", "plain", LIST("users:read@all"), "users:read@all", false },
	{ "an empty scope leaves nothing", "ada", (const char *const[]){ "" }, 0, "users:read@all",
	  false },
	{ "of several in the scope", "ada", LIST("notes:*@own", "users:*@all"), "users:read@own",
	  true },
	{ "a malformed scope leaves nothing", "ada", LIST("users"), "users:read@all", false },
	{ "nonsense is covered by nothing", "ada", NULL, 0, "users", false },
};

static void test_may(void **state)
{
	struct world *w = *state;
	struct looking at;

	fill(w);
	at = look(w);
	for (size_t i = 0; i < ARRAY_LEN(may_cases); i++) {
		struct authority authority =
			as(w, &at, may_cases[i].user, may_cases[i].scope, may_cases[i].scope_count);

		if (authority_allows(&authority, may_cases[i].permission) != may_cases[i].allowed)
			fail_msg("%s", may_cases[i].name);
		err_clear(&w->err);
		if ((authority_require(&authority, may_cases[i].permission, &w->err) == 0) !=
		    may_cases[i].allowed)
			fail_msg("%s: required", may_cases[i].name);
		if (!may_cases[i].allowed)
			assert_string_equal(err_reason(&w->err), "not-allowed");
	}
	look_away(&at);
}

/* --- who asks --- */

static void test_actors(void **state)
{
	struct world *w = *state;
	struct authority authority;
	struct looking at;
	struct actor actor = { .name = "unix:root", .request = "", .is_person = true };
	static const char *const scope[] = { "users:read@all" };

	fill(w);
	at = look(w);
	ok(w,
	   authority_of_actor(at.store, at.setup, &actor, TEST_NOW, w->arena, &authority, &w->err));
	assert_true(authority.unlimited);
	assert_true(authority_allows(&authority, "anything:at@all"));
	actor.limited = true;
	/* A service is of an organization, and has what it was given. */
	refused(w,
		authority_of_actor(at.store, at.setup, &actor, TEST_NOW, w->arena, &authority,
				   &w->err),
		"not-allowed");
	actor.organization = "default";
	actor.scope = scope;
	actor.scope_count = 1;
	ok(w,
	   authority_of_actor(at.store, at.setup, &actor, TEST_NOW, w->arena, &authority, &w->err));
	assert_false(authority.is_administrator);
	assert_true(authority_allows(&authority, "users:read@all"));
	assert_false(authority_allows(&authority, "users:create@all"));
	actor.scope = NULL;
	actor.scope_count = 0;
	ok(w,
	   authority_of_actor(at.store, at.setup, &actor, TEST_NOW, w->arena, &authority, &w->err));
	assert_false(authority_allows(&authority, "users:read@all"));
	/* Whoever is gone or disabled acts no more. */
	actor.user_id = find(w, &at, "out").id;
	refused(w,
		authority_of_actor(at.store, at.setup, &actor, TEST_NOW, w->arena, &authority,
				   &w->err),
		"not-allowed");
	actor.user_id = 4711;
	refused(w,
		authority_of_actor(at.store, at.setup, &actor, TEST_NOW, w->arena, &authority,
				   &w->err),
		"not-allowed");
	look_away(&at);
}

/* --- whom one may touch --- */

static const struct {
	const char *name, *actor, *target;
	const char *const *scope;
	size_t scope_count;
	const char *reason; /* "": allowed */
} touch_cases[] = {
	{ "an administrator anybody", "ada", "desk", NULL, 0, "" },
	{ "an administrator another one", "ada", "ben", NULL, 0, "" },
	{ "nobody of another organization", "ada", "far", NULL, 0, "not-found" },
	{ "a desk somebody with less", "desk", "plain", NULL, 0, "" },
	{ "a desk itself", "desk", "desk", NULL, 0, "" },
	{ "a desk whose role ends later than now", "desk", "rich", NULL, 0, "" },
	{ "not somebody with more", "desk", "noted", NULL, 0, "not-allowed" },
	{ "not an administrator", "desk", "ada", NULL, 0, "not-allowed" },
	{ "not one who is disabled either", "desk", "out", NULL, 0, "not-allowed" },
	{ "not what the scope leaves out", "ada", "plain", LIST("users:*@all"), "not-allowed" },
	{ "what the scope leaves in", "ada", "plain", LIST("users:*@all", "notes:*@all"), "" },
	{ "no administrator with a part of all", "ada", "ben", LIST("users:*@all"), "not-allowed" },
};

static void test_touch(void **state)
{
	struct world *w = *state;
	struct looking at;

	fill(w);
	at = look(w);
	for (size_t i = 0; i < ARRAY_LEN(touch_cases); i++) {
		struct authority authority = as(w, &at, touch_cases[i].actor, touch_cases[i].scope,
						touch_cases[i].scope_count);
		struct user target = find(w, &at, touch_cases[i].target);
		int result;

		err_clear(&w->err);
		result = authority_require_user(&authority, at.store, at.setup, &target,
						TEST_NOW - 1, w->arena, &w->err);
		if (strcmp(result < 0 ? err_reason(&w->err) : "", touch_cases[i].reason) != 0)
			fail_msg("%s: '%s'", touch_cases[i].name, w->err.text);
	}
	look_away(&at);
}

/* A profile that is overridden for a time comes back: who has it is no less for that. */
static void test_overridden(void **state)
{
	struct world *w = *state;
	struct authority authority;
	struct looking at;
	struct user user;
	static const struct grant grants[] = {
		{ .kind = GRANT_PROFILE, .name = "administrator", .origin = ORIGIN_RULE },
		{ .kind = GRANT_PROFILE, .name = "staff", .origin = ORIGIN_HAND, .expires_s = 200 },
		{ .kind = GRANT_ROLE, .name = "money", .origin = ORIGIN_HAND, .expires_s = 100 },
	};

	fill(w);
	at = look(w);
	authority = as(w, &at, "desk", NULL, 0);
	user = find(w, &at, "plain");
	for (int64_t now_s = 99; now_s <= 100; now_s++) {
		struct authority theirs;

		ok(w, authority_of_grants(at.setup, &user, grants, ARRAY_LEN(grants), now_s,
					  w->arena, &theirs, &w->err));
		assert_true(theirs.is_administrator);
		/* staff by its name, both profiles, and the role until it ends */
		assert_int_equal(theirs.permission_count, now_s < 100 ? 4 : 3);
		refused(w, authority_require_within(&authority, &theirs, &w->err), "not-allowed");
	}
	look_away(&at);
}

/* --- what one may give --- */

static const struct {
	const char *name, *actor;
	enum grant_kind kind;
	const char *grant;
	bool allowed;
} give_cases[] = {
	{ "an administrator an administrator's profile", "ada", GRANT_PROFILE, "administrator",
	  true },
	{ "a desk a lesser profile", "desk", GRANT_PROFILE, "staff", true },
	{ "a desk its own", "desk", GRANT_PROFILE, "desk", true },
	{ "not an administrator's", "desk", GRANT_PROFILE, "administrator", false },
	{ "not a role with more", "desk", GRANT_ROLE, "notes", false },
	{ "a role it has", "desk", GRANT_ROLE, "money", true },
	{ "a persona", "desk", GRANT_PERSONA, "lead", true },
	{ "a local group", "desk", GRANT_GROUP, "video", true },
	{ "what is not known has no permissions", "desk", GRANT_ROLE, "unheard-of", true },
};

static void test_give(void **state)
{
	struct world *w = *state;
	struct looking at;

	fill(w);
	at = look(w);
	for (size_t i = 0; i < ARRAY_LEN(give_cases); i++) {
		struct authority authority = as(w, &at, give_cases[i].actor, NULL, 0);
		int result = authority_require_grant(&authority, at.setup, give_cases[i].kind,
						     give_cases[i].grant, w->arena, &w->err);

		if ((result == 0) != give_cases[i].allowed)
			fail_msg("%s", give_cases[i].name);
	}
	look_away(&at);
}

static void test_lists(void **state)
{
	struct world *w = *state;
	struct authority authority;
	struct looking at;
	static const char *const less[] = { "users:read@all", "notes:read@own" };
	static const char *const more[] = { "users:read@all", "*:read@own" };

	fill(w);
	at = look(w);
	authority = as(w, &at, "desk", NULL, 0);
	ok(w, authority_require_covers(&authority, less, 2, &w->err));
	ok(w, authority_require_covers(&authority, more, 0, &w->err));
	refused(w, authority_require_covers(&authority, more, 2, &w->err), "not-allowed");
	ok(w, authority_require_organization(&authority, NULL, "source", &w->err));
	ok(w, authority_require_organization(&authority, "default", "source", &w->err));
	refused(w, authority_require_organization(&authority, "other", "source", &w->err),
		"not-found");
	look_away(&at);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_may),	       TEST(test_actors), TEST(test_touch),
		TEST(test_overridden), TEST(test_give),	  TEST(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
