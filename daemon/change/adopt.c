/*
 * Whose an identity is, by a person's word.
 *
 * Enters: who asks, a user, an identity by source and key. Leaves: a note that the next read of the
 * identity, or its next sign-in, follows; or the identity gone from the user, with what rules gave for
 * it, and a note that no rule links it to them again. Audit rows "user.link", "user.unlink". Refused: an
 * identity that is somebody else's, users of another organization than the source's, a second identity of
 * one source, what would leave a user without a profile or an organization without an administrator.
 * Fails: store, memory; "sync-running" while the source is being read.
 *
 * A read that is under way knows the old state and would write it again: link and unlink have the source to
 * themselves, as a read has. What waits in held plans goes on waiting.
 */
#include <string.h>
#include <time.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/session.h>

#include "ceiling.h"
#include "edit.h"

#define KEY_MAX_BYTES 4096
#define SESSIONS_AT_ONCE 500
#define DETAIL_MAX (1u << 20)
/* A run of changes is over soon; a whole read is not worth waiting for. */
#define WAIT_MS 2000
#define WAIT_STEP_MS 10

struct adoption {
	const char *source, *key;
	const char *refused; /* the field that a refusal is about */
	bool changed;
};

/* --- the source alone --- */

static struct source_slot *take_source(struct changer *changer, const char *source, struct err *err)
{
	const struct timespec step = { .tv_nsec = WAIT_STEP_MS * 1000000L };
	struct source_slot *slot = NULL;
	struct err busy;

	err_clear(&busy);
	for (int waited_ms = 0; !slot && waited_ms <= WAIT_MS; waited_ms += WAIT_STEP_MS) {
		if (waited_ms > 0)
			nanosleep(&step, NULL);
		slot = slot_take(changer, source, SLOT_WHOLE, &busy);
		if (!slot && busy.code != ERR_CONFLICT)
			break;
	}
	if (!slot && err)
		*err = busy;
	return slot;
}

/* What a plan has still to write of the source, after a full disk perhaps, would be written over this. */
static int check_unfinished(struct changer *changer, const char *source, struct arena *arena,
			    struct err *err)
{
	struct plan_row *plans;
	size_t count;

	if (store_plan_list(changer->store, PLAN_READY, arena, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (strcmp(plans[i].source, source) == 0)
			return err_refuse(err, ERR_CONFLICT, "sync-running",
					  "a plan of source '%s' is not carried out to its end",
					  source);
	return 0;
}

static int send_alone(struct changer *changer, struct editing *editing, job_run *run,
		      struct uuid *ret_uuid, struct err *err)
{
	const struct adoption *adoption = editing->context;
	struct source_slot *slot = take_source(changer, adoption->source, err);
	int result;

	if (!slot)
		return -1;
	result = edit_send(changer, editing, run, ret_uuid, err);
	/* What is known of the source's identities is read anew: this one belongs elsewhere now. */
	slot->forget |= adoption->changed;
	slot_release(changer, slot);
	return result;
}

/* --- what both write --- */

static int write_row(struct changer *changer, const struct editing *editing, const char *action,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	const struct adoption *adoption = editing->context;
	char object[UUID_TEXT_SIZE + 5] = "user:";
	struct json json = JSON(&detail);

	uuid_format(&editing->uuid, object + 5);
	json_object(&json);
	json_string(&json, "source", adoption->source);
	json_string(&json, "key", adoption->key);
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, change_now_s(), editing->actor, action, object,
			   strbuf_text(&detail), err);
}

/* The version grows though nothing else of the row changed. */
static int touch(struct changer *changer, struct user *user, struct err *err)
{
	user->version++;
	user->updated_s = change_now_s();
	return store_user_touch(changer->store, user, err);
}

/* Whose the identity is, as stored; 0: nobody's. */
static int find_owner(struct changer *changer, const struct adoption *adoption, struct arena *arena,
		      int64_t *ret_user, struct err *err)
{
	struct identity_row row;
	struct err missing;

	err_clear(&missing);
	*ret_user = 0;
	if (store_identity_get(changer->store, adoption->source, adoption->key, arena, &row,
			       &missing) == 0)
		*ret_user = row.user_id;
	else if (missing.code != ERR_NOT_FOUND) {
		if (err)
			*err = missing;
		return -1;
	}
	return 0;
}

/* --- link --- */

static int check_source(const struct editing *editing, const struct user *user,
			const struct source_settings **ret_settings, struct err *err)
{
	struct adoption *adoption = editing->context;
	const struct source_settings *settings =
		setup_find_source(&editing->setup->setup, adoption->source);
	const char *organization;

	if (!settings) {
		adoption->refused = "source";
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no source '%s'",
				  adoption->source);
	}
	organization = settings->organization.text ? settings->organization.text : "default";
	if (strcmp(user->organization, organization) != 0 && editing->actor->limited) {
		/* Of another organization: it is not there. */
		adoption->refused = "source";
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no source '%s'",
				  adoption->source);
	}
	if (strcmp(user->organization, organization) != 0)
		return err_set(err, ERR_CONFLICT,
			       "'%s' belongs to another organization than source '%s'",
			       user->username, adoption->source);
	*ret_settings = settings;
	return 0;
}

/* One identity of each source, read or still to be read. */
static int check_others(struct changer *changer, const struct adoption *adoption,
			const struct user *user, struct arena *arena, struct err *err)
{
	struct identity_row *rows;
	struct link_row *links;
	size_t row_count, link_count, same = 0;

	if (store_identities_of(changer->store, user->id, arena, &rows, &row_count, err) < 0 ||
	    store_links_of(changer->store, user->id, arena, &links, &link_count, err) < 0)
		return -1;
	for (size_t i = 0; i < row_count; i++)
		same += strcmp(rows[i].source, adoption->source) == 0;
	for (size_t i = 0; i < link_count; i++)
		same += strcmp(links[i].source, adoption->source) == 0;
	if (same == 0)
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "'%s' has an identity of source '%s' already: unlink it first",
		       user->username, adoption->source);
}

/* 1 to go on, 0 when it is theirs already, -1. */
static int check_owner(struct changer *changer, const struct adoption *adoption,
		       const struct user *user, struct arena *arena, struct err *err)
{
	int64_t owner, wanted;

	if (find_owner(changer, adoption, arena, &owner, err) < 0 ||
	    store_link_wanted(changer->store, adoption->source, adoption->key, &wanted, err) < 0)
		return -1;
	if (owner == 0)
		owner = wanted;
	if (owner == 0)
		return 1;
	return owner == user->id ? 0
				 : err_set(err, ERR_CONFLICT,
					   "identity '%s' of source '%s' belongs to somebody else",
					   adoption->key, adoption->source);
}

static int link_job(struct changer *changer, struct job *job, struct err *err)
{
	struct editing *editing = job->context;
	struct adoption *adoption = editing->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	const struct source_settings *settings = NULL;
	struct user user;
	int go;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, editing, arena, &user, err) < 0 ||
	    check_source(editing, &user, &settings, err) < 0 ||
	    ceiling_source(changer, &editing->setup->setup, editing->actor, adoption->source, arena,
			   err) < 0 ||
	    check_unfinished(changer, adoption->source, arena, err) < 0 ||
	    store_source_ensure(changer->store, adoption->source, err) < 0)
		return -1;
	go = check_owner(changer, adoption, &user, arena, err);
	if (go <= 0)
		return go;
	if (check_others(changer, adoption, &user, arena, err) < 0 ||
	    store_link_put(changer->store, adoption->source, adoption->key, user.id, true, err) < 0)
		return -1;
	/* Nobody reads such a source again and finds them well. */
	if (source_signs_in(settings) &&
	    store_quarantine_forget(changer->store, adoption->source, adoption->key, err) < 0)
		return -1;
	adoption->changed = true;
	if (touch(changer, &user, err) < 0)
		return -1;
	return write_row(changer, editing, "user.link", err);
}

int change_user_link(struct changer *changer, const struct actor *actor, const char *user,
		     int64_t version, const char *source, const char *key, struct uuid *ret_uuid,
		     const char **ret_field, struct err *err)
{
	struct adoption adoption = { .source = source, .key = key };
	struct editing editing = {
		.actor = actor, .user = user, .version = version, .context = &adoption
	};
	int result;

	*ret_field = "key";
	if (key[0] == '\0' || strlen(key) > KEY_MAX_BYTES)
		return err_set(err, ERR_INVALID, "a key has 1 to %d bytes", KEY_MAX_BYTES);
	result = send_alone(changer, &editing, link_job, ret_uuid, err);
	*ret_field = adoption.refused;
	return result;
}

/* --- unlink --- */

/* What rules and the identities that are left say; nothing of what waits for a person's consent. */
static int evaluate_without(struct changer *changer, const struct editing *editing,
			    const struct user *user, struct arena *arena,
			    struct person_change *ret_change, struct err *err)
{
	const struct adoption *adoption = editing->context;
	struct evaluation evaluation = { .setup = editing->setup,
					 .store = changer->store,
					 .arena = arena,
					 .now_s = change_now_s(),
					 .unprotected = true };
	struct held_users waiting;
	struct identity_row *rows;
	enum evaluated outcome;
	const char *problem;
	size_t count;

	if (store_identities_of(changer->store, user->id, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].source, adoption->source) != 0 ||
		    strcmp(rows[i].key, adoption->key) != 0)
			rows[evaluation.row_count++] = rows[i];
	evaluation.rows = rows;
	evaluation.cause = arena_printf(arena, "unlink %s", adoption->source);
	if (!evaluation.cause)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (evaluate_user(&evaluation, user->id, NULL, ret_change, &outcome, &problem, err) < 0 ||
	    held_users_load(changer->store, NULL, true, arena, &waiting, err) < 0)
		return -1;
	return held_users_subtract(&waiting, ret_change, arena, err);
}

/*
 * Who may not sign in because of what this identity said, or because it was gone, is not let in by its
 * going: they stay disabled, by this hand, until a hand enables them.
 */
static void keep_disabled(struct person_change *change)
{
	if (!user_is_active(&change->before) && user_is_active(&change->after))
		change->after.disabled |= DISABLED_BY_HAND;
}

static int end_sessions(struct changer *changer, const struct editing *editing,
			const struct user *user, struct arena *arena, struct err *err)
{
	const struct adoption *adoption = editing->context;
	struct session_query query = { .user_id = user->id,
				       .source = adoption->source,
				       .limit = SESSIONS_AT_ONCE };
	char object[UUID_TEXT_SIZE + 5] = "user:";
	size_t count = SESSIONS_AT_ONCE;

	uuid_format(&user->uuid, object + 5);
	while (count == SESSIONS_AT_ONCE) {
		AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
		struct json json = JSON(&detail);
		struct session *sessions;

		if (store_session_list(changer->store, &query, arena, &sessions, &count, err) < 0)
			return -1;
		json_object(&json);
		json_string(&json, "why", "unlinked");
		json_string(&json, "source", adoption->source);
		json_array_key(&json, "sessions");
		for (size_t i = 0; i < count; i++) {
			char uuid[UUID_TEXT_SIZE];

			uuid_format(&sessions[i].uuid, uuid);
			json_string(&json, NULL, uuid);
			if (store_session_delete(changer->store, sessions[i].id, err) < 0 ||
			    notice_ended(changer, sessions[i].id, err) < 0)
				return -1;
		}
		json_end(&json);
		json_end(&json);
		if (strbuf_failed(&detail))
			return err_set(err, ERR_MEMORY, "no memory for an audit row");
		if (count > 0 && audit_write(changer->store, change_now_s(), editing->actor,
					     "session.end", object, strbuf_text(&detail), err) < 0)
			return -1;
	}
	return 0;
}

static int take_away(struct changer *changer, struct editing *editing, struct user *user,
		     struct arena *arena, struct err *err)
{
	const struct adoption *adoption = editing->context;
	struct person_change change;
	bool written = false;

	if (evaluate_without(changer, editing, user, arena, &change, err) < 0)
		return -1;
	keep_disabled(&change);
	if (change.after.profile[0] == '\0' && change.before.profile[0] != '\0')
		return err_refuse(err, ERR_CONFLICT, "profile-required",
				  "'%s' would be left without a profile: give one by hand first",
				  user->username);
	if (edit_apply(changer, editing, &change, arena, &written, err) < 0 ||
	    store_identity_delete(changer->store, adoption->source, adoption->key, err) < 0 ||
	    store_link_put(changer->store, adoption->source, adoption->key, user->id, false, err) <
		    0 ||
	    end_sessions(changer, editing, user, arena, err) < 0)
		return -1;
	/* Others may link to it. */
	changer->notices.links = true;
	notice_changed(changer, user->id);
	return written ? 0 : touch(changer, user, err);
}

static int unlink_job(struct changer *changer, struct job *job, struct err *err)
{
	struct editing *editing = job->context;
	struct adoption *adoption = editing->context;
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	int64_t owner, wanted;
	struct user user;
	int result;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	if (edit_find_subject(changer, editing, arena, &user, err) < 0 ||
	    check_unfinished(changer, adoption->source, arena, err) < 0 ||
	    find_owner(changer, adoption, arena, &owner, err) < 0 ||
	    store_link_wanted(changer->store, adoption->source, adoption->key, &wanted, err) < 0)
		return -1;
	if (owner != user.id && wanted != user.id)
		return err_refuse(err, ERR_NOT_FOUND, "not-found",
				  "'%s' has no identity '%s' of source '%s'", user.username,
				  adoption->key, adoption->source);
	adoption->changed = true;
	if (owner == user.id)
		result = take_away(changer, editing, &user, arena, err);
	else if (store_link_remove(changer->store, adoption->source, adoption->key, user.id, err) <
		 0)
		result = -1;
	else
		result = touch(changer, &user, err);
	return result < 0 ? -1 : write_row(changer, editing, "user.unlink", err);
}

int change_user_unlink(struct changer *changer, const struct actor *actor, const char *user,
		       int64_t version, const char *source, const char *key, struct uuid *ret_uuid,
		       struct err *err)
{
	struct adoption adoption = { .source = source, .key = key };
	struct editing editing = {
		.actor = actor, .user = user, .version = version, .context = &adoption
	};

	return send_alone(changer, &editing, unlink_job, ret_uuid, err);
}
