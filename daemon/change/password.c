/*
 * Passwords from within: who has one of ours, and setting it. Enters: who asks, hashes that were made elsewhere. Leaves:
 * the password, links that are void, browsers forgotten, sessions ended, audit rows. Refused: whoever signs in
 * elsewhere, and what was verified before another password was set. Fails: store, memory.
 */
#include "password.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/device.h>
#include <rolebridge/store/session.h>

#include "factors.h"

#define DETAIL_MAX (64u * 1024)
#define ARENA_MAX (16u * 1024 * 1024)

static const char *const by_names[] = { "self", "reset", "invite" };

/* --- whose passwords are ours --- */

/* Are an IdP's people those of this source? */
static bool is_linked_to(const struct setup *setup, const char *name)
{
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct source_settings *source = setup->sources[i];

		if (source_signs_in(source) && source->link.source.text &&
		    strcmp(source->link.source.text, name) == 0)
			return true;
	}
	return false;
}

static bool source_manages(const struct setup *setup, const char *name)
{
	const struct source_settings *source = setup_find_source(setup, name);

	if (!source)
		return false;
	return source_signs_in(source) ||
	       (source->type.text && strcmp(source->type.text, "ldap") == 0) ||
	       is_linked_to(setup, name);
}

int password_managed(const struct setup *setup, struct store *store, int64_t user_id,
		     struct arena *arena, const char **ret_source, struct err *err)
{
	int64_t steady_s = setup_steady_s(setup, change_now_s());
	struct identity_row *rows;
	size_t count;

	if (store_identities_of(store, user_id, arena, &rows, &count, err) < 0)
		return -1;
	*ret_source = NULL;
	for (size_t i = 0; i < count && !*ret_source; i++) {
		bool is_gone = rows[i].missing_s != 0 &&
			       policy_missing_disables(setup->policy, rows[i].missing_runs,
						       rows[i].missing_s, steady_s);

		if (!is_gone && source_manages(setup, rows[i].source))
			*ret_source = rows[i].source;
	}
	return 0;
}

int change_user_managed(struct changer *changer, struct store *store, int64_t user_id,
			struct arena *arena, const char **ret_source, struct err *err)
{
	struct setup *setup = changer_setup(changer);
	int result = password_managed(setup, store, user_id, arena, ret_source, err);

	setup_release(setup);
	return result;
}

int password_check_ours(const struct setup *setup, struct store *store, const struct user *user,
			struct arena *arena, struct err *err)
{
	const char *source;

	if (!user_may_sign_in(user))
		return err_refuse(err, ERR_CONFLICT, "user-disabled", "user '%s' is disabled",
				  user->username);
	if (password_managed(setup, store, user->id, arena, &source, err) < 0)
		return -1;
	if (!source)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "managed-by-idp",
			  "user '%s' signs in through source '%s', not with a password of ours",
			  user->username, source);
}

/* --- what is to be verified --- */

/* 1, 0 when it is not there, -1. */
static int found(int result, const struct err *missing, struct err *err)
{
	if (result == 0)
		return 1;
	if (missing->code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = *missing;
	return -1;
}

static int find_password(struct store *store, int64_t user_id, struct arena *arena,
			 struct password_row *ret_row, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	return found(store_password_get(store, user_id, arena, ret_row, &missing), &missing, err);
}

/* The identity of theirs that is bound as: present, of a source that takes passwords. */
static int find_directory(struct changer *changer, struct store *store, struct arena *arena,
			  struct password_candidate *candidate, struct err *err)
{
	struct setup *setup = changer_setup(changer);
	size_t count, best = SIZE_MAX;
	struct identity_row *rows;
	int result = store_identities_of(store, candidate->user_id, arena, &rows, &count, err);

	for (size_t i = 0; result == 0 && i < count; i++) {
		for (size_t j = 0; rows[i].missing_s == 0 && j < setup->source_count && j < best;
		     j++) {
			const struct source_settings *source = setup->sources[j];

			if (!source->enabled || !source_takes_passwords(source) ||
			    strcmp(source->name.text, rows[i].source) != 0)
				continue;
			best = j;
			candidate->source = rows[i].source;
			candidate->key = rows[i].key;
		}
	}
	setup_release(setup);
	return result;
}

static int make_candidate(struct changer *changer, struct store *store, const struct user *user,
			  struct arena *arena, struct password_candidate *ret_candidate,
			  struct err *err)
{
	struct password_candidate candidate = { .user_id = user->id };
	struct password_row password;
	const char *source;
	int is_there;

	if (change_user_managed(changer, store, user->id, arena, &source, err) < 0)
		return -1;
	is_there = find_password(store, user->id, arena, &password, err);
	if (is_there < 0)
		return -1;
	if (is_there > 0 && !source && !(user->disabled & DISABLED_DELETED)) {
		candidate.hash = password.hash;
		candidate.version = password.version;
	}
	uuid_format(&user->uuid, candidate.uuid);
	if (source && find_directory(changer, store, arena, &candidate, err) < 0)
		return -1;
	*ret_candidate = candidate;
	return 0;
}

int change_password_find(struct changer *changer, struct store *store, const char *name,
			 struct arena *arena, struct password_candidate *ret_candidate,
			 struct err *err)
{
	struct user user;
	struct err missing;
	int is_there;

	err_clear(&missing);
	is_there = found(user_resolve(store, name, arena, &user, &missing), &missing, err);
	if (is_there == 0)
		*ret_candidate = (struct password_candidate){ .user_id = 0 };
	if (is_there <= 0)
		return is_there;
	return make_candidate(changer, store, &user, arena, ret_candidate, err);
}

int change_password_of(struct changer *changer, struct store *store, int64_t user_id,
		       struct arena *arena, struct password_candidate *ret_candidate,
		       struct err *err)
{
	struct user user;

	if (store_user_get(store, user_id, arena, &user, err) < 0)
		return -1;
	return make_candidate(changer, store, &user, arena, ret_candidate, err);
}

/* --- setting it --- */

int password_audit(struct changer *changer, const struct actor *actor, const char *action,
		   const struct user *user, const struct strbuf *detail, struct err *err)
{
	char object[sizeof("user:") + UUID_TEXT_SIZE] = "user:";

	uuid_format(&user->uuid, object + strlen(object));
	if (strbuf_failed(detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, change_now_s(), actor, action, object,
			   strbuf_text(detail), err);
}

static int audit_set(struct changer *changer, const struct actor *actor, const struct user *user,
		     enum password_by by, bool is_first, int devices, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	json_string(&json, "by", by_names[by]);
	json_bool(&json, "first", is_first);
	if (devices > 0)
		json_int(&json, "devices", devices);
	json_end(&json);
	return password_audit(changer, actor, "password.set", user, &detail, err);
}

int password_write(struct changer *changer, const struct actor *actor, const struct user *user,
		   const char *hash, enum password_by by, struct arena *arena, struct err *err)
{
	struct password_row row = { .user_id = user->id,
				    .hash = hash,
				    .version = 1,
				    .by_mail = by == PASSWORD_BY_RESET,
				    .set_s = change_now_s() };
	struct password_row before;
	int had = find_password(changer->store, user->id, arena, &before, err), devices;

	if (had < 0)
		return -1;
	if (had > 0)
		row.version = before.version + 1;
	/* Whoever sets it in a session that began with such a link has proven nothing more. */
	if (had > 0 && by == PASSWORD_BY_SELF)
		row.by_mail = before.by_mail;
	if (store_password_put(changer->store, &row, err) < 0 ||
	    reset_close(changer, user->id, by == PASSWORD_BY_RESET ? RESET_USED : RESET_VOID, arena,
			err) < 0)
		return -1;
	/* Whoever had the one before may have had a browser remembered. */
	devices = store_devices_drop(changer->store, user->id, err);
	/* Whoever accepts an invite reads of nothing that they do not see on the page. */
	if (devices < 0 ||
	    (by != PASSWORD_BY_INVITE && factor_letter_add(changer, user, FACTOR_PASSWORD_SET,
							   FACTOR_NONE, row.set_s, err) < 0))
		return -1;
	return audit_set(changer, actor, user, by, had == 0, devices, err);
}

struct setting {
	const struct actor *actor;
	const struct password_change *change;
	const struct setup *setup;
	size_t ended;
};

static int check_session(struct changer *changer, const struct password_change *change,
			 struct arena *arena, struct err *err)
{
	struct session session;

	if (store_session_get(changer->store, change->session_id, arena, &session, err) < 0)
		return -1;
	if (session.user_id != change->user_id || session.stage != SESSION_FULL)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such session");
	return 0;
}

static int check_version(struct changer *changer, const struct password_change *change,
			 struct arena *arena, struct err *err)
{
	struct password_row row = { .version = 0 };

	if (find_password(changer->store, change->user_id, arena, &row, err) < 0)
		return -1;
	if (row.version != change->version)
		return err_refuse(err, ERR_CONFLICT, "stale-version",
				  "the password was changed meanwhile");
	return 0;
}

static int set_job(struct changer *changer, struct job *job, struct err *err)
{
	struct setting *setting = job->context;
	const struct password_change *change = setting->change;
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct user user;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a password");
	if (store_user_get(changer->store, change->user_id, arena, &user, err) < 0 ||
	    check_session(changer, change, arena, err) < 0 ||
	    password_check_ours(setting->setup, changer->store, &user, arena, err) < 0 ||
	    check_version(changer, change, arena, err) < 0 ||
	    password_write(changer, setting->actor, &user, change->hash, PASSWORD_BY_SELF, arena,
			   err) < 0)
		return -1;
	return sessions_end_of(changer, setting->actor, &user, change->session_id,
			       "password-changed", arena, &setting->ended, err);
}

int change_password_set(struct changer *changer, const struct actor *actor,
			const struct password_change *change, size_t *ret_ended, struct err *err)
{
	struct setting setting = { .actor = actor, .change = change };
	struct setup *setup = changer_setup(changer);
	int result;

	setting.setup = setup;
	result = writer_request(changer, set_job, &setting, err);
	setup_release(setup);
	if (result == 0 && ret_ended)
		*ret_ended = setting.ended;
	return result;
}
