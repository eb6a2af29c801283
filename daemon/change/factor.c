/*
 * Second factors: proving one, and what all changes of them share.
 *
 * Enters: proofs that were looked at outside of a transaction. Leaves: factors with the step or count that was used,
 * sessions that got on, audit rows. Refused: what was used already, what is not the same any more. Fails: store,
 * memory. Whatever a proof stood on is read again here: two requests with one code are answered one after
 * the other, and the second finds it used.
 */
#include <rolebridge/change/factor.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/credential.h>
#include <rolebridge/store/invite.h>
#include <rolebridge/store/session.h>

#include "factors.h"

#define DETAIL_MAX (64u * 1024)
#define CLOCK_SLACK_S 60

/* --- a job --- */

int factoring_send(struct changer *changer, struct factoring *work, job_run *run, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct arena *own = work->arena ? NULL : arena_create(FACTOR_ARENA_MAX);
	int result;

	if (own)
		work->arena = own;
	work->setup = setup;
	work->now_s = change_now_s();
	result = work->arena ? writer_request(changer, run, work, err)
			     : err_set(err, ERR_MEMORY, "no memory for a factor");
	setup_release(&setup->setup);
	arena_destroy(own);
	return result;
}

int factoring_by_proof(struct changer *changer, const struct actor *actor,
		       const struct factor_proof *proof, job_run *run, struct arena *arena,
		       struct session *ret_session, struct err *err)
{
	struct factoring work = { .actor = actor,
				  .proof = proof,
				  .user_id = proof->user_id,
				  .session_id = proof->session_id,
				  .factor = &proof->factor,
				  .arena = arena };

	if (factoring_send(changer, &work, run, err) < 0)
		return -1;
	*ret_session = work.session;
	return 0;
}

/* --- steps --- */

int factoring_user(struct changer *changer, struct factoring *work, struct err *err)
{
	if (store_user_get(changer->store, work->user_id, work->arena, &work->user, err) < 0)
		return -1;
	if (!user_is_active(&work->user))
		return err_refuse(err, ERR_CONFLICT, "user-disabled", "user '%s' is disabled",
				  work->user.username);
	return 0;
}

static int sign_in_ended(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "sign-in-ended", "this sign-in has ended");
}

int factoring_session(struct changer *changer, struct factoring *work, struct err *err)
{
	struct err cause;

	err_clear(&cause);
	if (store_session_get(changer->store, work->session_id, work->arena, &work->before,
			      &cause) < 0) {
		if (cause.code == ERR_NOT_FOUND)
			return sign_in_ended(err);
		if (err)
			*err = cause;
		return -1;
	}
	if (work->before.user_id != work->user_id || work->before.until_s <= work->now_s)
		return sign_in_ended(err);
	return 0;
}

static int not_fresh(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "fresh-sign-in-required",
			  "this needs a sign-in of the last %d minutes", FACTOR_FRESH_S / 60);
}

/*
 * Whoever has a factor proves one just now. A remembered browser, and what an identity provider saw hours ago and tells again
 * when it signs somebody in in silence, prove that they were there once: what these could be replaced by takes more.
 */
static int check_proven(struct changer *changer, const struct factoring *work, struct err *err)
{
	const struct session *session = &work->before;
	unsigned methods;

	if (store_factor_methods(changer->store, work->user_id, &methods, err) < 0)
		return -1;
	if (session->factor != FACTOR_DEVICE &&
	    (!(methods & FACTOR_ALL_METHODS) ||
	     factor_is_fresh(session->second_factor_s, FACTOR_FRESH_S, work->now_s)))
		return 0;
	return err_refuse(err, ERR_DENIED, "second-factor-required",
			  "this needs a second factor of the last %d minutes", FACTOR_FRESH_S / 60);
}

static bool is_fresh(const struct factoring *work)
{
	int64_t age_s = work->now_s - session_signed_in_s(&work->before);

	return age_s >= -CLOCK_SLACK_S && age_s <= FACTOR_FRESH_S;
}

int factoring_fresh(struct changer *changer, const struct factoring *work, struct err *err)
{
	/* It has no other use, and ends soon. */
	if (work->before.stage == SESSION_ENROL)
		return 0;
	return factoring_fresh_full(changer, work, err);
}

int factoring_fresh_full(struct changer *changer, const struct factoring *work, struct err *err)
{
	if (work->before.stage != SESSION_FULL)
		return sign_in_ended(err);
	if (!is_fresh(work))
		return not_fresh(err);
	return check_proven(changer, work, err);
}

int factoring_row(struct changer *changer, struct factoring *work, struct err *err)
{
	if (store_factor_get(changer->store, work->factor, work->arena, &work->row, err) < 0)
		return -1;
	if (work->row.user_id != work->user_id)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such factor");
	return 0;
}

/* --- using a proof up --- */

static int changed_meanwhile(struct err *err)
{
	return err_refuse(err, ERR_CONFLICT, "factor-changed",
			  "this factor was changed or removed meanwhile");
}

static int use_step(struct factoring *work, struct err *err)
{
	if (work->proof->counter <= work->row.counter)
		return err_refuse(err, ERR_DENIED, "code-used", "this code was used already");
	work->row.counter = work->proof->counter;
	return 0;
}

/* WebAuthn, 6.1.1 and 7.2, step 21. A key that does not count says 0 for ever. */
static int use_signature(struct changer *changer, struct factoring *work, struct err *err)
{
	const struct factor_proof *proof = work->proof;

	if (store_challenge_use(changer->store, proof->challenge, proof->challenge_until_s, err) <
	    0)
		return -1;
	if (proof->counter <= work->row.counter && (proof->counter != 0 || work->row.counter != 0))
		return err_refuse(err, ERR_DENIED, "webauthn-counter",
				  "the key's counter did not grow");
	work->row.counter = proof->counter;
	return 0;
}

static int use_sent(struct changer *changer, struct factoring *work, struct err *err)
{
	struct challenge_row sent;

	if (store_challenge_get(changer->store, work->row.id, work->session_id, &sent, err) < 0)
		return -1;
	if (sent.generation != work->proof->generation)
		return err_refuse(err, ERR_DENIED, "code-superseded", "another code was sent");
	if (sent.used)
		return err_refuse(err, ERR_DENIED, "code-used", "this code was used already");
	if (sent.until_s <= work->now_s)
		return err_refuse(err, ERR_DENIED, "code-expired", "this code has expired");
	sent.used = true;
	sent.sends = 0;
	return store_challenge_put(changer->store, &sent, err);
}

int factoring_check_mail(struct changer *changer, const struct factoring *work, struct err *err)
{
	struct password_row password;
	struct err cause;

	/* It was no password that they came by. */
	if (work->before.source[0] != '\0' || work->before.by_link)
		return 0;
	err_clear(&cause);
	if (store_password_get(changer->store, work->user_id, work->arena, &password, &cause) < 0) {
		if (cause.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = cause;
		return -1;
	}
	if (!password.by_mail)
		return 0;
	return err_refuse(err, ERR_DENIED, "email-after-reset",
			  "the password came by mail: a code by mail proves nothing more");
}

int factoring_use(struct changer *changer, struct factoring *work, struct err *err)
{
	if (work->row.method != work->proof->method || work->row.version != work->proof->version)
		return changed_meanwhile(err);
	work->row.used_s = work->now_s;
	switch (work->row.method) {
	case FACTOR_TOTP: return use_step(work, err);
	case FACTOR_WEBAUTHN: return use_signature(changer, work, err);
	case FACTOR_EMAIL:
	case FACTOR_SMS: return use_sent(changer, work, err);
	default: return err_set(err, ERR_INTERNAL, "no factor of ours");
	}
}

/* --- recovery codes --- */

/* By number, which says which set of codes it is of. */
static int find_code(struct changer *changer, const struct factoring *work,
		     struct recovery_row *ret_code, struct err *err)
{
	struct recovery_row *codes;
	size_t count;

	if (store_recovery_list(changer->store, work->user_id, work->arena, &codes, &count, err) <
	    0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (codes[i].id != work->proof->recovery_id)
			continue;
		*ret_code = codes[i];
		return 0;
	}
	return err_refuse(err, ERR_DENIED, "code-superseded", "there are newer codes");
}

/* *ret_method: which of both kinds it was. */
static int use_code(struct changer *changer, struct factoring *work, enum factor_method *ret_method,
		    struct err *err)
{
	struct recovery_row code = { 0 };
	int used;

	if (find_code(changer, work, &code, err) < 0)
		return -1;
	if (code.until_s != 0 && code.until_s <= work->now_s)
		return err_refuse(err, ERR_DENIED, "code-expired", "this code has expired");
	used = store_recovery_use(changer->store, code.id, work->now_s, err);
	if (used == 0)
		return err_refuse(err, ERR_DENIED, "code-used", "this code was used already");
	*ret_method = code.slot == RECOVERY_SLOT_ISSUED ? FACTOR_ISSUED : FACTOR_RECOVERY;
	return used < 0 ? -1 : 0;
}

/* --- the session gets on --- */

int factoring_complete(struct changer *changer, struct factoring *work, enum factor_method method,
		       struct err *err)
{
	const struct hash256 *token = work->proof ? &work->proof->token : &work->wanted->token;
	const struct stage_step step = { .session_id = work->session_id,
					 .method = method,
					 .token = *token,
					 .now_s = work->now_s };

	if (stage_complete(changer, &step, work->arena, &work->session, err) < 0)
		return -1;
	/* Somebody who has more than the mailbox was here. */
	if (method != FACTOR_EMAIL && store_password_proven(changer->store, work->user_id, err) < 0)
		return -1;
	return 0;
}

/* --- audit and letters --- */

static void write_factor(struct json *json, const struct factor_audit *what)
{
	char uuid[UUID_TEXT_SIZE];

	if (!what->row) {
		if (what->method != FACTOR_NONE)
			json_string(json, "method", factor_method_name(what->method));
		return;
	}
	uuid_format(&what->row->uuid, uuid);
	json_string(json, "method", factor_method_name(what->row->method));
	json_string(json, "factor", uuid);
	json_string(json, "name", what->row->name);
}

int factoring_audit(struct changer *changer, const struct factoring *work,
		    const struct factor_audit *what, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	char object[UUID_TEXT_SIZE + 5] = "user:", session[UUID_TEXT_SIZE];

	uuid_format(&work->user.uuid, object + 5);
	json_object(&json);
	write_factor(&json, what);
	if (what->key)
		json_string(&json, what->key, what->text);
	if (what->until_s)
		json_time(&json, "until", what->until_s);
	if (what->count)
		json_int(&json, "count", what->count);
	if (work->before.id) {
		uuid_format(&work->before.uuid, session);
		json_string(&json, "session", session);
	}
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, work->now_s, work->actor, what->action, object,
			   strbuf_text(&detail), err);
}

int factor_letter_add(struct changer *changer, const struct user *user, enum factor_event event,
		      enum factor_method method, int64_t now_s, struct err *err)
{
	char subject[UUID_TEXT_SIZE], message[UUID_TEXT_SIZE];
	struct uuid id = uuid_create(now_s * 1000);
	const struct outbox_row row = { .kind = OUTBOX_FACTOR,
					.subject = subject,
					.number = factor_event_number(event, (int)method),
					.message_id = message,
					.created_s = now_s,
					.next_s = now_s };

	if (user->email[0] == '\0')
		return 0;
	uuid_format(&user->uuid, subject);
	uuid_format(&id, message);
	return store_outbox_add(changer->store, &row, err);
}

int factoring_mail(struct changer *changer, const struct factoring *work, enum factor_event event,
		   enum factor_method method, struct err *err)
{
	return factor_letter_add(changer, &work->user, event, method, work->now_s, err);
}

/* --- proving --- */

static int prove_by_code(struct changer *changer, struct factoring *work, struct err *err)
{
	struct factor_audit what = { .action = "factor.prove" };

	if (use_code(changer, work, &what.method, err) < 0 ||
	    factoring_complete(changer, work, what.method, err) < 0 ||
	    factoring_mail(changer, work, FACTOR_CODE_USED, FACTOR_RECOVERY, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

static int prove_by_factor(struct changer *changer, struct factoring *work, struct err *err)
{
	const struct factor_audit what = { .action = "factor.prove", .row = &work->row };
	struct err cause;

	err_clear(&cause);
	if (factoring_row(changer, work, &cause) < 0) {
		if (cause.code == ERR_NOT_FOUND)
			return changed_meanwhile(err);
		if (err)
			*err = cause;
		return -1;
	}
	if (work->row.confirmed_s == 0)
		return changed_meanwhile(err);
	if ((work->row.method == FACTOR_EMAIL && factoring_check_mail(changer, work, err) < 0) ||
	    factoring_use(changer, work, err) < 0 ||
	    store_factor_update(changer->store, &work->row, err) < 0 ||
	    factoring_complete(changer, work, work->row.method, err) < 0)
		return -1;
	return factoring_audit(changer, work, &what, err);
}

static int prove_job(struct changer *changer, struct job *job, struct err *err)
{
	struct factoring *work = job->context;

	if (factoring_user(changer, work, err) < 0 || factoring_session(changer, work, err) < 0)
		return -1;
	return work->proof->method == FACTOR_RECOVERY ? prove_by_code(changer, work, err)
						      : prove_by_factor(changer, work, err);
}

int change_factor_prove(struct changer *changer, const struct actor *actor,
			const struct factor_proof *proof, struct arena *arena,
			struct session *ret_session, struct err *err)
{
	return factoring_by_proof(changer, actor, proof, prove_job, arena, ret_session, err);
}

/* --- what was no good --- */

struct refusing {
	const struct actor *actor;
	const struct factor_refusal *refusal;
};

static int write_refusal(const struct factor_refusal *refusal, struct strbuf *detail,
			 struct err *err)
{
	struct json json = JSON(detail);
	char uuid[UUID_TEXT_SIZE];

	json_object(&json);
	json_string(&json, "reason", refusal->reason);
	if (refusal->method != FACTOR_NONE)
		json_string(&json, "method", factor_method_name(refusal->method));
	if (refusal->factor) {
		uuid_format(refusal->factor, uuid);
		json_string(&json, "factor", uuid);
	}
	if (refusal->address && refusal->address[0])
		json_string(&json, "address", refusal->address);
	if (refusal->count > 1)
		json_int(&json, "count", refusal->count);
	json_end(&json);
	return strbuf_failed(detail) ? err_set(err, ERR_MEMORY, "no memory for an audit row") : 0;
}

static int refuse_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct refusing *refusing = job->context;
	AUTO(arena) struct arena *arena = arena_create(FACTOR_ARENA_MAX);
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 5] = "user:";
	struct user user;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	if (store_user_get(changer->store, refusing->refusal->user_id, arena, &user, err) < 0 ||
	    write_refusal(refusing->refusal, &detail, err) < 0)
		return -1;
	uuid_format(&user.uuid, object + 5);
	return audit_write(changer->store, change_now_s(), refusing->actor, "factor.refused",
			   object, strbuf_text(&detail), err);
}

int change_factor_refused(struct changer *changer, const struct actor *actor,
			  const struct factor_refusal *refusal, struct err *err)
{
	struct refusing refusing = { actor, refusal };

	return writer_request(changer, refuse_job, &refusing, err);
}
