/*
 * The saml worker: one process, all providers, one message at a time. In comes the
 * set-up with the paths of our keys, then jobs; out goes one answer to each. After
 * worker_lock it can read, write and allocate: no file, no network, no clock of
 * its own (the time comes with each job).
 *
 * The same program reads metadata, once and without any key, when that is the first message it gets.
 *
 * Whatever goes wrong with a job is in its answer. A malformed job, which only a broken core
 * sends, ends the process.
 */
#include <rolebridge/source/saml.h>

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#include "judge.h"
#include "keys.h"
#include "lasso.h"
#include "memory.h"
#include "metadata.h"
#include "outgoing.h"
#include "protocol.h"
#include "refusal.h"
#include "sandbox.h"

#define MEBIBYTE ((size_t)1024 * 1024)
#define WORKER_MEMORY_MAX (256 * MEBIBYTE)
#define PROVIDER_MEMORY (MEBIBYTE / 2)
/* The tree of a document of SAML_METADATA_MAX, and its canonical form. */
#define METADATA_MEMORY_MAX (2048 * MEBIBYTE)
#define SETUP_ARENA_MAX (4 * SAML_SETUP_MAX)
#define JOB_ARENA_MAX (32 * MEBIBYTE)
/*
 * Lasso loses memory on messages it refuses, and the decoded signature of each redirect: look now and then,
 * ask to be replaced. The largest message makes buffers, and what the allocator keeps by size, grow by half of this, once.
 */
#define GROWTH_MAX (3 * MEBIBYTE)
#define LOOK_EACH_JOBS 64

/* --- state --- */

struct party {
	const struct saml_provider *provider;
	struct judge_provider judged;
	struct lasso_verifier *second; /* NULL: `fast`, or no metadata */
	const struct verify_key *signing_keys[VERIFY_KEYS_MAX];
};

struct state {
	int socket;
	struct arena *arena; /* of the set-up */
	struct saml_setup setup;
	struct keys *keys;
	struct judge judge;
	struct party *parties;
	struct arena *job;
	struct strbuf answer;
	uint64_t jobs;
	size_t memory; /* in use when the first job came */
};

/* --- set-up: what a provider is to the judge --- */

static const char *given(const struct located *text)
{
	return text->text && *text->text ? text->text : NULL;
}

/* A list that was given with nothing in it allows nothing: "" fits no value that is looked at. */
static struct text_list text_list(const struct located_list *list, struct arena *arena)
{
	const size_t count = list->items && list->count == 0 ? 1 : list->count;
	const char **items = arena_alloc_array(arena, count + 1, sizeof(*items));

	for (size_t i = 0; items && i < count; i++)
		items[i] = i < list->count ? list->items[i].text : "";
	return (struct text_list){ items, items ? count : 0 };
}

/* A declared attribute is looked for by the name it is received under. */
static const char *received_name(const struct saml_source *settings, const struct located *name)
{
	const struct attribute_settings *attributes = settings->common.attributes.items;

	for (size_t i = 0; given(name) && i < settings->common.attributes.count; i++)
		if (given(&attributes[i].name) && given(&attributes[i].from) &&
		    strcmp(attributes[i].name.text, name->text) == 0)
			return attributes[i].from.text;
	return given(name);
}

static int party_keys(struct party *party, struct err *err)
{
	const struct saml_idp *idp = party->provider->idp;
	size_t count = 0;

	for (size_t i = 0; i < idp->signing_key_count && count < VERIFY_KEYS_MAX; i++) {
		struct err ignored = { 0 };
		struct verify_key *key = verify_key_create(idp->signing_keys[i].data,
							   idp->signing_keys[i].size, &ignored);
		if (key)
			party->signing_keys[count++] = key;
		else if (ignored.code == ERR_MEMORY)
			return err_set(err, ERR_MEMORY, "out of memory for keys");
	}
	party->judged.signing_keys = party->signing_keys;
	party->judged.signing_key_count = count;
	return 0;
}

static struct judge_factor judge_factor(const struct saml_factor_settings *factor,
					struct arena *arena)
{
	struct judge_factor judged = { 0 };

	if (!factor->at.file)
		return judged;
	judged.contexts = text_list(&factor->contexts, arena);
	judged.attribute = given(&factor->attribute);
	judged.values = text_list(&factor->values, arena);
	judged.max_age_s = factor->max_age_s;
	return judged;
}

static void fill_judged(struct party *party, struct arena *arena)
{
	const struct saml_provider *provider = party->provider;
	const struct saml_source *settings = provider->settings;
	const struct saml_idp *idp = provider->idp;
	struct judge_provider *judged = &party->judged;

	judged->idp_entity_id = idp->entity_id;
	judged->sp_entity_id = provider->sp_entity_id;
	judged->acs_url = provider->acs_url;
	judged->slo_url = provider->slo_url;
	judged->allow_sha1 = settings->allow_sha1;
	judged->idp_initiated = settings->idp_initiated;
	judged->force_authn = settings->force_authn;
	judged->require_signed = (enum saml_required_signature)settings->require_signed;
	judged->authn_contexts = text_list(&settings->authn_contexts, arena);
	judged->allowed_domains = text_list(&settings->allowed_domains, arena);
	judged->allowed_scopes = settings->allowed_scopes.items
					 ? text_list(&settings->allowed_scopes, arena)
					 : (struct text_list){ idp->scopes, idp->scope_count };
	judged->key = received_name(settings, &settings->key);
	judged->key = judged->key ? judged->key : "name-id";
	judged->groups_from = received_name(settings, &settings->groups);
	judged->email_attribute = provider->email_attribute && *provider->email_attribute
					  ? provider->email_attribute
					  : NULL;
	judged->second_factor = judge_factor(&settings->second_factor, arena);
	judged->attributes = provider->attributes;
	judged->attribute_count = provider->attribute_count;
	judged->groups = arena_memdup(arena, provider->groups,
				      provider->group_count * sizeof(*provider->groups));
	judged->group_count = judged->groups ? provider->group_count : 0;
}

static int party_init(struct state *state, struct party *party,
		      const struct saml_provider *provider, struct err *err)
{
	party->provider = provider;
	if (!provider->idp)
		return 0;
	fill_judged(party, state->arena);
	if (arena_failed(state->arena))
		return err_set(err, ERR_MEMORY, "out of memory for settings");
	judge_provider_prepare(&party->judged);
	if (party_keys(party, err) < 0)
		return -1;
	if (state->setup.settings.verification == SAML_VERIFY_FAST)
		return 0;
	party->second = lasso_verifier_create(state->keys, provider, err);
	return party->second ? 0 : -1;
}

static int prepare_parties(struct state *state, struct err *err)
{
	const struct saml_setup *setup = &state->setup;

	state->judge = (struct judge){ .skew_s = setup->settings.skew_s };
	state->judge.decryption_key_count =
		keys_decryption(state->keys, &state->judge.decryption_keys);
	state->parties = arena_alloc_array(state->arena, setup->count + 1, sizeof(*state->parties));
	if (!state->parties)
		return err_set(err, ERR_MEMORY, "out of memory for settings");
	for (size_t i = 0; i < setup->count; i++)
		if (party_init(state, &state->parties[i], &setup->providers[i], err) < 0)
			return err_wrap(err, "provider %zu", i);
	return 0;
}

/* One signature, one verification, one decryption: what they load, they load before the lock. */
static int warm_up(const struct state *state, struct err *err)
{
	if (keys_try(state->keys, state->arena) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "the private key does not work");
}

static int prepare(struct state *state, struct err *err)
{
	const bool agree = state->setup.settings.verification == SAML_VERIFY_AGREE;

	hash_prepare();
	/* What libxml2 gives to Lasso may go to free(). */
	if ((agree ? lasso_prepare(err) : memory_prepare(err)) < 0)
		return -1;
	if (verify_prepare(err) < 0)
		return -1;
	state->keys = keys_load(&state->setup.settings, err);
	if (!state->keys || prepare_parties(state, err) < 0 || warm_up(state, err) < 0)
		return -1;
	return sandbox_enter(WORKER_MEMORY_MAX + state->setup.count * PROVIDER_MEMORY, err);
}

/* --- answers --- */

static struct wire wire_out(struct state *state)
{
	return (struct wire){ .out = &state->answer, .arena = state->job };
}

static bool has_grown(struct state *state)
{
	struct mallinfo2 info;

	if (state->jobs++ % LOOK_EACH_JOBS != 0)
		return false;
	info = mallinfo2();
	if (state->memory == 0)
		state->memory = info.uordblks + info.hblkhd + 1;
	return info.uordblks + info.hblkhd > state->memory + GROWTH_MAX;
}

static size_t answer_begin(struct state *state, enum saml_frame type)
{
	strbuf_clear(&state->answer);
	return message_begin(&state->answer, (uint16_t)type);
}

/* The last byte of each answer: please replace me. */
static void answer_end(struct state *state, size_t begin)
{
	put_u8(&state->answer, has_grown(state));
	message_end(&state->answer, begin);
}

static void answer_failure(struct state *state, struct err *err)
{
	struct saml_failure failure = saml_failure_of(err);
	struct wire wire = wire_out(state);
	size_t begin = answer_begin(state, SAML_FRAME_FAILED);

	wire_failure(&wire, &failure);
	answer_end(state, begin);
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "the worker has no memory for this message");
}

/* --- jobs: 0 with the answer written, 1: the job is malformed, -1: err is the answer --- */

typedef int job_fn(struct state *state, struct reader *in, struct err *err);

static int find_party(const struct state *state, size_t number, struct party **ret_party,
		      struct err *err)
{
	if (number >= state->setup.count)
		return err_set(err, ERR_INTERNAL, "the worker has no provider %zu", number);
	*ret_party = &state->parties[number];
	return 0;
}

static int idp_unavailable(struct saml_refusal *refusal)
{
	return refuse(refusal, "idp-unavailable",
		      "the metadata of the identity provider is not there");
}

/* The judge with this provider's second verifier. */
static struct judge judge_for(const struct state *state, const struct party *party)
{
	struct judge judge = state->judge;

	judge.second = party->second ? lasso_verifier_ask : NULL;
	judge.second_context = party->second;
	return judge;
}

/* A message that is to be judged, and whom it is for. As a job ends. */
static int read_question(struct state *state, struct reader *in, struct saml_receive_job *job,
			 struct party **ret_party, struct err *err)
{
	struct wire read = { .in = in, .arena = state->job };

	wire_receive_job(&read, job);
	if (wire_done(&read, "job", err) < 0)
		return 1;
	return find_party(state, job->question.provider, ret_party, err);
}

static int job_verify(struct state *state, struct reader *in, struct err *err)
{
	struct wire write = wire_out(state);
	struct saml_receive_job job = { 0 };
	struct saml_verdict verdict = { 0 };
	struct party *party = NULL;
	size_t begin;
	int status;

	status = read_question(state, in, &job, &party, err);
	if (status != 0)
		return status;
	if (party->provider->idp) {
		struct judge judge = judge_for(state, party);
		status = judge_response(&judge, &party->judged, &job.question, &job.message,
					state->job, &verdict.assertion, &verdict.refusal);
	} else {
		status = idp_unavailable(&verdict.refusal);
	}
	if (status < 0)
		return no_memory(err);
	verdict.refused = status > 0;
	if (verdict.refused && !job.question.explain)
		verdict.assertion = (struct saml_assertion){ 0 };
	begin = answer_begin(state, SAML_FRAME_VERDICT);
	wire_verdict(&write, &verdict);
	answer_end(state, begin);
	return 0;
}

static int job_logout_receive(struct state *state, struct reader *in, struct err *err)
{
	struct wire write = wire_out(state);
	struct saml_receive_job job = { 0 };
	struct saml_logout_verdict verdict = { 0 };
	struct party *party = NULL;
	size_t begin;
	int status;

	status = read_question(state, in, &job, &party, err);
	if (status != 0)
		return status;
	if (party->provider->idp) {
		struct judge judge = judge_for(state, party);
		status = judge_logout(&judge, &party->judged, &job.question, &job.message,
				      state->job, &verdict.logout, &verdict.refusal);
	} else {
		status = idp_unavailable(&verdict.refusal);
	}
	if (status < 0)
		return no_memory(err);
	verdict.refused = status > 0;
	if (verdict.refused)
		verdict.logout = (struct saml_logout){ 0 };
	begin = answer_begin(state, SAML_FRAME_LOGOUT_VERDICT);
	wire_logout_verdict(&write, &verdict);
	answer_end(state, begin);
	return 0;
}

static int answer_outgoing(struct state *state, struct saml_outgoing *outgoing)
{
	struct wire write = wire_out(state);
	size_t begin = answer_begin(state, SAML_FRAME_OUTGOING);

	wire_outgoing(&write, outgoing);
	answer_end(state, begin);
	return 0;
}

static int job_login(struct state *state, struct reader *in, struct err *err)
{
	struct wire read = { .in = in, .arena = state->job };
	struct saml_login_request request = { 0 };
	struct saml_outgoing outgoing;
	struct party *party = NULL;

	wire_login(&read, &request);
	if (wire_done(&read, "job", err) < 0)
		return 1;
	if (find_party(state, request.provider, &party, err) < 0 ||
	    outgoing_login(state->keys, party->provider, &request, state->job, &outgoing, err) < 0)
		return -1;
	return answer_outgoing(state, &outgoing);
}

static int job_logout_start(struct state *state, struct reader *in, struct err *err)
{
	struct wire read = { .in = in, .arena = state->job };
	struct saml_logout_start start = { 0 };
	struct saml_outgoing outgoing;
	struct party *party = NULL;

	wire_logout_start(&read, &start);
	if (wire_done(&read, "job", err) < 0)
		return 1;
	if (find_party(state, start.provider, &party, err) < 0 ||
	    outgoing_logout_start(state->keys, party->provider, &start, state->job, &outgoing,
				  err) < 0)
		return -1;
	return answer_outgoing(state, &outgoing);
}

static int job_logout_answer(struct state *state, struct reader *in, struct err *err)
{
	struct wire read = { .in = in, .arena = state->job };
	struct saml_answer_job job = { 0 };
	struct saml_outgoing outgoing;
	struct party *party = NULL;

	wire_answer_job(&read, &job);
	if (wire_done(&read, "job", err) < 0)
		return 1;
	if (find_party(state, job.provider, &party, err) < 0 ||
	    outgoing_logout_answer(state->keys, party->provider, job.now_s, job.id, &job.request,
				   job.success, state->job, &outgoing, err) < 0)
		return -1;
	return answer_outgoing(state, &outgoing);
}

static int job_describe(struct state *state, struct reader *in, struct err *err)
{
	struct wire read = { .in = in, .arena = state->job }, write = wire_out(state);
	struct party *party = NULL;
	const char *xml;
	size_t number = 0, begin;

	wire_provider_number(&read, &number);
	if (wire_done(&read, "job", err) < 0)
		return 1;
	if (find_party(state, number, &party, err) < 0 ||
	    outgoing_metadata(state->keys, &state->setup.settings, party->provider, state->job,
			      &xml, err) < 0)
		return -1;
	begin = answer_begin(state, SAML_FRAME_XML);
	wire_xml(&write, &xml);
	answer_end(state, begin);
	return 0;
}

static job_fn *find_job(uint16_t type)
{
	switch (type) {
	case SAML_FRAME_VERIFY: return job_verify;
	case SAML_FRAME_LOGIN: return job_login;
	case SAML_FRAME_LOGOUT_START: return job_logout_start;
	case SAML_FRAME_LOGOUT_RECEIVE: return job_logout_receive;
	case SAML_FRAME_LOGOUT_ANSWER: return job_logout_answer;
	case SAML_FRAME_DESCRIBE: return job_describe;
	default: return NULL;
	}
}

/* 0: answered; -1: the core is broken or gone. */
static int run_job(struct state *state, struct message *message)
{
	job_fn *job = find_job(message->type);
	struct err err = { 0 };
	int status;

	if (!job)
		return -1;
	arena_reset(state->job);
	status = job(state, &message->body, &err);
	if (status > 0)
		return -1;
	if (status == 0 && strbuf_failed(&state->answer))
		status = err_set(&err, ERR_TOO_LARGE, "the answer is larger than %zu bytes",
				 SAML_ANSWER_MAX);
	if (status < 0)
		answer_failure(state, &err);
	return message_send(state->socket, &state->answer, -1, &err);
}

/* Returns the exit status: 0 when the core has closed the socket. */
static int serve(struct state *state)
{
	struct message_stream *stream = message_stream_create(state->socket, SAML_JOB_MAX);
	struct message message;
	int received = stream ? 1 : -1;

	while (received > 0) {
		received = message_receive(stream, 0, &message, NULL, NULL);
		if (received > 0 && run_job(state, &message) < 0)
			received = -1;
	}
	message_stream_destroy(stream);
	return received == 0 ? 0 : 1;
}

/* --- the pool's worker --- */

static int run_pool_worker(struct state *state, struct reader *in)
{
	struct wire wire = { .in = in, .arena = state->arena };
	struct err err = { 0 };
	size_t begin;

	wire_setup(&wire, &state->setup);
	if (wire_done(&wire, "set-up", &err) < 0 || prepare(state, &err) < 0) {
		answer_failure(state, &err);
		message_send(state->socket, &state->answer, -1, NULL);
		return 1;
	}
	begin = answer_begin(state, SAML_FRAME_READY);
	message_end(&state->answer, begin);
	if (message_send(state->socket, &state->answer, -1, NULL) < 0)
		return 1;
	return serve(state);
}

/* --- metadata --- */

static int read_metadata(struct state *state, struct reader *in, struct err *err)
{
	struct wire read = { .in = in, .arena = state->arena }, write = wire_out(state);
	struct saml_metadata_job job = { 0 };
	struct saml_idp idp;
	size_t begin;

	hash_prepare();
	wire_metadata_job(&read, &job);
	if (wire_done(&read, "job", err) < 0 || verify_prepare(err) < 0 ||
	    sandbox_enter(METADATA_MEMORY_MAX, err) < 0 ||
	    metadata_parse(&job, state->arena, &idp, err) < 0)
		return -1;
	begin = answer_begin(state, SAML_FRAME_IDP);
	wire_idp(&write, &idp);
	answer_end(state, begin);
	return 0;
}

static int run_metadata_worker(struct state *state, struct reader *in)
{
	struct err err = { 0 };

	if (read_metadata(state, in, &err) < 0)
		answer_failure(state, &err);
	return message_send(state->socket, &state->answer, -1, NULL) < 0 ? 1 : 0;
}

static int run(struct state *state)
{
	struct message_stream *first = message_stream_create(state->socket, SAML_METADATA_JOB_MAX);
	struct message message;
	int status = 1;

	if (!first || message_receive(first, 0, &message, NULL, NULL) != 1)
		status = 1;
	else if (message.type == SAML_FRAME_SETUP)
		status = run_pool_worker(state, &message.body);
	else if (message.type == SAML_FRAME_READ_METADATA)
		status = run_metadata_worker(state, &message.body);
	message_stream_destroy(first);
	return status;
}

/*
 * Ends the process at once: what the set-up made stays to the end, since freeing guarded memory takes system
 * calls that are not allowed any more, and nothing that libraries want to do at an end is needed.
 */
int saml_worker_main(int socket)
{
	static struct state state;
	int status = 1;

	/* A core that goes away shows as an error of write, not as a signal. */
	signal(SIGPIPE, SIG_IGN);
	state = (struct state){ .socket = socket,
				.arena = arena_create(SETUP_ARENA_MAX),
				.job = arena_create(JOB_ARENA_MAX),
				.answer = STRBUF(SAML_ANSWER_MAX) };
	if (state.arena && state.job)
		status = run(&state);
	_exit(status);
}
