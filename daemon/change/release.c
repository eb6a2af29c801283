/*
 * Releasing a rule whose group vanished.
 *
 * Enters: a rule, who releases it. Leaves: its vanished groups marked released, an applied plan that takes
 * what the rule gave. Refused: who may not answer for all that the groups gave. Fails: store, memory.
 */
#include "reload.h"

#include <string.h>

#include <rolebridge/base/util.h>

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
	size_t count = RELOAD_PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory to release a rule");
	while (count == RELOAD_PAGE) {
		arena_reset(page);
		if (store_users_with_rule(reload->store, rule_id, after, RELOAD_PAGE, page, &ids,
					  &count, err) < 0)
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
	if (reload_open(&reload, changer, NULL, err) < 0 ||
	    held_users_load(reload.store, NULL, true, texts, &reload.held, err) < 0) {
		reload_close(&reload);
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
	reload_close(&reload);
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
	reload_start_report(&report, release.now_s);
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
