/*
 * The whole configuration as one struct, filled by the option tables of all
 * folders. Enter: YAML files. Leave: struct settings in an arena, findings in diagnostics.
 */
#ifndef ROLEBRIDGE_MAIN_SETTINGS_H
#define ROLEBRIDGE_MAIN_SETTINGS_H

#include <rolebridge/audit/settings.h>
#include <rolebridge/auth/settings.h>
#include <rolebridge/identity/settings.h>
#include <rolebridge/policy/policy.h>
#include <rolebridge/rules/settings.h>
#include <rolebridge/source/saml.h>
#include <rolebridge/target/target.h>

struct settings {
	/* First, in this order: rows of the root's base tables (struct web_root). */
	struct catalogue_settings catalogue;
	struct web_settings web;
	struct located store;
	struct located control_socket;
	struct located control_group;
	int log_level;
	struct identity_settings identity;
	struct policy_settings policy;
	struct second_factor_settings second_factor;
	struct reports_settings reports;
	struct struct_list organizations; /* struct organization_settings */
	struct struct_list sources; /* struct source_settings *, embedded in each type's struct */
	struct struct_list targets; /* struct target_settings *, embedded in each kind's struct */
	struct saml_settings saml;
	struct audit_settings audit;
};

extern const struct option_table settings_table;

/* The settings of source number i. */
const struct source_settings *settings_source(const struct settings *settings, size_t i);

/* All of settings->targets. */
static inline const struct target_settings *const *settings_targets(const struct settings *settings)
{
	return settings->targets.items;
}

/*
 * What tables cannot say: unique names, organizations that exist, links to sources that
 * exist, at most SOURCES_MAX sources. Findings go to list.
 */
void settings_check(const struct settings *settings, struct diagnostics *list);

#endif
