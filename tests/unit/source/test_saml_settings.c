/* Option tables of `type: saml` and of `saml:`: defaults, and what is refused where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/saml.h>

struct config {
	struct position at;
	struct struct_list sources;
	struct saml_settings saml;
};

static const struct option_table *const variants[] = { &saml_source_table, NULL };

static const struct option_table list_table = {
	.name = "sources[]",
	.help = "Sources.",
	.struct_size = sizeof(struct source_settings),
	.base = &source_base_table,
	.variants = variants,
};

static const struct option root_options[] = {
	{ "sources", OPTION_LIST, 0, OPTION_FIELD(struct config, sources), 0, 0, NULL, NULL,
	  &list_table, "Sources." },
	{ "saml", OPTION_TABLE, 0, OPTION_FIELD(struct config, saml), 0, 0, NULL, NULL, &saml_table,
	  "Service provider." },
	{ 0 },
};

static const struct option_table root = {
	.name = "",
	.help = "Root.",
	.struct_size = sizeof(struct config),
	.options = root_options,
};

struct loaded {
	struct diagnostics *list;
	struct arena *arena;
	struct document *document;
	struct config config;
};

static void load(const char *text, struct loaded *ret)
{
	struct document_file file = { "/etc/test.yaml", text, strlen(text) };

	*ret = (struct loaded){ .list = diagnostics_create(), .arena = arena_create(1 << 20) };
	ret->document = document_load_files(&file, 1, ret->list);
	assert_non_null(ret->document);
	options_parse(&root, ret->document, ret->arena, &ret->config, ret->list);
}

static void unload(struct loaded *loaded)
{
	document_destroy(loaded->document);
	arena_destroy(loaded->arena);
	diagnostics_destroy(loaded->list);
}

static void test_defaults(void **state)
{
	struct loaded loaded;

	(void)state;
	load("sources:\n  - {name: corp, type: saml, idp: {metadata_file: idp.xml}}\n"
	     "saml: {certificate: sp.crt, private_key: /k/sp.key}\n",
	     &loaded);
	if (diagnostics_count(loaded.list) > 0)
		fail_msg("%s", diagnostics_get(loaded.list, 0)->message);

	const struct saml_source *source = ((void **)loaded.config.sources.items)[0];
	const struct saml_settings *saml = &loaded.config.saml;

	assert_string_equal(source->idp.metadata_file.text, "/etc/idp.xml");
	assert_int_equal(source->idp.refresh_s, 3600);
	assert_string_equal(source->key.text, "name-id");
	assert_null(source->groups.text);
	assert_false(source->idp_initiated);
	assert_false(source->just_in_time);
	assert_int_equal(source->require_signed, SAML_SIGNED_ANY);
	assert_int_equal(source->request_binding, SAML_REDIRECT);
	assert_true(source->sign_requests);
	assert_false(source->allow_sha1);
	assert_int_equal(source->second_factor.at.file, 0);
	assert_int_equal(source->second_factor.max_age_s, 12 * 3600);
	assert_int_equal(saml->verification, SAML_VERIFY_AGREE);
	assert_int_equal(saml->workers, 0);
	assert_int_equal(saml->skew_s, 180);
	assert_string_equal(saml->certificate.text, "/etc/sp.crt");
	unload(&loaded);
}

static void test_everything(void **state)
{
	struct loaded loaded;

	(void)state;
	load("sources:\n"
	     "  - name: corp\n"
	     "    type: saml\n"
	     "    idp: {metadata_url: 'https://idp.example/m', entity_id: 'urn:idp', refresh: 5m,\n"
	     "          ca: ca.pem, metadata_certificate: pin.pem}\n"
	     "    key: eduPersonPrincipalName\n"
	     "    allowed_domains: [acme.example]\n"
	     "    allowed_scopes: acme.example\n"
	     "    require_signed: both\n"
	     "    request_binding: post\n"
	     "    authn_contexts: ['https://refeds.org/profile/mfa']\n"
	     "    second_factor: {attribute: amr, values: [mfa], max_age: 1h}\n"
	     "saml:\n"
	     "  certificate: sp.crt\n"
	     "  private_key: sp-key\n"
	     "  decryption_keys: [{certificate: old.crt, private_key: /k/old.key}]\n"
	     "  verification: fast\n"
	     "  workers: 2\n"
	     "  organization_name: Acme\n"
	     "  organization_url: https://acme.example/\n"
	     "  contact_email: it@acme.example\n",
	     &loaded);
	if (diagnostics_count(loaded.list) > 0)
		fail_msg("%s", diagnostics_get(loaded.list, 0)->message);

	const struct saml_source *source = ((void **)loaded.config.sources.items)[0];
	const struct saml_key_settings *keys = loaded.config.saml.decryption_keys.items;

	assert_int_equal(source->idp.refresh_s, 300);
	assert_int_equal(source->require_signed, SAML_SIGNED_BOTH);
	assert_int_equal(source->request_binding, SAML_POST);
	assert_string_equal(source->allowed_scopes.items[0].text, "acme.example");
	assert_int_equal(source->second_factor.max_age_s, 3600);
	assert_int_equal(loaded.config.saml.decryption_keys.count, 1);
	assert_string_equal(keys[0].private_key.text, "/k/old.key");
	assert_int_equal(loaded.config.saml.verification, SAML_VERIFY_FAST);
	unload(&loaded);
}

#define SOURCE(rest) "sources:\n  - {name: corp, type: saml, " rest "}\n"
#define FILE_SOURCE(rest) SOURCE("idp: {metadata_file: idp.xml}, " rest)

static const struct {
	const char *name, *text, *code;
} findings[] = {
	{ "no idp", SOURCE("key: x"), "missing-key" },
	{ "no metadata", SOURCE("idp: {refresh: 5m}"), "metadata-contradiction" },
	{ "both", SOURCE("idp: {metadata_file: a, metadata_url: 'https://x/'}"),
	  "metadata-contradiction" },
	{ "http", SOURCE("idp: {metadata_url: 'http://idp.example/'}"), "invalid-url" },
	{ "http that begins like loopback",
	  SOURCE("idp: {metadata_url: 'http://127.0.0.1.evil.example/'}"), "invalid-url" },
	{ "http with a user that looks like loopback",
	  SOURCE("idp: {metadata_url: 'http://localhost@evil.example/'}"), "invalid-url" },
	{ "http to a user that looks like a port",
	  SOURCE("idp: {metadata_url: 'http://localhost:x@evil.example/'}"), "invalid-url" },
	{ "ca of a file", SOURCE("idp: {metadata_file: a, ca: b}"), "metadata-contradiction" },
	{ "https without host", SOURCE("idp: {metadata_url: 'https:///x'}"), "invalid-url" },
	{ "line break in a URL", SOURCE("idp: {metadata_url: \"https://x/\\r\\ny\"}"),
	  "invalid-url" },
	{ "refresh too often", SOURCE("idp: {metadata_file: a, refresh: 9s}"), "out-of-range" },
	{ "entity id with a space", FILE_SOURCE("entity_id: 'a b'"), "invalid-entity-id" },
	{ "attribute alone", FILE_SOURCE("second_factor: {attribute: amr}"),
	  "second-factor-incomplete" },
	{ "values alone", FILE_SOURCE("second_factor: {values: [a]}"), "second-factor-incomplete" },
	{ "nothing", FILE_SOURCE("second_factor: {max_age: 5m}"), "second-factor-incomplete" },
	{ "domain with @", FILE_SOURCE("allowed_domains: ['@a.example']"), "invalid-domain" },
	{ "scope with a space", FILE_SOURCE("allowed_scopes: ['a b']"), "invalid-domain" },
	{ "context in short", FILE_SOURCE("authn_contexts: [password]"), "invalid-authn-context" },
	{ "format in short", FILE_SOURCE("name_id_format: persistent"), "invalid-name-id-format" },
	{ "sha-1", FILE_SOURCE("allow_sha1: true"), "weak-signatures" },
	{ "passive and forced", FILE_SOURCE("is_passive: true, force_authn: true"),
	  "passive-and-forced" },
	{ "unbounded just in time", FILE_SOURCE("just_in_time: true"), "nothing-to-grant" },
	{ "certificate alone", "saml: {certificate: a}\n", "key-incomplete" },
	{ "key alone", "saml: {private_key: a}\n", "key-incomplete" },
	{ "relative key", "saml: {certificate: a, private_key: k/a}\n", "invalid-path" },
	{ "relative old key", "saml: {decryption_keys: [{certificate: a, private_key: k/a}]}\n",
	  "invalid-path" },
	{ "relative next", "saml: {next_certificates: [a.pem]}\n", "invalid-path" },
	{ "skew of an hour", "saml: {skew: 1h}\n", "out-of-range" },
	{ "organization alone", "saml: {organization_name: A}\n", "organization-incomplete" },
	{ "organization elsewhere",
	  "saml: {organization_name: A, organization_url: 'javascript:x'}\n", "invalid-url" },
	{ "no mail address", "saml: {contact_email: me}\n", "invalid-email" },
};

static void test_findings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(findings); i++) {
		struct loaded loaded;
		bool found = false;

		load(findings[i].text, &loaded);
		for (size_t j = 0; j < diagnostics_count(loaded.list); j++)
			found |= strcmp(diagnostics_get(loaded.list, j)->code, findings[i].code) ==
				 0;
		if (!found)
			fail_msg("%s: no '%s', first of %zu: %s", findings[i].name,
				 findings[i].code, diagnostics_count(loaded.list),
				 diagnostics_count(loaded.list)
					 ? diagnostics_get(loaded.list, 0)->code
					 : "-");
		unload(&loaded);
	}
}

/* Metadata at this machine itself may come without TLS. */
static void test_loopback(void **state)
{
	static const char *const urls[] = { "http://127.0.0.1:8080/m", "http://[::1]/m",
					    "http://localhost/m" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		AUTO(strbuf) struct strbuf text = STRBUF(1024);
		struct loaded loaded;

		strbuf_printf(&text, SOURCE("idp: {metadata_url: '%s'}"), urls[i]);
		load(strbuf_text(&text), &loaded);
		assert_int_equal(diagnostics_count(loaded.list), 0);
		unload(&loaded);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
