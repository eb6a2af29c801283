/*
 * The core against workers that lie. This program is its own worker: the
 * core starts /proc/self/exe --worker ldap, and the job's key names the script
 * that the false worker plays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/ldap.h>

#include "../../../daemon/source/ldap/protocol.h"

/* --- the false worker --- */

static void put_identity(struct strbuf *out, const char *key)
{
	size_t begin = message_begin(out, PROTOCOL_IDENTITY);

	record_write_head(out, key, "uid=x", true, false, "", 0, 0);
	record_write_groups(out, NULL, 0);
	message_end(out, begin);
}

static void put_group(struct strbuf *out, uint32_t id)
{
	const struct protocol_group group = { .id = id, .found = true, .members = 1 };

	group_encode(&group, out);
}

static void put_end(struct strbuf *out, bool complete, uint64_t entries)
{
	const struct protocol_end end = { .complete = complete,
					  .entries = entries,
					  .reason = complete ? "" : "busy",
					  .detail = "" };

	end_encode(&end, out);
}

static void put_raw(struct strbuf *out, uint16_t type, const void *data, size_t size)
{
	size_t begin = message_begin(out, type);

	strbuf_append(out, data, size);
	message_end(out, begin);
}

static void play_good(struct strbuf *out)
{
	phase_encode(PHASE_USERS, out);
	progress_encode(1, out);
	put_identity(out, "k1");
	put_identity(out, "k2");
	put_group(out, 5);
	put_group(out, 3);
	put_end(out, true, 2);
}

static void play_good_without_reading(struct strbuf *out)
{
	put_end(out, false, 0);
}

static void play_fewer_than_said(struct strbuf *out)
{
	put_identity(out, "k1");
	put_group(out, 5);
	put_group(out, 3);
	put_end(out, true, 2);
}

static void play_group_missing(struct strbuf *out)
{
	put_identity(out, "k1");
	put_group(out, 5);
	put_end(out, true, 1);
}

static void play_group_unasked(struct strbuf *out)
{
	put_identity(out, "k1");
	put_group(out, 4);
	put_end(out, true, 1);
}

static void play_group_twice(struct strbuf *out)
{
	put_identity(out, "k1");
	put_group(out, 5);
	put_group(out, 5);
	put_end(out, true, 1);
}

static void play_identity_after_groups(struct strbuf *out)
{
	put_group(out, 5);
	put_identity(out, "k1");
	put_end(out, true, 1);
}

static void play_record_of_nonsense(struct strbuf *out)
{
	put_raw(out, PROTOCOL_IDENTITY, "\xff\xff\xff", 3);
	put_end(out, true, 1);
}

static void play_empty_record(struct strbuf *out)
{
	put_raw(out, PROTOCOL_IDENTITY, "", 0);
}

static void play_unknown_type(struct strbuf *out)
{
	put_raw(out, 999, "", 0);
}

static void play_job_back(struct strbuf *out)
{
	put_raw(out, PROTOCOL_JOB, "", 0);
}

static void play_more_after_end(struct strbuf *out)
{
	put_identity(out, "k1");
	put_group(out, 5);
	put_group(out, 3);
	put_end(out, true, 1);
	put_identity(out, "k2");
}

static void play_cut(struct strbuf *out)
{
	put_identity(out, "k1");
	put_identity(out, "k2");
	out->size -= 3;
}

static void play_only_groups(struct strbuf *out)
{
	put_group(out, 5);
}

static void play_too_long(struct strbuf *out)
{
	put_u32(out, UINT32_MAX);
	put_u16(out, PROTOCOL_IDENTITY);
}

static void play_nothing(struct strbuf *out)
{
	(void)out;
}

enum ending { LEAVES, FAILS, CRASHES, STAYS };

static const struct script {
	const char *name;
	void (*play)(struct strbuf *out);
	enum ending ending;
	const char *reason; /* expected; "" for complete */
	size_t identities, groups;
} scripts[] = {
	{ "good", play_good, LEAVES, "", 2, 2 },
	{ "good, yet exit 1", play_good, FAILS, "worker-died", 2, 2 },
	{ "good, yet it stays", play_good, STAYS, "worker-died", 2, 2 },
	{ "says busy", play_good_without_reading, LEAVES, "busy", 0, 0 },
	{ "fewer than said", play_fewer_than_said, LEAVES, "protocol-error", 1, 2 },
	{ "group missing", play_group_missing, LEAVES, "protocol-error", 1, 1 },
	{ "group unasked", play_group_unasked, LEAVES, "protocol-error", 1, 0 },
	{ "group twice", play_group_twice, LEAVES, "protocol-error", 1, 1 },
	{ "identity after groups", play_identity_after_groups, LEAVES, "protocol-error", 0, 1 },
	{ "record of nonsense", play_record_of_nonsense, LEAVES, "protocol-error", 0, 0 },
	{ "empty record", play_empty_record, LEAVES, "protocol-error", 0, 0 },
	{ "unknown type", play_unknown_type, LEAVES, "protocol-error", 0, 0 },
	{ "job sent back", play_job_back, LEAVES, "protocol-error", 0, 0 },
	{ "more after end", play_more_after_end, LEAVES, "worker-died", 1, 2 },
	{ "cut in a record", play_cut, LEAVES, "worker-died", 1, 0 },
	{ "no end", play_only_groups, LEAVES, "worker-died", 0, 1 },
	{ "message too long", play_too_long, LEAVES, "worker-died", 0, 0 },
	{ "nothing", play_nothing, LEAVES, "worker-died", 0, 0 },
	{ "crash", play_nothing, CRASHES, "worker-died", 0, 0 },
	{ "crash after identities", play_cut, CRASHES, "worker-died", 1, 0 },
	{ "silence", play_nothing, STAYS, "timeout", 0, 0 },
	{ "silence after identities", play_cut, STAYS, "timeout", 1, 0 },
};

/* --- the same of sign-ins --- */

#define SECRET "pa(ss)*w\\ord"

static void play_right(struct strbuf *out)
{
	phase_encode(PHASE_BIND, out);
	phase_encode(PHASE_LOGIN, out);
	verdict_encode(true, out);
	put_end(out, true, 0);
}

static void play_wrong(struct strbuf *out)
{
	verdict_encode(false, out);
	put_end(out, true, 0);
}

static void play_no_verdict(struct strbuf *out)
{
	put_end(out, true, 0);
}

static void play_verdict_twice(struct strbuf *out)
{
	verdict_encode(false, out);
	verdict_encode(true, out);
	put_end(out, true, 0);
}

static void play_verdict_and_person(struct strbuf *out)
{
	put_identity(out, "k1");
	play_right(out);
}

static void play_verdict_and_group(struct strbuf *out)
{
	put_group(out, 5);
	play_right(out);
}

static void play_verdict_without_end(struct strbuf *out)
{
	verdict_encode(true, out);
}

static void play_verdict_of_two(struct strbuf *out)
{
	put_raw(out, PROTOCOL_VERDICT, "\2", 1);
	put_end(out, true, 0);
}

static void play_right_but_busy(struct strbuf *out)
{
	verdict_encode(true, out);
	put_end(out, false, 0);
}

static const struct login_script {
	const char *name;
	void (*play)(struct strbuf *out);
	enum ending ending;
	int right; /* -1: nobody could say */
} login_scripts[] = {
	{ "right", play_right, LEAVES, 1 },
	{ "wrong", play_wrong, LEAVES, 0 },
	{ "right, yet exit 1", play_right, FAILS, -1 },
	{ "right, yet a crash", play_right, CRASHES, -1 },
	{ "no verdict", play_no_verdict, LEAVES, -1 },
	{ "two verdicts", play_verdict_twice, LEAVES, -1 },
	{ "a person", play_verdict_and_person, LEAVES, -1 },
	{ "a group", play_verdict_and_group, LEAVES, -1 },
	{ "no end", play_verdict_without_end, LEAVES, -1 },
	{ "neither yes nor no", play_verdict_of_two, LEAVES, -1 },
	{ "right, but busy", play_right_but_busy, LEAVES, -1 },
};

/* What comes after the job is the password, and it is whole; of nobody another one comes, for it is not the directory's. */
static const struct login_script *find_login(struct message_stream *stream, const struct job *job)
{
	const struct login_script *script = login_scripts;
	struct message message;
	const void *password;
	size_t size;
	bool is_somebody = strstr(job->users.filter, "=k1)") != NULL;

	if (message_receive(stream, 0, &message, NULL, NULL) != 1 ||
	    message.type != PROTOCOL_LOGIN ||
	    login_decode(&message.body, &password, &size, NULL) < 0 ||
	    (size == strlen(SECRET) && memcmp(password, SECRET, size) == 0) != is_somebody)
		_exit(3);
	for (size_t i = 0; i < ARRAY_LEN(login_scripts); i++, script++)
		if (strcmp(script->name, job->key) == 0)
			return script;
	_exit(4);
}

static int worker_main(void)
{
	struct message_stream *stream = message_stream_create(WORKER_SOCKET, PROTOCOL_JOB_MAX);
	struct arena *arena = arena_create(1 << 20);
	struct strbuf out = STRBUF(1 << 20);
	const struct script *script = scripts;
	enum ending ending;
	struct message message;
	struct job job;
	int fd = -1;

	if (message_receive(stream, 0, &message, &fd, NULL) != 1 ||
	    job_decode(&message.body, arena, &job, NULL) < 0)
		return 2;
	if (job.test == TEST_LOGIN) {
		const struct login_script *login = find_login(stream, &job);

		login->play(&out);
		ending = login->ending;
	} else {
		while (strcmp(script->name, job.key) != 0)
			script++;
		script->play(&out);
		ending = script->ending;
	}
	message_send(WORKER_SOCKET, &out, -1, NULL);
	if (ending == CRASHES)
		raise(SIGSEGV);
	while (ending == STAYS)
		pause();
	strbuf_finish(&out);
	arena_destroy(arena);
	message_stream_destroy(stream);
	return ending == FAILS ? 1 : 0;
}

/* --- the core --- */

struct seen {
	size_t identities, groups, quarantined;
	size_t fail_at; /* identity at which the callback fails; 0: never */
	bool cancel;
};

static int see_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct seen *seen = context;

	(void)record;
	(void)size;
	if (++seen->identities == seen->fail_at)
		return err_set(err, ERR_IO, "disk full");
	return 0;
}

static int see_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	(void)entry;
	(void)err;
	((struct seen *)context)->quarantined++;
	return 0;
}

static int see_group(void *context, uint32_t id, bool found, uint64_t members, struct err *err)
{
	(void)err;
	assert_true(id == 3 || id == 5);
	assert_true(found);
	assert_int_equal(members, 1);
	((struct seen *)context)->groups++;
	return 0;
}

static bool see_cancelled(void *context)
{
	return ((struct seen *)context)->cancel;
}

static struct located text(const char *value)
{
	return (struct located){ .text = value };
}

static char folder[] = "/tmp/rolebridge-client-XXXXXX";
static char url[128], dead_url[160];
static int listener;

static int listen_somewhere(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/ldapi", folder);
	snprintf(url, sizeof(url), "ldapi://%%2Ftmp%%2F%s%%2Fldapi", folder + strlen("/tmp/"));
	snprintf(dead_url, sizeof(dead_url), "%s-gone", url);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return listen(listener, 100);
}

static int remove_folder(void **state)
{
	char path[sizeof(folder) + 16];

	(void)state;
	close(listener);
	snprintf(path, sizeof(path), "%s/ldapi", folder);
	unlink(path);
	return rmdir(folder);
}

static int read_with(const char *script, const struct located *servers, size_t server_count,
		     struct seen *seen, struct read_result *ret_result, struct err *err)
{
	static const struct wanted_attribute wanted[] = { { "cn", "cn" } };
	static const struct wanted_group groups[] = { { 5, "cn=a" }, { 3, "cn=b" } };
	const struct ldap_source source = {
		.common.name = text("corp"),
		.servers = { server_count, servers },
		.bind.method = LDAP_SOURCE_BIND_EXTERNAL,
		.users = { .base = text("ou=p"), .filter = text("(a=*)"), .key = text(script) },
		.groups.filter = text("(b=*)"),
		.page_size = 100,
		.timeouts = { .connect_s = 5, .answer_s = 5, .total_s = 60 },
	};
	const struct intake intake = { .context = seen,
				       .identity = see_identity,
				       .quarantine = see_quarantine,
				       .group = see_group,
				       .cancelled = see_cancelled };

	return ldap_source_read(&source, wanted, 1, groups, 2, &intake, ret_result, err);
}

/* Binds that were sent at the last sign-in. */
static unsigned last_asked;

static int sign_in_with(const char *script, const char *key, const char *password, bool *ret_right,
			struct err *err)
{
	const struct located server = text(url);
	const struct ldap_source source = {
		.common.name = text("corp"),
		.servers = { 1, &server },
		.bind.method = LDAP_SOURCE_BIND_EXTERNAL,
		.users = { .base = text("ou=p"), .filter = text("(a=*)"), .key = text(script) },
		.groups.filter = text("(b=*)"),
		.timeouts = { .connect_s = 5, .answer_s = 5, .total_s = 60 },
	};

	return ldap_source_sign_in(&source, key, password, strlen(password), ret_right, &last_asked,
				   err);
}

static void test_sign_in(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(login_scripts); i++) {
		const struct login_script *script = &login_scripts[i];
		struct err err = { 0 };
		bool right = !script->right;
		int status = sign_in_with(script->name, "k1", SECRET, &right, &err);

		if (status != (script->right < 0 ? -1 : 0))
			fail_msg("%s: %d %s", script->name, status, err.text);
		if (status == 0)
			assert_int_equal(right, script->right);
		else
			assert_string_equal(err_reason(&err), "directory-unavailable");
		/* Told before it is sent: also where nothing came of it. */
		assert_int_equal(last_asked, script->play == play_right);
	}
}

/* What cannot be a GUID is nobody's. */
static void test_sign_in_by_another_key(void **state)
{
	struct err err = { 0 };
	bool right = false;

	(void)state;
	/* No script has this name: the worker leaves without a word. */
	assert_int_equal(sign_in_with("objectGUID", "k1", SECRET, &right, &err), -1);
	assert_string_equal(err_reason(&err), "directory-unavailable");
}

/* Nobody's is never right, and nobody is asked about no password at all (no such script is there). */
static void test_sign_in_of_nobody(void **state)
{
	char longest[PROTOCOL_PASSWORD_MAX + 2];
	bool right = true;

	(void)state;
	assert_int_equal(sign_in_with("right", NULL, SECRET, &right, NULL), 0);
	assert_false(right);
	right = true;
	assert_int_equal(sign_in_with("none", "k1", "", &right, NULL), 0);
	assert_false(right);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	right = true;
	assert_int_equal(sign_in_with("none", "k1", longest, &right, NULL), 0);
	assert_false(right);
}

static void test_scripts(void **state)
{
	const struct located server = text(url);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct seen seen = { 0 };
		struct read_result result;
		struct err err = { 0 };
		if (read_with(scripts[i].name, &server, 1, &seen, &result, &err) < 0)
			fail_msg("%s: %s", scripts[i].name, err.text);
		if (strcmp(result.reason, scripts[i].reason) != 0)
			fail_msg("%s: %s (%s)", scripts[i].name, result.reason, result.detail);
		assert_int_equal(result.complete, scripts[i].reason[0] == '\0');
		if (seen.identities != scripts[i].identities || seen.groups != scripts[i].groups)
			fail_msg("%s: %zu identities, %zu groups", scripts[i].name, seen.identities,
				 seen.groups);
		assert_int_equal(result.entries, seen.identities);
	}
}

static void test_next_server(void **state)
{
	static const struct {
		const char *script;
		const char *reason;
		bool asked_twice;
	} cases[] = {
		{ "crash", "all-servers-failed", true },
		{ "says busy", "all-servers-failed", true },
		{ "crash after identities", "worker-died", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct located servers[] = { text(url), text(url) };
		struct seen seen = { 0 };
		struct read_result result;
		assert_int_equal(read_with(cases[i].script, servers, 2, &seen, &result, NULL), 0);
		assert_string_equal(result.reason, cases[i].reason);
		assert_int_equal(strstr(result.detail, "; ") != NULL, cases[i].asked_twice);
	}
}

static void test_server_that_is_not_there(void **state)
{
	const struct located servers[] = { text(dead_url), text(url) };
	struct seen seen = { 0 };
	struct read_result result;

	(void)state;
	assert_int_equal(read_with("good", servers, 2, &seen, &result, NULL), 0);
	assert_true(result.complete);
	assert_string_equal(result.server, url);
	assert_non_null(strstr(result.detail, "connect-failed"));
	assert_int_equal(read_with("good", servers, 1, &seen, &result, NULL), 0);
	assert_string_equal(result.reason, "connect-failed");
	assert_string_equal(result.server, "");
}

static void test_own_failures(void **state)
{
	const struct located server = text(url);
	struct seen failing = { .fail_at = 2 }, cancelled = { .cancel = true };
	struct read_result result = { .entries = 4711 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(read_with("good", &server, 1, &failing, &result, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_int_equal(failing.groups, 0);
	assert_int_equal(read_with("silence", &server, 1, &cancelled, &result, &err), -1);
	assert_int_equal(err.code, ERR_CANCELLED);
	assert_int_equal(result.entries, 4711);
}

static void test_no_server(void **state)
{
	struct seen seen = { 0 };
	struct read_result result;

	(void)state;
	assert_int_equal(read_with("good", NULL, 0, &seen, &result, NULL), 0);
	assert_false(result.complete);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_next_server),
		cmocka_unit_test(test_server_that_is_not_there),
		cmocka_unit_test(test_own_failures),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_sign_in),
		cmocka_unit_test(test_sign_in_by_another_key),
		cmocka_unit_test(test_sign_in_of_nobody),
	};

	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		return worker_main();
	if (getenv("ROLEBRIDGE_VALGRIND")) {
		print_message(
			"skipped: under valgrind /proc/self/exe is valgrind, not this program\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, listen_somewhere, remove_folder);
}
