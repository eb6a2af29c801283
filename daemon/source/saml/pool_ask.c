/*
 * What the pool can be asked. Enters: questions, from any thread. Leaves: answers to them, each believed
 * only as far as it fits its question. Fails as a job does (pool_task.c).
 */
#include "pool.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/identity/record.h>

/* What a message to be judged has around it, about. */
#define JOB_REST 1024

static int check_provider(const struct saml_pool *pool, size_t provider, struct err *err)
{
	if (provider < pool->provider_count)
		return 0;
	return err_set(err, ERR_INTERNAL, "there is no SAML provider %zu", provider);
}

/* --- verify --- */

static bool is_among(const char *text, const char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, items[i]) == 0)
			return true;
	return false;
}

static bool verdict_believable(const struct saml_pool *pool, const struct task *task)
{
	const struct saml_verdict *verdict = &task->result.verdict;
	const struct saml_assertion *assertion = &verdict->assertion;
	const struct saml_question *question = task->question;
	const char *key;
	size_t key_size;

	if (verdict->refused)
		return true;
	return assertion->assertion_id[0] != '\0' &&
	       strcmp(assertion->issuer, pool->issuers[question->provider]) == 0 &&
	       (assertion->in_response_to[0] == '\0' ||
		is_among(assertion->in_response_to, question->request_ids,
			 question->request_count)) &&
	       record_key(assertion->record, assertion->record_size, &key, &key_size, NULL) == 0;
}

static void decode_verdict(struct wire *wire, struct task *task)
{
	wire_verdict(wire, &task->result.verdict);
}

static size_t message_size(const struct saml_message *message)
{
	return message->binding == SAML_REDIRECT ? message->query_size : message->encoded_size;
}

static void write_receive_job(struct task *task, enum saml_frame type,
			      const struct saml_question *question,
			      const struct saml_message *message)
{
	struct saml_receive_job job = { .question = *question, .message = *message };
	struct wire wire = { .out = &task->frame };
	size_t begin;

	/* At once what growing by doubling would copy several times. */
	strbuf_reserve(&task->frame, message_size(message) + JOB_REST);
	begin = message_begin(&task->frame, (uint16_t)type);
	wire_receive_job(&wire, &job);
	message_end(&task->frame, begin);
}

/* What no worker needs to see. */
static bool is_oversize(const struct saml_message *message)
{
	return message_size(message) > SAML_MESSAGE_MAX;
}

static int oversize(struct saml_refusal *ret_refusal)
{
	*ret_refusal = (struct saml_refusal){ .reason = "message-too-large" };
	snprintf(ret_refusal->detail, sizeof(ret_refusal->detail),
		 "the message is larger than %zu bytes", SAML_MESSAGE_MAX);
	return 1;
}

int saml_pool_verify(struct saml_pool *pool, const struct saml_question *question,
		     const struct saml_message *message, struct arena *arena,
		     struct saml_assertion *ret_assertion, struct saml_refusal *ret_refusal,
		     struct err *err)
{
	struct task task = { .frame = STRBUF(SAML_JOB_MAX),
			     .answer = SAML_FRAME_VERDICT,
			     .decode = decode_verdict,
			     .believable = verdict_believable,
			     .arena = arena,
			     .question = question };
	int status;

	if (check_provider(pool, question->provider, err) < 0)
		return -1;
	if (is_oversize(message)) {
		*ret_assertion = (struct saml_assertion){ 0 };
		return oversize(ret_refusal);
	}
	write_receive_job(&task, SAML_FRAME_VERIFY, question, message);
	status = saml_pool_run(pool, &task, err);
	strbuf_finish(&task.frame);
	if (status < 0)
		return -1;
	*ret_assertion = task.result.verdict.assertion;
	if (!task.result.verdict.refused)
		return 0;
	*ret_refusal = task.result.verdict.refusal;
	return 1;
}

/* --- logout --- */

static bool logout_believable(const struct saml_pool *pool, const struct task *task)
{
	const struct saml_logout_verdict *verdict = &task->result.logout;
	const struct saml_logout *logout = &verdict->logout;

	(void)pool;
	if (verdict->refused)
		return true;
	if (logout->is_request)
		return logout->id[0] != '\0' && logout->name_id[0] != '\0';
	return is_among(logout->in_response_to, task->question->request_ids,
			task->question->request_count);
}

static void decode_logout(struct wire *wire, struct task *task)
{
	wire_logout_verdict(wire, &task->result.logout);
}

int saml_pool_logout_receive(struct saml_pool *pool, const struct saml_question *question,
			     const struct saml_message *message, struct arena *arena,
			     struct saml_logout *ret_logout, struct saml_refusal *ret_refusal,
			     struct err *err)
{
	struct task task = { .frame = STRBUF(SAML_JOB_MAX),
			     .answer = SAML_FRAME_LOGOUT_VERDICT,
			     .decode = decode_logout,
			     .believable = logout_believable,
			     .arena = arena,
			     .question = question };
	int status;

	if (check_provider(pool, question->provider, err) < 0)
		return -1;
	if (is_oversize(message))
		return oversize(ret_refusal);
	write_receive_job(&task, SAML_FRAME_LOGOUT_RECEIVE, question, message);
	status = saml_pool_run(pool, &task, err);
	strbuf_finish(&task.frame);
	if (status < 0)
		return -1;
	if (task.result.logout.refused) {
		*ret_refusal = task.result.logout.refusal;
		return 1;
	}
	*ret_logout = task.result.logout.logout;
	return 0;
}

/* --- messages of ours --- */

static void decode_outgoing(struct wire *wire, struct task *task)
{
	wire_outgoing(wire, &task->result.outgoing);
}

/* A browser is about to be sent there. */
static bool outgoing_believable(const struct saml_pool *pool, const struct task *task)
{
	const char *url = task->result.outgoing.url;

	(void)pool;
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
}

static struct task outgoing_task(struct arena *arena)
{
	return (struct task){ .frame = STRBUF(SAML_JOB_MAX),
			      .answer = SAML_FRAME_OUTGOING,
			      .decode = decode_outgoing,
			      .believable = outgoing_believable,
			      .arena = arena };
}

/*
 * What we ask for ourselves holds nothing from outside that could have killed the worker: it died of somebody
 * else's message, or was told to. Once more, then.
 */
static int pool_run_own(struct saml_pool *pool, struct task *task, struct err *err)
{
	struct err first = { 0 };

	if (saml_pool_run(pool, task, &first) == 0)
		return 0;
	if (strcmp(err_reason(&first), "worker-died") == 0)
		return saml_pool_run(pool, task, err);
	if (err)
		*err = first;
	return -1;
}

static int run_outgoing(struct saml_pool *pool, struct task *task, size_t begin,
			struct saml_outgoing *ret_outgoing, struct err *err)
{
	int status;

	message_end(&task->frame, begin);
	status = pool_run_own(pool, task, err);
	strbuf_finish(&task->frame);
	if (status == 0)
		*ret_outgoing = task->result.outgoing;
	return status;
}

int saml_pool_login(struct saml_pool *pool, const struct saml_login_request *request,
		    struct arena *arena, struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct task task = outgoing_task(arena);
	struct wire wire = { .out = &task.frame };
	struct saml_login_request copy = *request;
	size_t begin;

	if (check_provider(pool, request->provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_LOGIN);
	wire_login(&wire, &copy);
	return run_outgoing(pool, &task, begin, ret_outgoing, err);
}

int saml_pool_logout_start(struct saml_pool *pool, const struct saml_logout_start *start,
			   struct arena *arena, struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct task task = outgoing_task(arena);
	struct wire wire = { .out = &task.frame };
	struct saml_logout_start copy = *start;
	size_t begin;

	if (check_provider(pool, start->provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_LOGOUT_START);
	wire_logout_start(&wire, &copy);
	return run_outgoing(pool, &task, begin, ret_outgoing, err);
}

int saml_pool_logout_answer(struct saml_pool *pool, size_t provider, int64_t now_s, const char *id,
			    const struct saml_logout *request, bool success, struct arena *arena,
			    struct saml_outgoing *ret_outgoing, struct err *err)
{
	struct task task = outgoing_task(arena);
	struct wire wire = { .out = &task.frame };
	struct saml_answer_job job = { .provider = provider,
				       .now_s = now_s,
				       .id = id,
				       .request = *request,
				       .success = success };
	size_t begin;

	if (check_provider(pool, provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_LOGOUT_ANSWER);
	wire_answer_job(&wire, &job);
	return run_outgoing(pool, &task, begin, ret_outgoing, err);
}

static void decode_xml(struct wire *wire, struct task *task)
{
	wire_xml(wire, &task->result.xml);
}

int saml_pool_metadata(struct saml_pool *pool, size_t provider, struct arena *arena,
		       const char **ret_xml, struct err *err)
{
	struct task task = { .frame = STRBUF(SAML_JOB_MAX),
			     .answer = SAML_FRAME_XML,
			     .decode = decode_xml,
			     .arena = arena };
	struct wire wire = { .out = &task.frame };
	size_t begin;
	int status;

	if (check_provider(pool, provider, err) < 0)
		return -1;
	begin = message_begin(&task.frame, SAML_FRAME_DESCRIBE);
	wire_provider_number(&wire, &provider);
	message_end(&task.frame, begin);
	status = pool_run_own(pool, &task, err);
	strbuf_finish(&task.frame);
	if (status == 0)
		*ret_xml = task.result.xml;
	return status;
}
