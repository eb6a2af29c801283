/*
 * Who was not there in a whole read.
 *
 * Enters: the table of who was seen, the names of entries that could not be processed. Leaves: marks of
 * who is missing, and since when, in the run's draft; whom the policy disables then. Who may be one
 * of the unprocessed stays as they are. Fails: store, memory.
 */
#include "sync.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

struct unseen {
	struct sync *sync;
	struct unseen_identity {
		const char *key;
		int64_t user_id, missing_s;
		uint32_t missing_runs;
	} * items;
	size_t count, capacity;
};

static int note_unseen(void *context, const char *key, struct hash128 digest UNUSED,
		       int64_t user_id, int64_t missing_s, uint32_t missing_runs)
{
	struct unseen *unseen = context;
	struct known_entry *entry =
		known_find(unseen->sync->slot->table, fingerprint128(key, strlen(key)));

	if (entry && known_flag(entry, TABLE_SEEN))
		return 0;
	if (unseen->count == unseen->capacity) {
		size_t capacity = unseen->capacity ? unseen->capacity * 2 : 64;
		struct unseen_identity *grown =
			reallocarray(unseen->items, capacity, sizeof(*grown));

		if (!grown)
			return -1;
		unseen->items = grown;
		unseen->capacity = capacity;
	}
	unseen->items[unseen->count] =
		(struct unseen_identity){ arena_strdup(unseen->sync->texts, key), user_id,
					  missing_s, missing_runs };
	return unseen->items[unseen->count++].key ? 0 : -1;
}

static int miss_one(struct sync *sync, const struct unseen_identity *item, struct err *err)
{
	const struct policy_settings *policy = sync->setup->setup.policy;
	int64_t now_s = setup_steady_s(&sync->setup->setup, sync->now_s);
	struct identity_change marks = {
		.source = sync->source,
		.key = item->key,
		.missing_s = item->missing_s ? item->missing_s : now_s,
		.missing_runs = missing_runs_counted(item->missing_runs) < MISSING_TOLD - 1
					? item->missing_runs + 1
					: item->missing_runs,
	};
	struct person_change change;
	enum evaluated outcome;
	const char *problem;

	arena_reset(sync->arena);
	if (sync_evaluate(sync, sync->setup, item->user_id, &marks, &change, &outcome, &problem,
			  err) < 0)
		return -1;
	/* Of whom nothing stays but a tombstone: nothing is counted, nothing waits. */
	if (change.before.disabled & DISABLED_DELETED)
		return 0;
	if (!policy_missing_disables(policy, marks.missing_runs, marks.missing_s, now_s))
		sync->report.missing++;
	/* Gone for good already: nothing to count any further. */
	if (policy_missing_disables(policy, item->missing_runs, item->missing_s, now_s)) {
		change.identities = NULL;
		change.identity_count = 0;
	}
	return person_change_is_empty(&change) ? 0 : draft_add(&sync->run.draft, &change, err);
}

/* Is the name, as stored, that of an entry that could not be processed? */
static int is_frozen(struct sync *sync, const struct unseen_identity *item, bool *ret_frozen,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(DN_MAX * 32);
	struct identity_row row;
	struct identity identity;
	uint32_t at;

	*ret_frozen = sync->nameless;
	if (sync->nameless || !sync->frozen_names)
		return 0;
	arena_reset(sync->arena);
	if (store_identity_get(sync->store, sync->source, item->key, sync->arena, &row, err) < 0 ||
	    record_decode(row.record, row.record_size, sync->setup->setup.decision.schema,
			  sync->number, sync->arena, &identity, err) < 0)
		return -1;
	*ret_frozen =
		identity.dn[0] != '\0' &&
		dn_normalize(identity.dn, strlen(identity.dn), &normal, NULL) == 0 &&
		hash_table_get(sync->frozen_names, fingerprint128(normal.data, normal.size), &at);
	return 0;
}

static int judge_unseen(struct sync *sync, const struct unseen_identity *item, struct err *err)
{
	bool frozen;

	if (is_frozen(sync, item, &frozen, err) < 0)
		return -1;
	return frozen ? sync_keep_waiting(sync, item->user_id, err) : miss_one(sync, item, err);
}

int sync_miss_unseen(struct sync *sync, struct err *err)
{
	struct unseen unseen = { .sync = sync };
	struct err problem;
	int result;

	err_clear(&problem);
	result = store_identity_each(sync->store, sync->source, note_unseen, &unseen, &problem);
	if (result < 0) {
		if (problem.code == ERR_CANCELLED)
			err_set(&problem, ERR_MEMORY, "no memory for missing people");
		if (err)
			*err = problem;
	}
	for (size_t i = 0; i < unseen.count && result == 0; i++)
		result = judge_unseen(sync, &unseen.items[i], err);
	free(unseen.items);
	return result;
}
