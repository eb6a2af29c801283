/*
 * A run: from a draft to an applied plan. Syncs, reloads and the applying of a held plan
 * all end here.
 *
 *	flush the draft → ask the limits → store what is held → READY → apply in batches
 *
 * READY is one transaction: the plan, what it holds, the held plan in place of the one before,
 * alarms, and what the run knows about its source. Before it nothing of the run
 * counts, after it everything will happen, whatever stops the process.
 */
#include "ceiling.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>

#define SUMMARY_MAX (64u * 1024 * 1024)

static void fill_draft(struct draft *draft, struct changer *changer, const struct live_setup *setup,
		       struct store *store, const char *source, const struct actor *actor,
		       bool dry_run, int64_t now_s)
{
	draft_init(draft);
	draft->changer = changer;
	draft->setup = setup;
	draft->store = store;
	draft->source = source;
	draft->actor = actor->name;
	draft->request = actor->request;
	draft->dry_run = dry_run;
	draft->now_s = now_s;
}

void run_init(struct run *run, struct changer *changer, const struct live_setup *setup,
	      struct store *store, const char *source, const struct actor *actor, bool dry_run,
	      int64_t now_s, struct run_report *report)
{
	*run = (struct run){ .report = report,
			     .actor = actor,
			     .holds_bytes = STRBUF(PLAN_BYTES_MAX),
			     .held_bytes = STRBUF(PLAN_BYTES_MAX) };
	fill_draft(&run->draft, changer, setup, store, source, actor, dry_run, now_s);
	fill_draft(&run->held, changer, setup, store, source, actor, dry_run, now_s);
}

void run_finish(struct run *run)
{
	draft_finish(&run->draft);
	draft_finish(&run->held);
	free(run->digests.items);
	plan_holds_destroy(run->holds);
	strbuf_finish(&run->holds_bytes);
	strbuf_finish(&run->held_bytes);
}

/* --- what is held --- */

void run_drop_held(struct run *run)
{
	struct draft *draft = &run->held;
	struct draft fresh = { .changer = draft->changer,
			       .setup = draft->setup,
			       .store = draft->store,
			       .source = draft->source,
			       .actor = draft->actor,
			       .request = draft->request,
			       .now_s = draft->now_s };

	run->digests.count = 0;
	if (draft->people == 0)
		return;
	draft_finish(draft);
	*draft = fresh;
	draft_init(draft);
}

int run_hold(struct run *run, const struct person_change *held, struct err *err)
{
	run->report->held++;
	if (held_digests_add(&run->digests, held, err) < 0 ||
	    run_report_person(run->report, held, true, err) < 0)
		return -1;
	return draft_add(&run->held, held, err);
}

struct splitting {
	struct run *run;
	struct arena *arena;
};

static int split_person(void *context, const struct person_change *change, struct err *err)
{
	struct splitting *splitting = context;
	struct run *run = splitting->run;
	struct person_change now, held;

	if (apply_split(run->draft.setup, run->draft.source, run->holds, change, splitting->arena,
			&now, &held, err) < 0)
		return -1;
	return person_change_is_empty(&held) ? 0 : run_hold(run, &held, err);
}

/* Which categories hold it; the rest of a plan that was carried out in part keeps that plan's. */
static int describe_held(struct run *run, struct err *err)
{
	bool administrators = false;

	if (run->held_bytes.size > 0)
		return 0;
	for (size_t i = 0; run->draft.totals && i < plan_totals_size(run->draft.totals); i++) {
		const struct plan_total *total = plan_totals_at(run->draft.totals, i);

		administrators |= total->held && total->kind == LIMIT_ADMINISTRATORS_NEW;
	}
	plan_holds_encode(run->draft.totals, (struct plan_waiting){ 0 }, NULL, 0,
			  administrators && run->draft.first_sync ? PLAN_FIRST_SYNC : 0,
			  &run->held_bytes);
	if (strbuf_failed(&run->held_bytes))
		return err_set(err, ERR_MEMORY, "no memory for what is held");
	return 0;
}

static int close_held(struct run *run, struct err *err)
{
	if (draft_flush(&run->held, err) < 0)
		return -1;
	if (run->digests.count == 0)
		return 0;
	held_digests_id(&run->digests, run->held_id);
	return describe_held(run, err);
}

static int collect_held(struct run *run, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct splitting splitting = { run, arena };

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for what is held");
	if (plan_holds_any(run->holds) && !run->draft.forget_held &&
	    draft_each(&run->draft, arena, split_person, &splitting, err) < 0)
		return -1;
	return close_held(run, err);
}

/* --- the dry run --- */

struct listing {
	struct run *run;
	struct arena *arena;
	struct applied applied;
};

/* Has somebody else this name, or does somebody else of the run claim it? "": no; else why not. */
static int ask_name(const struct listing *listing, bool email, const char *name, int64_t user_id,
		    const char **ret_why, struct err *err)
{
	const struct run *run = listing->run;
	struct user other;
	struct err missing;

	*ret_why = "";
	if (plan_holds_conflict(run->holds, plan_name_digest(email ? 'e' : 'u', name))) {
		*ret_why = email ? "email-conflict" : "username-conflict";
		return 0;
	}
	err_clear(&missing);
	if (store_user_find(run->draft.store, email ? USER_BY_EMAIL : USER_BY_USERNAME, name,
			    listing->arena, &other, &missing) == 0) {
		if (other.id != user_id)
			*ret_why = email ? "email-taken" : "username-taken";
		return 0;
	}
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

/*
 * What apply does inside the transaction: a known user keeps the old name, someone new
 * is left out. Returns 1 to go on, 0 to leave out, -1.
 */
static int foresee_names(struct listing *listing, struct person_change *change, struct err *err)
{
	for (int email = 0; email <= 1; email++) {
		const char **after = email ? &change->after.email : &change->after.username;
		const char *before = email ? change->before.email : change->before.username;
		const char *why;

		if ((*after)[0] == '\0' || strcmp(before, *after) == 0)
			continue;
		if (ask_name(listing, email, *after, change->before.id, &why, err) < 0)
			return -1;
		if (why[0] == '\0')
			continue;
		listing->applied.quarantined++;
		if (report_conflict(listing->run->report, change, email ? "email" : "username",
				    before, *after, why, err) < 0)
			return -1;
		if (change->before.id == 0)
			return 0;
		*after = before;
	}
	return 1;
}

static int list_person(void *context, const struct person_change *change, struct err *err)
{
	struct listing *listing = context;
	struct run *run = listing->run;
	struct person_change now, held;
	int go;

	if (apply_split(run->draft.setup, run->draft.source, run->holds, change, listing->arena,
			&now, &held, err) < 0)
		return -1;
	go = foresee_names(listing, &now, err);
	if (go <= 0)
		return go;
	apply_count(&listing->applied, &now);
	return run_report_person(run->report, &now, false, err);
}

static void report_applied(struct run_report *report, const struct applied *applied)
{
	report->created += applied->created;
	report->updated += applied->updated;
	report->disabled += applied->disabled;
	report->enabled += applied->enabled;
	report->granted += applied->granted;
	report->revoked += applied->revoked;
	report->quarantined += applied->quarantined;
}

static int list_dry_run(struct run *run, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct listing listing = { .run = run, .arena = arena };

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for the listing");
	if (draft_each(&run->draft, arena, list_person, &listing, err) < 0)
		return -1;
	report_applied(run->report, &listing.applied);
	return 0;
}

/* --- READY --- */

static void write_summary(const struct run *run, struct strbuf *out)
{
	const struct run_report *report = run->report;
	struct json json = JSON(out);

	json_object(&json);
	json_string(&json, "source", run->draft.source);
	json_string(&json, "actor", run->draft.actor);
	json_bool(&json, "complete", report->complete);
	json_int(&json, "people", run->draft.people);
	json_int(&json, "held", report->held);
	json_array_key(&json, "holds");
	for (size_t i = 0; i < report->hold_count; i++) {
		json_object(&json);
		json_string(&json, "kind", report->holds[i].kind);
		json_string(&json, "subject", report->holds[i].subject);
		json_int(&json, "count", report->holds[i].count);
		json_string(&json, "text", report->holds[i].text);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
}

struct ready {
	struct run *run;
	const struct apply_plan *plan; /* of a small run */
	const char *summary;
	bool same_held; /* what waits is what waited before */
};

/* Its batches go; what it was stays in the list. */
static int drop_plan(struct changer *changer, const struct plan_row *plan, enum plan_state state,
		     int64_t now_s, struct err *err)
{
	struct plan_row update = { .row = plan->row,
				   .state = PLAN_SUPERSEDED,
				   .finished_s = now_s };

	if (store_plan_update(changer->store, &update, err) < 0 ||
	    store_plan_discard(changer->store, plan->row, err) < 0)
		return -1;
	update.state = state;
	return state == PLAN_SUPERSEDED ? 0 : store_plan_update(changer->store, &update, err);
}

static int note_first_sync(struct changer *changer, const struct plan_row *plan, struct err *err)
{
	struct plan_holds *holds;
	unsigned flags;

	if (plan->holds_size == 0)
		return 0;
	if (plan_holds_decode(plan->holds, plan->holds_size, &holds, err) < 0)
		return -1;
	flags = plan_holds_flags(holds);
	plan_holds_destroy(holds);
	return flags & PLAN_FIRST_SYNC ? first_sync_note(changer->store, plan->source, true, err)
				       : 0;
}

/* Held plans that this run answers anew. */
static int supersede(struct changer *changer, struct ready *ready, struct arena *arena,
		     struct err *err)
{
	struct run *run = ready->run;
	struct plan_row *plans;
	size_t count;

	if (store_plan_list(changer->store, PLAN_HELD, arena, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		bool replaced = run->replaces && strcmp(plans[i].id, run->replaces) == 0;
		bool own = !run->replaces &&
			   (run->supersede_all || strcmp(plans[i].source, run->draft.source) == 0);

		if (!replaced && !own)
			continue;
		if (own && run->digests.count > 0 && strcmp(plans[i].id, run->held_id) == 0 &&
		    strcmp(plans[i].source, run->draft.source) == 0) {
			ready->same_held = true;
			continue;
		}
		if (own && run->supersede_all && note_first_sync(changer, &plans[i], err) < 0)
			return -1;
		if (drop_plan(changer, &plans[i],
			      replaced && !run->partly ? PLAN_APPLIED : PLAN_SUPERSEDED,
			      run->draft.now_s, err) < 0)
			return -1;
		if (strcmp(plans[i].source, run->draft.source) != 0 &&
		    store_alarm_clear(changer->store, "plan-held", plans[i].source,
				      run->draft.actor, run->draft.now_s, err) < 0)
			return -1;
	}
	return 0;
}

static int audit_held(struct changer *changer, const struct run *run, const char *summary,
		      struct err *err)
{
	AUTO(strbuf) struct strbuf object = STRBUF(128);
	struct actor actor = { .name = run->draft.actor, .request = run->id };

	strbuf_printf(&object, "plan:%s", run->held_id);
	return audit_write(changer->store, run->draft.now_s, &actor, "plan.hold",
			   strbuf_text(&object), summary, err);
}

static int store_held(struct changer *changer, struct ready *ready, struct arena *arena,
		      struct err *err)
{
	struct run *run = ready->run;
	struct plan_row row = { .row = run->held.row,
				.id = run->held_id,
				.state = PLAN_HELD,
				.summary = ready->summary,
				.holds = run->held_bytes.data,
				.holds_size = run->held_bytes.size };
	const char *text;

	if (run->draft.forget_held || run->keep_held || (run->replaces && run->replaces[0] == '\0'))
		return 0;
	if (supersede(changer, ready, arena, err) < 0)
		return -1;
	if (run->digests.count == 0)
		return store_alarm_clear(changer->store, "plan-held", run->draft.source,
					 run->draft.actor, run->draft.now_s, err) < 0
			       ? -1
			       : 0;
	text = arena_printf(arena, "%zu people wait: %s", run->digests.count,
			    run->report->hold_count ? run->report->holds[0].text
						    : "the rest of a held plan");
	if (!text)
		return err_set(err, ERR_MEMORY, "no memory for an alarm");
	if (store_alarm_raise(changer->store, "plan-held", run->draft.source, text,
			      run->draft.now_s, err) < 0)
		return -1;
	if (ready->same_held)
		return 0;
	if (store_plan_update(changer->store, &row, err) < 0)
		return -1;
	return audit_held(changer, run, ready->summary, err);
}

static int check_generation(struct changer *changer, const struct run *run, struct err *err)
{
	bool same;

	pthread_mutex_lock(&changer->mutex);
	same = run->generation == 0 || changer->generation == run->generation;
	pthread_mutex_unlock(&changer->mutex);
	if (same)
		return 0;
	return err_refuse(err, ERR_CONFLICT, "setup-changed",
			  "the configuration changed during the run; start it again");
}

/*
 * The moment that counts: what a limited actor lost while the run was planned, it has lost. Whatever is READY is
 * carried out, as it was allowed then.
 */
static int check_actor(struct changer *changer, const struct run *run, struct arena *arena,
		       struct err *err)
{
	struct authority authority;

	if (!run->actor->limited)
		return 0;
	if (authority_of_actor(changer->store, &run->draft.setup->setup, run->actor, change_now_s(),
			       arena, &authority, err) < 0)
		return -1;
	if (!run->authority || authority_same(run->authority, &authority))
		return 0;
	return err_refuse(err, ERR_CONFLICT, "setup-changed",
			  "the permissions of who asks changed during the run; start it again");
}

static int ready_job(struct changer *changer, struct job *job, struct err *err)
{
	struct ready *ready = job->context;
	struct run *run = ready->run;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct plan_row row = { .row = run->draft.row,
				.id = run->id,
				.state = PLAN_READY,
				.summary = ready->summary,
				.holds = run->holds_bytes.data,
				.holds_size = run->holds_bytes.size };

	ready->same_held = false;
	if (!run->keep_held) {
		changer->waiting_known = false;
		__atomic_add_fetch(&changer->held_version, 1, __ATOMIC_RELEASE);
	}
	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to store a plan");
	if (check_generation(changer, run, err) < 0 || check_actor(changer, run, arena, err) < 0)
		return -1;
	if (run->draft.row != 0 && store_plan_update(changer->store, &row, err) < 0)
		return -1;
	change_step("ready");
	if (store_held(changer, ready, arena, err) < 0)
		return -1;
	change_step("held");
	return run->on_ready ? run->on_ready(changer, run, run->context, err) : 0;
}

/* A name for the audit rows of this run, unlike every other. */
static void name_run(struct run *run)
{
	struct uuid uuid = uuid_create(run->draft.now_s * 1000);
	struct hash256 id = digest256(uuid.byte, sizeof(uuid.byte));

	hash256_hex(&id, run->id);
}

static int make_ready(struct run *run, struct err *err)
{
	AUTO(strbuf) struct strbuf summary = STRBUF(SUMMARY_MAX);
	struct ready ready = { .run = run };

	write_summary(run, &summary);
	if (strbuf_failed(&summary))
		return err_set(err, ERR_MEMORY, "no memory for a plan's summary");
	ready.summary = strbuf_text(&summary);
	if (writer_bulk(run->draft.changer, ready_job, &ready, err) < 0)
		return err_wrap(err, "cannot store the plan");
	if (!ready.same_held)
		run->held.row = 0; /* a plan now, not a draft */
	return 0;
}

static int apply_run(struct run *run, struct err *err)
{
	struct apply_plan plan = { .changer = run->draft.changer,
				   .setup = run->draft.setup,
				   .row = run->draft.row,
				   .batches = run->draft.batches,
				   .id = run->id,
				   .source = run->draft.source,
				   .actor = run->draft.actor,
				   .holds = run->holds,
				   .table = run->slot ? run->slot->table : NULL,
				   .report = run->report };
	int result;

	if (run->draft.row == 0)
		return 0;
	run->draft.row = 0;
	result = apply_plan(&plan, run->draft.store, err);
	report_applied(run->report, &plan.applied);
	if (result < 0)
		run->draft.changer->unfinished = true;
	return result;
}

static int carry_out(struct run *run, struct err *err)
{
	if (run->digests.count > 0) {
		run->report->plan_id = arena_strdup(run->report->arena, run->held_id);
		if (!run->report->plan_id) {
			run->report->plan_id = "";
			return err_set(err, ERR_MEMORY, "no memory for the report");
		}
	}
	name_run(run);
	/* The last moment at which a plan ends without a trace. */
	if (changer_check_leaving(run->draft.changer, err) < 0)
		return -1;
	if (run->draft.dry_run ? list_dry_run(run, err) < 0
			       : make_ready(run, err) < 0 || apply_run(run, err) < 0)
		return -1;
	run_report_sort(run->report);
	return 0;
}

int run_carry_out(struct run *run, struct err *err)
{
	if (draft_flush(&run->draft, err) < 0 ||
	    limits_ask(&run->draft, run->report, &run->holds, &run->holds_bytes, err) < 0 ||
	    collect_held(run, err) < 0)
		return -1;
	return carry_out(run, err);
}

int run_carry_out_rest(struct run *run, struct err *err)
{
	if (draft_flush(&run->draft, err) < 0 || close_held(run, err) < 0)
		return -1;
	return carry_out(run, err);
}

/* --- a small run: one transaction --- */

static int begin_small(struct changer *changer, struct job *job, struct err *err)
{
	struct ready *ready = job->context;
	struct run *run = ready->run;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct plan_row row = { .id = run->id,
				.state = PLAN_APPLIED,
				.finished_s = run->draft.now_s,
				.summary = ready->summary };

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to store a plan");
	if (check_actor(changer, run, arena, err) < 0)
		return -1;
	/* Of what nobody sees (an attribute that decides nothing) no plan is listed. */
	if (ready->plan->visible > 0 &&
	    (store_plan_create(changer->store, run->draft.source, run->draft.actor,
			       run->draft.now_s, &row.row, err) < 0 ||
	     store_plan_update(changer->store, &row, err) < 0))
		return -1;
	change_step("ready");
	return run->on_ready ? run->on_ready(changer, run, run->context, err) : 0;
}

int run_carry_out_small(struct run *run, struct err *err)
{
	AUTO(strbuf) struct strbuf summary = STRBUF(SUMMARY_MAX);
	struct ready ready = { .run = run };
	struct apply_plan plan = { .changer = run->draft.changer,
				   .setup = run->draft.setup,
				   .id = run->id,
				   .source = run->draft.source,
				   .actor = run->draft.actor,
				   .holds = run->holds,
				   .table = run->slot ? run->slot->table : NULL,
				   .report = run->report,
				   .urgent = run->urgent };
	int result;

	name_run(run);
	write_summary(run, &summary);
	if (strbuf_failed(&summary))
		return err_set(err, ERR_MEMORY, "no memory for a plan's summary");
	ready.summary = strbuf_text(&summary);
	ready.plan = &plan;
	result = apply_batch(&plan, run->draft.batch.data, run->draft.batch.size, begin_small,
			     &ready, err);
	report_applied(run->report, &plan.applied);
	if (result == 0)
		run_report_sort(run->report);
	return result;
}
