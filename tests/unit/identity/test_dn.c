/* Distinguished names: equal names are equal bytes, malformed ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

struct accepted {
	const char *name, *text, *normal;
};

/* The first seven: RFC 4514, section 4. */
static const struct accepted accepted[] = {
	{ "three RDNs", "UID=jsmith,DC=example,DC=net", "uid=jsmith,dc=example,dc=net" },
	{ "multi-valued RDN", "OU=Sales+CN=J.  Smith,DC=example,DC=net",
	  "cn=j. smith+ou=sales,dc=example,dc=net" },
	{ "quotes escaped", "CN=James \\\"Jim\\\" Smith\\, III,DC=example,DC=net",
	  "cn=james \\\"jim\\\" smith\\, iii,dc=example,dc=net" },
	{ "carriage return", "CN=Before\\0dAfter,DC=example,DC=net",
	  "cn=before after,dc=example,dc=net" },
	{ "hex string of an unknown type", "1.3.6.1.4.1.1466.0=#04024869",
	  "1.3.6.1.4.1.1466.0=hi" },
	{ "UTF-8 by hex pairs", "CN=Lu\\C4\\8Di\\C4\\87", "cn=lu\xc4\x8di\xc4\x87" },
	{ "UTF-8 as it is", "CN=Lu\xc4\x8di\xc4\x87", "cn=lu\xc4\x8di\xc4\x87" },

	{ "empty", "", "" },
	{ "only spaces", "  ", "" },
	{ "comma by hex", "cn=a\\2Cb", "cn=a\\,b" },
	{ "comma by hex, lower case", "cn=a\\2cb", "cn=a\\,b" },
	{ "comma by backslash", "cn=a\\,b", "cn=a\\,b" },
	{ "optional spaces", " CN = Steve Kille , O = Isode Limited , C = GB ",
	  "cn=steve kille,o=isode limited,c=gb" },
	{ "spaces at the ends, escaped", "cn=\\ a b\\ ,dc=x", "cn=a b,dc=x" },
	{ "spaces at the ends, by hex", "cn=\\20a\\20\\20b\\20,dc=x", "cn=a b,dc=x" },
	{ "equals sign in a value", "cn=a=b", "cn=a=b" },
	{ "equals sign escaped", "cn=a\\=b", "cn=a=b" },
	{ "number sign first", "cn=\\#1", "cn=\\#1" },
	{ "number sign first, by hex", "cn=\\231", "cn=\\#1" },
	{ "number sign inside", "cn=a#1", "cn=a#1" },
	{ "number sign after escaped space", "cn=\\ #1", "cn=\\#1" },
	{ "all specials", "cn=\\\"\\+\\,\\;\\<\\>\\\\", "cn=\\\"\\+\\,\\;\\<\\>\\\\" },
	{ "empty value", "cn=,dc=x", "cn=,dc=x" },
	{ "empty value at the end", "cn=", "cn=" },
	{ "value of one space", "cn=\\20,dc=x", "cn=,dc=x" },
	{ "oid", "2.5.4.3=a,0.9.2342.19200300.100.1.25=x", "cn=a,dc=x" },
	{ "oid with prefix", "OID.2.5.4.11=a", "ou=a" },
	{ "unknown oid", "1.2.3.4=A", "1.2.3.4=a" },
	{ "long names", "commonName=a,organizationalUnitName=b,domainComponent=c",
	  "cn=a,ou=b,dc=c" },
	{ "long type that is nothing else", "employeeNumber=17", "employeenumber=17" },
	{ "AVAs in order, escaped", "CN=User\\2C 7 \\2B Co+uid=U7,dc=x",
	  "cn=user\\, 7 \\+ co+uid=u7,dc=x" },
	{ "AVAs in any order", "b=2+a=1+c=3,dc=x", "a=1+b=2+c=3,dc=x" },
	{ "UTF8String", "cn=#0C024869", "cn=hi" },
	{ "PrintableString", "cn=#13024869", "cn=hi" },
	{ "IA5String", "cn=#16024869", "cn=hi" },
	{ "string that needs an escape", "cn=#0c03612c62", "cn=a\\,b" },
	{ "long form of the length", "cn=#0c81024869", "cn=hi" },
	{ "BMPString stays", "cn=#1E0400480069", "cn=#1e0400480069" },
	{ "octets that are no UTF-8 stay", "cn=#0402FFFE", "cn=#0402fffe" },
	{ "wrong length stays", "cn=#04034869", "cn=#04034869" },
	{ "IA5String beyond ASCII stays", "cn=#1602C3BC", "cn=#1602c3bc" },
	{ "NUL in a string stays", "cn=#04026100", "cn=#04026100" },
	{ "one byte stays", "cn=#04", "cn=#04" },
	{ "sharp s folds",
	  "cn=Stra\xc3\x9f"
	  "e",
	  "cn=strasse" },
	{ "decomposed umlaut", "cn=Mu\xcc\x88ller", "cn=m\xc3\xbcller" },
	{ "full-width comma is a comma after all",
	  "cn=a\xef\xbc\x8c"
	  "b",
	  "cn=a\\,b" },
	{ "tab is a space", "cn=a\tb", "cn=a b" },
	{ "no-break space",
	  "cn=a\xc2\xa0"
	  "b",
	  "cn=a b" },
	{ "128 RDNs and the limit is not reached", "cn=a,cn=a,cn=a", "cn=a,cn=a,cn=a" },
};

static void test_accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		AUTO(strbuf) struct strbuf again = STRBUF(65536);
		struct err err;

		strbuf_puts(&out, "kept");
		if (dn_normalize(accepted[i].text, strlen(accepted[i].text), &out, &err) < 0)
			fail_msg("%s: %s", accepted[i].name, err.text);
		if (strcmp(out.data + 4, accepted[i].normal) != 0)
			fail_msg("%s: '%s'", accepted[i].name, out.data);
		assert_memory_equal(strbuf_text(&out), "kept", 4);
		/* A normal form is its own normal form. */
		assert_int_equal(dn_normalize(out.data + 4, out.size - 4, &again, &err), 0);
		assert_string_equal(strbuf_text(&again), accepted[i].normal);
	}
}

static const struct {
	const char *name, *text;
	size_t at;
} refused[] = {
	{ "no type", "=a", 0 },
	{ "no equals sign", "cn", 2 },
	{ "type of spaces", " =a", 1 },
	{ "type with underscore", "c_n=a", 1 },
	{ "type with option", "cn;lang-en=a", 2 },
	{ "comma at the end", "cn=a,", 5 },
	{ "comma at the end, then space", "cn=a, ", 6 },
	{ "comma at the start", ",cn=a", 0 },
	{ "two commas", "cn=a,,dc=b", 5 },
	{ "plus at the end", "cn=a+", 5 },
	{ "lone backslash", "cn=a\\", 5 },
	{ "backslash and half a pair", "cn=a\\4", 5 },
	{ "backslash and a letter", "cn=a\\x", 5 },
	{ "semicolon", "cn=a;dc=b", 4 },
	{ "quoted value", "cn=\"a\"", 3 },
	{ "less than", "cn=a<b", 4 },
	{ "odd hex digits", "cn=#040", 6 },
	{ "no hex digits", "cn=#", 3 },
	{ "hex and then text", "cn=#0402xy", 8 },
	{ "NUL by hex", "cn=a\\00b", 3 },
	{ "invalid UTF-8 by hex", "cn=\\FF", 3 },
	{ "invalid UTF-8", "cn=\xc3", 3 },
	{ "overlong UTF-8", "cn=\xc0\xaf", 3 },
	{ "surrogate", "cn=\xed\xa0\x80", 3 },
	{ "one arc", "2=a", 1 },
	{ "leading zero", "2.05=a", 4 },
	{ "dot at the end", "2.5.=a", 4 },
	{ "type twice in an RDN", "cn=a+CN=b", 5 },
	{ "type twice by another name", "cn=a+2.5.4.3=a", 5 },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		char place[64];
		struct err err;

		strbuf_puts(&out, "kept");
		if (dn_normalize(refused[i].text, strlen(refused[i].text), &out, &err) == 0)
			fail_msg("%s: accepted as '%s'", refused[i].name, strbuf_text(&out));
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(strbuf_text(&out), "kept");
		snprintf(place, sizeof(place), "at byte %zu:", refused[i].at);
		if (!strstr(err.text, place))
			fail_msg("%s: %s, not %s", refused[i].name, err.text, place);
	}
}

static void test_nul_is_refused(void **state)
{
	AUTO(strbuf) struct strbuf out = STRBUF(65536);

	(void)state;
	assert_int_equal(dn_normalize("cn=a\0b", 6, &out, NULL), -1);
	assert_int_equal(dn_normalize("c\0=ab", 5, &out, NULL), -1);
	assert_int_equal(dn_normalize("\0", 1, &out, NULL), -1);
	/* Without a NUL after the text: only size bytes are looked at. */
	assert_int_equal(dn_normalize("cn=ab,", 5, &out, NULL), 0);
	assert_string_equal(strbuf_text(&out), "cn=ab");
}

static void test_limits(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 20);

	(void)state;
	for (int escaped = 0; escaped < 2; escaped++) {
		const char *rdn = escaped ? "cn=\\61" : "cn=a";

		strbuf_clear(&text);
		for (int i = 0; i < 128; i++)
			strbuf_printf(&text, "%s%s", i ? "," : "", rdn);
		assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), 0);
		strbuf_printf(&text, ",%s", rdn);
		assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), -1);
	}
	strbuf_clear(&text);
	for (int i = 0; i < 10000; i++)
		strbuf_puts(&text, i ? ",c=" : "c=");
	assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), -1);
	strbuf_clear(&text);
	for (int i = 0; i < 16; i++)
		strbuf_printf(&text, "%st%d=1", i ? "+" : "", i);
	assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), 0);
	strbuf_puts(&text, "+t16=1");
	assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), -1);
}

static void test_size(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf out = STRBUF(1 << 20);

	(void)state;
	strbuf_puts(&text, "cn=");
	while (text.size < DN_MAX)
		strbuf_putc(&text, 'A');
	assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), 0);
	assert_int_equal(out.size, DN_MAX);
	strbuf_putc(&text, 'A');
	assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), -1);
	/* What folding makes longest: one ligature of three bytes gives 33. */
	strbuf_clear(&text);
	strbuf_clear(&out);
	strbuf_puts(&text, "cn=");
	while (text.size + 3 <= DN_MAX)
		strbuf_puts(&text, "\xef\xb7\xba");
	assert_int_equal(dn_normalize(text.data, text.size, &out, NULL), 0);
	assert_true(out.size > DN_MAX * 10);
}

static void test_no_room(void **state)
{
	struct strbuf small = STRBUF(8);
	struct err err;

	(void)state;
	assert_int_equal(dn_normalize("cn=too long", 11, &small, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	strbuf_finish(&small);
	small = STRBUF(12);
	assert_int_equal(dn_normalize("cn=\\\"\\\"\\\"\\\"", 11, &small, &err), 0);
	strbuf_finish(&small);
	small = STRBUF(12);
	assert_int_equal(dn_normalize("cn=\xef\xb7\xba\\\"", 8, &small, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	strbuf_finish(&small);
}

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void test_roads_agree(void **state)
{
	static const char *const pieces[] = { "a",   "B",    " ",    ",",    ",ou=", "=",    ".",
					      "-1",  "\\,",  "\\2C", "\\2b", "\\ ",  "\\20", "\\41",
					      "\\#", "\\23", "#",    "+ou=", "+a=",  "\\=",  "\\0d",
					      "\\x", "\\c3", "\\\\", "\\\"", "+",    ";",    "\t" };
	unsigned seed = 1, accepted_count = 0;

	(void)state;
	/* The same name; a space before the first '=' makes it one for the general parser. */
	for (int round = 0; round < 50000; round++) {
		AUTO(strbuf) struct strbuf plain = STRBUF(1024), general = STRBUF(1024);
		AUTO(strbuf) struct strbuf one = STRBUF(4096), other = STRBUF(4096);
		int result;

		strbuf_puts(&plain, "cn=");
		strbuf_puts(&general, "cn =");
		for (int i = 0; i < 10; i++) {
			const char *piece = pieces[next_random(&seed) % ARRAY_LEN(pieces)];

			strbuf_puts(&plain, piece);
			strbuf_puts(&general, piece);
			if (i % 3 == 2 && next_random(&seed) % 4 > 0)
				break;
		}
		result = dn_normalize(plain.data, plain.size, &one, NULL);
		accepted_count += result == 0;
		if (dn_normalize(general.data, general.size, &other, NULL) != result ||
		    strcmp(strbuf_text(&one), strbuf_text(&other)) != 0)
			fail_msg("'%s': '%s', not '%s'", plain.data, strbuf_text(&one),
				 strbuf_text(&other));
	}
	assert_in_range(accepted_count, 5000, 45000);
}

/* A value in one of its spellings. */
static void spell_value(struct strbuf *out, const char *value, unsigned *seed)
{
	if (next_random(seed) % 8 == 0) {
		strbuf_printf(out, "#0c%02zx", strlen(value));
		for (const char *c = value; *c; c++)
			strbuf_printf(out, "%02X", (unsigned char)*c);
		return;
	}
	for (const char *c = value; *c; c++) {
		bool special = strchr("\"+,;<>\\#=", *c) != NULL;
		bool letter = (*c >= 'a' && *c <= 'z');
		unsigned way = next_random(seed) % 8;

		if (way == 0 || (special && way < 4))
			strbuf_printf(out, way % 2 ? "\\%02x" : "\\%02X", (unsigned char)*c);
		else if (special)
			strbuf_printf(out, "\\%c", *c);
		else
			strbuf_putc(out, letter && way == 1 ? (char)(*c - 32) : *c);
	}
}

static void spell_spaces(struct strbuf *out, unsigned *seed)
{
	if (next_random(seed) % 6 == 0)
		strbuf_puts(out, "  ");
}

/* One of a few RDNs; its AVAs in any order. */
static void spell_rdn(struct strbuf *out, unsigned which, unsigned *seed)
{
	static const char *const types[][3] = { { "cn", "CN", "2.5.4.3" },
						{ "ou", "Ou", "organizationalUnitName" } };
	static const char *const values[] = {
		"a", "a,b", "x+cn=y", "a=b", "\xc3\xbc", "dc=abcd", ""
	};
	bool multi = which % 3 == 0;
	unsigned first = next_random(seed) % 2;

	for (unsigned i = 0; i < (multi ? 2u : 1u); i++) {
		unsigned type = multi ? first ^ i : which % 2;
		unsigned value = which / 6 % ARRAY_LEN(values);

		if (i > 0)
			strbuf_putc(out, '+');
		spell_spaces(out, seed);
		strbuf_puts(out, types[type][next_random(seed) % 3]);
		spell_spaces(out, seed);
		strbuf_putc(out, '=');
		spell_spaces(out, seed);
		spell_value(out, values[(value + type) % ARRAY_LEN(values)], seed);
		spell_spaces(out, seed);
	}
}

/*
 * Fingerprints are equal exactly when normal forms are, whatever the spelling and
 * whatever parents were met before: every name against one met earlier.
 */
static void test_fingerprint_is_of_the_normal_form(void **state)
{
	enum { COUNT = 60000, KEPT = 512 };
	static struct {
		struct hash128 hash;
		char normal[256];
	} kept[KEPT];
	struct dn_parents *parents = dn_parents_create();
	AUTO(strbuf) struct strbuf scratch = STRBUF(65536);
	unsigned seed = 7, equal = 0;

	(void)state;
	assert_non_null(parents);
	for (size_t n = 0; n < COUNT; n++) {
		AUTO(strbuf) struct strbuf text = STRBUF(4096), normal = STRBUF(4096);
		unsigned depth = 1 + next_random(&seed) % 3;
		struct hash128 near, alone;
		size_t other = next_random(&seed) % KEPT;

		for (unsigned i = 0; i < depth; i++) {
			if (i > 0)
				strbuf_putc(&text, ',');
			spell_rdn(&text, next_random(&seed) % 42, &seed);
		}
		if (dn_normalize(text.data, text.size, &normal, NULL) < 0)
			fail_msg("'%s' refused", text.data);
		assert_int_equal(
			dn_fingerprint(parents, text.data, text.size, &scratch, &near, NULL), 0);
		assert_int_equal(dn_fingerprint(NULL, text.data, text.size, &scratch, &alone, NULL),
				 0);
		if (!hash128_equal(near, alone) ||
		    !hash128_equal(near, dn_fingerprint_normal(normal.data, normal.size)))
			fail_msg("'%s' depends on what came before", text.data);
		if (n >= KEPT && hash128_equal(near, kept[other].hash) !=
					 (strcmp(normal.data, kept[other].normal) == 0))
			fail_msg("'%s' and '%s'", normal.data, kept[other].normal);
		equal += n >= KEPT && hash128_equal(near, kept[other].hash);
		kept[n % KEPT].hash = near;
		snprintf(kept[n % KEPT].normal, sizeof(kept[0].normal), "%s", normal.data);
	}
	assert_in_range(equal, 20, COUNT / 4);
	dn_parents_destroy(parents);
}

static void test_parents_do_not_excuse(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "no RDN", ",ou=p,dc=x" },
		{ "only spaces", " ,ou=p,dc=x" },
		{ "no value", "cn,ou=p,dc=x" },
		{ "odd escape", "cn=\\x,ou=p,dc=x" },
		{ "type twice", "cn=a+cn=b,ou=p,dc=x" },
		{ "comma at the end", "cn=a," },
		{ "invalid UTF-8", "cn=\xff,ou=p,dc=x" },
	};
	struct dn_parents *parents = dn_parents_create();
	AUTO(strbuf) struct strbuf scratch = STRBUF(1 << 20);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);
	struct hash128 hash, other;
	struct err err, alone;

	(void)state;
	assert_int_equal(dn_fingerprint(parents, "cn=b,ou=p,dc=x", 14, &scratch, &hash, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *name = cases[i].text;

		if (dn_fingerprint(parents, name, strlen(name), &scratch, &hash, &err) == 0)
			fail_msg("%s: accepted", cases[i].name);
		assert_int_equal(dn_fingerprint(NULL, name, strlen(name), &scratch, &hash, &alone),
				 -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.text, alone.text);
	}
	/* The comma is part of the value: another parent. */
	assert_int_equal(dn_fingerprint(parents, "cn=a\\,ou=p,dc=x", 15, &scratch, &hash, NULL), 0);
	assert_int_equal(dn_fingerprint(NULL, "cn=a\\2Cou=p,dc=x", 16, &scratch, &other, NULL), 0);
	assert_true(hash128_equal(hash, other));
	/* 128 RDNs and no more, met before or not. */
	for (int i = 0; i < 128; i++)
		strbuf_puts(&text, i ? ",c=a" : "c=a");
	for (int twice = 0; twice < 2; twice++)
		assert_int_equal(
			dn_fingerprint(parents, text.data, text.size, &scratch, &hash, NULL), 0);
	strbuf_puts(&text, ",c=a");
	assert_int_equal(dn_fingerprint(parents, text.data, text.size, &scratch, &hash, NULL), -1);
	/* Too long is too long below a known parent, too. */
	strbuf_clear(&text);
	strbuf_puts(&text, "cn=");
	while (text.size < DN_MAX - 9)
		strbuf_putc(&text, 'a');
	strbuf_puts(&text, ",ou=p,dc=x");
	assert_int_equal(dn_fingerprint(parents, text.data, text.size, &scratch, &hash, NULL), -1);
	assert_int_equal(dn_fingerprint(parents, text.data + 3, 0, &scratch, &hash, NULL), 0);
	dn_parents_destroy(parents);
}

/* One name's parent must not be able to swallow the beginning of another's RDN. */
static void test_fingerprints_keep_parts_apart(void **state)
{
	static const char *const names[] = {
		"cn=abcdef=1,dc=xxxxx",
		"f=1,dc=xxxxxcn=abcde",
		"dc=xxxxxcn=abcdef=1",
		"cn=a,dc=x",
		"dc=x,cn=a",
		"cn=a\\,dc=x",
		"cn=a",
		"dc=x",
		"",
		"cn=",
		"cn=,dc=x",
	};
	AUTO(strbuf) struct strbuf scratch = STRBUF(65536);
	struct hash128 hashes[ARRAY_LEN(names)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(dn_fingerprint(NULL, names[i], strlen(names[i]), &scratch,
						&hashes[i], NULL),
				 0);
		assert_false(hash128_equal(hashes[i], fingerprint128(names[i], strlen(names[i]))));
		for (size_t j = 0; j < i; j++)
			if (hash128_equal(hashes[i], hashes[j]))
				fail_msg("'%s' is '%s'", names[i], names[j]);
	}
}

static void test_fingerprint(void **state)
{
	AUTO(strbuf) struct strbuf scratch = STRBUF(65536);
	struct hash128 a, b, c;

	(void)state;
	assert_int_equal(dn_fingerprint(NULL, "CN=A\\2CB,dc=x", 13, &scratch, &a, NULL), 0);
	assert_int_equal(dn_fingerprint(NULL, "cn=a\\,b, DC=X", 13, &scratch, &b, NULL), 0);
	assert_int_equal(dn_fingerprint(NULL, "cn=a\\,b,dc=y", 12, &scratch, &c, NULL), 0);
	assert_true(hash128_equal(a, b));
	assert_false(hash128_equal(a, c));
	assert_int_equal(dn_fingerprint(NULL, "bad", 3, &scratch, &a, NULL), -1);
	assert_true(hash128_equal(a, b));
}

static void test_within(void **state)
{
	static const struct {
		const char *dn, *base;
		bool within;
	} cases[] = {
		{ "cn=a,dc=x", "dc=x", true },
		{ "dc=x", "dc=x", true },
		{ "cn=a,dc=x", "", true },
		{ "", "", true },
		{ "", "dc=x", false },
		{ "dc=x", "cn=a,dc=x", false },
		{ "cn=a,dc=xx", "dc=x", false },
		{ "cn=adc=x", "dc=x", false },
		{ "cn=a\\,dc=x", "dc=x", false },
		{ "cn=a\\\\,dc=x", "dc=x", true },
		{ "cn=a\\\\\\,dc=x", "dc=x", false },
		{ "dc=y", "dc=x", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (dn_is_within(cases[i].dn, cases[i].base) != cases[i].within)
			fail_msg("'%s' in '%s'", cases[i].dn, cases[i].base);
}

static void test_looks_like(void **state)
{
	(void)state;
	assert_true(dn_looks_like("cn=a"));
	assert_true(dn_looks_like(" 2.5.4.3 = a"));
	assert_false(dn_looks_like(""));
	assert_false(dn_looks_like("sales"));
	assert_false(dn_looks_like("=x"));
	assert_false(dn_looks_like("hr:cn=a"));
	assert_false(dn_looks_like("a b=c"));
}

static void test_every_allocation_may_fail(void **state)
{
	static const char text[] = "cn=M\xc3\xbcller\\, Anna+ou=#0c024869,dc=x";

	(void)state;
	for (long n = 0;; n++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct err err;
		int result;

		alloc_fail_after(n);
		result = dn_normalize(text, strlen(text), &out, &err);
		if (alloc_fail_after(-1) >= 0) {
			assert_int_equal(result, 0);
			break;
		}
		assert_int_equal(result, -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_roads_agree),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_fingerprint_is_of_the_normal_form),
		cmocka_unit_test(test_parents_do_not_excuse),
		cmocka_unit_test(test_fingerprints_keep_parts_apart),
		cmocka_unit_test(test_within),
		cmocka_unit_test(test_looks_like),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
