/* What one person should have: every sentence of the header, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/decision/plan.h>

#define NOW 1000000000

static const char *const yaml =
	"profiles: [{name: administrator}, {name: manager}, {name: staff}]\n"
	"segments: [Core]\n"
	"roles:\n"
	"  - {name: sales, classifications: [Sales], segments: [Core]}\n"
	"  - {name: ops, classifications: [Support], segments: [Core]}\n"
	"personas: [{name: lead, title: Lena}]\n"
	"rules:\n"
	"  - {id: cleared, when: '(clearance=top)', grant: {profile: administrator}}\n"
	"  - {id: managers, when: '(title=manager)', grant: {profile: manager}}\n"
	"  - {id: second, when: '(title=*)', grant: {profile: staff}}\n"
	"  - {id: sales, when: '(l=Sales)', grant: {roles: [sales], personas: [lead]}}\n"
	"  - {id: ops, when: '(clearance=ops)', grant: {roles: [ops]}}\n"
	"  - {id: no-sales, when: '(employeeType=external)', deny: {roles: [sales], profile: manager}}\n"
	"  - {id: maybe, when: '(clearance=none)', deny: {personas: [lead]}}\n"
	"  - {id: old, when: '(uid=*)', grant: {roles: [ops]}, expires: 2000-01-01}\n"
	"  - {id: try, when: '(uid=*)', grant: {roles: [ops]}, trial: true}\n"
	"  - {id: both, when: '(&(title=manager)(sn=known))', grant: {roles: [ops]}}\n";

struct fixture {
	struct arena *arena;
	struct diagnostics *list;
	struct document *document;
	struct catalogue_settings settings;
	struct schema *schema;
	struct group_registry *registry;
	struct ruleset *rules;
	struct source_trust trust[2];
	struct decision_setup setup;
};

static struct located text(const char *value)
{
	return (struct located){ .text = value, .at = { 1, 1, 1, 1 }, .verbatim = true };
}

/* Sources corp (0) and jit (1); corp owes clearance where it does not deliver it. */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct document_file file = { "rules.yaml", yaml, strlen(yaml) };
	struct attribute_settings declared[] = {
		{ .name = text("clearance"), .from = text("clearance"), .absent = 1 },
	};
	struct identity_settings identity = { .username = text("uid"), .email = text("mail") };
	struct source_settings corp = { .name = text("corp"),
					.type = text("ldif"),
					.organization = text("default"),
					.enabled = true,
					.attributes = { 1, declared } };
	struct source_settings jit = { .name = text("jit"),
				       .type = text("csv"),
				       .organization = text("default"),
				       .enabled = true };
	const struct source_settings *sources[] = { &corp, &jit };

	f->arena = arena_create(1 << 26);
	f->list = diagnostics_create();
	f->document = document_load_files(&file, 1, f->list);
	options_parse(&catalogue_table, f->document, f->arena, &f->settings, f->list);
	f->schema = schema_create(&identity, sources, 2, f->list);
	f->registry = group_registry_create();
	f->rules = ruleset_compile(&f->settings, f->schema, "staff", f->registry, f->list);
	for (size_t i = 0; !f->rules && i < diagnostics_count(f->list); i++)
		print_message("%s\n", diagnostics_get(f->list, i)->message);
	assert_non_null(f->rules);
	f->setup = (struct decision_setup){ .schema = f->schema,
					    .rules = f->rules,
					    .trust = f->trust,
					    .default_profile = "staff",
					    .administrator_profile = "administrator" };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ruleset_destroy(f->rules);
	group_registry_destroy(f->registry);
	schema_destroy(f->schema);
	document_destroy(f->document);
	diagnostics_destroy(f->list);
	arena_destroy(f->arena);
	free(f);
	return 0;
}

/* "title=manager l=Sales !" → an identity of one source; NULL: none. */
static bool make_identity(struct fixture *f, uint16_t source, const char *words,
			  struct identity *identity)
{
	struct attribute *attributes = arena_alloc_array(f->arena, 16, sizeof(*attributes));
	char *rest = words ? arena_strdup(f->arena, words) : NULL, *word;

	if (!words)
		return false;
	*identity = (struct identity){ .source = source,
				       .key = "k",
				       .dn = "",
				       .groups_complete = true,
				       .disabled_by = "",
				       .attributes = attributes };
	while ((word = strsep(&rest, " ")) != NULL) {
		char *value = strchr(word, '=');
		const char **values = arena_alloc(f->arena, sizeof(*values));
		size_t at = identity->attribute_count;
		int id;

		if (strcmp(word, "!") == 0)
			identity->disabled = true;
		if (!value)
			continue;
		*value++ = '\0';
		*values = value;
		id = schema_find(f->schema, word, strlen(word));
		assert_true(id >= 0);
		for (; at > 0 && attributes[at - 1].id > id; at--)
			attributes[at] = attributes[at - 1];
		attributes[at] = (struct attribute){ (uint16_t)id, 1, values };
		identity->attribute_count++;
	}
	return true;
}

/* "role sales rule sales corp", "profile manager hand anna - 500": kind name origin id source expires. */
static struct grant make_grant(struct fixture *f, const char *words)
{
	static const char *const kinds[] = { "profile", "role", "persona", "group" };
	static const char *const origins[] = { "",	 "hand", "scim",   "import",
					       "invite", "rule", "default" };
	char *rest = arena_strdup(f->arena, words), *word;
	struct grant grant = { .origin_id = "", .origin_source = "", .given_s = 5 };

	for (int i = 0; (word = strsep(&rest, " ")) != NULL; i++) {
		for (unsigned j = 0; i == 0 && j < 4; j++)
			if (strcmp(word, kinds[j]) == 0)
				grant.kind = (enum grant_kind)j;
		for (unsigned j = 1; i == 2 && j < 7; j++)
			if (strcmp(word, origins[j]) == 0)
				grant.origin = (enum origin_kind)j;
		if (i == 1)
			grant.name = word;
		if (i == 3 && strcmp(word, "-") != 0)
			grant.origin_id = word;
		if (i == 4 && strcmp(word, "-") != 0)
			grant.origin_source = word;
		if (i == 5)
			grant.expires_s = strtoll(word, NULL, 10);
	}
	return grant;
}

struct row {
	const char *name;
	const char *corp, *jit; /* identities */
	const char *present[4]; /* grants */
	const char *profile;	/* expected */
	const char *wanted;	/* names of other grants with origin, in order */
	const char *note;	/* a code that must be among the notes */
	uint32_t user_disabled;
	uint32_t disabled;
	bool jit_restricted; /* may grant the role sales and nothing else */
	bool missing, frozen, is_new, no_default, out;
};

#define CLEAR " clearance=low"

static const struct row rows[] = {
	{ "nothing matches: default", .corp = "uid=a" CLEAR, .profile = "staff" },
	{ "first match wins", .corp = "title=manager" CLEAR, .profile = "manager" },
	{ "no default, no match, new: stays out", .corp = "uid=a" CLEAR, .profile = "",
	  .is_new = true, .no_default = true, .out = true, .disabled = DISABLED_NO_PROFILE },
	{ "no default, no match, a user: disabled", .corp = "uid=a" CLEAR, .profile = "",
	  .no_default = true, .disabled = DISABLED_NO_PROFILE },
	{ "missing data grants nothing", .corp = "l=x", .profile = "staff", .wanted = "" },
	{ "unknown before the first true: default", .corp = "title=manager", .profile = "staff" },
	{ "unknown before the first true: last confirmed", .corp = "title=x",
	  .present = { "profile manager rule managers corp" }, .profile = "manager",
	  .note = "unknown-kept" },
	{ "confirmed by a rule that is gone: default", .corp = "title=manager",
	  .present = { "profile manager rule forgotten corp" }, .profile = "staff" },
	{ "confirmed by a rule that gives another: default", .corp = "title=manager",
	  .present = { "profile manager rule second corp" }, .profile = "staff" },
	{ "confirmed but denied: default", .corp = "title=manager employeeType=external",
	  .present = { "profile manager rule managers corp" }, .profile = "staff" },
	{ "denied profile: the next rule", .corp = "title=manager employeeType=external" CLEAR,
	  .profile = "staff", .note = "denied" },
	{ "true role", .corp = "l=Sales" CLEAR, .profile = "staff",
	  .wanted = "sales:rule lead:rule" },
	{ "false role is revoked", .corp = "l=x" CLEAR, .present = { "role sales rule sales corp" },
	  .profile = "staff", .wanted = "" },
	{ "unknown role is kept", .corp = "l=x", .present = { "role ops rule ops corp" },
	  .profile = "staff", .wanted = "ops:rule", .note = "unknown-kept" },
	{ "unknown role is not given", .corp = "l=x", .profile = "staff", .wanted = "" },
	{ "unknown keeps only what that rule gave", .corp = "l=x",
	  .present = { "role ops rule forgotten corp" }, .profile = "staff", .wanted = "" },
	{ "deny beats a rule", .corp = "l=Sales employeeType=external" CLEAR, .profile = "staff",
	  .wanted = "lead:rule", .note = "denied" },
	{ "deny beats a hand", .corp = "employeeType=external" CLEAR,
	  .present = { "role sales hand anna" }, .profile = "staff", .wanted = "",
	  .note = "denied" },
	{ "unknown deny stops new ones", .corp = "l=Sales", .profile = "staff",
	  .wanted = "sales:rule", .note = "unknown-denied" },
	{ "unknown deny keeps held ones", .corp = "l=Sales",
	  .present = { "persona lead rule sales corp" }, .profile = "staff",
	  .wanted = "sales:rule lead:rule", .note = "unknown-denied" },
	{ "unknown deny keeps what a hand gave", .corp = "l=x",
	  .present = { "persona lead hand anna" }, .profile = "staff", .wanted = "lead:hand" },
	{ "other origins survive", .corp = "l=x" CLEAR,
	  .present = { "role ops hand anna", "role sales scim idm" }, .profile = "staff",
	  .wanted = "ops:hand sales:scim" },
	{ "expired hand grant goes", .corp = "l=x" CLEAR,
	  .present = { "role ops hand anna - 1000000000" }, .profile = "staff", .wanted = "",
	  .note = "expired" },
	{ "not yet expired", .corp = "l=x" CLEAR, .present = { "role ops hand anna - 1000000001" },
	  .profile = "staff", .wanted = "ops:hand" },
	{ "expired rule takes back", .corp = "uid=a" CLEAR, .present = { "role ops rule old corp" },
	  .profile = "staff", .wanted = "" },
	{ "trial gives nothing", .corp = "uid=a" CLEAR, .profile = "staff", .wanted = "",
	  .note = "trial" },
	{ "trial takes back what it gave before", .corp = "uid=a" CLEAR,
	  .present = { "role ops rule try corp" }, .profile = "staff", .wanted = "" },
	{ "hand beats rule", .corp = "title=manager" CLEAR,
	  .present = { "profile administrator hand anna" }, .profile = "administrator",
	  .note = "overridden" },
	{ "hand beats scim", .corp = "uid=a" CLEAR,
	  .present = { "profile manager hand anna", "profile administrator scim idm" },
	  .profile = "manager" },
	{ "scim beats import", .corp = "uid=a" CLEAR,
	  .present = { "profile manager import csv", "profile administrator scim idm" },
	  .profile = "administrator" },
	{ "invite beats rule", .corp = "title=x" CLEAR, .present = { "profile manager invite eve" },
	  .profile = "manager" },
	{ "denied hand profile", .corp = "uid=a employeeType=external" CLEAR,
	  .present = { "profile manager hand anna" }, .profile = "staff", .note = "denied" },
	{ "local user: no rules",
	  .present = { "profile manager hand anna", "role sales rule sales corp" },
	  .profile = "manager", .wanted = "" },
	{ "restricted source: not trusted", .jit = "title=manager l=Sales", .profile = "staff",
	  .wanted = "sales:rule", .note = "not-trusted", .jit_restricted = true },
	{ "restricted source beside a trusted one that suffices", .corp = "title=manager" CLEAR,
	  .jit = "title=manager l=Sales", .profile = "manager", .wanted = "sales:rule",
	  .jit_restricted = true },
	{ "half from a restricted source", .corp = "title=manager" CLEAR, .jit = "sn=known",
	  .profile = "manager", .wanted = "", .note = "not-trusted", .jit_restricted = true },
	{ "half from an unrestricted source", .corp = "title=manager" CLEAR, .jit = "sn=known",
	  .profile = "manager", .wanted = "ops:rule" },
	{ "disabled by its source", .corp = "uid=a !" CLEAR, .profile = "staff",
	  .disabled = DISABLED_BY_SOURCE },
	{ "disabled by one of two", .corp = "uid=a" CLEAR, .jit = "uid=a !", .profile = "staff",
	  .disabled = DISABLED_BY_SOURCE },
	{ "a hand's reason stays", .corp = "uid=a" CLEAR, .profile = "staff",
	  .user_disabled = DISABLED_BY_HAND | DISABLED_BY_SOURCE, .disabled = DISABLED_BY_HAND },
	{ "suspension ends with the disable", .corp = "uid=a" CLEAR, .profile = "staff",
	  .user_disabled = SUSPENDED_SIGN_IN, .disabled = 0 },
	{ "suspension stays with the disable", .corp = "uid=a !" CLEAR, .profile = "staff",
	  .user_disabled = SUSPENDED_SIGN_IN, .disabled = SUSPENDED_SIGN_IN | DISABLED_BY_SOURCE },
	{ "missing keeps grants", .corp = "l=Sales" CLEAR, .profile = "staff", .missing = true,
	  .wanted = "sales:rule lead:rule", .disabled = DISABLED_MISSING },
	{ "back again", .corp = "l=Sales" CLEAR, .profile = "staff",
	  .user_disabled = DISABLED_MISSING, .wanted = "sales:rule lead:rule" },
	{ "frozen: rules say nothing",
	  .corp = "title=manager l=Sales employeeType=external !" CLEAR,
	  .present = { "profile staff default -", "role ops rule ops corp",
		       "role sales hand anna" },
	  .profile = "staff", .wanted = "ops:rule sales:hand", .frozen = true },
	{ "frozen: expiry goes on", .corp = "uid=a" CLEAR, .present = { "role ops hand anna - 5" },
	  .profile = "staff", .wanted = "", .frozen = true },
};

static void describe(const struct decision *decision, char *out, size_t size)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(4096);

	for (size_t i = 0; i < decision->grant_count; i++) {
		const struct grant *grant = &decision->grants[i];

		if (grant->kind != GRANT_PROFILE)
			strbuf_printf(&buf, "%s%s:%s", buf.size ? " " : "", grant->name,
				      origin_kind_name(grant->origin));
	}
	assert_true(buf.size < size);
	memcpy(out, strbuf_text(&buf), buf.size + 1);
}

static void check_row(struct fixture *f, const struct row *row)
{
	struct identity identities[2];
	struct grant grants[4];
	struct person person;
	struct user user = { .id = 1,
			     .organization = "default",
			     .username = "a",
			     .email = "",
			     .display_name = "",
			     .profile = "staff",
			     .disabled = row->user_disabled };
	struct decide_input input = { .person = &person,
				      .user = row->is_new ? NULL : &user,
				      .grants = grants,
				      .now_s = NOW,
				      .missing = row->missing,
				      .rules_frozen = row->frozen };
	static const char *const sales[] = { "sales" };
	struct decision decision;
	struct err err;
	char wanted[512];
	size_t count = 0;
	bool noted = row->note == NULL, found = false;

	memset(f->trust, 0, sizeof(f->trust));
	f->trust[1].restricted = row->jit_restricted;
	f->trust[1].names[GRANT_ROLE] = sales;
	f->trust[1].counts[GRANT_ROLE] = 1;
	f->setup.default_profile = row->no_default ? "" : "staff";
	count += make_identity(f, 0, row->corp, &identities[count]);
	count += make_identity(f, 1, row->jit, &identities[count]);
	for (; input.grant_count < 4 && row->present[input.grant_count]; input.grant_count++)
		grants[input.grant_count] = make_grant(f, row->present[input.grant_count]);
	assert_int_equal(person_merge(f->schema, identities, count, f->arena, &person, &err), 0);
	assert_int_equal(decide(&f->setup, &input, f->arena, &decision, &err), 0);
	describe(&decision, wanted, sizeof(wanted));
	for (size_t i = 0; row->note && i < decision.note_count; i++)
		noted |= strcmp(decision.notes[i].code, row->note) == 0;
	for (size_t i = 0; i < decision.grant_count; i++)
		found |= decision.grants[i].kind == GRANT_PROFILE &&
			 strcmp(decision.grants[i].name, decision.profile) == 0;
	if (strcmp(decision.profile, row->profile) != 0 ||
	    (row->wanted && strcmp(wanted, row->wanted) != 0) ||
	    decision.disabled != row->disabled || decision.provisioned == row->out || !noted ||
	    found != (row->profile[0] != '\0'))
		fail_msg("%s: profile '%s', grants '%s', disabled %x, provisioned %d, noted %d",
			 row->name, decision.profile, wanted, decision.disabled,
			 decision.provisioned, noted);
}

static void test_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(*state, &rows[i]);
}

/* A second source that says the same changes nothing; the grant stays with the one it has. */
static void test_source_of_a_grant(void **state)
{
	struct fixture *f = *state;
	struct identity identities[2];
	struct grant held = make_grant(f, "role sales rule sales jit");
	struct person person;
	struct decide_input input = { .person = &person, .now_s = NOW };
	struct decision decision;
	struct err err;

	make_identity(f, 0, "l=Sales" CLEAR, &identities[0]);
	make_identity(f, 1, "l=Sales", &identities[1]);
	assert_int_equal(person_merge(f->schema, identities, 1, f->arena, &person, &err), 0);
	input.grants = &held;
	input.grant_count = 1;
	assert_int_equal(decide(&f->setup, &input, f->arena, &decision, &err), 0);
	for (size_t i = 0; i < decision.grant_count; i++)
		if (decision.grants[i].kind == GRANT_ROLE) {
			/* jit has no identity here any more: the grant moves to the source that has. */
			assert_string_equal(decision.grants[i].origin_source, "corp");
			assert_int_equal(decision.grants[i].given_s, 5);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_source_of_a_grant, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
