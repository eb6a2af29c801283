/*
 * Changes of the table as they happen. Enter: what change/ tells of persons and sessions; sessions that were opened. Leaves: the
 * table as it is from then on. May fail: memory; the store, when a session may have ended before it was added.
 */
#include "table.h"

#include <rolebridge/base/clock.h>
#include <rolebridge/store/session.h>

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
	person = table_person_ensure(sessions, user_id);
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
	} else if ((person = table_person(sessions, user_id)) != NULL) {
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

void table_note_ended(void *context, int64_t session_id)
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
		table_session_take_stage(session, from);
	if (session && token) {
		table_tokens_drop(sessions, session);
		table_token_add(sessions, session, token, "", NULL);
	}
	pthread_rwlock_unlock(&sessions->lock);
}

struct change_observer table_observer(struct sessions *sessions)
{
	return (struct change_observer){ .context = sessions,
					 .disabling = on_disabling,
					 .changed = on_changed,
					 .ended = table_note_ended,
					 .rotated = on_rotated };
}

/* -------------------------------------------------------------- from outside */

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

static int put_session(struct sessions *sessions, const struct session *session,
		       const struct hash256 *token, struct err *err)
{
	struct session_entry *entry;

	if (table_session_add(sessions, session, &entry, err) < 0)
		return -1;
	if (table_token_add(sessions, entry, token, "", err) == 0)
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
	status = table_reader(sessions, err) ? store_session_get(sessions->store, session_id,
								 sessions->arena, &session, err)
					     : -1;
	pthread_mutex_unlock(&sessions->reading);
	if (status < 0)
		table_note_ended(sessions, session_id);
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
	status = session ? table_token_add(sessions, session, &token->hash, token->host, err)
			 : err_set(err, ERR_NOT_FOUND, "the session has ended");
	pthread_rwlock_unlock(&sessions->lock);
	return status;
}
