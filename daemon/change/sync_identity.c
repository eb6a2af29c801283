/*
 * Identities of a sync run, one after the other.
 *
 * Enters: an identity as the source delivers it, or one of whom nothing new is known. Leaves: a change in the
 * run's draft, or an entry for quarantine: one bad entry never stops the good ones. Fails: our own side
 * (store, memory).
 *
 * An identity whose digest is known, that is not marked missing and whose user waits in no held plan,
 * costs a digest and a look-up. All others are evaluated against the store as it is; the change goes into
 * the draft while the source goes on reading.
 */
#include "sync.h"

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>

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

int sync_keep_waiting(struct sync *sync, int64_t user_id, struct err *err)
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
