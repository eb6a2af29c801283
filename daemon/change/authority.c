/*
 * What somebody may do, and what follows from it for whom and what they may touch.
 *
 * Enters: rows of one snapshot or transaction, the catalogue of the setup. Leaves: lists of permissions in
 * the arena, which point into the catalogue; refusals "not-allowed" that do not say what is lacking,
 * "not-found" for whoever belongs to another organization. Fails: store, memory.
 *
 * Of who asks, that counts which is in force: the profile they have, roles that have not expired. Of whom it
 * concerns, all that may come into force without another hand: a profile that another one overrides for
 * a time counts too. Permissions are compared one by one: what two of them would only cover together counts
 * as not covered.
 */
#include <rolebridge/change/authority.h>

#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/rules/permission.h>
#include <rolebridge/rules/settings.h>

#include "internal.h"

static const char everything[] = "*:*@all";

/* --- permissions of names --- */

/* What another organization has defined gives nothing here, however it was come by. */
static const struct located_list *permissions_of(const struct setup *setup, enum grant_kind kind,
						 const char *name, const char *organization)
{
	struct catalogue_item item;

	if (!setup->catalogue || !catalogue_find(setup->catalogue, kind, name, &item) ||
	    !catalogue_is_for(item.organization, organization))
		return NULL;
	return item.permissions;
}

/* --- gathering --- */

struct gathering {
	const struct setup *setup;
	struct arena *arena;
	const char *organization; /* of whoever has it; NULL: any */
	const char **items;
	size_t count, capacity;
	bool is_administrator;
};

static int gather_one(struct gathering *gathering, const char *permission, struct err *err)
{
	if (gathering->count == gathering->capacity) {
		size_t capacity = gathering->capacity ? gathering->capacity * 2 : 32;
		const char **grown = arena_alloc_array(gathering->arena, capacity, sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_MEMORY, "no memory for permissions");
		if (gathering->count)
			memcpy(grown, gathering->items, gathering->count * sizeof(*grown));
		gathering->items = grown;
		gathering->capacity = capacity;
	}
	gathering->items[gathering->count++] = permission;
	return 0;
}

/* An administrator's profile that lists nothing leaves nothing out. */
static int gather(struct gathering *gathering, enum grant_kind kind, const char *name,
		  struct err *err)
{
	const struct located_list *list =
		permissions_of(gathering->setup, kind, name, gathering->organization);
	const char *administrator = gathering->setup->decision.administrator_profile;
	bool is_administrator = kind == GRANT_PROFILE && administrator && name[0] != '\0' &&
				strcmp(name, administrator) == 0;

	gathering->is_administrator |= is_administrator;
	if (is_administrator && (!list || list->count == 0))
		return gather_one(gathering, everything, err);
	for (size_t i = 0; list && i < list->count; i++)
		if (gather_one(gathering, list->items[i].text, err) < 0)
			return -1;
	return 0;
}

static void give(const struct gathering *gathering, struct authority *ret_authority)
{
	*ret_authority = (struct authority){ .is_administrator = gathering->is_administrator,
					     .organization = gathering->organization,
					     .permissions = gathering->items,
					     .permission_count = gathering->count };
}

int authority_of_grant(const struct setup *setup, enum grant_kind kind, const char *name,
		       struct arena *arena, struct authority *ret_authority, struct err *err)
{
	struct gathering gathering = { .setup = setup, .arena = arena };

	if (gather(&gathering, kind, name, err) < 0)
		return -1;
	give(&gathering, ret_authority);
	return 0;
}

int authority_of_names(const struct setup *setup, const char *organization, const char *profile,
		       const char *const *roles, size_t role_count, struct arena *arena,
		       struct authority *ret_authority, struct err *err)
{
	struct gathering gathering = { .setup = setup,
				       .arena = arena,
				       .organization = organization };

	if (gather(&gathering, GRANT_PROFILE, profile, err) < 0)
		return -1;
	for (size_t i = 0; i < role_count; i++)
		if (gather(&gathering, GRANT_ROLE, roles[i], err) < 0)
			return -1;
	give(&gathering, ret_authority);
	return 0;
}

int authority_of_grants(const struct setup *setup, const struct user *user,
			const struct grant *grants, size_t count, int64_t now_s,
			struct arena *arena, struct authority *ret_authority, struct err *err)
{
	struct gathering gathering = { .setup = setup,
				       .arena = arena,
				       .organization = user->organization };

	if (gather(&gathering, GRANT_PROFILE, user->profile, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if ((grants[i].expires_s == 0 || grants[i].expires_s > now_s) &&
		    gather(&gathering, grants[i].kind, grants[i].name, err) < 0)
			return -1;
	give(&gathering, ret_authority);
	return 0;
}

int authority_of_user(struct store *store, const struct setup *setup, const struct user *user,
		      int64_t now_s, struct arena *arena, struct authority *ret_authority,
		      struct err *err)
{
	struct grant *grants;
	size_t count;

	if (store_grants_of(store, user->id, arena, &grants, &count, err) < 0)
		return -1;
	return authority_of_grants(setup, user, grants, count, now_s, arena, ret_authority, err);
}

/* --- who asks --- */

static int refuse(struct err *err)
{
	return err_refuse(err, ERR_DENIED, "not-allowed",
			  "this is beyond the permissions of who asks");
}

static int find_person(struct store *store, const struct actor *actor, struct arena *arena,
		       struct user *ret_user, struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (store_user_get(store, actor->user_id, arena, ret_user, &missing) < 0) {
		if (missing.code == ERR_NOT_FOUND)
			return refuse(err);
		if (err)
			*err = missing;
		return -1;
	}
	return user_may_stay(ret_user, actor->by_link) ? 0 : refuse(err);
}

/* Its grants but for profiles, of which one is in force. */
static int in_force(struct store *store, const struct setup *setup, const struct user *user,
		    int64_t now_s, struct arena *arena, struct authority *ret_authority,
		    struct err *err)
{
	struct grant *grants;
	size_t count, kept = 0;

	if (store_grants_of(store, user->id, arena, &grants, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (grants[i].kind != GRANT_PROFILE)
			grants[kept++] = grants[i];
	return authority_of_grants(setup, user, grants, kept, now_s, arena, ret_authority, err);
}

int authority_of_actor(struct store *store, const struct setup *setup, const struct actor *actor,
		       int64_t now_s, struct arena *arena, struct authority *ret_authority,
		       struct err *err)
{
	struct authority authority = { .unlimited = true, .is_administrator = true };
	struct user user;

	if (actor->limited && actor->user_id == 0) {
		/* A service: what it was given is all it has. */
		if (!actor->organization)
			return refuse(err);
		authority = (struct authority){ .organization = actor->organization,
						.permissions = actor->scope,
						.permission_count = actor->scope_count };
	} else if (actor->limited) {
		if (find_person(store, actor, arena, &user, err) < 0 ||
		    in_force(store, setup, &user, now_s, arena, &authority, err) < 0)
			return -1;
		authority.scope = actor->scope;
		authority.scope_count = actor->scope_count;
	}
	if (actor->permission && authority_require(&authority, actor->permission, err) < 0)
		return -1;
	*ret_authority = authority;
	return 0;
}

/* --- judging --- */

static bool any_covers(const char *const *held, size_t count, const char *asked)
{
	for (size_t i = 0; i < count; i++)
		if (permission_covers(held[i], asked))
			return true;
	return false;
}

static bool same_texts(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

bool authority_same(const struct authority *a, const struct authority *b)
{
	const char *a_organization = a->organization ? a->organization : "";
	const char *b_organization = b->organization ? b->organization : "";

	return a->unlimited == b->unlimited && a->is_administrator == b->is_administrator &&
	       strcmp(a_organization, b_organization) == 0 &&
	       same_texts(a->permissions, a->permission_count, b->permissions,
			  b->permission_count) &&
	       !a->scope == !b->scope &&
	       same_texts(a->scope, a->scope_count, b->scope, b->scope_count);
}

bool authority_allows(const struct authority *authority, const char *permission)
{
	if (authority->unlimited)
		return true;
	return any_covers(authority->permissions, authority->permission_count, permission) &&
	       (!authority->scope ||
		any_covers(authority->scope, authority->scope_count, permission));
}

int authority_require(const struct authority *authority, const char *permission, struct err *err)
{
	if (authority_allows(authority, permission))
		return 0;
	return err_refuse(err, ERR_DENIED, "not-allowed", "this needs the permission '%s'",
			  permission);
}

int authority_require_covers(const struct authority *authority, const char *const *permissions,
			     size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (!authority_allows(authority, permissions[i]))
			return refuse(err);
	return 0;
}

static bool other_organization(const struct authority *authority, const char *organization)
{
	return !authority->unlimited && authority->organization && organization &&
	       strcmp(authority->organization, organization) != 0;
}

int authority_require_within(const struct authority *authority, const struct authority *other,
			     struct err *err)
{
	if (authority->unlimited)
		return 0;
	if (other->unlimited || (other->is_administrator && !authority->is_administrator) ||
	    other_organization(authority, other->organization))
		return refuse(err);
	return authority_require_covers(authority, other->permissions, other->permission_count,
					err);
}

int authority_require_grant(const struct authority *authority, const struct setup *setup,
			    enum grant_kind kind, const char *name, struct arena *arena,
			    struct err *err)
{
	struct authority given;

	if (authority->unlimited)
		return 0;
	if (authority_of_grant(setup, kind, name, arena, &given, err) < 0)
		return -1;
	return authority_require_within(authority, &given, err);
}

int authority_require_organization(const struct authority *authority, const char *organization,
				   const char *what, struct err *err)
{
	if (!other_organization(authority, organization))
		return 0;
	return err_refuse(err, ERR_NOT_FOUND, "not-found", "no %s", what);
}

int authority_require_user(const struct authority *authority, struct store *store,
			   const struct setup *setup, const struct user *user, int64_t now_s,
			   struct arena *arena, struct err *err)
{
	struct authority theirs;

	if (authority->unlimited)
		return 0;
	if (authority_require_organization(authority, user->organization, "such user", err) < 0 ||
	    authority_of_user(store, setup, user, now_s, arena, &theirs, err) < 0)
		return -1;
	return authority_require_within(authority, &theirs, err);
}
