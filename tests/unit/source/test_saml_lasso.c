/*
 * The second verifier by itself: it agrees with what is right, and with nothing else. Logout messages
 * are made by our own code with the two sides exchanged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include <xmlsec/base64.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/lasso.h"
#include "../../../daemon/source/saml/outgoing.h"
#include "../../../daemon/source/saml/verify.h"
#include "saml_support.h"
#include "support.h"

static struct world world;
static struct keys *keys, *idp_keys;
static struct lasso_verifier *verifier;
static struct saml_pair stranger;

static struct judge_view view_of(const char *xml, const struct saml_message *message)
{
	return (struct judge_view){ .kind = GATE_RESPONSE,
				    .message = message,
				    .xml = xml,
				    .xml_size = strlen(xml),
				    .response_id = "_r000000000000000000000000000001",
				    .assertion_id = "_a000000000000000000000000000001",
				    .issuer = IDP_ENTITY,
				    .name_id = "person",
				    .assertion_signed = true };
}

/* What makes a good message, or view of it, a bad one. */
enum harm {
	NO_HARM,
	OTHER_RESPONSE_ID,
	OTHER_ASSERTION_ID,
	OTHER_ISSUER,
	OTHER_NAME,
	RESPONSE_NOT_SIGNED,
	CHANGED_TEXT,
	OTHER_KEY,
	NOTHING_SIGNED,
	FOREIGN_ISSUER,
};

static const struct {
	const char *name;
	enum harm harm;
	unsigned signatures;
	bool encrypted;
	int status;
} cases[] = {
	{ "assertion signed", NO_HARM, SAML_MAKE_ASSERTION, false, 0 },
	{ "response signed", NO_HARM, SAML_MAKE_RESPONSE, false, 0 },
	{ "both signed", NO_HARM, SAML_MAKE_ASSERTION | SAML_MAKE_RESPONSE, false, 0 },
	{ "encrypted", NO_HARM, SAML_MAKE_ASSERTION, true, 0 },
	{ "encrypted, response signed", NO_HARM, SAML_MAKE_RESPONSE, true, 0 },
	{ "another response id", OTHER_RESPONSE_ID, SAML_MAKE_ASSERTION, false, 1 },
	{ "another assertion id", OTHER_ASSERTION_ID, SAML_MAKE_ASSERTION, false, 1 },
	{ "another issuer", OTHER_ISSUER, SAML_MAKE_ASSERTION, false, 1 },
	{ "another name", OTHER_NAME, SAML_MAKE_ASSERTION, false, 1 },
	{ "response not signed", RESPONSE_NOT_SIGNED, SAML_MAKE_ASSERTION, false, 1 },
	{ "changed assertion", CHANGED_TEXT, SAML_MAKE_ASSERTION, false, 1 },
	{ "changed response", CHANGED_TEXT, SAML_MAKE_RESPONSE, false, 1 },
	{ "another key", OTHER_KEY, SAML_MAKE_ASSERTION, false, 1 },
	{ "another key for the response", OTHER_KEY, SAML_MAKE_RESPONSE, false, 1 },
	{ "another key, encrypted", OTHER_KEY, SAML_MAKE_ASSERTION, true, 1 },
	{ "nothing signed", NOTHING_SIGNED, 0, false, 1 },
	{ "a foreign issuer", FOREIGN_ISSUER, SAML_MAKE_ASSERTION, false, 1 },
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct saml_make make = world_response(&world, 1);
		const struct saml_message message = world_message("");
		struct saml_refusal refusal = { 0 };
		struct judge_view view;
		enum harm harm = cases[i].harm;
		size_t size;
		char *xml;
		int status;
		make.signatures = cases[i].signatures;
		make.encrypt_to = cases[i].encrypted ? &world.sp : NULL;
		make.idp = harm == OTHER_KEY ? &stranger : &world.idp;
		make.idp_entity_id = harm == FOREIGN_ISSUER ? "urn:evil" : IDP_ENTITY;
		xml = saml_make_xml(&make, &size);
		if (harm == CHANGED_TEXT)
			memcpy(strstr(xml, "Lovelace"), "Lovelacf", 8);
		view = view_of(xml, &message);
		view.response_signed = cases[i].signatures & SAML_MAKE_RESPONSE;
		view.response_id = harm == OTHER_RESPONSE_ID ? "_x" : view.response_id;
		view.assertion_id = harm == OTHER_ASSERTION_ID ? "_x" : view.assertion_id;
		view.issuer = harm == OTHER_ISSUER ? "urn:x" : view.issuer;
		view.name_id = harm == OTHER_NAME ? "Person" : view.name_id;
		view.response_signed |= harm == RESPONSE_NOT_SIGNED;
		status = lasso_verifier_ask(verifier, &view, &refusal);
		free(xml);
		if (status != cases[i].status)
			fail_msg("%s: %d %s", cases[i].name, status, refusal.detail);
		if (status > 0)
			assert_string_equal(refusal.reason, "verifiers-disagree");
	}
}

/* --- logout, the IdP being our own code --- */

static const struct saml_endpoint our_redirect[] = { { SAML_REDIRECT, SP_SLO, "" } };
static const struct saml_endpoint our_post[] = { { SAML_POST, SP_SLO, "" } };

struct outbound {
	struct saml_message message;
	struct strbuf xml;
};

static void receive(const struct saml_outgoing *outgoing, struct arena *arena,
		    struct outbound *ret_outbound)
{
	struct saml_message *message = &ret_outbound->message;

	ret_outbound->xml = STRBUF(1 << 16);
	message->binding = outgoing->binding;
	if (outgoing->binding == SAML_REDIRECT) {
		message->query = strchr(outgoing->url, '?') + 1;
		message->query_size = strlen(message->query);
	} else {
		struct bytes_view bytes;
		struct saml_refusal refusal;
		message->encoded = outgoing->value;
		message->encoded_size = strlen(outgoing->value);
		assert_int_equal(base64_decode(message->encoded, message->encoded_size, 1 << 20,
					       arena, &bytes, &refusal),
				 0);
		strbuf_append(&ret_outbound->xml, bytes.data, bytes.size);
	}
}

static void ask_logout(const char *name, enum gate_kind kind, const struct outbound *outbound,
		       enum harm harm, int expected)
{
	struct saml_refusal refusal = { 0 };
	struct judge_view view = view_of(strbuf_text(&outbound->xml), &outbound->message);
	int status;

	view.kind = kind;
	view.response_id = harm == OTHER_RESPONSE_ID ? "_x" : "_logout";
	view.issuer = harm == OTHER_ISSUER ? "urn:x" : IDP_ENTITY;
	view.name_id = kind == GATE_LOGOUT_REQUEST && harm != OTHER_NAME ? "person" : "";
	status = lasso_verifier_ask(verifier, &view, &refusal);
	if (status != expected)
		fail_msg("%s: %d %s", name, status, refusal.detail);
}

static void test_logout(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct saml_idp us = { .entity_id = SP_ENTITY, .slo_count = 1 };
	struct saml_provider mirror = { .settings = &world.source,
					.idp = &us,
					.sp_entity_id = IDP_ENTITY };
	const struct saml_logout_start start = {
		.now_s = NOW_S, .id = "_logout", .name_id = "person", .session_index = "_s1"
	};
	const struct saml_logout request = { .is_request = true, .id = "_ours" };
	const struct saml_endpoint *const bindings[] = { our_redirect, our_post };

	(void)state;
	/* Lasso loses the decoded signature of each redirect. */
	if (getenv("ROLEBRIDGE_VALGRIND"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(bindings); i++) {
		struct saml_outgoing outgoing;
		struct outbound outbound;
		us.slo = bindings[i];
		assert_int_equal(
			outgoing_logout_start(idp_keys, &mirror, &start, arena, &outgoing, NULL),
			0);
		receive(&outgoing, arena, &outbound);
		ask_logout("request", GATE_LOGOUT_REQUEST, &outbound, NO_HARM, 0);
		ask_logout("request, other id", GATE_LOGOUT_REQUEST, &outbound, OTHER_RESPONSE_ID,
			   1);
		ask_logout("request, other name", GATE_LOGOUT_REQUEST, &outbound, OTHER_NAME, 1);
		ask_logout("request, other issuer", GATE_LOGOUT_REQUEST, &outbound, OTHER_ISSUER,
			   1);
		strbuf_finish(&outbound.xml);
		/* Signed by somebody else: by us. */
		assert_int_equal(
			outgoing_logout_start(keys, &mirror, &start, arena, &outgoing, NULL), 0);
		receive(&outgoing, arena, &outbound);
		ask_logout("request of a stranger", GATE_LOGOUT_REQUEST, &outbound, NO_HARM, 1);
		strbuf_finish(&outbound.xml);
		for (int success = 0; success < 2; success++) {
			assert_int_equal(outgoing_logout_answer(idp_keys, &mirror, NOW_S, "_logout",
								&request, success, arena, &outgoing,
								NULL),
					 0);
			receive(&outgoing, arena, &outbound);
			ask_logout("response", GATE_LOGOUT_RESPONSE, &outbound, NO_HARM, 0);
			ask_logout("response, other id", GATE_LOGOUT_RESPONSE, &outbound,
				   OTHER_RESPONSE_ID, 1);
			strbuf_finish(&outbound.xml);
			assert_int_equal(outgoing_logout_answer(keys, &mirror, NOW_S, "_logout",
								&request, success, arena, &outgoing,
								NULL),
					 0);
			receive(&outgoing, arena, &outbound);
			ask_logout("response of a stranger", GATE_LOGOUT_RESPONSE, &outbound,
				   NO_HARM, 1);
			strbuf_finish(&outbound.xml);
		}
	}
}

/* Ours stands in for xmlsec1's: the same answers, also to what is not plain. */
static void test_base64(void **state)
{
	static const struct {
		const char *name, *text;
		xmlSecSize room;
		const char *bytes; /* NULL: refused */
	} rows[] = {
		{ "plain", "YWJjZA==", 6, "abcd" },
		{ "breaks", "YW\nJj\r\nZA ==", 12, "abcd" },
		{ "nothing", "", 6, "" },
		{ "no room", "YWJjZGVm", 5, NULL },
		{ "no base64", "YW*jZGVm", 6, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		xmlSecByte bytes[16] = { 0 };
		xmlSecSize size = 0;
		int result = xmlSecBase64Decode_ex((const xmlChar *)rows[i].text, bytes,
						   rows[i].room, &size);

		if ((result == 0) != (rows[i].bytes != NULL))
			fail_msg("%s: %d", rows[i].name, result);
		if (rows[i].bytes &&
		    (size != strlen(rows[i].bytes) || memcmp(bytes, rows[i].bytes, size) != 0))
			fail_msg("%s: %u bytes", rows[i].name, size);
	}
	assert_int_equal(-1, xmlSecBase64Decode_ex(NULL, NULL, 0, NULL));
}

static void test_unsupported(void **state)
{
	struct saml_provider without = world.provider;
	struct saml_idp idp = world.facts;
	const struct saml_message message = world_message("");
	struct judge_view view = view_of("<x/>", &message);
	struct saml_refusal refusal = { 0 };
	struct lasso_verifier *none;

	(void)state;
	idp.signing_key_count = 0;
	without.idp = &idp;
	none = lasso_verifier_create(keys, &without, NULL);
	assert_non_null(none);
	assert_int_equal(lasso_verifier_ask(none, &view, &refusal), 1);
	assert_string_equal(refusal.reason, "verifier-unsupported");
	lasso_verifier_destroy(none);
}

static int set_up(void **state)
{
	struct saml_settings settings;
	const char *certificate, *key;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(lasso_prepare(NULL), 0);
	assert_int_equal(verify_prepare(NULL), 0);
	world_init(&world);
	stranger = saml_pair_create(2048, "stranger");
	keys = keys_load(&world.settings, &err);
	certificate = support_write("idp.crt", "", 0);
	key = support_write("idp.key", "", 0);
	saml_pair_write(&world.idp, certificate, key);
	assert_int_equal(chmod(key, 0600), 0);
	settings = world.settings;
	settings.certificate = LOCATED(certificate);
	settings.private_key = LOCATED(key);
	idp_keys = keys_load(&settings, &err);
	verifier = lasso_verifier_create(keys, &world.provider, &err);
	if (!keys || !idp_keys || !verifier)
		fail_msg("%s", err.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lasso_verifier_destroy(verifier);
	keys_destroy(keys);
	keys_destroy(idp_keys);
	saml_pair_destroy(&stranger);
	world_finish(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_logout),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_unsupported),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
