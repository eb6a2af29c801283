/*
 * Expiry: grants, and rules, whose time is over.
 *
 * Enters: a time. Leaves: an applied plan without limits of what has expired, a reload when a rule has; marks
 * of last administrators who were kept. Fails: store, memory.
 */
#include "reload.h"

#include <string.h>

#include <rolebridge/base/util.h>

/*
 * Only what expiry itself does: expired grants go, the next profile comes. Whatever else rules or
 * sources would change is the business of a run with limits.
 */
static void only_expiry(struct person_change *change, int64_t now_s, struct grant *removed)
{
	bool profile_expired = false;
	size_t kept = 0, lost = 0;

	for (size_t i = 0; i < change->removed_count; i++) {
		const struct grant *grant = &change->removed[i];
		bool expired = grant->expires_s != 0 && grant->expires_s <= now_s;

		profile_expired |= expired && grant->kind == GRANT_PROFILE;
	}
	for (size_t i = 0; i < change->removed_count; i++) {
		const struct grant *grant = &change->removed[i];
		bool expired = grant->expires_s != 0 && grant->expires_s <= now_s;

		if (!expired && !(grant->kind == GRANT_PROFILE && profile_expired))
			continue;
		removed[kept++] = *grant;
		lost += i < change->lost_count;
	}
	change->removed = removed;
	change->removed_count = kept;
	change->lost_count = lost;
	change->added_count = profile_expired ? change->added_count : 0;
	change->gained_count = profile_expired ? change->gained_count : 0;
	if (!profile_expired)
		change->after.profile = change->before.profile;
	change->after.disabled = (change->before.disabled & ~(uint32_t)DISABLED_NO_PROFILE) |
				 (change->after.profile[0] ? 0u : (uint32_t)DISABLED_NO_PROFILE);
	change->after.username = change->before.username;
	change->after.email = change->before.email;
	change->after.display_name = change->before.display_name;
}

/* Does the profile that comes next wait for a person's consent? */
static bool next_profile_waits(const struct reload *reload, const struct person_change *change)
{
	const struct held_users *users = &reload->held;
	const struct held_user *held =
		users->count ? held_users_find(users, change->before.id) : NULL;

	if (strcmp(change->before.profile, change->after.profile) == 0)
		return false;
	for (; held && held < users->items + users->count && held->user_id == change->before.id;
	     held++)
		if (strcmp(held->change->before.profile, held->change->after.profile) != 0 &&
		    strcmp(held->change->after.profile, change->after.profile) == 0)
			return true;
	return false;
}

/* Until then the default one, as before anything was given. added has room for one more. */
static void take_default_profile(const struct reload *reload, struct person_change *change,
				 struct grant *added)
{
	const char *name = reload->setup->setup.decision.default_profile;
	bool none = !name || name[0] == '\0';

	change->after.profile = none ? "" : name;
	change->after.disabled = (change->before.disabled & ~(uint32_t)DISABLED_NO_PROFILE) |
				 (none ? (uint32_t)DISABLED_NO_PROFILE : 0u);
	change->added = added;
	change->added_count = change->gained_count = none ? 0 : 1;
	if (!none)
		added[0] = (struct grant){ GRANT_PROFILE, name, ORIGIN_DEFAULT, "", "",
					   reload->now_s, 0 };
}

static bool is_administrator(const struct reload *reload, const struct user *user)
{
	return user_is_active(user) &&
	       strcmp(user->profile, reload->setup->setup.decision.administrator_profile) == 0;
}

/* What was kept once is not asked for again: an alarm told a person, who may have cleared it. */
static const char *kept_name(const struct uuid *uuid, struct arena *arena)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	return arena_printf(arena, "kept-administrator:%s", text);
}

static const char *expiry_text(const struct person_change *change, struct arena *arena)
{
	int64_t latest_s = 0;

	for (size_t i = 0; i < change->removed_count; i++)
		if (change->removed[i].kind == GRANT_PROFILE &&
		    change->removed[i].expires_s > latest_s)
			latest_s = change->removed[i].expires_s;
	return arena_printf(arena, "%lld", (long long)latest_s);
}

static void strip_profile(struct person_change *change, struct grant *removed)
{
	size_t kept = 0, lost = 0;

	for (size_t i = 0; i < change->removed_count; i++)
		if (removed[i].kind != GRANT_PROFILE) {
			removed[kept++] = removed[i];
			lost += i < change->lost_count;
		}
	change->removed_count = kept;
	change->lost_count = lost;
	change->added_count = change->gained_count = 0;
	change->after.profile = change->before.profile;
	change->after.disabled = change->before.disabled;
}

/*
 * The last administrator's profile expired and was kept before: then it is left out, until somebody else
 * is one. The first time it goes through, to be kept with an alarm, which is noted.
 */
static int keep_quietly(struct reload *reload, struct person_change *change, struct grant *removed,
			struct err *err)
{
	const char *name, *value, *noted;
	struct kept *kept;
	int64_t others;

	if (!is_administrator(reload, &change->before) || is_administrator(reload, &change->after))
		return 0;
	if (store_active_with_profile(reload->store, change->before.organization,
				      change->before.profile, change->before.id, &others, err) < 0)
		return -1;
	if (others > 0)
		return 0;
	name = kept_name(&change->before.uuid, reload->texts);
	value = expiry_text(change, reload->texts);
	kept = arena_alloc(reload->texts, sizeof(*kept));
	if (!name || !value || !kept)
		return err_set(err, ERR_MEMORY, "no memory to expire grants");
	if (store_meta_get(reload->store, name, reload->arena, &noted, err) < 0)
		return -1;
	if (noted && strcmp(noted, value) == 0) {
		strip_profile(change, removed);
		return 0;
	}
	*kept = (struct kept){ name, value, reload->kept };
	reload->kept = kept;
	return 0;
}

static int expire_ready(struct changer *changer, struct run *run UNUSED, void *context,
			struct err *err)
{
	const struct reload *reload = context;

	for (const struct kept *kept = reload->kept; kept; kept = kept->next)
		if (store_meta_set(changer->store, kept->name, kept->value, err) < 0)
			return -1;
	return 0;
}

static int expire_user(struct reload *reload, int64_t user_id, struct err *err)
{
	struct person_change change;
	struct grant *removed, *added;
	size_t kept = 0, gained = 0;

	if (reload_evaluate(reload, user_id, &change, err) < 0)
		return -1;
	removed = arena_alloc_array(reload->arena, change.removed_count + 1, sizeof(*removed));
	added = arena_alloc_array(reload->arena, change.added_count + 1, sizeof(*added));
	if (!removed || !added)
		return err_set(err, ERR_MEMORY, "no memory to expire grants");
	only_expiry(&change, reload->now_s, removed);
	for (size_t i = 0; i < change.added_count; i++)
		if (change.added[i].kind == GRANT_PROFILE) {
			added[kept++] = change.added[i];
			gained += i < change.gained_count;
		}
	change.added = added;
	change.added_count = kept;
	change.gained_count = gained;
	if (next_profile_waits(reload, &change))
		take_default_profile(reload, &change, added);
	if (keep_quietly(reload, &change, removed, err) < 0)
		return -1;
	return person_change_is_visible(&change) ? draft_add(&reload->run.draft, &change, err) : 0;
}

static int expire_everybody(struct reload *reload, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PLAN_BYTES_MAX);
	int64_t after = 0, *ids;
	size_t count = RELOAD_PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory to expire grants");
	while (count == RELOAD_PAGE) {
		arena_reset(page);
		if (store_users_expiring(reload->store, reload->now_s, after, RELOAD_PAGE, page,
					 &ids, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			if (expire_user(reload, ids[i], err) < 0)
				return -1;
		if (count > 0)
			after = ids[count - 1];
	}
	return 0;
}

static int expire_with_bulk(struct changer *changer, int64_t now_s, struct run_report *report,
			    struct err *err)
{
	AUTO(arena) struct arena *texts = arena_create((size_t)4 << 30);
	struct reload reload = { .cause = "expired", .unprotected = true };
	struct actor timer = { .name = "timer", .request = "" };
	int result = -1;

	if (!texts)
		return err_set(err, ERR_MEMORY, "no memory to expire grants");
	reload.texts = texts;
	if (reload_open(&reload, changer, NULL, err) == 0 &&
	    held_users_load(reload.store, NULL, true, texts, &reload.held, err) == 0) {
		reload.now_s = now_s;
		run_init(&reload.run, changer, reload.setup, reload.store, "timer", &timer, false,
			 now_s, report);
		/* The end of a grant was decided when it was given. */
		reload.run.draft.by_person = true;
		reload.run.replaces = "";
		reload.run.on_ready = expire_ready;
		reload.run.context = &reload;
		result = expire_everybody(&reload, err);
		if (result == 0 && reload.run.draft.people > 0)
			result = run_carry_out(&reload.run, err);
		run_finish(&reload.run);
	}
	reload_close(&reload);
	return result;
}

/*
 * What a rule gave ends with its grants, without limits. What else hangs on it (what it denied) is
 * everybody's business: a reload of the same setup, which looks at the limits.
 */
static int expire_rules(struct changer *changer, struct err *err)
{
	struct actor timer = { .name = "timer", .request = "" };
	bool due;

	if (changer_reload_due(changer, &due, err) < 0)
		return -1;
	return due ? changer_reload(changer, NULL, &timer, NULL, err) : 0;
}

int change_expire(struct changer *changer, int64_t now_s, struct err *err)
{
	struct run_report report;
	int result;

	run_report_init(&report);
	if (!report.arena)
		return err_set(err, ERR_MEMORY, "no memory for the report");
	result = changer_bulk_begin(changer, err);
	if (result == 0) {
		result = expire_with_bulk(changer, now_s, &report, err);
		changer_bulk_end(changer);
	}
	run_report_finish(&report);
	if (result == 0)
		result = due_disable(changer, now_s, err);
	return result == 0 ? expire_rules(changer, err) : result;
}
