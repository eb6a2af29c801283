#include "cmocka_all.h"

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/intern.h>

static void test_each_once(void **state)
{
	struct interned *list = NULL;
	char text[] = "acme";
	const char *acme = intern(&list, text), *other = intern(&list, "other");

	(void)state;
	text[0] = 'x';
	assert_string_equal(acme, "acme");
	assert_ptr_equal(intern(&list, "acme"), acme);
	assert_ptr_equal(intern(&list, "other"), other);
	assert_string_equal(intern(&list, ""), "");
	assert_ptr_not_equal(acme, other);
	intern_finish(&list);
	assert_null(list);
}

static void test_out_of_memory(void **state)
{
	struct interned *list = NULL;
	const char *kept = intern(&list, "kept");

	(void)state;
	alloc_fail_after(0);
	assert_null(intern(&list, "new"));
	alloc_fail_after(-1);
	assert_ptr_equal(intern(&list, "kept"), kept);
	intern_finish(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
