/*
 * Options about second factors, and what their parts demand of each other. Enters: what was written. Leaves: settings,
 * findings with their place.
 */
#include <rolebridge/identity/factor.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/model/factor.h>

#define DAY_S (24 * 60 * 60)
#define NAMES_MAX 1000

static void check_methods(const struct located_list *methods, unsigned allowed,
			  struct diagnostics *list)
{
	for (size_t i = 0; i < methods->count; i++) {
		enum factor_method method = factor_method_find(methods->items[i].text);

		if (method == FACTOR_NONE || !(allowed & FACTOR_BIT(method)))
			diagnostics_add(list, SEVERITY_ERROR, "unknown-method",
					methods->items[i].at, NULL,
					"'%.64s' is no method that can be named here",
					methods->items[i].text);
	}
}

/* Whose names are only looked at with `required: chosen`. */
static void check_chosen(const struct factor_settings *settings, struct diagnostics *list)
{
	size_t names = settings->profiles.count + settings->roles.count + settings->groups.count;
	bool chosen = strcmp(settings->required.text, "chosen") == 0;

	if (chosen && names == 0)
		diagnostics_add(list, SEVERITY_ERROR, "second-factor-incomplete",
				settings->required.at,
				"Name profiles, roles or groups whose people are meant.",
				"'chosen' without anybody");
	if (!chosen && names > 0)
		diagnostics_add(list, SEVERITY_ERROR, "second-factor-incomplete",
				settings->required.at,
				"Profiles, roles and groups need 'required: chosen'.",
				"who is named here would make no difference");
}

static bool says_more(const struct factor_settings *settings)
{
	return settings->profiles.items || settings->roles.items || settings->groups.items ||
	       settings->methods.items || settings->administrator_methods.items ||
	       settings->grace.at.file || settings->remember.at.file;
}

static void check_factor(void *item, struct diagnostics *list)
{
	static const char *const choices[] = { "nobody", "administrators", "chosen", "all" };
	const struct factor_settings *settings = item;
	bool known = false;

	check_methods(&settings->methods, FACTOR_ALL_METHODS, list);
	check_methods(&settings->administrator_methods,
		      FACTOR_ALL_METHODS | FACTOR_BIT(FACTOR_IDP) | FACTOR_BIT(FACTOR_RECOVERY),
		      list);
	if (!settings->required.text) {
		if (says_more(settings))
			diagnostics_add(list, SEVERITY_ERROR, "second-factor-incomplete",
					settings->at, "Say of whom, or 'required: nobody'.",
					"'required' is missing");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(choices); i++)
		known |= strcmp(choices[i], settings->required.text) == 0;
	if (!known)
		diagnostics_add(list, SEVERITY_ERROR, "invalid-value", settings->required.at,
				"It is one of nobody, administrators, chosen and all.",
				"'%.64s' is nobody that could be meant", settings->required.text);
	else
		check_chosen(settings, list);
}

static const struct option grace_options[] = {
	{ "until", OPTION_DATE, 0, OPTION_FIELD(struct factor_grace_settings, until_s), 0, 0, NULL,
	  NULL, NULL, "The last day of grace, UTC." },
	{ "sign_ins", OPTION_INT, 0, OPTION_FIELD(struct factor_grace_settings, sign_ins), 0, 1000,
	  "0", NULL, NULL, "So many sign-ins of each person; 0 is no bound." },
	{ 0 },
};

static const struct option_table grace_table = {
	.name = "second_factor.grace",
	.help = "How long people without a method may sign in without one, and are led to enrol. With both, "
		"whichever ends first.",
	.struct_size = sizeof(struct factor_grace_settings),
	.options = grace_options,
};

static const struct option remember_options[] = {
	{ "time", OPTION_SECONDS, 0, OPTION_FIELD(struct factor_remember_settings, time_s), 0,
	  365 * DAY_S, "30d", NULL, NULL,
	  "How long after a proof a browser is not asked again; 0: none is remembered." },
	{ "devices", OPTION_INT, 0, OPTION_FIELD(struct factor_remember_settings, devices), 1, 100,
	  "5", NULL, NULL, "How many of one person; the oldest one goes." },
	{ 0 },
};

static const struct option_table remember_table = {
	.name = "second_factor.remember",
	.help = "Browsers that people may have remembered. Not given: none is.",
	.struct_size = sizeof(struct factor_remember_settings),
	.options = remember_options,
};

static const struct option factor_options[] = {
	{ "required", OPTION_STRING, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct factor_settings, required), 0, 32, NULL, NULL, NULL,
	  "Who must prove a second factor: nobody, administrators, chosen (by profile, role or "
	  "group) or all. Not given: the organization's administrators say it." },
	{ "profiles", OPTION_STRINGS, 0, OPTION_FIELD(struct factor_settings, profiles), 0,
	  NAMES_MAX, NULL, NULL, NULL, "With chosen: people with one of these profiles." },
	{ "roles", OPTION_STRINGS, 0, OPTION_FIELD(struct factor_settings, roles), 0, NAMES_MAX,
	  NULL, NULL, NULL, "With chosen: people with one of these roles." },
	{ "groups", OPTION_STRINGS, 0, OPTION_FIELD(struct factor_settings, groups), 0, NAMES_MAX,
	  NULL, NULL, NULL, "With chosen: people in one of these local groups." },
	{ "methods", OPTION_STRINGS, OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct factor_settings, methods), 0, 8, NULL, NULL, NULL,
	  "Which methods count, of totp, webauthn, email and sms. Not given: all. What an identity "
	  "provider proves counts where its source says so." },
	{ "administrator_methods", OPTION_STRINGS, 0,
	  OPTION_FIELD(struct factor_settings, administrator_methods), 0, 8, NULL, NULL, NULL,
	  "The same for administrators: these alone, of which idp (an identity provider's proof) and "
	  "recovery (printed codes) may be two. Not given: as for others." },
	{ "grace", OPTION_TABLE, 0, OPTION_FIELD(struct factor_settings, grace), 0, 0, NULL, NULL,
	  &grace_table, "How long people without a method may still sign in." },
	{ "remember", OPTION_TABLE, 0, OPTION_FIELD(struct factor_settings, remember), 0, 0, NULL,
	  NULL, &remember_table, "Browsers that are not asked each time." },
	{ 0 },
};

const struct option_table factor_table = {
	.name = "organizations[].second_factor",
	.help = "Who of this organization must prove a second factor, and how. All of it stands here or all at "
		"second_factor: nothing is joined.",
	.struct_size = sizeof(struct factor_settings),
	.options = factor_options,
	.check = check_factor,
};

static const struct option step_up_options[] = {
	{ "permissions", OPTION_STRINGS, OPTION_REQUIRED | OPTION_NOT_EMPTY,
	  OPTION_FIELD(struct step_up_settings, permissions), 0, NAMES_MAX, NULL, NULL, NULL,
	  "Permissions, resource:verb@scope; * stands for any." },
	{ "max_age", OPTION_SECONDS, 0, OPTION_FIELD(struct step_up_settings, max_age_s), 60,
	  365 * DAY_S, "10m", NULL, NULL, "How long ago the proof may be." },
	{ 0 },
};

static const struct option_table step_up_table = {
	.name = "second_factor.step_up[]",
	.help = "Permissions that are only used with a fresh second factor.",
	.struct_size = sizeof(struct step_up_settings),
	.options = step_up_options,
};

static const struct option second_factor_options[] = {
	{ "step_up", OPTION_LIST, 0, OPTION_FIELD(struct second_factor_settings, step_up), 0, 1000,
	  NULL, NULL, &step_up_table,
	  "Permissions that take a fresh proof, wherever they are used by somebody who is signed in." },
	{ 0 },
};

const struct option_table second_factor_table = {
	.name = "second_factor",
	.help = "Second factors: who must prove one, in organizations that say nothing themselves. Where no file "
		"says it, administrators do.",
	.struct_size = sizeof(struct second_factor_settings),
	.options = second_factor_options,
	.base = &factor_table,
};
