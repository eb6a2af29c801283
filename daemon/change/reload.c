/*
 * Reloads, releases of rules, expiry: people are evaluated anew from what is stored.
 *
 * Enters: a new setup, a rule, a time. Leaves: an applied plan with source "rules" and, for a reload, the
 * setup in force. Fails: store, memory; the setup before then stays in force.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define PAGE 500

struct reload {
	struct changer *changer;
	struct live_setup *setup;
	struct store *store;
	struct arena *arena;
	struct run run;
	struct held_users held; /* of all plans */
	const char *cause;
	int64_t now_s;
	bool unprotected;
	struct arena *texts;
	/* Last administrators whose profile expired, to be noted. */
	struct kept {
		const char *name, *value;
		struct kept *next;
	} * kept;
	bool leave_held; /* what waits is not this run's business; else it answers it anew */
	struct reload_more *more; /* NULL: a plain reload */
};

static int keep_lost_groups(struct reload *reload, struct person_change *change)
{
	const struct held_user *held =
		reload->held.count ? held_users_find(&reload->held, change->before.id) : NULL;

	/* Of a plan that this one supersedes: what was lost then is lost still. */
	if (held) {
		change->groups_lost = held->change->groups_lost;
		change->groups_lost_count = held->change->groups_lost_count;
	}
	return 0;
}

static int evaluate_one(struct reload *reload, int64_t user_id, struct person_change *ret_change,
			struct err *err)
{
	struct evaluation evaluation = { .setup = reload->setup,
					 .store = reload->store,
					 .arena = reload->arena,
					 .now_s = reload->now_s,
					 .cause = reload->cause,
					 .unprotected = reload->unprotected };
	enum evaluated outcome;
	const char *problem;

	arena_reset(reload->arena);
	return evaluate_user(&evaluation, user_id, NULL, ret_change, &outcome, &problem, err);
}

static int reload_user(struct reload *reload, int64_t user_id, struct err *err)
{
	struct person_change change;

	if (evaluate_one(reload, user_id, &change, err) < 0)
		return -1;
	if (reload->leave_held ? held_users_subtract(&reload->held, &change, reload->arena, err) < 0
			       : keep_lost_groups(reload, &change) < 0)
		return -1;
	reload->run.report->entries++;
	if (!person_change_is_visible(&change)) {
		reload->run.report->unchanged++;
		return 0;
	}
	return draft_add(&reload->run.draft, &change, err);
}

static int reload_everybody(struct reload *reload, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PLAN_BYTES_MAX);
	struct user_query query = { .active = -1, .grant_name = NULL, .limit = PAGE };
	size_t count = PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory for a reload");
	while (count == PAGE) {
		struct user *users;

		arena_reset(page);
		if (changer_check_leaving(reload->changer, err) < 0 ||
		    store_user_list(reload->store, &query, page, &users, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			if (reload_user(reload, users[i].id, err) < 0)
				return -1;
		if (count > 0)
			query.after_id = users[count - 1].id;
	}
	return 0;
}

static int reload_ready(struct changer *changer, struct run *run UNUSED, void *context,
			struct err *err)
{
	struct reload *reload = context;
	char hex[65];

	if (reload->more && reload->more->on_ready(changer, reload->more->context, err) < 0)
		return -1;
	if (registry_store(changer->store, reload->setup->setup.registry, err) < 0 ||
	    setup_digest(&reload->setup->setup, reload->now_s, hex, err) < 0 ||
	    store_meta_set(changer->store, "decision-digest", hex, err) < 0)
		return -1;
	/* Whoever signs in from here on must not get back what a batch has taken away. */
	changer_set_coming(changer, reload->setup);
	return 0;
}

static int registry_job(struct changer *changer, struct job *job, struct err *err)
{
	struct reload *reload = job->context;

	/* Groups that go, go with READY: until then rules of the setup before name them. */
	if (registry_store_new(changer->store, reload->setup->setup.registry, err) < 0)
		return -1;
	return names_store(changer->store, &reload->setup->setup, err);
}

static int open_reload(struct reload *reload, struct changer *changer, struct setup *setup,
		       struct err *err)
{
	reload->changer = changer;
	reload->now_s = change_now_s();
	reload->store = store_open(changer->path, STORE_READ, err);
	if (!reload->store)
		return -1;
	reload->arena = arena_create(PERSON_BYTES_MAX);
	if (!reload->arena)
		return err_set(err, ERR_MEMORY, "no memory for a reload");
	reload->setup = setup ? live_setup_create(setup, reload->store, err)
			      : changer_live_setup(changer, NULL);
	return reload->setup ? 0 : -1;
}

static void close_reload(struct reload *reload)
{
	if (reload->setup)
		setup_release(&reload->setup->setup);
	arena_destroy(reload->arena);
	store_close(reload->store);
}

/* Once READY is stored the new setup is in force, whatever becomes of the batches. */
static int carry_out_reload(struct reload *reload, struct err *err)
{
	struct changer *changer = reload->changer;
	int result = run_carry_out(&reload->run, err);

	if (result == 0 || changer->unfinished) {
		setup_acquire(&reload->setup->setup);
		changer_put_setup(changer, reload->setup);
		slots_forget(changer);
	}
	changer_set_coming(changer, NULL);
	return result;
}

/* --- the plan's id --- */

struct naming {
	struct held_digests digests;
	const char *organization; /* whose people are counted; NULL: all */
	int64_t people;
};

static int digest_person(void *context, const struct person_change *change, struct err *err)
{
	struct naming *naming = context;

	naming->people += !naming->organization ||
			  strcmp(naming->organization, change->after.organization) == 0;
	return held_digests_add(&naming->digests, change, err);
}

/* Over all that changes, held or not, and why. */
static int name_plan(struct reload *reload, struct reload_more *more, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct naming naming = { .organization = reload->run.report->organization };
	struct hash256 id;
	char changes[65];
	int result = -1;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a plan's name");
	if (draft_flush(&reload->run.draft, err) == 0)
		result = draft_each(&reload->run.draft, arena, digest_person, &naming, err);
	if (result == 0) {
		held_digests_id(&naming.digests, changes);
		id = digest256_pair(changes, sizeof(changes), more->reason, more->reason_size);
		hash256_hex(&id, more->id);
		more->people = naming.people;
	}
	free(naming.digests.items);
	return result;
}

static int compare_plan(struct reload *reload, struct err *err)
{
	struct reload_more *more = reload->more;

	if (!more)
		return 0;
	if (name_plan(reload, more, err) < 0)
		return -1;
	if (!more->plan || strcmp(more->plan, more->id) == 0)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "plan-superseded",
			  "what would change is not what the preview showed; look at it again");
}

static int plan_reload(struct reload *reload, struct arena *texts, struct err *err)
{
	bool dry_run = reload->run.draft.dry_run;

	/* Numbers of new groups first: they may be in use from READY on, and are never reused. */
	if (!dry_run && writer_bulk(reload->changer, registry_job, reload, err) < 0)
		return -1;
	if (held_users_load(reload->store, NULL, true, texts, &reload->held, err) < 0 ||
	    reload_everybody(reload, err) < 0 || compare_plan(reload, err) < 0)
		return -1;
	return dry_run ? run_carry_out(&reload->run, err) : carry_out_reload(reload, err);
}

static int reload_with_bulk(struct changer *changer, struct setup *setup, const struct actor *actor,
			    struct reload_more *more, struct run_report *report, struct err *err)
{
	AUTO(arena) struct arena *texts = arena_create((size_t)4 << 30);
	struct reload reload = { .cause = "rules", .more = more };
	int result = -1;

	if (!texts)
		return err_set(err, ERR_MEMORY, "no memory for a reload");
	if (open_reload(&reload, changer, setup, err) == 0) {
		run_init(&reload.run, changer, reload.setup, reload.store, "rules", actor,
			 more && more->dry_run, reload.now_s, report);
		reload.run.supersede_all = true;
		reload.run.draft.waiting = &reload.held;
		reload.run.on_ready = reload_ready;
		reload.run.context = &reload;
		result = plan_reload(&reload, texts, err);
		run_finish(&reload.run);
	}
	close_reload(&reload);
	return result;
}

static void start_report(struct run_report *report, int64_t now_s)
{
	report->complete = true;
	report->started_s = now_s;
}

int reload_with(struct changer *changer, struct setup *setup, const struct actor *actor,
		struct reload_more *more, struct run_report *ret_report, struct err *err)
{
	bool dry_run = more && more->dry_run;
	struct run_report report;
	int64_t begun_us = clock_monotonic_us();
	int result;

	run_report_init(&report);
	if (!report.arena)
		return err_set(err, ERR_MEMORY, "no memory for the report");
	start_report(&report, change_now_s());
	report.dry_run = dry_run;
	report_watch(&report, ret_report);
	if (!dry_run && changer_bulk_begin(changer, err) < 0) {
		run_report_finish(&report);
		return -1;
	}
	result = reload_with_bulk(changer, setup, actor, more, &report, err);
	if (!dry_run)
		changer_bulk_end(changer);
	report.duration_ms = (clock_monotonic_us() - begun_us) / 1000;
	return report_give(&report, result, ret_report);
}

int changer_reload(struct changer *changer, struct setup *setup, const struct actor *actor,
		   struct run_report *ret_report, struct err *err)
{
	return reload_with(changer, setup, actor, NULL, ret_report, err);
}

/* --- releasing a rule whose group vanished --- */

struct release {
	const char *rule_id;
	const struct live_setup *setup;
	const struct actor *actor;
	int64_t now_s;
	bool any;
};

static bool is_among(uint32_t id, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* What it gave is taken from people in the name of who releases it. */
static int check_release(struct changer *changer, const struct release *release,
			 struct arena *arena, struct authority *ret_authority, struct err *err)
{
	const struct setup *setup = &release->setup->setup;

	if (authority_of_actor(changer->store, setup, release->actor, change_now_s(), arena,
			       ret_authority, err) < 0)
		return -1;
	return define_require_rule(ret_authority, setup, release->rule_id, true, arena, err);
}

/* So is what other rules gave by the group: it is gone for all of them. */
static int check_group(const struct release *release, const struct authority *authority,
		       uint32_t group, struct arena *arena, struct err *err)
{
	const struct setup *setup = &release->setup->setup;
	const struct ruleset *rules = setup->decision.rules;

	for (size_t i = 0; !authority->unlimited && i < ruleset_count(rules); i++) {
		const struct rule *rule = ruleset_rule(rules, i);
		const uint32_t *ids;
		size_t count;

		if (rule_groups(rules, rule, arena, &ids, &count, err) < 0)
			return -1;
		if (is_among(group, ids, count) &&
		    define_require_rule(authority, setup, rule->id, true, arena, err) < 0)
			return -1;
	}
	return 0;
}

static int release_job(struct changer *changer, struct job *job, struct err *err)
{
	struct release *release = job->context;
	AUTO(arena) struct arena *arena = arena_create(PLAN_BYTES_MAX);
	AUTO(strbuf) struct strbuf object = STRBUF(256);
	const struct rule *rule =
		ruleset_find(release->setup->setup.decision.rules, release->rule_id);
	struct group_registry_row *rows;
	struct authority authority;
	size_t count, named;
	const uint32_t *ids;
	uint32_t next;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to release a rule");
	if (!rule)
		return err_set(err, ERR_NOT_FOUND, "no rule '%s'", release->rule_id);
	if (check_release(changer, release, arena, &authority, err) < 0)
		return -1;
	if (rule_groups(release->setup->setup.decision.rules, rule, arena, &ids, &named, err) < 0 ||
	    store_groups_load(changer->store, arena, &rows, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!is_among(rows[i].id, ids, named) || !rows[i].vanished || rows[i].released)
			continue;
		if (check_group(release, &authority, rows[i].id, arena, err) < 0)
			return -1;
		rows[i].released = true;
		release->any = true;
		if (store_group_put(changer->store, &rows[i], err) < 0 ||
		    store_alarm_clear(changer->store, "group-vanished", rows[i].name,
				      release->actor->name, release->now_s, err) < 0)
			return -1;
	}
	if (!release->any)
		return err_set(err, ERR_CONFLICT, "no group of rule '%s' has vanished",
			       release->rule_id);
	strbuf_printf(&object, "rule:%s", release->rule_id);
	return audit_write(changer->store, release->now_s, release->actor, "rule.release",
			   strbuf_text(&object), "{}", err);
}

static int release_users(struct reload *reload, const char *rule_id, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PLAN_BYTES_MAX);
	int64_t after = 0, *ids;
	size_t count = PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory to release a rule");
	while (count == PAGE) {
		arena_reset(page);
		if (store_users_with_rule(reload->store, rule_id, after, PAGE, page, &ids, &count,
					  err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			if (reload_user(reload, ids[i], err) < 0)
				return -1;
		if (count > 0)
			after = ids[count - 1];
	}
	return 0;
}

/* Leave alone what waits elsewhere: a person released this rule and nothing else. */
static int release_with_bulk(struct changer *changer, struct release *release,
			     struct run_report *report, struct err *err)
{
	AUTO(arena) struct arena *texts = arena_create((size_t)4 << 30);
	struct live_setup *states;
	struct reload reload = { .cause = "release", .leave_held = true };
	int result = -1;

	if (!texts)
		return err_set(err, ERR_MEMORY, "no memory to release a rule");
	if (writer_request(changer, release_job, release, err) < 0)
		return -1;
	if (open_reload(&reload, changer, NULL, err) < 0 ||
	    held_users_load(reload.store, NULL, true, texts, &reload.held, err) < 0) {
		close_reload(&reload);
		return -1;
	}
	states = live_setup_create(reload.setup->origin, reload.store, err);
	if (states) {
		setup_release(&reload.setup->setup);
		reload.setup = states;
		setup_acquire(&states->setup);
		changer_put_setup(changer, states);
		run_init(&reload.run, changer, reload.setup, reload.store, "rules", release->actor,
			 false, reload.now_s, report);
		reload.run.draft.by_person = true;
		reload.run.replaces = "";
		result = release_users(&reload, release->rule_id, err);
		if (result == 0)
			result = run_carry_out(&reload.run, err);
		run_finish(&reload.run);
	}
	close_reload(&reload);
	return result;
}

int change_rule_release(struct changer *changer, const struct actor *actor, const char *rule_id,
			struct run_report *ret_report, struct err *err)
{
	struct live_setup *setup = changer_live_setup(changer, NULL);
	struct release release = {
		.rule_id = rule_id, .setup = setup, .actor = actor, .now_s = change_now_s()
	};
	struct run_report report;
	int result;

	run_report_init(&report);
	start_report(&report, release.now_s);
	report_watch(&report, ret_report);
	result = report.arena ? changer_bulk_begin(changer, err)
			      : err_set(err, ERR_MEMORY, "no memory for the report");
	if (result == 0) {
		result = release_with_bulk(changer, &release, &report, err);
		changer_bulk_end(changer);
	}
	setup_release(&setup->setup);
	return report_give(&report, result, ret_report);
}

/* --- expiry --- */

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

	if (evaluate_one(reload, user_id, &change, err) < 0)
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
	size_t count = PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory to expire grants");
	while (count == PAGE) {
		arena_reset(page);
		if (store_users_expiring(reload->store, reload->now_s, after, PAGE, page, &ids,
					 &count, err) < 0)
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
	if (open_reload(&reload, changer, NULL, err) == 0 &&
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
	close_reload(&reload);
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
