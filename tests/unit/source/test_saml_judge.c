/* The judge as a whole: steps and their order, the second verifier, test logins, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>

#include "../../../daemon/source/saml/judge.h"
#include "../../../daemon/source/saml/refusal.h"
#include "saml_support.h"

static struct saml_pair idp, other;
static struct verify_key *key;
static char *good, *forged;

/* What the second verifier was asked, and what it says. */
static struct second {
	int calls, answer;
	char name_id[64], assertion_id[64], issuer[64];
	bool assertion_signed, response_signed;
} second;

static int answer(void *context, const struct judge_view *view, struct saml_refusal *ret_refusal)
{
	struct second *s = context;

	s->calls++;
	snprintf(s->name_id, sizeof(s->name_id), "%s", view->name_id);
	snprintf(s->assertion_id, sizeof(s->assertion_id), "%s", view->assertion_id);
	snprintf(s->issuer, sizeof(s->issuer), "%s", view->issuer);
	s->assertion_signed = view->assertion_signed;
	s->response_signed = view->response_signed;
	if (s->answer == 1)
		return refuse(ret_refusal, "verifiers-disagree", "about everything");
	return s->answer;
}

static struct judge_provider make_provider(void)
{
	static const struct wanted_attribute attributes[] = { { "mail", "mail" } };
	static const struct verify_key *keys[1];

	keys[0] = key;
	return (struct judge_provider){ .idp_entity_id = IDP_ENTITY,
					.sp_entity_id = SP_ENTITY,
					.acs_url = SP_ACS,
					.slo_url = SP_SLO,
					.signing_keys = keys,
					.signing_key_count = 1,
					.key = "name-id",
					.attributes = attributes,
					.attribute_count = 1 };
}

struct verdict {
	int result;
	struct arena *arena;
	struct saml_assertion assertion;
	struct saml_refusal refusal;
};

static struct verdict judge_it(const char *encoded, bool asks_second, bool explain)
{
	static const char *const requests[] = { "_request" };
	struct judge judge = { .skew_s = 180,
			       .second = asks_second ? answer : NULL,
			       .second_context = &second };
	struct judge_provider provider = make_provider();
	struct saml_question question = {
		.now_s = NOW_S, .request_ids = requests, .request_count = 1, .explain = explain
	};
	struct saml_message message = { .binding = SAML_POST,
					.encoded = encoded,
					.encoded_size = strlen(encoded) };
	struct verdict v = { .arena = arena_create(4 * 1024 * 1024),
			     .assertion = { .response_id = "untouched" } };

	v.result = v.arena ? judge_response(&judge, &provider, &question, &message, v.arena,
					    &v.assertion, &v.refusal)
			   : -1;
	return v;
}

static void accepts(void **state)
{
	struct verdict v = judge_it(good, false, false);

	(void)state;
	if (v.result != 0)
		fail_msg("%s: %s", v.refusal.reason, v.refusal.detail);
	assert_string_equal(v.assertion.name_id, "person");
	assert_string_equal(v.assertion.issuer, IDP_ENTITY);
	assert_string_equal(v.assertion.in_response_to, "_request");
	assert_int_equal(v.assertion.replay_until_s, NOW_S + 300 + 180);
	assert_int_equal(v.assertion.session_until_s, NOW_S + 28800);
	assert_int_equal(v.assertion.authn_instant_s, NOW_S - 5);
	assert_true(v.assertion.record_size > 0);
	assert_int_equal(v.assertion.check_count, 0);
	arena_destroy(v.arena);
}

static void refuses_and_leaves_the_output_alone(void **state)
{
	struct verdict v = judge_it(forged, false, false);

	(void)state;
	assert_int_equal(v.result, 1);
	assert_string_equal(v.refusal.reason, "signature-invalid");
	assert_string_equal(v.assertion.response_id, "untouched");
	arena_destroy(v.arena);
}

static void asks_the_second_verifier_about_good_ones_only(void **state)
{
	struct verdict v;

	(void)state;
	second = (struct second){ .answer = 0 };
	v = judge_it(forged, true, false);
	assert_int_equal(v.result, 1);
	assert_int_equal(second.calls, 0);
	arena_destroy(v.arena);
	v = judge_it(good, true, false);
	assert_int_equal(v.result, 0);
	assert_int_equal(second.calls, 1);
	assert_string_equal(second.name_id, "person");
	assert_string_equal(second.issuer, IDP_ENTITY);
	assert_string_equal(second.assertion_id, v.assertion.assertion_id);
	assert_true(second.assertion_signed);
	assert_false(second.response_signed);
	arena_destroy(v.arena);
}

static void both_must_agree(void **state)
{
	struct verdict v;

	(void)state;
	second = (struct second){ .answer = 1 };
	v = judge_it(good, true, false);
	assert_int_equal(v.result, 1);
	assert_string_equal(v.refusal.reason, "verifiers-disagree");
	arena_destroy(v.arena);
	second = (struct second){ .answer = -1 };
	v = judge_it(good, true, false);
	assert_int_equal(v.result, -1);
	arena_destroy(v.arena);
}

static const struct saml_check *line(const struct verdict *v, const char *name)
{
	for (size_t i = 0; i < v->assertion.check_count; i++)
		if (strcmp(v->assertion.checks[i].name, name) == 0)
			return &v->assertion.checks[i];
	fail_msg("no line '%s'", name);
	return NULL;
}

static void explains(void **state)
{
	struct verdict v = judge_it(good, false, true);

	(void)state;
	assert_int_equal(v.result, 0);
	assert_true(line(&v, "gate")->passed);
	assert_true(line(&v, "signature")->passed);
	assert_true(line(&v, "second-verifier")->skipped);
	assert_true(line(&v, "audience")->passed);
	assert_int_equal(v.assertion.attribute_count, 10);
	assert_string_equal(v.assertion.attributes[1].name, "mail");
	arena_destroy(v.arena);

	/* Behind a bad signature the rest is shown, and the verdict stays. */
	v = judge_it(forged, false, true);
	assert_int_equal(v.result, 1);
	assert_string_equal(v.refusal.reason, "signature-invalid");
	assert_false(line(&v, "signature")->passed);
	assert_true(line(&v, "audience")->passed);
	assert_string_equal(v.assertion.name_id, "person");
	arena_destroy(v.arena);

	second = (struct second){ .answer = 1 };
	v = judge_it(good, true, true);
	assert_int_equal(v.result, 1);
	assert_string_equal(v.refusal.reason, "verifiers-disagree");
	assert_true(line(&v, "audience")->passed);
	arena_destroy(v.arena);
}

static void redirects_are_no_way_for_responses(void **state)
{
	struct judge judge = { .skew_s = 180 };
	struct judge_provider provider = make_provider();
	struct saml_question question = { .now_s = NOW_S };
	struct saml_message message = { .binding = SAML_REDIRECT,
					.query = "SAMLResponse=x",
					.query_size = 14 };
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	struct saml_assertion assertion;
	struct saml_refusal refusal;

	(void)state;
	assert_int_equal(
		judge_response(&judge, &provider, &question, &message, arena, &assertion, &refusal),
		1);
	assert_string_equal(refusal.reason, "binding-unsupported");
}

/* Each allocation of ours fails in turn: never accepted by accident, never a crash. */
static void survives_without_memory(void **state)
{
	(void)state;
	for (int explain = 0; explain < 2; explain++)
		for (long n = 0;; n++) {
			struct verdict v;
			long left;

			alloc_fail_after(n);
			v = judge_it(good, false, explain);
			left = alloc_fail_after(-1);
			arena_destroy(v.arena);
			if (left >= 0) {
				assert_int_equal(v.result, 0);
				assert_true(n > 2);
				break;
			}
			if (v.result != -1)
				fail_msg("allocation %ld failed: %d %s", n, v.result,
					 v.refusal.reason);
		}
}

/* And the arena ends anywhere. */
static void survives_a_small_arena(void **state)
{
	static const char *const requests[] = { "_request" };
	struct judge judge = { .skew_s = 180 };
	struct judge_provider provider = make_provider();
	struct saml_question question = {
		.now_s = NOW_S, .request_ids = requests, .request_count = 1, .explain = true
	};
	struct saml_message message = { .binding = SAML_POST,
					.encoded = good,
					.encoded_size = strlen(good) };
	bool accepted = false;

	(void)state;
	for (size_t size = 0; size < 64 * 1024; size += 64) {
		AUTO(arena) struct arena *arena = arena_create(size);
		struct saml_assertion assertion;
		struct saml_refusal refusal;
		int result = judge_response(&judge, &provider, &question, &message, arena,
					    &assertion, &refusal);

		assert_true(result == -1 || result == 0);
		assert_true(result == 0 || !accepted);
		accepted = result == 0;
	}
	assert_true(accepted);
}

static int set_up(void **state)
{
	struct saml_make make = { .idp_entity_id = IDP_ENTITY,
				  .sp_entity_id = SP_ENTITY,
				  .acs_url = SP_ACS,
				  .request_id = "_request",
				  .name_id = "person",
				  .now_s = NOW_S,
				  .number = 7,
				  .groups = 3,
				  .signatures = SAML_MAKE_ASSERTION };
	struct err err;

	(void)state;
	if (verify_prepare(&err) < 0)
		return -1;
	saml_make_init();
	idp = saml_pair_create(2048, "idp");
	other = saml_pair_create(2048, "other");
	key = verify_key_create(idp.der, idp.der_size, &err);
	make.idp = &idp;
	good = saml_make_encoded(&make);
	make.idp = &other;
	forged = saml_make_encoded(&make);
	return key ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	verify_key_destroy(key);
	saml_pair_destroy(&idp);
	saml_pair_destroy(&other);
	free(good);
	free(forged);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses_and_leaves_the_output_alone),
		cmocka_unit_test(asks_the_second_verifier_about_good_ones_only),
		cmocka_unit_test(both_must_agree),
		cmocka_unit_test(explains),
		cmocka_unit_test(redirects_are_no_way_for_responses),
		cmocka_unit_test(survives_without_memory),
		cmocka_unit_test(survives_a_small_arena),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
