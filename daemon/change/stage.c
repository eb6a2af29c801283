/*
 * The stages of signing in. Enters: who gave a first factor, by whatever way; proofs that others verified. Leaves: sessions
 * in their stages, each with one token; sign-ins counted against grace. Refused: who has no method and must, a session that
 * is over, a method that does not count. Fails: store, memory.
 */
#include "stage.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/store/device.h>
#include <rolebridge/store/factor.h>
#include <rolebridge/store/session.h>

#include "policies.h"

#define DETAIL_MAX (64u * 1024)

static bool is_zero(const struct uuid *uuid)
{
	static const struct uuid zero;

	return memcmp(uuid, &zero, sizeof(zero)) == 0;
}

/* A row may be gone: then there is nothing. 1 there, 0, -1. */
static int there(int result, const struct err *why, struct err *err)
{
	if (result == 0)
		return 1;
	if (why->code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = *why;
	return -1;
}

/* --- a sign-in --- */

/* The browser is one that they told to remember. *ret_id 0: it is not. */
static int take_device(const struct stage_sign_in *sign_in, struct factor_question *question,
		       int64_t *ret_id, struct err *err)
{
	struct device_row row;
	struct err why;
	int found;

	*ret_id = 0;
	if (is_zero(&sign_in->device))
		return 0;
	err_clear(&why);
	found = there(store_device_find(sign_in->changer->store, &sign_in->device, sign_in->arena,
					&row, &why),
		      &why, err);
	if (found <= 0)
		return found;
	if (row.user_id != sign_in->user->id || row.until_s <= sign_in->now_s)
		return 0;
	question->device_s = row.proven_s;
	question->device_by = row.method;
	*ret_id = row.id;
	return 0;
}

/* Whom an administrator gave a code may come as far as to use it. 1, 0, -1. */
static int has_issued_code(struct store *store, int64_t user_id, int64_t now_s, struct arena *arena,
			   struct err *err)
{
	struct recovery_row row;
	struct err why;
	int found;

	err_clear(&why);
	found = there(store_recovery_get(store, user_id, RECOVERY_SLOT_ISSUED, arena, &row, &why),
		      &why, err);
	return found <= 0 ? found : row.hash[0] != '\0' && row.used_s == 0 && row.until_s > now_s;
}

static void set_stage(struct session *session, enum session_stage stage, int64_t now_s)
{
	session->stage = stage;
	session->full_until_s = session->until_s;
	if (session->until_s > now_s + SESSION_STAGE_S)
		session->until_s = now_s + SESSION_STAGE_S;
}

static int count_sign_in(struct store *store, const struct enforce_state *state,
			 const struct user *user, const struct factor_question *question,
			 struct err *err)
{
	return state->policy.grace_sign_ins
		       ? store_grace_put(store, user->id, state->set_s, question->sign_ins + 1, err)
		       : 0;
}

/* What an identity provider proved is told of a full session, whether or not it was needed. */
static void set_proof(struct session *session, enum factor_method by, int64_t proven_s)
{
	session->second_factor_s = proven_s;
	session->factor = proven_s ? by : FACTOR_NONE;
}

static int refuse_or_wait(const struct stage_sign_in *sign_in, struct session *session,
			  const char **ret_refused, struct err *err)
{
	int issued = has_issued_code(sign_in->changer->store, sign_in->user->id, sign_in->now_s,
				     sign_in->arena, err);

	if (issued > 0) {
		set_stage(session, SESSION_FACTOR, sign_in->now_s);
		/* By nothing else. */
		session->factor = FACTOR_ISSUED;
	} else if (issued == 0) {
		*ret_refused = "2fa-not-configured";
	}
	return issued < 0 ? -1 : 0;
}

/* Proven by a browser that is remembered: for what it stands is known as long as the session lasts. */
static int take_remembered(const struct stage_sign_in *sign_in,
			   const struct factor_question *question, int64_t device_id,
			   struct session *session, struct err *err)
{
	session->device_by = question->device_by;
	return store_device_seen(sign_in->changer->store, device_id, sign_in->now_s, err);
}

static int take_answer(const struct stage_sign_in *sign_in, const struct enforce_state *state,
		       const struct factor_question *question, int64_t device_id,
		       struct session *session, const char **ret_refused, struct err *err)
{
	struct store *store = sign_in->changer->store;
	struct factor_answer answer;

	factor_judge(&state->policy, question, &answer);
	switch (answer.kind) {
	case FACTOR_NOT_NEEDED: set_proof(session, FACTOR_IDP, sign_in->idp_s); return 0;
	case FACTOR_PROVEN:
		set_proof(session, answer.by, answer.proven_s);
		return answer.by == FACTOR_DEVICE
			       ? take_remembered(sign_in, question, device_id, session, err)
			       : 0;
	case FACTOR_ASK:
		set_stage(session, SESSION_FACTOR, sign_in->now_s);
		return answer.counts_sign_in
			       ? count_sign_in(store, state, sign_in->user, question, err)
			       : 0;
	case FACTOR_GRACE:
		/* Counted when it is used: by going on without having enrolled one. */
		set_stage(session, SESSION_ENROL, sign_in->now_s);
		return 0;
	case FACTOR_REFUSED: break;
	}
	return refuse_or_wait(sign_in, session, ret_refused, err);
}

int stage_judge(const struct stage_sign_in *sign_in, struct session *session,
		const char **ret_refused, struct err *err)
{
	struct changer *changer = sign_in->changer;
	struct factor_question question;
	struct enforce_state state;
	const char *refused = NULL;
	int64_t device_id;

	session->stage = SESSION_FULL;
	session->full_until_s = 0;
	session->device_by = FACTOR_NONE;
	session->idp_asked = sign_in->idp_asked;
	set_proof(session, FACTOR_NONE, 0);
	if (policies_get(changer, sign_in->setup, sign_in->user->organization, sign_in->arena,
			 &state, err) < 0 ||
	    policies_question(&state, &sign_in->setup->setup, changer->store, sign_in->user,
			      sign_in->now_s, sign_in->arena, &question, err) < 0 ||
	    take_device(sign_in, &question, &device_id, err) < 0)
		return -1;
	question.idp_s = sign_in->idp_s;
	question.idp_asked = sign_in->idp_asked;
	if (take_answer(sign_in, &state, &question, device_id, session, &refused, err) < 0)
		return -1;
	*ret_refused = refused;
	return 0;
}

int stage_ask(struct changer *changer, const struct live_setup *setup, const struct user *user,
	      int64_t now_s, struct arena *arena, struct factor_answer *ret_answer, struct err *err)
{
	struct factor_question question;
	struct enforce_state state;

	if (policies_get(changer, setup, user->organization, arena, &state, err) < 0 ||
	    policies_question(&state, &setup->setup, changer->store, user, now_s, arena, &question,
			      err) < 0)
		return -1;
	factor_judge(&state.policy, &question, ret_answer);
	return 0;
}

/* --- the next stage --- */

static int ended(struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "sign-in-ended", "the session has ended");
}

static int load(struct changer *changer, const struct stage_step *step, struct arena *arena,
		struct session *session, struct user *user, struct err *err)
{
	struct err why;
	int found;

	err_clear(&why);
	found = there(store_session_get(changer->store, step->session_id, arena, session, &why),
		      &why, err);
	if (found <= 0)
		return found < 0 ? -1 : ended(err);
	if (session->until_s <= step->now_s)
		return ended(err);
	if (store_user_get(changer->store, session->user_id, arena, user, err) < 0)
		return -1;
	return user_may_stay(user, session->by_link)
		       ? 0
		       : err_refuse(err, ERR_DENIED, "not-allowed",
				    "the user may not sign in any more");
}

/*
 * Does the method count for them? What was just proven is theirs, also when that was the last code. A sign-in that counts
 * against grace was counted when its session was opened, unless that was to enrol, or where grace was over.
 */
static int method_counts(struct changer *changer, const struct stage_step *step,
			 const struct session *session, const struct user *user,
			 struct arena *arena, bool *ret_counts, bool *ret_none_does,
			 struct err *err)
{
	struct live_setup *setup = changer_coming_setup(changer, NULL);
	struct factor_question question;
	struct factor_answer answer;
	struct enforce_state state;
	int result = policies_get(changer, setup, user->organization, arena, &state, err);

	if (result == 0)
		result = policies_question(&state, &setup->setup, changer->store, user, step->now_s,
					   arena, &question, err);
	if (result == 0) {
		question.enrolled |= FACTOR_BIT(step->method);
		question.idp_asked = session->idp_asked;
		question.sign_ins -= session->stage != SESSION_ENROL &&
				     session->factor != FACTOR_ISSUED && question.sign_ins > 0;
		factor_judge(&state.policy, &question, &answer);
		*ret_counts =
			!answer.required || (answer.kind == FACTOR_ASK &&
					     (answer.methods & FACTOR_BIT(step->method)) != 0);
		*ret_none_does = answer.kind == FACTOR_REFUSED;
	}
	setup_release(&setup->setup);
	return result;
}

static int refuse_method(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "factor-not-allowed",
			  "this method does not count for this user");
}

static void begin_enrolling(const struct stage_step *step, struct session *session)
{
	int64_t until_s = step->now_s + SESSION_STAGE_S;

	session->stage = SESSION_ENROL;
	session->until_s = session->full_until_s < until_s ? session->full_until_s : until_s;
}

/* An administrator's code leads to a session that can only enrol: from one that waits for a factor. */
static int use_issued(const struct stage_step *step, struct session *session, struct err *err)
{
	if (session->stage != SESSION_FACTOR)
		return err_refuse(err, ERR_DENIED, "not-allowed",
				  "a session that waits for no second factor needs no code");
	begin_enrolling(step, session);
	session->factor = FACTOR_ISSUED;
	return 0;
}

static void become_full(struct session *session)
{
	if (session->full_until_s)
		session->until_s = session->full_until_s;
	session->full_until_s = 0;
	session->stage = SESSION_FULL;
}

static int advance(struct changer *changer, const struct stage_step *step, const struct user *user,
		   struct arena *arena, struct session *session, struct err *err)
{
	bool counts = false, none_does = false;

	if (step->method == FACTOR_ISSUED)
		return use_issued(step, session, err);
	if (step->method <= FACTOR_NONE || step->method >= FACTOR_METHODS)
		return refuse_method(err);
	if (method_counts(changer, step, session, user, arena, &counts, &none_does, err) < 0)
		return -1;
	/* What was enrolled is theirs, but leads no further while another one is asked for. */
	if (session->stage == SESSION_ENROL && (!counts || step->method == FACTOR_RECOVERY))
		return 0;
	/* By root's link all that they have is asked for, and then one that counts is to be enrolled. */
	if (none_does && session->by_link && session->stage == SESSION_FACTOR) {
		begin_enrolling(step, session);
		return 0;
	}
	if (!counts)
		return refuse_method(err);
	become_full(session);
	session->factor = step->method;
	session->second_factor_s = step->now_s;
	return 0;
}

static int write_stage(struct changer *changer, const struct session *session,
		       const struct hash256 *hash, int64_t now_s, struct err *err)
{
	const struct session_token token = {
		.hash = *hash, .session_id = session->id, .host = "", .created_s = now_s
	};

	if (store_session_update(changer->store, session, err) < 0 ||
	    store_session_tokens_drop(changer->store, session->id, err) < 0 ||
	    store_session_token_add(changer->store, &token, err) < 0)
		return -1;
	return notice_rotated(changer, session, hash, err);
}

int stage_complete(struct changer *changer, const struct stage_step *step, struct arena *arena,
		   struct session *ret_session, struct err *err)
{
	struct session session;
	struct user user;

	if (load(changer, step, arena, &session, &user, err) < 0 ||
	    advance(changer, step, &user, arena, &session, err) < 0 ||
	    write_stage(changer, &session, &step->token, step->now_s, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

/* --- on without a factor, while grace lasts --- */

static int refuse_later(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "2fa-not-configured",
			  "a second factor must be enrolled first");
}

/*
 * 0: counted. Who came from a source and must not by policy is here because it was asked for a factor, and did not prove one.
 */
static int use_grace(struct changer *changer, const struct session *session,
		     const struct user *user, int64_t now_s, struct arena *arena, struct err *err)
{
	struct live_setup *setup = changer_coming_setup(changer, NULL);
	struct factor_question question;
	struct factor_answer answer;
	struct enforce_state state;
	int result = policies_get(changer, setup, user->organization, arena, &state, err);

	if (result == 0)
		result = policies_question(&state, &setup->setup, changer->store, user, now_s,
					   arena, &question, err);
	if (result == 0) {
		question.idp_asked = session->idp_asked;
		factor_judge(&state.policy, &question, &answer);
		if (answer.kind == FACTOR_GRACE)
			result = count_sign_in(changer->store, &state, user, &question, err);
		else if (answer.kind != FACTOR_NOT_NEEDED)
			result = refuse_later(err);
	}
	setup_release(&setup->setup);
	return result;
}

int stage_later(struct changer *changer, const struct stage_step *step, struct arena *arena,
		struct session *ret_session, struct user *ret_user, struct err *err)
{
	struct session session;

	if (load(changer, step, arena, &session, ret_user, err) < 0)
		return -1;
	if (session.stage != SESSION_ENROL || session.factor == FACTOR_ISSUED)
		return refuse_later(err);
	if (use_grace(changer, &session, ret_user, step->now_s, arena, err) < 0)
		return -1;
	become_full(&session);
	if (write_stage(changer, &session, &step->token, step->now_s, err) < 0)
		return -1;
	*ret_session = session;
	return 0;
}

/* --- a session that was full --- */

struct judging {
	struct stage_step step; /* no token: it stays */
	struct session session;
	struct user user;
};

static int audit_ask(struct changer *changer, const struct judging *judging, struct err *err)
{
	static const struct actor actor = { .name = "second-factor", .request = "" };
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	char object[UUID_TEXT_SIZE + 5] = "user:", session[UUID_TEXT_SIZE];
	struct json json = JSON(&detail);

	uuid_format(&judging->user.uuid, object + 5);
	uuid_format(&judging->session.uuid, session);
	json_object(&json);
	json_string(&json, "session", session);
	json_string(&json, "stage", session_stage_name(judging->session.stage));
	json_end(&json);
	if (strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for an audit row");
	return audit_write(changer->store, judging->step.now_s, &actor, "session.ask", object,
			   strbuf_text(&detail), err);
}

/*
 * As at a sign-in; but who would be refused there, since they have nothing that counts, is asked for an administrator's code,
 * and who came by root's link enrols.
 */
static void ask_again(const struct factor_answer *answer, unsigned enrolled, int64_t now_s,
		      struct session *session)
{
	bool has_none = !(enrolled & FACTOR_ALL_METHODS);

	set_stage(session, SESSION_FACTOR, now_s);
	set_proof(session, FACTOR_NONE, 0);
	if (answer->kind != FACTOR_REFUSED)
		return;
	session->factor = FACTOR_ISSUED;
	if (session->by_link && has_none)
		session->stage = SESSION_ENROL;
}

static int put_back(struct changer *changer, struct judging *judging,
		    const struct enforce_state *state, const struct factor_question *question,
		    struct err *err)
{
	struct session *session = &judging->session;
	struct factor_answer answer;

	factor_judge(&state->policy, question, &answer);
	ask_again(&answer, question->enrolled, judging->step.now_s, session);
	if (store_session_put_back(changer->store, session, err) < 0 ||
	    notice_rotated(changer, session, NULL, err) < 0)
		return -1;
	return audit_ask(changer, judging, err);
}

static int judge_again(struct changer *changer, struct judging *judging,
		       const struct live_setup *setup, struct arena *arena, struct err *err)
{
	const struct user *user = &judging->user;
	struct factor_question question;
	struct enforce_state state;
	unsigned demand;
	int64_t until_s;

	if (policies_get(changer, setup, user->organization, arena, &state, err) < 0 ||
	    policies_question(&state, &setup->setup, changer->store, user, judging->step.now_s,
			      arena, &question, err) < 0)
		return -1;
	demand = factor_demand(&state.policy, &question, &until_s);
	if (factor_meets(demand, judging->session.factor, session_proven_by(&judging->session))) {
		/* Whoever thought so knows an older policy, or person. */
		notice_changed(changer, user->id);
		return 0;
	}
	return put_back(changer, judging, &state, &question, err);
}

static int judge_job(struct changer *changer, struct job *job, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct judging *judging = job->context;
	struct live_setup *setup;
	struct err why;
	int result;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to look at a session");
	err_clear(&why);
	if (load(changer, &judging->step, arena, &judging->session, &judging->user, &why) < 0) {
		if (why.code == ERR_NOT_FOUND || why.code == ERR_DENIED)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	if (judging->session.stage != SESSION_FULL)
		return notice_rotated(changer, &judging->session, NULL, err);
	setup = changer_live_setup(changer, NULL);
	result = judge_again(changer, judging, setup, arena, err);
	setup_release(&setup->setup);
	return result;
}

int change_session_judge(struct changer *changer, int64_t session_id, struct err *err)
{
	struct judging judging = { .step = { .session_id = session_id, .now_s = change_now_s() } };

	return writer_request(changer, judge_job, &judging, err);
}

int stage_forget_devices(struct changer *changer, int64_t user_id, struct err *err)
{
	return store_devices_drop(changer->store, user_id, err) < 0 ? -1 : 0;
}
