/*
 * Who stands behind a token. Enter: tokens from browsers, sessions from change/, what change/
 * tells. Leave: views that hold a counted principal. May fail: the store, when a person must be
 * read anew (ERR_UNAVAILABLE, nobody is let in), and memory.
 *
 * A person is read from the store when a request first needs them after a change. Two counters decide whether
 * what was read is still true when it is put into the table: one of the person, one of
 * everybody. So a change that was told while the store was read makes the read be repeated, never be
 * believed.
 *
 * Buckets are chosen by the hash of a token, which is random, or by a row id mixed with a key
 * of this process: nobody outside can make them collide.
 */
#include <rolebridge/auth/sessions.h>

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/policy/policy.h>
#include <rolebridge/store/session.h>

#include "principal.h"
#include "table.h"

#define READ_ATTEMPTS 8
#define ARENA_BYTES_MAX ((size_t)16 << 20)
#define LIST_PAGE 10000
#define CLOCK_SLACK_S 300 /* between the clock now and when the session began */

/* ------------------------------------------------------------------- names */

/* ------------------------------------------------------------------ entries */

uint64_t table_id_hash(const struct sessions *sessions, int64_t id)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)((uint64_t)id ^ sessions->id_key[0]) * (sessions->id_key[1] | 1);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t token_hash(const struct hash256 *hash)
{
	uint64_t first;

	memcpy(&first, hash->byte, sizeof(first));
	return first;
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

static struct person_entry *find_person(const struct sessions *sessions, int64_t id)
{
	struct map_link *at = map_first(&sessions->persons, table_id_hash(sessions, id));

	for (; at; at = map_next(at)) {
		struct person_entry *person = MAP_THING(at, struct person_entry, by_id);

		if (person->id == id)
			return person;
	}
	return NULL;
}

static struct token_entry *find_token(const struct sessions *sessions, const struct hash256 *hash)
{
	struct map_link *at = map_first(&sessions->tokens, token_hash(hash));

	for (; at; at = map_next(at)) {
		struct token_entry *token = MAP_THING(at, struct token_entry, by_hash);

		if (memcmp(token->hash.byte, hash->byte, sizeof(hash->byte)) == 0)
			return token;
	}
	return NULL;
}

/* NULL: out of memory. */
static struct person_entry *ensure_person(struct sessions *sessions, int64_t id)
{
	struct person_entry *person = find_person(sessions, id);

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

static void drop_person(struct sessions *sessions, struct person_entry *person)
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
		drop_person(sessions, person);
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

/* ------------------------------------------------------------------- adding */

static int add_token(struct sessions *sessions, struct session_entry *session,
		     const struct hash256 *hash, const char *host, struct err *err)
{
	struct token_entry *token;
	const char *name = intern(&sessions->names, host);

	if (find_token(sessions, hash))
		return err_refuse(err, ERR_CONFLICT, "token-taken", "the token is in use");
	token = alloc_zeroed(1, sizeof(*token));
	if (!token || !name || map_add(&sessions->tokens, &token->by_hash, token_hash(hash)) < 0) {
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
static void take_stage(struct session_entry *session, const struct session *from)
{
	session->until_s = from->until_s;
	session->second_factor_s = from->second_factor_s;
	session->signed_in_s = session_signed_in_s(from);
	session->stage = (uint8_t)from->stage;
	session->factor = (uint8_t)from->factor;
	session->proven_by = (uint8_t)session_proven_by(from);
}

static int add_session(struct sessions *sessions, const struct session *from,
		       struct session_entry **ret_session, struct err *err)
{
	struct session_entry *session;
	const char *source = intern(&sessions->names, from->source);
	struct person_entry *person;

	if (table_session(sessions, from->id))
		return err_refuse(err, ERR_CONFLICT, "session-known", "the session is known");
	person = ensure_person(sessions, from->user_id);
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
	take_stage(session, from);
	atomic_init(&session->seen_s, from->seen_s);
	session->written_s = from->seen_s;
	person->sessions++;
	if (from->id > sessions->newest_id)
		sessions->newest_id = from->id;
	*ret_session = session;
	return 0;
}

/* -------------------------------------------------------------------- store */

/* Callers hold `reading`. A handle that failed is opened anew. */
static struct store *reader(struct sessions *sessions, struct err *err)
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
	person = find_person(sessions, user_id);
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
	person = find_person(sessions, user_id);
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
	if (!reader(sessions, err))
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
	const struct token_entry *token = find_token(sessions, hash);
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
	struct person_entry *person = find_person(sessions, user_id);

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
	person = ensure_person(sessions, user_id);
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

/* ------------------------------------------------- what change/ tells of */

static void on_disabling(void *context, int64_t user_id)
{
	struct sessions *sessions = context;
	struct person_entry *person;

	pthread_rwlock_wrlock(&sessions->lock);
	/*
	 * Also when nobody of that name is signed in: a sign-in that was committed already, and is added in
	 * a moment, must meet the refusal. Without memory for it, everybody is read anew: the
	 * commit then decides.
	 */
	person = ensure_person(sessions, user_id);
	if (person) {
		person->state = PERSON_REFUSED;
		person->told_to_refuse = true;
		person->change = ++sessions->changes;
		person->change_all = sessions->change_all;
		person->until_s = INT64_MAX;
	} else {
		sessions->change_all++;
	}
	pthread_rwlock_unlock(&sessions->lock);
}

static void on_changed(void *context, int64_t user_id)
{
	struct sessions *sessions = context;
	struct person_entry *person;

	pthread_rwlock_wrlock(&sessions->lock);
	if (user_id == 0) {
		sessions->change_all++;
	} else if ((person = find_person(sessions, user_id)) != NULL) {
		person->state = PERSON_STALE;
		person->told_to_refuse = false;
		person->change = ++sessions->changes;
		table_person_drop_unused(sessions, person);
	}
	pthread_rwlock_unlock(&sessions->lock);
}

/* Nobody knows it: perhaps whoever opened it has not come to add it yet. */
static void note_ended(struct sessions *sessions, int64_t session_id)
{
	size_t i = sessions->ended_next++ % ENDED_KEPT;

	if (sessions->ended[i] != 0)
		sessions->ended_lost_s = clock_now_s();
	sessions->ended[i] = session_id;
}

static void on_ended(void *context, int64_t session_id)
{
	struct sessions *sessions = context;
	struct session_entry *session;

	pthread_rwlock_wrlock(&sessions->lock);
	session = table_session(sessions, session_id);
	if (session)
		table_session_drop(sessions, session);
	/* Old ones were dropped by time, and end in the store only now. */
	else if (session_id > sessions->newest_id - 100 * ENDED_KEPT)
		note_ended(sessions, session_id);
	pthread_rwlock_unlock(&sessions->lock);
}

/* No token: it keeps those it has. Without memory for its token it stays without any: its person signs in again. */
static void on_rotated(void *context, const struct session *from, const struct hash256 *token)
{
	struct sessions *sessions = context;
	struct session_entry *session;

	pthread_rwlock_wrlock(&sessions->lock);
	session = table_session(sessions, from->id);
	if (session)
		take_stage(session, from);
	if (session && token) {
		table_tokens_drop(sessions, session);
		add_token(sessions, session, token, "", NULL);
	}
	pthread_rwlock_unlock(&sessions->lock);
}

struct change_observer table_observer(struct sessions *sessions)
{
	return (struct change_observer){ .context = sessions,
					 .disabling = on_disabling,
					 .changed = on_changed,
					 .ended = on_ended,
					 .rotated = on_rotated };
}

/* Can it have ended before it was added? Then the store is asked. Callers hold the lock. */
static bool may_have_ended(const struct sessions *sessions, const struct session *session)
{
	if (sessions->ended_lost_s >= session->created_s - CLOCK_SLACK_S)
		return true;
	for (size_t i = 0; i < ENDED_KEPT; i++)
		if (sessions->ended[i] == session->id)
			return true;
	return false;
}

/* -------------------------------------------------------------- from outside */

static int put_session(struct sessions *sessions, const struct session *session,
		       const struct hash256 *token, struct err *err)
{
	struct session_entry *entry;

	if (add_session(sessions, session, &entry, err) < 0)
		return -1;
	if (add_token(sessions, entry, token, "", err) == 0)
		return 0;
	table_session_drop(sessions, entry);
	return -1;
}

/* What ended before it was in the table is gone from the store; what ends later is told. */
static int check_in_store(struct sessions *sessions, int64_t session_id, struct err *err)
{
	struct session session;
	int status;

	pthread_mutex_lock(&sessions->reading);
	arena_reset(sessions->arena);
	status = reader(sessions, err) ? store_session_get(sessions->store, session_id,
							   sessions->arena, &session, err)
				       : -1;
	pthread_mutex_unlock(&sessions->reading);
	if (status < 0)
		on_ended(sessions, session_id);
	return status;
}

int sessions_add(struct sessions *sessions, const struct session *session,
		 const struct hash256 *token, struct err *err)
{
	bool unsure;
	int status;

	pthread_rwlock_wrlock(&sessions->lock);
	unsure = may_have_ended(sessions, session);
	status = put_session(sessions, session, token, err);
	pthread_rwlock_unlock(&sessions->lock);
	return status == 0 && unsure ? check_in_store(sessions, session->id, err) : status;
}

int sessions_add_token(struct sessions *sessions, const struct session_token *token,
		       struct err *err)
{
	struct session_entry *session;
	int status;

	pthread_rwlock_wrlock(&sessions->lock);
	session = table_session(sessions, token->session_id);
	status = session ? add_token(sessions, session, &token->hash, token->host, err)
			 : err_set(err, ERR_NOT_FOUND, "the session has ended");
	pthread_rwlock_unlock(&sessions->lock);
	return status;
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

/* ----------------------------------------------------------- start and end */

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

			if (add_session(sessions, &rows[i], &entry, err) < 0)
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

	return session ? add_token(load->sessions, session, &token->hash, token->host, load->err)
		       : 0;
}

static int load_all(struct sessions *sessions, struct err *err)
{
	struct err cause = { 0 };
	struct token_load load = { sessions, &cause };
	int status;

	if (!reader(sessions, err) || store_begin(sessions->store, err) < 0)
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
		drop_person(sessions, MAP_THING(link, struct person_entry, by_id));
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
