/*
 * Decide: what one user should have.
 *
 * Enters: the person, the present grants, rules, group states and the time. Leaves: the
 * wanted grants of every origin, one profile, the reasons to be disabled, and notes that
 * say why something is not as a rule alone would have it. Fails only when memory runs out.
 *
 * Grants of origin "rule" belong to their rule: a rule that is plainly no takes back what it gave
 * and nothing else. A rule that cannot be judged takes and gives nothing. Each grant
 * carries one of the sources that made its rule true; as long as the source it has still
 * does, it stays, so that a second source saying the same changes nothing.
 */
#include <rolebridge/decision/decide.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define TRUST_CACHE 8

struct work {
	const struct decision_setup *setup;
	const struct decide_input *input;
	struct arena *arena;
	const struct rule_match *matches;
	size_t match_count;
	bool any_deny;
	struct grant *grants;
	size_t grant_count;
	struct decision_note *notes;
	size_t note_count;
	/* Rules that are YES for only some of the person's sources, by set of sources. */
	struct {
		source_mask sources;
		const struct rule_match *matches;
		size_t count;
	} narrowed[TRUST_CACHE];
	size_t narrowed_count;
};

static source_mask bit_of(unsigned source)
{
	return (source_mask)1 << source;
}

static void note(struct work *work, const char *code, const struct rule *rule, enum grant_kind kind,
		 const char *name)
{
	work->notes[work->note_count++] = (struct decision_note){ code, rule, kind, name };
}

/* --- trust --- */

static bool source_may_grant(const struct source_trust *trust, enum grant_kind kind,
			     const char *name)
{
	if (!trust->restricted)
		return true;
	for (size_t i = 0; i < trust->counts[kind]; i++)
		if (strcmp(trust->names[kind][i], "*") == 0 ||
		    strcmp(trust->names[kind][i], name) == 0)
			return true;
	return false;
}

/* Does nobody know them but sources that speak when they sign in? */
static bool known_by_sign_in_alone(const struct work *work)
{
	const struct person *person = work->input->person;

	for (size_t i = 0; i < person->identity_count; i++)
		if (!work->setup->trust[person->identities[i].source].signs_in)
			return false;
	return true;
}

static source_mask trusted_sources(const struct work *work, enum grant_kind kind, const char *name)
{
	const struct person *person = work->input->person;
	source_mask trusted = 0;
	bool alone;

	if (!work->setup->trust)
		return person->sources;
	alone = known_by_sign_in_alone(work);
	for (size_t i = 0; i < person->identity_count; i++) {
		uint16_t source = person->identities[i].source;

		if (alone && !work->setup->trust[source].restricted)
			continue;
		if (source_may_grant(&work->setup->trust[source], kind, name))
			trusted |= bit_of(source);
	}
	return trusted;
}

/* The rules once more, for the person as only these sources know them. */
static int evaluate_narrowed(struct work *work, source_mask sources,
			     const struct rule_match **ret_matches, size_t *ret_count,
			     struct err *err)
{
	const struct person *person = work->input->person;
	struct identity *identities =
		arena_alloc_array(work->arena, person->identity_count, sizeof(*identities));
	struct person narrow;
	size_t count = 0;

	if (!identities)
		return err_set(err, ERR_MEMORY, "no memory to judge a source's trust");
	for (size_t i = 0; i < person->identity_count; i++)
		if (sources & bit_of(person->identities[i].source))
			identities[count++] = person->identities[i];
	if (person_merge(person->schema, identities, count, work->arena, &narrow, err) < 0)
		return -1;
	narrow.organization = person->organization;
	return ruleset_evaluate(work->setup->rules, &narrow, work->setup->groups,
				work->input->now_s, work->arena, ret_matches, ret_count, err);
}

static int narrowed(struct work *work, source_mask sources, const struct rule_match **ret_matches,
		    size_t *ret_count, struct err *err)
{
	size_t i = 0;

	while (i < work->narrowed_count && work->narrowed[i].sources != sources)
		i++;
	if (i == work->narrowed_count) {
		if (evaluate_narrowed(work, sources, ret_matches, ret_count, err) < 0)
			return -1;
		if (i == TRUST_CACHE)
			return 0;
		work->narrowed[i].sources = sources;
		work->narrowed[i].matches = *ret_matches;
		work->narrowed[i].count = *ret_count;
		work->narrowed_count++;
	}
	*ret_matches = work->narrowed[i].matches;
	*ret_count = work->narrowed[i].count;
	return 0;
}

/*
 * Which sources may be named as the cause of this grant: 0 when it would hang on one that
 * may not give it. -1 only when memory ran out.
 */
static int trusted_support(struct work *work, const struct rule_match *match,
			   const struct rule_grant *grant, source_mask *ret_support,
			   struct err *err)
{
	source_mask person = work->input->person->sources;
	source_mask support = match->support & person ? match->support & person : person;
	source_mask trusted = trusted_sources(work, grant->kind, grant->name);
	const struct rule_match *matches;
	size_t count;

	*ret_support = (support & ~trusted) == 0 ? support : 0;
	if (*ret_support != 0 || trusted == 0)
		return 0;
	if (narrowed(work, trusted, &matches, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (matches[i].rule == match->rule && matches[i].match == MATCH_YES)
			*ret_support = matches[i].support & trusted ? matches[i].support & trusted
								    : trusted;
	return 0;
}

/* --- denies --- */

static enum match denied(const struct work *work, enum grant_kind kind, const char *name)
{
	if (!work->any_deny)
		return MATCH_NO;
	return rule_denied(work->matches, work->match_count, kind, name);
}

static const struct rule *denying_rule(const struct work *work, enum grant_kind kind,
				       const char *name, enum match match)
{
	for (size_t i = 0; i < work->match_count; i++) {
		const struct rule *rule = work->matches[i].rule;

		if (work->matches[i].match != match || rule->trial)
			continue;
		for (size_t j = 0; j < rule->deny_count; j++)
			if (rule->denies[j].kind == kind && strcmp(rule->denies[j].name, name) == 0)
				return rule;
	}
	return NULL;
}

static void note_denied(struct work *work, enum grant_kind kind, const char *name, enum match match)
{
	note(work, match == MATCH_YES ? "denied" : "unknown-denied",
	     denying_rule(work, kind, name, match), kind, name);
}

/* --- what is there already --- */

static bool expired(const struct grant *grant, int64_t now_s)
{
	return grant->expires_s != 0 && grant->expires_s <= now_s;
}

/* What another organization has defined is not there, and nothing is said of it. */
static bool is_there(const struct work *work, const struct rule_grant *grant)
{
	const char *organization = work->input->person->organization;

	return !grant->organization ||
	       (organization && strcmp(grant->organization, organization) == 0);
}

static bool rule_has(const struct rule *rule, enum grant_kind kind, const char *name)
{
	for (size_t i = 0; i < rule->grant_count; i++)
		if (rule->grants[i].kind == kind && strcmp(rule->grants[i].name, name) == 0)
			return true;
	return false;
}

/* The present grant of this rule; the one of a source in `support` first. */
static const struct grant *held_from(const struct work *work, const struct rule *rule,
				     enum grant_kind kind, const char *name, source_mask support)
{
	const struct grant *held = NULL;

	for (size_t i = 0; i < work->input->grant_count; i++) {
		const struct grant *grant = &work->input->grants[i];
		int source;

		if (grant->origin != ORIGIN_RULE || grant->kind != kind ||
		    strcmp(grant->name, name) != 0 || strcmp(grant->origin_id, rule->id) != 0 ||
		    expired(grant, work->input->now_s))
			continue;
		if (!held)
			held = grant;
		source = schema_find_source(work->setup->schema, grant->origin_source,
					    strlen(grant->origin_source));
		if (source >= 0 && support & bit_of((unsigned)source))
			return grant;
	}
	return held;
}

static void want(struct work *work, const struct grant *grant)
{
	work->grants[work->grant_count++] = *grant;
}

/* A grant of a YES rule; times and source of the present one when it still fits. */
static void want_from_rule(struct work *work, const struct rule *rule,
			   const struct rule_grant *grant, source_mask support)
{
	const struct grant *held = held_from(work, rule, grant->kind, grant->name, support);
	unsigned source = (unsigned)__builtin_ctzll(support);
	struct grant wanted = {
		.kind = grant->kind,
		.name = grant->name,
		.origin = ORIGIN_RULE,
		.origin_id = rule->id,
		.origin_source = schema_source_name(work->setup->schema, (uint16_t)source),
		.given_s = work->input->now_s,
		.expires_s = rule->expires_s,
	};

	if (held) {
		int known = schema_find_source(work->setup->schema, held->origin_source,
					       strlen(held->origin_source));

		wanted.given_s = held->given_s;
		if (known >= 0 && support & bit_of((unsigned)known))
			wanted.origin_source = held->origin_source;
	}
	want(work, &wanted);
}

/* Grants that no rule gave: they stay unless denied or expired. */
static void keep_others(struct work *work)
{
	for (size_t i = 0; i < work->input->grant_count; i++) {
		const struct grant *grant = &work->input->grants[i];
		bool given_by_rules =
			grant->origin == ORIGIN_RULE || grant->origin == ORIGIN_DEFAULT;
		enum match deny;

		if (given_by_rules && !(work->input->rules_frozen && grant->origin == ORIGIN_RULE))
			continue;
		if (expired(grant, work->input->now_s)) {
			note(work, "expired", NULL, grant->kind, grant->name);
			continue;
		}
		deny = work->input->rules_frozen ? MATCH_NO
						 : denied(work, grant->kind, grant->name);
		if (deny != MATCH_NO)
			note_denied(work, grant->kind, grant->name, deny);
		if (deny != MATCH_YES)
			want(work, grant);
	}
}

/* --- roles, personas, groups by rule --- */

static int judge_grant(struct work *work, const struct rule_match *match,
		       const struct rule_grant *grant, struct err *err)
{
	const struct grant *held = held_from(work, match->rule, grant->kind, grant->name, 0);
	enum match deny = denied(work, grant->kind, grant->name);
	source_mask support;

	if (deny != MATCH_NO)
		note_denied(work, grant->kind, grant->name, deny);
	if (deny == MATCH_YES || (deny == MATCH_UNKNOWN && !held))
		return 0;
	if (match->match == MATCH_UNKNOWN) {
		if (held) {
			note(work, "unknown-kept", match->rule, grant->kind, grant->name);
			want(work, held);
		}
		return 0;
	}
	if (trusted_support(work, match, grant, &support, err) < 0)
		return -1;
	if (support == 0)
		note(work, "not-trusted", match->rule, grant->kind, grant->name);
	else
		want_from_rule(work, match->rule, grant, support);
	return 0;
}

static int judge_rules(struct work *work, struct err *err)
{
	for (size_t i = 0; i < work->match_count; i++) {
		const struct rule_match *match = &work->matches[i];

		for (size_t j = 0; j < match->rule->grant_count; j++) {
			const struct rule_grant *grant = &match->rule->grants[j];

			if (!is_there(work, grant))
				continue;
			if (match->rule->trial) {
				if (match->match == MATCH_YES)
					note(work, "trial", match->rule, grant->kind, grant->name);
				continue;
			}
			if (grant->kind != GRANT_PROFILE &&
			    judge_grant(work, match, grant, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* --- the profile --- */

/* The last confirmed profile from rules, as long as its rule still stands and gives it. */
static const struct grant *confirmed_profile(const struct work *work)
{
	for (size_t i = 0; i < work->input->grant_count; i++) {
		const struct grant *grant = &work->input->grants[i];
		const struct rule *rule;

		if (grant->origin != ORIGIN_RULE || grant->kind != GRANT_PROFILE ||
		    expired(grant, work->input->now_s))
			continue;
		rule = ruleset_find(work->setup->rules, grant->origin_id);
		if (!rule || rule->trial || !rule_has(rule, GRANT_PROFILE, grant->name))
			continue;
		if (rule->expires_s != 0 && rule->expires_s <= work->input->now_s)
			continue;
		if (denied(work, GRANT_PROFILE, grant->name) != MATCH_YES)
			return grant;
	}
	return NULL;
}

static const struct rule_grant *profile_of(const struct rule *rule)
{
	for (size_t i = 0; i < rule->grant_count; i++)
		if (rule->grants[i].kind == GRANT_PROFILE)
			return &rule->grants[i];
	return NULL;
}

enum profile_step { PROFILE_NEXT, PROFILE_TAKEN, PROFILE_UNKNOWN };

/* One rule in order: does it give the profile, leave it open, or is it passed over? */
static int judge_profile(struct work *work, const struct rule_match *match,
			 enum profile_step *ret_step, struct err *err)
{
	const struct rule_grant *grant = profile_of(match->rule);
	const struct grant *held;
	enum match deny;
	source_mask support;

	*ret_step = PROFILE_NEXT;
	if (!grant || !is_there(work, grant) || match->rule->trial)
		return 0;
	held = held_from(work, match->rule, GRANT_PROFILE, grant->name, 0);
	deny = denied(work, GRANT_PROFILE, grant->name);
	if (deny != MATCH_NO)
		note_denied(work, GRANT_PROFILE, grant->name, deny);
	if (deny == MATCH_YES)
		return 0;
	if (match->match == MATCH_UNKNOWN || (deny == MATCH_UNKNOWN && !held)) {
		if (trusted_sources(work, GRANT_PROFILE, grant->name) != 0)
			*ret_step = PROFILE_UNKNOWN;
		return 0;
	}
	if (trusted_support(work, match, grant, &support, err) < 0)
		return -1;
	if (support == 0) {
		note(work, "not-trusted", match->rule, GRANT_PROFILE, grant->name);
		return 0;
	}
	want_from_rule(work, match->rule, grant, support);
	*ret_step = PROFILE_TAKEN;
	return 0;
}

static int judge_profiles(struct work *work, struct err *err)
{
	enum profile_step step = PROFILE_NEXT;
	const struct grant *confirmed;

	for (size_t i = 0; i < work->match_count && step == PROFILE_NEXT; i++)
		if (judge_profile(work, &work->matches[i], &step, err) < 0)
			return -1;
	if (step != PROFILE_UNKNOWN)
		return 0;
	confirmed = confirmed_profile(work);
	if (confirmed) {
		note(work, "unknown-kept", ruleset_find(work->setup->rules, confirmed->origin_id),
		     GRANT_PROFILE, confirmed->name);
		want(work, confirmed);
	}
	return 0;
}

/* Import and invite stand on one step; of two on one step the newer counts. */
static int profile_rank(const struct grant *grant)
{
	return grant->origin == ORIGIN_INVITE ? ORIGIN_IMPORT : (int)grant->origin;
}

static bool profile_before(const struct grant *a, const struct grant *b)
{
	if (profile_rank(a) != profile_rank(b))
		return profile_rank(a) < profile_rank(b);
	if (a->given_s != b->given_s)
		return a->given_s > b->given_s;
	return grant_compare(a, b) < 0;
}

static void want_default(struct work *work)
{
	const char *name = work->setup->default_profile;
	struct grant wanted = {
		GRANT_PROFILE, name, ORIGIN_DEFAULT, "", "", work->input->now_s, 0
	};
	bool held = false;
	enum match deny;

	if (!name || name[0] == '\0')
		return;
	for (size_t i = 0; i < work->input->grant_count; i++)
		if (grant_same(&work->input->grants[i], &wanted)) {
			wanted.given_s = work->input->grants[i].given_s;
			held = true;
		}
	deny = work->input->rules_frozen ? MATCH_NO : denied(work, GRANT_PROFILE, name);
	if (deny != MATCH_NO)
		note_denied(work, GRANT_PROFILE, name, deny);
	if (deny == MATCH_NO || (deny == MATCH_UNKNOWN && held))
		want(work, &wanted);
}

static const char *choose_profile(struct work *work)
{
	const struct grant *best = NULL;

	for (size_t i = 0; i < work->grant_count; i++) {
		const struct grant *grant = &work->grants[i];

		if (grant->kind == GRANT_PROFILE && (!best || profile_before(grant, best)))
			best = grant;
	}
	if (!best) {
		size_t before = work->grant_count;

		want_default(work);
		return work->grant_count > before ? work->grants[before].name : "";
	}
	for (size_t i = 0; i < work->grant_count; i++)
		if (work->grants[i].kind == GRANT_PROFILE && &work->grants[i] != best &&
		    strcmp(work->grants[i].name, best->name) != 0)
			note(work, "overridden", NULL, GRANT_PROFILE, work->grants[i].name);
	return best->name;
}

/* --- disabled --- */

static uint32_t kept_reasons(const struct decide_input *input)
{
	return input->user ? input->user->disabled & input->disabled_kept : 0;
}

static uint32_t disabled_by_source(const struct decide_input *input)
{
	if (input->rules_frozen)
		return input->user ? input->user->disabled & DISABLED_BY_SOURCE : 0;
	for (size_t i = 0; i < input->person->identity_count; i++)
		if (identity_is_disabled(&input->person->identities[i], input->now_s))
			return DISABLED_BY_SOURCE;
	return kept_reasons(input) & DISABLED_BY_SOURCE;
}

static uint32_t disabled_reasons(const struct decide_input *input, const struct decision *decision)
{
	const uint32_t read = DISABLED_MISSING | DISABLED_STALE | DISABLED_GONE;
	uint32_t own = DISABLED_BY_HAND | DISABLED_DELETED | SUSPENDED_SIGN_IN;
	uint32_t disabled = input->user ? input->user->disabled & own : 0;

	disabled |= decision->disabled_by_source | (kept_reasons(input) & read);
	if (input->rules_frozen && input->user)
		disabled |= input->user->disabled & read;
	else
		disabled |= (input->missing ? (uint32_t)DISABLED_MISSING : 0) |
			    (input->gone && !input->missing ? (uint32_t)DISABLED_GONE : 0) |
			    (input->stale ? (uint32_t)DISABLED_STALE : 0);
	if (decision->profile[0] == '\0')
		disabled |= DISABLED_NO_PROFILE;
	/* Sign-in was suspended because the source disabled someone who had to stay. */
	if (!input->rules_frozen && !decision->disabled_by_source &&
	    !(kept_reasons(input) & SUSPENDED_SIGN_IN))
		disabled &= ~(uint32_t)SUSPENDED_SIGN_IN;
	return (disabled | input->disable_set) & ~input->disable_clear;
}

/* --- all of it --- */

static int compare_grants(const void *a, const void *b)
{
	return grant_compare(a, b);
}

/* Most people have a few grants, and those nearly in order: qsort would ask for memory. */
#define GRANTS_FEW 16

static void sort_few(struct grant *grants, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct grant moving = grants[i];
		size_t j = i;

		for (; j > 0 && grant_compare(&grants[j - 1], &moving) > 0; j--)
			grants[j] = grants[j - 1];
		grants[j] = moving;
	}
}

static void sort_grants(struct work *work)
{
	size_t kept = 0;

	if (work->grant_count > GRANTS_FEW)
		qsort(work->grants, work->grant_count, sizeof(*work->grants), compare_grants);
	else
		sort_few(work->grants, work->grant_count);
	for (size_t i = 0; i < work->grant_count; i++)
		if (kept == 0 || !grant_same(&work->grants[kept - 1], &work->grants[i]))
			work->grants[kept++] = work->grants[i];
	work->grant_count = kept;
}

/* At most two notes for each present grant and three for each grant of a matching rule. */
static int reserve(struct work *work, struct err *err)
{
	size_t present = work->input->grant_count, by_rules = 0;

	for (size_t i = 0; i < work->match_count; i++) {
		by_rules += work->matches[i].rule->grant_count;
		if (work->matches[i].rule->deny_count)
			work->any_deny = true;
	}
	work->grants =
		arena_alloc_array(work->arena, present + by_rules + 2, sizeof(*work->grants));
	work->notes = arena_alloc_array(work->arena, 2 * present + 3 * by_rules + 4,
					sizeof(*work->notes));
	if (!work->grants || !work->notes)
		return err_set(err, ERR_MEMORY, "no memory to decide over a person");
	return 0;
}

int decide(const struct decision_setup *setup, const struct decide_input *input,
	   struct arena *arena, struct decision *ret_decision, struct err *err)
{
	struct work work = { .setup = setup, .input = input, .arena = arena };
	struct decision decision = { 0 };

	if (input->person->identity_count > 0 && !input->rules_frozen &&
	    ruleset_evaluate(setup->rules, input->person, setup->groups, input->now_s, arena,
			     &work.matches, &work.match_count, err) < 0)
		return -1;
	if (reserve(&work, err) < 0)
		return -1;
	keep_others(&work);
	if (judge_rules(&work, err) < 0 || judge_profiles(&work, err) < 0)
		return -1;
	decision.profile = choose_profile(&work);
	sort_grants(&work);
	decision.provisioned = input->user != NULL || decision.profile[0] != '\0';
	decision.disabled_by_source = disabled_by_source(input);
	decision.disabled = disabled_reasons(input, &decision);
	decision.grants = work.grants;
	decision.grant_count = work.grant_count;
	decision.notes = work.notes;
	decision.note_count = work.note_count;
	*ret_decision = decision;
	return 0;
}

int decide_denied(const struct decision_setup *setup, const struct person *person,
		  enum grant_kind kind, const char *name, int64_t now_s, struct arena *arena,
		  enum match *ret_match, struct err *err)
{
	const struct rule_match *matches;
	size_t count;

	*ret_match = MATCH_NO;
	if (person->identity_count == 0)
		return 0;
	if (ruleset_evaluate(setup->rules, person, setup->groups, now_s, arena, &matches, &count,
			     err) < 0)
		return -1;
	*ret_match = rule_denied(matches, count, kind, name);
	return 0;
}
