/*
 * Messages between core and saml worker (see protocol.h). Encoding cannot fail but
 * in the buffer; decoding refuses whatever is cut, too long, of an unknown value,
 * or followed by more. Counts are held against the bytes that are left before
 * anything is allocated for them.
 */
#include "protocol.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define SETUP_VERSION 1

/*
 * What is written may lie in memory that is not to be written to: nothing but KEEP stores
 * through a pointer to the caller's data, and that only when reading.
 */
#define KEEP(wire, target, value) \
	do { \
		if (!(wire)->out) \
			(target) = (value); \
	} while (0)

/* --- values --- */

static void wire_fail(struct wire *wire)
{
	if (wire->out)
		strbuf_fail(wire->out);
	else
		reader_fail(wire->in);
}

static void wire_choice(struct wire *wire, int *value, int count)
{
	int choice = wire->out ? *value : get_u8(wire->in);

	if (choice < 0 || choice >= count) {
		choice = 0;
		wire_fail(wire);
	}
	if (wire->out)
		put_u8(wire->out, (uint8_t)choice);
	KEEP(wire, *value, choice);
}

void wire_bool(struct wire *wire, bool *value)
{
	int choice = wire->out ? *value : 0;

	wire_choice(wire, &choice, 2);
	KEEP(wire, *value, choice == 1);
}

static void wire_binding(struct wire *wire, enum saml_binding *value)
{
	int choice = wire->out ? (int)*value : 0;

	wire_choice(wire, &choice, SAML_POST + 1);
	KEEP(wire, *value, (enum saml_binding)choice);
}

static void wire_i64(struct wire *wire, int64_t *value)
{
	if (wire->out)
		put_i64(wire->out, *value);
	else
		*value = get_i64(wire->in);
}

static void wire_u32(struct wire *wire, uint32_t *value)
{
	if (wire->out)
		put_u32(wire->out, *value);
	else
		*value = get_u32(wire->in);
}

static void wire_size(struct wire *wire, size_t *value, size_t max)
{
	if (wire->out)
		put_varint(wire->out, *value);
	else
		*value = get_count(wire->in, max);
}

/* NULL is written as empty. */
static void wire_text(struct wire *wire, const char **text)
{
	if (wire->out)
		put_text(wire->out, *text);
	else
		*text = get_utf8(wire->in, wire->arena);
}

/* A word of at most size - 1 bytes in place. */
static void wire_word(struct wire *wire, char *text, size_t size)
{
	const char *value = text;

	wire_text(wire, &value);
	if (wire->out)
		return;
	if (strlen(value) >= size)
		wire_fail(wire);
	else
		snprintf(text, size, "%s", value);
}

static void wire_located(struct wire *wire, struct located *value)
{
	bool present = value->text != NULL;

	wire_bool(wire, &present);
	if (present)
		wire_text(wire, &value->text);
}

/* Borrowed from the frame. */
static void wire_borrowed(struct wire *wire, const void **data, size_t *size)
{
	if (wire->out)
		put_bytes(wire->out, *data, *size);
	else
		*data = get_bytes(wire->in, size);
}

static void wire_blob(struct wire *wire, const void **data, size_t *size)
{
	wire_borrowed(wire, data, size);
	if (wire->out)
		return;
	*data = arena_memdup(wire->arena, *data ? *data : "", *data ? *size : 0);
	if (!*data && *size > 0)
		wire_fail(wire);
}

/*
 * Count, and the array: the present one when writing, a new one when reading. Every item
 * takes a byte at least, so a count cannot ask for more memory than its frame warrants.
 */
static void *wire_array(struct wire *wire, const void *items, size_t *count, size_t size)
{
	void *array;

	wire_size(wire, count, SAML_LIST_MAX);
	if (wire->out) {
		if (*count > SAML_LIST_MAX)
			wire_fail(wire);
		return (void *)(uintptr_t)items;
	}
	if (*count > reader_left(wire->in)) {
		wire_fail(wire);
		*count = 0;
	}
	array = arena_alloc_array(wire->arena, *count + 1, size);
	if (!array) {
		wire_fail(wire);
		*count = 0;
	}
	return array;
}

static bool wire_failed(const struct wire *wire)
{
	return wire->out ? strbuf_failed(wire->out) : wire->in->failed;
}

static void wire_texts(struct wire *wire, const char *const **items, size_t *count)
{
	const char **array = wire_array(wire, *items, count, sizeof(*array));

	for (size_t i = 0; i < *count && !wire_failed(wire); i++)
		wire_text(wire, &array[i]);
	KEEP(wire, *items, array);
}

/* "Not given" and "given, with nothing in it" are not the same: the latter may mean nobody. */
static void wire_located_list(struct wire *wire, struct located_list *list)
{
	bool present = list->items != NULL;
	struct located *array;

	wire_bool(wire, &present);
	if (!present)
		return;
	array = wire_array(wire, list->items, &list->count, sizeof(*array));
	for (size_t i = 0; i < list->count && !wire_failed(wire); i++)
		wire_text(wire, &array[i].text);
	KEEP(wire, list->items, array);
}

int wire_done(const struct wire *wire, const char *what, struct err *err)
{
	if (reader_done(wire->in))
		return 0;
	if (arena_failed(wire->arena))
		return err_set(err, ERR_MEMORY, "out of memory for %s", what);
	return err_set(err, ERR_PROTOCOL, "%s malformed", what);
}

/* --- set-up --- */

static void wire_keys(struct wire *wire, struct struct_list *list)
{
	struct saml_key_settings *keys = wire_array(wire, list->items, &list->count, sizeof(*keys));

	for (size_t i = 0; i < list->count && !wire_failed(wire); i++) {
		wire_located(wire, &keys[i].certificate);
		wire_located(wire, &keys[i].private_key);
	}
	KEEP(wire, list->items, keys);
}

static void wire_settings(struct wire *wire, struct saml_settings *settings)
{
	wire_located(wire, &settings->certificate);
	wire_located(wire, &settings->private_key);
	wire_keys(wire, &settings->decryption_keys);
	wire_located_list(wire, &settings->next_certificates);
	wire_choice(wire, &settings->verification, SAML_VERIFY_FAST + 1);
	wire_i64(wire, &settings->skew_s);
	wire_located(wire, &settings->organization_name);
	wire_located(wire, &settings->organization_url);
	wire_located(wire, &settings->contact_name);
	wire_located(wire, &settings->contact_email);
}

/* What judging needs to resolve names; positions and the rest stay in the core. */
static void wire_attributes(struct wire *wire, struct struct_list *list)
{
	struct attribute_settings *attributes =
		wire_array(wire, list->items, &list->count, sizeof(*attributes));

	for (size_t i = 0; i < list->count && !wire_failed(wire); i++) {
		wire_located(wire, &attributes[i].name);
		wire_located(wire, &attributes[i].from);
	}
	KEEP(wire, list->items, attributes);
}

static void wire_factor(struct wire *wire, struct saml_factor_settings *factor)
{
	bool present = factor->at.file != 0;

	wire_bool(wire, &present);
	KEEP(wire, factor->at.file, present);
	wire_located_list(wire, &factor->contexts);
	wire_located(wire, &factor->attribute);
	wire_located_list(wire, &factor->values);
	wire_i64(wire, &factor->max_age_s);
}

static void wire_source(struct wire *wire, struct saml_source *source)
{
	wire_located(wire, &source->common.name);
	wire_attributes(wire, &source->common.attributes);
	wire_located(wire, &source->key);
	wire_located(wire, &source->groups);
	wire_located_list(wire, &source->allowed_domains);
	wire_located_list(wire, &source->allowed_scopes);
	wire_bool(wire, &source->idp_initiated);
	wire_bool(wire, &source->just_in_time);
	wire_choice(wire, &source->require_signed, SAML_SIGNED_BOTH + 1);
	wire_bool(wire, &source->force_authn);
	wire_bool(wire, &source->is_passive);
	wire_located_list(wire, &source->authn_contexts);
	wire_located(wire, &source->name_id_format);
	wire_choice(wire, &source->request_binding, SAML_POST + 1);
	wire_bool(wire, &source->sign_requests);
	wire_factor(wire, &source->second_factor);
	wire_bool(wire, &source->allow_sha1);
}

static void wire_endpoints(struct wire *wire, const struct saml_endpoint **items, size_t *count)
{
	struct saml_endpoint *endpoints = wire_array(wire, *items, count, sizeof(*endpoints));

	for (size_t i = 0; i < *count && !wire_failed(wire); i++) {
		wire_binding(wire, &endpoints[i].binding);
		wire_text(wire, &endpoints[i].location);
		wire_text(wire, &endpoints[i].response_location);
	}
	KEEP(wire, *items, endpoints);
}

void wire_idp(struct wire *wire, struct saml_idp *idp)
{
	int64_t entities = (int64_t)idp->entities;
	struct saml_blob *keys;

	wire_text(wire, &idp->entity_id);
	wire_i64(wire, &idp->valid_until_s);
	wire_i64(wire, &idp->cache_duration_s);
	wire_i64(wire, &entities);
	KEEP(wire, idp->entities, (uint64_t)entities);
	keys = wire_array(wire, idp->signing_keys, &idp->signing_key_count, sizeof(*keys));
	for (size_t i = 0; i < idp->signing_key_count && !wire_failed(wire); i++)
		wire_blob(wire, &keys[i].data, &keys[i].size);
	KEEP(wire, idp->signing_keys, keys);
	wire_endpoints(wire, &idp->sso, &idp->sso_count);
	wire_endpoints(wire, &idp->slo, &idp->slo_count);
	wire_bool(wire, &idp->wants_signed_requests);
	wire_texts(wire, &idp->scopes, &idp->scope_count);
}

static void *wire_pointer(struct wire *wire, const void *present, size_t size)
{
	void *room;

	if (wire->out)
		return (void *)(uintptr_t)present;
	room = arena_alloc(wire->arena, size);
	if (!room)
		wire_fail(wire);
	return room;
}

static void wire_provider(struct wire *wire, struct saml_provider *provider)
{
	struct saml_source *source = wire_pointer(wire, provider->settings, sizeof(*source));
	bool has_idp = provider->idp != NULL;
	struct wanted_attribute *attributes;
	struct wanted_group *groups;

	if (!source)
		return;
	wire_source(wire, source);
	KEEP(wire, provider->settings, source);
	wire_bool(wire, &has_idp);
	if (has_idp) {
		struct saml_idp *idp = wire_pointer(wire, provider->idp, sizeof(*idp));
		if (!idp)
			return;
		wire_idp(wire, idp);
		KEEP(wire, provider->idp, idp);
	}
	wire_text(wire, &provider->sp_entity_id);
	wire_text(wire, &provider->acs_url);
	wire_text(wire, &provider->slo_url);
	attributes = wire_array(wire, provider->attributes, &provider->attribute_count,
				sizeof(*attributes));
	for (size_t i = 0; i < provider->attribute_count && !wire_failed(wire); i++) {
		wire_text(wire, &attributes[i].name);
		wire_text(wire, &attributes[i].from);
	}
	KEEP(wire, provider->attributes, attributes);
	groups = wire_array(wire, provider->groups, &provider->group_count, sizeof(*groups));
	for (size_t i = 0; i < provider->group_count && !wire_failed(wire); i++) {
		wire_u32(wire, &groups[i].id);
		wire_text(wire, &groups[i].name);
	}
	KEEP(wire, provider->groups, groups);
	wire_text(wire, &provider->email_attribute);
}

void wire_setup(struct wire *wire, struct saml_setup *setup)
{
	uint32_t version = SETUP_VERSION;
	struct saml_provider *providers;

	wire_u32(wire, &version);
	if (version != SETUP_VERSION)
		wire_fail(wire);
	wire_settings(wire, &setup->settings);
	providers = wire_array(wire, setup->providers, &setup->count, sizeof(*providers));
	for (size_t i = 0; i < setup->count && !wire_failed(wire); i++)
		wire_provider(wire, &providers[i]);
	KEEP(wire, setup->providers, providers);
}

/* --- jobs --- */

void wire_provider_number(struct wire *wire, size_t *provider)
{
	wire_size(wire, provider, SAML_PROVIDERS_MAX);
}

/* One of each request, or none at all. */
static void wire_forced(struct wire *wire, struct saml_question *question)
{
	size_t count = question->forced_since_s ? question->request_count : 0;
	int64_t *times = wire_array(wire, question->forced_since_s, &count, sizeof(*times));

	if (count != 0 && count != question->request_count)
		wire_fail(wire);
	for (size_t i = 0; i < count && !wire_failed(wire); i++)
		wire_i64(wire, &times[i]);
	KEEP(wire, question->forced_since_s, count != 0 ? times : NULL);
}

static void wire_question(struct wire *wire, struct saml_question *question)
{
	wire_provider_number(wire, &question->provider);
	wire_i64(wire, &question->now_s);
	wire_texts(wire, &question->request_ids, &question->request_count);
	wire_forced(wire, question);
	wire_bool(wire, &question->explain);
}

void wire_receive_job(struct wire *wire, struct saml_receive_job *job)
{
	struct saml_message *message = &job->message;
	bool redirect;
	const void *data;
	size_t size;

	wire_question(wire, &job->question);
	wire_binding(wire, &message->binding);
	redirect = message->binding == SAML_REDIRECT;
	data = redirect ? message->query : message->encoded;
	size = redirect ? message->query_size : message->encoded_size;
	wire_borrowed(wire, &data, &size);
	KEEP(wire, *(redirect ? &message->query : &message->encoded), data);
	KEEP(wire, *(redirect ? &message->query_size : &message->encoded_size), size);
}

void wire_login(struct wire *wire, struct saml_login_request *request)
{
	wire_provider_number(wire, &request->provider);
	wire_i64(wire, &request->now_s);
	wire_text(wire, &request->id);
	wire_text(wire, &request->relay_state);
	wire_bool(wire, &request->force_authn);
}

void wire_logout_start(struct wire *wire, struct saml_logout_start *start)
{
	wire_provider_number(wire, &start->provider);
	wire_i64(wire, &start->now_s);
	wire_text(wire, &start->id);
	wire_text(wire, &start->name_id);
	wire_text(wire, &start->name_id_format);
	wire_text(wire, &start->session_index);
	wire_text(wire, &start->relay_state);
}

static void wire_logout(struct wire *wire, struct saml_logout *logout)
{
	wire_bool(wire, &logout->is_request);
	wire_text(wire, &logout->id);
	wire_text(wire, &logout->in_response_to);
	wire_bool(wire, &logout->success);
	wire_text(wire, &logout->name_id);
	wire_text(wire, &logout->name_id_format);
	wire_texts(wire, &logout->session_indexes, &logout->session_index_count);
	wire_i64(wire, &logout->replay_until_s);
	wire_text(wire, &logout->relay_state);
}

void wire_answer_job(struct wire *wire, struct saml_answer_job *job)
{
	wire_provider_number(wire, &job->provider);
	wire_i64(wire, &job->now_s);
	wire_text(wire, &job->id);
	wire_logout(wire, &job->request);
	wire_bool(wire, &job->success);
}

void wire_metadata_job(struct wire *wire, struct saml_metadata_job *job)
{
	wire_i64(wire, &job->now_s);
	wire_text(wire, &job->entity_id);
	wire_blob(wire, &job->certificate.data, &job->certificate.size);
	wire_borrowed(wire, &job->xml, &job->size);
}

/* --- answers --- */

static void wire_refusal(struct wire *wire, bool *refused, struct saml_refusal *refusal)
{
	wire_bool(wire, refused);
	wire_word(wire, refusal->reason, sizeof(refusal->reason));
	wire_word(wire, refusal->detail, sizeof(refusal->detail));
	/* A refusal without a reason, or a reason without refusal, is neither. */
	if (*refused != (refusal->reason[0] != '\0'))
		wire_fail(wire);
}

static void wire_attribute(struct wire *wire, struct saml_attribute *attribute)
{
	wire_text(wire, &attribute->received);
	wire_text(wire, &attribute->friendly);
	wire_text(wire, &attribute->name);
	wire_texts(wire, &attribute->values, &attribute->count);
}

static void wire_check(struct wire *wire, struct saml_check *check)
{
	wire_text(wire, &check->name);
	wire_bool(wire, &check->passed);
	wire_bool(wire, &check->skipped);
	wire_text(wire, &check->detail);
}

static void wire_assertion(struct wire *wire, struct saml_assertion *assertion)
{
	const char **const texts[] = { &assertion->response_id,	   &assertion->assertion_id,
				       &assertion->in_response_to, &assertion->issuer,
				       &assertion->name_id,	   &assertion->name_id_format,
				       &assertion->session_index,  &assertion->authn_context };
	int64_t *const times[] = { &assertion->authn_instant_s, &assertion->session_until_s,
				   &assertion->replay_until_s, &assertion->second_factor_s };
	struct saml_attribute *attributes;
	struct saml_check *checks;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_text(wire, texts[i]);
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		wire_i64(wire, times[i]);
	wire_bool(wire, &assertion->second_factor_asked);
	wire_blob(wire, &assertion->record, &assertion->record_size);
	attributes = wire_array(wire, assertion->attributes, &assertion->attribute_count,
				sizeof(*attributes));
	for (size_t i = 0; i < assertion->attribute_count && !wire_failed(wire); i++)
		wire_attribute(wire, &attributes[i]);
	KEEP(wire, assertion->attributes, attributes);
	checks = wire_array(wire, assertion->checks, &assertion->check_count, sizeof(*checks));
	for (size_t i = 0; i < assertion->check_count && !wire_failed(wire); i++)
		wire_check(wire, &checks[i]);
	KEEP(wire, assertion->checks, checks);
}

void wire_verdict(struct wire *wire, struct saml_verdict *verdict)
{
	wire_refusal(wire, &verdict->refused, &verdict->refusal);
	wire_assertion(wire, &verdict->assertion);
}

void wire_logout_verdict(struct wire *wire, struct saml_logout_verdict *verdict)
{
	wire_refusal(wire, &verdict->refused, &verdict->refusal);
	wire_logout(wire, &verdict->logout);
}

void wire_outgoing(struct wire *wire, struct saml_outgoing *outgoing)
{
	wire_binding(wire, &outgoing->binding);
	wire_text(wire, &outgoing->url);
	wire_text(wire, &outgoing->field);
	wire_text(wire, &outgoing->value);
	wire_text(wire, &outgoing->relay_state);
}

void wire_xml(struct wire *wire, const char **xml)
{
	wire_text(wire, xml);
}

/* --- failures --- */

void wire_failure(struct wire *wire, struct saml_failure *failure)
{
	int code = failure->code;

	wire_choice(wire, &code, ERR_INTERNAL + 1);
	KEEP(wire, failure->code, (uint8_t)code);
	if (failure->code == ERR_NONE)
		wire_fail(wire);
	wire_text(wire, &failure->reason);
	wire_text(wire, &failure->text);
}

/* Reasons of struct err are static: a worker can only name one of these. */
static const char *const reasons[] = {
	"metadata-malformed", "metadata-expired", "metadata-unsigned", "metadata-signature",
	"entity-missing",     "entity-ambiguous", "no-signing-key",    "no-sso-endpoint",
	"no-logout-endpoint", "idp-unavailable",
};

int saml_failure_raise(const struct saml_failure *failure, struct err *err)
{
	enum err_code code = (enum err_code)failure->code;

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (strcmp(reasons[i], failure->reason) == 0)
			return err_refuse(err, code, reasons[i], "%s", failure->text);
	return err_set(err, code, "%s", failure->text);
}

/* An error's text is cut by bytes, and may show what an attacker wrote: no broken characters leave. */
static void mend_utf8(char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t size = text_next_char(text, left, NULL);

		if (size == 0) {
			*text = '?';
			size = 1;
		}
		text += size;
		left -= size;
	}
}

struct saml_failure saml_failure_of(struct err *err)
{
	enum err_code code = err->code == ERR_NONE ? ERR_INTERNAL : err->code;

	mend_utf8(err->text);
	return (struct saml_failure){ .code = (uint8_t)code,
				      .reason = err->reason ? err->reason : "",
				      .text = err->text };
}
