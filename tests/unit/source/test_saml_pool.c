/*
 * The pool with real workers. This program is its own worker: the pool starts
 * /proc/self/exe --worker saml, locked up as in the daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/identity/record.h>
#include <rolebridge/source/saml.h>

#include "saml_support.h"
#include "support.h"

static struct world world;

static struct saml_pool *make_pool(void)
{
	struct err err = { 0 };
	struct saml_pool *pool = saml_pool_create(&world.settings, &world.provider, 1, &err);

	if (!pool)
		fail_msg("%s", err.text);
	return pool;
}

static int verify(struct saml_pool *pool, const struct saml_make *make, struct arena *arena,
		  struct saml_assertion *assertion, struct saml_refusal *refusal, struct err *err)
{
	const struct saml_question question = world_question();
	char *encoded = saml_make_encoded(make);
	const struct saml_message message = world_message(encoded);
	int status = saml_pool_verify(pool, &question, &message, arena, assertion, refusal, err);

	free(encoded);
	return status;
}

/* --- what is accepted, by both verifiers --- */

static const struct {
	const char *name;
	unsigned signatures;
	bool encrypt, cbc;
	const char *reason; /* "": verified */
} responses[] = {
	{ "assertion signed", SAML_MAKE_ASSERTION, false, false, "" },
	{ "response signed", SAML_MAKE_RESPONSE, false, false, "" },
	{ "both signed", SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE, false, false, "" },
	{ "assertion signed, encrypted, GCM", SAML_MAKE_ASSERTION, true, false, "" },
	{ "both signed, encrypted, GCM", SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE, true, false,
	  "" },
	{ "response signed, encrypted, GCM", SAML_MAKE_RESPONSE, true, false, "" },
	{ "both signed, encrypted, CBC", SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE, true, true, "" },
	{ "nothing signed", 0, false, false, "signature-missing" },
};

static void check_responses(int verification)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct saml_pool *pool;

	world.settings.verification = verification;
	pool = make_pool();
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		struct saml_make make = world_response(&world, i + 1);
		struct saml_assertion assertion = { 0 };
		struct saml_refusal refusal = { 0 };
		struct err err = { 0 };
		int status;
		make.signatures = responses[i].signatures;
		make.encrypt_to = responses[i].encrypt ? &world.sp : NULL;
		make.cbc = responses[i].cbc;
		status = verify(pool, &make, arena, &assertion, &refusal, &err);
		if (status < 0 || strcmp(refusal.reason, responses[i].reason) != 0)
			fail_msg("%s: %d %s (%s) %s", responses[i].name, status, refusal.reason,
				 refusal.detail, err.text);
		if (status > 0)
			continue;
		assert_string_equal(assertion.name_id, "person");
		assert_string_equal(assertion.in_response_to, "_request");
		assert_string_equal(assertion.issuer, IDP_ENTITY);
	}
	saml_pool_release(pool);
	world.settings.verification = SAML_VERIFY_AGREE;
}

static void test_agree(void **state)
{
	(void)state;
	check_responses(SAML_VERIFY_AGREE);
}

static void test_fast(void **state)
{
	(void)state;
	check_responses(SAML_VERIFY_FAST);
}

/* --- the sandbox, as the kernel sees it --- */

static void read_status(pid_t pid, const char *name, char *ret_value, size_t size)
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	*ret_value = '\0';
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			snprintf(ret_value, size, "%.*s",
				 (int)strcspn(line + strlen(name) + 2, "\n"),
				 line + strlen(name) + 2);
	fclose(file);
}

static size_t count_files(pid_t pid)
{
	char path[64];
	size_t count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	folder = opendir(path);
	if (!folder)
		return 0;
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2;
}

static void test_sandbox(void **state)
{
	struct saml_pool *pool = make_pool();
	char value[64];
	pid_t pid = 0;

	(void)state;
	assert_int_equal(saml_pool_pids(pool, &pid, 1), 1);
	read_status(pid, "Seccomp", value, sizeof(value));
	assert_string_equal(value, "2");
	read_status(pid, "NoNewPrivs", value, sizeof(value));
	assert_string_equal(value, "1");
	/* Not dumpable: only root may look. Standard streams and the socket. */
	if (geteuid() == 0)
		assert_true(count_files(pid) <= 4);
	saml_pool_release(pool);
	assert_int_equal(kill(pid, 0), -1);
}

/* --- deaths --- */

/* Kills the worker in mid-job: it is stopped before, so that the job waits in it. */
struct killer {
	struct saml_pool *pool;
	pid_t pid;
	int signal;
};

static void *kill_when_busy(void *context)
{
	struct killer *killer = context;
	struct saml_pool_counts counts = { 0 };

	while (counts.busy == 0)
		saml_pool_counts(killer->pool, &counts);
	kill(killer->pid, killer->signal);
	kill(killer->pid, SIGCONT);
	return NULL;
}

/* False: it died before it had heard of the job, which another one did then. */
static bool died_with_a_job(int signal_number)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct killer killer = { .pool = make_pool(), .signal = signal_number };
	struct saml_make make = world_response(&world, 1);
	struct saml_assertion assertion;
	struct saml_refusal refusal;
	struct saml_pool_counts counts;
	struct err err = { 0 };
	pthread_t thread;
	int status;

	assert_int_equal(saml_pool_pids(killer.pool, &killer.pid, 1), 1);
	kill(killer.pid, SIGSTOP);
	assert_int_equal(pthread_create(&thread, NULL, kill_when_busy, &killer), 0);
	status = verify(killer.pool, &make, arena, &assertion, &refusal, &err);
	pthread_join(thread, NULL);
	if (status == 0) {
		saml_pool_release(killer.pool);
		return false;
	}
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err_reason(&err), "worker-died");
	/* The next one is served by a new worker. */
	assert_int_equal(verify(killer.pool, &make, arena, &assertion, &refusal, &err), 0);
	saml_pool_counts(killer.pool, &counts);
	assert_int_equal(counts.deaths, 1);
	assert_int_equal(counts.jobs, 2);
	assert_non_null(strstr(counts.last_death, "signal"));
	saml_pool_release(killer.pool);
	return true;
}

/* Busy is who is about to be told of the job, too, which cannot be seen from here: another try then. */
static void die_with(int signal_number)
{
	int tries = 0;

	while (!died_with_a_job(signal_number))
		assert_true(++tries < 30);
}

static void test_sigkill(void **state)
{
	(void)state;
	die_with(SIGKILL);
}

static void test_sigsegv(void **state)
{
	(void)state;
#ifdef RB_SANITIZE
	skip(); /* its handler turns the signal into an exit */
#endif
	die_with(SIGSEGV);
}

/* What we ask for ourselves did not kill it: whoever asked is answered by the next one. */
static void test_own_question_survives(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct killer killer = { .pool = make_pool(), .signal = SIGKILL };
	struct saml_pool_counts counts;
	struct err err = { 0 };
	const char *xml = NULL;
	pthread_t thread;

	(void)state;
	assert_int_equal(saml_pool_pids(killer.pool, &killer.pid, 1), 1);
	kill(killer.pid, SIGSTOP);
	assert_int_equal(pthread_create(&thread, NULL, kill_when_busy, &killer), 0);
	if (saml_pool_metadata(killer.pool, 0, arena, &xml, &err) < 0)
		fail_msg("%s", err.text);
	pthread_join(thread, NULL);
	assert_non_null(strstr(xml, "EntityDescriptor"));
	saml_pool_counts(killer.pool, &counts);
	assert_int_equal(counts.deaths, 1);
	saml_pool_release(killer.pool);
}

/* A worker that dies while nobody waits for it costs no job at all. */
static void test_idle_death(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct saml_pool *pool = make_pool();
	struct saml_make make = world_response(&world, 1);
	struct saml_assertion assertion;
	struct saml_refusal refusal;
	struct err err = { 0 };
	pid_t pid;

	(void)state;
	for (int i = 0; i < 3; i++) {
		/* The next one may not be there yet. */
		while (saml_pool_pids(pool, &pid, 1) == 0)
			;
		kill(pid, SIGKILL);
		if (verify(pool, &make, arena, &assertion, &refusal, &err) != 0 &&
		    strcmp(err_reason(&err), "worker-died") != 0)
			fail_msg("%s", err.text);
	}
	saml_pool_release(pool);
}

static pid_t wait_for_worker(struct saml_pool *pool, pid_t not_this)
{
	pid_t pid = 0;

	while (saml_pool_pids(pool, &pid, 1) == 0 || pid == not_this)
		sched_yield();
	return pid;
}

/* --- nothing stays as it is because nobody asks --- */

#define PATIENCE_US ((int64_t)60 * 1000000)

/* All workers run, and none of them is one of those; fails when that does not come. */
static void wait_for_others(struct saml_pool *pool, const pid_t not_these[static 2],
			    pid_t ret_pids[static 2])
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	while (saml_pool_pids(pool, ret_pids, 2) < 2 || ret_pids[0] == not_these[0] ||
	       ret_pids[1] == not_these[1]) {
		if (clock_monotonic_us() > until_us)
			fail_msg("a dead worker has no successor");
		sched_yield();
	}
}

static void wait_for_counts(struct saml_pool *pool, uint64_t busy, uint64_t deaths)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	struct saml_pool_counts counts = { 0 };

	do {
		saml_pool_counts(pool, &counts);
		if (clock_monotonic_us() > until_us)
			fail_msg("busy %d, deaths %d", (int)counts.busy, (int)counts.deaths);
		sched_yield();
	} while (counts.busy != busy || counts.deaths < deaths);
}

static void *ask_metadata(void *context)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const char *xml;

	return saml_pool_metadata(context, 0, arena, &xml, NULL) == 0 ? context : NULL;
}

/* False: the machine was so slow that the job was given up meanwhile. */
static bool died_after_a_job(void)
{
	pid_t first[2], second[2], none[2] = { 0 };
	struct saml_pool *pool = make_pool();
	struct saml_pool_counts counts = { 0 };
	pthread_t thread;
	void *answered = NULL;

	wait_for_others(pool, none, first);
	kill(first[0], SIGSTOP);
	assert_int_equal(pthread_create(&thread, NULL, ask_metadata, pool), 0);
	wait_for_counts(pool, 1, 0);
	/* Wakes the keeper, which then sleeps again. */
	kill(first[1], SIGKILL);
	wait_for_others(pool, (pid_t[]){ 0, first[1] }, second);
	kill(first[0], SIGCONT);
	pthread_join(thread, &answered);
	saml_pool_counts(pool, &counts);
	if (counts.timeouts > 0) {
		saml_pool_release(pool);
		return false;
	}
	assert_int_equal(second[0], first[0]);
	assert_ptr_equal(answered, pool);
	kill(first[0], SIGKILL);
	wait_for_others(pool, (pid_t[]){ first[0], 0 }, second);
	wait_for_counts(pool, 0, 2);
	saml_pool_release(pool);
	return true;
}

/*
 * The keeper goes to sleep while one worker is busy. That one answers, becomes idle and dies: nobody asks it
 * anything, and yet it is reaped and has a successor.
 */
static void test_death_after_a_job(void **state)
{
	int tries = 0;

	(void)state;
	world.settings.workers = 2;
	while (!died_after_a_job())
		assert_true(++tries < 10);
	world.settings.workers = 1;
}

/* The next worker that starts stops before it does anything. */
static void let_one_hang(void)
{
	support_write("hung", "", 0);
	support_write("hang", "", 0);
}

static pid_t wait_for_hanging(void)
{
	char path[512];
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	long pid = 0;
	char dot = 0;

	snprintf(path, sizeof(path), "%s/hung", support_folder());
	while (dot != '.') {
		FILE *file = fopen(path, "re");
		if (file && fscanf(file, "%ld%c", &pid, &dot) != 2)
			dot = 0;
		if (file)
			fclose(file);
		if (clock_monotonic_us() > until_us)
			fail_msg("no worker hangs");
		sched_yield();
	}
	return (pid_t)pid;
}

static void hang_if_told(void)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char from[512], to[512], text[32];
	FILE *file;

	if (!folder)
		return;
	snprintf(from, sizeof(from), "%s/hang", folder);
	snprintf(to, sizeof(to), "%s/hung", folder);
	/* For one only. */
	if (unlink(from) < 0)
		return;
	snprintf(text, sizeof(text), "%ld.", (long)getpid());
	file = fopen(to, "we");
	if (file) {
		fputs(text, file);
		fclose(file);
	}
	raise(SIGSTOP);
}

/* A start that takes long holds up no other: the one that died beside it is back before. */
static void test_start_that_hangs(void **state)
{
	pid_t first[2], second[2], none[2] = { 0 }, hanging;
	struct saml_pool *pool;

	(void)state;
	world.settings.workers = 2;
	pool = make_pool();
	wait_for_others(pool, none, first);
	let_one_hang();
	kill(first[0], SIGKILL);
	hanging = wait_for_hanging();
	kill(first[1], SIGKILL);
	/* One alone runs by now, of the second slot. */
	do
		sched_yield();
	while (saml_pool_pids(pool, second, 2) != 1 || second[0] == first[1]);
	assert_int_equal(kill(hanging, 0), 0);
	/* Killed while it starts, it is tried again. */
	kill(hanging, SIGKILL);
	wait_for_others(pool, first, second);
	/* Nor does one hold up the end. */
	let_one_hang();
	kill(second[0], SIGKILL);
	hanging = wait_for_hanging();
	saml_pool_release(pool);
	assert_int_equal(kill(hanging, 0), -1);
	world.settings.workers = 1;
}

/* Each death in a row makes the next start wait longer: 0, 100, 200, 400 ms … */
static void test_crash_loop(void **state)
{
	struct saml_pool *pool = make_pool();
	int64_t begin_us = clock_monotonic_us();
	struct saml_pool_counts counts;
	pid_t pid = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		pid = wait_for_worker(pool, pid);
		kill(pid, SIGKILL);
	}
	wait_for_worker(pool, pid);
	assert_true(clock_monotonic_us() - begin_us >= 300000);
	saml_pool_counts(pool, &counts);
	assert_int_equal(counts.deaths, 3);
	saml_pool_release(pool);
}

/* Keys that went away keep workers from starting; whoever comes is told, and told at once. */
static void test_no_restart(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct saml_settings settings = world.settings;
	const char *key = support_write("gone.key", "", 0), *xml;
	struct saml_pool_counts counts = { 0 };
	struct saml_pool *pool;
	struct err err = { 0 };
	int64_t begin_us;

	(void)state;
	saml_pair_write(&world.sp, NULL, key);
	assert_int_equal(chmod(key, 0600), 0);
	settings.private_key = LOCATED(key);
	pool = saml_pool_create(&settings, &world.provider, 1, &err);
	assert_non_null(pool);
	assert_int_equal(unlink(key), 0);
	kill(wait_for_worker(pool, 0), SIGKILL);
	/* Some failed starts later the pauses are long. */
	do {
		begin_us = clock_monotonic_us();
		assert_int_equal(saml_pool_metadata(pool, 0, arena, &xml, &err), -1);
	} while (strcmp(err_reason(&err), "worker-died") != 0 ||
		 !strstr(err.text, "no saml worker"));
	assert_non_null(strstr(err.text, "gone.key"));
	assert_true(clock_monotonic_us() - begin_us < 4000000);
	saml_pool_counts(pool, &counts);
	assert_int_equal(counts.workers, 0);
	saml_pool_release(pool);
	support_write("gone.key", "", 0);
}

/* --- renewal --- */

/* What a reload may bring, each on top of what the world has. */
struct renewal {
	struct saml_settings settings;
	struct saml_source source;
	struct saml_provider provider;
	size_t count;
	const char *key;
};

static void change_nothing(struct renewal *r UNUSED)
{
}

static void change_skew(struct renewal *r)
{
	r->settings.skew_s++;
}

static void change_workers(struct renewal *r)
{
	r->settings.workers++;
}

static void change_source(struct renewal *r)
{
	r->source.force_authn = !r->source.force_authn;
}

static void change_position(struct renewal *r)
{
	r->settings.at.line++;
	r->source.common.at.line++;
}

static void change_url(struct renewal *r)
{
	r->provider.acs_url = "https://other.example/acs";
}

static void lose_metadata(struct renewal *r)
{
	r->provider.idp = NULL;
}

static void lose_attribute(struct renewal *r)
{
	r->provider.attribute_count--;
}

static void lose_source(struct renewal *r)
{
	r->count = 0;
}

/* The same bytes, put there by somebody. */
static void replace_key(struct renewal *r)
{
	assert_int_equal(unlink(r->key), 0);
	saml_pair_write(&world.sp, NULL, r->key);
	assert_int_equal(chmod(r->key, 0600), 0);
}

static const struct {
	const char *name;
	void (*change)(struct renewal *r);
	bool stays;
} renewals[] = {
	{ "nothing", change_nothing, true },
	{ "where it stands in the file", change_position, true },
	{ "a setting", change_skew, false },
	{ "how many", change_workers, false },
	{ "a source", change_source, false },
	{ "our address", change_url, false },
	{ "metadata that ends", lose_metadata, false },
	{ "an attribute less", lose_attribute, false },
	{ "a source less", lose_source, false },
	{ "a key's file", replace_key, false },
};

static void check_renewal(const char *name, void (*change)(struct renewal *r), bool stays)
{
	struct renewal r = { .settings = world.settings,
			     .source = *world.provider.settings,
			     .provider = world.provider,
			     .count = 1,
			     .key = support_write("renewed.key", "", 0) };
	struct saml_pool *pool, *renewed;
	struct err err = { 0 };
	pid_t before, after;
	bool same;

	saml_pair_write(&world.sp, NULL, r.key);
	assert_int_equal(chmod(r.key, 0600), 0);
	r.settings.private_key = LOCATED(r.key);
	r.provider.settings = &r.source;
	pool = saml_pool_create(&r.settings, &r.provider, r.count, &err);
	if (!pool)
		fail_msg("%s: %s", name, err.text);
	assert_int_equal(saml_pool_pids(pool, &before, 1), 1);
	change(&r);
	renewed = saml_pool_renew(pool, &r.settings, &r.provider, r.count, &err);
	if (!renewed)
		fail_msg("%s: %s", name, err.text);
	same = renewed == pool;
	/* Each reference counts: what stays outlives the first one. */
	saml_pool_release(pool);
	assert_true(saml_pool_pids(renewed, &after, 1) >= 1);
	if (same != stays || (before == after) != stays)
		fail_msg("%s: %s", name, stays ? "another pool" : "the same pool");
	saml_pool_release(renewed);
}

static void test_renewal(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(renewals); i++)
		check_renewal(renewals[i].name, renewals[i].change, renewals[i].stays);
}

/* --- overrun --- */

static void test_timeout(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct saml_pool *pool = make_pool();
	struct saml_make make = world_response(&world, 1);
	struct saml_assertion assertion;
	struct saml_refusal refusal;
	struct saml_pool_counts counts;
	struct err err = { 0 };
	pid_t pid;

	(void)state;
	assert_int_equal(saml_pool_pids(pool, &pid, 1), 1);
	kill(pid, SIGSTOP);
	assert_int_equal(verify(pool, &make, arena, &assertion, &refusal, &err), -1);
	assert_string_equal(err_reason(&err), "worker-timeout");
	assert_int_equal(verify(pool, &make, arena, &assertion, &refusal, &err), 0);
	saml_pool_counts(pool, &counts);
	assert_int_equal(counts.timeouts, 1);
	assert_int_equal(counts.deaths, 0);
	saml_pool_release(pool);
}

/* More than the socket holds: the writer must not wait for ever either. */
static void test_large_timeout(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	const struct saml_question question = world_question();
	const size_t size = (size_t)800 * 1024;
	struct saml_pool *pool = make_pool();
	char *text = malloc(size + 1);
	struct saml_message message;
	struct saml_assertion assertion;
	struct saml_refusal refusal;
	struct err err = { 0 };
	pid_t pid;

	(void)state;
	memset(text, 'A', size);
	text[size] = 0;
	message = world_message(text);
	assert_int_equal(saml_pool_pids(pool, &pid, 1), 1);
	kill(pid, SIGSTOP);
	assert_int_equal(
		saml_pool_verify(pool, &question, &message, arena, &assertion, &refusal, &err), -1);
	assert_string_equal(err_reason(&err), "worker-timeout");
	free(text);
	saml_pool_release(pool);
}

/* --- many callers --- */

struct crowd {
	struct saml_pool *pool;
	const char *encoded;
	int done, failed;
};

static void *verify_many(void *context)
{
	struct crowd *crowd = context;
	const struct saml_question question = world_question();
	const struct saml_message message = world_message(crowd->encoded);

	for (int i = 0; i < 20; i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 24);
		struct saml_assertion assertion;
		struct saml_refusal refusal;
		if (saml_pool_verify(crowd->pool, &question, &message, arena, &assertion, &refusal,
				     NULL) == 0)
			crowd->done++;
		else
			crowd->failed++;
	}
	return NULL;
}

static void test_crowd(void **state)
{
	struct saml_make make = world_response(&world, 1);
	char *encoded = saml_make_encoded(&make);
	struct crowd crowds[8];
	pthread_t threads[ARRAY_LEN(crowds)];
	struct saml_pool *pool;

	(void)state;
	world.settings.workers = 2;
	pool = make_pool();
	for (size_t i = 0; i < ARRAY_LEN(crowds); i++) {
		crowds[i] = (struct crowd){ .pool = saml_pool_acquire(pool), .encoded = encoded };
		assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &crowds[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(crowds); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(crowds[i].done, 20);
		saml_pool_release(pool);
	}
	saml_pool_release(pool);
	world.settings.workers = 1;
	free(encoded);
}

/* --- keys that cannot be used --- */

static void test_bad_keys(void **state)
{
	struct saml_settings good = world.settings;
	const char *other = support_write("other.key", "", 0);
	const char *nonsense = support_write("nonsense.key", "no key\n", 0);
	const struct {
		const char *name, *key, *certificate;
	} cases[] = {
		{ "another's key", other, good.certificate.text },
		{ "no key", nonsense, good.certificate.text },
		{ "absent", "/nonexistent/key", good.certificate.text },
		{ "no certificate", good.private_key.text, nonsense },
		{ "none", NULL, NULL },
	};

	(void)state;
	saml_pair_write(&world.idp, NULL, other);
	saml_make_check(chmod(other, 0600) == 0 && chmod(nonsense, 0600) == 0, "chmod");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		world.settings.private_key = LOCATED(cases[i].key);
		world.settings.certificate = LOCATED(cases[i].certificate);
		if (saml_pool_create(&world.settings, &world.provider, 1, &err))
			fail_msg("%s: accepted", cases[i].name);
		if (err.code != ERR_INVALID && err.code != ERR_NOT_FOUND && err.code != ERR_IO)
			fail_msg("%s: %d %s", cases[i].name, (int)err.code, err.text);
		assert_null(strstr(err.text, "BEGIN"));
	}
	world.settings = good;
}

static void test_without_metadata(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct saml_make make = world_response(&world, 1);
	const struct saml_login_request request = { .now_s = NOW_S, .id = "_1", .relay_state = "" };
	struct saml_assertion assertion;
	struct saml_refusal refusal;
	struct saml_outgoing outgoing;
	struct err err = { 0 };
	struct saml_pool *pool;
	const char *xml;

	(void)state;
	world.provider.idp = NULL;
	pool = make_pool();
	assert_int_equal(verify(pool, &make, arena, &assertion, &refusal, &err), 1);
	assert_string_equal(refusal.reason, "idp-unavailable");
	assert_int_equal(saml_pool_login(pool, &request, arena, &outgoing, &err), -1);
	assert_string_equal(err_reason(&err), "idp-unavailable");
	/* Ours is there all the same: it is what the IdP needs first. */
	assert_int_equal(saml_pool_metadata(pool, 0, arena, &xml, &err), 0);
	assert_non_null(strstr(xml, SP_ENTITY));
	assert_int_equal(saml_pool_metadata(pool, 1, arena, &xml, &err), -1);
	saml_pool_release(pool);
	world.provider.idp = &world.facts;
}

static int set_up(void **state)
{
	(void)state;
	/* For hang_if_told. Before there are threads. */
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", support_folder(), 1), 0);
	world_init(&world);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_finish(&world);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agree),
		cmocka_unit_test(test_fast),
		cmocka_unit_test(test_sandbox),
		cmocka_unit_test(test_sigkill),
		cmocka_unit_test(test_sigsegv),
		cmocka_unit_test(test_own_question_survives),
		cmocka_unit_test(test_idle_death),
		cmocka_unit_test(test_death_after_a_job),
		cmocka_unit_test(test_start_that_hangs),
		cmocka_unit_test(test_crash_loop),
		cmocka_unit_test(test_no_restart),
		cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_large_timeout),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_without_metadata),
	};

	if (argc > 2 && strcmp(argv[1], "--worker") == 0) {
		hang_if_told();
		return saml_worker_main(WORKER_SOCKET);
	}
	if (getenv("ROLEBRIDGE_VALGRIND")) {
		print_message(
			"skipped: under valgrind /proc/self/exe is valgrind, not this program\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
