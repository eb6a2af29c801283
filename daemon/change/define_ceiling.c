/*
 * The ceiling of definitions: nobody makes, changes or ends what gives, or lets through, more than they have.
 *
 * Enters: an authority, the configuration before and after, what is written over. Leaves: refusals "not-allowed";
 * "not-found" of what is another organization's. Fails: store, memory.
 */
#include "define_ceiling.h"

#include <string.h>

#include <rolebridge/base/util.h>

static int require_grants(const struct authority *authority, const struct setup *setup,
			  const struct rule_grant *grants, size_t count, struct arena *arena,
			  struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (authority_require_grant(authority, setup, grants[i].kind, grants[i].name, arena,
					    err) < 0)
			return -1;
	return 0;
}

static bool has_profile(const struct rule_grant *grants, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (grants[i].kind == GRANT_PROFILE)
			return true;
	return false;
}

/* What somebody falls to who gets no profile by the rules before: by one of these, or the default. */
static int require_profiles(const struct authority *authority, const struct setup *setup,
			    size_t from, const char *organization, struct arena *arena,
			    struct err *err)
{
	const struct decision_setup *decision = &setup->decision;

	for (size_t i = from; i < ruleset_count(decision->rules); i++) {
		const struct rule *rule = ruleset_rule(decision->rules, i);

		for (size_t j = 0;
		     !rule->trial && rule_concerns(rule, organization) && j < rule->grant_count;
		     j++)
			if (rule->grants[j].kind == GRANT_PROFILE &&
			    catalogue_is_for(rule->grants[j].organization, organization) &&
			    authority_require_grant(authority, setup, GRANT_PROFILE,
						    rule->grants[j].name, arena, err) < 0)
				return -1;
	}
	return authority_require_grant(authority, setup, GRANT_PROFILE, decision->default_profile,
				       arena, err);
}

/*
 * What it gives, and what it keeps from everybody: both are done to people in the actor's name. So is what comes
 * through where a rule (present: as it is now) no longer gives its profile, or another denies one.
 */
int define_require_rule(const struct authority *authority, const struct setup *setup,
			const char *id, bool present, struct arena *arena, struct err *err)
{
	const struct rule *rule = ruleset_find(setup->decision.rules, id);

	if (!rule)
		return 0;
	if (present && !rule->trial && has_profile(rule->grants, rule->grant_count) &&
	    require_profiles(authority, setup, (size_t)rule->order + 1, rule->organization, arena,
			     err) < 0)
		return -1;
	if (!present && has_profile(rule->denies, rule->deny_count) &&
	    require_profiles(authority, setup, 0, rule->organization, arena, err) < 0)
		return -1;
	if (require_grants(authority, setup, rule->grants, rule->grant_count, arena, err) < 0)
		return -1;
	return require_grants(authority, setup, rule->denies, rule->deny_count, arena, err);
}

int define_not_found(const struct definition_write *write, struct err *err)
{
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "there is no %s '%s'", write->kind,
			  write->name);
}

/* What all organizations share is for the people who run the daemon; what is another one's is not there. */
int define_check_owner(const struct authority *authority, const struct setup *setup,
		       const struct definition_write *write, const struct definition *row,
		       struct err *err)
{
	const char *owner = row ? row->organization : write->organization;
	const char *own = authority->unlimited ? NULL : authority->organization;
	const struct decision_setup *decision = &setup->decision;

	if (owner && strcmp(write->kind, "profile") == 0 &&
	    (strcmp(write->name, decision->default_profile) == 0 ||
	     strcmp(write->name, decision->administrator_profile) == 0))
		return err_set(
			err, ERR_CONFLICT,
			"profile '%s' is named by the policy, so that all organizations must "
			"share it",
			write->name);
	if (!own)
		return 0;
	if (owner)
		return strcmp(owner, own) == 0 ? 0 : define_not_found(write, err);
	if (strcmp(own, "default") == 0)
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "this is shared by all organizations: people of 'default' change it");
}

/*
 * Whoever is denied their profile, whatever gave it, falls to one that an import or an invite gave: it was theirs
 * all the time, and the rule brings it to light.
 */
static int require_beneath(const struct authority *authority, const struct setup *setup,
			   struct store *store, const struct rule *rule, struct arena *arena,
			   struct err *err)
{
	const struct profile_settings *profiles =
		setup->catalogue ? setup->catalogue->profiles.items : NULL;

	for (size_t i = 0; profiles && i < setup->catalogue->profiles.count; i++) {
		const char *name = profiles[i].name.text;
		int both = 0;

		if (!name || !catalogue_is_for(profiles[i].organization, rule->organization) ||
		    authority_require_grant(authority, setup, GRANT_PROFILE, name, arena, NULL) ==
			    0)
			continue;
		for (size_t j = 0; both == 0 && j < rule->deny_count; j++)
			if (rule->denies[j].kind == GRANT_PROFILE &&
			    strcmp(rule->denies[j].name, name) != 0)
				both = store_grant_both(store, GRANT_PROFILE, rule->denies[j].name,
							name, err);
		if (both < 0)
			return -1;
		if (both > 0)
			return authority_require_grant(authority, setup, GRANT_PROFILE, name, arena,
						       err);
	}
	return 0;
}

static int check_rule(const struct authority *authority, const struct setup *setup,
		      struct store *store, const char *id, bool present, struct arena *arena,
		      struct err *err)
{
	const struct rule *rule = ruleset_find(setup->decision.rules, id);

	if (!rule || authority->unlimited)
		return 0;
	if (define_require_rule(authority, setup, id, present, arena, err) < 0)
		return -1;
	return !present && has_profile(rule->denies, rule->deny_count)
		       ? require_beneath(authority, setup, store, rule, arena, err)
		       : 0;
}

/* A draft that is written over is somebody's work, and may give what the actor must not take. */
static int check_drafted(const struct define_order *order, struct store *store,
			 const struct authority *authority, const struct definition_write *write,
			 struct arena *arena, struct err *err)
{
	if (!write->draft || authority->unlimited)
		return 0;
	if (order->drafted)
		return check_rule(authority, order->drafted, store, write->name, false, arena, err);
	if (!order->drafted_unknown || authority->is_administrator)
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "what the draft says is not known any more: an administrator may "
			  "discard it");
}

/*
 * Whoever says who signs people in may be anybody whom it knows: that is for administrators, and for nobody whose
 * permissions rules could exceed.
 */
static int require_source(const struct authority *authority, const struct setup *setup,
			  const char *source, struct arena *arena, struct err *err)
{
	if (authority_require_grant(authority, setup, GRANT_PROFILE,
				    setup->decision.administrator_profile, arena, err) < 0)
		return -1;
	return ceiling_of_source(authority, setup, source, arena, err);
}

/* Before and after lie within what the actor may do. */
int define_check_ceiling(const struct define_order *order, const struct setup *before,
			 struct store *store, const struct authority *authority,
			 const struct definition_write *write, struct arena *arena, struct err *err)
{
	const struct setup *setups[] = { before, order->setup };
	enum grant_kind kind;

	if (check_drafted(order, store, authority, write, arena, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(setups); i++) {
		const struct setup *setup = setups[i];

		if (strcmp(write->kind, "rule") == 0) {
			if (check_rule(authority, setup, store, write->name, i == 0, arena, err) <
			    0)
				return -1;
			continue;
		}
		if (definition_is_source(write->kind) &&
		    require_source(authority, setup, write->name, arena, err) < 0)
			return -1;
		/* As a grant of it counts: an administrators' profile that lists nothing is everything. */
		if (definition_grant(write->kind, &kind) &&
		    authority_require_grant(authority, setup, kind, write->name, arena, err) < 0)
			return -1;
	}
	return 0;
}
