/* Whose an identity is, by a person's word. */
#include "../../../daemon/change/internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/store/session.h>

#include "support.h"

#define LINKED \
	"sources: [{name: corp, type: ldif}, " \
	"{name: hr, type: ldif, link: {attribute: uid, source: corp, other: uid}}, " \
	"{name: far, type: ldif, organization: other}, " \
	"{name: idp, type: saml}]\n"
#define CONFIG RULES WIDE LINKED

static const char *link_version(struct world *w, const char *user, int64_t version,
				const char *source, const char *key)
{
	struct uuid uuid;
	const char *field;

	err_clear(&w->err);
	return change_user_link(w->changer, &test_person, user, version, source, key, &uuid, &field,
				&w->err) < 0
		       ? err_reason(&w->err)
		       : "";
}

static const char *link_to(struct world *w, const char *user, const char *source, const char *key)
{
	return link_version(w, user, 0, source, key);
}

static const char *unlink_from(struct world *w, const char *user, const char *source,
			       const char *key)
{
	struct uuid uuid;

	err_clear(&w->err);
	return change_user_unlink(w->changer, &test_person, user, 0, source, key, &uuid, &w->err) <
			       0
		       ? err_reason(&w->err)
		       : "";
}

/* Why the entry lies in quarantine; "" when it does not. */
static const char *quarantined(struct world *w, const char *key)
{
	struct store *store = world_read(w);
	struct quarantine_query query = { .entry = key };
	struct quarantine_row *rows;
	size_t count;
	int64_t total;

	ok(w, store_quarantine_list(store, &query, w->arena, &rows, &count, &total, &w->err));
	store_close(store);
	return count ? rows[0].reason : "";
}

static int64_t audit_head(struct world *w)
{
	struct store *store = world_read(w);
	struct hash256 hash;
	int64_t seq;

	ok(w, store_audit_head(store, &seq, &hash, &w->err));
	store_close(store);
	return seq;
}

/* Whoever was made by hand is adopted by a read, and by nothing before it. */
static void test_local_user(void **state)
{
	static const char entry[] = "k1 lea @sales title=ops\nk2 ben\n";
	struct world *w = *state;
	int64_t version;

	world_open(w, CONFIG);
	world_create(w, "lea", "staff");
	ok(w, change_grant_add(w->changer, &test_person, "lea", GRANT_ROLE, "night", 0, &w->err));
	world_sync(w, "corp", entry, 0, NULL);
	assert_string_equal(quarantined(w, "k1"), "username-taken");
	version = world_find(w, "lea").version;
	assert_string_equal(link_version(w, "lea", version + 1, "corp", "k1"), "stale-version");
	assert_string_equal(link_version(w, "lea", version, "corp", "k1"), "");
	assert_int_equal(world_find(w, "lea").version, version + 1);
	/* Again is no failure, and no change. */
	assert_string_equal(link_to(w, "lea", "corp", "k1"), "");
	assert_int_equal(world_find(w, "lea").version, version + 1);
	world_reload(w, CONFIG, NULL);
	assert_string_equal(world_user(w, "lea"), "staff active night:hand");
	world_sync(w, "corp", entry, 0, NULL);
	assert_string_equal(world_user(w, "lea"), "staff active night:hand ops:rule sales:rule");
	assert_string_equal(quarantined(w, "k1"), "");
	assert_string_equal(link_to(w, "lea", "corp", "k1"), "");
	/* And let go: what hands gave stays. The same entry is somebody new again, who cannot be. */
	assert_string_equal(unlink_from(w, "lea", "corp", "k1"), "");
	assert_string_equal(world_user(w, "lea"), "staff active night:hand");
	for (int i = 0; i < 2; i++) {
		world_sync(w, "corp", entry, 0, NULL);
		assert_string_equal(world_user(w, "lea"), "staff active night:hand");
		assert_string_equal(quarantined(w, "k1"), "username-taken");
	}
	assert_string_equal(unlink_from(w, "lea", "corp", "k1"), "not-found");
	world_check_audit(w);
	world_check_sane(w, false);
}

/* In a run of changes as well, and with a restart between. */
static void test_followed(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	world_create(w, "lea", "staff");
	world_sync(w, "corp", "k1 lea\nk2 ben\n", 0, NULL);
	assert_string_equal(link_to(w, "lea", "corp", "k1"), "");
	world_open(w, CONFIG);
	world_changes(w, "corp", "k1 lea @sales\n", NULL);
	assert_string_equal(world_user(w, "lea"), "staff active sales:rule");
	assert_string_equal(unlink_from(w, "lea", "corp", "k1"), "");
	world_changes(w, "corp", "k1 lea @sales\n", NULL);
	world_changes(w, "corp", "k1 lea @sales title=ops\n", NULL);
	assert_string_equal(world_user(w, "lea"), "staff active");
	world_check_audit(w);
}

/* A rule that would link them, or does not know to whom, is told by hand. */
static void test_against_rules(void **state)
{
	static const char entry[] = "h1 anna title=ops\n";
	struct world *w = *state;

	world_open(w, CONFIG);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	world_sync(w, "hr", entry, 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule");
	assert_string_equal(unlink_from(w, "anna", "hr", "h1"), "");
	assert_string_equal(world_user(w, "anna"), "staff active");
	for (int i = 0; i < 2; i++) {
		world_sync(w, "hr", entry, 0, NULL);
		assert_string_equal(world_user(w, "anna"), "staff active");
		assert_string_equal(quarantined(w, "h1"), "username-taken");
	}
	/* A hand's later word goes before its earlier one. */
	assert_string_equal(link_to(w, "anna", "hr", "h1"), "");
	world_sync(w, "hr", entry, 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule");
	assert_string_equal(unlink_from(w, "anna", "hr", "h1"), "");
	assert_string_equal(link_to(w, "ben", "hr", "h1"), "");
	world_sync(w, "hr", entry, 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_int_equal(world_find(w, "anna").disabled, 0);
	/* Names are the sources' still, and ben's is his. */
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule");
	world_check_audit(w);
}

#define AMBIGUOUS_LINK \
	RULES WIDE "sources: [{name: corp, type: ldif}, " \
		   "{name: hr, type: ldif, link: {attribute: employeeType, source: corp, other: " \
		   "employeeType}}]\n"

static void test_ambiguous(void **state)
{
	struct world *w = *state;

	world_open(w, AMBIGUOUS_LINK);
	world_sync(w, "corp", "k1 anna employeeType=x\nk2 ben employeeType=x\n", 0, NULL);
	world_sync(w, "hr", "h1 someone employeeType=x title=ops\n", 0, NULL);
	assert_string_equal(quarantined(w, "h1"), "link-ambiguous");
	assert_string_equal(link_to(w, "ben", "hr", "h1"), "");
	world_sync(w, "hr", "h1 someone employeeType=x title=ops\n", 0, NULL);
	assert_string_equal(quarantined(w, "h1"), "");
	assert_string_equal(world_user(w, "ben"), "staff active ops:rule");
	assert_string_equal(world_user(w, "anna"), "staff active");
}

/* Whoever the rules leave out, and who is not looked at again for it, is looked at for this. */
static void test_left_out(void **state)
{
	static const char entries[] = "k1 anna @managers\nk2 lea title=ops\n";
	struct world *w = *state;

	world_open(w, RULES "policy: {limits: {first_sync_administrators: true}}\n" LINKED);
	world_create(w, "local", "staff");
	world_sync(w, "corp", entries, 0, NULL);
	world_sync(w, "corp", entries, 0, NULL);
	assert_string_equal(world_user(w, "lea"), "");
	assert_string_equal(link_to(w, "local", "corp", "k2"), "");
	world_sync(w, "corp", entries, 0, NULL);
	assert_string_equal(world_user(w, "lea"), "staff active ops:rule");
	/* And without a profile of their own nobody is left by it. */
	assert_string_equal(unlink_from(w, "anna", "corp", "k1"), "profile-required");
	assert_string_equal(world_user(w, "anna"), "manager active");
	ok(w,
	   change_grant_add(w->changer, &test_person, "anna", GRANT_PROFILE, "staff", 0, &w->err));
	assert_string_equal(unlink_from(w, "anna", "corp", "k1"), "");
	assert_string_equal(world_user(w, "anna"), "staff active");
	world_check_sane(w, false);
}

static const struct refused_case {
	const char *name, *user, *source, *key, *reason, *field;
} refused_cases[] = {
	{ "somebody else's", "lea", "corp", "k1", "conflict", NULL },
	{ "wanted for somebody else", "lea", "corp", "k7", "conflict", NULL },
	{ "another organization", "lea", "far", "f9", "conflict", NULL },
	{ "a second one of the source", "anna", "corp", "k9", "conflict", NULL },
	{ "a second one still to be read", "mia", "corp", "k9", "conflict", NULL },
	{ "no such source", "lea", "nix", "k9", "not-found", "source" },
	{ "no key", "lea", "corp", "", "invalid", "key" },
	{ "nobody", "nobody", "corp", "k9", "not-found", NULL },
	{ "somebody deleted", "gone", "corp", "k9", "not-found", NULL },
};

static void test_refused(void **state)
{
	struct world *w = *state;
	struct uuid uuid;
	const char *field;
	int64_t head;

	world_open(w, CONFIG);
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	world_create(w, "lea", "staff");
	world_create(w, "mia", "staff");
	world_create(w, "gone", "staff");
	assert_string_equal(link_to(w, "mia", "corp", "k7"), "");
	assert_string_equal(link_to(w, "gone", "corp", "k8"), "");
	ok(w, change_user_disable(w->changer, &test_person, "gone", "", &w->err));
	ok(w, change_user_delete(w->changer, &test_person, "gone", 0, &uuid, &w->err));
	head = audit_head(w);
	for (size_t i = 0; i < ARRAY_LEN(refused_cases); i++) {
		const struct refused_case *c = &refused_cases[i];
		int result;

		err_clear(&w->err);
		result = change_user_link(w->changer, &test_person, c->user, 0, c->source, c->key,
					  &uuid, &field, &w->err);
		if (result == 0 || strcmp(err_reason(&w->err), c->reason) != 0)
			fail_msg("%s: %d %s", c->name, result, w->err.text);
		if ((field == NULL) != (c->field == NULL) ||
		    (field && strcmp(field, c->field) != 0))
			fail_msg("%s: field %s", c->name, field ? field : "none");
		if (strstr(w->err.text, "anna") && strcmp(c->user, "anna") != 0)
			fail_msg("%s names somebody: %s", c->name, w->err.text);
	}
	assert_int_equal(audit_head(w), head);
	/* What was never read is free when its user is deleted, and when it is taken back. */
	assert_string_equal(link_to(w, "lea", "corp", "k8"), "");
	assert_string_equal(unlink_from(w, "lea", "corp", "k8"), "");
	assert_string_equal(link_to(w, "lea", "corp", "k9"), "");
	assert_string_equal(unlink_from(w, "lea", "corp", "k8"), "not-found");
	assert_string_equal(unlink_from(w, "lea", "corp", "k1"), "not-found");
	assert_string_equal(unlink_from(w, "lea", "nix", "k1"), "not-found");
	world_check_audit(w);
}

/* A read has the source to itself, and so have these. */
static void test_while_it_is_read(void **state)
{
	struct world *w = *state;
	struct sync *sync;

	world_open(w, CONFIG);
	world_sync(w, "corp", "k1 anna\n", 0, NULL);
	world_create(w, "lea", "staff");
	sync = world_begin(w, "corp", false);
	assert_string_equal(link_to(w, "lea", "corp", "k9"), "sync-running");
	assert_string_equal(unlink_from(w, "anna", "corp", "k1"), "sync-running");
	assert_string_equal(link_to(w, "anna", "hr", "h1"), "");
	sync_abort(sync);
	assert_string_equal(unlink_from(w, "anna", "corp", "k1"), "");
}

/* The last administrator stays, and what waits for consent goes on waiting. */
static void test_administrators(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	world_sync(w, "corp", "k1 anna @admins\nk2 ben @admins\n", 0, NULL);
	assert_string_equal(unlink_from(w, "anna", "corp", "k1"), "");
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_string_equal(unlink_from(w, "ben", "corp", "k2"), "last-administrator");
	assert_string_equal(world_user(w, "ben"), "administrator active");
	world_check_sane(w, true);
	world_check_audit(w);
}

static void test_what_waits(void **state)
{
	struct world *w = *state;

	world_open(w, RULES POLICY LINKED);
	world_create(w, "root-user", "administrator");
	world_sync(w, "corp", "k1 anna @admins\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	world_sync(w, "hr", "h1 anna title=ops\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule");
	assert_string_equal(unlink_from(w, "anna", "hr", "h1"), "");
	assert_string_equal(world_user(w, "anna"), "staff active");
	assert_non_null(world_held(w));
}

/* Letting go of what disabled somebody lets nobody in. */
static void test_disabled(void **state)
{
	static const char *const reads[] = { "k1 anna !disabled\nk2 ben\n", "k2 ben\n" };
	struct world *w = *state;

	(void)w;
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		void *inner = NULL;

		world_set_up(&inner);
		w = inner;
		world_open(w, CONFIG);
		world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
		world_sync(w, "corp", reads[i], 0, NULL);
		assert_int_not_equal(world_find(w, "anna").disabled, 0);
		assert_string_equal(unlink_from(w, "anna", "corp", "k1"), "");
		assert_string_equal(world_user(w, "anna"), "staff disabled(hand)");
		ok(w, change_user_enable(w->changer, &test_person, "anna", &w->err));
		assert_string_equal(world_user(w, "anna"), "staff active");
		world_check_audit(w);
		world_tear_down(&inner);
	}
}

static const char *sign_in(struct world *w, const char *line)
{
	static unsigned next_id;
	struct login_outcome outcome;
	struct sent sent;

	world_send(w, &sent, line, arena_printf(w->arena, "_a%u", ++next_id));
	ok(w, change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome, &w->err));
	strbuf_finish(&sent.record);
	return arena_strdup(w->arena, outcome.refused);
}

/* A link opens the door at once, unlinking shuts it, on those inside as well. */
static void test_sign_in(void **state)
{
	struct world *w = *state;
	struct session *sessions;
	struct session_query query = { .limit = 10 };
	struct store *store;
	size_t count;

	world_open(w, CONFIG);
	world_create(w, "lea", "staff");
	assert_string_equal(sign_in(w, "n1 lea"), "not-provisioned");
	assert_string_equal(link_to(w, "lea", "idp", "n1"), "");
	assert_string_equal(sign_in(w, "n1 lea"), "");
	for (int i = 1; i >= 0; i--) {
		store = world_read(w);
		ok(w, store_session_list(store, &query, w->arena, &sessions, &count, &w->err));
		store_close(store);
		assert_int_equal(count, i);
		if (i == 1)
			assert_string_equal(unlink_from(w, "lea", "idp", "n1"), "");
	}
	assert_string_equal(sign_in(w, "n1 lea"), "not-provisioned");
	world_check_audit(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_local_user),
		TEST(test_followed),
		TEST(test_against_rules),
		TEST(test_ambiguous),
		TEST(test_left_out),
		TEST(test_refused),
		TEST(test_sign_in),
		TEST(test_while_it_is_read),
		TEST(test_administrators),
		TEST(test_what_waits),
		cmocka_unit_test(test_disabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
