/* One invocation: words in, exit status out. */
#include "cli.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rolebridge/base/util.h>
#include <rolebridge/base/version.h>
#include <rolebridge/client/client.h>

#define ARENA_MAX ((size_t)1024 * 1024 * 1024)

static unsigned terminal_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

/* Colours by https://no-color.org: any value of NO_COLOR but the empty one turns them off. */
static void terminal_look(struct cli *cli)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool terminal = isatty(STDOUT_FILENO);

	setlocale(LC_CTYPE, "");
	cli->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	cli->out = stdout;
	cli->width = terminal ? terminal_width(STDOUT_FILENO) : 0;
	cli->colour = terminal && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
	cli->progress = isatty(STDERR_FILENO) && !cli->json ? stderr : NULL;
}

static int print_help(const struct cli *cli)
{
	if (cli->command)
		cli_print_command_help(cli->command, stdout);
	else
		cli_print_help(NULL, stdout);
	return CLI_OK;
}

static int perform(struct cli *cli, enum cli_parsed parsed)
{
	switch (parsed) {
	case CLI_PARSED_HELP: return print_help(cli);
	case CLI_PARSED_VERSION: printf("rolebridgectl %s\n", ROLEBRIDGE_VERSION); return CLI_OK;
	case CLI_PARSED_COMMAND: break;
	}
	return cli->command->run(cli);
}

int cli_main(int argc, char *const *argv)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct cli cli = { .arena = arena };
	enum cli_parsed parsed;
	int status;

	if (!arena) {
		complain("out of memory");
		return CLI_FAILED;
	}
	status = cli_parse(&cli, argc > 0 ? argc - 1 : 0, argv + 1, &parsed);
	if (status != CLI_OK)
		return status;
	terminal_look(&cli);
	status = perform(&cli, parsed);
	client_destroy(cli.client);
	/* What could not be written was not said: a full disk is no success. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("cannot write the output");
		return CLI_FAILED;
	}
	return status;
}
