/*
 * The ceiling inside of changes.
 *
 * Enters: who asks, whom it concerns, what becomes of them. Leaves: refusals. Fails: store, memory.
 *
 * Authority is read anew for each person, inside the transaction: whoever lost it in a request that shares
 * the commit is refused.
 */
#include "ceiling.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/store/token.h>

static int refuse(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "this is beyond the permissions of who asks");
}

/* --- whom --- */

/* A service changes whom it made and nobody else, and administrators never. */
int ceiling_service(struct store *store, const struct actor *actor, const struct user *user,
		    struct arena *arena, struct err *err)
{
	const char *service;

	if (!actor_is_service(actor) || user->id == 0)
		return 0;
	if (store_service_of(store, user->id, arena, &service, err) < 0)
		return -1;
	return strcmp(service, actor->name) == 0 ? 0 : refuse(err);
}

int ceiling_user(struct changer *changer, const struct setup *setup, const struct actor *actor,
		 const struct user *user, struct arena *arena, struct err *err)
{
	int64_t now_s = change_now_s();
	struct authority authority;

	if (!actor->limited)
		return 0;
	if (authority_of_actor(changer->store, setup, actor, now_s, arena, &authority, err) < 0 ||
	    authority_require_user(&authority, changer->store, setup, user, now_s, arena, err) < 0)
		return -1;
	return ceiling_service(changer->store, actor, user, arena, err);
}

/* --- what --- */

static bool is_removed(const struct person_change *change, const struct grant *grant)
{
	for (size_t i = 0; i < change->removed_count; i++)
		if (grant_same(&change->removed[i], grant))
			return true;
	return false;
}

/* What they have when the change is made. */
static int grants_after(const struct person_change *change, const struct grant *before,
			size_t before_count, struct arena *arena, struct grant **ret_grants,
			size_t *ret_count, struct err *err)
{
	size_t count = 0;
	struct grant *grants =
		arena_alloc_array(arena, before_count + change->added_count + 1, sizeof(*grants));

	if (!grants)
		return err_set(err, ERR_MEMORY, "no memory for grants");
	for (size_t i = 0; i < before_count; i++)
		if (!is_removed(change, &before[i]))
			grants[count++] = before[i];
	for (size_t i = 0; i < change->added_count; i++)
		grants[count++] = change->added[i];
	*ret_grants = grants;
	*ret_count = count;
	return 0;
}

static int check_grants(struct store *store, const struct setup *setup,
			const struct authority *authority, const struct person_change *change,
			int64_t now_s, struct arena *arena, struct err *err)
{
	struct grant *before = NULL, *after = NULL;
	size_t before_count = 0, after_count = 0;
	struct authority theirs;

	if (change->before.id != 0 &&
	    store_grants_of(store, change->before.id, arena, &before, &before_count, err) < 0)
		return -1;
	if (change->before.id != 0 &&
	    (authority_of_grants(setup, &change->before, before, before_count, now_s, arena,
				 &theirs, err) < 0 ||
	     authority_require_within(authority, &theirs, err) < 0))
		return -1;
	if (grants_after(change, before, before_count, arena, &after, &after_count, err) < 0 ||
	    authority_of_grants(setup, &change->after, after, after_count, now_s, arena, &theirs,
				err) < 0)
		return -1;
	return authority_require_within(authority, &theirs, err);
}

/* Reads never disable whoever is protected: that is for administrators to give. */
int ceiling_protection(const struct authority *authority, const struct person_change *change,
		       struct err *err)
{
	if (change->after.is_protected && !change->before.is_protected &&
	    !authority->is_administrator)
		return refuse(err);
	return 0;
}

int ceiling_planned(struct store *store, const struct setup *setup,
		    const struct authority *authority, const struct person_change *change,
		    int64_t now_s, struct arena *arena, struct err *err)
{
	struct err hidden = { 0 };

	if (authority->unlimited)
		return 0;
	/* Of who is in a plan nobody learns here. */
	if ((change->before.id != 0 &&
	     authority_require_organization(authority, change->before.organization, "such user",
					    &hidden) < 0) ||
	    authority_require_organization(authority, change->after.organization,
					   "such organization", &hidden) < 0)
		return refuse(err);
	if (check_grants(store, setup, authority, change, now_s, arena, err) < 0)
		return -1;
	return ceiling_protection(authority, change, err);
}

/* A service takes back what it gave, and nothing that others did, unless it takes away whom it made. */
int ceiling_own_grants(const struct actor *actor, const struct person_change *change,
		       struct err *err)
{
	if (!actor_is_service(actor) || change->after.disabled & DISABLED_DELETED)
		return 0;
	for (size_t i = 0; i < change->removed_count; i++)
		if (change->removed[i].origin == ORIGIN_HAND &&
		    strcmp(change->removed[i].origin_id, actor->name) != 0)
			return refuse(err);
	return 0;
}

int ceiling_change(struct apply_context *context, const struct person_change *change,
		   struct err *err)
{
	const struct actor *actor = context->actor;
	struct changer *changer = context->changer;
	struct authority authority;

	if (!actor->limited)
		return 0;
	if (authority_of_actor(changer->store, &context->setup->setup, actor, context->now_s,
			       context->arena, &authority, err) < 0 ||
	    (change->before.id != 0 &&
	     authority_require_organization(&authority, change->before.organization, "such user",
					    err) < 0) ||
	    authority_require_organization(&authority, change->after.organization,
					   "such organization", err) < 0 ||
	    check_grants(changer->store, &context->setup->setup, &authority, change, context->now_s,
			 context->arena, err) < 0 ||
	    ceiling_service(changer->store, actor, &change->before, context->arena, err) < 0 ||
	    ceiling_protection(&authority, change, err) < 0)
		return -1;
	return ceiling_own_grants(actor, change, err);
}

/* --- what others may come to say --- */

static bool may_cause(const struct source_trust *trust, const struct rule_grant *grant)
{
	if (!trust || !trust->restricted)
		return true;
	for (size_t i = 0; i < trust->counts[grant->kind]; i++)
		if (strcmp(trust->names[grant->kind][i], "*") == 0 ||
		    strcmp(trust->names[grant->kind][i], grant->name) == 0)
			return true;
	return false;
}

static const struct source_trust *trust_of(const struct setup *setup, const char *source)
{
	for (size_t i = 0; setup->decision.trust && i < setup->source_count; i++)
		if (strcmp(setup->sources[i]->name.text, source) == 0)
			return &setup->decision.trust[i];
	return NULL;
}

int ceiling_source(struct changer *changer, const struct setup *setup, const struct actor *actor,
		   const char *source, struct arena *arena, struct err *err)
{
	struct authority authority;

	if (!actor->limited)
		return 0;
	if (actor_is_service(actor))
		return refuse(err);
	if (authority_of_actor(changer->store, setup, actor, change_now_s(), arena, &authority,
			       err) < 0)
		return -1;
	return ceiling_of_source(&authority, setup, source, arena, err);
}

int ceiling_of_source(const struct authority *authority, const struct setup *setup,
		      const char *source, struct arena *arena, struct err *err)
{
	const struct source_trust *trust = trust_of(setup, source);
	const struct source_settings *settings = setup_find_source(setup, source);
	const char *organization = settings ? source_organization(settings) : NULL;
	const struct ruleset *rules = setup->decision.rules;

	for (size_t i = 0; i < ruleset_count(rules); i++) {
		const struct rule *rule = ruleset_rule(rules, i);

		if (!rule_concerns(rule, organization))
			continue;
		for (size_t j = 0; j < rule->grant_count; j++)
			if (may_cause(trust, &rule->grants[j]) &&
			    catalogue_is_for(rule->grants[j].organization, organization) &&
			    authority_require_grant(authority, setup, rule->grants[j].kind,
						    rule->grants[j].name, arena, err) < 0)
				return -1;
	}
	return 0;
}

/* --- oneself --- */

bool actor_is_user(const struct actor *actor, const struct user *user)
{
	static const char local[] = "unix:";
	size_t size = sizeof(local) - 1;

	if (user->id == 0)
		return false;
	if (actor->limited || actor->user_id != 0)
		return actor->user_id == user->id;
	return strncmp(actor->name, local, size) == 0 && strcmp(actor->name + size, "root") != 0 &&
	       strcmp(actor->name + size, user->username) == 0;
}

int ceiling_self(const struct apply_context *context, const struct person_change *change,
		 struct err *err)
{
	const char *administrator = context->setup->setup.decision.administrator_profile;

	if (!context->refuse || !actor_is_user(context->actor, &change->before))
		return 0;
	if (user_is_active(&change->before) && !user_is_active(&change->after))
		return err_refuse(err, ERR_CONFLICT, "self-disable",
				  "nobody disables themselves: ask another administrator");
	if (strcmp(change->before.profile, administrator) == 0 &&
	    strcmp(change->after.profile, administrator) != 0)
		return err_refuse(err, ERR_CONFLICT, "self-downgrade",
				  "nobody gives up being an administrator: ask another one");
	return 0;
}
