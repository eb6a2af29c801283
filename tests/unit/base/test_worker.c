/*
 * Workers: started from this very program (main below is the worker's too),
 * locked, and really killed by what they may not do.
 */
#include <rolebridge/base/worker.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

#define MEMORY_MAX (64u << 20)

/* --- what happens inside a worker; the result is its exit status --- */

static int act_nothing(void)
{
	return 0;
}

static int act_openat(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) == -1 && errno == EACCES ? 0
											       : 1;
}

static int act_fopen(void)
{
	return !fopen("/etc/passwd", "r") && errno == EACCES ? 0 : 1;
}

static int act_stat(void)
{
	struct stat status;

	return stat("/etc/passwd", &status) == -1 && errno == EACCES ? 0 : 1;
}

static int act_work(void)
{
	char *memory = malloc(20u << 20);
	unsigned char random[16];

	if (!memory)
		return 1;
	memset(memory, 1, 20u << 20);
	free(memory);
	return syscall(SYS_getrandom, random, sizeof(random), 0) == sizeof(random) ? 0 : 1;
}

static int act_memory(void)
{
	/* volatile: a compiler may drop an allocation that nobody uses, and say it went well. */
	void *volatile memory = malloc(2 * MEMORY_MAX);

	return memory ? 1 : 0;
}

static int act_limits(void)
{
	struct rlimit core, processes;

	/* getrlimit is not on the list: prlimit64 would kill, so this runs in a filter that has it. */
	if (getrlimit(RLIMIT_CORE, &core) < 0 || getrlimit(RLIMIT_NPROC, &processes) < 0)
		return 1;
	return core.rlim_max == 0 && processes.rlim_max == 0 ? 0 : 1;
}

static int act_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 2 : 1;
}

static int act_fork(void)
{
	return fork() < 0 ? 2 : 1;
}

static int act_exec(void)
{
	char *const arguments[] = { NULL };

	execve("/bin/true", arguments, arguments);
	return 2;
}

static int act_kill(void)
{
	return kill(getpid(), 0) < 0 ? 2 : 1;
}

static int act_map_code(void)
{
	void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return code == MAP_FAILED ? 2 : 1;
}

static const int allowed[] = { WORKER_COMMON_SYSCALLS };
static const int allowed_with_limits[] = { WORKER_COMMON_SYSCALLS, __NR_prlimit64 };

static const struct {
	const char *name;
	int (*act)(void);
	bool killed; /* by the strict filter */
	bool in_sanitizer;
} cases[] = {
	{ "nothing", act_nothing, false, true },
	{ "openat answers EACCES", act_openat, false, true },
	{ "fopen answers EACCES", act_fopen, false, true },
	{ "stat answers EACCES", act_stat, false, true },
	{ "memory and random bytes", act_work, false, true },
	{ "memory over the limit is refused", act_memory, false, false },
	{ "limits are set", act_limits, false, true },
	{ "socket kills", act_socket, true, false },
	{ "fork kills", act_fork, true, false },
	{ "exec kills", act_exec, true, false },
	{ "kill kills", act_kill, true, false },
	{ "executable memory kills", act_map_code, true, false },
};

static bool sanitized(void)
{
#ifdef RB_SANITIZE
	return true;
#else
	return false;
#endif
}

/*
 * There /proc/self/exe is valgrind itself, and its own system calls are on no list.
 * Not cmocka's skip(): it jumps over the cleanup of the caller's variables.
 */
static bool under_valgrind(void)
{
	if (!getenv("ROLEBRIDGE_VALGRIND"))
		return false;
	print_message("not under valgrind\n");
	return true;
}

static int status_in_locked_child(int (*act)(void))
{
	bool limits = act == act_limits;
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = { 0 };

		hash_prepare();
		if (worker_lock(limits ? allowed_with_limits : allowed,
				limits ? ARRAY_LEN(allowed_with_limits) : ARRAY_LEN(allowed),
				MEMORY_MAX, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			_exit(99);
		}
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_lock(void **state)
{
	(void)state;
	if (under_valgrind())
		return;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (sanitized() && !cases[i].in_sanitizer)
			continue;

		int status = status_in_locked_child(cases[i].act);
		char text[100];

		worker_status_text(status, text, sizeof(text));
		if (cases[i].killed ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS
				    : status != 0)
			fail_msg("%s: %s", cases[i].name, text);
	}
}

/* --- the wide lock, and the strict one after it --- */

static const int wide[] = { WORKER_COMMON_SYSCALLS, __NR_prctl, __NR_seccomp, __NR_prlimit64,
			    __NR_socket };

static bool opens(int flags)
{
	return syscall(SYS_openat, AT_FDCWD, "/dev/null", flags) >= 0;
}

/* 0: all as it must be; else the number of what is not. */
static int act_in_wide_lock(void)
{
	char *const arguments[] = { NULL };
	struct err err = { 0 };

	if (!opens(O_RDONLY))
		return 1;
	if (!sanitized() && (opens(O_WRONLY) || opens(O_RDWR) || opens(O_RDONLY | O_CREAT)))
		return 2;
	if (execve("/bin/true", arguments, arguments) == 0)
		return 3;
	if (!sanitized() && (kill(getpid(), 0) == 0 || errno != EPERM))
		return 4;
	if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		return 5;
	if (worker_lock(allowed, ARRAY_LEN(allowed), MEMORY_MAX, &err) < 0)
		return 6;
	return opens(O_RDONLY) || errno != EACCES ? 7 : 0;
}

static int status_in_wide_child(int (*act)(void))
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = { 0 };

		hash_prepare();
		if (worker_lock_wide(wide, ARRAY_LEN(wide), MEMORY_MAX, &err) < 0)
			_exit(99);
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int act_socket_after_both(void)
{
	struct err err = { 0 };

	if (worker_lock(allowed, ARRAY_LEN(allowed), MEMORY_MAX, &err) < 0)
		return 6;
	return act_socket();
}

static void test_wide_lock(void **state)
{
	(void)state;
	if (under_valgrind())
		return;
	assert_int_equal(status_in_wide_child(act_in_wide_lock), 0);
	if (sanitized())
		return;

	int status = status_in_wide_child(act_socket_after_both);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* --- a worker's life; the parts of main that run in it stand here --- */

enum { ASK, ANSWER };

/* Answers each question with its environment, descriptors and text, until the socket ends. */
static int worker_echo(void)
{
	AUTO(message_stream)
	struct message_stream *stream = message_stream_create(WORKER_SOCKET, 4096);
	AUTO(arena) struct arena *arena = arena_create(4096);
	struct message message;
	int signal_at_death = 0;

	prctl(PR_GET_PDEATHSIG, &signal_at_death);
	while (message_receive(stream, 0, &message, NULL, NULL) == 1) {
		AUTO(strbuf) struct strbuf out = STRBUF(4096);
		size_t begin = message_begin(&out, ANSWER);

		put_text(&out, get_text(&message.body, arena));
		put_text(&out, getenv("TZ"));
		put_text(&out, getenv("HOME"));
		put_u32(&out, (uint32_t)signal_at_death);
		put_u8(&out, fcntl(WORKER_SOCKET + 1, F_GETFD) < 0);
		put_u8(&out, fcntl(STDERR_FILENO, F_GETFD) >= 0);
		message_end(&out, begin);
		if (message_send(WORKER_SOCKET, &out, -1, NULL) < 0)
			return 1;
	}
	return 23;
}

static int worker_stubborn(void)
{
	for (;;)
		pause();
	return 0;
}

static int worker_main(const char *name)
{
	if (strcmp(name, "echo") == 0)
		return worker_echo();
	return strcmp(name, "stubborn") == 0 ? worker_stubborn() : 1;
}

static void test_a_worker_lives(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(4096);
	AUTO(arena) struct arena *arena = arena_create(4096);
	/* Descriptors that it must not get. */
	AUTO(fd) int leaked = open("/dev/null", O_RDONLY);
	struct message message;
	struct worker worker;
	struct err err = { 0 };
	int status = 0;

	(void)state;
	if (under_valgrind())
		return;
	assert_true(leaked >= 0);
	setenv("HOME", "/nowhere", 1);
	if (worker_start("echo", &worker, &err) < 0)
		fail_msg("%s", err.text);
	put_text(&out, "hello");

	AUTO(message_stream)
	struct message_stream *stream = message_stream_create(worker.socket, 4096);
	AUTO(strbuf) struct strbuf frame = STRBUF(4096);
	size_t begin = message_begin(&frame, ASK);

	strbuf_append(&frame, out.data, out.size);
	message_end(&frame, begin);
	assert_int_equal(message_send(worker.socket, &frame, -1, &err), 0);
	assert_int_equal(message_receive(stream, 0, &message, NULL, &err), 1);
	assert_string_equal(get_text(&message.body, arena), "hello");
	assert_string_equal(get_text(&message.body, arena), "UTC0");
	assert_string_equal(get_text(&message.body, arena), "");
	assert_int_equal(get_u32(&message.body), SIGKILL);
	assert_int_equal(get_u8(&message.body), 1);
	assert_int_equal(get_u8(&message.body), 1);
	assert_true(reader_done(&message.body));
	worker_stop(&worker, 10000, &status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 23);
	assert_int_equal(worker.pid, 0);
	assert_int_equal(worker.socket, -1);
	/* Twice is harmless. */
	worker_stop(&worker, 0, NULL);
}

static void test_a_stubborn_worker_is_killed(void **state)
{
	struct worker worker;
	int status = 0;
	char text[64];

	(void)state;
	if (under_valgrind())
		return;
	assert_int_equal(worker_start("stubborn", &worker, NULL), 0);
	worker_stop(&worker, 20, &status);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	worker_status_text(status, text, sizeof(text));
	assert_string_equal(text, "signal 9 (killed)");
}

static void test_status_text(void **state)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 0, "exit 0" },
		{ 1 << 8, "exit 1" },
		{ 127 << 8, "exit 127 (it could not be started)" },
		{ SIGSYS, "signal 31 (bad system call)" },
		{ SIGSEGV | 0x80, "signal 11 (segmentation fault)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char text[64];

		worker_status_text(texts[i].status, text, sizeof(text));
		assert_string_equal(text, texts[i].text);
	}
}

static void test_a_name_too_long(void **state)
{
	char name[400];
	struct worker worker = { .pid = 77 };
	struct err err;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(worker_start(name, &worker, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(worker.pid, 77);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_wide_lock),
		cmocka_unit_test(test_a_worker_lives),
		cmocka_unit_test(test_a_stubborn_worker_is_killed),
		cmocka_unit_test(test_status_text),
		cmocka_unit_test(test_a_name_too_long),
	};

	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		return worker_main(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
