/* E-mail addresses, user names, slugs: one form, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

typedef int normalizer(const char *text, struct strbuf *out, struct err *err);

struct row {
	const char *name, *text, *normal; /* NULL: refused */
};

static void run(const struct row *rows, size_t count, normalizer *normalize)
{
	for (size_t i = 0; i < count; i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		AUTO(strbuf) struct strbuf again = STRBUF(65536);
		struct err err = { 0 };
		int result;

		strbuf_puts(&out, "kept");
		result = normalize(rows[i].text, &out, &err);
		if (!rows[i].normal) {
			if (result == 0)
				fail_msg("%s: accepted as '%s'", rows[i].name, strbuf_text(&out));
			assert_string_equal(strbuf_text(&out), "kept");
			assert_int_equal(err.code, ERR_INVALID);
			assert_true(err.text[0] != '\0');
			continue;
		}
		if (result < 0)
			fail_msg("%s: %s", rows[i].name, err.text);
		if (strcmp(out.data + 4, rows[i].normal) != 0)
			fail_msg("%s: '%s'", rows[i].name, out.data);
		assert_int_equal(normalize(rows[i].normal, &again, &err), 0);
		assert_string_equal(strbuf_text(&again), rows[i].normal);
	}
}

static void test_email(void **state)
{
	static const struct row rows[] = {
		{ "plain", "anna@acme.example", "anna@acme.example" },
		{ "case", "Anna.Mueller@ACME.Example", "anna.mueller@acme.example" },
		{ "space around", "  a@b.example\r\n", "a@b.example" },
		{ "plus and specials", "a+b!#$%&'*/=?^_`{|}~-@x.example",
		  "a+b!#$%&'*/=?^_`{|}~-@x.example" },
		{ "one label", "root@localhost", "root@localhost" },
		{ "umlaut", "M\xc3\x9cLLER@m\xc3\xbcnchen.example",
		  "m\xc3\xbcller@m\xc3\xbcnchen.example" },
		{ "decomposed umlaut", "mu\xcc\x88ller@x.example", "m\xc3\xbcller@x.example" },
		{ "sharp s", "wei\xc3\x9f@x.example", "weiss@x.example" },
		{ "full width stays apart", "\xef\xbd\x81@x.example", "\xef\xbd\x81@x.example" },
		{ "64 in a local part", A64 "@x.example", A64 "@x.example" },
		{ "empty", "", NULL },
		{ "spaces", "   ", NULL },
		{ "no at", "anna", NULL },
		{ "two at", "a@b@c.example", NULL },
		{ "nothing before", "@x.example", NULL },
		{ "nothing after", "a@", NULL },
		{ "space inside", "a b@x.example", NULL },
		{ "control", "a\001@x.example", NULL },
		{ "line break inside", "a@x.example\nb", NULL },
		{ "dot first", ".a@x.example", NULL },
		{ "dot last", "a.@x.example", NULL },
		{ "two dots", "a..b@x.example", NULL },
		{ "quoted", "\"a b\"@x.example", NULL },
		{ "comma", "a,b@x.example", NULL },
		{ "angle brackets", "<a@x.example>", NULL },
		{ "display form", "Anna <a@x.example>", NULL },
		{ "empty label", "a@x..example", NULL },
		{ "dot at the end", "a@x.example.", NULL },
		{ "hyphen first", "a@-x.example", NULL },
		{ "hyphen last", "a@x-.example", NULL },
		{ "underscore in the domain", "a@x_y.example", NULL },
		{ "address literal", "a@[127.0.0.1]", NULL },
		{ "label of 64", "a@" A64 ".example", NULL },
		{ "254 passed", A64 A64 A64 A64 "@x.example", NULL },
		{ "zero-width space", "a\xe2\x80\x8b@x.example", NULL },
		{ "right-to-left override", "a\xe2\x80\xae@x.example", NULL },
		{ "no-break space", "a\xc2\xa0@x.example", NULL },
		{ "not UTF-8", "a\xff@x.example", NULL },
	};

	(void)state;
	run(rows, ARRAY_LEN(rows), email_normalize);
}

static void test_domain(void **state)
{
	(void)state;
	assert_string_equal(email_domain("a@x.example"), "x.example");
	assert_string_equal(email_domain("anna"), "");
	assert_string_equal(email_domain(""), "");
}

static void test_username(void **state)
{
	static const struct row rows[] = {
		{ "plain", "anna", "anna" },
		{ "case", "Anna.M\xc3\x9cLLER", "anna.m\xc3\xbcller" },
		{ "digits first", "007", "007" },
		{ "underscore first", "_svc", "_svc" },
		{ "address", "Anna@acme.example", "anna@acme.example" },
		{ "full width becomes ASCII", "\xef\xbd\x81nna", "anna" },
		{ "ligature", "\xef\xac\x81n", "fin" },
		{ "Greek", "\xce\x91\xce\xa3", "\xce\xb1\xcf\x83" },
		{ "hyphen and dot inside", "a-b.c", "a-b.c" },
		{ "128 bytes", A64 A64, A64 A64 },
		{ "empty", "", NULL },
		{ "129 bytes", A64 A64 "a", NULL },
		{ "space inside", "a b", NULL },
		{ "space before", " a", NULL },
		{ "tab", "a\tb", NULL },
		{ "line break", "a\n", NULL },
		{ "delete", "a\x7f", NULL },
		{ "comma", "a,b", NULL },
		{ "colon", "a:b", NULL },
		{ "slash", "a/b", NULL },
		{ "quote", "a\"b", NULL },
		{ "backslash", "ACME\\anna", NULL },
		{ "less", "a<b", NULL },
		{ "greater", "a>b", NULL },
		{ "hyphen first", "-a", NULL },
		{ "dot first", ".a", NULL },
		{ "at first", "@a", NULL },
		{ "slash by compatibility", "\xe2\x84\x80", NULL }, /* U+2100 folds to a/c */
		{ "zero-width joiner",
		  "a\xe2\x80\x8d"
		  "b",
		  NULL },
		{ "no-break space",
		  "a\xc2\xa0"
		  "b",
		  NULL },
		{ "private use", "a\xee\x80\x80", NULL },
		{ "soft hyphen",
		  "a\xc2\xad"
		  "b",
		  NULL },
		{ "combining mark first",
		  "\xcc\x88"
		  "a",
		  NULL },
		{ "not UTF-8", "a\xc3", NULL },
	};

	(void)state;
	run(rows, ARRAY_LEN(rows), username_normalize);
}

static void test_display_name(void **state)
{
	static const struct row rows[] = {
		{ "as it is", "Anna M\xc3\xbcller", "Anna M\xc3\xbcller" },
		{ "spaces", "  Anna \t M ", "Anna M" },
		{ "line break", "Anna\r\nRemote-Profile: x", "Anna Remote-Profile: x" },
		{ "nothing", " \t", NULL },
		{ "empty", "", NULL },
		{ "not UTF-8", "\xff", NULL },
	};

	(void)state;
	run(rows, ARRAY_LEN(rows), display_name_normalize);
}

static void test_words(void **state)
{
	static const struct {
		const char *text;
		bool slug, source, attribute;
	} rows[] = {
		{ "sales", true, true, true },	      { "a", true, true, true },
		{ "0", true, true, false },	      { "a-b", true, true, true },
		{ "a.b_c", true, false, false },      { "a_b", true, false, true },
		{ "", false, false, false },	      { "-a", false, false, false },
		{ "a-", false, false, true },	      { ".a", false, false, false },
		{ "Sales", false, false, true },      { "a b", false, false, false },
		{ "a\xc3\xbc", false, false, false }, { "2.5.4.3", true, false, true },
		{ "2..3", true, false, false },	      { "2.5.", false, false, false },
		{ "cn;binary", false, false, false }, { A64, true, false, true },
		{ A64 "a", false, false, true },      { A64 A64 "a", false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (slug_is_valid(rows[i].text) != rows[i].slug)
			fail_msg("slug '%s'", rows[i].text);
		if (source_name_is_valid(rows[i].text) != rows[i].source)
			fail_msg("source '%s'", rows[i].text);
		if (attribute_name_is_valid(rows[i].text) != rows[i].attribute)
			fail_msg("attribute '%s'", rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_email),	 cmocka_unit_test(test_domain),
		cmocka_unit_test(test_username), cmocka_unit_test(test_display_name),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
