#include "support.h"

#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

void web_config_load(struct web_config *config, const char *yaml)
{
	struct document_file file = { "test.yaml", yaml, strlen(yaml) };

	*config = (struct web_config){ .list = diagnostics_create(),
				       .arena = arena_create((size_t)1 << 26) };
	assert_non_null(config->list);
	assert_non_null(config->arena);
	config->document = document_load_files(&file, 1, config->list);
	assert_non_null(config->document);
	options_parse(&web_table, config->document, config->arena, &config->root, config->list);
	web_settings_check(&config->root.web, config->list);
}

void web_config_finish(struct web_config *config)
{
	document_destroy(config->document);
	diagnostics_destroy(config->list);
	arena_destroy(config->arena);
}

const char *web_config_findings(struct web_config *config)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);

	for (size_t i = 0; i < diagnostics_count(config->list); i++) {
		const struct diagnostic *finding = diagnostics_get(config->list, i);

		strbuf_printf(&text, "%u:%u %s%s\n", finding->at.line, finding->at.column,
			      finding->code,
			      finding->severity == SEVERITY_WARNING ? " (warning)" : "");
	}
	return arena_strdup(config->arena, strbuf_text(&text));
}
