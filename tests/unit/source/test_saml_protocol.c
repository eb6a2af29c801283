/*
 * Messages between core and saml worker: every record there and back, and cut at
 * every byte, with a byte too many, and with values out of range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "saml_records.h"
#include "support.h"

static const struct located texts[] = { { .text = "a" }, { .text = "b" } };
static const char *const words[] = { "x", "y" };
static const struct saml_blob blobs[] = { { "\0\1\2", 3 }, { "key", 3 } };
static const struct saml_endpoint endpoints[] = { { SAML_POST, "https://i/", "https://i/r" } };
static const struct wanted_attribute wanted[] = { { "mail", "mail" } };
static const struct wanted_group groups[] = { { 4000000000u, "cn=a" } };
static const struct saml_attribute attributes[] = { { "urn:oid:1", "uid", "uid", words, 2 } };
static const struct saml_check checks[] = { { "destination", true, false, "fine" },
					    { "audience", false, true, "" } };

static struct saml_idp idp_sample(void)
{
	return (struct saml_idp){ .entity_id = "urn:idp",
				  .valid_until_s = 5,
				  .cache_duration_s = 6,
				  .entities = 7,
				  .signing_keys = blobs,
				  .signing_key_count = 2,
				  .sso = endpoints,
				  .sso_count = 1,
				  .wants_signed_requests = true,
				  .scopes = words,
				  .scope_count = 2 };
}

/* --- one row for each record: how to fill it, how to write and read it, how to tell it --- */

static struct saml_key_settings keys[] = { { .certificate = { .text = "/c" },
					     .private_key = { .text = "/k" } } };
static struct attribute_settings declared[] = { { .name = { .text = "department" },
						  .from = { .text = "ou" } } };
static struct saml_source source;
static struct saml_idp idp;
static struct saml_provider providers[2];

static void fill_setup(union record *record)
{
	idp = idp_sample();
	source = (struct saml_source){
		.key = { .text = "name-id" },
		.allowed_domains = { 2, texts },
		.idp_initiated = true,
		.require_signed = SAML_SIGNED_BOTH,
		.second_factor = { .at = { .file = 1 }, .contexts = { 1, texts }, .max_age_s = 9 }
	};
	source.common.attributes = (struct struct_list){ 1, declared };
	providers[0] = (struct saml_provider){ .settings = &source,
					       .idp = &idp,
					       .sp_entity_id = "urn:sp",
					       .acs_url = "https://s/acs",
					       .slo_url = "https://s/slo",
					       .attributes = wanted,
					       .attribute_count = 1,
					       .groups = groups,
					       .group_count = 1,
					       .email_attribute = "mail" };
	providers[1] = (struct saml_provider){ .settings = &source, .sp_entity_id = "urn:2" };
	record->setup = (struct saml_setup){
		.settings = { .certificate = { .text = "/cert" },
			      .decryption_keys = { 1, keys },
			      .next_certificates = { 2, texts },
			      .verification = SAML_VERIFY_FAST,
			      .skew_s = 180 },
		.providers = providers,
		.count = 2,
	};
}

static void check_setup(const union record *record)
{
	const struct saml_setup *setup = &record->setup;
	const struct saml_key_settings *key = setup->settings.decryption_keys.items;
	const struct saml_provider *first = &setup->providers[0];
	const struct attribute_settings *attribute = first->settings->common.attributes.items;

	assert_string_equal(setup->settings.certificate.text, "/cert");
	assert_null(setup->settings.private_key.text);
	assert_string_equal(key->private_key.text, "/k");
	assert_int_equal(setup->settings.next_certificates.count, 2);
	assert_int_equal(setup->settings.verification, SAML_VERIFY_FAST);
	assert_int_equal(setup->count, 2);
	assert_true(first->settings->idp_initiated);
	assert_int_equal(first->settings->require_signed, SAML_SIGNED_BOTH);
	assert_int_equal(first->settings->second_factor.at.file, 1);
	assert_string_equal(first->settings->allowed_domains.items[1].text, "b");
	/* Not given stays not given: no list means any. */
	assert_null(first->settings->allowed_scopes.items);
	assert_string_equal(attribute->from.text, "ou");
	assert_int_equal(first->groups[0].id, 4000000000u);
	assert_int_equal(first->idp->signing_keys[0].size, 3);
	assert_memory_equal(first->idp->signing_keys[0].data, "\0\1\2", 3);
	assert_string_equal(first->idp->sso[0].response_location, "https://i/r");
	assert_int_equal(first->idp->entities, 7);
	assert_string_equal(first->email_attribute, "mail");
	assert_null(setup->providers[1].idp);
}

static const int64_t forced[] = { 1, -7 };

static void fill_receive(union record *record)
{
	record->receive = (struct saml_receive_job){
		.question = { .provider = 3,
			      .now_s = 1,
			      .request_ids = words,
			      .request_count = 2,
			      .forced_since_s = forced,
			      .explain = true },
		.message = { .binding = SAML_REDIRECT, .query = "a=b", .query_size = 3 },
	};
}

static void check_receive(const union record *record)
{
	assert_int_equal(record->receive.question.provider, 3);
	assert_string_equal(record->receive.question.request_ids[1], "y");
	assert_int_equal(record->receive.question.forced_since_s[1], -7);
	assert_true(record->receive.question.explain);
	assert_int_equal(record->receive.message.binding, SAML_REDIRECT);
	assert_memory_equal(record->receive.message.query, "a=b", 3);
	assert_null(record->receive.message.encoded);
}

static void fill_login(union record *record)
{
	record->login = (struct saml_login_request){ 1, 2, "_id", NULL, true };
}

static void check_login(const union record *record)
{
	assert_string_equal(record->login.id, "_id");
	assert_string_equal(record->login.relay_state, "");
	assert_true(record->login.force_authn);
}

static void fill_start(union record *record)
{
	record->start = (struct saml_logout_start){ 1, 2, "_id", "name", "f", "index", "state" };
}

static void check_start(const union record *record)
{
	assert_string_equal(record->start.session_index, "index");
	assert_string_equal(record->start.relay_state, "state");
}

static void fill_answer(union record *record)
{
	record->answer = (struct saml_answer_job){ .provider = 1,
						   .now_s = -2,
						   .id = "_id",
						   .request = { .is_request = true,
								.id = "_theirs",
								.session_indexes = words,
								.session_index_count = 2 },
						   .success = true };
}

static void check_answer(const union record *record)
{
	assert_int_equal(record->answer.now_s, -2);
	assert_string_equal(record->answer.request.id, "_theirs");
	assert_int_equal(record->answer.request.session_index_count, 2);
	assert_true(record->answer.success);
}

static void fill_number(union record *record)
{
	record->number = 12;
}

static void check_number(const union record *record)
{
	assert_int_equal(record->number, 12);
}

static void fill_metadata(union record *record)
{
	record->metadata = (struct saml_metadata_job){ .xml = "<x/>",
						       .size = 4,
						       .entity_id = "urn:idp",
						       .certificate = blobs[0],
						       .now_s = 3 };
}

static void check_metadata(const union record *record)
{
	assert_int_equal(record->metadata.size, 4);
	assert_int_equal(record->metadata.certificate.size, 3);
	assert_string_equal(record->metadata.entity_id, "urn:idp");
}

static void fill_verdict(union record *record)
{
	record->verdict = (struct saml_verdict){
		.assertion = { .response_id = "_r",
			       .assertion_id = "_a",
			       .in_response_to = "x",
			       .issuer = "urn:idp",
			       .name_id = "n",
			       .authn_context = "c",
			       .authn_instant_s = 1,
			       .second_factor_s = 4,
			       .second_factor_asked = true,
			       .record = "r\0d",
			       .record_size = 3,
			       .attributes = attributes,
			       .attribute_count = 1,
			       .checks = checks,
			       .check_count = 2 },
	};
}

static void check_verdict(const union record *record)
{
	const struct saml_assertion *assertion = &record->verdict.assertion;

	assert_false(record->verdict.refused);
	assert_string_equal(assertion->assertion_id, "_a");
	assert_string_equal(assertion->session_index, "");
	assert_int_equal(assertion->second_factor_s, 4);
	assert_true(assertion->second_factor_asked);
	assert_memory_equal(assertion->record, "r\0d", 3);
	assert_string_equal(assertion->attributes[0].values[1], "y");
	assert_true(assertion->checks[1].skipped);
}

static void fill_refusal(union record *record)
{
	record->verdict =
		(struct saml_verdict){ .refused = true, .refusal = { "audience", "another one" } };
}

static void check_refusal(const union record *record)
{
	assert_true(record->verdict.refused);
	assert_string_equal(record->verdict.refusal.reason, "audience");
	assert_string_equal(record->verdict.refusal.detail, "another one");
}

static void fill_logout(union record *record)
{
	record->logout = (struct saml_logout_verdict){
		.logout = { .in_response_to = "_q", .success = true, .replay_until_s = 77 }
	};
}

static void check_logout(const union record *record)
{
	assert_string_equal(record->logout.logout.in_response_to, "_q");
	assert_int_equal(record->logout.logout.replay_until_s, 77);
}

static void fill_outgoing(union record *record)
{
	record->outgoing =
		(struct saml_outgoing){ SAML_POST, "https://i/", "SAMLRequest", "abc", "state" };
}

static void check_outgoing(const union record *record)
{
	assert_int_equal(record->outgoing.binding, SAML_POST);
	assert_string_equal(record->outgoing.value, "abc");
}

static void fill_idp(union record *record)
{
	record->idp = idp_sample();
}

static void check_idp(const union record *record)
{
	assert_int_equal(record->idp.valid_until_s, 5);
	assert_string_equal(record->idp.scopes[1], "y");
	assert_true(record->idp.wants_signed_requests);
	assert_int_equal(record->idp.slo_count, 0);
}

static void fill_xml(union record *record)
{
	record->xml = "<x/>";
}

static void check_xml(const union record *record)
{
	assert_string_equal(record->xml, "<x/>");
}

static void fill_failure(union record *record)
{
	record->failure = (struct saml_failure){ ERR_INVALID, "entity-missing", "it is missing" };
}

static void check_failure(const union record *record)
{
	struct err err = { 0 };

	assert_int_equal(saml_failure_raise(&record->failure, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.reason, "entity-missing");
	assert_string_equal(err.text, "it is missing");
}

static const struct {
	const char *name;
	void (*fill)(union record *record);
	record_function *wire;
	void (*check)(const union record *record);
} records[] = {
	{ "set-up", fill_setup, record_setup, check_setup },
	{ "receive", fill_receive, record_receive, check_receive },
	{ "login", fill_login, record_login, check_login },
	{ "logout start", fill_start, record_start, check_start },
	{ "logout answer", fill_answer, record_answer, check_answer },
	{ "provider", fill_number, record_number, check_number },
	{ "metadata", fill_metadata, record_metadata, check_metadata },
	{ "verdict", fill_verdict, record_verdict, check_verdict },
	{ "refusal", fill_refusal, record_verdict, check_refusal },
	{ "logout", fill_logout, record_logout, check_logout },
	{ "outgoing", fill_outgoing, record_outgoing, check_outgoing },
	{ "idp", fill_idp, record_idp, check_idp },
	{ "xml", fill_xml, record_xml, check_xml },
	{ "failure", fill_failure, record_failure, check_failure },
};

static int decode(size_t row, const void *data, size_t size, struct arena *arena,
		  union record *ret_record)
{
	struct reader in = reader_init(data, size);
	struct wire wire = { .in = &in, .arena = arena };

	*ret_record = (union record){ 0 };
	records[row].wire(&wire, ret_record);
	return wire_done(&wire, records[row].name, NULL);
}

static void encode(size_t row, struct strbuf *out)
{
	struct wire wire = { .out = out };
	union record record = { 0 };

	records[row].fill(&record);
	records[row].wire(&wire, &record);
	assert_false(strbuf_failed(out));
}

static void test_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		AUTO(strbuf) struct strbuf bytes = STRBUF(65536);
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		union record record;
		encode(i, &bytes);
		if (decode(i, strbuf_text(&bytes), bytes.size, arena, &record) < 0)
			fail_msg("%s does not come back", records[i].name);
		records[i].check(&record);
	}
}

static void test_cut_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		AUTO(strbuf) struct strbuf bytes = STRBUF(65536);
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		union record record;
		encode(i, &bytes);
		for (size_t size = 0; size < bytes.size; size++) {
			/* A copy of exactly this size, so that a sanitizer sees reads past it. */
			char *cut = malloc(size + 1);
			arena_reset(arena);
			memcpy(cut, strbuf_text(&bytes), size);
			if (decode(i, cut, size, arena, &record) == 0)
				fail_msg("%s of %zu bytes accepted", records[i].name, size);
			free(cut);
		}
		strbuf_putc(&bytes, '\0');
		if (decode(i, strbuf_text(&bytes), bytes.size, arena, &record) == 0)
			fail_msg("%s with one byte more accepted", records[i].name);
	}
}

/* Whatever one changed byte makes of it: no crash, no endless memory. */
static void test_changed_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		AUTO(strbuf) struct strbuf bytes = STRBUF(65536);
		AUTO(arena) struct arena *arena = arena_create(1 << 20);
		union record record;
		encode(i, &bytes);
		for (size_t at = 0; at < bytes.size; at++) {
			static const unsigned char values[] = { 0, 1, 0x7f, 0x80, 0xff };
			char kept = bytes.data[at];
			for (size_t v = 0; v < ARRAY_LEN(values); v++) {
				arena_reset(arena);
				bytes.data[at] = (char)values[v];
				decode(i, strbuf_text(&bytes), bytes.size, arena, &record);
			}
			bytes.data[at] = kept;
		}
	}
}

/* A refusal needs a reason, a verdict without refusal has none. */
static void test_contradictions(void **state)
{
	static const struct {
		const char *name;
		struct saml_verdict verdict;
	} verdicts[] = {
		{ "refused without reason", { .refused = true } },
		{ "reason without refusal", { .refusal = { "audience", "" } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		AUTO(strbuf) struct strbuf bytes = STRBUF(65536);
		struct saml_verdict verdict = verdicts[i].verdict;
		struct wire wire = { .out = &bytes };
		wire_verdict(&wire, &verdict);
		if (!strbuf_failed(&bytes))
			fail_msg("%s can be written", verdicts[i].name);
	}
}

/* A list that was given without anything in it is not one that was not given. */
static void test_empty_list(void **state)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(65536);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct wire wire = { .out = &bytes };
	union record record;

	(void)state;
	fill_setup(&record);
	source.allowed_domains = (struct located_list){ 0, texts };
	wire_setup(&wire, &record.setup);
	assert_int_equal(decode(0, strbuf_text(&bytes), bytes.size, arena, &record), 0);
	assert_non_null(record.setup.providers[0].settings->allowed_domains.items);
	assert_int_equal(record.setup.providers[0].settings->allowed_domains.count, 0);
}

/* A worker can name no reason but those that stand in the core. */
static void test_unknown_reason(void **state)
{
	const struct saml_failure failure = { ERR_DENIED, "last-administrator", "ha" };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(saml_failure_raise(&failure, &err), -1);
	assert_null(err.reason);
}

/* Texts of errors are cut by bytes; what leaves is UTF-8 all the same. */
static void test_broken_text(void **state)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(65536);
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct wire write = { .out = &bytes };
	struct err err = { 0 };
	struct saml_failure failure;
	struct reader in;
	struct wire read = { .in = &in, .arena = arena };

	(void)state;
	err_set(&err, ERR_INVALID, "entity '\xc3\xa9\xff\xe2\x82' is missing");
	failure = saml_failure_of(&err);
	wire_failure(&write, &failure);
	in = reader_init(strbuf_text(&bytes), bytes.size);
	wire_failure(&read, &failure);
	assert_int_equal(wire_done(&read, "failure", NULL), 0);
	assert_string_equal(failure.text, "entity '\xc3\xa9?\?\?' is missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_changed_bytes),  cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_empty_list),     cmocka_unit_test(test_unknown_reason),
		cmocka_unit_test(test_broken_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
