/*
 * The table of sessions as those share it who keep its entries (table.c), look into it (sessions.c), change it
 * (sessions_told.c), set it up (sessions_start.c) and look after it (upkeep.c): tokens, sessions and persons hang in one
 * map each, all under one lock.
 *
 * Lock: `lock` guards all but what is atomic. Those who look take it shared, those who change take it
 * alone, and waiting changers go first, since a disabled person must not wait for a busy proxy.
 * No store or change/ call is made under it. `reading` guards the store handle; it is taken before `lock`.
 */
#ifndef ROLEBRIDGE_AUTH_TABLE_H
#define ROLEBRIDGE_AUTH_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <rolebridge/auth/sessions.h>
#include <rolebridge/base/intern.h>
#include <rolebridge/store/store.h>

#include "map.h"

enum person_state {
	PERSON_STALE, /* to be read from the store */
	PERSON_KNOWN,
	PERSON_REFUSED,
	PERSON_SUSPENDED, /* known, and let in by root's link alone */
};

struct person_entry {
	struct map_link by_id;
	int64_t id;
	const struct principal *principal; /* PERSON_KNOWN, _SUSPENDED; may be there when stale */
	enum person_state state;
	bool told_to_refuse; /* by change/, before a commit */
	uint32_t sessions;
	uint64_t change;     /* which of what was told was about this person last … */
	uint64_t change_all; /* … and, when the state was set, of everybody */
	int64_t until_s;     /* of what is known: a grant expires, or grace ends */
	unsigned demand;     /* what full sessions must have been proven by (factor_demand) */
	_Atomic int64_t used_s;
};

struct token_entry {
	struct map_link by_hash;
	struct hash256 hash;
	struct session_entry *session;
	struct person_entry *person; /* the session's: both are fetched at once */
	struct token_entry *next;    /* of the session */
	const char *host;	     /* interned */
};

struct session_entry {
	struct map_link by_id;
	int64_t id;
	struct uuid uuid;
	struct person_entry *person;
	struct token_entry *tokens;
	const char *source; /* interned */
	int64_t created_s, until_s, second_factor_s, signed_in_s;
	uint8_t stage, factor; /* enum session_stage, enum factor_method */
	uint8_t proven_by; /* the same as factor, but of a remembered browser what that stands for */
	bool by_link;
	_Atomic int64_t seen_s;
	int64_t written_s; /* seen_s in the store; of the timer */
};

/* Sessions that ended before they were added: whoever signed in was overtaken. */
#define ENDED_KEPT 1024
#define CLOCK_SLACK_S 300 /* between the clock now and when the session began */

struct sessions {
	struct changer *changer;
	pthread_rwlock_t lock;
	struct map tokens, entries, persons;
	struct interned *names; /* sources and hosts: views may point at them to the end */
	uint64_t change_all;
	uint64_t changes;   /* counts what was told, and the entries of persons */
	uint64_t id_key[2]; /* spreads ids over the buckets */
	size_t freed;	    /* entries since memory was given back */
	int64_t newest_id;
	int64_t ended[ENDED_KEPT];
	size_t ended_next;
	int64_t ended_lost_s; /* when one was overwritten last */
	_Atomic int64_t idle_s, absolute_s;

	pthread_mutex_t reading;
	struct store *store; /* NULL: to be opened */
	struct arena *arena;

	pthread_mutex_t upkeep; /* one timer at a time */
	int64_t upkeep_s;	/* when it last went through all */
};

static inline uint64_t table_token_hash(const struct hash256 *hash)
{
	uint64_t first;

	memcpy(&first, hash->byte, sizeof(first));
	return first;
}

/* Callers hold the lock. NULL: absent. For each request: no call. */
static inline struct token_entry *table_token(const struct sessions *sessions,
					      const struct hash256 *hash)
{
	struct map_link *at = map_first(&sessions->tokens, table_token_hash(hash));

	for (; at; at = map_next(at)) {
		struct token_entry *token = MAP_THING(at, struct token_entry, by_hash);

		if (memcmp(token->hash.byte, hash->byte, sizeof(hash->byte)) == 0)
			return token;
	}
	return NULL;
}

uint64_t table_id_hash(const struct sessions *sessions, int64_t id);
/* Callers hold the lock. NULL: absent. */
struct session_entry *table_session(const struct sessions *sessions, int64_t id);
struct person_entry *table_person(const struct sessions *sessions, int64_t id);
/* Has it ended by time? Idle, too old, its own end, or from the future. */
bool table_session_is_over(const struct sessions *sessions, const struct session_entry *session,
			   int64_t now_s);
/* Callers hold the lock alone. With its tokens, and the person when it was the last. */
void table_session_drop(struct sessions *sessions, struct session_entry *session);
int table_session_add(struct sessions *sessions, const struct session *from,
		      struct session_entry **ret_session, struct err *err);
void table_session_take_stage(struct session_entry *session, const struct session *from);
int table_token_add(struct sessions *sessions, struct session_entry *session,
		    const struct hash256 *hash, const char *host, struct err *err);
/* NULL: out of memory. */
struct person_entry *table_person_ensure(struct sessions *sessions, int64_t id);
void table_person_drop(struct sessions *sessions, struct person_entry *person);
void table_tokens_drop(struct sessions *sessions, struct session_entry *session);
/* Let go of a person nobody needs: no sessions, and nothing told that must be kept. */
void table_person_drop_unused(struct sessions *sessions, struct person_entry *person);
/* Callers hold `reading`. A handle that failed is opened anew. */
struct store *table_reader(struct sessions *sessions, struct err *err);
/* change_observer.ended. */
void table_note_ended(void *context, int64_t session_id);
/* What change/ is given to tell of changes. */
struct change_observer table_observer(struct sessions *sessions);

#endif
