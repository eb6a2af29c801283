/*
 * Recovery codes: ten on paper, which somebody makes for themselves, and the one that an administrator gives to
 * somebody who is locked out.
 *
 * Enters: hashes, made elsewhere, for that takes long. Leaves: codes, letters, audit rows. Refused: codes for oneself,
 * for whoever is beyond the actor's own permissions, codes in place of no factor. Fails: store, memory.
 */
#include <rolebridge/base/util.h>

#include "ceiling.h"
#include "factors.h"

/* --- on paper --- */

static int put_all(struct changer *changer, const struct factoring *work, struct err *err)
{
	for (int slot = 0; slot < RECOVERY_PRINTED; slot++) {
		struct recovery_row row = { .user_id = work->user_id,
					    .slot = slot,
					    .hash = work->hashes[slot],
					    .created_s = work->now_s,
					    .issuer = "" };

		if (store_recovery_put(changer->store, &row, err) < 0)
			return -1;
	}
	return 0;
}

static int may_put_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	unsigned methods;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0 ||
	    factoring_fresh_full(changer, work, err) < 0 ||
	    store_factor_methods(changer->store, work->user_id, &methods, err) < 0)
		return -1;
	return methods & FACTOR_ALL_METHODS
		       ? 0
		       : err_refuse(err, ERR_CONFLICT, "no-factor",
				    "recovery codes stand in for a factor: enrol one first");
}

int change_recovery_may_put(struct changer *changer, const struct actor *actor, int64_t user_id,
			    int64_t session_id, struct err *err)
{
	struct factoring work = { .actor = actor, .user_id = user_id, .session_id = session_id };

	return factoring_send(changer, &work, may_put_job, err);
}

static int put_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	const struct factor_audit what = { .action = "recovery-codes.create",
					   .count = RECOVERY_PRINTED };

	if (may_put_job(changer, job, err) < 0)
		return -1;
	if (put_all(changer, work, err) < 0 ||
	    factoring_mail(changer, work, FACTOR_CODES_MADE, FACTOR_RECOVERY, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

int change_recovery_put(struct changer *changer, const struct actor *actor, int64_t user_id,
			int64_t session_id, const char *const hashes[static RECOVERY_PRINTED],
			struct err *err)
{
	struct factoring work = {
		.actor = actor, .user_id = user_id, .session_id = session_id, .hashes = hashes
	};

	return factoring_send(changer, &work, put_job, err);
}

/* --- by an administrator --- */

static int check_other(struct store *store, const struct setup *setup, struct factoring *work,
		       const char *permission, struct err *err)
{
	struct authority authority;

	if (!work->actor->limited)
		return 0;
	if (authority_of_actor(store, setup, work->actor, work->now_s, work->arena, &authority,
			       err) < 0 ||
	    authority_require(&authority, permission, err) < 0 ||
	    authority_require_user(&authority, store, setup, &work->user, work->now_s, work->arena,
				   err) < 0)
		return -1;
	return ceiling_service(store, work->actor, &work->user, work->arena, err);
}

/* In any snapshot. */
static int find_other(struct store *store, const struct setup *setup, struct factoring *work,
		      const char *permission, const char *refused, struct err *err)
{
	if (user_resolve(store, work->text, work->arena, &work->user, err) < 0 ||
	    check_other(store, setup, work, permission, err) < 0)
		return -1;
	work->user_id = work->user.id;
	if (actor_is_user(work->actor, &work->user))
		return err_refuse(err, ERR_CONFLICT, refused,
				  "not for oneself: another administrator can");
	return 0;
}

int factoring_other(struct changer *changer, struct factoring *work, const char *permission,
		    const char *refused, struct err *err)
{
	return find_other(changer->store, &work->setup->setup, work, permission, refused, err);
}

static int check_issue(const struct factoring *work, struct err *err)
{
	if (work->lifetime_s < RECOVERY_MIN_S || work->lifetime_s > RECOVERY_MAX_S)
		return err_refuse(err, ERR_INVALID, "invalid-request",
				  "a recovery code is good for 10 minutes to 30 days");
	if (!user_is_active(&work->user))
		return err_refuse(err, ERR_CONFLICT, "user-disabled", "user '%s' is disabled",
				  work->user.username);
	return 0;
}

static int issue_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	struct factor_audit what = { .action = "recovery-code.issue" };
	struct recovery_row row = { .slot = RECOVERY_SLOT_ISSUED,
				    .hash = work->hashes[0],
				    .created_s = work->now_s,
				    .issuer = work->actor->name };

	if (factoring_other(changer, work, PERMISSION_RECOVERY_ISSUE, "self-recovery", err) < 0 ||
	    check_issue(work, err) < 0)
		return -1;
	row.user_id = work->user_id;
	row.until_s = what.until_s = work->until_s = work->now_s + work->lifetime_s;
	work->uuid = work->user.uuid;
	if (store_recovery_put(changer->store, &row, err) < 0 ||
	    factoring_mail(changer, work, FACTOR_CODE_ISSUED, FACTOR_RECOVERY, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

int change_recovery_issue(struct changer *changer, const struct actor *actor, const char *user,
			  const char *hash, int64_t lifetime_s, struct uuid *ret_uuid,
			  int64_t *ret_until_s, struct err *err)
{
	struct factoring work = {
		.actor = actor, .text = user, .hashes = &hash, .lifetime_s = lifetime_s
	};

	if (factoring_send(changer, &work, issue_job, err) < 0)
		return -1;
	*ret_uuid = work.uuid;
	*ret_until_s = work.until_s;
	return 0;
}

int change_recovery_may_issue(struct changer *changer, struct store *store,
			      const struct actor *actor, const char *user, int64_t lifetime_s,
			      struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(FACTOR_ARENA_MAX);
	struct setup *setup = changer_setup(changer);
	struct factoring work = { .actor = actor,
				  .text = user,
				  .lifetime_s = lifetime_s,
				  .arena = arena,
				  .now_s = change_now_s() };
	int result = arena ? 0 : err_set(err, ERR_MEMORY, "no memory for a recovery code");

	if (result == 0)
		result = find_other(store, setup, &work, PERMISSION_RECOVERY_ISSUE, "self-recovery",
				    err);
	setup_release(setup);
	return result == 0 ? check_issue(&work, err) : -1;
}
