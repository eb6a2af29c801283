/*
 * A full disk, by the limit on file size: whatever fails is said, and the store is as before or as
 * after, never between. With room again everything goes on.
 */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

extern size_t change_batch_people;

#define ROOM_STEP 8192

static char *crowd(int count, const char *rest)
{
	char *text = malloc((size_t)count * 64 + 1), *at = text;

	for (int i = 0; i < count; i++)
		at += snprintf(at, 64, "k%d u%d %s\n", i, i, rest);
	return text;
}

/* Returns the result of the sync; the limit is lifted again. */
static int sync_in_little_room(struct world *w, const char *lines, rlim_t room)
{
	struct sync *sync = world_begin(w, "corp", false);
	struct run_report report;
	int result;

	run_report_init(&report);
	err_clear(&w->err);
	test_limit_files(test_largest_file(w->path) + room);
	result = world_feed(w, sync, "corp", lines);
	if (result < 0) {
		test_limit_files(RLIM_INFINITY);
		sync_abort(sync);
	} else {
		world_groups(w, sync, "corp", NULL);
		result = sync_finish(sync, true, "", "", &report, &w->err);
		test_limit_files(RLIM_INFINITY);
	}
	run_report_finish(&report);
	return result;
}

static void test_full(void **state)
{
	struct world *w = *state;
	char *before_lines = crowd(60, "@sales"), *after_lines = crowd(60, "@managers title=ops");
	const char *before, *after = NULL;
	int refusals = 0, successes = 0;

	signal(SIGXFSZ, SIG_IGN);
	change_batch_people = 10;
	for (rlim_t room = 0; successes < 2; room += ROOM_STEP) {
		void *other;
		struct world *fresh;
		int result;

		world_set_up(&other);
		fresh = other;
		world_open(fresh, RULES WIDE SOURCES);
		world_sync(fresh, "corp", before_lines, 0, NULL);
		before = arena_strdup(w->arena, world_dump(fresh));
		result = sync_in_little_room(fresh, after_lines, room);
		if (result < 0) {
			refusals++;
			assert_string_not_equal(fresh->err.text, "");
		} else {
			successes++;
			after = arena_strdup(w->arena, world_dump(fresh));
		}
		/* What was stored as READY is continued, what was not is gone. */
		world_open(fresh, RULES WIDE SOURCES);
		if (strcmp(world_dump(fresh), before) != 0) {
			world_sync(fresh, "corp", after_lines, 0, NULL);
			if (after)
				assert_string_equal(world_dump(fresh), after);
			else
				after = arena_strdup(w->arena, world_dump(fresh));
		} else {
			assert_true(result < 0);
		}
		world_check_audit(fresh);
		world_check_sane(fresh, false);
		world_tear_down(&other);
	}
	print_message("%d refusals\n", refusals);
	assert_true(refusals > 2);
	free(before_lines);
	free(after_lines);
}

static int tell_in_little_room(struct world *w, const char *lines, rlim_t room)
{
	struct sync *sync = world_begin_changes(w, "corp");
	struct run_report report;
	int result;

	run_report_init(&report);
	err_clear(&w->err);
	ok(w, world_feed(w, sync, "corp", lines));
	test_limit_files(test_largest_file(w->path) + room);
	result = sync_finish(sync, true, "", "", &report, &w->err);
	test_limit_files(RLIM_INFINITY);
	run_report_finish(&report);
	return result;
}

/* A followed directory, in one transaction and in several; told again, it is as if nothing had failed. */
static void full_while_told(struct world *w, size_t batch_people, bool at_once)
{
	char *people = crowd(60, "@sales"), *told = crowd(40, "@managers title=ops");
	const char *after = NULL;
	int refusals = 0, successes = 0;

	change_batch_people = batch_people;
	for (rlim_t room = 0; successes < 2; room += ROOM_STEP) {
		void *other;
		struct world *fresh;
		const char *before;
		int result;

		world_set_up(&other);
		fresh = other;
		world_open(fresh, RULES WIDE SOURCES);
		world_sync(fresh, "corp", people, 0, NULL);
		before = arena_strdup(w->arena, world_dump(fresh));
		result = tell_in_little_room(fresh, told, room);
		successes += result == 0;
		refusals += result < 0;
		if (result < 0 && at_once)
			assert_string_equal(world_dump(fresh), before);
		if (result < 0)
			world_changes(fresh, "corp", told, NULL);
		if (!after)
			after = arena_strdup(w->arena, world_dump(fresh));
		assert_string_equal(world_dump(fresh), after);
		assert_string_not_equal(before, after);
		world_check_audit(fresh);
		world_tear_down(&other);
	}
	print_message("%d refusals\n", refusals);
	assert_true(refusals > 1);
	free(people);
	free(told);
}

static void test_full_while_told(void **state)
{
	signal(SIGXFSZ, SIG_IGN);
	full_while_told(*state, 500, true);
	full_while_told(*state, 10, false);
	change_batch_people = 500;
}

/* Signing in: whole, or the person is told to try again and can. */
static void test_full_at_sign_in(void **state)
{
	static const char yaml[] = RULES WIDE "sources: [{name: idp, type: saml}]\n";
	struct world *w = *state;
	int refusals = 0, number = 0;

	signal(SIGXFSZ, SIG_IGN);
	world_open(w, yaml);
	for (rlim_t room = 0; room < 8 * ROOM_STEP; room += ROOM_STEP / 4) {
		struct login_outcome outcome;
		struct sent sent;
		char line[32];
		int result;

		snprintf(line, sizeof(line), "n%d u%d", number, number);
		number++;
		world_send(w, &sent, line, line);
		sent.login.assertion = &sent.assertion;
		sent.login.just_in_time = true;
		test_limit_files(test_largest_file(w->path) + room);
		result = change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome,
				      &w->err);
		test_limit_files(RLIM_INFINITY);
		if (result < 0) {
			refusals++;
			assert_int_equal(w->err.code, ERR_IO);
			assert_string_equal(world_user(w, strchr(line, 'u')), "");
			/* The same answer again, with room: nothing of it was used up. */
			ok(w, change_login(w->changer, &test_sync, &sent.login, w->arena, &outcome,
					   &w->err));
		}
		assert_string_equal(outcome.refused, "");
		strbuf_finish(&sent.record);
	}
	print_message("%d refusals\n", refusals);
	assert_true(refusals > 1);
	world_check_audit(w);
	world_check_sane(w, false);
}

static char told[256];

static void tell(const char *what, int64_t id)
{
	size_t size = strlen(told);

	snprintf(told + size, sizeof(told) - size, "%s %lld;", what, (long long)id);
}

static void tell_disabling(void *context UNUSED, int64_t id)
{
	tell("disabling", id);
}

static void tell_changed(void *context UNUSED, int64_t id)
{
	tell("changed", id);
}

static void tell_ended(void *context UNUSED, int64_t id)
{
	tell("ended", id);
}

/* Disable means now, in memory even when the commit fails; enabling lets them in again. */
static void test_full_at_disable(void **state)
{
	static const struct change_observer observer = { .disabling = tell_disabling,
							 .changed = tell_changed,
							 .ended = tell_ended };
	struct world *w = *state;

	signal(SIGXFSZ, SIG_IGN);
	world_open(w, RULES WIDE SOURCES);
	world_sync(w, "corp", "k1 anna\nk2 ben\n", 0, NULL);
	changer_observe(w->changer, &observer);
	told[0] = '\0';
	/* None at all: the log could begin anew, with room in its file. */
	test_limit_files(0);
	assert_int_equal(change_user_disable(w->changer, &test_person, "ben", "", &w->err), -1);
	test_limit_files(RLIM_INFINITY);
	assert_string_equal(told, "disabling 2;");
	assert_string_equal(world_user(w, "ben"), "staff active");
	told[0] = '\0';
	ok(w, change_user_enable(w->changer, &test_person, "ben", &w->err));
	assert_string_equal(told, "changed 2;");
	told[0] = '\0';
	ok(w, change_user_disable(w->changer, &test_person, "ben", "", &w->err));
	assert_string_equal(told, "disabling 2;changed 2;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full_at_disable, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_full_at_sign_in, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_full, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_full_while_told, world_set_up,
						world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
