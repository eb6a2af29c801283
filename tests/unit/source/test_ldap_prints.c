/* What files of a job looked like: one that took another's place is told from it, whatever names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#include "../../../daemon/source/ldap/prints.h"
#include "../../../daemon/source/ldap/protocol.h"

static char folder[] = "/tmp/rolebridge-test-XXXXXX";
static char whole[200];

static int enter_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && snprintf(whole, sizeof(whole), "%s/password", folder) > 0 ? 0
											    : -1;
}

static int leave_folder(void **state)
{
	(void)state;
	remove(whole);
	return rmdir(folder);
}

/* Each time a file of its own. */
static void put_password(const char *text, size_t size)
{
	struct err err;

	assert_int_equal(file_write_atomic(whole, text, size, 0600, &err), 0);
}

static void set_credentials(const char *value)
{
	assert_int_equal(value ? setenv("CREDENTIALS_DIRECTORY", value, 1)
			       : unsetenv("CREDENTIALS_DIRECTORY"),
			 0);
}

static const struct job nothing = { .ca = "",
				    .certificate = "",
				    .private_key = "",
				    .keytab = "",
				    .kerberos_config = "",
				    .password_file = "" };

static void test_password_is_where_it_is_read(void **state)
{
	const struct {
		const char *name, *password_file, *credentials;
		bool seen;
	} rows[] = {
		{ "a credential", "password", folder, true },
		{ "a credential, the folder ends in a slash", "password", NULL, true },
		{ "a whole path, no credentials", whole, NULL, true },
		{ "a whole path beside credentials", whole, "/nowhere", true },
		{ "a name without credentials", "password", NULL, false },
		{ "a name, credentials named by nothing", "password", "", false },
		{ "no password", "", folder, false },
	};
	char slash[sizeof(folder) + 1];

	(void)state;
	snprintf(slash, sizeof(slash), "%s/", folder);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct job job = nothing;
		struct prints before;

		print_message("%s\n", rows[i].name);
		job.password_file = rows[i].password_file;
		set_credentials(i == 1 ? slash : rows[i].credentials);
		put_password("first", 5);
		prints_take(&job, &before);
		assert_false(prints_differ(&job, &before));
		put_password("second", 6);
		assert_int_equal(prints_differ(&job, &before), rows[i].seen);
		prints_take(&job, &before);
		remove(whole);
		assert_int_equal(prints_differ(&job, &before), rows[i].seen);
	}
	set_credentials(NULL);
}

static void test_each_file_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < PRINTS_FILES; i++) {
		struct job job = nothing;
		const char **const files[PRINTS_FILES] = {
			&job.ca,     &job.certificate,	   &job.private_key,
			&job.keytab, &job.kerberos_config, &job.password_file
		};
		struct prints before;

		*files[i] = whole;
		remove(whole);
		prints_take(&job, &before);
		assert_false(prints_differ(&job, &before));
		put_password("x", 1);
		assert_true(prints_differ(&job, &before));
		prints_take(&job, &before);
		put_password("y", 1);
		assert_true(prints_differ(&job, &before));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_password_is_where_it_is_read),
		cmocka_unit_test(test_each_file_counts),
	};

	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
