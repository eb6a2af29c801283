/*
 * People out of a file.
 *
 * Enters: rows, who asks. Leaves: users, grants, audit rows, in transactions of at most 500 people each; what became of
 * each row. Refused, row by row: names that are taken, what a source says, what lies beyond the actor's
 * permissions, the last administrator, whatever else a person's hand is refused. Fails: store, memory.
 *
 * Texts are normalised in the thread that asks, before the transaction. In the writer a refusal is told before anything
 * of its row is written (apply_person), so that no row needs a savepoint. Commits but the last may be undone by
 * a power cut: whoever was not told "done" begins again, and finds part of it done.
 *
 * A dry run goes the same way up to the writing, on a handle that can only read. What others of the same file would
 * take is remembered; so is foreseen what apply_person would ask of the store.
 */
#include <rolebridge/change/import.h>

#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#include "importing.h"

#define TEXTS_MAX ((size_t)64 * 1024 * 1024)

static const char *const status_names[IMPORT_STATUSES] = { "created", "updated", "unchanged",
							   "failed" };

const char *import_status_name(enum import_status status)
{
	return status_names[status];
}

/* --- begin and end --- */

struct import *import_begin(struct changer *changer, const struct actor *actor, bool dry_run,
			    struct err *err)
{
	struct import *import = alloc_zeroed(1, sizeof(*import));

	if (!import) {
		import_no_memory(err);
		return NULL;
	}
	import->changer = changer;
	import->actor = actor;
	import->dry_run = dry_run;
	import->setup = changer_live_setup(changer, NULL);
	import->texts = arena_create(TEXTS_MAX);
	import->text = STRBUF(64 * 1024);
	if (dry_run) {
		import->claims = hash_table_create(1024, FORESIGHT_MAX);
		import->reader = store_open(changer->path, STORE_READ, err);
	}
	if (dry_run && !import->reader) {
		import_destroy(import);
		return NULL;
	}
	if (!import->texts || (dry_run && !import->claims)) {
		import_destroy(import);
		import_no_memory(err);
		return NULL;
	}
	return import;
}

void import_destroy(struct import *import)
{
	if (!import)
		return;
	setup_release(&import->setup->setup);
	store_close(import->reader);
	hash_table_destroy(import->claims);
	arena_destroy(import->texts);
	strbuf_finish(&import->text);
	free(import);
}

/* --- rows --- */

static int do_row(struct importing *importing, struct err *err)
{
	struct user user;
	int found = import_find(importing, &user, err);

	if (found < 0)
		return -1;
	if (found > 0)
		return import_update(importing, &user, err);
	if (!import_made_before(importing))
		return import_create(importing, err) < 0 ? -1 : import_claim_keys(importing, err);
	importing->result->status = IMPORT_UPDATED;
	return 0;
}

struct batch {
	struct import *import;
	const struct prepared *prepared;
	size_t count;
	struct arena *arena; /* of messages */
	struct import_result *results;
};

static int do_rows(struct batch *batch, struct store *store, struct apply_context *context,
		   struct arena *arena, struct err *err)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct importing importing = { .import = batch->import,
					       .store = store,
					       .prepared = &batch->prepared[i],
					       .context = context,
					       .arena = arena,
					       .now_s = change_now_s(),
					       .result = &batch->results[i] };
		struct err problem;

		if (importing.result->code)
			continue;
		arena_reset(arena);
		err_clear(&problem);
		if (do_row(&importing, &problem) < 0 &&
		    import_refused(importing.result, &problem, importing.refused, batch->arena,
				   err) < 0)
			return -1;
	}
	return 0;
}

static int batch_job(struct changer *changer, struct job *job, struct err *err)
{
	struct batch *batch = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct applied applied = { 0 };
	struct apply_context context = { .changer = changer,
					 .setup = batch->import->setup,
					 .arena = arena,
					 .actor = batch->import->actor,
					 .source = "",
					 .refuse = true,
					 .now_s = change_now_s(),
					 .applied = &applied };

	if (!arena)
		return import_no_memory(err);
	return do_rows(batch, changer->store, &context, arena, err);
}

static int dry_batch(struct batch *batch, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	struct store *store = batch->import->reader;
	int result;

	if (!arena)
		return import_no_memory(err);
	if (store_begin(store, err) < 0)
		return -1;
	result = do_rows(batch, store, NULL, arena, err);
	store_rollback(store);
	return result;
}

int import_rows(struct import *import, const struct import_row *rows, size_t count,
		struct arena *arena, struct import_result *results, struct err *err)
{
	struct batch batch = {
		.import = import, .count = count, .arena = arena, .results = results
	};
	struct prepared *prepared;
	int result = 0;

	arena_reset(import->texts);
	/* What is in force may have changed since the rows before. */
	setup_release(&import->setup->setup);
	import->setup = changer_live_setup(import->changer, NULL);
	prepared = arena_alloc_array(import->texts, count ? count : 1, sizeof(*prepared));
	if (!prepared)
		return import_no_memory(err);
	batch.prepared = prepared;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = import_prepare(import, &rows[i], &prepared[i], &results[i], arena, err);
	if (result == 0)
		result = import->dry_run
				 ? dry_batch(&batch, err)
				 : writer_bulk_redoable(import->changer, batch_job, &batch, err);
	for (size_t i = 0; result == 0 && i < count; i++)
		import->counts[results[i].status]++;
	return result;
}

/* The row that a durable commit needs: without anything written nothing is waited for. */
static int finish_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct import *import = job->context;
	AUTO(strbuf) struct strbuf object = STRBUF(256), detail = STRBUF(4096);
	struct json json = JSON(&detail);

	json_object(&json);
	for (int i = 0; i < IMPORT_STATUSES; i++)
		json_int(&json, status_names[i], import->counts[i]);
	json_end(&json);
	strbuf_printf(&object, "import:%s", import->actor->request);
	if (strbuf_failed(&object) || strbuf_failed(&detail))
		return import_no_memory(err);
	return audit_write(changer->store, change_now_s(), import->actor, "users.import",
			   strbuf_text(&object), strbuf_text(&detail), err);
}

int import_finish(struct import *import, struct err *err)
{
	return import->dry_run ? 0 : writer_bulk(import->changer, finish_job, import, err);
}
