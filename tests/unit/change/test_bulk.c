/*
 * Bulk changes against the same changes one by one, and against their dry run: whom they concern, what is refused and for
 * what, and what stands in the store after it.
 */
#include <rolebridge/change/bulk.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/ownership.h>

#include "support.h"

#define CONFIG RULES POLICY SOURCES
#define PEOPLE 12
#define NAMES 40
#define ROUNDS 60

extern size_t change_batch_people;

static void populate(struct world *w)
{
	static const char *const profiles[] = { "administrator", "manager", "staff" };

	for (int i = 0; i < PEOPLE; i++) {
		char name[16];

		snprintf(name, sizeof(name), "user%d", i);
		world_create(w, name, profiles[i < 2 ? 0 : 1 + i % 2]);
	}
	for (int i = 3; i < PEOPLE; i += 4) {
		const struct resource_wish wish = { .type = "accounts",
						    .id = i == 3 ? "a" : "b",
						    .owner = i == 3 ? "user3" : "user7" };
		enum ownership_outcome outcome;
		const char *field;

		ok(w, change_resource_put(w->changer, &test_person, "crm", &wish, 0, &outcome,
					  &field, &w->err));
	}
}

struct lot {
	struct bulk_wish wish;
	char names[NAMES][16];
	const char *users[NAMES];
	size_t count;
};

static void draw(unsigned *seed, struct lot *lot)
{
	static const struct bulk_wish wishes[] = {
		{ .action = BULK_DISABLE, .reason = "drawn" },
		{ .action = BULK_ENABLE },
		{ .action = BULK_DISABLE },
		{ .action = BULK_GRANT, .kind = GRANT_ROLE, .name = "sales" },
		{ .action = BULK_REVOKE, .kind = GRANT_ROLE, .name = "sales" },
		{ .action = BULK_GRANT, .kind = GRANT_PROFILE, .name = "staff" },
		{ .action = BULK_GRANT, .kind = GRANT_PROFILE, .name = "administrator" },
		{ .action = BULK_REVOKE, .kind = GRANT_PROFILE, .name = "administrator" },
		{ .action = BULK_DELETE },
	};

	lot->wish = wishes[(size_t)rand_r(seed) % ARRAY_LEN(wishes)];
	lot->count = (size_t)rand_r(seed) % NAMES;
	for (size_t i = 0; i < lot->count; i++) {
		/* One is nobody. */
		snprintf(lot->names[i], sizeof(lot->names[i]), "user%d",
			 rand_r(seed) % (PEOPLE + 1));
		lot->users[i] = lot->names[i];
	}
}

/* In pieces of a few. */
static void carry_out(struct world *w, const struct lot *lot, bool dry_run,
		      struct bulk_result *results)
{
	struct bulk_wish wish = lot->wish;
	size_t done = 0, piece;

	wish.dry_run = dry_run;

	AUTO(bulk) struct bulk *bulk = bulk_begin(w->changer, &test_person, &wish, &w->err);

	if (!bulk)
		fail_msg("%s", w->err.text);
	while (done < lot->count) {
		ok(w, bulk_users(bulk, lot->users + done, lot->count - done, w->arena,
				 results + done, &piece, &w->err));
		assert_in_range(piece, 1, change_batch_people);
		done += piece;
	}
}

/* As a person would, one after the other. Returns what a result would say; *ret_code: of a refusal. */
static int by_hand(struct world *w, const struct bulk_wish *wish, const char *user,
		   const char **ret_code)
{
	struct uuid uuid;
	int result = 0;

	err_clear(&w->err);
	switch (wish->action) {
	case BULK_DISABLE:
		result = change_user_disable(w->changer, &test_person, user, wish->reason, &w->err);
		break;
	case BULK_ENABLE:
		result = change_user_enable(w->changer, &test_person, user, &w->err);
		break;
	case BULK_GRANT:
		result = change_grant_add(w->changer, &test_person, user, wish->kind, wish->name, 0,
					  &w->err);
		break;
	case BULK_REVOKE:
		result = change_grant_remove(w->changer, &test_person, user, wish->kind, wish->name,
					     &w->err);
		break;
	default:
		result = change_user_delete(w->changer, &test_person, user, 0, &uuid, &w->err);
		break;
	}
	*ret_code = result < 0 ? err_reason(&w->err) : NULL;
	return result;
}

static void compare(struct world *one, const struct lot *lot, size_t i,
		    const struct bulk_result *result)
{
	const char *code;
	int refused = by_hand(one, &lot->wish, lot->users[i], &code);
	/* What is not there to be revoked is a refusal of one, and no change of many. */
	bool nothing = lot->wish.action == BULK_REVOKE && result->status == BULK_UNCHANGED;

	if ((refused < 0) != (result->status == BULK_FAILED || nothing))
		fail_msg("%s %s: %s, by hand %s", bulk_action_name(lot->wish.action), lot->users[i],
			 bulk_status_name(result->status), refused < 0 ? code : "done");
	if (refused < 0 && !nothing)
		assert_string_equal(result->code, code);
}

static void test_as_one_by_one(void **state)
{
	struct world *many = *state, *one;
	void *other = NULL;
	unsigned seed = 7;

	assert_int_equal(world_set_up(&other), 0);
	one = other;
	world_open(one, CONFIG);
	populate(one);
	change_batch_people = 5;
	for (int round = 0; round < ROUNDS; round++) {
		struct bulk_result dry[NAMES], real[NAMES];
		const char *before, *after;
		struct lot lot;

		arena_reset(many->arena);
		arena_reset(one->arena);
		draw(&seed, &lot);
		before = world_dump(many);
		carry_out(many, &lot, true, dry);
		assert_string_equal(world_dump(many), before);
		carry_out(many, &lot, false, real);
		for (size_t i = 0; i < lot.count; i++) {
			if (dry[i].status != real[i].status)
				fail_msg("round %d, %s %s: %s, foreseen %s (%s)", round,
					 bulk_action_name(lot.wish.action), lot.users[i],
					 bulk_status_name(real[i].status),
					 bulk_status_name(dry[i].status),
					 dry[i].code ? dry[i].code : "");
			if (real[i].code)
				assert_string_equal(dry[i].code, real[i].code);
			compare(one, &lot, i, &real[i]);
		}
		after = world_dump(one);
		assert_string_equal(world_dump(many), after);
	}
	change_batch_people = 500;
	world_check_audit(many);
	world_check_sane(many, true);
	world_tear_down(&other);
}

static void test_what_cannot_be_given(void **state)
{
	struct world *w = *state;
	static const struct {
		struct bulk_wish wish;
		const char *reason;
	} cases[] = {
		{ { .action = BULK_GRANT, .kind = GRANT_ROLE, .name = "none" }, "not-found" },
		{ { .action = BULK_GRANT, .kind = GRANT_ROLE, .name = "not a name" },
		  "invalid-request" },
		{ { .action = BULK_GRANT, .kind = GRANT_ROLE, .name = "sales", .expires_s = 1 },
		  "invalid-request" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		err_clear(&w->err);
		assert_null(bulk_begin(w->changer, &test_person, &cases[i].wish, &w->err));
		assert_string_equal(err_reason(&w->err), cases[i].reason);
	}
	assert_int_equal(bulk_action_find("delete"), BULK_DELETE);
	assert_int_equal(bulk_action_find("promote"), BULK_ACTIONS);
}

/* A service changes whom it made, and takes back what it gave: its dry run says no more. */
static void test_services(void **state)
{
	struct world *w = *state;
	const char *const scope[] = { "users:*@all" };
	const struct actor service = { .name = "service:feed",
				       .request = "",
				       .is_person = true,
				       .limited = true,
				       .organization = "default",
				       .scope = scope,
				       .scope_count = 1 };
	const struct new_user made = { .username = "made", .profile = "staff" };
	const struct {
		struct bulk_wish wish;
		enum bulk_status expected[2]; /* of whom it made, and of another one */
	} cases[] = {
		{ { .action = BULK_REVOKE, .kind = GRANT_ROLE, .name = "sales" },
		  { BULK_FAILED, BULK_FAILED } },
		{ { .action = BULK_DISABLE }, { BULK_DONE, BULK_FAILED } },
	};
	const char *const users[] = { "made", "user4" };

	ok(w, change_user_create(w->changer, &service, &made, NULL, &w->err));
	ok(w, change_grant_add(w->changer, &test_person, "made", GRANT_ROLE, "sales", 0, &w->err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int dry_run = 1; dry_run >= 0; dry_run--) {
			struct bulk_wish wish = cases[i].wish;
			struct bulk_result results[2];
			size_t done, all = 0;

			wish.dry_run = dry_run;

			AUTO(bulk)
			struct bulk *bulk = bulk_begin(w->changer, &service, &wish, &w->err);

			assert_non_null(bulk);
			/* On a slow machine each is a piece of its own. */
			for (; all < 2; all += done) {
				ok(w, bulk_users(bulk, users + all, 2 - all, w->arena,
						 results + all, &done, &w->err));
				assert_in_range(done, 1, 2 - all);
			}
			for (size_t k = 0; k < 2; k++)
				if (results[k].status != cases[i].expected[k])
					fail_msg("%s of '%s', %s: %s",
						 bulk_action_name(wish.action), users[k],
						 dry_run ? "dry run" : "for good",
						 bulk_status_name(results[k].status));
		}
}

static int set_up(void **state)
{
	if (world_set_up(state) < 0)
		return -1;
	world_open(*state, CONFIG);
	populate(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_one_by_one, set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_given, set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_services, set_up, world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
