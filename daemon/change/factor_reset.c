/*
 * Factors that an administrator takes away, and sealing anew. Enters: whose, which; sealed bytes. Leaves: rows, letters,
 * audit rows. Refused: beyond the actor's own permissions, one's own, what was changed meanwhile. Fails: store, memory.
 */
#include <stdio.h>

#include <rolebridge/base/util.h>

#include "factors.h"

/* --- reset --- */

static int reset_one(struct changer *changer, struct factoring *work, struct err *err)
{
	const struct factor_audit what = { .action = "factor.reset", .row = &work->row };
	struct factor_row *rows;
	size_t count;

	if (factoring_row(changer, work, err) < 0 ||
	    store_factor_delete(changer->store, work->row.id, err) < 0 ||
	    store_factor_list(changer->store, work->user_id, false, work->arena, &rows, &count,
			      err) < 0)
		return -1;
	/* What stood for it. */
	if (count == 0 &&
	    store_recovery_drop(changer->store, work->user_id, 0, RECOVERY_PRINTED - 1, err) < 0)
		return -1;
	work->count = 1;
	if (factoring_mail(changer, work, FACTOR_RESET, work->row.method, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

/* A code that an administrator gave stays: it is what comes after a reset. */
static int reset_all(struct changer *changer, struct factoring *work, struct err *err)
{
	struct factor_audit what = { .action = "factor.reset", .key = "what", .text = "all" };
	struct factor_row *rows;
	size_t count;

	if (store_factor_list(changer->store, work->user_id, true, work->arena, &rows, &count,
			      err) < 0)
		return -1;
	work->count = 0;
	for (size_t i = 0; i < count; i++) {
		if (store_factor_delete(changer->store, rows[i].id, err) < 0)
			return -1;
		work->count += rows[i].confirmed_s != 0;
	}
	what.count = (int64_t)work->count;
	if (store_recovery_drop(changer->store, work->user_id, 0, RECOVERY_PRINTED - 1, err) < 0 ||
	    factoring_mail(changer, work, FACTOR_RESET, FACTOR_NONE, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

static int reset_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;

	if (factoring_other(changer, work, PERMISSION_FACTORS_RESET, "self-reset", err) < 0)
		return -1;
	work->uuid = work->user.uuid;
	if ((work->factor ? reset_one : reset_all)(changer, work, err) < 0)
		return -1;
	return stage_forget_devices(changer, work->user_id, err);
}

int change_factor_reset(struct changer *changer, const struct actor *actor, const char *user,
			const struct uuid *factor, struct uuid *ret_uuid, size_t *ret_count,
			struct err *err)
{
	struct factoring work = { .actor = actor, .text = user, .factor = factor };

	if (factoring_send(changer, &work, reset_job, err) < 0)
		return -1;
	*ret_uuid = work.uuid;
	*ret_count = work.count;
	return 0;
}

/* --- sealing keys --- */

struct resealing {
	const struct actor *actor;
	const struct setup *setup;
	const char *action;
	int64_t key_id;
	const struct resealed *rows;
	size_t count, done;
};

/* The key is of the whole server. */
static int check_key(struct changer *changer, const struct resealing *work, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(FACTOR_ARENA_MAX);
	struct authority authority;

	if (!work->actor->limited)
		return 0;
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for sealing keys");
	if (authority_of_actor(changer->store, work->setup, work->actor, change_now_s(), arena,
			       &authority, err) < 0 ||
	    authority_require(&authority, PERMISSION_SEALING_KEY, err) < 0)
		return -1;
	return authority_require_organization(&authority, NULL, "sealing keys", err);
}

static int audit_key(struct changer *changer, const struct resealing *work, size_t count,
		     struct err *err)
{
	char object[sizeof("sealing-key:") + 16], detail[64];

	snprintf(object, sizeof(object), "sealing-key:%016llx", (unsigned long long)work->key_id);
	snprintf(detail, sizeof(detail), "{\"count\":%zu}", count);
	return audit_write(changer->store, change_now_s(), work->actor, work->action, object,
			   detail, err);
}

static int reseal_job(struct changer *changer, struct job *job, struct err *err)
{
	struct resealing *work = job->context;

	if (check_key(changer, work, err) < 0)
		return -1;
	work->done = 0;
	for (size_t i = 0; i < work->count; i++) {
		int result =
			store_factor_reseal(changer->store, work->rows[i].id, work->rows[i].before,
					    work->rows[i].before_size, work->rows[i].after,
					    work->rows[i].after_size, work->key_id, err);

		if (result < 0)
			return -1;
		work->done += (size_t)result;
	}
	return work->done > 0 ? audit_key(changer, work, work->done, err) : 0;
}

static int note_job(struct changer *changer, struct job *job, struct err *err)
{
	struct resealing *work = job->context;

	if (check_key(changer, work, err) < 0)
		return -1;
	return audit_key(changer, work, work->count, err);
}

static int send_key_job(struct changer *changer, struct resealing *work, job_run *run,
			struct err *err)
{
	struct setup *setup = changer_setup(changer);
	int result;

	work->setup = setup;
	result = writer_request(changer, run, work, err);
	setup_release(setup);
	return result;
}

int change_factor_reseal(struct changer *changer, const struct actor *actor, int64_t key_id,
			 const struct resealed *rows, size_t count, size_t *ret_count,
			 struct err *err)
{
	struct resealing work = { .actor = actor,
				  .action = "sealing-key.reseal",
				  .key_id = key_id,
				  .rows = rows,
				  .count = count };

	if (send_key_job(changer, &work, reseal_job, err) < 0)
		return -1;
	*ret_count = work.done;
	return 0;
}

int change_sealing_key_note(struct changer *changer, const struct actor *actor, const char *action,
			    int64_t key_id, size_t keys, struct err *err)
{
	struct resealing work = {
		.actor = actor, .action = action, .key_id = key_id, .count = keys
	};

	return send_key_job(changer, &work, note_job, err);
}
