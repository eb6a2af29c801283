/*
 * Apply a held plan: a person consents to what waits.
 *
 * Enters: who, which plan, perhaps which user alone. Leaves: a plan of that person's making, applied;
 * what is left waits under a new id. Fails: unknown or superseded plans, store, memory.
 *
 * Everybody in it is evaluated as they are now; only what both the held plan and the present
 * state want is done, and it is neither counted nor held again. The last administrator stays
 * all the same.
 *
 * A limited person applies a plan whose every change lies within their own permissions and organization, or
 * nothing of it. It is asked of the changes as they wait, which is never less than what is done; the
 * authority that was asked must still be there when the plan becomes READY.
 */
#include "ceiling.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

struct consent {
	struct changer *changer;
	const struct live_setup *setup;
	struct store *store;
	struct arena *arena, *texts;
	struct run run;
	const char *cause;
	int64_t now_s, only;
	uint64_t generation;
	bool met;
};

static int evaluate_again(struct consent *consent, const struct person_change *held,
			  struct person_change *ret_change, enum evaluated *ret_outcome,
			  struct err *err)
{
	struct evaluation evaluation = { .setup = consent->setup,
					 .store = consent->store,
					 .arena = consent->arena,
					 .now_s = consent->now_s,
					 .cause = consent->cause };
	const char *problem;
	bool outside = held->before.id == 0;

	return evaluate_user(&evaluation, held->after.id,
			     outside && held->identity_count ? &held->identities[0] : NULL,
			     ret_change, ret_outcome, &problem, err);
}

/* Someone who waited outside may have become a user meanwhile: by the same identity. */
static int find_identity(struct consent *consent, struct person_change *held, struct err *err)
{
	struct identity_row row;
	struct err missing;

	if (held->after.id != 0 || held->identity_count == 0)
		return 0;
	err_clear(&missing);
	if (store_identity_get(consent->store, held->identities[0].source, held->identities[0].key,
			       consent->arena, &row, &missing) == 0) {
		held->after.id = row.user_id;
		held->before.id = row.user_id;
		held->identities = NULL;
		held->identity_count = 0;
		return 0;
	}
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

static int consent_one(struct consent *consent, const struct person_change *held, struct err *err)
{
	struct person_change change;
	enum evaluated outcome;

	/* Quarantined since, or never made a user: nothing to consent to. */
	if (held->after.id == 0 && held->identity_count == 0)
		return 0;
	if (evaluate_again(consent, held, &change, &outcome, err) < 0)
		return -1;
	if (outcome != EVALUATED)
		return 0;
	if (held->after.id != 0 && plan_intersect(held, &change, consent->arena, &change, err) < 0)
		return -1;
	return person_change_is_visible(&change) ? draft_add(&consent->run.draft, &change, err) : 0;
}

static int consent_person(void *context, const struct person_change *stored, struct err *err)
{
	struct consent *consent = context;
	struct person_change held = *stored;

	if (held_find_row(consent->store, &held, consent->arena, err) < 0 ||
	    find_identity(consent, &held, err) < 0)
		return -1;
	if (consent->only != 0 && held.after.id != consent->only)
		return run_hold(&consent->run, stored, err);
	consent->met = true;
	return consent_one(consent, &held, err);
}

static int walk_plan(struct store *store, const struct plan_row *plan, struct arena *arena,
		     draft_each_fn *each, void *context, struct err *err)
{
	for (int64_t seq = 0; seq < plan->batches; seq++) {
		AUTO(arena) struct arena *bytes = arena_create(PLAN_BYTES_MAX);
		const void *data;
		size_t size;

		if (!bytes)
			return err_set(err, ERR_MEMORY, "no memory for a batch");
		if (store_plan_get_batch(store, plan->row, seq, bytes, &data, &size, err) < 0 ||
		    batch_each(data, size, arena, each, context, err) < 0)
			return -1;
	}
	return 0;
}

/* --- may they? --- */

struct asking {
	struct store *store;
	const struct setup *setup;
	struct arena *arena;
	struct authority authority;
	int64_t now_s, only;
};

static int ask_person(void *context, const struct person_change *stored, struct err *err)
{
	const struct asking *asking = context;
	struct person_change held = *stored;

	if (held_find_row(asking->store, &held, asking->arena, err) < 0)
		return -1;
	if (asking->only != 0 && held.after.id != asking->only)
		return 0;
	return ceiling_planned(asking->store, asking->setup, &asking->authority, &held,
			       asking->now_s, asking->arena, err);
}

/* texts: for the authority that is returned. only 0: all of it. */
static int ask_plan(struct store *store, const struct setup *setup, const struct plan_row *plan,
		    const struct actor *actor, int64_t only, struct arena *texts,
		    struct authority *ret_authority, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct asking asking = { .store = store,
				 .setup = setup,
				 .arena = arena,
				 .only = only,
				 .now_s = change_now_s() };

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to look at a plan");
	if (authority_of_actor(store, setup, actor, asking.now_s, texts, &asking.authority, err) <
	    0)
		return -1;
	if (!asking.authority.unlimited &&
	    walk_plan(store, plan, arena, ask_person, &asking, err) < 0)
		return -1;
	*ret_authority = asking.authority;
	return 0;
}

int plan_apply_ask(struct store *store, const struct setup *setup, const struct plan_row *plan,
		   const struct actor *actor, int64_t user_id, struct arena *arena, struct err *err)
{
	struct authority authority;

	return plan->state == PLAN_HELD
		       ? ask_plan(store, setup, plan, actor, user_id, arena, &authority, err)
		       : 0;
}

/* --- applying --- */

static int audit_consent(struct changer *changer, struct run *run, void *context, struct err *err)
{
	const struct consent *consent = context;
	AUTO(strbuf) struct strbuf object = STRBUF(128);
	struct actor actor = { .name = run->draft.actor, .request = run->id, .is_person = true };

	strbuf_printf(&object, "plan:%s", run->replaces);
	return audit_write(changer->store, consent->now_s, &actor, "plan.apply",
			   strbuf_text(&object), run->partly ? "{\"partly\":true}" : "{}", err);
}

static int find_plan(struct store *store, const char *id, struct arena *arena,
		     struct plan_row *ret_plan, struct err *err)
{
	if (store_plan_get(store, id, arena, ret_plan, err) < 0)
		return -1;
	if (ret_plan->state == PLAN_HELD)
		return 0;
	if (ret_plan->state == PLAN_DAMAGED)
		return err_refuse(err, ERR_CONFLICT, "plan-damaged",
				  "plan '%.12s' cannot be read and was set aside: clear its alarm "
				  "to drop it (rolebridgectl alarms clear NUMBER)",
				  ret_plan->id);
	return err_refuse(err, ERR_CONFLICT,
			  ret_plan->state == PLAN_APPLIED ? "plan-applied" : "plan-superseded",
			  "plan '%.12s' does not wait any more", ret_plan->id);
}

static int carry_out(struct consent *consent, const struct plan_row *plan, const char *only_user,
		     const struct actor *actor, struct run_report *report, struct err *err)
{
	struct authority authority;
	struct user user;
	int result = 0;

	if (only_user) {
		if (user_resolve(consent->store, only_user, consent->arena, &user, err) < 0)
			return -1;
		consent->only = user.id;
	}
	if (ask_plan(consent->store, &consent->setup->setup, plan, actor, consent->only,
		     consent->texts, &authority, err) < 0)
		return -1;
	run_init(&consent->run, consent->changer, consent->setup, consent->store, plan->source,
		 actor, false, consent->now_s, report);
	/* What names stand for must not change either. */
	consent->run.generation = actor->limited ? consent->generation : 0;
	consent->run.authority = &authority;
	consent->run.draft.by_person = true;
	consent->run.replaces = plan->id;
	consent->run.partly = only_user != NULL;
	consent->run.on_ready = audit_consent;
	consent->run.context = consent;
	strbuf_append(&consent->run.held_bytes, plan->holds, plan->holds_size);
	result = walk_plan(consent->store, plan, consent->arena, consent_person, consent, err);
	if (result == 0 && only_user && !consent->met)
		result = err_refuse(err, ERR_NOT_FOUND, "not-found",
				    "user '%s' does not wait in this plan", only_user);
	if (result == 0)
		result = run_carry_out(&consent->run, err);
	run_finish(&consent->run);
	return result;
}

static int apply_with_bulk(struct changer *changer, const struct actor *actor, const char *id,
			   const char *only_user, struct run_report *report, struct err *err)
{
	AUTO(arena) struct arena *texts = arena_create(PLAN_BYTES_MAX);
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	struct live_setup *setup;
	struct plan_row plan;
	struct consent consent = { .changer = changer,
				   .store = store,
				   .arena = arena,
				   .texts = texts,
				   .now_s = change_now_s() };
	int result;

	if (!store)
		return -1;
	if (!texts || !arena)
		return err_set(err, ERR_MEMORY, "no memory to apply a plan");
	if (find_plan(store, id, texts, &plan, err) < 0)
		return -1;
	consent.cause = arena_printf(texts, "plan %.12s", plan.id);
	if (!consent.cause)
		return err_set(err, ERR_MEMORY, "no memory to apply a plan");
	setup = changer_live_setup(changer, &consent.generation);
	consent.setup = setup;
	result = carry_out(&consent, &plan, only_user, actor, report, err);
	setup_release(&setup->setup);
	return result;
}

int plan_apply(struct changer *changer, const struct actor *actor, const char *id,
	       const char *only_user, struct run_report *ret_report, struct err *err)
{
	struct run_report report;
	int64_t begun_us = clock_monotonic_us();
	int result;

	run_report_init(&report);
	report_watch(&report, ret_report);
	report.complete = true;
	report.started_s = change_now_s();
	result = report.arena ? changer_bulk_begin(changer, err)
			      : err_set(err, ERR_MEMORY, "no memory for the report");
	if (result == 0) {
		result = apply_with_bulk(changer, actor, id, only_user, &report, err);
		changer_bulk_end(changer);
	}
	report.duration_ms = (clock_monotonic_us() - begun_us) / 1000;
	return report_give(&report, result, ret_report);
}
