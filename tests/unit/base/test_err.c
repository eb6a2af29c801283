/* Errors: what text, code and reason a caller sees. */
#include <rolebridge/base/err.h>

#include <errno.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static void test_context_is_outermost_first(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, ERR_UNAVAILABLE, "server '%s' closed", "ldap1"), -1);
	assert_int_equal(err_wrap(&err, "cannot read group '%s'", "cn=x"), -1);
	assert_string_equal(err.text, "cannot read group 'cn=x': server 'ldap1' closed");
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err_reason(&err), "unavailable");
}

static void test_reason_survives_wrapping_only(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_refuse(&err, ERR_DENIED, "last-administrator", "no"), -1);
	err_wrap(&err, "user '%d'", 7);
	assert_string_equal(err_reason(&err), "last-administrator");
	assert_string_equal(err.text, "user '7': no");
	err_set(&err, ERR_INVALID, "other");
	assert_string_equal(err_reason(&err), "invalid");
	err_refuse(&err, ERR_DENIED, "conflict", "again");
	err_set_errno(&err, ERR_IO, ENOENT, "cannot open '%s'", "a");
	assert_string_equal(err.text, "cannot open 'a': No such file or directory");
	assert_string_equal(err_reason(&err), "io");
	err_clear(&err);
	assert_int_equal(err.code, ERR_NONE);
	assert_string_equal(err.text, "");
}

static void test_null_is_fine(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_INVALID, "x"), -1);
	assert_int_equal(err_refuse(NULL, ERR_INVALID, "r", "x"), -1);
	assert_int_equal(err_set_errno(NULL, ERR_INVALID, 1, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
	err_clear(NULL);
	assert_string_equal(err_reason(NULL), "unknown");
}

static void test_arguments_may_be_the_old_text(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_INVALID, "inner");
	err_set(&err, ERR_IO, "outer %s", err.text);
	assert_string_equal(err.text, "outer inner");
	err_wrap(&err, "<%s>", err.text);
	assert_string_equal(err.text, "<outer inner>: outer inner");
}

static void test_long_text_ends_in_dots(void **state)
{
	static char filler[2 * ERR_TEXT_MAX];
	struct err err;
	size_t boundary = ERR_TEXT_MAX - 1;

	(void)state;
	memset(filler, 'x', sizeof(filler) - 1);
	err_set(&err, ERR_INVALID, "%.*s", (int)boundary, filler);
	assert_int_equal(strlen(err.text), boundary);
	assert_null(strstr(err.text, "..."));
	err_set(&err, ERR_INVALID, "%.*s", (int)boundary + 1, filler);
	assert_int_equal(strlen(err.text), boundary);
	assert_string_equal(err.text + boundary - 3, "...");
	err_set(&err, ERR_INVALID, "%.*s", (int)boundary - 2, filler);
	err_wrap(&err, "a");
	assert_string_equal(err.text + boundary - 3, "...");
	/* No half character is left before the dots. */
	for (size_t i = 0; i + 2 < sizeof(filler); i += 2)
		memcpy(filler + i, "\xc3\xa9", 2);
	err_set(&err, ERR_INVALID, "%s", filler);
	assert_memory_equal(strstr(err.text, "...") - 2, "\xc3\xa9", 2);
}

static void test_each_code_has_a_name(void **state)
{
	(void)state;
	for (int code = ERR_NONE; code <= ERR_INTERNAL; code++) {
		struct err err = { .code = (enum err_code)code };

		assert_string_not_equal(err_reason(&err), "unknown");
	}

	struct err err = { .code = (enum err_code)(ERR_INTERNAL + 1) };

	assert_string_equal(err_reason(&err), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_context_is_outermost_first),
		cmocka_unit_test(test_reason_survives_wrapping_only),
		cmocka_unit_test(test_null_is_fine),
		cmocka_unit_test(test_arguments_may_be_the_old_text),
		cmocka_unit_test(test_long_text_ends_in_dots),
		cmocka_unit_test(test_each_code_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
