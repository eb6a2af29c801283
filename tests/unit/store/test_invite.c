/* Invites, the outbox, and ids that files give, as rows. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/store/invite.h>

static const struct invite_grant two_grants[] = { { GRANT_PROFILE, "staff" },
						  { GRANT_ROLE, "sales" } };

static struct invite_row make_invite(unsigned char number, const char *email, int64_t expires_s)
{
	return (struct invite_row){ .uuid = { { number } },
				    .organization = "default",
				    .email = email,
				    .username = email,
				    .display_name = "",
				    .grants = two_grants,
				    .grant_count = 2,
				    .generation = 1,
				    .actor = "unix:root",
				    .created_s = 5,
				    .sent_s = 5,
				    .expires_s = expires_s,
				    .mail_problem = "" };
}

static void insert(struct fixture *fixture, struct invite_row *invite)
{
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_invite_insert(fixture->store, invite, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static struct invite_row get(struct fixture *fixture, unsigned char number)
{
	const struct uuid uuid = { { number } };
	struct invite_row invite;

	ok(fixture,
	   store_invite_get(fixture->store, &uuid, fixture->arena, &invite, &fixture->err));
	return invite;
}

static void test_round_trip(void **state)
{
	static const char *const scope[] = { "users:invite@all", "accounts:read@own" };
	struct fixture *fixture = *state;
	struct invite_row invite = make_invite(1, "ada@acme.example", 100), read;
	const struct uuid nobody = { { 99 } };

	invite.limited = true;
	invite.inviter_id = 7;
	invite.service = "partners";
	invite.scope = scope;
	invite.scope_count = 2;
	insert(fixture, &invite);
	read = get(fixture, 1);
	assert_int_equal(read.id, invite.id);
	assert_string_equal(read.email, "ada@acme.example");
	assert_string_equal(read.organization, "default");
	assert_string_equal(read.service, "partners");
	assert_string_equal(read.actor, "unix:root");
	assert_true(read.limited);
	assert_int_equal(read.inviter_id, 7);
	assert_int_equal(read.scope_count, 2);
	assert_int_equal(read.grant_count, 2);
	assert_int_equal(read.grants[0].kind, GRANT_PROFILE);
	assert_string_equal(read.grants[1].name, "sales");
	/* A scope without anything in it is one that allows nothing, and not none. */
	read.scope_count = 0;
	read.generation = 2;
	read.service = NULL;
	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_invite_update(fixture->store, &read, &fixture->err));
	ok(fixture, store_commit(fixture->store, &fixture->err));
	read = get(fixture, 1);
	assert_non_null(read.scope);
	assert_int_equal(read.scope_count, 0);
	assert_int_equal(read.generation, 2);
	assert_null(read.service);
	refused(fixture,
		store_invite_get(fixture->store, &nobody, fixture->arena, &read, &fixture->err),
		ERR_NOT_FOUND, "not-found");
}

static void test_states(void **state)
{
	static const struct {
		const char *name;
		int64_t expires_s;
		enum invite_end ended;
		enum invite_state state;
	} cases[] = {
		{ "pending", 51, INVITE_OPEN, STATE_PENDING },
		{ "its last second is over", 50, INVITE_OPEN, STATE_EXPIRED },
		{ "accepted", 40, INVITE_ACCEPTED, STATE_ACCEPTED },
		{ "revoked", 60, INVITE_REVOKED, STATE_REVOKED },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char email[32];
		struct invite_row invite;

		snprintf(email, sizeof(email), "p%zu@acme.example", i);
		invite = make_invite((unsigned char)(i + 1), email, cases[i].expires_s);
		insert(fixture, &invite);
		invite.ended = cases[i].ended;
		ok(fixture, store_begin(fixture->store, &fixture->err));
		ok(fixture, store_invite_update(fixture->store, &invite, &fixture->err));
		ok(fixture, store_commit(fixture->store, &fixture->err));
		assert_int_equal(invite_state_of(&invite, 50), cases[i].state);
		assert_int_equal(store_invite_pending(fixture->store, "default", email, 50, 0,
						      &fixture->err),
				 cases[i].state == STATE_PENDING);
	}
	for (int wanted = 0; wanted < INVITE_STATES; wanted++) {
		const struct invite_query query = { .state = wanted, .now_s = 50, .limit = 10 };
		struct invite_row *rows;
		size_t count;

		ok(fixture, store_invite_list(fixture->store, &query, fixture->arena, &rows, &count,
					      &fixture->err));
		assert_int_equal(count, 1);
		assert_int_equal(invite_state_of(&rows[0], 50), wanted);
	}
	assert_int_equal(store_invite_pending(fixture->store, "partners", "p0@acme.example", 50, 0,
					      &fixture->err),
			 0);
}

static void test_pages(void **state)
{
	struct fixture *fixture = *state;
	struct invite_query query = { .state = -1, .now_s = 50, .limit = 3 };
	struct invite_row *rows;
	size_t count, total = 0;

	for (unsigned char i = 1; i <= 7; i++) {
		struct invite_row invite =
			make_invite(i, i == 3 ? "x@y.example" : "a@y.example", 9);

		invite.organization = i % 2 ? "default" : "partners";
		insert(fixture, &invite);
	}
	do {
		ok(fixture, store_invite_list(fixture->store, &query, fixture->arena, &rows, &count,
					      &fixture->err));
		for (size_t i = 0; i < count; i++)
			assert_int_equal(rows[i].uuid.byte[0], ++total);
		query.after_id = count ? rows[count - 1].id : 0;
	} while (count == query.limit);
	assert_int_equal(total, 7);
	query = (struct invite_query){
		.state = -1, .organization = "partners", .now_s = 50, .limit = 10
	};
	ok(fixture,
	   store_invite_list(fixture->store, &query, fixture->arena, &rows, &count, &fixture->err));
	assert_int_equal(count, 3);
	query.email = "x@y.example";
	ok(fixture,
	   store_invite_list(fixture->store, &query, fixture->arena, &rows, &count, &fixture->err));
	assert_int_equal(count, 0);
	query.organization = NULL;
	ok(fixture,
	   store_invite_list(fixture->store, &query, fixture->arena, &rows, &count, &fixture->err));
	assert_int_equal(count, 1);
	query.organization = "nix";
	ok(fixture,
	   store_invite_list(fixture->store, &query, fixture->arena, &rows, &count, &fixture->err));
	assert_int_equal(count, 0);
}

static void test_outbox(void **state)
{
	struct fixture *fixture = *state;
	struct outbox_row row = {
		.kind = "invite", .subject = "s", .message_id = "m", .next_s = 20
	};
	struct outbox_counts counts;
	struct outbox_row next;

	ok(fixture, store_begin(fixture->store, &fixture->err));
	ok(fixture, store_outbox_add(fixture->store, &row, &fixture->err));
	row.subject = "t";
	row.next_s = 10;
	ok(fixture, store_outbox_add(fixture->store, &row, &fixture->err));
	assert_int_equal(store_outbox_next(fixture->store, 9, fixture->arena, &next, &fixture->err),
			 0);
	assert_int_equal(
		store_outbox_next(fixture->store, 30, fixture->arena, &next, &fixture->err), 1);
	assert_string_equal(next.subject, "t");
	next.attempts = 1;
	next.next_s = 25;
	next.problem = "later";
	ok(fixture, store_outbox_update(fixture->store, &next, &fixture->err));
	assert_int_equal(
		store_outbox_next(fixture->store, 30, fixture->arena, &next, &fixture->err), 1);
	assert_string_equal(next.subject, "s");
	ok(fixture, store_outbox_counts(fixture->store, &counts, &fixture->err));
	assert_int_equal(counts.waiting, 2);
	assert_int_equal(counts.failing, 1);
	ok(fixture, store_outbox_remove(fixture->store, next.id, &fixture->err));
	assert_int_equal(
		store_outbox_get(fixture->store, next.id, fixture->arena, &next, &fixture->err), 0);
	ok(fixture, store_outbox_drop(fixture->store, "invite", "t", &fixture->err));
	assert_int_equal(
		store_outbox_next(fixture->store, 99, fixture->arena, &next, &fixture->err), 0);
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static void test_external_ids(void **state)
{
	struct fixture *fixture = *state;
	struct store *store = fixture->store;
	const char *id;
	int64_t user;

	ok(fixture, store_begin(store, &fixture->err));
	ok(fixture, store_external_put(store, "default", "1", 11, &fixture->err));
	ok(fixture, store_external_put(store, "default", "1", 11, &fixture->err));
	ok(fixture, store_external_put(store, "partners", "1", 12, &fixture->err));
	refused(fixture, store_external_put(store, "default", "1", 13, &fixture->err), ERR_CONFLICT,
		"external-id-taken");
	ok(fixture, store_external_find(store, "partners", "1", &user, &fixture->err));
	assert_int_equal(user, 12);
	/* Another one instead. */
	ok(fixture, store_external_put(store, "default", "2", 11, &fixture->err));
	ok(fixture, store_external_find(store, "default", "1", &user, &fixture->err));
	assert_int_equal(user, 0);
	ok(fixture, store_external_of(store, 11, fixture->arena, &id, &fixture->err));
	assert_string_equal(id, "2");
	ok(fixture, store_external_of(store, 99, fixture->arena, &id, &fixture->err));
	assert_string_equal(id, "");
	ok(fixture, store_external_find(store, "nix", "1", &user, &fixture->err));
	assert_int_equal(user, 0);
	ok(fixture, store_commit(store, &fixture->err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_states, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_pages, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_outbox, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_external_ids, fixture_set_up,
						fixture_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
