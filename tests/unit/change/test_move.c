/* From one organization to another: what goes along, what ends, what stands against it; and dry runs, which say the same. */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/token.h>
#include <rolebridge/store/invite.h>
#include <rolebridge/store/token.h>

#include "support.h"

#define CONFIG \
	RULES "policy: {default_profile: staff}\n" \
	      "sources: [{name: corp, type: ldif}, {name: far, type: ldif, organization: other}]\n"

static int move(struct world *w, const char *user, const char *organization, int64_t version,
		bool dry_run, struct move_outcome *ret_outcome)
{
	const struct user_move wanted = { user, organization, version, dry_run };
	const char *field;

	err_clear(&w->err);
	return change_user_move(w->changer, &test_person, &wanted, w->arena, ret_outcome, &field,
				&w->err);
}

static int64_t audit_head(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	struct hash256 hash;
	int64_t seq;

	ok(w, store_audit_head(store, &seq, &hash, &w->err));
	return seq;
}

/* What no change writes: as somebody else's would have. */
static void write_beside(struct world *w, void (*fill)(struct world *, struct store *))
{
	struct store *store;

	world_close(w);
	store = store_open(w->path, STORE_WRITE, &w->err);
	assert_non_null(store);
	ok(w, store_begin(store, &w->err));
	fill(w, store);
	ok(w, store_commit(store, &w->err));
	store_close(store);
	world_open(w, CONFIG);
}

static int64_t id_of(struct world *w, struct store *store, const char *name)
{
	struct user user;

	ok(w, user_resolve(store, name, w->arena, &user, &w->err));
	return user.id;
}

static void fill_own(struct world *w, struct store *store)
{
	int64_t lea = id_of(w, store, "lea");

	ok(w, store_service_made(store, lea, "feed", &w->err));
	ok(w, store_external_put(store, "default", "e-1", lea, &w->err));
	ok(w, store_link_put(store, "corp", "k-9", lea, true, &w->err));
}

static void test_goes_along(void **state)
{
	const struct new_token token = { .name = "t", .user = "lea", .expires_s = TEST_NOW };
	struct world *w = *state;
	struct move_outcome outcome;
	const char *service, *field, *external;
	struct uuid made;
	struct user before, after;
	int64_t head, wanted;

	world_open(w, CONFIG);
	world_create(w, "root-user", "administrator");
	world_create(w, "lea", "manager");
	ok(w, change_grant_add(w->changer, &test_person, "lea", GRANT_ROLE, "sales", 0, &w->err));
	world_sync(w, "corp", "k1 carl title=x\n", 0, NULL);
	write_beside(w, fill_own);
	ok(w, change_token_create(w->changer, &test_person, &token, &made, &field, &w->err));
	before = world_find(w, "lea");
	head = audit_head(w);
	ok(w, move(w, "lea", "other", before.version, true, &outcome));
	assert_true(outcome.moved);
	assert_int_equal(outcome.tokens, 1);
	assert_int_equal(audit_head(w), head);
	after = world_find(w, "lea");
	assert_int_equal(after.version, before.version);
	ok(w, move(w, "lea", "other", before.version, false, &outcome));
	assert_int_equal(outcome.tokens, 1);
	assert_int_equal(outcome.dropped_count, 0);
	after = world_find(w, "lea");
	assert_string_equal(after.organization, "other");
	assert_string_equal(after.profile, "manager");
	assert_int_equal(after.version, before.version + 1);
	assert_int_equal(audit_head(w), head + 2);
	{
		AUTO(store) struct store *store = world_read(w);

		ok(w, store_service_of(store, after.id, w->arena, &service, &w->err));
		assert_string_equal(service, "");
		ok(w, store_external_of(store, after.id, w->arena, &external, &w->err));
		assert_string_equal(external, "e-1");
		ok(w, store_external_find(store, "other", "e-1", &wanted, &w->err));
		assert_int_equal(wanted, after.id);
		ok(w, store_link_wanted(store, "corp", "k-9", &wanted, &w->err));
		assert_int_equal(wanted, 0);
	}
	/* Once more is nothing, and the tokens are gone. */
	ok(w, move(w, "lea", "other", 0, false, &outcome));
	assert_false(outcome.moved);
	assert_int_equal(audit_head(w), head + 2);
	world_check_audit(w);
}

static void fill_taken(struct world *w, struct store *store)
{
	ok(w, store_external_put(store, "default", "e-1", id_of(w, store, "lea"), &w->err));
	ok(w, store_external_put(store, "other", "e-1", id_of(w, store, "far-user"), &w->err));
}

static void test_refused(void **state)
{
	static const struct {
		const char *user, *organization;
		int64_t version;
		const char *reason;
	} cases[] = {
		{ "nobody", "other", 0, "not-found" },
		{ "lea", "nowhere", 0, "not-found" },
		{ "lea", "other", 77, "stale-version" },
		{ "lea", "other", 0, "external-id-taken" },
		{ "root-user", "other", 0, "last-administrator" },
		{ "carl", "other", 0, "managed-by-idp" },
		{ "gone", "other", 0, "not-found" },
	};
	struct world *w = *state;
	struct new_user far = { .username = "far-user", .organization = "other" };
	struct move_outcome outcome = { .tokens = 7 };
	struct uuid uuid;
	const char *before;
	int64_t head;

	world_open(w, CONFIG);
	world_create(w, "root-user", "administrator");
	world_create(w, "lea", "manager");
	world_create(w, "gone", "manager");
	ok(w, change_user_create(w->changer, &test_person, &far, &uuid, &w->err));
	ok(w, change_user_disable(w->changer, &test_person, "gone", "", &w->err));
	ok(w, change_user_delete(w->changer, &test_person, "gone", 0, &uuid, &w->err));
	world_sync(w, "corp", "k1 carl title=x\n", 0, NULL);
	write_beside(w, fill_taken);
	head = audit_head(w);
	before = world_dump(w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int dry_run = 0; dry_run < 2; dry_run++) {
			int result = move(w, cases[i].user, cases[i].organization, cases[i].version,
					  dry_run, &outcome);

			if (result == 0 || strcmp(err_reason(&w->err), cases[i].reason) != 0)
				fail_msg("%s to %s: %s", cases[i].user, cases[i].organization,
					 result == 0 ? "moved" : w->err.text);
			assert_int_equal(outcome.tokens, 7);
		}
	assert_int_equal(audit_head(w), head);
	assert_string_equal(world_dump(w), before);
}

/* Whose source is of the other organization already was left behind when the source moved. */
static void test_follows_its_source(void **state)
{
	struct world *w = *state;
	struct move_outcome outcome;

	world_open(w, CONFIG);
	world_create(w, "root-user", "administrator");
	world_sync(w, "corp", "k1 carl title=x\n", 0, NULL);
	refused(w, move(w, "carl", "other", 0, false, &outcome), "managed-by-idp");
	world_close(w);
	world_open(w, RULES "policy: {default_profile: staff}\n"
			    "sources: [{name: corp, type: ldif, organization: other}]\n");
	ok(w, move(w, "carl", "other", 0, false, &outcome));
	assert_string_equal(world_find(w, "carl").organization, "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_along, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_refused, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_follows_its_source, world_set_up,
						world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
