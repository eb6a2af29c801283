/* Group names and the registry of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/groups.h>

static const char *const sources[] = { "ad", "okta", "hr" };

static void test_names(void **state)
{
	static const struct {
		const char *text, *canonical, *problem;
	} rows[] = {
		{ "CN=Sales, DC=Acme", "cn=sales,dc=acme", NULL },
		{ "cn=a:b,dc=x", "cn=a:b,dc=x", NULL },
		{ "7D5A0E5C-0000-4000-8000-0123456789AB", "7d5a0e5c-0000-4000-8000-0123456789ab",
		  NULL },
		{ "462FDCB2-e64111f1-9ed595c2-b6655022", "462fdcb2-e64111f1-9ed595c2-b6655022",
		  NULL },
		{ "462fdcb2-e64111f1-9ed595c2-b665502", NULL, "neither a DN" },
		{ "462fdcb2-e64111f1-9ed595c2-b665502g", NULL, "neither a DN" },
		{ "462fdcb2e-64111f1-9ed595c2-b6655022", NULL, "neither a DN" },
		{ "okta:Sales  Team", "okta:sales team", NULL },
		{ "okta:R&D", "okta:r&d", NULL },
		{ "ad:CN=Sales,DC=Acme", "ad:cn=sales,dc=acme", NULL },
		{ "ad:7D5A0E5C-0000-4000-8000-0123456789AB",
		  "ad:7d5a0e5c-0000-4000-8000-0123456789ab", NULL },
		{ "hr:a:b", "hr:a:b", NULL },
		{ "sales", NULL, "neither a DN" },
		{ "", NULL, "neither a DN" },
		{ "nowhere:sales", NULL, "no source is named 'nowhere'" },
		{ "okta:", NULL, "empty" },
		{ "okta:  ", NULL, "empty" },
		{ "cn=a,,dc=x", NULL, "malformed DN" },
		{ "ad:cn=a,,dc=x", NULL, "malformed DN" },
		{ "okta:\xff", NULL, "UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(strbuf) struct strbuf out = STRBUF(65536);
		struct err err = { 0 };
		int result =
			group_name_normalize(rows[i].text, sources, ARRAY_LEN(sources), &out, &err);

		if (rows[i].canonical) {
			if (result < 0)
				fail_msg("'%s': %s", rows[i].text, err.text);
			assert_string_equal(strbuf_text(&out), rows[i].canonical);
			continue;
		}
		assert_int_equal(result, -1);
		assert_int_equal(out.size, 0);
		if (!strstr(err.text, rows[i].problem))
			fail_msg("'%s': %s", rows[i].text, err.text);
	}
}

static void test_numbers_are_not_reused(void **state)
{
	struct group_registry *registry = group_registry_create();
	uint32_t sales, staff, again;

	(void)state;
	sales = group_registry_add(registry, "cn=sales", NULL);
	staff = group_registry_add(registry, "okta:staff", NULL);
	assert_int_equal(sales, 1);
	assert_int_equal(staff, 2);
	assert_int_equal(group_registry_add(registry, "cn=sales", NULL), sales);
	assert_string_equal(group_registry_get(registry, staff)->source, "okta");
	assert_string_equal(group_registry_get(registry, staff)->local, "staff");
	assert_string_equal(group_registry_get(registry, sales)->source, "");
	assert_string_equal(group_registry_get(registry, sales)->local, "cn=sales");
	group_registry_set_state(registry, staff, true, true, false);
	group_registry_remove(registry, staff);
	assert_null(group_registry_get(registry, staff));
	assert_null(group_registry_find(registry, "okta:staff"));
	assert_int_equal(group_registry_count(registry), 1);
	again = group_registry_add(registry, "okta:staff", NULL);
	assert_int_equal(again, 3);
	assert_false(group_registry_get(registry, again)->found);
	assert_int_equal(group_registry_find(registry, "okta:staff")->id, 3);
	group_registry_remove(registry, 99);
	group_registry_remove(registry, 3);
	group_registry_set_next_id(registry, 2);
	assert_int_equal(group_registry_next_id(registry), 4);
	group_registry_set_next_id(registry, 50);
	assert_int_equal(group_registry_add(registry, "cn=x", NULL), 50);
	group_registry_destroy(registry);
}

static void test_load(void **state)
{
	static const struct group rows[] = {
		{ .id = 9, .name = "cn=c", .found = true },
		{ .id = 2, .name = "ad:cn=a", .vanished = true },
		{ .id = 5, .name = "cn=b", .released = true },
	};
	static const struct group wrong[] = {
		{ .id = 5, .name = "cn=new" },
		{ .id = 6, .name = "cn=b" },
		{ .id = 0, .name = "cn=zero" },
		{ .id = UINT32_MAX, .name = "cn=last" },
	};
	struct group_registry *registry = group_registry_create(), *copy;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(group_registry_load(registry, &rows[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(group_registry_load(registry, &wrong[i], NULL), -1);
	assert_int_equal(group_registry_count(registry), 3);
	assert_int_equal(group_registry_at(registry, 0)->id, 2);
	assert_int_equal(group_registry_at(registry, 1)->id, 5);
	assert_int_equal(group_registry_at(registry, 2)->id, 9);
	assert_null(group_registry_at(registry, 3));
	assert_string_equal(group_registry_at(registry, 0)->source, "ad");
	assert_string_equal(group_registry_at(registry, 0)->local, "cn=a");
	assert_true(group_registry_at(registry, 0)->vanished);
	assert_true(group_registry_at(registry, 1)->released);
	assert_true(group_registry_at(registry, 2)->found);
	assert_int_equal(group_registry_add(registry, "cn=d", NULL), 10);
	group_registry_set_next_id(registry, 100);

	copy = group_registry_copy(registry);
	group_registry_destroy(registry);
	assert_int_equal(group_registry_count(copy), 4);
	assert_true(group_registry_find(copy, "ad:cn=a")->vanished);
	assert_int_equal(group_registry_add(copy, "cn=e", NULL), 100);
	group_registry_destroy(copy);
}

static void test_many(void **state)
{
	struct group_registry *registry = group_registry_create();
	char name[32];

	(void)state;
	for (uint32_t i = 1; i <= 20000; i++) {
		snprintf(name, sizeof(name), "cn=g%u", i);
		assert_int_equal(group_registry_add(registry, name, NULL), i);
	}
	for (uint32_t i = 2; i <= 20000; i += 2)
		group_registry_remove(registry, i);
	assert_int_equal(group_registry_count(registry), 10000);
	assert_int_equal(group_registry_find(registry, "cn=g19999")->id, 19999);
	assert_null(group_registry_find(registry, "cn=g20000"));
	group_registry_destroy(registry);
}

static void test_every_allocation_may_fail(void **state)
{
	(void)state;
	for (long n = 0;; n++) {
		struct group_registry *registry, *copy;
		uint32_t id = 0;

		alloc_fail_after(n);
		registry = group_registry_create();
		if (registry)
			id = group_registry_add(registry, "okta:staff", NULL);
		copy = id ? group_registry_copy(registry) : NULL;
		if (alloc_fail_after(-1) >= 0) {
			assert_non_null(copy);
			group_registry_destroy(copy);
			group_registry_destroy(registry);
			break;
		}
		assert_null(copy);
		/* What failed may be asked again. */
		if (registry)
			assert_int_equal(group_registry_add(registry, "okta:staff", NULL), 1);
		group_registry_destroy(registry);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_numbers_are_not_reused),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
