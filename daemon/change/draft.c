/*
 * A draft: changes of people gathered into batches, stored while the planning goes on.
 *
 * Enters: changes, one after the other, from the planning thread. Leaves: a draft plan in the
 * store (or in memory for a dry run), totals for the limits, the names that several people
 * of the run claim. Fails: store, memory; a failed batch shows at the next call.
 *
 * A batch is at most 500 people or 4 MiB and is stored by the writer thread in a short
 * transaction of its own, at most four on their way. Drafts are discarded at start-up.
 *
 * Layout of a batch: person changes one after the other (decision/plan.h).
 *
 * Claims: who is new or changes a name claims the new one and the one they leave. Names claimed by two
 * people of a run go to neither in this run, whoever came first, so that the outcome
 * does not depend on the order in which a source answers.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define IN_FLIGHT_MAX 4
#define CLAIMS_MAX 200000000u

size_t change_batch_people = BATCH_PEOPLE;

void draft_init(struct draft *draft)
{
	draft->batch = STRBUF(PLAN_BYTES_MAX);
	pthread_mutex_init(&draft->mutex, NULL);
	pthread_cond_init(&draft->drained, NULL);
}

static void wait_drained(struct draft *draft, unsigned at_most)
{
	pthread_mutex_lock(&draft->mutex);
	while (draft->in_flight > at_most)
		pthread_cond_wait(&draft->drained, &draft->mutex);
	pthread_mutex_unlock(&draft->mutex);
}

static int discard_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct draft *draft = job->context;

	return store_plan_discard(changer->store, draft->row, err);
}

void draft_finish(struct draft *draft)
{
	wait_drained(draft, 0);
	/* A draft that cannot be discarded now is discarded at the next start. */
	if (draft->row != 0)
		writer_bulk(draft->changer, discard_job, draft, NULL);
	for (int64_t i = 0; draft->kept && i < draft->batches; i++)
		strbuf_finish(&draft->kept[i]);
	free(draft->kept);
	strbuf_finish(&draft->batch);
	plan_totals_destroy(draft->totals);
	plan_totals_destroy(draft->still_waiting);
	free(draft->waiting_ids);
	arena_destroy(draft->scratch);
	hash_table_destroy(draft->claims);
	free(draft->conflicts);
	pthread_cond_destroy(&draft->drained);
	pthread_mutex_destroy(&draft->mutex);
}

/* --- claims --- */

static int add_conflict(struct draft *draft, struct hash128 name, struct err *err)
{
	if (draft->conflict_count == draft->conflict_capacity) {
		size_t capacity = draft->conflict_capacity ? draft->conflict_capacity * 2 : 16;
		struct hash128 *grown = reallocarray(draft->conflicts, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for names in conflict");
		draft->conflicts = grown;
		draft->conflict_capacity = capacity;
	}
	draft->conflicts[draft->conflict_count++] = name;
	return 0;
}

/* Usernames and e-mail addresses lie in one table: all bits of one of them are turned. */
static struct hash128 claim_key(char what, const char *name)
{
	struct hash128 key = fingerprint128(name, strlen(name));

	if (what == 'e') {
		key.word[0] = ~key.word[0];
		key.word[1] = ~key.word[1];
	}
	return key;
}

static int claim(struct draft *draft, char what, const char *name, struct err *err)
{
	uint32_t *slot;

	if (!draft->claims)
		draft->claims = hash_table_create(1024, CLAIMS_MAX);
	if (!draft->claims || hash_table_put(draft->claims, claim_key(what, name), &slot) < 0)
		return err_set(err, ERR_MEMORY, "no memory for the names of a plan");
	/* 0: nobody yet; UINT32_MAX: in conflict already. */
	if (*slot == 0) {
		*slot = draft->people;
	} else if (*slot != draft->people && *slot != UINT32_MAX) {
		*slot = UINT32_MAX;
		return add_conflict(draft, plan_name_digest(what, name), err);
	}
	return 0;
}

static int claim_name(struct draft *draft, char what, const char *before, const char *after,
		      bool is_new, struct err *err)
{
	if (!is_new && strcmp(before, after) == 0)
		return 0;
	if (after[0] != '\0' && claim(draft, what, after, err) < 0)
		return -1;
	if (!is_new && before[0] != '\0' && claim(draft, what, before, err) < 0)
		return -1;
	return 0;
}

static int claim_names(struct draft *draft, const struct person_change *change, struct err *err)
{
	const struct user *before = &change->before, *after = &change->after;
	bool is_new = before->id == 0;

	if (claim_name(draft, 'u', before->username, after->username, is_new, err) < 0)
		return -1;
	return claim_name(draft, 'e', before->email, after->email, is_new, err);
}

/* --- batches --- */

struct batch_job {
	struct job job;
	struct draft *draft;
	struct strbuf data;
	int64_t seq;
};

static int store_batch(struct changer *changer, struct job *job, struct err *err)
{
	struct batch_job *batch = job->context;
	struct draft *draft = batch->draft;

	change_step("draft");
	if (draft->row == 0 && store_plan_create(changer->store, draft->source, draft->actor,
						 draft->now_s, &draft->row, err) < 0)
		return -1;
	return store_plan_add_batch(changer->store, draft->row, batch->seq, batch->data.data,
				    batch->data.size, err);
}

static void batch_finished(struct changer *changer UNUSED, struct job *job)
{
	struct batch_job *batch = job->context;
	struct draft *draft = batch->draft;

	pthread_mutex_lock(&draft->mutex);
	if (job->result < 0 && !draft->failed) {
		draft->failed = true;
		draft->failure = job->err;
		if (batch->seq == 0)
			draft->row = 0; /* its creation was rolled back */
	}
	draft->in_flight--;
	pthread_cond_signal(&draft->drained);
	pthread_mutex_unlock(&draft->mutex);
	strbuf_finish(&batch->data);
	free(batch);
}

static int check_failed(struct draft *draft, struct err *err)
{
	bool failed;

	pthread_mutex_lock(&draft->mutex);
	failed = draft->failed;
	if (failed && err)
		*err = draft->failure;
	pthread_mutex_unlock(&draft->mutex);
	return failed ? err_wrap(err, "cannot store the plan") : 0;
}

static int send_batch(struct draft *draft, struct err *err)
{
	struct batch_job *batch;

	wait_drained(draft, IN_FLIGHT_MAX - 1);
	if (check_failed(draft, err) < 0)
		return -1;
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return err_set(err, ERR_MEMORY, "no memory for a batch");
	/* Drafts are for nobody after a power cut; the commit that makes the plan ready is durable. */
	batch->job = (struct job){
		.run = store_batch, .context = batch, .redoable = true, .finished = batch_finished
	};
	batch->draft = draft;
	batch->data = draft->batch;
	batch->seq = draft->batches++;
	draft->batch = STRBUF(PLAN_BYTES_MAX);
	pthread_mutex_lock(&draft->mutex);
	draft->in_flight++;
	pthread_mutex_unlock(&draft->mutex);
	writer_submit(draft->changer, &batch->job);
	return 0;
}

static int keep_batch(struct draft *draft, struct err *err)
{
	if ((size_t)draft->batches == draft->kept_capacity) {
		size_t capacity = draft->kept_capacity ? draft->kept_capacity * 2 : 16;
		struct strbuf *grown = reallocarray(draft->kept, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for a batch");
		draft->kept = grown;
		draft->kept_capacity = capacity;
	}
	draft->kept[draft->batches++] = draft->batch;
	draft->batch = STRBUF(PLAN_BYTES_MAX);
	return 0;
}

static int close_batch(struct draft *draft, struct err *err)
{
	if (draft->batch_people == 0)
		return 0;
	draft->batch_people = 0;
	return draft->dry_run ? keep_batch(draft, err) : send_batch(draft, err);
}

static int note_waiting(struct draft *draft, int64_t user_id, struct err *err)
{
	if (draft->waiting_count == draft->waiting_capacity) {
		size_t capacity = draft->waiting_capacity ? draft->waiting_capacity * 2 : 64;
		int64_t *grown = reallocarray(draft->waiting_ids, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for a plan");
		draft->waiting_ids = grown;
		draft->waiting_capacity = capacity;
	}
	draft->waiting_ids[draft->waiting_count++] = user_id;
	return 0;
}

/* What a person waits for already is held until a person applies it, however few are left. */
static int count_waiting(struct draft *draft, const struct person_change *change, struct err *err)
{
	const struct held_users *users = draft->waiting;
	const struct held_user *held = users && users->count && change->before.id != 0
					       ? held_users_find(users, change->before.id)
					       : NULL;

	if (!held)
		return 0;
	if (!draft->still_waiting)
		draft->still_waiting = plan_totals_create();
	if (!draft->scratch)
		draft->scratch = arena_create(PERSON_BYTES_MAX);
	if (!draft->still_waiting || !draft->scratch)
		return err_set(err, ERR_MEMORY, "no memory for a plan");
	if (note_waiting(draft, change->before.id, err) < 0)
		return -1;
	for (; held < users->items + users->count && held->user_id == change->before.id; held++) {
		struct person_change common;

		arena_reset(draft->scratch);
		if (plan_intersect(held->change, change, draft->scratch, &common, err) < 0 ||
		    plan_totals_count(draft->still_waiting, &draft->setup->setup.decision,
				      draft->source, &common, err) < 0)
			return -1;
	}
	return 0;
}

int draft_add(struct draft *draft, const struct person_change *change, struct err *err)
{
	if (!draft->totals) {
		draft->totals = plan_totals_create();
		if (!draft->totals)
			return err_set(err, ERR_MEMORY, "no memory for a plan");
	}
	/* Closed by the next one: as many as fit into one batch are never stored before their time. */
	if ((draft->batch_people >= change_batch_people || draft->batch.size >= BATCH_BYTES) &&
	    close_batch(draft, err) < 0)
		return -1;
	draft->people++;
	if (plan_totals_count(draft->totals, &draft->setup->setup.decision, draft->source, change,
			      err) < 0 ||
	    count_waiting(draft, change, err) < 0 || claim_names(draft, change, err) < 0)
		return -1;
	person_change_encode(change, &draft->batch);
	if (strbuf_failed(&draft->batch))
		return err_set(err, ERR_MEMORY, "no memory for a batch");
	draft->batch_people++;
	return 0;
}

int draft_flush(struct draft *draft, struct err *err)
{
	if (close_batch(draft, err) < 0)
		return -1;
	wait_drained(draft, 0);
	return check_failed(draft, err);
}

/* --- reading --- */

int batch_each(const void *data, size_t size, struct arena *arena, draft_each_fn *each,
	       void *context, struct err *err)
{
	struct reader in = reader_init(data, size);

	while (reader_left(&in) > 0) {
		struct person_change change;

		arena_reset(arena);
		if (person_change_decode(&in, arena, &change, err) < 0 ||
		    each(context, &change, err) < 0)
			return -1;
	}
	return 0;
}

int draft_each(struct draft *draft, struct arena *arena, draft_each_fn *each, void *context,
	       struct err *err)
{
	for (int64_t seq = 0; seq < draft->batches; seq++) {
		AUTO(arena) struct arena *bytes = NULL;
		const void *data;
		size_t size;

		if (changer_check_leaving(draft->changer, err) < 0)
			return -1;
		if (draft->dry_run) {
			data = draft->kept[seq].data;
			size = draft->kept[seq].size;
		} else {
			bytes = arena_create(PLAN_BYTES_MAX);
			if (!bytes)
				return err_set(err, ERR_MEMORY, "no memory for a batch");
			if (store_plan_get_batch(draft->store, draft->row, seq, bytes, &data, &size,
						 err) < 0)
				return -1;
		}
		if (batch_each(data, size, arena, each, context, err) < 0)
			return -1;
	}
	return draft->batch_people > 0
		       ? batch_each(draft->batch.data, draft->batch.size, arena, each, context, err)
		       : 0;
}
