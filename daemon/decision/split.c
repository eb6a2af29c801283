/*
 * Parts of a change: what applies now and what waits, what two changes have in common,
 * what only adds. A part is a change of its own, consistent in itself: grants of kind
 * profile, the effective profile and the bit "no profile" always go together.
 *
 * Enters: changes and what is held. Leaves: changes borrowing from those. Fails only
 * when memory runs out.
 */
#include <rolebridge/decision/plan.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/util.h>

#include "holds.h"

/* Which parts of a change go to the other side. */
struct selection {
	bool profile;
	uint32_t set, cleared; /* disable bits */
	bool *removed;	       /* by index */
	bool *added;
	bool any;
};

static int selection_init(struct selection *selection, const struct person_change *change,
			  struct arena *arena, struct err *err)
{
	*selection = (struct selection){ 0 };
	selection->removed = arena_alloc_array(arena, change->removed_count + 1, sizeof(bool));
	selection->added = arena_alloc_array(arena, change->added_count + 1, sizeof(bool));
	if (!selection->removed || !selection->added)
		return err_set(err, ERR_MEMORY, "no memory to split a change");
	return 0;
}

static void select_removed(struct selection *selection, size_t index)
{
	selection->removed[index] = true;
	selection->any = true;
}

static uint32_t bits_set(const struct person_change *change)
{
	return change->after.disabled & ~change->before.disabled;
}

static uint32_t bits_cleared(const struct person_change *change)
{
	return change->before.disabled & ~change->after.disabled;
}

/* The profile takes all grants of its kind, and the bit that says there is none, along. */
static void select_profile(struct selection *selection, const struct person_change *change)
{
	if (!selection->profile)
		return;
	selection->any = true;
	for (size_t i = 0; i < change->added_count; i++)
		if (change->added[i].kind == GRANT_PROFILE)
			selection->added[i] = true;
	for (size_t i = 0; i < change->removed_count; i++)
		if (change->removed[i].kind == GRANT_PROFILE)
			selection->removed[i] = true;
	selection->set |= bits_set(change) & DISABLED_NO_PROFILE;
	selection->cleared |= bits_cleared(change) & DISABLED_NO_PROFILE;
}

static int take_grants(const struct grant *grants, size_t count, size_t first, const bool *selected,
		       bool wanted, struct arena *arena, const struct grant **ret_grants,
		       size_t *ret_count, size_t *ret_first)
{
	struct grant *taken = count ? arena_alloc_array(arena, count, sizeof(*taken)) : NULL;
	size_t kept = 0, kept_first = 0;

	if (count && !taken)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (selected[i] != wanted)
			continue;
		taken[kept++] = grants[i];
		if (i < first)
			kept_first++;
	}
	*ret_grants = taken;
	*ret_count = kept;
	*ret_first = kept_first;
	return 0;
}

static int take(const struct person_change *change, const struct selection *selection, bool wanted,
		struct arena *arena, struct person_change *part, struct err *err)
{
	if (take_grants(change->added, change->added_count, change->gained_count, selection->added,
			wanted, arena, &part->added, &part->added_count, &part->gained_count) < 0 ||
	    take_grants(change->removed, change->removed_count, change->lost_count,
			selection->removed, wanted, arena, &part->removed, &part->removed_count,
			&part->lost_count) < 0)
		return err_set(err, ERR_MEMORY, "no memory to split a change");
	return 0;
}

/* The change without the selected parts. */
static int without(const struct person_change *change, const struct selection *selection,
		   struct arena *arena, struct person_change *ret_rest, struct err *err)
{
	struct person_change rest = *change;

	if (take(change, selection, false, arena, &rest, err) < 0)
		return -1;
	if (selection->profile)
		rest.after.profile = change->before.profile;
	rest.after.disabled = (rest.after.disabled & ~selection->set) | selection->cleared;
	*ret_rest = rest;
	return 0;
}

/* The selected parts alone, on top of `rest`. */
static int only(const struct person_change *change, const struct selection *selection,
		const struct person_change *rest, struct arena *arena,
		struct person_change *ret_part, struct err *err)
{
	struct person_change part = *change;

	if (take(change, selection, true, arena, &part, err) < 0)
		return -1;
	part.before = rest->after;
	part.after.id = rest->after.id;
	part.after.version = rest->after.version + 1;
	part.identities = NULL;
	part.identity_count = 0;
	*ret_part = part;
	return 0;
}

/* --- what is held --- */

static bool is_administrator(const struct decision_setup *setup, const struct user *user)
{
	return user_is_active(user) && strcmp(user->profile, setup->administrator_profile) == 0;
}

static bool removal_held(const struct plan_holds *holds, enum grant_kind kind, const char *name)
{
	/* Slugs are at most 64 bytes; a name that does not fit was never counted under this subject. */
	char subject[512];

	snprintf(subject, sizeof(subject), "%s:%s", grant_kind_name(kind), name);
	return plan_holds_has(holds, LIMIT_REMOVALS, subject);
}

static bool one_group_held(const struct plan_holds *holds, uint32_t group)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", group);
	return plan_holds_has(holds, LIMIT_GROUP, id);
}

static bool group_held(const struct plan_holds *holds, const struct person_change *change)
{
	for (size_t i = 0; i < change->groups_lost_count; i++)
		if (one_group_held(holds, change->groups_lost[i]))
			return true;
	return false;
}

static void hold_grants(const struct person_change *change, const struct plan_holds *holds,
			bool by_group, struct selection *selection)
{
	bool counts = user_is_active(&change->before);

	for (size_t i = 0; i < change->removed_count; i++) {
		const struct grant *grant = &change->removed[i];

		if (grant->kind == GRANT_PROFILE)
			continue;
		if ((counts && i < change->lost_count &&
		     removal_held(holds, grant->kind, grant->name)) ||
		    (by_group && i < change->lost_count && grant->origin == ORIGIN_RULE))
			select_removed(selection, i);
	}
}

static bool profile_held(const struct decision_setup *setup, const struct person_change *change,
			 const struct plan_holds *holds, bool by_group)
{
	const struct user *before = &change->before, *after = &change->after;

	if (strcmp(before->profile, after->profile) == 0)
		return false;
	if (before->id != 0 && by_group)
		return true;
	if (before->id != 0 && user_is_active(before) && before->profile[0] != '\0' &&
	    removal_held(holds, GRANT_PROFILE, before->profile))
		return true;
	if (is_administrator(setup, before) &&
	    strcmp(after->profile, setup->administrator_profile) != 0 &&
	    plan_holds_has(holds, LIMIT_ADMINISTRATORS_LOST, before->organization))
		return true;
	return !is_administrator(setup, before) && is_administrator(setup, after) &&
	       plan_holds_has(holds, LIMIT_ADMINISTRATORS_NEW, after->organization);
}

static void hold_bits(const struct decision_setup *setup, const char *source,
		      const struct person_change *change, const struct plan_holds *holds,
		      struct selection *selection)
{
	const struct user *before = &change->before, *after = &change->after;
	bool was = is_administrator(setup, before), is = is_administrator(setup, after);

	if (before->id != 0 && user_is_active(before) && !user_is_active(after) &&
	    (plan_holds_has(holds, LIMIT_DISABLES, source) ||
	     (was && plan_holds_has(holds, LIMIT_ADMINISTRATORS_LOST, before->organization)))) {
		selection->set |= bits_set(change) & DISABLED_ANY;
		selection->profile |= (bits_set(change) & DISABLED_NO_PROFILE) != 0;
	}
	/* Coming back as an administrator is becoming one. */
	if (before->id != 0 && !was && is && !user_is_active(before) &&
	    plan_holds_has(holds, LIMIT_ADMINISTRATORS_NEW, after->organization))
		selection->cleared |= bits_cleared(change) & DISABLED_ANY;
	if (selection->set || selection->cleared)
		selection->any = true;
}

/* Losses of groups that are held are the held part's: they count when they happen. */
static int without_held_groups(const struct plan_holds *holds, struct arena *arena,
			       struct person_change *now, struct err *err)
{
	uint32_t *groups;
	size_t count = 0;

	if (now->groups_lost_count == 0)
		return 0;
	groups = arena_alloc_array(arena, now->groups_lost_count, sizeof(*groups));
	if (!groups)
		return err_set(err, ERR_MEMORY, "no memory to split a change");
	for (size_t i = 0; i < now->groups_lost_count; i++)
		if (!one_group_held(holds, now->groups_lost[i]))
			groups[count++] = now->groups_lost[i];
	now->groups_lost = groups;
	now->groups_lost_count = count;
	return 0;
}

/* Someone new who would be administrator: with the default profile now, the rest waits. */
static int split_newcomer(const struct decision_setup *setup, const struct person_change *change,
			  const struct selection *selection, struct arena *arena,
			  struct person_change *ret_now, struct person_change *ret_held,
			  struct err *err)
{
	struct person_change now, held;
	struct grant *added;
	const struct grant fallback = {
		.kind = GRANT_PROFILE,
		.name = setup->default_profile,
		.origin = ORIGIN_DEFAULT,
		.origin_id = "",
		.origin_source = "",
		.given_s = change->after.updated_s,
	};

	if (!setup->default_profile || setup->default_profile[0] == '\0') {
		*ret_held = *change;
		*ret_now = (struct person_change){ .before = change->before,
						   .after = change->before,
						   .cause = change->cause };
		return 0;
	}
	if (without(change, selection, arena, &now, err) < 0)
		return -1;
	added = arena_alloc_array(arena, now.added_count + 1, sizeof(*added));
	if (!added)
		return err_set(err, ERR_MEMORY, "no memory to split a change");
	added[0] = fallback;
	for (size_t i = 0; i < now.added_count; i++)
		added[i + 1] = now.added[i];
	now.added = added;
	now.added_count++;
	now.gained_count++;
	now.after.profile = setup->default_profile;
	now.after.disabled &= ~(uint32_t)DISABLED_NO_PROFILE;
	if (only(change, selection, &now, arena, &held, err) < 0)
		return -1;
	held.removed = arena_memdup(arena, &fallback, sizeof(fallback));
	if (!held.removed)
		return err_set(err, ERR_MEMORY, "no memory to split a change");
	held.removed_count = held.lost_count = 1;
	*ret_now = now;
	*ret_held = held;
	return 0;
}

static void nothing(const struct person_change *change, struct person_change *ret_part)
{
	*ret_part = (struct person_change){ .before = change->after,
					    .after = change->after,
					    .cause = change->cause };
}

int plan_split(const struct decision_setup *setup, const char *source,
	       const struct person_change *change, const struct plan_holds *holds,
	       struct arena *arena, struct person_change *ret_now, struct person_change *ret_held,
	       struct err *err)
{
	struct selection selection;
	struct person_change now, held;
	struct plan_holds view;
	bool by_group;

	if (!plan_holds_any(holds)) {
		*ret_now = *change;
		nothing(change, ret_held);
		return 0;
	}
	view = *holds;
	view.waits = plan_holds_waits(holds, change->before.id);
	holds = &view;
	if (selection_init(&selection, change, arena, err) < 0)
		return -1;
	by_group = group_held(holds, change);
	selection.profile = profile_held(setup, change, holds, by_group);
	hold_bits(setup, source, change, holds, &selection);
	hold_grants(change, holds, by_group, &selection);
	select_profile(&selection, change);
	if (!selection.any) {
		*ret_now = *change;
		nothing(change, ret_held);
		return 0;
	}
	if (change->before.id == 0)
		return split_newcomer(setup, change, &selection, arena, ret_now, ret_held, err);
	if (without(change, &selection, arena, &now, err) < 0 ||
	    only(change, &selection, &now, arena, &held, err) < 0 ||
	    (by_group && without_held_groups(holds, arena, &now, err) < 0))
		return -1;
	*ret_now = now;
	*ret_held = held;
	return 0;
}

/* --- intersection, difference --- */

static bool in_list(const struct grant *grants, size_t count, const struct grant *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (grant_same(&grants[i], wanted))
			return true;
	return false;
}

static bool profile_changes(const struct person_change *change)
{
	if (strcmp(change->before.profile, change->after.profile) != 0)
		return true;
	for (size_t i = 0; i < change->added_count; i++)
		if (change->added[i].kind == GRANT_PROFILE)
			return true;
	for (size_t i = 0; i < change->removed_count; i++)
		if (change->removed[i].kind == GRANT_PROFILE)
			return true;
	return false;
}

/* Select what `other` has as well (common) or has not. */
static void select_against(const struct person_change *change, const struct person_change *other,
			   bool common, struct selection *selection)
{
	bool same =
		profile_changes(other) && strcmp(change->after.profile, other->after.profile) == 0;
	uint32_t set = bits_set(change) & DISABLED_ANY & ~(uint32_t)DISABLED_NO_PROFILE;
	uint32_t cleared = bits_cleared(change) & DISABLED_ANY & ~(uint32_t)DISABLED_NO_PROFILE;

	selection->any = true;
	selection->profile = profile_changes(change) && same == common;
	selection->set = common ? set & bits_set(other) : set & ~bits_set(other);
	selection->cleared =
		common ? cleared & bits_cleared(other) : cleared & ~bits_cleared(other);
	for (size_t i = 0; i < change->added_count; i++)
		selection->added[i] =
			change->added[i].kind != GRANT_PROFILE &&
			in_list(other->added, other->added_count, &change->added[i]) == common;
	for (size_t i = 0; i < change->removed_count; i++)
		selection->removed[i] = change->removed[i].kind != GRANT_PROFILE &&
					in_list(other->removed, other->removed_count,
						&change->removed[i]) == common;
	select_profile(selection, change);
}

int plan_intersect(const struct person_change *planned, const struct person_change *fresh,
		   struct arena *arena, struct person_change *ret_change, struct err *err)
{
	struct selection selection;

	if (selection_init(&selection, fresh, arena, err) < 0)
		return -1;
	select_against(fresh, planned, false, &selection);
	return without(fresh, &selection, arena, ret_change, err);
}

int plan_subtract(const struct person_change *change, const struct person_change *held,
		  struct arena *arena, struct person_change *ret_change, struct err *err)
{
	struct selection selection;

	if (selection_init(&selection, change, arena, err) < 0)
		return -1;
	select_against(change, held, true, &selection);
	return without(change, &selection, arena, ret_change, err);
}

int plan_keep_additions(const struct person_change *change, struct arena *arena,
			struct person_change *ret_change, struct err *err)
{
	struct selection selection;

	if (selection_init(&selection, change, arena, err) < 0)
		return -1;
	selection.any = true;
	selection.set = bits_set(change) & DISABLED_ANY;
	/* Some profile is better than none; one that stands is not replaced. */
	selection.profile = change->before.profile[0] != '\0' &&
			    strcmp(change->before.profile, change->after.profile) != 0;
	for (size_t i = 0; i < change->lost_count; i++)
		if (change->removed[i].kind != GRANT_PROFILE)
			selection.removed[i] = true;
	select_profile(&selection, change);
	return without(change, &selection, arena, ret_change, err);
}
