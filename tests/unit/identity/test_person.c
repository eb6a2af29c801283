/* Several sources' identities as one person. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/person.h>

#include "support.h"

static uint16_t id_of(const struct schema *schema, const char *name)
{
	int id = schema_find(schema, name, strlen(name));

	assert_true(id >= 0);
	return (uint16_t)id;
}

/* Sources hr, ad, sso; mail is believed from sso, then ad, then hr. */
static struct schema *make_schema(void)
{
	static struct located order[] = { LOCATED("sso"), LOCATED("ad"), LOCATED("sso") };
	static struct pair precedence[] = { { LOCATED("mail"), { 3, order } } };
	struct identity_settings identity = support_identity_settings();
	struct source_settings hr = support_source("hr"), ad = support_source("ad"),
			       sso = support_source("sso");
	const struct source_settings *sources[] = { &hr, &ad, &sso };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct schema *schema;

	identity.precedence = (struct pair_list){ .count = 1, .items = precedence };
	schema = schema_create(&identity, sources, 3, list);
	assert_int_equal(diagnostics_count(list), 0);
	return schema;
}

static const char *const hr_cn[] = { "Anna M" }, *const hr_mail[] = { "old@acme.example" };
static const char *const ad_cn[] = { "anna" }, *const ad_mail[] = { "Anna@ACME.example" };
static const char *const bad[] = { "not an address", "also bad" };
static const char *const mixed[] = { "not an address", "x@acme.example" };
static const char *const ad_uid[] = { "Anna" }, *const bad_uid[] = { "a b" };

static void test_precedence(void **state)
{
	struct schema *schema = make_schema();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct attribute hr[] = { { id_of(schema, "cn"), 1, hr_cn },
					{ id_of(schema, "mail"), 1, hr_mail } };
	const struct attribute ad[] = { { id_of(schema, "cn"), 1, ad_cn },
					{ id_of(schema, "mail"), 1, ad_mail },
					{ id_of(schema, "uid"), 1, ad_uid } };
	struct identity identities[] = {
		{ .source = 1,
		  .key = "a",
		  .attributes = ad,
		  .attribute_count = 3,
		  .groups_complete = true },
		{ .source = 0,
		  .key = "h",
		  .attributes = hr,
		  .attribute_count = 2,
		  .groups_complete = true },
	};
	struct person person;
	struct person_fields fields;
	uint16_t source = 99;

	(void)state;
	assert_int_equal(person_merge(schema, identities, 2, arena, &person, NULL), 0);
	assert_int_equal(person.sources, 3);
	assert_int_equal(person.groups_incomplete, 0);
	assert_int_equal(person.identities[0].source, 0);
	assert_ptr_equal(person_attribute(&person, id_of(schema, "cn"), &source)->values, hr_cn);
	assert_int_equal(source, 0);
	assert_ptr_equal(person_attribute(&person, id_of(schema, "mail"), &source)->values,
			 ad_mail);
	assert_int_equal(source, 1);
	assert_null(person_attribute(&person, id_of(schema, "sn"), NULL));
	assert_ptr_equal(person_attribute_of(&person, id_of(schema, "mail"), 0)->values, hr_mail);
	assert_null(person_attribute_of(&person, id_of(schema, "uid"), 0));
	assert_null(person_attribute_of(&person, id_of(schema, "uid"), 2));
	assert_null(person_attribute_of(&person, id_of(schema, "uid"), 70));
	assert_null(person_attribute(&person, UINT16_MAX, NULL));
	assert_int_equal(person_fields(&person, arena, &fields, NULL), 0);
	assert_string_equal(fields.username, "anna");
	assert_string_equal(fields.email, "anna@acme.example");
	assert_string_equal(fields.display_name, "Anna M");
	assert_string_equal(fields.username_problem, "");
	assert_string_equal(fields.email_problem, "");
	schema_destroy(schema);
}

static void test_problems(void **state)
{
	struct schema *schema = make_schema();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	const struct attribute wrong[] = { { id_of(schema, "mail"), 2, bad },
					   { id_of(schema, "uid"), 1, bad_uid } };
	const struct attribute second[] = { { id_of(schema, "mail"), 2, mixed } };
	struct identity identity = {
		.source = 2, .key = "s", .attributes = wrong, .attribute_count = 2
	};
	struct person person;
	struct person_fields fields;

	(void)state;
	assert_int_equal(person_merge(schema, &identity, 1, arena, &person, NULL), 0);
	assert_int_equal(person.groups_incomplete, 4);
	assert_int_equal(person_fields(&person, arena, &fields, NULL), 0);
	assert_string_equal(fields.username, "");
	assert_string_equal(fields.email, "");
	assert_string_equal(fields.display_name, "");
	assert_non_null(strstr(fields.email_problem, "'not an address'"));
	assert_non_null(strstr(fields.username_problem, "'a b'"));
	identity.attributes = second;
	identity.attribute_count = 1;
	assert_int_equal(person_merge(schema, &identity, 1, arena, &person, NULL), 0);
	assert_int_equal(person_fields(&person, arena, &fields, NULL), 0);
	assert_string_equal(fields.email, "x@acme.example");
	assert_string_equal(fields.email_problem, "");
	assert_string_equal(fields.username_problem, "");
	schema_destroy(schema);
}

static void test_groups(void **state)
{
	static const uint32_t first[] = { 1, 5, 9 }, second[] = { 5, 6 },
			      third[] = { 9, 4000000000 };
	static const uint32_t all[] = { 1, 5, 6, 9, 4000000000 };
	static const source_mask says[] = { 1, 3, 2, 5, 4 };
	struct schema *schema = make_schema();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct identity identities[] = {
		{ .source = 2,
		  .key = "c",
		  .groups = third,
		  .group_count = 2,
		  .groups_complete = true },
		{ .source = 0,
		  .key = "a",
		  .groups = first,
		  .group_count = 3,
		  .groups_complete = true },
		{ .source = 1, .key = "b", .groups = second, .group_count = 2 },
	};
	struct person person;

	(void)state;
	assert_int_equal(person_merge(schema, identities, 3, arena, &person, NULL), 0);
	assert_int_equal(person.sources, 7);
	assert_int_equal(person.groups_incomplete, 2);
	assert_int_equal(person.group_count, ARRAY_LEN(all));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(person.groups[i], all[i]);
		assert_int_equal(person.group_sources[i], says[i]);
	}
	schema_destroy(schema);
}

static void test_refused(void **state)
{
	struct schema *schema = make_schema();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct identity twice[] = { { .source = 1, .key = "a" }, { .source = 1, .key = "b" } };
	struct identity beyond = { .source = SOURCES_MAX, .key = "a" };
	struct person person = { .identity_count = 77 };
	struct err err;

	(void)state;
	assert_int_equal(person_merge(schema, twice, 2, arena, &person, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(person_merge(schema, &beyond, 1, arena, &person, &err), -1);
	assert_int_equal(person.identity_count, 77);
	assert_int_equal(person_merge(schema, NULL, 0, arena, &person, &err), 0);
	assert_int_equal(person.group_count, 0);
	assert_null(person_attribute(&person, 0, NULL));
	schema_destroy(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
