/* Changes of one person: difference, bytes, parts, totals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/decision/plan.h>

static const struct decision_setup setup = { .default_profile = "staff",
					     .administrator_profile = "administrator" };
static const struct decision_setup no_default = { .default_profile = "",
						  .administrator_profile = "administrator" };

#define GRANT(kind_, name_, origin_, id_, source_) \
	{ \
		kind_, name_, origin_, id_, source_, 100, 0 \
	}

static const struct grant manager_by_rule =
	GRANT(GRANT_PROFILE, "manager", ORIGIN_RULE, "managers", "corp");
static const struct grant administrator_by_rule =
	GRANT(GRANT_PROFILE, "administrator", ORIGIN_RULE, "admins", "corp");
static const struct grant lost[] = {
	GRANT(GRANT_PROFILE, "manager", ORIGIN_RULE, "managers", "corp"),
	GRANT(GRANT_ROLE, "ops", ORIGIN_HAND, "anna", ""),
	GRANT(GRANT_ROLE, "sales", ORIGIN_RULE, "sales", "corp"),
};
static const struct grant gained[] = {
	GRANT(GRANT_PROFILE, "staff", ORIGIN_DEFAULT, "", ""),
	GRANT(GRANT_PERSONA, "lead", ORIGIN_RULE, "leads", "corp"),
};
static const uint32_t groups[] = { 7 };

static struct user user(const char *profile, uint32_t disabled)
{
	return (struct user){ .id = 9,
			      .uuid = { { 1, 2, 3 } },
			      .organization = "default",
			      .username = "anna",
			      .email = "anna@x.example",
			      .display_name = "Anna",
			      .profile = profile,
			      .disabled = disabled,
			      .version = 3,
			      .created_s = 50,
			      .updated_s = 60 };
}

/* manager → staff, loses ops and sales, gains lead, gets disabled by the source. */
static struct person_change sample(void)
{
	static struct identity_change identity = {
		.source = "corp", .key = "k1", .record = "record", .record_size = 6, .read_s = 70
	};
	struct person_change change = { .before = user("manager", 0),
					.after = user("staff", DISABLED_BY_SOURCE),
					.added = gained,
					.added_count = 2,
					.gained_count = 2,
					.removed = lost,
					.removed_count = 3,
					.lost_count = 3,
					.identities = &identity,
					.identity_count = 1,
					.groups_lost = groups,
					.groups_lost_count = 1,
					.cause = "sync corp" };

	identity.digest = digest128("record", 6);
	change.after.version = 4;
	return change;
}

static bool decodes(const void *data, size_t size, struct arena *arena,
		    struct person_change *change)
{
	struct reader in = reader_init(data, size);
	struct err err;

	return person_change_decode(&in, arena, change, &err) == 0 && reader_done(&in);
}

static void test_bytes(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	AUTO(strbuf) struct strbuf bytes = STRBUF(1 << 20), again = STRBUF(1 << 20);
	struct person_change change = sample(), back;

	person_change_encode(&change, &bytes);
	assert_true(decodes(bytes.data, bytes.size, arena, &back));
	person_change_encode(&back, &again);
	assert_int_equal(again.size, bytes.size);
	assert_memory_equal(again.data, bytes.data, bytes.size);
	assert_int_equal(back.lost_count, 3);
	assert_string_equal(back.removed[1].origin_id, "anna");
	assert_memory_equal(back.identities[0].record, "record", 6);
}

/* Cut at every byte: refused; every byte changed: refused or understood, never a crash. */
static void test_broken_bytes(void **state UNUSED)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(1 << 20);
	struct person_change change = sample(), back;

	person_change_encode(&change, &bytes);
	for (size_t i = 0; i < bytes.size; i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 24);
		/* Exactly as long as it is, so that a sanitizer sees what is read behind it. */
		char *cut = malloc(i ? i : 1), *changed = malloc(bytes.size);

		memcpy(cut, bytes.data, i);
		assert_false(decodes(cut, i, arena, &back));
		memcpy(changed, bytes.data, bytes.size);
		changed[i] = (char)(changed[i] ^ 0xff);
		decodes(changed, bytes.size, arena, &back);
		free(cut);
		free(changed);
	}
}

/* --- totals and holds --- */

static struct plan_totals *count(const struct decision_setup *with,
				 const struct person_change *change)
{
	struct plan_totals *totals = plan_totals_create();
	struct err err;

	assert_non_null(totals);
	assert_int_equal(plan_totals_count(totals, with, "corp", change, &err), 0);
	plan_totals_sort(totals);
	return totals;
}

static int64_t total(struct plan_totals *totals, enum limit_kind kind, const char *subject)
{
	for (size_t i = 0; i < plan_totals_size(totals); i++) {
		struct plan_total *found = plan_totals_at(totals, i);

		if (found->kind == kind && strcmp(found->subject, subject) == 0)
			return found->count;
	}
	return 0;
}

static void test_totals(void **state UNUSED)
{
	struct person_change change = sample();
	struct plan_totals *totals = count(&setup, &change);
	struct err err;

	assert_int_equal(total(totals, LIMIT_DISABLES, "corp"), 1);
	assert_int_equal(total(totals, LIMIT_REMOVALS, "profile:manager"), 1);
	assert_int_equal(total(totals, LIMIT_REMOVALS, "role:sales"), 1);
	assert_int_equal(total(totals, LIMIT_REMOVALS, "role:ops"), 1);
	assert_int_equal(total(totals, LIMIT_GROUP, "7"), 1);
	assert_int_equal(plan_totals_size(totals), 5);
	assert_int_equal(plan_totals_count(totals, &setup, "corp", &change, &err), 0);
	assert_int_equal(total(totals, LIMIT_REMOVALS, "role:sales"), 2);
	plan_totals_destroy(totals);
	/* Who was disabled already loses nothing that counts, nor who gets it from elsewhere. */
	change.before.disabled = DISABLED_BY_HAND;
	change.groups_lost_count = 0;
	totals = count(&setup, &change);
	assert_int_equal(plan_totals_size(totals), 0);
	plan_totals_destroy(totals);
	change = sample();
	change.lost_count = 0;
	change.after.profile = "manager";
	change.after.disabled = 0;
	totals = count(&setup, &change);
	assert_int_equal(plan_totals_size(totals), 1);
	plan_totals_destroy(totals);
}

static void test_totals_of_administrators(void **state UNUSED)
{
	struct person_change change = { .before = user("staff", 0),
					.after = user("administrator", 0),
					.cause = "" };
	struct plan_totals *totals = count(&setup, &change);

	assert_int_equal(total(totals, LIMIT_ADMINISTRATORS_NEW, "default"), 1);
	plan_totals_destroy(totals);
	change.before = user("administrator", 0);
	change.after = user("administrator", DISABLED_BY_SOURCE);
	totals = count(&setup, &change);
	assert_int_equal(total(totals, LIMIT_ADMINISTRATORS_LOST, "default"), 1);
	assert_int_equal(plan_totals_at(totals, 1)->explicit_count, 1);
	plan_totals_destroy(totals);
	/* Coming back is becoming one. */
	change.before = user("administrator", DISABLED_BY_SOURCE);
	change.after = user("administrator", 0);
	totals = count(&setup, &change);
	assert_int_equal(total(totals, LIMIT_ADMINISTRATORS_NEW, "default"), 1);
	plan_totals_destroy(totals);
}

/* Holds of a change, with these categories held. */
static struct plan_holds *hold(const struct person_change *change, unsigned kinds,
			       const char *subject)
{
	struct plan_totals *totals = count(&setup, change);
	AUTO(strbuf) struct strbuf bytes = STRBUF(1 << 20);
	struct plan_holds *holds;
	struct err err;

	for (size_t i = 0; i < plan_totals_size(totals); i++) {
		struct plan_total *at = plan_totals_at(totals, i);

		at->held =
			kinds & 1u << at->kind && (!subject || strcmp(at->subject, subject) == 0);
	}
	plan_holds_encode(totals, (struct plan_waiting){ 0 }, NULL, 0, 0, &bytes);
	assert_int_equal(plan_holds_decode(bytes.data, bytes.size, &holds, &err), 0);
	for (size_t i = 0; i < bytes.size; i++) {
		struct plan_holds *cut;

		assert_int_equal(plan_holds_decode(bytes.data, i, &cut, &err), -1);
	}
	plan_totals_destroy(totals);
	return holds;
}

static bool has(const struct grant *grants, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(grants[i].name, name) == 0)
			return true;
	return false;
}

#define LOSES(change, name) has((change).removed, (change).removed_count, name)
#define GAINS(change, name) has((change).added, (change).added_count, name)

static void test_split(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct person_change change = sample(), now, held;
	struct plan_holds *holds = hold(&change, 1u << LIMIT_REMOVALS, "role:sales");
	struct err err;

	assert_int_equal(plan_split(&setup, "corp", &change, holds, arena, &now, &held, &err), 0);
	assert_true(LOSES(held, "sales") && held.removed_count == 1 && held.added_count == 0);
	assert_true(!LOSES(now, "sales") && LOSES(now, "ops") && LOSES(now, "manager"));
	assert_int_equal(now.identity_count, 1);
	assert_int_equal(held.identity_count, 0);
	assert_string_equal(now.after.profile, "staff");
	assert_int_equal(now.after.disabled, DISABLED_BY_SOURCE);
	assert_int_equal(held.before.disabled, held.after.disabled);
	plan_holds_destroy(holds);
	/* A profile replacement waits as a whole. */
	holds = hold(&change, 1u << LIMIT_REMOVALS, "profile:manager");
	assert_int_equal(plan_split(&setup, "corp", &change, holds, arena, &now, &held, &err), 0);
	assert_string_equal(now.after.profile, "manager");
	assert_true(!LOSES(now, "manager") && !GAINS(now, "staff") && GAINS(now, "lead"));
	assert_true(LOSES(held, "manager") && GAINS(held, "staff") && !GAINS(held, "lead"));
	assert_string_equal(held.before.profile, "manager");
	assert_string_equal(held.after.profile, "staff");
	plan_holds_destroy(holds);
	/* The disable alone. */
	holds = hold(&change, 1u << LIMIT_DISABLES, NULL);
	assert_int_equal(plan_split(&setup, "corp", &change, holds, arena, &now, &held, &err), 0);
	assert_int_equal(now.after.disabled, 0);
	assert_int_equal(held.after.disabled, DISABLED_BY_SOURCE);
	assert_int_equal(held.removed_count + held.added_count, 0);
	assert_true(person_change_is_visible(&held));
	plan_holds_destroy(holds);
	/* A group's loss holds what rules gave, not what a hand gave. */
	holds = hold(&change, 1u << LIMIT_GROUP, NULL);
	assert_int_equal(plan_split(&setup, "corp", &change, holds, arena, &now, &held, &err), 0);
	assert_true(LOSES(held, "sales") && LOSES(held, "manager") && !LOSES(held, "ops"));
	plan_holds_destroy(holds);
	/* Nothing held. */
	holds = hold(&change, 0, NULL);
	assert_int_equal(plan_split(&setup, "corp", &change, holds, arena, &now, &held, &err), 0);
	assert_true(person_change_is_empty(&held));
	assert_int_equal(now.removed_count, 3);
	plan_holds_destroy(holds);
}

static void test_split_newcomer(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct identity_change identity = {
		.source = "corp", .key = "k", .record = "r", .record_size = 1
	};
	const struct grant added[] = { administrator_by_rule,
				       GRANT(GRANT_ROLE, "sales", ORIGIN_RULE, "sales", "corp") };
	struct person_change change = { .before = { .organization = "default",
						    .username = "",
						    .email = "",
						    .display_name = "",
						    .profile = "" },
					.after = user("administrator", 0),
					.added = added,
					.added_count = 2,
					.gained_count = 2,
					.identities = &identity,
					.identity_count = 1,
					.cause = "" };
	struct person_change now, held;
	struct plan_holds *holds;
	struct err err;

	change.after.id = 0;
	holds = hold(&change, 1u << LIMIT_ADMINISTRATORS_NEW, NULL);
	assert_int_equal(plan_split(&setup, "corp", &change, holds, arena, &now, &held, &err), 0);
	assert_string_equal(now.after.profile, "staff");
	assert_true(GAINS(now, "staff") && GAINS(now, "sales") && !GAINS(now, "administrator"));
	assert_true(GAINS(held, "administrator") && LOSES(held, "staff"));
	assert_true(person_change_is_visible(&held));
	/* Without a default everything waits. */
	assert_int_equal(plan_split(&no_default, "corp", &change, holds, arena, &now, &held, &err),
			 0);
	assert_true(person_change_is_empty(&now));
	assert_int_equal(held.identity_count, 1);
	plan_holds_destroy(holds);
}

static void test_common_and_rest(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct person_change fresh = sample(), planned = sample(), common, rest;
	struct err err;

	/* The plan had the loss of sales and the disable; the present wants all. */
	planned.removed = &lost[2];
	planned.removed_count = planned.lost_count = 1;
	planned.added_count = planned.gained_count = 0;
	planned.after.profile = planned.before.profile;
	assert_int_equal(plan_intersect(&planned, &fresh, arena, &common, &err), 0);
	assert_true(LOSES(common, "sales") && common.removed_count == 1);
	assert_int_equal(common.added_count, 0);
	assert_string_equal(common.after.profile, "manager");
	assert_int_equal(common.after.disabled, DISABLED_BY_SOURCE);
	assert_int_equal(plan_subtract(&fresh, &planned, arena, &rest, &err), 0);
	assert_true(!LOSES(rest, "sales") && LOSES(rest, "ops") && LOSES(rest, "manager"));
	assert_int_equal(rest.after.disabled, 0);
	assert_string_equal(rest.after.profile, "staff");
	/* The profile goes another way now: neither. */
	planned = sample();
	planned.after.profile = "administrator";
	planned.added = &administrator_by_rule;
	planned.added_count = planned.gained_count = 1;
	assert_int_equal(plan_intersect(&planned, &fresh, arena, &common, &err), 0);
	assert_string_equal(common.after.profile, "manager");
	assert_false(LOSES(common, "manager"));
	/* Additions at most. */
	assert_int_equal(plan_keep_additions(&fresh, arena, &common, &err), 0);
	assert_false(person_change_takes_away(&common));
	assert_true(GAINS(common, "lead"));
	assert_string_equal(common.after.profile, "manager");
}

static struct hash256 digest_of(const struct person_change *change)
{
	struct hash256 digest;
	struct err err;

	assert_int_equal(person_change_digest(change, &digest, &err), 0);
	return digest;
}

static void test_digest(void **state UNUSED)
{
	struct person_change change = sample();
	struct hash256 first = digest_of(&change), second;
	struct grant swapped[3] = { lost[2], lost[0], lost[1] };

	change.after.updated_s = 12345;
	change.before.version = 77;
	swapped[0].given_s = 999;
	change.removed = swapped;
	second = digest_of(&change);
	assert_memory_equal(&first, &second, sizeof(first));
	change.before.disabled = DISABLED_STALE;
	second = digest_of(&change);
	assert_memory_not_equal(&first, &second, sizeof(first));
	change = sample();
	change.removed_count = 2;
	second = digest_of(&change);
	assert_memory_not_equal(&first, &second, sizeof(first));
	change = sample();
	change.after.username = "ben";
	second = digest_of(&change);
	assert_memory_not_equal(&first, &second, sizeof(first));
}

/* plan_person: what is effectively gained and lost stands first; times alone are no loss. */
static void test_difference(void **state UNUSED)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct grant present[] = {
		manager_by_rule,
		GRANT(GRANT_ROLE, "ops", ORIGIN_RULE, "a", "corp"),
		GRANT(GRANT_ROLE, "sales", ORIGIN_RULE, "a", "corp"),
		GRANT(GRANT_ROLE, "sales", ORIGIN_RULE, "b", "corp"),
	};
	struct grant wanted[] = {
		manager_by_rule,
		GRANT(GRANT_ROLE, "night", ORIGIN_RULE, "a", "corp"),
		GRANT(GRANT_ROLE, "sales", ORIGIN_HAND, "anna", ""),
		GRANT(GRANT_ROLE, "sales", ORIGIN_RULE, "b", "corp"),
	};
	struct user before = user("manager", 0);
	struct decide_input input = {
		.user = &before, .grants = present, .grant_count = 4, .now_s = 200
	};
	struct decision decision = { .profile = "manager", .grants = wanted, .grant_count = 4 };
	struct person_fields fields = { "anna", "", "Anna", "", "" };
	struct person_change change;
	struct err err;

	wanted[3].expires_s = 500;
	assert_int_equal(plan_person(&setup, &input, &decision, &fields, NULL, 0, "default", "x",
				     arena, &change, &err),
			 0);
	assert_int_equal(change.gained_count, 1);
	assert_string_equal(change.added[0].name, "night");
	assert_int_equal(change.added_count, 3);
	assert_int_equal(change.lost_count, 1);
	assert_string_equal(change.removed[0].name, "ops");
	assert_int_equal(change.removed_count, 2);
	/* What no source says stays. */
	assert_string_equal(change.after.email, "anna@x.example");
	assert_int_equal(change.after.version, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_broken_bytes),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_totals_of_administrators),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_split_newcomer),
		cmocka_unit_test(test_common_and_rest),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
