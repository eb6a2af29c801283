/*
 * Sign-ins in the audit log: those that were, those that were refused, tests, and messages that never became an attempt.
 * Enters: an attempt, or a reason. Leaves: one row. Fails: store, memory.
 */
#include "login.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define DETAIL_MAX (1u << 20)

/* --- audit --- */

static void write_texts(const struct attempt *attempt, struct json *json)
{
	const struct login *login = attempt->login;
	const struct saml_assertion *assertion = login->assertion;

	if (attempt->local)
		json_string(json, "by", "password");
	if (login->source[0])
		json_string(json, "source", login->source);
	if (login->request_id[0])
		json_string(json, "request", login->request_id);
	if (assertion->assertion_id[0])
		json_string(json, "assertion", assertion->assertion_id);
	if (assertion->name_id[0])
		json_string(json, "name", assertion->name_id);
	if (login->address[0])
		json_string(json, "address", login->address);
}

static int audit_attempt(const struct attempt *attempt, const char *action, struct strbuf *detail,
			 struct err *err)
{
	char object[UUID_TEXT_SIZE + 64];

	if (attempt->outcome->user.id != 0) {
		memcpy(object, "user:", 5);
		uuid_format(&attempt->outcome->user.uuid, object + 5);
	} else {
		snprintf(object, sizeof(object),
			 attempt->login->source[0] ? "source:%.48s" : "local",
			 attempt->login->source);
	}
	if (strbuf_failed(detail))
		return login_no_memory(err);
	return audit_write(attempt->changer->store, attempt->login->now_s, attempt->actor, action,
			   object, strbuf_text(detail), err);
}

int attempt_audit_refusal(const struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	login_note_refused(attempt->changer);
	json_object(&json);
	json_string(&json, "reason", attempt->outcome->refused);
	if (attempt->outcome->detail[0])
		json_string(&json, "detail", attempt->outcome->detail);
	write_texts(attempt, &json);
	if (attempt->login->test)
		json_bool(&json, "test", true);
	json_end(&json);
	return audit_attempt(attempt, "login.refused", &detail, err);
}

int attempt_audit_test(const struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	struct json json = JSON(&detail);

	json_object(&json);
	write_texts(attempt, &json);
	json_end(&json);
	return audit_attempt(attempt, "login.test", &detail, err);
}

int attempt_audit(const struct attempt *attempt, struct err *err)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(DETAIL_MAX);
	const struct session *session = &attempt->outcome->session;
	struct json json = JSON(&detail);
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&session->uuid, uuid);
	json_object(&json);
	json_string(&json, "session", uuid);
	write_texts(attempt, &json);
	if (session->stage != SESSION_FULL)
		json_string(&json, "stage", session_stage_name(session->stage));
	if (session->second_factor_s) {
		json_time(&json, "second_factor", session->second_factor_s);
		json_string(&json, "factor", factor_method_name(session->factor));
	}
	if (attempt->linked)
		json_bool(&json, "linked", true);
	json_end(&json);
	return audit_attempt(attempt, "login", &detail, err);
}

/* --- those that never came so far --- */

void login_note_refused(struct changer *changer)
{
	__atomic_add_fetch(&changer->sign_ins_refused, 1, __ATOMIC_RELAXED);
}

uint64_t change_sign_ins_refused(const struct changer *changer)
{
	return __atomic_load_n(&changer->sign_ins_refused, __ATOMIC_RELAXED);
}

struct refusal {
	const struct actor *actor;
	const char *action, *object, *detail;
};

static int refusal_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct refusal *refusal = job->context;

	return audit_write(changer->store, change_now_s(), refusal->actor, refusal->action,
			   refusal->object, refusal->detail, err);
}

static int audit_unheard(struct changer *changer, const struct actor *actor, const char *action,
			 const char *source, const char *reason, const char *detail,
			 const char *address, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(DETAIL_MAX), object = STRBUF(256);
	struct json json = JSON(&text);
	struct refusal refusal = { .actor = actor, .action = action };

	json_object(&json);
	json_string(&json, "reason", reason);
	if (detail && detail[0])
		json_string(&json, "detail", detail);
	if (address && address[0])
		json_string(&json, "address", address);
	json_end(&json);
	strbuf_printf(&object, "source:%s", source);
	if (strbuf_failed(&text) || strbuf_failed(&object))
		return err_set(err, ERR_TOO_LARGE, "a refusal longer than its audit row may be");
	refusal.object = strbuf_text(&object);
	refusal.detail = strbuf_text(&text);
	return writer_request(changer, refusal_job, &refusal, err);
}

int change_login_refused(struct changer *changer, const struct actor *actor, const char *source,
			 const char *reason, const char *detail, const char *address,
			 struct err *err)
{
	login_note_refused(changer);
	return audit_unheard(changer, actor, "login.refused", source, reason, detail, address, err);
}

int change_logout_refused(struct changer *changer, const struct actor *actor, const char *source,
			  const char *reason, const char *detail, const char *address,
			  struct err *err)
{
	return audit_unheard(changer, actor, "logout.refused", source, reason, detail, address,
			     err);
}
