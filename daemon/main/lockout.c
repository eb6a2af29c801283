/*
 * Whom a file's word on second factors would lock out. Enters: a configuration, the store. Leaves: warnings, one for an
 * organization. Nothing fails: it is advice.
 */
#include "lockout.h"

#include <unistd.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>

#define ARENA_MAX ((size_t)16 << 20)

struct looking {
	struct configuration *config;
	struct store *store;
	struct arena *arena;
	struct diagnostics *list;
};

/* Where it stands that this organization's people must. */
static struct position place_of(const struct configuration *config, const char *organization)
{
	const struct organization_settings *items = config->settings.organizations.items;

	for (size_t i = 0; i < config->settings.organizations.count; i++)
		if (items[i].name.text && strcmp(items[i].name.text, organization) == 0 &&
		    items[i].second_factor.required.text)
			return items[i].second_factor.required.at;
	return config->settings.second_factor.policy.required.at;
}

static void warn_of(const struct looking *looking, const char *organization)
{
	const struct setup *setup = &looking->config->setup;
	struct enforce_preview preview;
	struct enforce_state state;
	struct err unheard = { 0 };

	if (change_enforce_get(setup, looking->store, organization, looking->arena, &state,
			       &unheard) < 0 ||
	    state.from != ENFORCE_FILE || state.policy.required == FACTOR_FOR_NOBODY ||
	    change_enforce_preview(setup, looking->store, organization, &state.policy, 0, 1,
				   looking->arena, &preview, &unheard) < 0 ||
	    preview.locked_out == 0)
		return;
	diagnostics_add(
		looking->list, SEVERITY_WARNING, "second-factor-lockout",
		place_of(looking->config, organization),
		"Give a grace, or let them enrol first: 'rolebridgectl second-factor preview' "
		"lists them.",
		"%lld people of organization '%s', %lld of them administrators, have no second "
		"factor that counts",
		(long long)preview.locked_out, organization,
		(long long)preview.locked_out_administrators);
}

static bool is_declared(const struct configuration *config, const char *organization)
{
	const struct organization_settings *items = config->settings.organizations.items;

	for (size_t i = 0; i < config->settings.organizations.count; i++)
		if (items[i].name.text && strcmp(items[i].name.text, organization) == 0)
			return true;
	return false;
}

void lockout_warn(const char *store_path, struct configuration *config, struct diagnostics *list)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	AUTO(store) struct store *store = NULL;
	struct looking looking = { .config = config, .arena = arena, .list = list };
	const struct organization_settings *items = config->settings.organizations.items;
	struct err unheard = { 0 };

	if (!arena || access(store_path, R_OK) != 0)
		return;
	looking.store = store = store_open(store_path, STORE_READ, &unheard);
	if (!store)
		return;
	if (!is_declared(config, "default"))
		warn_of(&looking, "default");
	for (size_t i = 0; i < config->settings.organizations.count; i++)
		if (items[i].name.text)
			warn_of(&looking, items[i].name.text);
}

void lockout_log(const char *store_path, struct configuration *config)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();

	if (!list)
		return;
	lockout_warn(store_path, config, list);
	for (size_t i = 0; i < diagnostics_count(list); i++)
		log_warning("second-factor.lockout",
			    F_STR("detail", diagnostics_get(list, i)->message));
}
