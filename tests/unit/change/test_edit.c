/* A person's hand on somebody's record: fields, versions, what sources own. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define CONFIG \
	RULES "policy: {default_profile: staff, protected_users: [root-user]}\n" \
	      "sources: [{name: corp, type: ldif}, " \
	      "{name: hr, type: ldif, organization: other, link: {attribute: uid, source: corp, " \
	      "other: uid}}]\n"

static void create(struct world *w, const char *name, const char *email, const char *profile)
{
	struct new_user user = { .username = name, .email = email, .profile = profile };
	struct uuid uuid;

	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
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

/* --- fields --- */

static const struct set_case {
	const char *name, *user;
	int64_t version;
	struct user_fields fields;
	const char *reason, *field;		     /* NULL: done */
	const char *username, *email, *display_name; /* then */
} set_cases[] = {
	{ "all of them",
	  "lea",
	  0,
	  { "Lea2", "LEA2@x.example", "Lea  Two" },
	  NULL,
	  NULL,
	  "lea2",
	  "lea2@x.example",
	  "Lea Two" },
	{ "one of them",
	  "lea",
	  0,
	  { .email = "new@x.example" },
	  NULL,
	  NULL,
	  "lea",
	  "new@x.example",
	  "lea" },
	{ "none of them", "lea", 0, { 0 }, NULL, NULL, "lea", "lea@x.example", "lea" },
	{ "no address", "lea", 0, { .email = "" }, NULL, NULL, "lea", "", "lea" },
	{ "no name for display",
	  "lea",
	  0,
	  { .display_name = "" },
	  NULL,
	  NULL,
	  "lea",
	  "lea@x.example",
	  "lea" },
	{ "the version they saw",
	  "lea",
	  1,
	  { .email = "new@x.example" },
	  NULL,
	  NULL,
	  "lea",
	  "new@x.example",
	  "lea" },
	{ "another version",
	  "lea",
	  2,
	  { .email = "new@x.example" },
	  "stale-version",
	  NULL,
	  NULL,
	  NULL,
	  NULL },
	{ "a version that never was", "lea", -1, { 0 }, "stale-version", NULL, NULL, NULL, NULL },
	{ "no user name", "lea", 0, { .username = "" }, "invalid", "username", NULL, NULL, NULL },
	{ "a bad user name",
	  "lea",
	  0,
	  { .username = "a b" },
	  "invalid",
	  "username",
	  NULL,
	  NULL,
	  NULL },
	{ "a bad address", "lea", 0, { .email = "nowhere" }, "invalid", "email", NULL, NULL, NULL },
	{ "somebody's name",
	  "lea",
	  0,
	  { .username = "ANNA" },
	  "username-taken",
	  "username",
	  NULL,
	  NULL,
	  NULL },
	{ "somebody's address",
	  "lea",
	  0,
	  { .email = "Anna@X.example" },
	  "email-taken",
	  "email",
	  NULL,
	  NULL,
	  NULL },
	{ "an address elsewhere",
	  "lea",
	  0,
	  { .email = "FAR@x.example" },
	  "email-in-other-organization",
	  "email",
	  NULL,
	  NULL,
	  NULL },
	{ "nobody", "nobody", 0, { .email = "a@x.example" }, "not-found", NULL, NULL, NULL, NULL },
	{ "a source's name",
	  "anna",
	  0,
	  { .username = "ann" },
	  "managed-by-idp",
	  "username",
	  NULL,
	  NULL,
	  NULL },
	{ "a source's address",
	  "anna",
	  0,
	  { .email = "ann@x.example" },
	  "managed-by-idp",
	  "email",
	  NULL,
	  NULL,
	  NULL },
	{ "a source's address, away",
	  "anna",
	  0,
	  { .email = "" },
	  "managed-by-idp",
	  "email",
	  NULL,
	  NULL,
	  NULL },
	{ "one of two is a source's",
	  "anna",
	  0,
	  { .email = "a2@x.example", .display_name = "A" },
	  "managed-by-idp",
	  "email",
	  NULL,
	  NULL,
	  NULL },
	{ "a source's, as it is",
	  "anna",
	  0,
	  { .email = "ANNA@x.example" },
	  NULL,
	  NULL,
	  "anna",
	  "anna@x.example",
	  "anna" },
	{ "what no source says",
	  "anna",
	  0,
	  { .display_name = "Anna A" },
	  NULL,
	  NULL,
	  "anna",
	  "anna@x.example",
	  "Anna A" },
};

static void test_set(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(set_cases); i++) {
		const struct set_case *c = &set_cases[i];
		struct uuid uuid = { { 0 } };
		const char *field = NULL;
		struct world *w;
		struct user user;
		void *inner = NULL;
		int64_t head;
		int result;

		world_set_up(&inner);
		w = inner;
		world_open(w, CONFIG);
		world_sync(w, "corp", "k1 anna\n", 0, NULL);
		world_sync(w, "hr", "h1 far\n", 0, NULL);
		create(w, "lea", "lea@x.example", "staff");
		head = audit_head(w);
		err_clear(&w->err);
		result = change_user_set(w->changer, &test_person, c->user, c->version, &c->fields,
					 &uuid, &field, &w->err);
		if ((result < 0) != (c->reason != NULL) ||
		    (c->reason && strcmp(err_reason(&w->err), c->reason) != 0))
			fail_msg("%s: %d %s %s", c->name, result, err_reason(&w->err), w->err.text);
		if ((field == NULL) != (c->field == NULL) ||
		    (field && strcmp(field, c->field) != 0))
			fail_msg("%s: field %s", c->name, field ? field : "none");
		if (c->reason) {
			if (audit_head(w) != head)
				fail_msg("%s: something was written", c->name);
		} else {
			user = world_find(w, c->username);
			if (strcmp(user.email, c->email) != 0 ||
			    strcmp(user.display_name, c->display_name) != 0 ||
			    memcmp(&user.uuid, &uuid, sizeof(uuid)) != 0)
				fail_msg("%s: %s %s", c->name, user.email, user.display_name);
			if (user.version != 1 + (audit_head(w) - head))
				fail_msg("%s: version %d", c->name, (int)user.version);
		}
		world_check_audit(w);
		world_tear_down(&inner);
	}
}

/* What a person set where no source says anything stays through reads and reloads; a source that begins to say takes it. */
static void test_set_stays(void **state)
{
	struct world *w = *state;
	const struct user_fields fields = { .display_name = "Anna A" };
	struct uuid uuid;
	const char *field;

	world_open(w, CONFIG);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	ok(w,
	   change_user_set(w->changer, &test_person, "anna", 0, &fields, &uuid, &field, &w->err));
	world_sync(w, "corp", "k1 anna title=ops\nk2 ben\n", 0, NULL);
	assert_string_equal(world_find(w, "anna").display_name, "Anna A");
	assert_string_equal(world_user(w, "anna"), "staff active ops:rule");
	world_reload(w, CONFIG, NULL);
	assert_string_equal(world_find(w, "anna").display_name, "Anna A");
	world_changes(w, "corp", "k1 anna title=lead\n", NULL);
	assert_string_equal(world_find(w, "anna").display_name, "Anna A");
	world_sync(w, "corp", "k1 anna displayName=Anna_Source\nk2 ben\n", 0, NULL);
	assert_string_equal(world_find(w, "anna").display_name, "Anna Source");
	assert_int_equal(change_user_set(w->changer, &test_person, "anna", 0, &fields, &uuid,
					 &field, &w->err),
			 -1);
	assert_string_equal(err_reason(&w->err), "managed-by-idp");
	assert_string_equal(field, "display_name");
	assert_non_null(strstr(w->err.text, "'corp'"));
	world_check_audit(w);
}

/* The old name is free, the new one protects or does no longer. */
static void test_rename(void **state)
{
	struct world *w = *state;
	struct user_fields fields = { .username = "root-user" };
	struct uuid uuid;
	const char *field;

	world_open(w, CONFIG);
	create(w, "lea", "", "administrator");
	ok(w, change_user_set(w->changer, &test_person, "lea", 0, &fields, &uuid, &field, &w->err));
	assert_true(world_find(w, "root-user").is_protected);
	create(w, "lea", "", "staff");
	fields.username = "plain";
	ok(w, change_user_set(w->changer, &test_person, "root-user", 2, &fields, &uuid, &field,
			      &w->err));
	assert_false(world_find(w, "plain").is_protected);
	assert_string_equal(world_user(w, "plain"), "administrator active");
	world_check_audit(w);
}

/* --- deletion --- */

#define GONE " disabled(hand) disabled(deleted)"

static const char *reason_of(struct world *w, int result)
{
	return result < 0 ? err_reason(&w->err) : "";
}

static const char *delete_user(struct world *w, const char *name, int64_t version)
{
	struct uuid uuid;

	err_clear(&w->err);
	return reason_of(
		w, change_user_delete(w->changer, &test_person, name, version, &uuid, &w->err));
}

static struct user_counts counts(struct world *w)
{
	struct store *store = world_read(w);
	struct user_counts all;

	ok(w, store_user_counts(store, NULL, &all, &w->err));
	store_close(store);
	return all;
}

static void test_delete(void **state)
{
	struct world *w = *state;
	struct new_user again = { .username = "lea", .profile = "staff" };
	struct user_fields fields = { .username = "lea" };
	struct user before, after;
	const char *field;
	struct uuid uuid;

	world_open(w, CONFIG);
	create(w, "root-user", "", "administrator");
	create(w, "lea", "lea@x.example", "staff");
	ok(w, change_grant_add(w->changer, &test_person, "lea", GRANT_ROLE, "night", 0, &w->err));
	assert_string_equal(delete_user(w, "lea", 0), "conflict");
	assert_non_null(strstr(w->err.text, "active"));
	ok(w, change_user_disable(w->changer, &test_person, "lea", "", &w->err));
	before = world_find(w, "lea");
	assert_string_equal(delete_user(w, "lea", before.version - 1), "stale-version");
	assert_int_equal(counts(w).total, 2);
	assert_string_equal(delete_user(w, "lea", before.version), "");
	after = world_find(w, "lea");
	assert_int_equal(after.disabled, before.disabled | DISABLED_DELETED);
	assert_string_equal(after.profile, "");
	assert_string_equal(after.username, "lea");
	assert_int_equal(after.version, before.version + 1);
	assert_string_equal(world_user(w, "lea"), GONE);
	assert_int_equal(counts(w).total, 1);
	/* Nothing touches them any more. */
	assert_string_equal(delete_user(w, "lea", 0), "not-found");
	refused(w, change_user_enable(w->changer, &test_person, "lea", &w->err), "not-found");
	refused(w, change_user_disable(w->changer, &test_person, "lea", "", &w->err), "not-found");
	refused(w,
		change_grant_add(w->changer, &test_person, "lea", GRANT_ROLE, "night", 0, &w->err),
		"not-found");
	refused(w,
		change_user_set(w->changer, &test_person, "lea", 0, &fields, &uuid, &field,
				&w->err),
		"not-found");
	world_reload(w, CONFIG, NULL);
	assert_string_equal(world_user(w, "lea"), GONE);
	/* The name is not given again, to nobody; the address is. */
	refused(w, change_user_create(w->changer, &test_person, &again, &uuid, &w->err),
		"name-reserved");
	refused(w,
		change_user_set(w->changer, &test_person, "root-user", 0, &fields, &uuid, &field,
				&w->err),
		"name-reserved");
	assert_string_equal(field, "username");
	create(w, "other", "lea@x.example", "staff");
	world_check_audit(w);
}

static int64_t quarantined(struct world *w, const char *key, const char *reason)
{
	struct store *store = world_read(w);
	struct quarantine_query query = { .entry = key };
	struct quarantine_row *rows;
	size_t count;
	int64_t total;

	ok(w, store_quarantine_list(store, &query, w->arena, &rows, &count, &total, &w->err));
	store_close(store);
	return count == 1 && strcmp(rows[0].reason, reason) == 0;
}

#define SOURCES_OF_ONE \
	RULES POLICY \
		"sources: [{name: corp, type: ldif}, " \
		"{name: hr, type: ldif, link: {attribute: employeeNumber, source: corp}}, " \
		"{name: idp, type: saml, link: {attribute: uid, source: corp, other: uid}}]\n"

/* The directory still has them: no second user comes of it, and the first does not come back. */
static void test_delete_and_read(void **state)
{
	static const char *const reads[] = {
		"k1 anna @sales\nk2 ben\n",
		"k1 anna @sales title=ops\nk2 ben\n",		/* another record */
		"k1 anna2 @sales mail=new@x.example\nk2 ben\n", /* another name */
		"k1 anna @sales !disabled\nk2 ben\n",
		"k2 ben\n",
		"k2 ben\n",
		"k1 anna @sales\nk2 ben\n",
	};
	struct world *w = *state;
	int64_t version;

	world_open(w, SOURCES_OF_ONE);
	world_sync(w, "corp", reads[0], 0, NULL);
	ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
	assert_string_equal(delete_user(w, "anna", 0), "");
	version = world_find(w, "anna").version;
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		struct run_report report;

		world_sync(w, "corp", reads[i], 0, &report);
		if (report.created + report.updated + report.enabled + report.granted > 0 ||
		    report.quarantined > 0)
			fail_msg("read %zu did something", i);
		/* Their entry may leave: nobody waits for that, however often it is read. */
		assert_int_equal(report.missing, 0);
		run_report_finish(&report);
		assert_string_equal(world_user(w, "anna"), GONE);
		assert_int_equal(world_find(w, "anna").version, version);
		assert_int_equal(counts(w).total, 1);
	}
	world_changes(w, "corp", "k1 anna title=lead\n", NULL);
	world_changes(w, "corp", "-k1\n", NULL);
	world_changes(w, "corp", "k1 anna @sales\n", NULL);
	world_reload(w, SOURCES_OF_ONE, NULL);
	/* Nor does another source, whether it links to them or not. */
	world_sync(w, "hr", "h1 anna employeeNumber=k1\n", 0, NULL);
	assert_int_equal(counts(w).total, 1);
	world_sync(w, "hr", "h2 anna\n", 0, NULL);
	assert_true(quarantined(w, "h2", "name-reserved"));
	assert_string_equal(world_user(w, "anna"), GONE);
	assert_int_equal(world_find(w, "anna").version, version);
	/* Who only comes to have the same address is somebody else. */
	world_sync(w, "corp", "k1 anna\nk2 ben\nk3 anna3 mail=anna@x.example\n", 0, NULL);
	assert_string_equal(world_find(w, "anna3").email, "anna@x.example");
	world_check_audit(w);
}

/* Nor do they sign in. */
static void test_delete_and_sign_in(void **state)
{
	struct world *w = *state;
	struct login_outcome outcome;
	struct sent sent;

	world_open(w, SOURCES_OF_ONE);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	for (int i = 0; i < 3; i++) {
		world_send(w, &sent, i < 2 ? "n1 anna" : "n9 anna",
			   i == 0   ? "_a"
			   : i == 1 ? "_b"
				    : "_c");
		sent.login.just_in_time = true;
		ok(w,
		   change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome, &w->err));
		strbuf_finish(&sent.record);
		assert_string_equal(outcome.refused, i == 0   ? ""
						     : i == 1 ? "deleted"
							      : "duplicate-link");
		if (i > 0)
			continue;
		ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
		assert_string_equal(delete_user(w, "anna", 0), "");
	}
	assert_int_equal(counts(w).total, 1);
}

/* What waited for them in a held plan falls out of it. */
static void test_delete_who_waits(void **state)
{
	struct world *w = *state;
	struct run_report report;

	world_open(w, RULES POLICY SOURCES);
	create(w, "root-user", "", "administrator");
	world_sync(w, "corp", "k1 anna @admins\nk2 ben\n", 0, NULL);
	assert_string_equal(world_user(w, "anna"), "staff active");
	ok(w, change_user_disable(w->changer, &test_person, "anna", "", &w->err));
	assert_string_equal(delete_user(w, "anna", 0), "");
	run_report_init(&report);
	ok(w, plan_apply(w->changer, &test_person, world_held(w), NULL, &report, &w->err));
	run_report_finish(&report);
	assert_string_equal(world_user(w, "anna"), GONE);
	world_check_audit(w);
}

/* A disabled administrator may be deleted; an active one, however alone, is active. */
static void test_delete_administrators(void **state)
{
	struct world *w = *state;

	world_open(w, CONFIG);
	create(w, "root-user", "", "administrator");
	create(w, "lea", "", "administrator");
	assert_string_equal(delete_user(w, "root-user", 0), "conflict");
	ok(w, change_user_disable(w->changer, &test_person, "lea", "", &w->err));
	assert_string_equal(delete_user(w, "lea", 0), "");
	refused(w, change_user_disable(w->changer, &test_person, "root-user", "", &w->err),
		"last-administrator");
	assert_string_equal(delete_user(w, "root-user", 0), "conflict");
	world_check_sane(w, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),  TEST(test_set_stays),
		TEST(test_rename),	     TEST(test_delete),
		TEST(test_delete_and_read),  TEST(test_delete_and_sign_in),
		TEST(test_delete_who_waits), TEST(test_delete_administrators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
