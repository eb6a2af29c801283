/*
 * Argon2id in own threads. Enter: secrets, and hashes that the store kept. Leave: right or wrong, new hashes. Fails with
 * ERR_UNAVAILABLE when more wait than may, or memory is short.
 *
 * Jobs lie on the stacks of those who wait for them, in one queue. Threads are started up to the greatest number that
 * was ever asked for and stay; only so many work at a time as the settings in force say. They are nicer than all
 * others of the process: a hash is long, and whoever asks for something short goes first.
 *
 * What is not ASCII is hashed in normalisation form C (RFC 8265 4.2.2): keyboards differ in how they make an 'ü'.
 */
#include <rolebridge/auth/hasher.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>
#include <uninorm.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>

#define WORKERS_MAX 16
#define NICE 10

static_assert(HASH_TEXT >= crypto_pwhash_STRBYTES, "a hash fits");

struct cost {
	unsigned long long operations;
	size_t memory;
};

struct job {
	struct job *next;
	pthread_cond_t done;
	bool is_done;
	struct cost cost;
	const char *hash; /* to be verified; NULL: nobody's, or one is made */
	const void *secret;
	size_t size;
	char *made; /* NULL: verify */
	bool good, rehash;
	int status;
	struct err err;
};

struct hasher {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *first, **end;
	struct cost cost;
	unsigned workers, waiting_max; /* in force */
	unsigned waiting, running;
	bool stopping, paused;
	uint64_t hashes, refused, spent_us;
	unsigned thread_count;
	pthread_t threads[WORKERS_MAX];
};

/* --- one hash --- */

/* -1 of libsodium may mean a wrong secret (EINVAL), no memory (ENOMEM), or a text it cannot read. */
static int judge_failure(int error, struct err *err)
{
	if (error == EINVAL)
		return 0;
	if (error == ENOMEM)
		return err_refuse(err, ERR_UNAVAILABLE, "busy", "no memory for a hash");
	return err_set(err, ERR_INTERNAL, "a hash that is kept cannot be read");
}

static int verify(struct job *job)
{
	unsigned char out[crypto_pwhash_BYTES_MIN + 16];
	static const unsigned char salt[crypto_pwhash_SALTBYTES];

	errno = 0;
	if (!job->hash) {
		if (crypto_pwhash(out, sizeof(out), job->secret, job->size, salt,
				  job->cost.operations, job->cost.memory,
				  crypto_pwhash_ALG_ARGON2ID13) != 0)
			return judge_failure(ENOMEM, &job->err);
		sodium_memzero(out, sizeof(out));
		return 0;
	}
	if (crypto_pwhash_str_verify(job->hash, job->secret, job->size) != 0)
		return judge_failure(errno, &job->err);
	job->good = true;
	job->rehash = crypto_pwhash_str_needs_rehash(job->hash, job->cost.operations,
						     job->cost.memory) != 0;
	return 0;
}

static int make(struct job *job)
{
	char hash[crypto_pwhash_STRBYTES];

	if (crypto_pwhash_str_alg(hash, job->secret, job->size, job->cost.operations,
				  job->cost.memory, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return judge_failure(ENOMEM, &job->err);
	memcpy(job->made, hash, sizeof(hash));
	return 0;
}

/* --- threads --- */

static struct job *take(struct hasher *hasher)
{
	struct job *job;

	while (!hasher->stopping &&
	       (hasher->paused || !hasher->first || hasher->running >= hasher->workers))
		pthread_cond_wait(&hasher->work, &hasher->lock);
	if (hasher->stopping)
		return NULL;
	job = hasher->first;
	hasher->first = job->next;
	if (!hasher->first)
		hasher->end = &hasher->first;
	hasher->waiting--;
	hasher->running++;
	return job;
}

static void *worker(void *context)
{
	struct hasher *hasher = context;
	struct job *job;

	/* Of this thread alone (0 is itself on Linux). Where that may not be, it works all the same. */
	(void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE);
	pthread_mutex_lock(&hasher->lock);
	while ((job = take(hasher))) {
		int64_t start_us;

		pthread_mutex_unlock(&hasher->lock);
		start_us = clock_monotonic_us();
		job->status = job->made ? make(job) : verify(job);
		start_us = clock_monotonic_us() - start_us;
		pthread_mutex_lock(&hasher->lock);
		hasher->hashes++;
		hasher->spent_us += (uint64_t)start_us;
		hasher->running--;
		job->is_done = true;
		pthread_cond_signal(&job->done);
		/* Another may have looked while as many worked as may. */
		if (hasher->first)
			pthread_cond_signal(&hasher->work);
	}
	pthread_mutex_unlock(&hasher->lock);
	return NULL;
}

/* Locked. As many as can be had: one is enough to go on. */
static int start_threads(struct hasher *hasher, struct err *err)
{
	while (hasher->thread_count < hasher->workers) {
		int failed = pthread_create(&hasher->threads[hasher->thread_count], NULL, worker,
					    hasher);

		if (failed && hasher->thread_count == 0)
			return err_set_errno(err, ERR_IO, failed, "cannot start a thread");
		if (failed)
			return 0;
		hasher->thread_count++;
	}
	return 0;
}

static void apply(struct hasher *hasher, const struct passwords_settings *settings)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned half = cores < 4 ? 1 : cores > 2 * WORKERS_MAX ? WORKERS_MAX : (unsigned)cores / 2;

	hasher->cost.operations = (unsigned long long)settings->operations;
	hasher->cost.memory = (size_t)settings->memory;
	hasher->workers = settings->workers > 0 ? (unsigned)settings->workers : half;
	if (hasher->workers > WORKERS_MAX)
		hasher->workers = WORKERS_MAX;
	hasher->waiting_max = (unsigned)settings->waiting;
}

struct hasher *hasher_create(const struct passwords_settings *settings, struct err *err)
{
	struct hasher *hasher = alloc_zeroed(1, sizeof(*hasher));
	int status;

	if (!hasher || sodium_init() < 0) {
		free(hasher);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	hasher->end = &hasher->first;
	pthread_mutex_init(&hasher->lock, NULL);
	pthread_cond_init(&hasher->work, NULL);
	apply(hasher, settings);
	pthread_mutex_lock(&hasher->lock);
	status = start_threads(hasher, err);
	pthread_mutex_unlock(&hasher->lock);
	if (status == 0)
		return hasher;
	hasher_destroy(hasher);
	return NULL;
}

void hasher_destroy(struct hasher *hasher)
{
	if (!hasher)
		return;
	pthread_mutex_lock(&hasher->lock);
	hasher->stopping = true;
	pthread_cond_broadcast(&hasher->work);
	pthread_mutex_unlock(&hasher->lock);
	for (unsigned i = 0; i < hasher->thread_count; i++)
		pthread_join(hasher->threads[i], NULL);
	pthread_cond_destroy(&hasher->work);
	pthread_mutex_destroy(&hasher->lock);
	free(hasher);
}

void hasher_configure(struct hasher *hasher, const struct passwords_settings *settings)
{
	pthread_mutex_lock(&hasher->lock);
	apply(hasher, settings);
	(void)start_threads(hasher, NULL);
	pthread_cond_broadcast(&hasher->work);
	pthread_mutex_unlock(&hasher->lock);
}

void hasher_pause(struct hasher *hasher, bool paused)
{
	pthread_mutex_lock(&hasher->lock);
	hasher->paused = paused;
	pthread_cond_broadcast(&hasher->work);
	pthread_mutex_unlock(&hasher->lock);
}

/* --- asking --- */

static int wait_for(struct hasher *hasher, struct job *job, struct err *err)
{
	pthread_mutex_lock(&hasher->lock);
	/* Those that a free worker is about to take do not count. */
	if (hasher->waiting + hasher->running >= hasher->workers + hasher->waiting_max) {
		hasher->refused++;
		pthread_mutex_unlock(&hasher->lock);
		return err_refuse(err, ERR_UNAVAILABLE, "busy",
				  "too many people are signing in; try again in a moment");
	}
	pthread_cond_init(&job->done, NULL);
	job->cost = hasher->cost;
	*hasher->end = job;
	hasher->end = &job->next;
	hasher->waiting++;
	pthread_cond_signal(&hasher->work);
	while (!job->is_done)
		pthread_cond_wait(&job->done, &hasher->lock);
	pthread_mutex_unlock(&hasher->lock);
	pthread_cond_destroy(&job->done);
	if (job->status < 0 && err)
		*err = job->err;
	return job->status;
}

static bool is_ascii(const unsigned char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] >= 0x80)
			return false;
	}
	return true;
}

/* Bytes of UTF-8 grow to at most three times as many (UAX 15). */
#define COMPOSED_MAX (3 * HASHER_SECRET_MAX)

/* The job over the secret in form C; what is no UTF-8 stays as it is. */
static int run(struct hasher *hasher, struct job *job, struct err *err)
{
	uint8_t room[COMPOSED_MAX], *composed;
	size_t size = sizeof(room);
	int status;

	if (is_ascii(job->secret, job->size) || !text_is_utf8(job->secret, job->size))
		return wait_for(hasher, job, err);
	composed = u8_normalize(UNINORM_NFC, job->secret, job->size, room, &size);
	if (!composed)
		return err_set(err, ERR_MEMORY, "out of memory");
	job->secret = composed;
	job->size = size;
	status = wait_for(hasher, job, err);
	sodium_memzero(composed, size);
	if (composed != room)
		free(composed);
	return status;
}

int hasher_verify(struct hasher *hasher, const char *hash, const void *secret, size_t size,
		  bool *ret_good, bool *ret_rehash, struct err *err)
{
	struct job job = { .hash = hash, .secret = secret, .size = size };

	/* Whoever it may be: nobody has such a one. */
	if (size > HASHER_SECRET_MAX) {
		*ret_good = false;
		if (ret_rehash)
			*ret_rehash = false;
		return 0;
	}
	if (run(hasher, &job, err) < 0)
		return -1;
	*ret_good = job.good;
	if (ret_rehash)
		*ret_rehash = job.rehash;
	return 0;
}

int hasher_make(struct hasher *hasher, const void *secret, size_t size,
		char ret_hash[static HASH_TEXT], struct err *err)
{
	struct job job = { .secret = secret, .size = size, .made = ret_hash };

	if (size > HASHER_SECRET_MAX)
		return err_set(err, ERR_TOO_LARGE, "a secret is longer than %d bytes",
			       HASHER_SECRET_MAX);
	return run(hasher, &job, err);
}

/* --- counts --- */

void hasher_counts(struct hasher *hasher, struct hasher_counts *ret_counts)
{
	pthread_mutex_lock(&hasher->lock);
	*ret_counts = (struct hasher_counts){
		.hashes = hasher->hashes,
		.refused = hasher->refused,
		.spent_us = hasher->spent_us,
		.waiting = hasher->waiting,
		.running = hasher->running,
	};
	pthread_mutex_unlock(&hasher->lock);
}

void hasher_metrics(struct hasher *hasher, struct strbuf *out)
{
	struct hasher_counts counts;

	hasher_counts(hasher, &counts);
	strbuf_printf(
		out,
		"# HELP rolebridge_password_hashes_total Passwords and recovery codes that were hashed.\n"
		"# TYPE rolebridge_password_hashes_total counter\n"
		"rolebridge_password_hashes_total %llu\n"
		"# HELP rolebridge_password_hash_seconds_total Processor time that hashing took.\n"
		"# TYPE rolebridge_password_hash_seconds_total counter\n"
		"rolebridge_password_hash_seconds_total %.6f\n"
		"# HELP rolebridge_password_hashes_refused_total Hashes that were refused, for too many waited.\n"
		"# TYPE rolebridge_password_hashes_refused_total counter\n"
		"rolebridge_password_hashes_refused_total %llu\n"
		"# HELP rolebridge_password_hashes_waiting Hashes that wait.\n"
		"# TYPE rolebridge_password_hashes_waiting gauge\n"
		"rolebridge_password_hashes_waiting %u\n",
		(unsigned long long)counts.hashes, (double)counts.spent_us / 1e6,
		(unsigned long long)counts.refused, counts.waiting);
}
