/*
 * The copier: a thread that copies the WAL into the database, by a handle of its own, while the writer
 * goes on. A commit that has to do it keeps everybody waiting, and an import fills the WAL many
 * times over.
 *
 * Enters: a word of the writer. Leaves: nothing that anybody sees. What fails is tried again with the
 * next word; a commit does it itself when the WAL has grown too large all the same.
 */
#include "internal.h"

#include <stdlib.h>

/* 16 MiB: a few dozen batches. */
#define COPY_PAGES 4096

struct copier {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct store *store; /* its thread only */
	bool wanted, stopping;
	size_t copied; /* pages of the WAL that were there at the last word; writer thread only */
};

static void *copier_main(void *context)
{
	struct copier *copier = context;

	pthread_setname_np(pthread_self(), "copier");
	pthread_mutex_lock(&copier->mutex);
	for (;;) {
		while (!copier->wanted && !copier->stopping)
			pthread_cond_wait(&copier->wake, &copier->mutex);
		if (copier->stopping)
			break;
		copier->wanted = false;
		pthread_mutex_unlock(&copier->mutex);
		store_checkpoint(copier->store, NULL);
		pthread_mutex_lock(&copier->mutex);
	}
	pthread_mutex_unlock(&copier->mutex);
	return NULL;
}

static void copier_destroy(struct copier *copier)
{
	store_close(copier->store);
	pthread_cond_destroy(&copier->wake);
	pthread_mutex_destroy(&copier->mutex);
	free(copier);
}

struct copier *copier_start(const char *path, struct err *err)
{
	struct copier *copier = calloc(1, sizeof(*copier));
	int failed;

	if (!copier) {
		err_set(err, ERR_MEMORY, "no memory for a thread");
		return NULL;
	}
	pthread_mutex_init(&copier->mutex, NULL);
	pthread_cond_init(&copier->wake, NULL);
	copier->store = store_open(path, STORE_COPY, err);
	if (!copier->store) {
		copier_destroy(copier);
		return NULL;
	}
	failed = pthread_create(&copier->thread, NULL, copier_main, copier);
	if (failed) {
		err_set_errno(err, ERR_UNAVAILABLE, failed, "cannot start a thread for the store");
		copier_destroy(copier);
		return NULL;
	}
	return copier;
}

void copier_stop(struct copier *copier)
{
	if (!copier)
		return;
	pthread_mutex_lock(&copier->mutex);
	copier->stopping = true;
	pthread_cond_signal(&copier->wake);
	pthread_mutex_unlock(&copier->mutex);
	pthread_join(copier->thread, NULL);
	copier_destroy(copier);
}

void copier_wake(struct copier *copier)
{
	pthread_mutex_lock(&copier->mutex);
	copier->wanted = true;
	pthread_cond_signal(&copier->wake);
	pthread_mutex_unlock(&copier->mutex);
}

void copier_follow(struct copier *copier, const struct store *written)
{
	size_t pages = store_wal_pages(written);

	/* All was copied, and the WAL begins again. */
	if (pages < copier->copied)
		copier->copied = 0;
	if (pages - copier->copied < COPY_PAGES)
		return;
	copier->copied = pages;
	copier_wake(copier);
}
