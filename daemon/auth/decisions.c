/*
 * Who may do what, in memory. Enter: questions, resources and people from change/. Leave: verdicts. May
 * fail: the store, when somebody must be read anew (ERR_UNAVAILABLE, nothing is allowed), and memory.
 *
 * A person is read from the store when somebody first asks about them after a change, and found again by the
 * name they were asked for by; a name of nobody is remembered as well, so that it costs what any other
 * costs. What was read is only believed when nothing was told of it meanwhile: counters by user, one
 * for names of nobody, one for everybody.
 *
 * Lock: `lock` guards all of the tables. Who asks takes it shared; what change/ tells takes it alone, in the
 * writer's thread, and goes first. `reading` guards the store handle and is taken before it.
 */
#include <rolebridge/auth/decisions.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/authority.h>
#include <rolebridge/policy/policy.h>
#include <rolebridge/store/ownership.h>
#include <rolebridge/store/session.h>

#include "judge.h"
#include "principal.h"

#define ATTEMPTS 8
#define ARENA_BYTES_MAX ((size_t)64 << 20)
#define TOLD 1024 /* a power of two */
#define PEOPLE_MAX 200000
#define ALIASES_MAX (2 * PEOPLE_MAX)
#define NOBODIES_MAX 50000
#define CLOCK_SLACK_S 300
#define SESSIONS_MAX 1000

const char *const decision_reason_names[] = {
	[DECISION_GRANTED] = "granted",
	[DECISION_UNKNOWN_USER] = "unknown-user",
	[DECISION_UNKNOWN_RESOURCE] = "unknown-resource",
	[DECISION_USER_DISABLED] = "user-disabled",
	[DECISION_OTHER_ORGANIZATION] = "other-organization",
	[DECISION_SECOND_FACTOR] = "second-factor",
	[DECISION_ACCOUNT_NOT_READABLE] = "account-not-readable",
	[DECISION_NOT_GRANTED] = "not-granted",
	[DECISION_SCOPE] = "scope",
};

enum asker_state { ASKER_KNOWN, ASKER_DISABLED, ASKER_REFUSED };

struct alias;
/* Somebody who was asked about. */
struct asker {
	struct map_link by_id;
	int64_t id;
	enum asker_state
		state; /* REFUSED: told by change/ before a commit; stays until it is told of again */
	const char *organization;    /* interned */
	struct permset *permissions; /* shared */
	struct alias *aliases;
	int64_t until_s; /* a grant expires */
};

/* A name that was asked for. */
struct alias {
	struct map_link by_text;
	struct asker *asker; /* NULL: nobody's */
	struct alias *next;  /* of the asker, or of nobody */
	char text[];
};

/* An application that wants a second factor. */
struct factor {
	char *application;
	int64_t max_age_s; /* 0: any */
};

struct decisions {
	struct changer *changer;
	pthread_rwlock_t lock;
	struct tree tree;
	bool tree_lost; /* what is in the tree is not what is in the store */
	uint64_t tree_told;
	struct map askers, aliases, permsets;
	struct alias *nobodies;
	size_t nobody_count;
	struct tree_name *names;
	uint64_t told[TOLD], told_nobody, epoch;
	_Atomic uint64_t generation; /* of the configuration that permissions are of */
	struct factor *factors;
	size_t factor_count;

	pthread_mutex_t reading;
	struct store *store; /* NULL: to be opened */
	struct arena *arena;
};

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

static const char *intern(struct decisions *decisions, const char *text)
{
	size_t size = strlen(text) + 1;
	struct tree_name *name;

	for (name = decisions->names; name; name = name->next)
		if (strcmp(name->text, text) == 0)
			return name->text;
	name = alloc_zeroed(1, sizeof(*name) + size);
	if (!name)
		return NULL;
	memcpy(name->text, text, size);
	name->next = decisions->names;
	decisions->names = name;
	return name->text;
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
static void forget_people(struct decisions *decisions)
{
	decisions->epoch++;
	decisions->told_nobody++;
	drop_nobodies(decisions);
	drop_askers(decisions, false);
}

/* ------------------------------------------------- what change/ tells of */

static void on_disabling(void *context, int64_t user_id)
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

static void on_changed(void *context, int64_t user_id)
{
	struct decisions *decisions = context;
	struct asker *asker;

	pthread_rwlock_wrlock(&decisions->lock);
	if (user_id == 0) {
		forget_people(decisions);
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

static void on_resources(void *context, const struct resource_note *notes)
{
	struct decisions *decisions = context;

	pthread_rwlock_wrlock(&decisions->lock);
	decisions->tree_told++;
	if (!notes)
		decisions->tree_lost = true;
	for (; notes; notes = notes->next)
		if (notes->removed)
			tree_remove(&decisions->tree, &notes->resource.key);
		else if (tree_put(&decisions->tree, &notes->resource) < 0)
			decisions->tree_lost = true;
	pthread_rwlock_unlock(&decisions->lock);
}

/* -------------------------------------------------------------------- store */

/* Callers hold `reading`. A handle that failed is opened anew. */
static struct store *reader(struct decisions *decisions, struct err *err)
{
	if (!decisions->store)
		decisions->store =
			store_open(changer_store_path(decisions->changer), STORE_READ, err);
	return decisions->store;
}

static void reader_give_up(struct decisions *decisions)
{
	store_close(decisions->store);
	decisions->store = NULL;
}

static int load_resource(void *context, const struct resource *resource)
{
	return tree_put(context, resource);
}

/* Callers hold `reading`. */
static int load_tree(struct decisions *decisions, struct err *err)
{
	struct tree tree = { 0 }, old;
	uint64_t told;
	int status;

	if (!reader(decisions, err))
		return -1;
	pthread_rwlock_rdlock(&decisions->lock);
	told = decisions->tree_told;
	pthread_rwlock_unlock(&decisions->lock);
	status = store_resource_each(decisions->store, load_resource, &tree, err);
	if (status < 0) {
		reader_give_up(decisions);
		tree_finish(&tree);
		return -1;
	}
	pthread_rwlock_wrlock(&decisions->lock);
	old = tree;
	if (told == decisions->tree_told) {
		old = decisions->tree;
		decisions->tree = tree;
		decisions->tree_lost = false;
	}
	pthread_rwlock_unlock(&decisions->lock);
	tree_finish(&old);
	return 0;
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
static int resolve(struct decisions *decisions, const char *name, int64_t *ret_id, struct err *err)
{
	struct err missing;
	struct user user;

	err_clear(&missing);
	*ret_id = 0;
	if (user_resolve(decisions->store, name, decisions->arena, &user, &missing) == 0) {
		*ret_id = user.id;
		return (user.disabled & DISABLED_DELETED) == 0;
	}
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

static struct hash128 print_of(const char **permissions, size_t count, struct arena *arena)
{
	AUTO(strbuf) struct strbuf text = STRBUF((size_t)64 << 20);

	(void)arena;
	if (count)
		qsort(permissions, count, sizeof(*permissions), compare_text);
	for (size_t i = 0; i < count; i++)
		strbuf_append(&text, permissions[i], strlen(permissions[i]) + 1);
	/* One that is not like any other: it is shared with nobody. */
	return strbuf_failed(&text) ? digest128(&arena, sizeof(arena))
				    : digest128(text.data ? text.data : "", text.size);
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
	asker->organization = intern(decisions, found->organization);
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
		forget_people(decisions);
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
	found->print = print_of(found->permissions, found->permission_count, decisions->arena);
	found->active = true;
	return 0;
}

static int read_principal(struct decisions *decisions, const struct setup *setup, int64_t now_s,
			  struct found *found, struct err *err)
{
	const struct principal *principal;
	int result = 0;

	if (principal_load(decisions->store, found->id, setup->policy->administrator_profile.text,
			   now_s, decisions->arena, &principal, &found->until_s, err) < 0)
		return -1;
	found->organization = "";
	found->print = print_of(NULL, 0, decisions->arena);
	if (principal)
		result = fill_permissions(decisions, setup, principal, found, err);
	principal_release(principal);
	return result;
}

/* One time round: 1 put, 0 again, -1. Callers hold `reading`. */
static int read_asker(struct decisions *decisions, const struct setup *setup, const char *name,
		      int64_t now_s, struct err *err)
{
	struct found found = { .name = name };
	struct marks marks;
	int64_t first;
	int known;

	arena_reset(decisions->arena);
	/* Names of nobody count before, people after it is known who it is: then it must still be so. */
	marks = take_marks(decisions, 0);
	if ((known = resolve(decisions, name, &first, err)) < 0)
		return -1;
	if (known) {
		marks = take_marks(decisions, first);
		known = resolve(decisions, name, &found.id, err);
		if (known < 0)
			return -1;
		if (!known || found.id != first)
			return 0;
		if (read_principal(decisions, setup, now_s, &found, err) < 0)
			return -1;
	}
	known = put_found(decisions, &found, &marks);
	return known < 0 ? err_set(err, ERR_MEMORY, "out of memory") : known;
}

static bool is_known(struct decisions *decisions, const char *name, int64_t now_s)
{
	const struct alias *alias;
	bool known;

	pthread_rwlock_rdlock(&decisions->lock);
	alias = find_alias(decisions, name, text_hash(name));
	known = alias && (!alias->asker || alias->asker->until_s > now_s);
	pthread_rwlock_unlock(&decisions->lock);
	return known;
}

/* So that the tables can answer: the person, and the tree when it was lost. */
static int refresh(struct decisions *decisions, const char *name, int64_t now_s, struct err *err)
{
	struct setup *setup = changer_setup(decisions->changer);
	struct err cause = { 0 };
	bool lost;
	int result = 0;

	pthread_mutex_lock(&decisions->reading);
	pthread_rwlock_rdlock(&decisions->lock);
	lost = decisions->tree_lost;
	pthread_rwlock_unlock(&decisions->lock);
	if (lost)
		result = load_tree(decisions, &cause);
	if (result == 0 && !is_known(decisions, name, now_s)) {
		result = reader(decisions, &cause)
				 ? read_asker(decisions, setup, name, now_s, &cause)
				 : -1;
		if (result < 0)
			reader_give_up(decisions);
	}
	pthread_mutex_unlock(&decisions->reading);
	setup_release(setup);
	return result < 0 ? err_set(err, ERR_UNAVAILABLE, "cannot read who or what it is about: %s",
				    cause.text)
			  : 0;
}

/* Permissions are of one configuration: after a reload all are worked out anew. */
static void follow_configuration(struct decisions *decisions)
{
	uint64_t generation = changer_generation(decisions->changer);

	if (atomic_load_explicit(&decisions->generation, memory_order_acquire) == generation)
		return;
	pthread_rwlock_wrlock(&decisions->lock);
	if (decisions->generation != generation) {
		forget_people(decisions);
		decisions->generation = generation;
	}
	pthread_rwlock_unlock(&decisions->lock);
}

/* ------------------------------------------------------------ second factor */

/* With the lock. */
static const struct factor *factor_of(const struct decisions *decisions, const char *application)
{
	for (size_t i = 0; i < decisions->factor_count; i++)
		if (strcmp(decisions->factors[i].application, application) == 0)
			return &decisions->factors[i];
	return NULL;
}

static bool proves(const struct session *session, int64_t max_age_s, int64_t now_s)
{
	int64_t age_s = now_s - session->second_factor_s;

	return session->second_factor_s > 0 && session->until_s > now_s &&
	       age_s >= -CLOCK_SLACK_S && (max_age_s == 0 || age_s <= max_age_s);
}

/* Is any session of theirs one with a second factor that is fresh enough? Asks the store: few applications want it. */
static int has_factor(struct decisions *decisions, int64_t user_id, int64_t max_age_s,
		      int64_t now_s, bool *ret_has, struct err *err)
{
	const struct session_query query = { .user_id = user_id, .limit = SESSIONS_MAX };
	struct session *sessions;
	struct err cause = { 0 };
	size_t count = 0;
	int result;

	*ret_has = false;
	pthread_mutex_lock(&decisions->reading);
	arena_reset(decisions->arena);
	result = reader(decisions, &cause)
			 ? store_session_list(decisions->store, &query, decisions->arena, &sessions,
					      &count, &cause)
			 : -1;
	for (size_t i = 0; result == 0 && i < count; i++)
		*ret_has |= proves(&sessions[i], max_age_s, now_s);
	if (result < 0)
		reader_give_up(decisions);
	pthread_mutex_unlock(&decisions->reading);
	return result < 0 ? err_set(err, ERR_UNAVAILABLE, "cannot read sessions: %s", cause.text)
			  : 0;
}

/* ------------------------------------------------------------------ asking */

static bool may_be_asked(const struct question *question, const struct asker *asker)
{
	return (!question->organization ||
		strcmp(question->organization, asker->organization) == 0) &&
	       (!question->application || !question->resource.application ||
		strcmp(question->application, question->resource.application) == 0);
}

/* Somebody without anything: whoever is not there is judged as they are, and so in the same time. */
static struct holder holder_of(const struct asker *asker)
{
	if (!asker || asker->state != ASKER_KNOWN)
		return (struct holder){ .user = 0, .organization = "" };
	return (struct holder){ .user = asker->id,
				.organization = asker->organization,
				.permissions = asker->permissions };
}

static enum decision_reason judge(const struct decisions *decisions,
				  const struct question *question, const struct asked *asked,
				  const struct asker *asker, struct ground *ground)
{
	struct holder holder = holder_of(asker);
	const struct tree_node *node;

	if (!question->resource.id)
		return judge_general(&holder, asked, ground);
	node = tree_find(&decisions->tree, &question->resource);
	return node ? judge_resource(&holder, asked, node, ground) : DECISION_UNKNOWN_RESOURCE;
}

static void explain_ground(const struct ground *ground, struct verdict *verdict)
{
	unsigned bit = ground->scope == SCOPE_ALL ? 2 : ground->scope == SCOPE_UNASSIGNED ? 1 : 0;

	if (!ground->item)
		return;
	snprintf(verdict->by, sizeof(verdict->by), "%.*s:%.*s@%s", (int)ground->item->resource.size,
		 ground->item->resource.text, (int)ground->item->verb.size, ground->item->verb.text,
		 scope_names[bit]);
}

struct need {
	int64_t user; /* 0: no second factor is wanted */
	int64_t max_age_s;
};

/* With the lock. */
static void answer(const struct decisions *decisions, const struct question *question,
		   const struct asked *asked, const struct alias *alias, bool explain,
		   struct need *ret_need, struct verdict *ret_verdict)
{
	struct ground ground = { 0 };
	const struct asker *asker = alias->asker;
	struct verdict verdict = { .allowed = false };
	const struct factor *factor;

	verdict.reason = judge(decisions, question, asked, asker, explain ? &ground : NULL);
	if (!asker || (asker->state == ASKER_KNOWN && !may_be_asked(question, asker)))
		verdict.reason = DECISION_UNKNOWN_USER;
	else if (asker->state != ASKER_KNOWN)
		verdict.reason = DECISION_USER_DISABLED;
	verdict.allowed = verdict.reason == DECISION_GRANTED;
	if (verdict.allowed && explain)
		explain_ground(&ground, &verdict);
	factor = verdict.allowed && decisions->factor_count && question->resource.application
			 ? factor_of(decisions, question->resource.application)
			 : NULL;
	if (factor)
		*ret_need = (struct need){ asker->id, factor->max_age_s };
	*ret_verdict = verdict;
}

/* Is there an answer in memory? */
static bool try_ask(struct decisions *decisions, const struct question *question,
		    const struct asked *asked, bool explain, int64_t now_s, struct need *ret_need,
		    struct verdict *ret_verdict)
{
	uint64_t hash = text_hash(question->user);
	const struct alias *alias;
	bool answered = false;

	pthread_rwlock_rdlock(&decisions->lock);
	alias = find_alias(decisions, question->user, hash);
	if (alias && !decisions->tree_lost && (!alias->asker || alias->asker->until_s > now_s)) {
		answer(decisions, question, asked, alias, explain, ret_need, ret_verdict);
		answered = true;
	}
	pthread_rwlock_unlock(&decisions->lock);
	return answered;
}

int decisions_ask(struct decisions *decisions, const struct question *question, bool explain,
		  int64_t now_s, struct verdict *ret_verdict, struct err *err)
{
	struct verdict verdict = { 0 };
	struct need need = { 0 };
	struct asked asked;
	bool has;
	int attempt = 0;

	if (asked_parse(question->permission, &asked, err) < 0)
		return -1;
	follow_configuration(decisions);
	while (!try_ask(decisions, question, &asked, explain, now_s, &need, &verdict)) {
		if (++attempt > ATTEMPTS)
			return err_set(err, ERR_UNAVAILABLE,
				       "the person changes too often to be read");
		if (refresh(decisions, question->user, now_s, err) < 0)
			return -1;
	}
	if (need.user) {
		if (has_factor(decisions, need.user, need.max_age_s, now_s, &has, err) < 0)
			return -1;
		if (!has)
			verdict = (struct verdict){ .reason = DECISION_SECOND_FACTOR };
	}
	*ret_verdict = verdict;
	return 0;
}

/* ------------------------------------------------------------------ listing */

struct listing {
	const struct listing_question *wanted;
	const struct asked *asked;
	struct holder holder;
	void (*each)(void *context, const char *type, const char *id);
	void *context;
	size_t count;
	int64_t next;
};

/* false: the page is full. */
static bool list_node(struct listing *listing, const struct tree_node *node)
{
	const struct resource_key *key = &listing->wanted->question.resource;

	if (strcmp(node->kind->type, key->type) != 0 ||
	    strcmp(node->kind->application, key->application) != 0 ||
	    judge_resource(&listing->holder, listing->asked, node, NULL) != DECISION_GRANTED)
		return true;
	listing->each(listing->context, node->kind->type, node->id);
	listing->next = node->row;
	return ++listing->count < listing->wanted->limit;
}

static void list_below(struct listing *listing, const struct tree_node *parent)
{
	const struct tree_node *node = parent ? parent->first : NULL;

	while (node && node->row <= listing->wanted->after)
		node = node->next;
	while (node && list_node(listing, node))
		node = node->next;
}

static void list_all(struct listing *listing, const struct tree *tree)
{
	size_t at = tree_place_after(tree, listing->wanted->after);

	while (at < tree->places &&
	       (!tree->order[at].node || list_node(listing, tree->order[at].node)))
		at++;
}

static void list(struct decisions *decisions, struct listing *listing)
{
	const struct listing_question *wanted = listing->wanted;
	const struct resource_key parent = { wanted->question.resource.application,
					     wanted->parent_type, wanted->parent_id };

	if (wanted->parent_id)
		list_below(listing, tree_find(&decisions->tree, &parent));
	else
		list_all(listing, &decisions->tree);
	if (listing->count < wanted->limit)
		listing->next = 0;
}

/* Is there an answer in memory? */
static bool try_list(struct decisions *decisions, struct listing *listing, int64_t now_s,
		     struct need *ret_need, bool allowed)
{
	const struct question *question = &listing->wanted->question;
	const struct alias *alias;
	const struct factor *factor;
	bool answered = false;

	pthread_rwlock_rdlock(&decisions->lock);
	alias = find_alias(decisions, question->user, text_hash(question->user));
	if (alias && !decisions->tree_lost && (!alias->asker || alias->asker->until_s > now_s)) {
		listing->holder = holder_of(alias->asker);
		if (listing->holder.user && !may_be_asked(question, alias->asker))
			listing->holder = holder_of(NULL);
		factor = factor_of(decisions, question->resource.application);
		if (listing->holder.user && factor && !allowed)
			*ret_need = (struct need){ listing->holder.user, factor->max_age_s };
		else
			list(decisions, listing);
		answered = true;
	}
	pthread_rwlock_unlock(&decisions->lock);
	return answered;
}

static int list_retrying(struct decisions *decisions, struct listing *listing, int64_t now_s,
			 struct need *ret_need, bool allowed, struct err *err)
{
	int attempt = 0;

	while (!try_list(decisions, listing, now_s, ret_need, allowed)) {
		if (++attempt > ATTEMPTS)
			return err_set(err, ERR_UNAVAILABLE,
				       "the person changes too often to be read");
		if (refresh(decisions, listing->wanted->question.user, now_s, err) < 0)
			return -1;
	}
	return 0;
}

int decisions_list(struct decisions *decisions, const struct listing_question *question,
		   int64_t now_s, void (*each)(void *context, const char *type, const char *id),
		   void *context, int64_t *ret_next, struct err *err)
{
	struct asked asked;
	struct listing listing = {
		.wanted = question, .asked = &asked, .each = each, .context = context
	};
	struct need need = { 0 };
	bool has;

	if (asked_parse(question->question.permission, &asked, err) < 0)
		return -1;
	follow_configuration(decisions);
	if (list_retrying(decisions, &listing, now_s, &need, false, err) < 0)
		return -1;
	if (need.user) {
		if (has_factor(decisions, need.user, need.max_age_s, now_s, &has, err) < 0 ||
		    (has && list_retrying(decisions, &listing, now_s, &need, true, err) < 0))
			return -1;
	}
	*ret_next = listing.next;
	return 0;
}

/* ----------------------------------------------------------- start and end */

static void factors_free(struct factor *factors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(factors[i].application);
	free(factors);
}

int decisions_configure(struct decisions *decisions, const struct web_settings *web,
			struct err *err)
{
	const struct application_settings *all = web->applications.items;
	struct factor *factors = alloc_zeroed(web->applications.count + 1, sizeof(*factors)), *old;
	size_t count = 0, old_count;

	for (size_t i = 0; factors && i < web->applications.count; i++) {
		if (!all[i].require.second_factor)
			continue;
		factors[count].max_age_s = all[i].require.second_factor_max_age_s;
		factors[count].application = strdup(all[i].name.text);
		if (!factors[count++].application) {
			factors_free(factors, count);
			factors = NULL;
		}
	}
	if (!factors)
		return err_set(err, ERR_MEMORY, "out of memory");
	pthread_rwlock_wrlock(&decisions->lock);
	old = decisions->factors;
	old_count = decisions->factor_count;
	decisions->factors = factors;
	decisions->factor_count = count;
	pthread_rwlock_unlock(&decisions->lock);
	factors_free(old, old_count);
	return 0;
}

static void init_locks(struct decisions *decisions)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&decisions->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	pthread_mutex_init(&decisions->reading, NULL);
}

struct decisions *decisions_create(struct changer *changer, const struct web_settings *web,
				   struct err *err)
{
	struct decisions *decisions = alloc_zeroed(1, sizeof(*decisions));
	int status = -1;

	if (!decisions) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	init_locks(decisions);
	hash_prepare();
	decisions->changer = changer;
	decisions->generation = changer_generation(changer);
	decisions->arena = arena_create(ARENA_BYTES_MAX);
	/* From now on changes are told; the tree is read after that, so that none is missed. */
	changer_observe_as(changer, OBSERVER_DECISIONS,
			   &(struct change_observer){ .context = decisions,
						      .disabling = on_disabling,
						      .changed = on_changed,
						      .resources = on_resources });
	if (!decisions->arena)
		err_set(err, ERR_MEMORY, "out of memory");
	else
		status = decisions_configure(decisions, web, err);
	if (status == 0) {
		decisions->tree_lost = true;
		status = load_tree(decisions, err);
	}
	if (status == 0)
		return decisions;
	err_wrap(err, "cannot load resources");
	decisions_destroy(decisions);
	return NULL;
}

void decisions_destroy(struct decisions *decisions)
{
	static const struct change_observer nobody;

	if (!decisions)
		return;
	changer_observe_as(decisions->changer, OBSERVER_DECISIONS, &nobody);
	drop_nobodies(decisions);
	drop_askers(decisions, true);
	map_finish(&decisions->askers);
	map_finish(&decisions->aliases);
	map_finish(&decisions->permsets);
	while (decisions->names) {
		struct tree_name *name = decisions->names;

		decisions->names = name->next;
		free(name);
	}
	tree_finish(&decisions->tree);
	factors_free(decisions->factors, decisions->factor_count);
	store_close(decisions->store);
	arena_destroy(decisions->arena);
	pthread_rwlock_destroy(&decisions->lock);
	pthread_mutex_destroy(&decisions->reading);
	free(decisions);
}

void decisions_counts(struct decisions *decisions, struct decisions_counts *ret_counts)
{
	pthread_rwlock_rdlock(&decisions->lock);
	*ret_counts = (struct decisions_counts){ decisions->tree.count, decisions->askers.count };
	pthread_rwlock_unlock(&decisions->lock);
}
