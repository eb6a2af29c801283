/*
 * From rows to what applications see. In: the user's row and grants, of one snapshot. Out: one
 * block that is never changed again. Fails as the store does, or ERR_MEMORY.
 */
#include "principal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#define LIST_BYTES_MAX ((size_t)1 << 20)

struct kept {
	void *_Atomic thing;
	void (*destroy)(void *thing); /* for the one who holds the last reference */
};

struct counted {
	atomic_uint references;
	struct kept kept[PRINCIPAL_SLOTS];
	struct principal principal;
	/* Pointers of the lists, then the texts, follow. */
};

static struct counted *counted_of(const struct principal *principal)
{
	return (struct counted *)((char *)principal - offsetof(struct counted, principal));
}

const struct principal *principal_acquire(const struct principal *principal)
{
	atomic_fetch_add_explicit(&counted_of(principal)->references, 1, memory_order_relaxed);
	return principal;
}

void principal_release(const struct principal *principal)
{
	struct counted *counted;

	if (!principal)
		return;
	counted = counted_of(principal);
	if (atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < PRINCIPAL_SLOTS; i++) {
		void *thing = atomic_load_explicit(&counted->kept[i].thing, memory_order_relaxed);

		if (thing)
			counted->kept[i].destroy(thing);
	}
	free(counted);
}

void *principal_kept(const struct principal *principal, unsigned slot)
{
	return atomic_load_explicit(&counted_of(principal)->kept[slot].thing, memory_order_acquire);
}

void *principal_keep(const struct principal *principal, unsigned slot, void *thing,
		     void (*destroy)(void *thing))
{
	struct kept *kept = &counted_of(principal)->kept[slot];
	void *first = NULL;

	if (!atomic_compare_exchange_strong(&kept->thing, &first, thing)) {
		destroy(thing);
		return first;
	}
	/* Read when the last reference is given back, and this caller has one. */
	kept->destroy = destroy;
	return thing;
}

/* Names of one kind of grant, each once, sorted: grants come ordered by kind and name. */
struct names {
	const char **items;
	size_t count;
	struct strbuf text; /* joined by "," */
};

static void names_auto(struct names *names)
{
	strbuf_finish(&names->text);
}

static bool is_expired(const struct grant *grant, int64_t now_s)
{
	return grant->expires_s != 0 && grant->expires_s <= now_s;
}

static int names_collect(enum grant_kind kind, const struct grant *grants, size_t count,
			 int64_t now_s, struct arena *arena, struct names *names, struct err *err)
{
	names->items = arena_alloc_array(arena, count + 1, sizeof(*names->items));
	if (!names->items)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const char *name = grants[i].name;

		if (grants[i].kind != kind || is_expired(&grants[i], now_s) ||
		    (names->count && strcmp(names->items[names->count - 1], name) == 0))
			continue;
		if (names->count)
			strbuf_putc(&names->text, ',');
		strbuf_puts(&names->text, name);
		names->items[names->count++] = name;
	}
	if (strbuf_failed(&names->text))
		return err_set(err, ERR_TOO_LARGE, "more grants than fit into a header");
	return 0;
}

/* Where the next text, and the next pointer of a list, go. */
struct block {
	char *text;
	const char **pointers;
};

static const char *put(struct block *block, const char *text)
{
	size_t size = strlen(text) + 1;
	char *at = block->text;

	memcpy(at, text, size);
	block->text += size;
	return at;
}

/* The items, and the text of them all. */
static const char *put_names(struct block *block, const struct names *names,
			     const char *const **ret_items)
{
	*ret_items = block->pointers;
	for (size_t i = 0; i < names->count; i++)
		*block->pointers++ = put(block, names->items[i]);
	return put(block, strbuf_text(&names->text));
}

static size_t names_bytes(const struct names *names)
{
	return names->count * sizeof(const char *) + 2 * (names->text.size + 1);
}

static const struct principal *principal_make(const struct user *user, bool is_administrator,
					      const struct names *roles,
					      const struct names *personas,
					      const struct names *groups)
{
	const char *const texts[] = { user->username, user->email, user->display_name,
				      user->organization, user->profile };
	size_t size = sizeof(struct counted) + names_bytes(roles) + names_bytes(personas) +
		      names_bytes(groups);
	struct counted *counted;
	struct principal *principal;
	struct block block;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		size += strlen(texts[i]) + 1;
	counted = alloc_zeroed(1, size);
	if (!counted)
		return NULL;
	atomic_init(&counted->references, 1);
	block.pointers = (const char **)(counted + 1);
	block.text = (char *)(block.pointers + roles->count + personas->count + groups->count);
	principal = &counted->principal;
	principal->user_id = user->id;
	uuid_format(&user->uuid, principal->uuid);
	principal->username = put(&block, user->username);
	principal->email = put(&block, user->email);
	principal->display_name = put(&block, user->display_name);
	principal->organization = put(&block, user->organization);
	principal->profile = put(&block, user->profile);
	principal->is_administrator = is_administrator;
	principal->role_count = roles->count;
	principal->persona_count = personas->count;
	principal->group_count = groups->count;
	principal->roles_text = put_names(&block, roles, &principal->roles);
	principal->personas_text = put_names(&block, personas, &principal->personas);
	principal->groups_text = put_names(&block, groups, &principal->groups);
	return principal;
}

static int load_rows(struct store *store, int64_t user_id, struct arena *arena,
		     struct user *ret_user, struct grant **ret_grants, size_t *ret_count,
		     struct err *err)
{
	int status;

	if (store_begin(store, err) < 0)
		return -1;
	status = store_user_get(store, user_id, arena, ret_user, err);
	if (status == 0)
		status = store_grants_of(store, user_id, arena, ret_grants, ret_count, err);
	store_rollback(store);
	return status;
}

static int64_t first_expiry(const struct grant *grants, size_t count, int64_t now_s)
{
	int64_t first_s = INT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (grants[i].expires_s > now_s && grants[i].expires_s < first_s)
			first_s = grants[i].expires_s;
	return first_s;
}

int principal_load(struct store *store, int64_t user_id, const char *administrator_profile,
		   int64_t now_s, struct arena *arena, const struct principal **ret_principal,
		   bool *ret_suspended, int64_t *ret_until_s, struct err *err)
{
	AUTO(names) struct names roles = { .text = STRBUF(LIST_BYTES_MAX) };
	AUTO(names) struct names personas = { .text = STRBUF(LIST_BYTES_MAX) };
	AUTO(names) struct names groups = { .text = STRBUF(LIST_BYTES_MAX) };
	const struct principal *principal;
	struct user user;
	struct grant *grants;
	size_t count;
	struct err local = { 0 };
	bool suspended;

	if (load_rows(store, user_id, arena, &user, &grants, &count, &local) < 0) {
		if (local.code != ERR_NOT_FOUND)
			return err ? (*err = local, -1) : -1;
		user.disabled = DISABLED_DELETED;
	}
	/* Any reason that is not known here, too. */
	suspended = user.disabled == SUSPENDED_SIGN_IN;
	if ((user.disabled != 0 && !(suspended && ret_suspended)) || user.profile[0] == 0) {
		*ret_principal = NULL;
		*ret_until_s = INT64_MAX;
		return 0;
	}
	if (names_collect(GRANT_ROLE, grants, count, now_s, arena, &roles, err) < 0 ||
	    names_collect(GRANT_PERSONA, grants, count, now_s, arena, &personas, err) < 0 ||
	    names_collect(GRANT_GROUP, grants, count, now_s, arena, &groups, err) < 0)
		return -1;
	principal = principal_make(&user, strcmp(user.profile, administrator_profile) == 0, &roles,
				   &personas, &groups);
	if (!principal)
		return err_set(err, ERR_MEMORY, "out of memory");
	*ret_principal = principal;
	if (ret_suspended)
		*ret_suspended = suspended;
	*ret_until_s = first_expiry(grants, count, now_s);
	return 0;
}
