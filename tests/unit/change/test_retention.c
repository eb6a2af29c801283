/*
 * Old rows of the audit log go: when, how many, and what is there when the daemon dies on the way. The archive and the
 * store hold each row once, whatever happened, as soon as it was tried again.
 */
#include "../../../daemon/change/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/audit/archive.h>
#include <rolebridge/change/retention.h>
#include <rolebridge/store/audit.h>

#include "support.h"

#define DAY INT64_C(86400)
#define CONFIG RULES POLICY SOURCES
#define KEEP (40 * DAY)

extern void (*change_test_hook)(const char *step);

static int set_up(void **state)
{
	change_test_clock = (struct change_test_clock){ .boot = "boot-1" };
	return world_set_up(state);
}

static int tear_down(void **state)
{
	change_test_hook = NULL;
	change_test_clock = (struct change_test_clock){ 0 };
	return world_tear_down(state);
}

/* So many rows as old, before the changer is opened (again). */
static void fill(struct world *world, size_t count, int64_t age_s)
{
	AUTO(store) struct store *store = store_open(world->path, STORE_WRITE, &world->err);

	assert_non_null(store);
	ok(world, store_begin(store, &world->err));
	for (size_t i = 0; i < count; i++) {
		struct audit_row row = {
			.at_s = clock_now_s() - age_s,
			.actor = "unix:anna",
			.action = "test.row",
			.object = "token:01890a5d-ac96-774b-bcce-b302099a8058",
			.request = "",
			.detail = "{\"user\":\"01890a5d-ac96-774b-bcce-b302099a8057\"}"
		};

		ok(world, store_audit_append(store, &row, &world->err));
	}
	ok(world, store_commit(store, &world->err));
}

/* The chain from its anchor; how many rows are left. */
static struct audit_anchor check_store(struct world *world, int64_t *ret_rows)
{
	AUTO(store) struct store *store = world_read(world);
	struct audit_check check = { 0 };
	struct store_audit_cursor *cursor;
	struct audit_iterator rows;
	struct audit_verdict verdict;

	ok(world, store_audit_anchor(store, &check.anchor, &world->err));
	cursor = store_audit_open(store, NULL, &world->err);
	assert_non_null(cursor);
	rows = store_audit_iterator(cursor);
	ok(world, audit_verify(&rows, &check, &verdict, &world->err));
	store_audit_close(cursor);
	if (!verdict.intact)
		fail_msg("%s", verdict.problem);
	if (ret_rows)
		*ret_rows = verdict.rows;
	return check.anchor;
}

static int64_t retain(struct world *world, const char *archive)
{
	const struct retention retention = { .keep_s = KEEP, .archive = archive };
	int64_t gone, all = 0;

	do {
		ok(world, change_audit_retain(world->changer, &retention, &gone, &world->err));
		all += gone;
	} while (gone > 0);
	return all;
}

/* --- when --- */

static const struct age_case {
	const char *name;
	size_t old, young; /* rows of the age, then of now */
	int64_t age_s, passed_s, step_s;
	bool goes;
} age_cases[] = {
	{ "too young", 2000, 5, 39 * DAY, 0, 0, false },
	{ "old enough", 2000, 5, 41 * DAY, 0, 0, true },
	{ "just now, and many", 1000, 5, 40 * DAY + 60, 0, 0, true },
	{ "just now, and few", 999, 5, 40 * DAY + 60, 0, 0, false },
	{ "few, for a day", 1, 5, 41 * DAY + 60, 0, 0, true },
	{ "time passed", 2000, 5, 39 * DAY, 2 * DAY, 0, true },
	{ "the clock set forward", 2000, 5, 39 * DAY, 0, 400 * DAY, false },
	{ "the clock set back", 2000, 5, 41 * DAY, 0, -400 * DAY, false },
	{ "the clock set back, too young", 2000, 5, 39 * DAY, 0, -400 * DAY, false },
	{ "the clock set forward, and time passed", 2000, 5, 39 * DAY, 2 * DAY, 400 * DAY, true },
	{ "from the future alone", 2000, 0, -400 * DAY, 0, 0, false },
};

static void test_ages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(age_cases); i++) {
		const struct age_case *c = &age_cases[i];
		void *inner = NULL;
		struct world *world;
		int64_t gone;

		print_message("%s\n", c->name);
		set_up(&inner);
		world = inner;
		fill(world, c->old, c->age_s);
		if (c->young)
			fill(world, c->young, 0);
		world_open(world, CONFIG);
		change_test_clock.passed_s += c->passed_s;
		change_test_clock.step_s += c->step_s;
		gone = retain(world, NULL);
		assert_int_equal(gone, c->goes ? (int64_t)c->old : 0);
		assert_int_equal(check_store(world, NULL).seq, gone);
		tear_down(&inner);
	}
}

/* Written while the clock was wrong, between rows of the right time: goes with them, and holds nothing up. */
static void test_rows_of_the_future(void **state)
{
	struct world *world = *state;

	fill(world, 600, 50 * DAY);
	fill(world, 10, -3000 * DAY);
	fill(world, 600, 45 * DAY);
	fill(world, 10, -3000 * DAY);
	fill(world, 10, DAY);
	world_open(world, CONFIG);
	assert_int_equal(retain(world, NULL), 1210);
	check_store(world, NULL);
}

/*
 * What is written after the clock was set back bears times that are long ago: it is as young as it is, and what tells
 * that rows went does not go at once.
 */
static void test_after_the_clock_was_set_back(void **state)
{
	const struct retention retention = { .keep_s = KEEP };
	const struct new_user ada = { .username = "ada", .profile = "staff" };
	struct world *world = *state;
	struct uuid uuid;
	int64_t gone = 1;
	int rounds = 0;

	fill(world, 2000, 39 * DAY);
	world_open(world, CONFIG);
	change_test_clock.step_s -= 400 * DAY;
	assert_int_equal(retain(world, NULL), 0);
	assert_int_equal(world_audited(world, "clock.step", ""), 1);
	/* All of before goes, with the step; not what comes after it. */
	change_test_clock.passed_s += 41 * DAY;
	ok(world, change_user_create(world->changer, &test_person, &ada, &uuid, &world->err));
	for (; gone > 0 && rounds < 10; rounds++)
		ok(world, change_audit_retain(world->changer, &retention, &gone, &world->err));
	assert_int_equal(gone, 0);
	assert_int_equal(world_audited(world, "clock.step", ""), 0);
	assert_int_equal(world_audited(world, "test.row", ""), 0);
	assert_int_equal(world_audited(world, "user.create", ""), 1);
	assert_true(world_audited(world, "audit.prune", "") > 0);
	check_store(world, NULL);
}

/* Pieces of at most 1,000 rows, each told. */
static void test_pieces(void **state)
{
	struct world *world = *state;
	int64_t rows;

	fill(world, 2500, 41 * DAY);
	world_open(world, CONFIG);
	assert_int_equal(retain(world, NULL), 2500);
	assert_int_equal(check_store(world, &rows).seq, 2500);
	assert_in_range(rows, 3, 10);
	/* Its keys went, too. */
	AUTO(store) struct store *store = world_read(world);
	const struct audit_query query = { .actor = "unix:anna" };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, &world->err);
	struct audit_iterator left = store_audit_iterator(cursor);
	struct audit_row row;

	assert_int_equal(left.next(left.context, &row, &world->err), 0);
	store_audit_close(cursor);
}

/* --- the archive --- */

static const char *make_archive(struct world *world)
{
	const char *folder = arena_printf(world->arena, "%s/archive", world->folder);

	assert_int_equal(mkdir(folder, 0700), 0);
	return folder;
}

/* Rows 1 to what its files say, each once; 0 when there is none. */
static int64_t check_archive(struct world *world, const char *folder)
{
	struct audit_archive *archive = audit_archive_open(folder, &world->err);
	struct audit_check check = { .is_archive = true };
	struct audit_iterator rows;
	struct audit_verdict verdict;

	if (!archive) {
		assert_int_equal(world->err.code, ERR_NOT_FOUND);
		return 0;
	}
	rows = audit_archive_iterator(archive);
	ok(world, audit_verify(&rows, &check, &verdict, &world->err));
	audit_archive_close(archive);
	if (!verdict.intact)
		fail_msg("%s", verdict.problem);
	return verdict.last_seq;
}

static int steps_left;

static void die_in_time(const char *step UNUSED)
{
	if (steps_left-- == 0)
		raise(SIGKILL);
}

/* In a child, which dies at its nth step. Did it? */
static bool dies_at(struct world *world, const char *archive, int step)
{
	const struct retention retention = { .keep_s = KEEP, .archive = archive };
	int64_t gone;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		world_open(world, CONFIG);
		steps_left = step;
		change_test_hook = die_in_time;
		change_audit_retain(world->changer, &retention, &gone, &world->err);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status);
}

static void check_death(int step, bool *ret_died)
{
	void *inner = NULL;
	struct world *world;
	const char *archive;
	struct audit_anchor anchor;
	int64_t archived;

	set_up(&inner);
	world = inner;
	archive = make_archive(world);
	fill(world, 2500, 41 * DAY);
	fill(world, 5, 0);
	*ret_died = dies_at(world, archive, step);
	anchor = check_store(world, NULL);
	archived = check_archive(world, archive);
	assert_true(archived == 0 || archived == 2500);
	/* Nothing went that is not in the archive. */
	assert_true(anchor.seq <= archived);
	world_open(world, CONFIG);
	retain(world, archive);
	assert_int_equal(check_store(world, NULL).seq, 2500);
	assert_int_equal(check_archive(world, archive), 2500);
	tear_down(&inner);
}

static void test_deaths(void **state)
{
	bool died = true;

	(void)state;
	for (int step = 0; died; step++) {
		assert_true(step < 100);
		check_death(step, &died);
		/* Three pieces and a file have more steps than these. */
		assert_true(died || step > 10);
	}
}

static void test_archive_that_cannot_be_written(void **state)
{
	struct world *world = *state;
	const char *folder = arena_printf(world->arena, "%s/archive", world->folder);
	const struct retention retention = { .keep_s = KEEP, .archive = folder };
	int64_t gone = 42;

	fill(world, 2500, 41 * DAY);
	world_open(world, CONFIG);
	/* Not there; a file; where nobody can write a file, as on a disk that is full. */
	for (int i = 0; i < 3; i++) {
		FILE *file = i == 1 ? fopen(folder, "w") : NULL;

		if (file)
			fclose(file);
		if (i == 2)
			assert_int_equal(symlink("/proc", folder), 0);
		err_clear(&world->err);
		assert_int_equal(
			change_audit_retain(world->changer, &retention, &gone, &world->err), -1);
		assert_int_equal(gone, 42);
		assert_non_null(strstr(world->err.text, "archive"));
		assert_int_equal(check_store(world, NULL).seq, 0);
		if (i > 0)
			assert_int_equal(unlink(folder), 0);
	}
	make_archive(world);
	assert_int_equal(retain(world, folder), 2500);
	assert_int_equal(check_archive(world, folder), 2500);
}

/* Of another log, whose rows stand where these would. */
static void test_archive_of_another_log(void **state)
{
	struct world *world = *state;
	const char *folder = make_archive(world);
	const struct retention retention = { .keep_s = KEEP, .archive = folder };
	struct audit_archive_file file = { .from = 1, .to = 1200 };
	AUTO(strbuf) struct strbuf text = STRBUF(100);
	int64_t gone;

	fill(world, 2500, 41 * DAY);
	strbuf_puts(&text, "{}\n");
	ok(world, audit_archive_write(folder, &file, &text, &world->err));
	world_open(world, CONFIG);
	refused(world, change_audit_retain(world->changer, &retention, &gone, &world->err),
		"archive-differs");
	assert_int_equal(check_store(world, NULL).seq, 0);
}

/* Of the right name, but cut off, by whoever copied it elsewhere and back: no row goes until it is put right or away. */
static void test_archive_that_is_cut_off(void **state)
{
	struct world *world = *state;
	const char *folder = make_archive(world), *path;
	const struct retention retention = { .keep_s = KEEP, .archive = folder };
	struct audit_archive_file *files;
	char name[AUDIT_ARCHIVE_NAME_SIZE];
	struct stat status;
	int64_t gone;
	size_t count;

	fill(world, 2500, 41 * DAY);
	fill(world, 5, 0);
	/* Dies with the file, before the first row goes. */
	for (int step = 0; check_archive(world, folder) == 0; step++) {
		assert_true(step < 20);
		dies_at(world, folder, step);
	}
	ok(world, audit_archive_list(folder, &files, &count, &world->err));
	assert_int_equal(count, 1);
	audit_archive_name(&files[0], name);
	free(files);
	path = arena_printf(world->arena, "%s/%s", folder, name);
	assert_int_equal(stat(path, &status), 0);
	world_open(world, CONFIG);
	for (int i = 0; i < 2; i++) {
		/* Within a row; nothing at all. */
		assert_int_equal(truncate(path, i ? 0 : status.st_size / 2), 0);
		refused(world, change_audit_retain(world->changer, &retention, &gone, &world->err),
			"archive-differs");
		assert_int_equal(check_store(world, NULL).seq, 0);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(retain(world, folder), 2500);
	assert_int_equal(check_archive(world, folder), 2500);
}

/* Written under a shorter retention: what is young by the one in force stays. */
static void test_archive_of_a_shorter_retention(void **state)
{
	struct world *world = *state;
	const char *folder = make_archive(world);
	const struct retention longer = { .keep_s = 60 * DAY, .archive = folder };
	int64_t gone;

	fill(world, 1500, 70 * DAY);
	fill(world, 1000, 45 * DAY);
	fill(world, 5, 0);
	/* Dies with the file, before the first row goes. */
	for (int step = 0; check_archive(world, folder) == 0; step++) {
		assert_true(step < 20);
		dies_at(world, folder, step);
	}
	assert_int_equal(check_archive(world, folder), 2500);
	world_open(world, CONFIG);
	ok(world, change_audit_retain(world->changer, &longer, &gone, &world->err));
	assert_int_equal(check_store(world, NULL).seq, 1500);
	assert_int_equal(retain(world, folder), 1000);
	assert_int_equal(check_store(world, NULL).seq, 2500);
	assert_int_equal(check_archive(world, folder), 2500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ages),
		cmocka_unit_test_setup_teardown(test_rows_of_the_future, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_after_the_clock_was_set_back, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
		cmocka_unit_test(test_deaths),
		cmocka_unit_test_setup_teardown(test_archive_that_cannot_be_written, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_archive_of_another_log, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_archive_that_is_cut_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_archive_of_a_shorter_retention, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
