/*
 * The pool of saml workers, in the core. Enters: settings and providers. Leaves: a pool whose workers know them.
 * Fails when the settings are unusable, or workers cannot be started.
 */
#include "pool.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "keys.h"

#define FILES_MAX ((size_t)64 * 1024)

static size_t count_workers(const struct saml_settings *settings)
{
	cpu_set_t set;
	int64_t count = settings->workers;

	if (count <= 0 && sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	if (count <= 0)
		count = 1;
	return count < WORKERS_MAX ? (size_t)count : WORKERS_MAX;
}

static int fill_setup(struct saml_pool *pool, const struct saml_settings *settings,
		      const struct saml_provider *providers, size_t count, struct err *err)
{
	struct saml_setup setup = { .settings = *settings, .providers = providers, .count = count };
	struct wire wire = { .out = &pool->setup };
	size_t begin = message_begin(&pool->setup, SAML_FRAME_SETUP);

	wire_setup(&wire, &setup);
	message_end(&pool->setup, begin);
	keys_print_files(settings, &pool->files);
	if (count > SAML_PROVIDERS_MAX || strbuf_failed(&pool->setup) ||
	    strbuf_failed(&pool->files))
		return err_set(err, ERR_TOO_LARGE, "too many or too large SAML sources");
	pool->provider_count = count;
	pool->issuers = arena_alloc_array(pool->arena, count + 1, sizeof(*pool->issuers));
	for (size_t i = 0; pool->issuers && i < count; i++)
		pool->issuers[i] = arena_strdup(
			pool->arena, providers[i].idp ? providers[i].idp->entity_id : "");
	if (arena_failed(pool->arena))
		return err_set(err, ERR_MEMORY, "out of memory");
	return 0;
}

static void pool_free(struct saml_pool *pool)
{
	if (pool->wake >= 0)
		close(pool->wake);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
	strbuf_finish(&pool->setup);
	strbuf_finish(&pool->files);
	arena_destroy(pool->arena);
	free(pool->slots);
	free(pool);
}

static struct saml_pool *pool_alloc(size_t workers, struct err *err)
{
	struct saml_pool *pool = alloc_zeroed(1, sizeof(*pool));
	pthread_condattr_t monotonic;

	if (!pool) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	pool->references = 1;
	pool->setup = STRBUF(SAML_SETUP_MAX);
	pool->files = STRBUF(FILES_MAX);
	pool->slot_count = workers;
	pool->slots = alloc_zeroed(workers, sizeof(*pool->slots));
	pool->arena = arena_create(SAML_SETUP_MAX);
	pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pool->slots && pool->arena && pool->wake >= 0)
		return pool;
	err_set(err, ERR_MEMORY, "no memory or descriptor for SAML workers");
	pool_free(pool);
	return NULL;
}

static int wait_started(struct saml_pool *pool, struct err *err)
{
	int status = 0;

	pthread_mutex_lock(&pool->lock);
	while (!pool->started)
		pthread_cond_wait(&pool->changed, &pool->lock);
	if (pool->start_err.code != ERR_NONE) {
		if (err)
			*err = pool->start_err;
		status = -1;
	}
	pthread_mutex_unlock(&pool->lock);
	return status;
}

/* Would its workers know the same, and be as many? */
static bool is_alike(const struct saml_pool *pool, const struct saml_pool *other)
{
	return pool->slot_count == other->slot_count && pool->setup.size == other->setup.size &&
	       memcmp(pool->setup.data, other->setup.data, pool->setup.size) == 0 &&
	       strcmp(strbuf_text(&pool->files), strbuf_text(&other->files)) == 0;
}

struct saml_pool *saml_pool_renew(struct saml_pool *present, const struct saml_settings *settings,
				  const struct saml_provider *providers, size_t count,
				  struct err *err)
{
	struct saml_pool *pool = pool_alloc(count_workers(settings), err);

	if (!pool)
		return NULL;
	if (fill_setup(pool, settings, providers, count, err) < 0) {
		pool_free(pool);
		return NULL;
	}
	if (present && is_alike(present, pool)) {
		pool_free(pool);
		return saml_pool_acquire(present);
	}
	if (pthread_create(&pool->keeper, NULL, saml_pool_keep, pool) != 0) {
		err_set(err, ERR_UNAVAILABLE, "cannot start a thread");
		pool_free(pool);
		return NULL;
	}
	if (wait_started(pool, err) == 0)
		return pool;
	saml_pool_release(pool);
	return NULL;
}

struct saml_pool *saml_pool_create(const struct saml_settings *settings,
				   const struct saml_provider *providers, size_t count,
				   struct err *err)
{
	return saml_pool_renew(NULL, settings, providers, count, err);
}

struct saml_pool *saml_pool_acquire(struct saml_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->references++;
	pthread_mutex_unlock(&pool->lock);
	return pool;
}

void saml_pool_release(struct saml_pool *pool)
{
	bool last;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	last = --pool->references == 0;
	pool->stopping |= last;
	pthread_mutex_unlock(&pool->lock);
	if (!last)
		return;
	saml_pool_wake_keeper(pool);
	pthread_join(pool->keeper, NULL);
	pool_free(pool);
}

void saml_pool_counts(struct saml_pool *pool, struct saml_pool_counts *ret_counts)
{
	pthread_mutex_lock(&pool->lock);
	*ret_counts = pool->counts;
	for (size_t i = 0; i < pool->slot_count; i++) {
		ret_counts->workers += pool->slots[i].state != SLOT_DOWN;
		ret_counts->busy += pool->slots[i].state == SLOT_BUSY;
	}
	pthread_mutex_unlock(&pool->lock);
}

size_t saml_pool_pids(struct saml_pool *pool, pid_t *ret_pids, size_t max)
{
	size_t count = 0;

	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < pool->slot_count && count < max; i++)
		if (pool->slots[i].now.stream)
			ret_pids[count++] = pool->slots[i].now.worker.pid;
	pthread_mutex_unlock(&pool->lock);
	return count;
}
