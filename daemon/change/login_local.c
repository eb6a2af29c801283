/*
 * Signing in with a password, ours or a directory's: one job of the writer.
 *
 * Enters: whose password was right, and which one. Leaves: what rules give them now, a session, an audit row "login".
 * Refused, with "login.refused": who signs in elsewhere, who may not sign in, a password that was changed since it was
 * verified, an identity that is not theirs any more. Fails (store, memory): nothing at all.
 *
 * Nothing new is known of them: their identities speak as they were read last.
 */
#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "login.h"
#include "password.h"
#include "restore.h"

#define DETAIL_MAX (64u * 1024)

/* --- may this password sign them in? --- */

static int check_ours(struct attempt *attempt, struct err *err)
{
	const struct local_login *local = attempt->local;
	struct password_row row;
	struct err missing;
	const char *source;

	if (password_managed(&attempt->setup->setup, attempt->changer->store, local->user_id,
			     attempt->arena, &source, err) < 0)
		return -1;
	if (source)
		return attempt_refuse(attempt, "managed-by-idp", "source '%.48s' signs them in",
				      source);
	err_clear(&missing);
	if (store_password_get(attempt->changer->store, local->user_id, attempt->arena, &row,
			       &missing) < 0 &&
	    missing.code != ERR_NOT_FOUND) {
		if (err)
			*err = missing;
		return -1;
	}
	if (missing.code == ERR_NOT_FOUND || row.version != local->version)
		return attempt_refuse(attempt, "password-changed",
				      "the password was changed while it was verified");
	return 0;
}

/* The identity that was bound as is still theirs, and the source still takes passwords. */
static int check_directory(struct attempt *attempt, struct err *err)
{
	const struct local_login *local = attempt->local;
	struct identity_row row;
	struct err missing;

	attempt->source = setup_find_source(&attempt->setup->setup, local->source);
	if (!attempt->source || !attempt->source->enabled ||
	    !source_takes_passwords(attempt->source))
		return attempt_refuse(attempt, "source-disabled",
				      "source '%.48s' signs nobody in any more", local->source);
	err_clear(&missing);
	if (store_identity_get(attempt->changer->store, local->source, local->key, attempt->arena,
			       &row, &missing) < 0 &&
	    missing.code != ERR_NOT_FOUND) {
		if (err)
			*err = missing;
		return -1;
	}
	if (missing.code == ERR_NOT_FOUND || row.user_id != local->user_id || row.missing_s != 0)
		return attempt_refuse(attempt, "unlinked", "the identity is not theirs any more");
	return 0;
}

static int rehash(struct attempt *attempt, struct err *err)
{
	const struct local_login *local = attempt->local;

	if (local->source || !local->rehash || attempt_is_refused(attempt))
		return 0;
	return store_password_rehash(attempt->changer->store, local->user_id, local->version,
				     local->rehash, err) < 0
		       ? -1
		       : 0;
}

static int sign_in(struct attempt *attempt, struct err *err)
{
	const struct local_login *local = attempt->local;

	attempt->user_id = local->user_id;
	if (store_user_get(attempt->changer->store, local->user_id, attempt->arena,
			   &attempt->outcome->user, err) < 0 ||
	    (local->source ? check_directory(attempt, err) : check_ours(attempt, err)) < 0)
		return -1;
	if (!attempt_is_refused(attempt) && attempt_enter(attempt, err) < 0)
		return -1;
	if (rehash(attempt, err) < 0)
		return -1;
	return attempt_is_refused(attempt) ? attempt_audit_refusal(attempt, err) : 0;
}

static int login_job(struct changer *changer, struct job *job, struct err *err)
{
	struct attempt *attempt = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	int result;

	if (!arena)
		return login_no_memory(err);
	if (change_restore_check_sign_in(changer, err) < 0)
		return -1;
	*attempt->outcome = (struct login_outcome){ .created = false };
	attempt->changer = changer;
	attempt->arena = arena;
	attempt->setup = changer_coming_setup(changer, &attempt->generation);
	result = sign_in(attempt, err);
	if (result == 0)
		result = attempt_keep_answer(attempt, err);
	setup_release(&attempt->setup->setup);
	return result;
}

int change_login_local(struct changer *changer, const struct actor *actor,
		       const struct local_login *local, struct arena *arena,
		       struct login_outcome *ret_outcome, struct err *err)
{
	static const struct saml_assertion none = {
		.assertion_id = "", .name_id = "", .name_id_format = "", .session_index = ""
	};
	const struct login login = { .source = local->source ? local->source : "",
				     .assertion = &none,
				     .request_id = "",
				     .token = local->token,
				     .address = local->address,
				     .agent = local->agent,
				     .device = local->device,
				     .until_s = local->until_s,
				     .now_s = local->now_s };
	struct login_outcome outcome = { .created = false };
	struct attempt attempt = { .login = &login,
				   .local = local,
				   .actor = actor,
				   .outcome = &outcome,
				   .answer = arena };

	if (local->now_s <= 0 || (local->source && !local->key))
		return err_set(err, ERR_INTERNAL, "a sign-in without its time or its key");
	if (writer_request(changer, login_job, &attempt, err) < 0)
		return -1;
	*ret_outcome = outcome;
	return 0;
}

/* --- those that never came so far --- */

struct refusal {
	const struct actor *actor;
	int64_t user_id;
	const char *reason, *address;
};

static int refusal_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct refusal *refusal = job->context;
	AUTO(arena) struct arena *arena = arena_create(1u << 20);
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	struct user user;

	if (!arena)
		return login_no_memory(err);
	json_object(&json);
	json_string(&json, "reason", refusal->reason);
	json_string(&json, "by", "password");
	if (refusal->address[0])
		json_string(&json, "address", refusal->address);
	json_end(&json);
	if (refusal->user_id != 0) {
		if (store_user_get(changer->store, refusal->user_id, arena, &user, err) < 0)
			return -1;
		return password_audit(changer, refusal->actor, "login.refused", &user, &detail,
				      err);
	}
	if (strbuf_failed(&detail))
		return login_no_memory(err);
	return audit_write(changer->store, change_now_s(), refusal->actor, "login.refused", "local",
			   strbuf_text(&detail), err);
}

int change_login_local_refused(struct changer *changer, const struct actor *actor, int64_t user_id,
			       const char *reason, const char *address, struct err *err)
{
	struct refusal refusal = { .actor = actor,
				   .user_id = user_id,
				   .reason = reason,
				   .address = address ? address : "" };

	login_note_refused(changer);
	return writer_request(changer, refusal_job, &refusal, err);
}
