/*
 * The metadata of an identity provider: what is read out of what documents, and what is
 * refused with which reason. This program is its own worker for the tests with a process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>

#include "../../../daemon/source/saml/metadata.h"
#include "../../../daemon/source/saml/verify.h"
#include "saml_support.h"
#include "support.h"

static struct world world;
static struct saml_pair second;

#define NAMESPACES \
	"xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" " \
	"xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" " \
	"xmlns:ds11=\"http://www.w3.org/2009/xmldsig11#\" " \
	"xmlns:shibmd=\"urn:mace:shibboleth:metadata:1.0\" "
#define SAML2 "protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\""
#define REDIRECT "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
#define SSO "<md:SingleSignOnService Binding=\"" REDIRECT "\" Location=\"https://i.example/sso\"/>"
/* %K: the first certificate, %L: the second one */
#define KEY(use, certificate) \
	"<md:KeyDescriptor" use "><ds:KeyInfo><ds:X509Data><ds:X509Certificate>" certificate \
	"</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
#define ROLE(attributes, content) \
	"<md:IDPSSODescriptor " SAML2 attributes ">" content "</md:IDPSSODescriptor>"
#define ENTITY(id, attributes, content) \
	"<md:EntityDescriptor " NAMESPACES "entityID=\"" id "\"" attributes ">" content \
	"</md:EntityDescriptor>"
#define GOOD ROLE("", KEY("", "%K") SSO)
#define ENTITIES(attributes, content) \
	"<md:EntitiesDescriptor " NAMESPACES attributes ">" content "</md:EntitiesDescriptor>"

static void expand(const char *text, struct strbuf *out)
{
	for (; *text; text++) {
		if (text[0] == '%' && text[1] == 'K') {
			strbuf_puts(out, world.idp.text);
			text++;
		} else if (text[0] == '%' && text[1] == 'L') {
			strbuf_puts(out, second.text);
			text++;
		} else {
			strbuf_putc(out, *text);
		}
	}
}

static int parse(const char *text, const char *entity_id, struct arena *arena, struct saml_idp *idp,
		 struct err *err)
{
	AUTO(strbuf) struct strbuf xml = STRBUF(1 << 20);
	struct saml_metadata_job job = { .entity_id = entity_id ? entity_id : "", .now_s = NOW_S };

	expand(text, &xml);
	job.xml = strbuf_text(&xml);
	job.size = xml.size;
	return metadata_parse(&job, arena, idp, err);
}

static const struct {
	const char *name, *xml, *entity_id;
	const char *reason; /* "": read, and then: */
	size_t keys, scopes;
	int64_t valid_until_s, cache_duration_s;
	uint64_t entities;
} cases[] = {
	{ "the only entity", ENTITY("i", "", GOOD), NULL, "", 1, 0, 0, 0, 1 },
	{ "by its name", ENTITY("i", "", GOOD), "i", "", 1, 0, 0, 0, 1 },
	{ "another name", ENTITY("i", "", GOOD), "j", "entity-missing", 0, 0, 0, 0, 0 },
	{ "one of two", ENTITIES("", ENTITY("a", "", GOOD) ENTITY("b", "", GOOD)), "b", "", 1, 0, 0,
	  0, 2 },
	{ "one of two, not said which", ENTITIES("", ENTITY("a", "", GOOD) ENTITY("b", "", GOOD)),
	  NULL, "entity-ambiguous", 0, 0, 0, 0, 0 },
	{ "twice in the document", ENTITIES("", ENTITY("a", "", GOOD) ENTITY("a", "", GOOD)), "a",
	  "entity-ambiguous", 0, 0, 0, 0, 0 },
	{ "nested, beside a service provider",
	  ENTITIES("", ENTITIES("", ENTITY("a", "", GOOD))
			       ENTITY("s", "", "<md:SPSSODescriptor " SAML2 "/>")),
	  NULL, "", 1, 0, 0, 0, 2 },
	{ "several roles",
	  ENTITY("i", "",
		 "<md:SPSSODescriptor " SAML2 ">" KEY("", "%L") "</md:SPSSODescriptor>" GOOD),
	  NULL, "", 1, 0, 0, 0, 1 },
	{ "SAML 1 only",
	  ENTITY("i", "",
		 "<md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:1.1:"
		 "protocol\">" KEY("", "%K") SSO "</md:IDPSSODescriptor>"),
	  NULL, "entity-missing", 0, 0, 0, 0, 0 },
	{ "no entities", ENTITIES("", ""), NULL, "entity-missing", 0, 0, 0, 0, 0 },
	{ "no entity id", "<md:EntityDescriptor " NAMESPACES ">" GOOD "</md:EntityDescriptor>",
	  NULL, "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "another root", "<html/>", NULL, "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "no XML", "hello", NULL, "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "nothing", "", NULL, "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "entities declared", "<!DOCTYPE x [<!ENTITY a \"b\">]>" ENTITY("i", "", GOOD), NULL,
	  "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "two keys", ENTITY("i", "", ROLE("", KEY("", "%K") KEY(" use=\"signing\"", "%L") SSO)),
	  NULL, "", 2, 0, 0, 0, 1 },
	{ "the same key twice", ENTITY("i", "", ROLE("", KEY("", "%K") KEY("", "%K") SSO)), NULL,
	  "", 1, 0, 0, 0, 1 },
	{ "encryption key", ENTITY("i", "", ROLE("", KEY(" use=\"encryption\"", "%K") SSO)), NULL,
	  "no-signing-key", 0, 0, 0, 0, 0 },
	{ "no key", ENTITY("i", "", ROLE("", SSO)), NULL, "no-signing-key", 0, 0, 0, 0, 0 },
	{ "garbled key beside a good one",
	  ENTITY("i", "", ROLE("", KEY("", "AAAA") KEY("", "%K") SSO)), NULL, "", 1, 0, 0, 0, 1 },
	{ "no address", ENTITY("i", "", ROLE("", KEY("", "%K"))), NULL, "no-sso-endpoint", 0, 0, 0,
	  0, 0 },
	{ "an address that is a script",
	  ENTITY("i", "",
		 ROLE("", KEY("", "%K") "<md:SingleSignOnService Binding=\"" REDIRECT
					"\" Location=\"javascript:alert(1)\"/>")),
	  NULL, "no-sso-endpoint", 0, 0, 0, 0, 0 },
	{ "another binding",
	  ENTITY("i", "",
		 ROLE("", KEY("", "%K") "<md:SingleSignOnService Binding=\"urn:x\" "
					"Location=\"https://i.example/\"/>")),
	  NULL, "no-sso-endpoint", 0, 0, 0, 0, 0 },
	{ "valid until", ENTITY("i", " validUntil=\"2099-01-01T00:00:00Z\"", GOOD), NULL, "", 1, 0,
	  4070908800, 0, 1 },
	{ "the earliest of all levels",
	  ENTITIES(" validUntil=\"2099-01-01T00:00:00Z\"",
		   ENTITY("i", " validUntil=\"2098-01-01T00:00:00Z\"",
			  ROLE(" validUntil=\"2097-01-01T00:00:00Z\"", KEY("", "%K") SSO))),
	  NULL, "", 1, 0, 4007836800, 0, 1 },
	{ "expired", ENTITY("i", " validUntil=\"2020-01-01T00:00:00Z\"", GOOD), NULL,
	  "metadata-expired", 0, 0, 0, 0, 0 },
	{ "expired around it",
	  ENTITIES(" validUntil=\"2020-01-01T00:00:00Z\"", ENTITY("i", "", GOOD)), NULL,
	  "metadata-expired", 0, 0, 0, 0, 0 },
	{ "expired in the role",
	  ENTITY("i", "", ROLE(" validUntil=\"2020-01-01T00:00:00Z\"", KEY("", "%K") SSO)), NULL,
	  "metadata-expired", 0, 0, 0, 0, 0 },
	{ "expired before time began", ENTITY("i", " validUntil=\"1970-01-01T00:00:00Z\"", GOOD),
	  NULL, "metadata-expired", 0, 0, 0, 0, 0 },
	{ "another entity has expired",
	  ENTITIES("",
		   ENTITY("a", " validUntil=\"2020-01-01T00:00:00Z\"", GOOD) ENTITY("b", "", GOOD)),
	  "b", "", 1, 0, 0, 0, 2 },
	{ "no time", ENTITY("i", " validUntil=\"tomorrow\"", GOOD), NULL, "metadata-malformed", 0,
	  0, 0, 0, 0 },
	{ "cache for a while", ENTITY("i", " cacheDuration=\"P1DT2H3M4.5S\"", GOOD), NULL, "", 1, 0,
	  0, 93784, 1 },
	{ "the shortest of all levels",
	  ENTITIES(" cacheDuration=\"PT1H\"", ENTITY("i", " cacheDuration=\"P1Y\"", GOOD)), NULL,
	  "", 1, 0, 0, 3600, 1 },
	{ "no duration", ENTITY("i", " cacheDuration=\"PT\"", GOOD), NULL, "metadata-malformed", 0,
	  0, 0, 0, 0 },
	{ "units in the wrong order", ENTITY("i", " cacheDuration=\"PT1S1H\"", GOOD), NULL,
	  "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "minutes before T are months", ENTITY("i", " cacheDuration=\"P1M\"", GOOD), NULL, "", 1,
	  0, 0, 2592000, 1 },
	{ "negative duration", ENTITY("i", " cacheDuration=\"-PT1H\"", GOOD), NULL,
	  "metadata-malformed", 0, 0, 0, 0, 0 },
	{ "scopes of entity and role",
	  ENTITY("i", "",
		 "<md:Extensions><shibmd:Scope regexp=\"false\"> a.example </shibmd:Scope>"
		 "</md:Extensions>" ROLE("", "<md:Extensions><shibmd:Scope>b.example</shibmd:Scope>"
					     "<shibmd:Scope regexp=\"true\">.*</shibmd:Scope>"
					     "</md:Extensions>" KEY("", "%K") SSO)),
	  NULL, "", 1, 2, 0, 0, 1 },
	/* One scope that fits nothing: without any, everything would be allowed. */
	{ "only regular expressions",
	  ENTITY("i", "",
		 "<md:Extensions><shibmd:Scope regexp=\"true\">.*</shibmd:Scope></md:Extensions>" GOOD),
	  NULL, "", 1, 1, 0, 0, 1 },
	{ "comments and instructions", "<?xml version=\"1.0\"?><!-- x -->" ENTITY("i", "", GOOD),
	  NULL, "", 1, 0, 0, 0, 1 },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(arena) struct arena *arena = arena_create(1 << 24);
		struct saml_idp idp = { 0 };
		struct err err = { 0 };
		int status = parse(cases[i].xml, cases[i].entity_id, arena, &idp, &err);
		if (strcmp(status < 0 ? err_reason(&err) : "", cases[i].reason) != 0)
			fail_msg("%s: %s", cases[i].name, status < 0 ? err.text : "read");
		if (status < 0)
			continue;
		if (idp.signing_key_count != cases[i].keys || idp.scope_count != cases[i].scopes ||
		    idp.valid_until_s != cases[i].valid_until_s ||
		    idp.cache_duration_s != cases[i].cache_duration_s ||
		    idp.entities != cases[i].entities)
			fail_msg("%s: %zu keys, %zu scopes, until %lld, cache %lld, %llu entities",
				 cases[i].name, idp.signing_key_count, idp.scope_count,
				 (long long)idp.valid_until_s, (long long)idp.cache_duration_s,
				 (unsigned long long)idp.entities);
	}
}

static void test_contents(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);
	const struct saml_pair *const pairs[] = { &world.idp, &second };
	struct saml_idp idp = { 0 };
	struct err err = { 0 };

	(void)state;
	saml_make_metadata(&text, IDP_ENTITY, pairs, 2, IDP_SSO, IDP_SLO);
	if (parse(strbuf_text(&text), NULL, arena, &idp, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(idp.entity_id, IDP_ENTITY);
	assert_int_equal(idp.signing_key_count, 2);
	assert_int_equal(idp.signing_keys[0].size, world.idp.der_size);
	assert_memory_equal(idp.signing_keys[0].data, world.idp.der, world.idp.der_size);
	assert_int_equal(idp.sso_count, 2);
	assert_int_equal(idp.sso[1].binding, SAML_POST);
	assert_string_equal(idp.sso[0].location, IDP_SSO);
	assert_int_equal(idp.slo_count, 1);
	assert_string_equal(idp.slo[0].response_location, "");
	assert_false(idp.wants_signed_requests);
}

/* Keys as numbers, and as DER: what they become verifies. */
static void test_bare_keys(void **state)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);
	BIGNUM *number = NULL;
	unsigned char bytes[512], *der = NULL;
	struct saml_idp idp = { 0 };
	struct err err = { 0 };
	char *base64;
	int size;

	(void)state;
	assert_int_equal(EVP_PKEY_get_bn_param(world.idp.key, "n", &number), 1);
	size = BN_bn2bin(number, bytes);
	BN_free(number);
	base64 = saml_make_base64(bytes, (size_t)size);
	strbuf_printf(&text,
		      "<md:EntityDescriptor " NAMESPACES
		      "entityID=\"i\"><md:IDPSSODescriptor " SAML2
		      " WantAuthnRequestsSigned=\"1\"><md:KeyDescriptor><ds:KeyInfo><ds:KeyValue>"
		      "<ds:RSAKeyValue><ds:Modulus>%s</ds:Modulus><ds:Exponent>AQAB</ds:Exponent>"
		      "</ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo></md:KeyDescriptor>",
		      base64);
	free(base64);
	size = i2d_PUBKEY(second.key, &der);
	base64 = saml_make_base64(der, (size_t)size);
	OPENSSL_free(der);
	strbuf_printf(&text,
		      "<md:KeyDescriptor><ds:KeyInfo><ds11:DEREncodedKeyValue>%s"
		      "</ds11:DEREncodedKeyValue></ds:KeyInfo></md:KeyDescriptor>" SSO
		      "</md:IDPSSODescriptor></md:EntityDescriptor>",
		      base64);
	free(base64);
	if (parse(strbuf_text(&text), NULL, arena, &idp, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(idp.signing_key_count, 2);
	assert_true(idp.wants_signed_requests);
	der = NULL;
	size = i2d_PUBKEY(world.idp.key, &der);
	assert_int_equal(idp.signing_keys[0].size, size);
	assert_memory_equal(idp.signing_keys[0].data, der, (size_t)size);
	OPENSSL_free(der);
}

/* --- signed metadata, by a real worker --- */

static char *sign_metadata(const struct saml_pair *pair, size_t *ret_size)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 16);
	xmlChar *bytes = NULL;
	xmlNode *root;
	xmlDoc *doc;
	char *copy;
	int size = 0;

	expand("<md:EntitiesDescriptor " NAMESPACES
	       "ID=\"_m\"><md:Extensions/>" ENTITY("i", "", GOOD) "</md:EntitiesDescriptor>",
	       &text);
	doc = xmlReadMemory(strbuf_text(&text), (int)text.size, NULL, NULL, 0);
	root = xmlDocGetRootElement(doc);
	if (pair)
		saml_make_sign_behind(root, "Extensions", pair);
	xmlDocDumpMemory(doc, &bytes, &size);
	copy = malloc((size_t)size + 1);
	memcpy(copy, bytes, (size_t)size + 1);
	*ret_size = (size_t)size;
	xmlFree(bytes);
	xmlFreeDoc(doc);
	return copy;
}

static int read_in_worker(const char *xml, size_t size, const struct saml_pair *pin,
			  char *ret_reason, size_t reason_size)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	const struct saml_blob certificate = { pin ? pin->der : NULL, pin ? pin->der_size : 0 };
	struct saml_idp idp = { 0 };
	struct err err = { 0 };
	int status = saml_metadata_read(xml, size, NULL, pin ? &certificate : NULL, NOW_S, arena,
					&idp, &err);

	snprintf(ret_reason, reason_size, "%s", status < 0 ? err_reason(&err) : "");
	if (status == 0)
		assert_string_equal(idp.entity_id, "i");
	return status;
}

static void test_pin(void **state)
{
	char reason[64];
	size_t size;
	char *xml, *end;

	(void)state;
	/* The program to start again would be valgrind. */
	if (getenv("ROLEBRIDGE_VALGRIND"))
		return;
	xml = sign_metadata(&second, &size);
	read_in_worker(xml, size, &second, reason, sizeof(reason));
	assert_string_equal(reason, "");
	read_in_worker(xml, size, NULL, reason, sizeof(reason));
	assert_string_equal(reason, "");
	read_in_worker(xml, size, &world.idp, reason, sizeof(reason));
	assert_string_equal(reason, "metadata-signature");
	/* Changed after it was signed. */
	end = strstr(xml, "https://i.example/sso");
	assert_non_null(end);
	end[8] = 'j';
	read_in_worker(xml, size, &second, reason, sizeof(reason));
	assert_string_equal(reason, "metadata-signature");
	free(xml);
	xml = sign_metadata(NULL, &size);
	read_in_worker(xml, size, &second, reason, sizeof(reason));
	assert_string_equal(reason, "metadata-unsigned");
	free(xml);
	read_in_worker("<x/>", 4, NULL, reason, sizeof(reason));
	assert_string_equal(reason, "metadata-malformed");
}

/* A federation of some ten thousand: found, counted, and within the memory of the worker. */
static void test_federation(void **state)
{
	AUTO(strbuf) struct strbuf text = STRBUF(SAML_METADATA_MAX);
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	struct saml_idp idp = { 0 };
	struct err err = { 0 };
	const uint64_t count = 10000;

	(void)state;
	if (getenv("ROLEBRIDGE_VALGRIND"))
		return;
	strbuf_puts(&text, "<md:EntitiesDescriptor " NAMESPACES ">");
	for (uint64_t i = 0; i < count; i++)
		strbuf_printf(
			&text,
			"<md:EntityDescriptor entityID=\"urn:e%llu\"><md:IDPSSODescriptor " SAML2
			">" KEY("", "%s") KEY(" use=\"encryption\"", "%s") SSO
			"</md:IDPSSODescriptor></md:EntityDescriptor>\n",
			(unsigned long long)i, second.text, second.text);
	strbuf_puts(&text, "</md:EntitiesDescriptor>");
	assert_false(strbuf_failed(&text));
	if (saml_metadata_read(strbuf_text(&text), text.size, "urn:e77", NULL, NOW_S, arena, &idp,
			       &err) < 0)
		fail_msg("%zu bytes: %s", text.size, err.text);
	assert_int_equal(idp.entities, count);
	assert_string_equal(idp.entity_id, "urn:e77");
}

static int set_up(void **state)
{
	(void)state;
	world_init(&world);
	second = saml_pair_create(2048, "second");
	return verify_prepare(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	saml_pair_destroy(&second);
	world_finish(&world);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),	   cmocka_unit_test(test_contents),
		cmocka_unit_test(test_bare_keys),  cmocka_unit_test(test_pin),
		cmocka_unit_test(test_federation),
	};

	if (argc > 2 && strcmp(argv[1], "--worker") == 0)
		return saml_worker_main(WORKER_SOCKET);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
