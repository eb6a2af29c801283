/* The grace of a deletion, while clocks are set, machines are off, and helpers start anew. */
#include "../../../daemon/accounts/grace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

#include "../base/cmocka_all.h"

#define BEGIN_S 1800000000
#define UP_S 50000
#define DAY_S 86400
#define YEAR_S (INT64_C(365) * DAY_S)
#define GRACE_S (INT64_C(30) * DAY_S)
#define LOOKS_MAX 6

/*
 * A deletion with 30 days of grace, at BEGIN_S, UP_S after the machine started. Then so much passes by each clock; boot_s < 0:
 * it started anew, -boot_s ago.
 */
static const struct {
	const char *name;
	struct {
		int64_t real_s, boot_s;
	} looks[LOOKS_MAX];
	int64_t left_s; /* of the grace, at the end; exactly */
} cases[] = {
	{ "nothing passes", { { 0, 0 } }, GRACE_S },
	{ "time passes", { { DAY_S, DAY_S }, { 100, 100 } }, GRACE_S - DAY_S - 100 },
	{ "all of it", { { GRACE_S, GRACE_S } }, 0 },
	{ "more than that", { { GRACE_S + 7, GRACE_S + 7 } }, -7 },
	{ "set forward by a year", { { YEAR_S, 60 } }, GRACE_S - 60 },
	{ "set forward by a year, then back", { { YEAR_S, 60 }, { -YEAR_S, 60 } }, GRACE_S - 60 },
	{ "set back by a year, then forward", { { -YEAR_S, 60 }, { YEAR_S, 60 } }, GRACE_S - 60 },
	{ "set forward twice", { { YEAR_S, 60 }, { YEAR_S, 60 } }, GRACE_S - 120 },
	{ "within what is tolerated", { { 60 + 300, 60 } }, GRACE_S - 360 },
	{ "by one second more", { { 60 + 301, 60 } }, GRACE_S - 60 },
	{ "in steps that are tolerated each",
	  { { 260, 60 }, { 260, 60 }, { 260, 60 } },
	  GRACE_S - 120 - 260 },
	{ "in such steps, one an hour",
	  { { 3800, 3600 }, { 3800, 3600 }, { 3800, 3600 } },
	  GRACE_S - 7200 - 3800 },
	{ "off for a week", { { 7 * DAY_S + 20, -20 } }, GRACE_S - 20 },
	{ "off for a minute", { { 80, -20 } }, GRACE_S - 80 },
	{ "off each night",
	  { { 8 * 3600 + 20, -20 }, { 3600, 3600 }, { 8 * 3600 + 20, -20 } },
	  GRACE_S - 20 - 3600 - 20 },
	{ "started with a clock of 1970, which NTP sets",
	  { { -BEGIN_S, -20 }, { BEGIN_S + DAY_S, 5 } },
	  GRACE_S - 5 },
	{ "started with a clock that runs ahead, which NTP sets",
	  { { YEAR_S, -20 }, { -YEAR_S, 5 } },
	  GRACE_S - 20 },
	{ "moved to a machine that runs for long, but less",
	  { { DAY_S, -49000 } },
	  GRACE_S - 49000 },
	{ "moved to one that runs for years", { { DAY_S, 5 * YEAR_S } }, GRACE_S - DAY_S },
	{ "moved, and its clock is behind", { { -DAY_S, 5 * YEAR_S } }, GRACE_S },
};

static int make_place(void **state)
{
	char *folder = strdup("/tmp/grace-XXXXXX");

	assert_non_null(mkdtemp(folder));
	*state = folder;
	return 0;
}

static int remove_place(void **state)
{
	char file[64];

	snprintf(file, sizeof(file), "%s/ledger", (char *)*state);
	unlink(file);
	rmdir(*state);
	free(*state);
	return 0;
}

static struct ledger *open_ledger(const char *folder)
{
	struct err err = { 0 };
	struct ledger *ledger = ledger_open(folder, &err);

	if (!ledger)
		fail_msg("%s", err.text);
	return ledger;
}

static const struct uuid anna = { { 1 } }, bea = { { 2 } }, carl = { { 3 } };

static struct account *claim(struct ledger *ledger, const struct uuid *user, const char *name,
			     uint32_t uid)
{
	struct account *account = NULL;
	char home[32];

	snprintf(home, sizeof(home), "/home/%s", name);
	assert_int_equal(ledger_claim(ledger, user, name, uid, home, &account, NULL), 0);
	return account;
}

/* again: the helper starts anew before each look. */
static void check(const char *folder, size_t row, bool again)
{
	struct ledger *ledger = open_ledger(folder);
	struct clocks now = { .real_s = BEGIN_S, .boot_s = UP_S };
	int64_t shift_s;
	struct account *account;

	account = claim(ledger, &anna, "anna", 70000);
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(ledger_delete(ledger, account, BEGIN_S + GRACE_S, NULL), 0);
	for (size_t i = 0; i < LOOKS_MAX; i++) {
		int64_t boot_s = cases[row].looks[i].boot_s;

		if (!boot_s && !cases[row].looks[i].real_s)
			break;
		now.real_s += cases[row].looks[i].real_s;
		now.boot_s = boot_s < 0 ? -boot_s : now.boot_s + boot_s;
		if (again) {
			ledger_close(ledger);
			ledger = open_ledger(folder);
		}
		assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
		/* Looked at twice, nothing comes of it. */
		assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
		assert_int_equal(shift_s, 0);
	}
	account = ledger_find(ledger, &anna);
	if (account->delete_s - now.real_s != cases[row].left_s)
		fail_msg("%s: %lld s are left, not %lld", cases[row].name,
			 (long long)(account->delete_s - now.real_s), (long long)cases[row].left_s);
	ledger_close(ledger);
}

static void test_what_is_left(void **state)
{
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		char file[64];

		check(*state, i / 2, i % 2);
		snprintf(file, sizeof(file), "%s/ledger", (char *)*state);
		unlink(file);
	}
}

/* Only what waits; and what is asked for after the clock was set counts from then. */
static void test_who_is_moved(void **state)
{
	AUTO(ledger) struct ledger *ledger = open_ledger(*state);
	struct clocks now = { .real_s = BEGIN_S, .boot_s = UP_S };
	int64_t shift_s;

	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(ledger_delete(ledger, claim(ledger, &anna, "anna", 1), BEGIN_S + 1, NULL),
			 0);
	claim(ledger, &bea, "bea", 2);
	assert_int_equal(ledger_delete(ledger, claim(ledger, &carl, "carl", 3), BEGIN_S + 2, NULL),
			 0);
	assert_int_equal(ledger_gone(ledger, ledger_find(ledger, &carl), NULL), 0);
	now.real_s += YEAR_S;
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(shift_s, YEAR_S);
	assert_int_equal(ledger_delete(ledger, ledger_find(ledger, &bea), now.real_s + 5, NULL), 0);
	ledger_close(ledger);
	ledger = open_ledger(*state);
	assert_int_equal(ledger_find(ledger, &anna)->delete_s, BEGIN_S + YEAR_S + 1);
	assert_int_equal(ledger_find(ledger, &bea)->delete_s, BEGIN_S + YEAR_S + 5);
	assert_int_equal(ledger_find(ledger, &carl)->delete_s, BEGIN_S + 2);
}

/* Where nothing waits nothing is kept of what the clocks did. */
static void test_begins_with_the_first(void **state)
{
	AUTO(ledger) struct ledger *ledger = open_ledger(*state);
	struct clocks now = { .real_s = BEGIN_S, .boot_s = UP_S };
	int64_t shift_s;

	assert_null(ledger_clocks(ledger));
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	now = (struct clocks){ .real_s = BEGIN_S + YEAR_S, .boot_s = 7 };
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(shift_s, 0);
	assert_int_equal(ledger_clocks(ledger)->boot_s, 7);
	assert_int_equal(ledger_clocks(ledger)->real_s, BEGIN_S + YEAR_S);
}

/* A deletion long overdue on a machine without a clock stays one. */
static void test_bounds(void **state)
{
	AUTO(ledger) struct ledger *ledger = open_ledger(*state);
	struct clocks now = { .real_s = BEGIN_S, .boot_s = UP_S };
	int64_t shift_s;

	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(ledger_delete(ledger, claim(ledger, &anna, "anna", 1), 5, NULL), 0);
	assert_int_equal(ledger_delete(ledger, claim(ledger, &bea, "bea", 2), INT64_MAX, NULL), 0);
	now.real_s = 0;
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(ledger_find(ledger, &anna)->delete_s, 1);
	now.real_s = BEGIN_S;
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	now.real_s += YEAR_S;
	assert_int_equal(grace_look(ledger, &now, &shift_s, NULL), 0);
	assert_int_equal(ledger_find(ledger, &bea)->delete_s, INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
		WITH_PLACE(test_what_is_left),
		WITH_PLACE(test_who_is_moved),
		WITH_PLACE(test_begins_with_the_first),
		WITH_PLACE(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
