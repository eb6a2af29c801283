/*
 * Batches: the people of a plan into the store, each batch one transaction.
 *
 * Enters: a READY plan, or a batch that was never stored. Leaves: what apply.c writes of each person,
 * windows, the plan's progress, lines of its report. Fails: store, memory; a failed batch leaves the plan
 * READY, to be continued.
 *
 * The driver, in the planning thread, reads, decodes and splits the next batch and writes its audit
 * texts while the writer thread carries out the one before: two batches are in work at most.
 */
#include "internal.h"

#include <stdlib.h>

#include <rolebridge/base/util.h>

#define SLOTS 2

/* --- in the writer --- */

struct slot_detail {
	size_t at; /* offset in details + 1; 0: none */
	struct hash256 digest;
};

struct slot {
	struct job job;
	struct driver *driver;
	struct arena *bytes, *people;
	struct strbuf details; /* texts of audit rows */
	struct person_change *changes;
	struct slot_detail *slot_details;
	bool *written; /* what people see of it; by index, after the commit */
	size_t count, capacity;
	int64_t seq;
	bool busy, committed;
	struct touched *touched;
	size_t touched_count, touched_capacity;
	struct applied applied;
};

struct driver {
	struct apply_plan *plan;
	struct store *read;
	struct slot slots[SLOTS];
	pthread_mutex_t mutex;
	pthread_cond_t freed;
	bool failed;
	struct err failure;
};

int apply_windows(struct changer *changer, struct plan_totals *windows, int64_t now_s,
		  struct err *err)
{
	for (size_t i = 0; i < plan_totals_size(windows); i++) {
		const struct plan_total *total = plan_totals_at(windows, i);

		if (store_window_add(changer->store, limit_kind_name(total->kind), total->subject,
				     now_s, total->count, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_people(struct slot *slot, struct apply_context *context, struct err *err)
{
	for (size_t i = 0; i < slot->count; i++) {
		size_t at = slot->slot_details[i].at;
		struct change_detail detail = { at ? slot->details.data + at - 1 : NULL,
						slot->slot_details[i].digest };

		arena_reset(context->arena);
		if (apply_person(context, &slot->changes[i], at ? &detail : NULL, err) < 0)
			return err_wrap(err, "cannot apply the change of '%s'",
					slot->changes[i].after.username);
		slot->written[i] = context->written;
		change_step("person");
	}
	return 0;
}

static int finish_batch(struct changer *changer, const struct apply_plan *plan, int64_t seq,
			int64_t now_s, struct err *err)
{
	struct plan_row row = { .row = plan->row, .state = PLAN_APPLIED, .finished_s = now_s };

	if (store_plan_batch_done(changer->store, plan->row, seq, err) < 0)
		return -1;
	change_step("batch-done");
	return seq + 1 < plan->batches ? 0 : store_plan_update(changer->store, &row, err);
}

/* What is done before the people, and after them, of a batch that is stored and of one that is not. */
struct batch_ends {
	job_run *begin;
	void *context;
};

static int run_people(struct changer *changer, struct slot *slot, const struct batch_ends *ends,
		      struct job *job, struct err *err)
{
	struct apply_plan *plan = slot->driver->plan;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	bool by_person = plan_holds_flags(plan->holds) & PLAN_BY_PERSON;
	struct actor actor = { .name = plan->actor, .request = plan->id, .is_person = by_person };
	struct plan_totals *windows = by_person ? NULL : plan_totals_create();
	struct apply_context context = { .changer = changer,
					 .setup = plan->setup,
					 .arena = arena,
					 .actor = &actor,
					 .source = plan->source,
					 .holds = plan->holds,
					 .windows = windows,
					 .now_s = change_now_s(),
					 .applied = &slot->applied,
					 .table = plan->table,
					 .touched = slot->touched,
					 .touched_capacity = slot->touched_capacity };
	int result;

	slot->applied = (struct applied){ 0 };
	if (!arena || (!by_person && !windows)) {
		plan_totals_destroy(windows);
		return err_set(err, ERR_MEMORY, "no memory to apply a batch");
	}
	/* Batches are done in order: none after one that failed. */
	result = slot->driver->failed ? err_set(err, ERR_CANCELLED, "an earlier batch failed") : 0;
	if (result == 0 && ends) {
		job->context = ends->context;
		result = ends->begin(changer, job, err);
	}
	if (result == 0)
		result = apply_people(slot, &context, err);
	if (result == 0 && windows)
		result = apply_windows(changer, windows,
				       setup_steady_s(&plan->setup->setup, context.now_s), err);
	if (result == 0 && !ends)
		result = finish_batch(changer, plan, slot->seq, context.now_s, err);
	slot->touched = context.touched;
	slot->touched_count = context.touched_count;
	slot->touched_capacity = context.touched_capacity;
	plan_totals_destroy(windows);
	return result;
}

static int run_batch(struct changer *changer, struct job *job, struct err *err)
{
	return run_people(changer, job->context, NULL, job, err);
}

static void follow_in_table(struct known *table, const struct slot *slot)
{
	for (size_t i = 0; table && i < slot->touched_count; i++) {
		const struct touched *touched = &slot->touched[i];
		struct known_entry *entry = known_find(table, touched->key);

		if (!entry)
			continue;
		if (touched->missing)
			entry->user_flags |= TABLE_MISSING;
		else
			known_set(entry, touched->digest, touched->user_id, TABLE_SEEN);
	}
}

static void add_applied(struct applied *sum, const struct applied *more)
{
	sum->created += more->created;
	sum->updated += more->updated;
	sum->disabled += more->disabled;
	sum->enabled += more->enabled;
	sum->granted += more->granted;
	sum->revoked += more->revoked;
	sum->quarantined += more->quarantined;
}

static void batch_finished(struct changer *changer UNUSED, struct job *job)
{
	struct slot *slot = job->context;
	struct driver *driver = slot->driver;

	pthread_mutex_lock(&driver->mutex);
	if (job->result == 0) {
		follow_in_table(driver->plan->table, slot);
		add_applied(&driver->plan->applied, &slot->applied);
		driver->plan->batches_done = slot->seq + 1;
		slot->committed = true;
	} else if (!driver->failed) {
		driver->failed = true;
		driver->failure = job->err;
	}
	slot->busy = false;
	pthread_cond_signal(&driver->freed);
	pthread_mutex_unlock(&driver->mutex);
}

/* --- the driver --- */

static int slot_room(struct slot *slot, struct err *err)
{
	size_t capacity = slot->capacity ? slot->capacity * 2 : BATCH_PEOPLE;
	struct person_change *changes;
	struct slot_detail *details;
	bool *written;

	if (slot->count < slot->capacity)
		return 0;
	changes = reallocarray(slot->changes, capacity, sizeof(*changes));
	if (!changes)
		return err_set(err, ERR_MEMORY, "no memory for a batch");
	slot->changes = changes;
	details = reallocarray(slot->slot_details, capacity, sizeof(*details));
	if (!details)
		return err_set(err, ERR_MEMORY, "no memory for a batch");
	slot->slot_details = details;
	written = reallocarray(slot->written, capacity, sizeof(*written));
	if (!written)
		return err_set(err, ERR_MEMORY, "no memory for a batch");
	slot->written = written;
	slot->capacity = capacity;
	return 0;
}

int apply_split(const struct live_setup *setup, const char *source, const struct plan_holds *holds,
		const struct person_change *change, struct arena *arena,
		struct person_change *ret_now, struct person_change *ret_held, struct err *err)
{
	struct identity_change *identities;

	if (plan_split(&setup->setup.decision, source, change, holds, arena, ret_now, ret_held,
		       err) < 0)
		return -1;
	if (!(plan_holds_flags(holds) & PLAN_FORGET_HELD) || person_change_is_empty(ret_held) ||
	    ret_now->identity_count == 0)
		return 0;
	identities = arena_memdup(arena, ret_now->identities,
				  ret_now->identity_count * sizeof(*identities));
	if (!identities)
		return err_set(err, ERR_MEMORY, "no memory to split a change");
	for (size_t i = 0; i < ret_now->identity_count; i++)
		identities[i].digest = (struct hash128){ { 0 } };
	ret_now->identities = identities;
	return 0;
}

/* What the writer would else do: it is the one that all wait for. */
static int prepare_detail(struct slot *slot, const struct person_change *change,
			  struct slot_detail *ret_detail, struct err *err)
{
	size_t begin = slot->details.size;

	detail_write(change, &slot->details);
	strbuf_putc(&slot->details, '\0');
	if (strbuf_failed(&slot->details))
		return err_set(err, ERR_MEMORY, "no memory for audit rows");
	*ret_detail = (struct slot_detail){ begin + 1, digest256(slot->details.data + begin,
								 slot->details.size - 1 - begin) };
	return 0;
}

static int prepare_person(struct slot *slot, const struct person_change *change, struct err *err)
{
	const struct apply_plan *plan = slot->driver->plan;
	struct person_change now, held;

	if (apply_split(plan->setup, plan->source, plan->holds, change, slot->people, &now, &held,
			err) < 0 ||
	    slot_room(slot, err) < 0)
		return -1;
	if (person_change_is_empty(&now))
		return 0;
	slot->changes[slot->count] = now;
	slot->slot_details[slot->count] = (struct slot_detail){ 0 };
	if (person_change_is_visible(&now) &&
	    prepare_detail(slot, &now, &slot->slot_details[slot->count], err) < 0)
		return -1;
	slot->count++;
	return 0;
}

/* After its commit, and before the slot is used again: someone left out is not listed as created. */
static int report_batch(struct slot *slot, struct err *err)
{
	struct run_report *report = slot->driver->plan->report;
	bool committed = slot->committed;

	slot->committed = false;
	for (size_t i = 0; committed && report && i < slot->count; i++)
		if (slot->written[i] &&
		    run_report_person(report, &slot->changes[i], false, err) < 0)
			return -1;
	return 0;
}

static int prepare_people(struct slot *slot, const void *data, size_t size, struct err *err)
{
	struct reader in = reader_init(data, size);

	while (reader_left(&in) > 0) {
		struct person_change change;

		if (person_change_decode(&in, slot->people, &change, err) < 0 ||
		    prepare_person(slot, &change, err) < 0)
			return -1;
	}
	return 0;
}

static int prepare(struct slot *slot, int64_t seq, struct err *err)
{
	struct driver *driver = slot->driver;
	const void *data;
	size_t size;

	if (report_batch(slot, err) < 0)
		return -1;
	arena_reset(slot->bytes);
	arena_reset(slot->people);
	strbuf_clear(&slot->details);
	slot->count = slot->touched_count = 0;
	slot->seq = seq;
	if (store_plan_get_batch(driver->read, driver->plan->row, seq, slot->bytes, &data, &size,
				 err) < 0)
		return -1;
	return prepare_people(slot, data, size, err);
}

static struct slot *free_slot(struct driver *driver)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&driver->mutex);
	while (!slot && !driver->failed) {
		for (size_t i = 0; i < SLOTS && !slot; i++)
			if (!driver->slots[i].busy)
				slot = &driver->slots[i];
		if (!slot)
			pthread_cond_wait(&driver->freed, &driver->mutex);
	}
	pthread_mutex_unlock(&driver->mutex);
	return slot;
}

static void submit(struct driver *driver, struct slot *slot)
{
	pthread_mutex_lock(&driver->mutex);
	slot->busy = true;
	pthread_mutex_unlock(&driver->mutex);
	/* The plan is on disk and continued after a power cut; its last commit makes all durable. */
	slot->job = (struct job){ .run = run_batch,
				  .context = slot,
				  .redoable = slot->seq + 1 < driver->plan->batches,
				  .finished = batch_finished };
	writer_submit(driver->plan->changer, &slot->job);
}

static void wait_all(struct driver *driver)
{
	pthread_mutex_lock(&driver->mutex);
	for (size_t i = 0; i < SLOTS; i++)
		while (driver->slots[i].busy)
			pthread_cond_wait(&driver->freed, &driver->mutex);
	pthread_mutex_unlock(&driver->mutex);
}

static int driver_init(struct driver *driver, struct err *err)
{
	pthread_mutex_init(&driver->mutex, NULL);
	pthread_cond_init(&driver->freed, NULL);
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *slot = &driver->slots[i];

		slot->driver = driver;
		slot->details = STRBUF(PLAN_BYTES_MAX);
		slot->bytes = arena_create(PLAN_BYTES_MAX);
		slot->people = arena_create(PLAN_BYTES_MAX);
		if (!slot->bytes || !slot->people)
			return err_set(err, ERR_MEMORY, "no memory to apply a plan");
	}
	return 0;
}

static void driver_finish(struct driver *driver)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *slot = &driver->slots[i];

		arena_destroy(slot->bytes);
		arena_destroy(slot->people);
		strbuf_finish(&slot->details);
		free(slot->changes);
		free(slot->slot_details);
		free(slot->written);
		free(slot->touched);
	}
	pthread_cond_destroy(&driver->freed);
	pthread_mutex_destroy(&driver->mutex);
}

static void tell_progress(const struct apply_plan *plan, int64_t batches_done)
{
	const struct run_report *report = plan->report;

	if (report && report->progress)
		report->progress(report->progress_context, (uint64_t)batches_done,
				 (uint64_t)plan->batches);
}

int apply_plan(struct apply_plan *plan, struct store *read, struct err *err)
{
	struct driver driver = { .plan = plan, .read = read };
	int result = driver_init(&driver, err);

	for (int64_t seq = plan->batches_done; result == 0 && seq < plan->batches; seq++) {
		struct slot *slot = free_slot(&driver);

		if (!slot)
			break;
		tell_progress(plan, seq);
		result = changer_check_leaving(plan->changer, err);
		if (result == 0)
			result = prepare(slot, seq, err);
		if (result == 0)
			submit(&driver, slot);
	}
	wait_all(&driver);
	for (size_t i = 0; i < SLOTS; i++)
		if (report_batch(&driver.slots[i], result == 0 ? err : NULL) < 0)
			result = -1;
	if (result == 0 && driver.failed) {
		if (err)
			*err = driver.failure;
		result = -1;
	}
	if (result == 0)
		tell_progress(plan, plan->batches);
	driver_finish(&driver);
	return result < 0 ? err_wrap(err, "plan is stored and will be continued") : 0;
}

/* --- a batch that was never stored --- */

struct small {
	struct slot *slot;
	struct batch_ends ends;
};

static int run_small(struct changer *changer, struct job *job, struct err *err)
{
	const struct small *small = job->context;

	return run_people(changer, small->slot, &small->ends, job, err);
}

int apply_batch(struct apply_plan *plan, const void *data, size_t size, job_run *begin,
		void *context, struct err *err)
{
	struct driver driver = { .plan = plan };
	struct slot *slot = &driver.slots[0];
	struct small small = { slot, { begin, context } };
	int result = driver_init(&driver, err);

	if (result == 0)
		result = prepare_people(slot, data, size, err);
	for (size_t i = 0; i < slot->count; i++)
		plan->visible += slot->slot_details[i].at != 0;
	if (result == 0)
		result = (plan->urgent ? writer_request : writer_bulk)(plan->changer, run_small,
								       &small, err);
	if (result == 0) {
		follow_in_table(plan->table, slot);
		plan->applied = slot->applied;
		slot->committed = true;
		result = report_batch(slot, err);
	}
	driver_finish(&driver);
	return result;
}
