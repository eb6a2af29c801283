/*
 * The jobs of rolebridged besides serving. Messages for people go to standard
 * error, results to standard output; nothing is written anywhere else.
 */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/worker.h>
#include <rolebridge/source/ldap.h>

#include "configuration.h"

#define REFERENCE_MAX_BYTES (4u * 1024 * 1024)

int command_check(const char *config_path)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	struct configuration *config;

	if (!list) {
		fprintf(stderr, "rolebridged: out of memory\n");
		return 1;
	}
	config = configuration_load(config_path, NULL, 0, NULL, list, &document);
	diagnostics_print(list, config ? config->document : document, stderr);
	if (!config) {
		fprintf(stderr, "%s: %zu error(s), %zu warning(s)\n", config_path,
			diagnostics_errors(list), diagnostics_warnings(list));
		return 1;
	}
	printf("%s: ok: %zu source(s), %zu rule(s), %zu test(s) passed, %zu warning(s)\n", config_path,
	       config->setup.source_count, ruleset_count(config->rules), config->tests_run,
	       diagnostics_warnings(list));
	setup_release(&config->setup);
	return 0;
}

int command_worker(const char *name)
{
	if (strcmp(name, "ldap") == 0)
		return ldap_worker_main(WORKER_SOCKET);
	fprintf(stderr, "rolebridged: there is no worker '%s'\n", name);
	return 2;
}

int command_print(const char *what)
{
	static const struct {
		const char *what;
		void (*print)(const struct option_table *root, struct strbuf *out);
	} references[] = {
		{ "options", options_print_help },
		{ "schema", options_print_schema },
		{ "manual", options_print_mdoc },
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

