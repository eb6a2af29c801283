/*
 * Remembered browsers, and the way past enrolling while grace lasts. Enters: a session that just proved a factor; which
 * browser is to be forgotten; a session that may only enrol. Leaves: rows, a full session, an audit row each. Refused:
 * where policy remembers none, where nothing was proven here, where grace is over. Fails: store, memory.
 */
#include <rolebridge/change/device.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/session.h>

#include "ceiling.h"
#include "policies.h"
#include "stage.h"

#define DETAIL_MAX (1u << 20)

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "no memory for a device");
}

static int audit(struct changer *changer, const struct actor *actor, const char *action,
		 const struct user *user, struct strbuf *detail, int64_t now_s, struct err *err)
{
	char object[UUID_TEXT_SIZE + 5] = "user:";

	uuid_format(&user->uuid, object + 5);
	if (strbuf_failed(detail))
		return no_memory(err);
	return audit_write(changer->store, now_s, actor, action, object, strbuf_text(detail), err);
}

static void write_uuid(struct json *json, const char *key, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	json_string(json, key, text);
}

/* --- to remember one --- */

struct remembering {
	const struct actor *actor;
	int64_t session_id, now_s;
	struct arena *answer;
	struct device_row row;
};

static int refuse(struct err *err, const char *why)
{
	return err_refuse(err, ERR_DENIED, "not-allowed", "this browser is not remembered: %s",
			  why);
}

static int check_proof(const struct session *session, int64_t now_s, struct err *err)
{
	bool ours = session->factor > FACTOR_NONE && session->factor < FACTOR_RECOVERY;

	if (session->stage != SESSION_FULL || session->until_s <= now_s)
		return refuse(err, "nobody is signed in");
	if (!ours || !factor_is_fresh(session->second_factor_s, SESSION_FRESH_S, now_s))
		return refuse(err, "no second factor was proven just now");
	return 0;
}

static int policy_of(struct changer *changer, const struct user *user, struct arena *arena,
		     bool *ret_is_administrator, struct factor_policy *ret_policy, struct err *err)
{
	struct live_setup *setup = changer_coming_setup(changer, NULL);
	struct factor_question question;
	struct enforce_state state;
	int result = policies_get(changer, setup, user->organization, arena, &state, err);

	if (result == 0)
		result = policies_question(&state, &setup->setup, changer->store, user,
					   change_now_s(), arena, &question, err);
	setup_release(&setup->setup);
	if (result < 0)
		return -1;
	*ret_is_administrator = question.is_administrator;
	*ret_policy = state.policy;
	return 0;
}

/* The oldest go, so that there is room for one. */
static int make_room(struct changer *changer, int64_t user_id, int64_t most, struct arena *arena,
		     struct err *err)
{
	struct device_row *rows;
	size_t count, room = most > 1 ? (size_t)most - 1 : 0;

	if (store_device_list(changer->store, user_id, arena, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; count - i > room; i++)
		if (store_device_delete(changer->store, rows[i].id, err) < 0)
			return -1;
	return 0;
}

static int audit_remember(struct changer *changer, const struct remembering *remembering,
			  const struct user *user, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	write_uuid(&json, "device", &remembering->row.uuid);
	json_string(&json, "method", factor_method_name(remembering->row.method));
	json_time(&json, "until", remembering->row.until_s);
	json_end(&json);
	return audit(changer, remembering->actor, "device.remember", user, &detail,
		     remembering->now_s, err);
}

static int remember(struct changer *changer, struct remembering *remembering, struct arena *arena,
		    struct err *err)
{
	struct factor_policy policy;
	struct session session;
	struct user user;
	bool administrator;

	if (store_session_get(changer->store, remembering->session_id, arena, &session, err) < 0 ||
	    check_proof(&session, remembering->now_s, err) < 0 ||
	    store_user_get(changer->store, session.user_id, arena, &user, err) < 0 ||
	    policy_of(changer, &user, arena, &administrator, &policy, err) < 0)
		return -1;
	if (policy.device_s == 0)
		return refuse(err, "by policy");
	if (!(factor_methods_that_count(&policy, administrator) & FACTOR_BIT(session.factor)))
		return refuse(err, "by policy, for this method");
	remembering->row = (struct device_row){
		.uuid = uuid_create(remembering->now_s * 1000),
		.user_id = user.id,
		.method = session.factor,
		.proven_s = session.second_factor_s,
		.agent = arena_strdup(remembering->answer, session.agent),
		.address = arena_strdup(remembering->answer, session.address),
		.created_s = remembering->now_s,
		.seen_s = remembering->now_s,
		.until_s = session.second_factor_s + policy.device_s,
	};
	if (!remembering->row.agent || !remembering->row.address)
		return no_memory(err);
	if (make_room(changer, user.id, policy.devices, arena, err) < 0 ||
	    store_device_insert(changer->store, &remembering->row, err) < 0)
		return -1;
	return audit_remember(changer, remembering, &user, err);
}

static int remember_job(struct changer *changer, struct job *job, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	return arena ? remember(changer, job->context, arena, err) : no_memory(err);
}

int change_device_remember(struct changer *changer, const struct actor *actor, int64_t session_id,
			   int64_t now_s, struct arena *arena, struct device_row *ret_row,
			   struct err *err)
{
	struct remembering remembering = {
		.actor = actor, .session_id = session_id, .now_s = now_s, .answer = arena
	};

	if (writer_request(changer, remember_job, &remembering, err) < 0)
		return -1;
	*ret_row = remembering.row;
	return 0;
}

/* --- to forget them --- */

struct forgetting {
	const struct actor *actor;
	int64_t user_id;
	const struct uuid *device; /* NULL: all */
	size_t count;
};

static int check_ceiling(struct changer *changer, const struct actor *actor,
			 const struct user *user, struct arena *arena, struct err *err)
{
	struct live_setup *setup;
	int result;

	if (!actor->limited || actor_is_user(actor, user))
		return 0;
	setup = changer_coming_setup(changer, NULL);
	result = ceiling_user(changer, &setup->setup, actor, user, arena, err);
	setup_release(&setup->setup);
	return result;
}

static int forget_rows(struct changer *changer, struct forgetting *forgetting, struct arena *arena,
		       struct err *err)
{
	struct device_row row;
	int gone;

	if (!forgetting->device) {
		gone = store_devices_drop(changer->store, forgetting->user_id, err);
		forgetting->count = gone > 0 ? (size_t)gone : 0;
		return gone < 0 ? -1 : 0;
	}
	if (store_device_find(changer->store, forgetting->device, arena, &row, err) < 0)
		return -1;
	if (row.user_id != forgetting->user_id)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such device");
	forgetting->count = 1;
	return store_device_delete(changer->store, row.id, err);
}

static int forget(struct changer *changer, struct forgetting *forgetting, struct arena *arena,
		  struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	struct user user;

	forgetting->count = 0;
	if (store_user_get(changer->store, forgetting->user_id, arena, &user, err) < 0 ||
	    check_ceiling(changer, forgetting->actor, &user, arena, err) < 0 ||
	    forget_rows(changer, forgetting, arena, err) < 0)
		return -1;
	if (forgetting->count == 0)
		return 0;
	json_object(&json);
	if (forgetting->device)
		write_uuid(&json, "device", forgetting->device);
	else
		json_int(&json, "devices", (int64_t)forgetting->count);
	json_end(&json);
	return audit(changer, forgetting->actor, "device.forget", &user, &detail, change_now_s(),
		     err);
}

static int forget_job(struct changer *changer, struct job *job, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	return arena ? forget(changer, job->context, arena, err) : no_memory(err);
}

int change_device_forget(struct changer *changer, const struct actor *actor, int64_t user_id,
			 const struct uuid *device, size_t *ret_count, struct err *err)
{
	struct forgetting forgetting = { .actor = actor, .user_id = user_id, .device = device };

	if (writer_request(changer, forget_job, &forgetting, err) < 0)
		return -1;
	if (ret_count)
		*ret_count = forgetting.count;
	return 0;
}

/* --- past enrolling --- */

struct going_on {
	const struct actor *actor;
	struct stage_step step;
	struct arena *answer;
	struct session session;
};

static int go_on_job(struct changer *changer, struct job *job, struct err *err)
{
	struct going_on *going = job->context;
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);
	struct user user;

	if (stage_later(changer, &going->step, going->answer, &going->session, &user, err) < 0)
		return -1;
	json_object(&json);
	write_uuid(&json, "session", &going->session.uuid);
	json_end(&json);
	return audit(changer, going->actor, "login.enrol-later", &user, &detail, going->step.now_s,
		     err);
}

int change_enrol_later(struct changer *changer, const struct actor *actor, int64_t session_id,
		       const struct hash256 *token, int64_t now_s, struct arena *arena,
		       struct session *ret_session, struct err *err)
{
	struct going_on going = {
		.actor = actor,
		.step = { .session_id = session_id, .token = *token, .now_s = now_s },
		.answer = arena
	};

	if (writer_request(changer, go_on_job, &going, err) < 0)
		return -1;
	*ret_session = going.session;
	return 0;
}

/* --- for pages --- */

/* One that is gone meanwhile asks nothing. */
static int read_asked(struct store *store, int64_t session_id, struct arena *arena,
		      bool *ret_idp_asked, struct err *err)
{
	struct session session;
	struct err why;

	*ret_idp_asked = false;
	if (session_id == 0)
		return 0;
	err_clear(&why);
	if (store_session_get(store, session_id, arena, &session, &why) == 0)
		*ret_idp_asked = session.idp_asked;
	else if (why.code != ERR_NOT_FOUND)
		return err ? (*err = why, -1) : -1;
	return 0;
}

int change_stage_read(struct changer *changer, struct store *store, int64_t user_id,
		      int64_t session_id, int64_t now_s, struct arena *arena,
		      struct factor_answer *ret_answer, unsigned *ret_enrolled, struct err *err)
{
	struct live_setup *setup = changer_coming_setup(changer, NULL);
	struct factor_question question;
	struct enforce_state state;
	struct user user;
	int result = store_user_get(store, user_id, arena, &user, err);

	if (result == 0)
		result = policies_read(&setup->setup, store, user.organization, arena, &state, err);
	if (result == 0)
		result = policies_question(&state, &setup->setup, store, &user, now_s, arena,
					   &question, err);
	if (result == 0)
		result = read_asked(store, session_id, arena, &question.idp_asked, err);
	if (result == 0) {
		/* Whoever has a method, though one that does not count, had this sign-in counted before. */
		question.sign_ins -=
			(question.enrolled & FACTOR_ALL_METHODS) && question.sign_ins > 0;
		factor_judge(&state.policy, &question, ret_answer);
		*ret_enrolled = question.enrolled;
	}
	setup_release(&setup->setup);
	return result;
}
