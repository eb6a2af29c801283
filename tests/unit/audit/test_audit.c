/* The chain notices every change; exports cannot be broken by what a row says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/audit/audit.h>
#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define ROWS 6

static const struct hash256 zero;

struct log {
	struct audit_row rows[ROWS + 1];
	size_t count, at;
	size_t fail_at; /* 0: never */
};

static int log_next(void *context, struct audit_row *ret_row, struct err *err)
{
	struct log *log = context;

	if (log->fail_at && log->at + 1 == log->fail_at)
		return err_set(err, ERR_IO, "disk failed");
	if (log->at == log->count)
		return 0;
	*ret_row = log->rows[log->at++];
	return 1;
}

static struct log make_log(void)
{
	static const char *const actions[ROWS] = { "user.create", "grant.add",	   "user.disable",
						   "plan.apply",  "login.refused", "config" };
	struct log log = { .count = ROWS };
	struct hash256 head = zero;

	for (size_t i = 0; i < ROWS; i++) {
		log.rows[i] = (struct audit_row){
			.seq = (int64_t)i + 1,
			.at_s = 1700000000 + (int64_t)i,
			.actor = i % 2 ? "unix:root" : "sync:corp",
			.action = actions[i],
			.object = "user:x",
			.request = i ? "run-1" : "",
			.detail = "{\"why\":\"test\"}",
		};
		assert_int_equal(audit_seal(&log.rows[i], &head, NULL), 0);
		head = log.rows[i].hash;
	}
	return log;
}

static struct audit_verdict verify(struct log *log, const char *head_hex)
{
	struct audit_iterator rows = { log_next, log };
	struct audit_verdict verdict;
	struct err err = { 0 };

	log->at = 0;
	if (audit_verify(&rows, &(struct audit_check){ .head = head_hex }, &verdict, &err) < 0)
		fail_msg("%s", err.text);
	return verdict;
}

static void test_intact(void **state)
{
	struct log log = make_log(), empty = { .count = 0 };
	struct audit_verdict verdict = verify(&log, NULL);

	(void)state;
	assert_true(verdict.intact);
	assert_int_equal(verdict.rows, ROWS);
	assert_int_equal(verdict.broken_seq, 0);
	assert_memory_equal(&verdict.head, &log.rows[ROWS - 1].hash, sizeof(verdict.head));
	assert_string_equal(verdict.problem, "");
	verdict = verify(&empty, NULL);
	assert_true(verdict.intact);
	assert_int_equal(verdict.rows, 0);
}

/* Each field of each row, changed alone. */
enum field { SEQ, AT, ACTOR, ACTION, OBJECT, REQUEST, DETAIL, HASH, FIELDS };

static void change_field(struct audit_row *row, enum field field)
{
	switch (field) {
	case SEQ: row->seq += 1; break;
	case AT: row->at_s ^= 1; break;
	case ACTOR: row->actor = "unix:mallory"; break;
	case ACTION: row->action = "user.creatf"; break;
	case OBJECT: row->object = "user:"; break;
	case REQUEST: row->request = "run-2"; break;
	case DETAIL: row->detail = "{\"why\":\"test\" }"; break;
	case HASH: row->hash.byte[31] ^= 1; break;
	case FIELDS: break;
	}
}

static void test_every_field_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (unsigned field = 0; field < FIELDS; field++) {
			struct log log = make_log();
			struct audit_verdict verdict;

			change_field(&log.rows[i], (enum field)field);
			verdict = verify(&log, NULL);
			if (verdict.intact)
				fail_msg("row %zu, field %u not noticed", i, field);
			assert_int_equal(verdict.rows, i);
			assert_int_equal(verdict.broken_seq, log.rows[i].seq);
			assert_true(verdict.problem[0]);
		}
	}
}

/* Text moved from one field into the next is another row. */
static void test_field_borders_count(void **state)
{
	struct audit_row a = { .seq = 1, .actor = "ab", .action = "c" };
	struct audit_row b = { .seq = 1, .actor = "a", .action = "bc" };

	(void)state;
	audit_seal(&a, &zero, NULL);
	audit_seal(&b, &zero, NULL);
	assert_memory_not_equal(&a.hash, &b.hash, sizeof(a.hash));
	b = a;
	b.request = b.object = b.detail = "";
	audit_seal(&b, &zero, NULL);
	assert_memory_equal(&a.hash, &b.hash, sizeof(a.hash));
}

static void remove_row(struct log *log, size_t at)
{
	memmove(&log->rows[at], &log->rows[at + 1], (log->count - at - 1) * sizeof(log->rows[0]));
	log->count--;
}

static void test_missing_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < ROWS; i++) {
		struct log log = make_log();

		remove_row(&log, i);
		assert_false(verify(&log, NULL).intact);
		/* Renumbered, so that there is no gap. */
		for (size_t j = i; j < log.count; j++)
			log.rows[j].seq = (int64_t)j + 1;
		assert_false(verify(&log, NULL).intact);
	}
}

static void test_inserted_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct log log = make_log();

		memmove(&log.rows[i + 1], &log.rows[i], (ROWS - i) * sizeof(log.rows[0]));
		log.count++;
		log.rows[i].action = "user.enable";
		for (size_t j = i; j < log.count; j++)
			log.rows[j].seq = (int64_t)j + 1;
		/* Even with a hash that fits what stands before it. */
		audit_seal(&log.rows[i], i ? &log.rows[i - 1].hash : &zero, NULL);
		assert_false(verify(&log, NULL).intact);
	}
}

static void test_swapped_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t j = i + 1; j < ROWS; j++) {
			struct log log = make_log();
			struct audit_row row = log.rows[i];

			log.rows[i] = log.rows[j];
			log.rows[j] = row;
			assert_false(verify(&log, NULL).intact);
			log.rows[j].seq = (int64_t)j + 1;
			log.rows[i].seq = (int64_t)i + 1;
			assert_false(verify(&log, NULL).intact);
		}
	}
}

/* Rows cut off at the end, or all written anew: only a head noted elsewhere tells. */
static void test_head(void **state)
{
	struct log log = make_log();
	char head[65], middle[65], wrong[65];

	(void)state;
	hash256_hex(&log.rows[ROWS - 1].hash, head);
	hash256_hex(&log.rows[2].hash, middle);
	memset(wrong, 'a', 64);
	wrong[64] = 0;
	assert_true(verify(&log, head).intact);
	assert_true(verify(&log, middle).intact);
	assert_false(verify(&log, wrong).intact);
	assert_int_equal(verify(&log, wrong).broken_seq, ROWS + 1);
	head[0] = (char)(head[0] >= 'a' ? head[0] - 32 : head[0]);
	assert_true(verify(&log, head).intact);
	log.count--;
	assert_true(verify(&log, NULL).intact);
	assert_false(verify(&log, head).intact);
	assert_true(verify(&log, middle).intact);

	struct log anew = make_log();
	struct hash256 previous = zero;

	for (size_t i = 0; i < ROWS; i++) {
		anew.rows[i].actor = "unix:mallory";
		audit_seal(&anew.rows[i], &previous, NULL);
		previous = anew.rows[i].hash;
	}
	assert_true(verify(&anew, NULL).intact);
	assert_false(verify(&anew, head).intact);
}

static void test_head_must_be_a_hash(void **state)
{
	static const char *const heads[] = {
		"", "abc", "zz", "gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	};
	struct audit_verdict verdict = { .rows = 42 };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct log log = make_log();
		struct audit_iterator rows = { log_next, &log };

		err_clear(&err);
		assert_int_equal(audit_verify(&rows, &(struct audit_check){ .head = heads[i] },
					      &verdict, &err),
				 -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_int_equal(verdict.rows, 42);
	}
}

static void test_verify_from_the_middle(void **state)
{
	struct log log = make_log();
	struct audit_iterator rows = { log_next, &log };
	struct audit_verdict verdict;
	struct audit_check middle = { .anchor = { .seq = 3, .hash = log.rows[2].hash },
				      .is_archive = true };

	(void)state;
	log.at = 3;
	assert_int_equal(audit_verify(&rows, &middle, &verdict, NULL), 0);
	assert_true(verdict.intact);
	assert_int_equal(verdict.rows, 3);
	log.at = 3;
	middle.anchor.hash = log.rows[1].hash;
	assert_int_equal(audit_verify(&rows, &middle, &verdict, NULL), 0);
	assert_false(verdict.intact);
	/* The log cannot begin anywhere but at its first row. */
	log.at = 1;
	assert_int_equal(audit_verify(&rows, &(struct audit_check){ 0 }, &verdict, NULL), 0);
	assert_false(verdict.intact);
}

static void test_failures(void **state)
{
	struct log log = make_log();
	struct audit_iterator rows = { log_next, &log };
	struct audit_verdict verdict = { .rows = 42 };
	struct err err = { 0 };

	(void)state;
	log.fail_at = 3;
	assert_int_equal(audit_verify(&rows, &(struct audit_check){ 0 }, &verdict, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_int_equal(verdict.rows, 42);
	log.at = log.fail_at = 0;
	alloc_fail_after(0);
	assert_int_equal(audit_verify(&rows, &(struct audit_check){ 0 }, &verdict, &err), -1);
	alloc_fail_after(0);
	assert_int_equal(audit_seal(&log.rows[0], &zero, &err), -1);
	alloc_fail_after(-1);
	assert_int_equal(err.code, ERR_MEMORY);
}

/* --- export --- */

static const struct {
	const char *name;
	struct audit_row row;
	const char *json, *csv; /* up to the hash */
} exports[] = {
	{ "plain",
	  { .seq = 7,
	    .at_s = 1700000000,
	    .actor = "unix:root",
	    .action = "user.create",
	    .object = "user:x",
	    .request = "r",
	    .detail = "{\"a\":[1,-2.5e3,true,null,\"\\u00e9\"]}" },
	  "{\"seq\":7,\"at\":\"2023-11-14T22:13:20Z\",\"actor\":\"unix:root\","
	  "\"action\":\"user.create\",\"object\":\"user:x\",\"request\":\"r\","
	  "\"detail\":{\"a\":[1,-2.5e3,true,null,\"\\u00e9\"]},\"hash\":\"",
	  "7,2023-11-14T22:13:20Z,unix:root,user.create,user:x,r,"
	  "\"{\"\"a\"\":[1,-2.5e3,true,null,\"\"\\u00e9\"\"]}\"," },
	{ "formulas",
	  { .seq = 1,
	    .at_s = 1700000000,
	    .actor = "=cmd|' /C calc'!A0",
	    .action = "+1",
	    .object = "-1",
	    .request = "@SUM(A1)",
	    .detail = "\t=1" },
	  "{\"seq\":1,\"at\":\"2023-11-14T22:13:20Z\",\"actor\":\"=cmd|' /C calc'!A0\","
	  "\"action\":\"+1\",\"object\":\"-1\",\"request\":\"@SUM(A1)\",\"detail\":\"\\t=1\","
	  "\"hash\":\"",
	  "1,2023-11-14T22:13:20Z,'=cmd|' /C calc'!A0,'+1,'-1,'@SUM(A1),'\t=1," },
	{ "a line within a row",
	  { .seq = 1, .at_s = 1700000000, .actor = "a\",\"x\nb", .detail = "{}\n{\"seq\":2}" },
	  "{\"seq\":1,\"at\":\"2023-11-14T22:13:20Z\",\"actor\":\"a\\\",\\\"x\\nb\","
	  "\"action\":null,\"object\":null,\"request\":null,"
	  "\"detail\":\"{}\\n{\\\"seq\\\":2}\",\"hash\":\"",
	  "1,2023-11-14T22:13:20Z,\"a\"\",\"\"x\nb\",,,,"
	  "\"{}\n{\"\"seq\"\":2}\"," },
};

static void test_exports(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(exports); i++) {
		AUTO(strbuf) struct strbuf json = STRBUF(65536);
		AUTO(strbuf) struct strbuf csv = STRBUF(65536);

		print_message("%s\n", exports[i].name);
		audit_format_row(&exports[i].row, AUDIT_JSON_LINES, &json);
		audit_format_row(&exports[i].row, AUDIT_CSV, &csv);
		assert_string_equal(json.data + json.size - 3, "\"}\n");
		assert_int_equal(json.size, strlen(exports[i].json) + 64 + 3);
		json.data[strlen(exports[i].json)] = 0;
		assert_string_equal(json.data, exports[i].json);
		assert_string_equal(csv.data + csv.size - 2, "\r\n");
		assert_int_equal(csv.size, strlen(exports[i].csv) + 64 + 2);
		csv.data[strlen(exports[i].csv)] = 0;
		assert_string_equal(csv.data, exports[i].csv);
	}
	assert_string_equal(audit_csv_header(),
			    "seq,at,actor,action,object,request,detail,hash\r\n");
}

/* What is no JSON on one line becomes a text; nothing breaks the line. */
static void test_detail_syntax(void **state)
{
	static const struct {
		const char *detail;
		bool raw;
	} cases[] = {
		{ "{}", true },
		{ "[]", true },
		{ "[1, 2]", true },
		{ "[\"x\"]", true },
		{ "\"x\"", false },
		{ "[null]", true },
		{ "null", false },
		{ "[-0.5E+10]", true },
		{ "-0.5E+10", false },
		{ "{\"a\":{\"b\":[{}]}}", true },
		{ "[\"\\u12aF\\n\"]", true },
		{ "{ } ", true },
		{ " {}", false },
		{ "[\"\xc3\xa9\"]", true },
		{ "", false },
		{ "{", false },
		{ "{}}", false },
		{ "{\"a\"}", false },
		{ "{\"a\":}", false },
		{ "{a:1}", false },
		{ "[1,]", false },
		{ "{\"a\":1,}", false },
		{ "[01]", false },
		{ "[1.]", false },
		{ "[1e]", false },
		{ "[-]", false },
		{ "[+1]", false },
		{ "[.5]", false },
		{ "[nul]", false },
		{ "[true false]", false },
		{ "[\"\\x\"]", false },
		{ "[\"\\u12g4\"]", false },
		{ "[\"", false },
		{ "[\"\\", false },
		{ "[\"\t\"]", false },
		{ "{}\n", false },
		{ "[\n]", false },
		{ "[\"\xff\"]", false },
		{ "[//]", false },
		{ "{},{}", false },
		{ "],[", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(strbuf) struct strbuf json = STRBUF(65536);
		struct audit_row row = { .seq = 1, .detail = cases[i].detail };
		char expected[256];

		audit_format_row(&row, AUDIT_JSON_LINES, &json);
		snprintf(expected, sizeof(expected), "\"detail\":%s,\"hash\"", cases[i].detail);
		if ((strstr(json.data, expected) != NULL) != cases[i].raw)
			fail_msg("'%s': %s", cases[i].detail, json.data);
		assert_ptr_equal(strchr(json.data, '\n'), json.data + json.size - 1);
	}
}

static void test_deep_detail(void **state)
{
	AUTO(strbuf) struct strbuf detail = STRBUF(1024 * 1024);
	AUTO(strbuf) struct strbuf json = STRBUF(4 * 1024 * 1024);
	struct audit_row row = { .seq = 1 };

	(void)state;
	for (int i = 0; i < 200000; i++)
		strbuf_putc(&detail, '[');
	for (int i = 0; i < 200000; i++)
		strbuf_putc(&detail, ']');
	row.detail = strbuf_text(&detail);
	audit_format_row(&row, AUDIT_JSON_LINES, &json);
	assert_false(strbuf_failed(&json));
	assert_non_null(strstr(json.data, "\"detail\":\"[["));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intact),
		cmocka_unit_test(test_every_field_counts),
		cmocka_unit_test(test_field_borders_count),
		cmocka_unit_test(test_missing_rows),
		cmocka_unit_test(test_inserted_rows),
		cmocka_unit_test(test_swapped_rows),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_head_must_be_a_hash),
		cmocka_unit_test(test_verify_from_the_middle),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_exports),
		cmocka_unit_test(test_detail_syntax),
		cmocka_unit_test(test_deep_detail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
