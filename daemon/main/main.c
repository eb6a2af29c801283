/*
 * rolebridged: options, and which of its jobs this process does. Leaves with 0,
 * 1 (refused or failed) or 2 (usage).
 */
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/version.h>

#include "commands.h"
#include "restore.h"
#include "service.h"

#define DEFAULT_CONFIG "/etc/rolebridge/rolebridge.yaml"
#define ARENAS_MAX 2

enum {
	OPTION_CHECK = 1,
	OPTION_MIGRATE,
	OPTION_WORKER,
	OPTION_PRINT,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_BACKUP,
	OPTION_RESTORE,
	OPTION_HEAD,
	OPTION_KEEP_TOKENS,
	OPTION_DRY_RUN,
	OPTION_JSON
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "migrate", no_argument, NULL, OPTION_MIGRATE },
	{ "backup", required_argument, NULL, OPTION_BACKUP },
	{ "restore", required_argument, NULL, OPTION_RESTORE },
	{ "head", required_argument, NULL, OPTION_HEAD },
	{ "keep-tokens", no_argument, NULL, OPTION_KEEP_TOKENS },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "print", required_argument, NULL, OPTION_PRINT },
	{ "worker", required_argument, NULL, OPTION_WORKER },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char usage_text[] =
	"usage: rolebridged [--config FILE] [--check [FILE]] [--migrate] [--backup FILE]\n"
	"                   [--restore FILE [--dry-run] [--head SEQ:HASH] [--keep-tokens]] [--print WHAT]\n"
	"\n"
	"  -c, --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
	"      --check [FILE] say what is wrong with the configuration, run its tests, and leave\n"
	"      --migrate      copy a store of an older version, bring it to this one, and leave\n"
	"      --backup FILE  write a backup of the store, which no daemon has open, and leave\n"
	"      --restore FILE put a backup in the store's place, and leave; the store that was is\n"
	"                     kept beside it. With --dry-run: examine the backup alone;\n"
	"                     --head SEQ:HASH: only if its audit log holds this head; --keep-tokens:\n"
	"                     API tokens go on also where the present store does not tell; --json\n"
	"      --print WHAT   options: reference of all configuration keys\n"
	"                     schema: the same as JSON Schema; manual: the same as mdoc\n"
	"      --version      say the version and leave\n"
	"      --help         this text\n"
	"\n"
	"SIGHUP reads the configuration again, SIGTERM finishes what was accepted and leaves.\n";

static int usage(FILE *out, int status)
{
	fputs(usage_text, out);
	return status;
}

/* Closed ones would be the first that we open: what is told on standard error must reach no file or socket of ours. */
static bool have_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	const char *config = NULL;
	struct restore_options restore = { 0 };
	bool check = false, migrate = false;
	int job = 0, option;

	if (!have_standard_files())
		return 1;
	while ((option = getopt_long(argc, argv, "c:", long_options, NULL)) != -1) {
		switch (option) {
		case 'c': config = optarg; break;
		case OPTION_CHECK: check = true; break;
		case OPTION_MIGRATE: migrate = true; break;
		case OPTION_BACKUP:
		case OPTION_RESTORE:
			job = option;
			restore.file = optarg;
			break;
		case OPTION_HEAD: restore.head = optarg; break;
		case OPTION_KEEP_TOKENS: restore.keep_tokens = true; break;
		case OPTION_DRY_RUN: restore.dry_run = true; break;
		case OPTION_JSON: restore.json = true; break;
		case OPTION_WORKER: return command_worker(optarg);
		case OPTION_PRINT:
			option = command_print(optarg);
			return option == 2 ? usage(stderr, 2) : option;
		case OPTION_HELP: return usage(stdout, 0);
		case OPTION_VERSION: printf("rolebridged %s\n", ROLEBRIDGE_VERSION); return 0;
		default: return usage(stderr, 2);
		}
	}
	if (check && optind < argc && !config)
		config = argv[optind++];
	if (optind < argc)
		return usage(stderr, 2);
	if (!config)
		config = DEFAULT_CONFIG;
	if (check)
		return command_check(config);
	if (migrate)
		return command_migrate(config);
	restore.config = config;
	if (job)
		return job == OPTION_BACKUP ? command_backup(&restore) : command_restore(&restore);
	/* Each thread's own would keep what it once had: 18 MB after 100,000 sign-ins, with two of them 0.1. */
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	log_init("rolebridged");
	return service_run(config);
}
