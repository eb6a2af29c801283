/*
 * The end of sessions, more tokens of them, and what is kept about them.
 *
 * Enters: ids of sessions, logout requests, times. Leaves: rows gone, an audit row for each session
 * that somebody ended; what merely expired is not worth one. Fails: store, memory. Sessions that
 * have ended already are no failure: two ways out may be taken at once.
 */
#include "ceiling.h"
#include "link.h"
#include "stage.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/credential.h>
#include <rolebridge/store/device.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/session.h>

#define ENDS_AT_ONCE 500
#define SEEN_AT_ONCE 1000
#define PRUNED_AT_ONCE 1000
#define PRUNE_ROUNDS 50
#define DETAIL_MAX (16u * 1024 * 1024)
/* A name at sign-in that somebody else has is listed for so long after the last time. */
#define CONFLICTS_KEPT_S (7 * (int64_t)86400)

/* --- one session --- */

static int gone_already(const struct err *missing, struct err *err)
{
	if (missing->code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = *missing;
	return -1;
}

static void write_session(struct json *json, const struct session *session)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&session->uuid, uuid);
	json_string(json, "session", uuid);
	if (session->source[0])
		json_string(json, "source", session->source);
}

static int audit_end(struct changer *changer, const struct actor *actor,
		     const struct session *session, const char *why, struct arena *arena,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 5] = "user:";
	struct json json = JSON(&detail);
	struct user user;

	if (store_user_get(changer->store, session->user_id, arena, &user, err) < 0)
		return -1;
	uuid_format(&user.uuid, object + 5);
	json_object(&json);
	json_string(&json, "why", why);
	write_session(&json, session);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, change_now_s(), actor, "session.end", object,
			   strbuf_text(&detail), err);
}

static int check_ceiling(struct changer *changer, const struct actor *actor,
			 const struct session *session, struct arena *arena, struct err *err)
{
	struct setup *setup;
	struct user user;
	int result;

	if (!actor->limited)
		return 0;
	if (store_user_get(changer->store, session->user_id, arena, &user, err) < 0)
		return -1;
	setup = changer_setup(changer);
	result = ceiling_user(changer, setup, actor, &user, arena, err);
	setup_release(setup);
	return result;
}

static int end_one(struct changer *changer, const struct actor *actor,
		   const struct session *session, const char *why, struct arena *arena,
		   struct err *err)
{
	if (check_ceiling(changer, actor, session, arena, err) < 0)
		return -1;
	if (store_session_delete(changer->store, session->id, err) < 0 ||
	    audit_end(changer, actor, session, why, arena, err) < 0)
		return -1;
	return notice_ended(changer, session->id, err);
}

/* --- those of a user --- */

static int audit_all(struct changer *changer, const struct actor *actor, const struct user *user,
		     const char *why, const struct session *sessions, size_t count, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 5] = "user:";
	struct json json = JSON(&detail);

	uuid_format(&user->uuid, object + 5);
	json_object(&json);
	json_string(&json, "why", why);
	json_array_key(&json, "sessions");
	for (size_t i = 0; i < count; i++) {
		char uuid[UUID_TEXT_SIZE];

		uuid_format(&sessions[i].uuid, uuid);
		json_string(&json, NULL, uuid);
	}
	json_end(&json);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, change_now_s(), actor, "session.end", object,
			   strbuf_text(&detail), err);
}

int sessions_end_of(struct changer *changer, const struct actor *actor, const struct user *user,
		    int64_t except_id, const char *why, struct arena *arena, size_t *ret_ended,
		    struct err *err)
{
	struct session_query query = { .user_id = user->id, .limit = ENDS_AT_ONCE };
	size_t count = ENDS_AT_ONCE, all = 0;

	while (count == ENDS_AT_ONCE) {
		struct session *sessions;
		size_t ended = 0;

		if (store_session_list(changer->store, &query, arena, &sessions, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			query.after_id = sessions[i].id;
			if (sessions[i].id == except_id)
				continue;
			if (store_session_delete(changer->store, sessions[i].id, err) < 0 ||
			    notice_ended(changer, sessions[i].id, err) < 0)
				return -1;
			sessions[ended++] = sessions[i];
		}
		if (ended > 0 && audit_all(changer, actor, user, why, sessions, ended, err) < 0)
			return -1;
		all += ended;
	}
	if (ret_ended)
		*ret_ended = all;
	return 0;
}

/* A name and a number may be given to nobody else, but what they signed in with goes. */
static int follow_deletion(struct apply_context *context, const struct person_change *change,
			   struct err *err)
{
	struct store *store = context->changer->store;

	if (!(change->after.disabled & ~change->before.disabled & DISABLED_DELETED))
		return 0;
	return store_credentials_drop(store, change->after.id, err) < 0 ||
			       store_factors_drop(store, change->after.id, err) < 0
		       ? -1
		       : 0;
}

/* Suspended before and after: what there is was opened by root's link since, and stays. */
static bool stays_suspended(const struct person_change *change)
{
	return change->before.disabled & change->after.disabled & SUSPENDED_SIGN_IN &&
	       user_is_active(&change->after) && !person_change_moves(change);
}

int sessions_follow(struct apply_context *context, const struct person_change *change,
		    struct err *err)
{
	notice_changed(context->changer, change->after.id);
	if (change->before.id == 0 || stays_suspended(change) ||
	    (user_may_sign_in(&change->after) && !person_change_moves(change)))
		return 0;
	if (follow_deletion(context, change, err) < 0 ||
	    stage_forget_devices(context->changer, change->after.id, err) < 0)
		return -1;
	return sessions_end_of(context->changer, context->actor, &change->after, 0,
			       person_change_moves(change)	? "moved"
			       : user_is_active(&change->after) ? "suspended"
								: "disabled",
			       context->arena, NULL, err);
}

/* --- by id --- */

struct ending {
	const struct actor *actor;
	const int64_t *ids;
	size_t count;
	const char *why;
	size_t ended;
};

static int end_job(struct changer *changer, struct job *job, struct err *err)
{
	struct ending *ending = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	ending->ended = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to end sessions");
	for (size_t i = 0; i < ending->count; i++) {
		struct session session;
		struct err missing;

		arena_reset(arena);
		err_clear(&missing);
		if (store_session_get(changer->store, ending->ids[i], arena, &session, &missing) <
		    0) {
			if (gone_already(&missing, err) < 0)
				return -1;
			continue;
		}
		if (end_one(changer, ending->actor, &session, ending->why, arena, err) < 0)
			return -1;
		ending->ended++;
	}
	return 0;
}

int change_sessions_end(struct changer *changer, const struct actor *actor, const int64_t *ids,
			size_t count, const char *why, size_t *ret_ended, struct err *err)
{
	size_t ended = 0;
	int result = 0;

	for (size_t at = 0; at < count && result == 0; at += ENDS_AT_ONCE) {
		struct ending ending = { .actor = actor, .ids = ids + at, .why = why };

		ending.count = count - at < ENDS_AT_ONCE ? count - at : ENDS_AT_ONCE;
		result = writer_request(changer, end_job, &ending, err);
		ended += result == 0 ? ending.ended : 0;
	}
	if (ret_ended && (result == 0 || ended > 0))
		*ret_ended = ended;
	return result;
}

/* --- by the IdP --- */

struct idp_ending {
	const struct actor *actor;
	const char *source;
	const struct saml_logout *logout;
	size_t ended;
};

static bool is_named(const struct saml_logout *logout, const struct session *session)
{
	for (size_t i = 0; i < logout->session_index_count; i++)
		if (strcmp(logout->session_indexes[i], session->session_index) == 0)
			return true;
	return logout->session_index_count == 0;
}

static int end_named(struct changer *changer, struct idp_ending *ending, struct arena *arena,
		     struct err *err)
{
	struct session_query query = { .source = ending->source,
				       .name_id = ending->logout->name_id,
				       .limit = ENDS_AT_ONCE };
	size_t count = ENDS_AT_ONCE;

	while (count == ENDS_AT_ONCE) {
		struct session *sessions;

		if (store_session_list(changer->store, &query, arena, &sessions, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			query.after_id = sessions[i].id;
			if (!is_named(ending->logout, &sessions[i]))
				continue;
			if (end_one(changer, ending->actor, &sessions[i], "idp-logout", arena,
				    err) < 0)
				return -1;
			ending->ended++;
		}
	}
	return 0;
}

static int idp_job(struct changer *changer, struct job *job, struct err *err)
{
	struct idp_ending *ending = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	ending->ended = 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to end sessions");
	if (store_used_add(changer->store, "logout", ending->source, ending->logout->id,
			   ending->logout->replay_until_s, err) < 0)
		return -1;
	return end_named(changer, ending, arena, err);
}

int change_sessions_end_by_idp(struct changer *changer, const struct actor *actor,
			       const char *source, const struct saml_logout *logout,
			       size_t *ret_ended, struct err *err)
{
	struct idp_ending ending = { .actor = actor, .source = source, .logout = logout };

	if (!logout->is_request || logout->name_id[0] == '\0')
		return err_refuse(err, ERR_INVALID, "invalid-request",
				  "a logout request names somebody");
	if (writer_request(changer, idp_job, &ending, err) < 0)
		return -1;
	if (ret_ended)
		*ret_ended = ending.ended;
	return 0;
}

/* --- tokens, times --- */

static int token_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct session_token *token = job->context;

	return store_session_token_add(changer->store, token, err);
}

int change_session_token_add(struct changer *changer, const struct session_token *token,
			     struct err *err)
{
	struct session_token copy = *token;

	return writer_request(changer, token_job, &copy, err);
}

struct seeing {
	const struct session *sessions;
	size_t count;
};

static int seen_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct seeing *seeing = job->context;

	for (size_t i = 0; i < seeing->count; i++) {
		struct err missing;

		err_clear(&missing);
		if (store_session_seen(changer->store, seeing->sessions[i].id,
				       seeing->sessions[i].seen_s, &missing) < 0 &&
		    gone_already(&missing, err) < 0)
			return -1;
	}
	return 0;
}

int change_sessions_seen(struct changer *changer, const struct session *sessions, size_t count,
			 struct err *err)
{
	for (size_t at = 0; at < count; at += SEEN_AT_ONCE) {
		struct seeing seeing = { sessions + at, count - at };

		if (seeing.count > SEEN_AT_ONCE)
			seeing.count = SEEN_AT_ONCE;
		if (writer_bulk(changer, seen_job, &seeing, err) < 0)
			return -1;
	}
	return 0;
}

/* --- what has expired --- */

struct pruning {
	int64_t now_s, idle_before_s;
	const struct setup *setup;
	bool more;
};

static int prune_sessions(struct changer *changer, struct pruning *pruning, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	int64_t *ids;
	size_t count;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to end sessions");
	if (store_session_prune(changer->store, pruning->now_s, pruning->idle_before_s,
				PRUNED_AT_ONCE, arena, &ids, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (notice_ended(changer, ids[i], err) < 0)
			return -1;
	pruning->more = count == PRUNED_AT_ONCE;
	return 0;
}

/* Sources that are never read do not empty their quarantine by a read. */
static int prune_conflicts(struct changer *changer, const struct pruning *pruning, struct err *err)
{
	for (size_t i = 0; i < pruning->setup->source_count; i++)
		if (source_signs_in(pruning->setup->sources[i]) &&
		    store_quarantine_prune(changer->store, pruning->setup->sources[i]->name.text,
					   pruning->now_s - CONFLICTS_KEPT_S, err) < 0)
			return -1;
	return 0;
}

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	struct pruning *pruning = job->context;
	int gone;

	if (prune_sessions(changer, pruning, err) < 0 || prune_conflicts(changer, pruning, err) < 0)
		return -1;
	gone = store_used_prune(changer->store, pruning->now_s, PRUNED_AT_ONCE, err);
	pruning->more |= gone == PRUNED_AT_ONCE;
	if (gone >= 0)
		gone = store_factor_prune(changer->store, pruning->now_s, PRUNED_AT_ONCE, err);
	pruning->more |= gone >= PRUNED_AT_ONCE;
	if (gone >= 0)
		gone = store_device_prune(changer->store, pruning->now_s, PRUNED_AT_ONCE, err);
	pruning->more |= gone >= PRUNED_AT_ONCE;
	return gone < 0 ? -1 : 0;
}

int change_sessions_prune(struct changer *changer, int64_t now_s, int64_t idle_before_s,
			  struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct pruning pruning = { now_s, idle_before_s, &setup->setup, true };
	int result = 0;

	for (int round = 0; round < PRUNE_ROUNDS && pruning.more && result == 0; round++)
		result = writer_bulk(changer, prune_job, &pruning, err);
	link_indexes_tidy(changer);
	setup_release(&setup->setup);
	return result;
}
