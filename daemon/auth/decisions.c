/*
 * Who may do what, in memory. Enter: questions, resources from change/. Leave: verdicts. May fail: the
 * store, when somebody must be read anew (ERR_UNAVAILABLE, nothing is allowed), and memory.
 */
#include <rolebridge/auth/decisions.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/util.h>
#include <rolebridge/change/enforce.h>
#include <rolebridge/store/ownership.h>
#include <rolebridge/store/session.h>

#include "askers.h"
#include "judge.h"

#define ATTEMPTS 8
#define ARENA_BYTES_MAX ((size_t)64 << 20)
#define SESSIONS_MAX 1000

size_t decisions_look_max = 10000, decisions_pieces_max = 200;

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

/* ------------------------------------------------- what change/ tells of */

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

static int refresh(struct decisions *decisions, const char *name, int64_t now_s, struct err *err)
{
	struct err cause = { 0 };
	bool lost, known;
	int result = 0;

	pthread_mutex_lock(&decisions->reading);
	pthread_rwlock_rdlock(&decisions->lock);
	lost = decisions->tree_lost;
	known = askers_holds(askers_find(decisions, name), now_s);
	pthread_rwlock_unlock(&decisions->lock);
	if (lost)
		result = load_tree(decisions, &cause);
	if (result == 0 && !known) {
		result = reader(decisions, &cause) ? askers_read(decisions, name, now_s, &cause)
						   : -1;
		if (result < 0)
			reader_give_up(decisions);
	}
	pthread_mutex_unlock(&decisions->reading);
	return result < 0 ? err_set(err, ERR_UNAVAILABLE, "cannot read who or what it is about: %s",
				    cause.text)
			  : 0;
}

/* Does any permission take a fresh second factor? */
static bool steps_up(const struct decisions *decisions)
{
	struct setup *setup = changer_setup(decisions->changer);
	bool any = setup->second_factor && setup->second_factor->step_up.count > 0;

	setup_release(setup);
	return any;
}

/* Permissions are of one configuration: after a reload all are worked out anew. */
static void follow_configuration(struct decisions *decisions)
{
	uint64_t generation = changer_generation(decisions->changer);

	if (atomic_load_explicit(&decisions->generation, memory_order_acquire) == generation)
		return;
	pthread_rwlock_wrlock(&decisions->lock);
	if (decisions->generation != generation) {
		askers_forget(decisions);
		decisions->generation = generation;
		atomic_store_explicit(&decisions->steps_up, steps_up(decisions),
				      memory_order_relaxed);
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
	return session->stage == SESSION_FULL && session->until_s > now_s &&
	       factor_is_fresh(session->second_factor_s, max_age_s, now_s);
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
		(asker->organization &&
		 strcmp(question->organization, asker->organization) == 0)) &&
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

/* A second factor that must have been proven; max_age_s 0: whenever. */
struct need {
	int64_t user; /* 0: nothing is needed, for nothing is allowed */
	bool wanted;
	int64_t max_age_s;
};

static void need_add(struct need *need, int64_t max_age_s)
{
	if (!need->wanted || need->max_age_s == 0 || (max_age_s && max_age_s < need->max_age_s))
		need->max_age_s = max_age_s;
	need->wanted = true;
}

/* The permission may want one, whatever the application does. */
static void need_step_up(struct decisions *decisions, const struct question *question,
			 struct need *need)
{
	struct setup *setup;
	char permission[256];
	int64_t max_age_s = 0;

	if (!atomic_load_explicit(&decisions->steps_up, memory_order_relaxed))
		return;
	/* Of any scope where none is named: what is listed for all is for one's own, too. */
	snprintf(permission, sizeof(permission), "%s%s", question->permission,
		 strchr(question->permission, '@') ? "" : "@own");
	setup = changer_setup(decisions->changer);
	if (change_step_up_max_age(setup, permission, &max_age_s))
		need_add(need, max_age_s);
	setup_release(setup);
}

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
	if (!asker || !may_be_asked(question, asker))
		verdict.reason = DECISION_UNKNOWN_USER;
	else if (asker->state != ASKER_KNOWN)
		verdict.reason = DECISION_USER_DISABLED;
	/* Whoever asks for one organization is not told what others have. */
	else if (question->organization && verdict.reason == DECISION_OTHER_ORGANIZATION)
		verdict.reason = DECISION_UNKNOWN_RESOURCE;
	verdict.allowed = verdict.reason == DECISION_GRANTED;
	if (verdict.allowed && explain)
		explain_ground(&ground, &verdict);
	factor = verdict.allowed && decisions->factor_count && question->resource.application
			 ? factor_of(decisions, question->resource.application)
			 : NULL;
	*ret_need = (struct need){ .user = verdict.allowed ? asker->id : 0 };
	if (factor)
		need_add(ret_need, factor->max_age_s);
	*ret_verdict = verdict;
}

/* Is there an answer in memory? */
static bool try_ask(struct decisions *decisions, const struct question *question,
		    const struct asked *asked, bool explain, int64_t now_s, struct need *ret_need,
		    struct verdict *ret_verdict)
{
	const struct alias *alias;
	bool answered = false;

	pthread_rwlock_rdlock(&decisions->lock);
	alias = askers_find(decisions, question->user);
	if (!decisions->tree_lost && askers_holds(alias, now_s)) {
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
	if (need.user)
		need_step_up(decisions, question, &need);
	if (need.wanted) {
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
	size_t count, looked;
	int64_t after, next; /* 0: nothing more */
	struct need need;    /* what the permission wants */
};

/*
 * false: the page is full, or so many were looked at that whoever has something to change should not wait any longer: the next
 * piece goes on from here.
 */
static bool list_node(struct listing *listing, const struct tree_node *node)
{
	const struct resource_key *key = &listing->wanted->question.resource;

	if (listing->looked++ == decisions_look_max)
		return false;
	listing->next = node->row;
	if (strcmp(node->kind->type, key->type) != 0 ||
	    strcmp(node->kind->application, key->application) != 0 ||
	    judge_resource(&listing->holder, listing->asked, node, NULL) != DECISION_GRANTED)
		return true;
	listing->each(listing->context, node->kind->type, node->id);
	return ++listing->count < listing->wanted->limit;
}

/* true: that was all. */
static bool list_below(struct listing *listing, const struct tree_node *parent)
{
	const struct tree_node *node =
		parent ? tree_child_after(parent, listing->after, NULL) : NULL;

	while (node && list_node(listing, node))
		node = tree_child_after(parent, node->row, NULL);
	return node == NULL;
}

static bool list_all(struct listing *listing, const struct tree *tree)
{
	size_t at = tree_place_after(tree, listing->after);

	while (at < tree->places &&
	       (!tree->order[at].node || list_node(listing, tree->order[at].node)))
		at++;
	return at >= tree->places;
}

static void list(struct decisions *decisions, struct listing *listing)
{
	const struct listing_question *wanted = listing->wanted;
	const struct resource_key parent = { wanted->question.resource.application,
					     wanted->parent_type, wanted->parent_id };

	if (wanted->parent_id ? list_below(listing, tree_find(&decisions->tree, &parent))
			      : list_all(listing, &decisions->tree))
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
	alias = askers_find(decisions, question->user);
	if (!decisions->tree_lost && askers_holds(alias, now_s)) {
		listing->holder = holder_of(alias->asker);
		if (listing->holder.user && !may_be_asked(question, alias->asker))
			listing->holder = holder_of(NULL);
		factor = factor_of(decisions, question->resource.application);
		*ret_need = listing->need;
		ret_need->user = listing->holder.user;
		if (factor)
			need_add(ret_need, factor->max_age_s);
		if (!ret_need->user || !ret_need->wanted || allowed)
			list(decisions, listing);
		answered = true;
	}
	pthread_rwlock_unlock(&decisions->lock);
	return answered;
}

static int list_piece(struct decisions *decisions, struct listing *listing, int64_t now_s,
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

/* Piece by piece, and between them others have their turn, until the page is full or there was enough of it. */
static int list_page(struct decisions *decisions, struct listing *listing, int64_t now_s,
		     struct need *ret_need, bool allowed, struct err *err)
{
	for (size_t piece = 0; piece < decisions_pieces_max; piece++) {
		listing->looked = 0;
		if (list_piece(decisions, listing, now_s, ret_need, allowed, err) < 0)
			return -1;
		if ((ret_need->user && ret_need->wanted && !allowed) || listing->next == 0 ||
		    listing->count == listing->wanted->limit)
			break;
		listing->after = listing->next;
	}
	return 0;
}

int decisions_list(struct decisions *decisions, const struct listing_question *question,
		   int64_t now_s, void (*each)(void *context, const char *type, const char *id),
		   void *context, int64_t *ret_next, struct err *err)
{
	struct asked asked;
	struct listing listing = { .wanted = question,
				   .asked = &asked,
				   .each = each,
				   .context = context,
				   .after = question->after };
	struct need need = { 0 };
	bool has;

	if (asked_parse(question->question.permission, &asked, err) < 0)
		return -1;
	follow_configuration(decisions);
	need_step_up(decisions, &question->question, &listing.need);
	if (list_page(decisions, &listing, now_s, &need, false, err) < 0)
		return -1;
	if (need.user && need.wanted) {
		if (has_factor(decisions, need.user, need.max_age_s, now_s, &has, err) < 0)
			return -1;
		if (has && list_page(decisions, &listing, now_s, &need, true, err) < 0)
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
	decisions->steps_up = steps_up(decisions);
	decisions->arena = arena_create(ARENA_BYTES_MAX);
	/* From now on changes are told; the tree is read after that, so that none is missed. */
	changer_observe_as(changer, OBSERVER_DECISIONS,
			   &(struct change_observer){ .context = decisions,
						      .disabling = askers_on_disabling,
						      .changed = askers_on_changed,
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
	askers_finish(decisions);
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
