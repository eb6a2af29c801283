/* Files and secrets: bounds, what is no file, the old or the new content, never a copy in an error. */
#include <rolebridge/base/file.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <seccomp.h>

#include <rolebridge/base/secret.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static char folder[] = "/tmp/rolebridge-test-XXXXXX";

/* A path in the folder; good until the fourth call after. */
static const char *in_folder(const char *name)
{
	static char paths[4][200];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static int enter_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int leave_folder(void **state)
{
	static const char *const names[] = { "a", "b", "pipe", "locked/x", "locked", "secret" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		remove(in_folder(names[i]));
	/* Fails when a temporary file was left behind. */
	return rmdir(folder);
}

static void test_write_then_read(void **state)
{
	static char large[300000];
	static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, sizeof(large) };
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 31);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO(strbuf) struct strbuf buf = STRBUF(1 << 20);
		struct stat status;

		assert_int_equal(file_write_atomic(in_folder("a"), large, sizes[i], 0640, &err), 0);
		assert_int_equal(stat(in_folder("a"), &status), 0);
		assert_int_equal(status.st_mode & 07777, 0640);
		strbuf_puts(&buf, "before:");
		assert_int_equal(file_read(in_folder("a"), sizes[i], &buf, &err), 0);
		assert_int_equal(buf.size, 7 + sizes[i]);
		assert_memory_equal(buf.data + 7, large, sizes[i]);
		if (sizes[i] == 0)
			continue;
		assert_int_equal(file_read(in_folder("a"), sizes[i] - 1, &buf, &err), -1);
		assert_int_equal(err.code, ERR_TOO_LARGE);
		assert_int_equal(buf.size, 7 + sizes[i]);
	}
}

static void test_what_cannot_be_read(void **state)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(1 << 20);
	struct err err;

	(void)state;
	assert_int_equal(file_read(in_folder("missing"), 100, &buf, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(file_read(folder, 100, &buf, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(file_read("/dev/zero", 100, &buf, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	/* A pipe without writer would block for ever. */
	assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
	assert_int_equal(file_read(in_folder("pipe"), 100, &buf, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	/* The size that the system gives is not believed: this one says 0. */
	assert_int_equal(file_read("/proc/self/status", 1 << 20, &buf, &err), 0);
	assert_int_equal(strncmp(strbuf_text(&buf), "Name:", 5), 0);
	strbuf_clear(&buf);
	assert_int_equal(file_read("/proc/self/status", 10, &buf, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
}

static void test_a_failed_write_leaves_the_old(void **state)
{
	struct err err;
	AUTO(strbuf) struct strbuf buf = STRBUF(100);

	(void)state;
	assert_int_equal(file_write_atomic(in_folder("b"), "old", 3, 0600, &err), 0);
	assert_int_equal(file_write_atomic(in_folder("none/b"), "new", 3, 0600, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	/* A folder stands in the way of the rename; the temporary file must be gone (leave_folder). */
	assert_int_equal(mkdir(in_folder("locked"), 0700), 0);
	assert_int_equal(file_write_atomic(in_folder("locked"), "new", 3, 0600, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_int_equal(file_read(in_folder("b"), 100, &buf, &err), 0);
	assert_string_equal(strbuf_text(&buf), "old");
}

static void test_secret_content(void **state)
{
	static const struct {
		const char *name, *content;
		size_t size;
		const char *expected; /* NULL: refused */
		size_t expected_size;
	} cases[] = {
		{ "plain", "pass", 4, "pass", 4 },
		{ "one line break dropped", "pass\n", 5, "pass", 4 },
		{ "also of two bytes", "pass\r\n", 6, "pass", 4 },
		{ "only one", "pass\n\n", 6, "pass\n", 5 },
		{ "a return of its own stays", "pass\r", 5, "pass\r", 5 },
		{ "binary", "a\0b", 3, "a\0b", 3 },
		{ "empty", "", 0, NULL, 0 },
		{ "only a line break", "\n", 1, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		AUTO(secret) struct secret secret = { 0 };

		file_write_atomic(in_folder("secret"), cases[i].content, cases[i].size, 0640, &err);

		int result = secret_read_file(in_folder("secret"), &secret, &err);

		if ((result == 0) != (cases[i].expected != NULL))
			fail_msg("%s: %s", cases[i].name, err.text);
		assert_null(strstr(err.text, "pass"));
		assert_int_equal(secret.size, cases[i].expected_size);
		if (cases[i].expected)
			assert_memory_equal(secret.data, cases[i].expected, secret.size + 1);
	}
}

static void test_secret_refusals(void **state)
{
	static char large[64 * 1024 + 1];
	AUTO(secret) struct secret secret = { 0 };
	struct err err;

	(void)state;
	memset(large, 'x', sizeof(large));
	file_write_atomic(in_folder("secret"), large, sizeof(large), 0600, NULL);
	assert_int_equal(secret_read_file(in_folder("secret"), &secret, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	file_write_atomic(in_folder("secret"), large, sizeof(large) - 1, 0600, NULL);
	assert_int_equal(secret_read_file(in_folder("secret"), &secret, &err), 0);
	assert_int_equal(secret.size, 64 * 1024);
	secret_finish(&secret);
	assert_null(secret.data);
	file_write_atomic(in_folder("secret"), "x", 1, 0604, NULL);
	assert_int_equal(secret_read_file(in_folder("secret"), &secret, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_int_equal(secret_read_file(in_folder("missing"), &secret, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(secret_copy("x", 0, &secret, &err), -1);
	assert_int_equal(secret_copy(large, sizeof(large), &secret, &err), -1);
	assert_null(secret.data);
}

static void test_secret_by_credential_name(void **state)
{
	AUTO(secret) struct secret secret = { 0 };
	struct err err;

	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	file_write_atomic(in_folder("secret"), "bind", 4, 0400, NULL);
	assert_int_equal(secret_read_file("secret", &secret, &err), -1);
	assert_non_null(strstr(err.text, "CREDENTIALS_DIRECTORY"));
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	assert_int_equal(secret_read_file("secret", &secret, &err), 0);
	assert_string_equal(secret.data, "bind");
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* As systemd names the files of a folder; one that was handed over by its own name goes first. */
static void test_secret_of_a_folder_of_credentials(void **state)
{
	AUTO(secret) struct secret secret = { 0 };
	struct err err;

	(void)state;
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	file_write_atomic(in_folder("rolebridge_corp.password"), "folder's", 8, 0400, NULL);
	assert_int_equal(secret_read_file("corp.password", &secret, &err), 0);
	assert_string_equal(secret.data, "folder's");
	secret_finish(&secret);
	file_write_atomic(in_folder("corp.password"), "own", 3, 0400, NULL);
	assert_int_equal(secret_read_file("corp.password", &secret, &err), 0);
	assert_string_equal(secret.data, "own");
	assert_int_equal(secret_read_file("none.password", &secret, &err), -1);
	assert_non_null(strstr(err.text, "/none.password"));
	unlink(in_folder("rolebridge_corp.password"));
	unlink(in_folder("corp.password"));
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* All or nothing, however it comes. */
static unsigned names_in_folder(void)
{
	DIR *list = opendir(folder);
	unsigned count = 0;

	assert_non_null(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count - 2;
}

/* Whoever is ended while it writes leaves nothing behind, and the old one. */
static void test_pieces_have_no_name(void **state)
{
	unsigned before = names_in_folder();
	struct new_file file;
	struct err err;

	(void)state;
	assert_int_equal(file_new_open(&file, in_folder("pieces"), 0600, &err), 0);
	assert_int_equal(file_new_write(&file, "one", 3, &err), 0);
	assert_int_equal(names_in_folder(), before);
	file_new_drop(&file);
	assert_int_equal(names_in_folder(), before);
	assert_int_equal(file_new_open(&file, in_folder("pieces"), 0600, &err), 0);
	assert_int_equal(file_new_commit(&file, &err), 0);
	assert_int_equal(names_in_folder(), before + 1);
	file_new_drop(&file);
	assert_int_equal(names_in_folder(), before + 1);
	unlink(in_folder("pieces"));
}

static void test_piece_by_piece(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(100);
	struct new_file file;
	struct hash256 hash, expected = digest256("onetwo", 6);
	struct stat status;
	struct err err;

	(void)state;
	assert_int_equal(file_write_atomic(in_folder("pieces"), "old", 3, 0644, &err), 0);
	assert_int_equal(file_new_open(&file, in_folder("pieces"), 0600, &err), 0);
	assert_int_equal(file_new_write(&file, "one", 3, &err), 0);
	file_new_drop(&file);
	assert_int_equal(file_read(in_folder("pieces"), 100, &text, &err), 0);
	assert_string_equal(strbuf_text(&text), "old");
	assert_int_equal(file_new_open(&file, in_folder("pieces"), 0600, &err), 0);
	assert_int_equal(file_new_write(&file, "one", 3, &err), 0);
	assert_int_equal(file_new_write(&file, "two", 3, &err), 0);
	assert_int_equal(file_digest(file.fd, &hash, &err), 0);
	assert_memory_equal(&hash, &expected, sizeof(hash));
	assert_int_equal(file_new_commit(&file, &err), 0);
	file_new_drop(&file);
	strbuf_truncate(&text, 0);
	assert_int_equal(file_read(in_folder("pieces"), 100, &text, &err), 0);
	assert_string_equal(strbuf_text(&text), "onetwo");
	assert_int_equal(stat(in_folder("pieces"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(file_sync(in_folder("pieces"), &err), 0);
	assert_int_equal(file_sync(in_folder("none"), &err), -1);
	unlink(in_folder("pieces"));
}

/* What is asked for fails with this. */
static void bar(int call, unsigned argument, uint64_t bits, int error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	assert_non_null(filter);
	assert_int_equal(seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), call, 1,
					  SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, bits, bits)),
			 0);
	assert_int_equal(seccomp_load(filter), 0);
	seccomp_release(filter);
}

static void in_child(void (*work)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void replace_old(void)
{
	struct new_file file;
	struct stat status;
	struct err err;
	AUTO(strbuf) struct strbuf text = STRBUF(100);

	if (file_write_atomic(in_folder("pieces"), "old", 3, 0644, &err) < 0 ||
	    file_new_open(&file, in_folder("pieces"), 0600, &err) < 0 ||
	    file_new_write(&file, "dropped", 7, &err) < 0)
		_exit(1);
	file_new_drop(&file);
	if (file_new_open(&file, in_folder("pieces"), 0600, &err) < 0 ||
	    file_new_write(&file, "new", 3, &err) < 0 || file_new_commit(&file, &err) < 0)
		_exit(2);
	file_new_drop(&file);
	if (file_read(in_folder("pieces"), 100, &text, &err) < 0 ||
	    strcmp(strbuf_text(&text), "new") != 0 || stat(in_folder("pieces"), &status) < 0 ||
	    (status.st_mode & 07777) != 0600)
		_exit(3);
}

static void without_unnamed(void)
{
	bar(SCMP_SYS(openat), 2, O_TMPFILE, EOPNOTSUPP);
	replace_old();
}

/* As where /proc is not there. */
static void without_proc(void)
{
	bar(SCMP_SYS(access), 1, 0, ENOENT);
	bar(SCMP_SYS(faccessat), 2, 0, ENOENT);
	bar(SCMP_SYS(faccessat2), 2, 0, ENOENT);
	bar(SCMP_SYS(linkat), 4, 0, ENOENT);
	replace_old();
}

static void test_pieces_on_other_file_systems(void **state)
{
	static void (*const ways[])(void) = { without_unnamed, without_proc };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		unsigned before = names_in_folder();

		in_child(ways[i]);
		assert_int_equal(names_in_folder(), before + 1);
		unlink(in_folder("pieces"));
	}
}

struct watched {
	uint64_t last, stop_at;
};

static bool watch(void *context, uint64_t done)
{
	struct watched *watched = context;

	assert_true(done >= watched->last);
	watched->last = done;
	return done < watched->stop_at;
}

static void test_copy(void **state)
{
	const size_t size = 3 * 1024 * 1024 + 7;
	struct watched watched = { .stop_at = size + 1 };
	const struct file_progress progress = { watch, &watched };
	char *data = malloc(size), *copied = malloc(size);
	struct err err;

	(void)state;
	memset(data, 'x', size);
	data[size - 1] = 'y';

	AUTO(fd) int from = open(in_folder("a"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	AUTO(fd) int to = open(in_folder("b"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(file_write_all(from, data, size), 0);
	lseek(from, 0, SEEK_SET);
	assert_int_equal(file_copy(from, to, &progress, &err), 0);
	assert_int_equal(watched.last, size);
	assert_int_equal(pread(to, copied, size, 0), size);
	assert_memory_equal(copied, data, size);
	/* At its end there is no more. */
	assert_int_equal(file_copy(from, to, NULL, &err), 0);
	assert_int_equal(lseek(to, 0, SEEK_END), size);
	lseek(from, 0, SEEK_SET);
	watched = (struct watched){ .stop_at = 1 };
	assert_int_equal(file_copy(from, to, &progress, &err), -1);
	assert_int_equal(err.code, ERR_CANCELLED);
	free(data);
	free(copied);
}

static void test_copy_of_no_file(void **state)
{
	AUTO(fd) int nothing = open(folder, O_RDONLY | O_CLOEXEC);
	AUTO(fd) int from = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	AUTO(fd) int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct err err;

	(void)state;
	assert_int_equal(file_copy(nothing, full, NULL, &err), -1);
	assert_non_null(strstr(err.text, "cannot read"));
	assert_int_equal(file_copy(from, full, NULL, &err), -1);
	assert_non_null(strstr(err.text, "No space left"));
}

static void test_no_place_for_pieces(void **state)
{
	struct new_file file;
	struct err err;

	(void)state;
	assert_int_equal(file_new_open(&file, in_folder("none/pieces"), 0600, &err), -1);
	assert_int_equal(file_new_open(&file, "/dev/null", 0600, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(file_new_open(&file, folder, 0600, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	file_new_drop(&file);
}

static void test_lock(void **state)
{
	char path[] = "/tmp/rolebridge-lock-XXXXXX";
	AUTO(fd) int first = -1;
	AUTO(fd) int second = -1;
	struct err err = { 0 };
	int made = mkstemp(path);

	(void)state;
	assert_true(made >= 0);
	close(made);
	assert_int_equal(file_lock(path, &first, &err), 0);
	assert_int_equal(file_lock(path, &second, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(err_reason(&err), "in-use");
	assert_int_equal(second, -1);
	close(first);
	first = -1;
	assert_int_equal(file_lock(path, &second, &err), 0);
	unlink(path);
	assert_int_equal(file_lock("/nonexistent/lock", &first, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_then_read),
		cmocka_unit_test(test_what_cannot_be_read),
		cmocka_unit_test(test_a_failed_write_leaves_the_old),
		cmocka_unit_test(test_secret_content),
		cmocka_unit_test(test_secret_refusals),
		cmocka_unit_test(test_secret_by_credential_name),
		cmocka_unit_test(test_secret_of_a_folder_of_credentials),
		cmocka_unit_test(test_piece_by_piece),
		cmocka_unit_test(test_pieces_have_no_name),
		cmocka_unit_test(test_pieces_on_other_file_systems),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_copy_of_no_file),
		cmocka_unit_test(test_no_place_for_pieces),
		cmocka_unit_test(test_lock),
	};

	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
