/* Log lines on standard error, captured: form, escapes, levels, bounds. */
#include <rolebridge/base/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

#include "cmocka_all.h"

static char captured[128 * 1024];
static int real_stderr;
static FILE *capture_file;

static void capture_begin(void)
{
	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	capture_file = tmpfile();
	assert_non_null(capture_file);
	dup2(fileno(capture_file), STDERR_FILENO);
}

/* The line without its time, which is checked for its form. */
static const char *capture_end(void)
{
	ssize_t size = pread(fileno(capture_file), captured, sizeof(captured) - 1, 0);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	fclose(capture_file);
	assert_true(size >= 0);
	captured[size] = 0;
	if (size == 0)
		return captured;
	assert_true(size > 21);
	assert_int_equal(captured[10], 'T');
	assert_int_equal(captured[19], 'Z');
	return captured + 21;
}

static void test_a_line(void **state)
{
	(void)state;
	capture_begin();
	log_info("user.disabled", F_STR("user", "anna"), F_STR("origin", "rule 7"),
		 F_INT("sessions", -3), F_STR("none", (const char *)NULL));
	assert_string_equal(
		capture_end(),
		"info    user.disabled user=anna origin=\"rule 7\" sessions=-3 none=\"\"\n");
	capture_begin();
	log_error("alone");
	assert_string_equal(capture_end(), "error   alone\n");
}

static void test_escapes(void **state)
{
	static const struct {
		const char *value, *logged;
	} cases[] = {
		{ "two\nlines", "two\\nlines" },
		{ "cr\rtab\t", "cr\\x0dtab\\x09" },
		{ "\033[31mred", "\\x1b[31mred" },
		{ "a\"b", "\"a\\\"b\"" },
		{ "a=b", "\"a=b\"" },
		{ "back\\n", "back\\\\n" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "latin\xfc", "latin\\xfc" },
		{ "\xc2\x9b"
		  "31m",
		  "\\u{9b}31m" }, /* C1 */
		{ "\xe2\x80\xae"
		  "evil",
		  "\\u{202e}evil" },		 /* right-to-left override */
		{ "\xe2\x80\xa8", "\\u{2028}" }, /* line separator */
		{ "\x7f", "\\x7f" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char expected[200];

		snprintf(expected, sizeof(expected), "warning e v=%s\n", cases[i].logged);
		capture_begin();
		log_warning("e", F_STR("v", cases[i].value));
		assert_string_equal(capture_end(), expected);
	}
}

static void test_levels(void **state)
{
	(void)state;
	capture_begin();
	log_debug("hidden");
	assert_string_equal(capture_end(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	capture_begin();
	log_debug("seen");
	assert_string_equal(capture_end(), "debug   seen\n");
	log_set_level(LOG_LEVEL_ERROR);
	capture_begin();
	log_warning("hidden");
	assert_string_equal(capture_end(), "");
	log_set_level(LOG_LEVEL_INFO);
}

static void test_bounds(void **state)
{
	static char huge[100 * 1024];
	struct log_field many[100] = { 0 };

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	capture_begin();
	log_info("huge", F_STR("v", huge), F_INT("after", 1));

	const char *line = capture_end();

	assert_in_range(strlen(line), 2048, 2200);
	assert_non_null(strstr(line, "bytes more) after=1\n"));
	for (size_t i = 0; i < ARRAY_LEN(many) - 1; i++)
		many[i] = (struct log_field){ "field", huge, 0 };
	capture_begin();
	log_event(LOG_LEVEL_INFO, "many", many);
	line = capture_end();
	assert_in_range(strlen(line), 20000, 33000);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

/* A stream of the journal's name that is not ours: we stay on standard error. */
static void test_foreign_journal_stream(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "1:2", 1);
	capture_begin();
	log_init("rolebridged");
	log_info("here");
	assert_string_equal(capture_end(), "info    here\n");
	unsetenv("JOURNAL_STREAM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_foreign_journal_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
