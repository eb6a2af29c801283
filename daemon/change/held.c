/*
 * Who waits in held plans.
 *
 * A run of a source evaluates everybody anew who waits in that source's held plan, so that what
 * is held is always the whole of it; and it leaves alone what waits in other plans. Enters:
 * held plans of the store. Leaves: changes by user. Fails: store, memory.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>

#define HELD_BYTES_MAX ((size_t)4 << 30)

int held_find_row(struct store *store, struct person_change *held, struct arena *arena,
		  struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct user user;
	struct err missing;

	if (held->after.id != 0 || held->identity_count > 0)
		return 0;
	uuid_format(&held->after.uuid, uuid);
	err_clear(&missing);
	if (store_user_find(store, USER_BY_UUID, uuid, arena, &user, &missing) == 0) {
		held->before.id = held->after.id = user.id;
		return 0;
	}
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

int first_sync_get(struct store *store, const char *source, struct arena *arena, bool *ret_noted,
		   struct err *err)
{
	const char *name = arena_printf(arena, "first-sync:%s", source), *value;

	if (!name)
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	if (store_meta_get(store, name, arena, &value, err) < 0)
		return -1;
	*ret_noted = value && strcmp(value, "1") == 0;
	return 0;
}

int first_sync_note(struct store *store, const char *source, bool noted, struct err *err)
{
	AUTO(strbuf) struct strbuf name = STRBUF(256);

	strbuf_printf(&name, "first-sync:%s", source);
	if (strbuf_failed(&name))
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	return store_meta_set(store, strbuf_text(&name), noted ? "1" : "0", err);
}

static int add_outside(struct held_users *users, const struct person_change *change,
		       struct arena *arena, struct err *err)
{
	size_t count = users->outside_count;

	if (change->identity_count == 0)
		return 0;
	/* Grows at powers of two. */
	if ((count & (count - 1)) == 0) {
		struct hash128 *grown =
			arena_alloc_array(arena, count ? count * 2 : 1, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for held plans");
		if (count)
			memcpy(grown, users->outside, count * sizeof(*grown));
		users->outside = grown;
	}
	users->outside[users->outside_count++] =
		fingerprint128(change->identities[0].key, strlen(change->identities[0].key));
	return 0;
}

static int add_user(struct held_users *users, size_t *capacity, struct store *store,
		    struct person_change *change, struct arena *arena, struct err *err)
{
	struct person_change *copy;

	if (held_find_row(store, change, arena, err) < 0)
		return -1;
	if (change->after.id == 0)
		return add_outside(users, change, arena, err);
	if (users->count == *capacity) {
		size_t grown = *capacity ? *capacity * 2 : 64;
		struct held_user *items = arena_alloc_array(arena, grown, sizeof(*items));

		if (!items)
			return err_set(err, ERR_MEMORY, "no memory for held plans");
		if (users->count)
			memcpy(items, users->items, users->count * sizeof(*items));
		users->items = items;
		*capacity = grown;
	}
	copy = arena_memdup(arena, change, sizeof(*change));
	if (!copy)
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	users->items[users->count++] = (struct held_user){ change->after.id, copy };
	return 0;
}

static int load_plan(struct store *store, const struct plan_row *plan, struct arena *arena,
		     struct held_users *users, size_t *capacity, struct err *err)
{
	for (int64_t seq = 0; seq < plan->batches; seq++) {
		const void *data;
		size_t size;
		struct reader in;

		if (store_plan_get_batch(store, plan->row, seq, arena, &data, &size, err) < 0)
			return -1;
		in = reader_init(data, size);
		while (reader_left(&in) > 0) {
			struct person_change change;

			if (person_change_decode(&in, arena, &change, err) < 0 ||
			    add_user(users, capacity, store, &change, arena, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int add_category(struct held_users *users, enum limit_kind kind, const char *subject,
			struct arena *arena, struct err *err)
{
	struct held_category *category = arena_alloc(arena, sizeof(*category));

	if (category)
		*category = (struct held_category){ kind, arena_strdup(arena, subject),
						    users->categories };
	if (!category || !category->subject)
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	users->categories = category;
	return 0;
}

static int load_holds(const struct plan_row *plan, struct arena *arena, struct held_users *users,
		      struct err *err)
{
	struct plan_holds *holds;
	enum limit_kind kind;
	const char *subject;
	int result = 0;

	if (plan->holds_size == 0)
		return 0;
	if (plan_holds_decode(plan->holds, plan->holds_size, &holds, err) < 0)
		return -1;
	users->flags |= plan_holds_flags(holds);
	for (size_t i = 0; result == 0 && plan_holds_at(holds, i, &kind, &subject); i++)
		result = add_category(users, kind, subject, arena, err);
	plan_holds_destroy(holds);
	return result;
}

int held_plan_check(struct store *store, const struct plan_row *plan, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(HELD_BYTES_MAX);
	struct held_users users = { 0 };
	size_t capacity = 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	if (load_holds(plan, arena, &users, err) < 0)
		return -1;
	return load_plan(store, plan, arena, &users, &capacity, err);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash128));
}

bool held_users_outside(const struct held_users *users, struct hash128 key)
{
	return users->outside_count > 0 &&
	       bsearch(&key, users->outside, users->outside_count, sizeof(key), compare_keys);
}

static int compare_users(const void *a, const void *b)
{
	const struct held_user *left = a, *right = b;

	return (left->user_id > right->user_id) - (left->user_id < right->user_id);
}

int held_users_load(struct store *store, const char *source, bool own, struct arena *arena,
		    struct held_users *ret_users, struct err *err)
{
	struct held_users users = { 0 };
	struct plan_row *plans;
	size_t count, capacity = 0;

	if (store_plan_list(store, PLAN_HELD, arena, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if ((source == NULL || (strcmp(plans[i].source, source) == 0) == own) &&
		    (load_holds(&plans[i], arena, &users, err) < 0 ||
		     load_plan(store, &plans[i], arena, &users, &capacity, err) < 0))
			return err_wrap(err, "cannot read held plan '%s'", plans[i].id);
	if (users.count > 1)
		qsort(users.items, users.count, sizeof(*users.items), compare_users);
	if (users.outside_count > 1)
		qsort(users.outside, users.outside_count, sizeof(*users.outside), compare_keys);
	*ret_users = users;
	return 0;
}

void held_cache_destroy(struct held_cache *cache)
{
	if (!cache)
		return;
	arena_destroy(cache->arena);
	free(cache);
}

int held_cache_get(struct changer *changer, struct source_slot *slot, struct store *store,
		   const struct held_cache **ret_cache, struct err *err)
{
	uint64_t version = __atomic_load_n(&changer->held_version, __ATOMIC_ACQUIRE);
	struct held_cache *cache;

	if (slot->held && slot->held->version == version) {
		*ret_cache = slot->held;
		return 0;
	}
	held_cache_destroy(slot->held);
	slot->held = NULL;
	cache = calloc(1, sizeof(*cache));
	if (cache)
		cache->arena = arena_create(HELD_BYTES_MAX);
	if (!cache || !cache->arena) {
		free(cache);
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	}
	cache->version = version;
	if (held_users_load(store, slot->name, true, cache->arena, &cache->own, err) < 0 ||
	    held_users_load(store, slot->name, false, cache->arena, &cache->others, err) < 0) {
		held_cache_destroy(cache);
		return -1;
	}
	*ret_cache = slot->held = cache;
	return 0;
}

int held_each(struct store *store, const char *source, struct arena *arena, draft_each_fn *each,
	      void *context, struct err *err)
{
	AUTO(arena) struct arena *texts = arena_create(PLAN_BYTES_MAX);
	struct plan_row *plans;
	size_t count;

	if (!texts)
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	if (store_plan_list(store, PLAN_HELD, texts, &plans, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		for (int64_t seq = 0;
		     strcmp(plans[i].source, source) == 0 && seq < plans[i].batches; seq++) {
			AUTO(arena) struct arena *bytes = arena_create(PLAN_BYTES_MAX);
			const void *data;
			size_t size;

			if (!bytes)
				return err_set(err, ERR_MEMORY, "no memory for held plans");
			if (store_plan_get_batch(store, plans[i].row, seq, bytes, &data, &size,
						 err) < 0 ||
			    batch_each(data, size, arena, each, context, err) < 0)
				return err_wrap(err, "cannot read held plan '%s'", plans[i].id);
		}
	return 0;
}

struct held_ids {
	struct store *store;
	struct arena *arena;
	int64_t *ids;
	size_t count, capacity;
};

static int add_id(void *context, const struct person_change *change, struct err *err)
{
	struct held_ids *list = context;
	struct person_change held = *change;

	if (held_find_row(list->store, &held, list->arena, err) < 0)
		return -1;
	if (held.after.id == 0)
		return 0;
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		int64_t *grown = reallocarray(list->ids, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for held plans");
		list->ids = grown;
		list->capacity = capacity;
	}
	list->ids[list->count++] = held.after.id;
	return 0;
}

static int add_ids(struct held_ids *list, const struct plan_row *plan, struct err *err)
{
	for (int64_t seq = 0; seq < plan->batches; seq++) {
		AUTO(arena) struct arena *bytes = arena_create(PLAN_BYTES_MAX);
		const void *data;
		size_t size;

		if (!bytes)
			return err_set(err, ERR_MEMORY, "no memory for held plans");
		if (store_plan_get_batch(list->store, plan->row, seq, bytes, &data, &size, err) <
			    0 ||
		    batch_each(data, size, list->arena, add_id, list, err) < 0)
			return err_wrap(err, "cannot read held plan '%s'", plan->id);
	}
	return 0;
}

int held_ids_load(struct store *store, int64_t **ret_ids, size_t *ret_count, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);
	AUTO(arena) struct arena *texts = arena_create(PLAN_BYTES_MAX);
	struct held_ids list = { .store = store, .arena = arena };
	struct plan_row *plans;
	size_t count;
	int result;

	if (!arena || !texts)
		return err_set(err, ERR_MEMORY, "no memory for held plans");
	result = store_plan_list(store, PLAN_HELD, texts, &plans, &count, err);
	for (size_t i = 0; result == 0 && i < count; i++)
		result = add_ids(&list, &plans[i], err);
	if (result < 0) {
		free(list.ids);
		return -1;
	}
	*ret_ids = list.ids;
	*ret_count = list.count;
	return 0;
}

bool held_users_category(const struct held_users *users, enum limit_kind kind, const char *subject)
{
	const struct held_category *category = users->categories;

	while (category && (category->kind != kind ||
			    (kind != LIMIT_DISABLES && strcmp(category->subject, subject) != 0)))
		category = category->next;
	return category != NULL;
}

const struct held_user *held_users_find(const struct held_users *users, int64_t user_id)
{
	size_t low = 0, high = users->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (users->items[middle].user_id < user_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < users->count && users->items[low].user_id == user_id ? &users->items[low]
									  : NULL;
}

int held_users_subtract(const struct held_users *users, struct person_change *change,
			struct arena *arena, struct err *err)
{
	const struct held_user *held =
		users->count ? held_users_find(users, change->before.id) : NULL;

	for (; held && held < users->items + users->count && held->user_id == change->before.id;
	     held++)
		if (plan_subtract(change, held->change, arena, change, err) < 0)
			return -1;
	return 0;
}
