/*
 * Backups and restores: what a restored store has lost, what waits until it is up to date, and what is there when the process
 * dies on the way or has no memory.
 */
#include "../../../daemon/change/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/change/restore.h>
#include <rolebridge/store/session.h>

#include "support.h"

extern void (*change_test_hook)(const char *step);

#define CONFIG \
	RULES WIDE "sources: [{name: corp, type: ldif}, " \
		   "{name: idp, type: saml, link: {attribute: uid, source: corp, other: uid}}]\n"
#define PEOPLE "k1 anna @admins\nk2 ben @sales\n"

static int tear_down(void **state)
{
	change_test_hook = NULL;
	change_test_clock = (struct change_test_clock){ 0 };
	return world_tear_down(state);
}

/* code NULL: signed in. */
static void sign_in(struct world *world, const char *id, const char *request, int64_t begun_s,
		    const char *code)
{
	struct login_outcome outcome;
	struct sent sent;

	world_send(world, &sent, "n1 ben", id);
	sent.login.assertion = &sent.assertion;
	sent.login.now_s = clock_now_s();
	sent.login.until_s = sent.login.now_s + 3600;
	sent.assertion.authn_instant_s = begun_s;
	sent.assertion.second_factor_s = begun_s;
	sent.assertion.replay_until_s = sent.login.now_s + 600;
	sent.login.request_id = request;
	sent.login.request_until_s = sent.login.now_s + 600;
	ok(world, change_login(world->changer, &test_sync, &sent.login, world->arena, &outcome,
			       &world->err));
	strbuf_finish(&sent.record);
	if (code)
		assert_string_equal(outcome.refused, code);
	else if (outcome.refused[0])
		fail_msg("%s: %s", outcome.refused, outcome.detail);
}

/* A backup of the world as it is, in a file beside it. */
static const char *backup(struct world *world)
{
	char *path = arena_printf(world->arena, "%s.backup", world->path);
	struct backup_result result;
	struct new_file file;
	char piece[65536];
	ssize_t size;

	assert_non_null(path);
	ok(world, change_backup(world->changer, &test_person, NULL, &result, &world->err));
	assert_true(result.about.audit.intact);
	ok(world, file_new_open(&file, path, 0600, &world->err));
	while ((size = read(result.fd, piece, sizeof(piece))) > 0)
		ok(world, file_new_write(&file, piece, (size_t)size, &world->err));
	ok(world, file_new_commit(&file, &world->err));
	file_new_drop(&file);
	close(result.fd);
	return path;
}

static int restore_file(struct world *world, const char *path, struct restore_outcome *outcome)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct restore_request request = { .store_path = world->path,
						 .fd = fd,
						 .actor = "unix:root" };

	assert_true(fd >= 0);
	if (change_restore(&request, outcome, &world->err) < 0)
		return -1;
	return store_put_in_place(world->path, NULL, &world->err);
}

static void restore(struct world *world, const char *path)
{
	struct restore_outcome outcome;

	world_close(world);
	ok(world, restore_file(world, path, &outcome));
	world_open(world, CONFIG);
}

static size_t sessions_of(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	struct session_query query = { .limit = 100 };
	struct session *sessions;
	size_t count;

	ok(world, store_session_list(store, &query, world->arena, &sessions, &count, &world->err));
	return count;
}

static void test_signing_in(void **state)
{
	struct world *world = *state;
	int64_t now_s = clock_now_s();
	struct sent sent;
	struct login_outcome outcome;
	const char *path;

	world_open(world, CONFIG);
	world_sync(world, "corp", PEOPLE, 0, NULL);
	sign_in(world, "_1", "", now_s, NULL);
	path = backup(world);
	/* Used after the backup, so that the restored store does not know it. */
	sign_in(world, "_2", "", now_s, NULL);
	sign_in(world, "_2", "", now_s, "replayed");
	restore(world, path);
	assert_int_equal(sessions_of(world), 0);
	assert_int_equal(change_restore_holds(world->changer),
			 RESTORE_HOLDS_SIGN_IN | RESTORE_HOLDS_DELIVERY);
	world_send(world, &sent, "n1 ben", "_3");
	sent.login.assertion = &sent.assertion;
	refused(world,
		change_login(world->changer, &test_sync, &sent.login, world->arena, &outcome,
			     &world->err),
		"restored");
	assert_int_equal(world->err.code, ERR_UNAVAILABLE);
	strbuf_finish(&sent.record);
	/* A read that is cut opens nothing. */
	world_sync(world, "corp", "k1 anna @admins\n", PARTIAL, NULL);
	assert_true(change_restore_holds(world->changer) & RESTORE_HOLDS_SIGN_IN);
	world_sync(world, "corp", PEOPLE, 0, NULL);
	assert_int_equal(change_restore_holds(world->changer), RESTORE_HOLDS_DELIVERY);
	sign_in(world, "_2", "", now_s, "replayed");
	sign_in(world, "_4", "", now_s, "replayed");
	/* What answers a request of ours is known to be new, and so is who was signed in there since. */
	sign_in(world, "_5", "_request", now_s, NULL);
	sign_in(world, "_6", "", clock_now_s() + 60, NULL);
	change_test_clock.step_s = 0;
}

static void test_letting_go(void **state)
{
	struct world *world = *state;
	const char *path;

	world_open(world, CONFIG);
	world_sync(world, "corp", PEOPLE, 0, NULL);
	/* There is nothing to let go of. */
	ok(world,
	   change_restore_release(world->changer, &test_person,
				  RESTORE_HOLDS_SIGN_IN | RESTORE_HOLDS_DELIVERY, &world->err));
	ok(world, change_restore_look(world->changer, &world->err));
	assert_string_equal(world_audit(world, "restore.release"), "");
	path = backup(world);
	restore(world, path);
	ok(world, change_restore_look(world->changer, &world->err));
	assert_true(change_restore_holds(world->changer) & RESTORE_HOLDS_SIGN_IN);
	ok(world, change_restore_release(world->changer, &test_person, RESTORE_HOLDS_SIGN_IN,
					 &world->err));
	assert_int_equal(change_restore_holds(world->changer), RESTORE_HOLDS_DELIVERY);
	assert_int_equal(world_audited(world, "restore.release", "\"sign_in\":true"), 1);
	/* It outlasts a restart. */
	world_close(world);
	world_open(world, CONFIG);
	assert_int_equal(change_restore_holds(world->changer), RESTORE_HOLDS_DELIVERY);
	ok(world, change_restore_release(world->changer, &test_person, RESTORE_HOLDS_DELIVERY,
					 &world->err));
	ok(world, change_restore_release(world->changer, &test_person, RESTORE_HOLDS_DELIVERY,
					 &world->err));
	assert_int_equal(change_restore_holds(world->changer), 0);
	assert_int_equal(world_audited(world, "restore.release", "\"delivery\":true"), 1);
}

/* --- dying on the way --- */

static int steps_left;

static void die_in_time(const char *step UNUSED)
{
	if (steps_left-- == 0)
		raise(SIGKILL);
}

static bool child_survives(struct world *world, int steps, void (*work)(struct world *world))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		steps_left = steps;
		change_test_hook = die_in_time;
		work(world);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("step %d: the child failed", steps);
	return true;
}

static void restore_in_child(struct world *world)
{
	struct restore_outcome outcome;

	if (restore_file(world, arena_printf(world->arena, "%s.backup", world->path), &outcome) < 0)
		_exit(1);
}

static void test_killed_while_restoring(void **state)
{
	struct world *world = *state;
	bool survived = false;
	int steps;

	world_open(world, CONFIG);
	world_sync(world, "corp", PEOPLE, 0, NULL);
	backup(world);
	world_create(world, "later", "staff");
	for (steps = 0; !survived; steps++) {
		assert_true(steps < 100);
		world_close(world);
		survived = child_survives(world, steps, restore_in_child);
		/* As each start does. */
		ok(world, store_put_in_place(world->path, NULL, &world->err));
		world_open(world, CONFIG);
		if (!survived) {
			assert_string_not_equal(world_user(world, "later"), "");
			assert_int_equal(change_restore_holds(world->changer), 0);
		}
	}
	assert_true(steps > 3);
	assert_string_equal(world_user(world, "later"), "");
	assert_int_equal(world_audited(world, "store.restore", "\"replaced\""), 1);
}

static void backup_in_child(struct world *world)
{
	struct backup_result result;

	world_open(world, CONFIG);
	if (change_backup(world->changer, &test_person, NULL, &result, &world->err) < 0)
		_exit(1);
}

/* Nothing is lost, and what is left of a copy is in nobody's way. */
static void test_killed_while_copying(void **state)
{
	struct world *world = *state;
	const char *copy = arena_printf(world->arena, "%s.copy", world->path);
	bool survived = false, left = false;

	world_open(world, CONFIG);
	world_sync(world, "corp", PEOPLE, 0, NULL);
	for (int steps = 0; !survived; steps++) {
		assert_true(steps < 200);
		world_close(world);
		survived = child_survives(world, steps, backup_in_child);
		left |= access(copy, F_OK) == 0;
		world_open(world, CONFIG);
		backup(world);
		assert_int_equal(access(copy, F_OK), -1);
	}
	assert_true(left);
}

static void test_no_memory(void **state)
{
	struct world *world = *state;
	bool done = false;
	const char *path;

	world_open(world, CONFIG);
	world_sync(world, "corp", PEOPLE, 0, NULL);
	path = backup(world);
	world_create(world, "later", "staff");
	world_close(world);
	for (long n = 0; !done; n += n < 50 ? 1 : 13) {
		struct restore_outcome outcome;
		int result;

		err_clear(&world->err);
		alloc_fail_after(n);
		result = restore_file(world, path, &outcome);
		done = alloc_fail_after(-1) >= 0;
		assert_true(result >= 0 || world->err.code == ERR_MEMORY);
		if (result < 0 && !done) {
			/* As it was. */
			ok(world, store_put_in_place(world->path, NULL, &world->err));
			world_open(world, CONFIG);
			assert_string_not_equal(world_user(world, "later"), "");
			world_close(world);
		} else {
			done = true;
		}
	}
	world_open(world, CONFIG);
	assert_string_equal(world_user(world, "later"), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_signing_in),
		TEST(test_letting_go),
		TEST(test_killed_while_restoring),
		TEST(test_killed_while_copying),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
