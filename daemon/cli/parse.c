/*
 * The command line. Enters: words. Leaves: a command with its arguments, or
 * a message and CLI_USAGE. Also writes what people read about the table: help, the
 * man page's list, the completion.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define WORDS_MAX 64

/* Whole words of the command line that the command's words take, 0 when they do not fit. */
static size_t words_match(const char *command, char *const *words, size_t count)
{
	size_t used = 0;

	while (*command) {
		size_t size = strcspn(command, " ");

		if (used == count || strlen(words[used]) != size ||
		    memcmp(words[used], command, size) != 0)
			return 0;
		used++;
		command += size;
		command += *command == ' ';
	}
	return used;
}

static const struct cli_command *command_find(char *const *words, size_t count, size_t *ret_used)
{
	size_t commands_count;
	const struct cli_command *commands = cli_commands(&commands_count);

	for (size_t i = 0; i < commands_count; i++) {
		*ret_used = words_match(commands[i].words, words, count);
		if (*ret_used > 0)
			return &commands[i];
	}
	return NULL;
}

/* Does some command begin with this word and go on? */
static bool is_prefix(const char *word)
{
	size_t count, size = strlen(word);
	const struct cli_command *commands = cli_commands(&count);

	for (size_t i = 0; i < count; i++) {
		if (strncmp(commands[i].words, word, size) == 0 && commands[i].words[size] == ' ')
			return true;
	}
	return false;
}

static const struct cli_option *option_find(const struct cli_option *options, const char *name,
					    size_t size, size_t *ret_index)
{
	for (size_t i = 0; options && options[i].name; i++) {
		if (strlen(options[i].name) == size && memcmp(options[i].name, name, size) == 0) {
			*ret_index = i;
			return &options[i];
		}
	}
	return NULL;
}

const char *cli_value(const struct cli *cli, const char *option)
{
	size_t i;

	if (!option_find(cli->command->options, option, strlen(option), &i))
		return NULL;
	return cli->values[i];
}

bool cli_read_version(struct cli *cli)
{
	const char *text = cli_value(cli, "if-match");
	char *end;
	long long version;

	if (!text)
		return true;
	errno = 0;
	version = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || version < 1) {
		complain("--if-match takes a version, as 'show' has it");
		return false;
	}
	cli->version = version;
	return true;
}

/* --- words --- */

struct words {
	struct cli *cli;
	char *const *all;
	int count, at;
	char *plain[WORDS_MAX]; /* that are no options */
	size_t plain_count;
	bool only_plain; /* after "--" */
	bool help, version;
};

static void global_set(struct words *words, const char *name, const char *value)
{
	struct cli *cli = words->cli;

	if (strcmp(name, "config") == 0)
		cli->config = value;
	else if (strcmp(name, "socket") == 0)
		cli->socket = value;
	else if (strcmp(name, "json") == 0)
		cli->json = true;
	else if (strcmp(name, "version") == 0)
		words->version = true;
	else
		words->help = true;
}

static int option_unknown(const struct words *words, const char *word)
{
	const char *names[CLI_OPTIONS_MAX * 2];
	const struct cli_command *command = words->cli->command;
	size_t count = 0;
	const char *near;

	for (const struct cli_option *o = cli_global_options; o->name; o++)
		names[count++] = o->name;
	for (const struct cli_option *o = command ? command->options : NULL; o && o->name; o++)
		names[count++] = o->name;
	near = text_nearest(word + 2, names, count);
	complain("unknown option '%s'%s%s%s", word, near ? "; did you mean '--" : "",
		 near ? near : "", near ? "'?" : "");
	return CLI_USAGE;
}

/* "--name value", "--name=value". The command's own options hide global ones of the same name. */
static int option_take(struct words *words, const char *word)
{
	struct cli *cli = words->cli;
	size_t size = strcspn(word + 2, "="), index = 0;
	const char *value = word[2 + size] == '=' ? word + 2 + size + 1 : NULL;
	const struct cli_option *own = cli->command ? cli->command->options : NULL;
	const struct cli_option *option = option_find(own, word + 2, size, &index);
	bool is_own = option != NULL;

	if (!option)
		option = option_find(cli_global_options, word + 2, size, &index);
	if (!option)
		return option_unknown(words, word);
	if (!option->argument && value) {
		complain("option '--%s' takes no value", option->name);
		return CLI_USAGE;
	}
	if (option->argument && !value) {
		if (words->at == words->count) {
			complain("option '--%s' needs a value: %s", option->name, option->argument);
			return CLI_USAGE;
		}
		value = words->all[words->at++];
	}
	if (!value)
		value = "";
	if (is_own)
		cli->values[index] = value;
	else
		global_set(words, option->name, value);
	return CLI_OK;
}

/* The command is known as soon as its last word was read: options behind it are its own. */
static int words_read(struct words *words)
{
	struct cli *cli = words->cli;
	size_t used;

	while (words->at < words->count) {
		char *word = words->all[words->at++];

		if (!words->only_plain && strcmp(word, "--") == 0) {
			words->only_plain = true;
		} else if (!words->only_plain && strcmp(word, "-h") == 0) {
			words->help = true;
		} else if (!words->only_plain && strncmp(word, "--", 2) == 0) {
			if (option_take(words, word) != CLI_OK)
				return CLI_USAGE;
		} else if (!words->only_plain && word[0] == '-' && word[1]) {
			return option_unknown(words, word);
		} else if (words->plain_count == WORDS_MAX) {
			complain("too many arguments");
			return CLI_USAGE;
		} else {
			words->plain[words->plain_count++] = word;
			if (!cli->command)
				cli->command =
					command_find(words->plain, words->plain_count, &used);
		}
	}
	return CLI_OK;
}

static const char *command_nearest(const char *text)
{
	size_t count;
	const struct cli_command *commands = cli_commands(&count);
	const char **names = alloc_zeroed(count, sizeof(*names)), *nearest;

	if (!names)
		return NULL;
	for (size_t i = 0; i < count; i++)
		names[i] = commands[i].words;
	nearest = text_nearest(text, names, count);
	free(names);
	return nearest;
}

static int command_unknown(const struct words *words)
{
	AUTO(strbuf) struct strbuf given = STRBUF(4096);
	const char *near;

	if (words->plain_count == 0) {
		cli_print_help(NULL, stderr);
		return CLI_USAGE;
	}
	for (size_t i = 0; i < words->plain_count && i < 2; i++)
		strbuf_printf(&given, "%s%s", i ? " " : "", words->plain[i]);
	if (words->plain_count == 1 && is_prefix(words->plain[0])) {
		complain("'%s' needs one more word", words->plain[0]);
		cli_print_help(words->plain[0], stderr);
		return CLI_USAGE;
	}
	near = command_nearest(strbuf_text(&given));
	if (!near && words->plain_count > 1)
		near = command_nearest(words->plain[0]);
	complain("unknown command '%s'%s%s%s", strbuf_text(&given), near ? "; did you mean '" : "",
		 near ? near : "", near ? "'?" : "");
	return CLI_USAGE;
}

/* "USER [GRANT]": how many must, how many may be given. */
static void arguments_count(const char *synopsis, size_t *ret_min, size_t *ret_max)
{
	size_t min = 0, max = 0;

	while (*synopsis) {
		min += *synopsis != '[';
		max++;
		synopsis += strcspn(synopsis, " ");
		synopsis += *synopsis == ' ';
	}
	*ret_min = min;
	*ret_max = max;
}

static int arguments_take(struct words *words)
{
	struct cli *cli = words->cli;
	const struct cli_command *command = cli->command;
	size_t used = words_match(command->words, words->plain, words->plain_count);
	size_t given = words->plain_count - used, min, max;

	arguments_count(command->arguments, &min, &max);
	if (given < min || given > max) {
		complain("'%s' takes %s", command->words,
			 max == 0 ? "no arguments" : command->arguments);
		cli_print_command_help(command, stderr);
		return CLI_USAGE;
	}
	for (size_t i = 0; i < given; i++)
		cli->arguments[i] = words->plain[used + i];
	return CLI_OK;
}

int cli_parse(struct cli *cli, int count, char *const *all, enum cli_parsed *ret_parsed)
{
	struct words words = { .cli = cli, .all = all, .count = count };

	if (words_read(&words) != CLI_OK)
		return CLI_USAGE;
	if (words.help || (words.plain_count > 0 && strcmp(words.plain[0], "help") == 0)) {
		*ret_parsed = CLI_PARSED_HELP;
		return CLI_OK;
	}
	if (words.version) {
		*ret_parsed = CLI_PARSED_VERSION;
		return CLI_OK;
	}
	if (!cli->command)
		return command_unknown(&words);
	*ret_parsed = CLI_PARSED_COMMAND;
	return arguments_take(&words);
}

/* --- help --- */

static void print_options(const struct cli_option *options, FILE *out)
{
	for (; options && options->name; options++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", options->name,
			 options->argument ? " " : "", options->argument ? options->argument : "");
		fprintf(out, "  %-20s  %s\n", left, options->help);
	}
}

void cli_print_command_help(const struct cli_command *command, FILE *out)
{
	fprintf(out, "usage: rolebridgectl %s%s%s%s\n\n  %s\n", command->words,
		command->arguments[0] ? " " : "", command->arguments,
		command->options ? " [OPTION…]" : "", command->help);
	if (command->options)
		fputs("\n", out);
	print_options(command->options, out);
}

void cli_print_help(const char *prefix, FILE *out)
{
	size_t count, size = prefix ? strlen(prefix) : 0;
	const struct cli_command *commands = cli_commands(&count);

	fputs("usage: rolebridgectl [--config FILE | --socket PATH] [--json] COMMAND …\n\n", out);
	for (size_t i = 0; i < count; i++) {
		char left[64];

		if (prefix && strncmp(commands[i].words, prefix, size) != 0)
			continue;
		snprintf(left, sizeof(left), "%s%s%s", commands[i].words,
			 commands[i].arguments[0] ? " " : "", commands[i].arguments);
		fprintf(out, "  %-28s  %s\n", left, commands[i].help);
	}
	if (prefix)
		return;
	fputs("\n", out);
	print_options(cli_global_options, out);
	fputs("\n'rolebridgectl COMMAND --help' lists the options of a command.\n"
	      "Exit status: 0 done, 1 refused or failed, 2 used wrongly.\n",
	      out);
}

/* --- man page --- */

/* A synopsis as mdoc: [X] becomes Op Ar X. */
static void mdoc_arguments(const char *synopsis, struct strbuf *out)
{
	while (*synopsis) {
		size_t size = strcspn(synopsis, " ");
		bool optional = *synopsis == '[';

		strbuf_puts(out, optional ? " Op Ar " : " Ar ");
		strbuf_append(out, synopsis + optional, size - (optional ? 2 : 0));
		synopsis += size;
		synopsis += *synopsis == ' ';
	}
}

static void mdoc_options(const struct cli_option *options, struct strbuf *out)
{
	strbuf_puts(out, ".Bl -tag -width Ds -compact\n");
	for (; options->name; options++) {
		strbuf_printf(out, ".It Fl -%s", options->name);
		if (options->argument)
			strbuf_printf(out, " Ar %s", options->argument);
		strbuf_printf(out, "\n%s.\n", options->help);
	}
	strbuf_puts(out, ".El\n");
}

void cli_print_mdoc(struct strbuf *out)
{
	size_t count;
	const struct cli_command *commands = cli_commands(&count);

	strbuf_puts(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < count; i++) {
		strbuf_printf(out, ".It Cm %s", commands[i].words);
		mdoc_arguments(commands[i].arguments, out);
		strbuf_printf(out, "\n%c%s.\n", toupper((unsigned char)commands[i].help[0]),
			      commands[i].help + 1);
		if (commands[i].options)
			mdoc_options(commands[i].options, out);
	}
	strbuf_puts(out, ".El\n");
}

/* --- completion --- */

static const char completion_head[] =
	"# bash completion for rolebridgectl(1); generated from its command table\n"
	"_rolebridgectl()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	"\tlocal line='' found='' next='' rest word i\n"
	"\tlocal -a commands=(\n";

static const char completion_tail[] =
	"\t)\n"
	"\n"
	"\tCOMPREPLY=()\n"
	"\tcase $prev in\n"
	"\t--config | --socket)\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"\t\treturn\n"
	"\t\t;;\n"
	"\tesac\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tcase $word in\n"
	"\t\t--config | --socket) ((i++)) ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) line+=\"${line:+ }$word\" ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\tfor word in \"${commands[@]}\"; do\n"
	"\t\tif [[ \"$line \" == \"$word \"* ]]; then found=$word; fi\n"
	"\tdone\n"
	"\tif [[ $cur == -* ]]; then\n"
	"\t\tnext=\"$global ${options[${found:-none}]-}\"\n"
	"\telif [[ $found == check ]]; then\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"\t\treturn\n"
	"\telif [[ -z $found ]]; then\n"
	"\t\tfor word in \"${commands[@]}\"; do\n"
	"\t\t\tif [[ $word == \"${line:+$line }\"* ]]; then\n"
	"\t\t\t\trest=${word#\"${line:+$line }\"}\n"
	"\t\t\t\tnext+=\" ${rest%% *}\"\n"
	"\t\t\tfi\n"
	"\t\tdone\n"
	"\tfi\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$next\" -- \"$cur\" | sort -u)\n"
	"}\n"
	"complete -o default -F _rolebridgectl rolebridgectl\n";

static void completion_options(const struct cli_option *options, struct strbuf *out)
{
	for (const struct cli_option *o = options; o->name; o++)
		strbuf_printf(out, "%s--%s", o == options ? "" : " ", o->name);
}

void cli_print_completion(struct strbuf *out)
{
	size_t count;
	const struct cli_command *commands = cli_commands(&count);

	strbuf_puts(out, completion_head);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(out, "\t\t'%s'\n", commands[i].words);
	strbuf_puts(out, "\t)\n\tlocal global='");
	completion_options(cli_global_options, out);
	strbuf_puts(out, "'\n\tlocal -A options=(\n");
	for (size_t i = 0; i < count; i++) {
		if (!commands[i].options)
			continue;
		strbuf_printf(out, "\t\t['%s']='", commands[i].words);
		completion_options(commands[i].options, out);
		strbuf_puts(out, "'\n");
	}
	strbuf_puts(out, completion_tail);
}
