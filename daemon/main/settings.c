/*
 * The root option table and the checks that need more than one row. What
 * enters is parsed settings; findings leave through diagnostics; nothing else can fail.
 */
#include "settings.h"

#include <assert.h>
#include <string.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/rules/permission.h>
#include <rolebridge/source/file.h>
#include <rolebridge/source/ldap.h>
#include <rolebridge/target/accounts.h>
#include <rolebridge/target/webhook.h>

static const struct option_table *const source_variants[] = {
	&ldap_source_table, &ldif_source_table, &csv_source_table, &saml_source_table, NULL,
};

static const struct option_table sources_table = {
	.name = "sources[]",
	.help = "Where identities come from. The key type picks the kind of source; the keys below are "
		"common to all kinds.",
	.struct_size = sizeof(struct source_settings),
	.options = (const struct option[]){ { .name = NULL } },
	.base = &source_base_table,
	.variants = source_variants,
};

static const struct option_table *const target_variants[] = {
	&accounts_target_table,
	&webhook_table,
	NULL,
};

static const struct option_table targets_table = {
	.name = "targets[]",
	.help = "Where decisions are carried out outside of the store. The key type picks the kind of "
		"target; the keys below are common to all kinds.",
	.struct_size = sizeof(struct target_settings),
	.options = (const struct option[]){ { .name = NULL } },
	.base = &target_base_table,
	.variants = target_variants,
};

/* In the order of enum log_level. */
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };

static const struct option settings_options[] = {
	{ .name = "store",
	  .type = OPTION_PATH,
	  .offset = OPTION_FIELD(struct settings, store),
	  .default_text = "/var/lib/rolebridge/rolebridge.db",
	  .help = "The file that keeps users, grants, plans and the audit log. Its folder must be "
		  "writable by the daemon and by nobody else." },
	{ .name = "control_socket",
	  .type = OPTION_PATH,
	  .max = 107, /* sun_path of unix(7) */
	  .offset = OPTION_FIELD(struct settings, control_socket),
	  .default_text = "/run/rolebridge/control.sock",
	  .help = "The unix socket rolebridgectl speaks to. Peer credentials decide who may." },
	{ .name = "control_group",
	  .type = OPTION_STRING,
	  .max = 32,
	  .offset = OPTION_FIELD(struct settings, control_group),
	  .default_text = "rolebridge-admin",
	  .help = "Members of this local group may use the control socket, beside root and the daemon's "
		  "own user." },
	{ .name = "log_level",
	  .type = OPTION_ENUM,
	  .choices = log_levels,
	  .offset = OPTION_FIELD(struct settings, log_level),
	  .default_text = "info",
	  .help = "Least important lines that are still logged." },
	{ .name = "organizations",
	  .type = OPTION_LIST,
	  .table = &organization_table,
	  .offset = OPTION_FIELD(struct settings, organizations),
	  .help = "Isolation boundaries. The organization 'default' always exists." },
	{ .name = "identity",
	  .type = OPTION_TABLE,
	  .table = &identity_table,
	  .offset = OPTION_FIELD(struct settings, identity),
	  .help = "How the identities of one person become one user." },
	{ .name = "sources",
	  .type = OPTION_LIST,
	  .max = SOURCES_CONFIGURED_MAX,
	  .table = &sources_table,
	  .offset = OPTION_FIELD(struct settings, sources),
	  .help = "Directories and files that are read, in order of precedence." },
	{ .name = "targets",
	  .type = OPTION_LIST,
	  .max = TARGETS_MAX,
	  .table = &targets_table,
	  .offset = OPTION_FIELD(struct settings, targets),
	  .help = "Where decisions are carried out outside of the store: accounts of this machine, "
		  "applications that want to be told. Only files may say so." },
	{ .name = "saml",
	  .type = OPTION_TABLE,
	  .table = &saml_table,
	  .offset = OPTION_FIELD(struct settings, saml),
	  .help = "The SAML service provider that all sources of type saml share." },
	{ .name = "policy",
	  .type = OPTION_TABLE,
	  .table = &policy_table,
	  .offset = OPTION_FIELD(struct settings, policy),
	  .help = "What is guarded, and how much may change before a person is asked." },
	{ .name = "second_factor",
	  .type = OPTION_TABLE,
	  .table = &second_factor_table,
	  .offset = OPTION_FIELD(struct settings, second_factor),
	  .help = "Who must prove a second factor, by what, and what takes a fresh one." },
	{ .name = "reports",
	  .type = OPTION_TABLE,
	  .table = &reports_table,
	  .offset = OPTION_FIELD(struct settings, reports),
	  .help = "What is kept for reports." },
	{ .name = "audit",
	  .type = OPTION_TABLE,
	  .table = &audit_table,
	  .offset = OPTION_FIELD(struct settings, audit),
	  .help = "How long the audit log is kept. Not given: for ever." },
	{ .name = NULL },
};

const struct option_table settings_table = {
	.name = "rolebridge.yaml",
	.help = "The keys at the top level of the configuration.",
	.struct_size = sizeof(struct settings),
	.options = settings_options,
	.base = &web_table,
};

static_assert(offsetof(struct settings, web) == offsetof(struct web_root, web),
	      "the root begins with what its base table fills");

const struct source_settings *settings_source(const struct settings *settings, size_t i)
{
	struct source_settings **sources = settings->sources.items;

	return sources[i];
}

static const struct source_settings *find_source(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->sources.count; i++) {
		const struct source_settings *source = settings_source(settings, i);

		if (source->name.text && strcmp(source->name.text, name) == 0)
			return source;
	}
	return NULL;
}

static void check_link(const struct settings *settings, const struct source_settings *source,
		       struct diagnostics *list)
{
	const struct link_settings *link = &source->link;

	if (link->at.file == 0 || !link->source.text)
		return;
	if (!find_source(settings, link->source.text))
		diagnostics_add(list, SEVERITY_ERROR, "unknown-source", link->source.at, NULL,
				"link to unknown source '%s'", link->source.text);
	else if (source->name.text && strcmp(source->name.text, link->source.text) == 0)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-link", link->source.at, NULL,
				"source '%s' cannot link to itself", source->name.text);
}

/* Whoever defines a source from afar must not name files of this machine, nor secrets. */
static void refuse_paths(const struct option_table *table, const void *item,
			 struct diagnostics *list)
{
	const struct option *option;

	for (; table; table = table->base)
		for (option = table->options; option && option->name; option++) {
			const char *place = (const char *)item + option->offset;
			const struct located *text = (const void *)place;

			if (option->type == OPTION_TABLE)
				refuse_paths(option->table, place, list);
			if (option->type == OPTION_PATH && text->at.file != 0)
				diagnostics_add(list, SEVERITY_ERROR, "managed-by-config", text->at,
						NULL,
						"'%s' names a file: only the configuration's files "
						"may",
						option->name);
		}
}

/* Directories and files need secrets and paths; metadata by fingerprint is in the store. */
static void check_origin(const struct settings *settings, const struct source_settings *source,
			 struct diagnostics *list)
{
	const struct saml_source *saml = (const void *)source;
	bool is_saml = source->type.text && strcmp(source->type.text, saml_source_table.name) == 0;
	bool stored = catalogue_is_stored(&settings->catalogue, source->at);

	if (stored && !is_saml)
		diagnostics_add(list, SEVERITY_ERROR, "managed-by-config", source->type.at, NULL,
				"a source of type '%s' needs files of this machine: declare it in "
				"the configuration's files",
				source->type.text ? source->type.text : "");
	else if (stored)
		refuse_paths(&saml_source_table, source, list);
	else if (is_saml && saml->idp.metadata.text)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", saml->idp.metadata.at,
				"Write it to a file, and give metadata_file.",
				"'metadata' is for sources that are defined by API or command");
}

static void check_source(const struct settings *settings, size_t index, struct diagnostics *list)
{
	const struct source_settings *source = settings_source(settings, index);

	if (source->name.text) {
		const struct source_settings *first = find_source(settings, source->name.text);

		if (first && first != source)
			diagnostics_add(list, SEVERITY_ERROR, "duplicate-name", source->name.at,
					"Give each source a name of its own.",
					"source '%s' is declared twice", source->name.text);
	}
	check_link(settings, source, list);
	check_origin(settings, source, list);
}

/* A SAML source needs the key pair, and an address of ours that IdPs can send browsers to. */
static void check_saml(const struct settings *settings, struct diagnostics *list)
{
	for (size_t i = 0; i < settings->sources.count; i++) {
		const struct source_settings *source = settings_source(settings, i);

		if (!source->type.text || source->broken ||
		    strcmp(source->type.text, saml_source_table.name) != 0)
			continue;
		if (!settings->web.public_url.text)
			diagnostics_add(
				list, SEVERITY_ERROR, "missing-key", source->at,
				"Add public_url: https://login.example.com at the top level.",
				"a source of type saml needs public_url");
		if (!settings->saml.certificate.text || !settings->saml.private_key.text)
			diagnostics_add(
				list, SEVERITY_ERROR, "missing-key", source->at,
				"Add saml: {certificate: FILE, private_key: FILE}.",
				"a source of type saml needs the service provider's key pair");
		return;
	}
}

static bool is_profile(const struct settings *settings, const char *name)
{
	const struct struct_list *profiles = &settings->catalogue.profiles;
	const struct profile_settings *items = profiles->items;

	for (size_t i = 0; i < profiles->count; i++) {
		if (items[i].name.text && strcmp(items[i].name.text, name) == 0)
			return true;
	}
	return false;
}

/* A misspelt profile would lock everybody out. */
static void check_applications(const struct settings *settings, struct diagnostics *list)
{
	const struct application_settings *applications = settings->web.applications.items;

	for (size_t i = 0; i < settings->web.applications.count; i++) {
		const struct located_list *profiles = &applications[i].require.profiles;

		for (size_t j = 0; j < profiles->count; j++) {
			if (!is_profile(settings, profiles->items[j].text))
				diagnostics_add(list, SEVERITY_ERROR, "unknown-profile",
						profiles->items[j].at, NULL,
						"no profile '%s' is declared",
						profiles->items[j].text);
		}
	}
}

static bool is_role(const struct settings *settings, const char *name)
{
	const struct role_settings *items = settings->catalogue.roles.items;

	for (size_t i = 0; i < settings->catalogue.roles.count; i++)
		if (items[i].name.text && strcmp(items[i].name.text, name) == 0)
			return true;
	return false;
}

/* A misspelt name would let people in without what was meant for them. */
static void check_factor_names(const struct settings *settings,
			       const struct factor_settings *factor, struct diagnostics *list)
{
	for (size_t i = 0; i < factor->profiles.count; i++)
		if (!is_profile(settings, factor->profiles.items[i].text))
			diagnostics_add(list, SEVERITY_ERROR, "unknown-profile",
					factor->profiles.items[i].at, NULL,
					"no profile '%s' is declared",
					factor->profiles.items[i].text);
	for (size_t i = 0; i < factor->roles.count; i++)
		if (!is_role(settings, factor->roles.items[i].text))
			diagnostics_add(list, SEVERITY_ERROR, "unknown-role",
					factor->roles.items[i].at, NULL, "no role '%s' is declared",
					factor->roles.items[i].text);
}

static void check_step_up(const struct settings *settings, struct diagnostics *list)
{
	const struct step_up_settings *items = settings->second_factor.step_up.items;

	for (size_t i = 0; i < settings->second_factor.step_up.count; i++)
		for (size_t j = 0; j < items[i].permissions.count; j++) {
			const struct located *permission = &items[i].permissions.items[j];
			struct err err = { 0 };

			if (permission_check(permission->text, &err) < 0)
				diagnostics_add(list, SEVERITY_ERROR, "invalid-permission",
						permission->at, NULL, "%s", err.text);
		}
}

static void check_second_factor(const struct settings *settings, struct diagnostics *list)
{
	const struct organization_settings *organizations = settings->organizations.items;

	check_factor_names(settings, &settings->second_factor.policy, list);
	for (size_t i = 0; i < settings->organizations.count; i++)
		check_factor_names(settings, &organizations[i].second_factor, list);
	check_step_up(settings, list);
}

void settings_check(const struct settings *settings, struct diagnostics *list)
{
	targets_settings_check(settings_targets(settings), settings->targets.count, list);
	check_second_factor(settings, list);
	web_settings_check(&settings->web, list);
	check_saml(settings, list);
	check_applications(settings, list);
	organizations_check(settings->organizations.items, settings->organizations.count,
			    settings->sources.items, settings->sources.count, list);
	for (size_t i = 0; i < settings->sources.count; i++)
		check_source(settings, i, list);
}
