/* The options under `policy:`. One row each: parsing, default, range, manual and schema. */
#include <rolebridge/policy/policy.h>

#include <rolebridge/base/util.h>

#define DAY_S (24 * 60 * 60)
#define COUNT_MAX 100000000

#define NUMBER(option_name, field, low, high, preset, text) \
	{ \
		.name = option_name, .type = OPTION_INT, \
		.offset = OPTION_FIELD(struct limits_settings, field), .min = low, .max = high, \
		.default_text = preset, .help = text \
	}
#define SHARE(option_name, field, preset, text) \
	{ \
		.name = option_name, .type = OPTION_PERCENT, \
		.offset = OPTION_FIELD(struct limits_settings, field), .min = 0, .max = 100, \
		.default_text = preset, .help = text \
	}

static const struct option limits_options[] = {
	NUMBER("disables_max", disables_max, 0, COUNT_MAX, "500",
	       "More disables than this are held, however large the source is."),
	NUMBER("disables_min", disables_min, 0, COUNT_MAX, "3",
	       "Up to this many disables are never held, however small the source is."),
	SHARE("disables_percent", disables_percent, "5%",
	      "Share of a source's active users above which disables are held."),
	NUMBER("removals_min", removals_min, 0, COUNT_MAX, "10",
	       "Up to this many removals of one grant are never held."),
	SHARE("removals_percent", removals_percent, "5%",
	      "Share of a grant's holders above which its removals are held."),
	SHARE("group_loss_percent", group_loss_percent, "30%",
	      "Share of a group's members above which what their loss takes away is held."),
	NUMBER("group_size_min", group_size_min, 1, COUNT_MAX, "10",
	       "Groups smaller than this have no limit of their own."),
	NUMBER("new_administrators", new_administrators, 0, COUNT_MAX, "3",
	       "More new administrators of an organization than this are held."),
	{ .name = "first_sync_administrators",
	  .type = OPTION_BOOL,
	  .offset = OPTION_FIELD(struct limits_settings, first_sync_administrators),
	  .default_text = "false",
	  .help = "Let the first sync of a source make administrators without a person's consent." },
	{ .name = "window",
	  .type = OPTION_SECONDS,
	  .offset = OPTION_FIELD(struct limits_settings, window_s),
	  .min = 60,
	  .max = 90 * DAY_S,
	  .default_text = "24h",
	  .help = "Changes are counted over this sliding time." },
	{ .name = NULL },
};

static const struct option_table limits_table = {
	.name = "policy.limits",
	.help = "What is over a limit is held until a person applies it; the rest applies.",
	.struct_size = sizeof(struct limits_settings),
	.options = limits_options,
};

static const struct option policy_options[] = {
	{ .name = "administrator_profile",
	  .type = OPTION_STRING,
	  .flags = OPTION_NOT_EMPTY,
	  .offset = OPTION_FIELD(struct policy_settings, administrator_profile),
	  .max = 64,
	  .default_text = "administrator",
	  .help = "The profile whose active holders are the administrators." },
	{ .name = "default_profile",
	  .type = OPTION_STRING,
	  .offset = OPTION_FIELD(struct policy_settings, default_profile),
	  .max = 64,
	  .default_text = "",
	  .help = "The profile of people whom no rule gives one. Not given: they are not provisioned." },
	{ .name = "protected_users",
	  .type = OPTION_STRINGS,
	  .offset = OPTION_FIELD(struct policy_settings, protected_users),
	  .help = "Usernames that no sync disables or takes anything from." },
	{ .name = "missing_runs",
	  .type = OPTION_INT,
	  .offset = OPTION_FIELD(struct policy_settings, missing_runs),
	  .min = 1,
	  .max = 1000,
	  .default_text = "2",
	  .help = "Whole reads in a row that must lack a person before they are disabled." },
	{ .name = "missing_grace",
	  .type = OPTION_SECONDS,
	  .offset = OPTION_FIELD(struct policy_settings, missing_grace_s),
	  .min = 0,
	  .max = 365 * DAY_S,
	  .default_text = "24h",
	  .help = "Time since the first of those reads that must have passed as well. A step "
		  "of the clock over 5 minutes raises an alarm and does not count." },
	{ .name = "stale_after",
	  .type = OPTION_SECONDS,
	  .offset = OPTION_FIELD(struct policy_settings, stale_after_s),
	  .min = 0,
	  .max = 3650 * (int64_t)DAY_S,
	  .default_text = "90d",
	  .help = "People known by sign-in alone are disabled after this time without one. 0: never." },
	{ .name = "limits",
	  .type = OPTION_TABLE,
	  .offset = OPTION_FIELD(struct policy_settings, limits),
	  .table = &limits_table,
	  .help = "How much may change without a person's consent." },
	{ .name = NULL },
};

const struct option_table policy_table = {
	.name = "policy",
	.help = "Administrators, defaults, leaving, and how much a sync may change by itself.",
	.struct_size = sizeof(struct policy_settings),
	.options = policy_options,
};

static const struct option reports_options[] = {
	{ .name = "retention",
	  .type = OPTION_SECONDS,
	  .offset = OPTION_FIELD(struct reports_settings, retention_s),
	  .min = DAY_S,
	  .max = 3650 * (int64_t)DAY_S,
	  .default_text = "400d",
	  .help = "On which days people signed in, and what they used, is kept so long. When they "
		  "signed in last is kept for good." },
	{ .name = NULL },
};

const struct option_table reports_table = {
	.name = "reports",
	.help = "What is kept of sign-ins and of what people use.",
	.struct_size = sizeof(struct reports_settings),
	.options = reports_options,
};
