/* Attributes: how they are read, by which names they are found, what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libxml/parser.h>

#include <rolebridge/base/message.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/saml/attributes.h"

struct reading {
	struct arena *arena;
	xmlDoc *doc;
	struct received_list list;
	struct saml_refusal refusal;
	int result;
};

/* Attribute elements as text. */
static struct reading read_attributes(const char *attributes)
{
	struct reading r = { .arena = arena_create(1024 * 1024) };
	char *text = arena_printf(
		r.arena,
		"<saml:Assertion xmlns:saml='urn:oasis:names:tc:SAML:2.0:assertion'>"
		"<saml:AttributeStatement>%s</saml:AttributeStatement></saml:Assertion>",
		attributes);

	r.doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET);
	assert_non_null(r.doc);
	r.result = attributes_read(xmlDocGetRootElement(r.doc), r.arena, &r.list, &r.refusal);
	return r;
}

static void forget(struct reading *r)
{
	xmlFreeDoc(r->doc);
	arena_destroy(r->arena);
}

#define A(name, friendly, values) \
	"<saml:Attribute Name='" name "' FriendlyName='" friendly "'>" values "</saml:Attribute>"
#define V(value) "<saml:AttributeValue>" value "</saml:AttributeValue>"

static const struct value_row {
	const char *name, *attributes, *value; /* value NULL: refused; "": none */
} value_rows[] = {
	{ "text", A("a", "", V("x")), "x" },
	{ "escaped", A("a", "", V("R&amp;D")), "R&D" },
	{ "blanks stay", A("a", "", V(" x ")), " x " },
	{ "character reference", A("a", "", V("&#xe4;")), "\xc3\xa4" },
	{ "CDATA is text", A("a", "", V("a<![CDATA[&]]>b")), "a&b" },
	{ "empty", A("a", "", V("")), "" },
	{ "blank", A("a", "", V(" \n")), "" },
	{ "no value", A("a", "", ""), "" },
	{ "NameID", A("a", "", V("\n<saml:NameID>x</saml:NameID> ")), "x" },
	{ "NameID and text", A("a", "", V("y<saml:NameID>x</saml:NameID>")), NULL },
	{ "two NameIDs", A("a", "", V("<saml:NameID>x</saml:NameID><saml:NameID>y</saml:NameID>")),
	  NULL },
	{ "element inside NameID", A("a", "", V("<saml:NameID><x/></saml:NameID>")), NULL },
	{ "element", A("a", "", V("<x>y</x>")), NULL },
	{ "mixed", A("a", "", V("adm<x/>in")), NULL },
};

static void reads_text_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(value_rows); i++) {
		const struct value_row *row = &value_rows[i];
		struct reading r = read_attributes(row->attributes);

		if (r.result != (row->value ? 0 : 1))
			fail_msg("%s: %d", row->name, r.result);
		if (!row->value)
			assert_string_equal(r.refusal.reason, "attribute-malformed");
		else if (!*row->value)
			assert_int_equal(r.list.items[0].count, 0);
		else
			assert_string_equal(r.list.items[0].values[0], row->value);
		forget(&r);
	}
}

#define OID_MAIL "urn:oid:0.9.2342.19200300.100.1.3"
#define CLAIM_MAIL "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"

static const struct find_row {
	const char *name, *attributes, *from, *value; /* value NULL: not found */
} find_rows[] = {
	{ "its name", A("mail", "", V("x")), "mail", "x" },
	{ "its name in another case", A("Mail", "", V("x")), "mail", "x" },
	{ "OID", A(OID_MAIL, "", V("x")), "mail", "x" },
	{ "claim", A(CLAIM_MAIL, "", V("x")), "mail", "x" },
	{ "looked for by OID", A("mail", "", V("x")), OID_MAIL, "x" },
	{ "claim looked for by OID", A(CLAIM_MAIL, "", V("x")), OID_MAIL, "x" },
	{ "own name", A("urn:custom:1", "", V("x")), "urn:custom:1", "x" },
	{ "friendly name", A("urn:custom:1", "mail", V("x")), "mail", "x" },
	{ "friendly name of a known attribute", A("urn:oid:2.5.4.3", "mail", V("x")), "mail",
	  NULL },
	{ "name beats friendly name",
	  A("urn:custom:1", "mail", V("y")) A(OID_MAIL, "whatever", V("x")), "mail", "x" },
	{ "other", A("mailbox", "", V("x")), "mail", NULL },
	{ "empty friendly name", A("urn:custom:1", "", V("x")), "", NULL },
};

static void finds_by_every_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(find_rows); i++) {
		const struct find_row *row = &find_rows[i];
		struct reading r = read_attributes(row->attributes);
		size_t at = 0;
		const struct received *found = attributes_find(&r.list, row->from, &at);

		assert_int_equal(r.result, 0);
		if (!found != !row->value)
			fail_msg("%s", row->name);
		if (found)
			assert_string_equal(found->values[0], row->value);
		assert_null(attributes_find(&r.list, row->from, &at));
		forget(&r);
	}
}

static void knows_usual_names(void **state)
{
	(void)state;
	/* The first and the last of the table, and some between: it is searched by halves. */
	assert_string_equal(
		attribute_usual_name("http://schemas.microsoft.com/identity/claims/displayname"),
		"displayName");
	assert_string_equal(attribute_usual_name("urn:oid:2.5.4.9"), "street");
	assert_string_equal(attribute_usual_name("urn:oid:2.5.4.42"), "givenName");
	assert_string_equal(attribute_usual_name("urn:oid:1.3.6.1.4.1.5923.1.1.1.10"),
			    "eduPersonTargetedID");
	assert_string_equal(attribute_usual_name("urn:oid:1.3.6.1.4.1.5923.1.1.1.1"),
			    "eduPersonAffiliation");
	assert_string_equal(attribute_usual_name("urn:oid:0.9.2342.19200300.100.1.1"), "uid");
	assert_string_equal(attribute_usual_name("urn:oasis:names:tc:SAML:attribute:subject-id"),
			    "subject-id");
	assert_null(attribute_usual_name("mail"));
	assert_null(attribute_usual_name("urn:oid:2.5.4"));
}

static struct wanted_attribute wanted[] = { { "costCentre", "urn:custom:cc" },
					    { "email", "mail" },
					    { "mail", "mail" } };
/* Out of order, two of one name. */
static struct wanted_group groups[] = {
	{ 5, "sales" }, { 2, "r&d" }, { 9, "cn=a,dc=b" }, { 1, "sales" }, { 7, "never" }
};

static struct judge_provider make_provider(const char *key)
{
	struct judge_provider provider = { .key = key,
					   .attributes = wanted,
					   .attribute_count = ARRAY_LEN(wanted),
					   .groups = groups,
					   .group_count = ARRAY_LEN(groups) };

	judge_provider_prepare(&provider);
	return provider;
}

static const struct key_row {
	const char *name, *from, *attributes, *name_id, *format, *key, *reason;
} key_rows[] = {
	{ "name id", "name-id", "", "x", "", "x", NULL },
	{ "blanks inside", "name-id", "", "x y", "", "x y", NULL },
	{ "empty", "name-id", "", "", "", NULL, "name-id-empty" },
	{ "blank", "name-id", "", " \n", "", NULL, "name-id-empty" },
	{ "transient", "name-id", "", "x", "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
	  NULL, "name-id-transient" },
	{ "blank before", "name-id", "", " x", "", NULL, "key-malformed" },
	{ "blank behind", "name-id", "", "x\t", "", NULL, "key-malformed" },
	{ "line break", "name-id", "", "x\ny", "", NULL, "key-malformed" },
	{ "attribute", "mail", A(OID_MAIL, "", V("k")), "x", "", "k", NULL },
	{ "by its name in rules", "costCentre", A("urn:custom:cc", "", V("k")), "", "", "k", NULL },
	{ "the same twice", "mail", A("mail", "", V("k") V("k")), "", "", "k", NULL },
	{ "two values", "mail", A("mail", "", V("k") V("l")), "", "", NULL, "key-ambiguous" },
	{ "two attributes", "mail", A("mail", "", V("k")) A(OID_MAIL, "", V("l")), "", "", NULL,
	  "key-ambiguous" },
	{ "empty attribute", "mail", A("mail", "", V("")), "x", "", NULL, "key-missing" },
	{ "no attribute", "mail", "", "x", "", NULL, "key-missing" },
};

static void finds_the_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(key_rows); i++) {
		const struct key_row *row = &key_rows[i];
		struct judge_provider provider = make_provider(row->from);
		struct reading r = read_attributes(row->attributes);
		const char *key = NULL;
		int result = attributes_key(&provider, &r.list, row->name_id, row->format, &key,
					    &r.refusal);

		if (result != (row->key ? 0 : 1))
			fail_msg("%s: %d", row->name, result);
		if (row->key)
			assert_string_equal(key, row->key);
		else
			assert_string_equal(r.refusal.reason, row->reason);
		forget(&r);
	}
}

static void makes_a_record(void **state)
{
	struct reading r = read_attributes(
		A("mail", "", V("b") V("a")) A(OID_MAIL, "", V("b")) A("urn:custom:cc", "", V("7"))
			A("groups", "", V("SALES") V("R&amp;D") V("CN=a, DC=b") V("cn=,broken"))
				A("memberOf", "", V(" sales ")));
	struct judge_provider provider = make_provider("name-id");
	struct saml_assertion assertion = { .record = NULL };
	struct reader in;
	static const uint32_t ids[] = { 1, 2, 5, 9 };
	uint64_t id = 0;

	(void)state;
	assert_int_equal(attributes_record(&provider, &r.list, "k", r.arena, &assertion), 0);
	in = reader_init(assertion.record, assertion.record_size);
	assert_int_equal(get_u8(&in), 1);
	assert_int_equal(get_u8(&in), 1); /* groups complete */
	assert_string_equal(get_utf8(&in, r.arena), "k");
	get_utf8(&in, r.arena);
	get_utf8(&in, r.arena);
	assert_int_equal(get_varint(&in), 3);
	assert_string_equal(get_utf8(&in, r.arena), "costCentre");
	assert_int_equal(get_varint(&in), 1);
	assert_string_equal(get_utf8(&in, r.arena), "7");
	for (int i = 0; i < 2; i++) {
		assert_string_equal(get_utf8(&in, r.arena), i ? "mail" : "email");
		assert_int_equal(get_varint(&in), 2);
		assert_string_equal(get_utf8(&in, r.arena), "a");
		assert_string_equal(get_utf8(&in, r.arena), "b");
	}
	assert_int_equal(get_varint(&in), ARRAY_LEN(ids));
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(id += get_varint(&in), ids[i]);
	assert_true(reader_done(&in));
	forget(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_text_only),   cmocka_unit_test(finds_by_every_name),
		cmocka_unit_test(knows_usual_names), cmocka_unit_test(finds_the_key),
		cmocka_unit_test(makes_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
