/* The gate: what comes through has the promised shape, the limits stand where they are said to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libxml/parser.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/gate.h"

#define HEAD \
	"<p:Response xmlns:p='urn:oasis:names:tc:SAML:2.0:protocol' " \
	"xmlns:a='urn:oasis:names:tc:SAML:2.0:assertion' ID='_r' Version='2.0' " \
	"IssueInstant='x'><a:Issuer>i</a:Issuer>"
#define STATUS "<p:Status><p:StatusCode Value='s'/></p:Status>"
#define ASSERTION \
	"<a:Assertion xmlns:a='urn:oasis:names:tc:SAML:2.0:assertion' ID='_a' Version='2.0' " \
	"IssueInstant='x'><a:Issuer>i</a:Issuer><a:Subject><a:NameID>n</a:NameID></a:Subject>" \
	"</a:Assertion>"
#define TAIL "</p:Response>"
#define LOGOUT \
	"<p:LogoutRequest xmlns:p='urn:oasis:names:tc:SAML:2.0:protocol' " \
	"xmlns:a='urn:oasis:names:tc:SAML:2.0:assertion' ID='_l' Version='2.0' IssueInstant='x'>" \
	"<a:Issuer>i</a:Issuer><a:NameID>n</a:NameID></p:LogoutRequest>"
#define METADATA \
	"<!-- c --><?pi x?><m:EntityDescriptor xmlns:m='urn:oasis:names:tc:SAML:2.0:metadata' " \
	"entityID='e'><!-- c --><m:x/></m:EntityDescriptor>"

static const struct row {
	const char *name;
	enum gate_kind kind;
	const char *xml, *reason; /* reason NULL: comes through */
} rows[] = {
	{ "response", GATE_RESPONSE, HEAD STATUS ASSERTION TAIL, NULL },
	{ "response without assertion", GATE_RESPONSE, HEAD STATUS TAIL, NULL },
	{ "blanks between", GATE_RESPONSE, HEAD "\n  " STATUS "\r\n\t" ASSERTION TAIL "\n", NULL },
	{ "assertion", GATE_ASSERTION, ASSERTION, NULL },
	{ "logout request", GATE_LOGOUT_REQUEST, LOGOUT, NULL },
	{ "either logout message", GATE_LOGOUT, LOGOUT, NULL },
	{ "metadata with comments and instructions", GATE_METADATA, METADATA, NULL },
	{ "response as assertion", GATE_ASSERTION, HEAD STATUS ASSERTION TAIL, "root-unexpected" },
	{ "assertion as response", GATE_RESPONSE, ASSERTION, "root-unexpected" },
	{ "request as response of logout", GATE_LOGOUT_RESPONSE, LOGOUT, "root-unexpected" },
	{ "metadata with doctype", GATE_METADATA, "<!DOCTYPE m>" METADATA, "xml-doctype" },
	{ "metadata with an undeclared prefix", GATE_METADATA,
	  "<m:EntityDescriptor xmlns:m='urn:oasis:names:tc:SAML:2.0:metadata'><x:y/><m:z/>"
	  "</m:EntityDescriptor>",
	  "xml-malformed" },
	{ "metadata that ends early", GATE_METADATA,
	  "<m:EntityDescriptor xmlns:m='urn:oasis:names:tc:SAML:2.0:metadata'><m:z>&x;</m:z>"
	  "</m:EntityDescriptor>",
	  "xml-malformed" },
	{ "metadata with a relative namespace", GATE_METADATA,
	  "<m:EntityDescriptor xmlns:m='urn:oasis:names:tc:SAML:2.0:metadata' xmlns:r='relative'/>",
	  NULL },
	{ "metadata as response", GATE_RESPONSE, METADATA, "xml-comment" },
	{ "two assertions", GATE_RESPONSE, HEAD STATUS ASSERTION ASSERTION TAIL,
	  "assertion-several" },
	{ "no status", GATE_RESPONSE, HEAD ASSERTION TAIL, "shape-malformed" },
	{ "text", GATE_RESPONSE, HEAD STATUS "x" ASSERTION TAIL, "shape-malformed" },
	{ "unknown child", GATE_RESPONSE, HEAD STATUS "<x/>" ASSERTION TAIL, "shape-malformed" },
	{ "empty issuer", GATE_ASSERTION,
	  "<a:Assertion xmlns:a='urn:oasis:names:tc:SAML:2.0:assertion' ID='_a' Version='2.0' "
	  "IssueInstant='x'><a:Issuer> </a:Issuer><a:Subject/></a:Assertion>",
	  "identifier-malformed" },
	{ "relative namespace", GATE_RESPONSE,
	  HEAD STATUS "<p:Extensions><x xmlns='relative'/></p:Extensions>" ASSERTION TAIL,
	  "xml-malformed" },
	{ "'<' in a value", GATE_RESPONSE, HEAD "<p:Status x='<'/>" TAIL, "xml-malformed" },
	{ "no quotes", GATE_RESPONSE, "<p x=y/>", "xml-malformed" },
	{ "no value", GATE_RESPONSE, "<p x/>", "xml-malformed" },
	{ "end first", GATE_RESPONSE, "</p>", "xml-malformed" },
	{ "nothing", GATE_RESPONSE, "", "xml-malformed" },
	{ "only '<'", GATE_RESPONSE, "<", "xml-malformed" },
};

static int pass(enum gate_kind kind, const char *xml, size_t size, struct gated *gated,
		struct saml_refusal *refusal)
{
	struct gate_rules rules = { .allow_sha1 = false };
	/* No byte to spare behind it: a read too far shows under sanitizers. */
	char *exact = malloc(size ? size : 1);
	int result;

	assert_non_null(exact);
	if (size)
		memcpy(exact, xml, size);
	result = gate_parse(kind, &rules, exact, size, gated, refusal);
	free(exact);
	return result;
}

static void knows_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct saml_refusal refusal = { "", "" };
		struct gated gated = { .doc = NULL };
		int result = pass(rows[i].kind, rows[i].xml, strlen(rows[i].xml), &gated, &refusal);

		if (result != (rows[i].reason ? 1 : 0) ||
		    strcmp(refusal.reason, rows[i].reason ? rows[i].reason : "") != 0)
			fail_msg("%s: %d %s %s", rows[i].name, result, refusal.reason,
				 refusal.detail);
		if (result == 0)
			gated_finish(&gated);
		else
			assert_null(gated.doc);
	}
}

static void refuses_every_cut(void **state)
{
	static const char whole[] = HEAD STATUS ASSERTION TAIL;

	(void)state;
	for (size_t size = 0; size < strlen(whole); size++) {
		struct saml_refusal refusal;
		struct gated gated;

		assert_int_equal(pass(GATE_RESPONSE, whole, size, &gated, &refusal), 1);
	}
}

static void tells_where_things_are(void **state)
{
	static const char whole[] = HEAD STATUS ASSERTION TAIL;
	struct saml_refusal refusal;
	struct gated gated;

	(void)state;
	assert_int_equal(pass(GATE_RESPONSE, whole, strlen(whole), &gated, &refusal), 0);
	assert_string_equal(gated.id, "_r");
	assert_string_equal(gated.assertion_id, "_a");
	assert_null(gated.root_signature);
	assert_null(gated.encrypted);
	assert_ptr_equal(xmlGetID(gated.doc, BAD_CAST "_a")->parent, gated.assertion);
	assert_ptr_equal(xmlGetID(gated.doc, BAD_CAST "_r")->parent, gated.root);
	gated_finish(&gated);
	assert_int_equal(pass(GATE_LOGOUT, LOGOUT, strlen(LOGOUT), &gated, &refusal), 0);
	assert_int_equal(gated.kind, GATE_LOGOUT_REQUEST);
	gated_finish(&gated);
}

/* A response with `count` times something in its Extensions. */
static int with_many(const char *begin, const char *piece, size_t count, const char *end,
		     struct saml_refusal *refusal)
{
	AUTO(strbuf) struct strbuf text = STRBUF(4 * 1024 * 1024);
	struct gated gated;
	int result;

	strbuf_puts(&text, HEAD "<p:Extensions>");
	strbuf_puts(&text, begin);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&text, piece, i, i);
	strbuf_puts(&text, end);
	strbuf_puts(&text, "</p:Extensions>" STATUS ASSERTION TAIL);
	assert_false(strbuf_failed(&text));
	result = pass(GATE_RESPONSE, text.data, text.size, &gated, refusal);
	if (result == 0)
		gated_finish(&gated);
	return result;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void has_limits(void **state)
{
	static const struct limit_row {
		const char *name, *begin, *piece, *end;
		size_t most; /* passes; one more does not */
	} limits[] = {
		/* The rest of the document has 9 elements. */
		{ "elements", "", "<x/>", "", 5000 - 9 },
		{ "attributes of an element", "<x", " a%zu=''", "/>", 24 },
		{ "namespaces in one place", "<x", " xmlns:a%zu='urn:x'", "/>", 18 },
		{ "references", "", "&amp;", "", 8192 },
		{ "IDs", "", "<x ID='i%zu'/>", "", 62 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		const struct limit_row *row = &limits[i];
		struct saml_refusal refusal = { "", "" };

		if (with_many(row->begin, row->piece, row->most, row->end, &refusal) != 0)
			fail_msg("%s: %s %s", row->name, refusal.reason, refusal.detail);
		if (with_many(row->begin, row->piece, row->most + 1, row->end, &refusal) != 1)
			fail_msg("%s: one more came through", row->name);
		assert_string_equal(refusal.reason, "xml-too-complex");
	}
}
#pragma GCC diagnostic pop

static void bounds_depth_and_size(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(GATE_MESSAGE_MAX + 1);
	struct saml_refusal refusal;
	struct gated gated;

	(void)state;
	for (size_t depth = 14; depth <= 15; depth++) {
		strbuf_clear(&text);
		strbuf_puts(&text, HEAD "<p:Extensions>");
		for (size_t i = 0; i < depth; i++)
			strbuf_puts(&text, "<x>");
		for (size_t i = 0; i < depth; i++)
			strbuf_puts(&text, "</x>");
		strbuf_puts(&text, "</p:Extensions>" STATUS ASSERTION TAIL);
		assert_int_equal(pass(GATE_RESPONSE, text.data, text.size, &gated, &refusal),
				 depth == 14 ? 0 : 1);
		if (depth == 14)
			gated_finish(&gated);
	}
	strbuf_clear(&text);
	strbuf_puts(&text, HEAD STATUS ASSERTION TAIL);
	while (text.size < GATE_MESSAGE_MAX)
		strbuf_putc(&text, ' ');
	assert_int_equal(pass(GATE_RESPONSE, text.data, text.size, &gated, &refusal), 0);
	gated_finish(&gated);
	strbuf_putc(&text, ' ');
	assert_int_equal(pass(GATE_RESPONSE, text.data, text.size, &gated, &refusal), 1);
	assert_string_equal(refusal.reason, "message-too-large");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_shapes),		  cmocka_unit_test(refuses_every_cut),
		cmocka_unit_test(tells_where_things_are), cmocka_unit_test(has_limits),
		cmocka_unit_test(bounds_depth_and_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
