/*
 * Entries of the table: tokens, sessions, persons. Enter: rows of the store. Leave: entries that hang in their maps, and
 * together. May fail: memory.
 *
 * Buckets are chosen by the hash of a token, which is random, or by a row id mixed with a key
 * of this process: nobody outside can make them collide.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>

#include "principal.h"

uint64_t table_id_hash(const struct sessions *sessions, int64_t id)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)((uint64_t)id ^ sessions->id_key[0]) * (sessions->id_key[1] | 1);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

struct session_entry *table_session(const struct sessions *sessions, int64_t id)
{
	struct map_link *at = map_first(&sessions->entries, table_id_hash(sessions, id));

	for (; at; at = map_next(at)) {
		struct session_entry *entry = MAP_THING(at, struct session_entry, by_id);

		if (entry->id == id)
			return entry;
	}
	return NULL;
}

struct person_entry *table_person(const struct sessions *sessions, int64_t id)
{
	struct map_link *at = map_first(&sessions->persons, table_id_hash(sessions, id));

	for (; at; at = map_next(at)) {
		struct person_entry *person = MAP_THING(at, struct person_entry, by_id);

		if (person->id == id)
			return person;
	}
	return NULL;
}

struct person_entry *table_person_ensure(struct sessions *sessions, int64_t id)
{
	struct person_entry *person = table_person(sessions, id);

	if (person)
		return person;
	person = alloc_zeroed(1, sizeof(*person));
	if (!person)
		return NULL;
	person->id = id;
	/* Never a number that was another entry's of the same person: somebody may be reading for that one. */
	person->change = ++sessions->changes;
	if (map_add(&sessions->persons, &person->by_id, table_id_hash(sessions, id)) == 0)
		return person;
	free(person);
	return NULL;
}

void table_person_drop(struct sessions *sessions, struct person_entry *person)
{
	map_remove(&sessions->persons, &person->by_id);
	principal_release(person->principal);
	free(person);
	sessions->freed++;
}

void table_person_drop_unused(struct sessions *sessions, struct person_entry *person)
{
	/* One refused before a commit that may have failed stays refused, also at the next sign-in. */
	if (person->sessions == 0 &&
	    (!person->told_to_refuse || person->change_all != sessions->change_all))
		table_person_drop(sessions, person);
}

void table_tokens_drop(struct sessions *sessions, struct session_entry *session)
{
	while (session->tokens) {
		struct token_entry *token = session->tokens;

		session->tokens = token->next;
		map_remove(&sessions->tokens, &token->by_hash);
		free(token);
		sessions->freed++;
	}
}

void table_session_drop(struct sessions *sessions, struct session_entry *session)
{
	table_tokens_drop(sessions, session);
	map_remove(&sessions->entries, &session->by_id);
	session->person->sessions--;
	table_person_drop_unused(sessions, session->person);
	free(session);
	sessions->freed++;
}

bool table_session_is_over(const struct sessions *sessions, const struct session_entry *session,
			   int64_t now_s)
{
	int64_t idle_s = atomic_load_explicit(&sessions->idle_s, memory_order_relaxed);
	int64_t absolute_s = atomic_load_explicit(&sessions->absolute_s, memory_order_relaxed);
	int64_t seen_s = atomic_load_explicit(&session->seen_s, memory_order_relaxed);

	return now_s >= session->until_s || now_s - session->created_s >= absolute_s ||
	       now_s - seen_s >= idle_s || now_s < session->created_s - CLOCK_SLACK_S;
}

int table_token_add(struct sessions *sessions, struct session_entry *session,
		    const struct hash256 *hash, const char *host, struct err *err)
{
	struct token_entry *token;
	const char *name = intern(&sessions->names, host);

	if (table_token(sessions, hash))
		return err_refuse(err, ERR_CONFLICT, "token-taken", "the token is in use");
	token = alloc_zeroed(1, sizeof(*token));
	if (!token || !name ||
	    map_add(&sessions->tokens, &token->by_hash, table_token_hash(hash)) < 0) {
		free(token);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	token->hash = *hash;
	token->host = name;
	token->session = session;
	token->person = session->person;
	token->next = session->tokens;
	session->tokens = token;
	return 0;
}

/* What a session may do, and until when: as it was opened, and again at each stage. */
void table_session_take_stage(struct session_entry *session, const struct session *from)
{
	session->until_s = from->until_s;
	session->second_factor_s = from->second_factor_s;
	session->signed_in_s = session_signed_in_s(from);
	session->stage = (uint8_t)from->stage;
	session->factor = (uint8_t)from->factor;
	session->proven_by = (uint8_t)session_proven_by(from);
}

int table_session_add(struct sessions *sessions, const struct session *from,
		      struct session_entry **ret_session, struct err *err)
{
	struct session_entry *session;
	const char *source = intern(&sessions->names, from->source);
	struct person_entry *person;

	if (table_session(sessions, from->id))
		return err_refuse(err, ERR_CONFLICT, "session-known", "the session is known");
	person = table_person_ensure(sessions, from->user_id);
	session = alloc_zeroed(1, sizeof(*session));
	if (!session || !source || !person ||
	    map_add(&sessions->entries, &session->by_id, table_id_hash(sessions, from->id)) < 0) {
		free(session);
		if (person)
			table_person_drop_unused(sessions, person);
		return err_set(err, ERR_MEMORY, "out of memory");
	}
	session->id = from->id;
	session->uuid = from->uuid;
	session->person = person;
	session->source = source;
	session->created_s = from->created_s;
	session->by_link = from->by_link;
	table_session_take_stage(session, from);
	atomic_init(&session->seen_s, from->seen_s);
	session->written_s = from->seen_s;
	person->sessions++;
	if (from->id > sessions->newest_id)
		sessions->newest_id = from->id;
	*ret_session = session;
	return 0;
}
