/*
 * What people may do, kept. Enters: principals, setups. Leaves: yes or no. Fails for lack of memory only.
 *
 * A table of fixed size, each person in one place of it: who comes to the same place is made anew in turn.
 * An entry holds what it was made of, so that the same address is the same thing.
 */
#include "permit.h"

#include <pthread.h>
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define PLACES 1024 /* a power of two */
#define ARENA_MAX ((size_t)16 << 20)

struct permit {
	const struct principal *principal;
	struct setup *setup;
	struct arena *arena;
	struct authority authority;
};

struct permits {
	pthread_rwlock_t lock;
	struct permit places[PLACES];
};

static void permit_finish(struct permit *permit)
{
	principal_release(permit->principal);
	setup_release(permit->setup);
	arena_destroy(permit->arena);
	*permit = (struct permit){ 0 };
}

struct permits *permits_create(void)
{
	struct permits *permits = alloc_zeroed(1, sizeof(*permits));

	if (permits)
		pthread_rwlock_init(&permits->lock, NULL);
	return permits;
}

void permits_destroy(struct permits *permits)
{
	if (!permits)
		return;
	for (size_t i = 0; i < PLACES; i++)
		permit_finish(&permits->places[i]);
	pthread_rwlock_destroy(&permits->lock);
	free(permits);
}

static bool covers(const struct permit *permit, const char *const *scope, size_t scope_count,
		   const char *permission)
{
	struct authority authority = permit->authority;

	authority.scope = scope;
	authority.scope_count = scope_count;
	return authority_allows(&authority, permission);
}

static int permit_make(struct setup *setup, const struct principal *principal,
		       struct permit *ret_permit, struct err *err)
{
	struct permit permit = { .arena = arena_create(ARENA_MAX) };

	if (!permit.arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (authority_of_names(setup, principal->organization, principal->profile, principal->roles,
			       principal->role_count, permit.arena, &permit.authority, err) < 0) {
		arena_destroy(permit.arena);
		return -1;
	}
	permit.principal = principal_acquire(principal);
	permit.setup = setup_acquire(setup);
	*ret_permit = permit;
	return 0;
}

int permits_ask(struct permits *permits, struct setup *setup, const struct principal *principal,
		const char *const *scope, size_t scope_count, const char *permission,
		struct err *err)
{
	struct permit *place = &permits->places[(uint64_t)principal->user_id & (PLACES - 1)];
	struct permit made, old;
	int answer = -1;

	pthread_rwlock_rdlock(&permits->lock);
	if (place->principal == principal && place->setup == setup)
		answer = covers(place, scope, scope_count, permission);
	pthread_rwlock_unlock(&permits->lock);
	if (answer >= 0)
		return answer;
	if (permit_make(setup, principal, &made, err) < 0)
		return -1;
	answer = covers(&made, scope, scope_count, permission);
	pthread_rwlock_wrlock(&permits->lock);
	old = *place;
	*place = made;
	pthread_rwlock_unlock(&permits->lock);
	permit_finish(&old);
	return answer;
}
