/*
 * Group registry. Enters: names from rules, rows from the store. Leaves: numbers.
 * Fails: on malformed names, on contradicting rows, out of memory.
 *
 * Groups stand in one array, ascending by id, and in a table from the name's fingerprint to its id.
 * A removed group's table slot keeps the value 0, which is no id; the name may come back with
 * a new one.
 */
#include <rolebridge/identity/groups.h>

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/hash.h>
#include <rolebridge/base/ids.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/dn.h>
#include <rolebridge/identity/names.h>

#define GROUPS_MAX (1u << 24)
#define GROUP_NAME_MAX (64u * 1024)

struct group_registry {
	struct group *groups;
	size_t count, capacity;
	struct hash_table *by_name;
	uint32_t next_id;
};

/* --- names --- */

static bool is_uuid(const char *text, size_t size)
{
	char copy[UUID_TEXT_SIZE];
	struct uuid uuid;

	if (size != UUID_TEXT_SIZE - 1)
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	return uuid_parse(copy, &uuid);
}

/* nsUniqueId of 389 Directory Server: the digits of a UUID, parted in another way. */
static bool is_ns_unique_id(const char *text, size_t size)
{
	if (size != 35)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (i % 9 == 8 ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
			return false;
	}
	return true;
}

int group_local_normalize(const char *text, size_t size, struct strbuf *out, struct err *err)
{
	size_t begin = out->size;

	if (!text_is_utf8(text, size))
		return err_set(err, ERR_INVALID, "group name is not UTF-8");
	if (size > GROUP_NAME_MAX)
		return err_set(err, ERR_INVALID, "group name longer than %u bytes", GROUP_NAME_MAX);

	AUTO(strbuf) struct strbuf whole = STRBUF(GROUP_NAME_MAX);

	strbuf_append(&whole, text, size);
	if (dn_looks_like(strbuf_text(&whole))) {
		if (dn_normalize(text, size, out, err) < 0)
			return err_wrap(err, "group '%.*s'", size > 256 ? 256 : (int)size, text);
		return 0;
	}
	text_fold(out, text, size);
	if (strbuf_failed(out) || strbuf_failed(&whole))
		return err_set(err, ERR_TOO_LARGE, "no room for a group name of %zu bytes", size);
	if (out->size == begin)
		return err_set(err, ERR_INVALID, "group name is empty");
	return 0;
}

/* Bytes of "SOURCE" before the colon; 0 when the text does not begin that way. */
static size_t source_prefix(const char *text)
{
	size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return text[size] == ':' ? size : 0;
}

int group_name_normalize(const char *text, const char *const *sources, size_t source_count,
			 struct strbuf *out, struct err *err)
{
	size_t begin = out->size;
	size_t prefix = source_prefix(text);

	if (prefix == 0) {
		if (!dn_looks_like(text) && !is_uuid(text, strlen(text)) &&
		    !is_ns_unique_id(text, strlen(text)))
			return err_set(err, ERR_INVALID,
				       "group '%s' is neither a DN, nor a UUID, nor SOURCE:name",
				       text);
		return group_local_normalize(text, strlen(text), out, err);
	}
	for (size_t i = 0; i < source_count; i++) {
		if (strlen(sources[i]) != prefix || memcmp(sources[i], text, prefix) != 0)
			continue;
		strbuf_append(out, text, prefix + 1);
		text += prefix + 1;
		if (group_local_normalize(text, strlen(text), out, err) == 0)
			return 0;
		strbuf_truncate(out, begin);
		return -1;
	}
	return err_refuse(err, ERR_INVALID, "unknown-source",
			  "group '%s': no source is named '%.*s'", text, (int)prefix, text);
}

/* --- registry --- */

struct group_registry *group_registry_create(void)
{
	struct group_registry *registry = alloc_zeroed(1, sizeof(*registry));

	if (!registry)
		return NULL;
	registry->next_id = 1;
	registry->by_name = hash_table_create(64, GROUPS_MAX);
	if (!registry->by_name) {
		free(registry);
		return NULL;
	}
	return registry;
}

static void group_finish(struct group *group)
{
	free((char *)group->name);
	free((char *)group->source);
}

void group_registry_destroy(struct group_registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->count; i++)
		group_finish(&registry->groups[i]);
	free(registry->groups);
	hash_table_destroy(registry->by_name);
	free(registry);
}

static char *duplicate(const char *text, size_t size)
{
	char *copy = alloc_zeroed(size + 1, 1);

	if (copy)
		memcpy(copy, text, size);
	return copy;
}

/* Index of the first group whose id is not less. */
static size_t lower_bound(const struct group_registry *registry, uint32_t id)
{
	size_t low = 0, high = registry->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (registry->groups[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct group_registry *registry)
{
	size_t capacity = registry->capacity ? registry->capacity * 2 : 64;
	struct group *groups;

	if (registry->count < registry->capacity)
		return 0;
	if (registry->count >= GROUPS_MAX)
		return -1;
	groups = alloc_resize(registry->groups, capacity * sizeof(*groups));
	if (!groups)
		return -1;
	registry->groups = groups;
	registry->capacity = capacity;
	return 0;
}

/* The id and name are known to be free. */
static int insert(struct group_registry *registry, const struct group *given, uint32_t *slot,
		  struct err *err)
{
	size_t prefix = source_prefix(given->name);
	size_t index = lower_bound(registry, given->id);
	struct group group = *given;

	group.name = duplicate(given->name, strlen(given->name));
	group.source = duplicate(given->name, prefix);
	if (!group.name || !group.source || make_room(registry) < 0) {
		group_finish(&group);
		return err_set(err, ERR_MEMORY, "no memory for group '%s'", given->name);
	}
	group.local = group.name + (prefix ? prefix + 1 : 0);
	memmove(registry->groups + index + 1, registry->groups + index,
		(registry->count - index) * sizeof(group));
	registry->groups[index] = group;
	registry->count++;
	*slot = group.id;
	if (group.id >= registry->next_id)
		registry->next_id = group.id == UINT32_MAX ? UINT32_MAX : group.id + 1;
	return 0;
}

/* The table's slot for the name; value 0 when the name has no group now. */
static uint32_t *name_slot(struct group_registry *registry, const char *name, struct err *err)
{
	uint32_t *slot;

	if (hash_table_put(registry->by_name, fingerprint128(name, strlen(name)), &slot) >= 0)
		return slot;
	err_set(err, ERR_MEMORY, "no memory for group '%s'", name);
	return NULL;
}

int group_registry_load(struct group_registry *registry, const struct group *group, struct err *err)
{
	uint32_t *slot = name_slot(registry, group->name, err);

	if (!slot)
		return -1;
	if (group->id == 0 || group->id == UINT32_MAX)
		return err_set(err, ERR_INVALID, "group '%s' has the impossible number %u",
			       group->name, group->id);
	if (*slot != 0 || group_registry_get(registry, group->id))
		return err_set(err, ERR_CONFLICT, "group '%s' or its number %u is known twice",
			       group->name, group->id);
	return insert(registry, group, slot, err);
}

uint32_t group_registry_add(struct group_registry *registry, const char *canonical_name,
			    struct err *err)
{
	uint32_t *slot = name_slot(registry, canonical_name, err);
	struct group group = { .id = registry->next_id, .name = canonical_name };

	if (!slot)
		return 0;
	if (*slot != 0)
		return *slot;
	if (group.id == UINT32_MAX) {
		err_set(err, ERR_TOO_LARGE, "no group numbers are left");
		return 0;
	}
	return insert(registry, &group, slot, err) < 0 ? 0 : group.id;
}

const struct group *group_registry_get(const struct group_registry *registry, uint32_t id)
{
	size_t index = lower_bound(registry, id);

	if (index == registry->count || registry->groups[index].id != id)
		return NULL;
	return &registry->groups[index];
}

const struct group *group_registry_find(const struct group_registry *registry, const char *name)
{
	uint32_t id;

	if (!hash_table_get(registry->by_name, fingerprint128(name, strlen(name)), &id) || id == 0)
		return NULL;
	return group_registry_get(registry, id);
}

size_t group_registry_count(const struct group_registry *registry)
{
	return registry->count;
}

const struct group *group_registry_at(const struct group_registry *registry, size_t index)
{
	return index < registry->count ? &registry->groups[index] : NULL;
}

uint32_t group_registry_next_id(const struct group_registry *registry)
{
	return registry->next_id;
}

void group_registry_set_next_id(struct group_registry *registry, uint32_t next)
{
	/* Never backwards: a number must not be given twice. */
	if (next > registry->next_id)
		registry->next_id = next;
}

struct group_registry *group_registry_copy(const struct group_registry *registry)
{
	struct group_registry *copy = group_registry_create();

	if (!copy)
		return NULL;
	for (size_t i = 0; i < registry->count; i++) {
		if (group_registry_load(copy, &registry->groups[i], NULL) < 0) {
			group_registry_destroy(copy);
			return NULL;
		}
	}
	copy->next_id = registry->next_id;
	return copy;
}

void group_registry_remove(struct group_registry *registry, uint32_t id)
{
	size_t index = lower_bound(registry, id);
	struct group *group = registry->groups + index;
	uint32_t *slot;

	if (index == registry->count || group->id != id)
		return;
	/* The name is in the table, so nothing is allocated and nothing can fail. */
	if (hash_table_put(registry->by_name, fingerprint128(group->name, strlen(group->name)),
			   &slot) == 0)
		*slot = 0;
	group_finish(group);
	registry->count--;
	memmove(group, group + 1, (registry->count - index) * sizeof(*group));
}

void group_registry_set_state(struct group_registry *registry, uint32_t id, bool found,
			      bool vanished, bool released)
{
	size_t index = lower_bound(registry, id);
	struct group *group = registry->groups + index;

	if (index == registry->count || group->id != id)
		return;
	group->found = found;
	group->vanished = vanished;
	group->released = released;
}
