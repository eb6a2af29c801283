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
};

/* Why a grant is not (or no longer) wanted, or is wanted: for why and plan. */
struct decision_note {
	const char *code; /* "denied", "unknown-kept", "expired", "trial", "not-trusted", "overridden", "frozen" */
	const struct rule *rule; /* may be NULL */
	enum grant_kind kind;
	const char *name;
};

struct decision {
	bool provisioned; /* false: a person without a profile who is not a user yet stays out */
	const char *profile; /* effective, by precedence hand > SCIM > import/invite > rule > default; "" none */
	const struct grant *grants; /* all wanted, of every origin, ordered by grant_compare; expired ones left out */
	size_t grant_count;
	uint32_t disabled_by_source; /* DISABLED_BY_SOURCE when every present identity says disabled… see decide() */
	const struct decision_note *notes;
	size_t note_count;
};

/*
 * Rules: YES grants; NO revokes own-origin only; UNKNOWN keeps what is held from that rule and gives nothing
 * new. An UNKNOWN deny stops new grants and keeps held ones. UNKNOWN profile rule before the first
 * YES keeps the last confirmed rule profile, else the default. Grants of other origins pass through
 * unless denied or expired. A user is disabled by source when the identity of highest precedence (configuration
 * order) that has one says so, or any identity of it being explicit: any explicit disable disables (fail closed).
 */
int decide(const struct decision_setup *setup, const struct decide_input *input,
	   struct arena *arena, struct decision *ret_decision, struct err *err);

#endif
