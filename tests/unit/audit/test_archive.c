/* Rows as lines and back, and folders of them: what is not as it was written is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/audit/archive.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define HASH "abababababababababababababababababababababababababababababababab"
#define LINE(detail) \
	"{\"seq\":1,\"at\":\"2023-11-14T22:13:20Z\",\"actor\":\"a\",\"action\":\"b\",\"object\":\"c\"," \
	"\"request\":\"\",\"detail\":" detail ",\"hash\":\"" HASH "\"}"

/* --- lines --- */

static const struct audit_row rows_there_and_back[] = {
	{ .seq = 1,
	  .at_s = 1700000000,
	  .actor = "unix:root",
	  .action = "user.create",
	  .object = "user:x",
	  .request = "r",
	  .detail = "{\"why\":\"test\"}" },
	{ .seq = INT64_MAX,
	  .at_s = 1,
	  .actor = "\"\\\b\f\n\r\t\x01\x1f",
	  .action = "\xc3\xa9\xf0\x9f\x98\x80",
	  .object = ",\"detail\":{}",
	  .request = "\",\"hash\":\"",
	  .detail = "{\"hash\":\"" HASH "\"}" },
	{ .seq = 2,
	  .at_s = 0,
	  .actor = "",
	  .action = "",
	  .object = "",
	  .request = "",
	  .detail = "" },
	{ .seq = 3,
	  .at_s = -1,
	  .actor = "",
	  .action = "",
	  .object = "",
	  .request = "",
	  .detail = "\"a text\"" },
	{ .seq = 4,
	  .at_s = 5,
	  .actor = "",
	  .action = "",
	  .object = "",
	  .request = "",
	  .detail = "[1,{\"a\":[]}]" },
	{ .seq = 5,
	  .at_s = 5,
	  .actor = "",
	  .action = "",
	  .object = "",
	  .request = "",
	  .detail = "{\"a\":1}x" },
	{ .seq = 6,
	  .at_s = 5,
	  .actor = "",
	  .action = "",
	  .object = "",
	  .request = "",
	  .detail = "null" },
};

static void test_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows_there_and_back); i++) {
		const struct audit_row *row = &rows_there_and_back[i];
		AUTO(strbuf) struct strbuf text = STRBUF(65536);
		struct audit_lines lines;
		struct audit_iterator iterator;
		struct audit_row again;
		struct err err = { 0 };

		audit_format_row(row, AUDIT_JSON_LINES, &text);
		lines = AUDIT_LINES(text.data, text.size);
		iterator = audit_lines_iterator(&lines);
		if (iterator.next(iterator.context, &again, &err) != 1)
			fail_msg("%zu: %s", i, err.text);
		assert_int_equal(again.seq, row->seq);
		assert_int_equal(again.at_s, row->at_s);
		assert_string_equal(again.actor, row->actor);
		assert_string_equal(again.action, row->action);
		assert_string_equal(again.object, row->object);
		assert_string_equal(again.request, row->request);
		assert_string_equal(again.detail, row->detail);
		assert_int_equal(iterator.next(iterator.context, &again, &err), 0);
		audit_lines_auto(&lines);
	}
}

static const struct {
	const char *name, *text;
	size_t size; /* 0: of the text */
} malformed[] = {
	{ "no line", "x\n", 0 },
	{ "an empty line", "\n", 0 },
	{ "no end", LINE("{}"), 0 },
	{ "a space", " " LINE("{}") "\n", 0 },
	{ "a space behind", LINE("{}") " \n", 0 },
	{ "a carriage return", LINE("{}") "\r\n", 0 },
	{ "no detail", LINE("") "\n", 0 },
	{ "detail no JSON", LINE("{") "\n", 0 },
	{ "detail a number", LINE("1") "\n", 0 },
	{ "detail two", LINE("{},{}") "\n", 0 },
	{ "detail a text that is JSON", LINE("\"{}\"") "\n", 0 },
	{ "an escape too many", LINE("\"\\u0041\"") "\n", 0 },
	{ "a slash escaped", LINE("\"\\/\"") "\n", 0 },
	{ "a NUL escaped", LINE("\"\\u0000\"") "\n", 0 },
	{ "a NUL", LINE("{}") "\0\n", sizeof(LINE("{}")) + 1 },
	{ "not UTF-8", LINE("\"\xff\"") "\n", 0 },
	{ "upper-case hash",
	  "{\"seq\":1,\"at\":null,\"actor\":\"\",\"action\":\"\",\"object\":\"\",\"request\":\"\",\"detail\":{},"
	  "\"hash\":\"ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB\"}\n",
	  0 },
	{ "a number too large",
	  "{\"seq\":99999999999999999999,\"at\":null,\"actor\":\"\",\"action\":\"\",\"object\":\"\",\"request\":\"\","
	  "\"detail\":{},\"hash\":\"" HASH "\"}\n",
	  0 },
	{ "another order",
	  "{\"at\":null,\"seq\":1,\"actor\":\"\",\"action\":\"\",\"object\":\"\",\"request\":\"\",\"detail\":{},"
	  "\"hash\":\"" HASH "\"}\n",
	  0 },
};

static void test_malformed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		size_t size = malformed[i].size ? malformed[i].size : strlen(malformed[i].text);
		struct audit_lines lines = AUDIT_LINES(malformed[i].text, size);
		struct audit_iterator iterator = audit_lines_iterator(&lines);
		struct audit_row row;
		struct err err = { 0 };

		if (iterator.next(iterator.context, &row, &err) != -1)
			fail_msg("taken: %s", malformed[i].name);
		assert_int_equal(err.code, ERR_PROTOCOL);
		assert_non_null(strstr(err.text, "line 1"));
		audit_lines_auto(&lines);
	}
}

static void test_without_memory(void **state)
{
	int result = -1;

	(void)state;
	for (long left = 0; result < 0; left++) {
		struct audit_lines lines = AUDIT_LINES(LINE("{}") "\n", sizeof(LINE("{}")));
		struct audit_iterator iterator = audit_lines_iterator(&lines);
		struct audit_row row;
		struct err err = { 0 };

		assert_true(left < 20);
		alloc_fail_after(left);
		result = iterator.next(iterator.context, &row, &err);
		alloc_fail_after(-1);
		assert_true(result == 1 || err.code == ERR_MEMORY);
		audit_lines_auto(&lines);
	}
}

/* --- what went --- */

static void test_pruning(void **state)
{
	struct audit_pruning pruning = { .from = 1, .to = INT64_MAX }, again;
	AUTO(strbuf) struct strbuf text = STRBUF(1024);
	static const char *const none[] = { "", "{}", "{\"from\":1}", "null" };

	(void)state;
	memset(&pruning.hash, 0xab, sizeof(pruning.hash));
	audit_pruning_write(&pruning, &text);
	assert_true(audit_pruning_parse(strbuf_text(&text), &again));
	assert_int_equal(again.to, INT64_MAX);
	assert_memory_equal(&again.hash, &pruning.hash, sizeof(pruning.hash));
	/* Each byte of it counts, and none more. */
	for (size_t i = 0; i < text.size; i++) {
		char kept = text.data[i];

		text.data[i] = 'x';
		assert_false(audit_pruning_parse(text.data, &again));
		text.data[i] = kept;
	}
	strbuf_putc(&text, ' ');
	assert_false(audit_pruning_parse(strbuf_text(&text), &again));
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_false(audit_pruning_parse(none[i], &again));
}

static void test_heads(void **state)
{
	static const struct {
		const char *text;
		int64_t seq; /* -2: none */
	} heads[] = { { HASH, -1 },	   { "0:" HASH, 0 },
		      { "17:" HASH, 17 },  { "9223372036854775807:" HASH, INT64_MAX },
		      { ":" HASH, -2 },	   { "-1:" HASH, -2 },
		      { "1:2:" HASH, -2 }, { "9223372036854775808:" HASH, -2 },
		      { HASH "a", -2 },	   { "1:" HASH " ", -2 },
		      { "1:", -2 },	   { "+1:" HASH, -2 },
		      { "", -2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct err err = { 0 };
		struct hash256 hash;
		int64_t seq = -2;

		if (audit_head_parse(heads[i].text, &seq, &hash, &err) < 0)
			assert_int_equal(err.code, ERR_INVALID);
		if (seq != heads[i].seq)
			fail_msg("%s: %lld", heads[i].text, (long long)seq);
	}
}

/* --- folders --- */

struct folder {
	char path[64];
	struct hash256 head;
	int64_t seq;
};

/* A file of so many rows that go on. */
static struct audit_archive_file add_file(struct folder *folder, int64_t count)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024 * 1024);
	struct audit_archive_file file = { .from = folder->seq + 1, .before = folder->head };
	struct err err = { 0 };

	for (int64_t i = 0; i < count; i++) {
		struct audit_row row = { .seq = ++folder->seq,
					 .at_s = 1700000000,
					 .actor = "a",
					 .action = "b",
					 .object = "c",
					 .request = "",
					 .detail = "{}" };

		assert_int_equal(audit_seal(&row, &folder->head, &err), 0);
		folder->head = row.hash;
		audit_format_row(&row, AUDIT_JSON_LINES, &text);
	}
	file.to = folder->seq;
	file.hash = folder->head;
	assert_int_equal(audit_archive_write(folder->path, &file, &text, &err), 0);
	return file;
}

static void file_path(const struct folder *folder, const struct audit_archive_file *file,
		      char path[static 512])
{
	char name[AUDIT_ARCHIVE_NAME_SIZE];

	audit_archive_name(file, name);
	snprintf(path, 512, "%s/%s", folder->path, name);
}

static int verify(const struct folder *folder, int64_t *ret_rows, struct err *err)
{
	struct audit_archive *archive = audit_archive_open(folder->path, err);
	struct audit_check check = { .is_archive = true };
	struct audit_iterator rows;
	struct audit_verdict verdict = { 0 };
	int result;

	if (!archive)
		return -1;
	check.anchor = audit_archive_begin(archive);
	rows = audit_archive_iterator(archive);
	result = audit_verify(&rows, &check, &verdict, err);
	audit_archive_close(archive);
	*ret_rows = verdict.rows;
	return result == 0 && !verdict.intact ? err_set(err, ERR_PROTOCOL, "%s", verdict.problem)
					      : result;
}

static void test_folder(void **state)
{
	struct folder folder = { .path = "/tmp/rolebridge-archive-XXXXXX" };
	struct audit_archive_file files[3];
	char path[3][512], other[600];
	struct err err = { 0 };
	int64_t rows;
	FILE *stray;

	(void)state;
	assert_non_null(mkdtemp(folder.path));
	assert_int_equal(verify(&folder, &rows, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		files[i] = add_file(&folder, (int64_t)i + 9);
		file_path(&folder, &files[i], path[i]);
	}
	/* What a crash leaves beside them is left out. */
	snprintf(other, sizeof(other), "%s.Ab12Cd", path[0]);
	stray = fopen(other, "w");
	assert_non_null(stray);
	fclose(stray);
	assert_int_equal(verify(&folder, &rows, &err), 0);
	assert_int_equal(rows, 30);
	/* One in the middle is missing; the first may be elsewhere. */
	assert_int_equal(rename(path[1], other), 0);
	assert_int_equal(verify(&folder, &rows, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_int_equal(rename(other, path[1]), 0);
	assert_int_equal(rename(path[0], other), 0);
	assert_int_equal(verify(&folder, &rows, &err), 0);
	assert_int_equal(rows, 21);
	/* The rows of one under the name of another. */
	assert_int_equal(rename(path[2], path[1]), 0);
	assert_int_equal(verify(&folder, &rows, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_int_equal(unlink(path[1]), 0);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(rmdir(folder.path), 0);
	err_clear(&err);
	assert_int_equal(verify(&folder, &rows, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_without_memory), cmocka_unit_test(test_pruning),
		cmocka_unit_test(test_heads),	       cmocka_unit_test(test_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
