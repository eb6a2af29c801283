#include "setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/util.h>
#include <rolebridge/rules/settings.h>

const struct actor test_person = { .name = "unix:root", .request = "request-1", .is_person = true };

struct test_settings {
	struct catalogue_settings catalogue;
	struct identity_settings identity;
	struct policy_settings policy;
	struct second_factor_settings second_factor;
	struct struct_list organizations, sources;
};

static const struct option test_source_options[] = {
	{ .name = "login",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct source_settings, takes_passwords),
	  .default_text = "false" },
	{ .name = "proves_factor",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct source_settings, proves_factor),
	  .default_text = "false" },
	{ .name = NULL },
};

static const struct option_table test_sources = {
	.name = "sources[]",
	.struct_size = sizeof(struct source_settings),
	.options = test_source_options,
	.base = &source_base_table,
};

static const struct option test_options[] = {
	{ .name = "identity",
	  .type = OPTION_TABLE,
	  .table = &identity_table,
	  .offset = OPTION_FIELD(struct test_settings, identity) },
	{ .name = "policy",
	  .type = OPTION_TABLE,
	  .table = &policy_table,
	  .offset = OPTION_FIELD(struct test_settings, policy) },
	{ .name = "second_factor",
	  .type = OPTION_TABLE,
	  .table = &second_factor_table,
	  .offset = OPTION_FIELD(struct test_settings, second_factor) },
	{ .name = "organizations",
	  .type = OPTION_LIST,
	  .table = &organization_table,
	  .offset = OPTION_FIELD(struct test_settings, organizations) },
	{ .name = "sources",
	  .type = OPTION_LIST,
	  .table = &test_sources,
	  .offset = OPTION_FIELD(struct test_settings, sources) },
	{ .name = NULL },
};

static const struct option_table test_table = {
	.name = "test",
	.struct_size = sizeof(struct test_settings),
	.options = test_options,
	.base = &catalogue_table,
};

struct test_setup {
	struct setup setup;
	struct arena *arena;
	struct document *document;
	struct test_settings settings;
	const struct source_settings **sources;
	struct source_trust *trust;
};

static void destroy_setup(struct setup *setup)
{
	struct test_setup *test = setup->owner;

	ruleset_destroy((struct ruleset *)setup->decision.rules);
	group_registry_destroy(setup->registry);
	schema_destroy((struct schema *)setup->decision.schema);
	document_destroy(test->document);
	arena_destroy(test->arena);
	free(test);
}

static void print_findings(const struct diagnostics *list)
{
	for (size_t i = 0; i < diagnostics_count(list); i++)
		if (diagnostics_get(list, i)->severity == SEVERITY_ERROR)
			print_message("%u: %s\n", diagnostics_get(list, i)->at.line,
				      diagnostics_get(list, i)->message);
}

static struct group_registry *known_groups(const char *path)
{
	struct group_registry *registry = group_registry_create();
	AUTO(arena) struct arena *arena = arena_create(1 << 24);
	AUTO(store) struct store *store = NULL;
	struct group_registry_row *rows;
	struct err err = { 0 };
	size_t count = 0;
	uint32_t next = 1;

	assert_non_null(registry);
	if (access(path, F_OK) != 0)
		return registry;
	store = store_open(path, STORE_READ, &err);
	if (!store || store_groups_load(store, arena, &rows, &count, &next, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < count; i++) {
		struct group group = { .id = rows[i].id,
				       .name = rows[i].name,
				       .source = "",
				       .local = rows[i].name,
				       .found = rows[i].found,
				       .vanished = rows[i].vanished,
				       .released = rows[i].released };

		assert_int_equal(group_registry_load(registry, &group, &err), 0);
	}
	group_registry_set_next_id(registry, next);
	return registry;
}

static void fill_trust(struct test_setup *test)
{
	test->trust = arena_alloc_array(test->arena, test->settings.sources.count + 1,
					sizeof(*test->trust));
	for (size_t i = 0; i < test->settings.sources.count; i++) {
		const struct may_grant_settings *may = &test->sources[i]->may_grant;
		const struct located_list *lists[] = { &may->profiles, &may->roles, &may->personas,
						       &may->groups };

		test->trust[i].restricted = may->at.file != 0;
		test->trust[i].signs_in = source_signs_in(test->sources[i]);
		for (size_t kind = 0; kind < GRANT_KINDS; kind++) {
			const char **names = arena_alloc_array(test->arena, lists[kind]->count + 1,
							       sizeof(*names));

			for (size_t j = 0; j < lists[kind]->count; j++)
				names[j] = lists[kind]->items[j].text;
			test->trust[i].names[kind] = names;
			test->trust[i].counts[kind] = lists[kind]->count;
		}
	}
}

static void prune(struct setup *setup)
{
	size_t count;
	const uint32_t *ids = ruleset_groups(setup->decision.rules, &count);

	for (size_t i = group_registry_count(setup->registry); i-- > 0;) {
		uint32_t id = group_registry_at(setup->registry, i)->id;
		bool named = false;

		for (size_t j = 0; j < count; j++)
			named |= ids[j] == id;
		if (!named)
			group_registry_remove(setup->registry, id);
	}
}

struct setup *test_setup_create(const char *path, const char *yaml)
{
	struct test_setup *test = calloc(1, sizeof(*test));
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct document_file file = { "test.yaml", yaml, strlen(yaml) };
	struct setup *setup = &test->setup;
	struct source_settings *sources;

	test->arena = arena_create(1 << 26);
	test->document = document_load_files(&file, 1, list);
	print_findings(list);
	assert_non_null(test->document);
	options_parse(&test_table, test->document, test->arena, &test->settings, list);
	sources = test->settings.sources.items;
	test->sources = arena_alloc_array(test->arena, test->settings.sources.count + 1,
					  sizeof(*test->sources));
	for (size_t i = 0; i < test->settings.sources.count; i++) {
		test->sources[i] = &sources[i];
	}
	setup->sources = test->sources;
	setup->source_count = test->settings.sources.count;
	setup->registry = known_groups(path);
	setup->decision.schema =
		schema_create(&test->settings.identity, test->sources, setup->source_count, list);
	print_findings(list);
	assert_non_null(setup->decision.schema);
	setup->decision.default_profile = test->settings.policy.default_profile.text
						  ? test->settings.policy.default_profile.text
						  : "";
	setup->decision.administrator_profile = test->settings.policy.administrator_profile.text;
	setup->decision.rules =
		ruleset_compile(&test->settings.catalogue, setup->decision.schema,
				setup->decision.default_profile, setup->registry, list);
	print_findings(list);
	assert_non_null(setup->decision.rules);
	prune(setup);
	fill_trust(test);
	setup->decision.trust = test->trust;
	setup->policy = &test->settings.policy;
	setup->second_factor = &test->settings.second_factor;
	setup->organizations = test->settings.organizations.items;
	setup->organization_count = test->settings.organizations.count;
	setup->catalogue = &test->settings.catalogue;
	setup->destroy = destroy_setup;
	setup->owner = test;
	setup->references = 1;
	return setup;
}

static int remove_entry(const char *path, const struct stat *info UNUSED, int flag UNUSED,
			struct FTW *at UNUSED)
{
	return remove(path);
}

void test_folder_remove(const char *path)
{
	nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void test_limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

rlim_t test_largest_file(const char *path)
{
	static const char *const ends[] = { "", "-wal" };
	off_t largest = 0;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct stat info;
		char file[256];

		snprintf(file, sizeof(file), "%s%s", path, ends[i]);
		if (stat(file, &info) == 0 && info.st_size > largest)
			largest = info.st_size;
	}
	return (rlim_t)largest;
}
