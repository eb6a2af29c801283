/*
 * The jobs of rolebridged besides serving. Messages for people go to standard
 * error, results to standard output; nothing is written anywhere else.
 */
#include "commands.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/source/ldap.h>
#include <rolebridge/source/saml.h>
#include <rolebridge/store/backup.h>

#include "configuration.h"
#include "files.h"
#include "lockout.h"
#include "owner.h"
#include "upgrade.h"

#define DEFINITIONS_MAX_BYTES (512u * 1024 * 1024)
#define REFERENCE_MAX_BYTES (4u * 1024 * 1024)

int command_check(const char *config_path)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list *definitions;
	struct configuration *config;
	struct err err = { 0 };

	if (!list || !arena) {
		fprintf(stderr, "rolebridged: out of memory\n");
		return 1;
	}
	/* What the store adds is checked with it where it can be read. */
	if (configuration_definitions(config_path, arena, &definitions, &err) < 0)
		fprintf(stderr,
			"rolebridged: checked with the shipped profiles and roles alone: %s\n",
			err.text);
	config = configuration_load(config_path, NULL, 0, NULL, definitions, list, &document);
	if (config) {
		configuration_check_files(config, list);
		lockout_warn(config->settings.store.text, config, list);
	}
	diagnostics_print(list, config ? config->document : document, stderr);
	if (!config || diagnostics_errors(list) > 0) {
		fprintf(stderr, "%s: %zu error(s), %zu warning(s)\n", config_path,
			diagnostics_errors(list), diagnostics_warnings(list));
		if (config)
			setup_release(&config->setup);
		return 1;
	}
	printf("%s: ok: %zu source(s), %zu rule(s), %zu test(s) passed, %zu warning(s)\n",
	       config_path, config->setup.source_count, ruleset_count(config->rules),
	       config->tests_run, diagnostics_warnings(list));
	setup_release(&config->setup);
	return 0;
}

/* Root would leave what the daemon cannot open, and follow links that it put there. */
static int become_owner(const char *config_path, struct arena *arena, struct err *err)
{
	const char *store = configuration_store(config_path, arena);
	int there;

	if (!*store)
		return err_set(err, ERR_INVALID,
			       "configuration '%s' does not say where the store is; see --check",
			       config_path);
	there = access(store, F_OK) == 0 ? 1 : store_is_coming(store, err);
	return there > 0 ? owner_become(store, err) : there;
}

int command_migrate(const char *config_path)
{
	AUTO(strbuf) struct strbuf copy = STRBUF(PATH_MAX);
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	AUTO(fd) int lock = -1;
	struct err err = { 0 };
	const char *store;
	int result = arena ? become_owner(config_path, arena, &err)
			   : err_set(&err, ERR_MEMORY, "out of memory");

	if (result == 0)
		result = upgrade_configured(config_path, arena, &store, &lock, &copy, &err);
	if (copy.size > 0)
		printf("the store as it was: %s\n", strbuf_text(&copy));
	if (result < 0)
		fprintf(stderr, "rolebridged: %s\n", err.text);
	else
		printf("%s\n",
		       result ? "the store was brought to this version"
			      : "nothing to do: the store is this version's, or not there yet");
	return result < 0 ? 1 : 0;
}

int command_worker(const char *name)
{
	if (strcmp(name, "ldap") == 0)
		return ldap_worker_main(WORKER_SOCKET);
	if (strcmp(name, "saml") == 0)
		return saml_worker_main(WORKER_SOCKET);
	fprintf(stderr, "rolebridged: there is no worker '%s'\n", name);
	return 2;
}

static const char manual_head[] =
	".Dd November 22, 2026\n"
	".Dt ROLEBRIDGE.YAML 5\n"
	".Os\n"
	".Sh NAME\n"
	".Nm rolebridge.yaml\n"
	".Nd configuration of rolebridged\n"
	".Sh DESCRIPTION\n"
	".Xr rolebridged 8\n"
	"reads its configuration from YAML 1.2 files.\n"
	"The key\n"
	".Cm include\n"
	"at the top level of the first file names further ones by patterns, relative to\n"
	"it; their lists are added to its lists in the order of the file names.\n"
	"Unknown and repeated keys are errors; all errors are reported at once, with\n"
	"their positions.\n"
	"Relative paths start at the file that names them.\n"
	"Durations are written 90, 5m, 1h30m, 2d; sizes 64KiB, 8MiB.\n"
	"Files of more than 8 MiB, aliases, tags and second documents are refused.\n"
	".Pp\n"
	"Profiles, roles, personas and rules that were defined with\n"
	".Xr rolebridgectl 1\n"
	"stand in the store and come after those of the files, which hold where both name one.\n"
	"Diagnostics about them name the file\n"
	".Pa store .\n"
	".Pp\n"
	"Rules and their filters are described in\n"
	".Xr rolebridge-rules 5 .\n";

static const char manual_tail[] = ".Sh FILES\n"
				  ".Bl -tag -width Ds -compact\n"
				  ".It Pa /etc/rolebridge/rolebridge.yaml\n"
				  "the configuration\n"
				  ".El\n"
				  ".Sh SEE ALSO\n"
				  ".Xr rolebridgectl 1 ,\n"
				  ".Xr rolebridge-rules 5 ,\n"
				  ".Xr rolebridge-admin 7 ,\n"
				  ".Xr rolebridged 8\n";

static void print_manual(const struct option_table *root, struct strbuf *out)
{
	strbuf_puts(out, manual_head);
	options_print_mdoc(root, out);
	strbuf_puts(out, manual_tail);
}

int command_print(const char *what)
{
	static const struct {
		const char *what;
		void (*print)(const struct option_table *root, struct strbuf *out);
	} references[] = {
		{ "options", options_print_help },
		{ "schema", options_print_schema },
		{ "manual", print_manual },
	};
	AUTO(strbuf) struct strbuf text = STRBUF(REFERENCE_MAX_BYTES);

	for (size_t i = 0; i < ARRAY_LEN(references); i++) {
		if (strcmp(references[i].what, what) != 0)
			continue;
		references[i].print(&settings_table, &text);
		if (strbuf_failed(&text) || fputs(strbuf_text(&text), stdout) == EOF ||
		    fflush(stdout) == EOF)
			return 1;
		return 0;
	}
	fprintf(stderr, "rolebridged: cannot print '%s'\n", what);
	return 2;
}
