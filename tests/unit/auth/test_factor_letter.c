/* Letters about second factors: each event has one, with nothing in it but what happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <rolebridge/auth/factor_letter.h>
#include <rolebridge/base/util.h>

static struct factor_letter make_letter(enum factor_event event, enum factor_method method)
{
	return (struct factor_letter){ .public_url = "https://login.acme.example",
				       .name = "Ada",
				       .username = "ada",
				       .event = event,
				       .method = method,
				       .at_s = 1800000000 };
}

static void test_texts(void **state)
{
	static const struct {
		enum factor_event event;
		enum factor_method method;
		const char *subject, *text;
	} cases[] = {
		{ FACTOR_ENROLLED, FACTOR_TOTP, "A second factor was added: login.acme.example",
		  "was added: an authenticator app." },
		{ FACTOR_REMOVED, FACTOR_SMS, "A second factor was removed: login.acme.example",
		  "was removed: codes by SMS." },
		{ FACTOR_RESET, FACTOR_NONE, "Your second factor was reset: login.acme.example",
		  "an administrator reset: all of your second factors." },
		{ FACTOR_CODES_MADE, FACTOR_RECOVERY,
		  "New recovery codes were made: login.acme.example",
		  "new recovery codes were made for you." },
		{ FACTOR_CODE_ISSUED, FACTOR_RECOVERY,
		  "An administrator issued a recovery code for you: login.acme.example",
		  "an administrator issued a recovery code" },
		{ FACTOR_CODE_USED, FACTOR_RECOVERY, "A recovery code was used: login.acme.example",
		  "a recovery code was used" },
		{ FACTOR_PASSWORD_SET, FACTOR_NONE, "Your password was changed: login.acme.example",
		  "a new password was set" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf subject = STRBUF(4096);
		AUTO(strbuf) struct strbuf body = STRBUF(16384);
		struct factor_letter letter = make_letter(cases[i].event, cases[i].method);

		assert_true(factor_letter_write(&letter, &subject, &body));
		assert_string_equal(strbuf_text(&subject), cases[i].subject);
		if (!strstr(strbuf_text(&body), cases[i].text))
			fail_msg("%s: %s", cases[i].subject, strbuf_text(&body));
		assert_non_null(strstr(strbuf_text(&body), "Hello Ada,\n\n"));
		assert_non_null(strstr(strbuf_text(&body),
				       "Account: 'ada' at https://login.acme.example\n"
				       "Time: 2027-01-15 08:00 (UTC)\n"));
		assert_non_null(
			strstr(strbuf_text(&body), "https://login.acme.example/security\n"));
		assert_null(strstr(strbuf_text(&body), "%s"));
	}
}

static void test_unknown(void **state)
{
	AUTO(strbuf) struct strbuf subject = STRBUF(4096);
	AUTO(strbuf) struct strbuf body = STRBUF(16384);
	struct factor_letter letter = make_letter((enum factor_event)99, FACTOR_TOTP);

	(void)state;
	assert_false(factor_letter_write(&letter, &subject, &body));
	letter = make_letter(FACTOR_ENROLLED, (enum factor_method)15);
	assert_false(factor_letter_write(&letter, &subject, &body));
	assert_int_equal(body.size, 0);
}

static void test_numbers(void **state)
{
	(void)state;
	for (int event = FACTOR_ENROLLED; event <= FACTOR_PASSWORD_SET; event++) {
		for (int method = FACTOR_NONE; method < FACTOR_METHODS; method++) {
			int found = -1;
			int64_t number = factor_event_number((enum factor_event)event, method);

			assert_int_equal(factor_event_of(number, &found), event);
			assert_int_equal(found, method);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
