/*
 * The command table: parsing, and that help, man page and completion say what
 * it says. With ROLEBRIDGE_UPDATE=1 the generated parts are written anew.
 */
#include "../../../daemon/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

#define MAN "daemon/cli/rolebridgectl.1"
#define COMPLETION "daemon/cli/rolebridgectl.bash"
#define BEGIN ".\\\" begin commands: generated from the command table\n"
#define END ".\\\" end commands\n"

static void compare(const char *path, const char *have, const char *want)
{
	if (strcmp(have, want) == 0)
		return;
	if (getenv("ROLEBRIDGE_UPDATE")) {
		assert_int_equal(0, file_write_atomic(path, want, strlen(want), 0644, NULL));
		return;
	}
	fail_msg("%s is not what the command table says: run this test with ROLEBRIDGE_UPDATE=1",
		 path);
}

static void test_completion(void **state)
{
	AUTO(strbuf) struct strbuf have = STRBUF((size_t)1024 * 1024);
	AUTO(strbuf) struct strbuf want = STRBUF((size_t)1024 * 1024);

	(void)state;
	cli_print_completion(&want);
	if (!getenv("ROLEBRIDGE_UPDATE"))
		assert_int_equal(0, file_read(COMPLETION, 1024 * 1024, &have, NULL));
	compare(COMPLETION, strbuf_text(&have), strbuf_text(&want));
}

static void test_manual(void **state)
{
	AUTO(strbuf) struct strbuf have = STRBUF((size_t)1024 * 1024);
	AUTO(strbuf) struct strbuf want = STRBUF((size_t)1024 * 1024);
	const char *begin, *end;

	(void)state;
	assert_int_equal(0, file_read(MAN, 1024 * 1024, &have, NULL));
	begin = strstr(strbuf_text(&have), BEGIN);
	end = strstr(strbuf_text(&have), END);
	assert_true(begin && end && begin < end);
	begin += strlen(BEGIN);
	strbuf_append(&want, strbuf_text(&have), (size_t)(begin - strbuf_text(&have)));
	cli_print_mdoc(&want);
	strbuf_puts(&want, end);
	assert_false(strbuf_failed(&want));
	compare(MAN, strbuf_text(&have), strbuf_text(&want));
}

static void test_help_names_all(void **state)
{
	size_t count, size = 0;
	const struct cli_command *commands = cli_commands(&count);
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	cli_print_help(NULL, out);
	fclose(out);
	for (size_t i = 0; i < count; i++) {
		assert_non_null(strstr(text, commands[i].words));
		assert_non_null(strstr(text, commands[i].help));
		assert_non_null(commands[i].run);
		/* One sentence, without a full stop: the manual adds it. */
		assert_int_not_equal('.', commands[i].help[strlen(commands[i].help) - 1]);
	}
	free(text);
}

/* A command that is the beginning of another's words would hide it. */
static void test_no_command_hides_another(void **state)
{
	size_t count;
	const struct cli_command *commands = cli_commands(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(commands[i].words);

		for (size_t j = 0; j < count; j++) {
			if (i != j && strncmp(commands[i].words, commands[j].words, size) == 0 &&
			    (commands[j].words[size] == ' ' || commands[j].words[size] == 0))
				fail_msg("'%s' hides '%s'", commands[i].words, commands[j].words);
		}
	}
}

static const struct {
	const char *name;
	const char *words[8];
	int status;
	const char *command; /* of a good one; NULL: help */
	const char *first;   /* argument; "" none */
	const char *option, *value;
	bool json;
	const char *config;
} cases[] = {
	{ "plain", { "status" }, CLI_OK, "status", "", NULL, NULL, false, NULL },
	{ "two words", { "users", "list" }, CLI_OK, "users list", "", NULL, NULL, false, NULL },
	{ "json before", { "--json", "status" }, CLI_OK, "status", "", NULL, NULL, true, NULL },
	{ "json behind", { "status", "--json" }, CLI_OK, "status", "", NULL, NULL, true, NULL },
	{ "config", { "--config", "a", "status" }, CLI_OK, "status", "", NULL, NULL, false, "a" },
	{ "config by equals",
	  { "--config=a=b", "status" },
	  CLI_OK,
	  "status",
	  "",
	  NULL,
	  NULL,
	  false,
	  "a=b" },
	{ "plan's own config",
	  { "--config", "a", "plan", "--config", "b" },
	  CLI_OK,
	  "plan",
	  "",
	  "config",
	  "b",
	  false,
	  "a" },
	{ "config behind another",
	  { "status", "--config", "a" },
	  CLI_OK,
	  "status",
	  "",
	  NULL,
	  NULL,
	  false,
	  "a" },
	{ "argument", { "why", "anna" }, CLI_OK, "why", "anna", "sensitive", NULL, false, NULL },
	{ "option in between",
	  { "why", "--sensitive", "anna" },
	  CLI_OK,
	  "why",
	  "anna",
	  "sensitive",
	  "",
	  false,
	  NULL },
	{ "option between the words",
	  { "users", "--json", "show", "x" },
	  CLI_OK,
	  "users show",
	  "x",
	  NULL,
	  NULL,
	  true,
	  NULL },
	{ "end of options", { "why", "--", "--x" }, CLI_OK, "why", "--x", NULL, NULL, false, NULL },
	{ "a dash is an argument", { "why", "-" }, CLI_OK, "why", "-", NULL, NULL, false, NULL },
	{ "help", { "--help" }, CLI_OK, NULL, "", NULL, NULL, false, NULL },
	{ "help word", { "help" }, CLI_OK, NULL, "", NULL, NULL, false, NULL },
	{ "nothing", { NULL }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "unknown", { "statsu" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "half", { "users" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "half unknown", { "users", "lsit" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "too few", { "why" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "too many", { "status", "x" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "unknown option", { "status", "--full" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "short option", { "status", "-x" }, CLI_USAGE, NULL, "", NULL, NULL, false, NULL },
	{ "value missing",
	  { "apply", "x", "--only" },
	  CLI_USAGE,
	  NULL,
	  "",
	  NULL,
	  NULL,
	  false,
	  NULL },
	{ "value to a flag",
	  { "sync", "--full=yes" },
	  CLI_USAGE,
	  NULL,
	  "",
	  NULL,
	  NULL,
	  false,
	  NULL },
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cli cli = { 0 };
		enum cli_parsed parsed = CLI_PARSED_COMMAND;
		int count = 0;

		while (cases[i].words[count])
			count++;

		int status =
			cli_parse(&cli, count, (char *const *)(uintptr_t)cases[i].words, &parsed);

		if (status != cases[i].status)
			fail_msg("%s: status %d", cases[i].name, status);
		if (status != CLI_OK)
			continue;
		if ((parsed == CLI_PARSED_HELP) != (cases[i].command == NULL))
			fail_msg("%s: help", cases[i].name);
		if (!cases[i].command)
			continue;

		const char *value = cases[i].option ? cli_value(&cli, cases[i].option) : NULL;

		if (strcmp(cli.command->words, cases[i].command) != 0 ||
		    strcmp(cli.arguments[0] ? cli.arguments[0] : "", cases[i].first) != 0 ||
		    (value == NULL) != (cases[i].value == NULL) ||
		    (value && strcmp(value, cases[i].value) != 0) || cli.json != cases[i].json ||
		    strcmp(cli.config ? cli.config : "", cases[i].config ? cases[i].config : "") !=
			    0)
			fail_msg("%s", cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_completion),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_help_names_all),
		cmocka_unit_test(test_no_command_hides_another),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
