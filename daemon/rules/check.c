/*
 * What option tables cannot see: names that must be unique, declared, or well
 * formed. In: settings (texts may be missing where reading found errors). Out:
 * diagnostics, all in one go.
 */
#include "program.h"

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/rules/permission.h>

/* Names of one kind that were declared. */
struct name_set {
	const char *noun;
	struct hash_table *table;
	const char **names; /* for did-you-mean */
	size_t count;
};

static int name_set_init(struct name_set *set, const char *noun, size_t max)
{
	*set = (struct name_set){ .noun = noun,
				  .table = hash_table_create(max, max + 1),
				  .names = alloc_zeroed(max + 1, sizeof(*set->names)) };
	return set->table && set->names ? 0 : -1;
}

static void name_set_finish(struct name_set *set)
{
	hash_table_destroy(set->table);
	free(set->names);
}

/* false: already there. */
static bool name_set_add(struct name_set *set, const char *name)
{
	uint32_t *slot;

	if (hash_table_put(set->table, fingerprint128(name, strlen(name)), &slot) == 0)
		return false;
	set->names[set->count++] = name;
	return true;
}

static bool name_set_has(const struct name_set *set, const char *name)
{
	return hash_table_get(set->table, fingerprint128(name, strlen(name)), NULL);
}

static void check_declared_as(enum severity severity, const struct name_set *set, const char *code,
			      const char *problem, const struct located *name,
			      struct diagnostics *list)
{
	const char *nearest;
	char hint[256];

	if (name->text == NULL || name_set_has(set, name->text))
		return;
	nearest = text_nearest(name->text, set->names, set->count);
	snprintf(hint, sizeof(hint), "Did you mean '%.128s'?", nearest ? nearest : "");
	diagnostics_add(list, severity, code, name->at, nearest ? hint : NULL, "%s '%s'%s",
			set->noun, name->text, problem);
}

static void check_declared(const struct name_set *set, const char *code, const char *problem,
			   const struct located *name, struct diagnostics *list)
{
	check_declared_as(SEVERITY_ERROR, set, code, problem, name, list);
}

static void check_name(struct name_set *set, const struct located *name, struct diagnostics *list)
{
	if (name->text == NULL)
		return;
	if (!slug_is_valid(name->text))
		diagnostics_add(list, SEVERITY_ERROR, "invalid-name", name->at,
				"Use lower-case letters, digits, '.', '_' and '-'.",
				"%s name '%s' is not allowed", set->noun, name->text);
	if (!name_set_add(set, name->text))
		diagnostics_add(list, SEVERITY_ERROR, "duplicate-name", name->at, NULL,
				"%s '%s' is declared twice", set->noun, name->text);
}

static void check_permissions(const struct located_list *permissions, struct diagnostics *list)
{
	struct err err;

	for (size_t i = 0; i < permissions->count; i++)
		if (permission_check(permissions->items[i].text, &err) < 0)
			diagnostics_add(
				list, SEVERITY_ERROR, "bad-permission", permissions->items[i].at,
				"Examples: accounts:read@own, cases:*@all.", "%s", err.text);
}

/* The sets a configuration declares. */
struct catalogue {
	const struct catalogue_settings *settings;
	struct name_set profiles, roles, personas, groups, classifications, segments, rules;
	bool any_group;
};

static int add_plain(struct name_set *set, const char *noun, const struct located_list *names,
		     size_t more)
{
	if (name_set_init(set, noun, names->count + more) < 0)
		return -1;
	for (size_t i = 0; i < names->count; i++)
		name_set_add(set, names->items[i].text);
	return 0;
}

static void check_profiles(struct catalogue *known, const struct struct_list *profiles,
			   struct diagnostics *list)
{
	const struct profile_settings *items = profiles->items;

	for (size_t i = 0; i < profiles->count; i++) {
		check_name(&known->profiles, &items[i].name, list);
		check_permissions(&items[i].permissions, list);
	}
}

static bool is_listed(const struct located_list *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i].text, name) == 0)
			return true;
	return false;
}

/* Its own list, where it has one. organization NULL: what everybody has. */
static const struct located_list *plain_segments(const struct catalogue_settings *settings,
						 const char *organization)
{
	for (size_t i = 0; organization && i < settings->organization_count; i++)
		if (settings->organizations[i].name.text &&
		    strcmp(settings->organizations[i].name.text, organization) == 0 &&
		    settings->organizations[i].segments.count > 0)
			return &settings->organizations[i].segments;
	return &settings->segments;
}

/*
 * Saved filters are segments of whoever has them. What one calls a filter of its own takes nothing away from others,
 * whose list has the name.
 */
static bool has_segment(const struct catalogue_settings *settings, const char *organization,
			const char *name)
{
	const struct segment_settings *filters = settings->segment_filters.items;

	for (size_t i = 0; i < settings->segment_filters.count; i++)
		if (filters[i].name.text && strcmp(filters[i].name.text, name) == 0 &&
		    (!filters[i].organization ||
		     (organization && strcmp(filters[i].organization, organization) == 0)))
			return true;
	return is_listed(plain_segments(settings, organization), name);
}

static void check_segment(const struct catalogue *known, const struct role_settings *role,
			  const struct located *name, enum severity severity,
			  struct diagnostics *list)
{
	if (name->text == NULL || has_segment(known->settings, role->organization, name->text))
		return;
	if (!name_set_has(&known->segments, name->text))
		check_declared_as(severity, &known->segments, "segment-not-enabled",
				  " is not enabled", name, list);
	else
		diagnostics_add(list, severity, "segment-not-enabled", name->at, NULL,
				"segment '%s' is not enabled", name->text);
}

static void check_roles(struct catalogue *known, const struct struct_list *roles,
			struct diagnostics *list)
{
	const struct role_settings *items = roles->items;

	for (size_t i = 0; i < roles->count; i++) {
		const struct role_settings *role = &items[i];
		const char *name = role->name.text ? role->name.text : "";
		enum severity labels = role->lenient ? SEVERITY_WARNING : SEVERITY_ERROR;

		check_name(&known->roles, &role->name, list);
		check_permissions(&role->permissions, list);
		if (role->classifications.count == 0)
			diagnostics_add(list, SEVERITY_ERROR, "classification-required", role->at,
					NULL, "role '%s' needs at least one classification", name);
		if (role->segments.count == 0)
			diagnostics_add(list, SEVERITY_ERROR, "segment-required", role->at, NULL,
					"role '%s' needs at least one segment", name);
		for (size_t k = 0; k < role->classifications.count; k++)
			check_declared_as(labels, &known->classifications, "unknown-classification",
					  " is not allowed", &role->classifications.items[k], list);
		for (size_t k = 0; k < role->segments.count; k++)
			check_segment(known, role, &role->segments.items[k], labels, list);
	}
}

static void check_personas(struct catalogue *known, const struct struct_list *personas,
			   struct diagnostics *list)
{
	static const char *const levels[] = { "low", "medium", "high" };
	const struct persona_settings *items = personas->items;

	for (size_t i = 0; i < personas->count; i++) {
		const struct located *level = &items[i].technical_sophistication;
		bool found = level->text == NULL;

		check_name(&known->personas, &items[i].name, list);
		for (size_t k = 0; k < ARRAY_LEN(levels); k++)
			found = found || strcmp(level->text, levels[k]) == 0;
		if (!found)
			diagnostics_add(list, SEVERITY_ERROR, "bad-value", level->at, NULL,
					"'%s' is not low, medium or high", level->text);
	}
}

/* They count as enabled: added before roles are looked at. */
static void check_segments(struct catalogue *known, const struct struct_list *filters,
			   struct diagnostics *list)
{
	const struct segment_settings *items = filters->items;
	struct name_set names;

	if (name_set_init(&names, "segment", filters->count) == 0)
		for (size_t i = 0; i < filters->count; i++) {
			check_name(&names, &items[i].name, list);
			if (items[i].name.text)
				name_set_add(&known->segments, items[i].name.text);
		}
	name_set_finish(&names);
}

/* For a rule of an organization, what another one has is declared nowhere; and no name of it is a hint. */
static void check_given(const struct catalogue *known, const struct rule_settings *rule,
			enum grant_kind kind, const struct name_set *set, const char *code,
			const struct located *name, struct diagnostics *list)
{
	enum severity severity = rule->lenient ? SEVERITY_WARNING : SEVERITY_ERROR;
	struct catalogue_item item;

	if (rule->organization == NULL || name->text == NULL)
		check_declared_as(severity, set, code, " is not declared", name, list);
	else if (!catalogue_find(known->settings, kind, name->text, &item) ||
		 !catalogue_is_for(item.organization, rule->organization))
		diagnostics_add(list, severity, code, name->at, NULL, "%s '%s' is not declared",
				set->noun, name->text);
}

static void check_groups(const struct catalogue *known, const struct located_list *groups,
			 enum severity severity, struct diagnostics *list)
{
	for (size_t i = 0; i < groups->count; i++) {
		const struct located *name = &groups->items[i];

		if (!known->any_group)
			check_declared_as(severity, &known->groups, "unknown-local-group",
					  " is not declared", name, list);
		else if (!slug_is_valid(name->text))
			diagnostics_add(list, SEVERITY_ERROR, "invalid-name", name->at,
					"Use lower-case letters, digits, '.', '_' and '-'.",
					"local group name '%s' is not allowed", name->text);
	}
}

static void check_grants(const struct catalogue *known, const struct rule_settings *rule,
			 const struct grant_settings *grant, struct diagnostics *list)
{
	check_given(known, rule, GRANT_PROFILE, &known->profiles, "unknown-profile",
		    &grant->profile, list);
	for (size_t i = 0; i < grant->roles.count; i++)
		check_given(known, rule, GRANT_ROLE, &known->roles, "unknown-role",
			    &grant->roles.items[i], list);
	for (size_t i = 0; i < grant->personas.count; i++)
		check_given(known, rule, GRANT_PERSONA, &known->personas, "unknown-persona",
			    &grant->personas.items[i], list);
	check_groups(known, &grant->groups, rule->lenient ? SEVERITY_WARNING : SEVERITY_ERROR,
		     list);
}

static void check_rules(struct catalogue *known, const struct struct_list *rules,
			struct diagnostics *list)
{
	const struct rule_settings *items = rules->items;

	for (size_t i = 0; i < rules->count; i++) {
		check_name(&known->rules, &items[i].id, list);
		check_grants(known, &items[i], &items[i].grant, list);
		check_grants(known, &items[i], &items[i].deny, list);
	}
}

static void check_default(const struct catalogue *known, const struct catalogue_settings *settings,
			  const char *default_profile, struct diagnostics *list)
{
	struct located name = { .text = default_profile, .at = settings->at };
	struct catalogue_item item;

	if (default_profile != NULL && default_profile[0] != '\0')
		check_declared(&known->profiles, "unknown-profile",
			       ", the default, is not declared", &name, list);
	else
		return;
	if (catalogue_find(settings, GRANT_PROFILE, default_profile, &item) && item.organization)
		diagnostics_add(list, SEVERITY_ERROR, "unknown-profile", settings->at, NULL,
				"profile '%s', the default, is one organization's alone",
				default_profile);
}

static int catalogue_init(struct catalogue *known, const struct catalogue_settings *settings)
{
	known->any_group = settings->local_groups.count == 0;
	return name_set_init(&known->profiles, "profile", settings->profiles.count) |
	       name_set_init(&known->roles, "role", settings->roles.count) |
	       name_set_init(&known->personas, "persona", settings->personas.count) |
	       name_set_init(&known->rules, "rule", settings->rules.count) |
	       add_plain(&known->groups, "local group", &settings->local_groups, 0) |
	       add_plain(&known->classifications, "classification", &settings->classifications, 0) |
	       add_plain(&known->segments, "segment", &settings->segments,
			 settings->segment_filters.count);
}

static void catalogue_finish(struct catalogue *known)
{
	name_set_finish(&known->profiles);
	name_set_finish(&known->roles);
	name_set_finish(&known->personas);
	name_set_finish(&known->rules);
	name_set_finish(&known->groups);
	name_set_finish(&known->classifications);
	name_set_finish(&known->segments);
}

void catalogue_check(const struct catalogue_settings *settings, const char *default_profile,
		     struct diagnostics *list)
{
	struct catalogue known = { .settings = settings };

	if (catalogue_init(&known, settings) == 0) {
		check_profiles(&known, &settings->profiles, list);
		check_segments(&known, &settings->segment_filters, list);
		check_roles(&known, &settings->roles, list);
		check_personas(&known, &settings->personas, list);
		for (size_t i = 0; i < settings->local_groups.count; i++)
			if (!slug_is_valid(settings->local_groups.items[i].text))
				diagnostics_add(list, SEVERITY_ERROR, "invalid-name",
						settings->local_groups.items[i].at, NULL,
						"local group name '%s' is not allowed",
						settings->local_groups.items[i].text);
		check_rules(&known, &settings->rules, list);
		check_default(&known, settings, default_profile, list);
	} else {
		diagnostics_add(list, SEVERITY_ERROR, "out-of-memory", settings->at, NULL,
				"out of memory while checking names");
	}
	catalogue_finish(&known);
}
