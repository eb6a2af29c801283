/* Text: UTF-8 as RFC 3629, comparison as RFC 4518, both paths giving the same. */
#include <rolebridge/base/text.h>

#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "cmocka_all.h"

#define SOFT_HYPHEN "\xc2\xad"
#define NO_BREAK_SPACE "\xc2\xa0"
#define IDEOGRAPHIC_SPACE "\xe3\x80\x80"
#define ZERO_WIDTH_SPACE "\xe2\x80\x8b"
#define BOM "\xef\xbb\xbf"

static void test_utf8(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t size;
		bool good;
	} cases[] = {
		{ "empty", "", 0, true },
		{ "ascii", "hello", 5, true },
		{ "ascii, long", "0123456789abcdef0123456789", 26, true },
		{ "NUL", "a\0b", 3, false },
		{ "NUL in a long run", "01234567890\0bcdef", 17, false },
		{ "0x01 and 0x7f", "\x01\x7f\x01\x7f\x01\x7f\x01\x7f", 8, true },
		{ "two bytes", "\xc2\x80\xdf\xbf", 4, true },
		{ "three bytes", "\xe0\xa0\x80\xef\xbf\xbf", 6, true },
		{ "four bytes", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, true },
		{ "overlong NUL", "\xc0\x80", 2, false },
		{ "overlong slash", "\xc0\xaf", 2, false },
		{ "overlong, 3", "\xe0\x80\xaf", 3, false },
		{ "overlong, 4", "\xf0\x8f\xbf\xbf", 4, false },
		{ "surrogate", "\xed\xa0\x80", 3, false },
		{ "last before surrogates", "\xed\x9f\xbf", 3, true },
		{ "over 10ffff", "\xf4\x90\x80\x80", 4, false },
		{ "f5", "\xf5\x80\x80\x80", 4, false },
		{ "lone continuation", "\x80", 1, false },
		{ "cut, 2", "\xc3", 1, false },
		{ "cut, 3", "\xe2\x82", 2, false },
		{ "cut, 4", "\xf0\x9f\x98", 3, false },
		{ "cut after a long run", "0123456789abcde\xc3", 16, false },
		{ "latin-1", "gr\xfc\xdf", 4, false },
		{ "ff", "\xff\xfe", 2, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (text_is_utf8(cases[i].bytes, cases[i].size) != cases[i].good)
			fail_msg("%s", cases[i].name);
}

static void test_code_points(void **state)
{
	uint32_t c = 0;

	(void)state;
	assert_int_equal(text_next_char("\xe2\x82\xac!", 4, &c), 3);
	assert_int_equal(c, 0x20ac);
	assert_int_equal(text_next_char("\xf0\x9f\x98\x80", 4, &c), 4);
	assert_int_equal(c, 0x1f600);
	assert_int_equal(text_next_char("\0", 1, &c), 1);
	assert_int_equal(c, 0);
	assert_int_equal(text_next_char("", 0, &c), 0);
}

static const struct {
	const char *text, *prepared, *folded;
} fold_cases[] = {
	{ "", "", "" },
	{ "   ", "", "" },
	{ "Hello World", "Hello World", "hello world" },
	{ "  Hello \t\r\n  World  ", "Hello World", "hello world" },
	{ "a\x01\x7f\x1f b", "a b", "a b" },
	{ "\x01", "", "" },
	{ "AZ[`{az09", "AZ[`{az09", "az[`{az09" },
	{ "GR\xc3\x9c\xc3\x9f"
	  "E",
	  "GR\xc3\x9c\xc3\x9f"
	  "E",
	  "gr\xc3\xbcsse" },
	{ "u\xcc\x88", "\xc3\xbc", "\xc3\xbc" },
	{ "\xef\xbc\xa1\xef\xbc\xa2", "AB", "ab" }, /* full width */
	{ "\xef\xac\x81", "fi", "fi" },		    /* ligature */
	{ "\xe2\x84\xaa", "K", "k" },		    /* kelvin sign */
	{ "\xcf\x82\xce\xa3", "\xcf\x82\xce\xa3", "\xcf\x83\xcf\x83" },
	{ "a" SOFT_HYPHEN "b" ZERO_WIDTH_SPACE "c" BOM, "abc", "abc" },
	{ NO_BREAK_SPACE "a" NO_BREAK_SPACE IDEOGRAPHIC_SPACE " b" NO_BREAK_SPACE, "a b", "a b" },
	{ NO_BREAK_SPACE, "", "" },
	{ SOFT_HYPHEN, "", "" },
	{ "\xc2\x85x", "x", "x" },
	{ "x\xf3\xa0\x80\xa1y", "xy", "xy" }, /* language tag */
};

static void test_preparation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fold_cases); i++) {
		AUTO(strbuf) struct strbuf buf = STRBUF(4096);
		const char *text = fold_cases[i].text;

		text_prepare(&buf, text, strlen(text));
		assert_false(strbuf_failed(&buf));
		assert_string_equal(strbuf_text(&buf), fold_cases[i].prepared);
		strbuf_clear(&buf);
		text_fold(&buf, text, strlen(text));
		assert_string_equal(strbuf_text(&buf), fold_cases[i].folded);
		/* Folded once is folded for good. */
		AUTO(strbuf) struct strbuf again = STRBUF(4096);

		text_fold(&again, strbuf_text(&buf), buf.size);
		assert_string_equal(strbuf_text(&again), strbuf_text(&buf));
	}
}

static void test_both_paths_agree_on_ascii(void **state)
{
	char text[5] = { 0 };

	(void)state;
	/* The same ASCII text with and without a soft hyphen, which maps to nothing. */
	for (unsigned a = 1; a < 0x80; a++) {
		for (unsigned b = 1; b < 0x80; b++) {
			AUTO(strbuf) struct strbuf fast = STRBUF(64);
			AUTO(strbuf) struct strbuf slow = STRBUF(64);

			text[0] = (char)a;
			text[1] = (char)b;
			memcpy(text + 2, SOFT_HYPHEN, 2);
			text_fold(&fast, text, 2);
			text_fold(&slow, text, 4);
			assert_string_equal(strbuf_text(&fast), strbuf_text(&slow));
			strbuf_clear(&fast);
			strbuf_clear(&slow);
			text_prepare(&fast, text, 2);
			text_prepare(&slow, text, 4);
			assert_string_equal(strbuf_text(&fast), strbuf_text(&slow));
		}
	}
}

static void test_folding_appends_and_fails_as_a_strbuf(void **state)
{
	AUTO(strbuf) struct strbuf buf = STRBUF(8);

	(void)state;
	strbuf_puts(&buf, "x=");
	text_fold(&buf, "ABC", 3);
	assert_string_equal(strbuf_text(&buf), "x=abc");
	text_fold(&buf, "ABCD", 4);
	assert_true(strbuf_failed(&buf));
	assert_string_equal(strbuf_text(&buf), "x=abc");
	strbuf_clear(&buf);
	text_fold(&buf, "a\xff", 2);
	assert_true(strbuf_failed(&buf));
	assert_string_equal(strbuf_text(&buf), "");
}

static void test_equality(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{ "", "", true },
		{ "", "  ", true },
		{ "Sales", "sALES ", true },
		{ "a  b", "A B", true },
		{ "a b", "ab", false },
		{ "a", "ab", false },
		{ "ab", "a", false },
		{ "a ", "a b", false },
		{ "STRASSE",
		  "stra\xc3\x9f"
		  "e",
		  true },
		{ "\xc3\xa9", "E\xcc\x81", true },
		{ "e\xcc\x81", "e", false },
		{ "a" NO_BREAK_SPACE "b", "A B", true },
		{ "a\xff", "a\xff", false }, /* invalid: equal to nothing */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (text_equal_caseless(cases[i].a, cases[i].b) != cases[i].equal ||
		    text_equal_caseless(cases[i].b, cases[i].a) != cases[i].equal)
			fail_msg("'%s' and '%s'", cases[i].a, cases[i].b);
	}
	assert_true(text_ascii_equal_caseless("Sync.Interval", "sync.interval"));
	assert_false(text_ascii_equal_caseless("sync", "sync "));
	assert_false(text_ascii_equal_caseless("syn", "sync"));
	assert_false(text_ascii_equal_caseless("@", "`"));
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "department", "employeeType", "mail", "title", "uid" };
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{ "departement", "department" },
		{ "deparmtent", "department" },
		{ "Departments", "department" },
		{ "mial", "mail" },
		{ "mai", "mail" },
		{ "tilte", "title" },
		{ "ud", "uid" },
		{ "shoeSize", NULL },
		{ "x", NULL },
		{ "", NULL },
		{ "employeetyp", "employeeType" },
	};
	char long_word[500];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *found = text_nearest(cases[i].word, words, ARRAY_LEN(words));

		if (cases[i].nearest)
			assert_string_equal(found ? found : "(none)", cases[i].nearest);
		else
			assert_null(found);
	}
	memset(long_word, 'm', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = 0;
	assert_null(text_nearest(long_word, words, ARRAY_LEN(words)));
	assert_null(text_nearest("mail", NULL, 0));
}

static void test_join(void **state)
{
	static const char *const words[] = { "a", "b", "c" };
	AUTO(strbuf) struct strbuf buf = STRBUF(64);

	(void)state;
	text_join(&buf, words, 0, ", ");
	assert_string_equal(strbuf_text(&buf), "");
	text_join(&buf, words, 3, ", ");
	assert_string_equal(strbuf_text(&buf), "a, b, c");
}

static void test_hex_digits(void **state)
{
	static const char digits[] = "0123456789abcdef", upper[] = "ABCDEF";

	(void)state;
	for (int c = 0; c < 256; c++) {
		const char *lower_at = c ? strchr(digits, c) : NULL;
		const char *upper_at = c ? strchr(upper, c) : NULL;

		assert_int_equal(text_hex_digit((unsigned char)c), lower_at ? lower_at - digits
								   : upper_at
									   ? upper_at - upper + 10
									   : -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_hex_digits),
		cmocka_unit_test(test_code_points),
		cmocka_unit_test(test_preparation),
		cmocka_unit_test(test_both_paths_agree_on_ascii),
		cmocka_unit_test(test_folding_appends_and_fails_as_a_strbuf),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
