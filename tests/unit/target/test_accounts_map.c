/* Users as Linux accounts: who has one, what it looks like, which keys open it, and what no machine takes. */
#include <rolebridge/target/accounts.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/keys/protocol.h>

#define LOCATED(words) ((struct located){ .text = (words), .at = { 1, 1, 1, 1 } })
#define NOW_S 1000
#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKP/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFO"

/* --- a target from text, a person from a table --- */

struct world {
	struct arena *arena;
	struct diagnostics *list;
	struct document *document;
	struct schema *schema;
	struct accounts_target target;
};

static struct schema *make_schema(struct diagnostics *list)
{
	static struct attribute_settings declared[] = {
		{ .name = { .text = "sshPublicKey" }, .syntax = SYNTAX_STRING_EXACT },
		{ .name = { .text = "badge" }, .syntax = SYNTAX_AUTO },
		{ .name = { .text = "secret" }, .syntax = SYNTAX_AUTO, .sensitive = true },
	};
	struct identity_settings identity = { .username = LOCATED("uid"),
					      .email = LOCATED("mail") };
	struct source_settings source = { .name = LOCATED("hr"),
					  .type = LOCATED("ldif"),
					  .organization = LOCATED("default"),
					  .enabled = true,
					  .attributes = { ARRAY_LEN(declared), declared } };
	const struct source_settings *sources[] = { &source };

	return schema_create(&identity, sources, 1, list);
}

static void world_start(struct world *world, const char *yaml)
{
	struct document_file file = { "test.yaml", yaml, strlen(yaml) };

	*world = (struct world){ .arena = arena_create(1 << 20), .list = diagnostics_create() };
	world->schema = make_schema(world->list);
	world->document = document_load_files(&file, 1, world->list);
	assert_non_null(world->document);
	options_parse(&accounts_target_table, world->document, world->arena, &world->target,
		      world->list);
}

static void world_start_well(struct world *world, const char *yaml)
{
	world_start(world, yaml);
	if (diagnostics_errors(world->list) > 0)
		fail_msg("%s", diagnostics_get(world->list, 0)->message);
}

static void world_end(struct world *world)
{
	document_destroy(world->document);
	schema_destroy(world->schema);
	diagnostics_destroy(world->list);
	arena_destroy(world->arena);
}

struct value {
	const char *name;
	const char *values[3];
};

static void give_values(struct world *world, struct accounts_subject *subject,
			const struct value *values)
{
	struct attribute *attributes = arena_alloc_array(world->arena, 8, sizeof(*attributes));
	struct identity *identity = arena_alloc(world->arena, sizeof(*identity));

	*identity = (struct identity){
		.key = "a", .dn = "", .attributes = attributes, .disabled_by = ""
	};
	for (size_t id = 0; id < schema_count(world->schema); id++)
		for (size_t i = 0; values && i < 4 && values[i].name; i++) {
			const char *name = schema_get(world->schema, (uint16_t)id)->name;
			struct attribute *to = &attributes[identity->attribute_count];

			if (strcmp(name, values[i].name) != 0)
				continue;
			*to = (struct attribute){ .id = (uint16_t)id, .values = values[i].values };
			while (to->count < 3 && values[i].values[to->count])
				to->count++;
			identity->attribute_count++;
		}
	assert_int_equal(
		person_merge(world->schema, identity, 1, world->arena, &subject->person, NULL), 0);
}

static const struct grant operator_grants[] = {
	{ GRANT_ROLE, "operator", ORIGIN_RULE, "r", "hr", 1, 0 },
	{ GRANT_ROLE, "past", ORIGIN_HAND, "x", "", 1, NOW_S },
	{ GRANT_GROUP, "docker-users", ORIGIN_HAND, "x", "", 1, NOW_S + 1 },
};

static struct accounts_subject operator_of(const char *username)
{
	return (struct accounts_subject){
		.user = { .id = 1,
			  .organization = "default",
			  .username = username,
			  .email = "",
			  .display_name = "Ada Lovelace",
			  .profile = "analyst" },
		.grants = operator_grants,
		.grant_count = ARRAY_LEN(operator_grants),
	};
}

#define HEAD "name: linux\ntype: accounts\n"
#define EVERYBODY HEAD "users: {profiles: ['*']}\n"

/* --- who --- */

static void test_wanted(void **state)
{
	static const struct {
		const char *name, *yaml;
		uint32_t disabled;
		bool wanted;
	} cases[] = {
		{ "any profile", EVERYBODY, 0, true },
		{ "the profile", HEAD "users: {profiles: [analyst]}\n", 0, true },
		{ "another profile", HEAD "users: {profiles: [manager]}\n", 0, false },
		{ "a role", HEAD "users: {roles: [other, operator]}\n", 0, true },
		{ "a role that has expired", HEAD "users: {roles: [past]}\n", 0, false },
		{ "a group until a second from now", HEAD "users: {local_groups: [docker-users]}\n",
		  0, true },
		{ "a role's name as a group", HEAD "users: {local_groups: [operator]}\n", 0,
		  false },
		{ "any of them", HEAD "users: {profiles: [manager], roles: [operator]}\n", 0,
		  true },
		{ "the organization",
		  HEAD "users: {profiles: ['*'], organizations: [north, default]}\n", 0, true },
		{ "another organization", HEAD "users: {profiles: ['*'], organizations: [north]}\n",
		  0, false },
		{ "an organization of none", HEAD "users: {profiles: ['*'], organizations: []}\n",
		  0, false },
		{ "disabled by hand", EVERYBODY, DISABLED_BY_HAND, false },
		{ "disabled by its source", EVERYBODY, DISABLED_BY_SOURCE, false },
		{ "gone", EVERYBODY, DISABLED_GONE, false },
		{ "deleted", EVERYBODY, DISABLED_DELETED, false },
		{ "suspended", EVERYBODY, SUSPENDED_SIGN_IN, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct accounts_subject subject = operator_of("ada");
		struct world world;

		world_start_well(&world, cases[i].yaml);
		subject.user.disabled = cases[i].disabled;
		if (accounts_is_wanted(&world.target, &subject, NOW_S) != cases[i].wanted)
			fail_msg("%s", cases[i].name);
		world_end(&world);
	}
}

/* Nobody without a profile is everybody. */
static void test_no_profile(void **state)
{
	struct accounts_subject subject = operator_of("ada");
	struct world world;

	(void)state;
	world_start_well(&world, EVERYBODY);
	subject.user.profile = "";
	assert_false(accounts_is_wanted(&world.target, &subject, NOW_S));
	world_end(&world);
}

/* --- what --- */

static void test_account(void **state)
{
	struct accounts_subject subject = operator_of("ada");
	struct accounts_ensure account;
	struct err err = { 0 };
	struct world world;

	(void)state;
	world_start_well(&world, EVERYBODY "shell: /bin/sh\nprimary_group: people\ngroups:\n"
					   "  - {name: wheel, roles: [operator]}\n"
					   "  - {name: docker, local_groups: [docker-users]}\n"
					   "  - {name: docker, profiles: [analyst]}\n"
					   "  - {name: adm, roles: [past]}\n");
	assert_int_equal(
		accounts_map(&world.target, &subject, NOW_S, NULL, world.arena, &account, &err), 0);
	assert_string_equal(account.name, "ada");
	assert_string_equal(account.gecos, "Ada Lovelace");
	assert_string_equal(account.shell, "/bin/sh");
	assert_string_equal(account.primary, "people");
	assert_string_equal(account.home, "");
	assert_int_equal(account.uid, 0);
	assert_true(account.enabled);
	assert_int_equal(account.group_count, 2);
	assert_string_equal(account.groups[0], "docker");
	assert_string_equal(account.groups[1], "wheel");
	world_end(&world);
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
		{ "ada", true },
		{ "ada.lovelace", true },
		{ "a", true },
		{ "ada_1-x", true },
		{ "ada@example.com", false },
		{ "1ada", false },
		{ "-ada", false },
		{ "\xc3\xa5sa", false },
		{ "../etc", false },
		{ "a b", false },
		{ "ada$", false },
		{ "abcdefghijklmnopqrstuvwxyz0123456", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct accounts_subject subject = operator_of(cases[i].name);
		struct accounts_ensure account;
		struct err err = { 0 };
		struct world world;
		bool good;

		world_start_well(&world, EVERYBODY);
		good = accounts_map(&world.target, &subject, NOW_S, NULL, world.arena, &account,
				    &err) == 0;
		if (good != cases[i].good ||
		    (!good && strcmp(err_reason(&err), "name-invalid") != 0))
			fail_msg("%s: %s", cases[i].name, err.text);
		if (!good) {
			assert_int_equal(accounts_map(&world.target, &subject, NOW_S, "kept",
						      world.arena, &account, &err),
					 0);
			assert_string_equal(account.name, "kept");
		}
		world_end(&world);
	}
}

static void test_attributes(void **state)
{
	static const struct {
		const char *title;
		struct value values[4];
		const char *reason, *name, *shell;
		uint32_t uid;
	} cases[] = {
		{ "all of them",
		  { { "badge", { "emp17" } },
		    { "title", { "4711" } },
		    { "description", { "/bin/zsh" } } },
		  NULL,
		  "emp17",
		  "/bin/zsh",
		  4711 },
		{ "the name alone", { { "badge", { "emp17" } } }, NULL, "emp17", "/bin/bash", 0 },
		{ "no name", { { "title", { "4711" } } }, "name-invalid", NULL, NULL, 0 },
		{ "two names", { { "badge", { "a", "b" } } }, "name-invalid", NULL, NULL, 0 },
		{ "a name that is none",
		  { { "badge", { "A B" } } },
		  "name-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "uid 0",
		  { { "badge", { "a" } }, { "title", { "0" } } },
		  "uid-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "the last uid",
		  { { "badge", { "a" } }, { "title", { "4294967295" } } },
		  "uid-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "a uid that wraps",
		  { { "badge", { "a" } }, { "title", { "18446744073709551617" } } },
		  "uid-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "a negative uid",
		  { { "badge", { "a" } }, { "title", { "-1" } } },
		  "uid-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "an empty uid",
		  { { "badge", { "a" } }, { "title", { "" } } },
		  "uid-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "a shell that is no path",
		  { { "badge", { "a" } }, { "description", { "zsh" } } },
		  "shell-invalid",
		  NULL,
		  NULL,
		  0 },
		{ "a shell elsewhere",
		  { { "badge", { "a" } }, { "description", { "/bin/../x" } } },
		  "shell-invalid",
		  NULL,
		  NULL,
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct accounts_subject subject = operator_of("ada");
		struct accounts_ensure account = { 0 };
		struct err err = { 0 };
		struct world world;
		int result;

		world_start_well(&world, EVERYBODY
				 "attributes: {name: badge, uid: title, shell: description}\n");
		give_values(&world, &subject, cases[i].values);
		result = accounts_map(&world.target, &subject, NOW_S, NULL, world.arena, &account,
				      &err);
		if ((result < 0) != (cases[i].reason != NULL) ||
		    (cases[i].reason && strcmp(err_reason(&err), cases[i].reason) != 0))
			fail_msg("%s: %d %s", cases[i].title, result, err.text);
		if (result == 0 &&
		    (strcmp(account.name, cases[i].name) != 0 ||
		     strcmp(account.shell, cases[i].shell) != 0 || account.uid != cases[i].uid))
			fail_msg("%s: %s %s %u", cases[i].title, account.name, account.shell,
				 account.uid);
		world_end(&world);
	}
}

static void test_gecos(void **state)
{
	static const struct {
		const char *name, *gecos;
	} cases[] = {
		{ "Ada Lovelace", "Ada Lovelace" }, { "", "" },
		{ "Ada:x:0:0", "Ada x 0 0" },	    { "back\\slash", "back slash" },
		{ "Ada,pri=-20", "Ada,pri -20" },   { "\xc3\x85sa", "\xc3\x85sa" },
	};
	struct accounts_subject subject = operator_of("ada");
	struct accounts_ensure account;
	char long_name[400] = "";
	struct world world;

	(void)state;
	world_start_well(&world, EVERYBODY);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		subject.user.display_name = cases[i].name;
		assert_int_equal(accounts_map(&world.target, &subject, NOW_S, NULL, world.arena,
					      &account, NULL),
				 0);
		assert_string_equal(account.gecos, cases[i].gecos);
	}
	/* Cut between characters: 254 letters, and one of two bytes. */
	memset(long_name, 'a', 254);
	memcpy(long_name + 254, "\xc3\x85", 3);
	subject.user.display_name = long_name;
	assert_int_equal(
		accounts_map(&world.target, &subject, NOW_S, NULL, world.arena, &account, NULL), 0);
	assert_int_equal(strlen(account.gecos), 254);
	world_end(&world);
}

/* --- keys --- */

static void test_keys(void **state)
{
	static const struct value values[] = {
		{ "sshPublicKey", { KEY " ada@laptop\n", "command=\"sh\" " KEY, KEY } }, { 0 }
	};
	struct accounts_subject subject = operator_of("ada");
	const char *const *keys;
	size_t count, refused;
	struct world world;

	(void)state;
	world_start_well(&world, EVERYBODY "attributes: {ssh_keys: sshPublicKey}\n");
	give_values(&world, &subject, values);
	assert_int_equal(accounts_keys_of(&world.target, &subject, world.arena, &keys, &count,
					  &refused, NULL),
			 0);
	assert_int_equal(count, 1);
	assert_string_equal(keys[0], KEY);
	assert_int_equal(refused, 1);
	give_values(&world, &subject, NULL);
	assert_int_equal(accounts_keys_of(&world.target, &subject, world.arena, &keys, &count,
					  &refused, NULL),
			 0);
	assert_int_equal(count, 0);
	world_end(&world);
}

/* --- the configuration --- */

static bool was_found(const struct diagnostics *list, const char *code)
{
	for (size_t i = 0; i < diagnostics_count(list); i++)
		if (strcmp(diagnostics_get(list, i)->code, code) == 0)
			return true;
	return false;
}

static void test_configuration(void **state)
{
	static struct profile_settings profiles[] = { { .name = { .text = "analyst" } } };
	static struct role_settings roles[] = { { .name = { .text = "operator" } } };
	static const struct catalogue_settings catalogue = { .profiles = { 1, profiles },
							     .roles = { 1, roles } };
	static const struct {
		const char *name, *yaml, *code;
	} cases[] = {
		{ "all is well",
		  EVERYBODY "groups: [{name: wheel, roles: [operator], profiles: [analyst]}]\n"
			    "attributes: {name: uid, ssh_keys: sshPublicKey}\nkeys: {}\n",
		  NULL },
		{ "no users", HEAD, "missing-key" },
		{ "nobody", HEAD "users: {organizations: [default]}\n", "missing-key" },
		{ "a group of nobody", EVERYBODY "groups: [{name: wheel}]\n", "missing-key" },
		{ "a group that is none", EVERYBODY "groups: [{name: 'a b', roles: [operator]}]\n",
		  "invalid-value" },
		{ "a primary group that is none", EVERYBODY "primary_group: '0'\n",
		  "invalid-value" },
		{ "a shell that is none", EVERYBODY "shell: bash\n", "invalid-value" },
		{ "keys of no attribute", EVERYBODY "keys: {}\n", "missing-key" },
		{ "an unknown attribute", EVERYBODY "attributes: {ssh_keys: sshPublicKy}\n",
		  "unknown-attribute" },
		{ "a sensitive name", EVERYBODY "attributes: {name: secret}\n",
		  "sensitive-attribute" },
		{ "an unknown role", HEAD "users: {roles: [oprator]}\n", "unknown-role" },
		{ "an unknown profile", HEAD "users: {profiles: [analist]}\n", "unknown-profile" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool needed[1024] = { false };
		struct world world;

		world_start(&world, cases[i].yaml);
		accounts_target_check(&world.target, &catalogue, world.schema, needed, world.list);
		if (cases[i].code ? !was_found(world.list, cases[i].code)
				  : diagnostics_count(world.list) > 0)
			fail_msg("%s: %s", cases[i].name,
				 diagnostics_count(world.list)
					 ? diagnostics_get(world.list, 0)->message
					 : "nothing");
		if (!cases[i].code)
			assert_true(needed[schema_find(world.schema, "sshPublicKey", 12)]);
		world_end(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wanted),	   cmocka_unit_test(test_no_profile),
		cmocka_unit_test(test_account),	   cmocka_unit_test(test_names),
		cmocka_unit_test(test_attributes), cmocka_unit_test(test_gecos),
		cmocka_unit_test(test_keys),	   cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
