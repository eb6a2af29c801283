/*
 * The follower against workers that play a script. This program is its own worker: the core starts
 * /proc/self/exe --worker ldap, and the job's key names the script. Each connection begins with a
 * byte that counts them, so that a script knows where in the story it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/ldap.h>

#include "../../../daemon/source/ldap/follower.h"
#include "../../../daemon/source/ldap/protocol.h"

#define LONGEST_US 120000000

/* --- the false worker --- */

enum ending { STAYS, AWAITS, LEAVES, CRASHES };

static void put_identity(struct strbuf *out, const char *key)
{
	size_t begin = message_begin(out, PROTOCOL_IDENTITY);

	record_write_head(out, key, "uid=x", true, false, "", 0, 0);
	record_write_groups(out, NULL, 0);
	message_end(out, begin);
}

static void put_group(struct strbuf *out, uint32_t id, bool found)
{
	const struct protocol_group group = { .id = id, .found = found, .members = found };

	group_encode(&group, out);
}

static void put_groups(struct strbuf *out, const char *key, uint32_t first, uint32_t second)
{
	const uint32_t ids[] = { first, second };
	const struct protocol_groups groups = { key, strlen(key), true, ids, second ? 2 : 1 };

	groups_encode(&groups, out);
}

static void put_gone(struct strbuf *out, const char *key)
{
	key_encode(PROTOCOL_GONE, key, strlen(key), out);
}

static void put_mode(struct strbuf *out, const char *identity)
{
	const struct protocol_mode mode = { FOLLOW_SYNC, "openldap", identity };

	mode_encode(&mode, out);
}

/* A full read of one person. */
static void put_full(struct strbuf *out, const char *key)
{
	const struct protocol_end end = {
		.complete = true, .entries = 1, .reason = "", .detail = ""
	};

	phase_encode(PHASE_USERS, out);
	put_mode(out, "rid1");
	put_identity(out, key);
	put_group(out, 5, true);
	put_group(out, 3, true);
	end_encode(&end, out);
}

static void put_begin(struct strbuf *out)
{
	empty_encode(PROTOCOL_BEGIN, out);
}

static void put_one(struct strbuf *out, const char *key)
{
	put_begin(out);
	put_identity(out, key);
	commit_encode(1, out);
}

static void put_lost(struct strbuf *out)
{
	trouble_encode(PROTOCOL_LOST, "connection-lost", "it was cut", out);
}

static enum ending play_changes(unsigned n, struct strbuf *out)
{
	const struct quarantined entry = { "uid=q", "q", "invalid-utf8", "", "uid=q", false };

	(void)n;
	put_full(out, "a");
	empty_encode(PROTOCOL_PULSE, out);
	put_begin(out);
	put_identity(out, "b");
	put_groups(out, "a", 3, 5);
	put_gone(out, "c");
	quarantine_encode(&entry, out);
	put_group(out, 5, true);
	commit_encode(3, out);
	return STAYS;
}

/* Three batches that wait together. */
static enum ending play_many(unsigned n, struct strbuf *out)
{
	(void)n;
	put_full(out, "a");
	put_one(out, "b");
	put_one(out, "c");
	put_one(out, "d");
	return STAYS;
}

/* What was committed before the cut counts, what was under way does not. */
static enum ending play_cut(unsigned n, struct strbuf *out)
{
	if (n == 1)
		put_full(out, "a");
	put_one(out, n == 1 ? "b" : "d");
	if (n > 1)
		return STAYS;
	put_begin(out);
	put_identity(out, "c");
	put_lost(out);
	return AWAITS;
}

static enum ending play_lost_thrice(unsigned n, struct strbuf *out)
{
	if (n == 1)
		put_full(out, "a");
	if (n == 4) {
		put_mode(out, "rid2");
		put_one(out, "b");
		return STAYS;
	}
	phase_encode(PHASE_BIND, out);
	if (n == 1)
		strbuf_clear(out), put_full(out, "a");
	put_lost(out);
	return AWAITS;
}

/* A batch too large to be held back, cut. */
static enum ending play_large_cut(unsigned n, struct strbuf *out)
{
	char key[1001];

	if (n == 1)
		put_full(out, "a");
	if (n > 1) {
		put_one(out, "b");
		return STAYS;
	}
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	put_begin(out);
	for (size_t i = 0; i < 1200; i++)
		put_gone(out, key);
	put_lost(out);
	return AWAITS;
}

static enum ending play_restart(unsigned n, struct strbuf *out)
{
	put_full(out, n == 1 ? "a" : "b");
	if (n > 1)
		return STAYS;
	put_one(out, "c");
	trouble_encode(PROTOCOL_RESTART, "group-vanished", "", out);
	return LEAVES;
}

static enum ending play_crash(unsigned n, struct strbuf *out)
{
	put_full(out, n == 1 ? "a" : "b");
	if (n == 1)
		put_begin(out), put_identity(out, "c");
	return n == 1 ? CRASHES : STAYS;
}

static enum ending play_incomplete(unsigned n, struct strbuf *out)
{
	const struct protocol_end end = {
		.complete = false, .entries = 1, .reason = "size-limit", .detail = ""
	};

	if (n > 1) {
		put_full(out, "b");
		return STAYS;
	}
	put_identity(out, "a");
	end_encode(&end, out);
	return LEAVES;
}

/* The second worker's read is cut, the first one is still there. */
static enum ending play_beside(unsigned n, struct strbuf *out)
{
	const struct protocol_end end = {
		.complete = false, .entries = 1, .reason = "size-limit", .detail = ""
	};

	if (n != 2) {
		put_full(out, n == 1 ? "a" : "c");
		return STAYS;
	}
	put_identity(out, "b");
	end_encode(&end, out);
	return LEAVES;
}

/* The second worker's read is cut while the first one waits for another connection, and gets it. */
static enum ending play_beside_lost(unsigned n, struct strbuf *out)
{
	if (n == 1) {
		put_full(out, "a");
		put_lost(out);
		return AWAITS;
	}
	if (n == 2)
		return play_beside(n, out);
	put_one(out, "d");
	return STAYS;
}

/* The second worker's is complete: it follows from then on. */
static enum ending play_instead(unsigned n, struct strbuf *out)
{
	if (n == 1)
		return play_beside_lost(n, out);
	put_full(out, "b");
	put_one(out, "d");
	return STAYS;
}

/* Things that no worker may say: a full read by another one follows. */
#define WRONG(name, statements) \
	static enum ending play_##name(unsigned n, struct strbuf *out) \
	{ \
		put_full(out, n == 1 ? "a" : "b"); \
		if (n == 1) { \
			statements; \
		} \
		return STAYS; \
	}

WRONG(outside, put_identity(out, "x"))
WRONG(gone_outside, put_gone(out, "x"))
WRONG(commit_outside, commit_encode(0, out))
WRONG(begin_twice, put_begin(out); put_begin(out))
WRONG(counts, put_begin(out); put_identity(out, "x"); commit_encode(2, out))
WRONG(counts_less, put_begin(out); put_identity(out, "x"); commit_encode(0, out))
WRONG(unasked, put_begin(out); put_groups(out, "x", 4, 0); commit_encode(1, out))
WRONG(vanished, put_begin(out); put_group(out, 5, false); commit_encode(0, out))
WRONG(unasked_group, put_begin(out); put_group(out, 4, true); commit_encode(0, out))
WRONG(second_end, put_full(out, "x"))
WRONG(second_mode, put_mode(out, "rid2"))
WRONG(nonsense, put_begin(out); message_end(out, message_begin(out, 999)))
WRONG(after_lost, put_lost(out); put_begin(out))
WRONG(job_back, message_end(out, message_begin(out, PROTOCOL_JOB)))
WRONG(record, put_begin(out); key_encode(PROTOCOL_IDENTITY, "\xff", 1, out); commit_encode(1, out))

static enum ending play_silent_worker(unsigned n, struct strbuf *out)
{
	put_full(out, n == 1 ? "a" : "b");
	if (n == 1)
		put_lost(out);
	return n == 1 ? AWAITS : STAYS;
}

static enum ending play_quiet(unsigned n, struct strbuf *out)
{
	put_full(out, n == 1 ? "a" : "b");
	return STAYS;
}

/* In a batch of its own: whoever is asked for. */
static enum ending play_fetch(unsigned n, struct strbuf *out)
{
	(void)n;
	put_full(out, "a");
	return STAYS;
}

static const struct script {
	const char *name;
	enum ending (*play)(unsigned n, struct strbuf *out);
	const char *expected;
	uint64_t reconnects, restarts;
} scripts[] = {
	{ "changes", play_changes, "F a g5 g3 E C b a=3,5 -c q g5 . ", 0, 0 },
	{ "many", play_many, "F a g5 g3 E C b c d . ", 0, 0 },
	{ "cut", play_cut, "F a g5 g3 E C b . C d . ", 1, 0 },
	{ "lost thrice", play_lost_thrice, "F a g5 g3 E C b . ", 1, 0 },
	{ "large, cut", play_large_cut, NULL, 1, 0 },
	{ "restart", play_restart, "F a g5 g3 E C c . F b g5 g3 E ", 0, 1 },
	{ "crash", play_crash, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "incomplete", play_incomplete, "F a e:size-limit F b g5 g3 E ", 0, 0 },
	{ "identity outside", play_outside, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "gone outside", play_gone_outside, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "commit outside", play_commit_outside, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "begin twice", play_begin_twice, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "counts", play_counts, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "counts less", play_counts_less, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "groups unasked", play_unasked, "F a g5 g3 E C ! F b g5 g3 E ", 0, 1 },
	{ "group vanished", play_vanished, "F a g5 g3 E C ! F b g5 g3 E ", 0, 1 },
	{ "group unasked", play_unasked_group, "F a g5 g3 E C ! F b g5 g3 E ", 0, 1 },
	{ "second end", play_second_end, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "second mode", play_second_mode, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "nonsense", play_nonsense, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "after lost", play_after_lost, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "job back", play_job_back, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	{ "record of nonsense", play_record, "F a g5 g3 E C ! F b g5 g3 E ", 0, 1 },
	{ "worker silent when resumed", play_silent_worker, "F a g5 g3 E F b g5 g3 E ", 0, 1 },
	/* Not in the table's test. */
	{ "quiet", play_quiet, NULL, 0, 0 },
	{ "fetch", play_fetch, NULL, 0, 0 },
	{ "beside", play_beside, NULL, 0, 0 },
	{ "beside, lost", play_beside_lost, NULL, 0, 0 },
	{ "instead", play_instead, NULL, 0, 0 },
};

static unsigned count_of(int fd)
{
	unsigned char number = 0;

	return read(fd, &number, 1) == 1 ? number : 0;
}

static void answer_fetch(struct message *message)
{
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 16);
	AUTO(strbuf) struct strbuf name = STRBUF(2048);
	const char *key;
	size_t size;

	if (key_decode(&message->body, &key, &size, NULL) < 0)
		_exit(3);
	strbuf_append(&name, key, size);
	put_begin(&out);
	if (strcmp(strbuf_text(&name), "nobody") != 0)
		put_identity(&out, strbuf_text(&name));
	commit_encode(strcmp(strbuf_text(&name), "nobody") != 0, &out);
	message_send(WORKER_SOCKET, &out, -1, NULL);
}

/* Ends without giving back what it has: that is what the kernel is for. */
static void worker_main(void)
{
	struct message_stream *stream = message_stream_create(WORKER_SOCKET, PROTOCOL_JOB_MAX);
	struct arena *arena = arena_create(1 << 20);
	const struct script *script = scripts;
	struct message message;
	struct job job;
	int fd = -1;

	if (message_receive(stream, 0, &message, &fd, NULL) != 1 ||
	    job_decode(&message.body, arena, &job, NULL) < 0 || job.follow != FOLLOW_AUTO)
		_exit(2);
	while (strcmp(script->name, job.key) != 0)
		script++;
	for (;;) {
		struct strbuf out = STRBUF(8 << 20);
		enum ending ending = script->play(count_of(fd), &out);
		message_send(WORKER_SOCKET, &out, -1, NULL);
		strbuf_finish(&out);
		if (ending == CRASHES)
			raise(SIGKILL);
		if (ending == LEAVES)
			_exit(0);
		do {
			if (message_receive(stream, 0, &message, &fd, NULL) != 1)
				_exit(0);
			if (message.type == PROTOCOL_FETCH)
				answer_fetch(&message);
		} while (message.type != PROTOCOL_RESUME || ending != AWAITS);
		/* Never says another word on its new connection. */
		if (strcmp(script->name, "worker silent when resumed") == 0)
			pause();
	}
}

/* --- the core --- */

static char folder[] = "/tmp/rolebridge-follower-XXXXXX";
static char url[128], dead_url[160], password[64];
static int listener;
static unsigned connections;

struct seen {
	struct strbuf log;
	const char *expected; /* end when the log is as long; NULL: when `until` says */
	bool (*until)(struct seen *seen);
	int64_t end_us;
	const char *fail_at; /* the callback that would log this fails once */
	enum follow_wish wishes[4];
	const char *fetch;
	size_t wished;
	size_t wish_after; /* size of the log from which on wishes are told */
	bool wish_lost;	   /* not before the connection is lost */
	const char *wanted[4];
	size_t wanted_told;
	unsigned busy;	    /* so often the intake is not ready for a run's end */
	bool until_resumed; /* and as long as nothing was reconnected */
	struct follow_state state;
	char problem[512], identity[64];
	int wake_fd;
	bool may_fail, failed; /* for want of memory, after so many pieces */
	long memory;
	bool rotate; /* once connected: replace the password file and kill the connection */
};

static int note(struct seen *seen, struct err *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int note(struct seen *seen, struct err *err, const char *format, ...)
{
	char text[1100];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (seen->fail_at && strcmp(text, seen->fail_at) == 0) {
		seen->fail_at = NULL;
		strbuf_puts(&seen->log, "# ");
		return err_set(err, ERR_IO, "disk full");
	}
	strbuf_printf(&seen->log, "%s ", text);
	return 0;
}

static int see_begin(void *context, bool full, struct err *err)
{
	return note(context, err, full ? "F" : "C");
}

static int see_identity(void *context, const void *record, size_t size, struct err *err)
{
	const char *key;
	size_t key_size;

	assert_int_equal(record_key(record, size, &key, &key_size, NULL), 0);
	return note(context, err, "%.*s", (int)key_size, key);
}

static int see_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	return note(context, err, "%s", entry->key);
}

static int see_group(void *context, uint32_t id, bool found, uint64_t members, struct err *err)
{
	assert_true(found && members == 1);
	return note(context, err, "g%u", (unsigned)id);
}

static int see_groups(void *context, const char *key, size_t key_size, const uint32_t *ids,
		      size_t count, bool complete, struct err *err)
{
	assert_true(complete && count == 2);
	return note(context, err, "%.*s=%u,%u", (int)key_size, key, (unsigned)ids[0],
		    (unsigned)ids[1]);
}

static int see_gone(void *context, const char *key, size_t key_size, struct err *err)
{
	return note(context, err, "-%.*s", key_size > 8 ? 1 : (int)key_size, key);
}

static int see_end(void *context, const struct read_result *result, struct err *err)
{
	if (!result)
		return note(context, err, ".");
	if (result->complete)
		return note(context, err, "E");
	return note(context, err, "e:%s", result->reason);
}

static int see_ready(void *context, struct err *err)
{
	struct seen *seen = context;

	if (seen->fail_at && strcmp(seen->fail_at, "ready") == 0)
		return note(seen, err, "ready");
	if (seen->until_resumed)
		return seen->state.reconnects > 0;
	if (seen->busy == 0)
		return 1;
	seen->busy--;
	return 0;
}

static void see_fetched(void *context)
{
	note(context, NULL, "f");
}

static void see_abort(void *context)
{
	note(context, NULL, "!");
}

static void see_state(void *context, const struct follow_state *state)
{
	struct seen *seen = context;

	seen->state = *state;
	snprintf(seen->problem, sizeof(seen->problem), "%s", state->problem);
	snprintf(seen->identity, sizeof(seen->identity), "%s", state->identity);
}

static bool see_cancelled(void *context)
{
	struct seen *seen = context;

	if (clock_monotonic_us() >= seen->end_us)
		return true;
	if (seen->until)
		return seen->until(seen);
	return seen->expected && seen->log.size >= strlen(seen->expected);
}

static enum follow_wish see_wish(void *context, const char **ret_key)
{
	struct seen *seen = context;
	uint64_t count;

	(void)!read(seen->wake_fd, &count, sizeof(count));
	if (seen->log.size < seen->wish_after || seen->wished >= ARRAY_LEN(seen->wishes) ||
	    (seen->wish_lost && seen->state.connected))
		return FOLLOW_ON;
	*ret_key = seen->fetch;
	return seen->wishes[seen->wished++];
}

static const char *see_wanted(void *context)
{
	struct seen *seen = context;

	if (seen->log.size < seen->wish_after || seen->wanted_told >= ARRAY_LEN(seen->wanted))
		return NULL;
	return seen->wanted[seen->wanted_told++];
}

static void *accept_all(void *context)
{
	(void)context;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		unsigned char number;
		if (fd < 0)
			return NULL;
		number = (unsigned char)__atomic_add_fetch(&connections, 1, __ATOMIC_SEQ_CST);
		(void)!write(fd, &number, 1);
		/* The worker's end closes it. */
		close(fd);
	}
}

static pthread_t acceptor;

static void write_password(const char *text)
{
	char fresh[80];
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.new", password);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	(void)!write(fd, text, strlen(text));
	close(fd);
	rename(fresh, password);
}

static int listen_somewhere(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/ldapi", folder);
	snprintf(url, sizeof(url), "ldapi://%%2Ftmp%%2F%s%%2Fldapi", folder + strlen("/tmp/"));
	snprintf(dead_url, sizeof(dead_url), "%s-gone", url);
	snprintf(password, sizeof(password), "%s/password", folder);
	write_password("first");
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 100) < 0)
		return -1;
	return pthread_create(&acceptor, NULL, accept_all, NULL);
}

static int remove_folder(void **state)
{
	char path[sizeof(folder) + 16];

	(void)state;
	shutdown(listener, SHUT_RDWR);
	pthread_join(acceptor, NULL);
	close(listener);
	snprintf(path, sizeof(path), "%s/ldapi", folder);
	unlink(path);
	unlink(password);
	return rmdir(folder);
}

static struct located text(const char *value)
{
	return (struct located){ .text = value };
}

static void follow(const char *script, struct seen *seen, const struct located *servers,
		   size_t server_count, int64_t interval_s)
{
	static const struct wanted_attribute wanted[] = { { "cn", "cn" } };
	static const struct wanted_group groups[] = { { 5, "cn=a" }, { 3, "cn=b" } };
	const struct ldap_source source = {
		.common = { .name = text("corp"), .interval_s = interval_s },
		.servers = { server_count, servers },
		.bind = { .method = LDAP_SOURCE_BIND_SIMPLE,
			  .dn = text("cn=reader"),
			  .password_file = text(password) },
		.users = { .base = text("ou=p"), .filter = text("(a=*)"), .key = text(script) },
		.groups.filter = text("(b=*)"),
		.page_size = 100,
		.timeouts = { .connect_s = 10, .answer_s = 10, .total_s = 60 },
		.follow = { .mode = FOLLOW_AUTO, .poll_s = 1, .keepalive_s = 30 },
	};
	const struct follow_intake intake = { .context = seen,
					      .begin = see_begin,
					      .identity = see_identity,
					      .quarantine = see_quarantine,
					      .group = see_group,
					      .groups = see_groups,
					      .gone = see_gone,
					      .end = see_end,
					      .ready = see_ready,
					      .fetched = see_fetched,
					      .abort = see_abort,
					      .state = see_state,
					      .cancelled = see_cancelled,
					      .wish = see_wish,
					      .wanted = see_wanted,
					      .wake_fd = seen->wake_fd };
	struct err err = { 0 };

	seen->log = STRBUF(1 << 20);
	seen->end_us = clock_monotonic_us() + LONGEST_US;
	connections = 0;
	/* Its own memory is not what is tried. */
	strbuf_reserve(&seen->log, 1 << 16);
	if (seen->may_fail)
		alloc_fail_after(seen->memory);
	if (ldap_source_follow(&source, wanted, 1, groups, 2, &intake, &err) == 0)
		return;
	seen->failed = true;
	if (!seen->may_fail || err.code != ERR_MEMORY)
		fail_msg("%s: %s", script, err.text);
}

static void test_scripts(void **state)
{
	const struct located server = text(url);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		const struct script *script = &scripts[i];
		struct seen seen = { .expected = script->expected, .wake_fd = -1 };
		if (!script->expected)
			continue;
		follow(script->name, &seen, &server, 1, 3600);
		if (strcmp(strbuf_text(&seen.log), script->expected) != 0)
			fail_msg("%s: '%s' (%s)", script->name, strbuf_text(&seen.log),
				 seen.problem);
		if (seen.state.reconnects != script->reconnects ||
		    seen.state.restarts != script->restarts)
			fail_msg("%s: %u reconnects, %u restarts", script->name,
				 (unsigned)seen.state.reconnects, (unsigned)seen.state.restarts);
		strbuf_finish(&seen.log);
	}
}

static bool second_batch(struct seen *seen)
{
	return strstr(strbuf_text(&seen->log), "C b . ") != NULL;
}

static void test_a_large_batch_is_aborted_when_cut(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .until = second_batch, .wake_fd = -1 };

	(void)state;
	follow("large, cut", &seen, &server, 1, 3600);
	assert_non_null(strstr(strbuf_text(&seen.log), "F a g5 g3 E C -k -k "));
	assert_non_null(strstr(strbuf_text(&seen.log), "-k ! C b . "));
	strbuf_finish(&seen.log);
}

static void test_state(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .expected = "F a g5 g3 E C b . ", .wake_fd = -1 };

	(void)state;
	follow("lost thrice", &seen, &server, 1, 3600);
	assert_true(seen.state.connected);
	assert_string_equal(seen.problem, "");
	assert_string_equal(seen.identity, "rid2");
	assert_true(seen.state.full_s > 0 && seen.state.change_s > 0 && seen.state.contact_s > 0);
	assert_int_equal(seen.state.batches, 1);
	assert_int_equal(seen.state.changes, 1);
	assert_true(seen.state.lag_us > 0);
	strbuf_finish(&seen.log);
}

static void test_next_server(void **state)
{
	const struct located servers[] = { text(dead_url), text(url) };
	struct seen seen = { .expected = "F a g5 g3 E C b . C d . ", .wake_fd = -1 };

	(void)state;
	follow("cut", &seen, servers, 2, 3600);
	assert_string_equal(strbuf_text(&seen.log), seen.expected);
	strbuf_finish(&seen.log);
}

static bool some_time(struct seen *seen)
{
	return seen->end_us - clock_monotonic_us() < LONGEST_US - 700000;
}

static void test_no_server_is_told_once(void **state)
{
	const struct located server = text(dead_url);
	struct seen seen = { .until = some_time, .wake_fd = -1 };

	(void)state;
	follow("quiet", &seen, &server, 1, 3600);
	assert_string_equal(strbuf_text(&seen.log), "F e:connect-failed ");
	assert_non_null(strstr(seen.problem, "connect-failed"));
	assert_false(seen.state.connected);
	strbuf_finish(&seen.log);
}

static bool told_changes(struct seen *seen)
{
	return strstr(strbuf_text(&seen->log), "C b a=3,5 -c q g5 . ") != NULL;
}

static void test_failed_callbacks(void **state)
{
	static const struct {
		const char *script, *fail_at, *expected;
	} cases[] = {
		{ "quiet", "F", "# F b g5 g3 E " },
		{ "quiet", "a", "F # ! F b g5 g3 E " },
		{ "quiet", "g5", "F a # ! F b g5 g3 E " },
		{ "quiet", "E", "F a g5 g3 # F b g5 g3 E " },
		{ "changes", "C", "F a g5 g3 E # F a g5 g3 E C b a=3,5 -c q g5 . " },
		{ "changes", "-c", "F a g5 g3 E C b a=3,5 # ! F a g5 g3 E C b a=3,5 -c q g5 . " },
		{ "changes", "ready",
		  "F a g5 g3 E C b a=3,5 -c q g5 # ! F a g5 g3 E C b a=3,5 -c q g5 . " },
		{ "changes", ".",
		  "F a g5 g3 E C b a=3,5 -c q g5 # F a g5 g3 E C b a=3,5 -c q g5 . " },
	};
	const struct located server = text(url);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seen seen = { .expected = cases[i].expected,
				     .fail_at = cases[i].fail_at,
				     .wake_fd = -1 };
		follow(cases[i].script, &seen, &server, 1, 3600);
		if (strcmp(strbuf_text(&seen.log), cases[i].expected) != 0)
			fail_msg("%s: '%s'", cases[i].fail_at, strbuf_text(&seen.log));
		strbuf_finish(&seen.log);
	}
}

/* Memory that is missing once costs a full read at most, and never a change. */
static void test_memory_fails_once(void **state)
{
	static const char *const whole = "C b a=3,5 -c q g5 . ";
	const struct located server = text(url);
	bool failed = true;

	(void)state;
	for (long n = 0; failed && n < 200; n++) {
		struct seen seen = { .until = told_changes, .wake_fd = -1 };
		seen.may_fail = true;
		seen.memory = n;
		follow("changes", &seen, &server, 1, 3600);
		failed = alloc_fail_after(-1) < 0;
		if (!seen.failed && !strstr(strbuf_text(&seen.log), whole))
			fail_msg("%ld: '%s' (%s)", n, strbuf_text(&seen.log), seen.problem);
		strbuf_finish(&seen.log);
	}
	assert_false(failed);
}

static void test_interval(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .expected = "F a g5 g3 E F b g5 g3 E F b g5 g3 E ", .wake_fd = -1 };

	(void)state;
	follow("quiet", &seen, &server, 1, 1);
	assert_string_equal(strbuf_text(&seen.log), seen.expected);
	assert_int_equal(seen.state.restarts, 0);
	strbuf_finish(&seen.log);
}

static void test_wishes(void **state)
{
	const struct located server = text(url);
	struct seen full = { .expected = "F a g5 g3 E F b g5 g3 E ",
			     .wishes = { FOLLOW_FULL },
			     .wish_after = strlen("F a g5 g3 E "),
			     .wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct seen fetch = { .expected = "F a g5 g3 E C f d . ",
			      .wishes = { FOLLOW_FETCH },
			      .fetch = "d",
			      .wish_after = strlen("F a g5 g3 E "),
			      .wake_fd = -1 };
	struct seen nobody = { .expected = "F a g5 g3 E C f . ",
			       .wishes = { FOLLOW_FETCH },
			       .fetch = "nobody",
			       .wish_after = strlen("F a g5 g3 E "),
			       .wake_fd = -1 };

	(void)state;
	follow("quiet", &full, &server, 1, 3600);
	assert_string_equal(strbuf_text(&full.log), full.expected);
	follow("fetch", &fetch, &server, 1, 3600);
	assert_string_equal(strbuf_text(&fetch.log), fetch.expected);
	follow("fetch", &nobody, &server, 1, 3600);
	assert_string_equal(strbuf_text(&nobody.log), nobody.expected);
	strbuf_finish(&full.log);
	strbuf_finish(&fetch.log);
	strbuf_finish(&nobody.log);
	close(full.wake_fd);
}

static void test_read_that_fails_ends_nothing(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .expected = "F a g5 g3 E F b e:size-limit C f d . F c g5 g3 E ",
			     .wishes = { FOLLOW_FULL, FOLLOW_FETCH },
			     .fetch = "d",
			     .wish_after = strlen("F a g5 g3 E "),
			     .wake_fd = -1 };

	(void)state;
	follow("beside", &seen, &server, 1, 3600);
	assert_string_equal(strbuf_text(&seen.log), seen.expected);
	assert_int_equal(seen.state.restarts, 0);
	assert_int_equal(seen.state.reconnects, 0);
	assert_true(seen.state.connected);
	assert_string_equal(seen.problem, "");
	strbuf_finish(&seen.log);
}

/* Also while it has no connection: another worker may fail, and what this one knows is what it can resume by. */
static void test_wish_while_lost(void **state)
{
	const struct located server = text(url);
	struct seen kept = { .expected = "F a g5 g3 E F b e:size-limit C d . ",
			     .wishes = { FOLLOW_FULL },
			     .wish_after = strlen("F a g5 g3 E "),
			     .wish_lost = true,
			     .wake_fd = -1 };
	struct seen replaced = { .expected = "F a g5 g3 E F b g5 g3 E C d . ",
				 .wishes = { FOLLOW_FULL },
				 .wish_after = strlen("F a g5 g3 E "),
				 .wish_lost = true,
				 .wake_fd = -1 };

	(void)state;
	follow("beside, lost", &kept, &server, 1, 3600);
	assert_string_equal(strbuf_text(&kept.log), kept.expected);
	assert_int_equal(kept.state.reconnects, 1);
	assert_int_equal(kept.state.restarts, 0);
	follow("instead", &replaced, &server, 1, 3600);
	assert_string_equal(strbuf_text(&replaced.log), replaced.expected);
	assert_int_equal(replaced.state.reconnects, 0);
	assert_int_equal(replaced.state.restarts, 0);
	assert_true(replaced.state.connected);
	strbuf_finish(&kept.log);
	strbuf_finish(&replaced.log);
}

static bool told_wanted(struct seen *seen)
{
	const char *log = strbuf_text(&seen->log);

	return strstr(log, "d ") && strstr(log, "x ") && log[seen->log.size - 2] == '.';
}

/* Others who are to be told as a whole, in one go; and somebody asked for, whose answer is their own. */
static void test_wanted(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .until = told_wanted,
			     .wanted = { "d", "nobody", "x" },
			     .wish_after = strlen("F a g5 g3 E "),
			     .wake_fd = -1 };
	struct seen both = { .until = told_wanted,
			     .wanted = { "d" },
			     .wishes = { FOLLOW_FETCH },
			     .fetch = "x",
			     .wish_after = strlen("F a g5 g3 E "),
			     .wake_fd = -1 };

	(void)state;
	follow("fetch", &seen, &server, 1, 3600);
	assert_null(strstr(strbuf_text(&seen.log), "nobody"));
	assert_null(strstr(strbuf_text(&seen.log), "f "));
	assert_int_equal(seen.wanted_told, 4);
	assert_int_equal(seen.state.restarts, 0);
	follow("fetch", &both, &server, 1, 3600);
	assert_non_null(strstr(strbuf_text(&both.log), "C f x . "));
	strbuf_finish(&seen.log);
	strbuf_finish(&both.log);
}

/* A run whose end would wait stays open: what comes meanwhile joins it, also over another connection. */
static void test_postponed(void **state)
{
	const struct located server = text(url);
	struct seen many = { .expected = "F a g5 g3 E C b c d . ", .busy = 5, .wake_fd = -1 };
	struct seen cut = { .expected = "F a g5 g3 E C b d . ",
			    .until_resumed = true,
			    .wake_fd = -1 };

	(void)state;
	follow("many", &many, &server, 1, 3600);
	assert_string_equal(strbuf_text(&many.log), many.expected);
	assert_int_equal(many.busy, 0);
	follow("cut", &cut, &server, 1, 3600);
	assert_string_equal(strbuf_text(&cut.log), cut.expected);
	assert_int_equal(cut.state.reconnects, 1);
	strbuf_finish(&many.log);
	strbuf_finish(&cut.log);
}

/* The file is another one when the connection is lost: another worker has to read it. */
static bool replace_password(struct seen *seen)
{
	if (!seen->rotate && strstr(strbuf_text(&seen->log), "E ")) {
		seen->rotate = true;
		write_password("second");
	}
	return seen->log.size >= strlen("F a g5 g3 E F b g5 g3 E ");
}

static void test_replaced_password(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .until = replace_password, .wake_fd = -1 };

	(void)state;
	follow("worker silent when resumed", &seen, &server, 1, 3600);
	assert_string_equal(strbuf_text(&seen.log), "F a g5 g3 E F b g5 g3 E ");
	strbuf_finish(&seen.log);
}

static bool at_once(struct seen *seen)
{
	if (strstr(strbuf_text(&seen->log), "E ") &&
	    seen->end_us > clock_monotonic_us() + LONGEST_US / 2)
		seen->end_us = clock_monotonic_us() + 1;
	return false;
}

static void test_cancelled_soon(void **state)
{
	const struct located server = text(url);
	struct seen seen = { .until = at_once, .wake_fd = -1 };

	(void)state;
	follow("quiet", &seen, &server, 1, 3600);
	assert_true(clock_monotonic_us() - seen.end_us < LONGEST_US / 2);
	strbuf_finish(&seen.log);
}

static void test_backoff(void **state)
{
	static const struct {
		const char *name;
		unsigned failures;
		size_t width;
		uint32_t chance;
		int64_t expected;
	} cases[] = {
		{ "none", 0, 1, UINT32_MAX, 0 },
		{ "first, least", 1, 1, 0, 50 },
		{ "first, most", 1, 1, UINT32_MAX, 100 },
		{ "second", 2, 1, UINT32_MAX, 200 },
		{ "of two servers the second", 2, 2, UINT32_MAX, 100 },
		{ "of two servers the first again", 3, 2, UINT32_MAX, 200 },
		{ "cap", 7, 1, UINT32_MAX, 1000 },
		{ "cap, least", 7, 1, 0, 500 },
		{ "very many", UINT_MAX, 1, UINT32_MAX, 1000 },
		{ "no server", 3, 0, UINT32_MAX, 400 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t got =
			backoff_us(cases[i].failures, cases[i].width, 100, 1000, cases[i].chance);
		if (got != cases[i].expected)
			fail_msg("%s: %lld", cases[i].name, (long long)got);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_a_large_batch_is_aborted_when_cut),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_next_server),
		cmocka_unit_test(test_no_server_is_told_once),
		cmocka_unit_test(test_failed_callbacks),
		cmocka_unit_test(test_memory_fails_once),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_read_that_fails_ends_nothing),
		cmocka_unit_test(test_wish_while_lost),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_postponed),
		cmocka_unit_test(test_replaced_password),
		cmocka_unit_test(test_cancelled_soon),
		cmocka_unit_test(test_backoff),
	};

	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		worker_main();
	/* The acceptor writes to connections that nobody took. */
	signal(SIGPIPE, SIG_IGN);
	if (getenv("ROLEBRIDGE_VALGRIND")) {
		print_message(
			"skipped: under valgrind /proc/self/exe is valgrind, not this program\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, listen_somewhere, remove_folder);
}
