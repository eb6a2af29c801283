/*
 * Option tables of the catalogue, the rules and the rule tests. In: nothing.
 * Out: tables. What needs more than one row is checked in check.c.
 */
#include <rolebridge/rules/settings.h>

#define NAME_MAX_BYTES 64
#define DATE_MIN 86400		/* 0 means none */
#define DATE_MAX 253402214400LL /* 9999-12-31 */
#define RULES_MAX 100000

static const struct option profile_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct profile_settings, name),
	  .max = NAME_MAX_BYTES,
	  .help = "Short name: lower-case letters, digits, '.', '_', '-'." },
	{ .name = "description",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct profile_settings, description),
	  .help = "For people." },
	{ .name = "permissions",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct profile_settings, permissions),
	  .help = "What its holders may do: resource:verb@scope; the scope is own, unassigned or all." },
	{ .name = NULL },
};

static const struct option_table profile_table = {
	.name = "profiles[]",
	.help = "Named permission bundles. Every active user has exactly one.",
	.struct_size = sizeof(struct profile_settings),
	.options = profile_options,
};

static const struct option role_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct role_settings, name),
	  .max = NAME_MAX_BYTES,
	  .help = "Short name: lower-case letters, digits, '.', '_', '-'." },
	{ .name = "description",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct role_settings, description),
	  .help = "For people." },
	{ .name = "classifications",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct role_settings, classifications),
	  .help = "At least one of the allowed classifications. For reports; never grants access." },
	{ .name = "segments",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct role_settings, segments),
	  .help = "At least one of the enabled segments. For reports; never grants access." },
	{ .name = "permissions",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct role_settings, permissions),
	  .help = "What its holders may do: resource:verb@scope; the scope is own, unassigned or all." },
	{ .name = NULL },
};

static const struct option_table role_table = {
	.name = "roles[]",
	.help = "Named permission sets. A user has any number of them.",
	.struct_size = sizeof(struct role_settings),
	.options = role_options,
};

static const struct option persona_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct persona_settings, name),
	  .max = NAME_MAX_BYTES,
	  .help = "Short name: lower-case letters, digits, '.', '_', '-'." },
	{ .name = "title",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct persona_settings, title),
	  .help = "Name and part: 'Alex, the front-line support lead'." },
	{ .name = "primary",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct persona_settings, primary),
	  .default_text = "false",
	  .help = "One of the few the product is designed for; more than four are warned of." },
	{ .name = "objectives",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct persona_settings, objectives),
	  .help = "What they want to achieve." },
	{ .name = "frustrations",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct persona_settings, frustrations),
	  .help = "What stands in their way." },
	{ .name = "watering_holes",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct persona_settings, watering_holes),
	  .help = "Where they look for advice." },
	{ .name = "technical_sophistication",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct persona_settings, technical_sophistication),
	  .help = "low, medium or high." },
	{ .name = "review_due",
	  .type = OPTION_DATE,
	  .offset = OPTION_FIELD(struct persona_settings, review_due_s),
	  .min = DATE_MIN,
	  .max = DATE_MAX,
	  .help = "Day by which the persona should be looked at again; checks warn after it." },
	{ .name = NULL },
};

static const struct option_table persona_table = {
	.name = "personas[]",
	.help = "Archetypes by goals and behaviour. A persona never grants access.",
	.struct_size = sizeof(struct persona_settings),
	.options = persona_options,
};

static const struct option grant_options[] = {
	{ .name = "profile",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct grant_settings, profile),
	  .help = "A profile. The first matching rule in file order that has one gives it." },
	{ .name = "roles",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct grant_settings, roles),
	  .help = "Roles. Those of all matching rules come together." },
	{ .name = "personas",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct grant_settings, personas),
	  .help = "Personas. Those of all matching rules come together." },
	{ .name = "groups",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct grant_settings, groups),
	  .help = "Local groups. Those of all matching rules come together." },
	{ .name = NULL },
};

static const struct option_table grant_table = {
	.name = "rules[].grant",
	.help = "What a matching rule gives; under deny, what it takes away from all rules.",
	.struct_size = sizeof(struct grant_settings),
	.options = grant_options,
};

static const struct option rule_options[] = {
	{ .name = "id",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct rule_settings, id),
	  .max = NAME_MAX_BYTES,
	  .help = "Short name. Grants remember it as their origin: keep it." },
	{ .name = "description",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct rule_settings, description),
	  .help = "For people." },
	{ .name = "groups",
	  .type = OPTION_STRINGS,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct rule_settings, groups),
	  .help = "Membership, direct or nested, in any of these: a DN or immutable id for any "
		  "directory, or SOURCE:name. With when, both must hold." },
	{ .name = "when",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct rule_settings, when),
	  .max = 65536,
	  .help = "An RFC 4515 filter over the merged attributes; attribute;x-SOURCE reads one source. "
		  "(&) is everybody." },
	{ .name = "grant",
	  .type = OPTION_TABLE,
	  .offset = OPTION_FIELD(struct rule_settings, grant),
	  .table = &grant_table,
	  .help = "What people get for whom the condition is true." },
	{ .name = "deny",
	  .type = OPTION_TABLE,
	  .offset = OPTION_FIELD(struct rule_settings, deny),
	  .table = &grant_table,
	  .help = "What they must not have, whoever gives it." },
	{ .name = "expires",
	  .type = OPTION_DATE,
	  .offset = OPTION_FIELD(struct rule_settings, expires_s),
	  .min = DATE_MIN,
	  .max = DATE_MAX,
	  .help = "The rule ends at the end of that day, UTC." },
	{ .name = "trial",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct rule_settings, trial),
	  .default_text = "false",
	  .help = "Evaluated and reported, not applied." },
	{ .name = NULL },
};

static const struct option_table rule_table = {
	.name = "rules[]",
	.help = "Conditions and what they give. Profiles: the first match wins. Roles, personas and "
		"groups: all matches together. deny beats grant.",
	.struct_size = sizeof(struct rule_settings),
	.options = rule_options,
};

static const struct option test_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct rule_test_settings, name),
	  .help = "A sentence that says what must hold." },
	{ .name = "identity",
	  .type = OPTION_PAIRS,
	  .offset = OPTION_FIELD(struct rule_test_settings, identity),
	  .help = "A made-up person: attribute or attribute;x-SOURCE to values, groups to group names, "
		  "groups_complete: false for a truncated list. Without a source the first one says it." },
	{ .name = "expect",
	  .type = OPTION_PAIRS,
	  .flags = OPTION_REQUIRED,
	  .offset = OPTION_FIELD(struct rule_test_settings, expect),
	  .help = "profile (none: no profile), roles, personas, groups: exactly these. What is not "
		  "named is not compared." },
	{ .name = NULL },
};

static const struct option_table test_table = {
	.name = "tests[]",
	.help = "Run at every check and reload; one that fails refuses the configuration.",
	.struct_size = sizeof(struct rule_test_settings),
	.options = test_options,
};

static const struct option segment_options[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct segment_settings, name),
	  .max = NAME_MAX_BYTES,
	  .help = "Short name: lower-case letters, digits, '.', '_', '-'." },
	{ .name = "description",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct segment_settings, description),
	  .help = "For people." },
	{ .name = "filter",
	  .type = OPTION_STRING,
	  .flags = OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct segment_settings, filter),
	  .help = "RFC 4515 filter over attributes of people and what the store knows of them." },
	{ .name = NULL },
};

static const struct option_table segment_table = {
	.name = "segment_filters[]",
	.help = "A saved filter: who is in the segment is asked whenever somebody looks.",
	.struct_size = sizeof(struct segment_settings),
	.options = segment_options,
};

static const struct option catalogue_options[] = {
	{ .name = "profiles",
	  .type = OPTION_LIST,
	  .offset = OPTION_FIELD(struct catalogue_settings, profiles),
	  .table = &profile_table,
	  .help = "Named permission bundles; every active user has exactly one." },
	{ .name = "roles",
	  .type = OPTION_LIST,
	  .offset = OPTION_FIELD(struct catalogue_settings, roles),
	  .table = &role_table,
	  .help = "Named permission sets; any number per user." },
	{ .name = "personas",
	  .type = OPTION_LIST,
	  .offset = OPTION_FIELD(struct catalogue_settings, personas),
	  .table = &persona_table,
	  .help = "Archetypes by goals and behaviour." },
	{ .name = "rules",
	  .type = OPTION_LIST,
	  .offset = OPTION_FIELD(struct catalogue_settings, rules),
	  .max = RULES_MAX,
	  .table = &rule_table,
	  .help = "Conditions and what they give, in order." },
	{ .name = "tests",
	  .type = OPTION_LIST,
	  .offset = OPTION_FIELD(struct catalogue_settings, tests),
	  .table = &test_table,
	  .help = "Made-up people and what the rules must give them." },
	{ .name = "classifications",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct catalogue_settings, classifications),
	  .default_text = "[Admin, Sales, Support, Manager, Automation Only, "
			  "Co-marketing Partner, Compliance]",
	  .help = "Classifications that roles may carry." },
	{ .name = "segments",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct catalogue_settings, segments),
	  .default_text = "[All customers]",
	  .help = "Segments that are enabled; roles may carry these and segment_filters." },
	{ .name = "segment_filters",
	  .type = OPTION_LIST,
	  .offset = OPTION_FIELD(struct catalogue_settings, segment_filters),
	  .table = &segment_table,
	  .help = "Segments that are saved filters over people." },
	{ .name = "local_groups",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct catalogue_settings, local_groups),
	  .help = "Local groups that rules may give. Empty: any short name." },
	{ .name = NULL },
};

const struct option_table catalogue_table = {
	.name = "catalogue",
	.help = "Profiles, roles, personas and the rules that give them.",
	.struct_size = sizeof(struct catalogue_settings),
	.options = catalogue_options,
};
