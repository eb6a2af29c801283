/* What is known of personas: records, what they count, the end of both. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/store/persona.h>

static struct persona_record make(enum persona_record_type type, int kind, const char *title)
{
	return (struct persona_record){ .type = type,
					.kind = kind,
					.at_s = 100,
					.number = 1,
					.title = title,
					.text = "\xc3\xa9 note",
					.url = type == PERSONA_LINK ? title : "",
					.actor = "user:ada" };
}

static int64_t note(struct fixture *f, const char *name, int64_t noted_s)
{
	int64_t id;

	ok(f, store_persona_note(f->store, name, noted_s, &id, &f->err));
	return id;
}

static struct persona_facts get(struct fixture *f, const char *name)
{
	struct persona_facts facts;

	ok(f, store_persona_get(f->store, name, f->arena, &facts, &f->err));
	return facts;
}

static size_t list(struct fixture *f, struct persona_query query, struct persona_record **ret_rows)
{
	size_t count;

	if (query.limit == 0)
		query.limit = 100;
	ok(f, store_persona_list(f->store, &query, f->arena, ret_rows, &count, &f->err));
	return count;
}

static void test_facts(void **state)
{
	struct fixture *f = *state;
	struct persona_facts *all, facts;
	int64_t first;
	size_t count;

	ok(f, store_begin(f->store, &f->err));
	first = note(f, "zed", 5);
	note(f, "lead", 6);
	assert_int_equal(note(f, "zed", 7), first);
	ok(f, store_persona_due(f->store, "zed", 99, &f->err));
	ok(f, store_persona_due(f->store, "unheard-of", 99, &f->err));
	ok(f, store_commit(f->store, &f->err));
	reopen(f);
	ok(f, store_personas_load(f->store, f->arena, &all, &count, &f->err));
	assert_int_equal(count, 2);
	assert_string_equal(all[0].name, "lead");
	assert_string_equal(all[1].name, "zed");
	assert_int_equal(all[1].noted_s, 7);
	assert_int_equal(all[1].next_due_s, 99);
	assert_int_equal(all[1].reviewed_s, 0);
	assert_string_equal(all[1].reviewed_by, "");
	assert_int_equal(store_persona_get(f->store, "none", f->arena, &facts, &f->err), 0);
	assert_int_equal(facts.id, 0);
	assert_string_equal(facts.name, "none");
	/* Nothing of it without a transaction. */
	assert_int_equal(store_persona_note(f->store, "lead", 1, NULL, &f->err), -1);
	assert_int_equal(store_persona_due(f->store, "lead", 1, &f->err), -1);
	assert_int_equal(store_persona_forget(f->store, "lead", &f->err), -1);
	assert_int_equal(store_persona_prune(f->store, 1, &f->err), -1);
}

static void test_review(void **state)
{
	struct fixture *f = *state;
	struct persona_record review = make(PERSONA_REVIEW, 0, ""), *rows;
	struct persona_facts facts;

	review.at_s = 1000;
	review.number = 2000;
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_persona_add(f->store, note(f, "lead", 1), &review, &f->err));
	ok(f, store_commit(f->store, &f->err));
	facts = get(f, "lead");
	assert_int_equal(facts.reviewed_s, 1000);
	assert_int_equal(facts.next_due_s, 2000);
	assert_string_equal(facts.reviewed_by, "user:ada");
	assert_int_equal(facts.counts[PERSONA_REVIEWS], 1);
	assert_int_equal(list(f, (struct persona_query){ facts.id, .type = PERSONA_REVIEW }, &rows),
			 1);
	assert_int_equal(rows[0].number, 2000);
	assert_string_equal(rows[0].text, "\xc3\xa9 note");
	assert_string_equal(rows[0].actor, "user:ada");
}

/* Each answers once, whoever they are; each address stands once. */
static void test_once(void **state)
{
	struct fixture *f = *state;
	struct persona_record answer = make(PERSONA_VALIDATION, 1, ""), found;
	struct persona_record guest = make(PERSONA_VALIDATION, 2, "Kim");
	struct persona_record link = make(PERSONA_LINK, 1, "https://x.example/"), again = link;
	int64_t lead, other;

	ok(f, store_begin(f->store, &f->err));
	answer.user_id = add_user(f, "anna");
	lead = note(f, "lead", 1);
	other = note(f, "other", 1);
	ok(f, store_persona_add(f->store, lead, &answer, &f->err));
	ok(f, store_persona_add(f->store, lead, &guest, &f->err));
	ok(f, store_persona_add(f->store, lead, &link, &f->err));
	found = answer;
	refused(f, store_persona_add(f->store, lead, &found, &f->err), ERR_CONFLICT, "name-taken");
	found = guest;
	refused(f, store_persona_add(f->store, lead, &found, &f->err), ERR_CONFLICT, "name-taken");
	refused(f, store_persona_add(f->store, lead, &again, &f->err), ERR_CONFLICT, "name-taken");
	/* Elsewhere they may. */
	found = answer;
	ok(f, store_persona_add(f->store, other, &found, &f->err));
	again = link;
	ok(f, store_persona_add(f->store, other, &again, &f->err));
	assert_int_equal(
		store_persona_answer(f->store, lead, answer.user_id, "", f->arena, &found, &f->err),
		1);
	assert_int_equal(found.id, answer.id);
	assert_int_equal(store_persona_answer(f->store, lead, 0, "Kim", f->arena, &found, &f->err),
			 1);
	assert_int_equal(found.id, guest.id);
	assert_int_equal(found.kind, 2);
	assert_int_equal(store_persona_answer(f->store, lead, 0, "kim", f->arena, &found, &f->err),
			 0);
	assert_int_equal(store_persona_answer(f->store, other, 0, "Kim", f->arena, &found, &f->err),
			 0);
	found = make(PERSONA_VALIDATION, 1, "");
	found.user_id = 4711;
	refused(f, store_persona_add(f->store, lead, &found, &f->err), ERR_NOT_FOUND, "not-found");
	store_rollback(f->store);
}

static void test_lists(void **state)
{
	struct fixture *f = *state;
	struct persona_record *rows, anna = make(PERSONA_VALIDATION, 1, "");
	struct persona_record guest = make(PERSONA_VALIDATION, 3, "Kim"), far = anna;
	struct user stranger = make_user("far", "far@y.example");
	struct persona_query query = { .type = PERSONA_VALIDATION };

	ok(f, store_begin(f->store, &f->err));
	query.persona = note(f, "lead", 1);
	anna.user_id = add_user(f, "anna");
	stranger.organization = "partners";
	ok(f, store_organization_ensure(f->store, "partners", &f->err));
	ok(f, store_user_insert(f->store, &stranger, &f->err));
	far.user_id = stranger.id;
	ok(f, store_persona_add(f->store, query.persona, &anna, &f->err));
	ok(f, store_persona_add(f->store, query.persona, &guest, &f->err));
	ok(f, store_persona_add(f->store, query.persona, &far, &f->err));
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(list(f, query, &rows), 3);
	assert_int_equal(rows[0].user_id, anna.user_id);
	assert_string_equal(rows[1].title, "Kim");
	assert_int_equal(rows[1].user_id, 0);
	query.organization = "partners";
	assert_int_equal(list(f, query, &rows), 1);
	assert_int_equal(rows[0].id, far.id);
	query.organization = "default";
	assert_int_equal(list(f, query, &rows), 2);
	query.organization = "unheard-of";
	assert_int_equal(list(f, query, &rows), 0);
	query.organization = NULL;
	query.kind = 3;
	assert_int_equal(list(f, query, &rows), 1);
	query.kind = 0;
	query.limit = 1;
	query.after_id = anna.id;
	assert_int_equal(list(f, query, &rows), 1);
	assert_int_equal(rows[0].id, guest.id);
	query.type = PERSONA_RESEARCH;
	query.after_id = 0;
	assert_int_equal(list(f, query, &rows), 0);
}

/* Nothing is left of it but work for later, and the next of that name is another one. */
static void test_forget(void **state)
{
	struct fixture *f = *state;
	struct persona_record record, *rows;
	int64_t lead, other, next;
	bool gone;

	ok(f, store_begin(f->store, &f->err));
	lead = note(f, "lead", 1);
	other = note(f, "other", 1);
	for (int i = 0; i < 5; i++) {
		record = make(PERSONA_RESEARCH, 1, "");
		ok(f, store_persona_add(f->store, i < 3 ? lead : other, &record, &f->err));
	}
	ok(f, store_personas_gone(f->store, &gone, &f->err));
	assert_false(gone);
	assert_int_equal(store_persona_prune(f->store, 10, &f->err), 0);
	ok(f, store_persona_forget(f->store, "lead", &f->err));
	ok(f, store_persona_forget(f->store, "unheard-of", &f->err));
	next = note(f, "lead", 2);
	assert_true(next > other);
	assert_int_equal(list(f, (struct persona_query){ next, .type = PERSONA_RESEARCH }, &rows),
			 0);
	ok(f, store_personas_gone(f->store, &gone, &f->err));
	assert_true(gone);
	assert_true(store_persona_prune(f->store, 2, &f->err) > 0);
	assert_int_equal(list(f, (struct persona_query){ lead, .type = PERSONA_RESEARCH }, &rows),
			 1);
	while (store_persona_prune(f->store, 2, &f->err) > 0)
		;
	assert_int_equal(list(f, (struct persona_query){ lead, .type = PERSONA_RESEARCH }, &rows),
			 0);
	assert_int_equal(list(f, (struct persona_query){ other, .type = PERSONA_RESEARCH }, &rows),
			 2);
	ok(f, store_personas_gone(f->store, &gone, &f->err));
	assert_false(gone);
	ok(f, store_commit(f->store, &f->err));
	assert_int_equal(get(f, "other").counts[PERSONA_ENTRIES], 2);
}

/* However they come and go: the counts are those of the rows. */
static void test_counts(void **state)
{
	struct fixture *f = *state;
	struct persona_record there[64];
	struct persona_facts facts;
	int64_t wanted[PERSONA_COUNTS] = { 0 }, lead;
	size_t count = 0;
	unsigned seed = 7;

	ok(f, store_begin(f->store, &f->err));
	lead = note(f, "lead", 1);
	for (int i = 0; i < 600; i++) {
		static const enum persona_count first[] = {
			[PERSONA_RESEARCH] = PERSONA_INTERVIEWS, [PERSONA_VALIDATION] = PERSONA_YES
		};
		enum persona_record_type type =
			rand_r(&seed) % 2 ? PERSONA_RESEARCH : PERSONA_VALIDATION;
		struct persona_record record;
		char name[16];

		if (count == ARRAY_LEN(there) || (count > 0 && rand_r(&seed) % 3 == 0)) {
			size_t at = (size_t)rand_r(&seed) % count;

			record = there[at];
			there[at] = there[--count];
			ok(f, store_persona_find(f->store, lead, record.type, record.id, f->arena,
						 &record, &f->err));
			ok(f, store_persona_remove(f->store, lead, &record, &f->err));
			refused(f, store_persona_remove(f->store, lead, &record, &f->err),
				ERR_NOT_FOUND, "not-found");
			wanted[PERSONA_ENTRIES] -= record.type == PERSONA_RESEARCH;
			wanted[(int)first[record.type] + record.kind - 1] -=
				record.type == PERSONA_RESEARCH ? record.number : 1;
			continue;
		}
		snprintf(name, sizeof(name), "%d", i);
		record = make(type, 1 + rand_r(&seed) % persona_kind_count(type), name);
		record.number = rand_r(&seed) % 1000;
		ok(f, store_persona_add(f->store, lead, &record, &f->err));
		wanted[PERSONA_ENTRIES] += type == PERSONA_RESEARCH;
		wanted[(int)first[type] + record.kind - 1] +=
			type == PERSONA_RESEARCH ? record.number : 1;
		there[count++] = record;
	}
	facts = get(f, "lead");
	assert_memory_equal(facts.counts, wanted, sizeof(wanted));
	store_rollback(f->store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_facts), TEST(test_review), TEST(test_once),
		TEST(test_lists), TEST(test_forget), TEST(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
