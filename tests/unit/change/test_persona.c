/* Records of personas through change/: who may note what, and that they live and end with the persona. */
#include <rolebridge/change/persona.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/change/define.h>
#include <rolebridge/rules/settings.h>

#include "support.h"

#define DAY INT64_C(86400)
#define BASE \
	"profiles:\n" \
	"  - {name: administrator, permissions: ['*:*@all']}\n" \
	"  - {name: research, permissions: ['personas:update@all', 'personas:read@all', " \
	"'personas:validate@own']}\n" \
	"  - {name: member, permissions: ['personas:validate@own']}\n" \
	"  - {name: staff, permissions: ['notes:read@own']}\n" \
	"policy: {default_profile: staff, limits: {new_administrators: 100}}\n" \
	"sources: [{name: corp, type: ldif}, {name: far, type: ldif, organization: other}]\n"
#define LEAD "personas:\n  - {name: lead, title: Lena}\n"
#define DUE "personas:\n  - {name: lead, title: Lena, review_due: 2031-01-01}\n"

static void create(struct world *w, const char *name, const char *profile, const char *organization)
{
	const struct new_user user = { .username = name,
				       .profile = profile,
				       .organization = organization };
	struct uuid uuid;

	ok(w, change_user_create(w->changer, &test_person, &user, &uuid, &w->err));
}

static int set_up(void **state)
{
	struct world *w;

	if (world_set_up(state) < 0)
		return -1;
	w = *state;
	world_open(w, BASE LEAD);
	create(w, "ada", "administrator", NULL);
	create(w, "rose", "research", NULL);
	create(w, "anna", "member", NULL);
	create(w, "ben", "staff", NULL);
	create(w, "far", "research", "other");
	return 0;
}

static struct actor as(struct world *w, const char *name)
{
	return (struct actor){ .name = arena_printf(w->arena, "user:%s", name),
			       .request = "r",
			       .is_person = true,
			       .limited = true,
			       .user_id = world_find(w, name).id };
}

static struct persona_wish wish(enum persona_record_type type, int kind)
{
	return (struct persona_wish){
		.record = { .type = type,
			    .kind = kind,
			    .title = type == PERSONA_LINK ? "Story" : "",
			    .text = "",
			    .url = type == PERSONA_LINK ? "https://x.example/1" : "" }
	};
}

static int add(struct world *w, const struct actor *actor, struct persona_wish wanted,
	       struct persona_outcome *ret_outcome, const char **ret_field)
{
	struct persona_outcome outcome = { 0 };
	const char *field = NULL;
	int result;

	err_clear(&w->err);
	result = change_persona_add(w->changer, actor, "lead", &wanted, &outcome, &field, &w->err);
	if (ret_outcome)
		*ret_outcome = outcome;
	if (ret_field)
		*ret_field = field;
	return result;
}

static struct persona_facts facts_of(struct world *w, const char *name)
{
	AUTO(store) struct store *store = world_read(w);
	struct persona_facts facts;

	ok(w, store_persona_get(store, name, w->arena, &facts, &w->err));
	return facts;
}

static void test_who(void **state)
{
	static const struct {
		const char *name, *by_hand, *own;
	} people[] = {
		{ "ada", "", "" },
		{ "rose", "", "" },
		{ "anna", "not-allowed", "" },
		{ "ben", "not-allowed", "not-allowed" },
		{ "far", "not-allowed", "" },
	};
	struct world *w = *state;
	struct persona_wish own = wish(PERSONA_VALIDATION, 1);

	own.own = true;
	for (size_t i = 0; i < ARRAY_LEN(people); i++) {
		struct actor actor = as(w, people[i].name);

		for (int type = PERSONA_RESEARCH; type <= PERSONA_LINK; type++) {
			struct persona_wish wanted = wish((enum persona_record_type)type,
							  type == PERSONA_REVIEW ? 0 : 1);

			if (type == PERSONA_VALIDATION)
				wanted.user = "ben";
			if (type == PERSONA_LINK)
				wanted.record.url =
					arena_printf(w->arena, "https://x.example/%zu", i);
			if (people[i].by_hand[0])
				refused(w, add(w, &actor, wanted, NULL, NULL), people[i].by_hand);
			else
				ok(w, add(w, &actor, wanted, NULL, NULL));
		}
		if (people[i].own[0]) {
			refused(w, add(w, &actor, own, NULL, NULL), people[i].own);
			continue;
		}
		/* Who may not read personas answers for one that they have. */
		if (strcmp(people[i].name, "anna") == 0) {
			refused(w, add(w, &actor, own, NULL, NULL), "not-found");
			ok(w, change_grant_add(w->changer, &test_person, "anna", GRANT_PERSONA,
					       "lead", 0, &w->err));
		}
		ok(w, add(w, &actor, own, NULL, NULL));
	}
	refused(w, add(w, &test_person, own, NULL, NULL), "not-allowed");
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_YES], 5);
	world_check_audit(w);
}

static void test_answers(void **state)
{
	struct world *w = *state;
	struct persona_wish answer = wish(PERSONA_VALIDATION, 1);
	struct persona_outcome first, second;
	struct actor rose = as(w, "rose");
	const char *field;

	answer.user = "anna";
	ok(w, add(w, &test_person, answer, &first, NULL));
	assert_false(first.replaced);
	answer.record.kind = 3;
	ok(w, add(w, &test_person, answer, &second, NULL));
	assert_true(second.replaced);
	assert_true(second.record.id != first.record.id);
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_YES], 0);
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_NO], 1);
	answer.record.title = "Kim";
	refused(w, add(w, &test_person, answer, NULL, &field), "invalid");
	assert_string_equal(field, "user");
	answer.user = NULL;
	ok(w, add(w, &test_person, answer, &first, NULL));
	answer.record.title = "";
	refused(w, add(w, &test_person, answer, NULL, &field), "invalid");
	answer.user = "far";
	refused(w, add(w, &rose, answer, NULL, &field), "not-found");
	assert_string_equal(field, "user");
	refused(w, change_persona_remove(w->changer, &rose, "lead", PERSONA_VALIDATION, 0, &w->err),
		"not-found");
	refused(w,
		change_persona_remove(w->changer, &rose, "lead", PERSONA_RESEARCH, first.record.id,
				      &w->err),
		"not-found");
	ok(w, change_persona_remove(w->changer, &rose, "lead", PERSONA_VALIDATION, first.record.id,
				    &w->err));
	refused(w,
		change_persona_remove(w->changer, &rose, "lead", PERSONA_VALIDATION,
				      first.record.id, &w->err),
		"not-found");
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_NO], 1);
	world_check_audit(w);
}

static void test_fields(void **state)
{
	static const struct {
		const char *name;
		struct persona_record record;
		const char *field; /* NULL: done */
	} cases[] = {
		{ "plain", { .type = PERSONA_RESEARCH, .kind = 1 }, NULL },
		{ "today", { .type = PERSONA_RESEARCH, .kind = 1, .at_s = 1 }, NULL },
		{ "tomorrow", { .type = PERSONA_RESEARCH, .kind = 1, .at_s = INT64_MAX }, "at" },
		{ "before all", { .type = PERSONA_RESEARCH, .kind = 1, .at_s = -1 }, "at" },
		{ "less than none",
		  { .type = PERSONA_RESEARCH, .kind = 1, .number = -1 },
		  "count" },
		{ "too many", { .type = PERSONA_RESEARCH, .kind = 1, .number = 1000001 }, "count" },
		{ "the most", { .type = PERSONA_RESEARCH, .kind = 4, .number = 1000000 }, NULL },
		{ "a script",
		  { .type = PERSONA_RESEARCH, .kind = 1, .url = "javascript:x" },
		  "link" },
		{ "due before", { .type = PERSONA_REVIEW, .number = 1000 }, "next_due" },
		{ "due never", { .type = PERSONA_REVIEW, .number = INT64_MAX }, "next_due" },
		{ "no title", { .type = PERSONA_LINK, .kind = 1, .url = "http://x/" }, "title" },
		{ "no address", { .type = PERSONA_LINK, .kind = 1, .title = "t" }, "url" },
		{ "a host alone",
		  { .type = PERSONA_LINK, .kind = 1, .title = "t", .url = "http://x" },
		  NULL },
		{ "no host",
		  { .type = PERSONA_LINK, .kind = 1, .title = "t", .url = "http://?x" },
		  "url" },
		{ "an odd kind", { .type = PERSONA_LINK, .kind = 9, .title = "t" }, "" },
		{ "an odd type", { .type = (enum persona_record_type)9, .kind = 1 }, "" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct persona_wish wanted = { .record = cases[i].record };
		const char *field;
		int result;

		if (!wanted.record.title)
			wanted.record.title = "";
		if (!wanted.record.url)
			wanted.record.url = "";
		wanted.record.text = "";
		result = add(w, &test_person, wanted, NULL, &field);
		if ((result == 0) != !cases[i].field)
			fail_msg("%s: %s", cases[i].name, w->err.text);
		if (cases[i].field && strcmp(cases[i].field, field ? field : "") != 0)
			fail_msg("%s: field '%s'", cases[i].name, field ? field : "");
	}
}

/* organization: of its personas; NULL: all share them. */
static int define_for(struct world *w, const char *organization, const char *yaml,
		      const struct definition_write *write)
{
	struct setup *setup = world_setup(w, yaml);
	struct persona_settings *personas = setup->catalogue->personas.items;
	const struct define_order order = { .setup = setup, .writes = write, .count = 1 };
	struct define_outcome outcome;
	struct run_report report;
	int result;

	for (size_t i = 0; i < setup->catalogue->personas.count; i++)
		personas[i].organization = organization;
	run_report_init(&report);
	err_clear(&w->err);
	result = change_define(w->changer, &test_person, &order, &outcome, &report, &w->err);
	run_report_finish(&report);
	setup_release(setup);
	return result;
}

static int define(struct world *w, const char *yaml, const struct definition_write *write)
{
	return define_for(w, NULL, yaml, write);
}

#define BODY "{\"name\":\"lead\"}"

static const struct definition_write made = { .kind = "persona",
					      .name = "lead",
					      .body = BODY,
					      .version = DEFINITION_NEW,
					      .action = "persona.create" };
static const struct definition_write gone = { .kind = "persona",
					      .name = "lead",
					      .body = NULL,
					      .version = DEFINITION_MAYBE,
					      .action = "persona.delete" };

static void test_with_the_definition(void **state)
{
	static const struct definition_write changed = { .kind = "persona",
							 .name = "lead",
							 .body = BODY,
							 .version = DEFINITION_MAYBE,
							 .action = "persona.update" };
	struct world *w = *state;
	struct persona_facts before, after;

	world_reload(w, BASE, NULL);
	refused(w, add(w, &test_person, wish(PERSONA_RESEARCH, 1), NULL, NULL), "not-found");
	ok(w, define(w, BASE LEAD, &made));
	before = facts_of(w, "lead");
	assert_true(before.id > 0 && before.noted_s > 0);
	ok(w, add(w, &test_person, wish(PERSONA_RESEARCH, 1), NULL, NULL));
	ok(w, add(w, &test_person, wish(PERSONA_REVIEW, 0), NULL, NULL));
	after = facts_of(w, "lead");
	assert_int_equal(after.id, before.id);
	assert_true(after.next_due_s > after.reviewed_s + 364 * DAY);
	/* Another title leaves the review alone, another day takes its place. */
	ok(w, define(w, BASE LEAD, &changed));
	assert_int_equal(facts_of(w, "lead").next_due_s, after.next_due_s);
	ok(w, define(w, BASE DUE, &changed));
	assert_int_equal(facts_of(w, "lead").next_due_s, 0);
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_INTERVIEWS], 1);
	/* A file declares it, too: what goes is a row that nobody saw. */
	ok(w, define(w, BASE DUE, &gone));
	assert_int_equal(facts_of(w, "lead").id, before.id);
	ok(w, define(w, BASE DUE, &made));
	ok(w, define(w, BASE, &gone));
	assert_int_equal(facts_of(w, "lead").id, 0);
	ok(w, define(w, BASE LEAD, &made));
	after = facts_of(w, "lead");
	assert_true(after.id > before.id);
	assert_int_equal(after.counts[PERSONA_ENTRIES], 0);
	world_check_audit(w);
}

/* What was noted while a file declared it goes on with one of the store, but to no other organization. */
static void test_from_a_file_to_the_store(void **state)
{
	static const struct {
		const char *organization;
		bool goes_on;
	} cases[] = { { NULL, true }, { "default", true }, { "other", false } };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct persona_facts before, after;

		world_reload(w, BASE LEAD, NULL);
		ok(w, add(w, &test_person, wish(PERSONA_RESEARCH, 1), NULL, NULL));
		before = facts_of(w, "lead");
		world_reload(w, BASE, NULL);
		ok(w, define_for(w, cases[i].organization, BASE LEAD, &made));
		after = facts_of(w, "lead");
		assert_int_equal(after.id == before.id, cases[i].goes_on);
		assert_int_equal(after.counts[PERSONA_ENTRIES], cases[i].goes_on ? 1 : 0);
		ok(w, define(w, BASE, &gone));
	}
	world_check_audit(w);
}

static void test_upkeep(void **state)
{
	static const struct definition_write put = { .kind = "persona",
						     .name = "lead",
						     .body = BODY,
						     .version = DEFINITION_MAYBE,
						     .action = "persona.create" };
	struct definition_write end = put;
	struct world *w = *state;
	AUTO(store) struct store *store = NULL;
	struct persona_facts noted;
	bool waits;

	assert_int_equal(facts_of(w, "lead").id, 0);
	ok(w, change_personas_upkeep(w->changer, &w->err));
	noted = facts_of(w, "lead");
	assert_true(noted.id > 0);
	ok(w, change_personas_upkeep(w->changer, &w->err));
	assert_int_equal(facts_of(w, "lead").noted_s, noted.noted_s);
	for (int i = 0; i < 600; i++)
		ok(w, add(w, &test_person, wish(PERSONA_RESEARCH, 2), NULL, NULL));
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_TICKETS], 600);
	/* It stays through a reload that does not know it, and comes back with the name. */
	world_reload(w, BASE, NULL);
	ok(w, change_personas_upkeep(w->changer, &w->err));
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_TICKETS], 600);
	world_reload(w, BASE LEAD, NULL);
	ok(w, add(w, &test_person, wish(PERSONA_RESEARCH, 2), NULL, NULL));
	assert_int_equal(facts_of(w, "lead").counts[PERSONA_TICKETS], 601);
	ok(w, define(w, BASE LEAD, &put));
	end.body = NULL;
	ok(w, define(w, BASE, &end));
	ok(w, change_personas_upkeep(w->changer, &w->err));
	store = world_read(w);
	ok(w, store_personas_gone(store, &waits, &w->err));
	assert_false(waits);
	assert_int_equal(facts_of(w, "lead").id, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_who),
		TEST(test_answers),
		TEST(test_fields),
		TEST(test_with_the_definition),
		TEST(test_from_a_file_to_the_store),
		TEST(test_upkeep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
