/*
 * Reloads: people are evaluated anew from what is stored.
 *
 * Enters: a new setup. Leaves: an applied plan with source "rules" and the setup in force, or what it would
 * be. Fails: store, memory; the setup before then stays in force.
 */
#include "reload.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

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

int reload_evaluate(struct reload *reload, int64_t user_id, struct person_change *ret_change,
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

int reload_user(struct reload *reload, int64_t user_id, struct err *err)
{
	struct person_change change;

	if (reload_evaluate(reload, user_id, &change, err) < 0)
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
	struct user_query query = { .active = -1, .grant_name = NULL, .limit = RELOAD_PAGE };
	size_t count = RELOAD_PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory for a reload");
	while (count == RELOAD_PAGE) {
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

int reload_open(struct reload *reload, struct changer *changer, struct setup *setup,
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

void reload_close(struct reload *reload)
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
	if (reload_open(&reload, changer, setup, err) == 0) {
		run_init(&reload.run, changer, reload.setup, reload.store, "rules", actor,
			 more && more->dry_run, reload.now_s, report);
		reload.run.supersede_all = true;
		reload.run.draft.waiting = &reload.held;
		reload.run.on_ready = reload_ready;
		reload.run.context = &reload;
		result = plan_reload(&reload, texts, err);
		run_finish(&reload.run);
	}
	reload_close(&reload);
	return result;
}

void reload_start_report(struct run_report *report, int64_t now_s)
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
	reload_start_report(&report, change_now_s());
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
