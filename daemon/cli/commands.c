/* The command table. Help is one sentence without a full stop. */
#include "cli.h"

#include <rolebridge/base/util.h>

const struct cli_option cli_global_options[] = {
	{ "config", "FILE", "configuration that names the control socket" },
	{ "socket", "PATH", "control socket of the daemon" },
	{ "json", NULL, "print the daemon's answer as JSON" },
	{ "help", NULL, "say how it is used and leave" },
	{ "version", NULL, "say the version and leave" },
	{ NULL, NULL, NULL },
};

static const struct cli_option sync_options[] = {
	{ "user", "USER", "read this person alone" },
	{ "full", NULL, "read everything, whatever is known of the last read" },
	{ NULL, NULL, NULL },
};

static const struct cli_option plan_options[] = {
	{ "config", "FILE", "preview this configuration against the live data" },
	{ "rule", "RULE", "preview the draft of this rule against the live data" },
	{ NULL, NULL, NULL },
};

static const struct cli_option apply_options[] = {
	{ "only", "USER", "apply what concerns this user and leave the rest held" },
	{ NULL, NULL, NULL },
};

static const struct cli_option sources_test_options[] = {
	{ "sample", "N", "show so many of its people, at most 100 (default 5)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option plans_list_options[] = {
	{ "state", "STATE", "held (default), applying, applied, superseded or damaged" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_list_options[] = {
	{ "organization", "NAME", "only users of this organization" },
	{ "profile", "NAME", "only users with this profile" },
	{ "grant", "KIND:NAME", "only holders of this grant, such as role:sales" },
	{ "state", "STATE", "active, disabled or any (default)" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_search_options[] = {
	{ "filter", "FILTER", "who matches this RFC 4515 filter, such as '(department=Sales)'" },
	{ "segment", "SEGMENT", "who is in this segment" },
	{ "organization", "NAME", "only users of this organization" },
	{ "profile", "NAME", "only users with this profile" },
	{ "grant", "KIND:NAME", "only holders of this grant, such as role:sales" },
	{ "state", "STATE", "active, disabled or any (default)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ "limit", "N", "at most so many (default 100)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_create_options[] = {
	{ "email", "ADDRESS", "e-mail address" },
	{ "name", "TEXT", "display name" },
	{ "organization", "NAME", "organization (default 'default')" },
	{ "profile", "NAME", "profile given by hand (without: the default one)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_set_options[] = {
	{ "username", "NAME", "user name" },
	{ "email", "ADDRESS", "e-mail address; '' for none" },
	{ "name", "TEXT", "display name; '' for the user name" },
	{ "if-match", "VERSION", "only if this is still the user's version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_grant_options[] = {
	{ "expires", "DATE", "last day of the grant, like 2027-01-31, UTC" },
	{ "if-match", "VERSION", "only if this is still the user's version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_disable_options[] = {
	{ "reason", "TEXT", "why, for the audit log" },
	{ "if-match", "VERSION", "only if this is still the user's version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_move_options[] = {
	{ "dry-run", NULL, "say what would become of it, and change nothing" },
	{ "if-match", "VERSION", "only if this is still the user's version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_version_options[] = {
	{ "if-match", "VERSION", "only if this is still the user's version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option why_options[] = {
	{ "sensitive", NULL, "show the values of sensitive attributes" },
	{ NULL, NULL, NULL },
};

#define AUDIT_OPTIONS \
	{ "person", "USER", "only what this person did, and what was done to them" }, \
		{ "actor", "NAME", "only rows of this actor, such as unix:root or 'user:*'" }, \
		{ "action", "NAME", \
		  "only rows of this action, such as user.disable or 'role.*'" }, \
		{ "object", "NAME", \
		  "only rows about this object, such as user:UUID or 'invite:*'" }, \
		{ "request", "ID", "only rows of this request or run" }, \
		{ "from", "TIME", "not before this day or time" }, \
		{ "to", "TIME", "before this day or time" }, \
		{ "after", "SEQ", "only rows with a larger number" }, \
	{ \
		"before", "SEQ", "only rows with a smaller number" \
	}

static const struct cli_option targets_show_options[] = {
	{ "state", "STATE", "only what is waiting, failing or dead" },
	{ "limit", "N", "so many at most (default 100)" },
	{ "after", "CURSOR", "go on after what was shown before" },
	{ NULL, NULL, NULL },
};

static const struct cli_option targets_reconcile_options[] = {
	{ "plan", "ID",
	  "the plan that was looked at: needed where more would be taken away than the limit" },
	{ NULL, NULL, NULL },
};

static const struct cli_option audit_list_options[] = {
	AUDIT_OPTIONS,
	{ "limit", "N", "the newest so many (default 100)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option audit_export_options[] = {
	AUDIT_OPTIONS,
	{ "format", "FORMAT", "json (one object a line, default) or csv" },
	{ NULL, NULL, NULL },
};

static const struct cli_option backup_options[] = {
	{ "keep", "N",
	  "FILE is a folder: write rolebridge-TIME.db there, and remove all such but the N newest" },
	{ NULL, NULL, NULL },
};

static const struct cli_option restore_options[] = {
	{ "dry-run", NULL, "examine the backup, and change nothing" },
	{ "head", "[SEQ:]HASH", "only if its audit log holds this head, noted earlier" },
	{ "keep-tokens", NULL,
	  "API tokens go on also where the present store does not tell whether they were revoked" },
	{ NULL, NULL, NULL },
};

static const struct cli_option restored_release_options[] = {
	{ "sign-in", NULL, "let people sign in instead, before each source was read whole" },
	{ NULL, NULL, NULL },
};

static const struct cli_option audit_verify_options[] = {
	{ "head", "[SEQ:]HASH", "a head noted earlier, which the chain must still hold" },
	{ "archive", "DIR",
	  "verify the rows that went to this folder, and the store's, as one chain" },
	{ NULL, NULL, NULL },
};

static const struct cli_option alarms_list_options[] = {
	{ "all", NULL, "also those that were cleared" },
	{ NULL, NULL, NULL },
};

static const struct cli_option quarantine_list_options[] = {
	{ "source", "SOURCE", "only entries of this source" },
	{ "limit", "N", "at most so many (default 100)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option quarantine_show_options[] = {
	{ "source", "SOURCE", "only an entry of this source" },
	{ NULL, NULL, NULL },
};

static const struct cli_option sessions_list_options[] = {
	{ "user", "USER", "only sessions of this user" },
	{ "source", "SOURCE", "only sessions that this source opened" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option sessions_end_options[] = {
	{ "user", "USER", "all sessions of this user" },
	{ NULL, NULL, NULL },
};

#define REPORT_WINDOW \
	{ "by", "WHAT", "profile, role, persona, classification or segment; not given: role" }, \
		{ "from", "DAY", "the first day, 2026-01-31 (UTC); not given: 30 days in all" }, \
	{ \
		"to", "DAY", "the last day; not given: today" \
	}
#define REPORT_EVERY \
	{ \
		"every", "PERIOD", "also by day, week or month" \
	}
#define REPORT_EVENTS \
	{ "application", "NAME", "events of this application alone" }, \
	{ \
		"feature", "NAME", "events of this name alone" \
	}
#define REPORT_DAYS \
	{ \
		"days", "N", "for so many days; not given: 90" \
	}
#define REPORT_END \
	{ "organization", "NAME", "people of this one alone" }, \
		{ "format", "FORMAT", "table, csv or json" }, \
	{ \
		NULL, NULL, NULL \
	}

static const struct cli_option report_sign_ins_options[] = { REPORT_WINDOW, REPORT_EVERY,
							     REPORT_END };
static const struct cli_option report_feature_use_options[] = {
	{ "by", "WHAT", "as of sign-ins, or application or feature; not given: role" },
	{ "from", "DAY", "the first day, 2026-01-31 (UTC); not given: 30 days in all" },
	{ "to", "DAY", "the last day; not given: today" },
	REPORT_EVERY,
	REPORT_EVENTS,
	REPORT_END,
};
static const struct cli_option report_adoption_options[] = { REPORT_WINDOW, REPORT_EVENTS,
							     REPORT_END };
static const struct cli_option report_unused_options[] = { REPORT_DAYS, REPORT_END };
static const struct cli_option report_inactive_options[] = {
	REPORT_DAYS,
	{ "include-disabled", NULL, "people who are disabled, too" },
	{ "limit", "N", "so many people; not given: 100" },
	{ "after", "N", "go on after an earlier page" },
	REPORT_END,
};

static const struct cli_option tokens_create_options[] = {
	{ "user", "USER", "whose it is" },
	{ "service", "NAME", "or this service's, which has no permissions but the scope" },
	{ "organization", "NAME", "organization of a service (default 'default')" },
	{ "application", "NAME", "only for resources of this application" },
	{ "scope", "PERMISSIONS",
	  "what it may, separated by commas, such as users:read@all (without: all that the user may)" },
	{ "expires", "DATE", "last day, like 2027-01-31, UTC (default: in 90 days)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option recovery_code_issue_options[] = {
	{ "lifetime", "TIME", "how long it is good: 10m to 30d (default 1h)" },
	{ NULL, NULL, NULL },
};

#define POLICY_OPTIONS \
	{ "required", "WHOM", "nobody, administrators, chosen or all" }, \
		{ "profiles", "NAMES", "profiles that are chosen, separated by commas" }, \
		{ "roles", "NAMES", "roles that are chosen" }, \
		{ "groups", "NAMES", "local groups that are chosen" }, \
		{ "methods", "NAMES", \
		  "methods that count: totp, webauthn, email, sms ('' for all)" }, \
		{ "administrator-methods", "NAMES", \
		  "methods that count for administrators, also recovery and idp" }, \
		{ "grace-until", "DATE", \
		  "last day on which people without a method come in to enrol one; '' for none" }, \
		{ "grace-sign-ins", "N", "how often they do" }, \
		{ "remember", "TIME", \
		  "how long a browser is remembered, such as 30d; 0 for never" }, \
	{ \
		"devices", "N", "how many browsers of one person are" \
	}

static const struct cli_option second_factor_set_options[] = {
	POLICY_OPTIONS,
	{ "if-match", "VERSION", "only if this is still the policy's version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option second_factor_preview_options[] = {
	POLICY_OPTIONS,
	{ "limit", "N", "list at most so many people (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option login_link_options[] = {
	{ "local", NULL, "at an address on loopback of its own, whatever the web side is like" },
	{ "listen", "ADDRESS", "the same at this address, such as 127.0.0.1:8443" },
	{ NULL, NULL, NULL },
};

static const struct cli_option tokens_list_options[] = {
	{ "user", "USER", "only tokens of this user" },
	{ "service", "NAME", "only tokens of this service" },
	{ "all", NULL, "also those that expired or were revoked" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option invites_create_options[] = {
	{ "profile", "NAME", "profile that they get" },
	{ "roles", "NAMES", "roles that they get, separated by commas" },
	{ "personas", "NAMES", "personas that they get" },
	{ "groups", "NAMES", "local groups that they get" },
	{ "name", "TEXT", "display name" },
	{ "username", "NAME", "user name (default: the e-mail address)" },
	{ "organization", "NAME", "organization (default: one's own, or 'default')" },
	{ NULL, NULL, NULL },
};

static const struct cli_option invites_list_options[] = {
	{ "state", "STATE", "pending, expired, accepted, revoked or any (default)" },
	{ "email", "ADDRESS", "only invites to this address" },
	{ "organization", "NAME", "only invites to this organization" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option resources_list_options[] = {
	{ "application", "NAME", "only this application's" },
	{ "type", "TYPE", "only of this type" },
	{ "owner", "USER", "only what this user has" },
	{ "unassigned", NULL, "only what nobody has" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option resources_children_options[] = {
	{ "type", "TYPE", "only of this type" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option resources_put_options[] = {
	{ "owner", "USER", "who has it (without: nobody)" },
	{ "parent", "TYPE/ID", "what it stands below (without: it is a root)" },
	{ "title", "TEXT", "what people call it" },
	{ "organization", "NAME", "of a root (without: its owner's)" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option resources_delete_options[] = {
	{ "recursive", NULL, "and all that is below it" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option resources_visible_options[] = {
	{ "parent", "TYPE/ID", "only what stands directly below this one" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option references_list_options[] = {
	{ "application", "NAME", "only this application's" },
	{ "kind", "KIND", "only of this kind; owner: of who has resources" },
	{ "user", "USER", "only what this user is responsible for" },
	{ "orphaned", NULL, "only what disabled users are responsible for" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option references_put_options[] = {
	{ "label", "TEXT", "what people call it" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option references_delete_options[] = {
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_reassign_options[] = {
	{ "application", "NAME", "only what is this application's" },
	{ NULL, NULL, NULL },
};

static const struct cli_option users_bulk_options[] = {
	{ "users", "NAMES", "these, with commas between" },
	{ "file", "FILE", "those of a file, one in each line" },
	{ "segment", "NAME", "those of a segment with a filter" },
	{ "filter", "FILTER", "those for whom an RFC 4515 filter is true" },
	{ "expires", "DATE", "last day of the grant, like 2027-01-31, UTC" },
	{ "reason", "TEXT", "why they are disabled, for the audit log" },
	{ "dry-run", NULL, "say what would become of each, and change nothing" },
	{ NULL, NULL, NULL },
};

static const struct cli_option accounts_options[] = {
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option import_users_options[] = {
	{ "dry-run", NULL, "say what would be done, and write nothing" },
	{ "all", NULL, "tell of every row, not only of those that failed" },
	{ NULL, NULL, NULL },
};

static const struct cli_option export_users_options[] = {
	{ "format", "FORMAT", "csv (default) or json" },
	{ "organization", "NAME", "only users of this organization" },
	{ "filter", "FILTER", "only who matches this RFC 4515 filter" },
	{ "segment", "SEGMENT", "only who is in this segment" },
	{ NULL, NULL, NULL },
};

static const struct cli_option segments_export_options[] = {
	{ "format", "FORMAT", "csv (default) or json" },
	{ "organization", "NAME", "only users of this organization" },
	{ NULL, NULL, NULL },
};

static const struct cli_option segments_users_options[] = {
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

#define DEFINITION_PAGE \
	{ "limit", "N", "at most so many (default 100)" }, \
	{ \
		"after", "NAME", "go on after this one, where the last list ended" \
	}
#define DEFINITION_CHANGE \
	{ "file", "FILE", "fields as a JSON object, '-' for standard input; options go over it" }, \
	{ \
		"dry-run", NULL, "say whom it concerns, and change nothing" \
	}

#define SOURCE_FIELDS \
	{ "metadata", "FILE", "metadata of the identity provider, '-' for standard input" }, \
		{ "metadata-url", "URL", "fetch it from there, again and again" }, \
		{ "metadata-signer", "FILE", "certificate (PEM) that it must be signed with" }, \
		{ "entity-id", "ID", "which identity provider of the metadata is meant" }, \
		{ "link", "LINK", \
		  "find people of another source: ATTRIBUTE=SOURCE:ATTRIBUTE; none: no link" }, \
		{ "just-in-time", "YES|NO", "make users of people whom nobody else knows" }, \
		{ "may-grant", "LIST", \
		  "profiles, roles, personas, groups that it may cause: role:sales,profile:member" }, \
		{ "allowed-domains", "LIST", "mail domains that it may speak for" }, \
	{ \
		"organization", "NAME", "whose people they are" \
	}

static const struct cli_option sources_create_options[] = {
	SOURCE_FIELDS,
	DEFINITION_CHANGE,
	{ NULL, NULL, NULL },
};

static const struct cli_option sources_update_options[] = {
	SOURCE_FIELDS,
	DEFINITION_CHANGE,
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option sources_switch_options[] = {
	{ "dry-run", NULL, "say whom it concerns, and change nothing" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

#define DEFINITION_OWNER \
	{ \
		"organization", "NAME", \
			"whose it is, '*' for all (default: one's own, or default)" \
	}

static const struct cli_option definitions_list_options[] = {
	DEFINITION_PAGE,
	{ NULL, NULL, NULL },
};

static const struct cli_option profiles_create_options[] = {
	{ "description", "TEXT", "for people" },
	{ "permissions", "LIST", "resource:verb@scope, with commas between" },
	DEFINITION_OWNER,
	DEFINITION_CHANGE,
	{ NULL, NULL, NULL },
};

static const struct cli_option profiles_update_options[] = {
	{ "description", "TEXT", "for people" },
	{ "permissions", "LIST", "resource:verb@scope, with commas between" },
	DEFINITION_CHANGE,
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option roles_create_options[] = {
	{ "description", "TEXT", "for people" },
	{ "classifications", "LIST", "at least one, with commas between" },
	{ "segments", "LIST", "at least one of those enabled, with commas between" },
	{ "permissions", "LIST", "resource:verb@scope, with commas between" },
	DEFINITION_OWNER,
	DEFINITION_CHANGE,
	{ NULL, NULL, NULL },
};

static const struct cli_option roles_update_options[] = {
	{ "description", "TEXT", "for people" },
	{ "classifications", "LIST", "at least one, with commas between" },
	{ "segments", "LIST", "at least one of those enabled, with commas between" },
	{ "permissions", "LIST", "resource:verb@scope, with commas between" },
	DEFINITION_CHANGE,
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option segments_create_options[] = {
	{ "filter", "FILTER", "who is in it: an RFC 4515 filter, such as '(department=Sales)'" },
	{ "description", "TEXT", "for people" },
	DEFINITION_OWNER,
	DEFINITION_CHANGE,
	{ NULL, NULL, NULL },
};

static const struct cli_option segments_update_options[] = {
	{ "filter", "FILTER", "who is in it: an RFC 4515 filter, such as '(department=Sales)'" },
	{ "description", "TEXT", "for people" },
	DEFINITION_CHANGE,
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

#define PERSONA_FIELDS \
	{ "title", "TEXT", "name and part: 'Alex, the front-line support lead'" }, \
		{ "primary", "YES|NO", "one of the few the product is designed for" }, \
		{ "objectives", "LIST", "what they want to achieve, with semicolons between" }, \
		{ "frustrations", "LIST", "what stands in their way" }, \
		{ "watering-holes", "LIST", "where they look for advice" }, \
		{ "technical-sophistication", "LEVEL", "low, medium or high" }, \
	{ \
		"review-due", "DATE", "day by which to look at it again" \
	}

static const struct cli_option personas_create_options[] = {
	PERSONA_FIELDS,
	DEFINITION_OWNER,
	DEFINITION_CHANGE,
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_update_options[] = {
	PERSONA_FIELDS,
	DEFINITION_CHANGE,
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_list_options[] = {
	{ "overdue", NULL, "only those whose review is overdue" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "NAME", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_assign_options[] = {
	{ "users", "NAMES", "these, with commas between" },
	{ "file", "FILE", "those of a file, one in each line" },
	{ "segment", "NAME", "those of a segment with a filter" },
	{ "filter", "FILTER", "those for whom an RFC 4515 filter is true" },
	{ "expires", "DATE", "last day, like 2027-01-31, UTC" },
	{ "dry-run", NULL, "say what would become of each, and change nothing" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_unassign_options[] = {
	{ "users", "NAMES", "these, with commas between" },
	{ "file", "FILE", "those of a file, one in each line" },
	{ "segment", "NAME", "those of a segment with a filter" },
	{ "filter", "FILTER", "those for whom an RFC 4515 filter is true" },
	{ "dry-run", NULL, "say what would become of each, and change nothing" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_research_add_options[] = {
	{ "at", "DATE", "the day, like 2027-01-31 (default today)" },
	{ "count", "N", "how many (default 1)" },
	{ "note", "TEXT", "what was found" },
	{ "link", "URL", "where it is written" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_research_list_options[] = {
	{ "kind", "KIND", "interview, ticket, usage or crm" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_validations_add_options[] = {
	{ "user", "USER", "who answered" },
	{ "respondent", "TEXT", "who answered and is no user" },
	{ "comment", "TEXT", "in their own words" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_validations_list_options[] = {
	{ "answer", "ANSWER", "yes, partly or no" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_review_options[] = {
	{ "note", "TEXT", "what was found" },
	{ "next-due", "DATE", "day by which to look at it again (default a year on)" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_reviews_options[] = {
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option personas_links_list_options[] = {
	{ "kind", "KIND", "story, review or ticket" },
	{ "limit", "N", "at most so many (default 100)" },
	{ "after", "ID", "go on after the place where the last list ended" },
	{ NULL, NULL, NULL },
};

static const struct cli_option definitions_delete_options[] = {
	{ "dry-run", NULL, "say what stands against it, and change nothing" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option roles_copy_options[] = {
	{ "description", "TEXT", "another one" },
	DEFINITION_OWNER,
	{ "dry-run", NULL, "change nothing" },
	{ NULL, NULL, NULL },
};

static const struct cli_option dry_run_options[] = {
	{ "dry-run", NULL, "say whom it concerns, and change nothing" },
	{ NULL, NULL, NULL },
};

static const struct cli_option rules_draft_options[] = {
	{ "change", NULL, "of a rule that is there already" },
	DEFINITION_OWNER,
	{ "dry-run", NULL, "look at it, and keep nothing" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_option rules_delete_options[] = {
	{ "draft", NULL, "the draft alone" },
	{ "dry-run", NULL, "say whom it concerns, and change nothing" },
	{ "if-match", "VERSION", "only if this is still its version" },
	{ NULL, NULL, NULL },
};

static const struct cli_command commands[] = {
	{ "status", "", "show sources, users, held plans and alarms", NULL, run_status },
	{ "check", "[FILE]", "check a configuration: diagnostics, rule tests, lint", NULL,
	  run_check },
	{ "reload", "", "read the configuration again and put it in force", NULL, run_reload },
	{ "sync", "[SOURCE]", "read sources and apply what the rules say", sync_options, run_sync },
	{ "plan", "[SOURCE]", "show what a sync would do, and write nothing", plan_options,
	  run_plan },
	{ "apply", "PLAN-ID", "apply a held plan", apply_options, run_apply },
	{ "plans list", "", "list plans", plans_list_options, run_plans_list },
	{ "plans show", "PLAN-ID", "show what a plan holds", NULL, run_plans_show },
	{ "runs list", "", "list what is under way and what ended lately", NULL, run_runs_list },
	{ "users list", "", "list users", users_list_options, run_users_list },
	{ "users search", "[TEXT]",
	  "find users whose name, e-mail address or display name begins so, or by a filter",
	  users_search_options, run_users_search },
	{ "users show", "USER", "show one user with grants and identities", NULL, run_users_show },
	{ "users create", "USERNAME", "create a local user", users_create_options,
	  run_users_create },
	{ "users set", "USER", "change fields of a user that no source delivers", users_set_options,
	  run_users_set },
	{ "users grant", "USER KIND NAME", "give a profile, role, persona or group by hand",
	  users_grant_options, run_users_grant },
	{ "users revoke", "USER KIND NAME", "take back what was given by hand",
	  users_version_options, run_users_revoke },
	{ "users disable", "USER", "disable a user now", users_disable_options, run_users_disable },
	{ "users enable", "USER", "lift a disabling by hand", users_version_options,
	  run_users_enable },
	{ "users move", "USER ORGANIZATION", "move a user to another organization",
	  users_move_options, run_users_move },
	{ "users delete", "USER", "delete a disabled user for good; the name is never given again",
	  users_version_options, run_users_delete },
	{ "users reassign", "USER TO",
	  "make everything that a user is responsible for somebody else's", users_reassign_options,
	  run_users_reassign },
	{ "users link", "USER SOURCE KEY",
	  "say that an identity is this user's, from its next read on", users_version_options,
	  run_users_link },
	{ "users unlink", "USER SOURCE KEY",
	  "take an identity, and what rules gave for it, from a user", users_version_options,
	  run_users_unlink },
	{ "users bulk", "ACTION [KIND] [NAME]",
	  "disable, enable, grant, revoke or delete many; one that is refused stops no other",
	  users_bulk_options, run_users_bulk },
	{ "users tie", "USER APPLICATION ACCOUNT",
	  "say that a user belongs to an application's account", NULL, run_users_tie },
	{ "users untie", "USER APPLICATION ACCOUNT",
	  "say that a user does not belong to an account any more", NULL, run_users_untie },
	{ "accounts users", "APPLICATION ACCOUNT",
	  "list who belongs to an account, with roles and personas", accounts_options,
	  run_accounts_users },
	{ "accounts personas", "APPLICATION [ACCOUNT]",
	  "count how many active users of an account, or of each, have which persona",
	  accounts_options, run_accounts_personas },
	{ "why", "USER [GRANT]", "explain every grant of a user, or one, or why it is absent",
	  why_options, run_why },
	{ "resources list", "", "list what applications have registered", resources_list_options,
	  run_resources_list },
	{ "resources show", "APPLICATION TYPE ID", "show one resource", NULL, run_resources_show },
	{ "resources children", "APPLICATION TYPE ID", "list what stands directly below a resource",
	  resources_children_options, run_resources_children },
	{ "resources put", "APPLICATION TYPE ID",
	  "register a resource, or say as a whole how it is now", resources_put_options,
	  run_resources_put },
	{ "resources delete", "APPLICATION TYPE ID", "remove a resource", resources_delete_options,
	  run_resources_delete },
	{ "resources import", "APPLICATION FILE",
	  "register the resources of a JSON file; bad rows never stop good ones", NULL,
	  run_resources_import },
	{ "resources visible", "USER PERMISSION APPLICATION TYPE",
	  "list for which resources a user has a permission, such as tasks:read",
	  resources_visible_options, run_resources_visible },
	{ "references list", "", "list who is responsible for what", references_list_options,
	  run_references_list },
	{ "references show", "APPLICATION KIND ID", "show one reference", NULL,
	  run_references_show },
	{ "references put", "APPLICATION KIND ID USER",
	  "say that a user is responsible for something", references_put_options,
	  run_references_put },
	{ "references delete", "APPLICATION KIND ID", "nobody is responsible for it any more",
	  references_delete_options, run_references_delete },
	{ "decide", "USER PERMISSION [RESOURCE]",
	  "say whether a user has a permission, such as tasks:read, for APPLICATION/TYPE/ID", NULL,
	  run_decide },
	{ "rules list", "", "list rules in their order", NULL, run_rules_list },
	{ "rules show", "RULE", "show one rule", NULL, run_rules_show },
	{ "rules release", "RULE", "accept that a vanished group of this rule is gone", NULL,
	  run_rules_release },
	{ "rules draft", "FILE",
	  "draft a rule of the store, from a JSON object; '-' for standard input",
	  rules_draft_options, run_rules_draft },
	{ "rules preview", "RULE", "show what a draft would do to whom", NULL, run_rules_preview },
	{ "rules activate", "RULE PLAN-ID", "put a draft in force, as its preview showed it", NULL,
	  run_rules_activate },
	{ "rules delete", "RULE", "delete a rule of the store and its draft", rules_delete_options,
	  run_rules_delete },
	{ "rules order", "RULES", "put the rules of the store in this order, with commas between",
	  dry_run_options, run_rules_order },
	{ "profiles list", "", "list profiles, those of files first", definitions_list_options,
	  run_profiles_list },
	{ "profiles show", "PROFILE", "show one profile, and how many hold it", NULL,
	  run_profiles_show },
	{ "profiles create", "PROFILE", "define a profile in the store", profiles_create_options,
	  run_profiles_create },
	{ "profiles update", "PROFILE", "change a profile of the store", profiles_update_options,
	  run_profiles_update },
	{ "profiles delete", "PROFILE", "delete a profile of the store that nobody holds",
	  definitions_delete_options, run_profiles_delete },
	{ "roles list", "", "list roles, those of files first", definitions_list_options,
	  run_roles_list },
	{ "roles show", "ROLE", "show one role, and how many hold it", NULL, run_roles_show },
	{ "roles create", "ROLE", "define a role in the store", roles_create_options,
	  run_roles_create },
	{ "roles update", "ROLE", "change a role of the store", roles_update_options,
	  run_roles_update },
	{ "roles delete", "ROLE", "delete a role of the store that nobody holds",
	  definitions_delete_options, run_roles_delete },
	{ "roles copy", "ROLE NAME", "define a role that is like another one", roles_copy_options,
	  run_roles_copy },
	{ "roles bulk-update", "FILE",
	  "give many roles other classifications and segments, all or none, from a JSON list",
	  dry_run_options, run_roles_bulk_update },
	{ "segments list", "", "list segments that are saved filters, those of files first",
	  definitions_list_options, run_segments_list },
	{ "segments show", "SEGMENT", "show one segment and its filter", NULL, run_segments_show },
	{ "segments count", "SEGMENT", "count who is in a segment now", NULL, run_segments_count },
	{ "segments users", "SEGMENT", "list who is in a segment now", segments_users_options,
	  run_segments_users },
	{ "segments export", "SEGMENT", "print who is in a segment now as a file that import takes",
	  segments_export_options, run_segments_export },
	{ "segments create", "SEGMENT", "save a filter as a segment of the store",
	  segments_create_options, run_segments_create },
	{ "segments update", "SEGMENT", "change a segment of the store", segments_update_options,
	  run_segments_update },
	{ "segments delete", "SEGMENT", "delete a segment of the store that no role carries",
	  definitions_delete_options, run_segments_delete },
	{ "personas list", "", "list personas, those of files first", personas_list_options,
	  run_personas_list },
	{ "personas show", "PERSONA", "show one persona, how many hold it, and what it rests on",
	  NULL, run_personas_show },
	{ "personas create", "PERSONA", "define a persona in the store", personas_create_options,
	  run_personas_create },
	{ "personas update", "PERSONA", "change a persona of the store", personas_update_options,
	  run_personas_update },
	{ "personas delete", "PERSONA",
	  "delete a persona of the store that nobody holds, and all that is known of it",
	  definitions_delete_options, run_personas_delete },
	{ "personas assign", "PERSONA", "give many users a persona by hand",
	  personas_assign_options, run_personas_assign },
	{ "personas unassign", "PERSONA", "take back from many users what was given by hand",
	  personas_unassign_options, run_personas_unassign },
	{ "personas research list", "PERSONA", "list what a persona rests on",
	  personas_research_list_options, run_personas_research_list },
	{ "personas research add", "PERSONA KIND",
	  "note an interview, tickets, figures of usage or records of a crm",
	  personas_research_add_options, run_personas_research_add },
	{ "personas research remove", "PERSONA ID", "take an entry of the research record away",
	  NULL, run_personas_research_remove },
	{ "personas validations list", "PERSONA",
	  "list who said yes, partly or no to: does this sound like you",
	  personas_validations_list_options, run_personas_validations_list },
	{ "personas validations add", "PERSONA ANSWER",
	  "note what somebody answered; of each person the last answer counts",
	  personas_validations_add_options, run_personas_validations_add },
	{ "personas validations remove", "PERSONA ID", "take an answer away", NULL,
	  run_personas_validations_remove },
	{ "personas review", "PERSONA", "note that a persona was looked at again",
	  personas_review_options, run_personas_review },
	{ "personas reviews", "PERSONA", "list when a persona was looked at, by whom",
	  personas_reviews_options, run_personas_reviews },
	{ "personas links list", "PERSONA", "list stories, reviews and tickets of a persona",
	  personas_links_list_options, run_personas_links_list },
	{ "personas links add", "PERSONA KIND URL TITLE",
	  "link a persona to a story, review or ticket", NULL, run_personas_links_add },
	{ "personas links remove", "PERSONA ID", "take a link away", NULL,
	  run_personas_links_remove },
	{ "invites create", "E-MAIL", "invite somebody by mail", invites_create_options,
	  run_invites_create },
	{ "invites show", "ID", "show one invite", NULL, run_invites_show },
	{ "invites list", "", "list invites, and whether their mail was sent", invites_list_options,
	  run_invites_list },
	{ "invites resend", "INVITE", "send a new link, which makes those before void", NULL,
	  run_invites_resend },
	{ "invites revoke", "INVITE", "withdraw an invite", NULL, run_invites_revoke },
	{ "import users", "FILE", "make and change users as a CSV or JSON file says",
	  import_users_options, run_import_users },
	{ "import sample", "", "print a CSV file to begin with", NULL, run_import_sample },
	{ "export users", "", "print all users as a file that import takes", export_users_options,
	  run_export_users },
	{ "report sign-ins", "", "count sign-ins by what people hold", report_sign_ins_options,
	  run_report_sign_ins },
	{ "report feature-use", "",
	  "count what people use, as applications tell, by what they hold",
	  report_feature_use_options, run_report_feature_use },
	{ "report adoption", "", "of those who hold something, how many sign in and use it",
	  report_adoption_options, run_report_adoption },
	{ "report unused", "", "list roles and personas that nobody uses", report_unused_options,
	  run_report_unused },
	{ "report inactive", "", "list people who have not signed in", report_inactive_options,
	  run_report_inactive },
	{ "tokens create", "NAME", "make a token of the API, and show it this once",
	  tokens_create_options, run_tokens_create },
	{ "tokens list", "", "list tokens of the API", tokens_list_options, run_tokens_list },
	{ "tokens revoke", "TOKEN", "refuse a token from now on", NULL, run_tokens_revoke },
	{ "sessions list", "", "list who is signed in", sessions_list_options, run_sessions_list },
	{ "sessions end", "[SESSION]", "end a session, or all of a user", sessions_end_options,
	  run_sessions_end },
	{ "factors list", "USER", "list somebody's second factors", NULL, run_factors_list },
	{ "factors reset", "USER [FACTOR]", "reset one of somebody's second factors, or all", NULL,
	  run_factors_reset },
	{ "recovery-code issue", "USER",
	  "make a code for somebody who lost their second factor, and show it this once",
	  recovery_code_issue_options, run_recovery_code_issue },
	{ "users password-reset", "USER", "mail somebody a link that sets a new password", NULL,
	  run_users_password_reset },
	{ "second-factor show", "[ORGANIZATION]", "show of whom a second factor is required", NULL,
	  run_second_factor_show },
	{ "second-factor preview", "[ORGANIZATION]",
	  "show who would be locked out, and change nothing", second_factor_preview_options,
	  run_second_factor_preview },
	{ "second-factor set", "[ORGANIZATION]", "say of whom a second factor is required",
	  second_factor_set_options, run_second_factor_set },
	{ "sealing-key status", "", "show which keys seal the secrets of second factors", NULL,
	  run_sealing_key_status },
	{ "sealing-key rotate", "", "make a new key, which seals from now on", NULL,
	  run_sealing_key_rotate },
	{ "sealing-key reseal", "", "seal everything under the newest key", NULL,
	  run_sealing_key_reseal },
	{ "sealing-key forget-unused", "", "remove keys that nothing is sealed under", NULL,
	  run_sealing_key_forget },
	{ "login-link", "USER",
	  "make a link by which an administrator signs in once, and show it (root only)",
	  login_link_options, run_login_link },
	{ "sources test", "SOURCE",
	  "try a source: connection, TLS, sign-in, what is found, some of its people",
	  sources_test_options, run_sources_test },
	{ "idp test", "SOURCE",
	  "show what is known of an identity provider, and where to test a login", NULL,
	  run_idp_test },
	{ "saml metadata", "SOURCE", "print our metadata for an identity provider", NULL,
	  run_saml_metadata },
	{ "sources list", "", "list sources, those of files first", definitions_list_options,
	  run_sources_list },
	{ "sources show", "SOURCE", "show one source, and what is known of its identity provider",
	  NULL, run_sources_show },
	{ "sources create", "SOURCE",
	  "define a SAML source in the store; nobody signs in through it until it is enabled",
	  sources_create_options, run_sources_create },
	{ "sources update", "SOURCE", "change a SAML source of the store", sources_update_options,
	  run_sources_update },
	{ "sources enable", "SOURCE", "let people sign in through a source of the store",
	  sources_switch_options, run_sources_enable },
	{ "sources disable", "SOURCE",
	  "let nobody sign in through a source of the store; what it gave stays",
	  sources_switch_options, run_sources_disable },
	{ "sources delete", "SOURCE", "delete a source of the store that nobody comes from",
	  sources_switch_options, run_sources_delete },
	{ "targets list", "", "list targets, how they do, and what they are still to be told", NULL,
	  run_targets_list },
	{ "targets show", "TARGET", "show one target, and what it is still to be told",
	  targets_show_options, run_targets_show },
	{ "targets retry", "TARGET [DELIVERY]",
	  "try dead letters again, and what waits after a failure", NULL, run_targets_retry },
	{ "targets drop", "TARGET [DELIVERY]",
	  "give dead letters up for good; of a target that is configured no more, all that waits",
	  NULL, run_targets_drop },
	{ "targets plan", "TARGET", "show where a target differs from what was decided", NULL,
	  run_targets_plan },
	{ "targets reconcile", "TARGET", "tell a target anew wherever it differs",
	  targets_reconcile_options, run_targets_reconcile },
	{ "audit list", "", "show the audit log, newest last", audit_list_options, run_audit_list },
	{ "audit export", "", "write the audit log to standard output", audit_export_options,
	  run_audit_export },
	{ "audit verify", "", "verify the hash chain of the audit log", audit_verify_options,
	  run_audit_verify },
	{ "backup", "FILE",
	  "write a backup of the store, which goes on working, to a file (root only)",
	  backup_options, run_backup },
	{ "restore", "FILE",
	  "put a backup in the store's place, while rolebridged does not run (root only)",
	  restore_options, run_restore },
	{ "restored show", "", "show what waits since the store was restored", NULL,
	  run_restored_show },
	{ "restored release", "", "send mail and tell targets again after a restore",
	  restored_release_options, run_restored_release },
	{ "alarms list", "", "list what needs a person", alarms_list_options, run_alarms_list },
	{ "alarms clear", "ID", "clear an alarm", NULL, run_alarms_clear },
	{ "quarantine list", "", "list entries that could not be processed",
	  quarantine_list_options, run_quarantine_list },
	{ "quarantine show", "ENTRY",
	  "show one such entry, by its name or key, and whom it freezes", quarantine_show_options,
	  run_quarantine_show },
};

const struct cli_command *cli_commands(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(commands);
	return commands;
}
