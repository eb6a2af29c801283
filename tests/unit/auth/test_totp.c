/* Codes of authenticator apps and recovery codes: vectors, windows, replays, texts, pictures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <oath.h>

#include <rolebridge/auth/recovery.h>
#include <rolebridge/auth/totp.h>
#include <rolebridge/base/util.h>

static const unsigned char secret[] = "12345678901234567890";
#define SECRET_SIZE 20

/* RFC 6238, appendix B, SHA-1: the last six of the eight digits there. */
static void test_rfc_vectors(void **state)
{
	static const struct {
		int64_t now_s, step;
		const char *code;
	} cases[] = {
		{ 59, 0x1, "287082" },
		{ 1111111109, 0x23523EC, "081804" },
		{ 1111111111, 0x23523ED, "050471" },
		{ 1234567890, 0x273EF07, "005924" },
		{ 2000000000, 0x3F940AA, "279037" },
		{ 20000000000, 0x27BC86AA, "353130" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t step = -1;
		bool replayed = true;

		assert_true(totp_check(secret, SECRET_SIZE, cases[i].code, cases[i].now_s, -1,
				       &step, &replayed));
		assert_int_equal(step, cases[i].step);
		assert_false(replayed);
	}
}

static void code_of(int64_t step, char ret_code[7])
{
	assert_int_equal(oath_hotp_generate((const char *)secret, SECRET_SIZE, (uint64_t)step, 6,
					    false, OATH_HOTP_DYNAMIC_TRUNCATION, ret_code),
			 OATH_OK);
}

static void test_window(void **state)
{
	static const struct {
		const char *name;
		int64_t of, after; /* relative to the present step */
		bool good, replayed;
	} cases[] = {
		{ "now", 0, -100, true, false },
		{ "one before", -1, -100, true, false },
		{ "one after", 1, -100, true, false },
		{ "two before", -2, -100, false, false },
		{ "from the future", 2, -100, false, false },
		{ "used", 0, 0, false, true },
		{ "older than the one used", -1, 0, false, true },
		{ "newer than the one used", 1, 0, true, false },
		{ "the clock was set back", 0, 5, false, true },
	};
	const int64_t now = 60000000;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t step = -1;
		bool replayed = false, good;
		char code[7];

		code_of(now + cases[i].of, code);
		good = totp_check(secret, SECRET_SIZE, code, now * 30 + 29, now + cases[i].after,
				  &step, &replayed);
		if (good != cases[i].good || replayed != cases[i].replayed ||
		    step != (good ? now + cases[i].of : -1))
			fail_msg("%s: good %d, replayed %d", cases[i].name, good, replayed);
	}
}

static void test_wrong(void **state)
{
	static const char *const codes[] = { "000000", "", "28708", "2870822", "abcdef" };
	int64_t step;
	bool replayed;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		assert_false(totp_check(secret, SECRET_SIZE, codes[i], 59, -1, &step, &replayed));
		assert_false(replayed);
	}
	assert_false(totp_check(secret, SECRET_SIZE, "287082", 0, -1, &step, &replayed));
}

static void test_normalise(void **state)
{
	static const struct {
		const char *text, *code; /* NULL: none */
	} cases[] = {
		{ "123456", "123456" }, { " 123 456 ", "123456" }, { "123-456", "123456" },
		{ "12345", NULL },	{ "1234567", NULL },	   { "12345a", NULL },
		{ "", NULL },		{ "123 45６", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char code[TOTP_DIGITS + 1] = "";
		bool good = totp_code_normalise(cases[i].text, code);

		if (good != (cases[i].code != NULL) ||
		    strcmp(code, cases[i].code ? cases[i].code : "") != 0)
			fail_msg("'%s': '%s'", cases[i].text, code);
	}
}

static void test_secret_text(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(4096);
	unsigned char one[TOTP_SECRET_BYTES], other[TOTP_SECRET_BYTES];
	char *back;
	size_t size;

	(void)state;
	totp_secret_text(secret, SECRET_SIZE, &text);
	assert_string_equal(strbuf_text(&text), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
	/* Of any length; liboath reads what we write. */
	for (size_t length = 1; length <= SECRET_SIZE; length++) {
		strbuf_clear(&text);
		totp_secret_text(secret, length, &text);
		assert_int_equal(oath_base32_decode(strbuf_text(&text), text.size, &back, &size),
				 OATH_OK);
		assert_int_equal(size, length);
		assert_memory_equal(back, secret, length);
		free(back);
	}
	totp_secret_make(one);
	totp_secret_make(other);
	assert_memory_not_equal(one, other, sizeof(one));
}

static void test_uri(void **state)
{
	AUTO(strbuf) struct strbuf uri = STRBUF(4096);

	(void)state;
	totp_uri(secret, SECRET_SIZE, "Acme & Söhne", "ada+1@acme.example", &uri);
	assert_string_equal(strbuf_text(&uri),
			    "otpauth://totp/Acme%20%26%20S%C3%B6hne:ada%2B1%40acme.example"
			    "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
			    "&issuer=Acme%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30");
}

static void test_qr(void **state)
{
	AUTO(strbuf) struct strbuf svg = STRBUF(1u << 20);
	char *long_text = calloc(1, 4001);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(qr_svg("otpauth://totp/a:b?secret=AAAA", &svg, &err), 0);
	assert_int_equal(strncmp(strbuf_text(&svg), "<svg ", 5), 0);
	assert_non_null(strstr(strbuf_text(&svg), "</svg>"));
	/* Nothing that a strict policy would refuse. */
	assert_null(strstr(strbuf_text(&svg), "style"));
	assert_null(strstr(strbuf_text(&svg), "script"));
	memset(long_text, 'x', 4000);
	assert_int_equal(qr_svg(long_text, &svg, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	free(long_text);
}

static void test_recovery_round_trip(void **state)
{
	(void)state;
	for (int slot = 0; slot <= RECOVERY_SLOT_ISSUED; slot++) {
		char text[RECOVERY_TEXT], other[RECOVERY_TEXT], code[RECOVERY_CODE];
		int found = -1;

		recovery_make(slot, text);
		recovery_make(slot, other);
		assert_string_not_equal(text, other);
		assert_int_equal(strlen(text), RECOVERY_TEXT - 1);
		assert_int_equal(text[4], '-');
		assert_int_equal(text[9], '-');
		assert_true(recovery_parse(text, &found, code));
		assert_int_equal(found, slot);
		assert_int_equal(strlen(code), RECOVERY_CODE - 1);
		assert_null(strpbrk(text, "ILOU"));
	}
}

static void test_recovery_as_typed(void **state)
{
	static const struct {
		const char *text, *code; /* NULL: none of ours */
	} cases[] = {
		{ "3ABC-DEFG-HJKM", "3ABCDEFGHJKM" },
		{ "3abcdefghjkm", "3ABCDEFGHJKM" },
		{ " 3a bc-de fg-hj km ", "3ABCDEFGHJKM" },
		{ "OABC-DEFG-HJKM", "0ABCDEFGHJKM" },
		{ "lIil-oO00-1111", "111100001111" },
		{ "3ABC-DEFG-HJK", NULL },
		{ "3ABC-DEFG-HJKMN", NULL },
		{ "3ABC-DEFG-HJKU", NULL },
		{ "3ABC_DEFG_HJKM", NULL },
		{ "ZABC-DEFG-HJKM", NULL }, /* no such slot */
		{ "", NULL },
		{ "3ABC-DEFG-HJK\xc3\x84", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char code[RECOVERY_CODE] = "";
		int slot = -1;
		bool good = recovery_parse(cases[i].text, &slot, code);

		if (good != (cases[i].code != NULL) ||
		    strcmp(code, cases[i].code ? cases[i].code : "") != 0)
			fail_msg("'%s': '%s'", cases[i].text, code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_vectors),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_secret_text),
		cmocka_unit_test(test_uri),
		cmocka_unit_test(test_qr),
		cmocka_unit_test(test_recovery_round_trip),
		cmocka_unit_test(test_recovery_as_typed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
