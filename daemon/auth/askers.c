/*
 * People who were asked about. Enter: names, people from change/. Leave: who they are and what they hold, found again by
 * the name. Fail: the store, memory.
 *
 * A person is read from the store when somebody first asks about them after a change. A name of nobody is
 * remembered as well, so that it costs what any other costs. What was read is only believed when
 * nothing was told of it meanwhile: counters by user, one for names of nobody, one for everybody.
 */
#include "askers.h"

#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/policy/policy.h>

#include "principal.h"

#define PEOPLE_MAX 200000
#define ALIASES_MAX (2 * PEOPLE_MAX)
#define NOBODIES_MAX 50000

/* ------------------------------------------------------------------- tables */

static uint64_t mix(int64_t id)
{
	return (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t *told_of(struct decisions *decisions, int64_t id)
{
	return &decisions->told[mix(id) >> 32 & (TOLD - 1)];
}

static struct asker *find_asker(const struct decisions *decisions, int64_t id)
{
	for (struct map_link *at = map_first(&decisions->askers, mix(id)); at; at = map_next(at)) {
		struct asker *asker = MAP_THING(at, struct asker, by_id);

		if (asker->id == id)
			return asker;
	}
	return NULL;
}

static struct alias *find_alias(const struct decisions *decisions, const char *text, uint64_t hash)
{
	for (struct map_link *at = map_first(&decisions->aliases, hash); at; at = map_next(at)) {
		struct alias *alias = MAP_THING(at, struct alias, by_text);

		if (strcmp(alias->text, text) == 0)
			return alias;
	}
	return NULL;
}

static uint64_t text_hash(const char *text)
{
	return fingerprint128(text, strlen(text)).word[0];
}

static void drop_aliases(struct decisions *decisions, struct alias **list)
{
	while (*list) {
		struct alias *alias = *list;

		*list = alias->next;
		map_remove(&decisions->aliases, &alias->by_text);
		free(alias);
	}
}

static void permset_drop(struct decisions *decisions, struct permset *set)
{
	if (!set || --set->users > 0)
		return;
	map_remove(&decisions->permsets, &set->by_print);
	permset_destroy(set);
}

static void drop_asker(struct decisions *decisions, struct asker *asker)
{
	drop_aliases(decisions, &asker->aliases);
	permset_drop(decisions, asker->permissions);
	map_remove(&decisions->askers, &asker->by_id);
	free(asker);
}

static void drop_nobodies(struct decisions *decisions)
{
	drop_aliases(decisions, &decisions->nobodies);
	decisions->nobody_count = 0;
}

static struct asker *first_of(struct map_link *at, bool refused_too)
{
	struct asker *asker;

	for (; at; at = at->next) {
		asker = MAP_THING(at, struct asker, by_id);
		if (refused_too || asker->state != ASKER_REFUSED)
			return asker;
	}
	return NULL;
}

/* From the front each time the map shrinks, since it puts its things elsewhere then. */
static void drop_askers(struct decisions *decisions, bool refused_too)
{
	size_t i = 0;

	while (i < decisions->askers.size) {
		size_t size = decisions->askers.size;
		struct asker *asker = first_of(decisions->askers.buckets[i], refused_too);

		if (asker)
			drop_asker(decisions, asker);
		else
			i++;
		if (decisions->askers.size != size)
			i = 0;
	}
}

/* Nothing that was read counts any more. */
void askers_forget(struct decisions *decisions)
{
	decisions->epoch++;
	decisions->told_nobody++;
	drop_nobodies(decisions);
	drop_askers(decisions, false);
}

/* ------------------------------------------------- what change/ tells of */

void askers_on_disabling(void *context, int64_t user_id)
{
	struct decisions *decisions = context;
	struct asker *asker;

	pthread_rwlock_wrlock(&decisions->lock);
	++*told_of(decisions, user_id);
	asker = find_asker(decisions, user_id);
	if (!asker) {
		asker = alloc_zeroed(1, sizeof(*asker));
		if (asker && map_add(&decisions->askers, &asker->by_id, mix(user_id)) < 0) {
			free(asker);
			asker = NULL;
		}
	}
	if (asker) {
		asker->id = user_id;
		asker->state = ASKER_REFUSED;
		asker->until_s = INT64_MAX;
	}
	pthread_rwlock_unlock(&decisions->lock);
}

void askers_on_changed(void *context, int64_t user_id)
{
	struct decisions *decisions = context;
	struct asker *asker;

	pthread_rwlock_wrlock(&decisions->lock);
	if (user_id == 0) {
		askers_forget(decisions);
		drop_askers(decisions, true);
	} else {
		++*told_of(decisions, user_id);
		asker = find_asker(decisions, user_id);
		if (asker)
			drop_asker(decisions, asker);
		/* A name may be somebody's now. */
		decisions->told_nobody++;
		drop_nobodies(decisions);
	}
	pthread_rwlock_unlock(&decisions->lock);
}

/* ------------------------------------------------------------------- people */

/* What was told when reading began. */
struct marks {
	uint64_t person, nobody, epoch;
};

static struct marks take_marks(struct decisions *decisions, int64_t id)
{
	struct marks marks;

	pthread_rwlock_rdlock(&decisions->lock);
	marks = (struct marks){ *told_of(decisions, id), decisions->told_nobody, decisions->epoch };
	pthread_rwlock_unlock(&decisions->lock);
	return marks;
}

/* 1, 0 nobody, -1. */
static int resolve(struct decisions *decisions, const char *name, struct user *ret_user,
		   struct err *err)
{
	struct err missing;

	err_clear(&missing);
	if (user_resolve(decisions->store, name, decisions->arena, ret_user, &missing) == 0)
		return (ret_user->disabled & DISABLED_DELETED) == 0;
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Many people hold the same: their permissions are kept once. With the lock. NULL: out of memory. */
static struct permset *share_permset(struct decisions *decisions, const char *const *permissions,
				     size_t count, struct hash128 print)
{
	struct permset *set;

	for (struct map_link *at = map_first(&decisions->permsets, print.word[0]); at;
	     at = map_next(at)) {
		set = MAP_THING(at, struct permset, by_print);
		if (hash128_equal(set->print, print)) {
			set->users++;
			return set;
		}
	}
	set = permset_create(permissions, count);
	if (!set || map_add(&decisions->permsets, &set->by_print, print.word[0]) < 0) {
		permset_destroy(set);
		return NULL;
	}
	set->print = print;
	set->users = 1;
	return set;
}

/* The same for whoever holds the same. */
static int print_of(const char **permissions, size_t count, struct hash128 *ret_print,
		    struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF((size_t)64 << 20);

	if (count)
		qsort(permissions, count, sizeof(*permissions), compare_text);
	for (size_t i = 0; i < count; i++)
		strbuf_append(&text, permissions[i], strlen(permissions[i]) + 1);
	if (strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "out of memory");
	*ret_print = digest128(text.data ? text.data : "", text.size);
	return 0;
}

/* Somebody as read from the store. */
struct found {
	const char *name;
	int64_t id; /* 0: nobody */
	bool active;
	const char *organization;
	const char **permissions;
	size_t permission_count;
	struct hash128 print;
	int64_t until_s;
};

static int put_alias(struct decisions *decisions, const char *text, struct asker *asker)
{
	uint64_t hash = text_hash(text);
	size_t size = strlen(text) + 1;
	struct alias *alias, **list = asker ? &asker->aliases : &decisions->nobodies;

	if (find_alias(decisions, text, hash))
		return 0;
	alias = alloc_zeroed(1, sizeof(*alias) + size);
	if (!alias || map_add(&decisions->aliases, &alias->by_text, hash) < 0) {
		free(alias);
		return -1;
	}
	memcpy(alias->text, text, size);
	alias->asker = asker;
	alias->next = *list;
	*list = alias;
	decisions->nobody_count += asker == NULL;
	return 0;
}

static struct asker *put_asker(struct decisions *decisions, const struct found *found)
{
	struct asker *asker = find_asker(decisions, found->id);

	/* Told to be refused, or read by another thread a moment ago. */
	if (asker && (asker->state == ASKER_REFUSED || asker->until_s == found->until_s))
		return asker;
	if (asker)
		drop_asker(decisions, asker);
	asker = alloc_zeroed(1, sizeof(*asker));
	if (!asker || map_add(&decisions->askers, &asker->by_id, mix(found->id)) < 0) {
		free(asker);
		return NULL;
	}
	asker->id = found->id;
	asker->until_s = found->until_s;
	asker->state = found->active ? ASKER_KNOWN : ASKER_DISABLED;
	asker->organization = intern(&decisions->names, found->organization);
	asker->permissions =
		share_permset(decisions, found->permissions, found->permission_count, found->print);
	if (asker->organization && asker->permissions)
		return asker;
	drop_asker(decisions, asker);
	return NULL;
}

/* 1 put, 0 something was told meanwhile, -1 out of memory. */
static int put_found(struct decisions *decisions, const struct found *found,
		     const struct marks *marks)
{
	struct asker *asker = NULL;
	int result = 0;

	pthread_rwlock_wrlock(&decisions->lock);
	if (decisions->askers.count > PEOPLE_MAX || decisions->aliases.count > ALIASES_MAX ||
	    decisions->nobody_count > NOBODIES_MAX)
		askers_forget(decisions);
	else if (marks->epoch == decisions->epoch &&
		 (found->id ? marks->person == *told_of(decisions, found->id)
			    : marks->nobody == decisions->told_nobody)) {
		if (found->id)
			asker = put_asker(decisions, found);
		result = (found->id && !asker) || put_alias(decisions, found->name, asker) < 0 ? -1
											       : 1;
	}
	pthread_rwlock_unlock(&decisions->lock);
	return result;
}

/* What is in force now: grants that have expired are left out. */
static int fill_permissions(struct decisions *decisions, const struct setup *setup,
			    const struct principal *principal, struct found *found, struct err *err)
{
	struct authority authority;

	if (authority_of_names(setup, principal->organization, principal->profile, principal->roles,
			       principal->role_count, decisions->arena, &authority, err) < 0)
		return -1;
	found->organization = arena_strdup(decisions->arena, principal->organization);
	found->permissions = arena_alloc_array(decisions->arena, authority.permission_count + 1,
					       sizeof(*found->permissions));
	if (!found->organization || !found->permissions)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; i < authority.permission_count; i++)
		found->permissions[i] = authority.permissions[i];
	found->permission_count = authority.permission_count;
	found->active = true;
	return print_of(found->permissions, found->permission_count, &found->print, err);
}

static int read_principal(struct decisions *decisions, const struct setup *setup, int64_t now_s,
			  struct found *found, struct err *err)
{
	const struct principal *principal;
	int result;

	if (principal_load(decisions->store, found->id, setup->policy->administrator_profile.text,
			   now_s, decisions->arena, &principal, NULL, &found->until_s, err) < 0)
		return -1;
	result = principal ? fill_permissions(decisions, setup, principal, found, err)
			   : print_of(NULL, 0, &found->print, err);
	principal_release(principal);
	return result;
}

/*
 * Somebody. The setup is taken when the marks are: what an older one gives would else be kept under the marks
 * that count after a reload. What was found points into it.
 */
static int read_person(struct decisions *decisions, const struct marks *marks, int64_t now_s,
		       struct found *found, struct err *err)
{
	struct setup *setup = changer_setup(decisions->changer);
	int result = read_principal(decisions, setup, now_s, found, err);

	if (result == 0 && (result = put_found(decisions, found, marks)) < 0)
		err_set(err, ERR_MEMORY, "out of memory");
	setup_release(setup);
	return result;
}

/* One time round: 1 put, 0 again, -1. Callers hold `reading`. */
int askers_read(struct decisions *decisions, const char *name, int64_t now_s, struct err *err)
{
	struct found found = { .name = name };
	struct marks marks;
	struct user user;
	int known;

	arena_reset(decisions->arena);
	/* Names of nobody count before, people after it is known who it is: then it must still be so. */
	marks = take_marks(decisions, 0);
	if ((known = resolve(decisions, name, &user, err)) < 0)
		return -1;
	if (known) {
		found.id = user.id;
		marks = take_marks(decisions, found.id);
		known = resolve(decisions, name, &user, err);
		if (known < 0)
			return -1;
		if (!known || user.id != found.id)
			return 0;
		found.organization = user.organization;
		return read_person(decisions, &marks, now_s, &found, err);
	}
	known = put_found(decisions, &found, &marks);
	return known < 0 ? err_set(err, ERR_MEMORY, "out of memory") : known;
}

const struct alias *askers_find(const struct decisions *decisions, const char *text)
{
	return find_alias(decisions, text, text_hash(text));
}

void askers_finish(struct decisions *decisions)
{
	drop_nobodies(decisions);
	drop_askers(decisions, true);
	map_finish(&decisions->askers);
	map_finish(&decisions->aliases);
	map_finish(&decisions->permsets);
	intern_finish(&decisions->names);
}
