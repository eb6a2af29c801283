/*
 * Rules, compiled: immutable, shared by threads, swapped whole on reload.
 *
 * Three-valued: an atom over something that was not
 * delivered is UNKNOWN, also under `!`; unknown never grants. The evaluator
 * that decides is the one that explains: explain runs the same code with a
 * trace attached.
 */
#ifndef ROLEBRIDGE_RULES_RULESET_H
#define ROLEBRIDGE_RULES_RULESET_H

#include <rolebridge/base/hash.h>
#include <rolebridge/identity/groups.h>
#include <rolebridge/identity/person.h>
#include <rolebridge/model/grant.h>
#include <rolebridge/model/persona.h>
#include <rolebridge/rules/settings.h>

enum match { MATCH_NO, MATCH_YES, MATCH_UNKNOWN };

/* One grant or deny of a rule. Strings live as long as the ruleset. */
struct rule_grant {
	enum grant_kind kind;
	const char *name;
	const char *organization; /* only its people can have it; NULL: everybody */
};

struct rule {
	const char *id;
	const char *description; /* "" when none */
	uint32_t order;		 /* place in evaluation order */
	const struct rule_grant *grants;
	size_t grant_count;
	const struct rule_grant *denies;
	size_t deny_count;
	int64_t expires_s; /* first second at which the grants no longer hold; 0: never */
	bool trial;
	const char *organization; /* for its people alone; NULL: for everybody's */
	const char *when;	  /* filter text, "" when none */
	struct position at;
};

struct ruleset;

/*
 * Compile. Groups that rules name are added to the registry (new ids); groups that no
 * rule names are left to the caller to remove. Errors (unknown attribute,
 * filter syntax with position, unknown profile/role/persona with did-you-mean, duplicate ids) and
 * lint warnings go to list. Returns NULL when errors were found or memory ran out.
 * settings may be freed afterwards; schema must outlive the ruleset.
 */
struct ruleset *ruleset_compile(const struct catalogue_settings *settings,
				const struct schema *schema, const char *default_profile,
				struct group_registry *registry, struct diagnostics *list);
void ruleset_destroy(struct ruleset *rules);
/* What is known of personas beside their definitions, in order of names. */
struct persona_knowledge {
	const struct persona_facts *facts;
	size_t count;
	bool asked; /* false: nobody could be */
};
/*
 * Warnings that depend on the day, or on what is known: expired rules, overdue persona reviews, primary personas
 * that rest on too little. settings are those the ruleset was compiled from. personas may be NULL. (What depends on neither is said by ruleset_compile.)
 */
void ruleset_lint(const struct catalogue_settings *settings,
		  const struct persona_knowledge *personas, int64_t now_s,
		  struct diagnostics *list);

size_t ruleset_count(const struct ruleset *rules);
const struct rule *ruleset_rule(const struct ruleset *rules, size_t order);
const struct rule *ruleset_find(const struct ruleset *rules, const char *id); /* NULL: absent */
/* Attributes that conditions read: true per schema id. */
bool ruleset_reads(const struct ruleset *rules, uint16_t attribute);
/* Group ids named by rules, ascending. */
const uint32_t *ruleset_groups(const struct ruleset *rules, size_t *ret_count);
/* Those that one rule of the set names, ascending; from the arena. */
int rule_groups(const struct ruleset *rules, const struct rule *rule, struct arena *arena,
		const uint32_t **ret_ids, size_t *ret_count, struct err *err);
/* Stable digest over everything that can change a decision. */
struct hash128 ruleset_digest(const struct ruleset *rules);
/* Does the rule concern people of this organization (NULL: of any)? */
bool rule_concerns(const struct rule *rule, const char *organization);
/* Earliest expires_s after now; 0: none. */
int64_t ruleset_next_expiry(const struct ruleset *rules, int64_t now_s);

/*
 * State of groups at evaluation time, by registry id: a vanished, not released group is UNKNOWN for
 * everybody (its rules are frozen). Built from the registry; immutable.
 */
struct group_states {
	const uint8_t *unknown; /* unknown[id] != 0: frozen, or not read yet */
	uint32_t count;		/* ids >= count are unknown */
	/* Optional, so that nobody walks `unknown` once per person: every id < count that it marks. */
	bool listed;
	const uint32_t *unknown_ids;
	uint32_t unknown_id_count;
};

/* From the registry: not found yet, or vanished, and not released. 0 or -1 (memory). */
int group_states_build(const struct group_registry *registry, struct arena *arena,
		       struct group_states *ret_states, struct err *err);

/* One evaluated rule that is not plainly NO. */
struct rule_match {
	const struct rule *rule;
	enum match match; /* YES or UNKNOWN */
	/*
	 * Sources whose data made it so: of a YES, those of all atoms that carry it (under an odd
	 * number of `!` the sources that were asked and said no); "(&)", which rests on nobody's
	 * data, has all sources of the person. Of an UNKNOWN: who owes the data.
	 */
	source_mask support;
};

/*
 * Evaluate all rules for one person. *ret_matches: YES and UNKNOWN rules in rule order,
 * trial rules included, expired rules left out; from the arena. Cost grows with the person's groups and
 * the candidate rules. Returns 0 or -1 (memory).
 */
int ruleset_evaluate(const struct ruleset *rules, const struct person *person,
		     const struct group_states *groups, int64_t now_s, struct arena *arena,
		     const struct rule_match **ret_matches, size_t *ret_count, struct err *err);

/* --- explaining --- */

/* One node of a rule's condition with its truth value. */
struct trace_node {
	unsigned depth;
	enum match match;
	const char *text; /* "(title=*intern*)", "groups: cn=…", "&", "|", "!" */
	const char *
		because; /* "title is 'Summer intern' (source hr)", "not a member", "not delivered by corp" */
};

/*
 * The condition tree of one rule for one person, preorder. Of sensitive attributes the value
 * and what it is compared with are shown as "(hidden)" unless show_sensitive. An expired rule
 * is NO and says so in a node of its own before the tree.
 */
int rule_explain(const struct ruleset *rules, const struct rule *rule, const struct person *person,
		 const struct group_states *groups, int64_t now_s, bool show_sensitive,
		 struct arena *arena, enum match *ret_match, const struct trace_node **ret_nodes,
		 size_t *ret_count, struct err *err);

/*
 * What rules alone give a person: shared by decide and rule tests.
 * profile: the first rule (file order) with a profile that is YES, not trial, and whose
 * profile no rule denies. An UNKNOWN rule before it, or one whose profile is perhaps denied, is
 * reported so that decide can keep the confirmed one.
 */
struct rule_outcome {
	const struct rule_match *profile; /* NULL: none */
	bool profile_unknown_before;	  /* an UNKNOWN profile rule stands before it */
	const struct rule_match *matches; /* as from ruleset_evaluate */
	size_t match_count;
};
void rule_outcome(const struct rule_match *matches, size_t count, struct rule_outcome *ret);

/* Is this grant denied by a YES rule, or perhaps (UNKNOWN)? Trial rules do not count. */
enum match rule_denied(const struct rule_match *matches, size_t count, enum grant_kind kind,
		       const char *name);

/* Filter syntax alone (saved filters, oracle tests): compile one filter over the schema. */
struct filter;
struct filter *filter_compile(const struct located *text, const struct schema *schema,
			      struct diagnostics *list);
void filter_destroy(struct filter *filter);
enum match filter_match(const struct filter *filter, const struct person *person);

/*
 * The same over people that the store knows. Besides, (groups=NAME) asks for membership in a group, which is added to
 * the registry as a rule's is, and times may be told from now_s (not 0) on: (created>=-30d), units s, m, h, d, w.
 */
struct filter *filter_compile_people(const struct located *text, const struct schema *schema,
				     struct group_registry *registry, int64_t now_s,
				     struct diagnostics *list);
enum match filter_match_people(const struct filter *filter, const struct person *person,
			       const struct group_states *groups);
/* Does it name this attribute of the schema? And what any but this source says of it? */
bool filter_reads(const struct filter *filter, uint16_t attribute);
bool filter_reads_beyond(const struct filter *filter, uint16_t attribute, uint16_t source);
/* Does it read anything but what this source alone says? */
bool filter_reads_others(const struct filter *filter, uint16_t source);
/* How many comparisons it has, and half as many other parts, whichever are more: what it costs at most to ask it of somebody. */
size_t filter_size(const struct filter *filter);
/* Groups that it names, one a call, perhaps one of them twice; *at begins as 0. false: no more. */
bool filter_next_group(const struct filter *filter, size_t *at, uint32_t *ret_group);

#endif
