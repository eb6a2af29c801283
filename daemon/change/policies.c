/*
 * Policies on second factors: which one is in force for an organization, and what it asks about a person. Enters: a setup,
 * rows. Leaves: the policy, and where it stands; a question for policy/. Fails: store, memory; a stored policy that cannot be
 * read is damage, and nobody signs in by it.
 *
 * The writer keeps those that it met, for each sign-in asks. What it keeps belongs to one configuration, and is forgotten
 * with the commit that changes one; in a transaction with such a change nothing is kept.
 */
#include "policies.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/device.h>
#include <rolebridge/store/factor.h>

#define KEPT_BYTES_MAX ((size_t)64 << 20)
#define POLICY_BYTES_MAX (1u << 20)

struct kept_policy {
	struct kept_policy *next;
	struct enforce_state state;
};

/* What the writer keeps. */
struct policies {
	struct setup *origin;
	struct arena *arena;
	struct kept_policy *first;
};

/* --- which one --- */

static const struct factor_settings *file_says(const struct setup *setup, const char *organization)
{
	for (size_t i = 0; i < setup->organization_count; i++) {
		const struct organization_settings *at = &setup->organizations[i];

		if (at->name.text && strcmp(at->name.text, organization) == 0 &&
		    at->second_factor.required.text)
			return &at->second_factor;
	}
	if (setup->second_factor && setup->second_factor->policy.required.text)
		return &setup->second_factor->policy;
	return NULL;
}

/* Nothing is set there: as long as nobody says it, none is required. */
static int read_row(struct store *store, struct arena *arena, struct enforce_state *state,
		    struct err *err)
{
	struct factor_policy_row row;
	struct err why;

	err_clear(&why);
	if (store_factor_policy_get(store, state->organization, arena, &row, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	if (factor_policy_read(row.body, strlen(row.body), arena, &state->policy, &why) < 0)
		return err_refuse(
			err, ERR_IO, "store-damaged",
			"who must prove a second factor in '%.64s' cannot be read: %.200s",
			state->organization, why.text);
	state->from = ENFORCE_STORE;
	state->version = row.version;
	state->set_s = row.set_s;
	return 0;
}

int policies_read(const struct setup *setup, struct store *store, const char *organization,
		  struct arena *arena, struct enforce_state *ret_state, struct err *err)
{
	const struct factor_settings *file = file_says(setup, organization);
	struct enforce_state state = { .organization = arena_strdup(arena, organization),
				       .policy = factor_policy_none,
				       .from = file ? ENFORCE_FILE : ENFORCE_DEFAULT,
				       .version = file ? 0 : ENFORCE_VERSION_DEFAULT };

	if (!state.organization)
		return err_set(err, ERR_MEMORY, "no memory for a policy");
	if ((file ? factor_policy_make(file, arena, &state.policy, err)
		  : read_row(store, arena, &state, err)) < 0)
		return -1;
	*ret_state = state;
	return 0;
}

/* --- another file --- */

static int write_file(const struct setup *setup, const char *organization, struct arena *arena,
		      struct strbuf *text)
{
	const struct factor_settings *file = file_says(setup, organization);
	struct factor_policy policy;
	struct json json = JSON(text);

	if (!file)
		return 0;
	if (factor_policy_make(file, arena, &policy, NULL) < 0)
		return -1;
	json_object(&json);
	factor_policy_write(&policy, &json);
	json_end(&json);
	return strbuf_failed(text) ? -1 : 0;
}

static bool says_same(const struct setup *before, const struct setup *after,
		      const char *organization, struct arena *arena)
{
	AUTO(strbuf) struct strbuf old = STRBUF(POLICY_BYTES_MAX), new = STRBUF(POLICY_BYTES_MAX);

	arena_reset(arena);
	return write_file(before, organization, arena, &old) == 0 &&
	       write_file(after, organization, arena, &new) == 0 &&
	       old.size == new.size &&strcmp(strbuf_text(&old), strbuf_text(&new)) == 0;
}

bool policies_same(const struct setup *before, const struct setup *after)
{
	AUTO(arena) struct arena *arena = arena_create(KEPT_BYTES_MAX);
	const struct setup *const both[] = { before, after };
	bool same = arena &&
		    strcmp(before->decision.administrator_profile,
			   after->decision.administrator_profile) == 0 &&
		    says_same(before, after, "", arena);

	/* And of those that are declared. */
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		for (size_t j = 0; same && j < both[i]->organization_count; j++) {
			const char *name = both[i]->organizations[j].name.text;

			same = !name || says_same(before, after, name, arena);
		}
	return same;
}

/* --- kept in the writer --- */

void policies_forget(struct changer *changer)
{
	struct policies *policies = changer->policies;

	changer->policies_changed = false;
	changer->policies = NULL;
	if (!policies)
		return;
	if (policies->origin)
		setup_release(policies->origin);
	arena_destroy(policies->arena);
	free(policies);
}

void policies_changed(struct changer *changer)
{
	changer->policies_changed = true;
}

/* For this configuration. NULL: no memory. */
static struct policies *kept(struct changer *changer, const struct live_setup *setup)
{
	struct policies *policies = changer->policies;

	if (policies && policies->origin == setup->origin)
		return policies;
	policies_forget(changer);
	policies = alloc_zeroed(1, sizeof(*policies));
	if (!policies)
		return NULL;
	policies->arena = arena_create(KEPT_BYTES_MAX);
	if (!policies->arena) {
		free(policies);
		return NULL;
	}
	policies->origin = setup_acquire(setup->origin);
	return changer->policies = policies;
}

static int keep(struct changer *changer, struct policies *policies, const struct live_setup *setup,
		const char *organization, struct enforce_state *ret_state, struct err *err)
{
	struct kept_policy *added = arena_alloc(policies->arena, sizeof(*added));

	if (!added)
		return err_set(err, ERR_MEMORY, "no memory for a policy");
	if (policies_read(&setup->setup, changer->store, organization, policies->arena,
			  &added->state, err) < 0)
		return -1;
	added->next = policies->first;
	policies->first = added;
	*ret_state = added->state;
	return 0;
}

int policies_get(struct changer *changer, const struct live_setup *setup, const char *organization,
		 struct arena *arena, struct enforce_state *ret_state, struct err *err)
{
	struct policies *policies = changer->policies_changed ? NULL : kept(changer, setup);

	if (!policies)
		return policies_read(&setup->setup, changer->store, organization, arena, ret_state,
				     err);
	for (const struct kept_policy *at = policies->first; at; at = at->next)
		if (strcmp(at->state.organization, organization) == 0) {
			*ret_state = at->state;
			return 0;
		}
	return keep(changer, policies, setup, organization, ret_state, err);
}

/* --- about whom --- */

static int names_of(const struct grant *grants, size_t count, enum grant_kind kind, int64_t now_s,
		    struct arena *arena, struct factor_names *names, struct err *err)
{
	const char **items = arena_alloc_array(arena, count + 1, sizeof(*items));
	size_t used = 0;

	if (!items)
		return err_set(err, ERR_MEMORY, "no memory for grants");
	for (size_t i = 0; i < count; i++)
		if (grants[i].kind == kind &&
		    (grants[i].expires_s == 0 || grants[i].expires_s > now_s))
			items[used++] = grants[i].name;
	*names = (struct factor_names){ items, used };
	return 0;
}

static int take_grants(struct store *store, const struct user *user, int64_t now_s,
		       struct arena *arena, struct factor_question *question, struct err *err)
{
	struct grant *grants;
	size_t count;

	if (store_grants_of(store, user->id, arena, &grants, &count, err) < 0 ||
	    names_of(grants, count, GRANT_ROLE, now_s, arena, &question->roles, err) < 0)
		return -1;
	return names_of(grants, count, GRANT_GROUP, now_s, arena, &question->groups, err);
}

int policies_question(const struct enforce_state *state, const struct setup *setup,
		      struct store *store, const struct user *user, int64_t now_s,
		      struct arena *arena, struct factor_question *ret_question, struct err *err)
{
	const struct factor_policy *policy = &state->policy;
	struct factor_question question = {
		.is_administrator =
			user_is_active(user) &&
			strcmp(user->profile, setup->decision.administrator_profile) == 0,
		.profile = user->profile,
		.now_s = now_s,
	};

	if (policy->required == FACTOR_FOR_CHOSEN && policy->roles.count + policy->groups.count &&
	    take_grants(store, user, now_s, arena, &question, err) < 0)
		return -1;
	if (policy->grace_sign_ins &&
	    store_grace_get(store, user->id, state->set_s, &question.sign_ins, err) < 0)
		return -1;
	if (store_factor_methods(store, user->id, &question.enrolled, err) < 0)
		return -1;
	*ret_question = question;
	return 0;
}
