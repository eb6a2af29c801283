/*
 * Reading the audit log: by person, beginning, place; the same whether the index has the rows or not. Rows that go,
 * and what guards those that stay.
 */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/store/audit.h>
#include <rolebridge/store/invite.h>

#include "support.h"

#define NOW 1700000000
#define OTHER "user:01890a5d-ac96-774b-bcce-b302099a0000"

enum indexed { NONE, SOME, ALL };

static void tidy(struct fixture *f)
{
	int more = 1;

	store_set_tidy_piece(f->store, 3);
	while (more > 0)
		ok(f, more = store_tidy(f->store, &f->err));
}

static void append(struct fixture *f, int64_t at_s, const char *actor, const char *action,
		   const char *object, const char *detail)
{
	struct audit_row row = { .at_s = at_s,
				 .actor = actor,
				 .action = action,
				 .object = object,
				 .request = "",
				 .detail = detail };

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_audit_append(f->store, &row, &f->err));
	ok(f, store_commit(f->store, &f->err));
}

/* "3 5 8"; the place where it goes on. */
static const char *found(struct fixture *f, const struct audit_query *query, int64_t *ret_place)
{
	struct store_audit_cursor *cursor = store_audit_open(f->store, query, &f->err);
	struct audit_iterator rows;
	struct audit_row row;
	const char *text = "";
	int more;

	assert_non_null(cursor);
	rows = store_audit_iterator(cursor);
	while ((more = rows.next(rows.context, &row, &f->err)) > 0)
		text = arena_printf(f->arena, "%s%s%lld", text, *text ? " " : "",
				    (long long)row.seq);
	ok(f, more);
	if (ret_place)
		*ret_place = store_audit_place(cursor);
	store_audit_close(cursor);
	assert_non_null(text);
	return text;
}

static const char *uuid_text(struct fixture *f, const struct user *user)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user->uuid, uuid);
	return arena_strdup(f->arena, uuid);
}

/* Somebody who came by an invite; its object. */
static const char *add_invite(struct fixture *f, int64_t user_id)
{
	struct invite_row invite = { .uuid = uuid_create((int64_t)NOW * 1000),
				     .organization = "default",
				     .email = "anna@x.example",
				     .username = "anna",
				     .display_name = "",
				     .generation = 1,
				     .actor = "unix:root",
				     .created_s = NOW,
				     .sent_s = NOW,
				     .expires_s = NOW + 1,
				     .mail_problem = "" };
	char uuid[UUID_TEXT_SIZE];

	ok(f, store_begin(f->store, &f->err));
	ok(f, store_invite_insert(f->store, &invite, &f->err));
	invite.ended = INVITE_ACCEPTED;
	invite.user_id = user_id;
	ok(f, store_invite_update(f->store, &invite, &f->err));
	ok(f, store_commit(f->store, &f->err));
	uuid_format(&invite.uuid, uuid);
	return arena_printf(f->arena, "invite:%s", uuid);
}

static struct user prepare(struct fixture *f, enum indexed indexed)
{
	struct user anna;
	const char *uuid, *invite;
	int64_t id;

	ok(f, store_begin(f->store, &f->err));
	id = add_user(f, "anna");
	ok(f, store_commit(f->store, &f->err));
	ok(f, store_user_get(f->store, id, f->arena, &anna, &f->err));
	uuid = uuid_text(f, &anna);
	invite = add_invite(f, id);

#define TEXT(...) arena_printf(f->arena, __VA_ARGS__)
	const struct {
		const char *actor, *action, *object, *detail;
	} rows[] = {
		{ "sync:corp", "user.create", TEXT("user:%s", uuid), "{}" },		     /* 1 */
		{ "sync:corp", "user.create", OTHER, "{}" },				     /* 2 */
		{ TEXT("user:%s", uuid), "role.update", "role:sales", "{}" },		     /* 3 */
		{ TEXT("user:%s/ci", uuid), "role.delete", "role:sales", "{}" },	     /* 4 */
		{ "unix:anna", "user.disable", OTHER, "{}" },				     /* 5 */
		{ "unix:annabel", "user.disable", OTHER, "{}" },			     /* 6 */
		{ "unix:root", "token.create", "token:t", TEXT("{\"user\":\"%s\"}", uuid) }, /* 7 */
		{ "unix:root", "resource.put", "resource:a/b/c",
		  TEXT("{\"before\":{\"owner\":\"%s\"},\"after\":{\"owner\":null}}",
		       uuid) }, /* 8 */
		{ "unix:root", "user.reassign", OTHER,
		  TEXT("{\"to\":\"%s\",\"count\":1}", uuid) },			       /* 9 */
		{ "unix:root", "user.update", TEXT("user:%s/account/1", uuid), "{}" }, /* 10 */
		{ "unix:root", "invite.accept", invite, "{}" },			       /* 11 */
		/* Not of anna: said in a text, of another member, of another row of people. */
		{ "unix:root", "token.create", "token:u",
		  TEXT("{\"name\":\"\\\"user\\\":\\\"%s\\\"\"}", uuid) },
		{ "unix:root", "token.create", "token:v", TEXT("{\"session\":\"%s\"}", uuid) },
		{ "unix:root", "user.update", OTHER, TEXT("{\"user\":\"%s\"}", uuid) },
		{ TEXT("user:%sx", uuid), "role.update", TEXT("user:%s-", uuid), "{}" },
		{ TEXT("user:%s", uuid), "user.update", TEXT("user:%s", uuid), "{}" }, /* 16 */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		append(f, NOW + (int64_t)i, rows[i].actor, rows[i].action, rows[i].object,
		       rows[i].detail);
		if ((indexed == SOME && i == 7) || (indexed == ALL && i + 1 == ARRAY_LEN(rows)))
			tidy(f);
	}
	return anna;
}

static void check_filters(struct fixture *f, enum indexed indexed)
{
	struct user anna = prepare(f, indexed);
	const char *object = TEXT("user:%s", uuid_text(f, &anna));
	const char *token = TEXT("user:%s/ci", uuid_text(f, &anna));
	const char *hers = TEXT("user:%s*", uuid_text(f, &anna));
	const struct {
		const char *name;
		struct audit_query query;
		const char *expected;
	} cases[] = {
		{ "person", { .person = &anna }, "1 3 4 5 7 8 9 10 11 16" },
		{ "newest first",
		  { .person = &anna, .newest_first = true },
		  "16 11 10 9 8 7 5 4 3 1" },
		{ "between", { .person = &anna, .after_seq = 3, .before_seq = 10 }, "4 5 7 8 9" },
		{ "so many", { .person = &anna, .newest_first = true, .limit = 2 }, "16 11" },
		{ "in time", { .person = &anna, .from_s = NOW + 7, .to_s = NOW + 9 }, "8 9" },
		{ "and action", { .person = &anna, .action = "role.*" }, "3 4" },
		{ "and actor", { .person = &anna, .actor = "unix:*" }, "5 7 8 9 10 11" },
		{ "and object", { .person = &anna, .object = object }, "1 16" },
		{ "and another object", { .person = &anna, .object = OTHER }, "5 9" },
		{ "object", { .object = object }, "1 16" },
		{ "object, newest first", { .object = object, .newest_first = true }, "16 1" },
		{ "object that begins", { .object = "token:*" }, "7 12 13" },
		{ "objects of people", { .object = "user:*" }, "1 2 5 6 9 10 14 15 16" },
		{ "objects of one", { .object = hers }, "1 10 15 16" },
		{ "all objects", { .object = "*", .limit = 3 }, "1 2 3" },
		{ "actor", { .actor = object }, "3 16" },
		{ "actor by token", { .actor = token }, "4" },
		{ "actor on the socket", { .actor = "unix:anna" }, "5" },
		{ "actor that is no person", { .actor = "sync:corp" }, "1 2" },
		{ "actors that begin", { .actor = "unix:anna*" }, "5 6" },
		{ "actor and action", { .actor = "unix:*", .action = "token.create" }, "7 12 13" },
		{ "action that begins", { .action = "user.d*" }, "5 6" },
		{ "nobody", { .actor = "unix:nobody" }, "" },
		{ "nobody who begins", { .actor = "zz*" }, "" },
		{ "nothing after", { .after_seq = 16 }, "" },
		{ "nothing before", { .before_seq = 1 }, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t place;
		const char *text = found(f, &cases[i].query, &place);

		if (strcmp(text, cases[i].expected) != 0)
			fail_msg("%s: %s, not %s", cases[i].name, text, cases[i].expected);
		assert_int_equal(place == 0, cases[i].query.limit == 0);
	}
}

static void test_filters_late(void **state)
{
	check_filters(*state, NONE);
}

static void test_filters_some_late(void **state)
{
	check_filters(*state, SOME);
}

static void test_filters_indexed(void **state)
{
	check_filters(*state, ALL);
}

/* Step by step, a few rows looked at each time: the same rows, each once, and an end. */
static void test_steps(void **state)
{
	struct fixture *f = *state;
	struct user anna = prepare(f, SOME);
	const struct audit_query whole[] = {
		{ .person = &anna },
		{ .action = "user.*" },
		{ .actor = "unix:root" },
		{ .action = "none" },
		{ 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		for (int newest = 0; newest < 2; newest++)
			for (size_t scan = 1; scan < 6; scan++) {
				struct audit_query query = whole[i];
				const char *all, *steps = "";
				int64_t place = 1;

				query.newest_first = newest;
				all = found(f, &query, NULL);
				query.scan = scan;
				for (int step = 0; place; step++) {
					const char *some = found(f, &query, &place);

					assert_true(step < 20);
					steps = TEXT("%s%s%s", steps, *steps && *some ? " " : "",
						     some);
					if (newest)
						query.before_seq = place;
					else
						query.after_seq = place;
				}
				assert_string_equal(steps, all);
			}
}

/* --- rows that go --- */

static void prune(struct fixture *f, int64_t from, int64_t to)
{
	ok(f, store_begin(f->store, &f->err));
	ok(f, store_audit_prune(f->store, from, to, NOW, &f->err));
	ok(f, store_commit(f->store, &f->err));
}

static int64_t count(struct fixture *f, const struct audit_query *query)
{
	const char *text = found(f, query, NULL);
	int64_t number = *text != '\0';

	for (; *text; text++)
		number += *text == ' ';
	return number;
}

/* Whether the index has them or not; what comes after is found as before. */
static void check_prune(struct fixture *f, enum indexed indexed)
{
	struct user anna = prepare(f, indexed);
	struct audit_anchor anchor;

	prune(f, 1, 4);
	prune(f, 5, 9);
	ok(f, store_audit_anchor(f->store, &anchor, &f->err));
	assert_int_equal(anchor.seq, 9);
	assert_int_equal(anchor.at_s, NOW + 8);
	assert_int_equal(anchor.moved_s, NOW);
	assert_string_equal(found(f, &(struct audit_query){ .person = &anna }, NULL), "10 11 16");
	tidy(f);
	assert_string_equal(found(f, &(struct audit_query){ .person = &anna }, NULL), "10 11 16");
	assert_int_equal(count(f, &(struct audit_query){ 0 }), 7);
	/* The chain goes on from the anchor; a file that is opened anew knows it. */
	reopen(f);
	append(f, NOW, "timer", "x", "y", "{}");
	assert_string_equal(found(f, &(struct audit_query){ .after_seq = 15 }, NULL), "16 17");
}

static void test_prune_late(void **state)
{
	check_prune(*state, NONE);
}

static void test_prune_some_late(void **state)
{
	check_prune(*state, SOME);
}

static void test_prune_indexed(void **state)
{
	check_prune(*state, ALL);
}

/* Nothing of it is done. */
static void test_prune_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int64_t from, to;
	} cases[] = { { 1, 99 }, { 2, 4 }, { 5, 3 }, { 1, 0 }, { 0, 1 } };

	prepare(f, ALL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ok(f, store_begin(f->store, &f->err));
		assert_int_equal(
			store_audit_prune(f->store, cases[i].from, cases[i].to, NOW, &f->err), -1);
		store_rollback(f->store);
		err_clear(&f->err);
		assert_audit_intact(f, 16);
	}
	refused(f, store_audit_prune(f->store, 1, 2, NOW, &f->err), ERR_INTERNAL, "internal");
}

int main(void)
{
#define FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		FIXTURE(test_filters_late),    FIXTURE(test_filters_some_late),
		FIXTURE(test_filters_indexed), FIXTURE(test_steps),
		FIXTURE(test_prune_late),      FIXTURE(test_prune_some_late),
		FIXTURE(test_prune_indexed),   FIXTURE(test_prune_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
