/*
 * Definitions: who may change them, what stands against it, that all of it happens or nothing, also when
 * the process is killed at any step.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/change/define.h>

#include "support.h"

#define WRITE(kind_of, name_of, is_draft, text, place, seen, word) \
	{ \
		.kind = kind_of, .name = name_of, .draft = is_draft, .body = text, \
		.position = place, .version = seen, .action = word \
	}

extern void (*change_test_hook)(const char *step);

#define BEFORE_SOURCES \
	"profiles:\n" \
	"  - {name: administrator, permissions: ['*:*@all']}\n" \
	"  - {name: desk, permissions: ['roles:*@all', 'rules:*@all', 'notes:*@all']}\n" \
	"  - {name: staff, permissions: ['notes:read@own']}\n" \
	"segments: [Core]\n" \
	"personas: [{name: lead, title: Lena}]\n" \
	"policy: {default_profile: staff, limits: {new_administrators: 100}}\n"
#define DIRECTORIES "{name: corp, type: ldif}, {name: far, type: ldif, organization: other}"
#define PROFILES BEFORE_SOURCES "sources: [" DIRECTORIES "]\n"
#define WITH_SOURCE(source) BEFORE_SOURCES "sources: [" DIRECTORIES ", " source "]\nroles:\n" FIXED
#define ROLE(name, permission) \
	"  - {name: " name \
	", classifications: [Sales], segments: [Core], permissions: ['" permission "']}\n"
#define FIXED ROLE("notes", "notes:read@all") ROLE("money", "money:read@all")
#define BEFORE PROFILES "roles:\n" FIXED
#define BODY "{\"name\":\"it\"}"

static const struct actor desk = {
	.name = "user:desk", .request = "r", .is_person = true, .limited = true
};

static int64_t audit_count(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct hash256 hash;
	int64_t seq;

	ok(w, store_audit_head(store, &seq, &hash, &w->err));
	return seq;
}

/* "role it 3 {…}; …" */
static const char *rows(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 20);
	struct definition *found;
	size_t count;

	ok(w, store_definitions_load(store, w->arena, &found, &count, &w->err));
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&out, "%s %s%s %s; ", found[i].kind, found[i].name,
			      found[i].draft ? " draft" : "", found[i].body);
	return arena_strdup(w->arena, strbuf_text(&out));
}

static void create_in(struct world *w, const char *name, const char *profile,
		      const char *organization)
{
	struct new_user user = { .username = name,
				 .profile = profile,
				 .organization = organization };
	struct uuid uuid;

	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
}

static void create(struct world *w, const char *name, const char *profile)
{
	create_in(w, name, profile, NULL);
}

static struct actor as(struct world *w, const char *name)
{
	AUTO(store) struct store *store = world_read(w);
	struct actor actor = desk;
	struct user user;

	ok(w, user_resolve(store, name, w->arena, &user, &w->err));
	actor.user_id = user.id;
	return actor;
}

static void fill(struct world *w, const char *yaml)
{
	world_open(w, yaml);
	create(w, "ada", "administrator");
	create(w, "desk", "desk");
	create(w, "ben", "staff");
	create_in(w, "far", "administrator", "other");
	world_sync(w, "corp", "k1 carl title=ops_one\n", 0, NULL);
}

static int define(struct world *w, const char *yaml, const struct actor *actor,
		  const struct definition_write *writes, size_t count, bool dry_run,
		  const char *plan, struct define_outcome *ret_outcome)
{
	struct setup *setup = world_setup(w, yaml);
	const struct define_order order = {
		.setup = setup, .dry_run = dry_run, .writes = writes, .count = count, .plan = plan
	};
	struct define_outcome outcome = { 0 };
	struct run_report report;
	int result;

	run_report_init(&report);
	err_clear(&w->err);
	result = change_define(w->changer, actor, &order, &outcome, &report, &w->err);
	run_report_finish(&report);
	setup_release(setup);
	if (result == 0 && ret_outcome)
		*ret_outcome = outcome;
	return result;
}

static const struct definition_write rule_write =
	WRITE("rule", "r", false, "{\"id\":\"r\"}", 1, DEFINITION_MAYBE, "rule.activate");

/* --- refusals --- */

#define NEW DEFINITION_NEW
static const struct {
	const char *name, *yaml, *actor; /* NULL: somebody without limits */
	struct definition_write write;
	const char *reason; /* NULL: done */
} cases[] = {
	{ "a role", BEFORE ROLE("it", "a:b@all"), NULL,
	  WRITE("role", "it", false, BODY, 0, NEW, "role.create"), NULL },
	{ "within", BEFORE ROLE("it", "notes:read@all"), "desk",
	  WRITE("role", "it", false, BODY, 0, NEW, "role.create"), NULL },
	{ "beyond", BEFORE ROLE("it", "money:read@all"), "desk",
	  WRITE("role", "it", false, BODY, 0, NEW, "role.create"), "not-allowed" },
	{ "beyond by a star", BEFORE ROLE("it", "*:read@own"), "desk",
	  WRITE("role", "it", false, BODY, 0, NEW, "role.create"), "not-allowed" },
	{ "beyond by nothing at all", BEFORE ROLE("it", "notes:read@own"), "ben",
	  WRITE("role", "it", false, BODY, 0, NEW, "role.create"), NULL },
	{ "what is beyond before",
	  PROFILES "roles:\n" ROLE("notes", "notes:read@all") ROLE("money", "notes:read@all"),
	  "desk", WRITE("role", "money", false, BODY, 0, DEFINITION_MAYBE, "role.update"),
	  "not-allowed" },
	{ "the end of what is beyond", PROFILES "roles:\n" ROLE("notes", "notes:read@all"), "desk",
	  WRITE("role", "money", false, NULL, 0, DEFINITION_MAYBE, "role.delete"), "not-allowed" },
	{ "administrators' profile", BEFORE, "desk",
	  WRITE("profile", "administrator", false, BODY, 0, DEFINITION_MAYBE, "profile.update"),
	  "not-allowed" },
	{ "their own profile", BEFORE, "desk",
	  WRITE("profile", "desk", false, BODY, 0, DEFINITION_MAYBE, "profile.update"), NULL },
	{ "a persona", BEFORE, "desk",
	  WRITE("persona", "lead", false, BODY, 0, DEFINITION_MAYBE, "persona.update"), NULL },
	{ "a rule within", BEFORE "rules: [{id: it, when: '(title=a)', grant: {roles: [notes]}}]\n",
	  "desk", WRITE("rule", "it", false, BODY, 1, NEW, "rule.activate"), NULL },
	{ "a rule beyond", BEFORE "rules: [{id: it, when: '(title=a)', grant: {roles: [money]}}]\n",
	  "desk", WRITE("rule", "it", false, BODY, 1, NEW, "rule.activate"), "not-allowed" },
	{ "a rule that makes administrators",
	  BEFORE "rules: [{id: it, when: '(title=a)', grant: {profile: administrator}}]\n", "desk",
	  WRITE("rule", "it", false, BODY, 1, NEW, "rule.activate"), "not-allowed" },
	{ "a rule that keeps it from others",
	  BEFORE "rules: [{id: it, when: '(title=a)', deny: {roles: [money]}}]\n", "desk",
	  WRITE("rule", "it", false, BODY, 1, NEW, "rule.activate"), "not-allowed" },
	{ "somebody's of another organization", BEFORE ROLE("it", "notes:read@own"), "far",
	  WRITE("role", "it", false, BODY, 0, NEW, "role.create"), "not-allowed" },
	{ "not there", BEFORE, NULL, WRITE("role", "it", false, BODY, 0, 0, "role.update"),
	  "not-found" },
	{ "another version", BEFORE, NULL, WRITE("role", "kept", false, BODY, 0, 77, "role.update"),
	  "stale-version" },
	{ "there already", BEFORE, NULL, WRITE("role", "kept", false, BODY, 0, NEW, "role.create"),
	  "name-taken" },
	{ "held", PROFILES, NULL, WRITE("role", "notes", false, NULL, 0, DEFINITION_MAYBE, "x"),
	  "in-use" },
	{ "a source", WITH_SOURCE("{name: idp, type: saml}"), "ada",
	  WRITE("source", "idp", false, BODY, 0, NEW, "source.create"), NULL },
	{ "a source that gives nothing", WITH_SOURCE("{name: idp, type: saml, may_grant: {}}"),
	  "desk", WRITE("source", "idp", false, BODY, 0, NEW, "source.create"), "not-allowed" },
	{ "a source of an administrator elsewhere", WITH_SOURCE("{name: idp, type: saml}"), "far",
	  WRITE("source", "idp", false, BODY, 0, NEW, "source.create"), "not-allowed" },
	{ "a source that is switched off by somebody",
	  WITH_SOURCE("{name: idp, type: saml, enabled: false}"), "desk",
	  WRITE("source", "idp", false, BODY, 0, DEFINITION_MAYBE, "source.disable"),
	  "not-allowed" },
	{ "a source whose people are there",
	  BEFORE_SOURCES "sources: [{name: far, type: ldif, organization: other}]\n", NULL,
	  WRITE("source", "corp", false, NULL, 0, DEFINITION_MAYBE, "source.delete"), "in-use" },
	{ "a source of nobody", BEFORE_SOURCES "sources: [{name: corp, type: ldif}]\n", NULL,
	  WRITE("source", "far", false, NULL, 0, DEFINITION_MAYBE, "source.delete"), NULL },
	{ "a source whose document is gone",
	  WITH_SOURCE("{name: idp, type: saml}"),
	  NULL,
	  { .kind = "source",
	    .name = "idp",
	    .body = BODY,
	    .version = NEW,
	    .action = "source.create",
	    .fingerprint = "sha256:none" },
	  "stale-version" },
};

static void test_refusals(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world *w = *state;
		struct definition_write kept =
			WRITE("role", "kept", false, BODY, 0, DEFINITION_MAYBE, "role.create");
		struct actor actor = test_person;
		const char *before;
		int64_t audited;
		int result;

		fill(w, BEFORE);
		ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "notes", 0,
				       &w->err));
		ok(w, define(w, BEFORE ROLE("kept", "a:b@all"), &test_person, &kept, 1, false, NULL,
			     NULL));
		if (cases[i].actor)
			actor = as(w, cases[i].actor);
		before = rows(w);
		audited = audit_count(w);
		assert_int_equal(
			define(w, cases[i].yaml, &actor, &cases[i].write, 1, true, NULL, NULL),
			cases[i].reason ? -1 : 0);
		assert_string_equal(before, rows(w));
		assert_int_equal(audited, audit_count(w));
		result = define(w, cases[i].yaml, &actor, &cases[i].write, 1, false, NULL, NULL);
		if ((result < 0) != (cases[i].reason != NULL) ||
		    (result < 0 && strcmp(err_reason(&w->err), cases[i].reason) != 0))
			fail_msg("%s: %d %s", cases[i].name, result, w->err.text);
		if (result < 0) {
			assert_string_equal(before, rows(w));
			assert_int_equal(audited, audit_count(w));
		} else {
			assert_true(audit_count(w) > audited);
		}
		world_check_audit(w);
		world_tear_down(state);
		world_set_up(state);
	}
}

static const char *document(struct world *w, const char *fingerprint)
{
	AUTO(store) struct store *store = world_read(w);
	const char *body = NULL;
	int found = store_document_get(store, fingerprint, w->arena, &body, &w->err);

	assert_true(found >= 0);
	return found ? body : "none";
}

/* It comes with the body that names it, and goes with the last. */
static void test_documents(void **state)
{
	struct world *w = *state;
	struct definition_write write = { .kind = "source",
					  .name = "idp",
					  .body = "{\"metadata\":\"sha256:a\"}",
					  .version = NEW,
					  .action = "source.create",
					  .fingerprint = "sha256:a",
					  .document = "<a/>" };
	const char *yaml = WITH_SOURCE("{name: idp, type: saml}");

	fill(w, BEFORE);
	ok(w, define(w, yaml, &test_person, &write, 1, true, NULL, NULL));
	assert_string_equal(document(w, "sha256:a"), "none");
	ok(w, define(w, yaml, &test_person, &write, 1, false, NULL, NULL));
	assert_string_equal(document(w, "sha256:a"), "<a/>");
	write.version = DEFINITION_MAYBE;
	write.document = NULL;
	ok(w, define(w, yaml, &test_person, &write, 1, false, NULL, NULL));
	assert_string_equal(document(w, "sha256:a"), "<a/>");
	write.body = "{\"metadata\":\"sha256:b\"}";
	write.fingerprint = "sha256:b";
	write.document = "<b/>";
	ok(w, define(w, yaml, &test_person, &write, 1, false, NULL, NULL));
	assert_string_equal(document(w, "sha256:a"), "none");
	assert_string_equal(document(w, "sha256:b"), "<b/>");
	write = (struct definition_write){ .kind = "source",
					   .name = "idp",
					   .version = DEFINITION_MAYBE,
					   .action = "source.delete" };
	ok(w, define(w, BEFORE, &test_person, &write, 1, false, NULL, NULL));
	assert_string_equal(document(w, "sha256:b"), "none");
	world_check_audit(w);
}

/* An administrators' profile that lists nothing is everything: no way for one whose profile lists something. */
#define ADMINISTRATORS(permissions) \
	"profiles: [{name: administrator" permissions "}, {name: staff}]\n" \
	"policy: {default_profile: staff}\n" \
	"sources: [{name: corp, type: ldif}]\n"
#define FEW ", permissions: ['users:*@all', 'profiles:*@all', 'roles:*@all', 'rules:*@all']"

static void test_nothing_is_everything(void **state)
{
	static const struct definition_write write = WRITE("profile", "administrator", false, BODY,
							   0, DEFINITION_MAYBE, "profile.update");
	struct world *w = *state;
	struct actor ada;

	world_open(w, ADMINISTRATORS(FEW));
	create(w, "ada", "administrator");
	ada = as(w, "ada");
	assert_int_equal(define(w, ADMINISTRATORS(""), &ada, &write, 1, false, NULL, NULL), -1);
	assert_string_equal(err_reason(&w->err), "not-allowed");
	assert_string_equal(rows(w), "");
	ok(w, define(w, ADMINISTRATORS(FEW), &ada, &write, 1, false, NULL, NULL));
	ok(w, define(w, ADMINISTRATORS(""), &test_person, &write, 1, false, NULL, NULL));
}

/* The first rule that matches gives the profile: whoever takes it away gives the next one's. */
#define LOW "  - {id: r, when: '(title=ops*)', grant: {profile: staff}}\n"
#define HIGH "  - {id: high, when: '(title=*)', grant: {profile: administrator}}\n"
#define DENIED "  - {id: r, when: '(title=ops*)', deny: {profile: staff}}\n"

static const struct {
	const char *name, *before, *after;
	bool refused;
} falls[] = {
	{ "taken away before a higher one", LOW HIGH, HIGH, true },
	{ "put behind a higher one", LOW HIGH, HIGH LOW, true },
	{ "taken away behind a higher one", HIGH LOW, HIGH, false },
	{ "put before a higher one", HIGH, LOW HIGH, false },
	{ "a deny that leaves a higher one", HIGH, HIGH DENIED, true },
	{ "a deny that leaves the default", "  []\n", DENIED, false },
};

static void test_falling_to_the_next(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(falls); i++) {
		struct world *w = *state;
		const char *before = arena_printf(w->arena, BEFORE "rules:\n%s", falls[i].before);
		const char *after = arena_printf(w->arena, BEFORE "rules:\n%s", falls[i].after);
		struct actor actor;
		int result;

		fill(w, before);
		actor = as(w, "desk");
		result = define(w, after, &actor, &rule_write, 1, false, NULL, NULL);
		if ((result < 0) != falls[i].refused ||
		    (result < 0 && strcmp(err_reason(&w->err), "not-allowed") != 0))
			fail_msg("%s: %d %s", falls[i].name, result, w->err.text);
		world_tear_down(state);
		world_set_up(state);
	}
}

/* All or nothing: the second of two is refused. */
static void test_all_or_nothing(void **state)
{
	struct world *w = *state;
	const struct definition_write writes[] = {
		WRITE("role", "it", false, BODY, 0, DEFINITION_NEW, "role.create"),
		WRITE("role", "nobody", false, BODY, 0, DEFINITION_PRESENT, "role.update"),
	};

	fill(w, BEFORE);
	assert_int_equal(
		define(w, BEFORE ROLE("it", "a:b@all"), &test_person, writes, 2, false, NULL, NULL),
		-1);
	assert_string_equal(rows(w), "");
	assert_int_equal(
		define(w, BEFORE ROLE("it", "a:b@all"), &test_person, writes, 1, false, NULL, NULL),
		0);
	assert_string_equal(rows(w), "role it " BODY "; ");
	/* In force at once: it can be given. */
	ok(w, change_grant_add(w->changer, &test_person, "ben", GRANT_ROLE, "it", 0, &w->err));
}

/* --- plans --- */

#define RULE(title) "rules: [{id: r, when: '(title=" title ")', grant: {roles: [notes]}}]\n"
static void test_plan(void **state)
{
	struct world *w = *state;
	const struct definition_write other = WRITE("rule", "r", false, "{\"id\":\"r\",\"x\":1}", 1,
						    DEFINITION_MAYBE, "rule.activate");
	struct define_outcome preview, again;

	fill(w, BEFORE);
	ok(w, define(w, BEFORE RULE("ops*"), &test_person, &rule_write, 1, true, NULL, &preview));
	ok(w, define(w, BEFORE RULE("ops*"), &test_person, &rule_write, 1, true, NULL, &again));
	assert_int_equal(preview.people, 1);
	assert_string_equal(preview.plan, again.plan);
	ok(w, define(w, BEFORE RULE("ops*"), &test_person, &other, 1, true, NULL, &again));
	assert_string_not_equal(preview.plan, again.plan);
	assert_string_equal(world_user(w, "carl"), "staff active");
	/* Somebody else comes: what would happen now is not what was shown. */
	world_sync(w, "corp", "k1 carl title=ops_one\nk2 dora title=ops_two\n", 0, NULL);
	assert_int_equal(define(w, BEFORE RULE("ops*"), &test_person, &rule_write, 1, false,
				preview.plan, NULL),
			 -1);
	assert_string_equal(err_reason(&w->err), "plan-superseded");
	assert_string_equal(rows(w), "");
	ok(w, define(w, BEFORE RULE("ops*"), &test_person, &rule_write, 1, true, NULL, &preview));
	ok(w,
	   define(w, BEFORE RULE("ops*"), &test_person, &rule_write, 1, false, preview.plan, NULL));
	assert_string_equal(world_user(w, "carl"), "staff active notes:rule");
	assert_string_equal(world_user(w, "dora"), "staff active notes:rule");
}

/* A group that the refused setup does not name is still known to the one in force. */
static void test_groups_survive_a_refusal(void **state)
{
	static const char with_group[] =
		BEFORE "rules: [{id: r, groups: ['cn=ops,dc=x'], grant: {roles: [notes]}}]\n";
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct define_outcome preview;
	struct group_registry_row *groups;
	uint32_t next;
	size_t count;

	world_open(w, with_group);
	create(w, "ada", "administrator");
	world_sync(w, "corp", "k1 carl @ops\n", 0, NULL);
	assert_string_equal(world_user(w, "carl"), "staff active notes:rule");
	ok(w, define(w, BEFORE, &test_person, &rule_write, 1, true, NULL, &preview));
	preview.plan[0] ^= 1;
	assert_int_equal(define(w, BEFORE, &test_person, &rule_write, 1, false, preview.plan, NULL),
			 -1);
	store = world_read(w);
	ok(w, store_groups_load(store, w->arena, &groups, &count, &next, &w->err));
	assert_int_equal(count, 1);
	assert_true(groups[0].found);
}

/* --- killed --- */

static int steps_left;

static void die_in_time(const char *step UNUSED)
{
	if (steps_left-- == 0)
		kill(getpid(), SIGKILL);
}

/* As at a start: what the rows say is the configuration, and rules that changed are looked at anew. */
static void open_by_rows(struct world *w)
{
	bool due, there;

	world_open(w, BEFORE);
	there = strstr(rows(w), "rule r") != NULL;
	world_close(w);
	world_open(w, there ? BEFORE RULE("ops*") : BEFORE);
	ok(w, changer_reload_due(w->changer, &due, &w->err));
	if (due)
		world_reload(w, there ? BEFORE RULE("ops*") : BEFORE, NULL);
	assert_string_equal(world_user(w, "carl"),
			    there ? "staff active notes:rule" : "staff active");
}

static bool survives(struct world *w, int step)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		world_open(w, BEFORE);
		steps_left = step;
		change_test_hook = die_in_time;
		_exit(define(w, BEFORE RULE("ops*"), &test_person, &rule_write, 1, false, NULL,
			     NULL) == 0
			      ? 7
			      : 8);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 7);
	return WIFEXITED(status);
}

static void test_killed(void **state)
{
	bool lived = false;
	int there = 0, absent = 0;

	for (int step = 0; !lived; step++) {
		struct world *w = *state;

		fill(w, BEFORE);
		world_close(w);
		lived = survives(w, step);
		open_by_rows(w);
		if (rows(w)[0])
			there++;
		else
			absent++;
		assert_true(!lived || rows(w)[0]);
		world_check_audit(w);
		world_check_sane(w, true);
		world_tear_down(state);
		world_set_up(state);
	}
	/* Steps before the commit and behind it were hit. */
	assert_true(there >= 2 && absent >= 2);
}

/* --- a full disk --- */

/* A role, which concerns nobody, and a rule, for which people are evaluated. */
static void test_full(void **state)
{
	static const struct definition_write role_write =
		WRITE("role", "it", false, BODY, 0, DEFINITION_NEW, "role.create");
	static const struct {
		const struct definition_write *write;
		const char *yaml;
	} roads[] = { { &role_write, BEFORE ROLE("it", "a:b@all") },
		      { &rule_write, BEFORE RULE("ops*") } };

	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(roads); i++) {
		int refusals = 0, result = -1;

		for (rlim_t room = 0; result < 0; room += 4096) {
			struct world *w = *state;

			fill(w, BEFORE);
			/* First in none at all: whether the log begins anew, with room, is a matter of chance. */
			test_limit_files(refusals == 0 ? 0 : test_largest_file(w->path) + room);
			result = define(w, roads[i].yaml, &test_person, roads[i].write, 1, false,
					NULL, NULL);
			test_limit_files(RLIM_INFINITY);
			refusals += result < 0;
			/* Said to have failed it may still be stored as READY, and is continued. */
			assert_true(result < 0 || rows(w)[0]);
			world_close(w);
			if (i == 1)
				open_by_rows(w);
			else
				world_open(w, BEFORE);
			world_check_audit(w);
			world_check_sane(w, true);
			world_tear_down(state);
			world_set_up(state);
		}
		assert_true(refusals > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refusals, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_documents, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_everything, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_falling_to_the_next, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_all_or_nothing, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_plan, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_groups_survive_a_refusal, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_killed, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_full, world_set_up, world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
