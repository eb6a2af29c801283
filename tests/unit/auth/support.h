/* Settings of the web side from YAML, and principals by hand. */
#ifndef TESTS_AUTH_SUPPORT_H
#define TESTS_AUTH_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/auth/settings.h>

struct web_config {
	struct diagnostics *list;
	struct document *document;
	struct arena *arena;
	struct web_root root;
};

/* Parsed and checked; findings are in list. */
void web_config_load(struct web_config *config, const char *yaml);
void web_config_finish(struct web_config *config);
/* "line:column code" of each finding, one a line; in the config's arena. */
const char *web_config_findings(struct web_config *config);

#endif
