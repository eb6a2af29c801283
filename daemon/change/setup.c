/*
 * Setups, and what is known about groups.
 *
 * A setup given by main is immutable. What reads find out about groups (found, vanished,
 * released) changes from run to run and lives in the store; a live setup is a copy of
 * main's with the states as they are now. It keeps main's alive.
 *
 * Enters: a setup, a store handle. Leaves: live setups, rows of the registry. Fails: store,
 * memory.
 *
 * A group is unknown for everybody while it is vanished and not released. A source whose last
 * whole read did not ask for a group that rules name now cannot have said who is in
 * it: the stored identities of such a source count as having incomplete group lists
 * until its next whole read.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define COVERAGE_MAX (64u * 1024 * 1024)
#define ARENA_MAX (1u << 30)

struct setup *setup_acquire(struct setup *setup)
{
	__atomic_add_fetch(&setup->references, 1, __ATOMIC_RELAXED);
	return setup;
}

void setup_release(struct setup *setup)
{
	if (setup && __atomic_sub_fetch(&setup->references, 1, __ATOMIC_ACQ_REL) == 0 &&
	    setup->destroy)
		setup->destroy(setup);
}

static void destroy_live(struct setup *setup)
{
	struct live_setup *live = (struct live_setup *)setup;

	setup_release(live->origin);
	free(live->unknown);
	free(live->unknown_ids);
	free(live);
}

const struct source_settings *setup_find_source(const struct setup *setup, const char *name)
{
	for (size_t i = 0; i < setup->source_count; i++)
		if (strcmp(setup->sources[i]->name.text, name) == 0)
			return setup->sources[i];
	return NULL;
}

static bool is_directory(const struct source_settings *source)
{
	return source->type.text &&
	       (strcmp(source->type.text, "ldap") == 0 || strcmp(source->type.text, "ldif") == 0);
}

bool source_knows_group(const struct source_settings *source, const struct group *group)
{
	if (group->source[0] != '\0')
		return strcmp(group->source, source->name.text) == 0;
	return is_directory(source);
}

/* --- coverage: "3+ 4- 9+" --- */

static const char *coverage_name(const char *source, struct arena *arena)
{
	return arena_printf(arena, "groups:%s", source);
}

static size_t count_items(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '+' || *text == '-';
	return count;
}

int coverage_load(struct store *store, const char *source, struct arena *arena,
		  struct coverage *ret_coverage, struct err *err)
{
	struct coverage coverage = { 0 };
	const char *name = coverage_name(source, arena), *text = NULL;
	size_t most;

	if (!name)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	if (store_meta_get(store, name, arena, &text, err) < 0)
		return -1;
	most = text ? count_items(text) : 0;
	coverage.ids = arena_alloc_array(arena, most + 1, sizeof(*coverage.ids));
	coverage.found = arena_alloc_array(arena, most + 1, sizeof(*coverage.found));
	if (!coverage.ids || !coverage.found)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	while (text && *text && coverage.count < most) {
		char *end;
		unsigned long id = strtoul(text, &end, 10);

		if (end == text || (*end != '+' && *end != '-') || id > UINT32_MAX)
			return err_set(err, ERR_IO, "stored group states of '%s' are malformed",
				       source);
		coverage.ids[coverage.count] = (uint32_t)id;
		coverage.found[coverage.count++] = *end == '+';
		text = end + 1;
		while (*text == ' ')
			text++;
	}
	*ret_coverage = coverage;
	return 0;
}

int coverage_store(struct store *store, const char *source, const struct coverage *coverage,
		   struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(COVERAGE_MAX);
	AUTO(strbuf) struct strbuf name = STRBUF(256);

	strbuf_printf(&name, "groups:%s", source);
	for (size_t i = 0; i < coverage->count; i++)
		strbuf_printf(&text, "%s%" PRIu32 "%c", i ? " " : "", coverage->ids[i],
			      coverage->found[i] ? '+' : '-');
	if (strbuf_failed(&text) || strbuf_failed(&name))
		return err_set(err, ERR_MEMORY, "no memory for group states");
	return store_meta_set(store, strbuf_text(&name), strbuf_text(&text), err);
}

int coverage_get(const struct coverage *coverage, uint32_t id)
{
	size_t low = 0, high = coverage->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (coverage->ids[middle] == id)
			return coverage->found[middle];
		if (coverage->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* --- states --- */

int live_setup_list_unknown(struct live_setup *live, struct err *err)
{
	uint32_t count = 0;

	for (uint32_t id = 0; id < live->states.count; id++)
		count += live->unknown[id] != 0;
	free(live->unknown_ids);
	live->unknown_ids = calloc((size_t)count + 1, sizeof(*live->unknown_ids));
	if (!live->unknown_ids)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	count = 0;
	for (uint32_t id = 0; id < live->states.count; id++)
		if (live->unknown[id] != 0)
			live->unknown_ids[count++] = id;
	live->states.unknown_ids = live->unknown_ids;
	live->states.unknown_id_count = count;
	live->states.listed = true;
	return 0;
}

static int fill_unknown(struct live_setup *live, struct store *store, struct arena *arena,
			struct err *err)
{
	struct group_registry_row *rows;
	size_t count;
	uint32_t next, size = group_registry_next_id(live->origin->registry);

	if (store_groups_load(store, arena, &rows, &count, &next, err) < 0)
		return -1;
	if (size < next)
		size = next;
	live->unknown = calloc((size_t)size + 1, 1);
	if (!live->unknown)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	for (size_t i = 0; i < count; i++)
		if (rows[i].vanished && !rows[i].released && rows[i].id < size)
			live->unknown[rows[i].id] = 1;
	live->states.unknown = live->unknown;
	live->states.count = size;
	live->setup.decision.groups = &live->states;
	return live_setup_list_unknown(live, err);
}

/* Of the groups that rules name: one that a segment alone names makes nothing of what they say doubtful. */
static int fill_stale(struct live_setup *live, struct store *store, struct arena *arena,
		      struct err *err)
{
	const struct setup *setup = live->origin;
	size_t count;
	const uint32_t *ids = ruleset_groups(setup->decision.rules, &count);

	for (size_t i = 0; i < setup->source_count; i++) {
		struct coverage coverage;

		if (source_signs_in(setup->sources[i]))
			continue;
		if (coverage_load(store, setup->sources[i]->name.text, arena, &coverage, err) < 0)
			return -1;
		for (size_t j = 0; j < count; j++) {
			const struct group *group = group_registry_get(setup->registry, ids[j]);

			if (group && source_knows_group(setup->sources[i], group) &&
			    coverage_get(&coverage, group->id) < 0)
				live->groups_stale |= (source_mask)1 << i;
		}
	}
	return 0;
}

int live_setup_note_group(struct live_setup *live, struct store *store, uint32_t id,
			  struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	const struct setup *setup = live->origin;
	const struct group *group = group_registry_get(setup->registry, id);

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for group states");
	for (size_t i = 0; group && i < setup->source_count; i++) {
		struct coverage coverage;

		if (source_signs_in(setup->sources[i]) ||
		    !source_knows_group(setup->sources[i], group))
			continue;
		if (coverage_load(store, setup->sources[i]->name.text, arena, &coverage, err) < 0)
			return -1;
		if (coverage_get(&coverage, id) < 0)
			live->groups_stale |= (source_mask)1 << i;
	}
	return 0;
}

/* --- since when a source that speaks at sign-in is asked for all its groups --- */

static const char *since_name(const char *source, struct arena *arena, struct err *err)
{
	const char *name = arena_printf(arena, "groups-since:%s", source);

	if (!name)
		err_set(err, ERR_MEMORY, "no memory for group states");
	return name;
}

static int since_load(struct store *store, const char *source, struct arena *arena,
		      int64_t *ret_since_s, struct err *err)
{
	const char *name = since_name(source, arena, err), *text;

	if (!name || store_meta_get(store, name, arena, &text, err) < 0)
		return -1;
	*ret_since_s = text ? strtoll(text, NULL, 10) : 0;
	return 0;
}

static int since_note(struct store *store, const char *source, struct arena *arena, struct err *err)
{
	const char *name = since_name(source, arena, err), *text;

	if (!name)
		return -1;
	text = arena_printf(arena, "%" PRId64, change_now_s());
	return text ? store_meta_set(store, name, text, err)
		    : err_set(err, ERR_MEMORY, "no memory for group states");
}

static bool is_stored(const struct group_registry_row *rows, size_t count, uint32_t id)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && rows[low].id == id;
}

/* Groups that are about to be stored, or never will be (a preview), nobody was asked for yet. */
static void since_unstored(struct live_setup *live, size_t source,
			   const struct group_registry_row *rows, size_t count)
{
	const struct setup *setup = live->origin;

	for (size_t i = 0; i < group_registry_count(setup->registry); i++) {
		const struct group *group = group_registry_at(setup->registry, i);

		if (source_knows_group(setup->sources[source], group) &&
		    !is_stored(rows, count, group->id))
			live->groups_since_s[source] = change_now_s();
	}
}

static int fill_since(struct live_setup *live, struct store *store, struct arena *arena,
		      struct err *err)
{
	const struct setup *setup = live->origin;
	struct group_registry_row *rows;
	size_t count;
	uint32_t next;

	if (store_groups_load(store, arena, &rows, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; i < setup->source_count && i < SOURCES_MAX; i++) {
		if (!source_signs_in(setup->sources[i]))
			continue;
		live->sign_in |= (source_mask)1 << i;
		if (since_load(store, setup->sources[i]->name.text, arena, &live->groups_since_s[i],
			       err) < 0)
			return -1;
		since_unstored(live, i, rows, count);
	}
	return 0;
}

struct live_setup *live_setup_create(struct setup *origin, struct store *store, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct live_setup *live = calloc(1, sizeof(*live));

	if (!live || !arena) {
		free(live);
		err_set(err, ERR_MEMORY, "no memory for a setup");
		return NULL;
	}
	if (origin->destroy == destroy_live)
		origin = ((struct live_setup *)origin)->origin;
	/* All but the last member: others count references there meanwhile. */
	memcpy(&live->setup, origin, offsetof(struct setup, references));
	live->setup.references = 1;
	live->setup.destroy = destroy_live;
	live->origin = setup_acquire(origin);
	if (clock_shift_load(store, &live->setup.clock_shift_s, err) < 0 ||
	    fill_unknown(live, store, arena, err) < 0 || fill_stale(live, store, arena, err) < 0 ||
	    fill_since(live, store, arena, err) < 0) {
		setup_release(&live->setup);
		return NULL;
	}
	return live;
}

/* --- registry --- */

static int store_new_group(struct store *store, const struct group *group, struct arena *arena,
			   struct err *err)
{
	struct group_registry_row row = { .id = group->id, .name = group->name, .members = -1 };

	if (store_group_put(store, &row, err) < 0)
		return -1;
	return group->source[0] ? since_note(store, group->source, arena, err) : 0;
}

/* Numbers of new groups, and with `prune` the end of those that no rule names. */
static int store_registry(struct store *store, const struct group_registry *registry, bool prune,
			  struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
	struct group_registry_row *rows;
	size_t count, at = 0;
	uint32_t next;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for the group registry");
	if (store_groups_load(store, arena, &rows, &count, &next, err) < 0)
		return -1;
	for (size_t i = 0; prune && i < count; i++)
		if (!group_registry_get(registry, rows[i].id) &&
		    store_group_remove(store, rows[i].id, err) < 0)
			return -1;
	for (size_t i = 0; i < group_registry_count(registry); i++) {
		const struct group *group = group_registry_at(registry, i);

		while (at < count && rows[at].id < group->id)
			at++;
		if (at < count && rows[at].id == group->id)
			continue;
		if (store_new_group(store, group, arena, err) < 0)
			return -1;
	}
	if (group_registry_next_id(registry) > next)
		return store_group_next_id_set(store, group_registry_next_id(registry), err);
	return 0;
}

int registry_store(struct store *store, const struct group_registry *registry, struct err *err)
{
	return store_registry(store, registry, true, err);
}

int registry_store_new(struct store *store, const struct group_registry *registry, struct err *err)
{
	return store_registry(store, registry, false, err);
}

static uint64_t expired_rules(const struct ruleset *rules, int64_t now_s)
{
	uint64_t count = 0;

	for (size_t i = 0; i < ruleset_count(rules); i++) {
		int64_t expires_s = ruleset_rule(rules, i)->expires_s;

		count += expires_s != 0 && expires_s <= now_s;
	}
	return count;
}

int setup_digest(const struct setup *setup, int64_t now_s, char ret_hex[65], struct err *err)
{
	AUTO(strbuf) struct strbuf bytes = STRBUF(PLAN_BYTES_MAX);
	struct hash128 rules = ruleset_digest(setup->decision.rules);
	const struct schema *schema = setup->decision.schema;
	struct hash256 digest;

	strbuf_append(&bytes, &rules, sizeof(rules));
	put_varint(&bytes, expired_rules(setup->decision.rules, now_s));
	put_text(&bytes, setup->decision.default_profile);
	put_text(&bytes, setup->decision.administrator_profile);
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct source_trust *trust =
			setup->decision.trust ? &setup->decision.trust[i] : NULL;

		put_text(&bytes, setup->sources[i]->name.text);
		put_u8(&bytes,
		       trust ? (uint8_t)(trust->restricted | (unsigned)trust->signs_in << 1) : 0);
		for (unsigned kind = 0; trust && kind < GRANT_KINDS; kind++) {
			put_varint(&bytes, trust->counts[kind]);
			for (size_t j = 0; j < trust->counts[kind]; j++)
				put_text(&bytes, trust->names[kind][j]);
		}
	}
	for (size_t i = 0; i < schema_count(schema); i++) {
		const struct schema_attribute *attribute = schema_get(schema, (uint16_t)i);

		put_text(&bytes, attribute->name);
		put_u64(&bytes, attribute->absent_unknown);
		for (size_t j = 0; j < schema_source_count(schema); j++)
			put_u16(&bytes, attribute->order[j]);
	}
	for (size_t i = 0; i < setup->policy->protected_users.count; i++)
		put_text(&bytes, setup->policy->protected_users.items[i].text);
	if (strbuf_failed(&bytes))
		return err_set(err, ERR_MEMORY, "no memory to compare configurations");
	digest = digest256(strbuf_text(&bytes), bytes.size);
	hash256_hex(&digest, ret_hex);
	return 0;
}
