/*
 * Hostile configurations: YAML to nodes, merging, option tables, reports. The
 * input is split at 0x1e bytes into files, so that merging is reached too.
 * What must hold: no crash, no output of libfyaml, a fixed point of counts,
 * and each position inside its file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/config/options.h>

struct inner {
	struct position at;
	struct located name, path;
	int64_t number, seconds, bytes, percent, date;
	int word;
	bool flag;
	struct located_list texts;
	struct pair_list pairs;
};

struct variant {
	struct position at;
	struct located type;
	struct inner inner;
};

struct outer {
	struct position at;
	struct inner one;
	struct struct_list many, kinds;
};

static const char *const words[] = { "low", "high", NULL };

static const struct option inner_options[] = {
	{ "name", OPTION_STRING, OPTION_REQUIRED, OPTION_FIELD(struct inner, name), 1, 9, NULL,
	  NULL, NULL, "A name." },
	{ "path", OPTION_PATH, 0, OPTION_FIELD(struct inner, path), 0, 0, "x/y", NULL, NULL, NULL },
	{ "number", OPTION_INT, 0, OPTION_FIELD(struct inner, number), -9, 9, "7", NULL, NULL,
	  NULL },
	{ "seconds", OPTION_SECONDS, 0, OPTION_FIELD(struct inner, seconds), 0, 0, "5m", NULL, NULL,
	  NULL },
	{ "bytes", OPTION_BYTES, 0, OPTION_FIELD(struct inner, bytes), 0, 0, "5KiB", NULL, NULL,
	  NULL },
	{ "percent", OPTION_PERCENT, 0, OPTION_FIELD(struct inner, percent), 0, 0, "5%", NULL, NULL,
	  NULL },
	{ "date", OPTION_DATE, 0, OPTION_FIELD(struct inner, date), 0, 0, "2026-01-01", NULL, NULL,
	  NULL },
	{ "word", OPTION_ENUM, 0, OPTION_FIELD(struct inner, word), 0, 0, "high", words, NULL,
	  NULL },
	{ "flag", OPTION_BOOL, 0, OPTION_FIELD(struct inner, flag), 0, 0, "true", NULL, NULL,
	  NULL },
	{ "texts", OPTION_STRINGS, OPTION_NOT_EMPTY, OPTION_FIELD(struct inner, texts), 0, 3,
	  "[a, 'b c']", NULL, NULL, NULL },
	{ "pairs", OPTION_PAIRS, 0, OPTION_FIELD(struct inner, pairs), 0, 0, "{a: [b]}", NULL, NULL,
	  NULL },
	{ 0 },
};
static const struct option_table inner_table = {
	.name = "inner",
	.struct_size = sizeof(struct inner),
	.options = inner_options,
	.shorthand = "name",
};

static const struct option variant_options[] = {
	{ "type", OPTION_STRING, OPTION_REQUIRED, OPTION_FIELD(struct variant, type), 0, 0, NULL,
	  NULL, NULL, NULL },
	{ 0 },
};
static const struct option kind_options[] = {
	{ "inner", OPTION_TABLE, 0, OPTION_FIELD(struct variant, inner), 0, 0, NULL, NULL,
	  &inner_table, NULL },
	{ 0 },
};
static const struct option_table variant_table;
static const struct option_table a_table = {
	.name = "a",
	.struct_size = sizeof(struct variant),
	.options = kind_options,
	.base = &variant_table,
};
static const struct option_table b_table = {
	.name = "b",
	.struct_size = sizeof(struct variant),
	.options = kind_options,
};
static const struct option_table *const variants[] = { &a_table, &b_table, NULL };
static const struct option_table variant_table = {
	.name = "kinds[]",
	.struct_size = sizeof(struct variant),
	.options = variant_options,
	.variants = variants,
};

static const struct option outer_options[] = {
	{ "one", OPTION_TABLE, 0, OPTION_FIELD(struct outer, one), 0, 0, NULL, NULL, &inner_table,
	  NULL },
	{ "many", OPTION_LIST, 0, OPTION_FIELD(struct outer, many), 0, 5, NULL, NULL, &inner_table,
	  NULL },
	{ "kinds", OPTION_LIST, 0, OPTION_FIELD(struct outer, kinds), 0, 0, NULL, NULL,
	  &variant_table, NULL },
	{ 0 },
};
static const struct option_table outer_table = {
	.name = "outer",
	.struct_size = sizeof(struct outer),
	.options = outer_options,
};

#define FILES_MAX 4

static size_t split_files(const char *data, size_t size, struct document_file *files)
{
	size_t count = 0, start = 0;

	for (size_t i = 0; i <= size && count < FILES_MAX; i++)
		if (i == size || (data[i] == '\x1e' && count + 1 < FILES_MAX)) {
			files[count++] =
				(struct document_file){ "f.yaml", data + start, i - start };
			start = i + 1;
		}
	return count;
}

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_texts(const struct inner *inner)
{
	require(inner->path.text != NULL);
	require(inner->number >= -9 && inner->number <= 9);
	require(inner->percent >= 0 && inner->percent <= 100);
	require(inner->word == 0 || inner->word == 1);
	require(inner->texts.count <= inner->texts.count + 1 && inner->texts.items != NULL);
	for (size_t i = 0; i < inner->texts.count; i++)
		require(inner->texts.items[i].text != NULL);
	for (size_t i = 0; i < inner->pairs.count; i++)
		require(inner->pairs.items[i].name.text && inner->pairs.items[i].values.items);
}

static void check_findings(const struct diagnostics *list, const struct document *document)
{
	for (size_t i = 0; i < diagnostics_count(list); i++) {
		const struct diagnostic *d = diagnostics_get(list, i);

		require(d->code && d->message && *d->message);
		if (d->at.file)
			require(d->at.line && d->at.column && d->at.width &&
				document_file_path(document, d->at.file));
	}
}

static void print_all(const struct diagnostics *list, const struct document *document)
{
	AUTO(strbuf) struct strbuf json = STRBUF(16 * 1024 * 1024);
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	require(out != NULL);
	diagnostics_print(list, document, out);
	fclose(out);
	for (size_t i = 0; i < size; i++)
		require((unsigned char)text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t');
	free(text);
	diagnostics_json(list, document, &json);
	require(!strbuf_failed(&json));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(arena) struct arena *arena = arena_create(256 * 1024 * 1024);
	struct document_file files[FILES_MAX];
	size_t count = split_files((const char *)data, size, files);
	AUTO(document) struct document *document = document_load_files(files, count, list);
	struct outer outer;

	require(document != NULL);
	options_parse(&outer_table, document, arena, &outer, list);
	require(!document_incomplete(document) || diagnostics_errors(list) > 0);
	check_texts(&outer.one);
	for (size_t i = 0; i < outer.many.count; i++)
		check_texts((const struct inner *)outer.many.items + i);
	for (size_t i = 0; i < outer.kinds.count; i++)
		require(((const struct variant **)outer.kinds.items)[i] != NULL);
	check_findings(list, document);
	print_all(list, document);
	return 0;
}
