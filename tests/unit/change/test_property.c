/*
 * Random sequences of everything that changes users, from fixed seeds. After each step: an organization
 * that had an administrator has one, every active user has one profile that some grant gives. Now and
 * then: nothing is left to do, the audit chain is whole.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEOPLE 14
#define STEPS 120

static uint64_t seed;

/* xorshift64*: the same everywhere. */
static unsigned pick(unsigned below)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (unsigned)((seed * 2685821657736338717u) >> 33) % below;
}

static bool chance(unsigned percent)
{
	return pick(100) < percent;
}

#define HEAD \
	"profiles: [{name: administrator}, {name: manager}, {name: staff}]\n" \
	"segments: [Core]\n" \
	"roles:\n" \
	"  - {name: sales, classifications: [Sales], segments: [Core]}\n" \
	"  - {name: ops, classifications: [Support], segments: [Core]}\n" \
	"  - {name: night, classifications: [Support], segments: [Core]}\n" \
	"personas: [{name: lead, title: Lena}]\n"

static const char *const rules[] = {
	RULES,
	HEAD "rules:\n"
	     "  - {id: managers, groups: ['cn=managers,dc=x'], grant: {profile: manager}}\n"
	     "  - {id: admins, groups: ['cn=admins,dc=x'], grant: {profile: administrator}}\n"
	     "  - {id: sales, when: '(!(title=*))', grant: {roles: [sales]}}\n"
	     "  - {id: nobody, groups: ['cn=sales,dc=x'], deny: {profile: administrator}}\n",
	HEAD,
};
static const char *const policies[] = { POLICY, WIDE,
					"policy: {missing_runs: 1, missing_grace: 0s}\n" };

static char yaml[8192];

static const char *configuration(void)
{
	snprintf(yaml, sizeof(yaml), "%s%s%s", rules[pick(ARRAY_LEN(rules))],
		 policies[pick(ARRAY_LEN(policies))], SOURCES);
	return yaml;
}

static void random_person(char *line, size_t size, const char *prefix, int number)
{
	static const char *const groups[] = { "@admins", "@managers", "@sales" };
	static const char *const titles[] = { "title=ops", "title=lead", "title=x" };
	int used = snprintf(line, size, "%s%d u%d", prefix, number, number);

	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (chance(i == 0 ? 20 : 35))
			used += snprintf(line + used, size - (size_t)used, " %s", groups[i]);
	if (chance(50))
		used += snprintf(line + used, size - (size_t)used, " %s", titles[pick(3)]);
	if (chance(8))
		used += snprintf(line + used, size - (size_t)used, " !");
	if (chance(6))
		used += snprintf(line + used, size - (size_t)used, " ?");
	if (chance(5))
		used += snprintf(line + used, size - (size_t)used, " mail=u%u@x.example",
				 pick(PEOPLE));
	snprintf(line + used, size - (size_t)used, "\n");
}

static void random_sync(struct world *w)
{
	const char *source = chance(70) ? "corp" : "hr";
	unsigned flags = (chance(20) ? PARTIAL : 0u) | (chance(15) ? DRY : 0u);
	unsigned there = chance(20) ? 30 : 92;
	char text[PEOPLE * 160] = "";
	size_t used = 0;

	for (int i = 0; i < PEOPLE; i++) {
		if (!chance(there))
			continue;
		random_person(text + used, sizeof(text) - used, source, i);
		used += strlen(text + used);
	}
	if (chance(10))
		world_sync_lost(w, source, text, "cn=admins", NULL);
	else
		world_sync(w, source, text, flags, NULL);
}

static void expect_refusal(struct world *w, int result)
{
	static const char *const reasons[] = { "last-administrator", "not-found",
					       "profile-required",   "not-allowed",
					       "plan-superseded",    "not-read",
					       "groups-unread",	     "record-wanted" };

	for (size_t i = 0; result < 0 && i < ARRAY_LEN(reasons); i++)
		if (strcmp(err_reason(&w->err), reasons[i]) == 0)
			return;
	if (result < 0)
		fail_msg("refused: %s", w->err.text);
}

static void random_hand(struct world *w)
{
	static const char *const profiles[] = { "administrator", "manager", "staff" };
	static const char *const roles[] = { "sales", "ops", "night" };
	char user[16];

	snprintf(user, sizeof(user), "u%u", pick(PEOPLE));
	switch (pick(6)) {
	case 0:
		expect_refusal(w, change_user_disable(w->changer, &test_person, user, "", &w->err));
		break;
	case 1:
	case 2:
		expect_refusal(w, change_user_enable(w->changer, &test_person, user, &w->err));
		break;
	case 3:
		expect_refusal(w, change_grant_add(w->changer, &test_person, user, GRANT_PROFILE,
						   profiles[pick(3)], chance(30) ? 4102444800 : 0,
						   &w->err));
		break;
	case 4:
		expect_refusal(w, change_grant_remove(w->changer, &test_person, user, GRANT_PROFILE,
						      profiles[pick(3)], &w->err));
		break;
	default:
		expect_refusal(w, change_grant_add(w->changer, &test_person, user, GRANT_ROLE,
						   roles[pick(3)], 0, &w->err));
	}
}

/* What a followed directory tells; what it cannot know is refused. */
static void random_changes(struct world *w)
{
	static const char *const groups[] = { " @admins", " @managers", " @sales" };
	const char *source = chance(70) ? "corp" : "hr";
	struct sync *sync = world_begin_changes(w, source);
	struct run_report report;
	int lines = chance(30) ? PEOPLE : 1 + (int)pick(3);

	for (int i = 0; i < lines; i++) {
		unsigned number = pick(PEOPLE), what = pick(10);
		char line[160];

		if (what < 4)
			random_person(line, sizeof(line), source, (int)number);
		else if (what < 7)
			snprintf(line, sizeof(line), "~%s%u%s%s", source, number, groups[pick(3)],
				 chance(10) ? " ?" : "");
		else
			snprintf(line, sizeof(line), "%s%s%u", what < 9 ? "-" : "#", source,
				 number);
		expect_refusal(w, world_feed(w, sync, source, line));
	}
	if (chance(10)) {
		sync_abort(sync);
		return;
	}
	run_report_init(&report);
	expect_refusal(w, sync_finish(sync, true, "", "", &report, &w->err));
	run_report_finish(&report);
}

static void apply_what_waits(struct world *w)
{
	struct store *store = world_read(w);
	struct plan_row *plans;
	size_t count;
	char user[16];

	ok(w, store_plan_list(store, PLAN_HELD, w->arena, &plans, &count, &w->err));
	store_close(store);
	if (count == 0)
		return;
	snprintf(user, sizeof(user), "u%u", pick(PEOPLE));
	expect_refusal(w, plan_apply(w->changer, &test_person, plans[pick((unsigned)count)].id,
				     chance(30) ? user : NULL, NULL, &w->err));
}

static bool has_administrator(struct world *w)
{
	AUTO(store) struct store *store = world_read(w);
	int64_t count;

	ok(w, store_active_with_profile(store, "default", "administrator", 0, &count, &w->err));
	return count > 0;
}

static void random_step(struct world *w)
{
	unsigned what = pick(100);

	if (what < 25)
		random_sync(w);
	else if (what < 50)
		random_changes(w);
	else if (what < 75)
		random_hand(w);
	else if (what < 85)
		apply_what_waits(w);
	else if (what < 93)
		world_reload(w, configuration(), NULL);
	else if (what < 96)
		ok(w, change_expire(w->changer, 4102444800, &w->err));
	else
		world_open(w, configuration());
}

static void run_seed(uint64_t number)
{
	struct world *w;
	void *state;
	bool administrator = false;

	world_set_up(&state);
	w = state;
	seed = number * 0x9e3779b97f4a7c15u + 1;
	world_open(w, configuration());
	for (int step = 0; step < STEPS; step++) {
		if (arena_used(w->arena) > 100u << 20)
			arena_reset(w->arena);
		random_step(w);
		administrator |= has_administrator(w);
		if (administrator && !has_administrator(w))
			fail_msg("seed %llu step %d: no administrator is left",
				 (unsigned long long)number, step);
		world_check_sane(w, administrator);
	}
	world_check_audit(w);
	world_tear_down(&state);
}

static void test_random_sequences(void **state UNUSED)
{
	const char *seeds = getenv("ROLEBRIDGE_TEST_SEEDS");
	uint64_t count = seeds ? strtoull(seeds, NULL, 10) : 12;

	for (uint64_t number = 1; number <= count; number++)
		run_seed(number);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_sequences) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
