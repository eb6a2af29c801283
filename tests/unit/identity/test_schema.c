/* The attribute schema: numbering, syntaxes, precedence, and every finding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/schema.h>

#include "support.h"

static int find(const struct schema *schema, const char *name)
{
	return schema_find(schema, name, strlen(name));
}

static void test_builtins(void **state)
{
	static const struct {
		const char *name;
		enum attribute_syntax syntax;
	} rows[] = {
		{ "mail", SYNTAX_STRING },	    { "uid", SYNTAX_STRING },
		{ "manager", SYNTAX_DN },	    { "secretary", SYNTAX_DN },
		{ "seeAlso", SYNTAX_DN },	    { "member", SYNTAX_DN },
		{ "memberOf", SYNTAX_DN },	    { "uidNumber", SYNTAX_INTEGER },
		{ "gidNumber", SYNTAX_INTEGER },    { "userAccountControl", SYNTAX_INTEGER },
		{ "createTimestamp", SYNTAX_TIME }, { "homeDirectory", SYNTAX_STRING_EXACT },
		{ "pwdReset", SYNTAX_BOOLEAN },	    { "employeeType", SYNTAX_STRING },
		{ "department", SYNTAX_STRING },    { "entryUUID", SYNTAX_STRING },
	};
	struct schema *schema = support_schema();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int id = find(schema, rows[i].name);

		if (id < 0)
			fail_msg("%s is missing", rows[i].name);
		assert_string_equal(schema_get(schema, (uint16_t)id)->name, rows[i].name);
		assert_int_equal(schema_get(schema, (uint16_t)id)->syntax, rows[i].syntax);
		assert_true(schema_get(schema, (uint16_t)id)->builtin);
	}
	/* Passwords are not there to be asked for. */
	assert_int_equal(find(schema, "userPassword"), -1);
	assert_int_equal(find(schema, "unicodePwd"), -1);
	schema_destroy(schema);
}

static void test_numbering(void **state)
{
	struct schema *schema = support_schema();
	size_t count = schema_count(schema);

	(void)state;
	assert_true(count > 100);
	for (size_t id = 0; id < count; id++) {
		const char *name = schema_get(schema, (uint16_t)id)->name;

		assert_int_equal(find(schema, name), id);
		if (id > 0)
			assert_true(strcmp(schema_get(schema, (uint16_t)(id - 1))->name, name) < 0);
	}
	assert_null(schema_get(schema, (uint16_t)count));
	schema_destroy(schema);
}

static void test_find(void **state)
{
	struct schema *schema = support_schema();

	(void)state;
	assert_int_equal(find(schema, "GIVENNAME"), find(schema, "givenName"));
	assert_int_equal(schema_find(schema, "mailbox", 4), find(schema, "mail"));
	assert_int_equal(find(schema, "surname"), find(schema, "sn"));
	assert_int_equal(find(schema, "UserID"), find(schema, "uid"));
	assert_int_equal(find(schema, ""), -1);
	assert_int_equal(find(schema, "mai"), -1);
	assert_int_equal(find(schema, "mailx"), -1);
	assert_int_equal(schema_find(schema, "mail\0x", 6), -1);
	assert_string_equal(schema_nearest(schema, "departement"), "department");
	assert_null(schema_nearest(schema, "qqqqqqqqqqqq"));
	assert_int_equal(schema_find_source(schema, "two", 3), 1);
	assert_int_equal(schema_find_source(schema, "TWO", 3), -1);
	assert_string_equal(schema_source_name(schema, 2), "three");
	assert_string_equal(schema_source_name(schema, 3), "");
	assert_true(schema_source_is_directory(schema, 2));
	assert_false(schema_source_is_directory(schema, 3));
	schema_destroy(schema);
}

static void test_fields(void **state)
{
	struct schema *schema = support_schema();
	const uint16_t *names;
	size_t count;

	(void)state;
	assert_int_equal(schema_username(schema), find(schema, "uid"));
	assert_int_equal(schema_email(schema), find(schema, "mail"));
	names = schema_display_name(schema, &count);
	assert_int_equal(count, 2);
	assert_int_equal(names[0], find(schema, "displayName"));
	assert_int_equal(names[1], find(schema, "cn"));
	schema_destroy(schema);
}

static void test_declared(void **state)
{
	struct attribute_settings first[] = {
		{ .name = LOCATED("clearance"), .syntax = SYNTAX_AUTO, .absent = 1 },
		{ .name = LOCATED("boss"), .from = LOCATED("manager"), .syntax = SYNTAX_DN },
		{ .name = LOCATED("Mail"), .syntax = SYNTAX_AUTO, .sensitive = true },
	};
	struct attribute_settings second[] = {
		{ .name = LOCATED("CLEARANCE"), .syntax = SYNTAX_INTEGER },
	};
	struct located preferred[] = { LOCATED("b") };
	struct pair precedence[] = { { LOCATED("mail"), { 1, preferred } } };
	struct identity_settings identity = support_identity_settings();
	struct source_settings a = support_source("a"), b = support_source("b");
	const struct source_settings *sources[] = { &a, &b };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	const struct schema_attribute *attribute;
	struct schema *schema;

	(void)state;
	a.attributes = (struct struct_list){ ARRAY_LEN(first), first };
	b.attributes = (struct struct_list){ ARRAY_LEN(second), second };
	identity.precedence = (struct pair_list){ .count = 1, .items = precedence };
	schema = schema_create(&identity, sources, 2, list);
	assert_int_equal(diagnostics_count(list), 0);
	attribute = schema_get(schema, (uint16_t)find(schema, "clearance"));
	assert_int_equal(attribute->syntax, SYNTAX_INTEGER);
	assert_int_equal(attribute->absent_unknown, 1);
	assert_false(attribute->builtin);
	assert_int_equal(attribute->order[0], 0);
	assert_int_equal(attribute->order[1], 1);
	attribute = schema_get(schema, (uint16_t)find(schema, "mail"));
	assert_string_equal(attribute->name, "mail");
	assert_true(attribute->sensitive);
	assert_int_equal(attribute->order[0], 1);
	assert_int_equal(attribute->order[1], 0);
	assert_int_equal(schema_get(schema, (uint16_t)find(schema, "boss"))->syntax, SYNTAX_DN);
	schema_destroy(schema);
}

static void assert_findings(const struct diagnostics *list, const char *const *codes, size_t count)
{
	assert_int_equal(diagnostics_count(list), count);
	for (size_t i = 0; i < count; i++) {
		bool found = false;

		for (size_t j = 0; j < count; j++)
			found |= strcmp(diagnostics_get(list, j)->code, codes[i]) == 0;
		if (!found)
			fail_msg("no finding '%s'", codes[i]);
	}
}

static void test_findings(void **state)
{
	static const char *const codes[] = {
		"unknown-attribute", /* username */
		"unknown-attribute", /* display name */
		"unknown-attribute", /* precedence */
		"unknown-source",    /* precedence */
		"unknown-attribute", /* link */
		"unknown-source",    /* link */
		"self-link",	     "syntax-conflict", "duplicate-source",
	};
	struct attribute_settings wrong[] = {
		{ .name = LOCATED("manager"), .syntax = SYNTAX_STRING },
	};
	struct located nobody[] = { LOCATED("nobody") }, names[] = { LOCATED("dispName") };
	struct pair precedence[] = { { LOCATED("nothing"), { 1, nobody } } };
	struct identity_settings identity = support_identity_settings();
	struct source_settings a = support_source("a"), b = support_source("b"),
			       c = support_source("a");
	const struct source_settings *sources[] = { &a, &b, &c };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct schema *schema;

	(void)state;
	identity.username = LOCATED("login");
	identity.display_name = (struct located_list){ 1, names };
	identity.precedence = (struct pair_list){ .count = 1, .items = precedence };
	a.attributes = (struct struct_list){ 1, wrong };
	a.link = (struct link_settings){
		{ 1, 1, 1, 1 }, LOCATED("what"), LOCATED("x"), LOCATED("key")
	};
	b.link = (struct link_settings){
		{ 1, 1, 1, 1 }, LOCATED("uid"), LOCATED("b"), LOCATED("uid")
	};
	schema = schema_create(&identity, sources, 3, list);
	assert_non_null(schema);
	assert_findings(list, codes, ARRAY_LEN(codes));
	assert_int_equal(schema_username(schema), -1);
	schema_destroy(schema);
}

static void test_bounds(void **state)
{
	static struct attribute_settings many[1200];
	static char names[1200][16];
	struct identity_settings identity = support_identity_settings();
	struct source_settings each[70];
	const struct source_settings *sources[70];
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct schema *schema;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		snprintf(names[i], sizeof(names[i]), "own%zu", i);
		many[i] = (struct attribute_settings){ .name = LOCATED(names[i]),
						       .syntax = SYNTAX_AUTO };
	}
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		each[i] = support_source(names[i]);
		sources[i] = &each[i];
	}
	each[0].attributes = (struct struct_list){ ARRAY_LEN(many), many };
	schema = schema_create(&identity, sources, ARRAY_LEN(sources), list);
	assert_int_equal(schema_count(schema), 1000);
	assert_int_equal(schema_source_count(schema), SOURCES_CONFIGURED_MAX);
	assert_true(diagnostics_errors(list) >= 2);
	schema_destroy(schema);
}

static void test_settings_checks(void **state)
{
	static const char *const codes[] = { "invalid-name", "duplicate-attribute",
					     "invalid-domain" };
	struct attribute_settings twice[] = { { .name = LOCATED("dept") },
					      { .name = LOCATED("Dept") } };
	struct located domains[] = { LOCATED("acme.example"), LOCATED("no domain") };
	struct source_settings source = support_source("Not A Slug");
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();

	(void)state;
	source.attributes = (struct struct_list){ 2, twice };
	source.authoritative_domains = (struct located_list){ 2, domains };
	source_settings_check(&source, list);
	assert_findings(list, codes, ARRAY_LEN(codes));
}

static void test_organizations(void **state)
{
	static const char *const codes[] = { "duplicate-organization", "duplicate-domain",
					     "unknown-organization", "foreign-domain" };
	struct located domain[] = { LOCATED("acme.example") };
	struct organization_settings organizations[] = {
		{ .name = LOCATED("acme"), .domains = { 1, domain } },
		{ .name = LOCATED("other"), .domains = { 1, domain } },
		{ .name = LOCATED("acme") },
	};
	struct source_settings a = support_source("a"), b = support_source("b"),
			       c = support_source("c");
	const struct source_settings *sources[] = { &a, &b, &c };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();

	(void)state;
	b.organization = LOCATED("nowhere");
	c.organization = LOCATED("other");
	c.authoritative_domains = (struct located_list){ 1, domain };
	organizations_check(organizations, ARRAY_LEN(organizations), sources, 3, list);
	assert_findings(list, codes, ARRAY_LEN(codes));
}

/* What the store says hides what sources say under the same name, but for `name;x-SOURCE`. */
static void test_extended(void **state)
{
	static const struct schema_fact facts[] = { { "role", SYNTAX_STRING, false },
						    { "born", SYNTAX_TIME, false },
						    { "mail", SYNTAX_STRING, true },
						    { "salary", SYNTAX_STRING, false } };
	struct attribute_settings given[] = {
		{ .name = LOCATED("Role"), .syntax = SYNTAX_INTEGER, .absent = 1 },
		{ .name = LOCATED("salary"), .syntax = SYNTAX_INTEGER, .sensitive = true }
	};
	struct identity_settings identity = support_identity_settings();
	struct source_settings a = support_source("a"), b = support_source("b");
	const struct source_settings *sources[] = { &a, &b };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct schema *base, *all, *plain;
	const struct schema_attribute *role, *mail;

	(void)state;
	a.attributes = (struct struct_list){ ARRAY_LEN(given), given };
	base = schema_create(&identity, sources, 2, list);
	all = schema_extend(base, "(store)", facts, ARRAY_LEN(facts), true);
	plain = schema_extend(base, "(store)", facts, ARRAY_LEN(facts), false);
	assert_int_equal(schema_source_count(all), 3);
	assert_int_equal(schema_count(all), schema_count(base) + 1);
	role = schema_get(all, (uint16_t)schema_find(all, "role", 4));
	assert_string_equal(role->name, "Role");
	assert_int_equal(role->syntax, SYNTAX_STRING);
	assert_int_equal(role->only, 3);
	assert_true(role->elsewhere && role->absent_unknown == 0);
	mail = schema_get(all, (uint16_t)schema_find(all, "mail", 4));
	assert_int_equal(mail->only, 0);
	assert_int_equal(mail->order[2], 2);
	assert_true(schema_get(all, (uint16_t)schema_find(all, "salary", 6))->elsewhere);
	/* Not even under its source's name is it there for who may not see it. */
	assert_false(schema_get(plain, (uint16_t)schema_find(plain, "salary", 6))->elsewhere);
	for (size_t i = 1; i < schema_count(all); i++)
		assert_true(strcmp(schema_get(all, (uint16_t)(i - 1))->name,
				   schema_get(all, (uint16_t)i)->name) < 0);
	schema_destroy(plain);
	schema_destroy(all);
	schema_destroy(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtins),      cmocka_unit_test(test_numbering),
		cmocka_unit_test(test_find),	      cmocka_unit_test(test_fields),
		cmocka_unit_test(test_declared),      cmocka_unit_test(test_findings),
		cmocka_unit_test(test_bounds),	      cmocka_unit_test(test_settings_checks),
		cmocka_unit_test(test_organizations), cmocka_unit_test(test_extended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
