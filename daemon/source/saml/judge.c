/*
 * The judge (see judge.h). Enters: a message as the browser sent it, the settings of the source, what the core
 * knows. Leaves: what a verified message says, in the arena, or why it was refused. Fails out of memory only.
 *
 * Documents live for one call. Whatever leaves is copied.
 */
#include "judge.h"

#include <string.h>

#include <rolebridge/base/util.h>

#include "attributes.h"
#include "checks.h"
#include "encoding.h"
#include "refusal.h"
#include "shape.h"
#include "xml.h"

/* Steps before the named checks that get a line of their own. */
enum { STEP_GATE, STEP_SIGNATURE, STEP_SECOND, STEP_ATTRIBUTES, STEPS };

static const char *const step_names[STEPS] = { "gate", "signature", "second-verifier",
					       "attributes" };

/* One response being judged. */
struct hearing {
	const struct judge *judge;
	const struct judge_provider *provider;
	const struct saml_question *question;
	const struct saml_message *message;
	struct arena *arena;
	struct saml_refusal *refusal; /* of the first step that refused */
	bool refused;

	struct bytes_view xml;
	struct gated outer, inner;  /* inner: what was decrypted */
	const struct gated *holder; /* of the assertion */
	bool response_signed, assertion_signed;

	struct received_list attributes;
	struct saml_assertion facts;
	struct saml_check *lines;
	size_t line_count;
};

/* --- gate --- */

static int pass_gate(struct hearing *h)
{
	struct gate_rules rules = { .allow_sha1 = h->provider->allow_sha1 };
	int result;

	if (h->message->binding != SAML_POST)
		return refuse(h->refusal, "binding-unsupported", "a Response comes by POST");
	result = base64_decode(h->message->encoded, h->message->encoded_size, GATE_MESSAGE_MAX,
			       h->arena, &h->xml, h->refusal);
	if (result == 0)
		result = gate_parse(GATE_RESPONSE, &rules, h->xml.data, h->xml.size, &h->outer,
				    h->refusal);
	if (result != 0)
		return result;
	h->holder = &h->outer;
	h->facts.response_id = arena_strdup(h->arena, h->outer.id);
	if (h->outer.assertion || h->outer.encrypted)
		return 0;
	result = check_status(h->outer.root, h->arena, h->refusal);
	return result != 0 ? result
			   : refuse(h->refusal, "assertion-missing", "there is no assertion");
}

/* --- signatures --- */

static int verify(const struct hearing *h, xmlDoc *doc, xmlNode *element, const char *id,
		  xmlNode *signature)
{
	return verify_signature(doc, element, id, signature, h->provider->signing_keys,
				h->provider->signing_key_count, h->provider->allow_sha1,
				h->refusal);
}

/* What was encrypted is as hostile as the rest: anyone can encrypt to our certificate. */
static int open_encrypted(struct hearing *h)
{
	struct gate_rules rules = { .allow_sha1 = h->provider->allow_sha1 };
	struct bytes_view xml;
	int result;

	/* CBC without a signature around it lets an attacker ask what a changed byte does. */
	if (h->outer.cipher != GATE_CIPHER_GCM && !h->response_signed)
		return refuse(h->refusal, "encryption-unsigned",
			      "CBC is accepted only inside a signed Response");
	result = verify_decrypt(&h->outer, h->judge->decryption_keys,
				h->judge->decryption_key_count, h->arena, &xml, h->refusal);
	if (result == 0)
		result = gate_parse(GATE_ASSERTION, &rules, xml.data, xml.size, &h->inner,
				    h->refusal);
	if (result != 0)
		return result;
	if (strcmp(h->inner.assertion_id, h->outer.id) == 0)
		return refuse(h->refusal, "id-duplicate", "ID '%.200s'", h->outer.id);
	h->holder = &h->inner;
	return 0;
}

static int require_signatures(const struct hearing *h)
{
	enum saml_required_signature required = h->provider->require_signed;
	bool response = required == SAML_SIGNED_RESPONSE || required == SAML_SIGNED_BOTH;
	bool assertion = required == SAML_SIGNED_ASSERTION || required == SAML_SIGNED_BOTH;

	if ((response && !h->response_signed) || (assertion && !h->assertion_signed) ||
	    (!h->response_signed && !h->assertion_signed))
		return refuse(h->refusal, "signature-missing", "%s",
			      response && !h->response_signed	  ? "the Response is not signed"
			      : assertion && !h->assertion_signed ? "the assertion is not signed"
								  : "nothing is signed");
	return 0;
}

/* Every signature that is there must hold. */
static int verify_all(struct hearing *h)
{
	int result = 0;

	if (h->outer.root_signature) {
		result = verify(h, h->outer.doc, h->outer.root, h->outer.id,
				h->outer.root_signature);
		h->response_signed = result == 0;
	}
	if (result == 0 && h->outer.encrypted)
		result = open_encrypted(h);
	if (result == 0 && h->holder->assertion_signature) {
		result = verify(h, h->holder->doc, h->holder->assertion, h->holder->assertion_id,
				h->holder->assertion_signature);
		h->assertion_signed = result == 0;
	}
	return result == 0 ? require_signatures(h) : result;
}

/* --- the second verifier --- */

static bool is_ecdsa(const xmlNode *signature)
{
	const xmlNode *info = signature ? xml_child(signature, NS_DS, "SignedInfo") : NULL;
	const xmlNode *method = info ? xml_child(info, NS_DS, "SignatureMethod") : NULL;
	const char *uri = method ? xml_attribute(method, "Algorithm") : NULL;

	return uri && strstr(uri, "#ecdsa-");
}

/* What Lasso cannot take, by shape; NULL: it can. */
static const char *unsupported_shape(const struct hearing *h)
{
	const xmlNode *subject = xml_child(h->holder->assertion, NS_SAML, "Subject");
	const xmlNode *name = xml_child(subject, NS_SAML, "NameID");
	const xmlNode *confirmation = xml_child(subject, NS_SAML, "SubjectConfirmation");

	if (!name || !shape_has_text(name, GATE_MESSAGE_MAX))
		return "an assertion without NameID";
	if (confirmation && xml_again(confirmation, NS_SAML, "SubjectConfirmation"))
		return "several SubjectConfirmations";
	if (is_ecdsa(h->outer.root_signature) || is_ecdsa(h->holder->assertion_signature))
		return "an ECDSA signature";
	if (!xml_child(h->outer.root, NS_SAML, "Issuer"))
		return "a Response without Issuer";
	return NULL;
}

static const char *text_of(const struct hearing *h, const xmlNode *parent, const char *name)
{
	const xmlNode *node = parent ? xml_child(parent, NS_SAML, name) : NULL;
	const char *text = node ? xml_text(node, h->arena) : NULL;

	return text ? text : "";
}

static int ask_second(struct hearing *h)
{
	const char *unsupported = unsupported_shape(h);
	const xmlNode *assertion = h->holder->assertion;
	struct judge_view view = {
		.kind = GATE_RESPONSE,
		.provider = h->provider,
		.message = h->message,
		.xml = h->xml.data,
		.xml_size = h->xml.size,
		.response_id = h->outer.id,
		.assertion_id = h->holder->assertion_id,
		.issuer = text_of(h, assertion, "Issuer"),
		.name_id = text_of(h, xml_child(assertion, NS_SAML, "Subject"), "NameID"),
		.response_signed = h->response_signed,
		.assertion_signed = h->assertion_signed,
		.encrypted = h->outer.encrypted != NULL,
	};

	if (unsupported)
		return refuse(h->refusal, "verifier-unsupported", "%s", unsupported);
	return h->judge->second(h->judge->second_context, &view, h->refusal);
}

/* --- the whole --- */

static void note_step(struct hearing *h, int step, int result)
{
	if (!h->question->explain)
		return;
	h->lines[h->line_count++] = (struct saml_check){
		.name = step_names[step],
		.passed = result == 0,
		.skipped = result == 2,
		.detail = result == 1 ? arena_printf(h->arena, "%s: %s", h->refusal->reason,
						     h->refusal->detail)
				      : "",
	};
}

static int run_checks(struct hearing *h)
{
	struct checked checked = {
		.judge = h->judge,
		.provider = h->provider,
		.question = h->question,
		.response = h->outer.root,
		.assertion = h->holder->assertion,
		.response_signed = h->response_signed,
		.attributes = &h->attributes,
		.arena = h->arena,
		.assertion_facts = &h->facts,
	};
	struct saml_refusal refusal;
	size_t added;
	int result = checks_run(&checked, h->question->explain ? h->lines + h->line_count : NULL,
				&added, h->refused ? &refusal : h->refusal);

	if (result < 0)
		return -1;
	h->line_count += added;
	h->refused = h->refused || result == 1;
	if (checked.key &&
	    attributes_record(h->provider, &h->attributes, checked.key, h->arena, &h->facts) < 0)
		return -1;
	return h->refused ? 1 : 0;
}

/* From the verified assertion to the facts. */
static int hear_assertion(struct hearing *h)
{
	struct saml_refusal refusal;
	int result = attributes_read(h->holder->assertion, h->arena, &h->attributes,
				     h->refused ? &refusal : h->refusal);

	h->facts.assertion_id = arena_strdup(h->arena, h->holder->assertion_id);
	note_step(h, STEP_ATTRIBUTES, result);
	if (result == 0)
		result = run_checks(h);
	if (result >= 0 && h->question->explain &&
	    attributes_explain(h->provider, &h->attributes, h->arena, &h->facts) < 0)
		return -1;
	return result;
}

static void note_skipped(struct hearing *h, const char *name)
{
	h->lines[h->line_count++] = (struct saml_check){ name, false, true, "" };
}

/* Names of all that was not run. */
static void note_rest(struct hearing *h)
{
	const char *const *names = checks_names();
	size_t done = h->line_count > STEPS ? h->line_count - STEPS : 0;

	if (!h->lines)
		return;
	for (size_t i = h->line_count; i < STEPS; i++)
		note_skipped(h, step_names[i]);
	for (size_t i = done; names[i]; i++)
		note_skipped(h, names[i]);
}

/*
 * The second verifier does not take it. Where the message itself is what is wrong, that is the reason, and the same
 * in both modes; that verifiers disagree is said of what nothing else is wrong with.
 */
static int hear_disputed(struct hearing *h)
{
	const struct saml_refusal disputed = *h->refusal;
	int result = hear_assertion(h);

	if (result == 0)
		*h->refusal = disputed;
	return result < 0 ? -1 : 1;
}

/* A test login goes on behind a bad signature, to tell more; nothing is decrypted for it. */
static int hear(struct hearing *h)
{
	int result = pass_gate(h);

	note_step(h, STEP_GATE, result);
	if (result != 0)
		return result;
	result = verify_all(h);
	note_step(h, STEP_SIGNATURE, result);
	if (result < 0 || (result == 1 && (!h->question->explain || !h->holder->assertion)))
		return result;
	h->refused = result == 1;
	result = h->judge->second && !h->refused ? ask_second(h) : 2;
	note_step(h, STEP_SECOND, result);
	if (result < 0)
		return -1;
	if (result == 1 && !h->question->explain)
		return hear_disputed(h);
	h->refused = h->refused || result == 1;
	return hear_assertion(h);
}

static bool begin_hearing(struct hearing *h)
{
	h->facts = (struct saml_assertion){
		.response_id = "",
		.assertion_id = "",
		.in_response_to = "",
		.issuer = "",
		.name_id = "",
		.name_id_format = "",
		.session_index = "",
		.authn_context = "",
	};
	if (h->question->explain)
		h->lines = arena_alloc_array(h->arena, STEPS + CHECKS_MAX, sizeof(*h->lines));
	return !h->question->explain || h->lines;
}

int judge_response(const struct judge *judge, const struct judge_provider *provider,
		   const struct saml_question *question, const struct saml_message *message,
		   struct arena *arena, struct saml_assertion *ret_assertion,
		   struct saml_refusal *ret_refusal)
{
	struct hearing h = {
		.judge = judge,
		.provider = provider,
		.question = question,
		.message = message,
		.arena = arena,
		.refusal = ret_refusal,
	};
	int result = begin_hearing(&h) ? hear(&h) : -1;

	note_rest(&h);
	gated_finish(&h.outer);
	gated_finish(&h.inner);
	if (result < 0 || arena_failed(arena))
		return -1;
	h.facts.checks = h.lines;
	h.facts.check_count = h.line_count;
	if (result == 0 || question->explain)
		*ret_assertion = h.facts;
	return result;
}
