/*
 * People known by sign-in alone who have not signed in for policy.stale_after.
 *
 * Enters: the time. Leaves: for each source that speaks at sign-in a plan of that source, under the limits
 * of every other: its disables are counted, and held when there are too many. Fails: store, memory;
 * what is not carried out is found again the next time.
 *
 * Who is stale is the evaluator's word (evaluate.c), so that reloads and consent see it the same way;
 * this run carries out nothing else of what evaluation says. It ends when a directory knows them, or
 * by a person's hand; never by signing in.
 */
#include "internal.h"

#include <rolebridge/base/util.h>

#define PAGE 1000

struct stale {
	struct changer *changer;
	const struct live_setup *setup;
	struct store *store;
	struct arena *arena;
	struct held_users own, others;
	struct run run;
	const char *cause;
	int64_t now_s;
};

/* Nothing but the one reason, set. */
static void only_stale(struct person_change *change)
{
	uint32_t set = change->after.disabled & ~change->before.disabled & DISABLED_STALE;
	int64_t version = change->after.version, updated_s = change->after.updated_s;

	*change = (struct person_change){ .before = change->before,
					  .after = change->before,
					  .cause = change->cause };
	change->after.disabled |= set;
	change->after.version = version;
	change->after.updated_s = updated_s;
}

static int look_at(struct stale *stale, int64_t user_id, struct err *err)
{
	struct evaluation evaluation = { .setup = stale->setup,
					 .store = stale->store,
					 .arena = stale->arena,
					 .now_s = stale->now_s,
					 .cause = stale->cause };
	struct person_change change;
	enum evaluated outcome;
	const char *problem;

	arena_reset(stale->arena);
	if (evaluate_user(&evaluation, user_id, NULL, &change, &outcome, &problem, err) < 0)
		return -1;
	only_stale(&change);
	if (!person_change_is_visible(&change))
		return 0;
	if (held_users_subtract(&stale->others, &change, stale->arena, err) < 0)
		return -1;
	return person_change_is_visible(&change) ? draft_add(&stale->run.draft, &change, err) : 0;
}

static int look_at_all(struct stale *stale, const char *source, int64_t before_s, struct err *err)
{
	AUTO(arena) struct arena *page = arena_create(PLAN_BYTES_MAX);
	int64_t after = 0, *ids;
	size_t count = PAGE;

	if (!page)
		return err_set(err, ERR_MEMORY, "no memory to find stale people");
	while (count == PAGE) {
		arena_reset(page);
		if (store_users_unread(stale->store, source, before_s, after, PAGE, page, &ids,
				       &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			if (look_at(stale, ids[i], err) < 0)
				return -1;
		if (count > 0)
			after = ids[count - 1];
	}
	return 0;
}

static int carry_out(struct stale *stale, const char *source, struct run_report *report,
		     struct err *err)
{
	struct actor timer = { .name = "timer", .request = "" };
	int64_t after_s = stale->setup->setup.policy->stale_after_s;
	int result;

	run_init(&stale->run, stale->changer, stale->setup, stale->store, source, &timer, false,
		 stale->now_s, report);
	stale->run.draft.waiting = &stale->own;
	result = look_at_all(stale, source, stale->now_s - after_s, err);
	if (result == 0 && (stale->run.draft.people > 0 || stale->own.count > 0))
		result = run_carry_out(&stale->run, err);
	run_finish(&stale->run);
	return result;
}

static int stale_source(struct changer *changer, const struct live_setup *setup, const char *source,
			int64_t now_s, struct err *err)
{
	AUTO(arena) struct arena *texts = arena_create((size_t)4 << 30);
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	AUTO(store) struct store *store = store_open(changer->path, STORE_READ, err);
	struct stale stale = { .changer = changer,
			       .setup = setup,
			       .store = store,
			       .arena = arena,
			       .cause = "stale",
			       .now_s = now_s };
	struct run_report report;
	int result = -1;

	if (!store)
		return -1;
	run_report_init(&report);
	if (!texts || !arena || !report.arena)
		err_set(err, ERR_MEMORY, "no memory to find stale people");
	else if (held_users_load(store, source, true, texts, &stale.own, err) == 0 &&
		 held_users_load(store, source, false, texts, &stale.others, err) == 0)
		result = carry_out(&stale, source, &report, err);
	run_report_finish(&report);
	return result;
}

int change_stale(struct changer *changer, int64_t now_s, struct err *err)
{
	struct live_setup *setup;
	int result = changer_bulk_begin(changer, err);

	if (result < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	for (size_t i = 0; i < setup->setup.source_count && result == 0; i++)
		if (setup->setup.sources[i]->enabled && source_signs_in(setup->setup.sources[i]) &&
		    setup->setup.policy->stale_after_s > 0)
			result = stale_source(changer, setup, setup->setup.sources[i]->name.text,
					      now_s, err);
	setup_release(&setup->setup);
	changer_bulk_end(changer);
	return result;
}

/* --- a person brings somebody back --- */

/* From now on they count as seen; which groups they are in nobody knows any more. */
static int refresh_one(struct apply_context *context, const struct identity_row *row,
		       struct err *err)
{
	AUTO(strbuf) struct strbuf record = STRBUF(RECORD_MAX);
	const struct schema *schema = context->setup->setup.decision.schema;
	int number = schema_find_source(schema, row->source, strlen(row->source));
	struct identity_row fresh = *row;
	struct identity identity;
	struct hash128 digest;

	if (number < 0 || !(context->setup->sign_in & (source_mask)1 << number))
		return 0;
	if (record_decode(row->record, row->record_size, schema, (uint16_t)number, context->arena,
			  &identity, err) < 0)
		return -1;
	identity.groups_complete = false;
	record_encode(&identity, schema, &record);
	if (strbuf_failed(&record))
		return err_set(err, ERR_MEMORY, "no memory for an identity");
	fresh.record = record.data;
	fresh.record_size = record.size;
	fresh.read_s = context->now_s;
	digest = digest128(record.data, record.size);
	return store_identity_put(context->changer->store, &fresh, &digest, err);
}

int stale_refresh(struct apply_context *context, int64_t user_id, struct err *err)
{
	struct identity_row *rows;
	size_t count;

	if (store_identities_of(context->changer->store, user_id, context->arena, &rows, &count,
				err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (refresh_one(context, &rows[i], err) < 0)
			return -1;
	return 0;
}
