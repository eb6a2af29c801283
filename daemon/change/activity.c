/*
 * What applications tell of what people use. Enters: who asks, events. Leaves: counts by person and day, why an event
 * was refused. Fails: store, memory; what was counted before stays counted.
 *
 * A request that has a name notes in each of its transactions how far it came, so that one that is sent again,
 * for its answer was lost or the daemon died half-way, goes on there.
 */
#include <rolebridge/change/activity.h>

#include <stdio.h>
#include <string.h>

#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/identity/names.h>
#include <rolebridge/store/activity.h>

#include "internal.h"

#define EVENTS_IN_ONE 500
#define BATCH_NAME_MAX 128
/* By the timer: people in one transaction, and transactions each time. */
#define PRUNED_AT_ONCE 500
#define PRUNE_ROUNDS 100
#define PRUNED_META "activity-pruned"

struct counting {
	const struct live_setup *setup;
	const struct actor *actor;
	const struct event_request *request;
	const char *application;
	struct arena *results_arena;
	struct event_result *results;
	size_t at; /* where this transaction begins */
	/* inside of one */
	struct changer *changer;
	struct arena *arena;
	struct authority authority;
	const char *batch; /* the request's name, within the organization; NULL: none */
	int64_t now_s, accepted, refused;
	bool any_new;
};

static const char *find_application(const struct actor *actor, const struct event_request *request)
{
	return request->application ? request->application : actor->application;
}

static int check_request(const struct counting *counting, const char **ret_field, struct err *err)
{
	const struct event_request *request = counting->request;
	const char *own = counting->actor->application;

	*ret_field = "application";
	if (!counting->application)
		return err_set(err, ERR_INVALID,
			       "say which application: the token is bound to none");
	if (!slug_is_valid(counting->application))
		return err_set(err, ERR_INVALID, "the application's name is not one");
	if (own && strcmp(own, counting->application) != 0)
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such application");
	*ret_field = "batch";
	if (request->batch && (!request->batch[0] || strlen(request->batch) > BATCH_NAME_MAX))
		return err_set(err, ERR_INVALID, "a batch's name has 1 to %d bytes",
			       BATCH_NAME_MAX);
	*ret_field = NULL;
	return 0;
}

/* --- one event --- */

static int refuse(struct counting *counting, size_t place, const char *code, const char *field,
		  const char *message, struct err *err)
{
	struct event_result *result = &counting->results[place];

	result->code = code;
	result->field = field;
	result->message = arena_strdup(counting->results_arena, message);
	return result->message ? 0 : err_set(err, ERR_MEMORY, "no memory for results");
}

static bool feature_is_valid(const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return size > 0 && size <= FEATURE_NAME_MAX && text_is_utf8(name, size);
}

/* NULL: well. */
static const char *time_problem(const struct counting *counting, const char *text,
				int64_t *ret_at_s)
{
	int64_t at_s = counting->now_s;

	if (text && clock_parse(text, &at_s, NULL) < 0 && clock_parse_date(text, &at_s, NULL) < 0)
		return "not a time like 2026-01-31T12:00:00Z";
	if (at_s > counting->now_s + EVENT_AHEAD_S)
		return "in the future";
	if (at_s < 0 || at_s < counting->now_s - counting->setup->setup.activity_kept_s)
		return "older than what is kept";
	*ret_at_s = at_s;
	return NULL;
}

/* 1 found, 0 nobody whom the caller may speak of, -1. */
static int find_user(struct counting *counting, const char *name, int64_t *ret_user_id,
		     struct err *err)
{
	const char *own = counting->authority.organization;
	struct err missing = { 0 };
	struct user user;

	if (user_resolve(counting->changer->store, name, counting->arena, &user, &missing) == 0) {
		*ret_user_id = user.id;
		return !(user.disabled & DISABLED_DELETED) &&
		       (!own || strcmp(user.organization, own) == 0);
	}
	if (missing.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = missing;
	return -1;
}

/* A feature that is not there after an earlier request of this name was one too many then. */
static int count_event(struct counting *counting, const struct event *event, size_t place,
		       bool is_new, int64_t user_id, int64_t at_s, struct err *err)
{
	struct store *store = counting->changer->store;
	struct err problem = { 0 };
	int64_t feature;

	if (store_feature_ensure(store, counting->application, event->feature,
				 is_new ? FEATURES_MAX : 0, &feature, &problem) == 0)
		return is_new ? store_feature_use_add(store, user_id, at_s / DAY_S, feature,
						      event->count ? event->count : 1, err)
			      : 0;
	if (problem.code == ERR_CONFLICT)
		return refuse(counting, place, "too-many-features", "feature",
			      "the application has as many features as it may", err);
	if (err)
		*err = problem;
	return -1;
}

/* What was counted by an earlier request of this name is only looked at. */
static int take_event(struct counting *counting, size_t place, bool is_new, struct err *err)
{
	const struct event *event = &counting->request->events[place];
	const char *problem;
	int64_t at_s = 0, user_id = 0;
	int found;

	counting->results[place] = (struct event_result){ .code = NULL };
	if (event->problem)
		return refuse(counting, place, "invalid-request", event->problem_field,
			      event->problem, err);
	if (!feature_is_valid(event->feature))
		return refuse(counting, place, "invalid-request", "feature",
			      "a feature has 1 to 128 bytes of UTF-8 without control characters",
			      err);
	problem = time_problem(counting, event->at, &at_s);
	if (problem)
		return refuse(counting, place, "invalid-request", "at", problem, err);
	found = find_user(counting, event->user, &user_id, err);
	if (found <= 0)
		return found < 0 ? -1
				 : refuse(counting, place, "not-found", "user",
					  "there is no such user here", err);
	return count_event(counting, event, place, is_new, user_id, at_s, err);
}

/* --- many --- */

static size_t end_of(const struct counting *counting)
{
	size_t left = counting->request->count - counting->at;

	return counting->at + (left < EVENTS_IN_ONE ? left : EVENTS_IN_ONE);
}

static int find_batch(struct counting *counting, struct event_batch *ret_batch, struct err *err)
{
	const struct event_request *request = counting->request;

	*ret_batch = (struct event_batch){ .row = 0 };
	if (!counting->batch)
		return 0;
	if (store_event_batch_find(counting->changer->store, counting->application, counting->batch,
				   ret_batch, err) < 0)
		return -1;
	if (ret_batch->row &&
	    memcmp(&ret_batch->content, &request->content, sizeof(request->content)) != 0)
		return err_refuse(err, ERR_CONFLICT, "batch-reused",
				  "another request had this name already");
	ret_batch->content = request->content;
	return 0;
}

static int note_progress(struct counting *counting, struct event_batch *batch, int64_t counted,
			 int64_t refused, struct err *err)
{
	struct store *store = counting->changer->store;
	size_t end = end_of(counting);

	if ((counted || refused) && store_events_count(store, counted, refused, err) < 0)
		return -1;
	if (!counting->batch || (batch->row && (size_t)batch->done >= end))
		return 0;
	batch->done = (int64_t)end;
	return store_event_batch_put(store, counting->application, counting->batch, counting->now_s,
				     EVENT_BATCHES_KEPT, batch, err);
}

static int count_some(struct counting *counting, struct err *err)
{
	struct event_batch batch;
	int64_t accepted = 0, refused = 0, counted = 0, counted_refused = 0;

	if (find_batch(counting, &batch, err) < 0)
		return -1;
	for (size_t i = counting->at; i < end_of(counting); i++) {
		bool is_new = (int64_t)i >= batch.done, well;

		if (take_event(counting, i, is_new, err) < 0)
			return -1;
		well = !counting->results[i].code;
		accepted += well;
		refused += !well;
		counted += is_new && well;
		counted_refused += is_new && !well;
		counting->any_new |= is_new;
	}
	if (note_progress(counting, &batch, counted, counted_refused, err) < 0)
		return -1;
	counting->accepted += accepted;
	counting->refused += refused;
	return 0;
}

/* Another organization's service may use the same names. */
static int name_batch(struct counting *counting, struct err *err)
{
	const char *organization = counting->authority.organization;
	const char *batch = counting->request->batch;

	counting->batch = batch ? arena_printf(counting->arena, "%s\x1f%s",
					       organization ? organization : "", batch)
				: NULL;
	return batch && !counting->batch ? err_set(err, ERR_MEMORY, "no memory for a request") : 0;
}

static int count_job(struct changer *changer, struct job *job, struct err *err)
{
	struct counting *counting = job->context;
	AUTO(arena) struct arena *arena = arena_create(PERSON_BYTES_MAX);

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for a request");
	counting->changer = changer;
	counting->arena = arena;
	counting->now_s = change_now_s();
	if (authority_of_actor(changer->store, &counting->setup->setup, counting->actor,
			       counting->now_s, arena, &counting->authority, err) < 0 ||
	    authority_require(&counting->authority, "events:create@all", err) < 0 ||
	    name_batch(counting, err) < 0)
		return -1;
	return count_some(counting, err);
}

int change_events_add(struct changer *changer, const struct actor *actor,
		      const struct event_request *request, struct arena *arena,
		      struct event_result *results, struct event_outcome *ret_outcome,
		      const char **ret_field, struct err *err)
{
	struct live_setup *setup;
	struct counting counting = { .actor = actor,
				     .request = request,
				     .application = find_application(actor, request),
				     .results_arena = arena,
				     .results = results };
	int result = check_request(&counting, ret_field, err);

	if (result < 0)
		return -1;
	setup = changer_live_setup(changer, NULL);
	counting.setup = setup;
	for (; result == 0 && counting.at < request->count; counting.at = end_of(&counting))
		result = writer_bulk(changer, count_job, &counting, err);
	setup_release(&setup->setup);
	if (result == 0)
		*ret_outcome = (struct event_outcome){ counting.accepted, counting.refused,
						       request->count > 0 && !counting.any_new };
	return result;
}

/* --- the end of days --- */

struct pruning {
	int64_t now_s, before_day, after_id;
	bool done;
};

/* "DAY AFTER": on which day it was done last, and how far it came; AFTER 0: all of it. */
static int pruning_read(struct store *store, struct arena *arena, struct pruning *pruning,
			struct err *err)
{
	long long day = 0, after = 0;
	const char *text;

	if (store_meta_get(store, PRUNED_META, arena, &text, err) < 0)
		return -1;
	if (text && sscanf(text, "%lld %lld", &day, &after) != 2)
		day = after = 0;
	pruning->done = day == pruning->now_s / DAY_S && after == 0;
	pruning->after_id = after;
	return 0;
}

static int prune_job(struct changer *changer, struct job *job, struct err *err)
{
	struct pruning *pruning = job->context;
	AUTO(arena) struct arena *arena = arena_create(64u * 1024);
	char text[64];

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory to forget what people did");
	if (pruning_read(changer->store, arena, pruning, err) < 0 || pruning->done)
		return pruning->done ? 0 : -1;
	if ((pruning->after_id == 0 &&
	     store_event_batch_prune(changer->store, pruning->now_s - EVENT_BATCH_KEPT_S, err) <
		     0) ||
	    store_activity_prune(changer->store, pruning->before_day, pruning->after_id,
				 PRUNED_AT_ONCE, &pruning->after_id, err) < 0)
		return -1;
	pruning->done = pruning->after_id == 0;
	snprintf(text, sizeof(text), "%lld %lld", (long long)(pruning->now_s / DAY_S),
		 (long long)pruning->after_id);
	return store_meta_set(changer->store, PRUNED_META, text, err);
}

int change_activity_prune(struct changer *changer, int64_t now_s, struct err *err)
{
	struct setup *setup = changer_setup(changer);
	/* By the clock that goes on evenly: one that was set ahead takes nothing away. */
	int64_t steady_s = setup_steady_s(setup, now_s);
	struct pruning pruning = { .now_s = now_s,
				   .before_day = (steady_s - setup->activity_kept_s) / DAY_S };
	int result = 0;

	setup_release(setup);
	for (int i = 0; result == 0 && !pruning.done && i < PRUNE_ROUNDS; i++)
		result = writer_bulk_redoable(changer, prune_job, &pruning, err);
	return result;
}
