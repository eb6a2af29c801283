/*
 * Linux accounts as they are against as they shall be. Enters: the helper's list, users. Leaves: items of both. Fails:
 * with the helper, the store or memory.
 *
 * An account that shall not be open is as it should be when it is closed, whatever else there is of it. So what the list
 * said is kept while the users are gone through.
 */
#include "accounts_internal.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/hash.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>

#define SEEN_BYTES_MAX ((size_t)1024 * 1024 * 1024)
#define SEEN_MAX 4000000
#define FIELDS_MAX 4

/* What was listed, in an arena of its own: it may outlive a call. */
struct comparison {
	struct arena *arena;
	struct target_item *items;
	size_t count, capacity;
	struct hash_table *by_user;
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_MEMORY, "out of memory");
}

int accounts_compare_open(const struct target_call *call, void **ret_instance, struct err *err)
{
	struct comparison *comparison = calloc(1, sizeof(*comparison));

	(void)call;
	if (!comparison)
		return no_memory(err);
	*ret_instance = comparison;
	return 0;
}

static void forget(struct comparison *comparison)
{
	arena_destroy(comparison->arena);
	free(comparison->items);
	hash_table_destroy(comparison->by_user);
	*comparison = (struct comparison){ 0 };
}

void accounts_compare_close(void *instance)
{
	struct comparison *comparison = instance;

	if (!comparison)
		return;
	forget(comparison);
	free(comparison);
}

static struct hash128 key_of(const struct uuid *user)
{
	return fingerprint128(user->byte, sizeof(user->byte));
}

static const struct target_item *find_seen(const struct comparison *comparison,
					   const struct uuid *user)
{
	uint32_t place;

	return comparison->by_user && hash_table_get(comparison->by_user, key_of(user), &place)
		       ? &comparison->items[place]
		       : NULL;
}

/* --- items --- */

static const char *join(const char *const *names, size_t count, struct arena *arena)
{
	AUTO(strbuf)
	struct strbuf text = STRBUF(ACCOUNTS_GROUPS_MAX * (ACCOUNTS_NAME_MAX + 1) + 1);

	text_join(&text, names, count, ",");
	return strbuf_failed(&text) ? NULL : arena_strdup(arena, strbuf_text(&text));
}

/* By name, ascending. What is left to the helper is not compared. */
static int fill_fields(const char *gecos, const char *groups, const char *primary,
		       const char *shell, struct arena *arena, struct target_item *item,
		       struct err *err)
{
	struct target_field *fields = arena_alloc_array(arena, FIELDS_MAX, sizeof(*fields));

	if (!fields || !gecos || !groups || !primary || !shell)
		return no_memory(err);
	fields[0] = (struct target_field){ "gecos", gecos };
	fields[1] = (struct target_field){ "groups", groups };
	fields[2] = (struct target_field){ "primary", primary };
	fields[3] = (struct target_field){ "shell", shell };
	item->fields = fields;
	item->field_count = FIELDS_MAX;
	return 0;
}

/* --- as they shall be --- */

static int want_refused(const struct err *problem, struct arena *arena, struct target_item *item,
			struct err *err)
{
	if (problem->code != ERR_INVALID) {
		*err = *problem;
		return -1;
	}
	item->code = problem->reason;
	item->problem = arena_strdup(arena, problem->text);
	return item->problem ? 1 : no_memory(err);
}

int accounts_want(void *instance, const struct target_call *call, const struct user *user,
		  struct target_item *ret_item, struct err *err)
{
	const struct target_item *seen = find_seen(instance, &user->uuid);
	struct target_item item = { .user = user->uuid, .name = user->username, .active = true };
	struct accounts_subject subject;
	struct accounts_ensure account;
	struct err problem = { 0 };
	int64_t now_s = clock_now_s();
	int result = 1;

	if (accounts_load(call, user->id, &subject, err) < 0)
		return -1;
	if (!accounts_is_wanted(target_of(call), &subject, now_s)) {
		if (!seen || seen->active)
			return 0;
		*ret_item = *seen;
		return 1;
	}
	/* It keeps its name. */
	if (accounts_map(target_of(call), &subject, now_s, seen ? seen->name : NULL, call->arena,
			 &account, &problem) < 0) {
		result = want_refused(&problem, call->arena, &item, err);
	} else {
		item.name = account.name;
		result = fill_fields(account.gecos,
				     join(account.groups, account.group_count, call->arena),
				     account.primary, account.shell, call->arena, &item, err) < 0
				 ? -1
				 : 1;
	}
	/* What somebody of this machine did to it, nobody here undoes. */
	if (result > 0 && seen && seen->code) {
		item.code = seen->code;
		item.problem = seen->problem;
	}
	if (result > 0)
		*ret_item = item;
	return result;
}

/* --- as they are --- */

/* Closed, and of nobody: that is how it should be. */
static int is_done_with(const struct target_call *call, const struct accounts_entry *entry,
			struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1024 * 1024);
	bool remove = target_of(call)->deleted == ACCOUNTS_DELETED_REMOVE;
	char uuid[UUID_TEXT_SIZE];
	struct err missing = { 0 };
	struct user user;

	if (entry->state != ACCOUNTS_DISABLED && entry->state != ACCOUNTS_DELETING)
		return 0;
	if (!arena)
		return no_memory(err);
	uuid_format(&entry->user, uuid);
	if (store_user_find(call->store, USER_BY_UUID, uuid, arena, &user, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return 1;
		*err = missing;
		return -1;
	}
	return user.disabled & DISABLED_DELETED && (entry->state == ACCOUNTS_DELETING || !remove);
}

static int make_item(const struct accounts_entry *entry, struct arena *arena,
		     struct target_item *item, struct err *err)
{
	*item = (struct target_item){ .user = entry->user,
				      .name = arena_strdup(arena, entry->name),
				      .active = entry->state == ACCOUNTS_ENABLED };
	if (entry->state == ACCOUNTS_FOREIGN) {
		item->code = "account-foreign";
		item->problem = "the account of that name is not ours any more";
	} else if (entry->state == ACCOUNTS_LOCKED) {
		item->code = "account-locked";
		item->problem = "somebody of this machine has locked the account";
	}
	if (!item->name)
		return no_memory(err);
	return fill_fields(arena_strdup(arena, entry->gecos),
			   join(entry->groups, entry->group_count, arena),
			   arena_strdup(arena, entry->primary), arena_strdup(arena, entry->shell),
			   arena, item, err);
}

static int keep(struct comparison *comparison, const struct target_item *item, struct err *err)
{
	uint32_t *place;

	if (comparison->count == comparison->capacity) {
		size_t capacity = comparison->capacity ? comparison->capacity * 2 : 256;
		struct target_item *grown =
			reallocarray(comparison->items, capacity, sizeof(*grown));

		if (!grown)
			return no_memory(err);
		comparison->items = grown;
		comparison->capacity = capacity;
	}
	if (hash_table_put(comparison->by_user, key_of(&item->user), &place) < 0)
		return no_memory(err);
	*place = (uint32_t)comparison->count;
	comparison->items[comparison->count++] = *item;
	return 0;
}

/* Accounts that are gone are not there. */
static int take_entry(struct comparison *comparison, const struct target_call *call,
		      const struct accounts_entry *entry, struct err *err)
{
	struct target_item item;
	int done;

	if (entry->state == ACCOUNTS_MISSING)
		return 0;
	done = is_done_with(call, entry, err);
	if (done != 0)
		return done < 0 ? -1 : 0;
	if (make_item(entry, comparison->arena, &item, err) < 0)
		return -1;
	return keep(comparison, &item, err);
}

static int begin(struct comparison *comparison, struct err *err)
{
	forget(comparison);
	comparison->arena = arena_create(SEEN_BYTES_MAX);
	comparison->by_user = hash_table_create(256, SEEN_MAX);
	return comparison->arena && comparison->by_user ? 0 : no_memory(err);
}

static int next_cursor(const struct accounts_page *page, struct arena *arena,
		       const char **ret_cursor, struct err *err)
{
	char *next;

	*ret_cursor = NULL;
	if (!page->more || page->count == 0)
		return 0;
	next = arena_alloc(arena, UUID_TEXT_SIZE);
	if (!next)
		return no_memory(err);
	uuid_format(&page->entries[page->count - 1].user, next);
	*ret_cursor = next;
	return 0;
}

/* The items of this page are the last of what is kept. */
int accounts_has(void *instance, const struct target_call *call, const char *cursor,
		 const struct target_item **ret_items, size_t *ret_count, const char **ret_cursor,
		 struct err *err)
{
	AUTO(helper) struct helper *helper = NULL;
	struct comparison *comparison = instance;
	struct accounts_page page;
	struct target_item *items;
	struct uuid after = { 0 };
	size_t first;

	if (cursor[0] ? !uuid_parse(cursor, &after) : begin(comparison, err) < 0)
		return cursor[0] ? err_set(err, ERR_INTERNAL, "not a cursor of accounts") : -1;
	helper = helper_open_for(call, err);
	if (!helper || helper_list(helper, &after, ACCOUNTS_PAGE_MAX, call->arena, &page, err) < 0)
		return -1;
	first = comparison->count;
	for (size_t i = 0; i < page.count; i++)
		if (take_entry(comparison, call, &page.entries[i], err) < 0)
			return -1;
	items = arena_alloc_array(call->arena, comparison->count - first + 1, sizeof(*items));
	if (!items)
		return no_memory(err);
	/* A copy: what is kept moves when it grows. */
	for (size_t i = first; i < comparison->count; i++)
		items[i - first] = comparison->items[i];
	*ret_items = items;
	*ret_count = comparison->count - first;
	return next_cursor(&page, call->arena, ret_cursor, err);
}
