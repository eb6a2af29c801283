/* CSV: what RFC 4180 allows, what is refused, and that the rest proceeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/file.h>

#include "support.h"

static const struct wanted_attribute usual[] = {
	{ "cn", "Full Name" },
	{ "costCenter", "costCenter" },
	{ "mail", "mail" },
	{ "trainings", "trainings" },
};

static const struct wanted_group groups[] = {
	{ 1, "sales" }, { 2, "r&d" }, { 3, "nobody" }, { 9, "sales" }
};

static struct csv_source make_source(const char *path)
{
	static struct located many[] = { LOCATED("trainings") };

	return (struct csv_source){
		.common = support_source("one"),
		.path = LOCATED(path),
		.key = LOCATED("id"),
		.groups = LOCATED("groups"),
		.separator = LOCATED(";"),
		.delimiter = LOCATED(","),
		.multivalued = { 1, many },
	};
}

static int read_source(const struct csv_source *source, struct seen *seen,
		       struct read_result *result, struct err *err)
{
	struct intake intake = support_intake(seen);

	return csv_read(source, usual, ARRAY_LEN(usual), groups, ARRAY_LEN(groups), &intake, result,
			err);
}

static struct read_result read_text(const char *text, size_t size, struct seen *seen)
{
	struct csv_source source = make_source(support_write("t.csv", text, size));
	struct read_result result;
	struct err err;

	support_seen_clear(seen);
	if (read_source(&source, seen, &result, &err) < 0)
		fail_msg("%s", err.text);
	return result;
}

static const struct row {
	const char *name, *text;
	size_t size; /* 0: a text */
	const char *identities, *quarantined;
	const char *incomplete; /* reason; NULL: complete */
} rows[] = {
	{ "plain", "id,Full Name,mail,groups\n1,Anna,a@x,sales\n2,Ben,,\n", 0,
	  "1 cn=Anna mail=a@x [1,9]\n2 cn=Ben []\n", "", NULL },
	{ "columns in any order and case", "GROUPS,other,ID,full name\nsales;R&D ; x,?,1,Anna\n", 0,
	  "1 cn=Anna [1,2,9]\n", "", NULL },
	{ "CRLF and no last break", "id,mail\r\n1,a\r\n2,b", 0,
	  "1 mail=a [] groups?\n2 mail=b [] groups?\n", "", NULL },
	{ "the last field may be cut", "id,groups\n1,sales\n2,sales", 0,
	  "1 [1,9]\n2 [1,9] groups?\n", "", NULL },
	{ "byte order mark", "\xef\xbb\xbfid,groups\n1,\n", 0, "1 []\n", "", NULL },
	{ "quotes", "id,Full Name,groups\n1,\"A \"\"x\"\", B\",\"sales;\"\n\"2\",\"\",\"\"\n", 0,
	  "1 cn=A \"x\", B [1,9]\n2 []\n", "", NULL },
	{ "line break in quotes", "id,Full Name,groups\n1,\"A\r\nB\",\n2,C,\n", 0,
	  "1 cn=A\nB []\n2 cn=C []\n", "", NULL },
	{ "carriage return alone", "id,Full Name,groups\n1,A\rB,\n", 0, "1 cn=A\rB []\n", "",
	  NULL },
	{ "blank lines", "id,groups\n\n1,\n\r\n2,\n\n", 0, "1 []\n2 []\n", "", NULL },
	{ "several values in one field", "id,trainings,groups\n1, a ;;b,\n", 0,
	  "1 trainings=a|b []\n", "", NULL },
	{ "separator is text elsewhere", "id,Full Name,groups\n1,a;b,\n", 0, "1 cn=a;b []\n", "",
	  NULL },
	{ "no groups column: nothing is known", "id,mail\n1,a\n", 0, "1 mail=a [] groups?\n", "",
	  NULL },
	{ "only a header", "id,groups\n", 0, "", "", "empty-result" },

	{ "empty file", "", 0, "", "", "bad-header" },
	{ "no key column", "name,mail\n1,a\n", 0, "", "", "bad-header" },
	{ "column twice", "id,mail,MAIL\n1,a,b\n", 0, "", "", "bad-header" },
	{ "unknown columns twice", "id,x,x,groups\n1,a,b,\n", 0, "1 []\n", "", NULL },
	{ "quote in the header", "id,\"ma\"il\n1,a\n", 0, "", "", "bad-header" },
	{ "header not UTF-8", "id\xff,groups\n1,a\n", 0, "", "", "bad-header" },
	{ "too few fields", "id,mail,groups\n1,a\n2,b,\n", 0, "2 mail=b []\n",
	  "2 wrong-columns 1\n", NULL },
	{ "too many fields", "id,mail,groups\n1,a,,\n2,b,\n", 0, "2 mail=b []\n",
	  "2 wrong-columns 1\n", NULL },
	{ "quote inside a field", "id,mail,groups\n1,a\"b,\n2,b,\n", 0, "2 mail=b []\n",
	  "2 malformed-row 1\n", NULL },
	{ "text behind a quote", "id,mail,groups\n1,\"a\"b,\n2,b,\n", 0, "2 mail=b []\n",
	  "2 malformed-row 1\n", NULL },
	{ "quote that is not closed", "id,mail,groups\n1,\"a,\n2,b,\n3,c,\n", 0,
	  "2 mail=b []\n3 mail=c []\n", "2 malformed-row 1\n", NULL },
	{ "quote that a later one closes", "id,mail,groups\n1,\"a,\n2,b,\n3,\"c\",\n", 0,
	  "2 mail=b []\n3 mail=c []\n", "2 malformed-row 1\n", NULL },
	{ "quote that a later one closes at a field's end",
	  "id,mail,groups\n1,\"a,\n2,b,\n3,\",\n4,d,\n", 0, "1 mail=a,\n2,b,\n3, []\n4 mail=d []\n",
	  "", NULL },
	{ "several swallowed rows come back", "id,mail,groups\n1,x,\"a\n2,b,\n3,c\",y,\n4,d,\n", 0,
	  "2 mail=b []\n4 mail=d []\n", "2 wrong-columns 1\n4 malformed-row 3\n", NULL },
	{ "file ends inside quotes", "id,mail,groups\n1,a,\n2,\"b", 0, "1 mail=a []\n",
	  "3 malformed-row 2\n", "cut-short" },
	{ "file ends in mid-row", "id,mail,groups\n1,a,\n2,b", 0, "1 mail=a []\n",
	  "3 wrong-columns 2\n", "cut-short" },
	{ "missing key", "id,mail,groups\n,a,\n  ,b,\n3,c,\n", 0, "3 mail=c []\n",
	  "2 missing-key\n3 missing-key\n", NULL },
	{ "duplicate key", "id,mail,groups\n1,a,\n1 ,b,\n2,c,\n", 0, "1 mail=a []\n2 mail=c []\n",
	  "3 duplicate-key\n", NULL },
	{ "keys differ in case", "id,groups\naB,\nAb,\n", 0, "aB []\nAb []\n", "", NULL },
	{ "invalid UTF-8", "id,mail,groups\n1,a\xff,\n2,b,\n", 0, "2 mail=b []\n",
	  "2 invalid-utf8 1\n", NULL },
	{ "invalid UTF-8 in the key", "id,mail,groups\n\xff,a,\n2,b,\n", 0, "2 mail=b []\n",
	  "2 invalid-utf8\n", NULL },
	{ "NUL", "id,mail,groups\n1,a\0b,\n2,b,\n", sizeof("id,mail,groups\n1,a\0b,\n2,b,\n") - 1,
	  "2 mail=b []\n", "2 nul-byte 1\n", NULL },
};

static void test_rows(void **state)
{
	struct seen *seen = support_seen();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct read_result result = read_text(rows[i].text, rows[i].size, seen);

		if (strcmp(strbuf_text(&seen->identities), rows[i].identities) != 0)
			fail_msg("%s:\n%s", rows[i].name, strbuf_text(&seen->identities));
		if (strcmp(strbuf_text(&seen->quarantined), rows[i].quarantined) != 0)
			fail_msg("%s: quarantined\n%s", rows[i].name,
				 strbuf_text(&seen->quarantined));
		if (strcmp(result.reason, rows[i].incomplete ? rows[i].incomplete : "") != 0)
			fail_msg("%s: %s: %s", rows[i].name, result.reason, result.detail);
		assert_int_equal(result.complete, rows[i].incomplete == NULL);
	}
	support_seen_free(seen);
}

static void test_groups(void **state)
{
	struct seen *seen = support_seen();

	(void)state;
	read_text("id,groups\n1,sales;SALES; Sales\n2,R&D;=;a=b,,\n3,\"r&d;sales\"\n3,sales\n4,x\n",
		  0, seen);
	assert_string_equal(strbuf_text(&seen->identities), "1 [1,9]\n3 [1,2,9]\n4 []\n");
	assert_string_equal(strbuf_text(&seen->groups),
			    "3 gone 0\n2 found 1\n1 found 2\n9 found 2\n");
	support_seen_free(seen);
}

static void test_no_groups_wanted(void **state)
{
	struct csv_source source = make_source(support_write("n.csv", "id,mail\n1,a\n", 0));
	struct seen *seen = support_seen();
	struct intake intake = support_intake(seen);
	struct read_result result;
	struct err err;

	(void)state;
	assert_int_equal(
		csv_read(&source, usual, ARRAY_LEN(usual), NULL, 0, &intake, &result, &err), 0);
	assert_string_equal(strbuf_text(&seen->identities), "1 mail=a []\n");
	support_seen_free(seen);
}

static void test_settings(void **state)
{
	struct located left[] = { LOCATED("status=left") };
	struct csv_source source = make_source(
		support_write("s.csv", "nr\tteams\tstatus\n7\tsales|x\tLEFT\n8\tr&d\tactive\n", 0));
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	source.key = LOCATED("nr");
	source.groups = LOCATED("teams");
	source.separator = LOCATED("|");
	source.delimiter = LOCATED("\t");
	source.disabled = (struct located_list){ 1, left };
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_string_equal(strbuf_text(&seen->identities),
			    "7 [1,9] disabled:status=left\n8 [2]\n");
	support_seen_free(seen);
}

static void test_long_rows(void **state)
{
	static const struct {
		size_t size;
		const char *open, *quarantined;
	} cases[] = {
		{ FILE_LINE_MAX - 1024, "", "" },
		{ 10u * 1024 * 1024, "", "2 line-too-long 1\n" },
		{ FILE_LINE_MAX + 1, "", "2 line-too-long 1\n" },
		{ FILE_LINE_MAX + 1, "\"", "2 line-too-long 1\n" },
	};
	struct seen *seen = support_seen();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf text = STRBUF(64u * 1024 * 1024);
		struct read_result result;

		strbuf_printf(&text, "id,x,groups\n1,%s", cases[i].open);
		for (size_t n = 0; n < cases[i].size; n++)
			strbuf_putc(&text, 'a');
		strbuf_puts(&text, ",\n2,b,\n");
		result = read_text(text.data, text.size, seen);
		assert_true(result.complete);
		assert_string_equal(strbuf_text(&seen->quarantined), cases[i].quarantined);
		assert_string_equal(strbuf_text(&seen->identities),
				    cases[i].quarantined[0] ? "2 []\n" : "1 []\n2 []\n");
	}
	support_seen_free(seen);
}

static void test_many_columns(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);
	struct seen *seen = support_seen();

	(void)state;
	strbuf_puts(&text, "id,groups\n1,");
	for (int i = 0; i < 10001; i++)
		strbuf_putc(&text, ',');
	strbuf_puts(&text, "\n2,\n");
	assert_true(read_text(text.data, text.size, seen).complete);
	assert_string_equal(strbuf_text(&seen->identities), "2 []\n");
	support_seen_free(seen);
}

/* Many quotes that are not closed: time stays in proportion to the file. */
static void test_many_open_quotes(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(64u << 20);
	struct seen *seen = support_seen();

	(void)state;
	strbuf_puts(&text, "id,mail,groups\n");
	for (int i = 0; i < 100000; i++)
		strbuf_printf(&text, "%d,\"x,\n", i);
	assert_true(read_text(text.data, text.size, seen).quarantined > 1000);
	support_seen_free(seen);
}

static void test_every_cut(void **state)
{
	static const char text[] = "id,Full Name,groups\n1,\"A\n\"\"B\",sales\n2,C,\n";
	struct seen *seen = support_seen();

	(void)state;
	for (size_t size = 1; size < sizeof(text); size++)
		read_text(text, size, seen);
	support_seen_free(seen);
}

static void test_every_allocation_may_fail(void **state)
{
	struct csv_source source = make_source(
		support_write("m.csv", "id,Full Name,groups\n1,A,sales\n2,\"x\ny\",r&d\n3,x\n", 0));
	int identities = 0;
	struct intake intake = support_counting_intake(&identities);
	struct read_result result;
	struct err err;
	long n = 0;

	(void)state;
	for (;; n++) {
		int status;

		identities = 0;
		alloc_fail_after(n);
		status = csv_read(&source, usual, ARRAY_LEN(usual), groups, ARRAY_LEN(groups),
				  &intake, &result, &err);
		if (alloc_fail_after(-1) >= 0) {
			assert_int_equal(status, 0);
			assert_int_equal(identities, 2);
			break;
		}
		/* A read without memory never looks like a whole one with fewer people. */
		if (status == 0 && result.complete)
			assert_true(identities == 2 || result.quarantined > 1);
	}
	assert_true(n > 10);
}

static void test_unreadable(void **state)
{
	struct csv_source source = make_source("/nonexistent/file.csv");
	struct seen *seen = support_seen();
	struct read_result result;
	struct err err;

	(void)state;
	assert_int_equal(read_source(&source, seen, &result, &err), 0);
	assert_false(result.complete);
	assert_string_equal(result.reason, "not-found");
	support_seen_free(seen);
}

static int teardown(void **state)
{
	(void)state;
	support_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_no_groups_wanted),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_long_rows),
		cmocka_unit_test(test_many_columns),
		cmocka_unit_test(test_many_open_quotes),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
