#include "sample.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>

static const char *const syntaxes[] = { "string", "integer", "dn", NULL };
static const char *const levels[] = { "low", "medium", "high", NULL };

static const struct option attribute_options[] = {
	{ "name", OPTION_STRING, OPTION_REQUIRED, OPTION_FIELD(struct sample_attribute, name), 1,
	  64, NULL, NULL, NULL, "As rules call it." },
	{ "from", OPTION_STRING, 0, OPTION_FIELD(struct sample_attribute, from), 0, 0, NULL, NULL,
	  NULL, "As the source calls it." },
	{ "syntax", OPTION_ENUM, 0, OPTION_FIELD(struct sample_attribute, syntax), 0, 0, "string",
	  syntaxes, NULL, "How values compare." },
	{ "sensitive", OPTION_BOOL, 0, OPTION_FIELD(struct sample_attribute, sensitive), 0, 0, NULL,
	  NULL, NULL, "Neither shown nor filterable." },
	{ 0 },
};
static const struct option_table attribute_table = {
	.name = "sources[].attributes[]",
	.help = "One attribute; its name alone may stand for it.",
	.struct_size = sizeof(struct sample_attribute),
	.options = attribute_options,
	.shorthand = "name",
};

static const struct option source_options[] = {
	{ "name", OPTION_STRING, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct sample_source, name), 0, 32, NULL, NULL, NULL, "A short name." },
	{ "type", OPTION_STRING, OPTION_REQUIRED, OPTION_FIELD(struct sample_source, type), 0, 0,
	  NULL, NULL, NULL, "What kind of source it is." },
	{ "interval", OPTION_SECONDS, 0, OPTION_FIELD(struct sample_source, interval_s), 30, 86400,
	  "5m", NULL, NULL, "Pause between reads." },
	{ "attributes", OPTION_LIST, 0, OPTION_FIELD(struct sample_source, attributes), 0, 0, NULL,
	  NULL, &attribute_table, "What is read." },
	{ 0 },
};

static const struct option ldap_options[] = {
	{ "servers", OPTION_STRINGS, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct sample_ldap, servers), 0, 3, NULL, NULL, NULL, "In order of use." },
	{ "page_size", OPTION_INT, 0, OPTION_FIELD(struct sample_ldap, page_size), 1, 10000, "1000",
	  NULL, NULL, "Entries asked for at once." },
	{ 0 },
};
static const struct option csv_options[] = {
	{ "path", OPTION_PATH, OPTION_REQUIRED, OPTION_FIELD(struct sample_csv, path), 0, 0, NULL,
	  NULL, NULL,
	  "The file. Lines starting with\n.dots and \"quotes\" or C:\\ are nothing special." },
	{ 0 },
};

static void check_csv(void *item, struct diagnostics *list)
{
	struct sample_csv *csv = item;

	if (csv->base.name.text && strcmp(csv->base.name.text, "forbidden") == 0)
		diagnostics_add(list, SEVERITY_ERROR, "forbidden", csv->base.name.at, NULL,
				"no CSV source may be called '%s'", csv->base.name.text);
}

static const struct option_table source_table;
static const struct option_table ldap_table = {
	.name = "ldap",
	.help = "A directory.",
	.struct_size = sizeof(struct sample_ldap),
	.options = ldap_options,
	.base = &source_table,
};
static const struct option_table csv_table = {
	.name = "csv",
	.help = "A table in a file.",
	.struct_size = sizeof(struct sample_csv),
	.options = csv_options,
	.check = check_csv,
};
static const struct option_table *const source_variants[] = { &ldap_table, &csv_table, NULL };
static const struct option_table source_table = {
	.name = "sources[]",
	.help = "Where people come from.",
	.struct_size = sizeof(struct sample_source),
	.options = source_options,
	.variants = source_variants,
};

static const struct option grant_options[] = {
	{ "profile", OPTION_STRING, 0, OPTION_FIELD(struct sample_grant, profile), 0, 0, NULL, NULL,
	  NULL, "One profile." },
	{ "roles", OPTION_STRINGS, 0, OPTION_FIELD(struct sample_grant, roles), 0, 0, NULL, NULL,
	  NULL, "Any roles." },
	{ 0 },
};
static const struct option_table grant_table = {
	.name = "rules[].grant",
	.struct_size = sizeof(struct sample_grant),
	.options = grant_options,
};

static const struct option rule_options[] = {
	{ "id", OPTION_STRING, OPTION_REQUIRED, OPTION_FIELD(struct sample_rule, id), 0, 0, NULL,
	  NULL, NULL, "A stable name." },
	{ "when", OPTION_STRING, 0, OPTION_FIELD(struct sample_rule, when), 0, 0, NULL, NULL, NULL,
	  "A filter." },
	{ "grant", OPTION_TABLE, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct sample_rule, grant), 0, 0, NULL, NULL, &grant_table,
	  "What it gives." },
	{ "expires", OPTION_DATE, 0, OPTION_FIELD(struct sample_rule, expires_s), 0, 0, NULL, NULL,
	  NULL, "Last day, UTC." },
	{ "trial", OPTION_BOOL, 0, OPTION_FIELD(struct sample_rule, trial), 0, 0, "false", NULL,
	  NULL, "Evaluated, not applied." },
	{ 0 },
};
static const struct option_table rule_table = {
	.name = "rules[]",
	.help = "Who gets what.",
	.struct_size = sizeof(struct sample_rule),
	.options = rule_options,
};

static const struct option limit_options[] = {
	{ "removals", OPTION_PERCENT, 0, OPTION_FIELD(struct sample_limits, removals), 0, 0, "5%",
	  NULL, NULL, "Held above this." },
	{ "body", OPTION_BYTES, 0, OPTION_FIELD(struct sample_limits, body), 1024, 1048576, "64KiB",
	  NULL, NULL, "Largest request." },
	{ "admins", OPTION_STRINGS, 0, OPTION_FIELD(struct sample_limits, admins), 0, 0,
	  "[root, \"o'hara\"]", NULL, NULL, "Who may." },
	{ 0 },
};
static const struct option_table limits_table = {
	.name = "limits",
	.help = "Bounds.",
	.struct_size = sizeof(struct sample_limits),
	.options = limit_options,
};

static const struct option sample_options[] = {
	{ "title", OPTION_STRING, 0, OPTION_FIELD(struct sample, title), 0, 40, "untitled", NULL,
	  NULL, "Shown above." },
	{ "state", OPTION_PATH, 0, OPTION_FIELD(struct sample, state), 0, 0, "/var/lib/sample",
	  NULL, NULL, "Folder of the state." },
	{ "port", OPTION_INT, 0, OPTION_FIELD(struct sample, port), 1, 65535, "8080", NULL, NULL,
	  "Where it listens." },
	{ "level", OPTION_ENUM, 0, OPTION_FIELD(struct sample, level), 0, 0, "medium", levels, NULL,
	  "How much." },
	{ "domains", OPTION_STRINGS, 0, OPTION_FIELD(struct sample, domains), 0, 3, NULL, NULL,
	  NULL, "Mail domains." },
	{ "limits", OPTION_TABLE, 0, OPTION_FIELD(struct sample, limits), 0, 0, NULL, NULL,
	  &limits_table, "Bounds on everything." },
	{ "sources", OPTION_LIST, 0, OPTION_FIELD(struct sample, sources), 0, 0, NULL, NULL,
	  &source_table, "Where people come from." },
	{ "rules", OPTION_LIST, 0, OPTION_FIELD(struct sample, rules), 0, 0, NULL, NULL,
	  &rule_table, "Who gets what." },
	{ "precedence", OPTION_PAIRS, 0, OPTION_FIELD(struct sample, precedence), 0, 0, NULL, NULL,
	  NULL, "Attribute to sources." },
	{ 0 },
};
const struct option_table sample_table = {
	.name = "sample.yaml",
	.help = "A sample. It has every type.",
	.struct_size = sizeof(struct sample),
	.options = sample_options,
};

static void finish(struct loaded *loaded)
{
	size_t size;
	FILE *out = open_memstream(&loaded->findings, &size);

	loaded->arena = arena_create(256 * 1024 * 1024);
	options_parse(&sample_table, loaded->document, loaded->arena, &loaded->sample,
		      loaded->list);
	diagnostics_print(loaded->list, loaded->document, out);
	fclose(out);
}

void sample_load(struct loaded *ret_loaded, ...)
{
	struct document_file files[8];
	size_t count = 0;
	va_list args;

	va_start(args, ret_loaded);
	while (count < 8 && (files[count].path = va_arg(args, const char *)) != NULL) {
		files[count].text = va_arg(args, const char *);
		files[count].size = strlen(files[count].text);
		count++;
	}
	va_end(args);
	*ret_loaded = (struct loaded){ .list = diagnostics_create() };
	ret_loaded->document = document_load_files(files, count, ret_loaded->list);
	finish(ret_loaded);
}

void sample_load_bytes(struct loaded *ret_loaded, const char *text, size_t size)
{
	struct document_file file = { "t.yaml", text, size };

	*ret_loaded = (struct loaded){ .list = diagnostics_create() };
	ret_loaded->document = document_load_files(&file, 1, ret_loaded->list);
	finish(ret_loaded);
}

void sample_load_text(struct loaded *ret_loaded, const char *text)
{
	sample_load_bytes(ret_loaded, text, strlen(text));
}

void sample_load_path(struct loaded *ret_loaded, const char *path)
{
	*ret_loaded = (struct loaded){ .list = diagnostics_create() };
	ret_loaded->document = document_load(path, ret_loaded->list);
	finish(ret_loaded);
}

void sample_free(struct loaded *loaded)
{
	document_destroy(loaded->document);
	diagnostics_destroy(loaded->list);
	arena_destroy(loaded->arena);
	free(loaded->findings);
	*loaded = (struct loaded){ 0 };
}
