/*
 * Copies of the store, on a full disk and without memory too; and one that is put in place, by a process that dies at each
 * of its steps: the store is the old one or the new one, and nobody finds anything between.
 */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/store/backup.h>
#include <sqlite3.h>

#define NOW INT64_C(1700000000)
#define PLACES_MAX 20000

/* --- dying at a step: what the store asks of the system goes through here --- */

static int steps_left = -1;

static void step(void)
{
	if (steps_left >= 0 && steps_left-- == 0)
		raise(SIGKILL);
}

int rename(const char *from, const char *to)
{
	step();
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	step();
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int fsync(int fd)
{
	step();
	return (int)syscall(SYS_fsync, fd);
}

/* --- */

static char *name_of(const struct fixture *fixture, const char *suffix)
{
	char *name = arena_alloc(fixture->arena, sizeof(fixture->path) + strlen(suffix) + 1);

	assert_non_null(name);
	snprintf(name, sizeof(fixture->path) + strlen(suffix) + 1, "%s%s", fixture->path, suffix);
	return name;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void fill(struct fixture *fixture, const char *prefix, int count)
{
	char name[40];

	ok(fixture, store_begin(fixture->store, &fixture->err));
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%d", prefix, i);
		add_user(fixture, name);
		ok(fixture, append_audit(fixture, "user.create", name));
	}
	ok(fixture, store_commit(fixture->store, &fixture->err));
}

static int64_t users_in(struct fixture *fixture, const char *path)
{
	struct store *store = store_open(path, STORE_WRITE, &fixture->err);
	struct user_counts counts;

	if (!store)
		fail_msg("%s", fixture->err.text);
	ok(fixture, store_user_counts(store, NULL, &counts, &fixture->err));
	store_close(store);
	return counts.total;
}

static void test_copy(void **state)
{
	struct fixture *fixture = *state;
	const char *copy = name_of(fixture, ".copied");
	struct store_about about;
	struct stat status;

	fill(fixture, "u", 300);
	ok(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err));
	/* What comes later is not in it. */
	fill(fixture, "v", 10);
	assert_int_equal(stat(copy, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	ok(fixture, store_examine(copy, NULL, NULL, &about, &fixture->err));
	assert_int_equal(about.made_s, NOW);
	assert_int_equal(about.users, 300);
	assert_int_equal(about.schema, TEST_SCHEMA_VERSION);
	assert_int_equal(about.size, status.st_size);
	assert_int_equal(about.audit.rows, 300);
	assert_false(exists(name_of(fixture, ".copied-wal")));
	/* Never over anything. */
	refused(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err), ERR_CONFLICT,
		"conflict");
}

static void test_copy_of_nothing(void **state)
{
	struct fixture *fixture = *state;
	const char *other = name_of(fixture, ".other"), *copy = name_of(fixture, ".copied");

	assert_int_equal(store_copy(name_of(fixture, ".none"), copy, NOW, NULL, &fixture->err), -1);
	assert_false(exists(copy));
	ok(fixture, file_write_atomic(other, "", 0, 0600, &fixture->err));
	refused(fixture, store_copy(other, copy, NOW, NULL, &fixture->err), ERR_INVALID,
		"store-empty");
	assert_false(exists(copy));
}

struct patience {
	int left;
	const char *last;
};

static bool go_on(void *context, const char *phase, uint64_t done, uint64_t total)
{
	struct patience *patience = context;

	assert_true(total == 0 || done <= total);
	patience->last = phase;
	return patience->left-- > 0;
}

static void test_told_to_stop(void **state)
{
	struct fixture *fixture = *state;
	const char *copy = name_of(fixture, ".copied");
	struct patience patience = { .left = 0 };
	const struct store_progress progress = { go_on, &patience };
	struct store_about about;
	int all;

	fill(fixture, "u", 3000);
	refused(fixture, store_copy(fixture->path, copy, NOW, &progress, &fixture->err),
		ERR_CANCELLED, "cancelled");
	assert_false(exists(copy));
	ok(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err));
	patience.left = INT32_MAX;
	ok(fixture, store_examine(copy, NULL, &progress, &about, &fixture->err));
	all = INT32_MAX - patience.left;
	assert_true(all > 1);
	for (int n = 0; n<all; n += all> 40 ? all / 20 : 1) {
		patience.left = n;
		refused(fixture, store_examine(copy, NULL, &progress, &about, &fixture->err),
			ERR_CANCELLED, "cancelled");
	}
}

/* Whatever fails, there is the whole copy or none. */
static void judge_copy(struct fixture *fixture, const char *copy, int result, long n)
{
	struct store_about about;

	if (result < 0) {
		if (exists(copy) || exists(name_of(fixture, ".copied-journal")))
			fail_msg("place %ld: something is left of the copy", n);
		return;
	}
	err_clear(&fixture->err);
	ok(fixture, store_examine(copy, NULL, NULL, &about, &fixture->err));
	assert_int_equal(about.users, 50);
	assert_int_equal(unlink(copy), 0);
}

static void test_full_disk(void **state)
{
	static const struct fault faults[] = { { FAULT_WRITE, SQLITE_FULL, true },
					       { FAULT_WRITE, SQLITE_IOERR_WRITE, false },
					       { FAULT_SYNC, SQLITE_IOERR_FSYNC, true } };
	struct fixture *fixture = *state;
	const char *copy = name_of(fixture, ".copied");

	fill(fixture, "u", 50);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		bool met = true;
		long n;

		for (n = 0; met; n++) {
			int result;

			assert_true(n < PLACES_MAX);
			err_clear(&fixture->err);
			fault_arm(&faults[i], n);
			result = store_copy(fixture->path, copy, NOW, NULL, &fixture->err);
			met = fault_disarm();
			assert_true(result == 0 || (met && fixture->err.code == ERR_IO));
			judge_copy(fixture, copy, result, n);
		}
		print_message("%ld places\n", n - 1);
		assert_true(n > 1);
	}
}

static void test_no_memory(void **state)
{
	struct fixture *fixture = *state;
	const char *copy = name_of(fixture, ".copied");
	long step_by = getenv("ROLEBRIDGE_VALGRIND") ? 4999 : 499;
	struct store_about about;
	bool met = true;

	fill(fixture, "u", 50);
	for (long n = 0; met; n += n < 100 ? 1 : step_by) {
		int result;

		err_clear(&fixture->err);
		memory_fault_arm(n);
		result = store_copy(fixture->path, copy, NOW, NULL, &fixture->err);
		met = memory_fault_disarm();
		assert_true(result == 0 || (met && fixture->err.code == ERR_MEMORY));
		judge_copy(fixture, copy, result, n);
	}
	ok(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err));
	met = true;
	for (long n = 0; met; n += n < 100 ? 1 : step_by) {
		int result;

		err_clear(&fixture->err);
		memory_fault_arm(n);
		result = store_examine(copy, NULL, NULL, &about, &fixture->err);
		met = memory_fault_disarm();
		if (result < 0 && fixture->err.code != ERR_MEMORY)
			fail_msg("allocation %ld of examining: %s", n, fixture->err.text);
	}
}

/* --- putting one in place --- */

/* As a restore does it, without what it voids. */
static int put_in_place(struct fixture *fixture, const char *copy, struct err *err)
{
	int fd = open(copy, O_RDONLY | O_CLOEXEC), result = -1;
	char *taken = store_take_in(fixture->path, fd, NULL, err);
	struct store *store;

	close(fd);
	if (taken) {
		store = store_open(taken, STORE_WRITE, err);
		store_close(store);
		result = store ? store_put_ready(fixture->path, err) : -1;
		free(taken);
	}
	return result < 0 ? -1 : store_put_in_place(fixture->path, NULL, err);
}

static bool child_survives(struct fixture *fixture, const char *copy, int steps)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		steps_left = steps;
		_exit(put_in_place(fixture, copy, &fixture->err) < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("step %d: the child failed", steps);
	return true;
}

static void put_old_back(struct fixture *fixture, const char *kept)
{
	static const char *const names[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlink(name_of(fixture, names[i]));
	ok(fixture, store_copy(kept, fixture->path, NOW, NULL, &fixture->err));
}

/* Beside the store: whatever is put aside holds all that was committed, what lay in the WAL too. */
static void test_killed(void **state)
{
	struct fixture *fixture = *state;
	const char *copy = name_of(fixture, ".copied"), *kept = name_of(fixture, ".kept");
	int before = 0, after = 0;
	bool survived = false;

	fill(fixture, "u", 3);
	ok(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err));
	fill(fixture, "v", 4);
	ok(fixture, store_copy(fixture->path, kept, NOW, NULL, &fixture->err));
	store_close(fixture->store);
	fixture->store = NULL;
	for (int steps = 0; !survived; steps++) {
		int64_t users;

		assert_true(steps < PLACES_MAX);
		put_old_back(fixture, kept);
		survived = child_survives(fixture, copy, steps);
		/* As at the next start. */
		ok(fixture, store_put_in_place(fixture->path, NULL, &fixture->err));
		users = users_in(fixture, fixture->path);
		if (users != 7 && users != 3)
			fail_msg("step %d: %lld users", steps, (long long)users);
		/* Once it was decided it stays so. */
		assert_true(users == 3 || after == 0);
		before += users == 7;
		after += users == 3;
		assert_false(exists(name_of(fixture, ".restoring")));
		assert_false(exists(name_of(fixture, ".restored")));
	}
	assert_true(before > 1 && after > 3);
	print_message("killed at %d places before it was decided, %d after\n", before, after - 1);
}

/* A store that was not closed goes with its WAL, which holds what was committed last. */
static void test_aside(void **state)
{
	struct fixture *fixture = *state;
	const char *copy = name_of(fixture, ".copied");
	AUTO(strbuf) struct strbuf aside = STRBUF(4096);
	int fd;
	char *taken;

	fill(fixture, "u", 3);
	ok(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err));
	fill(fixture, "v", 4);
	assert_true(exists(name_of(fixture, "-wal")));
	fd = open(copy, O_RDONLY | O_CLOEXEC);
	taken = store_take_in(fixture->path, fd, NULL, &fixture->err);
	close(fd);
	assert_non_null(taken);
	free(taken);
	ok(fixture, store_put_ready(fixture->path, &fixture->err));
	assert_int_equal(store_is_coming(fixture->path, &fixture->err), 1);
	/* The handle that is still open stands for a process that died. */
	assert_int_equal(store_put_in_place(fixture->path, &aside, &fixture->err), 1);
	assert_int_equal(store_put_in_place(fixture->path, NULL, &fixture->err), 0);
	assert_int_equal(users_in(fixture, fixture->path), 3);
	assert_int_equal(users_in(fixture, strbuf_text(&aside)), 7);
}

static void test_take_in_fails(void **state)
{
	struct fixture *fixture = *state;
	const char *link_name = name_of(fixture, ".restoring"), *copy = name_of(fixture, ".copied");
	char *taken;
	int fd;

	fill(fixture, "u", 3);
	ok(fixture, store_copy(fixture->path, copy, NOW, NULL, &fixture->err));
	/* What somebody left there is not followed. */
	assert_int_equal(symlink(copy, link_name), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	taken = store_take_in(fixture->path, fd, NULL, &fixture->err);
	close(fd);
	assert_non_null(taken);
	free(taken);
	assert_true(users_in(fixture, copy) == 3);
	ok(fixture, store_drop_taken(fixture->path, &fixture->err));
	assert_false(exists(link_name));
	/* A folder cannot be read. */
	fd = open("/", O_RDONLY | O_CLOEXEC);
	assert_null(store_take_in(fixture->path, fd, NULL, &fixture->err));
	close(fd);
	assert_false(exists(link_name));
	assert_int_equal(store_put_ready(fixture->path, &fixture->err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copy),      TEST(test_copy_of_nothing), TEST(test_told_to_stop),
		TEST(test_full_disk), TEST(test_no_memory),	  TEST(test_killed),
		TEST(test_aside),     TEST(test_take_in_fails),
	};

	faults_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
