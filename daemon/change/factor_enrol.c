/*
 * Second factors of one's own: begun, confirmed, renamed, removed; codes that are sent for them.
 *
 * Enters: what somebody wants in their session. Leaves: rows, letters, audit rows. Refused: without a fresh sign-in,
 * more than FACTORS_MAX, names that are taken, the last one that policy wants. Fails: store, memory.
 */
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/credential.h>

#include "factors.h"

/* Between codes that nobody answers; twice as long each time. */
#define SEND_PAUSE_S 30
#define SEND_PAUSE_MAX_S 900
#define SENDS_FORGOTTEN_S 3600

static const char *const default_names[FACTOR_METHODS] = {
	[FACTOR_TOTP] = "Authenticator app",
	[FACTOR_WEBAUTHN] = "Security key",
	[FACTOR_EMAIL] = "E-mail",
	[FACTOR_SMS] = "Phone",
};

/* --- names --- */

static int check_name(const char *name, struct err *err)
{
	size_t size = strlen(name);

	if (size > FACTOR_NAME_MAX || !text_is_utf8(name, size))
		return err_refuse(err, ERR_INVALID, "invalid-request",
				  "a name is at most %d bytes of UTF-8", FACTOR_NAME_MAX);
	for (const char *at = name; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return err_refuse(err, ERR_INVALID, "invalid-request",
					  "a name has no control characters");
	return 0;
}

static bool is_taken(const struct factor_row *rows, size_t count, const char *name,
		     int64_t except_id)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].confirmed_s != 0 && rows[i].id != except_id &&
		    text_equal_caseless(rows[i].name, name))
			return true;
	return false;
}

/* "Security key 2" and so on, where nobody said. */
static const char *make_name(const struct factor_row *rows, size_t count, enum factor_method method,
			     struct arena *arena)
{
	const char *name = default_names[method];

	for (size_t i = 2; name && i < count + 3 && is_taken(rows, count, name, 0); i++)
		name = arena_printf(arena, "%s %zu", default_names[method], i);
	return name;
}

/* Of the new row; before it is inserted. */
static int name_row(struct changer *changer, struct factoring *work, struct err *err)
{
	const char *name = work->wanted->name;
	struct factor_row *rows;
	size_t count;

	if (store_factor_list(changer->store, work->user_id, true, work->arena, &rows, &count,
			      err) < 0)
		return -1;
	if (count >= FACTORS_MAX)
		return err_refuse(err, ERR_CONFLICT, "factor-limit",
				  "%d factors are enough: remove one first", FACTORS_MAX);
	if (!name || !name[0])
		name = make_name(rows, count, work->wanted->method, work->arena);
	if (!name)
		return err_set(err, ERR_MEMORY, "no memory for a factor");
	if (check_name(name, err) < 0)
		return -1;
	if (is_taken(rows, count, name, 0))
		return err_refuse(err, ERR_CONFLICT, "name-taken", "you have a factor '%s'", name);
	work->row.name = name;
	return 0;
}

/* --- begun --- */

static void fill_row(struct factoring *work)
{
	const struct new_factor *wanted = work->wanted;

	work->row = (struct factor_row){
		.uuid = wanted->uuid,
		.user_id = work->user_id,
		.method = wanted->method,
		.version = 1,
		.session_id = work->session_id,
		.sealed = wanted->sealed,
		.sealed_size = wanted->sealed_size,
		.key_id = wanted->key_id,
		.hint = wanted->hint,
		.counter = wanted->counter,
		.credential = wanted->credential,
		.credential_size = wanted->credential_size,
		.public_key = wanted->public_key,
		.public_key_size = wanted->public_key_size,
		.model = wanted->model,
		.user_verified = wanted->user_verified,
		.backed_up = wanted->backed_up,
		.created_s = work->now_s,
	};
}

/* What was begun before, and not confirmed, is not wanted any more. */
static int drop_begun(struct changer *changer, const struct factoring *work, struct err *err)
{
	struct factor_row *rows;
	size_t count;

	if (store_factor_list(changer->store, work->user_id, true, work->arena, &rows, &count,
			      err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (rows[i].confirmed_s == 0 &&
		    (rows[i].method == work->wanted->method || rows[i].until_s <= work->now_s) &&
		    store_factor_delete(changer->store, rows[i].id, err) < 0)
			return -1;
	return 0;
}

static int begin_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0 ||
	    factoring_fresh(changer, work, err) < 0 || drop_begun(changer, work, err) < 0)
		return -1;
	fill_row(work);
	work->row.until_s = work->now_s + FACTOR_PENDING_S;
	if (name_row(changer, work, err) < 0)
		return -1;
	return store_factor_insert(changer->store, &work->row, err);
}

int change_factor_begin(struct changer *changer, const struct actor *actor,
			const struct new_factor *factor, struct err *err)
{
	struct factoring work = { .actor = actor,
				  .wanted = factor,
				  .user_id = factor->user_id,
				  .session_id = factor->session_id };

	if (factor->method == FACTOR_WEBAUTHN || !default_names[factor->method] ||
	    factor->sealed_size == 0)
		return err_set(err, ERR_INTERNAL, "no factor that can be begun");
	return factoring_send(changer, &work, begin_job, err);
}

/* --- theirs from now on --- */

/*
 * The session that had nothing better gets on by it. One that is complete, of somebody who had a factor before,
 * stays as it is: what was enrolled just now proves nothing that was not proven before.
 */
static int finish(struct changer *changer, struct factoring *work, unsigned had, struct err *err)
{
	const struct factor_audit what = { .action = "factor.enrol", .row = &work->row };

	if (factoring_audit(changer, work, &what, err) < 0 ||
	    factoring_mail(changer, work, FACTOR_ENROLLED, work->row.method, err) < 0)
		return -1;
	if (work->before.stage == SESSION_FULL && (had & FACTOR_ALL_METHODS))
		return 0;
	/* Whoever had none could have added any: else the mailbox as the first one keeps them out for good. */
	if (!(had & FACTOR_ALL_METHODS) &&
	    store_password_proven(changer->store, work->user_id, err) < 0)
		return -1;
	return factoring_complete(changer, work, work->row.method, err);
}

static int add_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	const struct new_factor *wanted = work->wanted;
	unsigned had;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0 ||
	    factoring_fresh(changer, work, err) < 0 ||
	    store_challenge_use(changer->store, wanted->challenge, wanted->challenge_until_s, err) <
		    0 ||
	    store_factor_methods(changer->store, work->user_id, &had, err) < 0)
		return -1;
	fill_row(work);
	work->row.confirmed_s = work->now_s;
	work->row.session_id = 0;
	if (name_row(changer, work, err) < 0 ||
	    store_factor_insert(changer->store, &work->row, err) < 0)
		return -1;
	return finish(changer, work, had, err);
}

int change_factor_add(struct changer *changer, const struct actor *actor,
		      const struct new_factor *factor, struct arena *arena,
		      struct session *ret_session, struct err *err)
{
	struct factoring work = { .actor = actor,
				  .wanted = factor,
				  .user_id = factor->user_id,
				  .session_id = factor->session_id,
				  .arena = arena };

	if (factor->method != FACTOR_WEBAUTHN || factor->credential_size == 0)
		return err_set(err, ERR_INTERNAL, "no factor that can be added");
	if (factoring_send(changer, &work, add_job, err) < 0)
		return -1;
	*ret_session = work.session;
	return 0;
}

static int confirm_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	unsigned had;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0 ||
	    factoring_row(changer, work, err) < 0 ||
	    store_factor_methods(changer->store, work->user_id, &had, err) < 0)
		return -1;
	if (work->row.confirmed_s != 0 || work->row.session_id != work->session_id ||
	    work->row.until_s <= work->now_s || work->before.stage == SESSION_FACTOR)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "nothing waits to be confirmed");
	if (factoring_use(changer, work, err) < 0)
		return -1;
	work->row.version++;
	work->row.confirmed_s = work->now_s;
	work->row.session_id = 0;
	work->row.until_s = 0;
	if (store_factor_update(changer->store, &work->row, err) < 0)
		return -1;
	return finish(changer, work, had, err);
}

int change_factor_confirm(struct changer *changer, const struct actor *actor,
			  const struct factor_proof *proof, struct arena *arena,
			  struct session *ret_session, struct err *err)
{
	return factoring_by_proof(changer, actor, proof, confirm_job, arena, ret_session, err);
}

/* --- codes that are sent --- */

static int64_t pause_after(const struct challenge_row *last, int64_t now_s)
{
	int64_t pause_s = SEND_PAUSE_S;

	/* The clock was set back, or it was long ago. */
	if (last->sends == 0 || last->sent_s > now_s || now_s - last->sent_s >= SENDS_FORGOTTEN_S)
		return 0;
	for (int64_t i = 1; i < last->sends && pause_s < SEND_PAUSE_MAX_S; i++)
		pause_s *= 2;
	if (pause_s > SEND_PAUSE_MAX_S)
		pause_s = SEND_PAUSE_MAX_S;
	return last->sent_s + pause_s > now_s ? last->sent_s + pause_s - now_s : 0;
}

/* May a code be sent for it in this session at all? */
static int check_sendable(struct changer *changer, const struct factoring *work, struct err *err)
{
	const struct factor_row *row = &work->row;

	if ((row->method != FACTOR_EMAIL && row->method != FACTOR_SMS) ||
	    (row->confirmed_s == 0 &&
	     (row->session_id != work->session_id || row->until_s <= work->now_s)))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	return row->method == FACTOR_EMAIL && row->confirmed_s != 0
		       ? factoring_check_mail(changer, work, err)
		       : 0;
}

/* All zero when none was sent. */
static int last_challenge(struct changer *changer, const struct factoring *work,
			  struct challenge_row *ret_row, struct err *err)
{
	struct err cause;

	err_clear(&cause);
	*ret_row =
		(struct challenge_row){ .factor_id = work->row.id, .session_id = work->session_id };
	if (store_challenge_get(changer->store, work->row.id, work->session_id, ret_row, &cause) ==
		    0 ||
	    cause.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = cause;
	return -1;
}

static int send_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	const struct factor_audit what = { .action = "factor.send-code", .row = &work->row };
	struct challenge_row *row = &work->challenge;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0 ||
	    factoring_row(changer, work, err) < 0 || check_sendable(changer, work, err) < 0 ||
	    last_challenge(changer, work, row, err) < 0)
		return -1;
	work->wait_s = pause_after(row, work->now_s);
	if (work->wait_s > 0)
		return err_refuse(err, ERR_UNAVAILABLE, "rate-limited",
				  "a code was sent already: the next one in %lld s",
				  (long long)work->wait_s);
	if (work->now_s - row->sent_s >= SENDS_FORGOTTEN_S)
		row->sends = 0;
	row->sends++;
	row->generation++;
	row->sent_s = work->now_s;
	row->until_s = work->now_s + CHALLENGE_LIFE_S;
	row->tries = 0;
	row->used = false;
	if (store_challenge_put(changer->store, row, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

int change_challenge_send(struct changer *changer, const struct actor *actor, int64_t user_id,
			  int64_t session_id, const struct uuid *factor,
			  struct challenge_row *ret_row, int64_t *ret_wait_s, struct err *err)
{
	struct factoring work = {
		.actor = actor, .user_id = user_id, .session_id = session_id, .factor = factor
	};
	int result = factoring_send(changer, &work, send_job, err);

	if (ret_wait_s)
		*ret_wait_s = work.wait_s;
	if (result == 0)
		*ret_row = work.challenge;
	return result;
}

static int check_challenge(const struct challenge_row *row, int64_t now_s, struct err *err)
{
	if (row->used)
		return err_refuse(err, ERR_DENIED, "code-used", "this code was used already");
	if (row->until_s <= now_s)
		return err_refuse(err, ERR_DENIED, "code-expired", "this code has expired");
	if (row->tries >= CHALLENGE_TRIES)
		return err_refuse(err, ERR_DENIED, "code-tries",
				  "too many wrong codes: have another one sent");
	return 0;
}

static int try_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;

	if (store_factor_get(changer->store, work->factor, work->arena, &work->row, err) < 0 ||
	    store_challenge_get(changer->store, work->row.id, work->session_id, &work->challenge,
				err) < 0 ||
	    check_challenge(&work->challenge, work->now_s, err) < 0)
		return -1;
	work->challenge.tries++;
	return store_challenge_put(changer->store, &work->challenge, err);
}

int change_challenge_try(struct changer *changer, int64_t session_id, const struct uuid *factor,
			 struct challenge_row *ret_row, struct err *err)
{
	struct factoring work = { .session_id = session_id, .factor = factor };

	if (factoring_send(changer, &work, try_job, err) < 0)
		return -1;
	*ret_row = work.challenge;
	return 0;
}

/* --- renamed, removed --- */

static int rename_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	struct factor_audit what = { .action = "factor.rename",
				     .row = &work->row,
				     .key = "before" };
	struct factor_row *rows;
	size_t count;

	if (factoring_user(changer, work, err) < 0 || factoring_row(changer, work, err) < 0 ||
	    store_factor_list(changer->store, work->user_id, false, work->arena, &rows, &count,
			      err) < 0)
		return -1;
	if (work->row.confirmed_s == 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	if (work->text[0] == '\0')
		return err_refuse(err, ERR_INVALID, "invalid-request", "a factor has a name");
	if (check_name(work->text, err) < 0)
		return -1;
	if (is_taken(rows, count, work->text, work->row.id))
		return err_refuse(err, ERR_CONFLICT, "name-taken", "you have a factor '%s'",
				  work->text);
	if (strcmp(work->row.name, work->text) == 0)
		return 0;
	/* The version stays: it is the same key, and may be proving something at this moment. */
	what.text = work->row.name;
	work->row.name = work->text;
	if (store_factor_update(changer->store, &work->row, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

int change_factor_rename(struct changer *changer, const struct actor *actor, int64_t user_id,
			 const struct uuid *factor, const char *name, struct err *err)
{
	struct factoring work = {
		.actor = actor, .user_id = user_id, .factor = factor, .text = name
	};

	return factoring_send(changer, &work, rename_job, err);
}

/* Which methods are left without it. */
static int left_without(struct changer *changer, const struct factoring *work, unsigned *ret_left,
			struct err *err)
{
	struct factor_row *rows;
	unsigned left = 0;
	size_t count;

	if (store_factor_list(changer->store, work->user_id, false, work->arena, &rows, &count,
			      err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (rows[i].id != work->row.id)
			left |= FACTOR_BIT(rows[i].method);
	*ret_left = left;
	return 0;
}

static int check_last(struct changer *changer, const struct factoring *work, unsigned left,
		      struct err *err)
{
	struct factor_answer answer;

	if (stage_ask(changer, work->setup, &work->user, work->now_s, work->arena, &answer, err) <
	    0)
		return -1;
	if (answer.required && (answer.methods & FACTOR_BIT(work->row.method)) &&
	    !(answer.methods & left & FACTOR_ALL_METHODS))
		return err_refuse(err, ERR_CONFLICT, "last-factor",
				  "a second factor is required: enrol another one first");
	return 0;
}

static int remove_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;
	const struct factor_audit what = { .action = "factor.remove", .row = &work->row };
	unsigned left;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0 ||
	    factoring_row(changer, work, err) < 0)
		return -1;
	/* One that waits is only let go. */
	if (work->row.confirmed_s == 0)
		return store_factor_delete(changer->store, work->row.id, err);
	if (factoring_fresh_full(changer, work, err) < 0 ||
	    left_without(changer, work, &left, err) < 0 ||
	    check_last(changer, work, left, err) < 0 ||
	    store_factor_delete(changer->store, work->row.id, err) < 0)
		return -1;
	/* Codes on paper and remembered browsers stand for a factor; there is none any more. */
	if (left == 0 &&
	    (store_recovery_drop(changer->store, work->user_id, 0, RECOVERY_PRINTED - 1, err) < 0 ||
	     stage_forget_devices(changer, work->user_id, err) < 0))
		return -1;
	if (factoring_mail(changer, work, FACTOR_REMOVED, work->row.method, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

int change_factor_remove(struct changer *changer, const struct actor *actor, int64_t user_id,
			 int64_t session_id, const struct uuid *factor, struct err *err)
{
	struct factoring work = {
		.actor = actor, .user_id = user_id, .session_id = session_id, .factor = factor
	};

	return factoring_send(changer, &work, remove_job, err);
}
