/* Files become documents: refusals with their places, merging, includes. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

/* "file:line:column code; …" */
static void assert_findings(const struct loaded *loaded, const char *name, const char *expected)
{
	AUTO(strbuf) struct strbuf got = STRBUF(1024 * 1024);

	for (size_t i = 0; i < diagnostics_count(loaded->list); i++) {
		const struct diagnostic *d = diagnostics_get(loaded->list, i);

		strbuf_printf(&got, "%s%u:%u:%u %s", i ? "; " : "", d->at.file, d->at.line,
			      d->at.column, d->code);
	}
	if (strcmp(strbuf_text(&got), expected) != 0)
		fail_msg("%s: expected '%s', got '%s'\n%s", name, expected, strbuf_text(&got),
			 loaded->findings);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *name, *text, *expected;
	} cases[] = {
		{ "nothing", "", "" },
		{ "only a comment", "# nothing\n", "" },
		{ "an empty document", "---\n", "" },
		{ "one document with markers", "%YAML 1.2\n---\ntitle: a\n... # end\n\n", "" },
		{ "a byte order mark", "\xef\xbb\xbftitel: a\n", "1:1:1 unknown-key" },
		{ "CR LF", "title: a\r\ntitel: b\r\n", "1:2:1 unknown-key" },
		{ "CR alone", "title: a\rtitel: b\r\n", "1:1:9 control-character" },
		{ "a tab as indentation", "limits:\n\tbody: 1KiB\n", "1:2:1 yaml-syntax" },
		{ "a tab behind the colon", "title:\ta\n", "" },
		{ "a second document", "title: a\n---\ntitle: b\n", "1:2:1 second-document" },
		{ "a second document, empty", "title: a\n---\n", "1:2:1 second-document" },
		{ "behind the end", "title: a\n...\nlevel: low\n", "1:3:1 second-document" },
		{ "a directive behind the end", "title: a\n...\n%FOO\n", "1:3:1 second-document" },
		{ "empty first document", "---\n---\ntitle: a\n", "1:2:1 second-document" },
		{ "the first document is still checked", "titel: a\n---\ntitle: b\n",
		  "1:1:1 unknown-key; 1:2:1 second-document" },
		{ "a marker in a text", "title: \"a\n---\nb\"\n",
		  "1:1:9 yaml-syntax; 1:2:1 second-document" },
		{ "YAML 1.1", "%YAML 1.1\n---\ntitle: a\n", "1:1:1 yaml-directive" },
		{ "a tag directive", "%TAG ! tag:x,2000:\n---\ntitle: a\n",
		  "1:1:1 yaml-directive" },
		{ "an anchor", "title: &a x\n", "1:1:8 yaml-anchor" },
		{ "an alias", "title: &a x\nstate: *a\n", "1:1:8 yaml-anchor; 1:2:8 yaml-alias" },
		{ "an unknown alias", "title: *a\n", "1:1:8 yaml-alias" },
		{ "a tag", "title: !!str x\n", "1:1:8 yaml-tag" },
		{ "the local tag alone", "title: ! x\n", "1:1:8 yaml-tag" },
		{ "a merge key", "<<: *a\n", "1:1:1 unknown-key; 1:1:5 yaml-alias" },
		{ "billion laughs", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
		  "1:1:1 unknown-key; 1:1:4 yaml-anchor; 1:2:1 unknown-key; 1:2:4 yaml-anchor; "
		  "1:2:8 yaml-alias; 1:2:12 yaml-alias; 1:3:1 unknown-key; 1:3:4 yaml-anchor; "
		  "1:3:8 yaml-alias; 1:3:12 yaml-alias" },
		{ "duplicates, all of them", "title: a\nport: 1\ntitle: b\nport: 2\ntitle: c\n",
		  "1:3:1 duplicate-key; 1:4:1 duplicate-key; 1:5:1 duplicate-key" },
		{ "duplicates inside", "limits: {body: 1KiB, \"body\": 2KiB}\n",
		  "1:1:23 duplicate-key" },
		{ "duplicates among many keys",
		  "precedence: {a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, c: y, i: z}\n",
		  "1:1:68 duplicate-key; 1:1:74 duplicate-key" },
		{ "a key that is nothing", ": a\n", "1:1:1 wrong-type" },
		{ "a key that is a list", "? [a]\n: b\n", "1:1:3 wrong-type" },
		{ "a list as the root", "- a\n", "1:1:1 wrong-type" },
		{ "a text as the root", "hello\n", "1:1:1 wrong-type" },
		{ "invalid UTF-8", "title: a\nstate: \"b\xff\"\n", "1:2:10 invalid-utf8" },
		{ "an overlong form", "title: \xc0\x80\n", "1:1:8 invalid-utf8" },
		{ "a surrogate", "title: \xed\xa0\x80\n", "1:1:8 invalid-utf8" },
		{ "half a character", "title: \xe4\xb8\n", "1:1:8 invalid-utf8" },
		{ "a control character", "title: a\x1b[31m\n", "1:1:9 control-character" },
		{ "NUL by escape", "title: \"a\\0b\"\n", "1:1:9 control-character" },
		{ "a surrogate by escape", "title: \"\\ud800\"\n", "1:1:9 yaml-syntax" },
		{ "an open bracket", "title: a\ndomains: [a,\nport: 1\n", "1:3:1 yaml-syntax" },
		{ "what stood before a syntax error is checked", "titel: a\nport: 0\ntitle: \"x\n",
		  "1:1:1 unknown-key; 1:2:7 out-of-range; 1:3:9 yaml-syntax" },
		{ "what a syntax error cut off is not missing",
		  "rules:\n- id: a\n- id: b\n  grant: [\n",
		  "1:2:3 missing-key; 1:5:1 yaml-syntax" },
		/* libfyaml 0.7.12 frees a key twice on these */
		{ "a tab before a list in an explicit key", "? a:\t- b\n", "1:1:4 tab" },
		{ "a tab before a colon", "?\n x: \t :\n", "1:2:3 tab" },
		{ "a tab before a question mark", "- ? [a]:\t?", "1:1:8 tab" },
		{ "a tab before a folded text", "? a:\t>\n", "1:1:4 tab" },
		{ "a tab before a literal text", "a:\t|\n b\n", "1:1:2 tab" },
		{ "a tab before a dash at the end", "? a:\t-", "1:1:4 tab" },
		{ "a tab before a number, or in a comment", "title:\t-5\n  # x:\t- y\n", "" },
		{ "include in the main text", "include: conf.d/*.yaml\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct loaded loaded;

		sample_load_text(&loaded, cases[i].text);
		assert_findings(&loaded, cases[i].name, cases[i].expected);
		sample_free(&loaded);
	}
}

static void test_nul_byte(void **state)
{
	struct loaded loaded;

	(void)state;
	sample_load_bytes(&loaded, "title: a\nst\0te: b\n", 18);
	assert_findings(&loaded, "NUL", "1:2:3 control-character");
	assert_true(document_incomplete(loaded.document));
	sample_free(&loaded);
}

/* text repeated, between head and tail */
static char *repeated(const char *head, const char *text, size_t count, const char *tail)
{
	struct strbuf buf = STRBUF(64 * 1024 * 1024);

	strbuf_puts(&buf, head);
	for (size_t i = 0; i < count; i++)
		strbuf_puts(&buf, text);
	strbuf_puts(&buf, tail);
	return strbuf_take(&buf);
}

static void assert_repeated(const char *name, const char *head, const char *text, size_t count,
			    const char *tail, const char *expected)
{
	char *whole = repeated(head, text, count, tail);
	struct loaded loaded;

	sample_load_text(&loaded, whole);
	assert_findings(&loaded, name, expected);
	sample_free(&loaded);
	free(whole);
}

static void test_bounds(void **state)
{
	(void)state;
	assert_repeated("8 MiB", "", "#234567\n", 1024 * 1024, "", "");
	assert_repeated("a byte more", "", "#234567\n", 1024 * 1024, "#", "0:0:0 too-large");
	assert_repeated("long line", "title: a\n#", "x", 256 * 1024 - 1, "\n", "");
	assert_repeated("longer line", "title: a\n#", "x", 256 * 1024, "\n", "1:2:1 too-large");
	assert_repeated("depth 64", "x: ", "[", 63, "", "1:1:1 unknown-key; 1:1:66 yaml-syntax");
	assert_repeated("depth bomb", "x: ", "[", 200000, "", "1:1:1 unknown-key; 1:1:67 too-deep");
	assert_repeated("depth bomb of mappings", "", "{a: ", 50000, "",
			"1:1:2 unknown-key; 1:1:257 too-deep");
}

static void test_too_many_nodes(void **state)
{
	char *text = repeated("domains:\n", "- a\n", 2090000, "");
	struct document_file files[2] = { { "a", text, strlen(text) },
					  { "b", text, strlen(text) } };
	struct diagnostics *list = diagnostics_create();
	struct document *document = document_load_files(files, 2, list);

	(void)state;
	assert_int_equal(diagnostics_errors(list), 1);
	assert_string_equal(diagnostics_get(list, 0)->code, "too-large");
	assert_int_equal(diagnostics_get(list, 0)->at.file, 2);
	assert_true(document_incomplete(document));
	document_destroy(document);
	diagnostics_destroy(list);
	free(text);
}

/* 1,000 are kept, the rest is counted. */
static void test_many_findings(void **state)
{
	char *text = repeated("domains:\n", "- *x\n", 5000, "");
	struct loaded loaded;
	const struct diagnostic *last;

	(void)state;
	sample_load_text(&loaded, text);
	assert_int_equal(diagnostics_errors(loaded.list), 5001); /* more than 3 items */
	assert_int_equal(diagnostics_count(loaded.list), 1001);
	last = diagnostics_get(loaded.list, 1000);
	assert_string_equal(last->message, "4001 more findings are not shown");
	assert_int_equal(last->severity, SEVERITY_ERROR);
	assert_null(diagnostics_get(loaded.list, 1001));
	sample_free(&loaded);
	free(text);
}

static void test_merge(void **state)
{
	struct loaded l;

	(void)state;
	sample_load(
		&l, "main.yaml",
		"include: x\nrules:\n- {id: a, grant: {profile: p}}\nlimits: {body: 2KiB}\n"
		"domains:\n",
		"a.yaml",
		"rules:\n- {id: b, grant: {profile: p}}\nlimits:\n  removals: 7%\ndomains: [x]\n",
		"b.yaml", "rules: [{id: c, grant: {profile: p}}]\ntitle: t\nprecedence:\n", NULL);
	assert_string_equal(l.findings, "");
	assert_int_equal(l.sample.rules.count, 3);

	const struct sample_rule *rules = l.sample.rules.items;

	assert_string_equal(rules[0].id.text, "a");
	assert_string_equal(rules[1].id.text, "b");
	assert_string_equal(rules[2].id.text, "c");
	assert_int_equal(rules[2].id.at.file, 3);
	assert_int_equal(l.sample.limits.body, 2048);
	assert_int_equal(l.sample.limits.removals, 7);
	assert_int_equal(l.sample.domains.count, 1);
	assert_string_equal(l.sample.title.text, "t");
	assert_string_equal(document_file_path(l.document, 3), "b.yaml");
	assert_null(document_file_path(l.document, 4));
	assert_null(document_file_path(l.document, 0));
	sample_free(&l);
}

static void append(struct loaded *l, const char *text, size_t times)
{
	const struct document_file file = { "store", text, strlen(text) };

	for (size_t i = 0; i < times; i++)
		assert_int_equal(document_append(l->document, &file, 1, l->list), 0);
}

/* What is put behind the files continues their lists, and nothing else. */
static void test_append(void **state)
{
	static const char text[] = "rules:\n- {\"id\":\"z\",\"grant\":{\"profile\":\"p\"}}\n"
				   "domains: [y]\ntitle: other\nlimits: {body: 9KiB}\n";
	struct document_file *files;
	struct loaded l;
	size_t count;

	(void)state;
	sample_load(&l, "main.yaml", "rules:\n- {id: a, grant: {profile: p}}\ntitle: t\n", "a.yaml",
		    "limits: {body: 2KiB}\n", NULL);
	assert_int_equal(document_own_files(l.document), 2);
	append(&l, text, 2);
	options_parse(&sample_table, l.document, l.arena, &l.sample, l.list);
	assert_int_equal(diagnostics_count(l.list), 0);
	assert_int_equal(l.sample.rules.count, 3);

	const struct sample_rule *rules = l.sample.rules.items;

	assert_string_equal(rules[0].id.text, "a");
	assert_string_equal(rules[1].id.text, "z");
	assert_int_equal(rules[1].at.file, 3);
	assert_int_equal(rules[2].at.file, 4);
	assert_int_equal(rules[2].at.line, 2);
	assert_int_equal(rules[2].at.column, 3);
	assert_int_equal(l.sample.domains.count, 2);
	assert_string_equal(l.sample.title.text, "t");
	assert_int_equal(l.sample.limits.body, 2048);
	assert_int_equal(document_own_files(l.document), 2);
	assert_true(document_texts(l.document, l.arena, &files, &count));
	assert_int_equal(count, 2);
	assert_string_equal(files[1].path, "a.yaml");
	assert_string_equal(document_file_path(l.document, 4), "store");
	sample_free(&l);
}

/* A key that the files fill with something else is the files' mistake alone. */
static void test_append_beside_mistakes(void **state)
{
	const struct document_file file = { "store", "rules: [{id: z}]\n", 17 };
	struct loaded l;

	(void)state;
	sample_load_text(&l, "rules: a\n");
	assert_findings(&l, "files alone", "1:1:8 wrong-type");
	append(&l, "rules: [{id: z}]\n", 1);
	assert_findings(&l, "appended", "1:1:8 wrong-type");
	for (unsigned i = 1; i < DOCUMENT_APPENDED_MAX; i++)
		assert_int_equal(document_append(l.document, &file, 1, l.list), 0);
	assert_int_equal(document_append(l.document, &file, 1, l.list), -1);
	sample_free(&l);
}

static void test_merge_conflicts(void **state)
{
	struct loaded l;

	(void)state;
	sample_load(&l, "main.yaml", "title: a\nlimits: {body: 2KiB}\nrules: []\nport: *x\n",
		    "a.yaml", "title: b\nlimits: {body: 3KiB}\nrules: {}\nport: 99\n", "b.yaml",
		    "include: y\nunknown: 1\n", NULL);
	assert_findings(&l, "conflicts",
			"1:4:7 yaml-alias; 2:1:1 duplicate-key; 2:2:10 duplicate-key; "
			"2:3:1 wrong-type; 3:1:1 include-nested; 3:2:1 unknown-key");
	assert_non_null(strstr(l.findings, "hint: It was first given in main.yaml, line 1."));
	assert_non_null(strstr(l.findings, "'rules' is a list in another file, a mapping here"));
	assert_string_equal(l.sample.title.text, "a");
	sample_free(&l);
}

static void test_syntax_error_per_file(void **state)
{
	struct loaded l;

	(void)state;
	sample_load(&l, "main.yaml", "title: \"a\n", "a.yaml", "port: [\n", "b.yaml", "level: }\n",
		    NULL);
	assert_findings(&l, "one each", "1:1:9 yaml-syntax; 2:2:1 yaml-syntax; 3:1:8 yaml-syntax");
	assert_true(document_incomplete(l.document));
	sample_free(&l);
}

/* ------------------------------------------------------------ files on disk */

struct folder {
	char path[64];
};

static void folder_write(const struct folder *folder, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder->path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int folder_setup(void **state)
{
	static struct folder folder;
	char path[256];

	/* wildcards in the folder's own name are no wildcards */
	strncpy(folder.path, "/tmp/rolebridge[x]-XXXXXX", sizeof(folder.path) - 1);
	if (!mkdtemp(folder.path))
		return -1;
	snprintf(path, sizeof(path), "%s/conf.d", folder.path);
	*state = &folder;
	return mkdir(path, 0700);
}

static int folder_teardown(void **state)
{
	static const char *const names[] = { "conf.d/a.yaml", "conf.d/b.yaml", "conf.d/B.yaml",
					     "conf.d/c.txt",  "main.yaml",     "extra.yaml",
					     "conf.d/d.yaml", "conf.d" };
	const struct folder *folder = *state;
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
		remove(path);
	}
	return rmdir(folder->path);
}

static void load_main(struct loaded *ret_loaded, const struct folder *folder, const char *text)
{
	char path[256];

	folder_write(folder, "main.yaml", text);
	snprintf(path, sizeof(path), "%s/main.yaml", folder->path);
	sample_load_path(ret_loaded, path);
}

#define RULE(id) "rules: [{id: " id ", grant: {profile: p}}]\n"

static void test_include_order(void **state)
{
	struct folder *folder = *state;
	struct loaded l;

	folder_write(folder, "conf.d/b.yaml", RULE("b"));
	folder_write(folder, "conf.d/a.yaml", RULE("a"));
	folder_write(folder, "conf.d/B.yaml", RULE("B"));
	folder_write(folder, "conf.d/c.txt", "not: [ yaml");
	folder_write(folder, "extra.yaml", RULE("extra"));
	load_main(&l, folder,
		  "include: [extra.yaml, conf.d/*.yaml, '*.yaml', conf.d/a.yaml]\n" RULE("main"));
	assert_string_equal(l.findings, "");
	assert_int_equal(l.sample.rules.count, 5);

	const struct sample_rule *rules = l.sample.rules.items;
	static const char *const order[] = { "main", "extra", "B", "a", "b" };

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		assert_string_equal(rules[i].id.text, order[i]);
	sample_free(&l);
}

static void test_include_problems(void **state)
{
	struct folder *folder = *state;
	struct loaded l;

	folder_write(folder, "conf.d/a.yaml", "include: b.yaml\n" RULE("a"));
	load_main(&l, folder,
		  "include:\n- none/*.yaml\n- conf.d/*.yml\n- missing.yaml\n- conf.d\n- {}\n- ''\n"
		  "- conf.d/a*\n- *x\n");
	assert_findings(
		&l, "problems",
		"1:4:3 include-unreadable; 1:5:3 include-unreadable; 1:6:3 wrong-type; 1:7:4 wrong-type; "
		"1:9:3 yaml-alias; 2:1:1 include-nested");
	/* a pattern that matches nothing is none of them */
	assert_int_equal(diagnostics_warnings(l.list), 0);
	assert_true(document_incomplete(l.document));
	assert_int_equal(l.sample.rules.count, 1);
	sample_free(&l);
}

static void test_include_absolute_and_null(void **state)
{
	struct folder *folder = *state;
	struct loaded l;
	char text[256];

	folder_write(folder, "conf.d/a.yaml", RULE("a"));
	/* the folder's name holds brackets: written literally in a glob */
	snprintf(text, sizeof(text),
		 "include: /tmp/rolebridge\\[x]%s/conf.d/a.yaml\nstate: here/x\n",
		 strrchr(folder->path, ']') + 1);
	load_main(&l, folder, text);
	assert_string_equal(l.findings, "");
	assert_int_equal(l.sample.rules.count, 1);
	snprintf(text, sizeof(text), "%s/here/x", folder->path);
	assert_string_equal(l.sample.state.text, text);
	assert_false(l.sample.state.verbatim);
	sample_free(&l);
	load_main(&l, folder, "include:\n");
	assert_string_equal(l.findings, "");
	sample_free(&l);
}

static void test_unreadable_main(void **state)
{
	struct loaded l;

	(void)state;
	sample_load_path(&l, "/nonexistent/rolebridge.yaml");
	assert_null(l.document);
	assert_int_equal(diagnostics_errors(l.list), 1);
	assert_non_null(strstr(l.findings, "error: "));
	assert_non_null(strstr(l.findings, "/nonexistent/rolebridge.yaml"));
	/* defaults are there, nothing is said to be missing */
	assert_int_equal(l.sample.port, 8080);
	sample_free(&l);
	sample_load_path(&l, "/tmp");
	assert_null(l.document);
	sample_free(&l);
}

/* Every allocation of ours fails once: never a crash, never a clean result that differs. */
static void test_out_of_memory(void **state)
{
	static const char text[] =
		"rules:\n- {id: a, grant: {profile: p, roles: [x, y]}}\n"
		"precedence: {a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x}\n"
		"sources: [{type: csv, name: n, path: p}]\n";
	struct document_file files[2] = { { "a.yaml", text, sizeof(text) - 1 },
					  { "b.yaml", "domains: [a]\n", 13 } };

	(void)state;
	for (long n = 0;; n++) {
		struct sample sample;

		alloc_fail_after(n);

		AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
		AUTO(arena) struct arena *arena = arena_create(1024 * 1024);

		if (!list || !arena) {
			alloc_fail_after(-1);
			continue;
		}

		AUTO(document) struct document *document = document_load_files(files, 2, list);

		options_parse(&sample_table, document, arena, &sample, list);
		if (alloc_fail_after(-1) >= 0) {
			assert_int_equal(diagnostics_errors(list), 0);
			assert_int_equal(sample.rules.count, 1);
			assert_true(n > 5);
			return;
		}
		if (diagnostics_errors(list) == 0) {
			assert_int_equal(sample.rules.count, 1);
			assert_int_equal(sample.sources.count, 1);
			assert_int_equal(sample.precedence.count, 9);
			assert_int_equal(sample.domains.count, 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_too_many_nodes),
		cmocka_unit_test(test_many_findings),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_append_beside_mistakes),
		cmocka_unit_test(test_merge_conflicts),
		cmocka_unit_test(test_syntax_error_per_file),
		cmocka_unit_test_setup_teardown(test_include_order, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(test_include_problems, folder_setup,
						folder_teardown),
		cmocka_unit_test_setup_teardown(test_include_absolute_and_null, folder_setup,
						folder_teardown),
		cmocka_unit_test(test_unreadable_main),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
