/* The ceiling inside of changes: oneself, services, what others may come to say; and tokens. */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/authority.h>
#include <rolebridge/change/token.h>

#include "support.h"

#define CONFIG \
	"profiles:\n" \
	"  - {name: administrator}\n" \
	"  - {name: desk, permissions: ['users:*@all', 'tokens:*@all', 'notes:read@own']}\n" \
	"  - {name: staff, permissions: ['notes:read@own']}\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: notes, classifications: [Sales], segments: [Core], permissions: " \
	"['notes:*@all']}\n" \
	"rules:\n" \
	"  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: administrator}}\n" \
	"  - {id: staff, when: '(title=staff)', grant: {profile: staff}}\n" \
	"policy: {default_profile: staff, missing_runs: 1, missing_grace: 0s, limits: {" \
	"new_administrators: 100000, first_sync_administrators: true}}\n" \
	"sources: [{name: corp, type: ldif}, {name: meek, type: ldif, may_grant: {profiles: " \
	"[staff]}}]\n"

static struct actor as(struct world *w, const char *name)
{
	return (struct actor){ .name = name,
			       .request = "",
			       .is_person = true,
			       .limited = true,
			       .user_id = world_find(w, name).id };
}

static void fill(struct world *w)
{
	world_open(w, CONFIG);
	world_create(w, "ada", "administrator");
	world_create(w, "ben", "administrator");
	world_create(w, "desk", "desk");
	world_create(w, "lea", NULL);
}

/* --- oneself --- */

static const struct {
	const char *name, *actor, *user;
	const char *disable, *demote; /* reasons; "": done */
} self_cases[] = {
	{ "root may do anything to anybody", "unix:root", "ada", "", "" },
	{ "somebody else", "unix:ben", "ada", "", "" },
	{ "oneself, by one's name on this machine", "unix:ada", "ada", "self-disable",
	  "self-downgrade" },
	{ "a longer name is another one", "unix:adam", "ada", "", "" },
	{ "what is no name on this machine is nobody's", "ada", "ada", "", "" },
	{ "whoever is no administrator has nothing to give up", "unix:lea", "lea", "self-disable",
	  "" },
};

static void test_self(void **state)
{
	struct world *w = *state;

	fill(w);
	for (size_t i = 0; i < ARRAY_LEN(self_cases); i++) {
		const struct actor actor = { .name = self_cases[i].actor,
					     .request = "",
					     .is_person = true };
		const char *user = self_cases[i].user, *profile = world_find(w, user).profile;
		int result;

		err_clear(&w->err);
		result = change_user_disable(w->changer, &actor, user, "", &w->err);
		if (strcmp(result < 0 ? err_reason(&w->err) : "", self_cases[i].disable) != 0)
			fail_msg("%s: disable: '%s'", self_cases[i].name, w->err.text);
		ok(w, change_user_enable(w->changer, &test_person, user, &w->err));
		err_clear(&w->err);
		result = change_grant_add(w->changer, &actor, user, GRANT_PROFILE, "desk", 0,
					  &w->err);
		if (strcmp(result < 0 ? err_reason(&w->err) : "", self_cases[i].demote) != 0)
			fail_msg("%s: demote: '%s'", self_cases[i].name, w->err.text);
		ok(w, change_grant_add(w->changer, &test_person, user, GRANT_PROFILE, profile, 0,
				       &w->err));
	}
}

/* The only one is told so, whoever asks. */
static void test_self_alone(void **state)
{
	struct world *w = *state;
	struct actor ada;

	fill(w);
	ada = as(w, "ada");
	ok(w, change_user_disable(w->changer, &test_person, "ben", "", &w->err));
	refused(w, change_user_disable(w->changer, &ada, "ada", "", &w->err), "last-administrator");
	refused(w, change_grant_add(w->changer, &ada, "ada", GRANT_PROFILE, "desk", 0, &w->err),
		"last-administrator");
}

/* --- in the transaction --- */

/* Whoever lost it a moment ago is refused, whatever was looked at before. */
static void test_lost(void **state)
{
	struct world *w = *state;
	struct actor desk;

	fill(w);
	desk = as(w, "desk");
	ok(w, change_user_disable(w->changer, &desk, "lea", "", &w->err));
	ok(w, change_user_disable(w->changer, &test_person, "desk", "", &w->err));
	refused(w, change_user_enable(w->changer, &desk, "lea", &w->err), "not-allowed");
	ok(w, change_user_enable(w->changer, &test_person, "desk", &w->err));
	ok(w,
	   change_grant_add(w->changer, &test_person, "desk", GRANT_PROFILE, "staff", 0, &w->err));
	/* What the request needs is asked in the transaction, too. */
	desk.permission = "users:disable@all";
	refused(w, change_user_disable(w->changer, &desk, "lea", "", &w->err), "not-allowed");
	desk.permission = NULL;
	/* Their profile has less than that of somebody with a role, and as much as that of lea. */
	ok(w, change_grant_add(w->changer, &test_person, "lea", GRANT_ROLE, "notes", 0, &w->err));
	refused(w, change_user_enable(w->changer, &desk, "lea", &w->err), "not-allowed");
}

/* --- what a source may come to say --- */

static void test_link(void **state)
{
	struct world *w = *state;
	struct actor desk, ada;
	const char *field;
	struct uuid uuid;

	fill(w);
	desk = as(w, "desk");
	ada = as(w, "ada");
	refused(w,
		change_user_link(w->changer, &desk, "lea", 0, "corp", "k1", &uuid, &field, &w->err),
		"not-allowed");
	ok(w, change_user_link(w->changer, &desk, "lea", 0, "meek", "k1", &uuid, &field, &w->err));
	ok(w, change_user_link(w->changer, &ada, "lea", 0, "corp", "k1", &uuid, &field, &w->err));
	/* Not read yet: still nothing to take from whoever has no more than the desk. */
	ok(w, change_user_unlink(w->changer, &desk, "lea", 0, "corp", "k1", &uuid, &w->err));
	ok(w, change_user_link(w->changer, &ada, "lea", 0, "corp", "k1", &uuid, &field, &w->err));
	world_sync(w, "corp", "k1 lea @admins\n", 0, NULL);
	assert_string_equal(world_find(w, "lea").profile, "administrator");
	refused(w, change_user_unlink(w->changer, &desk, "lea", 0, "corp", "k1", &uuid, &w->err),
		"not-allowed");
}

/* --- tokens --- */

static int make(struct world *w, const struct actor *actor, struct new_token token,
		struct uuid *ret_uuid)
{
	static unsigned char number;
	const char *field;

	memset(token.hash.byte, ++number, sizeof(token.hash.byte));
	token.expires_s = token.expires_s ? token.expires_s : TEST_NOW;
	err_clear(&w->err);
	return change_token_create(w->changer, actor, &token, ret_uuid, &field, &w->err);
}

static void test_tokens(void **state)
{
	static const char *const narrow[] = { "users:read@all" }, *const wide[] = { "x:y@all" };
	struct world *w = *state;
	struct actor desk, lea, ada,
		service = { .name = "service:feed",
			    .request = "",
			    .is_person = true,
			    .limited = true,
			    .organization = "default",
			    .scope = (const char *const[]){ "*:*@all" },
			    .scope_count = 1 };
	struct new_token by_name = {
		.name = "a", .user = "lea", .scope = narrow, .scope_count = 1
	};
	struct uuid uuid, own;

	fill(w);
	desk = as(w, "desk");
	lea = as(w, "lea");
	ada = as(w, "ada");
	ok(w, make(w, &desk, (struct new_token){ .name = "own" }, &own));
	refused(w, make(w, &lea, (struct new_token){ .name = "own" }, &uuid), "not-allowed");
	refused(w, make(w, &service, (struct new_token){ .name = "own" }, &uuid), "not-allowed");
	refused(w, make(w, &desk, by_name, &uuid), "not-allowed");
	ok(w, make(w, &ada, by_name, &uuid));
	refused(w, make(w, &ada, by_name, &uuid), "name-taken");
	/* One's own are one's own to revoke; others' are for who may. */
	ok(w, change_token_revoke(w->changer, &lea, &uuid, &w->err));
	refused(w, change_token_revoke(w->changer, &lea, &uuid, &w->err), "not-found");
	refused(w, change_token_revoke(w->changer, &lea, &own, &w->err), "not-allowed");
	refused(w, change_token_revoke(w->changer, &service, &own, &w->err), "not-allowed");
	refused(w,
		make(w, &desk,
		     (struct new_token){
			     .name = "s", .service = "feed", .scope = wide, .scope_count = 1 },
		     &uuid),
		"not-allowed");
	ok(w, make(w, &desk,
		   (struct new_token){
			   .name = "s", .service = "feed", .scope = narrow, .scope_count = 1 },
		   &uuid));
	/* Nobody's: disabled, gone. */
	ok(w, change_user_disable(w->changer, &test_person, "lea", "", &w->err));
	refused(w, make(w, &ada, by_name, &uuid), "conflict");
	ok(w, change_user_delete(w->changer, &test_person, "lea", 0, &uuid, &w->err));
	refused(w, make(w, &ada, by_name, &uuid), "not-found");
	world_check_audit(w);
}

/* Whom a service made is known in the same transaction, and nobody else becomes its own. */
static void test_services(void **state)
{
	struct world *w = *state;
	struct actor service = { .name = "service:feed",
				 .request = "",
				 .is_person = true,
				 .limited = true,
				 .organization = "default",
				 .scope = (const char *const[]){ "users:*@all", "notes:read@own" },
				 .scope_count = 2 };
	struct actor other = service;
	struct new_user user = { .username = "fed" },
			admin = { .username = "x", .profile = "administrator" };
	struct uuid uuid;

	other.name = "service:other";
	fill(w);
	ok(w, change_user_create(w->changer, &service, &user, &uuid, &w->err));
	refused(w, change_user_create(w->changer, &service, &admin, &uuid, &w->err), "not-allowed");
	ok(w, change_user_disable(w->changer, &service, "fed", "", &w->err));
	refused(w, change_user_enable(w->changer, &other, "fed", &w->err), "not-allowed");
	refused(w, change_user_disable(w->changer, &service, "lea", "", &w->err), "not-allowed");
	/* With all permissions there are it is no administrator. */
	service.scope = (const char *const[]){ "*:*@all" };
	service.scope_count = 1;
	refused(w, change_user_disable(w->changer, &service, "ada", "", &w->err), "not-allowed");
	refused(w, change_user_create(w->changer, &service, &admin, &uuid, &w->err), "not-allowed");
	ok(w, change_user_enable(w->changer, &service, "fed", &w->err));
}

/* Begun with a permission that is gone at the end: nothing of the run stays. Of the whole actor nothing is lost. */
static void test_runs(void **state)
{
	struct world *w = *state;
	const char *scope[] = { "users:*@all" };
	struct run_report report;
	struct actor actor;
	struct sync *sync;

	fill(w);
	actor = as(w, "desk");
	actor.permission = "users:read@all";
	actor.scope = scope;
	actor.scope_count = 1;
	for (int lost = 0; lost <= 1; lost++) {
		struct user found;
		struct store *store;

		if (lost)
			ok(w, change_user_disable(w->changer, &test_person, "desk", "", &w->err));
		sync = sync_begin(w->changer, NULL, "corp", &actor, false, &w->err);
		assert_non_null(sync);
		ok(w,
		   world_feed(w, sync, "corp", lost ? "2 eve title=staff" : "1 dan title=staff"));
		run_report_init(&report);
		if (!lost) {
			ok(w, sync_finish(sync, false, "", "", &report, &w->err));
		} else {
			refused(w, sync_finish(sync, false, "", "", &report, &w->err),
				"not-allowed");
		}
		run_report_finish(&report);
		store = world_read(w);
		err_clear(&w->err);
		assert_int_equal(
			user_resolve(store, lost ? "eve" : "dan", w->arena, &found, &w->err),
			lost ? -1 : 0);
		store_close(store);
	}
	world_check_audit(w);
}

/* --- a group that is gone --- */

#define SHARED_GROUP \
	"profiles:\n" \
	"  - {name: administrator}\n" \
	"  - {name: desk, permissions: ['users:*@all', 'notes:read@own']}\n" \
	"  - {name: staff, permissions: ['notes:read@own']}\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: mine, classifications: [Sales], segments: [Core], permissions: " \
	"['notes:read@own']}\n" \
	"  - {name: notes, classifications: [Sales], segments: [Core], permissions: " \
	"['notes:*@all']}\n" \
	"rules:\n" \
	"  - {id: mine, groups: ['cn=shared,dc=x'], grant: {roles: [mine]}}\n" \
	"  - {id: notes, groups: ['cn=shared,dc=x'], grant: {roles: [notes]}}\n" \
	"policy: {default_profile: staff}\n" \
	"sources: [{name: corp, type: ldif}]\n"

/* Whoever releases one rule answers for all that the group froze. */
static void test_release(void **state)
{
	struct world *w = *state;
	struct actor desk;

	world_open(w, SHARED_GROUP);
	world_create(w, "ada", "administrator");
	world_create(w, "desk", "desk");
	world_sync(w, "corp", "k1 lea @shared\n", 0, NULL);
	world_sync_lost(w, "corp", "k1 lea\n", "cn=shared", NULL);
	assert_string_equal(world_user(w, "lea"), "staff active mine:rule notes:rule");
	desk = as(w, "desk");
	for (size_t i = 0; i < 2; i++)
		refused(w,
			change_rule_release(w->changer, &desk, i ? "notes" : "mine", NULL, &w->err),
			"not-allowed");
	assert_int_equal(world_alarms(w, "group-vanished"), 1);
	ok(w, change_rule_release(w->changer, &test_person, "mine", NULL, &w->err));
	assert_string_equal(world_user(w, "lea"), "staff active");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_self),   TEST(test_self_alone), TEST(test_lost), TEST(test_link),
		TEST(test_tokens), TEST(test_services),	  TEST(test_runs), TEST(test_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
