/*
 * Who stands behind a token. Enter: tokens from browsers. Leave: views that hold a counted principal. May
 * fail: the store, when a person must be read anew (ERR_UNAVAILABLE, nobody is let in), and memory.
 *
 * A person is read from the store when a request first needs them after a change. Two counters decide whether
 * what was read is still true when it is put into the table: one of the person, one of
 * everybody. So a change that was told while the store was read makes the read be repeated, never be
 * believed.
 */
#include <rolebridge/auth/sessions.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/policy/policy.h>
#include <rolebridge/store/session.h>

#include "principal.h"
#include "table.h"

#define READ_ATTEMPTS 8

/* -------------------------------------------------------------------- store */

struct store *table_reader(struct sessions *sessions, struct err *err)
{
	if (!sessions->store)
		sessions->store =
			store_open(changer_store_path(sessions->changer), STORE_READ, err);
	return sessions->store;
}

static void reader_give_up(struct sessions *sessions)
{
	store_close(sessions->store);
	sessions->store = NULL;
}

struct counters {
	uint64_t person, all;
};

/* false: it is known by now, or gone. */
static bool person_wants_reading(struct sessions *sessions, int64_t user_id, int64_t now_s,
				 struct counters *ret_counters)
{
	struct person_entry *person;
	bool wanted = false;

	pthread_rwlock_rdlock(&sessions->lock);
	person = table_person(sessions, user_id);
	if (person) {
		*ret_counters = (struct counters){ person->change, sessions->change_all };
		wanted = person->state == PERSON_STALE ||
			 person->change_all != sessions->change_all || now_s >= person->until_s;
	}
	pthread_rwlock_unlock(&sessions->lock);
	return wanted;
}

/* What was read of somebody. */
struct reading {
	const struct principal *principal; /* NULL: to be refused */
	bool suspended;
	unsigned demand;
	int64_t until_s;
};

/* Takes over the principal, unless something was told meanwhile. */
static void person_put(struct sessions *sessions, int64_t user_id, const struct counters *counters,
		       const struct reading *reading)
{
	const struct principal *old = reading->principal;
	struct person_entry *person;

	pthread_rwlock_wrlock(&sessions->lock);
	person = table_person(sessions, user_id);
	if (person && person->change == counters->person && sessions->change_all == counters->all) {
		old = person->principal;
		person->principal = reading->principal;
		person->state = !reading->principal  ? PERSON_REFUSED
				: reading->suspended ? PERSON_SUSPENDED
						     : PERSON_KNOWN;
		person->told_to_refuse = false;
		person->change_all = counters->all;
		person->until_s = reading->until_s;
		person->demand = reading->demand;
	}
	pthread_rwlock_unlock(&sessions->lock);
	principal_release(old);
}

/* Whatever is changed between its parts is told, and then it is not believed. */
static int load_person(struct sessions *sessions, const struct setup *setup, int64_t user_id,
		       int64_t now_s, struct reading *reading, struct err *err)
{
	int64_t grace_s = INT64_MAX;

	if (principal_load(sessions->store, user_id, setup->policy->administrator_profile.text,
			   now_s, sessions->arena, &reading->principal, &reading->suspended,
			   &reading->until_s, err) < 0)
		return -1;
	if (reading->principal &&
	    change_factor_demand(setup, sessions->store, user_id, now_s, sessions->arena,
				 &reading->demand, &grace_s, err) < 0) {
		principal_release(reading->principal);
		return -1;
	}
	if (grace_s < reading->until_s)
		reading->until_s = grace_s;
	return 0;
}

static int read_person(struct sessions *sessions, int64_t user_id, int64_t now_s, struct err *err)
{
	struct reading reading = { .principal = NULL };
	struct setup *setup;
	struct counters counters;
	int status = -1;

	if (!person_wants_reading(sessions, user_id, now_s, &counters))
		return 0;
	if (!table_reader(sessions, err))
		return -1;
	setup = changer_setup(sessions->changer);
	arena_reset(sessions->arena);
	status = load_person(sessions, setup, user_id, now_s, &reading, err);
	setup_release(setup);
	if (status < 0)
		reader_give_up(sessions);
	else
		person_put(sessions, user_id, &counters, &reading);
	return status;
}

static int refresh_person(struct sessions *sessions, int64_t user_id, int64_t now_s,
			  struct err *err)
{
	struct err cause = { 0 };
	int status;

	pthread_mutex_lock(&sessions->reading);
	status = read_person(sessions, user_id, now_s, &cause);
	pthread_mutex_unlock(&sessions->reading);
	return status == 0 ? 0
			   : err_set(err, ERR_UNAVAILABLE, "cannot read a person: %s", cause.text);
}

/* ------------------------------------------------------------------ finding */

enum outcome {
	OUTCOME_FOUND,
	OUTCOME_NOBODY,
	OUTCOME_STALE,
	OUTCOME_UNPROVEN, /* full, but by less than is asked for now */
};

/* Callers hold the lock shared. Inlined in both that find: what they ask for is known there. */
__attribute__((always_inline)) static inline enum outcome look_up(
	struct sessions *sessions, const struct hash256 *hash, const char *host, bool any_stage,
	int64_t now_s, struct session_view *ret_view, int64_t *ret_id)
{
	const struct token_entry *token = table_token(sessions, hash);
	struct session_entry *session;
	struct person_entry *person;

	if (!token)
		return OUTCOME_NOBODY;
	session = token->session;
	person = token->person;
	/* Most of a look-up is waiting for memory: let both come together, and then the principal. */
	__builtin_prefetch(session, 1);
	__builtin_prefetch(person);
	if (strcmp(token->host, host) != 0)
		return OUTCOME_NOBODY;
	if (person->principal)
		__builtin_prefetch(person->principal, 1);
	if (table_session_is_over(sessions, session, now_s) ||
	    (session->stage != SESSION_FULL && !any_stage))
		return OUTCOME_NOBODY;
	*ret_id = person->id;
	if (person->state == PERSON_STALE || person->change_all != sessions->change_all ||
	    now_s >= person->until_s)
		return OUTCOME_STALE;
	/* Whose sign-in is suspended is at our own pages by root's link, and nowhere else. */
	if (person->state != PERSON_KNOWN &&
	    !(person->state == PERSON_SUSPENDED && session->by_link && host[0] == '\0'))
		return OUTCOME_NOBODY;
	if (session->stage == SESSION_FULL &&
	    !factor_meets(person->demand, session->factor, session->proven_by)) {
		*ret_id = session->id;
		return any_stage ? OUTCOME_UNPROVEN : OUTCOME_NOBODY;
	}
	/* Written only when it changes, so that cores do not pull the line from each other. */
	if (atomic_load_explicit(&session->seen_s, memory_order_relaxed) != now_s) {
		atomic_store_explicit(&session->seen_s, now_s, memory_order_relaxed);
		atomic_store_explicit(&person->used_s, now_s, memory_order_relaxed);
	}
	*ret_view = (struct session_view){ .principal = principal_acquire(person->principal),
					   .session_id = session->id,
					   .uuid = session->uuid,
					   .source = session->source,
					   .created_s = session->created_s,
					   .until_s = session->until_s,
					   .second_factor_s = session->second_factor_s,
					   .signed_in_s = session->signed_in_s,
					   .stage = session->stage,
					   .factor = session->factor,
					   .by_link = session->by_link };
	return OUTCOME_FOUND;
}

/* The stage that it has now is for the store to say: pages and forms read it there. */
static int put_back(struct sessions *sessions, int64_t session_id, struct err *err)
{
	struct err cause = { 0 };

	return change_session_judge(sessions->changer, session_id, &cause) == 0
		       ? 0
		       : err_set(err, ERR_UNAVAILABLE, "cannot look at a session: %s", cause.text);
}

__attribute__((always_inline)) static inline int find(struct sessions *sessions, const char *token,
						      const char *host, bool any_stage,
						      int64_t now_s, struct session_view *ret_view,
						      struct err *err)
{
	struct hash256 hash;
	int64_t id = 0;

	if (!session_token_hash(token, &hash))
		return err_set(err, ERR_NOT_FOUND, "no such session");
	for (int i = 0; i < READ_ATTEMPTS; i++) {
		enum outcome outcome;

		pthread_rwlock_rdlock(&sessions->lock);
		outcome = look_up(sessions, &hash, host, any_stage, now_s, ret_view, &id);
		pthread_rwlock_unlock(&sessions->lock);
		if (outcome == OUTCOME_FOUND)
			return 0;
		if (outcome == OUTCOME_NOBODY)
			return err_set(err, ERR_NOT_FOUND, "no such session");
		if ((outcome == OUTCOME_UNPROVEN ? put_back(sessions, id, err)
						 : refresh_person(sessions, id, now_s, err)) < 0)
			return -1;
	}
	return err_set(err, ERR_UNAVAILABLE, "the person changes too often to be read");
}

int sessions_find(struct sessions *sessions, const char *token, const char *host, int64_t now_s,
		  struct session_view *ret_view, struct err *err)
{
	return find(sessions, token, host, false, now_s, ret_view, err);
}

int sessions_find_any(struct sessions *sessions, const char *token, const char *host, int64_t now_s,
		      struct session_view *ret_view, struct err *err)
{
	return find(sessions, token, host, true, now_s, ret_view, err);
}

/* Callers hold the lock shared. Nobody's entry is made by that: an absent one is stale. */
static enum outcome look_up_person(struct sessions *sessions, int64_t user_id, int64_t now_s,
				   const struct principal **ret_principal)
{
	struct person_entry *person = table_person(sessions, user_id);

	if (!person || person->state == PERSON_STALE ||
	    person->change_all != sessions->change_all || now_s >= person->until_s)
		return OUTCOME_STALE;
	if (person->state != PERSON_KNOWN)
		return OUTCOME_NOBODY;
	if (atomic_load_explicit(&person->used_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&person->used_s, now_s, memory_order_relaxed);
	*ret_principal = principal_acquire(person->principal);
	return OUTCOME_FOUND;
}

static int make_person(struct sessions *sessions, int64_t user_id, struct err *err)
{
	const struct person_entry *person;

	pthread_rwlock_wrlock(&sessions->lock);
	person = table_person_ensure(sessions, user_id);
	pthread_rwlock_unlock(&sessions->lock);
	return person ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

int sessions_principal(struct sessions *sessions, int64_t user_id, int64_t now_s,
		       const struct principal **ret_principal, struct err *err)
{
	for (int i = 0; i < READ_ATTEMPTS; i++) {
		enum outcome outcome;

		pthread_rwlock_rdlock(&sessions->lock);
		outcome = look_up_person(sessions, user_id, now_s, ret_principal);
		pthread_rwlock_unlock(&sessions->lock);
		if (outcome == OUTCOME_FOUND)
			return 0;
		if (outcome == OUTCOME_NOBODY)
			return err_set(err, ERR_NOT_FOUND, "nobody who may sign in");
		if (make_person(sessions, user_id, err) < 0 ||
		    refresh_person(sessions, user_id, now_s, err) < 0)
			return -1;
	}
	return err_set(err, ERR_UNAVAILABLE, "the person changes too often to be read");
}

void session_view_release(struct session_view *view)
{
	principal_release(view->principal);
	view->principal = NULL;
}

void sessions_counts(struct sessions *sessions, struct sessions_counts *ret_counts)
{
	uint64_t principals = 0;

	pthread_rwlock_rdlock(&sessions->lock);
	for (size_t i = 0; i < sessions->persons.size; i++)
		for (struct map_link *at = sessions->persons.buckets[i]; at; at = at->next)
			principals += MAP_THING(at, struct person_entry, by_id)->principal != NULL;
	*ret_counts = (struct sessions_counts){ sessions->entries.count, sessions->tokens.count,
						principals };
	pthread_rwlock_unlock(&sessions->lock);
}
