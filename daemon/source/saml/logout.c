/*
 * Judging logout messages (see judge.h). By POST the signature is in the document; by redirect it is over the raw
 * query, and it is checked before anything is inflated or parsed: what was signed is what is processed.
 *
 * Source: SAML 2.0 Core 3.7, Bindings 3.4 and 3.5, Profiles 4.4.
 */
#include "judge.h"

#include <string.h>

#include <rolebridge/base/util.h>

#include "checks.h"
#include "encoding.h"
#include "refusal.h"
#include "xml.h"

#define SIGNATURE_BYTES_MAX 2048
#define ALGORITHM_MAX 256

struct logout {
	const struct judge *judge;
	const struct judge_provider *provider;
	const struct saml_question *question;
	const struct saml_message *message;
	struct arena *arena;
	struct saml_refusal *refusal;
	struct bytes_view xml;
	struct gated gated;
	struct saml_logout facts;
};

/* --- redirect --- */

/* A raw value that is base64: a '+' that is not escaped would be a blank to some and a plus to others. */
static int decode_value(struct logout *l, struct bytes_view raw, size_t max,
			struct bytes_view *ret_bytes)
{
	const char *text;
	int result;

	if (memchr(raw.data, '+', raw.size))
		return refuse(l->refusal, "query-malformed", "a '+' that is not escaped");
	result = percent_decode(raw, l->arena, &text, l->refusal);
	if (result != 0)
		return result;
	return base64_decode(text, strlen(text), max, l->arena, ret_bytes, l->refusal);
}

static int verify_query(struct logout *l, const struct redirect_query *query)
{
	struct bytes_view signature;
	const char *algorithm;
	int result;

	if (query->sig_alg.size > ALGORITHM_MAX)
		return refuse(l->refusal, "signature-algorithm", "a SigAlg of %zu bytes",
			      query->sig_alg.size);
	result = percent_decode(query->sig_alg, l->arena, &algorithm, l->refusal);
	if (result == 0)
		result = decode_value(l, query->signature, SIGNATURE_BYTES_MAX, &signature);
	if (result != 0)
		return result;
	return verify_detached(query->signed_text, algorithm, signature, l->provider->signing_keys,
			       l->provider->signing_key_count, l->provider->allow_sha1, l->refusal);
}

static int open_query(struct logout *l)
{
	struct gate_rules rules = { .allow_sha1 = l->provider->allow_sha1 };
	struct redirect_query query;
	struct bytes_view compressed;
	int result = redirect_query_parse(l->message->query, l->message->query_size, l->arena,
					  &query, l->refusal);

	if (result == 0)
		result = verify_query(l, &query);
	if (result == 0)
		result = decode_value(l, query.message, GATE_MESSAGE_MAX, &compressed);
	if (result == 0)
		result = inflate_bounded(compressed, GATE_MESSAGE_MAX, l->arena, &l->xml,
					 l->refusal);
	if (result == 0)
		result = gate_parse(query.is_request ? GATE_LOGOUT_REQUEST : GATE_LOGOUT_RESPONSE,
				    &rules, l->xml.data, l->xml.size, &l->gated, l->refusal);
	if (result == 0 && query.has_relay_state)
		result = percent_decode(query.relay_state, l->arena, &l->facts.relay_state,
					l->refusal);
	/* Bindings 3.4.4.1: it would be a second one, over something else. */
	if (result == 0 && l->gated.root_signature)
		result = refuse(l->refusal, "signature-unexpected",
				"a Signature inside a message by redirect");
	return result;
}

/* --- POST --- */

static int open_form(struct logout *l)
{
	struct gate_rules rules = { .allow_sha1 = l->provider->allow_sha1 };
	int result = base64_decode(l->message->encoded, l->message->encoded_size, GATE_MESSAGE_MAX,
				   l->arena, &l->xml, l->refusal);

	if (result == 0)
		result = gate_parse(GATE_LOGOUT, &rules, l->xml.data, l->xml.size, &l->gated,
				    l->refusal);
	if (result != 0)
		return result;
	if (!l->gated.root_signature)
		return refuse(l->refusal, "signature-missing", "the message is not signed");
	return verify_signature(l->gated.doc, l->gated.root, l->gated.id, l->gated.root_signature,
				l->provider->signing_keys, l->provider->signing_key_count,
				l->provider->allow_sha1, l->refusal);
}

/* --- checks --- */

static int check_issuer(struct logout *l)
{
	const char *issuer =
		xml_trimmed_text(xml_child(l->gated.root, NS_SAML, "Issuer"), l->arena);

	if (!issuer)
		return -1;
	if (strcmp(issuer, l->provider->idp_entity_id) != 0)
		return refuse(l->refusal, "issuer-mismatch", "'%.200s', not '%.200s'", issuer,
			      l->provider->idp_entity_id);
	return 0;
}

static int check_destination(struct logout *l)
{
	const char *destination = xml_attribute(l->gated.root, "Destination");

	if (!destination || strcmp(destination, l->provider->slo_url) != 0)
		return refuse(l->refusal, "destination-mismatch", "'%.200s', not '%.200s'",
			      destination ? destination : "", l->provider->slo_url);
	return 0;
}

static int check_times(struct logout *l)
{
	const xmlNode *root = l->gated.root;
	const char *end = xml_attribute(root, "NotOnOrAfter");
	int64_t now_s = l->question->now_s, skew_s = l->judge->skew_s, issued_s, end_s, until_s;

	if (!saml_time_parse(xml_attribute(root, "IssueInstant"), &issued_s))
		return refuse(l->refusal, "time-unparsable", "IssueInstant '%.64s'",
			      xml_attribute(root, "IssueInstant"));
	if (end && !saml_time_parse(end, &end_s))
		return refuse(l->refusal, "time-unparsable", "NotOnOrAfter '%.64s'", end);
	if (issued_s > now_s + skew_s)
		return refuse(l->refusal, "not-yet-valid", "issued %lld s ahead",
			      (long long)(issued_s - now_s));
	until_s = issued_s + JUDGE_LOGOUT_AGE_S;
	if (end && end_s < until_s)
		until_s = end_s;
	if (until_s <= now_s - skew_s)
		return refuse(l->refusal, "expired", "issued %lld s ago%s%.64s",
			      (long long)(now_s - issued_s), end ? ", NotOnOrAfter " : "",
			      end ? end : "");
	l->facts.replay_until_s = until_s + skew_s;
	return 0;
}

static int check_in_response_to(struct logout *l)
{
	const char *id = xml_attribute(l->gated.root, "InResponseTo");

	if (!id)
		return refuse(l->refusal, "in-response-to-missing", "an answer to nothing");
	for (size_t i = 0; i < l->question->request_count; i++)
		if (strcmp(l->question->request_ids[i], id) == 0) {
			l->facts.in_response_to = arena_strdup(l->arena, id);
			return 0;
		}
	return refuse(l->refusal, "in-response-to-unknown", "'%.200s' is no request that waits",
		      id);
}

/* --- facts --- */

static int read_request(struct logout *l)
{
	const xmlNode *root = l->gated.root, *name = xml_child(root, NS_SAML, "NameID");
	const char *text = xml_text(name, l->arena), *format = xml_attribute(name, "Format");
	const xmlNode *first = xml_child(root, NS_SAMLP, "SessionIndex");
	const char **indexes =
		arena_alloc_array(l->arena, GATE_SESSION_INDEXES_MAX, sizeof(*indexes));

	if (!text || !indexes)
		return -1;
	for (const xmlNode *n = first; n; n = xml_again(n, NS_SAMLP, "SessionIndex")) {
		const char *index = xml_text(n, l->arena);

		indexes[l->facts.session_index_count++] =
			arena_strdup(l->arena, index ? index : "");
	}
	l->facts.is_request = true;
	l->facts.name_id = arena_strdup(l->arena, text);
	l->facts.name_id_format = arena_strdup(l->arena, format ? format : "");
	l->facts.session_indexes = indexes;
	return 0;
}

static int read_response(struct logout *l)
{
	struct saml_refusal ignored;

	l->facts.success = check_status(l->gated.root, l->arena, &ignored) == 0;
	return check_in_response_to(l);
}

static int ask_second(struct logout *l)
{
	const char *issuer = xml_text(xml_child(l->gated.root, NS_SAML, "Issuer"), l->arena);
	struct judge_view view = {
		.kind = l->gated.kind,
		.provider = l->provider,
		.message = l->message,
		.xml = l->xml.data,
		.xml_size = l->xml.size,
		.response_id = l->gated.id,
		.assertion_id = "",
		.issuer = issuer ? issuer : "",
		.name_id = l->facts.name_id,
		.response_signed = true,
	};

	return l->judge->second(l->judge->second_context, &view, l->refusal);
}

static int hear(struct logout *l)
{
	static int (*const checks[])(struct logout *) = { check_issuer, check_destination,
							  check_times };
	int result = l->message->binding == SAML_REDIRECT ? open_query(l) : open_form(l);

	for (size_t i = 0; result == 0 && i < ARRAY_LEN(checks); i++)
		result = checks[i](l);
	if (result != 0)
		return result;
	l->facts.id = arena_strdup(l->arena, l->gated.id);
	result = l->gated.kind == GATE_LOGOUT_REQUEST ? read_request(l) : read_response(l);
	if (result == 0 && l->judge->second)
		result = ask_second(l);
	return result;
}

int judge_logout(const struct judge *judge, const struct judge_provider *provider,
		 const struct saml_question *question, const struct saml_message *message,
		 struct arena *arena, struct saml_logout *ret_logout,
		 struct saml_refusal *ret_refusal)
{
	struct logout l = {
		.judge = judge,
		.provider = provider,
		.question = question,
		.message = message,
		.arena = arena,
		.refusal = ret_refusal,
		.facts = { .id = "",
			   .in_response_to = "",
			   .name_id = "",
			   .name_id_format = "",
			   .relay_state = "" },
	};
	int result = hear(&l);

	gated_finish(&l.gated);
	if (result < 0 || arena_failed(arena))
		return -1;
	if (result == 0)
		*ret_logout = l.facts;
	return result;
}
