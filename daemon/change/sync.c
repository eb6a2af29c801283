/*
 * A sync run.
 *
 * Enters: identities of one source, entries that cannot be processed, what became of the groups asked
 * for; at the end whether the read was whole. Leaves: an applied plan, a held one, a report. Fails: our
 * own side (store, memory, a run that is under way); nothing of the run stays then.
 *
 * An identity whose digest is known, that is not marked missing and whose user waits in no held plan,
 * costs a digest and a look-up. All others are evaluated against the store as it is; the change
 * goes into the draft while the source goes on reading.
 *
 * Two things are known only at the end: that the read was not whole, and that a group has vanished. Then the
 * draft is gone through once more (rewrite.c) before any limit is asked.
 */
#include "sync.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

#include "restore.h"

#define FROZEN_MAX 100000000u
#define TEXT_BYTES_MAX (256u * 1024 * 1024)
/* What a run of changes holds in memory at most: who changes more than that is read as a whole. */
#define CHANGES_BYTES_MAX ((size_t)1 << 30)
/* Applied plans and cleared alarms are listed for so long; the audit log keeps what they did. */
#define HISTORY_S (90 * (int64_t)86400)

/* --- begin --- */

int sync_find_source(struct sync *sync, const char *name, struct err *err)
{
	sync->settings = setup_find_source(&sync->setup->setup, name);
	if (!sync->settings)
		return err_set(err, ERR_NOT_FOUND, "no source '%s' is configured", name);
	/* It would find everybody missing. */
	if (source_signs_in(sync->settings))
		return err_refuse(
			err, ERR_INVALID, "not-readable",
			"source '%s' speaks when somebody signs in: there is nothing to read",
			name);
	sync->number = (uint16_t)schema_find_source(sync->setup->setup.decision.schema, name,
						    strlen(name));
	return 0;
}

/* Is everybody to be looked at: groups known anew, or groups this source was never asked for? */
static int read_force(struct sync *sync, struct err *err)
{
	const char *name = arena_printf(sync->texts, "force:%s", sync->source);
	const char *value;

	if (!name)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	if (store_meta_get(sync->store, name, sync->texts, &value, err) < 0)
		return -1;
	sync->force_noted = value && strcmp(value, "1") == 0;
	if (sync->force_noted || sync->setup->groups_stale & (source_mask)1 << sync->number)
		sync->force_all = true;
	return 0;
}

static int load_known(struct sync *sync, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_source_get(sync->store, sync->source, sync->texts, &sync->state, &missing) < 0) {
		if (missing.code != ERR_NOT_FOUND) {
			if (err)
				*err = missing;
			return -1;
		}
		sync->state = (struct source_state){ .name = sync->source };
	}
	sync->run.draft.first_sync = sync->state.last_complete_s == 0;
	if (!sync->slot->table &&
	    known_load(sync->store, sync->source, &sync->slot->table, err) < 0)
		return -1;
	known_clear_flags(sync->slot->table, TABLE_SEEN);
	if (read_force(sync, err) < 0 ||
	    held_users_load(sync->store, sync->source, true, sync->texts, &sync->own, err) < 0 ||
	    held_users_load(sync->store, sync->source, false, sync->texts, &sync->others, err) < 0)
		return -1;
	if (first_sync_get(sync->store, sync->source, sync->texts, &sync->first_noted, err) < 0)
		return -1;
	if (sync->own.flags & PLAN_FIRST_SYNC || sync->first_noted)
		sync->run.draft.first_sync = true;
	sync->run.draft.waiting = &sync->own;
	return 0;
}

static int ensure_names(struct changer *changer, struct job *job, struct err *err)
{
	struct sync *sync = job->context;

	return names_store(changer->store, &sync->setup->setup, err);
}

static int open_sync(struct sync *sync, struct setup *preview, const char *source,
		     const struct actor *actor, struct err *err)
{
	struct changer *changer = sync->changer;

	sync->store = store_open(changer->path, STORE_READ, err);
	if (!sync->store)
		return -1;
	sync->setup = preview ? live_setup_create(preview, sync->store, err)
			      : changer_live_setup(changer, &sync->run.generation);
	if (!sync->setup || sync_find_source(sync, source, err) < 0)
		return -1;
	sync->source = sync->settings->name.text;
	sync->cause = arena_printf(sync->texts, "sync %s", source);
	if (actor_keep(sync->texts, actor, &sync->actor, err) < 0)
		return -1;
	if (!sync->cause)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	if (!sync->dry_run && writer_request(changer, ensure_names, sync, err) < 0)
		return -1;
	uint64_t generation = sync->run.generation;

	run_init(&sync->run, changer, sync->setup, sync->store, sync->source, &sync->actor,
		 sync->dry_run, sync->now_s, &sync->report);
	sync->run_ready = true;
	sync->run.generation = generation;
	sync->run.slot = sync->slot;
	sync->linker = linker_create(sync->setup, sync->settings, sync->store);
	if (!sync->linker)
		return err_set(err, ERR_MEMORY, "no memory for a sync");
	sync->force_all = preview != NULL;
	return load_known(sync, err);
}

static void destroy_sync(struct sync *sync, bool forget_table)
{
	linker_destroy(sync->linker);
	if (sync->run_ready)
		run_finish(&sync->run);
	if (sync->slot) {
		/* A dry run's is for itself: what is written meanwhile does not follow in it. */
		sync->slot->forget |= forget_table || sync->dry_run;
		slot_release(sync->changer, sync->slot);
	}
	if (sync->frozen)
		setup_release(&sync->frozen->setup);
	if (sync->setup)
		setup_release(&sync->setup->setup);
	/* A run of changes leaves its handle for the next one. */
	if (sync->kind == SYNC_FULL)
		store_close(sync->store);
	changes_destroy(sync->changes);
	run_report_finish(&sync->report);
	free(sync->groups);
	free(sync->quarantined);
	hash_table_destroy(sync->frozen_names);
	arena_destroy(sync->texts);
	arena_destroy(sync->arena);
	free(sync);
}

struct sync *sync_begin(struct changer *changer, struct setup *setup, const char *source,
			const struct actor *actor, bool dry_run, struct err *err)
{
	struct sync *sync = calloc(1, sizeof(*sync));

	if (!sync) {
		err_set(err, ERR_MEMORY, "no memory for a sync");
		return NULL;
	}
	/* A dry run writes nothing, and lives with a step that nobody has seen yet. */
	if (!dry_run && changer_watch_clock(changer, err) < 0) {
		free(sync);
		return NULL;
	}
	sync->changer = changer;
	sync->dry_run = dry_run;
	sync->now_s = change_now_s();
	sync->started_us = clock_monotonic_us();
	run_report_init(&sync->report);
	sync->texts = arena_create((size_t)4 << 30);
	sync->arena = arena_create(PERSON_BYTES_MAX);
	if (!sync->texts || !sync->arena || !sync->report.arena)
		err_set(err, ERR_MEMORY, "no memory for a sync");
	else if (setup && !dry_run)
		err_set(err, ERR_INVALID, "another configuration can only be previewed");
	else if ((sync->slot = slot_take(changer, source, dry_run ? SLOT_DRY_RUN : SLOT_WHOLE,
					 err)) != NULL &&
		 open_sync(sync, setup, source, actor, err) == 0)
		return sync;
	destroy_sync(sync, true);
	return NULL;
}

static struct sync *begin_changes(struct changer *changer, const char *source, enum slot_use use,
				  const struct actor *actor, struct err *err)
{
	struct sync *sync = calloc(1, sizeof(*sync));

	if (!sync) {
		err_set(err, ERR_MEMORY, "no memory for a sync");
		return NULL;
	}
	sync->changer = changer;
	sync->kind = SYNC_CHANGES;
	sync->now_s = change_now_s();
	sync->started_us = clock_monotonic_us();
	run_report_init(&sync->report);
	sync->texts = arena_create(CHANGES_BYTES_MAX);
	sync->arena = arena_create(PERSON_BYTES_MAX);
	if (!sync->texts || !sync->arena || !sync->report.arena)
		err_set(err, ERR_MEMORY, "no memory for a sync");
	else if ((sync->slot = slot_take(changer, source, use, err)) != NULL &&
		 changes_begin(sync, actor, err) == 0)
		return sync;
	destroy_sync(sync, true);
	return NULL;
}

struct sync *sync_begin_changes(struct changer *changer, const char *source,
				const struct actor *actor, struct err *err)
{
	return begin_changes(changer, source, SLOT_CHANGES, actor, err);
}

struct sync *sync_begin_due(struct changer *changer, const char *source, const struct actor *actor,
			    struct err *err)
{
	return begin_changes(changer, source, SLOT_DUE, actor, err);
}

void sync_abort(struct sync *sync)
{
	/* Nothing that a run of changes gathers is known before its end. */
	destroy_sync(sync, sync->kind == SYNC_FULL);
}

/* --- quarantine --- */

int sync_quarantine_listed(struct sync *sync, const struct quarantined *entry, struct err *err)
{
	struct quarantine_row *row;

	sync->report.quarantined++;
	if (sync->dry_run || arena_used(sync->texts) > TEXT_BYTES_MAX)
		return 0; /* counted; what is listed has a bound */
	if (sync->quarantined_count == sync->quarantined_capacity) {
		size_t capacity = sync->quarantined_capacity ? sync->quarantined_capacity * 2 : 64;
		struct quarantine_row *grown =
			reallocarray(sync->quarantined, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for quarantined entries");
		sync->quarantined = grown;
		sync->quarantined_capacity = capacity;
	}
	row = &sync->quarantined[sync->quarantined_count];
	*row = (struct quarantine_row){
		.source = sync->source,
		.locator = arena_strdup(sync->texts, entry->locator),
		.key = arena_strdup(sync->texts, entry->key),
		.reason = arena_strdup(sync->texts, entry->reason),
		.detail = arena_strdup(sync->texts, entry->detail),
		.since_s = sync->now_s,
		.seen_s = sync->now_s,
	};
	if (!row->locator || !row->key || !row->reason || !row->detail)
		return err_set(err, ERR_MEMORY, "no memory for quarantined entries");
	sync->quarantined_count++;
	return 0;
}

/* The entry's DN stands behind its key in the record (identity/record.h). */
static const char *record_locator(const void *record, size_t size, struct arena *arena)
{
	struct reader in = reader_init(record, size);
	const char *key, *dn;

	get_u16(&in);
	key = get_text(&in, arena);
	dn = get_text(&in, arena);
	return dn[0] ? dn : key;
}

static int quarantine_record(struct sync *sync, const void *record, size_t size, const char *key,
			     const char *reason, const char *detail, struct err *err)
{
	struct quarantined entry = { .locator = record_locator(record, size, sync->arena),
				     .key = key,
				     .reason = reason,
				     .detail = detail };

	return sync_quarantine_listed(sync, &entry, err);
}

/* --- identities --- */

void sync_watch_canaries(struct sync *sync, const void *record, size_t size, const char *key,
			 size_t key_size)
{
	const struct located_list *canaries = &sync->settings->canaries;
	AUTO(strbuf) struct strbuf seen = STRBUF(DN_MAX * 4), wanted = STRBUF(DN_MAX * 4);
	struct reader in = reader_init(record, size);
	const char *dn;
	size_t dn_size;

	get_u16(&in);
	get_bytes(&in, &dn_size);
	dn = get_bytes(&in, &dn_size);
	if (!dn || dn_normalize(dn, dn_size, &seen, NULL) < 0)
		strbuf_clear(&seen);
	for (size_t i = 0; i < canaries->count && i < 64; i++) {
		const char *text = canaries->items[i].text;

		if (strlen(text) == key_size && memcmp(text, key, key_size) == 0)
			sync->canaries_seen |= (uint64_t)1 << i;
		strbuf_clear(&wanted);
		if (seen.size > 0 && dn_normalize(text, strlen(text), &wanted, NULL) == 0 &&
		    wanted.size == seen.size && memcmp(wanted.data, seen.data, seen.size) == 0)
			sync->canaries_seen |= (uint64_t)1 << i;
	}
}

static bool waits(const struct sync *sync, int64_t user_id)
{
	return sync->own.count > 0 && user_id != 0 && held_users_find(&sync->own, user_id) != NULL;
}

static bool has_group(const struct identity *identity, uint32_t id)
{
	for (size_t i = 0; i < identity->group_count; i++)
		if (identity->groups[i] == id)
			return true;
	return false;
}

/*
 * Groups lost when the held plan was made are still lost, though the stored record knows no better;
 * unless they are back.
 */
static int add_groups_lost(struct sync *sync, const struct identity_change *delivered,
			   struct person_change *change, struct err *err)
{
	struct identity present = { 0 };
	const struct held_user *held =
		sync->own.count ? held_users_find(&sync->own, change->before.id) : NULL;
	uint32_t *groups;
	size_t count = change->groups_lost_count;

	if (!held || change->before.id == 0 || held->change->groups_lost_count == 0)
		return 0;
	groups = arena_alloc_array(sync->arena, count + held->change->groups_lost_count,
				   sizeof(*groups));
	if (!groups)
		return err_set(err, ERR_MEMORY, "no memory for a change");
	if (delivered && delivered->record &&
	    record_decode(delivered->record, delivered->record_size,
			  sync->setup->setup.decision.schema, sync->number, sync->arena, &present,
			  err) < 0)
		return -1;
	if (count)
		memcpy(groups, change->groups_lost, count * sizeof(*groups));
	for (size_t i = 0; i < held->change->groups_lost_count; i++) {
		uint32_t id = held->change->groups_lost[i];
		bool known = has_group(&present, id);

		for (size_t j = 0; j < count && !known; j++)
			known = groups[j] == id;
		if (!known)
			groups[count++] = id;
	}
	change->groups_lost = groups;
	change->groups_lost_count = count;
	return 0;
}

int sync_evaluate(struct sync *sync, const struct live_setup *setup, int64_t user_id,
		  const struct identity_change *identity, struct person_change *ret_change,
		  enum evaluated *ret_outcome, const char **ret_problem, struct err *err)
{
	struct evaluation evaluation = { .setup = setup,
					 .store = sync->store,
					 .arena = sync->arena,
					 .now_s = sync->now_s,
					 .cause = sync->cause,
					 .rows = sync->given_rows,
					 .row_count = sync->given_row_count,
					 .groups = sync->given_groups };

	if (evaluate_user(&evaluation, user_id, identity, ret_change, ret_outcome, ret_problem,
			  err) < 0)
		return -1;
	if (*ret_outcome != EVALUATED)
		return 0;
	if (user_id != 0 && add_groups_lost(sync, identity, ret_change, err) < 0)
		return -1;
	return held_users_subtract(&sync->others, ret_change, sync->arena, err);
}

/* A person in the held plan whom nothing changes for any more falls out of it by not being added. */
static int take_change(struct sync *sync, struct known_entry *entry,
		       const struct identity_change *identity, struct person_change *change,
		       struct err *err)
{
	bool same = hash128_equal(entry->digest, identity->digest) &&
		    !known_flag(entry, TABLE_MISSING) && known_user(entry) != 0;

	if (!person_change_is_visible(change))
		sync->report.unchanged++;
	if (same) {
		change->identities = NULL;
		change->identity_count = 0;
	}
	return person_change_is_empty(change) ? 0 : draft_add(&sync->run.draft, change, err);
}

/*
 * Nothing new is known of a person, or nothing that can be used: what waits for them in the held plan
 * waits on, and nothing else happens.
 */
static int keep_waiting(struct sync *sync, int64_t user_id, struct err *err)
{
	struct person_change change;
	enum evaluated outcome;
	const char *problem;

	if (!waits(sync, user_id))
		return 0;
	arena_reset(sync->arena);
	if (sync_evaluate(sync, sync->setup, user_id, NULL, &change, &outcome, &problem, err) < 0)
		return -1;
	if (outcome != EVALUATED || plan_intersect(held_users_find(&sync->own, user_id)->change,
						   &change, sync->arena, &change, err) < 0)
		return outcome != EVALUATED ? 0 : -1;
	return person_change_is_empty(&change) ? 0 : draft_add(&sync->run.draft, &change, err);
}

static int freeze_key(struct sync *sync, const char *key, struct err *err)
{
	struct known_entry *entry;

	if (known_put(sync->slot->table, fingerprint128(key, strlen(key)), &entry) < 0)
		return err_set(err, ERR_MEMORY, "no memory for the known identities");
	if (known_flag(entry, TABLE_SEEN))
		return 0;
	/* To be looked at when it can be processed again. */
	entry->user_flags |= TABLE_SEEN;
	entry->digest = (struct hash128){ { 0 } };
	return keep_waiting(sync, known_user(entry), err);
}

static int freeze_name(struct sync *sync, const char *dn, struct err *err)
{
	AUTO(strbuf) struct strbuf normal = STRBUF(DN_MAX * 32);
	uint32_t *slot;

	if (dn[0] == '\0' || dn_normalize(dn, strlen(dn), &normal, NULL) < 0) {
		sync->nameless = true;
		return 0;
	}
	if (!sync->frozen_names)
		sync->frozen_names = hash_table_create(64, FROZEN_MAX);
	if (!sync->frozen_names ||
	    hash_table_put(sync->frozen_names, fingerprint128(normal.data, normal.size), &slot) < 0)
		return err_set(err, ERR_MEMORY, "no memory for quarantined entries");
	return 0;
}

/* Quarantine freezes, it never disables: whose entry it is does not count as missing. */
int sync_quarantine(void *context, const struct quarantined *entry, struct err *err)
{
	struct sync *sync = context;
	int frozen = 0;

	if (sync->kind == SYNC_CHANGES)
		return changes_quarantine(sync, entry, err);
	if (entry->key[0] != '\0')
		frozen = freeze_key(sync, entry->key, err);
	/* A repeated key is known, though it is not told again. */
	else if (!entry->is_group &&
		 (strcmp(entry->reason, "duplicate-key") != 0 || (entry->dn && entry->dn[0])))
		frozen = freeze_name(sync, entry->dn ? entry->dn : "", err);
	return frozen < 0 ? -1 : sync_quarantine_listed(sync, entry, err);
}

static int evaluate_record(struct sync *sync, struct known_entry *entry,
			   const struct identity_change *identity, int64_t user_id, struct err *err)
{
	struct person_change change;
	enum evaluated outcome;
	const char *problem = "";

	if (sync_evaluate(sync, sync->setup, user_id, identity, &change, &outcome, &problem, err) <
	    0)
		return -1;
	switch (outcome) {
	case EVALUATED: return take_change(sync, entry, identity, &change, err);
	case EVALUATED_OUT:
		sync->report.unchanged++;
		if (!sync->dry_run && !linker_links(sync->linker))
			known_set(entry, identity->digest, 0, TABLE_SEEN | TABLE_OUT);
		return 0;
	case EVALUATED_UNUSABLE: break;
	}
	return quarantine_record(sync, identity->record, identity->record_size, identity->key,
				 "no-username", problem, err);
}

static int find_user(struct sync *sync, const struct identity_change *identity, int64_t *ret_user,
		     bool *ret_refused, struct err *err)
{
	struct identity decoded;
	const char *reason, *detail;

	*ret_user = 0;
	*ret_refused = false;
	if (!linker_links(sync->linker))
		return 0;
	if (record_decode(identity->record, identity->record_size,
			  sync->setup->setup.decision.schema, sync->number, sync->arena, &decoded,
			  err) < 0 ||
	    linker_find(sync->linker, &decoded, sync->arena, ret_user, &reason, &detail, err) < 0)
		return -1;
	if (!reason)
		return 0;
	*ret_refused = true;
	return quarantine_record(sync, identity->record, identity->record_size, identity->key,
				 reason, detail, err);
}

static int look_at(struct sync *sync, struct known_entry *entry,
		   const struct identity_change *identity, struct err *err)
{
	int64_t user_id = known_user(entry);
	bool refused = false;

	if (user_id == 0 && find_user(sync, identity, &user_id, &refused, err) < 0)
		return -1;
	return refused ? 0 : evaluate_record(sync, entry, identity, user_id, err);
}

int sync_look_at(struct sync *sync, struct known_entry *entry,
		 const struct identity_change *identity, struct err *err)
{
	struct err problem;

	err_clear(&problem);
	if (look_at(sync, entry, identity, &problem) == 0)
		return 0;
	/* One bad entry never stops the good ones. */
	if (problem.code == ERR_PROTOCOL || problem.code == ERR_INVALID)
		return quarantine_record(sync, identity->record, identity->record_size,
					 identity->key, "invalid-record", problem.text, err);
	if (err)
		*err = problem;
	return -1;
}

static bool is_unchanged(const struct sync *sync, const struct known_entry *entry,
			 struct hash128 digest)
{
	if (sync->force_all || known_flag(entry, TABLE_MISSING) ||
	    !hash128_equal(entry->digest, digest))
		return false;
	return known_user(entry) != 0 ? !waits(sync, known_user(entry))
				      : known_flag(entry, TABLE_OUT);
}

int sync_identity(void *context, const void *record, size_t size, struct err *err)
{
	struct sync *sync = context;
	struct identity_change identity = {
		.source = sync->source, .record = record, .record_size = size, .read_s = sync->now_s
	};
	struct known_entry *entry;
	const char *key;
	size_t key_size;

	if (sync->kind == SYNC_CHANGES)
		return changes_identity(sync, record, size, err);
	if (record_key(record, size, &key, &key_size, err) < 0)
		return err_wrap(err, "source '%s'", sync->source);
	sync->report.entries++;
	if (sync->settings->canaries.count > 0)
		sync_watch_canaries(sync, record, size, key, key_size);
	if (known_put(sync->slot->table, fingerprint128(key, key_size), &entry) < 0)
		return err_set(err, ERR_MEMORY, "no memory for the known identities");
	identity.digest = digest128(record, size);
	if (!known_flag(entry, TABLE_SEEN) && is_unchanged(sync, entry, identity.digest)) {
		entry->user_flags |= TABLE_SEEN;
		sync->report.unchanged++;
		return 0;
	}
	arena_reset(sync->arena);
	identity.key = arena_strndup(sync->arena, key, key_size);
	if (!identity.key)
		return err_set(err, ERR_MEMORY, "no memory for an identity");
	if (known_flag(entry, TABLE_SEEN))
		return quarantine_record(sync, record, size, identity.key, "duplicate-key",
					 "another entry of this read has the same key", err);
	entry->user_flags |= TABLE_SEEN;
	return sync_look_at(sync, entry, &identity, err);
}

int sync_group(void *context, uint32_t group_id, bool found, uint64_t members, struct err *err)
{
	struct sync *sync = context;

	if (sync->group_count == sync->group_capacity) {
		size_t capacity = sync->group_capacity ? sync->group_capacity * 2 : 64;
		struct seen_group *grown = reallocarray(sync->groups, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for groups");
		sync->groups = grown;
		sync->group_capacity = capacity;
	}
	sync->groups[sync->group_count++] = (struct seen_group){
		.id = group_id,
		.found = found,
		.members = members > INT64_MAX ? INT64_MAX : (int64_t)members,
	};
	return 0;
}

/* --- those who were not there --- */

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
	return frozen ? keep_waiting(sync, item->user_id, err) : miss_one(sync, item, err);
}

static int miss_unseen(struct sync *sync, struct err *err)
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

/* --- the end --- */

/* Where there were people nobody is left: that is a mistake until somebody says otherwise. */
static void check_empty(struct sync *sync, bool *complete, const char **problem)
{
	if (!*complete || sync->report.entries > 0 || sync->state.entries == 0)
		return;
	*complete = false;
	*problem = "empty-result";
}

static void check_canaries(struct sync *sync, bool *complete, const char **problem)
{
	const struct located_list *canaries = &sync->settings->canaries;

	/* The ldap worker looks for them itself, also among groups. */
	if (!*complete || strcmp(sync->settings->type.text, "ldap") == 0)
		return;
	for (size_t i = 0; i < canaries->count && i < 64; i++)
		if (!(sync->canaries_seen & (uint64_t)1 << i)) {
			const char *text = arena_printf(sync->texts, "canary '%s' is not there",
							canaries->items[i].text);

			*complete = false;
			*problem = text ? text : "a canary is not there";
			return;
		}
}

int sync_store_quarantined(struct changer *changer, struct sync *sync, size_t most, struct err *err)
{
	size_t end = sync->quarantine_at + most;

	for (size_t i = sync->quarantine_at; i < end && i < sync->quarantined_count; i++)
		if (store_quarantine_put(changer->store, &sync->quarantined[i], err) < 0)
			return -1;
	return 0;
}

static int quarantine_job(struct changer *changer, struct job *job, struct err *err)
{
	return sync_store_quarantined(changer, job->context, BATCH_PEOPLE, err);
}

static int age_job(struct changer *changer, struct job *job, struct err *err)
{
	struct sync *sync = job->context;

	return store_quarantine_age(changer->store, sync->source, sync->now_s, err);
}

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	struct sync *sync = job->context;
	const struct setup *setup = &sync->setup->setup;
	int64_t now_s = setup_steady_s(setup, sync->now_s);

	if (sync->complete &&
	    store_quarantine_prune(changer->store, sync->source, sync->now_s, err) < 0)
		return -1;
	if (sync->complete && restore_note_read(changer, sync->source, err) < 0)
		return -1;
	if (store_plan_prune(changer->store, now_s - HISTORY_S, err) < 0 ||
	    store_alarm_prune(changer->store, now_s - HISTORY_S, err) < 0)
		return -1;
	return store_window_prune(changer->store, now_s - setup->policy->limits.window_s, err);
}

static int store_quarantined(struct sync *sync, struct err *err)
{
	for (; sync->quarantine_at < sync->quarantined_count; sync->quarantine_at += BATCH_PEOPLE)
		if (writer_bulk(sync->changer, quarantine_job, sync, err) < 0)
			return -1;
	return writer_bulk(sync->changer, prune_job, sync, err);
}

static int finish_real(struct sync *sync, struct err *err)
{
	struct live_setup *states;
	int result;

	if (changer_bulk_begin(sync->changer, err) < 0)
		return -1;
	result = sync_prepare(sync, err);
	if (result == 0)
		result = writer_bulk(sync->changer, age_job, sync, err);
	if (result == 0)
		result = run_carry_out(sync->active, err);
	if (result == 0)
		result = store_quarantined(sync, err);
	/* Groups are known anew: the setup in force says so, with the same configuration. */
	if (sync->ready) {
		states = live_setup_create(sync->setup->origin, sync->store, NULL);
		if (states)
			changer_put_setup(sync->changer, states);
	}
	changer_bulk_end(sync->changer);
	return result == 0 ? change_restore_look(sync->changer, err) : result;
}

static int finish_dry(struct sync *sync, struct err *err)
{
	if (sync_prepare(sync, err) < 0)
		return -1;
	return run_carry_out(sync->active, err);
}

int sync_finish(struct sync *sync, bool complete, const char *problem, const char *server,
		struct run_report *ret_report, struct err *err)
{
	struct run_report *report = &sync->report;
	int result;

	if (sync->kind == SYNC_FULL) {
		check_canaries(sync, &complete, &problem);
		check_empty(sync, &complete, &problem);
	}
	sync->complete = complete;
	sync->problem = problem ? problem : "";
	if (complete && sync->nameless)
		sync->problem = NAMELESS;
	sync->server = server ? server : "";
	sync->active = &sync->run;
	report->dry_run = sync->dry_run;
	report->complete = complete;
	report->problem = arena_strdup(report->arena, sync->problem);
	report->server = arena_strdup(report->arena, sync->server);
	report->started_s = sync->now_s;
	report_watch(report, ret_report);
	result = report->problem && report->server
			 ? 0
			 : err_set(err, ERR_MEMORY, "no memory for the report");
	if (result == 0 && sync->kind == SYNC_CHANGES)
		result = changes_finish(sync, server, err);
	else if (result == 0 && complete)
		result = miss_unseen(sync, err);
	if (result == 0 && sync->kind == SYNC_FULL)
		result = sync->dry_run ? finish_dry(sync, err) : finish_real(sync, err);
	if (result == 0) {
		report->duration_ms = (clock_monotonic_us() - sync->started_us) / 1000;
		run_report_finish(ret_report);
		*ret_report = *report;
		*report = (struct run_report){ 0 };
	}
	if (sync->active != &sync->run)
		run_finish(sync->active);
	destroy_sync(sync, result < 0);
	return result;
}
