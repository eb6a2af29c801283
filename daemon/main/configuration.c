/*
 * From files to a running configuration. Steps that need the step before are
 * left out when that one failed, so that findings are real and not echoes.
 */
#include "configuration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/define.h>
#include <rolebridge/rules/ruletest.h>
#include <rolebridge/source/source.h>
#include <rolebridge/target/accounts.h>
#include <rolebridge/target/webhook.h>

#include "targets.h"

/* 10,000 rules with all their texts need about 30 MiB. */
#define CONFIGURATION_MAX_BYTES (512u * 1024 * 1024)

static void configuration_destroy(struct configuration *config)
{
	if (!config)
		return;
	ruleset_destroy(config->rules);
	schema_destroy(config->schema);
	group_registry_destroy(config->registry);
	document_destroy(config->document);
	arena_destroy(config->arena);
	free(config);
}

static void destroy_setup(struct setup *setup)
{
	configuration_destroy(setup->owner);
}

static int out_of_memory(struct diagnostics *list)
{
	diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", (struct position){ 0 }, NULL,
			"out of memory");
	return -1;
}

static const char *text_or_empty(const struct located *text)
{
	return text->text ? text->text : "";
}

static int list_sources(struct configuration *config, struct diagnostics *list)
{
	size_t count = config->settings.sources.count;
	const struct source_settings **sources;

	sources = arena_alloc_array(config->arena, count + 1, sizeof(*sources));
	if (!sources)
		return out_of_memory(list);
	for (size_t i = 0; i < count; i++)
		sources[i] = settings_source(&config->settings, i);
	config->setup.sources = sources;
	config->setup.source_count = count;
	return 0;
}

/* One kind of what a source may cause; false when memory ran out. */
static bool trust_names(struct arena *arena, const struct located_list *from,
			struct source_trust *trust, enum grant_kind kind)
{
	const char **names = arena_alloc_array(arena, from->count + 1, sizeof(*names));

	if (!names)
		return false;
	for (size_t i = 0; i < from->count; i++)
		names[i] = from->items[i].text;
	trust->names[kind] = names;
	trust->counts[kind] = from->count;
	return true;
}

static int build_trust(struct configuration *config, struct diagnostics *list)
{
	size_t count = config->setup.source_count;
	struct source_trust *trust = arena_alloc_array(config->arena, count + 1, sizeof(*trust));

	if (!trust)
		return out_of_memory(list);
	for (size_t i = 0; i < count; i++) {
		const struct may_grant_settings *may = &config->setup.sources[i]->may_grant;

		trust[i].restricted = may->at.file != 0;
		trust[i].signs_in = source_signs_in(config->setup.sources[i]);
		if (!trust_names(config->arena, &may->profiles, &trust[i], GRANT_PROFILE) ||
		    !trust_names(config->arena, &may->roles, &trust[i], GRANT_ROLE) ||
		    !trust_names(config->arena, &may->personas, &trust[i], GRANT_PERSONA) ||
		    !trust_names(config->arena, &may->groups, &trust[i], GRANT_GROUP))
			return out_of_memory(list);
	}
	config->setup.decision.trust = trust;
	return 0;
}

static bool is_listed(const uint32_t *ids, size_t count, uint32_t id)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ids[middle] == id)
			return true;
		if (ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Groups that no rule and no segment names any more leave the registry; their numbers are not used again. */
static int prune_registry(struct configuration *config, struct diagnostics *list)
{
	size_t named_count, count = group_registry_count(config->registry), gone = 0;
	const uint32_t *named = ruleset_groups(config->rules, &named_count);
	uint32_t *ids = arena_alloc_array(config->arena, count + 1, sizeof(*ids));

	if (!ids)
		return out_of_memory(list);
	for (size_t i = 0; i < count; i++) {
		uint32_t id = group_registry_at(config->registry, i)->id;

		if (!is_listed(named, named_count, id) &&
		    !is_listed(config->segments.groups, config->segments.group_count, id))
			ids[gone++] = id;
	}
	for (size_t i = 0; i < gone; i++)
		group_registry_remove(config->registry, ids[i]);
	return 0;
}

/* As last known; change/ follows what reads find. */
static int build_states(struct configuration *config, struct diagnostics *list)
{
	struct err err = { 0 };

	if (group_states_build(config->registry, config->arena, &config->states, &err) < 0)
		return out_of_memory(list);
	config->setup.decision.groups = &config->states;
	return 0;
}

/* What targets read of people. */
static void check_targets(struct configuration *config, bool *needed, struct diagnostics *list)
{
	const struct target_settings *const *targets = settings_targets(&config->settings);

	for (size_t i = 0; i < config->settings.targets.count; i++)
		if (strcmp(targets[i]->type.text, accounts_target_kind.name) == 0)
			accounts_target_check((const void *)targets[i], &config->settings.catalogue,
					      config->schema, needed, list);
}

/* Which attributes must sources deliver? Those of rules, of segments, of links between sources and of targets. */
static int build_needed(struct configuration *config, struct diagnostics *list)
{
	size_t count = schema_count(config->schema);
	bool *needed = arena_alloc_array(config->arena, count + 1, sizeof(*needed));

	if (!needed)
		return out_of_memory(list);
	for (size_t id = 0; id < count; id++)
		needed[id] = ruleset_reads(config->rules, (uint16_t)id) ||
			     config->segments.attributes[id];
	for (size_t i = 0; i < config->setup.source_count; i++) {
		const struct link_settings *link = &config->setup.sources[i]->link;
		const struct located *names[] = { &link->attribute, &link->other };

		for (size_t j = 0; link->at.file != 0 && j < ARRAY_LEN(names); j++) {
			int id = names[j]->text ? schema_find(config->schema, names[j]->text,
							      strlen(names[j]->text))
						: -1;

			if (id >= 0)
				needed[id] = true;
		}
	}
	check_targets(config, needed, list);
	config->needed = needed;
	return diagnostics_errors(list) > 0 ? -1 : 0;
}

/* A file may say so, since root can write another one; the store may not. */
static void warn_of_administrators(const struct configuration *config, struct diagnostics *list)
{
	const char *profile = text_or_empty(&config->settings.policy.administrator_profile);
	struct catalogue_item item;
	const char *lacking;

	if (!catalogue_find(&config->settings.catalogue, GRANT_PROFILE, profile, &item))
		return;
	lacking = administration_lacking(item.permissions);
	if (lacking)
		diagnostics_add(list, SEVERITY_WARNING, "administrators-limited",
				item.permissions->items[0].at,
				"Only root, on the control socket, can then do what is missing.",
				"profile '%s' of administrators lacks %s", profile, lacking);
}

static int compile_rules(struct configuration *config, struct diagnostics *list)
{
	const char *default_profile = text_or_empty(&config->settings.policy.default_profile);
	int tests;

	config->rules = ruleset_compile(&config->settings.catalogue, config->schema,
					default_profile, config->registry, list);
	if (!config->rules)
		return diagnostics_errors(list) > 0 ? -1 : out_of_memory(list);
	ruleset_lint(&config->settings.catalogue, &config->definitions.personas, clock_now_s(),
		     list);
	warn_of_administrators(config, list);
	tests = rule_tests_run(&config->settings.catalogue, config->rules, config->schema,
			       config->registry, default_profile, clock_now_s(), list);
	if (tests < 0)
		return out_of_memory(list);
	config->tests_run = (size_t)tests;
	return 0;
}

static void fill_setup(struct configuration *config)
{
	struct setup *setup = &config->setup;

	setup->decision.schema = config->schema;
	setup->decision.rules = config->rules;
	setup->decision.default_profile = text_or_empty(&config->settings.policy.default_profile);
	setup->decision.administrator_profile =
		text_or_empty(&config->settings.policy.administrator_profile);
	setup->policy = &config->settings.policy;
	setup->second_factor = &config->settings.second_factor;
	setup->catalogue = &config->settings.catalogue;
	setup->organizations = config->settings.organizations.items;
	setup->organization_count = config->settings.organizations.count;
	setup->invited_domains = &config->settings.web.invites.authoritative_domains;
	setup->activity_kept_s = config->settings.reports.retention_s;
	setup->registry = config->registry;
	setup->delivered = config->needed;
	setup->destroy = destroy_setup;
	setup->owner = config;
	setup->references = 1;
}

/* The shipped ones, which depend on what the files enable: these are looked at alone first. */
static int take_seeds(struct configuration *config)
{
	AUTO(diagnostics) struct diagnostics *unheard = diagnostics_create();
	struct settings *settings = arena_alloc(config->arena, sizeof(*settings));
	struct err err;

	if (!unheard || !settings)
		return -1;
	options_parse(&settings_table, config->document, config->arena, settings, unheard);
	return seeds_list(&settings->catalogue, config->arena, &config->definitions, &err);
}

static int copy_definitions(struct configuration *config, const struct definition_list *from)
{
	struct placed_definition *items =
		arena_alloc_array(config->arena, from->count + 1, sizeof(*items));

	for (size_t i = 0; items && i < from->count; i++) {
		items[i] = from->items[i];
		items[i].kind = arena_strdup(config->arena, from->items[i].kind);
		items[i].name = arena_strdup(config->arena, from->items[i].name);
		items[i].body = arena_strdup(config->arena, from->items[i].body);
		if (from->items[i].organization)
			items[i].organization =
				arena_strdup(config->arena, from->items[i].organization);
	}
	/* Borrowed for as long as findings are made. */
	config->definitions = (struct definition_list){ .items = items,
							.count = from->count,
							.lenient = from->lenient,
							.personas = from->personas };
	return arena_failed(config->arena) ? -1 : 0;
}

static int take_definitions(struct configuration *config, const struct definition_list *from,
			    struct diagnostics *list)
{
	if ((from ? copy_definitions(config, from) : take_seeds(config)) < 0)
		return out_of_memory(list);
	return definitions_append(&config->definitions, config->document, config->arena, list);
}

/* Webhooks go where all requests may go. */
static void allow_webhooks(struct configuration *config)
{
	struct target_settings **targets = config->settings.targets.items;

	for (size_t i = 0; i < config->settings.targets.count; i++) {
		struct webhook_settings *webhook = (struct webhook_settings *)(void *)targets[i];

		if (targets[i]->type.text && strcmp(targets[i]->type.text, webhook_kind.name) == 0)
			webhook->allowed_networks = &config->settings.web.outgoing.allowed_networks;
	}
}

/* All steps after reading the files. -1: findings say why. */
static int configuration_build(struct configuration *config,
			       const struct definition_list *definitions, struct diagnostics *list)
{
	if (take_definitions(config, definitions, list) < 0)
		return -1;
	options_parse(&settings_table, config->document, config->arena, &config->settings, list);
	config->settings.catalogue.organizations = config->settings.organizations.items;
	config->settings.catalogue.organization_count = config->settings.organizations.count;
	allow_webhooks(config);
	if (definitions_settle(&config->definitions, config->document, &config->settings, list) < 0)
		return -1;
	settings_check(&config->settings, list);
	if (list_sources(config, list) < 0)
		return -1;
	config->schema = schema_create(&config->settings.identity, config->setup.sources,
				       config->setup.source_count, list);
	if (!config->schema)
		return out_of_memory(list);
	/* Attributes of a source that did not parse would be missing here: no echoes. */
	if (compile_rules(config, list) < 0 ||
	    segments_compile(&config->settings.catalogue, config->schema, config->registry,
			     config->arena, &config->segments, list) < 0 ||
	    diagnostics_errors(list) > 0)
		return -1;
	if (build_trust(config, list) < 0 || prune_registry(config, list) < 0 ||
	    build_states(config, list) < 0 || build_needed(config, list) < 0)
		return -1;
	fill_setup(config);
	return targets_configure(config, list);
}

struct configuration *configuration_load(const char *path, const struct document_file *files,
					 size_t file_count, const struct group_registry *registry,
					 const struct definition_list *definitions,
					 struct diagnostics *list, struct document **ret_document)
{
	struct configuration *config = calloc(1, sizeof(*config));

	if (!config || !(config->arena = arena_create(CONFIGURATION_MAX_BYTES)) ||
	    !(config->registry =
		      registry ? group_registry_copy(registry) : group_registry_create())) {
		configuration_destroy(config);
		out_of_memory(list);
		return NULL;
	}
	config->document =
		files ? document_load_files(files, file_count, list) : document_load(path, list);
	if (config->document && configuration_build(config, definitions, list) == 0) {
		config->definitions.personas = (struct persona_knowledge){ 0 };
		return config;
	}
	if (ret_document) {
		*ret_document = config->document;
		config->document = NULL;
	}
	configuration_destroy(config);
	return NULL;
}

const char *configuration_store(const char *path, struct arena *arena)
{
	AUTO(diagnostics) struct diagnostics *unheard = diagnostics_create();
	AUTO(document) struct document *document = unheard ? document_load(path, unheard) : NULL;
	struct settings *settings = arena_alloc(arena, sizeof(*settings));

	if (!document || !settings)
		return "";
	options_parse(&settings_table, document, arena, settings, unheard);
	/* The default is a guess where what could not be read may name another. */
	if (document_incomplete(document) && settings->store.at.file == 0)
		return "";
	return text_or_empty(&settings->store);
}

int configuration_definitions(const char *path, struct arena *arena,
			      struct definition_list **ret_definitions, struct err *err)
{
	const char *store = configuration_store(path, arena);
	struct definition_list *list = arena_alloc(arena, sizeof(*list));
	struct definition *rows;
	bool seeded;
	size_t count;

	*ret_definitions = NULL;
	if (!list)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (definitions_read(store, arena, &rows, &count, &seeded, err) < 0)
		return -1;
	if (!seeded)
		return 0;
	if (definitions_of_rows(rows, count, arena, list, err) < 0 ||
	    definitions_know_personas(store, arena, list, err) < 0)
		return -1;
	*ret_definitions = list;
	return 0;
}

void configuration_report(const struct diagnostics *list, const struct document *document)
{
	if (diagnostics_count(list) > 0)
		diagnostics_print(list, document, stderr);
}

/* Does this group belong to what the source can deliver, and under which name? */
static const char *group_name_in(const struct group *group, const struct source_settings *source)
{
	if (group->source[0] == '\0')
		return source_is_directory(source) ? group->local : NULL;
	return strcmp(group->source, source->name.text) == 0 ? group->local : NULL;
}

int configuration_wanted_groups(const struct configuration *configuration,
				const struct source_settings *source, struct arena *arena,
				struct wanted_group **ret_groups, size_t *ret_count,
				struct err *err)
{
	size_t total = group_registry_count(configuration->registry), count = 0;
	struct wanted_group *groups = arena_alloc_array(arena, total + 1, sizeof(*groups));

	if (!groups)
		return err_set(err, ERR_MEMORY, "out of memory for %zu groups", total);
	for (size_t i = 0; i < total; i++) {
		const struct group *group = group_registry_at(configuration->registry, i);
		const char *name = group_name_in(group, source);

		if (!name)
			continue;
		groups[count++] = (struct wanted_group){ .id = group->id, .name = name };
	}
	*ret_groups = groups;
	*ret_count = count;
	return 0;
}
