/* A store with people in it, a changer, and sessions that were opened in the store. */
#ifndef TESTS_AUTH_WORLD_H
#define TESTS_AUTH_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/auth/sessions.h>
#include <rolebridge/change/changer.h>
#include <rolebridge/store/session.h>

#include "../change/setup.h"

#define NOW 1800000000

struct world {
	char folder[64], path[96];
	struct changer *changer;
	struct sessions *sessions;
	struct store *store; /* a writing handle beside the changer's */
	struct arena *arena;
	struct err err;
};

/* Profiles administrator, staff; roles sales, ops; personas lead; groups any. anna is an administrator, bob not. */
int world_set_up(void **state);
int world_tear_down(void **state);
/* The same store, sessions loaded anew. */
void world_restart(struct world *world);

int64_t world_user(struct world *world, const char *name);
/* In the store only. */
struct session world_store_session(struct world *world, const char *user, int64_t now_s,
				   const struct hash256 *token);
/* In both. ret_token holds SESSION_TOKEN_TEXT bytes. */
struct session world_sign_in(struct world *world, const char *user, int64_t now_s, char *ret_token);
/* "bob staff [ops,sales] [lead] []", or the reason it was refused for; in the arena. */
const char *world_find(struct world *world, const char *token, const char *host, int64_t now_s);

#define ok(world, call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s", #call, (world)->err.text); \
	} while (0)

#endif
