/* Which attributes a source delivers, and the option tables of the file sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rolebridge/base/arena.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/file.h>

struct config {
	struct position at;
	struct struct_list sources;
	struct identity_settings identity;
};

static const struct option_table *const variants[] = { &ldif_source_table, &csv_source_table,
						       NULL };

static const struct option_table list_table = {
	.name = "sources[]",
	.help = "Sources.",
	.struct_size = sizeof(struct source_settings),
	.base = &source_base_table,
	.variants = variants,
};

static const struct option root_options[] = {
	{ "sources", OPTION_LIST, 0, OPTION_FIELD(struct config, sources), 0, 0, NULL, NULL,
	  &list_table, "Sources." },
	{ "identity", OPTION_TABLE, 0, OPTION_FIELD(struct config, identity), 0, 0, NULL, NULL,
	  &identity_table, "Identity." },
	{ NULL, OPTION_BOOL, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static const struct option_table root = {
	.name = "",
	.help = "Root.",
	.struct_size = sizeof(struct config),
	.options = root_options,
};

static const char good[] =
	"sources:\n"
	"  - name: corp\n    type: ldif\n    path: d.ldif\n    key: uid\n"
	"    attributes:\n      - {name: department, from: departmentNumber}\n      - shoeSize\n"
	"    disabled: [status=left, status=*]\n"
	"  - name: hr\n    type: csv\n    path: /x/hr.csv\n"
	"    link: {attribute: employeeNumber, source: corp}\n"
	"    attributes: [{name: costCenter, syntax: integer, absent: unknown}]\n";

static struct document *parse(const char *text, struct arena *arena, struct config *config,
			      struct diagnostics *list)
{
	struct document_file file = { "/etc/test.yaml", text, strlen(text) };
	struct document *document = document_load_files(&file, 1, list);

	assert_non_null(document);
	options_parse(&root, document, arena, config, list);
	return document;
}

static void test_options(void **state)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct config config;
	UNUSED AUTO(document) struct document *document = parse(good, arena, &config, list);
	const struct ldif_source *ldif = ((void **)config.sources.items)[0];
	const struct csv_source *csv = ((void **)config.sources.items)[1];

	(void)state;
	if (diagnostics_count(list) > 0)
		fail_msg("%s", diagnostics_get(list, 0)->message);
	assert_string_equal(ldif->common.name.text, "corp");
	assert_string_equal(ldif->common.organization.text, "default");
	assert_true(ldif->common.enabled);
	assert_int_equal(ldif->common.interval_s, 3600);
	assert_int_equal(ldif->common.link.at.file, 0);
	assert_int_equal(ldif->common.may_grant.at.file, 0);
	assert_string_equal(ldif->path.text, "/etc/d.ldif");
	assert_string_equal(ldif->key.text, "uid");
	assert_null(ldif->base.text);
	assert_int_equal(ldif->disabled.count, 2);
	assert_string_equal(csv->path.text, "/x/hr.csv");
	assert_string_equal(csv->key.text, "id");
	assert_string_equal(csv->groups.text, "groups");
	assert_string_equal(csv->separator.text, ";");
	assert_string_equal(csv->delimiter.text, ",");
	assert_int_equal(csv->disabled.count, 0);
	assert_int_not_equal(csv->common.link.at.file, 0);
	assert_string_equal(csv->common.link.other.text, "key");
}

static void test_findings(void **state)
{
	static const char bad[] =
		"sources:\n"
		"  - {name: Bad Name, type: ldif, path: x, base: 'cn=a,,dc=x'}\n"
		"  - {name: hr, type: csv, path: x, delimiter: '\"', disabled: status}\n"
		"  - {name: pw, type: csv, path: x, attributes: [userPassword, groups, 'a b']}\n"
		"  - {name: nopath, type: csv}\n";
	static const char *const codes[] = { "invalid-name",	  "invalid-dn",
					     "invalid-delimiter", "secret-attribute",
					     "reserved-name",	  "missing-key",
					     "invalid-marker" };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct config config;
	UNUSED AUTO(document) struct document *document = parse(bad, arena, &config, list);

	(void)state;
	assert_int_equal(diagnostics_errors(list), 8);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		bool found = false;

		for (size_t j = 0; j < diagnostics_count(list); j++)
			found = found || strcmp(diagnostics_get(list, j)->code, codes[i]) == 0;
		if (!found)
			fail_msg("no finding '%s'", codes[i]);
	}
}

static void assert_wanted(const struct source_settings *source, const struct schema *schema,
			  const bool *needed, const char *expected)
{
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	AUTO(strbuf) struct strbuf text = STRBUF(1 << 20);
	struct wanted_attribute *wanted;
	size_t count;

	assert_int_equal(
		source_wanted_attributes(source, schema, needed, arena, &wanted, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&text, "%s<%s ", wanted[i].name, wanted[i].from);
	assert_string_equal(strbuf_text(&text), expected);
}

static void test_wanted(void **state)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(arena) struct arena *arena = arena_create(1 << 20);
	struct config config;
	UNUSED AUTO(document) struct document *document = parse(good, arena, &config, list);
	void **items = config.sources.items;
	const struct source_settings *sources[] = { items[0], items[1] };
	struct schema *schema = schema_create(&config.identity, sources, 2, list);
	bool *needed = calloc(schema_count(schema), sizeof(*needed));
	struct wanted_attribute *wanted;
	size_t count;

	(void)state;
	assert_int_equal(diagnostics_count(list), 0);
	needed[schema_find(schema, "department", 10)] = true;
	needed[schema_find(schema, "costCenter", 10)] = true;
	needed[schema_find(schema, "title", 5)] = true;
	/* costCenter is declared by hr alone; shoeSize nobody needs; employeeNumber links hr. */
	assert_wanted(sources[0], schema, needed,
		      "cn<cn department<departmentNumber displayName<displayName mail<mail "
		      "title<title uid<uid ");
	assert_wanted(sources[1], schema, needed,
		      "cn<cn costCenter<costCenter department<department displayName<displayName "
		      "employeeNumber<employeeNumber mail<mail title<title uid<uid ");
	assert_int_equal(
		source_wanted_attributes(sources[0], schema, NULL, arena, &wanted, &count, NULL),
		0);
	assert_int_equal(count, schema_count(schema) - 1);
	free(needed);
	schema_destroy(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
