/*
 * Targets: how they do, what they are still to be told, dead letters tried again or dropped, drift.
 *
 * Enters: names, ids of deliveries. Leaves: JSON; what is asked for is done by change/, or by main where the target itself
 * must be asked. Fails: store. Details of deliveries are not shown: they may say more of a person than the caller may know.
 */
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/change/targets.h>

#include "access.h"
#include "internal.h"
#include "reader.h"

#define ROWS_DEFAULT 100
#define ROWS_MAX 1000

/* --- how they do --- */

int targets_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	const struct api *api = request->context;
	struct json json = api_json(response);
	bool found;

	if (http_query_allow(request, names, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	json_object(&json);
	json_array_key(&json, "targets");
	if (api->settings.ports.targets(api->settings.ports.context, view.store, NULL, &found,
					&json, err) < 0)
		return -1;
	json_end(&json);
	json_end(&json);
	return 0;
}

/* Configured, or with rows in the queue: its members, without its braces. */
static int show_target(const struct http_request *request, struct store *store, const char *name,
		       struct json *json, struct err *err)
{
	const struct api *api = request->context;
	bool found;

	if (api->settings.ports.targets(api->settings.ports.context, store, name, &found, json,
					err) < 0)
		return -1;
	return found ? 0 : err_refuse(err, ERR_NOT_FOUND, "not-found", "no such target");
}

/* --- what waits --- */

static const char *state_of(const struct delivery_row *row)
{
	if (row->dead_s != 0)
		return "dead";
	if (row->attempts > 0)
		return "failing";
	return row->next_s < 0 ? "behind" : "waiting";
}

static int show_user(const struct reading_view *view, struct json *json, int64_t user_id,
		     struct err *err)
{
	char uuid[UUID_TEXT_SIZE];
	struct err missing = { 0 };
	struct user user;

	if (store_user_get(view->store, user_id, view->arena, &user, &missing) < 0) {
		if (missing.code != ERR_NOT_FOUND) {
			*err = missing;
			return -1;
		}
		json_null(json, "user");
		return 0;
	}
	uuid_format(&user.uuid, uuid);
	json_string(json, "user", uuid);
	json_string(json, "username", user.username);
	return 0;
}

static int show_delivery(const struct reading_view *view, struct json *json,
			 const struct delivery_row *row, struct err *err)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&row->uuid, uuid);
	json_object(json);
	json_string(json, "id", uuid);
	json_string(json, "event", delivery_event_name(row->event));
	if (show_user(view, json, row->user_id, err) < 0)
		return -1;
	json_string(json, "state", state_of(row));
	json_time(json, "created", row->created_s);
	json_int(json, "attempts", row->attempts);
	json_time(json, "next", row->dead_s == 0 && row->next_s > 0 ? row->next_s : 0);
	json_time(json, "dead", row->dead_s);
	json_string(json, "code", row->code[0] ? row->code : NULL);
	json_string(json, "problem", row->problem[0] ? row->problem : NULL);
	json_end(json);
	return 0;
}

static int read_state(struct http_request *request, enum delivery_state *ret_state, struct err *err)
{
	static const char *const words[] = { "any", "waiting", "failing", "dead" };
	const char *text = http_query(request, "state");

	*ret_state = DELIVERY_ANY;
	for (size_t i = 0; text && i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*ret_state = (enum delivery_state)i;
			return 0;
		}
	if (!text)
		return 0;
	request->error_field = "state";
	return err_set(err, ERR_INVALID, "'state' is any, waiting, failing or dead");
}

int target_get(struct http_request *request, struct http_response *response, struct err *err)
{
	static const char *const names[] = { "state", "limit", "after", NULL };
	AUTO(reading_view) struct reading_view view = { 0 };
	struct delivery_query query = { .target = http_parameter(request, "target") };
	struct json json = api_json(response);
	struct delivery_row *rows;
	int64_t limit, after;
	size_t count;

	if (http_query_allow(request, names, err) < 0 ||
	    http_query_int(request, "limit", 1, ROWS_MAX, ROWS_DEFAULT, &limit, err) < 0 ||
	    http_query_int(request, "after", 0, INT64_MAX, 0, &after, err) < 0 ||
	    read_state(request, &query.state, err) < 0 || view_open(request, &view, err) < 0)
		return -1;
	query.limit = (size_t)limit;
	query.after_id = after;
	json_object(&json);
	if (show_target(request, view.store, query.target, &json, err) < 0 ||
	    store_delivery_list(view.store, &query, view.arena, &rows, &count, err) < 0)
		return -1;
	json_array_key(&json, "deliveries");
	for (size_t i = 0; i < count; i++)
		if (show_delivery(&view, &json, &rows[i], err) < 0)
			return -1;
	json_end(&json);
	if (count == query.limit)
		json_int(&json, "next", rows[count - 1].id);
	else
		json_null(&json, "next");
	json_end(&json);
	return 0;
}

/* --- again, never --- */

struct letter_body {
	const char *delivery;
};

static const struct field letter_fields[] = {
	{ "delivery", FIELD_TEXT, 0, offsetof(struct letter_body, delivery), UUID_TEXT_SIZE, NULL,
	  0 },
};

/* There is such a target, and which delivery is meant; *ret_uuid NULL: all. */
static int read_letter(struct http_request *request, struct uuid *uuid,
		       const struct uuid **ret_uuid, struct err *err)
{
	AUTO(reading_view) struct reading_view view = { 0 };
	AUTO(strbuf) struct strbuf unheard = STRBUF(1u << 20);
	struct json json = JSON(&unheard);
	struct letter_body body = { 0 };

	if (request_read(request, letter_fields, ARRAY_LEN(letter_fields), &body, err) < 0)
		return -1;
	if (body.delivery && !uuid_parse(body.delivery, uuid))
		return err_refuse(err, ERR_NOT_FOUND, "not-found", "no such delivery");
	*ret_uuid = body.delivery ? uuid : NULL;
	if (view_open(request, &view, err) < 0)
		return -1;
	json_object(&json);
	return show_target(request, view.store, http_parameter(request, "target"), &json, err);
}

static int answer_count(struct http_response *response, const char *key, int64_t count)
{
	struct json json = api_json(response);

	json_object(&json);
	json_int(&json, key, count);
	json_end(&json);
	return 0;
}

int target_retry_post(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	const char *target = http_parameter(request, "target");
	const struct uuid *wanted;
	struct uuid uuid;
	int64_t count;

	if (read_letter(request, &uuid, &wanted, err) < 0 ||
	    change_deliveries_retry(api->settings.changer, &actor, target, wanted, &count, err) < 0)
		return -1;
	return answer_count(response, "retried", count);
}

int target_drop_post(struct http_request *request, struct http_response *response, struct err *err)
{
	const struct api *api = request->context;
	const struct actor actor = api_actor(request);
	const char *target = http_parameter(request, "target");
	const struct uuid *wanted;
	struct uuid uuid;
	int64_t count;

	if (read_letter(request, &uuid, &wanted, err) < 0 ||
	    change_deliveries_drop(api->settings.changer, &actor, target, wanted, &count, err) < 0)
		return -1;
	return answer_count(response, "dropped", count);
}

/* --- drift --- */

struct comparing {
	const struct api *api;
	struct arena *arena;
	struct actor actor;
	struct target_request request;
};

static void comparing_finish(void *context)
{
	struct comparing *comparing = context;

	arena_destroy(comparing->arena);
	free(comparing);
}

#define RESULT_MAX ((size_t)32 * 1024 * 1024)

static int compare(struct run *run, void *context, struct err *err)
{
	struct comparing *comparing = context;
	const struct ports *ports = &comparing->api->settings.ports;
	struct strbuf result = STRBUF(RESULT_MAX);
	struct actor actor = comparing->actor;

	actor.request = run_id(run);
	if (ports->compare_target(ports->context, run, &comparing->request, &actor, &result, err) <
	    0) {
		strbuf_finish(&result);
		return -1;
	}
	return run_set_result(run, &result, err);
}

static struct comparing *comparing_make(struct http_request *request, const char *plan,
					bool carry_out, struct err *err)
{
	struct comparing *comparing = alloc_zeroed(1, sizeof(*comparing));
	const struct actor actor = api_actor(request);

	if (comparing)
		comparing->arena = arena_create(1u << 20);
	if (!comparing || !comparing->arena) {
		free(comparing);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	comparing->api = request->context;
	comparing->request = (struct target_request){
		.target = arena_strdup(comparing->arena, http_parameter(request, "target")),
		.carry_out = carry_out,
		.plan = plan ? arena_strdup(comparing->arena, plan) : NULL,
	};
	if (actor_keep(comparing->arena, &actor, &comparing->actor, err) == 0 &&
	    !arena_failed(comparing->arena))
		return comparing;
	comparing_finish(comparing);
	err_set(err, ERR_MEMORY, "out of memory");
	return NULL;
}

static int start(struct http_request *request, struct http_response *response, const char *plan,
		 bool carry_out, struct err *err)
{
	const struct api *api = request->context;
	struct comparing *comparing = comparing_make(request, plan, carry_out, err);
	char id[UUID_TEXT_SIZE];

	if (!comparing)
		return -1;
	if (runs_start(api->settings.runs, carry_out ? "target-reconcile" : "target-plan",
		       comparing->request.target, comparing->actor.name, compare, comparing,
		       comparing_finish, id, err) < 0)
		return -1;
	return answer_run(response, id, err);
}

int target_plan_post(struct http_request *request, struct http_response *response, struct err *err)
{
	return start(request, response, NULL, false, err);
}

struct reconcile_body {
	const char *plan;
};

static const struct field reconcile_fields[] = {
	{ "plan", FIELD_TEXT, 0, offsetof(struct reconcile_body, plan), 64, NULL, 0 },
};

int target_reconcile_post(struct http_request *request, struct http_response *response,
			  struct err *err)
{
	struct reconcile_body body = { 0 };

	if (request_read(request, reconcile_fields, ARRAY_LEN(reconcile_fields), &body, err) < 0)
		return -1;
	return start(request, response, body.plan, true, err);
}
