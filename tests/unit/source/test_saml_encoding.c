/* Strict base64, percent-encoding, bounded inflate, the query of a redirect: one text, one reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <zlib.h>

#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/encoding.h"
#include "../../../daemon/source/saml/refusal.h"

#define MAX_BYTES 64

static const struct base64_row {
	const char *name, *text, *bytes; /* bytes NULL: refused */
	const char *reason;
} base64_rows[] = {
	{ "whole quanta", "YWJj", "abc", NULL },
	{ "one padding", "YWI=", "ab", NULL },
	{ "two paddings", "YQ==", "a", NULL },
	{ "wrapped anywhere", "Y\r\nWJ\njZ GVm\t\n", "abcdef", NULL },
	{ "break before the padding", "YQ\n==\n", "a", NULL },
	{ "empty", "", NULL, "message-empty" },
	{ "blanks", " \n", NULL, "message-empty" },
	{ "cut", "YWJ", NULL, "base64-malformed" },
	{ "cut after one", "YWJjY", NULL, "base64-malformed" },
	{ "no padding", "YQ", NULL, "base64-malformed" },
	{ "too little padding", "YQ=", NULL, "base64-malformed" },
	{ "too much padding", "YQ===", NULL, "base64-malformed" },
	{ "padding alone", "====", NULL, "base64-malformed" },
	{ "padding after whole quanta", "YWJj=", NULL, "base64-malformed" },
	{ "text behind padding", "YQ==YWJj", NULL, "base64-malformed" },
	{ "bits left over", "YR==", NULL, "base64-malformed" },
	{ "bits left over, one padding", "YWJ=YWI=", NULL, "base64-malformed" },
	{ "url alphabet", "YW-_", NULL, "base64-malformed" },
	{ "other byte", "YW*j", NULL, "base64-malformed" },
	{ "high byte", "YW\xc3\xa4", NULL, "base64-malformed" },
	{ "one byte too many",
	  "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
	  "QUFB",
	  NULL, "message-too-large" },
};

static void decodes_base64(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(base64_rows); i++) {
		const struct base64_row *row = &base64_rows[i];
		AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
		struct saml_refusal refusal = { "", "" };
		struct bytes_view bytes = { NULL, 0 };
		int result = base64_decode(row->text, strlen(row->text), MAX_BYTES, arena, &bytes,
					   &refusal);

		if (result != (row->bytes ? 0 : 1))
			fail_msg("%s: %d %s %s", row->name, result, refusal.reason, refusal.detail);
		if (row->bytes)
			assert_string_equal(bytes.data, row->bytes);
		else
			assert_string_equal(refusal.reason, row->reason);
	}
}

/* The same text gives the same bytes, and none with breaks is plain. */
static void decodes_plain_base64(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(base64_rows); i++) {
		const struct base64_row *row = &base64_rows[i];
		bool breaks = row->text[strcspn(row->text, " \t\r\n")] != '\0';
		bool plain = row->bytes && !breaks;
		unsigned char bytes[256];
		size_t size = 99;

		if (!row->text[0] ||
		    strcmp(row->reason ? row->reason : "", "message-too-large") == 0)
			plain = true;
		if (base64_decode_plain(row->text, strlen(row->text), bytes, &size) != plain)
			fail_msg("%s", row->name);
		if (plain && row->bytes &&
		    (size != strlen(row->bytes) || memcmp(bytes, row->bytes, size) != 0))
			fail_msg("%s: %zu bytes", row->name, size);
	}
}

static void bounds_base64_before_it_allocates(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1024);
	struct saml_refusal refusal;
	struct bytes_view bytes;
	static char text[1024 * 1024];

	(void)state;
	memset(text, 'A', sizeof(text));
	assert_int_equal(base64_decode(text, sizeof(text), MAX_BYTES, arena, &bytes, &refusal), 1);
	assert_string_equal(refusal.reason, "message-too-large");
	assert_int_equal(base64_decode(text, 4096, 4096, arena, &bytes, &refusal), -1);
}

static const struct percent_row {
	const char *name, *text, *plain;
} percent_rows[] = {
	{ "plain", "abc", "abc" },
	{ "escapes", "%41%2f%2F", "A//" },
	{ "plus is a blank", "a+b", "a b" },
	{ "UTF-8", "%C3%A4", "\xc3\xa4" },
	{ "empty", "", "" },
	{ "cut", "a%4", NULL },
	{ "cut at once", "%", NULL },
	{ "no digits", "%zz", NULL },
	{ "NUL", "a%00b", NULL },
	{ "not UTF-8", "%ff", NULL },
	{ "overlong", "%c0%af", NULL },
};

static void decodes_percent(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(percent_rows); i++) {
		const struct percent_row *row = &percent_rows[i];
		AUTO(arena) struct arena *arena = arena_create(65536);
		struct bytes_view text = { row->text, strlen(row->text) };
		struct saml_refusal refusal;
		const char *plain;

		if (percent_decode(text, arena, &plain, &refusal) != (row->plain ? 0 : 1))
			fail_msg("%s", row->name);
		if (row->plain)
			assert_string_equal(plain, row->plain);
		else
			assert_string_equal(refusal.reason, "query-malformed");
	}
}

/* Raw deflate of size bytes 'a'. */
static struct bytes_view deflated(size_t size, unsigned char *out, size_t max)
{
	z_stream stream = { .next_out = out, .avail_out = (uInt)max };
	unsigned char *plain = malloc(size + 1);

	assert_non_null(plain);
	memset(plain, 'a', size);
	stream.next_in = plain;
	stream.avail_in = (uInt)size;
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, 0), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	free(plain);
	return (struct bytes_view){ (const char *)out, stream.total_out };
}

static void inflates_within_bounds(void **state)
{
	static const struct inflate_row {
		const char *name;
		size_t size;
		int change; /* bytes behind (positive) or missing (negative) */
		const char *reason;
	} rows[] = {
		{ "small", 10, 0, NULL },
		{ "exactly the bound", MAX_BYTES, 0, NULL },
		{ "one more", MAX_BYTES + 1, 0, "message-too-large" },
		{ "a bomb", 1000000, 0, "message-too-large" },
		{ "nothing", 0, 0, "message-empty" },
		{ "a byte behind", 10, 1, "deflate-malformed" },
		{ "a byte missing", 10, -1, "deflate-malformed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
		unsigned char out[4096] = { 0 };
		struct bytes_view in = deflated(rows[i].size, out, sizeof(out)), bytes;
		struct saml_refusal refusal = { "", "" };
		int result;

		in.size = (size_t)((ptrdiff_t)in.size + rows[i].change);
		/* What is compressed is itself within the bound. */
		if (in.size > MAX_BYTES)
			in.size = MAX_BYTES;
		result = inflate_bounded(in, MAX_BYTES, arena, &bytes, &refusal);
		if (result != (rows[i].reason ? 1 : 0))
			fail_msg("%s: %d %s", rows[i].name, result, refusal.reason);
		if (rows[i].reason)
			assert_string_equal(refusal.reason, rows[i].reason);
		else
			assert_int_equal(bytes.size, rows[i].size);
	}
}

static const struct query_row {
	const char *name, *query, *reason, *signed_text;
} query_rows[] = {
	{ "request", "SAMLRequest=a&RelayState=b&SigAlg=c&Signature=d", NULL,
	  "SAMLRequest=a&RelayState=b&SigAlg=c" },
	{ "response, other order", "Signature=d&SigAlg=c&SAMLResponse=a", NULL,
	  "SAMLResponse=a&SigAlg=c" },
	{ "values as received", "SAMLRequest=%61&RelayState=&SigAlg=%63&Signature=d", NULL,
	  "SAMLRequest=%61&RelayState=&SigAlg=%63" },
	{ "twice", "SAMLRequest=a&SAMLRequest=a&SigAlg=c&Signature=d", "query-duplicate", NULL },
	{ "both", "SAMLRequest=a&SAMLResponse=a&SigAlg=c&Signature=d", "query-malformed", NULL },
	{ "neither", "RelayState=a&SigAlg=c&Signature=d", "query-malformed", NULL },
	{ "unknown", "SAMLRequest=a&x=y&SigAlg=c&Signature=d", "query-unknown-parameter", NULL },
	{ "encoded name", "SAMLReques%74=a&SigAlg=c&Signature=d", "query-unknown-parameter", NULL },
	{ "longer name", "SAMLRequests=a&SigAlg=c&Signature=d", "query-unknown-parameter", NULL },
	{ "no value", "SAMLRequest&SigAlg=c&Signature=d", "query-malformed", NULL },
	{ "empty part", "SAMLRequest=a&&SigAlg=c&Signature=d", "query-unknown-parameter", NULL },
	{ "ends in &", "SAMLRequest=a&SigAlg=c&Signature=d&", "query-unknown-parameter", NULL },
	{ "no signature", "SAMLRequest=a&SigAlg=c", "signature-missing", NULL },
	{ "no algorithm", "SAMLRequest=a&Signature=c", "signature-missing", NULL },
	{ "blank", "SAMLRequest=a b&SigAlg=c&Signature=d", "query-malformed", NULL },
	{ "line break", "SAMLRequest=a\n&SigAlg=c&Signature=d", "query-malformed", NULL },
	{ "high byte", "SAMLRequest=\xc3\xa4&SigAlg=c&Signature=d", "query-malformed", NULL },
	{ "empty", "", "query-unknown-parameter", NULL },
};

static void parses_queries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(query_rows); i++) {
		const struct query_row *row = &query_rows[i];
		AUTO(arena) struct arena *arena = arena_create(65536);
		struct saml_refusal refusal = { "", "" };
		struct redirect_query query;
		int result = redirect_query_parse(row->query, strlen(row->query), arena, &query,
						  &refusal);

		if (result != (row->reason ? 1 : 0))
			fail_msg("%s: %d %s", row->name, result, refusal.reason);
		if (row->reason)
			assert_string_equal(refusal.reason, row->reason);
		else
			assert_string_equal(query.signed_text.data, row->signed_text);
	}
}

static void escapes_details(void **state)
{
	struct saml_refusal refusal;
	char huge[2048];

	(void)state;
	assert_int_equal(refuse(&refusal, "x", "a\nb\x1b[1m\xc2\x9b\xff\xc3\xa4"), 1);
	assert_string_equal(refusal.detail, "a?b?[1m???\xc3\xa4");
	memset(huge, 0, sizeof(huge));
	for (size_t i = 0; i + 2 < sizeof(huge); i += 2)
		memcpy(huge + i, "\xc3\xa4", 2);
	refuse(&refusal, "x", ".%s", huge);
	/* Cut between characters. */
	assert_int_equal(strlen(refusal.detail) % 2, 1);
	assert_true(strlen(refusal.detail) >= sizeof(refusal.detail) - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_base64),
		cmocka_unit_test(decodes_plain_base64),
		cmocka_unit_test(bounds_base64_before_it_allocates),
		cmocka_unit_test(decodes_percent),
		cmocka_unit_test(inflates_within_bounds),
		cmocka_unit_test(parses_queries),
		cmocka_unit_test(escapes_details),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
