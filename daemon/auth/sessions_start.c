/*
 * The table's start and end. Enters: all sessions and tokens of the store. Leaves: the table, which change/ tells of changes from
 * then on. May fail: store, memory.
 */
#include "table.h"

#include <stdlib.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/store/session.h>

#define ARENA_BYTES_MAX ((size_t)16 << 20)
#define LIST_PAGE 10000

static int load_sessions(struct sessions *sessions, struct err *err)
{
	struct session_query query = { .limit = LIST_PAGE };
	struct session *rows;
	size_t count;

	do {
		arena_reset(sessions->arena);
		if (store_session_list(sessions->store, &query, sessions->arena, &rows, &count,
				       err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			struct session_entry *entry;

			if (table_session_add(sessions, &rows[i], &entry, err) < 0)
				return -1;
			query.after_id = rows[i].id;
		}
	} while (count == query.limit);
	return 0;
}

struct token_load {
	struct sessions *sessions;
	struct err *err;
};

static int load_token(void *context, const struct session_token *token)
{
	struct token_load *load = context;
	struct session_entry *session = table_session(load->sessions, token->session_id);

	return session ? table_token_add(load->sessions, session, &token->hash, token->host,
					 load->err)
		       : 0;
}

static int load_all(struct sessions *sessions, struct err *err)
{
	struct err cause = { 0 };
	struct token_load load = { sessions, &cause };
	int status;

	if (!table_reader(sessions, err) || store_begin(sessions->store, err) < 0)
		return -1;
	status = load_sessions(sessions, err);
	if (status == 0)
		status = store_session_tokens_each(sessions->store, load_token, &load, err);
	if (status < 0 && cause.code != ERR_NONE && err)
		*err = cause;
	store_rollback(sessions->store);
	return status;
}

static void init_locks(struct sessions *sessions)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&sessions->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	pthread_mutex_init(&sessions->reading, NULL);
	pthread_mutex_init(&sessions->upkeep, NULL);
}

struct sessions *sessions_create(struct changer *changer, const struct sessions_settings *settings,
				 struct err *err)
{
	struct sessions *sessions = alloc_zeroed(1, sizeof(*sessions));
	struct change_observer observer = table_observer(sessions);
	int status;

	if (!sessions) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	init_locks(sessions);
	hash_prepare();
	randombytes_buf(sessions->id_key, sizeof(sessions->id_key));
	sessions->changer = changer;
	sessions->arena = arena_create(ARENA_BYTES_MAX);
	sessions_configure(sessions, settings);
	if (!sessions->arena)
		status = err_set(err, ERR_MEMORY, "out of memory");
	else
		status = load_all(sessions, err);
	if (status < 0) {
		err_wrap(err, "cannot load sessions");
		sessions_destroy(sessions);
		return NULL;
	}
	changer_observe(changer, &observer);
	return sessions;
}

/* NULL: none is left. A map that gets smaller puts its links elsewhere: *at begins anew then. */
static struct map_link *any_link(const struct map *map, size_t *at)
{
	if (map->count == 0)
		return NULL;
	for (*at = *at < map->size ? *at : 0; !map->buckets[*at];)
		*at = (*at + 1) & (map->size - 1);
	return map->buckets[*at];
}

static void drop_all(struct sessions *sessions)
{
	struct map_link *link;
	size_t at = 0;

	while ((link = any_link(&sessions->entries, &at)))
		table_session_drop(sessions, MAP_THING(link, struct session_entry, by_id));
	at = 0;
	while ((link = any_link(&sessions->persons, &at)))
		table_person_drop(sessions, MAP_THING(link, struct person_entry, by_id));
}

void sessions_destroy(struct sessions *sessions)
{
	static const struct change_observer nobody;

	if (!sessions)
		return;
	changer_observe(sessions->changer, &nobody);
	drop_all(sessions);
	map_finish(&sessions->tokens);
	map_finish(&sessions->entries);
	map_finish(&sessions->persons);
	intern_finish(&sessions->names);
	store_close(sessions->store);
	arena_destroy(sessions->arena);
	pthread_rwlock_destroy(&sessions->lock);
	pthread_mutex_destroy(&sessions->reading);
	pthread_mutex_destroy(&sessions->upkeep);
	free(sessions);
}

void sessions_configure(struct sessions *sessions, const struct sessions_settings *settings)
{
	atomic_store_explicit(&sessions->idle_s, settings->idle_s, memory_order_relaxed);
	atomic_store_explicit(&sessions->absolute_s, settings->absolute_s, memory_order_relaxed);
}
