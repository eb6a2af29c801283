/*
 * The pool of SAML workers: CPU for each verified response (all processes), how that scales from one worker to
 * two, and what a job costs that does nothing but travel. This program is its own worker.
 *
 *	bench_saml_pool [COUNT]
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/worker.h>
#include <rolebridge/source/saml.h>

#include "../saml_make.h"

#define IDP_ENTITY "https://idp.example/metadata"
#define SP_ENTITY "https://sp.example/metadata"
#define SP_ACS "https://sp.example/acs"
#define CALLERS 4

struct bench {
	struct saml_pair idp, sp;
	struct saml_settings settings;
	struct saml_source source;
	struct saml_blob key;
	struct saml_endpoint sso;
	struct saml_idp facts;
	struct saml_provider provider;
	char certificate[64], private_key[64];
	char **responses;
	size_t count;
};

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Of this process and of all workers that have ended. */
static double cpu(void)
{
	struct rusage mine, theirs;

	getrusage(RUSAGE_SELF, &mine);
	getrusage(RUSAGE_CHILDREN, &theirs);
	return (double)(mine.ru_utime.tv_sec + mine.ru_stime.tv_sec + theirs.ru_utime.tv_sec +
			theirs.ru_stime.tv_sec) +
	       (double)(mine.ru_utime.tv_usec + mine.ru_stime.tv_usec + theirs.ru_utime.tv_usec +
			theirs.ru_stime.tv_usec) /
		       1e6;
}

static struct located located(const char *text)
{
	return (struct located){ .text = text };
}

static void bench_init(struct bench *bench, size_t count)
{
	int certificate, key;

	*bench = (struct bench){ .idp = saml_pair_create(2048, "idp"),
				 .sp = saml_pair_create(2048, "sp"),
				 .certificate = "/tmp/bench-saml-crt-XXXXXX",
				 .private_key = "/tmp/bench-saml-key-XXXXXX",
				 .count = count };
	certificate = mkstemp(bench->certificate);
	key = mkstemp(bench->private_key);
	saml_make_check(certificate >= 0 && key >= 0, "a file");
	close(certificate);
	close(key);
	saml_pair_write(&bench->sp, bench->certificate, bench->private_key);
	bench->settings = (struct saml_settings){ .certificate = located(bench->certificate),
						  .private_key = located(bench->private_key),
						  .skew_s = 180 };
	bench->source.common.name = located("corp");
	bench->source.key = located("name-id");
	bench->key = (struct saml_blob){ bench->idp.der, bench->idp.der_size };
	bench->sso = (struct saml_endpoint){ SAML_REDIRECT, "https://idp.example/sso", "" };
	bench->facts = (struct saml_idp){ .entity_id = IDP_ENTITY,
					  .signing_keys = &bench->key,
					  .signing_key_count = 1,
					  .sso = &bench->sso,
					  .sso_count = 1 };
	bench->provider = (struct saml_provider){ .settings = &bench->source,
						  .idp = &bench->facts,
						  .sp_entity_id = SP_ENTITY,
						  .acs_url = SP_ACS,
						  .slo_url = SP_ACS };
	bench->responses = calloc(count, sizeof(*bench->responses));
	for (size_t i = 0; i < count; i++) {
		const struct saml_make make = { .idp = &bench->idp,
						.idp_entity_id = IDP_ENTITY,
						.sp_entity_id = SP_ENTITY,
						.acs_url = SP_ACS,
						.request_id = "_request",
						.name_id = "person",
						.now_s = 1795000000,
						.number = i,
						.groups = 20,
						.signatures = SAML_MAKE_ASSERTION };
		bench->responses[i] = saml_make_encoded(&make);
	}
}

static void bench_finish(struct bench *bench)
{
	for (size_t i = 0; i < bench->count; i++)
		free(bench->responses[i]);
	free(bench->responses);
	unlink(bench->certificate);
	unlink(bench->private_key);
	saml_pair_destroy(&bench->idp);
	saml_pair_destroy(&bench->sp);
}

struct caller {
	struct bench *bench;
	struct saml_pool *pool;
	size_t first, step;
};

static void *call(void *context)
{
	static const char *const requests[] = { "_request" };
	const struct caller *caller = context;
	const struct saml_question question = { .now_s = 1795000002,
						.request_ids = requests,
						.request_count = 1 };

	for (size_t i = caller->first; i < caller->bench->count; i += caller->step) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		const char *encoded = caller->bench->responses[i];
		const struct saml_message message = { .binding = SAML_POST,
						      .encoded = encoded,
						      .encoded_size = strlen(encoded) };
		struct saml_assertion assertion;
		struct saml_refusal refusal = { 0 };
		struct err err = { 0 };
		if (saml_pool_verify(caller->pool, &question, &message, arena, &assertion, &refusal,
				     &err) != 0) {
			fprintf(stderr, "refused: %s %s\n", refusal.detail, err.text);
			exit(1);
		}
	}
	return NULL;
}

static struct saml_pool *make_pool(struct bench *bench)
{
	struct err err = { 0 };
	struct saml_pool *pool = saml_pool_create(&bench->settings, &bench->provider, 1, &err);

	if (!pool) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	return pool;
}

/* Responses per second of wall time; *ret_us: CPU of each. */
static double verify_all(struct bench *bench, int64_t workers, double *ret_us)
{
	struct caller callers[CALLERS];
	pthread_t threads[CALLERS];
	double cpu_before, cpu_start, wall;
	struct saml_pool *pool;

	/* What starting and ending a worker costs does not count. */
	cpu_before = cpu();
	bench->settings.workers = workers;
	saml_pool_release(make_pool(bench));
	cpu_start = cpu() - cpu_before;
	cpu_before = cpu();
	pool = make_pool(bench);
	wall = now(CLOCK_MONOTONIC);
	for (size_t i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){ bench, pool, i, CALLERS };
		saml_make_check(pthread_create(&threads[i], NULL, call, &callers[i]) == 0,
				"a thread");
	}
	for (size_t i = 0; i < CALLERS; i++)
		pthread_join(threads[i], NULL);
	wall = now(CLOCK_MONOTONIC) - wall;
	saml_pool_release(pool);
	*ret_us = (cpu() - cpu_before - cpu_start) * 1e6 / (double)bench->count;
	return (double)bench->count / wall;
}

/* A job that writes our metadata: the least a job can be. */
static double travel_us(struct bench *bench)
{
	struct saml_pool *pool = make_pool(bench);
	double begin = now(CLOCK_MONOTONIC), wall;
	const int count = 20000;

	for (int i = 0; i < count; i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		const char *xml;
		if (saml_pool_metadata(pool, 0, arena, &xml, NULL) < 0)
			exit(1);
	}
	wall = now(CLOCK_MONOTONIC) - begin;
	saml_pool_release(pool);
	return wall * 1e6 / count;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "agree", "fast" };
	struct bench bench;

	if (argc > 2 && strcmp(argv[1], "--worker") == 0)
		return saml_worker_main(WORKER_SOCKET);
	saml_make_init();
	bench_init(&bench, argc > 1 ? strtoul(argv[1], NULL, 10) : 4000);
	for (int verification = 0; verification < 2; verification++) {
		double one_us, two_us, one, two;
		bench.settings.verification = verification;
		one = verify_all(&bench, 1, &one_us);
		two = verify_all(&bench, 2, &two_us);
		printf("%-6s %7.1f us CPU each (with two %7.1f); %8.0f/s with one worker, %8.0f/s with two: "
		       "%.2f times\n",
		       names[verification], one_us, two_us, one, two, two / one);
	}
	printf("a job that only travels: %.1f us\n", travel_us(&bench));
	bench_finish(&bench);
	return 0;
}
