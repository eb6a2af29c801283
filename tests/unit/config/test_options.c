/* Every type of option with good and bad values; defaults; twenty mistakes at once. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

/* Twenty mistakes, one finding for each, where an editor should jump to. */
static const char mistakes[] = "titel: Acme\n"
			       "port: 70000\n"
			       "port: 80\n"
			       "level: hihg\n"
			       "domains: [a, b, c, d]\n"
			       "limits:\n"
			       "  removals: 5 percent\n"
			       "  body: 12KB\n"
			       "  foo: bar\n"
			       "sources:\n"
			       "  - {name: corp, type: ldpa}\n"
			       "  - name: main\n"
			       "    type: ldap\n"
			       "    interval: 5\n"
			       "    servers: []\n"
			       "    page_size: \"100\"\n"
			       "    attributes: [mail, {syntax: dn}]\n"
			       "  - {type: csv, path: x.csv, name: forbidden}\n"
			       "  - {type: csv, name: people}\n"
			       "rules:\n"
			       "  - id: \xc3\xa4\n"
			       "    grant: {profile: {}}\n"
			       "    expires: 2026-02-30\n"
			       "  - {id: b, grant: {}, trial: yes}\n"
			       "precedence: *all\n";

static const char findings[] =
	"t.yaml:1:1: error: unknown key 'titel'\n"
	"    1 | titel: Acme\n"
	"      | ^~~~~\n"
	"      hint: Did you mean 'title'?\n"
	"t.yaml:2:7: error: 'port' must be between 1 and 65535, not '70000'\n"
	"    2 | port: 70000\n"
	"      |       ^~~~~\n"
	"t.yaml:3:1: error: duplicate key 'port'\n"
	"    3 | port: 80\n"
	"      | ^~~~\n"
	"      hint: It was first given in line 2.\n"
	"t.yaml:4:8: error: unknown value 'hihg' for 'level'\n"
	"    4 | level: hihg\n"
	"      |        ^~~~\n"
	"      hint: Did you mean 'high'? One of: low, medium, high.\n"
	"t.yaml:5:10: error: 'domains' may not have more than 3 items\n"
	"    5 | domains: [a, b, c, d]\n"
	"      |          ^\n"
	"t.yaml:7:13: error: 'removals' must be a whole percent such as 5%, not '5 percent'\n"
	"    7 |   removals: 5 percent\n"
	"      |             ^~~~~~~~~\n"
	"t.yaml:8:9: error: 'body' must be a size such as 64KiB or 8MiB, not '12KB'\n"
	"    8 |   body: 12KB\n"
	"      |         ^~~~\n"
	"t.yaml:9:3: error: unknown key 'foo'\n"
	"    9 |   foo: bar\n"
	"      |   ^~~\n"
	"      hint: One of: removals, body, admins.\n"
	"t.yaml:11:24: error: unknown value 'ldpa' for 'type'\n"
	"   11 |   - {name: corp, type: ldpa}\n"
	"      |                        ^~~~\n"
	"      hint: Did you mean 'ldap'? One of: ldap, csv.\n"
	"t.yaml:14:15: error: 'interval' must be between 30s and 1d, not '5'\n"
	"   14 |     interval: 5\n"
	"      |               ^\n"
	"t.yaml:15:14: error: 'servers' may not be empty\n"
	"   15 |     servers: []\n"
	"      |              ^\n"
	"t.yaml:16:17: error: 'page_size' must be a whole number such as 42, not '100'\n"
	"   16 |     page_size: \"100\"\n"
	"      |                 ^~~\n"
	"      hint: Without quotes it is a number, with quotes a text.\n"
	"t.yaml:17:24: error: missing key 'name'\n"
	"   17 |     attributes: [mail, {syntax: dn}]\n"
	"      |                        ^\n"
	"      hint: As rules call it.\n"
	"t.yaml:18:36: error: no CSV source may be called 'forbidden'\n"
	"   18 |   - {type: csv, path: x.csv, name: forbidden}\n"
	"      |                                    ^~~~~~~~~\n"
	"t.yaml:19:5: error: missing key 'path'\n"
	"   19 |   - {type: csv, name: people}\n"
	"      |     ^\n"
	"      hint: The file. Lines starting with?.dots and \"quotes\" or C:\\ are nothing special.\n"
	"t.yaml:22:22: error: 'profile' must be a text, not a mapping\n"
	"   22 |     grant: {profile: {}}\n"
	"      |                      ^\n"
	"t.yaml:23:14: error: 'expires' must be a date such as 2027-01-31, not '2026-02-30'\n"
	"   23 |     expires: 2026-02-30\n"
	"      |              ^~~~~~~~~~\n"
	"t.yaml:24:20: error: 'grant' may not be empty\n"
	"   24 |   - {id: b, grant: {}, trial: yes}\n"
	"      |                    ^\n"
	"t.yaml:24:31: error: 'trial' must be true or false, not 'yes'\n"
	"   24 |   - {id: b, grant: {}, trial: yes}\n"
	"      |                               ^~~\n"
	"t.yaml:25:13: error: aliases are not supported\n"
	"   25 | precedence: *all\n"
	"      |             ^~~~\n"
	"      hint: Quote the text if it is meant to begin with '*'.\n";

static void test_twenty_mistakes(void **state)
{
	struct loaded l;

	(void)state;
	sample_load_text(&l, mistakes);
	assert_string_equal(l.findings, findings);
	assert_int_equal(diagnostics_errors(l.list), 20);
	sample_free(&l);
}

/* What a text gives, written again; NULL: refused with this code. */
struct value_case {
	const char *text, *code;
	int64_t value;
};

static int64_t get_port(const struct sample *s)
{
	return s->port;
}

static int64_t get_body(const struct sample *s)
{
	return s->limits.body;
}

static int64_t get_removals(const struct sample *s)
{
	return s->limits.removals;
}

static int64_t get_level(const struct sample *s)
{
	return s->level;
}

static const struct sample_rule *first_rule(const struct sample *s)
{
	return s->rules.items;
}

static int64_t get_expires(const struct sample *s)
{
	return first_rule(s)->expires_s;
}

static int64_t get_trial(const struct sample *s)
{
	return first_rule(s)->trial;
}

static int64_t get_interval(const struct sample *s)
{
	return (*(struct sample_source **)s->sources.items)->interval_s;
}

static void assert_values(const char *format, int64_t (*get)(const struct sample *),
			  const struct value_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct value_case *c = &cases[i];
		struct loaded l;
		char text[512];

		snprintf(text, sizeof(text), format, c->text);
		sample_load_text(&l, text);
		if (c->code && (diagnostics_count(l.list) != 1 ||
				strcmp(diagnostics_get(l.list, 0)->code, c->code) != 0))
			fail_msg("'%s': expected %s, got '%s'", text, c->code, l.findings);
		if (!c->code && diagnostics_count(l.list))
			fail_msg("'%s': %s", text, l.findings);
		if (get(&l.sample) != c->value)
			fail_msg("'%s': got %lld", text, (long long)get(&l.sample));
		sample_free(&l);
	}
}

#define ASSERT_VALUES(format, get, ...) \
	do { \
		static const struct value_case cases_[] = { __VA_ARGS__ }; \
		assert_values(format, get, cases_, ARRAY_LEN(cases_)); \
	} while (0)

/* A refused value leaves the default in place. */
static void test_numbers(void **state)
{
	(void)state;
	ASSERT_VALUES("port: %s\n", get_port, { "1", NULL, 1 }, { "65535", NULL, 65535 },
		      { "+80", NULL, 80 }, { "0", "out-of-range", 8080 },
		      { "65536", "out-of-range", 8080 }, { "-1", "out-of-range", 8080 },
		      { "99999999999999999999", "invalid-value", 8080 },
		      { "0x50", "invalid-value", 8080 }, { "8_0", "invalid-value", 8080 },
		      { "80.0", "invalid-value", 8080 }, { "'80'", "invalid-value", 8080 },
		      { "eighty", "invalid-value", 8080 }, { "[80]", "wrong-type", 8080 },
		      { "{}", "wrong-type", 8080 }, { "", NULL, 8080 }, { "~", NULL, 8080 },
		      { "null", NULL, 8080 }, { "''", "invalid-value", 8080 },
		      { "-", "yaml-syntax", 8080 });
	ASSERT_VALUES("limits: {body: %s}\n", get_body, { "1024", NULL, 1024 },
		      { "1024B", NULL, 1024 }, { "1KiB", NULL, 1024 }, { "\"2KiB\"", NULL, 2048 },
		      { "1MiB", NULL, 1048576 }, { "2MiB", "out-of-range", 65536 },
		      { "1GiB", "out-of-range", 65536 }, { "1TiB", "out-of-range", 65536 },
		      { "99999999999TiB", "invalid-value", 65536 },
		      { "64KB", "invalid-value", 65536 }, { "64 KiB", "invalid-value", 65536 },
		      { "KiB", "invalid-value", 65536 }, { "-1", "invalid-value", 65536 },
		      { "1KiB1", "invalid-value", 65536 });
	ASSERT_VALUES("limits: {removals: %s}\n", get_removals, { "0", NULL, 0 }, { "7", NULL, 7 },
		      { "7%", NULL, 7 }, { "100%", NULL, 100 }, { "101%", "out-of-range", 5 },
		      { "5.5%", "invalid-value", 5 }, { "-5%", "invalid-value", 5 },
		      { "5%%", "invalid-value", 5 });
}

static void test_durations(void **state)
{
	(void)state;
	ASSERT_VALUES("sources: [{type: csv, name: a, path: /x, interval: %s}]\n", get_interval,
		      { "30", NULL, 30 }, { "90s", NULL, 90 }, { "5m", NULL, 300 },
		      { "1h30m", NULL, 5400 }, { "1d", NULL, 86400 }, { "'2h'", NULL, 7200 },
		      { "0w23h59m60s", NULL, 86400 }, { "29s", "out-of-range", 300 },
		      { "2d", "out-of-range", 300 }, { "1w", "out-of-range", 300 },
		      { "5", "out-of-range", 300 }, { "-5m", "invalid-value", 300 },
		      { "+90", "invalid-value", 300 }, { "5 m", "invalid-value", 300 },
		      { "30m1h", "invalid-value", 300 }, { "1h1h", "invalid-value", 300 },
		      { "1h30", "invalid-value", 300 }, { "m", "invalid-value", 300 },
		      { "5M", "invalid-value", 300 }, { "5ms", "invalid-value", 300 },
		      { "9223372036854775807w", "invalid-value", 300 },
		      { "9223372036854775807d", "invalid-value", 300 }, { "", NULL, 300 });
	ASSERT_VALUES("rules: [{id: a, grant: {profile: p}, expires: %s}]\n", get_expires,
		      { "2027-01-31", NULL, 1801353600 }, { "'1970-01-02'", NULL, 86400 },
		      { "2024-02-29", NULL, 1709164800 }, { "2027-02-29", "invalid-value", 0 },
		      { "2027-1-31", "invalid-value", 0 }, { "31.01.2027", "invalid-value", 0 },
		      { "2027-01-31T00:00:00Z", "invalid-value", 0 },
		      { "tomorrow", "invalid-value", 0 });
}

static void test_words(void **state)
{
	(void)state;
	ASSERT_VALUES("level: %s\n", get_level, { "low", NULL, 0 }, { "high", NULL, 2 },
		      { "'high'", NULL, 2 }, { "High", "unknown-value", 1 },
		      { "''", "unknown-value", 1 }, { "x", "unknown-value", 1 },
		      { "[low]", "wrong-type", 1 }, { "", NULL, 1 });
	ASSERT_VALUES("rules: [{id: a, grant: {profile: p}, trial: %s}]\n", get_trial,
		      { "true", NULL, 1 }, { "false", NULL, 0 }, { "yes", "invalid-value", 0 },
		      { "True", "invalid-value", 0 }, { "on", "invalid-value", 0 },
		      { "1", "invalid-value", 0 }, { "'true'", "invalid-value", 0 },
		      { "[]", "wrong-type", 0 });
}

/* `no`, numbers and dates stay texts where a text is asked for. */
static void test_texts(void **state)
{
	static const struct {
		const char *text, *value, *code;
		bool verbatim;
	} cases[] = {
		{ "plain text", "plain text", NULL, true },
		{ "no", "no", NULL, true },
		{ "007", "007", NULL, true },
		{ "'quoted'", "quoted", NULL, true },
		{ "\"quoted\"", "quoted", NULL, true },
		{ "''", "", NULL, true },
		{ "'it''s'", "it's", NULL, false },
		/* libfyaml 0.7.12 loses memory here when asked for the text in one piece */
		{ "'a''b''c''d''e''f''g''h''i''j'", "a'b'c'd'e'f'g'h'i'j", NULL, false },
		{ "'two\n  lines''\n\n  more'", "two lines'\nmore", NULL, false },
		{ "\"a\\tb\"", "a\tb", NULL, false },
		{ "\"\\u00e4\"", "\xc3\xa4", NULL, false },
		{ "two\n  lines", "two lines", NULL, false },
		{ "|\n  block\n", "block\n", NULL, true },
		{ ">-\n  folded\n  text\n", "folded text", NULL, false },
		{ "1234567890123456789012345678901234567890",
		  "1234567890123456789012345678901234567890", NULL, true },
		{ "12345678901234567890123456789012345678901", "untitled", "out-of-range", false },
		{ "", "untitled", NULL, false },
		{ "{}", "untitled", "wrong-type", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct loaded l;
		char text[256];

		snprintf(text, sizeof(text), "title: %s\n", cases[i].text);
		sample_load_text(&l, text);
		if (diagnostics_count(l.list) != (cases[i].code != NULL))
			fail_msg("'%s': %s", text, l.findings);
		if (cases[i].code)
			assert_string_equal(diagnostics_get(l.list, 0)->code, cases[i].code);
		if (strcmp(l.sample.title.text, cases[i].value) != 0 ||
		    l.sample.title.verbatim != cases[i].verbatim)
			fail_msg("'%s': got '%s', verbatim %d", text, l.sample.title.text,
				 l.sample.title.verbatim);
		sample_free(&l);
	}
}

/* Offsets into a text are offsets in the file, where both are the same. */
static void test_located_at(void **state)
{
	struct loaded l;
	struct position at;

	(void)state;
	sample_load_text(&l, "title: \"(dept=Sales)\"\nstate: '/it''s'\ndomains:\n- |\n  (a=b)\n");
	at = located_at(&l.sample.title, 1, 4);
	assert_int_equal(at.line, 1);
	assert_int_equal(at.column, 10);
	assert_int_equal(at.width, 4);
	at = located_at(&l.sample.title, 99, 99);
	assert_int_equal(at.column, 9 + 12);
	assert_int_equal(at.width, 1);
	at = located_at(&l.sample.state, 3, 1);
	assert_int_equal(at.column, 9);
	assert_int_equal(at.width, 6);
	at = located_at(&l.sample.domains.items[0], 1, 1);
	assert_int_equal(at.line, 5);
	assert_int_equal(at.column, 4);
	sample_free(&l);
}

static void test_lists(void **state)
{
	struct loaded l;

	(void)state;
	sample_load_text(&l, "domains: one\n");
	assert_string_equal(l.findings, "");
	assert_int_equal(l.sample.domains.count, 1);
	sample_free(&l);
	/* nothing behind the colon: given, and empty */
	sample_load_text(&l, "domains:\nrules:\nlimits: {admins: }\nprecedence:\n");
	assert_string_equal(l.findings, "");
	assert_non_null(l.sample.domains.items);
	assert_int_equal(l.sample.domains.count, 0);
	assert_non_null(l.sample.rules.items);
	assert_int_equal(l.sample.limits.admins.count, 0);
	assert_int_equal(l.sample.precedence.at.line, 4);
	sample_free(&l);
	/* not given */
	sample_load_text(&l, "");
	assert_null(l.sample.domains.items);
	assert_null(l.sample.rules.items);
	assert_null(l.sample.precedence.items);
	assert_int_equal(l.sample.limits.at.file, 0);
	assert_int_equal(l.sample.limits.admins.count, 2);
	assert_string_equal(l.sample.limits.admins.items[1].text, "o'hara");
	sample_free(&l);
	sample_load_text(&l, "limits:\n");
	assert_int_equal(l.sample.limits.at.file, 1);
	assert_int_equal(l.sample.limits.body, 65536);
	sample_free(&l);
	sample_load_text(&l,
			 "rules: {id: a}\nsources: x\nlimits: []\nprecedence: [a]\ndomains: {}\n");
	assert_int_equal(diagnostics_errors(l.list), 5);
	sample_free(&l);
	sample_load_text(&l, "rules: [a, [], ~]\nsources:\n- ~\ndomains: [[], {}, ~, ok]\n");
	assert_int_equal(diagnostics_errors(l.list), 8); /* the eighth: more than 3 domains */
	assert_int_equal(l.sample.domains.count, 1);
	assert_int_equal(l.sample.rules.count, 0);
	sample_free(&l);
}

static void test_pairs(void **state)
{
	struct loaded l;

	(void)state;
	sample_load_text(&l, "precedence:\n  mail: [a, b]\n  'phone': c\n  none:\n  bad: {}\n"
			     "  worse: [[]]\n");
	assert_int_equal(diagnostics_errors(l.list), 2);
	assert_int_equal(l.sample.precedence.count, 4);
	assert_string_equal(l.sample.precedence.items[0].name.text, "mail");
	assert_int_equal(l.sample.precedence.items[0].values.count, 2);
	assert_string_equal(l.sample.precedence.items[1].values.items[0].text, "c");
	assert_int_equal(l.sample.precedence.items[1].name.at.column, 4);
	assert_int_equal(l.sample.precedence.items[2].values.count, 0);
	sample_free(&l);
}

static void test_variants(void **state)
{
	struct loaded l;

	(void)state;
	sample_load_text(
		&l,
		"sources:\n- {type: csv, name: a, path: p.csv}\n"
		"- {type: ldap, name: b, servers: x, attributes: [mail, {name: cn, from: CN}]}\n"
		"- {type: nis, name: c, whatever: 1, interval: 1h}\n- {name: d}\n");
	assert_int_equal(diagnostics_errors(l.list), 2);
	assert_string_equal(diagnostics_get(l.list, 0)->message, "unknown value 'nis' for 'type'");
	assert_string_equal(diagnostics_get(l.list, 1)->message, "missing key 'type'");
	assert_string_equal(diagnostics_get(l.list, 1)->hint, "One of: ldap, csv.");
	assert_int_equal(l.sample.sources.count, 4);

	struct sample_source **sources = l.sample.sources.items;
	const struct sample_csv *csv = (const struct sample_csv *)sources[0];
	const struct sample_ldap *ldap = (const struct sample_ldap *)sources[1];
	const struct sample_attribute *attributes = ldap->base.attributes.items;
	AUTO(strbuf) struct strbuf expected = STRBUF(8192);
	char *here = getcwd(NULL, 0);

	strbuf_printf(&expected, "%s/p.csv", here);
	free(here);
	assert_string_equal(csv->path.text, strbuf_text(&expected));
	assert_int_equal(csv->base.interval_s, 300);
	assert_string_equal(ldap->servers.items[0].text, "x");
	assert_int_equal(ldap->page_size, 1000);
	assert_int_equal(ldap->base.attributes.count, 2);
	assert_string_equal(attributes[0].name.text, "mail");
	assert_null(attributes[0].from.text);
	assert_string_equal(attributes[1].from.text, "CN");
	assert_int_equal(sources[2]->interval_s, 3600);
	sample_free(&l);
}

/* The texts of the configuration outlive the document. */
static void test_lifetime(void **state)
{
	struct loaded l;

	(void)state;
	sample_load_text(&l, "title: kept\nprecedence: {mail: a}\n");
	document_destroy(l.document);
	l.document = NULL;
	assert_string_equal(l.sample.title.text, "kept");
	assert_string_equal(l.sample.precedence.items[0].name.text, "mail");
	sample_free(&l);
}

/* A file that gives every default says the same as an empty one. */
static void test_defaults(void **state)
{
	static const char text[] = "title: untitled\nstate: /var/lib/sample\nport: 8080\n"
				   "level: medium\nlimits:\n  removals: 5%\n  body: 64KiB\n"
				   "  admins: [root, \"o'hara\"]\n";
	struct loaded given, empty;

	(void)state;
	sample_load_text(&given, text);
	sample_load_text(&empty, "");
	assert_string_equal(given.findings, "");
	assert_string_equal(empty.findings, "");
	assert_string_equal(given.sample.title.text, empty.sample.title.text);
	assert_string_equal(given.sample.state.text, empty.sample.state.text);
	assert_int_equal(given.sample.port, empty.sample.port);
	assert_int_equal(given.sample.level, empty.sample.level);
	assert_int_equal(given.sample.limits.removals, empty.sample.limits.removals);
	assert_int_equal(given.sample.limits.body, empty.sample.limits.body);
	assert_int_equal(given.sample.limits.admins.count, empty.sample.limits.admins.count);
	assert_string_equal(given.sample.limits.admins.items[1].text,
			    empty.sample.limits.admins.items[1].text);
	assert_int_equal(empty.sample.title.at.file, 0);
	assert_int_equal(given.sample.title.at.file, 1);
	sample_free(&given);
	sample_free(&empty);
}

static void test_table_find(void **state)
{
	const struct option *sources = option_table_find(&sample_table, "sources");
	const struct option *path;

	(void)state;
	assert_non_null(sources);
	assert_null(option_table_find(&sample_table, "source"));
	/* through the base */
	path = option_table_find(sources->table->variants[0], "interval");
	assert_non_null(path);
	assert_int_equal(path->type, OPTION_SECONDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twenty_mistakes), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_durations),	cmocka_unit_test(test_words),
		cmocka_unit_test(test_texts),		cmocka_unit_test(test_located_at),
		cmocka_unit_test(test_lists),		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_variants),	cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_defaults),	cmocka_unit_test(test_table_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
