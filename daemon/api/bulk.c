/*
 * The same change of many users. Enters: an action, and whom: names, a filter, a segment. Leaves: a run, whose result tells
 * what became of each. What one of them alone would need is asked here and again inside each transaction.
 */
#include <stdlib.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/change/bulk.h>
#include <rolebridge/change/select.h>

#include "access.h"
#include "reader.h"

#define ARENA_MAX ((size_t)256 * 1024 * 1024)
#define RESULTS_MAX ((size_t)24 * 1024 * 1024)
#define USER_MAX_BYTES 320 /* an e-mail address, or more than any name */
#define FILTER_MAX_BYTES 16384
/* People looked at in one snapshot. */
#define SCAN_AT_ONCE 5000

struct bulk_body {
	const char *action;
	struct field_list users; /* of const char * */
	const char *filter, *segment, *kind, *name, *reason;
	int64_t expires_s;
	bool dry_run;
};

static const struct field bulk_fields[] = {
	{ "action", FIELD_TEXT, FIELD_REQUIRED, offsetof(struct bulk_body, action), 16, NULL, 0 },
	{ "users", FIELD_TEXTS, 0, offsetof(struct bulk_body, users), BULK_USERS_MAX, NULL,
	  USER_MAX_BYTES },
	{ "filter", FIELD_TEXT, 0, offsetof(struct bulk_body, filter), FILTER_MAX_BYTES, NULL, 0 },
	{ "segment", FIELD_TEXT, 0, offsetof(struct bulk_body, segment), 64, NULL, 0 },
	{ "kind", FIELD_TEXT, 0, offsetof(struct bulk_body, kind), 16, NULL, 0 },
	{ "name", FIELD_TEXT, 0, offsetof(struct bulk_body, name), 64, NULL, 0 },
	{ "reason", FIELD_TEXT, 0, offsetof(struct bulk_body, reason), 1000, NULL, 0 },
	{ "expires", FIELD_DATE, 0, offsetof(struct bulk_body, expires_s), 0, NULL, 0 },
	{ "dry_run", FIELD_BOOL, 0, offsetof(struct bulk_body, dry_run), 0, NULL, 0 },
};

struct work {
	struct arena *arena; /* owns this */
	struct api *api;
	struct actor actor;
	struct bulk_wish wish;
	const char *filter, *segment, *organization; /* NULL */
	bool sensitive;
	const char **users;
	size_t count;
	struct bulk_result *results;
	int64_t counts[BULK_STATUSES];
};

static void work_destroy(void *context)
{
	struct work *work = context;

	if (work)
		arena_destroy(work->arena);
}

static int refuse_field(struct http_request *request, const char *field, const char *text,
			struct err *err)
{
	request->error_field = field;
	return err_set(err, ERR_INVALID, "%s", text);
}

/* --- what is asked for --- */

static int read_action(struct http_request *request, const struct bulk_body *body,
		       struct bulk_wish *wish, struct err *err)
{
	bool grants;

	wish->action = bulk_action_find(body->action);
	if (wish->action == BULK_ACTIONS)
		return refuse_field(request, "action",
				    "'action' must be disable, enable, grant, revoke or delete",
				    err);
	grants = wish->action == BULK_GRANT || wish->action == BULK_REVOKE;
	if (grants != (body->kind != NULL) || grants != (body->name != NULL))
		return refuse_field(request, (grants != (body->kind != NULL)) ? "kind" : "name",
				    grants ? "a grant has a kind and a name"
					   : "'kind' and 'name' go with grant and revoke",
				    err);
	if (body->reason && wish->action != BULK_DISABLE)
		return refuse_field(request, "reason", "'reason' goes with disable", err);
	if (body->expires_s && wish->action != BULK_GRANT)
		return refuse_field(request, "expires", "'expires' goes with grant", err);
	wish->name = body->name;
	wish->reason = body->reason;
	wish->expires_s = body->expires_s;
	wish->dry_run = body->dry_run;
	return grants ? grant_kind_parse(request, "kind", body->kind, &wish->kind, err) : 0;
}

static int check_whom(struct http_request *request, const struct bulk_body *body, struct err *err)
{
	int said = (body->users.items != NULL) + (body->filter != NULL) + (body->segment != NULL);

	if (said == 1 && (!body->users.items || body->users.count > 0))
		return 0;
	return refuse_field(request, said > 1 && body->segment ? "segment" : "users",
			    "say whom: one of users, filter and segment", err);
}

static int open_selection(const struct work *work, const struct reading_view *view,
			  struct selection **ret_selection, struct selection_fault *fault,
			  struct err *err)
{
	const struct selection_options options = { .now_s = clock_now_s(),
						   .sensitive = work->sensitive,
						   .application = work->actor.application };

	if (work->filter)
		return selection_compile(view->setup, view->store, work->filter, &options,
					 ret_selection, fault, err);
	return selection_of_segment(view->setup, view->store, work->organization, work->segment,
				    &options, ret_selection, err);
}

/* What is wrong with the choice is said at once; who is chosen, when it runs. */
static int check_selection(struct http_request *request, struct work *work, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(selection) struct selection *selection = NULL;
	const char *permission = bulk_action_permission(work->wish.action);
	struct selection_fault fault = { .code = NULL };
	struct authority authority;

	if (view_open(request, &view, err) < 0 ||
	    api_authority(request, &view, &authority, err) < 0 ||
	    authority_require(&authority, permission, err) < 0 ||
	    api_step_up(request, permission, err) < 0)
		return -1;
	if (!work->filter && !work->segment)
		return 0;
	if (authority_require(&authority, "users:read@all", err) < 0)
		return -1;
	work->sensitive = authority_allows(&authority, "attributes:read@all");
	if (open_selection(work, &view, &selection, &fault, err) == 0)
		return 0;
	request->error_field = work->filter ? "filter" : "segment";
	return -1;
}

/* --- whom --- */

struct gathering {
	struct work *work;
	size_t capacity;
};

static int gather(void *context, const struct user *user, struct arena *arena, struct err *err)
{
	struct gathering *gathering = context;
	struct work *work = gathering->work;
	char *uuid = arena_alloc(work->arena, UUID_TEXT_SIZE);

	(void)arena;
	if (work->count == gathering->capacity)
		return err_refuse(err, ERR_CONFLICT, "too-many-users",
				  "more than %d users would be changed at once", BULK_USERS_MAX);
	if (!uuid)
		return err_set(err, ERR_MEMORY, "out of memory");
	uuid_format(&user->uuid, uuid);
	work->users[work->count++] = uuid;
	return 0;
}

static int select_users(struct run *run, struct work *work, struct err *err)
{
	struct gathering gathering = { work, BULK_USERS_MAX };
	struct selection_walk walk = { .query = { .organization = work->organization,
						  .active = -1 },
				       .scan_max = SCAN_AT_ONCE };

	work->users = arena_alloc_array(work->arena, BULK_USERS_MAX, sizeof(*work->users));
	if (!work->users)
		return err_set(err, ERR_MEMORY, "out of memory");
	do {
		AUTO(arena) struct arena *arena = arena_create(ARENA_MAX);
		AUTO(reading_view) struct reading_view view = { 0 };
		AUTO(selection) struct selection *selection = NULL;

		if (run_cancelled(run))
			return err_set(err, ERR_CANCELLED, "nothing was changed");
		if (!arena)
			return err_set(err, ERR_MEMORY, "out of memory");
		if (store_view_open(work->api->settings.changer, work->api->pool, arena, &view,
				    err) < 0 ||
		    open_selection(work, &view, &selection, NULL, err) < 0 ||
		    selection_walk(selection, view.store, &walk, gather, &gathering, err) < 0)
			return -1;
		walk.query.after_id = walk.next_after;
	} while (walk.next_after != 0);
	return 0;
}

/* --- the run --- */

static void show_result(const struct work *work, size_t i, struct json *json)
{
	const struct bulk_result *result = &work->results[i];

	json_object(json);
	json_string(json, "user", work->users[i]);
	json_string(json, "status", bulk_status_name(result->status));
	if (result->code) {
		json_string(json, "code", result->code);
		json_string(json, "message", result->message);
	}
	json_end(json);
}

/* done: of how many there is a result. */
static int put_result(const struct work *work, struct run *run, size_t done, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(RESULTS_MAX);
	struct json json = JSON(&text);

	json_object(&json);
	json_string(&json, "action", bulk_action_name(work->wish.action));
	json_bool(&json, "dry_run", work->wish.dry_run);
	for (int i = 0; i < BULK_STATUSES; i++)
		json_int(&json, bulk_status_name((enum bulk_status)i), work->counts[i]);
	json_array_key(&json, "users");
	for (size_t i = 0; i < done; i++)
		show_result(work, i, &json);
	json_end(&json);
	json_end(&json);
	return run_set_result(run, &text, err);
}

static int change_all(struct run *run, struct work *work, struct bulk *bulk, size_t *done,
		      struct err *err)
{
	while (*done < work->count) {
		size_t piece;

		if (run_cancelled(run))
			return err_set(err, ERR_CANCELLED, "not all were changed");
		if (bulk_users(bulk, work->users + *done, work->count - *done, work->arena,
			       work->results + *done, &piece, err) < 0)
			return -1;
		for (size_t i = *done; i < *done + piece; i++)
			work->counts[work->results[i].status]++;
		*done += piece;
		run_progress(run, work->wish.dry_run ? "reading" : "applying", *done, work->count);
	}
	return 0;
}

static int bulk_work(struct run *run, void *context, struct err *err)
{
	struct work *work = context;
	AUTO(bulk) struct bulk *bulk = NULL;
	struct err ignored = { 0 };
	size_t done = 0;
	int result;

	work->actor.request = run_id(run);
	if (!work->users && select_users(run, work, err) < 0)
		return -1;
	work->results = arena_alloc_array(work->arena, work->count + 1, sizeof(*work->results));
	if (!work->results)
		return err_set(err, ERR_MEMORY, "out of memory");
	bulk = bulk_begin(work->api->settings.changer, &work->actor, &work->wish, err);
	if (!bulk)
		return -1;
	result = change_all(run, work, bulk, &done, err);
	/* Also of one that failed: what was done is done. */
	if (put_result(work, run, done, result < 0 ? &ignored : err) < 0)
		return -1;
	return result;
}

/* --- the handler --- */

static int keep(const struct bulk_body *body, struct work *work, struct err *err)
{
	struct arena *arena = work->arena;
	const char *const *users = body->users.items;

	if (users) {
		work->count = body->users.count;
		work->users = arena_alloc_array(arena, work->count, sizeof(*work->users));
		for (size_t i = 0; work->users && i < work->count; i++)
			work->users[i] = arena_strdup(arena, users[i]);
	}
	if (body->filter)
		work->filter = arena_strdup(arena, body->filter);
	if (body->segment)
		work->segment = arena_strdup(arena, body->segment);
	if (work->organization)
		work->organization = arena_strdup(arena, work->organization);
	if (work->wish.name)
		work->wish.name = arena_strdup(arena, work->wish.name);
	if (work->wish.reason)
		work->wish.reason = arena_strdup(arena, work->wish.reason);
	return arena_failed(arena) ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static struct work *work_create(struct http_request *request, const struct bulk_body *body,
				struct err *err)
{
	struct arena *arena = arena_create(ARENA_MAX);
	struct work *work = arena ? arena_alloc(arena, sizeof(*work)) : NULL;
	struct actor actor = api_actor(request);

	if (!work) {
		arena_destroy(arena);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	work->arena = arena;
	work->api = request->context;
	work->organization = api_organization(request);
	if (read_action(request, body, &work->wish, err) == 0) {
		actor.permission = bulk_action_permission(work->wish.action);
		if (actor_keep(arena, &actor, &work->actor, err) == 0 && keep(body, work, err) == 0)
			return work;
	}
	work_destroy(work);
	return NULL;
}

/* What is wrong for everybody is said at once. */
static int check_work(struct http_request *request, struct work *work, struct err *err)
{
	struct bulk *bulk;

	if (check_selection(request, work, err) < 0)
		return -1;
	bulk = bulk_begin(work->api->settings.changer, &work->actor, &work->wish, err);
	bulk_end(bulk);
	if (bulk)
		return 0;
	request->error_field =
		work->wish.expires_s && err->code == ERR_INVALID ? "expires" : "name";
	return -1;
}

int users_bulk_post(struct http_request *request, struct http_response *response, struct err *err)
{
	struct api *api = request->context;
	struct bulk_body body = { 0 };
	char id[UUID_TEXT_SIZE];
	struct work *work;

	if (request_read(request, bulk_fields, ARRAY_LEN(bulk_fields), &body, err) < 0 ||
	    check_whom(request, &body, err) < 0)
		return -1;
	work = work_create(request, &body, err);
	if (!work)
		return -1;
	if (check_work(request, work, err) < 0) {
		work_destroy(work);
		return -1;
	}
	if (runs_start(api->settings.runs, "bulk", bulk_action_name(work->wish.action),
		       work->actor.name, bulk_work, work, work_destroy, id, err) < 0)
		return -1;
	return answer_run(response, id, err);
}
