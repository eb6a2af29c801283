/*
 * Decide: person + present grants + rules → what this user should have. Pure:
 * no I/O, no clock. The same function serves sync, login, hand changes,
 * dry runs and `why`.
 */
#ifndef ROLEBRIDGE_DECISION_DECIDE_H
#define ROLEBRIDGE_DECISION_DECIDE_H

#include <rolebridge/identity/person.h>
#include <rolebridge/model/user.h>
#include <rolebridge/rules/ruleset.h>

/* What one source may cause (sources[].may_grant), by source number. */
struct source_trust {
	bool restricted; /* false: anything */
	/*
	 * It speaks when somebody signs in, and may make users: without a list of its own (restricted) it
	 * causes nothing for those whom such sources alone know.
	 */
	bool signs_in;
	const char *const *names[GRANT_KINDS];
	size_t counts[GRANT_KINDS]; /* "*" allows all of a kind */
};

/* The immutable part of every decision: swapped whole on reload. */
struct decision_setup {
	const struct schema *schema;
	const struct ruleset *rules;
	const struct group_states *groups;
	const struct source_trust *trust; /* schema_source_count entries */
	const char *default_profile;	  /* "" : none, such people are not provisioned */
	const char *administrator_profile;
};

struct decide_input {
	const struct person *person; /* identity_count may be 0: a local user */
	const struct user *user;     /* NULL: new */
	const struct grant *grants;  /* present ones, of every origin */
	size_t grant_count;
	int64_t now_s;
	/*
	 * A person's edit: what rules and sources say is left as it stands (no gain, no loss but by
	 * expiry), so that an edit never carries out something else, such as what a held plan waits with.
	 */
	bool rules_frozen;
	bool missing; /* every identity is gone for longer than the grace */
	bool gone;    /* every one is missing, and some directory said so as it happened */
	bool stale;   /* known by sign-in alone, and that is long ago */
	/*
	 * Reasons given by sources that are not configured any more: they stay if they stand. Who cannot
	 * speak enables nobody.
	 */
	uint32_t disabled_kept;
	/* Reasons that a person sets or lifts with this decision. */
	uint32_t disable_set, disable_clear;
};

/* Why a grant is not (or no longer) wanted, or is wanted: for why and plan. */
struct decision_note {
	/*
	 * "denied", "unknown-denied", "unknown-kept", "expired", "trial", "not-trusted", "overridden"
	 */
	const char *code;
	const struct rule *rule; /* may be NULL */
	enum grant_kind kind;
	const char *name;
};

struct decision {
	bool provisioned; /* false: a person without a profile who is not a user yet stays out */
	const char *
		profile; /* effective, by precedence hand > SCIM > import/invite > rule > default; "" none */
	const struct grant *
		grants; /* all wanted, of every origin, ordered by grant_compare; expired ones left out */
	size_t grant_count;
	uint32_t disabled_by_source; /* DISABLED_BY_SOURCE or 0 */
	uint32_t disabled;	     /* all reasons together, as they should stand */
	const struct decision_note *notes;
	size_t note_count;
};

/*
 * Rules: YES grants; NO revokes own-origin only; UNKNOWN keeps what is held from that rule and gives
 * nothing new. A YES deny takes the grant away whatever its origin; an UNKNOWN deny stops new rule
 * grants and keeps held ones. Profile: the first YES rule in order whose profile is neither denied
 * nor beyond its sources' trust; behind an UNKNOWN one the last confirmed rule profile stays, else
 * the default. Grants of other origins pass through unless denied or expired. A rule is
 * trusted when it is YES without the sources that may not cause the grant.
 * Any explicit disable of any identity disables (fail closed). Someone without
 * an identity is matched by no rule.
 */
int decide(const struct decision_setup *setup, const struct decide_input *input,
	   struct arena *arena, struct decision *ret_decision, struct err *err);

/* Is this grant denied to the person: YES, UNKNOWN or NO; asked before a hand gives it. */
int decide_denied(const struct decision_setup *setup, const struct person *person,
		  enum grant_kind kind, const char *name, int64_t now_s, struct arena *arena,
		  enum match *ret_match, struct err *err);

#endif
